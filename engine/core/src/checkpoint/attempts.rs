//! How often a batch was tried: a message may end the process that has it in hand, and would at every start.
//!
//! | plan N has no commit, and | the start | |
//! | --- | --- | --- |
//! | no attempt | writes `attempts/N.2.json`, and runs it again | the first try needs no record, the plan is it |
//! | `N.2` | writes `attempts/N.3.json`, and runs it again | |
//! | `N.3` | writes nothing, and runs it guarded (see `stream`) | as often as it takes |
//!
//! A batch that is committed at its first try thus costs nothing. A driver that was killed by hand, or for want of memory, is
//! counted like one that died of a message: guarded, such a batch comes out the same. A start that ends with an error takes
//! its attempt back; one that a message holds for too long writes what is left of the three (see `stream::watch`). Attempts
//! are removed after the commit; one that a driver has left which died between the two, by the next start.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{SecondsFormat, Utc};

use crate::error::{Error, Result, io_error};
use crate::files::create_folders;
use crate::records::{Attempt, FORMAT, counted, create_at, parse};

/// Tries of a batch before it is run guarded.
pub(crate) const MOST_ATTEMPTS: u64 = 3;

/// The folder of attempts, which is there only while a batch is tried again.
#[derive(Debug)]
pub(crate) struct Attempts {
    folder: PathBuf,
}

impl Attempts {
    /// Of the checkpoint in this folder.
    pub(crate) fn of(checkpoint: &Path) -> Attempts {
        Attempts { folder: checkpoint.join("attempts") }
    }

    /// Batch, number and path of each, ascending.
    pub(crate) fn all(&self) -> Result<Vec<(u64, u64, PathBuf)>> {
        counted(&self.folder)
    }

    /// How often a planned batch was tried, its first try counted. What an attempt holds is for people: that it is there
    /// counts, also where it cannot be read.
    pub(crate) fn tries(&self, batch_id: u64) -> Result<u64> {
        let all = self.all()?;
        Ok(all
            .iter()
            .filter(|(batch, ..)| *batch == batch_id)
            .map(|(_, attempt, _)| *attempt)
            .max()
            .unwrap_or(1))
    }

    /// Records that a batch is tried again, before it is.
    ///
    /// # Errors
    /// Corrupt, if it is recorded already; Storage.
    pub(crate) fn begin(&self, batch_id: u64, attempt: u64) -> Result<()> {
        create_folders(&self.folder)?;
        let began = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let record = Attempt { batch_id, attempt, began };
        create_at(&self.path(batch_id, attempt), FORMAT, &record)
    }

    /// Reads one, as [`Attempts::all`] gives it.
    ///
    /// # Errors
    /// Storage; Corrupt, if it is not what it should be.
    pub(crate) fn read(&self, batch_id: u64, attempt: u64, path: &Path) -> Result<Attempt> {
        let bytes = fs::read(path).map_err(|e| io_error("read", path, &e))?;
        let record: Attempt = parse(path, batch_id, &bytes)?;
        match record.attempt == attempt {
            true => Ok(record),
            false => {
                Err(Error::corrupt(format!("{} is the record of attempt {}", path.display(), record.attempt))
                    .hint("it was renamed by hand: remove it, or name it as it was"))
            }
        }
    }

    /// Takes back what [`Attempts::begin`] wrote: the start ended with an error, and no process died.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn withdraw(&self, batch_id: u64, attempt: u64) -> Result<()> {
        let path = self.path(batch_id, attempt);
        fs::remove_file(&path).map_err(|e| io_error("remove", &path, &e))?;
        // It is not empty while an earlier attempt is there.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn path(&self, batch_id: u64, attempt: u64) -> PathBuf {
        self.folder.join(format!("{batch_id}.{attempt}.json"))
    }

    /// Removes those of batches up to this one, which are committed, and the folder where nothing is left in it.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn clear(&self, committed: u64) -> Result<()> {
        for (_, _, path) in self.all()?.iter().filter(|(batch, ..)| *batch <= committed) {
            fs::remove_file(path).map_err(|e| io_error("remove", path, &e))?;
        }
        // It is not empty while a later batch is tried again.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_by_batch_and_forgotten_with_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = Attempts::of(folder.path());
        assert_eq!(attempts.tries(7).unwrap(), 1);
        attempts.clear(7).unwrap();
        attempts.begin(7, 2).unwrap();
        attempts.begin(7, 3).unwrap();
        assert!(attempts.begin(7, 3).is_err(), "create-only");
        attempts.begin(7, 4).unwrap();
        attempts.withdraw(7, 4).unwrap();
        attempts.begin(12, 2).unwrap();
        assert_eq!([7, 12, 1].map(|batch| attempts.tries(batch).unwrap()), [3, 2, 1]);
        let (batch, attempt, path) = attempts.all().unwrap().remove(1);
        assert_eq!(attempts.read(batch, attempt, &path).unwrap().attempt, 3);
        assert!(attempts.read(batch, 2, &path).is_err() && attempts.read(8, attempt, &path).is_err());
        fs::write(&path, "{").unwrap();
        assert!(attempts.read(batch, attempt, &path).is_err());
        assert_eq!(attempts.tries(7).unwrap(), 3, "that it is there counts");
        attempts.clear(11).unwrap();
        assert_eq!([7, 12].map(|batch| attempts.tries(batch).unwrap()), [1, 2]);
        attempts.clear(12).unwrap();
        assert!(!folder.path().join("attempts").exists());
    }
}
