//! Trees, forests and boosting of many classes.
//!
//! A forest's tree is one tree for all classes, split by Gini impurity, whose leaves say a share of each class; a forest
//! says the mean of its trees. Boosting has a tree a class and round: [`boost`].

mod boost;
mod grow;
mod histogram;
mod split;
mod walk;

use super::cell::Draw;
use super::draw::{Drawable, integer_weights};
use super::params::{
    Categories, ClassWeight, DecisionTreeParams, Growth, RandomForestParams, class_settings,
};
use super::prepare::{EncodedTarget, FeatureRows, Prepared};
use super::tree::Tree;
use super::{CATEGORY_SMOOTHING, share};
use crate::encode::bins::TableBins;
use crate::encode::rare::RareCategories;
use crate::seed::derive;
use crate::training::ClassRows;
use crate::{Error, FeatureTable, KeptBins};
use grow::ClassGrower;
use histogram::Counting;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use split::ClassSearch;

pub(crate) use boost::BoostedClasses;

/// A fitted forest, or tree, of many classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClassForest {
    bins: TableBins,
    rare: RareCategories,
    /// Their leaves hold nothing: what they say is beside them.
    trees: Vec<Tree>,
    /// By tree, the share of each class in each leaf from the left: leaves × classes.
    shares: Vec<Vec<f64>>,
    /// Share of each feature in the gain of all splits, mean of the trees.
    gains: Vec<f64>,
}

/// A row drawn for a tree, with its class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct DrawnClass {
    draw: Draw,
    class: u32,
}

impl ClassForest {
    /// A forest, of rows that the caller has checked.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for settings that only two classes have.
    pub(crate) fn forest(
        params: &RandomForestParams,
        rows: &ClassRows<'_>,
        seed: u64,
    ) -> Result<ClassForest, Error> {
        class_settings(params.class_weight, params.backend)?;
        let settings = (params.growth(), params.class_weight, params.categories);
        Ok(ClassForest::grow(rows, settings, Some(params.trees), seed))
    }

    /// One tree of every row once.
    ///
    /// # Errors
    ///
    /// Those of [`forest`](ClassForest::forest).
    pub(crate) fn tree(
        params: &DecisionTreeParams,
        rows: &ClassRows<'_>,
        seed: u64,
    ) -> Result<ClassForest, Error> {
        class_settings(params.class_weight, params.backend)?;
        let settings = (params.growth(), params.class_weight, params.categories);
        Ok(ClassForest::grow(rows, settings, None, seed))
    }

    fn grow(
        training: &ClassRows<'_>,
        (growth, class_weight, categories): (Growth, ClassWeight, Categories),
        bootstraps: Option<u32>,
        seed: u64,
    ) -> ClassForest {
        let prepared = prepared(training, categories, seed);
        let rows = Drawable { rows: training.rows, labels: &[], by_table_row: prepared.by_table_row };
        let classes = training.classes as usize;
        let labels: Vec<u32> = training.rows.iter().map(|&row| training.labels[row as usize]).collect();
        let of_class = class_scale(&labels, classes, class_weight);
        // Integers have the weights of classes in them.
        let weights = training.weights.map(|weights| {
            let (of_rows, units) = integer_weights(&weights_of(training.rows, weights, &labels, &of_class));
            (rows.by_row_of_bins(&of_rows, prepared.binned.rows()), units.weight)
        });
        let scale = weights.as_ref().map_or(of_class, |(_, unit)| vec![*unit; classes]);
        let labels = rows.by_row_of_bins(&labels, prepared.binned.rows());
        let trees = bootstraps.unwrap_or(1);
        let features = prepared.binned.features;
        let grower = ClassGrower {
            counting: Counting {
                binned: &prepared.binned,
                weights: weights.as_ref().map(|(weights, _)| weights.as_slice()),
                classes,
            },
            numeric_bins: &prepared.bins.numeric_bins(),
            search: ClassSearch { scale, min_rows: growth.min_samples_leaf, smoothing: CATEGORY_SMOOTHING },
            growth,
            parallel: (trees as usize) < 2 * rayon::current_num_threads(),
        };
        let grown: Vec<(Tree, Vec<f64>, Vec<f64>)> = (0..trees)
            .into_par_iter()
            .map(|number| {
                let seed = derive(seed, u64::from(number));
                let drawn = if bootstraps.is_some() { rows.bootstrap(seed) } else { rows.all() };
                let of_row = |draw: Draw| DrawnClass { draw, class: labels[draw.row() as usize] };
                let mut entries: Vec<DrawnClass> = drawn.into_iter().map(of_row).collect();
                let (tree, shares) = grower.grow(&mut entries, derive(seed, u64::MAX));
                let mut gains = vec![0.0; features];
                let tree = Tree::of(tree, &mut gains);
                share(&mut gains);
                (tree, shares, gains)
            })
            .collect();
        let mut gains = vec![0.0; features];
        let (mut trees, mut shares) = (Vec::with_capacity(grown.len()), Vec::with_capacity(grown.len()));
        for (tree, of_leaves, of_tree) in grown {
            gains.iter_mut().zip(&of_tree).for_each(|(sum, share)| *sum += share);
            trees.push(tree);
            shares.push(of_leaves);
        }
        share(&mut gains);
        let rare = RareCategories::of(&prepared.bins, training.table, training.rows);
        ClassForest { bins: prepared.bins, rare, trees, shares, gains }
    }

