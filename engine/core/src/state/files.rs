//! Deltas and snapshots: the state on disk, in the checkpoint, listed by the commits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::record_batch::RecordBatch;

use super::layout::seen_name;
use super::{Cell, Entry, KeyedState};
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::records::{Commit, FileEntry, RecordList};
use crate::table::publish::stage;
use crate::table::read::read_rows;
use crate::table::write::parquet_bytes;

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
    delta: &RecordBatch,
    commits: &RecordList<Commit>,
) -> Result<(Vec<FileEntry>, Vec<FileEntry>)> {
    let Some(batch_id) = state.batches().checked_sub(1) else { return Ok((Vec::new(), Vec::new())) };
    let write = |kind: &str, rows: &RecordBatch| {
        let path = format!("{schema_name}/_checkpoint/state/{kind}-{batch_id:08}.parquet");
        let listed = format!("{LISTED_AS}{table}");
        stage(lake, &listed, &path, &parquet_bytes(rows)?, rows.num_rows() as u64)
    };
    let mut added = vec![write("delta", delta)?];
    if !state.batches().is_multiple_of(SNAPSHOT_EVERY) {
        return Ok((added, Vec::new()));
    }
    added.push(write("snapshot", &state.snapshot()?)?);
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
            self.take(&read_rows(lake, &file)?).context_with(|| file.path.clone())?;
            self.batches = whole;
        }
        while self.batches < batches {
            self.advance(lake, &commits.read(self.batches)?)?;
        }
        Ok(())
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
        self.take(&read_rows(lake, file)?).context_with(|| file.path.clone())?;
        self.batches += 1;
        Ok(())
    }

    /// All keys with all that was seen.
    pub(super) fn snapshot(&self) -> Result<RecordBatch> {
        let keys: Vec<u32> = (0u32..).take(self.entries.len()).collect();
        self.file(&keys, |place, slot| self.entries[place].cells[slot].seen())
    }

    /// These keys as rows of a file; `seen` gives the members of the key at a place, for a column.
    pub(super) fn file<'a>(
        &self,
        keys: &[u32],
        seen: impl Fn(usize, usize) -> &'a [Box<str>],
    ) -> Result<RecordBatch> {
        let entries: Vec<&Entry> = keys.iter().filter_map(|&key| self.entries.get(key as usize)).collect();
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.key.as_ref())))];
        for (slot, column) in self.layout.columns.iter().enumerate() {
            columns.push(self.values(&entries, slot)?);
            if !column.aggregate.by().is_empty() {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for place in 0..entries.len() {
                    seen(place, slot).iter().for_each(|member| lists.values().append_value(member));
                    lists.append(true);
                }
                columns.push(Arc::new(lists.finish()));
            }
        }
        Ok(RecordBatch::try_new(self.layout.file_schema(), columns)?)
    }

    /// Takes in the rows of a file: their values hold from now on, their members are added.
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let damaged = |name: &str| {
            Error::corrupt(format!("the state file lacks the column `{name}` as it is to be")).hint(
                "the job's [state] was changed, or the file: put it back as it was, or start a new lake",
            )
        };
        let keys = rows.column_by_name(&self.layout.key).and_then(|c| c.as_string_opt::<i32>());
        let keys = keys.ok_or_else(|| damaged(&self.layout.key))?.clone();
        self.touched.clear();
        // Most rows of a snapshot, and of the first deltas, are new keys.
        self.make_room(rows.num_rows());
        for row in 0..rows.num_rows() {
            let key = self.key(keys.value(row))?;
            self.touched.push(key);
        }
        for slot in 0..self.layout.columns.len() {
            let column = self.layout.columns[slot].clone();
            let values = rows.column_by_name(&column.name).filter(|c| c.data_type() == &column.data_type);
            let values = values.ok_or_else(|| damaged(&column.name))?.clone();
            let name = seen_name(&column.name);
            let lists = rows.column_by_name(&name).and_then(|c| c.as_list_opt::<i32>()).cloned();
            if lists.is_none() && !column.aggregate.by().is_empty() {
                return Err(damaged(&name));
            }
            // Of all rows at once: an array for each row would cost more than all else.
            let members = match &lists {
                Some(lists) => {
                    let members = lists.values().as_string_opt::<i32>().ok_or_else(|| damaged(&name))?;
                    Some((members, lists.value_offsets()))
                }
                None => None,
            };
            let greatest = match &column.aggregate {
                crate::project::Aggregate::Max { .. } => Some(cast(&values, &DataType::Int64)?),
                _ => None,
            };
            let sums = values.as_primitive_opt::<Decimal128Type>();
            for (row, &key) in self.touched.iter().enumerate() {
                let cell = &mut self.entries[key as usize].cells[slot];
                if let Some((members, offsets)) = &members {
                    for at in offsets[row] as usize..offsets[row + 1] as usize {
                        if members.is_valid(at) {
                            cell.see(members.value(at));
                        }
                    }
                }
                match (cell, sums, &greatest) {
                    (Cell::Sum(sum, _), Some(sums), _) => {
                        *sum = if sums.is_valid(row) { sums.value(row) } else { 0 };
                        self.greatest_sums[slot] = self.greatest_sums[slot].max(sum.saturating_abs());
                    }
                    (Cell::Max(kept), _, Some(greatest)) => {
                        let greatest = greatest.as_primitive::<Int64Type>();
                        *kept = greatest.is_valid(row).then(|| greatest.value(row));
                        self.latest[slot] = self.latest[slot].max(*kept);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
