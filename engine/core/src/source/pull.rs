//! How far the partitions of a batch have been read.

use std::collections::VecDeque;

use super::RawRows;
use crate::records::PartitionRange;

/// What is known of a partition's stream of messages.
#[derive(Default)]
pub(super) struct Reader {
    /// End of the last range that was read: the next one goes on from here, or the consumer is pointed anew.
    pub(super) position: i64,
    /// The next offset that the broker will deliver.
    pub(super) next: i64,
    /// Messages delivered beyond `position`.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: u64,
    /// The end of the partition was told after the last message: it is told once, maybe batches before the one that
    /// waits for it.
    pub(super) ended: bool,
    pub(super) paused: bool,
    /// What librdkafka tells as its position is of the time since the consumer was pointed here, not from before.
    pub(super) heard: bool,
    /// The partition does not hold the next offset: it is not asked for until a plan wants it.
    pub(super) gone: bool,
}

pub(super) struct Waiting {
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
    pub(super) payload: Option<Vec<u8>>,
}

/// Progress of one partition within a batch.
pub(super) struct Pull {
    pub(super) range: PartitionRange,
    pub(super) rows: RawRows,
    /// Offsets below this have been delivered or do not exist.
    pub(super) seen: i64,
    /// The consumer was pointed at `seen` since the plan was made.
    pub(super) sought: bool,
    /// The partition was found cut off within the range: it goes on here.
    pub(super) cut_off: Option<i64>,
    /// Behind so many messages the range ends.
    pub(super) most: u64,
    /// Where the range ends by its plan.
    pub(super) planned_to: i64,
}

impl Pull {
    pub(super) fn done(&self) -> bool {
        self.seen >= self.range.to
    }

    /// Takes the next message; behind the last one that is wanted the range ends.
    pub(super) fn push(&mut self, offset: i64, timestamp: Option<i64>, payload: Option<&[u8]>) {
        self.rows.push(offset, timestamp, payload);
        self.seen = offset + 1;
        if self.rows.len() as u64 >= self.most {
            self.range.to = self.seen;
        }
    }

    /// Where the range ended before its plan does, as it had all the messages that are wanted.
    pub(super) fn filled_up_at(&self) -> Option<i64> {
        (self.rows.len() as u64 >= self.most && self.range.to < self.planned_to).then_some(self.range.to)
    }
}
