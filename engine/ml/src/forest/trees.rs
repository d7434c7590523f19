//! The trees of a forest or of boosting as a classifier reads them: what leaves sum to, and what becomes of the sum.

use super::tree::Tree;
use super::walk;
use crate::FeatureTable;
use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::kept::KeptBins;
use crate::encode::rare::{RareCategories, Unseen};
use rayon::prelude::*;

/// Rows whose bins are there at a time when they are scored: so many that to lay out the trees for them costs nothing.
const PART: usize = 1 << 17;

/// The trees of a fitted model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trees<'a> {
    /// How features become bins.
    pub(crate) bins: &'a TableBins,
    /// Categories that the model learned from without a bin of their own.
    pub(crate) rare: &'a RareCategories,
    pub(crate) trees: &'a [Tree],
    /// Share of each feature in the gain of all splits; they sum to 1, or are all 0 where there is no split.
    pub(crate) gains: &'a [f64],
    pub(crate) link: Link,
}

/// How a row's leaves become a probability.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Link {
    /// Their mean.
    Mean,
    /// Their sum is what is added to these log-odds.
    LogOdds(f64),
}

/// What is said of rows, one value each, of a part of them after the other: the bins of many rows are as large as they are.
pub(super) fn scored_by_parts(rows: &[u32], score: impl Fn(&[u32]) -> Vec<f64>) -> Vec<f64> {
    if rows.len() <= PART {
        return score(rows);
    }
    let mut all = Vec::with_capacity(rows.len());
    rows.chunks(PART).for_each(|rows| all.extend(score(rows)));
    all
}

impl Trees<'_> {
    /// Probability of the label for these rows of a table, whose bins may have been kept.
    pub(crate) fn predict_rows(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Vec<f64> {
        scored_by_parts(rows, |rows| {
            let binned = KeptBins::binned(kept, self.bins, table, rows);
            self.predict_proba(&binned, &self.rare.unseen(table, rows, &binned))
        })
    }

    /// Probability of the label for each of these rows of bins.
    pub(crate) fn predict_proba(&self, binned: &BinnedRows, unseen: &Unseen) -> Vec<f64> {
        let mut sums = walk::sum(self.trees, binned);
        walk::put_unseen_sums(self.trees, binned, unseen, &mut sums);
        match self.link {
            Link::Mean => {
                let count = self.trees.len() as f64;
                sums.iter_mut().for_each(|sum| *sum /= count);
            }
            Link::LogOdds(base) => {
                sums.par_iter_mut().for_each(|sum| *sum = 1.0 / (1.0 + (-(base + *sum)).exp()));
            }
        }
        sums
    }

    /// The leaf of each row in each tree, row-major.
    pub(crate) fn apply(&self, binned: &BinnedRows, unseen: &Unseen) -> Vec<u32> {
        let mut leaves = walk::apply(self.trees, binned);
        walk::put_unseen_leaves(self.trees, binned, unseen, &mut leaves);
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn rows_are_scored_part_by_part_in_their_order() {
        for (rows, parts) in [(0, 1), (7, 1), (PART, 1), (PART + 1, 2), (2 * PART + 5, 3)] {
            let rows: Vec<u32> = (0..rows as u32).rev().collect();
            let calls = AtomicUsize::new(0);
            let scores = scored_by_parts(&rows, |rows| {
                calls.fetch_add(1, Ordering::Relaxed);
                rows.iter().map(|&row| f64::from(row)).collect()
            });
            assert_eq!(calls.into_inner(), parts);
            assert!(scores.iter().zip(&rows).all(|(score, &row)| *score == f64::from(row)));
            assert_eq!(scores.len(), rows.len());
        }
    }
}
