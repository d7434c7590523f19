//! One child: given its messages, listened to, and what it died of.

use std::ffi::{OsStr, OsString};
use std::io::{BufReader, BufWriter, Read};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::wire::{self, Fault, Stage, Told, Work};
use crate::error::{Error, Result};
use crate::source::RawRows;

/// How often the side that has sent everything looks whether it is to hang up.
const LOOK: Duration = Duration::from_millis(10);
/// How long a signal that was sent to all processes of a service takes to be noticed by this one too.
const MOMENT: Duration = Duration::from_millis(200);
/// Such signals: SIGHUP, SIGINT, SIGTERM.
const TO_ALL: [i32; 3] = [1, 2, 15];
/// What a child is told of the surroundings, beside `LC_*`: how a program runs, and no password.
const PASSED_ON: [&str; 11] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "RUST_LOG",
    "RUST_MIN_STACK",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "MALLOC_ARENA_MAX",
    "LD_LIBRARY_PATH",
];
/// And on Windows, where no program starts without it.
const SYSTEM_ROOT: &str = "SystemRoot";
/// Further time for each of the messages that a child has in hand.
pub(in crate::stream) const A_MESSAGE: Duration = Duration::from_millis(10);
/// Bytes that are kept of what a child says on its way out.
const LAST_WORDS: usize = 4_000;
/// The code of a Rust process that panicked.
const PANICKED: i32 = 101;
/// What Rust's allocator says before it aborts.
const NO_MEMORY: &str = "memory allocation of ";

/// What a child made of its next messages.
pub(super) struct Made {
    pub(super) rows: Vec<RecordBatch>,
    pub(super) faults: Vec<Fault>,
}

/// What came of a child.
pub(super) struct Tried {
    /// How many of its messages, from the first on, it got through.
    pub(super) done: usize,
    pub(super) end: End,
}

pub(super) enum End {
    /// It has done all of its ranges.
    Whole,
    Died(Death),
    /// It has ended by itself before it was ready for a message: why.
    Unfit(String),
}

/// A child that has not come to its end.
pub(super) struct Death {
    /// What it was at.
    pub(super) stage: Stage,
    pub(super) how: How,
}

/// How long a child is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience<'a> {
    /// With a message in hand; with several somewhat longer.
    pub(super) timeout: Duration,
    /// Until it is ready for messages.
    pub(super) ready: Duration,
    /// Once it is set, no longer.
    pub(super) stop: &'a AtomicBool,
}

/// The time in which a child is listened to and says nothing. While this process has its rows in hand, or is stopped itself,
/// none passes.
#[derive(Debug, Default)]
struct Silence {
    now: Mutex<Option<(Duration, Duration)>>,
}

impl Silence {
    /// It is listened to from now on, for so long.
    fn begin(&self, most: Duration) {
        self.set(Some((Duration::ZERO, most)));
    }

    fn end(&self) {
        self.set(None);
    }

    fn set(&self, to: Option<(Duration, Duration)>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// One more look at it; whether it has lasted too long.
    fn looked(&self) -> bool {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_mut().is_some_and(|(lasted, most)| {
            *lasted += LOOK;
            *lasted > *most
        })
    }
}

/// What it died of, as the end of a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum How {
    ByItself(String),
    FromOutside(String),
}

/// Starts a child.
///
/// # Errors
/// What the system says that keeps it from it.
pub(super) fn start(program: &Path, arguments: &[OsString]) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What it died of is to be its last words.
    command.env("RUST_BACKTRACE", "0");
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Ctrl-C in a terminal is for this process alone, which then hangs up.
        command.process_group(0);
        super::super::descriptors::keep_to_ourselves();
    }
    command.spawn()
}

fn is_passed_on(name: &OsStr) -> bool {
    let is_ours = |name: &str| {
        PASSED_ON.contains(&name)
            || name.starts_with("LC_")
            || (cfg!(windows) && name.eq_ignore_ascii_case(SYSTEM_ROOT))
            || (cfg!(debug_assertions) && name == "TIDEMILL_FAIL")
    };
    name.to_str().is_some_and(is_ours)
}

