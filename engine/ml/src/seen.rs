//! The rows that a fit learned from, by which a later fit knows whether it goes on from them.

use crate::seed::derive;
use crate::table::FeatureTable;
use serde::{Deserialize, Serialize};

/// Rows looked at to recognise the rows of the fit before.
const FINGERPRINT_ROWS: usize = 256;

/// How many rows a fit learned from, with which seed, and a fingerprint of 256 of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    rows: u64,
    seed: u64,
    fingerprint: u64,
}

impl Seen {
    pub(crate) fn of(table: &FeatureTable, labels: &[bool], rows: &[u32], seed: u64) -> Seen {
        Seen { rows: rows.len() as u64, seed, fingerprint: fingerprint(table, labels, rows) }
    }

    /// How many rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether these were the first ones of `rows`, learned from with the same seed.
    pub(crate) fn begin(&self, table: &FeatureTable, labels: &[bool], rows: &[u32], seed: u64) -> bool {
        let first = usize::try_from(self.rows).ok().and_then(|count| rows.get(..count));
        self.seed == seed && first.is_some_and(|first| fingerprint(table, labels, first) == self.fingerprint)
    }
}

/// A hash of [`FINGERPRINT_ROWS`] of the rows, evenly spread.
fn fingerprint(table: &FeatureTable, labels: &[bool], rows: &[u32]) -> u64 {
    let mut hash = rows.len() as u64;
    let taken = rows.len().min(FINGERPRINT_ROWS);
    for i in 0..taken {
        let row = rows[((i + 1) * rows.len() / taken) - 1];
        hash = derive(hash ^ u64::from(row), u64::from(labels[row as usize]));
        for c in 0..table.numeric_names().len() {
            hash = derive(hash, table.numeric(c)[row as usize].to_bits());
        }
        for c in 0..table.categorical_names().len() {
            let column = table.categorical(c);
            let name = column.dictionary.get(column.codes[row as usize] as usize);
            hash = derive(hash, name.map_or(u64::MAX, |name| u64::from(crc32fast::hash(name.as_bytes()))));
        }
    }
    hash
}
