//! Trees as one `TreeEnsemble` of doubles.
//!
//! A split of numbers compares the value itself with the edge at which its bin ends, and a split of categories asks whether
//! their number is among some. A category that is a number to the trees is looked up first.

use super::Export;
use super::columns::{Columns, Texts};
use super::graph::{Graph, ML, Value, integer, integers, vector_of_bytes, vector_of_doubles};
use crate::Error;
use crate::encode::bins::{FeatureBins, MISSING_BIN, OTHER_BIN, TableBins};
use crate::encode::rare::RareCategories;
use crate::forest::{Node, Rule, Tree};

/// The number of a category that no training row had: one after those of bins.
const UNSEEN: i64 = 256;

/// `nodes_modes`: values up to one go to the true branch.
const UP_TO: u8 = 0;
/// The same of values that are among some.
const AMONG: u8 = 6;
/// `aggregate_function`: the sum over trees.
const SUM: i64 = 1;

/// A split as it asks for a value.
pub(super) enum Question {
    /// Whether it is up to this; and whether a missing one counts as such.
    UpTo { most: f64, missing: bool },
    /// Whether it is one of these.
    Among(Vec<f64>),
}

/// Trees in the lists that the operator has.
#[derive(Default)]
pub(super) struct Ensemble {
    roots: Vec<i64>,
    features: Vec<i64>,
    splits: Vec<f64>,
    modes: Vec<u8>,
    yes: Vec<i64>,
    yes_leaf: Vec<i64>,
    no: Vec<i64>,
    no_leaf: Vec<i64>,
    missing_yes: Vec<i64>,
    /// For each split by categories its numbers, and then NaN.
    members: Vec<f64>,
    leaf_targets: Vec<i64>,
    leaf_values: Vec<f64>,
}

/// A split, or a leaf, by its place among its like.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Split(usize),
    Leaf(usize),
}

impl Place {
    fn parts(self) -> (i64, i64) {
        match self {
            Place::Split(at) => (at as i64, 0),
            Place::Leaf(at) => (at as i64, 1),
        }
    }
}

impl Ensemble {
    /// A split whose branches are not known yet.
    pub(super) fn split(&mut self, feature: usize, question: Question) -> usize {
        let (split, mode, missing) = match question {
            Question::UpTo { most, missing } => (most, UP_TO, missing),
            Question::Among(values) => {
                self.members.extend(values);
                self.members.push(f64::NAN);
                (0.0, AMONG, false)
            }
        };
        self.features.push(feature as i64);
        self.splits.push(split);
        self.modes.push(mode);
        self.missing_yes.push(i64::from(missing));
        for list in [&mut self.yes, &mut self.yes_leaf, &mut self.no, &mut self.no_leaf] {
            list.push(0);
        }
        self.features.len() - 1
    }

    /// Where the rows go of a split.
    pub(super) fn branches(&mut self, split: usize, yes: Place, no: Place) {
        (self.yes[split], self.yes_leaf[split]) = yes.parts();
        (self.no[split], self.no_leaf[split]) = no.parts();
    }

    /// A leaf that adds a value to a target.
    pub(super) fn leaf(&mut self, target: usize, value: f64) -> Place {
        self.leaf_targets.push(target as i64);
        self.leaf_values.push(value);
        Place::Leaf(self.leaf_values.len() - 1)
    }

    /// A tree.
    pub(super) fn root(&mut self, place: Place) {
        let root = match place {
            Place::Split(at) => at,
            // The operator has no tree of one leaf: both ways lead to it.
            leaf => {
                let split = self.split(0, Question::UpTo { most: 0.0, missing: false });
                self.branches(split, leaf, leaf);
                split
            }
        };
        self.roots.push(root as i64);
    }

