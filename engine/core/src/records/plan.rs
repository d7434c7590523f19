//! What a batch will be, written before anything of it is read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format::{Before, Record, only, take};
use super::{FileEntry, Maker};
use crate::error::{Error, Result};
use crate::project::Program;

/// `offsets/N.json`: what batch N will be. Running it twice with one version of Tidemill gives the same bytes, since it
/// holds everything else that decides the result; another version may decode, calculate or write files otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of the batch, from 0 without gaps.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// What there is of the plans before.
    #[serde(flatten)]
    pub before: Before,
    /// The batch's "now" (RFC 3339, UTC): what `now()` means in its SQL.
    pub now: String,
    /// Who has planned; none in records of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
    /// Id of the Kafka cluster, where it tells one.
    pub cluster_id: Option<String>,
    /// What is read of the topic.
    #[serde(rename = "topics", with = "only")]
    pub topic: TopicPlan,
    /// Dead letters that the batch feeds through again instead of new messages; the ranges are then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// What is made of the messages.
    pub program: Program,
    /// How many alias records were there: what they say holds from this batch on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aliases: u64,
    /// The versions that the models are which the transform asks, by their names in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<String, Asked>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a batch reads of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPlan {
    /// The topic.
    pub name: String,
    /// Its id, where the broker tells one: a topic deleted and made anew has another.
    pub id: Option<String>,
    /// The ranges, by partition. Every partition that the topic has is there, also with an empty range.
    pub partitions: Vec<PartitionRange>,
    /// Promised rows that are gone, when the job goes on regardless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_loss: Vec<DataLoss>,
    /// Partitions that end below what was read of them, since their log was cut off: where. What is written there is
    /// not read, its offsets are in the table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut_off: BTreeMap<i32, i64>,
    /// Most messages of a partition, where its range is wider than that since the log has gaps: behind so many it ends, and
    /// the commit says where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub most: BTreeMap<i32, u64>,
}

impl Record for Plan {
    /// `topic` and `topic_id` stood beside what is now in `topics`, and the fields of `program` stood by themselves.
    fn upgrade(fields: &mut Map<String, Value>) {
        let mut topic = take(fields, &["partitions", "data_loss", "cut_off", "most"]);
        for (then, now) in [("topic", "name"), ("topic_id", "id")] {
            topic.extend(fields.remove(then).map(|value| (now.to_owned(), value)));
        }
        fields.insert("topics".to_owned(), Value::from(vec![Value::from(topic)]));
        let program =
            take(fields, &["schema_sql", "transform_sql", "double_encoded", "models", "state", "views"]);
        fields.insert("program".to_owned(), Value::from(program));
    }

    fn before(&self) -> Before {
        self.before
    }
}

impl Plan {
    /// Offsets covered, over all partitions, or the dead letters of a replay. Not each holds a message.
    pub fn offsets(&self) -> u64 {
        let new: u64 = self.topic.partitions.iter().map(|p| u64::try_from(p.to - p.from).unwrap_or(0)).sum();
        new + self.replay.map_or(0, |replay| replay.letters)
    }

    /// The batch's "now".
    ///
    /// # Errors
    /// Corrupt: it is no time.
    pub(crate) fn moment(&self) -> Result<DateTime<Utc>> {
        let no_time = |e| format!("plan {}: its time `{}` cannot be read: {e}", self.batch_id, self.now);
        self.now.parse().map_err(|e: chrono::ParseError| Error::corrupt(no_time(e)))
    }
}

/// The version of a model that the transform of a batch asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The version.
    pub version: u64,
    /// Its file, with its checksum.
    pub file: FileEntry,
}

/// Offsets of one partition: `from` to `to`, `to` being the next offset to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRange {
    /// Partition number.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// One past the last offset.
    pub to: i64,
}

/// The dead letters of the commits `from` to `to` (exclusive), fed through again. The ranges of a checkpoint's
/// replays follow one another without gap or overlap, from 0: that is what makes each letter count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// First batch.
    pub from: u64,
    /// One past the last batch.
    pub to: u64,
    /// Letters that these batches committed.
    pub letters: u64,
}

/// Promised rows that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLoss {
    /// Partition number.
    pub partition: i32,
    /// First lost offset.
    pub from: i64,
    /// One past the last lost offset; equal to `from` where the number is not known.
    pub to: i64,
    /// What was seen.
    pub reason: String,
}

impl DataLoss {
    /// Offsets that the broker deleted, by retention or on request.
    pub fn deleted(partition: i32, from: i64, to: i64) -> DataLoss {
        let reason =
            format!("offsets {from} to {} of partition {partition} were deleted from the topic", to - 1);
        DataLoss { partition, from, to, reason }
    }
}
