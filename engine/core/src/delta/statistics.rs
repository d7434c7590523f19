//! What a file's rows are between, by which engines leave out files that cannot have what is asked for.
//!
//! They are taken from the file's own footer, in which two things are not as Delta wants them:
//!
//! | a column | here |
//! | --- | --- |
//! | of floats with a NaN | neither least nor greatest: the footer leaves NaN out, which other engines take for the greatest |
//! | of floats from or to zero | the least zero is −0, the greatest +0, as in the footer |
//! | of infinite floats, or times outside of the years 1 to 9999 | neither, JSON has no word for them |
//! | of text | 32 characters of the least; of the greatest too, and the last of them is one greater |
//! | of timestamps | whole milliseconds, the greatest one more: readers do not agree on the digits behind them |
//! | of booleans, bytes | neither; nulls are counted |
//! | nested, or past the 32nd | nothing |

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::statistics::Statistics;

use crate::error::Result;

/// Columns of floats that hold a NaN, by the path of their file.
pub(crate) type NanColumns = BTreeMap<String, BTreeSet<String>>;

/// Columns that are described at most.
const MOST_COLUMNS: usize = 32;
/// Characters of a text that are kept.
const MOST_CHARACTERS: usize = 32;

/// The columns of floats that hold a NaN.
pub(crate) fn nan_columns(rows: &RecordBatch) -> BTreeSet<String> {
    let schema = rows.schema();
    let with_nan =
        schema.fields().iter().zip(rows.columns()).filter(|(_, column)| holds_nan(column.as_ref()));
    with_nan.map(|(field, _)| field.name().clone()).collect()
}

fn holds_nan(column: &dyn Array) -> bool {
    // What stands in the place of a null may be anything: looked at only where there is a NaN at all.
    match column.data_type() {
        DataType::Float32 => {
            let cells = column.as_primitive::<Float32Type>();
            cells.values().iter().any(|cell| cell.is_nan()) && cells.iter().flatten().any(f32::is_nan)
        }
        DataType::Float64 => {
            let cells = column.as_primitive::<Float64Type>();
            cells.values().iter().any(|cell| cell.is_nan()) && cells.iter().flatten().any(f64::is_nan)
        }
        _ => false,
    }
}

/// As [`nan_columns`], of a file that is there already.
///
/// # Errors
/// Storage: it cannot be read.
pub(super) fn nan_columns_of(file: &File, metadata: &ArrowReaderMetadata) -> Result<BTreeSet<String>> {
    let is_float = |kind: &DataType| matches!(kind, DataType::Float32 | DataType::Float64);
    let floats: Vec<usize> =
        described(metadata.schema()).filter(|(_, kind)| is_float(kind)).map(|(at, _)| at).collect();
    if floats.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), floats);
    let opened =
        file.try_clone().map_err(|e| crate::error::Error::internal(format!("a file's handle: {e}")))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata.clone());
    let mut found = BTreeSet::new();
    for part in builder.with_projection(mask).build()? {
        found.extend(nan_columns(&part?));
    }
    Ok(found)
}

/// The columns that are described, by where they stand.
fn described(schema: &Schema) -> impl Iterator<Item = (usize, &DataType)> {
    schema.fields().iter().map(|field| field.data_type()).enumerate().take(MOST_COLUMNS)
}

