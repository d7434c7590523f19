//! The tables of a lake by their names, always as they are now.
//!
//! `chicago_arrests.crimes`, `system.metrics`, or the bare name where it is unique. Tables are found by the
//! records at the moment a statement is planned, so a session that stays open sees new batches. The state of a job and
//! its views are tables too.

mod answers;
mod as_of;
mod derived;
mod describe;
mod followed;
mod model_files;
mod past_rows;
mod schemas;
mod system_tables;
mod unlisted;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::DataFusionError;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

pub(crate) use answers::columns_of as answer_columns;
pub use as_of::lake_after;
pub(crate) use derived::{Derived, derived};
pub use derived::{StateView, state};
pub use describe::describe;
use followed::{ResolvedFiles, following};
pub(crate) use schemas::{BareNames, Scope};
use schemas::{JobSchema, SystemSchema, ViewNames};
pub(crate) use system_tables::SYSTEM_TABLES;
pub use tidemill_ml::{ClusterSweep, SweepPoint};

use crate::error::{Error, ErrorKind, Result, nearest};
use crate::lake::Lake;
use crate::memory;
use crate::predict;
use crate::records::Ledger;
use crate::registry::Models;
use crate::sql::{self, collect, context, explain_memory, frame, settled};
use crate::table::rowless::rowless;

/// A statement whose files were taken out of their table meanwhile, as it was built anew more often than former ones are
/// kept, is run again.
const ATTEMPTS: usize = 5;

/// A session over the tables of a lake.
///
/// # Errors
/// User: there is no such lake.
pub async fn open_session(lake: &Lake) -> Result<SessionContext> {
    check_lake(lake)?;
    session(&Scope::new(lake.clone()))
}

pub(crate) fn check_lake(lake: &Lake) -> Result<()> {
    if lake.root().is_dir() {
        return Ok(());
    }
    Err(Error::user(format!("there is no lake at {}", lake.root().display())).hint(
        "name another one with --lake DIR, or make one: `tidemill demo` makes ./demo, `tidemill stream JOB` makes ./lake",
    ))
}

/// A session whose tables are those that `scope` shows.
pub(crate) fn session(scope: &Scope) -> Result<SessionContext> {
    let (lake, resolved) = (&scope.lake, &scope.resolved);
    let config = SessionConfig::new()
        .with_extension(resolved.clone())
        .with_extension(Arc::new(scope.models.clone()))
        .with_information_schema(true)
        .with_default_catalog_and_schema("tidemill", "public")
        .with_create_default_catalog_and_schema(false);
    // What a statement needs beyond the limit spills to disk, or is an error.
    let pool = FairSpillPool::new(usize::try_from(memory::limit()).unwrap_or(usize::MAX));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
    let context = context(config, following(&runtime, resolved));
    predict::register(&context, &scope.models)?;
    let catalog = MemoryCatalogProvider::new();
    for schema_name in lake.schema_names()? {
        let schema = JobSchema::new(scope.clone(), schema_name.clone());
        catalog.register_schema(&schema_name, Arc::new(schema))?;
    }
    catalog.register_schema("system", Arc::new(SystemSchema::new(scope.clone())))?;
    catalog.register_schema("public", Arc::new(BareNames::new(scope.clone())))?;
    context.register_catalog("tidemill", Arc::new(catalog));
    Ok(context)
}

/// A session for the SELECTs of a batch job: its own tables and inputs by their bare names and as `schema_name.table`,
/// and what the lake has of other jobs; `models` are those that they ask.
///
/// # Errors
/// Storage: the lake cannot be listed.
pub(crate) fn job_session(
    lake: &Lake,
    schema_name: &str,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    models: &Models,
) -> Result<SessionContext> {
    let scope = Scope { models: models.clone(), ..Scope::new(lake.clone()) };
    let config = config
        .with_extension(scope.resolved.clone())
        .with_default_catalog_and_schema("tidemill", "public")
        .with_create_default_catalog_and_schema(false);
    let context = context(config, following(&runtime, &scope.resolved));
    predict::register(&context, models)?;
    let catalog = MemoryCatalogProvider::new();
    for other in lake.schema_names()? {
        let schema = JobSchema::new(scope.clone(), other.clone());
        catalog.register_schema(&other, Arc::new(schema))?;
    }
    catalog.register_schema("system", Arc::new(SystemSchema::new(scope)))?;
    let own = Arc::new(MemorySchemaProvider::new());
    for (name, table) in tables {
        own.register_table(name, table)?;
    }
    catalog.register_schema("public", own.clone())?;
    catalog.register_schema(schema_name, own)?;
    context.register_catalog("tidemill", Arc::new(catalog));
    Ok(context)
}

/// A session for the views of a job that is not there yet: its own tables as they will be, and all others of the lake.
///
/// # Errors
/// Storage: the lake cannot be listed.
pub(crate) fn view_session(
    lake: &Lake,
    schema_name: &str,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(1);
    let models = Models::of(lake);
    let session = job_session(lake, schema_name, tables.clone(), config, Arc::default(), &models)?;
    if let Some(catalog) = session.catalog("tidemill") {
        let names = ViewNames::new(Scope::new(lake.clone()), schema_name.to_owned(), tables);
        catalog.register_schema("public", Arc::new(names))?;
    }
    Ok(session)
}

