//! Rows of features in columns, appended batch by batch.
//!
//! A table is what models learn from and score: numeric columns of `f64` (NaN = missing) and categorical columns of
//! `u32` codes into a dictionary of their own, both held in the narrowest type that has their values to the bit. The codes are given in order of first appearance and mean nothing
//! outside of the table: a model keeps the strings.
//!
//! Invariant: between two [`FeatureTable::finish_append`] calls that succeed, all columns have the same length, and
//! every code is either [`MISSING_CODE`] or an index into its dictionary.

mod by_names;
mod column;
mod size;

use crate::Error;
use crate::seed::derive;
use std::collections::HashMap;
use std::ops::Range;

pub(crate) use column::{CHUNK, CodeColumn, NumberColumn};

/// The code of a missing category.
pub const MISSING_CODE: u32 = u32::MAX;

/// Rows beyond this have no 32-bit index.
const MAX_ROWS: usize = u32::MAX as usize - 1;

/// Codes of one categorical column with the dictionary that gives them meaning.
#[derive(Debug, Clone, Default)]
pub(crate) struct CategoryColumn {
    pub(crate) codes: CodeColumn,
    pub(crate) dictionary: Vec<String>,
    code_of: HashMap<String, u32>,
    /// Of each entry of the dictionary.
    hashes: Vec<u64>,
    /// Dictionary entries that belong to finished rows.
    finished_entries: usize,
}

impl CategoryColumn {
    fn push(&mut self, value: Option<&str>) {
        let code = match value {
            None => MISSING_CODE,
            Some(text) => match self.code_of.get(text) {
                Some(&code) => code,
                None => {
                    // Entries never outnumber rows, whose number finish_append bounds.
                    let code = self.dictionary.len() as u32;
                    self.dictionary.push(text.to_owned());
                    self.hashes
                        .push(text.bytes().fold(text.len() as u64, |hash, byte| derive(hash, byte.into())));
                    self.code_of.insert(text.to_owned(), code);
                    code
                }
            },
        };
        self.codes.push(code);
    }

    /// The code of a category that occurs.
    pub(crate) fn code(&self, name: &str) -> Option<u32> {
        self.code_of.get(name).copied()
    }

    fn truncate(&mut self, rows: usize) {
        self.codes.truncate(rows);
        self.hashes.truncate(self.finished_entries);
        for text in self.dictionary.drain(self.finished_entries..) {
            self.code_of.remove(&text);
        }
    }
}

/// Columns of rows, appended batch by batch. Shape: `rows()` × (numeric + categorical columns).
///
/// An append fills every column with `push_*` and ends with [`finish_append`](FeatureTable::finish_append); rows count
/// only from then on.
///
/// ```
/// use tidemill_ml::FeatureTable;
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec!["place".into()]);
/// table.push_numeric(0, [7.0, f64::NAN]);
/// table.push_category(0, [Some("street"), None]);
/// table.finish_append()?;
/// assert_eq!(table.rows(), 2);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FeatureTable {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    numeric: Vec<NumberColumn>,
    categorical: Vec<CategoryColumn>,
    rows: usize,
    /// After each append that added rows: how many there were, and their fingerprint.
    marks: Vec<(usize, u64)>,
    bad_column: Option<(&'static str, usize)>,
}

impl FeatureTable {
    /// An empty table with these columns.
    pub fn new(numeric_names: Vec<String>, categorical_names: Vec<String>) -> Self {
        FeatureTable {
            numeric: vec![NumberColumn::default(); numeric_names.len()],
            categorical: vec![CategoryColumn::default(); categorical_names.len()],
            numeric_names,
            categorical_names,
            rows: 0,
            marks: Vec::new(),
            bad_column: None,
        }
    }

