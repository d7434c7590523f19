//! `tidemill run`: files to a table, and what became of their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use tidemill_core::batch::{FileSummary, RunSummary};
use tidemill_core::{Error, batch};

use super::{lake, project};
use crate::bars::Bar;
use crate::cli::{GlobalArgs, RunArgs};
use crate::exit::{Done, Outcome};
use crate::output::{Room, write_rows};
use crate::style;

/// Runs the job and prints, for each file, how many rows are in the table and how many are not, by reason.
pub(crate) async fn run(global: &GlobalArgs, args: &RunArgs) -> Done {
    let job = project(global).batch_job(&args.job)?;
    let bar = Bar::rows("run", None);
    bar.say(job.forms.table.clone());
    let summary = batch::run(&job, &lake(global), &args.input, &mut |rows| bar.set(rows)).await?;
    let read: u64 = summary.files.iter().map(|file| file.rows_read).sum();
    bar.finish(&format!(
        "{} in {}, {} dropped, version {}",
        style::rows(summary.rows),
        summary.table,
        style::count(read - summary.rows),
        summary.version
    ));
    let table = outcomes(&summary)?;
    write_rows(
        &mut std::io::stdout().lock(),
        &table.schema(),
        std::slice::from_ref(&table),
        args.output.format,
        Room::of_stdout(),
    )?;
    Ok(Outcome::Done)
}

/// A row a file for the rows that are in the table, and one for each reason why others are not.
fn outcomes(summary: &RunSummary) -> Result<RecordBatch, Error> {
    let rows: Vec<(&FileSummary, &str, u64)> = summary
        .files
        .iter()
        .flat_map(|file| {
            let dropped = file.dropped.iter().map(move |d| (file, d.reason.as_str(), d.rows));
            [(file, "in the table", file.rows_out)].into_iter().chain(dropped)
        })
        .collect();
    let texts = |text: fn(&(&FileSummary, &str, u64)) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(text(row))).collect::<StringArray>())
    };
    let counts: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<UInt64Array>());
    Ok(RecordBatch::try_from_iter([
        ("file", texts(|row| row.0.path.display().to_string())),
        ("form", texts(|row| row.0.form.clone())),
        ("outcome", texts(|row| row.1.to_owned())),
        ("rows", counts),
    ])?)
}
