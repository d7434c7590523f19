//! Subqueries that DataFusion 55 has no join for: it finds that out when a statement is to run, and says so in its own words,
//! or that a column is not there which it has renamed itself.

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Subquery};

use super::rules::{is_lateral, reads_rows_around};
use crate::error::Error;

/// The error of a plan that could not be made, with what to write instead.
pub(super) fn told(error: DataFusionError, plan: &LogicalPlan) -> DataFusionError {
    let text = error.strip_backtrace();
    let of_no_join = text.contains("Physical plan does not support");
    let is_membership =
        of_no_join && ["InSubquery", "Exists", "SetComparison"].iter().any(|kind| text.contains(kind));
    let of_lost_name = text.contains("No field named") && has_other_condition(plan);
    if let Some((what, instead)) = of_order(&text) {
        return DataFusionError::External(Box::new(Error::user(what).hint(instead)));
    }
    let is_elsewhere = text.contains("Correlated scalar subquery can only be used in");
    if is_elsewhere
        || (text.contains("No field named") && !of_lost_name && reads_rows_around(plan).unwrap_or(false))
    {
        let (what, instead) = match is_elsewhere {
            true => (
                "a subquery that reads the row around it stands in SELECT, WHERE and HAVING, in keys and arguments, not here",
                "compute it in a WITH before, and read its column there",
            ),
            false => (
                "there is no plan for a subquery that reads the row around it where others, a LATERAL or groups give columns of the same names",
                "give the columns names of their own, or LEFT JOIN what it reads, and GROUP BY the outer row",
            ),
        };
        return DataFusionError::External(Box::new(Error::user(what).hint(instead)));
    }
    if of_no_join && text.contains("AggregateFunction") {
        let made = Error::user("an aggregate stands where there are no groups yet, as a key of GROUP BY say");
        return DataFusionError::External(Box::new(made.hint("compute it in a WITH before, and group that")));
    }
    let (what, instead) = match (is_membership, of_no_join || of_lost_name) {
        (_, true) if limits_lateral(plan) => (
            "there is no plan for LATERAL with LIMIT, the first rows of each outer row",
            "number them in a WITH before, row_number() OVER (PARTITION BY k ORDER BY v) AS place, and JOIN on k with place <= 3",
        ),
        (true, _) => (
            "IN (SELECT …) and EXISTS stand in WHERE and as columns of SELECT, as keys and arguments, not here",
            "LEFT JOIN (SELECT DISTINCT k, TRUE AS found FROM b) AS b ON b.k = a.k, and COALESCE(b.found, FALSE) for the column",
        ),
        (false, true) => (
            "a subquery as a value, IN and EXISTS as a column meet the outer row by `=` alone",
            "LEFT JOIN what it reads on that condition, and GROUP BY the outer row",
        ),
        (false, false) => return error,
    };
    DataFusionError::External(Box::new(Error::user(what).hint(format!("write instead: {instead}"))))
}

/// What there is no plan for because of an order, and what to write instead.
fn of_order(text: &str) -> Option<(&'static str, &'static str)> {
    text.contains("Conflicting ordering requirements in aggregate functions").then_some((
        "aggregates of one SELECT are ORDER BY keys that do not go together",
        "make each in a WITH of its own, with the same GROUP BY, and join these by the groups",
    ))
}

/// The error of an aggregate that cannot leave rows of a frame behind: DataFusion 55 finds that out with the first rows.
pub(super) fn of_frame(error: DataFusionError) -> DataFusionError {
    let text = error.strip_backtrace();
    let Some((_, call)) = text.split_once("`retract_batch` is not implemented: ") else { return error };
    let name = call.split('(').next().unwrap_or_default();
    let made =
        Error::user(format!("{name} has no moving frame, only one that begins with UNBOUNDED PRECEDING"));
    DataFusionError::External(Box::new(made.hint(
        "for bool_and write min(x) OVER …, for bool_or max(x); else join the rows of the frame and GROUP BY the row",
    )))
}

/// Whether the right side of a LATERAL has a LIMIT.
fn limits_lateral(plan: &LogicalPlan) -> bool {
    let has_limit = |side: &LogicalPlan| side.exists(|node| Ok(matches!(node, LogicalPlan::Limit(_))));
    let found = plan.exists(|node| match node {
        LogicalPlan::Join(join) if is_lateral(&join.right) => has_limit(&join.right),
        _ => Ok(false),
    });
    found.unwrap_or(false)
}

/// Whether a subquery meets the outer row by another condition than `=`.
fn has_other_condition(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let searched = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. }) = part
                {
                    found |= meets_otherwise(subquery);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    searched.is_ok() && found
}

fn meets_otherwise(subquery: &Subquery) -> bool {
    let mut found = false;
    let searched = subquery.subquery.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            let mut conditions = split_conjunction(&filter.predicate).into_iter();
            found |= conditions.any(|condition| condition.contains_outer() && !is_equality(condition));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    searched.is_ok() && found
}

/// Whether one side is of the outer row and the other of the subquery's.
fn is_equality(condition: &Expr) -> bool {
    let of_outer = |side: &Expr| side.contains_outer() && side.column_refs().is_empty();
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            (of_outer(left) && !right.contains_outer()) || (of_outer(right) && !left.contains_outer())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::refused;

    #[tokio::test]
    async fn the_first_rows_of_each_are_numbered_instead() {
        let (t, u) = ("(VALUES (1), (2)) AS t (k)", "(VALUES (1, 5), (1, 6)) AS u (k, v)");
        refused(&[(
            &format!(
                "SELECT k, l.v FROM {t}, LATERAL (SELECT v FROM {u} WHERE u.k = t.k ORDER BY v LIMIT 1) AS l"
            ),
            "LATERAL with LIMIT",
        )])
        .await;
    }
}
