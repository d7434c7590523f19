//! Values far outside of the quartiles (Tukey 1977).

use super::rows::of_columns;
use super::{check_columns, check_fit, map_known, quantiles, sketch};
use crate::{Error, QuantileSketch};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// What is done about an outlier.
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
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct IqrOutliersParams {
    /// Quartile distances beyond the quartiles from which a value is an outlier, 0 or more.
    pub factor: f64,
    /// What is done about it.
    pub action: OutlierAction,
}

impl Default for IqrOutliersParams {
    fn default() -> Self {
        IqrOutliersParams { factor: 1.5, action: OutlierAction::Cap }
    }
}

/// Bounds of each column: Q1 - factor · IQR and Q3 + factor · IQR, quartiles by linear interpolation (numpy's default).
///
/// Of rows that come later, quartiles are what a [`QuantileSketch`] says: off by at most .005 of their distance to the
/// median of the first rows.
///
/// A column whose IQR is 0 has no bounds: where half of the values are one, any other would be an outlier. Nor has one
/// without a value. A missing value is no outlier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IqrOutliers {
    params: IqrOutliersParams,
    bounds: Vec<Option<(f64, f64)>>,
    /// By column.
    sketches: Vec<QuantileSketch>,
}

impl IqrOutliers {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::BadParameter`] for a factor that is not 0 or more.
    pub fn fit(params: IqrOutliersParams, x: ArrayView2<'_, f64>) -> Result<IqrOutliers, Error> {
        check_fit(&x)?;
        if !(params.factor >= 0.0 && params.factor.is_finite()) {
            let value = params.factor.to_string();
            return Err(Error::BadParameter { name: "factor", value, expected: "0 or more" });
        }
        let of_column = |_: usize, mut values: Vec<f64>| {
            let [q1, median, q3] = quantiles(&mut values, [0.25, 0.5, 0.75]);
            (bounds_of(params, q1, q3), sketch(median, values))
        };
        let (bounds, sketches) = of_columns(&x, of_column).into_iter().unzip();
        Ok(IqrOutliers { params, bounds, sketches })
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
            let mut sketch = self.sketches[c].clone();
            sketch.extend(values.into_iter());
            let quartiles = sketch.quantiles([0.25, 0.75]);
            (quartiles.and_then(|[q1, q3]| bounds_of(self.params, q1, q3)), sketch)
        };
        let (bounds, sketches) = of_columns(&x, of_column).into_iter().unzip();
        Ok(IqrOutliers { params: self.params, bounds, sketches })
    }

    /// Lower and upper bound of each column; `None` for one that has none.
    pub fn bounds(&self) -> &[Option<(f64, f64)>] {
        &self.bounds
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
            OutlierAction::Cap => {
                let ends = |bounds: &Option<(f64, f64)>| bounds.unwrap_or((f64::MIN, f64::MAX));
                let ends: Vec<(f64, f64)> = self.bounds.iter().map(ends).collect();
                Ok(map_known(&x, &ends, |v, (low, high)| v.max(*low).min(*high)))
            }
            OutlierAction::Drop => {
                let inliers = self.inliers(x)?;
                let kept: Vec<usize> = (0..inliers.len()).filter(|&row| inliers[row]).collect();
                Ok(map_known(&x.select(Axis(0), &kept).view(), &self.bounds, |v, _| v))
            }
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        (0.0..f64::INFINITY).contains(&self.params.factor)
            && self.bounds.iter().flatten().all(|(low, high)| low <= high)
            && self.sketches.len() == self.bounds.len()
            && self.sketches.iter().all(QuantileSketch::is_valid)
    }
}

/// Bounds by two quartiles; none where they are one value or none.
fn bounds_of(params: IqrOutliersParams, q1: f64, q3: f64) -> Option<(f64, f64)> {
    let margin = params.factor * (q3 - q1);
    // Of bounds past what a number can be, none is ever crossed.
    (q1 < q3).then(|| ((q1 - margin).max(f64::MIN), (q3 + margin).min(f64::MAX)))
}
