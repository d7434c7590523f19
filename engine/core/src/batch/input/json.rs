//! A file of JSON objects to rows: of flat ones as messages are read ([`crate::decode`]), of others by Arrow's reader.
//!
//! Columns are found by [`super::json_kinds`]; a type of the job overrides what is found. Numbers, those in
//! lists and objects too, and times go by way of their text, for Arrow would cut off what their type does not hold
//! ([`super::number`]); a number or boolean where the type is TEXT is its text too. Of a field that an object has twice the
//! last counts.
//!
//! Arrow takes more for JSON than there is, so that each object is checked before it gets there ([`crate::json`]), but where
//! that was done as the columns were found.
//!
//! Objects that are refused are looked for by reading the file again ([`super::json_strict`]), behind as many as were given
//! out. So the fast way refuses what Arrow would take, several objects in the place of one: no row goes uncounted.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    UInt64Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;

use super::csv::Columns;
use super::json_records::Records;
use super::number::{Unfit, Wanted};
use super::{DeadLetter, Progress, json_strict};
use crate::decode::Fields;
use crate::error::Result;
use crate::json as strict;

/// Reads a file and gives its rows to `send`; `false` where that wants no more. `rows` counts them.
///
/// # Errors
/// Data, with the line: no JSON object, or a value of another type.
pub(super) fn read(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    letters: Option<&mut Vec<DeadLetter>>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let row = Row::of(columns);
    if columns.is_checked() {
        return json_strict::read(columns, &row, progress, rows, letters, send);
    }
    let mut records = Records::open(columns.path(), columns.encoding(), progress.bytes.clone())?;
    let mut objects = Objects::of(&row, columns)?;
    let mut record = Vec::new();
    loop {
        // What cannot be read on is told behind the rows before it.
        let Ok(found) = records.next(&mut record) else {
            return json_strict::read(columns, &row, progress, rows, letters, send);
        };
        if found.is_some() && !objects.take(&record) {
            return json_strict::read(columns, &row, progress, rows, letters, send);
        }
        if found.is_some() && objects.len() < columns.batch_rows() {
            continue;
        }
        let Some(batch) = objects.flush(&row)? else {
            return json_strict::read(columns, &row, progress, rows, letters, send);
        };
        if batch.num_rows() > 0 {
            let (cells, faults) = row.typed(&batch)?;
            if !faults.is_empty() {
                return json_strict::read(columns, &row, progress, rows, letters, send);
            }
            if !give(columns, progress, rows, &cells, batch.num_rows(), None, send)? {
                return Ok(false);
            }
        }
        if found.is_none() {
            return Ok(true);
        }
    }
}

/// Objects on their way to a batch; one that is none, or has a value of another type, is for [`json_strict`] to find.
enum Objects {
    /// Of fields that are no lists and no objects: read in one pass. Bytes of the objects, and where each ends.
    Flat { bytes: Vec<u8>, ends: Vec<usize> },
    /// By Arrow, checked before where nobody did.
    Nested { decoder: Box<Decoder>, is_strict: bool },
}

/// Bytes that flat objects have together, unless one has more: less than a column of texts holds.
const FLAT_BYTES: usize = 1 << 30;

impl Objects {
    fn of(row: &Row, columns: &Columns<'_>) -> Result<Objects> {
        if row.texts().iter().all(|field| matches!(field.data_type(), DataType::Utf8 | DataType::Boolean)) {
            return Ok(Objects::Flat { bytes: Vec::new(), ends: Vec::new() });
        }
        let decoder = Box::new(row.decoder(columns.batch_rows())?);
        Ok(Objects::Nested { decoder, is_strict: columns.is_strict() })
    }

    fn len(&self) -> usize {
        match self {
            // A batch may have fewer rows than it could.
            Objects::Flat { bytes, .. } if bytes.len() > FLAT_BYTES => usize::MAX,
            Objects::Flat { ends, .. } => ends.len(),
            Objects::Nested { decoder, .. } => decoder.len(),
        }
    }

