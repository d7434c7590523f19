//! The engine: sources, microbatch driver, checkpoint, Parquet tables, learning, SQL.
//!
//! ```text
//! source ──range──> decode ──rows──> transform (SQL) ──> table (Parquet, commit) ──> learn ──> metrics, models
//!   │                  └── bad rows ──> dead letters                                    │
//! offsets/N (plan)                                    commits/N (done)              learn/N (models + scores)
//!                                                               sql only reads these
//! ```
//!
//! The modules are in the order of that way: [`project`] reads what a user wrote, [`source`] the messages,
//! [`decode`] makes rows of them, [`rowwise`] runs a job's SQL on them, [`table`] makes them a visible file,
//! [`checkpoint`] keeps the records, [`state`] what a stateful job knows of each key, [`learn`] trains and scores, [`stream`] drives all of it, and [`sql`] reads
//! what came out. [`batch`] is the other way in: files, as a whole, to one table.
//!
//! ```no_run
//! use std::sync::{Arc, atomic::AtomicBool};
//! use tidemill_core::{lake::Lake, project::{Project, Settings}, stream};
//!
//! # async fn example() -> tidemill_core::Result<()> {
//! let project = Project::open(std::path::Path::new("."));
//! let job = project.job("chicago-arrests", &Settings::from_environment())?;
//! let options = stream::StreamOptions { available_now: true, max_batches: None };
//! let stop = Arc::new(AtomicBool::new(false));
//! let summary = stream::run(&job, &Lake::new("lake"), &options, stop, &mut |_| {}).await?;
//! println!("{} rows in {} batches", summary.rows, summary.batches);
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod calendar;
pub mod checkpoint;
pub mod clock;
mod columns;
pub mod decode;
mod depth;
pub mod doctor;
mod error;
mod exact;
pub mod files;
mod json;
pub mod lake;
pub mod learn;
pub mod memory;
mod panics;
pub mod progress;
pub mod project;
pub mod records;
pub mod rowwise;
pub mod source;
pub mod sql;
pub mod state;
pub mod stream;
pub mod table;

pub use error::{Context, Error, ErrorKind, Result};
