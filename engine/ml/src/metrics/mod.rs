//! Metrics of a binary classifier from labels and probabilities.
//!
//! Formulas and conventions are scikit-learn's (`sklearn.metrics`), and `tests/golden/metrics.json` holds its numbers:
//!
//! - A row is predicted positive if its probability is above 0.5 (0.5 itself is negative, as in scikit-learn and
//!   Spark).
//! - `auc` is the exact area under the ROC curve, the probability that a positive row scores above a negative one, a tie
//!   counting one half (Mann-Whitney U / (P·N)); the count is in integers, so it does not depend on the order of rows.
//! - `log_loss` is the mean of -ln(probability of the true label), with probabilities clipped to
//!   [2.22e-16, 1 - 2.22e-16] (the machine epsilon, as scikit-learn clips `f64`), so one sure error costs 36 and not
//!   infinity.
//! - `brier` (1950) is the mean of (probability - label)².
//! - `pr_auc` is the average precision: Σ (recall - recall of the next higher score) × precision over the distinct
//!   scores, each taken as the threshold at or above which a row counts as positive. Not interpolated.
//! - `calibration_error` is the expected calibration error (Naeini, Cooper, Hauskrecht 2015) over ten bins of equal width:
//!   Σ rows of bin / rows × |mean probability - share of positives|. [`Calibration`] has the bins.

mod calibration;
mod classes;
mod list;
mod numbers;
mod outliers;
mod ranking;
mod scores;

pub use calibration::{Calibration, CalibrationBin};
pub use classes::ClassMetrics;
pub use list::{Better, METRICS, Metric};
pub use numbers::NumberMetrics;
pub use outliers::OutlierMetrics;
pub use scores::Scores;

use crate::Error;
use serde::{Deserialize, Serialize};

/// What a binary classifier is worth on some rows. `None` is a metric that these rows do not define.
///
/// ```
/// use tidemill_ml::BinaryMetrics;
///
/// let metrics = BinaryMetrics::compute(&[true, false, true], &[0.9, 0.2, 0.4])?;
/// assert_eq!((metrics.true_positives, metrics.false_negatives, metrics.auc), (1, 1, Some(1.0)));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BinaryMetrics {
    /// Rows scored.
    pub rows: u64,
    /// Share of rows predicted right.
    pub accuracy: f64,
    /// Exact area under the ROC curve; `None` if the rows are of one class.
    pub auc: Option<f64>,
    /// Mean negative log likelihood in nats, clipped as the module says.
    pub log_loss: f64,
    /// TP / (TP + FP); `None` if no row is predicted positive.
    pub precision: Option<f64>,
    /// TP / (TP + FN); `None` if no row is positive.
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN); `None` if no row is positive or predicted so.
    pub f1: Option<f64>,
    /// Mean squared difference of probability and label, 0 to 1; smaller is better. `None` only in a record of a build
    /// that did not have it.
    pub brier: Option<f64>,
    /// Average precision, the area under the precision-recall curve; `None` if no row is positive.
    pub pr_auc: Option<f64>,
    /// Expected calibration error over ten bins, 0 to 1; smaller is better. `None` as `brier`.
    pub calibration_error: Option<f64>,
    /// Positive rows predicted positive.
    pub true_positives: u64,
    /// Negative rows predicted positive.
    pub false_positives: u64,
    /// Negative rows predicted negative.
    pub true_negatives: u64,
    /// Positive rows predicted negative.
    pub false_negatives: u64,
}

impl BinaryMetrics {
    /// Metrics of these rows: `labels[i]` is the truth of the row that `probabilities[i]` was given to.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`] without rows, [`Error::LengthMismatch`] if the slices differ in length, and
    /// [`Error::NotAProbability`] for a score that is not finite or outside 0 to 1.
    pub fn compute(labels: &[bool], probabilities: &[f64]) -> Result<BinaryMetrics, Error> {
        check(labels, probabilities)?;
        let (mut tp, mut fp, mut tn, mut fn_) = (0u64, 0u64, 0u64, 0u64);
        let (mut loss, mut brier) = (0.0, 0.0);
        for (&label, &p) in labels.iter().zip(probabilities) {
            match (label, p > 0.5) {
                (true, true) => tp += 1,
                (false, true) => fp += 1,
                (false, false) => tn += 1,
                (true, false) => fn_ += 1,
            }
            brier += (p - f64::from(u8::from(label))).powi(2);
            let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
            loss -= if label { p.ln() } else { (1.0 - p).ln() };
        }
        let rows = labels.len() as u64;
        let ranking = ranking::Ranking::of(labels, probabilities);
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Ok(BinaryMetrics {
            rows,
            accuracy: (tp + tn) as f64 / rows as f64,
            auc: ranking.roc_auc(),
            log_loss: loss / rows as f64,
            precision: ratio(tp, tp + fp),
            recall: ratio(tp, tp + fn_),
            f1: ratio(2 * tp, 2 * tp + fp + fn_),
            brier: Some(brier / rows as f64),
            pr_auc: ranking.average_precision(),
            calibration_error: Some(Calibration::compute(labels, probabilities, 10)?.expected_error()),
            true_positives: tp,
            false_positives: fp,
            true_negatives: tn,
            false_negatives: fn_,
        })
    }
}

