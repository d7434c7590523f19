//! A Parquet file to rows: the projected columns alone, and of its row groups those that may have rows for the WHERE.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StructArray,
    new_null_array,
};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::kernels::numeric::add;
use arrow::compute::{cast, filter};
use arrow::datatypes::{ArrowNativeType, DataType, Field, SchemaRef, TimeUnit, TimestampNanosecondType};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::array_value_to_string;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::csv::Columns;
use super::number::{Unfit, Wanted};
use super::row_groups::{Chosen, Known};
use super::{DeadLetter, InputFile, Progress};
use crate::calendar;
use crate::error::{Context, Error, Result, io_error};
use crate::panics::caught;
use crate::project::InputConfig;

fn open(path: &std::path::Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|e| io_error("open", path, &e))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| {
        Error::data(format!("not a whole Parquet file: {e}"))
            .context(path.display().to_string())
            .hint("fetch the file again, or say in the job how it is written: format = \"csv\"")
    })
}

/// The columns of a file; the job may give some another type.
///
/// # Errors
/// Data: it is no Parquet file.
pub(super) fn fields(config: &InputConfig, file: &mut InputFile) -> Result<Vec<Field>> {
    let schema: SchemaRef = not_whole(&file.path, || open(&file.path))?.schema().clone();
    file.header = schema.fields().iter().map(|field| field.name().clone()).collect();
    let kind = |field: &Field| config.types.get(field.name()).unwrap_or(field.data_type()).clone();
    Ok(schema.fields().iter().map(|field| Field::new(field.name(), kind(field), true)).collect())
}

/// Runs what reads a file; where the parquet crate panics on damage, that is an error too.
fn not_whole<T>(path: &std::path::Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|panic| {
        Err(Error::data(format!("not a whole Parquet file: {panic}"))
            .context(path.display().to_string())
            .hint("the file is damaged: fetch it again"))
    })
}

/// As [`read`], where the file may be damaged.
///
/// # Errors
/// As [`read`].
pub(super) fn read_whole(
    columns: &Columns<'_>,
    predicate: Option<&PruningPredicate>,
    progress: &Progress,
    counts: (&mut u64, &mut u64),
    letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    not_whole(columns.path(), || read(columns, predicate, progress, counts, letters, send))
}

