//! Metrics of a regression from the numbers that there were and those that were said.
//!
//! Formulas are scikit-learn's (`sklearn.metrics`), and `tests/golden/kinds.json` holds its numbers:
//!
//! - `rmse` is the root of the mean of (said - is)² (`root_mean_squared_error`), `mae` the mean of |said - is|
//!   (`mean_absolute_error`), `median_absolute_error` their median, the mean of the two in the middle of an even number.
//! - `r2` is 1 - Σ (said - is)² / Σ (is - mean)² (`r2_score`); `None` where all numbers are the same, or there is one: it
//!   is not defined there, and scikit-learn says 1 or 0.
//!
//! Differences are summed in units of the largest, so that no square is infinite or 0 that need not be. A metric beyond
//! the largest f64 is that largest one.

use crate::Error;
use serde::{Deserialize, Serialize};

/// What a regression is worth on some rows. `None` is a metric that these rows do not define.
///
/// ```
/// use tidemill_ml::NumberMetrics;
///
/// let metrics = NumberMetrics::compute(&[1.0, 2.0, 6.0], &[2.0, 2.0, 5.0])?;
/// assert_eq!((metrics.mae, metrics.median_absolute_error), (2.0 / 3.0, 1.0));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberMetrics {
    /// Rows scored.
    pub rows: u64,
    /// Root of the mean squared difference, in the target's unit.
    pub rmse: f64,
    /// Mean absolute difference, in the target's unit.
    pub mae: f64,
    /// Share of the target's variance that is explained: 1 is all, 0 none, below it less than the mean would; `None` if
    /// all numbers are the same.
    pub r2: Option<f64>,
    /// Median absolute difference, in the target's unit.
    pub median_absolute_error: f64,
}

impl NumberMetrics {
    /// Metrics of these rows: `said[i]` was said of the row whose number is `values[i]`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`] without rows, [`Error::LengthMismatch`] if the slices differ in length, [`Error::BadTarget`] for
    /// a number that is not finite, and [`Error::NotANumber`] for one that was said.
    pub fn compute(values: &[f64], said: &[f64]) -> Result<NumberMetrics, Error> {
        if values.len() != said.len() {
            let (expected, found) = (values.len(), said.len());
            return Err(Error::LengthMismatch { what: "predictions", expected, found });
        }
        if values.is_empty() {
            return Err(Error::NoRows);
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::BadTarget { row: at as u32, value: values[at] });
        }
        if let Some(position) = said.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotANumber { position, value: said[position] });
        }
        // Halves, as the difference of two finite numbers may not be finite.
        let mut halves: Vec<f64> =
            values.iter().zip(said).map(|(is, said)| (said / 2.0 - is / 2.0).abs()).collect();
        let rows = values.len() as f64;
        let whole = |half: f64| (2.0 * half).min(f64::MAX);
        let (unit, squares) = squares(halves.iter().copied());
        let mae = halves.iter().map(|half| half / rows).sum::<f64>();
        let mean = values.iter().map(|value| value / rows).sum::<f64>();
        let (spread_unit, spread) = self::squares(values.iter().map(|value| value / 2.0 - mean / 2.0));
        // A mean that rounding moved off equal numbers is no spread.
        let is_constant = values.iter().all(|value| *value == values[0]);
        let r2 = (!is_constant && spread > 0.0).then(|| {
            let ratio = if squares > 0.0 { (unit / spread_unit).powi(2) * (squares / spread) } else { 0.0 };
            (1.0 - ratio).max(-f64::MAX)
        });
        Ok(NumberMetrics {
            rows: values.len() as u64,
            rmse: whole(unit * (squares / rows).sqrt()),
            mae: whole(mae),
            r2,
            median_absolute_error: whole(median(&mut halves)),
        })
    }
}

/// The largest of some numbers by size, and the sum of their squares in units of it.
fn squares(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let largest = values.clone().fold(0.0f64, |largest, value| largest.max(value.abs()));
    match largest > 0.0 {
        true => (largest, values.map(|value| (value / largest).powi(2)).sum()),
        false => (1.0, 0.0),
    }
}

/// The median of at least one number.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match is_odd {
        true => *upper,
        false => below.iter().fold(0.0f64, |largest, value| largest.max(*value)) / 2.0 + *upper / 2.0,
    }
}
