//! What a stream does to a value before it is a coordinate: cap, then standardise, both by running statistics.

use super::params::Outliers;
use crate::FeatureTable;
use crate::encode::scale::NumericScale;
use crate::stats::fences::{TUKEY_REACH, bounds};
use crate::stats::{QuantileSketch, RunningMoments};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows of a parallel piece of work.
const PIECE_ROWS: usize = 4_096;

/// Running statistics of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    /// Nothing where outliers are kept.
    quartiles: QuantileSketch,
    /// Of the values as they were capped when they came.
    moments: RunningMoments,
    outliers: Outliers,
}

/// What one batch knows of a column: bounds and scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    low: f64,
    high: f64,
    pub(super) scale: NumericScale,
}

impl Column {
    /// A column whose first values are these; their median is the sketch's origin.
    pub(super) fn new(outliers: Outliers, first: impl Iterator<Item = f64>) -> Column {
        let mut first: Vec<f64> = first.collect();
        let middle = first.len() / 2;
        let origin = match first.is_empty() {
            true => 0.0,
            false => *first.select_nth_unstable_by(middle, f64::total_cmp).1,
        };
        Column { quartiles: QuantileSketch::new(origin), moments: RunningMoments::default(), outliers }
    }

    /// Learns a batch of (value, weight) after forgetting as much of those before as is said; none is missing. What it then
    /// knows.
    pub(super) fn learn(&mut self, remembered: f64, mut values: Vec<(f64, f64)>) -> Prepared {
        self.moments.forget(remembered);
        if self.outliers == Outliers::Cap {
            self.quartiles.forget(remembered);
            self.quartiles.extend_weighted(values.iter().copied());
        }
        let (low, high) = self.bounds();
        values.iter_mut().for_each(|(value, _)| *value = value.clamp(low, high));
        self.moments.extend_weighted(values.iter().copied());
        Prepared { low, high, scale: self.moments.scale() }
    }

    /// Tukey's fences; infinite where nothing is capped.
    pub(super) fn bounds(&self) -> (f64, f64) {
        let quartiles = match self.outliers {
            Outliers::Cap => self.quartiles.quantiles([0.25, 0.75]),
            Outliers::Keep => None,
        };
        let bounds = quartiles.and_then(|[q1, q3]| bounds(q1, q3, TUKEY_REACH));
        bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY))
    }

    pub(super) fn prepared(&self) -> Prepared {
        let (low, high) = self.bounds();
        Prepared { low, high, scale: self.moments.scale() }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.quartiles.is_valid() && self.moments.is_valid()
    }
}

impl Prepared {
    /// The coordinate of a value.
    fn score(&self, value: f64) -> f64 {
        self.scale.score(value.clamp(self.low, self.high))
    }

    fn is_outside(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }
}

/// Coordinates of these rows, none with a missing value. Row-major: rows × columns.
pub(super) fn points(prepared: &[Prepared], table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
    let columns = prepared.len();
    let mut values = vec![0.0; rows.len() * columns];
    let of_piece = |values: &mut [f64], rows: &[u32]| {
        for (c, prepared) in prepared.iter().enumerate() {
            let column = table.numeric(c);
            for (point, &row) in values.chunks_exact_mut(columns).zip(rows) {
                point[c] = prepared.score(column.get(row as usize));
            }
        }
    };
    if is_large(rows) {
        let pieces = values.par_chunks_mut(PIECE_ROWS * columns).zip(rows.par_chunks(PIECE_ROWS));
        pieces.for_each(|(values, rows)| of_piece(values, rows));
    } else {
        of_piece(&mut values, rows);
    }
    values
}

/// Whether rows are so many that threads share them: to wake another one takes longer than a piece.
pub(super) fn is_large(rows: &[u32]) -> bool {
    rows.len() > PIECE_ROWS
}

/// Values of these rows that are capped.
pub(super) fn capped(prepared: &[Prepared], table: &FeatureTable, rows: &[u32]) -> u64 {
    let of_column = |(c, prepared): (usize, &Prepared)| {
        rows.iter().filter(|&&row| prepared.is_outside(table.numeric(c).get(row as usize))).count() as u64
    };
    match is_large(rows) {
        true => prepared.par_iter().enumerate().map(of_column).sum(),
        false => prepared.iter().enumerate().map(of_column).sum(),
    }
}
