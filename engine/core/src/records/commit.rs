//! What became of a batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format::{Before, Record, only, take};
use super::{FileEntry, InputReport, TrainedModel};

/// `commits/N.json`: batch N is in the table. Its creation publishes the data and the progress at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Number of the batch.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// What there is of the commits before.
    #[serde(flatten)]
    pub before: Before,
    /// Files that the batch adds.
    pub added: Vec<FileEntry>,
    /// Files that the batch takes away (none, until compaction).
    pub removed: Vec<FileEntry>,
    /// What became of the rows.
    pub counts: BatchCounts,
    /// How far the topic was read; nothing of a batch job, and of a batch that read all that it had planned.
    #[serde(rename = "topics", default, with = "only", skip_serializing_if = "TopicRead::is_empty")]
    pub read: TopicRead,
    /// Event-time watermark, for jobs that have one.
    pub watermark: Option<String>,
    /// What a batch job's table was built of; a stream has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// What became of a batch job's model, where that is what the commit is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<TrainedModel>,
}

#[cfg(test)]
impl Commit {
    /// A commit for tests: of the query `q`, without files and rows.
    pub(crate) fn of_nothing(batch_id: u64) -> Commit {
        Commit {
            batch_id,
            query_id: "q".into(),
            before: Before::default(),
            added: Vec::new(),
            removed: Vec::new(),
            counts: BatchCounts::default(),
            read: TopicRead::default(),
            watermark: None,
            build: None,
            model: None,
        }
    }
}

/// How far a batch has read one topic: of the topics of its plan, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRead {
    /// Partitions that were found cut off within the plan's range, or had as many messages before its end as the plan wants:
    /// how far they were read, from where the next plan goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<i32, i64>,
    /// The last message that was read of each partition that had any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<i32, Mark>,
    /// Messages that ended the process which decoded or transformed them, tried alone. They are dead letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<Condemned>,
}

impl TopicRead {
    fn is_empty(&self) -> bool {
        *self == TopicRead::default()
    }
}

impl Record for Commit {
    /// What is now in `topics` stood by itself.
    fn upgrade(fields: &mut Map<String, Value>) {
        let topic = take(fields, &["ends", "marks", "condemned"]);
        if !topic.is_empty() {
            fields.insert("topics".to_owned(), Value::from(vec![Value::from(topic)]));
        }
    }

    fn before(&self) -> Before {
        self.before
    }
}

impl Commit {
    /// The version that it is of a batch job's table. Before tables counted their own it was the number of the commit, from
    /// which a table of that time goes on.
    pub fn version(&self) -> u64 {
        self.build.as_ref().and_then(|build| build.version).unwrap_or(self.batch_id)
    }
}

/// A message, to tell a log that was written again from the one that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// XXH3 (64 bits) of its value, hexadecimal; none for a message without a value.
    pub xxh3: Option<String>,
}

/// A message that ends the process which decodes or transforms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Partition number.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What it did, as its dead letter says.
    pub reason: String,
}

/// What one version of a batch job's table was built of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Table as in SQL: `olist.wide`. Of a model, which has tables of its own: the same with its name.
    pub table: String,
    /// How many builds of the table were before it; records of older versions of Tidemill have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Hash of everything that decides the rows: inputs, SQL, settings, versions of the tables read.
    pub fingerprint: String,
    /// When it was built (RFC 3339, UTC): what `now()` meant in its SQL.
    pub built_at: String,
    /// Columns that are in the names of the files' folders, and their types as Arrow names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_columns: Vec<(String, String)>,
    /// What each file gave, and what was dropped of it and why.
    pub inputs: Vec<InputReport>,
}

/// Rows of a batch by what became of them: `read = dead_letters + filtered + out` where no row is exploded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Messages read.
    pub rows_read: u64,
    /// Bytes of their values; records of older versions of Tidemill have none.
    #[serde(default)]
    pub bytes_read: u64,
    /// Messages that went to the dead letters.
    pub dead_letters: u64,
    /// Messages of those read that were dead letters of earlier batches.
    #[serde(default)]
    pub replayed: u64,
    /// Rows in the table.
    pub rows_out: u64,
    /// Ranges lost before the batch, or between its plan and its reading.
    pub data_loss: u64,
}
