//! Counts of the trees' upper nodes, kept from one fit to the next, so that a fit after some more rows counts these rows
//! only.
//!
//! ```text
//! node before ──split before──> left, right      + and -: rows that are in the node now and were not, or were and are
//! node now    ──split now─────> left, right        not, by the splits above; a child's are those of the node by the
//!                                                  split before, and the node's rows that the two splits tell apart
//! ```
//!
//! Counts are integers, and which rows a tree draws does not depend on how many there are: counts brought up to date are
//! those of a count of all rows, and so is the tree. Splits are searched anew, rows divided anew; where a node is split by
//! another feature than before, what was kept below it is dropped and all is counted there.

use super::cell::{Cell, Count, Source};
use super::histogram::Histogram;
use super::origin::{Origin, TreeRows};
use super::split::Rule;
use crate::encode::bins::{BINS, BinnedRows, TableBins};
use std::mem::size_of;

/// Bytes of all counts that are kept: 16 MiB.
const BUDGET: usize = 16 << 20;
/// Rows of a node below which a count costs no more than keeping it.
const FEWEST: usize = 2_048;

/// What a refit of a forest or a decision tree leaves for the next one: counts of its upper nodes, at most 16 MiB, and a copy of
/// the bins' edges and categories.
#[derive(Debug, Default)]
pub(crate) struct KeptCounts {
    state: Option<KeptTrees>,
}

impl KeptCounts {
    /// Counts of nothing yet.
    pub(crate) fn new() -> KeptCounts {
        KeptCounts::default()
    }

    /// Training rows whose counts are kept; 0 if nothing is.
    pub(crate) fn rows(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.origin.rows as usize)
    }

    /// These counts for a fit that can use them; for another nothing, and what is kept is dropped.
    pub(crate) fn used_if(&mut self, used: bool) -> Option<&mut KeptCounts> {
        if used {
            return Some(self);
        }
        self.clear();
        None
    }

    /// Drops what is kept.
    pub(crate) fn clear(&mut self) {
        self.state = None;
    }

    /// The trees of the last fit, if this one continues it; they are gone from here.
    pub(crate) fn take(&mut self, of: &Settings, bins: &TableBins, rows: &TreeRows<'_>) -> Option<KeptTrees> {
        self.state
            .take()
            .filter(|state| state.settings == *of && state.bins == *bins && rows.begin_with(&state.origin))
    }

    pub(crate) fn put(&mut self, trees: KeptTrees) {
        self.state = Some(trees);
    }
}

/// What decides which rows a tree draws, and so what is counted at a root. Other settings decide where a tree splits: what
/// was kept below a node that is no longer split by the same feature is dropped as it grows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) bootstraps: Option<u32>,
}

/// What is kept of a fit.
#[derive(Debug)]
pub(crate) struct KeptTrees {
    pub(crate) settings: Settings,
    pub(crate) bins: TableBins,
    pub(crate) origin: Origin,
    pub(crate) trees: Vec<Option<KeptTree<Count>>>,
}

/// Levels of nodes whose counts are kept, for so many trees: all of them together are within the budget.
pub(crate) fn levels(trees: usize, features: usize) -> u32 {
    let counts = BUDGET / (trees * features * BINS * size_of::<Count>()).max(1);
    // One count is the root's; of two siblings one is counted, so each further level doubles what there was.
    if counts == 0 { 0 } else { counts.ilog2() + 1 }
}

/// What is kept of a tree.
#[derive(Debug)]
pub(crate) struct KeptTree<C> {
    pub(crate) histogram: Histogram<C>,
    pub(crate) root: Option<KeptNode<C>>,
}

