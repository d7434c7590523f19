//! Conditions that meet the row around, below what they cannot be taken out of.
//!
//! DataFusion 55 makes a join of a subquery, or a LATERAL, by taking the conditions that read the row around it up to its top. Above a
//! window function they come too late: `count(*) OVER ()` then counts the rows of all. Where they are equations, `b.k = a.k`, the rows of
//! one a.k are those of one b.k, by which the window is divided before. Nor may they leave the side of an outer join that is filled
//! with nulls, or of a semi join, nor ROLLUP and its like, of which no rows still are one (apache/datafusion#25519): there is an error
//! that says so.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, JoinType, LogicalPlan, Operator, Window};
use datafusion::optimizer::AnalyzerRule;

use super::one_row::{has_row_of_nothing, reads_outer_row};
use super::outer_rows::{is_lateral, reads_rows_around};
use crate::error::Error;

/// Keeps conditions of the row around where they belong.
#[derive(Debug)]
pub(super) struct PulledUp;

impl AnalyzerRule for PulledUp {
    fn name(&self) -> &str {
        "pulled_up"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        match reads_rows_around(&plan)? {
            true => Ok(plan.transform_up_with_subqueries(node)?.data),
            false => Ok(plan),
        }
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Window(window) if reads_around(&window.input)? => {
            let keys = keys(&window.input)?;
            divided(window, &keys).map(Transformed::yes)
        }
        LogicalPlan::Aggregate(aggregate)
            if !aggregate.group_expr.is_empty()
                && has_row_of_nothing(aggregate)
                && reads_around(&aggregate.input)? =>
        {
            Err(below("ROLLUP, CUBE or GROUPING SETS with the set of all"))
        }
        LogicalPlan::Join(join) => {
            let (left, right) = match join.join_type {
                JoinType::Inner => (false, false),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                    (false, true)
                }
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                    (true, false)
                }
                JoinType::Full => (true, true),
            };
            // A LATERAL reads the rows of the join itself.
            let may_read =
                |side: &LogicalPlan| Ok::<_, DataFusionError>(!is_lateral(side) && reads_around(side)?);
            match left && may_read(&join.left)? || right && may_read(&join.right)? {
                true => Err(below("the side of an outer, semi or anti join whose rows it decides about")),
                false => Ok(Transformed::no(plan)),
            }
        }
        _ => Ok(Transformed::no(plan)),
    }
}

fn reads_around(plan: &LogicalPlan) -> Result<bool> {
    reads_outer_row(plan, &mut Vec::new())
}

