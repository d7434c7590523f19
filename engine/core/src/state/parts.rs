//! Keys and what was seen of them as rows of a file, in parts that an array of texts has room for: it takes less than 2 GiB.
//!
//! A key of which more was seen than a part takes has a row in each of several parts, one after the other, with its values in
//! each. Who reads a file adds the members of all of them. A part of fewer rows than [`PART_KEYS`] ends its row group in the
//! file, so that reading it so many rows at a time gives the parts as they were written.

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::KeyedState;
use super::kept::seen;
use super::texts::Lists;
use crate::error::{Error, Result};

/// Most rows of a part.
pub(super) const PART_KEYS: usize = 1 << 13;

/// Most bytes of a part's keys, and of its members in each column; a key or a member that is longer stands by itself.
pub(super) const PART_BYTES: usize = 64 << 20;

/// Most bytes of a key, or of what a row is told apart by.
const TEXT_BYTES: usize = 1 << 30;

/// The parts of a file that are still to come.
struct Parts<'a> {
    state: &'a KeyedState,
    keys: Vec<u32>,
    /// What was seen of them, by column, at the places of the keys.
    lists: &'a [Option<Lists>],
    /// Most bytes.
    most: usize,
    /// The key that comes next.
    place: usize,
    /// How many members of it are in a part already, by column.
    done: Vec<usize>,
}

impl KeyedState {
    /// These keys, with what was seen of them by column, in parts of at most so many bytes.
    pub(super) fn parts<'a>(
        &'a self,
        keys: Vec<u32>,
        lists: &'a [Option<Lists>],
        most: usize,
    ) -> impl Iterator<Item = Result<RecordBatch>> {
        let mut parts = Parts { state: self, keys, lists, most, place: 0, done: vec![0; lists.len()] };
        std::iter::from_fn(move || parts.next().transpose())
    }
}

impl Parts<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.place == self.keys.len() {
            return Ok(None);
        }
        let mut rows = Vec::new();
        let mut of_keys = Room { left: self.most, is_whole: true };
        let mut of_columns: Vec<Room> =
            self.lists.iter().map(|_| Room { left: self.most, is_whole: true }).collect();
        let mut ranges: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.lists.len()];
        while rows.len() < PART_KEYS
            && let Some(&key) = self.keys.get(self.place)
        {
            if !of_keys.take(self.state.keys.get(key).len())? {
                break;
            }
            rows.push(key);
            let mut is_whole = true;
            let columns = self.state.kept.iter().zip(self.lists).zip(&mut of_columns);
            for (((kept, lists), room), (done, ranges)) in columns.zip(self.done.iter_mut().zip(&mut ranges))
            {
                let (Some(members), Some(lists)) = (kept.members(), lists) else { continue };
                let all = lists.range(self.place);
                let start = all.start + *done;
                let mut taken = 0;
                for member in members.of(lists, start..all.end) {
                    if !room.take(member.len())? {
                        break;
                    }
                    taken += 1;
                }
                ranges.push(start..start + taken);
                *done += taken;
                is_whole &= start + taken == all.end;
            }
            if !is_whole {
                break;
            }
            self.place += 1;
            self.done.fill(0);
        }
        self.part(&rows, &ranges).map(Some)
    }

    /// These rows as a part, whose members stand there in the lists of each column.
    fn part(&self, rows: &[u32], ranges: &[Vec<Range<usize>>]) -> Result<RecordBatch> {
        let state = self.state;
        let mut columns = vec![state.key_column(rows)?];
        let of_state = state.kept.iter().zip(&state.layout.columns);
        for ((kept, column), (lists, ranges)) in of_state.zip(self.lists.iter().zip(ranges)) {
            columns.push(kept.values(rows, &column.data_type)?);
            if let (Some(members), Some(lists)) = (kept.members(), lists) {
                columns.push(Arc::new(seen(members, lists, ranges)));
            }
        }
        Ok(RecordBatch::try_new(state.layout.file_schema(), columns)?)
    }
}

/// What there is room for in an array of texts.
struct Room {
    left: usize,
    /// Nothing is in it yet: the first text has room, however long it is.
    is_whole: bool,
}

impl Room {
    /// Whether a text of so many bytes has room; it is then taken.
    ///
    /// # Errors
    /// Data: none would have room for it.
    fn take(&mut self, bytes: usize) -> Result<bool> {
        if bytes > TEXT_BYTES {
            return Err(Error::data(format!(
                "a state cannot keep a key, or what a row is told apart by, of {bytes} bytes: 1 GiB is the most"
            ))
            .hint("let the transform give something shorter in its place: a hash, or the first part of it"));
        }
        if bytes > self.left && !self.is_whole {
            return Ok(false);
        }
        self.left = self.left.saturating_sub(bytes);
        self.is_whole = false;
        Ok(true)
    }
}
