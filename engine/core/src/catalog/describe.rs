//! What is in a table, column by column, with the figures of pandas' `describe`.
//!
//! Quartiles are interpolated linearly, the standard deviation is that of a sample (n - 1), a NaN is a missing value, and
//! times have a mean but no deviation: as pandas has them. Text has its least and greatest value in the order of its
//! bytes. Each column is a statement of its own, so that memory holds one column's distinct values at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::context::SessionContext;

use super::query;
use crate::calendar;
use crate::error::{Error, Result};
use crate::lake::Lake;

/// One row a column: `column, type, count, nulls, distinct, mean, std, min, 25%, 50%, 75%, max`.
///
/// `count` is of values that are neither null nor NaN, and so are the other figures; `nulls` counts both. `std` is of
/// numbers; `mean` and quartiles of numbers and, to a microsecond, times. All but `std` are text, as the column's values
/// are written. A boolean's mean is the share of `true`. Lists, structs, maps and bytes are counted and have no other figure.
///
/// # Errors
/// User: there is no such table; Storage or Corrupt: it cannot be read.
pub async fn describe(context: &SessionContext, lake: &Lake, table: &str) -> Result<RecordBatch> {
    let table = table.split('.').map(quoted).collect::<Vec<_>>().join(".");
    let empty = query(context, lake, &format!("SELECT * FROM {table} LIMIT 0")).await?;
    let schema = empty.first().map(RecordBatch::schema).ok_or_else(|| Error::internal("no schema"))?;
    let mut columns = Vec::new();
    for field in schema.fields() {
        columns.push(column(context, lake, &table, field.name(), field.data_type()).await?);
    }
    let texts = |text: fn(&Column) -> Option<String>| -> ArrayRef {
        Arc::new(columns.iter().map(text).collect::<StringArray>())
    };
    let counts = |count: fn(&Column) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(columns.iter().map(count)))
    };
    let floats = |float: fn(&Column) -> Option<f64>| -> ArrayRef {
        Arc::new(columns.iter().map(float).collect::<Float64Array>())
    };
    Ok(RecordBatch::try_from_iter([
        ("column", texts(|column| Some(column.name.clone()))),
        ("type", texts(|column| Some(column.kind.clone()))),
        ("count", counts(|column| column.count)),
        ("nulls", counts(|column| column.nulls)),
        ("distinct", Arc::new(columns.iter().map(|column| column.distinct).collect::<UInt64Array>())),
        ("mean", texts(|column| column.mean.clone())),
        ("std", floats(|column| column.std)),
        ("min", texts(|column| column.order[0].clone())),
        ("25%", texts(|column| column.order[1].clone())),
        ("50%", texts(|column| column.order[2].clone())),
        ("75%", texts(|column| column.order[3].clone())),
        ("max", texts(|column| column.order[4].clone())),
    ])?)
}

struct Column {
    name: String,
    kind: String,
    count: u64,
    nulls: u64,
    distinct: Option<u64>,
    mean: Option<String>,
    std: Option<f64>,
    /// Least, quartiles, greatest.
    order: [Option<String>; 5],
}

