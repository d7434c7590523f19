//! One file, cleaned: its form's SELECT run over batch after batch of text cells.
//!
//! A column that the SELECT calls `_format of X` is not of the table: it says in which form the cell X is written, and
//! must say the same in all rows of a file. A form that allows several in one column (a spreadsheet's dates) leaves it out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use chrono::{DateTime, Utc};

use super::csv_file::{BadRow, CsvFile, LINE, text_schema};
use super::input::joined;
use crate::error::{Context, Error, Result};
use crate::project::{Form, Forms};
use crate::rowwise::RowSql;

const FORMAT_OF: &str = "_format of ";
const FILE: &str = "_file";

/// A file whose form is known, open at its next row.
pub struct CleanFile {
    csv: CsvFile,
    form: Form,
    key: String,
    /// Columns of `input`.
    columns: Vec<String>,
    sql: RowSql,
    schema: SchemaRef,
    /// By heading: the form of its cells so far, and the line of the first.
    formats: BTreeMap<String, (String, u64)>,
    now: DateTime<Utc>,
}

/// Some rows of a file, cleaned.
pub struct CleanBatch {
    /// The table's columns, and `_file` and `_line` behind them.
    pub rows: RecordBatch,
    /// Rows of the file that were read for it.
    pub read: u64,
    /// Rows that were left out, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl CleanFile {
    /// Opens a file, recognises its form and checks the form's SQL.
    ///
    /// # Errors
    /// User: there is no such file, it is of no known form, the SQL is no row-wise SELECT; Data: it cannot be read.
    pub async fn open(path: &Path, forms: &Forms) -> Result<CleanFile> {
        let csv = CsvFile::open(path)?;
        let place = || format!("{}, line {}", csv.path().display(), csv.header_line());
        let form = forms.recognise(csv.header()).context_with(place)?.clone();
        let columns = form.columns();
        let sql = RowSql::new(&form.sql, "input", text_schema(&columns), &[LINE])
            .await
            .context_with(|| form.path.clone())?;
        // Whether a column can be null is the planner's guess: forms may differ in it.
        let published = sql.schema().fields().iter().filter(|field| is_published(field.name()));
        let published = published.map(|field| Field::new(field.name(), field.data_type().clone(), true));
        let behind = [Field::new(FILE, DataType::Utf8, false), Field::new(LINE, DataType::Int64, false)];
        let schema = Arc::new(Schema::new(published.chain(behind).collect::<Vec<_>>()));
        if schema.column_with_name(&forms.key).is_none() {
            return Err(Error::user(format!("{} has no column `{}`, the table's key", form.path, forms.key)));
        }
        let (key, formats) = (forms.key.clone(), BTreeMap::new());
        Ok(CleanFile { csv, form, key, columns, sql, schema, formats, now: Utc::now() })
    }

