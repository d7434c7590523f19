//! Arguments of the verbs of batch jobs and their tables: `run`, `test`, `describe`.

use bytesize::ByteSize;
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
    /// Memory of joins, sorts and aggregates, such as 512MB or 2GiB; what needs more spills to disk, or says that it cannot
    #[arg(long, value_name = "SIZE", value_parser = size_bytes)]
    pub(crate) memory_limit: Option<u64>,
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
fn size_bytes(text: &str) -> Result<u64, String> {
    match text.trim().parse::<ByteSize>() {
        // What is past the most that fits is taken for that by the library.
        Ok(ByteSize(bytes)) if bytes > 0 && bytes < u64::MAX => Ok(bytes),
        _ => Err(format!("`{text}` is no size, such as 512MB or 2GiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size_bytes("512MB"), Ok(512_000_000));
        assert_eq!(size_bytes("2 GiB"), Ok(2 << 30));
        assert_eq!(size_bytes("64m"), Ok(64_000_000));
        assert_eq!(size_bytes("1.5GB"), Ok(1_500_000_000));
        for wrong in ["", "MB", "0", "-1MB", "12 parsecs", "99999999999999999999GB"] {
            assert!(size_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
