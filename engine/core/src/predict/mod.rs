//! What trained models say of rows: of a file's, and in SQL.
//!
//! | function | of a | gives |
//! | --- | --- | --- |
//! | `predict('job.model', column, …)` | classifier of two classes | BOOLEAN: whether the probability is above one half |
//! | | classifier of many classes | the most probable one, as the target has it |
//! | | regression | the number |
//! | | isolation forest | the score: the greater, the more of an outlier |
//! | | clustering | the number of the cluster, from 0 |
//! | `predict_proba('job.model', column, …)` | classifier of two classes | the probability of the one that is looked for |
//! | | classifier of many classes | a struct: the probability of each by its name, `predict_proba(…)['theft']` |
//! | `cluster_id('job.model', column, …)` | clustering | the number of the cluster, from 0 |
//!
//! Columns are the model's features by their names, in any order; what is computed is named by a struct, `{hour:
//! date_part('hour', t)}`. A feature that is null is a missing value: a classifier has an answer all the same, a
//! clustering has none. Which version is meant is looked up once in a statement.

mod classes;
mod functions;
mod onnx;
mod scorer;
mod transform;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use tidemill_ml::{Prediction, Task};

pub(crate) use functions::{calls, register};
pub use onnx::onnx;
pub use scorer::Scorer;
pub(crate) use scorer::table_of;
pub(crate) use transform::{asked_names, columns_of, transform};

use self::classes::Classes;
use crate::error::{Error, Result};
use crate::features::FeatureColumns;
use crate::registry::Loaded;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// What it predicts.
    Predict,
    /// How probable the one of two classes is that is looked for.
    Proba,
    /// The cluster.
    Cluster,
}

impl Ask {
    const ALL: [Ask; 3] = [Ask::Predict, Ask::Proba, Ask::Cluster];

    /// The name of the SQL function.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ask::Predict => "predict",
            Ask::Proba => "predict_proba",
            Ask::Cluster => "cluster_id",
        }
    }

    /// The type of the answer.
    ///
    /// # Errors
    /// User: the model has no such answer.
    pub(crate) fn data_type(self, loaded: &Loaded) -> Result<DataType> {
        if let Some(classes) = Classes::of(loaded) {
            match self {
                Ask::Predict => return Ok(classes.data_type().clone()),
                Ask::Proba => return Ok(classes.probabilities_type()),
                Ask::Cluster => {}
            }
        }
        match (self, loaded.model.task()) {
            (Ask::Predict, Task::Classify) => Ok(DataType::Boolean),
            (Ask::Predict, Task::Regress | Task::Outlier) => Ok(DataType::Float64),
            (Ask::Proba, Task::Classify) => Ok(DataType::Float64),
            (Ask::Predict | Ask::Cluster, Task::Cluster) => Ok(DataType::UInt32),
            _ => {
                let what = format!(
                    "{} is not for model `{}`, whose algorithm is {}",
                    self.name(),
                    loaded.entry.outcome.name,
                    loaded.entry.outcome.algorithm.name()
                );
                Err(Error::user(what).hint(
                    "predict is for every model, predict_proba for classifiers, cluster_id for clusterings",
                ))
            }
        }
    }

    /// The answers of a model for all rows of a table.
    ///
    /// # Errors
    /// User: the model has no such answer; Internal: the table has not its features.
    fn answers(self, loaded: &Loaded, table: &tidemill_ml::FeatureTable) -> Result<ArrayRef> {
        let all: Vec<u32> = (0u32..).take(table.rows()).collect();
        match (self, loaded.model.predict(table, &all)?) {
            (Ask::Predict, Prediction::Probabilities(of)) => {
                Ok(Arc::new(of.into_iter().map(|p| Some(p > 0.5)).collect::<BooleanArray>()))
            }
            (Ask::Proba, Prediction::Probabilities(of)) => Ok(Arc::new(Float64Array::from(of))),
            (Ask::Predict | Ask::Proba, Prediction::Classes { probabilities, .. }) => {
                let classes = Classes::of(loaded).ok_or_else(|| Error::internal("classes without names"))?;
                match self {
                    Ask::Predict => classes.most_probable(&probabilities),
                    _ => classes.probabilities(&probabilities),
                }
            }
            (Ask::Predict, Prediction::Numbers(of)) => Ok(Arc::new(Float64Array::from(of))),
            (Ask::Predict, Prediction::Outliers { scores, .. }) => Ok(Arc::new(Float64Array::from(scores))),
            (Ask::Predict | Ask::Cluster, Prediction::Clusters(of)) => Ok(Arc::new(UInt32Array::from(of))),
            _ => Err(Error::user(format!("{} is not for this model", self.name()))),
        }
    }
}

/// A model over columns that are named.
#[derive(Debug)]
pub struct Predictor {
    loaded: Arc<Loaded>,
    columns: FeatureColumns,
}

impl Predictor {
    /// Finds the model's features among these columns.
    ///
    /// # Errors
    /// User: one is not there, or of a type that is no such feature.
    pub fn new(loaded: Arc<Loaded>, schema: &Schema) -> Result<Predictor> {
        let columns =
            FeatureColumns::named(schema, loaded.model.numeric_names(), loaded.model.categorical_names());
        let columns =
            columns.map_err(|error| error.context(format!("model `{}`", loaded.entry.outcome.name)))?;
        Ok(Predictor { loaded, columns })
    }

    /// What the model says of each row: `prediction` and, of a classifier, `probability`, of many classes
    /// `probability_CLASS` for each.
    ///
    /// # Errors
    /// User: a column has that name already; Data.
    pub fn answers(&self, rows: &RecordBatch) -> Result<Vec<(String, ArrayRef)>> {
        let mut table = self.columns.table();
        self.columns.append(rows, &mut table)?;
        let mut answers = vec![("prediction".to_owned(), Ask::Predict.answers(&self.loaded, &table)?)];
        if self.loaded.model.task() == Task::Classify {
            let probability = Ask::Proba.answers(&self.loaded, &table)?;
            match probability.as_struct_opt() {
                Some(each) => answers.extend(
                    each.fields()
                        .iter()
                        .map(|class| format!("probability_{}", class.name()))
                        .zip(each.columns().iter().cloned()),
                ),
                None => answers.push(("probability".to_owned(), probability)),
            }
        }
        Ok(answers)
    }

    /// The columns of [`answers`](Predictor::answers).
    ///
    /// # Errors
    /// Internal.
    pub fn answer_fields(&self) -> Result<Vec<Field>> {
        let mut fields = vec![Field::new("prediction", Ask::Predict.data_type(&self.loaded)?, true)];
        match Ask::Proba.data_type(&self.loaded) {
            Ok(DataType::Struct(each)) => {
                fields.extend(each.iter().map(|class| {
                    Field::new(format!("probability_{}", class.name()), DataType::Float64, true)
                }))
            }
            Ok(probability) => fields.push(Field::new("probability", probability, true)),
            Err(_) => {}
        }
        Ok(fields)
    }

    /// One answer for each row.
    ///
    /// # Errors
    /// User: the model has no such answer; Data.
    fn answer(&self, ask: Ask, rows: &RecordBatch) -> Result<ArrayRef> {
        let mut table = self.columns.table();
        self.columns.append(rows, &mut table)?;
        ask.answers(&self.loaded, &table)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_functions_are_those_that_row_wise_selects_know_of() {
        assert_eq!(super::Ask::ALL.map(super::Ask::name), crate::sql::MODEL_FUNCTIONS);
    }
}
