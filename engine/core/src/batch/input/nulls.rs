//! Types of columns that a table does not have: of what is null everywhere, and dates in milliseconds.
//!
//! Parquet files of pandas have columns that are null everywhere, and in JSON they are found. They take the type that a
//! later file has, or are text. A Date64 would be written as a number; it is a DATE like any other.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::InputFile;
use crate::depth::{MOST_TYPE_LEVELS, levels};
use crate::error::{Error, Result};

/// Gives columns that are null everywhere in the files before the type that a file has.
pub(super) fn fill(columns: &mut [Field], file: &[Field]) {
    for column in columns {
        let same = file.iter().find(|field| field.name() == column.name());
        if let Some(kind) = same.and_then(|field| filled(column.data_type(), field.data_type())) {
            column.set_data_type(kind);
        }
    }
}

/// The first type with the second in the place of what is null everywhere; `None` where that changes nothing.
fn filled(kind: &DataType, other: &DataType) -> Option<DataType> {
    let inner = |field: &FieldRef, other: &FieldRef| {
        let kind = filled(field.data_type(), other.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(kind).with_nullable(true)))
    };
    match (kind, other) {
        (DataType::Null, DataType::Null) => None,
        (DataType::Null, other) => Some(other.clone()),
        (DataType::List(a), DataType::List(b)) => inner(a, b).map(DataType::List),
        (DataType::LargeList(a), DataType::LargeList(b)) => inner(a, b).map(DataType::LargeList),
        (DataType::Map(a, sorted), DataType::Map(b, _)) => {
            inner(a, b).map(|field| DataType::Map(field, *sorted))
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            let field = |field: &FieldRef| {
                b.iter().find(|other| other.name() == field.name()).and_then(|other| inner(field, other))
            };
            let found: Vec<Option<FieldRef>> = a.iter().map(field).collect();
            let all = || a.iter().zip(&found).map(|(a, found)| found.as_ref().unwrap_or(a).clone());
            found.iter().any(Option::is_some).then(|| DataType::Struct(all().collect()))
        }
        _ => None,
    }
}

/// The types with every field of their objects nullable: in another file there may be none.
pub(super) fn open_fields(columns: &mut [Field]) {
    fn opened(kind: &DataType) -> DataType {
        let inner = |field: &FieldRef| Arc::new(Field::new(field.name(), opened(field.data_type()), true));
        match kind {
            DataType::List(item) => DataType::List(inner(item)),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
            kind => kind.clone(),
        }
    }
    for column in columns {
        column.set_data_type(opened(column.data_type()));
    }
}

/// Adds to a type the fields of objects that only another file has.
pub(super) fn widened(kind: &DataType, other: &DataType) -> DataType {
    let inner = |own: &FieldRef, other: &FieldRef| {
        Arc::new(own.as_ref().clone().with_data_type(widened(own.data_type(), other.data_type())))
    };
    match (kind, other) {
        (DataType::List(own), DataType::List(other)) => DataType::List(inner(own, other)),
        (DataType::Struct(own), DataType::Struct(others)) => {
            let same =
                |field: &FieldRef, all: &Fields| all.iter().find(|one| one.name() == field.name()).cloned();
            let known =
                own.iter().map(|own| same(own, others).map_or(own.clone(), |other| inner(own, &other)));
            let added = others.iter().filter(|other| same(other, own).is_none()).cloned();
            DataType::Struct(known.chain(added).collect())
        }
        (kind, _) => kind.clone(),
    }
}

/// Text in the place of what is null everywhere in all files, and dates in that of dates in milliseconds.
///
/// # Errors
/// Data: a type of so many levels that no statement could be planned with it.
pub(super) fn settle(columns: &mut [Field], files: &[InputFile]) -> Result<()> {
    if let Some(deep) = columns.iter().find(|field| levels(field.data_type()) > MOST_TYPE_LEVELS) {
        let what = format!("the type of column `{}` has more than {MOST_TYPE_LEVELS} levels", deep.name());
        let place = files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
        return Err(Error::data(what).context(place).hint("write what is in it to columns of their own"));
    }
    for column in columns {
        column.set_data_type(settled(column.data_type()));
    }
    Ok(())
}

fn settled(kind: &DataType) -> DataType {
    let inner =
        |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(settled(field.data_type())));
    match kind {
        DataType::Null => DataType::Utf8,
        DataType::Date64 => DataType::Date32,
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        kind => kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_many_levels_is_refused() {
        let list = |kind: DataType| DataType::List(Arc::new(Field::new("item", kind, true)));
        let deep = |levels: usize| (1..levels).fold(DataType::Int32, |kind, _| list(kind));
        assert!(settle(&mut [Field::new("x", deep(32), true)], &[]).is_ok());
        let error = settle(&mut [Field::new("x", deep(33), true)], &[]).unwrap_err();
        assert!(error.to_string().contains("column `x`"), "{error}");
    }

    #[test]
    fn what_is_null_takes_the_type_of_a_later_file_or_is_text() {
        let list = |kind: DataType| DataType::List(Arc::new(Field::new("item", kind, true)));
        let object = |kind: DataType| {
            DataType::Struct(vec![Field::new("a", kind, true), Field::new("b", DataType::Int32, true)].into())
        };
        let mut columns = [
            Field::new("x", DataType::Null, true),
            Field::new("y", list(object(DataType::Null)), true),
            Field::new("z", list(DataType::Null), true),
            Field::new("n", list(DataType::Date64), true),
        ];
        let later = [
            Field::new("y", list(object(DataType::Int64)), true),
            Field::new("x", DataType::Null, true),
            Field::new("n", DataType::Utf8, true),
        ];
        fill(&mut columns, &later);
        fill(&mut columns, &[Field::new("x", DataType::Date32, true), Field::new("y", DataType::Null, true)]);
        settle(&mut columns, &[]).unwrap();
        let kinds = columns.map(|column| column.data_type().clone());
        assert_eq!(
            kinds,
            [DataType::Date32, list(object(DataType::Int64)), list(DataType::Utf8), list(DataType::Date32)]
        );
    }
}
