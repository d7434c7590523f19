//! No batch is poison: what ends the process at every start is found, and is a dead letter.
//!
//! A plan is fixed, so a message that ends the process (a stack that overflows, an abort in a library) would do so at each
//! start. A batch that was tried three times without a commit ([`crate::checkpoint::attempts`]) is therefore decoded and
//! transformed in child processes, which are given messages and give back rows; this process does the rest as ever:
//!
//! ```text
//! messages of a part ──stdin──> child: decode, transform ──stdout──> rows, dead letters ──> state, files, commit
//!
//! a child dies     of 5,000 at once      the next takes them 312 at a time
//!                  of 312 of them        19 of these at a time
//!                  of 19                 one at a time
//!                  of one                that one alone, in a process of its own
//!                  of one, alone         the message is condemned: a dead letter, listed in the commit
//! ```
//!
//! What was done before a child died counts: its rows are taken in as they come, and the next begins behind their messages.
//! So a part is never in this process as rows, also where a transform makes many of a message: a child does as many at a time
//! as come out to a part ([`Steps`](super::bounds::Steps)), and waits until their rows are taken. What comes after a message
//! that is condemned is tried in growing steps: so a message costs log₁₆ of the part and two processes more, and one right
//! behind it a single one. A batch that died of something else (an operator, the machine, a full disk) takes one process for
//! each part, and its commit is the same to the byte as if it had never been tried before.
//!
//! A child that goes on and on is ended by this process: once it has said nothing for `source.message_timeout`, and 10 ms for
//! each message that it has in hand, it has died of these. Only the time in which it is listened to counts. Until it is
//! ready, with its transform planned, it has no message in hand, and two minutes at least. What this process does itself has
//! the same time ([`super::watch`]).
//!
//! Only a death of the process's own making condemns (an abort, a fault of its memory, an illegal instruction, a panic, a
//! message without an end). One by SIGKILL, which is how Linux takes memory back, for want of memory, or by any other signal that comes from outside makes
//! the steps smaller; where it is of one message alone, the stream ends with an error that names it, and condemns nothing.
//!
//! A child is this program once more with a word of its own ([`guard_with`]); it knows neither brokers, nor passwords (of the
//! environment it has what a program needs to run), reads nothing of the lake but the models that the transform asks, and ends
//! when its input does, and thus with this process.
//! Where not even the first one can be had (a container that forbids it), the batch is decoded here, as ever. A replay that
//! feeds a message which was condemned is guarded from its first try on.

mod process;
mod serve;
mod wire;

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

pub(super) use self::process::A_MESSAGE;
use self::process::{Death, End, How, Made, Patience};
pub use self::serve::serve;
use self::wire::Work;
use super::batch::Batch;
use crate::decode::DeadLetters;
use crate::error::{Error, ErrorKind, Result};
use crate::records::Condemned;
use crate::source::RawRows;
use crate::source::kafka::Room;

/// How much smaller the steps become where a child has died.
const FACTOR: usize = 16;
/// How long a child may take at least until it is ready: a machine that does much else starts a program slowly.
const READY: Duration = Duration::from_secs(120);

static COMMAND: OnceLock<(PathBuf, Vec<OsString>)> = OnceLock::new();

/// Says how this program is called so that it does nothing but [`serve`]. Without it, no batch is guarded. It is said
/// before there is a source: a child gets what is open by then, and nothing that is opened later.
pub fn guard_with(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) {
    // What was said first holds: it is the same program.
    #[cfg(unix)]
    super::descriptors::remember();
    let _ = COMMAND.set((program.into(), arguments.into_iter().map(Into::into).collect()));
}

/// What decodes and transforms the messages of one batch.
pub(super) struct Guard {
    program: PathBuf,
    arguments: Vec<OsString>,
    work: Work,
    /// Columns of the rows.
    schema: SchemaRef,
    /// Whether there was a child to be had.
    has_begun: bool,
    /// How long a message may take.
    timeout: Duration,
    /// And a child until it is ready.
    ready: Duration,
    stop: Arc<AtomicBool>,
}

/// What came of the messages of a part, beside rows.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    pub(super) dead: DeadLetters,
    pub(super) condemned: Vec<Condemned>,
}