    /// Finished rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Names of the numeric columns, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.numeric_names
    }

    /// Names of the categorical columns, in order.
    pub fn categorical_names(&self) -> &[String] {
        &self.categorical_names
    }

    /// Appends values to a numeric column. NaN is a missing value; infinities, which no model here can weigh, are
    /// stored as missing too. An unknown column is reported by [`finish_append`](FeatureTable::finish_append).
    pub fn push_numeric(&mut self, column: usize, values: impl IntoIterator<Item = f64>) {
        match self.numeric.get_mut(column) {
            Some(target) => {
                target.extend(values.into_iter().map(|v| if v.is_finite() { v } else { f64::NAN }))
            }
            None => self.bad_column = Some(("numeric", column)),
        }
    }

    /// Appends values to a categorical column; `None` is a missing value, and so not the same as an empty string. An
    /// unknown column is reported by [`finish_append`](FeatureTable::finish_append).
    pub fn push_category<'a>(&mut self, column: usize, values: impl IntoIterator<Item = Option<&'a str>>) {
        match self.categorical.get_mut(column) {
            Some(target) => values.into_iter().for_each(|v| target.push(v)),
            None => self.bad_column = Some(("categorical", column)),
        }
    }

    /// Makes the rows pushed since the last call part of the table.
    ///
    /// # Errors
    ///
    /// If the columns have different lengths, if a push named a column that is not there, or if the table is full. The
    /// table, dictionaries included, is then as it was before the append.
    pub fn finish_append(&mut self) -> Result<(), Error> {
        match self.appended_rows() {
            Ok(rows) => {
                if rows > self.rows {
                    let before = self.marks.last().map_or(0, |mark| mark.1);
                    self.marks.push((rows, before.wrapping_add(self.hash_of(self.rows..rows))));
                }
                self.rows = rows;
                for column in &mut self.categorical {
                    column.finished_entries = column.dictionary.len();
                }
                Ok(())
            }
            Err(error) => {
                self.numeric.iter_mut().for_each(|c| c.truncate(self.rows));
                self.categorical.iter_mut().for_each(|c| c.truncate(self.rows));
                self.bad_column = None;
                Err(error)
            }
        }
    }

    fn appended_rows(&self) -> Result<usize, Error> {
        if let Some((group, column)) = self.bad_column {
            return Err(Error::NoSuchColumn { group, column });
        }
        let names = self.numeric_names.iter().chain(&self.categorical_names);
        let lengths =
            self.numeric.iter().map(NumberColumn::len).chain(self.categorical.iter().map(|c| c.codes.len()));
        let mut rows = None;
        for (name, length) in names.zip(lengths) {
            let expected = *rows.get_or_insert(length);
            if length != expected {
                let column = name.clone();
                return Err(Error::UnequalColumns {
                    column,
                    expected: expected - self.rows,
                    found: length - self.rows,
                });
            }
        }
        match rows.unwrap_or(0) {
            rows if rows > MAX_ROWS => Err(Error::TableFull { limit: MAX_ROWS }),
            rows => Ok(rows),
        }
    }

    /// A hash of the cells of each of these rows, those that are not there left out: rows of the same cells have the same,
    /// and two of a million others are alike once in thirty million tables. Cells are as models see them: 0 and -0 are
    /// one number, and missing is missing.
    pub fn row_hashes(&self, rows: Range<usize>) -> Vec<u64> {
        let rows = rows.start.min(self.rows)..rows.end.min(self.rows);
        let mut hashes = vec![0; rows.len()];
        for column in &self.numeric {
            for (hash, value) in hashes.iter_mut().zip(column.range(rows.clone())) {
                let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
                *hash = derive(*hash, bits);
            }
        }
        for column in &self.categorical {
            for (hash, code) in hashes.iter_mut().zip(column.codes.range(rows.clone())) {
                // A code is one text's for the life of the table.
                *hash = derive(*hash, u64::from(code));
            }
        }
        hashes
    }

    /// Takes note of what is in the first so many rows, and in all of a table that was made of another one: asked for its
    /// fingerprints, it then need not read its cells each time.
    pub(crate) fn mark(&mut self, rows: usize) {
        self.marks.clear();
        let (first, mut sum) = (rows.min(self.rows), 0u64);
        for rows in [0..first, first..self.rows] {
            sum = sum.wrapping_add(self.hash_of(rows.clone()));
            if !rows.is_empty() {
                self.marks.push((rows.end, sum));
            }
        }
    }

    /// A hash of the kinds of columns and of what is in the first so many rows.
    pub(crate) fn fingerprint(&self, rows: usize) -> u64 {
        let of_cells = match self.marks.binary_search_by_key(&rows, |mark| mark.0) {
            Ok(at) => self.marks[at].1,
            Err(at) => {
                let (done, hash) = at.checked_sub(1).map_or((0, 0), |before| self.marks[before]);
                hash.wrapping_add(self.hash_of(done..rows.min(self.rows)))
            }
        };
        derive(of_cells, (self.numeric.len() as u64) << 32 | self.categorical.len() as u64)
    }

    /// A sum over cells, each of which has its place in it, so that it goes on where it stopped.
    fn hash_of(&self, rows: Range<usize>) -> u64 {
        let numeric = self.numeric.iter().map(|column| {
            let values = column.range(rows.clone()).map(f64::to_bits);
            sum_of_places(rows.start, values)
        });
        let categorical = self.categorical.iter().map(|column| {
            let of_code = |code: u32| column.hashes.get(code as usize).copied().unwrap_or(0);
            sum_of_places(rows.start, column.codes.range(rows.clone()).map(of_code))
        });
        let columns = numeric.chain(categorical).zip(0u64..);
        columns.fold(0, |sum, (column, number)| sum.wrapping_add(column.wrapping_mul(2 * number + 1)))
    }

    pub(crate) fn features(&self) -> usize {
        self.numeric.len() + self.categorical.len()
    }

    pub(crate) fn numeric(&self, column: usize) -> &NumberColumn {
        &self.numeric[column]
    }

    pub(crate) fn categorical(&self, column: usize) -> &CategoryColumn {
        &self.categorical[column]
    }

    /// Makes these rows, codes unchanged, those of a table that [`without_rows`](FeatureTable::without_rows) made, with the
    /// values of one feature (numeric ones first) from other rows; the caller has checked the rows.
    pub(crate) fn take_into(&self, taken: &mut FeatureTable, rows: &[u32], feature: usize, from: &[u32]) {
        let rows_of = |of: usize| if of == feature { from } else { rows };
        for (c, (to, column)) in taken.numeric.iter_mut().zip(&self.numeric).enumerate() {
            to.clear();
            to.extend(rows_of(c).iter().map(|&row| column.get(row as usize)));
        }
        let numeric = self.numeric.len();
        for (c, (to, column)) in taken.categorical.iter_mut().zip(&self.categorical).enumerate() {
            to.codes.clear();
            to.codes.extend(rows_of(numeric + c).iter().map(|&row| column.codes.get(row as usize)));
        }
        taken.rows = rows.len();
    }

    /// These rows as a table of their own, in their order; the caller has checked them.
    pub(crate) fn taken(&self, rows: &[u32]) -> FeatureTable {
        let mut taken = FeatureTable::new(self.numeric_names.clone(), self.categorical_names.clone());
        for (to, column) in taken.numeric.iter_mut().zip(&self.numeric) {
            to.extend(rows.iter().map(|&row| column.get(row as usize)));
        }
        for (to, column) in taken.categorical.iter_mut().zip(&self.categorical) {
            *to = CategoryColumn {
                codes: CodeColumn::of(rows.iter().map(|&row| column.codes.get(row as usize))),
                dictionary: column.dictionary.clone(),
                code_of: column.code_of.clone(),
                hashes: column.hashes.clone(),
                finished_entries: column.finished_entries,
            };
        }
        taken.rows = rows.len();
        taken
    }

    /// The table with other columns, as long as its own, in place of some: a numeric one stands where one of its name was,
    /// the others after the last.
    pub(crate) fn replaced(
        &self,
        dropped: &[String],
        mut made: Vec<(String, NumberColumn)>,
    ) -> Result<FeatureTable, Error> {
        let mut numeric: Vec<(String, NumberColumn)> = Vec::new();
        for (name, column) in self.numeric_names.iter().zip(&self.numeric) {
            match made.iter().position(|(made, _)| made == name) {
                Some(at) if dropped.contains(name) => numeric.push(made.remove(at)),
                Some(_) => return Err(Error::RepeatedColumn { column: name.clone() }),
                None if dropped.contains(name) => {}
                None => numeric.push((name.clone(), column.clone())),
            }
        }
        numeric.extend(made);
        let categorical = self.categorical_names.iter().zip(&self.categorical);
        let categorical = categorical.filter(|(name, _)| !dropped.contains(name));
        let (categorical_names, categorical) =
            categorical.map(|(name, column)| (name.clone(), column.clone())).unzip();
        let (numeric_names, numeric) = numeric.into_iter().unzip();
        Ok(FeatureTable {
            numeric_names,
            categorical_names,
            numeric,
            categorical,
            rows: self.rows,
            marks: Vec::new(),
            bad_column: None,
        })
    }

    /// A table without rows whose codes mean what this one's do, for [`take_into`](FeatureTable::take_into).
    pub(crate) fn without_rows(&self) -> FeatureTable {
        let mut table = FeatureTable::new(self.numeric_names.clone(), self.categorical_names.clone());
        for (to, column) in table.categorical.iter_mut().zip(&self.categorical) {
            to.dictionary.clone_from(&column.dictionary);
            to.code_of.clone_from(&column.code_of);
        }
        table
    }

    /// Checks that every row index is in the table.
    pub(crate) fn check_rows(&self, rows: &[u32]) -> Result<(), Error> {
        match rows.iter().find(|&&row| row as usize >= self.rows) {
            Some(&row) => Err(Error::RowOutOfRange { row, rows: self.rows }),
            None => Ok(()),
        }
    }

    /// Checks that every row index is in the table, and that they ascend.
    pub(crate) fn check_training_rows(&self, rows: &[u32]) -> Result<(), Error> {
        self.check_rows(rows)?;
        match rows.windows(2).position(|pair| pair[0] >= pair[1]) {
            Some(before) => Err(Error::RowsNotAscending { position: before + 1 }),
            None => Ok(()),
        }
    }
}

