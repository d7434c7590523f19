//! A fitted binary classifier of any algorithm.

use crate::file::{self, Kind};
use crate::forest::{DecisionTreeParams, Forest, RandomForestParams};
use crate::logistic::{Coefficients, LogisticModel, LogisticRegressionParams};
use crate::table::check_names;
use crate::{Error, FeatureTable};
use serde::{Deserialize, Serialize};

/// What to train, with its settings.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// Logistic regression with L2 and L1 penalty.
    LogisticRegression(LogisticRegressionParams),
    /// Random forest over histograms.
    RandomForest(RandomForestParams),
    /// One tree over histograms, learned from every row once.
    DecisionTree(DecisionTreeParams),
}

impl Algorithm {
    /// The name in job files and metrics: `logistic_regression`, `random_forest` or `decision_tree`.
    pub fn name(&self) -> &'static str {
        match self {
            Algorithm::LogisticRegression(_) => "logistic_regression",
            Algorithm::RandomForest(_) => "random_forest",
            Algorithm::DecisionTree(_) => "decision_tree",
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Algorithm::LogisticRegression(params) => params.validate(),
            Algorithm::RandomForest(params) => params.validate(),
            Algorithm::DecisionTree(params) => params.validate(),
        }
    }
}

/// A fitted model: knows its feature names, encoders and category strings, and so scores any table of these features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    training_rows: u64,
    model: Model,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Model {
    Logistic(LogisticModel),
    Forest(Forest),
    /// A forest of one tree. New variants come last: their order is in the file.
    Tree(Forest),
}

impl Classifier {
    /// Fits on some rows of a table.
    ///
    /// `labels` has one value a row of the table; `rows` are the training rows, strictly ascending. `seed` decides every
    /// random choice; the result does not depend on the number of threads. `warm_start` is the previous model: logistic
    /// regression begins at its weights if it has the same features, anything else is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`], [`Error::NoRows`], [`Error::TooFewRows`] (one row) and [`Error::OneClass`] where there is
    /// nothing to learn; [`Error::BadParameter`], [`Error::LengthMismatch`], [`Error::RowOutOfRange`] and
    /// [`Error::RowsNotAscending`] for arguments that do not fit; [`Error::Solver`] if no finite model was found.
    pub fn fit(
        algorithm: &Algorithm,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        warm_start: Option<&Classifier>,
    ) -> Result<Classifier, Error> {
        algorithm.validate()?;
        check_training(table, labels, rows)?;
        let model = match algorithm {
            Algorithm::LogisticRegression(params) => {
                let previous =
                    warm_start.filter(|c| c.check_features(table).is_ok()).and_then(|c| match &c.model {
                        Model::Logistic(model) => Some(model),
                        Model::Forest(_) | Model::Tree(_) => None,
                    });
                Model::Logistic(LogisticModel::fit(params, table, labels, rows, seed, previous)?)
            }
            Algorithm::RandomForest(params) => Model::Forest(Forest::fit(params, table, labels, rows, seed)),
            Algorithm::DecisionTree(params) => {
                Model::Tree(Forest::fit_tree(params, table, labels, rows, seed))
            }
        };
        Ok(Classifier {
            numeric_names: table.numeric_names().to_vec(),
            categorical_names: table.categorical_names().to_vec(),
            training_rows: rows.len() as u64,
            model,
        })
    }

    /// The probability of the label for each of these rows, in their order; any order, repeats allowed. Categories not
    /// seen in training and missing values score.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
        self.check_features(table)?;
        table.check_rows(rows)?;
        Ok(match &self.model {
            Model::Logistic(model) => model.predict_proba(table, rows),
            Model::Forest(model) | Model::Tree(model) => model.predict_proba(table, rows),
        })
    }

    /// The weights of a linear model; `None` for trees.
    pub fn coefficients(&self) -> Option<Coefficients> {
        match &self.model {
            Model::Logistic(model) => Some(model.coefficients(&self.numeric_names, &self.categorical_names)),
            Model::Forest(_) | Model::Tree(_) => None,
        }
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

    /// The name of the algorithm, as [`Algorithm::name`] gives it.
    pub fn algorithm_name(&self) -> &'static str {
        match self.model {
            Model::Logistic(_) => "logistic_regression",
            Model::Forest(_) => "random_forest",
            Model::Tree(_) => "decision_tree",
        }
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

    fn is_valid(&self) -> bool {
        let (numeric, categorical) = (self.numeric_names.len(), self.categorical_names.len());
        match &self.model {
            Model::Logistic(model) => model.is_valid(numeric, categorical),
            Model::Forest(model) => model.is_valid(numeric, categorical),
            Model::Tree(model) => model.trees() == 1 && model.is_valid(numeric, categorical),
        }
    }

    fn check_features(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }
}

fn check_training(table: &FeatureTable, labels: &[bool], rows: &[u32]) -> Result<(), Error> {
    if table.features() == 0 {
        return Err(Error::NoFeatures);
    }
    if labels.len() != table.rows() {
        return Err(Error::LengthMismatch { what: "labels", expected: table.rows(), found: labels.len() });
    }
    table.check_training_rows(rows)?;
    match rows {
        [] => Err(Error::NoRows),
        [_] => Err(Error::TooFewRows { rows: 1, needed: 2 }),
        [first, ..] => {
            let label = labels[*first as usize];
            match rows.iter().any(|&row| labels[row as usize] != label) {
                true => Ok(()),
                false => Err(Error::OneClass { label, rows: rows.len() }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_contradicts_itself_is_refused_under_a_right_checksum() {
        let mut table = FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.0, 4.0]);
        table.finish_append().unwrap();
        for algorithm in [
            Algorithm::LogisticRegression(LogisticRegressionParams::default()),
            Algorithm::RandomForest(RandomForestParams::default()),
            Algorithm::DecisionTree(DecisionTreeParams::default()),
        ] {
            let labels = [true, false, false, true];
            let mut model = Classifier::fit(&algorithm, &table, &labels, &[0, 1, 2, 3], 0, None).unwrap();
            assert!(Classifier::from_bytes(&model.to_bytes().unwrap()).is_ok());
            model.numeric_names.push("y".into());
            let error = Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap_err();
            assert_eq!(error, Error::CorruptModel("payload contradicts itself"), "{}", algorithm.name());
        }
    }
}
