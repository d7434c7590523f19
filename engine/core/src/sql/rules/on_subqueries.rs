//! IN, EXISTS, ANY and ALL of a subquery in the ON of a join.
//!
//! DataFusion 55 has joins for them in the conditions of a WHERE alone. So a condition that reads one side only becomes a WHERE of
//! that side, and of an inner join any other becomes one of the joined rows. Where a side keeps its rows whether they meet or
//! not, the value of the subquery is a column of that side before.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, JoinType, LogicalPlan, Projection, Subquery};
use datafusion::optimizer::AnalyzerRule;

use super::outer_rows::is_lateral;
use crate::error::Error;

/// Takes subqueries out of the ON of joins.
#[derive(Debug)]
pub(super) struct OnSubqueries;

impl AnalyzerRule for OnSubqueries {
    fn name(&self) -> &str {
        "on_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan| match plan {
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_subquery) => {
                without_subqueries(join).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

/// The subquery that an expression is of, if DataFusion plans such in WHERE only.
fn subquery_of(part: &Expr) -> Option<&Subquery> {
    match part {
        Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::Exists(Exists { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => Some(subquery),
        _ => None,
    }
}

fn has_subquery(condition: &Expr) -> bool {
    condition.exists(|part| Ok(subquery_of(part).is_some())).unwrap_or(false)
}

/// Whether an expression reads the left side of a join, and whether it reads the right one.
fn sides(expression: &Expr, join: &Join) -> Result<(bool, bool)> {
    let (mut left, mut right) = (false, false);
    let mut read = |column: &Column| {
        left |= join.left.schema().has_column(column);
        right |= join.right.schema().has_column(column);
    };
    expression.apply(|part| {
        if let Expr::Column(column) = part {
            read(column);
        }
        for outer in subquery_of(part).iter().flat_map(|subquery| &subquery.outer_ref_columns) {
            if let Expr::OuterReferenceColumn(_, column) = outer {
                read(column);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((left, right))
}

/// One side of a join with conditions and columns that it gets.
#[derive(Default)]
struct Side {
    conditions: Vec<Expr>,
    columns: Vec<Expr>,
}

impl Side {
    fn of(self, plan: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let filtered = filtered(plan, self.conditions)?;
        if self.columns.is_empty() {
            return Ok(filtered);
        }
        let given = filtered.schema().columns().into_iter().map(Expr::Column);
        let columns = given.chain(self.columns).collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, filtered)?)))
    }
}

fn filtered(plan: Arc<LogicalPlan>, conditions: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    Ok(match conjunction(conditions) {
        Some(predicate) => Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, plan)?)),
        None => plan,
    })
}

fn without_subqueries(mut join: Join) -> Result<LogicalPlan> {
    use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    // A side all of whose rows come out, or those that meet none, is not one to lose rows before.
    let may_filter_left =
        matches!(join.join_type, Inner | LeftSemi | RightSemi | Right | RightAnti | RightMark);
    let may_filter_right =
        matches!(join.join_type, Inner | LeftSemi | RightSemi | Left | LeftAnti | LeftMark);
    // DataFusion looks for the subquery right below the join.
    let lateral = is_lateral(&join.right);
    let (mut left, mut right, mut kept, mut above) =
        (Side::default(), Side::default(), Vec::new(), Vec::new());
    for condition in join.filter.take().map(split_conjunction_owned).unwrap_or_default() {
        if !has_subquery(&condition) {
            kept.push(condition);
            continue;
        }
        let (of_left, of_right) = sides(&condition, &join)?;
        if join.join_type == Inner && of_right && (of_left || lateral) {
            above.push(condition);
        } else if may_filter_left && !of_right {
            left.conditions.push(condition);
        } else if may_filter_right && !of_left && !lateral {
            right.conditions.push(condition);
        } else {
            let made = condition.transform_down(|part| {
                if !has_subquery(&part) {
                    return Ok(Transformed::no(part));
                }
                // With all that stands beside it on this side: that may keep it from being asked.
                let (side, name) = match sides(&part, &join)? {
                    (_, false) => (&mut left, "left"),
                    (false, true) if !lateral => (&mut right, "right"),
                    _ if subquery_of(&part).is_none() => return Ok(Transformed::no(part)),
                    _ => return Err(of_both(join.join_type)),
                };
                let name = format!("__on_{name}_{}", side.columns.len());
                side.columns.push(part.alias(&name));
                let column = Expr::Column(Column::new_unqualified(name));
                Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
            })?;
            kept.push(made.data);
        }
    }
    let given: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let has_columns = !left.columns.is_empty() || !right.columns.is_empty();
    let (left, right) = (left.of(join.left)?, right.of(join.right)?);
    let joined = LogicalPlan::Join(Join { left, right, filter: conjunction(kept), ..join });
    let joined = filtered(Arc::new(joined.recompute_schema()?), above)?;
    match has_columns {
        true => Ok(LogicalPlan::Projection(Projection::try_new(given, joined)?)),
        false => Ok(Arc::unwrap_or_clone(joined)),
    }
}

fn of_both(kind: JoinType) -> DataFusionError {
    let made = Error::user(format!(
        "a subquery in the ON of a join ({kind}) reads columns of both sides, or of a LATERAL one: there is no plan for that"
    ));
    let hint = "join both sides by the other conditions in a WITH (an inner join), keep WHERE the subquery holds, and join the result to the side whose rows are all to stay";
    DataFusionError::External(Box::new(made.hint(hint)))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    const TABLES: &str = "WITH x AS (SELECT * FROM (VALUES (1, 10, 'p'), (2, 20, 'q'), (NULL, 30, 'r'), (3, NULL, NULL)) AS v (a, b, s)), \
        y AS (SELECT * FROM (VALUES (1, 1.5), (2, 2.5), (4, NULL)) AS v (a, f)), \
        z AS (SELECT * FROM (VALUES (1, 5), (4, 7)) AS v (a, p)), n AS (SELECT * FROM (VALUES (1), (NULL)) AS v (a)) ";

    /// The rows are DuckDB's.
    const CASES: &[(&str, &[&str])] = &[
        ("count(*), sum(x.a) FROM x JOIN y ON y.a = x.a AND y.a IN (SELECT a FROM z)", &["1|1"]),
        ("count(*), sum(x.a) FROM x JOIN y ON y.a = x.a AND y.a NOT IN (SELECT a FROM z)", &["1|2"]),
        ("count(*), sum(x.a) FROM x JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM z)", &["1|1"]),
        ("count(*), sum(x.a) FROM x JOIN y ON y.a = x.a AND x.b NOT IN (SELECT a FROM z)", &["2|3"]),
        ("count(*), sum(x.a) FROM x JOIN y ON y.a = x.a AND x.a NOT IN (SELECT a FROM n)", &["0|"]),
        (
            "count(*), sum(y.a) FROM x JOIN y ON x.a IN (SELECT a FROM z) OR y.a IN (SELECT a FROM z)",
            &["9|22"],
        ),
        ("count(*), sum(y.a) FROM x JOIN y ON x.a + y.a NOT IN (SELECT a FROM z)", &["7|18"]),
        (
            "count(*), sum(y.a) FROM x JOIN y ON (x.a = y.a OR x.a NOT IN (SELECT a FROM n)) IS NULL",
            &["8|19"],
        ),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND y.a IN (SELECT a FROM z)", &["4|1"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND y.a NOT IN (SELECT a FROM z)", &["4|1"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM z)", &["4|1"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND x.a NOT IN (SELECT a FROM z)", &["4|1"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON x.a NOT IN (SELECT a FROM n)", &["4|0"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON (x.a NOT IN (SELECT a FROM n)) IS NULL", &["10|9"]),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND (x.a IN (SELECT a FROM z) OR y.a NOT IN (SELECT a FROM z))",
            &["4|2"],
        ),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON (x.a = 1 OR (SELECT max(p) FROM z WHERE z.a = 12 / (x.a - 1)) > 1)",
            &["6|3"],
        ),
        (
            "count(*), count(x.a), count(y.a) FROM x FULL JOIN y ON (y.a = 4 OR EXISTS (SELECT 1 FROM z WHERE z.a = 3 / (y.a - 4) + 2)) AND x.a = 1",
            &["6|5|3"],
        ),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON 1 IN (SELECT a FROM z)", &["12|12"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON 1 NOT IN (SELECT a FROM z)", &["4|0"]),
        ("count(*), count(x.a) FROM x RIGHT JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM z)", &["3|1"]),
        ("count(*), count(x.a) FROM x RIGHT JOIN y ON y.a = x.a AND y.a IN (SELECT a FROM z)", &["3|1"]),
        ("count(*), count(x.a) FROM x RIGHT JOIN y ON y.a = x.a AND y.a NOT IN (SELECT a FROM z)", &["3|1"]),
        (
            "count(*), count(x.a), count(y.a) FROM x FULL JOIN y ON y.a = x.a AND y.a NOT IN (SELECT a FROM z)",
            &["6|3|3"],
        ),
        (
            "count(*), count(x.a), count(y.a) FROM x FULL JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM z) AND y.a IN (SELECT a FROM z)",
            &["6|3|3"],
        ),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND EXISTS (SELECT 1 FROM z WHERE z.a = y.a)",
            &["4|1"],
        ),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND NOT EXISTS (SELECT 1 FROM z WHERE z.a = x.a)",
            &["4|1"],
        ),
        (
            "count(*), count(y.a) FROM x JOIN y ON EXISTS (SELECT 1 FROM z WHERE z.a = x.a AND z.p > y.a)",
            &["3|3"],
        ),
        (
            "count(*), count(y.a) FROM x JOIN y ON y.a = x.a AND x.b > (SELECT max(p) FROM z WHERE z.a = x.a)",
            &["1|1"],
        ),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND x.b > (SELECT max(p) FROM z WHERE z.a = x.a)",
            &["4|1"],
        ),
        ("count(*), count(y.a) FROM x JOIN y ON y.a = x.a AND x.b > ALL (SELECT p FROM z)", &["2|2"]),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND x.a = ANY (SELECT a FROM z)", &["4|1"]),
        (
            "count(*), count(y.a), count(z.a) FROM x LEFT JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM n) LEFT JOIN z ON z.a = y.a AND y.a IN (SELECT a FROM n)",
            &["4|1|1"],
        ),
        (
            "count(*) FROM x WHERE EXISTS (SELECT 1 FROM y JOIN z ON z.a = y.a AND y.a IN (SELECT a FROM n) WHERE y.a = x.a)",
            &["1"],
        ),
        ("count(*), sum(x.a) FROM x LEFT SEMI JOIN y ON y.a = x.a AND y.a IN (SELECT a FROM z)", &["1|1"]),
        (
            "count(*), sum(x.a) FROM x LEFT SEMI JOIN y ON y.a = x.a AND x.a NOT IN (SELECT a FROM z)",
            &["1|2"],
        ),
        ("count(*), sum(x.a) FROM x LEFT ANTI JOIN y ON y.a = x.a AND x.a IN (SELECT a FROM z)", &["3|5"]),
        (
            "count(*), sum(x.a) FROM x LEFT ANTI JOIN y ON y.a = x.a AND y.a NOT IN (SELECT a FROM z)",
            &["3|4"],
        ),
        (
            "count(*), sum(x.a) FROM x LEFT ANTI JOIN y ON y.a = x.a AND (x.a IN (SELECT a FROM z) OR y.a NOT IN (SELECT a FROM z))",
            &["2|3"],
        ),
        (
            "* FROM x LEFT JOIN y ON y.a = x.a AND x.a NOT IN (SELECT a FROM z) ORDER BY b",
            &["1|10|p||", "2|20|q|2|2.5", "|30|r||", "3||||"],
        ),
        (
            "* FROM x FULL JOIN y ON y.a = x.a AND x.a NOT IN (SELECT a FROM z) AND y.a NOT IN (SELECT a FROM z) ORDER BY b, f",
            &["1|10|p||", "2|20|q|2|2.5", "|30|r||", "|||1|1.5", "3||||", "|||4|"],
        ),
        (
            "count(*), count(x2.a) FROM x LEFT JOIN x x2 ON x2.a = x.a AND x.a IN (SELECT a FROM z) AND x2.b IN (SELECT b FROM x)",
            &["4|1"],
        ),
        (
            "count(*), count(x2.a), count(x3.a) FROM x LEFT JOIN x x2 ON x2.a = x.a AND x.a IN (SELECT a FROM y) LEFT JOIN x x3 ON x3.a = x2.a AND x2.a IN (SELECT a FROM z) AND x.b NOT IN (SELECT a FROM z)",
            &["4|2|1"],
        ),
        (
            "x.a, y.a, z.a FROM x JOIN y ON y.a = x.a JOIN z ON z.a IN (SELECT a FROM y WHERE y.a > x.a) ORDER BY 1, 2, 3",
            &["1|1|4", "2|2|4"],
        ),
        ("count(*) FROM x JOIN (y JOIN z ON y.a = z.a AND y.a IN (SELECT a FROM n)) ON y.a = x.a", &["1"]),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON x.a = y.a AND (SELECT count(*) FROM z WHERE z.a = x.a) = 0",
            &["4|1"],
        ),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON x.a = y.a AND x.b > (SELECT max(p) FROM z)", &["4|2"]),
        ("count(*), count(y.a) FROM x JOIN y ON x.a IN (SELECT a FROM z WHERE z.a = y.a)", &["1|1"]),
        (
            "count(*), count(y.a) FROM x JOIN y ON EXISTS (SELECT 1 FROM z WHERE z.a = y.a AND x.a = z.a)",
            &["1|1"],
        ),
        ("count(*), count(y.a) FROM x JOIN y ON x.a NOT IN (SELECT a FROM z WHERE z.a <> y.a)", &["7|7"]),
        (
            "count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND EXISTS (SELECT 1 FROM z WHERE z.a > y.a)",
            &["4|2"],
        ),
        ("count(*), count(y.a) FROM x LEFT JOIN y ON y.a = x.a AND x.b >= ALL (SELECT p FROM z)", &["4|2"]),
        (
            "(SELECT count(*) FROM y LEFT JOIN z ON z.a = y.a AND z.a IN (SELECT a FROM n) WHERE y.a = x.a) FROM x ORDER BY x.b",
            &["1", "1", "0", "0"],
        ),
        (
            "count(*) FROM x JOIN y ON x.a = y.a AND x.s IN (SELECT s FROM x WHERE b > 5) AND y.f NOT IN (SELECT f FROM y WHERE f IS NOT NULL AND f > 2)",
            &["1"],
        ),
        (
            "count(*), count(z.a) FROM x, y LEFT JOIN z ON z.a = y.a AND z.a NOT IN (SELECT a FROM n)",
            &["12|0"],
        ),
        // By hand: DuckDB has no subquery in the ON of a LATERAL.
        (
            "count(*), count(q.m) FROM x JOIN LATERAL (SELECT max(f) AS m FROM y WHERE y.a = x.a) q ON q.m IN (SELECT 1.5)",
            &["1|1"],
        ),
        (
            "count(*), count(q.m) FROM x LEFT JOIN LATERAL (SELECT max(f) AS m FROM y WHERE y.a = x.a) q ON x.a IN (SELECT a FROM z)",
            &["4|1"],
        ),
    ];

    #[tokio::test]
    async fn a_subquery_stands_in_the_on_of_any_join() {
        for (sql, rows) in CASES {
            check(&[(&format!("{TABLES}SELECT {sql}"), rows)]).await;
        }
    }

    #[tokio::test]
    async fn one_that_reads_both_sides_of_an_outer_join_is_refused() {
        for condition in [
            "x.a IN (SELECT a FROM z WHERE z.a = y.a)",
            "EXISTS (SELECT 1 FROM z WHERE z.a = y.a AND x.a = z.a)",
        ] {
            for join in ["LEFT", "RIGHT", "FULL", "LEFT ANTI"] {
                let sql = format!("{TABLES}SELECT count(*) FROM x {join} JOIN y ON {condition}");
                refused(&[(&sql, "reads columns of both sides")]).await;
            }
        }
    }
}