/// The statistics of a file, as the text that Delta has of them. `with_nan` are the columns that hold a NaN.
pub(super) fn of_file(metadata: &ArrowReaderMetadata, with_nan: &BTreeSet<String>) -> String {
    let (mut least, mut greatest, mut nulls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (schema, parquet) = (metadata.schema(), metadata.parquet_schema());
    for (at, kind) in described(schema).filter(|(_, kind)| !kind.is_nested()) {
        let name = schema.field(at).name();
        let Some(leaf) = (0..parquet.num_columns()).find(|leaf| parquet.get_column_root_idx(*leaf) == at)
        else {
            continue;
        };
        let groups = metadata.metadata().row_groups().iter().map(|group| group.column(leaf).statistics());
        let Some(groups) = groups.collect::<Option<Vec<_>>>() else { continue };
        let counts = groups.iter().map(|group| group.null_count_opt());
        if let Some(count) = counts.sum::<Option<u64>>() {
            nulls.insert(name, count.to_string());
        }
        let range = if with_nan.contains(name) { None } else { range(kind, &groups) };
        if let Some((from, to)) = range {
            least.insert(name, from);
            greatest.insert(name, to);
        }
    }
    let rows = metadata.metadata().file_metadata().num_rows();
    let (least, greatest, nulls) = (object(&least), object(&greatest), object(&nulls));
    format!(r#"{{"maxValues":{greatest},"minValues":{least},"nullCount":{nulls},"numRecords":{rows}}}"#)
}

/// JSON of values that are JSON: decimals have more digits than a number of serde_json keeps.
fn object(values: &BTreeMap<&String, String>) -> String {
    let pairs: Vec<String> = values.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The least and the greatest value of all row groups, as JSON; of groups without a value none is asked.
fn range(kind: &DataType, groups: &[&Statistics]) -> Option<(String, String)> {
    let rows_in = |group: &&&Statistics| group.min_bytes_opt().is_some() || group.max_bytes_opt().is_some();
    let groups: Vec<&Statistics> = groups.iter().filter(rows_in).copied().collect();
    let integers = || {
        let both = groups.iter().map(|group| match group {
            Statistics::Int32(s) => Some((i64::from(*s.min_opt()?), i64::from(*s.max_opt()?))),
            Statistics::Int64(s) => Some((*s.min_opt()?, *s.max_opt()?)),
            _ => None,
        });
        merged(both, i64::min, i64::max)
    };
    match kind {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            integers().map(|(from, to)| (from.to_string(), to.to_string()))
        }
        DataType::Date32 => integers().and_then(|(from, to)| Some((date(from)?, date(to)?))),
        DataType::Timestamp(unit, zone) => {
            let (from, to) = integers()?;
            let per_ms = match unit {
                TimeUnit::Millisecond => 1,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Second | TimeUnit::Nanosecond => return None,
            };
            let suffix = if zone.is_some() { "Z" } else { "" };
            let ends = (from.div_euclid(per_ms), to.div_euclid(per_ms).checked_add(1)?);
            Some((moment(ends.0, suffix)?, moment(ends.1, suffix)?))
        }
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let both = groups.iter().map(|group| match group {
                Statistics::Int32(s) => Some((i128::from(*s.min_opt()?), i128::from(*s.max_opt()?))),
                Statistics::Int64(s) => Some((i128::from(*s.min_opt()?), i128::from(*s.max_opt()?))),
                Statistics::FixedLenByteArray(s) if s.min_is_exact() && s.max_is_exact() => {
                    Some((big_endian(s.min_opt()?.data())?, big_endian(s.max_opt()?.data())?))
                }
                _ => None,
            });
            let (from, to) = merged(both, i128::min, i128::max)?;
            Some((decimal(from, *scale), decimal(to, *scale)))
        }
        DataType::Float32 | DataType::Float64 => {
            // A float is written as the double that it is: read as either, it is the same number.
            let both = groups.iter().map(|group| match group {
                Statistics::Float(s) => Some((f64::from(*s.min_opt()?), f64::from(*s.max_opt()?))),
                Statistics::Double(s) => Some((*s.min_opt()?, *s.max_opt()?)),
                _ => None,
            });
            let (from, to) = merged(both, f64::min, f64::max)?;
            let from = if from == 0.0 { -0.0 } else { from };
            let to = if to == 0.0 { 0.0 } else { to };
            (from.is_finite() && to.is_finite())
                .then(|| (serde_json::Value::from(from).to_string(), serde_json::Value::from(to).to_string()))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text_range(&groups),
        DataType::Dictionary(_, value) if value.is_string() => text_range(&groups),
        _ => None,
    }
}

/// The ends of all, where each group has both.
fn merged<T: Copy>(
    mut ends: impl Iterator<Item = Option<(T, T)>>,
    least: impl Fn(T, T) -> T,
    greatest: impl Fn(T, T) -> T,
) -> Option<(T, T)> {
    let first = ends.next()??;
    ends.try_fold(first, |all, group| {
        let group = group?;
        Some((least(all.0, group.0), greatest(all.1, group.1)))
    })
}

/// Of texts; the footer may have cut long ones, on the safe side.
fn text_range(groups: &[&Statistics]) -> Option<(String, String)> {
    let both = groups.iter().map(|group| {
        let from = std::str::from_utf8(group.min_bytes_opt()?).ok()?;
        let to = std::str::from_utf8(group.max_bytes_opt()?).ok()?;
        Some((from, to))
    });
    let (from, to) = merged(both, |a: &str, b| a.min(b), |a: &str, b| a.max(b))?;
    let from: String = from.chars().take(MOST_CHARACTERS).collect();
    Some((quoted(&from), quoted(&rounded_up(to)?)))
}

/// A text of 32 characters at most that is not below this one, nor below one that begins with as many of the same.
fn rounded_up(text: &str) -> Option<String> {
    if text.chars().nth(MOST_CHARACTERS).is_none() {
        return Some(text.to_owned());
    }
    let mut kept: Vec<char> = text.chars().take(MOST_CHARACTERS).collect();
    while let Some(last) = kept.pop() {
        // Surrogates are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            kept.push(next);
            return Some(kept.into_iter().collect());
        }
    }
    None
}

fn date(days: i64) -> Option<String> {
    let date = NaiveDate::from_epoch_days(i32::try_from(days).ok()?)?;
    (1..=9999).contains(&date.year()).then(|| quoted(&date.format("%Y-%m-%d").to_string()))
}

fn moment(ms: i64, suffix: &str) -> Option<String> {
    let time = DateTime::from_timestamp_millis(ms)?;
    let text = || quoted(&format!("{}{suffix}", time.format("%Y-%m-%dT%H:%M:%S%.3f")));
    (1..=9999).contains(&time.year()).then(text)
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { -1_i128 };
    (bytes.len() <= 16).then(|| bytes.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte)))
}

