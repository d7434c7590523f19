//! The rows that models of a state learn from: after each batch its keys and a sample of all the others.
//!
//! ```text
//! state after batch N ─keys of the batch + 1,000 drawn─> SELECT of the state, features SQL ─> partial fit ─> model N
//!                     ─1,000 others drawn─────────────────────────────────────────────────> metrics (`sample`)
//! ```
//!
//! Models are scored on the same keys and in one space, whatever they learned and when: standard deviations of the drawn rows,
//! capped at the fences of these, which is the state as it is now. A row is of the cluster that the model gives it.
//!
//! A batch's own keys are no fair picture of all: everybody in it has just bought. So the learners get a sample of the
//! state with them, as it is now, each row of which weighs as many keys as it stands for; it is drawn anew for each batch,
//! by a seed, so that a batch learned again gives the same bytes. Their number is fixed: a batch costs the same however
//! many keys there are. A plain `kmeans` is fitted to the whole state instead, beginning at its last centres, after the first
//! batch by which there are enough keys, and then after every `every`-th.
//!
//! Models with a target, and outlier scores, learn from all keys too: see `state_targets`.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tidemill_ml::{
    ClusterSpace, ClusterStreamParams, Estimator, FeatureTable, Material, Outliers, Rows, Target, Task,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::lesson::{Begins, Lesson, Train};
use super::sample::{draw, seed_of};
use super::state_features::{FeatureRows, StateFeatures};
use super::state_targets::StateTargets;
use super::steps;
use crate::error::{Context, Error, Result};
use crate::project::{ModelSpec, SCORED_KEYS, StateSpec, Turn};
use crate::records::Evaluation;
use crate::state::KeyedState;

/// Keys of the state that are learned from with those of the batch.
const SAMPLE_KEYS: usize = 1_000;

/// The seed of the keys that models are scored on: the same for all, whatever the seeds they learn by.
pub(super) const SCORE_SEED: u64 = 0;

/// What the models of a state learn from.
pub(super) struct StateRows {
    spec: StateSpec,
    features: Vec<StateFeatures>,
    /// Of the batch in hand, by the models' features SELECT and seed.
    seen: HashMap<(String, u64), Seen>,
    targets: StateTargets,
}

/// The rows that a batch is learned from and scored on, as features.
struct Seen {
    rows: FeatureTable,
    /// Of `rows`: keys of the batch and a sample of the others.
    learn: Vec<u32>,
    /// Of each of `rows`, how many keys it stands for; 0 of those that are not learned from.
    weights: Vec<f64>,
    /// Of `rows`: a sample of all.
    score: Vec<u32>,
    /// That of the sample: all models are scored in it.
    space: ClusterSpace,
    /// All keys, where a model that is fitted to the whole state has its turn.
    whole: Option<Whole>,
}

/// The features of all keys.
struct Whole {
    rows: FeatureTable,
    all: Vec<u32>,
}

fn key_of(spec: &ModelSpec) -> (String, u64) {
    (spec.features_sql.clone(), spec.config.seed)
}

impl StateRows {
    pub(super) fn new(spec: &StateSpec) -> StateRows {
        let (spec, targets) = (spec.clone(), StateTargets::default());
        StateRows { spec, features: Vec::new(), seen: HashMap::new(), targets }
    }

    /// Checks that these models can be learned from the state.
    ///
    /// # Errors
    /// User: see [`StateFeatures::new`]; a column that a step names is not there.
    pub(super) async fn prepare(&mut self, specs: &[ModelSpec], state: &KeyedState) -> Result<()> {
        for spec in specs {
            if !self.features.iter().any(|features| features.are_of(spec)) {
                self.features.push(StateFeatures::new(&self.spec, spec, state).await?);
            }
            let features = self.features_of(spec)?;
            let name = &spec.config.name;
            let checked = steps::check(spec, &features.empty());
            checked
                .and_then(|()| StateTargets::check(spec, features))
                .context_with(|| format!("model `{name}`"))?;
        }
        Ok(())
    }

    fn features_of(&self, spec: &ModelSpec) -> Result<&StateFeatures> {
        let features = self.features.iter().find(|features| features.are_of(spec));
        features.ok_or_else(|| Error::internal("features that were not prepared"))
    }

