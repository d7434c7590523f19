//! The system tables, as one list, and the one that no file holds: each metric of each model as a row of its own.

use std::sync::Arc;

use arrow::array::{Float64Builder, RecordBatch, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidemill_ml::METRICS;

use crate::decode::dead_letters_schema;
use crate::error::Result;
use crate::lake::Lake;
use crate::learn::tables;
use crate::records::{Learn, RecordList};

/// A table of the schema `system`.
pub(crate) struct SystemTable {
    pub(crate) name: &'static str,
    pub(super) schema: fn() -> SchemaRef,
    /// Whether its rows are made of the records, and in no file.
    pub(super) is_derived: bool,
}

const fn of_files(name: &'static str, schema: fn() -> SchemaRef) -> SystemTable {
    SystemTable { name, schema, is_derived: false }
}

/// All of them, by name.
pub(crate) const SYSTEM_TABLES: [SystemTable; 9] = [
    of_files("batches", tables::batches_schema),
    of_files("centres", tables::centres_schema),
    of_files("data_loss", tables::data_loss_schema),
    of_files("dead_letters", dead_letters_schema),
    of_files("importances", tables::importances_schema),
    SystemTable { name: "metric_values", schema: metric_values_schema, is_derived: true },
    of_files("metrics", tables::metrics_schema),
    of_files("model_events", tables::model_events_schema),
    of_files("models", tables::models_schema),
];

/// The table of this name.
pub(super) fn named(name: &str) -> Option<&'static SystemTable> {
    SYSTEM_TABLES.iter().find(|table| table.name == name)
}

/// Columns of `system.metric_values`: one row a batch, model, evaluation and metric that is defined.
fn metric_values_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    let field = |(name, data_type, nullable): (&str, DataType, bool)| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(Vec::from(
        [
            ("job", Utf8, false),
            ("batch_id", UInt64, false),
            ("model", Utf8, false),
            ("version", UInt64, true),
            ("evaluation", Utf8, false),
            ("rows", UInt64, false),
            ("metric", Utf8, false),
            ("value", Float64, false),
        ]
        .map(field),
    )))
}

/// The rows of `system.metric_values`, by the learn records of all jobs.
///
/// # Errors
/// Storage or Corrupt.
pub(super) fn metric_values(lake: &Lake) -> Result<RecordBatch> {
    let mut texts: [StringBuilder; 4] = std::array::from_fn(|_| StringBuilder::new());
    let mut counts: [UInt64Builder; 3] = std::array::from_fn(|_| UInt64Builder::new());
    let mut values = Float64Builder::new();
    for schema_name in lake.schema_names()? {
        let job = schema_name.replace('_', "-");
        let learn: RecordList<Learn> = RecordList::read_only(lake.checkpoint(&schema_name).join("learn"));
        for number in learn.numbers()? {
            for outcome in learn.read(number)?.models {
                let each = [
                    ("holdout", outcome.version, &outcome.holdout),
                    ("sample", outcome.version, &outcome.sample),
                    ("prequential", outcome.prequential_version, &outcome.prequential),
                    (
                        "challenger",
                        outcome.challenger.as_ref().map(|of| of.version),
                        &outcome.challenger.as_ref().and_then(|of| of.scores.clone()),
                    ),
                ];
                for (evaluation, version, scores) in each {
                    let Some(scores) = scores else { continue };
                    for (metric, value) in METRICS.iter().filter_map(|of| Some((of.name, of.value(scores)?)))
                    {
                        for (column, text) in texts.iter_mut().zip([&job, &outcome.name, evaluation, metric])
                        {
                            column.append_value(text);
                        }
                        for (column, count) in
                            counts.iter_mut().zip([Some(number), version, Some(scores.rows())])
                        {
                            column.append_option(count);
                        }
                        values.append_value(value);
                    }
                }
            }
        }
    }
    let [jobs, models, evaluations, metrics] = &mut texts;
    let [batches, versions, rows] = &mut counts;
    Ok(RecordBatch::try_new(
        metric_values_schema(),
        vec![
            Arc::new(jobs.finish()),
            Arc::new(batches.finish()),
            Arc::new(models.finish()),
            Arc::new(versions.finish()),
            Arc::new(evaluations.finish()),
            Arc::new(rows.finish()),
            Arc::new(metrics.finish()),
            Arc::new(values.finish()),
        ],
    )?)
}
