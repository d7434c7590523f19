//! Growing one tree depth first, from the histograms of its nodes.
//!
//! Every node has a seed of its own, derived from its parent's, so both sides of a split can grow at once and a tree does
//! not depend on the number of threads.

use super::cell::{Cell, Source};
use super::few::FewCounts;
use super::histogram::Histogram;
use super::kept::{Before, Children, KeptNode, KeptTree, Moved, Side, is_kept};
use super::params::Growth;
use super::partition::{Cut, partition};
use super::split::{Noise, Search, Split};
use super::tree::Grown;
use crate::encode::bins::{BINS, BinnedRows};
use crate::seed::derive;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Entries of a node whose sides are worth a task each.
pub(crate) const TASK: usize = 8_192;

/// Entries below which a node counts for itself what it tries, feature by feature: to look at the bins of all features, and
/// to take its sibling's from its parent's, costs as much however few there are. The tree is the same.
const FEW: usize = 512;

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
    /// Levels of nodes whose counts are kept for the next fit; none where nodes count only what they try.
    pub(crate) kept_levels: u32,
}

type Hist<S> = Histogram<<S as Source>::Cell>;

/// A node that is to grow.
struct Bud<'a, S: Source> {
    entries: &'a mut [S::Entry],
    /// As long as `entries`.
    spill: &'a mut [S::Entry],
    cell: S::Cell,
    /// Known if a sibling's was made, or the last fit's was brought up to date.
    histogram: Option<Hist<S>>,
    /// What the last fit kept of it.
    before: Option<Before<S>>,
    depth: u32,
    seed: u64,
}

/// Histograms of a left and a right child.
type Histograms<S> = (Option<Hist<S>>, Option<Hist<S>>);

/// A node that grew with all below it, and what of it is kept for the next fit.
type Node<S> = (Grown, Option<KeptNode<<S as Source>::Cell>>);

