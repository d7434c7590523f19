//! Preprocessing: what is learned from some rows and then done to any.
//!
//! ```text
//! Array2 (rows × columns) ──fit──> scaler | imputer | … ──transform──> Array2
//!                                    ▲ partial_fit    │ Preprocessor::to_bytes / from_bytes
//! [Option<&str>] ──fit──> StringIndexer | OneHotEncoder | TargetEncoder ──transform──> numbers
//! ```
//!
//! Rules that all share:
//!
//! - NaN is a missing value, and so is an infinity: it is left out of what is learned, and comes out as NaN, but for the
//!   imputer, which puts a value there, and PCA, which refuses it.
//! - No rows are an error of `fit` and `partial_fit`; `transform` gives no rows for none. One row is enough, but for PCA,
//!   which wants two. Another number of columns than the fit's is an error.
//! - A result past the ends of f64 is held at them. Sums past them are an error that names the column
//!   ([`Error::Overflow`]): of the standard scaler and of PCA, which square values.
//! - `partial_fit` adds rows to what is known, with the result of all rows at once, to rounding; but for medians and
//!   quartiles, which of more than 2,048 values of a column are then known to a stated error.
//! - Sums are made in blocks of rows, which are put together in their order: the same bytes for any number of threads.
//!
//! A [`Preprocessor`] is any of them as a file.
//!
//! ```
//! use ndarray::array;
//! use tidemill_ml::preprocess::{Imputer, ImputerParams, Pca, PcaParams, Preprocessor, StandardScaler};
//!
//! let first = array![[1.0, 20.0, 5.0], [2.0, f64::NAN, 6.0], [3.0, 40.0, 9.0]];
//! let imputer = Imputer::fit(ImputerParams::default(), first.view())?;
//! let scaler = StandardScaler::fit(Default::default(), imputer.transform(first.view())?.view())?;
//! let scores = scaler.transform(imputer.transform(first.view())?.view())?;
//! let pca = Pca::fit(PcaParams::default(), scores.view())?;
//! assert_eq!(pca.transform(scores.view())?.dim(), (3, 2));
//!
//! // Rows that come later are added, and a step is a file.
//! let later = array![[4.0, 50.0, 1.0]];
//! let imputer = imputer.partial_fit(later.view())?;
//! assert!((imputer.fills()[1] - 110.0 / 3.0).abs() < 1e-9);
//! let file = Preprocessor::Imputer(imputer).to_bytes()?;
//! assert!(matches!(Preprocessor::from_bytes(&file)?, Preprocessor::Imputer(_)));
//! # Ok::<(), tidemill_ml::Error>(())
//! ```

mod imputer;
mod leaves;
mod normalizer;
mod outliers;
mod pca;
mod quantiles;
mod robust;
mod rows;
mod scaler;
mod strings;
mod target;

pub use imputer::{ImputeStrategy, Imputer, ImputerParams};
pub use leaves::{ForestLeaves, ForestLeavesParams};
pub use normalizer::{Norm, Normalizer};
pub use outliers::{IqrOutliers, IqrOutliersParams, OutlierAction};
pub use pca::{Pca, PcaBackend, PcaComponents, PcaParams};
pub use robust::{RobustScaler, RobustScalerParams};
pub use scaler::{MinMaxScaler, MinMaxScalerParams, StandardScaler, StandardScalerParams};
pub use strings::{
    IndexedStrings, OneHotEncoder, OneHotEncoderParams, StringIndexer, StringIndexerParams, Unseen,
};
pub use target::{TargetEncoder, TargetEncoderParams};

use crate::Error;
use crate::file::{self, Kind};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Any fitted preprocessing, as a file. The file is that of a model ([`Classifier::to_bytes`](crate::Classifier::to_bytes))
/// with a magic of its own.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{MinMaxScaler, Preprocessor};
///
/// let step = Preprocessor::MinMaxScaler(MinMaxScaler::fit(Default::default(), array![[1.0], [3.0]].view())?);
/// assert_eq!(Preprocessor::from_bytes(&step.to_bytes()?)?, step);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Preprocessor {
    // New variants come last: their order is in the file.
    /// Standard scores.
    StandardScaler(StandardScaler),
    /// A range of values onto another.
    MinMaxScaler(MinMaxScaler),
    /// Rows of length 1.
    Normalizer(Normalizer),
    /// Values for those that are missing.
    Imputer(Imputer),
    /// Values far outside of the quartiles.
    IqrOutliers(IqrOutliers),
    /// Categories as numbers, by frequency.
    StringIndexer(StringIndexer),
    /// Categories as columns of 0 and 1.
    OneHotEncoder(OneHotEncoder),
    /// Categories as their share of positives.
    TargetEncoder(TargetEncoder),
    /// Principal components.
    Pca(Pca),
    /// Distances from the medians.
    RobustScaler(RobustScaler),
    /// Leaves of a forest.
    ForestLeaves(ForestLeaves),
}

impl Preprocessor {
    /// The preprocessing as a file's bytes; the same for the same.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::Preprocessor, self)
    }

    /// Reads what [`to_bytes`](Preprocessor::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Preprocessor, Error> {
        file::read(Kind::Preprocessor, bytes, Preprocessor::is_valid)
    }

    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Preprocessor::StandardScaler(step) => step.is_valid(),
            Preprocessor::MinMaxScaler(step) => step.is_valid(),
            Preprocessor::Normalizer(_) => true,
            Preprocessor::Imputer(step) => step.is_valid(),
            Preprocessor::IqrOutliers(step) => step.is_valid(),
            Preprocessor::StringIndexer(step) => step.is_valid(),
            Preprocessor::OneHotEncoder(step) => step.is_valid(),
            Preprocessor::TargetEncoder(step) => step.is_valid(),
            Preprocessor::Pca(step) => step.is_valid(),
            Preprocessor::RobustScaler(step) => step.is_valid(),
            Preprocessor::ForestLeaves(step) => step.is_valid(),
        }
    }
}

/// Rows to learn from: at least one, and a column.
fn check_fit(x: &ArrayView2<'_, f64>) -> Result<(), Error> {
    match (x.nrows(), x.ncols()) {
        (0, _) => Err(Error::NoRows),
        (_, 0) => Err(Error::NoFeatures),
        _ => Ok(()),
    }
}

/// The columns that were learned.
fn check_columns(expected: usize, x: &ArrayView2<'_, f64>) -> Result<(), Error> {
    match x.ncols() == expected {
        true => Ok(()),
        false => Err(Error::LengthMismatch { what: "columns", expected, found: x.ncols() }),
    }
}

/// A new matrix of `value(v, the column's part)`, missing values (and infinities) as NaN. A result past the ends of f64 is
/// at them.
fn map_known<P: Sync>(
    x: &ArrayView2<'_, f64>,
    parts: &[P],
    value: impl Fn(f64, &P) -> f64 + Sync,
) -> Array2<f64> {
    rows::changed(x, |row| {
        for (v, part) in row.iter_mut().zip(parts) {
            *v = if v.is_finite() { value(*v, part).clamp(f64::MIN, f64::MAX) } else { f64::NAN };
        }
    })
}
