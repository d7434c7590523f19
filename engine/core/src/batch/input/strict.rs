//! A CSV file read slowly, cell by cell, to say which row is bad and why.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use std::sync::Arc;

use super::csv::{Columns, Refused, delimiter};
use crate::batch::csv_file::{CsvFile, LINE};
use crate::error::{Error, Result};

/// The error of the first bad row; what the fast way said if none is found.
pub(super) fn explain(columns: &Columns<'_>, refused: Refused) -> Error {
    match refused {
        Refused::Other(error) => error,
        Refused::Row(reason) => first_error(columns)
            .unwrap_or_else(|| Error::data(reason).context(columns.path().display().to_string())),
    }
}

/// The error of the first row that cannot be read; `None` if all can.
pub(super) fn first_error(columns: &Columns<'_>) -> Option<Error> {
    look(columns).err()
}

fn look(columns: &Columns<'_>) -> Result<()> {
    let mut file = CsvFile::open_as(columns.path(), delimiter(columns.format()), columns.encoding())?;
    let schema = columns.file_schema();
    let typed: Vec<usize> = columns
        .of_file()?
        .into_iter()
        .filter(|at| *schema.field(*at).data_type() != DataType::Utf8View)
        .collect();
    // By place: a heading may be empty in the file.
    let headings: Vec<String> = typed.iter().map(|at| file.header()[*at].clone()).collect();
    while let Some(batch) = file.next_batch(&headings)? {
        let mut first: Option<(usize, usize, String)> = None;
        for (column, at) in typed.iter().enumerate() {
            let cells = batch.column(column).as_string::<i32>();
            let kind = schema.field(*at).data_type();
            if parse(cells, kind).is_ok() {
                continue;
            }
            let bad = (0..cells.len()).find_map(|row| Some((row, parse(&cells.slice(row, 1), kind).err()?)));
            if let Some((row, reason)) = bad
                && first.as_ref().is_none_or(|known| (row, *at) < (known.0, known.1))
            {
                first = Some((row, *at, reason));
            }
        }
        if let Some((row, at, reason)) = first {
            let line = batch.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
            let line = line.map_or(0, |lines| lines.value(row));
            let place =
                format!("{}, line {line}, column {}", columns.path().display(), schema.field(at).name());
            return Err(Error::data(reason).context(place).hint(
                "mend the cell, or empty it: an empty cell is a null; or leave the column as text in the job",
            ));
        }
    }
    Ok(())
}

/// The cells as Arrow's CSV reader makes them, so that what is bad here is what is bad there.
///
/// # Errors
/// What a cell is not.
pub(in crate::batch) fn parse(cells: &StringArray, kind: &DataType) -> std::result::Result<ArrayRef, String> {
    let mut text = Vec::new();
    for cell in cells.iter() {
        // The first cell keeps a row of an empty one from being a blank line.
        let quoted = cell.map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).unwrap_or_default();
        writeln!(text, "x,{quoted}").map_err(|e| e.to_string())?;
    }
    let fields = vec![Field::new("x", DataType::Utf8, true), Field::new("cell", kind.clone(), true)];
    let mut reader = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_batch_size(cells.len().max(1))
        .with_projection(vec![1])
        .build(text.as_slice())
        .map_err(|e| e.to_string())?;
    match reader.next() {
        Some(Ok(batch)) => Ok(batch.column(0).clone()),
        Some(Err(_)) => {
            let cell = cells.iter().flatten().next().unwrap_or_default();
            Err(format!("`{cell}` is no {}", words(kind)))
        }
        None => Ok(arrow::array::new_empty_array(kind)),
    }
}

/// A type as the job writes it.
fn words(kind: &DataType) -> String {
    match kind {
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Date32 => "DATE (YYYY-MM-DD)".into(),
        DataType::Timestamp(..) => "TIMESTAMP (YYYY-MM-DD hh:mm:ss)".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        other => other.to_string(),
    }
}