impl Batch<'_> {
    /// The guard of this batch; `None` where it needs none. So much of the batch is to be in memory at a time.
    pub(super) fn guard(&self, room: Room) -> Result<Option<Guard>> {
        let (driver, plan) = (&*self.driver, self.plan);
        if !driver.tried_often && !self.feeds_condemned()? {
            return Ok(None);
        }
        let Some((program, arguments)) = COMMAND.get().cloned() else {
            tracing::warn!(
                batch_id = plan.batch_id,
                "the batch has ended the process before, and this program knows no other that decodes its messages"
            );
            return Ok(None);
        };
        if driver.tried_often {
            tracing::warn!(
                batch_id = plan.batch_id,
                "the batch was begun three times and not committed: its messages are decoded in a process of their own"
            );
        }
        let work = Work {
            program: plan.program.clone(),
            batch_id: plan.batch_id,
            topic: plan.topic.name.clone(),
            now: plan.moment()?,
            lake: driver.lake.root().to_owned(),
            asked: plan.asked.clone(),
            kept: driver.kept.clone(),
            step_bytes: room.bytes,
        };
        Ok(Some(Guard {
            program,
            arguments,
            work,
            schema: driver.transform.schema().clone(),
            has_begun: false,
            timeout: driver.job.source.message_timeout,
            ready: driver.job.source.message_timeout.max(READY),
            stop: driver.stop.clone(),
        }))
    }

    /// Whether its messages are decoded in processes of their own, where such can be had.
    pub(super) fn is_guarded(&self) -> Result<bool> {
        Ok(COMMAND.get().is_some() && (self.driver.tried_often || self.feeds_condemned()?))
    }

    fn feeds_condemned(&self) -> Result<bool> {
        let Some(replay) = &self.plan.replay else { return Ok(false) };
        for number in replay.from..replay.to {
            if !self.driver.checkpoint.commits.read(number)?.read.condemned.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Guard {
    /// Decodes and transforms the messages of a part, and hands over their rows in order, as they are made. Blocks. `None`
    /// where there is no process to be had from the first on: then nothing is done.
    ///
    /// # Errors
    /// Memory: the process of one message alone was ended from outside; Source, if the stream is asked to stop; what the
    /// transform gives; what `take` says; Storage or Internal: there is no process to be had any more.
    pub(super) fn run(
        &mut self,
        raw: &[RawRows],
        take: &mut dyn FnMut(Vec<RecordBatch>) -> Result<()>,
    ) -> Result<Option<Guarded>> {
        let mut guarded = Guarded::default();
        let mut search = Search::new(raw.iter().map(RawRows::len).sum());
        while let Some(ranges) = search.ranges() {
            self.unless_stopped()?;
            let child = match process::start(&self.program, &self.arguments) {
                Ok(child) => child,
                Err(error) => {
                    let what = format!("cannot start a process that decodes messages: {error}");
                    return self.without(Error::storage(what));
                }
            };
            let mut take = |made: Made| {
                for fault in made.faults {
                    guarded.dead.push(raw, fault.partition, fault.offset, fault.stage.word(), fault.error);
                }
                take(made.rows)
            };
            let patience = Patience { timeout: self.timeout, ready: self.ready, stop: &self.stop };
            let tried = process::run(child, &self.work, &self.schema, raw, &ranges, patience, &mut take)?;
            let Death { stage, how } = match tried.end {
                End::Unfit(what) => return self.without(Error::internal(what)),
                End::Whole => {
                    self.has_begun = true;
                    search.done(&ranges);
                    continue;
                }
                End::Died(death) => death,
            };
            self.has_begun = true;
            // A child whose input was closed has died of that.
            self.unless_stopped()?;
            let Some(message) = search.died(&ranges, tried.done) else { continue };
            let (partition, offset) = place(raw, message)?;
            let reason = match how {
                How::ByItself(how) => format!("{} it {how}, tried alone", stage.doing()),
                How::FromOutside(how) => return Err(self.not_its_fault(partition, offset, &how)),
            };
            tracing::warn!(
                batch_id = self.work.batch_id,
                partition,
                offset,
                "a message is condemned: {reason}"
            );
            guarded.dead.push(raw, partition, offset, stage.word(), reason.clone());
            guarded.condemned.push(Condemned { partition, offset, reason });
        }
        Ok(Some(guarded))
    }

    /// What there is without a child: all is as it was before there were any, or, where there was one, an error.
    fn without(&self, error: Error) -> Result<Option<Guarded>> {
        let batch_id = self.work.batch_id;
        if self.has_begun {
            return Err(error.context(format!("batch {batch_id}")));
        }
        tracing::warn!(
            batch_id,
            "the messages of the batch are decoded in this process, as no other is to be had: {error}"
        );
        Ok(None)
    }

    /// An error of the kind that ends a stream which was asked to stop, and fails nothing.
    fn unless_stopped(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::source(format!("batch {} is left to the next start", self.work.batch_id))),
            false => Ok(()),
        }
    }

    fn not_its_fault(&self, partition: i32, offset: i64, how: &str) -> Error {
        let batch_id = self.work.batch_id;
        let what = format!(
            "batch {batch_id}: the process that decodes the message at offset {offset} of partition {partition}, and \
             nothing else, {how}"
        );
        Error::new(ErrorKind::Memory, what).hint(
            "that is no fault of the message, so that it is not passed over: most often memory is what lacks. Give the \
             machine or the container more, and start again",
        )
    }
}

