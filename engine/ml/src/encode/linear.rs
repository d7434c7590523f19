//! Table rows as a linear model sees them: encoders of all features, and blocks of encoded rows.
//!
//! ```text
//! numeric ──NumericScale──> score [, missing 0/1] ─────────┐ dense columns
//! category ──TargetEncoding──> out-of-fold log-odds, score ─┘
//! category ──OneHotEncoding──> index of the column that is 1   (if one-hot is asked for)
//! ```
//!
//! Nothing is stored for each row: a pass encodes a block of rows in cache and works on it there, which at 1M × 14
//! costs less than to write, page in and read 120 MB of matrix.
//!
//! What a fit learned is kept for the next: if its rows are the first ones of the next fit's (checked by number, seed and
//! a fingerprint of 256 of them), only the rows after them are counted, to the same bytes as from nothing.

use super::one_hot::OneHotEncoding;
use super::scale::{ColumnMoments, MOMENT_ROWS, NumericEncoding};
use super::target::{FOLD_LANES, FoldScores, TargetEncoding, fold};
use crate::seed::derive;
use crate::table::{CategoryColumn, FeatureTable, MISSING_CODE};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows of a block.
pub(crate) const BLOCK: usize = 512;
/// Rows looked at to recognise the rows of the fit before.
const FINGERPRINT_ROWS: usize = 256;

/// How categorical features become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CategoryColumns {
    /// One column of log-odds each.
    Target,
    /// A column for each of so many categories.
    OneHot(usize),
}

/// The encoders of all features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinearEncoders {
    numeric: Vec<NumericEncoding>,
    categorical: Vec<CategoryEncoding>,
    progress: Progress,
}

/// How one categorical feature becomes columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum CategoryEncoding {
    /// One of log-odds.
    Target(TargetEncoding),
    /// One a category.
    OneHot(OneHotEncoding),
}

impl CategoryEncoding {
    /// The categories that are told apart.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            CategoryEncoding::Target(encoding) => &encoding.names,
            CategoryEncoding::OneHot(encoding) => encoding.names(),
        }
    }
}

/// What the encoders have been learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Progress {
    rows: u64,
    seed: u64,
    fingerprint: u64,
    /// Of the first whole blocks of rows.
    moments: Vec<ColumnMoments>,
}

/// What the codes of one table mean.
#[derive(Debug, Clone)]
enum Codes {
    Scores(FoldScores),
    /// Column of each code; the last entry is that of missing values.
    Hot(Vec<u32>),
}

/// What a weight belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnMeaning {
    /// What the column says: a feature, a feature's missing values, or one of its categories.
    pub(crate) name: String,
    /// 1 / standard deviation and mean: the column is (value - mean) · inverse.
    pub(crate) inverse: f64,
    pub(crate) mean: f64,
}

impl LinearEncoders {
    /// Learns from these rows, for which one-hot columns need no labels; gives also what the codes of the table mean for them, out of fold.
    pub(crate) fn fit(
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        categories: CategoryColumns,
        before: Option<&LinearEncoders>,
    ) -> (LinearEncoders, TableCodes) {
        let before = before.filter(|before| before.progress.is_of_first(table, labels, rows, seed));
        let done = before.map_or(0, |before| before.progress.rows as usize);
        let moments = before.map(|before| (done / MOMENT_ROWS * MOMENT_ROWS, &before.progress.moments[..]));
        let (numeric, moments) = NumericEncoding::fit_all(table, rows, moments);
        let fit_category = |c: usize| match categories {
            CategoryColumns::Target => {
                let before = before.and_then(|before| match before.categorical.get(c) {
                    Some(CategoryEncoding::Target(encoding)) => Some((done, encoding)),
                    _ => None,
                });
                let (encoding, scores) =
                    TargetEncoding::fit(table.categorical(c), labels, rows, seed, before);
                (CategoryEncoding::Target(encoding), Codes::Scores(scores))
            }
            CategoryColumns::OneHot(max_categories) => {
                let encoding = OneHotEncoding::fit(table.categorical(c), rows, max_categories);
                let codes = hot_codes(&encoding, table.categorical(c), None);
                (CategoryEncoding::OneHot(encoding), codes)
            }
        };
        let columns = (0..table.categorical_names().len()).into_par_iter();
        let (categorical, codes) = columns.map(fit_category).unzip();
        let fingerprint = fingerprint(table, labels, rows);
        let progress = Progress { rows: rows.len() as u64, seed, fingerprint, moments };
        (LinearEncoders { numeric, categorical, progress }, TableCodes { codes, seed })
    }

