//! Settings of a tree and of a forest, and the part of them that growing one tree needs.

use crate::Error;
use serde::{Deserialize, Serialize};

/// How much the rows of a class count, besides any weights of their own.
///
/// ```
/// use tidemill_ml::{ClassWeight, RandomForestParams};
///
/// let class_weight = ClassWeight::Given { negative: 1.0, positive: 5.0 };
/// assert!(RandomForestParams { class_weight, ..RandomForestParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Default)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassWeight {
    /// Every row the same.
    #[default]
    Equal,
    /// Both classes the same in sum: a row counts rows / (2 · rows of its class), as scikit-learn's `balanced`.
    /// Probabilities are then those of a world where half of the rows are positive.
    Balanced,
    /// As given; only their ratio matters.
    Given {
        /// Weight of a negative row, above 0.
        negative: f64,
        /// Weight of a positive row, above 0.
        positive: f64,
    },
}

impl ClassWeight {
    fn validate(self) -> Result<(), Error> {
        let good = |weight: f64| weight.is_normal() && weight > 0.0;
        match self {
            ClassWeight::Given { negative, positive } if !good(negative) || !good(positive) => {
                bad("class_weight", format!("{negative} and {positive}"), "two finite numbers above 0")
            }
            _ => Ok(()),
        }
    }
}

/// What trees make of text columns.
///
/// ```
/// use tidemill_ml::{Categories, DecisionTreeParams};
///
/// let params = DecisionTreeParams { categories: Categories::TargetEncoded, ..DecisionTreeParams::default() };
/// assert!(params.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Categories {
    /// A bin for each of the 254 most frequent, one for the others, one for missing values, and a flag for those that no
    /// training row had; a split sends any set of them left. Unseen ones go where the split has more rows, as a bin does
    /// that has none there.
    Native,
    /// As a number: the smoothed log-odds of the label in the category, of the rows that are learned from by the rows of
    /// the other folds only. Of many classes the label is one class against the others: that in whose share the categories
    /// differ most, by the sum of squares between them. Where the target is a number it is the smoothed mean of its share of
    /// the way from the least to the greatest, to a millionth. Every category has a number of its own (of more than 65,536,
    /// those of two rows or more).
    ///
    /// From 1,024 training rows on the first ones are counted: as many as their number is with all but its four leading bits
    /// 0, or fewer than an eighth less than all. The rows after them are encoded as rows that are scored. So a fit of few
    /// more rows has the numbers of the one before, and the use of its trees.
    ///
    /// A row counts as its [weight](crate::Rows::weights) / mean weight of the rows counted: in its category, and in
    /// the share of all rows that smooths it with the say of one row. Whole weights are so the rows repeated, but for
    /// smoothing, which is of mean weight, and for folds, by which a row goes as a whole. Weights of classes do not count
    /// here.
    TargetEncoded,
    /// As numbers ([`TargetEncoded`](Categories::TargetEncoded)) where there are two classes: on real rows trees and
    /// boosting are then better than with native categories at any number of them. Else native: one number cannot tell many
    /// classes apart.
    #[default]
    Auto,
}

/// Whose trees.
///
/// ```
/// assert_eq!(tidemill_ml::RandomForestParams::default().backend, tidemill_ml::TreeBackend::Tidemill);
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Default)]
#[serde(rename_all = "snake_case")]
pub enum TreeBackend {
    /// The engine's own, over histograms.
    #[default]
    Tidemill,
    /// smartcore's, as a reference, on one thread and for two classes: scores are 0 or 1, as most trees vote, so that AUC is
    /// that of one threshold and log loss of no use. No weights, no target encoding, no leaves and no importances; its
    /// decision tree tries every feature.
    Smartcore,
}

impl TreeBackend {
    fn validate(self, class_weight: ClassWeight, categories: Categories) -> Result<(), Error> {
        match self {
            TreeBackend::Tidemill => Ok(()),
            TreeBackend::Smartcore if class_weight != ClassWeight::Equal => {
                bad("class_weight", format!("{class_weight:?}"), "smartcore knows no weights: leave it equal")
            }
            TreeBackend::Smartcore if categories == Categories::TargetEncoded => {
                bad("categories", format!("{categories:?}"), "smartcore takes native categories only")
            }
            TreeBackend::Smartcore => Ok(()),
        }
    }
}

/// Settings of a random forest.
///
/// ```
/// use tidemill_ml::RandomForestParams;
///
/// assert!(RandomForestParams { trees: 100, max_depth: 10, ..RandomForestParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RandomForestParams {
    /// Trees, 1 to 10,000.
    pub trees: u32,
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is.
    pub max_features: f64,
    /// Rows that each side of a split keeps, counted as drawn (a row drawn twice counts twice); at least 1.
    pub min_samples_leaf: u32,
    /// How much the rows of a class count.
    pub class_weight: ClassWeight,
    /// What text columns become.
    pub categories: Categories,
    /// Whose trees.
    pub backend: TreeBackend,
}

