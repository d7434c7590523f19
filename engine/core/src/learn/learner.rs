//! One step of learning: score what was known, train on what is there, score again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tidemill_ml::KeptCounts;

use super::history::{History, HistoryKey};
use super::labels::LabelCounts;
use super::model::{Centre, Importance, Model, stage_model};
use crate::error::{Context, Result};
use crate::files::at_once;
use crate::lake::Lake;
use crate::project::ModelSpec;
use crate::records::{FileEntry, Learn, ModelOutcome, ModelStatus, Scores};
use crate::table::read::read_bytes;

/// The models of a job with all that they learn from.
pub struct Learner {
    schema_name: String,
    table_name: String,
    histories: Vec<History>,
    /// Bytes that the rows of all histories may take; training takes about as much again.
    most_bytes: u64,
    champions: Vec<Champion>,
    /// By model: what its fit on the rows so far leaves for the next one.
    counts: HashMap<String, KeptCounts>,
}

#[derive(Clone)]
struct Champion {
    name: String,
    version: u64,
    file: FileEntry,
    model: Arc<Model>,
}

/// A batch after learning: one outcome a model and the staged model files.
#[derive(Default)]
pub struct Learned {
    /// In the order of the specs.
    pub outcomes: Vec<ModelOutcome>,
    /// Staged, to be listed by the learn record.
    pub files: Vec<FileEntry>,
    /// Centres of the clusterings trained after the batch.
    pub centres: Vec<Centre>,
    /// What the models of trees that were trained after the batch lean on.
    pub importances: Vec<Importance>,
    /// What became of the batch's rows.
    pub rows: RowsSeen,
}

/// What became of a batch's rows in learning: the largest number of any model, of any with a label where labels are
/// spoken of; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowsSeen {
    /// Rows left out as the features SELECT cannot compute them.
    pub without_features: Option<u64>,
    /// Rows left out as their label is null.
    pub without_label: Option<u64>,
    /// Rows left out as their label is neither 0 nor 1.
    pub of_other_label: Option<u64>,
    /// Rows with the features and label of an earlier row on the other side of the hold-out split.
    pub equal_across_split: Option<u64>,
}