/// What is kept of a node that was split.
#[derive(Debug)]
pub(crate) struct KeptNode<C> {
    pub(crate) feature: usize,
    pub(crate) rule: Rule,
    /// The child that was counted, its sibling being known by subtraction; none if both are leaves or there were few rows.
    pub(crate) counted: Option<(Side, Histogram<C>)>,
    pub(crate) left: Option<Box<KeptNode<C>>>,
    pub(crate) right: Option<Box<KeptNode<C>>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Entries that came to a node and that left it.
#[derive(Debug)]
pub(crate) struct Moved<E> {
    pub(crate) added: Vec<E>,
    pub(crate) removed: Vec<E>,
}

/// A node as it was, and what has moved since.
pub(crate) struct Before<S: Source> {
    pub(crate) node: KeptNode<S::Cell>,
    pub(crate) moved: Moved<S::Entry>,
}

impl<S: Source> Before<S> {
    /// The bins whose rows change sides now that the node, of this histogram, is split so, and an upper limit of how many
    /// rows they are; `None` where they may be more than a quarter of the node's, so that counting anew may cost less, or
    /// where another feature splits it. Rows that were added or removed are not weighed.
    pub(crate) fn changed(
        &self,
        (feature, rule): (usize, &Rule),
        histogram: &Histogram<S::Cell>,
        entries: usize,
    ) -> Option<([bool; BINS], usize)> {
        let node = Some(&self.node).filter(|node| node.feature == feature)?;
        let changed = std::array::from_fn(|bin| rule.goes_left(bin as u8) != node.rule.goes_left(bin as u8));
        let cells = histogram.0[feature].iter().zip(&changed);
        let rows: u64 = cells.filter(|(_, changed)| **changed).map(|(cell, _)| u64::from(cell.rows())).sum();
        (rows * 4 <= entries as u64).then_some((changed, rows as usize))
    }

    /// The children as they were and what has moved, now that the node is split so and these of its entries have changed
    /// sides; and the count of one of them, brought up to date.
    pub(crate) fn children(
        self,
        binned: &BinnedRows,
        source: &S,
        rule: &Rule,
        changed: Vec<S::Entry>,
    ) -> Children<S> {
        let node = self.node;
        let bin = |entry: S::Entry| binned.bins[S::row(entry) * binned.features + node.feature];
        let (mut left, mut right) = (Moved::empty(), Moved::empty());
        for entry in self.moved.added {
            if node.rule.goes_left(bin(entry)) { left.added.push(entry) } else { right.added.push(entry) }
        }
        for entry in self.moved.removed {
            if node.rule.goes_left(bin(entry)) { left.removed.push(entry) } else { right.removed.push(entry) }
        }
        for entry in changed {
            let (to, from) =
                if rule.goes_left(bin(entry)) { (&mut left, &mut right) } else { (&mut right, &mut left) };
            to.added.push(entry);
            from.removed.push(entry);
        }
        let counted = node.counted.map(|(side, mut histogram)| {
            let moved = if side == Side::Left { &left } else { &right };
            histogram.add(binned, source, &moved.added);
            histogram.take_off(binned, source, &moved.removed);
            (side, histogram)
        });
        let before =
            |node: Option<Box<KeptNode<S::Cell>>>, moved| node.map(|node| Before { node: *node, moved });
        Children { counted, left: before(node.left, left), right: before(node.right, right) }
    }
}

impl<E> Moved<E> {
    fn empty() -> Moved<E> {
        Moved { added: Vec::new(), removed: Vec::new() }
    }
}

/// What is known of a node's children before they are counted.
pub(crate) struct Children<S: Source> {
    pub(crate) counted: Option<(Side, Histogram<S::Cell>)>,
    pub(crate) left: Option<Before<S>>,
    pub(crate) right: Option<Before<S>>,
}

impl<S: Source> Children<S> {
    pub(crate) fn none() -> Children<S> {
        Children { counted: None, left: None, right: None }
    }
}

/// Whether the counts of a node of so many entries are worth keeping, or trees that were grown from them.
pub(crate) fn is_kept(entries: usize) -> bool {
    entries >= FEWEST
}
