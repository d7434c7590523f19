//! Values for those that are missing.

use super::{check_columns, check_fit, known, quantile, sketch};
use crate::file::MOST_ROWS;
use crate::{Error, QuantileSketch};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// What stands for a missing value.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum ImputeStrategy {
    /// The mean of the column.
    #[default]
    Mean,
    /// The median of the column: of an even number of values, the middle between the inner two. Of rows that come later,
    /// what a [`QuantileSketch`] says: off by at most .005 of its distance to the median of the first rows.
    Median,
    /// A value that is given.
    Constant,
}

/// Settings of an imputer.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ImputerParams {
    /// What stands for a missing value.
    pub strategy: ImputeStrategy,
    /// With `strategy = "constant"`: the value, finite.
    pub value: f64,
}

/// Puts a value where one is missing. A column without any value gets 0 (scikit-learn's `keep_empty_features`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imputer {
    params: ImputerParams,
    /// Values known so far and what stands for a missing one, by column.
    columns: Vec<(u64, f64)>,
    /// By column, for medians of rows that come later; else empty.
    sketches: Vec<QuantileSketch>,
}

impl Imputer {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::BadParameter`] for a constant that is not finite.
    pub fn fit(params: ImputerParams, x: ArrayView2<'_, f64>) -> Result<Imputer, Error> {
        check_fit(&x)?;
        if !params.value.is_finite() {
            let value = params.value.to_string();
            return Err(Error::BadParameter { name: "value", value, expected: "a finite number" });
        }
        let columns = x.columns().into_iter().map(|column| {
            let mut values: Vec<f64> = known(column).collect();
            let fill = match params.strategy {
                ImputeStrategy::Constant => params.value,
                _ if values.is_empty() => 0.0,
                ImputeStrategy::Mean => mean(0, 0.0, &values),
                ImputeStrategy::Median => {
                    values.sort_unstable_by(f64::total_cmp);
                    quantile(&values, 0.5)
                }
            };
            (values.len() as u64, fill)
        });
        let columns = columns.collect();
        let of_medians = params.strategy == ImputeStrategy::Median;
        let sketches = if of_medians { x.columns().into_iter().map(sketch).collect() } else { Vec::new() };
        Ok(Imputer { params, columns, sketches })
    }

    /// The imputer after more rows.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<Imputer, Error> {
        check_fit(&x)?;
        check_columns(self.columns.len(), &x)?;
        let mut sketches = self.sketches.clone();
        sketches.iter_mut().zip(x.columns()).for_each(|(sketch, column)| sketch.extend(known(column)));
        let more = |(c, (&(count, fill), column)): (usize, (&(u64, f64), _))| {
            let values: Vec<f64> = known(column).collect();
            let after = match self.params.strategy {
                ImputeStrategy::Mean if !values.is_empty() => mean(count, fill, &values),
                ImputeStrategy::Median if !values.is_empty() => {
                    sketches.get(c).and_then(|sketch| sketch.quantile(0.5)).unwrap_or(fill)
                }
                _ => fill,
            };
            (count + values.len() as u64, after)
        };
        let columns = self.columns.iter().zip(x.columns()).enumerate().map(more).collect();
        Ok(Imputer { params: self.params, columns, sketches })
    }

    /// What stands for a missing value of each column.
    pub fn fills(&self) -> Vec<f64> {
        self.columns.iter().map(|(_, fill)| *fill).collect()
    }

    /// Rows without missing values.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.columns.len(), &x)?;
        let mut out = x.to_owned();
        for mut row in out.rows_mut() {
            for (v, (_, fill)) in row.iter_mut().zip(&self.columns) {
                *v = if v.is_finite() { *v } else { *fill };
            }
        }
        Ok(out)
    }

    pub(super) fn is_valid(&self) -> bool {
        let of_medians = self.params.strategy == ImputeStrategy::Median;
        self.params.value.is_finite()
            && self.columns.iter().all(|(count, fill)| *count <= MOST_ROWS && fill.is_finite())
            && self.sketches.len() == if of_medians { self.columns.len() } else { 0 }
            && self.sketches.iter().all(QuantileSketch::is_valid)
    }
}

/// The mean of `count` values whose mean is `before`, and these. Shares of the largest cannot overflow in their sum.
fn mean(count: u64, before: f64, values: &[f64]) -> f64 {
    let largest = values.iter().fold(before.abs(), |largest, v| largest.max(v.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let sum = values.iter().map(|v| v / largest).sum::<f64>() + before / largest * count as f64;
    let mean = sum / (count as f64 + values.len() as f64);
    // Rounding may end a last digit above the largest.
    mean.clamp(-1.0, 1.0) * largest
}
