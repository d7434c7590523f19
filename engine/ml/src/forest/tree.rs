//! One tree as it is kept: a flat list of nodes.
//!
//! Invariant: the children of a node come after it in the list, so a walk from the root ends.

use super::split::Rule;
use serde::{Deserialize, Serialize};

/// A node of a kept tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Node {
    /// Probability of the label, or what a boosted tree adds to the log-odds.
    Leaf(f64),
    /// Rows for which the rule holds go on at the next node, the others at `right`.
    Split { feature: u32, rule: Rule, right: u32 },
}

/// A decision tree over binned rows; the first node is the root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree(pub(crate) Vec<Node>);

/// A tree while it grows.
pub(crate) enum Grown {
    Leaf(f64),
    Split { feature: usize, rule: Rule, gain: f64, left: Box<Grown>, right: Box<Grown> },
}

impl Tree {
    /// The tree as a list, and the gain of its splits added to that of their features.
    pub(crate) fn of(grown: Grown, gains: &mut [f64]) -> Tree {
        let mut nodes = Vec::new();
        put(grown, &mut nodes, gains);
        Tree(nodes)
    }

    /// What the leaf of a row's bins holds. Gives 0.5 for a tree that `is_valid` refuses.
    pub(crate) fn value(&self, bins: &[u8]) -> f64 {
        self.value_at(self.end(|feature, rule| rule.goes_left(bins[feature as usize])))
    }

    /// The node at which a walk ends that goes left where it is said, given the feature and the rule of a split.
    pub(crate) fn end(&self, goes_left: impl Fn(u32, &Rule) -> bool) -> u32 {
        let mut at = 0;
        while let Some(Node::Split { feature, rule, right }) = self.0.get(at as usize) {
            at = if goes_left(*feature, rule) { at + 1 } else { *right };
        }
        at
    }

    /// What a leaf holds.
    pub(crate) fn value_at(&self, leaf: u32) -> f64 {
        match self.0.get(leaf as usize) {
            Some(Node::Leaf(value)) => *value,
            _ => 0.5,
        }
    }

    /// Leaves, of which there is one more than splits.
    pub(crate) fn leaves(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether every walk stays within the list and the features, and every leaf is as `leaf` says; a file might hold
    /// anything.
    pub(crate) fn is_valid(&self, features: usize, leaf: impl Fn(f64) -> bool) -> bool {
        let count = self.0.len();
        count > 0
            && self.0.iter().enumerate().all(|(at, node)| match node {
                Node::Leaf(value) => leaf(*value),
                Node::Split { feature, rule, right } => {
                    let ends = match rule {
                        Rule::UpTo { bin, .. } => *bin < crate::encode::bins::MISSING_BIN,
                        Rule::In { .. } => true,
                    };
                    ends && (*feature as usize) < features
                        && (*right as usize) > at + 1
                        && (*right as usize) < count
                }
            })
    }
}

fn put(grown: Grown, nodes: &mut Vec<Node>, gains: &mut [f64]) {
    match grown {
        Grown::Leaf(value) => nodes.push(Node::Leaf(value)),
        Grown::Split { feature, rule, gain, left, right } => {
            gains[feature] += gain;
            let at = nodes.len();
            nodes.push(Node::Leaf(0.0));
            put(*left, nodes, gains);
            let next = nodes.len() as u32;
            nodes[at] = Node::Split { feature: feature as u32, rule, right: next };
            put(*right, nodes, gains);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(right: u32) -> Node {
        Node::Split { feature: 1, rule: Rule::UpTo { bin: 3, missing_left: false }, right }
    }

    #[test]
    fn a_walk_that_might_not_end_or_leave_the_list_is_refused() {
        let leaf = Node::Leaf(0.25);
        let probability = |p: f64| (0.0..=1.0).contains(&p);
        let good = Tree(vec![split(2), leaf.clone(), leaf.clone()]);
        assert!(good.is_valid(2, probability));
        assert_eq!((good.leaves(), Tree(vec![leaf.clone()]).leaves()), (2, 1));
        let bad = [
            vec![],
            vec![split(0), leaf.clone(), leaf.clone()],
            vec![split(1), leaf.clone()],
            vec![split(3), leaf.clone(), leaf.clone()],
            vec![Node::Leaf(f64::NAN)],
            vec![Node::Leaf(1.5)],
        ];
        assert!(bad.into_iter().all(|nodes| !Tree(nodes).is_valid(2, probability)));
        assert!(!Tree(vec![split(2), leaf.clone(), leaf]).is_valid(1, probability), "no such feature");
    }

    #[test]
    fn a_grown_tree_is_a_list_whose_gains_are_by_feature() {
        let rule = Rule::UpTo { bin: 0, missing_left: false };
        let split = |feature, gain, left, right| Grown::Split {
            feature,
            rule: rule.clone(),
            gain,
            left: Box::new(left),
            right: Box::new(right),
        };
        let grown = split(1, 4.0, split(0, 2.0, Grown::Leaf(0.1), Grown::Leaf(0.2)), Grown::Leaf(0.3));
        let mut gains = [0.0; 2];
        let tree = Tree::of(grown, &mut gains);
        assert_eq!(gains, [2.0, 4.0]);
        let values = [[0, 0], [1, 0], [0, 1]].map(|bins| tree.value(&bins));
        assert_eq!(values, [0.1, 0.2, 0.3]);
        assert_eq!(tree.leaves(), 3);
    }
}
