//! Learning behind commits: a start commits at once, and reads the history of the models beside the stream.
//!
//! ```text
//! start ── commit 900 ── commit 901 ── commit 902 ── … ── commit 960 ── commit 961 ── …
//!   └─ history: rows of batches 0..900, read on a thread of its own ─┐
//!                                     learn 900, learn 901 ──────────┴─ learn 902, 903 ── …
//! ```
//!
//! | the history is | after a commit | |
//! | --- | --- | --- |
//! | there, nothing waits | the batch is learned from | each commit has its learn record before the next is planned |
//! | being read, for less than [`WAIT`] | it is waited for | a small table goes on as if it had never stopped |
//! | being read, for longer | nothing | learning falls behind by what is committed meanwhile |
//! | there, batches wait | [`CATCH_UP`] of them are learned from | each commit makes the lag smaller by one |
//!
//! So learning lags by no more than what was committed while the history was read (and what an earlier start left), and
//! from then on less with each commit; while there is nothing to commit, it goes on alone. Order holds at any lag: batch N
//! is learned from after batch N-1, on the rows of batches 0 to N, from the model after N-1. Models and scores are thus the
//! same bytes whatever the lag was.
//!
//! What waits is in the records alone (commits without a learn record): a driver that ends or dies before it has learned
//! leaves it to the next start. A run that has an end of its own (what is available now, a number of batches, a replay)
//! learns from everything before it ends; one that a signal ends finishes the batch in hand, and leaves the rest. The
//! progress of a batch is told once it is learned from, or without its models when the run ends before that.
//!
//! A file of an old batch that is not what its record says is found by whoever reads the history, thus after the first
//! commit of a start: what was committed stays and is right, nothing is learned, and the stream ends with an error that
//! names the file and the batches that wait for it. So does each start until the file is put back; then they are learned from
//! in order.
//!
//! Models that learn online want no history: where all do, learning goes on with the first batch that waits.
//!
//! A job with a state does not lag. Its commits need the state, which is loaded first: its newest snapshot and the deltas
//! of fewer than 50 batches, whatever the length of the stream; its models learn from the state and have no history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::StreamEvent;
use super::driver::Driver;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::learn::Learner;
use crate::progress::Durations;
use crate::project::ModelSpec;
use crate::records::{Commit, Plan, RecordList};
use crate::source::lag::Lag;
use crate::table::evolve::nullable;
use crate::table::read::read_rows;

/// How long the first commits after a start wait for the history.
const WAIT: Duration = Duration::from_secs(1);

/// Batches that are learned from after a commit, where some wait.
const CATCH_UP: usize = 2;

/// How often it is looked whether the history is there.
const LOOK: Duration = Duration::from_millis(5);

/// The learner of a job, and how far it is behind the commits.
pub(super) struct Behind {
    /// `None` while the history is being read.
    learner: Option<Learner>,
    /// Batches whose rows the learner has.
    has: u64,
    reading: Option<Reading>,
    /// Committed, and not learned from yet; ascending.
    waiting: VecDeque<Waiting>,
    /// Whether it was told that the history takes long.
    is_told: bool,
    /// While it is set, no history is read.
    held: Arc<AtomicBool>,
}

/// A committed batch that is to be learned from.
struct Waiting {
    batch_id: u64,
    /// What this run knows of it, if it committed it.
    ours: Option<Ours>,
    /// Its records, as long as it is the newest: of the others they are on disk.
    records: Option<(Plan, Commit)>,
}

/// A batch that this run committed.
pub(super) struct Ours {
    /// How long its parts took.
    pub(super) durations: Durations,
    pub(super) started: Instant,
    pub(super) lag: Option<Lag>,
    /// For how long brokers were waited for, milliseconds.
    pub(super) waited_ms: u64,
}

