//! Learning from a state: clusterings that see, after each batch, its keys and a sample of all the others.
//!
//! ```text
//! state after batch N ─keys of the batch + 1,000 drawn─> SELECT of the state, features SQL ─> partial fit ─> model N
//!                     ─1,000 others drawn─────────────────────────────────────────────────> metrics (`sample`)
//! ```
//!
//! A batch's own keys are no fair picture of all: everybody in it has just bought. So the learners get a sample of the
//! state with them, as it is now, each row of which weighs as many keys as it stands for; it is drawn anew for each batch,
//! by a seed, so that a batch learned again gives the same bytes. Their number is fixed: a batch costs the same however
//! many keys there are. A plain `kmeans` is fitted to the whole state instead, beginning at its last centres, after the first
//! batch by which there are enough keys, and then after every `every`-th.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, UInt32Type};
use chrono::{DateTime, Utc};
use tidemill_ml::FeatureTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::learner::Learned;
use super::model::stage_model;
use super::sample::{draw, seed_of};
use super::state_clusters::StateClusters;
use crate::error::{Context, Error, Result};
use crate::files::at_once;
use crate::lake::Lake;
use crate::project::{ModelSpec, StateSpec, Turn};
use crate::records::{FileEntry, Learn, ModelOutcome, ModelStatus, Scores};
use crate::rowwise::RowSql;
use crate::state::KeyedState;
use crate::table::read::read_bytes;

/// Keys of the state that are learned from with those of the batch, and as many others that models are scored on.
const SAMPLE_KEYS: usize = 1_000;

/// The clusterings of a stateful job.
pub(crate) struct StateLearner {
    schema_name: String,
    spec: StateSpec,
    features: Vec<StateFeatures>,
    champions: Vec<Champion>,
}

/// The column that says of which key a row of features is, by its place among those that were asked for.
const PLACE: &str = "_place";

/// The features SELECT of some models, over what the state's own SELECT gives.
pub(crate) struct StateFeatures {
    text: String,
    key: String,
    sql: RowSql,
    /// Place and name of each feature.
    columns: Vec<usize>,
    names: Vec<String>,
}

/// Features of keys.
pub(crate) struct FeatureRows {
    pub(crate) table: FeatureTable,
    /// The keys as the SELECTs give them.
    pub(crate) keys: StringArray,
    /// Of each row, the place of its key among those that were asked for; ascending.
    places: Vec<u32>,
}

#[derive(Clone)]
struct Champion {
    name: String,
    version: u64,
    file: FileEntry,
    model: Arc<StateClusters>,
}

impl StateFeatures {
    /// Checks the SELECT.
    ///
    /// # Errors
    /// User: it is not row-wise, reads another table, or has a column that is no number.
    pub(crate) async fn new(
        spec: &StateSpec,
        model: &ModelSpec,
        state: &KeyedState,
    ) -> Result<StateFeatures> {
        let bare = |sql: &str| sql.trim().trim_end_matches(';').to_owned();
        let table = &spec.config.table;
        let key = &spec.config.key;
        let carried = [key.as_str(), PLACE];
        let shown = bare(&spec.select_sql);
        // Inside, the name is the state's; outside, it is what the state's SELECT makes of it.
        let sql = format!("WITH {table} AS (\n{shown}\n)\n{}", bare(&model.features_sql));
        let mut fields = state.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PLACE, DataType::UInt32, false)));
        let sql = RowSql::new(&sql, table, Arc::new(Schema::new(fields)), &carried).await;
        let sql = sql.map_err(|e| e.context(model.config.features.clone()))?;
        let (mut columns, mut names) = (Vec::new(), Vec::new());
        for (index, field) in sql.schema().fields().iter().enumerate() {
            if carried.contains(&field.name().as_str()) {
                continue;
            }
            if !field.data_type().is_numeric() && field.data_type() != &DataType::Boolean {
                let what = format!("feature `{}` is of type {}", field.name(), field.data_type());
                return Err(Error::user(what)
                    .hint("clusters are of numbers: cast it, or leave it out of the SELECT")
                    .context(model.config.features.clone()));
            }
            columns.push(index);
            names.push(field.name().clone());
        }
        Ok(StateFeatures { text: model.features_sql.clone(), key: key.clone(), sql, columns, names })
    }

    /// The features of those of these keys that the SELECT keeps; one that it cannot compute is told in the log and left
    /// out.
    ///
    /// # Errors
    /// Data.
    pub(crate) async fn of(
        &self,
        state: &KeyedState,
        keys: &[u32],
        now: DateTime<Utc>,
    ) -> Result<FeatureRows> {
        let rows = state.rows(keys)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from_iter_values((0u32..).take(rows.num_rows()))));
        let mut fields = rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(PLACE, DataType::UInt32, false)));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let output = self.sql.run(&rows, now).await?;
        for (row, error) in output.failed.iter().take(3) {
            tracing::warn!(row, error, "a key of the state has no features and is left out of learning");
        }
        let mut table = FeatureTable::new(self.names.clone(), Vec::new());
        for (slot, &column) in self.columns.iter().enumerate() {
            let values = cast(output.rows.column(column), &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            table.push_numeric(slot, values.iter().map(|v| v.unwrap_or(f64::NAN)));
        }
        table.finish_append()?;
        let column = |name: &str, data_type| {
            let found = output.rows.column_by_name(name);
            let found = found.ok_or_else(|| Error::internal(format!("features without their `{name}`")))?;
            Ok::<_, Error>(cast(found, data_type)?)
        };
        let keys = column(&self.key, &DataType::Utf8)?.as_string::<i32>().clone();
        let places = column(PLACE, &DataType::UInt32)?.as_primitive::<UInt32Type>().values().to_vec();
        Ok(FeatureRows { table, keys, places })
    }
}

