//! A categorical feature as one number that trees split: the log-odds of the label in each category, cross-fitted.
//!
//! Counts, folds and smoothing are those of [`target`](super::target), but for how far few rows are trusted: a linear model
//! has one weight for all categories of a column, and wants rare ones near the prior; a tree sees by its counts what is
//! rare. By `tests/peers/ml/splits.py` trees and boosting are better with one row of the prior than with ten, or three, at
//! 2,000 rows above all.
//!
//! A category has few numbers, one by each fold that it is left out of and one by all rows, and so few bins: they are
//! looked up by code and fold, never worked out by row.

use super::bins::{FeatureBins, PaddedEdges, edges_of};
use super::target::{FOLD_LANES, FOLDS, FoldCounts, MAX_KEPT, TargetEncoding, Trust, WEIGHED_ROW};
use crate::table::{CategoryColumn, MISSING_CODE};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far a tree trusts the rows of a category.
const TRUST: Trust = Trust { smoothing: 1.0, min_rows: 1 };
/// In place of a fold: the row is encoded as one that is scored.
pub(crate) const BY_ALL: u8 = FOLDS as u8;

/// What categories are made numbers of, by row of the table.
#[derive(Clone, Copy)]
pub(crate) enum EncodedTarget<'a> {
    Labels(&'a [bool]),
    /// One of so many classes. A category becomes the number of one class against all others: of the class whose share the
    /// categories of the column differ in most, by the sum of squares between them.
    Classes(&'a [u32], u32),
    /// What [`share_of`](super::target::share_of) makes of numbers. A category's log-odds are then of the smoothed mean
    /// share, which orders categories as the smoothed mean of the target does.
    Shares(&'a [u32]),
}

/// The number of each category.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CategoryNumbers {
    /// Ascending, so that a look-up is a binary search and the same model has the same bytes.
    names: Vec<String>,
    /// Of `names`, in that order.
    numbers: Vec<f32>,
    missing: f32,
    /// Of a category that is none of the names.
    unseen: f32,
}

/// One text column as a model learned it, and what becomes of the codes of the table that it learned from.
#[derive(Debug, Clone)]
pub(crate) struct EncodedColumn {
    pub(crate) bins: FeatureBins,
    /// Bins by code, then those of a missing value: by fold, and last those of rows that are scored.
    of_codes: Vec<[u8; FOLD_LANES]>,
    /// Of codes that came later.
    unseen: u8,
}

/// What trees of earlier versions had.
impl From<TargetEncoding> for CategoryNumbers {
    fn from(encoding: TargetEncoding) -> CategoryNumbers {
        let numbers = encoding.names.iter().map(|name| encoding.score(Some(name))).collect();
        let (missing, unseen) = (encoding.score(None), encoding.unseen_score());
        CategoryNumbers { names: encoding.names, numbers, missing, unseen }
    }
}

impl PartialEq for CategoryNumbers {
    fn eq(&self, other: &CategoryNumbers) -> bool {
        let CategoryNumbers { names, numbers, missing, unseen } = self;
        // Models that go on from each other often have the same ones.
        std::ptr::eq(self, other)
            || (missing, unseen) == (&other.missing, &other.unseen)
                && *numbers == other.numbers
                && *names == other.names
    }
}

impl CategoryNumbers {
    /// The categories that have a number of their own, ascending.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a category, or of a missing value.
    pub(crate) fn of(&self, name: Option<&str>) -> f32 {
        match name.map(|name| self.names.binary_search_by(|kept| kept.as_str().cmp(name))) {
            None => self.missing,
            Some(Ok(at)) => self.numbers[at],
            Some(Err(_)) => self.unseen,
        }
    }

    /// The number of a category that is none of [`names`](CategoryNumbers::names).
    pub(crate) fn unseen(&self) -> f32 {
        self.unseen
    }

    /// The number of each category of a column, by code; the last is that of a missing value.
    pub(crate) fn by_code(&self, column: &CategoryColumn) -> Vec<f32> {
        let mut numbers = vec![self.unseen; column.dictionary.len() + 1];
        // Names are looked up among the codes, which are hashed, not the codes among the names.
        for (name, number) in self.names.iter().zip(&self.numbers) {
            if let Some(code) = column.code(name) {
                numbers[code as usize] = *number;
            }
        }
        numbers[column.dictionary.len()] = self.missing;
        numbers
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.names.len() == self.numbers.len()
            && self.names.windows(2).all(|w| w[0] < w[1])
            && self.numbers.iter().chain([&self.missing, &self.unseen]).all(|number| number.is_finite())
    }
}

impl EncodedColumn {
    /// Learns from these rows, whose folds and, where they weigh differently, units are by position. There is more than one
    /// class among them.
    pub(super) fn fit(
        column: &CategoryColumn,
        target: &EncodedTarget<'_>,
        rows: &[u32],
        units: Option<&[u64]>,
        folds: &[u8],
    ) -> EncodedColumn {
        let fold = |position: usize| usize::from(folds[position]);
        let of_label = |is: bool, units: u64| units * u64::from(is);
        let units_of_row = units.map_or(1, |_| WEIGHED_ROW);
        let counts = match *target {
            EncodedTarget::Labels(labels) => {
                let positives = |row: u32, units: u64| of_label(labels[row as usize], units);
                FoldCounts::of(column, rows, (units_of_row, units), fold, positives)
            }
            EncodedTarget::Classes(labels, classes) => {
                let class = told_apart(column, labels, classes, rows);
                let positives = |row: u32, units: u64| of_label(labels[row as usize] == class, units);
                FoldCounts::of(column, rows, (units_of_row, units), fold, positives)
            }
            EncodedTarget::Shares(shares) => {
                // Below 2^20 of units of up to 2^48: by way of 128 bits.
                let positives = |row: u32, units: u64| {
                    (u128::from(units) * u128::from(shares[row as usize]) / u128::from(WEIGHED_ROW)) as u64
                };
                FoldCounts::of(column, rows, (WEIGHED_ROW, units), fold, positives)
            }
        };
        EncodedColumn::of(column, &counts, rows, folds)
    }

    fn of(column: &CategoryColumn, counts: &FoldCounts, rows: &[u32], folds: &[u8]) -> EncodedColumn {
        let missing = column.dictionary.len();
        let unseen = counts.unseen(TRUST);
        let mut numbers = vec![[unseen; FOLD_LANES]; missing + 1];
        for (code, numbers) in numbers.iter_mut().enumerate().filter(|(code, _)| counts.occurs(*code)) {
            numbers[..FOLDS].copy_from_slice(&counts.out_of_fold(code, TRUST));
            numbers[usize::from(BY_ALL)] = counts.by_all(code, TRUST);
        }
        let mut kept: Vec<usize> = (0..missing).filter(|&code| counts.occurs(code)).collect();
        if kept.len() > MAX_KEPT {
            kept.retain(|&code| counts.has_two_rows(code));
            let mut is_kept = vec![false; missing];
            kept.iter().for_each(|&code| is_kept[code] = true);
            let dropped = numbers.iter_mut().zip(is_kept).filter(|(_, is_kept)| !is_kept);
            dropped.for_each(|(numbers, _)| numbers[usize::from(BY_ALL)] = unseen);
        }
        let edges = edges_of(&counts_of_numbers(column, &numbers, rows, folds));
        let padded = PaddedEdges::new(&edges);
        let of_codes = numbers.iter().map(|of| of.map(|number| padded.bin(f64::from(number)))).collect();
        let unseen_bin = padded.bin(f64::from(unseen));
        let by_all = |code: usize| numbers[code][usize::from(BY_ALL)];
        let kept = by_name(column, kept);
        let numbers = CategoryNumbers {
            numbers: kept.iter().map(|&code| by_all(code)).collect(),
            names: kept.into_iter().map(|code| column.dictionary[code].clone()).collect(),
            missing: by_all(missing),
            unseen,
        };
        let bins = FeatureBins::Numbered { numbers: Arc::new(numbers), edges };
        EncodedColumn { bins, of_codes, unseen: unseen_bin }
    }

    /// The bin of a code in a fold, or by all rows.
    pub(super) fn bin(&self, code: u32, fold: u8) -> u8 {
        let missing = self.of_codes.len() - 1;
        let at = if code == MISSING_CODE { missing } else { code as usize };
        match self.of_codes.get(at).filter(|_| at < missing || code == MISSING_CODE) {
            Some(bins) => bins[usize::from(fold) % FOLD_LANES],
            None => self.unseen,
        }
    }
}

/// How many rows have each number, ascending: as single precision orders them, its zeros as one.
fn counts_of_numbers(
    column: &CategoryColumn,
    numbers: &[[f32; FOLD_LANES]],
    rows: &[u32],
    folds: &[u8],
) -> Vec<(f64, usize)> {
    let missing = column.dictionary.len();
    let mut cells = vec![[0u32; FOLD_LANES]; missing + 1];
    for (&row, &fold) in rows.iter().zip(folds) {
        cells[(column.codes.get(row as usize) as usize).min(missing)][usize::from(fold)] += 1;
    }
    let each = numbers.iter().flatten().zip(cells.iter().flatten()).filter(|(_, rows)| **rows > 0);
    let mut counts: Vec<(f32, u32)> = each.map(|(number, rows)| (number + 0.0, *rows)).collect();
    counts.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let groups = counts.chunk_by(|a, b| a.0 == b.0);
    groups.map(|of| (f64::from(of[0].0), of.iter().map(|(_, rows)| *rows as usize).sum())).collect()
}

/// Codes by the names that they stand for.
fn by_name(column: &CategoryColumn, codes: Vec<usize>) -> Vec<usize> {
    // By the first bytes of the names, which then lie side by side, and only where these are the same by all of them.
    let first_bytes = |code: usize| {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(column.dictionary[code].as_bytes()).for_each(|(byte, of)| *byte = *of);
        (u128::from_be_bytes(bytes), code)
    };
    let mut named: Vec<(u128, usize)> = codes.into_iter().map(first_bytes).collect();
    named.sort_unstable_by(|&(a, at), &(b, bt)| {
        a.cmp(&b).then_with(|| column.dictionary[at].cmp(&column.dictionary[bt]))
    });
    named.into_iter().map(|(_, code)| code).collect()
}

/// The class whose share the categories of a column differ in most: of the greatest sum of squares between them, the first
/// of equals. Rows count the same.
fn told_apart(column: &CategoryColumn, labels: &[u32], classes: u32, rows: &[u32]) -> u32 {
    let mut cells: Vec<(u32, u32)> =
        rows.iter().map(|&row| (column.codes.get(row as usize), labels[row as usize])).collect();
    cells.sort_unstable();
    // Sum over categories of rows of the class² / rows: more by the same for all, it is the sum of squares between.
    let (mut worths, mut totals) = (vec![0.0; classes as usize], vec![0.0; classes as usize]);
    for category in cells.chunk_by(|a, b| a.0 == b.0) {
        for of_class in category.chunk_by(|a, b| a.1 == b.1) {
            let count = of_class.len() as f64;
            worths[of_class[0].1 as usize] += count * count / category.len() as f64;
            totals[of_class[0].1 as usize] += count;
        }
    }
    let mut best = (f64::NEG_INFINITY, 0);
    for (class, (worth, total)) in (0u32..).zip(worths.iter().zip(&totals)) {
        let between = worth - total * total / rows.len() as f64;
        if between > best.0 {
            best = (between, class);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeatureTable;
    use crate::encode::bins::TableBins;
    use crate::encode::target::fold;

    fn column(names: &[Option<&str>]) -> FeatureTable {
        let mut table = FeatureTable::new(vec![], vec!["c".into()]);
        table.push_category(0, names.iter().copied());
        table.finish_append().unwrap();
        table
    }

    /// Names of 40 categories, some of them missing, and labels.
    fn rows() -> (FeatureTable, Vec<bool>) {
        let names: Vec<String> = (0..2_000usize).map(|i| format!("k{}", i * i % 41)).collect();
        let table =
            column(&names.iter().map(|n| Some(n.as_str()).filter(|n| *n != "k4")).collect::<Vec<_>>());
        (table, (0..2_000).map(|i| i % 7 < 3 || i * i % 41 > 30).collect())
    }

    #[test]
    fn a_category_has_the_log_odds_of_its_rows_and_one_of_the_prior() {
        let table = column(&[Some("a"), Some("a"), Some("b"), Some("c"), None, None, Some("unseen")]);
        let labels = [true, true, false, false, true, false, false];
        let rows = [0, 1, 2, 3, 4, 5];
        let folds: Vec<u8> = rows.iter().map(|&row| fold(row, 1) as u8).collect();
        let encoded =
            EncodedColumn::fit(table.categorical(0), &EncodedTarget::Labels(&labels), &rows, None, &folds);
        let FeatureBins::Numbered { numbers, .. } = &encoded.bins else { panic!("numbers") };
        // Prior 1/2: (2 + .5) / (0 + .5), (0 + .5) / (1 + .5), and even odds for what says nothing.
        let found = [Some("a"), Some("b"), None, Some("unseen")].map(|name| numbers.of(name));
        let expected = [5f32.ln(), (1f32 / 3.0).ln(), 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(numbers.by_code(table.categorical(0)), [found[0], found[1], found[1], 0.0, 0.0]);
    }

    #[test]
    fn bins_are_those_of_the_numbers_and_no_row_sees_its_own_label() {
        let (table, mut labels) = rows();
        let all: Vec<u32> = (0..1_500).collect();
        let folds: Vec<u8> = all.iter().map(|&row| fold(row, 1) as u8).collect();
        let fit = |labels: &[bool]| {
            EncodedColumn::fit(table.categorical(0), &EncodedTarget::Labels(labels), &all, None, &folds)
        };
        let encoded = fit(&labels);
        let bins = TableBins(vec![encoded.bins.clone()]);
        assert!(bins.is_valid(0));
        let scored: Vec<u32> = (0..2_000).collect();
        let codes = &table.categorical(0).codes;
        let found: Vec<u8> = codes.range(0..2_000).map(|code| encoded.bin(code, BY_ALL)).collect();
        assert_eq!(bins.transform(&table, &scored).bins, found);
        assert_eq!(
            bins.transform(&table, &[7, 3]).bins,
            [found[7], found[3]],
            "few rows are looked up by name"
        );
        assert_eq!(encoded.bin(1_000, 0), encoded.unseen, "a code that came later");
        // The row's label, exchanged with that of another category in its fold: the prior stays.
        let other = all.iter().find(|&&r| {
            folds[r as usize] == folds[10]
                && codes.get(r as usize) != codes.get(10)
                && labels[r as usize] != labels[10]
        });
        let number = |labels: &[bool]| {
            let of = |row: u32, units: u64| units * u64::from(labels[row as usize]);
            let fold = |position: usize| usize::from(folds[position]);
            let counts = FoldCounts::of(table.categorical(0), &all, (1, None), fold, of);
            counts.out_of_fold(codes.get(10) as usize, TRUST)[usize::from(folds[10])]
        };
        let before = number(&labels);
        labels.swap(10, *other.unwrap() as usize);
        assert_eq!(number(&labels), before);
    }

    #[test]
    fn trees_of_earlier_versions_read_the_same_numbers() {
        #[derive(Serialize)]
        #[allow(dead_code)]
        enum Before<'a> {
            Numeric,
            Categorical,
            Encoded { encoding: &'a TargetEncoding, edges: &'a [f64] },
        }
        let (table, labels) = rows();
        let all: Vec<u32> = (0..1_500).collect();
        let (encoding, _) = TargetEncoding::fit(table.categorical(0), &labels, &all, 1, None);
        let before = Before::Encoded { encoding: &encoding, edges: &[-0.5, 0.25] };
        let read: FeatureBins = postcard::from_bytes(&postcard::to_stdvec(&before).unwrap()).unwrap();
        let FeatureBins::Numbered { numbers, edges } = &read else { panic!("numbers") };
        assert_eq!(edges, &[-0.5, 0.25]);
        for name in [Some("k1"), Some("k40"), None, Some("unseen")] {
            assert_eq!(numbers.of(name), encoding.score(name));
        }
        let again: FeatureBins = postcard::from_bytes(&postcard::to_stdvec(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }
}
