//! Logistic regression of many classes: softmax with L2 and L1 penalty.
//!
//! ```text
//! z = X Wᵀ, a column a class ──p = e^z / Σ e^z──> mean of -ln p(own class) + penalty ──L-BFGS──> W
//! ```
//!
//! Every class has weights of its own, as scikit-learn's `LogisticRegression` of more than two classes: with an L2 penalty
//! they sum to 0 over the classes by themselves, and intercepts, on which there is none, are moved to do so. Categories
//! have a column each: the log-odds of one class say nothing of the others.

// Loops over lanes index several columns at once.
#![allow(clippy::needless_range_loop)]

use super::loss::{dots, exp_of_negative, linear};
use super::problem::{Objective, Point};
use super::{Coefficients, LogisticBackend, LogisticRegressionParams, lbfgs, penalty_units, usable};
use super::{coefficients, penalties};
use crate::encode::kept::KeptBins;
use crate::encode::linear::{BLOCK, CategoryColumns, Design, LinearEncoders};
use crate::multiclass::ManyClasses;
use crate::training::ClassRows;
use crate::{Error, FeatureTable};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows of a chunk at least, and chunks at most: each has a sum for every weight.
const CHUNK: usize = 16 * BLOCK;
const MAX_CHUNKS: usize = 32;

/// A fitted logistic regression of many classes with the encoders of its features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoftmaxModel {
    encoders: LinearEncoders,
    /// For each class one a column of the encoders, on scores; the intercept comes after those of the dense columns.
    weights: Vec<f64>,
}

/// The mean of the rows' losses, and the penalty. Weights are those of the first class, of the second and so on.
struct Softmax<'a> {
    design: Design<'a>,
    /// By position of the row.
    labels: Vec<u32>,
    classes: usize,
    l2: Vec<f64>,
    l1: Vec<f64>,
}

impl SoftmaxModel {
    pub(super) fn fit(
        params: &LogisticRegressionParams,
        of: &ClassRows<'_>,
        seed: u64,
        before: Option<&SoftmaxModel>,
    ) -> Result<SoftmaxModel, Error> {
        if params.backend == LogisticBackend::Linfa {
            let expected = "linfa tells two classes apart only; use backend = \"tidemill\"";
            return Err(Error::BadParameter { name: "backend", value: "linfa".into(), expected });
        }
        let ClassRows { table, rows, classes, .. } = *of;
        let classes = classes as usize;
        let categories = CategoryColumns::OneHot(params.max_categories);
        let (encoders, codes) = LinearEncoders::fit(table, &[], rows, seed, categories, None);
        let units = penalty_units(&encoders, params.standardise);
        let (l2, l1) = penalties(params, rows.len(), &units);
        let problem = Softmax {
            design: Design { encoders: &encoders, codes: &codes, table, labels: &[], rows },
            labels: rows.iter().map(|&row| of.labels[row as usize]).collect(),
            classes,
            l2: l2.repeat(classes),
            l1: l1.repeat(classes),
        };
        let solve =
            |start| lbfgs::minimise(&problem, start, params.max_iterations, params.gradient_tolerance);
        let start = before.and_then(|model| model.weights_for(&encoders, classes));
        let warm = start.map(|start| solve(Some(start))).filter(|weights| usable(weights));
        let mut weights = warm.unwrap_or_else(|| solve(None));
        let width = units.len();
        for column in 0..width {
            // Where there is no penalty on it, a column's weights may all move together.
            if problem.l2[column] == 0.0 && problem.l1[column] == 0.0 {
                let mean = weights.iter().skip(column).step_by(width).sum::<f64>() / classes as f64;
                weights.iter_mut().skip(column).step_by(width).for_each(|weight| *weight -= mean);
            }
        }
        match usable(&weights) {
            true => Ok(SoftmaxModel { encoders, weights }),
            false => Err(Error::Solver("a weight is not finite".into())),
        }
    }

    /// The encoders, and the weights of each class: one a column of them, the intercept after those of the dense ones.
    pub(crate) fn parts(&self) -> (&LinearEncoders, Vec<&[f64]>) {
        (&self.encoders, self.weights.chunks_exact(self.encoders.columns() + 1).collect())
    }

