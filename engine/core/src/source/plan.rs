//! Which offsets the next batch covers: pure functions over watermarks.

use std::collections::BTreeMap;

use crate::project::StartingOffsets;
use crate::records::{DataLoss, PartitionRange};

/// What a partition holds now: `low` is its oldest offset, `high` one past its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Oldest offset.
    pub low: i64,
    /// One past the newest offset.
    pub high: i64,
}

/// Where a batch begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// First offset of each partition.
    pub from: BTreeMap<i32, i64>,
    /// What was lost on the way there.
    pub lost: Vec<DataLoss>,
    /// Partitions that end below what was read of them: where.
    pub cut_off: BTreeMap<i32, i64>,
}

/// Where each partition goes on, and what was lost on the way there. `cut_off` is what the last plan says of partitions
/// that ended below what was read of them.
///
/// | last plan's `to` | ended at | watermarks | goes on at | lost | ends at |
/// | --- | --- | --- | --- | --- | --- |
/// | T | | low ≤ T ≤ high | T | – | |
/// | T | | low > T (deleted by retention) | low | T..low | |
/// | T | | high < T (the log was cut off) | T | high..T, gone | high |
/// | T | E | high = E | T | – | E |
/// | T | E | E < high < T | T | E..high, written again | high |
/// | T | E | high ≥ T | T, or low if > T | E..T, written again; T..low | |
/// | T | E | high < E (cut off once more) | T | high..E, gone | high |
/// | – (the first plan) | | any | low or high, by `starting` | – | |
/// | – (a new partition later) | | any | low | – | |
///
/// An offset that was read is not read again, whatever is written there: the table has a row of it. A partition of the
/// last plan without watermarks is one that the topic no longer has: it ends at 0.
pub fn next_positions(
    previous: Option<&[PartitionRange]>,
    cut_off: &BTreeMap<i32, i64>,
    watermarks: &BTreeMap<i32, Watermarks>,
    starting: StartingOffsets,
) -> Positions {
    let mut positions = Positions::default();
    let read: BTreeMap<i32, i64> =
        previous.unwrap_or_default().iter().map(|range| (range.partition, range.to)).collect();
    for (&partition, marks) in watermarks.iter().filter(|(p, _)| !read.contains_key(p)) {
        let is_first = previous.is_none() && starting == StartingOffsets::Latest;
        positions.from.insert(partition, if is_first { marks.high } else { marks.low });
    }
    for (&partition, &to) in &read {
        let marks = watermarks.get(&partition);
        let (low, high) = marks.map_or((0, 0), |marks| (marks.low, marks.high));
        let end = cut_off.get(&partition).copied().unwrap_or(to).min(to);
        if high < end {
            positions.lost.push(match marks {
                Some(_) => gone(partition, high, end),
                None => DataLoss {
                    partition,
                    from: to,
                    to,
                    reason: format!("the topic no longer has partition {partition}"),
                },
            });
        } else if end < high.min(to) {
            positions.lost.push(written_again(partition, end, high.min(to)));
        }
        if high < to {
            positions.cut_off.insert(partition, high);
        }
        if to < low {
            positions.lost.push(DataLoss::deleted(partition, to, low));
        }
        positions.from.insert(partition, to.max(low));
    }
    positions
}

/// Leaves of what partitions hold what is before `until`, one past the last offset of each, for a run that takes no more.
/// Partitions that are not named there are left out, unless something was read of them.
///
/// What was read beyond (by another run, since those ends were asked for), or deleted up to beyond them, stays: neither is a
/// log that was cut off.
pub fn end_at(
    watermarks: &mut BTreeMap<i32, Watermarks>,
    until: &BTreeMap<i32, i64>,
    previous: &[PartitionRange],
) {
    let read: BTreeMap<i32, i64> = previous.iter().map(|range| (range.partition, range.to)).collect();
    watermarks.retain(|partition, _| until.contains_key(partition) || read.contains_key(partition));
    for (partition, marks) in watermarks {
        let end = until.get(partition).max(read.get(partition)).copied().unwrap_or(marks.high);
        marks.high = marks.high.min(end).max(marks.low);
    }
}

/// Offsets that were read and are no longer there.
fn gone(partition: i32, from: i64, to: i64) -> DataLoss {
    let reason = format!(
        "partition {partition} ends at offset {from}, it was read up to {to}: the log was cut off, what it held there \
         is in the table alone"
    );
    DataLoss { partition, from, to, reason }
}

