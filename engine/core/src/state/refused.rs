//! Messages that a state has no room for: a sum would be past the digits of its column. Such a message counts nowhere, and is
//! a dead letter, or the state would stop for good.
//!
//! Messages are taken in their order, and each one as a whole: what counts of a message is tried on top of all that counts of
//! those before, and one of which a single row has no room is left out with all of its rows. So which ones are refused does
//! not depend on how a batch is cut into parts, nor on how often it is run.
//!
//! Most often no sum can get there, as the greatest so far and all summands in hand are too small together: then nothing more
//! is looked at.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, BooleanArray, Decimal128Array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;

use super::input::{Input, Texts};
use super::kept::Kept;
use super::texts::Members;
use super::{KeyedState, column, write_member};
use crate::error::Result;
use crate::project::Aggregate;

/// A message that is not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Partition number.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What it would do.
    pub reason: String,
}

/// The greatest and least value of a sum; `None` for a column that is none.
pub(super) fn most(data_type: &DataType) -> Option<i128> {
    match data_type {
        DataType::Decimal128(digits, _) => 10i128.checked_pow(u32::from(*digits)).map(|past| past - 1),
        _ => None,
    }
}

/// A sum, and what it counts.
type Sum = (i128, HashSet<Box<str>>);

/// Sums and members as they would be, by column of the state and key.
#[derive(Default)]
struct Trial {
    sums: HashMap<(usize, Box<str>), Sum>,
    /// What the message in hand has added: column, key, member, and the sum before it.
    added: Vec<(usize, Box<str>, Box<str>, i128)>,
}

