use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Decimal128Array, Int32Array, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::*;
use crate::lake::Lake;
use crate::records::{Commit, RecordList};
use crate::table::publish::{roll_forward, stage};
use crate::table::read::read_parts;
use crate::table::write::parquet_of_parts;

/// Key, order, payment, time, amount in hundredths.
type Row = (Option<u8>, Option<u8>, Option<i32>, Option<i64>, Option<i32>);

fn spec() -> StateSpec {
    let text = "table = 'customers'\nkey = 'customer'\nselect = 'x'\n[columns]\nlast_at = { max = 'at' }\n\
        orders = { count_distinct = ['order_id'] }\npairs = { count_distinct = ['order_id', 'payment'] }\n\
        spent = { sum = 'amount', distinct = ['order_id', 'payment'] }";
    StateSpec { config: toml::from_str(text).unwrap(), select_sql: String::new() }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let text = |pick: fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(pick).collect::<StringArray>())
    };
    let amounts = rows.iter().map(|r| r.4.map(i128::from)).collect::<Decimal128Array>();
    RecordBatch::try_from_iter_with_nullable([
        ("customer", text(|r| r.0.map(|k| format!("c{k}"))), true),
        ("order_id", text(|r| r.1.map(|o| format!("o{o}"))), true),
        ("payment", Arc::new(rows.iter().map(|r| r.2).collect::<Int32Array>()) as ArrayRef, true),
        ("at", Arc::new(rows.iter().map(|r| r.3).collect::<TimestampMicrosecondArray>()), true),
        ("amount", Arc::new(amounts.with_precision_and_scale(12, 2).unwrap()), true),
    ])
    .unwrap()
}

impl KeyedState {
    /// All that is known, whatever order it came in.
    fn whole(&self) -> (Vec<RecordBatch>, RecordBatch, u64) {
        let keys: Vec<u32> = (0..self.len() as u32).collect();
        let lists = self.all_members();
        let parts = self.parts(self.all_keys(), &lists, PART_BYTES).collect::<Result<_>>();
        (parts.unwrap(), self.rows(&keys).unwrap(), self.batches)
    }

    /// Takes in a batch as a whole; in two parts it is the same.
    fn fold(&mut self, rows: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let mut other = self.clone();
        let mut fold = other.begin();
        let half = rows.num_rows() / 2;
        other.add(&mut fold, &rows.slice(0, half))?;
        other.add(&mut fold, &rows.slice(half, rows.num_rows() - half))?;
        let in_parts = other.finish(&fold)?;
        let mut fold = self.begin();
        self.add(&mut fold, rows)?;
        let delta = self.finish(&fold)?;
        assert_eq!((&delta, self.whole(), &self.touched), (&in_parts, other.whole(), &other.touched));
        Ok(delta)
    }
}

fn empty() -> KeyedState {
    KeyedState::new(&spec(), &batch(&[]).schema()).unwrap()
}

/// (last, orders, pairs, spent) by key, worked out the slow way.
fn expected(rows: &[Row]) -> BTreeMap<String, (Option<i64>, i64, i64, Option<i128>)> {
    let mut keys: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(key) = row.0 {
            keys.entry(format!("c{key}")).or_default().push(row);
        }
    }
    keys.into_iter()
        .map(|(key, rows)| {
            let orders: BTreeSet<u8> = rows.iter().filter_map(|r| r.1).collect();
            let pairs: BTreeSet<(u8, i32)> = rows.iter().filter_map(|r| Some((r.1?, r.2?))).collect();
            let mut first: BTreeMap<(u8, i32), i32> = BTreeMap::new();
            for row in &rows {
                if let (Some(order), Some(payment), Some(amount)) = (row.1, row.2, row.4) {
                    first.entry((order, payment)).or_insert(amount);
                }
            }
            let spent = (!first.is_empty()).then(|| first.values().map(|&v| i128::from(v)).sum());
            (key, (rows.iter().filter_map(|r| r.3).max(), orders.len() as i64, pairs.len() as i64, spent))
        })
        .collect()
}

fn found(state: &KeyedState) -> BTreeMap<String, (Option<i64>, i64, i64, Option<i128>)> {
    let keys: Vec<u32> = (0..state.len() as u32).collect();
    let rows = state.rows(&keys).unwrap();
    let last = cast(&rows["last_at"], &DataType::Int64).unwrap();
    let last = last.as_primitive::<Int64Type>();
    let spent = rows["spent"].as_primitive::<Decimal128Type>();
    (0..rows.num_rows())
        .map(|row| {
            let count = |name: &str| rows[name].as_primitive::<Int64Type>().value(row);
            let value = (
                last.is_valid(row).then(|| last.value(row)),
                count("orders"),
                count("pairs"),
                spent.is_valid(row).then(|| spent.value(row)),
            );
            (rows["customer"].as_string::<i32>().value(row).to_owned(), value)
        })
        .collect()
}

