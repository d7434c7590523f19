//! The models that are in use: taken up from the newest record, and from each step that trained one.

use std::sync::Arc;

use tidemill_ml::Fitted;

use super::learner::Learned;
use super::lesson::Step;
use super::tables::{centres_of, importances_of};
use crate::error::Result;
use crate::files::at_once;
use crate::lake::{Lake, batch_file_name};
use crate::project::ModelSpec;
use crate::records::{FileEntry, Learn, ModelOutcome, ModelStatus};
use crate::registry::load;
use crate::table::publish::stage;

/// The champions of a job.
pub(super) struct Champions {
    schema_name: String,
    list: Vec<Champion>,
}

/// A model in use.
pub(super) struct Champion {
    name: String,
    /// The id of the batch that trained it.
    pub(super) version: u64,
    file: FileEntry,
    pub(super) model: Arc<Fitted>,
}

impl Champions {
    pub(super) fn new(schema_name: &str) -> Champions {
        Champions { schema_name: schema_name.to_owned(), list: Vec::new() }
    }

    /// The champion of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Champion> {
        self.list.iter().find(|champion| champion.name == name)
    }

    /// Takes up those of a learn record. One that another version of Tidemill wrote is left, and one that has learned
    /// nothing, which earlier versions kept.
    ///
    /// # Errors
    /// Storage or Corrupt: a model file that is not there or not what its record says.
    pub(super) fn restore(&mut self, lake: &Lake, newest: &Learn) -> Result<()> {
        for outcome in &newest.models {
            let (Some(version), Some(file)) = (outcome.version, &outcome.file) else { continue };
            let model = match load(lake, &outcome.name, file)? {
                Ok(model) => model,
                Err(error) => {
                    tracing::warn!(model = outcome.name, file = file.path, %error, "trained anew");
                    continue;
                }
            };
            if model.training_rows() > 0 {
                self.put(&outcome.name, version, file.clone(), model);
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &str, version: u64, file: FileEntry, model: Fitted) {
        self.list.retain(|champion| champion.name != name);
        self.list.push(Champion { name: name.to_owned(), version, file, model: Arc::new(model) });
    }

    /// The model of each step that has one becomes the champion; its file is staged.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written.
    pub(super) fn take_up(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        steps: Vec<Step>,
    ) -> Result<Learned> {
        let each: Vec<_> = specs.iter().map(|spec| &spec.config.name).zip(&steps).collect();
        let staged = at_once(&each, |(name, step)| {
            let Some(model) = &step.model else { return Ok(None) };
            let path = format!("{}/_models/{name}/{}", self.schema_name, batch_file_name(batch_id, "model"));
            stage(lake, &format!("model:{name}"), &path, &model.to_bytes()?, 0).map(Some)
        });
        let mut learned = Learned::default();
        for ((spec, step), file) in specs.iter().zip(steps).zip(staged) {
            let name = &spec.config.name;
            let status = match (&step.reason, &step.model) {
                (Some(_), _) => ModelStatus::Failed,
                (None, Some(_)) => ModelStatus::Trained,
                (None, None) => ModelStatus::Kept,
            };
            if let (Some(model), Some(file)) = (step.model, file?) {
                learned.centres.extend(centres_of(name, &model));
                learned.importances.extend(importances_of(name, &model));
                learned.files.push(file.clone());
                self.put(name, batch_id, file, model);
            }
            let champion = self.get(name);
            learned.outcomes.push(ModelOutcome {
                name: name.clone(),
                algorithm: spec.config.algorithm,
                status,
                reason: step.reason,
                version: champion.map(|c| c.version),
                file: champion.map(|c| c.file.clone()),
                seed: spec.config.seed,
                train_rows: step.train_rows,
                holdout: step.holdout,
                sample: step.sample,
                prequential: step.prequential,
                prequential_version: step.prequential_version,
                train_ms: step.train_ms,
            });
        }
        Ok(learned)
    }
}
