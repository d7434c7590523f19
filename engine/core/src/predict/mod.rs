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
//! | `score('job.model', column, …)` | isolation forest | how far a row is apart from the others, 0 to 1 |
//!
//! Columns are the model's features by their names, in any order; what is computed is named by a struct, `{hour:
//! date_part('hour', t)}`. A feature that is null is a missing value: a classifier has an answer all the same, a
//! clustering has none. A row that a step of the model refuses (`pca`, of a missing value) has no answer, and the log counts
//! them. Which version is meant is looked up once in a statement.

mod classes;
mod functions;
mod onnx;
mod scorer;
mod transform;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{nullif, take};
use arrow::datatypes::{DataType, Field, Schema};
use tidemill_ml::{FeatureTable, Prediction, Task};

pub(crate) use functions::{calls, register};
pub(crate) use onnx::Categories;
pub use onnx::onnx;
pub(crate) use scorer::table_of;
pub use scorer::{Scored, Scorer};
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
    /// How much of an outlier it is.
    Score,
}

impl Ask {
    const ALL: [Ask; 4] = [Ask::Predict, Ask::Proba, Ask::Cluster, Ask::Score];

    /// The name of the SQL function.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ask::Predict => "predict",
            Ask::Proba => "predict_proba",
            Ask::Cluster => "cluster_id",
            Ask::Score => "score",
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
                Ask::Cluster | Ask::Score => {}
            }
        }
        match (self, loaded.model.task()) {
            (Ask::Predict, Task::Classify) => Ok(DataType::Boolean),
            (Ask::Predict, Task::Regress | Task::Outlier) => Ok(DataType::Float64),
            (Ask::Score, Task::Outlier) => Ok(DataType::Float64),
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
                    "predict is for every model, predict_proba for classifiers, cluster_id for clusterings, score for isolation \
                     forests",
                ))
            }
        }
    }

    /// What it is of all that a model says of some rows.
    ///
    /// # Errors
    /// User: the model has no such answer; Internal.
    fn answer(self, loaded: &Loaded, said: &Said) -> Result<ArrayRef> {
        let Some(prediction) = &said.prediction else {
            return Ok(new_null_array(&self.data_type(loaded)?, said.rows));
        };
        let answers: ArrayRef = match (self, prediction) {
            (Ask::Predict, Prediction::Probabilities(of)) => {
                Arc::new(of.iter().map(|p| Some(*p > 0.5)).collect::<BooleanArray>())
            }
            (Ask::Proba, Prediction::Probabilities(of)) => Arc::new(Float64Array::from(of.clone())),
            (Ask::Predict | Ask::Proba, Prediction::Classes { probabilities, .. }) => {
                let classes = Classes::of(loaded).ok_or_else(|| Error::internal("classes without names"))?;
                match self {
                    Ask::Predict => classes.most_probable(probabilities)?,
                    _ => classes.probabilities(probabilities)?,
                }
            }
            (Ask::Predict, Prediction::Numbers(of)) => Arc::new(Float64Array::from(of.clone())),
            (Ask::Predict | Ask::Score, Prediction::Outliers { scores, .. }) => {
                Arc::new(Float64Array::from(scores.clone()))
            }
            (Ask::Predict | Ask::Cluster, Prediction::Clusters(of)) => {
                Arc::new(UInt32Array::from(of.clone()))
            }
            _ => return Err(Error::user(format!("{} is not for this model", self.name()))),
        };
        Ok(match &said.places {
            Some(places) => take(&answers, places, None)?,
            None => answers,
        })
    }
}

/// What a model says of some rows.
struct Said {
    /// Of those that it has an answer for; none where there is no such row.
    prediction: Option<Prediction>,
    rows: usize,
    /// Of each row its place among these, where a step of the model has refused others.
    places: Option<UInt32Array>,
    refused: Refused,
}

/// Rows that a model has no answer for.
#[derive(Debug, Clone, Default)]
pub struct Refused {
    /// How many.
    pub rows: u64,
    /// Why the first one.
    pub why: Option<String>,
}

