//! A numeric feature as dense columns: standardised value, and an indicator where values were missing.

use crate::FeatureTable;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Standard scores of a numeric feature: (x - mean) / standard deviation of the training rows that have a value.
///
/// A missing value stands at the mean (score 0). A constant feature scores 0 everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumericScale {
    mean: f64,
    /// 1 / standard deviation; 0 for a constant feature.
    inverse: f64,
}

impl NumericScale {
    /// Learns from values of which NaN are missing, summing in their order.
    pub(crate) fn fit(values: impl Iterator<Item = f64> + Clone) -> NumericScale {
        let known = || values.clone().filter(|v| !v.is_nan());
        let (count, largest) = known().fold((0u32, 0.0f64), |(n, m), v| (n + 1, m.max(v.abs())));
        if largest == 0.0 {
            return NumericScale { mean: 0.0, inverse: 0.0 };
        }
        // Sums over shares of the largest value cannot overflow, and two passes lose no digits to a far mean.
        let mean = known().map(|v| v / largest).sum::<f64>() / f64::from(count);
        let variance = known().map(|v| (v / largest - mean).powi(2)).sum::<f64>() / f64::from(count);
        NumericScale::of_shares(mean, variance.sqrt(), largest)
    }

    /// Learns from (value, weight), none of them missing: a row of weight 2 is two rows. Weights are in (0, 1].
    pub(crate) fn fit_weighted(values: impl Iterator<Item = (f64, f64)> + Clone) -> NumericScale {
        let (weight, largest) =
            values.clone().fold((0.0, 0.0f64), |(sum, m), (v, w)| (sum + w, m.max(v.abs())));
        if largest == 0.0 {
            return NumericScale { mean: 0.0, inverse: 0.0 };
        }
        let mean = values.clone().map(|(v, w)| w * (v / largest)).sum::<f64>() / weight;
        let variance = values.map(|(v, w)| w * (v / largest - mean).powi(2)).sum::<f64>() / weight;
        NumericScale::of_shares(mean, variance.sqrt(), largest)
    }

    /// From mean and standard deviation as shares of the largest value.
    pub(crate) fn of_shares(mean: f64, deviation: f64, largest: f64) -> NumericScale {
        let inverse = 1.0 / deviation / largest;
        // Below this the spread is rounding noise, or the scores would not be finite.
        let usable = deviation > 1e-12 && inverse.is_finite() && inverse > 0.0;
        NumericScale { mean: mean * largest, inverse: if usable { inverse } else { 0.0 } }
    }

    /// The score of a value, 0 if it is missing. Finite for every finite value.
    pub(crate) fn score(&self, value: f64) -> f64 {
        if value.is_nan() || self.inverse == 0.0 {
            return 0.0;
        }
        // A value far outside of what was learned says no more than one 1e6 deviations out does.
        ((value - self.mean) * self.inverse).clamp(-1e6, 1e6)
    }

    /// The value that has this score: [`score`](NumericScale::score) backwards. The mean for a constant feature.
    pub(crate) fn value(&self, score: f64) -> f64 {
        if self.inverse == 0.0 {
            return self.mean;
        }
        // A score at the end of a range as wide as that of f64 may round past it.
        (self.mean + score / self.inverse).clamp(f64::MIN, f64::MAX)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.mean.is_finite() && self.inverse.is_finite()
    }
}

/// A numeric feature's columns: its score, and a standardised indicator of missing values if it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumericEncoding {
    pub(crate) value: NumericScale,
    /// Scale of 1 = missing, 0 = known; `None` if no training row, or every one, misses the value, or if another feature
    /// already has the same indicator (x and y of a place are missing together).
    pub(crate) indicator: Option<NumericScale>,
}

impl NumericEncoding {
    /// Learns all numeric features of a table from these rows.
    pub(crate) fn fit_all(table: &FeatureTable, rows: &[u32]) -> Vec<NumericEncoding> {
        let mut encodings: Vec<NumericEncoding> = (0..table.numeric_names().len())
            .into_par_iter()
            .map(|c| {
                let values = rows.iter().map(|&row| table.numeric(c)[row as usize]);
                let indicator = NumericScale::fit(values.clone().map(missing));
                NumericEncoding {
                    value: NumericScale::fit(values),
                    indicator: Some(indicator).filter(|i| i.inverse != 0.0),
                }
            })
            .collect();
        for c in 1..encodings.len() {
            let repeats = |earlier: usize| {
                // Equal shares first: the rows are compared only where they may be equal.
                encodings[earlier].indicator == encodings[c].indicator
                    && rows.iter().all(|&row| {
                        table.numeric(earlier)[row as usize].is_nan()
                            == table.numeric(c)[row as usize].is_nan()
                    })
            };
            if encodings[c].indicator.is_some() && (0..c).any(repeats) {
                encodings[c].indicator = None;
            }
        }
        encodings
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.value.is_valid() && self.indicator.as_ref().is_none_or(NumericScale::is_valid)
    }
}

/// 1 for a missing value, else 0.
pub(crate) fn missing(value: f64) -> f64 {
    f64::from(u8::from(value.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_mean_zero_and_deviation_one_and_missing_is_the_mean() {
        let scale = NumericScale::fit([2.0, 4.0, f64::NAN, 6.0, 8.0].into_iter());
        assert_eq!((scale.mean, scale.score(f64::NAN)), (5.0, 0.0));
        assert!((scale.score(8.0) - 3.0 / 5f64.sqrt()).abs() < 1e-12);
        assert!((scale.value(scale.score(7.5)) - 7.5).abs() < 1e-12);
    }

    #[test]
    fn constant_missing_and_extreme_columns_score_finite() {
        for values in [[7.1; 3], [f64::NAN; 3], [0.0; 3], [f64::MAX, f64::MIN, 0.0], [1e-310, 2e-310, 0.0]] {
            let scale = NumericScale::fit(values.into_iter());
            assert!(scale.is_valid(), "{values:?} {scale:?}");
            for v in values.into_iter().chain([1e308, -1e308]) {
                assert!(scale.score(v).is_finite(), "{v} by {scale:?}");
            }
        }
        assert_eq!(NumericScale::fit([7.1; 3].into_iter()).score(9.0), 0.0, "a constant has no say");
    }

    #[test]
    fn features_missing_together_share_an_indicator() {
        let nan = f64::NAN;
        let names = ["x", "y", "other", "known", "never"].map(String::from).to_vec();
        let mut table = FeatureTable::new(names, vec![]);
        for (c, values) in [[1.0, nan, 3.0], [nan, nan, 7.0], [4.0, nan, 5.0], [1.0, 2.0, 3.0], [nan; 3]]
            .into_iter()
            .enumerate()
        {
            table.push_numeric(c, values);
        }
        table.finish_append().unwrap();
        let has = |rows: &[u32]| {
            NumericEncoding::fit_all(&table, rows).iter().map(|e| e.indicator.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(has(&[0, 1, 2]), [true, true, false, false, false]);
        assert_eq!(has(&[1, 2]), [true, false, false, false, false]);
    }
}
