//! The rows that trees are grown from, and how a later fit knows them again.

use super::draw::Drawable;
use crate::encode::bins::BinnedRows;
use crate::seed::derive;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows that one task hashes.
const BLOCK: usize = 16_384;

/// How many rows trees were grown from, and a hash of all that they saw of them: which rows, their labels and their bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) rows: u64,
    hash: u64,
}

/// Rows with labels and bins.
pub(crate) struct TreeRows<'a> {
    pub(crate) rows: &'a Drawable<'a>,
    pub(crate) binned: &'a BinnedRows,
}

impl TreeRows<'_> {
    /// The origin of trees of these rows.
    pub(crate) fn origin(&self) -> Origin {
        self.origin_after(Origin { rows: 0, hash: 0 })
    }

    /// The same where it is known that the rows begin with those of `before`.
    pub(crate) fn origin_after(&self, before: Origin) -> Origin {
        let rows = self.rows.rows.len();
        let hash = before.hash.wrapping_add(self.hash(before.rows as usize..rows));
        Origin { rows: rows as u64, hash }
    }

    /// Whether the first of these rows are those.
    pub(crate) fn begin_with(&self, origin: &Origin) -> bool {
        let first = usize::try_from(origin.rows).ok().filter(|&first| first <= self.rows.rows.len());
        first.is_some_and(|first| self.hash(0..first) == origin.hash)
    }

    /// A sum over the rows at these positions, each of which has its index in it, so that it goes on where it stopped and
    /// any thread can add its part.
    fn hash(&self, positions: Range<usize>) -> u64 {
        let Drawable { rows, labels, by_table_row } = *self.rows;
        let of_position = |position: usize| {
            let row = rows[position];
            let at = if by_table_row { row as usize } else { position };
            let (words, rest) = self.binned.row(at).as_chunks();
            let rest = rest.iter().fold(0, |word, &bin| word << 8 | u64::from(bin));
            let words = words.iter().map(|&word| u64::from_le_bytes(word)).chain([rest]);
            words.fold(derive(u64::from(labels[row as usize]), u64::from(row)), derive)
        };
        let blocks = positions.clone().step_by(BLOCK).collect::<Vec<_>>().into_par_iter();
        let sums = blocks.map(|start| {
            (start..(start + BLOCK).min(positions.end)).map(of_position).fold(0, u64::wrapping_add)
        });
        sums.reduce(|| 0, u64::wrapping_add)
    }
}
