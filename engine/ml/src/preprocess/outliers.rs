//! Values far outside of the quartiles (Tukey 1977).

use super::quantiles::Known;
use super::rows::of_columns;
use super::{check_columns, check_fit, map_known};
use crate::Error;
use crate::stats::fences::{TUKEY_REACH, bounds};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Shares of the first and third quartile.
const QUARTILES: [f64; 2] = [0.25, 0.75];

/// What is done about an outlier.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{IqrOutliers, IqrOutliersParams, OutlierAction};
///
/// let x = array![[1.0], [2.0], [3.0], [4.0], [99.0]];
/// let params = IqrOutliersParams { action: OutlierAction::Drop, ..IqrOutliersParams::default() };
/// assert_eq!(IqrOutliers::fit(params, x.view())?.transform(x.view())?.nrows(), 4);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum OutlierAction {
    /// It becomes the nearer bound.
    #[default]
    Cap,
    /// Its row is dropped.
    Drop,
}

/// Settings of the outlier rule.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{IqrOutliers, IqrOutliersParams, OutlierAction};
///
/// let x = array![[1.0], [2.0], [3.0], [4.0], [99.0]];
/// let params = IqrOutliersParams { action: OutlierAction::Drop, ..IqrOutliersParams::default() };
/// assert_eq!(IqrOutliers::fit(params, x.view())?.transform(x.view())?.nrows(), 4);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct IqrOutliersParams {
    /// Quartile distances beyond the quartiles from which a value is an outlier, 0 or more.
    pub reach: f64,
    /// What is done about it.
    pub action: OutlierAction,
}

impl Default for IqrOutliersParams {
    fn default() -> Self {
        IqrOutliersParams { reach: TUKEY_REACH, action: OutlierAction::Cap }
    }
}

impl IqrOutliersParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.reach >= 0.0 && self.reach.is_finite() {
            return Ok(());
        }
        let value = self.reach.to_string();
        Err(Error::BadParameter { name: "reach", value, expected: "0 or more" })
    }
}

/// Bounds of each column: Q1 - reach · IQR and Q3 + reach · IQR, quartiles by linear interpolation (numpy's default).
///
/// After rows that come later the quartiles are those of all; but of more than 2,048 values of a column, the two that a
/// quartile is between are known by a [`QuantileSketch`](crate::QuantileSketch), each to .005 of its distance to the median
/// that the column had when it came to have so many, or, if that is more, to 2e-9 of the farthest value's distance.
///
/// A column whose IQR is 0 has no bounds: where half of the values are one, any other would be an outlier. Nor has one
/// without a value. A missing value is no outlier.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{IqrOutliers, IqrOutliersParams, OutlierAction};
///
/// let x = array![[1.0], [2.0], [3.0], [4.0], [99.0]];
/// let params = IqrOutliersParams { action: OutlierAction::Drop, ..IqrOutliersParams::default() };
/// assert_eq!(IqrOutliers::fit(params, x.view())?.transform(x.view())?.nrows(), 4);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IqrOutliers {
    pub(crate) params: IqrOutliersParams,
    bounds: Vec<Option<(f64, f64)>>,
    /// By column.
    known: Vec<Known>,
}

impl IqrOutliers {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::BadParameter`] for a reach that is not 0 or more.
    pub fn fit(params: IqrOutliersParams, x: ArrayView2<'_, f64>) -> Result<IqrOutliers, Error> {
        check_fit(&x)?;
        params.validate()?;
        let of_column = |_: usize, values: Vec<f64>| {
            let (known, quartiles) = Known::of(values, QUARTILES);
            (quartiles.and_then(|[q1, q3]| bounds(q1, q3, params.reach)), known)
        };
        let (bounds, known) = of_columns(&x, of_column).into_iter().unzip();
        Ok(IqrOutliers { params, bounds, known })
    }

    /// The bounds after more rows.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<IqrOutliers, Error> {
        check_fit(&x)?;
        check_columns(self.bounds.len(), &x)?;
        let of_column = |c: usize, values: Vec<f64>| {
            if values.is_empty() {
                // The exact ones, where they are those of a fit.
                return (self.bounds[c], self.known[c].clone());
            }
            let known = self.known[c].clone().with(values);
            let quartiles = known.quantiles(QUARTILES);
            (quartiles.and_then(|[q1, q3]| bounds(q1, q3, self.params.reach)), known)
        };
        let (bounds, known) = of_columns(&x, of_column).into_iter().unzip();
        Ok(IqrOutliers { params: self.params, bounds, known })
    }

    /// Lower and upper bound of each column; `None` for one that has none.
    pub fn bounds(&self) -> &[Option<(f64, f64)>] {
        &self.bounds
    }

    /// What the values of rows that stay are held to, by column: the ends of f64 where rows with an outlier are dropped.
    pub(crate) fn ends(&self) -> Vec<(f64, f64)> {
        let caps = self.params.action == OutlierAction::Cap;
        self.bounds.iter().map(|of| of.filter(|_| caps).unwrap_or((f64::MIN, f64::MAX))).collect()
    }

    /// Whether each row is without an outlier.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn inliers(&self, x: ArrayView2<'_, f64>) -> Result<Vec<bool>, Error> {
        check_columns(self.bounds.len(), &x)?;
        let inside = |(v, bounds): (&f64, &Option<(f64, f64)>)| match bounds {
            Some((low, high)) => !v.is_finite() || (low..=high).contains(&v),
            None => true,
        };
        Ok(x.rows().into_iter().map(|row| row.iter().zip(&self.bounds).all(inside)).collect())
    }

    /// Rows with outliers capped, or without the rows that have one (see [`inliers`](IqrOutliers::inliers) for which).
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.bounds.len(), &x)?;
        match self.params.action {
            OutlierAction::Cap => self.keeping_rows(x),
            OutlierAction::Drop => {
                let inliers = self.inliers(x)?;
                let kept: Vec<usize> = (0..inliers.len()).filter(|&row| inliers[row]).collect();
                self.keeping_rows(x.select(Axis(0), &kept).view())
            }
        }
    }

    /// Which rows are not dropped, where rows are.
    pub(crate) fn kept(&self, x: ArrayView2<'_, f64>) -> Result<Option<Vec<u32>>, Error> {
        if !self.drops() {
            return Ok(None);
        }
        let inliers = (0u32..).zip(self.inliers(x)?);
        Ok(Some(inliers.filter(|(_, inlier)| *inlier).map(|(row, _)| row).collect()))
    }

    /// Whether rows with an outlier are dropped.
    pub(crate) fn drops(&self) -> bool {
        self.params.action == OutlierAction::Drop
    }

    /// Rows with outliers capped, or as they are where rows with one are dropped.
    pub(crate) fn keeping_rows(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.bounds.len(), &x)?;
        if self.drops() {
            return Ok(map_known(&x, &self.bounds, |v, _| v));
        }
        let ends = |bounds: &Option<(f64, f64)>| bounds.unwrap_or((f64::MIN, f64::MAX));
        let ends: Vec<(f64, f64)> = self.bounds.iter().map(ends).collect();
        Ok(map_known(&x, &ends, |v, (low, high)| v.max(*low).min(*high)))
    }

    pub(super) fn is_valid(&self) -> bool {
        (0.0..f64::INFINITY).contains(&self.params.reach)
            && self.bounds.iter().flatten().all(|(low, high)| low <= high)
            && self.known.len() == self.bounds.len()
            && self.known.iter().all(Known::is_valid)
    }
}