/// The rows that a batch is learned from and scored on, as features.
struct Seen {
    rows: FeatureTable,
    /// Of `rows`: keys of the batch and a sample of the others.
    learn: Vec<u32>,
    /// Of each of `learn`, how many keys it stands for.
    weights: Vec<f64>,
    /// Of `rows`: a sample of all.
    score: Vec<u32>,
    /// All keys, where a model that is fitted to the whole state has its turn.
    whole: Option<FeatureTable>,
}

impl StateLearner {
    /// A learner without models.
    pub(crate) fn new(schema_name: &str, spec: &StateSpec) -> StateLearner {
        StateLearner {
            schema_name: schema_name.to_owned(),
            spec: spec.clone(),
            features: Vec::new(),
            champions: Vec::new(),
        }
    }

    /// Checks that these models can be learned from the state.
    ///
    /// # Errors
    /// User: see [`StateFeatures::new`].
    pub(crate) async fn prepare(&mut self, specs: &[ModelSpec], state: &KeyedState) -> Result<()> {
        for spec in specs {
            if !self.features.iter().any(|features| features.text == spec.features_sql) {
                self.features.push(StateFeatures::new(&self.spec, spec, state).await?);
            }
        }
        Ok(())
    }

    /// Takes up the champions of the newest learn record.
    ///
    /// # Errors
    /// Storage or Corrupt: a model file that is not there or not what its record says.
    pub(crate) fn restore(&mut self, lake: &Lake, newest: &Learn) -> Result<()> {
        for outcome in &newest.models {
            if let (Some(version), Some(file)) = (outcome.version, &outcome.file) {
                let model = StateClusters::from_bytes(&read_bytes(lake, file)?)
                    .context_with(|| format!("model `{}`, {}", outcome.name, file.path))?;
                if !model.is_trained() {
                    continue;
                }
                let (name, file, model) = (outcome.name.clone(), file.clone(), Arc::new(model));
                self.champions.push(Champion { name, version, file, model });
            }
        }
        Ok(())
    }

