//! Schemas of a lake for DataFusion, made from the records at each look.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::checkpoint::{Commit, FileEntry, RecordList};
use crate::decode::dead_letters_schema;
use crate::lake::Lake;
use crate::learn::tables;
use crate::table::publish::readable_path;
use crate::table::read::committed_files;

/// Names of the system tables.
pub(super) const SYSTEM_TABLES: [&str; 6] =
    ["batches", "centres", "data_loss", "dead_letters", "metrics", "models"];

/// The tables of one job.
#[derive(Debug)]
pub(super) struct JobSchema {
    lake: Lake,
    name: String,
}

/// The tables of the engine itself, over all jobs.
#[derive(Debug)]
pub(super) struct SystemSchema {
    lake: Lake,
}

/// Tables by their bare names, where these are unique. Lists none, so that SHOW TABLES shows each once.
#[derive(Debug)]
pub(super) struct BareNames {
    lake: Lake,
}

impl JobSchema {
    pub(super) fn new(lake: Lake, name: String) -> Self {
        JobSchema { lake, name }
    }
}

impl SystemSchema {
    pub(super) fn new(lake: Lake) -> Self {
        SystemSchema { lake }
    }
}

impl BareNames {
    pub(super) fn new(lake: Lake) -> Self {
        BareNames { lake }
    }

    fn candidates(&self, name: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for schema in self.lake.schema_names().unwrap_or_default() {
            if job_tables(&self.lake, &schema).unwrap_or_default().contains(name) {
                found.push((schema, name.to_owned()));
            }
        }
        if SYSTEM_TABLES.contains(&name) {
            found.push(("system".to_owned(), name.to_owned()));
        }
        found
    }
}

/// Names of the tables that a job's commits have added to.
pub(super) fn job_tables(lake: &Lake, schema_name: &str) -> crate::error::Result<BTreeSet<String>> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    let mut names = BTreeSet::new();
    let prefix = format!("{schema_name}.");
    // Newest first: a table that ever had rows is in most of the commits.
    for number in commits.numbers()?.rev() {
        let commit = commits.read(number)?;
        names.extend(commit.added.iter().filter_map(|f| f.table.strip_prefix(&prefix).map(String::from)));
        if !names.is_empty() {
            break;
        }
    }
    Ok(names)
}

#[async_trait]
impl SchemaProvider for JobSchema {
    fn table_names(&self) -> Vec<String> {
        job_tables(&self.lake, &self.name).unwrap_or_default().into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let full = format!("{}.{name}", self.name);
        let files = committed_files(&self.lake, &self.name, &full).map_err(external)?;
        if files.is_empty() {
            return Ok(None);
        }
        provider(&self.lake, &files, None).await.map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table == name)
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        SYSTEM_TABLES.map(String::from).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let schema = match name {
            "batches" => tables::batches_schema(),
            "centres" => tables::centres_schema(),
            "data_loss" => tables::data_loss_schema(),
            "dead_letters" => dead_letters_schema(),
            "metrics" => tables::metrics_schema(),
            "models" => tables::models_schema(),
            _ => return Ok(None),
        };
        let mut files = Vec::new();
        for job in self.lake.schema_names().map_err(external)? {
            files.extend(committed_files(&self.lake, &job, &format!("system.{name}")).map_err(external)?);
        }
        provider(&self.lake, &files, Some(schema)).await.map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        SYSTEM_TABLES.contains(&name)
    }
}

#[async_trait]
impl SchemaProvider for BareNames {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.candidates(name).as_slice() {
            [(schema, table)] if schema == "system" => {
                SystemSchema::new(self.lake.clone()).table(table).await
            }
            [(schema, table)] => JobSchema::new(self.lake.clone(), schema.clone()).table(table).await,
            _ => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.candidates(name).len() == 1
    }
}

/// A table over exactly these files. Without a schema, the newest file's holds.
async fn provider(
    lake: &Lake,
    files: &[FileEntry],
    schema: Option<SchemaRef>,
) -> Result<Arc<dyn TableProvider>> {
    let Some(newest) = files.last() else {
        let schema = schema.unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
        return Ok(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?));
    };
    let schema = match schema {
        Some(schema) => schema,
        None => {
            let file = std::fs::File::open(readable_path(lake, newest))?;
            ParquetRecordBatchReaderBuilder::try_new(file)?.schema().clone()
        }
    };
    let urls = files
        .iter()
        .map(|file| {
            let path = readable_path(lake, file);
            let path = std::path::absolute(&path)?;
            ListingTableUrl::parse(path.to_string_lossy())
        })
        .collect::<Result<Vec<_>>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