impl Default for RandomForestParams {
    fn default() -> Self {
        RandomForestParams {
            trees: 20,
            max_depth: 5,
            max_features: 0.5,
            min_samples_leaf: 5,
            class_weight: ClassWeight::Equal,
            categories: Categories::Auto,
            backend: TreeBackend::Tidemill,
        }
    }
}

impl RandomForestParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        if !(1..=10_000).contains(&self.trees) {
            return bad("trees", self.trees.to_string(), "from 1 to 10000");
        }
        self.class_weight.validate()?;
        self.backend.validate(self.class_weight, self.categories)?;
        self.growth().validate()
    }

    pub(crate) fn growth(&self) -> Growth {
        Growth {
            max_depth: self.max_depth,
            max_features: self.max_features,
            min_samples_leaf: self.min_samples_leaf,
        }
    }
}

/// Settings of a decision tree.
///
/// ```
/// use tidemill_ml::DecisionTreeParams;
///
/// assert!(DecisionTreeParams { max_depth: 33, ..DecisionTreeParams::default() }.validate().is_err());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionTreeParams {
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is. Below 1 the seed decides which. smartcore's
    /// tree tries all of them: 1.
    pub max_features: f64,
    /// Rows that each side of a split keeps; at least 1.
    pub min_samples_leaf: u32,
    /// How much the rows of a class count.
    pub class_weight: ClassWeight,
    /// What text columns become.
    pub categories: Categories,
    /// Whose trees.
    pub backend: TreeBackend,
}

impl Default for DecisionTreeParams {
    fn default() -> Self {
        DecisionTreeParams {
            max_depth: 5,
            max_features: 1.0,
            min_samples_leaf: 5,
            class_weight: ClassWeight::Equal,
            categories: Categories::Auto,
            backend: TreeBackend::Tidemill,
        }
    }
}

impl DecisionTreeParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        self.class_weight.validate()?;
        self.backend.validate(self.class_weight, self.categories)?;
        if self.backend == TreeBackend::Smartcore && self.max_features != 1.0 {
            let expected = "smartcore's tree tries every feature: leave it at 1";
            return bad("max_features", self.max_features.to_string(), expected);
        }
        self.growth().validate()
    }

    pub(crate) fn growth(&self) -> Growth {
        Growth {
            max_depth: self.max_depth,
            max_features: self.max_features,
            min_samples_leaf: self.min_samples_leaf,
        }
    }
}

/// Settings of gradient boosting.
///
/// ```
/// use tidemill_ml::GradientBoostingParams;
///
/// assert!(GradientBoostingParams { l2: 1.0, ..GradientBoostingParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GradientBoostingParams {
    /// Trees at most, 1 to 10,000: fewer where no split gains any more.
    pub trees: u32,
    /// Share of what a tree would add that it does, above 0 to 1.
    pub learning_rate: f64,
    /// Leaves of a tree at most, 2 to 65,536.
    pub max_leaves: u32,
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is. Below 1 the seed decides which.
    pub max_features: f64,
    /// Rows that each side of a split keeps; at least 1.
    pub min_samples_leaf: u32,
    /// Added to the sum of hessians of a leaf; finite, from 0. With 0, as scikit-learn and LightGBM have it, a handful of
    /// positives among thousands of rows leads to a model that is worse than their share.
    pub l2: f64,
    /// How much the rows of a class count.
    pub class_weight: ClassWeight,
    /// What text columns become.
    pub categories: Categories,
}

impl Default for GradientBoostingParams {
    fn default() -> Self {
        GradientBoostingParams {
            trees: 100,
            learning_rate: 0.1,
            max_leaves: 31,
            max_depth: 32,
            max_features: 1.0,
            min_samples_leaf: 20,
            l2: 5.0,
            class_weight: ClassWeight::Equal,
            categories: Categories::Auto,
        }
    }
}

impl GradientBoostingParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        if !(1..=10_000).contains(&self.trees) {
            return bad("trees", self.trees.to_string(), "from 1 to 10000");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return bad("learning_rate", self.learning_rate.to_string(), "above 0 and up to 1");
        }
        if !(2..=1 << 16).contains(&self.max_leaves) {
            return bad("max_leaves", self.max_leaves.to_string(), "from 2 to 65536");
        }
        if !(self.l2 >= 0.0 && self.l2.is_finite()) {
            return bad("l2", self.l2.to_string(), "a finite number from 0");
        }
        self.class_weight.validate()?;
        let Self { max_depth, max_features, min_samples_leaf, .. } = *self;
        Growth { max_depth, max_features, min_samples_leaf }.validate()
    }
}

