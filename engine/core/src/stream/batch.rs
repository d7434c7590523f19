//! One batch: the plan goes in, a commit comes out, and once the models' history is there (`behind`) a learn record.
//! Between them are parts that fit into memory, most often one.
//!
//! What a job has wrong (schema, types, names, settings, models, views) is refused before there is a plan (`checks`, `fits`,
//! and what opens the driver). A plan that is there can still be refused, by what is seen of the outside only then:
//!
//! | what | error | the batch |
//! | --- | --- | --- |
//! | brokers are away for longer than `broker_timeout`, or refuse a log-in | Source | is run by the next start |
//! | its messages were deleted or written anew, under `fail_on_data_loss = true` | DataLoss | is run by the next start; where the job says `"record"` by then, without them |
//! | the topic was deleted and made anew | DataLoss | nothing runs it: the stream starts anew |
//! | the table or the checkpoint was removed or replaced while the stream ran (`place`) | Corrupt | is run by the next start, once it is put back |
//! | the newest file of rows, whose columns are asked for, is damaged | Corrupt | the same |
//! | of a replay: files of dead letters are damaged, or are not as many letters as planned | Corrupt | the same |
//! | a message, alone, that takes more than the memory limit (`RowSql::run`), or a child that is killed for one (`guard`) | Memory | is run by the next start, with more memory |
//! | the disk is full, or a file cannot be written | Storage | is run by the next start |
//! | more than 2³² keys of a state | Data | nothing runs it |
//! | somebody wrote the plan's or the commit's number first (two drivers over a disk without locks) | Held | is the other's |
//!
//! Whatever else a message does is a dead letter; nothing of a refused batch is visible. The next start cuts the plan anew with
//! the job's texts as they are then, over the same offsets (`Driver::cut_anew`).

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use tokio::task::block_in_place;

use super::bounds::Steps;
use super::crash_point::CrashPoint;
use super::driver::{Driver, ms};
use super::files::{Files, Staged};
use super::guard::Guard;
use super::letters::Letters;
use super::rows::transformed;
use super::stateful::forget_state_files;
use super::watch::Watch;
use crate::decode::{DeadLetters, Decoded, Decoder, TIME_NUMBER};
use crate::delta::NanColumns;
use crate::error::Result;
use crate::lake::{Lake, batch_file_name};
use crate::learn::tables;
use crate::progress::Durations;
use crate::project::FailOnDataLoss;
use crate::records::{BatchCounts, Before, Commit, Condemned, DataLoss, FileEntry, Mark, Plan, TopicRead};
use crate::source::RawRows;
use crate::source::kafka::{Reading, Room};
use crate::state::Fold;
use crate::table::evolve::newest_schema;
use crate::table::publish::{roll_forward, stage};
use crate::table::write::parquet_bytes;

/// A batch on its way to its commit.
pub(super) struct Batch<'a> {
    pub(super) driver: &'a mut Driver,
    pub(super) plan: &'a Plan,
    durations: Durations,
    /// Lost before the plan, and since.
    pub(super) lost: Vec<DataLoss>,
    /// Where partitions go on that were cut off since the plan.
    ends: BTreeMap<i32, i64>,
    /// Where those go on that had enough messages before the end of their range.
    filled_up: BTreeMap<i32, i64>,
    /// The last message that was read of each partition.
    pub(super) marks: BTreeMap<i32, Mark>,
    /// Messages that ended the process that had them in hand.
    condemned: Vec<Condemned>,
    /// Columns of floats that hold a NaN, of the files of rows.
    with_nan: NanColumns,
}

/// The messages of a batch that are still to be read.
enum Messages {
    Kafka(Reading),
    Letters(Letters),
}

impl Messages {
    fn is_done(&self) -> bool {
        match self {
            Messages::Kafka(reading) => reading.is_done(),
            Messages::Letters(letters) => letters.is_done(),
        }
    }
}

