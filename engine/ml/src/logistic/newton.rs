//! Newton's method for few dense columns: each step costs one pass over the rows, and few are needed.
//!
//! ```text
//! every 16th row ──steps──> start ──pass: gradient, second derivatives──> step ──> error of the step on every 16th row
//!                                          ▲                                          │ above the tolerance
//!                                          └──────────────────────────────────────────┘
//! ```
//!
//! A step solves the quadratic model exactly: by Cholesky, or with an L1 penalty by coordinate descent (a proximal
//! Newton step: Lee, Sun, Saunders 2014). After it, the gradient is what the quadratic model left out. That remainder is
//! measured on every 16th row; only where it is not well below the tolerance does another pass over all rows follow. A
//! step after which the objective is higher is halved.

use super::loss::{at, curvature_error};
use super::problem::{Point, Problem, largest};
use crate::encode::linear::Design;

/// Rows of a sample: every so many-th.
const SAMPLE_STEP: usize = 16;
/// No sample is smaller.
const MIN_SAMPLE: usize = 2_000;
/// Share of the tolerance that the remainder on a sample may have: it stands for that of all rows.
const SAMPLE_MARGIN: f64 = 0.5;
/// The solution on a sample needs no more: it differs from that of all rows by more.
const SAMPLE_TOLERANCE: f64 = 1e-4;
const MAX_HALVINGS: u32 = 30;

/// Minimises from these weights, or where there are none from the solution on a sample.
pub(super) fn minimise(
    problem: &Problem<'_>,
    start: Option<Vec<f64>>,
    max_iterations: u64,
    tolerance: f64,
) -> Vec<f64> {
    let sample: Vec<u32> = problem.design.rows.iter().copied().step_by(SAMPLE_STEP).collect();
    let sample = (sample.len() >= MIN_SAMPLE)
        .then(|| Problem { design: Design { rows: &sample, ..problem.design }, ..problem.clone() });
    let start = start.unwrap_or_else(|| match &sample {
        Some(sample) if has_both_classes(&sample.design) => {
            steps(sample, None, sample.origin(), max_iterations, tolerance.max(SAMPLE_TOLERANCE))
        }
        _ => problem.origin(),
    });
    steps(problem, sample.as_ref(), start, max_iterations, tolerance)
}

fn has_both_classes(design: &Design<'_>) -> bool {
    let positives = design.rows.iter().filter(|row| design.labels[**row as usize]).count();
    (1..design.rows.len()).contains(&positives)
}

fn steps(
    problem: &Problem<'_>,
    sample: Option<&Problem<'_>>,
    start: Vec<f64>,
    max_iterations: u64,
    tolerance: f64,
) -> Vec<f64> {
    let mut point = problem.at(start, true);
    for _ in 0..max_iterations {
        if largest(&point.steepest(&problem.l1)) <= tolerance {
            break;
        }
        let step = direction(problem, &point);
        let weights = moved(&point.weights, &step, 1.0);
        if let Some(sample) = sample {
            let remainder = largest(&curvature_error(&sample.design, &point.weights, &step));
            if remainder / sample.design.rows.len() as f64 <= SAMPLE_MARGIN * tolerance {
                return weights;
            }
        }
        // What the quadratic model says that the step gains; the least share of it that counts is Armijo's usual.
        let enough = |next: &Point, share: f64| {
            let gain: f64 = point.steepest(&problem.l1).iter().zip(&step).map(|(g, s)| g * s).sum();
            next.value <= point.value + 1e-4 * share * gain.min(0.0) + 1e-14 * point.value.abs()
        };
        let mut next = problem.at(weights, true);
        let mut share = 1.0;
        for _ in 0..MAX_HALVINGS {
            if enough(&next, share) {
                break;
            }
            share *= 0.5;
            next = problem.at(moved(&point.weights, &step, share), true);
        }
        if next.value.is_nan() || next.value > point.value + 1e-14 * point.value.abs() {
            break;
        }
        point = next;
    }
    point.weights
}

