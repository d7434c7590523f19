//! Dead letters fed through again, after what made them fail was mended.
//!
//! A replay is a batch like any other, but that its plan names a range of *batches* whose dead letters it reads
//! from the lake, and no offsets of Kafka:
//!
//! ```text
//! batch     0    1    2    3        4    5    6
//!           ✗    ·    ✗    replay   ·    ✗    replay      ✗ has dead letters
//!           └─── 0..3 ──┘  │        3..6      │
//!           each letter is in one range       └ also what failed again in batch 3
//! ```
//!
//! The ranges follow one another without gap or overlap, so each letter is fed once, and once more only if it
//! failed again. Which letters have been fed follows from the plans alone; a crash is repaired as for any batch.
//! Rows keep the place in Kafka (`_topic`, `_partition`, `_offset`, `_timestamp`) that their message had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};

use super::driver::Driver;
use super::letters::{Letters, most_letters};
use super::{StreamEvent, StreamSummary, unless_stopped};
use crate::error::Result;
use crate::lake::Lake;
use crate::project::StreamJob;
use crate::records::{Commit, Maker, Plan, RecordList, Replay};
use crate::registry::alias_records;
use crate::source::kafka::Room;

/// The table of dead letters, as in records.
const DEAD_LETTERS: &str = "system.dead_letters";

/// Feeds every dead letter that was committed before the call and not replayed yet through the job as it is now.
/// `stop` ends it after the batch in hand.
///
/// # Errors
/// As [`super::run`].
pub async fn replay(
    job: &StreamJob,
    lake: &Lake,
    stop: Arc<AtomicBool>,
    on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
) -> Result<StreamSummary> {
    let started = Instant::now();
    let opened = Driver::open_until(job, lake, stop.clone()).await;
    let Some(mut driver) = unless_stopped(&stop, opened)? else { return Ok(StreamSummary::default()) };
    super::fits::check(&driver).await?;
    // What fails again waits for the next call, also where this one first has to finish a replay that died.
    let until = driver.latest_batch().map_or(0, |newest| newest + 1);
    unless_stopped(&stop, driver.recover(on_event).await)?;
    let startup_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    on_event(StreamEvent::Ready { latest_batch: driver.latest_batch(), startup_ms });
    while !stop.load(Ordering::Relaxed) {
        let batch = driver.replay_batch(until, on_event).await;
        if unless_stopped(&stop, batch)?.flatten().is_none() {
            break;
        }
    }
    driver.finish(&stop, on_event).await?;
    Ok(driver.done)
}

/// The committed replays of a job: the batch that each was, and what it fed again. Ascending.
///
/// # Errors
/// Storage or Corrupt.
pub fn committed_replays(lake: &Lake, schema_name: &str) -> Result<Vec<(u64, Replay)>> {
    let checkpoint = lake.checkpoint(schema_name);
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
    let mut found = Vec::new();
    for number in commits.numbers()? {
        found.extend(plans.read(number)?.replay.map(|replay| (number, replay)));
    }
    Ok(found)
}

/// What a committed batch means for the next replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fed {
    /// Dead letters that it committed.
    letters: u64,
    /// Whether a range may not reach over its beginning: after lost data the topic may give out the same offsets
    /// again, and the letters of a replay can be from before the loss. Ranges that begin anew there, at a replay
    /// and after it, never hold one place in Kafka twice.
    begins_anew: bool,
}

/// The next range from `from` on, over the batches `from + i`. Batches are never split; a range ends where the
/// next batch would bring it over `limit`.
///
/// | letters up to there | next batch | |
/// | --- | --- | --- |
/// | none | any | is taken |
/// | some | begins anew | the range ends |
/// | some | brings it over `limit` | the range ends |
/// | some | else | is taken |
///
/// `None` if there is no letter in any of them.
fn next_range(from: u64, batches: &[Fed], limit: Option<u64>) -> Option<Replay> {
    let mut replay = Replay { from, to: from, letters: 0 };
    for batch in batches {
        let over = batch.letters > 0 && limit.is_some_and(|limit| replay.letters + batch.letters > limit);
        if replay.letters > 0 && (batch.begins_anew || over) {
            break;
        }
        replay.letters += batch.letters;
        replay.to += 1;
    }
    (replay.letters > 0).then_some(replay)
}

