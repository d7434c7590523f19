//! Which types of a table's columns are the same when the table is read again.
//!
//! Parquet has no differences of times, no seconds and no zones: of such columns the file would say whole numbers, or UTC.
//! Arrow's own schema in the file says it all, but would make readers of text ask for views, which not all know. So it is
//! there only where a type needs it, and says of text that it is text. A type that is lost all the same is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, SchemaRef};
use parquet::arrow::{
    ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema, parquet_to_arrow_schema,
};
use parquet::file::metadata::KeyValue;

use crate::error::{Error, Result};

/// What a file says of its columns beyond Parquet's types; `None` where these say enough.
///
/// # Errors
/// User: a column of a type that no file keeps.
pub(super) fn beside(schema: &SchemaRef) -> Result<Option<KeyValue>> {
    for field in schema.fields() {
        if has_interval(field.data_type()) {
            return Err(Error::user(format!("column `{}`: a table keeps no intervals", field.name()))
                .hint("make seconds of it, EXTRACT(EPOCH FROM x), or its text, CAST(x AS TEXT)"));
        }
    }
    let file = ArrowSchemaConverter::new().convert(schema)?;
    if changed(schema, &parquet_to_arrow_schema(&file, None)?).is_none() {
        return Ok(None);
    }
    let plain = Schema::new(schema.fields().iter().map(without_views).collect::<Vec<_>>());
    let hint = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&plain));
    match changed(schema, &parquet_to_arrow_schema(&file, Some(&vec![hint.clone()]))?) {
        None => Ok(Some(hint)),
        Some((name, kind, read)) => {
            Err(Error::user(format!("column `{name}`: its type {kind} would be read again as {read}"))
                .hint("cast it to a type that a table keeps, such as TEXT or BIGINT"))
        }
    }
}

/// A column that names folders is kept as its text.
///
/// # Errors
/// User: its type cannot be read from its text.
pub(super) fn check_folder(column: &Field) -> Result<()> {
    match column.data_type() {
        DataType::Boolean | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => Ok(()),
        DataType::Timestamp(_, None) | DataType::Decimal128(..) => Ok(()),
        kind if kind.is_integer() || kind.is_floating() || kind.is_string() => Ok(()),
        kind => Err(Error::user(format!(
            "partition_by: column `{}` is a {kind}, which the name of a folder does not keep",
            column.name()
        ))
        .hint("cast it to TEXT, a number, a DATE or a TIMESTAMP without a zone")),
    }
}

/// The first column of another type, its type and the other.
fn changed(schema: &Schema, read: &Schema) -> Option<(String, DataType, DataType)> {
    let pairs = schema.fields().iter().zip(read.fields());
    let mut other = pairs.filter(|(field, read)| same(field.data_type()) != same(read.data_type()));
    other
        .next()
        .map(|(field, read)| (field.name().clone(), field.data_type().clone(), read.data_type().clone()))
}

/// One type for all that are the same to SQL.
fn same(kind: &DataType) -> DataType {
    let field = |field: &Arc<Field>| Arc::new(Field::new("x", same(field.data_type()), true));
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => same(value),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *precision <= 38 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            DataType::List(field(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(
            fields.iter().map(|f| Field::new(f.name(), same(f.data_type()), true)).collect::<Fields>(),
        ),
        DataType::Map(entries, _) => DataType::Map(field(entries), false),
        other => other.clone(),
    }
}

fn without_views(field: &Arc<Field>) -> Arc<Field> {
    let kind = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(without_views(item)),
        DataType::LargeList(item) => DataType::LargeList(without_views(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(without_views(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_views).collect()),
        DataType::Map(entries, sorted) => DataType::Map(without_views(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// The parquet crate writes no months, days and nanoseconds, which SQL's intervals are.
fn has_interval(kind: &DataType) -> bool {
    match kind {
        DataType::Interval(unit) => *unit == IntervalUnit::MonthDayNano,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_interval(item.data_type())
        }
        DataType::Map(item, _) => has_interval(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn said(kind: DataType) -> Result<Option<KeyValue>> {
        beside(&Arc::new(Schema::new(vec![Field::new("span", kind, true)])))
    }

    #[test]
    fn a_file_says_of_its_types_what_parquet_does_not() {
        let list = |kind| DataType::List(Arc::new(Field::new_list_field(kind, true)));
        for kind in [
            DataType::Int32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Utf8View,
            DataType::Decimal128(38, 5),
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::FixedSizeBinary(3),
            list(DataType::Utf8View),
        ] {
            assert!(said(kind.clone()).unwrap().is_none(), "{kind}");
        }
        for kind in [
            DataType::Duration(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("America/New_York".into())),
            DataType::Time32(TimeUnit::Second),
            list(DataType::Duration(TimeUnit::Second)),
        ] {
            assert!(said(kind.clone()).unwrap().is_some(), "{kind}");
        }
        for kind in [
            DataType::Interval(IntervalUnit::MonthDayNano),
            list(DataType::Interval(IntervalUnit::MonthDayNano)),
        ] {
            let error = said(kind).unwrap_err();
            assert!(error.to_string().contains("`span`"), "{error}");
        }
    }
}
