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
mod turns;
mod walk;

pub use kept::KeptCounts;
pub use params::{
    Categories, ClassWeight, DecisionTreeParams, GradientBoostingParams, RandomForestParams, TreeBackend,
};

use crate::encode::bins::{BinnedRows, TableBins};
use crate::seed::derive;
use crate::training::TrainingRows;
use cell::{Cell, ClassScale, Draw, Source, Units, Unweighted, Weighted};
use draw::{Drawable, integer_weights};
use grow::Grower;
use kept::{Counted, KeptTree, KeptTrees, Settings, is_kept, levels};
use params::Growth;
use prepare::Prepared;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use split::{Noise, Search};
use turns::{Age, Turns, count_leaves, staying, takes_turns};

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
    /// Where trees take turns at being grown anew.
    turns: Option<Turns>,
}

/// What the trees of a fit share.
struct Fit<'a> {
    binned: &'a BinnedRows,
    numeric_bins: Vec<usize>,
    rows: Drawable<'a>,
    classes: ClassScale,
    growth: Growth,
    settings: Settings,
    parallel: bool,
}

impl Forest {
    /// Fits on rows that the caller has checked, going on from the model before where trees take turns.
    pub(crate) fn fit(
        params: &RandomForestParams,
        training: &TrainingRows<'_>,
        seed: u64,
        kept: Option<&mut KeptCounts>,
        before: Option<&Forest>,
    ) -> Forest {
        let prepared = Prepared::of(training, params.categories, seed);
        let settings = Settings { seed, bootstraps: Some(params.trees) };
        let fit = Fit::of(&prepared, training, params.growth(), params.class_weight, settings);
        if training.weights.is_none() && takes_turns(params, prepared.bins.0.len(), training.rows.len()) {
            kept.and_then(|kept| kept.used_if(false));
            let (trees, ages) = fit.in_turns(staying(before, params, &prepared.bins, training, seed));
            let turns = Turns::of(params, training, seed, ages);
            return Forest { turns: Some(turns), ..Forest::of(prepared.bins, trees) };
        }
        let trees = fit.all(training, &prepared, kept);
        Forest::of(prepared.bins, trees)
    }

    /// Fits one tree on every row once; arguments as for [`fit`](Forest::fit).
    pub(crate) fn fit_tree(
        params: &DecisionTreeParams,
        training: &TrainingRows<'_>,
        seed: u64,
        kept: Option<&mut KeptCounts>,
    ) -> Forest {
        let prepared = Prepared::of(training, params.categories, seed);
        let settings = Settings { seed, bootstraps: None };
        let fit = Fit::of(&prepared, training, params.growth(), params.class_weight, settings);
        let trees = fit.all(training, &prepared, kept);
        Forest::of(prepared.bins, trees)
    }

    fn of(bins: TableBins, fitted: Vec<Fitted>) -> Forest {
        let mut gains = vec![0.0; bins.0.len()];
        let mut trees = Vec::with_capacity(fitted.len());
        for (tree, shares) in fitted {
            gains.iter_mut().zip(&shares).for_each(|(sum, share)| *sum += share);
            trees.push(tree);
        }
        share(&mut gains);
        Forest { bins, trees, gains, turns: None }
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
            && self.turns.as_ref().is_none_or(|turns| turns.is_valid(self.trees.len(), features))
    }
}

/// A tree and the share of each feature in what its splits gained.
type Fitted = (Tree, Vec<f64>);
/// The number of a tree that is to grow, what was kept of it, and the first row that this did not know.
type Sprout<C> = (usize, Option<(KeptTree<C>, u32)>);
/// By tree, what is kept of it.
type Kept<C> = Vec<Option<KeptTree<C>>>;

