//! `x > ALL (SELECT …)` and `x = ANY (SELECT …)` as a column.
//!
//! DataFusion 55 makes EXISTS of them, for which it has a join in conditions alone. As a value `= ANY` is IN and `<> ALL` NOT
//! IN. Any other is told by the least or the greatest row of the subquery S, and by whether it has nulls:
//!
//! ```text
//! x > ALL (S): CASE WHEN NOT x > max(s) THEN false WHEN x IS NULL AND S has rows OR S has nulls THEN null ELSE true END
//! ```

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::Error;

/// Makes comparisons with all rows of a subquery values, in a SELECT list, and IN of them in a condition.
#[derive(Debug)]
pub(super) struct SetComparisons;

impl AnalyzerRule for SetComparisons {
    fn name(&self) -> &str {
        "set_comparisons"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let is_value = matches!(plan, LogicalPlan::Projection(_));
    if !is_value && !matches!(plan, LogicalPlan::Filter(_)) {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let made = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| match part {
            Expr::SetComparison(comparison) if is_value || is_membership(&comparison) => {
                value(comparison).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })?;
    match made.transformed {
        true => made.map_data(LogicalPlan::recompute_schema),
        false => Ok(made),
    }
}

/// Whether it is IN or NOT IN, of which there are joins by hash in conditions too.
fn is_membership(comparison: &SetComparison) -> bool {
    match comparison.quantifier {
        SetQuantifier::Any => comparison.op == Operator::Eq,
        SetQuantifier::All => comparison.op == Operator::NotEq,
    }
}

/// Whether its rows are those of tables, filtered.
fn is_plain(plan: &LogicalPlan) -> Result<bool> {
    let is_other = plan.exists(|node| {
        Ok(!matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::Subquery(_)
                | LogicalPlan::Join(_)
        ))
    })?;
    Ok(!is_other)
}

fn value(comparison: SetComparison) -> Result<Expr> {
    let is_membership = is_membership(&comparison);
    let SetComparison { expr, subquery, op, quantifier } = comparison;
    let of_all = matches!(quantifier, SetQuantifier::All);
    if is_membership {
        return Ok(Expr::InSubquery(InSubquery { expr, subquery, negated: of_all }));
    }
    // DataFusion makes a join of it, and has no row where nothing meets the outer one.
    if !subquery.outer_ref_columns.is_empty() && !is_plain(&subquery.subquery)? {
        let made = Error::user(
            "ANY and ALL stand in WHERE and as columns, but not over groups or a LIMIT of rows that meet the outer row",
        );
        let hint = "write instead: LEFT JOIN what it reads on that condition, and GROUP BY the outer row";
        return Err(DataFusionError::External(Box::new(made.hint(hint))));
    }
    let member = || Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    let of = |aggregate: Expr| -> Result<Expr> {
        let plan = LogicalPlanBuilder::from(subquery.subquery.clone())
            .aggregate(Vec::<Expr>::new(), [aggregate.alias("__of_set")])?
            .build()?;
        Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() }))
    };
    let with = |other: Expr| Expr::BinaryExpr(BinaryExpr::new(expr.clone(), op, Box::new(other)));
    let (least, greatest) = (of(min(member())), of(max(member())));
    // Whether a row decides it.
    let decided = match (op, of_all) {
        (Operator::Eq, _) => not(with(least?)).or(not(with(greatest?))),
        (Operator::NotEq, _) => with(least?).or(with(greatest?)),
        (Operator::Gt | Operator::GtEq, true) => not(with(greatest?)),
        (Operator::Lt | Operator::LtEq, true) => not(with(least?)),
        (Operator::Gt | Operator::GtEq, false) => with(least?),
        _ => with(greatest?),
    };
    let (rows, values) = (of(count(lit(1)))?, of(count(member()))?);
    let unknown = expr.clone().is_null().and(rows.clone().gt(lit(0i64))).or(rows.gt(values));
    when(decided, lit(!of_all)).when(unknown, lit(ScalarValue::Boolean(None))).otherwise(lit(of_all))
}
