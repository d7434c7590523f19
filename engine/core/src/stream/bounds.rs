//! How much of a stream is in memory, and for how many messages a batch is planned.
//!
//! A plan is written before its messages are read, so nobody knows how large they are. It is made for as many as
//! `max_bytes_per_trigger` are at the mean size of the newest batch's messages, which its commit tells, so that a driver that
//! was killed plans the same; before the first batch, at that of the first messages. However large they then are, they are
//! read, decoded and written in parts that fit `memory_limit`, under one commit.

use std::collections::BTreeMap;

use super::driver::Driver;
use crate::error::Result;
use crate::records::{BatchCounts, Commit, PartitionRange, Plan};
use crate::source::Watermarks;
use crate::source::kafka::Room;

/// Messages of a partition that are looked at before the first batch, of how many partitions, and most bytes of them.
const LOOK_MESSAGES: i64 = 16;
const LOOK_PARTITIONS: usize = 8;
const LOOK_BYTES: u64 = 1 << 20;
/// Kafka's default for the largest message: so many are no more than that.
const LARGE_MESSAGE: u64 = 1 << 20;
/// Commits that are asked for the size of messages.
const COMMITS_ASKED: u64 = 100;
/// Rows of the first step of a transform that multiplies them, and how much larger than the one before a step may be.
const FIRST_STEP: usize = 1;
const STEP_GROWTH: usize = 8;
/// So many times as many offsets as messages are planned at most.
const MOST_WIDER: u64 = 1_000;
/// The share of the memory of a part: raw, decoded, transformed and on its way to a file it is there several times.
const PART_SHARE: u64 = 32;

/// Bytes of messages, and how many they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    bytes: u64,
    messages: u64,
}

impl Seen {
    /// What a committed batch tells; dead letters that were fed again are no picture of the topic.
    fn of(counts: BatchCounts) -> Option<Seen> {
        let BatchCounts { rows_read, bytes_read, replayed, .. } = counts;
        (bytes_read > 0 && replayed == 0).then_some(Seen { bytes: bytes_read, messages: rows_read })
    }

    /// How many messages are so many bytes; one at least, and any number where none was seen.
    fn messages_of(self, bytes: u64) -> u64 {
        if self.messages == 0 {
            return u64::MAX;
        }
        let messages = u128::from(bytes) * u128::from(self.messages) / u128::from(self.bytes.max(1));
        u64::try_from(messages).unwrap_or(u64::MAX).max(1)
    }
}

/// What of a batch is in memory at a time, where a message becomes a row of so many columns in all.
pub(super) fn room(memory_limit: u64, columns: usize) -> Room {
    Room { bytes: (memory_limit / PART_SHARE).clamp(1 << 20, 128 << 20), per_message: 8 * columns as u64 }
}

/// How many rows are transformed at once, where a row may become several: what came of those before tells.
#[derive(Debug)]
pub(super) struct Steps {
    rows: usize,
    most_bytes: u64,
}

impl Steps {
    /// The first step is a small one; all at once where rows do not multiply.
    pub(super) fn new(multiplies: bool, room: Room) -> Steps {
        let rows = if multiplies { FIRST_STEP } else { usize::MAX };
        Steps { rows, most_bytes: room.bytes }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// So many rows have become so many bytes.
    pub(super) fn saw(&mut self, rows: usize, bytes: u64) {
        let fit = u128::from(self.most_bytes) * rows as u128 / u128::from(bytes.max(1));
        let most = rows.saturating_mul(STEP_GROWTH);
        self.rows = usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, most.max(1));
    }
}

/// How many messages a batch found in the offsets that it went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    offsets: u64,
    messages: u64,
}

impl Found {
    /// What a committed batch tells; one that read no offsets tells nothing.
    pub(super) fn of(plan: &Plan, commit: &Commit) -> Option<Found> {
        let read = read_of(plan, commit);
        let offsets = read.iter().map(|range| u64::try_from(range.to - range.from).unwrap_or(0)).sum();
        (offsets > 0).then_some(Found { offsets, messages: commit.counts.rows_read })
    }

