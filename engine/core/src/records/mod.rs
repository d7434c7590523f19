//! The kinds of record of a job's checkpoint, each with the number of its [format](FORMAT), and the list that holds those of
//! one kind: `offsets/N.json` is a [`Plan`], `commits/N.json` a [`Commit`], `learn/N.json` a [`Learn`], `attempts/N.K.json` an
//! [`Attempt`], `compactions/N.json` a [`Compaction`]; `aliases/N.json` stands in the registry. What they say together is a [`Ledger`]. A plan:
//!
//! ```json
//! {
//!   "format": 3,
//!   "crc32c": "0cc89ffb",
//!   "batch_id": 7,
//!   "query_id": "d5e0ff3c-3c3a-4d5d-9d5b-0d8f4a2f9a11",
//!   "now": "2026-11-30T12:00:00.000Z",
//!   "made_by": { "version": "0.2.0", "processor": "x86_64 avx2 fma" },
//!   "cluster_id": "L8gPb1aUT6GFxAqgz3Zk0A",
//!   "topics": [
//!     { "name": "crimes", "id": "yyMQ0cW1S7uKtFJYbnCZ7w", "partitions": [{ "partition": 0, "from": 70000, "to": 80000 }] }
//!   ],
//!   "program": {
//!     "schema_sql": "CREATE TABLE crimes (arrest BOOLEAN, district INT)",
//!     "transform_sql": "SELECT arrest, district FROM batch",
//!     "models": []
//!   },
//!   "aliases": 1
//! }
//! ```

mod commit;
mod compaction;
mod format;
mod input_report;
mod learn;
mod ledger;
mod list;
mod maker;
pub(crate) mod pack;
mod plan;
mod sealed;
pub(crate) mod snapshot;
mod standing;
mod trained_model;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_ml::Algorithm;
pub use tidemill_ml::Scores;

pub use commit::{BatchCounts, Build, Commit, Condemned, Mark, TopicRead};
pub use compaction::{Compaction, Merged};
pub use format::{Before, FORMAT, Record};
pub(crate) use format::{FORMATS, newer};
pub(crate) use input_report::DEAD_LETTER;
pub use input_report::{Dropped, InputReport};
pub use learn::Learn;
pub use ledger::{Ledger, Listed};
pub use list::RecordList;
pub(crate) use list::{RESTORE, counted, create_at, parse};
pub use maker::Maker;
pub use plan::{Asked, DataLoss, PartitionRange, Plan, Replay, TopicPlan};
pub use standing::Standing;
pub use trained_model::TrainedModel;

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

/// `attempts/N.K.json`: a start has found the plan of batch N without a commit, and tries it for the Kth time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the batch.
    pub batch_id: u64,
    /// Which try it is; the first has no record.
    pub attempt: u64,
    /// When it began (RFC 3339, UTC).
    pub began: String,
}

impl Record for Attempt {}

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
    /// On how many rows, that both have an answer for.
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
    /// The rows do not tell, as they are too few, or one of the two cannot be scored on them: the champion stays.
    Waits,
}
