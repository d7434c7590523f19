//! Trees that take turns: what a fit after a few more rows grows anew, and what it keeps of the model before.
//!
//! Counts of all trees of a large or deep forest are too many to keep (see `kept`). Instead a quarter of its trees is
//! grown anew at each fit, those that have stood longest, and every tree that was grown from fewer than ten elevenths of
//! the rows. The others keep their splits and count all rows in their leaves. So every leaf is of all rows, and no split
//! older than four fits with new rows, or a tenth of the rows. What is kept is in the model: a fit that reads it back from
//! its file makes the same bytes.

use super::cell::{Cell, ClassScale, Count, Source, Unweighted};
use super::draw::Drawable;
use super::kept::{is_kept, levels};
use super::origin::{Origin, TreeRows};
use super::params::RandomForestParams;
use super::tree::{Node, Tree};
use super::{Forest, walk};
use crate::encode::bins::{BinnedRows, TableBins};
use crate::seed::derive;
use serde::{Deserialize, Serialize};

/// One in so many trees is grown anew by a fit that goes on from a model.
pub(crate) const ONE_IN: usize = 4;

/// Whether trees that were grown from so many rows may be kept, now that there are so many.
pub(crate) fn is_recent(grown_from: u64, rows: u64) -> bool {
    rows.saturating_mul(10) <= grown_from.saturating_mul(11)
}

/// What a forest knows of its trees for the next fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turns {
    pub(crate) params: RandomForestParams,
    pub(crate) seed: u64,
    /// The rows in the leaves.
    pub(crate) origin: Origin,
    /// By tree.
    pub(crate) ages: Vec<Age>,
}

/// What a tree was grown from and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Age {
    /// Training rows.
    pub(crate) grown_from: u64,
    /// Share of each feature in what the splits gained; all 0 without a split.
    pub(crate) gains: Vec<f64>,
}

/// Whether trees take turns in such a forest: where less than three quarters of its levels can be counted from one fit to
/// the next, and rows are so many that no sample of them is empty.
pub(crate) fn takes_turns(params: &RandomForestParams, features: usize, rows: usize) -> bool {
    let growth = params.growth();
    let counted =
        if growth.counts_tried_only(features) { 0 } else { levels(params.trees as usize, features) };
    counted * 4 < growth.max_depth * 3 && is_kept(rows)
}

impl Turns {
    /// Numbers of the trees that stay where a fit has so many rows, ascending.
    pub(crate) fn staying(&self, rows: u64) -> Vec<usize> {
        let mut by_age: Vec<usize> = (0..self.ages.len()).collect();
        by_age.sort_by_key(|&tree| self.ages[tree].grown_from);
        let mut staying = by_age.split_off(by_age.len().div_ceil(ONE_IN));
        staying.retain(|&tree| is_recent(self.ages[tree].grown_from, rows));
        staying.sort_unstable();
        staying
    }

    pub(crate) fn is_valid(&self, trees: usize, features: usize) -> bool {
        self.params.validate().is_ok()
            && self.params.trees as usize == trees
            && self.ages.len() == trees
            && self.ages.iter().all(|Age { grown_from, gains }| {
                *grown_from <= self.origin.rows
                    && gains.len() == features
                    && gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            })
    }
}

impl Forest {
    /// The trees and what is known of them, if a fit of these rows goes on from this forest.
    pub(crate) fn turns_for(
        &self,
        params: &RandomForestParams,
        bins: &TableBins,
        rows: &TreeRows<'_>,
        seed: u64,
    ) -> Option<(&[Tree], &Turns)> {
        let turns = self.turns.as_ref().filter(|turns| {
            turns.params == *params
                && turns.seed == seed
                && self.bins == *bins
                && rows.begin_with(&turns.origin)
        })?;
        Some((&self.trees, turns))
    }
}

