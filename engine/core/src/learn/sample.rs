//! Rows drawn without replacement: the same for the same seed, in time that grows with the draw alone.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// `count` of the numbers `0..of`, ascending; all of them where there are no more. Every set of that size is as likely
/// (Floyd's algorithm: Bentley and Floyd 1987), up to the bias of a 64-bit hash taken modulo `of`, below 2⁻³².
pub(super) fn draw(of: usize, count: usize, seed: u64) -> Vec<u32> {
    // State keys and table rows have 32-bit numbers.
    let of = u32::try_from(of).unwrap_or(u32::MAX);
    let first = of.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
    let mut drawn = BTreeSet::new();
    for last in first..of {
        let random = xxh3_64_with_seed(&last.to_le_bytes(), seed) % (u64::from(last) + 1);
        let random = u32::try_from(random).unwrap_or(last);
        if !drawn.insert(random) {
            drawn.insert(last);
        }
    }
    drawn.into_iter().collect()
}

/// The seed of one draw of one batch.
pub(super) fn seed_of(seed: u64, batch_id: u64, purpose: &str) -> u64 {
    xxh3_64_with_seed(purpose.as_bytes(), xxh3_64_with_seed(&batch_id.to_le_bytes(), seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_asked_for_ascending_and_once_each() {
        for (of, count) in [(0, 10), (7, 10), (10, 10), (100, 10), (100_000, 1_000), (5, 0)] {
            let drawn = draw(of, count, 3);
            assert_eq!(drawn.len(), of.min(count));
            assert!(
                drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.iter().all(|&n| (n as usize) < of)
            );
            assert_eq!(drawn, draw(of, count, 3));
        }
        assert_ne!(draw(1000, 10, seed_of(1, 2, "learn")), draw(1000, 10, seed_of(1, 3, "learn")));
        assert_ne!(draw(1000, 10, seed_of(1, 2, "learn")), draw(1000, 10, seed_of(1, 2, "score")));
    }

    /// 10 of 50 in 5,000 draws: each number 1,000 times, ± 5 standard deviations (28.3).
    #[test]
    fn every_number_is_drawn_as_often() {
        let mut times = [0u32; 50];
        (0..5_000).flat_map(|seed| draw(50, 10, seed)).for_each(|n| times[n as usize] += 1);
        assert!(times.iter().all(|&n| (858..=1_142).contains(&n)), "{times:?}");
    }
}