    /// What the codes of a table mean for rows that are scored.
    pub(crate) fn table_codes(&self, table: &FeatureTable, rows: &[u32]) -> TableCodes {
        let encode = |c: usize| {
            let column = table.categorical(c);
            match &self.categorical[c] {
                CategoryEncoding::Target(encoding) => {
                    let mut scores = vec![[0.0; FOLD_LANES]; column.dictionary.len() + 1];
                    each_code(column, rows, |code, name| scores[code] = [encoding.score(name); FOLD_LANES]);
                    Codes::Scores(scores)
                }
                CategoryEncoding::OneHot(encoding) => hot_codes(encoding, column, Some(rows)),
            }
        };
        TableCodes { codes: (0..self.categorical.len()).into_par_iter().map(encode).collect(), seed: 0 }
    }

    /// Of the numeric features, in order.
    pub(crate) fn numeric(&self) -> &[NumericEncoding] {
        &self.numeric
    }

    /// Of the categorical features, in order.
    pub(crate) fn categorical(&self) -> &[CategoryEncoding] {
        &self.categorical
    }

    /// Dense columns: scores of numbers with their indicators, then of categories.
    pub(crate) fn dense(&self) -> usize {
        let indicators = self.numeric.iter().filter(|encoding| encoding.indicator.is_some()).count();
        let targets = self.categorical.iter().filter(|e| matches!(e, CategoryEncoding::Target(_))).count();
        self.numeric.len() + indicators + targets
    }

    /// All columns: the dense ones, then those of the one-hot features.
    pub(crate) fn columns(&self) -> usize {
        let hot = self.categorical.iter().map(|encoding| match encoding {
            CategoryEncoding::Target(_) => 0,
            CategoryEncoding::OneHot(encoding) => encoding.columns(),
        });
        self.dense() + hot.sum::<usize>()
    }

    /// 1 / standard deviation of each column.
    pub(crate) fn inverses(&self) -> Vec<f64> {
        let names = |count: usize| vec![String::new(); count];
        let meanings = self.meanings(&names(self.numeric.len()), &names(self.categorical.len()));
        meanings.into_iter().map(|meaning| meaning.inverse).collect()
    }

    /// What each column means, in order.
    pub(crate) fn meanings(&self, numeric: &[String], categorical: &[String]) -> Vec<ColumnMeaning> {
        let scaled = |name: String, scale: &super::scale::NumericScale| ColumnMeaning {
            name,
            inverse: scale.inverse(),
            mean: scale.mean(),
        };
        let mut meanings = Vec::with_capacity(self.columns());
        for (encoding, name) in self.numeric.iter().zip(numeric) {
            meanings.push(scaled(name.clone(), &encoding.value));
            meanings
                .extend(encoding.indicator.iter().map(|scale| scaled(format!("{name} is missing"), scale)));
        }
        for (encoding, name) in self.categorical.iter().zip(categorical) {
            match encoding {
                CategoryEncoding::Target(encoding) => {
                    meanings.push(scaled(format!("{name} (log-odds)"), encoding.scale()));
                }
                CategoryEncoding::OneHot(encoding) => {
                    meanings.extend((0..encoding.columns()).map(|column| ColumnMeaning {
                        name: match encoding.stands_for(column) {
                            Ok(Some(category)) => format!("{name} = {category}"),
                            Ok(None) => format!("{name} is missing"),
                            Err(()) => format!("{name} is another"),
                        },
                        inverse: 1.0,
                        mean: 0.0,
                    }));
                }
            }
        }
        meanings
    }

    /// The weights of an earlier model by the columns of this one: 0 for columns that it did not have. `None` if the
    /// columns of the two mean different things.
    pub(crate) fn carry_weights(&self, earlier: &LinearEncoders, weights: &[f64]) -> Option<Vec<f64>> {
        let same_numeric = self.numeric.len() == earlier.numeric.len()
            && self
                .numeric
                .iter()
                .zip(&earlier.numeric)
                .all(|(a, b)| a.indicator.is_some() == b.indicator.is_some());
        if !same_numeric || self.categorical.len() != earlier.categorical.len() {
            return None;
        }
        let (mut from, mut carried) = (self.dense(), weights.get(..self.dense())?.to_vec());
        for pair in self.categorical.iter().zip(&earlier.categorical) {
            match pair {
                (CategoryEncoding::Target(_), CategoryEncoding::Target(_)) => {}
                (CategoryEncoding::OneHot(now), CategoryEncoding::OneHot(before)) => {
                    let block = weights.get(from..from + before.columns())?;
                    carried.extend((0..now.columns()).map(|column| match now.stands_for(column) {
                        // A category that had no column begins at the weight it shared.
                        Ok(name) => block[before.column(name)],
                        Err(()) => block[before.columns() - 1],
                    }));
                    from += before.columns();
                }
                _ => return None,
            }
        }
        Some(carried)
    }

