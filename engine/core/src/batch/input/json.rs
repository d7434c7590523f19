//! A file of JSON, one object a line, to rows, by Arrow's reader.
//!
//! Columns are found in the first file, over all of its rows; a type of the job overrides what is found. Numbers, those in
//! lists and objects too, go by way of their text, for Arrow would cut off what their type does not hold
//! ([`super::number`]); a number or boolean where the type is TEXT is its text too.
//!
//! A line that is refused is found by reading the file again, line by line, behind as many lines as rows were given out. So
//! the fast way refuses what Arrow would take, several objects in a line and one in several: no row goes uncounted.

use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::{infer_json_schema, infer_json_schema_from_iterator};
use encoding_rs::Encoding;
use memchr::memchr;

use super::csv::Columns;
use super::{DeadLetter, InputFile, Progress, bytes, number};
use crate::error::{Context, Error, Result};
use crate::project::{InputConfig, OnError};

/// The columns of a file.
///
/// # Errors
/// Data: it holds something else; User: it holds nothing.
pub(super) fn fields(
    config: &InputConfig,
    file: &InputFile,
    encoding: &'static Encoding,
) -> Result<Vec<Field>> {
    let opened = bytes::open(&file.path, encoding, Arc::default())?;
    let place = || file.path.display().to_string();
    let (schema, rows) = match infer_json_schema(opened.text, None) {
        Ok(found) => found,
        Err(_) => readable_fields(config, file, encoding)?,
    };
    if rows == 0 {
        return Err(Error::user(format!("{} is empty", place())).hint("one JSON object a line is expected"));
    }
    let kind = |field: &Field| match config.types.get(field.name()) {
        Some(kind) => kind.clone(),
        // A field that is null everywhere is text.
        None if field.data_type().is_null() => DataType::Utf8,
        None => field.data_type().clone(),
    };
    Ok(schema.fields().iter().map(|field| Field::new(field.name(), kind(field), true)).collect())
}

/// The columns of the lines that are JSON objects, and how many these are. The others are for [`by_line`] where the job sets
/// them aside, and so is, always, a number that is too great: its column is told there.
///
/// # Errors
/// Data: a line is no JSON object.
fn readable_fields(
    config: &InputConfig,
    file: &InputFile,
    encoding: &'static Encoding,
) -> Result<(Schema, usize)> {
    let opened = bytes::open(&file.path, encoding, Arc::default())?;
    let (mut rows, mut failed) = (0, None);
    let lines = opened.text.split(b'\n').enumerate().map_while(|(at, line)| {
        let line = match line {
            Ok(line) => line,
            Err(e) => {
                failed = Some(bytes::broken(&file.path, opened.compression, at as u64, &e));
                return None;
            }
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Some(None);
        }
        match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line) {
            Ok(object) => {
                rows += 1;
                Some(Some(Ok(serde_json::Value::Object(object))))
            }
            Err(e) if config.on_error == OnError::DeadLetter || e.to_string().starts_with(TOO_GREAT) => {
                Some(None)
            }
            Err(e) => {
                failed = Some(
                    Error::data(format!("no JSON object: {e}"))
                        .context(format!("{}, line {}", file.path.display(), at + 1))
                        .hint("one JSON object a line is expected; mend or remove the line, or on_error = \"dead_letter\""),
                );
                None
            }
        }
    });
    let found = infer_json_schema_from_iterator(lines.flatten());
    match failed {
        Some(error) => Err(error),
        None => Ok((found.context_with(|| file.path.display().to_string())?, rows)),
    }
}

/// How serde_json begins to say that a number is beyond every double.
const TOO_GREAT: &str = "number out of range";

/// Reads a file and gives its rows to `send`; `false` where that wants no more. `rows` counts them.
///
/// # Errors
/// Data, with the line: no JSON object, or a value of another type.
pub(super) fn read(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let schema = columns.checked_schema(|_| true);
    let mut opened = bytes::open(columns.path(), columns.encoding(), progress.bytes.clone())?;
    let mut decoder = decoder(&schema, columns.batch_rows())?;
    // Rows of the batch before this line.
    let mut before = 0;
    loop {
        let text = match opened.text.fill_buf() {
            Ok(text) => text,
            Err(_) => return by_line(columns, progress, rows, letters, send),
        };
        let at_end = text.is_empty();
        let end = memchr(b'\n', text);
        let line = &text[..end.map_or(text.len(), |at| at + 1)];
        let length = line.len();
        let is_whole = decoder.decode(line).is_ok_and(|used| used == length);
        opened.text.consume(length);
        let is_ended = end.is_some() || at_end;
        let is_row = decoder.len() <= before + 1 && !(is_ended && decoder.has_partial_record());
        if !is_whole || !is_row {
            return by_line(columns, progress, rows, letters, send);
        }
        if is_ended {
            before = decoder.len();
        }
        if before < columns.batch_rows() && !at_end {
            continue;
        }
        before = 0;
        match decoder.flush() {
            Ok(Some(batch)) => {
                let Ok(batch) = typed(&batch, &schema) else {
                    return by_line(columns, progress, rows, letters, send);
                };
                if !give(columns, progress, rows, &batch, None, send)? {
                    return Ok(false);
                }
            }
            Ok(None) if at_end => return Ok(true),
            Ok(None) => {}
            Err(_) => return by_line(columns, progress, rows, letters, send),
        }
    }
}

