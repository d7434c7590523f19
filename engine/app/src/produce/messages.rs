//! From clean rows of the file to JSON: the job's `messages.sql`, run over one batch after another.
//!
//! A `-- input: JOB` line above the SELECT names the batch job whose forms the file may have and whose table the SELECT
//! reads: what `tidemill run JOB` puts into the lake is what a message is made of. A `-- table: JOB.TABLE` line names a
//! table of the lake instead, see [`super::rows`].

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::json::LineDelimitedWriter;
use tidemill_core::batch::{CleanBatch, CleanFile};
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings};
use tidemill_core::rowwise::RowSql;
use tidemill_core::{Context, Error, Result, calendar};

use super::rows::{RowMessages, header};

/// Messages, one JSON object a line; null fields are left out.
pub(crate) struct Lines {
    /// The lines.
    pub(crate) json: Vec<u8>,
    /// The key of each message; empty where messages have none.
    pub(crate) keys: Vec<Option<Box<str>>>,
}

/// What is to be sent.
pub(crate) enum Messages {
    /// Rows of a file, cleaned, as they come.
    File(Box<FileMessages>),
    /// Rows of a table, in the order that its SELECT says.
    Rows(RowMessages),
}

impl Messages {
    /// Opens what the SQL at `path` reads; `month` keeps the messages of that month alone.
    ///
    /// # Errors
    /// User: no such file or table, or SQL that is none; Data: the file cannot be read.
    pub(crate) async fn open(
        project: &Project,
        lake: &Lake,
        path: &str,
        input: Option<&Path>,
        month: Option<u32>,
        message: &SchemaRef,
    ) -> Result<Messages> {
        let text = project.read(path)?;
        if let Some(table) = header(&text, "table") {
            if month.is_some() {
                return Err(Error::user(format!(
                    "{path} reads a table, of which --month keeps nothing back"
                ))
                .hint("put the condition into the SELECT"));
            }
            let rows = RowMessages::open(&text, table, lake, input, message);
            return rows.await.map(Messages::Rows).map_err(|e| e.context(path));
        }
        let input =
            input.ok_or_else(|| Error::user("no file is named").hint("name one with --input FILE"))?;
        FileMessages::open(project, path, input, month).await.map(|file| Messages::File(Box::new(file)))
    }

    /// The next messages; `None` at the end.
    ///
    /// # Errors
    /// Data: a row or cell that cannot be read.
    pub(crate) async fn next_lines(&mut self) -> Result<Option<Lines>> {
        match self {
            Messages::File(file) => Ok(file.next_lines().await?.map(|json| Lines { json, keys: Vec::new() })),
            Messages::Rows(rows) => rows.next_lines(),
        }
    }

    /// Rows of the file so far that are no clean rows, by reason.
    pub(crate) fn dropped(&self) -> BTreeMap<String, u64> {
        match self {
            Messages::File(file) => file.dropped.clone(),
            Messages::Rows(_) => BTreeMap::new(),
        }
    }
}

/// The SQL, checked, and the file that it reads.
pub(crate) struct FileMessages {
    file: CleanFile,
    sql: RowSql,
    dropped: BTreeMap<String, u64>,
}

impl FileMessages {
    /// Opens `input` for the SQL at `path` of the project; `month` keeps the messages of that month alone.
    ///
    /// # Errors
    /// User: no such file or of no known form, or the SQL is no row-wise SELECT; Data: the file cannot be read.
    pub(crate) async fn open(
        project: &Project,
        path: &str,
        input: &std::path::Path,
        month: Option<u32>,
    ) -> Result<FileMessages> {
        let text = project.read(path)?;
        let source = header(&text, "input").ok_or_else(|| {
            Error::user(format!("{path} does not say what it reads")).hint(
                "above the SELECT: `-- input: chicago-crimes`, or another batch job whose clean rows it is to read",
            )
        })?;
        let cleaning = project.batch_job(source, &Settings::default()).map_err(|e| e.context(path))?;
        let forms = cleaning.forms().map_err(|e| e.context(path))?;
        let file = CleanFile::open(input, forms).await?;
        let sql = RowSql::new(&text, &forms.table, file.schema().clone(), &[])
            .await
            .context_with(|| path.to_owned())?;
        let Some(month) = month else { return Ok(FileMessages { file, sql, dropped: BTreeMap::new() }) };
        if sql.schema().column_with_name("month").is_none() {
            return Err(Error::user(format!(
                "{path} has no column `month`, so --month has nothing to look at"
            )));
        }
        let text = text.trim().trim_end_matches(';');
        let filtered = format!("SELECT * FROM (\n{text}\n) WHERE month = {month}");
        let sql = RowSql::new(&filtered, &forms.table, file.schema().clone(), &[]).await?;
        Ok(FileMessages { file, sql, dropped: BTreeMap::new() })
    }

    /// The next messages, one JSON object a line, in the order of the rows; null fields are left out. `None` at the end.
    ///
    /// # Errors
    /// Data: a row or cell that cannot be read, with its line.
    pub(crate) async fn next_lines(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(batch) = self.file.next_batch().await? else { return Ok(None) };
        for (reason, rows) in &batch.dropped {
            *self.dropped.entry(reason.clone()).or_default() += rows;
        }
        let rows = self.message_rows(&batch).await?;
        calendar::check(&rows).map_err(|e| e.context(self.file.path().display().to_string()))?;
        let mut lines = Vec::with_capacity(batch.rows.num_rows() * 320);
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write_batches(&[&rows])?;
        writer.finish()?;
        Ok(Some(lines))
    }

    async fn message_rows(&self, batch: &CleanBatch) -> Result<RecordBatch> {
        let now = std::time::SystemTime::now().into();
        self.sql.run_strict(&batch.rows, now).await.map_err(|(at, reason)| {
            let lines = batch.rows.column_by_name("_line").and_then(|c| c.as_primitive_opt::<Int64Type>());
            let line = lines.map_or(0, |lines| lines.value(at));
            Error::data(reason)
                .context(format!("{}, line {line}", self.file.path().display()))
                .hint("mend the row, or the job's messages.sql")
        })
    }
}

#[cfg(test)]
mod tests;
