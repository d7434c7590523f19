//! Panics of the libraries that read files, as errors.
//!
//! The parquet crate panics on some damaged files where it should give an error (an index beyond a page, a length that is
//! negative). Such a panic ends no process: what reads runs within [`caught`], [`caught_in`] or a [`Guard`], and whoever
//! knows the file names it. What a library says to the terminal of a panic that is caught goes to the log at `-vv`; a panic
//! of our own code is shown as ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use crate::error::{Error, Result};

/// How many guards there are. Reading goes on in threads of the runtime, so that they hold for the process.
static GUARDS: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

/// As long as there is one, panics of libraries are not shown.
#[derive(Debug)]
pub(crate) struct Guard(());

impl Guard {
    pub(crate) fn new() -> Guard {
        HOOK.call_once(|| {
            let usual = take_hook();
            set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
                if GUARDS.load(Ordering::SeqCst) > 0 && is_of_library(info) {
                    tracing::debug!("caught: {info}");
                } else {
                    usual(info);
                }
            }));
        });
        GUARDS.fetch_add(1, Ordering::SeqCst);
        Guard(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Our own files are compiled by their paths in the workspace, those of libraries by whole ones.
fn is_of_library(info: &PanicHookInfo<'_>) -> bool {
    info.location().is_some_and(|location| Path::new(location.file()).is_absolute())
}

/// Runs what reads a file. What it has in hand is dropped with it.
///
/// # Errors
/// Corrupt: it panicked.
pub(crate) fn caught<T>(read: impl FnOnce() -> T) -> Result<T> {
    let _guard = Guard::new();
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| error(&*panic))
}

/// The same of what is awaited. A panic in a task that DataFusion has spawned comes here too: it is raised again in the one
/// that waits for it.
///
/// # Errors
/// Corrupt: it panicked.
pub(crate) async fn caught_in<T>(read: impl Future<Output = T>) -> Result<T> {
    let _guard = Guard::new();
    AssertUnwindSafe(read).catch_unwind().await.map_err(|panic| error(&*panic))
}

/// A panic as an error.
pub(crate) fn error(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
    Error::corrupt(format!("what was read cannot be made sense of: a library gave up with `{text}`"))
        .hint("a file is damaged (`tidemill doctor` finds those of a lake), or it is a defect: tell us of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let none: Vec<u8> = Vec::new();
        let panicked = caught(|| none[3]).unwrap_err();
        assert!(panicked.to_string().contains("index out of bounds"), "{panicked}");
        let task = tokio::spawn(async { Vec::<u8>::new()[3] });
        let joined = caught_in(async {
            match task.await {
                Ok(value) => value,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        });
        assert!(joined.await.unwrap_err().to_string().contains("index out of bounds"));
        assert_eq!(caught(|| 7).unwrap(), 7);
    }
}