    /// The weights by the columns of other encoders.
    fn weights_for(&self, encoders: &LinearEncoders, classes: usize) -> Option<Vec<f64>> {
        let (dense, width) = (self.encoders.dense(), self.encoders.columns() + 1);
        let of_class = |weights: &[f64]| {
            let mut weights = weights.to_vec();
            let intercept = weights.remove(dense);
            let mut carried = encoders.carry_weights(&self.encoders, &weights)?;
            carried.insert(encoders.dense(), intercept);
            Some(carried)
        };
        let carried: Option<Vec<Vec<f64>>> = self.weights.chunks_exact(width).map(of_class).collect();
        carried.filter(|carried| carried.len() == classes).map(|carried| carried.concat())
    }
}

impl ManyClasses for SoftmaxModel {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        _kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        let codes = self.encoders.table_codes(table, rows);
        let design = Design { encoders: &self.encoders, codes: &codes, table, labels: &[], rows };
        let width = self.encoders.columns() + 1;
        let classes = self.weights.len() / width;
        let mut probabilities = vec![0.0; rows.len() * classes];
        probabilities.par_chunks_mut(CHUNK * classes).enumerate().for_each(|(chunk, out)| {
            let (mut block, mut shares) = (design.new_block(), vec![[0.0; BLOCK]; classes]);
            let mut first = chunk * CHUNK;
            for out in out.chunks_mut(BLOCK * classes) {
                let end = first + out.len() / classes;
                design.fill(&mut block, first, end);
                for (weights, z) in self.weights.chunks_exact(width).zip(&mut shares) {
                    linear(&block, weights, z);
                }
                softmax(&mut shares);
                for (i, row) in out.chunks_exact_mut(classes).enumerate() {
                    row.iter_mut().zip(&shares).for_each(|(p, shares)| *p = shares[i]);
                }
                first = end;
            }
        });
        Ok(probabilities)
    }

    fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool {
        self.encoders.is_valid(numeric, categorical)
            && (self.encoders.columns() + 1).checked_mul(classes as usize) == Some(self.weights.len())
            && usable(&self.weights)
    }

    fn coefficients(&self, numeric: &[String], categorical: &[String]) -> Option<Vec<Coefficients>> {
        let of_classes = self.weights.chunks_exact(self.encoders.columns() + 1);
        let of_class = |weights| coefficients(&self.encoders, weights, numeric, categorical);
        Some(of_classes.map(of_class).collect())
    }
}

/// Scores of classes become their probabilities; gives ln Σ e^z of each row.
fn softmax(z: &mut [[f64; BLOCK]]) -> [f64; BLOCK] {
    let (mut largest, mut sums) = ([f64::NEG_INFINITY; BLOCK], [0.0; BLOCK]);
    for z in z.iter() {
        for i in 0..BLOCK {
            largest[i] = largest[i].max(z[i]);
        }
    }
    for z in z.iter_mut() {
        for i in 0..BLOCK {
            z[i] = exp_of_negative(z[i] - largest[i]);
            sums[i] += z[i];
        }
    }
    for z in z.iter_mut() {
        for i in 0..BLOCK {
            z[i] /= sums[i];
        }
    }
    for i in 0..BLOCK {
        largest[i] += sums[i].ln();
    }
    largest
}