/// The history on its way to memory. Dropped, it ends after the file in hand.
struct Reading {
    task: JoinHandle<Result<Learner>>,
    /// One past the last batch that is read.
    until: u64,
    began: Instant,
    stop: Arc<AtomicBool>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Behind {
    /// A learner that has no rows, and nothing that waits.
    pub(super) fn new(learner: Learner) -> Behind {
        Behind {
            learner: Some(learner),
            has: 0,
            reading: None,
            waiting: VecDeque::new(),
            is_told: false,
            held: Arc::default(),
        }
    }

    /// The learner, while no history is being read.
    pub(super) fn learner(&mut self) -> Result<&mut Learner> {
        self.learner.as_mut().ok_or_else(|| Error::internal("the learner is away, reading the history"))
    }

    /// The batches that are not learned from, with a word on what is in the way.
    fn who_waits(&self) -> String {
        let what = "the history of the models cannot be read";
        match (self.waiting.front(), self.waiting.back()) {
            (Some(first), Some(last)) if first.batch_id < last.batch_id => {
                format!(
                    "batches {} to {} are committed and not learned from, as {what}",
                    first.batch_id, last.batch_id
                )
            }
            (Some(only), _) => {
                format!("batch {} is committed and not learned from, as {what}", only.batch_id)
            }
            _ => what.to_owned(),
        }
    }

    fn push(&mut self, waiting: Waiting) {
        if let Some(last) = self.waiting.back_mut() {
            last.records = None;
        }
        self.waiting.push_back(waiting);
    }
}

impl Driver {
    /// For tests: while this is set no history is read, as if that took long.
    pub fn hold_history(&mut self, held: Arc<AtomicBool>) {
        self.behind.held = held;
    }

    /// Committed batches that are not learned from yet.
    pub fn waiting(&self) -> usize {
        self.behind.waiting.len()
    }