impl<S: Source> Grower<'_, S> {
    /// Grows the tree of these entries, of which there is at least one, and reorders them. `before` is what was kept of
    /// the tree by a fit on fewer of the rows, with the number of entries that it had; what is kept of this one comes with the
    /// tree.
    pub(crate) fn grow(
        &self,
        entries: &mut [S::Entry],
        before: Option<(KeptTree<S::Cell>, usize)>,
        seed: u64,
    ) -> (Grown, Option<KeptTree<S::Cell>>) {
        let total = entries.iter().fold(S::Cell::default(), |sum, &e| sum.plus(self.source.cell(e)));
        let prior = total.sums(&self.search.scale).share();
        let mut spill = vec![S::Entry::default(); entries.len()];
        let (histogram, before) = match before {
            Some((tree, known_entries)) => {
                let added = entries[known_entries..].to_vec();
                let mut histogram = tree.histogram;
                histogram.add(self.binned, &self.source, &added);
                (
                    Some(histogram),
                    tree.root.map(|node| Before { node, moved: Moved { added, removed: Vec::new() } }),
                )
            }
            None if self.kept_levels > 0 && !self.is_leaf(total, 0) => {
                (Some(Histogram::of(self.binned, &self.source, entries, self.parallel)), None)
            }
            None => (None, None),
        };
        let of_root = if self.kept_levels > 0 { histogram.clone() } else { None };
        let bud = Bud { entries, spill: &mut spill, cell: total, histogram, before, depth: 0, seed };
        let (grown, root) = self.node(bud, prior);
        (grown, of_root.map(|histogram| KeptTree { histogram, root }))
    }

    fn is_leaf(&self, cell: S::Cell, depth: u32) -> bool {
        depth >= self.params.max_depth
            || cell.rows() < self.params.min_samples_leaf.saturating_mul(2)
            || cell.is_pure()
    }

    /// The node and all below it.
    fn node(&self, bud: Bud<'_, S>, prior: f64) -> Node<S> {
        let Bud { entries, spill, cell, histogram, before, depth, seed } = bud;
        let leaf = || (Grown::Leaf(cell.leaf(&self.search.scale, prior)), None);
        if self.is_leaf(cell, depth) {
            return leaf();
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let search = &self.search_of(entries, cell);
        let (found, histogram) = if entries.len() < FEW {
            (self.best_of_few(search, entries, cell, &mut random), None)
        } else if self.params.counts_tried_only(self.binned.features) {
            (self.best_of_tried(search, entries, cell, &mut random), None)
        } else {
            let histogram =
                histogram.unwrap_or_else(|| Histogram::of(self.binned, &self.source, entries, self.parallel));
            (self.best_split(search, &histogram, cell, &mut random), Some(histogram))
        };
        let Some((feature, split)) = found else { return leaf() };
        let (left_cell, right_cell) = (split.left, cell.minus(split.left));
        let leaves = (self.is_leaf(left_cell, depth + 1), self.is_leaf(right_cell, depth + 1));
        let changed = match (&before, &histogram) {
            (Some(before), Some(histogram)) => {
                before.changed((feature, &split.rule), histogram, entries.len())
            }
            _ => None,
        };
        let mut known = Children::none();
        // Two leaves are known by their cells: no need to know which rows are in which.
        let middle = match leaves {
            (true, true) => entries.len(),
            _ => {
                let goes_left = |bin| split.rule.goes_left(bin);
                let cut = Cut::new(feature, goes_left, changed.as_ref());
                let (middle, changed_sides) =
                    partition::<S>(self.binned, entries, spill, &cut, self.parallel);
                if let (Some(before), Some(_)) = (before, changed) {
                    known = before.children(self.binned, &self.source, &split.rule, changed_sides);
                }
                middle
            }
        };
        let keeps = depth + 1 < self.kept_levels && is_kept(entries.len());
        let (left, right) = entries.split_at_mut(middle);
        let (left_spill, right_spill) = spill.split_at_mut(middle);
        let mut counted = None;
        let (left_histogram, right_histogram) = match histogram {
            None => (None, None),
            Some(histogram) => {
                let uncounted = (leaves.0 || left.len() < FEW, leaves.1 || right.len() < FEW);
                let (side, children) = self.of_children(histogram, known.counted, left, right, uncounted);
                if keeps {
                    let of_side = if side == Side::Left { &children.0 } else { &children.1 };
                    counted = of_side.clone().map(|histogram| (side, histogram));
                }
                children
            }
        };
        let parallel = self.parallel && left.len().min(right.len()) >= TASK;
        let left = Bud {
            entries: left,
            spill: left_spill,
            cell: left_cell,
            histogram: left_histogram,
            before: known.left,
            depth: depth + 1,
            seed: derive(seed, 0),
        };
        let right = Bud {
            entries: right,
            spill: right_spill,
            cell: right_cell,
            histogram: right_histogram,
            before: known.right,
            depth: depth + 1,
            seed: derive(seed, 1),
        };
        let ((left, kept_left), (right, kept_right)) = if parallel {
            rayon::join(|| self.node(left, prior), || self.node(right, prior))
        } else {
            (self.node(left, prior), self.node(right, prior))
        };
        let kept = keeps.then(|| KeptNode {
            feature,
            rule: split.rule.clone(),
            counted,
            left: kept_left.map(Box::new),
            right: kept_right.map(Box::new),
        });
        let (left, right) = (Box::new(left), Box::new(right));
        (Grown::Split { feature, rule: split.rule, gain: split.gain, left, right }, kept)
    }

    /// The children's histograms: one of them as it was kept or else the smaller one counted, and only where its sibling,
    /// or it, will need one. Tells which that is.
    fn of_children(
        &self,
        histogram: Hist<S>,
        kept: Option<(Side, Hist<S>)>,
        left: &[S::Entry],
        right: &[S::Entry],
        (left_uncounted, right_uncounted): (bool, bool),
    ) -> (Side, Histograms<S>) {
        let smaller = if left.len() <= right.len() { Side::Left } else { Side::Right };
        if left_uncounted && right_uncounted {
            return (smaller, (None, None));
        }
        let (side, counted) = kept.unwrap_or_else(|| {
            let entries = if smaller == Side::Left { left } else { right };
            (smaller, Histogram::of(self.binned, &self.source, entries, self.parallel))
        });
        match side {
            Side::Left => {
                let other = (!right_uncounted).then(|| histogram.subtract(&counted));
                (side, (Some(counted), other))
            }
            Side::Right => {
                let other = (!left_uncounted).then(|| histogram.subtract(&counted));
                (side, (other, Some(counted)))
            }
        }
    }

    /// The search for a node of these entries. Only categories are charged for noise.
    fn search_of(&self, entries: &[S::Entry], cell: S::Cell) -> Search<S::Cell> {
        let has_categories = self.numeric_bins.len() < self.binned.features;
        let variance = if has_categories { self.source.variance(entries, cell) } else { None };
        let noise = variance.map_or(self.search.noise, Noise::Variance);
        Search { noise, ..self.search }
    }

    fn split_of(
        &self,
        search: &Search<S::Cell>,
        histogram: &Hist<S>,
        feature: usize,
        cell: S::Cell,
    ) -> Option<Split<S::Cell>> {
        match self.numeric_bins.get(feature) {
            Some(&used) => search.numeric(&histogram.0[feature], used, cell),
            None => search.categorical(&histogram.0[feature], cell),
        }
    }

    /// The best split among a random share of the features; if none of them can split, the others are tried in turn, as
    /// scikit-learn does, so that constant columns do not end a tree.
    fn best_split(
        &self,
        search: &Search<S::Cell>,
        histogram: &Hist<S>,
        cell: S::Cell,
        random: &mut Xoshiro256PlusPlus,
    ) -> Option<(usize, Split<S::Cell>)> {
        self.best_of_drawn(random, |feature| self.split_of(search, histogram, feature, cell))
    }

    /// As [`best_split`](Grower::best_split), with the same draws and outcome, for few entries.
    fn best_of_few(
        &self,
        search: &Search<S::Cell>,
        entries: &[S::Entry],
        cell: S::Cell,
        random: &mut Xoshiro256PlusPlus,
    ) -> Option<(usize, Split<S::Cell>)> {
        let (mut counts, mut bins) = (FewCounts::none(), [0; BINS]);
        self.best_of_drawn(random, |feature| {
            counts.add(self.binned, &self.source, entries, feature);
            let split = match self.numeric_bins.get(feature) {
                Some(_) => search.numeric_of(counts.cells(), counts.value_bins(&mut bins), cell),
                None => search.categorical_of(counts.cells(), counts.bins(), cell),
            };
            counts.clear();
            split
        })
    }

    /// The best of the splits that features have, drawn one after the other: of a share of them, and of others until one can
    /// split.
    fn best_of_drawn(
        &self,
        random: &mut Xoshiro256PlusPlus,
        mut split_of: impl FnMut(usize) -> Option<Split<S::Cell>>,
    ) -> Option<(usize, Split<S::Cell>)> {
        let features = self.binned.features;
        let mut order: Vec<usize> = (0..features).collect();
        let mut best = None;
        for i in 0..features {
            if i >= self.params.tried(features) && best.is_some() {
                break;
            }
            pick(&mut order, i, random);
            best = better(best, order[i], split_of(order[i]));
        }
        best
    }

    /// As [`best_split`](Grower::best_split), with the same draws and outcome, counting only what is tried.
    fn best_of_tried(
        &self,
        search: &Search<S::Cell>,
        entries: &[S::Entry],
        cell: S::Cell,
        random: &mut Xoshiro256PlusPlus,
    ) -> Option<(usize, Split<S::Cell>)> {
        let features = self.binned.features;
        let tried = self.params.tried(features);
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
            best = better(best, order[i], self.split_of(search, &histogram, order[i], cell));
        }
        best
    }
}

