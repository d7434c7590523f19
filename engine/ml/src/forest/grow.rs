//! Growing one tree depth first, from the histograms of its nodes.
//!
//! Every node has a seed of its own, derived from its parent's, so both sides of a split can grow at once and a tree does
//! not depend on the number of threads.

use super::cell::{Cell, Source};
use super::histogram::Histogram;
use super::params::Growth;
use super::split::{Search, Split};
use super::tree::Grown;
use crate::encode::bins::BinnedRows;
use crate::seed::derive;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// A leaf's share of positives is drawn towards the tree's by so many rows: pure small leaves are not certain.
const LEAF_SMOOTHING: f64 = 1.0;
/// Entries of a node whose sides are worth a task each.
const TASK: usize = 8_192;
/// Entries that one task of a parallel partition takes.
const PARTITION: usize = 32_768;

/// Grows one tree.
pub(crate) struct Grower<'a, S: Source> {
    pub(crate) binned: &'a BinnedRows,
    /// Value bins of each numeric feature, which come first; the others are categorical.
    pub(crate) numeric_bins: &'a [usize],
    pub(crate) source: S,
    pub(crate) search: Search<S::Cell>,
    pub(crate) params: Growth,
    /// Whether to count and grow on all threads; a forest has other trees to keep them busy.
    pub(crate) parallel: bool,
}

type Hist<S> = Histogram<<S as Source>::Cell>;

