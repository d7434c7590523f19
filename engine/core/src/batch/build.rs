//! One table: its SELECT planned, run and written to the files of a new version.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::graph::Reads;
use super::input::{Input, Progress};
use super::output::{TableWriter, Written};
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::project::{BatchJob, TableConfig};
use crate::sql::{files_table, job_session};
use crate::table::publish::readable_path;
use crate::table::read::committed_files;

/// Batches that the SELECT may be ahead of the writer.
const AHEAD: usize = 4;

/// What builds have in common.
#[derive(Debug)]
pub(super) struct Builder {
    pub lake: Lake,
    pub job: BatchJob,
    /// By their place in the job; those that no selected table reads are not opened.
    pub inputs: Vec<Option<Arc<Input>>>,
    pub runtime: Arc<RuntimeEnv>,
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
        staged: Option<(&str, &[PathBuf])>,
    ) -> Result<SessionContext> {
        let mut tables: Vec<(String, Arc<dyn TableProvider>)> = Vec::new();
        for at in &reads.inputs {
            let input = self.inputs.get(*at).cloned().flatten();
            let input = input.ok_or_else(|| Error::internal("an input that was not opened"))?;
            tables.push((input.config.name.clone(), input.table(progress)));
        }
        for at in &reads.tables {
            let name = &self.job.tables[*at].file.name;
            let paths = match staged {
                Some((table, paths)) if table == name => paths.to_owned(),
                _ => self.committed(name)?,
            };
            tables.push((name.clone(), files_table(&paths).await?));
        }
        let mut config = SessionConfig::new();
        // Text stays what it is: no second copy of it in a plan.
        config.options_mut().execution.parquet.schema_force_view_types = true;
        job_session(&self.lake, &self.job.schema_name, tables, config, self.runtime.clone())
    }

    fn committed(&self, name: &str) -> Result<Vec<PathBuf>> {
        let full = format!("{}.{name}", self.job.schema_name);
        let files = committed_files(&self.lake, &self.job.schema_name, &full)?;
        if files.is_empty() {
            return Err(Error::user(format!("the table `{name}` is read but was never built"))
                .hint(format!("tidemill run {} --select {name}+", self.job.name)));
        }
        Ok(files.iter().map(|file| readable_path(&self.lake, file)).collect())
    }

    /// Runs a table's SELECT into an empty folder.
    ///
    /// # Errors
    /// User: the SQL; Data: a row that cannot be read; Storage: the files.
    pub(super) async fn build(
        &self,
        table: &TableConfig,
        reads: &Reads,
        progress: &Arc<Progress>,
        folder: PathBuf,
    ) -> Result<Vec<Written>> {
        let bytes = reads.inputs.iter().filter_map(|at| self.inputs[*at].as_ref()).map(|input| input.bytes());
        progress.total_bytes.store(bytes.sum(), Ordering::Relaxed);
        let place = || table.file.path.clone();
        let session = self.session(reads, progress, None).await?;
        let frame = session.sql_with_options(&table.file.sql, only_reading()).await.context_with(place)?;
        let stream = frame.execute_stream().await.context_with(place)?;
        let writer = TableWriter::new(&folder, stream.schema(), table.format, &table.partition_by);
        write(stream, writer.context_with(place)?, progress.clone()).await.context_with(place)
    }
}

/// A job's SQL reads; what it writes is the engine's affair.
pub(super) fn only_reading() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
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
