//! A fitted binary classifier of any algorithm.

mod inspect;

use crate::file::{self, Kind, MOST_ROWS};
use crate::forest::{Boosted, Forest, Reference, Trees};
use crate::logistic::{Coefficients, LogisticModel};
use crate::sgd::SgdModel;
use crate::supervised::SupervisedParams;
use crate::table::check_names;
use crate::{Algorithm, Error, FeatureTable, KeptBins, KeptCounts, TargetKind, TrainingRows};
use serde::{Deserialize, Serialize};

/// A fitted classifier: knows its feature names, encoders and category strings, and so scores any table of these features.
/// An [`Estimator`](crate::Estimator) makes it, of rows of two classes.
///
/// ```
/// use tidemill_ml::{DecisionTreeParams, Estimator, FeatureTable, Fitted, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..48).map(|i| i % 24 > 17).collect(), (0..48).collect());
/// let tree = Estimator::from(DecisionTreeParams::default());
/// let fitted = tree.fit(&Rows::new(&table, Target::Binary(&labels), &rows), 42)?;
/// let Fitted::Classifier(tree) = fitted else { unreachable!() };
/// assert_eq!(tree.leaves()?.len(), 1, "a tree is a forest of one");
/// assert!(tree.predict_proba(&table, &[20])?[0] > 0.9);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    training_rows: u64,
    model: Model,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Model {
    Logistic(LogisticModel),
    Forest(Forest),
    /// A forest of one tree. New variants come last: their order is in the file.
    Tree(Forest),
    Boosted(Boosted),
    Sgd(SgdModel),
    Reference(Reference),
}

/// What a fitted model of any algorithm does for a classifier of two classes.
pub(crate) trait BinaryModel {
    /// Probability of the label for each of these rows, whose bins may have been kept; features and rows are checked.
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error>;

    /// Whether it is as its fit makes it for so many features; a file might hold anything.
    fn is_valid(&self, numeric: usize, categorical: usize) -> bool;

    /// The weights of a linear model in the units of the features, whose names these are.
    fn coefficients(&self, _numeric: &[String], _categorical: &[String]) -> Option<Coefficients> {
        None
    }

    /// The trees of a model that has some.
    fn trees(&self) -> Option<Trees<'_>> {
        None
    }
}

impl Model {
    /// The algorithm, and what it made: the one place that tells the models apart.
    fn made(&self) -> (Algorithm, &dyn BinaryModel) {
        match self {
            Model::Logistic(model) => (Algorithm::LogisticRegression, model),
            Model::Forest(model) => (Algorithm::RandomForest, model),
            Model::Tree(model) => (Algorithm::DecisionTree, model),
            Model::Boosted(model) => (Algorithm::GradientBoosting, model),
            Model::Sgd(model) => (Algorithm::SgdClassifier, model),
            Model::Reference(model) if model.is_forest() => (Algorithm::RandomForest, model),
            Model::Reference(model) => (Algorithm::DecisionTree, model),
        }
    }
}

impl Classifier {
    /// Fits on rows of two classes; [`Estimator::refit`](crate::Estimator::refit) says what `before` and `counts` are for. Weights
    /// that are all the same change nothing, and rows of weight 0 are not there: the errors are those of the other rows.
    pub(crate) fn refit(
        algorithm: &SupervisedParams,
        training: &TrainingRows<'_>,
        seed: u64,
        before: Option<&Classifier>,
        counts: &mut KeptCounts,
    ) -> Result<Classifier, Error> {
        let settings = algorithm.checked(TargetKind::Binary)?;
        let weighing = training.check()?;
        let mut training = TrainingRows { rows: weighing.as_deref().unwrap_or(training.rows), ..*training };
        if training.weighs_the_same() {
            training.weights = None;
        }
        settings.check_weights(training.weights)?;
        let counts = counts.used_if(settings.keeps_counts());
        let TrainingRows { table, rows, .. } = training;
        let before = before.filter(|c| c.check_features(table).is_ok()).map(|c| &c.model);
        let model = settings.fit_binary(&training, seed, before, counts)?;
        Ok(Classifier {
            numeric_names: table.numeric_names().to_vec(),
            categorical_names: table.categorical_names().to_vec(),
            training_rows: rows.len() as u64,
            model,
        })
    }

