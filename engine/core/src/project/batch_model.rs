//! The `[[models]]` of a batch job: the keys of a stream's models, and those that only a job has whose rows are all there.

use serde::Deserialize;

use super::batch::{TableAudits, is_sql_name};
use super::model::{Evaluate, ModelConfig};
use super::{ModelSpec, Project, key_error};
use crate::error::{Error, Result};
use tidemill_ml::{Material, Task};

/// Share of the rows that a model with a label is not trained on, where the job does not say.
const HOLDOUT: f64 = 0.3;
/// More folds than these would be one fit for each few rows.
const MOST_FOLDS: u32 = 100;
/// Columns of a model's tables that no column of a key may be called as.
const OWN_COLUMNS: [&str; 7] = ["label", "prediction", "probability", "score", "cluster", "held_out", "fold"];

/// One model of a batch job.
#[derive(Debug, Clone)]
pub struct BatchModel {
    /// The `[[models]]` entry, and the text of its features: any SELECT over the job's tables and inputs.
    pub spec: ModelSpec,
    /// Columns of the features that tell its rows apart. They are no features.
    pub key: Vec<String>,
    /// Into how many parts the rows are divided, each scored by a model of the others.
    pub folds: Option<u32>,
    /// Features whose means the profile of its clusters has; `None`: all.
    pub profile: Option<Vec<String>>,
    /// Built-in audits of its tables, by the table's name.
    pub audits: Vec<(String, TableAudits)>,
}

/// A `[[models]]` entry of a batch job as it is written.
#[derive(Debug, Deserialize)]
pub(super) struct BatchModelFile {
    #[serde(default)]
    key: Vec<String>,
    profile: Option<Vec<String>>,
    #[serde(default)]
    evaluate: EvaluateFile,
    /// The keys that a stream's model has too.
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EvaluateFile {
    holdout: Option<f64>,
    holdout_key: Option<Vec<String>>,
    folds: Option<u32>,
}

impl BatchModel {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.config.name
    }

    /// The table of what it says of each row.
    pub fn rows_table(&self) -> String {
        format!("{}_rows", self.name())
    }

    /// The table of what its clusters are like.
    pub fn profile_table(&self) -> Option<String> {
        (self.spec.config.task() == Task::Cluster).then(|| format!("{}_profile", self.name()))
    }

    /// Names of its tables.
    pub fn tables(&self) -> Vec<String> {
        std::iter::once(self.rows_table()).chain(self.profile_table()).collect()
    }
}

impl Project {
    /// The models of a batch job, read and checked. `text` is that of the job's file.
    pub(super) fn batch_models(&self, text: &str, files: Vec<BatchModelFile>) -> Result<Vec<BatchModel>> {
        let mut models: Vec<BatchModel> = Vec::new();
        for file in files {
            let model = self.batch_model(text, file)?;
            if models.iter().any(|other| other.name() == model.name()) {
                return Err(Error::user(format!("two models are called `{}`", model.name())));
            }
            models.push(model);
        }
        Ok(models)
    }

    fn batch_model(&self, text: &str, file: BatchModelFile) -> Result<BatchModel> {
        let BatchModelFile { key, profile, evaluate, rest } = file;
        let mut config: ModelConfig = key_error::read(text, rest)?;
        let name = config.name.clone();
        let refused = |what: &str| Error::user(format!("model `{name}`: {what}"));
        if !is_sql_name(&name) {
            return Err(refused("that is no name of a model in a batch job")
                .hint("small letters, digits and `_`, the first a letter: it has tables of its name"));
        }
        if key.is_empty() {
            return Err(refused("`key` is missing: the columns that tell its rows apart")
                .hint("key = [\"customer_id\"]; they are in its tables, and are no features"));
        }
        for (at, column) in key.iter().enumerate() {
            let is_own = OWN_COLUMNS.contains(&column.as_str()) || column.starts_with("probability_");
            if is_own || key[..at].contains(column) {
                return Err(refused(&format!("`key` cannot have `{column}`")).hint(format!(
                    "the tables of a model have columns of their own: {}",
                    OWN_COLUMNS.join(", ")
                )));
            }
        }
        if config.label.as_ref().is_some_and(|label| key.contains(label)) {
            return Err(refused("the label is a column of `key`"));
        }
        if config.learn.as_deref().is_some_and(|learn| learn != "refit") {
            return Err(refused("`learn` is for the models of a stream")
                .hint("a model of a batch job is trained on all rows, when something that it is made of has changed"));
        }
        let (is_cluster, is_unlabelled) = (config.task() == Task::Cluster, config.label.is_none());
        if profile.is_some() && !is_cluster {
            return Err(refused("`profile` is for clusterings"));
        }
        match evaluate.folds {
            Some(_) if is_unlabelled => return Err(refused("evaluate.folds is for models with a label")),
            Some(folds) if !(2..=MOST_FOLDS).contains(&folds) => {
                return Err(refused(&format!("evaluate.folds is from 2 to {MOST_FOLDS}, not {folds}")));
            }
            _ => {}
        }
        // A gate compares on rows that neither version was trained on; folds, and models without a label, have a use for all.
        let held_out = config.gate.is_some() || (evaluate.folds.is_none() && !is_unlabelled);
        config.evaluate = Evaluate {
            holdout: evaluate.holdout.unwrap_or(if held_out { HOLDOUT } else { 0.0 }),
            holdout_key: evaluate.holdout_key.unwrap_or_else(|| key.clone()),
            prequential: false,
        };
        config.check_training(Material::Rows, text)?;
        let features_sql = self.read(&config.features)?;
        let spec = ModelSpec { config, features_sql };
        Ok(BatchModel { spec, key, folds: evaluate.folds, profile, audits: Vec::new() })
    }
}
