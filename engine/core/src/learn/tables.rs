//! The system tables that a batch writes: `metrics`, `models`, `centres`, `importances`, `batches`, and `data_loss` with
//! the commit.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidemill_ml::{BinaryMetrics, Fitted, METRICS, Metric, Task};

use crate::error::Result;
use crate::learn::RowsSeen;
use crate::progress::Durations;
use crate::records::{BatchCounts, DataLoss, Gated, ModelOutcome, ModelStatus, Scores};
use crate::source::lag::Lag;

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields =
        fields.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn counts(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.collect::<UInt64Array>())
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

/// Metrics that came after the columns of `system.metrics`, which stay as their readers know them.
const WITHOUT_COLUMN: [&str; 9] = [
    "brier",
    "pr_auc",
    "calibration_error",
    "macro_f1",
    "auc_ovr",
    "bic_river",
    "outlier_share",
    "mean_score",
    "outlier_auc",
];

/// A count of a classifier's rows.
type Count = fn(&BinaryMetrics) -> u64;

/// The counts, by their names.
const CELLS: [(&str, Count); 4] = [
    ("tp", |m| m.true_positives),
    ("fp", |m| m.false_positives),
    ("tn", |m| m.true_negatives),
    ("fn", |m| m.false_negatives),
];

/// The metrics that `system.metrics` has a column of.
pub fn with_column() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().filter(|metric| !WITHOUT_COLUMN.contains(&metric.name))
}

/// Those of models for a task.
fn columns_of(task: Task) -> impl Iterator<Item = &'static Metric> {
    with_column().filter(move |metric| metric.task() == task)
}

/// Columns of `system.metrics`: one row a batch, model and kind of evaluation.
pub fn metrics_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    let mut fields = vec![
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("model", Utf8, false),
        ("version", UInt64, true),
        ("evaluation", Utf8, false),
        ("rows", UInt64, false),
    ];
    fields.extend(columns_of(Task::Classify).map(|metric| (metric.name, Float64, true)));
    fields.extend(CELLS.map(|(name, _)| (name, UInt64, true)));
    fields.push(("train_ms", Float64, true));
    fields.extend(columns_of(Task::Cluster).map(|metric| (metric.name, Float64, true)));
    // Null in files of versions that learned no numbers.
    fields.extend(columns_of(Task::Regress).map(|metric| (metric.name, Float64, true)));
    schema(&fields)
}

/// Rows of `system.metrics` for one batch.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn metrics(job: &str, batch_id: u64, outcomes: &[ModelOutcome]) -> Result<RecordBatch> {
    let rows: Vec<Row<'_>> = outcomes
        .iter()
        .flat_map(|outcome| {
            let trained = (outcome.status == ModelStatus::Trained).then_some(outcome.train_ms);
            let name = outcome.name.as_str();
            let holdout = outcome.holdout.as_ref().map(|scores| Row {
                name,
                evaluation: "holdout",
                version: outcome.version,
                scores,
                train_ms: trained,
            });
            let prequential = outcome.prequential.as_ref().map(|scores| Row {
                name,
                evaluation: "prequential",
                version: outcome.prequential_version,
                scores,
                train_ms: None,
            });
            let sample = outcome.sample.as_ref().map(|scores| Row {
                name,
                evaluation: "sample",
                version: outcome.version,
                scores,
                train_ms: trained,
            });
            let folds = outcome.folds.as_ref().map(|scores| Row {
                name,
                evaluation: "folds",
                version: outcome.version,
                scores,
                train_ms: trained,
            });
            holdout.into_iter().chain(sample).chain(folds).chain(prequential)
        })
        .collect();
    metrics_of(job, batch_id, &rows)
}

/// Rows as of `system.metrics` for what clusterings, by name and version, are worth on all rows.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub(crate) fn exact_metrics(
    job: &str,
    batch_id: u64,
    scored: &[(String, Option<u64>, Scores)],
) -> Result<RecordBatch> {
    let rows = scored.iter().map(|(name, version, scores)| Row {
        name,
        evaluation: "exact",
        version: *version,
        scores,
        train_ms: None,
    });
    metrics_of(job, batch_id, &rows.collect::<Vec<_>>())
}

