//! The report of a run in full, as `--format json` and `-v` have it: a row for each file, audit and table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use tidemill_core::batch::{RunReport, TableOutcome, TableReport};
use tidemill_core::records::InputReport;
use tidemill_core::{Error, Result};

use super::{NO_ROWS, has_no_rows, model};

/// Of what was read of the file as it lies there, about.
fn megabytes_a_second(input: &InputReport) -> Option<f64> {
    let seconds = input.seconds.filter(|seconds| *seconds > 0.0)?;
    let share = input.rows_read as f64 / (input.rows_read + input.rows_skipped).max(1) as f64;
    Some(rounded(input.bytes as f64 * share / 1e6 / seconds))
}

pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// What was done about a table or model, in a word.
pub(super) fn outcome(table: &TableReport) -> &'static str {
    match table.outcome {
        TableOutcome::Built => table.model.as_ref().map_or("built", model::outcome),
        TableOutcome::Unchanged => "unchanged",
        TableOutcome::Failed => "failed",
        TableOutcome::Skipped => "not built",
    }
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
pub(super) fn rows(report: &RunReport) -> Result<RecordBatch> {
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
        let outcome = outcome(table);
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
