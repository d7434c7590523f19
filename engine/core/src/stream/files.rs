//! The files that a batch adds to a table: staged one after the other while the batch is read.

use arrow::record_batch::RecordBatch;

use crate::decode::{TIME_NUMBER, as_written};
use crate::delta::{NanColumns, nan_columns};
use crate::error::Result;
use crate::lake::{Lake, part_file_name};
use crate::records::FileEntry;
use crate::table::publish::stage;
use crate::table::write::{FileCutter, parquet_bytes};

/// The rows of a batch for one table, on their way to files.
pub(super) struct Files {
    table: String,
    folder: String,
    batch_id: u64,
    cutter: FileCutter,
    /// Whether the table has a column of times that are none of a calendar: from the first file on that needs one.
    has_time_number: bool,
    staged: Vec<FileEntry>,
    with_nan: NanColumns,
}

/// All files of a batch for one table.
pub(super) struct Staged {
    /// In the order of their rows.
    pub(super) files: Vec<FileEntry>,
    /// Whether the table has a column of times that are none of a calendar now.
    pub(super) has_time_number: bool,
    /// Columns of floats that hold a NaN.
    pub(super) with_nan: NanColumns,
}

impl Files {
    /// No rows yet; `folder` is relative to the lake.
    pub(super) fn new(table: String, folder: String, batch_id: u64, has_time_number: bool) -> Files {
        let cutter = FileCutter::default();
        Files {
            table,
            folder,
            batch_id,
            cutter,
            has_time_number,
            staged: Vec::new(),
            with_nan: NanColumns::new(),
        }
    }

    /// Adds rows, and stages the files that are full.
    pub(super) fn push(&mut self, lake: &Lake, rows: RecordBatch) -> Result<()> {
        for file in self.cutter.push(rows)? {
            self.stage(lake, &file)?;
        }
        Ok(())
    }

    /// Stages what is left, and gives all files.
    pub(super) fn finish(mut self, lake: &Lake) -> Result<Staged> {
        if let Some(file) = std::mem::take(&mut self.cutter).finish()? {
            self.stage(lake, &file)?;
        }
        Ok(Staged { files: self.staged, has_time_number: self.has_time_number, with_nan: self.with_nan })
    }

    fn stage(&mut self, lake: &Lake, rows: &RecordBatch) -> Result<()> {
        let path = format!("{}/{}", self.folder, part_file_name(self.batch_id, self.staged.len(), "parquet"));
        let rows = as_written(rows, self.has_time_number)?;
        self.has_time_number = rows.schema().index_of(TIME_NUMBER).is_ok();
        let with_nan = nan_columns(&rows);
        if !with_nan.is_empty() {
            self.with_nan.insert(path.clone(), with_nan);
        }
        self.staged.push(stage(lake, &self.table, &path, &parquet_bytes(&rows)?, rows.num_rows() as u64)?);
        Ok(())
    }
}
