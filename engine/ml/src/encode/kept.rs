//! Bins kept between fits, so that a row is binned once and not at every fit.
//!
//! ```text
//! training rows  0 ........ m ....... 1.25 m ...... 1.5 m ...... 1.75 m ...... 2 m
//! bins           made here    checked       checked       checked        made anew (m doubles)
//! ```
//!
//! Which bins there are is a function of the training rows so far, in their order, and of nothing else: not of how they
//! were split in batches, nor of how many fits there were. A fit that is given no kept bins makes them by the same rules,
//! and so the same model.
//!
//! - Below [`FIRST`] rows, which are as many as there are bins, the bins are made of all rows at every fit.
//! - From then on they are made of the first m rows, m being the largest [`FIRST`] · 2ᵏ that is not above their number. So
//!   they are made anew when the number of rows has doubled.
//! - At m plus one, two and three quarters of m the rows since the last such point are compared with those that the bins
//!   were made of, feature by feature: a feature has left its bins if its population stability index (sum over groups of
//!   (q - p)·ln(q / p), p and q being the group's share before and since; Siddiqi 2006) is above [`LIMIT`], and above what
//!   so few rows have by chance. Groups are runs of neighbouring bins with a sixteenth of the rows or more, and by
//!   themselves the missing values and the categories without a bin of their own: so a feature that moves on, a new category
//!   and a column that fills up are all seen. That feature's bins are then made anew of all rows up to that point.

use super::bins::{BINS, BinnedRows, FeatureBins, MISSING_BIN, OTHER_BIN, TableBins};
use super::encoded::{KeptEncoding, KeptEncodings};
use crate::Error;
use crate::seed::derive;
use crate::table::FeatureTable;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Training rows from which on bins are kept. Measured on rows of `tests/peers/ml/data.py` just before they double, 300
/// to 15,900, five samples each: AUC of trees, forests and boosting as with bins of all rows, or higher.
const FIRST: usize = 256;
/// Population stability index from which on a feature has left its bins: the usual mark of a significant shift.
const LIMIT: f64 = 0.25;
/// Groups that bins are put together to: the smallest share of a group is 1 / this.
const GROUPS: u64 = 16;

/// Bins of a [`FeatureTable`]'s rows that are kept beside it and shared by all models that learn from it: one byte a feature and
/// row, once for models that take each category as a number and once for those that take it as it is, if there are such.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptBins {
    state: Option<State>,
    /// Made when a fit asks for them.
    encodings: KeptEncodings,
}

#[derive(Debug, Clone)]
struct State {
    bins: TableBins,
    /// Rows by bin among those that each feature's bins were made of.
    reference: Vec<[u64; BINS]>,
    /// Training rows that the bins were made of.
    made_of: usize,
    /// Training rows up to which features were checked.
    checked: usize,
    /// Training rows seen, and a hash of their indices.
    training: usize,
    hash: u64,
    /// Rows of the table, and what is in them.
    rows: usize,
    fingerprint: u64,
    /// By row of the table; made when a fit asks for them.
    binned: KeptRows,
}

/// Bins of all rows of a table, once they were asked for.
#[derive(Debug, Default)]
struct KeptRows(Mutex<Option<Arc<BinnedRows>>>);

impl Clone for KeptRows {
    fn clone(&self) -> KeptRows {
        KeptRows(Mutex::new(lock(&self.0).and_then(|rows| rows.clone())))
    }
}

impl KeptRows {
    /// Those that there are; they may be changed.
    fn get_mut(&mut self) -> Option<&mut BinnedRows> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().map(Arc::make_mut)
    }
}

