//! Subqueries in GROUP BY.
//!
//! DataFusion 55 has no join for one that meets the outer row, and refuses it. So what is grouped by is a column before.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;

use super::grouping_keys::as_columns;
use super::has_subquery;

/// Makes subqueries that are grouped by columns.
#[derive(Debug)]
pub(super) struct GroupedSubqueries;

impl AnalyzerRule for GroupedSubqueries {
    fn name(&self) -> &str {
        "grouped_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan| match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(has_subquery) => {
                as_columns(aggregate, has_subquery).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}
