//! One tree: grown depth first from histograms, kept as a flat list of nodes.
//!
//! Invariant: the children of a node come after it in the list, so a walk from the root ends.

use super::histogram::{Count, Entry, Histogram};
use super::params::Growth;
use super::split::{self, Rule, Split};
use crate::encode::bins::BinnedRows;
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// A leaf's share of positives is drawn towards the tree's by so many rows: pure small leaves are not certain.
const LEAF_SMOOTHING: f64 = 1.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Node {
    /// Probability of the label.
    Leaf(f64),
    /// Rows for which the rule holds go on at the next node, the others at `right`.
    Split { feature: u32, rule: Rule, right: u32 },
}

/// A decision tree over binned rows; the first node is the root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree(pub(crate) Vec<Node>);

impl Tree {
    /// Probability of the label for a row's bins. Gives 0.5 for a tree that `is_valid` refuses.
    pub(crate) fn probability(&self, bins: &[u8]) -> f64 {
        let mut at = 0;
        loop {
            match self.0.get(at) {
                Some(Node::Leaf(probability)) => return *probability,
                Some(Node::Split { feature, rule, right }) => {
                    at = if rule.goes_left(bins[*feature as usize]) { at + 1 } else { *right as usize };
                }
                None => return 0.5,
            }
        }
    }

    /// Whether every walk stays within the list and the features; a file might hold anything.
    pub(crate) fn is_valid(&self, features: usize) -> bool {
        let count = self.0.len();
        count > 0
            && self.0.iter().enumerate().all(|(at, node)| match node {
                Node::Leaf(probability) => (0.0..=1.0).contains(probability),
                Node::Split { feature, right, .. } => {
                    (*feature as usize) < features && (*right as usize) > at + 1 && (*right as usize) < count
                }
            })
    }
}

