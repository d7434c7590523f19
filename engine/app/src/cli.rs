//! The command line: every verb, flag and its help. What the verbs do is in `commands`.

mod batch;
mod compact;
mod data;
mod dlq;
mod doctor;
pub(crate) mod metrics;
mod models;
mod plot;
mod sql;
mod stream;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use batch::{DescribeArgs, RunArgs, TestArgs};
pub(crate) use compact::CompactArgs;
pub(crate) use data::{DataCommand, GenerateArgs, GenerateCommand, GenerateFolderArgs};
pub(crate) use dlq::{DlqCommand, DlqReplayArgs, DlqShowArgs};
pub(crate) use doctor::DoctorArgs;
pub(crate) use metrics::{Evaluation, MetricsArgs};
pub(crate) use models::{ExportArgs, ExportFormat, ModelsCommand, PredictArgs};
pub(crate) use plot::{PlotArgs, PlotWhat};
pub(crate) use sql::SqlArgs;
pub(crate) use stream::{ProgressFormat, StreamArgs};

use crate::output::Format;
use crate::produce::Rate;

/// Batch and microbatch analytics in one binary: Kafka to Parquet exactly once, models retrained at every batch.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    styles = Styles::styled().header(AnsiColor::Green.on_default().bold()).literal(AnsiColor::Cyan.on_default().bold()),
    after_help = "\
Examples:
  tidemill demo                                  the whole way once, offline
  tidemill stream chicago-arrests                follow a Kafka topic
  tidemill run chicago-crimes --input FILE       build a job's tables of files
  tidemill metrics chicago-arrests               accuracy and AUC by batch
  tidemill sql \"SELECT count(*) FROM crimes\"     query the lake's tables
  tidemill sql                                   a prompt

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 data loss refused,
4 checkpoint held by another driver, 130 or 143 stopped by a signal."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// Folder that holds tables, checkpoints, models and metrics [env: TIDEMILL_LAKE] [default: ./lake]
    #[arg(long, global = true, value_name = "DIR")]
    lake: Option<PathBuf>,
    /// Folder with jobs/ and sql/; what is not there is taken from the built-in ones
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Memory for reading, joins, sorts, aggregates and results, such as 512MB or 2GiB: what needs more spills to disk, or
    /// says that it cannot [default: half of the machine's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = batch::size_bytes)]
    pub(crate) memory_limit: Option<u64>,
    /// Where a partition ends for a stream that takes what is available now: what a driver that begins anew tells itself
    #[arg(long, hide = true, value_name = "PARTITION:END", value_parser = partition_end)]
    pub(crate) until: Vec<(i32, i64)>,
    /// Say on stderr what the engine does; twice for details
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No colour (as does the environment variable NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

impl GlobalArgs {
    /// The lake: flag, then `TIDEMILL_LAKE`, then `./lake`.
    pub(crate) fn lake_dir(&self) -> PathBuf {
        let environment =
            || std::env::var_os("TIDEMILL_LAKE").filter(|value| !value.is_empty()).map(PathBuf::from);
        self.lake.clone().or_else(environment).unwrap_or_else(|| PathBuf::from("lake"))
    }

    /// The lake where the flag was given. The demo makes its folder anew and so does not take it from the environment.
    pub(crate) fn explicit_lake(&self) -> Option<&Path> {
        self.lake.as_deref()
    }

    /// The project folder.
    pub(crate) fn project_dir(&self) -> &Path {
        &self.project
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole way once: crimes through Kafka's protocol, batches, models, metrics
    #[command(after_help = "\
Starts a small Kafka broker of its own on a free loopback port, produces
generated crimes to it, streams them in batches into the lake ./demo and
retrains the models at each batch. Needs no network and no Kafka.
The folder is made anew each time; one that the demo has not made is left alone.

Examples:
  tidemill demo
  tidemill demo --rows 200000
  tidemill --lake /tmp/tide demo")]
    Demo(DemoArgs),
    /// Run a job's microbatches: read Kafka, append to Parquet exactly once, retrain, score
    #[command(after_help = "\
Runs until stopped. Ctrl-C or SIGTERM finishes and commits the batch in hand;
a second one stops at once, and the next start runs that batch again.
Started again it goes on where it was: it commits at once, and learns once the
history of its models is read. -v says of each batch where its time went.
Without new messages it says once that it waits; with --progress json, as an
object of numInputRows 0 and idleSince.

Examples:
  tidemill stream chicago-arrests
  tidemill stream chicago-arrests --brokers 10.0.0.5:9092 --available-now
  tidemill stream chicago-arrests --batches 5 --set source.max_offsets_per_trigger=5000
  tidemill stream chicago-arrests --progress json | jq .numInputRows")]
    Stream(StreamArgs),
    /// Run a batch job: files to tables, by a folder of SELECTs
    #[command(after_help = "\
Each SELECT in the job's folder is one table. They are built in the order that
their SQL needs, some at the same time; a table of which nothing has changed
(SELECT, settings, files, tables that it reads) is left as it is. A table is
replaced as a whole or, at any error, not at all; the others go on.

--input names other files than the job's. --select takes tables by name:
`wide+` and all that read it, `+wide` and all that it reads.

What came of each table is printed on stdout. -v, and the formats for programs,
have what came of each file too: rows read, rows left out by reason, rows that
an audit found, rows and bytes of the table, and the peaks: of the memory that
is limited, and (bytes, on Linux) of the whole process. The seconds of a file
are those that its reader took to decompress, decode and parse it, MB/s those of
the file as it lies there; files are read side by side.

Examples:
  tidemill data generate chicago-crimes --rows 10000 --seed 1 --out crimes.csv
  tidemill run chicago-crimes --input crimes.csv
  tidemill run chicago-crimes --input 2014.csv.gz 2015.csv 2016.csv.gz --format json
  tidemill run chicago-crimes --input register=crimes.csv --select crimes+ --dry-run
  tidemill run chicago-crimes --input crimes.csv --force --memory-limit 512MB
  tidemill sql \"SELECT date_precision, count(*) FROM chicago_crimes.crimes GROUP BY 1\"")]
    Run(RunArgs),
    /// Run the unit tests of a batch job's SQL: rows in, rows out
    #[command(after_help = "\
A test is a folder tests/NAME beside the job's SQL: INPUT.csv or TABLE.csv are
rows to read, expected_TABLE.csv what a table must be then. A heading
`price::DOUBLE` gives its cells a type other than the job's; a table's cells are
text without. Of what is expected the columns that are there are compared, rows
in any order, floats to nine digits. Exits with 1 if a test fails.

Examples:
  tidemill test olist
  tidemill test olist --select late_orders")]
    Test(TestArgs),
    /// Query the tables of the lake; without a statement, a prompt
    #[command(after_help = "\
A job's tables are job.table, with hyphens as underscores; a bare name works
where it is unique. System tables: system.batches, system.metrics,
system.models, system.dead_letters, system.data_loss.
Without a statement it is a prompt on a terminal; otherwise statements are
read from stdin. A table as it was: VERSION AS OF a batch of its stream (or a
build of a batch job), TIMESTAMP AS OF a time, UTC where it does not say.

Examples:
  tidemill sql \"SELECT hour, count(*) AS n FROM crimes GROUP BY hour ORDER BY n\"
  tidemill sql \"SELECT count(*) FROM crimes VERSION AS OF 40\"
  tidemill sql \"SELECT * FROM olist.rfm TIMESTAMP AS OF '2026-11-30 12:00:00'\"
  tidemill sql --job olist-rfm --as-of-batch 40 \"SELECT count(*) FROM customers\"
  tidemill sql --file report.sql --format csv > report.csv
  echo 'SELECT count(*) FROM chicago_arrests.crimes' | tidemill sql --format json
  tidemill sql \"SELECT * FROM 'sales/*.csv.gz' LIMIT 10\"
  tidemill sql")]
    Sql(SqlArgs),
    /// Show the figures of a table's columns: count, nulls, distinct, mean, std, quartiles
    #[command(after_help = "\
The figures are those of pandas' describe: quartiles interpolated, the standard
deviation that of a sample, a NaN a missing value. Text has a least and a
greatest value, a boolean a mean (the share of true), a time all but a deviation.

Examples:
  tidemill describe chicago_crimes.crimes
  tidemill describe system.metrics --format json")]
    Describe(DescribeArgs),
    /// Show the metrics of a job: a row for each batch, model and evaluation
    #[command(after_help = "\
holdout      over the held-out rows of all batches so far, which no model trains on
prequential  the model of the batch before, on all rows of this batch before it
             learns from them
sample       over 1,000 drawn rows of a stateful job's state, after the batch, all
             clusterings in one space: deviations of these rows, capped at their fences
exact        the newest clusterings of a stateful job over its whole state, now, in
             the space of all its rows
compare      accuracy, AUC and log loss (of clusterings silhouette, Davies-Bouldin
             and Calinski-Harabasz) of two models (or of the same models in two
             lakes) beside each other: the difference is first minus second, the
             row `all` (a null batch_id for programs) has the means and who was
             better how often; a batch in which either has no value is not counted
best         the row of the best model at the last batch
Both are over the hold-out, or the sample of a job without one, unless
--evaluation says otherwise.

Examples:
  tidemill metrics chicago-arrests
  tidemill metrics chicago-arrests --model forest --evaluation holdout --last 5
  tidemill metrics chicago-arrests --compare forest logistic
  tidemill metrics chicago-arrests --compare-lake /tmp/other --model forest
  tidemill metrics chicago-arrests --best --by log_loss
  tidemill metrics olist-rfm --exact
  tidemill metrics chicago-arrests --format json")]
    Metrics(MetricsArgs),
    /// Show the models of a lake: those in use, their versions, settings and scores
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Ask a trained model about the rows of a file
    #[command(after_help = "\
The rows come back with a column `prediction` and, by a classifier, `probability`:
of the class that is looked for; of many classes `probability_CLASS` for each.
They have either the model's features or what its features SELECT reads (the
columns of the job's table); the target need not be there. A row that the SELECT
leaves out has no prediction.
In SQL: predict('job.model', feature, …), predict_proba, cluster_id, score.

Examples:
  tidemill predict chicago-arrests forest --input some.csv --format csv
  tidemill predict chicago-arrests forest@batch:3 --input crimes.parquet
  cat rows.ndjson | tidemill predict chicago-arrests forest --input - --input-format nd-json")]
    Predict(PredictArgs),
    /// Draw a metric or centres over batches, the elbow of a clustering, or a job's figures: in the terminal, .svg or .html
    #[command(after_help = "\
A line a model: solid on held-out rows, dashed prequential (the new batch before
it is learned). A batch without a value, such as the AUC of one class, is a gap.
The page is the drawing with its values in a table; it needs no network.
elbow prints and draws inertia and silhouette of k-means by number of clusters, on
the state of a stateful job as it is now, and marks the elbow: the point farthest
below the chord of the inertia curve. centres draws where a clustering's centres
went.

Examples:
  tidemill plot chicago-arrests metrics
  tidemill plot chicago-arrests metrics --metric log_loss
  tidemill plot chicago-arrests metrics --metric auc --out auc.svg
  tidemill plot chicago-arrests metrics --out auc.html
  tidemill plot olist eda --out figures.svg
  tidemill plot olist-rfm elbow --k 2..12
  tidemill plot olist-rfm centres --metric monetary --out centres.svg")]
    Plot(PlotArgs),
    /// Make the many small files of a stream's tables few, as the stream does between its batches
    #[command(after_help = "\
A stream does so by itself, for each 100 batches that are learned from: rows,
their order, models and scores stay as they are. This does all that is due at
once, as of a lake of an earlier version, and removes the files that became
others longer ago than [table] retain_removed. The stream must not run meanwhile.

Examples:
  tidemill compact chicago-arrests
  tidemill compact chicago-arrests --set table.retain_removed=0s")]
    Compact(CompactArgs),
    /// Look whether the lake is what its records say: each record, the size and checksum of each file
    #[command(after_help = "\
A row for each thing that is wrong: a record that is gone or cannot be read, a
file that is gone or of another size or content than its record says, a file
that lies beside a table's and is in no record, a Delta log that says otherwise
than the records. Nothing is changed.
Exits with 1 if anything is wrong.

Examples:
  tidemill doctor
  tidemill doctor chicago-arrests --format json")]
    Doctor(DoctorArgs),
    /// Show the messages that failed, and feed them through again after a fix
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Send the rows of a file or table to the Kafka topic of a job
    #[command(after_help = "\
The file is a CSV, plain or .gz, in any form that the job knows by its header
(for chicago-arrests those of `tidemill run chicago-crimes`) and is cleaned by
the same SQL, but rows with an id seen before are sent too. Columns that the form
does not have are ignored. Rows go out in file order, row n to partition n modulo
the number of partitions, by an idempotent producer.
A job whose messages.sql names a table (olist-rfm: olist.wide) reads it from the
lake, or from --input, in the order of its SELECT; where messages have a key, its
hash decides the partition.
Exits with 1 if a row was not delivered.

Examples:
  tidemill data generate chicago-crimes --rows 10000 --seed 1 --out crimes.csv
  tidemill produce chicago-arrests --input crimes.csv
  tidemill produce chicago-arrests --input crimes.csv.gz --month 3 --rate 1/s
  tidemill produce olist-rfm
  tidemill produce olist-rfm --input wide.parquet --rows 10000")]
    Produce(ProduceArgs),
    /// Run the embedded Kafka broker as a process of its own, for development
    #[command(after_help = "\
It listens on loopback only and knows neither replication, transactions nor
group rebalancing: use Apache Kafka in production
(https://kafka.apache.org/quickstart). The address is printed once it accepts.

Examples:
  tidemill broker
  tidemill broker --listen 127.0.0.1:0 --data-dir /tmp/broker")]
    Broker(BrokerArgs),
    /// Make data sets
    #[command(subcommand)]
    Data(DataCommand),
    /// Decode and transform the messages that come in by stdin: `stream` calls this where a batch has ended it before
    #[command(hide = true)]
    Guard,
}

/// `tidemill demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Crimes to generate
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..=5_000_000))]
    pub(crate) rows: u64,
}

