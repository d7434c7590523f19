//! The transform of a stream, which may ask models.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use crate::decode::{Decoder, METADATA};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::{Asked, Commit, FileEntry, Plan, RecordList};
use crate::registry::Models;
use crate::rowwise::{self, RowSql};
use crate::sql;
use crate::table::read::read_schema;

/// The transform of a stream, which asks these versions of models; one without keeps its rows as they are.
///
/// # Errors
/// As [`RowSql::new`]; User: a model has not what it is asked, or its features are not given.
pub(crate) async fn transform(
    sql: Option<&str>,
    decoder: &Decoder,
    lake: &Lake,
    asked: &BTreeMap<String, Asked>,
) -> Result<RowSql> {
    let sql = sql.unwrap_or("SELECT * FROM batch");
    let made = async {
        let context = rowwise::session();
        super::register(&context, &Models::pinned(lake, asked)?)?;
        RowSql::in_session(context, sql, "batch", decoder.row_schema(), &METADATA).await
    };
    made.await.map_err(|error: Error| error.context("transform"))
}

/// The columns that the transform of a committed batch gives. Where it asks models, whose files may be gone by now, they are
/// those of the newest file of rows up to it.
///
/// # Errors
/// As [`transform`]; Storage or Corrupt: the file.
pub(crate) async fn columns_of(lake: &Lake, schema_name: &str, plan: &Plan) -> Result<SchemaRef> {
    let has = || newest_columns(lake, schema_name, plan.batch_id);
    if !plan.asked.is_empty()
        && let Some(has) = has()?
    {
        return Ok(has);
    }
    let decoder = Decoder::of_program(&plan.program)?;
    let sql = transform(plan.program.transform_sql.as_deref(), &decoder, lake, &plan.asked).await?;
    let kept = if sql.has_settled() { has()?.map(|has| sql.kept_by(&has)) } else { None };
    Ok(sql.keeping(&kept.unwrap_or_default()).schema().clone())
}

/// The columns of the newest file of rows up to a batch.
fn newest_columns(lake: &Lake, schema_name: &str, batch: u64) -> Result<Option<SchemaRef>> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    let is_row_file =
        |file: &&FileEntry| file.table.split_once('.').is_some_and(|(job, _)| job == schema_name);
    for number in (0..=batch).rev() {
        if let Some(file) = commits.read(number)?.added.iter().rfind(is_row_file) {
            return read_schema(lake, file).map(Some);
        }
    }
    Ok(None)
}

/// The models that a SELECT asks, as it names them.
///
/// # Errors
/// User: it cannot be read, or names a model otherwise than by a text.
pub(crate) fn asked_names(text: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for statement in sql::parse(text)? {
        names.extend(super::calls(&statement).ok_or_else(|| {
            Error::user("a model is named by a text, so that a plan can say which version it is")
                .hint("predict('job.model', column, …)")
        })?);
    }
    names.sort();
    names.dedup();
    Ok(names)
}
