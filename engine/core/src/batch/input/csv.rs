//! A CSV or TSV file to rows, by Arrow's reader.
//!
//! The thread that calls [`read`] decompresses and parses. What Arrow refuses, a number that its type does not hold
//! ([`super::number`]), and a quote that is not closed, is left to [`super::strict`], which reads the file again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use encoding_rs::Encoding;
use memchr::memchr;
use regex::Regex;

use super::number::Wanted;
use super::{DeadLetter, Input, InputFile, Progress, moment, number, strict};
use crate::batch::csv_text::{self, CsvText, Header, quote};
use crate::error::{Error, Result};
use crate::memory;
use crate::project::{CsvOptions, OnError};
use crate::table::partitioned::NULL_VALUE;

/// The headings of a file. One without a name is called by its place, `_1` the first.
///
/// # Errors
/// User: there is none, or one twice, or the file has another delimiter; Data: it cannot be read.
pub(super) fn header(file: &InputFile, options: &CsvOptions, encoding: &'static Encoding) -> Result<Header> {
    let own = options.delimiter(file.format);
    let mut header = CsvText::open(&file.path, options, own, encoding, Arc::default())?.header()?;
    let place = |line| format!("{}, line {line}", file.path.display());
    if options.delimiter.is_none()
        && let Some(other) = other_delimiter(file, options, encoding)?
    {
        let (other, own) = (words(other), words(own));
        let count = match header.names.len() {
            1 => "one column".to_owned(),
            count => format!("{count} columns"),
        };
        return Err(Error::user(format!("{count}, whose cells are full of {other}"))
            .context(place(header.line))
            .hint(format!(
                "delimiter = {other} in the job, if that is between the cells; delimiter = {own}, if it is not"
            )));
    }
    for (at, name) in header.names.iter_mut().enumerate() {
        if name.is_empty() {
            *name = format!("_{}", at + 1);
        }
    }
    let mut seen = HashMap::new();
    for (at, name) in header.names.iter().enumerate() {
        if let Some(first) = seen.insert(name.as_str(), at) {
            let (first, second) = (first + 1, at + 1);
            return Err(Error::user(format!("there are two columns `{name}`, the {first}. and the {second}."))
                .context(place(header.line))
                .hint("rename one of them in the file; or header = false with skip_rows, which calls columns by their places"));
        }
    }
    Ok(header)
}

/// The delimiter that a file seems to have instead of its format's, where the job gives none.
///
/// # Errors
/// As [`header`].
pub(super) fn other_delimiter(
    file: &InputFile,
    options: &CsvOptions,
    encoding: &'static Encoding,
) -> Result<Option<u8>> {
    let open = |delimiter| CsvText::open(&file.path, options, delimiter, encoding, Arc::default());
    csv_text::other_delimiter(options.delimiter(file.format), open)
}

/// A delimiter as the job has it.
fn words(delimiter: u8) -> String {
    format!("{:?}", char::from(delimiter).to_string())
}

