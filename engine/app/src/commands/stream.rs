//! `tidemill stream`: the microbatch driver, with a line on stdout for each batch.

use std::time::Instant;

use tidemill_core::Error;
use tidemill_core::progress::BatchProgress;
use tidemill_core::project::{StreamJob, Trigger};
use tidemill_core::stream::{self, StreamEvent, StreamOptions};

use super::{FINISHING, LEAVING, job, lake, project};
use crate::cli::{GlobalArgs, ProgressFormat, StreamArgs};
use crate::exit::{Done, Failure, print_line};
use crate::notes::note;
use crate::report::Line;
use crate::{invocation, report, signals, style};

/// Runs until what was asked for is done or a signal asks for the end.
pub(crate) async fn run(global: &GlobalArgs, args: &StreamArgs) -> Done {
    let start = Instant::now();
    let lake = lake(global);
    let job = job(&project(global), &args.job, args.brokers.as_deref(), &args.sets)?;
    if let Some(program) = invocation::this_program() {
        let most = args.batches;
        stream::begin_anew_with(move |goes_on| {
            let words = invocation::words_of_what_is_left(std::env::args_os(), most, goes_on);
            (invocation::this_program_by_name().unwrap_or_else(|| program.clone()), words)
        });
    }
    let stop = signals::watch(FINISHING)?;
    let until = (!global.until.is_empty()).then(|| global.until.iter().copied().collect());
    let options = StreamOptions { available_now: args.available_now, max_batches: args.batches, until };
    note(format_args!(
        "{}: topic {} at {} into the lake {}",
        job.name,
        job.source.topic,
        job.source.bootstrap_servers,
        style::folder(lake.root())
    ));
    // A reader of stdout that has gone ends the stream as a signal does: after the batch in hand.
    let mut output: Done<()> = Ok(());
    let end = stop.flag();
    let room = Line::of_stdout(global.verbose);
    let mut waits = false;
    let summary = stream::run(&job, &lake, &options, stop.flag(), &mut |event| {
        match event {
            StreamEvent::Ready { latest_batch, startup_ms } => {
                let from = match latest_batch {
                    Some(batch_id) => format!("going on after batch {batch_id}"),
                    None => "no batch yet".to_string(),
                };
                note(format_args!("ready in {}, {from}", style::duration_ms(startup_ms)));
            }
            StreamEvent::Planned { .. } => stop.say(FINISHING),
            StreamEvent::Guarded { .. } => stop.say(LEAVING),
            StreamEvent::Batch(progress) if output.is_ok() => {
                waits = false;
                output = line(progress, args.progress, room).and_then(|line| print_line(&line));
            }
            // Once, not at each interval without a message.
            StreamEvent::Idle if !waits && output.is_ok() => {
                waits = true;
                output = say_that_it_waits(&job, args.progress);
            }
            StreamEvent::HistoryTakesLong { batches } => note(report::history_takes_long(batches)),
            StreamEvent::Learned { batch_id } => {
                note(format_args!("batch {batch_id} is learned from, which was committed before this start"));
            }
            _ => {}
        }
        if output.is_err() {
            end.store(true, std::sync::atomic::Ordering::Release);
        }
    })
    .await?;
    output?;
    let batches = style::count(summary.batches);
    let dead = match summary.dead_letters {
        0 => String::new(),
        dead if dead == summary.rows => ", all of them dead letters,".to_owned(),
        dead => format!(", {} of them dead letters,", style::count(dead)),
    };
    note(format_args!(
        "{batches} {} with {}{dead} in {}",
        if summary.batches == 1 { "batch" } else { "batches" },
        style::rows(summary.rows),
        style::duration_ms(style::elapsed_ms(start))
    ));
    Ok(stop.outcome())
}

/// That there is nothing new, since when, and what is waited for.
fn say_that_it_waits(job: &StreamJob, format: ProgressFormat) -> Done<()> {
    // What takes what is there and ends waits for nothing.
    let Trigger::ProcessingTime(interval) = job.trigger else { return Ok(()) };
    let every = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let (topic, now) = (&job.source.topic, jiff::Timestamp::now());
    let timestamp = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    match format {
        ProgressFormat::Text => {
            let since = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
            let every = style::duration_ms(every);
            note(format_args!("waits since {since} for new messages of topic {topic}; looks every {every}"));
            Ok(())
        }
        ProgressFormat::Json => print_line(
            &serde_json::json!({
                "name": job.name, "timestamp": timestamp, "numInputRows": 0, "idleSince": timestamp,
                "topic": topic, "triggerMs": every,
            })
            .to_string(),
        ),
    }
}

fn line(progress: &BatchProgress, format: ProgressFormat, room: Line) -> Result<String, Failure> {
    match format {
        ProgressFormat::Text => Ok(report::batch_line(progress, room)),
        ProgressFormat::Json => Ok(serde_json::to_string(progress).map_err(|e| {
            Error::internal(format!("the progress of batch {} is no JSON: {e}", progress.batch_id))
        })?),
    }
}
