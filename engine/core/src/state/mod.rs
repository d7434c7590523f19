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
mod input;
mod kept;
mod layout;
mod parts;
mod refused;
mod texts;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use files::{SNAPSHOT_EVERY, is_state_file, state_files};
pub use refused::Refused;

use crate::error::{Context, Error, Result};
use crate::project::{Aggregate, StateSpec};
use input::{Input, Texts};
use kept::Kept;
use layout::Layout;
use parts::PART_BYTES;
use texts::{Keys, Lists, Members};

/// The state of all keys after some batches.
#[derive(Debug, Clone)]
pub struct KeyedState {
    layout: Layout,
    keys: Keys,
    /// As the columns of the layout.
    kept: Vec<Kept>,
    batches: u64,
    touched: Vec<u32>,
}

/// A batch that is being taken in, in one or several parts.
#[derive(Debug, Default)]
pub struct Fold {
    /// Of each key of the batch, its place among them.
    places: HashMap<u32, usize>,
    /// Of each column, how many members it had before: what the batch saw for the first time comes after them.
    before: Vec<usize>,
}

impl KeyedState {
    /// The state before the first batch.
    ///
    /// # Errors
    /// User: the table lacks a column, or has it in a type that cannot be kept.
    pub fn new(spec: &StateSpec, table: &Schema) -> Result<KeyedState> {
        let layout = Layout::new(spec, table)?;
        let kept = layout.columns.iter().map(|column| Kept::new(&column.aggregate)).collect();
        Ok(KeyedState { layout, keys: Keys::new(), kept, batches: 0, touched: Vec::new() })
    }

    /// Batches that are in it: it is the state after batch `batches() - 1`.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key yet.
    pub fn is_empty(&self) -> bool {
        self.keys.len() == 0
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
        let mut columns = vec![self.key_column(keys)?];
        for (kept, column) in self.kept.iter().zip(&self.layout.columns) {
            columns.push(kept.values(keys, &column.data_type)?);
        }
        for (kept, column) in self.kept.iter().zip(&self.layout.columns) {
            columns.extend(kept.latest(keys.len(), &column.data_type)?);
        }
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    /// The text of these keys.
    ///
    /// # Errors
    /// Data: they have more bytes than an array takes.
    pub(crate) fn key_column(&self, keys: &[u32]) -> Result<ArrayRef> {
        let texts = || keys.iter().map(|&key| self.keys.get(key));
        let bytes: usize = texts().map(str::len).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::data(format!("{} keys have {bytes} bytes: 2 GiB is the most", keys.len())));
        }
        Ok(Arc::new(StringArray::from_iter_values(texts())))
    }

    /// Begins the next batch.
    pub fn begin(&mut self) -> Fold {
        self.touched.clear();
        let before = self.kept.iter().map(|kept| kept.members().map_or(0, Members::len)).collect();
        Fold { places: HashMap::new(), before }
    }

    /// Takes in the next rows of the batch in hand, of which [`Self::refuse`] has left out what there is no room for.
    ///
    /// # Errors
    /// Data: more than 2³² keys, a sum that is past its type; Internal: a column is of another type than it was.
    pub fn add(&mut self, fold: &mut Fold, rows: &RecordBatch) -> Result<()> {
        let (keys, inputs) = self.inputs(rows)?;
        let mut member = String::new();
        for row in (0..rows.num_rows()).filter(|&row| !keys.is_null(row)) {
            let key = self.number(keys.value(row))?;
            fold.places.entry(key).or_insert_with(|| {
                self.touched.push(key);
                self.touched.len() - 1
            });
            for (kept, input) in self.kept.iter_mut().zip(&inputs) {
                let added = kept.add(key, input, row, &mut member);
                added.context_with(|| format!("key `{}`", keys.value(row)))?;
            }
        }
        Ok(())
    }

    /// The key of each row, and what the columns of the state read of it.
    fn inputs(&self, rows: &RecordBatch) -> Result<(Texts, Vec<Input>)> {
        let text = |name: &str| Texts::of(column(rows, name)?);
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

    /// Ends the batch in hand and gives its delta, in parts; a key may be in several that follow one another.
    ///
    /// # Errors
    /// Internal, if a value has no form in its column's type; Data: a key, or a value that is told apart, past 1 GiB.
    pub fn finish(&mut self, fold: &Fold) -> Result<Vec<RecordBatch>> {
        self.batches += 1;
        let place = |key| fold.places.get(&key).copied().unwrap_or_default();
        let since = |(kept, before): (&Kept, &usize)| {
            kept.members().map(|members| members.since(*before, self.touched.len(), place))
        };
        let lists: Vec<Option<Lists>> = self.kept.iter().zip(&fold.before).map(since).collect();
        self.parts(self.touched.clone(), &lists, PART_BYTES).collect()
    }

    /// The number of a key; a new one is given the next.
    fn number(&mut self, key: &str) -> Result<u32> {
        let before = self.keys.len();
        let number = self.keys.number(key)?;
        if self.keys.len() > before {
            self.kept.iter_mut().for_each(Kept::push_key);
        }
        Ok(number)
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("a batch without its column `{name}`")))
}

/// Writes what tells a row apart; false if a part is null. Several parts are joined by U+001F, which a part that has it
/// itself has as U+001B `1` (and U+001B as U+001B `0`).
fn write_member(member: &mut String, by: &[Texts], row: usize) -> bool {
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