#[test]
fn a_repeated_row_and_a_null_key_change_nothing_and_the_first_amount_counts() {
    let mut state = empty();
    let row: Row = (Some(1), Some(7), Some(1), Some(50), Some(1000));
    state.fold(&batch(&[row, row, (None, Some(9), Some(1), Some(99), Some(5))])).unwrap();
    assert_eq!(found(&state), expected(&[row]));
    let later: Row = (Some(1), Some(7), Some(1), Some(40), Some(2000));
    state.fold(&batch(&[row, later])).unwrap();
    assert_eq!(found(&state)["c1"], (Some(50), 1, 1, Some(1000)));
    assert_eq!((state.len(), state.batches(), state.touched()), (1, 2, &[0u32][..]));
}

#[test]
fn what_lacks_its_amount_counts_when_it_comes_whole() {
    let mut state = empty();
    state
        .fold(&batch(&[(Some(1), Some(7), Some(1), None, None), (Some(1), Some(8), None, None, Some(3))]))
        .unwrap();
    assert_eq!(found(&state)["c1"], (None, 2, 1, None));
    state.fold(&batch(&[(Some(1), Some(7), Some(1), None, Some(1000))])).unwrap();
    assert_eq!(found(&state)["c1"], (None, 2, 1, Some(1000)));
}

#[test]
fn parts_are_told_apart_whatever_is_in_them() {
    let texts = |values: &[&str]| Texts::Small(values.iter().map(|v| Some(*v)).collect());
    let by = [texts(&["a\u{1f}", "a", "a\u{1b}", "a\u{1b}0"]), texts(&["b", "\u{1f}b", "\u{1f}b", "b"])];
    let mut member = String::new();
    let seen: BTreeSet<String> = (0..4)
        .map(|row| {
            assert!(write_member(&mut member, &by, row));
            member.clone()
        })
        .collect();
    assert_eq!(seen.len(), 4);
}

#[test]
fn the_greatest_of_all_keys_comes_with_every_row() {
    let mut state = empty();
    state
        .fold(&batch(&[(Some(1), None, None, Some(5), None), (Some(2), None, None, Some(9), None)]))
        .unwrap();
    let rows = state.rows(&[0]).unwrap();
    assert_eq!(
        rows["_max_last_at"].as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values(),
        &[9]
    );
}

#[test]
fn columns_that_cannot_be_kept_are_refused() {
    let table = batch(&[]);
    for text in [
        "a = { max = 'nope' }",
        "a = { sum = 'amount', distinct = ['nope'] }",
        "a = { sum = 'customer', distinct = ['order_id'] }",
        "a = { max = 'customer' }",
    ] {
        let mut spec = spec();
        spec.config.columns = toml::from_str(text).unwrap();
        assert_eq!(
            KeyedState::new(&spec, &table.schema()).unwrap_err().kind(),
            crate::ErrorKind::User,
            "{text}"
        );
    }
}

fn commit(
    batch_id: u64,
    added: Vec<crate::records::FileEntry>,
    removed: Vec<crate::records::FileEntry>,
) -> Commit {
    Commit { added, removed, ..Commit::of_nothing(batch_id) }
}

#[test]
fn every_batch_can_be_restored_while_its_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let commits = RecordList::open(folder.path().join("commits")).unwrap();
    let mut state = empty();
    let mut states = vec![state.clone()];
    for number in 0..3 * SNAPSHOT_EVERY + 7 {
        let n = number as u8;
        let rows: Vec<Row> = (0..5)
            .map(|i| {
                (
                    Some(n.wrapping_mul(i) % 40),
                    Some(n / 3),
                    Some(i32::from(i % 2)),
                    Some(number as i64),
                    Some(100),
                )
            })
            .collect();
        let delta = state.fold(&batch(&rows)).unwrap();
        let (added, removed) = state_files(&lake, "j", "customers", &state, &delta, &commits).unwrap();
        let record = commit(number, added, removed);
        commits.create(number, &record).unwrap();
        roll_forward(&lake, &record.added).unwrap();
        for file in &record.removed {
            std::fs::remove_file(lake.resolve(&file.path)).unwrap();
        }
        states.push(state.clone());
    }
    // After snapshot 149: snapshots 99 and 149 and the deltas from 100 on.
    let kept: BTreeSet<String> = std::fs::read_dir(lake.resolve("j/_checkpoint/state"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept.len(), 2 + 57, "{kept:?}");
    for batches in (SNAPSHOT_EVERY * 2..=3 * SNAPSHOT_EVERY + 7).rev() {
        let mut restored = empty();
        restored.restore(&lake, &commits, batches).unwrap();
        let last = &states[batches as usize];
        assert_eq!(restored.whole(), last.whole(), "after {batches} batches");
        if !batches.is_multiple_of(SNAPSHOT_EVERY) {
            assert_eq!(restored.touched, last.touched, "after {batches} batches");
        }
    }
}

