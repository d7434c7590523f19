//! The text columns of a table as numbers, and what is kept of them between fits.
//!
//! ```text
//! training rows  0 ............... f ....... n        f: n with all but its four leading bits 0
//! numbers of     the other folds   the first f rows
//! ```
//!
//! Categories are counted over the first f training rows. These have the numbers of the other folds, so that none sees its
//! own label; the rows after them, of which none was counted, have those of any row that is scored. Which numbers there are
//! is so a function of the training rows and their labels in their order, and the same while few rows are added: what trees
//! were grown from stays of use to the next fit. Models that learn the same rows and labels with the same seed share them.

use super::bins::{BinnedRows, FeatureBins, TableBins};
use super::categories::{BY_ALL, EncodedColumn, EncodedTarget};
use super::kept::lock;
use super::target::{fold, row_units};
use crate::seed::derive;
use crate::table::FeatureTable;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard};

/// Leading bits of the number of rows that stand. With one more a fit counts anew twice as often, with one less a quarter of
/// the rows may be left out.
const LEADING_BITS: u32 = 4;
/// Up to so many training rows each of them counts.
const ALL_COUNT: u32 = 10;
/// Encodings that are kept side by side: models of other labels or seeds have their own.
const MOST_KEPT: usize = 4;
/// Rows that one task puts.
const BLOCK: usize = 4096;

/// The text columns of a table as numbers.
#[derive(Debug, Clone)]
pub(crate) struct EncodedColumns {
    columns: Vec<EncodedColumn>,
    /// Training rows that were counted, the first ones.
    counted: usize,
    seed: u64,
}

impl EncodedColumns {
    /// Learns from the first of these rows, of which some are of another class than others, or their numbers differ.
    pub(crate) fn fit(
        table: &FeatureTable,
        rows: &[u32],
        weights: Option<&[f64]>,
        target: &EncodedTarget<'_>,
        seed: u64,
    ) -> EncodedColumns {
        let counted = counted(target, rows);
        let first = &rows[..counted];
        let units = weights.map(|weights| row_units(weights, first));
        let folds: Vec<u8> = first.iter().map(|&row| fold(row, seed) as u8).collect();
        let columns = (0..table.categorical_names().len()).into_par_iter();
        let fit = |c| EncodedColumn::fit(table.categorical(c), target, first, units.as_deref(), &folds);
        EncodedColumns { columns: columns.map(fit).collect(), counted, seed }
    }

    /// The bins of all features, of which those of the numeric ones are given.
    pub(crate) fn bins(&self, numeric: &[FeatureBins]) -> TableBins {
        let encoded = self.columns.iter().map(|column| column.bins.clone());
        TableBins(numeric.iter().cloned().chain(encoded).collect())
    }

    /// Puts the bins of these training rows, by position, in place of those that the text columns have.
    pub(crate) fn put_training(&self, table: &FeatureTable, rows: &[u32], binned: &mut BinnedRows) {
        let mut folds = vec![BY_ALL; rows.len()];
        let first = folds.iter_mut().zip(rows).take(self.counted);
        first.for_each(|(of_row, &row)| *of_row = fold(row, self.seed) as u8);
        self.put(table, rows, Some(&folds), binned.features, &mut binned.bins);
    }

    /// The same of rows that are scored.
    pub(crate) fn put_scored(&self, table: &FeatureTable, rows: &[u32], binned: &mut BinnedRows) {
        self.put(table, rows, None, binned.features, &mut binned.bins);
    }

    fn put(&self, table: &FeatureTable, rows: &[u32], folds: Option<&[u8]>, features: usize, out: &mut [u8]) {
        let numeric = features - self.columns.len();
        let columns: Vec<_> =
            self.columns.iter().enumerate().map(|(c, of)| (of, table.categorical(c))).collect();
        let blocks = out.par_chunks_mut(BLOCK * features).zip(rows.par_chunks(BLOCK)).enumerate();
        blocks.for_each(|(block, (out, rows))| {
            let folds = folds.map(|folds| &folds[block * BLOCK..][..rows.len()]);
            for (c, (encoded, column)) in columns.iter().enumerate() {
                let cells = out.iter_mut().skip(numeric + c).step_by(features);
                for (position, (cell, &row)) in cells.zip(rows).enumerate() {
                    let fold = folds.map_or(BY_ALL, |folds| folds[position]);
                    *cell = encoded.bin(column.codes.get(row as usize), fold);
                }
            }
        });
    }
}

