//! Schemas of a lake for DataFusion, made from the records at each look.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;

use super::followed::ResolvedFiles;
use super::system_tables::{self, SYSTEM_TABLES};
use super::{derived, model_files, unlisted};
use crate::lake::Lake;
use crate::records::{FileEntry, Ledger};
use crate::registry::Models;
use crate::table::scan::{parquet_table, version_table};

/// What the schemas of one session share.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(super) lake: Lake,
    pub(super) resolved: Arc<ResolvedFiles>,
    /// The models that are asked by `predict` and its like.
    pub(super) models: Models,
    /// The views that are being planned, by their full names: each within the one before it.
    pub(super) planning: Vec<String>,
}

impl Scope {
    pub(crate) fn new(lake: Lake) -> Scope {
        let (resolved, models) = (Arc::new(ResolvedFiles::new(lake.clone())), Models::of(&lake));
        Scope { resolved, models, lake, planning: Vec::new() }
    }

    /// Names of the tables of a job.
    fn tables(&self, schema_name: &str) -> crate::error::Result<BTreeSet<String>> {
        let ledger = self.resolved.ledger(schema_name)?;
        job_tables(&self.lake, schema_name, &ledger)
    }

    /// The scope of what a view reads.
    pub(super) fn within(&self, view: String) -> Scope {
        let mut scope = self.clone();
        scope.planning.push(view);
        scope
    }
}

/// The tables of one job.
#[derive(Debug)]
pub(super) struct JobSchema {
    scope: Scope,
    name: String,
}

/// The tables of the engine itself, over all jobs.
#[derive(Debug)]
pub(super) struct SystemSchema {
    scope: Scope,
}

/// Tables by their bare names, where these are unique. Lists none, so that SHOW TABLES shows each once.
#[derive(Debug)]
pub(crate) struct BareNames {
    scope: Scope,
}

/// Tables by their bare names as a view of a job will see them that is not there yet.
#[derive(Debug)]
pub(super) struct ViewNames {
    schema_name: String,
    own: HashMap<String, Arc<dyn TableProvider>>,
    others: BareNames,
}

impl ViewNames {
    pub(super) fn new(
        scope: Scope,
        schema_name: String,
        own: impl IntoIterator<Item = (String, Arc<dyn TableProvider>)>,
    ) -> Self {
        ViewNames { schema_name, own: own.into_iter().collect(), others: BareNames::new(scope) }
    }
}

#[async_trait]
impl SchemaProvider for ViewNames {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(own) = self.own.get(name) else { return self.others.table(name).await };
        let candidates = self.others.candidates(name).map_err(external)?;
        let is_alone = candidates.iter().all(|(schema, _)| *schema == self.schema_name);
        Ok(is_alone.then(|| own.clone()))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.contains_key(name) || self.others.table_exist(name)
    }
}

impl JobSchema {
    pub(super) fn new(scope: Scope, name: String) -> Self {
        JobSchema { scope, name }
    }
}

impl SystemSchema {
    pub(crate) fn new(scope: Scope) -> Self {
        SystemSchema { scope }
    }
}

impl BareNames {
    pub(crate) fn new(scope: Scope) -> Self {
        BareNames { scope }
    }

    fn candidates(&self, name: &str) -> crate::error::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for schema in self.scope.lake.schema_names()? {
            if self.scope.tables(&schema)?.contains(name) {
                found.push((schema, name.to_owned()));
            }
        }
        if system_tables::named(name).is_some() {
            found.push(("system".to_owned(), name.to_owned()));
        }
        Ok(found)
    }
}

/// Names of the tables that a job's commits have added to, of its state and its views.
pub(super) fn job_tables(
    lake: &Lake,
    schema_name: &str,
    ledger: &Ledger,
) -> crate::error::Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = ledger.names(schema_name).map(String::from).collect();
    names.extend(derived::names(lake, schema_name)?);
    Ok(names)
}

#[async_trait]
impl SchemaProvider for JobSchema {
    fn table_names(&self) -> Vec<String> {
        self.scope.tables(&self.name).unwrap_or_default().into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let full = format!("{}.{name}", self.name);
        let Scope { lake, resolved, .. } = &self.scope;
        let ledger = resolved.ledger(&self.name).map_err(external)?;
        let files = of_table(&ledger, &full);
        if files.is_empty() {
            return derived::table(&self.scope, &self.name, name).await.map_err(external);
        }
        let columns = ledger.partition_columns(&full);
        if !columns.is_empty() {
            let paths = resolve(resolved, &files)?;
            return version_table(&paths, columns).await.map(Some).map_err(external);
        }
        unlisted::warn(lake, &self.name, &full, &files);
        provider(resolved, &files, None).await.map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table == name)
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        SYSTEM_TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = system_tables::named(name) else { return Ok(None) };
        if table.is_derived {
            let rows = system_tables::metric_values(&self.scope.lake).map_err(external)?;
            return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
        }
        let mut files = Vec::new();
        let Scope { lake, resolved, .. } = &self.scope;
        for job in lake.schema_names().map_err(external)? {
            let full = format!("system.{name}");
            let ledger = resolved.ledger(&job).map_err(external)?;
            let of_job = of_table(&ledger, &full);
            unlisted::warn(lake, &job, &full, &of_job);
            files.extend(of_job);
        }
        let table = provider(resolved, &files, Some((table.schema)())).await?;
        Ok(Some(if name == "models" { model_files::only_what_is_there(table, lake)? } else { table }))
    }

    fn table_exist(&self, name: &str) -> bool {
        system_tables::named(name).is_some()
    }
}

#[async_trait]
impl SchemaProvider for BareNames {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.candidates(name).map_err(external)?.as_slice() {
            [(schema, table)] if schema == "system" => {
                SystemSchema::new(self.scope.clone()).table(table).await
            }
            [(schema, table)] => JobSchema::new(self.scope.clone(), schema.clone()).table(table).await,
            _ => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.candidates(name).is_ok_and(|found| found.len() == 1)
    }
}

/// A table over exactly these files. Without a schema, the newest file's holds.
async fn provider(
    resolved: &ResolvedFiles,
    files: &[FileEntry],
    schema: Option<SchemaRef>,
) -> Result<Arc<dyn TableProvider>> {
    loop {
        let paths = resolve(resolved, files)?;
        match parquet_table(&paths, schema.clone()).await {
            // The newest was renamed before its columns were read: it has its last place now.
            Err(_) if paths.last().is_some_and(|newest| !newest.is_file()) => {}
            table => return table,
        }
    }
}

/// The files of a table, in the order of their batches.
fn of_table(ledger: &Ledger, full: &str) -> Vec<FileEntry> {
    ledger.files(full).iter().map(|listed| listed.file.clone()).collect()
}

/// Where these files are.
fn resolve(resolved: &ResolvedFiles, files: &[FileEntry]) -> Result<Vec<PathBuf>> {
    files.iter().map(|file| resolved.resolve(file).map_err(external)).collect()
}

fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