    /// What the trees say of rows, rows × targets: the sum of the leaves of each.
    pub(super) fn sums(mut self, graph: &mut Graph, values: &Value, targets: usize) -> Value {
        if self.roots.is_empty() {
            let leaf = self.leaf(0, 0.0);
            self.root(leaf);
        }
        let mut attributes = vec![
            integer("aggregate_function", SUM),
            integers("leaf_targetids", self.leaf_targets),
            vector_of_doubles("leaf_weights", &self.leaf_values),
            integer("n_targets", targets as i64),
            integers("nodes_falseleafs", self.no_leaf),
            integers("nodes_falsenodeids", self.no),
            integers("nodes_featureids", self.features),
            integers("nodes_missing_value_tracks_true", self.missing_yes),
            vector_of_bytes("nodes_modes", self.modes),
            vector_of_doubles("nodes_splits", &self.splits),
            integers("nodes_trueleafs", self.yes_leaf),
            integers("nodes_truenodeids", self.yes),
            integer("post_transform", 0),
            integers("tree_roots", self.roots),
        ];
        if !self.members.is_empty() {
            attributes.push(vector_of_doubles("membership_values", &self.members));
        }
        graph.op_with("TreeEnsemble", ML, &[values], attributes)
    }
}

/// What a tree is given of one feature.
enum Feature<'a> {
    /// A number; edges of its bins.
    Number(&'a [f64]),
    /// The number of a category.
    Category {
        /// Those with a bin of their own.
        names: usize,
        /// Whether unseen ones are told from rare ones.
        rare: bool,
    },
}

/// The features of trees as one matrix, and how their splits read it.
pub(super) struct Features<'a> {
    features: Vec<Feature<'a>>,
    values: Value,
}

