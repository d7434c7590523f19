//! Scalers: standard scores, and a column's range onto another.

use super::rows::of_blocks;
use super::{check_columns, check_fit, map_known};
use crate::Error;
use crate::file::MOST_ROWS;
use crate::stats::RunningMoments;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Settings of a standard scaler.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{StandardScaler, StandardScalerParams};
///
/// let params = StandardScalerParams { with_std: false, ..StandardScalerParams::default() };
/// let scaler = StandardScaler::fit(params, array![[1.0], [3.0]].view())?;
/// assert_eq!(scaler.transform(array![[5.0]].view())?, array![[3.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StandardScalerParams {
    /// Whether the mean is taken off.
    pub with_mean: bool,
    /// Whether values are divided by the standard deviation.
    pub with_std: bool,
}

impl Default for StandardScalerParams {
    fn default() -> Self {
        StandardScalerParams { with_mean: true, with_std: true }
    }
}

/// (x - mean) / standard deviation of each column; the deviation is that of the rows themselves (divided by n, as
/// scikit-learn's StandardScaler). A constant column is 0 (its mean is taken off, and it is divided by 1).
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{StandardScaler, StandardScalerParams};
///
/// let params = StandardScalerParams { with_std: false, ..StandardScalerParams::default() };
/// let scaler = StandardScaler::fit(params, array![[1.0], [3.0]].view())?;
/// assert_eq!(scaler.transform(array![[5.0]].view())?, array![[3.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    pub(crate) params: StandardScalerParams,
    columns: Vec<RunningMoments>,
}

/// The deviation of a column, or 1 for one whose spread may be rounding alone, as scikit-learn judges it.
fn scale_of(column: &RunningMoments) -> f64 {
    let (count, variance) = (column.weight(), column.variance());
    let rounding = count * f64::EPSILON * variance + (count * column.mean() * f64::EPSILON).powi(2);
    if variance <= rounding || variance == 0.0 { 1.0 } else { variance.sqrt() }
}

