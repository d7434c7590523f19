//! Files as tables, by their paths, in a session of the command line: `SELECT * FROM 'sales/*.csv.gz'`.
//!
//! They are read as the inputs of batch jobs are, with `types = "auto"`. A name that a table of the lake has is that table.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;
use datafusion::sql::resolve::resolve_table_references;

use super::input::{path_table, text_table};
use crate::catalog::{BareNames, Scope, check_lake, session};
use crate::lake::Lake;
use crate::sql;

/// Bare names of tables, then paths.
#[derive(Debug)]
struct NamesAndPaths(BareNames);

/// A session for the one who sits at this machine: it also reads files by their paths, `SELECT * FROM 'sales.csv'`. No
/// other session ever does. There need be no lake where the statements read files alone.
///
/// # Errors
/// User: there is no such lake.
pub async fn open_session_with_files(lake: &Lake, statements: &[String]) -> crate::Result<SessionContext> {
    let needs_no_lake = !lake.root().is_dir() && statements.iter().all(|text| are_all_of(text));
    if !needs_no_lake {
        check_lake(lake)?;
    }
    // One scope: whoever runs a statement looks at the files of all its tables, also of those with bare names.
    let scope = Scope::new(lake.clone());
    let context = session(&scope)?;
    register(&context, scope)?;
    Ok(context)
}

/// The rows of a file, or of those that a pattern finds: of a text file each cell is a text.
///
/// # Errors
/// User: no such file, or one that does not say how it is written; Data: it cannot be read; Memory.
pub async fn rows_of_file(path: &str) -> crate::Result<Vec<RecordBatch>> {
    let context = sql::context(SessionConfig::new().with_target_partitions(1), Arc::default());
    let frame = context.read_table(text_table(path).await?)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let rows = sql::collect(frame).await?;
    Ok(if rows.is_empty() { vec![RecordBatch::new_empty(schema)] } else { rows })
}

/// Lets a session read files by their paths.
fn register(context: &SessionContext, scope: Scope) -> Result<()> {
    let catalog = context
        .catalog("tidemill")
        .ok_or_else(|| DataFusionError::Internal("a session without its catalog".to_owned()))?;
    catalog.register_schema("public", Arc::new(NamesAndPaths(BareNames::new(scope))))?;
    Ok(())
}

/// Whether a statement reads files, and nothing else.
fn are_all_of(statement: &str) -> bool {
    let Ok(statements) = DFParser::parse_sql(statement) else { return false };
    let read = statements.iter().map(|statement| resolve_table_references(statement, true));
    let read = read.collect::<Result<Vec<_>>>().unwrap_or_default();
    let is_path = |name: &TableReference| matches!(name, TableReference::Bare { table } if is_path(table));
    !read.is_empty() && read.iter().all(|(tables, _)| !tables.is_empty() && tables.iter().all(is_path))
}

/// Whether a name is none of a table, but one of files.
fn is_path(name: &str) -> bool {
    name.contains(['.', '/', '*']) && matches!(sql::as_of::split(name), Ok(None))
}

#[async_trait]
impl SchemaProvider for NamesAndPaths {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.0.table(name).await? {
            None if is_path(name) => {
                let table = path_table(name).await;
                table.map(Some).map_err(|error| DataFusionError::External(Box::new(error)))
            }
            found => Ok(found),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name) || is_path(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_of_files_alone_is_known() {
        assert!(are_all_of("WITH a AS (SELECT * FROM 'x.csv') SELECT * FROM a JOIN 'd/y.parquet' USING (k)"));
        for statement in ["SELECT 1", "SELECT * FROM 'x.csv', t", "SELECT * FROM t.x", "SELEC", ""] {
            assert!(!are_all_of(statement), "{statement}");
        }
    }
}
