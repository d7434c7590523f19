//! The algorithms that learn a target: their settings, and what each of them does with a target of each kind.
//!
//! [`SupervisedParams::settings`] is the one place that tells them apart. An algorithm says beside its own code what it
//! does, in [`Settings`]; [`Classifier`](crate::Classifier), [`MultiClassifier`](crate::MultiClassifier) and
//! [`Regressor`](crate::Regressor) hold what it made.

use crate::classifier::Model;
use crate::forest::{DecisionTreeParams, GradientBoostingParams, KeptCounts, RandomForestParams};
use crate::linear::LinearRegressionParams;
use crate::logistic::LogisticRegressionParams;
use crate::multiclass::ClassesModel;
use crate::regressor::NumbersModel;
use crate::sgd::SgdClassifierParams;
use crate::training::{ClassRows, NumberRows};
use crate::{Algorithm, Error, TargetKind, TrainingRows};
use serde::{Deserialize, Serialize};

/// What to fit to a target, with its settings.
///
/// ```
/// use tidemill_ml::{Algorithm, RandomForestParams, SupervisedParams};
///
/// let params = SupervisedParams::RandomForest(RandomForestParams { trees: 50, ..RandomForestParams::default() });
/// assert_eq!(params.algorithm(), Algorithm::RandomForest);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SupervisedParams {
    /// Logistic regression with L2 and L1 penalty.
    LogisticRegression(LogisticRegressionParams),
    /// Linear regression with L2 penalty.
    LinearRegression(LinearRegressionParams),
    /// Random forest over histograms.
    RandomForest(RandomForestParams),
    /// One tree over histograms, learned from every row once.
    DecisionTree(DecisionTreeParams),
    /// Gradient boosting of trees over histograms.
    GradientBoosting(GradientBoostingParams),
    /// Logistic regression by stochastic gradient descent.
    SgdClassifier(SgdClassifierParams),
}

/// What an algorithm does with rows that the caller has checked. `before` is a model of any algorithm on the same
/// features: what is of no use is ignored.
pub(crate) trait Settings {
    /// Which algorithm it is.
    fn algorithm(&self) -> Algorithm;

    /// Checks the settings: [`Error::BadParameter`] for the first one outside its range.
    fn validate(&self) -> Result<(), Error>;

    /// Who it is that knows no weights of rows; `None` where they are known.
    fn without_weights(&self) -> Option<&'static str> {
        None
    }

    /// Whether counts of its trees are of use to a refit.
    fn keeps_counts(&self) -> bool {
        false
    }

    /// Learns one of two classes.
    fn fit_binary(
        &self,
        _rows: &TrainingRows<'_>,
        _seed: u64,
        _before: Option<&Model>,
        _counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        Err(Error::other_target(self.algorithm(), TargetKind::Binary))
    }

    /// Learns one of many classes.
    fn fit_classes(
        &self,
        _rows: &ClassRows<'_>,
        _seed: u64,
        _before: Option<&ClassesModel>,
    ) -> Result<ClassesModel, Error> {
        Err(Error::other_target(self.algorithm(), TargetKind::Classes))
    }

    /// Learns a number.
    fn fit_numbers(
        &self,
        _rows: &NumberRows<'_>,
        _seed: u64,
        _before: Option<&NumbersModel>,
    ) -> Result<NumbersModel, Error> {
        Err(Error::other_target(self.algorithm(), TargetKind::Numbers))
    }
}

impl SupervisedParams {
    pub(crate) fn settings(&self) -> &dyn Settings {
        match self {
            SupervisedParams::LogisticRegression(params) => params,
            SupervisedParams::LinearRegression(params) => params,
            SupervisedParams::RandomForest(params) => params,
            SupervisedParams::DecisionTree(params) => params,
            SupervisedParams::GradientBoosting(params) => params,
            SupervisedParams::SgdClassifier(params) => params,
        }
    }

    /// Which algorithm it is.
    pub fn algorithm(&self) -> Algorithm {
        self.settings().algorithm()
    }

    /// Its name in job files and metrics.
    pub fn name(&self) -> &'static str {
        self.algorithm().name()
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        self.settings().validate()
    }

    /// The settings, if they are right, for a target of this kind.
    pub(crate) fn checked(&self, target: TargetKind) -> Result<&dyn Settings, Error> {
        let settings = self.settings();
        settings.validate()?;
        match settings.algorithm().info().learns(target) {
            true => Ok(settings),
            false => Err(Error::other_target(settings.algorithm(), target)),
        }
    }
}

impl dyn Settings + '_ {
    /// Checks that weights are known to it, if there are any.
    pub(crate) fn check_weights(&self, weights: Option<&[f64]>) -> Result<(), Error> {
        match self.without_weights().filter(|_| weights.is_some()) {
            Some(algorithm) => Err(Error::NotOfAlgorithm { algorithm, what: "weights of rows" }),
            None => Ok(()),
        }
    }
}
