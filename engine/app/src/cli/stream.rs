//! Arguments of `tidemill stream`.

use clap::{Args, ValueEnum};

use super::key_value;

/// `tidemill stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Kafka brokers, instead of the job's source.kafka.bootstrap_servers
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub(crate) brokers: Option<String>,
    /// Read what is there now, then stop
    #[arg(long)]
    pub(crate) available_now: bool,
    /// Stop after this many batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batches: Option<u64>,
    /// Override a key of the job file, e.g. source.max_offsets_per_trigger=5000; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) sets: Vec<(String, String)>,
    /// How batches are reported on stdout
    #[arg(long, value_enum, default_value_t = ProgressFormat::Text, value_name = "text|json", hide_possible_values = true)]
    pub(crate) progress: ProgressFormat,
}

/// How `stream` reports batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressFormat {
    /// A line a batch for people.
    Text,
    /// A JSON object a line, with Spark's field names.
    Json,
}
