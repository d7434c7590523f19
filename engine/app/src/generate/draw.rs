//! Seeded draws: uniform numbers, weighted choice in constant time, the normal distribution.
//!
//! Everything the generator prints is a function of these draws, so each kind of draw takes a fixed number of
//! steps of the generator's random stream.

use rand::RngCore;
use rand_xoshiro::Xoshiro256PlusPlus;

/// A number in [0, 1) with 53 random bits.
pub fn unit(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A number in 0..n (n below 2^32; the bias of the multiplication is below 2^-32).
pub fn below(rng: &mut Xoshiro256PlusPlus, n: u32) -> u32 {
    (((rng.next_u64() >> 32) * u64::from(n)) >> 32) as u32
}

/// True with probability `p`.
pub fn chance(rng: &mut Xoshiro256PlusPlus, p: f64) -> bool {
    unit(rng) < p
}

/// A standard normal number (Box and Muller, 1958; the second one of the pair is thrown away).
pub fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng)).cos()
}

/// The probability that has these log-odds.
pub fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The log-odds of a probability in (0, 1).
pub fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// Weighted choice among n things in constant time (the alias method of Walker in Vose's form, 1991).
pub struct Alias {
    /// For each slot, the share of it that is its own; the rest belongs to `other`.
    own: Vec<f64>,
    other: Vec<u32>,
}

impl Alias {
    /// A table for these weights: none negative, at least one positive.
    pub fn new(weights: &[f64]) -> Alias {
        let n = weights.len();
        let scale = n as f64 / weights.iter().sum::<f64>();
        let mut own: Vec<f64> = weights.iter().map(|w| w * scale).collect();
        let mut other: Vec<u32> = (0..n as u32).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| own[i] < 1.0);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            other[s] = l as u32;
            own[l] -= 1.0 - own[s];
            if own[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        // What is left over differs from 1 by rounding only.
        for i in small.into_iter().chain(large) {
            own[i] = 1.0;
        }
        Alias { own, other }
    }

    /// The number of one of the things.
    pub fn pick(&self, rng: &mut Xoshiro256PlusPlus) -> usize {
        let slot = below(rng, self.own.len() as u32) as usize;
        if unit(rng) < self.own[slot] { slot } else { self.other[slot] as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn alias_draws_in_proportion() {
        let weights = [1.0, 0.0, 6.0, 3.0];
        let alias = Alias::new(&weights);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut seen = [0u32; 4];
        for _ in 0..100_000 {
            seen[alias.pick(&mut rng)] += 1;
        }
        assert_eq!(seen[1], 0);
        for (count, weight) in seen.iter().zip(weights) {
            assert!((f64::from(*count) / 10_000.0 - weight).abs() < 0.06, "{seen:?}");
        }
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let drawn: Vec<f64> = (0..100_000).map(|_| normal(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn log_odds_is_the_inverse_of_sigmoid() {
        for p in [0.01, 0.22, 0.5, 0.99] {
            assert!((sigmoid(log_odds(p)) - p).abs() < 1e-12);
        }
    }
}
