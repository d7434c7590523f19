//! IN and EXISTS of a subquery as a column: `SELECT k, k IN (SELECT …)`.
//!
//! DataFusion 55 has joins for them in conditions alone. As a value EXISTS is whether the subquery has any rows, and for a
//! count of them DataFusion has a join, also of rows that meet the outer one by `=`. What it has none for is told when the
//! plan is made ([`statement`](crate::sql::statement)).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, Spans};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Subquery, lit};
use datafusion::optimizer::AnalyzerRule;

use super::null_membership::three_valued;

/// Makes IN and EXISTS of a SELECT list values.
#[derive(Debug)]
pub(super) struct SubqueryColumns;

impl AnalyzerRule for SubqueryColumns {
    fn name(&self) -> &str {
        "subquery_columns"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = &plan else { return Ok(Transformed::no(plan)) };
    let schema = projection.input.schema().clone();
    let names = NamePreserver::new(&plan);
    let made = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let as_exists = expression.transform_up(|part| match part {
            Expr::InSubquery(membership) => three_valued(membership, &schema).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })?;
        let made = as_exists.transform_data(|expression| {
            expression.transform_up(|part| match part {
                Expr::Exists(exists) => has_rows(exists).map(Transformed::yes),
                other => Ok(Transformed::no(other)),
            })
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })?;
    match made.transformed {
        true => made.map_data(LogicalPlan::recompute_schema),
        false => Ok(made),
    }
}

/// A subquery without what does not decide whether it has rows, and keeps DataFusion from a join: its columns, their order,
/// and a LIMIT of some rows.
fn without_order(mut plan: Arc<LogicalPlan>) -> Arc<LogicalPlan> {
    loop {
        plan = match plan.as_ref() {
            LogicalPlan::Sort(sort)
                if sort.fetch.is_none() && !sort.expr.iter().any(|key| key.expr.contains_outer()) =>
            {
                sort.input.clone()
            }
            LogicalPlan::Limit(Limit { skip: None, fetch: Some(fetch), input }) if matches!(**fetch, Expr::Literal(ScalarValue::Int64(Some(rows)), _) if rows > 0) => {
                input.clone()
            }
            LogicalPlan::Projection(columns) if !columns.expr.iter().any(Expr::contains_outer) => {
                columns.input.clone()
            }
            _ => return plan,
        };
    }
}

/// Whether a subquery has rows, by their number.
fn has_rows(exists: Exists) -> Result<Expr> {
    let Exists { subquery, negated } = exists;
    let rows = count(lit(1)).alias("__rows");
    let plan = LogicalPlanBuilder::from(without_order(subquery.subquery))
        .aggregate(Vec::<Expr>::new(), [rows])?
        .build()?;
    let outer_ref_columns = subquery.outer_ref_columns;
    let counted = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() };
    let rows = coalesce(vec![Expr::ScalarSubquery(counted), lit(0i64)]);
    Ok(if negated { rows.eq(lit(0i64)) } else { rows.gt(lit(0i64)) })
}