/// What is kept; who asks for the same waits, so that it is made once. A thread of the pool does not wait: it may have been
/// given this work while it waits for its own, and hold the lock.
pub(super) fn lock<T>(kept: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    if rayon::current_thread_index().is_none() {
        return Some(kept.lock().unwrap_or_else(PoisonError::into_inner));
    }
    match kept.try_lock() {
        Ok(all) => Some(all),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl KeptBins {
    /// Bins of no rows yet.
    pub(crate) fn new() -> KeptBins {
        KeptBins::default()
    }

    /// Takes up the rows that were added to the table, of which `training` are those to learn from, strictly ascending.
    /// The rows of the table and the training rows that were given before are to be there still, and first; if they are not,
    /// all is begun anew.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`], [`Error::RowOutOfRange`] and [`Error::RowsNotAscending`]; nothing has then changed.
    pub(crate) fn extend(&mut self, table: &FeatureTable, training: &[u32]) -> Result<(), Error> {
        if table.features() == 0 {
            return Err(Error::NoFeatures);
        }
        table.check_training_rows(training)?;
        self.state = Some(State::extended(self.state.take(), table, training));
        Ok(())
    }

    /// Rows of the table that have bins.
    pub(crate) fn rows(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.rows)
    }

    /// Bytes of memory of the bins.
    pub(crate) fn bytes(&self) -> u64 {
        let as_they_are = self.state.as_ref().and_then(|state| lock(&state.binned.0)?.clone());
        as_they_are.map_or(0, |binned| binned.bins.len() as u64) + self.encodings.bytes()
    }

    /// Training rows that the bins were made of: a feature that left its bins later has been made anew of more.
    #[cfg(test)]
    fn made_of(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.made_of)
    }

    /// The bins, if these are the rows that they were last extended to, and those of the table's rows.
    pub(crate) fn of(&self, table: &FeatureTable, training: &[u32]) -> Option<(&TableBins, Arc<BinnedRows>)> {
        let state = self.learns(table, training)?;
        let mut kept = lock(&state.binned.0)?;
        let made = || Arc::new(state.bins.transform(table, &every_row(table)));
        Some((&state.bins, Arc::clone(kept.get_or_insert_with(made))))
    }

    /// The same with each category as a number.
    pub(crate) fn encoded(
        &self,
        table: &FeatureTable,
        training: &[u32],
        labels: &[bool],
        seed: u64,
    ) -> Option<Arc<KeptEncoding>> {
        let state = self.learns(table, training)?;
        Some(self.encodings.of(table, training, labels, seed, &state.bins))
    }

    /// What is known of the rows, if they were last extended to these.
    fn learns(&self, table: &FeatureTable, training: &[u32]) -> Option<&State> {
        let state = self.state.as_ref()?;
        let same = state.is_of(table) && state.training == training.len() && state.hash == hash(0, training);
        same.then_some(state)
    }

    /// The bins of these rows: of those kept, if there are any of this table, else made.
    pub(crate) fn binned(
        kept: Option<&KeptBins>,
        bins: &TableBins,
        table: &FeatureTable,
        rows: &[u32],
    ) -> BinnedRows {
        let kept = kept.and_then(|kept| kept.with(table, bins, rows));
        kept.unwrap_or_else(|| bins.transform(table, rows))
    }

    /// The bins of these rows, if they are of those that a model learned.
    fn with(&self, table: &FeatureTable, bins: &TableBins, rows: &[u32]) -> Option<BinnedRows> {
        let state = self.state.as_ref().filter(|state| state.is_of(table))?;
        match state.bins == *bins {
            true => {
                // Held no longer than it takes to find them: models that learn at the same time take theirs side by side.
                let binned = lock(&state.binned.0)?.clone()?;
                Some(binned.take(rows))
            }
            false => self.encodings.scored(table, rows, bins),
        }
    }
}

/// The bins that a fit on these rows uses, and the bins of the rows by position.
pub(crate) fn bins_of(table: &FeatureTable, training: &[u32]) -> (TableBins, BinnedRows) {
    let bins = State::extended(None, table, training).bins;
    let binned = bins.transform(table, training);
    (bins, binned)
}