impl<S: Source> Grower<'_, S> {
    /// Grows the tree of these entries, of which there is at least one, and reorders them.
    pub(crate) fn grow(&self, entries: &mut [S::Entry], seed: u64) -> Grown {
        let total = entries.iter().fold(S::Cell::default(), |sum, &e| sum.plus(self.source.cell(e)));
        let prior = total.sums(&self.search.scale).share();
        let mut spill = vec![S::Entry::default(); entries.len()];
        self.node(entries, &mut spill, total, None, 0, prior, seed)
    }

    fn is_leaf(&self, cell: S::Cell, depth: u32) -> bool {
        depth >= self.params.max_depth
            || cell.rows() < self.params.min_samples_leaf.saturating_mul(2)
            || cell.is_pure()
    }

    /// Features tried at a split.
    fn tried(&self) -> usize {
        let features = self.binned.features;
        ((features as f64 * self.params.max_features) as usize).clamp(1, features)
    }

    /// Whether a node counts the features that it tries by itself, instead of all of them for the sake of its sibling.
    /// Costs about as much as the other way where a third is tried; the tree is the same.
    fn counts_tried_only(&self) -> bool {
        self.tried() * 4 <= self.binned.features
    }

    /// The node of these entries and all below it. `histogram` is known if a sibling's was made; `spill` is as long as
    /// `entries`.
    #[allow(clippy::too_many_arguments)]
    fn node(
        &self,
        entries: &mut [S::Entry],
        spill: &mut [S::Entry],
        cell: S::Cell,
        histogram: Option<Hist<S>>,
        depth: u32,
        prior: f64,
        seed: u64,
    ) -> Grown {
        let leaf = || {
            let sums = cell.sums(&self.search.scale);
            Grown::Leaf((sums.sum + LEAF_SMOOTHING * prior) / (sums.weight + LEAF_SMOOTHING))
        };
        if self.is_leaf(cell, depth) {
            return leaf();
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (found, histogram) = if self.counts_tried_only() {
            (self.best_of_tried(entries, cell, &mut random), None)
        } else {
            let histogram =
                histogram.unwrap_or_else(|| Histogram::of(self.binned, &self.source, entries, self.parallel));
            (self.best_split(&histogram, cell, &mut random), Some(histogram))
        };
        let Some((feature, split)) = found else { return leaf() };
        let (left_cell, right_cell) = (split.left, cell.minus(split.left));
        let leaves = (self.is_leaf(left_cell, depth + 1), self.is_leaf(right_cell, depth + 1));
        // Two leaves are known by their cells: no need to know which rows are in which.
        let middle = match leaves {
            (true, true) => entries.len(),
            _ => {
                let rule = |bin| split.rule.goes_left(bin);
                partition::<S>(self.binned, entries, spill, feature, rule, self.parallel)
            }
        };
        let (left, right) = entries.split_at_mut(middle);
        let (left_spill, right_spill) = spill.split_at_mut(middle);
        let (left_histogram, right_histogram) = match histogram {
            None => (None, None),
            Some(histogram) => self.of_children(histogram, left, right, leaves),
        };
        let parallel = self.parallel && left.len().min(right.len()) >= TASK;
        let (a, b) = (derive(seed, 0), derive(seed, 1));
        let grow_left = || self.node(left, left_spill, left_cell, left_histogram, depth + 1, prior, a);
        let grow_right = || self.node(right, right_spill, right_cell, right_histogram, depth + 1, prior, b);
        let (left, right) =
            if parallel { rayon::join(grow_left, grow_right) } else { (grow_left(), grow_right()) };
        let (left, right) = (Box::new(left), Box::new(right));
        Grown::Split { feature, rule: split.rule, gain: split.gain, left, right }
    }

    /// The children's histograms: the smaller one counted, and only where its sibling, or it, will need one.
    fn of_children(
        &self,
        histogram: Hist<S>,
        left: &[S::Entry],
        right: &[S::Entry],
        (left_leaf, right_leaf): (bool, bool),
    ) -> (Option<Hist<S>>, Option<Hist<S>>) {
        let count = |entries| Histogram::of(self.binned, &self.source, entries, self.parallel);
        match (left_leaf, right_leaf) {
            (true, true) => (None, None),
            _ if left.len() <= right.len() => {
                let small = count(left);
                let large = (!right_leaf).then(|| histogram.subtract(&small));
                (Some(small), large)
            }
            _ => {
                let small = count(right);
                let large = (!left_leaf).then(|| histogram.subtract(&small));
                (large, Some(small))
            }
        }
    }

    fn split_of(&self, histogram: &Hist<S>, feature: usize, cell: S::Cell) -> Option<Split<S::Cell>> {
        match self.numeric_bins.get(feature) {
            Some(&used) => self.search.numeric(&histogram.0[feature], used, cell),
            None => self.search.categorical(&histogram.0[feature], cell),
        }
    }

    /// The best split among a random share of the features; if none of them can split, the others are tried in turn, as
    /// scikit-learn does, so that constant columns do not end a tree.
    fn best_split(
        &self,
        histogram: &Hist<S>,
        cell: S::Cell,
        random: &mut Xoshiro256PlusPlus,
    ) -> Option<(usize, Split<S::Cell>)> {
        let features = self.binned.features;
        let mut order: Vec<usize> = (0..features).collect();
        let mut best = None;
        for i in 0..features {
            if i >= self.tried() && best.is_some() {
                break;
            }
            pick(&mut order, i, random);
            best = better(best, order[i], self.split_of(histogram, order[i], cell));
        }
        best
    }

    /// As [`best_split`](Grower::best_split), with the same draws and outcome, counting only what is tried.
    fn best_of_tried(
        &self,
        entries: &[S::Entry],
        cell: S::Cell,
        random: &mut Xoshiro256PlusPlus,
    ) -> Option<(usize, Split<S::Cell>)> {
        let features = self.binned.features;
        let tried = self.tried();
        let mut order: Vec<usize> = (0..features).collect();
        (0..tried).for_each(|i| pick(&mut order, i, random));
        let mut histogram = Histogram::empty(features);
        histogram.add_features(self.binned, &self.source, entries, &order[..tried]);
        let mut best = None;
        for i in 0..features {
            if i >= tried {
                if best.is_some() {
                    break;
                }
                pick(&mut order, i, random);
                histogram.add_features(self.binned, &self.source, entries, &order[i..=i]);
            }
            best = better(best, order[i], self.split_of(&histogram, order[i], cell));
        }
        best
    }
}

/// Draws what stands at `i` among what is left.
fn pick(order: &mut [usize], i: usize, random: &mut Xoshiro256PlusPlus) {
    let at = random.gen_range(i..order.len());
    order.swap(i, at);
}