    /// Makes the features of what these models learn from after a batch; `known` has the classes of a model that has learned
    /// before.
    ///
    /// # Errors
    /// User or Data: the features SELECT.
    pub(super) async fn gather<'a>(
        &mut self,
        batch_id: u64,
        specs: &[ModelSpec],
        state: &KeyedState,
        now: DateTime<Utc>,
        known: impl Fn(&str) -> Option<&'a [Value]>,
    ) -> Result<()> {
        self.prepare(specs, state).await?;
        self.forget();
        for spec in specs {
            let known = known(&spec.config.name);
            let whole = turn(spec)?.is_whole(batch_id, known.is_some());
            if spec.config.task() != Task::Cluster {
                let features = self.features.iter().find(|features| features.are_of(spec));
                let features = features.ok_or_else(|| Error::internal("features that were not prepared"))?;
                let known = known.unwrap_or_default();
                self.targets.gather(spec, features, batch_id, state, (whole, known), now).await?;
                continue;
            }
            if let Some(known) = self.seen.get(&key_of(spec))
                && (!whole || known.whole.is_some())
            {
                continue;
            }
            let rows = self.rows_of(spec, batch_id, state, whole, outliers_of(specs, spec)?, now).await?;
            self.seen.insert(key_of(spec), rows);
        }
        Ok(())
    }

    /// Lets go of what was gathered.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
        self.targets.forget();
    }

    async fn rows_of(
        &self,
        spec: &ModelSpec,
        batch_id: u64,
        state: &KeyedState,
        whole: bool,
        outliers: Outliers,
        now: DateTime<Utc>,
    ) -> Result<Seen> {
        let features = self.features_of(spec)?;
        let sample = draw(state.len(), SAMPLE_KEYS, seed_of(spec.config.seed, batch_id, "learn"));
        let scored = draw(state.len(), SCORED_KEYS, seed_of(SCORE_SEED, batch_id, "score"));
        // In an order by chance: by age, the newest would have the last word with a learner that goes row by row.
        let order = seed_of(spec.config.seed, batch_id, "order");
        let mut keys = weighed(state.touched(), &sample, state.len());
        keys.sort_by_cached_key(|(key, _)| xxh3_64_with_seed(&key.to_le_bytes(), order));
        // Those to learn from and those to score on in one run: planning the SELECT costs more than its rows.
        let numbers: Vec<u32> = keys.iter().map(|(key, _)| *key).chain(scored).collect();
        let FeatureRows { table: rows, places } = features.of(state, &numbers, now).await?;
        let (mut learn, mut weights, mut score) = (Vec::new(), Vec::new(), Vec::new());
        for (row, place) in (0u32..).zip(places) {
            let learned = keys.get(place as usize);
            if learned.is_some() {
                learn.push(row)
            } else {
                score.push(row)
            }
            weights.push(learned.map_or(0.0, |(_, weight)| *weight));
        }
        let all: Vec<u32> = (0u32..).take(if whole { state.len() } else { 0 }).collect();
        let whole = if whole { Some(features.of(state, &all, now).await?.table) } else { None };
        let whole = whole.map(|rows| Whole { all: (0u32..).take(rows.rows()).collect(), rows });
        let space = ClusterSpace::of(&rows, &score, outliers)?;
        Ok(Seen { rows, learn, weights, score, space, whole })
    }

    /// What a model learns from what was gathered; `known` as then.
    pub(super) fn lesson(&self, spec: &ModelSpec, batch_id: u64, known: Option<&[Value]>) -> Lesson<'_> {
        let is_trained = known.is_some();
        if spec.config.task() != Task::Cluster {
            let has_turn = turn(spec).is_ok_and(|turn| turn.is_whole(batch_id, is_trained));
            return self.targets.lesson(spec, known.unwrap_or_default(), has_turn);
        }
        let Some(seen) = self.seen.get(&key_of(spec)) else { return Lesson::refused("it has no rows") };
        let training = match spec.config.training(Material::State) {
            Ok(training) => training,
            Err(error) => return Lesson::refused(error.to_string()),
        };
        let rows = match training.turn {
            Turn::EveryBatch => {
                let rows = Rows::new(&seen.rows, Target::None, &seen.learn);
                Some(Rows { weights: Some(&seen.weights), ..rows })
            }
            turn => {
                let whole = seen.whole.as_ref().filter(|_| turn.is_whole(batch_id, is_trained));
                whole.map(|whole| Rows::new(&whole.rows, Target::None, &whole.all))
            }
        };
        let seed = seed_of(spec.config.seed, batch_id, "fit");
        Lesson {
            train_rows: rows.map_or(0, |rows| rows.rows.len()) as u64,
            train: Ok(rows.map(|rows| Train {
                estimator: training.estimator,
                rows,
                classes: Vec::new(),
                begins: Begins::Before,
                seed,
            })),
            prequential: None,
            score: Some((Evaluation::Sample, Rows::new(&seen.rows, Target::None, &seen.score))),
            space: Some(&seen.space),
            classes: Vec::new(),
            rows_cache: None,
        }
    }
}

/// Whether values are capped in the space that a model of a state is scored in, which is one for all that learn from the same
/// features: unless each of them keeps its outliers.
///
/// # Errors
/// User: a model that learns from no state.
pub(crate) fn outliers_of(specs: &[ModelSpec], of: &ModelSpec) -> Result<Outliers> {
    let are_clusters = |spec: &&ModelSpec| spec.config.task() == Task::Cluster;
    for spec in specs.iter().filter(are_clusters).filter(|spec| spec.features_sql == of.features_sql) {
        match spec.config.training(Material::State)?.estimator {
            Estimator::ClusterStream(ClusterStreamParams { outliers: Outliers::Keep, .. }) => {}
            _ => return Ok(Outliers::Cap),
        }
    }
    Ok(Outliers::Keep)
}

/// When a model learns.
fn turn(spec: &ModelSpec) -> Result<Turn> {
    Ok(spec.config.training(Material::State)?.turn)
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
