//! One batch: the plan goes in, a commit and a learn record come out.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::record_batch::RecordBatch;

use super::driver::{CrashPoint, Driver, ms, parse_now, transform};
use super::stateful::forget_state_files;
use crate::checkpoint::records::FORMAT;
use crate::checkpoint::{
    BatchCounts, Commit, DataLoss, FileEntry, Learn, ModelOutcome, PartitionRange, Plan,
};
use crate::decode::{DeadLetters, Decoded, Decoder};
use crate::error::Result;
use crate::lake::{Lake, batch_file_name, batch_of_file_name};
use crate::learn::tables;
use crate::progress::{BatchProgress, Durations, ModelProgress, SinkProgress, SourceProgress};
use crate::project::{FailOnDataLoss, parse_schema};
use crate::source::RawRows;
use crate::table::publish::{at_once, roll_forward, stage};
use crate::table::write::parquet_bytes;

/// Versions of a model that are kept; older files are removed once a newer one is recorded.
const VERSIONS_KEPT: u64 = 10;

/// A batch on its way to its commit.
pub(super) struct Batch<'a> {
    driver: &'a mut Driver,
    plan: &'a Plan,
    durations: Durations,
    /// Lost before the plan, and since.
    lost: Vec<DataLoss>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(driver: &'a mut Driver, plan: &'a Plan, durations: Durations) -> Self {
        Batch { driver, plan, durations, lost: plan.data_loss.clone() }
    }

    /// Reads, decodes, transforms, stages and commits.
    pub(super) async fn run(mut self) -> Result<(Commit, Durations)> {
        let raw = self.read()?;
        let decoded = self.decode(&raw)?;
        let (rows, dead) = self.transform(&raw, decoded).await?;
        let commit = self.stage(&raw, &rows, dead)?;
        self.commit(&commit)?;
        self.warn_of_no_row(&commit);
        Ok((commit, self.durations))
    }

    /// A batch of nothing but dead letters is a producer, or a job, that has its schema wrong.
    fn warn_of_no_row(&self, commit: &Commit) {
        let BatchCounts { rows_read, dead_letters, .. } = commit.counts;
        if rows_read > 0 && dead_letters == rows_read {
            let job = &self.driver.job.name;
            tracing::warn!(
                batch_id = commit.batch_id,
                messages = rows_read,
                "all messages of the batch are dead letters: `tidemill dlq show {job}` says why"
            );
        }
    }

    fn read(&mut self) -> Result<Vec<RawRows>> {
        let started = Instant::now();
        // librdkafka and files block: the runtime is told so, other tasks go on.
        let rows = match &self.plan.replay {
            Some(replay) => tokio::task::block_in_place(|| self.driver.read_letters(replay))?,
            None => {
                let Driver { source, job, .. } = &mut *self.driver;
                let on_loss = job.source.fail_on_data_loss;
                let read = tokio::task::block_in_place(|| source.read(&self.plan.partitions, on_loss))?;
                // A topic made anew since the plan has other rows at the same offsets.
                self.driver.check_identity(self.plan)?;
                self.lost.extend(read.lost);
                read.rows
            }
        };
        self.durations.read = Some(ms(started));
        self.driver.crash(self.plan.batch_id, CrashPoint::Read)?;
        Ok(rows)
    }

    fn decode(&mut self, raw: &[RawRows]) -> Result<Decoded> {
        let started = Instant::now();
        let decoder =
            Decoder::new(parse_schema(&self.plan.schema_sql)?).double_encoded(self.plan.double_encoded);
        let decoded = decoder.decode(raw, self.plan.batch_id, &self.plan.topic)?;
        self.durations.decode = Some(ms(started));
        Ok(decoded)
    }

    async fn transform(&mut self, raw: &[RawRows], decoded: Decoded) -> Result<(RecordBatch, DeadLetters)> {
        let started = Instant::now();
        let Decoded { rows, mut dead } = decoded;
        if self.driver.transform.as_ref().is_none_or(|(sql, _)| sql != &self.plan.transform_sql) {
            let decoder = Decoder::new(parse_schema(&self.plan.schema_sql)?);
            let made = transform(self.plan.transform_sql.as_deref(), &decoder).await?;
            self.driver.transform = Some((self.plan.transform_sql.clone(), made));
        }
        let Some((_, sql)) = &self.driver.transform else { return Ok((rows, dead)) };
        let output = sql.run(&rows, parse_now(self.plan)?).await?;
        for (row, error) in output.failed {
            use arrow::array::AsArray;
            use arrow::datatypes::{Int32Type, Int64Type};
            let partition = rows["_partition"].as_primitive::<Int32Type>().value(row);
            let offset = rows["_offset"].as_primitive::<Int64Type>().value(row);
            dead.push(raw, partition, offset, "transform", error);
        }
        self.durations.transform = Some(ms(started));
        Ok((output.rows, dead))
    }

    fn stage(&mut self, raw: &[RawRows], rows: &RecordBatch, mut dead: DeadLetters) -> Result<Commit> {
        let started = Instant::now();
        let (state_files, removed) = self.driver.fold_state(rows)?;
        let Driver { job, lake, .. } = &*self.driver;
        let batch_id = self.plan.batch_id;
        let counts = BatchCounts {
            rows_read: raw.iter().map(|r| r.len() as u64).sum(),
            dead_letters: dead.len() as u64,
            replayed: self.plan.replay.map_or(0, |replay| replay.letters),
            rows_out: rows.num_rows() as u64,
            data_loss: self.lost.len() as u64,
        };
        let mut added = Vec::new();
        if rows.num_rows() > 0 {
            let table = format!("{}.{}", job.schema_name, job.table_name);
            let path = format!("{}/{}", job.table_path, batch_file_name(batch_id, "parquet"));
            added.push(stage(lake, &table, &path, &parquet_bytes(rows)?, counts.rows_out)?);
        }
        if !dead.is_empty() {
            let rows = dead.to_batch(&job.name, batch_id, &self.plan.topic)?;
            added.push(stage_system(lake, &job.schema_name, "dead_letters", batch_id, &rows)?);
        }
        if !self.lost.is_empty() && job.source.fail_on_data_loss == FailOnDataLoss::Record {
            let rows = tables::data_loss(&job.name, batch_id, &self.plan.topic, &self.lost)?;
            added.push(stage_system(lake, &job.schema_name, "data_loss", batch_id, &rows)?);
        }
        added.extend(state_files);
        self.durations.write = Some(ms(started));
        self.driver.crash(batch_id, CrashPoint::Stage)?;
        Ok(Commit {
            format: FORMAT,
            batch_id,
            query_id: self.plan.query_id.clone(),
            added,
            removed,
            counts,
            watermark: None,
            build: None,
        })
    }

    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let started = Instant::now();
        self.driver.checkpoint.commits.create(commit.batch_id, commit)?;
        self.driver.crash(commit.batch_id, CrashPoint::Commit)?;
        roll_forward(&self.driver.lake, &commit.added)?;
        forget_state_files(&self.driver.lake, &commit.removed);
        self.durations.commit = Some(ms(started));
        self.driver.crash(commit.batch_id, CrashPoint::Publish)
    }
}

