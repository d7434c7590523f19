//! A numeric feature as dense columns: standardised value, and an indicator where values were missing.

use serde::{Deserialize, Serialize};

/// Standard scores of a numeric feature: (x - mean) / standard deviation of the training rows that have a value.
///
/// A missing value stands at the mean (score 0), and a second column says that it was missing, if any training row
/// missed it and any did not. A constant feature scores 0 everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumericScale {
    pub(crate) mean: f64,
    /// 1 / standard deviation; 0 for a constant feature.
    pub(crate) inverse: f64,
    pub(crate) indicator: bool,
}

impl NumericScale {
    /// Learns from these rows, summing in their order.
    pub(crate) fn fit(values: &[f64], rows: &[u32]) -> NumericScale {
        let known = || rows.iter().map(|&row| values[row as usize]).filter(|v| !v.is_nan());
        let largest = known().fold(0.0f64, |m, v| m.max(v.abs()));
        let count = known().count();
        let indicator = count > 0 && count < rows.len();
        if count == 0 || largest == 0.0 {
            return NumericScale { mean: 0.0, inverse: 0.0, indicator };
        }
        // Sums over shares of the largest value cannot overflow, and two passes lose no digits to a far mean.
        let mean = known().map(|v| v / largest).sum::<f64>() / count as f64;
        let variance = known().map(|v| (v / largest - mean).powi(2)).sum::<f64>() / count as f64;
        let inverse = 1.0 / variance.sqrt() / largest;
        // Below this the spread is rounding noise, or the scores would not be finite.
        let usable = variance.sqrt() > 1e-12 && inverse.is_finite() && inverse > 0.0;
        NumericScale { mean: mean * largest, inverse: if usable { inverse } else { 0.0 }, indicator }
    }

    /// The score of a value, 0 if it is missing. Finite for every finite value.
    pub(crate) fn score(&self, value: f64) -> f64 {
        if value.is_nan() || self.inverse == 0.0 {
            return 0.0;
        }
        // A value far outside of what was learned says no more than one 1e6 deviations out does.
        ((value - self.mean) * self.inverse).clamp(-1e6, 1e6)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.mean.is_finite() && self.inverse.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_mean_zero_and_deviation_one_and_missing_is_the_mean() {
        let values = [2.0, 4.0, f64::NAN, 6.0, 8.0];
        let scale = NumericScale::fit(&values, &[0, 1, 2, 3, 4]);
        assert_eq!((scale.mean, scale.indicator, scale.score(f64::NAN)), (5.0, true, 0.0));
        assert!((scale.score(8.0) - 3.0 / 5f64.sqrt()).abs() < 1e-12);
        assert!(!NumericScale::fit(&values, &[0, 1]).indicator);
    }

    #[test]
    fn constant_missing_and_extreme_columns_score_finite() {
        for values in [[7.1; 3], [f64::NAN; 3], [0.0; 3], [f64::MAX, f64::MIN, 0.0], [1e-310, 2e-310, 0.0]] {
            let scale = NumericScale::fit(&values, &[0, 1, 2]);
            assert!(scale.is_valid(), "{values:?} {scale:?}");
            for v in values.into_iter().chain([1e308, -1e308]) {
                assert!(scale.score(v).is_finite(), "{v} by {scale:?}");
            }
        }
        assert_eq!(NumericScale::fit(&[7.1; 3], &[0, 1, 2]).score(9.0), 0.0, "a constant has no say");
    }
}
