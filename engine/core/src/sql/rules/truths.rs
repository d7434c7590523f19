//! `IS TRUE`, `IS NOT FALSE` and the like.
//!
//! They are never null, and DataFusion 55 says so of a column until it runs them as comparisons with a constant, of which it
//! thinks that they may be null where the value may: under DISTINCT, GROUP BY and in sets that is an internal error. Here
//! they are such comparisons from the beginning. In a condition, where null is as good as false, `p IS TRUE` is `p`: by that a
//! WHERE makes an outer join an inner one, which it does not by a comparison that holds for null.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, binary_expr};
use datafusion::optimizer::AnalyzerRule;

/// Makes tests of a truth value comparisons.
#[derive(Debug)]
pub(super) struct Truths;

impl AnalyzerRule for Truths {
    fn name(&self) -> &str {
        "truths"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let made = plan.transform_up_with_subqueries(node)?;
        match made.transformed {
            true => super::recomputed(made.data),
            false => Ok(made.data),
        }
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let is_condition = matches!(plan, LogicalPlan::Filter(_));
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = if is_condition { condition(expression) } else { Transformed::no(expression) };
        let made = made.transform_data(|expression| expression.transform_up(|part| Ok(compared(part))))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

/// A condition without IS TRUE, as far as AND and OR alone are around it.
fn condition(expression: Expr) -> Transformed<Expr> {
    match expression {
        Expr::IsTrue(value) => Transformed::yes(condition(*value).data),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (condition(*left), condition(*right));
            let changed = left.transformed || right.transformed;
            Transformed::new_transformed(binary_expr(left.data, op, right.data), changed)
        }
        other => Transformed::no(other),
    }
}

fn compared(part: Expr) -> Transformed<Expr> {
    use Operator::{IsDistinctFrom, IsNotDistinctFrom};
    let (value, op, other) = match part {
        Expr::IsTrue(value) => (value, IsNotDistinctFrom, Some(true)),
        Expr::IsFalse(value) => (value, IsNotDistinctFrom, Some(false)),
        Expr::IsUnknown(value) => (value, IsNotDistinctFrom, None),
        Expr::IsNotTrue(value) => (value, IsDistinctFrom, Some(true)),
        Expr::IsNotFalse(value) => (value, IsDistinctFrom, Some(false)),
        Expr::IsNotUnknown(value) => (value, IsDistinctFrom, None),
        other => return Transformed::no(other),
    };
    Transformed::yes(binary_expr(*value, op, Expr::Literal(ScalarValue::Boolean(other), None)))
}

#[cfg(test)]
mod tests {
    use crate::sql::frame;
    use crate::sql::tests::{check, session};

    #[tokio::test]
    async fn a_condition_that_is_true_makes_an_outer_join_an_inner_one() {
        let rows = "FROM (SELECT value AS k FROM generate_series(1, 3)) AS a \
                    LEFT JOIN (SELECT value AS k, value > 2 AS p FROM generate_series(2, 4)) AS b ON a.k = b.k";
        for (condition, expected) in [
            ("b.p IS TRUE", &["3"] as &[&str]),
            ("(b.k > 2) IS TRUE AND a.k > 0", &["3"]),
            ("(b.p IS TRUE OR b.k = 2) IS TRUE", &["2", "3"]),
        ] {
            let statement = format!("SELECT a.k {rows} WHERE {condition} ORDER BY 1");
            let plan = frame(&session(), &statement).await.unwrap().into_optimized_plan().unwrap();
            assert!(plan.to_string().contains("Inner Join"), "{statement}: {plan}");
            check(&[(&statement, expected)]).await;
        }
        // Not so where null is not as good as false.
        check(&[
            (&format!("SELECT a.k {rows} WHERE NOT (b.p IS TRUE) ORDER BY 1"), &["1", "2"] as &[&str]),
            (&format!("SELECT a.k {rows} WHERE b.p IS NOT TRUE ORDER BY 1"), &["1", "2"]),
            (&format!("SELECT a.k {rows} WHERE (b.p IS TRUE) IS FALSE ORDER BY 1"), &["1", "2"]),
        ])
        .await;
    }

    #[tokio::test]
    async fn tests_of_a_truth_value_are_keys() {
        let rows = "FROM (SELECT * FROM (VALUES (TRUE), (FALSE), (NULL)) AS v (p) ORDER BY p LIMIT 5) AS v";
        for (statement, expected) in [
            (format!("SELECT DISTINCT p IS NOT FALSE AS t {rows} ORDER BY t"), &["false", "true"] as &[&str]),
            (format!("SELECT p IS TRUE AS t, count(*) {rows} GROUP BY 1 ORDER BY t"), &["false|2", "true|1"]),
            (
                format!(
                    "SELECT DISTINCT (p IS UNKNOWN) = (p IS NULL), p IS NOT UNKNOWN AS t {rows} ORDER BY t"
                ),
                &["true|false", "true|true"],
            ),
            (format!("SELECT p IS FALSE AS t {rows} INTERSECT SELECT TRUE"), &["true"]),
            (
                format!(
                    "SELECT p IS NOT TRUE AS t {rows} WHERE p IS NOT TRUE UNION SELECT p {rows} ORDER BY t"
                ),
                &["false", "true", ""],
            ),
            (format!("SELECT p IS TRUE AS t {rows} UNION SELECT FALSE ORDER BY t"), &["false", "true"]),
        ] {
            check(&[(&statement, expected)]).await;
        }
    }
}