/// Checks that there are rows, as many labels as probabilities, and that these are probabilities.
fn check(labels: &[bool], probabilities: &[f64]) -> Result<(), Error> {
    if labels.len() != probabilities.len() {
        let (expected, found) = (labels.len(), probabilities.len());
        return Err(Error::LengthMismatch { what: "probabilities", expected, found });
    }
    if labels.is_empty() {
        return Err(Error::NoRows);
    }
    match probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(position) => Err(Error::NotAProbability { position, value: probabilities[position] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        labels: Vec<bool>,
        probabilities: Vec<f64>,
        calibration: Vec<[f64; 2]>,
        expected: BinaryMetrics,
    }

    /// `tests/golden/make_golden.py` says how the numbers were made and how to make them again.
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap();
        assert!(golden.cases.len() >= 10);
        for Case { name, labels, probabilities, calibration, expected: e } in golden.cases {
            let m = BinaryMetrics::compute(&labels, &probabilities).unwrap();
            let found = Calibration::compute(&labels, &probabilities, 10).unwrap();
            let found: Vec<(f64, f64)> =
                found.bins.iter().filter_map(|b| Some((b.mean_probability?, b.share_positive?))).collect();
            assert_eq!(found.len(), calibration.len(), "{name}");
            for (found, expected) in found.iter().zip(&calibration) {
                assert!(
                    (found.0 - expected[0]).abs() < 1e-12 && (found.1 - expected[1]).abs() < 1e-12,
                    "{name}"
                );
            }
            let counts = |m: &BinaryMetrics| {
                (m.rows, m.true_positives, m.false_positives, m.true_negatives, m.false_negatives)
            };
            assert_eq!(counts(&m), counts(&e), "{name}");
            for (what, found, expected) in [
                ("accuracy", Some(m.accuracy), Some(e.accuracy)),
                ("auc", m.auc, e.auc),
                ("log_loss", Some(m.log_loss), Some(e.log_loss)),
                ("precision", m.precision, e.precision),
                ("recall", m.recall, e.recall),
                ("f1", m.f1, e.f1),
                ("brier", m.brier, e.brier),
                ("pr_auc", m.pr_auc, e.pr_auc),
                ("calibration_error", m.calibration_error, e.calibration_error),
            ] {
                let equal = match (found, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * (1.0 + b.abs()),
                    (a, b) => a == b,
                };
                assert!(equal, "{name}: {what} {found:?}, scikit-learn {expected:?}");
            }
        }
    }

    #[test]
    fn undefined_metrics_are_none_and_bad_scores_are_errors() {
        let one_class = BinaryMetrics::compute(&[false, false], &[0.2, 0.4]).unwrap();
        assert_eq!(
            (one_class.auc, one_class.precision, one_class.recall, one_class.f1),
            (None, None, None, None)
        );
        assert_eq!(one_class.accuracy, 1.0);
        assert_eq!(BinaryMetrics::compute(&[], &[]).unwrap_err(), Error::NoRows);
        assert!(matches!(BinaryMetrics::compute(&[true], &[]), Err(Error::LengthMismatch { .. })));
        for bad in [f64::NAN, f64::INFINITY, -0.01, 1.01] {
            let error = BinaryMetrics::compute(&[true, false], &[0.5, bad]).unwrap_err();
            assert!(matches!(error, Error::NotAProbability { position: 1, .. }), "{bad}");
        }
    }

    #[test]
    fn a_half_is_negative_and_a_sure_error_costs_a_finite_amount() {
        let m = BinaryMetrics::compute(&[true, false], &[0.5, 1.0]).unwrap();
        assert_eq!((m.true_positives, m.false_negatives, m.false_positives), (0, 1, 1));
        assert!((m.log_loss - (2f64.ln() + 36.04365338911715) / 2.0).abs() < 1e-9, "{}", m.log_loss);
    }

    #[test]
    fn auc_counts_ties_as_one_half() {
        let auc = |labels: &[bool], p: &[f64]| BinaryMetrics::compute(labels, p).unwrap().auc;
        assert_eq!(auc(&[true, false], &[0.5, 0.5]), Some(0.5));
        assert_eq!(auc(&[true, false, false], &[0.7, 0.7, 0.1]), Some(0.75));
        assert_eq!(auc(&[false, true], &[-0.0, 0.0]), Some(0.5), "minus zero is zero");
    }
}
