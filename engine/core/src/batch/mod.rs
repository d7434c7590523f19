//! Batch jobs: files to tables, by a folder of SELECTs.
//!
//! ```text
//! files ──input──> rows ──┐
//! tables of the lake ─────┴─graph─> SELECT ──build──> files of a new version ──audits──> versions: the table, replaced
//! ```
//!
//! A job is a TOML file and SQL; nothing in it needs Rust:
//!
//! ```toml
//! # jobs/olist.toml
//! description = "Customers of a shop, and what they bought"
//! sql = "sql/olist"                # every *.sql directly in it is one SELECT, and the table of its name
//!
//! [inputs.orders]                  # a table `orders` for the SELECTs
//! # A file, a glob, or a folder with `column=value` folders in it; relative to where the command runs.
//! path = "${TIDEMILL_DATA:-data}/olist/olist_orders_dataset.csv*"     # `--input orders=FILE…` overrides it
//! format = "csv"                   # without it the file's name says it: csv, tsv, json (an object a line), parquet
//! types = { order_purchase_timestamp = "TIMESTAMP" }                  # cells are text where no type is given; or "auto"
//! encoding = "windows-1252"        # utf-8 without it
//! delimiter = ";"                  # and quote, escape, header, skip_rows, comment, null_values, decimal_comma, thousands
//! columns = "union"                # or "first", of files whose columns are not the same
//! row_number = "_row"              # a column that counts the rows of a file, from 1
//! file_name = "_file"              # a column that has the path of the row's file
//! on_error = "fail"                # or "dead_letter": bad rows are left out, counted, and in system.dead_letters
//!
//! [[tables]]                       # only for tables that need settings
//! name = "wide"
//! format = "parquet"               # parquet (zstd), csv or json
//! partition_by = ["customer_state"]  # folders `customer_state=SP`
//! audits = { not_null = ["order_id"], unique = [["order_id", "item"]], accepted_values = { status = ["a", "b"] },
//!     relationships = [{ column = "product_id", to = "products.product_id" }], row_count = { min = 1 } }
//! ```
//!
//! What a SELECT reads is found in its text ([`graph`]): inputs and tables of the job by their names, tables of other
//! jobs as `job.table`. A file may be compressed, whatever it is called. An empty cell is a null; a column whose heading
//! is empty is called `_N` by its place. An input in several forms (`forms`, `key`) has a SELECT for each form, which
//! makes the table's columns of text cells: see `jobs/chicago-crimes.toml`.
//!
//! A job may also train models of its tables (`[[models]]`, `models/`): each is a step of the run as a table is, and has tables of
//! its own.
//!
//! A table is replaced as a whole, or stays as it was (`versions.rs`, `version_commits.rs`). It is built where something that it is made of has
//! changed (`fingerprint.rs`): its SELECT, its settings, the content of a file, a table that it or an audit reads
//! (`others.rs`); or a file's form or type in the job; where it asks for the time (`volatile.rs`); and where its files are
//! gone.

mod audit;
mod build;
mod clean;
mod csv_file;
mod csv_text;
mod delta_logs;
mod fingerprint;
pub mod graph;
mod input;
mod kept_types;
mod memory;
mod models;
mod others;
mod output;
mod output_file;
mod parquet_file;
mod path_tables;
mod plan;
mod run;
mod run_report;
mod sql_test;
mod test_csv;
mod test_rows;
mod turns;
mod version_commits;
mod versions;
mod volatile;

pub use audit::AuditReport;
pub use clean::{CleanBatch, CleanFile};
pub use csv_file::CsvFile;
pub use graph::Graph;
pub use input::Progress;
pub use models::{categories, input_types, reproduce};
pub use path_tables::{open_session_with_files, rows_of_file};
pub use plan::plan;
pub use run::run;
pub use run_report::{ModelReport, RunEvent, RunOptions, RunReport, TableOutcome, TableReport};
pub use sql_test::{SqlTestReport, test};
pub use version_commits::committed_versions;
pub use versions::KEPT;
