//! Rows on stdout in the five formats of `--format`.
//!
//! `csv`, `json` and `nd-json` are for programs: every row, full precision, nulls kept apart from text (an empty field
//! in CSV, `null` in JSON). `table` and `markdown` are for people. A result without rows still is a valid answer:
//! the header alone, or `[]`.

use std::io::{IsTerminal, Write};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use tidemill_core::{Error, calendar};

use crate::exit::{Done, Failure, output_failure};
use crate::table;
use crate::visible::visible;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people, fitted to the terminal.
    Table,
    /// RFC 4180 with a header; a null is an empty field.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    NdJson,
    /// A table for a document.
    Markdown,
}

impl Format {
    /// Whether people read it, not programs.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Format::Table | Format::Markdown)
    }
}

/// The room that a table has, and whether a terminal shows the rows. The other formats have no bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// Columns of the terminal; `None` where the output is no terminal.
    pub(crate) width: Option<u16>,
    /// Rows shown before `… n more rows`.
    pub(crate) max_rows: Option<usize>,
    /// Whether control characters of the data are shown, not sent.
    pub(crate) terminal: bool,
}

impl Room {
    /// As wide as the terminal on stdout, all rows.
    pub(crate) fn of_stdout() -> Room {
        let terminal = std::io::stdout().is_terminal();
        Room { width: comfy_table::Table::new().width(), max_rows: None, terminal }
    }
}

/// Writes the rows. `schema` gives the header where there are no batches.
pub(crate) fn write_rows(
    out: &mut impl Write,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
    room: Room,
) -> Done<()> {
    let shown = batches.iter().map(calendar::shown).collect::<Result<Vec<_>, _>>().map_err(unprintable)?;
    let batches = shown.as_slice();
    match format {
        Format::Table => {
            let text = table::render(schema, batches, room).map_err(unprintable)?;
            write_text(out, text.as_bytes())
        }
        Format::Markdown => {
            let text = table::markdown(schema, batches, room).map_err(unprintable)?;
            write_text(out, text.as_bytes())
        }
        Format::Csv => write_csv(out, schema, batches, room),
        Format::Json => write_json::<JsonArray>(out, batches, "\n", room),
        Format::NdJson => write_json::<LineDelimited>(out, batches, "", room),
    }
}

/// Writes and flushes.
fn write_text(out: &mut impl Write, bytes: &[u8]) -> Done<()> {
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| output_failure(&e))
}

/// As [`write_text`]; a terminal gets control characters shown. (JSON escapes the first 32 itself, not the others.)
fn write_shown(out: &mut impl Write, bytes: &[u8], room: Room) -> Done<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) if room.terminal => write_text(out, visible(text).as_bytes()),
        _ => write_text(out, bytes),
    }
}

fn unprintable(error: ArrowError) -> Failure {
    Failure::Engine(
        Error::data(format!("the result cannot be printed in this format: {error}"))
            .hint("cast the column to text, or try --format json"),
    )
}

/// Each batch goes through a buffer, so that what fails on `out` keeps its kind (a closed pipe is no error).
fn write_csv(out: &mut impl Write, schema: &SchemaRef, batches: &[RecordBatch], room: Room) -> Done<()> {
    let header = RecordBatch::new_empty(schema.clone());
    let mut first = true;
    for batch in [&header].into_iter().chain(batches) {
        let mut buffer = Vec::new();
        let mut writer = arrow::csv::WriterBuilder::new().with_header(first).build(&mut buffer);
        writer.write(&without_nesting(batch).map_err(unprintable)?).map_err(unprintable)?;
        drop(writer);
        write_shown(out, &buffer, room)?;
        first = false;
    }
    Ok(())
}

/// CSV has no nested values: lists and structs become their text.
fn without_nesting(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let text: StringArray = (0..column.len())
                .map(|row| {
                    if column.is_null(row) {
                        Ok(None)
                    } else {
                        formatter.value(row).try_to_string().map(Some)
                    }
                })
                .collect::<Result<_, _>>()?;
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(std::sync::Arc::new(text));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)
}

