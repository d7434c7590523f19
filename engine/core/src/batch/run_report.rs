//! What is asked of a run of a job, and what it tells.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::audit::AuditReport;
use super::input::Progress;
use crate::error::Error;
use crate::records::{Gated, InputReport, ModelStatus, Scores};

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Files instead of the job's paths, by input. Without a name: of the only input.
    pub inputs: Vec<(Option<String>, Vec<PathBuf>)>,
    /// Tables to build and models to train, with `+` as [`super::graph::Graph::select`] has it; all without one.
    pub select: Vec<String>,
    /// Build also what has not changed.
    pub force: bool,
    /// Bytes that joins, sorts and aggregates may take, together; what needs more spills to disk.
    pub memory_limit_bytes: Option<u64>,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The job.
    pub job: String,
    /// Seconds from start to end.
    pub seconds: f64,
    /// The most bytes that joins, sorts and aggregates took at a time.
    pub peak_memory_bytes: u64,
    /// The most bytes that the process had of memory, where the system tells it.
    pub peak_resident_bytes: Option<u64>,
    /// A table or model of the run each, in the order of the graph.
    pub tables: Vec<TableReport>,
    /// The first error, where a table failed.
    #[serde(skip)]
    pub error: Option<Error>,
}

/// What became of one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The table in SQL, `chicago_crimes.crimes`.
    pub table: String,
    /// What was done.
    pub outcome: TableOutcome,
    /// The version that counts now; `None` where there is none.
    pub version: Option<u64>,
    /// Rows of that version; 0 where the build failed or was skipped.
    pub rows: u64,
    /// Size of its files.
    pub bytes: u64,
    /// Seconds of the build.
    pub seconds: f64,
    /// What each file gave.
    pub inputs: Vec<InputReport>,
    /// What its audits found.
    pub audits: Vec<AuditReport>,
    /// Why it failed or was not built.
    pub reason: Option<String>,
    /// Whether it is a model, not a table.
    pub is_model: bool,
    /// What became of a model, where it is one and there is one; its rows are those of its table of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
}

/// What became of a model.
#[derive(Debug, Clone, Serialize)]
pub struct ModelReport {
    /// Whether a version was trained, and is in use.
    pub status: ModelStatus,
    /// The version in use.
    pub in_use: Option<u64>,
    /// Rows that were trained on.
    pub train_rows: u64,
    /// Which rows the version in use is scored on (`holdout`, `folds`, `sample`), and what it is worth there.
    pub scores: Option<(&'static str, Scores)>,
    /// What the gate said of a version that was trained.
    pub gate: Option<Gated>,
    /// What else there is to tell: of which rows it has no answer, why two versions cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was done about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableOutcome {
    /// There is a new version.
    Built,
    /// Nothing that it is made of has changed.
    Unchanged,
    /// It stayed as it was, for an error.
    Failed,
    /// It stayed as it was, for a table that it reads failed.
    Skipped,
}

/// What is told while a run goes on.
pub enum RunEvent<'a> {
    /// A table's build has begun; `progress` goes on changing.
    Started {
        /// The table's name in the job.
        table: &'a str,
        /// What has been read and written.
        progress: Arc<Progress>,
    },
    /// A table is done with.
    Finished(&'a TableReport),
}