/// The better of two splits; of equal gains that of the first feature of the table, whatever the order of trial.
pub(crate) fn better<C>(
    best: Option<(usize, Split<C>)>,
    feature: usize,
    split: Option<Split<C>>,
) -> Option<(usize, Split<C>)> {
    match (best, split) {
        (best, None) => best,
        (None, Some(split)) => Some((feature, split)),
        (Some((first, best)), Some(split)) => {
            match split.gain > best.gain || (split.gain == best.gain && feature < first) {
                true => Some((feature, split)),
                false => Some((first, best)),
            }
        }
    }
}

/// Brings the entries that go left to the front, both sides in their old order; returns how many they are. `spill` is as
/// long as `entries`. In parallel if there are many and `parallel` says so; the outcome is the same.
pub(crate) fn partition<S: Source>(
    binned: &BinnedRows,
    entries: &mut [S::Entry],
    spill: &mut [S::Entry],
    feature: usize,
    goes_left: impl Fn(u8) -> bool,
    parallel: bool,
) -> usize {
    let left: [bool; 256] = std::array::from_fn(|bin| goes_left(bin as u8));
    let goes_left = |entry| left[binned.bins[S::row(entry) * binned.features + feature] as usize];
    if !parallel || entries.len() < 2 * PARTITION {
        let middle = divide(entries, spill, goes_left);
        let rest = entries.len() - middle;
        entries[middle..].copy_from_slice(&spill[..rest]);
        return middle;
    }
    // Each part divides itself, its left side in place and its right side in its part of the spill; then all are put
    // together.
    let parts = entries.par_chunks_mut(PARTITION).zip(spill.par_chunks_mut(PARTITION));
    let middles: Vec<usize> = parts.map(|(entries, spill)| divide(entries, spill, goes_left)).collect();
    let mut middle = 0;
    for (part, &count) in middles.iter().enumerate() {
        let start = part * PARTITION;
        entries.copy_within(start..start + count, middle);
        middle += count;
    }
    let mut to = middle;
    for (part, &count) in middles.iter().enumerate() {
        let start = part * PARTITION;
        let rest = PARTITION.min(entries.len() - start) - count;
        entries[to..to + rest].copy_from_slice(&spill[start..start + rest]);
        to += rest;
    }
    middle
}

/// Brings the entries that go left to the front and the others to the front of the spill; returns how many go left.
fn divide<E: Copy>(entries: &mut [E], spill: &mut [E], goes_left: impl Fn(E) -> bool) -> usize {
    let (mut middle, mut spilled) = (0, 0);
    // Written to both sides, counted on one: which one is a coin toss that a branch would lose half of the time.
    for i in 0..entries.len() {
        let entry = entries[i];
        let goes_left = goes_left(entry);
        entries[middle] = entry;
        spill[spilled] = entry;
        middle += usize::from(goes_left);
        spilled += usize::from(!goes_left);
    }
    middle
}

#[cfg(test)]
mod tests {
    use super::super::cell::{ClassScale, Count, Draw, Unweighted};
    use super::super::split::Noise;
    use super::super::tree::{Node, Tree};
    use super::*;

    /// Depth of each leaf, and the rows that end in it.
    fn leaves(tree: &Tree, binned: &BinnedRows) -> Vec<(usize, usize)> {
        let mut found = std::collections::BTreeMap::new();
        for row in binned.bins.chunks_exact(binned.features) {
            let (mut at, mut depth) = (0, 0);
            while let Node::Split { feature, rule, right } = &tree.0[at] {
                at = if rule.goes_left(row[*feature as usize]) { at + 1 } else { *right as usize };
                depth += 1;
            }
            found.entry(at).or_insert((depth, 0)).1 += 1;
        }
        found.into_values().collect()
    }

    fn search(min_rows: u32) -> Search<Count> {
        let scale = ClassScale { negative: 1.0, positive: 1.0 };
        Search { scale, min_rows, min_weight: 0.0, l2: 0.0, smoothing: 30.0, noise: Noise::Label }
    }

