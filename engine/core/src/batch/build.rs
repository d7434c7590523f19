//! One table: its SELECT planned, run and written to the files of a new version.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::graph::{Reads, one_select};
use super::input::{EXPANSION, Input, Progress};
use super::output::TableWriter;
use super::output_file::Written;
use super::turns::{Joins, Turns};
use super::volatile;
use crate::catalog::{check_files, committed_table, explain, job_session, verify_files};
use crate::columns::check_names;
use crate::error::nearest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::Lake;
use crate::predict;
use crate::project::{BatchJob, BatchModel, SqlFile, TableConfig};
use crate::records::Commit;
use crate::registry::{ModelRef, Models};
use crate::sql;
use crate::table::publish::readable_path;
use crate::table::read::{committed_files, damage};
use crate::table::scan::version_table;

/// Batches that the SELECT may be ahead of the writer.
const AHEAD: usize = 4;

/// Bytes of text that are worth a partition of their own. Dividing fewer among threads costs more than it gains: reading,
/// writing and other tables have threads of their own (`olist` takes 1.4 s of CPU with one partition, 1.7 with two).
const PARTITION_BYTES: u64 = 64 << 20;

/// The part of the memory limit that a writer's rows may take beside it, until they are in a file.
const WRITER_SHARE: u64 = 8;

/// What builds have in common.
#[derive(Debug)]
pub(super) struct Builder {
    pub lake: Lake,
    pub job: BatchJob,
    /// By their place in the job; those that no selected table reads are not opened.
    pub inputs: Vec<Option<Arc<Input>>>,
    pub runtime: Arc<RuntimeEnv>,
    /// The models that the SELECTs ask, each looked up once in a run.
    pub models: Models,
    /// What the runtime has of memory.
    pub memory_limit_bytes: Option<u64>,
    /// Which of them run at the same time.
    pub turns: Turns,
    /// Tables of the job that are read as these commits made them, in place of those that count now.
    pub as_of: BTreeMap<String, Commit>,
}

impl Builder {
    /// A session that knows what a SELECT reads. Tables of the job are as they are committed now, but for `staged`.
    ///
    /// # Errors
    /// User: a table that is read was never built; Storage.
    pub(super) async fn session(
        &self,
        reads: &Reads,
        progress: &Arc<Progress>,
        staged: &[(&str, &Output)],
        joins: Joins,
    ) -> Result<SessionContext> {
        let mut tables: Vec<(String, Arc<dyn TableProvider>)> = Vec::new();
        for at in &reads.inputs {
            let input = self.inputs.get(*at).cloned().flatten();
            let input = input.ok_or_else(|| Error::internal("an input that was not opened"))?;
            tables.push((input.config.name.clone(), input.table(progress)));
        }
        for name in self.own_tables(reads) {
            let table = match staged.iter().find(|(table, _)| *table == name) {
                Some((_, output)) => output.table().await?,
                None => self.committed(&name).await?,
            };
            tables.push((name, table));
        }
        let mut config = SessionConfig::new();
        if let Some(bytes) = self.text_bytes(reads, staged)? {
            let partitions = usize::try_from(bytes / PARTITION_BYTES).unwrap_or(usize::MAX);
            let at_most = config.target_partitions();
            config = config.with_target_partitions(partitions.clamp(1, at_most));
        }
        if let Joins::Sorted { batch_rows } = joins {
            // The fewest that DataFusion joins so: what there is of memory is divided among partitions.
            config = config.with_target_partitions(2).with_batch_size(batch_rows);
            config.options_mut().optimizer.prefer_hash_join = false;
        }
        if let Some(limit) = self.memory_limit_bytes {
            // A sort sets this aside for its merge before it has a row; a chain of sorted joins has many sorts at once.
            let parts = if joins == Joins::Hashed { 16 } else { 256 };
            let share = usize::try_from(limit / parts).unwrap_or(usize::MAX);
            let reserved = &mut config.options_mut().execution.sort_spill_reservation_bytes;
            *reserved = (*reserved).min(share);
        }
        let session = job_session(
            &self.lake,
            &self.job.schema_name,
            tables,
            config,
            self.runtime.clone(),
            &self.models,
        )?;
        // What is wrong in a table goes on into all that is made of it.
        verify_files(&session);
        Ok(session)
    }

