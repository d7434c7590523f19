//! For tests, in debug builds alone: messages that do something to the process that has them in hand.
//!
//! `TIDEMILL_FAIL=decode:MARKER:abort` ends it as soon as a message that holds the bytes MARKER is decoded; the stage may
//! also be `transform`, and the process may overflow its stack, panic, find no memory, be killed from outside, or wait.

use std::sync::OnceLock;
use std::time::Duration;

use memchr::memmem;

use crate::source::RawRows;

static SET: OnceLock<Option<[String; 3]>> = OnceLock::new();

/// What is set.
fn set() -> Option<&'static [String; 3]> {
    let set = SET.get_or_init(|| {
        let text = std::env::var("TIDEMILL_FAIL").ok()?;
        let parts: Vec<String> = text.split(':').map(String::from).collect();
        parts.try_into().ok()
    });
    set.as_ref()
}

/// Looks whether a step of a batch job does something at this point: `build:TABLE:panic`, or behind what its commit does
/// (`written`, `committed`, `shown`, `logged`, `removed`).
pub(crate) fn step(point: &str, step: &str) {
    if let Some([stage, name, what]) = set()
        && stage == point
        && name == step
    {
        act(what);
    }
}

/// Looks whether one of the messages does something at this stage.
pub(crate) fn hit(stage: &str, raw: &[RawRows]) {
    let Some([_, marker, what]) = set().filter(|set| set[0] == stage) else { return };
    let has = |rows: &RawRows, at| {
        rows.payload(at).is_some_and(|payload| memmem::find(payload, marker.as_bytes()).is_some())
    };
    if raw.iter().any(|rows| (0..rows.len()).any(|at| has(rows, at))) {
        act(what);
    }
}

#[allow(clippy::panic)]
fn act(what: &str) {
    match what {
        "abort" => std::process::abort(),
        "overflow" => {
            descend(u64::MAX);
        }
        "panic" => panic!("a message that makes the process panic"),
        "memory" => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u64; 1 << 20]>()),
        "kill" => {
            let killed =
                std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
            std::thread::sleep(Duration::from_secs(if killed.is_ok() { 60 } else { 0 }));
        }
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
}

fn descend(levels: u64) -> u64 {
    let here = std::hint::black_box([levels; 128]);
    if levels == 0 { 0 } else { descend(levels - 1) + std::hint::black_box(here)[5] }
}
