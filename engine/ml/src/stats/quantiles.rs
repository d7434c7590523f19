//! Running quantiles with a stated error: a DDSketch (Masson, Rim, Lee 2019) about an origin.
//!
//! ```text
//! value - origin ──> bucket i of its side: γ^(i-1) < |value - origin| ≤ γ^i,  γ = (1 + 0.005) / (1 - 0.005)
//! ```
//!
//! A quantile is off by at most [`QuantileSketch::RELATIVE_ERROR`] of its distance to the origin. With the median of the
//! first rows as origin, the quartiles of a column are known to half a percent of the column's own spread, wherever it
//! lies (years, prices), and values that are equal stay equal: the interquartile range of a column that is half one value
//! is 0. Buckets only hold weights, so two sketches about one origin merge without loss, in any order, and forgetting is
//! a product.
//!
//! Why not a library: sketches-ddsketch has neither origin nor forgetting, and t-digests have no error that holds.
//!
//! A side keeps the 2,048 buckets that are farthest out, which span nine decades; what lies nearer to the origin than
//! these is put into the innermost of them, whose distance to the origin is then the error.

use super::{counting, kept_share};
use crate::Error;
use serde::{Deserialize, Serialize};

const MOST_BUCKETS: usize = 2_048;
/// The weights of so many buckets in a row are summed by place, of more by sorting.
const NEAR: i64 = 16_384;

/// Weights of values by their distance to an origin.
///
/// ```
/// use tidemill_ml::QuantileSketch;
///
/// let mut sketch = QuantileSketch::new(0.0);
/// sketch.extend((1..=1_000).map(f64::from));
/// assert!(sketch.quantile(0.25).is_some_and(|q1| (q1 - 250.0).abs() <= 250.0 * QuantileSketch::RELATIVE_ERROR));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileSketch {
    origin: f64,
    below: Side,
    at: f64,
    above: Side,
}

/// Weights of the buckets on one side of the origin, ascending by bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Side(Vec<(i32, f64)>);

impl QuantileSketch {
    /// The most that a quantile is off by, as a share of its distance to the origin.
    pub const RELATIVE_ERROR: f64 = 0.005;

    /// An empty sketch; an origin that is not finite is taken for 0.
    pub fn new(origin: f64) -> QuantileSketch {
        let origin = if origin.is_finite() { origin } else { 0.0 };
        QuantileSketch { origin, below: Side::default(), at: 0.0, above: Side::default() }
    }

    /// Learns values, each of weight 1; those that are not finite are passed over.
    pub fn extend(&mut self, values: impl Iterator<Item = f64>) {
        self.extend_weighted(values.map(|v| (v, 1.0)));
    }

    /// Learns (value, weight); weights are positive, and those that are not, or not finite, passed over. One above 1e9
    /// counts as that.
    pub fn extend_weighted(&mut self, values: impl Iterator<Item = (f64, f64)>) {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for (value, weight) in values.filter_map(counting) {
            // The distance of the two ends of the range is beyond it.
            let apart = (value - self.origin).clamp(f64::MIN, f64::MAX);
            match apart {
                0.0 => self.at += weight,
                apart if apart < 0.0 => below.push((bucket(-apart), weight)),
                _ => above.push((bucket(apart), weight)),
            }
        }
        self.below.add(summed(below));
        self.above.add(summed(above));
    }

    /// Learns what another sketch has learned.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] if the other is about another origin; this one is then as it was.
    pub fn merge(&mut self, other: &QuantileSketch) -> Result<(), Error> {
        if self.origin != other.origin {
            let value = other.origin.to_string();
            return Err(Error::BadParameter { name: "origin", value, expected: "that of the other sketch" });
        }
        self.at += other.at;
        self.below.add(other.below.0.clone());
        self.above.add(other.above.0.clone());
        Ok(())
    }

    /// Makes everything learned so far weigh `share` (0 to 1; beyond is the nearer of them, NaN is 1) of what it does. A
    /// bucket left with less than a millionth of a row is dropped.
    pub fn forget(&mut self, share: f64) {
        let share = kept_share(share);
        for side in [&mut self.below, &mut self.above] {
            side.0.retain_mut(|(_, weight)| {
                *weight *= share;
                *weight >= 1e-6
            });
        }
        self.at = if self.at * share >= 1e-6 { self.at * share } else { 0.0 };
    }

    /// Rows learned, less what was forgotten.
    pub fn weight(&self) -> f64 {
        self.below.weight() + self.at + self.above.weight()
    }

