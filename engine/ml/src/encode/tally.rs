//! Rows and positives: what the share of positives in a category is made of, smoothed and out of fold.

use crate::seed::derive;
use serde::{Deserialize, Serialize};

/// How many rows, and how many of them are positive. Where rows weigh differently, both are in units of which many stand
/// for a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) positives: u64,
}

impl Tally {
    /// Of one row.
    pub(crate) fn one(label: bool) -> Tally {
        Tally { rows: 1, positives: u64::from(label) }
    }

    /// Counts of a file may be anything, hence saturating.
    pub(crate) fn plus(self, other: Tally) -> Tally {
        Tally {
            rows: self.rows.saturating_add(other.rows),
            positives: self.positives.saturating_add(other.positives),
        }
    }

    /// Less those of some of the rows: all but a fold is the whole less it.
    pub(crate) fn minus(self, part: Tally) -> Tally {
        Tally { rows: self.rows - part.rows, positives: self.positives - part.positives }
    }

    /// Of all of these.
    pub(crate) fn of(parts: &[Tally]) -> Tally {
        parts.iter().fold(Tally::default(), |sum, part| sum.plus(*part))
    }

    /// The share of positives; NaN of no rows.
    pub(crate) fn share(self) -> f64 {
        self.positives as f64 / self.rows as f64
    }

    /// Positives and negatives, in rows, with so many rows of the prior's share mixed in (Micci-Barreca 2001).
    pub(crate) fn smoothed(self, units_of_row: u64, prior: f64, smoothing: f64) -> [f64; 2] {
        let rows = |units: u64| units as f64 / units_of_row as f64;
        [
            rows(self.positives) + smoothing * prior,
            rows(self.rows - self.positives) + smoothing * (1.0 - prior),
        ]
    }
}

/// The fold of a row, of so many: by its number and the seed only, so that it stays when rows are added.
pub(crate) fn fold_of(row: u64, seed: u64, folds: u64) -> u64 {
    // The upper half of the hash as a fraction of 2^32.
    ((derive(seed, row) >> 32) * folds) >> 32
}