/// Stages one file of a system table.
fn stage_system(
    lake: &Lake,
    schema_name: &str,
    table: &str,
    batch_id: u64,
    rows: &RecordBatch,
) -> Result<FileEntry> {
    let path = format!("system/{table}/{schema_name}/{}", batch_file_name(batch_id, "parquet"));
    stage(lake, &format!("system.{table}"), &path, &parquet_bytes(rows)?, rows.num_rows() as u64)
}

impl Driver {
    /// Learns from a committed batch, whose rows the learner has, and records it.
    pub(super) async fn learn(
        &mut self,
        plan: &Plan,
        commit: &Commit,
        mut durations: Durations,
    ) -> Result<(Learn, Durations)> {
        let started = Instant::now();
        let batch_id = commit.batch_id;
        let learned = match self.state {
            Some(_) => self.learn_from_state(plan, batch_id).await?,
            None => {
                let learner = self.behind.learner()?;
                tokio::task::block_in_place(|| learner.learn(&self.lake, batch_id, &plan.models))?
            }
        };
        let mut added = learned.files;
        let (job, lake) = (&self.job, &self.lake);
        let mut system = Vec::new();
        if !learned.outcomes.is_empty() {
            system.push(("metrics", tables::metrics(&job.name, batch_id, &learned.outcomes)?));
            system.push(("models", tables::models(&job.name, batch_id, &learned.outcomes)?));
        }
        if !learned.centres.is_empty() {
            system.push(("centres", tables::centres(&job.name, batch_id, &learned.centres)?));
        }
        if !learned.importances.is_empty() {
            let rows = tables::importances(&job.name, batch_id, &learned.importances)?;
            system.push(("importances", rows));
        }
        let stage =
            |(table, rows): &(&str, RecordBatch)| stage_system(lake, &job.schema_name, table, batch_id, rows);
        for file in at_once(&system, stage) {
            added.push(file?);
        }
        durations.learn = Some(ms(started));
        let (rows, seen) = (commit.counts, learned.rows);
        let batches = tables::batches(&job.name, batch_id, &plan.now, rows, seen, &durations)?;
        added.push(stage(&("batches", batches))?);
        self.crash(batch_id, CrashPoint::Train)?;
        let record = Learn {
            format: FORMAT,
            batch_id,
            query_id: plan.query_id.clone(),
            models: learned.outcomes,
            added,
        };
        self.checkpoint.learn.create(batch_id, &record)?;
        self.crash(batch_id, CrashPoint::Learn)?;
        roll_forward(&self.lake, &record.added)?;
        self.forget_versions(&record);
        durations.learn = Some(ms(started));
        self.crash(batch_id, CrashPoint::PublishLearn)?;
        Ok((record, durations))
    }

    /// Removes model files that are [`VERSIONS_KEPT`] batches old and not a champion's. What cannot be removed
    /// costs space and nothing else.
    fn forget_versions(&self, record: &Learn) {
        let Some(oldest) = record.batch_id.checked_sub(VERSIONS_KEPT - 1) else { return };
        for outcome in &record.models {
            let folder = self.lake.resolve(&format!("{}/_models/{}", self.job.schema_name, outcome.name));
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let version = entry.file_name().to_str().and_then(batch_of_file_name);
                if version.is_some_and(|v| v < oldest && outcome.version != Some(v))
                    && let Err(error) = std::fs::remove_file(entry.path())
                {
                    tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old model");
                }
            }
        }
    }

    pub(super) fn progress(
        &mut self,
        plan: &Plan,
        commit: &Commit,
        models: &[ModelOutcome],
        durations: Durations,
        started: Instant,
    ) -> BatchProgress {
        let batch_duration = ms(started);
        let rows = commit.counts.rows_read;
        let since_last =
            self.last_planned.replace(started).map(|last| started.duration_since(last).as_secs_f64());
        let offsets = |pick: fn(&PartitionRange) -> i64| {
            let inner = plan.partitions.iter().map(|p| (p.partition.to_string(), pick(p))).collect();
            BTreeMap::from([(plan.topic.clone(), inner)])
        };
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
                    None => format!("KafkaV2[Subscribe[{}]]", plan.topic),
                },
                start_offset: offsets(|p| p.from),
                end_offset: offsets(|p| p.to),
                num_input_rows: rows,
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
