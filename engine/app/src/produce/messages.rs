//! From rows of the file to JSON: the job's `messages.sql`, run over one batch of text columns after another.
//!
//! The SQL has the casts, so what a message holds is written down in one place. When a cast fails, DataFusion says
//! which text could not be cast but not where it stands: the row is then found by halving the batch, and the column by
//! asking for each one alone.

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionConfig, SessionContext};
use tidemill_core::{Context, Error, Result};

use super::portal::{self, PortalBatch, PortalFile};

/// The SQL, planned once to know that it is right.
pub(crate) struct Messages {
    session: SessionContext,
    sql: String,
    month: Option<u32>,
    /// Columns of a message.
    columns: Vec<String>,
}

impl Messages {
    /// Takes the text of `path`: one SELECT, row by row, from the table `portal`.
    ///
    /// # Errors
    /// User: it is no such SQL.
    pub(crate) async fn new(path: &str, sql: &str, month: Option<u32>) -> Result<Messages> {
        // One partition: rows stay in the order of the file.
        let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let session = SessionContext::new_with_config(config);
        session.register_batch("portal", RecordBatch::new_empty(portal::schema()))?;
        let sql = sql.trim().trim_end_matches(';').to_owned();
        let plan = session.sql(&sql).await.context_with(|| path.to_owned())?;
        let columns: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        if month.is_some() && !columns.iter().any(|column| column == "month") {
            return Err(Error::user(format!(
                "{path} has no column `month`, so --month has nothing to look at"
            )));
        }
        Ok(Messages { session, sql, month, columns })
    }

    /// The messages of a batch, one JSON object a line, in the order of the rows; null fields are left out.
    ///
    /// # Errors
    /// Data: a cell that cannot be cast, with its row and column.
    pub(crate) async fn json_lines(&self, file: &PortalFile, batch: &PortalBatch) -> Result<Vec<u8>> {
        let rows = match self.run(&self.filtered(), &batch.rows).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.located(file, batch, error).await),
        };
        let mut lines = Vec::with_capacity(batch.rows.num_rows() * 320);
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write_batches(&rows.iter().collect::<Vec<_>>())?;
        writer.finish()?;
        Ok(lines)
    }

    fn filtered(&self) -> String {
        match self.month {
            None => self.sql.clone(),
            Some(month) => format!("SELECT * FROM (\n{}\n) WHERE month = {month}", self.sql),
        }
    }

    async fn run(&self, sql: &str, rows: &RecordBatch) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.session.deregister_table("portal")?;
        self.session.register_batch("portal", rows.clone())?;
        self.session.sql(sql).await?.collect().await
    }

    /// The error with the place of the first cell that causes it.
    async fn located(&self, file: &PortalFile, batch: &PortalBatch, error: DataFusionError) -> Error {
        let (mut start, mut rows, mut error) = (0, batch.rows.num_rows(), error);
        while rows > 1 {
            let half = rows / 2;
            match self.run(&self.filtered(), &batch.rows.slice(start, half)).await {
                Err(e) => (rows, error) = (half, e),
                Ok(_) => (start, rows) = (start + half, rows - half),
            }
        }
        let row = batch.rows.slice(start, rows);
        let mut place = format!("{}, row {}", file.path().display(), batch.first_row + start as u64);
        for column in &self.columns {
            let alone = format!("SELECT \"{column}\" FROM (\n{}\n)", self.sql);
            if let Err(e) = self.run(&alone, &row).await {
                place.push_str(&format!(", column {}", in_the_file(column)));
                error = e;
                break;
            }
        }
        Error::data(error.find_root().strip_backtrace())
            .context(place)
            .hint("mend the cell, or empty it: an empty cell is sent as a missing field")
    }
}

/// The column of the file that a message's column is made from.
fn in_the_file(column: &str) -> &str {
    match column {
        "month" | "day" | "hour" | "minute" => "Date",
        _ => {
            let same = |name: &&str| name.to_lowercase().replace(' ', "_") == column;
            portal::COLUMNS.into_iter().find(same).unwrap_or(column)
        }
    }
}

#[cfg(test)]
mod tests;
