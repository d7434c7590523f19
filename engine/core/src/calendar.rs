//! Times that no calendar shows: numbers that are a time by their type, but too far away for one.
//!
//! Arrow's writers put the text `ERROR: Cast error …` in the place of such a value, as if it was one, or fail at all rows of
//! the column. An output for people or programs has the number instead ([`shown`]); a file that is to be read again is not
//! written ([`check`]).

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, Int64Array, LargeListArray, ListArray,
    MapArray, OffsetSizeTrait, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};

/// Seconds from 1970 to about the years -262,000 and 262,000, which are a calendar's last ones here.
const SECONDS: i64 = 8_200_000_000_000;
const DAY: i64 = 86_400;

/// Rows as they can be shown: each column with a time that no calendar shows is text, such a time its number.
///
/// # Errors
/// A value that has no text.
pub fn shown(rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let texts = rows
        .columns()
        .iter()
        .map(|column| as_text(column, None))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if texts.iter().all(Option::is_none) {
        return Ok(rows.clone());
    }
    let schema = rows.schema();
    let each = schema.fields().iter().zip(rows.columns()).zip(texts);
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = each
        .map(|((field, column), text)| match text {
            None => (field.clone(), column.clone()),
            Some(text) => (with_kind(field, &text), text),
        })
        .unzip();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// Refuses rows of which some cannot be written as text and read again.
///
/// # Errors
/// Data: the column.
pub fn check(rows: &RecordBatch) -> Result<()> {
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if as_text(column, None)?.is_some() {
            return Err(Error::data(format!(
                "the column `{}` has a time that no calendar shows: its number is too great",
                field.name()
            ))
            .hint(
                "is it of another unit? CAST it to BIGINT for the number, or leave such rows out (WHERE)",
            ));
        }
    }
    Ok(())
}

/// A column as text if a time in it is one that no calendar shows; of a nested column what is in it. Rows are left out of
/// which it is part of a null.
fn as_text(
    column: &ArrayRef,
    hidden: Option<&NullBuffer>,
) -> std::result::Result<Option<ArrayRef>, ArrowError> {
    let kind = column.data_type();
    if let Some(times) = times(kind) {
        return out_of(column, &times, hidden);
    }
    Ok(match kind {
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let (offsets, values) = own_values(list);
            let Some(items) = as_text(&values, None)? else { return Ok(None) };
            let item = with_kind(item, &items);
            Some(Arc::new(ListArray::try_new(item, offsets, items, list.nulls().cloned())?) as ArrayRef)
        }
        DataType::LargeList(item) => {
            let list = column.as_list::<i64>();
            let (offsets, values) = own_values(list);
            let Some(items) = as_text(&values, None)? else { return Ok(None) };
            let item = with_kind(item, &items);
            Some(Arc::new(LargeListArray::try_new(item, offsets, items, list.nulls().cloned())?))
        }
        DataType::FixedSizeList(item, size) => {
            let list = column.as_fixed_size_list();
            let Some(items) = as_text(list.values(), None)? else { return Ok(None) };
            let item = with_kind(item, &items);
            Some(Arc::new(FixedSizeListArray::try_new(item, *size, items, list.nulls().cloned())?))
        }
        DataType::Struct(_) => {
            structure(column.as_struct(), hidden)?.map(|object| Arc::new(object) as ArrayRef)
        }
        DataType::Map(entries, is_sorted) => {
            let map = column.as_map();
            let Some(inner) = structure(map.entries(), None)? else { return Ok(None) };
            let field = Arc::new(entries.as_ref().clone().with_data_type(inner.data_type().clone()));
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Some(Arc::new(MapArray::try_new(field, offsets, inner, nulls, *is_sorted)?))
        }
        DataType::Dictionary(_, values) if times(values).is_some() || values.is_nested() => {
            as_text(&cast(column, values)?, hidden)?
        }
        _ => None,
    })
}

