//! Which rows a tree learns from, how often, and what they weigh.

use super::cell::{ClassScale, Draw, Units};
use super::params::ClassWeight;
use crate::seed::derive;
use std::ops::Range;

/// P(X <= k) of a Poisson variable of mean 1 in units of 2⁻¹⁶, for k from 0: a draw of 7 is the largest, and the mean is
/// 1 to four digits.
const POISSON: [u16; 7] = [24_109, 48_219, 60_273, 64_291, 65_296, 65_497, 65_531];
/// Sum of all integer weights: a tree that draws every row seven times still counts in 32 bits.
const WEIGHT_BUDGET: f64 = (1u64 << 29) as f64;
/// Rows that a tree can learn from: an entry has 28 bits for one.
pub(crate) const MAX_ROWS: usize = 1 << 28;

/// Rows of the bins with their labels: position `i` is row `rows[i]` of the table.
pub(crate) struct Drawable<'a> {
    pub(crate) rows: &'a [u32],
    /// By row of the table; empty where the target is not one of two classes, and entries then have no label.
    pub(crate) labels: &'a [bool],
    /// Whether the bins are by row of the table, and not by position among the training rows.
    pub(crate) by_table_row: bool,
}

impl Drawable<'_> {
    fn entry(&self, position: usize, draws: u32) -> Draw {
        let row = self.rows[position];
        let at = if self.by_table_row { row } else { position as u32 };
        Draw::new(at, draws, self.labels.get(row as usize).copied().unwrap_or_default())
    }

    /// Every row once.
    pub(crate) fn all(&self) -> Vec<Draw> {
        (0..self.rows.len()).map(|i| self.entry(i, 1)).collect()
    }

    /// A bootstrap sample: each row as often as a Poisson variable of mean 1 says, which is what drawing with
    /// replacement comes to for many rows (Oza, Russell 2001). A row's draws depend on its index in the table and the
    /// seed only, not on how many others there are.
    pub(crate) fn bootstrap(&self, seed: u64) -> Vec<Draw> {
        let mut entries = vec![Draw::default(); self.rows.len()];
        let mut drawn = 0;
        // Written before it is known whether it is drawn: that is a coin toss that a branch would lose half of the time.
        self.each_drawn(0..self.rows.len(), seed, |entry| {
            entries[drawn] = entry;
            drawn += usize::from(entry.draws() > 0);
        });
        entries.truncate(drawn);
        // A handful of rows may draw none at all.
        if entries.is_empty() { self.all() } else { entries }
    }

    /// Calls with each row at these positions as a bootstrap sample draws it, which may be no time.
    pub(crate) fn each_drawn(&self, positions: Range<usize>, seed: u64, mut call: impl FnMut(Draw)) {
        let (mut block, mut numbers) = (u32::MAX, 0);
        for position in positions {
            let row = self.rows[position];
            if row / 4 != block {
                block = row / 4;
                numbers = derive(seed, u64::from(block));
            }
            let number = (numbers >> (16 * (row % 4))) as u16;
            let draws_of = |limits: &[u16]| limits.iter().map(|&limit| u32::from(number >= limit)).sum();
            let mut draws: u32 = draws_of(&POISSON[..3]);
            // One row in fifty.
            if number >= POISSON[3] {
                draws += draws_of(&POISSON[3..]);
            }
            call(self.entry(position, draws));
        }
    }

    /// Positions of the rows that are at `from` up to, not including, `to` of the bins.
    pub(crate) fn between(&self, from: usize, to: usize) -> Range<usize> {
        if !self.by_table_row {
            return from..to;
        }
        let position = |at| self.rows.partition_point(|&row| (row as usize) < at);
        position(from)..position(to)
    }

    /// What is by position among the rows by row of the bins, of which there are so many.
    pub(crate) fn by_row_of_bins<T: Copy + Default>(&self, of_rows: &[T], binned_rows: usize) -> Vec<T> {
        if !self.by_table_row {
            return of_rows.to_vec();
        }
        let mut by_row = vec![T::default(); binned_rows];
        self.rows.iter().zip(of_rows).for_each(|(&row, &value)| by_row[row as usize] = value);
        by_row
    }

    /// Weight of a row of each class, of mean 1 over the rows.
    pub(crate) fn class_scale(&self, class_weight: ClassWeight) -> ClassScale {
        let rows = self.rows.len() as f64;
        let positives = self.rows.iter().filter(|&&row| self.labels[row as usize]).count() as f64;
        let negatives = rows - positives;
        let (negative, positive) = match class_weight {
            ClassWeight::Equal => return ClassScale { negative: 1.0, positive: 1.0 },
            ClassWeight::Balanced => (0.5 / negatives, 0.5 / positives),
            // Over the larger first: their sum is then finite.
            ClassWeight::Given { negative, positive } => {
                let largest = negative.max(positive);
                (negative / largest, positive / largest)
            }
        };
        let mean = (negative * negatives + positive * positives) / rows;
        ClassScale { negative: negative / mean, positive: positive / mean }
    }
}

