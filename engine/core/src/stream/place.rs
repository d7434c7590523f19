//! Whether the table and the checkpoint of a running driver are still there: a driver that runs for weeks is not the only
//! one that has to do with its lake, and a commit over a table that is gone would be one of rows that nobody finds.
//!
//! Looked at before a plan is written, and again before its commit is: that the newest commit and the newest file of rows
//! are where they were. Both are gone where their folder was removed, or another one was put in its place.

use super::driver::Driver;
use crate::error::{Error, Result};
use crate::records::Commit;
use crate::table::read::checked_path;

/// What to do; what is read and not committed yet is read again.
const ADVICE: &str = "nothing was committed over it: put the folder back as it was, or all of the lake from one copy, and start \
     again";

impl Driver {
    /// # Errors
    /// Corrupt: the checkpoint or the table was removed or replaced since the driver was opened; Storage.
    pub(super) fn check_place(&self) -> Result<()> {
        let changed = |what: String| Err(Error::corrupt(what).hint(ADVICE));
        let checkpoint = self.lake.checkpoint(&self.job.schema_name);
        if let Some(number) = self.committed
            && !self.checkpoint.commits.has(number)
        {
            return changed(format!(
                "the checkpoint {} was removed or replaced while the stream ran: commit {number} is not there",
                checkpoint.display()
            ));
        }
        let Some(file) = &self.newest_rows else { return Ok(()) };
        let folder = self.lake.resolve(&self.job.table_path);
        match checked_path(&self.lake, file) {
            Ok(_) => Ok(()),
            Err(_) if !folder.is_dir() => {
                changed(format!("the table {} was removed while the stream ran", folder.display()))
            }
            Err(error) => Err(error.context("the table was changed while the stream ran")),
        }
    }

    /// A batch is committed: its rows are the newest, if it has any.
    pub(super) fn note_rows(&mut self, commit: &Commit) {
        let table = format!("{}.{}", self.job.schema_name, self.job.table_name);
        if let Some(file) = commit.added.iter().rfind(|file| file.table == table) {
            self.newest_rows = Some(file.clone());
        }
    }
}
