//! Cells by bin of one feature, for a node of so few entries that most bins have none.

use super::cell::{Cell, Source};
use crate::encode::bins::{BINS, BinnedRows, MISSING_BIN};

/// What a feature of a node counts, and which of its bins have rows.
pub(crate) struct FewCounts<C> {
    cells: [C; BINS],
    /// A bit a bin.
    present: [u64; BINS / 64],
}

impl<C: Cell> FewCounts<C> {
    pub(crate) fn none() -> FewCounts<C> {
        FewCounts { cells: [C::default(); BINS], present: [0; BINS / 64] }
    }

    /// Counts a feature, where nothing is counted yet.
    pub(crate) fn add<S: Source<Cell = C>>(
        &mut self,
        binned: &BinnedRows,
        source: &S,
        entries: &[S::Entry],
        feature: usize,
    ) {
        for &entry in entries {
            let bin = binned.bins[S::row(entry) * binned.features + feature];
            let at = &mut self.cells[bin as usize];
            *at = at.plus(source.cell(entry));
            self.present[bin as usize / 64] |= 1 << (bin % 64);
        }
    }

    pub(crate) fn cells(&self) -> &[C; BINS] {
        &self.cells
    }

    /// Bins of values that have rows, and the first, ascending, written into an array.
    pub(crate) fn value_bins<'a>(&self, bins: &'a mut [u8; BINS]) -> &'a [u8] {
        let mut present = self.present;
        present[0] |= 1;
        let mut count = 0;
        for bin in set_bits(present).filter(|bin| *bin != MISSING_BIN) {
            bins[count] = bin;
            count += 1;
        }
        &bins[..count]
    }

    /// Bins that have rows, also that of missing values, ascending.
    pub(crate) fn bins(&self) -> impl Iterator<Item = u8> {
        set_bits(self.present)
    }

    /// Forgets what was counted.
    pub(crate) fn clear(&mut self) {
        set_bits(self.present).for_each(|bin| self.cells[bin as usize] = C::default());
        self.present = [0; BINS / 64];
    }
}

fn set_bits(words: [u64; BINS / 64]) -> impl Iterator<Item = u8> {
    let of_word = |(first, mut word): (u8, u64)| {
        std::iter::from_fn(move || {
            let bit = word.trailing_zeros();
            word &= word.wrapping_sub(1);
            (bit < 64).then(|| first + bit as u8)
        })
    };
    [0, 64, 128, 192].into_iter().zip(words).flat_map(of_word)
}

#[cfg(test)]
mod tests {
    use super::super::cell::{Count, Draw, Unweighted};
    use super::*;

    #[test]
    fn bins_with_rows_are_known_and_forgotten() {
        let binned = BinnedRows { features: 2, bins: vec![9, 70, 9, 70, 9, 64, 9, 255] };
        let entries: Vec<Draw> = (0..4).map(|row| Draw::new(row, 1 + row, true)).collect();
        let mut counts = FewCounts::<Count>::none();
        counts.add(&binned, &Unweighted, &entries, 1);
        assert_eq!(counts.bins().collect::<Vec<_>>(), [64, 70, 255]);
        assert_eq!(counts.value_bins(&mut [0; BINS]), [0, 64, 70]);
        assert_eq!([0, 64, 70, 255].map(|bin| counts.cells()[bin].rows()), [0, 3, 3, 4]);
        counts.clear();
        assert!(counts.cells().iter().all(|cell| cell.rows() == 0) && counts.bins().next().is_none());
        counts.add(&binned, &Unweighted, &entries, 0);
        assert_eq!((counts.value_bins(&mut [0; BINS]), counts.cells()[9].rows()), (&[0, 9][..], 10));
    }
}