/// `--format`.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "table|csv|json|nd-json|markdown", hide_possible_values = true)]
    pub(crate) format: Format,
}

/// `tidemill produce`.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The job whose topic gets the rows
    pub(crate) job: String,
    /// A CSV in a form that the job knows, plain or .gz; a Parquet or CSV file in the place of the table that it reads
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Only rows of this month
    #[arg(long, value_name = "1-12", value_parser = clap::value_parser!(u32).range(1..=12))]
    pub(crate) month: Option<u32>,
    /// Rows per second, such as 1/s or 500/s, or max
    #[arg(long, value_name = "N/s|max", default_value = "max", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Stop after this many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rows: Option<u64>,
    /// Kafka brokers, instead of the job's source.kafka.bootstrap_servers
    #[arg(long, value_name = "HOST:PORT[,…]")]
    pub(crate) brokers: Option<String>,
    /// The topic, instead of the job's source.kafka.subscribe
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Partitions of the topic where it has to be made; 1 if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partitions: Option<u32>,
}

/// `tidemill broker`.
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Folder of the topics' logs
    #[arg(long, value_name = "DIR", default_value = "broker-data")]
    pub(crate) data_dir: PathBuf,
}

/// Reads the command line; a wrong one ends the process with a message and exit code 2.
///
/// # Errors
/// Help and version, which were asked for, and what is wrong with the line.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    // Clap colours its help before the flags are read.
    if std::env::args_os().any(|argument| argument == "--no-color") {
        command = command.color(ColorChoice::Never);
    }
    let matches = command.try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// A rate; clap prints the error, so the hint goes into its text.