/// Partition and offset of a message, counted over all partitions.
fn place(raw: &[RawRows], message: usize) -> Result<(i32, i64)> {
    let mut at = message;
    for rows in raw {
        match rows.offsets.get(at) {
            Some(offset) => return Ok((rows.partition, *offset)),
            None => at -= rows.len(),
        }
    }
    Err(Error::internal(format!("there is no message {message}")))
}

/// Which messages the next child is given, and how many of them at a time.
#[derive(Debug)]
struct Search {
    messages: usize,
    /// Messages before this are done.
    at: usize,
    step: usize,
    /// Up to here the steps stay as they are: what is there has ended a child. Behind it they grow.
    suspect: usize,
}

impl Search {
    fn new(messages: usize) -> Search {
        Search { messages, at: 0, step: messages.max(1), suspect: messages }
    }

    /// The ranges of the next child; `None` once all is done.
    fn ranges(&self) -> Option<Vec<Range<usize>>> {
        let (mut from, mut step) = (self.at, self.step);
        let mut ranges = Vec::new();
        while from < self.messages {
            let is_suspect = from < self.suspect;
            let end = if is_suspect { self.suspect } else { self.messages };
            let to = end.min(from.saturating_add(step));
            ranges.push(from..to);
            if !is_suspect {
                step = step.saturating_mul(FACTOR);
            }
            from = to;
        }
        (!ranges.is_empty()).then_some(ranges)
    }

    /// A child has done all of its ranges.
    fn done(&mut self, ranges: &[Range<usize>]) {
        self.at = ranges.last().map_or(self.at, |range| range.end);
    }