/// The rows of a table.
fn every_row(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

impl State {
    /// Whether these are the bins of all rows of this table.
    fn is_of(&self, table: &FeatureTable) -> bool {
        self.rows == table.rows() && self.begins(table)
    }

    /// Whether these are the bins of its first rows.
    fn begins(&self, table: &FeatureTable) -> bool {
        self.rows <= table.rows()
            && self.bins.0.len() == table.features()
            && self.fingerprint == table.fingerprint(self.rows)
    }

    fn extended(before: Option<State>, table: &FeatureTable, training: &[u32]) -> State {
        let made_of = made_of(training.len());
        let continues = |state: &State| {
            state.made_of == made_of
                && state.begins(table)
                && training.get(..state.training).is_some_and(|rows| hash(0, rows) == state.hash)
        };
        let mut state = match before.filter(continues) {
            Some(mut state) => {
                if let Some(binned) = state.binned.get_mut() {
                    let added: Vec<u32> = (state.rows as u32..table.rows() as u32).collect();
                    state.bins.put(table, &added, binned.grown_by(added.len()));
                }
                state.hash = hash(state.hash, &training[state.training..]);
                state.training = training.len();
                state
            }
            None => State {
                bins: TableBins::fit(table, &training[..made_of]),
                reference: Vec::new(),
                made_of,
                checked: made_of,
                training: training.len(),
                hash: hash(0, training),
                rows: 0,
                fingerprint: 0,
                binned: KeptRows::default(),
            },
        };
        (state.rows, state.fingerprint) = (table.rows(), table.fingerprint(table.rows()));
        state.check(table, training);
        state
    }

    /// Compares and, where need be, makes anew at every point that was not yet come to.
    fn check(&mut self, table: &FeatureTable, training: &[u32]) {
        if self.made_of < FIRST {
            return;
        }
        let features = self.bins.0.len();
        for quarter in 1..4 {
            let point = self.made_of + quarter * (self.made_of / 4);
            if point <= self.checked || point > training.len() {
                continue;
            }
            if self.reference.is_empty() {
                self.reference = self.counts(table, &training[..self.made_of], 0..features);
            }
            let since = self.counts(table, &training[self.checked..point], 0..features);
            for (feature, since) in since.iter().enumerate() {
                if has_left(&self.reference[feature], since) {
                    self.bins.0[feature] = FeatureBins::fit(table, feature, &training[..point]);
                    self.put_column(table, feature);
                    self.reference[feature] = self.counts(table, &training[..point], feature..feature + 1)[0];
                }
            }
            self.checked = point;
        }
    }

    /// These rows by bin of these features.
    fn counts(&self, table: &FeatureTable, rows: &[u32], features: Range<usize>) -> Vec<[u64; BINS]> {
        let of_feature = |feature: usize| {
            let mut counts = [0; BINS];
            let bins = self.bins.0[feature].column(table, feature, rows);
            bins.into_iter().for_each(|bin| counts[bin as usize] += 1);
            counts
        };
        features.into_par_iter().map(of_feature).collect()
    }

    fn put_column(&mut self, table: &FeatureTable, feature: usize) {
        if let Some(binned) = self.binned.get_mut() {
            let column = self.bins.0[feature].column(table, feature, &every_row(table));
            let cells = binned.bins.iter_mut().skip(feature).step_by(binned.features);
            cells.zip(column).for_each(|(cell, bin)| *cell = bin);
        }
    }
}

/// How many of so many training rows the bins are made of.
fn made_of(training: usize) -> usize {
    match training / FIRST {
        0 => training,
        times => FIRST << times.ilog2(),
    }
}

/// A hash of row indices that can go on where it stopped.
fn hash(before: u64, rows: &[u32]) -> u64 {
    rows.iter().fold(before, |hash, &row| derive(hash, u64::from(row)))
}

/// Whether rows since are spread over the bins as those before were not.
fn has_left(before: &[u64; BINS], since: &[u64; BINS]) -> bool {
    let groups = groups(before, since);
    let [rows, rows_since] = [before, since].map(|counts| counts.iter().sum::<u64>() as f64);
    // Of rows spread alike, the index over (1 / rows + 1 / rows since) is chi-squared (Yurdakul 2018): mean and deviation.
    let freedom = groups.len() as f64 - 1.0;
    let by_chance = (freedom + 5.0 * (2.0 * freedom).sqrt()) * (1.0 / rows + 1.0 / rows_since);
    stability_index(&groups) > LIMIT.max(by_chance)
}

/// Rows before and since, by group.
fn groups(before: &[u64; BINS], since: &[u64; BINS]) -> Vec<(u64, u64)> {
    let total: u64 = before.iter().sum();
    let mut groups = vec![(0u64, 0u64)];
    for bin in 0..BINS {
        let alone = bin == MISSING_BIN as usize || bin == OTHER_BIN as usize;
        if groups.last().is_some_and(|last| alone || last.0 * GROUPS >= total) {
            groups.push((0, 0));
        }
        if let Some(last) = groups.last_mut() {
            *last = (last.0 + before[bin], last.1 + since[bin]);
        }
    }
    groups
}

fn stability_index(groups: &[(u64, u64)]) -> f64 {
    let all = |of: fn(&(u64, u64)) -> u64| groups.iter().map(of).sum::<u64>() as f64;
    let (before, since) = (all(|group| group.0), all(|group| group.1));
    // Half a row to each group: an empty one has a share, too.
    let share = |rows: u64, all: f64| (rows as f64 + 0.5) / (all + 0.5 * groups.len() as f64);
    groups
        .iter()
        .map(|&(p, q)| (share(p, before), share(q, since)))
        .map(|(p, q)| (q - p) * (q / p).ln())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that moves far after `shift` rows, a steady one, and a category that is new then.
    fn table(rows: usize, shift: usize) -> FeatureTable {
        let mut table = FeatureTable::new(vec!["moves".into(), "steady".into()], vec!["kind".into()]);
        append(&mut table, 0, rows, shift);
        table
    }

    fn append(table: &mut FeatureTable, from: usize, to: usize, shift: usize) {
        let random = |row: usize, of: u64| derive(of, row as u64) as f64 / u64::MAX as f64;
        table.push_numeric(0, (from..to).map(|row| random(row, 1) + if row < shift { 0.0 } else { 5.0 }));
        table.push_numeric(1, (from..to).map(|row| random(row, 2)));
        table.push_category(
            0,
            (from..to).map(|row| Some(if row < shift { ["a", "b"][row % 2] } else { "new" })),
        );
        table.finish_append().unwrap();
    }

    #[test]
    fn bins_are_made_anew_when_the_rows_have_doubled() {
        let made = [0, 1, 255, 256, 500, 511, 512, 1_023, 30_000, 32_768, 1_000_000].map(made_of);
        assert_eq!(made, [0, 1, 255, 256, 256, 256, 512, 512, 16_384, 32_768, 524_288]);
    }

    #[test]
    fn a_feature_that_leaves_its_bins_is_made_anew_and_no_other_is() {
        let all: Vec<u32> = (0..32_000).collect();
        let table = table(32_000, 20_000);
        let (bins, binned) = bins_of(&table, &all);
        let first = TableBins::fit(&table, &all[..16_384]);
        assert_eq!(bins.0[1], first.0[1], "the steady one is kept");
        // The last point is 16,384 + 3 · 4,096, and there the rows since are still not as those before.
        let point = TableBins::fit(&table, &all[..28_672]);
        assert!(bins.0[0] == point.0[0] && bins.0[2] == point.0[2]);
        assert_eq!(binned.bins, bins.transform(&table, &all).bins, "all rows have the new bins");
        assert!(bins_of(&table, &all[..20_479]).0 == first, "no point was come to");
        assert!(bins_of(&table, &all[..20_480]).0.0[0] == FeatureBins::fit(&table, 0, &all[..20_480]));
    }

    #[test]
    fn few_rows_that_are_spread_alike_are_not_taken_for_others() {
        let mut made_anew = 0;
        for seed in 0..200 {
            let mut table = FeatureTable::new(vec!["steady".into(), "moves".into()], vec![]);
            let random = |row: usize| derive(seed, row as u64) as f64 / u64::MAX as f64;
            table.push_numeric(0, (0..500).map(random));
            table.push_numeric(1, (0..500).map(|row| random(row) + if row < 256 { 0.0 } else { 0.7 }));
            table.finish_append().unwrap();
            let all: Vec<u32> = (0..500).collect();
            let (bins, _) = bins_of(&table, &all);
            let first = TableBins::fit(&table, &all[..256]);
            made_anew += usize::from(bins.0[0] != first.0[0]);
            assert!(bins.0[1] != first.0[1], "what moves is seen in 64 rows, too");
        }
        assert!(made_anew <= 2, "{made_anew} of 600 looks at nothing");
    }

    #[test]
    fn bins_do_not_depend_on_the_batches() {
        let shift = 40_000;
        let sizes = [10, 9_000, 16_384, 20_000, 24_000, 33_000, 45_000, 47_000, 70_000];
        let holdout = |row: &u32| row % 5 != 3;
        let mut grown = table(0, shift);
        let mut kept = KeptBins::new();
        let mut from = 0;
        for to in sizes {
            append(&mut grown, from, to, shift);
            from = to;
            let training: Vec<u32> = (0..to as u32).filter(holdout).collect();
            kept.extend(&grown, &training).unwrap();
            let mut once = KeptBins::new();
            once.extend(&grown, &training).unwrap();
            let (bins, binned) = kept.of(&grown, &training).unwrap();
            let (expected, expected_rows) = once.of(&grown, &training).unwrap();
            assert!(bins == expected && binned.bins == expected_rows.bins, "{to} rows");
            let (cold, cold_rows) = bins_of(&grown, &training);
            assert_eq!(bins, &cold);
            let gathered: Vec<u8> =
                training.iter().flat_map(|&row| binned.row(row as usize).to_vec()).collect();
            assert_eq!(gathered, cold_rows.bins);
            assert_eq!((kept.rows(), kept.made_of()), (to, made_of(training.len())));
        }
    }

    #[test]
    fn other_rows_than_those_kept_are_not_taken_for_them() {
        let table = table(500, 500);
        let mut kept = KeptBins::new();
        assert!(kept.of(&table, &[]).is_none());
        kept.extend(&table, &[1, 2, 400]).unwrap();
        assert!(kept.of(&table, &[1, 2, 400]).is_some());
        assert!(kept.of(&table, &[1, 3, 400]).is_none() && kept.of(&table, &[1, 2]).is_none());
        // Rows that were not given before: begun anew.
        kept.extend(&table, &[0, 2, 300]).unwrap();
        assert_eq!(kept.of(&table, &[0, 2, 300]).unwrap().0, &TableBins::fit(&table, &[0, 2, 300]));
        assert_eq!(kept.extend(&table, &[500]), Err(Error::RowOutOfRange { row: 500, rows: 500 }));
        assert_eq!(kept.extend(&table, &[5, 5]), Err(Error::RowsNotAscending { position: 1 }));
        assert_eq!(kept.extend(&FeatureTable::new(vec![], vec![]), &[]), Err(Error::NoFeatures));
        assert!(kept.of(&table, &[0, 2, 300]).is_some(), "an error changes nothing");
        // Another table without rows, whose columns are others.
        let mut kept_none = KeptBins::new();
        kept_none.extend(&FeatureTable::new(vec!["x".into()], vec!["c".into()]), &[]).unwrap();
        let mut numbers = FeatureTable::new(vec!["x".into(), "y".into()], vec![]);
        (0..2).for_each(|c| numbers.push_numeric(c, [1.0, 2.0]));
        numbers.finish_append().unwrap();
        kept_none.extend(&numbers, &[]).unwrap();
        assert_eq!(kept_none.of(&numbers, &[]).unwrap().1.rows(), 2);
        // Another table of the same shape, and one that begins otherwise.
        let bins = kept.of(&table, &[0, 2, 300]).unwrap().0.clone();
        for (rows, shift) in [(500, 499), (600, 0)] {
            let mut other = self::table(rows, shift);
            assert!(kept.of(&other, &[0, 2, 300]).is_none() && kept.with(&other, &bins, &[0]).is_none());
            append(&mut other, rows, rows + 1, shift);
            let mut after = kept.clone();
            after.extend(&other, &[0, 2, 300]).unwrap();
            let mut once = KeptBins::new();
            once.extend(&other, &[0, 2, 300]).unwrap();
            let rows = |kept: &KeptBins| kept.of(&other, &[0, 2, 300]).unwrap().1.bins.clone();
            assert_eq!(rows(&after), rows(&once));
        }
    }

    #[test]
    fn the_index_is_that_of_its_formula() {
        let (mut before, mut since) = ([0; BINS], [0; BINS]);
        (before[0], before[255], since[0], since[255]) = (8_000, 2_000, 2_000, 8_000);
        // Of .8 to .2 and back; the two empty groups are as nothing.
        let expected = 2.0 * 0.6 * 4f64.ln();
        assert!((stability_index(&groups(&before, &since)) - expected).abs() < 1e-2);
        assert!(stability_index(&groups(&before, &before.map(|n| n / 3))) < 1e-3);
    }
}