async fn column(
    context: &SessionContext,
    lake: &Lake,
    table: &str,
    name: &str,
    kind: &DataType,
) -> Result<Column> {
    if has_no_order(kind) {
        return counted(context, lake, table, name, kind).await;
    }
    let value = match kind.is_floating() {
        true => format!("CASE WHEN NOT isnan({0}) THEN {0} END", quoted(name)),
        false => quoted(name),
    };
    let is_time = matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let is_number = kind.is_numeric();
    // A time is its microseconds, which a double holds exactly for 285 years around 1970; a boolean counts as 0 and 1.
    // A moment is one in every zone; what is told of it is told in the column's.
    let zone = match kind {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let as_moment = if zone.is_some() { "Some(\"UTC\")" } else { "None" };
    let microseconds =
        format!("arrow_cast(arrow_cast({value}, 'Timestamp(Microsecond, {as_moment})'), 'Int64')");
    let number = match kind {
        _ if is_number => format!("CAST({value} AS DOUBLE)"),
        DataType::Boolean => format!("CAST(CAST({value} AS INT) AS DOUBLE)"),
        _ if is_time => format!("CAST({microseconds} AS DOUBLE)"),
        _ => "CAST(NULL AS DOUBLE)".to_owned(),
    };
    // A double does not hold the sum of many of today's microseconds.
    let summand = if is_time { format!("CAST({microseconds} AS DECIMAL(20,0))") } else { number.clone() };
    let quartile = |share: &str| format!("percentile_cont({share}) WITHIN GROUP (ORDER BY number)");
    let sql = format!(
        "SELECT count(value), count(*) - count(value), count(DISTINCT value), avg(summand), stddev(number), min(value), {}, {}, {}, \
         max(value) \
         FROM (SELECT {value} AS value, {number} AS number, {summand} AS summand FROM {table})",
        quartile("0.25"),
        quartile("0.5"),
        quartile("0.75"),
    );
    let batches = query(context, lake, &sql).await?;
    let row =
        batches.iter().find(|batch| batch.num_rows() == 1).ok_or_else(|| Error::internal("no figures"))?;
    let count = |at: usize| -> Result<u64> {
        let cell = cast(row.column(at), &DataType::Int64)?;
        Ok(u64::try_from(cell.as_primitive::<Int64Type>().iter().next().flatten().unwrap_or(0)).unwrap_or(0))
    };
    let float = |at: usize| -> Result<Option<f64>> {
        let cell = cast(row.column(at), &DataType::Float64)?;
        Ok(cell.as_primitive::<Float64Type>().iter().next().flatten())
    };
    let text = |cell: &ArrayRef| -> Result<Option<String>> {
        let cell =
            calendar::shown(&RecordBatch::try_from_iter_with_nullable([("cell", cell.clone(), true)])?)?;
        let cell = cell.column(0);
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(cell, &options)?;
        (!cell.is_null(0)).then(|| Ok(formatter.value(0).try_to_string()?)).transpose()
    };
    // A figure of numbers, or of times as microseconds.
    let figure = |at: usize| -> Result<Option<String>> {
        match float(at)? {
            Some(microseconds) if is_time => {
                let moment = TimestampMicrosecondArray::from(vec![microseconds.round() as i64]);
                text(&(Arc::new(moment.with_timezone_opt(zone.clone())) as ArrayRef))
            }
            Some(_) => text(row.column(at)),
            None => Ok(None),
        }
    };
    let quartile = |at: usize| if is_number || is_time { figure(at) } else { Ok(None) };
    let order = [text(row.column(5))?, quartile(6)?, quartile(7)?, quartile(8)?, text(row.column(9))?];
    Ok(Column {
        name: name.to_owned(),
        kind: kind.to_string(),
        count: count(0)?,
        nulls: count(1)?,
        distinct: Some(count(2)?),
        mean: figure(3)?,
        std: float(4)?.filter(|_| !is_time),
        order,
    })
}

/// Whether values of a type are counted alone.
fn has_no_order(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeListView, ListView};
    kind.is_nested()
        || matches!(
            kind,
            Binary | BinaryView | FixedSizeBinary(_) | LargeBinary | ListView(_) | LargeListView(_)
        )
}

/// A column of which nothing but its values and nulls is counted.
async fn counted(
    context: &SessionContext,
    lake: &Lake,
    table: &str,
    name: &str,
    kind: &DataType,
) -> Result<Column> {
    let sql = format!("SELECT count({0}), count(*) - count({0}) FROM {table}", quoted(name));
    let batches = query(context, lake, &sql).await?;
    let count = |at: usize| -> Result<u64> {
        let row = batches.iter().find(|batch| batch.num_rows() == 1);
        let cell = cast(row.ok_or_else(|| Error::internal("no figures"))?.column(at), &DataType::UInt64)?;
        Ok(cell.as_primitive::<UInt64Type>().value(0))
    };
    Ok(Column {
        name: name.to_owned(),
        kind: kind.to_string(),
        count: count(0)?,
        nulls: count(1)?,
        distinct: None,
        mean: None,
        std: None,
        order: Default::default(),
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
