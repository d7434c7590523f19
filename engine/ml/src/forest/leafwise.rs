//! Growing one boosted tree best first: of all leaves so far the one whose split gains most is split next, until there are
//! as many leaves as allowed (Shi 2007; LightGBM's and scikit-learn's histogram boosting grow so).

use super::cell::{Cell, Source};
use super::grow::better;
use super::histogram::Histogram;
use super::partition::{Cut, partition};
use super::split::{Search, Split};
use super::tree::Grown;
use crate::encode::bins::BinnedRows;
use crate::seed::derive;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Grows one tree.
pub(crate) struct LeafwiseGrower<'a, S: Source> {
    pub(crate) binned: &'a BinnedRows,
    /// Value bins of each numeric feature, which come first; the others are categorical.
    pub(crate) numeric_bins: &'a [usize],
    pub(crate) source: S,
    pub(crate) search: Search<S::Cell>,
    pub(crate) max_leaves: usize,
    pub(crate) max_depth: u32,
    /// Features tried at a split, at least 1.
    pub(crate) tried: usize,
}

/// A node while the tree grows.
struct Bud<C> {
    /// Where its entries are.
    start: usize,
    end: usize,
    cell: C,
    depth: u32,
    seed: u64,
    histogram: Option<Histogram<C>>,
    split: Option<(usize, Split<C>)>,
    /// The two nodes that it was split into.
    children: Option<(usize, usize)>,
}

impl<S: Source> LeafwiseGrower<'_, S> {
    /// Grows the tree of these entries, which it reorders; `cell` is their sum and `spill` as long as they are. `leaf`
    /// gives the value of a leaf and takes note of its entries.
    pub(crate) fn grow(
        &self,
        entries: &mut [S::Entry],
        spill: &mut [S::Entry],
        cell: S::Cell,
        seed: u64,
        mut leaf: impl FnMut(S::Cell, &[S::Entry]) -> f64,
    ) -> Grown {
        let mut buds: Vec<Bud<S::Cell>> = Vec::new();
        let mut root = Bud {
            start: 0,
            end: entries.len(),
            cell,
            depth: 0,
            seed,
            histogram: None,
            split: None,
            children: None,
        };
        if self.may_split(&root) {
            root.histogram = Some(self.count(entries));
            self.search(&mut root);
        }
        buds.push(root);
        let mut leaves = 1;
        while leaves < self.max_leaves {
            // The first of equals: the choice does not depend on anything but the order of the nodes.
            let mut best: Option<(usize, f64)> = None;
            for (at, bud) in buds.iter().enumerate() {
                if let (Some((_, split)), None) = (&bud.split, bud.children)
                    && best.is_none_or(|(_, gain)| split.gain > gain)
                {
                    best = Some((at, split.gain));
                }
            }
            let Some((at, _)) = best else { break };
            let last = leaves + 1 == self.max_leaves;
            let Some([left, right]) = self.split(&mut buds[at], entries, spill, last) else { break };
            buds[at].children = Some((buds.len(), buds.len() + 1));
            buds.push(left);
            buds.push(right);
            leaves += 1;
        }
        self.finish(&mut buds, 0, entries, &mut leaf)
    }

    fn may_split(&self, bud: &Bud<S::Cell>) -> bool {
        bud.depth < self.max_depth && bud.cell.rows() >= self.search.min_rows.saturating_mul(2)
    }

    fn count(&self, entries: &[S::Entry]) -> Histogram<S::Cell> {
        Histogram::of(self.binned, &self.source, entries, true)
    }

    /// Finds the best split of a node that has its histogram, which it keeps for its children only if there is one.
    fn search(&self, bud: &mut Bud<S::Cell>) {
        let Some(histogram) = &bud.histogram else { return };
        let features = self.binned.features;
        let mut order: Vec<usize> = (0..features).collect();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(bud.seed);
        if self.tried < features {
            (0..self.tried).for_each(|i| order.swap(i, random.gen_range(i..features)));
        }
        let mut best = None;
        for &feature in &order[..self.tried] {
            let cells = &histogram.0[feature];
            let split = match self.numeric_bins.get(feature) {
                Some(&used) => self.search.numeric(cells, used, bud.cell),
                None => self.search.categorical(cells, bud.cell),
            };
            best = better(best, feature, split);
        }
        bud.split = best;
        if bud.split.is_none() {
            bud.histogram = None;
        }
    }

    /// Splits a node as found. After the `last` split of a tree no child is searched.
    fn split(
        &self,
        bud: &mut Bud<S::Cell>,
        entries: &mut [S::Entry],
        spill: &mut [S::Entry],
        last: bool,
    ) -> Option<[Bud<S::Cell>; 2]> {
        let (feature, split) = bud.split.as_ref()?;
        let range = bud.start..bud.end;
        let (entries, spill) = (&mut entries[range.clone()], &mut spill[range]);
        let cut = Cut::new(*feature, |bin| split.rule.goes_left(bin), None);
        let (middle, _) = partition::<S>(self.binned, entries, spill, &cut, true);
        let child = |start, end, cell, number| Bud {
            start: bud.start + start,
            end: bud.start + end,
            cell,
            depth: bud.depth + 1,
            seed: derive(bud.seed, number),
            histogram: None,
            split: None,
            children: None,
        };
        let mut left = child(0, middle, split.left, 0);
        let mut right = child(middle, entries.len(), bud.cell.minus(split.left), 1);
        let (splits_left, splits_right) = (!last && self.may_split(&left), !last && self.may_split(&right));
        if let Some(histogram) = bud.histogram.take().filter(|_| splits_left || splits_right) {
            let (of_left, of_right) = entries.split_at(middle);
            if of_left.len() <= of_right.len() {
                let small = self.count(of_left);
                right.histogram = splits_right.then(|| histogram.subtract(&small));
                left.histogram = splits_left.then_some(small);
            } else {
                let small = self.count(of_right);
                left.histogram = splits_left.then(|| histogram.subtract(&small));
                right.histogram = splits_right.then_some(small);
            }
            rayon::join(|| self.search(&mut left), || self.search(&mut right));
        }
        Some([left, right])
    }

    fn finish(
        &self,
        buds: &mut [Bud<S::Cell>],
        at: usize,
        entries: &[S::Entry],
        leaf: &mut impl FnMut(S::Cell, &[S::Entry]) -> f64,
    ) -> Grown {
        let bud = &mut buds[at];
        match (bud.children, bud.split.take()) {
            (Some((left, right)), Some((feature, split))) => {
                let left = Box::new(self.finish(buds, left, entries, leaf));
                let right = Box::new(self.finish(buds, right, entries, leaf));
                Grown::Split { feature, rule: split.rule, gain: split.gain, left, right }
            }
            _ => Grown::Leaf(leaf(bud.cell, &entries[bud.start..bud.end])),
        }
    }
}
