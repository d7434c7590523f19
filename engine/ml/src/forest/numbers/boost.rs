//! Gradient boosting of the squared error (Friedman 2001): each tree learns what those before it left, best first.
//!
//! ```text
//! residual r = said so far - number, hessian w ──integers──> Tree ──rate──> r
//! ```
//!
//! It begins with the mean. Residuals become integers anew for each tree, of thirty bits of the largest one.

use super::super::boost::{CATEGORY_PRICE, CHUNK, Gradient, Gradients, MIN_CATEGORY, MIN_HESSIAN};
use super::super::cell::{Cell, Moments, Units};
use super::super::draw::integer_weights;
use super::super::leafwise::LeafwiseGrower;
use super::super::params::GradientBoostingParams;
use super::super::split::{Noise, Search};
use super::super::tree::Tree;
use super::scale::{Scale, UNITS};
use super::{Link, NumberTrees, of_rows, prepared, share};
use crate::encode::rare::RareCategories;
use crate::seed::derive;
use crate::training::NumberRows;
use rayon::prelude::*;

/// Rows by which categories are drawn towards the node's mean.
const CATEGORY_SMOOTHING: f64 = 10.0;

/// What the trees have left so far, by position of the training row.
struct State {
    /// In spreads.
    residuals: Vec<f64>,
    /// As integers; all one if none are given.
    weights: Vec<u32>,
    /// Rows that a unit of weight is.
    unit_weight: f64,
    gradients: Vec<Gradient>,
    /// Leaf of the last tree.
    leaves: Vec<u16>,
}

/// What a tree begins with.
struct Round {
    total: Moments,
    units: Units,
    /// Of a residual, over its weight.
    variance: f64,
}

impl State {
    fn weight(&self, row: usize) -> u32 {
        self.weights.get(row).copied().unwrap_or(1)
    }

    /// Adds the values of the last tree's leaves and makes the gradients anew.
    fn update(&mut self, values: &[f64]) -> Round {
        let leaves = &self.leaves;
        let of_weight = |row: usize| self.weights.get(row).copied().unwrap_or(1);
        let chunks = self.residuals.par_chunks_mut(CHUNK).enumerate();
        let parts: Vec<(f64, f64, f64)> = chunks
            .map(|(chunk, residuals)| {
                let (mut largest, mut squares, mut all) = (0.0f64, 0.0, 0.0);
                for (row, residual) in (chunk * CHUNK..).zip(residuals) {
                    *residual += values[leaves[row] as usize];
                    let weight = f64::from(of_weight(row));
                    largest = largest.max((weight * *residual).abs());
                    squares += weight * *residual * *residual;
                    all += weight;
                }
                (largest, squares, all)
            })
            .collect();
        // In the order of the chunks, so that the sums are the same.
        let (largest, squares, all) = parts
            .iter()
            .fold((0.0f64, 0.0, 0.0), |sum, part| (sum.0.max(part.0), sum.1 + part.1, sum.2 + part.2));
        let unit = if largest > 0.0 { largest / UNITS } else { 1.0 };
        let per_unit = 1.0 / unit;
        let residuals = &self.residuals;
        let chunks = self.gradients.par_chunks_mut(CHUNK).enumerate();
        let sums = chunks.map(|(chunk, gradients)| {
            let mut sum = Moments::default();
            for (row, gradient) in (chunk * CHUNK..).zip(gradients) {
                let weight = of_weight(row);
                let slope = (f64::from(weight) * residuals[row] * per_unit).round() as i32;
                *gradient = Gradient { gradient: slope, hessian: weight };
                sum = sum.plus(Moments::new(i64::from(slope), 1, weight));
            }
            sum
        });
        let total = sums.reduce(Moments::default, Moments::plus);
        let units = Units { sum: unit * self.unit_weight, weight: self.unit_weight };
        Round { total, units, variance: squares / all }
    }
}

/// Fits on rows and settings that the caller has checked.
pub(super) fn fit(params: &GradientBoostingParams, training: &NumberRows<'_>, seed: u64) -> NumberTrees {
    let prepared = prepared(training, params.categories, seed).by_position(training.rows);
    let (bins, binned) = (prepared.bins, prepared.binned);
    let scale = Scale::of(training.values, training.rows);
    let (weights, unit_weight) = training.weights.map_or((Vec::new(), 1.0), |weights| {
        let (weights, units) = integer_weights(&of_rows(weights, training.rows));
        (weights, units.weight)
    });
    let rows = training.rows.len();
    let mut state = State {
        residuals: training.rows.iter().map(|&row| -scale.scaled(training.values[row as usize])).collect(),
        weights,
        unit_weight,
        gradients: vec![Gradient::default(); rows],
        leaves: vec![0; rows],
    };
    let (sum, all) = (0..rows).fold((0.0, 0.0), |(sum, all), row| {
        let weight = f64::from(state.weight(row));
        (sum - weight * state.residuals[row], all + weight)
    });
    let base = sum / all;
    let rare = RareCategories::of(&bins, training.table, training.rows);
    let numeric_bins = bins.numeric_bins();
    let features = binned.features;
    let tried = ((features as f64 * params.max_features) as usize).clamp(1, features);
    let (mut trees, mut gains) = (Vec::new(), vec![0.0; features]);
    let mut entries: Vec<u32> = (0..rows as u32).collect();
    let mut spill = entries.clone();
    let mut values = vec![base];
    for tree in 0..params.trees {
        let Round { total, units, variance } = state.update(&values);
        entries.par_iter_mut().zip(0..rows as u32).for_each(|(entry, row)| *entry = row);
        let search = Search {
            scale: units,
            min_rows: params.min_samples_leaf,
            min_weight: MIN_HESSIAN,
            l2: params.l2,
            smoothing: CATEGORY_SMOOTHING,
            noise: Noise::Variance(variance),
            price: CATEGORY_PRICE,
            min_category: MIN_CATEGORY,
        };
        let grower = LeafwiseGrower {
            binned: &binned,
            numeric_bins: &numeric_bins,
            source: Gradients(&state.gradients),
            search,
            max_leaves: params.max_leaves as usize,
            max_depth: params.max_depth,
            tried,
        };
        values.clear();
        let leaves = &mut state.leaves;
        let seed = derive(derive(seed, u64::from(tree)), u64::MAX);
        let grown = grower.grow(&mut entries, &mut spill, total, seed, |cell, entries| {
            let sums = cell.sums(&units);
            let value = -params.learning_rate * sums.sum / (sums.weight + params.l2).max(MIN_HESSIAN);
            let number = values.len() as u16;
            entries.iter().for_each(|&entry| leaves[entry as usize] = number);
            values.push(value);
            value
        });
        let tree = Tree::of(grown, &mut gains);
        // Where no feature gains now, none will later.
        if tree.leaves() == 1 && tried == features {
            break;
        }
        trees.push(tree);
    }
    share(&mut gains);
    NumberTrees { bins, rare, scale, link: Link::Sum(base), trees, gains }
}
