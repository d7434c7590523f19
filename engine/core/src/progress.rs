//! What a batch tells of itself: Spark's `StreamingQueryProgress` field names, plus models, dead letters, data loss.

use serde::Serialize;
use std::collections::BTreeMap;

/// Progress of one batch, as one JSON object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchProgress {
    /// The query: the same over restarts.
    pub id: String,
    /// This run of the driver.
    pub run_id: String,
    /// The job.
    pub name: String,
    /// The batch's "now", RFC 3339.
    pub timestamp: String,
    /// Number of the batch.
    pub batch_id: u64,
    /// From plan to learn record, milliseconds.
    pub batch_duration: f64,
    /// Messages read.
    pub num_input_rows: u64,
    /// Messages per second since the batch before was planned.
    pub input_rows_per_second: Option<f64>,
    /// Messages per second of the batch's own duration.
    pub processed_rows_per_second: f64,
    /// The parts of the duration.
    pub duration_ms: Durations,
    /// The state of a stateful job.
    pub state_operators: Vec<StateProgress>,
    /// The one source.
    pub sources: Vec<SourceProgress>,
    /// The table.
    pub sink: SinkProgress,
    /// The models after the batch.
    pub models: Vec<ModelProgress>,
    /// Messages that went to the dead letters.
    pub dead_letters: u64,
    /// Ranges that were lost before the batch.
    pub data_loss: u64,
}

/// Milliseconds of each part of a batch; `None` for a part that this process did not do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Durations {
    /// Watermarks asked, plan written.
    pub plan: Option<f64>,
    /// Messages read from Kafka.
    pub read: Option<f64>,
    /// JSON to columns.
    pub decode: Option<f64>,
    /// The transform.
    pub transform: Option<f64>,
    /// Parquet encoded, staged and flushed.
    pub write: Option<f64>,
    /// Commit created, files renamed.
    pub commit: Option<f64>,
    /// History, scores, training, learn record; models train side by side, so this is less than the sum of theirs.
    pub learn: Option<f64>,
}

impl Durations {
    /// Name and milliseconds of the parts that were done, in order.
    pub fn parts(&self) -> Vec<(&'static str, f64)> {
        [
            ("plan", self.plan),
            ("read", self.read),
            ("decode", self.decode),
            ("transform", self.transform),
            ("write", self.write),
            ("commit", self.commit),
            ("learn", self.learn),
        ]
        .into_iter()
        .filter_map(|(name, ms)| Some((name, ms?)))
        .collect()
    }

    /// The sum of the parts.
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|(_, ms)| ms).sum()
    }
}

/// A state after a batch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateProgress {
    /// Its table: `olist_rfm.customers`.
    pub operator_name: String,
    /// Keys.
    pub num_rows_total: u64,
    /// Keys that the batch had rows of.
    pub num_rows_updated: u64,
}

/// What a batch took from its source.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// `KafkaV2[Subscribe[crimes]]`, as Spark writes it.
    pub description: String,
    /// topic → partition → first offset.
    pub start_offset: BTreeMap<String, BTreeMap<String, i64>>,
    /// topic → partition → next offset to read.
    pub end_offset: BTreeMap<String, BTreeMap<String, i64>>,
    /// topic → partition → where it ended when the batch was planned; `None` where another driver planned it.
    pub latest_offset: Option<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Messages read.
    pub num_input_rows: u64,
    /// Milliseconds that brokers were waited for since the batch before.
    pub brokers_away_ms: u64,
    /// Offsets that the batch left unread: `avgOffsetsBehindLatest`, `maxOffsetsBehindLatest` and
    /// `minOffsetsBehindLatest` over the partitions, as texts.
    pub metrics: BTreeMap<String, String>,
}

/// What a batch added to its table.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// The table: `chicago_arrests.crimes`.
    pub description: String,
    /// Rows added.
    pub num_output_rows: u64,
}

/// A model after a batch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelProgress {
    /// The model.
    pub name: String,
    /// `trained`, `failed` or `kept`.
    pub status: crate::records::ModelStatus,
    /// Why it failed.
    pub reason: Option<String>,
    /// The batch that trained the champion.
    pub version: Option<u64>,
    /// Time to train, milliseconds.
    pub train_ms: f64,
    /// Rows trained on.
    pub train_rows: u64,
    /// Scores on all hold-out rows so far.
    pub holdout: Option<crate::records::Scores>,
    /// Scores on a sample of the state.
    pub sample: Option<crate::records::Scores>,
    /// Scores of the model before on this batch.
    pub prequential: Option<crate::records::Scores>,
}
