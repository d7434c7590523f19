//! A message without an end holds the process that has it in hand, and nobody hears of it. So a step of the driver's own
//! (decoding a part, transforming some of it) that takes as long as a guarded child is given (`source.message_timeout`, and
//! 10 ms for each of its messages) ends the process: its batch counts as tried three times, and the program begins anew with
//! the words that it was called with, so that the batch is guarded at once (see [`super::guard`]).
//!
//! Nothing is condemned here: a step that was slow and no more is done again by a child. It begins anew once a batch: where no
//! child is to be had then, this process decodes the batch for as long as it takes. Time in which the process stood still
//! is not counted, nor what reading and writing take.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::batch::Batch;
use super::guard::A_MESSAGE;
use crate::checkpoint::attempts::{Attempts, MOST_ATTEMPTS};
use crate::error::Result;

/// How often it is looked whether a step has ended.
const TICK: Duration = Duration::from_millis(100);
/// No step is being done.
const IDLE: u64 = u64::MAX;

/// The program, and its words, its own name first.
type Call = Box<dyn Fn(&GoesOn) -> (PathBuf, Vec<OsString>) + Send + Sync>;

/// What a process has to know that goes on with a stream in this one's place, besides what the records say.
#[derive(Debug, Clone, Default)]
pub struct GoesOn {
    /// Batches that were committed.
    pub batches: u64,
    /// One past the last offset of each partition, where the stream takes what was there when it was begun.
    pub until: Option<BTreeMap<i32, i64>>,
}

static CALL: OnceLock<Call> = OnceLock::new();

/// Says how to call this program, and with which words, its own name first, so that it goes on with the stream that it runs. It is
/// said before there is a stream: what is open by then goes on to such a process, and nothing else. Without it, nothing is
/// begun anew.
pub fn begin_anew_with(call: impl Fn(&GoesOn) -> (PathBuf, Vec<OsString>) + Send + Sync + 'static) {
    #[cfg(unix)]
    super::descriptors::remember();
    // What was said first holds: it is the same program.
    let _ = CALL.set(Box::new(call));
}

/// Looks at the steps of a batch until it is dropped.
pub(super) struct Watch {
    /// Ticks that the step in hand has left.
    left: Arc<AtomicU64>,
    timeout: Duration,
    _ends: Sender<()>,
}

/// A step that is being done, until it is dropped.
pub(super) struct Step<'a>(&'a Watch);

impl Batch<'_> {
    /// What looks at the steps of a batch that is run in this process; `None` where the program could not begin anew, or that
    /// would be for nothing: the batch was tried often, and has its child or could have none.
    pub(super) fn watch(&self) -> Option<Watch> {
        let (driver, batch_id) = (&*self.driver, self.plan.batch_id);
        let call = CALL.get().filter(|_| !driver.tried_often)?;
        let goes_on = GoesOn { batches: driver.done.batches, until: driver.until.clone() };
        let attempts = Attempts::of(&driver.lake.checkpoint(&driver.job.schema_name));
        let (timeout, stop) = (driver.job.source.message_timeout, driver.stop.clone());
        Watch::begin(timeout, move || begin_anew(&attempts, batch_id, timeout, &stop, || call(&goes_on)))
    }
}

impl Watch {
    /// Calls `late` once, if a step takes too long.
    fn begin(timeout: Duration, late: impl FnOnce() + Send + 'static) -> Option<Watch> {
        let left = Arc::new(AtomicU64::new(IDLE));
        let (ends, ended) = mpsc::channel::<()>();
        let seen = left.clone();
        let look = move || {
            let tick = |left: u64| (left != IDLE).then(|| left.saturating_sub(1));
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, tick) == Ok(0) {
                    return late();
                }
            }
        };
        // A machine that has no thread left runs the batch as ever.
        std::thread::Builder::new().name("watch".to_owned()).spawn(look).ok()?;
        Some(Watch { left, timeout, _ends: ends })
    }

    /// Begins a step of so many messages.
    pub(super) fn step(&self, messages: usize) -> Step<'_> {
        let limit = self.timeout + A_MESSAGE * u32::try_from(messages).unwrap_or(u32::MAX);
        let ticks = limit.as_millis().div_ceil(TICK.as_millis());
        self.left.store(u64::try_from(ticks).unwrap_or(IDLE - 1).min(IDLE - 1), Ordering::Relaxed);
        Step(self)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.left.store(IDLE, Ordering::Relaxed);
    }
}

/// Ends this process for one that guards the batch; for none where it was to stop.
fn begin_anew(
    attempts: &Attempts,
    batch_id: u64,
    timeout: Duration,
    stop: &AtomicBool,
    call: impl FnOnce() -> (PathBuf, Vec<OsString>),
) {
    let timeout = humantime::format_duration(timeout);
    if let Err(error) = count_as_tried(attempts, batch_id) {
        tracing::error!(batch_id, %error, "messages take longer than {timeout}, which cannot be recorded");
        return;
    }
    if !stop.load(Ordering::Acquire) {
        tracing::warn!(
            batch_id,
            "messages take longer than {timeout}: the driver begins anew, to decode them in a process of their own"
        );
        let (program, words) = call();
        let error = become_anew(program, &words);
        tracing::error!(%error, "cannot begin anew");
    }
    // The lock goes with the process.
    tracing::error!(
        batch_id,
        "messages take longer than {timeout}: start the stream again, it decodes them in a process of their own"
    );
    std::process::exit(1);
}

/// Comes back where it cannot be done, alone.
#[cfg(unix)]
fn become_anew(program: PathBuf, words: &[OsString]) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(program);
    if let Some((name, arguments)) = words.split_first() {
        command.arg0(name).args(arguments);
    }
    super::descriptors::keep_to_ourselves();
    command.exec()
}

#[cfg(not(unix))]
fn become_anew(_: PathBuf, _: &[OsString]) -> std::io::Error {
    std::io::Error::other("this system does not replace a process")
}

fn count_as_tried(attempts: &Attempts, batch_id: u64) -> Result<()> {
    (attempts.tries(batch_id)? + 1..=MOST_ATTEMPTS).try_for_each(|attempt| attempts.begin(batch_id, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(timeout: Duration) -> (Watch, mpsc::Receiver<()>) {
        let (late, is_late) = mpsc::channel();
        (Watch::begin(timeout, move || late.send(()).unwrap()).unwrap(), is_late)
    }

    #[test]
    fn a_step_that_takes_too_long_is_told_once_and_no_other() {
        let (watch, is_late) = watch(Duration::from_millis(200));
        // Between two steps there is no limit, and each has its own.
        std::thread::sleep(Duration::from_millis(700));
        for _ in 0..4 {
            let step = watch.step(60);
            std::thread::sleep(Duration::from_millis(300));
            drop(step);
        }
        assert_eq!(is_late.try_recv(), Err(mpsc::TryRecvError::Empty));
        let _step = watch.step(0);
        is_late.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(is_late.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn what_is_dropped_looks_no_longer() {
        let (watch, is_late) = watch(Duration::from_secs(3_600));
        std::mem::forget(watch.step(1));
        drop(watch);
        assert_eq!(is_late.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn a_batch_that_was_given_up_counts_as_tried_three_times() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = Attempts::of(folder.path());
        attempts.begin(4, 2).unwrap();
        for batch in [4, 5] {
            count_as_tried(&attempts, batch).unwrap();
            count_as_tried(&attempts, batch).unwrap();
            assert_eq!(attempts.tries(batch).unwrap(), MOST_ATTEMPTS);
        }
    }
}