/// How many of the rows are counted, the first ones: all of them where these would be of one class.
fn counted(target: &EncodedTarget<'_>, rows: &[u32]) -> usize {
    let counted = leading(rows.len());
    let differ = |is: &dyn Fn(u32) -> bool| rows[..counted].iter().any(|&row| is(row) != is(rows[0]));
    let enough = match *target {
        EncodedTarget::Labels(labels) => differ(&|row| labels[row as usize]),
        EncodedTarget::Classes(labels, _) => {
            rows[..counted].iter().any(|&row| labels[row as usize] != labels[rows[0] as usize])
        }
        // Each has a part of both.
        EncodedTarget::Shares(_) => true,
    };
    if enough { counted } else { rows.len() }
}

fn leading(rows: usize) -> usize {
    match rows.max(1).ilog2() {
        bits if bits < ALL_COUNT => rows,
        bits => rows >> (bits + 1 - LEADING_BITS) << (bits + 1 - LEADING_BITS),
    }
}

/// What is kept of text columns between fits, beside the bins of the same table.
#[derive(Debug, Default)]
pub(crate) struct KeptEncodings(Mutex<Vec<Arc<KeptEncoding>>>);

/// Nothing that a copy would need.
impl Clone for KeptEncodings {
    fn clone(&self) -> KeptEncodings {
        KeptEncodings::default()
    }
}

/// An encoding with the bins of all rows of its table.
#[derive(Debug, Clone)]
pub(crate) struct KeptEncoding {
    columns: EncodedColumns,
    /// Of the rows counted and their labels.
    hash: u64,
    /// Rows of the table, and what is in them.
    rows: usize,
    fingerprint: u64,
    /// Rows, of these the first ones, whose texts are numbers by these columns.
    encoded: usize,
    pub(crate) bins: TableBins,
    /// By row of the table.
    pub(crate) binned: BinnedRows,
}

impl KeptEncodings {
    /// Bytes of memory of the bins.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |all: MutexGuard<'_, Vec<Arc<KeptEncoding>>>| {
            all.iter().map(|kept| kept.binned.bins.len() as u64).sum()
        };
        lock(&self.0).map_or(0, bytes)
    }

    /// The encoding by these training rows, whose numbers have these bins; made where there is none yet.
    pub(crate) fn of(
        &self,
        table: &FeatureTable,
        training: &[u32],
        labels: &[bool],
        seed: u64,
        bins: &TableBins,
    ) -> Arc<KeptEncoding> {
        let target = EncodedTarget::Labels(labels);
        let counted = counted(&target, training);
        let hash = hash(&training[..counted], labels);
        let made = |before: Option<KeptEncoding>| {
            let columns = EncodedColumns::fit(table, training, None, &target, seed);
            Arc::new(match before {
                Some(before) => KeptEncoding { columns, hash, encoded: 0, ..before },
                None => KeptEncoding {
                    columns,
                    hash,
                    rows: 0,
                    fingerprint: 0,
                    encoded: 0,
                    bins: TableBins(Vec::new()),
                    binned: BinnedRows { features: table.features(), bins: Vec::new() },
                },
            })
        };
        let Some(mut all) = lock(&self.0) else {
            return made(None).with_rows(table, training, bins);
        };
        let is_same = |kept: &Arc<KeptEncoding>| {
            (kept.columns.seed, kept.columns.counted, kept.hash) == (seed, counted, hash)
                && kept.is_of_first(table)
        };
        let kept = match all.iter().position(is_same) {
            Some(at) => all.remove(at),
            None => {
                let is_of_now =
                    |kept: &mut Arc<KeptEncoding>| kept.columns.counted == counted && kept.is_of_first(table);
                let mut outdated = all.extract_if(.., |kept| !is_of_now(kept));
                // Its numbers have their bins, and its place is taken.
                let before = outdated.find(|kept| kept.is_of_first(table));
                outdated.for_each(drop);
                made(before.and_then(|kept| Arc::try_unwrap(kept).ok()))
            }
        };
        let kept = kept.with_rows(table, training, bins);
        all.insert(0, Arc::clone(&kept));
        all.truncate(MOST_KEPT);
        kept
    }

    /// The bins of rows that are scored by a model of these bins, if they were made here.
    pub(crate) fn scored(&self, table: &FeatureTable, rows: &[u32], bins: &TableBins) -> Option<BinnedRows> {
        let mut all = lock(&self.0)?;
        let at = all.iter().position(|kept| kept.bins == *bins && kept.is_of_first(table))?;
        // Rows that came since have been counted by none.
        let same = all.remove(at).with_rows(table, &[], bins);
        all.insert(at, Arc::clone(&same));
        drop(all);
        let mut binned = same.binned.take(rows);
        same.columns.put_scored(table, rows, &mut binned);
        Some(binned)
    }
}

