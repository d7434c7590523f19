//! Whether probabilities are what they say: bins of equal width, as scikit-learn's `calibration_curve`.

use super::check;
use crate::Error;
use serde::{Deserialize, Serialize};

/// Rows by their probability, in bins of equal width.
///
/// ```
/// use tidemill_ml::Calibration;
///
/// let calibration = Calibration::compute(&[true, false, true], &[0.9, 0.1, 0.8], 10)?;
/// assert!((calibration.expected_error() - 0.4 / 3.0).abs() < 1e-12);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Ascending; a probability on an edge belongs to the bin below it.
    pub bins: Vec<CalibrationBin>,
}

/// The rows whose probability is above `low` (or is 0, in the first) and at most `high`.
///
/// ```
/// use tidemill_ml::Calibration;
///
/// let calibration = Calibration::compute(&[true, false, true], &[0.9, 0.1, 0.8], 10)?;
/// assert_eq!(calibration.bins[0].share_positive, Some(0.0));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Rows in the bin.
    pub rows: u64,
    /// Mean probability of them; `None` without rows.
    pub mean_probability: Option<f64>,
    /// Share of positive ones among them; `None` without rows.
    pub share_positive: Option<f64>,
}

impl Calibration {
    /// Bins of these rows; 1 to 10,000 of them.
    ///
    /// # Errors
    ///
    /// As [`BinaryMetrics::compute`](crate::BinaryMetrics::compute), and [`Error::BadParameter`] for another number of
    /// bins.
    pub fn compute(labels: &[bool], probabilities: &[f64], bins: u32) -> Result<Calibration, Error> {
        if !(1..=10_000).contains(&bins) {
            let (value, expected) = (bins.to_string(), "from 1 to 10000");
            return Err(Error::BadParameter { name: "bins", value, expected });
        }
        check(labels, probabilities)?;
        let width = 1.0 / f64::from(bins);
        let edge = |bin: u32| if bin == bins { 1.0 } else { f64::from(bin) * width };
        let last = bins as usize - 1;
        let mut sums = vec![(0u64, 0.0, 0u64); bins as usize];
        for (&label, &p) in labels.iter().zip(probabilities) {
            // At most one off, for what the product rounds.
            let mut bin = ((p / width) as usize).min(last);
            while bin > 0 && p <= edge(bin as u32) {
                bin -= 1;
            }
            while bin < last && p > edge(bin as u32 + 1) {
                bin += 1;
            }
            let (rows, sum, positives) = &mut sums[bin];
            *rows += 1;
            *sum += p;
            *positives += u64::from(label);
        }
        let bin = |(bin, (rows, sum, positives)): (u32, (u64, f64, u64))| CalibrationBin {
            low: edge(bin),
            high: edge(bin + 1),
            rows,
            mean_probability: (rows > 0).then(|| sum / rows as f64),
            share_positive: (rows > 0).then(|| positives as f64 / rows as f64),
        };
        Ok(Calibration { bins: (0..).zip(sums).map(bin).collect() })
    }

    /// The expected calibration error: the mean over rows of |mean probability - share of positives| of their bin.
    pub fn expected_error(&self) -> f64 {
        let rows: u64 = self.bins.iter().map(|bin| bin.rows).sum();
        let apart = |bin: &CalibrationBin| {
            Some(bin.rows as f64 * (bin.mean_probability? - bin.share_positive?).abs())
        };
        self.bins.iter().filter_map(apart).sum::<f64>() / rows.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below_and_every_row_to_one_bin() {
        let p: Vec<f64> = (0..=1_000).map(|i| f64::from(i) / 1_000.0).collect();
        let labels = vec![false; p.len()];
        for bins in [1, 3, 7, 10, 1_000] {
            let found = Calibration::compute(&labels, &p, bins).unwrap();
            assert_eq!(found.bins.iter().map(|b| b.rows).sum::<u64>(), 1_001);
            for (i, bin) in found.bins.iter().enumerate() {
                let inside = |p: &&f64| (**p > bin.low || i == 0) && **p <= bin.high;
                assert_eq!(bin.rows, p.iter().filter(inside).count() as u64, "bin {i} of {bins}");
            }
        }
        for bins in [0, 10_001] {
            let error = Calibration::compute(&labels, &p, bins).unwrap_err();
            assert!(matches!(error, Error::BadParameter { name: "bins", .. }));
        }
    }
}