    /// Whether the encoders are as `fit` makes them for so many features.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.numeric.len() == numeric
            && self.categorical.len() == categorical
            && self.progress.moments.len() == numeric
            && self.progress.moments.iter().all(ColumnMoments::is_valid)
            && self.numeric.iter().all(NumericEncoding::is_valid)
            && self.categorical.iter().all(|encoding| match encoding {
                CategoryEncoding::Target(encoding) => encoding.is_valid(),
                CategoryEncoding::OneHot(encoding) => encoding.is_valid(),
            })
    }
}

impl Progress {
    fn is_of_first(&self, table: &FeatureTable, labels: &[bool], rows: &[u32], seed: u64) -> bool {
        let first = usize::try_from(self.rows).ok().and_then(|count| rows.get(..count));
        self.seed == seed
            && self.moments.len() == table.numeric_names().len()
            && first.is_some_and(|first| fingerprint(table, labels, first) == self.fingerprint)
    }
}

/// A hash of [`FINGERPRINT_ROWS`] of the rows, evenly spread.
fn fingerprint(table: &FeatureTable, labels: &[bool], rows: &[u32]) -> u64 {
    let mut hash = rows.len() as u64;
    let taken = rows.len().min(FINGERPRINT_ROWS);
    for i in 0..taken {
        let row = rows[((i + 1) * rows.len() / taken) - 1];
        hash = derive(hash ^ u64::from(row), u64::from(labels.get(row as usize).copied().unwrap_or(false)));
        for c in 0..table.numeric_names().len() {
            hash = derive(hash, table.numeric(c).get(row as usize).to_bits());
        }
        for c in 0..table.categorical_names().len() {
            let column = table.categorical(c);
            let name = column.dictionary.get(column.codes.get(row as usize) as usize);
            hash = derive(hash, name.map_or(u64::MAX, |name| u64::from(crc32fast::hash(name.as_bytes()))));
        }
    }
    hash
}

/// Calls with each code that occurs, and its category; missing values have the code after the last.
pub(crate) fn each_code(column: &CategoryColumn, rows: &[u32], mut call: impl FnMut(usize, Option<&str>)) {
    let missing = column.dictionary.len();
    let mut seen = vec![false; missing + 1];
    for &row in rows {
        let code = (column.codes.get(row as usize) as usize).min(missing);
        if !seen[code] {
            seen[code] = true;
            call(code, column.dictionary.get(code).map(String::as_str));
        }
    }
}

/// Columns of the codes that occur in these rows, or of all.
fn hot_codes(encoding: &OneHotEncoding, column: &CategoryColumn, rows: Option<&[u32]>) -> Codes {
    let mut columns = vec![0; column.dictionary.len() + 1];
    // Columns are counted in u32: no more than rows, and two.
    let mut put = |code: usize, name: Option<&str>| columns[code] = encoding.column(name) as u32;
    match rows {
        Some(rows) => each_code(column, rows, put),
        None => {
            let names = column.dictionary.iter().map(|name| Some(name.as_str()));
            names.chain([None]).enumerate().for_each(|(code, name)| put(code, name));
        }
    }
    Codes::Hot(columns)
}

/// What the codes of a table mean to a model.
#[derive(Debug, Clone)]
pub(crate) struct TableCodes {
    codes: Vec<Codes>,
    seed: u64,
}

/// Rows of a table as encoded columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Design<'a> {
    pub(crate) encoders: &'a LinearEncoders,
    pub(crate) codes: &'a TableCodes,
    pub(crate) table: &'a FeatureTable,
    /// A label a row of the table; empty for rows that are scored.
    pub(crate) labels: &'a [bool],
    pub(crate) rows: &'a [u32],
}

/// Encoded rows; those past `len` are all 0.
pub(crate) struct Block {
    pub(crate) len: usize,
    /// The dense columns, then one that is 1 in every row.
    pub(crate) dense: Vec<[f64; BLOCK]>,
    /// For each one-hot feature, the column (of all) that is 1.
    pub(crate) hot: Vec<[u32; BLOCK]>,
    /// 1 or 0.
    pub(crate) labels: [f64; BLOCK],
    folds: [u8; BLOCK],
}

