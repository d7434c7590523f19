//! A CSV or TSV file to rows, by Arrow's reader.
//!
//! The thread that calls [`read`] decompresses and parses. What Arrow refuses, a number that its type does not hold
//! ([`super::number`]), and a quote that may not be closed, is left to [`super::strict`], which reads the file again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use encoding_rs::Encoding;
use memchr::memchr_iter;

use super::{DeadLetter, Input, InputFile, InputFormat, Progress, bytes, moment, number, strict};
use crate::batch::csv_file::read_header;
use crate::batch::output::NULL_VALUE;
use crate::error::{Error, Result};
use crate::project::OnError;

/// The headings of a file. One without a name is called by its place, `_1` the first.
pub(super) fn header(file: &InputFile, encoding: &'static Encoding) -> Result<Vec<String>> {
    let mut opened = bytes::open(&file.path, encoding, Arc::default())?;
    let (names, _) = read_header(&mut opened.text, &file.path, opened.compression, delimiter(file.format))?;
    Ok(names
        .into_iter()
        .enumerate()
        .map(|(at, name)| if name.is_empty() { format!("_{}", at + 1) } else { name })
        .collect())
}

/// What is between cells.
pub(super) fn delimiter(format: InputFormat) -> u8 {
    if format == InputFormat::Tsv { b'\t' } else { b',' }
}