impl Learner {
    /// A learner without rows or models.
    pub fn new(schema_name: &str, table_name: &str) -> Learner {
        Learner {
            schema_name: schema_name.to_owned(),
            table_name: table_name.to_owned(),
            histories: Vec::new(),
            most_bytes: u64::MAX,
            champions: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// Lets learning take so many bytes of memory: half of them for the rows, half to train. Of more rows no model is
    /// trained.
    pub fn limit(&mut self, bytes: u64) {
        self.most_bytes = bytes / 2;
    }

    /// Takes up the champions of the newest learn record. One that another version of Tidemill wrote is left, as all
    /// rows are at hand to train its successor from.
    ///
    /// # Errors
    /// Storage or Corrupt: a model file that is not there or not what its record says.
    pub fn restore(&mut self, lake: &Lake, newest: &Learn) -> Result<()> {
        for outcome in &newest.models {
            if let (Some(version), Some(file)) = (outcome.version, &outcome.file) {
                let model = match Model::from_bytes(outcome.algorithm, &read_bytes(lake, file)?) {
                    Err(error @ tidemill_ml::Error::OtherVersion { .. }) => {
                        tracing::warn!(model = outcome.name, file = file.path, %error, "trained anew from all rows");
                        continue;
                    }
                    read => read.context_with(|| format!("model `{}`, {}", outcome.name, file.path))?,
                };
                self.champions.push(Champion {
                    name: outcome.name.clone(),
                    version,
                    file: file.clone(),
                    model: Arc::new(model),
                });
            }
        }
        Ok(())
    }

    /// Makes sure that there is a history for each of these specs; says whether a new one was begun, which then
    /// needs the rows of all earlier batches.
    ///
    /// # Errors
    /// User: features that do not fit the table.
    pub async fn prepare(&mut self, specs: &[ModelSpec], table_schema: &SchemaRef) -> Result<bool> {
        let mut begun = false;
        let wanted: Vec<HistoryKey> = specs.iter().map(HistoryKey::of).collect();
        self.histories.retain(|history| wanted.contains(&history.key));
        for (key, spec) in wanted.into_iter().zip(specs) {
            if !self.histories.iter().any(|history| history.key == key) {
                let history = History::new(key, &self.table_name, table_schema.clone())
                    .await
                    .map_err(|e| e.context(spec.config.features.clone()))?;
                self.histories.push(history);
                begun = true;
            }
        }
        if begun {
            // All start together: which rows a history has is then one number for the whole learner.
            self.counts.clear();
            let keys: Vec<HistoryKey> = self.histories.drain(..).map(|h| h.key).collect();
            for key in keys {
                self.histories.push(History::new(key, &self.table_name, table_schema.clone()).await?);
            }
        }
        Ok(begun)
    }

    /// Whether any model learns from rows. Where none does, committed rows need not be read again.
    pub fn needs_rows(&self) -> bool {
        !self.histories.is_empty()
    }

    /// Begins the next batch. One without rows is one too: what is newest is then nothing.
    pub fn begin(&mut self) {
        self.histories.iter_mut().for_each(History::begin);
    }

    /// Ends the batch in hand.
    ///
    /// # Errors
    /// Data.
    pub fn finish(&mut self) -> Result<()> {
        self.histories.iter_mut().try_for_each(History::finish)
    }

    /// Adds committed rows of the batch in hand to every history.
    ///
    /// # Errors
    /// Data.
    pub async fn append(&mut self, rows: &RecordBatch, now: DateTime<Utc>) -> Result<()> {
        for history in &mut self.histories {
            history.append(rows, now).await?;
        }
        if self.histories.iter().map(History::bytes).sum::<u64>() > self.most_bytes {
            self.histories.iter_mut().for_each(History::give_up);
        }
        Ok(())
    }

    /// Scores and trains every model on the rows so far. A model that cannot be trained is an outcome, not an
    /// error: its champion stays.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written.
    pub fn learn(&mut self, lake: &Lake, batch_id: u64, specs: &[ModelSpec]) -> Result<Learned> {
        let mut before = std::mem::take(&mut self.counts);
        let mut counts: Vec<KeptCounts> =
            specs.iter().map(|spec| before.remove(&spec.config.name).unwrap_or_default()).collect();
        let steps: Vec<Step> = std::thread::scope(|scope| {
            let each = specs.iter().zip(&mut counts);
            let running: Vec<_> =
                each.map(|(spec, counts)| scope.spawn(|| self.step(spec, counts))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Step::panicked())).collect()
        });
        self.counts = specs.iter().map(|spec| spec.config.name.clone()).zip(counts).collect();
        let mut learned = Learned { rows: self.rows_seen(batch_id), ..Learned::default() };
        let staged = self.stage_models(lake, batch_id, specs, &steps);
        for ((spec, step), file) in specs.iter().zip(steps).zip(staged) {
            if let (Some(model), Some(file)) = (step.model, file?) {
                learned.centres.extend(model.centres(&spec.config.name));
                learned.importances.extend(model.importances(&spec.config.name));
                self.champions.retain(|c| c.name != spec.config.name);
                self.champions.push(Champion {
                    name: spec.config.name.clone(),
                    version: batch_id,
                    file: file.clone(),
                    model: Arc::new(model),
                });
                learned.files.push(file);
            }
            let champion = self.champion(&spec.config.name);
            learned.outcomes.push(ModelOutcome {
                name: spec.config.name.clone(),
                algorithm: spec.config.algorithm,
                status: if step.reason.is_none() { ModelStatus::Trained } else { ModelStatus::Failed },
                reason: step.reason,
                version: champion.map(|c| c.version),
                file: champion.map(|c| c.file.clone()),
                seed: spec.config.seed,
                train_rows: step.train_rows,
                holdout: step.holdout,
                sample: None,
                prequential: step.prequential,
                prequential_version: step.prequential_version,
                train_ms: step.train_ms,
            });
        }
        Ok(learned)
    }

    /// What became of the newest batch's rows.
    fn rows_seen(&self, batch_id: u64) -> RowsSeen {
        let seen = || self.histories.iter().filter(|history| !history.is_given_up);
        let with_label = || seen().filter(|history| history.key.label().is_some());
        for history in with_label() {
            let LabelCounts { rows, missing, other, .. } = history.newest_labelled;
            if rows > 0 && missing + other == rows {
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

    fn champion(&self, name: &str) -> Option<&Champion> {
        self.champions.iter().find(|champion| champion.name == name)
    }

    fn step(&self, spec: &ModelSpec, counts: &mut KeptCounts) -> Step {
        let key = HistoryKey::of(spec);
        let Some(history) = self.histories.iter().find(|history| history.key == key) else {
            return Step { reason: Some("it has no rows".into()), ..Step::default() };
        };
        let score = |model: &Model, rows: &[u32]| model.score(history, rows, spec.config.seed);
        let champion = self.champion(&spec.config.name);
        if history.is_given_up {
            let most = self.most_bytes.div_ceil(1_000_000);
            let reason = format!(
                "its rows take more than {most} MB of memory, half of memory_limit: raise that, or let a WHERE of the features \
                 SELECT leave rows out"
            );
            return Step { reason: Some(reason), ..Step::default() };
        }
        let mut step = Step { train_rows: history.training.len() as u64, ..Step::default() };
        if let Some(champion) = champion.filter(|_| spec.config.evaluate.prequential) {
            step.prequential = score(&champion.model, &history.newest());
            step.prequential_version = step.prequential.as_ref().map(|_| champion.version);
        }
        let started = Instant::now();
        let warm_start = champion.map(|c| c.model.as_ref());
        let refusal = history.key.label().and_then(|label| history.labelled.refusal(label));
        let training = match refusal {
            Some(reason) => Err(reason),
            None => spec.config.training().map_err(|e| e.to_string()),
        };
        let trained = training
            .and_then(|training| Model::train(&training, history, spec.config.seed, warm_start, counts));
        step.train_ms = started.elapsed().as_secs_f64() * 1e3;
        match trained {
            Ok(model) => {
                step.holdout = score(&model, &history.holdout);
                step.model = Some(model);
            }
            Err(reason) => {
                step.holdout = champion.and_then(|c| score(&c.model, &history.holdout));
                step.reason = Some(reason);
            }
        }
        step
    }

    /// The staged file of each step's model, if it has one.
    fn stage_models(
        &self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        steps: &[Step],
    ) -> Vec<Result<Option<FileEntry>>> {
        let each: Vec<_> = specs.iter().map(|spec| &spec.config.name).zip(steps).collect();
        at_once(&each, |(name, step)| {
            let Some(model) = &step.model else { return Ok(None) };
            stage_model(lake, &self.schema_name, name, batch_id, &model.to_bytes()?).map(Some)
        })
    }
}

#[derive(Default)]
struct Step {
    model: Option<Model>,
    reason: Option<String>,
    holdout: Option<Scores>,
    prequential: Option<Scores>,
    prequential_version: Option<u64>,
    train_rows: u64,
    train_ms: f64,
}

impl Step {
    fn panicked() -> Step {
        Step { reason: Some("a defect of Tidemill: training panicked".into()), ..Step::default() }
    }
}