/// Bytes of the texts of each column of a part.
fn bytes_of_texts(part: &RecordBatch) -> Vec<usize> {
    let texts = |column: &ArrayRef| match column.as_list_opt::<i32>() {
        Some(lists) => lists.values().as_string_opt::<i32>().map(|texts| texts.value_data().len()),
        None => column.as_string_opt::<i32>().map(|texts| texts.value_data().len()),
    };
    part.columns().iter().filter_map(texts).collect()
}

#[test]
fn a_file_is_cut_by_bytes_also_within_a_key_and_is_read_as_it_was() {
    let rows: Vec<Row> = (0..300u16)
        .map(|n| {
            let key = if n % 3 == 0 { 0 } else { (n % 40) as u8 };
            (Some(key), Some((n % 90) as u8), Some(i32::from(n)), Some(n.into()), Some(n.into()))
        })
        .collect();
    let mut state = empty();
    state.fold(&batch(&rows)).unwrap();
    let lists = state.all_members();
    for (most, at_least) in [(1, 300), (7, 100), (200, 10), (1 << 20, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let parts: Vec<RecordBatch> =
            state.parts(state.all_keys(), &lists, most).collect::<Result<_>>().unwrap();
        assert!(parts.len() >= at_least && (most < 1 << 20 || parts.len() == 1), "{most}: {}", parts.len());
        // A text that is longer stands by itself: none is of 20 bytes.
        assert!(parts.iter().flat_map(bytes_of_texts).all(|bytes| bytes <= most.max(20)), "{most}");
        let schema = state.layout.file_schema();
        let bytes = parquet_of_parts(schema, parts::PART_KEYS, parts.iter().cloned().map(Ok)).unwrap();
        let path = "j/_checkpoint/state/delta-00000000.parquet";
        let count = parts.iter().map(|part| part.num_rows() as u64).sum();
        let file = stage(&lake, "state:customers", path, &bytes, count).unwrap();
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        let mut read = Vec::new();
        read_parts(&lake, &file, parts::PART_KEYS, |part| {
            read.push(part);
            Ok(())
        })
        .unwrap();
        assert_eq!(read, parts, "{most}: as they were written");
        let mut restored = empty();
        restored.advance(&lake, &commit(0, vec![file], Vec::new())).unwrap();
        assert_eq!(restored.whole(), state.whole(), "{most}");
        assert_eq!(restored.touched, state.all_keys(), "{most}: each key once");
    }
}

#[test]
fn a_key_of_which_more_was_seen_than_a_part_takes_is_in_several() {
    let text = "table = 't'\nkey = 'k'\nselect = 'x'\n[columns]\nn = { count_distinct = ['s'] }";
    let spec = StateSpec { config: toml::from_str(text).unwrap(), select_sql: String::new() };
    let members: Vec<String> = (0..70).map(|n| format!("{n:0>9}{}", "0".repeat((1 << 20) - 9))).collect();
    let (key, seen): (ArrayRef, ArrayRef) = (
        Arc::new(StringArray::from(vec!["one"; members.len()])),
        Arc::new(StringArray::from_iter_values(&members)),
    );
    let rows = RecordBatch::try_from_iter_with_nullable([("k", key, true), ("s", seen, true)]).unwrap();
    let mut state = KeyedState::new(&spec, &rows.schema()).unwrap();
    let mut fold = state.begin();
    state.add(&mut fold, &rows).unwrap();
    let lists = state.all_members();
    let snapshot: Vec<_> = state.parts(state.all_keys(), &lists, PART_BYTES).map(Result::unwrap).collect();
    for parts in [state.finish(&fold).unwrap(), snapshot] {
        let bytes: Vec<Vec<usize>> = parts.iter().map(bytes_of_texts).collect();
        assert_eq!(bytes, [[3, 64 << 20], [3, 6 << 20]]);
        assert!(parts.iter().all(|part| part["n"].as_primitive::<Int64Type>().values() == &[70]));
    }
}

proptest! {
    /// However the rows are cut into batches, the state is what one pass over all of them gives, and so are its bytes.
    #[test]
    fn the_cut_into_batches_never_shows(
        rows in proptest::collection::vec(
            (
                proptest::option::weighted(0.9, 0u8..6), proptest::option::weighted(0.9, 0u8..4),
                proptest::option::weighted(0.9, 0i32..3), proptest::option::weighted(0.9, 0i64..100),
                proptest::option::weighted(0.9, -500i32..500),
            ),
            0..60,
        ),
        cuts in proptest::collection::vec(1usize..12, 1..20),
    ) {
        let mut state = empty();
        let mut at = 0;
        for cut in cuts.iter().chain(std::iter::repeat(&7)) {
            let end = rows.len().min(at + cut);
            state.fold(&batch(&rows[at..end])).unwrap();
            at = end;
            if at == rows.len() {
                break;
            }
        }
        prop_assert_eq!(found(&state), expected(&rows));
        let mut whole = empty();
        whole.fold(&batch(&rows)).unwrap();
        prop_assert_eq!(whole.whole().0, state.whole().0);
        prop_assert_eq!(whole.whole().1, state.whole().1);
    }
}