/// What has been made of a batch so far.
struct Made {
    counts: BatchCounts,
    table: Files,
    dead_letters: Files,
    state: Option<Fold>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(driver: &'a mut Driver, plan: &'a Plan, durations: Durations) -> Self {
        Batch {
            driver,
            plan,
            durations,
            lost: plan.topic.data_loss.clone(),
            ends: BTreeMap::new(),
            filled_up: BTreeMap::new(),
            marks: BTreeMap::new(),
            condemned: Vec::new(),
            with_nan: NanColumns::new(),
        }
    }

    /// Reads, decodes, transforms and stages, part by part, and commits.
    pub(super) async fn run(mut self) -> Result<(Commit, Durations)> {
        let decoder = Decoder::of_program(&self.plan.program)?;
        let room = self.room(&decoder);
        let mut messages = self.messages(room)?;
        let mut made = self.begin()?;
        let mut guard = self.guard(room)?;
        let watch = self.watch();
        loop {
            let raw = self.read(&mut messages)?;
            let (rows, dead) = match self.guarded(&mut made, &mut guard, &raw)? {
                Some(dead) => (Vec::new(), dead),
                None => {
                    let decoded = self.decode(&decoder, &raw, watch.as_ref())?;
                    if made.counts.rows_read == 0 {
                        self.warn_of_unread_fields(&raw, &decoded.rows);
                    }
                    let (rows, mut dead) =
                        self.transform(&mut made, room, (&raw, decoded), watch.as_ref()).await?;
                    (self.driver.refuse(&raw, rows, &mut dead)?, dead)
                }
            };
            made.counts.rows_read += raw.iter().map(|r| r.len() as u64).sum::<u64>();
            made.counts.bytes_read += raw.iter().map(RawRows::bytes).sum::<u64>();
            drop(raw);
            self.add(&mut made, rows)?;
            self.add_dead(&mut made, dead)?;
            if messages.is_done() {
                break;
            }
        }
        let commit = self.stage(made)?;
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

    fn messages(&mut self, room: Room) -> Result<Messages> {
        Ok(match self.plan.replay {
            Some(replay) => {
                let started = Instant::now();
                let letters = block_in_place(|| self.driver.letters(replay, room))?;
                add_ms(&mut self.durations.read, started);
                Messages::Letters(letters)
            }
            None => {
                block_in_place(|| self.compare_log())?;
                Messages::Kafka(
                    Reading::new(&self.plan.topic.partitions, room).at_most(&self.plan.topic.most),
                )
            }
        })
    }

    fn begin(&mut self) -> Result<Made> {
        let state = self.driver.begin_state();
        let has_time_number = self.driver.has_time_number()?;
        let Driver { job, .. } = &*self.driver;
        let (job_name, batch_id) = (&job.schema_name, self.plan.batch_id);
        let files = |table: String, folder: String, has| Files::new(table, folder, batch_id, has);
        Ok(Made {
            counts: BatchCounts {
                replayed: self.plan.replay.map_or(0, |replay| replay.letters),
                ..BatchCounts::default()
            },
            table: files(format!("{job_name}.{}", job.table_name), job.table_path.clone(), has_time_number),
            dead_letters: files(
                "system.dead_letters".to_owned(),
                format!("system/dead_letters/{job_name}"),
                false,
            ),
            state,
        })
    }

    /// The next part.
    fn read(&mut self, messages: &mut Messages) -> Result<Vec<RawRows>> {
        let started = Instant::now();
        let rows = match messages {
            Messages::Letters(letters) => block_in_place(|| letters.read())?,
            Messages::Kafka(reading) => {
                let Driver { source, job, .. } = &mut *self.driver;
                let on_loss = job.source.fail_on_data_loss;
                // librdkafka blocks: the runtime is told so, other tasks go on.
                let part = block_in_place(|| source.read_part(reading, on_loss))?;
                if reading.is_done() {
                    // A topic made anew since the plan has other rows at the same offsets.
                    self.driver.check_identity(self.plan)?;
                    // A connection was lost while it was read.
                    block_in_place(|| self.compare_log())?;
                }
                self.lost.extend(part.lost);
                self.ends.extend(part.ends);
                self.filled_up.extend(part.filled_up);
                let last = |rows: &RawRows| Some((rows.partition, Mark::last_of(rows)?));
                self.marks.extend(part.rows.iter().filter_map(last));
                self.marks.retain(|partition, _| !self.ends.contains_key(partition));
                part.rows
            }
        };
        add_ms(&mut self.durations.read, started);
        self.driver.crash(self.plan.batch_id, CrashPoint::Read)?;
        Ok(rows)
    }

    fn decode(&mut self, decoder: &Decoder, raw: &[RawRows], watch: Option<&Watch>) -> Result<Decoded> {
        let started = Instant::now();
        let _step = watch.map(|watch| watch.step(raw.iter().map(RawRows::len).sum()));
        let decoded = decoder.decode(raw, self.plan.batch_id, &self.plan.topic.name)?;
        add_ms(&mut self.durations.decode, started);
        Ok(decoded)
    }

    /// Runs the transform over a part, in steps where it multiplies rows: those of all but the last are taken in at once.
    async fn transform(
        &mut self,
        made: &mut Made,
        room: Room,
        (raw, Decoded { rows, mut dead }): (&[RawRows], Decoded),
        watch: Option<&Watch>,
    ) -> Result<(Vec<RecordBatch>, DeadLetters)> {
        let sql = self.driver.transform.clone();
        let (now, mut steps, mut at) = (self.plan.moment()?, Steps::new(sql.multiplies(), room), 0);
        loop {
            let started = Instant::now();
            let slice = rows.slice(at, steps.rows().min(rows.num_rows() - at));
            let step = watch.map(|watch| watch.step(slice.num_rows()));
            let output = transformed(&sql, now, raw, &slice, &mut dead).await?;
            drop(step);
            add_ms(&mut self.durations.transform, started);
            at += slice.num_rows();
            if at == rows.num_rows() {
                return Ok((output, dead));
            }
            let bytes = output.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            steps.saw(slice.num_rows(), bytes as u64);
            let output = self.driver.refuse(raw, output, &mut dead)?;
            self.add(made, output)?;
        }
    }

    /// Decodes and transforms a part in processes of their own, and takes in its rows; see `guard`. Not without one.
    fn guarded(
        &mut self,
        made: &mut Made,
        guard: &mut Option<Guard>,
        raw: &[RawRows],
    ) -> Result<Option<DeadLetters>> {
        let Some(children) = guard else { return Ok(None) };
        let (started, written) = (Instant::now(), self.durations.write);
        let mut refused = DeadLetters::default();
        let mut take = |rows| {
            let rows = self.driver.refuse(raw, rows, &mut refused)?;
            self.add(made, rows)
        };
        let Some(mut found) = block_in_place(|| children.run(raw, &mut take))? else {
            *guard = None;
            return Ok(None);
        };
        found.dead.append(refused);
        let writing = self.durations.write.unwrap_or(0.0) - written.unwrap_or(0.0);
        *self.durations.decode.get_or_insert(0.0) += ms(started) - writing;
        self.condemned.extend(found.condemned);
        Ok(Some(found.dead))
    }

    /// Takes in rows, and stages the files that are full.
    fn add(&mut self, made: &mut Made, batches: Vec<RecordBatch>) -> Result<()> {
        let started = Instant::now();
        for rows in batches {
            self.driver.add_to_state(made.state.as_mut(), &rows)?;
            made.counts.rows_out += rows.num_rows() as u64;
            made.table.push(&self.driver.lake, rows)?;
        }
        add_ms(&mut self.durations.write, started);
        Ok(())
    }

    /// Takes in the dead letters of a part.
    fn add_dead(&mut self, made: &mut Made, mut dead: DeadLetters) -> Result<()> {
        let started = Instant::now();
        let Driver { job, lake, .. } = &*self.driver;
        if !dead.is_empty() {
            made.counts.dead_letters += dead.len() as u64;
            let rows = dead.to_batch(&job.name, self.plan.batch_id, &self.plan.topic.name)?;
            made.dead_letters.push(lake, rows)?;
        }
        add_ms(&mut self.durations.write, started);
        Ok(())
    }

    fn stage(&mut self, made: Made) -> Result<Commit> {
        let started = Instant::now();
        let (state_files, removed) = self.driver.finish_state(made.state)?;
        let Driver { job, lake, .. } = &*self.driver;
        let batch_id = self.plan.batch_id;
        let counts = BatchCounts { data_loss: self.lost.len() as u64, ..made.counts };
        let Staged { files: mut added, has_time_number, with_nan } = made.table.finish(lake)?;
        added.extend(made.dead_letters.finish(lake)?.files);
        // In an order of their own, wherever the parts were cut.
        self.lost.sort_by_key(|loss| (loss.partition, loss.from, loss.to));
        self.condemned.sort_by_key(|message| (message.partition, message.offset));
        if !self.lost.is_empty() && job.source.fail_on_data_loss == FailOnDataLoss::Record {
            let rows = tables::data_loss(&job.name, batch_id, &self.plan.topic.name, &self.lost)?;
            added.push(stage_system(lake, &job.schema_name, "data_loss", batch_id, &rows)?);
        }
        added.extend(state_files);
        self.driver.has_time_number = Some(has_time_number);
        self.with_nan = with_nan;
        add_ms(&mut self.durations.write, started);
        self.driver.crash(batch_id, CrashPoint::Stage)?;
        Ok(Commit {
            batch_id,
            query_id: self.plan.query_id.clone(),
            before: Before::default(),
            added,
            removed,
            counts,
            read: TopicRead {
                ends: self.read_until(),
                marks: self.marks.clone(),
                condemned: self.condemned.clone(),
            },
            watermark: None,
            build: None,
            model: None,
        })
    }

    /// Where reading ended before its plan does: a partition was cut off, or had its messages; of one that was both, where it
    /// was first.
    fn read_until(&self) -> BTreeMap<i32, i64> {
        let mut ends = self.ends.clone();
        for (partition, end) in &self.filled_up {
            ends.entry(*partition).and_modify(|cut| *cut = (*cut).min(*end)).or_insert(*end);
        }
        ends
    }

    fn commit(&mut self, commit: &Commit) -> Result<()> {
        let started = Instant::now();
        self.driver.check_place()?;
        self.driver.checkpoint.commits.create(commit.batch_id, commit)?;
        self.driver.crash(commit.batch_id, CrashPoint::Commit)?;
        roll_forward(&self.driver.lake, &commit.added)?;
        forget_state_files(&self.driver.lake, &commit.removed);
        self.driver.crash(commit.batch_id, CrashPoint::Publish)?;
        self.driver.delta.publish(commit, self.plan.moment()?, &self.with_nan);
        self.durations.commit = Some(ms(started));
        self.driver.crash(commit.batch_id, CrashPoint::Delta)
    }
}

/// Adds the time since `started` to that of the parts before.
fn add_ms(total: &mut Option<f64>, started: Instant) {
    *total = Some(total.unwrap_or(0.0) + ms(started));
}

/// Stages one file of a system table.
pub(super) fn stage_system(
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
    /// Whether the job's table has a column of times that are none of a calendar.
    fn has_time_number(&self) -> Result<bool> {
        match self.has_time_number {
            Some(has) => Ok(has),
            None => {
                let table = format!("{}.{}", self.job.schema_name, self.job.table_name);
                let newest = newest_schema(&self.lake, &table)?;
                Ok(newest.is_some_and(|schema| schema.index_of(TIME_NUMBER).is_ok()))
            }
        }
    }
}
