//! Whether the rows of a changed transform go into the table that is there, and how files of several schemas are one table.
//!
//! | the table has | the transform gives | |
//! | --- | --- | --- |
//! | column of type T | column of type T | goes on; whether it can be null may change |
//! | nothing | a column | goes on: the column is null in the rows before |
//! | column of type T | column of type U | refused |
//! | a column | nothing | refused: it would be gone for the rows before, too |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::read::read_schema;
use crate::checkpoint::{Commit, RecordList};
use crate::error::{Error, Result};
use crate::lake::Lake;

/// The columns of a stream's table: those of its newest file; `None` where it has no file yet.
///
/// # Errors
/// Storage or Corrupt.
pub(crate) fn newest_schema(
    lake: &Lake,
    commits: &RecordList<Commit>,
    table: &str,
) -> Result<Option<SchemaRef>> {
    for number in commits.numbers()?.rev() {
        let commit = commits.read(number)?;
        let Some(file) = commit.added.iter().find(|file| file.table == table) else { continue };
        return read_schema(lake, file).map(Some);
    }
    Ok(None)
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
                    type_name(kind)
                ))
                .hint(format!(
                    "give it again, if only as CAST(NULL AS {}) AS {name}, {elsewhere}",
                    sql_type(kind)
                )));
            }
            Ok(given) if !given.data_type().equals_datatype(kind) => {
                return Err(Error::user(format!(
                    "the transform gives the column `{name}` as {}, {table} has it as {}",
                    type_name(given.data_type()),
                    type_name(kind)
                ))
                .hint(format!(
                    "keep its type (CAST(… AS {}) AS {name}), give the new one another name, {elsewhere}",
                    sql_type(kind)
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

/// A type in SQL and, where that is another word, as files have it.
fn type_name(kind: &DataType) -> String {
    let (sql, own) = (sql_type(kind), kind.to_string());
    if sql == own { own } else { format!("{sql} ({own})") }
}

fn sql_type(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 => "TEXT".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

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
        assert!(error.next_step().unwrap().contains("CAST(NULL AS TIMESTAMP) AS c"), "{error}");
        let other = schema(&[("a", DataType::Utf8, false), ("b", DataType::Utf8, true)]);
        let error = check("j.t", &has, &other).unwrap_err();
        assert!(error.to_string().contains("`a` as TEXT (Utf8), j.t has it as BIGINT (Int64)"), "{error}");
        assert!(nullable(&has).fields().iter().all(|field| field.is_nullable()));
    }
}
