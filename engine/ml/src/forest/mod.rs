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
//!
//! A fit after more rows is spared most of the work: by the counts of the last one (`kept`) where these fit into memory,
//! else by its trees (`turns`, and boosting by its own).

mod boost;
mod cell;
mod classes;
mod draw;
mod few;
mod grow;
mod histogram;
mod kept;
mod leafwise;
mod learner;
mod numbers;
mod origin;
mod params;
mod partition;
mod prepare;
mod smartcore;
mod split;
mod tree;
mod trees;
mod turns;
mod walk;

pub(crate) use kept::KeptCounts;
pub use params::{
    Categories, ClassWeight, DecisionTreeParams, GradientBoostingParams, RandomForestParams, TreeBackend,
};

use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::rare::RareCategories;
use crate::seed::derive;
use crate::training::TrainingRows;
use cell::{Cell, ClassScale, Draw, Source, Units, Unweighted, Weighted};
use draw::{Drawable, integer_weights};
use grow::Grower;
use kept::{KeptTree, KeptTrees, Settings, is_kept, levels};
use origin::TreeRows;
use params::Growth;
use prepare::Prepared;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use split::{Noise, Search};
use turns::{Age, Turns, count_leaves, takes_turns};

pub(crate) use boost::Boosted;
pub(crate) use classes::{BoostedClasses, ClassForest};
pub(crate) use draw::MAX_ROWS;
pub(crate) use numbers::NumberTrees;
pub(crate) use smartcore::Reference;
pub(crate) use split::Rule;
pub(crate) use tree::{Node, Tree};
pub(crate) use trees::{Link, Trees};

/// Rows by which categories are drawn towards the node's share. Chosen, as the price of many categories was, by folds
/// within the training rows of the Chicago arrests: at depth 5 the mean AUC of a tree went from .8846 to .8903 and that of
/// a forest of 20 from .8951 to .8965.
const CATEGORY_SMOOTHING: f64 = 30.0;

