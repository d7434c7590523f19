//! The iterations of k-means: `lloyd`'s or, if the parameters say so, linfa's; of several runs that of least inertia is
//! kept.

use super::params::{KMeansBackend, KMeansParams};
use super::points::Points;
use super::{linfa, lloyd, nearest, plus_plus};
use crate::Error;
use crate::seed::derive;

/// Scores are within this, and so are their means.
pub(super) const MAX_SCORE: f64 = 1e6;

/// Centres (row-major) of points (at least as many), from these centres or by k-means++.
pub(super) fn solve(
    params: &KMeansParams,
    points: Points<'_>,
    weights: Option<&[f64]>,
    seed: u64,
    start: Option<Vec<f64>>,
) -> Result<Vec<f64>, Error> {
    let centres = match params.backend {
        KMeansBackend::Linfa => linfa::centres(params, points, derive(seed, 0), start)?,
        KMeansBackend::Tidemill => {
            let limits = lloyd::Limits { max_iterations: params.max_iterations, tolerance: params.tolerance };
            match start {
                Some(centres) => lloyd::run(points, weights, centres, limits).centres,
                None => best_of_runs(params, points, weights, seed, limits),
            }
        }
    };
    // A mean of scores at the limit may round past it.
    let centres: Vec<f64> = centres.into_iter().map(|c| c.clamp(-MAX_SCORE, MAX_SCORE)).collect();
    match centres.iter().all(|c| c.is_finite()) {
        true => Ok(centres),
        false => Err(Error::Solver("a centre is not finite".into())),
    }
}

/// The centres of the run of least inertia, the first of equals.
fn best_of_runs(
    params: &KMeansParams,
    points: Points<'_>,
    weights: Option<&[f64]>,
    seed: u64,
    limits: lloyd::Limits,
) -> Vec<f64> {
    let run = |run: u32| {
        let clusters = params.clusters as usize;
        let start = plus_plus::centres(points, weights, clusters, derive(seed, u64::from(run)));
        lloyd::run(points, weights, start, limits).centres
    };
    let mut best = run(0);
    if params.restarts == 1 {
        return best;
    }
    let inertia = |centres: &[f64]| -> f64 {
        let squared = nearest::assign(points, centres).1;
        match weights {
            None => squared.iter().sum(),
            Some(weights) => squared.iter().zip(weights).map(|(d, w)| d * w).sum(),
        }
    };
    let mut least = inertia(&best);
    for i in 1..params.restarts {
        let centres = run(i);
        let found = inertia(&centres);
        if found < least {
            (best, least) = (centres, found);
        }
    }
    best
}
