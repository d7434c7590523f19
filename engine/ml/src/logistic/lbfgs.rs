//! L-BFGS (Nocedal 1980) for many columns, and OWL-QN (Andrew, Gao 2007) where there is an L1 penalty.
//!
//! The first guess of the second derivatives is their diagonal at the start: with a column a category, frequent and rare
//! ones differ by orders of magnitude, and a step that fits one is nothing to the other.

use super::problem::{Objective, Point, largest};
use std::collections::VecDeque;

/// Pairs of steps and gradient changes that are kept.
const MEMORY: usize = 10;
const MAX_HALVINGS: u32 = 40;

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 / (step · change)
    inverse: f64,
}

/// Minimises from these weights, or where there are none from the origin.
pub(super) fn minimise(
    problem: &impl Objective,
    start: Option<Vec<f64>>,
    max_iterations: u64,
    tolerance: f64,
) -> Vec<f64> {
    let diagonal = problem.diagonal();
    let mut point = problem.at(start.unwrap_or_else(|| problem.origin()));
    let mut memory: VecDeque<Pair> = VecDeque::new();
    for _ in 0..max_iterations {
        let steepest = point.steepest(problem.l1());
        if largest(&steepest) <= tolerance {
            break;
        }
        let mut direction = newton_like(&memory, &diagonal, &steepest);
        let has_l1 = problem.l1().iter().any(|l1| *l1 > 0.0);
        if has_l1 {
            // Only where the gradient points there too.
            for (d, g) in direction.iter_mut().zip(&steepest) {
                if *d * g >= 0.0 {
                    *d = 0.0;
                }
            }
        }
        if dot(&direction, &steepest) >= 0.0 {
            memory.clear();
            direction = steepest.iter().zip(&diagonal).map(|(g, d)| -g / d).collect();
        }
        let Some(next) = line_search(problem, &point, &steepest, &direction) else { break };
        let step: Vec<f64> = next.weights.iter().zip(&point.weights).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next.gradient.iter().zip(&point.gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(Pair { step, change, inverse: 1.0 / curvature });
        }
        point = next;
    }
    point.weights
}

/// The two-loop recursion: minus the estimated inverse of the second derivatives times the gradient.
fn newton_like(memory: &VecDeque<Pair>, diagonal: &[f64], gradient: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &q);
        q.iter_mut().zip(&pair.change).for_each(|(q, c)| *q -= share * c);
        shares.push(share);
    }
    q.iter_mut().zip(diagonal).for_each(|(q, d)| *q /= d);
    for (pair, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = share - pair.inverse * dot(&pair.change, &q);
        q.iter_mut().zip(&pair.step).for_each(|(q, s)| *q += back * s);
    }
    q
}

/// The first of 1, 1/2, 1/4 … of the step that lowers the objective enough; with an L1 penalty no weight changes sign on
/// the way. `None` if there is none: the objective is as low as rounding lets it be.
fn line_search(
    problem: &impl Objective,
    point: &Point,
    steepest: &[f64],
    direction: &[f64],
) -> Option<Point> {
    let mut share = 1.0;
    for _ in 0..MAX_HALVINGS {
        let weights: Vec<f64> = (0..direction.len())
            .map(|i| {
                let (before, after) = (point.weights[i], point.weights[i] + share * direction[i]);
                let side = if before == 0.0 { -steepest[i] } else { before };
                if problem.l1()[i] > 0.0 && after * side < 0.0 { 0.0 } else { after }
            })
            .collect();
        let expected: f64 =
            weights.iter().zip(&point.weights).zip(steepest).map(|((a, b), g)| (a - b) * g).sum();
        let next = problem.at(weights);
        if next.value <= point.value + 1e-4 * expected {
            return Some(next);
        }
        share *= 0.5;
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
