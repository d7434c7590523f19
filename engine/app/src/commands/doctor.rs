//! `tidemill doctor`: what in a lake is not what its records say.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tidemill_core::doctor::{Finding, examine};
use tidemill_core::{Error, ErrorKind};

use super::lake;
use crate::cli::{DoctorArgs, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Room, write_rows};
use crate::style;

/// Prints a row for each thing that is wrong; one is a failure.
pub(crate) fn run(global: &GlobalArgs, args: &DoctorArgs) -> Done {
    let report = examine(&lake(global), args.job.as_deref())?;
    let format = args.output.format;
    let mut written = Ok(());
    if !report.findings.is_empty() || !format.is_for_people() {
        let rows = rows(&report.findings)?;
        written =
            write_rows(&mut std::io::stdout().lock(), &rows.schema(), &[rows], format, Room::of_stdout());
    }
    note(format_args!(
        "{} records read; {} files with {} bytes are as their records say",
        style::count(report.records),
        style::count(report.files),
        style::count(report.bytes)
    ));
    for told in &report.notes {
        note(told);
    }
    match report.findings.len() {
        0 => written.map(|()| Outcome::Done),
        1 => Err(Error::new(ErrorKind::Corrupt, "one thing in the lake is not as its records say").into()),
        many => {
            let what = format!("{many} things in the lake are not as its records say");
            Err(Error::new(ErrorKind::Corrupt, what).into())
        }
    }
}

fn rows(findings: &[Finding]) -> Result<RecordBatch, Error> {
    type Cell = fn(&Finding) -> &str;
    let columns: [(&str, Cell); 4] = [
        ("job", |finding| &finding.job),
        ("about", |finding| finding.about),
        ("problem", |finding| &finding.problem),
        ("what_to_do", |finding| &finding.advice),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let cells = columns
        .iter()
        .map(|(_, cell)| Arc::new(StringArray::from_iter_values(findings.iter().map(cell))) as ArrayRef);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), cells.collect())?)
}
