//! Whether a log is still the one that was read, also where it has grown beyond that since.
//!
//! A broker that lost the end of a log and got as much again looks by its offsets like one that lost nothing. What tells
//! them apart is the last message that was read of each partition: it is kept with the commit, and read once more when
//! a stream starts and after a connection was lost.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::RawRows;
use super::plan::Watermarks;
use crate::records::{DataLoss, Mark, PartitionRange};

impl Mark {
    /// The last of these messages.
    pub fn last_of(rows: &RawRows) -> Option<Mark> {
        let last = rows.len().checked_sub(1)?;
        Some(Mark {
            offset: rows.offsets[last],
            timestamp: rows.timestamps[last],
            xxh3: rows.payload(last).map(|payload| format!("{:016x}", xxh3_64(payload))),
        })
    }
}

/// What is to be read again: from each mark to where reading goes on, so that it then goes on in place. A mark that
/// the log does not reach, or no longer holds, tells nothing.
pub(crate) fn to_compare(
    marks: &BTreeMap<i32, Mark>,
    read: &[PartitionRange],
    watermarks: &BTreeMap<i32, Watermarks>,
) -> Vec<PartitionRange> {
    let range = |range: &PartitionRange| {
        let (mark, log) = (marks.get(&range.partition)?, watermarks.get(&range.partition)?);
        (log.low <= mark.offset && range.from <= log.high && mark.offset < range.from)
            .then_some(PartitionRange { from: mark.offset, to: range.from, ..*range })
    };
    read.iter().filter_map(range).collect()
}

/// Partitions whose message at the mark is another one now, with what it is, and where reading goes on.
///
/// | at the mark's offset is now | |
/// | --- | --- |
/// | the same message | the log is the one that was read |
/// | another message | it was cut off there or before, and written again |
/// | none (compaction, a marker) | nothing can be told |
pub(crate) fn written_again(
    marks: &BTreeMap<i32, Mark>,
    ranges: &[PartitionRange],
    rows: &[RawRows],
) -> Vec<(DataLoss, Mark)> {
    let compare = |rows: &RawRows| {
        let before = marks.get(&rows.partition)?;
        let range = ranges.iter().find(|range| range.partition == rows.partition)?;
        let mut first = RawRows::new(rows.partition);
        if !rows.is_empty() {
            first.push(rows.offsets[0], rows.timestamps[0], rows.payload(0));
        }
        let now = Mark::last_of(&first).filter(|now| now.offset == before.offset && now != before)?;
        let (partition, from, to) = (rows.partition, before.offset, range.to);
        let reason = format!(
            "the message at offset {from} of partition {partition} is not the one that was read: the log was cut off \
             there or before and written again, what is new below offset {to} is not read"
        );
        Some((DataLoss { partition, from, to, reason }, now))
    };
    rows.iter().filter_map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(partition: i32, messages: &[(i64, Option<&str>)]) -> RawRows {
        let mut rows = RawRows::new(partition);
        messages.iter().for_each(|(offset, text)| rows.push(*offset, Some(7), text.map(str::as_bytes)));
        rows
    }

    #[test]
    fn every_row_of_the_truth_table() {
        let mark = Mark::last_of(&rows(0, &[(3, Some("a")), (4, Some("b"))])).unwrap();
        let marks = BTreeMap::from([(0, mark.clone())]);
        let ranges = [PartitionRange { partition: 0, from: 4, to: 6 }];
        let lost = |messages: &[(i64, Option<&str>)]| {
            let found = written_again(&marks, &ranges, &[rows(0, messages)]);
            found.into_iter().map(|(loss, _)| (loss.from, loss.to)).collect::<Vec<_>>()
        };
        assert_eq!(lost(&[(4, Some("b")), (5, Some("c"))]), []);
        assert_eq!(lost(&[(4, Some("x"))]), [(4, 6)]);
        assert_eq!(lost(&[(4, None)]), [(4, 6)]);
        assert_eq!(lost(&[(5, Some("b"))]), []);
        assert_eq!(lost(&[]), []);
    }

    #[test]
    fn only_marks_that_the_log_holds_are_read_again() {
        let mark = |offset| Mark { offset, timestamp: None, xxh3: None };
        let marks = BTreeMap::from([(0, mark(4)), (1, mark(4)), (2, mark(4)), (3, mark(4))]);
        let next = |partition| PartitionRange { partition, from: 6, to: 9 };
        let read: Vec<_> = (0..5).map(next).collect();
        // 0 holds it, 1 has deleted it, 2 ends below what was read, 3 has no watermarks, 4 no mark.
        let watermarks = [(0, (0, 9)), (1, (5, 9)), (2, (0, 5)), (4, (0, 9))]
            .map(|(p, (low, high))| (p, Watermarks { low, high }))
            .into();
        assert_eq!(to_compare(&marks, &read, &watermarks), [PartitionRange { partition: 0, from: 4, to: 6 }]);
    }
}
