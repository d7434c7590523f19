//! `tidemill dlq`: the messages that could not be read or transformed, and feeding them through again; of a batch job, the
//! rows of its files that could not be read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use tidemill_core::batch::committed_versions;
use tidemill_core::lake::Lake;
use tidemill_core::project::{BatchJob, Job, Settings, StreamJob};
use tidemill_core::stream::StreamEvent;
use tidemill_core::stream::replay::{self, committed_replays};
use tidemill_core::{Error, catalog};

use super::{FINISHING, LEAVING, environment, job, lake, project};
use crate::cli::{DlqReplayArgs, DlqShowArgs, GlobalArgs};
use crate::exit::{Done, Outcome, print_line};
use crate::notes::note;
use crate::output::{Format, Room, write_rows};
use crate::report::Line;
use crate::{invocation, report, signals, style};

/// Characters of a payload that a table shows.
const SHOWN: usize = 60;

/// Prints the dead letters, oldest batch first.
pub(crate) async fn show(global: &GlobalArgs, args: &DlqShowArgs) -> Done {
    let lake = lake(global);
    let project = project(global);
    let settings = Settings { sets: Vec::new(), environment: environment() };
    let rows = match project.job(&args.job, &settings)? {
        Job::Batch(job) => bad_rows(&lake, &job, args).await?,
        Job::Stream(job) => messages(&lake, &job, args).await?,
    };
    write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        std::slice::from_ref(&rows),
        args.output.format,
        Room::of_stdout(),
    )?;
    Ok(Outcome::Done)
}

