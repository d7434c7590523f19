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

/// What L-BFGS minimises.
pub(super) trait Objective {
    /// The value and the gradient.
    fn at(&self, weights: Vec<f64>) -> Point;

    /// The L1 penalty by weight.
    fn l1(&self) -> &[f64];

    /// Where to begin without a model before.
    fn origin(&self) -> Vec<f64>;

    /// An estimate of the diagonal of the second derivatives, above 0.
    fn diagonal(&self) -> Vec<f64>;
}

impl Point {
    /// From the mean loss and its gradient, with the penalty.
    pub(super) fn penalised(
        weights: Vec<f64>,
        loss: f64,
        mut gradient: Vec<f64>,
        l2: &[f64],
        l1: &[f64],
    ) -> Point {
        gradient.iter_mut().zip(&weights).zip(l2).for_each(|((g, w), l2)| *g += l2 * w);
        let penalty = |((w, l2), l1): ((&f64, &f64), &f64)| 0.5 * l2 * w * w + l1 * w.abs();
        let penalty: f64 = weights.iter().zip(l2).zip(l1).map(penalty).sum();
        Point { value: loss + penalty, gradient, hessian: Vec::new(), weights }
    }

    /// The gradient with the L1 penalty: where a weight is 0, the part that the penalty cannot hold.
    pub(super) fn steepest(&self, l1: &[f64]) -> Vec<f64> {
        let parts = self.weights.iter().zip(&self.gradient).zip(l1);
        parts
            .map(
                |((&w, &g), &l1)| {
                    if w == 0.0 { g.signum() * (g.abs() - l1).max(0.0) } else { g + l1 * w.signum() }
                },
            )
            .collect()
    }
}

impl Objective for Problem<'_> {
    fn at(&self, weights: Vec<f64>) -> Point {
        Problem::at(self, weights, false)
    }

    fn l1(&self) -> &[f64] {
        &self.l1
    }

    fn origin(&self) -> Vec<f64> {
        Problem::origin(self)
    }

    /// Where every row has the share of positives.
    fn diagonal(&self) -> Vec<f64> {
        let design = &self.design;
        let rows = design.rows.len() as f64;
        let share = design.rows.iter().filter(|row| design.labels[**row as usize]).count() as f64 / rows;
        let of = |(square, l2): (&f64, &f64)| share * (1.0 - share) * square / rows + l2;
        // A column of zeros has no gradient either.
        let diagonal = design.squares();
        diagonal.iter().zip(&self.l2).map(of).map(|d| if d > 0.0 { d } else { 1.0 }).collect()
    }
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
        gradient.iter_mut().for_each(|g| *g /= rows);
        hessian.iter_mut().for_each(|h| *h /= rows);
        Point { hessian, ..Point::penalised(weights, loss / rows, gradient, &self.l2, &self.l1) }
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
