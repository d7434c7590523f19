//! The kinds of record of a job's checkpoint, each `"format": 1`, and the list that holds those of one kind.

mod input_report;
mod list;
mod maker;
mod standing;
mod trained_model;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_ml::Algorithm;
pub use tidemill_ml::Scores;

pub(crate) use input_report::DEAD_LETTER;
pub use input_report::{Dropped, InputReport};
pub use list::RecordList;
pub(crate) use list::{RESTORE, counted, create_at, parse};
pub use maker::Maker;
pub use standing::Standing;
pub use trained_model::TrainedModel;

use crate::error::{Error, Result};
use crate::project::{ModelSpec, StateSpec, StreamJob};

/// The format number of every record that this version writes.
pub const FORMAT: u32 = 1;

/// `offsets/N.json`: what batch N will be, written before anything of it is read. Running it twice gives the
/// same bytes, since it holds everything that decides the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Record format.
    pub format: u32,
    /// Number of the batch, from 0 without gaps.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// The batch's "now" (RFC 3339, UTC): what `now()` means in its SQL.
    pub now: String,
    /// Id of the Kafka cluster, where it tells one.
    pub cluster_id: Option<String>,
    /// The topic.
    pub topic: String,
    /// Id of the topic, where the broker tells one: a topic deleted and made anew has another.
    pub topic_id: Option<String>,
    /// The ranges, by partition. Every partition that the topic has is there, also with an empty range.
    pub partitions: Vec<PartitionRange>,
    /// Dead letters that the batch feeds through again instead of new messages; the ranges are then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
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
    /// Text of the message schema.
    pub schema_sql: String,
    /// Text of the transform.
    pub transform_sql: Option<String>,
    /// What is learned after the batch.
    pub models: Vec<ModelSpec>,
    /// Whether a message is a JSON string that holds the JSON object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub double_encoded: bool,
    /// What is kept for each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSpec>,
    /// Texts of the job's views, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: BTreeMap<String, String>,
    /// How many alias records were there: what they say holds from this batch on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aliases: u64,
    /// The versions that the models are which the transform asks, by their names in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<String, Asked>,
}

/// The version of a model that the transform of a batch asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The version.
    pub version: u64,
    /// Its file, with its checksum.
    pub file: FileEntry,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
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

impl Plan {
    /// Offsets covered, over all partitions, or the dead letters of a replay. Not each holds a message.
    pub fn offsets(&self) -> u64 {
        let new: u64 = self.partitions.iter().map(|p| u64::try_from(p.to - p.from).unwrap_or(0)).sum();
        new + self.replay.map_or(0, |replay| replay.letters)
    }

    /// Takes the job's texts for its own.
    pub(crate) fn take_texts(&mut self, job: &StreamJob) {
        self.schema_sql.clone_from(&job.source.schema_sql);
        self.transform_sql.clone_from(&job.transform_sql);
        self.models.clone_from(&job.models);
        self.double_encoded = job.source.double_encoded;
        self.state.clone_from(&job.state);
        self.views.clone_from(&job.views);
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

/// A file that a record publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Table as in SQL: `chicago_arrests.crimes`, `system.metrics`; `model:forest` for a model file.
    pub table: String,
    /// Final path relative to the lake; until it is renamed there it is staged in the job's checkpoint.
    pub path: String,
    /// Rows; 0 for a model.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// XXH3 (64 bits) of the content, hexadecimal.
    pub xxh3: String,
}

impl FileEntry {
    /// The job whose record lists the file, as its folder in the lake is called.
    pub fn schema_name(&self) -> &str {
        let folder = |nth: usize| self.path.split('/').nth(nth).unwrap_or_default();
        let table = self.table.strip_prefix("export:").unwrap_or(&self.table);
        match table.split_once('.') {
            // system/TABLE/JOB/…
            Some(("system", _)) => folder(2),
            Some((job, _)) => job,
            // `model:NAME`, `state:NAME`: JOB/_models/…, JOB/_checkpoint/state/…
            None => folder(0),
        }
    }
}

/// `commits/N.json`: batch N is in the table. Its creation publishes the data and the progress at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Record format.
    pub format: u32,
    /// Number of the batch.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// Files that the batch adds.
    pub added: Vec<FileEntry>,
    /// Files that the batch takes away (none, until compaction).
    pub removed: Vec<FileEntry>,
    /// What became of the rows.
    pub counts: BatchCounts,
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
            format: FORMAT,
            batch_id,
            query_id: "q".into(),
            added: Vec::new(),
            removed: Vec::new(),
            counts: BatchCounts::default(),
            ends: BTreeMap::new(),
            marks: BTreeMap::new(),
            condemned: Vec::new(),
            watermark: None,
            build: None,
            model: None,
        }
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

