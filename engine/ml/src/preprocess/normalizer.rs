//! Rows of length 1.

use super::check_fit;
use super::rows::changed;
use crate::Error;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// How long a row is.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{Norm, Normalizer};
///
/// let rows = Normalizer { norm: Norm::L1 }.transform(array![[3.0, -1.0]].view());
/// assert_eq!(rows, array![[0.75, -0.25]]);
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Sum of the sizes of its values.
    L1,
    /// Root of the sum of their squares.
    #[default]
    L2,
    /// The largest size.
    Max,
}

impl Norm {
    /// Of a row of sizes.
    fn length(self, sizes: impl Iterator<Item = f64>) -> f64 {
        match self {
            Norm::L1 => sizes.sum(),
            Norm::L2 => sizes.map(|v| v * v).sum::<f64>().sqrt(),
            Norm::Max => sizes.fold(0.0, f64::max),
        }
    }
}

/// Divides each row by its length. A row of zeros stays one. Missing values are left out, and stay missing.
///
/// There is nothing to learn: a fit only says which norm, as scikit-learn's.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{Norm, Normalizer};
///
/// let rows = Normalizer { norm: Norm::L1 }.transform(array![[3.0, -1.0]].view());
/// assert_eq!(rows, array![[0.75, -0.25]]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalizer {
    /// How long a row is.
    pub norm: Norm,
}

impl Normalizer {
    /// A normaliser by this norm; the rows are only looked at for there being any.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`].
    pub fn fit(norm: Norm, x: ArrayView2<'_, f64>) -> Result<Normalizer, Error> {
        check_fit(&x)?;
        Ok(Normalizer { norm })
    }

    /// The same, as each row stands for itself.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`].
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<Normalizer, Error> {
        Normalizer::fit(self.norm, x)
    }

    /// Rows of length 1. Shape: as given.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        changed(&x, |row| {
            let known = || row.iter().filter(|v| v.is_finite()).map(|v| v.abs());
            let length = self.norm.length(known());
            // Squares may be past both ends of f64: shares of the largest value are not.
            let (unit, length) = if (1e-140..1e140).contains(&length) {
                (1.0, length)
            } else {
                let largest = Norm::Max.length(known());
                let unit = if largest > 0.0 { largest } else { 1.0 };
                (unit, self.norm.length(known().map(|v| v / unit)))
            };
            let length = if length > 0.0 { length } else { 1.0 };
            for v in row {
                *v = if v.is_finite() { *v / unit / length } else { f64::NAN };
            }
        })
    }
}
