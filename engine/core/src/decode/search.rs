//! A chunk of messages, and in one that fails the bad ones.
//!
//! What is no object is found where the reader stops. A value that is none of its type is found only when all are made
//! columns: then all numbers are read as text, and messages with a suspicious one are read alone. What fails in spite of
//! that is halved.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_json::ReaderBuilder;

use super::Decoder;
use crate::depth::{TOO_DEEP, is_too_deep};
use crate::source::RawRows;

/// Why some messages are no batch.
struct Refused {
    /// The place among them of one that is no object; `None` where a value of one, whichever, is none of its type.
    at: Option<usize>,
    reason: String,
}

/// Where good messages go, each part with its places in the raw rows, and offset and error of bad ones.
struct Found<'a> {
    good: &'a mut Vec<(Vec<usize>, RecordBatch)>,
    bad: &'a mut Vec<(i64, String)>,
}

impl Decoder {
    /// Decodes a range.
    pub(super) fn read(
        &self,
        rows: &RawRows,
        range: Range<usize>,
        good: &mut Vec<(Vec<usize>, RecordBatch)>,
        bad: &mut Vec<(i64, String)>,
    ) {
        let mut found = Found { good, bad };
        let mut next: Vec<usize> = range.collect();
        while !next.is_empty() {
            match self.batch(&self.wire, rows, &next) {
                Ok(batch) => {
                    found.good.push((next, batch));
                    return;
                }
                Err(Refused { at: Some(at), reason }) => {
                    found.bad.push((rows.offsets[next[at]], reason));
                    let behind = next.split_off(at + 1);
                    next.truncate(at);
                    self.part(rows, next, &mut found);
                    next = behind;
                }
                Err(Refused { reason, .. }) => return self.search(rows, next, reason, &mut found),
            }
        }
    }

    /// Decodes messages that are objects.
    fn part(&self, rows: &RawRows, indices: Vec<usize>, found: &mut Found<'_>) {
        if indices.is_empty() {
            return;
        }
        match self.batch(&self.wire, rows, &indices) {
            Ok(batch) => found.good.push((indices, batch)),
            Err(Refused { reason, .. }) => self.search(rows, indices, reason, found),
        }
    }

    /// Looks for the bad ones in messages that failed with `reason`.
    fn search(&self, rows: &RawRows, indices: Vec<usize>, reason: String, found: &mut Found<'_>) {
        if let [only] = indices.as_slice() {
            found.bad.push((rows.offsets[*only], reason));
            return;
        }
        let suspicious = self.suspicious(rows, &indices);
        let count = suspicious.iter().filter(|suspicious| **suspicious).count();
        if count == 0 || count == indices.len() {
            let mut before = indices;
            let behind = before.split_off(before.len() / 2);
            self.part(rows, before, found);
            self.part(rows, behind, found);
            return;
        }
        let mut others = Vec::with_capacity(indices.len() - count);
        for (index, suspicious) in indices.into_iter().zip(suspicious) {
            if suspicious { self.part(rows, vec![index], found) } else { others.push(index) }
        }
        self.part(rows, others, found);
    }

    /// Which messages have a text, or a number that is too great, where a number is expected.
    fn suspicious(&self, rows: &RawRows, indices: &[usize]) -> Vec<bool> {
        let mut suspicious = vec![false; indices.len()];
        let texts = self.wire.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
        let texts: SchemaRef = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        let Ok(batch) = self.batch(&texts, rows, indices) else { return suspicious };
        for (field, column) in self.wire.fields().iter().zip(batch.columns()) {
            let greatest = match field.data_type() {
                DataType::Int32 => f64::from(i32::MAX),
                DataType::Int64 => i64::MAX as f64,
                DataType::Float64 => f64::INFINITY,
                _ => continue,
            };
            let cells = column.as_string::<i32>();
            for (row, suspicious) in suspicious.iter_mut().enumerate().filter(|(row, _)| cells.is_valid(*row))
            {
                let number = cells.value(row).parse::<f64>();
                *suspicious |= number.is_err() || number.is_ok_and(|number| number.abs() > greatest);
            }
        }
        suspicious
    }

    fn batch(&self, wire: &SchemaRef, rows: &RawRows, indices: &[usize]) -> Result<RecordBatch, Refused> {
        let any = |reason: String| Refused { at: None, reason };
        let mut decoder = ReaderBuilder::new(wire.clone())
            .with_batch_size(indices.len())
            .with_coerce_primitive(true)
            .build_decoder()
            .map_err(|e| any(e.to_string()))?;
        for (done, index) in indices.iter().enumerate() {
            let refused = |reason: &str| Refused { at: Some(done), reason: reason.to_owned() };
            let Some(bytes) = rows.payload(*index) else { return Err(refused("the message has no value")) };
            let payload = bytes.trim_ascii();
            let inner: String;
            let payload = match self.double_encoded {
                false => payload,
                true => {
                    inner = serde_json::from_slice(payload).map_err(|e| {
                        refused(&format!("the message is not a JSON string that holds JSON: {e}"))
                    })?;
                    inner.as_bytes().trim_ascii()
                }
            };
            match payload.first() {
                None => return Err(refused("the message is empty")),
                Some(b'{') => {}
                Some(_) => return Err(refused("the message is not a JSON object")),
            }
            if is_too_deep(payload) {
                return Err(refused(TOO_DEEP));
            }
            let used = decoder.decode(payload);
            if decoder.len() > done + 1 {
                return Err(refused("the message holds more than one JSON object"));
            }
            let used = used.map_err(|e| refused(plain(&e.to_string())))?;
            if decoder.has_partial_record() {
                return Err(refused("the JSON object is cut off"));
            }
            if used != payload.len() {
                return Err(refused("the message holds more than one JSON object"));
            }
        }
        let batch = decoder.flush().map_err(|e| any(plain(&e.to_string()).to_owned()))?;
        batch.ok_or_else(|| any("the message holds no row".to_owned()))
    }
}

/// arrow-json's message without its prefix.
fn plain(message: &str) -> &str {
    message.strip_prefix("Json error: ").unwrap_or(message)
}
