//! What the solvers minimise: the mean log loss of a design's rows and a penalty a column.

use super::loss::{self, Sums};
use crate::encode::linear::Design;

/// Mean log loss + Σ l2/2 · w² + Σ l1 · |w|.
///
/// Weights, everywhere in the solvers: those of the dense columns, the intercept, those of the one-hot columns.
#[derive(Debug, Clone)]
pub(super) struct Problem<'a> {
    pub(super) design: Design<'a>,
    /// By weight, as share of one row; 0 for the intercept.
    pub(super) l2: Vec<f64>,
    pub(super) l1: Vec<f64>,
}

/// The objective at some weights.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) weights: Vec<f64>,
    /// Loss and penalty.
    pub(super) value: f64,
    /// Of loss and L2 penalty.
    pub(super) gradient: Vec<f64>,
    /// Lower triangle, of the loss; empty if not asked for.
    pub(super) hessian: Vec<f64>,
}

impl Problem<'_> {
    /// Index of the intercept.
    pub(super) fn intercept(&self) -> usize {
        self.design.encoders.dense()
    }

    /// Evaluates by a pass over all rows.
    pub(super) fn at(&self, weights: Vec<f64>, hessian: bool) -> Point {
        let rows = self.design.rows.len() as f64;
        let Sums { loss, mut gradient, mut hessian } = loss::pass(&self.design, &weights, hessian);
        gradient.iter_mut().zip(&weights).zip(&self.l2).for_each(|((g, w), l2)| *g = *g / rows + l2 * w);
        hessian.iter_mut().for_each(|h| *h /= rows);
        let penalty = |((w, l2), l1): ((&f64, &f64), &f64)| 0.5 * l2 * w * w + l1 * w.abs();
        let penalty: f64 = weights.iter().zip(&self.l2).zip(&self.l1).map(penalty).sum();
        Point { value: loss / rows + penalty, gradient, hessian, weights }
    }

    /// The gradient with the L1 penalty: where a weight is 0, the part that the penalty cannot hold.
    pub(super) fn steepest(&self, point: &Point) -> Vec<f64> {
        let parts = point.weights.iter().zip(&point.gradient).zip(&self.l1);
        parts
            .map(
                |((&w, &g), &l1)| {
                    if w == 0.0 { g.signum() * (g.abs() - l1).max(0.0) } else { g + l1 * w.signum() }
                },
            )
            .collect()
    }

    /// Weights of 0 and the intercept that gives every row the share of positives.
    pub(super) fn origin(&self) -> Vec<f64> {
        let rows = self.design.rows;
        let positives = rows.iter().filter(|row| self.design.labels[**row as usize]).count();
        let mut weights = vec![0.0; self.l2.len()];
        weights[self.intercept()] = (positives as f64 / (rows.len() - positives) as f64).ln();
        weights
    }
}

/// Largest component by size.
pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, v| largest.max(v.abs()))
}
