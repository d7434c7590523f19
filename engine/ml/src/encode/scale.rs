//! A numeric feature as dense columns: standardised value, and an indicator where values were missing.

use crate::FeatureTable;
use crate::file::MOST_ROWS;
use crate::seed::derive;
use crate::stats::RunningMoments;
use crate::table::NumberColumn;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Standard scores of a numeric feature: (x - mean) / standard deviation of the training rows that have a value.
///
/// A missing value stands at the mean (score 0). A constant feature scores 0 everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct NumericScale {
    mean: f64,
    /// 1 / standard deviation; 0 for a constant feature.
    inverse: f64,
}

impl NumericScale {
    /// Learns from values of which NaN are missing, summing in their order.
    pub(crate) fn fit(values: impl Iterator<Item = f64> + Clone) -> NumericScale {
        NumericScale::fit_weighted(values.filter(|v| !v.is_nan()).map(|v| (v, 1.0)))
    }

    /// Learns from (value, weight), none of them missing: a row of weight 2 is two rows. Weights are in (0, 1].
    pub(crate) fn fit_weighted(values: impl Iterator<Item = (f64, f64)> + Clone) -> NumericScale {
        let (weight, largest) =
            values.clone().fold((0.0, 0.0f64), |(sum, m), (v, w)| (sum + w, m.max(v.abs())));
        if largest == 0.0 {
            return NumericScale { mean: 0.0, inverse: 0.0 };
        }
        // Sums over shares of the largest value cannot overflow, and two passes lose no digits to a far mean.
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

    /// Learns from values that occur so many times each, summing in their order. Counts that are all larger by a power of
    /// two give the same bits.
    pub(crate) fn fit_counted(values: impl Iterator<Item = (f64, u64)> + Clone) -> NumericScale {
        let rows: f64 = values.clone().map(|(_, count)| count as f64).sum();
        let mean = values.clone().map(|(v, count)| v * count as f64).sum::<f64>() / rows.max(1.0);
        let squares: f64 = values.map(|(v, count)| (v - mean).powi(2) * count as f64).sum();
        let deviation = (squares / rows.max(1.0)).sqrt();
        let usable = deviation > 1e-12 * mean.abs().max(1.0);
        NumericScale { mean, inverse: if usable { 1.0 / deviation } else { 0.0 } }
    }

    /// The score of a value, 0 if it is missing. Finite for every finite value.
    pub(crate) fn score(&self, value: f64) -> f64 {
        if value.is_nan() || self.inverse == 0.0 {
            return 0.0;
        }
        // A value far outside of what was learned says no more than one 1e6 deviations out does.
        ((value - self.mean) * self.inverse).clamp(-1e6, 1e6)
    }

    /// The scores of values, in their place. As [`score`](NumericScale::score), without branches.
    pub(crate) fn put_scores(&self, values: &mut [f64]) {
        if self.inverse == 0.0 {
            values.fill(0.0);
            return;
        }
        for value in values {
            let score = ((*value - self.mean) * self.inverse).clamp(-1e6, 1e6);
            *value = if value.is_nan() { 0.0 } else { score };
        }
    }

    /// 1 / standard deviation, 0 for a constant feature: what a weight on scores is multiplied by to be one on values.
    pub(crate) fn inverse(&self) -> f64 {
        self.inverse
    }

    /// Scores that are the values themselves; one that is missing stands at 0.
    pub(crate) fn own_units() -> NumericScale {
        NumericScale { mean: 0.0, inverse: 1.0 }
    }

    /// The value whose score is 0.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
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

/// Rows of a block of [`ColumnMoments`]: sums inside a block are in row order, blocks are merged in theirs.
pub(crate) const MOMENT_ROWS: usize = 4096;

/// What a numeric feature's scales are made of, of some rows: merged block by block, and so kept between batches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "ColumnMomentsInFile", into = "ColumnMomentsInFile")]
pub(crate) struct ColumnMoments {
    known: RunningMoments,
    missing: u64,
    /// Sum of a hash of each row without a value: equal for columns that are missing together.
    missing_rows: u64,
    largest: f64,
}

/// The order of a file's numbers, and its count of rows, which is whole.
#[derive(Serialize, Deserialize)]
struct ColumnMomentsInFile {
    known: u64,
    missing: u64,
    missing_rows: u64,
    largest: f64,
    mean: f64,
    squares: f64,
}

impl From<ColumnMomentsInFile> for ColumnMoments {
    fn from(file: ColumnMomentsInFile) -> ColumnMoments {
        let ColumnMomentsInFile { known, missing, missing_rows, largest, mean, squares } = file;
        let known = RunningMoments::of_parts(known as f64, mean, squares);
        ColumnMoments { known, missing, missing_rows, largest }
    }
}

impl From<ColumnMoments> for ColumnMomentsInFile {
    fn from(moments: ColumnMoments) -> ColumnMomentsInFile {
        let ColumnMoments { known, missing, missing_rows, largest } = moments;
        let (mean, squares) = (known.mean(), known.squares());
        ColumnMomentsInFile { known: known.weight() as u64, missing, missing_rows, largest, mean, squares }
    }
}

impl ColumnMoments {
    /// Of a block of rows.
    pub(crate) fn of(column: &NumberColumn, rows: &[u32]) -> ColumnMoments {
        let mut moments = ColumnMoments::default();
        let mut sum = 0.0;
        let mut values = vec![0.0; rows.len()];
        column.put(rows, &mut values);
        for (&row, &value) in rows.iter().zip(&values) {
            if value.is_nan() {
                moments.missing += 1;
                moments.missing_rows = moments.missing_rows.wrapping_add(derive(0, u64::from(row)));
            } else {
                sum += value;
                moments.largest = moments.largest.max(value.abs());
            }
        }
        let known = values.iter().copied().filter(|v| !v.is_nan());
        moments.known = RunningMoments::of_sum(rows.len() as u64 - moments.missing, sum, known);
        moments.settled()
    }

    /// Sums that overflowed have one value, which equals itself.
    fn settled(mut self) -> ColumnMoments {
        if !self.known.is_finite() {
            self.known = RunningMoments::of_parts(self.known.weight(), f64::INFINITY, f64::INFINITY);
        }
        self
    }

    /// Whether rows can have made it: counts of a file might overflow in the next merge.
    pub(crate) fn is_valid(&self) -> bool {
        self.known.weight() <= MOST_ROWS as f64 && self.missing <= MOST_ROWS
    }

    /// These rows and then those.
    pub(crate) fn merge(mut self, other: ColumnMoments) -> ColumnMoments {
        self.known.merge(&other.known);
        self.missing += other.missing;
        self.missing_rows = self.missing_rows.wrapping_add(other.missing_rows);
        self.largest = self.largest.max(other.largest);
        self.settled()
    }

    /// The scale of the values; `None` if a sum overflowed.
    pub(crate) fn scale(&self) -> Option<NumericScale> {
        if !self.known.is_finite() {
            return None;
        }
        let (mean, deviation) = (self.known.mean(), self.known.standard_deviation());
        let usable = deviation > 1e-12 * self.largest && (1.0 / deviation).is_finite();
        Some(NumericScale { mean, inverse: if usable { 1.0 / deviation } else { 0.0 } })
    }

    /// The scale of 1 = missing, 0 = known; `None` if all or none are.
    fn indicator(&self) -> Option<NumericScale> {
        let (missing, known) = (self.missing as f64, self.known.weight());
        let share = missing / (missing + known).max(1.0);
        let both = self.missing > 0 && known > 0.0;
        both.then(|| NumericScale { mean: share, inverse: 1.0 / (share * (1.0 - share)).sqrt() })
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
    /// Learns all numeric features of a table from these rows. `before` has the moments of the first rows, a multiple of
    /// [`MOMENT_ROWS`] of them; gives also those of all whole blocks, for the next time.
    pub(crate) fn fit_all(
        table: &FeatureTable,
        rows: &[u32],
        before: Option<(usize, &[ColumnMoments])>,
    ) -> (Vec<NumericEncoding>, Vec<ColumnMoments>) {
        let columns = table.numeric_names().len();
        let (done, mut whole) = match before {
            Some((done, moments)) => (done, moments.to_vec()),
            None => (0, vec![ColumnMoments::default(); columns]),
        };
        let of_block = |block: &[u32]| -> Vec<ColumnMoments> {
            (0..columns).map(|c| ColumnMoments::of(table.numeric(c), block)).collect()
        };
        let blocks = rows[done..].par_chunks_exact(MOMENT_ROWS);
        let tail = of_block(blocks.remainder());
        for block in blocks.map(of_block).collect::<Vec<_>>() {
            whole.iter_mut().zip(block).for_each(|(all, block)| *all = all.merge(block));
        }
        let all: Vec<ColumnMoments> = whole.iter().zip(tail).map(|(whole, tail)| whole.merge(tail)).collect();
        let encodings = (0..columns).map(|c| {
            let same = |other: &ColumnMoments| {
                (other.missing, other.missing_rows) == (all[c].missing, all[c].missing_rows)
            };
            let repeated = all[..c].iter().any(same);
            let values = rows.iter().map(|&row| table.numeric(c).get(row as usize));
            NumericEncoding {
                value: all[c].scale().unwrap_or_else(|| NumericScale::fit(values)),
                indicator: all[c].indicator().filter(|_| !repeated),
            }
        });
        (encodings.collect(), whole)
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.value.is_valid() && self.indicator.as_ref().is_none_or(NumericScale::is_valid)
    }
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
                let mut column = [v; 3];
                scale.put_scores(&mut column);
                assert_eq!(column, [scale.score(v); 3]);
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
            NumericEncoding::fit_all(&table, rows, None)
                .0
                .iter()
                .map(|e| e.indicator.is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(has(&[0, 1, 2]), [true, true, false, false, false]);
        assert_eq!(has(&[1, 2]), [true, false, false, false, false]);
    }
}