fn decimal(number: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        return number.to_string();
    }
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if number < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int64Array, ListArray, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    };
    use parquet::arrow::arrow_reader::ArrowReaderOptions;
    use serde_json::{Value, json};

    use super::*;
    use crate::table::write::{parquet_bytes, parquet_of_parts};

    fn text(rows: &RecordBatch) -> String {
        let bytes = bytes::Bytes::from(parquet_bytes(rows).unwrap());
        let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::default()).unwrap();
        of_file(&metadata, &nan_columns(rows))
    }

    fn ends(column: impl Array + 'static) -> Value {
        let column: ArrayRef = Arc::new(column);
        let text = text(&RecordBatch::try_from_iter([("c", column)]).unwrap());
        let read: Value = serde_json::from_str(&text).unwrap();
        assert!(read["nullCount"]["c"].is_u64(), "{read}");
        json!([read["minValues"]["c"], read["maxValues"]["c"]])
    }

    #[test]
    fn ends_are_as_the_rule_says() {
        // Written by hand: by the protocol, or as pandas prints them.
        let cases = [
            (ends(Int64Array::from(vec![Some(3), None, Some(i64::MIN)])), json!([i64::MIN, 3])),
            (ends(Float64Array::from(vec![1.5, f64::NAN])), json!([null, null])),
            (ends(Float64Array::from(vec![1.5, f64::NEG_INFINITY])), json!([null, null])),
            (ends(Float32Array::from(vec![0.1, 0.1])), json!([0.10000000149011612, 0.10000000149011612])),
            (ends(Float64Array::from(vec![None, None])), json!([null, null])),
            (ends(BooleanArray::from(vec![true])), json!([null, null])),
            (ends(BinaryArray::from(vec![b"x".as_slice()])), json!([null, null])),
            (ends(Date32Array::from(vec![-1, 0])), json!(["1969-12-31", "1970-01-01"])),
            (ends(Date32Array::from(vec![0, i32::MAX])), json!([null, null])),
            (
                ends(TimestampMicrosecondArray::from(vec![-1, 1_001])),
                json!(["1969-12-31T23:59:59.999", "1970-01-01T00:00:00.002"]),
            ),
            (
                ends(TimestampMillisecondArray::from(vec![0, 7]).with_timezone("UTC")),
                json!(["1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.008Z"]),
            ),
            (ends(StringArray::from(vec!["b", "ä", ""])), json!(["", "ä"])),
        ];
        for (at, (found, expected)) in cases.iter().enumerate() {
            assert_eq!(found, expected, "{at}");
        }
        let zeros = text(
            &RecordBatch::try_from_iter([("c", Arc::new(Float64Array::from(vec![0.0])) as ArrayRef)])
                .unwrap(),
        );
        assert!(zeros.contains(r#""maxValues":{"c":0.0},"minValues":{"c":-0.0}"#), "{zeros}");
    }

    #[test]
    fn decimals_have_all_their_digits() {
        let cells = vec![-12_345_678_901_234_567_890_123_456_789_012_345_678, 5, -1];
        let column = Decimal128Array::from(cells).with_precision_and_scale(38, 3).unwrap();
        let text = text(&RecordBatch::try_from_iter([("c", Arc::new(column) as ArrayRef)]).unwrap());
        let expected =
            r#""maxValues":{"c":0.005},"minValues":{"c":-12345678901234567890123456789012345.678}"#;
        assert!(text.contains(expected), "{text}");
        for (digits, scale, cell, expected) in [(5, 2, -150, "-1.50"), (12, 0, 7, "7"), (3, 3, -7, "-0.007")]
        {
            let column = Decimal128Array::from(vec![cell]).with_precision_and_scale(digits, scale).unwrap();
            let text =
                self::text(&RecordBatch::try_from_iter([("c", Arc::new(column) as ArrayRef)]).unwrap());
            assert!(text.contains(&format!(r#""minValues":{{"c":{expected}}}"#)), "{text}");
        }
    }

    #[test]
    fn long_texts_are_cut_and_the_greatest_is_none_below_its_rows() {
        let long = |last: char| format!("{}{last}tail", "x".repeat(31));
        let one = |text: String| ends(StringArray::from(vec![text]))[1].as_str().map(str::to_owned);
        assert_eq!(one(long('a')), Some(format!("{}b", "x".repeat(31))));
        assert_eq!(one(long('\u{d7ff}')), Some(format!("{}\u{e000}", "x".repeat(31))));
        assert_eq!(one(long('\u{10ffff}')), Some(format!("{}y", "x".repeat(30))));
        assert_eq!(rounded_up(&"\u{10ffff}".repeat(33)), None);
        // Four bytes each: the footer cuts these at 16.
        let wide = "\u{1f600}".repeat(40);
        assert!(one(wide.clone()).unwrap() > wide);
        let from = ends(StringArray::from(vec![wide.clone()]))[0].as_str().unwrap().to_owned();
        assert!(from <= wide && wide.starts_with(&from), "{from}");
    }

    #[test]
    fn nested_columns_and_those_past_the_32nd_have_none_and_rows_are_counted() {
        let list =
            ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some([Some(1)]), None]);
        let mut columns: Vec<(String, ArrayRef)> = vec![("list".into(), Arc::new(list))];
        columns.extend(
            (0..40).map(|at| (format!("c{at:02}"), Arc::new(Int64Array::from(vec![at, at])) as ArrayRef)),
        );
        let read: Value = serde_json::from_str(&text(&RecordBatch::try_from_iter(columns).unwrap())).unwrap();
        assert_eq!(read["numRecords"], 2);
        let names: Vec<&String> = read["minValues"].as_object().unwrap().keys().collect();
        assert_eq!((names.len(), names[0].as_str(), names[30].as_str()), (31, "c00", "c30"));
    }

    #[test]
    fn a_file_says_the_same_whichever_row_groups_it_has_and_nan_is_found_in_it() {
        let column = |cells: Vec<Option<f64>>| {
            let texts = StringArray::from_iter_values(cells.iter().map(|cell| format!("{cell:?}")));
            let cells = Arc::new(Float64Array::from(cells)) as ArrayRef;
            RecordBatch::try_from_iter([("f", cells), ("t", Arc::new(texts) as ArrayRef)]).unwrap()
        };
        let parts = [column(vec![Some(3.0), None]), column(vec![None]), column(vec![Some(-2.0), Some(9.0)])];
        let whole = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
        let of_parts = parquet_of_parts(whole.schema(), 10, parts.into_iter().map(Ok)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, of_parts).unwrap();
        let file = File::open(&path).unwrap();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).unwrap();
        assert_eq!(metadata.metadata().num_row_groups(), 3);
        assert_eq!(nan_columns_of(&file, &metadata).unwrap(), BTreeSet::new());
        assert_eq!(of_file(&metadata, &BTreeSet::new()), text(&whole));
        std::fs::write(&path, parquet_bytes(&column(vec![Some(f64::NAN)])).unwrap()).unwrap();
        let file = File::open(&path).unwrap();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).unwrap();
        assert_eq!(nan_columns_of(&file, &metadata).unwrap(), BTreeSet::from(["f".to_owned()]));
    }
}
