//! Trees as rows walk them: every tree has all places of its depth, so that a walk has no branch and eight rows go side by
//! side. Many rows walk trees of [`ranked`](super::ranked) to the same places.

use super::ranked::{MANY, Ranked};
use crate::FeatureTable;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows that walk side by side.
const LANES: usize = 8;
/// Rows of a block, a multiple of [`LANES`]: with their columns in a row they stay in cache while all trees are walked.
const BLOCK: usize = 256;
/// Values of a block at most, where it has more than [`LANES`] rows.
const BLOCK_VALUES: usize = 1 << 15;
/// The bit of a column by which missing values go right.
const MISSING_RIGHT: u32 = 1 << 31;

/// A column and a value: rows above it go right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Split {
    threshold: f64,
    column: u32,
}

impl Split {
    /// Where no row is split: all go left.
    const NONE: Split = Split { threshold: f64::INFINITY, column: 0 };

    pub(super) fn new(column: usize, threshold: f64, missing_right: bool) -> Split {
        // A table of 2³¹ columns is none.
        let column = column as u32 & !MISSING_RIGHT;
        Split { threshold, column: if missing_right { column | MISSING_RIGHT } else { column } }
    }

    pub(super) fn column(&self) -> usize {
        (self.column & !MISSING_RIGHT) as usize
    }

    pub(super) fn threshold(&self) -> f64 {
        self.threshold
    }

    pub(super) fn missing_goes_right(&self) -> bool {
        self.column & MISSING_RIGHT != 0
    }

    pub(super) fn goes_right(&self, value: f64) -> bool {
        (value > self.threshold) | (value.is_nan() & self.missing_goes_right())
    }
}

/// What stands at a place of a tree.
pub(crate) enum Place {
    /// Rows above the threshold go right.
    Split { column: usize, threshold: f64, missing_right: bool },
    /// All rows go left.
    Passed,
    /// The length of the path.
    Leaf(f64),
}

/// A tree: the two places below place `i` are `2 i + 1` and `2 i + 2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    splits: Vec<Split>,
    /// What the path to each lowest place is long: splits, and those that rows which are still together would take.
    paths: Vec<f64>,
}

impl Tree {
    /// Of one leaf.
    pub(super) fn new(depth: u32) -> Tree {
        let lowest = 1 << depth;
        Tree { splits: vec![Split::NONE; lowest - 1], paths: vec![0.0; lowest] }
    }

    pub(super) fn set_split(&mut self, node: usize, split: Split) {
        self.splits[node] = split;
    }

    /// A leaf at a place is the lowest one to the left below it.
    pub(super) fn set_leaf(&mut self, mut node: usize, path: f64) {
        while node < self.splits.len() {
            node = 2 * node + 1;
        }
        self.paths[node - self.splits.len()] = path;
    }

    /// By place, from the first on.
    pub(super) fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// The path to each lowest place; as many as a power of two.
    pub(super) fn paths(&self) -> &[f64] {
        &self.paths
    }

    /// What stands at a place; the lowest ones are leaves.
    pub(crate) fn place(&self, at: usize) -> Place {
        match self.splits.get(at) {
            Some(split) if *split == Split::NONE => Place::Passed,
            Some(split) => Place::Split {
                column: split.column(),
                threshold: split.threshold,
                missing_right: split.missing_goes_right(),
            },
            None => Place::Leaf(self.paths.get(at - self.splits.len()).copied().unwrap_or_default()),
        }
    }

    pub(super) fn is_valid(&self, depth: u32, columns: usize) -> bool {
        let split = |split: &Split| {
            split.column() < columns && (split.threshold.is_finite() || *split == Split::NONE)
        };
        self.paths.len() == 1 << depth
            && self.splits.len() + 1 == self.paths.len()
            && self.splits.iter().all(split)
            // 65,536 values have one of 22.
            && self.paths.iter().all(|path| (0.0..64.0).contains(path))
    }
}

/// The sum of each row's paths over the trees, which are as deep as each other.
pub(super) fn paths(trees: &[Tree], table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
    if rows.len() >= MANY
        && let Some(ranked) = Ranked::of(trees, table.features())
    {
        return ranked.paths(table, rows);
    }
    one_by_one(trees, table, rows)
}

/// The same, each value compared with each threshold that it meets.
pub(super) fn one_by_one(trees: &[Tree], table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
    let columns = table.features();
    let block = (BLOCK_VALUES / columns.max(1)).clamp(LANES, BLOCK) / LANES * LANES;
    let mut sums = vec![0.0; rows.len()];
    sums.par_chunks_mut(block).zip(rows.par_chunks(block)).for_each(|(sums, rows)| {
        // Rows beyond the last are of zeros, and for nobody.
        let mut values = vec![0.0; rows.len().next_multiple_of(LANES) * columns];
        for column in 0..columns {
            let from = table.numeric(column);
            let to = values.iter_mut().skip(column).step_by(columns);
            to.zip(rows).for_each(|(to, &row)| *to = from.get(row as usize));
        }
        for tree in trees {
            let lanes = values.chunks_exact(LANES * columns).zip(sums.chunks_mut(LANES));
            lanes.for_each(|(values, sums)| {
                let paths = tree.walk(values, columns);
                sums.iter_mut().zip(paths).for_each(|(sum, path)| *sum += path);
            });
        }
    });
    sums
}

impl Tree {
    /// The paths of as many rows as there are lanes. Shape of `values`: lanes × columns.
    fn walk(&self, values: &[f64], columns: usize) -> [f64; LANES] {
        let mut places = [0usize; LANES];
        for _ in 0..self.paths.len().trailing_zeros() {
            for (lane, place) in places.iter_mut().enumerate() {
                let split = &self.splits[*place];
                let value = values[lane * columns + split.column()];
                *place = 2 * *place + 1 + usize::from(split.goes_right(value));
            }
        }
        places.map(|place| self.paths[place - self.splits.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_where_their_splits_lead() {
        // x <= 1: 2.0 splits; else y (missing on the right): 3.0 and 4.0.
        let mut tree = Tree::new(2);
        tree.set_split(0, Split::new(0, 1.0, false));
        tree.set_leaf(1, 2.0);
        tree.set_split(2, Split::new(1, 5.0, true));
        tree.set_leaf(5, 3.0);
        tree.set_leaf(6, 4.0);
        assert!(tree.is_valid(2, 2) && !tree.is_valid(3, 2) && !tree.is_valid(2, 1));
        let mut table = FeatureTable::new(vec!["x".into(), "y".into()], vec![]);
        table.push_numeric(0, [1.0, f64::NAN, 1.5, 9.0, f64::MAX]);
        table.push_numeric(1, [9.0, 0.0, 5.0, 5.5, f64::NAN]);
        table.finish_append().unwrap();
        let trees = [tree.clone(), tree];
        let (rows, expected) = ([0, 1, 2, 3, 4, 3], [4.0, 4.0, 6.0, 8.0, 8.0, 8.0]);
        assert_eq!(paths(&trees, &table, &rows), expected);
        // Many rows.
        assert_eq!(paths(&trees, &table, &rows.repeat(600)), expected.repeat(600));
    }
}
