//! Metrics of a classifier of many classes from labels and probabilities.
//!
//! Formulas and conventions are scikit-learn's (`sklearn.metrics`), and `tests/golden/kinds.json` holds its numbers:
//!
//! - A row is predicted to be of the class of the highest probability, the first of equal ones.
//! - `macro_f1` is the mean of the classes' 2 TP / (2 TP + FP + FN), over the classes that are among the labels or the
//!   predictions (`f1_score(average="macro")`): others are not defined.
//! - `log_loss` is the mean of -ln(probability of the true class), clipped to [2.22e-16, 1 - 2.22e-16] (`log_loss`).
//! - `auc_ovr` is the mean of the classes' area under the ROC curve of the class against all others, exact, a tie one
//!   half (`roc_auc_score(multi_class="ovr", average="macro")`; Provost, Domingos 2000 without their weights); `None`
//!   where a class has no row, as it is not defined there.

use super::ranking::Ranking;
use crate::Error;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What a classifier of many classes is worth on some rows. `None` is a metric that these rows do not define.
///
/// ```
/// use tidemill_ml::ClassMetrics;
///
/// let metrics = ClassMetrics::compute(&[0, 1, 2], &[0.8, 0.1, 0.1, 0.2, 0.5, 0.3, 0.4, 0.5, 0.1], 3)?;
/// assert_eq!((metrics.rows, metrics.accuracy), (3, 2.0 / 3.0));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Rows scored.
    pub rows: u64,
    /// Classes that there are.
    pub classes: u32,
    /// Share of rows predicted right.
    pub accuracy: f64,
    /// Mean over classes of the harmonic mean of precision and recall.
    pub macro_f1: f64,
    /// Mean negative log likelihood in nats, clipped as the module says.
    pub log_loss: f64,
    /// Mean over classes of the exact area under the ROC curve against all others; `None` if a class has no row.
    pub auc_ovr: Option<f64>,
}

impl ClassMetrics {
    /// Metrics of these rows: `labels[i]` is the class, below `classes`, of the row that the `i`-th `classes`
    /// probabilities were given to.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`] without rows, [`Error::LengthMismatch`] if there are not `classes` probabilities a label,
    /// [`Error::NoSuchClass`] for a label beyond them, and [`Error::NotAProbability`] for a score that is not finite or
    /// outside 0 to 1.
    pub fn compute(labels: &[u32], probabilities: &[f64], classes: u32) -> Result<ClassMetrics, Error> {
        let k = classes as usize;
        if Some(probabilities.len()) != labels.len().checked_mul(k) {
            let expected = labels.len().saturating_mul(k);
            let (what, found) = ("probabilities", probabilities.len());
            return Err(Error::LengthMismatch { what, expected, found });
        }
        if labels.is_empty() {
            return Err(Error::NoRows);
        }
        if let Some(at) = labels.iter().position(|&label| label >= classes) {
            return Err(Error::NoSuchClass { row: at as u32, class: labels[at], classes });
        }
        if let Some(position) = probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
            return Err(Error::NotAProbability { position, value: probabilities[position] });
        }
        let (mut right, mut loss) = (0u64, 0.0);
        // Rows of the class, and rows predicted to be of it, and both.
        let mut counts = vec![[0u64; 3]; k];
        for (&label, of_row) in labels.iter().zip(probabilities.chunks_exact(k)) {
            let first_highest = |best: usize, at: usize| if of_row[at] > of_row[best] { at } else { best };
            let predicted = (1..k).fold(0, first_highest);
            let label = label as usize;
            counts[label][0] += 1;
            counts[predicted][1] += 1;
            if label == predicted {
                counts[label][2] += 1;
                right += 1;
            }
            loss -= of_row[label].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        }
        let f1 = |[of, predicted, both]: &[u64; 3]| {
            (of + predicted > 0).then(|| 2.0 * *both as f64 / (of + predicted) as f64)
        };
        let f1: Vec<f64> = counts.iter().filter_map(f1).collect();
        let auc = |class: usize| {
            let is: Vec<bool> = labels.iter().map(|&label| label as usize == class).collect();
            let of: Vec<f64> = probabilities.iter().skip(class).step_by(k).copied().collect();
            Ranking::of(&is, &of).roc_auc()
        };
        let aucs: Option<Vec<f64>> = match counts.iter().all(|of| of[0] > 0) {
            true => (0..k).into_par_iter().map(auc).collect(),
            false => None,
        };
        let rows = labels.len() as f64;
        Ok(ClassMetrics {
            rows: labels.len() as u64,
            classes,
            accuracy: right as f64 / rows,
            macro_f1: f1.iter().sum::<f64>() / f1.len() as f64,
            log_loss: loss / rows,
            auc_ovr: aucs.map(|aucs| aucs.iter().sum::<f64>() / aucs.len() as f64),
        })
    }
}