fn rate(text: &str) -> Result<Rate, String> {
    text.parse::<Rate>().map_err(|e| e.next_step().map_or(e.to_string(), |step| format!("{e}: {step}")))
}

/// `HOST:PORT`, where a host that is a name is looked up.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|e| format!("{e}; expected HOST:PORT, such as 127.0.0.1:9092"))?;
    found.next().ok_or_else(|| format!("`{text}` has no address"))
}

/// `key=value` with a dotted key. The value is everything after the first `=`.
fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("expected KEY=VALUE, such as source.max_offsets_per_trigger=5000")?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(|part| part.trim().is_empty()) {
        return Err(format!("`{key}` is not a dotted key, such as source.max_offsets_per_trigger"));
    }
    Ok((key.to_string(), value.trim().to_string()))
}

fn partition_end(text: &str) -> Result<(i32, i64), String> {
    let parts =
        text.split_once(':').and_then(|(partition, end)| Some((partition.parse().ok()?, end.parse().ok()?)));
    parts.ok_or_else(|| "expected PARTITION:END, such as 0:100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_set_is_split_at_its_first_equals_sign() {
        assert_eq!(key_value("a.b=1"), Ok(("a.b".into(), "1".into())));
        assert_eq!(key_value("a = x=y "), Ok(("a".into(), "x=y".into())));
        assert_eq!(key_value("a="), Ok(("a".into(), String::new())));
        for wrong in ["a", "=1", "a..b=1", ".a=1", ""] {
            assert!(key_value(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn global_flags_are_read_before_and_after_the_verb() {
        for line in [["tidemill", "--lake", "x", "sql"], ["tidemill", "sql", "--lake", "x"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.lake_dir(), PathBuf::from("x"));
        }
    }

    #[test]
    fn every_example_in_the_help_parses() {
        let mut commands = vec![Cli::command()];
        let mut seen = 0;
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|line| line.trim().strip_prefix("tidemill ")) {
                // What follows two spaces explains, and what follows | or > is the shell's.
                let line = line.split("  ").next().unwrap().split(['|', '>']).next().unwrap();
                let words = line.split('"').enumerate().flat_map(|(part, text)| {
                    if part % 2 == 1 { vec![text] } else { text.split_whitespace().collect() }
                });
                Cli::try_parse_from(["tidemill"].into_iter().chain(words))
                    .unwrap_or_else(|e| panic!("{line}: {e}"));
                seen += 1;
            }
        }
        assert!(seen > 15, "only {seen} examples");
    }
}
