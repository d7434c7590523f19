//! What a stream job makes of its messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ModelSpec, StateSpec};

/// What decides the result of a batch beside its messages, its time and the models that it asks. A plan holds it as it was
/// when the batch was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The `CREATE TABLE` text that says what fields a message has.
    pub schema_sql: String,
    /// Row-wise SQL over each batch; `None` keeps the rows as they were decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform_sql: Option<String>,
    /// Whether a message is a JSON string that holds the JSON object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub double_encoded: bool,
    /// What is learned after each batch; from the state where there is one, from the table's rows where there is none.
    pub models: Vec<ModelSpec>,
    /// What is kept for each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSpec>,
    /// Texts of the views, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: BTreeMap<String, String>,
}
