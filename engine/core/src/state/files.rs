//! Deltas and snapshots: the state on disk, in the checkpoint, listed by the commits.

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use rayon::prelude::*;

use super::KeyedState;
use super::kept::damaged;
use super::parts::{PART_BYTES, PART_KEYS};
use super::texts::{Lists, Members};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::{Commit, FileEntry, RecordList};
use crate::table::publish::stage;
use crate::table::read::read_parts;
use crate::table::write::parquet_of_parts;

/// Batches from one snapshot to the next: batches 49, 99, … write one.
pub const SNAPSHOT_EVERY: u64 = 50;

/// What a commit lists state files under, before the table's name.
const LISTED_AS: &str = "state:";

/// Whether a commit's file is of the state of some table.
pub fn is_state_file(file: &FileEntry) -> bool {
    file.table.starts_with(LISTED_AS)
}

fn is_snapshot(file: &FileEntry) -> bool {
    is_state_file(file) && file.path.rsplit('/').next().is_some_and(|name| name.starts_with("snapshot-"))
}

fn is_delta(file: &FileEntry) -> bool {
    is_state_file(file) && !is_snapshot(file)
}

/// The delta of batch `batch_id`, and where it is due a snapshot of `state`, which has the batch in it, staged. Also the
/// files that these put out of use: two snapshots and the deltas between and after them are kept.
///
/// # Errors
/// Storage; Corrupt, if an earlier commit cannot be read.
pub fn state_files(
    lake: &Lake,
    schema_name: &str,
    table: &str,
    state: &KeyedState,
    delta: &[RecordBatch],
    commits: &RecordList<Commit>,
) -> Result<(Vec<FileEntry>, Vec<FileEntry>)> {
    let Some(batch_id) = state.batches().checked_sub(1) else { return Ok((Vec::new(), Vec::new())) };
    let write = |kind: &str, bytes: &[u8], rows: usize| {
        let path = format!("{schema_name}/_checkpoint/state/{kind}-{batch_id:08}.parquet");
        stage(lake, &format!("{LISTED_AS}{table}"), &path, bytes, rows as u64)
    };
    let of_parts = |parts: &mut dyn Iterator<Item = Result<RecordBatch>>| {
        let mut rows = 0;
        let parts = parts.inspect(|part| rows += part.as_ref().map_or(0, RecordBatch::num_rows));
        let bytes = parquet_of_parts(state.layout.file_schema(), PART_KEYS, parts)?;
        Ok::<_, Error>((bytes, rows))
    };
    let (bytes, rows) = of_parts(&mut delta.iter().cloned().map(Ok))?;
    let mut added = vec![write("delta", &bytes, rows)?];
    if !state.batches().is_multiple_of(SNAPSHOT_EVERY) {
        return Ok((added, Vec::new()));
    }
    let lists = state.all_members();
    let (bytes, rows) = of_parts(&mut state.parts(state.all_keys(), &lists, PART_BYTES))?;
    added.push(write("snapshot", &bytes, rows)?);
    let mut removed = Vec::new();
    if let Some(last) = batch_id.checked_sub(SNAPSHOT_EVERY) {
        // The last snapshot stays with the deltas since: a learner that is a batch behind begins there.
        let first = (last + 1).saturating_sub(SNAPSHOT_EVERY);
        for number in first..=last {
            removed.extend(commits.read(number)?.added.into_iter().filter(is_delta));
        }
        if let Some(older) = first.checked_sub(1) {
            removed.extend(commits.read(older)?.added.into_iter().filter(is_snapshot));
        }
    }
    Ok((added, removed))
}

impl KeyedState {
    /// Brings a state that has no batch in it to what it was after `batches` batches: the newest snapshot that is not
    /// newer, then the deltas.
    ///
    /// # Errors
    /// Storage or Corrupt, if a commit or its file cannot be read.
    pub fn restore(&mut self, lake: &Lake, commits: &RecordList<Commit>, batches: u64) -> Result<()> {
        let mut snapshot = None;
        let whole = batches - batches % SNAPSHOT_EVERY;
        if let Some(number) = whole.checked_sub(1) {
            snapshot = commits.read(number)?.added.into_iter().find(is_snapshot);
        }
        if let Some(file) = snapshot {
            read_parts(lake, &file, PART_KEYS, |rows| {
                if self.is_empty() {
                    // The file is as long as its record says; how many rows that says it has is not known yet.
                    self.reserve(file.rows.min(file.bytes));
                }
                self.take(&rows)
            })?;
            self.touched.clear();
            self.batches = whole;
        }
        while self.batches < batches {
            self.advance(lake, &commits.read(self.batches)?)?;
        }
        Ok(())
    }

    /// Makes room for so many keys, which are all to come.
    fn reserve(&mut self, keys: u64) {
        let keys = usize::try_from(keys).unwrap_or(0);
        self.keys.reserve(keys);
        self.touched.reserve(keys);
        self.kept.iter_mut().for_each(|kept| kept.reserve(keys));
    }

    /// Takes in the delta of the next commit, from its file.
    ///
    /// # Errors
    /// Storage; Corrupt, if the commit has no delta, is not the next one, or its file is not what it should be.
    pub fn advance(&mut self, lake: &Lake, commit: &Commit) -> Result<()> {
        let hint = "the checkpoint is not whole: restore the lake folder from a copy";
        let delta = commit.added.iter().find(|file| is_delta(file) && commit.batch_id == self.batches);
        let file = delta.ok_or_else(|| {
            Error::corrupt(format!("commit {} has no state of batch {}", commit.batch_id, self.batches))
                .hint(hint)
        })?;
        self.touched.clear();
        read_parts(lake, file, PART_KEYS, |rows| self.take(&rows))?;
        self.batches += 1;
        Ok(())
    }

    /// All keys, as a snapshot has them.
    pub(super) fn all_keys(&self) -> Vec<u32> {
        (0u32..).take(self.len()).collect()
    }

    /// All that was seen of all keys, by column.
    pub(super) fn all_members(&self) -> Vec<Option<Lists>> {
        self.kept.iter().map(|kept| kept.members().map(Members::of_all)).collect()
    }

    /// Takes in the rows of a file: their values hold from now on, their members are added. Rows of one key follow one another.
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = rows.column_by_name(&self.layout.key).and_then(|c| c.as_string_opt::<i32>());
        let keys = keys.ok_or_else(|| damaged(&self.layout.key))?;
        let mut numbers = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let key = self.number(keys.value(row))?;
            numbers.push(key);
            if self.touched.last() != Some(&key) {
                self.touched.push(key);
            }
        }
        let columns = &self.layout.columns;
        // Most of the time goes to the tables of members, one by column.
        let kept = self.kept.par_iter_mut().zip(columns);
        kept.try_for_each(|(kept, column)| kept.take(column, &numbers, rows))
    }
}
