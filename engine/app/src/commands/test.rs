//! `tidemill test`: the unit tests of a job's SQL, with what differs.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use tidemill_core::batch::{self, SqlTestReport};
use tidemill_core::project::Settings;
use tidemill_core::{Error, Result};

use super::{environment, project};
use crate::cli::{GlobalArgs, TestArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Room, write_rows};
use crate::visible::visible;

/// Runs the tests; what differs is said on stderr.
pub(crate) async fn run(global: &GlobalArgs, args: &TestArgs) -> Done {
    let project = project(global);
    let job = project.batch_job(&args.job, &Settings { sets: Vec::new(), environment: environment() })?;
    let reports = batch::test(&project, &job, &args.select).await?;
    for report in reports.iter().filter(|report| !report.diff.is_empty()) {
        note(format_args!("{}: {} differs (- expected, + came)", report.test, report.table));
        report.diff.iter().for_each(|line| note(format_args!("  {}", visible(line))));
    }
    let rows = rows(&reports)?;
    let written = write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        &[rows],
        args.output.format,
        Room::of_stdout(),
    );
    match reports.iter().filter(|report| !report.diff.is_empty()).count() {
        0 => written.map(|()| Outcome::Done),
        1 => Err(Error::data(format!("1 of {} tests has failed", reports.len())).into()),
        failed => Err(Error::data(format!("{failed} of {} tests have failed", reports.len())).into()),
    }
}

fn rows(reports: &[SqlTestReport]) -> Result<RecordBatch> {
    let texts = |text: fn(&SqlTestReport) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(reports.iter().map(text)))
    };
    let counts = |count: fn(&SqlTestReport) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(reports.iter().map(count)))
    };
    Ok(RecordBatch::try_from_iter([
        ("test", texts(|report| &report.test)),
        ("table", texts(|report| &report.table)),
        ("outcome", texts(|report| if report.diff.is_empty() { "passed" } else { "failed" })),
        ("expected_rows", counts(|report| report.expected_rows)),
        ("rows", counts(|report| report.rows)),
    ])?)
}