    /// The least value that at least a share `q` (0 to 1) of the weight is not above, to within the stated error; `None`
    /// of nothing.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.quantiles([q]).map(|[value]| value)
    }

    /// The quantiles of ascending shares, in one pass.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let weight = self.weight();
        self.reached(shares.map(|share| share.clamp(0.0, 1.0) * weight))
    }

    /// The values at ascending places of the order, from 0, to within the stated error each; all have weight 1.
    pub(crate) fn at<const N: usize>(&self, places: [u64; N]) -> Option<[f64; N]> {
        self.reached(places.map(|place| place as f64 + 0.5))
    }

    /// The least values by which these weights, ascending, are reached.
    fn reached<const N: usize>(&self, wanted: [f64; N]) -> Option<[f64; N]> {
        let below = self.below.0.iter().rev().map(|(bucket, weight)| (-1.0, *bucket, *weight));
        let above = self.above.0.iter().map(|(bucket, weight)| (1.0, *bucket, *weight));
        let at = Some((0.0, 0, self.at)).filter(|(_, _, weight)| *weight > 0.0);
        let mut buckets = below.chain(at).chain(above);
        let (mut passed, mut last) = (0.0, None);
        let mut found = [0.0; N];
        for (found, wanted) in found.iter_mut().zip(wanted) {
            while last.is_none() || passed < wanted {
                // Rounding may leave what is wanted just above the sum.
                let Some((side, bucket, weight)) = buckets.next() else { break };
                passed += weight;
                last = Some((side, bucket));
            }
            let (side, bucket) = last?;
            *found = (self.origin + side * magnitude(bucket)).clamp(f64::MIN, f64::MAX);
        }
        Some(found)
    }

    pub(crate) fn is_valid(&self) -> bool {
        let sides = [&self.below, &self.above];
        let weights = sides.iter().flat_map(|side| side.0.iter().map(|(_, weight)| weight)).chain([&self.at]);
        self.origin.is_finite()
            && weights.into_iter().all(|w| (0.0..=1e18).contains(w))
            && sides.iter().all(|Side(side)| {
                side.len() <= MOST_BUCKETS
                    && side.windows(2).all(|pair| pair[0].0 < pair[1].0)
                    && side.iter().all(|(bucket, _)| bucket.unsigned_abs() < 100_000)
            })
    }
}

impl Side {
    fn weight(&self) -> f64 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    /// Adds buckets, ascending, and puts what is nearest to the origin together if there are then too many.
    fn add(&mut self, added: Vec<(i32, f64)>) {
        if added.is_empty() {
            return;
        }
        let mut all = Vec::with_capacity(self.0.len() + added.len());
        let mut added = added.into_iter().peekable();
        for &(bucket, weight) in &self.0 {
            while let Some(before) = added.next_if(|(other, _)| *other < bucket) {
                all.push(before);
            }
            let same = added.next_if(|(other, _)| *other == bucket);
            all.push((bucket, weight + same.map_or(0.0, |(_, weight)| weight)));
        }
        all.extend(added);
        let many = all.len().saturating_sub(MOST_BUCKETS);
        let lumped: f64 = all.drain(..many).map(|(_, weight)| weight).sum();
        if let Some((_, first)) = all.first_mut() {
            *first += lumped;
        }
        self.0 = all;
    }
}

/// Each bucket once, ascending, with the sum of its weights.
fn summed(mut added: Vec<(i32, f64)>) -> Vec<(i32, f64)> {
    let buckets = added.iter().map(|(bucket, _)| *bucket);
    let Some((low, high)) = buckets.clone().min().zip(buckets.max()) else { return added };
    if i64::from(high) - i64::from(low) < NEAR {
        let mut sums = vec![0.0; (high - low + 1) as usize];
        added.iter().for_each(|(bucket, weight)| sums[(bucket - low) as usize] += weight);
        return (low..=high).zip(sums).filter(|(_, sum)| *sum > 0.0).collect();
    }
    // The sort keeps the order in which they are summed.
    added.sort_by_key(|(bucket, _)| *bucket);
    let sum = |run: &[(i32, f64)]| (run[0].0, run.iter().map(|(_, weight)| weight).sum());
    added.chunk_by(|(a, _), (b, _)| a == b).map(sum).collect()
}

/// ln γ.
fn log_gamma() -> f64 {
    let error = QuantileSketch::RELATIVE_ERROR;
    ((1.0 + error) / (1.0 - error)).ln()
}

