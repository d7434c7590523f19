//! What a classifier is made of: weights, leaves, and what its splits gained.

use ndarray::Array2;

use super::{Classifier, Model};
use crate::forest::{Tree, Trees};
use crate::logistic::Coefficients;
use crate::{Error, FeatureTable, SgdClassifierParams};

impl Classifier {
    /// The weights of a linear model; `None` for trees. An `sgd_classifier` gives those of numeric features only: hashed
    /// categories have no name.
    pub fn coefficients(&self) -> Option<Coefficients> {
        self.model.made().1.coefficients(&self.numeric_names, &self.categorical_names)
    }

    /// The settings by which an `sgd_classifier` learns on.
    pub(crate) fn sgd_params(&self) -> Option<&SgdClassifierParams> {
        match &self.model {
            Model::Sgd(model) => Some(model.params()),
            _ => None,
        }
    }

    /// The leaf of each of these rows in each tree, shape rows × trees: leaves are counted from the left, from 0, up to
    /// [`leaves`](Classifier::leaves) of the tree.
    ///
    /// # Errors
    ///
    /// Those of [`predict_proba`](Classifier::predict_proba), and [`Error::NotOfAlgorithm`] if there are no trees.
    pub fn apply(&self, table: &FeatureTable, rows: &[u32]) -> Result<Array2<u32>, Error> {
        let trees = self.trees("leaves")?;
        self.check_features(table)?;
        table.check_rows(rows)?;
        let binned = trees.bins.transform(table, rows);
        let leaves = trees.apply(&binned, &trees.rare.unseen(table, rows, &binned));
        let shape = (rows.len(), trees.trees.len());
        Array2::from_shape_vec(shape, leaves).map_err(|e| Error::Encode(e.to_string()))
    }

    /// Leaves of each tree.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfAlgorithm`] if there are no trees.
    pub fn leaves(&self) -> Result<Vec<usize>, Error> {
        Ok(self.trees("leaves")?.trees.iter().map(Tree::leaves).collect())
    }

    /// Share of each feature in what the trees' splits gained, numeric features first, in order. They sum to 1, or are
    /// all 0 where no tree has a split. For a forest each tree counts the same (scikit-learn's `feature_importances_`).
    /// Features of many values gain more by chance: [`permutation_importances`](Classifier::permutation_importances)
    /// does not favour them.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfAlgorithm`] if there are no trees.
    pub fn gain_importances(&self) -> Result<&[f64], Error> {
        Ok(self.trees("gain of splits")?.gains)
    }

    fn trees(&self, what: &'static str) -> Result<Trees<'_>, Error> {
        self.model.made().1.trees().ok_or_else(|| self.has_no(what))
    }

    fn has_no(&self, what: &'static str) -> Error {
        let algorithm = match &self.model {
            Model::Reference(_) => "smartcore",
            _ => self.algorithm().name(),
        };
        Error::NotOfAlgorithm { algorithm, what }
    }
}
