//! Logistic regression with L2 and L1 penalty.
//!
//! ```text
//! table rows ──LinearEncoders──> blocks of columns ──Newton | L-BFGS | linfa──> weights, intercept
//! ```
//!
//! Numbers become standard scores, with an indicator where values are missing; categories become their smoothed log-odds,
//! cross-fitted: dense, few, and already on the scale on which this model is linear; or a column each. The solvers always
//! work on standardised columns: a penalty on weights in the columns' own units is a penalty of its own on each score.
//!
//! A fit begins at the weights of the model before, and counts only the rows that came since (see `encode::linear`): one
//! pass over the rows is then enough as a rule.

mod lbfgs;
mod linfa;
pub(crate) mod loss;
mod newton;
mod params;
mod problem;
mod softmax;

pub use params::{LinearCategories, LogisticBackend, LogisticRegressionParams};

use crate::classifier::{BinaryModel, Model};
use crate::encode::kept::KeptBins;
use crate::encode::linear::{BLOCK, CategoryColumns, Design, LinearEncoders};
use crate::forest::KeptCounts;
use crate::multiclass::ClassesModel;
use crate::supervised::Settings;
use crate::table::FeatureTable;
use crate::training::ClassRows;
use crate::{Algorithm, Error, TrainingRows};
use problem::Problem;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use softmax::SoftmaxModel;

/// Dense columns up to which Newton's method is used.
const NEWTON_COLUMNS: usize = 64;

/// A fitted linear model's weights, in the units of the features.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, LogisticRegressionParams, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..48).map(|i| i % 24 > 9).collect(), (0..48).collect());
/// let logistic = Estimator::from(LogisticRegressionParams::default());
/// let fitted = logistic.fit(&Rows::new(&table, Target::Binary(&labels), &rows), 42)?;
/// let Fitted::Classifier(model) = fitted else { unreachable!() };
/// assert!(model.coefficients().is_some_and(|of| of.intercept < 0.0));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// The log-odds where every column is 0; of a linear regression the number.
    pub intercept: f64,
    /// One a column, in order.
    pub columns: Vec<Coefficient>,
}

/// The weight of one column of a linear model.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, LogisticRegressionParams, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, (0..48).map(|i| f64::from(i % 24)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..48).map(|i| i % 24 > 9).collect(), (0..48).collect());
/// let logistic = Estimator::from(LogisticRegressionParams::default());
/// let fitted = logistic.fit(&Rows::new(&table, Target::Binary(&labels), &rows), 42)?;
/// let Fitted::Classifier(model) = fitted else { unreachable!() };
/// let hour = model.coefficients().map(|of| of.columns[0].clone());
/// assert!(hour.is_some_and(|hour| hour.column == "hour" && hour.weight > 0.0));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficient {
    /// The feature, or what of it: `hour`, `hour is missing`, `place (log-odds)`, `place = street`.
    pub column: String,
    /// Change of the log-odds (of a linear regression, of the number) for one unit of the column. 0 for a constant column.
    pub weight: f64,
    /// Change of the same for one standard deviation; the same as `weight` for one-hot columns.
    pub standardised: f64,
}

/// A fitted logistic regression with the encoders of its features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogisticModel {
    encoders: LinearEncoders,
    /// One a column of the encoders, on scores; the intercept comes after those of the dense columns.
    weights: Vec<f64>,
}

impl Settings for LogisticRegressionParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::LogisticRegression
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn without_weights(&self) -> Option<&'static str> {
        Some(Algorithm::LogisticRegression.name())
    }

    fn fit_binary(
        &self,
        rows: &TrainingRows<'_>,
        seed: u64,
        before: Option<&Model>,
        _counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        let before = match before {
            Some(Model::Logistic(model)) => Some(model),
            _ => None,
        };
        LogisticModel::fit(self, rows.table, rows.labels, rows.rows, seed, before).map(Model::Logistic)
    }

    fn fit_classes(
        &self,
        rows: &ClassRows<'_>,
        seed: u64,
        before: Option<&ClassesModel>,
    ) -> Result<ClassesModel, Error> {
        let before = match before {
            Some(ClassesModel::Softmax(model)) => Some(model),
            _ => None,
        };
        SoftmaxModel::fit(self, rows, seed, before).map(ClassesModel::Softmax)
    }
}

impl BinaryModel for LogisticModel {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        _kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.predict_proba(table, rows))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }

    fn coefficients(&self, numeric: &[String], categorical: &[String]) -> Option<Coefficients> {
        Some(self.coefficients(numeric, categorical))
    }
}

