//! A fitted model that says a number, of any algorithm.

use crate::file::{self, Kind, MOST_ROWS};
use crate::forest::NumberTrees;
use crate::linear::LinearModel;
use crate::logistic::Coefficients;
use crate::supervised::SupervisedParams;
use crate::table::check_names;
use crate::training::{NumberRows, weighs_the_same};
use crate::{Algorithm, Error, FeatureTable, KeptBins, TargetKind};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A fitted regression: knows its feature names, encoders and category strings, and so scores any
/// table of these features.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, LinearRegressionParams, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 3.0]);
/// table.finish_append()?;
/// let estimator = Estimator::from(LinearRegressionParams { l2: 0.0, ..LinearRegressionParams::default() });
/// let fitted = estimator.fit(&Rows::new(&table, Target::Numbers(&[5.0, 7.0, 9.0]), &[0, 1, 2]), 42)?;
/// let Fitted::Regressor(model) = &fitted else { unreachable!() };
/// assert!(model.coefficients().is_some_and(|of| (of.columns[0].weight - 2.0).abs() < 1e-12));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regressor {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    training_rows: u64,
    model: NumbersModel,
}

/// New variants come last: their order is in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum NumbersModel {
    Linear(LinearModel),
    Forest(NumberTrees),
    /// A forest of one tree.
    Tree(NumberTrees),
    Boosted(NumberTrees),
}

/// What a fitted model of any algorithm does for a regression.
pub(crate) trait Numbers {
    /// The number of each of these rows, finite; features and rows are checked, and the rows' bins may have been kept.
    fn predict(&self, table: &FeatureTable, rows: &[u32], kept: Option<&KeptBins>)
    -> Result<Vec<f64>, Error>;

    /// Whether it is as its fit makes it for so many features; a file might hold anything.
    fn is_valid(&self, numeric: usize, categorical: usize) -> bool;

    /// The weights of a linear model in the units of the features, whose names these are.
    fn coefficients(&self, _numeric: &[String], _categorical: &[String]) -> Option<Coefficients> {
        None
    }

    /// Share of each feature in what the splits of its trees gained, numeric features first; none without trees.
    fn gains(&self) -> &[f64] {
        &[]
    }
}

impl NumbersModel {
    /// The algorithm, and what it made: the one place that tells the models apart.
    fn made(&self) -> (Algorithm, &dyn Numbers) {
        match self {
            NumbersModel::Linear(model) => (Algorithm::LinearRegression, model),
            NumbersModel::Forest(model) => (Algorithm::RandomForest, model),
            NumbersModel::Tree(model) => (Algorithm::DecisionTree, model),
            NumbersModel::Boosted(model) => (Algorithm::GradientBoosting, model),
        }
    }
}

impl Regressor {
    /// Fits on rows that may weigh differently, after a model on the same features, if there is one.
    pub(crate) fn fit(
        params: &SupervisedParams,
        rows: &NumberRows<'_>,
        seed: u64,
        before: Option<&Regressor>,
    ) -> Result<Regressor, Error> {
        let settings = params.checked(TargetKind::Numbers)?;
        let weighing = rows.check()?;
        let mut rows = NumberRows { rows: weighing.as_deref().unwrap_or(rows.rows), ..*rows };
        if weighs_the_same(rows.rows, rows.weights) {
            rows.weights = None;
        }
        settings.check_weights(rows.weights)?;
        let before = before.filter(|of| of.check_features(rows.table).is_ok());
        Ok(Regressor {
            numeric_names: rows.table.numeric_names().to_vec(),
            categorical_names: rows.table.categorical_names().to_vec(),
            training_rows: rows.rows.len() as u64,
            model: settings.fit_numbers(&rows, seed, before.map(|of| &of.model))?,
        })
    }

    /// The number of each of these rows, in their order: finite whatever is in the rows; any order, repeats allowed.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
        self.predict_kept(table, rows, None)
    }

    pub(crate) fn predict_kept(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        self.check_features(table)?;
        table.check_rows(rows)?;
        self.model.made().1.predict(table, rows, kept)
    }

    /// The leaf of each of these rows in each tree, shape rows × trees: leaves are counted from the left, from 0, up to
    /// [`leaves`](Regressor::leaves) of the tree.
    ///
    /// # Errors
    ///
    /// Those of [`predict`](Regressor::predict), and [`Error::NotOfAlgorithm`] if there are no trees.
    pub fn apply(&self, table: &FeatureTable, rows: &[u32]) -> Result<Array2<u32>, Error> {
        let trees = self.trees()?;
        self.check_features(table)?;
        table.check_rows(rows)?;
        let shape = (rows.len(), trees.leaves().count());
        Array2::from_shape_vec(shape, trees.apply(table, rows)).map_err(|e| Error::Encode(e.to_string()))
    }

    /// Leaves of each tree.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfAlgorithm`] if there are no trees.
    pub fn leaves(&self) -> Result<Vec<usize>, Error> {
        Ok(self.trees()?.leaves().collect())
    }

    fn trees(&self) -> Result<&NumberTrees, Error> {
        match &self.model {
            NumbersModel::Linear(_) => {
                Err(Error::NotOfAlgorithm { algorithm: self.algorithm().name(), what: "leaves" })
            }
            NumbersModel::Forest(trees) | NumbersModel::Tree(trees) | NumbersModel::Boosted(trees) => {
                Ok(trees)
            }
        }
    }

    /// What the algorithm made.
    pub(crate) fn made(&self) -> &NumbersModel {
        &self.model
    }

    /// Names of the numeric features, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.numeric_names
    }

    /// Names of the categorical features, in order.
    pub fn categorical_names(&self) -> &[String] {
        &self.categorical_names
    }

    /// Rows that the model learned from.
    pub fn training_rows(&self) -> u64 {
        self.training_rows
    }

    /// Which algorithm it is of.
    pub fn algorithm(&self) -> Algorithm {
        self.model.made().0
    }

    /// The weights of a linear model; `None` for trees.
    pub fn coefficients(&self) -> Option<Coefficients> {
        self.model.made().1.coefficients(&self.numeric_names, &self.categorical_names)
    }

    /// Share of each feature in what the splits of its trees gained, numeric features first; none without trees.
    pub(crate) fn gain_importances(&self) -> &[f64] {
        self.model.made().1.gains()
    }

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::Regressor, self)
    }

    /// Reads what [`to_bytes`](Regressor::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Regressor, Error> {
        file::read(Kind::Regressor, bytes, Regressor::is_valid)
    }

    pub(crate) fn is_valid(&self) -> bool {
        let (numeric, categorical) = (self.numeric_names.len(), self.categorical_names.len());
        self.model.made().1.is_valid(numeric, categorical) && self.training_rows <= MOST_ROWS
    }

    fn check_features(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }
}