impl<'a> Features<'a> {
    /// The features of a table whose bins these are.
    ///
    /// # Errors
    ///
    /// [`Error::NotInOnnx`] where rare categories are told from unseen ones and the caller does not know them.
    pub(super) fn of(
        graph: &mut Graph,
        columns: &Columns,
        bins: &'a TableBins,
        rare: &RareCategories,
        export: &Export,
    ) -> Result<Features<'a>, Error> {
        let (mut features, mut values) = (Vec::new(), Vec::new());
        let numeric = columns.numeric.len();
        for (at, bins) in bins.0.iter().enumerate() {
            let (feature, value) = match (bins, at.checked_sub(numeric)) {
                (FeatureBins::Numeric(edges), None) => {
                    (Feature::Number(edges), columns.numeric[at].1.clone())
                }
                (FeatureBins::Categorical(names), Some(text)) => {
                    let (column, rare) = (&columns.texts[text].0, rare.of_feature(at));
                    let codes = codes_of(column, names, rare, export)?.codes(graph, columns)?;
                    let feature = Feature::Category { names: names.len(), rare: !rare.is_empty() };
                    (feature, graph.as_doubles(&codes))
                }
                (FeatureBins::Numbered { numbers, edges }, Some(text)) => {
                    let names = || numbers.names().iter().map(String::as_str);
                    let each = names().map(Some).chain([None]).map(|name| numbers.of(name));
                    let each = each.chain([numbers.unseen()]).map(f64::from);
                    let texts = Texts::numbered(&columns.texts[text].0, names())?;
                    let value = texts.looked_up(graph, columns, &each.collect::<Vec<f64>>())?;
                    (Feature::Number(edges), value)
                }
                _ => return Err(Error::CorruptModel("bins of another kind than the feature")),
            };
            features.push(feature);
            values.push(value);
        }
        let values = graph.matrix(&values.iter().collect::<Vec<_>>());
        Ok(Features { features, values })
    }

    /// What trees say, rows × targets: each adds to a target, by its place among the trees, what `leaf` makes of its place
    /// and that of a leaf, counted from the left, and what the leaf holds.
    ///
    /// # Errors
    ///
    /// [`Error::CorruptModel`].
    pub(super) fn sums<'t>(
        &self,
        graph: &mut Graph,
        trees: impl Iterator<Item = &'t Tree>,
        targets: usize,
        target: impl Fn(usize) -> usize,
        leaf: impl Fn(usize, usize, f64) -> f64,
    ) -> Result<Value, Error> {
        let mut ensemble = Ensemble::default();
        for (number, tree) in trees.enumerate() {
            let (mut places, mut swapped, mut leaves) = (Vec::with_capacity(tree.0.len()), Vec::new(), 0);
            for node in &tree.0 {
                places.push(match node {
                    Node::Leaf(value) => {
                        leaves += 1;
                        ensemble.leaf(target(number), leaf(number, leaves - 1, *value))
                    }
                    Node::Split { feature, rule, .. } => {
                        let (question, swaps) = self.question(*feature as usize, rule)?;
                        swapped.push(swaps);
                        Place::Split(ensemble.split(*feature as usize, question))
                    }
                });
            }
            let mut swapped = swapped.into_iter();
            for (at, node) in tree.0.iter().enumerate() {
                let (Node::Split { right, .. }, Place::Split(split)) = (node, places[at]) else { continue };
                let (left, right) = (places.get(at + 1), places.get(*right as usize));
                let (Some(&left), Some(&right)) = (left, right) else {
                    return Err(Error::CorruptModel("a split without branches"));
                };
                match swapped.next() {
                    Some(true) => ensemble.branches(split, right, left),
                    _ => ensemble.branches(split, left, right),
                }
            }
            let root = places.first().ok_or(Error::CorruptModel("a tree without nodes"))?;
            ensemble.root(*root);
        }
        Ok(ensemble.sums(graph, &self.values, targets))
    }

    /// The question of a rule, and whether those for whom it holds go right.
    fn question(&self, feature: usize, rule: &Rule) -> Result<(Question, bool), Error> {
        match (&self.features[feature], rule) {
            (Feature::Number(edges), Rule::UpTo { bin, missing_left }) => {
                // The last bin has no end, and a number is finite.
                let most = edges.get(usize::from(*bin)).copied().unwrap_or(f64::MAX);
                Ok((Question::UpTo { most, missing: *missing_left }, false))
            }
            (Feature::Category { names, rare }, rule) => {
                let unseen = match rare {
                    true => rule.unseen_goes_left(),
                    // There the bin of the rare ones had no row.
                    false => rule.goes_left(OTHER_BIN),
                };
                // Names have bins below these two.
                let last = [OTHER_BIN, MISSING_BIN].into_iter().filter(|bin| *rare || *bin == MISSING_BIN);
                let bins = (0..OTHER_BIN).take(*names).chain(last);
                let bins = bins.map(|bin| (f64::from(bin), rule.goes_left(bin)));
                let all: Vec<(f64, bool)> = bins.chain([(UNSEEN as f64, unseen)]).collect();
                let (left, right): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, left)| *left);
                // The shorter list: each of its numbers is a comparison.
                let swaps = right.len() < left.len();
                let mut among: Vec<f64> =
                    if swaps { right } else { left }.into_iter().map(|(code, _)| code).collect();
                if among.is_empty() {
                    // One that no text has.
                    among.push(-1.0);
                }
                Ok((Question::Among(among), swaps))
            }
            (Feature::Number(_), Rule::In { .. }) => {
                Err(Error::CorruptModel("a split of numbers by categories"))
            }
        }
    }
}

/// The numbers of a column's categories: those of their bins.
fn codes_of<'a>(
    column: &'a str,
    names: &'a [String],
    rare: &[u32],
    export: &'a Export,
) -> Result<Texts<'a>, Error> {
    let mut known: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).collect();
    if !rare.is_empty() {
        let mut found: Vec<&str> = export
            .known_texts(column)
            .filter(|name| rare.binary_search(&RareCategories::hash(name)).is_ok())
            .collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|name| !names.iter().any(|own| own == name));
        let mut hashes: Vec<u32> = found.iter().map(|name| RareCategories::hash(name)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.len() != rare.len() {
            return Err(Error::NotInOnnx {
                what: format!(
                    "{} of the categories of `{column}` that are rarer than 254 others",
                    rare.len() - hashes.len()
                ),
                why: "a model keeps their hashes alone, and they are not among the texts that are known now; \
                      train it anew, or with categories = \"target_encoded\"",
            });
        }
        known.extend(found.into_iter().map(|name| (name, i64::from(OTHER_BIN))));
    }
    Texts::coded(column, known, i64::from(MISSING_BIN), UNSEEN)
}
