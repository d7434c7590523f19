//! Random forest over histograms (Breiman 2001): every tree learns from a bootstrap sample of the rows and tries a random
//! share of the features at every split; the forest's probability is the mean of the trees'. A decision tree is the same
//! with one tree that learns from every row once.
//!
//! ```text
//! table rows ──TableBins──> BinnedRows ──each tree: draw rows, Histogram, Split──> Tree ──mean──> probability
//! ```
//!
//! Each tree and node has a seed of its own, sums are of integers and the mean is summed in the order of the trees, so the
//! model and its scores are the same bytes for any number of threads.

mod boost;
mod cell;
mod draw;
mod grow;
mod histogram;
mod kept;
mod leafwise;
mod params;
mod partition;
mod prepare;
mod smartcore;
mod split;
mod tree;
mod walk;

pub use kept::KeptCounts;
pub use params::{
    Categories, ClassWeight, DecisionTreeParams, GradientBoostingParams, RandomForestParams, TreeBackend,
};

use crate::encode::bins::{BinnedRows, TableBins};
use crate::seed::derive;
use crate::training::TrainingRows;
use cell::{Cell, ClassScale, Draw, Source, Unweighted, Weighted};
use draw::{Drawable, integer_weights};
use grow::Grower;
use kept::{Counted, KeptTree, KeptTrees, Settings, is_kept, levels};
use params::Growth;
use prepare::Prepared;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use split::{Noise, Search};

pub(crate) use boost::Boosted;
pub(crate) use draw::MAX_ROWS;
pub(crate) use smartcore::Reference;
pub(crate) use tree::Tree;

/// Rows by which categories are drawn towards the node's share. Chosen, as the price of many categories was, by folds
/// within the training rows of the Chicago arrests: at depth 5 the mean AUC of a tree went from .8846 to .8903 and that of
/// a forest of 20 from .8951 to .8965.
const CATEGORY_SMOOTHING: f64 = 30.0;

/// A fitted forest: how features become bins, and the trees over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    bins: TableBins,
    trees: Vec<Tree>,
    /// Share of each feature in the gain of all splits, mean of the trees.
    gains: Vec<f64>,
}

/// What the trees of a fit share.
struct Fit<'a> {
    binned: &'a BinnedRows,
    numeric_bins: Vec<usize>,
    rows: Drawable<'a>,
    growth: Growth,
    bootstrap: bool,
    parallel: bool,
}

impl Forest {
    /// Fits on rows that the caller has checked.
    pub(crate) fn fit(
        params: &RandomForestParams,
        training: &TrainingRows<'_>,
        seed: u64,
        kept: Option<&mut KeptCounts>,
    ) -> Forest {
        let (classes, categories) = (params.class_weight, params.categories);
        let settings = Settings { seed, bootstraps: Some(params.trees) };
        Forest::fit_trees(params.growth(), classes, categories, training, settings, kept)
    }

    /// Fits one tree on every row once; arguments as for [`fit`](Forest::fit).
    pub(crate) fn fit_tree(
        params: &DecisionTreeParams,
        training: &TrainingRows<'_>,
        seed: u64,
        kept: Option<&mut KeptCounts>,
    ) -> Forest {
        let (classes, categories) = (params.class_weight, params.categories);
        let settings = Settings { seed, bootstraps: None };
        Forest::fit_trees(params.growth(), classes, categories, training, settings, kept)
    }

    fn fit_trees(
        growth: Growth,
        class_weight: ClassWeight,
        categories: Categories,
        training: &TrainingRows<'_>,
        settings: Settings,
        kept: Option<&mut KeptCounts>,
    ) -> Forest {
        let seed = settings.seed;
        let Prepared { bins, binned, by_table_row } = Prepared::of(training, categories, seed);
        let rows = Drawable { rows: training.rows, labels: training.labels, by_table_row };
        let classes = rows.class_scale(class_weight);
        let trees = settings.bootstraps.unwrap_or(1);
        let fit = Fit {
            numeric_bins: bins.numeric_bins(),
            binned: &binned,
            rows,
            growth,
            bootstrap: settings.bootstraps.is_some(),
            // Many trees keep all threads busy, and each thread then has one tree in memory.
            parallel: (trees as usize) < 2 * rayon::current_num_threads(),
        };
        // Bins by table row are those kept between fits.
        let kept = kept.and_then(|kept| kept.used_if(by_table_row && training.weights.is_none()));
        let grown = match training.weights {
            None => match kept {
                Some(kept) => fit.kept_trees(classes, settings, &bins, kept),
                None => fit.trees(Unweighted, classes, none(trees), seed, 0).0,
            },
            Some(weights) => {
                let weights: Vec<f64> = training.rows.iter().map(|&row| weights[row as usize]).collect();
                let largest = weights.iter().copied().fold(0.0, f64::max);
                let by_class = |(i, weight): (usize, &f64)| {
                    let positive = training.labels[training.rows[i] as usize];
                    // Of the largest: a product of two large numbers might overflow. One of two small ones is not 0.
                    let of_class = if positive { classes.positive } else { classes.negative };
                    (weight / largest * of_class).max(f64::MIN_POSITIVE)
                };
                let weights: Vec<f64> = weights.iter().enumerate().map(by_class).collect();
                let (mut integers, units) = integer_weights(&weights);
                if by_table_row {
                    let mut by_row = vec![0; binned.rows()];
                    training
                        .rows
                        .iter()
                        .zip(&integers)
                        .for_each(|(&row, &weight)| by_row[row as usize] = weight);
                    integers = by_row;
                }
                fit.trees(Weighted(&integers), units, none(trees), seed, 0).0
            }
        };
        let mut gains = vec![0.0; binned.features];
        let mut trees = Vec::with_capacity(grown.len());
        for (tree, of_tree) in grown {
            let total: f64 = of_tree.iter().sum();
            if total > 0.0 {
                gains.iter_mut().zip(&of_tree).for_each(|(sum, gain)| *sum += gain / total);
            }
            trees.push(tree);
        }
        let total: f64 = gains.iter().sum();
        gains.iter_mut().for_each(|gain| *gain = if total > 0.0 { *gain / total } else { 0.0 });
        Forest { bins, trees, gains }
    }

