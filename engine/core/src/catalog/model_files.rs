//! `system.models` as readers see it: retention removes a model's file some batches later, and the rows of those batches,
//! which are written once, go on naming it. A path is shown while there is something at it.

use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, in_list, when};
use datafusion::prelude::{ident, lit};

use crate::lake::Lake;
use crate::table::publish::staged_names;

/// The column that names a file, relative to the lake.
const PATH: &str = "path";

/// The table with null for each path of a file that is gone.
pub(super) fn only_what_is_there(
    models: Arc<dyn TableProvider>,
    lake: &Lake,
) -> Result<Arc<dyn TableProvider>> {
    let mut there: Vec<Expr> = Vec::new();
    for schema_name in lake.schema_names().map_err(|e| DataFusionError::External(Box::new(e)))? {
        let models = format!("{schema_name}/_models");
        for model in names(&lake.resolve(&models)) {
            let folder = format!("{models}/{model}");
            // A file is staged until its record is written and it is renamed.
            let staged = staged_names(lake, &schema_name, &folder);
            let files = names(&lake.resolve(&folder)).into_iter().chain(staged);
            there.extend(files.map(|file| lit(format!("{folder}/{file}"))));
        }
    }
    let columns: Vec<Expr> = models
        .schema()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            PATH => {
                when(in_list(ident(PATH), there.clone(), false), ident(PATH)).end().map(|e| e.alias(PATH))
            }
            name => Ok(ident(name)),
        })
        .collect::<Result<_>>()?;
    let scan = LogicalPlanBuilder::scan("models", provider_as_source(models), None)?;
    Ok(Arc::new(ViewTable::new(scan.project(columns)?.build()?, None)))
}

/// Names in a folder; none of one that is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
