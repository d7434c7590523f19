//! Values for those that are missing.

use super::quantiles::Known;
use super::rows::{changed, of_blocks, of_columns};
use super::scaler::between;
use super::{check_columns, check_fit};
use crate::Error;
use crate::file::MOST_ROWS;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// What stands for a missing value.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{ImputeStrategy, Imputer, ImputerParams};
///
/// let params = ImputerParams { strategy: ImputeStrategy::Median, ..ImputerParams::default() };
/// let imputer = Imputer::fit(params, array![[1.0], [f64::NAN], [9.0], [2.0]].view())?;
/// assert_eq!(imputer.fills(), [2.0]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum ImputeStrategy {
    /// The mean of the column.
    #[default]
    Mean,
    /// The median of the column: of an even number of values, the middle between the inner two. After rows that come later
    /// it is that of all; but of more than 2,048 values, these two are known by a [`QuantileSketch`](crate::QuantileSketch),
    /// each to .005 of its distance to the median that the column had when it came to have so many, or, if that is more,
    /// to 2e-9 of the farthest value's distance.
    Median,
    /// A value that is given.
    Constant,
    // New ones come last: their order is in files.
    /// The value that the column has most often, of several the least. Not learned from new rows alone: every value would
    /// have to be counted.
    MostFrequent,
}

/// Settings of an imputer.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{ImputeStrategy, Imputer, ImputerParams};
///
/// let params = ImputerParams { strategy: ImputeStrategy::Median, ..ImputerParams::default() };
/// let imputer = Imputer::fit(params, array![[1.0], [f64::NAN], [9.0], [2.0]].view())?;
/// assert_eq!(imputer.fills(), [2.0]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ImputerParams {
    /// What stands for a missing value.
    pub strategy: ImputeStrategy,
    /// With `strategy = "constant"`: the value, finite.
    pub value: f64,
}

impl ImputerParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.value.is_finite() {
            return Ok(());
        }
        let value = self.value.to_string();
        Err(Error::BadParameter { name: "value", value, expected: "a finite number" })
    }
}

/// Puts a value where one is missing. A column without any value gets 0 (scikit-learn's `keep_empty_features`).
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{ImputeStrategy, Imputer, ImputerParams};
///
/// let params = ImputerParams { strategy: ImputeStrategy::Median, ..ImputerParams::default() };
/// let imputer = Imputer::fit(params, array![[1.0], [f64::NAN], [9.0], [2.0]].view())?;
/// assert_eq!(imputer.fills(), [2.0]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imputer {
    pub(crate) params: ImputerParams,
    /// Values known so far and what stands for a missing one, by column.
    columns: Vec<(u64, f64)>,
    /// By column, for medians of rows that come later; else empty.
    known: Vec<Known>,
}

impl Imputer {
    /// Learns from rows. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`]; [`Error::BadParameter`] for a constant that is not finite.
    pub fn fit(params: ImputerParams, x: ArrayView2<'_, f64>) -> Result<Imputer, Error> {
        check_fit(&x)?;
        params.validate()?;
        let fill = if params.strategy == ImputeStrategy::Constant { params.value } else { 0.0 };
        let none = Imputer { params, columns: vec![(0, fill); x.ncols()], known: Vec::new() };
        if params.strategy == ImputeStrategy::MostFrequent {
            let of_column = |_: usize, values: Vec<f64>| (values.len() as u64, most_frequent(values));
            return Ok(Imputer { columns: of_columns(&x, of_column), ..none });
        }
        if params.strategy != ImputeStrategy::Median {
            return none.partial_fit(x);
        }
        let of_column = |_: usize, values: Vec<f64>| {
            let count = values.len() as u64;
            let (known, median) = Known::of(values, [0.5]);
            ((count, median.map_or(fill, |[median]| median)), known)
        };
        let (columns, known) = of_columns(&x, of_column).into_iter().unzip();
        Ok(Imputer { columns, known, ..none })
    }

    /// The imputer after more rows.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::LengthMismatch`] for another number of columns, and [`Error::NoPartialFit`] for the most
    /// frequent value.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<Imputer, Error> {
        check_fit(&x)?;
        check_columns(self.columns.len(), &x)?;
        if self.params.strategy == ImputeStrategy::MostFrequent {
            return Err(Error::NoPartialFit { what: "impute", why: NO_MODE });
        }
        if self.params.strategy == ImputeStrategy::Median {
            let of_column = |c: usize, values: Vec<f64>| {
                let ((count, fill), more) = (self.columns[c], values.len() as u64);
                let known = self.known[c].clone().with(values);
                // Without more values it is the exact one, where it was that of a fit.
                let median = known.quantiles([0.5]).filter(|_| more > 0);
                ((count + more, median.map_or(fill, |[median]| median)), known)
            };
            let (columns, known) = of_columns(&x, of_column).into_iter().unzip();
            return Ok(Imputer { params: self.params, columns, known });
        }
        let mut columns = self.columns.clone();
        for block in of_blocks(&x, |values| means(values, x.ncols())) {
            for ((count, fill), (more, mean)) in
                columns.iter_mut().zip(block).filter(|(_, (more, _))| *more > 0)
            {
                *count += more;
                if self.params.strategy == ImputeStrategy::Mean {
                    *fill = between(*fill, mean, more as f64 / *count as f64);
                }
            }
        }
        Ok(Imputer { params: self.params, columns, known: Vec::new() })
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
        Ok(changed(&x, |row| {
            for (v, (_, fill)) in row.iter_mut().zip(&self.columns) {
                *v = if v.is_finite() { *v } else { *fill };
            }
        }))
    }

    pub(super) fn is_valid(&self) -> bool {
        let of_medians = self.params.strategy == ImputeStrategy::Median;
        self.params.value.is_finite()
            && self.columns.iter().all(|(count, fill)| *count <= MOST_ROWS && fill.is_finite())
            && self.known.len() == if of_medians { self.columns.len() } else { 0 }
            && self.known.iter().all(Known::is_valid)
    }
}

/// Why a most frequent value is not learned from new rows alone.
const NO_MODE: &str =
    "every value would have to be counted; fit it on all rows, or take strategy = \"mean\" or \"median\"";

/// The value that is there most often, of several the least; 0 of none.
fn most_frequent(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let groups = values.chunk_by(|a, b| a == b);
    let longest = groups.fold((0, 0.0), |best, group| match group {
        [first, ..] if group.len() > best.0 => (group.len(), *first),
        _ => best,
    });
    // Not -0, which the one value of a group may begin with.
    longest.1 + 0.0
}

/// How many known values each column of a block of rows has, and their mean.
fn means(values: &[f64], columns: usize) -> Vec<(u64, f64)> {
    let mut all = vec![(0, 0.0); columns];
    for row in values.chunks_exact(columns) {
        for ((count, sum), v) in all.iter_mut().zip(row).filter(|(_, v)| v.is_finite()) {
            *count += 1;
            *sum += v;
        }
    }
    for (c, (count, mean)) in all.iter_mut().enumerate().filter(|(_, (count, _))| *count > 0) {
        let of_all = *count as f64;
        *mean = if mean.is_finite() {
            *mean / of_all
        } else {
            // A sum past f64: that of shares is not, but for what it rounds.
            let known = values.iter().skip(c).step_by(columns).filter(|v| v.is_finite());
            known.map(|v| v / of_all).sum::<f64>().clamp(f64::MIN, f64::MAX)
        };
    }
    all
}
