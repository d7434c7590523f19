//! One file, cleaned: its form's SELECT run over batch after batch of text cells.
//!
//! A column that the SELECT calls `_format of X` is not of the table: it says in which form the cell X is written, and
//! must say the same in all rows of a file. A form that allows several in one column (a spreadsheet's dates) leaves it out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use chrono::{DateTime, Utc};

use super::csv_file::{CsvFile, LINE, text_schema};
use super::form::{Form, Forms};
use crate::error::{Context, Error, Result};
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
    formats: BTreeMap<String, (String, i64)>,
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
        let form = forms.recognise(&csv)?.clone();
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
        let read = text.num_rows();
        let mut dropped = BTreeMap::new();
        count(&mut dropped, "filtered", read.saturating_sub(rows.num_rows()));

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
        Ok(Some(CleanBatch { rows: keyed, read: read as u64, dropped }))
    }

    /// Each `_format of` column says the same in all rows so far.
    fn check_formats(&mut self, rows: &RecordBatch) -> Result<()> {
        let schema = rows.schema();
        let lines = rows.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            let Some(heading) = field.name().strip_prefix(FORMAT_OF) else { continue };
            let column = cast(column, &DataType::Utf8)?;
            let words = column.as_string::<i32>().iter().enumerate();
            for (word, at) in words.filter_map(|(at, word)| Some((word?, at))) {
                let line = lines.map_or(0, |lines| lines.value(at));
                let (first, above) =
                    self.formats.entry(heading.to_owned()).or_insert_with(|| (word.to_owned(), line));
                if first != word {
                    return Err(Error::data(format!(
                        "two formats in one column: {word} here, {first} on line {above}"
                    ))
                    .context(format!("{}, line {line}, column {heading}", self.csv.path().display()))
                    .hint(self.cell_hint()));
                }
            }
        }
        Ok(())
    }

    /// The place of the first cell of row `at` that the SQL refuses, found by giving it the cells from the left one by one.
    async fn located(&mut self, text: &RecordBatch, at: usize, reason: String) -> Error {
        let row = text.slice(at, 1);
        let line = row.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
        let line = line.map_or(0, |lines| lines.value(0));
        let mut place = format!("{}, line {line}", self.path().display());
        let mut reason = reason;
        for (index, heading) in self.columns.iter().enumerate() {
            let cells =
                row.columns().iter().enumerate().map(|(i, cell)| match i > index && i < self.columns.len() {
                    true => new_null_array(&DataType::Utf8, 1),
                    false => cell.clone(),
                });
            let Ok(cut) = RecordBatch::try_new(row.schema(), cells.collect()) else { break };
            let Err((_, why)) = self.sql.run_strict(&cut, self.now).await else { continue };
            let heading = heading.clone();
            place.push_str(&format!(", column {heading}"));
            // What the rows above have says more than that a cell is wrong.
            if let Ok(above) = self.sql.run_strict(&text.slice(0, at), self.now).await
                && let Err(earlier) = self.check_formats(&above)
            {
                return earlier;
            }
            reason = match (self.formats.get(&heading), row.column(index).as_string_opt::<i32>()) {
                (Some((format, above)), Some(cell)) => {
                    format!(
                        "`{}` is not {format}, the one format of this column (see line {above})",
                        cell.value(0)
                    )
                }
                _ => why,
            };
            break;
        }
        Error::data(reason).context(place).hint(self.cell_hint())
    }

    fn cell_hint(&self) -> String {
        format!(
            "mend the cell, or empty it: an empty cell is a null. The file has the form `{}` ({}), and {} says what may be in it",
            self.form.name,
            self.form.description.trim_end_matches('.'),
            self.form.path
        )
    }
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