/// The columns of the rows of a window by which they meet the row around.
fn keys(input: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut keys: Vec<Expr> = Vec::new();
    let mut is_plain = true;
    input.apply(|node| {
        let LogicalPlan::Filter(filter) = node else {
            // What reads the row around elsewhere is none of these.
            is_plain &= !node.contains_outer_reference();
            return Ok(TreeNodeRecursion::Continue);
        };
        for condition in split_conjunction(&filter.predicate) {
            match condition {
                _ if !condition.contains_outer() => is_plain &= !has_subquery(condition)?,
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    let column = match (left.as_ref(), right.as_ref()) {
                        (key, around) if !key.contains_outer() && around.column_refs().is_empty() => key,
                        (around, key) if !key.contains_outer() && around.column_refs().is_empty() => key,
                        _ => {
                            is_plain = false;
                            continue;
                        }
                    };
                    let is_there =
                        |column: &&Column| input.schema().qualified_field_from_column(column).is_ok();
                    is_plain &= !column.column_refs().is_empty() && column.column_refs().iter().all(is_there);
                    keys.push(column.clone());
                }
                _ => is_plain = false,
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match is_plain {
        true => Ok(keys),
        false => Err(below("a window function, by more than equations of its columns")),
    }
}

fn has_subquery(condition: &Expr) -> Result<bool> {
    condition.exists(|part| {
        Ok(match part {
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            Expr::Exists(exists) => !exists.subquery.outer_ref_columns.is_empty(),
            Expr::InSubquery(member) => !member.subquery.outer_ref_columns.is_empty(),
            Expr::SetComparison(comparison) => !comparison.subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    })
}

/// The window divided by these keys too.
fn divided(window: &Window, keys: &[Expr]) -> Result<LogicalPlan> {
    let names = NamePreserver::new_for_projection();
    let of_window = window.window_expr.iter().cloned().map(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| match part {
            Expr::WindowFunction(mut function) => {
                let WindowFunction { params, .. } = function.as_mut();
                params.partition_by.extend(keys.iter().cloned());
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(made.data))
    });
    let of_window = of_window.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Window(Window::try_new(of_window, Arc::clone(&window.input))?))
}

fn below(what: &str) -> DataFusionError {
    let made = Error::user(format!(
        "a subquery, or a LATERAL, meets the row around it below {what}: there is no plan for that"
    ));
    let hint = "compute what is below in a WITH, for all rows (with the columns that it meets by in PARTITION BY or GROUP BY), and join that";
    DataFusionError::External(Box::new(made.hint(hint)))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    const A: &str = "(VALUES (1, 1), (2, 2), (3, 1), (NULL, 1)) AS a (k, n)";
    const B: &str = "(VALUES (1, 10), (2, 20), (2, 30), (NULL, 40)) AS b (k, v)";

    /// DuckDB's values.
    #[tokio::test]
    async fn a_window_is_of_the_rows_that_meet() {
        let met = format!("FROM {B} WHERE b.k = a.k");
        check(&[
            (&format!("SELECT a.k, q.n FROM {A}, LATERAL (SELECT count(*) OVER () AS n {met}) AS q ORDER BY 1"), &["1|1", "2|2", "2|2"] as &[&str]),
            (&format!("SELECT a.k, q.v, q.n FROM {A}, LATERAL (SELECT v, row_number() OVER (ORDER BY v DESC) AS n {met}) AS q ORDER BY 1, 2"), &["1|10|1", "2|20|2", "2|30|1"]),
            (&format!("SELECT a.k, q.n FROM {A} LEFT JOIN LATERAL (SELECT v, sum(v) OVER (ORDER BY v ROWS UNBOUNDED PRECEDING) AS n {met} AND v > 0) AS q ON q.v > 10 ORDER BY 1, 2"), &["1|", "2|20", "2|50", "3|", "|"]),
            (&format!("SELECT k FROM {A} WHERE n IN (SELECT row_number() OVER (ORDER BY v) {met}) ORDER BY 1"), &["1", "2"]),
            (&format!("SELECT k FROM {A} WHERE n NOT IN (SELECT count(*) OVER () {met}) ORDER BY 1"), &["3", ""]),
            (&format!("SELECT k, n = ANY (SELECT rank() OVER (ORDER BY v) {met}) FROM {A} ORDER BY 1"), &["1|true", "2|true", "3|false", "|false"]),
            (&format!("SELECT k FROM {A} WHERE n >= ALL (SELECT count(*) OVER (PARTITION BY v) {met}) ORDER BY 1"), &["1", "2", "3", ""]),
        ])
        .await;
        refused(&[(
            &format!("SELECT a.k, q.n FROM {A}, LATERAL (SELECT count(*) OVER () AS n FROM {B} WHERE b.k >= a.k) AS q"),
            "below a window function, by more than equations",
        )])
        .await;
    }

    #[tokio::test]
    async fn what_would_lose_rows_is_refused() {
        let (c, met) = ("(VALUES (10), (20)) AS c (v)", format!("(SELECT * FROM {B} WHERE b.k = a.k) AS b"));
        for sql in [
            format!("SELECT k, (SELECT count(*) FROM {c} LEFT JOIN {met} ON c.v = b.v) FROM {A}"),
            format!(
                "SELECT k, q.v FROM {A}, LATERAL (SELECT c.v FROM {met} RIGHT JOIN {c} ON c.v = b.v) AS q"
            ),
            format!("SELECT k FROM {A} WHERE EXISTS (SELECT 1 FROM {c} FULL JOIN {met} ON c.v = b.v)"),
            format!("SELECT k FROM {A} WHERE EXISTS (SELECT 1 FROM {c} LEFT ANTI JOIN {met} ON c.v = b.v)"),
            format!(
                "SELECT k, q.n FROM {A} LEFT JOIN LATERAL (SELECT count(*) AS n FROM {B} WHERE b.k = a.k GROUP BY ROLLUP (v)) AS q ON TRUE"
            ),
        ] {
            refused(&[(&sql, "there is no plan for that")]).await;
        }
        // DuckDB's values: above the join, or on the side that keeps its rows, it decides nothing too late.
        check(&[
            (&format!("SELECT k, (SELECT count(*) FROM {met} LEFT JOIN {c} ON c.v = b.v) FROM {A} ORDER BY k"), &["1|1", "2|2", "3|0", "|0"] as &[&str]),
            (&format!("SELECT k FROM {A} WHERE EXISTS (SELECT 1 FROM {c} LEFT JOIN {B} ON c.v = b.v WHERE b.k = a.k) ORDER BY k"), &["1", "2"]),
        ])
        .await;
    }
}
