//! Weights that learn from one row after the other.
//!
//! Steps are those of scikit-learn's `_plain_sgd`: L2 shrinks all weights, then the row's own weights move against the
//! gradient, then L1 truncates them by what it has amounted to. Shrinking is one factor for all weights, and an average
//! is kept by what changed (Bottou 2010): a row costs as many operations as it has columns that are not 0, however many
//! weights there are.

use super::params::{LearningRate, SgdClassifierParams};
use crate::file::MOST_ROWS;
use crate::logistic::loss::exp_of_negative;
use serde::{Deserialize, Serialize};

/// Below this the shrinking factor is multiplied into the weights.
const SMALLEST_FACTOR: f64 = 1e-9;

/// What is kept between rows, passes and batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    pub(super) weights: Vec<f64>,
    pub(super) intercept: f64,
    /// Sums over the rows of the weights after each, and of the intercept; empty and 0 without averaging.
    pub(super) weight_sums: Vec<f64>,
    pub(super) intercept_sum: f64,
    /// What the L1 penalty has amounted to, and how much of it each weight has taken; empty without one.
    pub(super) l1_total: f64,
    pub(super) l1_taken: Vec<f64>,
    /// Rows seen.
    pub(super) rows: u64,
    /// The rate of `averaged`, `constant` and `adaptive`.
    pub(super) eta: f64,
}

impl Learned {
    pub(super) fn new(params: &SgdClassifierParams, columns: usize, features: usize) -> Learned {
        let eta = match params.learning_rate {
            LearningRate::Averaged => 0.25 / features.max(1) as f64,
            _ => params.eta0,
        };
        Learned {
            weights: vec![0.0; columns],
            intercept: 0.0,
            weight_sums: vec![0.0; if params.average { columns } else { 0 }],
            intercept_sum: 0.0,
            l1_total: 0.0,
            l1_taken: vec![0.0; if params.penalties().0 > 0.0 { columns } else { 0 }],
            rows: 0,
            eta,
        }
    }

    /// The weights and the intercept that score: the means if they are kept.
    pub(super) fn model(&self) -> (Vec<f64>, f64) {
        if self.weight_sums.is_empty() || self.rows == 0 {
            return (self.weights.clone(), self.intercept);
        }
        let rows = self.rows as f64;
        (self.weight_sums.iter().map(|sum| sum / rows).collect(), self.intercept_sum / rows)
    }

    /// The same scores on a column that is standardised anew: its weight times `factor`, of which `shift` (per unit of the
    /// old weight) goes to the intercept, and for rows that miss the value back off their own weight.
    pub(super) fn rescale(&mut self, column: usize, missing: usize, factor: f64, shift: f64) {
        let moved = self.weights[column] * shift;
        self.intercept += moved;
        self.weights[missing] -= moved;
        self.weights[column] *= factor;
        if !self.weight_sums.is_empty() {
            let moved = self.weight_sums[column] * shift;
            self.intercept_sum += moved;
            self.weight_sums[missing] -= moved;
            self.weight_sums[column] *= factor;
        }
        if let Some(taken) = self.l1_taken.get_mut(column) {
            *taken *= factor;
        }
    }

    pub(super) fn is_valid(&self, columns: usize) -> bool {
        let fits = |of: &[f64]| of.is_empty() || of.len() == columns;
        let parts = [&self.weights, &self.weight_sums, &self.l1_taken];
        let scalars = [self.intercept, self.intercept_sum, self.l1_total, self.eta];
        // Scores are bounded, so bounded weights cannot sum to infinity.
        self.weights.len() == columns
            && self.rows <= MOST_ROWS
            && parts.iter().all(|of| fits(of))
            && parts.into_iter().flatten().chain(&scalars).all(|v| v.abs() < 1e100)
    }
}

