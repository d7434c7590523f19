//! Where rows come from: Kafka, read by exact offset ranges.
//!
//! Planning ([`plan`]) is arithmetic over watermarks and touches no network; [`kafka`] does the I/O, `questions` asks
//! about the topic, `wait` waits for brokers that are away, and `marks` tell whether a log is still the one that was read.
//! [`security`] decides what the connections may be, and [`lag`] tells how far a stream is behind.

pub mod kafka;
pub mod lag;
pub(crate) mod marks;
pub mod plan;
mod pull;
mod questions;
pub mod security;
mod topic_id;
mod wait;

pub use plan::Watermarks;
pub use wait::Patience;

/// Messages of one partition in offset order, as they came: payloads end to end in one buffer.
#[derive(Debug, Default, Clone)]
pub struct RawRows {
    /// Partition number.
    pub partition: i32,
    /// Offset of each message.
    pub offsets: Vec<i64>,
    /// Timestamp of each message, milliseconds since the epoch; `None` where the broker has none.
    pub timestamps: Vec<Option<i64>>,
    ends: Vec<usize>,
    nulls: Vec<bool>,
    bytes: Vec<u8>,
}

impl RawRows {
    /// No messages yet.
    pub fn new(partition: i32) -> Self {
        RawRows { partition, ..RawRows::default() }
    }

    /// Adds a message; `None` is a message without a value (a tombstone).
    pub fn push(&mut self, offset: i64, timestamp: Option<i64>, payload: Option<&[u8]>) {
        self.offsets.push(offset);
        self.timestamps.push(timestamp);
        self.bytes.extend_from_slice(payload.unwrap_or_default());
        self.ends.push(self.bytes.len());
        self.nulls.push(payload.is_none());
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// No messages.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of the values of some messages.
    pub(crate) fn bytes_of(&self, range: std::ops::Range<usize>) -> usize {
        let start = range.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        range.end.checked_sub(1).map_or(0, |last| self.ends[last].saturating_sub(start))
    }

    /// The value of a message.
    pub fn payload(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (!self.nulls[index]).then(|| &self.bytes[start..self.ends[index]])
    }
}
