//! Subqueries of one row that read the row around them above their aggregate.
//!
//! `(SELECT count(*) FROM b WHERE b.k = a.k HAVING count(*) > a.n)` has one row or none: whether it is there is decided with the row
//! around it, of which DataFusion 55 has no plan (and of HAVING without groups a wrong one, apache/datafusion#24960). Each
//! column of the row below the HAVING is a value by itself, a subquery without it, so that all of it is an expression of
//! the rows around:
//!
//! ```text
//! CASE WHEN (SELECT count(*) FROM b WHERE b.k = a.k) > a.n THEN (SELECT count(*) FROM b WHERE b.k = a.k) END
//! ```
//!
//! EXISTS is whether the HAVING holds, IN that and a comparison with the value. It costs a join for each value that is read.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    Distinct, Expr, Limit, LogicalPlan, Operator, Projection, Subquery, lit, not, when,
};

use super::has_subquery;
use super::one_row::{binary, is_one_row, is_some};

/// A subquery of one row, what it is made of.
struct Row<'a> {
    input: &'a LogicalPlan,
    /// The row is there where this holds.
    having: Option<&'a Expr>,
    /// Its column, if that is computed.
    column: Option<&'a Expr>,
}

/// EXISTS, IN and the value of such a subquery by the values that it reads. `None`: another expression, or another subquery.
///
/// `around`: the rows that the expression is of.
///
/// # Errors
/// Internal: from a plan that does not fit.
pub(super) fn by_values(part: &Expr, around: &DFSchema) -> Result<Option<Expr>> {
    let subquery = match part {
        Expr::Exists(Exists { subquery, .. }) | Expr::InSubquery(InSubquery { subquery, .. }) => subquery,
        Expr::ScalarSubquery(subquery) => subquery,
        _ => return Ok(None),
    };
    let Some(row) = of_one_row(&subquery.subquery) else { return Ok(None) };
    let read: Vec<&Expr> = row.having.into_iter().chain(row.column).collect();
    // What an inner subquery reads of this row has no value outside of it.
    if !read.iter().any(|read| read.contains_outer()) || read.iter().any(|read| has_subquery(read)) {
        return Ok(None);
    }
    let of_around =
        |expression: &Expr| of_around(expression.clone().unalias_nested().data, row.input, around);
    let value = match row.column {
        Some(column) => of_around(column)?,
        None => single(row.input, Column::from(row.input.schema().qualified_field(0)))?,
    };
    let holds = row.having.map(of_around).transpose()?;
    Ok(Some(match part {
        Expr::Exists(Exists { negated, .. }) => match holds {
            Some(holds) if *negated => holds.is_not_true(),
            Some(holds) => holds.is_true(),
            None => lit(!negated),
        },
        Expr::InSubquery(InSubquery { expr, negated, .. }) => {
            let is_equal = binary(expr, Operator::Eq, value);
            let is_member = match holds {
                Some(holds) => holds.is_true().and(is_equal),
                None => is_equal,
            };
            if *negated { not(is_member) } else { is_member }
        }
        _ => match holds {
            Some(holds) => when(holds, value).otherwise(lit(ScalarValue::Null))?,
            None => value,
        },
    }))
}

fn of_one_row(subquery: &LogicalPlan) -> Option<Row<'_>> {
    let (mut plan, mut column) = (subquery, None);
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) if column.is_none() => {
                column = projection.expr.first();
                &projection.input
            }
            // Of one row there is no order, no second one, and the first is all.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            LogicalPlan::Distinct(Distinct::All(input)) => input,
            LogicalPlan::Limit(Limit { skip: None, fetch: Some(fetch), input }) if is_some(fetch) => input,
            LogicalPlan::Filter(filter) if is_one_row(&filter.input) => {
                return Some(Row { input: &filter.input, having: Some(&filter.predicate), column });
            }
            _ if is_one_row(plan) => return Some(Row { input: plan, having: None, column }),
            _ => return None,
        };
    }
}

