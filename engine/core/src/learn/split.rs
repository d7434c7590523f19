//! Which rows are held out: a hash of what a row is, so that the split is the same in every run and never moves.

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Schema};
use xxhash_rust::xxh3::Xxh3Default;

use crate::error::{Error, Result};

/// The places of the columns whose hash decides.
///
/// # Errors
/// User: one is not there, or has no text.
pub(super) fn places(schema: &Schema, names: &[String]) -> Result<Vec<usize>> {
    let places = names.iter().map(|name| column(schema, name)).collect::<Result<Vec<_>>>()?;
    let as_text = |at: &&usize| can_cast_types(schema.field(**at).data_type(), &DataType::Utf8);
    if let Some(&at) = places.iter().find(|at| !as_text(at)) {
        let (name, kind) = (schema.field(at).name(), schema.field(at).data_type());
        return Err(Error::user(format!(
            "the hold-out column `{name}` is of type {kind}, which has no text"
        ))
        .hint("name columns in evaluate.holdout_key that are numbers, texts, dates or times"));
    }
    Ok(places)
}

/// The place of a column of the features.
///
/// # Errors
/// User: it is not there.
pub(super) fn column(schema: &Schema, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::user(format!("the features have no column `{name}`"))
            .hint(format!("they have: {}", names.join(", ")))
    })
}

/// XXH3 of the columns of each row, as text.
///
/// # Errors
/// Internal.
pub(super) fn hashes(rows: &RecordBatch, columns: &[usize]) -> Result<Vec<u64>> {
    let columns: Vec<ArrayRef> = columns
        .iter()
        .map(|&column| cast(rows.column(column), &DataType::Utf8))
        .collect::<std::result::Result<_, _>>()?;
    let hash = |row: usize| {
        let mut hasher = Xxh3Default::new();
        for column in &columns {
            let text = column.as_string::<i32>();
            if text.is_valid(row) {
                hasher.write(text.value(row).as_bytes());
            }
            hasher.write(&[0x1f]);
        }
        hasher.finish()
    };
    Ok((0..rows.num_rows()).map(hash).collect())
}

/// Whether a row of this hash is held out: the hash, as a share of 2⁶⁴, is below `holdout`.
pub(super) fn is_held_out(hash: u64, holdout: f64) -> bool {
    (hash as f64) < holdout * 2f64.powi(64)
}
