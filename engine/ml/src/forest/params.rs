//! Settings of a tree and of a forest, and the part of them that growing one tree needs.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of a random forest.
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
}

impl Default for RandomForestParams {
    fn default() -> Self {
        RandomForestParams { trees: 20, max_depth: 5, max_features: 0.5, min_samples_leaf: 5 }
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
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionTreeParams {
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is. Below 1 the seed decides which.
    pub max_features: f64,
    /// Rows that each side of a split keeps; at least 1.
    pub min_samples_leaf: u32,
}

impl Default for DecisionTreeParams {
    fn default() -> Self {
        DecisionTreeParams { max_depth: 5, max_features: 1.0, min_samples_leaf: 5 }
    }
}

impl DecisionTreeParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
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

/// What growing one tree needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) max_depth: u32,
    pub(crate) max_features: f64,
    pub(crate) min_samples_leaf: u32,
}

impl Growth {
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
