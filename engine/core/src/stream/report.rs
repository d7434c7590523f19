//! What is told of a batch once it is through.

use std::collections::BTreeMap;

use super::behind::Ours;
use super::bounds::read_of;
use super::driver::{Driver, ms};
use crate::progress::{BatchProgress, ModelProgress, SinkProgress, SourceProgress};
use crate::records::{Commit, ModelOutcome, PartitionRange, Plan};
use crate::source::lag::Lag;

impl Driver {
    /// Spark's progress of a batch, with ours: rates, times, offsets, models.
    pub(super) fn progress(
        &mut self,
        plan: &Plan,
        commit: &Commit,
        models: &[ModelOutcome],
        Ours { durations, started, lag, waited_ms }: Ours,
    ) -> BatchProgress {
        let batch_duration = ms(started);
        let rows = commit.counts.rows_read;
        let since_last =
            self.last_planned.replace(started).map(|last| started.duration_since(last).as_secs_f64());
        let of_topic = |offsets: BTreeMap<String, i64>| BTreeMap::from([(plan.topic.name.clone(), offsets)]);
        let read = read_of(plan, commit);
        let offsets = |pick: fn(&PartitionRange) -> i64| {
            of_topic(read.iter().map(|p| (p.partition.to_string(), pick(p))).collect())
        };
        let latest = |lag: &Lag| of_topic(lag.latest.iter().map(|(p, end)| (p.to_string(), *end)).collect());
        BatchProgress {
            id: self.checkpoint.query_id.clone(),
            run_id: self.run_id.clone(),
            name: self.job.name.clone(),
            timestamp: plan.now.clone(),
            batch_id: plan.batch_id,
            batch_duration,
            num_input_rows: rows,
            input_rows_per_second: since_last.filter(|s| *s > 0.0).map(|s| rows as f64 / s),
            processed_rows_per_second: rows as f64 / (batch_duration / 1e3).max(1e-9),
            duration_ms: durations,
            state_operators: self.state_progress(),
            sources: vec![SourceProgress {
                description: match plan.replay {
                    Some(replay) => format!("DeadLetters[batches {}..{}]", replay.from, replay.to),
                    None => format!("KafkaV2[Subscribe[{}]]", plan.topic.name),
                },
                start_offset: offsets(|p| p.from),
                end_offset: offsets(|p| p.to),
                latest_offset: lag.as_ref().map(latest),
                num_input_rows: rows,
                brokers_away_ms: waited_ms,
                metrics: lag.as_ref().map(Lag::metrics).unwrap_or_default(),
            }],
            sink: SinkProgress {
                description: format!("{}.{}", self.job.schema_name, self.job.table_name),
                num_output_rows: commit.counts.rows_out,
            },
            models: models
                .iter()
                .map(|m| ModelProgress {
                    name: m.name.clone(),
                    status: m.status,
                    reason: m.reason.clone(),
                    version: m.version,
                    train_ms: m.train_ms,
                    train_rows: m.train_rows,
                    holdout: m.holdout.clone(),
                    sample: m.sample.clone(),
                    prequential: m.prequential.clone(),
                })
                .collect(),
            dead_letters: commit.counts.dead_letters,
            data_loss: commit.counts.data_loss,
        }
    }
}
