//! One run: the files in their order, the first row of each key, the table replaced.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::row::{RowConverter, SortField};

use super::clean::{CleanFile, count};
use super::replace::replace_table;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::BatchJob;
use crate::table::write::parquet_bytes;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The table in SQL, `chicago_crimes.crimes`.
    pub table: String,
    /// Number of the run's commit.
    pub version: u64,
    /// Rows in the table.
    pub rows: u64,
    /// What each file gave, in the order of the command line.
    pub files: Vec<FileSummary>,
}

/// What one file gave: `rows_read` = `rows_out` + all dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// The file as it was named.
    pub path: PathBuf,
    /// The form that it has.
    pub form: String,
    /// Rows in the file.
    pub rows_read: u64,
    /// Rows of it in the table.
    pub rows_out: u64,
    /// The others, by reason.
    pub dropped: Vec<Dropped>,
}

/// Rows that are not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Why, `duplicate id` say.
    pub reason: String,
    /// How many.
    pub rows: u64,
}

/// Cleans the files and replaces the job's table by their rows. `on_progress` is told the rows read so far.
///
/// All headers are looked at before the first row is read, and the table is replaced after the last: an error leaves it
/// as it was.
///
/// # Errors
/// User: no such file, no known form, wrong SQL; Data, with file, line and column: a row or cell that cannot be read;
/// Held: another run of this job; Storage, Corrupt: the lake.
pub async fn run(
    job: &BatchJob,
    lake: &Lake,
    inputs: &[PathBuf],
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> Result<RunSummary> {
    let mut files = Vec::with_capacity(inputs.len());
    for path in inputs {
        files.push(CleanFile::open(path, &job.forms).await?);
    }
    let Some(first) = files.first() else {
        return Err(Error::user(format!("`{}` has no file to read", job.name))
            .hint(format!("tidemill run {} --input FILE…", job.name)));
    };
    let schema = first.schema().clone();
    if let Some(other) = files.iter().find(|file| *file.schema() != schema) {
        return Err(Error::user(format!(
            "{} and {} differ in their columns",
            first.form().path,
            other.form().path
        ))
        .hint("every form gives the columns of the one table: the same names and types, in the same order"));
    }

    let mut first_of_key = FirstOfKey::default();
    let mut batches = Vec::new();
    let mut summaries = Vec::with_capacity(files.len());
    let mut read = 0;
    for mut file in files {
        let mut dropped = BTreeMap::new();
        let (mut rows_read, mut rows_out) = (0, 0);
        while let Some(clean) = file.next_batch().await? {
            let kept = first_of_key.of(&clean.rows, &job.forms.key)?;
            for (reason, rows) in clean.dropped {
                *dropped.entry(reason).or_default() += rows;
            }
            let again = clean.rows.num_rows() - kept.num_rows();
            count(&mut dropped, &format!("duplicate {}", job.forms.key), again);
            rows_read += clean.read;
            rows_out += kept.num_rows() as u64;
            batches.push(kept);
            read += clean.read;
            on_progress(read);
        }
        summaries.push(FileSummary {
            path: file.path().to_owned(),
            form: file.form().name.clone(),
            rows_read,
            rows_out,
            dropped: dropped.into_iter().map(|(reason, rows)| Dropped { reason, rows }).collect(),
        });
    }
    let rows = concat_batches(&schema, &batches)?;
    drop(batches);
    let rows_out = rows.num_rows() as u64;
    let version =
        replace_table(lake, &job.schema_name, &job.forms.table, &parquet_bytes(&rows)?, read, rows_out)?;
    let table = format!("{}.{}", job.schema_name, job.forms.table);
    Ok(RunSummary { table, version, rows: rows_out, files: summaries })
}

/// The keys seen so far.
#[derive(Default)]
struct FirstOfKey {
    seen: HashSet<Box<[u8]>>,
    converter: Option<RowConverter>,
}

impl FirstOfKey {
    /// The rows whose key was not seen before.
    fn of(&mut self, rows: &RecordBatch, key: &str) -> Result<RecordBatch> {
        let column = rows
            .column_by_name(key)
            .ok_or_else(|| Error::internal(format!("the key `{key}` is no column of the cleaned rows")))?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(RowConverter::new(vec![SortField::new(column.data_type().clone())])?),
        };
        let keys = converter.convert_columns(std::slice::from_ref(column))?;
        let new: BooleanArray = keys.iter().map(|key| Some(self.seen.insert(key.as_ref().into()))).collect();
        Ok(filter_record_batch(rows, &new)?)
    }
}