/// What a projection takes of a file: its own columns by their place in it, and how a row of the table is put together.
pub(super) struct Columns<'a> {
    input: &'a Input,
    file: &'a InputFile,
    projection: &'a [usize],
    schema: SchemaRef,
    /// Rows of a batch: those of the session, which has fewer where there is little memory.
    batch_rows: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(
        input: &'a Input,
        file: &'a InputFile,
        projection: &'a [usize],
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Self {
        Columns { input, file, projection, schema, batch_rows }
    }

    pub(super) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.file.path
    }

    /// All columns of the input, as SQL sees them, and how many of them, the first, are those of its files.
    pub(super) fn table_schema(&self) -> (&SchemaRef, usize) {
        (&self.input.schema, self.input.own_columns)
    }

    /// `(column, value)` of the file's folders.
    pub(super) fn folders(&self) -> &[(String, String)] {
        &self.file.partition
    }

    pub(super) fn encoding(&self) -> &'static Encoding {
        self.input.encoding
    }

    /// Whether what was refused when the columns were found is to be refused too.
    pub(super) fn is_checked(&self) -> bool {
        self.file.is_checked
    }

    pub(super) fn format(&self) -> InputFormat {
        self.file.format
    }

    /// Places in the file of the columns that it gives itself, in the order of the projection.
    pub(super) fn of_file(&self) -> Result<Vec<usize>> {
        self.projection
            .iter()
            .filter(|at| **at < self.input.own_columns)
            .map(|at| {
                let name = self.input.schema.field(*at).name();
                let place = self.file.header.iter().position(|heading| heading == name);
                place.ok_or_else(|| {
                    Error::internal(format!("no column {name} in {}", self.file.path.display()))
                })
            })
            .collect()
    }

    /// Places in the file of the typed columns that are to be good: those of the projection; where bad rows are set
    /// aside all, so that every table has the same rows.
    pub(super) fn typed(&self) -> Result<Vec<usize>> {
        let schema = self.file_schema();
        let is_typed = |at: &usize| *schema.field(*at).data_type() != DataType::Utf8;
        match self.input.config.on_error {
            OnError::Fail => Ok(self.of_file()?.into_iter().filter(is_typed).collect()),
            OnError::DeadLetter => Ok((0..schema.fields().len()).filter(is_typed).collect()),
        }
    }

    /// The file's own columns that the projection takes.
    pub(super) fn own_schema(&self) -> SchemaRef {
        let own = self.projection.iter().filter(|at| **at < self.input.own_columns);
        Arc::new(Schema::new(own.map(|at| self.input.schema.field(*at).clone()).collect::<Vec<_>>()))
    }

    /// The same and, where bad rows are set aside, behind them the file's others that have `is_checked`, so that every table
    /// has the same rows.
    pub(super) fn checked_schema(&self, is_checked: impl Fn(&Field) -> bool) -> SchemaRef {
        let own = self.own_schema();
        if self.input.config.on_error == OnError::Fail {
            return own;
        }
        let all = self.input.schema.fields().iter().take(self.input.own_columns);
        let others = all.filter(|field| own.field_with_name(field.name()).is_err() && is_checked(field));
        Arc::new(Schema::new(own.fields().iter().chain(others).cloned().collect::<Vec<_>>()))
    }

    /// All columns of the file, typed.
    pub(super) fn file_schema(&self) -> SchemaRef {
        let field = |name: &String| {
            let known = self.input.schema.field_with_name(name);
            Field::new(name, known.map_or(DataType::Utf8, |f| f.data_type().clone()), true)
        };
        Arc::new(Schema::new(self.file.header.iter().map(field).collect::<Vec<_>>()))
    }

    /// The same, but text is what Arrow does not read as it is meant: decimals, of which it would cut off digits that their
    /// type has no room for, and times that may be numbers.
    fn arrow_schema(&self) -> SchemaRef {
        let field = |field: &Arc<Field>| match self.wanted(field).is_text_first() {
            true => Field::new(field.name(), DataType::Utf8, true),
            false => field.as_ref().clone(),
        };
        Arc::new(Schema::new(self.file_schema().fields().iter().map(field).collect::<Vec<_>>()))
    }

    /// How the text of a column's cells is read.
    pub(super) fn wanted(&self, field: &Field) -> number::Wanted {
        let config = &self.input.config;
        number::Wanted {
            kind: field.data_type().clone(),
            unit: config.number_unit(field.name()),
            is_found: !config.types.contains_key(field.name()),
        }
    }

    /// A batch of the table: the file's columns, the numbers of its rows, the values of its folders.
    pub(super) fn complete(
        &self,
        own: &[ArrayRef],
        rows: usize,
        numbers: impl Fn() -> Int64Array,
    ) -> Result<RecordBatch> {
        let mut own = own.iter();
        let folders_from = self.input.own_columns + usize::from(self.input.config.row_number.is_some());
        let columns = self.projection.iter().map(|at| -> Result<ArrayRef> {
            if *at < self.input.own_columns {
                return own.next().cloned().ok_or_else(|| Error::internal("a column too few"));
            }
            let Some(folder) = at.checked_sub(folders_from) else { return Ok(Arc::new(numbers())) };
            let (column, value) = &self.file.partition[folder];
            let kind = self.input.schema.field(*at).data_type();
            if value == NULL_VALUE {
                return Ok(new_null_array(kind, rows));
            }
            let one = folder_cell(value, kind).map_err(|reason| {
                Error::data(reason)
                    .context(format!("{}, folder {column}={value}", self.file.path.display()))
                    .hint("rename the folder or move it away, or leave the column as text in the job")
            })?;
            Ok(take(&one, &UInt32Array::from(vec![0; rows]), None)?)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// The value of a folder as one cell of its column's type; else what is wrong with it.
fn folder_cell(value: &str, kind: &DataType) -> std::result::Result<ArrayRef, String> {
    let text = StringArray::from(vec![value]);
    if number::is_number(kind) || moment::is_moment(kind) {
        let (found, bad) = number::parsed(&text, kind).map_err(|e| e.to_string())?;
        return match bad.first() {
            Some((_, unfit)) => Err(unfit.tell(value, kind)),
            None => Ok(found),
        };
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&text, kind, &exact).map_err(|_| format!("`{value}` is no {}", strict::words(kind)))
}

/// Reads a file and gives its rows to `send`, until that says that nobody wants more.
///
/// # Errors
/// Data, with line and column: a row that cannot be read.
pub(super) fn read(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    match (fast(columns, progress, rows, send), letters) {
        (Ok(to_end), _) => Ok(to_end),
        (Err(Refused::Row(_)), Some(letters)) => strict::read_rest(columns, progress, rows, letters, send),
        (Err(refused), _) => Err(strict::explain(columns, refused)),
    }
}

/// What ends the fast way early.
pub(super) enum Refused {
    /// A row or byte that it does not read, and why.
    Row(String),
    /// Something that reading again would not explain.
    Other(Error),
}

/// A column that Arrow read, decimals and times that may be numbers made of its text.
fn held(cells: &ArrayRef, wanted: &number::Wanted) -> Result<ArrayRef, Refused> {
    if !wanted.is_text_first() {
        return Ok(cells.clone());
    }
    let texts = cells.as_string::<i32>();
    let (found, bad) = wanted.parsed(texts).map_err(|e| Refused::Other(e.into()))?;
    match bad.first() {
        Some((row, unfit)) => Err(Refused::Row(unfit.tell(texts.value(*row), &wanted.kind))),
        None => Ok(found),
    }
}

/// Whether the end was reached. `rows` counts what was given to `send`.
fn fast(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> std::result::Result<bool, Refused> {
    let file = columns.file;
    let bytes: Arc<AtomicU64> = progress.bytes.clone();
    let mut opened = bytes::open(&file.path, columns.input.encoding, bytes).map_err(Refused::Other)?;
    let delimiter = delimiter(file.format);
    read_header(&mut opened.text, &file.path, opened.compression, delimiter).map_err(Refused::Other)?;
    let wanted = columns.of_file().map_err(Refused::Other)?;
    // What is only looked at comes behind, and goes no further.
    let mut parsed = wanted.clone();
    let typed = columns.typed().map_err(Refused::Other)?;
    parsed.extend(typed.into_iter().filter(|at| !wanted.contains(at)));
    let schema = columns.file_schema();
    let kinds: Vec<number::Wanted> = parsed.iter().map(|at| columns.wanted(schema.field(*at))).collect();
    let mut decoder = ReaderBuilder::new(columns.arrow_schema())
        .with_batch_size(columns.batch_rows)
        .with_delimiter(delimiter)
        .with_projection(parsed.clone())
        .build_decoder();
    let mut quotes = 0;
    let mut infinite_is_written = false;
    loop {
        let text = opened.text.fill_buf().map_err(|e| Refused::Row(e.to_string()))?;
        let read = decoder.decode(text).map_err(|e| Refused::Row(e.to_string()))?;
        quotes += memchr_iter(b'"', &text[..read]).count();
        let at_end = text.is_empty();
        opened.text.consume(read);
        if !at_end && decoder.capacity() > 0 {
            continue;
        }
        if let Some(batch) = decoder.flush().map_err(|e| Refused::Row(e.to_string()))? {
            let from = *rows as i64 + 1;
            let length = batch.num_rows();
            let numbers = || Int64Array::from_iter_values(from..from + length as i64);
            let cells = batch.columns().iter().zip(&kinds);
            let cells = cells.map(|(cells, wanted)| held(cells, wanted)).collect::<Result<Vec<_>, _>>()?;
            if !infinite_is_written && cells.iter().any(number::has_infinite) {
                // Whether its text says so, only the slow way knows; once for all rows.
                if strict::first_error(columns).is_some() {
                    return Err(Refused::Row("a number is too great for DOUBLE".to_owned()));
                }
                infinite_is_written = true;
            }
            let batch = columns.complete(&cells[..wanted.len()], length, numbers).map_err(Refused::Other)?;
            *rows += length as u64;
            progress.add_rows(length as u64);
            if !send(batch) {
                return Ok(false);
            }
        }
        if at_end {
            break;
        }
    }
    if quotes % 2 == 1 {
        // Rows are given out already: an error still keeps the table from being published.
        return strict::first_error(columns).map_or(Ok(true), |error| Err(Refused::Other(error)));
    }
    Ok(true)
}
