//! An input whose files come in several forms: one after another, cleaned by their forms' SELECTs, the first row of each
//! key.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::common::DataFusionError;
use tokio::sync::mpsc::Sender;

use super::{Input, InputFile, Progress};
use crate::batch::clean::{CleanFile, count};
use crate::error::{Error, Result};
use crate::project::Forms;
use crate::project::OnError;
use crate::records::{DEAD_LETTER, Dropped, InputReport};

/// The columns that the forms of the files give. All headers are looked at.
///
/// # Errors
/// User: a file of no known form; forms that give different columns; Data: a file that cannot be read.
pub(super) async fn schema(forms: &Forms, files: &[InputFile]) -> Result<SchemaRef> {
    let mut first: Option<(SchemaRef, String)> = None;
    for file in files {
        let clean = CleanFile::open(&file.path, forms).await?;
        match &first {
            None => first = Some((clean.schema().clone(), clean.form().path.clone())),
            Some((schema, path)) if clean.schema() != schema => {
                return Err(Error::user(format!("{path} and {} give different columns", clean.form().path))
                    .hint("every form gives the columns of the one table: the same names and types, in the same order"));
            }
            Some(_) => {}
        }
    }
    first.map(|(schema, _)| schema).ok_or_else(|| Error::internal("an input without files"))
}

/// Reads the files and sends the projected columns of their rows, until nobody wants more.
///
/// # Errors
/// Data, with file, line and column: a row or cell that cannot be read.
pub(super) async fn read(
    input: &Input,
    progress: &Progress,
    rows_out: &Sender<Result<RecordBatch, DataFusionError>>,
    projection: &[usize],
) -> Result<()> {
    let Some(forms) = &input.config.forms else { return Err(Error::internal("an input without forms")) };
    let mut first_of_key = FirstOfKey::default();
    for file in &input.files {
        let start = Instant::now();
        let mut waited = Duration::ZERO;
        let mut clean = CleanFile::open(&file.path, forms).await?;
        let mut report = InputReport {
            input: input.config.name.clone(),
            path: file.path.display().to_string(),
            form: Some(clean.form().name.clone()),
            bytes: file.bytes,
            ..InputReport::default()
        };
        let mut dropped = BTreeMap::new();
        let (mut letters, mut bad) = (Vec::new(), Vec::new());
        loop {
            let next = match input.config.on_error {
                OnError::Fail => clean.next_batch().await?,
                OnError::DeadLetter => clean.next_good(&mut bad).await?,
            };
            report.rows_read += bad.len() as u64;
            letters.extend(bad.drain(..).map(|bad| bad.letter(&report.path)));
            let Some(batch) = next else { break };
            let kept = first_of_key.of(&batch.rows, &forms.key)?;
            for (reason, rows) in batch.dropped {
                *dropped.entry(reason).or_default() += rows;
            }
            let again = batch.rows.num_rows() - kept.num_rows();
            count(&mut dropped, &format!("duplicate {}", forms.key), again);
            report.rows_read += batch.read;
            report.rows_out += kept.num_rows() as u64;
            progress.add_rows(batch.read);
            let full = Instant::now();
            // Nobody listens where a LIMIT has all it wants.
            if rows_out.send(kept.project(projection).map_err(Into::into)).await.is_err() {
                return Ok(());
            }
            waited += full.elapsed();
        }
        report.seconds = Some(start.elapsed().saturating_sub(waited).as_secs_f64());
        progress.bytes.fetch_add(file.bytes, Ordering::Relaxed);
        count(&mut dropped, DEAD_LETTER, letters.len());
        report.dropped = dropped.into_iter().map(|(reason, rows)| Dropped { reason, rows }).collect();
        progress.report(report, letters);
    }
    Ok(())
}

/// The keys seen so far.
#[derive(Default)]
struct FirstOfKey {
    seen: HashSet<Box<[u8]>>,
    converter: Option<RowConverter>,
}

impl FirstOfKey {
    /// The rows whose key was not seen before.
    fn of(&mut self, rows: &RecordBatch, key: &str) -> Result<RecordBatch> {
        let column = rows
            .column_by_name(key)
            .ok_or_else(|| Error::internal(format!("the key `{key}` is no column of the cleaned rows")))?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(RowConverter::new(vec![SortField::new(column.data_type().clone())])?),
        };
        let keys = converter.convert_columns(std::slice::from_ref(column))?;
        let new: BooleanArray = keys.iter().map(|key| Some(self.seen.insert(key.as_ref().into()))).collect();
        Ok(filter_record_batch(rows, &new)?)
    }
}
