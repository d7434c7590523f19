use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;
use crate::project::parse_schema;

fn decoder() -> Decoder {
    Decoder::new(
        parse_schema("CREATE TABLE t (arrest BOOLEAN NOT NULL, beat INT, x DOUBLE, iucr TEXT)").unwrap(),
    )
}

fn raw(messages: &[&[u8]]) -> Vec<RawRows> {
    let mut rows = RawRows::new(3);
    messages.iter().enumerate().for_each(|(i, m)| rows.push(i as i64 * 2, Some(1000 + i as i64), Some(m)));
    vec![rows]
}

fn decode(messages: &[&[u8]]) -> (Vec<i64>, Vec<(i64, String)>) {
    let mut decoded = decoder().decode(&raw(messages), 7, "t").unwrap();
    let offsets = decoded.rows["_offset"].as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
    let dead = decoded.dead.to_batch("j", 7, "t").unwrap();
    let bad_offsets = dead["offset"].as_primitive::<arrow::datatypes::Int64Type>();
    let errors = dead["error"].as_string::<i32>();
    let bad = (0..dead.num_rows()).map(|i| (bad_offsets.value(i), errors.value(i).to_owned())).collect();
    (offsets, bad)
}

#[test]
fn a_value_that_can_be_taken_for_its_type_is() {
    let message = |text: &'static str| raw(&[text.as_bytes()]);
    let column = |text: &'static str, name: &str| {
        let rows = decoder().decode(&message(text), 7, "t").unwrap().rows;
        assert_eq!(rows.num_rows(), 1, "{text}");
        arrow::util::display::array_value_to_string(&rows[name], 0).unwrap()
    };
    for (text, name, expected) in [
        (r#"{"arrest":"true"}"#, "arrest", "true"),
        (r#"{"arrest":true,"beat":"12"}"#, "beat", "12"),
        (r#"{"arrest":true,"beat":1.5}"#, "beat", "1"),
        (r#"{"arrest":true,"x":"2.5"}"#, "x", "2.5"),
        (r#"{"arrest":true,"iucr":110}"#, "iucr", "110"),
        (r#"{"arrest":true,"iucr":false}"#, "iucr", "false"),
        (r#"{"arrest":true,"iucr":"a","iucr":1.50}"#, "iucr", "1.50"),
        (r#"{"arrest":true,"beat":"x","beat":2147483647.9}"#, "beat", "2147483647"),
        ("\t{ \"arrest\" : \"\\u0074rue\" }\r\n", "arrest", "true"),
    ] {
        assert_eq!(column(text, name), expected, "{text}");
    }
}

#[test]
fn every_kind_of_bad_message_is_a_dead_letter_and_the_rest_goes_on() {
    let messages: [(&[u8], Option<&str>); 27] = [
        (br#"{"arrest":true,"beat":12,"x":1.5,"iucr":"0110"}"#, None),
        (br#"{"arrest":1,"unknown":{"deep":[1,2]}}"#, None),
        (br#"{"arrest":0,"beat":null}"#, None),
        (b"  {\"arrest\":false}\n", None),
        (b"", Some("empty")),
        (b"   ", Some("empty")),
        (b"nonsense", Some("not a JSON object")),
        (b"[1]", Some("not a JSON object")),
        (br#"{"arrest":true"#, Some("cut off")),
        (br#"{"arrest":true}{"arrest":true}"#, Some("more than one")),
        (br#"{"arrest":true} x"#, Some("more than one")),
        (br#"{"arrest":"maybe"}"#, Some("boolean")),
        (br#"{"arrest":2}"#, Some("boolean")),
        (br#"{"arrest":null,"beat":1}"#, Some("`arrest` is missing or null")),
        (br#"{"beat":1}"#, Some("`arrest` is missing or null")),
        (br#"{"arrest":true,"beat":"many"}"#, Some("beat")),
        (br#"{"arrest":true,"beat":99999999999}"#, Some("beat")),
        (br#"{"arrest":true,"x":1e999}"#, Some("finite")),
        (b"{\"arrest\":true,\"iucr\":\"\xff\"}", Some("UTF-8, byte 24")),
        (br#"{"arrest":true "beat":1}"#, Some("`,` or `}` is expected, byte 16")),
        (br#"{"arrest":true,}"#, Some("name in double quotes")),
        (br#"{"arrest":true,"iucr":555-1234}"#, Some("`,` or `}`")),
        (br#"{"arrest":true,"unknown":[1 2]}"#, Some("`,` or `]`")),
        (br#"{"arrest":true,"beat":007}"#, Some("`,` or `}`")),
        (br#"{"arrest":true,"iucr":[1]}"#, Some("`iucr` is a list, not TEXT")),
        (br#"{"arrest":true,"beat":true}"#, Some("`beat` is true or false, not INT")),
        (b"\x0c{\"arrest\":true}", Some("not a JSON object")),
    ];
    let payloads: Vec<&[u8]> = messages.iter().map(|m| m.0).collect();
    let (good, bad) = decode(&payloads);
    for (i, (payload, expected)) in messages.iter().enumerate() {
        let text = String::from_utf8_lossy(payload);
        let error = bad.iter().find(|(offset, _)| *offset == i as i64 * 2).map(|(_, e)| e);
        match expected {
            None => assert!(error.is_none() && good.contains(&(i as i64 * 2)), "{text}: {error:?}"),
            Some(part) => assert!(error.is_some_and(|e| e.contains(part)), "{text}: {error:?}"),
        }
    }
    assert_eq!(good.len() + bad.len(), messages.len());
}

#[test]
fn a_tombstone_is_a_dead_letter() {
    let mut rows = RawRows::new(0);
    rows.push(0, None, None);
    let decoded = decoder().decode(&[rows], 0, "t").unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.dead.len()), (0, 1));
}

#[test]
fn a_message_of_a_megabyte_is_a_row() {
    let big = format!(r#"{{"arrest":true,"iucr":"{}"}}"#, "x".repeat(1 << 20));
    let (good, bad) = decode(&[big.as_bytes(), br#"{"arrest":false}"#]);
    assert_eq!((good.len(), bad.len()), (2, 0));
}

#[test]
fn values_come_through() {
    let decoded =
        decoder().decode(&raw(&[br#"{"arrest":1,"beat":"12","x":3,"iucr":"0110"}"#]), 7, "crimes").unwrap();
    let row = decoded.rows;
    assert!(row["arrest"].as_boolean().value(0));
    assert_eq!(row["beat"].as_primitive::<arrow::datatypes::Int32Type>().value(0), 12);
    assert_eq!(row["x"].as_primitive::<Float64Type>().value(0), 3.0);
    assert_eq!(row["iucr"].as_string::<i32>().value(0), "0110");
    assert_eq!(row["_topic"].as_string::<i32>().value(0), "crimes");
    assert_eq!(row["_batch_id"].as_primitive::<arrow::datatypes::Int64Type>().value(0), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever bytes arrive, each message ends in exactly one of the two, and good ones keep their order.
    #[test]
    fn nothing_is_lost(
        messages in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                Just(br#"{"arrest":true,"beat":3}"#.to_vec()),
                "[{}\\[\\]\",:a-z0-9 ]{0,30}".prop_map(String::into_bytes),
            ],
            0..60,
        )
    ) {
        let payloads: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let (good, bad) = decode(&payloads);
        let mut all: Vec<i64> = good.iter().copied().chain(bad.iter().map(|b| b.0)).collect();
        prop_assert!(good.is_sorted());
        all.sort_unstable();
        prop_assert_eq!(all, (0..messages.len() as i64).map(|i| i * 2).collect::<Vec<_>>());
    }
}

fn decoded(schema: &str, messages: &[&[u8]]) -> (RecordBatch, Vec<String>) {
    let decoder = Decoder::new(parse_schema(&format!("CREATE TABLE t ({schema})")).unwrap());
    let mut decoded = decoder.decode(&raw(messages), 7, "t").unwrap();
    let dead = decoded.dead.to_batch("j", 7, "t").unwrap();
    let errors = dead["error"].as_string::<i32>().iter().flatten().map(String::from).collect();
    (decoded.rows, errors)
}

#[test]
fn a_number_is_a_time_where_the_schema_says_its_unit() {
    let messages: [&[u8]; 4] =
        [br#"{"at":1767225600}"#, br#"{"at":"2026-01-01 00:00:00"}"#, br#"{"at":"1767225600.0"}"#, b"{}"];
    let (rows, errors) = decoded("at TIMESTAMP(s)", &messages);
    let times = rows["at"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(
        times.iter().collect::<Vec<_>>(),
        [[Some(1_767_225_600_000_000); 3].as_slice(), &[None]].concat()
    );
    assert!(errors.is_empty() && rows.schema().field(0).metadata().is_empty(), "{errors:?}");
    let (rows, errors) = decoded("at TIMESTAMP", &messages);
    assert_eq!((rows.num_rows(), errors.len()), (2, 2));
    assert!(
        errors[0].contains("`at`: `1767225600` is a number") && errors[0].contains("TIMESTAMP(s)"),
        "{errors:?}"
    );
    let messages: [&[u8]; 3] =
        [br#"{"d":"2026-01-01"}"#, br#"{"d":20454}"#, br#"{"d":"2026-01-01 12:00:00"}"#];
    let (rows, errors) = decoded("d DATE", &messages);
    assert_eq!(
        (rows["d"].as_primitive::<Date32Type>().value(0), rows.num_rows(), errors.len()),
        (20_454, 1, 2)
    );
}

#[test]
fn a_whole_number_of_many_digits_is_that_number_or_a_dead_letter() {
    let messages: [&[u8]; 5] = [
        br#"{"id":9007199254740993}"#,
        br#"{"id":"-9007199254740993"}"#,
        br#"{"id":9007199254740993.0}"#,
        br#"{"id":9.007199254740993e15}"#,
        br#"{"id":18446744073709551615}"#,
    ];
    let (rows, errors) = decoded("id BIGINT", &messages);
    assert_eq!(
        rows["id"].as_primitive::<Int64Type>().values(),
        &[9_007_199_254_740_993, -9_007_199_254_740_993, 9_007_199_254_740_993, 9_007_199_254_740_993]
    );
    assert!(errors.len() == 1 && errors[0].contains("too great for BIGINT"), "{errors:?}");
}

#[test]
fn a_time_that_no_calendar_shows_is_null_with_the_number_beside() {
    // The last moment of the year 9999 and the first after it, by `date -u -d 9999-12-31T23:59:59.999 +%s%3N`.
    let times = [
        Some(0),
        None,
        Some(253_402_300_799_999),
        Some(253_402_300_800_000),
        Some(1_764_450_000_000_000_000),
    ];
    let mut raw = RawRows::new(0);
    times.iter().zip(0..).for_each(|(time, offset)| raw.push(offset, *time, Some(b"{\"id\":1}")));
    raw.push(5, Some(i64::MIN), Some(b"{}"));
    let decoder = Decoder::new(parse_schema("CREATE TABLE t (id INT NOT NULL)").unwrap());
    let mut decoded = decoder.decode(std::slice::from_ref(&raw), 7, "t").unwrap();
    use arrow::datatypes::TimestampMillisecondType;
    let shown: Vec<_> =
        decoded.rows["_timestamp"].as_primitive::<TimestampMillisecondType>().iter().collect();
    assert_eq!(shown, [Some(0), None, Some(253_402_300_799_999), None, None]);
    let numbers: Vec<_> = decoded.rows["_timestamp_ms"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [None, None, None, Some(253_402_300_800_000), Some(1_764_450_000_000_000_000)]);
    let dead = decoded.dead.to_batch("j", 7, "t").unwrap();
    assert!(dead["timestamp"].is_null(0));
    assert_eq!(dead["timestamp_ms"].as_primitive::<Int64Type>().value(0), i64::MIN);
    // It is written only where it says something, or where the table has it by now.
    assert!(as_written(&decoded.rows, false).unwrap().column_by_name("_timestamp_ms").is_some());
    let usual = decoded.rows.slice(0, 3);
    assert!(as_written(&usual, false).unwrap().column_by_name("_timestamp_ms").is_none());
    assert_eq!(as_written(&usual, true).unwrap(), usual);
}

#[test]
fn what_is_kept_of_an_error_is_bounded_and_the_message_is_whole() {
    let message = format!(r#"{{"id":"{}"}}"#, "é".repeat(2_500_000));
    let mut dead = DeadLetters::default();
    dead.push(&raw(&[message.as_bytes()]), 3, 0, "transform", format!("no number: {message}!"));
    let dead = dead.to_batch("j", 7, "t").unwrap();
    let error = dead["error"].as_string::<i32>().value(0);
    assert!(error.starts_with("no number: {\"id\":\"éé") && error.ends_with("éé\"}!"), "{error}");
    assert!(error.len() <= 1_000 && error.contains("(4999082 bytes left out)"), "{error}");
    assert_eq!(dead["payload"].as_binary::<i32>().value(0), message.as_bytes());
    let (_, errors) = decoded("id INT, t TEXT", &[message.as_bytes(), br#"{"t":[1]}"#]);
    assert!(errors.len() == 2 && errors[0].len() < 200, "{errors:?}");
}

#[test]
fn odd_objects_are_read_or_set_aside() {
    let deep = format!(r#"{{"unknown":{}{},"id":1}}"#, "[".repeat(400), "]".repeat(400));
    let deep_id = format!(r#"{{"id":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let messages: [&[u8]; 4] =
        [deep.as_bytes(), br#"{"id":1,"id":2}"#, deep_id.as_bytes(), br#"{"id":3,"t":"a\u0000b"}"#];
    let (rows, errors) = decoded("id BIGINT, t TEXT", &messages);
    assert_eq!(rows["id"].as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(rows["t"].as_string::<i32>().value(2), "a\0b");
    assert!(errors.len() == 1 && errors[0].contains("more than 500 times"), "{errors:?}");
}

/// Each kind of bad message, among so many that they are not found one by one.
#[test]
fn bad_messages_are_found_among_many_good_ones() {
    let bad: [&[u8]; 6] = [
        b"{\"id\":",
        br#"{"id":"x"}"#,
        br#"{"id":[1]}"#,
        br#"{"x":1e999,"id":1}"#,
        br#"{"at":5,"id":1}"#,
        b"{}",
    ];
    let messages: Vec<Vec<u8>> = (0..5_000)
        .map(|n: usize| match n % 97 {
            50 => bad[n / 97 % 6].to_vec(),
            _ => format!(r#"{{"id":{n},"x":0.5,"at":"2026-01-01"}}"#).into_bytes(),
        })
        .collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let (rows, errors) = decoded("id BIGINT NOT NULL, x DOUBLE, at TIMESTAMP", &messages);
    let expected: Vec<i64> = (0..5_000).filter(|n| n % 97 != 50).collect();
    assert_eq!(rows["id"].as_primitive::<Int64Type>().values(), &expected[..]);
    assert_eq!(errors.len() + expected.len(), 5_000);
}
