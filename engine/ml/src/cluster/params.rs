//! Settings of k-means.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of k-means.
///
/// ```
/// use tidemill_ml::KMeansParams;
///
/// assert!(KMeansParams::default().validate().is_ok());
/// assert!(KMeansParams { clusters: 0, ..KMeansParams::default() }.validate().is_err());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansParams {
    /// Clusters, 1 to 10,000.
    pub clusters: u32,
    /// Iterations of a run at most, 1 to 10,000.
    pub max_iterations: u32,
    /// Runs from starts of their own, 1 to 100, of which the one of least inertia is kept; a warm start is one run.
    pub restarts: u32,
    /// Euclidean distance (of all centres as one vector, in standard deviations) that an iteration moves the centres by
    /// at which a run is done; above 0. The default is that of scikit-learn, whose `tol` of 1e-4 is its square.
    pub tolerance: f64,
    /// Who does the iterations.
    pub backend: KMeansBackend,
}

/// Who does the iterations of k-means.
///
/// ```
/// use tidemill_ml::{KMeansBackend, KMeansParams};
///
/// let params = KMeansParams { backend: KMeansBackend::Linfa, ..KMeansParams::default() };
/// assert!(params.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum KMeansBackend {
    /// Tidemill: Hamerly's bounds, greedy k-means++, weights, empty clusters begun again.
    #[default]
    Tidemill,
    /// linfa-clustering: every distance in every iteration, and a centre that counts as one more row of its cluster
    /// (m_k-means, Pakhira 2009). Takes no weights.
    Linfa,
}

impl Default for KMeansParams {
    fn default() -> Self {
        KMeansParams {
            clusters: 8,
            max_iterations: 100,
            restarts: 3,
            tolerance: 1e-2,
            backend: KMeansBackend::default(),
        }
    }
}

impl KMeansParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        if !(1..=10_000).contains(&self.clusters) {
            return bad("clusters", self.clusters.to_string(), "from 1 to 10000");
        }
        if !(1..=10_000).contains(&self.max_iterations) {
            return bad("max_iterations", self.max_iterations.to_string(), "from 1 to 10000");
        }
        if !(1..=100).contains(&self.restarts) {
            return bad("restarts", self.restarts.to_string(), "from 1 to 100");
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return bad("tolerance", self.tolerance.to_string(), "above 0");
        }
        Ok(())
    }
}
