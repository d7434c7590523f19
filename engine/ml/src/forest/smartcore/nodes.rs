//! What smartcore goes through without looking: its nodes, read here by its format (smartcore 0.7) and checked.

use serde::Deserialize;
use smartcore::tree::decision_tree_classifier::DecisionTreeClassifierParameters;

#[derive(Deserialize)]
struct Forest {
    trees: Option<Vec<Tree>>,
    classes: Option<Vec<u32>>,
    _samples: Option<Vec<Vec<bool>>>,
}

#[derive(Deserialize)]
struct Tree {
    nodes: Vec<Node>,
    _parameters: Option<DecisionTreeClassifierParameters>,
    _num_classes: usize,
    classes: Vec<u32>,
    _depth: u16,
    _num_features: usize,
}

#[derive(Deserialize)]
struct Node {
    output: usize,
    _samples: usize,
    split_feature: usize,
    split_value: Option<f64>,
    _split_score: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
    _impurity: Option<f64>,
}

/// Whether this is a forest that any row of so many features goes through to a vote.
pub(super) fn is_forest(payload: &[u8], features: usize) -> bool {
    let Ok(Forest { trees: Some(trees), classes: Some(classes), .. }) = postcard::from_bytes(payload) else {
        return false;
    };
    !trees.is_empty() && are_labels(&classes) && trees.iter().all(|tree| tree.votes(classes.len(), features))
}

/// The same of one tree.
pub(super) fn is_tree(payload: &[u8], features: usize) -> bool {
    postcard::from_bytes(payload)
        .is_ok_and(|tree: Tree| are_labels(&tree.classes) && tree.votes(tree.classes.len(), features))
}

fn are_labels(classes: &[u32]) -> bool {
    matches!(classes, [0] | [1] | [0, 1])
}

impl Tree {
    fn votes(&self, classes: usize, features: usize) -> bool {
        // A child stands after its parent, so that every way ends.
        let is_later = |at: usize, child: usize| (at + 1..self.nodes.len()).contains(&child);
        !self.nodes.is_empty()
            && self.nodes.iter().enumerate().all(|(at, node)| match (node.true_child, node.false_child) {
                (None, None) => node.output < classes,
                (Some(yes), Some(no)) => {
                    is_later(at, yes)
                        && is_later(at, no)
                        && node.split_feature < features
                        && node.split_value.is_some_and(f64::is_finite)
                }
                _ => false,
            })
    }
}
