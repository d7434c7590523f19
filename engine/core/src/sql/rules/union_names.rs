//! The names of a UNION's columns.
//!
//! They are those of its first SELECT. DataFusion 55 takes them anew from the first that is left once SELECTs without rows
//! are gone, so that the result has other names, or an internal error says that they differ. So each SELECT gets the names
//! of the first.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};
use datafusion::optimizer::AnalyzerRule;

/// Gives all parts of a UNION the names of the first.
#[derive(Debug)]
pub(super) struct UnionNames;

impl AnalyzerRule for UnionNames {
    fn name(&self) -> &str {
        "union_names"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan| match plan {
            LogicalPlan::Union(Union { inputs, schema }) => {
                let mut changed = false;
                let mut named = Vec::with_capacity(inputs.len());
                for input in inputs {
                    let mut names = input.schema().fields().iter().zip(schema.fields());
                    if names.all(|(one, other)| one.name() == other.name()) {
                        named.push(input);
                        continue;
                    }
                    let columns = input
                        .schema()
                        .iter()
                        .zip(schema.fields())
                        .map(|(given, field)| Expr::Column(Column::from(given)).alias(field.name()));
                    let columns = columns.collect();
                    named.push(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)));
                    changed = true;
                }
                let union = LogicalPlan::Union(Union { inputs: named, schema });
                Ok(Transformed::new_transformed(union, changed))
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}
