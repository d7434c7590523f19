//! A fitted binary classifier of any algorithm.

mod inspect;

use crate::encode::bins::TableBins;
use crate::file::{self, Kind, MOST_ROWS};
use crate::forest::{
    Boosted, DecisionTreeParams, Forest, GradientBoostingParams, RandomForestParams, Reference, TreeBackend,
    Trees,
};
use crate::logistic::{LogisticModel, LogisticRegressionParams};
use crate::sgd::{SgdClassifierParams, SgdModel};
use crate::table::check_names;
use crate::{Algorithm, Error, FeatureTable, KeptBins, KeptCounts, TrainingRows};
use serde::{Deserialize, Serialize};

/// What classifier to fit, with its settings.
///
/// ```
/// use tidemill_ml::{Algorithm, ClassifierParams, RandomForestParams};
///
/// let params = ClassifierParams::RandomForest(RandomForestParams { trees: 50, ..RandomForestParams::default() });
/// assert_eq!(params.algorithm(), Algorithm::RandomForest);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClassifierParams {
    /// Logistic regression with L2 and L1 penalty.
    LogisticRegression(LogisticRegressionParams),
    /// Random forest over histograms.
    RandomForest(RandomForestParams),
    /// One tree over histograms, learned from every row once.
    DecisionTree(DecisionTreeParams),
    /// Gradient boosting of trees over histograms.
    GradientBoosting(GradientBoostingParams),
    /// Logistic regression by stochastic gradient descent.
    SgdClassifier(SgdClassifierParams),
}

impl ClassifierParams {
    /// Which algorithm it is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            ClassifierParams::LogisticRegression(_) => Algorithm::LogisticRegression,
            ClassifierParams::RandomForest(_) => Algorithm::RandomForest,
            ClassifierParams::DecisionTree(_) => Algorithm::DecisionTree,
            ClassifierParams::GradientBoosting(_) => Algorithm::GradientBoosting,
            ClassifierParams::SgdClassifier(_) => Algorithm::SgdClassifier,
        }
    }

    /// Its name in job files and metrics.
    pub fn name(&self) -> &'static str {
        self.algorithm().name()
    }

    /// Whether counts of its trees are of use to a refit.
    fn keeps_counts(&self) -> bool {
        match self {
            ClassifierParams::RandomForest(params) => params.backend == TreeBackend::Tidemill,
            ClassifierParams::DecisionTree(params) => params.backend == TreeBackend::Tidemill,
            _ => false,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            ClassifierParams::LogisticRegression(params) => params.validate(),
            ClassifierParams::RandomForest(params) => params.validate(),
            ClassifierParams::DecisionTree(params) => params.validate(),
            ClassifierParams::GradientBoosting(params) => params.validate(),
            ClassifierParams::SgdClassifier(params) => params.validate(),
        }
    }
}

/// A fitted classifier: knows its feature names, encoders and category strings, and so scores any table of these features.
///
/// ```
/// use tidemill_ml::{Classifier, ClassifierParams, DecisionTreeParams, FeatureTable};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..48).map(|i| i % 24 > 17).collect(), (0..48).collect());
/// let params = ClassifierParams::DecisionTree(DecisionTreeParams::default());
/// let tree = Classifier::fit(&params, &table, &labels, &rows, 42, None)?;
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
enum Model {
    Logistic(LogisticModel),
    Forest(Forest),
    /// A forest of one tree. New variants come last: their order is in the file.
    Tree(Forest),
    Boosted(Boosted),
    Sgd(SgdModel),
    Reference(Reference),
}

