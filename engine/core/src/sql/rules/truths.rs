//! `IS TRUE`, `IS NOT FALSE` and the like.
//!
//! They are never null, and DataFusion 55 says so of a column until it runs them as comparisons with a constant, of which it
//! thinks that they may be null where the value may: under DISTINCT, GROUP BY and in sets that is an internal error. Here
//! they are such comparisons from the beginning.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, binary_expr};
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
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| Ok(compared(part)))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
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
    use crate::sql::tests::check;

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