impl Softmax<'_> {
    fn width(&self) -> usize {
        self.l2.len() / self.classes
    }

    /// Sums over all rows: of the losses, and of their gradient.
    fn pass(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let (rows, width) = (self.design.rows.len(), self.width());
        let chunk = CHUNK.max(rows.div_ceil(MAX_CHUNKS).next_multiple_of(BLOCK));
        let of_chunk = |first: usize| {
            let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
            let (mut block, mut z) = (self.design.new_block(), vec![[0.0; BLOCK]; self.classes]);
            let end = (first + chunk).min(rows);
            for first in (first..end).step_by(BLOCK) {
                self.design.fill(&mut block, first, (first + BLOCK).min(end));
                for (weights, z) in weights.chunks_exact(width).zip(&mut z) {
                    linear(&block, weights, z);
                }
                let labels = &self.labels[first..first + block.len];
                for (i, &label) in labels.iter().enumerate() {
                    loss -= z[label as usize][i];
                }
                let normalisers = softmax(&mut z);
                loss += normalisers[..block.len].iter().sum::<f64>();
                for (i, &label) in labels.iter().enumerate() {
                    z[label as usize][i] -= 1.0;
                }
                for (gradient, residual) in gradient.chunks_exact_mut(width).zip(&mut z) {
                    residual[block.len..].fill(0.0);
                    for (sum, column) in gradient.iter_mut().zip(&block.dense) {
                        *sum += dots(residual, [column])[0];
                    }
                    for hot in &block.hot {
                        for (&column, residual) in hot[..block.len].iter().zip(residual.iter()) {
                            // One-hot columns come after the intercept.
                            gradient[column as usize + 1] += residual;
                        }
                    }
                }
            }
            (loss, gradient)
        };
        let chunks: Vec<_> = (0..rows.div_ceil(chunk)).into_par_iter().map(|i| of_chunk(i * chunk)).collect();
        let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
        for (of_chunk, part) in chunks {
            loss += of_chunk;
            gradient.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        (loss, gradient)
    }

    /// The share of each class.
    fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.classes];
        self.labels.iter().for_each(|&label| shares[label as usize] += 1.0 / self.labels.len() as f64);
        shares
    }
}

impl Objective for Softmax<'_> {
    fn at(&self, weights: Vec<f64>) -> Point {
        let rows = self.design.rows.len() as f64;
        let (loss, gradient) = self.pass(&weights);
        Point::penalised(
            weights,
            loss / rows,
            gradient.iter().map(|g| g / rows).collect(),
            &self.l2,
            &self.l1,
        )
    }

    fn l1(&self) -> &[f64] {
        &self.l1
    }

    /// Weights of 0, and the intercepts that give every row the shares of the classes.
    fn origin(&self) -> Vec<f64> {
        let (width, dense) = (self.width(), self.design.encoders.dense());
        let mut weights = vec![0.0; self.l2.len()];
        for (class, share) in self.shares().into_iter().enumerate() {
            weights[class * width + dense] = share.ln();
        }
        weights
    }

    /// The diagonal of the second derivatives where every row has the shares of the classes, and of the penalty.
    fn diagonal(&self) -> Vec<f64> {
        let squares = self.design.squares();
        let rows = self.design.rows.len() as f64;
        let of_class = |share: f64| squares.iter().map(move |square| share * (1.0 - share) * square / rows);
        let curvatures = self.shares().into_iter().flat_map(of_class);
        // A column of zeros has no gradient either.
        curvatures.zip(&self.l2).map(|(c, l2)| c + l2).map(|d| if d > 0.0 { d } else { 1.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let mut table = FeatureTable::new(vec!["x".into(), "y".into()], vec!["c".into()]);
        table.push_numeric(0, (0..700).map(|i| f64::from(i * 37 % 101)));
        table.push_numeric(1, (0..700).map(|i| if i % 9 == 0 { f64::NAN } else { f64::from(i * 53 % 89) }));
        table.push_category(0, (0..700).map(|i| [Some("a"), Some("b"), None][i % 7 % 3]));
        table.finish_append().unwrap();
        let rows: Vec<u32> = (0..700).filter(|row| row % 5 > 0).collect();
        let (encoders, codes) = LinearEncoders::fit(&table, &[], &rows, 1, CategoryColumns::OneHot(10), None);
        let width = encoders.columns() + 1;
        let problem = Softmax {
            design: Design { encoders: &encoders, codes: &codes, table: &table, labels: &[], rows: &rows },
            labels: rows.iter().map(|row| row * 7 % 11 % 3).collect(),
            classes: 3,
            l2: vec![0.3; 3 * width],
            l1: vec![0.0; 3 * width],
        };
        let weights: Vec<f64> = (0..3 * width).map(|i| ((i * 29 % 13) as f64 - 6.0) / 7.0).collect();
        let point = problem.at(weights.clone());
        for i in 0..weights.len() {
            let moved = |by: f64| {
                let mut moved = weights.clone();
                moved[i] += by;
                problem.at(moved).value
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - point.gradient[i]).abs() < 1e-8, "{i}: {slope}, not {}", point.gradient[i]);
        }
    }
}