    /// Size of all that a SELECT reads, as text, about; `None` where it reads tables of other jobs.
    fn text_bytes(&self, reads: &Reads, staged: &[(&str, &Output)]) -> Result<Option<u64>> {
        if !reads.others.is_empty() {
            return Ok(None);
        }
        let inputs = reads.inputs.iter().filter_map(|at| self.inputs[*at].as_ref());
        let mut bytes: u64 = inputs.map(|input| input.text_bytes()).sum();
        for name in self.own_tables(reads) {
            let files: u64 = match staged.iter().find(|(table, _)| *table == name) {
                Some((_, output)) => output.files.iter().map(|f| f.bytes).sum(),
                None => {
                    let full = format!("{}.{name}", self.job.schema_name);
                    let files = committed_files(&self.lake, &self.job.schema_name, &full)?;
                    files.iter().map(|f| f.bytes).sum()
                }
            };
            bytes += files * EXPANSION;
        }
        Ok(Some(bytes))
    }

    /// Whether a SELECT may give other rows of the same material: it asks for the time or for chance. So does one that
    /// cannot be planned, for all that is known.
    pub(super) async fn is_volatile(&self, reads: &Reads, text: &str) -> bool {
        let asks = async {
            // Only of other jobs there are views, whose functions are not in the text.
            match volatile::calls(&one_select(text)?) {
                false if reads.others.is_empty() => return Ok(false),
                false => {}
                true => return Ok(true),
            }
            let session = self.session(reads, &Arc::default(), &[], Joins::Hashed).await?;
            volatile::is_volatile(&sql::deep(sql::plan(&session.state(), text)).await?)
        };
        asks.await.unwrap_or(true)
    }