/// The messages of a stream.
async fn messages(lake: &Lake, job: &StreamJob, args: &DlqShowArgs) -> Result<RecordBatch, Error> {
    check_checkpoint(lake, &job.name, &job.schema_name, "stream")?;
    let columns = "batch_id AS batch, topic, \"partition\", \"offset\", \"timestamp\", stage, error, payload";
    let rows = letters(lake, &job.name, &job.schema_name, columns, args, args.batch.map(|batch| vec![batch]))
        .await?;
    let replays = committed_replays(lake, &job.schema_name)?;
    let replayed: UInt64Array = rows["batch"]
        .as_primitive::<UInt64Type>()
        .iter()
        .map(|batch| {
            let batch = batch?;
            replays.iter().find(|(_, r)| (r.from..r.to).contains(&batch)).map(|(number, _)| *number)
        })
        .collect();
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = rows.columns().to_vec();
    fields.push(Field::new("replayed_in", DataType::UInt64, true));
    columns.push(Arc::new(replayed));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The rows of a batch job's files, as they are in the versions that count now.
async fn bad_rows(lake: &Lake, job: &BatchJob, args: &DlqShowArgs) -> Result<RecordBatch, Error> {
    check_checkpoint(lake, &job.name, &job.schema_name, "run")?;
    let made = committed_versions(lake, &job.schema_name)?;
    let of_version =
        |version: u64| made.iter().filter(move |(_, (_, of))| *of == version).map(|(commit, _)| *commit);
    let columns = "batch_id AS version, topic AS file, \"offset\" AS line, error, payload";
    let commits = args.batch.map(|version| of_version(version).collect());
    let rows = letters(lake, &job.name, &job.schema_name, columns, args, commits).await?;
    // A letter has the number of the commit that it came with: what that made is a version of a table.
    let commits = rows["version"].as_primitive::<UInt64Type>();
    let versions: UInt64Array =
        commits.iter().map(|commit| made.get(&commit?).map(|(_, version)| *version)).collect();
    let mut fields = vec![Field::new("version", DataType::UInt64, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(versions)];
    fields.extend(rows.schema().fields().iter().skip(1).map(|field| field.as_ref().clone()));
    columns.extend(rows.columns().iter().skip(1).cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Columns of the dead letters of a job, of these batches or of all, the last of them the payload as text (hexadecimal after
/// `0x` where it is no UTF-8). Older versions of Tidemill wrote a batch job by the name of its schema.
async fn letters(
    lake: &Lake,
    job: &str,
    schema_name: &str,
    columns: &str,
    args: &DlqShowArgs,
    batches: Option<Vec<u64>>,
) -> Result<RecordBatch, Error> {
    let session = catalog::open_session(lake).await?;
    let quoted = super::metrics::quoted;
    let mut condition = format!("job IN ({}, {})", quoted(job), quoted(schema_name));
    if let Some(batches) = batches {
        let any = batches.iter().map(|batch| format!("batch_id = {batch}")).collect::<Vec<_>>().join(" OR ");
        condition.push_str(&format!(" AND ({})", if any.is_empty() { "false" } else { &any }));
    }
    let limit = args.limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    let statement = format!(
        "SELECT {columns} FROM system.dead_letters WHERE {condition} \
         ORDER BY batch_id, topic, \"partition\", \"offset\"{limit}"
    );
    let batches = catalog::query(&session, lake, &statement).await?;
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Err(Error::internal("system.dead_letters answered without a schema"));
    };
    let rows = concat_batches(&schema, &batches)?;
    let most = (args.output.format == Format::Table).then_some(SHOWN);
    let payloads = rows["payload"].as_binary::<i32>();
    let texts: StringArray =
        payloads.iter().map(|bytes| bytes.map(|bytes| payload_text(bytes, most))).collect();
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = rows.columns().to_vec();
    fields.pop();
    columns.pop();
    fields.push(Field::new("payload", DataType::Utf8, true));
    columns.push(Arc::new(texts) as ArrayRef);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Feeds what was not replayed yet through the job as it is now; a line on stdout for each batch.
pub(crate) async fn replay(global: &GlobalArgs, args: &DlqReplayArgs) -> Done {
    let lake = lake(global);
    let job = job(&project(global), &args.job, args.brokers.as_deref(), &args.sets)?;
    check_checkpoint(&lake, &job.name, &job.schema_name, "stream")?;
    let stop = signals::watch(FINISHING)?;
    let mut output: Done<()> = Ok(());
    let mut out = 0;
    let end = stop.flag();
    let summary = replay::replay(&job, &lake, stop.flag(), &mut |event| match event {
        StreamEvent::HistoryTakesLong { batches } => note(report::history_takes_long(batches)),
        StreamEvent::Planned { .. } => stop.say(FINISHING),
        StreamEvent::Guarded { .. } => stop.say(LEAVING),
        StreamEvent::Batch(progress) => {
            out += progress.sink.num_output_rows;
            if output.is_ok() {
                output = print_line(&report::batch_line(progress, Line::of_stdout(global.verbose)));
            }
            if output.is_err() {
                end.store(true, std::sync::atomic::Ordering::Release);
            }
        }
        _ => {}
    })
    .await?;
    output?;
    if summary.batches == 0 {
        note(format_args!("{}: no dead letter is left to replay", job.name));
    } else {
        note(format_args!(
            "{}: {} fed again, {} of them in the table now, {} again dead",
            job.name,
            style::count(summary.rows),
            style::count(out),
            style::count(summary.dead_letters)
        ));
    }
    Ok(stop.outcome())
}

/// An error where the job never ran in this lake: a replay would make an empty checkpoint.
pub(super) fn check_checkpoint(lake: &Lake, job: &str, schema_name: &str, verb: &str) -> Result<(), Error> {
    if lake.checkpoint(schema_name).is_dir() {
        return Ok(());
    }
    let (what, flag) = if verb == "run" { ("tables", "") } else { ("batches", " --available-now") };
    Err(Error::user(format!("job {job} has no {what} in the lake {}", style::folder(lake.root()))).hint(
        format!(
            "name another lake with --lake DIR, or {verb} the job first: {} {verb} {job}{flag}",
            invocation::of_this_process()
        ),
    ))
}

fn payload_text(bytes: &[u8], most: Option<usize>) -> String {
    // A terminal is not to obey what a message says: control characters are shown as escapes.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if most.is_some() => {
            let head = text.chars().take(SHOWN + 1);
            head.map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
        }
        Ok(text) => text.to_owned(),
        Err(_) => {
            let shown = most.map_or(bytes.len(), |most| bytes.len().min(most));
            let digits: String = bytes[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{digits}")
        }
    };
    match most {
        Some(most) if text.chars().count() > most => {
            text.chars().take(most - 1).chain(std::iter::once('…')).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_text_where_they_can_be() {
        assert_eq!(payload_text(b"{\"a\": 1}", None), "{\"a\": 1}");
        assert_eq!(payload_text(&[0xff, 0x00], None), "0xff00");
        assert_eq!(payload_text("bell \u{7}\n".as_bytes(), Some(60)), "bell \\u{7}\\n");
        let long = "é".repeat(500);
        assert_eq!(payload_text(long.as_bytes(), None), long);
        assert_eq!(payload_text(long.as_bytes(), Some(60)), "é".repeat(59) + "…");
        assert_eq!(payload_text(&[0xff; 500], Some(60)).chars().count(), 60);
    }
}
