//! The leaves of a random forest as features: rows that the forest treats alike are near each other.

use super::{check_columns, check_fit};
use crate::{
    Classifier, Error, Estimator, FeatureTable, Fitted, RandomForestParams, Regressor, Rows, Target,
};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Settings of a step that makes columns of a forest's leaves.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::{Target, preprocess::{ForestLeaves, ForestLeavesParams}};
///
/// let params = ForestLeavesParams { trees: 3, min_samples_leaf: 1, ..ForestLeavesParams::default() };
/// let x = array![[1.0], [2.0], [3.0], [70.0], [80.0], [90.0]];
/// let leaves = ForestLeaves::fit(params, x.view(), Target::Numbers(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0]), 42)?;
/// assert_eq!(leaves.transform(x.view())?.ncols(), 3);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ForestLeavesParams {
    /// Trees, 1 to 10,000.
    pub trees: u32,
    /// Splits between the root and a leaf at most, 1 to 32.
    pub max_depth: u32,
    /// Share of the features tried at a split, above 0 to 1; at least one is.
    pub max_features: f64,
    /// Rows that each side of a split keeps, counted as drawn; at least 1.
    pub min_samples_leaf: u32,
    /// Whether each leaf has a column of 0 and 1; else each tree has one with the number of the leaf. Numbers are names:
    /// two leaves of the same tree are as far apart as any two, which distances between columns of 0 and 1 know, and those
    /// between numbers do not.
    pub one_hot: bool,
}

impl Default for ForestLeavesParams {
    fn default() -> Self {
        let RandomForestParams { trees, max_depth, max_features, min_samples_leaf, .. } = Default::default();
        ForestLeavesParams { trees, max_depth, max_features, min_samples_leaf, one_hot: false }
    }
}

impl ForestLeavesParams {
    fn forest(&self) -> RandomForestParams {
        let ForestLeavesParams { trees, max_depth, max_features, min_samples_leaf, .. } = *self;
        RandomForestParams { trees, max_depth, max_features, min_samples_leaf, ..Default::default() }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        self.forest().validate()
    }
}

/// A forest of two classes or of a number, and where in its trees rows end. Leaves are counted from the left, from 0. Missing
/// values are taken.
///
/// A row that the forest is fitted on ends where its own target helped to put it: a model of the same target after this
/// step thinks more of it than it is worth on other rows. Clusters have no such target.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::{Target, preprocess::{ForestLeaves, ForestLeavesParams}};
///
/// let params = ForestLeavesParams { trees: 3, min_samples_leaf: 1, one_hot: true, ..ForestLeavesParams::default() };
/// let x = array![[1.0], [2.0], [3.0], [70.0], [80.0], [90.0]];
/// let leaves = ForestLeaves::fit(params, x.view(), Target::Binary(&[true, true, true, false, false, false]), 42)?;
/// let made = leaves.transform(x.view())?;
/// assert!(made.rows().into_iter().all(|row| row.sum() == 3.0), "one leaf of each tree");
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForestLeaves {
    params: ForestLeavesParams,
    forest: Forest,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Forest {
    Classes(Classifier),
    Numbers(Regressor),
}

/// Columns of a matrix as a table: their places are their names.
fn table(x: &ArrayView2<'_, f64>) -> Result<FeatureTable, Error> {
    let mut table = FeatureTable::new((0..x.ncols()).map(|c| c.to_string()).collect(), vec![]);
    x.columns().into_iter().zip(0..).for_each(|(of, at)| table.push_numeric(at, of.iter().copied()));
    table.finish_append()?;
    Ok(table)
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0u32..).take(table.rows()).collect()
}

impl ForestLeaves {
    /// Learns from rows and their target, one of two classes or a number. Shape: rows × columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::NoFeatures`], [`Error::BadParameter`]; [`Error::OtherTarget`]; what a forest cannot
    /// learn ([`Error::OneClass`], [`Error::BadTarget`] and others of [`Estimator::fit`]).
    pub fn fit(
        params: ForestLeavesParams,
        x: ArrayView2<'_, f64>,
        target: Target<'_>,
        seed: u64,
    ) -> Result<ForestLeaves, Error> {
        check_fit(&x)?;
        let table = table(&x)?;
        let rows = all(&table);
        let other_target = || Error::OtherTarget {
            learner: "forest_leaves",
            expected: "one of two classes or a number".to_owned(),
            found: target.kind().words(),
            others: String::new(),
        };
        if !matches!(target, Target::Binary(_) | Target::Numbers(_)) {
            return Err(other_target());
        }
        match Estimator::from(params.forest()).fit(&Rows::new(&table, target, &rows), seed)? {
            Fitted::Classifier(forest) => Ok(ForestLeaves { params, forest: Forest::Classes(forest) }),
            Fitted::Regressor(forest) => Ok(ForestLeaves { params, forest: Forest::Numbers(forest) }),
            _ => Err(other_target()),
        }
    }

    /// Leaves of each tree.
    fn leaves(&self) -> Result<Vec<usize>, Error> {
        match &self.forest {
            Forest::Classes(forest) => forest.leaves(),
            Forest::Numbers(forest) => forest.leaves(),
        }
    }

    /// What each column of [`transform`](ForestLeaves::transform) stands for: a tree, and a leaf where each has one.
    ///
    /// # Errors
    ///
    /// None of what a fit made.
    pub fn columns(&self) -> Result<Vec<(usize, Option<usize>)>, Error> {
        let trees = self.leaves()?.into_iter().enumerate();
        Ok(match self.params.one_hot {
            false => trees.map(|(tree, _)| (tree, None)).collect(),
            true => {
                trees.flat_map(|(tree, leaves)| (0..leaves).map(move |leaf| (tree, Some(leaf)))).collect()
            }
        })
    }

    /// The leaf of each row in each tree, as a number or as columns of 0 and 1.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        let columns = match &self.forest {
            Forest::Classes(forest) => forest.numeric_names().len(),
            Forest::Numbers(forest) => forest.numeric_names().len(),
        };
        check_columns(columns, &x)?;
        let table = table(&x)?;
        let found = match &self.forest {
            Forest::Classes(forest) => forest.apply(&table, &all(&table))?,
            Forest::Numbers(forest) => forest.apply(&table, &all(&table))?,
        };
        if !self.params.one_hot {
            return Ok(found.mapv(f64::from));
        }
        let leaves = self.leaves()?;
        let firsts = leaves.iter().scan(0, |sum, leaves| {
            let first = *sum;
            *sum += leaves;
            Some(first)
        });
        let firsts: Vec<usize> = firsts.collect();
        let mut made = Array2::zeros((found.nrows(), leaves.iter().sum()));
        for ((row, tree), leaf) in found.indexed_iter() {
            made[(row, firsts[tree] + *leaf as usize)] = 1.0;
        }
        Ok(made)
    }

    pub(super) fn is_valid(&self) -> bool {
        let forest = match &self.forest {
            Forest::Classes(forest) => forest.is_valid() && forest.categorical_names().is_empty(),
            Forest::Numbers(forest) => forest.is_valid() && forest.categorical_names().is_empty(),
        };
        forest && self.leaves().is_ok()
    }
}
