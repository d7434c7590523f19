//! Where rows come from: Kafka, read by exact offset ranges.
//!
//! Planning ([`plan`]) is arithmetic over watermarks and touches no network; [`kafka`] does the I/O, [`security`] decides
//! what its connections may be, and [`lag`] tells how far a stream is behind.

pub mod kafka;
pub mod lag;
pub mod plan;
pub mod security;
mod topic_id;

pub use plan::Watermarks;

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

    /// The value of a message.
    pub fn payload(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (!self.nulls[index]).then(|| &self.bytes[start..self.ends[index]])
    }
}