    /// How many offsets hold so many messages.
    fn offsets_of(self, messages: u64) -> u64 {
        let Found { offsets, messages: found } = self;
        let exact = u128::from(messages) * u128::from(offsets) / u128::from(found.max(1));
        u64::try_from(exact).unwrap_or(u64::MAX).clamp(messages, messages.saturating_mul(MOST_WIDER))
    }
}

/// The ranges of a committed batch as far as they were read.
pub(super) fn read_of(plan: &Plan, commit: &Commit) -> Vec<PartitionRange> {
    let to = |range: &PartitionRange| commit.read.ends.get(&range.partition).copied().unwrap_or(range.to);
    plan.topic.partitions.iter().map(|range| PartitionRange { to: to(range), ..*range }).collect()
}

/// Makes ranges as wide as it takes to find as many messages as they have offsets, and says how many that are of those.
fn widen(
    ranges: &mut [PartitionRange],
    watermarks: &BTreeMap<i32, Watermarks>,
    found: Found,
) -> BTreeMap<i32, u64> {
    let mut most = BTreeMap::new();
    for range in ranges.iter_mut() {
        let wanted = u64::try_from(range.to - range.from).unwrap_or(0);
        let high = watermarks.get(&range.partition).map_or(range.to, |marks| marks.high);
        let offsets = i64::try_from(found.offsets_of(wanted)).unwrap_or(i64::MAX);
        let to = range.from.saturating_add(offsets).min(high);
        if wanted > 0 && to > range.to {
            range.to = to;
            most.insert(range.partition, wanted);
        }
    }
    most
}

impl Driver {
    /// Limits count messages, and a plan has offsets, of which some hold none (compaction, transactions): where the newest
    /// batch found fewer messages than offsets, ranges are wider by as much, and end behind the messages that are wanted.
    ///
    /// # Errors
    /// Storage or Corrupt: the records of the newest batch.
    pub(super) fn widen(
        &mut self,
        ranges: &mut [PartitionRange],
        watermarks: &BTreeMap<i32, Watermarks>,
    ) -> Result<BTreeMap<i32, u64>> {
        if self.found.is_none() {
            self.found = self.newest(Found::of)?;
        }
        Ok(self.found.map(|found| widen(ranges, watermarks, found)).unwrap_or_default())
    }

    /// Remembers how large the messages of a committed batch were.
    pub(super) fn see(&mut self, counts: BatchCounts) {
        self.seen = Seen::of(counts).or(self.seen);
    }

    /// Most messages of the next batch.
    ///
    /// # Errors
    /// Storage or Corrupt: the commits; Source: the first messages cannot be read.
    pub(super) fn most_messages(
        &mut self,
        positions: &BTreeMap<i32, i64>,
        watermarks: &BTreeMap<i32, Watermarks>,
    ) -> Result<u64> {
        let source = &self.job.source;
        let (most_bytes, most) =
            (source.max_bytes_per_trigger, source.max_offsets_per_trigger.unwrap_or(u64::MAX));
        let high =
            |partition: &i32, from: i64| watermarks.get(partition).map_or(from, |marks| marks.high.max(from));
        let there: u64 = positions.iter().map(|(p, &from)| (high(p, from) - from).unsigned_abs()).sum();
        if there.min(most) <= most_bytes / LARGE_MESSAGE {
            return Ok(most);
        }
        if self.seen.is_none() {
            self.seen = self.newest(|_, commit| Seen::of(commit.counts))?;
        }
        let seen = match self.seen {
            Some(seen) => seen,
            None => {
                let ranges = positions.iter().map(|(&partition, &from)| PartitionRange {
                    partition,
                    from,
                    to: high(&partition, from).min(from + LOOK_MESSAGES),
                });
                let ranges: Vec<PartitionRange> =
                    ranges.filter(|range| range.to > range.from).take(LOOK_PARTITIONS).collect();
                let look = Room { bytes: LOOK_BYTES, per_message: 0 };
                let (bytes, messages) = tokio::task::block_in_place(|| self.source.look(&ranges, look))?;
                Seen { bytes, messages }
            }
        };
        Ok(most.min(seen.messages_of(most_bytes)))
    }

