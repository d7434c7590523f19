//! SIGINT and SIGTERM for commands that have something to finish.
//!
//! The first one asks: the batch in hand is finished and committed (but for one that is decoded in child processes, which is
//! left to the next start), then the command ends with 130 or 143. A second
//! one ends the process at once (which loses nothing either: the batch is run again on the next start).
//! Commands that do not call [`watch`] die by the signal, as any Unix program.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_core::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Outcome;
use crate::notes::note;

/// What the signal handler has seen so far.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    flag: Arc<AtomicBool>,
    number: Arc<AtomicU8>,
    notify: Arc<tokio::sync::Notify>,
    said: Arc<Mutex<&'static str>>,
}

impl Stop {
    /// The flag that the engine looks at between batches.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// What is said at the first signal from now on.
    pub(crate) fn say(&self, said: &'static str) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// Whether the command was asked to stop.
    pub(crate) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Returns when the command was asked to stop.
    pub(crate) async fn wait(&self) {
        // `notify_one` keeps its permit, so a signal before this call is not missed.
        if !self.is_set() {
            self.notify.notified().await;
        }
    }

    /// How the command ends, if it ends now.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.number.load(Ordering::Acquire) {
            0 => Outcome::Done,
            number => Outcome::Signal(number),
        }
    }
}

/// Starts watching; must be called inside the runtime. `said` is said on stderr at the first signal.
///
/// # Errors
/// Where the operating system refuses a handler.
pub(crate) fn watch(said: &'static str) -> Result<Stop> {
    let refused = |e: std::io::Error| Error::internal(format!("cannot watch for signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let stop = Stop {
        flag: Arc::new(AtomicBool::new(false)),
        number: Arc::new(AtomicU8::new(0)),
        notify: Arc::new(tokio::sync::Notify::new()),
        said: Arc::new(Mutex::new(said)),
    };
    let seen = stop.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
            };
            if seen.is_set() {
                std::process::exit(128 + i32::from(number));
            }
            seen.number.store(number, Ordering::Release);
            seen.flag.store(true, Ordering::Release);
            seen.notify.notify_one();
            let said = *seen.said.lock().unwrap_or_else(PoisonError::into_inner);
            if !said.is_empty() {
                note(said);
            }
        }
    });
    Ok(stop)
}
