//! Bytes of every kind as messages: each is a row or a dead letter, whatever stands beside it, and nothing panics.
//!
//! `TIDEMILL_FUZZ=1000000 cargo test --workspace --lib -- decode::fuzz` tries as many messages as it says.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::project::parse_schema;

/// Messages tried together.
const TOGETHER: usize = 50;

const SCHEMA: &str =
    "CREATE TABLE m (id BIGINT NOT NULL, n INT, x DOUBLE, flag BOOLEAN, t TEXT, \"größe\" TEXT, at TIMESTAMP,
    seconds TIMESTAMP(s), nanos TIMESTAMP(ns), day DATE)";

const NAMES: &[&str] =
    &["id", "n", "x", "flag", "t", "größe", "at", "seconds", "nanos", "day", "other", "\\u0069d", ""];

/// Values that are on some edge.
const EDGES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1.5",
    "1e400",
    "-1E-400",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "9007199254740993.0",
    "0.1e1",
    "1767225600",
    "\"\"",
    "\"1\"",
    "\" 1\"",
    "\"1.0\"",
    "\"+1\"",
    "\"NaN\"",
    "\"inf\"",
    "\"true\"",
    "\"2026-01-01\"",
    "\"2026-01-01T00:00:00Z\"",
    "\"2026-12-31 23:59:60\"",
    "\"+262143-01-01\"",
    "\"-0001-01-01 00:00:00\"",
    "\"9999-12-31T23:59:59.999999999-23:59\"",
    "\"2026-01-0é\"",
    "\"2026-01-01 0é:00:00\"",
    "\"2026-01-01T00:00:00.é\"",
    "\"\\u0000\"",
    "\"\\ud83c\\udf0a\"",
    "\"\\ud83c\"",
    "[]",
    "{}",
    "[[[1,{\"a\":[]}]]]",
    "{\"id\":1}",
    "NaN",
    "01",
    "+1",
    "1.",
    ".5",
    "'x'",
    "555-1234",
    "tru",
    "\"\n\"",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::sample::select(EDGES).prop_map(str::to_owned),
        2 => any::<i64>().prop_map(|value| value.to_string()),
        1 => any::<f64>().prop_map(|value| format!("{value:?}")),
        2 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        // Times, nearly.
        2 => "[+-]?[0-9]{1,6}[-/][0-9]{1,3}-[0-9]{2}([ T][0-9:.]{0,20}(Z|[+-][0-9:]{0,6})?)?".prop_map(|text| format!("\"{text}\"")),
        1 => "-?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{0,12})?",
    ]
}

/// Lists and objects in one another, closed or not, some deeper than there may be.
fn nested() -> impl Strategy<Value = String> {
    let levels = prop_oneof![8 => 0..6_usize, 3 => 490..510_usize, 1 => 510..5_000_usize];
    let each = proptest::sample::select(&[("[", "]"), ("{\"a\":", "}"), ("[1,{\"b\":", "}]"), ("[", "")][..]);
    (levels, each, value()).prop_map(|(levels, (open, close), value)| {
        format!("{}{value}{}", open.repeat(levels), close.repeat(levels))
    })
}

fn object() -> impl Strategy<Value = String> {
    let field = (proptest::sample::select(NAMES), prop_oneof![5 => value(), 1 => nested()]);
    (any::<bool>(), proptest::collection::vec(field, 0..8)).prop_map(|(has_id, fields)| {
        let id = has_id.then(|| "\"id\":1".to_owned());
        let fields = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", id.into_iter().chain(fields).collect::<Vec<_>>().join(","))
    })
}

/// A message, whole or with some of its bytes changed, left out, put in or repeated; none is a tombstone.
fn message() -> impl Strategy<Value = Option<Vec<u8>>> {
    let edit = (
        any::<prop::sample::Index>(),
        prop_oneof![3 => proptest::sample::select(&b"{}[]\",:\\ 0e-\xff\x00"[..]), 1 => any::<u8>()],
        0..5,
    );
    let edited = (object(), proptest::collection::vec(edit, 0..4)).prop_map(|(object, edits)| {
        let mut bytes = object.into_bytes();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match how {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                3 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    });
    prop_oneof![
        20 => object().prop_map(|object| Some(object.into_bytes())),
        20 => edited.prop_map(Some),
        2 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Some),
        2 => object().prop_map(|object| Some(serde_json::to_vec(&object).unwrap())),
        1 => Just(None),
    ]
}

/// Offsets of rows, and offsets and errors of dead letters; each is to be in one of the two.
fn decode(decoder: &Decoder, messages: &[Option<Vec<u8>>]) -> (Vec<i64>, Vec<(i64, String)>) {
    let mut raw = RawRows::new(0);
    for (offset, message) in (0..).zip(messages) {
        raw.push(offset, Some(offset), message.as_deref());
    }
    let mut decoded = decoder.decode(&[raw], 1, "t").unwrap();
    let rows = decoded.rows["_offset"].as_primitive::<Int64Type>().values().to_vec();
    let dead = decoded.dead.to_batch("j", 1, "t").unwrap();
    let payloads = dead["payload"].as_binary::<i32>();
    let errors = dead["error"].as_string::<i32>();
    let mut letters = Vec::new();
    for (at, offset) in dead["offset"].as_primitive::<Int64Type>().values().iter().enumerate() {
        assert_eq!(payloads.is_valid(at).then(|| payloads.value(at)), messages[*offset as usize].as_deref());
        assert!(errors.value(at).len() < ERROR_BYTES + 100 && !errors.value(at).is_empty());
        letters.push((*offset, errors.value(at).to_owned()));
    }
    (rows, letters)
}

#[test]
fn every_message_is_a_row_or_a_dead_letter() {
    let messages =
        std::env::var("TIDEMILL_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000_usize);
    let cases = u32::try_from(messages.div_ceil(TOGETHER)).unwrap();
    let schema = parse_schema(SCHEMA).unwrap();
    let (plain, twice) = (Decoder::new(schema.clone()), Decoder::new(schema).double_encoded(true));
    let (mut rows, mut letters) = (0, BTreeSet::new());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (proptest::collection::vec(message(), TOGETHER), any::<bool>());
    let seen = std::cell::RefCell::new((&mut rows, &mut letters));
    let result = runner.run(&strategy, |(messages, is_twice)| {
        let decoder = if is_twice { &twice } else { &plain };
        let (good, bad) = decode(decoder, &messages);
        let mut all: Vec<i64> = good.iter().copied().chain(bad.iter().map(|(offset, _)| *offset)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..messages.len() as i64).collect::<Vec<_>>());
        prop_assert!(good.is_sorted());
        // Beside others a message is what it is alone.
        let alone = bad.first().map_or(0, |(offset, _)| *offset as usize);
        let (_, only) = decode(decoder, &messages[alone..=alone]);
        prop_assert_eq!(only.first().map(|(_, error)| error), bad.first().map(|(_, error)| error));
        let mut seen = seen.borrow_mut();
        *seen.0 += good.len();
        seen.1.extend(bad.into_iter().map(|(_, error)| error.chars().take(20).collect::<String>()));
        Ok(())
    });
    result.unwrap();
    // Both ends are met, in more than one way.
    assert!(rows > messages / 50 && letters.len() > 20, "{rows} rows, {letters:?}");
}