/// The bucket of a positive distance; within ±75,000 for all that f64 holds.
fn bucket(apart: f64) -> i32 {
    // As `ceil`, which is a call where the processor is not known to have it.
    let exact = apart.ln() / log_gamma();
    let whole = exact as i32;
    whole + i32::from(exact > f64::from(whole))
}

/// The distance that is within the error of every one in the bucket: 2 γ^i / (γ + 1).
fn magnitude(bucket: i32) -> f64 {
    // (γ + 1) / 2 = 1 / (1 - error)
    (f64::from(bucket) * log_gamma() + (1.0 - QuantileSketch::RELATIVE_ERROR).ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least of sorted values that a share q of them is not above.
    fn exact(sorted: &[f64], q: f64) -> f64 {
        let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted[rank - 1]
    }

    fn sketch(origin: f64, values: &[f64]) -> QuantileSketch {
        let mut sketch = QuantileSketch::new(origin);
        sketch.extend(values.iter().copied());
        sketch
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![-1e3f64..1e3, (-5i32..5).prop_map(f64::from), -1e-3f64..1e-3, 1e6f64..1e6 + 1.0]
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_no_more_than_is_stated(
            mut values in prop::collection::vec(value(), 1..300), origin in value(), q in 0.0f64..=1.0,
        ) {
            let found = sketch(origin, &values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = exact(&values, q);
            let stated = QuantileSketch::RELATIVE_ERROR * (exact - origin).abs();
            // And what subtracting and adding the origin rounds.
            let rounding = 1e-9 * stated + 1e-15 * (exact.abs() + origin.abs());
            prop_assert!((found - exact).abs() <= stated + rounding, "{} {} about {}", found, exact, origin);
        }

        #[test]
        fn parts_merge_to_the_sketch_of_all_in_any_order(
            one in prop::collection::vec(value(), 0..50), other in prop::collection::vec(value(), 0..50),
        ) {
            let all = sketch(1.0, &[one.clone(), other.clone()].concat());
            let (mut ab, mut ba) = (sketch(1.0, &one), sketch(1.0, &other));
            let b = ba.clone();
            ba.merge(&ab).unwrap();
            ab.merge(&b).unwrap();
            prop_assert_eq!(&ab, &ba);
            prop_assert_eq!(&ab, &all);
            prop_assert!(ab.merge(&sketch(2.0, &one)).is_err() && ab == all);
        }

        #[test]
        fn any_values_give_a_finite_quantile(
            values in prop::collection::vec(any::<f64>(), 0..50), weights in prop::collection::vec(any::<f64>(), 50),
            origin in any::<f64>(), q in any::<f64>(), share in prop_oneof![0.0f64..1.0, any::<f64>()],
        ) {
            let mut sketch = sketch(origin, &values);
            let known = values.iter().filter(|v| v.is_finite()).count();
            prop_assert_eq!(sketch.weight(), known as f64);
            prop_assert_eq!(sketch.quantile(q).is_some(), known > 0);
            prop_assert!(sketch.quantile(q).is_none_or(f64::is_finite) && sketch.is_valid());
            sketch.forget(share);
            prop_assert!(sketch.is_valid() && sketch.quantile(q).is_none_or(f64::is_finite));
            sketch.extend_weighted(values.iter().copied().zip(weights));
            prop_assert!(sketch.is_valid() && sketch.quantile(q).is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn what_is_forgotten_weighs_less() {
        let mut sketch = sketch(0.0, &[1.0; 100]);
        sketch.forget(0.1);
        sketch.extend([50.0; 30].into_iter());
        assert!((sketch.weight() - 40.0).abs() < 1e-9);
        assert!((sketch.quantile(0.24).unwrap() - 1.0).abs() < 0.00501);
        assert!((sketch.quantile(0.26).unwrap() - 50.0).abs() < 0.2501);
        sketch.forget(0.0);
        assert_eq!((sketch.weight(), sketch.quantile(0.5)), (0.0, None));
    }

    #[test]
    fn a_spread_beyond_the_buckets_lumps_what_is_nearest_to_the_origin() {
        let values: Vec<f64> = (0..6_000).map(|i| 10f64.powf(f64::from(i) / 100.0 - 30.0)).collect();
        let sketch = sketch(0.0, &values);
        assert!(sketch.is_valid() && sketch.weight() == 6_000.0);
        assert!((sketch.quantile(0.99).unwrap() / exact(&values, 0.99) - 1.0).abs() <= 0.005);
        assert!(sketch.quantile(0.01).unwrap() > values[60], "said: not within the error");
    }
}