/// A pass over rows: the learned weights while they are one factor apart from their values.
pub(super) struct Pass<'a> {
    params: &'a SgdClassifierParams,
    learned: &'a mut Learned,
    l1: f64,
    l2: f64,
    /// What the weights are to be multiplied by.
    factor: f64,
    /// Sum of the factor over the rows since the weights were as they are kept.
    factor_sum: f64,
    /// For each weight, its changes times the factor sum before them; empty without averaging.
    changes: Vec<f64>,
    /// Added to the row count in an optimal rate.
    optimal_start: f64,
    /// Sum of the rows' losses, each before its row was learned from, but for the logarithm of the product.
    loss: f64,
    product: f64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(params: &'a SgdClassifierParams, learned: &'a mut Learned) -> Pass<'a> {
        let (l1, l2) = params.penalties();
        Pass {
            params,
            l1,
            l2,
            factor: 1.0,
            factor_sum: 0.0,
            changes: vec![0.0; learned.weight_sums.len()],
            optimal_start: params.alpha.powf(-0.75),
            product: 1.0,
            loss: 0.0,
            learned,
        }
    }

    /// Learns from a row: the values of the first columns, the columns that are 1, and its label as 1 or 0.
    pub(super) fn learn(&mut self, dense: &[f64], hot: &[u32], label: f64) {
        let learned = &mut *self.learned;
        learned.rows += 1;
        let (sparse_sum, weights) = (
            hot.iter().map(|&column| learned.weights[column as usize]).sum::<f64>(),
            &learned.weights[..dense.len()],
        );
        let score = (dot(dense, weights) + sparse_sum) * self.factor + learned.intercept;
        let eta = match self.params.learning_rate {
            LearningRate::Constant | LearningRate::Adaptive | LearningRate::Averaged => learned.eta,
            LearningRate::Optimal => {
                1.0 / (self.params.alpha * (self.optimal_start + learned.rows as f64 - 1.0))
            }
            LearningRate::InvScaling => learned.eta / (learned.rows as f64).powf(self.params.power_t),
        };
        let small = exp_of_negative(-score.abs());
        let p = if score >= 0.0 { 1.0 } else { small } / (1.0 + small);
        self.loss += score.max(0.0) - label * score;
        self.product *= 1.0 + small;
        if self.product > 1e200 {
            self.loss += self.product.ln();
            self.product = 1.0;
        }
        if self.l2 > 0.0 {
            self.factor *= (1.0 - self.l2 * eta).max(0.0);
            if self.factor < SMALLEST_FACTOR {
                self.settle();
            }
        }
        let learned = &mut *self.learned;
        let step = eta * (label - p);
        learned.intercept += step;
        let step = step / self.factor;
        learned.weights.iter_mut().zip(dense).for_each(|(weight, value)| *weight += step * value);
        hot.iter().for_each(|&column| learned.weights[column as usize] += step);
        let averaged = !self.changes.is_empty();
        if averaged {
            let before = step * self.factor_sum;
            self.changes.iter_mut().zip(dense).for_each(|(change, value)| *change += before * value);
            hot.iter().for_each(|&column| self.changes[column as usize] += before);
        }
        if self.l1 > 0.0 {
            learned.l1_total += self.l1 * eta;
            (0..dense.len()).for_each(|column| self.truncate(column));
            hot.iter().for_each(|&column| self.truncate(column as usize));
        }
        self.factor_sum += self.factor;
        if averaged {
            self.learned.intercept_sum += self.learned.intercept;
        }
    }

    /// Takes from a weight what the L1 penalty has amounted to since it last was, but not past 0.
    fn truncate(&mut self, column: usize) {
        let learned = &mut *self.learned;
        let before = learned.weights[column];
        let value = before * self.factor;
        let taken = learned.l1_taken[column];
        let after = match value > 0.0 {
            true => (value - (learned.l1_total + taken)).max(0.0),
            false => (value + (learned.l1_total - taken)).min(0.0),
        };
        let after = if value == 0.0 { 0.0 } else { after };
        learned.l1_taken[column] += after - value;
        learned.weights[column] = after / self.factor;
        if let Some(change) = self.changes.get_mut(column) {
            *change += (learned.weights[column] - before) * self.factor_sum;
        }
    }

    /// Multiplies the factor into the weights, and adds what they were to the sums.
    fn settle(&mut self) {
        let learned = &mut *self.learned;
        for ((sum, change), weight) in
            learned.weight_sums.iter_mut().zip(&mut self.changes).zip(&learned.weights)
        {
            *sum += weight * self.factor_sum - *change;
            *change = 0.0;
        }
        learned.weights.iter_mut().for_each(|weight| *weight *= self.factor);
        (self.factor, self.factor_sum) = (1.0, 0.0);
    }

    /// Ends the pass; the sum of the rows' losses.
    pub(super) fn finish(mut self) -> f64 {
        self.settle();
        self.loss + self.product.ln()
    }
}

/// In four lanes, which do not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut lanes = [0.0; 4];
    for (a, b) in a.zip(b) {
        for lane in 0..4 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgd::SgdPenalty;

    #[test]
    fn the_kept_mean_is_the_mean_of_the_weights_after_each_row() {
        for penalty in [SgdPenalty::None, SgdPenalty::L2, SgdPenalty::L1, SgdPenalty::ElasticNet] {
            let params = SgdClassifierParams { penalty, alpha: 0.3, average: true, ..Default::default() };
            let rows: Vec<([f64; 5], [u32; 1], f64)> = (0..400)
                .map(|i| {
                    let values = [0.0, 1.0, 2.0, 3.0, 4.0].map(|c| f64::from(i * 7 % 11) / 5.0 - c * 0.3);
                    (values, [5 + i % 3], f64::from(i % 2))
                })
                .collect();
            // One pass, against a pass a row: the latter settles after every row.
            let (mut whole, mut single) = (Learned::new(&params, 8, 8), Learned::new(&params, 8, 8));
            let (mut pass, mut sums) = (Pass::new(&params, &mut whole), [0.0; 8]);
            for (dense, hot, label) in &rows {
                pass.learn(dense, hot, *label);
                let mut one = Pass::new(&params, &mut single);
                one.learn(dense, hot, *label);
                one.finish();
                sums.iter_mut().zip(&single.weights).for_each(|(sum, weight)| *sum += weight);
            }
            pass.finish();
            let apart =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart(&whole.weights, &single.weights) < 1e-12, "{penalty:?}");
            assert!(apart(&whole.weight_sums, &sums) < 1e-9, "{penalty:?}: {whole:?}\n{sums:?}");
            assert!(whole.is_valid(8) && !whole.is_valid(9));
        }
    }
}
