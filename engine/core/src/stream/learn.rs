//! What follows a commit: the models learn from it, and a learn record says what they have learned.

use std::time::Instant;

use arrow::record_batch::RecordBatch;
use tokio::task::block_in_place;

use super::asked::own;
use super::batch::stage_system;
use super::crash_point::CrashPoint;
use super::driver::{Driver, ms};
use super::stateful::StatefulJob;
use crate::error::Result;
use crate::files::at_once;
use crate::learn::tables;
use crate::progress::Durations;
use crate::records::{Before, Commit, Learn, Maker, Plan, snapshot};
use crate::registry::{Aliases, forget_old, kept};
use crate::source::lag::Lag;
use crate::table::publish::roll_forward;

impl Driver {
    /// Learns from a committed batch, whose rows the learner has, and records it.
    pub(super) async fn learn(
        &mut self,
        plan: &Plan,
        commit: &Commit,
        lag: Option<&Lag>,
        mut durations: Durations,
    ) -> Result<(Learn, Durations)> {
        let started = Instant::now();
        let batch_id = commit.batch_id;
        if self.state.is_some() {
            self.catch_up_state(batch_id + 1)?;
        }
        let aliases = Aliases::read(&self.lake, &self.job.schema_name, Some(plan.aliases))?;
        let learner = self.behind.learner()?;
        let learned = match self.state.as_ref().map(StatefulJob::kept) {
            Some(state) => {
                learner
                    .learn_state(&self.lake, batch_id, &plan.program.models, state, plan.moment()?, &aliases)
                    .await?
            }
            None => block_in_place(|| learner.learn(&self.lake, batch_id, &plan.program.models, &aliases))?,
        };
        let mut added = learned.files;
        let (job, lake) = (&self.job, &self.lake);
        let mut system = Vec::new();
        if !learned.outcomes.is_empty() {
            system.push(("metrics", tables::metrics(&job.name, batch_id, &learned.outcomes)?));
            system.push(("models", tables::models(&job.name, batch_id, &learned.outcomes)?));
        }
        if !learned.events.is_empty() {
            system.push(("model_events", tables::model_events(&job.name, batch_id, &learned.events)?));
        }
        if !learned.centres.is_empty() {
            system.push(("centres", tables::centres(&job.name, batch_id, &learned.centres)?));
        }
        if !learned.importances.is_empty() {
            let rows = tables::importances(&job.name, batch_id, &learned.importances)?;
            system.push(("importances", rows));
        }
        let stage =
            |(table, rows): &(&str, RecordBatch)| stage_system(lake, &job.schema_name, table, batch_id, rows);
        for file in at_once(&system, stage) {
            added.push(file?);
        }
        durations.learn = Some(ms(started));
        let (rows, seen) = (commit.counts, learned.rows);
        let batches = tables::batches(&job.name, batch_id, &plan.now, rows, seen, lag, &durations)?;
        added.push(stage(&("batches", batches))?);
        self.crash(batch_id, CrashPoint::Train)?;
        let last = batch_id.checked_sub(1).map(|before| self.checkpoint.learn.read(before)).transpose()?;
        let record = Learn {
            batch_id,
            query_id: plan.query_id.clone(),
            before: Before::default(),
            steps: Learn::steps_after(last.as_ref(), &learned.outcomes),
            models: learned.outcomes,
            added,
            made_by: Some(Maker::this()),
        };
        self.checkpoint.learn.create(batch_id, &record)?;
        self.crash(batch_id, CrashPoint::Learn)?;
        roll_forward(&self.lake, &record.added)?;
        self.forget_versions(plan, &record)?;
        durations.learn = Some(ms(started));
        self.crash(batch_id, CrashPoint::PublishLearn)?;
        self.compact()?;
        snapshot::write(&self.lake.checkpoint(&self.job.schema_name), batch_id + 1);
        self.crash(batch_id, CrashPoint::Snapshot)?;
        Ok((record, durations))
    }

    /// Removes the files of old versions, but not of those that the transform asks.
    fn forget_versions(&self, plan: &Plan, record: &Learn) -> Result<()> {
        let mut named = kept(&self.lake, &self.job.schema_name, plan.aliases)?;
        named.extend(own(&plan.asked, &self.job.schema_name));
        named.extend(own(&self.asked, &self.job.schema_name));
        for (outcome, spec) in record.models.iter().zip(&plan.program.models) {
            forget_old(&self.lake, &self.job.schema_name, outcome, spec.config.keep, &named);
        }
        Ok(())
    }
}