/// Weights as integers, in the order given, and the value of one unit, by which their mean is 1. A unit is a power of two
/// of what was given, so whole weights stay exact where 29 bits hold their sum; others are rounded up or down at random by
/// their position, so that sums have no bias. A weight above 0 is never rounded to nothing.
///
/// The weights are finite and above 0, at most [`MAX_ROWS`].
pub(crate) fn integer_weights(weights: &[f64]) -> (Vec<u32>, Units) {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    // Shares of a power of two near the largest: their sum cannot overflow.
    let exponent = -(largest.log2().floor() as i32);
    let halves = (exp2(exponent / 2), exp2(exponent - exponent / 2));
    let sum: f64 = weights.iter().map(|w| w * halves.0 * halves.1).sum();
    let unit = exp2(((WEIGHT_BUDGET - 1.0 - weights.len() as f64) / sum).log2().floor() as i32);
    let integers: Vec<u32> = weights
        .iter()
        .zip(0u64..)
        .map(|(w, position)| {
            let coin = (derive(0, position) >> 11) as f64 / (1u64 << 53) as f64;
            ((w * halves.0 * halves.1 * unit + coin).floor() as u32).max(1)
        })
        .collect();
    let total: u64 = integers.iter().map(|&w| u64::from(w)).sum();
    let mean = total as f64 / weights.len() as f64;
    (integers, Units { sum: 1.0 / mean, weight: 1.0 / mean })
}

fn exp2(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_poisson_and_a_rows_own() {
        let labels = vec![true; 300_000];
        let rows: Vec<u32> = (0..300_000).collect();
        let of = |rows: &[u32]| Drawable { rows, labels: &labels, by_table_row: true }.bootstrap(5);
        let all = of(&rows);
        let mut times = [0u32; 9];
        all.iter().for_each(|d| times[d.draws() as usize] += 1);
        let mut expected = 300_000.0 * (-1f64).exp();
        for (k, &found) in times.iter().enumerate().skip(1).take(5) {
            expected /= k as f64;
            assert!(
                (f64::from(found) - expected).abs() < 5.0 * expected.sqrt(),
                "{k}: {found} of {expected}"
            );
        }
        // Fewer rows, and others left out: each draws as before.
        let some: Vec<u32> = rows.iter().copied().filter(|row| row % 3 != 1 && *row < 1_000).collect();
        let expected: Vec<Draw> =
            all.iter().copied().filter(|d| d.row() % 3 != 1 && d.row() < 1_000).collect();
        assert_eq!(of(&some), expected);
        assert!((0..200).all(|row| !of(&[row]).is_empty()), "a row by itself is drawn at least once");
    }

    #[test]
    fn integer_weights_are_proportional_and_have_mean_one() {
        let (found, units) = integer_weights(&[1.0, 2.0, 3.0, 0.25]);
        assert_eq!(found.iter().map(|w| w / found[3]).collect::<Vec<_>>(), [4, 8, 12, 1]);
        assert!((found.iter().map(|&w| f64::from(w)).sum::<f64>() * units.weight - 4.0).abs() < 1e-12);
        for scale in [1e-320, 1e-3, 1e307] {
            let (found, _) = integer_weights(&[scale, scale * 8.0, scale * 1e-12]);
            assert!(found[1].abs_diff(8 * found[0]) <= 16 && found[2] == 1, "{found:?}");
            assert!(found.iter().map(|&w| u64::from(w)).sum::<u64>() < 1 << 29);
        }
        let many: Vec<f64> = (0..100_000).map(|i| 0.1 + f64::from(i % 7)).collect();
        let (found, units) = integer_weights(&many);
        let light: f64 = found.iter().step_by(7).map(|&w| f64::from(w) * units.weight).sum();
        let expected = many.iter().step_by(7).sum::<f64>() / (many.iter().sum::<f64>() / 100_000.0);
        assert!((light / expected - 1.0).abs() < 1e-3, "{light} {expected}");
    }

    #[test]
    fn class_weights_have_mean_one() {
        let labels = [true, false, false, false];
        let rows = Drawable { rows: &[0, 1, 2, 3], labels: &labels, by_table_row: false };
        let scale = |weight| {
            let ClassScale { negative, positive } = rows.class_scale(weight);
            (negative, positive)
        };
        assert_eq!(scale(ClassWeight::Equal), (1.0, 1.0));
        assert_eq!(scale(ClassWeight::Balanced), (2.0 / 3.0, 2.0));
        let given = scale(ClassWeight::Given { negative: 1e300, positive: 5e300 });
        assert!((given.0 - 0.5).abs() < 1e-12 && (given.1 - 2.5).abs() < 1e-12, "{given:?}");
    }
}
