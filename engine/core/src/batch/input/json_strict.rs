//! A JSON file read again, some objects at a time, to find those that are bad: to name the first, or to set all aside.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Schema;
use arrow::json::ReaderBuilder;

use super::csv::Columns;
use super::json::{Fault, Row, give, plain, take_one};
use super::json_kinds::misfit;
use super::json_records::{FORM, Records};
use super::{DeadLetter, Progress};
use crate::error::{Error, Result};
use crate::json;

/// Objects looked at together. Those with a bad one among them are halved until it stands alone.
const CHUNK: usize = 128;

/// An object, and where it is.
struct Record {
    bytes: Vec<u8>,
    line: u64,
    /// Its place among the file's, from 1.
    number: i64,
}

/// Reads the file from behind the rows that were given out.
///
/// # Errors
/// Data, with the line: the first bad object, where they are not set aside; a file that cannot be read on.
pub(super) fn read(
    columns: &Columns<'_>,
    row: &Row,
    progress: &Progress,
    rows: &mut u64,
    mut letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let path = columns.path().display().to_string();
    let mut records = Records::open(columns.path(), columns.encoding(), Arc::default())?;
    let (mut number, mut bytes) = (0_i64, Vec::new());
    let mut skip = *rows;
    let mut good: Vec<RecordBatch> = Vec::new();
    let (mut numbers, mut ended) = (Vec::new(), false);
    while !ended {
        let mut chunk: Vec<Record> = Vec::with_capacity(CHUNK);
        let mut broken = None;
        while chunk.len() < CHUNK {
            match records.next(&mut bytes) {
                Ok(Some(line)) => {
                    number += 1;
                    if skip > 0 {
                        skip -= 1;
                    } else {
                        chunk.push(Record { bytes: std::mem::take(&mut bytes), line, number });
                    }
                }
                Ok(None) => {
                    ended = true;
                    break;
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        let (batch, places, faults) = decode(row, &chunk)?;
        for (at, fault) in faults {
            let Record { bytes, line, .. } = &chunk[at];
            let Some(letters) = letters.as_deref_mut() else {
                let column = fault.column.map(|column| format!(", column {column}")).unwrap_or_default();
                return Err(Error::data(fault.reason).context(format!("{path}, line {line}{column}")).hint(
                    format!("{FORM}; a type of the job holds for all of them; on_error = \"dead_letter\" sets bad ones aside"),
                ));
            };
            letters.push(DeadLetter {
                path: path.clone(),
                line: *line,
                payload: bytes.trim_ascii().to_vec(),
                error: match fault.column {
                    Some(column) => format!("column {column}: {}", fault.reason),
                    None => fault.reason,
                },
            });
        }
        numbers.extend(places.iter().map(|at| chunk[*at].number));
        good.extend(batch);
        if numbers.len() >= columns.batch_rows() || ((ended || broken.is_some()) && !numbers.is_empty()) {
            let batch = concat_batches(&row.schema, &good)?;
            good.clear();
            let numbers = std::mem::take(&mut numbers);
            if !give(columns, progress, rows, batch.columns(), batch.num_rows(), Some(&numbers), send)? {
                return Ok(false);
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
    }
    Ok(true)
}

/// The rows of the good ones among some objects, their places, and what is wrong with the others, in their order.
type Decoded = (Option<RecordBatch>, Vec<usize>, Vec<(usize, Fault)>);

fn decode(row: &Row, records: &[Record]) -> Result<Decoded> {
    let mut faults: Vec<Option<Fault>> = records.iter().map(|_| None).collect();
    // What is no object is found without making columns of it.
    let probe = || ReaderBuilder::new(Arc::new(Schema::empty())).with_batch_size(2).build_decoder();
    let mut decoder = probe()?;
    for (record, fault) in records.iter().zip(&mut faults) {
        let taken = json::check(&record.bytes)
            .map_err(|fault| fault.to_string())
            .and_then(|()| take_one(&mut decoder, &record.bytes))
            .and_then(|()| decoder.flush().map(|_| ()).map_err(|e| plain(&e)));
        if let Err(reason) = taken {
            *fault = Some(Fault { column: None, reason });
            decoder = probe()?;
        }
    }
    let whole: Vec<usize> = (0..records.len()).filter(|at| faults[*at].is_none()).collect();
    let mut parts: Vec<(Vec<usize>, RecordBatch)> = Vec::new();
    halve(row, records, &whole, &mut parts, &mut faults)?;
    let mut batches = Vec::with_capacity(parts.len());
    let mut places = Vec::with_capacity(whole.len());
    for (at, batch) in parts {
        let (cells, bad) = row.typed(&batch)?;
        for (row, fault) in bad {
            faults[at[row]].get_or_insert(fault);
        }
        let is_good: Vec<bool> = at.iter().map(|at| faults[*at].is_none()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(at.len()));
        let batch = RecordBatch::try_new_with_options(row.schema.clone(), cells, &options)?;
        batches.push(filter_record_batch(&batch, &BooleanArray::from(is_good.clone()))?);
        places.extend(at.iter().zip(is_good).filter(|(_, good)| *good).map(|(at, _)| *at));
    }
    let batch = concat_batches(&row.schema, &batches)?;
    let faults = faults.into_iter().enumerate().filter_map(|(at, fault)| Some((at, fault?))).collect();
    Ok(((!places.is_empty()).then_some(batch), places, faults))
}

/// Decodes some objects, or their halves where one of them has a list, say, where a text is expected.
fn halve(
    row: &Row,
    records: &[Record],
    at: &[usize],
    parts: &mut Vec<(Vec<usize>, RecordBatch)>,
    faults: &mut [Option<Fault>],
) -> Result<()> {
    if at.is_empty() {
        return Ok(());
    }
    let mut decoder = row.decoder(at.len())?;
    for at in at {
        take_one(&mut decoder, &records[*at].bytes).map_err(Error::internal)?;
    }
    match decoder.flush() {
        Ok(Some(batch)) => parts.push((at.to_vec(), batch)),
        Ok(None) => {}
        Err(e) if at.len() == 1 => {
            let (column, reason) = match misfit(&records[at[0]].bytes, &row.schema) {
                Some((column, reason)) => (Some(column), reason),
                None => (None, plain(&e)),
            };
            faults[at[0]] = Some(Fault { column, reason });
        }
        Err(_) => {
            let (before, behind) = at.split_at(at.len() / 2);
            halve(row, records, before, parts, faults)?;
            halve(row, records, behind, parts, faults)?;
        }
    }
    Ok(())
}