/// Has a child run over some ranges of the messages, one after the other, and hands over what it makes as it comes. It ends
/// early once `stop` is set.
///
/// # Errors
/// Storage: it cannot be talked to; Internal: it is no child of this program; what it says that it failed at; what `take`
/// says.
pub(super) fn run(
    mut child: Child,
    work: &Work,
    schema: &SchemaRef,
    raw: &[RawRows],
    ranges: &[Range<usize>],
    patience: Patience<'_>,
    take: &mut dyn FnMut(Made) -> Result<()>,
) -> Result<Tried> {
    let Patience { timeout, ready, stop } = patience;
    let messages: usize = ranges.iter().map(Range::len).sum();
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::internal("a child without its pipes"));
    };
    let (is_over, is_endless, silence) = (AtomicBool::new(false), AtomicBool::new(false), Silence::default());
    let to_kill = Mutex::new(&mut child);
    // One that is gone already needs no killing.
    let kill = || drop(to_kill.lock().unwrap_or_else(PoisonError::into_inner).kill());
    let (heard, last_words) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                if silence.looked() {
                    is_endless.store(true, Ordering::Relaxed);
                    return kill();
                }
            }
        });
        scope.spawn(|| {
            // One that has died is heard of at the other end.
            if let Err(error) = send(stdin, work, raw, ranges, &is_over, stop) {
                tracing::debug!(%error, "a child has hung up");
            }
        });
        let last_words = scope.spawn(|| last_of(stderr));
        let heard = listen(&mut BufReader::new(stdout), schema, ranges, patience, &silence, take);
        is_over.store(true, Ordering::Relaxed);
        if heard.as_ref().map_or(true, |heard| heard.done == messages) {
            // Nothing more is wanted of it, so that its end is not waited for.
            kill();
        }
        (heard, last_words.join().unwrap_or_default())
    });
    let status = ended(&mut child)?;
    let Heard { done, stage, is_ready } = heard?;
    if done == messages {
        return Ok(Tried { done, end: End::Whole });
    }
    tracing::debug!(%status, "a child has died: {last_words}");
    if is_endless.load(Ordering::Relaxed) {
        let most = if is_ready { timeout } else { ready };
        let how = format!("took longer than {}", humantime::format_duration(most));
        let end = match is_ready {
            true => End::Died(Death { stage, how: How::ByItself(how) }),
            false => End::Unfit(format!("a process that decodes messages was not ready: it {how}")),
        };
        return Ok(Tried { done, end });
    }
    if signal_of(status).is_some_and(|signal| TO_ALL.contains(&signal)) {
        let died = Instant::now();
        while !stop.load(Ordering::Relaxed) && died.elapsed() < MOMENT {
            std::thread::sleep(LOOK);
        }
    }
    let how = how_it_died(status, &last_words)
        .filter(|how| is_ready || matches!(how, How::FromOutside(_)) || stop.load(Ordering::Relaxed));
    let end = match how {
        Some(how) => End::Died(Death { stage, how }),
        // The input was closed.
        None if stop.load(Ordering::Relaxed) => {
            End::Died(Death { stage, how: How::FromOutside("was told to stop".to_owned()) })
        }
        None if !is_ready && done == 0 => End::Unfit(ended_by_itself(status, &last_words)),
        None => return Err(Error::internal(ended_by_itself(status, &last_words))),
    };
    Ok(Tried { done, end })
}

fn ended_by_itself(status: ExitStatus, last_words: &str) -> String {
    format!("a process that decodes messages ended by itself ({status}): {last_words}")
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
    /// Messages that it has done.
    done: usize,
    stage: Stage,
    is_ready: bool,
}

fn listen(
    stdout: &mut BufReader<impl Read>,
    schema: &SchemaRef,
    ranges: &[Range<usize>],
    patience: Patience<'_>,
    silence: &Silence,
    take: &mut dyn FnMut(Made) -> Result<()>,
) -> Result<Heard> {
    let messages: usize = ranges.iter().map(Range::len).sum();
    let mut heard = Heard { done: 0, stage: Stage::Decode, is_ready: false };
    while heard.done < messages {
        silence.begin(match heard.is_ready {
            true => patience.timeout.saturating_add(A_MESSAGE.saturating_mul(in_hand(ranges, heard.done))),
            false => patience.ready,
        });
        let read = wire::read(stdout);
        silence.end();
        let Some((told, rows)) = read? else { break };
        match told {
            Told::Ready => heard.is_ready = true,
            Told::Decoded => heard.stage = Stage::Transform,
            Told::Made { messages: made, faults } => {
                heard.stage = Stage::Decode;
                heard.done += made;
                if heard.done > messages {
                    return Err(Error::internal("a child has made more messages than it was given"));
                }
                take(Made { rows: wire::with_schema(rows, schema)?, faults })?;
            }
            Told::Failed(error) => return Err(error),
        }
    }
    Ok(heard)
}

/// How many messages a child has in hand at most that has done so many.
fn in_hand(ranges: &[Range<usize>], done: usize) -> u32 {
    let mut before = 0;
    let range = ranges.iter().find(|range| {
        before += range.len();
        done < before
    });
    range.map_or(0, |range| u32::try_from(range.len()).unwrap_or(u32::MAX))
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

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

/// What a process that did not finish died of; `None` where it ended as processes do.
fn how_it_died(status: ExitStatus, last_words: &str) -> Option<How> {
    /// Signals that a process brings upon itself: SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV. SIGBUS is none of them: a
    /// file that cannot be read, if it is mapped into the memory, ends in it.
    const OWN: [i32; 5] = [4, 5, 6, 8, 11];
    match signal_of(status) {
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
    fn silence_lasts_while_it_is_listened_to() {
        let silence = Silence::default();
        assert!((0..1_000).all(|_| !silence.looked()));
        silence.begin(LOOK * 3);
        assert_eq!([(); 4].map(|()| silence.looked()), [false, false, false, true]);
        silence.begin(LOOK * 3);
        assert!(!silence.looked());
        silence.end();
        assert!((0..1_000).all(|_| !silence.looked()));
    }

    #[test]
    fn in_hand_is_the_range_that_is_not_done() {
        let ranges = [5..15, 15..16, 16..116];
        let counts = [0, 9, 10, 11, 110, 111].map(|done| in_hand(&ranges, done));
        assert_eq!(counts, [10, 10, 1, 100, 100, 0]);
    }

    #[test]
    fn no_secret_is_passed_on() {
        let passed_on =
            |names: &[&str]| names.iter().map(|name| is_passed_on(OsStr::new(name))).collect::<Vec<_>>();
        assert_eq!(passed_on(&["PATH", "LC_ALL", "RUST_LOG", "TIDEMILL_FAIL"]), [true; 4]);
        let others = ["KAFKA_PASSWORD", "AWS_SECRET_ACCESS_KEY", "TIDEMILL_LAKE", "path", "LCA", ""];
        assert_eq!(passed_on(&others), [false; 6]);
    }

    #[test]
    fn the_end_of_what_is_said_is_kept() {
        let long = format!("{}the end\n", "x".repeat(100_000));
        let kept = last_of(long.as_bytes());
        assert!(kept.ends_with("the end") && kept.len() <= LAST_WORDS, "{}", kept.len());
    }
}
