//! What the models of a state say of its keys, as columns of the state's table.
//!
//! | model `m` is a | columns |
//! | --- | --- |
//! | clustering | `cluster_m` |
//! | classifier of two classes | `prediction_m`, `probability_m` |
//! | classifier of many classes, regression | `prediction_m` |
//! | isolation forest | `score_m` |
//!
//! They are null before the model has learned, where the version in use tells other classes apart than the job now says, and
//! for a key that has no features.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use serde_json::Value;
use tidemill_ml::{TargetKind, Task};

use crate::error::Result;
use crate::predict::{Ask, Predictor};
use crate::project::{ModelConfig, ModelSpec, TargetForm};
use crate::registry::Loaded;

/// The columns of a model.
pub(crate) fn columns_of(model: &ModelSpec) -> Vec<Field> {
    let config = &model.config;
    let field = |what: &str, of| Field::new(format!("{what}_{}", config.name), of, true);
    match (config.task(), config.target_kind()) {
        (Task::Cluster, _) => vec![field("cluster", DataType::UInt32)],
        (Task::Outlier, _) => vec![field("score", DataType::Float64)],
        (Task::Classify, TargetKind::Binary) => {
            vec![field("prediction", DataType::Boolean), field("probability", DataType::Float64)]
        }
        (Task::Classify, _) => vec![field("prediction", class_type(config))],
        _ => vec![field("prediction", DataType::Float64)],
    }
}

/// The type of a class, as far as the job says it; of those that are met it shows when the model has learned.
fn class_type(config: &ModelConfig) -> DataType {
    let named = config.classes.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match named.first() {
        Some(Value::Bool(_)) => DataType::Boolean,
        Some(Value::Number(_)) if named.iter().all(Value::is_i64) => DataType::Int64,
        Some(Value::Number(_)) => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// Features of keys, by the features SELECT.
pub(super) struct KeyFeatures {
    rows: RecordBatch,
    /// The row of each key.
    places: HashMap<String, u32>,
}

impl KeyFeatures {
    pub(super) fn new(rows: RecordBatch, keys: &StringArray) -> KeyFeatures {
        let keys = keys.iter().zip(0u32..).filter_map(|(key, row)| Some((key?.to_owned(), row)));
        KeyFeatures { rows, places: keys.collect() }
    }

    /// What a model says of these keys; null of all where it has not learned, or was made for other features or classes.
    ///
    /// # Errors
    /// Data.
    pub(super) fn answers(
        &self,
        model: &ModelSpec,
        loaded: Loaded,
        keys: &StringArray,
    ) -> Result<Vec<(Field, ArrayRef)>> {
        let (name, version, task) = (&model.config.name, loaded.entry.version, loaded.model.task());
        let other = match task == model.config.task() {
            true => other_target(model, &loaded),
            false => Some("is of another task"),
        };
        if let Some(other) = other {
            tracing::warn!(model = name, version, "the version in use {other}: it says nothing");
            return Ok(no_answers(model, keys.len()));
        }
        let predictor = match Predictor::new(Arc::new(loaded), &self.rows.schema()) {
            Ok(predictor) => predictor,
            Err(error) => {
                tracing::warn!(model = name, version, %error, "the version in use says nothing");
                return Ok(no_answers(model, keys.len()));
            }
        };
        let rows: UInt32Array = keys.iter().map(|key| self.places.get(key?).copied()).collect();
        let (answers, refused) = predictor.answers(&self.rows)?;
        refused.tell(predictor.loaded());
        let answers = columns_of(model).into_iter().zip(answers).map(|(field, (_, values))| {
            let values = take(&values, &rows, None)?;
            Ok((field.with_data_type(values.data_type().clone()), values))
        });
        answers.collect()
    }
}

/// What a version tells apart, where the model is to tell apart something else by now.
fn other_target(model: &ModelSpec, loaded: &Loaded) -> Option<&'static str> {
    let form = model.config.target_form().filter(|_| loaded.model.task() == Task::Classify)?;
    let is_of_many = matches!(Ask::Proba.data_type(loaded), Ok(DataType::Struct(_)));
    let classes = loaded.entry.outcome.classes.as_slice();
    match form {
        TargetForm::Two { .. } if is_of_many => Some("tells many classes apart"),
        TargetForm::Named(_) | TargetForm::Met if !is_of_many => Some("tells two classes apart"),
        TargetForm::Two { positive: Some(positive), negative } => {
            let is_same = match classes {
                [of_no, of_yes] => {
                    same(of_yes, &positive) && negative.is_none_or(|negative| same(of_no, &negative))
                }
                // The record does not say.
                _ => true,
            };
            (!is_same).then_some("looks for another class, or beside another")
        }
        // The greater is looked for.
        TargetForm::Two { positive: None, .. } => match classes {
            [of_no, of_yes] if !is_less(of_no, of_yes) => Some("looks for another class"),
            _ => None,
        },
        TargetForm::Named(named) => {
            let is_named = |class: &Value| named.iter().any(|name| same(name, class));
            (!classes.iter().all(is_named)).then_some("tells other classes apart")
        }
        TargetForm::Met | TargetForm::Number => None,
    }
}

/// A class as a number, where it is one; a job may write 1 for true.
fn number(class: &Value) -> Option<f64> {
    class.as_bool().map(|truth| f64::from(u8::from(truth))).or(class.as_f64())
}

/// Whether two values are one class.
fn same(one: &Value, other: &Value) -> bool {
    one == other || number(one).zip(number(other)).is_some_and(|(one, other)| one == other)
}

fn is_less(one: &Value, other: &Value) -> bool {
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one < other,
        _ => number(one) < number(other),
    }
}

/// The columns of a model that says nothing.
pub(super) fn no_answers(model: &ModelSpec, rows: usize) -> Vec<(Field, ArrayRef)> {
    let null = |field: Field| {
        let values = new_null_array(field.data_type(), rows);
        (field, values)
    };
    columns_of(model).into_iter().map(null).collect()
}
