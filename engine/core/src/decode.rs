//! Bytes to rows: JSON messages to one Arrow batch, and what cannot be read to dead letters.
//!
//! A message is exactly one JSON object, as `json` has it. Fields that the schema does not name are ignored, missing
//! ones are null; a message is a dead letter when it is empty, is not one JSON object, has a value of a wrong type, a number
//! that is not finite, a time that is not of the years 1 to 9999, or null where the schema says NOT NULL. Booleans may be
//! `true`/`false` or `1`/`0`.
//!
//! Read as what is meant: a number or a boolean in quotes (`"12"`, `"true"`); a number or a boolean where the schema says
//! TEXT, as it is written; a fraction where it says INT, cut off; of a field that is there twice, the last. A number is a time
//! where the schema says what it counts, `TIMESTAMP(s)`; of a plain TIMESTAMP nobody knows. What a value may be beyond its
//! type (an hour of 99) is for the transform to say.
//!
//! A producer that encodes twice sends a JSON string that holds the object: `double_encoded = true` reads that, and
//! then nothing else.
//!
//! A message of which the time is none of a calendar is a row like any other: its `_timestamp` is null, and the number that
//! the broker has for it is in a column `_timestamp_ms`, which a table has from its first such row on.

mod fields;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, StringArray, StringBuilder,
    TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use rayon::prelude::*;

pub(crate) use self::fields::Fields;
use crate::error::{Result, shortened};
use crate::exact::YEARS_MS;
use crate::json::{self, Fault};
use crate::project::{Program, number_unit, parse_schema};
use crate::source::RawRows;

/// The engine's own columns, at the end of every table; the last only where a message needed it.
pub const METADATA: [&str; 6] = ["_batch_id", "_topic", "_partition", "_offset", "_timestamp", TIME_NUMBER];

/// The time of a message as the broker has it, where it is not of the years 1 to 9999.
pub(crate) const TIME_NUMBER: &str = "_timestamp_ms";

/// Messages decoded at once: small enough that both cores have work in a batch of 5,000.
const CHUNK: usize = 2048;

/// Bytes decoded at once, unless one message has more: half of what a column of texts holds.
const CHUNK_BYTES: usize = 1 << 30;

/// Bytes that are kept of what is wrong with a message. The message is kept whole.
pub(crate) const ERROR_BYTES: usize = 1_000;

/// A batch after decoding; every message is in one of the two, in the order (partition, offset).
#[derive(Debug)]
pub struct Decoded {
    /// Good rows: the fields of the schema, then [`METADATA`].
    pub rows: RecordBatch,
    /// Bad messages, as rows of `system.dead_letters`.
    pub dead: DeadLetters,
}

/// Bad messages with what was wrong.
#[derive(Debug, Default)]
pub struct DeadLetters {
    entries: Vec<DeadLetter>,
}

#[derive(Debug)]
struct DeadLetter {
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    payload: Option<Vec<u8>>,
    stage: &'static str,
    error: String,
}

impl DeadLetters {
    /// Partition, offset, stage and what is wrong of each.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (i32, i64, &'static str, &str)> {
        self.entries.iter().map(|e| (e.partition, e.offset, e.stage, e.error.as_str()))
    }

    /// Number of bad messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No bad message.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a message; its payload is looked up in the raw rows. Of a long error beginning and end are kept.
    pub fn push(&mut self, raw: &[RawRows], partition: i32, offset: i64, stage: &'static str, error: String) {
        let found = raw.iter().find(|r| r.partition == partition).and_then(|rows| {
            let at = rows.offsets.binary_search(&offset).ok()?;
            Some((rows.timestamps[at], rows.payload(at).map(<[u8]>::to_vec)))
        });
        let (timestamp, payload) = found.unwrap_or_default();
        let error = shortened(error, ERROR_BYTES);
        self.entries.push(DeadLetter { partition, offset, timestamp, payload, stage, error });
    }

    /// Adds those of others.
    pub(crate) fn append(&mut self, mut others: DeadLetters) {
        self.entries.append(&mut others.entries);
    }

    /// The rows of `system.dead_letters`.
    ///
    /// # Errors
    /// Internal, if the columns do not fit the schema.
    pub fn to_batch(&mut self, job: &str, batch_id: u64, topic: &str) -> Result<RecordBatch> {
        self.entries.sort_by_key(|e| (e.partition, e.offset));
        let entries = &self.entries;
        let (times, numbers) = times(entries.iter().map(|e| e.timestamp));
        let mut payloads = BinaryBuilder::new();
        entries.iter().for_each(|e| payloads.append_option(e.payload.as_deref()));
        let text = |value: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, entries.len())))
        };
        let columns: Vec<ArrayRef> = vec![
            text(job),
            Arc::new(UInt64Array::from_value(batch_id, entries.len())),
            text(topic),
            Arc::new(Int32Array::from_iter_values(entries.iter().map(|e| e.partition))),
            Arc::new(Int64Array::from_iter_values(entries.iter().map(|e| e.offset))),
            Arc::new(times),
            Arc::new(payloads.finish()),
            Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.stage))),
            Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.error.as_str()))),
            Arc::new(numbers),
        ];
        Ok(RecordBatch::try_new(dead_letters_schema(), columns)?)
    }
}