/// Checks what trees of a number have no use for.
///
/// # Errors
///
/// [`Error::BadParameter`] for weights of classes, and for trees that are not the engine's own.
pub(crate) fn number_settings(class_weight: ClassWeight, backend: TreeBackend) -> Result<(), Error> {
    if class_weight != ClassWeight::Equal {
        let value = format!("{class_weight:?}");
        return bad("class_weight", value, "a number has no classes: leave it equal, or give rows weights");
    }
    own_trees(backend)
}

/// Checks what trees of many classes have no use for.
///
/// # Errors
///
/// [`Error::BadParameter`] for weights of two classes, and for trees that are not the engine's own.
pub(crate) fn class_settings(class_weight: ClassWeight, backend: TreeBackend) -> Result<(), Error> {
    if let ClassWeight::Given { .. } = class_weight {
        let expected =
            "negative and positive are of two classes: take equal or balanced, or give rows weights";
        return bad("class_weight", format!("{class_weight:?}"), expected);
    }
    own_trees(backend)
}

fn own_trees(backend: TreeBackend) -> Result<(), Error> {
    match backend {
        TreeBackend::Tidemill => Ok(()),
        TreeBackend::Smartcore => {
            bad("backend", "smartcore".into(), "smartcore is here for two classes only: leave it tidemill")
        }
    }
}

/// What growing one tree needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) max_depth: u32,
    pub(crate) max_features: f64,
    pub(crate) min_samples_leaf: u32,
}

impl Growth {
    /// Features tried at a split, of so many.
    pub(crate) fn tried(&self, features: usize) -> usize {
        ((features as f64 * self.max_features) as usize).clamp(1, features)
    }

    /// Whether a node counts the features that it tries by itself, instead of all of them for the sake of its sibling.
    /// Costs about as much as the other way where a third is tried; the tree is the same.
    pub(crate) fn counts_tried_only(&self, features: usize) -> bool {
        self.tried(features) * 4 <= features
    }

    fn validate(&self) -> Result<(), Error> {
        if !(1..=32).contains(&self.max_depth) {
            return bad("max_depth", self.max_depth.to_string(), "from 1 to 32");
        }
        if !(self.max_features > 0.0 && self.max_features <= 1.0) {
            return bad("max_features", self.max_features.to_string(), "a share above 0 and up to 1");
        }
        if !(1..=1 << 30).contains(&self.min_samples_leaf) {
            return bad("min_samples_leaf", self.min_samples_leaf.to_string(), "from 1 to 2^30");
        }
        Ok(())
    }
}

fn bad(name: &'static str, value: String, expected: &'static str) -> Result<(), Error> {
    Err(Error::BadParameter { name, value, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_boosting_and_class_weights_are_checked() {
        let default = GradientBoostingParams::default;
        let bad = [
            ("trees", GradientBoostingParams { trees: 0, ..default() }),
            ("learning_rate", GradientBoostingParams { learning_rate: 0.0, ..default() }),
            ("learning_rate", GradientBoostingParams { learning_rate: f64::NAN, ..default() }),
            ("max_leaves", GradientBoostingParams { max_leaves: 1, ..default() }),
            ("max_leaves", GradientBoostingParams { max_leaves: 65_537, ..default() }),
            ("max_depth", GradientBoostingParams { max_depth: 33, ..default() }),
            ("max_features", GradientBoostingParams { max_features: 0.0, ..default() }),
            ("min_samples_leaf", GradientBoostingParams { min_samples_leaf: 0, ..default() }),
            ("l2", GradientBoostingParams { l2: -1.0, ..default() }),
            ("l2", GradientBoostingParams { l2: f64::INFINITY, ..default() }),
        ];
        let mut found: Vec<(&str, Result<(), Error>)> =
            bad.iter().map(|(name, p)| (*name, p.validate())).collect();
        for (negative, positive) in [(0.0, 1.0), (1.0, -2.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            let class_weight = ClassWeight::Given { negative, positive };
            found.push(("class_weight", GradientBoostingParams { class_weight, ..default() }.validate()));
            found.push((
                "class_weight",
                DecisionTreeParams { class_weight, ..DecisionTreeParams::default() }.validate(),
            ));
        }
        for (expected, result) in found {
            assert!(
                matches!(result, Err(Error::BadParameter { name, .. }) if name == expected),
                "{expected}"
            );
        }
    }
}
