//! The normal equations of a design: (XᵀVX + L) w = XᵀVt, V being the rows' weights and L the penalty.
//!
//! They are solved by conjugate gradients (Hestenes, Stiefel 1952), preconditioned by Cholesky's decomposition of the
//! matrix itself where it is small, which makes of them one step and its refinement, else by its diagonal. Residuals are
//! taken from the rows, not from the matrix. Rows are cut into chunks by their number only, and sums of chunks are added
//! in order: the same bytes for any number of threads.

// Loops over lanes index several columns at once.
#![allow(clippy::needless_range_loop)]

use crate::encode::linear::{BLOCK, Block, Design};
use crate::logistic::loss::{at, dots, linear};
use rayon::prelude::*;

/// Columns up to which the matrix is decomposed.
const DIRECT_COLUMNS: usize = 512;
/// Rows of a chunk at least, and chunks at most: each has a sum of its own.
const CHUNK: usize = 16 * BLOCK;
const MAX_CHUNKS: usize = 32;
/// What is left of a column by those before it, as a share of it, below which it is rounding.
const DEPENDENT: f64 = 1e-13;
/// Times that the solution is improved by what the rows say is left.
const REFINEMENTS: usize = 3;
const MAX_STEPS: usize = 1_000;
/// Share of the residual's square at the start, in the preconditioner's norm, at which it is done.
const DONE: f64 = 1e-30;

/// Weights: those of the dense columns, the intercept, those of the one-hot columns.
pub(super) struct Normal<'a> {
    pub(super) design: Design<'a>,
    /// By position of the row.
    pub(super) target: Vec<f64>,
    /// By position of the row; `None`: all 1.
    pub(super) weights: Option<Vec<f64>>,
    /// By weight; 0 for the intercept.
    pub(super) l2: Vec<f64>,
}

/// An estimate of the inverse of the matrix.
enum Preconditioner {
    /// The weights in the order of elimination, and the factor's lower triangle in it; rows of 0 for those left out.
    Cholesky { order: Vec<usize>, factor: Vec<f64> },
    /// Of the inverse; 0 for those left out.
    Diagonal(Vec<f64>),
}

impl Normal<'_> {
    /// The weights.
    pub(super) fn solve(&self) -> Vec<f64> {
        let preconditioner = match self.l2.len() <= DIRECT_COLUMNS {
            true => Preconditioner::cholesky(&self.matrix(), self.design.encoders.dense()),
            false => Preconditioner::diagonal(&self.diagonal()),
        };
        let mut solution = vec![0.0; self.l2.len()];
        let mut least = f64::INFINITY;
        for _ in 0..REFINEMENTS {
            let mut residual = self.product(&solution, true);
            residual.iter_mut().zip(&self.l2).zip(&solution).for_each(|((r, l2), w)| *r -= l2 * w);
            let size = dot(&residual, &preconditioner.apply(&residual));
            // Where rounding is all that is left, a step might lead away again.
            if size.is_nan() || size >= 0.01 * least || size <= 0.0 {
                break;
            }
            least = size;
            let step = self.conjugate_gradients(residual, &preconditioner);
            solution.iter_mut().zip(step).for_each(|(w, step)| *w += step);
        }
        solution
    }

    /// What the matrix makes `residual` of.
    fn conjugate_gradients(&self, mut residual: Vec<f64>, by: &Preconditioner) -> Vec<f64> {
        let mut solution = vec![0.0; residual.len()];
        let mut direction = by.apply(&residual);
        let mut size = dot(&residual, &direction);
        let done = DONE * size;
        for _ in 0..MAX_STEPS {
            let mut image = self.product(&direction, false);
            image.iter_mut().zip(&self.l2).zip(&direction).for_each(|((i, l2), d)| *i += l2 * d);
            let curvature = dot(&direction, &image);
            if !(curvature > 0.0 && curvature.is_finite()) {
                break;
            }
            let share = size / curvature;
            solution.iter_mut().zip(&direction).for_each(|(w, d)| *w += share * d);
            residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= share * i);
            let next = by.apply(&residual);
            let before = std::mem::replace(&mut size, dot(&residual, &next));
            if size <= done || size.is_nan() {
                break;
            }
            let share = size / before;
            direction.iter_mut().zip(next).for_each(|(d, n)| *d = n + share * *d);
        }
        solution
    }

    /// XᵀV(t - Xw), or XᵀVXw.
    fn product(&self, weights: &[f64], residual: bool) -> Vec<f64> {
        self.sum(weights.len(), |block, first, sums| {
            let mut z = [0.0; BLOCK];
            linear(block, weights, &mut z);
            for (i, z) in z[..block.len].iter_mut().enumerate() {
                let value = if residual { self.target[first + i] - *z } else { *z };
                *z = value * self.weight(first + i);
            }
            z[block.len..].fill(0.0);
            for (sum, column) in sums.iter_mut().zip(&block.dense) {
                *sum += dots(&z, [column])[0];
            }
            for hot in &block.hot {
                for (&column, z) in hot[..block.len].iter().zip(&z) {
                    // One-hot columns come after the intercept.
                    sums[column as usize + 1] += z;
                }
            }
        })
    }

    /// Lower triangle of XᵀVX + L.
    fn matrix(&self) -> Vec<f64> {
        let n = self.l2.len();
        let mut matrix =
            self.sum(n * (n + 1) / 2, |block, first, sums| self.add_products(block, first, sums));
        self.l2.iter().enumerate().for_each(|(i, l2)| matrix[at(i, i)] += l2);
        matrix
    }

    fn add_products(&self, block: &Block, first: usize, sums: &mut [f64]) {
        let mut weights = [0.0; BLOCK];
        (0..block.len).for_each(|i| weights[i] = self.weight(first + i));
        for (row, values) in block.dense.iter().enumerate() {
            let mut weighted = [0.0; BLOCK];
            for i in 0..BLOCK {
                weighted[i] = values[i] * weights[i];
            }
            for (column, other) in block.dense[..=row].iter().enumerate() {
                sums[at(row, column)] += dots(&weighted, [other])[0];
            }
        }
        for (h, hot) in block.hot.iter().enumerate() {
            for i in 0..block.len {
                let row = hot[i] as usize + 1;
                for (column, values) in block.dense.iter().enumerate() {
                    sums[at(row, column)] += values[i] * weights[i];
                }
                // Columns of a later feature come after those of an earlier one.
                for other in &block.hot[..=h] {
                    sums[at(row, other[i] as usize + 1)] += weights[i];
                }
            }
        }
    }

    /// The diagonal of XᵀVX + L.
    fn diagonal(&self) -> Vec<f64> {
        let mut diagonal = self.sum(self.l2.len(), |block, first, sums| {
            for i in 0..block.len {
                let weight = self.weight(first + i);
                for (sum, column) in sums.iter_mut().zip(&block.dense) {
                    *sum += column[i] * column[i] * weight;
                }
                block.hot.iter().for_each(|hot| sums[hot[i] as usize + 1] += weight);
            }
        });
        diagonal.iter_mut().zip(&self.l2).for_each(|(d, l2)| *d += l2);
        diagonal
    }

    /// So many sums over all rows, block by block: `add` has the position of a block's first row.
    fn sum(&self, sums: usize, add: impl Fn(&Block, usize, &mut [f64]) + Sync) -> Vec<f64> {
        let rows = self.design.rows.len();
        let chunk = CHUNK.max(rows.div_ceil(MAX_CHUNKS).next_multiple_of(BLOCK));
        let of_chunk = |first: usize| {
            let (mut of_chunk, mut block) = (vec![0.0; sums], self.design.new_block());
            let end = (first + chunk).min(rows);
            for first in (first..end).step_by(BLOCK) {
                self.design.fill(&mut block, first, (first + BLOCK).min(end));
                add(&block, first, &mut of_chunk);
            }
            of_chunk
        };
        let chunks: Vec<Vec<f64>> =
            (0..rows.div_ceil(chunk)).into_par_iter().map(|i| of_chunk(i * chunk)).collect();
        let mut all = vec![0.0; sums];
        for chunk in chunks {
            all.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += value);
        }
        all
    }

    fn weight(&self, position: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[position])
    }
}

