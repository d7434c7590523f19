//! K-means by linfa-clustering.
//!
//! linfa counts a centre as one more row of its cluster (m_k-means, Pakhira 2009), so that no cluster is without a mean;
//! at rest this is the same mean. Its parallel part assigns rows one by one and its sums are made in the order of rows,
//! so a fit is the same bytes for any number of threads. What linfa reports besides centres is of the iteration before,
//! or of the last run rather than the best, and so is left alone.

use super::KMeansParams;
use super::points::Points;
use crate::Error;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeansInit;
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Centres (row-major) of at least as many points, from these centres or by k-means++.
pub(super) fn centres(
    params: &KMeansParams,
    points: Points<'_>,
    seed: u64,
    start: Option<Vec<f64>>,
) -> Result<Vec<f64>, Error> {
    let solver = |error: ndarray::ShapeError| Error::Solver(error.to_string());
    let random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let clusters = params.clusters as usize;
    let (init, runs) = match start {
        Some(centres) => {
            let centres = Array2::from_shape_vec((clusters, points.columns), centres).map_err(solver)?;
            (KMeansInit::Precomputed(centres), 1)
        }
        None => (KMeansInit::KMeansPlusPlus, params.restarts as usize),
    };
    let values = points.values();
    let points = ArrayView2::from_shape((points.rows(), points.columns), &values).map_err(solver)?;
    let fitted = linfa_clustering::KMeans::params_with_rng(clusters, random)
        .max_n_iterations(u64::from(params.max_iterations))
        .tolerance(params.tolerance)
        .n_runs(runs)
        .init_method(init)
        .fit(&DatasetBase::from(points))
        .map_err(|error| Error::Solver(error.to_string()))?;
    Ok(fitted.centroids().iter().copied().collect())
}