    /// Trees in the forest.
    pub(crate) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// How features become bins.
    pub(crate) fn bins(&self) -> &TableBins {
        &self.bins
    }

    /// Probability of the label for each of these rows of bins.
    pub(crate) fn predict_proba(&self, binned: &BinnedRows) -> Vec<f64> {
        let mut sums = walk::sum(&self.trees, binned);
        let count = self.trees.len() as f64;
        sums.iter_mut().for_each(|sum| *sum /= count);
        sums
    }

    /// The leaf of each row in each tree, row-major.
    pub(crate) fn apply(&self, binned: &BinnedRows) -> Vec<u32> {
        walk::apply(&self.trees, binned)
    }

    /// Share of each feature in the gain of all splits; they sum to 1, or are all 0 where there is no split.
    pub(crate) fn gains(&self) -> &[f64] {
        &self.gains
    }

    /// Whether the forest is as `fit` makes it for so many features.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        let features = numeric + categorical;
        self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && self.gains.len() == features
            && self.gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            && !self.trees.is_empty()
            && self.trees.iter().all(|tree| tree.is_valid(features, |p| (0.0..=1.0).contains(&p)))
    }
}

/// A tree and what its splits gained by feature.
type Fitted = (Tree, Vec<f64>);
/// By tree, what is kept of it.
type Kept<C> = Vec<Option<KeptTree<C>>>;

impl Fit<'_> {
    /// Grows the trees from what was kept of them, and keeps what the next fit can use.
    fn kept_trees(
        &self,
        classes: ClassScale,
        settings: Settings,
        bins: &TableBins,
        kept: &mut KeptCounts,
    ) -> Vec<Fitted> {
        let trees = settings.bootstraps.unwrap_or(1);
        let counted = Counted { rows: self.rows.rows, labels: self.rows.labels, binned: self.binned };
        let features = self.binned.features;
        // Of so few rows that a sample might be empty nothing is kept, nor of nodes that count only what they try.
        let keeps = is_kept(counted.rows.len()) && !self.growth.counts_tried_only(features);
        let levels = if keeps { levels(trees as usize, features) } else { 0 };
        let before = kept.take(&settings, bins, &counted).filter(|_| levels > 0);
        let rows = before.as_ref().map(KeptTrees::rows);
        let first_new = rows.map_or(0, |(rows, _)| counted.rows.get(rows).copied().unwrap_or(u32::MAX));
        let before = match before {
            Some(before) => before.trees.into_iter().map(|tree| tree.map(|tree| (tree, first_new))).collect(),
            None => none(trees),
        };
        let (fitted, trees) = self.trees(Unweighted, classes, before, settings.seed, levels);
        if levels > 0 {
            kept.put(KeptTrees::of(settings, bins.clone(), &counted, rows, trees));
        }
        fitted
    }

    /// Grows a tree from each of `before`: what was kept of it, and the first row that this did not know.
    fn trees<S>(
        &self,
        source: S,
        scale: <S::Cell as Cell>::Scale,
        before: Vec<Option<(KeptTree<S::Cell>, u32)>>,
        seed: u64,
        kept_levels: u32,
    ) -> (Vec<Fitted>, Kept<S::Cell>)
    where
        S: Source<Entry = Draw> + Copy + Send,
    {
        let search = Search {
            scale,
            min_rows: self.growth.min_samples_leaf,
            min_weight: 0.0,
            l2: 0.0,
            smoothing: CATEGORY_SMOOTHING,
            noise: Noise::Label,
            price: 1.0,
            min_category: 0,
        };
        let grower = Grower {
            binned: self.binned,
            numeric_bins: &self.numeric_bins,
            source,
            search,
            params: self.growth,
            parallel: self.parallel,
            kept_levels,
        };
        let grown: Vec<_> = before
            .into_par_iter()
            .enumerate()
            .map(|(tree, before)| {
                let seed = derive(seed, tree as u64);
                let mut entries = if self.bootstrap { self.rows.bootstrap(seed) } else { self.rows.all() };
                let before =
                    before.map(|(tree, first)| (tree, entries.partition_point(|entry| entry.row() < first)));
                let mut gains = vec![0.0; self.binned.features];
                let (grown, kept) = grower.grow(&mut entries, before, derive(seed, u64::MAX));
                ((Tree::of(grown, &mut gains), gains), kept)
            })
            .collect();
        grown.into_iter().unzip()
    }
}

/// Trees of which nothing was kept.
fn none<T>(trees: u32) -> Vec<Option<T>> {
    (0..trees).map(|_| None).collect()
}