/// A model as it is read: the algorithms whose models are alike are one.
enum Read<'a> {
    Logistic(&'a LogisticModel),
    Sgd(&'a SgdModel),
    Trees(Trees<'a>),
    Reference(&'a Reference),
}

impl Model {
    fn read(&self) -> Read<'_> {
        match self {
            Model::Logistic(model) => Read::Logistic(model),
            Model::Sgd(model) => Read::Sgd(model),
            Model::Forest(model) | Model::Tree(model) => Read::Trees(model.trees()),
            Model::Boosted(model) => Read::Trees(model.trees()),
            Model::Reference(model) => Read::Reference(model),
        }
    }
}

impl Classifier {
    /// Fits on some rows of a table, which weigh the same: [`fit_rows`](Classifier::fit_rows) without weights.
    ///
    /// `labels` has one value a row of the table; `rows` are the training rows, strictly ascending. `seed` decides every
    /// random choice; the result does not depend on the number of threads. `warm_start` is the previous model: logistic
    /// regression begins at its weights if it has the same features, and counts only new rows if it learned from the first
    /// ones of these with the same seed. Where it has the same settings, seed and bins, and learned from the first ones of
    /// these rows, ten elevenths of them or more, gradient boosting keeps the first three quarters of its trees; and a
    /// forest whose trees take turns grows a quarter of them anew and counts all rows in the leaves of the others. Trees
    /// take turns from 2,048 rows on where the counts of less than three quarters of their levels fit into what
    /// [`refit`](Classifier::refit) keeps, or splits try a quarter of the features or fewer; boosting keeps trees from
    /// 2,048 rows on. Bins are other ones whenever the rows have doubled, where a feature has left them
    /// ([`KeptBins`]), with target encoding, and below 256 rows. Anything else is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`], [`Error::NoRows`], [`Error::TooFewRows`] (one row) and [`Error::OneClass`] where there is
    /// nothing to learn; [`Error::BadParameter`], [`Error::LengthMismatch`], [`Error::RowOutOfRange`] and
    /// [`Error::RowsNotAscending`] for arguments that do not fit; [`Error::Solver`] if no finite model was found, which may
    /// be with `backend = "linfa"`, with an `sgd_classifier` whose steps are too long, and with an `alpha` beyond 1e100.
    pub fn fit(
        algorithm: &ClassifierParams,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        warm_start: Option<&Classifier>,
    ) -> Result<Classifier, Error> {
        Classifier::fit_rows(algorithm, &TrainingRows::new(table, labels, rows), seed, warm_start)
    }

    /// Fits on rows that may weigh differently; the rest as for [`fit`](Classifier::fit). Weights that are all the same
    /// change nothing, and rows of weight 0 are not there: the errors are those of the other rows.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Classifier::fit); [`Error::BadWeight`]; [`Error::TooManyRows`] beyond 2²⁸ of them; and
    /// [`Error::NotOfAlgorithm`] where weights differ and the algorithm knows none.
    pub fn fit_rows(
        algorithm: &ClassifierParams,
        training: &TrainingRows<'_>,
        seed: u64,
        warm_start: Option<&Classifier>,
    ) -> Result<Classifier, Error> {
        Classifier::fit_keeping(algorithm, training, seed, warm_start, None)
    }

    /// The same model as [`fit_rows`](Classifier::fit_rows) makes, sooner where a forest or a decision tree was fitted so
    /// before, with the same `counts`, on the first of these rows. Give it the rows' kept bins, too: without them, with
    /// weights, with target encoding, for forests whose trees take turns, for a tree that tries a quarter of the features
    /// or fewer, and for other algorithms, it is a plain fit, and counts that it cannot use are dropped.
    ///
    /// # Errors
    ///
    /// Those of [`fit_rows`](Classifier::fit_rows).
    pub fn refit(
        algorithm: &ClassifierParams,
        training: &TrainingRows<'_>,
        seed: u64,
        warm_start: Option<&Classifier>,
        counts: &mut KeptCounts,
    ) -> Result<Classifier, Error> {
        Classifier::fit_keeping(algorithm, training, seed, warm_start, Some(counts))
    }

    fn fit_keeping(
        algorithm: &ClassifierParams,
        training: &TrainingRows<'_>,
        seed: u64,
        warm_start: Option<&Classifier>,
        counts: Option<&mut KeptCounts>,
    ) -> Result<Classifier, Error> {
        algorithm.validate()?;
        let weighing = training.check()?;
        let mut training = TrainingRows { rows: weighing.as_deref().unwrap_or(training.rows), ..*training };
        if training.weighs_the_same() {
            training.weights = None;
        }
        let TrainingRows { table, labels, rows, weights, .. } = training;
        let counts = counts.and_then(|counts| counts.used_if(algorithm.keeps_counts()));
        let without_weights = || match weights {
            None => Ok(()),
            Some(_) => {
                let of = match algorithm {
                    ClassifierParams::LogisticRegression(_) | ClassifierParams::SgdClassifier(_) => {
                        algorithm.name()
                    }
                    _ => "smartcore",
                };
                Err(Error::NotOfAlgorithm { algorithm: of, what: "weights of rows" })
            }
        };
        let before = warm_start.filter(|c| c.check_features(table).is_ok()).map(|c| &c.model);
        let model = match algorithm {
            ClassifierParams::LogisticRegression(params) => {
                without_weights()?;
                let previous = match before {
                    Some(Model::Logistic(model)) => Some(model),
                    _ => None,
                };
                Model::Logistic(LogisticModel::fit(params, table, labels, rows, seed, previous)?)
            }
            ClassifierParams::RandomForest(params) if params.backend == TreeBackend::Smartcore => {
                without_weights()?;
                Model::Reference(Reference::fit(params, &training, seed)?)
            }
            ClassifierParams::DecisionTree(params) if params.backend == TreeBackend::Smartcore => {
                without_weights()?;
                Model::Reference(Reference::fit_tree(params, &training, seed)?)
            }
            ClassifierParams::RandomForest(params) => {
                let previous = match before {
                    Some(Model::Forest(model)) => Some(model),
                    _ => None,
                };
                Model::Forest(Forest::fit(params, &training, seed, counts, previous))
            }
            ClassifierParams::DecisionTree(params) => {
                Model::Tree(Forest::fit_tree(params, &training, seed, counts))
            }
            ClassifierParams::GradientBoosting(params) => {
                let previous = match before {
                    Some(Model::Boosted(model)) => Some(model),
                    _ => None,
                };
                Model::Boosted(Boosted::fit(params, &training, seed, previous))
            }
            ClassifierParams::SgdClassifier(params) => {
                without_weights()?;
                Model::Sgd(SgdModel::fit(params, table, labels, rows, seed)?)
            }
        };
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
    /// [`Error::NoPartialFit`] for other algorithms; [`Error::FeatureMismatch`], and for rows and labels the errors of
    /// [`fit`](Classifier::fit), but for one row and one class, which are fine.
    pub fn partial_fit(
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
    pub fn predict_proba_kept(
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
        let binned = |bins: &TableBins| match kept.and_then(|kept| kept.with(table, bins)) {
            Some(binned) => binned.take(rows),
            None => bins.transform(table, rows),
        };
        Ok(match self.model.read() {
            Read::Logistic(model) => model.predict_proba(table, rows),
            Read::Sgd(model) => model.predict_proba(table, rows),
            Read::Trees(trees) => {
                let binned = binned(trees.bins);
                trees.predict_proba(&binned, &trees.rare.unseen(table, rows, &binned))
            }
            Read::Reference(model) => model.predict(&binned(model.bins()))?,
        })
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
        match &self.model {
            Model::Logistic(_) => Algorithm::LogisticRegression,
            Model::Forest(_) => Algorithm::RandomForest,
            Model::Tree(_) => Algorithm::DecisionTree,
            Model::Boosted(_) => Algorithm::GradientBoosting,
            Model::Sgd(_) => Algorithm::SgdClassifier,
            Model::Reference(model) if model.is_forest() => Algorithm::RandomForest,
            Model::Reference(_) => Algorithm::DecisionTree,
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
        let fits = match &self.model {
            Model::Logistic(model) => model.is_valid(numeric, categorical),
            Model::Forest(model) => model.is_valid(numeric, categorical),
            Model::Tree(model) => model.trees().trees.len() == 1 && model.is_valid(numeric, categorical),
            Model::Boosted(model) => model.is_valid(numeric, categorical),
            Model::Sgd(model) => model.is_valid(numeric, categorical),
            Model::Reference(model) => model.is_valid(numeric, categorical),
        };
        fits && self.training_rows <= MOST_ROWS
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

    #[test]
    fn a_model_that_contradicts_itself_is_refused_under_a_right_checksum() {
        let mut table = FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 3.0, 4.0]);
        table.finish_append().unwrap();
        for algorithm in [
            ClassifierParams::LogisticRegression(LogisticRegressionParams::default()),
            ClassifierParams::RandomForest(RandomForestParams::default()),
            ClassifierParams::DecisionTree(DecisionTreeParams::default()),
            ClassifierParams::GradientBoosting(GradientBoostingParams::default()),
            ClassifierParams::SgdClassifier(SgdClassifierParams::default()),
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
