//! A Parquet file to rows, the projected columns alone.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::csv::Columns;
use super::{InputFile, Progress};
use crate::error::{Context, Error, Result, io_error};
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
    let schema: SchemaRef = open(&file.path)?.schema().clone();
    file.header = schema.fields().iter().map(|field| field.name().clone()).collect();
    let kind = |field: &Field| config.types.get(field.name()).unwrap_or(field.data_type()).clone();
    Ok(schema.fields().iter().map(|field| Field::new(field.name(), kind(field), true)).collect())
}

/// Reads a file and gives its rows to `send`; `false` where that wants no more. `rows` counts them.
///
/// # Errors
/// Data: it cannot be read, or a value is none of the type that the job says.
pub(super) fn read(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let path = columns.path();
    let place = || path.display().to_string();
    let builder = open(path)?;
    let own = columns.own_schema();
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.of_file()?);
    let total = builder.metadata().file_metadata().num_rows().max(1);
    let bytes = std::fs::metadata(path).map_err(|e| io_error("read", path, &e))?.len();
    let builder = builder.with_projection(mask).with_batch_size(columns.batch_rows());
    let reader = builder.build().context_with(place)?;
    for batch in reader {
        let batch = batch.context_with(place)?;
        let cells = own.fields().iter().map(|field| -> Result<ArrayRef> {
            let column = batch
                .column_by_name(field.name())
                .ok_or_else(|| Error::internal(format!("no column {}", field.name())))?;
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            cast(column, field.data_type()).context_with(|| format!("{}, column {}", place(), field.name()))
        });
        let cells = cells.collect::<Result<Vec<_>>>()?;
        let from = i64::try_from(*rows).unwrap_or(i64::MAX) + 1;
        let length = batch.num_rows();
        let complete =
            columns.complete(&cells, length, || Int64Array::from_iter_values((from..).take(length)))?;
        *rows += length as u64;
        progress.add_rows(length as u64);
        progress.bytes.fetch_add(bytes * length as u64 / total.unsigned_abs(), Ordering::Relaxed);
        if !send(complete) {
            return Ok(false);
        }
    }
    Ok(true)
}
