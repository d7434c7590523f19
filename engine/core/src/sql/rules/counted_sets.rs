//! `EXCEPT ALL` and `INTERSECT ALL`, which count how often a row is there.
//!
//! Of a row that is there m times on the left and n times on the right, SQL keeps max(m - n, 0) and min(m, n).
//! DataFusion 55 makes semi and anti joins of them, which keep none or all m (apache/datafusion#12955, #12956). Here each row has a
//! number among its likes, and a row is taken out, or kept, by the one of the same number.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result, plan_err};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, Projection};
use datafusion::optimizer::AnalyzerRule;

/// The name of a row's number among its likes.
const NUMBER: &str = "__number_among_likes";

/// Counts rows in `EXCEPT ALL` and `INTERSECT ALL`.
#[derive(Debug)]
pub(super) struct CountedSets;

impl AnalyzerRule for CountedSets {
    fn name(&self) -> &str {
        "counted_sets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) if is_set_operation(&join) => {
            let names: Vec<&str> = join.left.schema().fields().iter().map(|f| f.name().as_str()).collect();
            if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
                // DataFusion pairs the columns by their names.
                return plan_err!(
                    "two columns of EXCEPT or INTERSECT are called `{}`: give each a name of its own with AS",
                    twice.1
                );
            }
            // Without likes on the left there is nothing to count.
            match without_aliases(&join.left) {
                LogicalPlan::Distinct(_) => Ok(Transformed::no(LogicalPlan::Join(join))),
                _ => counted(join).map(Transformed::yes),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Only set operations join so: every column of the left with that of the right, nulls being equal.
fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.on.len() == join.left.schema().fields().len()
        && join.filter.is_none()
}

fn without_aliases(mut plan: &LogicalPlan) -> &LogicalPlan {
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = &alias.input;
    }
    plan
}

fn counted(join: Join) -> Result<LogicalPlan> {
    let columns: Vec<Column> = join.left.schema().columns();
    let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    let left = numbered(join.left, of_left)?;
    let right = numbered(join.right, of_right)?;
    let mut on = join.on;
    on.push((number_of(&left), number_of(&right)));
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        None,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?;
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Join(joined)))?))
}

fn numbered(plan: Arc<LogicalPlan>, likes: Vec<Expr>) -> Result<LogicalPlan> {
    let number = row_number().partition_by(likes).build()?.alias(NUMBER);
    LogicalPlanBuilder::from(plan).window([number])?.build()
}

fn number_of(plan: &LogicalPlan) -> Expr {
    let last = plan.schema().fields().len() - 1;
    Expr::Column(Column::from(plan.schema().qualified_field(last)))
}
