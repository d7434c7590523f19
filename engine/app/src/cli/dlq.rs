//! Arguments of `tidemill dlq`.

use clap::{Args, Subcommand};

use super::{OutputArgs, key_value};

/// `tidemill dlq`.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show the dead letters of a job: where each came from, what was wrong, what it says
    #[command(after_help = "\
A message that cannot be decoded or transformed goes to the dead letters of its
batch, with the error, and the stream goes on. The payload is text where it is
UTF-8, else hexadecimal; a table shows its beginning, the other formats all of
it. replayed_in is the batch that fed the letter through again.
Of a batch job they are rows of its files that could not be read, where an input
has on_error = \"dead_letter\": file, line, what is wrong. Mend the files and run
the job again.

Examples:
  tidemill dlq show chicago-arrests
  tidemill dlq show chicago-arrests --batch 3 --limit 20
  tidemill dlq show chicago-arrests --format json
  tidemill dlq show my-batch-job --format csv")]
    Show(DlqShowArgs),
    /// Feed the dead letters through the job as it is now, each exactly once
    #[command(after_help = "\
Mend the job's SQL first. A replay is a batch of its own: it reads the letters
from the lake instead of Kafka, and its rows keep the topic, partition, offset
and timestamp of their messages. What fails again is a dead letter of that
batch and waits for the next replay. The stream must not run meanwhile.

Examples:
  tidemill dlq replay chicago-arrests
  tidemill --project my-project dlq replay chicago-arrests --brokers 10.0.0.5:9092")]
    Replay(DlqReplayArgs),
}

/// `tidemill dlq show`.
#[derive(Debug, Args)]
pub(crate) struct DlqShowArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Only the letters of this batch (of a batch job: this version)
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<u64>,
    /// Only the first N letters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `tidemill dlq replay`.
#[derive(Debug, Args)]
pub(crate) struct DlqReplayArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// Kafka brokers, instead of the job's source.kafka.bootstrap_servers
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub(crate) brokers: Option<String>,
    /// Override a key of the job file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) sets: Vec<(String, String)>,
}