impl Design<'_> {
    /// Room for a block.
    pub(crate) fn new_block(&self) -> Block {
        let hot = self.codes.codes.iter().filter(|codes| matches!(codes, Codes::Hot(_))).count();
        Block {
            len: 0,
            dense: vec![[0.0; BLOCK]; self.encoders.dense() + 1],
            hot: vec![[0; BLOCK]; hot],
            labels: [0.0; BLOCK],
            folds: [0; BLOCK],
        }
    }

    /// Sum of the squares of each column over all rows: of the dense columns, the one of 1, and the one-hot columns.
    pub(crate) fn squares(&self) -> Vec<f64> {
        let mut squares = vec![0.0; self.encoders.columns() + 1];
        let mut block = self.new_block();
        for first in (0..self.rows.len()).step_by(BLOCK) {
            self.fill(&mut block, first, (first + BLOCK).min(self.rows.len()));
            for (sum, column) in squares.iter_mut().zip(&block.dense) {
                *sum += column.iter().map(|v| v * v).sum::<f64>();
            }
            for hot in &block.hot {
                hot[..block.len].iter().for_each(|&column| squares[column as usize + 1] += 1.0);
            }
        }
        squares
    }

    /// Encodes rows by position, at most [`BLOCK`] of them.
    pub(crate) fn fill(&self, block: &mut Block, first: usize, end: usize) {
        let rows = &self.rows[first..end];
        if rows.len() < BLOCK {
            block.dense.iter_mut().for_each(|column| column.fill(0.0));
            block.hot.iter_mut().for_each(|column| column.fill(0));
            block.labels.fill(0.0);
        }
        block.len = rows.len();
        let neighbours = rows.windows(2).all(|pair| pair[0].wrapping_add(1) == pair[1]);
        let mut dense = block.dense.iter_mut();
        let mut hot = block.hot.iter_mut();
        for (c, encoding) in self.encoders.numeric.iter().enumerate() {
            let values = self.table.numeric(c);
            let Some(column) = dense.next() else { return };
            // Rows without a gap are one copy.
            match (neighbours, rows.first()) {
                (true, Some(&first)) => values.put_from(first as usize, &mut column[..rows.len()]),
                _ => values.put(rows, column),
            }
            if let Some(scale) = &encoding.indicator
                && let Some(indicator) = dense.next()
            {
                let (known, missing) = (scale.score(0.0), scale.score(1.0));
                for (score, value) in indicator.iter_mut().zip(&column[..rows.len()]) {
                    *score = if value.is_nan() { missing } else { known };
                }
            }
            encoding.value.put_scores(&mut column[..rows.len()]);
        }
        if self.codes.codes.iter().any(|codes| matches!(codes, Codes::Scores(_))) {
            for (lane, &row) in block.folds.iter_mut().zip(rows) {
                *lane = fold(row, self.codes.seed) as u8;
            }
        }
        let mut offset = self.encoders.dense();
        let mut values = [0; BLOCK];
        for (c, codes) in self.codes.codes.iter().enumerate() {
            self.table.categorical(c).codes.put(rows, &mut values);
            match codes {
                Codes::Scores(scores) => {
                    let (Some(column), missing) = (dense.next(), scores.len() - 1) else { return };
                    let cells = column[..rows.len()].iter_mut().zip(&values);
                    for ((score, &code), &fold) in cells.zip(&block.folds) {
                        let code = (code as usize).min(missing);
                        *score = f64::from(scores[code][usize::from(fold) % FOLD_LANES]);
                    }
                }
                Codes::Hot(columns) => {
                    let (Some(column), missing) = (hot.next(), columns.len() - 1) else { return };
                    for (index, &code) in column[..rows.len()].iter_mut().zip(&values) {
                        let code = (code as usize).min(missing);
                        *index = offset as u32 + columns[code];
                    }
                    if let Some(CategoryEncoding::OneHot(encoding)) = self.encoders.categorical.get(c) {
                        offset += encoding.columns();
                    }
                }
            }
        }
        if let Some(ones) = dense.next() {
            ones[..rows.len()].fill(1.0);
        }
        if !self.labels.is_empty() {
            for (label, &row) in block.labels.iter_mut().zip(rows) {
                *label = f64::from(u8::from(self.labels[row as usize]));
            }
        }
    }
}

const _: () = assert!(MISSING_CODE as usize >= u32::MAX as usize, "a missing code is past every dictionary");
