//! Inputs: files whose columns are known, as tables for SQL.
//!
//! ```text
//! path ──find──> files ──header──> Input ──┬─ scan: decompress, decode, parse, a thread a file ──> rows
//!                                          └─ where a row is bad: read again, slowly, by line and cell
//! ```
//!
//! The way of the good rows is Arrow's CSV reader, which names neither line nor cell. Only when it refuses something is
//! the file read a second time by [`strict`], which finds the place, or sets the bad rows aside.

mod archive;
pub(in crate::batch) mod bytes;
mod csv;
mod find;
mod forms;
mod infer;
mod json;
mod json_kinds;
mod json_records;
mod json_scan;
mod json_strict;
mod members;
mod moment;
mod nulls;
mod number;
mod number_style;
mod open;
mod parquet;
mod row_groups;
mod scan;
mod strict;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use encoding_rs::Encoding;

pub(in crate::batch) use infer::type_of;
pub(in crate::batch) use number_style::made_plain;
pub(in crate::batch) use scan::rows_at_once;
pub(in crate::batch) use strict::{joined, parse as parse_cells};

use crate::error::{Error, Result};
use crate::project::{InputConfig, InputFormat, OnError};
use crate::records::{DEAD_LETTER, Dropped, InputReport};

/// What a byte of a compressed file becomes, about.
pub(super) const EXPANSION: u64 = 4;

/// An input with its files found and its columns known.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// What the job says of it.
    pub config: InputConfig,
    /// Its files, in order.
    pub files: Vec<InputFile>,
    /// Columns: those of the files, the row number, those of the folders.
    pub schema: SchemaRef,
    /// How its text is encoded.
    encoding: &'static Encoding,
    /// How many of the columns are the files' own.
    own_columns: usize,
    /// The types of cells that the job leaves to the files, `column TYPE`.
    found_types: Option<String>,
}

/// One file of an input.
#[derive(Debug, Clone)]
pub(super) struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Size as it lies there.
    pub bytes: u64,
    /// Size as text, of a compressed one about.
    text_bytes: u64,
    format: InputFormat,
    /// `(column, value)` of its folders.
    partition: Vec<(String, String)>,
    /// Its headings; of JSON none.
    header: Vec<String>,
    /// Something in it was refused when the columns were found (JSON), which a reader might take.
    is_checked: bool,
    /// Each object in it was checked when the columns were found (JSON), and refused none.
    is_strict: bool,
    /// The line that they are in.
    header_line: u64,
}

impl InputFile {
    /// Everything that decides its rows but its content.
    pub(super) fn kind(&self) -> (InputFormat, &[(String, String)]) {
        (self.format, &self.partition)
    }

    /// Reads the file to its end, or until `send` wants no more, and reports what it gave. Row groups of Parquet that have
    /// no row for `predicate` are left out.
    fn read(
        &self,
        config: &InputConfig,
        predicate: Option<&PruningPredicate>,
        columns: &csv::Columns<'_>,
        progress: &Progress,
        send: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<()> {
        let (mut rows, mut skipped, mut letters) = (0, 0, Vec::new());
        let start = Instant::now();
        let mut waited = Duration::ZERO;
        let send = &mut |batch| {
            let full = Instant::now();
            let wanted = send(batch);
            waited += full.elapsed();
            wanted
        };
        let aside = (config.on_error == OnError::DeadLetter).then_some(&mut letters);
        let to_end = match self.format {
            InputFormat::Csv | InputFormat::Tsv => csv::read(columns, progress, &mut rows, aside, send),
            InputFormat::Json => json::read(columns, progress, &mut rows, aside, send),
            InputFormat::Parquet => {
                let counts = (&mut rows, &mut skipped);
                parquet::read_whole(columns, predicate, progress, counts, aside, send)
            }
        }?;
        if !to_end {
            return Ok(());
        }
        let dead = letters.len() as u64;
        let dropped = (dead > 0).then(|| Dropped { reason: DEAD_LETTER.to_owned(), rows: dead });
        let report = InputReport {
            input: config.name.clone(),
            path: self.path.display().to_string(),
            form: None,
            bytes: self.bytes,
            seconds: Some(start.elapsed().saturating_sub(waited).as_secs_f64()),
            rows_read: rows + dead,
            rows_out: rows,
            rows_skipped: skipped,
            dropped: dropped.into_iter().collect(),
            found_types: columns.found_types(),
            keeps_letters: false,
        };
        progress.report(report, letters);
        Ok(())
    }
}

/// A row that could not be read, in an input that sets such rows aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeadLetter {
    /// The file.
    pub path: String,
    /// Its line there.
    pub line: u64,
    /// The row.
    pub payload: Vec<u8>,
    /// What is wrong with it.
    pub error: String,
}