fn structure(
    object: &StructArray,
    hidden: Option<&NullBuffer>,
) -> std::result::Result<Option<StructArray>, ArrowError> {
    let hidden = NullBuffer::union(hidden, object.nulls());
    let texts = object
        .columns()
        .iter()
        .map(|column| as_text(column, hidden.as_ref()))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let each = object.fields().iter().zip(object.columns()).zip(texts);
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = each
        .map(|((field, column), text)| match text {
            None => (field.clone(), column.clone()),
            Some(text) => (with_kind(field, &text), text),
        })
        .unzip();
    StructArray::try_new(fields.into(), columns, object.nulls().cloned()).map(Some)
}

/// The values of the lists of a column, without those of others that it is a slice of, and where each list begins in them.
fn own_values<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> (OffsetBuffer<O>, ArrayRef) {
    let offsets = list.offsets();
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    (OffsetBuffer::from_lengths(offsets.lengths()), list.values().slice(first, last - first))
}

fn with_kind(field: &Field, column: &ArrayRef) -> FieldRef {
    Arc::new(field.clone().with_data_type(column.data_type().clone()))
}

/// The numbers that are times, or spans of time, of a type; `None` of a type that is neither.
fn times(kind: &DataType) -> Option<RangeInclusive<i64>> {
    let per_second = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let around = |most: i64| -most..=most;
    Some(match kind {
        // All of them are, from 1677 to 2262.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => i64::MIN..=i64::MAX,
        DataType::Timestamp(unit, _) => around(SECONDS * per_second(unit)),
        DataType::Date64 => around(SECONDS * 1_000),
        DataType::Date32 => around(SECONDS / DAY),
        DataType::Time32(unit) | DataType::Time64(unit) => 0..=DAY * per_second(unit) - 1,
        DataType::Duration(TimeUnit::Second) => around(i64::MAX / 1_000),
        _ => return None,
    })
}