fn moved(weights: &[f64], step: &[f64], share: f64) -> Vec<f64> {
    weights.iter().zip(step).map(|(w, s)| w + share * s).collect()
}

/// The step to the minimum of the quadratic model.
fn direction(problem: &Problem<'_>, point: &Point) -> Vec<f64> {
    let n = point.weights.len();
    let mut matrix = point.hessian.clone();
    for i in 0..n {
        matrix[at(i, i)] += problem.l2[i];
    }
    if problem.l1.iter().all(|l1| *l1 == 0.0) {
        return solve(&matrix, &point.gradient);
    }
    coordinate_descent(problem, point, &matrix)
}

/// -M⁻¹ g by Cholesky's decomposition of the lower triangle. A column without any spread, or which others add up to, gets
/// as much on its diagonal as rounding may have taken from it.
fn solve(matrix: &[f64], gradient: &[f64]) -> Vec<f64> {
    let n = gradient.len();
    let mut factor = matrix.to_vec();
    for i in 0..n {
        for j in 0..=i {
            let products: f64 = (0..j).map(|k| factor[at(i, k)] * factor[at(j, k)]).sum();
            let rest = factor[at(i, j)] - products;
            factor[at(i, j)] = match i == j {
                true => rest.max(1e-12 * matrix[at(i, i)]).max(f64::MIN_POSITIVE).sqrt(),
                false => rest / factor[at(j, j)],
            };
        }
    }
    let mut step: Vec<f64> = gradient.iter().map(|g| -g).collect();
    for i in 0..n {
        let products: f64 = (0..i).map(|k| factor[at(i, k)] * step[k]).sum();
        step[i] = (step[i] - products) / factor[at(i, i)];
    }
    for i in (0..n).rev() {
        let products: f64 = (i + 1..n).map(|k| factor[at(k, i)] * step[k]).sum();
        step[i] = (step[i] - products) / factor[at(i, i)];
    }
    step
}

/// Minimises g·s + s·M·s/2 + Σ l1 |w + s| one weight after the other, until none moves.
fn coordinate_descent(problem: &Problem<'_>, point: &Point, matrix: &[f64]) -> Vec<f64> {
    const MAX_SWEEPS: usize = 10_000;
    let n = point.weights.len();
    let entry = |i: usize, j: usize| matrix[if i >= j { at(i, j) } else { at(j, i) }];
    let mut step = vec![0.0; n];
    // g + M s
    let mut slope = point.gradient.clone();
    for _ in 0..MAX_SWEEPS {
        let mut furthest = 0.0f64;
        for i in 0..n {
            let curvature = entry(i, i);
            if curvature <= f64::MIN_POSITIVE {
                continue;
            }
            let now = point.weights[i] + step[i];
            let free = now - slope[i] / curvature;
            let next = free.signum() * (free.abs() - problem.l1[i] / curvature).max(0.0);
            let change = next - now;
            if change == 0.0 {
                continue;
            }
            // A weight that ends at 0 is to be exactly that.
            step[i] = next - point.weights[i];
            for (j, slope) in slope.iter_mut().enumerate() {
                *slope += change * entry(i, j);
            }
            furthest = furthest.max(change.abs() * curvature.sqrt());
        }
        if furthest <= 1e-13 {
            break;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_solves_and_survives_a_matrix_without_an_inverse() {
        // [[4, 2, 0.4], [2, 3, 0.5], [0.4, 0.5, 2]] · [1, -2, 3]
        let step = solve(&[4.0, 2.0, 3.0, 0.4, 0.5, 2.0], &[1.2, -2.5, 5.4]);
        for (found, expected) in step.iter().zip([-1.0, 2.0, -3.0]) {
            assert!((found - expected).abs() < 1e-12, "{step:?}");
        }
        for singular in [[0.0; 6], [1.0; 6], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]] {
            assert!(solve(&singular, &[0.0; 3]).iter().all(|s| *s == 0.0));
            assert!(solve(&singular, &[1e-3, 1e-3, 0.0]).iter().all(|s| s.is_finite()));
        }
    }
}
