//! What a stream gives and shows is looked at before its first batch is planned, or a planned one is run again: what no file
//! keeps would stop it in the middle of a batch.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::datasource::{MemTable, ViewTable};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::driver::Driver;
use crate::columns::check_names;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::{StateSpec, StreamJob};
use crate::rowwise::RowSql;
use crate::state::KeyedState;
use crate::table::evolve::{check_types, newest_schema};
use crate::table::write::parquet_bytes;
use crate::{catalog, sql};

/// Checks the types of the table that the transform makes, and the columns of the views over it.
///
/// # Errors
/// User: a column of a type that the table cannot keep, a view of which two columns have one name.
pub(super) async fn check(driver: &Driver) -> Result<()> {
    let (job, transform) = (&driver.job, &driver.transform);
    let table = format!("{}.{}", job.schema_name, job.table_name);
    let has = newest_schema(&driver.lake, &table)?;
    check_types(has.as_deref(), transform.schema())?;
    check_file(transform.schema()).map_err(|e| e.context("the transform's columns"))?;
    check_views(job, &driver.lake, transform.schema()).await
}

/// Whether Parquet writes and reads rows of these columns: some types have no form there (a struct without fields).
fn check_file(schema: &SchemaRef) -> Result<()> {
    let refused = |error: Error| {
        Error::user(error.to_string())
            .hint("no file of a table keeps such a column: CAST it to another type, or to TEXT")
    };
    let bytes = parquet_bytes(&RecordBatch::new_empty(schema.clone())).map_err(refused)?;
    let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(|e| refused(e.into()))?;
    for (given, kept) in schema.fields().iter().zip(read.schema().fields()) {
        if !given.data_type().equals_datatype(kept.data_type()) {
            let (name, given, kept) = (given.name(), given.data_type(), kept.data_type());
            return Err(refused(Error::user(format!("`{name}` is {given}, a file gives it back as {kept}"))));
        }
    }
    Ok(())
}

/// A view that reads what is not there yet, a table of another job say, is told of when it is read.
async fn check_views(job: &StreamJob, lake: &Lake, table: &SchemaRef) -> Result<()> {
    let rows = |schema: SchemaRef| -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![]])?))
    };
    let mut known = vec![(job.table_name.clone(), rows(table.clone())?)];
    if let Some(spec) = &job.program.state {
        known.push((spec.config.table.clone(), rows(state_schema(job, spec, table).await?)?));
    }
    let mut waiting: Vec<_> = job.program.views.iter().collect();
    // A view may read another, whatever its name.
    loop {
        let session = catalog::view_session(lake, &job.schema_name, known.clone())?;
        let before = waiting.len();
        let mut left = Vec::new();
        for (name, text) in waiting {
            let Ok(frame) = sql::frame(&session, text).await else {
                left.push((name, text));
                continue;
            };
            check_names(frame.schema()).map_err(|e| e.context(format!("view {}.{name}", job.schema_name)))?;
            let Ok(plan) = sql::settled(&session.state(), frame.logical_plan().clone()).await else {
                left.push((name, text));
                continue;
            };
            let view = ViewTable::new(plan, Some(text.clone()));
            known.push((name.clone(), Arc::new(view)));
        }
        if left.len() == before || left.is_empty() {
            return Ok(());
        }
        waiting = left;
    }
}

/// The columns that the state is shown with: those of its SELECT, and what its models say.
async fn state_schema(job: &StreamJob, spec: &StateSpec, table: &SchemaRef) -> Result<SchemaRef> {
    let state = KeyedState::new(spec, table)?;
    let select = RowSql::new(&spec.select_sql, &spec.config.table, state.schema(), &[]).await?;
    let mut fields = select.schema().fields().to_vec();
    fields.extend(job.program.models.iter().flat_map(catalog::answer_columns).map(Arc::new));
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|before| before.name() == field.name()) {
            let what = format!("two columns of the state are called `{}`", field.name());
            return Err(Error::user(what).context(spec.config.select.clone()).hint(
                "a model NAME gives a column `cluster_NAME` (`prediction_NAME`, `probability_NAME`, `score_NAME`): give the SELECT's \
                 column, or the model, another name",
            ));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}
