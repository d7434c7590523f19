//! Arguments of `tidemill sql`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

/// `tidemill sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// One SELECT, or several separated by `;`
    #[arg(conflicts_with = "file")]
    pub(crate) statement: Option<String>,
    /// Read the statements from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Read a file of the lake only if all its bytes are those that were committed, not its size alone
    #[arg(long)]
    pub(crate) verify: bool,
    /// Read the lake as it was after this batch of --job; one table alone: FROM crimes VERSION AS OF 40
    #[arg(long, value_name = "N", requires = "job")]
    pub(crate) as_of_batch: Option<u64>,
    /// The job whose batch --as-of-batch names
    #[arg(long, value_name = "JOB", requires = "as_of_batch")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
