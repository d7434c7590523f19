//! The engine: sources, microbatch driver, checkpoint, Parquet tables, learning, SQL.
//!
//! ```text
//! source ──range──> decode ──rows──> transform (SQL) ──> table (Parquet, commit) ──> learn ──> metrics, models
//!   │                  └── bad rows ──> dead letters                                    │
//! offsets/N (plan)                                    commits/N (done)              learn/N (models + scores)
//!                                                               sql only reads these
//! ```
//!
//! The modules stand below in the order of that way, and each takes from those before it alone (a test looks at their
//! imports). [`batch`] is the other way in: files, as a whole, to one table.
//!
//! ```no_run
//! use std::sync::{Arc, atomic::AtomicBool};
//! use tidemill_core::{lake::Lake, project::{Project, Settings}, stream};
//!
//! # async fn example() -> tidemill_core::Result<()> {
//! let project = Project::open(std::path::Path::new("."));
//! let job = project.stream_job("chicago-arrests", &Settings::from_environment())?;
//! let options = stream::StreamOptions { available_now: true, max_batches: None, ..stream::StreamOptions::default() };
//! let stop = Arc::new(AtomicBool::new(false));
//! let summary = stream::run(&job, &Lake::new("lake"), &options, stop, &mut |_| {}).await?;
//! println!("{} rows in {} batches", summary.rows, summary.batches);
//! # Ok(())
//! # }
//! ```

// What everything stands on.
mod error;

pub mod clock;

pub mod calendar;

mod depth;

mod json;

mod exact;

mod sizes;

mod columns;

pub mod memory;

mod panics;

pub mod files;

// SQL, which knows no lake and no file.
pub mod sql;

// What a user wrote, and where it goes.
pub mod lake;

pub mod project;

// What was decided and done, and the tables that it made visible.
pub mod records;

pub mod table;

mod delta;

pub mod checkpoint;

// Messages, their rows, and a job's SQL on them.
pub mod source;

#[cfg(debug_assertions)]
mod failpoint;

pub mod decode;

pub mod rowwise;

pub mod progress;

// What is known of each key, and what is learned.
pub mod state;

mod features;

// Models by their names, and what they say of rows.
pub mod registry;

mod gate;

pub mod predict;

pub mod learn;

// All of that by its names.
pub mod catalog;

// The two ways in, and who looks whether all is well.
pub mod stream;

pub mod batch;

pub mod doctor;

#[cfg(test)]
mod order;

pub use error::{Context, Error, ErrorKind, Result, nearest};