    /// The form that the file has.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The file as it was named.
    pub fn path(&self) -> &Path {
        self.csv.path()
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// Data, with line and column: a row or cell that cannot be read, a second form of cells in a column that allows one.
    pub async fn next_batch(&mut self) -> Result<Option<CleanBatch>> {
        let Some(text) = self.csv.next_batch(&self.columns)? else { return Ok(None) };
        let rows = match self.sql.run_strict(&text, self.now).await {
            Ok(rows) => rows,
            Err((at, reason)) => return Err(self.located(&text, at, reason).await),
        };
        self.check_formats(&rows)?;
        let filtered = text.num_rows().saturating_sub(rows.num_rows());
        self.complete(&rows, text.num_rows(), filtered).map(Some)
    }

    /// The next rows; those that cannot be read, or whose cells are of another form than those above, go to `bad`. `None` at
    /// the end.
    ///
    /// # Errors
    /// Data: what keeps the file from being read on.
    pub(super) async fn next_good(&mut self, bad: &mut Vec<BadRow>) -> Result<Option<CleanBatch>> {
        let Some(text) = self.csv.next_of(&self.columns, Some(bad))? else { return Ok(None) };
        let output = self.sql.run(&text, self.now).await?;
        for (at, error) in &output.failed {
            let found = self.first_bad(&text, *at).await;
            let (column, reason) =
                found.map_or((None, error.clone()), |(column, reason)| (Some(column), reason));
            let reason = reason.trim_start_matches("Arrow error: ").to_owned();
            bad.push(BadRow {
                line: line_of(&text, *at),
                column,
                reason,
                payload: joined(&text, *at, b',', Some(b'"')),
            });
        }
        let mut rows = output.rows;
        let filtered = text.num_rows().saturating_sub(rows.num_rows() + output.failed.len());
        let others = self.other_formats(&rows)?;
        if !others.is_empty() {
            let lines: Vec<u64> = (0..text.num_rows()).map(|at| line_of(&text, at)).collect();
            for (at, (column, reason)) in &others {
                let line = line_of(&rows, *at);
                let payload = lines
                    .binary_search(&line)
                    .map(|at| joined(&text, at, b',', Some(b'"')))
                    .unwrap_or_default();
                bad.push(BadRow { line, column: Some(column.clone()), reason: reason.clone(), payload });
            }
            let good: BooleanArray = (0..rows.num_rows()).map(|at| Some(!others.contains_key(&at))).collect();
            rows = filter_record_batch(&rows, &good)?;
        }
        let read = rows.num_rows() + filtered;
        self.complete(&rows, read, filtered).map(Some)
    }

    /// The table's columns of what the SELECT has made of `read` rows.
    fn complete(&self, rows: &RecordBatch, read: usize, filtered: usize) -> Result<CleanBatch> {
        let mut dropped = BTreeMap::new();
        count(&mut dropped, "filtered", filtered);

        let path = self.path().to_string_lossy();
        let file: ArrayRef =
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(path.as_ref(), rows.num_rows())));
        let columns = self.schema.fields().iter().map(|field| match field.name().as_str() {
            FILE => Ok(file.clone()),
            name => {
                rows.column_by_name(name).cloned().ok_or_else(|| Error::internal(format!("no column {name}")))
            }
        });
        let whole = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_>>()?)?;
        let keyed = match whole.column_by_name(&self.key) {
            Some(key) if key.null_count() > 0 => filter_record_batch(&whole, &is_not_null(key)?)?,
            _ => whole,
        };
        count(&mut dropped, &format!("no {}", self.key), rows.num_rows() - keyed.num_rows());
        Ok(CleanBatch { rows: keyed, read: read as u64, dropped })
    }

    /// Each `_format of` column says the same in all rows so far.
    fn check_formats(&mut self, rows: &RecordBatch) -> Result<()> {
        match self.other_formats(rows)?.into_iter().next() {
            None => Ok(()),
            Some((at, (heading, reason))) => Err(Error::data(reason)
                .context(format!(
                    "{}, line {}, column {heading}",
                    self.csv.path().display(),
                    line_of(rows, at)
                ))
                .hint(self.cell_hint())),
        }
    }

    /// Rows in which a `_format of` column says something else than in the first one: by their place, the heading and why.
    fn other_formats(&mut self, rows: &RecordBatch) -> Result<BTreeMap<usize, (String, String)>> {
        let mut others = BTreeMap::new();
        let schema = rows.schema();
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            let Some(heading) = field.name().strip_prefix(FORMAT_OF) else { continue };
            let column = cast(column, &DataType::Utf8)?;
            let words = column.as_string::<i32>().iter().enumerate();
            for (word, at) in words.filter_map(|(at, word)| Some((word?, at))) {
                let line = line_of(rows, at);
                let (first, above) =
                    self.formats.entry(heading.to_owned()).or_insert_with(|| (word.to_owned(), line));
                if first != word {
                    let reason = format!("two formats in one column: {word} here, {first} on line {above}");
                    others.entry(at).or_insert((heading.to_owned(), reason));
                }
            }
        }
        Ok(others)
    }

    /// The first cell of row `at` that the SQL refuses, by its heading, and why: it is given the cells from the left on.
    async fn first_bad(&mut self, text: &RecordBatch, at: usize) -> Option<(String, String)> {
        let row = text.slice(at, 1);
        let columns = self.columns.len();
        for index in 0..columns {
            let cells = row.columns().iter().enumerate().map(|(i, cell)| match i > index && i < columns {
                true => new_null_array(&DataType::Utf8, 1),
                false => cell.clone(),
            });
            let cut = RecordBatch::try_new(row.schema(), cells.collect()).ok()?;
            if let Err((_, why)) = self.sql.run_strict(&cut, self.now).await {
                return Some((self.columns[index].clone(), why));
            }
        }
        None
    }

    /// The error of row `at`, with the place of the first cell that the SQL refuses.
    async fn located(&mut self, text: &RecordBatch, at: usize, reason: String) -> Error {
        let mut place = format!("{}, line {}", self.path().display(), line_of(text, at));
        let mut reason = reason;
        if let Some((heading, why)) = self.first_bad(text, at).await {
            place.push_str(&format!(", column {heading}"));
            // What the rows above have says more than that a cell is wrong.
            if let Ok(above) = self.sql.run_strict(&text.slice(0, at), self.now).await
                && let Err(earlier) = self.check_formats(&above)
            {
                return earlier;
            }
            let cell = text.column_by_name(&heading).and_then(|cells| cells.as_string_opt::<i32>());
            reason = match (self.formats.get(&heading), cell) {
                (Some((format, above)), Some(cells)) => {
                    format!(
                        "`{}` is not {format}, the one format of this column (see line {above})",
                        cells.value(at)
                    )
                }
                _ => why,
            };
        }
        Error::data(reason).context(place).hint(self.cell_hint())
    }

    fn cell_hint(&self) -> String {
        format!(
            "mend the cell, or empty it: an empty cell is a null; or on_error = \"dead_letter\". The file has the form `{}` ({}), and {} says what may be in it",
            self.form.name,
            self.form.description.trim_end_matches('.'),
            self.form.path
        )
    }
}

/// The line of a row in its file.
fn line_of(rows: &RecordBatch, at: usize) -> u64 {
    let lines = rows.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
    lines.map_or(0, |lines| u64::try_from(lines.value(at)).unwrap_or(0))
}

fn is_published(column: &str) -> bool {
    column != LINE && column != FILE && !column.starts_with(FORMAT_OF)
}

pub(super) fn count(dropped: &mut BTreeMap<String, u64>, reason: &str, rows: usize) {
    if rows > 0 {
        *dropped.entry(reason.to_owned()).or_default() += rows as u64;
    }
}

#[cfg(test)]
mod tests;
