//! A job's checkpoint: three numbered lists of small JSON records that a person can `cat`.
//!
//! ```text
//! _checkpoint/
//!   query.json       whose checkpoint this is; the table carries the same id
//!   lock             held by the driver for life
//!   offsets/N.json   the plan of batch N, written before anything is read      [Plan]
//!   commits/N.json   batch N is in the table                                   [Commit]
//!   learn/N.json     what was learned after batch N                            [Learn]
//! ```
//!
//! Records are create-only and never change. What a driver does on start follows from the three newest numbers
//! alone: see [`recovery`].

pub mod records;
pub mod recovery;
mod store;

use std::fs::File;
use std::path::Path;

pub use records::{
    BatchCounts, Build, Commit, DataLoss, FileEntry, Learn, Mark, ModelOutcome, ModelStatus, PartitionRange,
    Plan, Replay, Scores,
};
pub use store::RecordList;

use crate::error::{Error, ErrorKind, Result, io_error};
use crate::lake::Lake;
use crate::project::Job;

/// An open checkpoint, held by this process until dropped.
#[derive(Debug)]
pub struct Checkpoint {
    /// Plans.
    pub offsets: RecordList<Plan>,
    /// Commits.
    pub commits: RecordList<Commit>,
    /// Learn records.
    pub learn: RecordList<Learn>,
    /// Identity of this query; the table carries the same.
    pub query_id: String,
    _lock: File,
}

impl Checkpoint {
    /// Opens or makes the checkpoint of a job and takes its lock.
    ///
    /// # Errors
    /// Held, if another driver runs; Corrupt, if table and checkpoint are not of one query.
    pub fn open(lake: &Lake, job: &Job) -> Result<Checkpoint> {
        let folder = lake.checkpoint(&job.schema_name);
        let table = lake.resolve(&job.table_path);
        for path in [&folder, &table] {
            crate::table::publish::create_folders(path)?;
        }
        let lock = take_lock(&folder)?;
        let offsets = RecordList::open(folder.join("offsets"))?;
        let commits = RecordList::open(folder.join("commits"))?;
        let learn = RecordList::open(folder.join("learn"))?;
        let query_id = query_id(&folder.join("query.json"), &table, offsets.latest()?.is_some())?;
        Ok(Checkpoint { offsets, commits, learn, query_id, _lock: lock })
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

#[derive(serde::Serialize, serde::Deserialize)]
struct Identity {
    format: u32,
    query_id: String,
}

/// Truth table (checkpoint's id, table's id, is there a plan) → what holds:
///
/// | checkpoint | table | plans | |
/// | --- | --- | --- | --- |
/// | – | – | no | a new query: both are given an id, the checkpoint first |
/// | – | – | yes | corrupt: plans without an identity |
/// | – | B | any | the checkpoint was deleted: refused, a new one would append every row again |
/// | A | – | no | a start that was cut short: the table is given A |
/// | A | – | yes | the table was deleted: refused, its rows would never come back |
/// | A | A | any | goes on |
/// | A | B | any | they belong to two queries: refused |
pub(crate) fn query_id(checkpoint: &Path, table_folder: &Path, has_plans: bool) -> Result<String> {
    let table = table_folder.join(".query.json");
    let both_hint = format!(
        "the table {} and the checkpoint {} belong together: restore the missing one, or delete both to start anew",
        table_folder.display(),
        checkpoint.parent().unwrap_or(checkpoint).display()
    );
    match (read_identity(checkpoint)?, read_identity(&table)?, has_plans) {
        (None, None, false) => {
            let id = uuid::Uuid::new_v4().to_string();
            write_identity(checkpoint, &id)?;
            write_identity(&table, &id)?;
            Ok(id)
        }
        (Some(id), None, false) => {
            write_identity(&table, &id)?;
            Ok(id)
        }
        (Some(a), Some(b), _) if a == b => Ok(a),
        (None, None, true) => {
            Err(Error::corrupt("the checkpoint has plans but no query.json").hint(both_hint))
        }
        (None, Some(_), _) => Err(Error::corrupt(
            "the checkpoint of this table is gone; a new one would append every row a second time",
        )
        .hint(both_hint)),
        (Some(_), None, true) => {
            Err(Error::corrupt("the table of this checkpoint is gone; its committed rows would be lost")
                .hint(both_hint))
        }
        (Some(a), Some(b), _) => {
            Err(Error::corrupt(format!("the checkpoint is of query {a}, the table of query {b}"))
                .hint(both_hint))
        }
    }
}

fn read_identity(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let identity: Identity = serde_json::from_slice(&bytes)
                .map_err(|e| Error::corrupt(format!("cannot read {}: {e}", path.display())))?;
            if identity.format != 1 {
                return Err(Error::corrupt(format!("{} has format {}", path.display(), identity.format))
                    .hint("it was written by a newer version of Tidemill"));
            }
            Ok(Some(identity.query_id))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("read", path, &e)),
    }
}

fn write_identity(path: &Path, id: &str) -> Result<()> {
    let identity = Identity { format: 1, query_id: id.to_owned() };
    let mut text =
        serde_json::to_vec_pretty(&identity).map_err(|e| Error::internal(format!("query.json: {e}")))?;
    text.push(b'\n');
    crate::table::publish::write_atomically(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(checkpoint: Option<&str>, table: Option<&str>, has_plans: bool) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("query.json"), folder.path().join("t"));
        std::fs::create_dir(&b).unwrap();
        if let Some(id) = checkpoint {
            write_identity(&a, id).unwrap();
        }
        if let Some(id) = table {
            write_identity(&b.join(".query.json"), id).unwrap();
        }
        let id = query_id(&a, &b, has_plans)?;
        assert_eq!(read_identity(&a).unwrap(), Some(id.clone()));
        assert_eq!(read_identity(&b.join(".query.json")).unwrap(), Some(id.clone()));
        Ok(id)
    }

    #[test]
    fn every_row_of_the_truth_table() {
        assert!(case(None, None, false).is_ok());
        assert!(case(None, None, true).is_err());
        assert!(case(None, Some("b"), false).is_err());
        assert!(case(None, Some("b"), true).is_err());
        assert_eq!(case(Some("a"), None, false).unwrap(), "a");
        assert!(case(Some("a"), None, true).is_err());
        assert_eq!(case(Some("a"), Some("a"), true).unwrap(), "a");
        assert_eq!(case(Some("a"), Some("a"), false).unwrap(), "a");
        assert!(case(Some("a"), Some("b"), true).is_err());
    }

    #[test]
    fn a_second_driver_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = take_lock(folder.path()).unwrap();
        assert_eq!(take_lock(folder.path()).unwrap_err().kind(), ErrorKind::Held);
        drop(held);
        assert!(take_lock(folder.path()).is_ok());
    }
}
