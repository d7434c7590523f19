//! The state of a job among the stages of a batch: folded before the commit that lists its files, restored on start.

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::driver::Driver;
use crate::decode::DeadLetters;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::learn::Learner;
use crate::progress::StateProgress;
use crate::project::{StateSpec, StreamJob};
use crate::records::{FileEntry, Plan};
use crate::rowwise::RowSql;
use crate::source::RawRows;
use crate::state::{Fold, KeyedState, Refused, is_state_file, state_files};

/// What a batch adds to the checkpoint, and what it puts out of use.
pub(super) type StateFiles = (Vec<FileEntry>, Vec<FileEntry>);

/// What a stateful job has between batches.
pub(super) struct StatefulJob {
    kept: KeyedState,
    spec: StateSpec,
}

impl StatefulJob {
    /// The state before the first batch, checked; `None` for a job without a state.
    ///
    /// # Errors
    /// User: the state or its SELECT does not fit the table.
    pub(super) async fn open(job: &StreamJob, table: &Schema) -> Result<Option<StatefulJob>> {
        let Some(spec) = job.program.state.clone() else { return Ok(None) };
        let kept = KeyedState::new(&spec, table)?;
        let select = RowSql::new(&spec.select_sql, &spec.config.table, kept.schema(), &[]).await;
        let select = select.map_err(|e| e.context(spec.config.select.clone()))?;
        if select.schema().field_with_name(&spec.config.key).is_err() {
            let what = format!("the state's SELECT does not give its key `{}`", spec.config.key);
            return Err(Error::user(what).context(spec.config.select.clone()));
        }
        Ok(Some(StatefulJob { kept, spec }))
    }

    /// What is kept for each key.
    pub(super) fn kept(&self) -> &KeyedState {
        &self.kept
    }

    /// A learner from the state, without models, that these can be learned by.
    ///
    /// # Errors
    /// User: the models' features do not fit the state.
    pub(super) async fn learner(&self, job: &StreamJob) -> Result<Learner> {
        let mut learner = Learner::of_state(&job.schema_name, &self.spec);
        learner.prepare_state(&job.program.models, &self.kept).await?;
        Ok(learner)
    }
}

impl Driver {
    /// Begins a batch of the state; `None` for a job without one.
    pub(super) fn begin_state(&mut self) -> Option<Fold> {
        self.state.as_mut().map(|state| state.kept.begin())
    }

    /// Rows of the batch in hand without those of messages that the state has no room for, which are dead letters.
    pub(super) fn refuse(
        &self,
        raw: &[RawRows],
        rows: Vec<RecordBatch>,
        dead: &mut DeadLetters,
    ) -> Result<Vec<RecordBatch>> {
        let Some(StatefulJob { kept, .. }) = &self.state else { return Ok(rows) };
        let (rows, refused) = kept.refuse(rows)?;
        for Refused { partition, offset, reason } in refused {
            dead.push(raw, partition, offset, "state", reason);
        }
        Ok(rows)
    }

    /// Takes rows of the batch in hand into the state.
    pub(super) fn add_to_state(&mut self, fold: Option<&mut Fold>, rows: &RecordBatch) -> Result<()> {
        match (&mut self.state, fold) {
            (Some(state), Some(fold)) => state.kept.add(fold, rows),
            _ => Ok(()),
        }
    }

    /// Ends the batch in hand and stages the files of the state; nothing for a job without one.
    pub(super) fn finish_state(&mut self, fold: Option<Fold>) -> Result<StateFiles> {
        let (Some(StatefulJob { kept, spec, .. }), Some(fold)) = (&mut self.state, fold) else {
            return Ok(Default::default());
        };
        let delta = kept.finish(&fold)?;
        let commits = &self.checkpoint.commits;
        state_files(&self.lake, &self.job.schema_name, &spec.config.table, kept, &delta, commits)
    }

    pub(super) fn state_progress(&self) -> Vec<StateProgress> {
        let Some(StatefulJob { kept, spec, .. }) = &self.state else { return Vec::new() };
        vec![StateProgress {
            operator_name: format!("{}.{}", self.job.schema_name, spec.config.table),
            num_rows_total: kept.len() as u64,
            num_rows_updated: kept.touched().len() as u64,
        }]
    }

    /// Brings the state to what it was after `batches` batches, from the committed files. It never goes back.
    pub(super) fn catch_up_state(&mut self, batches: u64) -> Result<()> {
        let Some(StatefulJob { kept, .. }) = &mut self.state else { return Ok(()) };
        if kept.batches() == 0 {
            return kept.restore(&self.lake, &self.checkpoint.commits, batches);
        }
        while kept.batches() < batches {
            kept.advance(&self.lake, &self.checkpoint.commits.read(kept.batches())?)?;
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
pub(super) fn check_state(last: Option<&Plan>, job: &StreamJob) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    let kept = |spec: &StateSpec| {
        let config = spec.config.clone();
        (config.table, config.key, config.columns)
    };
    if last.program.state.as_ref().map(kept) == job.program.state.as_ref().map(kept) {
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