impl Refused {
    /// Adds those of later rows.
    pub fn add(&mut self, later: Refused) {
        self.rows += later.rows;
        self.why = self.why.take().or(later.why);
    }

    /// Tells of them in the log.
    pub(crate) fn tell(&self, loaded: &Loaded) {
        if let Refused { rows: rows @ 1.., why: Some(why) } = self {
            let (model, version) = (&loaded.entry.outcome.name, loaded.entry.version);
            tracing::warn!(model, version, rows, why, "rows that a step of the model refuses have no answer");
        }
    }
}

impl Said {
    /// # Errors
    /// Data; Internal: the table has not the features of the model.
    fn of(loaded: &Loaded, table: &FeatureTable) -> Result<Said> {
        let all: Vec<u32> = (0u32..).take(table.rows()).collect();
        let error = match loaded.model.predict(table, &all) {
            Ok(prediction) => {
                let refused = Refused::default();
                return Ok(Said { prediction: Some(prediction), rows: all.len(), places: None, refused });
            }
            Err(error @ tidemill_ml::Error::InStep { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let taken = loaded.model.answerable(table, &all)?;
        if taken.len() == all.len() {
            return Err(error.into());
        }
        let mut places = vec![None; all.len()];
        (0u32..).zip(&taken).for_each(|(place, &row)| places[row as usize] = Some(place));
        let prediction = match taken.is_empty() {
            true => None,
            false => Some(loaded.model.predict(table, &taken)?),
        };
        let refused = Refused { rows: (all.len() - taken.len()) as u64, why: Some(error.to_string()) };
        Ok(Said { prediction, rows: all.len(), places: Some(UInt32Array::from(places)), refused })
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
    /// `probability_CLASS` for each, of an isolation forest `score`; null of those that a step of it refuses.
    ///
    /// # Errors
    /// User: a column has that name already; Data.
    pub fn answers(&self, rows: &RecordBatch) -> Result<(Vec<(String, ArrayRef)>, Refused)> {
        let mut table = self.columns.table();
        self.columns.append(rows, &mut table)?;
        let said = Said::of(&self.loaded, &table)?;
        let answer = |ask: Ask| ask.answer(&self.loaded, &said);
        let mut answers = vec![("prediction".to_owned(), answer(Ask::Predict)?)];
        match self.loaded.model.task() {
            Task::Classify => {
                let probability = answer(Ask::Proba)?;
                match probability.as_struct_opt() {
                    Some(each) => {
                        let names = each.fields().iter().map(|class| format!("probability_{}", class.name()));
                        // Where a step has refused a row it is the struct that is null.
                        let (_, columns, nulls) = each.clone().into_parts();
                        for (name, column) in names.zip(columns) {
                            answers.push((name, null_where(&column, nulls.as_ref())?));
                        }
                    }
                    None => answers.push(("probability".to_owned(), probability)),
                }
            }
            Task::Outlier => answers.push(("score".to_owned(), answer(Ask::Score)?)),
            _ => {}
        }
        Ok((answers, said.refused))
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
        if let Ok(score) = Ask::Score.data_type(&self.loaded) {
            fields.push(Field::new("score", score, true));
        }
        Ok(fields)
    }

    /// The model.
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// One answer for each row.
    ///
    /// # Errors
    /// User: the model has no such answer; Data.
    fn answer(&self, ask: Ask, rows: &RecordBatch) -> Result<ArrayRef> {
        let mut table = self.columns.table();
        self.columns.append(rows, &mut table)?;
        let said = Said::of(&self.loaded, &table)?;
        said.refused.tell(&self.loaded);
        ask.answer(&self.loaded, &said)
    }
}

/// The column, with these nulls too.
fn null_where(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = nulls else { return Ok(column.clone()) };
    Ok(nullif(column, &BooleanArray::new(!nulls.inner(), None))?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_functions_are_those_that_row_wise_selects_know_of() {
        assert_eq!(super::Ask::ALL.map(super::Ask::name), crate::sql::MODEL_FUNCTIONS);
    }
}