/// `attempts/N.K.json`: a start has found the plan of batch N without a commit, and tries it for the Kth time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Record format.
    pub format: u32,
    /// Number of the batch.
    pub batch_id: u64,
    /// Which try it is; the first has no record.
    pub attempt: u64,
    /// When it began (RFC 3339, UTC).
    pub began: String,
}

impl Commit {
    /// The version that it is of a batch job's table. Before tables counted their own it was the number of the commit, from
    /// which a table of that time goes on.
    pub fn version(&self) -> u64 {
        self.build.as_ref().and_then(|build| build.version).unwrap_or(self.batch_id)
    }
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

/// `learn/N.json`: the models after batch N.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learn {
    /// Record format.
    pub format: u32,
    /// Number of the batch.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// One entry a model of the plan, in the plan's order.
    pub models: Vec<ModelOutcome>,
    /// Files that the record stands for: the model files and one Parquet file a system table.
    pub added: Vec<FileEntry>,
    /// Who has learned; none in records of older versions of Tidemill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
}

/// What a batch did to one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The model's name.
    pub name: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Whether it learned.
    pub status: ModelStatus,
    /// Why it did not, or why the version is in use without a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Champion after the batch: the id of the batch that trained it.
    pub version: Option<u64>,
    /// The champion's file relative to the lake.
    pub file: Option<FileEntry>,
    /// The classes that the champion tells apart, by their numbers, as the target has them; of two the one that is looked for
    /// is the last. None of a model without classes, and in records of earlier versions of Tidemill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Value>,
    /// Seed of its random choices.
    pub seed: u64,
    /// Rows trained on.
    pub train_rows: u64,
    /// Scores of the champion after the batch on all hold-out rows so far.
    pub holdout: Option<Scores>,
    /// Scores of the champion after the batch on a sample of the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Scores>,
    /// Scores of models of the champion's kind on the rows that each was not trained on; of a batch job that divides its rows
    /// into folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<Scores>,
    /// Scores of the champion before the batch on all rows of the batch.
    pub prequential: Option<Scores>,
    /// The version that the prequential scores are of.
    pub prequential_version: Option<u64>,
    /// The newest version that is not in use: one that the gate has not let through, or that was trained while another was
    /// pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenger>,
    /// What the gate said of what was trained from the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gated>,
    /// What the gate remembers for the next batch.
    #[serde(default, skip_serializing_if = "Standing::is_empty")]
    pub standing: Standing,
    /// Time to train, milliseconds.
    pub train_ms: f64,
}

impl ModelOutcome {
    /// Which rows the challenger is scored on.
    pub(crate) fn challenger_evaluation(&self) -> Evaluation {
        let said = self.challenger.as_ref().and_then(|challenger| challenger.evaluation);
        said.unwrap_or(if self.sample.is_some() { Evaluation::Sample } else { Evaluation::Holdout })
    }
}

/// Whether a model learned from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStatus {
    /// A new version is the champion.
    Trained,
    /// It could not be trained; the former champion stays.
    Failed,
    /// It was not its turn; the former champion stays.
    Kept,
    /// A new version is the challenger; the former champion stays.
    Challenger,
}

/// A version that is not in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenger {
    /// The id of the batch that trained it.
    pub version: u64,
    /// Its file.
    pub file: FileEntry,
    /// Its classes, as those of the champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Value>,
    /// What it is worth on the rows that the champion is scored on.
    pub scores: Option<Scores>,
    /// Which rows these are; records of earlier versions of Tidemill do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
}

/// Which rows a model is scored on after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluation {
    /// Those that no model trains on.
    Holdout,
    /// A sample of a state.
    Sample,
}

/// A decision of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gated {
    /// What was decided.
    pub verdict: Verdict,
    /// By which metric.
    pub metric: String,
    /// On how many rows.
    pub rows: u64,
    /// The value of the new model.
    pub challenger: Option<f64>,
    /// The value that it was compared with.
    pub reference: Option<f64>,
}

/// What a gate decides of a new model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the champion now.
    Accepted,
    /// The champion stays.
    Rejected,
    /// There are too few rows to tell: the champion stays.
    Waits,
}