impl Driver {
    /// Plans and commits the next replay of letters committed before batch `until` and gives its number; `None` if there
    /// are none left.
    ///
    /// # Errors
    /// As [`super::run`].
    pub async fn replay_batch(
        &mut self,
        until: u64,
        on_event: &mut (dyn FnMut(StreamEvent<'_>) + Send),
    ) -> Result<Option<u64>> {
        let started = Instant::now();
        let Some(plan) = self.plan_replay(until)? else { return Ok(None) };
        self.begin(plan, started, on_event).await.map(Some)
    }

    fn plan_replay(&self, until: u64) -> Result<Option<Plan>> {
        let Some(last) = &self.last_plan else { return Ok(None) };
        // Back to the last replay: what lies before it has been fed.
        let mut batches: Vec<Fed> = Vec::new();
        let mut from = 0;
        let mut fed = None;
        for number in (0..=last.batch_id).rev() {
            let plan = self.checkpoint.offsets.read(number)?;
            if number < until {
                let letters = self.letter_files(number)?.iter().map(|file| file.rows).sum();
                let begins_anew = plan.replay.is_some() || !plan.topic.data_loss.is_empty();
                if let (Some(after), true) = (batches.last_mut(), plan.replay.is_some()) {
                    after.begins_anew = true;
                }
                batches.push(Fed { letters, begins_anew });
            }
            if let (Some(replay), None) = (plan.replay, fed) {
                fed = Some(replay.to);
                from = replay.to;
            }
            if fed.is_some_and(|to| number <= to) {
                break;
            }
        }
        batches.reverse();
        let most = most_letters(self.job.memory_limit);
        let most = self.job.source.max_offsets_per_trigger.map_or(most, |limit| limit.min(most));
        let Some(replay) = next_range(from, &batches, Some(most)) else {
            return Ok(None);
        };
        let mut plan = last.clone();
        plan.batch_id += 1;
        plan.now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        plan.topic.partitions = self.read_so_far().unwrap_or_default();
        plan.topic.partitions.iter_mut().for_each(|range| range.from = range.to);
        plan.replay = Some(replay);
        plan.topic.data_loss.clear();
        plan.topic.most.clear();
        plan.aliases = alias_records(&self.lake, &self.job.schema_name).numbers()?.end;
        plan.program.clone_from(&self.job.program);
        plan.made_by = Some(Maker::this());
        Ok(Some(plan))
    }

    fn letter_files(&self, batch_id: u64) -> Result<Vec<crate::records::FileEntry>> {
        let mut files = self.checkpoint.commits.read(batch_id)?.added;
        files.retain(|file| file.table == DEAD_LETTERS);
        Ok(files)
    }

    /// The messages of a replay.
    pub(super) fn letters(&self, replay: Replay, room: Room) -> Result<Letters> {
        let mut files = Vec::new();
        for number in replay.from..replay.to {
            files.extend(self.letter_files(number)?);
        }
        Letters::open(&self.lake, files, replay, room)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(list: &[(u64, bool)]) -> Vec<Fed> {
        list.iter().map(|&(letters, begins_anew)| Fed { letters, begins_anew }).collect()
    }

    #[test]
    fn every_row_of_the_truth_table() {
        let next =
            |list: &[(u64, bool)], limit| next_range(7, &fed(list), limit).map(|r| (r.from, r.to, r.letters));
        assert_eq!(next(&[], None), None);
        assert_eq!(next(&[(0, false), (0, true)], None), None);
        assert_eq!(next(&[(0, false), (3, true), (2, false)], None), Some((7, 10, 5)));
        assert_eq!(next(&[(3, false), (2, true)], None), Some((7, 8, 3)));
        assert_eq!(next(&[(3, false), (0, true), (2, false)], None), Some((7, 8, 3)));
        assert_eq!(next(&[(3, false), (0, false), (2, false)], None), Some((7, 10, 5)));
        assert_eq!(next(&[(3, false), (2, false), (1, false)], Some(5)), Some((7, 9, 5)));
        assert_eq!(next(&[(9, false), (0, false), (1, false)], Some(5)), Some((7, 9, 9)));
    }

    proptest! {
        /// Range after range, every letter is fed once.
        #[test]
        fn ranges_cover_every_letter_once(
            list in proptest::collection::vec((0u64..4, any::<bool>()), 0..30),
            limit in proptest::option::of(1u64..6),
        ) {
            let batches = fed(&list);
            let (mut from, mut letters) = (0u64, 0);
            while let Some(replay) = next_range(from, &batches[from as usize..], limit) {
                prop_assert_eq!(replay.from, from);
                prop_assert!(replay.to > from);
                from = replay.to;
                letters += replay.letters;
            }
            prop_assert_eq!(letters, list.iter().map(|b| b.0).sum::<u64>());
        }
    }
}
