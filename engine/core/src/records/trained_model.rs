//! What a commit of a batch job says of a model.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Maker, ModelOutcome};
use crate::error::{Error, Result};
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
    /// The moment that `now()` is in its SELECT, by RFC 3339; records of earlier versions of Tidemill do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// The model after the step.
    pub outcome: ModelOutcome,
}

impl TrainedModel {
    /// The moment that `now()` is in its SELECT, where the record says it.
    ///
    /// # Errors
    /// Corrupt: it is no time.
    pub(crate) fn now(&self) -> Result<Option<DateTime<Utc>>> {
        let parsed = self.moment.as_ref().map(|text| {
            let no_time =
                |e| format!("model `{}`: its time `{text}` cannot be read: {e}", self.spec.config.name);
            text.parse().map_err(|e: chrono::ParseError| Error::corrupt(no_time(e)))
        });
        parsed.transpose()
    }
}