    /// The model after new rows, from where this one is: one pass over `rows`, strictly ascending and none of them
    /// learned from before. `labels` has one value a row of the table. One class is enough, and the table may be another
    /// than the last one. Of the algorithms only `sgd_classifier` can.
    ///
    /// # Errors
    ///
    /// [`Error::NoPartialFit`] for other algorithms; [`Error::FeatureMismatch`], and for rows and labels those of a fit, but
    /// for one row and one class, which are fine.
    pub(crate) fn partial_fit(
        &self,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> Result<Classifier, Error> {
        let Model::Sgd(model) = &self.model else {
            return Err(Error::NoPartialFit { what: self.algorithm().name(), why: "fit it on all rows" });
        };
        self.check_features(table)?;
        check_labels(table, labels)?;
        table.check_training_rows(rows)?;
        if rows.is_empty() {
            return Err(Error::NoRows);
        }
        let model = Model::Sgd(model.partial_fit(table, labels, rows, seed)?);
        Ok(Classifier { training_rows: self.training_rows + rows.len() as u64, model, ..self.clone() })
    }

    /// The probability of the label for each of these rows, in their order; any order, repeats allowed, none for none.
    /// Categories not seen in training, missing values and values far from all that were learned from score: within 0 to 1
    /// whatever they are.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
        self.predict(table, rows, None)
    }

    /// [`predict_proba`](Classifier::predict_proba) that takes the rows' bins from those kept beside the table, if they are
    /// still the ones that the model learned; the probabilities are the same.
    ///
    /// # Errors
    ///
    /// Those of [`predict_proba`](Classifier::predict_proba).
    pub(crate) fn predict_proba_kept(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        bins: &KeptBins,
    ) -> Result<Vec<f64>, Error> {
        self.predict(table, rows, Some(bins))
    }

    fn predict(
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
    pub(crate) fn made(&self) -> &Model {
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

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::Classifier, self)
    }

    /// Reads what [`to_bytes`](Classifier::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Classifier, Error> {
        file::read(Kind::Classifier, bytes, Classifier::is_valid)
    }

    pub(crate) fn is_valid(&self) -> bool {
        let (numeric, categorical) = (self.numeric_names.len(), self.categorical_names.len());
        // A tree is a forest of one.
        let is_whole = match &self.model {
            Model::Tree(model) => model.trees().trees.len() == 1,
            _ => true,
        };
        is_whole && self.model.made().1.is_valid(numeric, categorical) && self.training_rows <= MOST_ROWS
    }

    fn check_features(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }
}

fn check_labels(table: &FeatureTable, labels: &[bool]) -> Result<(), Error> {
    match labels.len() == table.rows() {
        true => Ok(()),
        false => Err(Error::LengthMismatch { what: "labels", expected: table.rows(), found: labels.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::{DecisionTreeParams, GradientBoostingParams, RandomForestParams};
    use crate::logistic::LogisticRegressionParams;
    use crate::sgd::SgdClassifierParams;

    #[test]
    fn a_model_that_contradicts_itself_is_refused_under_a_right_checksum() {
        let mut table = FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.0, 4.0]);
        table.finish_append().unwrap();
        for algorithm in [
            SupervisedParams::LogisticRegression(LogisticRegressionParams::default()),
            SupervisedParams::RandomForest(RandomForestParams::default()),
            SupervisedParams::DecisionTree(DecisionTreeParams::default()),
            SupervisedParams::GradientBoosting(GradientBoostingParams::default()),
            SupervisedParams::SgdClassifier(SgdClassifierParams::default()),
        ] {
            let training = TrainingRows::new(&table, &[true, false, false, true], &[0, 1, 2, 3]);
            let mut model =
                Classifier::refit(&algorithm, &training, 0, None, &mut KeptCounts::default()).unwrap();
            assert!(Classifier::from_bytes(&model.to_bytes().unwrap()).is_ok());
            model.numeric_names.push("y".into());
            let error = Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap_err();
            assert_eq!(error, Error::CorruptModel("payload contradicts itself"), "{}", algorithm.name());
        }
    }
}
