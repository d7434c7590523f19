//! A table's Delta log, by which other engines read it as a table: what of its files counts, at which version, with which
//! columns.
//!
//! ```text
//! JOB/TABLE/batch-00000007.parquet                              a file, as the records list it
//! JOB/TABLE/_delta_log/00000000000000000007.json                what batch 7 adds and takes out
//!                      00000000000000000100.checkpoint.parquet  all files that count at version 100
//!                      _last_checkpoint                         which checkpoint is the newest: a hint
//! ```
//!
//! Version N of a stream's table is batch N, which adds to it. Version N of a batch job's is build N, which is all of it: its files
//! are below `JOB/TABLE/_versions`, a checkpoint is there every 10 versions, and as many builds can be read as are kept.
//!
//! The log says what the records say and nothing that they do not: SQL here never reads it, and what is lost of it is written
//! anew from them. It follows them: commit, renames, the version, every 100 versions a checkpoint. So while no driver runs it
//! may be one batch behind, and a start brings it up. Its bytes are a function of the records (times are the plan's, keys are
//! sorted), but for where a log begins that came later than its table.
//!
//! | what is there at a start | what is done |
//! | --- | --- |
//! | no log, and rows | it begins at the newest batch, with a checkpoint that has all files |
//! | a log that is behind | the versions that lack are written; where more than 200 (10 builds) lack it begins anew |
//! | a version cut off (nothing of the log is flushed, a power cut may take the end of it), or gone | it is written anew |
//! | the newest checkpoint cannot be read, or is gone | it is written anew |
//! | an older one cannot be read, or is gone | what cannot be read without it is taken out |
//! | the log cannot be written | nothing: the job goes on without it, and says so |
//! | a version that is not of this job | nothing: the log is left as it is, and each start says so |
//!
//! Files that compaction has made others of (`dataChange: false`) are told by the version of the batch that comes next.
//!
//! A column of a type that Delta has not, or of a name that it forbids, is a table without a log (`schema`): a stream's stays as it
//! is; a build's is removed, so that nobody takes an older build for the newest. Others are kept
//! from writing by a writer feature that no other engine knows, `tidemill`.

mod action;
mod builds;
mod checkpoint;
mod examine;
mod folder;
mod publish;
mod repair;
mod replay;
mod schema;
mod statistics;

pub(crate) use examine::examine;
pub(crate) use publish::Publisher;
pub(crate) use statistics::{NanColumns, nan_columns};

#[cfg(test)]
mod tests;
