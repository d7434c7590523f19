//! `tidemill run`: a job's tables, and what came of files and tables.

mod model;
mod sample;
mod steps;
mod summary;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use tidemill_core::Result;
use tidemill_core::batch::{self, RunEvent, RunOptions, RunReport, TableOutcome};
use tidemill_core::project::{BatchJob, Settings};
use tidemill_core::records::InputReport;

use super::{environment, lake, project};
use crate::bars::TableBars;
use crate::cli::{GlobalArgs, RunArgs};
use crate::exit::{Done, Outcome};
use crate::notes::{Lossy, note};
use crate::output::{Room, write_rows};
use crate::style;

/// What is said of a file that is a header and nothing else: tables are replaced all the same.
const NO_ROWS: &str = "the file has no rows";

/// Builds the tables and prints the report; with `--dry-run`, the order.
pub(crate) async fn run(global: &GlobalArgs, args: &RunArgs) -> Done {
    let settings = Settings { sets: Vec::new(), environment: environment() };
    let job = project(global).batch_job(&args.job, &settings)?;
    let format = args.output.format;
    if args.dry_run {
        let rows = order(&batch::plan(&job, &lake(global), &args.select)?)?;
        write_rows(&mut std::io::stdout().lock(), &rows.schema(), &[rows], format, Room::of_stdout())?;
        return Ok(Outcome::Done);
    }
    let options = RunOptions {
        inputs: given(&job, &args.input),
        select: args.select.clone(),
        force: args.force,
        memory_limit_bytes: Some(tidemill_core::memory::limit()),
    };
    let bars = TableBars::new();
    let mut warned = BTreeSet::new();
    let report = batch::run(&job, &lake(global), &options, &mut |event| match event {
        RunEvent::Started { table, progress } => bars.start(table, progress),
        RunEvent::Finished(table) => {
            let name = table.table.rsplit('.').next().unwrap_or_default();
            bars.finish(name, &line(table));
            for input in table.inputs.iter().filter(|input| has_no_rows(input)) {
                if warned.insert(input.path.clone()) {
                    bars.say(&format!("warning: {}: {NO_ROWS}", input.path));
                }
            }
        }
    })
    .await
    .map_err(|error| sample::offer(error, &job))?;
    drop(bars);
    note(peaks(&report));
    // A program is told all, and so is who asks for more.
    let rows = match format.is_for_people() && global.verbose == 0 {
        true => summary::rows(&report)?,
        false => steps::rows(&report)?,
    };
    // A person reads what went wrong, and nothing that looks like a result.
    let written = match (&report.error, format.is_for_people()) {
        (Some(_), true) => write_rows(&mut Lossy, &rows.schema(), &[rows], format, Room::of_stdout()),
        _ => write_rows(&mut std::io::stdout().lock(), &rows.schema(), &[rows], format, Room::of_stdout()),
    };
    // What went wrong counts, also where the report could not be written.
    match report.error {
        Some(error) => Err(error.into()),
        None => written.map(|()| Outcome::Done),
    }
}

/// `--input`: what is before a `=` is a name where the job has such an input; files without one go on with the last.
fn given(job: &BatchJob, words: &[String]) -> Vec<(Option<String>, Vec<PathBuf>)> {
    let mut given: Vec<(Option<String>, Vec<PathBuf>)> = Vec::new();
    for word in words {
        let named = word.split_once('=').filter(|(name, _)| {
            let plain = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            job.inputs.iter().any(|input| input.name == *name)
                || (plain && !std::path::Path::new(word).exists())
        });
        match (named, given.last_mut()) {
            (Some((name, file)), _) => given.push((Some(name.to_owned()), vec![PathBuf::from(file)])),
            (None, Some((_, files))) => files.push(PathBuf::from(word)),
            (None, None) => given.push((None, vec![PathBuf::from(word)])),
        }
    }
    given
}

/// What became of a table, in a line.
fn line(table: &batch::TableReport) -> String {
    let version = table.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let name = &table.table;
    match table.outcome {
        TableOutcome::Built if table.model.is_some() => {
            let time = style::duration_ms((table.seconds * 1e3) as u64);
            let what = table.model.as_ref().map(|of| model::line(of, table.version)).unwrap_or_default();
            format!("{name}: {what}, {} answered, in {time}", style::rows(table.rows))
        }
        TableOutcome::Built => {
            let read: u64 = table.inputs.iter().map(|input| input.rows_read).sum();
            let dropped: u64 =
                table.inputs.iter().flat_map(|input| &input.dropped).map(|drop| drop.rows).sum();
            let dropped =
                if dropped > 0 { format!(", {} dropped", style::count(dropped)) } else { String::new() };
            let read =
                if read > 0 { format!(" of {} read{dropped}", style::count(read)) } else { String::new() };
            let time = style::duration_ms((table.seconds * 1e3) as u64);
            format!("{name}: {}{read}{version} in {time}", style::rows(table.rows))
        }
        TableOutcome::Unchanged => format!("{name}: unchanged, {}{version}", style::rows(table.rows)),
        TableOutcome::Failed => {
            let reason = table.reason.as_deref().unwrap_or_default();
            format!("{name}: failed; the table is as it was: {reason}")
        }
        TableOutcome::Skipped => {
            format!("{name}: not built: {}", table.reason.as_deref().unwrap_or_default())
        }
    }
}

/// The memory that the run took, in a line.
fn peaks(report: &RunReport) -> String {
    let megabytes = |bytes: u64| format!("{} MB", style::count(bytes.div_ceil(1_000_000)));
    let process = report.peak_resident_bytes.map(|bytes| format!(", the process {}", megabytes(bytes)));
    let time = style::duration_ms((report.seconds * 1e3) as u64);
    let joins = megabytes(report.peak_memory_bytes);
    format!(
        "{} in {time}; at most {joins} for joins, sorts and groups{}",
        report.job,
        process.unwrap_or_default()
    )
}

fn order(plan: &[(String, Vec<String>)]) -> Result<RecordBatch> {
    let places: ArrayRef = Arc::new(UInt64Array::from_iter_values(1..=plan.len() as u64));
    let tables: ArrayRef = Arc::new(StringArray::from_iter_values(plan.iter().map(|(table, _)| table)));
    let reads: ArrayRef =
        Arc::new(StringArray::from_iter_values(plan.iter().map(|(_, reads)| reads.join(", "))));
    Ok(RecordBatch::try_from_iter([("order", places), ("table", tables), ("reads", reads)])?)
}

/// Neither read nor left out for the WHERE.
fn has_no_rows(input: &InputReport) -> bool {
    input.rows_read == 0 && input.rows_skipped == 0
}