    /// Takes up what an earlier run has committed and not learned from, and begins to read the history for it or, where
    /// nothing waits, for the batch of `next`.
    pub(super) async fn take_up(
        &mut self,
        waiting: std::ops::Range<u64>,
        next: Option<&Plan>,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<()> {
        let number = waiting.start;
        for batch_id in waiting {
            self.behind.push(Waiting { batch_id, ours: None, records: None });
        }
        if self.state.is_some() {
            // The next commit needs the state after all of them, they need it as it was.
            while self.learn_oldest(on_event).await? {}
            return Ok(());
        }
        let models = match (self.behind.waiting.front(), next) {
            (Some(oldest), _) => self.checkpoint.offsets.read(oldest.batch_id)?.program.models,
            (None, Some(plan)) => plan.program.models.clone(),
            (None, None) => self.job.program.models.clone(),
        };
        self.has_history(&models, number).await.map(|_| ())
    }

    /// A batch is committed: learns from it as soon as the table above says.
    pub(super) async fn follow(
        &mut self,
        plan: Plan,
        commit: Commit,
        durations: Durations,
        started: Instant,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<()> {
        let ours =
            Some(Ours { durations, started, lag: self.lag(&plan), waited_ms: self.source.take_waited_ms() });
        self.behind.push(Waiting { batch_id: commit.batch_id, ours, records: Some((plan, commit)) });
        while let Some(reading) = &self.behind.reading
            && !reading.task.is_finished()
        {
            if reading.began.elapsed() >= WAIT {
                if !std::mem::replace(&mut self.behind.is_told, true) {
                    on_event(StreamEvent::HistoryTakesLong { batches: reading.until });
                }
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        for _ in 0..CATCH_UP {
            if !self.learn_oldest(on_event).await? {
                break;
            }
        }
        Ok(())
    }

    /// Learns from the oldest batch that waits, and tells it; `false` if none waits, or its history is still being read.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn learn_oldest(&mut self, on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send)) -> Result<bool> {
        let Some(oldest) = self.behind.waiting.front_mut() else { return Ok(false) };
        // Most of the time there is nothing to look up, as the history is away.
        if self.behind.reading.as_ref().is_some_and(|reading| !reading.task.is_finished()) {
            return Ok(false);
        }
        let batch_id = oldest.batch_id;
        let (plan, commit) = match oldest.records.take() {
            Some(records) => records,
            None => (self.checkpoint.offsets.read(batch_id)?, self.checkpoint.commits.read(batch_id)?),
        };
        if self.state.is_none() {
            if !self.has_history(&plan.program.models, batch_id).await? {
                return Ok(false);
            }
            let rows = CommittedRows::of(self);
            let learner = self.behind.learner()?;
            rows.append_to(learner, &commit, plan.moment()?).await?;
            self.behind.has = batch_id + 1;
        }
        let ours = self.behind.waiting.pop_front().and_then(|oldest| oldest.ours);
        let durations = ours.as_ref().map(|ours| ours.durations.clone()).unwrap_or_default();
        let lag = ours.as_ref().and_then(|ours| ours.lag.as_ref());
        let (learn, durations) = self.learn(&plan, &commit, lag, durations).await?;
        match ours {
            Some(ours) => {
                let ours = Ours { durations, ..ours };
                let progress = self.progress(&plan, &commit, &learn.models, ours);
                on_event(StreamEvent::Batch(&progress));
            }
            None => on_event(StreamEvent::Learned { batch_id }),
        }
        Ok(true)
    }

    /// Learns from all that waits, unless `stop` is set; what then still waits is told without its models.
    ///
    /// # Errors
    /// See [`super::run`].
    pub async fn finish(
        &mut self,
        stop: &AtomicBool,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<()> {
        while !stop.load(Ordering::Relaxed) && !self.behind.waiting.is_empty() {
            if !self.learn_oldest(on_event).await? {
                tokio::time::sleep(LOOK).await;
            }
        }
        for left in std::mem::take(&mut self.behind.waiting) {
            let Some(ours) = left.ours else { continue };
            let plan = self.checkpoint.offsets.read(left.batch_id)?;
            let commit = self.checkpoint.commits.read(left.batch_id)?;
            let progress = self.progress(&plan, &commit, &[], ours);
            on_event(StreamEvent::Batch(&progress));
        }
        Ok(())
    }

    /// Whether the learner has the rows of all batches before `number` for these models. Where it has not, they begin to
    /// be read.
    async fn has_history(&mut self, models: &[ModelSpec], number: u64) -> Result<bool> {
        if let Some(reading) = &mut self.behind.reading {
            if !reading.task.is_finished() {
                return Ok(false);
            }
            let read = (&mut reading.task).await;
            self.behind.has = reading.until;
            self.behind.reading = None;
            let learner = read.map_err(|e| Error::internal(format!("reading the history: {e}")))?;
            let learner = learner.map_err(|error| error.context(self.behind.who_waits()))?;
            self.behind.learner = Some(learner);
        }
        let schema = nullable(self.transform.schema());
        let learner = self.behind.learner()?;
        if learner.prepare(models, &schema).await? {
            self.behind.has = 0;
        }
        if !self.behind.learner()?.needs_history() {
            self.behind.has = number;
        }
        if self.behind.has < number {
            self.read_history(number)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Begins to read the rows of the batches up to `until` (exclusive) that the learner does not have.
    fn read_history(&mut self, until: u64) -> Result<()> {
        let rows = CommittedRows::of(self);
        let checkpoint = self.lake.checkpoint(&self.job.schema_name);
        let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
        let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
        let (from, held, stop) = (self.behind.has, self.behind.held.clone(), Arc::<AtomicBool>::default());
        let Some(mut learner) = self.behind.learner.take() else { return Ok(()) };
        let (stopped, runtime) = (stop.clone(), Handle::current());
        let task = tokio::task::spawn_blocking(move || {
            for number in from..until {
                while held.load(Ordering::Relaxed) && !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let now = plans.read(number)?.moment()?;
                let commit = commits.read(number)?;
                runtime.block_on(rows.append_to(&mut learner, &commit, now))?;
            }
            Ok(learner)
        });
        self.behind.reading = Some(Reading { task, until, began: Instant::now(), stop });
        Ok(())
    }
}

/// Where the committed rows of a job are.
struct CommittedRows {
    lake: Lake,
    table: String,
}

impl CommittedRows {
    fn of(driver: &Driver) -> CommittedRows {
        let table = format!("{}.{}", driver.job.schema_name, driver.job.table_name);
        CommittedRows { lake: driver.lake.clone(), table }
    }

    /// Adds the rows of a batch to the histories. A batch without rows is one too: what is newest is then nothing.
    async fn append_to(&self, learner: &mut Learner, commit: &Commit, now: DateTime<Utc>) -> Result<()> {
        if !learner.needs_rows() {
            return Ok(());
        }
        learner.begin();
        // File by file: together they may be more than a column can hold.
        for file in commit.added.iter().filter(|file| file.table == self.table) {
            learner.append(&read_rows(&self.lake, file)?, now).await?;
        }
        learner.finish()
    }
}