    /// Which versions of models these SELECTs ask; `None` where one cannot be had, which planning it tells.
    pub(super) fn models_asked<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
        let mut versions = Vec::new();
        for text in texts {
            for name in predict::calls(&one_select(text).ok()?)? {
                let loaded = self.models.get(&name.parse().ok()?).ok()?;
                versions.push(format!("{name} {} {}", loaded.entry.version, loaded.entry.file.xxh3));
            }
        }
        Some(versions)
    }

    /// Looks up the models that these SELECTs ask, but for those of the job that are trained in this run: they are asked once
    /// they are. What cannot be had is told where it is asked.
    pub(super) fn models_of_others<'a>(&self, texts: impl Iterator<Item = &'a str>, trained: &[&str]) {
        for text in texts {
            let Ok(statement) = one_select(text) else { continue };
            for name in predict::calls(&statement).into_iter().flatten() {
                let Ok(name) = name.parse::<ModelRef>() else { continue };
                if name.job != self.job.schema_name || !trained.contains(&name.model.as_str()) {
                    let _ = self.models.get(&name);
                }
            }
        }
    }

    /// Names of the job's tables that a SELECT reads, those of its models among them.
    fn own_tables(&self, reads: &Reads) -> Vec<String> {
        let tables = reads.tables.iter().map(|at| self.job.tables[*at].file.name.clone());
        tables.chain(reads.model_tables.iter().cloned()).collect()
    }

    async fn committed(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        let full = format!("{}.{name}", self.job.schema_name);
        if let Some(commit) = self.as_of.get(name) {
            let files = commit.added.iter().filter(|file| file.table == full);
            let paths: Vec<PathBuf> = files.map(|file| readable_path(&self.lake, file)).collect();
            let of_folders = commit.build.as_ref().filter(|build| build.table == full);
            return version_table(&paths, of_folders.map_or(&[], |build| &build.partition_columns)).await;
        }
        committed_table(&self.lake, &self.job.schema_name, &full).await?.ok_or_else(|| {
            let model = self.job.models.iter().find(|model| model.tables().iter().any(|table| table == name));
            let step = model.map_or(name, BatchModel::name);
            Error::user(format!("the table `{name}` is read but was never built"))
                .hint(format!("tidemill run {} --select {step}+", self.job.name))
        })
    }

    /// Runs a table's SELECT into an empty folder, again and by itself where memory does not suffice (see [`Turns`]).
    ///
    /// # Errors
    /// User: the SQL; Data: a row that cannot be read; Storage: the files; Memory: the limit is too small.
    pub(super) async fn build(
        &self,
        table: &TableConfig,
        reads: &Reads,
        progress: &Arc<Progress>,
        folder: PathBuf,
    ) -> Result<Output> {
        let bytes = reads.inputs.iter().filter_map(|at| self.inputs[*at].as_ref()).map(|input| input.bytes());
        progress.total_bytes.store(bytes.sum(), Ordering::Relaxed);
        let place = &table.file.path;
        let mut turn = self.turns.first().await;
        let result = loop {
            let result = self.attempt(table, reads, progress, folder.clone(), turn.joins).await;
            match turn.after(&result, place, || progress.reset()).await {
                Some(next) => turn = next,
                None => break result,
            }
        };
        result.map_err(|e| self.explained(e, reads)).context_with(|| place.clone())
    }

    /// The error of a SELECT, with what is known of it.
    fn explained(&self, error: Error, reads: &Reads) -> Error {
        match error.kind() {
            ErrorKind::Memory => sql::explain_memory(error, self.memory_limit_bytes),
            // Of a cast in the SELECT: a file's own errors have a place and a hint.
            ErrorKind::Data if error.next_step().is_none() => self.damaged(self.located(error, reads), reads),
            ErrorKind::User => self.headed(error, reads),
            ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Internal => self.damaged(error, reads),
            _ => error,
        }
    }

    /// All rows of a SELECT, in no order, as long as they take no more than half of the memory; `now` is its `now()`.
    ///
    /// # Errors
    /// As [`Self::build`]; Memory: they take more.
    pub(super) async fn rows(
        &self,
        file: &SqlFile,
        reads: &Reads,
        now: DateTime<Utc>,
        progress: &Arc<Progress>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let mut turn = self.turns.first().await;
        let result = loop {
            let result = self.attempt_rows(&file.sql, reads, now, progress, turn.joins).await;
            match turn.after(&result, &file.path, || progress.reset()).await {
                Some(next) => turn = next,
                None => break result,
            }
        };
        let most = self.memory_limit_bytes.map(|limit| limit / 2);
        match result.map_err(|e| self.explained(e, reads)).context_with(|| file.path.clone())? {
            Some(rows) => Ok(rows),
            None => Err(Error::new(
                ErrorKind::Memory,
                format!(
                    "{}: its rows take more than {} MB of memory, half of the limit",
                    file.path,
                    most.unwrap_or_default().div_ceil(1_000_000)
                ),
            )
            .hint("raise --memory-limit, or let a WHERE of the features SELECT leave rows out")),
        }
    }

    /// `None`: they take too much memory.
    async fn attempt_rows(
        &self,
        text: &str,
        reads: &Reads,
        now: DateTime<Utc>,
        progress: &Arc<Progress>,
        joins: Joins,
    ) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>> {
        let session = self.session(reads, progress, &[], joins).await?;
        let frame = sql::frame_at(&session, text, now).await;
        let frame = frame.map_err(|error| explain(error, &self.lake))?;
        check_names(frame.schema())?;
        let mut stream = sql::execute(frame).await?;
        let schema = stream.schema();
        let (mut batches, mut bytes): (Vec<RecordBatch>, u64) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            bytes += batch.get_array_memory_size() as u64;
            if self.memory_limit_bytes.is_some_and(|limit| bytes > limit / 2) {
                return Ok(None);
            }
            batches.push(batch);
        }
        check_files(&session)?;
        Ok(Some((schema, batches)))
    }

    /// Where a file of the lake that it read is not what its record says, that is what is wrong.
    pub(super) fn damaged(&self, error: Error, reads: &Reads) -> Error {
        let own = self.own_tables(reads).into_iter().map(|name| format!("{}.{name}", self.job.schema_name));
        let damage = own.chain(reads.others.iter().cloned()).find_map(|table| {
            let files = committed_files(&self.lake, table.split('.').next()?, &table).ok()?;
            damage(&self.lake, &files)
        });
        damage.unwrap_or(error)
    }

    /// A column that the SELECT does not find may be called otherwise in an input's heading: then with file and line.
    fn headed(&self, error: Error, reads: &Reads) -> Error {
        let message = error.to_string();
        let Some((_, rest)) = message.split_once("No field named ") else { return error };
        let name = rest.split(". ").next().unwrap_or(rest).trim_end_matches('.');
        let name = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
        let inputs = reads.inputs.iter().filter_map(|at| self.inputs[*at].as_ref());
        let close = inputs.filter_map(|input| {
            let columns = input.schema.fields().iter().map(|field| field.name().as_str());
            Some((input.files.first()?.headed(), nearest(name, columns)?))
        });
        let headings: Vec<String> =
            close.map(|(file, column)| format!("{file}, has a column {column}")).collect();
        if headings.is_empty() { error } else { error.hint(headings.join("; ")) }
    }

    /// A cast that fails, or a date in no known format, names the text alone: the first cell of the inputs that is this text
    /// is likely the one.
    fn located(&self, error: Error, reads: &Reads) -> Error {
        let message = error.to_string();
        let cast = message.split_once(" string '").and_then(|(_, rest)| rest.split_once('\''));
        let cell = cast.or_else(|| {
            let (before, formats) = message.split_once("` is not a date of the format ")?;
            Some((before.split_once('`')?.1, formats))
        });
        let inputs = reads.inputs.iter().filter_map(|at| self.inputs[*at].as_ref());
        match cell.and_then(|(cell, _)| inputs.into_iter().find_map(|input| input.place_of(cell))) {
            Some(place) => error
                .context(place)
                .hint("mend the cell, or let the SELECT make a null of such text (TRY_CAST, NULLIF, CASE)"),
            None => error,
        }
    }

    async fn attempt(
        &self,
        table: &TableConfig,
        reads: &Reads,
        progress: &Arc<Progress>,
        folder: PathBuf,
        joins: Joins,
    ) -> Result<Output> {
        let session = self.session(reads, progress, &[], joins).await?;
        let frame = sql::frame(&session, &table.file.sql).await;
        let frame = frame.map_err(|error| explain(error, &self.lake))?;
        check_names(frame.schema())?;
        let stream = sql::execute(frame).await?;
        let most_bytes =
            self.memory_limit_bytes.map(|limit| usize::try_from(limit / WRITER_SHARE).unwrap_or(usize::MAX));
        let writer =
            TableWriter::new(&folder, stream.schema(), table.format, &table.partition_by, most_bytes)?;
        let partition_columns = writer.partition_columns();
        let files = write(stream, writer, progress.clone()).await?;
        check_files(&session)?;
        Ok(Output { folder, files, partition_columns })
    }
}

