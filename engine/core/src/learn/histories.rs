//! The histories of a job's models: committed rows as features, one history for all models that agree in it.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tidemill_ml::{Material, Rows};

use super::history::{History, HistoryKey};
use super::labels::LabelCounts;
use super::learner::RowsSeen;
use super::lesson::{Begins, Lesson, Train};
use super::sample::seed_of;
use super::steps;
use crate::error::{Context, Result};
use crate::project::{ModelSpec, Training, Turn};
use crate::records::Evaluation;

/// The rows of all models of a job.
pub(super) struct Histories {
    table_name: String,
    list: Vec<History>,
    /// Bytes that the rows of all may take, and as many again what a model makes of them while it is trained.
    most_bytes: u64,
}

impl Histories {
    pub(super) fn new(table_name: &str) -> Histories {
        Histories { table_name: table_name.to_owned(), list: Vec::new(), most_bytes: u64::MAX }
    }

    /// Lets the rows take so many bytes.
    pub(super) fn limit(&mut self, most_bytes: u64) {
        self.most_bytes = most_bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any wants the rows of earlier batches.
    pub(super) fn keep_rows(&self) -> bool {
        self.list.iter().any(|history| history.key.keeps_rows())
    }

    /// Makes sure that there is a history for each of these specs; says whether a new one was begun, which then
    /// needs the rows of all earlier batches.
    ///
    /// # Errors
    /// User: features that do not fit the table.
    pub(super) async fn prepare(&mut self, specs: &[ModelSpec], table_schema: &SchemaRef) -> Result<bool> {
        let mut begun = false;
        let wanted: Vec<HistoryKey> = specs.iter().map(HistoryKey::of).collect();
        self.list.retain(|history| wanted.contains(&history.key));
        for (key, spec) in wanted.iter().cloned().zip(specs) {
            if !self.list.iter().any(|history| history.key == key) {
                let history = History::new(key, &self.table_name, table_schema.clone())
                    .await
                    .map_err(|e| e.context(spec.config.features.clone()))?;
                self.list.push(history);
                begun = true;
            }
        }
        for (key, spec) in wanted.iter().zip(specs) {
            if let Some(history) = self.list.iter().find(|history| history.key == *key) {
                let name = &spec.config.name;
                steps::check(spec, &history.features).context_with(|| format!("model `{name}`"))?;
            }
        }
        if begun {
            // All start together: which rows a history has is then one number for the whole learner.
            let keys: Vec<HistoryKey> = self.list.drain(..).map(|h| h.key).collect();
            for key in keys {
                self.list.push(History::new(key, &self.table_name, table_schema.clone()).await?);
            }
        }
        Ok(begun)
    }

    /// Begins the next batch.
    pub(super) fn begin(&mut self) {
        self.list.iter_mut().for_each(History::begin);
    }

    /// Adds committed rows of the batch in hand to every history.
    ///
    /// # Errors
    /// Data.
    pub(super) async fn append(&mut self, rows: &RecordBatch, now: DateTime<Utc>) -> Result<()> {
        for history in &mut self.list {
            history.append(rows, now).await?;
        }
        if self.list.iter().map(History::bytes).sum::<u64>() > self.most_bytes {
            self.list.iter_mut().for_each(History::give_up);
        }
        Ok(())
    }

    /// Ends the batch in hand.
    ///
    /// # Errors
    /// Data.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.list.iter_mut().try_for_each(History::finish)
    }

    /// What became of the newest batch's rows.
    pub(super) fn rows_seen(&self, batch_id: u64) -> RowsSeen {
        let seen = || self.list.iter().filter(|history| !history.is_given_up);
        let with_label = || seen().filter(|history| history.key.label().is_some());
        for history in with_label() {
            let LabelCounts { rows, missing, other, .. } = &history.newest_labelled;
            if *rows > 0 && missing + other == *rows {
                let label = history.key.label().unwrap_or_default();
                tracing::warn!(batch_id, rows, label, "no row of the batch has a label to learn");
            }
        }
        let most = |count: fn(&LabelCounts) -> u64| with_label().map(|h| count(&h.newest_labelled)).max();
        RowsSeen {
            without_features: seen().map(|history| history.newest_failed).max(),
            without_label: most(|labels| labels.missing),
            of_other_label: most(|labels| labels.other),
            equal_across_split: with_label().filter_map(|history| history.newest_twins).max(),
        }
    }

    fn too_much(&self, what: &str) -> String {
        let most = self.most_bytes.div_ceil(1_000_000);
        format!(
            "{what} more than {most} MB of memory, half of memory_limit: raise that, or let a WHERE of the features SELECT leave \
             rows out"
        )
    }

    /// What a model learns from the rows so far, after this batch.
    pub(super) fn lesson(&self, spec: &ModelSpec, batch_id: u64, is_trained: bool) -> Lesson<'_> {
        let key = HistoryKey::of(spec);
        let Some(history) = self.list.iter().find(|history| history.key == key) else {
            return Lesson::refused("it has no rows");
        };
        if history.is_given_up {
            return Lesson::refused(self.too_much("its rows take"));
        }
        let labels = &history.labels;
        let rows = |rows| Rows::new(&history.features, labels.target(), rows);
        let refusal = history.key.label().and_then(|label| history.labelled.refusal(label));
        let train = match refusal {
            Some(reason) => Err(reason),
            None => spec.config.training(Material::Rows).map_err(|e| e.to_string()).and_then(|training| {
                let rows = Rows::new(&history.features, labels.target_of_training(), &history.training);
                let Training { estimator, turn } = training;
                let begins = if turn == Turn::Online { Begins::OnTop } else { Begins::Before };
                let goes_on = begins == Begins::OnTop;
                // A batch without rows changes nothing; where all rows are kept, that there are none is an error.
                let has_turn = turn.is_now(batch_id, is_trained) && !(goes_on && history.training.is_empty());
                let seed = match goes_on {
                    true => seed_of(spec.config.seed, batch_id, "fit"),
                    false => spec.config.seed,
                };
                let classes = labels.classes_of_training();
                let bytes = estimator.bytes_to_fit(&history.features, history.training.len());
                if has_turn && bytes > self.most_bytes {
                    return Err(self.too_much("what its steps make of its rows takes"));
                }
                Ok(has_turn.then_some(Train { estimator, rows, classes, begins, seed }))
            }),
        };
        Lesson {
            train,
            prequential: spec.config.evaluate.prequential.then(|| rows(&history.newest)),
            score: Some((Evaluation::Holdout, rows(&history.holdout))),
            space: None,
            train_rows: history.training.len() as u64,
            classes: labels.classes(),
            rows_cache: Some(&history.cache),
        }
    }
}
