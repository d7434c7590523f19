//! A file of JSON, one object a line, to rows, by Arrow's reader.
//!
//! Columns are found in the first file, over all of its rows; a type of the job overrides what is found. A line that
//! Arrow refuses is found by reading the file again, line by line.

use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema;
use encoding_rs::Encoding;

use super::csv::Columns;
use super::{DeadLetter, InputFile, Progress, bytes};
use crate::error::{Error, Result};
use crate::project::InputConfig;

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
        Err(e) => return Err(not_json(file, encoding)?.unwrap_or_else(|| Error::from(e).context(place()))),
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

/// The error of the first line that is no JSON object.
fn not_json(file: &InputFile, encoding: &'static Encoding) -> Result<Option<Error>> {
    let opened = bytes::open(&file.path, encoding, Arc::default())?;
    for (at, line) in opened.text.split(b'\n').enumerate() {
        let line = line.map_err(|e| bytes::broken(&file.path, opened.compression, at as u64, &e))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Err(e) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line) {
            return Ok(Some(
                Error::data(format!("no JSON object: {e}"))
                    .context(format!("{}, line {}", file.path.display(), at + 1))
                    .hint("one JSON object a line is expected; mend or remove the line"),
            ));
        }
    }
    Ok(None)
}

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
    let schema = columns.own_schema();
    let mut opened = bytes::open(columns.path(), columns.encoding(), progress.bytes.clone())?;
    let mut decoder = decoder(&schema, columns.batch_rows())?;
    loop {
        let text = match opened.text.fill_buf() {
            Ok(text) => text,
            Err(_) => return by_line(columns, progress, rows, letters, send),
        };
        let at_end = text.is_empty();
        let Ok(used) = decoder.decode(text) else { return by_line(columns, progress, rows, letters, send) };
        let is_full = used < text.len() || at_end;
        opened.text.consume(used);
        if !is_full {
            continue;
        }
        match decoder.flush() {
            Ok(Some(batch)) => {
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

fn decoder(schema: &SchemaRef, batch_rows: usize) -> Result<arrow::json::reader::Decoder> {
    Ok(ReaderBuilder::new(schema.clone()).with_batch_size(batch_rows).build_decoder()?)
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
    let complete = columns.complete(batch.columns(), length, counted)?;
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
    let schema = columns.own_schema();
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
                    (Err(reason), None) => {
                        return Err(Error::data(reason)
                            .context(format!("{path}, line {line_number}"))
                            .hint("a line is one JSON object; a type of the job holds for all of them; on_error = \"dead_letter\" sets bad ones aside"));
                    }
                    (Err(error), Some(letters)) => letters.push(DeadLetter {
                        path: path.clone(),
                        line: line_number,
                        payload: line.trim_ascii_end().to_vec(),
                        error,
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
fn one(schema: &SchemaRef, line: &[u8]) -> std::result::Result<RecordBatch, String> {
    let text = |e: arrow::error::ArrowError| {
        let text = e.to_string();
        text.strip_prefix("Json error: ").map(String::from).unwrap_or(text)
    };
    // Room for a second, which a line is not to have.
    let mut decoder = decoder(schema, 2).map_err(|e| e.to_string())?;
    decoder.decode(line).map_err(text)?;
    match decoder.flush().map_err(text)? {
        Some(batch) if batch.num_rows() == 1 => Ok(batch),
        _ => Err("not one JSON object".to_owned()),
    }
}
