//! The report of a run for people: a row for each table and model, in 80 columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use tidemill_core::batch::{RunReport, TableOutcome, TableReport};
use tidemill_core::{Error, Result};

use super::steps::{outcome, rounded};
use super::{NO_ROWS, has_no_rows, model};
use crate::style;

/// Of each table and model what was done, its rows, and why it is so, where there is something to say.
pub(super) fn rows(report: &RunReport) -> Result<RecordBatch> {
    let tables = &report.tables;
    // Without the job's name, which all have.
    let names: StringArray = tables.iter().map(|table| table.table.rsplit('.').next()).collect();
    let outcomes: StringArray = tables.iter().map(|table| Some(outcome(table))).collect();
    let made = |table: &TableReport| matches!(table.outcome, TableOutcome::Built | TableOutcome::Unchanged);
    let counts: UInt64Array = tables.iter().map(|table| made(table).then_some(table.rows)).collect();
    let seconds: Float64Array = tables.iter().map(|table| Some(rounded(table.seconds))).collect();
    let reasons: Vec<Option<String>> = tables.iter().map(why).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        (if tables.iter().any(|table| table.is_model) { "table or model" } else { "table" }, Arc::new(names)),
        ("outcome", Arc::new(outcomes)),
        ("rows", Arc::new(counts)),
        ("seconds", Arc::new(seconds)),
    ];
    if reasons.iter().any(Option::is_some) {
        columns.push(("why", Arc::new(reasons.into_iter().collect::<StringArray>())));
    }
    RecordBatch::try_from_iter(columns).map_err(Error::from)
}

fn why(table: &TableReport) -> Option<String> {
    if let Some(reason) = &table.reason {
        return Some(reason.clone());
    }
    if let Some(model) = &table.model {
        return model::scores(model);
    }
    let dropped: u64 = table.inputs.iter().flat_map(|input| &input.dropped).map(|drop| drop.rows).sum();
    let read: u64 = table.inputs.iter().map(|input| input.rows_read).sum();
    match table.inputs.iter().find(|input| has_no_rows(input)) {
        Some(input) => Some(format!("{}: {NO_ROWS}", input.path)),
        None => {
            (dropped > 0).then(|| format!("{} of {} read dropped", style::count(dropped), style::count(read)))
        }
    }
}
