//! Trees that take turns: what a fit after a few more rows grows anew, and what it keeps of the model before.
//!
//! A forest whose counts are too many to keep (see `kept`) would be grown from nothing at every batch. Instead a quarter of
//! its trees is, those that have stood longest, and every tree that was grown from fewer than ten elevenths of the rows.
//! The others keep their splits and count all rows in their leaves. So every leaf is of all rows, and no split older than
//! four fits or a tenth of the rows. What is kept is in the model: a fit that reads it back from its file makes the same
//! bytes.

use super::cell::{Cell, Count, Source, Unweighted};
use super::draw::Drawable;
use super::grow::leaf_value;
use super::kept::{is_kept, levels};
use super::params::RandomForestParams;
use super::tree::{Node, Tree};
use super::{Forest, walk};
use crate::encode::bins::{BinnedRows, TableBins};
use crate::seed::derive;
use crate::seen::Seen;
use crate::training::TrainingRows;
use serde::{Deserialize, Serialize};

/// One in so many trees is grown anew by a fit that goes on from a model.
pub(crate) const ANEW: usize = 4;

/// Whether trees that were grown from so many rows may be kept, now that there are so many.
pub(crate) fn is_recent(grown_from: u64, rows: u64) -> bool {
    rows.saturating_mul(10) <= grown_from.saturating_mul(11)
}

/// What a forest knows of its trees for the next fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turns {
    params: RandomForestParams,
    seen: Seen,
    /// By tree.
    ages: Vec<Age>,
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
    pub(crate) fn of(
        params: &RandomForestParams,
        training: &TrainingRows<'_>,
        seed: u64,
        ages: Vec<Age>,
    ) -> Turns {
        let seen = Seen::of(training.table, training.labels, training.rows, seed);
        Turns { params: params.clone(), seen, ages }
    }

    pub(crate) fn is_valid(&self, trees: usize, features: usize) -> bool {
        self.params.validate().is_ok()
            && self.ages.len() == trees
            && self.ages.iter().all(|age| {
                age.gains.len() == features && age.gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            })
    }
}

/// By tree, whether it stays as the model before has it; none does where that learned otherwise or from other rows.
pub(crate) fn staying(
    before: Option<&Forest>,
    params: &RandomForestParams,
    bins: &TableBins,
    training: &TrainingRows<'_>,
    seed: u64,
) -> Vec<Option<(Tree, Age)>> {
    let TrainingRows { table, labels, rows, .. } = *training;
    let continued =
        before.and_then(|forest| Some((forest, forest.turns.as_ref()?))).filter(|(forest, turns)| {
            turns.params == *params && forest.bins == *bins && turns.seen.begin(table, labels, rows, seed)
        });
    let Some((forest, turns)) = continued else { return vec![None; params.trees as usize] };
    let mut by_age: Vec<usize> = (0..turns.ages.len()).collect();
    by_age.sort_by_key(|&tree| turns.ages[tree].grown_from);
    let mut stays = vec![true; by_age.len()];
    by_age[..by_age.len().div_ceil(ANEW)].iter().for_each(|&tree| stays[tree] = false);
    let each = forest.trees.iter().zip(&turns.ages).zip(stays);
    each.map(|((tree, age), stays)| {
        (stays && is_recent(age.grown_from, rows.len() as u64)).then(|| (tree.clone(), age.clone()))
    })
    .collect()
}

/// The trees of these numbers with the rows that they draw counted in their leaves.
pub(crate) fn count_leaves(
    trees: &mut [(usize, Tree)],
    binned: &BinnedRows,
    rows: &Drawable<'_>,
    scale: &<Count as Cell>::Scale,
    seed: u64,
) {
    let (numbers, plain): (Vec<usize>, Vec<Tree>) = trees.iter().map(|(n, tree)| (*n, tree.clone())).unzip();
    let counts = walk::tally(&plain, binned, |tree, first, ends, counts: &mut [Count]| {
        let seed = derive(seed, numbers[tree] as u64);
        rows.each_tossed(rows.between(first, first + ends.len()), seed, |draw| {
            let end = ends[Unweighted::row(draw) - first] as usize;
            counts[end] = counts[end].plus(Unweighted.cell(draw));
        });
    });
    for ((_, tree), counts) in trees.iter_mut().zip(counts) {
        let all = counts.iter().fold(Count::default(), |sum, &count| sum.plus(count));
        let prior = all.sums(scale).share();
        for (node, count) in tree.0.iter_mut().zip(counts) {
            if let Node::Leaf(value) = node {
                *value = leaf_value(count.sums(scale), prior);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::ClassWeight;
    use super::super::prepare::Prepared;
    use super::*;
    use crate::{FeatureTable, KeptBins};

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
            let mut trees: Vec<(usize, Tree)> = [3, 0, 4].map(|n| (n, forest.trees[n].clone())).into();
            let grown = trees.clone();
            trees.iter_mut().flat_map(|(_, tree)| &mut tree.0).for_each(|node| {
                if let Node::Leaf(value) = node {
                    *value = 0.25;
                }
            });
            assert!(trees != grown);
            count_leaves(&mut trees, &binned, &drawable, &classes, 5);
            assert!(trees == grown);
        }
    }

    #[test]
    fn a_tree_is_recent_up_to_a_tenth_more_rows() {
        let cases =
            [(100, 100), (100, 110), (100, 111), (0, 0), (0, 1), (u64::MAX, u64::MAX), (100, u64::MAX)];
        let recent = cases.map(|(grown_from, rows)| is_recent(grown_from, rows));
        assert_eq!(recent, [true, true, false, true, false, true, false]);
    }
}
