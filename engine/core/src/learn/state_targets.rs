//! What models with a target, and outlier scores, learn from a state: its keys as they are now.
//!
//! ```text
//!                ┌─ held out (a hash of the key): no model is trained on it ──about 1,000 drawn──> holdout
//! keys of state ─┤
//!                └─ the others, after batches in which the model has its turn ──> trained from nothing ──> model N
//! ```
//!
//! A key is on one side for ever, whatever its row says by now. Each version is trained from nothing, as the rows that the one
//! before has learned are others by now. Those that are scored are drawn anew for each batch, and the same for all models. There
//! is no prequential score: a batch's keys are mostly old ones, which the model before may have learned. Without a target
//! nothing is held out: outlier scores are judged on 1,000 keys of all.

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tidemill_ml::{FeatureTable, Material, Rows, TargetKind};

use super::history::HistoryKey;
use super::labels::{LabelCounts, Labels};
use super::lesson::{Begins, Lesson, Train};
use super::sample::{draw, seed_of};
use super::split;
use super::state_features::StateFeatures;
use super::state_rows::SCORE_SEED;
use crate::error::Result;
use crate::project::{ModelSpec, SCORED_KEYS};
use crate::records::Evaluation;
use crate::state::KeyedState;

/// Of the batch in hand the rows of each model.
#[derive(Default)]
pub(super) struct StateTargets {
    gathered: Vec<Gathered>,
}

/// Rows of models that agree in them.
struct Gathered {
    key: HistoryKey,
    /// The classes that were known before.
    known: Vec<Value>,
    scored: KeyRows,
    /// Where one has its turn.
    trained: Option<KeyRows>,
}

/// Keys as rows, those whose target can be learned.
struct KeyRows {
    features: FeatureTable,
    labels: Labels,
    counts: LabelCounts,
    rows: Vec<u32>,
}

impl StateTargets {
    /// Checks that the target of a model is one.
    ///
    /// # Errors
    /// User: it is of a type that is none.
    pub(super) fn check(spec: &ModelSpec, features: &StateFeatures) -> Result<()> {
        let none = features.no_rows();
        KeyRows::new(spec, features, none, &[]).map(|_| ())
    }

    /// Makes the rows that a model is trained on, where it has its turn (`whole`), and scored on.
    ///
    /// # Errors
    /// User or Data: the features SELECT.
    pub(super) async fn gather(
        &mut self,
        spec: &ModelSpec,
        features: &StateFeatures,
        batch_id: u64,
        state: &KeyedState,
        (whole, known): (bool, &[Value]),
        now: DateTime<Utc>,
    ) -> Result<()> {
        let key = HistoryKey::of(spec);
        let is_same = |of: &Gathered| of.key == key && of.known == known;
        if self.gathered.iter().any(|of| is_same(of) && (!whole || of.trained.is_some())) {
            return Ok(());
        }
        self.gathered.retain(|of| !is_same(of));
        let share = spec.config.label.as_ref().map(|_| spec.config.evaluate.holdout);
        let trained = match whole {
            false => None,
            true => {
                let keys: Vec<u32> = (0u32..).take(state.len()).collect();
                let keys = of_side(state, keys, share.unwrap_or_default(), false)?;
                Some(KeyRows::new(spec, features, features.select(state, &keys, now).await?, &[])?)
            }
        };
        let seed = seed_of(SCORE_SEED, batch_id, "score");
        let scored = match share {
            None => draw(state.len(), SCORED_KEYS, seed),
            Some(share) if share > 0.0 => {
                let drawn = draw(state.len(), (SCORED_KEYS as f64 / share).ceil() as usize, seed);
                of_side(state, drawn, share, true)?
            }
            Some(_) => Vec::new(),
        };
        let mut classes = trained.as_ref().map(|rows| rows.labels.classes_of_training()).unwrap_or_default();
        // Of two classes there is no third.
        if classes.is_empty() || spec.config.target_kind() == TargetKind::Classes {
            let others = known.iter().filter(|class| !classes.contains(class));
            let others: Vec<Value> = others.cloned().collect();
            classes.extend(others);
        }
        let scored = features.select(state, &scored, now).await?;
        let scored = KeyRows::new(spec, features, scored, &classes)?;
        self.gathered.push(Gathered { key, known: known.to_vec(), scored, trained });
        Ok(())
    }

    /// Lets go of what was gathered.
    pub(super) fn forget(&mut self) {
        self.gathered.clear();
    }

    /// What a model learns from what was gathered; `known` as then.
    pub(super) fn lesson(&self, spec: &ModelSpec, known: &[Value], has_turn: bool) -> Lesson<'_> {
        let key = HistoryKey::of(spec);
        let Some(Gathered { scored, trained, .. }) =
            self.gathered.iter().find(|of| of.key == key && of.known == known)
        else {
            return Lesson::refused("it has no rows");
        };
        let trained = trained.as_ref().filter(|_| has_turn);
        let refusal = || trained?.counts.refusal(spec.config.label.as_deref()?);
        let train = match refusal() {
            Some(reason) => Err(reason),
            None => {
                spec.config.training(Material::State).map_err(|error| error.to_string()).map(|training| {
                    trained.map(|trained| Train {
                        estimator: training.estimator,
                        rows: Rows::new(
                            &trained.features,
                            trained.labels.target_of_training(),
                            &trained.rows,
                        ),
                        classes: trained.labels.classes_of_training(),
                        begins: Begins::Anew,
                        seed: spec.config.seed,
                    })
                })
            }
        };
        let evaluation = match spec.config.label {
            None => Evaluation::Sample,
            Some(_) => Evaluation::Holdout,
        };
        let rows = Rows::new(&scored.features, scored.labels.target(), &scored.rows);
        Lesson {
            train,
            prequential: None,
            score: Some((evaluation, rows)),
            space: None,
            train_rows: trained.map_or(0, |trained| trained.rows.len()) as u64,
            classes: scored.labels.classes(),
            rows_cache: None,
        }
    }
}

impl KeyRows {
    fn new(
        spec: &ModelSpec,
        features: &StateFeatures,
        rows: RecordBatch,
        known: &[Value],
    ) -> Result<KeyRows> {
        let target = features.target(&rows).cloned().zip(spec.config.target_form());
        let (rows, mut labels, counts) = match target {
            None => (rows, Labels::None, LabelCounts::default()),
            Some((column, form)) => {
                let name = spec.config.label.as_deref().unwrap_or_default();
                let mut labels = Labels::knowing(name, column.data_type(), &form, known)?;
                let (keep, counts) = labels.take(&column)?;
                match keep.true_count() < rows.num_rows() {
                    true => (filter_record_batch(&rows, &keep)?, labels, counts),
                    false => (rows, labels, counts),
                }
            }
        };
        let features = features.table(&rows)?;
        let rows: Vec<u32> = (0u32..).take(features.rows()).collect();
        labels.settle(&rows);
        Ok(KeyRows { features, labels, counts, rows })
    }
}

/// Those of the keys that are held out, or the others.
fn of_side(state: &KeyedState, keys: Vec<u32>, share: f64, held_out: bool) -> Result<Vec<u32>> {
    if share == 0.0 {
        return Ok(if held_out { Vec::new() } else { keys });
    }
    let names = RecordBatch::try_from_iter([("key", state.key_column(&keys)?)])?;
    let hashes = split::hashes(&names, &[0])?;
    let is_of = |hash: u64| split::is_held_out(hash, share) == held_out;
    Ok(keys.into_iter().zip(hashes).filter(|(_, hash)| is_of(*hash)).map(|(key, _)| key).collect())
}
