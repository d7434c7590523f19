//! Arguments of the verbs of batch jobs and their tables: `run`, `test`, `describe`.

use clap::Args;

use super::OutputArgs;

/// `tidemill run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The batch job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Files of an input instead of the job's, one or several; NAME= may be left out where there is one input
    #[arg(long, value_name = "[NAME=]FILE", num_args = 1..)]
    pub(crate) input: Vec<String>,
    /// Only these tables: TABLE, TABLE+ (and all that read it), +TABLE (and all that it reads)
    #[arg(long, value_name = "TABLE", num_args = 1.., value_delimiter = ',', allow_hyphen_values = false)]
    pub(crate) select: Vec<String>,
    /// Print the order of the tables and what each reads; build nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Build also the tables of which nothing has changed
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `tidemill test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The batch job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Only these tests
    #[arg(long, value_name = "TEST", num_args = 1..)]
    pub(crate) select: Vec<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `tidemill describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The table, as in SQL
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A size in bytes: `512MB` is 512 million, `2GiB` is 2 * 2^30.
pub(super) fn size_bytes(text: &str) -> Result<u64, String> {
    tidemill_core::memory::size_bytes(text)
        .ok_or_else(|| format!("`{text}` is no size, such as 512MB or 2GiB"))
}
