//! Gradient boosting of the log loss of many classes (Friedman 2001, K-class): a tree a class and round.
//!
//! ```text
//! scores so far ──p = softmax──> by class: gradient w·(p - y), hessian w·p·(1 - p) ──integers──> Tree ──rate──> scores
//! ```
//!
//! It begins with the logarithms of the classes' shares. The trees of a round learn from the same probabilities, so they
//! grow side by side. Gradients and hessians are integers as in boosting of [two classes](super::super::boost).

use super::super::boost::{
    CATEGORY_PRICE, CATEGORY_SMOOTHING, Gradient, Gradients, MIN_CATEGORY, MIN_HESSIAN,
};
use super::super::cell::{Cell, Moments, Units};
use super::super::leafwise::LeafwiseGrower;
use super::super::params::{ClassWeight, GradientBoostingParams, class_settings};
use super::super::split::{Noise, Search};
use super::super::tree::Tree;
use super::super::{share, walk};
use super::{class_scale, prepared, weights_of};
use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::rare::RareCategories;
use crate::seed::derive;
use crate::training::ClassRows;
use crate::{Error, FeatureTable, KeptBins};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows that one task brings up to date; its scores of all classes stay in a core's cache.
const CHUNK: usize = 2_048;

/// A fitted sum of trees for each class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BoostedClasses {
    bins: TableBins,
    rare: RareCategories,
    classes: Vec<OfClass>,
    /// Share of each feature in the gain of all splits.
    gains: Vec<f64>,
}

/// The trees of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OfClass {
    /// Score before the first tree.
    base: f64,
    /// One a round. Leaves hold scores, learning rate included.
    trees: Vec<Tree>,
}

/// One class while the trees grow; all by position of the training row.
struct Growing {
    scores: Vec<f64>,
    gradients: Vec<Gradient>,
    total: Moments,
    /// Leaf of the last tree.
    leaves: Vec<u16>,
    /// The last tree's.
    values: Vec<f64>,
    entries: Vec<u32>,
    spill: Vec<u32>,
    trees: Vec<Tree>,
    gains: Vec<f64>,
}

/// Scores and gradients of one class for some of the rows.
type Chunk<'a> = (&'a [f64], &'a mut [Gradient]);

/// What all rounds have in common.
struct Rounds<'a> {
    params: &'a GradientBoostingParams,
    binned: &'a BinnedRows,
    numeric_bins: &'a [usize],
    labels: &'a [u32],
    /// Of mean 1; empty if all are 1.
    weights: &'a [f64],
    units: Units,
    tried: usize,
}

