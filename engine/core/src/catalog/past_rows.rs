//! Tables as they were whose files were compacted since with those of later batches: their rows of the batches up to then.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{ident, lit};

/// The rows of a table whose batch, which is in this column, is one of the first so many.
pub(super) fn before(
    table: Arc<dyn TableProvider>,
    column: &str,
    batches: u64,
) -> Result<Arc<dyn TableProvider>> {
    let rows = scan(table)?.filter(ident(column).lt(lit(batches)))?.build()?;
    Ok(view(rows))
}

/// The rows of all these tables, which have the columns of the first.
pub(super) fn together(
    first: Arc<dyn TableProvider>,
    others: Vec<Arc<dyn TableProvider>>,
) -> Result<Arc<dyn TableProvider>> {
    if others.is_empty() {
        return Ok(first);
    }
    let mut all = scan(first)?;
    for other in others {
        all = all.union(scan(other)?.build()?)?;
    }
    Ok(view(all.build()?))
}

fn scan(table: Arc<dyn TableProvider>) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan("rows", provider_as_source(table), None)
}

fn view(rows: LogicalPlan) -> Arc<dyn TableProvider> {
    Arc::new(ViewTable::new(rows, None))
}
