//! Seeds from a seed: one for each tree, feature or row, all from the one that the caller gave.

/// The `index`-th number of the SplitMix64 sequence of `seed` (Steele, Lea, Flood 2014): near seeds and indices give
/// unrelated numbers.
pub(crate) fn derive(seed: u64, index: u64) -> u64 {
    let mut x = seed.wrapping_add((index.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