/// What a projection takes of a file: its own columns by their place in it, and how a row of the table is put together.
pub(super) struct Columns<'a> {
    input: &'a Input,
    file: &'a InputFile,
    projection: &'a [usize],
    schema: SchemaRef,
    /// Rows of a batch: those of the session, which has fewer where there is little memory.
    batch_rows: usize,
    /// Of each own column of the input, its place in the file, where the file has headings.
    places: Vec<Option<usize>>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(
        input: &'a Input,
        file: &'a InputFile,
        projection: &'a [usize],
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Self {
        let headings: HashMap<&str, usize> =
            file.header.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let own = input.schema.fields().iter().take(input.own_columns);
        let places = own.map(|field| headings.get(field.name().as_str()).copied()).collect();
        Columns { input, file, projection, schema, batch_rows, places }
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

    /// Whether each object of the file has been found to be JSON.
    pub(super) fn is_strict(&self) -> bool {
        self.file.is_strict
    }

    /// The types of cells that the job leaves to the files.
    pub(super) fn found_types(&self) -> Option<String> {
        self.input.found_types.clone()
    }

    /// How the file is written.
    pub(super) fn csv(&self) -> &CsvOptions {
        &self.input.config.csv
    }

    /// What is between its cells.
    pub(super) fn delimiter(&self) -> u8 {
        self.csv().delimiter(self.file.format)
    }

    /// Whether the file has this column of the input. Of JSON nobody knows: what an object lacks is null.
    fn has(&self, at: usize) -> bool {
        at < self.input.own_columns && (self.file.header.is_empty() || self.places[at].is_some())
    }

    /// Places in the file of the columns that it gives itself, in the order of the projection.
    pub(super) fn of_file(&self) -> Vec<usize> {
        self.projection.iter().filter_map(|at| self.places.get(*at).copied().flatten()).collect()
    }

    /// Places in the file of the typed columns that are to be good: those of the projection; where bad rows are set
    /// aside all, so that every table has the same rows.
    pub(super) fn typed(&self) -> Vec<usize> {
        let schema = self.file_schema();
        let is_typed = |at: &usize| *schema.field(*at).data_type() != DataType::Utf8;
        match self.input.config.on_error {
            OnError::Fail => self.of_file().into_iter().filter(is_typed).collect(),
            OnError::DeadLetter => (0..schema.fields().len()).filter(is_typed).collect(),
        }
    }

    /// The file's own columns that the projection takes.
    pub(super) fn own_schema(&self) -> SchemaRef {
        let own = self.projection.iter().filter(|at| self.has(**at));
        Arc::new(Schema::new(own.map(|at| self.input.schema.field(*at).clone()).collect::<Vec<_>>()))
    }

    /// The same and, where bad rows are set aside, behind them the file's others that have `is_checked`, so that every table
    /// has the same rows.
    pub(super) fn checked_schema(&self, is_checked: impl Fn(&Field) -> bool) -> SchemaRef {
        let own = self.own_schema();
        if self.input.config.on_error == OnError::Fail {
            return own;
        }
        let all = self.input.schema.fields().iter().enumerate().filter(|(at, _)| self.has(*at));
        let others = all
            .map(|(_, field)| field)
            .filter(|field| own.field_with_name(field.name()).is_err() && is_checked(field));
        Arc::new(Schema::new(own.fields().iter().chain(others).cloned().collect::<Vec<_>>()))
    }

    /// All columns of the file, typed.
    pub(super) fn file_schema(&self) -> SchemaRef {
        let mut kinds = vec![DataType::Utf8; self.file.header.len()];
        for (at, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                kinds[*place] = self.input.schema.field(at).data_type().clone();
            }
        }
        let fields = self.file.header.iter().zip(kinds).map(|(name, kind)| Field::new(name, kind, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
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
            style: config.csv.numbers,
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
            if *at < self.input.own_columns && !self.has(*at) {
                return Ok(new_null_array(self.input.schema.field(*at).data_type(), rows));
            }
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

/// What stands for a null; without one, the empty cell.
fn nulls(options: &CsvOptions) -> Result<Option<Regex>, Refused> {
    if options.null_values.is_empty() {
        return Ok(None);
    }
    let words: Vec<String> = options.null_values.iter().map(|word| regex::escape(word)).collect();
    let pattern = format!(r"\A(?:{})?\z", words.join("|"));
    Regex::new(&pattern).map(Some).map_err(|e| Refused::Other(Error::internal(e.to_string())))
}

/// Whether the end was reached. `rows` counts what was given to `send`.
fn fast(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> std::result::Result<bool, Refused> {
    let (file, options) = (columns.file, columns.csv());
    let bytes: Arc<AtomicU64> = progress.bytes.clone();
    let mut opened = CsvText::open(&file.path, options, columns.delimiter(), columns.encoding(), bytes)
        .map_err(Refused::Other)?;
    if options.header {
        opened.header().map_err(Refused::Other)?;
    }
    let wanted = columns.of_file();
    // What is only looked at comes behind, and goes no further.
    let mut parsed = wanted.clone();
    parsed.extend(columns.typed().into_iter().filter(|at| !wanted.contains(at)));
    let schema = columns.file_schema();
    let kinds: Vec<Wanted> = parsed.iter().map(|at| columns.wanted(schema.field(*at))).collect();
    let mut builder = ReaderBuilder::new(columns.arrow_schema())
        .with_batch_size(columns.batch_rows)
        .with_delimiter(columns.delimiter())
        .with_quote(quote(options))
        .with_projection(parsed.clone());
    if let Some(escape) = options.escape {
        builder = builder.with_escape(escape);
    }
    if let Some(nulls) = nulls(options)? {
        builder = builder.with_null_regex(nulls);
    }
    let mut decoder = builder.build_decoder();
    let mut infinite_is_written = false;
    // Bytes since a row ended.
    let (mut in_row, longest) = (0, memory::longest_row());
    loop {
        let room = decoder.capacity();
        let text = opened.text.fill_buf().map_err(|e| Refused::Row(e.to_string()))?;
        let at_end = text.is_empty();
        if options.quote.is_none() && memchr(quote(options), text).is_some() {
            return Err(Refused::Row("a byte that UTF-8 does not have".to_owned()));
        }
        // The last line may have no end of its own.
        let text = if at_end { b"\n" } else { text };
        let read = decoder.decode(text).map_err(|e| Refused::Row(e.to_string()))?;
        in_row = if decoder.capacity() == room { in_row + read as u64 } else { 0 };
        if in_row > longest {
            return Err(Refused::Row("a row has no end".to_owned()));
        }
        if !at_end {
            opened.text.consume(read);
            if decoder.capacity() > 0 {
                continue;
            }
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
    // Another row behind the last: a quote that is open takes it in.
    let mark = vec![char::from(options.unused_byte(columns.delimiter())).to_string(); file.header.len()];
    let row = mark.join(&char::from(columns.delimiter()).to_string()) + "\n";
    let room = decoder.capacity();
    match decoder.decode(row.as_bytes()) {
        Ok(_) if decoder.capacity() < room => Ok(true),
        // Rows are given out already: an error still keeps the table from being published.
        _ => Err(Refused::Row("a quote is not closed".to_owned())),
    }
}
