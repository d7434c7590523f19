//! One module a verb. Each takes its arguments, calls the engine and prints; none decides anything of the engine's.

mod broker;
mod compact;
mod data;
mod demo;
mod describe;
mod dlq;
mod doctor;
mod export;
pub(crate) mod metrics;
mod models;
mod plot;
mod predict;
mod produce;
mod run;
pub(crate) mod sql;
mod stream;
mod test;

use std::future::Future;
use std::time::{Duration, SystemTime};

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::{Error, clock, memory};

use crate::cli::{Cli, Command, DataCommand, DlqCommand, GenerateCommand, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::invocation;

/// Does what the command line asks.
pub(crate) fn run(cli: &Cli) -> Done {
    let global = &cli.global;
    clock::check(SystemTime::now())?;
    if let Some(program) = invocation::this_program() {
        tidemill_core::stream::guard_with(program, ["guard"]);
    }
    match &cli.command {
        Command::Demo(args) => block_on(demo::run(global, args)),
        Command::Stream(args) => block_on(stream::run(global, args)),
        Command::Run(args) => block_on(run::run(global, args)),
        Command::Test(args) => block_on(test::run(global, args)),
        Command::Describe(args) => block_on(describe::run(global, args)),
        Command::Sql(args) => block_on(sql::run(global, args)),
        Command::Metrics(args) => block_on(metrics::run(global, args)),
        Command::Models(command) => block_on(models::run(global, command)),
        Command::Predict(args) => block_on(predict::run(global, args)),
        Command::Plot(args) => block_on(plot::run(global, args)),
        Command::Compact(args) => block_on(compact::run(global, args)),
        Command::Doctor(args) => doctor::run(global, args),
        Command::Dlq(DlqCommand::Show(args)) => block_on(dlq::show(global, args)),
        Command::Dlq(DlqCommand::Replay(args)) => block_on(dlq::replay(global, args)),
        Command::Produce(args) => block_on(produce::run(global, args)),
        Command::Broker(args) => block_on(broker::run(args)),
        Command::Data(DataCommand::Generate(GenerateCommand::ChicagoCrimes(args))) => {
            data::chicago_crimes(args)
        }
        Command::Data(DataCommand::Generate(GenerateCommand::Olist(args))) => data::olist(args),
        Command::Data(DataCommand::Generate(GenerateCommand::OnlineRetail(args))) => {
            data::online_retail(args)
        }
        Command::Guard => block_on(async {
            tidemill_core::stream::serve_guard().await?;
            Ok(Outcome::Done)
        }),
    }
}

/// What is said at the first signal of a batch that is finished before the end, and of one that is not.
const FINISHING: &str = "finishing the batch in hand; once more stops at once";
const LEAVING: &str = "leaving the batch in hand to the next start, as its messages are decoded in processes of their own; \
                       once more stops at once";

/// How long a command that has ended waits for its threads.
const MOMENT: Duration = Duration::from_millis(200);

/// Runs a command on a runtime of its own.
fn block_on(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // A thread that reads a file may wait for whoever takes its rows: there are more than wait at once.
        .max_blocking_threads(4_096)
        .enable_all()
        .build()
        .map_err(|e| Error::internal(format!("cannot start the threads of the runtime: {e}")))?;
    let result = runtime.block_on(command);
    // What still runs in the background holds nothing that would be lost. The threads are given a moment to end by themselves:
    // glibc's pthread_detach, which letting go of them at once comes to, reads a thread that has just ended (the crash of
    // uxlfoundation/oneTBB#334).
    runtime.shutdown_timeout(MOMENT);
    result
}

/// The lake that the flags name.
fn lake(global: &GlobalArgs) -> Lake {
    Lake::new(global.lake_dir())
}

/// The project that the flags name.
fn project(global: &GlobalArgs) -> Project {
    Project::open(global.project_dir())
}

/// The job with `sets` and, before them, the brokers of `--brokers` and the limit of `--memory-limit` over its file and the environment.
fn job(
    project: &Project,
    name: &str,
    brokers: Option<&str>,
    sets: &[(String, String)],
) -> Result<StreamJob, Error> {
    let brokers = brokers.map(|hosts| ("source.kafka.bootstrap_servers".to_string(), hosts.to_string()));
    let memory = memory::given().map(|bytes| ("memory_limit".to_string(), bytes.to_string()));
    let sets = brokers.into_iter().chain(memory).chain(sets.iter().cloned()).collect();
    project.stream_job(name, &Settings { sets, environment: environment() })
}

/// The environment, without what is no text (nothing of ours is).
fn environment() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// An error of the broker, as one of the engine's.
fn broker_error(error: tidemill_broker::Error) -> Error {
    use tidemill_broker::ErrorKind as Theirs;
    use tidemill_core::ErrorKind as Ours;
    let kind = match error.kind() {
        Theirs::User => Ours::User,
        Theirs::Storage => Ours::Storage,
        Theirs::Corrupt => Ours::Corrupt,
        _ => Ours::Internal,
    };
    Error::new(kind, error.to_string())
}
