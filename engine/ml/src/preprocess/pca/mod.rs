//! Principal components, from the covariance of the columns.
//!
//! ```text
//! rows ──> Sums (means, products of columns) ──> eigen | linfa ──> components, variances
//!            ▲ more rows
//! ```

mod eigen;
mod linfa;
mod params;
mod sums;

pub use params::{PcaBackend, PcaComponents, PcaParams};

use super::rows::{BLOCK, blocks};
use super::{check_columns, check_fit};
use crate::Error;
use crate::file::MOST_ROWS;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sums::{Sums, check_known, not_finite};

/// Of the first one's variance: a direction of less is rounding.
const ROUNDING: f64 = 1e-12;

/// The directions in which rows differ most, orthogonal to each other, and the variance of each. The largest loading of a
/// component is positive, which fixes its sign. A direction whose variance is below 1e-12 of the first one's is rounding:
/// scale columns of very different units before.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{Pca, PcaParams};
///
/// let params = PcaParams { components: 1.into(), ..PcaParams::default() };
/// let pca = Pca::fit(params, array![[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]].view())?;
/// assert!((pca.explained_variance_ratios()[0] - 1.0).abs() < 1e-12);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    kept: Kept,
    sums: Sums,
    /// Components × columns.
    components: Array2<f64>,
    variances: Vec<f64>,
}

/// What of the settings a fitted one goes by.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
struct Kept {
    components: usize,
    whiten: bool,
    backend: PcaBackend,
}

impl Pca {
    /// Learns from rows. Shape: rows × columns, without missing values.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewRows`] (below two), [`Error::NoRows`], [`Error::NoFeatures`], [`Error::MissingValue`] (NaN or an
    /// infinity), [`Error::Overflow`]; [`Error::BadParameter`] for more components than columns, or a share that is not
    /// between 0 and 1.
    pub fn fit(params: PcaParams, x: ArrayView2<'_, f64>) -> Result<Pca, Error> {
        check_fit(&x)?;
        params.validate()?;
        let PcaParams { whiten, backend, .. } = params;
        let of =
            |components| Pca::from_sums(Kept { components, whiten, backend }, Sums::none(x.ncols()).add(x)?);
        match params.components {
            PcaComponents::Number(number) if number > x.ncols() => {
                let value = format!("{number} with {} columns", x.ncols());
                Err(Error::BadParameter {
                    name: "components",
                    value,
                    expected: "from 1 to the number of columns",
                })
            }
            PcaComponents::Number(number) => of(number),
            PcaComponents::Share(share) => Ok(of(x.ncols())?.down_to(share)),
        }
    }

    /// As many of the components as it takes to have more than a share of the variance of all columns; one where nothing
    /// differs.
    fn down_to(self, share: f64) -> Pca {
        let ratios = self.explained_variance_ratios();
        let so_far = ratios.iter().scan(0.0, |sum, ratio| {
            *sum += ratio;
            Some(*sum)
        });
        let total: f64 = ratios.iter().sum();
        let short = if total > 0.0 { so_far.take_while(|sum| *sum <= share).count() } else { 0 };
        let components = (short + 1).min(ratios.len());
        Pca {
            kept: Kept { components, ..self.kept },
            components: self.components.select(Axis(0), &(0..components).collect::<Vec<_>>()),
            variances: self.variances[..components].to_vec(),
            sums: self.sums,
        }
    }