/// The column as text if a number of it is out of the range.
fn out_of(
    column: &ArrayRef,
    range: &RangeInclusive<i64>,
    hidden: Option<&NullBuffer>,
) -> std::result::Result<Option<ArrayRef>, ArrowError> {
    let numbers = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    };
    let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
    let is_there = |row: usize| numbers.is_valid(row) && hidden.is_none_or(|hidden| hidden.is_valid(row));
    let is_bad = |row: usize| is_there(row) && !range.contains(&numbers.value(row));
    if !(0..numbers.len()).any(is_bad) {
        return Ok(None);
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let cell = |row: usize| match is_there(row) {
        false => Ok(None),
        true if is_bad(row) => Ok(Some(numbers.value(row).to_string())),
        true => formatter.value(row).try_to_string().map(Some),
    };
    let texts = (0..column.len()).map(cell).collect::<std::result::Result<StringArray, _>>()?;
    Ok(Some(Arc::new(texts)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Date64Array, DurationSecondArray, Time32SecondArray, Time64NanosecondArray,
        TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    };
    use arrow::json::ArrayWriter;

    use super::*;

    fn json(rows: &RecordBatch) -> String {
        let mut writer = ArrayWriter::new(Vec::new());
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        String::from_utf8(writer.into_inner()).unwrap()
    }

    fn one(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap()
    }

    #[test]
    fn no_error_is_a_value() {
        let zoned = TimestampMillisecondArray::from(vec![i64::MAX, 0]).with_timezone("Europe/Berlin");
        let columns: [(ArrayRef, &str); 11] = [
            (Arc::new(TimestampSecondArray::from(vec![i64::MAX, 0])), "1970-01-01T00:00:00"),
            (Arc::new(TimestampMillisecondArray::from(vec![i64::MAX, 0])), "1970-01-01T00:00:00"),
            (Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, 0])), "1970-01-01T00:00:00"),
            (Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, 0])), "1970-01-01T00:00:00"),
            (Arc::new(zoned), "1970-01-01T01:00:00+01:00"),
            (Arc::new(Date64Array::from(vec![i64::MAX, 0])), "1970-01-01T00:00:00"),
            (Arc::new(Date32Array::from(vec![i32::MAX, 0])), "1970-01-01"),
            (Arc::new(Date32Array::from(vec![i32::MIN, 0])), "1970-01-01"),
            (Arc::new(Time32SecondArray::from(vec![90_000, 0])), "00:00:00"),
            (Arc::new(Time64NanosecondArray::from(vec![-1, 0])), "00:00:00"),
            (Arc::new(DurationSecondArray::from(vec![i64::MAX, 0])), "P0D"),
        ];
        for (column, other) in columns {
            let kind = column.data_type().clone();
            let rows = one(column);
            let number = cast(&cast(rows.column(0), &DataType::Int64).unwrap(), &DataType::Utf8).unwrap();
            let number = number.as_string::<i32>().value(0).to_owned();
            assert_eq!(
                json(&shown(&rows).unwrap()),
                format!(r#"[{{"x":"{number}"}},{{"x":"{other}"}}]"#),
                "{kind}"
            );
            assert!(check(&rows).unwrap_err().to_string().contains("`x`"), "{kind}");
            let usual = rows.slice(1, 1);
            assert_eq!(shown(&usual).unwrap(), usual, "{kind}");
            assert!(check(&usual).is_ok(), "{kind}");
        }
        let nanos = one(Arc::new(TimestampNanosecondArray::from(vec![i64::MAX, i64::MIN])));
        assert_eq!(shown(&nanos).unwrap(), nanos);
        assert!(!json(&nanos).contains("ERROR"));
    }

    #[test]
    fn the_last_times_that_are_shown_are_shown() {
        let most = [SECONDS, -SECONDS];
        for rows in [
            one(Arc::new(TimestampSecondArray::from(most.to_vec()))),
            one(Arc::new(TimestampMillisecondArray::from(most.map(|s| s * 1_000).to_vec()))),
            one(Arc::new(TimestampMicrosecondArray::from(most.map(|s| s * 1_000_000).to_vec()))),
            one(Arc::new(TimestampSecondArray::from(most.to_vec()).with_timezone("+14:00"))),
            one(Arc::new(Date32Array::from(most.map(|s| (s / DAY) as i32).to_vec()))),
            one(Arc::new(Date64Array::from(most.map(|s| s * 1_000).to_vec()))),
            one(Arc::new(DurationSecondArray::from(vec![i64::MAX / 1_000, -i64::MAX / 1_000]))),
        ] {
            assert_eq!(shown(&rows).unwrap(), rows);
            assert!(!json(&rows).contains("ERROR"), "{}", json(&rows));
        }
    }

    #[test]
    fn what_is_in_lists_and_objects_is_shown_too() {
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(0), Some(i64::MAX), None]));
        let item = Arc::new(Field::new("at", times.data_type().clone(), true));
        let object = StructArray::try_new(vec![item.clone()].into(), vec![times.clone()], None).unwrap();
        let offsets = OffsetBuffer::from_lengths([2, 1]);
        let list = ListArray::try_new(item, offsets, times, None).unwrap();
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("o", Arc::new(object.slice(0, 2)) as ArrayRef, true),
            ("l", Arc::new(list) as ArrayRef, true),
        ])
        .unwrap();
        let number = i64::MAX;
        assert_eq!(
            json(&shown(&rows).unwrap()),
            format!(
                r#"[{{"o":{{"at":"1970-01-01T00:00:00"}},"l":["1970-01-01T00:00:00","{number}"]}},{{"o":{{"at":"{number}"}},"l":[null]}}]"#
            )
        );
        assert!(check(&rows).is_err() && check(&rows.slice(0, 0)).is_ok());
        // What is in a null is nothing.
        let hidden = object.into_parts();
        let hidden = StructArray::try_new(hidden.0, hidden.1, Some(vec![true, false, true].into())).unwrap();
        let hidden = one(Arc::new(hidden));
        assert_eq!(shown(&hidden).unwrap(), hidden);
        assert!(!json(&hidden).contains("ERROR"));
    }
}
