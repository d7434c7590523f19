//! A scaler that outliers do not move: median and quartiles in place of mean and deviation.

use super::quantiles::Known;
use super::rows::of_columns;
use super::{check_columns, check_fit, map_known};
use crate::Error;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Shares of the quartiles and the median.
const QUARTILES: [f64; 3] = [0.25, 0.5, 0.75];

/// Settings of a robust scaler.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{RobustScaler, RobustScalerParams};
///
/// let params = RobustScalerParams { with_scaling: false, ..RobustScalerParams::default() };
/// let scaler = RobustScaler::fit(params, array![[1.0], [3.0], [900.0]].view())?;
/// assert_eq!(scaler.transform(array![[5.0]].view())?, array![[2.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct RobustScalerParams {
    /// Whether the median is taken off.
    pub with_centering: bool,
    /// Whether values are divided by the distance of the quartiles.
    pub with_scaling: bool,
}

impl Default for RobustScalerParams {
    fn default() -> Self {
        RobustScalerParams { with_centering: true, with_scaling: true }
    }
}

/// (x - median) / (third - first quartile) of each column, quantiles by linear interpolation, as scikit-learn's
/// RobustScaler. A column whose quartiles are one value is divided by 1; one without a value is at 0.
///
/// After rows that come later the quantiles are those of all; but of more than 2,048 values of a column, the two that one
/// is between are known by a [`QuantileSketch`](crate::QuantileSketch), each to .005 of its distance to the median that
/// the column had when it came to have so many, or, if that is more, to 2e-9 of the farthest value's distance.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{RobustScaler, RobustScalerParams};
///
/// let scaler = RobustScaler::fit(RobustScalerParams::default(), array![[1.0], [2.0], [3.0], [4.0], [500.0]].view())?;
/// assert_eq!(scaler.transform(array![[3.0], [6.0]].view())?, array![[0.0], [1.5]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustScaler {
    pub(crate) params: RobustScalerParams,
    /// First quartile, median and third quartile of each column; 0 of one without a value.
    quartiles: Vec<[f64; 3]>,
    /// By column.
    known: Vec<Known>,
}

impl RobustScaler {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`].
    pub fn fit(params: RobustScalerParams, x: ArrayView2<'_, f64>) -> Result<RobustScaler, Error> {
        check_fit(&x)?;
        let of_column = |_: usize, values: Vec<f64>| {
            let (known, quartiles) = Known::of(values, QUARTILES);
            (quartiles.unwrap_or_default(), known)
        };
        let (quartiles, known) = of_columns(&x, of_column).into_iter().unzip();
        Ok(RobustScaler { params, quartiles, known })
    }

    /// The scaler after more rows.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<RobustScaler, Error> {
        check_fit(&x)?;
        check_columns(self.quartiles.len(), &x)?;
        let of_column = |c: usize, values: Vec<f64>| {
            if values.is_empty() {
                // The exact ones, where they are those of a fit.
                return (self.quartiles[c], self.known[c].clone());
            }
            let known = self.known[c].clone().with(values);
            (known.quantiles(QUARTILES).unwrap_or_default(), known)
        };
        let (quartiles, known) = of_columns(&x, of_column).into_iter().unzip();
        Ok(RobustScaler { params: self.params, quartiles, known })
    }

    /// Median of each column, 0 for one without a value.
    pub fn medians(&self) -> Vec<f64> {
        self.quartiles.iter().map(|[_, median, _]| *median).collect()
    }

    /// Distance of the quartiles of each column.
    pub fn ranges(&self) -> Vec<f64> {
        self.quartiles.iter().map(|[q1, _, q3]| q3 - q1).collect()
    }

    /// What is taken off each column, and half of what it is then divided by.
    pub(crate) fn parts(&self) -> Vec<(f64, f64)> {
        let RobustScalerParams { with_centering, with_scaling } = self.params;
        let of_column = |&[q1, median, q3]: &[f64; 3]| {
            let centre = if with_centering { median } else { 0.0 };
            (centre, if !with_scaling || q1 == q3 { 0.5 } else { q3 / 2.0 - q1 / 2.0 })
        };
        self.quartiles.iter().map(of_column).collect()
    }

    /// Rows as distances from the medians.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.quartiles.len(), &x)?;
        let RobustScalerParams { with_centering, with_scaling } = self.params;
        Ok(map_known(&x, &self.quartiles, |v, &[q1, median, q3]| {
            let centre = if with_centering { median } else { 0.0 };
            if !with_scaling || q1 == q3 {
                return v - centre;
            }
            // By halves where a distance of two finite values is past f64.
            match (v - centre) / (q3 - q1) {
                score if score.is_finite() && (q3 - q1).is_finite() => score,
                _ => (v / 2.0 - centre / 2.0) / (q3 / 2.0 - q1 / 2.0),
            }
        }))
    }

    pub(super) fn is_valid(&self) -> bool {
        let ordered = |[q1, median, q3]: &[f64; 3]| q1 <= median && median <= q3;
        self.quartiles.iter().all(|of| of.iter().all(|v| v.is_finite()) && ordered(of))
            && self.known.len() == self.quartiles.len()
            && self.known.iter().all(Known::is_valid)
    }
}
