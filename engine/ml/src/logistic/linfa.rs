//! linfa-logistic behind `backend = "linfa"`: L-BFGS on a matrix of all rows.
//!
//! linfa minimises the sum of losses + alpha/2 · |w|², the intercept free, as we do; its gradient tolerance is on the
//! sum too, which is why ours, on the mean, is multiplied by the rows. The matrix is column-major: linfa's gradient is
//! one dot product a column, which on a row-major matrix walks memory in strides (measured 2.7 times as slow).

use crate::Error;
use crate::encode::linear::{BLOCK, Design};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, ShapeBuilder};

use super::params::LogisticRegressionParams;

/// Weights of the dense columns, then the intercept.
pub(super) fn minimise(
    params: &LogisticRegressionParams,
    design: &Design<'_>,
    start: Option<Vec<f64>>,
) -> Result<Vec<f64>, Error> {
    let rows = design.rows.len();
    let columns = design.encoders.dense();
    let mut values = vec![0.0; rows * columns];
    let mut block = design.new_block();
    for first in (0..rows).step_by(BLOCK) {
        let end = (first + BLOCK).min(rows);
        design.fill(&mut block, first, end);
        for (c, column) in block.dense[..columns].iter().enumerate() {
            values[c * rows + first..c * rows + end].copy_from_slice(&column[..end - first]);
        }
    }
    let matrix = Array2::from_shape_vec((rows, columns).f(), values)
        .map_err(|error| Error::Solver(error.to_string()))?;
    let target: Array1<bool> = design.rows.iter().map(|&row| design.labels[row as usize]).collect();
    let data = DatasetBase::new(matrix, target);
    // A start that leads nowhere is not used.
    let warm = start.and_then(|start| solve(params, &data, Some(start)).ok());
    warm.map_or_else(|| solve(params, &data, None), Ok)
}

fn solve(
    params: &LogisticRegressionParams,
    data: &DatasetBase<Array2<f64>, Array1<bool>>,
    start: Option<Vec<f64>>,
) -> Result<Vec<f64>, Error> {
    let rows = data.targets().len();
    let mut solver = LogisticRegression::default()
        .alpha(params.alpha)
        .max_iterations(params.max_iterations)
        .gradient_tolerance(params.gradient_tolerance * rows as f64);
    if let Some(weights) = start {
        // linfa models the more frequent class, the first row's if they are equal; the weights change sign with it.
        let positives = data.targets().iter().filter(|label| **label).count();
        let first = data.targets().first().copied().unwrap_or(false);
        let models_true = if 2 * positives == rows { first } else { 2 * positives > rows };
        let sign = if models_true { 1.0 } else { -1.0 };
        solver = solver.initial_params(weights.iter().map(|w| sign * w).collect());
    }
    let fitted = solver.fit(data).map_err(|error| Error::Solver(error.to_string()))?;
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    Ok(fitted.params().iter().chain([&fitted.intercept()]).map(|w| sign * w).collect())
}
