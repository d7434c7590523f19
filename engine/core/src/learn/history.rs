//! All committed rows as features, labels and the hold-out split, kept in memory and grown batch by batch.

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tidemill_ml::{Cache, FeatureTable};

use super::labels::{LabelCounts, Labels};
use super::split;
use super::twins::Twins;
use crate::decode::METADATA;
use crate::error::{Error, Result};
use crate::features::FeatureColumns;
use crate::project::{Evaluate, ModelSpec, TargetForm};
use crate::rowwise::RowSql;

/// What decides the rows of a history: models that agree in it share one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HistoryKey {
    features_sql: String,
    label: Option<String>,
    /// As what the label is learned.
    form: Option<TargetForm>,
    holdout: f64,
    holdout_key: Vec<String>,
    /// Rows are kept until the next batch begins.
    is_online: bool,
}

impl HistoryKey {
    pub(super) fn of(spec: &ModelSpec) -> HistoryKey {
        let Evaluate { holdout, holdout_key, .. } = &spec.config.evaluate;
        HistoryKey {
            features_sql: spec.features_sql.clone(),
            label: spec.config.label.clone(),
            form: spec.config.target_form(),
            holdout: *holdout,
            holdout_key: holdout_key.clone(),
            is_online: spec.config.is_online(),
        }
    }

    /// Whether rows of earlier batches are wanted.
    pub(super) fn keeps_rows(&self) -> bool {
        !self.is_online
    }

    /// The column that is to be predicted.
    pub(super) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

/// The rows so far.
pub(super) struct History {
    pub(super) key: HistoryKey,
    sql: RowSql,
    columns: FeatureColumns,
    label: Option<usize>,
    holdout_key: Vec<usize>,
    /// Features of all rows.
    pub(super) features: FeatureTable,
    /// Label of each row.
    pub(super) labels: Labels,
    /// Rows that models train on, ascending.
    pub(super) training: Vec<u32>,
    /// Rows held out, ascending.
    pub(super) holdout: Vec<u32>,
    /// What is kept of the rows for the models that share this history; nothing without a label.
    pub(super) cache: Cache,
    /// First row of the newest batch.
    batch_start: usize,
    /// Rows of the newest batch, once it has ended.
    pub(super) newest: Vec<u32>,
    /// Labels of all rows; none without a label.
    pub(super) labelled: LabelCounts,
    /// Those of the newest batch.
    pub(super) newest_labelled: LabelCounts,
    /// Rows of the newest batch that the SELECT could not compute.
    pub(super) newest_failed: u64,
    /// The rows were more than the memory holds: there is none any more.
    pub(super) is_given_up: bool,
    twins: Twins,
    /// Rows of the newest batch that are also on the other side of the split; `None` where there is nothing to predict or
    /// nothing held out.
    pub(super) newest_twins: Option<u64>,
}

impl History {
    /// An empty history of a table with these columns.
    ///
    /// # Errors
    /// User: the features SELECT is not row-wise, lacks the label or a hold-out column, or has a feature of a
    /// type that is no feature.
    pub(super) async fn new(key: HistoryKey, table: &str, table_schema: SchemaRef) -> Result<History> {
        let mut carry: Vec<&str> = METADATA.to_vec();
        carry.extend(key.holdout_key.iter().map(String::as_str));
        let sql = RowSql::new(&key.features_sql, table, table_schema, &carry).await?;
        let schema = sql.schema().clone();
        let label = key.label.as_deref().map(|name| split::column(&schema, name)).transpose()?;
        let labels = match label.zip(key.form.as_ref()) {
            None => Labels::None,
            Some((label, form)) => {
                let field = schema.field(label);
                Labels::new(field.name(), field.data_type(), form)?
            }
        };
        if key.is_online && matches!(labels, Labels::Two(_)) && labels.classes().is_empty() {
            let label = label.map(|label| schema.field(label).name().as_str()).unwrap_or_default();
            return Err(Error::user(format!(
                "a model that learns online keeps no rows, and has to know the classes of `{label}` beforehand"
            ))
            .hint("say them, as in `classes = [0, 1]`, or let the features SELECT give a BOOLEAN"));
        }
        let holdout_key = split::places(&schema, &key.holdout_key)?;
        // A hold-out key that only came along is no feature; the engine's columns never are.
        let came_along = |name: &str| METADATA.contains(&name) || sql.carried().iter().any(|of| of == name);
        let columns = FeatureColumns::of(&schema, |at, name| Some(at) != label && !came_along(name))?;
        Ok(History {
            key,
            sql,
            label,
            holdout_key,
            features: columns.table(),
            columns,
            labels,
            training: Vec::new(),
            holdout: Vec::new(),
            cache: Cache::new(),
            batch_start: 0,
            newest: Vec::new(),
            labelled: LabelCounts::default(),
            newest_labelled: LabelCounts::default(),
            newest_failed: 0,
            is_given_up: false,
            twins: Twins::default(),
            newest_twins: None,
        })
    }

