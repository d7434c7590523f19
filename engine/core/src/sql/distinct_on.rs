//! What DISTINCT ON is by, as ORDER BY has it.
//!
//! `DISTINCT ON (a, b) … ORDER BY b, a` is what PostgreSQL and DuckDB answer, and so are places, `DISTINCT ON (1)`. DataFusion 55 wants the
//! expressions of both one by one (and takes a place for a constant).

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{Distinct, Expr, OrderByKind, Query, SelectItem, SetExpr};

use super::orders::{folded, number};

/// Puts the expressions in the order of ORDER BY.
///
/// # Errors
/// Plan: a place where there is no column.
pub(super) fn ordered(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let Some(Distinct::On(keys)) = &mut select.distinct else { return Ok(()) };
    let at_place = |key: &Expr| {
        let place = number(key)?.parse::<usize>().ok()?;
        Some((place, place.checked_sub(1).and_then(|at| select.projection.get(at))))
    };
    for key in keys.iter_mut() {
        match at_place(key) {
            Some((_, Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }))) => {
                *key = expr.clone();
            }
            Some((place, _)) => {
                return plan_err!("DISTINCT ON ({place}): no column is written there, write the expression");
            }
            None => {}
        }
    }
    let Some(OrderByKind::Expressions(sorts)) = query.order_by.as_ref().map(|order_by| &order_by.kind) else {
        return Ok(());
    };
    // By what they stand for: a place, a name of a column of the result, or as they are.
    let meant = |key: &Expr| {
        if let Some((_, Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }))) =
            at_place(key)
        {
            return folded(&expr.to_string());
        }
        let text = folded(&key.to_string());
        let named = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if folded(&alias.to_string()) == text => Some(expr),
            _ => None,
        });
        named.map_or(text, |expr| folded(&expr.to_string()))
    };
    let mut rest: Vec<(String, Expr)> = keys.iter().map(|key| (meant(key), key.clone())).collect();
    let mut ordered = Vec::with_capacity(rest.len());
    for sort in sorts {
        let text = meant(&sort.expr);
        if let Some(at) = rest.iter().position(|(key, _)| *key == text) {
            ordered.push(rest.remove(at).1);
        } else if !rest.is_empty() {
            // What is twice in ORDER BY decides nothing; anything else comes too early, which DataFusion says.
            break;
        }
    }
    ordered.extend(rest.into_iter().map(|(_, key)| key));
    *keys = ordered;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// The values of PostgreSQL and DuckDB.
    #[tokio::test]
    async fn keys_are_in_the_order_of_the_rows() {
        let t = "(VALUES (1, 'b', 1), (1, 'b', 2), (2, 'a', 3), (1, 'a', 4)) AS t (k, s, v)";
        check(&[
            (
                &format!("SELECT DISTINCT ON (k, s) k, s, v FROM {t} ORDER BY s, k, v DESC"),
                &["1|a|4", "2|a|3", "1|b|2"] as &[&str],
            ),
            (
                &format!("SELECT DISTINCT ON (k, s) s, k, v FROM {t} ORDER BY s, k DESC, v"),
                &["a|2|3", "a|1|4", "b|1|1"],
            ),
            (&format!("SELECT DISTINCT ON (1) k + 1 AS b, v FROM {t} ORDER BY 1 DESC, v"), &["3|3", "2|1"]),
            (
                &format!("SELECT DISTINCT ON (2, 1) k, s, v FROM {t} ORDER BY s, k, v"),
                &["1|a|4", "2|a|3", "1|b|1"],
            ),
            (&format!("SELECT DISTINCT ON (k + 1) k, v FROM {t} ORDER BY k + 1, -v"), &["1|4", "2|3"]),
            (
                &format!("SELECT DISTINCT ON (upper(s), b) k AS b, s FROM {t} ORDER BY b, UPPER(s) DESC, v"),
                &["1|b", "1|a", "2|a"],
            ),
        ])
        .await;
        refused(&[
            (&format!("SELECT DISTINCT ON (k) k, v FROM {t} ORDER BY v"), "begin ORDER BY with"),
            (&format!("SELECT DISTINCT ON (k) k, v FROM {t} ORDER BY k + 0, v"), "begin ORDER BY with"),
            (&format!("SELECT DISTINCT ON (3) k, v FROM {t} ORDER BY 1"), "no column is written there"),
        ])
        .await;
    }
}