    /// A child has died after so many of its messages. The message that is to blame, where it was the first that the child
    /// was given and alone: it is passed over.
    fn died(&mut self, ranges: &[Range<usize>], done: usize) -> Option<usize> {
        self.at += done;
        // It may have died after the last one: then there is nothing to blame.
        let range = ranges.iter().find(|range| range.contains(&self.at))?;
        let left = range.end - self.at;
        let was_alone = range.len() == 1 && done == 0;
        self.step = (left / FACTOR).max(1);
        self.suspect = range.end;
        was_alone.then(|| std::mem::replace(&mut self.at, range.end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::project::Program;

    /// How many messages a child does that goes through its ranges in such steps, where it cannot do a step of these.
    fn done(ranges: &[Range<usize>], step: usize, ends: impl Fn(Range<usize>) -> bool) -> usize {
        let mut done = 0;
        for range in ranges {
            for from in range.clone().step_by(step) {
                let to = range.end.min(from.saturating_add(step));
                if ends(from..to) {
                    return done;
                }
                done += to - from;
            }
        }
        done
    }

    /// What is found where these messages end a child, what is made, and with how many children.
    fn found(messages: usize, poison: &BTreeSet<usize>, step: usize) -> (BTreeSet<usize>, Vec<usize>, usize) {
        let (mut search, mut children) = (Search::new(messages), 0);
        let (mut condemned, mut made) = (BTreeSet::new(), Vec::new());
        while let Some(ranges) = search.ranges() {
            children += 1;
            let all = ranges.iter().map(Range::len).sum();
            let done = done(&ranges, step, |range| poison.range(range).next().is_some());
            made.extend(ranges.iter().cloned().flatten().take(done));
            match done < all {
                true => condemned.extend(search.died(&ranges, done)),
                false => search.done(&ranges),
            }
        }
        (condemned, made, children)
    }

    #[test]
    fn a_message_costs_a_few_processes_and_none_costs_one() {
        let children =
            |messages, poison: &[usize]| found(messages, &poison.iter().copied().collect(), usize::MAX).2;
        assert_eq!(children(0, &[]), 0);
        assert_eq!(children(1, &[]), 1);
        assert_eq!(children(5_000, &[]), 1);
        assert_eq!(children(1, &[0]), 1);
        assert_eq!(children(5_000, &[4_321]), 6);
        assert_eq!(children(2_000_000, &[1_234_567]), 8);
        let all: Vec<usize> = (0..5_000).collect();
        assert!(children(5_000, &all) < 5_010, "one a message");
    }

    /// Whatever is called in the place of this program, no message is condemned for it.
    #[cfg(unix)]
    #[test]
    fn a_process_that_cannot_be_had_condemns_nothing() {
        let mut rows = RawRows::new(3);
        rows.push(8, None, Some(b"{}"));
        let work = Work {
            program: Program {
                schema_sql: String::new(),
                transform_sql: None,
                double_encoded: false,
                models: Vec::new(),
                state: None,
                views: Default::default(),
            },
            batch_id: 5,
            topic: "t".to_owned(),
            now: chrono::Utc::now(),
            lake: PathBuf::new(),
            asked: Default::default(),
            kept: Vec::new(),
            step_bytes: 1 << 20,
        };
        let run = |has_begun, program: &str, arguments: &[&str]| {
            let mut guard = Guard {
                program: program.into(),
                arguments: arguments.iter().map(OsString::from).collect(),
                work: work.clone(),
                schema: Arc::new(arrow::datatypes::Schema::empty()),
                has_begun,
                timeout: Duration::from_millis(700),
                ready: Duration::from_millis(3_000),
                stop: Arc::default(),
            };
            let guarded = guard.run(&[RawRows::new(1), rows.clone()], &mut |rows| {
                assert!(rows.is_empty());
                Ok(())
            });
            guarded.map(|guarded| guarded.map(|all| (all.dead.len(), all.condemned.len())))
        };
        let shell = |has_begun, script: &str| run(has_begun, "/bin/sh", &["-c", script]);
        // Where there never was one, this process does it.
        assert_eq!(run(false, "/nonexistent", &[]).unwrap(), None);
        assert_eq!(run(true, "/nonexistent", &[]).unwrap_err().kind(), ErrorKind::Storage);
        for ends in ["exit 0", "exit 101", "kill -6 $$"] {
            assert_eq!(shell(false, ends).unwrap(), None, "{ends}");
            assert_eq!(shell(true, ends).unwrap_err().kind(), ErrorKind::Internal, "{ends}");
        }
        let lines = |told: &[&str]| {
            let lines: Vec<String> =
                told.iter().map(|told| format!("echo '{{\"told\":{told},\"bytes\":0}}'")).collect();
            lines.join("; ")
        };
        let says = |told: &[&str], then: &str| shell(false, &format!("{}; {then}", lines(told)));
        let (ready, made) = (r#""Ready""#, |n| format!(r#"{{"Made":{{"messages":{n},"faults":[]}}}}"#));
        for error in
            [shell(false, "echo no; exit 1"), says(&[ready], "exit 3"), says(&[ready, &made(2)], "exit 0")]
        {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        }
        // One that has done everything is not waited for.
        let started = std::time::Instant::now();
        assert_eq!(says(&[ready, &made(1)], "exec sleep 100").unwrap(), Some((0, 0)));
        assert!(started.elapsed().as_secs() < 50, "{:?}", started.elapsed());
        // One that says nothing is, once it was ready.
        assert_eq!(says(&[ready], "exec sleep 100").unwrap(), Some((1, 1)));
        assert_eq!(shell(false, "exec sleep 100").unwrap(), None, "never ready");
        // One that is slow to be ready is none of these: no message is in its hands.
        let slow = format!("sleep 1.5; {}", lines(&[ready, &made(1)]));
        assert_eq!(shell(true, &slow).unwrap(), Some((0, 0)));
        assert!(started.elapsed().as_secs() < 50, "{:?}", started.elapsed());
        let error = shell(false, "kill -9 $$").unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Memory, "{text}");
        assert!(text.contains("offset 8 of partition 3, and nothing else, was killed (signal 9)"), "{text}");
    }

    proptest! {
        #[test]
        fn every_message_that_ends_a_child_is_found_and_no_other(
            messages in 0usize..3_000,
            poison in proptest::collection::btree_set(0usize..3_000, 0..20),
            step in prop_oneof![Just(usize::MAX), 1usize..300],
        ) {
            let poison: BTreeSet<usize> = poison.into_iter().filter(|at| *at < messages).collect();
            let (condemned, made, children) = found(messages, &poison, step);
            prop_assert_eq!(&condemned, &poison);
            let expected: Vec<usize> = (0..messages).filter(|at| !poison.contains(at)).collect();
            prop_assert_eq!(made, expected, "each of the others is made once, in order");
            prop_assert!(children <= 1 + poison.len() * 6, "{children}");
        }

        /// Where a child dies of what lies together, as one may of memory, smaller steps do.
        #[test]
        fn what_dies_together_and_not_alone_is_made(
            messages in 1usize..2_000,
            most in 1usize..100,
            step in prop_oneof![Just(usize::MAX), 1usize..300],
        ) {
            let mut search = Search::new(messages);
            let mut made = 0;
            for _ in 0..10_000 {
                let Some(ranges) = search.ranges() else { break };
                let done = done(&ranges, step, |range| range.len() > most);
                made += done;
                match done < ranges.iter().map(Range::len).sum() {
                    true => prop_assert_eq!(search.died(&ranges, done), None),
                    false => search.done(&ranges),
                }
            }
            prop_assert_eq!(made, messages);
        }
    }
}
