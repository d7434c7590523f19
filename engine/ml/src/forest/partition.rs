//! Dividing a node's entries between its children.

use super::cell::Source;
use crate::encode::bins::{BINS, BinnedRows};
use rayon::prelude::*;

/// Entries that one task of a parallel partition takes.
const PARTITION: usize = 32_768;

/// Where the bins of one feature go.
pub(crate) struct Cut {
    feature: usize,
    left: [bool; BINS],
    /// Bins whose entries are to be noted, and an upper limit of how many entries they are.
    noted: Option<([bool; BINS], usize)>,
}

impl Cut {
    pub(crate) fn new(
        feature: usize,
        goes_left: impl Fn(u8) -> bool,
        noted: Option<&([bool; BINS], usize)>,
    ) -> Cut {
        let left = std::array::from_fn(|bin| goes_left(bin as u8));
        Cut { feature, left, noted: noted.filter(|(_, limit)| *limit > 0).copied() }
    }
}

/// Brings the entries that go left to the front, both sides in their old order; returns how many they are, and those to be
/// noted. `spill` is as long as `entries`. In parallel if there are many and `parallel` says so; the outcome is the same.
pub(crate) fn partition<S: Source>(
    binned: &BinnedRows,
    entries: &mut [S::Entry],
    spill: &mut [S::Entry],
    cut: &Cut,
    parallel: bool,
) -> (usize, Vec<S::Entry>) {
    let bin = |entry| binned.bins[S::row(entry) * binned.features + cut.feature] as usize;
    let divide = |entries: &mut [S::Entry], spill: &mut [S::Entry]| match &cut.noted {
        None => (divide(entries, spill, |entry| cut.left[bin(entry)]), Vec::new()),
        Some((noted, limit)) => {
            // One more, for what is written and not counted.
            let mut found = vec![S::Entry::default(); entries.len().min(*limit) + 1];
            let mut count = 0;
            let middle = divide(entries, spill, |entry| {
                let bin = bin(entry);
                found[count] = entry;
                count += usize::from(noted[bin]);
                cut.left[bin]
            });
            found.truncate(count);
            (middle, found)
        }
    };
    if !parallel || entries.len() < 2 * PARTITION {
        let (middle, noted) = divide(entries, spill);
        let rest = entries.len() - middle;
        entries[middle..].copy_from_slice(&spill[..rest]);
        return (middle, noted);
    }
    // Each part divides itself, its left side in place and its right side in its part of the spill; then all are put
    // together.
    let parts = entries.par_chunks_mut(PARTITION).zip(spill.par_chunks_mut(PARTITION));
    let divided: Vec<(usize, Vec<S::Entry>)> = parts.map(|(entries, spill)| divide(entries, spill)).collect();
    let mut middle = 0;
    for (part, (count, _)) in divided.iter().enumerate() {
        let start = part * PARTITION;
        entries.copy_within(start..start + count, middle);
        middle += count;
    }
    let mut to = middle;
    for (part, (count, _)) in divided.iter().enumerate() {
        let start = part * PARTITION;
        let rest = PARTITION.min(entries.len() - start) - count;
        entries[to..to + rest].copy_from_slice(&spill[start..start + rest]);
        to += rest;
    }
    (middle, divided.into_iter().flat_map(|(_, noted)| noted).collect())
}

/// Brings the entries that go left to the front and the others to the front of the spill; returns how many go left.
fn divide<E: Copy>(entries: &mut [E], spill: &mut [E], mut goes_left: impl FnMut(E) -> bool) -> usize {
    let (mut middle, mut spilled) = (0, 0);
    // Written to both sides, counted on one: which one is a coin toss that a branch would lose half of the time.
    for i in 0..entries.len() {
        let entry = entries[i];
        let goes_left = goes_left(entry);
        entries[middle] = entry;
        spill[spilled] = entry;
        middle += usize::from(goes_left);
        spilled += usize::from(!goes_left);
    }
    middle
}

#[cfg(test)]
mod tests {
    use super::super::cell::{Draw, Unweighted};
    use super::*;
    use crate::seed::derive;

    #[test]
    fn both_sides_of_a_partition_keep_their_order() {
        let binned = BinnedRows { features: 1, bins: vec![3, 0, 2, 1, 4] };
        let mut entries: Vec<Draw> = (0..5).map(|row| Draw::new(row, 1, false)).collect();
        let mut spill = entries.clone();
        let cut = Cut::new(0, |bin| bin < 3, None);
        let (middle, noted) = partition::<Unweighted>(&binned, &mut entries, &mut spill, &cut, true);
        assert!(noted.is_empty());
        assert_eq!(middle, 3);
        assert_eq!(entries.iter().map(|e| e.row()).collect::<Vec<_>>(), [1, 2, 3, 0, 4]);
    }

    #[test]
    fn a_partition_in_parallel_is_the_same() {
        let rows = 3 * PARTITION as u32 + 5;
        let bins = (0..rows).map(|row| derive(3, u64::from(row)) as u8).collect();
        let binned = BinnedRows { features: 1, bins };
        let of = |parallel| {
            let mut entries: Vec<Draw> = (0..rows).map(|row| Draw::new(row, 1, false)).collect();
            let mut spill = entries.clone();
            let rule = |bin| bin % 3 == 1;
            let noted = (std::array::from_fn(|bin| bin % 7 == 2), rows as usize);
            let cut = Cut::new(0, rule, Some(&noted));
            let (middle, noted) = partition::<Unweighted>(&binned, &mut entries, &mut spill, &cut, parallel);
            assert_eq!(noted.len(), binned.bins.iter().filter(|bin| **bin % 7 == 2).count());
            (middle, entries, noted)
        };
        assert!(of(true) == of(false));
    }
}
