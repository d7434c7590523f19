//! A fitted classifier of many classes, of any algorithm.

use crate::file::{self, Kind, MOST_ROWS};
use crate::forest::{BoostedClasses, ClassForest};
use crate::logistic::{Coefficients, SoftmaxModel};
use crate::supervised::SupervisedParams;
use crate::table::check_names;
use crate::training::{ClassRows, weighs_the_same};
use crate::{Algorithm, Error, FeatureTable, KeptBins, TargetKind};
use serde::{Deserialize, Serialize};

/// A fitted classifier of so many classes: knows its feature names, encoders and category strings, and so scores any
/// table of these features.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, LogisticRegressionParams, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<u32>, Vec<u32>) = ((0..48).map(|i| i % 24 / 8).collect(), (0..48).collect());
/// let target = Target::Classes { labels: &labels, classes: 3 };
/// let estimator = Estimator::from(LogisticRegressionParams::default());
/// let fitted = estimator.fit(&Rows::new(&table, target, &rows), 42)?;
/// let Fitted::MultiClassifier(model) = &fitted else { unreachable!() };
/// assert_eq!((model.classes(), model.predict_proba(&table, &[0])?.len()), (3, 3));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiClassifier {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    training_rows: u64,
    classes: u32,
    model: ClassesModel,
}

/// New variants come last: their order is in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ClassesModel {
    Softmax(SoftmaxModel),
    Forest(ClassForest),
    /// A forest of one tree.
    Tree(ClassForest),
    Boosted(BoostedClasses),
}

/// What a fitted model of any algorithm does for a classifier of many classes.
pub(crate) trait ManyClasses {
    /// Probability of each class for each of these rows, rows × classes, row-major, each row of sum 1; features and rows
    /// are checked, and the rows' bins may have been kept.
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error>;

    /// Whether it is as its fit makes it for so many features and classes; a file might hold anything.
    fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool;

    /// The weights of a linear model, a set a class, in the units of the features, whose names these are.
    fn coefficients(&self, _numeric: &[String], _categorical: &[String]) -> Option<Vec<Coefficients>> {
        None
    }

    /// Share of each feature in what the splits of its trees gained, numeric features first; none without trees.
    fn gains(&self) -> &[f64] {
        &[]
    }
}

impl ClassesModel {
    /// The algorithm, and what it made: the one place that tells the models apart.
    fn made(&self) -> (Algorithm, &dyn ManyClasses) {
        match self {
            ClassesModel::Softmax(model) => (Algorithm::LogisticRegression, model),
            ClassesModel::Forest(model) => (Algorithm::RandomForest, model),
            ClassesModel::Tree(model) => (Algorithm::DecisionTree, model),
            ClassesModel::Boosted(model) => (Algorithm::GradientBoosting, model),
        }
    }
}

impl MultiClassifier {
    /// Fits on rows that may weigh differently, after a model on the same features, if there is one.
    pub(crate) fn fit(
        params: &SupervisedParams,
        rows: &ClassRows<'_>,
        seed: u64,
        before: Option<&MultiClassifier>,
    ) -> Result<MultiClassifier, Error> {
        let settings = params.checked(TargetKind::Classes)?;
        let weighing = rows.check()?;
        let mut rows = ClassRows { rows: weighing.as_deref().unwrap_or(rows.rows), ..*rows };
        if weighs_the_same(rows.rows, rows.weights) {
            rows.weights = None;
        }
        settings.check_weights(rows.weights)?;
        let before = before.filter(|of| of.classes == rows.classes && of.check_features(rows.table).is_ok());
        Ok(MultiClassifier {
            numeric_names: rows.table.numeric_names().to_vec(),
            categorical_names: rows.table.categorical_names().to_vec(),
            training_rows: rows.rows.len() as u64,
            classes: rows.classes,
            model: settings.fit_classes(&rows, seed, before.map(|of| &of.model))?,
        })
    }

    /// Probability of each class for each of these rows, rows × classes, row-major: within 0 to 1 and of sum 1 whatever is
    /// in the rows; any order, repeats allowed.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
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
        self.model.made().1.predict_proba(table, rows, kept)
    }

    /// What the algorithm made.
    pub(crate) fn made(&self) -> &ClassesModel {
        &self.model
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> u32 {
        self.classes
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

    /// The weights of a linear model, a set a class; `None` for trees.
    pub fn coefficients(&self) -> Option<Vec<Coefficients>> {
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
        file::write(Kind::MultiClassifier, self)
    }

    /// Reads what [`to_bytes`](MultiClassifier::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<MultiClassifier, Error> {
        file::read(Kind::MultiClassifier, bytes, MultiClassifier::is_valid)
    }

    fn is_valid(&self) -> bool {
        let (numeric, categorical) = (self.numeric_names.len(), self.categorical_names.len());
        self.classes >= 2
            && self.model.made().1.is_valid(numeric, categorical, self.classes)
            && self.training_rows <= MOST_ROWS
    }

    fn check_features(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }
}
