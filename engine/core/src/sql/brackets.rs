//! Brackets around a whole SELECT.
//!
//! `(SELECT -k AS k FROM t) ORDER BY k + 0` is the SELECT without brackets to PostgreSQL and DuckDB: the k of an expression is the
//! table's. DataFusion 55 takes it for the column of the result, as after a UNION. Where the SELECT in brackets has an order or a
//! LIMIT of its own they do not agree on what comes first: such a name is refused there.
//!
//! `(SELECT DISTINCT ON (k) … ORDER BY k, n DESC) ORDER BY n` has an order by which a row of each is chosen, and one of the result. To
//! DataFusion the second takes the place of the first, which chooses other rows. So the SELECT in brackets becomes a table.

use std::ops::ControlFlow;

use datafusion::common::{Result, internal_datafusion_err, plan_err};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderByKind, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::order_names::{computed, is_bare, normal};
use super::shallow::no_rows;

/// Takes brackets away that hold a SELECT, or a UNION, and nothing behind it.
///
/// # Errors
/// Plan: what stands behind the brackets reads a name of which it is not clear what it stands for.
pub(super) fn open(query: &mut Query) -> Result<()> {
    while let SetExpr::Query(inner) = query.body.as_mut()
        && is_plain(inner)
        && (inner.with.is_none() || query.with.is_none())
    {
        let body = std::mem::replace(&mut *inner.body, no_rows());
        query.with = query.with.take().or(inner.with.take());
        *query.body = body;
    }
    let (SetExpr::Query(inner), Some(order_by)) = (query.body.as_mut(), &query.order_by) else {
        return Ok(());
    };
    if select_of(inner).is_some_and(|select| matches!(select.distinct, Some(Distinct::On(_)))) {
        let inner = std::mem::replace(query.body.as_mut(), no_rows());
        *query.body = all_of(inner)?;
        return Ok(());
    }
    let (Some(select), OrderByKind::Expressions(sorts)) = (select_of(inner), &order_by.kind) else {
        return Ok(());
    };
    let names = computed(select).into_iter().map(|(_, alias)| normal(alias)).collect();
    for sort in sorts.iter().filter(|sort| !is_bare(&sort.expr)) {
        if let ControlFlow::Break(name) = sort.expr.visit(&mut Search { names: &names }) {
            return plan_err!(
                "`{name}` in an expression of ORDER BY behind brackets may be the column of the table or that of the result: write SELECT * FROM (SELECT …) AS t ORDER BY …"
            );
        }
    }
    Ok(())
}

/// `SELECT * FROM (…)`.
fn all_of(body: SetExpr) -> Result<SetExpr> {
    let mut parsed = Parser::parse_sql(&GenericDialect {}, "SELECT * FROM (SELECT 1) AS t")?;
    if let Some(Statement::Query(mut outer)) = parsed.pop()
        && let SetExpr::Select(select) = outer.body.as_mut()
        && let [from] = select.from.as_mut_slice()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        *subquery.body = body;
        return Ok(*outer.body);
    }
    Err(internal_datafusion_err!("a SELECT over brackets that is none"))
}

/// Whether there is nothing behind a SELECT.
fn is_plain(query: &Query) -> bool {
    query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty()
}

/// The SELECT within brackets.
fn select_of(query: &Query) -> Option<&Select> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            _ => return None,
        }
    }
}

struct Search<'a> {
    names: &'a Vec<String>,
}

impl Visitor for Search<'_> {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Identifier(name) if self.names.contains(&normal(name)) => ControlFlow::Break(normal(name)),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// The values of PostgreSQL and DuckDB.
    #[tokio::test]
    async fn brackets_around_a_select_are_none() {
        let t = "(VALUES (1, 'b'), (2, 'a'), (0, 'c')) AS t (k, s)";
        check(&[
            (&format!("(SELECT -k AS k FROM {t}) ORDER BY k + 0"), &["0", "-1", "-2"] as &[&str]),
            (&format!("((SELECT -k AS k FROM {t})) ORDER BY k + 0 LIMIT 1"), &["0"]),
            (&format!("(SELECT -k AS k FROM {t}) ORDER BY k"), &["-2", "-1", "0"]),
            (
                &format!("WITH w AS (SELECT * FROM {t}) (SELECT -k AS k FROM w) ORDER BY abs(k) DESC"),
                &["-2", "-1", "0"],
            ),
            (
                &format!("(WITH w AS (SELECT * FROM {t}) SELECT -k AS k FROM w) ORDER BY k * 2 DESC"),
                &["-2", "-1", "0"],
            ),
            (
                &format!("SELECT k FROM ((SELECT -k AS k FROM {t}) ORDER BY k + 0 LIMIT 2) AS q ORDER BY 1"),
                &["-1", "0"],
            ),
            (&format!("(SELECT k FROM {t} UNION SELECT 7) ORDER BY k + 0 DESC LIMIT 2"), &["7", "2"]),
            (&format!("(SELECT k FROM {t} LIMIT 5) ORDER BY k + 0"), &["0", "1", "2"]),
            (&format!("(SELECT -k AS k FROM {t} ORDER BY s LIMIT 2) ORDER BY k"), &["-2", "-1"]),
            (&format!("(SELECT k AS a FROM {t}) ORDER BY s"), &["2", "1", "0"]),
        ])
        .await;
        let t = "(VALUES (2, 1), (1, 5), (2, 9), (1, 7)) AS t (k, n)";
        check(&[
            (
                &format!("(SELECT DISTINCT ON (k) k, n FROM {t} ORDER BY k, n DESC) ORDER BY k, n"),
                &["1|7", "2|9"] as &[&str],
            ),
            (&format!("(SELECT DISTINCT ON (k) k, n FROM {t} ORDER BY k, n) ORDER BY n LIMIT 1"), &["2|1"]),
            (
                &format!("((SELECT DISTINCT ON (k) k, n FROM {t} ORDER BY k, n DESC LIMIT 1)) ORDER BY n"),
                &["1|7"],
            ),
            (&format!("(SELECT DISTINCT ON (k) k, n FROM {t} ORDER BY k, n DESC) LIMIT 1"), &["1|7"]),
            (&format!("(SELECT DISTINCT ON (k) k, n FROM {t}) ORDER BY k, n DESC"), &["1|7", "2|9"]),
        ])
        .await;
        let t = "(VALUES (1, 'b'), (2, 'a'), (0, 'c')) AS t (k, s)";
        refused(&[(&format!("(SELECT -k AS k FROM {t} LIMIT 2) ORDER BY k + 0"), "behind brackets")]).await;
    }
}
