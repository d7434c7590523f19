//! Running mean and variance.

use super::{counting, kept_share};
use crate::encode::scale::NumericScale;
use serde::{Deserialize, Serialize};

/// Values beyond count as this, so that no sum of their squares overflows.
const LARGEST: f64 = 1e140;

/// Mean and (population) variance of all values so far, each batch merged as by Chan, Golub and LeVeque (1979); within a
/// batch in two passes, which lose no digits to a far mean. Values that are not finite are passed over, and those beyond
/// ±1e140 count as ±1e140.
///
/// ```
/// use tidemill_ml::RunningMoments;
///
/// let mut price = RunningMoments::default();
/// price.extend([1.0, 2.0].into_iter());
/// price.extend([6.0].into_iter());
/// assert_eq!((price.weight(), price.mean()), (3.0, 3.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMoments {
    weight: f64,
    mean: f64,
    /// Σ weight × (value - mean)².
    squares: f64,
}

impl RunningMoments {
    /// Learns a batch.
    pub fn extend(&mut self, values: impl Iterator<Item = f64> + Clone) {
        self.extend_weighted(values.map(|v| (v, 1.0)));
    }

    /// Learns a batch of (value, weight); weights are positive, and those that are not, or not finite, passed over. One
    /// above 1e9 counts as that.
    pub fn extend_weighted(&mut self, values: impl Iterator<Item = (f64, f64)> + Clone) {
        let known = || values.clone().filter_map(counting).map(|(v, w)| (v.clamp(-LARGEST, LARGEST), w));
        let weight: f64 = known().map(|(_, w)| w).sum();
        if weight > 0.0 {
            // Shares of the weight may sum to a little more than 1.
            let mean = known().map(|(v, w)| v * (w / weight)).sum::<f64>().clamp(-LARGEST, LARGEST);
            let squares = known().map(|(v, w)| w * (v - mean) * (v - mean)).sum();
            self.merge(&RunningMoments { weight, mean, squares });
        }
    }

    /// Of so many finite values, which sum to this; they are not held to a range, so sums may overflow.
    pub(crate) fn of_sum(count: u64, sum: f64, values: impl Iterator<Item = f64>) -> RunningMoments {
        if count == 0 {
            return RunningMoments::default();
        }
        let (weight, mean) = (count as f64, sum / count as f64);
        RunningMoments { weight, mean, squares: values.map(|v| (v - mean) * (v - mean)).sum() }
    }

    /// Of each column of a block of rows, one row after the other; sums may overflow. They are of the distances to the
    /// column's first value, so that a column of one value has that value for its mean.
    pub(crate) fn of_rows(values: &[f64], columns: usize) -> Vec<RunningMoments> {
        let mut all = vec![(RunningMoments::default(), 0.0); columns];
        let each = |all: &mut [(RunningMoments, f64)], add: fn(&mut RunningMoments, &mut f64, f64)| {
            for row in values.chunks_exact(columns) {
                let known = all.iter_mut().zip(row).filter(|(_, v)| v.is_finite());
                known.for_each(|((of, first), v)| add(of, first, *v));
            }
        };
        each(&mut all, |of, first, v| {
            if of.weight == 0.0 {
                *first = v;
            }
            of.weight += 1.0;
            of.mean += v - *first;
        });
        for (of, first) in &mut all {
            of.mean = *first + of.mean / of.weight.max(1.0);
        }
        each(&mut all, |of, _, v| of.squares += (v - of.mean).powi(2));
        all.into_iter().map(|(of, _)| of).collect()
    }

    /// Learns what another has learned.
    pub fn merge(&mut self, other: &RunningMoments) {
        if self.weight <= 0.0 || other.weight <= 0.0 {
            if self.weight <= 0.0 {
                *self = *other;
            }
            return;
        }
        let weight = self.weight + other.weight;
        let (share, apart) = (other.weight / weight, other.mean - self.mean);
        self.squares = self.squares + other.squares + apart * apart * share * self.weight;
        self.mean += apart * share;
        self.weight = weight;
    }

    /// Makes everything learned so far weigh `share` (0 to 1; beyond is the nearer of them, NaN is 1) of what it does.
    pub fn forget(&mut self, share: f64) {
        let share = kept_share(share);
        self.weight *= share;
        self.squares *= share;
        if self.weight < 1e-9 {
            *self = RunningMoments::default();
        }
    }

    /// Rows learned, less what was forgotten.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The mean; 0 before the first value.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The population variance; 0 before the first value.
    pub fn variance(&self) -> f64 {
        if self.weight > 0.0 { (self.squares / self.weight).max(0.0) } else { 0.0 }
    }

