//! Keyed state: one row a key that every batch updates, exactly once, at a cost that grows with the batch.
//!
//! ```text
//! rows of batch N ──fold──> in-memory index (key → values and what was seen)
//!                             │ the keys of the batch                  │ every 50th batch: all keys
//!                             v                                        v
//!        _checkpoint/state/delta-N.parquet              _checkpoint/state/snapshot-N.parquet
//!                             └────────── both listed by commits/N.json ──────────┘
//! ```
//!
//! A delta has, for each key of its batch, the values after the batch and what the batch saw for the first time, so
//! that a message that comes again, and a payment that a join repeats, count nothing twice. A snapshot is the delta
//! from nothing. State after batch N = newest snapshot up to N, then the deltas up to N; keys keep the order in which
//! they first came, so a restored state is the same bytes as one that was never lost.
//!
//! A message after which a sum would have more digits than its column counts nowhere and is a dead letter (see [`Refused`]).
//!
//! Nulls: a row without its key changes nothing; a null is no greatest value; what is told apart by a null, and a
//! summand that is null, does not count and is not remembered, so that it counts when it comes whole. Of several rows
//! that are told to be the same the first one's summand counts.

mod files;
mod layout;
mod refused;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use files::{SNAPSHOT_EVERY, is_state_file, state_files};
pub use refused::Refused;

use crate::error::{Error, Result};
use crate::project::{Aggregate, StateSpec};
use layout::Layout;

/// The state of all keys after some batches.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedState {
    layout: Layout,
    entries: Vec<Entry>,
    index: HashMap<Box<str>, u32>,
    /// The greatest of each column over all keys; `None` also for columns that have no greatest.
    latest: Vec<Option<i64>>,
    /// How far from 0 any sum of each column has been, at least as far as it is now; 0 for columns that are no sums.
    greatest_sums: Vec<i128>,
    batches: u64,
    touched: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    key: Box<str>,
    cells: Vec<Cell>,
}

/// What a column keeps of a key. What was seen is sorted.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Max(Option<i64>),
    Count(Vec<Box<str>>),
    Sum(i128, Vec<Box<str>>),
}

impl Cell {
    fn new(aggregate: &Aggregate) -> Cell {
        match aggregate {
            Aggregate::Max { .. } => Cell::Max(None),
            Aggregate::CountDistinct { .. } => Cell::Count(Vec::new()),
            Aggregate::SumDistinct { .. } => Cell::Sum(0, Vec::new()),
        }
    }

    fn seen(&self) -> &[Box<str>] {
        match self {
            Cell::Max(_) => &[],
            Cell::Count(seen) | Cell::Sum(_, seen) => seen,
        }
    }

    /// Remembers a member; whether it was new.
    fn see(&mut self, member: &str) -> bool {
        let (Cell::Count(seen) | Cell::Sum(_, seen)) = self else { return false };
        match seen.binary_search_by(|known| known.as_ref().cmp(member)) {
            Ok(_) => false,
            Err(at) => {
                // Of most keys there is one: a Vec that grows by itself takes room for four.
                if seen.is_empty() {
                    seen.reserve_exact(1);
                }
                seen.insert(at, member.into());
                true
            }
        }
    }
}

/// The columns of a batch that one column of the state reads.
enum Input {
    Max(Int64Array),
    Count(Vec<StringArray>),
    Sum(Decimal128Array, Vec<StringArray>),
}

/// What one batch saw for the first time: a key of the batch → a column → members.
type News = Vec<Vec<Vec<Box<str>>>>;

/// A batch that is being taken in, in one or several parts.
#[derive(Debug, Default)]
pub struct Fold {
    news: News,
    /// Of each key of the batch, its place in `news`.
    places: HashMap<u32, usize>,
}