    /// The components after more rows: to rounding those of all rows at once.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Pca::fit), and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<Pca, Error> {
        check_fit(&x)?;
        check_columns(self.sums.means.len(), &x)?;
        Pca::from_sums(self.kept, self.sums.clone().add(x)?)
    }

    fn from_sums(kept: Kept, sums: Sums) -> Result<Pca, Error> {
        let covariance = sums.covariance()?;
        let (variances, mut components) = match kept.backend {
            PcaBackend::Tidemill => eigen::components(covariance, kept.components)?,
            PcaBackend::Linfa => linfa::components(&covariance, kept.components)?,
        };
        for mut component in components.rows_mut() {
            let largest = component
                .iter()
                .fold(0.0f64, |largest, v| if v.abs() > largest.abs() { *v } else { largest });
            if largest < 0.0 {
                component.mapv_inplace(|v| -v);
            }
        }
        if components.iter().any(|v| !v.is_finite()) {
            return Err(Error::Solver("a component is not finite".into()));
        }
        Ok(Pca { kept, sums, components, variances })
    }

    /// The components by rows. Shape: components × columns.
    pub fn components(&self) -> ArrayView2<'_, f64> {
        self.components.view()
    }

    /// Variance of the rows along each component (divided by n - 1).
    pub fn explained_variances(&self) -> &[f64] {
        &self.variances
    }

    /// Share of the variance of all columns that each component has; 0 if there is none.
    pub fn explained_variance_ratios(&self) -> Vec<f64> {
        let total = self.sums.products.diag().sum() / (self.sums.rows as f64 - 1.0);
        self.variances.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect()
    }

    /// Mean of each column.
    pub(crate) fn means(&self) -> &[f64] {
        self.sums.means.as_slice().unwrap_or_default()
    }

    /// What the scores on each component are divided by, if they are whitened.
    pub(crate) fn units(&self) -> Option<Vec<f64>> {
        // A direction in which nothing differs has scores of rounding alone.
        let least = ROUNDING * self.variances.first().copied().unwrap_or(0.0);
        let unit = |variance: &f64| if *variance > least { variance.sqrt() } else { 1.0 };
        self.kept.whiten.then(|| self.variances.iter().map(unit).collect())
    }

    /// Rows as scores on the components. Shape: rows × components.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns, [`Error::MissingValue`], and [`Error::Overflow`] for a
    /// value so far out that a score of its row is past what f64 holds.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.sums.means.len(), &x)?;
        let units = self.units().map(Array1::from);
        let mut scores = Array2::zeros((x.nrows(), self.kept.components));
        let parts: Vec<_> = scores.axis_chunks_iter_mut(Axis(0), BLOCK).zip(blocks(&x)).collect();
        parts.into_par_iter().for_each(|(mut scores, rows)| {
            general_mat_mul(1.0, &(&rows - &self.sums.means), &self.components.t(), 0.0, &mut scores);
            if let Some(units) = &units {
                scores /= units;
            }
        });
        match not_finite(&scores.view()) {
            None => Ok(scores),
            Some((row, _)) => {
                // Nor are those of a value that is no number.
                check_known(&x)?;
                let apart = |column: &usize| (x[(row, *column)] - self.sums.means[*column]).abs();
                let farthest = (0..x.ncols()).max_by(|a, b| apart(a).total_cmp(&apart(b)));
                Err(Error::Overflow { column: farthest.unwrap_or(0) })
            }
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let columns = self.sums.means.len();
        (2..=MOST_ROWS).contains(&self.sums.rows)
            && self.sums.products.dim() == (columns, columns)
            && (1..=columns).contains(&self.kept.components)
            && self.components.dim() == (self.kept.components, columns)
            && self.variances.len() == self.kept.components
            && self
                .sums
                .means
                .iter()
                .chain(&self.sums.products)
                .chain(&self.components)
                .all(|v| v.is_finite())
            && self.variances.iter().all(|v| v.is_finite() && *v >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_file_that_contradicts_itself_is_refused() {
        let x = array![[1.0, 2.0, 0.0], [2.0, 1.0, 5.0], [4.0, 0.0, 1.0]];
        let fitted = Pca::fit(PcaParams::default(), x.view()).unwrap();
        assert!(fitted.is_valid());
        let of = |components: usize| Pca {
            kept: Kept { components, ..fitted.kept },
            components: Array2::from_elem((components, 3), 0.5),
            variances: vec![1.0; components],
            ..fitted.clone()
        };
        assert!(of(3).is_valid());
        assert!(!of(6).is_valid() && !of(0).is_valid(), "more than there are columns, and none");
        assert!(!Pca { variances: vec![1.0], ..fitted.clone() }.is_valid());
    }
}