    #[test]
    fn a_tree_keeps_its_depth_and_its_leaves_keep_their_rows() {
        // A label that every split can improve on: no tree stops by itself.
        let bins: Vec<u8> = (0..2_000u32).flat_map(|i| [(i % 251) as u8, (i % 13) as u8]).collect();
        let binned = BinnedRows { features: 2, bins };
        for (max_depth, min_samples_leaf) in [(1, 1), (4, 1), (9, 1), (9, 40)] {
            let params = Growth { max_depth, min_samples_leaf, max_features: 0.5 };
            let mut entries: Vec<Draw> =
                (0..2_000u32).map(|row| Draw::new(row, 1, row * row % 7 / 4 == 1)).collect();
            let grower = Grower {
                binned: &binned,
                numeric_bins: &[251],
                source: Unweighted,
                search: search(min_samples_leaf),
                params,
                parallel: false,
            };
            let tree = Tree::of(grower.grow(&mut entries, 1), &mut [0.0; 2]);
            let leaves = leaves(&tree, &binned);
            assert_eq!(leaves.iter().map(|l| l.1).sum::<usize>(), 2_000);
            assert_eq!(leaves.iter().map(|l| l.0).max(), Some(max_depth as usize), "min {min_samples_leaf}");
            assert!(leaves.iter().all(|l| l.1 >= min_samples_leaf as usize), "{leaves:?}");
        }
    }

    #[test]
    fn counting_what_is_tried_grows_the_same_tree() {
        let bins: Vec<u8> =
            (0..6_000u32).flat_map(|i| (0..6).map(move |f| (derive(u64::from(i), f) % 9) as u8)).collect();
        let binned = BinnedRows { features: 6, bins };
        let grower = Grower {
            binned: &binned,
            numeric_bins: &[9, 9, 9],
            source: Unweighted,
            search: search(3),
            params: Growth { max_depth: 5, min_samples_leaf: 3, max_features: 0.3 },
            parallel: true,
        };
        let label = |row: u32| {
            let bins = &binned.bins[row as usize * 6..];
            bins[0] > 4 && bins[4].is_multiple_of(2)
        };
        let mut entries: Vec<Draw> = (0..6_000).map(|row| Draw::new(row, 1, label(row))).collect();
        let cell = entries.iter().fold(Count(0), |sum, &e| sum.plus(Unweighted.cell(e)));
        let histogram = Histogram::of(&binned, &Unweighted, &entries, true);
        for seed in 0..40 {
            let random = || Xoshiro256PlusPlus::seed_from_u64(seed);
            let found = grower.best_split(&histogram, cell, &mut random());
            assert_eq!(found, grower.best_of_tried(&entries, cell, &mut random()));
            assert!(found.is_some());
        }
        assert!(grower.counts_tried_only());
        assert!(matches!(grower.grow(&mut entries, 3), Grown::Split { .. }));
    }

    #[test]
    fn both_sides_of_a_partition_keep_their_order() {
        let binned = BinnedRows { features: 1, bins: vec![3, 0, 2, 1, 4] };
        let mut entries: Vec<Draw> = (0..5).map(|row| Draw::new(row, 1, false)).collect();
        let mut spill = entries.clone();
        let middle = partition::<Unweighted>(&binned, &mut entries, &mut spill, 0, |bin| bin < 3, true);
        assert_eq!(middle, 3);
        assert_eq!(entries.iter().map(|e| e.row).collect::<Vec<_>>(), [1, 2, 3, 0, 4]);
    }

    #[test]
    fn a_partition_in_parallel_is_the_same() {
        let rows = 3 * PARTITION as u32 + 5;
        let bins = (0..rows).map(|row| derive(3, u64::from(row)) as u8).collect();
        let binned = BinnedRows { features: 1, bins };
        let of = |parallel| {
            let mut entries: Vec<Draw> = (0..rows).map(|row| Draw::new(row, 1, false)).collect();
            let mut spill = entries.clone();
            let rule = |bin| bin % 3 == 1;
            let middle = partition::<Unweighted>(&binned, &mut entries, &mut spill, 0, rule, parallel);
            (middle, entries)
        };
        assert!(of(true) == of(false));
    }
}
