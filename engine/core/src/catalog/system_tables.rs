//! The system tables, as one list, and the one that no file holds: each metric of each model as a row of its own.

use std::sync::Arc;

use arrow::array::{Float64Builder, RecordBatch, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidemill_ml::METRICS;

use crate::decode::dead_letters_schema;
use crate::error::Result;
use crate::lake::Lake;
use crate::learn::tables;
use crate::records::{Commit, Learn, ModelOutcome, RecordList};

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

/// The rows of `system.metric_values`, by the records of all jobs: learn records, and the commits of a batch job's models.
///
/// # Errors
/// Storage or Corrupt.
pub(super) fn metric_values(lake: &Lake) -> Result<RecordBatch> {
    let mut rows = MetricRows::default();
    for schema_name in lake.schema_names()? {
        let job = schema_name.replace('_', "-");
        let checkpoint = lake.checkpoint(&schema_name);
        let learn: RecordList<Learn> = RecordList::read_only(checkpoint.join("learn"));
        let until = lake.batches(&schema_name).unwrap_or(u64::MAX);
        let numbers = learn.numbers()?;
        if numbers.is_empty() {
            let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
            for number in commits.numbers()?.take_while(|number| *number < until) {
                let commit = commits.read(number)?;
                let step = commit.version();
                commit.model.iter().for_each(|model| rows.push(&job, step, &model.outcome));
            }
        }
        for number in numbers.take_while(|number| *number < until) {
            learn.read(number)?.models.iter().for_each(|outcome| rows.push(&job, number, outcome));
        }
    }
    rows.finish()
}

/// Rows of `system.metric_values`, column by column.
#[derive(Default)]
struct MetricRows {
    /// Job, model, evaluation, metric.
    texts: [StringBuilder; 4],
    /// Batch, version, rows.
    counts: [UInt64Builder; 3],
    values: Float64Builder,
}

impl MetricRows {
    /// Adds all that a record says of a model.
    fn push(&mut self, job: &str, number: u64, outcome: &ModelOutcome) {
        let challenger = outcome.challenger.as_ref();
        let each = [
            ("holdout", outcome.version, outcome.holdout.as_ref()),
            ("sample", outcome.version, outcome.sample.as_ref()),
            ("folds", outcome.version, outcome.folds.as_ref()),
            ("prequential", outcome.prequential_version, outcome.prequential.as_ref()),
            ("challenger", challenger.map(|of| of.version), challenger.and_then(|of| of.scores.as_ref())),
        ];
        for (evaluation, version, scores) in each {
            let Some(scores) = scores else { continue };
            for (metric, value) in METRICS.iter().filter_map(|of| Some((of.name, of.value(scores)?))) {
                let texts = [job, &outcome.name, evaluation, metric];
                self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
                let counts = [Some(number), version, Some(scores.rows())];
                self.counts.iter_mut().zip(counts).for_each(|(column, count)| column.append_option(count));
                self.values.append_value(value);
            }
        }
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let [jobs, models, evaluations, metrics] = &mut self.texts;
        let [batches, versions, rows] = &mut self.counts;
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
                Arc::new(self.values.finish()),
            ],
        )?)
    }
}
