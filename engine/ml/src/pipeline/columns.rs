//! Columns of a table that a step takes, by their names.

use crate::table::MISSING_CODE;
use crate::{Error, FeatureTable};
use ndarray::Array2;
use std::ops::Range;

/// Columns of one kind: names and places.
pub(super) struct Columns(Vec<(String, usize)>);

impl Columns {
    /// These columns of a table, or all of the kind where none are named.
    pub(super) fn named(table: &FeatureTable, names: &[String], of_text: bool) -> Result<Columns, Error> {
        let (kind, known) = match of_text {
            true => ("text", table.categorical_names()),
            false => ("numeric", table.numeric_names()),
        };
        if names.is_empty() {
            let all = known.iter().cloned().zip(0..).collect::<Vec<_>>();
            return if all.is_empty() { Err(Error::NoColumns { kind }) } else { Ok(Columns(all)) };
        }
        let place = |name: &String| match known.iter().position(|known| known == name) {
            Some(at) => Ok((name.clone(), at)),
            None => Err(Error::UnknownColumn { kind, column: name.clone(), known: known.join(", ") }),
        };
        Ok(Columns(names.iter().map(place).collect::<Result<_, _>>()?))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(name, at)| (name.as_str(), *at))
    }

    /// The place in the table of the column at a place among these.
    pub(super) fn place(&self, at: usize) -> usize {
        self.0[at].1
    }
}

/// All rows of numeric columns. Shape: rows × columns.
pub(super) fn matrix(table: &FeatureTable, columns: &Columns) -> Array2<f64> {
    matrix_of(table, columns, 0..table.rows())
}

/// These rows of numeric columns. Shape: rows × columns.
pub(super) fn matrix_of(table: &FeatureTable, columns: &Columns, rows: Range<usize>) -> Array2<f64> {
    let mut x = Array2::zeros((rows.len(), columns.0.len()));
    for (mut out, (_, column)) in x.columns_mut().into_iter().zip(columns.iter()) {
        let values = table.numeric(column).range(rows.clone());
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
    }
    x
}

/// All rows of a text column.
pub(super) fn texts(table: &FeatureTable, column: usize) -> Vec<Option<&str>> {
    texts_of(table, column, 0..table.rows())
}

/// These rows of a text column.
pub(super) fn texts_of(table: &FeatureTable, column: usize, rows: Range<usize>) -> Vec<Option<&str>> {
    let column = table.categorical(column);
    let text = |code: u32| match code {
        MISSING_CODE => None,
        code => Some(column.dictionary[code as usize].as_str()),
    };
    column.codes.range(rows).map(text).collect()
}
