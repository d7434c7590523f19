//! Compaction between batches, and by hand.
//!
//! ```text
//! learn/99.json ── merged files staged ── compactions/0.json ── renamed, old ones out of sight ── vacuum ── snapshot, next plan
//! ```
//!
//! With it records of old batches are put together (`records::pack`).
//!
//! One record at most after a batch is learned from: a lake of long before is compacted as it goes on, or at once by hand. A start
//! does what the driver before may have begun. What a record does is a function of the records of its batches (`records::Compaction`), so that a driver which
//! dies anywhere in it leaves the next one to do the same, to the byte.
//!
//! | what goes wrong | |
//! | --- | --- |
//! | a file cannot be read or written | it is told, the tables stay as they are, and it is tried again 100 batches later |
//! | a record is there already, or cannot be written | the stream ends with an error, as with any record |

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::block_in_place;

use super::crash_point::CrashPoint;
use super::driver::Driver;
use crate::checkpoint::{Checkpoint, carry_over};
use crate::error::Result;
use crate::lake::Lake;
use crate::project::{Compacting, StreamJob};
use crate::records::{Compaction, Ledger, pack, snapshot};
use crate::table::compact::{merge, publish, vacuum};

/// What [`compact`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that became others.
    pub files: u64,
    /// Those that they became.
    pub into: u64,
    /// Files of earlier compactions that were removed.
    pub removed: u64,
}

/// Compacts all that is due of a job's tables, and removes what was taken out long enough ago; `stop` ends it between two records.
/// No driver may hold the job.
///
/// # Errors
/// Held; User or Corrupt, as [`super::run`]; Corrupt or Storage: a file cannot be read or written.
pub fn compact(job: &StreamJob, lake: &Lake, stop: &AtomicBool) -> Result<Compacted> {
    let checkpoint = Checkpoint::open(lake, job)?;
    carry_over(lake, &job.schema_name)?;
    let mut done = Compacted::default();
    while !stop.load(Ordering::Relaxed) {
        let Some(number) = due(&checkpoint)? else { break };
        let record = make(&checkpoint, lake, job, number)?;
        write(&checkpoint, lake, &record, &|_| Ok(()))?;
        done.files += record.removed().count() as u64;
        done.into += record.added().count() as u64;
    }
    done.removed = clear(&checkpoint, lake, &job.compacting, &|| Ok(()))?;
    let (folder, learned) = (lake.checkpoint(&job.schema_name), checkpoint.learn.numbers()?.end);
    while !stop.load(Ordering::Relaxed) && pack::pack(&folder, old(learned), 1)? > 0 {}
    snapshot::write(&folder, learned);
    Ok(done)
}

impl Driver {
    /// Does what a driver may have died at; where several compactions are due, a start does not wait for them.
    ///
    /// # Errors
    /// As [`Self::compact`].
    pub(super) fn compact_what_was_begun(&mut self) -> Result<()> {
        let next = self.checkpoint.compactions.numbers()?.end;
        let learned = self.checkpoint.learn.numbers()?.end;
        match learned {
            _ if Compaction::due(next + 1) <= learned => Ok(()),
            _ if Compaction::due(next) <= learned => self.compact(),
            _ if next == 0 => Ok(()),
            _ => self.clear_away(Compaction::due(next - 1) - 1, learned),
        }
    }

    /// Writes the next compaction, if it is due.
    ///
    /// # Errors
    /// Corrupt or Storage: a record.
    pub(super) fn compact(&mut self) -> Result<()> {
        let Some(number) = due(&self.checkpoint)? else { return Ok(()) };
        let learned = self.checkpoint.learn.numbers()?.end;
        if self.compacts_after.is_some_and(|batches| learned < batches) {
            return Ok(());
        }
        self.compacts_after = Some(learned + Compaction::due(0));
        let made = block_in_place(|| make(&self.checkpoint, &self.lake, &self.job, number));
        let record = match made {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!("files of the tables are not compacted, which is tried again later: {error}");
                return Ok(());
            }
        };
        let batch = Compaction::due(number) - 1;
        let crash = |point| self.crash(batch, point);
        crash(CrashPoint::Merge)?;
        write(&self.checkpoint, &self.lake, &record, &crash)?;
        self.delta.compacted(&record);
        self.compacts_after = None;
        self.newest_rows = Ledger::of(&self.lake, &self.job.schema_name)?.newest_rows().cloned();
        self.clear_away(batch, learned)
    }

    /// Removes what was taken out long enough ago, and packs old records.
    fn clear_away(&self, batch: u64, learned: u64) -> Result<()> {
        let crash = || self.crash(batch, CrashPoint::Vacuum);
        clear(&self.checkpoint, &self.lake, &self.job.compacting, &crash)?;
        pack::pack(&self.lake.checkpoint(&self.job.schema_name), old(learned), PACKS).map(drop)
    }
}

/// Packs of a list that are made at once: the last one, and one of a lake of long before.
const PACKS: usize = 2;

/// The batches whose records are old: the newest 100 stay as they are, also where they begin in the midst of others.
fn old(learned: u64) -> u64 {
    learned.saturating_sub(Compaction::due(0))
}

/// The number of the next compaction, if its batches are learned from.
fn due(checkpoint: &Checkpoint) -> Result<Option<u64>> {
    let next = checkpoint.compactions.numbers()?.end;
    Ok((Compaction::due(next) <= checkpoint.learn.numbers()?.end).then_some(next))
}

/// Makes and stages the files of a compaction.
fn make(checkpoint: &Checkpoint, lake: &Lake, job: &StreamJob, number: u64) -> Result<Compaction> {
    let ledger = Ledger::of(lake, &job.schema_name)?;
    Ok(Compaction {
        number,
        query_id: checkpoint.query_id.clone(),
        committed: ledger.commits(),
        merged: merge(lake, &ledger, number, job.compacting.target_bytes)?,
    })
}

/// Records and publishes a compaction.
fn write(
    checkpoint: &Checkpoint,
    lake: &Lake,
    record: &Compaction,
    crash: &dyn Fn(CrashPoint) -> Result<()>,
) -> Result<()> {
    checkpoint.compactions.create(record.number, record)?;
    crash(CrashPoint::Compaction)?;
    publish(lake, record)?;
    crash(CrashPoint::PublishCompaction)
}

/// Removes what was taken out long enough ago.
fn clear(
    checkpoint: &Checkpoint,
    lake: &Lake,
    compacting: &Compacting,
    after_each: &dyn Fn() -> Result<()>,
) -> Result<u64> {
    let committed = checkpoint.commits.numbers()?.end;
    vacuum(lake, &checkpoint.compactions, committed, compacting.retained, after_each)
}