impl KeyedState {
    /// The state before the first batch.
    ///
    /// # Errors
    /// User: the table lacks a column, or has it in a type that cannot be kept.
    pub fn new(spec: &StateSpec, table: &Schema) -> Result<KeyedState> {
        let layout = Layout::new(spec, table)?;
        let latest = vec![None; layout.columns.len()];
        let greatest_sums = vec![0; layout.columns.len()];
        Ok(KeyedState {
            layout,
            entries: Vec::new(),
            index: HashMap::new(),
            latest,
            greatest_sums,
            batches: 0,
            touched: Vec::new(),
        })
    }

    /// Batches that are in it: it is the state after batch `batches() - 1`.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No key yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys of the newest batch, by the order in which the batch names them.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// Columns of [`Self::rows`].
    pub fn schema(&self) -> SchemaRef {
        self.layout.row_schema()
    }

    /// Rows of these keys (`0..len()`, by first appearance): the key as text, the columns, and `_max_NAME`, the greatest
    /// value of a column over all keys.
    ///
    /// # Errors
    /// Internal, if a value has no form in its column's type.
    pub fn rows(&self, keys: &[u32]) -> Result<RecordBatch> {
        let entries: Vec<&Entry> = keys.iter().filter_map(|&key| self.entries.get(key as usize)).collect();
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from_iter_values(entries.iter().map(|e| e.key.as_ref())))];
        for slot in 0..self.layout.columns.len() {
            columns.push(self.values(&entries, slot)?);
        }
        for (column, latest) in self.layout.columns.iter().zip(&self.latest) {
            if let Aggregate::Max { .. } = column.aggregate {
                let values = Int64Array::from_iter(std::iter::repeat_n(*latest, entries.len()));
                columns.push(cast(&values, &column.data_type)?);
            }
        }
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    /// Begins the next batch.
    pub fn begin(&mut self) -> Fold {
        self.touched.clear();
        Fold::default()
    }

    /// Takes in the next rows of the batch in hand, of which [`Self::refuse`] has left out what there is no room for.
    ///
    /// # Errors
    /// Data: more than 2³² keys, a sum that is past its type; Internal: a column is of another type than it was.
    pub fn add(&mut self, fold: &mut Fold, rows: &RecordBatch) -> Result<()> {
        let (keys, inputs) = self.inputs(rows)?;
        let Fold { news, places } = fold;
        let mut member = String::new();
        for row in (0..rows.num_rows()).filter(|&row| keys.is_valid(row)) {
            let key = self.key(keys.value(row))?;
            let place = *places.entry(key).or_insert_with(|| {
                self.touched.push(key);
                news.push(vec![Vec::new(); inputs.len()]);
                news.len() - 1
            });
            for (slot, input) in inputs.iter().enumerate() {
                let cell = &mut self.entries[key as usize].cells[slot];
                if let (Input::Max(values), Cell::Max(kept)) = (input, &mut *cell) {
                    if values.is_valid(row) {
                        *kept = (*kept).max(Some(values.value(row)));
                        self.latest[slot] = self.latest[slot].max(*kept);
                    }
                    continue;
                }
                let (by, summand) = match input {
                    Input::Count(by) => (by, Some(0)),
                    Input::Sum(values, by) => (by, values.is_valid(row).then(|| values.value(row))),
                    Input::Max(_) => continue,
                };
                let Some(summand) = summand else { continue };
                if !write_member(&mut member, by, row) || !cell.see(&member) {
                    continue;
                }
                news[place][slot].push(member.as_str().into());
                if let Cell::Sum(sum, _) = cell {
                    *sum = sum.checked_add(summand).ok_or_else(|| {
                        Error::data(format!("the sum of key `{}` is past its type", keys.value(row)))
                    })?;
                    self.greatest_sums[slot] = self.greatest_sums[slot].max(sum.saturating_abs());
                }
            }
        }
        Ok(())
    }

    /// The key of each row, and what the columns of the state read of it.
    fn inputs(&self, rows: &RecordBatch) -> Result<(StringArray, Vec<Input>)> {
        let text = |name: &str| {
            Ok::<_, Error>(cast(column(rows, name)?, &DataType::Utf8)?.as_string::<i32>().clone())
        };
        let texts = |names: &[String]| names.iter().map(|name| text(name)).collect::<Result<Vec<_>>>();
        let mut inputs = Vec::new();
        for kept in &self.layout.columns {
            inputs.push(match &kept.aggregate {
                Aggregate::Max { of } => {
                    let values = cast(&cast(column(rows, of)?, &kept.data_type)?, &DataType::Int64)?;
                    Input::Max(values.as_primitive::<Int64Type>().clone())
                }
                Aggregate::CountDistinct { by } => Input::Count(texts(by)?),
                Aggregate::SumDistinct { of, by } => {
                    let values = cast(column(rows, of)?, &kept.data_type)?;
                    Input::Sum(values.as_primitive::<Decimal128Type>().clone(), texts(by)?)
                }
            });
        }
        Ok((text(&self.layout.key)?, inputs))
    }

    /// Ends the batch in hand and gives its delta.
    ///
    /// # Errors
    /// Internal, if a value has no form in its column's type.
    pub fn finish(&mut self, fold: &Fold) -> Result<RecordBatch> {
        self.batches += 1;
        self.file(&self.touched, |place, slot| &fold.news[place][slot])
    }

    /// The number of a key; a new one is given the next.
    fn key(&mut self, key: &str) -> Result<u32> {
        if let Some(&number) = self.index.get(key) {
            return Ok(number);
        }
        let number = u32::try_from(self.entries.len())
            .map_err(|_| Error::data("more than 2^32 keys cannot be kept in memory"))?;
        let cells = self.layout.columns.iter().map(|c| Cell::new(&c.aggregate)).collect();
        self.entries.push(Entry { key: key.into(), cells });
        self.index.insert(key.into(), number);
        Ok(number)
    }

    /// Makes room for so many rows of which most may be new keys.
    fn make_room(&mut self, rows: usize) {
        let new = rows.saturating_sub(self.entries.len());
        self.entries.reserve(new);
        self.index.reserve(new);
        self.touched.reserve(rows);
    }

    /// The values of one column.
    fn values(&self, entries: &[&Entry], slot: usize) -> Result<ArrayRef> {
        let data_type = &self.layout.columns[slot].data_type;
        Ok(match &self.layout.columns[slot].aggregate {
            Aggregate::Max { .. } => {
                let values =
                    entries.iter().map(|e| if let Cell::Max(value) = e.cells[slot] { value } else { None });
                cast(&Int64Array::from_iter(values), data_type)?
            }
            Aggregate::CountDistinct { .. } => {
                let values =
                    entries.iter().map(|e| i64::try_from(e.cells[slot].seen().len()).unwrap_or(i64::MAX));
                Arc::new(Int64Array::from_iter_values(values))
            }
            Aggregate::SumDistinct { .. } => {
                // As in SQL: a sum of nothing is null.
                let values = entries.iter().map(|e| match &e.cells[slot] {
                    Cell::Sum(sum, seen) if !seen.is_empty() => Some(*sum),
                    _ => None,
                });
                Arc::new(Decimal128Array::from_iter(values).with_data_type(data_type.clone()))
            }
        })
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("a batch without its column `{name}`")))
}

/// Writes what tells a row apart; false if a part is null. Several parts are joined by U+001F, which a part that has it
/// itself has as U+001B `1` (and U+001B as U+001B `0`).
fn write_member(member: &mut String, by: &[StringArray], row: usize) -> bool {
    member.clear();
    for (place, part) in by.iter().enumerate() {
        if part.is_null(row) {
            return false;
        }
        if place > 0 {
            member.push('\u{1f}');
        }
        let text = part.value(row);
        match by.len() > 1 && text.contains(['\u{1b}', '\u{1f}']) {
            true => member.push_str(&text.replace('\u{1b}', "\u{1b}0").replace('\u{1f}', "\u{1b}1")),
            false => member.push_str(text),
        }
    }
    true
}

#[cfg(test)]
mod tests;
