//! The state of a job among the stages of a batch: folded before the commit that lists its files, restored on start.

use arrow::record_batch::RecordBatch;

use super::driver::Driver;
use crate::checkpoint::{FileEntry, Plan};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::progress::StateProgress;
use crate::project::{Job, StateSpec};
use crate::state::{is_state_file, state_files};

/// What a batch adds to the checkpoint, and what it puts out of use.
pub(super) type StateFiles = (Vec<FileEntry>, Vec<FileEntry>);

impl Driver {
    /// Takes the rows of the batch in hand into the state and stages its files; nothing for a job without a state.
    pub(super) fn fold_state(&mut self, rows: &RecordBatch) -> Result<StateFiles> {
        let (Some(state), Some(spec)) = (&mut self.state, &self.job.state) else {
            return Ok(Default::default());
        };
        let delta = state.fold(rows)?;
        let commits = &self.checkpoint.commits;
        state_files(&self.lake, &self.job.schema_name, &spec.config.table, state, &delta, commits)
    }

    pub(super) fn state_progress(&self) -> Vec<StateProgress> {
        let (Some(state), Some(spec)) = (&self.state, &self.job.state) else { return Vec::new() };
        vec![StateProgress {
            operator_name: format!("{}.{}", self.job.schema_name, spec.config.table),
            num_rows_total: state.len() as u64,
            num_rows_updated: state.touched().len() as u64,
        }]
    }

    /// Brings the state to what it was after `batches` batches, from the committed files. It never goes back.
    pub(super) fn catch_up_state(&mut self, batches: u64) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        if state.batches() == 0 {
            return state.restore(&self.lake, &self.checkpoint.commits, batches);
        }
        while state.batches() < batches {
            state.advance(&self.lake, &self.checkpoint.commits.read(state.batches())?)?;
        }
        Ok(())
    }
}

/// A state goes on as it was begun: what it has not kept from the first batch on cannot be had later.
///
/// | last plan's state | job's state | |
/// | --- | --- | --- |
/// | none | none | goes on |
/// | keeps X of key K | keeps X of key K | goes on; the SELECT over it may change, it is for reading |
/// | any other pair | | refused |
pub(super) fn check_state(last: Option<&Plan>, job: &Job) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    let kept = |spec: &StateSpec| {
        let config = spec.config.clone();
        (config.table, config.key, config.columns)
    };
    if last.state.as_ref().map(kept) == job.state.as_ref().map(kept) {
        return Ok(());
    }
    Err(Error::user("the state differs from that of the last batch").hint(
        "a state keeps what it was begun with: put [state] back as it was, or start a new lake (--lake DIR) from the \
         beginning of the topic",
    ))
}

/// Removes state files that a newer snapshot has put out of use. What cannot be removed costs space and nothing else.
pub(super) fn forget_state_files(lake: &Lake, removed: &[FileEntry]) {
    for file in removed.iter().filter(|file| is_state_file(file)) {
        let path = lake.resolve(&file.path);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old state file");
        }
    }
}
