//! The driver's state between batches: checkpoint, source, decoder, transform and learner of one job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use tokio::task::block_in_place;

use super::asked::asked_now;
use super::batch::Batch;
use super::behind::Behind;
use super::bounds::{Found, Seen};
use super::checks::recovery;
use super::compare::newest_marks;
use super::crash_point::CrashPoint;
use super::split;
use super::stateful::{StatefulJob, check_state, forget_state_files};
use super::{StreamEvent, StreamSummary};
use crate::checkpoint::attempts::MOST_ATTEMPTS;
use crate::checkpoint::{Checkpoint, carry_over};
use crate::decode::Decoder;
use crate::delta::Publisher;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::learn::Learner;
use crate::predict::transform;
use crate::progress::Durations;
use crate::project::{FailOnDataLoss, StartingOffsets, StreamJob};
use crate::records::{
    Asked, Before, FileEntry, Ledger, Maker, Mark, PartitionRange, Plan, TopicPlan, snapshot,
};
use crate::registry::alias_records;
use crate::rowwise::RowSql;
use crate::source::Patience;
use crate::source::kafka::KafkaSource;
use crate::source::lag::Lag;
use crate::source::plan::{Watermarks, end_at, next_positions, split_limit};
use crate::table::evolve::{newest_schema, nullable};

/// A job being driven. Holds the checkpoint's lock until dropped.
pub struct Driver {
    pub(super) job: StreamJob,
    pub(super) lake: Lake,
    pub(super) run_id: String,
    pub(super) checkpoint: Checkpoint,
    pub(super) source: KafkaSource,
    pub(super) behind: Behind,
    /// By which other engines read the table.
    pub(super) delta: Publisher,
    /// What is kept for each key, where the job keeps anything.
    pub(super) state: Option<StatefulJob>,
    pub(super) cluster_id: Option<String>,
    pub(super) last_plan: Option<Plan>,
    pub(super) committed: Option<u64>,
    /// The newest file of rows.
    pub(super) newest_rows: Option<FileEntry>,
    /// Where partitions go on of which the newest committed batch did not read what it had planned: they were cut off, or
    /// had as many messages as were wanted before.
    goes_on_at: BTreeMap<i32, i64>,
    /// The last message that was read of each partition.
    pub(super) marks: BTreeMap<i32, Mark>,
    /// The batch in hand was begun again and again, and not committed.
    pub(super) tried_often: bool,
    pub(super) stop: Arc<AtomicBool>,
    /// What was committed since the driver was opened.
    pub(super) done: StreamSummary,
    pub(super) last_planned: Option<Instant>,
    /// How large messages are.
    pub(super) seen: Option<Seen>,
    /// How many messages a batch found in its offsets.
    pub(super) found: Option<Found>,
    crash_after: Option<(u64, CrashPoint)>,
    /// So many batches have to be learned from before compaction is tried again, which could not be done.
    pub(super) compacts_after: Option<u64>,
    /// Where the partitions ended when this batch was planned.
    pub(super) ends: Option<(u64, BTreeMap<i32, Watermarks>)>,
    /// Where a run ends that takes what is there when it begins.
    pub(super) until: Option<BTreeMap<i32, i64>>,
    /// Planned once, used for every batch until the models that it asks are others.
    pub(super) transform: Arc<RowSql>,
    /// Those that it asks.
    pub(super) asked: BTreeMap<String, Asked>,
    /// Columns that have other types than they would have in a new table.
    pub(super) kept: Vec<String>,
    /// Whether the table has a column of times that are none of a calendar; `None` before the first rows.
    pub(super) has_time_number: Option<bool>,
}

