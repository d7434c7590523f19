//! CASE as a guard: `CASE WHEN b <> 0 THEN x / b > 1 ELSE FALSE END`.
//!
//! DataFusion 55 makes a CASE of truth values `b <> 0 AND x / b > 1 OR …`, and computes the right side for all rows then, as
//! that of an AND after WHEN. Here a CASE of truth values that may fail is one of the numbers 1 and 0, and what may fail after
//! WHEN is such a CASE of what cannot ([`guards`](super::guards) has the same for WHERE).

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{
    conjunction, disjunction, merge_schema, split_binary_owned, split_conjunction_owned,
};
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, Operator, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::checked::Checked;
use super::guards::is_narrower;
use super::told::Told;

/// Keeps a CASE from being computed for rows that it leaves out.
#[derive(Debug)]
pub(super) struct LazyCases;

impl AnalyzerRule for LazyCases {
    fn name(&self) -> &str {
        "lazy_cases"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| match part {
            Expr::Case(case) if case.expr.is_none() => lazy(case, &schema),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn lazy(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    for (when, _) in &mut case.when_then_expr {
        if may_fail(when, schema)? {
            let made = guarded(std::mem::take(&mut **when), schema)?;
            changed |= made.transformed;
            **when = made.data;
        }
    }
    let results = case.when_then_expr.iter().map(|(_, then)| &**then).chain(case.else_expr.as_deref());
    let mut is_truth = true;
    let mut fails = false;
    for result in results {
        is_truth &= matches!(result.get_type(schema)?, DataType::Boolean | DataType::Null);
        fails |= may_fail(result, schema)?;
    }
    for (when, _) in case.when_then_expr.iter().skip(1) {
        fails |= may_fail(when, schema)?;
    }
    match is_truth && fails {
        true => Ok(Transformed::yes(as_number(case))),
        false => Ok(Transformed::new_transformed(Expr::Case(case), changed)),
    }
}

/// A CASE of truth values by way of one of numbers.
fn as_number(case: Case) -> Expr {
    let number = |value: Expr| Box::new(cast(value, DataType::Int8));
    let Case { expr, when_then_expr, else_expr } = case;
    let when_then_expr = when_then_expr.into_iter().map(|(when, then)| (when, number(*then))).collect();
    let else_expr = else_expr.map(|value| number(*value));
    cast(Expr::Case(Case { expr, when_then_expr, else_expr }), DataType::Boolean)
}

/// A condition that computes what may fail where the rest leaves it open: beside AND where that holds, beside OR where it does
/// not. Null is as good as false after WHEN.
fn guarded(when: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (parts, is_and) = match &when {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => (split_conjunction_owned(when), true),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            (split_binary_owned(when, Operator::Or), false)
        }
        _ => return Ok(Transformed::no(when)),
    };
    let (mut safe, mut others, mut changed) = (Vec::new(), Vec::new(), false);
    for part in parts {
        if may_fail(&part, schema)? {
            let made = guarded(part, schema)?;
            changed |= made.transformed;
            others.push(made.data);
        } else {
            safe.push(part);
        }
    }
    let joined = |parts| if is_and { conjunction(parts) } else { disjunction(parts) };
    Ok(match (joined(safe), joined(others)) {
        (Some(test), Some(rest)) => {
            let (then, otherwise) = if is_and { (rest, lit(false)) } else { (lit(true), rest) };
            Transformed::yes(as_number(Case {
                expr: None,
                when_then_expr: vec![(Box::new(test), Box::new(then))],
                else_expr: Some(Box::new(otherwise)),
            }))
        }
        (Some(one), None) | (None, Some(one)) => Transformed::new_transformed(one, changed),
        (None, None) => Transformed::no(lit(is_and)),
    })
}

/// Whether an expression may be an error for some rows.
pub(super) fn may_fail(expression: &Expr, schema: &DFSchema) -> Result<bool> {
    let mut found = false;
    expression.apply(|part| {
        found |= match part {
            Expr::ScalarFunction(ScalarFunction { func, .. }) => {
                let inner = func.inner();
                inner.is::<Checked>() || inner.is::<Told>() || func.name() == "parse_date"
            }
            Expr::Cast(Cast { expr, field }) => is_narrower(&expr.get_type(schema)?, field.data_type()),
            _ => false,
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// Values are DuckDB's.
    #[tokio::test]
    async fn a_case_computes_what_it_gives() {
        let rows = "FROM (SELECT * FROM (VALUES (1, 0, 'a'), (4, 2, '7'), (9, NULL, '8')) AS v (x, b, s) ORDER BY x LIMIT 5) AS v";
        for (column, expected) in [
            ("CASE WHEN b <> 0 THEN x / b > 1 ELSE FALSE END", &["false", "true", "false"] as &[&str]),
            ("CASE WHEN b <> 0 AND x / b > 1 THEN 1 ELSE 0 END", &["0", "1", "0"]),
            ("CASE WHEN x / b > 1 AND b <> 0 THEN TRUE END", &["", "true", ""]),
            ("CASE WHEN b = 0 OR x / b > 1 THEN 1 ELSE 0 END", &["1", "1", "0"]),
            ("CASE WHEN x / b > 1 OR b = 0 OR b IS NULL THEN 1 END", &["1", "1", "1"]),
            ("CASE WHEN s = 'a' OR CAST(s AS INT) > 7 THEN 1 ELSE 0 END", &["1", "0", "1"]),
            ("CASE WHEN x < 9 AND (b = 0 OR x / b > 1) THEN 1 ELSE 0 END", &["1", "1", "0"]),
            ("CASE WHEN b = 0 THEN NULL WHEN x / b > 1 THEN TRUE ELSE FALSE END", &["", "true", "false"]),
            ("CASE WHEN s <> 'a' THEN CAST(s AS INT) = 7 END", &["", "true", "false"]),
            ("sum(CASE WHEN b <> 0 AND x % b = 0 THEN 1 ELSE 0 END) OVER ()", &["1", "1", "1"]),
        ] {
            check(&[(&format!("SELECT {column} {rows} ORDER BY x"), expected)]).await;
        }
        check(&[(
            &format!("SELECT x {rows} WHERE CASE WHEN b <> 0 THEN x / b > 1 ELSE x > 5 END ORDER BY x"),
            &["4", "9"],
        )])
        .await;
    }
}