/// Messages under offsets that were read before their log was cut off.
fn written_again(partition: i32, from: i64, to: i64) -> DataLoss {
    let reason = format!(
        "offsets {from} to {} of partition {partition} were read before the log was cut off there, and written again \
         since: what is new there is not read",
        to - 1
    );
    DataLoss { partition, from, to, reason }
}

/// Cuts what is there down to `limit` messages: each partition gets its share by how much it has, so that none
/// starves; what rounding leaves goes to the partitions with the largest remainder, then the lowest number.
pub fn split_limit(
    positions: &BTreeMap<i32, i64>,
    watermarks: &BTreeMap<i32, Watermarks>,
    limit: Option<u64>,
) -> Vec<PartitionRange> {
    let available = |partition: &i32, from: i64| -> u64 {
        watermarks.get(partition).map_or(0, |m| u64::try_from(m.high - from).unwrap_or(0))
    };
    let total: u64 = positions.iter().map(|(p, &from)| available(p, from)).sum();
    let limit = limit.unwrap_or(u64::MAX).min(total);
    let mut shares: Vec<(i32, i64, u64, u128)> = positions
        .iter()
        .map(|(&partition, &from)| {
            let exact = u128::from(limit) * u128::from(available(&partition, from));
            let (share, remainder) = match u128::from(total) {
                0 => (0, 0),
                total => (exact / total, exact % total),
            };
            (partition, from, u64::try_from(share).unwrap_or(u64::MAX), remainder)
        })
        .collect();
    let mut left = limit - shares.iter().map(|share| share.2).sum::<u64>();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(shares[at].3), shares[at].0));
    for at in order {
        if left > 0 && shares[at].3 > 0 {
            shares[at].2 += 1;
            left -= 1;
        }
    }
    shares
        .into_iter()
        .map(|(partition, from, share, _)| PartitionRange {
            partition,
            from,
            to: from + i64::try_from(share).unwrap_or(i64::MAX - from),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(list: &[(i32, i64, i64)]) -> BTreeMap<i32, Watermarks> {
        list.iter().map(|&(p, low, high)| (p, Watermarks { low, high })).collect()
    }

    fn range(partition: i32, from: i64, to: i64) -> PartitionRange {
        PartitionRange { partition, from, to }
    }

    #[test]
    fn every_row_of_the_truth_table() {
        let cut =
            |ended: Option<i64>, previous: Option<&[PartitionRange]>, list: &[(i32, i64, i64)], starting| {
                let ended = ended.map(|end| (0, end)).into_iter().collect();
                let positions = next_positions(previous, &ended, &marks(list), starting);
                let lost: Vec<_> = positions.lost.iter().map(|l| (l.from, l.to)).collect();
                (positions.from.get(&0).copied(), lost, positions.cut_off.get(&0).copied())
            };
        let at = |previous, list: &[(i32, i64, i64)], starting| cut(None, previous, list, starting);
        use StartingOffsets::{Earliest, Latest};
        let last = [range(0, 5, 10)];
        assert_eq!(at(Some(&last), &[(0, 0, 20)], Earliest), (Some(10), vec![], None));
        assert_eq!(at(Some(&last), &[(0, 10, 10)], Latest), (Some(10), vec![], None));
        assert_eq!(at(Some(&last), &[(0, 12, 20)], Earliest), (Some(12), vec![(10, 12)], None));
        assert_eq!(at(Some(&last), &[(0, 0, 7)], Earliest), (Some(10), vec![(7, 10)], Some(7)));
        assert_eq!(at(None, &[(0, 3, 20)], Earliest), (Some(3), vec![], None));
        assert_eq!(at(None, &[(0, 3, 20)], Latest), (Some(20), vec![], None));
        assert_eq!(at(Some(&[]), &[(0, 3, 20)], Latest), (Some(3), vec![], None));
        assert_eq!(at(Some(&last), &[], Earliest), (Some(10), vec![(10, 10)], Some(0)));

        let cut = |ended, list: &[(i32, i64, i64)]| cut(Some(ended), Some(&last), list, Earliest);
        assert_eq!(cut(7, &[(0, 0, 7)]), (Some(10), vec![], Some(7)));
        assert_eq!(cut(7, &[(0, 0, 9)]), (Some(10), vec![(7, 9)], Some(9)));
        assert_eq!(cut(7, &[(0, 0, 10)]), (Some(10), vec![(7, 10)], None));
        assert_eq!(cut(7, &[(0, 0, 30)]), (Some(10), vec![(7, 10)], None));
        assert_eq!(cut(7, &[(0, 12, 30)]), (Some(12), vec![(7, 10), (10, 12)], None));
        assert_eq!(cut(7, &[(0, 0, 4)]), (Some(10), vec![(4, 7)], Some(4)));
        // A partition that is not there any more, and is there again.
        assert_eq!(cut(0, &[]), (Some(10), vec![], Some(0)));
        assert_eq!(cut(0, &[(0, 0, 12)]), (Some(10), vec![(0, 10)], None));
    }

    #[test]
    fn a_run_ends_where_it_was_to_end() {
        let mut there =
            marks(&[(0, 0, 20), (1, 0, 20), (2, 15, 20), (3, 0, 8), (4, 0, 20), (5, 0, 20), (6, 0, 7)]);
        let until = [(0, 10), (1, 10), (2, 10), (3, 10), (6, 10)].into();
        // Of 1 another run has read more, of 4 too, of 6 as well, which was cut off; 5 is new.
        let previous = [range(0, 0, 5), range(1, 0, 12), range(4, 0, 4), range(6, 0, 9)];
        end_at(&mut there, &until, &previous);
        let ends = marks(&[(0, 0, 10), (1, 0, 12), (2, 15, 15), (3, 0, 8), (4, 0, 4), (6, 0, 7)]);
        assert_eq!(there, ends);
        let positions = next_positions(Some(&previous), &BTreeMap::new(), &there, StartingOffsets::Earliest);
        let lost: Vec<_> = positions.lost.iter().map(|loss| (loss.partition, loss.from, loss.to)).collect();
        assert_eq!(lost, [(6, 7, 9)]);
    }

    #[test]
    fn shares_follow_what_is_there() {
        let watermarks = marks(&[(0, 0, 100), (1, 0, 300), (2, 0, 0)]);
        let positions = [(0, 0), (1, 0), (2, 0)].into();
        assert_eq!(
            split_limit(&positions, &watermarks, Some(40)),
            [range(0, 0, 10), range(1, 0, 30), range(2, 0, 0)]
        );
        assert_eq!(
            split_limit(&positions, &watermarks, None),
            [range(0, 0, 100), range(1, 0, 300), range(2, 0, 0)]
        );
    }

    proptest! {
        /// However often a log is cut off and written again, no offset is read twice and none is passed over unsaid.
        #[test]
        fn no_offset_is_read_twice(highs in proptest::collection::vec(0i64..40, 1..20)) {
            let (mut last, mut cut_off) = (vec![range(0, 0, 0)], BTreeMap::new());
            let (mut rows, mut said) = (vec![0; 40], vec![0; 40]);
            for high in highs {
                let watermarks = marks(&[(0, 0, high)]);
                let positions = next_positions(Some(&last), &cut_off, &watermarks, StartingOffsets::Earliest);
                last = split_limit(&positions.from, &watermarks, None);
                cut_off = positions.cut_off;
                (last[0].from..last[0].to).for_each(|offset| rows[offset as usize] += 1);
                for loss in &positions.lost {
                    (loss.from..loss.to).for_each(|offset| said[offset as usize] += 1);
                }
                for offset in 0..40 {
                    prop_assert!(rows[offset] <= 1);
                    prop_assert_eq!(rows[offset] == 1, (offset as i64) < last[0].to);
                    // What is in the table and not in the log has been said.
                    prop_assert!((offset as i64) < high || rows[offset] == 0 || said[offset] > 0);
                }
            }
        }

        /// The limit is used in full, never passed, and no range leaves its partition.
        #[test]
        fn the_limit_is_kept(
            sizes in proptest::collection::vec(0i64..10_000, 1..12),
            limit in proptest::option::of(1u64..20_000),
        ) {
            let list: Vec<_> = sizes.iter().enumerate().map(|(p, &n)| (p as i32, 7, 7 + n)).collect();
            let watermarks = marks(&list);
            let positions = watermarks.iter().map(|(&p, m)| (p, m.low)).collect();
            let ranges = split_limit(&positions, &watermarks, limit);
            let total: i64 = sizes.iter().sum();
            let taken: i64 = ranges.iter().map(|r| r.to - r.from).sum();
            prop_assert_eq!(taken as u64, limit.unwrap_or(u64::MAX).min(total as u64));
            for (range, size) in ranges.iter().zip(&sizes) {
                prop_assert!(range.from == 7 && range.to >= 7 && range.to <= 7 + size);
            }
        }
    }
}