struct Row<'a> {
    name: &'a str,
    evaluation: &'static str,
    version: Option<u64>,
    scores: &'a Scores,
    train_ms: Option<f64>,
}

fn metrics_of(job: &str, batch_id: u64, rows: &[Row<'_>]) -> Result<RecordBatch> {
    let metric = |metric: &Metric| numbers(rows.iter().map(|r| metric.value(r.scores)));
    let cell = |f: fn(&BinaryMetrics) -> u64| counts(rows.iter().map(|r| r.scores.binary().map(f)));
    let mut columns = vec![
        texts(rows.iter().map(|_| Some(job))),
        counts(rows.iter().map(|_| Some(batch_id))),
        texts(rows.iter().map(|r| Some(r.name))),
        counts(rows.iter().map(|r| r.version)),
        texts(rows.iter().map(|r| Some(r.evaluation))),
        counts(rows.iter().map(|r| Some(r.scores.rows()))),
    ];
    columns.extend(columns_of(Task::Classify).map(metric));
    columns.extend(CELLS.map(|(_, count)| cell(count)));
    columns.push(numbers(rows.iter().map(|r| r.train_ms)));
    columns.extend(columns_of(Task::Cluster).map(metric));
    columns.extend(columns_of(Task::Regress).map(metric));
    Ok(RecordBatch::try_new(metrics_schema(), columns)?)
}

/// Columns of `system.models`: one row a batch and model.
pub fn models_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("model", Utf8, false),
        ("algorithm", Utf8, false),
        ("status", Utf8, false),
        ("reason", Utf8, true),
        ("version", UInt64, true),
        ("seed", UInt64, false),
        ("train_rows", UInt64, false),
        ("train_ms", Float64, false),
        ("path", Utf8, true),
        ("bytes", UInt64, true),
        ("xxh3", Utf8, true),
    ])
}

/// Rows of `system.models` for one batch.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn models(job: &str, batch_id: u64, outcomes: &[ModelOutcome]) -> Result<RecordBatch> {
    let status = |o: &ModelOutcome| match o.status {
        ModelStatus::Trained => "trained",
        ModelStatus::Failed => "failed",
        ModelStatus::Kept => "kept",
        ModelStatus::Challenger => "challenger",
    };
    let columns = vec![
        texts(outcomes.iter().map(|_| Some(job))),
        counts(outcomes.iter().map(|_| Some(batch_id))),
        texts(outcomes.iter().map(|o| Some(o.name.as_str()))),
        texts(outcomes.iter().map(|o| Some(o.algorithm.name()))),
        texts(outcomes.iter().map(|o| Some(status(o)))),
        texts(outcomes.iter().map(|o| o.reason.as_deref())),
        counts(outcomes.iter().map(|o| o.version)),
        counts(outcomes.iter().map(|o| Some(o.seed))),
        counts(outcomes.iter().map(|o| Some(o.train_rows))),
        numbers(outcomes.iter().map(|o| Some(o.train_ms))),
        texts(outcomes.iter().map(|o| o.file.as_ref().map(|f| f.path.as_str()))),
        counts(outcomes.iter().map(|o| o.file.as_ref().map(|f| f.bytes))),
        texts(outcomes.iter().map(|o| o.file.as_ref().map(|f| f.xxh3.as_str()))),
    ];
    Ok(RecordBatch::try_new(models_schema(), columns)?)
}

/// A model that changed its place, or did not by the word of a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEvent {
    /// The model.
    pub model: String,
    /// The version that was in use.
    pub from: Option<u64>,
    /// The version that is.
    pub to: Option<u64>,
    /// `accepted`, `rejected` or `waits`; `refused`, where a pinned version can be had no more.
    pub verdict: &'static str,
    /// `first`, `gate`, `promote` or `rollback`; `split`, `features` or `task` where a batch job's gate has not asked the one
    /// that was in use.
    pub why: String,
    /// What the gate went by.
    pub gated: Option<Gated>,
}

/// Columns of `system.model_events`: one row a decision of a gate or a person about which version is in use.
pub fn model_events_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("model", Utf8, false),
        ("from_version", UInt64, true),
        ("to_version", UInt64, true),
        ("verdict", Utf8, false),
        ("why", Utf8, false),
        ("metric", Utf8, true),
        ("rows", UInt64, true),
        ("challenger", Float64, true),
        ("reference", Float64, true),
    ])
}

