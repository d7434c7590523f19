//! Bytes to rows: JSON messages to one Arrow batch, and what cannot be read to dead letters.
//!
//! A message is exactly one JSON object. Fields that the schema does not name are ignored, missing ones are null;
//! a message is a dead letter when it is empty, is not one JSON object, has a value of a wrong type, a number
//! that is not finite, or null where the schema says NOT NULL. Booleans may be `true`/`false` or `1`/`0`.
//!
//! Read as what is meant, by arrow-json: a number or a boolean in quotes (`"12"`, `"true"`); a number or a boolean where
//! the schema says TEXT, as its text; a fraction where it says INT, cut off; a comma before a closing brace. What a value
//! may be beyond its type (an hour of 99) is for the transform to say.
//!
//! A producer that encodes twice sends a JSON string that holds the object: `double_encoded = true` reads that, and
//! then nothing else.
//!
//! Whole chunks are decoded at once; one that fails is halved until the bad messages stand alone, so that a clean
//! stream pays nothing for the check.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, StringArray,
    StringBuilder, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_json::ReaderBuilder;
use rayon::prelude::*;

use crate::error::Result;
use crate::source::RawRows;

/// The engine's own columns, at the end of every table.
pub const METADATA: [&str; 5] = ["_batch_id", "_topic", "_partition", "_offset", "_timestamp"];

/// Messages decoded at once: small enough that both cores have work in a batch of 5,000.
const CHUNK: usize = 2048;

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
    /// Number of bad messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No bad message.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a message; its payload is looked up in the raw rows.
    pub fn push(&mut self, raw: &[RawRows], partition: i32, offset: i64, stage: &'static str, error: String) {
        let found = raw.iter().find(|r| r.partition == partition).and_then(|rows| {
            let at = rows.offsets.binary_search(&offset).ok()?;
            Some((rows.timestamps[at], rows.payload(at).map(<[u8]>::to_vec)))
        });
        let (timestamp, payload) = found.unwrap_or_default();
        self.entries.push(DeadLetter { partition, offset, timestamp, payload, stage, error });
    }

    /// The rows of `system.dead_letters`.
    ///
    /// # Errors
    /// Internal, if the columns do not fit the schema.
    pub fn to_batch(&mut self, job: &str, batch_id: u64, topic: &str) -> Result<RecordBatch> {
        self.entries.sort_by_key(|e| (e.partition, e.offset));
        let entries = &self.entries;
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
            Arc::new(entries.iter().map(|e| e.timestamp).collect::<TimestampMillisecondArray>()),
            Arc::new(payloads.finish()),
            Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.stage))),
            Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.error.as_str()))),
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
    ]))
}

/// Good rows of a chunk, and offset and error of its bad messages.
type Chunk = (RecordBatch, Vec<(i64, String)>);

/// Decoder of one message schema.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What a row is to be.
    schema: SchemaRef,
    /// What arrow-json reads: all nullable, booleans as text.
    wire: SchemaRef,
    /// A message is a JSON string that holds the JSON object.
    double_encoded: bool,
}