    /// Learns from the newest batch of the state and scores. A model that cannot learn is an outcome, not an error: its
    /// champion stays.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written; Data.
    pub(crate) async fn learn(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        state: &KeyedState,
        now: DateTime<Utc>,
    ) -> Result<Learned> {
        self.prepare(specs, state).await?;
        let mut seen: HashMap<(&str, u64), Seen> = HashMap::new();
        for spec in specs {
            let key = (spec.features_sql.as_str(), spec.config.seed);
            let whole = self.is_whole(spec, batch_id)?;
            if let Some(known) = seen.get(&key)
                && (!whole || known.whole.is_some())
            {
                continue;
            }
            let rows = self.rows_of(spec, batch_id, state, whole, now).await?;
            seen.insert(key, rows);
        }
        let inputs: Vec<(&ModelSpec, Option<&Champion>, Option<&Seen>)> = specs
            .iter()
            .map(|spec| {
                let seen = seen.get(&(spec.features_sql.as_str(), spec.config.seed));
                (spec, self.champion(&spec.config.name), seen)
            })
            .collect();
        let steps: Vec<Step> = tokio::task::block_in_place(|| {
            // One after the other: a step takes less time than a thread of its own takes to begin.
            let trained = inputs.iter().map(|&(spec, champion, seen)| {
                unwound(|| train(spec, batch_id, champion, seen)).unwrap_or_else(Step::panicked)
            });
            let mut steps: Vec<Step> = trained.collect();
            std::thread::scope(|scope| {
                for (&(spec, champion, seen), step) in inputs.iter().zip(&mut steps) {
                    scope.spawn(move || match unwound(|| score(spec, step, champion, seen)) {
                        Some(sample) => step.sample = sample,
                        None => *step = Step::panicked(),
                    });
                }
            });
            steps
        });
        let mut learned = Learned::default();
        let each: Vec<_> = specs.iter().map(|spec| &spec.config.name).zip(&steps).collect();
        let staged = at_once(&each, |(name, step)| {
            let Some(model) = &step.model else { return Ok(None) };
            stage_model(lake, &self.schema_name, name, batch_id, &model.to_bytes()?).map(Some)
        });
        for ((spec, step), file) in specs.iter().zip(steps).zip(staged) {
            let outcome = self.take_up(batch_id, spec, step, file?, &mut learned);
            learned.outcomes.push(outcome);
        }
        Ok(learned)
    }

    async fn rows_of(
        &self,
        spec: &ModelSpec,
        batch_id: u64,
        state: &KeyedState,
        whole: bool,
        now: DateTime<Utc>,
    ) -> Result<Seen> {
        let features = self.features.iter().find(|features| features.text == spec.features_sql);
        let features = features.ok_or_else(|| Error::internal("features that were not prepared"))?;
        let sample = |purpose| draw(state.len(), SAMPLE_KEYS, seed_of(spec.config.seed, batch_id, purpose));
        // In an order by chance: by age, the newest would have the last word with a learner that goes row by row.
        let order = seed_of(spec.config.seed, batch_id, "order");
        let mut keys = weighed(state.touched(), &sample("learn"), state.len());
        keys.sort_by_cached_key(|(key, _)| xxh3_64_with_seed(&key.to_le_bytes(), order));
        // Those to learn from and those to score on in one run: planning the SELECT costs more than its rows.
        let numbers: Vec<u32> = keys.iter().map(|(key, _)| *key).chain(sample("score")).collect();
        let FeatureRows { table: rows, places, .. } = features.of(state, &numbers, now).await?;
        let (mut learn, mut weights, mut score) = (Vec::new(), Vec::new(), Vec::new());
        for (row, place) in (0u32..).zip(places) {
            match keys.get(place as usize) {
                Some((_, weight)) => {
                    learn.push(row);
                    weights.push(*weight);
                }
                None => score.push(row),
            }
        }
        let all: Vec<u32> = (0u32..).take(if whole { state.len() } else { 0 }).collect();
        let whole = if whole { Some(features.of(state, &all, now).await?.table) } else { None };
        Ok(Seen { rows, learn, weights, score, whole })
    }

    fn champion(&self, name: &str) -> Option<&Champion> {
        self.champions.iter().find(|champion| champion.name == name)
    }

    /// Whether a model learns from the whole state after this batch.
    fn is_whole(&self, spec: &ModelSpec, batch_id: u64) -> Result<bool> {
        let is_trained = self.champion(&spec.config.name).is_some();
        Ok(spec.config.state_training()?.turn.is_whole(batch_id, is_trained))
    }

