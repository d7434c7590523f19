//! Components as eigenvectors of the covariance, by linfa-linalg.

use crate::Error;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array2, Axis};

/// Variances, the largest first, and their components by rows: at most as many as there are columns.
pub(super) fn components(covariance: Array2<f64>, count: usize) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let (values, vectors) = covariance.eigh_into().map_err(|error| Error::Solver(error.to_string()))?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(count);
    let components = vectors.select(Axis(1), &order).reversed_axes().as_standard_layout().into_owned();
    // Rounding may leave the last ones a little below 0.
    Ok((order.iter().map(|&i| values[i].max(0.0)).collect(), components))
}
