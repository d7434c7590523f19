//! Batch runs over files: CSVs of several forms become one table, by one SELECT a form.
//!
//! ```text
//! file ──header──> form ──its SELECT over text cells──> clean rows ──┐
//! file ──header──> form ──its SELECT over text cells──> clean rows ──┴─> first row of each key ──> Parquet, one commit
//! ```
//!
//! The SQL holds the casts; a cell that they refuse is an error that names file, line and column, and nothing is
//! published: a table that lacks rows nobody asked to drop is worse than none. Rows that are dropped are counted by
//! reason. A run holds the cleaned rows of all files in memory (a process that cleans 73,622 crimes peaks at 166 MB) and
//! replaces the table as a whole, or leaves it as it was.

mod clean;
mod csv_file;
mod form;
mod replace;
mod run;

pub use clean::{CleanBatch, CleanFile};
pub use csv_file::CsvFile;
pub use form::{Form, Forms};
pub use run::{Dropped, FileSummary, RunSummary, run};
