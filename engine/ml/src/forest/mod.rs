//! Random forest over histograms (Breiman 2001): every tree learns from a bootstrap sample of the rows and tries a random
//! share of the features at every split; the forest's probability is the mean of the trees'.
//!
//! ```text
//! table rows ──TableBins──> BinnedRows ──each tree: draw rows, Histogram, Split──> Tree ──mean──> probability
//! ```
//!
//! Each tree has a seed of its own, counts are integers and the mean is summed in the order of the trees, so the model and
//! its scores are the same bytes for any number of threads.

mod histogram;
mod split;
mod tree;

use crate::Error;
use crate::encode::bins::TableBins;
use crate::seed::derive;
use crate::table::FeatureTable;
use histogram::Entry;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tree::{Grower, Tree};

/// Settings of a random forest.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RandomForestParams {
    /// Trees, 1 to 10,000.
    pub trees: u32,
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is.
    pub max_features: f64,
    /// Rows that each side of a split keeps, counted as drawn (a row drawn twice counts twice); at least 1.
    pub min_samples_leaf: u32,
}

impl Default for RandomForestParams {
    fn default() -> Self {
        RandomForestParams { trees: 20, max_depth: 5, max_features: 0.5, min_samples_leaf: 5 }
    }
}

impl RandomForestParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        if !(1..=10_000).contains(&self.trees) {
            return bad("trees", self.trees.to_string(), "from 1 to 10000");
        }
        if !(1..=32).contains(&self.max_depth) {
            return bad("max_depth", self.max_depth.to_string(), "from 1 to 32");
        }
        if !(self.max_features > 0.0 && self.max_features <= 1.0) {
            return bad("max_features", self.max_features.to_string(), "a share above 0 and up to 1");
        }
        if !(1..=1 << 30).contains(&self.min_samples_leaf) {
            return bad("min_samples_leaf", self.min_samples_leaf.to_string(), "at least 1");
        }
        Ok(())
    }
}

/// A fitted forest: how features become bins, and the trees over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    bins: TableBins,
    trees: Vec<Tree>,
}

impl Forest {
    /// Fits on rows whose indices and labels (one a row of the table) the caller has checked.
    pub(crate) fn fit(
        params: &RandomForestParams,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> Forest {
        let bins = TableBins::fit(table, rows);
        let binned = bins.transform(table, rows);
        let labels: Vec<u32> = rows.iter().map(|&row| u32::from(labels[row as usize])).collect();
        let numeric = table.numeric_names().len();
        let trees = (0..params.trees)
            .into_par_iter()
            .map(|tree| {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, u64::from(tree)));
                let mut entries = bootstrap(&labels, &mut random);
                Grower::new(&binned, numeric, params, random).grow(&mut entries)
            })
            .collect();
        Forest { bins, trees }
    }

    /// Probability of the label for each of these rows.
    pub(crate) fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
        let binned = self.bins.transform(table, rows);
        let count = self.trees.len() as f64;
        binned
            .bins
            .par_chunks_exact(binned.features)
            .with_min_len(512)
            .map(|row| self.trees.iter().map(|tree| tree.probability(row)).sum::<f64>() / count)
            .collect()
    }

    /// Whether the forest is as `fit` makes it for so many features.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        let features = numeric + categorical;
        self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && !self.trees.is_empty()
            && self.trees.iter().all(|tree| tree.is_valid(features))
    }
}

/// As many draws with replacement as there are rows; the rows drawn, ascending.
fn bootstrap(labels: &[u32], random: &mut Xoshiro256PlusPlus) -> Vec<Entry> {
    let count = labels.len() as u32;
    let mut draws = vec![0u32; labels.len()];
    for _ in 0..count {
        draws[random.gen_range(0..count) as usize] += 1;
    }
    let drawn = draws.iter().zip(labels).zip(0u32..).filter(|((draws, _), _)| **draws > 0);
    drawn.map(|((draws, label), row)| Entry { row, draws_and_label: draws << 1 | label }).collect()
}
