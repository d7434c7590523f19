//! A CSV file read slowly, cell by cell: to say which row is bad and why, or to set the bad rows aside.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::compute::filter;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};

use super::csv::{Columns, Refused};
use super::number::{self, Unfit, Wanted};
use super::{DeadLetter, Progress, moment};
use crate::batch::csv_file::{BadRow, CsvFile, LINE};
use crate::error::{Error, Result};
pub(super) use crate::exact::words;

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

fn open(columns: &Columns<'_>) -> Result<(CsvFile, Vec<Option<usize>>)> {
    let file = CsvFile::open_as(columns.path(), columns.csv(), columns.delimiter(), columns.encoding())?;
    let places = (0..file.header().len()).map(Some).collect();
    Ok((file, places))
}

fn look(columns: &Columns<'_>) -> Result<()> {
    let (mut file, places) = open(columns)?;
    let schema = columns.file_schema();
    let typed = columns.typed();
    while let Some(rows) = file.next_at(&places, None)? {
        let mut first: Option<(usize, usize, String)> = None;
        for at in &typed {
            let (cells, field) = (rows.text.column(*at).as_string::<i32>(), schema.field(*at));
            let (_, bad) = values(cells, &columns.wanted(field))?;
            let bad =
                bad.first().map(|(row, unfit)| (*row, *at, unfit.tell(cells.value(*row), field.data_type())));
            first = first.into_iter().chain(bad).min();
        }
        if let Some((row, at, reason)) = first {
            let line = rows.text.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
            let line = line.map_or(0, |lines| lines.value(row));
            let place =
                format!("{}, line {line}, column {}", columns.path().display(), schema.field(at).name());
            return Err(Error::data(reason).context(place).hint(
                "mend the cell, or empty it: an empty cell is a null, as are those of null_values = [\"NA\"] in the job; or leave the column as text in the job; or on_error = \"dead_letter\"",
            ));
        }
    }
    Ok(())
}

/// Line and column of the first cell that is this text.
pub(super) fn find_cell(columns: &Columns<'_>, cell: &str) -> Option<String> {
    let (mut file, places) = open(columns).ok()?;
    let schema = columns.file_schema();
    while let Some(rows) = file.next_at(&places, None).ok()? {
        for at in 0..schema.fields().len() {
            let cells = rows.text.column(at).as_string::<i32>();
            if let Some(row) = cells.iter().position(|found| found == Some(cell)) {
                let line = rows.text.column_by_name(LINE)?.as_primitive_opt::<Int64Type>()?.value(row);
                let name = schema.field(at).name().clone();
                return Some(format!("{}, line {line}, column {name}", columns.path().display()));
            }
        }
    }
    None
}

impl BadRow {
    /// What is kept of it.
    pub(super) fn letter(self, path: &str) -> DeadLetter {
        let BadRow { line, column, reason, payload } = self;
        let error = column.map_or(reason.clone(), |column| format!("column {column}: {reason}"));
        DeadLetter { path: path.to_owned(), line, payload, error }
    }
}