/// As [`write_csv`]: through a buffer, batch by batch. `end` follows the last byte that the format writes.
fn write_json<F: JsonFormat>(
    out: &mut impl Write,
    batches: &[RecordBatch],
    end: &str,
    room: Room,
) -> Done<()> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, F>(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(unprintable)?;
        write_shown(out, &std::mem::take(writer.get_mut()), room)?;
    }
    writer.finish().map_err(unprintable)?;
    write_text(out, writer.get_ref())?;
    write_text(out, end.as_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, ListArray, TimestampMicrosecondArray, UInt64Array};
    use arrow::datatypes::{Int32Type, TimeUnit};

    use super::*;

    /// Two rows of every kind of value that breaks a careless writer, the second all null.
    pub(crate) fn awkward() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("n", DataType::UInt64, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("yes", DataType::Boolean, true),
            Field::new("share", DataType::Float64, true),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(StringArray::from(vec![Some("a,\"b\"|c\nd"), None])),
                Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
                Arc::new(TimestampMicrosecondArray::from(vec![Some(1_709_289_000_000_000), None])),
                Arc::new(BooleanArray::from(vec![Some(true), None])),
                Arc::new(Float64Array::from(vec![Some(0.25), None])),
            ],
        )
        .unwrap()
    }

    fn printed(batches: &[RecordBatch], format: Format) -> String {
        let mut out = Vec::new();
        write_rows(&mut out, &awkward().schema(), batches, format, Room::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_quotes_what_must_be_and_leaves_nulls_empty() {
        assert_eq!(
            printed(&[awkward()], Format::Csv),
            "text,n,at,yes,share\n\"a,\"\"b\"\"|c\nd\",18446744073709551615,2024-03-01T10:30:00,true,0.25\n,,,,\n"
        );
    }

    #[test]
    fn json_is_one_array_with_explicit_nulls() {
        let rows: serde_json::Value =
            serde_json::from_str(&printed(&[awkward(), awkward()], Format::Json)).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 4);
        assert_eq!(
            rows[0],
            serde_json::json!({"text": "a,\"b\"|c\nd", "n": u64::MAX, "at": "2024-03-01T10:30:00", "yes": true, "share": 0.25})
        );
        let keys: Vec<_> = rows[3].as_object().unwrap().values().collect();
        assert_eq!(keys, [&serde_json::Value::Null; 5]);
    }

    #[test]
    fn json_of_no_number_is_null() {
        let batch = RecordBatch::try_from_iter([(
            "x",
            Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY])) as ArrayRef,
        )])
        .unwrap();
        assert_eq!(printed(&[batch], Format::Json), "[{\"x\":null},{\"x\":null}]\n");
    }

    #[test]
    fn nd_json_is_one_object_a_line() {
        let text = printed(&[awkward(), awkward()], Format::NdJson);
        assert_eq!(text.lines().count(), 4);
        for line in text.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object(), "{line}");
        }
    }

    #[test]
    fn no_rows_are_a_valid_answer_in_every_format() {
        for none in [&[][..], &[awkward().slice(0, 0)][..]] {
            assert_eq!(printed(none, Format::Json), "[]\n");
            assert_eq!(printed(none, Format::NdJson), "");
            assert_eq!(printed(none, Format::Csv), "text,n,at,yes,share\n");
            assert_eq!(
                printed(none, Format::Markdown),
                "| text | n | at | yes | share |\n| --- | ---: | --- | --- | ---: |\n"
            );
            assert!(printed(none, Format::Table).contains("share"));
        }
    }

    #[test]
    fn nested_values_are_text_in_csv() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), Some(2)]), None]);
        let batch = RecordBatch::try_from_iter([("l", Arc::new(list) as ArrayRef)]).unwrap();
        let mut out = Vec::new();
        write_rows(&mut out, &batch.schema(), std::slice::from_ref(&batch), Format::Csv, Room::default())
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "l\n\"[1, 2]\"\n\"\"\n");
    }

    #[test]
    fn a_terminal_gets_no_escape_sequence_and_a_pipe_the_data_as_they_are() {
        let evil = "\u{1b}]0;owned\u{7}\r\u{9b}2J";
        let cells: ArrayRef = Arc::new(StringArray::from(vec![evil]));
        let batch = RecordBatch::try_from_iter([(evil, cells)]).unwrap();
        let printed = |format, terminal| {
            let mut out = Vec::new();
            let room = Room { terminal, ..Room::default() };
            write_rows(&mut out, &batch.schema(), std::slice::from_ref(&batch), format, room).unwrap();
            String::from_utf8(out).unwrap()
        };
        for format in [Format::Table, Format::Csv, Format::Json, Format::NdJson, Format::Markdown] {
            let shown = printed(format, true);
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{format:?}: {shown:?}");
            assert_eq!(shown.matches("u001b]0;owned").count(), 2, "{format:?}: {shown:?}");
        }
        assert_eq!(printed(Format::Csv, false), format!("\"{evil}\"\n\"{evil}\"\n"));
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Table, Format::Csv, Format::Json, Format::NdJson, Format::Markdown] {
            let end = write_rows(&mut Closed, &awkward().schema(), &[awkward()], format, Room::default());
            assert!(matches!(end, Err(Failure::OutputClosed)), "{format:?}");
        }
    }
}