impl StandardScaler {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::Overflow`] for a column whose sums are not finite.
    pub fn fit(params: StandardScalerParams, x: ArrayView2<'_, f64>) -> Result<StandardScaler, Error> {
        check_fit(&x)?;
        StandardScaler { params, columns: vec![RunningMoments::default(); x.ncols()] }.partial_fit(x)
    }

    /// The scaler after more rows.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](StandardScaler::fit), and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<StandardScaler, Error> {
        check_fit(&x)?;
        check_columns(self.columns.len(), &x)?;
        let mut columns = self.columns.clone();
        for block in of_blocks(&x, |values| RunningMoments::of_rows(values, x.ncols())) {
            columns.iter_mut().zip(&block).for_each(|(all, of)| all.merge(of));
        }
        match columns.iter().position(|c| !c.is_finite()) {
            Some(column) => Err(Error::Overflow { column }),
            None => Ok(StandardScaler { params: self.params, columns }),
        }
    }

    /// Mean of each column, 0 for one without a value.
    pub fn means(&self) -> Vec<f64> {
        self.columns.iter().map(RunningMoments::mean).collect()
    }

    /// Standard deviation of each column.
    pub fn deviations(&self) -> Vec<f64> {
        self.columns.iter().map(RunningMoments::standard_deviation).collect()
    }

    /// What is taken off each column, and what it is then divided by.
    pub(crate) fn parts(&self) -> Vec<(f64, f64)> {
        let of = |c: &RunningMoments| {
            let (mean, scale) = (c.mean(), scale_of(c));
            (if self.params.with_mean { mean } else { 0.0 }, if self.params.with_std { scale } else { 1.0 })
        };
        self.columns.iter().map(of).collect()
    }

    /// The standard scores of rows.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.columns.len(), &x)?;
        Ok(map_known(&x, &self.parts(), |v, (mean, scale)| (v - mean) / scale))
    }

    /// The values that have these scores.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn inverse_transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.columns.len(), &x)?;
        Ok(map_known(&x, &self.parts(), |v, (mean, scale)| v * scale + mean))
    }

    pub(super) fn is_valid(&self) -> bool {
        let valid = |c: &RunningMoments| {
            (0.0..=MOST_ROWS as f64).contains(&c.weight()) && c.is_finite() && c.squares() >= 0.0
        };
        self.columns.iter().all(valid)
    }
}

/// Settings of a min-max scaler.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{MinMaxScaler, MinMaxScalerParams};
///
/// let params = MinMaxScalerParams { clip: true, ..MinMaxScalerParams::default() };
/// let scaler = MinMaxScaler::fit(params, array![[1.0], [3.0]].view())?;
/// assert_eq!(scaler.transform(array![[2.0], [9.0]].view())?, array![[0.5], [1.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MinMaxScalerParams {
    /// What the least value becomes.
    pub min: f64,
    /// What the greatest value becomes; above `min`.
    pub max: f64,
    /// Whether values outside of those learned from are held at the ends.
    pub clip: bool,
}

impl Default for MinMaxScalerParams {
    fn default() -> Self {
        MinMaxScalerParams { min: 0.0, max: 1.0, clip: false }
    }
}

impl MinMaxScalerParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.min.is_finite() && self.max.is_finite() && self.min < self.max {
            return Ok(());
        }
        let value = format!("{} with min = {}", self.max, self.min);
        Err(Error::BadParameter { name: "max", value, expected: "finite and above min" })
    }
}

/// Each column's least and greatest value onto a range, those between in proportion. A constant column is at the lower
/// end, as is one without a value.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{MinMaxScaler, MinMaxScalerParams};
///
/// let params = MinMaxScalerParams { clip: true, ..MinMaxScalerParams::default() };
/// let scaler = MinMaxScaler::fit(params, array![[1.0], [3.0]].view())?;
/// assert_eq!(scaler.transform(array![[2.0], [9.0]].view())?, array![[0.5], [1.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinMaxScaler {
    pub(crate) params: MinMaxScalerParams,
    /// Least and greatest value; the first is above the second while there is none.
    columns: Vec<(f64, f64)>,
}

/// `share` of the way to `high`. By halves only where the distance is past f64: half of the least number is 0.
pub(super) fn between(low: f64, high: f64, share: f64) -> f64 {
    match high - low {
        width if width.is_finite() => low + share * width,
        _ => 2.0 * (low / 2.0 + share * (high / 2.0 - low / 2.0)),
    }
}

/// Which share of the way to `high`, which is above `low`, a value is at: [`between`] backwards.
fn share_of(low: f64, high: f64, value: f64) -> f64 {
    match high - low {
        width if width.is_finite() => (value - low) / width,
        _ => (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0),
    }
}

impl MinMaxScaler {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::BadParameter`] if `max` is not above `min`.
    pub fn fit(params: MinMaxScalerParams, x: ArrayView2<'_, f64>) -> Result<MinMaxScaler, Error> {
        check_fit(&x)?;
        params.validate()?;
        MinMaxScaler { params, columns: vec![(f64::MAX, f64::MIN); x.ncols()] }.partial_fit(x)
    }

    /// The scaler after more rows.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<MinMaxScaler, Error> {
        check_fit(&x)?;
        check_columns(self.columns.len(), &x)?;
        let widen = |columns: &mut [(f64, f64)], values: &[f64]| {
            for row in values.chunks_exact(x.ncols()) {
                for ((low, high), v) in columns.iter_mut().zip(row).filter(|(_, v)| v.is_finite()) {
                    (*low, *high) = (low.min(*v), high.max(*v));
                }
            }
        };
        let of_block = |values: &[f64]| {
            let mut columns = self.columns.clone();
            widen(&mut columns, values);
            columns
        };
        let wider = |(a, b): ((f64, f64), (f64, f64))| (a.0.min(b.0), a.1.max(b.1));
        let merge = |all: Vec<(f64, f64)>, of: Vec<(f64, f64)>| all.into_iter().zip(of).map(wider).collect();
        let columns = of_blocks(&x, of_block).into_iter().fold(self.columns.clone(), merge);
        Ok(MinMaxScaler { params: self.params, columns })
    }

    pub(crate) fn params(&self) -> MinMaxScalerParams {
        self.params
    }

    /// Least and greatest value of each column; the first is above the second of one without values.
    pub(crate) fn columns(&self) -> &[(f64, f64)] {
        &self.columns
    }

    /// Rows on the range.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.columns.len(), &x)?;
        let MinMaxScalerParams { min, max, clip } = self.params;
        Ok(map_known(&x, &self.columns, |v, &(low, high)| {
            if low >= high {
                let offset = if low == high && !clip { v - low } else { 0.0 };
                return min + offset;
            }
            let share = share_of(low, high, v);
            let share = if clip { share.clamp(0.0, 1.0) } else { share };
            between(min, max, share)
        }))
    }

    /// The values that are at these places of the range.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn inverse_transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.columns.len(), &x)?;
        let MinMaxScalerParams { min, max, .. } = self.params;
        Ok(map_known(&x, &self.columns, |v, &(low, high)| match low >= high {
            true => v - min + if low > high { 0.0 } else { low },
            false => between(low, high, share_of(min, max, v)),
        }))
    }

    pub(super) fn is_valid(&self) -> bool {
        let MinMaxScalerParams { min, max, .. } = self.params;
        min.is_finite()
            && max.is_finite()
            && min < max
            && self.columns.iter().all(|(a, b)| a.is_finite() && b.is_finite())
    }
}