/// Reads rows of this schema, but with numbers as text.
fn decoder(schema: &SchemaRef, batch_rows: usize) -> Result<arrow::json::reader::Decoder> {
    let texts = Arc::new(Schema::new(schema.fields().iter().map(as_text).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(texts).with_batch_size(batch_rows).with_coerce_primitive(true);
    Ok(reader.build_decoder()?)
}

/// The field with text in the place of numbers.
fn as_text(field: &Arc<Field>) -> Arc<Field> {
    let kind = match field.data_type() {
        kind if number::is_number(kind) => DataType::Utf8,
        DataType::List(item) => DataType::List(as_text(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(as_text).collect()),
        kind => kind.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// What is wrong with a row.
struct Fault {
    /// The column of the value that is bad, where it is one value.
    column: Option<String>,
    reason: String,
}

impl Fault {
    fn of_row(error: impl ToString) -> Fault {
        let text = error.to_string();
        Fault { column: None, reason: text.strip_prefix("Json error: ").map(String::from).unwrap_or(text) }
    }
}

/// What a decoder read, with the numbers as such. The first that its type does not hold is a fault.
fn typed(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, Fault> {
    let cells = batch.columns().iter().zip(schema.fields()).map(|(cells, field)| {
        let bad = |reason| Fault { column: Some(field.name().clone()), reason };
        held(cells, field.data_type()).map_err(bad)
    });
    let cells = cells.collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), cells, &options).map_err(Fault::of_row)
}

/// The cells with the numbers as such, wherever they are in them; else what is wrong with the first that is none.
fn held(cells: &ArrayRef, kind: &DataType) -> std::result::Result<ArrayRef, String> {
    if cells.data_type() == kind {
        return Ok(cells.clone());
    }
    match kind {
        DataType::List(item) => {
            let list = cells.as_list::<i32>();
            let items = held(list.values(), item.data_type())?;
            let list = ListArray::try_new(item.clone(), list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(list.map_err(|e| e.to_string())?))
        }
        DataType::Struct(fields) => {
            let object = cells.as_struct();
            let inner = object.columns().iter().zip(fields);
            let inner = inner.map(|(cells, field)| held(cells, field.data_type()));
            let inner = inner.collect::<std::result::Result<Vec<_>, _>>()?;
            let object = StructArray::try_new(fields.clone(), inner, object.nulls().cloned());
            Ok(Arc::new(object.map_err(|e| e.to_string())?))
        }
        _ => {
            let texts = cells.as_string::<i32>();
            let (found, bad) = number::parsed(texts, kind).map_err(|e| e.to_string())?;
            match bad.first() {
                Some((row, unfit)) => Err(unfit.tell(texts.value(*row), kind)),
                None => Ok(found),
            }
        }
    }
}

fn give(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    batch: &RecordBatch,
    numbers: Option<&[i64]>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let from = i64::try_from(*rows).unwrap_or(i64::MAX) + 1;
    let length = batch.num_rows();
    let counted = || match numbers {
        Some(numbers) => Int64Array::from(numbers.to_vec()),
        None => Int64Array::from_iter_values((from..).take(length)),
    };
    // What is only looked at comes behind, and goes no further.
    let own = &batch.columns()[..columns.own_schema().fields().len()];
    let complete = columns.complete(own, length, counted)?;
    *rows += length as u64;
    progress.add_rows(length as u64);
    Ok(send(complete))
}

/// Reads the file from behind the rows that were given out, each line by itself.
fn by_line(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    mut letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let schema = columns.checked_schema(|_| true);
    let opened = bytes::open(columns.path(), columns.encoding(), Arc::default())?;
    let path = columns.path().display().to_string();
    let mut skip = *rows;
    let (mut number, mut line_number) = (0_i64, 0_u64);
    let mut good: Vec<RecordBatch> = Vec::new();
    let mut numbers = Vec::new();
    let mut text = opened.text;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = text
            .read_until(b'\n', &mut line)
            .map_err(|e| bytes::broken(columns.path(), opened.compression, line_number, &e))?;
        line_number += 1;
        if read > 0 && !line.iter().all(u8::is_ascii_whitespace) {
            number += 1;
            if skip > 0 {
                skip -= 1;
            } else {
                match (one(&schema, &line), letters.as_deref_mut()) {
                    (Ok(row), _) => {
                        good.push(row);
                        numbers.push(number);
                    }
                    (Err(fault), None) => {
                        let column =
                            fault.column.map(|column| format!(", column {column}")).unwrap_or_default();
                        return Err(Error::data(fault.reason)
                            .context(format!("{path}, line {line_number}{column}"))
                            .hint("a line is one JSON object; a type of the job holds for all of them; on_error = \"dead_letter\" sets bad ones aside"));
                    }
                    (Err(fault), Some(letters)) => letters.push(DeadLetter {
                        path: path.clone(),
                        line: line_number,
                        payload: line.trim_ascii_end().to_vec(),
                        error: match fault.column {
                            Some(column) => format!("column {column}: {}", fault.reason),
                            None => fault.reason,
                        },
                    }),
                }
            }
        }
        if good.len() == columns.batch_rows() || (read == 0 && !good.is_empty()) {
            let batch = arrow::compute::concat_batches(&schema, &good)?;
            good.clear();
            if !give(columns, progress, rows, &batch, Some(&std::mem::take(&mut numbers)), send)? {
                return Ok(false);
            }
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// The row of a line.
fn one(schema: &SchemaRef, line: &[u8]) -> std::result::Result<RecordBatch, Fault> {
    // Room for a second, which a line is not to have.
    let mut decoder = decoder(schema, 2).map_err(Fault::of_row)?;
    decoder.decode(line).map_err(Fault::of_row)?;
    match decoder.flush().map_err(Fault::of_row)? {
        Some(batch) if batch.num_rows() == 1 => typed(&batch, schema),
        _ => Err(Fault::of_row("not one JSON object")),
    }
}
