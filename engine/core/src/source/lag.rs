//! How far a stream is behind its topic, and the same told to monitors as offsets of a consumer group.
//!
//! The group's offsets are a courtesy: nothing here reads them, and a broker that does not take them is a line at
//! debug level.

use std::collections::BTreeMap;

use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Watermarks;
use crate::records::PartitionRange;

/// Where the partitions ended when a batch was planned, and how much of that is left after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// One past the newest offset of each partition.
    pub latest: BTreeMap<i32, i64>,
    /// Offsets of each partition that the batch leaves unread.
    pub behind: BTreeMap<i32, i64>,
}

impl Lag {
    /// After a batch of these ranges, planned when the partitions ended there.
    pub fn after(ranges: &[PartitionRange], ends: &BTreeMap<i32, Watermarks>) -> Lag {
        let mut lag = Lag { latest: BTreeMap::new(), behind: BTreeMap::new() };
        for range in ranges {
            if let Some(marks) = ends.get(&range.partition) {
                lag.latest.insert(range.partition, marks.high);
                lag.behind.insert(range.partition, (marks.high - range.to).max(0));
            }
        }
        lag
    }

    /// Over all partitions.
    pub fn total(&self) -> i64 {
        self.behind.values().sum()
    }

    /// By partition number, from 0.
    pub fn list(&self) -> Vec<Option<i64>> {
        let last = self.behind.keys().next_back().copied().unwrap_or(-1);
        (0..=last).map(|partition| self.behind.get(&partition).copied()).collect()
    }

    /// The figures of Spark's Kafka source, by its names, as texts as it writes them.
    pub fn metrics(&self) -> BTreeMap<String, String> {
        let (Some(least), Some(most)) = (self.behind.values().min(), self.behind.values().max()) else {
            return BTreeMap::new();
        };
        let mean = self.total() as f64 / self.behind.len() as f64;
        [
            ("avgOffsetsBehindLatest", format!("{mean:?}")),
            ("maxOffsetsBehindLatest", most.to_string()),
            ("minOffsetsBehindLatest", least.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Tells the group's coordinator where the stream goes on, and does not wait for its answer.
pub(super) fn tell<C: ConsumerContext>(consumer: &impl Consumer<C>, topic: &str, ranges: &[PartitionRange]) {
    let mut list = TopicPartitionList::with_capacity(ranges.len());
    let added = ranges
        .iter()
        .try_for_each(|range| list.add_partition_offset(topic, range.partition, Offset::Offset(range.to)));
    if list.count() == 0 {
        return;
    }
    if let Err(error) = added.and_then(|()| consumer.commit(&list, CommitMode::Async)) {
        tracing::debug!(%error, "the group's offsets cannot be told: monitors see older ones");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_by_partition() {
        let range = |partition, to| PartitionRange { partition, from: 0, to };
        let ends = [(0, 10), (1, 25), (3, 7)].map(|(p, high)| (p, Watermarks { low: 0, high }));
        // Partition 3 was cut off since its range was planned: nothing of it is left.
        let lag = Lag::after(&[range(0, 10), range(1, 5), range(3, 9), range(4, 1)], &ends.into());
        assert_eq!(lag.latest, [(0, 10), (1, 25), (3, 7)].into());
        assert_eq!((lag.total(), lag.list()), (20, vec![Some(0), Some(20), None, Some(0)]));
        let metrics = lag.metrics();
        assert_eq!(metrics["avgOffsetsBehindLatest"], "6.666666666666667");
        assert_eq!(
            (metrics["minOffsetsBehindLatest"].as_str(), metrics["maxOffsetsBehindLatest"].as_str()),
            ("0", "20")
        );
        let none = Lag::after(&[], &BTreeMap::new());
        assert_eq!((none.total(), none.list(), none.metrics()), (0, vec![], BTreeMap::new()));
    }
}
