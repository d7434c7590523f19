//! The job file as written: every key it may have, and nothing else.

use serde::{Deserialize, Serialize};

use super::model::ModelConfig;
use super::state::StateConfig;

/// A stream job's TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobFile {
    /// One line that says what the job is.
    #[serde(default)]
    pub description: String,
    /// Memory that the stream may take; by default a share of the machine's.
    pub memory_limit: Option<Size>,
    pub source: SourceFile,
    #[serde(default)]
    pub trigger: TriggerFile,
    pub table: TableFile,
    #[serde(default)]
    pub models: Vec<ModelConfig>,
    /// Whether the job keeps a state, which `[state]` then describes.
    #[serde(default)]
    pub stateful: bool,
    pub state: Option<StateConfig>,
    /// SELECTs over the lake by the name of the view.
    #[serde(default)]
    pub views: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    pub kafka: KafkaFile,
    pub format: Format,
    pub schema: String,
    /// A message is a JSON string that holds the JSON object.
    #[serde(default)]
    pub double_encoded: bool,
    #[serde(default)]
    pub starting_offsets: StartingOffsets,
    pub max_offsets_per_trigger: Option<u64>,
    pub max_bytes_per_trigger: Option<Size>,
    /// How long a message may take that is tried alone.
    pub message_timeout: Option<String>,
    #[serde(default)]
    pub fail_on_data_loss: FailOnDataLoss,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaFile {
    pub bootstrap_servers: String,
    pub subscribe: String,
    /// librdkafka properties (security and tuning); `kafka_options` says which.
    #[serde(default, deserialize_with = "super::option_names::read")]
    pub options: std::collections::BTreeMap<String, String>,
    /// How long brokers that do not answer are waited for.
    pub broker_timeout: Option<String>,
}

/// A size, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Size {
    Bytes(u64),
    Text(String),
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes}"),
            Size::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
}

/// Where a partition without a committed offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartingOffsets {
    /// At the oldest message there is.
    #[default]
    Earliest,
    /// At the end, as it is when the job first starts; partitions that appear later begin at their oldest message.
    Latest,
}

/// What happens when rows between the last commit and now are gone from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOnDataLoss {
    /// The stream stops with an error.
    #[default]
    Fail,
    /// The stream goes on and says nothing in the tables (a warning in the log).
    Ignore,
    /// The stream goes on and the lost range is a row of `system.data_loss`.
    Record,
}

impl<'de> Deserialize<'de> for FailOnDataLoss {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Flag(bool),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Flag(true) => Ok(FailOnDataLoss::Fail),
            Written::Flag(false) => Ok(FailOnDataLoss::Ignore),
            Written::Word(word) => match word.as_str() {
                "record" => Ok(FailOnDataLoss::Record),
                "fail" => Ok(FailOnDataLoss::Fail),
                "ignore" => Ok(FailOnDataLoss::Ignore),
                other => Err(serde::de::Error::custom(format!(
                    "fail_on_data_loss is true, false or \"record\", not \"{other}\""
                ))),
            },
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerFile {
    pub processing_time: Option<String>,
    pub available_now: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableFile {
    pub path: String,
    pub transform: Option<String>,
    /// How large files are made of small ones.
    pub target_file_size: Option<Size>,
    /// For how long files stay that were made others.
    pub retain_removed: Option<String>,
}
