//! What a state keeps of all keys, column by column.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, ListBuilder, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::record_batch::RecordBatch;

use super::input::Input;
use super::layout::Column;
use super::texts::{Lists, Members};
use super::write_member;
use crate::error::{Error, Result};
use crate::project::{Aggregate, seen_name};

/// The values of a column, by the keys' numbers.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// The greatest of each key, and of all.
    Max(Vec<Option<i64>>, Option<i64>),
    /// The members of each key.
    Count(Members),
    /// The sum of each key, and its members; how far from 0 any sum has been, at least as far as it is now.
    Sum(Vec<i128>, Members, i128),
}

impl Kept {
    pub(super) fn new(aggregate: &Aggregate) -> Kept {
        match aggregate {
            Aggregate::Max { .. } => Kept::Max(Vec::new(), None),
            Aggregate::CountDistinct { .. } => Kept::Count(Members::new()),
            Aggregate::SumDistinct { .. } => Kept::Sum(Vec::new(), Members::new(), 0),
        }
    }

    /// Takes the next key in, of which nothing is known.
    pub(super) fn push_key(&mut self) {
        match self {
            Kept::Max(values, _) => values.push(None),
            Kept::Count(members) => members.push_key(),
            Kept::Sum(sums, members, _) => {
                sums.push(0);
                members.push_key();
            }
        }
    }

    /// Makes room for so many more keys, of most of which something was seen.
    pub(super) fn reserve(&mut self, keys: usize) {
        match self {
            Kept::Max(values, _) => values.reserve(keys),
            Kept::Count(members) => members.reserve(keys),
            Kept::Sum(sums, members, _) => {
                sums.reserve(keys);
                members.reserve(keys);
            }
        }
    }

    pub(super) fn members(&self) -> Option<&Members> {
        match self {
            Kept::Max(..) => None,
            Kept::Count(members) | Kept::Sum(_, members, _) => Some(members),
        }
    }

    /// Takes in a row of a batch for its key; `member` is room for what tells the row apart.
    ///
    /// # Errors
    /// Data: a sum that is past its type, more members than can be numbered.
    pub(super) fn add(&mut self, key: u32, input: &Input, row: usize, member: &mut String) -> Result<()> {
        match (self, input) {
            (Kept::Max(kept, latest), Input::Max(values)) if values.is_valid(row) => {
                let kept = &mut kept[key as usize];
                *kept = (*kept).max(Some(values.value(row)));
                *latest = (*latest).max(*kept);
            }
            (Kept::Count(members), Input::Count(by)) if write_member(member, by, row) => {
                members.see(key, member)?;
            }
            (Kept::Sum(sums, members, greatest), Input::Sum(values, by))
                if values.is_valid(row) && write_member(member, by, row) =>
            {
                let is_new = members.see(key, member)?;
                if is_new {
                    let sum = &mut sums[key as usize];
                    *sum = sum
                        .checked_add(values.value(row))
                        .ok_or_else(|| Error::data("the sum of a key is past its type"))?;
                    *greatest = (*greatest).max(sum.saturating_abs());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The values of these keys.
    ///
    /// # Errors
    /// Internal, if a value has no form in the column's type.
    pub(super) fn values(&self, keys: &[u32], data_type: &DataType) -> Result<ArrayRef> {
        let keys = keys.iter().copied();
        Ok(match self {
            Kept::Max(values, _) => {
                cast(&Int64Array::from_iter(keys.map(|key| values[key as usize])), data_type)?
            }
            Kept::Count(members) => {
                Arc::new(Int64Array::from_iter_values(keys.map(|key| i64::from(members.count(key)))))
            }
            // As in SQL: a sum of nothing is null.
            Kept::Sum(sums, members, _) => {
                let values = keys.map(|key| (members.count(key) > 0).then(|| sums[key as usize]));
                Arc::new(Decimal128Array::from_iter(values).with_data_type(data_type.clone()))
            }
        })
    }

    /// The greatest of all keys, as many times; `None` for a column that has no greatest.
    ///
    /// # Errors
    /// Internal, if a value has no form in the column's type.
    pub(super) fn latest(&self, times: usize, data_type: &DataType) -> Result<Option<ArrayRef>> {
        let Kept::Max(_, latest) = self else { return Ok(None) };
        Ok(Some(cast(&Int64Array::from_iter(std::iter::repeat_n(*latest, times)), data_type)?))
    }

    /// Takes in a column of a file, whose rows are of these keys: its values hold from now on, its members are added.
    ///
    /// # Errors
    /// Corrupt: the file lacks the column as it is to be; Data: more members than can be numbered.
    pub(super) fn take(&mut self, column: &Column, keys: &[u32], rows: &RecordBatch) -> Result<()> {
        let values = rows.column_by_name(&column.name).filter(|c| c.data_type() == &column.data_type);
        let values = values.ok_or_else(|| damaged(&column.name))?;
        match self {
            Kept::Max(kept, latest) => {
                let values = cast(values, &DataType::Int64)?;
                for (&key, value) in keys.iter().zip(values.as_primitive::<Int64Type>()) {
                    kept[key as usize] = value;
                    *latest = (*latest).max(value);
                }
            }
            Kept::Count(members) => take_members(members, column, keys, rows)?,
            Kept::Sum(kept, members, greatest) => {
                take_members(members, column, keys, rows)?;
                for (&key, value) in keys.iter().zip(values.as_primitive::<Decimal128Type>()) {
                    let sum = value.unwrap_or(0);
                    kept[key as usize] = sum;
                    *greatest = (*greatest).max(sum.saturating_abs());
                }
            }
        }
        Ok(())
    }
}

fn take_members(members: &mut Members, column: &Column, keys: &[u32], rows: &RecordBatch) -> Result<()> {
    let name = seen_name(&column.name);
    let lists = rows.column_by_name(&name).and_then(|lists| lists.as_list_opt::<i32>());
    let lists = lists.ok_or_else(|| damaged(&name))?;
    // Of all rows at once: an array for each row would cost more than all else.
    let texts = lists.values().as_string_opt::<i32>().ok_or_else(|| damaged(&name))?;
    for (&key, ends) in keys.iter().zip(lists.value_offsets().windows(2)) {
        for at in ends[0] as usize..ends[1] as usize {
            if texts.is_valid(at) {
                members.load(key, texts.value(at))?;
            }
        }
    }
    Ok(())
}

/// The members of each row, by where they stand in the lists, as a column of a file. The caller has counted their bytes: an
/// array of texts takes less than 2 GiB.
pub(super) fn seen(members: &Members, lists: &Lists, rows: &[Range<usize>]) -> ListArray {
    let mut column = ListBuilder::new(StringBuilder::new());
    for row in rows {
        members.of(lists, row.clone()).for_each(|member| column.values().append_value(member));
        column.append(true);
    }
    column.finish()
}

pub(super) fn damaged(name: &str) -> Error {
    Error::corrupt(format!("the state file lacks the column `{name}` as it is to be"))
        .hint("the job's [state] was changed, or the file: put it back as it was, or start a new lake")
}