/// Grows one tree; all random choices come from `random` in the order of the nodes.
pub(crate) struct Grower<'a> {
    pub(crate) binned: &'a BinnedRows,
    /// Features below this are numeric.
    pub(crate) numeric: usize,
    pub(crate) params: Growth,
    pub(crate) random: Xoshiro256PlusPlus,
    nodes: Vec<Node>,
    spill: Vec<Entry>,
    prior: f64,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(
        binned: &'a BinnedRows,
        numeric: usize,
        params: Growth,
        random: Xoshiro256PlusPlus,
    ) -> Self {
        Grower { binned, numeric, params, random, nodes: Vec::new(), spill: Vec::new(), prior: 0.5 }
    }

    /// Grows the tree of these rows, of which there is at least one.
    pub(crate) fn grow(mut self, entries: &mut [Entry]) -> Tree {
        let total = entries.iter().fold(Count(0), |sum, e| sum.plus(e.count()));
        self.prior = f64::from(total.positives()) / f64::from(total.rows().max(1));
        self.spill.reserve(entries.len());
        self.node(entries, total, None, 0);
        Tree(self.nodes)
    }

    fn is_leaf(&self, count: Count, depth: u32) -> bool {
        depth >= self.params.max_depth
            || count.rows() < 2 * self.params.min_samples_leaf
            || count.positives() == 0
            || count.positives() == count.rows()
    }

    /// Adds the node of these entries and all below it. `histogram` is known if a sibling's was made.
    fn node(&mut self, entries: &mut [Entry], count: Count, histogram: Option<Histogram>, depth: u32) {
        let split = if self.is_leaf(count, depth) {
            None
        } else {
            let histogram = histogram.unwrap_or_else(|| Histogram::of(self.binned, entries));
            self.best_split(&histogram, count).map(|found| (found, histogram))
        };
        let Some(((feature, split), histogram)) = split else {
            let positives = f64::from(count.positives()) + LEAF_SMOOTHING * self.prior;
            self.nodes.push(Node::Leaf(positives / (f64::from(count.rows()) + LEAF_SMOOTHING)));
            return;
        };
        let at = self.nodes.len();
        let middle = self.partition(entries, feature, &split.rule);
        let (left, right) = entries.split_at_mut(middle);
        let (left_count, right_count) = (split.left, count.minus(split.left));
        let (left_leaf, right_leaf) =
            (self.is_leaf(left_count, depth + 1), self.is_leaf(right_count, depth + 1));
        // Count the smaller child only where its sibling, or it, will need a histogram.
        let (left_histogram, right_histogram) = match (left_leaf, right_leaf) {
            (true, true) => (None, None),
            _ if left.len() <= right.len() => {
                let small = Histogram::of(self.binned, left);
                let large = (!right_leaf).then(|| histogram.subtract(&small));
                (Some(small), large)
            }
            _ => {
                let small = Histogram::of(self.binned, right);
                let large = (!left_leaf).then(|| histogram.subtract(&small));
                (large, Some(small))
            }
        };
        self.nodes.push(Node::Split { feature: feature as u32, rule: split.rule, right: 0 });
        self.node(left, left_count, left_histogram, depth + 1);
        let next = self.nodes.len() as u32;
        if let Some(Node::Split { right, .. }) = self.nodes.get_mut(at) {
            *right = next;
        }
        self.node(right, right_count, right_histogram, depth + 1);
    }

    /// The best split among a random share of the features; if none of them can split, the others are tried in turn, as
    /// scikit-learn does, so that constant columns do not end a tree.
    fn best_split(&mut self, histogram: &Histogram, count: Count) -> Option<(usize, Split)> {
        let features = histogram.0.len();
        let tried = ((features as f64 * self.params.max_features) as usize).clamp(1, features);
        let mut order: Vec<usize> = (0..features).collect();
        let mut best: Option<(usize, Split)> = None;
        for i in 0..features {
            if i >= tried && best.is_some() {
                break;
            }
            let pick = self.random.gen_range(i..features);
            order.swap(i, pick);
            let feature = order[i];
            let cells = &histogram.0[feature];
            let min_rows = self.params.min_samples_leaf;
            let split = if feature < self.numeric {
                split::best_numeric(cells, count, min_rows)
            } else {
                split::best_categorical(cells, count, min_rows)
            };
            let Some(split) = split else { continue };
            // Equal gains: the first feature of the table, whatever the order of trial.
            if best
                .as_ref()
                .is_none_or(|(f, b)| split.gain > b.gain || (split.gain == b.gain && feature < *f))
            {
                best = Some((feature, split));
            }
        }
        best
    }

    /// Brings the entries that go left to the front, both sides in their old order; returns how many they are.
    fn partition(&mut self, entries: &mut [Entry], feature: usize, rule: &Rule) -> usize {
        let left: [bool; 256] = std::array::from_fn(|bin| rule.goes_left(bin as u8));
        self.spill.clear();
        let mut middle = 0;
        for i in 0..entries.len() {
            let entry = entries[i];
            if left[self.binned.bins[entry.row as usize * self.binned.features + feature] as usize] {
                entries[middle] = entry;
                middle += 1;
            } else {
                self.spill.push(entry);
            }
        }
        entries[middle..].copy_from_slice(&self.spill);
        middle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn split(right: u32) -> Node {
        Node::Split { feature: 1, rule: Rule::UpTo { bin: 3, missing_left: false }, right }
    }

    #[test]
    fn a_walk_that_might_not_end_or_leave_the_list_is_refused() {
        let leaf = Node::Leaf(0.25);
        assert!(Tree(vec![split(2), leaf.clone(), leaf.clone()]).is_valid(2));
        let bad = [
            vec![],
            vec![split(0), leaf.clone(), leaf.clone()],
            vec![split(1), leaf.clone()],
            vec![split(3), leaf.clone(), leaf.clone()],
            vec![Node::Leaf(f64::NAN)],
            vec![Node::Leaf(1.5)],
        ];
        assert!(bad.into_iter().all(|nodes| !Tree(nodes).is_valid(2)));
        assert!(!Tree(vec![split(2), leaf.clone(), leaf]).is_valid(1), "a feature that is not there");
    }

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
            let mut entries: Vec<Entry> =
                (0..2_000u32).map(|row| Entry { row, draws_and_label: 2 | (row * row % 7 / 4) }).collect();
            let random = Xoshiro256PlusPlus::seed_from_u64(1);
            let leaves = leaves(&Grower::new(&binned, 1, params, random).grow(&mut entries), &binned);
            assert_eq!(leaves.iter().map(|l| l.1).sum::<usize>(), 2_000);
            assert_eq!(leaves.iter().map(|l| l.0).max(), Some(max_depth as usize), "min {min_samples_leaf}");
            assert!(leaves.iter().all(|l| l.1 >= min_samples_leaf as usize), "{leaves:?}");
        }
    }
}