/// Rows of `system.model_events` for one batch. `reference` is what the new version was compared with: the champion's value
/// on the same rows, or the mean of the accepted ones.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn model_events(job: &str, batch_id: u64, events: &[ModelEvent]) -> Result<RecordBatch> {
    let gated = || events.iter().map(|event| event.gated.as_ref());
    let columns = vec![
        texts(events.iter().map(|_| Some(job))),
        counts(events.iter().map(|_| Some(batch_id))),
        texts(events.iter().map(|event| Some(event.model.as_str()))),
        counts(events.iter().map(|event| event.from)),
        counts(events.iter().map(|event| event.to)),
        texts(events.iter().map(|event| Some(event.verdict))),
        texts(events.iter().map(|event| Some(event.why.as_str()))),
        texts(gated().map(|of| Some(of?.metric.as_str()))),
        counts(gated().map(|of| Some(of?.rows))),
        numbers(gated().map(|of| of?.challenger)),
        numbers(gated().map(|of| of?.reference)),
    ];
    Ok(RecordBatch::try_new(model_events_schema(), columns)?)
}

/// Columns of `system.batches`: one row a batch. Durations are null where the batch was committed by a driver
/// that died before it could tell.
pub fn batches_schema() -> SchemaRef {
    use DataType::{Float64, Int64, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("planned_at", Utf8, false),
        ("rows_read", UInt64, false),
        ("dead_letters", UInt64, false),
        ("rows_out", UInt64, false),
        ("data_loss", UInt64, false),
        // Null in files of versions that knew no replay.
        ("replayed", UInt64, true),
        // Offsets left unread, and by partition from 0; null in files of versions that did not tell, for replays, and
        // where the driver that planned the batch died.
        ("lag", Int64, true),
        ("lag_by_partition", DataType::new_list(Int64, true), true),
        // Null in files of versions that did not count them, and where no model learns from rows, or none has a label.
        ("rows_without_features", UInt64, true),
        ("rows_without_label", UInt64, true),
        ("rows_of_other_label", UInt64, true),
        ("rows_equal_across_split", UInt64, true),
        ("plan_ms", Float64, true),
        ("read_ms", Float64, true),
        ("decode_ms", Float64, true),
        ("transform_ms", Float64, true),
        ("write_ms", Float64, true),
        ("commit_ms", Float64, true),
        ("learn_ms", Float64, true),
    ])
}

/// The row of `system.batches` of one batch.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn batches(
    job: &str,
    batch_id: u64,
    planned_at: &str,
    rows: BatchCounts,
    seen: RowsSeen,
    lag: Option<&Lag>,
    durations: &Durations,
) -> Result<RecordBatch> {
    let one_text = |text: &str| texts(std::iter::once(Some(text)));
    let one_count = |count: u64| counts(std::iter::once(Some(count)));
    let some_count = |count: Option<u64>| counts(std::iter::once(count));
    let ms = |value: Option<f64>| numbers(std::iter::once(value));
    let columns = vec![
        one_text(job),
        one_count(batch_id),
        one_text(planned_at),
        one_count(rows.rows_read),
        one_count(rows.dead_letters),
        one_count(rows.rows_out),
        one_count(rows.data_loss),
        one_count(rows.replayed),
        Arc::new(Int64Array::from_iter([lag.map(Lag::total)])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([lag.map(Lag::list)])),
        some_count(seen.without_features),
        some_count(seen.without_label),
        some_count(seen.of_other_label),
        some_count(seen.equal_across_split),
        ms(durations.plan),
        ms(durations.read),
        ms(durations.decode),
        ms(durations.transform),
        ms(durations.write),
        ms(durations.commit),
        ms(durations.learn),
    ];
    Ok(RecordBatch::try_new(batches_schema(), columns)?)
}

/// Columns of `system.data_loss`: promised rows that were gone, when the job goes on regardless.
pub fn data_loss_schema() -> SchemaRef {
    use DataType::{Int32, Int64, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("topic", Utf8, false),
        ("partition", Int32, false),
        ("from_offset", Int64, false),
        ("to_offset", Int64, false),
        ("reason", Utf8, false),
    ])
}