impl<'a> Fit<'a> {
    fn of(
        prepared: &'a Prepared<'a>,
        training: &TrainingRows<'a>,
        growth: Growth,
        class_weight: ClassWeight,
        settings: Settings,
    ) -> Fit<'a> {
        let by_table_row = prepared.by_table_row;
        let rows = Drawable { rows: training.rows, labels: training.labels, by_table_row };
        let trees = settings.bootstraps.unwrap_or(1) as usize;
        Fit {
            numeric_bins: prepared.bins.numeric_bins(),
            binned: &prepared.binned,
            classes: rows.class_scale(class_weight),
            rows,
            growth,
            settings,
            // Many trees keep all threads busy, and each thread then has one tree in memory.
            parallel: trees < 2 * rayon::current_num_threads(),
        }
    }

    fn tree_count(&self) -> usize {
        self.settings.bootstraps.unwrap_or(1) as usize
    }

    /// Grows every tree.
    fn all(
        &self,
        training: &TrainingRows<'_>,
        prepared: &Prepared<'_>,
        kept: Option<&mut KeptCounts>,
    ) -> Vec<Fitted> {
        let by_table_row = prepared.by_table_row;
        // Bins by table row are those kept between fits.
        let kept = kept.and_then(|kept| kept.used_if(by_table_row && training.weights.is_none()));
        match (training.weights, kept) {
            (None, Some(kept)) => self.kept_trees(&prepared.bins, kept),
            (None, None) => self.trees(Unweighted, self.classes, of_nothing(self.tree_count()), 0).0,
            (Some(weights), _) => {
                let (integers, units) = self.weights(weights);
                self.trees(Weighted(&integers), units, of_nothing(self.tree_count()), 0).0
            }
        }
    }

    /// Rows' weights as integers by row of the bins, those of their classes included, and what a unit is.
    fn weights(&self, by_table_row: &[f64]) -> (Vec<u32>, Units) {
        let Drawable { rows, labels, .. } = self.rows;
        let largest = rows.iter().map(|&row| by_table_row[row as usize]).fold(0.0, f64::max);
        let weights: Vec<f64> = rows
            .iter()
            .map(|&row| {
                // Of the largest: a product of two large numbers might overflow. One of two small ones is not 0.
                let ClassScale { negative, positive } = self.classes;
                let of_class = if labels[row as usize] { positive } else { negative };
                (by_table_row[row as usize] / largest * of_class).max(f64::MIN_POSITIVE)
            })
            .collect();
        let (integers, units) = integer_weights(&weights);
        if !self.rows.by_table_row {
            return (integers, units);
        }
        let mut by_row = vec![0; self.binned.rows()];
        rows.iter().zip(&integers).for_each(|(&row, &weight)| by_row[row as usize] = weight);
        (by_row, units)
    }

    /// Grows the trees that do not stay, and counts the rows in the leaves of those that do.
    fn in_turns(&self, staying: Vec<Option<(Tree, Age)>>) -> (Vec<Fitted>, Vec<Age>) {
        let anew = staying.iter().enumerate().filter(|(_, stays)| stays.is_none());
        let sprouts = anew.map(|(number, _)| (number, None)).collect();
        let mut grown = self.trees(Unweighted, self.classes, sprouts, 0).0.into_iter();
        let numbered = staying.iter().enumerate();
        let mut counted: Vec<(usize, Tree)> = numbered
            .filter_map(|(number, stays)| stays.as_ref().map(|(tree, _)| (number, tree.clone())))
            .collect();
        count_leaves(&mut counted, self.binned, &self.rows, &self.classes, self.settings.seed);
        let mut counted = counted.into_iter();
        let grown_from = self.rows.rows.len() as u64;
        let (mut fitted, mut ages) = (Vec::new(), Vec::new());
        for stays in staying {
            let (tree, age) = match stays {
                Some((_, age)) => (counted.next().map(|(_, tree)| tree), age),
                None => {
                    let (tree, gains) = grown.next().unzip();
                    (tree, Age { grown_from, gains: gains.unwrap_or_default() })
                }
            };
            fitted.extend(tree.map(|tree| (tree, age.gains.clone())));
            ages.push(age);
        }
        (fitted, ages)
    }

    /// Grows the trees from what was kept of them, and keeps what the next fit can use.
    fn kept_trees(&self, bins: &TableBins, kept: &mut KeptCounts) -> Vec<Fitted> {
        let trees = self.tree_count();
        let counted = Counted { rows: self.rows.rows, labels: self.rows.labels, binned: self.binned };
        let features = self.binned.features;
        // Of so few rows that a sample might be empty nothing is kept, nor of nodes that count only what they try.
        let keeps = is_kept(counted.rows.len()) && !self.growth.counts_tried_only(features);
        let levels = if keeps { levels(trees, features) } else { 0 };
        let before = kept.take(&self.settings, bins, &counted).filter(|_| levels > 0);
        let rows = before.as_ref().map(KeptTrees::rows);
        let first_new = rows.map_or(0, |(rows, _)| counted.rows.get(rows).copied().unwrap_or(u32::MAX));
        let sprouts = match before {
            Some(before) => {
                let numbered = before.trees.into_iter().enumerate();
                numbered.map(|(number, tree)| (number, tree.map(|tree| (tree, first_new)))).collect()
            }
            None => of_nothing(trees),
        };
        let (fitted, trees) = self.trees(Unweighted, self.classes, sprouts, levels);
        if levels > 0 {
            kept.put(KeptTrees::of(self.settings.clone(), bins.clone(), &counted, rows, trees));
        }
        fitted
    }

    /// Grows each of these trees.
    fn trees<S>(
        &self,
        source: S,
        scale: <S::Cell as Cell>::Scale,
        sprouts: Vec<Sprout<S::Cell>>,
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
        let grown: Vec<_> = sprouts
            .into_par_iter()
            .map(|(number, before)| {
                let seed = derive(self.settings.seed, number as u64);
                let mut entries = match self.settings.bootstraps {
                    Some(_) => self.rows.bootstrap(seed),
                    None => self.rows.all(),
                };
                let before =
                    before.map(|(tree, first)| (tree, entries.partition_point(|entry| entry.row() < first)));
                let mut gains = vec![0.0; self.binned.features];
                let (grown, kept) = grower.grow(&mut entries, before, derive(seed, u64::MAX));
                let tree = Tree::of(grown, &mut gains);
                share(&mut gains);
                ((tree, gains), kept)
            })
            .collect();
        grown.into_iter().unzip()
    }
}

/// Trees of which nothing was kept.
fn of_nothing<C>(trees: usize) -> Vec<Sprout<C>> {
    (0..trees).map(|number| (number, None)).collect()
}

/// Each as its share of all; as they are where all are 0.
fn share(gains: &mut [f64]) {
    let total: f64 = gains.iter().sum();
    if total > 0.0 {
        gains.iter_mut().for_each(|gain| *gain /= total);
    }
}