impl Decoder {
    /// A decoder for messages of this schema.
    pub fn new(schema: SchemaRef) -> Decoder {
        let wire = schema.fields().iter().map(|field| {
            let data_type = match field.data_type() {
                DataType::Boolean => DataType::Utf8,
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        });
        Decoder { wire: Arc::new(Schema::new(wire.collect::<Vec<_>>())), schema, double_encoded: false }
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
        ]);
        Arc::new(Schema::new(fields))
    }

    /// Decodes a batch.
    ///
    /// # Errors
    /// Internal alone: no message makes a batch fail.
    pub fn decode(&self, raw: &[RawRows], batch_id: u64, topic: &str) -> Result<Decoded> {
        let chunks: Vec<(&RawRows, Range<usize>)> = raw
            .iter()
            .flat_map(|rows| {
                (0..rows.len()).step_by(CHUNK).map(move |start| (rows, start..rows.len().min(start + CHUNK)))
            })
            .collect();
        let decoded: Vec<Result<Chunk>> = chunks
            .par_iter()
            .map(|(rows, range)| {
                let mut bad = Vec::new();
                let mut good = Vec::new();
                self.halve(rows, range.clone(), &mut good, &mut bad);
                let batch = self.with_metadata(rows, good, batch_id, topic, &mut bad)?;
                Ok((batch, bad))
            })
            .collect();
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

    /// Decodes a range, or its halves where it holds a message that cannot be read.
    fn halve(
        &self,
        rows: &RawRows,
        range: Range<usize>,
        good: &mut Vec<(Range<usize>, RecordBatch)>,
        bad: &mut Vec<(i64, String)>,
    ) {
        if range.is_empty() {
            return;
        }
        match self.decode_range(rows, range.clone()) {
            Ok(batch) => good.push((range, batch)),
            Err(error) if range.len() == 1 => bad.push((rows.offsets[range.start], error)),
            Err(_) => {
                let middle = range.start + range.len() / 2;
                self.halve(rows, range.start..middle, good, bad);
                self.halve(rows, middle..range.end, good, bad);
            }
        }
    }

    fn decode_range(&self, rows: &RawRows, range: Range<usize>) -> Result<RecordBatch, String> {
        let mut decoder = ReaderBuilder::new(self.wire.clone())
            .with_batch_size(range.len())
            .with_coerce_primitive(true)
            .build_decoder()
            .map_err(|e| e.to_string())?;
        for (done, index) in range.clone().enumerate() {
            let payload = match rows.payload(index) {
                None => return Err("the message has no value".into()),
                Some(bytes) => bytes.trim_ascii(),
            };
            let inner: String;
            let payload = match self.double_encoded {
                false => payload,
                true => {
                    inner = serde_json::from_slice(payload)
                        .map_err(|e| format!("the message is not a JSON string that holds JSON: {e}"))?;
                    inner.as_bytes().trim_ascii()
                }
            };
            match payload.first() {
                None => return Err("the message is empty".into()),
                Some(b'{') => {}
                Some(_) => return Err("the message is not a JSON object".into()),
            }
            let used = decoder.decode(payload).map_err(|e| plain(&e.to_string()))?;
            if decoder.has_partial_record() {
                return Err("the JSON object is cut off".into());
            }
            if used != payload.len() || decoder.len() != done + 1 {
                return Err("the message holds more than one JSON object".into());
            }
        }
        let batch = decoder.flush().map_err(|e| plain(&e.to_string()))?;
        let batch = batch.ok_or_else(|| "the message holds no row".to_owned())?;
        self.check_numbers(&batch)?;
        Ok(batch)
    }

    fn check_numbers(&self, batch: &RecordBatch) -> Result<(), String> {
        for (field, column) in self.wire.fields().iter().zip(batch.columns()) {
            if field.data_type() == &DataType::Float64
                && column.as_primitive::<Float64Type>().iter().flatten().any(|v| !v.is_finite())
            {
                return Err(format!("`{}` is not a finite number", field.name()));
            }
        }
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            if field.data_type() == &DataType::Boolean
                && let Some(word) =
                    column.as_string::<i32>().iter().flatten().find(|word| truth(word).is_none())
            {
                let word: String = word.chars().take(40).collect();
                return Err(format!("`{}` is `{word}`: a boolean is true, false, 1 or 0", field.name()));
            }
        }
        Ok(())
    }

    /// Booleans from their text, nulls checked, the engine's columns added.
    fn with_metadata(
        &self,
        rows: &RawRows,
        good: Vec<(Range<usize>, RecordBatch)>,
        batch_id: u64,
        topic: &str,
        bad: &mut Vec<(i64, String)>,
    ) -> Result<RecordBatch> {
        let indices: Vec<usize> = good.iter().flat_map(|(range, _)| range.clone()).collect();
        let wire = concat_batches(&self.wire, good.iter().map(|(_, batch)| batch))?;
        let count = indices.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(wire.num_columns() + METADATA.len());
        for (field, column) in self.schema.fields().iter().zip(wire.columns()) {
            columns.push(match field.data_type() {
                DataType::Boolean => Arc::new(
                    column.as_string::<i32>().iter().map(|w| w.and_then(truth)).collect::<BooleanArray>(),
                ),
                _ => column.clone(),
            });
        }
        let offsets = Int64Array::from_iter_values(indices.iter().map(|&i| rows.offsets[i]));
        let mut keep = vec![true; count];
        for (field, column) in self.schema.fields().iter().zip(&columns).filter(|(f, _)| !f.is_nullable()) {
            for row in (0..count).filter(|&row| column.is_null(row)) {
                if std::mem::replace(&mut keep[row], false) {
                    bad.push((offsets.value(row), format!("`{}` is missing or null", field.name())));
                }
            }
        }
        let mut topics = StringBuilder::with_capacity(count, count * topic.len());
        (0..count).for_each(|_| topics.append_value(topic));
        columns.extend([
            Arc::new(Int64Array::from_value(i64::try_from(batch_id).unwrap_or(i64::MAX), count)) as ArrayRef,
            Arc::new(topics.finish()),
            Arc::new(Int32Array::from_value(rows.partition, count)),
            Arc::new(offsets),
            Arc::new(indices.iter().map(|&i| rows.timestamps[i]).collect::<TimestampMillisecondArray>()),
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

/// A boolean as arrow-json writes the JSON value down: `1.0` is what a producer of floats sends.
fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "1" | "1.0" | "True" | "TRUE" => Some(true),
        "false" | "0" | "0.0" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// arrow-json's message without its prefix.
fn plain(message: &str) -> String {
    message.strip_prefix("Json error: ").unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests;
