//! Names in the expressions of ORDER BY.
//!
//! In `SELECT -k AS k … ORDER BY k` the column of the result is meant, and in `ORDER BY k + 0` that of the table, if it has one:
//! so it is in SQL, in PostgreSQL and in DuckDB. DataFusion 55 takes the column of the result for both. By the time that there is a plan
//! nobody can tell `-t.k + 1` from `k + 1`, so such a name is marked in the parsed statement ([`order_names`](super::order_names)), and found in the plan.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ExprSchema, JoinConstraint, JoinType, Result, plan_err};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, LogicalPlan, Projection, ScalarUDF, Sort, SortExpr,
};

use super::OfItsType;
use crate::error::Error;

/// The function that marks a name.
pub(super) const MARK: &str = "__of_input";

/// The function that marks a name, of which a session has to know.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(OfItsType::new(MARK, Ok))
}

/// The plan in which marked names are the columns that they mean.
///
/// # Errors
/// Plan: several tables have such a column, or no row has it any more.
pub(super) fn found(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.expressions().iter().any(is_marked);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match found {
        true => Ok(plan.transform_up_with_subqueries(node)?.data),
        false => Ok(plan),
    }
}

fn is_marked(expression: &Expr) -> bool {
    expression.exists(|part| Ok(marked(part).is_some())).unwrap_or(false)
}

/// What a mark is of.
fn marked(part: &Expr) -> Option<&Expr> {
    match part {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == MARK => args.first(),
        _ => None,
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !plan.expressions().iter().any(is_marked) {
        return Ok(Transformed::no(plan));
    }
    if let LogicalPlan::Sort(sort) = plan {
        return of_sort(sort).map(Transformed::yes);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| Ok(unmarked(part)))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn unmarked(part: Expr) -> Transformed<Expr> {
    match marked(&part) {
        Some(column) => Transformed::yes(column.clone()),
        None => Transformed::no(part),
    }
}

fn of_sort(sort: Sort) -> Result<LogicalPlan> {
    let (projection, is_distinct) = match sort.input.as_ref() {
        LogicalPlan::Projection(projection) => (Some(projection), false),
        LogicalPlan::Distinct(Distinct::All(input)) => match input.as_ref() {
            LogicalPlan::Projection(projection) => (Some(projection), true),
            _ => (None, true),
        },
        _ => (None, false),
    };
    // The columns of the table that are read, each called by its place.
    let mut columns: Vec<Expr> = Vec::new();
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in sort.expr {
        let beside = beside_operators(&key.expr)?;
        let made = key.expr.transform_up(|part| {
            let Some(Expr::Column(column)) = marked(&part) else { return Ok(unmarked(part)) };
            if lost_by_unnest(&column.name, projection.map_or(&sort.input, |projection| &projection.input))? {
                return Err(of_unnest(&column.name));
            }
            let Some(projection) = projection else { return Ok(unmarked(part)) };
            let Some(of_table) = of_input(&column.name, &projection.input)? else {
                return Ok(unmarked(part));
            };
            if is_distinct {
                return Err(of_distinct(&column.name));
            }
            let given = sort.input.schema().data_type(column)?;
            let read = of_table.get_type(projection.input.schema())?;
            // What an operator is has been decided by the other type; what a function takes is looked at later.
            let is_time = (given.is_temporal() || read.is_temporal()) && beside.contains(&column.name);
            if *given != read && (is_time || given.is_nested() || read.is_nested()) {
                return Err(of_other_type(&column.name));
            }
            let at = columns.iter().position(|known| *known == of_table).unwrap_or_else(|| {
                columns.push(of_table);
                columns.len() - 1
            });
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(format!("{MARK}_{at}")))))
        })?;
        keys.push(SortExpr { expr: made.data, ..key });
    }
    let (Some(projection), false) = (projection, columns.is_empty()) else {
        return Ok(LogicalPlan::Sort(Sort { expr: keys, input: sort.input.clone(), fetch: sort.fetch }));
    };
    let more = columns.into_iter().enumerate().map(|(at, column)| column.alias(format!("{MARK}_{at}")));
    let all = projection.expr.iter().cloned().chain(more).collect();
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(all, projection.input.clone())?));
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input, fetch: sort.fetch });
    let given = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(given, Arc::new(sorted))?))
}

