//! Means and products of columns, summed block by block (Chan, Golub, LeVeque 1979), so that rows can be added.

use crate::Error;
use crate::preprocess::rows::{BLOCK, blocks};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) rows: u64,
    pub(super) means: Array1<f64>,
    /// Of the products of distances to the means.
    pub(super) products: Array2<f64>,
}

impl Sums {
    pub(super) fn none(columns: usize) -> Sums {
        Sums { rows: 0, means: Array1::zeros(columns), products: Array2::zeros((columns, columns)) }
    }

    /// With more rows. Blocks are summed in threads and put together in their order.
    pub(super) fn add(self, x: ArrayView2<'_, f64>) -> Result<Sums, Error> {
        let blocks: Vec<Sums> = blocks(&x).into_par_iter().map(Sums::of).collect();
        let all = blocks.into_iter().fold(self, Sums::merge);
        // A value that is no number leaves a mean that is none.
        if all.means.iter().any(|mean| !mean.is_finite()) {
            check_known(&x)?;
        }
        Ok(all)
    }

    /// Columns × columns.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewRows`] and [`Error::Overflow`].
    pub(super) fn covariance(&self) -> Result<Array2<f64>, Error> {
        if self.rows < 2 {
            return Err(Error::TooFewRows { rows: self.rows as usize, needed: 2 });
        }
        let overflowed = |&column: &usize| {
            !(self.means[column].is_finite() && self.products.column(column).iter().all(|v| v.is_finite()))
        };
        match (0..self.means.len()).find(overflowed) {
            Some(column) => Err(Error::Overflow { column }),
            None => Ok(&self.products / (self.rows as f64 - 1.0)),
        }
    }

    fn of(x: ArrayView2<'_, f64>) -> Sums {
        // About the first row, so that a column of one value has that value for its mean, and products of exactly 0.
        let first = x.row(0);
        let apart = &x - &first;
        let shift = apart.sum_axis(Axis(0)) / x.nrows() as f64;
        let centred = apart - &shift;
        Sums { rows: x.nrows() as u64, products: centred.t().dot(&centred), means: shift + first }
    }

    fn merge(self, other: Sums) -> Sums {
        if self.rows == 0 {
            return other;
        }
        let rows = self.rows + other.rows;
        let share = other.rows as f64 / rows as f64;
        let apart = &other.means - &self.means;
        let column = apart.view().insert_axis(Axis(1));
        let between = column.dot(&column.t()) * (share * self.rows as f64);
        Sums { rows, products: self.products + other.products + between, means: self.means + apart * share }
    }
}

/// The first row and column of a value that is no number, if there is one.
pub(super) fn not_finite(x: &ArrayView2<'_, f64>) -> Option<(usize, usize)> {
    // No end before the last value, so that several are looked at at once.
    let is_clean = |block: &ArrayView2<'_, f64>| block.fold(true, |clean, v| clean & v.is_finite());
    let blocks = blocks(x);
    let dirty = blocks.par_iter().position_first(|block| !is_clean(block))?;
    let (at, _) = blocks[dirty].indexed_iter().find(|(_, v)| !v.is_finite())?;
    Some((dirty * BLOCK + at.0, at.1))
}

/// Values that are numbers.
pub(super) fn check_known(x: &ArrayView2<'_, f64>) -> Result<(), Error> {
    match not_finite(x) {
        Some((row, column)) => Err(Error::MissingValue { row, column }),
        None => Ok(()),
    }
}
