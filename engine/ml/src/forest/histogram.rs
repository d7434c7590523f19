//! Rows and positives by bin of every feature, for one node of a tree.
//!
//! A cell packs both counts into one `u64` (rows above, positives below), so that a row costs one addition a feature and
//! a sibling is one subtraction a cell. Counts are integers: their sums are the same in any order.

use crate::encode::bins::{BINS, BinnedRows};

/// Rows (high 32 bits) and positive rows (low 32 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count(pub(crate) u64);

impl Count {
    pub(crate) fn rows(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn positives(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn plus(self, other: Count) -> Count {
        Count(self.0 + other.0)
    }

    pub(crate) fn minus(self, other: Count) -> Count {
        Count(self.0 - other.0)
    }
}

/// A training row in a node: its index, and how often it was drawn with its label in the lowest bit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) draws_and_label: u32,
}

impl Entry {
    pub(crate) fn count(self) -> Count {
        let draws = u64::from(self.draws_and_label >> 1);
        let label = u64::from(self.draws_and_label & 1);
        Count((draws << 32) | (draws * label))
    }
}

/// Counts by feature and bin: one array of [`BINS`] cells a feature.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(pub(crate) Vec<[Count; BINS]>);

impl Histogram {
    pub(crate) fn of(binned: &BinnedRows, entries: &[Entry]) -> Histogram {
        let mut cells = vec![[Count(0); BINS]; binned.features];
        for entry in entries {
            let count = entry.count();
            let start = entry.row as usize * binned.features;
            // One row's bins are one cache line, and its additions go to different arrays: no waiting on each other.
            for (cells, &bin) in cells.iter_mut().zip(&binned.bins[start..start + binned.features]) {
                cells[bin as usize].0 += count.0;
            }
        }
        Histogram(cells)
    }

    /// This node's counts without one child's are the other child's.
    pub(crate) fn subtract(mut self, child: &Histogram) -> Histogram {
        for (cells, other) in self.0.iter_mut().zip(&child.0) {
            for (cell, &other) in cells.iter_mut().zip(other) {
                *cell = cell.minus(other);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_by_subtraction_is_the_sibling_counted() {
        let binned = BinnedRows { features: 2, bins: vec![0, 7, 1, 7, 0, 9, 255, 9] };
        let entry = |row, draws: u32, label: u32| Entry { row, draws_and_label: (draws << 1) | label };
        let all = [entry(0, 1, 1), entry(1, 2, 0), entry(2, 3, 1), entry(3, 1, 0)];
        let sibling = Histogram::of(&binned, &all).subtract(&Histogram::of(&binned, &all[..1]));
        assert_eq!(sibling.0, Histogram::of(&binned, &all[1..]).0);
        let cell = Histogram::of(&binned, &all).0[0][0];
        assert_eq!((cell.rows(), cell.positives()), (4, 4));
    }
}
