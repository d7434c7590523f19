//! One child: given its messages, listened to, and what it died of.

use std::io::{BufReader, BufWriter, Read};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::wire::{self, Fault, Stage, Told, Work};
use crate::error::{Error, Result};
use crate::source::RawRows;

/// How often the side that has sent everything looks whether it is to hang up.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes that are kept of what a child says on its way out.
const LAST_WORDS: usize = 4_000;
/// The code of a Rust process that panicked.
const PANICKED: i32 = 101;
/// What Rust's allocator says before it aborts.
const NO_MEMORY: &str = "memory allocation of ";

/// What a child made of a range.
pub(super) struct Made {
    pub(super) rows: Vec<RecordBatch>,
    pub(super) faults: Vec<Fault>,
}

/// What came of a child.
pub(super) struct Tried {
    /// Of the ranges that it got through.
    pub(super) made: Vec<Made>,
    pub(super) end: End,
}

pub(super) enum End {
    /// It has done all of its ranges.
    Whole,
    Died(Death),
}

/// A child that has not come to its end.
pub(super) struct Death {
    /// What it was at.
    pub(super) stage: Stage,
    pub(super) how: How,
}

/// What it died of, as the end of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum How {
    ByItself(String),
    FromOutside(String),
}

/// Runs a child over some ranges of the messages, one after the other. It ends early once `stop` is set.
///
/// # Errors
/// Storage: it cannot be started or talked to; Internal: it is no child of this program, or dies before it has a message;
/// what it says that it failed at.
pub(super) fn run(
    mut command: Command,
    work: &Work,
    schema: &SchemaRef,
    raw: &[RawRows],
    ranges: &[Range<usize>],
    stop: &AtomicBool,
) -> Result<Tried> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What it died of is to be its last words.
    command.env("RUST_BACKTRACE", "0");
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Ctrl-C in a terminal is for this process alone, which then hangs up.
        command.process_group(0);
    }
    let mut child = command
        .spawn()
        .map_err(|e| Error::storage(format!("cannot start a process that decodes messages: {e}")))?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::internal("a child without its pipes"));
    };
    let is_over = AtomicBool::new(false);
    let (heard, last_words) = std::thread::scope(|scope| {
        scope.spawn(|| {
            // One that has died is heard of at the other end.
            if let Err(error) = send(stdin, work, raw, ranges, &is_over, stop) {
                tracing::debug!(%error, "a child has hung up");
            }
        });
        let last_words = scope.spawn(|| last_of(stderr));
        let heard = listen(&mut BufReader::new(stdout), schema, ranges.len());
        is_over.store(true, Ordering::Relaxed);
        if heard.is_err() {
            // It is not waited for; one that is gone already needs no killing.
            let _ = child.kill();
        }
        (heard, last_words.join().unwrap_or_default())
    });
    let status = ended(&mut child)?;
    let Heard { made, stage, is_ready } = heard?;
    if made.len() == ranges.len() {
        return Ok(Tried { made, end: End::Whole });
    }
    tracing::debug!(%status, "a child has died: {last_words}");
    let how = how_it_died(status, &last_words)
        .filter(|how| is_ready || matches!(how, How::FromOutside(_)) || stop.load(Ordering::Relaxed));
    match how {
        Some(how) => Ok(Tried { made, end: End::Died(Death { stage, how }) }),
        // The input was closed.
        None if stop.load(Ordering::Relaxed) => {
            let how = How::FromOutside("was told to stop".to_owned());
            Ok(Tried { made, end: End::Died(Death { stage, how }) })
        }
        None => Err(Error::internal(format!(
            "batch {}: a process that decodes messages ended by itself ({status}): {last_words}",
            work.batch_id
        ))),
    }
}

fn ended(child: &mut Child) -> Result<ExitStatus> {
    child
        .wait()
        .map_err(|e| Error::storage(format!("a process that decodes messages cannot be waited for: {e}")))
}

/// Sends everything, and keeps the line open until the child is through or this process wants to end.
fn send(
    stdin: ChildStdin,
    work: &Work,
    raw: &[RawRows],
    ranges: &[Range<usize>],
    is_over: &AtomicBool,
    stop: &AtomicBool,
) -> Result<()> {
    let ends = || is_over.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed);
    let mut stdin = BufWriter::new(stdin);
    wire::write(&mut stdin, work, &[])?;
    for range in ranges {
        if ends() {
            return Ok(());
        }
        wire::write(&mut stdin, &(), &[wire::messages(raw, range.clone())?])?;
    }
    while !ends() {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// What was heard of a child.
struct Heard {
    made: Vec<Made>,
    stage: Stage,
    is_ready: bool,
}

fn listen(stdout: &mut BufReader<impl Read>, schema: &SchemaRef, ranges: usize) -> Result<Heard> {
    let mut heard = Heard { made: Vec::new(), stage: Stage::Decode, is_ready: false };
    while heard.made.len() < ranges
        && let Some((told, rows)) = wire::read(stdout)?
    {
        match told {
            Told::Ready => heard.is_ready = true,
            Told::Decoded => heard.stage = Stage::Transform,
            Told::Made(faults) => {
                heard.stage = Stage::Decode;
                heard.made.push(Made { rows: wire::with_schema(rows, schema)?, faults });
            }
            Told::Failed(error) => return Err(error),
        }
    }
    Ok(heard)
}

/// The end of a text that may be long.
fn last_of(mut from: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(LAST_WORDS));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// What a process that did not finish died of; `None` where it ended as processes do.
fn how_it_died(status: ExitStatus, last_words: &str) -> Option<How> {
    /// Signals that a process brings upon itself: SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV. SIGBUS is none of them: a
    /// file that cannot be read, if it is mapped into the memory, ends in it.
    const OWN: [i32; 5] = [4, 5, 6, 8, 11];
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    match signal {
        Some(signal) if OWN.contains(&signal) && last_words.contains(NO_MEMORY) => {
            Some(How::FromOutside(format!("found no memory (signal {signal})")))
        }
        Some(signal) if OWN.contains(&signal) => {
            Some(How::ByItself(format!("killed the process (signal {signal})")))
        }
        Some(signal) => Some(How::FromOutside(format!("was killed (signal {signal})"))),
        None if status.code() == Some(PANICKED) => Some(How::ByItself("panicked".to_owned())),
        None => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn who_ended_a_process_is_told_by_its_signal() {
        use std::os::unix::process::ExitStatusExt;
        let died = |raw: i32, words: &str| how_it_died(ExitStatus::from_raw(raw), words);
        let own = |text: &str| Some(How::ByItself(text.to_owned()));
        let outside = |text: &str| Some(How::FromOutside(text.to_owned()));
        assert_eq!(died(6, "stack overflow"), own("killed the process (signal 6)"));
        assert_eq!(died(11, ""), own("killed the process (signal 11)"));
        assert_eq!(died(6 | 128, ""), own("killed the process (signal 6)"), "with a core dumped");
        assert_eq!(died(6, "memory allocation of 800 bytes failed"), outside("found no memory (signal 6)"));
        for signal in [1, 2, 7, 9, 15, 24] {
            assert_eq!(died(signal, ""), outside(&format!("was killed (signal {signal})")));
        }
        assert_eq!(died(101 << 8, ""), own("panicked"));
        assert_eq!((died(0, ""), died(2 << 8, "")), (None, None));
    }

    #[test]
    fn the_end_of_what_is_said_is_kept() {
        let long = format!("{}the end\n", "x".repeat(100_000));
        let kept = last_of(long.as_bytes());
        assert!(kept.ends_with("the end") && kept.len() <= LAST_WORDS, "{}", kept.len());
    }
}