impl KeyedState {
    /// Splits the next rows of a batch into those that the state takes in, and the messages that it does not. A message's rows
    /// stand together.
    ///
    /// # Errors
    /// Internal: a column is missing, or of another type than it was.
    pub fn refuse(&self, rows: Vec<RecordBatch>) -> Result<(Vec<RecordBatch>, Vec<Refused>)> {
        if self.has_room(&rows)? {
            return Ok((rows, Vec::new()));
        }
        let (mut trial, mut refused) = (Trial::default(), Vec::<Refused>::new());
        let mut message = None;
        for batch in &rows {
            let (keys, inputs) = self.inputs(batch)?;
            let partitions = column(batch, "_partition")?.as_primitive::<Int32Type>();
            let offsets = column(batch, "_offset")?.as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let place = (partitions.value(row), offsets.value(row));
                if message.replace(place) != Some(place) {
                    trial.added.clear();
                }
                let is_refused = refused.last().is_some_and(|last| (last.partition, last.offset) == place);
                if is_refused || keys.is_null(row) {
                    continue;
                }
                if let Err(reason) = self.try_row(&mut trial, keys.value(row), &inputs, row) {
                    trial.take_back();
                    refused.push(Refused { partition: place.0, offset: place.1, reason });
                }
            }
        }
        let out: HashSet<(i32, i64)> =
            refused.iter().map(|message| (message.partition, message.offset)).collect();
        let kept = rows.iter().map(|batch| {
            let partitions = column(batch, "_partition")?.as_primitive::<Int32Type>();
            let offsets = column(batch, "_offset")?.as_primitive::<Int64Type>();
            let stays = |row| !out.contains(&(partitions.value(row), offsets.value(row)));
            let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(stays(row))).collect();
            Ok(filter_record_batch(batch, &mask)?)
        });
        Ok((kept.collect::<Result<_>>()?, refused))
    }

    /// Whether no sum can get past its column, whatever of these rows counts.
    fn has_room(&self, rows: &[RecordBatch]) -> Result<bool> {
        for (slot, kept) in self.layout.columns.iter().enumerate() {
            let (Aggregate::SumDistinct { of, .. }, Kept::Sum(_, _, greatest), Some(most)) =
                (&kept.aggregate, &self.kept[slot], most(&kept.data_type))
            else {
                continue;
            };
            let mut total = greatest.unsigned_abs();
            for batch in rows {
                let values = cast(column(batch, of)?, &kept.data_type)?;
                let values = values.as_primitive::<Decimal128Type>();
                total = values
                    .iter()
                    .flatten()
                    .fold(total, |total, value| total.saturating_add(value.unsigned_abs()));
            }
            if total > most.unsigned_abs() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a row into the trial, or says why it cannot be.
    fn try_row(&self, trial: &mut Trial, key: &str, inputs: &[Input], row: usize) -> Result<(), String> {
        let number = self.keys.find(key);
        for (slot, (kept, input)) in self.layout.columns.iter().zip(inputs).enumerate() {
            let (Input::Sum(values, by), Some(most)) = (input, most(&kept.data_type)) else { continue };
            let Kept::Sum(sums, members, _) = &self.kept[slot] else { continue };
            let so_far = number.map(|number| (number, sums[number as usize], members));
            if trial.add(slot, key, so_far, (values, by, row)) > Some(most) {
                return Err(format!(
                    "the sum `{}` of key `{key}` would have more digits than its column, {}, has",
                    kept.name, kept.data_type
                ));
            }
        }
        Ok(())
    }
}

impl Trial {
    /// Adds a summand of a key, if it counts; how far from 0 the sum then is. `kept` is what is known of the key: its number,
    /// its sum, and the members of all.
    fn add(
        &mut self,
        slot: usize,
        key: &str,
        kept: Option<(u32, i128, &Members)>,
        (values, by, row): (&Decimal128Array, &[Texts], usize),
    ) -> Option<i128> {
        let mut member = String::new();
        if values.is_null(row) || !write_member(&mut member, by, row) {
            return None;
        }
        if kept.is_some_and(|(number, _, members)| members.has(number, &member)) {
            return None;
        }
        let so_far = kept.map_or(0, |(_, sum, _)| sum);
        let (sum, members) = self.sums.entry((slot, key.into())).or_insert_with(|| (so_far, HashSet::new()));
        if !members.insert(member.as_str().into()) {
            return None;
        }
        self.added.push((slot, key.into(), member.into(), *sum));
        *sum = sum.saturating_add(values.value(row));
        Some(sum.saturating_abs())
    }

    /// Undoes what the message in hand has added.
    fn take_back(&mut self) {
        for (slot, key, member, before) in self.added.drain(..).rev() {
            if let Some((sum, members)) = self.sums.get_mut(&(slot, key)) {
                *sum = before;
                members.remove(&member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::project::StateSpec;

    /// 10³⁸ − 1, what a DECIMAL(38,0) holds at most.
    const MOST: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

    /// Offset, key, member, amount.
    type Row = (i64, &'static str, i64, Option<i128>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let amounts = rows.iter().map(|row| row.3).collect::<Decimal128Array>();
        RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef, true),
            ("m", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))), true),
            ("amount", Arc::new(amounts.with_precision_and_scale(38, 0).unwrap()), true),
            ("_partition", Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 3))), false),
            ("_offset", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))), false),
        ])
        .unwrap()
    }

    fn empty() -> KeyedState {
        let text = "table = 'keys'\nkey = 'k'\nselect = 'x'\n[columns]\nn = { count_distinct = ['m'] }\n\
            total = { sum = 'amount', distinct = ['m'] }";
        let spec = StateSpec { config: toml::from_str(text).unwrap(), select_sql: String::new() };
        KeyedState::new(&spec, &batch(&[]).schema()).unwrap()
    }

    /// Takes in the rows in such parts, each of which holds messages as a whole; the offsets that were refused.
    fn take(state: &mut KeyedState, parts: &[Vec<Row>]) -> Vec<i64> {
        let mut fold = state.begin();
        let mut out = Vec::new();
        for part in parts {
            // Rows may come in several batches.
            let (left, right) = part.split_at(part.len() / 2);
            let (rows, refused) = state.refuse(vec![batch(left), batch(right)]).unwrap();
            assert!(
                refused.iter().all(|refused| refused.partition == 3 && refused.reason.contains("`total`"))
            );
            out.extend(refused.iter().map(|refused| refused.offset));
            for rows in rows {
                state.add(&mut fold, &rows).unwrap();
            }
        }
        state.finish(&fold).unwrap();
        out
    }

    fn totals(state: &KeyedState) -> Vec<(String, i64, Option<i128>)> {
        let keys: Vec<u32> = (0..state.len() as u32).collect();
        let rows = state.rows(&keys).unwrap();
        let text = rows["k"].as_string::<i32>();
        let count = rows["n"].as_primitive::<Int64Type>();
        let total = rows["total"].as_primitive::<Decimal128Type>();
        (0..rows.num_rows())
            .map(|row| {
                let total = total.is_valid(row).then(|| total.value(row));
                (text.value(row).to_owned(), count.value(row), total)
            })
            .collect()
    }

    #[test]
    fn the_message_that_passes_the_digits_is_refused_and_all_others_count() {
        let mut state = empty();
        let rows = vec![
            (0, "a", 1, Some(MOST)),
            (1, "b", 1, Some(5)),
            // Past the digits; of a message of two rows the other does not count either.
            (2, "b", 2, Some(7)),
            (2, "a", 2, Some(1)),
            (2, "c", 2, Some(1)),
            // The member is known: it counts nothing.
            (3, "a", 1, Some(MOST)),
            (4, "a", 3, Some(-1)),
            (5, "a", 4, Some(1)),
            (6, "a", 5, Some(1)),
            (7, "d", 1, Some(-MOST)),
            (8, "d", 2, Some(-MOST)),
            (9, "b", 2, Some(7)),
        ];
        assert_eq!(take(&mut state, &[rows]), [2, 6, 8]);
        let expected = [("a", 3, MOST), ("b", 2, 12), ("d", 1, -MOST)];
        assert_eq!(totals(&state), expected.map(|(key, n, total)| (key.to_owned(), n, Some(total))));
        // And so it goes on in the next batch.
        assert_eq!(
            take(&mut state, &[vec![(10, "a", 9, Some(1)), (11, "a", 10, Some(-5)), (12, "a", 11, Some(5))]]),
            [10]
        );
        assert_eq!(totals(&state)[0], ("a".to_owned(), 5, Some(MOST)));
    }

    #[test]
    fn a_sum_that_is_far_from_its_end_is_not_looked_at_twice() {
        let mut state = empty();
        let rows = [batch(&[(0, "a", 1, Some(MOST / 2)), (1, "b", 1, Some(MOST / 2))])];
        assert!(state.has_room(&rows).unwrap());
        assert!(!state.has_room(&[rows[0].clone(), batch(&[(2, "c", 1, Some(2))])]).unwrap());
        take(&mut state, &[vec![(0, "a", 1, Some(MOST - 1))]]);
        assert!(state.has_room(&[batch(&[(1, "a", 2, Some(1))])]).unwrap());
        assert!(!state.has_room(&[batch(&[(1, "a", 2, Some(-2))])]).unwrap());
    }

    proptest! {
        /// However a batch is cut, the same messages are refused, and they are those that one by one do not fit.
        #[test]
        fn parts_change_nothing(
            rows in proptest::collection::vec((0usize..2, 0i64..4, -3i128..4, any::<bool>()), 1..40),
            cut in 1usize..10,
        ) {
            let mut offset = 0;
            let rows: Vec<Row> = rows
                .into_iter()
                .map(|(key, member, amount, next)| {
                    offset += i64::from(next);
                    (offset, ["a", "b"][key], member, Some(amount * (MOST / 3)))
                })
                .collect();
            let messages: Vec<Vec<Row>> = rows.chunk_by(|a, b| a.0 == b.0).map(<[Row]>::to_vec).collect();
            let mut one_by_one = empty();
            let refused = take(&mut one_by_one, &messages);
            let parts: Vec<Vec<Row>> = messages.chunks(cut).map(<[Vec<Row>]>::concat).collect();
            let mut in_parts = empty();
            prop_assert_eq!(&refused, &take(&mut in_parts, &parts));
            prop_assert_eq!(totals(&one_by_one), totals(&in_parts));
            // Worked out the slow way.
            let (mut sums, mut seen) = ([0i128; 2], HashSet::new());
            let mut expected = Vec::new();
            for message in &messages {
                let before = (sums, seen.clone());
                let fits = message.iter().all(|(_, key, member, amount)| {
                    let at = usize::from(*key == "b");
                    if seen.insert((at, *member)) {
                        sums[at] = sums[at].saturating_add(amount.unwrap_or(0));
                    }
                    sums[at].saturating_abs() <= MOST
                });
                if !fits {
                    expected.push(message[0].0);
                    (sums, seen) = before;
                }
            }
            prop_assert_eq!(refused, expected);
        }
    }
}
