//! Offsets that consumer groups committed: one file, `offsets.json`, replaced at each commit.
//!
//! Groups here are only names: no members, no rebalancing. An offset belongs to a topic id, so a
//! topic deleted and made again begins without offsets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::error::Error;
use crate::storage::{read_json, write_json};

/// Kafka's `offset.metadata.max.bytes`.
pub(crate) const MAX_METADATA_BYTES: usize = 4096;

/// What a group committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub topic_id: String,
    /// The next offset to read.
    pub offset: i64,
    pub leader_epoch: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

/// Group, then topic, then partition.
type Groups = BTreeMap<String, BTreeMap<String, BTreeMap<i32, Committed>>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Offsets {
    path: PathBuf,
    groups: Mutex<Groups>,
}

impl Offsets {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// Storage; Corrupt.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("offsets.json");
        let groups = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, groups: Mutex::new(groups) })
    }

    /// Keeps offsets of one group, each with topic and partition.
    ///
    /// # Errors
    /// `KafkaStorageError`.
    pub(crate) fn commit(
        &self,
        group: &str,
        offsets: Vec<(String, i32, Committed)>,
    ) -> Result<(), ResponseError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let of_group = groups.entry(group.to_owned()).or_default();
        for (topic, partition, committed) in offsets {
            of_group.entry(topic).or_default().insert(partition, committed);
        }
        write_json(&self.path, &*groups).map_err(|e| {
            error!("{e}");
            ResponseError::KafkaStorageError
        })
    }

    /// What a group committed, by topic and partition; empty for an unknown group.
    pub(crate) fn of_group(&self, group: &str) -> BTreeMap<String, BTreeMap<i32, Committed>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(group).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let committed =
            |offset| Committed { topic_id: "id".into(), offset, leader_epoch: -1, metadata: String::new() };
        let offsets = Offsets::open(dir.path()).unwrap();
        offsets.commit("g", vec![("t".into(), 0, committed(5))]).unwrap();
        offsets.commit("g", vec![("t".into(), 1, committed(6))]).unwrap();
        offsets.commit("g", vec![("t".into(), 0, committed(7))]).unwrap();
        let again = Offsets::open(dir.path()).unwrap().of_group("g");
        assert_eq!((again["t"][&0].offset, again["t"][&1].offset), (7, 6));
        assert!(offsets.of_group("other").is_empty());
    }
}
