//! One step of learning: score what was known, train on what is there, score again.
//!
//! A learner has the champions of a job and the material that they learn from, the committed rows so far or a state. What a
//! model does after a batch is the same for both ([`Lesson`]).

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use tidemill_ml::Cache;
use tokio::task::block_in_place;

use super::champions::Champions;
use super::histories::Histories;
use super::lesson::{Lesson, Step};
use super::state_rows::StateRows;
use super::tables::{Centre, Importance, ModelEvent};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::{ModelSpec, StateSpec};
use crate::records::{FileEntry, Learn, ModelOutcome};
use crate::registry::Aliases;
use crate::state::KeyedState;

/// The models of a job with all that they learn from.
pub struct Learner {
    champions: Champions,
    material: Material,
    /// By model: what its last fit leaves for the next one.
    caches: HashMap<String, Cache>,
}

/// What the models of a job learn from.
enum Material {
    /// All committed rows.
    Rows(Histories),
    /// The keys of a state.
    State(StateRows),
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
    /// Which models changed places, or did not by the word of a gate or a person.
    pub events: Vec<ModelEvent>,
}

/// What became of a batch's rows in learning: the largest number of any model, of any with a label where labels are
/// spoken of; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowsSeen {
    /// Rows left out as the features SELECT cannot compute them.
    pub without_features: Option<u64>,
    /// Rows left out as their label is null.
    pub without_label: Option<u64>,
    /// Rows left out as their label cannot be learned: a third value of two, an infinite number.
    pub of_other_label: Option<u64>,
    /// Rows with the features and label of an earlier row on the other side of the hold-out split.
    pub equal_across_split: Option<u64>,
}

impl Learner {
    /// A learner from rows, without rows or models.
    pub fn new(schema_name: &str, table_name: &str) -> Learner {
        Learner::of(schema_name, Material::Rows(Histories::new(table_name)))
    }

    /// A learner from a state, without models.
    pub(crate) fn of_state(schema_name: &str, spec: &StateSpec) -> Learner {
        Learner::of(schema_name, Material::State(StateRows::new(spec)))
    }

    fn of(schema_name: &str, material: Material) -> Learner {
        Learner { champions: Champions::new(schema_name), material, caches: HashMap::new() }
    }

    /// Lets learning take so many bytes of memory: half of them for the rows, half to train. Of more rows no model is
    /// trained.
    pub fn limit(&mut self, bytes: u64) {
        if let Material::Rows(histories) = &mut self.material {
            histories.limit(bytes / 2);
        }
    }

    /// Takes up the champions of the newest learn record. One that another version of Tidemill wrote is left: its
    /// successor is trained anew.
    ///
    /// # Errors
    /// Storage or Corrupt: a model file that is not there or not what its record says.
    pub fn restore(&mut self, lake: &Lake, newest: &Learn) -> Result<()> {
        self.champions.restore(lake, newest)
    }

    /// Makes sure that there is a history for each of these specs; says whether a new one was begun, which then
    /// needs the rows of all earlier batches.
    ///
    /// # Errors
    /// User: features that do not fit the table.
    pub async fn prepare(&mut self, specs: &[ModelSpec], table_schema: &SchemaRef) -> Result<bool> {
        let Material::Rows(histories) = &mut self.material else { return Ok(false) };
        let begun = histories.prepare(specs, table_schema).await?;
        if begun {
            self.caches.clear();
        }
        Ok(begun)
    }

    /// Checks that these models can be learned from the state.
    ///
    /// # Errors
    /// User: the features SELECT is not row-wise, reads another table, or has a column that cannot be learned from.
    pub(crate) async fn prepare_state(&mut self, specs: &[ModelSpec], state: &KeyedState) -> Result<()> {
        match &mut self.material {
            Material::State(rows) => rows.prepare(specs, state).await,
            Material::Rows(_) => Ok(()),
        }
    }

    /// Whether any model learns from rows.
    pub fn needs_rows(&self) -> bool {
        matches!(&self.material, Material::Rows(histories) if !histories.is_empty())
    }