    /// Begins the next batch.
    pub(super) fn begin(&mut self) {
        if self.key.is_online {
            self.forget();
            self.is_given_up = false;
        }
        self.batch_start = self.features.rows();
        self.newest.clear();
        self.newest_failed = 0;
        self.newest_labelled = LabelCounts::default();
        let has_sides =
            self.label.is_some() && self.key.holdout != 0.0 && !self.is_given_up && !self.key.is_online;
        self.newest_twins = has_sides.then_some(0);
    }

    /// Memory of the rows, about: their values, bins, labels, sides of the split and hashes. A function of the rows alone, not
    /// of how they came.
    pub(super) fn bytes(&self) -> u64 {
        let (numbers, categories) = self.columns.counts();
        let has_bins = self.label.is_some() && self.key.keeps_rows();
        let row = if has_bins { numbers + categories + 25 } else { 25 };
        self.features.bytes() + (self.features.rows() * row) as u64
    }

    /// Forgets all rows, and takes no more.
    pub(super) fn give_up(&mut self) {
        self.forget();
        (self.newest_twins, self.batch_start, self.is_given_up) = (None, 0, true);
    }

    /// Forgets all rows.
    fn forget(&mut self) {
        self.features = self.columns.table();
        self.cache.clear();
        self.twins = Twins::default();
        self.labels.clear();
        self.newest = Vec::new();
        (self.training, self.holdout) = (Vec::new(), Vec::new());
        self.labelled = LabelCounts::default();
    }

    /// Adds committed rows of the batch in hand. Rows whose label cannot be learned are left out and counted:
    /// there is nothing to learn from them. A row that the SELECT cannot compute is left out too and told in the log.
    ///
    /// # Errors
    /// Data: more rows than 2³².
    pub(super) async fn append(&mut self, rows: &RecordBatch, now: DateTime<Utc>) -> Result<()> {
        if self.is_given_up {
            return Ok(());
        }
        let output = self.sql.run(rows, now).await?;
        self.newest_failed += output.failed.len() as u64;
        for (row, error) in output.failed.iter().take(3) {
            tracing::warn!(row, error, "a row has no features and is left out of learning");
        }
        let mut rows = output.rows;
        if let Some(label) = self.label {
            let (keep, counts) = self.labels.take(rows.column(label))?;
            self.newest_labelled.add(&counts);
            self.labelled.add(&counts);
            if keep.true_count() < rows.num_rows() {
                rows = filter_record_batch(&rows, &keep)?;
            }
        }
        let start = self.features.rows();
        self.columns.append(&rows, &mut self.features)?;
        let first = u32::try_from(self.features.rows()).map(|_| start as u32);
        let first = first.map_err(|_| Error::data("more than 2^32 rows cannot be learned from in memory"))?;
        let split = self.split(&rows)?;
        let twins = self.count_twins(start, &split);
        self.newest_twins = self.newest_twins.map(|newest| newest + twins);
        for (row, held_out) in (first..).zip(split) {
            if held_out { self.holdout.push(row) } else { self.training.push(row) }
        }
        Ok(())
    }

