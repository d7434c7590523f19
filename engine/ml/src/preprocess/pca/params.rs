//! Settings of a principal component analysis.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of a principal component analysis.
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
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PcaParams {
    /// Components kept.
    pub components: PcaComponents,
    /// Whether each component's scores are divided by their standard deviation; those of a direction that is rounding are
    /// not.
    pub whiten: bool,
    /// Whose components.
    pub backend: PcaBackend,
}

impl Default for PcaParams {
    fn default() -> Self {
        PcaParams { components: PcaComponents::Number(2), whiten: false, backend: PcaBackend::Tidemill }
    }
}

/// How many components are kept.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{Pca, PcaComponents, PcaParams};
///
/// let x = array![[1.0, 0.0], [2.0, 0.5], [4.0, 0.0]];
/// let params = PcaParams { components: PcaComponents::Share(0.9), ..PcaParams::default() };
/// assert_eq!(Pca::fit(params, x.view())?.explained_variances().len(), 1);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(untagged, expecting = "a number of components, or a share of the variance between 0 and 1")]
pub enum PcaComponents {
    /// So many, 1 to the number of columns.
    Number(usize),
    /// As many as it takes to have more than this share of the variance of all columns, between 0 and 1 (scikit-learn's
    /// `n_components` below 1); one where nothing differs.
    Share(f64),
}

impl From<usize> for PcaComponents {
    fn from(number: usize) -> PcaComponents {
        PcaComponents::Number(number)
    }
}

impl PcaParams {
    /// Checks what can be checked without rows.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |value, expected| Err(Error::BadParameter { name: "components", value, expected });
        match self.components {
            PcaComponents::Number(0) => bad("0".to_owned(), "from 1 to the number of columns"),
            PcaComponents::Share(share) if !(share > 0.0 && share < 1.0) => {
                bad(share.to_string(), "a number of them, or a share between 0 and 1")
            }
            _ => Ok(()),
        }
    }
}

/// Who finds the components.
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
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PcaBackend {
    /// All eigenvectors of the covariance, by linfa-linalg's symmetric solver: to rounding.
    #[default]
    Tidemill,
    /// linfa-reduction's PCA. It begins at a random basis, on which its precision depends: variances (as shares of the first)
    /// and right angles are off by 1e-8 or less with a hundred columns or fewer, and by up to 1e-3 for some numbers of columns
    /// beyond. Directions whose variance is below 2e-10 of the first one's it leaves out: these are then any orthogonal to
    /// the others, with variance 0.
    Linfa,
}
