//! What a commit of a batch job says of a model.

use serde::{Deserialize, Serialize};

use super::{Maker, ModelOutcome};
use crate::project::ModelSpec;

/// A model of a batch job after a step of its own. The version of the commit is the number of the step, from 0: that of the
/// version of the model that it trained, where it trained one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// How it is made: the job's `[[models]]` entry, with the text of its SELECT.
    pub spec: ModelSpec,
    /// Columns that tell its rows apart.
    pub key: Vec<String>,
    /// Into how many folds the rows are divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<u32>,
    /// Who took the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
    /// The model after the step.
    pub outcome: ModelOutcome,
}