/// Reads a file from its row `skip` on and gives the good rows to `send`; the others are dead letters. `rows` counts the
/// good ones.
///
/// # Errors
/// Data: a file that cannot be read on (cut off, or a quote that is not closed).
pub(super) fn read_rest(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    letters: &mut Vec<DeadLetter>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let (mut file, places) = open(columns)?;
    let schema = columns.file_schema();
    let (wanted, typed) = (columns.of_file(), columns.typed());
    // The rows that the fast way gave out are the first good ones.
    let mut skip = usize::try_from(*rows).unwrap_or(usize::MAX);
    let path = columns.path().display().to_string();
    loop {
        let mut bad: Vec<BadRow> = Vec::new();
        let Some(read) = file.next_at(&places, Some(&mut bad))? else { break };
        letters.extend(bad.into_iter().map(|bad| bad.letter(&path)));
        let past = skip.min(read.text.num_rows());
        skip -= past;
        let text = read.text.slice(past, read.text.num_rows() - past);
        let numbers = &read.numbers[past..];
        let mut reasons: Vec<Option<String>> = vec![None; text.num_rows()];
        let mut parsed: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
        for at in wanted.iter().chain(&typed) {
            if parsed[*at].is_none() {
                let cells = text.column(*at).as_string::<i32>();
                let field = schema.field(*at);
                parsed[*at] = Some(parse_good(cells, field, &columns.wanted(field), &mut reasons)?);
            }
        }
        let good: BooleanArray = reasons.iter().map(|reason| Some(reason.is_none())).collect();
        let lines = text.column_by_name(LINE).and_then(|lines| lines.as_primitive_opt::<Int64Type>());
        for (at, reason) in reasons.iter().enumerate().filter_map(|(at, reason)| Some((at, reason.as_ref()?)))
        {
            letters.push(DeadLetter {
                path: path.clone(),
                line: lines.map_or(0, |lines| u64::try_from(lines.value(at)).unwrap_or(0)),
                payload: joined(&text, at, columns.delimiter(), columns.csv().quote),
                error: reason.clone(),
            });
        }
        let own = wanted.iter().filter_map(|at| parsed[*at].as_ref());
        let own = own.map(|column| Ok(filter(column, &good)?)).collect::<Result<Vec<_>>>()?;
        let kept = good.true_count();
        let numbers = || -> Int64Array {
            numbers.iter().zip(&good).filter(|(_, good)| *good == Some(true)).map(|(n, _)| *n).collect()
        };
        let batch = columns.complete(&own, kept, numbers)?;
        *rows += kept as u64;
        progress.add_rows(kept as u64);
        if kept > 0 && !send(batch) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The cells as their type, bad ones with a reason.
fn parse_good(
    cells: &StringArray,
    field: &Field,
    wanted: &Wanted,
    reasons: &mut [Option<String>],
) -> Result<ArrayRef> {
    let (found, bad) = values(cells, wanted)?;
    for (row, unfit) in bad {
        let reason =
            || format!("column {}: {}", field.name(), unfit.tell(cells.value(row), field.data_type()));
        reasons[row].get_or_insert_with(reason);
    }
    Ok(found)
}

/// The cells as Arrow's CSV reader makes them, but for what it would change, and the rows of those that are none (what is
/// there then is any value).
fn values(cells: &StringArray, wanted: &Wanted) -> Result<(ArrayRef, Vec<(usize, Unfit)>)> {
    let mut bad = Vec::new();
    let found: ArrayRef = match &wanted.kind {
        DataType::Utf8 => Arc::new(cells.clone()),
        _ if wanted.is_text_first() => return Ok(wanted.parsed(cells)?),
        DataType::Int32 => {
            Arc::new(each(cells, &mut bad, Int32Type::parse).collect::<PrimitiveArray<Int32Type>>())
        }
        DataType::Int64 => {
            Arc::new(each(cells, &mut bad, Int64Type::parse).collect::<PrimitiveArray<Int64Type>>())
        }
        DataType::Boolean => {
            let truth = |cell: &str| match cell {
                cell if cell.eq_ignore_ascii_case("true") => Some(true),
                cell if cell.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            };
            Arc::new(each(cells, &mut bad, truth).collect::<BooleanArray>())
        }
        _ => return Ok(wanted.parsed(cells)?),
    };
    Ok((found, bad))
}

fn each<T>(
    cells: &StringArray,
    bad: &mut Vec<(usize, Unfit)>,
    value: impl Fn(&str) -> Option<T>,
) -> impl Iterator<Item = Option<T>> {
    cells.iter().enumerate().map(move |(row, cell)| {
        let value = value(cell?);
        if value.is_none() {
            bad.push((row, Unfit::NoNumber));
        }
        value
    })
}

/// A row as its file has it, but for quotes that it did not need.
pub(in crate::batch) fn joined(text: &RecordBatch, row: usize, delimiter: u8, quote: Option<u8>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new();
    writer.delimiter(delimiter);
    match quote {
        Some(quote) => writer.quote(quote),
        None => writer.quote_style(csv::QuoteStyle::Never),
    };
    let mut writer = writer.from_writer(Vec::new());
    let cells = text.columns().iter().filter_map(|column| column.as_string_opt::<i32>());
    let cells = cells.map(|cells| if cells.is_null(row) { "" } else { cells.value(row) });
    // Writing into memory does not fail.
    let _ = writer.write_record(cells);
    let mut bytes = writer.into_inner().unwrap_or_default();
    bytes.truncate(bytes.trim_ascii_end().len());
    bytes
}

/// The cells as Arrow's CSV reader makes them, but for numbers that it would change, so that what is bad here is what is
/// bad there.
///
/// # Errors
/// What a cell is not.
pub(in crate::batch) fn parse(cells: &StringArray, kind: &DataType) -> std::result::Result<ArrayRef, String> {
    if matches!(kind, DataType::Decimal128(..) | DataType::Float64) || moment::is_moment(kind) {
        let (found, bad) = number::parsed(cells, kind).map_err(|e| e.to_string())?;
        return match bad.first() {
            Some((row, unfit)) => Err(unfit.tell(cells.value(*row), kind)),
            None => Ok(found),
        };
    }
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
