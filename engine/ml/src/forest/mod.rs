//! Random forest over histograms (Breiman 2001): every tree learns from a bootstrap sample of the rows and tries a random
//! share of the features at every split; the forest's probability is the mean of the trees'. A decision tree is the same
//! with one tree that learns from every row once.
//!
//! ```text
//! table rows ──TableBins──> BinnedRows ──each tree: draw rows, Histogram, Split──> Tree ──mean──> probability
//! ```
//!
//! Each tree has a seed of its own, counts are integers and the mean is summed in the order of the trees, so the model and
//! its scores are the same bytes for any number of threads.

mod histogram;
mod params;
mod split;
mod tree;

pub use params::{DecisionTreeParams, RandomForestParams};

use crate::encode::bins::{BinnedRows, TableBins};
use crate::seed::derive;
use crate::table::FeatureTable;
use histogram::Entry;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tree::{Grower, Tree};

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
        let (bins, binned, labels) = prepare(table, labels, rows);
        let numeric = table.numeric_names().len();
        let growth = params.growth();
        let trees = (0..params.trees)
            .into_par_iter()
            .map(|tree| {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, u64::from(tree)));
                let mut entries = bootstrap(&labels, &mut random);
                Grower::new(&binned, numeric, growth, random).grow(&mut entries)
            })
            .collect();
        Forest { bins, trees }
    }

    /// Fits one tree on every row once; arguments as for [`fit`](Forest::fit).
    pub(crate) fn fit_tree(
        params: &DecisionTreeParams,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> Forest {
        let (bins, binned, labels) = prepare(table, labels, rows);
        let random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, 0));
        let once = |(label, row): (&u32, u32)| Entry { row, draws_and_label: 1 << 1 | label };
        let mut entries: Vec<Entry> = labels.iter().zip(0u32..).map(once).collect();
        let numeric = table.numeric_names().len();
        let tree = Grower::new(&binned, numeric, params.growth(), random).grow(&mut entries);
        Forest { bins, trees: vec![tree] }
    }

    /// Trees in the forest.
    pub(crate) fn trees(&self) -> usize {
        self.trees.len()
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

/// How features become bins, the bins of these rows, and their labels as 0 or 1.
fn prepare(table: &FeatureTable, labels: &[bool], rows: &[u32]) -> (TableBins, BinnedRows, Vec<u32>) {
    let bins = TableBins::fit(table, rows);
    let binned = bins.transform(table, rows);
    let labels = rows.iter().map(|&row| u32::from(labels[row as usize])).collect();
    (bins, binned, labels)
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
