//! `tidemill produce`: rows of a file or table become JSON messages on a job's topic.
//!
//! ```text
//! CSV, gzip ──the form's SQL──> clean rows ──messages.sql──> JSON lines ──> sender (rdkafka), row n to partition n mod p
//! table of the lake, Parquet, CSV ──────────messages.sql──> JSON lines ──┘                  or by the hash of its key
//! ```
//!
//! One batch of a file is in hand at a time, so memory does not grow with the file; a SELECT over a table gives all its
//! rows, in its own order. A row is counted when the broker has acknowledged it, not when it was sent.

mod messages;
mod rate;
mod rows;
mod sender;
#[cfg(test)]
mod test_file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidemill_core::Result;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, StreamJob};

pub(crate) use rate::Rate;

use messages::Messages;
use sender::Sender;

/// Longest wait for the first answer of a broker.
const ANSWER: Duration = Duration::from_secs(8);
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What to send and where.
#[derive(Debug, Clone)]
pub(crate) struct ProduceOptions {
    /// CSV in a form that the job knows, plain or gzip, or a file in the place of the table that it reads.
    pub(crate) input: Option<PathBuf>,
    /// Keep only rows of this month, 1 to 12.
    pub(crate) month: Option<u32>,
    /// How fast.
    pub(crate) rate: Rate,
    /// Stop after this many rows; `None` for all.
    pub(crate) rows: Option<u64>,
    /// Instead of the job's brokers, `host:port,host:port`.
    pub(crate) brokers: Option<String>,
    /// Instead of the job's topic.
    pub(crate) topic: Option<String>,
    /// Partitions of the topic if it has to be created; `None` for one.
    pub(crate) partitions: Option<u32>,
}

/// What was done.
#[derive(Debug, Clone)]
pub(crate) struct ProduceSummary {
    /// Rows that the broker has acknowledged: all that were sent.
    pub(crate) rows: u64,
    /// The topic they are on.
    pub(crate) topic: String,
    /// Partitions of the topic.
    pub(crate) partitions: u32,
    /// The topic was not there before.
    pub(crate) created: bool,
    /// Rows of the file that the cleaning has dropped and that were not sent, by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// From the first row to the last acknowledgement.
    pub(crate) elapsed: Duration,
}

/// Sends the file's rows. `on_progress` is told the rows delivered so far, some ten times a second; when `stop` is set
/// what was sent is still waited for and summed up.
///
/// # Errors
/// User: no such file, no known form, SQL that is none; Data: a cell that cannot be cast, a file that is cut
/// off; Source: no broker answers, or a row was not delivered.
pub(crate) async fn produce(
    options: &ProduceOptions,
    project: &Project,
    lake: &Lake,
    job: &StreamJob,
    stop: &AtomicBool,
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ProduceSummary> {
    // What is wrong with the file is told before anything is asked of a broker.
    let sql_path = format!("sql/{}/messages.sql", job.schema_name);
    let input = options.input.as_deref();
    let mut messages =
        Messages::open(project, lake, &sql_path, input, options.month, &job.source.schema).await?;

    let brokers = options.brokers.as_deref().unwrap_or(&job.source.bootstrap_servers);
    let topic = options.topic.as_deref().unwrap_or(&job.source.topic);
    let partitions = options.partitions.unwrap_or(1);
    let mut sender = Sender::connect(brokers, topic, partitions, &job.source.options, ANSWER).await?;

    let start = Instant::now();
    let sent = send_rows(options, &mut messages, &mut sender, stop, on_progress).await;
    // Whatever ended it, what was sent gets its answer, and a row that was not delivered is the first thing to know.
    sender.finish(on_progress).await?;
    sent.map_err(|e| e.context(format!("after {} rows were delivered", sender.delivered())))?;
    Ok(ProduceSummary {
        rows: sender.delivered(),
        topic: topic.to_owned(),
        partitions: sender.partitions(),
        created: sender.created(),
        dropped: messages.dropped(),
        elapsed: start.elapsed(),
    })
}

/// Sends rows until the file ends, enough are sent, `stop` is set or one was not delivered.
async fn send_rows(
    options: &ProduceOptions,
    messages: &mut Messages,
    sender: &mut Sender,
    stop: &AtomicBool,
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> Result<()> {
    let start = Instant::now();
    let most = options.rows.unwrap_or(u64::MAX);
    let mut reported = start;
    while sender.sent() < most {
        let Some(lines) = messages.next_lines().await? else { break };
        let json = lines.json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (at, line) in json.enumerate() {
            if sender.sent() == most {
                break;
            }
            let key = lines.keys.get(at).and_then(|key| key.as_deref());
            options.rate.wait(start, sender.sent(), stop).await;
            if stop.load(Ordering::Acquire) || !sender.send(line, key, stop).await? {
                return Ok(());
            }
            if reported.elapsed() > REPORT_EVERY {
                reported = Instant::now();
                on_progress(sender.delivered());
            }
        }
    }
    Ok(())
}
