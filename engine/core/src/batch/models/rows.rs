//! The rows that a model learns from, in the order of their key: whatever the threads that made them, it is the same.

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result, suggestion};

/// The rows by the columns of their key.
///
/// # Errors
/// User: a column of the key is not there, or cannot be one; Data: a null in it, or two rows with the same.
pub(super) fn by_key(rows: &RecordBatch, key: &[String]) -> Result<RecordBatch> {
    let schema = rows.schema();
    let mut columns = Vec::with_capacity(key.len());
    for name in key {
        let at = schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::user(format!("key: the features have no column `{name}`"))
                .hint(suggestion(name, "columns", &names))
        })?;
        let nulls = rows.column(at).logical_null_count();
        if nulls > 0 {
            let what = format!("key: `{name}` is null in {nulls} of {} rows", rows.num_rows());
            return Err(Error::data(what).hint("leave such rows out by the SELECT's WHERE"));
        }
        columns.push((at, rows.column(at).clone()));
    }
    let fields: Vec<SortField> =
        columns.iter().map(|(_, column)| SortField::new(column.data_type().clone())).collect();
    if !RowConverter::supports_fields(&fields) {
        return Err(Error::user("key: a column is of a type that has no order")
            .hint("cast it to a number or a text in the features SELECT"));
    }
    let arrays: Vec<_> = columns.iter().map(|(_, column)| column.clone()).collect();
    let converted = RowConverter::new(fields)?.convert_columns(&arrays)?;
    let count = u32::try_from(rows.num_rows())
        .map_err(|_| Error::data("more than 2^32 rows cannot be learned from in memory"))?;
    let mut order: Vec<u32> = (0..count).collect();
    let of = |at: u32| converted.row(at as usize);
    order.sort_unstable_by(|a, b| of(*a).cmp(&of(*b)));
    let twice = order.windows(2).filter(|pair| of(pair[0]) == of(pair[1])).count();
    if let Some(pair) = order.windows(2).find(|pair| of(pair[0]) == of(pair[1])) {
        let options = FormatOptions::default();
        let cells = columns.iter().zip(key).map(|((_, column), name)| {
            let cell = ArrayFormatter::try_new(column, &options)?;
            Ok(format!("{name}={}", cell.value(pair[0] as usize)))
        });
        let first = cells.collect::<Result<Vec<_>>>()?.join(", ");
        let what = format!("key: {twice} of {count} rows have the key of another, the first is {first}");
        return Err(
            Error::data(what).hint("name more columns in `key`, or let the SELECT give each row once")
        );
    }
    Ok(take_record_batch(rows, &UInt32Array::from(order))?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn rows(a: Vec<Option<i64>>, b: Vec<&str>) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(a)) as ArrayRef),
            ("b", Arc::new(StringArray::from(b))),
        ])
        .unwrap()
    }

    fn key(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn rows_are_in_the_order_of_their_key_however_they_came() {
        let one = by_key(&rows(vec![Some(2), Some(1), Some(1)], vec!["x", "z", "y"]), &key(&["a", "b"]));
        let other = by_key(&rows(vec![Some(1), Some(2), Some(1)], vec!["y", "x", "z"]), &key(&["a", "b"]));
        let expected = rows(vec![Some(1), Some(1), Some(2)], vec!["y", "z", "x"]);
        assert_eq!((one.unwrap(), other.unwrap()), (expected.clone(), expected));
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_says_where() {
        let some = rows(vec![Some(2), Some(1), Some(2)], vec!["x", "z", "x"]);
        let error = by_key(&some, &key(&["a"])).unwrap_err();
        assert!(
            error.to_string().contains("1 of 3 rows have the key of another, the first is a=2"),
            "{error}"
        );
        let error = by_key(&some, &key(&["c"])).unwrap_err();
        assert!(error.to_string().contains("no column `c`"), "{error}");
        let error = by_key(&rows(vec![None, Some(1)], vec!["x", "z"]), &key(&["a"])).unwrap_err();
        assert!(error.to_string().contains("`a` is null in 1 of 2 rows"), "{error}");
    }
}
