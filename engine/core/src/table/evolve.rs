//! Whether the rows of a changed transform go into the table that is there, and how files of several schemas are one table.
//!
//! | the table has | the transform gives | |
//! | --- | --- | --- |
//! | column of type T | column of type T | goes on; whether it can be null may change |
//! | nothing | a column | goes on: the column is null in the rows before |
//! | column of type T | column of type U | refused |
//! | a column | nothing | refused: it would be gone for the rows before, too |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::read::read_schema;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::Ledger;

/// The columns of a stream's table: those of its newest file; `None` where it has no file yet.
///
/// # Errors
/// Storage or Corrupt.
pub(crate) fn newest_schema(lake: &Lake, table: &str) -> Result<Option<SchemaRef>> {
    let job = table.split('.').next().unwrap_or_default();
    let ledger = Ledger::of(lake, job)?;
    ledger.files(table).last().map(|newest| read_schema(lake, &newest.file)).transpose()
}

/// Checks what a transform gives against what its table has.
///
/// # Errors
/// User: a column of another type, or one that is given no more.
pub(crate) fn check(table: &str, has: &Schema, gives: &Schema) -> Result<()> {
    let elsewhere =
        "or let the job stream into a table of its own from the beginning of the topic: another --lake";
    for field in has.fields() {
        let (name, kind) = (field.name(), field.data_type());
        match gives.field_with_name(name) {
            Err(_) => {
                return Err(Error::user(format!(
                    "the transform no longer gives the column `{name}`, which {table} has as {}",
                    type_names(kind, &DataType::Null).0
                ))
                .hint(format!(
                    "give it again, if only as {} AS {name}, {elsewhere}",
                    cast_of("NULL", kind)
                )));
            }
            Ok(given) if !given.data_type().equals_datatype(kind) => {
                let (gives, has) = type_names(given.data_type(), kind);
                return Err(Error::user(format!(
                    "the transform gives the column `{name}` as {gives}, {table} has it as {has}"
                ))
                .hint(format!(
                    "keep its type ({} AS {name}), give the new one another name, {elsewhere}",
                    cast_of("…", kind)
                )));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The same columns, each of which may be null: what some of a table's files lack is.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<Field>>(), schema.metadata().clone()))
}

/// Refuses columns of types that no file of a table keeps, but those that the table has already.
///
/// # Errors
/// User: such a column, with what to write instead.
pub(crate) fn check_types(has: Option<&Schema>, gives: &Schema) -> Result<()> {
    for field in gives.fields() {
        let name = field.name();
        if has.is_some_and(|has| has.field_with_name(name).is_ok()) {
            continue;
        }
        let Some(kind) = unkept(field.data_type()) else { continue };
        let instead = match kind {
            DataType::Null => format!("say which type it is to be, CAST(NULL AS TEXT) AS {name}"),
            DataType::Interval(_) | DataType::Duration(_) => {
                format!(
                    "make seconds of it, EXTRACT(EPOCH FROM …) AS {name}, or text, CAST(… AS TEXT) AS {name}"
                )
            }
            _ => format!("make text of it, CAST(… AS TEXT) AS {name}"),
        };
        let what = match kind {
            DataType::Null => "is null in every row, of no type".to_owned(),
            kind if kind == field.data_type() => format!("is {}, which no table keeps", with_article(kind)),
            kind => format!("holds {}, which no table keeps", with_article(kind)),
        };
        return Err(Error::user(format!("the transform's column `{name}` {what}")).hint(instead));
    }
    Ok(())
}

fn with_article(kind: &DataType) -> String {
    match kind {
        DataType::Interval(_) => "an INTERVAL".into(),
        DataType::Duration(_) => "a difference of times".into(),
        DataType::Time32(_) | DataType::Time64(_) => "a TIME".into(),
        other => format!("a {}", sql_type(other).unwrap_or_else(|| other.to_string())),
    }
}

/// The part of a type that a file would not keep, or give back as another.
fn unkept(kind: &DataType) -> Option<&DataType> {
    match kind {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => unkept(item.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| unkept(field.data_type())),
        DataType::Dictionary(_, value) => unkept(value),
        DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => None,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            None
        }
        DataType::Float16 => Some(kind),
        kind if kind.is_integer() || kind.is_floating() || kind.is_string() => None,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => None,
        kind => Some(kind),
    }
}

/// Two types in SQL; where they are one word there, as files have them.
fn type_names(one: &DataType, other: &DataType) -> (String, String) {
    let name = |kind: &DataType| sql_type(kind).unwrap_or_else(|| kind.to_string());
    match (name(one), name(other)) {
        (a, b) if a == b => (one.to_string(), other.to_string()),
        names => names,
    }
}

/// SQL that makes a value of a type.
fn cast_of(value: &str, kind: &DataType) -> String {
    match sql_type(kind) {
        Some(sql) => format!("CAST({value} AS {sql})"),
        None => format!("arrow_cast({value}, '{}')", kind.to_string().replace('\'', "''")),
    }
}

/// A type as SQL writes it; `None` for one that it has no word for.
fn sql_type(kind: &DataType) -> Option<String> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match kind {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(Microsecond, None) => "TIMESTAMP".into(),
        DataType::Timestamp(Second, None) => "TIMESTAMP(0)".into(),
        DataType::Timestamp(Millisecond, None) => "TIMESTAMP(3)".into(),
        DataType::Timestamp(Nanosecond, None) => "TIMESTAMP(9)".into(),
        DataType::Timestamp(Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            "TIMESTAMP WITH TIME ZONE".into()
        }
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
        DataType::List(item) => format!("{}[]", sql_type(item.data_type())?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Commit, RecordList};

    #[test]
    fn every_row_of_the_truth_table() {
        let schema = |fields: &[(&str, DataType, bool)]| {
            Schema::new(
                fields.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect::<Vec<_>>(),
            )
        };
        let has = schema(&[("a", DataType::Int64, false), ("b", DataType::Utf8, true)]);
        let same = schema(&[("b", DataType::Utf8, false), ("a", DataType::Int64, true)]);
        assert!(check("j.t", &has, &same).is_ok());
        let more = schema(&[
            ("c", DataType::Timestamp(TimeUnit::Millisecond, None), false),
            ("a", DataType::Int64, false),
            ("b", DataType::Utf8, true),
        ]);
        assert!(check("j.t", &has, &more).is_ok());
        let error = check("j.t", &more, &has).unwrap_err();
        assert!(error.to_string().contains("no longer gives the column `c`"), "{error}");
        assert!(error.next_step().unwrap().contains("CAST(NULL AS TIMESTAMP(3)) AS c"), "{error}");
        let other = schema(&[("a", DataType::Utf8, false), ("b", DataType::Utf8, true)]);
        let error = check("j.t", &has, &other).unwrap_err();
        assert!(error.to_string().contains("`a` as TEXT, j.t has it as BIGINT"), "{error}");
        assert!(error.next_step().unwrap().contains("CAST(… AS BIGINT) AS a"), "{error:?}");
        assert!(nullable(&has).fields().iter().all(|field| field.is_nullable()));
    }

    #[test]
    fn the_columns_are_those_of_the_last_file_of_a_batch() {
        use arrow::array::{ArrayRef, Int64Array, RecordBatch};

        use crate::table::publish::{roll_forward, stage};
        use crate::table::write::parquet_bytes;

        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let file = |name: &str, columns: &[&str]| {
            let cells = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
            let rows = RecordBatch::try_from_iter(columns.iter().map(|column| (*column, cells()))).unwrap();
            stage(&lake, "j.t", &format!("j/t/{name}"), &parquet_bytes(&rows).unwrap(), 1).unwrap()
        };
        let added = vec![
            file("batch-00000000.parquet", &["a"]),
            file("batch-00000000_0001.parquet", &["a", "_timestamp_ms"]),
        ];
        roll_forward(&lake, &added).unwrap();
        let commits = RecordList::<Commit>::open(lake.checkpoint("j").join("commits")).unwrap();
        let commit = Commit { added, ..Commit::of_nothing(0) };
        commits.create(0, &commit).unwrap();
        let schema = newest_schema(&lake, "j.t").unwrap().unwrap();
        assert!(schema.index_of("_timestamp_ms").is_ok(), "{schema}");
    }

    #[test]
    fn types_are_told_in_words_of_sql() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
        let object = DataType::Struct(vec![Field::new("x", DataType::Float64, true)].into());
        for (kind, cast) in [
            (DataType::UInt64, "CAST(x AS BIGINT UNSIGNED)"),
            (DataType::Utf8View, "CAST(x AS TEXT)"),
            (list, "CAST(x AS BIGINT[])"),
            (
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                "CAST(x AS TIMESTAMP WITH TIME ZONE)",
            ),
            (object, "arrow_cast(x, 'Struct(\"x\": Float64)')"),
        ] {
            assert_eq!(cast_of("x", &kind), cast);
        }
        assert_eq!(type_names(&DataType::Utf8, &DataType::Utf8View), ("Utf8".into(), "Utf8View".into()));
    }

    #[test]
    fn types_that_no_file_keeps_are_refused_but_where_they_are_kept_already() {
        let of = |kind: DataType| Schema::new(vec![Field::new("x", kind, true)]);
        let span = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
        let spans = DataType::List(Arc::new(Field::new("item", span.clone(), true)));
        for (kind, says) in [
            (span, "`x` is an INTERVAL"),
            (spans, "`x` holds an INTERVAL"),
            (DataType::Duration(TimeUnit::Microsecond), "`x` is a difference of times"),
            (DataType::Time64(TimeUnit::Nanosecond), "`x` is a TIME"),
            (DataType::Null, "`x` is null in every row"),
            (DataType::Decimal256(50, 2), "`x` is a Decimal256(50, 2)"),
        ] {
            let error = check_types(None, &of(kind.clone())).unwrap_err();
            assert!(
                error.to_string().contains(says) && error.next_step().unwrap().contains("CAST("),
                "{error:?}"
            );
            assert!(check_types(Some(&of(kind.clone())), &of(kind)).is_ok());
        }
        for kind in [DataType::UInt8, DataType::Decimal128(38, 2), DataType::Date32, DataType::Utf8View] {
            assert!(check_types(None, &of(kind)).is_ok());
        }
    }
}