/// Columns of `system.dead_letters`.
pub fn dead_letters_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("job", DataType::Utf8, false),
        Field::new("batch_id", DataType::UInt64, false),
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("payload", DataType::Binary, true),
        Field::new("stage", DataType::Utf8, false),
        Field::new("error", DataType::Utf8, false),
        // The time where it is not of the years 1 to 9999; older files lack it.
        Field::new("timestamp_ms", DataType::Int64, true),
    ]))
}

/// Good rows of a chunk, and offset and error of its bad messages.
type Chunk = (RecordBatch, Vec<(i64, String)>);

/// Decoder of one message schema.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What a row is to be.
    schema: SchemaRef,
    /// Of each field, what a number counts that is a time.
    units: Vec<Option<TimeUnit>>,
    /// A message is a JSON string that holds the JSON object.
    double_encoded: bool,
}

impl Decoder {
    /// A decoder for messages of this schema.
    pub fn new(schema: SchemaRef) -> Decoder {
        let units = schema.fields().iter().map(|field| number_unit(field)).collect();
        let plain = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new()));
        let schema = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
        Decoder { schema, units, double_encoded: false }
    }

    /// A decoder for the messages of a program.
    ///
    /// # Errors
    /// User: its schema cannot be read.
    pub fn of_program(program: &Program) -> Result<Decoder> {
        let decoder = Decoder::new(parse_schema(&program.schema_sql)?);
        Ok(decoder.double_encoded(program.double_encoded))
    }

    /// A decoder for messages whose object was encoded twice: a JSON string that holds the JSON object.
    pub fn double_encoded(self, double_encoded: bool) -> Decoder {
        Decoder { double_encoded, ..self }
    }

    /// Schema of the good rows.
    pub fn row_schema(&self) -> SchemaRef {
        let mut fields: Vec<Field> = self.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend([
            Field::new(METADATA[0], DataType::Int64, false),
            Field::new(METADATA[1], DataType::Utf8, false),
            Field::new(METADATA[2], DataType::Int32, false),
            Field::new(METADATA[3], DataType::Int64, false),
            Field::new(METADATA[4], DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new(TIME_NUMBER, DataType::Int64, true),
        ]);
        Arc::new(Schema::new(fields))
    }

    /// Decodes a batch.
    ///
    /// # Errors
    /// Internal alone: no message makes a batch fail.
    pub fn decode(&self, raw: &[RawRows], batch_id: u64, topic: &str) -> Result<Decoded> {
        #[cfg(debug_assertions)]
        crate::failpoint::hit("decode", raw);
        let chunks: Vec<(&RawRows, Range<usize>)> =
            raw.iter().flat_map(|rows| chunks(rows).into_iter().map(move |range| (rows, range))).collect();
        let decoded: Vec<Result<Chunk>> =
            chunks.par_iter().map(|(rows, range)| self.chunk(rows, range.clone(), batch_id, topic)).collect();
        let mut batches = Vec::with_capacity(decoded.len());
        let mut dead = DeadLetters::default();
        for (result, (rows, _)) in decoded.into_iter().zip(&chunks) {
            let (batch, bad) = result?;
            batches.push(batch);
            for (offset, error) in bad {
                dead.push(raw, rows.partition, offset, "decode", error);
            }
        }
        Ok(Decoded { rows: concat_batches(&self.row_schema(), &batches)?, dead })
    }

    fn chunk(&self, rows: &RawRows, range: Range<usize>, batch_id: u64, topic: &str) -> Result<Chunk> {
        // What was encoded twice is text of our own by now.
        let inner: Vec<Result<String, String>> = match self.double_encoded {
            true => range.clone().map(|at| inner(rows.payload(at))).collect(),
            false => Vec::new(),
        };
        let mut fields = Fields::new(self.schema.fields(), range.len());
        let (mut bad, mut good) = (Vec::new(), Vec::with_capacity(range.len()));
        for at in range.clone() {
            let message = match inner.get(at - range.start) {
                Some(inner) => inner.as_deref().map_err(String::clone),
                None => payload(rows.payload(at)),
            };
            match message.and_then(|message| fields.take(message).map_err(|fault| told(&fault))) {
                Ok(()) => good.push(at),
                Err(reason) => bad.push((rows.offsets[at], reason)),
            }
        }
        let batch = self.rows(rows, &good, &fields, (batch_id, topic), &mut bad)?;
        Ok((batch, bad))
    }

    /// Columns of the fields, nulls checked, the engine's columns added.
    fn rows(
        &self,
        rows: &RawRows,
        places: &[usize],
        fields: &Fields<'_>,
        (batch_id, topic): (u64, &str),
        bad: &mut Vec<(i64, String)>,
    ) -> Result<RecordBatch> {
        let count = fields.rows();
        let mut faults = Vec::new();
        let kinds = self.schema.fields().iter().zip(&self.units).enumerate();
        let mut columns: Vec<ArrayRef> =
            kinds.map(|(at, (field, unit))| fields.column(at, field, *unit, &mut faults)).collect();
        for (field, column) in self.schema.fields().iter().zip(&columns).filter(|(f, _)| !f.is_nullable()) {
            let missing = (0..count).filter(|&row| column.is_null(row));
            faults.extend(missing.map(|row| (row, format!("`{}` is missing or null", field.name()))));
        }
        let mut keep = vec![true; count];
        for (row, fault) in faults {
            if std::mem::replace(&mut keep[row], false) {
                bad.push((rows.offsets[places[row]], fault));
            }
        }
        let mut topics = StringBuilder::with_capacity(count, count * topic.len());
        (0..count).for_each(|_| topics.append_value(topic));
        let (times, numbers) = times(places.iter().map(|&at| rows.timestamps[at]));
        columns.extend([
            Arc::new(Int64Array::from_value(i64::try_from(batch_id).unwrap_or(i64::MAX), count)) as ArrayRef,
            Arc::new(topics.finish()),
            Arc::new(Int32Array::from_value(rows.partition, count)),
            Arc::new(Int64Array::from_iter_values(places.iter().map(|&at| rows.offsets[at]))),
            Arc::new(times),
            Arc::new(numbers),
        ]);
        // Checked against the nullable form first: the rows that break NOT NULL are still in it.
        let loose: Vec<Field> =
            self.row_schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(loose)), columns)?;
        let batch = match keep.iter().all(|&k| k) {
            true => batch,
            false => filter_record_batch(&batch, &BooleanArray::from(keep))?,
        };
        Ok(RecordBatch::try_new(self.row_schema(), batch.columns().to_vec())?)
    }
}