impl Driver {
    /// Opens the checkpoint, checks it against the job and the topic, and connects.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn open(job: &StreamJob, lake: &Lake) -> Result<Driver> {
        Driver::open_until(job, lake, Arc::default()).await
    }

    /// As [`Driver::open`]; what waits for brokers ends with an error once `stop` is set.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn open_until(job: &StreamJob, lake: &Lake, stop: Arc<AtomicBool>) -> Result<Driver> {
        let job = &split::of_lake(job, lake)?;
        let decoder = Decoder::new(job.source.schema.clone());
        let asked = asked_now(job, lake)?;
        let transform = transform(job.program.transform_sql.as_deref(), &decoder, lake, &asked).await?;
        let kept = match transform.has_settled() {
            true => newest_schema(lake, &format!("{}.{}", job.schema_name, job.table_name))?,
            false => None,
        };
        let kept = kept.map(|has| transform.kept_by(&has)).unwrap_or_default();
        let transform = transform.keeping(&kept);
        let state = StatefulJob::open(job, transform.schema()).await?;
        let learner = match &state {
            Some(state) => state.learner(job).await?,
            None => {
                let mut learner = Learner::new(&job.schema_name, &job.table_name);
                learner.limit(job.memory_limit);
                learner.prepare(&job.program.models, &nullable(transform.schema())).await?;
                learner
            }
        };
        // A job that has been there before knows its brokers.
        let first = !lake.checkpoint(&job.schema_name).exists();
        // Brokers may be waited for: who else holds the job is told before. A job that is new leaves nothing where there is
        // no broker.
        let held = if first { None } else { Some(Checkpoint::open(lake, job)?) };
        let patience = Patience::new(job.source.broker_timeout, stop.clone());
        let source = block_in_place(|| KafkaSource::connect_with(&job.source, patience, first))?;
        let checkpoint = held.map_or_else(|| Checkpoint::open(lake, job), Ok)?;
        // Before any record is looked for by what another says.
        recovery(&checkpoint, &lake.checkpoint(&job.schema_name))?;
        let committed = checkpoint.commits.latest()?;
        let last_plan = checkpoint.offsets.latest()?.map(|n| checkpoint.offsets.read(n)).transpose()?;
        let ends = committed.map(|n| checkpoint.commits.read(n)).transpose()?.map(|commit| commit.read.ends);
        let marks = newest_marks(&checkpoint)?;
        let newest_rows = Ledger::of(lake, &job.schema_name)?.newest_rows().cloned();
        let driver = Driver {
            job: job.clone(),
            lake: lake.clone(),
            run_id: uuid::Uuid::new_v4().to_string(),
            cluster_id: source.cluster_id(),
            source,
            behind: Behind::new(learner),
            delta: Publisher::new(
                lake,
                &job.table_path,
                format!("{}.{}", job.schema_name, job.table_name),
                &checkpoint.query_id,
            ),
            state,
            last_plan,
            committed,
            newest_rows,
            goes_on_at: ends.unwrap_or_default(),
            marks,
            tried_often: false,
            stop,
            done: StreamSummary::default(),
            last_planned: None,
            seen: None,
            found: None,
            crash_after: None,
            compacts_after: None,
            ends: None,
            until: None,
            transform: Arc::new(transform),
            asked,
            kept,
            has_time_number: None,
            checkpoint,
        };
        driver.check_continuity()?;
        driver.check_schema()?;
        check_state(driver.committed_plan()?.as_ref(), job)?;
        driver.check_table()?;
        Ok(driver)
    }

    /// For tests: the driver returns an error, as if it had died, after this step of this batch.
    pub fn crash_after(&mut self, batch_id: u64, point: CrashPoint) {
        self.crash_after = Some((batch_id, point));
    }

    /// The newest committed batch.
    pub fn latest_batch(&self) -> Option<u64> {
        self.committed
    }

    /// Where every partition ends now.
    ///
    /// # Errors
    /// Source.
    pub fn available(&self) -> Result<BTreeMap<i32, Watermarks>> {
        block_in_place(|| self.source.watermarks())
    }

    /// The ranges of the last plan as far as they were read.
    pub(super) fn read_so_far(&self) -> Option<Vec<PartitionRange>> {
        let mut ranges = self.last_plan.as_ref()?.topic.partitions.clone();
        for range in &mut ranges {
            range.to = self.goes_on_at.get(&range.partition).copied().unwrap_or(range.to);
        }
        Some(ranges)
    }

    /// Brings the lake to where the records say it is: renames finished, a planned batch run; and begins to read the history
    /// of the models.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn recover(&mut self, on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send)) -> Result<()> {
        let learned = self.checkpoint.learn.latest()?;
        let recovery = recovery(&self.checkpoint, &self.lake.checkpoint(&self.job.schema_name))?;
        // The checkpoint, as it was opened, has put in place what records list.
        if let Some(number) = self.committed {
            let commit = self.checkpoint.commits.read(number)?;
            forget_state_files(&self.lake, &commit.removed);
        }
        if let Some(number) = learned {
            let record = self.checkpoint.learn.read(number)?;
            self.behind.learner()?.restore(&self.lake, &record)?;
        }
        self.catch_up_state(recovery.learn.start)?;
        let plan = recovery.rerun.map(|number| self.checkpoint.offsets.read(number)).transpose()?;
        let asked = match &plan {
            Some(planned) => self.ask_again(&planned.asked).await?,
            None => BTreeMap::new(),
        };
        // All has been looked at that may refuse this start: from here on there are records of this version.
        carry_over(&self.lake, &self.job.schema_name)?;
        self.compact_what_was_begun()?;
        snapshot::mend(&self.lake.checkpoint(&self.job.schema_name), learned.map_or(0, |number| number + 1));
        let Checkpoint { commits, offsets, .. } = &self.checkpoint;
        self.delta.repair(commits, offsets, self.transform.schema());
        let plan = plan.map(|planned| self.cut_anew(planned, asked)).transpose()?;
        self.take_up(recovery.learn, plan.as_ref(), on_event).await?;
        let Some(plan) = plan else {
            // The driver before may have died between its commit and this.
            self.tell_group();
            return Ok(());
        };
        if plan.replay.is_none() {
            self.check_identity(&plan)?;
        }
        on_event(StreamEvent::Planned { batch_id: plan.batch_id, rows: plan.offsets() });
        let (started, attempts) = (Instant::now(), &self.checkpoint.attempts);
        let tries = attempts.tries(plan.batch_id)?;
        self.tried_often = tries >= MOST_ATTEMPTS;
        if !self.tried_often {
            attempts.begin(plan.batch_id, tries + 1)?;
        }
        let number = plan.batch_id;
        let done = self.run_batch(plan, Durations::default(), started, on_event).await;
        let attempts = &self.checkpoint.attempts;
        if let Err(error) = done {
            // Brokers that are away or a full disk end this start, but no process: what was written for it counts a death.
            if !self.tried_often {
                attempts.withdraw(number, tries + 1)?;
            }
            return Err(error);
        }
        self.tried_often = false;
        attempts.clear(number)
    }

    /// Plans and commits the next batch and gives its number; `None` if there is nothing new. `until`, one past the
    /// last offset of each partition, bounds what counts as new. It is learned from once the history of its models is there.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn next_batch(
        &mut self,
        until: Option<&BTreeMap<i32, i64>>,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<Option<u64>> {
        let started = Instant::now();
        let Some(plan) = self.plan(until)? else { return Ok(None) };
        self.begin(plan, started, on_event).await.map(Some)
    }

    /// Records a plan and runs it.
    pub(super) async fn begin(
        &mut self,
        mut plan: Plan,
        started: Instant,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<u64> {
        self.check_place()?;
        // A transform that asks no model asks none in any batch.
        plan.asked = if self.asked.is_empty() { BTreeMap::new() } else { asked_now(&self.job, &self.lake)? };
        self.ask(&plan.asked).await?;
        self.checkpoint.offsets.create(plan.batch_id, &plan)?;
        self.last_plan = Some(plan.clone());
        self.crash(plan.batch_id, CrashPoint::Plan)?;
        let durations = Durations { plan: Some(ms(started)), ..Durations::default() };
        on_event(StreamEvent::Planned { batch_id: plan.batch_id, rows: plan.offsets() });
        self.run_batch(plan, durations, started, on_event).await
    }

    async fn run_batch(
        &mut self,
        plan: Plan,
        durations: Durations,
        started: Instant,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<u64> {
        // What was read of these is no longer in the log.
        self.marks
            .retain(|partition, _| plan.topic.data_loss.iter().all(|loss| loss.partition != *partition));
        let batch = Batch::new(self, &plan, durations);
        if batch.is_guarded()? {
            on_event(StreamEvent::Guarded { batch_id: plan.batch_id });
        }
        let (commit, durations) = batch.run().await?;
        let (batch_id, counts) = (commit.batch_id, commit.counts);
        self.committed = Some(batch_id);
        self.note_rows(&commit);
        self.goes_on_at.clone_from(&commit.read.ends);
        self.marks.retain(|partition, _| !commit.read.ends.contains_key(partition));
        self.marks.extend(commit.read.marks.clone());
        self.see(counts);
        self.found = Found::of(&plan, &commit).or(self.found);
        self.done.batches += 1;
        self.done.rows += counts.rows_read;
        self.done.dead_letters += counts.dead_letters;
        self.tell_group();
        self.follow(plan, commit, durations, started, on_event).await?;
        Ok(batch_id)
    }

    /// The plan of the newest committed batch: what it says is in the lake, one without a commit has left nothing there.
    pub(super) fn committed_plan(&self) -> Result<Option<Plan>> {
        match &self.last_plan {
            Some(last) if self.committed == Some(last.batch_id) => Ok(Some(last.clone())),
            _ => self.committed.map(|number| self.checkpoint.offsets.read(number)).transpose(),
        }
    }

    /// A plan without a commit, with the texts that the job has now: those that it was made with may be what the job was
    /// mended of. Its offsets and its time stay.
    fn cut_anew(&mut self, planned: Plan, asked: BTreeMap<String, Asked>) -> Result<Plan> {
        let mut plan = planned.clone();
        plan.program.clone_from(&self.job.program);
        plan.asked = asked;
        if plan == planned {
            return Ok(planned);
        }
        plan.made_by = Some(Maker::this());
        tracing::info!(
            batch_id = plan.batch_id,
            "the job has changed since the batch was planned, of which nothing is committed: it is run as the job is now"
        );
        self.checkpoint.offsets.replace(plan.batch_id, &plan)?;
        self.last_plan = Some(plan.clone());
        Ok(plan)
    }

    /// The plan of the next batch, or `None` if no partition has anything new.
    fn plan(&mut self, until: Option<&BTreeMap<i32, i64>>) -> Result<Option<Plan>> {
        let mut watermarks = self.available()?;
        let batch_id = self.last_plan.as_ref().map_or(0, |p| p.batch_id + 1);
        self.ends = Some((batch_id, watermarks.clone()));
        let topic_id = self.source.topic_id();
        let previous = self.read_so_far();
        if let Some(until) = until {
            end_at(&mut watermarks, until, previous.as_deref().unwrap_or_default());
        }
        let cut_off = self.last_plan.as_ref().map(|plan| plan.topic.cut_off.clone()).unwrap_or_default();
        let starting = self.job.source.starting_offsets;
        let positions = next_positions(previous.as_deref(), &cut_off, &watermarks, starting);
        let losses = positions.lost;
        let remade = self.remade(topic_id.as_deref());
        if let Some(reason) = remade {
            return Err(self.another(&reason));
        }
        if let Some(reason) = losses.first().map(|l| l.reason.as_str()) {
            self.source.forget_what_is_in_flight();
            if self.job.source.fail_on_data_loss == FailOnDataLoss::Fail {
                return Err(self.data_loss(reason));
            }
            tracing::warn!(
                reason,
                topic = self.job.source.topic,
                "promised rows are gone, the stream goes on"
            );
        }
        let most = self.most_messages(&positions.from, &watermarks)?;
        let mut partitions = split_limit(&positions.from, &watermarks, Some(most));
        let most = self.widen(&mut partitions, &watermarks)?;
        // A stream that starts at the end is pinned there by an empty plan, or rows that come before its first
        // batch would be passed over.
        let pins = self.last_plan.is_none() && self.job.source.starting_offsets == StartingOffsets::Latest;
        if losses.is_empty() && !pins && partitions.iter().all(|p| p.to == p.from) {
            return Ok(None);
        }
        Ok(Some(Plan {
            batch_id,
            query_id: self.checkpoint.query_id.clone(),
            before: Before::default(),
            made_by: Some(Maker::this()),
            now: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            // An id that was not told this time is still the one to compare the next with.
            cluster_id: self
                .cluster_id
                .clone()
                .or(self.last_plan.as_ref().and_then(|p| p.cluster_id.clone())),
            topic: TopicPlan {
                name: self.job.source.topic.clone(),
                id: topic_id.or(self.last_plan.as_ref().and_then(|p| p.topic.id.clone())),
                partitions,
                data_loss: losses,
                cut_off: positions.cut_off,
                most,
            },
            replay: None,
            program: self.job.program.clone(),
            aliases: alias_records(&self.lake, &self.job.schema_name).numbers()?.end,
            asked: BTreeMap::new(),
        }))
    }

    /// Where the stream goes on, told to those who watch the group.
    fn tell_group(&self) {
        let is_committed = self.last_plan.as_ref().is_some_and(|plan| self.committed == Some(plan.batch_id));
        if let Some(ranges) = self.read_so_far().filter(|_| is_committed) {
            self.source.tell_group(&ranges);
        }
    }

    /// What a batch leaves unread of what was there when it was planned; `None` where another driver planned it.
    pub(super) fn lag(&self, plan: &Plan) -> Option<Lag> {
        let (_, ends) = self.ends.as_ref().filter(|(batch_id, _)| *batch_id == plan.batch_id)?;
        plan.replay.is_none().then(|| Lag::after(&self.read_so_far().unwrap_or_default(), ends))
    }

    pub(super) fn crash(&self, batch_id: u64, point: CrashPoint) -> Result<()> {
        match self.crash_after {
            Some(at) if at == (batch_id, point) => Err(Error::internal(format!(
                "the test had the driver die after {point:?} of batch {batch_id}"
            ))),
            _ => Ok(()),
        }
    }
}

pub(super) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
