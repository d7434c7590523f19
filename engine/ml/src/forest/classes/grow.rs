//! Growing one tree of many classes depth first; as [`grow`](super::super::grow) does for two, with the same seeds of
//! nodes and draws of features.

use super::DrawnClass;
use super::histogram::{Counting, minus};
use super::split::{ClassSearch, ClassSplit};
use crate::encode::bins::BINS;
use crate::forest::cell::{Draw, LEAF_SMOOTHING, Source};
use crate::forest::grow::{TASK, pick};
use crate::forest::params::Growth;
use crate::forest::partition::{Cut, partition};
use crate::forest::tree::Grown;
use crate::seed::derive;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Grows one tree.
pub(super) struct ClassGrower<'a> {
    pub(super) counting: Counting<'a>,
    /// Value bins of each numeric feature, which come first; the others are categorical.
    pub(super) numeric_bins: &'a [usize],
    pub(super) search: ClassSearch,
    pub(super) growth: Growth,
    /// Whether to count and grow on all threads.
    pub(super) parallel: bool,
}

/// A node that is to grow.
struct Bud<'a> {
    entries: &'a mut [DrawnClass],
    /// As long as `entries`.
    spill: &'a mut [DrawnClass],
    cell: Vec<u32>,
    /// Of all features, if a sibling's was counted.
    cells: Option<Vec<u32>>,
    depth: u32,
    seed: u64,
}

/// For dividing entries, which only asks where they are.
struct Rows;

impl Source for Rows {
    type Entry = DrawnClass;
    type Cell = crate::forest::cell::Count;

    fn row(entry: DrawnClass) -> usize {
        entry.draw.row() as usize
    }

    fn cell(&self, _: DrawnClass) -> Self::Cell {
        Default::default()
    }
}