/// These trees, of these numbers, with the rows that they draw counted in their leaves.
pub(crate) fn count_leaves(
    numbers: &[usize],
    mut trees: Vec<Tree>,
    binned: &BinnedRows,
    rows: &Drawable<'_>,
    scale: &ClassScale,
    seed: u64,
) -> Vec<Tree> {
    let counts = walk::tally(&trees, binned, |tree, first, ends, counts: &mut [Count]| {
        let seed = derive(seed, numbers[tree] as u64);
        rows.each_drawn(rows.between(first, first + ends.len()), seed, |draw| {
            let end = ends[Unweighted::row(draw) - first] as usize;
            counts[end] = counts[end].plus(Unweighted.cell(draw));
        });
    });
    for (tree, counts) in trees.iter_mut().zip(counts) {
        let all = counts.iter().fold(Count::default(), |sum, &count| sum.plus(count));
        let prior = all.sums(scale).share();
        for (node, count) in tree.0.iter_mut().zip(counts) {
            if let Node::Leaf(value) = node {
                *value = count.leaf(scale, prior);
            }
        }
    }
    trees
}

#[cfg(test)]
mod tests {
    use super::super::params::ClassWeight;
    use super::super::prepare::Prepared;
    use super::*;
    use crate::{FeatureTable, KeptBins, TrainingRows};

    #[test]
    fn trees_grown_and_counted_on_the_same_rows_have_the_same_leaves() {
        let mut table = FeatureTable::new(vec!["x".into(), "y".into()], vec![]);
        for column in 0..2 {
            table.push_numeric(column, (0..5_000).map(|row| (derive(column as u64, row) % 999) as f64));
        }
        table.finish_append().unwrap();
        let labels: Vec<bool> = (0..5_000).map(|row| derive(9, row).is_multiple_of(3)).collect();
        let rows: Vec<u32> = (0..5_000).filter(|row| row % 3 != 1).collect();
        let params = RandomForestParams {
            trees: 5,
            max_depth: 32,
            min_samples_leaf: 1,
            class_weight: ClassWeight::Given { negative: 1.0, positive: 3.0 },
            ..RandomForestParams::default()
        };
        assert!(takes_turns(&params, 2, rows.len()) && !takes_turns(&params, 2, 2_000));
        let mut kept = KeptBins::new();
        kept.extend(&table, &rows).unwrap();
        for bins in [None, Some(&kept)] {
            let training = TrainingRows { bins, ..TrainingRows::new(&table, &labels, &rows) };
            let forest = Forest::fit(&params, &training, 5, None, None);
            let Prepared { binned, by_table_row, .. } = Prepared::of(&training, params.categories, 5);
            assert_eq!(by_table_row, bins.is_some());
            let drawable = Drawable { rows: &rows, labels: &labels, by_table_row };
            let classes = drawable.class_scale(params.class_weight);
            // Not all of them, and in another order.
            let numbers = [3, 0, 4];
            let grown = numbers.map(|number| forest.trees[number].clone());
            let mut blank = grown.clone();
            blank.iter_mut().flat_map(|tree| &mut tree.0).for_each(|node| {
                if let Node::Leaf(value) = node {
                    *value = 0.25;
                }
            });
            let counted = count_leaves(&numbers, blank.into(), &binned, &drawable, &classes, 5);
            assert!(counted == grown);
        }
    }

    #[test]
    fn those_that_have_stood_longest_go_first_and_all_that_are_too_old() {
        let turns = |grown_from: &[u64]| Turns {
            params: RandomForestParams::default(),
            seed: 0,
            origin: TreeRows {
                rows: &Drawable { rows: &[], labels: &[], by_table_row: false },
                binned: &BinnedRows { features: 1, bins: vec![] },
            }
            .origin(),
            ages: grown_from.iter().map(|&grown_from| Age { grown_from, gains: vec![] }).collect(),
        };
        let staying = |grown_from: &[u64]| turns(grown_from).staying(110);
        assert_eq!(staying(&[100; 6]), [2, 3, 4, 5]);
        assert_eq!(staying(&[110, 102, 101, 110, 105, 102, 101, 110, 110]), [0, 3, 4, 5, 7, 8]);
        assert_eq!(staying(&[110, 99, 98, 97, 105]), [0, 4]);
        assert_eq!(staying(&[110]), [0; 0]);
    }

    #[test]
    fn a_tree_is_recent_up_to_a_tenth_more_rows() {
        let cases =
            [(100, 100), (100, 110), (100, 111), (0, 0), (0, 1), (u64::MAX, u64::MAX), (100, u64::MAX)];
        let recent = cases.map(|(grown_from, rows)| is_recent(grown_from, rows));
        assert_eq!(recent, [true, true, false, true, false, true, false]);
    }
}