impl Rounds<'_> {
    /// Makes the gradients of all classes anew from their scores.
    fn update(&self, classes: &mut [Growing], round: u64) {
        let rows = self.labels.len();
        let mut chunks: Vec<Vec<Chunk<'_>>> =
            (0..rows.div_ceil(CHUNK)).map(|_| Vec::with_capacity(classes.len())).collect();
        for class in classes.iter_mut() {
            let of_class = class.scores.chunks(CHUNK).zip(class.gradients.chunks_mut(CHUNK));
            chunks.iter_mut().zip(of_class).for_each(|(chunk, of_class)| chunk.push(of_class));
        }
        let parts: Vec<Vec<Moments>> = chunks
            .into_par_iter()
            .enumerate()
            .map(|(chunk, mut classes)| self.update_chunk(chunk * CHUNK, &mut classes, round))
            .collect();
        for (at, class) in classes.iter_mut().enumerate() {
            class.total = parts.iter().fold(Moments::default(), |sum, part| sum.plus(part[at]));
        }
    }

    /// The same of some rows; gives the sum of each class.
    fn update_chunk(&self, first: usize, classes: &mut [Chunk<'_>], round: u64) -> Vec<Moments> {
        let rows = classes.first().map_or(0, |of| of.0.len());
        let mut largest = vec![f64::NEG_INFINITY; rows];
        for (scores, _) in classes.iter() {
            largest.iter_mut().zip(*scores).for_each(|(most, score)| *most = most.max(*score));
        }
        let mut odds = vec![0.0; rows * classes.len()];
        let mut sums = vec![0.0; rows];
        for ((scores, _), odds) in classes.iter().zip(odds.chunks_exact_mut(rows)) {
            let each = odds.iter_mut().zip(*scores).zip(largest.iter().zip(&mut sums));
            each.for_each(|((odds, score), (most, sum))| {
                *odds = (score - most).exp();
                *sum += *odds;
            });
        }
        let (per_gradient, per_hessian) = (1.0 / self.units.sum, 1.0 / self.units.weight);
        let update = |(class, ((_, gradients), odds)): (usize, (&mut Chunk<'_>, &[f64]))| {
            let mut total = Moments::default();
            for (i, (gradient, odds)) in gradients.iter_mut().zip(odds).enumerate() {
                let row = first + i;
                let p = odds / sums[i];
                let weight = self.weights.get(row).copied().unwrap_or(1.0);
                let is_of = self.labels[row] as usize == class;
                let slope = weight * (p - if is_of { 1.0 } else { 0.0 });
                // Rounding is no choice that a seed has.
                let coin = (derive(round, row as u64) >> 40) as f64 / (1u64 << 24) as f64;
                *gradient = Gradient {
                    gradient: (slope * per_gradient).round() as i32,
                    hessian: (weight * p * (1.0 - p) * per_hessian + coin) as u32,
                };
                total = total.plus(Moments::new(i64::from(gradient.gradient), 1, gradient.hessian));
            }
            total
        };
        classes.iter_mut().zip(odds.chunks_exact(rows)).enumerate().map(update).collect()
    }

    /// Grows the next tree of a class and adds what it says.
    fn grow(&self, class: &mut Growing, seed: u64) {
        let params = self.params;
        let search = Search {
            scale: self.units,
            min_rows: params.min_samples_leaf,
            min_weight: MIN_HESSIAN,
            l2: params.l2,
            smoothing: CATEGORY_SMOOTHING,
            noise: Noise::Gradient,
            price: CATEGORY_PRICE,
            min_category: MIN_CATEGORY,
        };
        let Growing { scores, gradients, total, leaves, values, entries, spill, trees, gains } = class;
        let grower = LeafwiseGrower {
            binned: self.binned,
            numeric_bins: self.numeric_bins,
            source: Gradients(gradients),
            search,
            max_leaves: params.max_leaves as usize,
            max_depth: params.max_depth,
            tried: self.tried,
        };
        values.clear();
        entries.iter_mut().zip(0u32..).for_each(|(entry, row)| *entry = row);
        let grown = grower.grow(entries, spill, *total, seed, |cell, entries| {
            let sums = cell.sums(&search.scale);
            let value = -params.learning_rate * sums.sum / (sums.weight + params.l2).max(MIN_HESSIAN);
            let number = values.len() as u16;
            entries.iter().for_each(|&entry| leaves[entry as usize] = number);
            values.push(value);
            value
        });
        trees.push(Tree::of(grown, gains));
        let each = scores.par_iter_mut().zip(&*leaves).with_min_len(CHUNK);
        each.for_each(|(score, leaf)| *score += values[*leaf as usize]);
    }
}

impl BoostedClasses {
    /// Fits on rows that the caller has checked.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for weights of two classes.
    pub(crate) fn fit(
        params: &GradientBoostingParams,
        training: &ClassRows<'_>,
        seed: u64,
    ) -> Result<BoostedClasses, Error> {
        class_settings(params.class_weight, Default::default())?;
        let prepared = prepared(training, params.categories, seed).by_position(training.rows);
        let (bins, binned) = (prepared.bins, prepared.binned);
        let labels: Vec<u32> = training.rows.iter().map(|&row| training.labels[row as usize]).collect();
        let (rows, classes) = (labels.len(), training.classes as usize);
        let weights = weights(params.class_weight, training, &labels);
        let base = base(&labels, classes, &weights);
        let features = binned.features;
        let rounds = Rounds {
            params,
            binned: &binned,
            numeric_bins: &bins.numeric_bins(),
            labels: &labels,
            units: Units::of_gradients(rows, weights.iter().copied().fold(1.0, f64::max)),
            weights: &weights,
            tried: ((features as f64 * params.max_features) as usize).clamp(1, features),
        };
        let mut growing: Vec<Growing> = base
            .iter()
            .map(|&base| Growing {
                scores: vec![base; rows],
                gradients: vec![Gradient::default(); rows],
                total: Moments::default(),
                leaves: vec![0; rows],
                values: Vec::new(),
                entries: vec![0; rows],
                spill: vec![0; rows],
                trees: Vec::new(),
                gains: vec![0.0; features],
            })
            .collect();
        for round in 0..u64::from(params.trees) {
            rounds.update(&mut growing, round);
            let seed = derive(seed, round);
            growing.par_iter_mut().enumerate().for_each(|(class, growing)| {
                rounds.grow(growing, derive(seed, class as u64));
            });
            // Where no feature gains for any class now, none will later.
            let stands = |class: &Growing| class.trees.last().is_some_and(|tree| tree.leaves() == 1);
            if rounds.tried == features && growing.iter().all(stands) {
                growing.iter_mut().for_each(|class| drop(class.trees.pop()));
                break;
            }
        }
        let mut gains = vec![0.0; features];
        for class in &growing {
            gains.iter_mut().zip(&class.gains).for_each(|(sum, gain)| *sum += gain);
        }
        share(&mut gains);
        let rare = RareCategories::of(&bins, training.table, training.rows);
        let of_class = |(growing, base): (Growing, f64)| OfClass { base, trees: growing.trees };
        let classes = growing.into_iter().zip(base).map(of_class).collect();
        Ok(BoostedClasses { bins, rare, classes, gains })
    }

    /// The bins, and for each class the score before the first tree, and its trees.
    pub(crate) fn parts(&self) -> (&TableBins, &RareCategories, Vec<(f64, &[Tree])>) {
        let classes = self.classes.iter().map(|class| (class.base, class.trees.as_slice())).collect();
        (&self.bins, &self.rare, classes)
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
        let count = self.classes.len();
        let mut scores = vec![0.0; rows.len() * count];
        for (at, OfClass { base, trees }) in self.classes.iter().enumerate() {
            let mut sums = walk::sum(trees, &binned);
            walk::put_unseen_sums(trees, &binned, &unseen, &mut sums);
            scores.iter_mut().skip(at).step_by(count).zip(sums).for_each(|(score, sum)| *score = base + sum);
        }
        scores.par_chunks_exact_mut(count).for_each(softmax);
        scores
    }

    /// Share of each feature in the gain of all splits, numeric features first; all 0 where there is no split.
    pub(crate) fn gains(&self) -> &[f64] {
        &self.gains
    }

    /// Whether the model is as `fit` makes it for so many features and classes.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool {
        let features = numeric + categorical;
        // Sums of all trees that there may be are finite.
        let score = |value: f64| (-1e290..=1e290).contains(&value);
        self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && self.rare.is_valid(numeric, features)
            && self.gains.len() == features
            && self.gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            && classes >= 2
            && self.classes.len() == classes as usize
            && self.classes.windows(2).all(|pair| pair[0].trees.len() == pair[1].trees.len())
            && self.classes.iter().all(|class| {
                score(class.base) && class.trees.iter().all(|tree| tree.is_valid(features, score))
            })
    }
}

fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let all: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= all);
}

/// Weights of mean 1 by position, class weights included; none if all are the same.
fn weights(class_weight: ClassWeight, training: &ClassRows<'_>, labels: &[u32]) -> Vec<f64> {
    let of_class = class_scale(labels, training.classes as usize, class_weight);
    let mut weights = match training.weights {
        Some(weights) => weights_of(training.rows, weights, labels, &of_class),
        None if class_weight == ClassWeight::Equal => return Vec::new(),
        None => labels.iter().map(|&label| of_class[label as usize]).collect(),
    };
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.iter_mut().for_each(|weight| *weight /= mean);
    weights
}

/// The logarithms of the classes' shares. A share that is nothing next to the others is of one part in 10^300.
fn base(labels: &[u32], classes: usize, weights: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; classes];
    for (position, &label) in labels.iter().enumerate() {
        sums[label as usize] += weights.get(position).copied().unwrap_or(1.0);
    }
    let all: f64 = sums.iter().sum();
    sums.into_iter().map(|sum: f64| (sum / all).max(1e-300).ln()).collect()
}