impl ClassGrower<'_> {
    /// The tree of these entries, of which there is at least one, and which it reorders; leaves hold nothing, and their
    /// shares of the classes come beside it, from the left.
    pub(super) fn grow(&self, entries: &mut [DrawnClass], seed: u64) -> (Grown, Vec<f64>) {
        let cell = self.counting.total(entries);
        let prior = self.shares(&cell, None);
        let empty = DrawnClass { draw: Draw::default(), class: 0 };
        let mut spill = vec![empty; entries.len()];
        let bud = Bud { entries, spill: &mut spill, cell, cells: None, depth: 0, seed };
        self.node(bud, &prior)
    }

    /// What a leaf says: the share of each class, drawn towards all rows' by one row of mean weight.
    fn shares(&self, cell: &[u32], prior: Option<&[f64]>) -> Vec<f64> {
        let weights =
            cell[1..].iter().zip(&self.search.scale).map(|(&units, scale)| f64::from(units) * scale);
        let mut shares: Vec<f64> = match prior {
            Some(prior) => {
                weights.zip(prior).map(|(weight, prior)| weight + LEAF_SMOOTHING * prior).collect()
            }
            None => weights.collect(),
        };
        let all: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= all);
        shares
    }

    fn is_leaf(&self, cell: &[u32], depth: u32) -> bool {
        depth >= self.growth.max_depth
            || cell[0] < self.growth.min_samples_leaf.saturating_mul(2)
            || cell[1..].iter().filter(|weight| **weight > 0).count() < 2
    }

    /// Whether a node of so many entries counts all features at once, for its children's sake: where they are more than
    /// the cells, and features are not few that are tried. The tree is the same.
    fn counts_all(&self, entries: usize) -> bool {
        let tries_few = self.growth.counts_tried_only(self.counting.binned.features);
        !tries_few && entries >= BINS * self.counting.stride() / 4
    }

    /// The node and all below it.
    fn node(&self, bud: Bud<'_>, prior: &[f64]) -> (Grown, Vec<f64>) {
        let Bud { entries, spill, cell, cells, depth, seed } = bud;
        let leaf = || (Grown::Leaf(0.0), self.shares(&cell, Some(prior)));
        if self.is_leaf(&cell, depth) {
            return leaf();
        }
        let cells = cells
            .or_else(|| self.counts_all(entries.len()).then(|| self.counting.all(entries, self.parallel)));
        let Some((feature, split)) = self.best_split(entries, &cell, cells.as_deref(), seed) else {
            return leaf();
        };
        let ClassSplit { rule, gain, left: left_cell } = split;
        let right_cell = minus(cell, &left_cell);
        let cut = Cut::new(feature, |bin| rule.goes_left(bin), None);
        let (middle, _) = partition::<Rows>(self.counting.binned, entries, spill, &cut, self.parallel);
        let (left, right) = entries.split_at_mut(middle);
        let (left_spill, right_spill) = spill.split_at_mut(middle);
        let grows = [(&left_cell, left.len()), (&right_cell, right.len())]
            .map(|(cell, _)| !self.is_leaf(cell, depth + 1));
        let larger = left.len().max(right.len());
        let (left_cells, right_cells) = match cells.filter(|_| grows != [false; 2] && self.counts_all(larger))
        {
            None => (None, None),
            Some(cells) if left.len() <= right.len() => {
                let small = self.counting.all(left, self.parallel);
                let large = grows[1].then(|| minus(cells, &small));
                (Some(small), large)
            }
            Some(cells) => {
                let small = self.counting.all(right, self.parallel);
                let large = grows[0].then(|| minus(cells, &small));
                (large, Some(small))
            }
        };
        let parallel = self.parallel && left.len().min(right.len()) >= TASK;
        let depth = depth + 1;
        let of = |entries, spill, cell, cells, side| Bud {
            entries,
            spill,
            cell,
            cells,
            depth,
            seed: derive(seed, side),
        };
        let left = of(left, left_spill, left_cell, left_cells, 0);
        let right = of(right, right_spill, right_cell, right_cells, 1);
        let ((left, mut shares), (right, of_right)) = if parallel {
            rayon::join(|| self.node(left, prior), || self.node(right, prior))
        } else {
            (self.node(left, prior), self.node(right, prior))
        };
        shares.extend(of_right);
        (Grown::Split { feature, rule, gain, left: Box::new(left), right: Box::new(right) }, shares)
    }

    /// The best split among a random share of the features; if none of them can split, the others are tried in turn.
    fn best_split(
        &self,
        entries: &[DrawnClass],
        node: &[u32],
        cells: Option<&[u32]>,
        seed: u64,
    ) -> Option<(usize, ClassSplit)> {
        let features = self.counting.binned.features;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..features).collect();
        let mut best: Option<(usize, ClassSplit)> = None;
        let mut counted = Vec::new();
        for i in 0..features {
            if i >= self.growth.tried(features) && best.is_some() {
                break;
            }
            pick(&mut order, i, &mut random);
            let feature = order[i];
            let cells = match cells {
                Some(cells) => {
                    let size = BINS * self.counting.stride();
                    &cells[feature * size..][..size]
                }
                None => {
                    self.counting.one(entries, feature, &mut counted);
                    &counted[..]
                }
            };
            let split = match self.numeric_bins.get(feature) {
                Some(&used) => self.search.numeric(cells, used, node),
                None => self.search.categorical(cells, node),
            };
            let Some(split) = split else { continue };
            // Of equal gains that of the first feature of the table, whatever the order of trial.
            let is_better = best.as_ref().is_none_or(|(first, best)| {
                split.gain > best.gain || (split.gain == best.gain && feature < *first)
            });
            if is_better {
                best = Some((feature, split));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::bins::BinnedRows;
    use crate::forest::tree::Tree;

    #[test]
    fn the_tree_is_the_same_however_it_is_counted() {
        let rows = 20_000u32;
        let bins = (0..rows * 3).map(|i| derive(u64::from(i), 1) as u8 % 23).collect();
        let binned = BinnedRows { features: 3, bins };
        let class = |row: u32| {
            let bins = binned.row(row as usize);
            (u32::from(bins[0] > 11)
                + u32::from(bins[1].is_multiple_of(3)) * 2
                + u32::from(derive(7, u64::from(row)).is_multiple_of(5)))
                % 5
        };
        let entries: Vec<DrawnClass> =
            (0..rows).map(|row| DrawnClass { draw: Draw::new(row, 1, false), class: class(row) }).collect();
        let grown = |parallel, max_features| {
            let grower = ClassGrower {
                counting: Counting { binned: &binned, weights: None, classes: 5 },
                numeric_bins: &[23, 23],
                search: ClassSearch { scale: vec![1.0; 5], min_rows: 5, smoothing: 30.0 },
                growth: Growth { max_depth: 8, max_features, min_samples_leaf: 5 },
                parallel,
            };
            let (grown, shares) = grower.grow(&mut entries.clone(), 3);
            let tree = Tree::of(grown, &mut [0.0; 3]);
            assert_eq!(shares.len(), tree.leaves() * 5);
            (tree, shares)
        };
        assert!(grown(true, 1.0) == grown(false, 1.0));
        let (tree, shares) = grown(false, 1.0);
        assert!(tree.leaves() > 4);
        for of in shares.chunks(5) {
            assert!((of.iter().sum::<f64>() - 1.0).abs() < 1e-12 && of.iter().all(|share| *share > 0.0));
        }
    }
}