    /// The population standard deviation; 0 before the first value.
    pub fn standard_deviation(&self) -> f64 {
        self.variance().sqrt()
    }

    /// Σ weight × (value - mean)².
    pub(crate) fn squares(&self) -> f64 {
        self.squares
    }

    /// What a file keeps of them.
    pub(crate) fn of_parts(weight: f64, mean: f64, squares: f64) -> RunningMoments {
        RunningMoments { weight, mean, squares }
    }

    /// Whether no sum has overflowed.
    pub(crate) fn is_finite(&self) -> bool {
        self.mean.is_finite() && self.squares.is_finite()
    }

    /// Standard scores by these moments; a column without spread scores 0.
    pub(crate) fn scale(&self) -> NumericScale {
        let deviation = self.standard_deviation();
        let largest = self.mean.abs().max(deviation);
        match largest > 0.0 {
            true => NumericScale::of_shares(self.mean / largest, deviation / largest, largest),
            false => NumericScale::of_shares(0.0, 0.0, 1.0),
        }
    }

    /// Whether [`extend`](RunningMoments::extend) can have made it: what is further out would overflow in the next one.
    pub(crate) fn is_valid(&self) -> bool {
        let squares = 4.0 * LARGEST * LARGEST * self.weight;
        (0.0..=1e18).contains(&self.weight)
            && self.mean.abs() <= LARGEST * (1.0 + 1e-9)
            && (0.0..=squares * (1.0 + 1e-9)).contains(&self.squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn batches_give_the_moments_of_all_values_at_once(
            batches in prop::collection::vec(prop::collection::vec(-1e3f64..1e3, 0..20), 1..8), far in -1e9f64..1e9,
        ) {
            let mut running = RunningMoments::default();
            batches.iter().for_each(|b| running.extend(b.iter().map(|v| v + far)));
            let all: Vec<f64> = batches.concat();
            let n = all.len() as f64;
            prop_assert_eq!(running.weight(), n);
            if n > 0.0 {
                let mean = all.iter().sum::<f64>() / n;
                let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                prop_assert!((running.mean() - far - mean).abs() < 1e-6);
                prop_assert!((running.standard_deviation() - variance.sqrt()).abs() < 1e-4);
            }
        }

        #[test]
        fn any_values_leave_moments_and_scores_finite(
            batches in prop::collection::vec(prop::collection::vec((any::<f64>(), any::<f64>()), 0..9), 0..5),
            share in prop_oneof![0.0f64..1.0, any::<f64>()],
        ) {
            let mut running = RunningMoments::default();
            for batch in &batches {
                running.forget(share);
                running.extend(batch.iter().map(|(value, _)| *value));
                running.extend_weighted(batch.iter().copied());
                prop_assert!(running.is_valid(), "{:?}", running);
                prop_assert!(batch.iter().filter(|v| v.0.is_finite()).all(|v| running.scale().score(v.0).is_finite()));
            }
        }
    }

    #[test]
    fn moments_that_no_batch_gives_are_not_valid() {
        let mut running = RunningMoments::default();
        running.extend([1e300, -1e300, 3.0].into_iter());
        assert!(running.is_valid(), "{running:?}");
        for rows in 1..40 {
            let mut constant = RunningMoments::default();
            (0..3).for_each(|_| constant.extend(std::iter::repeat_n(1e300, rows)));
            assert!(constant.is_valid(), "{rows} rows: {constant:?}");
        }
        let learned = running;
        for damaged in [
            RunningMoments { weight: 1e300, ..learned },
            RunningMoments { mean: -1e200, ..learned },
            RunningMoments { mean: f64::NAN, ..learned },
            RunningMoments { squares: 1e301, ..learned },
            RunningMoments { squares: -1.0, ..learned },
        ] {
            assert!(!damaged.is_valid(), "{damaged:?}");
        }
    }

    #[test]
    fn what_is_forgotten_weighs_less_and_a_constant_has_no_spread() {
        let mut running = RunningMoments::default();
        running.extend([0.0, 0.0].into_iter());
        running.forget(0.5);
        running.extend([4.0, f64::NAN, f64::INFINITY].into_iter());
        assert_eq!((running.weight(), running.mean(), running.standard_deviation()), (2.0, 2.0, 2.0));
        assert_eq!(running.scale().score(6.0), 2.0);
        let mut constant = RunningMoments::default();
        (0..50).for_each(|_| constant.extend([0.1; 7].into_iter()));
        assert_eq!(constant.scale().score(5.0), 0.0);
        assert!((constant.scale().value(0.0) - 0.1).abs() < 1e-15);
    }
}
