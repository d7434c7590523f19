//! Bytes to rows: JSON messages to one Arrow batch, and what cannot be read to dead letters.
//!
//! A message is exactly one JSON object. Fields that the schema does not name are ignored, missing ones are null;
//! a message is a dead letter when it is empty, is not one JSON object, has a value of a wrong type, a number
//! that is not finite, or null where the schema says NOT NULL. Booleans may be `true`/`false` or `1`/`0`.
//!
//! Read as what is meant, by arrow-json: a number or a boolean in quotes (`"12"`, `"true"`); a number or a boolean where
//! the schema says TEXT, as its text; a fraction where it says INT, cut off; a comma before a closing brace; of a field that
//! is there twice, the last. A number is a time where the schema says what it counts, `TIMESTAMP(s)`; of a plain TIMESTAMP
//! nobody knows. What a value may be beyond its type (an hour of 99) is for the transform to say.
//!
//! A producer that encodes twice sends a JSON string that holds the object: `double_encoded = true` reads that, and
//! then nothing else.
//!
//! Whole chunks are decoded at once; in one that fails the bad messages are looked for (`search.rs`), so that a clean stream
//! pays nothing for the check.

mod search;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, PrimitiveArray,
    StringArray, StringBuilder, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use memchr::memmem;
use rayon::prelude::*;

use crate::error::Result;
use crate::exact::{self, Unfit};
use crate::project::number_unit;
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
    /// Of each field, what a number counts that is a time.
    units: Vec<Option<TimeUnit>>,
    /// What arrow-json reads: all nullable, booleans and times as text.
    wire: SchemaRef,
    /// A message is a JSON string that holds the JSON object.
    double_encoded: bool,
}