    /// Takes an object; `false` where it has been seen to be none.
    fn take(&mut self, record: &[u8]) -> bool {
        match self {
            Objects::Flat { bytes, ends } => {
                bytes.extend_from_slice(record);
                ends.push(bytes.len());
                i32::try_from(bytes.len()).is_ok()
            }
            Objects::Nested { decoder, is_strict } => {
                (*is_strict || strict::check(record).is_ok()) && take_one(decoder, record).is_ok()
            }
        }
    }

    /// The objects taken, numbers and times as text; `None` where one is to be looked for.
    fn flush(&mut self, row: &Row) -> Result<Option<RecordBatch>> {
        let fields = row.texts();
        let schema = Arc::new(Schema::new(fields.clone()));
        match self {
            Objects::Flat { bytes, ends } => {
                let Ok(text) = strict::text(bytes) else { return Ok(None) };
                let mut read = Fields::new(&fields, ends.len());
                let mut start = 0;
                for end in ends.iter() {
                    // Where an object ends within a character, the next one is no text.
                    let object = text.get(start..*end);
                    if object.is_none_or(|object| read.take(object).is_err()) {
                        return Ok(None);
                    }
                    start = *end;
                }
                let mut faults = Vec::new();
                let cells = fields.iter().enumerate();
                let cells = cells.map(|(at, field)| read.column(at, field, None, &mut faults)).collect();
                // In a file `1` is no boolean.
                let is_boolean = |at: usize| *fields[at].data_type() == DataType::Boolean;
                let has_other = (0..fields.len()).any(|at| is_boolean(at) && !read.has_only_booleans(at));
                if has_other || !faults.is_empty() {
                    return Ok(None);
                }
                let options = RecordBatchOptions::new().with_row_count(Some(ends.len()));
                let batch = RecordBatch::try_new_with_options(schema, cells, &options)?;
                bytes.clear();
                ends.clear();
                Ok(Some(batch))
            }
            Objects::Nested { decoder, .. } => match decoder.flush() {
                Ok(batch) => Ok(Some(batch.unwrap_or_else(|| RecordBatch::new_empty(schema)))),
                Err(_) => Ok(None),
            },
        }
    }
}

/// Gives a decoder the bytes of one object, which has been checked; else what is wrong with them.
pub(super) fn take_one(decoder: &mut Decoder, record: &[u8]) -> std::result::Result<(), String> {
    let before = decoder.len();
    let used = decoder.decode(record).map_err(|e| plain(&e))?;
    if used != record.len() || decoder.len() != before + 1 {
        return Err("not one JSON object".to_owned());
    }
    Ok(())
}

/// Arrow's message without its prefix.
pub(super) fn plain(error: &ArrowError) -> String {
    let text = error.to_string();
    text.strip_prefix("Json error: ").map(String::from).unwrap_or(text)
}

/// Rows of a batch with what is wrong with each.
type Faults = Vec<(usize, Fault)>;

/// What is wrong with a row.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The column of the value that is bad, where it is one value.
    pub column: Option<String>,
    pub reason: String,
}

/// What an object is to become.
pub(super) struct Row {
    /// The columns, those that are only looked at behind the others.
    pub schema: SchemaRef,
    /// How each is made of text.
    wanted: Vec<Wanted>,
}

impl Row {
    fn of(columns: &Columns<'_>) -> Row {
        let schema = columns.checked_schema(|_| true);
        let wanted = schema.fields().iter().map(|field| columns.wanted(field)).collect();
        Row { schema, wanted }
    }

    /// The columns with numbers and times as text.
    fn texts(&self) -> Vec<Arc<Field>> {
        let fields = self.schema.fields().iter().zip(&self.wanted);
        fields.map(|(field, wanted)| as_text(field, wanted)).collect()
    }

    /// A decoder of such rows, but with numbers and times as text.
    pub(super) fn decoder(&self, rows: usize) -> Result<Decoder> {
        let reader = ReaderBuilder::new(Arc::new(Schema::new(self.texts()))).with_batch_size(rows);
        Ok(reader.with_coerce_primitive(true).build_decoder()?)
    }

