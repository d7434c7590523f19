//! Quantiles by linear interpolation, of all values at once and of values that come later.

use crate::QuantileSketch;
use crate::file::MOST_ROWS;
use serde::{Deserialize, Serialize};

/// Values of a column that are kept as they are.
const EXACT: usize = 2_048;

/// What is known of a column's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Known {
    /// All of them, ascending.
    All(Vec<f64>),
    /// More than [`EXACT`]; about the median that they had when they became so many, so that the error is small there.
    Sketch(QuantileSketch),
}

impl Known {
    /// The quantiles of ascending shares of these values, and what is to be known of them later; `None` of no values.
    pub(super) fn of<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> (Known, Option<[f64; N]>) {
        let found = quantiles(&mut values, shares);
        (Known::All(Vec::new()).with(values), found)
    }

    /// With more values.
    pub(super) fn with(self, more: Vec<f64>) -> Known {
        match self {
            Known::All(mut all) => {
                all.extend(more);
                if all.len() <= EXACT {
                    all.sort_unstable_by(f64::total_cmp);
                    return Known::All(all);
                }
                let [median] = quantiles(&mut all, [0.5]).unwrap_or_default();
                let mut sketch = QuantileSketch::new(median);
                sketch.extend(all.into_iter());
                Known::Sketch(sketch)
            }
            Known::Sketch(mut sketch) => {
                sketch.extend(more.into_iter());
                Known::Sketch(sketch)
            }
        }
    }

    /// The quantiles of ascending shares; `None` of no values.
    pub(super) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let sketch = match self {
            Known::All(all) => return quantiles(&mut all.clone(), shares),
            Known::Sketch(sketch) => sketch,
        };
        // Every value weighs 1.
        let count = sketch.weight() as u64;
        let mut found = [0.0; N];
        for (found, share) in found.iter_mut().zip(shares) {
            let (low, part) = place(share, count);
            let [low, high] = sketch.at([low, (low + 1).min(count - 1)])?;
            *found = between(low, high, part);
        }
        Some(found)
    }

    pub(super) fn is_valid(&self) -> bool {
        match self {
            Known::All(all) => all.len() <= EXACT && all.iter().all(|v| v.is_finite()) && all.is_sorted(),
            Known::Sketch(sketch) => {
                sketch.is_valid() && (EXACT as f64 + 1.0..=MOST_ROWS as f64).contains(&sketch.weight())
            }
        }
    }
}

/// The place in the order, from 0, that a share of so many values is at or after, and how far after.
fn place(share: f64, count: u64) -> (u64, f64) {
    let at = share * (count as f64 - 1.0);
    (at.floor() as u64, at - at.floor())
}

/// Not low + part · (high - low): the distance of two finite values may be infinite.
fn between(low: f64, high: f64, part: f64) -> f64 {
    low * (1.0 - part) + high * part
}

/// The quantiles of ascending shares by linear interpolation, as numpy's default; `None` of no values. Orders the values
/// as far as that needs.
fn quantiles<const N: usize>(values: &mut [f64], shares: [f64; N]) -> Option<[f64; N]> {
    let count = values.len() as u64;
    if count == 0 {
        return None;
    }
    // No value before this is above one after it.
    let mut from = 0;
    Some(shares.map(|share| {
        let (below, part) = place(share, count);
        let (_, low, above) = values[from..].select_nth_unstable_by(below as usize - from, f64::total_cmp);
        from = below as usize;
        match above.iter().copied().min_by(f64::total_cmp) {
            None => *low,
            Some(high) => between(*low, high, part),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::derive;

    #[test]
    fn a_file_that_contradicts_itself_is_refused() {
        let known = Known::of((0..3_000).map(f64::from).collect(), [0.5]).0;
        assert!(known.is_valid());
        let few = (0..2_048).map(f64::from);
        let mut sketch = QuantileSketch::new(0.0);
        sketch.extend(few.clone());
        assert!(!Known::Sketch(sketch.clone()).is_valid(), "so few are kept as they are");
        sketch.extend_weighted(few.map(|v| (v, 1e9)));
        (0..20).for_each(|_| sketch.merge(&sketch.clone()).unwrap());
        assert!(!Known::Sketch(sketch).is_valid(), "more rows than can be");
        assert!(!Known::All(vec![2.0, 1.0]).is_valid() && !Known::All(vec![f64::NAN]).is_valid());
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        for count in 0..60u64 {
            for seed in 0..20 {
                // Few different values, so that some are equal.
                let values: Vec<f64> =
                    (0..count).map(|i| (derive(seed, i) % (5 + 3 * seed)) as f64).collect();
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                let expected = |share: f64| {
                    let (low, part) = place(share, count);
                    let high = (low as usize + 1).min(sorted.len() - 1);
                    between(sorted[low as usize], sorted[high], part)
                };
                let shares = [0.0, 0.25, 0.3, 0.5, 0.5, 0.75, 1.0];
                let found = quantiles(&mut values.clone(), shares);
                assert_eq!(found, (count > 0).then(|| shares.map(expected)), "{values:?}");
            }
        }
    }
}