    /// A step's model becomes the champion; what became of it is the outcome.
    fn take_up(
        &mut self,
        batch_id: u64,
        spec: &ModelSpec,
        step: Step,
        file: Option<FileEntry>,
        learned: &mut Learned,
    ) -> ModelOutcome {
        let name = &spec.config.name;
        let status = match (&step.reason, &step.model) {
            (Some(_), _) => ModelStatus::Failed,
            (None, Some(_)) => ModelStatus::Trained,
            (None, None) => ModelStatus::Kept,
        };
        if let (Some(model), Some(file)) = (step.model, file) {
            learned.centres.extend(model.centres(name));
            learned.files.push(file.clone());
            self.champions.retain(|c| c.name != *name);
            let (name, model) = (name.clone(), Arc::new(model));
            self.champions.push(Champion { name, version: batch_id, file, model });
        }
        let champion = self.champion(name);
        ModelOutcome {
            name: name.clone(),
            algorithm: spec.config.algorithm,
            status,
            reason: step.reason,
            version: champion.map(|c| c.version),
            file: champion.map(|c| c.file.clone()),
            seed: spec.config.seed,
            train_rows: step.train_rows,
            holdout: None,
            sample: step.sample,
            prequential: None,
            prequential_version: None,
            train_ms: step.train_ms,
        }
    }
}

/// The keys of a batch and those of a draw that are not among them, each with how many keys of `total` it stands for: one
/// of the batch for itself, and one drawn for as many of the others as there are to one.
fn weighed(of_batch: &[u32], drawn: &[u32], total: usize) -> Vec<(u32, f64)> {
    let touched: HashSet<u32> = of_batch.iter().copied().collect();
    let drawn: Vec<u32> = drawn.iter().copied().filter(|key| !touched.contains(key)).collect();
    let others = (total - touched.len()) as f64 / drawn.len().max(1) as f64;
    let of_batch = of_batch.iter().map(|&key| (key, 1.0));
    of_batch.chain(drawn.iter().map(|&key| (key, others))).collect()
}

#[derive(Default)]
struct Step {
    model: Option<StateClusters>,
    reason: Option<String>,
    sample: Option<Scores>,
    train_rows: u64,
    train_ms: f64,
}

impl Step {
    fn panicked() -> Step {
        Step { reason: Some("a defect of Tidemill: training panicked".into()), ..Step::default() }
    }
}

/// What a defect of a model is kept from: that the stream ends by it.
fn unwound<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
}

/// One model after one batch, not yet scored.
fn train(spec: &ModelSpec, batch_id: u64, champion: Option<&Champion>, seen: Option<&Seen>) -> Step {
    let Some(seen) = seen else { return Step::default() };
    let mut step = Step::default();
    let before = champion.map(|c| c.model.as_ref());
    let training = match spec.config.state_training() {
        Ok(training) => training,
        Err(error) => return Step { reason: Some(error.to_string()), ..step },
    };
    let rows = match training.turn {
        Turn::EveryBatch => Some((&seen.rows, Some((&seen.learn[..], &seen.weights[..])))),
        turn => {
            let has_turn = turn.is_whole(batch_id, champion.is_some());
            seen.whole.as_ref().filter(|_| has_turn).map(|rows| (rows, None))
        }
    };
    if let Some((rows, some)) = rows {
        let started = Instant::now();
        step.train_rows = some.map_or(rows.rows(), |(some, _)| some.len()) as u64;
        match StateClusters::train(&spec.config, &training, rows, some, batch_id, before) {
            Ok(model) => step.model = Some(model),
            Err(reason) => step.reason = Some(reason),
        }
        step.train_ms = started.elapsed().as_secs_f64() * 1e3;
    }
    step
}

/// What a model is worth after a step, the one before if there is no new one.
fn score(spec: &ModelSpec, step: &Step, champion: Option<&Champion>, seen: Option<&Seen>) -> Option<Scores> {
    let (seen, before) = (seen?, champion.map(|champion| champion.model.as_ref()));
    let model = step.model.as_ref().or(before)?;
    model.score(&seen.rows, &seen.score, spec.config.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_row_stands_for_those_that_were_not_and_a_row_of_the_batch_for_itself() {
        let keys = weighed(&[9, 3], &[1, 3, 5, 7, 8], 42);
        assert_eq!(keys, [(9, 1.0), (3, 1.0), (1, 10.0), (5, 10.0), (7, 10.0), (8, 10.0)]);
        assert_eq!(weighed(&[0, 1], &[0, 1], 2), [(0, 1.0), (1, 1.0)]);
    }
}
