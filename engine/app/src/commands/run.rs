//! `tidemill run`: a job's tables, and what came of files and tables.

mod model;
mod sample;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use tidemill_core::batch::{self, RunEvent, RunOptions, RunReport, TableOutcome};
use tidemill_core::project::{BatchJob, Settings};
use tidemill_core::records::InputReport;
use tidemill_core::{Error, Result};

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
    let rows = rows(&report)?;
    // A program is told all; a person reads what went wrong, and nothing that looks like a result.
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

/// Of what was read of the file as it lies there, about.
fn megabytes_a_second(input: &InputReport) -> Option<f64> {
    let seconds = input.seconds.filter(|seconds| *seconds > 0.0)?;
    let share = input.rows_read as f64 / (input.rows_read + input.rows_skipped).max(1) as f64;
    Some(rounded(input.bytes as f64 * share / 1e6 / seconds))
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// One line of the report.
#[derive(Default)]
struct Step {
    table: String,
    step: &'static str,
    file: Option<String>,
    form: Option<String>,
    outcome: String,
    rows: Option<u64>,
    bytes: Option<u64>,
    seconds: Option<f64>,
    mb_per_second: Option<f64>,
    peak_memory_bytes: Option<u64>,
    reason: Option<String>,
}

/// The report as rows: of each table and model what was read of each file, what was dropped of it, what its audits found, and what
/// was built; at the end the run. Its `bytes` are the most that the process had of memory. The seconds of a file are those
/// of its reader: files are read beside each other.
fn rows(report: &RunReport) -> Result<RecordBatch> {
    let mut steps = Vec::new();
    for table in &report.tables {
        for input in &table.inputs {
            let step = |outcome: &str, rows| Step {
                table: table.table.clone(),
                step: "read",
                file: Some(input.path.clone()),
                form: input.form.clone(),
                outcome: outcome.to_owned(),
                rows: Some(rows),
                ..Step::default()
            };
            let taken = if input.form.is_some() { "in the table" } else { "read" };
            steps.push(Step {
                bytes: Some(input.bytes),
                seconds: input.seconds.map(rounded),
                reason: match &input.found_types {
                    _ if has_no_rows(input) => Some(NO_ROWS.to_owned()),
                    found => found.as_ref().map(|types| format!("types found: {types}")),
                },
                mb_per_second: megabytes_a_second(input),
                ..step(taken, input.rows_out)
            });
            if input.rows_skipped > 0 {
                steps.push(step("skipped by WHERE", input.rows_skipped));
            }
            steps.extend(input.dropped.iter().map(|drop| step(&drop.reason, drop.rows)));
        }
        steps.extend(table.audits.iter().map(|audit| Step {
            table: table.table.clone(),
            step: "audit",
            outcome: format!("{} {}", audit.audit, if audit.bad_rows == 0 { "passed" } else { "failed" }),
            rows: Some(audit.bad_rows),
            seconds: Some(rounded(audit.seconds)),
            ..Step::default()
        }));
        let outcome = match table.outcome {
            TableOutcome::Built => table.model.as_ref().map_or("built", model::outcome),
            TableOutcome::Unchanged => "unchanged",
            TableOutcome::Failed => "failed",
            TableOutcome::Skipped => "not built",
        };
        let made = matches!(table.outcome, TableOutcome::Built | TableOutcome::Unchanged);
        steps.push(Step {
            table: table.table.clone(),
            step: if table.is_model { "train" } else { "build" },
            outcome: outcome.to_owned(),
            reason: table.reason.clone().or_else(|| model::scores(table.model.as_ref()?)),
            rows: made.then_some(table.rows),
            bytes: made.then_some(table.bytes),
            seconds: Some(rounded(table.seconds)),
            ..Step::default()
        });
    }
    steps.push(Step {
        table: report.job.clone(),
        step: "run",
        outcome: if report.error.is_some() { "failed" } else { "done" }.to_owned(),
        bytes: report.peak_resident_bytes,
        seconds: Some(rounded(report.seconds)),
        peak_memory_bytes: Some(report.peak_memory_bytes),
        ..Step::default()
    });
    let texts = |text: fn(&Step) -> Option<&str>| -> ArrayRef {
        Arc::new(steps.iter().map(text).collect::<StringArray>())
    };
    let counts = |count: fn(&Step) -> Option<u64>| -> ArrayRef {
        Arc::new(steps.iter().map(count).collect::<UInt64Array>())
    };
    let floats = |float: fn(&Step) -> Option<f64>| -> ArrayRef {
        Arc::new(steps.iter().map(float).collect::<Float64Array>())
    };
    RecordBatch::try_from_iter([
        ("table", texts(|step| Some(&step.table))),
        ("step", texts(|step| Some(step.step))),
        ("file", texts(|step| step.file.as_deref())),
        ("form", texts(|step| step.form.as_deref())),
        ("outcome", texts(|step| Some(&step.outcome))),
        ("rows", counts(|step| step.rows)),
        ("bytes", counts(|step| step.bytes)),
        ("seconds", floats(|step| step.seconds)),
        ("mb_per_second", floats(|step| step.mb_per_second)),
        ("peak_memory_bytes", counts(|step| step.peak_memory_bytes)),
        ("reason", texts(|step| step.reason.as_deref())),
    ])
    .map_err(Error::from)
}