impl Preconditioner {
    /// Decomposes a lower triangle. The intercept is eliminated first, then the others in their order: of columns that
    /// add up to each other the later ones are left out.
    fn cholesky(matrix: &[f64], intercept: usize) -> Preconditioner {
        let n = (((8 * matrix.len() + 1) as f64).sqrt() as usize - 1) / 2;
        let order: Vec<usize> =
            std::iter::once(intercept).chain((0..n).filter(|i| *i != intercept)).collect();
        let entry = |a: usize, b: usize| {
            let (a, b) = (order[a], order[b]);
            matrix[at(a.max(b), a.min(b))]
        };
        let mut factor = vec![0.0; matrix.len()];
        for i in 0..n {
            for j in 0..i {
                let pivot = factor[at(j, j)];
                let products: f64 = (0..j).map(|k| factor[at(i, k)] * factor[at(j, k)]).sum();
                factor[at(i, j)] = if pivot > 0.0 { (entry(i, j) - products) / pivot } else { 0.0 };
            }
            let rest = entry(i, i) - (0..i).map(|k| factor[at(i, k)].powi(2)).sum::<f64>();
            match rest > DEPENDENT * entry(i, i) {
                true => factor[at(i, i)] = rest.sqrt(),
                false => factor[at(i, 0)..=at(i, i)].fill(0.0),
            }
        }
        Preconditioner::Cholesky { order, factor }
    }

    fn diagonal(diagonal: &[f64]) -> Preconditioner {
        let inverse = |d: &f64| if *d > 0.0 { 1.0 / d } else { 0.0 };
        Preconditioner::Diagonal(diagonal.iter().map(inverse).collect())
    }

    fn apply(&self, values: &[f64]) -> Vec<f64> {
        match self {
            Preconditioner::Diagonal(inverse) => values.iter().zip(inverse).map(|(v, i)| v * i).collect(),
            Preconditioner::Cholesky { order, factor } => {
                let n = order.len();
                let mut solved: Vec<f64> = order.iter().map(|&i| values[i]).collect();
                let over = |value: f64, pivot: f64| if pivot > 0.0 { value / pivot } else { 0.0 };
                for i in 0..n {
                    let products: f64 = (0..i).map(|k| factor[at(i, k)] * solved[k]).sum();
                    solved[i] = over(solved[i] - products, factor[at(i, i)]);
                }
                for i in (0..n).rev() {
                    let products: f64 = (i + 1..n).map(|k| factor[at(k, i)] * solved[k]).sum();
                    solved[i] = over(solved[i] - products, factor[at(i, i)]);
                }
                let mut applied = vec![0.0; n];
                order.iter().zip(solved).for_each(|(&i, value)| applied[i] = value);
                applied
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
