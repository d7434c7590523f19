//! What a model of any task is worth on some rows.

use crate::{BinaryMetrics, ClusterMetrics};
use serde::{Deserialize, Serialize};

/// What a model is worth on some rows: [`METRICS`](crate::METRICS) has the single numbers.
///
/// ```
/// use tidemill_ml::{BinaryMetrics, Scores};
///
/// let scores = Scores::Classes(BinaryMetrics::compute(&[true, false], &[0.9, 0.2])?);
/// assert_eq!(scores.rows(), 2);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of a classifier.
    Classes(BinaryMetrics),
    /// Of a clustering.
    Clusters(ClusterMetrics),
}

impl Scores {
    /// Rows scored.
    pub fn rows(&self) -> u64 {
        match self {
            Scores::Classes(metrics) => metrics.rows,
            Scores::Clusters(metrics) => metrics.rows,
        }
    }

    /// The metrics of a classifier.
    pub fn classes(&self) -> Option<&BinaryMetrics> {
        match self {
            Scores::Classes(metrics) => Some(metrics),
            Scores::Clusters(_) => None,
        }
    }

    /// The metrics of a clustering.
    pub fn clusters(&self) -> Option<&ClusterMetrics> {
        match self {
            Scores::Classes(_) => None,
            Scores::Clusters(metrics) => Some(metrics),
        }
    }
}
