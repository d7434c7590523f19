//! A tree: some rows, split at random until each is alone or the tree is as deep as one in balance would be.

use super::walk::{Split, Tree};
use super::{depth_of, mean_path};
use crate::FeatureTable;
use crate::seed::derive;
use std::collections::BTreeSet;

/// Numbers of a seed, one after the other.
struct Draws {
    seed: u64,
    next: u64,
}

impl Draws {
    fn number(&mut self) -> u64 {
        self.next += 1;
        derive(self.seed, self.next)
    }

    /// From 0 up to, not including, `end`.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// From 0 up to, not including, 1.
    fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A tree of `drawn` of the rows, of which there are as many at least.
pub(super) fn tree(table: &FeatureTable, rows: &[u32], drawn: u32, seed: u64) -> Tree {
    let mut draws = Draws { seed, next: 0 };
    // Floyd's sample without replacement (Bentley, Floyd 1987).
    let mut positions = BTreeSet::new();
    for last in rows.len() - drawn as usize..rows.len() {
        let position = draws.below(last + 1);
        if !positions.insert(position) {
            positions.insert(last);
        }
    }
    let mut sample: Vec<u32> = positions.into_iter().map(|position| rows[position]).collect();
    let depth = depth_of(drawn);
    let mut growing = Growing { table, draws, tree: Tree::new(depth), depth };
    growing.grow(&mut sample, 0, 0);
    growing.tree
}

struct Growing<'a> {
    table: &'a FeatureTable,
    draws: Draws,
    tree: Tree,
    depth: u32,
}

impl Growing<'_> {
    fn grow(&mut self, rows: &mut [u32], node: usize, depth: u32) {
        let drawn = match depth < self.depth && rows.len() > 1 {
            true => self.split(rows),
            false => None,
        };
        let Some(split) = drawn else {
            return self.tree.set_leaf(node, f64::from(depth) + mean_path(rows.len()));
        };
        let column = self.table.numeric(split.column());
        // Two sides, in their order.
        rows.sort_by_key(|&row| split.goes_right(column.get(row as usize)));
        let right = rows.partition_point(|&row| !split.goes_right(column.get(row as usize)));
        self.tree.set_split(node, split);
        let (left, right) = rows.split_at_mut(right);
        self.grow(left, 2 * node + 1, depth + 1);
        self.grow(right, 2 * node + 2, depth + 1);
    }

    /// A column of those that differ, and a value between its least and its greatest one; `None` if none differs.
    fn split(&mut self, rows: &[u32]) -> Option<Split> {
        let mut columns: Vec<usize> = (0..self.table.features()).collect();
        while !columns.is_empty() {
            let at = self.draws.below(columns.len());
            let column = columns.swap_remove(at);
            let known = rows.iter().map(|&row| self.table.numeric(column).get(row as usize));
            let ends = known
                .filter(|v| !v.is_nan())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            if ends.0 < ends.1 {
                let (low, high) = ends;
                let share = self.draws.share();
                // Not low + share · (high - low): the distance of two finite values may be infinite.
                let between = low * (1.0 - share) + high * share;
                let threshold = if between < high { between.max(low) } else { low };
                return Some(Split::new(column, threshold, self.draws.number() >> 63 == 1));
            }
        }
        None
    }
}