/// What a build has written, before it is a version.
#[derive(Debug)]
pub(super) struct Output {
    /// Where.
    pub folder: PathBuf,
    /// The files.
    pub files: Vec<Written>,
    /// Columns that are in the names of folders, and their types.
    pub partition_columns: Vec<(String, String)>,
}

impl Output {
    async fn table(&self) -> Result<Arc<dyn TableProvider>> {
        let own = self.files.iter().filter(|file| !file.is_export);
        let paths: Vec<PathBuf> =
            own.map(|file| self.folder.join(&file.folder).join(file.staged_name())).collect();
        version_table(&paths, &self.partition_columns).await
    }
}

/// Writes on a thread of its own what the stream gives.
async fn write(
    mut stream: SendableRecordBatchStream,
    mut writer: TableWriter,
    progress: Arc<Progress>,
) -> Result<Vec<Written>> {
    let (sender, mut receiver) = mpsc::channel::<RecordBatch>(AHEAD);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(rows) = receiver.blocking_recv() {
            writer.write(&rows)?;
            progress.rows_out.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        }
        Ok::<_, Error>(writer)
    });
    let mut failed = None;
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(rows) => {
                // The writer has ended where nobody receives: its error is the one to tell.
                if sender.send(rows).await.is_err() {
                    break;
                }
            }
            Err(e) => {
                failed = Some(Error::from(e));
                break;
            }
        }
    }
    drop((sender, stream));
    let writer = writing.await.map_err(|e| Error::internal(format!("the writer ended: {e}")))?;
    if let Some(error) = failed {
        return Err(error);
    }
    let writer = writer?;
    tokio::task::spawn_blocking(move || writer.finish())
        .await
        .map_err(|e| Error::internal(format!("the writer ended: {e}")))?
}