    /// What a decoder read with numbers and times as such, and what is wrong with rows of it.
    ///
    /// # Errors
    /// Internal: none that is the file's.
    pub(super) fn typed(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Faults)> {
        let mut faults = Vec::new();
        let mut typed = Vec::with_capacity(batch.num_columns());
        for ((cells, field), wanted) in batch.columns().iter().zip(self.schema.fields()).zip(&self.wanted) {
            let fault = |reason| Fault { column: Some(field.name().clone()), reason };
            if cells.data_type() != field.data_type() && wanted.is_known() {
                let texts = cells.as_string::<i32>();
                let (found, bad) = wanted.parsed(texts)?;
                let tell = |(row, unfit): (usize, Unfit)| {
                    (row, fault(unfit.tell(texts.value(row), field.data_type())))
                };
                faults.extend(bad.into_iter().map(tell));
                typed.push(found);
                continue;
            }
            match held(cells, wanted) {
                Ok(found) => typed.push(found),
                // Of a list or an object: whose row it is has to be looked for. A slice would have the values of all rows.
                Err(_) => {
                    let mut rows = Vec::with_capacity(cells.len());
                    for row in 0..cells.len() {
                        let alone = take(cells, &UInt64Array::from(vec![row as u64]), None)?;
                        rows.push(held(&alone, wanted).unwrap_or_else(|reason| {
                            faults.push((row, fault(reason)));
                            new_null_array(field.data_type(), 1)
                        }));
                    }
                    typed.push(concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<_>>())?);
                }
            }
        }
        Ok((typed, faults))
    }
}

/// The field with text in the place of numbers and times.
fn as_text(field: &Arc<Field>, wanted: &Wanted) -> Arc<Field> {
    let kind = match field.data_type() {
        _ if wanted.is_known() => DataType::Utf8,
        DataType::List(item) => DataType::List(as_text(item, &wanted.inner(item.data_type()))),
        DataType::Struct(fields) => DataType::Struct(
            fields.iter().map(|field| as_text(field, &wanted.inner(field.data_type()))).collect(),
        ),
        kind => kind.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// The cells with the numbers as such, wherever they are in them; else what is wrong with the first that is none.
fn held(cells: &ArrayRef, wanted: &Wanted) -> std::result::Result<ArrayRef, String> {
    if *cells.data_type() == wanted.kind {
        return Ok(cells.clone());
    }
    match &wanted.kind {
        DataType::List(item) => {
            let list = cells.as_list::<i32>();
            let items = held(list.values(), &wanted.inner(item.data_type()))?;
            let list = ListArray::try_new(item.clone(), list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(list.map_err(|e| e.to_string())?))
        }
        DataType::Struct(fields) => {
            let object = cells.as_struct();
            let inner = object.columns().iter().zip(fields);
            let inner = inner.map(|(cells, field)| held(cells, &wanted.inner(field.data_type())));
            let inner = inner.collect::<std::result::Result<Vec<_>, _>>()?;
            let object = StructArray::try_new(fields.clone(), inner, object.nulls().cloned());
            Ok(Arc::new(object.map_err(|e| e.to_string())?))
        }
        kind => {
            let texts = cells.as_string::<i32>();
            let (found, bad) = wanted.parsed(texts).map_err(|e| e.to_string())?;
            match bad.first() {
                Some((row, unfit)) => Err(unfit.tell(texts.value(*row), kind)),
                None => Ok(found),
            }
        }
    }
}

/// Hands on rows, of which `numbers` are the places in the file where they are not those behind the ones before.
pub(super) fn give(
    columns: &Columns<'_>,
    progress: &Progress,
    rows: &mut u64,
    cells: &[ArrayRef],
    length: usize,
    numbers: Option<&[i64]>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool> {
    let from = i64::try_from(*rows).unwrap_or(i64::MAX) + 1;
    let counted = || match numbers {
        Some(numbers) => Int64Array::from(numbers.to_vec()),
        None => Int64Array::from_iter_values((from..).take(length)),
    };
    // What is only looked at comes behind, and goes no further.
    let own = &cells[..columns.own_schema().fields().len()];
    let complete = columns.complete(own, length, counted)?;
    *rows += length as u64;
    progress.add_rows(length as u64);
    Ok(send(complete))
}