impl LogisticModel {
    /// Fits on rows whose indices and labels (one a row of the table, both classes among `rows`) the caller has checked.
    /// A warm start of another layout, or one that leads nowhere, is not used.
    pub(crate) fn fit(
        params: &LogisticRegressionParams,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        warm_start: Option<&LogisticModel>,
    ) -> Result<LogisticModel, Error> {
        let categories = match params.categories {
            LinearCategories::Target => CategoryColumns::Target,
            LinearCategories::OneHot => CategoryColumns::OneHot(params.max_categories),
        };
        let before = warm_start.map(|model| &model.encoders);
        let (encoders, codes) = LinearEncoders::fit(table, labels, rows, seed, categories, before);
        let design = Design { encoders: &encoders, codes: &codes, table, labels, rows };
        let start = warm_start.and_then(|model| model.weights_for(&encoders));
        let weights = match params.backend {
            LogisticBackend::Linfa => linfa::minimise(params, &design, start)?,
            LogisticBackend::Tidemill => {
                let problem = problem(params, design);
                let is_small = encoders.columns() == encoders.dense() && encoders.dense() <= NEWTON_COLUMNS;
                let (steps, tolerance) = (params.max_iterations, params.gradient_tolerance);
                let solve = |start| match is_small {
                    true => newton::minimise(&problem, start, steps, tolerance),
                    false => lbfgs::minimise(&problem, start, steps, tolerance),
                };
                let warm = start.map(|start| solve(Some(start))).filter(|weights| usable(weights));
                warm.unwrap_or_else(|| solve(None))
            }
        };
        if !usable(&weights) {
            return Err(Error::Solver("a weight is not finite".into()));
        }
        Ok(LogisticModel { encoders, weights })
    }

    /// The encoders, and the weights: one a column of them, the intercept after those of the dense ones.
    pub(crate) fn parts(&self) -> (&LinearEncoders, &[f64]) {
        (&self.encoders, &self.weights)
    }

    /// The weights by the columns of other encoders.
    fn weights_for(&self, encoders: &LinearEncoders) -> Option<Vec<f64>> {
        let dense = self.encoders.dense();
        let mut weights = self.weights.clone();
        let intercept = weights.remove(dense);
        let mut carried = encoders.carry_weights(&self.encoders, &weights)?;
        carried.insert(encoders.dense(), intercept);
        Some(carried)
    }

    /// Probability of the label for each of these rows.
    pub(crate) fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
        const CHUNK: usize = 16 * BLOCK;
        let codes = self.encoders.table_codes(table, rows);
        let design = Design { encoders: &self.encoders, codes: &codes, table, labels: &[], rows };
        let mut scores = vec![0.0; rows.len()];
        scores.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, scores)| {
            loss::scores(&design, &self.weights, chunk * CHUNK, scores);
            scores.iter_mut().for_each(|score| *score = loss::sigmoid(*score));
        });
        scores
    }

    /// The weights in the units of the features, whose names these are.
    pub(crate) fn coefficients(&self, numeric: &[String], categorical: &[String]) -> Coefficients {
        coefficients(&self.encoders, &self.weights, numeric, categorical)
    }

    /// Whether the model is as `fit` makes it for so many features; a file might hold anything.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.encoders.is_valid(numeric, categorical)
            && self.weights.len() == self.encoders.columns() + 1
            // Scores are bounded, so bounded weights cannot sum to infinity.
            && usable(&self.weights)
    }
}

/// Weights on scores as those of the features, whose names these are.
fn coefficients(
    encoders: &LinearEncoders,
    weights: &[f64],
    numeric: &[String],
    categorical: &[String],
) -> Coefficients {
    let dense = encoders.dense();
    let mut intercept = weights[dense];
    let weights = weights.iter().enumerate().filter(|(i, _)| *i != dense).map(|(_, w)| *w);
    let meanings = encoders.meanings(numeric, categorical);
    let columns = meanings.into_iter().zip(weights).map(|(meaning, standardised)| {
        let weight = standardised * meaning.inverse;
        intercept -= weight * meaning.mean;
        Coefficient { column: meaning.name, weight, standardised }
    });
    let columns = columns.collect();
    Coefficients { intercept, columns }
}

pub(crate) fn usable(weights: &[f64]) -> bool {
    weights.iter().all(|w| w.abs() < 1e100)
}

/// What a weight on scores is multiplied by to be the one that is penalised; 0 for the intercept.
pub(crate) fn penalty_units(encoders: &LinearEncoders, standardise: bool) -> Vec<f64> {
    // A weight in the column's own unit is the score's weight times this.
    let unit = |inverse: f64| match standardise || inverse == 0.0 {
        true => 1.0,
        // Beyond that its square, and so the penalty, would overflow.
        false => inverse.clamp(1e-75, 1e75),
    };
    let mut units: Vec<f64> = encoders.inverses().into_iter().map(unit).collect();
    units.insert(encoders.dense(), 0.0);
    units
}

/// L2 and L1 penalties by weight, as shares of one row.
fn penalties(params: &LogisticRegressionParams, rows: usize, units: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let rows = rows as f64;
    let (l1, l2) = (params.alpha * params.l1_ratio / rows, params.alpha * (1.0 - params.l1_ratio) / rows);
    (units.iter().map(|unit| l2 * unit * unit).collect(), units.iter().map(|unit| l1 * unit).collect())
}

/// Loss and penalty, as shares of one row, on the columns' scores.
fn problem<'a>(params: &LogisticRegressionParams, design: Design<'a>) -> Problem<'a> {
    let units = penalty_units(design.encoders, params.standardise);
    let (l2, l1) = penalties(params, design.rows.len(), &units);
    Problem { design, l2, l1 }
}