    /// Ends the batch in hand.
    ///
    /// # Errors
    /// Data: the features SELECT gives no features.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.label.is_some() && !self.is_given_up {
            if self.key.keeps_rows() {
                self.cache.extend(&self.features, &self.training)?;
            }
            self.labels.settle(&self.training);
        }
        self.newest =
            (self.batch_start..self.features.rows()).filter_map(|row| u32::try_from(row).ok()).collect();
        Ok(())
    }

    /// How many rows from `start` on have a twin on the other side of the split.
    fn count_twins(&mut self, start: usize, split: &[bool]) -> u64 {
        if self.newest_twins.is_none() {
            return 0;
        }
        let hashes = self.features.row_hashes(start..self.features.rows());
        let rows = hashes.into_iter().zip(self.labels.marks(start)).map(|(hash, mark)| hash ^ mark);
        let rows = rows.zip(split.iter().copied());
        self.twins.add(rows)
    }

    /// Which rows are held out.
    fn split(&self, rows: &RecordBatch) -> Result<Vec<bool>> {
        if self.key.holdout == 0.0 {
            return Ok(vec![false; rows.num_rows()]);
        }
        let hashes = split::hashes(rows, &self.holdout_key)?;
        Ok(hashes.into_iter().map(|hash| split::is_held_out(hash, self.key.holdout)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};

    use super::*;

    fn rows(from: i64, to: i64) -> RecordBatch {
        let n = (to - from) as usize;
        RecordBatch::try_from_iter([
            ("y", Arc::new((from..to).map(|i| Some(i % 3 == 0)).collect::<BooleanArray>()) as ArrayRef),
            ("a", Arc::new(Int64Array::from_iter_values(from..to))),
            ("c", Arc::new(StringArray::from_iter_values((from..to).map(|i| format!("c{}", i % 5))))),
            ("_batch_id", Arc::new(Int64Array::from_value(0, n))),
            ("_topic", Arc::new(StringArray::from_iter_values(std::iter::repeat_n("t", n)))),
            ("_partition", Arc::new(Int64Array::from_value(0, n))),
            ("_offset", Arc::new(Int64Array::from_iter_values(from..to))),
            ("_timestamp", Arc::new(Int64Array::from_value(0, n))),
        ])
        .unwrap()
    }

    async fn history_by(holdout_key: &[&str]) -> History {
        let key = HistoryKey {
            features_sql: "SELECT y, a, c FROM t".into(),
            label: Some("y".into()),
            form: Some(TargetForm::Two { positive: None, negative: None }),
            holdout: 0.3,
            holdout_key: holdout_key.iter().map(|s| s.to_string()).collect(),
            is_online: false,
        };
        History::new(key, "t", rows(0, 1).schema()).await.unwrap()
    }

    /// A batch, in two parts.
    async fn append(history: &mut History, rows: &RecordBatch) {
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        let half = rows.num_rows() / 2;
        history.begin();
        history.append(&rows.slice(0, half), now).await.unwrap();
        history.append(&rows.slice(half, rows.num_rows() - half), now).await.unwrap();
        history.finish().unwrap();
    }

    async fn history(batches: &[(i64, i64)]) -> History {
        let mut history = history_by(&METADATA[1..4]).await;
        for &(from, to) in batches {
            append(&mut history, &rows(from, to)).await;
        }
        history
    }

    #[tokio::test]
    async fn the_split_does_not_depend_on_the_batches() {
        let one = history(&[(0, 5000)]).await;
        let many = history(&[(0, 7), (7, 3000), (3000, 5000)]).await;
        assert_eq!(one.holdout, many.holdout);
        assert_eq!(one.training, many.training);
        assert_eq!(one.labels.target(), many.labels.target());
        let share = one.holdout.len() as f64 / 5000.0;
        assert!((0.28..0.32).contains(&share), "{share}");
        assert_eq!(many.newest.len(), 2000);
        assert_eq!(many.newest_twins, Some(0));
    }

    /// `a` is a key by which a row that comes again is on the side of the first; by its place it is on either.
    #[tokio::test]
    async fn rows_that_came_before_are_on_both_sides_by_place_and_on_one_by_content() {
        for (key, expected) in [(vec!["_offset"], 350..490), (vec!["a", "c"], 0..1)] {
            let mut history = history_by(&key).await;
            append(&mut history, &rows(0, 1000)).await;
            assert_eq!(history.newest_twins, Some(0));
            let again = rows(0, 1000);
            let mut columns = again.columns().to_vec();
            let offset = again.schema().index_of("_offset").unwrap();
            columns[offset] = Arc::new(Int64Array::from_iter_values(1000..2000));
            let again = RecordBatch::try_new(again.schema(), columns).unwrap();
            append(&mut history, &again).await;
            // By chance two places are on different sides for 2 × .3 × .7 of the rows.
            let twins = history.newest_twins.unwrap();
            assert!(expected.contains(&twins), "{key:?}: {twins}");
        }
    }
}