    /// What the newest batch tells that tells anything: replays and batches without messages do not.
    fn newest<T>(&self, told: impl Fn(&Plan, &Commit) -> Option<T>) -> Result<Option<T>> {
        let Some(newest) = self.latest_batch() else { return Ok(None) };
        for number in (newest.saturating_sub(COMMITS_ASKED)..=newest).rev() {
            let plan = self.checkpoint.offsets.read(number)?;
            if let Some(told) = told(&plan, &self.checkpoint.commits.read(number)?) {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_as_many_messages_as_fit_at_their_mean_size() {
        let seen = Seen { bytes: 3_000, messages: 10 };
        assert_eq!((seen.messages_of(1_000_000), seen.messages_of(299)), (3333, 1));
        assert_eq!(Seen { bytes: 0, messages: 0 }.messages_of(5), u64::MAX);
        assert_eq!(Seen { bytes: 0, messages: 3 }.messages_of(5), 15);
        assert_eq!(Seen { bytes: 1, messages: u64::MAX }.messages_of(u64::MAX), u64::MAX);
        let counts = BatchCounts { rows_read: 10, bytes_read: 3_000, ..BatchCounts::default() };
        assert_eq!(Seen::of(counts), Some(seen));
        assert_eq!(Seen::of(BatchCounts { replayed: 10, ..counts }), None);
        assert_eq!(Seen::of(BatchCounts { bytes_read: 0, ..counts }), None);
    }

    #[test]
    fn ranges_are_as_wide_as_their_messages_lie_apart() {
        let range = |partition, from, to| PartitionRange { partition, from, to };
        let watermarks = [(0, 1_000), (1, 130), (2, 50)].map(|(p, high)| (p, Watermarks { low: 0, high }));
        let watermarks = BTreeMap::from(watermarks);
        let planned = [range(0, 100, 200), range(1, 100, 120), range(2, 50, 50)];
        let widened = |offsets, messages| {
            let mut ranges = planned;
            let most = widen(&mut ranges, &watermarks, Found { offsets, messages });
            (ranges.map(|range| range.to), most)
        };
        let most = |list: &[(i32, u64)]| list.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(widened(100, 100), ([200, 120, 50], most(&[])));
        assert_eq!(
            widened(100, 250),
            ([200, 120, 50], most(&[])),
            "more messages than offsets there are never"
        );
        assert_eq!(widened(100, 40), ([350, 130, 50], most(&[(0, 100), (1, 20)])));
        assert_eq!(widened(100, 0), ([1_000, 130, 50], most(&[(0, 100), (1, 20)])));
        assert_eq!(Found { offsets: 1_000_000, messages: 1 }.offsets_of(7), 7_000);
    }

    #[test]
    fn a_step_is_of_as_many_rows_as_become_what_fits() {
        let room = Room { bytes: 1_000_000, per_message: 0 };
        assert_eq!(Steps::new(false, room).rows(), usize::MAX);
        let mut steps = Steps::new(true, room);
        assert_eq!(steps.rows(), 1);
        steps.saw(1, 1_000);
        assert_eq!(steps.rows(), 8, "by no more than eight times");
        steps.saw(800, 800_000);
        assert_eq!(steps.rows(), 1_000);
        steps.saw(1_000, 100_000_000);
        assert_eq!(steps.rows(), 10);
        steps.saw(10, 1_000_000_000);
        assert_eq!(steps.rows(), 1);
        steps.saw(1, 0);
        assert_eq!(steps.rows(), 8);
    }
}
