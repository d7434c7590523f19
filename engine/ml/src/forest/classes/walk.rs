//! Many rows down many trees whose leaves say a share of each class.

use crate::encode::bins::BinnedRows;
use crate::encode::rare::Unseen;
use crate::forest::tree::{Node, Tree};
use crate::forest::walk::{BLOCK, Walks, end_of_unseen, groups, leaf_numbers, pays};
use rayon::prelude::*;

/// The sum of the leaves' shares of each row over the trees, in their order: rows × classes. `shares` has by tree those of
/// each leaf from the left.
pub(super) fn sum_shares(
    trees: &[Tree],
    shares: &[Vec<f64>],
    classes: usize,
    binned: &BinnedRows,
    unseen: &Unseen,
) -> Vec<f64> {
    let features = binned.features;
    let mut sums = vec![0.0; binned.rows() * classes];
    let lays_out = pays(trees, binned.rows());
    let mut before = 0;
    for group in groups(trees) {
        let walks = Walks::of(group, features, lays_out);
        let numbers = walks.at_ends(leaf_numbers);
        let blocks = sums.par_chunks_mut(BLOCK * classes).zip(binned.bins.par_chunks(BLOCK * features));
        blocks.for_each(|(sums, bins)| {
            walks.walk(bins, |tree, first, ends| {
                let rows = sums.chunks_exact_mut(classes).skip(first);
                rows.zip(ends).for_each(|(row, &end)| {
                    add(row, &shares[before + tree], numbers[tree][end as usize]);
                });
            });
        });
        before += group.len();
    }
    put_unseen(trees, shares, classes, binned, unseen, &mut sums);
    sums
}

/// Sums anew of the rows that have unseen categories.
fn put_unseen(
    trees: &[Tree],
    shares: &[Vec<f64>],
    classes: usize,
    binned: &BinnedRows,
    unseen: &Unseen,
    sums: &mut [f64],
) {
    let mut rows = unseen.rows().peekable();
    let numbers: Vec<Vec<u32>> = match rows.peek() {
        Some(_) => trees.iter().map(leaf_numbers).collect(),
        None => return,
    };
    for (row, cells) in rows {
        let sums = &mut sums[row * classes..][..classes];
        sums.fill(0.0);
        for ((tree, numbers), shares) in trees.iter().zip(&numbers).zip(shares) {
            add(sums, shares, numbers[end_of_unseen(tree, binned.row(row), cells) as usize]);
        }
    }
}

fn add(sums: &mut [f64], shares: &[f64], leaf: u32) {
    let of_leaf = shares.chunks_exact(sums.len()).nth(leaf as usize).unwrap_or_default();
    sums.iter_mut().zip(of_leaf).for_each(|(sum, share)| *sum += share);
}

/// Leaves, counted one by one: a damaged file may have any number beside its splits.
pub(super) fn leaves(tree: &Tree) -> usize {
    tree.0.iter().filter(|node| matches!(node, Node::Leaf(_))).count()
}
