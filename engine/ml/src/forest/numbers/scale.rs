//! Numbers that are to be predicted as integers and back.

use super::super::draw::Drawable;
use serde::{Deserialize, Serialize};

/// Units of the largest distance from the centre.
pub(super) const UNITS: f64 = (1u64 << 30) as f64;

/// Where the numbers of a fit are: `y = centre + spread · z`. All is kept as halves, of which no difference overflows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// The median, the lower one of two: one value far from all others does not move it.
    half_centre: f64,
    /// Root of the mean squared distance from the centre; 1 where all are the same.
    half_spread: f64,
}

impl Scale {
    /// That of the numbers of these rows, which are finite. There is at least one.
    pub(super) fn of(values: &[f64], rows: &[u32]) -> Scale {
        let mut halves: Vec<f64> = rows.iter().map(|&row| 0.5 * values[row as usize]).collect();
        let middle = (halves.len() - 1) / 2;
        let half_centre = *halves.select_nth_unstable_by(middle, f64::total_cmp).1;
        // In the rows' order, so that the sum is the same.
        let distances = || rows.iter().map(|&row| 0.5 * values[row as usize] - half_centre);
        let largest = distances().fold(0.0, |most: f64, distance| most.max(distance.abs()));
        if largest == 0.0 {
            return Scale { half_centre, half_spread: 1.0 };
        }
        let squares: f64 = distances().map(|distance| (distance / largest).powi(2)).sum();
        let half_spread = largest * (squares / rows.len() as f64).sqrt();
        Scale { half_centre, half_spread: half_spread.max(f64::MIN_POSITIVE) }
    }

    /// A number in spreads from the centre.
    pub(super) fn scaled(&self, value: f64) -> f64 {
        (0.5 * value - self.half_centre) / self.half_spread
    }

    /// The number of so many spreads from the centre; finite.
    pub(super) fn value(&self, scaled: f64) -> f64 {
        let half = self.half_centre + self.half_spread * scaled;
        (2.0 * half).clamp(f64::MIN, f64::MAX)
    }

    /// Half of the centre, and half of the spread.
    pub(super) fn halves(&self) -> (f64, f64) {
        (self.half_centre, self.half_spread)
    }

    pub(super) fn is_valid(&self) -> bool {
        self.half_centre.is_finite() && self.half_spread.is_finite() && self.half_spread > 0.0
    }

    /// The numbers as integers by row of the bins, and the spreads that a unit is: 2^-30 of the largest distance from the
    /// centre, half of which is the most that rounding moves one.
    pub(super) fn integers(
        &self,
        values: &[f64],
        rows: &Drawable<'_>,
        binned_rows: usize,
    ) -> (Vec<i32>, f64) {
        let scaled: Vec<f64> = rows.rows.iter().map(|&row| self.scaled(values[row as usize])).collect();
        let largest = scaled.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let unit = if largest > 0.0 { largest / UNITS } else { 1.0 };
        let integers: Vec<i32> = scaled.iter().map(|value| (value / unit).round() as i32).collect();
        (rows.by_row_of_bins(&integers, binned_rows), unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_ends_of_f64_come_back() {
        for values in [
            vec![f64::MAX, f64::MIN, 0.0],
            vec![1e300, 1.0, 2.0],
            vec![5e-324, 1e-300, 0.0],
            vec![1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0],
            vec![0.1],
            vec![-7.5; 4],
        ] {
            let rows: Vec<u32> = (0..values.len() as u32).collect();
            let scale = Scale::of(&values, &rows);
            assert!(scale.is_valid());
            let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            for &value in &values {
                let scaled = scale.scaled(value);
                assert!(scaled.is_finite() && scaled.abs() <= 2.0, "{value}: {scaled}");
                assert!((scale.value(scaled) * 0.5 - value * 0.5).abs() <= most * 1e-15, "{value}");
            }
            assert!(scale.value(1e300).is_finite());
            let drawable = Drawable { rows: &rows, labels: &[], by_table_row: false };
            let (integers, unit) = scale.integers(&values, &drawable, values.len());
            let back = integers.iter().zip(&values);
            assert!(back.clone().all(|(&i, &v)| (f64::from(i) * unit - scale.scaled(v)).abs() <= unit));
        }
        let constant = Scale::of(&[0.1, 0.1], &[0, 1]);
        assert_eq!(constant.value(0.0), 0.1);
    }
}