/// Reads a file and gives its rows to `send`; `false` where that wants no more. `rows` counts them, `skipped` those of the
/// row groups that have none for `predicate`. With `letters`, rows with a value that is none of the type that the job says
/// become dead letters.
///
/// # Errors
/// Data: it cannot be read, or a value is none of the type that the job says.
fn read(
    columns: &Columns<'_>,
    predicate: Option<&PruningPredicate>,
    progress: &Progress,
    (rows, skipped): (&mut u64, &mut u64),
    mut letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let path = columns.path();
    let place = || path.display().to_string();
    let builder = open(path)?;
    let own = columns.own_schema().fields().len();
    // What is only looked at comes behind, and goes no further: what the job, or the first file, gives another type.
    let given = builder.schema().clone();
    let is_other = |field: &Field| {
        given.field_with_name(field.name()).is_ok_and(|given| given.data_type() != field.data_type())
    };
    let checked = columns.checked_schema(is_other);
    let wanted: Vec<Wanted> = checked.fields().iter().map(|field| columns.wanted(field)).collect();
    let places = (0..builder.schema().fields().len())
        .filter(|at| checked.field_with_name(builder.schema().field(*at).name()).is_ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let total = builder.metadata().file_metadata().num_rows().max(1);
    let bytes = std::fs::metadata(path).map_err(|e| io_error("read", path, &e))?.len();
    let known = Known {
        metadata: builder.metadata(),
        file: builder.schema(),
        table: columns.table_schema(),
        folders: columns.folders(),
    };
    let chosen = Chosen::of(&known, predicate);
    *skipped = chosen.skipped;
    let bytes_of = |rows: u64| {
        let share = u128::from(bytes) * u128::from(rows) / u128::from(total.unsigned_abs());
        u64::try_from(share).unwrap_or(bytes)
    };
    progress.bytes.fetch_add(bytes_of(chosen.skipped), Ordering::Relaxed);
    let builder = builder.with_row_groups(chosen.groups.clone());
    let builder = builder.with_projection(mask).with_batch_size(columns.batch_rows());
    let reader = builder.build().context_with(place)?;
    // Rows read so far, good ones and others.
    let mut seen = 0;
    for batch in reader {
        let batch = batch.context_with(place)?;
        let length = batch.num_rows();
        let mut good = vec![true; length];
        let mut cells = Vec::with_capacity(own);
        for (field, wanted) in checked.fields().iter().zip(&wanted) {
            let column = batch
                .column_by_name(field.name())
                .ok_or_else(|| Error::internal(format!("no column {}", field.name())))?;
            let (cast, bad) =
                typed(column, wanted).context_with(|| format!("{}, column {}", place(), field.name()))?;
            if cells.len() < own {
                cells.push(cast);
            }
            for (row, unfit) in bad.into_iter().filter(|(row, _)| std::mem::replace(&mut good[*row], false)) {
                let cell = RecordBatch::try_from_iter_with_nullable([("cell", column.slice(row, 1), true)])?;
                let cell = array_value_to_string(calendar::shown(&cell)?.column(0), 0)?;
                let reason = unfit.tell(&cell, field.data_type());
                let line = chosen.row_of(seen + row) as u64;
                let Some(letters) = letters.as_deref_mut() else {
                    let place = format!("{}, row {line}, column {}", place(), field.name());
                    return Err(Error::data(reason).context(place).hint(
                        "mend the value, or leave the column as it is in the file; or on_error = \"dead_letter\"",
                    ));
                };
                let error = format!("column {}: {reason}", field.name());
                letters.push(DeadLetter { path: place(), line, payload: as_json(&batch, row)?, error });
            }
        }
        seen += length;
        progress.bytes.fetch_add(bytes_of(length as u64), Ordering::Relaxed);
        let numbers = |row: usize| i64::try_from(chosen.row_of(seen - length + row)).unwrap_or(i64::MAX);
        let kept = good.iter().filter(|good| **good).count();
        if kept < length {
            let mask = BooleanArray::from(good.clone());
            cells = cells.iter().map(|cells| Ok(filter(cells, &mask)?)).collect::<Result<_>>()?;
        }
        let numbers = || (0..length).filter(|row| good[*row]).map(numbers).collect::<Int64Array>();
        let complete = columns.complete(&cells, kept, numbers)?;
        *rows += kept as u64;
        progress.add_rows(kept as u64);
        if kept > 0 && !send(complete) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The column as another type, and the rows whose value is none: those that it cannot hold, text as in every file, numbers
/// as times where nobody said what they count, and what would not be the same any more. A double as a decimal is rounded:
/// hardly any is one. Values of a dictionary are as those that are written out.
fn typed(column: &ArrayRef, wanted: &Wanted) -> Result<(ArrayRef, Vec<(usize, Unfit)>)> {
    let (given, kind) = (column.data_type(), &wanted.kind);
    if given == kind {
        return Ok((column.clone(), Vec::new()));
    }
    match given {
        DataType::Null => return Ok((new_null_array(kind, column.len()), Vec::new())),
        DataType::Dictionary(_, value) => return typed(&cast(column, value)?, wanted),
        DataType::Struct(_) if matches!(kind, DataType::Struct(_)) => return object(column, wanted),
        DataType::List(_) if matches!(kind, DataType::List(_)) => return list(column, wanted),
        _ => {}
    }
    let is_time = kind.is_temporal() && wanted.is_known();
    let is_exact = kind.is_decimal() || kind.is_floating();
    if (given.is_string() && wanted.is_known() && (is_time || is_exact)) || (given.is_numeric() && is_time) {
        let texts = cast(column, &DataType::Utf8)?;
        return Ok(wanted.parsed(texts.as_string::<i32>())?);
    }
    let found = cast(column, kind)?;
    if let Some(times) = column.as_primitive_opt::<TimestampNanosecondType>()
        && matches!(kind, DataType::Timestamp(TimeUnit::Microsecond, _))
    {
        let is_finer = |row: &usize| times.is_valid(*row) && times.value(*row) % 1_000 != 0;
        return Ok((found, (0..times.len()).filter(is_finer).map(|row| (row, Unfit::TooFine)).collect()));
    }
    let mut bad: Vec<(usize, Unfit)> = (0..column.len())
        .filter(|&row| found.is_null(row) && column.is_valid(row))
        .map(|row| (row, Unfit::NoNumber))
        .collect();
    let unfit = match kind {
        DataType::Boolean if given.is_numeric() => Some(Unfit::NoNumber),
        DataType::Float64 if given.is_integer() && wanted.is_found => Some(Unfit::Inexact),
        DataType::Date32 if matches!(given, DataType::Timestamp(..) | DataType::Date64) => {
            Some(Unfit::TimeOfDay)
        }
        kind if kind.is_decimal() && given.is_decimal() => Some(Unfit::TooFine),
        kind if kind.is_integer() && (given.is_floating() || given.is_decimal()) => Some(Unfit::NoNumber),
        _ => None,
    };
    if let Some(unfit) = unfit {
        let mut both = [cast(&found, given)?, column.clone()];
        if given.is_floating() {
            // -0.0 is 0, though not in the order of floats.
            let zero = Float64Array::new_scalar(0.0);
            for cells in &mut both {
                *cells = add(&cast(cells, &DataType::Float64)?, &zero)?;
            }
        }
        let differs = distinct(&both[0], &both[1])?;
        let changed = (0..column.len()).filter(|&row| found.is_valid(row) && differs.value(row));
        bad.extend(changed.map(|row| (row, unfit)));
        bad.sort_unstable_by_key(|(row, _)| *row);
    }
    Ok((found, bad))
}

/// Objects of other fields: each is taken by its name, and null where the file has none. Arrow would take them by their
/// places.
fn object(column: &ArrayRef, wanted: &Wanted) -> Result<(ArrayRef, Vec<(usize, Unfit)>)> {
    let DataType::Struct(fields) = &wanted.kind else {
        return Err(Error::internal(format!("an object as {}", wanted.kind)));
    };
    let given = column.as_struct();
    let (mut cells, mut bad) = (Vec::with_capacity(fields.len()), Vec::new());
    for field in fields {
        let Some(column) = given.column_by_name(field.name()) else {
            cells.push(new_null_array(field.data_type(), given.len()));
            continue;
        };
        let (typed, unfit) = typed(column, &wanted.inner(field.data_type()))?;
        cells.push(typed);
        bad.extend(unfit.into_iter().filter(|(row, _)| given.is_valid(*row)));
    }
    bad.sort_by_key(|(row, _)| *row);
    let object =
        StructArray::try_new_with_length(fields.clone(), cells, given.nulls().cloned(), given.len())?;
    Ok((Arc::new(object), bad))
}

/// Lists of other items.
fn list(column: &ArrayRef, wanted: &Wanted) -> Result<(ArrayRef, Vec<(usize, Unfit)>)> {
    let DataType::List(item) = &wanted.kind else {
        return Err(Error::internal(format!("a list as {}", wanted.kind)));
    };
    let given = column.as_list::<i32>();
    let (items, unfit) = typed(given.values(), &wanted.inner(item.data_type()))?;
    let ends = given.offsets().iter().skip(1).map(|end| end.as_usize()).collect::<Vec<_>>();
    // The list that the item is in; none where that is null, or before the first.
    let list_of = |at: usize| {
        let row = ends.partition_point(|end| *end <= at);
        (row < given.len() && given.is_valid(row) && at >= given.offsets()[row].as_usize()).then_some(row)
    };
    let bad = unfit.into_iter().filter_map(|(at, unfit)| Some((list_of(at)?, unfit))).collect();
    let list = ListArray::try_new(item.clone(), given.offsets().clone(), items, given.nulls().cloned())?;
    Ok((Arc::new(list), bad))
}

/// A row as JSON.
fn as_json(batch: &RecordBatch, row: usize) -> Result<Vec<u8>> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&calendar::shown(&batch.slice(row, 1))?)?;
    writer.finish()?;
    let mut text = writer.into_inner();
    text.truncate(text.trim_ascii_end().len());
    Ok(text)
}
