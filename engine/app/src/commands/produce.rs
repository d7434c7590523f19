//! `tidemill produce`: rows of a file or a table to the topic of a job.

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, StreamJob};

use super::{job, lake, project};
use crate::bars::Bar;
use crate::cli::{GlobalArgs, ProduceArgs};
use crate::exit::{Done, print_line};
use crate::notes::note;
use crate::produce::{ProduceOptions, produce};
use crate::signals::{self, Stop};
use crate::style;

/// Sends the rows and prints how many were delivered. A signal ends it after what was sent is acknowledged.
pub(crate) async fn run(global: &GlobalArgs, args: &ProduceArgs) -> Done {
    let project = project(global);
    let job = job(&project, &args.job, args.brokers.as_deref(), &[])?;
    let stop = signals::watch("waiting for what was sent to be acknowledged; once more stops at once")?;
    let options = ProduceOptions {
        input: args.input.clone(),
        month: args.month,
        rate: args.rate,
        rows: args.rows,
        brokers: args.brokers.clone(),
        topic: args.topic.clone(),
        partitions: args.partitions,
    };
    let rows = with_bar(&options, args.rows, &project, &lake(global), &job, &stop).await?;
    print_line(&format!("{} delivered", style::rows(rows)))?;
    Ok(stop.outcome())
}

/// Sends with a progress bar and gives the rows delivered. Used by the demo too.
pub(super) async fn with_bar(
    options: &ProduceOptions,
    total: Option<u64>,
    project: &Project,
    lake: &Lake,
    job: &StreamJob,
    stop: &Stop,
) -> Done<u64> {
    let bar = Bar::rows("produce", total);
    let summary = produce(options, project, lake, job, &stop.flag(), &mut |rows| bar.set(rows)).await?;
    let made = if summary.created { "made for it, " } else { "" };
    let partitions = if summary.partitions == 1 { "partition" } else { "partitions" };
    let speed = style::count((summary.rows as f64 / summary.elapsed.as_secs_f64().max(1e-3)) as u64);
    bar.finish(&format!(
        "{} to the topic {} ({made}{} {partitions}, {speed} rows/s)",
        style::rows(summary.rows),
        summary.topic,
        summary.partitions
    ));
    for (reason, rows) in &summary.dropped {
        note(format_args!("{} of the file not sent: {reason}", style::rows(*rows)));
    }
    Ok(summary.rows)
}
