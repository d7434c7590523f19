//! Metrics of outlier scores.
//!
//! - `outlier_share` is the share of rows whose score is above the model's threshold, `mean_score` the mean score: both tell
//!   of rows that became other than those learned from.
//! - `outlier_auc` is the probability that a row that is known to be an outlier scores above one that is not, a tie one half
//!   (`roc_auc_score`); only where rows say so.

use super::ranking::Ranking;
use crate::Error;
use serde::{Deserialize, Serialize};

/// What outlier scores are worth on some rows. `None` is a metric that these rows do not define.
///
/// ```
/// use tidemill_ml::OutlierMetrics;
///
/// let metrics = OutlierMetrics::compute(&[0.4, 0.7, 0.5], 0.6, Some(&[false, true, false]))?;
/// assert_eq!((metrics.outliers, metrics.outlier_auc), (1, Some(1.0)));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutlierMetrics {
    /// Rows scored.
    pub rows: u64,
    /// Rows whose score is above the threshold.
    pub outliers: u64,
    /// Their share.
    pub outlier_share: f64,
    /// Mean score, 0 to 1.
    pub mean_score: f64,
    /// Area under the ROC curve of the scores; `None` where it is not known which rows are outliers, or all or none are.
    pub outlier_auc: Option<f64>,
}

impl OutlierMetrics {
    /// Metrics of scores, 0 to 1, of which those above the threshold are outliers'. `known`: which rows are.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::LengthMismatch`], and [`Error::NotAProbability`] for a score that is not from 0 to 1.
    pub fn compute(scores: &[f64], threshold: f64, known: Option<&[bool]>) -> Result<OutlierMetrics, Error> {
        if scores.is_empty() {
            return Err(Error::NoRows);
        }
        if let Some(known) = known.filter(|known| known.len() != scores.len()) {
            return Err(Error::LengthMismatch { what: "labels", expected: scores.len(), found: known.len() });
        }
        if let Some(position) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            return Err(Error::NotAProbability { position, value: scores[position] });
        }
        let rows = scores.len() as f64;
        let outliers = scores.iter().filter(|score| **score > threshold).count();
        Ok(OutlierMetrics {
            rows: scores.len() as u64,
            outliers: outliers as u64,
            outlier_share: outliers as f64 / rows,
            mean_score: scores.iter().sum::<f64>() / rows,
            outlier_auc: known.and_then(|known| Ranking::of(known, scores).roc_auc()),
        })
    }
}
