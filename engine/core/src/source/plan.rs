//! Which offsets the next batch covers: pure functions over watermarks.

use std::collections::BTreeMap;

use crate::checkpoint::{DataLoss, PartitionRange};
use crate::project::StartingOffsets;

/// What a partition holds now: `low` is its oldest offset, `high` one past its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Oldest offset.
    pub low: i64,
    /// One past the newest offset.
    pub high: i64,
}

/// Where each partition goes on, and what was lost on the way there.
///
/// | last plan's `to` | watermarks | goes on at | lost |
/// | --- | --- | --- | --- |
/// | T | low ≤ T ≤ high | T | – |
/// | T | low > T (deleted by retention) | low | T..low |
/// | T | high < T (truncated, or a topic made anew) | low | from T on, number unknown |
/// | – (the first plan) | any | low or high, by `starting` | – |
/// | – (a new partition later) | any | low | – |
///
/// A partition of the last plan without watermarks is one that the topic no longer has: lost, from T on.
pub fn next_positions(
    previous: Option<&[PartitionRange]>,
    watermarks: &BTreeMap<i32, Watermarks>,
    starting: StartingOffsets,
) -> (BTreeMap<i32, i64>, Vec<DataLoss>) {
    let mut positions = BTreeMap::new();
    let mut losses = Vec::new();
    let last: BTreeMap<i32, i64> =
        previous.unwrap_or_default().iter().map(|range| (range.partition, range.to)).collect();
    for (&partition, marks) in watermarks {
        let position = match last.get(&partition) {
            Some(&to) if to < marks.low => {
                losses.push(DataLoss::deleted(partition, to, marks.low));
                marks.low
            }
            Some(&to) if to > marks.high => {
                let reason = format!("the partition ends at offset {}, it was read up to {to}", marks.high);
                losses.push(DataLoss { partition, from: to, to, reason });
                marks.low
            }
            Some(&to) => to,
            None if previous.is_none() && starting == StartingOffsets::Latest => marks.high,
            None => marks.low,
        };
        positions.insert(partition, position);
    }
    for (&partition, &to) in last.iter().filter(|(p, _)| !watermarks.contains_key(p)) {
        let reason = format!("the topic no longer has partition {partition}");
        losses.push(DataLoss { partition, from: to, to, reason });
    }
    (positions, losses)
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
        let at = |previous: Option<&[PartitionRange]>, list: &[(i32, i64, i64)], starting| {
            let (positions, losses) = next_positions(previous, &marks(list), starting);
            (positions.get(&0).copied(), losses.iter().map(|l| (l.from, l.to)).collect::<Vec<_>>())
        };
        use StartingOffsets::{Earliest, Latest};
        let last = [range(0, 5, 10)];
        assert_eq!(at(Some(&last), &[(0, 0, 20)], Earliest), (Some(10), vec![]));
        assert_eq!(at(Some(&last), &[(0, 10, 10)], Latest), (Some(10), vec![]));
        assert_eq!(at(Some(&last), &[(0, 12, 20)], Earliest), (Some(12), vec![(10, 12)]));
        assert_eq!(at(Some(&last), &[(0, 0, 7)], Earliest), (Some(0), vec![(10, 10)]));
        assert_eq!(at(None, &[(0, 3, 20)], Earliest), (Some(3), vec![]));
        assert_eq!(at(None, &[(0, 3, 20)], Latest), (Some(20), vec![]));
        assert_eq!(at(Some(&[]), &[(0, 3, 20)], Latest), (Some(3), vec![]));
        assert_eq!(at(Some(&last), &[], Earliest), (None, vec![(10, 10)]));
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