    /// The probability of each class for each of these rows: rows × classes, each row of sum 1.
    pub(crate) fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Vec<f64> {
        let binned = KeptBins::binned(kept, &self.bins, table, rows);
        let unseen = self.rare.unseen(table, rows, &binned);
        let classes = self.classes();
        let mut sums = walk::sum_shares(&self.trees, &self.shares, classes, &binned, &unseen);
        sums.par_chunks_exact_mut(classes).for_each(|of_row| {
            let all: f64 = of_row.iter().sum();
            of_row.iter_mut().for_each(|share| *share /= all);
        });
        sums
    }

    /// The bins, the trees, and by tree the share of each class in each leaf from the left.
    pub(crate) fn parts(&self) -> (&TableBins, &RareCategories, &[Tree], &[Vec<f64>]) {
        (&self.bins, &self.rare, &self.trees, &self.shares)
    }

    fn classes(&self) -> usize {
        match (self.trees.first(), self.shares.first()) {
            (Some(tree), Some(shares)) => shares.len() / walk::leaves(tree).max(1),
            _ => 0,
        }
    }

    /// Share of each feature in the gain of all splits, numeric features first; all 0 where there is no split.
    pub(crate) fn gains(&self) -> &[f64] {
        &self.gains
    }

    /// Whether the model is as a fit makes it for so many features and classes.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool {
        let (features, classes) = (numeric + categorical, classes as usize);
        let tree_is_valid = |tree: &Tree, shares: &[f64]| {
            tree.is_valid(features, |held| held == 0.0)
                && Some(shares.len()) == walk::leaves(tree).checked_mul(classes)
                && shares.chunks_exact(classes).all(|of_leaf| {
                    of_leaf.iter().all(|share| (0.0..=1.0).contains(share))
                        && (of_leaf.iter().sum::<f64>() - 1.0).abs() < 1e-9
                })
        };
        classes >= 2
            && self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && self.rare.is_valid(numeric, features)
            && self.gains.len() == features
            && self.gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            && !self.trees.is_empty()
            && self.shares.len() == self.trees.len()
            && self.trees.iter().zip(&self.shares).all(|(tree, shares)| tree_is_valid(tree, shares))
    }
}

/// The bins of the rows.
fn prepared(training: &ClassRows<'_>, categories: Categories, seed: u64) -> Prepared {
    let ClassRows { table, labels, classes, rows, weights, bins } = *training;
    let features = FeatureRows { table, rows, weights, bins };
    Prepared::of_target(&features, &EncodedTarget::Classes(labels, classes), categories, seed)
}

/// Weight of a row of each class, of mean 1 over the rows: all the same, or rows / (classes · rows of the class).
fn class_scale(labels: &[u32], classes: usize, class_weight: ClassWeight) -> Vec<f64> {
    match class_weight {
        ClassWeight::Balanced => {
            let mut counts = vec![0u32; classes];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            let even = labels.len() as f64 / classes as f64;
            counts.into_iter().map(|count| even / f64::from(count.max(1))).collect()
        }
        ClassWeight::Equal | ClassWeight::Given { .. } => vec![1.0; classes],
    }
}

/// Weights of these rows as shares of the largest, those of their classes included; none is 0.
fn weights_of(rows: &[u32], weights: &[f64], labels: &[u32], of_class: &[f64]) -> Vec<f64> {
    let largest = rows.iter().map(|&row| weights[row as usize]).fold(0.0, f64::max);
    let each = rows.iter().zip(labels);
    each.map(|(&row, &label)| {
        (weights[row as usize] / largest * of_class[label as usize]).max(f64::MIN_POSITIVE)
    })
    .collect()
}