/// A fitted forest: how features become bins, and the trees over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    bins: TableBins,
    rare: RareCategories,
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
            if let Some(kept) = kept {
                kept.clear();
            }
            let before =
                before.and_then(|before| before.turns_for(params, &prepared.bins, &fit.tree_rows(), seed));
            let (trees, turns) = fit.in_turns(params, before);
            return Forest { turns: Some(turns), ..Forest::of(prepared.bins, training, trees) };
        }
        let trees = fit.grow_all(training, &prepared, kept);
        Forest::of(prepared.bins, training, trees)
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
        let trees = fit.grow_all(training, &prepared, kept);
        Forest::of(prepared.bins, training, trees)
    }

    fn of(bins: TableBins, training: &TrainingRows<'_>, fitted: Vec<Fitted>) -> Forest {
        let rare = RareCategories::of(&bins, training.table, training.rows);
        let mut gains = vec![0.0; bins.0.len()];
        let mut trees = Vec::with_capacity(fitted.len());
        for (tree, shares) in fitted {
            gains.iter_mut().zip(&shares).for_each(|(sum, share)| *sum += share);
            trees.push(tree);
        }
        share(&mut gains);
        Forest { bins, rare, trees, gains, turns: None }
    }

    /// Its trees as a classifier reads them.
    pub(crate) fn trees(&self) -> Trees<'_> {
        let Forest { bins, rare, trees, gains, .. } = self;
        Trees { bins, rare, trees, gains, link: Link::Mean }
    }

    /// Whether the forest is as `fit` makes it for so many features.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        let features = numeric + categorical;
        self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && self.rare.is_valid(numeric, features)
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
        prepared: &'a Prepared,
        training: &TrainingRows<'a>,
        growth: Growth,
        class_weight: ClassWeight,
        settings: Settings,
    ) -> Fit<'a> {
        let by_table_row = prepared.by_table_row;
        let rows = Drawable { rows: training.rows, labels: training.labels, by_table_row };
        Fit {
            numeric_bins: prepared.bins.numeric_bins(),
            binned: &prepared.binned,
            classes: rows.class_scale(class_weight),
            rows,
            growth,
            settings,
        }
    }

    fn tree_count(&self) -> usize {
        self.settings.bootstraps.unwrap_or(1) as usize
    }

    fn tree_rows(&self) -> TreeRows<'_> {
        TreeRows { rows: &self.rows, binned: self.binned }
    }

    /// Grows every tree.
    fn grow_all(
        &self,
        training: &TrainingRows<'_>,
        prepared: &Prepared,
        kept: Option<&mut KeptCounts>,
    ) -> Vec<Fitted> {
        // Bins by table row are those kept between fits.
        let usable = self.rows.by_table_row && training.weights.is_none();
        match (training.weights, kept.and_then(|kept| kept.used_if(usable))) {
            (None, Some(kept)) => self.grow_kept(&prepared.bins, kept),
            (None, None) => self.grow(Unweighted, self.classes, of_nothing(self.tree_count()), 0).0,
            (Some(weights), _) => {
                let (integers, units) = self.weights(weights);
                self.grow(Weighted(&integers), units, of_nothing(self.tree_count()), 0).0
            }
        }
    }

    /// Rows' weights as integers by row of the bins, those of their classes included, and what a unit is.
    fn weights(&self, weights: &[f64]) -> (Vec<u32>, Units) {
        let Drawable { rows, labels, .. } = self.rows;
        let largest = rows.iter().map(|&row| weights[row as usize]).fold(0.0, f64::max);
        let weights: Vec<f64> = rows
            .iter()
            .map(|&row| {
                // Of the largest: a product of two large numbers might overflow. One of two small ones is not 0.
                let ClassScale { negative, positive } = self.classes;
                let of_class = if labels[row as usize] { positive } else { negative };
                (weights[row as usize] / largest * of_class).max(f64::MIN_POSITIVE)
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

    /// Grows the trees that do not stay as the forest before has them, and counts the rows in the leaves of those that do.
    fn in_turns(
        &self,
        params: &RandomForestParams,
        before: Option<(&[Tree], &Turns)>,
    ) -> (Vec<Fitted>, Turns) {
        let rows = self.rows.rows.len() as u64;
        let staying = before.map(|(_, turns)| turns.staying(rows)).unwrap_or_default();
        let stays = |number: &usize| staying.binary_search(number).is_ok();
        let anew: Vec<usize> = (0..self.tree_count()).filter(|number| !stays(number)).collect();
        let sprouts = anew.iter().map(|&number| (number, None)).collect();
        let grown = self.grow(Unweighted, self.classes, sprouts, 0).0;
        let grown = grown.into_iter().map(|(tree, gains)| (tree, Age { grown_from: rows, gains }));
        let counted = before.into_iter().flat_map(|(trees, turns)| {
            let trees = staying.iter().map(|&number| trees[number].clone()).collect();
            let ages = staying.iter().map(|&number| turns.ages[number].clone());
            count_leaves(&staying, trees, self.binned, &self.rows, &self.classes, self.settings.seed)
                .into_iter()
                .zip(ages)
        });
        let mut all: Vec<(usize, (Tree, Age))> =
            anew.iter().copied().zip(grown).chain(staying.iter().copied().zip(counted)).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        let (trees, ages): (Vec<Tree>, Vec<Age>) = all.into_iter().map(|(_, tree)| tree).unzip();
        let fitted = trees.into_iter().zip(&ages).map(|(tree, age)| (tree, age.gains.clone())).collect();
        // The rows of the forest before were hashed to know them again.
        let known = before.map(|(_, turns)| turns.origin);
        let origin =
            known.map_or_else(|| self.tree_rows().origin(), |known| self.tree_rows().origin_after(known));
        let (params, seed) = (params.clone(), self.settings.seed);
        (fitted, Turns { params, seed, origin, ages })
    }

    /// Grows the trees from what was kept of them, and keeps what the next fit can use.
    fn grow_kept(&self, bins: &TableBins, kept: &mut KeptCounts) -> Vec<Fitted> {
        let (trees, rows, features) = (self.tree_count(), self.tree_rows(), self.binned.features);
        // Of so few rows that a sample might be empty nothing is kept, nor of nodes that count only what they try.
        let keeps = is_kept(self.rows.rows.len()) && !self.growth.counts_tried_only(features);
        let levels = if keeps { levels(trees, features) } else { 0 };
        let before = kept.take(&self.settings, bins, &rows).filter(|_| levels > 0);
        let known = before.as_ref().map(|before| before.origin);
        let sprouts = match before {
            Some(KeptTrees { origin, trees, .. }) => {
                let first_new = self.rows.rows.get(origin.rows as usize).copied().unwrap_or(u32::MAX);
                let numbered = trees.into_iter().enumerate();
                numbered.map(|(number, tree)| (number, tree.map(|tree| (tree, first_new)))).collect()
            }
            None => of_nothing(trees),
        };
        let (fitted, trees) = self.grow(Unweighted, self.classes, sprouts, levels);
        if levels > 0 {
            let origin = known.map_or_else(|| rows.origin(), |known| rows.origin_after(known));
            let (settings, bins) = (self.settings.clone(), bins.clone());
            kept.put(KeptTrees { settings, bins, origin, trees });
        }
        fitted
    }

    /// Grows each of these trees.
    fn grow<S>(
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
            // Many trees keep all threads busy, and each thread then has one tree in memory.
            parallel: sprouts.len() < 2 * rayon::current_num_threads(),
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
