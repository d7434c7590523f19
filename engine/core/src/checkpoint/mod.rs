//! A job's checkpoint: three numbered lists of small JSON records that a person can `cat`.
//!
//! ```text
//! _checkpoint/
//!   query.json       whose checkpoint this is (see `identity`)
//!   lock             held by the driver for life
//!   offsets/N.json   the plan of batch N, written before anything is read      [Plan]
//!   offsets/N.K.json the plan that holds instead, of a job that was changed before batch N was committed
//!   commits/N.json   batch N is in the table                                   [Commit]
//!   learn/N.json     what was learned after batch N                            [Learn]
//!   attempts/N.K.json  a start tries batch N for the Kth time (see `attempts`)   [Attempt]
//!   compactions/N.json  files of tables that have become others, of 100 batches or more  [Compaction]
//!   snapshots/N.json what the records up to N say together, every 100 batches  [Ledger]
//!   LIST/0-99.pack   the records of a list of the first hundred batches, once they are old, and so on
//!   staged/          files of a record that is not written yet, or not rolled forward
//! ```
//!
//! A snapshot is an index, which can be made of the records at any time, and is written anew where it is not of them. Records
//! are create-only and never change. A start of a newer version carries a lake over by raising the format in
//! `query.json` once it can go on, see `identity`. What a driver does on start follows from the three newest numbers (see
//! [`recovery`]), and how it runs a planned batch again, from the attempts.

pub(crate) mod attempts;
mod gone;
mod identity;
pub mod recovery;
mod unlisted;

use std::fs::File;
use std::path::Path;

pub(crate) use identity::{Claim, JobKind, carry_over, format_of, kind_of_records};

use self::attempts::Attempts;
use crate::error::{Error, ErrorKind, Result, io_error};
use crate::files::create_folders;
use crate::lake::Lake;
use crate::project::StreamJob;
use crate::records::{Commit, Compaction, FileEntry, Learn, Plan, RecordList};
use crate::table::compact::publish;
use crate::table::publish::{clear_leftovers, roll_forward};

/// An open checkpoint, held by this process until dropped.
#[derive(Debug)]
pub struct Checkpoint {
    /// Plans.
    pub offsets: RecordList<Plan>,
    /// Commits.
    pub commits: RecordList<Commit>,
    /// Learn records.
    pub learn: RecordList<Learn>,
    /// Compactions.
    pub(crate) compactions: RecordList<Compaction>,
    /// How often the batch in hand was tried.
    pub(crate) attempts: Attempts,
    /// Identity of this query.
    pub query_id: String,
    _lock: File,
}

impl Checkpoint {
    /// Opens or makes the checkpoint of a job and takes its lock; renames what the newest records list, and removes what a
    /// driver that was killed has left.
    ///
    /// # Errors
    /// Held, if another driver runs; User, if another job has the folder or the table; Corrupt, if table and checkpoint are
    /// not of one query.
    pub fn open(lake: &Lake, job: &StreamJob) -> Result<Checkpoint> {
        let folder = lake.checkpoint(&job.schema_name);
        let tables = [job.table_path.clone()];
        let claim =
            Claim { job: &job.name, schema_name: &job.schema_name, kind: JobKind::Stream, tables: &tables };
        claim.check_new(lake)?;
        create_folders(&folder)?;
        let lock = take_lock(&folder)?;
        let offsets = RecordList::held(folder.join("offsets"))?;
        let commits = RecordList::<Commit>::held(folder.join("commits"))?;
        let learn = RecordList::<Learn>::held(folder.join("learn"))?;
        let compactions = RecordList::<Compaction>::held(folder.join("compactions"))?;
        let compacted = compactions.latest()?.map(|number| compactions.read(number)).transpose()?;
        let in_place = |added: &[FileEntry]| Compaction::left_of(compacted.as_ref(), added);
        let newest = commits.latest()?.map(|number| commits.read(number)).transpose()?;
        let learned = learn.latest()?.map(|number| learn.read(number)).transpose()?;
        let query_id = claim.query_id(lake)?;
        let attempts = Attempts::of(&folder);
        if let Some(commit) = newest {
            roll_forward(lake, &in_place(&commit.added))?;
            attempts.clear(commit.batch_id)?;
        }
        learned.map_or(Ok(()), |record| roll_forward(lake, &in_place(&record.added)))?;
        compacted.as_ref().map_or(Ok(()), |compaction| publish(lake, compaction))?;
        let table = lake.resolve(&job.table_path);
        create_folders(&table)?;
        clear_leftovers(lake, &job.schema_name, &[table])?;
        Ok(Checkpoint { offsets, commits, learn, compactions, attempts, query_id, _lock: lock })
    }
}

pub(crate) fn take_lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error("open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Held, format!("another driver holds {}", folder.display()))
                .hint("only one driver may run a job on a lake: stop the other, or choose another --lake"))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(io_error("lock", &path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_driver_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = take_lock(folder.path()).unwrap();
        assert_eq!(take_lock(folder.path()).unwrap_err().kind(), ErrorKind::Held);
        drop(held);
        assert!(take_lock(folder.path()).is_ok());
    }
}