impl Decoder {
    /// A decoder for messages of this schema.
    pub fn new(schema: SchemaRef) -> Decoder {
        let units = schema.fields().iter().map(|field| number_unit(field)).collect();
        let plain = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new()));
        let schema = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
        let wire = schema.fields().iter().map(|field| {
            let data_type = match field.data_type() {
                DataType::Boolean | DataType::Timestamp(..) | DataType::Date32 => DataType::Utf8,
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        });
        Decoder {
            wire: Arc::new(Schema::new(wire.collect::<Vec<_>>())),
            schema,
            units,
            double_encoded: false,
        }
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
                self.read(rows, range.clone(), &mut good, &mut bad);
                let batch = self.with_metadata(rows, &good, batch_id, topic, &mut bad)?;
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

    /// The columns of the schema from those that were read, and what is wrong with values of them.
    fn typed(&self, wire: &RecordBatch) -> (Vec<ArrayRef>, Vec<(usize, String)>) {
        let mut bad = Vec::new();
        let fields = self.schema.fields().iter().zip(&self.units).zip(wire.columns());
        let columns = fields.map(|((field, unit), column)| -> ArrayRef {
            let name = field.name();
            match field.data_type() {
                DataType::Boolean => Arc::new(
                    each(column, &mut bad, |word| {
                        let short = || word.chars().take(40).collect::<String>();
                        truth(word).ok_or_else(|| {
                            format!("`{name}` is `{}`: a boolean is true, false, 1 or 0", short())
                        })
                    })
                    .collect::<BooleanArray>(),
                ),
                kind @ DataType::Timestamp(..) => {
                    let time = |text: &str| {
                        exact::timestamp(text, *unit).map_err(|unfit| told(name, text, unfit, kind))
                    };
                    Arc::new(
                        each(column, &mut bad, time).collect::<PrimitiveArray<TimestampMicrosecondType>>(),
                    )
                }
                kind @ DataType::Date32 => {
                    let date = |text: &str| exact::date(text).map_err(|unfit| told(name, text, unfit, kind));
                    Arc::new(each(column, &mut bad, date).collect::<PrimitiveArray<Date32Type>>())
                }
                DataType::Float64 => {
                    let doubles = column.as_primitive::<Float64Type>();
                    let is_finite = doubles.values().iter().all(|value| value.is_finite());
                    let infinite = (0..doubles.len())
                        .filter(|row| !doubles.value(*row).is_finite() && doubles.is_valid(*row));
                    if !is_finite {
                        bad.extend(infinite.map(|row| (row, format!("`{name}` is not a finite number"))));
                    }
                    column.clone()
                }
                _ => column.clone(),
            }
        });
        (columns.collect(), bad)
    }

    /// The rows with a BIGINT that arrow-json has made of a double, which is one only in part of its digits.
    fn cut_off(&self, rows: &RawRows, indices: &[usize], wire: &RecordBatch) -> Vec<(usize, String)> {
        /// From here on not every whole number is a double.
        const DOUBLES: std::ops::Range<i64> = -9_007_199_254_740_992..9_007_199_254_740_992;
        let mut bad = Vec::new();
        for (field, column) in self.schema.fields().iter().zip(wire.columns()) {
            let Some(numbers) = column.as_primitive_opt::<Int64Type>() else { continue };
            if numbers.values().iter().all(|number| DOUBLES.contains(number)) {
                continue;
            }
            for row in (0..numbers.len()).filter(|row| numbers.is_valid(*row)) {
                let number = numbers.value(row);
                let payload = rows.payload(indices[row]).unwrap_or_default();
                if DOUBLES.contains(&number) || memmem::find(payload, number.to_string().as_bytes()).is_some()
                {
                    continue;
                }
                bad.push((
                    row,
                    format!(
                        "`{}` is a number of more than 15 digits that is written with a point or an exponent: as a BIGINT \
                         it would be another, {number}",
                        field.name()
                    ),
                ));
            }
        }
        bad
    }

    /// Booleans and times from their text, nulls checked, the engine's columns added.
    fn with_metadata(
        &self,
        rows: &RawRows,
        good: &[(Vec<usize>, RecordBatch)],
        batch_id: u64,
        topic: &str,
        bad: &mut Vec<(i64, String)>,
    ) -> Result<RecordBatch> {
        let mut indices: Vec<usize> = good.iter().flat_map(|(indices, _)| indices.clone()).collect();
        let mut wire = concat_batches(&self.wire, good.iter().map(|(_, batch)| batch))?;
        if !indices.is_sorted() {
            let places = UInt64Array::from_iter_values(indices.iter().map(|at| *at as u64));
            wire = take_record_batch(&wire, &sort_to_indices(&places, None, None)?)?;
            indices.sort_unstable();
        }
        let count = indices.len();
        let (mut columns, mut faults) = self.typed(&wire);
        faults.extend(self.cut_off(rows, &indices, &wire));
        let offsets = Int64Array::from_iter_values(indices.iter().map(|&i| rows.offsets[i]));
        for (field, column) in
            self.schema.fields().iter().zip(wire.columns()).filter(|(f, _)| !f.is_nullable())
        {
            let missing = (0..count).filter(|&row| column.is_null(row));
            faults.extend(missing.map(|row| (row, format!("`{}` is missing or null", field.name()))));
        }
        let mut keep = vec![true; count];
        for (row, fault) in faults {
            if std::mem::replace(&mut keep[row], false) {
                bad.push((offsets.value(row), fault));
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

/// The values of texts; one that is none is null, and `bad`.
fn each<T>(
    column: &ArrayRef,
    bad: &mut Vec<(usize, String)>,
    value: impl Fn(&str) -> Result<T, String>,
) -> impl Iterator<Item = Option<T>> {
    let texts = column.as_string::<i32>().iter().enumerate();
    texts.map(move |(row, text)| match value(text?) {
        Ok(value) => Some(value),
        Err(reason) => {
            bad.push((row, reason));
            None
        }
    })
}

/// What is wrong with a time.
fn told(name: &str, text: &str, unfit: Unfit, kind: &DataType) -> String {
    let short: String = text.chars().take(40).collect();
    format!("`{name}`: {}", unfit.tell(&short, kind))
}

/// A boolean as arrow-json writes the JSON value down: `1.0` is what a producer of floats sends.
fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "1" | "1.0" | "True" | "TRUE" => Some(true),
        "false" | "0" | "0.0" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