/// Draws what stands at `i` among what is left.
pub(crate) fn pick(order: &mut [usize], i: usize, random: &mut Xoshiro256PlusPlus) {
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

#[cfg(test)]
mod tests {
    use super::super::cell::{Count, Draw, Unweighted};
    use super::super::split::tests::search;
    use super::super::tree::{Node, Tree};
    use super::*;
    use crate::encode::bins::MISSING_BIN;

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
                kept_levels: 0,
            };
            let tree = Tree::of(grower.grow(&mut entries, None, 1).0, &mut [0.0; 2]);
            let leaves = leaves(&tree, &binned);
            assert_eq!(leaves.iter().map(|l| l.1).sum::<usize>(), 2_000);
            assert_eq!(leaves.iter().map(|l| l.0).max(), Some(max_depth as usize), "min {min_samples_leaf}");
            assert!(leaves.iter().all(|l| l.1 >= min_samples_leaf as usize), "{leaves:?}");
        }
    }

    #[test]
    fn counting_what_is_tried_grows_the_same_tree() {
        // Some of the bins are those of missing values.
        let bin = |draw: u64| if draw % 10 == 9 { MISSING_BIN } else { (draw % 10) as u8 };
        let bins: Vec<u8> =
            (0..6_000u32).flat_map(|i| (0..6).map(move |f| bin(derive(u64::from(i), f)))).collect();
        let binned = BinnedRows { features: 6, bins };
        let grower = Grower {
            binned: &binned,
            numeric_bins: &[9, 9, 9],
            source: Unweighted,
            search: search(3),
            params: Growth { max_depth: 5, min_samples_leaf: 3, max_features: 0.3 },
            parallel: true,
            kept_levels: 0,
        };
        let label = |row: u32| {
            let bins = &binned.bins[row as usize * 6..];
            bins[0] > 4 && bins[4].is_multiple_of(2)
        };
        let mut entries: Vec<Draw> = (0..6_000).map(|row| Draw::new(row, 1, label(row))).collect();
        for (count, seed) in [6_000, 300, 40, 9].into_iter().cycle().zip(0..160) {
            let entries = &entries[..count];
            let cell = entries.iter().fold(Count(0), |sum, &e| sum.plus(Unweighted.cell(e)));
            let histogram = Histogram::of(&binned, &Unweighted, entries, true);
            let random = || Xoshiro256PlusPlus::seed_from_u64(seed);
            let found = grower.best_split(&grower.search, &histogram, cell, &mut random());
            assert_eq!(found, grower.best_of_tried(&grower.search, entries, cell, &mut random()));
            assert_eq!(found, grower.best_of_few(&grower.search, entries, cell, &mut random()));
            assert!(found.is_some() || count < 6_000);
        }
        assert!(grower.params.counts_tried_only(6));
        assert!(matches!(grower.grow(&mut entries, None, 3).0, Grown::Split { .. }));
    }
}
