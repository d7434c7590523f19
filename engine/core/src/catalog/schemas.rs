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
use super::{as_of, derived, model_files, past_rows, unlisted};
use crate::error::{Error, ErrorKind};
use crate::lake::Lake;
use crate::records::{FileEntry, Ledger};
use crate::registry::Models;
use crate::sql::{self, as_of::AsOf};
use crate::table::publish::readable_path;
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

    /// The scope of the lake as it was.
    fn at(&self, lake: Lake) -> Scope {
        Scope { models: Models::of(&lake), lake, ..self.clone() }
    }

    /// What the records of a job say together: as they are while the statement is planned, or as they were.
    pub(super) fn ledger(&self, schema_name: &str) -> crate::error::Result<Arc<Ledger>> {
        match self.lake.is_past() {
            true => Ledger::of(&self.lake, schema_name),
            false => self.resolved.ledger(schema_name),
        }
    }

    /// Names of the tables of a job.
    fn tables(&self, schema_name: &str) -> crate::error::Result<BTreeSet<String>> {
        let ledger = self.ledger(schema_name)?;
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

impl JobSchema {
    /// A table as it was.
    async fn as_it_was(&self, name: &str, as_of: AsOf) -> Result<Option<Arc<dyn TableProvider>>> {
        let full = format!("{}.{name}", self.name);
        let alone = as_of::job_as_of(&self.scope.lake, &self.name, name, as_of).map_err(external)?;
        let ledger = Ledger::of(&alone, &self.name).map_err(external)?;
        let names = job_tables(&alone, &self.name, &ledger).map_err(external)?;
        if !names.contains(name) {
            return match self.table_exist(name) {
                true => Err(external(Error::user(format!("there was no {full} then")))),
                false => Ok(None),
            };
        }
        // What files hold needs no other job. A view may read others.
        if !of_table(&ledger, &full).is_empty() {
            return JobSchema::new(self.scope.at(alone), self.name.clone()).table(name).await;
        }
        let lake = as_of::lake_as_of(&self.scope.lake, &self.name, name, as_of).map_err(external)?;
        JobSchema::new(self.scope.at(lake), self.name.clone()).table(name).await
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
        let table = sql::as_of::split(name)?.map_or(name, |(table, _)| table);
        for schema in self.scope.lake.schema_names()? {
            if self.scope.tables(&schema)?.contains(table) {
                found.push((schema, name.to_owned()));
            }
        }
        if system_tables::named(table).is_some() {
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
    names.extend(derived::names(lake, schema_name, ledger)?);
    Ok(names)
}

#[async_trait]
impl SchemaProvider for JobSchema {
    fn table_names(&self) -> Vec<String> {
        self.scope.tables(&self.name).unwrap_or_default().into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((table, as_of)) = sql::as_of::split(name).map_err(external)? {
            return self.as_it_was(table, as_of).await;
        }
        let full = format!("{}.{name}", self.name);
        let Scope { lake, resolved, .. } = &self.scope;
        let ledger = self.scope.ledger(&self.name).map_err(external)?;
        let files = of_table(&ledger, &full);
        if files.is_empty() {
            return match derived::table(&self.scope, &self.name, name).await {
                // A state is made anew of its snapshot and what came since, of which the last few stay.
                Err(error) if lake.is_past() && is_of_files(&error) && is_state(lake, &self.name, name) => {
                    Err(external(as_of::gone(&full, &error.to_string())))
                }
                made => made.map_err(external),
            };
        }
        if lake.is_past() {
            check_there(lake, &full, &files)?;
        }
        let columns = ledger.partition_columns(&full);
        if !columns.is_empty() {
            let paths = resolve(resolved, &files)?;
            return version_table(&paths, columns).await.map(Some).map_err(external);
        }
        if !lake.is_past() {
            unlisted::warn(lake, &self.name, &full, &files);
        }
        let rows = provider(resolved, &files, None).await?;
        // Compacted since with rows of later batches.
        let beyond = lake.batches(&self.name).filter(|batches| ledger.reaches_beyond(&full, *batches));
        beyond.map_or(Ok(rows.clone()), |batches| past_rows::before(rows, "_batch_id", batches)).map(Some)
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
        match sql::as_of::split(name).map_err(external)? {
            Some((table, AsOf::Moment(moment))) => {
                let lake = as_of::lake_at(&self.scope.lake, moment).map_err(external)?;
                return SystemSchema::new(self.scope.at(lake)).table(table).await;
            }
            Some((table, AsOf::Version(_))) => {
                let made = format!("system.{table} has rows of all jobs, and no versions of its own");
                let hint = format!(
                    "say a time: system.{table} TIMESTAMP AS OF '2026-11-30 12:00:00'; or a batch of a job, for the whole statement: tidemill sql --job JOB --as-of-batch 40 \"…\""
                );
                return Err(external(Error::user(made).hint(hint)));
            }
            None => {}
        }
        let Some(table) = system_tables::named(name) else { return Ok(None) };
        if table.is_derived {
            let rows = system_tables::metric_values(&self.scope.lake).map_err(external)?;
            return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
        }
        let mut files = Vec::new();
        // Of jobs of which files have rows of later batches too, read as they were.
        let mut cut: Vec<Arc<dyn TableProvider>> = Vec::new();
        let Scope { lake, resolved, .. } = &self.scope;
        for job in lake.schema_names().map_err(external)? {
            let full = format!("system.{name}");
            let ledger = self.scope.ledger(&job).map_err(external)?;
            let of_job = of_table(&ledger, &full);
            match lake.is_past() {
                true => check_there(lake, &full, &of_job)?,
                false => unlisted::warn(lake, &job, &full, &of_job),
            }
            let batches = lake.batches(&job).filter(|batches| ledger.reaches_beyond(&full, *batches));
            match batches {
                Some(batches) => {
                    let rows = provider(resolved, &of_job, Some((table.schema)())).await?;
                    cut.push(past_rows::before(rows, "batch_id", batches)?);
                }
                None => files.extend(of_job),
            }
        }
        let rest = provider(resolved, &files, Some((table.schema)())).await?;
        let table = past_rows::together(rest, cut)?;
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

/// Refuses a table as it was of which a file was removed since.
fn check_there(lake: &Lake, full: &str, files: &[FileEntry]) -> Result<()> {
    match files.iter().find(|file| !readable_path(lake, file).is_file()) {
        Some(gone) => Err(external(as_of::gone(full, &format!("{} was removed since", gone.path)))),
        None => Ok(()),
    }
}

fn is_of_files(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage)
}

fn is_state(lake: &Lake, schema_name: &str, name: &str) -> bool {
    matches!(derived::derived(lake, schema_name, name), Ok(Some(derived::Derived::State { .. })))
}

/// Where these files are.
fn resolve(resolved: &ResolvedFiles, files: &[FileEntry]) -> Result<Vec<PathBuf>> {
    files.iter().map(|file| resolved.resolve(file).map_err(external)).collect()
}

fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