/// A job's table as it is committed now, each of its files with the bytes that its record says; `full` is its name with the
/// schema. `None`: it has no file.
///
/// # Errors
/// Storage; Corrupt: a file is not what its record says.
pub(crate) async fn committed_table(
    lake: &Lake,
    schema_name: &str,
    full: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let name = full.rsplit('.').next().unwrap_or(full);
    let scope = Scope::new(lake.clone());
    scope.resolved.verify();
    let schema = JobSchema::new(scope, schema_name.to_owned());
    Ok(crate::panics::caught_in(schema.table(name)).await??)
}

/// Runs one reading statement. A table that is not there is answered with the nearest, an ambiguous bare name
/// with the candidates.
///
/// # Errors
/// User: the statement; Storage or Corrupt: the tables.
pub async fn query(context: &SessionContext, lake: &Lake, sql: &str) -> Result<Vec<RecordBatch>> {
    let resolved = context.copied_config().get_extension::<ResolvedFiles>();
    if let Some(models) = context.copied_config().get_extension::<Models>() {
        models.forget();
    }
    for _ in 0..ATTEMPTS {
        let _reading = resolved.as_ref().map(|resolved| resolved.begin());
        let frame = frame(context, sql).await.map_err(|e| damaged(explain(e, lake), resolved.as_deref()))?;
        let plan = frame.logical_plan().clone();
        let batches = collect(frame).await;
        if resolved.as_ref().is_none_or(|resolved| resolved.all_there()) {
            let batches = batches.map_err(|e| damaged(explain(e, lake), resolved.as_deref()))?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            // Of no rows too the columns have the types that they would have.
            let plan = settled(&context.state(), plan).await?;
            return Ok(vec![RecordBatch::new_empty(plan.schema().inner().clone())]);
        }
    }
    let gone = resolved.map(|resolved| resolved.not_there());
    Err(gone.unwrap_or_else(|| Error::internal("a session that reads no files of a lake has lost one")))
}

/// The error of a statement: where a file that it read is not what its record says, that is what is wrong.
fn damaged(error: Error, resolved: Option<&ResolvedFiles>) -> Error {
    let of_files = matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::Data | ErrorKind::Internal
    );
    resolved.filter(|_| of_files).and_then(ResolvedFiles::damage).unwrap_or(error)
}

/// From now on a session reads a file of the lake only if all its bytes are those that its record was written with; without
/// it, if its size is.
pub fn verify_files(context: &SessionContext) {
    if let Some(resolved) = context.copied_config().get_extension::<ResolvedFiles>() {
        resolved.verify();
    }
}

/// Whether the files that a session has read are still there: DataFusion takes one that is gone for no rows.
///
/// # Errors
/// Storage: one is not.
pub(crate) fn check_files(context: &SessionContext) -> Result<()> {
    match context.copied_config().get_extension::<ResolvedFiles>() {
        Some(resolved) if !resolved.all_there() => Err(resolved.not_there()),
        _ => Ok(()),
    }
}

/// Full names of all tables, `schema.table`, sorted; the system's last.
///
/// # Errors
/// Storage or Corrupt.
pub fn table_names(lake: &Lake) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for schema_name in lake.schema_names()? {
        let ledger = Ledger::of(lake, &schema_name)?;
        let tables = schemas::job_tables(lake, &schema_name, &ledger)?;
        names.extend(tables.iter().map(|table| format!("{schema_name}.{table}")));
    }
    names.extend(SYSTEM_TABLES.iter().map(|table| format!("system.{}", table.name)));
    Ok(names)
}

/// The error of a statement: a table that is not there with the nearest.
pub(crate) fn explain(error: DataFusionError, lake: &Lake) -> Error {
    let error = Error::from(error);
    let text = error.to_string();
    let Some(missing) = text.split("table '").nth(1).and_then(|rest| rest.strip_suffix("' not found")) else {
        return match error.kind() {
            ErrorKind::Memory => explain_memory(error, Some(memory::limit())),
            ErrorKind::User if text.contains("not allowed") || text.contains("not supported") => {
                error.hint("a lake is read with SELECT, SHOW and DESCRIBE; jobs write it")
            }
            _ => error,
        };
    };
    let name = missing.trim_start_matches("tidemill.").trim_start_matches("public.");
    // Of a table as it was, what it is called.
    let name = match sql::as_of::split(name) {
        Ok(Some((table, _))) => table,
        _ => name,
    };
    let error = missing_table(name, &table_names(lake).unwrap_or_default());
    match rowless(lake, name) {
        Some(why) => error.hint(why),
        None => error,
    }
}

/// There is no such table among `tables`, or several of a bare name.
pub(crate) fn missing_table(name: &str, tables: &[String]) -> Error {
    let bare = name.rsplit('.').next().unwrap_or(name);
    let same: Vec<&str> =
        tables.iter().map(String::as_str).filter(|t| t.rsplit('.').next() == Some(bare)).collect();
    let hint = if same.len() > 1 {
        return Error::user(format!("`{name}` is the name of several tables"))
            .hint(format!("say which: {}", same.join(", ")));
    } else if let Some(near) = nearest(name, tables.iter().map(String::as_str))
        .or_else(|| nearest(bare, tables.iter().filter_map(|t| t.rsplit('.').next())))
    {
        format!("did you mean `{near}`? The tables are: {}", tables.join(", "))
    } else {
        format!("the tables are: {}", tables.join(", "))
    };
    Error::user(format!("there is no table `{name}`")).hint(hint)
}