fn sum_of_places(first: usize, values: impl Iterator<Item = u64>) -> u64 {
    values.zip(first as u64..).fold(0, |sum, (value, row)| sum.wrapping_add(derive(value, row)))
}

/// Checks that a table has the features that a model learned, in order.
pub(crate) fn check_names(group: &'static str, model: &[String], table: &[String]) -> Result<(), Error> {
    let show = |name: Option<&String>| name.map_or("absent".to_owned(), |name| format!("{name:?}"));
    match (0..model.len().max(table.len())).find(|&i| model.get(i) != table.get(i)) {
        None => Ok(()),
        Some(position) => {
            let (expected, found) = (show(model.get(position)), show(table.get(position)));
            Err(Error::FeatureMismatch { group, position, expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FeatureTable {
        FeatureTable::new(vec!["x".into()], vec!["c".into()])
    }

    #[test]
    fn codes_follow_first_appearance_and_missing_has_its_own() {
        let mut t = table();
        t.push_numeric(0, [1.0, f64::INFINITY, f64::NAN]);
        t.push_category(0, [Some("b"), None, Some("a")]);
        t.finish_append().unwrap();
        t.push_numeric(0, [2.0]);
        t.push_category(0, [Some("b")]);
        t.finish_append().unwrap();
        assert_eq!(t.rows(), 4);
        assert!(t.categorical(0).codes.range(0..4).eq([0, MISSING_CODE, 1, 0]));
        assert_eq!(t.categorical(0).dictionary, ["b", "a"]);
        assert!(t.numeric(0).range(1..3).all(f64::is_nan), "infinity is missing");
    }

    #[test]
    fn tables_of_the_same_rows_have_the_same_fingerprint_and_no_others() {
        let table = |cells: &[(f64, Option<&str>)], cut: usize| {
            let mut t = table();
            for cells in [&cells[..cut], &cells[cut..]] {
                t.push_numeric(0, cells.iter().map(|cell| cell.0));
                t.push_category(0, cells.iter().map(|cell| cell.1));
                t.finish_append().unwrap();
            }
            t
        };
        let cells = [(1.0, Some("a")), (2.0, None), (f64::NAN, Some("b")), (2.0, Some("a"))];
        let whole = table(&cells, 4);
        for rows in 0..=4 {
            for cut in 0..=4 {
                assert_eq!(table(&cells, cut).fingerprint(rows), whole.fingerprint(rows), "{rows} {cut}");
            }
            assert_eq!(table(&cells[..rows], 0).fingerprint(rows), whole.fingerprint(rows));
        }
        for (row, other) in
            [(0, (1.5, Some("a"))), (1, (2.0, Some("a"))), (2, (3.0, Some("b"))), (3, (2.0, Some("c")))]
        {
            let mut cells = cells;
            cells[row] = other;
            let found = table(&cells, 2);
            assert_eq!(found.fingerprint(row), whole.fingerprint(row));
            assert!((row + 1..=4).all(|rows| found.fingerprint(rows) != whole.fingerprint(rows)), "{row}");
        }
        let swapped = [cells[1], cells[0], cells[2], cells[3]];
        assert_ne!(table(&swapped, 1).fingerprint(4), whole.fingerprint(4));
    }

    #[test]
    fn rows_of_the_same_cells_have_the_same_hash_and_no_others() {
        let mut t = table();
        t.push_numeric(0, [1.0, 0.0, 1.0, 2.0, f64::NAN]);
        t.push_category(0, [Some("a"), None, Some("b"), Some("a"), Some("")]);
        t.finish_append().unwrap();
        t.push_numeric(0, [-0.0, 1.0, f64::INFINITY, 0.0]);
        t.push_category(0, [None, Some("a"), Some(""), Some("")]);
        t.finish_append().unwrap();
        let all = t.row_hashes(0..9);
        let same: Vec<usize> = all.iter().map(|h| all.iter().position(|other| other == h).unwrap()).collect();
        assert_eq!(same, [0, 1, 2, 3, 4, 1, 0, 4, 8]);
        assert_eq!(t.row_hashes(5..99), all[5..]);
        // Which column a value is in counts.
        let mut other = FeatureTable::new(vec!["x".into(), "y".into()], Vec::new());
        other.push_numeric(0, [1.0, 2.0]);
        other.push_numeric(1, [2.0, 1.0]);
        other.finish_append().unwrap();
        let hashes = other.row_hashes(0..2);
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn unequal_columns_leave_rows_and_dictionary_as_they_were() {
        let mut t = table();
        t.push_numeric(0, [1.0]);
        t.push_category(0, [Some("a")]);
        t.finish_append().unwrap();
        t.push_numeric(0, [2.0, 3.0]);
        t.push_category(0, [Some("new")]);
        let error = t.finish_append().unwrap_err();
        assert_eq!(error, Error::UnequalColumns { column: "c".into(), expected: 2, found: 1 });
        t.push_numeric(0, [4.0]);
        t.push_category(0, [Some("newer")]);
        t.finish_append().unwrap();
        assert!(t.rows() == 2 && t.numeric(0).range(0..2).eq([1.0, 4.0]));
        assert_eq!(t.categorical(0).dictionary, ["a", "newer"], "the refused entry is gone");
    }

    #[test]
    fn an_unknown_column_is_an_error_of_the_append() {
        let mut t = table();
        t.push_numeric(0, [1.0]);
        t.push_category(0, [None]);
        t.push_category(7, [None]);
        assert_eq!(t.finish_append().unwrap_err(), Error::NoSuchColumn { group: "categorical", column: 7 });
        assert_eq!(t.rows(), 0);
        t.finish_append().unwrap();
        assert_eq!(t.rows(), 0, "an append without rows is fine");
    }
}