/// What has been read for one table so far, and of how much.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the files that have been read.
    pub bytes: Arc<AtomicU64>,
    /// Bytes of all files.
    pub total_bytes: AtomicU64,
    /// Rows that have come out of the files.
    pub rows: AtomicU64,
    /// Rows that have been written.
    pub rows_out: AtomicU64,
    reports: Mutex<Vec<(InputReport, Vec<DeadLetter>)>>,
}

impl Progress {
    /// More rows have come out of a file.
    fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// A file has been read to its end. One that a SELECT reads twice is reported once.
    fn report(&self, report: InputReport, letters: Vec<DeadLetter>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &InputReport| known.input == report.input && known.path == report.path;
        match reports.iter_mut().find(|(known, _)| same(known)) {
            Some((known, _)) if known.rows_read >= report.rows_read => {}
            Some(known) => *known = (report, letters),
            None => reports.push((report, letters)),
        }
    }

    /// Forgets what was read, before a second attempt.
    pub(super) fn reset(&self) {
        for counter in [&*self.bytes, &self.rows, &self.rows_out] {
            counter.store(0, Ordering::Relaxed);
        }
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What each file has given and its dead letters, in the order of inputs and files.
    pub(super) fn take_reports(&self, inputs: &[Arc<Input>]) -> Vec<(InputReport, Vec<DeadLetter>)> {
        let mut reports = std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner));
        let place = |report: &InputReport| {
            let input = inputs.iter().position(|input| input.config.name == report.input);
            let file = input.map(|at| {
                inputs[at].files.iter().position(|file| file.path.to_string_lossy() == report.path)
            });
            (input, file)
        };
        reports.sort_by_key(|(report, _)| place(report));
        reports
    }
}

impl Input {
    /// The input as a table; `progress` is told what is read.
    pub(super) fn table(self: &Arc<Input>, progress: &Arc<Progress>) -> Arc<dyn TableProvider> {
        Arc::new(scan::InputTable::new(self.clone(), progress.clone()))
    }

    /// File, line and column of the first cell that is this text, for an error of SQL that names only the text.
    pub(super) fn place_of(&self, cell: &str) -> Option<String> {
        let is_text = |file: &&InputFile| matches!(file.format, InputFormat::Csv | InputFormat::Tsv);
        let files = self.files.iter().filter(|_| self.config.forms.is_none()).filter(is_text);
        files.into_iter().find_map(|file| {
            strict::find_cell(&csv::Columns::new(self, file, &[], self.schema.clone(), 1), cell)
        })
    }

    /// Size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Size of all files as text, about.
    pub(super) fn text_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.text_bytes).sum()
    }
}

/// The files of a path as a table, for a statement that names them itself: see [`Input::look`].
///
/// # Errors
/// User: no such file, one that does not say how it is written; Data: it cannot be read.
pub(crate) async fn path_table(path: &str) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(Input::look(path, true).await?).table(&Arc::default()))
}

/// [`path_table`] whose cells of text files are text.
///
/// # Errors
/// As [`path_table`].
pub(crate) async fn text_table(path: &str) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(Input::look(path, false).await?).table(&Arc::default()))
}

/// An error of ours on its way through DataFusion. `Error::from` takes it out again.
fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
