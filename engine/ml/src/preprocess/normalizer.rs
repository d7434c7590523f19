//! Rows of length 1.

use super::check_fit;
use crate::Error;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// How long a row is.
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

/// Divides each row by its length. A row of zeros stays one. Missing values are left out, and stay missing.
///
/// There is nothing to learn: a fit only says which norm, as scikit-learn's.
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
        let mut out = x.to_owned();
        for mut row in out.rows_mut() {
            let known = || row.iter().filter(|v| v.is_finite()).map(|v| v.abs());
            let largest = known().fold(0.0, f64::max);
            // Shares of the largest value can be squared and summed without overflow.
            let length = match self.norm {
                _ if largest == 0.0 => 1.0,
                Norm::L1 => known().map(|v| v / largest).sum::<f64>(),
                Norm::L2 => known().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt(),
                Norm::Max => 1.0,
            };
            let unit = if largest == 0.0 { 1.0 } else { largest };
            row.mapv_inplace(|v| if v.is_finite() { v / unit / length } else { f64::NAN });
        }
        out
    }
}