impl KeptEncoding {
    /// Whether its rows are the first ones of this table.
    fn is_of_first(&self, table: &FeatureTable) -> bool {
        self.rows <= table.rows() && self.fingerprint == table.fingerprint(self.rows)
    }

    /// The same with the rows that the table has now; those counted are among `training`, the first ones, where their texts
    /// are no numbers yet.
    fn with_rows(
        self: Arc<KeptEncoding>,
        table: &FeatureTable,
        training: &[u32],
        bins: &TableBins,
    ) -> Arc<KeptEncoding> {
        let numeric = &bins.0[..table.numeric_names().len()];
        let stays = self.bins.0.get(..numeric.len()) == Some(numeric) && self.bins.0.len() == bins.0.len();
        if stays && self.encoded == table.rows() {
            return self;
        }
        let mut kept = Arc::unwrap_or_clone(self);
        if !stays {
            (kept.rows, kept.encoded) = (0, 0);
        }
        let rows_from = |first: usize| (first as u32..table.rows() as u32).collect::<Vec<_>>();
        let (added, features) = (rows_from(kept.rows), kept.binned.features);
        kept.binned.bins.truncate(kept.rows * features);
        bins.put_first(numeric.len(), table, &added, kept.binned.grown_by(added.len()));
        let (first, folds) = match kept.encoded {
            0 => (0, Some(kept.columns.folds_of_table(table, training))),
            encoded => (encoded, None),
        };
        let out = &mut kept.binned.bins[first * features..];
        kept.columns.put(table, &rows_from(first), folds.as_deref(), features, out);
        (kept.rows, kept.fingerprint) = (table.rows(), table.fingerprint(table.rows()));
        kept.encoded = kept.rows;
        kept.bins = kept.columns.bins(numeric);
        Arc::new(kept)
    }
}

impl EncodedColumns {
    /// By row of the table, the fold of those that were counted.
    fn folds_of_table(&self, table: &FeatureTable, training: &[u32]) -> Vec<u8> {
        let mut folds = vec![BY_ALL; table.rows()];
        for &row in training.iter().take(self.counted) {
            folds[row as usize] = fold(row, self.seed) as u8;
        }
        folds
    }
}

/// A sum over the rows, each of which has its label and its index in it.
fn hash(rows: &[u32], labels: &[bool]) -> u64 {
    let of_row = |&row: &u32| derive(u64::from(labels[row as usize]), u64::from(row));
    rows.par_chunks(4 * BLOCK)
        .map(|rows| rows.iter().map(of_row).fold(0, u64::wrapping_add))
        .reduce(|| 0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_rows_are_counted_and_they_change_seldom() {
        let (mut last, mut changes) = (0, 0);
        for rows in 0..100_000 {
            let first = leading(rows);
            assert!(first <= rows && (rows - first) * 8 < rows.max(1), "{first} of {rows}");
            assert!(first >= last && (rows >= 1_024 || first == rows));
            changes += usize::from(rows >= 10_000 && first > last);
            last = first;
        }
        assert_eq!([1_024, 1_151, 1_152, 51_500].map(leading), [1_024, 1_024, 1_152, 49_152]);
        assert!(changes < 30, "{changes}");
    }
}