/// Ranges of messages that are decoded at once.
fn chunks(rows: &RawRows) -> Vec<Range<usize>> {
    let (mut ranges, mut at) = (Vec::new(), 0);
    while at < rows.len() {
        let mut end = rows.len().min(at + CHUNK);
        while end - at > 1 && rows.bytes_of(at..end) > CHUNK_BYTES {
            end = at + (end - at) / 2;
        }
        ranges.push(at..end);
        at = end;
    }
    ranges
}

/// The text of a message.
fn payload(bytes: Option<&[u8]>) -> Result<&str, String> {
    match bytes {
        None => Err("the message has no value".to_owned()),
        Some(bytes) if i32::try_from(bytes.len()).is_err() => Err("the message has 2 GiB or more".to_owned()),
        Some(bytes) => json::text(bytes).map_err(|fault| told(&fault)),
    }
}

/// The text that a message of which the object was encoded twice holds.
fn inner(bytes: Option<&[u8]>) -> Result<String, String> {
    let inner = json::string(payload(bytes)?).map_err(|fault| match fault {
        Fault::Empty => told(&fault),
        _ => format!("the message is not a JSON string that holds JSON: {fault}"),
    });
    inner.map(|text| text.meant().into_owned())
}

/// What is wrong with a message.
fn told(fault: &Fault) -> String {
    match fault {
        Fault::Empty => "the message is empty".to_owned(),
        Fault::NoObject => "the message is not a JSON object".to_owned(),
        Fault::More => format!("the message holds {fault}"),
        _ => fault.to_string(),
    }
}

/// Times of messages in milliseconds since 1970, null where one is not of the years 1 to 9999, and the numbers of those: a
/// producer that counts nanoseconds, say. No calendar shows such a time, and readers of the column would fail at all of them.
fn times(times: impl Iterator<Item = Option<i64>>) -> (TimestampMillisecondArray, Int64Array) {
    let times: Vec<Option<i64>> = times.collect();
    let is_shown = |time: &i64| YEARS_MS.contains(time);
    let numbers = times.iter().map(|time| time.filter(|time| !is_shown(time))).collect();
    (times.iter().map(|time| time.filter(is_shown)).collect(), numbers)
}

/// The rows as they are written: without [`TIME_NUMBER`] where that is null in all of them, unless the table `has` it.
///
/// # Errors
/// Internal.
pub(crate) fn as_written(rows: &RecordBatch, has: bool) -> Result<RecordBatch> {
    let Ok(at) = rows.schema().index_of(TIME_NUMBER) else { return Ok(rows.clone()) };
    if has || rows.column(at).null_count() < rows.num_rows() {
        return Ok(rows.clone());
    }
    let others: Vec<usize> = (0..rows.num_columns()).filter(|column| *column != at).collect();
    Ok(rows.project(&others)?)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