/// An expression above the aggregate as one of the rows around.
fn of_around(expression: Expr, row: &LogicalPlan, around: &DFSchema) -> Result<Expr> {
    let made = expression.transform_up(|part| match part {
        Expr::Column(column) => single(row, column).map(Transformed::yes),
        // One from farther away stays what it is.
        Expr::OuterReferenceColumn(_, column) if around.has_column(&column) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(made.data)
}

/// A column of the only row, as a value.
fn single(row: &LogicalPlan, column: Column) -> Result<Expr> {
    let plan = Projection::try_new(vec![Expr::Column(column)], Arc::new(row.clone()))?;
    let plan = LogicalPlan::Projection(plan);
    let mut outer_ref_columns = Vec::new();
    plan.apply_with_subqueries(|node| {
        for part in node.all_out_ref_exprs() {
            if !outer_ref_columns.contains(&part) {
                outer_ref_columns.push(part);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn a_having_reads_the_row_around() {
        let a = "(VALUES (1, 1), (2, 1), (2, 2), (3, 0), (NULL, 0)) AS a (k, n)";
        let b = "FROM (VALUES (1, 5), (2, 7), (2, 0), (NULL, 1)) AS b (k, v)";
        let met = format!("{b} WHERE b.k = a.k");
        for (column, expected) in [
            (format!("(SELECT count(*) {met} HAVING count(*) > a.n)"), &["", "2", "", "", ""] as &[&str]),
            (format!("(SELECT count(*) {met} HAVING count(*) >= a.n)"), &["1", "2", "2", "0", "0"]),
            (format!("(SELECT sum(v) {met} HAVING a.k = 2 OR sum(v) IS NULL)"), &["", "7", "7", "", ""]),
            (format!("(SELECT max(v) {b} HAVING count(*) > a.k + a.n)"), &["7", "7", "", "7", ""]),
            (format!("(SELECT sum(v) {b} HAVING a.k = 1)"), &["13", "", "", "", ""]),
            (format!("(SELECT count(*) + a.n {met})"), &["2", "3", "4", "0", "0"]),
            (
                format!("(SELECT count(*) * 10 + a.n {met} HAVING a.n < 2 LIMIT 1)"),
                &["11", "21", "", "0", "0"],
            ),
            (
                format!("EXISTS (SELECT sum(v) {met} HAVING sum(v) > a.n * 4)"),
                &["true", "true", "false", "false", "false"],
            ),
            (
                format!("NOT EXISTS (SELECT 1 {met} HAVING count(*) <> a.n)"),
                &["true", "false", "true", "true", "true"],
            ),
            (
                format!("a.n IN (SELECT count(*) {met} HAVING count(*) <> a.k)"),
                &["false", "false", "false", "true", "false"],
            ),
            (
                format!("a.n NOT IN (SELECT count(*) {met} HAVING count(*) >= a.n)"),
                &["false", "true", "false", "false", "false"],
            ),
            (format!("7 IN (SELECT sum(v) {met} HAVING a.n < 2)"), &["false", "true", "false", "", ""]),
            (format!("7 NOT IN (SELECT sum(v) {met} HAVING a.n < 2)"), &["true", "false", "true", "", ""]),
            (format!("(SELECT 10 / count(*) {met} HAVING count(*) > a.n - 1)"), &["10", "5", "5", "", ""]),
        ] {
            // A division by a count of nothing is an error, as it is without the row around.
            if column.contains("10 /") {
                let sql = format!("SELECT {column} FROM {a} WHERE k < 3 ORDER BY k, n");
                check(&[(&sql, &expected[..3])]).await;
                continue;
            }
            check(&[(&format!("SELECT {column} FROM {a} ORDER BY k, n"), expected)]).await;
            check(&[(
                &format!("SELECT count(*) FROM {a} WHERE ({column}) IS NOT NULL"),
                &[&expected.iter().filter(|cell| !cell.is_empty()).count().to_string()],
            )])
            .await;
        }
    }
}