    /// Whether any model learns from the rows of earlier batches. Where none does, they need not be read again.
    pub fn needs_history(&self) -> bool {
        matches!(&self.material, Material::Rows(histories) if histories.keep_rows())
    }

    /// Begins the next batch. One without rows is one too: what is newest is then nothing.
    pub fn begin(&mut self) {
        if let Material::Rows(histories) = &mut self.material {
            histories.begin();
        }
    }

    /// Adds committed rows of the batch in hand to every history.
    ///
    /// # Errors
    /// Data.
    pub async fn append(&mut self, rows: &RecordBatch, now: DateTime<Utc>) -> Result<()> {
        match &mut self.material {
            Material::Rows(histories) => histories.append(rows, now).await,
            Material::State(_) => Ok(()),
        }
    }

    /// Ends the batch in hand.
    ///
    /// # Errors
    /// Data.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.material {
            Material::Rows(histories) => histories.finish(),
            Material::State(_) => Ok(()),
        }
    }

    /// Scores and trains every model on the rows so far. A model that cannot be trained is an outcome, not an
    /// error: its champion stays.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written.
    pub fn learn(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        aliases: &Aliases,
    ) -> Result<Learned> {
        let promoted = self.champions.pin(lake, batch_id, specs, aliases)?;
        let Material::Rows(histories) = &self.material else {
            return Err(Error::internal("models of a state learn from it"));
        };
        let is_trained = |spec: &ModelSpec| self.champions.get(&spec.config.name).is_some();
        let lessons = specs.iter().map(|spec| histories.lesson(spec, batch_id, is_trained(spec))).collect();
        let caches = std::mem::take(&mut self.caches);
        let (steps, caches) = steps(batch_id, specs, lessons, &self.champions, caches);
        let rows = histories.rows_seen(batch_id);
        self.caches = caches;
        let learned = self.champions.take_up(lake, batch_id, specs, steps, promoted)?;
        Ok(Learned { rows, ..learned })
    }

    /// [`learn`](Learner::learn) from a state: its newest batch and a sample of all keys, or all of them.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written; Data.
    pub(crate) async fn learn_state(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        state: &KeyedState,
        now: DateTime<Utc>,
        aliases: &Aliases,
    ) -> Result<Learned> {
        let promoted = self.champions.pin(lake, batch_id, specs, aliases)?;
        let Material::State(rows) = &mut self.material else {
            return Err(Error::internal("models of rows do not learn from a state"));
        };
        let champions = &self.champions;
        let known = |name: &str| champions.get(name).map(|champion| &champion.classes[..]);
        rows.gather(batch_id, specs, state, now, known).await?;
        let lesson = |spec: &ModelSpec| rows.lesson(spec, batch_id, known(&spec.config.name));
        let lessons = specs.iter().map(lesson).collect();
        let caches = std::mem::take(&mut self.caches);
        let (steps, caches) = block_in_place(|| steps(batch_id, specs, lessons, &self.champions, caches));
        rows.forget();
        self.caches = caches;
        self.champions.take_up(lake, batch_id, specs, steps, promoted)
    }
}

/// What each model makes of its lesson, all at once, and what is left for the next one. A model whose step panics leaves
/// the others alone.
fn steps(
    batch_id: u64,
    specs: &[ModelSpec],
    lessons: Vec<Lesson<'_>>,
    champions: &Champions,
    mut before: HashMap<String, Cache>,
) -> (Vec<Step>, HashMap<String, Cache>) {
    let names = || specs.iter().map(|spec| spec.config.name.clone());
    let mut caches: Vec<Cache> = names().map(|name| before.remove(&name).unwrap_or_default()).collect();
    let steps = std::thread::scope(|scope| {
        let each = specs.iter().zip(lessons).zip(&mut caches);
        let running: Vec<_> = each
            .map(|((spec, lesson), cache)| {
                scope.spawn(move || lesson.learn(batch_id, spec, champions.known(spec), cache))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Step::panicked())).collect()
    });
    (steps, names().zip(caches).collect())
}
