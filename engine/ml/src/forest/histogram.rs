//! Cells by bin of every feature, for one node of a tree.

use super::cell::{Cell, Source};
use crate::encode::bins::{BINS, BinnedRows};
use rayon::prelude::*;

/// Rows that one task of a parallel count takes: fewer cost more to add up than to count.
const CHUNK: usize = 16_384;

/// Cells by feature and bin: one array of [`BINS`] a feature.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram<C>(pub(crate) Vec<[C; BINS]>);

impl<C: Cell> Histogram<C> {
    pub(crate) fn empty(features: usize) -> Histogram<C> {
        Histogram(vec![[C::default(); BINS]; features])
    }

    /// Counts all features; in parallel if there are many rows and `parallel` says so.
    pub(crate) fn of<S: Source<Cell = C>>(
        binned: &BinnedRows,
        source: &S,
        entries: &[S::Entry],
        parallel: bool,
    ) -> Histogram<C> {
        let count = |entries: &[S::Entry]| {
            let mut histogram = Histogram::empty(binned.features);
            histogram.add(binned, source, entries);
            histogram
        };
        if !parallel || entries.len() < 2 * CHUNK {
            return count(entries);
        }
        // Integers: the sum does not depend on which thread took which rows.
        entries
            .par_chunks(CHUNK)
            .fold(
                || Histogram::empty(binned.features),
                |mut histogram, chunk| {
                    histogram.add(binned, source, chunk);
                    histogram
                },
            )
            .reduce_with(Histogram::plus)
            .unwrap_or_else(|| Histogram::empty(binned.features))
    }

    /// Counts these entries, too.
    pub(crate) fn add<S: Source<Cell = C>>(&mut self, binned: &BinnedRows, source: &S, entries: &[S::Entry]) {
        for &entry in entries {
            let cell = source.cell(entry);
            let start = S::row(entry) * binned.features;
            // One row's bins are one cache line, and its additions go to different arrays: no waiting on each other.
            for (cells, &bin) in self.0.iter_mut().zip(&binned.bins[start..start + binned.features]) {
                let at = &mut cells[bin as usize];
                *at = at.plus(cell);
            }
        }
    }

    /// Takes off entries that were counted.
    pub(crate) fn take_off<S: Source<Cell = C>>(
        &mut self,
        binned: &BinnedRows,
        source: &S,
        entries: &[S::Entry],
    ) {
        for &entry in entries {
            let cell = source.cell(entry);
            let start = S::row(entry) * binned.features;
            for (cells, &bin) in self.0.iter_mut().zip(&binned.bins[start..start + binned.features]) {
                let at = &mut cells[bin as usize];
                *at = at.minus(cell);
            }
        }
    }

    /// Counts these features only.
    pub(crate) fn add_features<S: Source<Cell = C>>(
        &mut self,
        binned: &BinnedRows,
        source: &S,
        entries: &[S::Entry],
        features: &[usize],
    ) {
        for &entry in entries {
            let cell = source.cell(entry);
            let start = S::row(entry) * binned.features;
            let bins = &binned.bins[start..start + binned.features];
            for &feature in features {
                let at = &mut self.0[feature][bins[feature] as usize];
                *at = at.plus(cell);
            }
        }
    }

    fn plus(mut self, other: Histogram<C>) -> Histogram<C> {
        for (cells, others) in self.0.iter_mut().zip(&other.0) {
            for (cell, &other) in cells.iter_mut().zip(others) {
                *cell = cell.plus(other);
            }
        }
        self
    }

    /// This node's cells without one child's are the other child's.
    pub(crate) fn subtract(mut self, child: &Histogram<C>) -> Histogram<C> {
        for (cells, others) in self.0.iter_mut().zip(&child.0) {
            for (cell, &other) in cells.iter_mut().zip(others) {
                *cell = cell.minus(other);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::{Draw, Unweighted};
    use super::*;

    #[test]
    fn a_sibling_by_subtraction_is_the_sibling_counted() {
        let binned = BinnedRows { features: 2, bins: vec![0, 7, 1, 7, 0, 9, 255, 9] };
        let all =
            [Draw::new(0, 1, true), Draw::new(1, 2, false), Draw::new(2, 3, true), Draw::new(3, 1, false)];
        let of = |entries: &[Draw]| Histogram::of(&binned, &Unweighted, entries, false);
        assert_eq!(of(&all).subtract(&of(&all[..1])), of(&all[1..]));
        let cell = of(&all).0[0][0];
        assert_eq!((cell.rows(), cell.0 as u32), (4, 4));
        let mut second = Histogram::empty(2);
        second.add_features(&binned, &Unweighted, &all, &[1]);
        assert_eq!((second.0[0], second.0[1]), ([Default::default(); BINS], of(&all).0[1]));
    }

    #[test]
    fn counted_in_parallel_is_the_same() {
        let rows = 3 * CHUNK as u32 + 17;
        let binned = BinnedRows {
            features: 3,
            bins: (0..rows * 3).map(|i| (i.wrapping_mul(i) % 251) as u8).collect(),
        };
        let entries: Vec<Draw> = (0..rows).map(|row| Draw::new(row, 1 + row % 3, row % 5 == 0)).collect();
        let of = |parallel| Histogram::of(&binned, &Unweighted, &entries, parallel);
        assert_eq!(of(true), of(false));
    }
}
