//! The rows that a model learns from, in the order of their key: whatever the threads that made them, it is the same.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result, suggestion};

/// The rows by the columns of their key. What they were is let go.
///
/// # Errors
/// User: a column of the key is not there, or cannot be one; Data: a null in it, or two rows with the same.
pub(super) fn by_key(schema: &SchemaRef, batches: Vec<RecordBatch>, key: &[String]) -> Result<RecordBatch> {
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if u32::try_from(count).is_err() {
        return Err(Error::data("more than 2^32 rows cannot be learned from in memory"));
    }
    let mut places = Vec::with_capacity(key.len());
    for name in key {
        let at = schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::user(format!("key: the features have no column `{name}`"))
                .hint(suggestion(name, "columns", &names))
        })?;
        let nulls: usize = batches.iter().map(|batch| batch.column(at).logical_null_count()).sum();
        if nulls > 0 {
            let what = format!("key: `{name}` is null in {nulls} of {count} rows");
            return Err(Error::data(what).hint("leave such rows out by the SELECT's WHERE"));
        }
        places.push(at);
    }
    let fields: Vec<SortField> =
        places.iter().map(|&at| SortField::new(schema.field(at).data_type().clone())).collect();
    if !RowConverter::supports_fields(&fields) {
        return Err(Error::user("key: a column is of a type that has no order")
            .hint("cast it to a number or a text in the features SELECT"));
    }
    if count == 0 {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let converter = RowConverter::new(fields)?;
    let converted = batches.iter().map(|batch| {
        let columns: Vec<ArrayRef> = places.iter().map(|&at| batch.column(at).clone()).collect();
        Ok(converter.convert_columns(&columns)?)
    });
    let converted = converted.collect::<Result<Vec<Rows>>>()?;
    let of = |(batch, row): (usize, usize)| converted[batch].row(row);
    let rows = batches.iter().map(RecordBatch::num_rows).enumerate();
    let mut order: Vec<(usize, usize)> =
        rows.flat_map(|(batch, rows)| (0..rows).map(move |row| (batch, row))).collect();
    order.sort_unstable_by(|a, b| of(*a).cmp(&of(*b)));
    let twice = order.windows(2).filter(|pair| of(pair[0]) == of(pair[1])).count();
    if let Some(pair) = order.windows(2).find(|pair| of(pair[0]) == of(pair[1])) {
        let options = FormatOptions::default();
        let cells = places.iter().zip(key).map(|(&at, name)| {
            let (batch, row) = pair[0];
            let cell = ArrayFormatter::try_new(batches[batch].column(at), &options)?;
            Ok(format!("{name}={}", cell.value(row)))
        });
        let first = cells.collect::<Result<Vec<_>>>()?.join(", ");
        let what = format!("key: {twice} of {count} rows have the key of another, the first is {first}");
        return Err(
            Error::data(what).hint("name more columns in `key`, or let the SELECT give each row once")
        );
    }
    drop(converted);
    Ok(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &order)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn rows(a: Vec<Option<i64>>, b: Vec<&str>) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(a)) as ArrayRef),
            ("b", Arc::new(StringArray::from(b))),
        ])
        .unwrap()
    }

    /// The rows in two batches, by key.
    fn by(rows: &RecordBatch, names: &[&str]) -> Result<RecordBatch> {
        let key: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let batches = vec![rows.slice(0, 1), rows.slice(1, rows.num_rows() - 1)];
        by_key(&rows.schema(), batches, &key)
    }

    #[test]
    fn rows_are_in_the_order_of_their_key_however_they_came() {
        let one = by(&rows(vec![Some(2), Some(1), Some(1)], vec!["x", "z", "y"]), &["a", "b"]);
        let other = by(&rows(vec![Some(1), Some(2), Some(1)], vec!["y", "x", "z"]), &["a", "b"]);
        let expected = rows(vec![Some(1), Some(1), Some(2)], vec!["y", "z", "x"]);
        assert_eq!((one.unwrap(), other.unwrap()), (expected.clone(), expected));
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_says_where() {
        let some = rows(vec![Some(2), Some(1), Some(2)], vec!["x", "z", "x"]);
        let error = by(&some, &["a"]).unwrap_err();
        assert!(
            error.to_string().contains("1 of 3 rows have the key of another, the first is a=2"),
            "{error}"
        );
        let error = by(&some, &["c"]).unwrap_err();
        assert!(error.to_string().contains("no column `c`"), "{error}");
        let error = by(&rows(vec![None, Some(1)], vec!["x", "z"]), &["a"]).unwrap_err();
        assert!(error.to_string().contains("`a` is null in 1 of 2 rows"), "{error}");
    }
}
