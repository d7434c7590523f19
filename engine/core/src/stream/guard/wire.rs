//! What this process and its child tell each other: a line of JSON, then so many bytes of an Arrow stream.
//!
//! | to the child | from the child |
//! | --- | --- |
//! | [`Work`], once | [`Told::Ready`], once |
//! | `null` and messages, for each range | for each step of it [`Told::Decoded`], then [`Told::Made`] with rows; or [`Told::Failed`] |

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Error as IoError, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, Int64Array, LargeBinaryArray};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::project::Program;
use crate::records::Asked;
use crate::source::RawRows;

/// What a child has to know of a batch beside its messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) program: Program,
    pub(super) batch_id: u64,
    pub(super) topic: String,
    pub(super) now: DateTime<Utc>,
    /// Where the models are that the transform asks.
    pub(super) lake: PathBuf,
    pub(super) asked: BTreeMap<String, Asked>,
    /// Columns that have other types than they would have in a new table.
    pub(super) kept: Vec<String>,
    /// Bytes of the rows of a step, where messages become several.
    pub(super) step_bytes: u64,
}

/// What a message is being made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Decode,
    Transform,
}

impl Stage {
    /// As dead letters have it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Transform => "transform",
        }
    }

    /// The beginning of a sentence.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Stage::Decode => "decoding",
            Stage::Transform => "transforming",
        }
    }

    pub(super) fn of(word: &str) -> Stage {
        if word == Stage::Transform.word() { Stage::Transform } else { Stage::Decode }
    }
}

/// A message that is a dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) stage: Stage,
    pub(super) error: String,
}

/// What a child tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// It has made its transform, and threads to decode with.
    Ready,
    /// The messages of a step are decoded.
    Decoded,
    /// They are rows, which follow, but for those that are at fault.
    Made {
        /// How many they are, behind those of the step before.
        messages: usize,
        faults: Vec<Fault>,
    },
    /// It cannot go on, and not for a message.
    Failed(Error),
}

/// A frame.
#[derive(Serialize, Deserialize)]
struct Head<T> {
    told: T,
    bytes: usize,
}

/// Writes something, and the rows that belong to it.
pub(super) fn write(out: &mut impl Write, told: &impl Serialize, rows: &[RecordBatch]) -> Result<()> {
    let mut body = Vec::new();
    if let Some(first) = rows.first() {
        let mut stream = StreamWriter::try_new(&mut body, &first.schema())?;
        rows.iter().try_for_each(|batch| stream.write(batch))?;
        stream.finish()?;
    }
    let mut head = serde_json::to_vec(&Head { told, bytes: body.len() })
        .map_err(|e| Error::internal(format!("what a child is told is no JSON: {e}")))?;
    head.push(b'\n');
    let written = out.write_all(&head).and_then(|()| out.write_all(&body)).and_then(|()| out.flush());
    written.map_err(|e| broken(&e))
}

/// Reads what the other side has written; `None` where it has ended, also in the middle of it.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<(T, Vec<RecordBatch>)>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).map_err(|e| broken(&e))?;
    if line.last() != Some(&b'\n') {
        return Ok(None);
    }
    let head: Head<T> = serde_json::from_slice(&line)
        .map_err(|e| Error::internal(format!("a child and its parent do not understand each other: {e}")))?;
    let mut body = vec![0; head.bytes];
    match from.read_exact(&mut body) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(broken(&e)),
    }
    let rows = match body.is_empty() {
        true => Vec::new(),
        false => StreamReader::try_new(Cursor::new(body), None)?.collect::<Result<Vec<_>, _>>()?,
    };
    Ok(Some((head.told, rows)))
}

fn broken(error: &IoError) -> Error {
    Error::storage(format!("a process that decodes messages cannot be talked to: {error}"))
}

/// Some of the messages, counted over all partitions.
pub(super) fn messages(raw: &[RawRows], range: Range<usize>) -> Result<RecordBatch> {
    let all = || {
        let all = raw.iter().flat_map(|rows| (0..rows.len()).map(move |at| (rows, at)));
        all.skip(range.start).take(range.len())
    };
    let columns: [(&str, Arc<dyn Array>); 4] = [
        ("partition", Arc::new(Int32Array::from_iter_values(all().map(|(rows, _)| rows.partition)))),
        ("offset", Arc::new(Int64Array::from_iter_values(all().map(|(rows, at)| rows.offsets[at])))),
        ("timestamp", Arc::new(all().map(|(rows, at)| rows.timestamps[at]).collect::<Int64Array>())),
        ("payload", Arc::new(all().map(|(rows, at)| rows.payload(at)).collect::<LargeBinaryArray>())),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))?)
}

/// The messages of such a batch.
pub(super) fn raw_rows(messages: &RecordBatch) -> Vec<RawRows> {
    let partitions = messages["partition"].as_primitive::<Int32Type>();
    let offsets = messages["offset"].as_primitive::<Int64Type>();
    let timestamps = messages["timestamp"].as_primitive::<Int64Type>();
    let payloads = messages["payload"].as_binary::<i64>();
    let mut raw: Vec<RawRows> = Vec::new();
    for at in 0..messages.num_rows() {
        let partition = partitions.value(at);
        if raw.last().is_none_or(|rows| rows.partition != partition) {
            raw.push(RawRows::new(partition));
        }
        if let Some(rows) = raw.last_mut() {
            let timestamp = timestamps.is_valid(at).then(|| timestamps.value(at));
            rows.push(offsets.value(at), timestamp, payloads.is_valid(at).then(|| payloads.value(at)));
        }
    }
    raw
}

/// Rows with the schema that they had before they were sent.
pub(super) fn with_schema(rows: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let rows = rows.into_iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()));
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let mut raw = vec![RawRows::new(0), RawRows::new(2), RawRows::new(3)];
        raw[0].push(7, Some(1), Some(b"a\nb"));
        raw[0].push(9, None, None);
        raw[2].push(1, Some(-5), Some(b""));
        raw[2].push(2, Some(i64::MAX), Some(&[0xff; 9]));
        let all: Vec<_> = (raw.iter())
            .flat_map(|rows| (0..rows.len()).map(move |at| (rows, at)))
            .map(|(r, at)| (r.partition, r.offsets[at], r.timestamps[at], r.payload(at).map(<[u8]>::to_vec)))
            .collect();
        for range in [0..4, 0..0, 1..3, 3..4] {
            let mut pipe = Vec::new();
            write(&mut pipe, &(), &[messages(&raw, range.clone()).unwrap()]).unwrap();
            write(&mut pipe, &Told::Made { messages: 3, faults: Vec::new() }, &[]).unwrap();
            let mut from = pipe.as_slice();
            let ((), batches) = read(&mut from).unwrap().unwrap();
            let arrived: Vec<_> = (raw_rows(&batches[0]).iter())
                .flat_map(|rows| (0..rows.len()).map(move |at| (rows.clone(), at)))
                .map(|(r, at)| {
                    (r.partition, r.offsets[at], r.timestamps[at], r.payload(at).map(<[u8]>::to_vec))
                })
                .collect();
            assert_eq!(arrived, all[range]);
            let Some((Told::Made { messages: 3, faults }, rows)) = read(&mut from).unwrap() else { panic!() };
            assert!(faults.is_empty() && rows.is_empty());
            assert!(read::<Told>(&mut from).unwrap().is_none());
            for cut in 1..pipe.len() {
                let mut torn = &pipe[..cut];
                while let Ok(Some(_)) = read::<serde_json::Value>(&mut torn) {}
            }
        }
    }
}
