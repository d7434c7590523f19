//! The microbatch driver.
//!
//! ```text
//! open checkpoint, recover ──> every interval: plan ─> read ─> decode ─> transform ─> stage ─> commit ─> learn
//!                                               │                                     │          │
//!                                         offsets/N.json                       commits/N.json  learn/N.json
//! ```
//!
//! [`run`] decides when; `batch` does one batch, a named value handed from stage to stage, in parts where it is large
//! (`bounds`); `replay` feeds dead
//! letters through the same stages. A crash anywhere is repaired by the next start from the records alone
//! ([`crate::checkpoint::recovery`]). Where a job keeps a state ([`crate::state`]), the rows of a batch go into it before
//! the commit, which lists its files too; `stateful` is that path. A batch that ends the process again and again is decoded
//! in processes of their own, until the message is found that does it: `guard`. After a start the models' history is read beside the
//! stream, and learning falls behind the commits until it is there: `behind`. Where a transform asks models, the plan says
//! which versions: `asked`. Once a batch's files are in place, the table's Delta log says so (`delta`). After 100 batches
//! their files become one: `compact`.

mod asked;
mod batch;
mod behind;
mod bounds;
mod checks;
mod compact;
mod compare;
mod crash_point;
#[cfg(unix)]
mod descriptors;
mod driver;
mod files;
mod fits;
mod guard;
mod learn;
mod letters;
mod place;
pub mod replay;
mod report;
mod rows;
mod split;
mod stateful;
mod unread;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use compact::{Compacted, compact};
pub use crash_point::CrashPoint;
pub use driver::Driver;
pub use guard::{guard_with, serve as serve_guard};
pub use watch::{GoesOn, begin_anew_with};

use crate::error::{ErrorKind, Result};
use crate::lake::Lake;
use crate::progress::BatchProgress;
use crate::project::{StreamJob, Trigger};
use crate::source::plan::Watermarks;

/// How long a stream runs.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    /// Take what is there now, in as many batches as the limits make, and end.
    pub available_now: bool,
    /// End after this many batches.
    pub max_batches: Option<u64>,
    /// Of a stream that takes what is available now: one past the last offset of each partition, where a process before this
    /// one has asked for it.
    pub until: Option<BTreeMap<i32, i64>>,
}

/// What a stream tells while it runs.
#[derive(Debug)]
pub enum StreamEvent<'a> {
    /// Recovered and connected; the next batch is the first new one.
    Ready {
        /// The newest committed batch.
        latest_batch: Option<u64>,
        /// Since the start, milliseconds.
        startup_ms: u64,
    },
    /// A batch begins.
    Planned {
        /// Its number.
        batch_id: u64,
        /// Offsets that it covers.
        rows: u64,
    },
    /// Its messages are decoded in processes of their own: one that is asked to stop ends without a commit.
    Guarded {
        /// Its number.
        batch_id: u64,
    },
    /// A batch is committed and learned from; or, as the run ends before that, is left to be learned from by the next
    /// start: its progress then has no model, and no time of learning.
    Batch(&'a BatchProgress),
    /// A batch that an earlier run committed is learned from.
    Learned {
        /// Its number.
        batch_id: u64,
    },
    /// What the models learned from before is still being read: batches are committed, and learned from later.
    HistoryTakesLong {
        /// Batches that it has.
        batches: u64,
    },
    /// There is nothing new.
    Idle,
}

/// What a stream did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSummary {
    /// Batches committed by this run.
    pub batches: u64,
    /// Messages read by this run.
    pub rows: u64,
    /// Messages of them that went to the dead letters.
    pub dead_letters: u64,
}

/// How often a stream that waits looks at `stop`.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a job's stream until what is available now is used up, `max_batches` were done, or `stop` is set: the
/// batch in hand is then finished and committed; one that is decoded in processes of their own (`guard`) ends there, and is
/// the next start's. Brokers that are away are waited for as long as the job says, but not once `stop` is set.
///
/// # Errors
/// By kind: User (the job), Source (no broker, no topic), Held (another driver runs), DataLoss (promised rows are
/// gone and the job says to stop), Corrupt or Storage (the lake).
pub async fn run(
    job: &StreamJob,
    lake: &Lake,
    options: &StreamOptions,
    stop: Arc<AtomicBool>,
    on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
) -> Result<StreamSummary> {
    let started = Instant::now();
    let stopped = || stop.load(Ordering::Relaxed);
    let full = |done: &StreamSummary| options.max_batches.is_some_and(|most| done.batches >= most);
    if full(&StreamSummary::default()) {
        return Ok(StreamSummary::default());
    }
    let opened = Driver::open_until(job, lake, stop.clone()).await;
    let Some(mut driver) = unless_stopped(&stop, opened)? else { return Ok(StreamSummary::default()) };
    fits::check(&driver).await?;
    // Before anything is read: what is there now is what was there when this was begun.
    let available_now = options.available_now || job.trigger == Trigger::AvailableNow;
    let until = match (available_now, &options.until) {
        (false, _) => None,
        (true, Some(until)) => Some(until.clone()),
        (true, None) => unless_stopped(&stop, driver.available())?.map(ends),
    };
    driver.until.clone_from(&until);
    unless_stopped(&stop, driver.recover(on_event).await)?;
    let startup_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    on_event(StreamEvent::Ready { latest_batch: driver.latest_batch(), startup_ms });

    while !stopped() && !full(&driver.done) {
        let batch_started = Instant::now();
        let batch = driver.next_batch(until.as_ref(), on_event).await;
        match unless_stopped(&stop, batch)?.flatten() {
            Some(_) => {}
            None if available_now => break,
            None => {
                driver.learn_oldest(on_event).await?;
                on_event(StreamEvent::Idle);
            }
        }
        if let (Trigger::ProcessingTime(interval), false) = (job.trigger, available_now) {
            while !stopped() && !full(&driver.done) && batch_started.elapsed() < interval {
                if !driver.learn_oldest(on_event).await? {
                    tokio::time::sleep(LOOK.min(interval - batch_started.elapsed().min(interval))).await;
                }
            }
        }
    }
    driver.finish(&stop, on_event).await?;
    Ok(driver.done)
}

/// One past the last offset of each partition.
fn ends(watermarks: BTreeMap<i32, Watermarks>) -> BTreeMap<i32, i64> {
    watermarks.into_iter().map(|(partition, marks)| (partition, marks.high)).collect()
}

/// A stream that is asked to stop while its brokers are away ends there; what it has planned is run by the next start.
fn unless_stopped<T>(stop: &AtomicBool, result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if stop.load(Ordering::Relaxed) && error.kind() == ErrorKind::Source => {
            tracing::warn!("{error}");
            Ok(None)
        }
        other => other.map(Some),
    }
}
