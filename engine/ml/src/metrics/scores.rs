//! What a model of any task is worth on some rows.

use crate::{BinaryMetrics, ClassMetrics, ClusterMetrics, NumberMetrics, OutlierMetrics};
use serde::{Deserialize, Serialize};

/// What a model is worth on some rows: [`METRICS`](crate::METRICS) has the single numbers.
///
/// ```
/// use tidemill_ml::{BinaryMetrics, Scores};
///
/// let scores = Scores::Binary(BinaryMetrics::compute(&[true, false], &[0.9, 0.2])?);
/// assert_eq!(scores.rows(), 2);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of a classifier of two classes. Records have no word for the kind: the fields tell it, in this order.
    Binary(BinaryMetrics),
    /// Of a classifier of many classes.
    Classes(ClassMetrics),
    /// Of a regression.
    Numbers(NumberMetrics),
    /// Of a clustering.
    Clusters(ClusterMetrics),
    /// Of outlier scores.
    Outliers(OutlierMetrics),
}

impl Scores {
    /// Rows scored.
    pub fn rows(&self) -> u64 {
        match self {
            Scores::Binary(metrics) => metrics.rows,
            Scores::Classes(metrics) => metrics.rows,
            Scores::Numbers(metrics) => metrics.rows,
            Scores::Clusters(metrics) => metrics.rows,
            Scores::Outliers(metrics) => metrics.rows,
        }
    }

    /// The metrics of a classifier of two classes.
    pub fn binary(&self) -> Option<&BinaryMetrics> {
        match self {
            Scores::Binary(metrics) => Some(metrics),
            _ => None,
        }
    }

    /// The metrics of a classifier of many classes.
    pub fn classes(&self) -> Option<&ClassMetrics> {
        match self {
            Scores::Classes(metrics) => Some(metrics),
            _ => None,
        }
    }

    /// The metrics of a regression.
    pub fn numbers(&self) -> Option<&NumberMetrics> {
        match self {
            Scores::Numbers(metrics) => Some(metrics),
            _ => None,
        }
    }

    /// The metrics of outlier scores.
    pub fn outliers(&self) -> Option<&OutlierMetrics> {
        match self {
            Scores::Outliers(metrics) => Some(metrics),
            _ => None,
        }
    }

    /// The metrics of a clustering.
    pub fn clusters(&self) -> Option<&ClusterMetrics> {
        match self {
            Scores::Clusters(metrics) => Some(metrics),
            _ => None,
        }
    }
}
