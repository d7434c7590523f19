//! Brackets around a whole SELECT.
//!
//! `(SELECT -k AS k FROM t) ORDER BY k + 0` is the SELECT without brackets to PostgreSQL and DuckDB: the k of an expression is the
//! table's. DataFusion 55 takes it for the column of the result, as after a UNION. Where the SELECT in brackets has an order or a
//! LIMIT of its own they do not agree on what comes first: such a name is refused there.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{Expr, OrderByKind, Query, Select, SetExpr, Visit, Visitor};

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
    let (SetExpr::Query(inner), Some(order_by)) = (query.body.as_ref(), &query.order_by) else {
        return Ok(());
    };
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
        refused(&[(&format!("(SELECT -k AS k FROM {t} LIMIT 2) ORDER BY k + 0"), "behind brackets")]).await;
    }
}
