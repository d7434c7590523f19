//! Weights of each class by bin, for one node of a tree of many classes.
//!
//! A cell is a rows' count and a weight a class, one after the other: a row adds to two of them, however many classes there
//! are. All are integers, so sums are the same in any order and a sibling is a subtraction.

use super::DrawnClass;
use crate::encode::bins::{BINS, BinnedRows};
use rayon::prelude::*;

/// Rows that one task of a parallel count takes.
const CHUNK: usize = 32_768;

/// What entries count.
#[derive(Clone, Copy)]
pub(super) struct Counting<'a> {
    pub(super) binned: &'a BinnedRows,
    /// By row of the bins; none if all are 1.
    pub(super) weights: Option<&'a [u32]>,
    pub(super) classes: usize,
}

impl Counting<'_> {
    /// Integers of a cell: rows, then the weight of each class.
    pub(super) fn stride(&self) -> usize {
        self.classes + 1
    }

    fn weight(&self, entry: DrawnClass) -> u32 {
        entry.draw.draws() * self.weights.map_or(1, |weights| weights[entry.draw.row() as usize])
    }

    /// The sum of the entries.
    pub(super) fn total(&self, entries: &[DrawnClass]) -> Vec<u32> {
        let mut cell = vec![0; self.stride()];
        for &entry in entries {
            cell[0] += entry.draw.draws();
            cell[1 + entry.class as usize] += self.weight(entry);
        }
        cell
    }

    /// All features: [`BINS`] cells each.
    pub(super) fn all(&self, entries: &[DrawnClass], parallel: bool) -> Vec<u32> {
        let (features, stride) = (self.binned.features, self.stride());
        let empty = || vec![0; features * BINS * stride];
        let count = |mut cells: Vec<u32>, entries: &[DrawnClass]| {
            for &entry in entries {
                let (draws, weight) = (entry.draw.draws(), self.weight(entry));
                let of_features = cells.chunks_exact_mut(BINS * stride);
                for (cells, &bin) in of_features.zip(self.binned.row(entry.draw.row() as usize)) {
                    let cell = &mut cells[bin as usize * stride..][..stride];
                    cell[0] += draws;
                    cell[1 + entry.class as usize] += weight;
                }
            }
            cells
        };
        if !parallel || entries.len() < 2 * CHUNK {
            return count(empty(), entries);
        }
        let parts = entries.par_chunks(CHUNK).fold(empty, count);
        parts.reduce_with(plus).unwrap_or_else(empty)
    }

    /// The cells of one feature, into these of it or of any other.
    pub(super) fn one(&self, entries: &[DrawnClass], feature: usize, cells: &mut Vec<u32>) {
        let stride = self.stride();
        cells.clear();
        cells.resize(BINS * stride, 0);
        for &entry in entries {
            let bin = self.binned.row(entry.draw.row() as usize)[feature] as usize;
            let cell = &mut cells[bin * stride..][..stride];
            cell[0] += entry.draw.draws();
            cell[1 + entry.class as usize] += self.weight(entry);
        }
    }
}

fn plus(mut cells: Vec<u32>, others: Vec<u32>) -> Vec<u32> {
    cells.iter_mut().zip(others).for_each(|(cell, other)| *cell += other);
    cells
}

/// A node's cells without one child's are the other child's.
pub(super) fn minus(mut cells: Vec<u32>, child: &[u32]) -> Vec<u32> {
    cells.iter_mut().zip(child).for_each(|(cell, child)| *cell -= child);
    cells
}

#[cfg(test)]
mod tests {
    use super::super::super::cell::Draw;
    use super::*;

    #[test]
    fn all_features_at_once_or_one_by_one_in_parallel_or_not_are_the_same() {
        let rows = 3 * CHUNK as u32 + 17;
        let bins = (0..rows * 2).map(|i| (i.wrapping_mul(i) % 251) as u8).collect();
        let binned = BinnedRows { features: 2, bins };
        let weights: Vec<u32> = (0..rows).map(|row| 1 + row % 5).collect();
        let entries: Vec<DrawnClass> = (0..rows)
            .map(|row| DrawnClass { draw: Draw::new(row, 1 + row % 3, false), class: row % 7 })
            .collect();
        for weights in [None, Some(&weights[..])] {
            let counting = Counting { binned: &binned, weights, classes: 7 };
            let all = counting.all(&entries, true);
            assert!(all == counting.all(&entries, false));
            let mut one = Vec::new();
            counting.one(&entries, 1, &mut one);
            assert_eq!(all[BINS * 8..], one);
            let total: Vec<u32> = (0..8).map(|at| one.iter().skip(at).step_by(8).sum()).collect();
            assert_eq!(counting.total(&entries), total);
            let (some, rest) = entries.split_at(50_000);
            assert!(minus(all, &counting.all(some, false)) == counting.all(rest, false));
        }
    }
}
