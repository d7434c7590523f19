//! From table rows to points: which rows have a place among the points, and where it is.

use crate::encode::scale::NumericScale;
use crate::{Error, FeatureTable};
use rayon::prelude::*;
use std::borrow::Cow;

/// Rows of a parallel piece of work.
const PIECE_ROWS: usize = 2_048;

/// Refuses text columns.
pub(super) fn check_numeric(table: &FeatureTable) -> Result<(), Error> {
    match table.categorical_names() {
        [] => Ok(()),
        names => Err(Error::TextColumns { columns: names.to_vec() }),
    }
}

/// Whether a row has a value in every column.
pub(super) fn is_complete(table: &FeatureTable, row: u32) -> bool {
    (0..table.features()).all(|c| !table.numeric(c).get(row as usize).is_nan())
}

/// Those of these rows that have a value in every column; as they are where all have.
pub(super) fn complete<'a>(table: &FeatureTable, rows: &'a [u32]) -> Cow<'a, [u32]> {
    let of_piece = |rows: &'a [u32]| {
        let (mut values, mut complete) = (vec![0.0; rows.len()], vec![true; rows.len()]);
        for c in 0..table.features() {
            table.numeric(c).put(rows, &mut values);
            complete.iter_mut().zip(&values).for_each(|(complete, value)| *complete &= !value.is_nan());
        }
        match complete.iter().all(|complete| *complete) {
            true => Cow::Borrowed(rows),
            false => {
                rows.iter().zip(complete).filter(|(_, complete)| *complete).map(|(row, _)| *row).collect()
            }
        }
    };
    let pieces: Vec<Cow<'a, [u32]>> = rows.par_chunks(PIECE_ROWS).map(of_piece).collect();
    match pieces.iter().all(|piece| matches!(piece, Cow::Borrowed(_))) {
        true => Cow::Borrowed(rows),
        false => Cow::Owned(pieces.concat()),
    }
}

/// Scales of the columns over these rows, each row counting as often as its weight says.
pub(super) fn scales(table: &FeatureTable, rows: &[u32], weights: Option<&[f64]>) -> Vec<NumericScale> {
    let of_column = |c: usize| {
        let values = rows.iter().map(|&row| table.numeric(c).get(row as usize));
        match weights {
            None => NumericScale::fit(values),
            Some(weights) => NumericScale::fit_weighted(values.zip(weights.iter().copied())),
        }
    };
    (0..table.features()).into_par_iter().map(of_column).collect()
}

/// Centres that are scores, in the columns' own units.
pub(super) fn values_of(scales: &[NumericScale], centres: &[f64]) -> Vec<Vec<f64>> {
    let value = |(score, scale): (&f64, &NumericScale)| scale.value(*score);
    centres.chunks_exact(scales.len()).map(|c| c.iter().zip(scales).map(value).collect()).collect()
}

/// Centres in the columns' own units, as scores.
pub(super) fn scores_of(scales: &[NumericScale], centres: &[Vec<f64>]) -> Vec<f64> {
    let score = |(value, scale): (&f64, &NumericScale)| scale.score(*value);
    centres.iter().flat_map(|centre| centre.iter().zip(scales).map(score)).collect()
}
