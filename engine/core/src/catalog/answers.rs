//! What the models of a state say of its keys, as columns of the state's table.
//!
//! | model `m` is a | columns |
//! | --- | --- |
//! | clustering | `cluster_m` |
//! | classifier of two classes | `prediction_m`, `probability_m` |
//! | classifier of many classes, regression | `prediction_m` |
//! | isolation forest | `score_m` |
//!
//! They are null before the model has learned, and for a key that has no features.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use serde_json::Value;
use tidemill_ml::{TargetKind, Task};

use crate::error::Result;
use crate::predict::Predictor;
use crate::project::{ModelConfig, ModelSpec};
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

    /// What a model says of these keys; null of all where it has not learned, or was made for other features.
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
        if task != model.config.task() {
            tracing::warn!(model = name, version, "the version in use is of another task: it says nothing");
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

/// The columns of a model that says nothing.
pub(super) fn no_answers(model: &ModelSpec, rows: usize) -> Vec<(Field, ArrayRef)> {
    let null = |field: Field| {
        let values = new_null_array(field.data_type(), rows);
        (field, values)
    };
    columns_of(model).into_iter().map(null).collect()
}
