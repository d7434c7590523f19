//! Casts that make one value of several, and differences of dates, hidden from what turns comparisons around.
//!
//! DataFusion 55 makes `CAST(price AS INT) = 1` the comparison `price = 1.00`, and loses 1.50; of `TRY_CAST(n AS INT) <> 5` it
//! keeps what the cast makes null (apache/datafusion#23095, #24702), and `TRY_CAST(s AS INT) IS NOT DISTINCT FROM NULL` is one of
//! `s` to it. The days between two dates it counts as a BIGINT and
//! estimates as a duration, and how many rows have `CAST(ts AS DATE) > d` by midnights that lie outside of a file's times: a
//! filter of either ends in an internal error. Here each is taken through a function that gives back what it is given. It costs
//! that no row group is left out by such a comparison: of a day, `ts >= d` leaves them out.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, TryCast,
};
use datafusion::optimizer::AnalyzerRule;

use super::of_its_type::OfItsType;

/// Hides casts that lose something, and differences of dates.
#[derive(Debug)]
pub(super) struct HideLossyCasts(Arc<ScalarUDF>);

impl HideLossyCasts {
    pub(super) fn new() -> HideLossyCasts {
        HideLossyCasts(Arc::new(ScalarUDF::from(OfItsType::as_it_is())))
    }

    fn node(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::TableScan(_)) || !may_be_hidden(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let made = expression.transform_up(|part| match is_hidden(&part, &schema)? {
                true => Ok(Transformed::yes(self.0.call(vec![part]))),
                false => Ok(Transformed::no(part)),
            })?;
            Ok(made.update_data(|expression| name.restore(expression)))
        })
    }
}

impl AnalyzerRule for HideLossyCasts {
    fn name(&self) -> &str {
        "hide_lossy_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| self.node(plan))?.data)
    }
}

/// Whether it is worth while to look at types.
fn may_be_hidden(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expression| {
        found |= expression.exists(|part| {
            let is_minus = matches!(part, Expr::BinaryExpr(BinaryExpr { op: Operator::Minus, .. }));
            Ok(is_minus || matches!(part, Expr::Cast(_) | Expr::TryCast(_)))
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_hidden(part: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match part {
        Expr::Cast(Cast { expr, field }) if !matches!(**expr, Expr::Literal(..)) => {
            loses(&expr.get_type(schema)?, field.data_type())
        }
        Expr::TryCast(TryCast { expr, field }) if !matches!(**expr, Expr::Literal(..)) => {
            expr.get_type(schema)? != *field.data_type()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            is_date(&left.get_type(schema)?) && is_date(&right.get_type(schema)?)
        }
        _ => false,
    })
}

fn loses(from: &DataType, to: &DataType) -> bool {
    let scale = |kind: &DataType| match kind {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        kind if kind.is_integer() => Some(0),
        _ => None,
    };
    let is_day = matches!(from, DataType::Timestamp(..)) && is_date(to);
    is_day || from.is_decimal() && matches!((scale(from), scale(to)), (Some(from), Some(to)) if to < from)
}

fn is_date(kind: &DataType) -> bool {
    matches!(kind, DataType::Date32 | DataType::Date64)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn what_try_cast_makes_null_is_null() {
        let rows =
            "FROM (SELECT * FROM (VALUES ('a'), ('05'), (NULL)) AS v (s) ORDER BY s LIMIT 5) AS v ORDER BY s";
        check(&[
            (
                &format!("SELECT TRY_CAST(s AS INT) IS NOT DISTINCT FROM CAST(NULL AS INT), TRY_CAST(s AS DATE) IS DISTINCT FROM CAST(NULL AS DATE) {rows}"),
                &["false|false", "true|false", "true|false"] as &[&str],
            ),
            (
                &format!("SELECT TRY_CAST(s AS INT) = 5, TRY_CAST(s AS INT) IS DISTINCT FROM 5 {rows}"),
                &["true|false", "|true", "|true"],
            ),
        ])
        .await;
    }
}
