//! Components by linfa-reduction, behind `backend = "linfa"`.
//!
//! linfa's PCA decomposes rows by LOBPCG and cannot take rows later. It is given a matrix in their stead that has the
//! same covariance, of two rows a column: R and -R, where RᵀR is the covariance. So later rows cost nothing anew.
//!
//! It is asked for all components, and the matrix is so small that the tolerance holds at the first step, which then is as
//! exact as the basis that it begins at. Asked for a part of them, LOBPCG (linfa-linalg 0.2.1) goes wrong on plain rows: of uniform ones with 14 columns
//! the last of 8 components has half the variance that it should, and for 3 components of a million it panics on a NaN.
//! Its explained variances are divided by the number of components rather than of rows, and so are left alone.

use crate::Error;
use ::linfa::DatasetBase;
use ::linfa::traits::Fit;
use linfa_linalg::cholesky::CholeskyInplace;
use linfa_reduction::Pca;
use ndarray::{Array1, Array2, Axis, concatenate};

/// The largest variance of a column in what linfa is given: its tolerance is absolute, 1e-10.
const SCALE: f64 = 1e-6;

/// Added to the scaled variances for each column, so that columns that depend on each other have a root too; where the sums
/// of many rows have rounded more away, as many times more as that takes.
const RIDGE: f64 = 1e-14 * SCALE;
const MORE: f64 = 100.0;
/// Ridges that are tried: the last is 1e-8 of the largest variance for each column.
const RIDGES: i32 = 4;

/// Variances, the largest first, and their components by rows: at most as many as there are columns.
pub(super) fn components(covariance: &Array2<f64>, count: usize) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let columns = covariance.nrows();
    let largest = covariance.diag().fold(0.0f64, |largest, v| largest.max(*v));
    let (mut variances, mut components) = match largest > 0.0 {
        true => fit(covariance, largest)?,
        false => (Vec::new(), Array2::zeros((0, columns))),
    };
    variances.resize(columns, 0.0);
    variances.truncate(count);
    while components.nrows() < count {
        let next = orthogonal_to(&components);
        components = concatenate![Axis(0), components, next.insert_axis(Axis(0))];
    }
    let first: Vec<usize> = (0..count).collect();
    Ok((variances, components.select(Axis(0), &first)))
}

/// Those that linfa finds.
fn fit(covariance: &Array2<f64>, largest: f64) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let columns = covariance.nrows();
    let scaled = covariance.mapv(|v| v / largest * SCALE);
    let mut roots = (0..RIDGES).filter_map(|tries| {
        let mut scaled = scaled.clone();
        scaled.diag_mut().mapv_inplace(|v| v + RIDGE * MORE.powi(tries) * columns as f64);
        scaled.cholesky_into().ok().filter(|root| root.iter().all(|v| v.is_finite()))
    });
    let solver = |error: &dyn std::fmt::Display| Error::Solver(error.to_string());
    let root = roots.next().ok_or_else(|| solver(&"the covariance has no root"))?.reversed_axes();
    let rows = concatenate![Axis(0), root, -&root];
    let fitted = Pca::params(columns).fit(&DatasetBase::from(rows)).map_err(|error| solver(&error))?;
    // Each column of R counts twice.
    let variances = fitted.singular_values().iter().map(|v| v * v / 2.0 / SCALE * largest).collect();
    Ok((variances, fitted.components().to_owned()))
}

/// A direction of length 1 that none of fewer rows than columns has a part of.
fn orthogonal_to(rows: &Array2<f64>) -> Array1<f64> {
    // The axis of which they have least.
    let parts = rows.mapv(|v| v * v).sum_axis(Axis(0));
    let axis = (0..parts.len()).min_by(|&a, &b| parts[a].total_cmp(&parts[b])).unwrap_or(0);
    let mut direction = Array1::zeros(rows.ncols());
    direction[axis] = 1.0;
    // Twice, as the first time leaves a rounding that is large beside a small rest.
    for _ in 0..2 {
        let parts = rows.dot(&direction);
        direction = direction - rows.t().dot(&parts);
    }
    let length = direction.dot(&direction).sqrt();
    direction / length
}
