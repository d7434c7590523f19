//! The sparse index of one segment: from an offset or a timestamp to a byte position.
//!
//! One entry (24 bytes) for every 32 KiB of log, kept in memory and rebuilt from the batch heads
//! when the segment is opened: there is no second file that could disagree with the log.
//! A lookup gives the nearest entry at or before the goal; the caller walks batch heads from there.

/// Bytes of log between two entries.
const INTERVAL_BYTES: u64 = 32 * 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Base offset of the batch at `position`.
    offset: i64,
    position: u64,
    /// Greatest timestamp of all batches before `position` in this segment.
    max_timestamp_before: i64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct SparseIndex {
    entries: Vec<Entry>,
    max_timestamp: i64,
}

impl SparseIndex {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), max_timestamp: i64::MIN }
    }

    /// Notes a batch that was appended at `position`; positions and offsets only grow.
    pub(crate) fn note(&mut self, offset: i64, position: u64, max_timestamp: i64) {
        let due = self.entries.last().is_none_or(|last| position - last.position >= INTERVAL_BYTES);
        if due {
            self.entries.push(Entry { offset, position, max_timestamp_before: self.max_timestamp });
        }
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
    }

    /// Greatest timestamp in the segment, `i64::MIN` if it is empty.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn floor(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|e| e.offset <= offset);
        after.checked_sub(1).map_or(0, |i| self.entries[i].position)
    }

    /// A position at or before the first batch that reaches `target_ms`.
    pub(crate) fn floor_by_time(&self, target_ms: i64) -> u64 {
        let after = self.entries.partition_point(|e| e.max_timestamp_before < target_ms);
        after.checked_sub(1).map_or(0, |i| self.entries[i].position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_floor_is_never_past_its_batch_nor_far_before(
            sizes in prop::collection::vec((61u64..60_000, 0i64..1000), 1..200),
            pick in any::<prop::sample::Index>(),
        ) {
            let mut index = SparseIndex::new();
            let mut at = 0;
            let mut batches = Vec::new();
            for (offset, (size, timestamp)) in sizes.iter().enumerate() {
                index.note(offset as i64, at, *timestamp);
                batches.push((at, *timestamp));
                at += size;
            }
            let chosen = pick.index(batches.len());
            let floor = index.floor(chosen as i64);
            prop_assert!(floor <= batches[chosen].0);
            prop_assert!(batches[chosen].0 - floor < INTERVAL_BYTES);
            let target = batches[chosen].1;
            let first = batches.iter().find(|b| b.1 >= target).unwrap().0;
            let floor = index.floor_by_time(target);
            prop_assert!(floor <= first);
            prop_assert!(first - floor < INTERVAL_BYTES);
        }
    }
}