/// Marked names that stand elsewhere than as arguments of functions.
fn beside_operators(key: &Expr) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    key.apply(|part| {
        if !matches!(part, Expr::ScalarFunction(_)) {
            part.apply_children(|child| {
                if let Some(Expr::Column(column)) = marked(child) {
                    names.insert(column.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}

/// The column of a name that a SELECT reads from; `None` if there is none. One that is merged by USING is that of the first table
/// that has the row.
fn of_input(name: &str, input: &LogicalPlan) -> Result<Option<Expr>> {
    let columns = input.schema().columns_with_unqualified_name(name);
    if columns.len() <= 1 {
        return Ok(columns.into_iter().next().map(Expr::Column));
    }
    let is_merged =
        input.using_columns()?.iter().any(|set| columns.iter().all(|column| set.contains(column)));
    let is_left = !input.exists(|node| {
        Ok(matches!(node, LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using
            && !matches!(join.join_type, JoinType::Inner | JoinType::Left)))
    })?;
    let kinds = columns.iter().map(|column| input.schema().data_type(column)).collect::<Result<Vec<_>>>()?;
    let is_one_type = kinds.windows(2).all(|pair| pair[0] == pair[1]);
    let mut columns = columns.into_iter().map(Expr::Column);
    match is_merged {
        true if is_left => Ok(columns.next()),
        true if is_one_type => Ok(Some(coalesce(columns.collect()))),
        _ => plan_err!(
            "`{name}` in an expression of ORDER BY may be of several tables: give the selected column another name than `{name}`, and write ORDER BY table.{name}"
        ),
    }
}

/// Whether a table has such a column, but no more behind an UNNEST in the SELECT.
fn lost_by_unnest(name: &str, input: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Unnest(unnest) = input else { return Ok(false) };
    let LogicalPlan::Projection(below) = unnest.input.as_ref() else { return Ok(false) };
    Ok(of_input(name, input)?.is_none() && of_input(name, &below.input)?.is_some())
}

fn of_unnest(name: &str) -> DataFusionError {
    let made = Error::user(format!(
        "`{name}` in an expression of ORDER BY is the column of a table, and there are the selected columns alone beside UNNEST"
    ));
    let hint = format!(
        "give the selected column another name, or write ORDER BY {name} alone, or select {name} itself"
    );
    DataFusionError::External(Box::new(made.hint(hint)))
}

fn of_distinct(name: &str) -> DataFusionError {
    let made = Error::user(format!(
        "`{name}` in an expression of ORDER BY is the column of a table, and of DISTINCT rows there are the selected columns alone"
    ));
    let hint = format!(
        "give the selected column another name, or write ORDER BY {name} alone, or SELECT * FROM (SELECT DISTINCT …) ORDER BY …"
    );
    DataFusionError::External(Box::new(made.hint(hint)))
}

fn of_other_type(name: &str) -> DataFusionError {
    let made = Error::user(format!(
        "`{name}` in an expression of ORDER BY is the column of a table, which is of another type than the selected `{name}`"
    ));
    DataFusionError::External(Box::new(made.hint(format!(
        "give the selected column another name than `{name}`; ORDER BY {name} alone is the selected one"
    ))))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn an_expression_of_order_by_reads_the_table() {
        let t = "(VALUES (1, 30, 'a'), (2, 10, 'ccc'), (3, 20, 'bb')) AS t (k, i, s)";
        let u = "(VALUES (1), (2), (3)) AS u (k)";
        let far = "(VALUES (2), (9)) AS u (k)";
        let d = "(VALUES (TIMESTAMP '2024-01-31 10:00:00'), (TIMESTAMP '2024-02-01 12:00:00'), (TIMESTAMP '2024-01-02 00:00:00')) AS t (d)";
        check(&[
            (&format!("SELECT -k AS k FROM {t} ORDER BY k + 0"), &["-1", "-2", "-3"] as &[&str]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY k"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY (k)"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS \"K\" FROM {t} ORDER BY k + 0 DESC"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY -k"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY -t.k + 1"), &["-3", "-2", "-1"]),
            (&format!("SELECT 3 - k AS z FROM {t} ORDER BY z * 2"), &["0", "1", "2"]),
            (&format!("SELECT k AS i, i AS k FROM {t} ORDER BY i + 0"), &["2|10", "3|20", "1|30"]),
            (&format!("SELECT 'x' AS s, k FROM {t} ORDER BY length(s), k"), &["x|1", "x|3", "x|2"]),
            (
                &format!("SELECT k, -i AS i FROM {t} ORDER BY CASE WHEN i > 15 THEN 0 ELSE 1 END, k"),
                &["1|-30", "3|-20", "2|-10"],
            ),
            (&format!("SELECT -k AS k FROM {t} ORDER BY k % 2 DESC, k LIMIT 2"), &["-3", "-1"]),
            (
                &format!("SELECT -k AS k, count(*) FROM {t} GROUP BY t.k ORDER BY k + 0"),
                &["-1|1", "-2|1", "-3|1"],
            ),
            (
                &format!("SELECT k AS i, sum(i) AS k FROM {t} GROUP BY k ORDER BY k * -1"),
                &["3|20", "2|10", "1|30"],
            ),
            (
                &format!("SELECT -k AS k, row_number() OVER (ORDER BY k) FROM {t} ORDER BY k + 0"),
                &["-1|1", "-2|2", "-3|3"],
            ),
            (&format!("SELECT -k AS k FROM {t} JOIN {u} USING (k) ORDER BY k + 0"), &["-1", "-2", "-3"]),
            (
                &format!("SELECT -t.k AS k FROM {t} LEFT JOIN {u} USING (k) ORDER BY k + 0"),
                &["-1", "-2", "-3"],
            ),
            (&format!("SELECT q.k FROM (SELECT -k AS k FROM {t} ORDER BY k + 0 LIMIT 1) AS q"), &["-1"]),
            (
                &format!("SELECT q.k + 1 AS k FROM (SELECT -k AS k FROM {t}) AS q ORDER BY abs(k)"),
                &["0", "-1", "-2"],
            ),
            (&format!("SELECT -k AS k FROM {t} UNION ALL SELECT 9 ORDER BY k"), &["-3", "-2", "-1", "9"]),
            (&format!("SELECT DISTINCT upper(s) AS s FROM {t} ORDER BY upper(s) DESC"), &["CCC", "BB", "A"]),
            (
                &format!("SELECT DISTINCT lower(s) AS s FROM {t} ORDER BY length(lower(s)), lower(s)"),
                &["a", "bb", "ccc"],
            ),
            (&format!("SELECT DISTINCT -k AS k FROM {t} ORDER BY abs(-k)"), &["-1", "-2", "-3"]),
            (
                &format!("SELECT -k AS k FROM {t} RIGHT JOIN {u} USING (k) ORDER BY abs(k), 1"),
                &["-1", "-2", "-3"],
            ),
            (
                &format!("SELECT -k AS k FROM {t} FULL JOIN {far} USING (k) ORDER BY k + 0"),
                &["-1", "-2", "-3", "-9"],
            ),
            (&format!("SELECT -k AS k FROM {t} RIGHT JOIN {far} USING (k) ORDER BY k + 0"), &["-2", "-9"]),
            (
                &format!("SELECT CAST(d AS DATE) AS d FROM {d} ORDER BY date_trunc('month', d) DESC, 1"),
                &["2024-02-01", "2024-01-02", "2024-01-31"],
            ),
            (
                &format!("SELECT CAST('2020-01-01' AS DATE) AS d, d AS at FROM {d} ORDER BY extract(hour FROM d) DESC LIMIT 1"),
                &["2020-01-01|2024-02-01T12:00:00"],
            ),
            (
                &format!("SELECT CAST(d AS DATE) AS d, u.k FROM {d} CROSS JOIN {u} ORDER BY date_trunc('hour', d), u.k DESC LIMIT 2"),
                &["2024-01-02|3", "2024-01-02|2"],
            ),
            (
                &format!("WITH w AS (SELECT -k AS k FROM {t}) SELECT k FROM w ORDER BY k + 0"),
                &["-3", "-2", "-1"],
            ),
        ])
        .await;
        refused(&[
            (&format!("SELECT DISTINCT -k AS k FROM {t} ORDER BY k + 0"), "ORDER BY k alone"),
            (
                &format!("SELECT -t.k AS k FROM {t} JOIN {u} ON t.k = u.k ORDER BY k + 0"),
                "another name than `k`, and write ORDER BY table.k",
            ),
            (&format!("SELECT unnest([k, i]) AS k FROM {t} ORDER BY k + 0"), "beside UNNEST"),
            (
                &format!("SELECT CAST(d AS DATE) AS d FROM {d} ORDER BY d - TIMESTAMP '2024-01-01 00:00:00'"),
                "of another type",
            ),
        ])
        .await;
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn an_aggregate_in_order_by_reads_the_table() {
        let t = "(VALUES (1, 5, 1), (1, 2, 2), (2, 9, 5), (3, 1, 4), (3, NULL, 0)) AS t (k, x, y)";
        let u = "(VALUES (1), (2), (3)) AS u (k)";
        check(&[
            (
                &format!("SELECT k, sum(x) AS x FROM {t} GROUP BY k ORDER BY -sum(x)"),
                &["2|9", "1|7", "3|1"] as &[&str],
            ),
            (
                &format!("SELECT k, max(x) AS x FROM {t} GROUP BY k ORDER BY max(x) - min(x) DESC, k"),
                &["1|5", "2|9", "3|1"],
            ),
            (&format!("SELECT k, sum(y) AS x FROM {t} GROUP BY k ORDER BY -sum(x)"), &["2|5", "1|3", "3|4"]),
            (&format!("SELECT k, -sum(x) AS x FROM {t} GROUP BY k ORDER BY sum(x)"), &["3|-1", "1|-7", "2|-9"]),
            (
                &format!("SELECT k, sum(y) AS x FROM {t} GROUP BY k ORDER BY coalesce(sum(x + 1) FILTER (WHERE x > 1), 0)"),
                &["3|4", "1|3", "2|5"],
            ),
            (
                &format!("SELECT k, sum(x) AS x FROM {t} GROUP BY k ORDER BY CASE WHEN sum(x) > 7 THEN 1 ELSE 2 END, x"),
                &["2|9", "3|1", "1|7"],
            ),
            (
                &format!("SELECT k, sum(x) AS x FROM {t} JOIN {u} USING (k) GROUP BY k ORDER BY -sum(x)"),
                &["2|9", "1|7", "3|1"],
            ),
            (&format!("SELECT k, count(*) AS x FROM {t} GROUP BY k ORDER BY max(t.x) + 0"), &["3|2", "1|2", "2|1"]),
        ])
        .await;
        refused(&[(
            &format!("SELECT t.k, sum(y) AS x FROM {t} JOIN {u} ON t.k = u.k GROUP BY t.k ORDER BY -sum(x)"),
            "table.x",
        )])
        .await;
    }
}