/// Rows of `system.data_loss` for one batch.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn data_loss(job: &str, batch_id: u64, topic: &str, losses: &[DataLoss]) -> Result<RecordBatch> {
    let columns = vec![
        texts(losses.iter().map(|_| Some(job))),
        counts(losses.iter().map(|_| Some(batch_id))),
        texts(losses.iter().map(|_| Some(topic))),
        Arc::new(Int32Array::from_iter_values(losses.iter().map(|l| l.partition))) as ArrayRef,
        Arc::new(Int64Array::from_iter_values(losses.iter().map(|l| l.from))),
        Arc::new(Int64Array::from_iter_values(losses.iter().map(|l| l.to))),
        texts(losses.iter().map(|l| Some(l.reason.as_str()))),
    ];
    Ok(RecordBatch::try_new(data_loss_schema(), columns)?)
}

/// One coordinate of one cluster's centre, in the feature's own unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// The model.
    pub model: String,
    /// Number of the cluster, from 0.
    pub cluster: u32,
    /// Rows that the cluster learned from, less what it forgot.
    pub rows: u64,
    /// The feature.
    pub feature: String,
    /// The coordinate.
    pub value: f64,
}

/// The centres of a model, if it has any.
pub(super) fn centres_of(name: &str, model: &Fitted) -> Vec<Centre> {
    let mut centres = Vec::new();
    for (cluster, centre) in (0u32..).zip(model.centres()) {
        let rows = centre.rows.round() as u64;
        for (feature, &value) in model.numeric_names().iter().zip(&centre.values) {
            let (model, feature) = (name.to_owned(), feature.clone());
            centres.push(Centre { model, cluster, rows, feature, value });
        }
    }
    centres
}

/// Columns of `system.centres`: one row a batch, clustering, cluster and feature.
pub fn centres_schema() -> SchemaRef {
    use DataType::{Float64, UInt32, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("model", Utf8, false),
        ("cluster", UInt32, false),
        ("rows", UInt64, false),
        ("feature", Utf8, false),
        ("value", Float64, false),
    ])
}

/// Rows of `system.centres` for one batch; values are in the features' own units.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn centres(job: &str, batch_id: u64, centres: &[Centre]) -> Result<RecordBatch> {
    let columns = vec![
        texts(centres.iter().map(|_| Some(job))),
        counts(centres.iter().map(|_| Some(batch_id))),
        texts(centres.iter().map(|c| Some(c.model.as_str()))),
        Arc::new(UInt32Array::from_iter_values(centres.iter().map(|c| c.cluster))) as ArrayRef,
        counts(centres.iter().map(|c| Some(c.rows))),
        texts(centres.iter().map(|c| Some(c.feature.as_str()))),
        numbers(centres.iter().map(|c| Some(c.value))),
    ];
    Ok(RecordBatch::try_new(centres_schema(), columns)?)
}

/// How much of what a model's splits gained is due to a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The model.
    pub model: String,
    /// The feature.
    pub feature: String,
    /// Its share; those of a model sum to 1.
    pub value: f64,
}

/// What the trees of a model lean on, if there are any.
pub(super) fn importances_of(name: &str, model: &Fitted) -> Vec<Importance> {
    let gains = model.gain_importances().into_iter();
    gains
        .map(|(feature, value)| Importance { model: name.to_owned(), feature: feature.to_owned(), value })
        .collect()
}

/// Columns of `system.importances`: one row a batch, model of trees and feature.
pub fn importances_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    schema(&[
        ("job", Utf8, false),
        ("batch_id", UInt64, false),
        ("model", Utf8, false),
        ("feature", Utf8, false),
        ("importance", Float64, false),
    ])
}

/// Rows of `system.importances` for one batch; those of a model sum to 1, or are all 0 where it has no split.
///
/// # Errors
/// Internal, if the columns do not fit the schema.
pub fn importances(job: &str, batch_id: u64, importances: &[Importance]) -> Result<RecordBatch> {
    let columns = vec![
        texts(importances.iter().map(|_| Some(job))),
        counts(importances.iter().map(|_| Some(batch_id))),
        texts(importances.iter().map(|i| Some(i.model.as_str()))),
        texts(importances.iter().map(|i| Some(i.feature.as_str()))),
        numbers(importances.iter().map(|i| Some(i.value))),
    ];
    Ok(RecordBatch::try_new(importances_schema(), columns)?)
}
