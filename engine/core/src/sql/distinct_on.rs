//! What DISTINCT ON is by, as ORDER BY has it.
//!
//! `DISTINCT ON (a, b) … ORDER BY b, a` is what PostgreSQL and DuckDB answer, and so are places, `DISTINCT ON (1)`. DataFusion 55 wants the
//! expressions of both one by one (and takes a place for a constant).

use std::collections::HashSet;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
};

use super::order_names::{normal, table_of};
use super::orders::{folded, number};

/// Puts the expressions in the order of ORDER BY, and takes out of both what is there already, which decides nothing.
///
/// # Errors
/// Plan: a place where there is no column.
pub(super) fn ordered(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let Some(Distinct::On(mut keys)) = select.distinct.clone() else { return Ok(()) };
    for key in &mut keys {
        match at_place(select, key) {
            Some((_, Some(expr))) => *key = expr.clone(),
            Some((place, None)) => {
                return plan_err!("DISTINCT ON ({place}): no column is written there, write the expression");
            }
            None => {}
        }
    }
    let mut seen = HashSet::new();
    let mut rest: Vec<(Meant, Expr)> = keys.into_iter().map(|key| (meant(select, &key), key)).collect();
    rest.retain(|(key, _)| seen.insert(key.clone()));
    let mut ordered = Vec::with_capacity(rest.len());
    if let Some(OrderByKind::Expressions(sorts)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind)
    {
        let mut seen = HashSet::new();
        sorts.retain(|sort| seen.insert(meant(select, &sort.expr)));
        for sort in sorts {
            let key = meant(select, &sort.expr);
            // Anything else comes too early, which DataFusion says.
            let Some(at) = rest.iter().position(|(other, _)| *other == key) else { break };
            ordered.push(rest.remove(at).1);
        }
    }
    ordered.extend(rest.into_iter().map(|(_, key)| key));
    select.distinct = Some(Distinct::On(ordered));
    Ok(())
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Meant {
    Column(String),
    /// An expression, in small letters.
    Computed(String),
}

/// Of a place its number and, if one is written there, the column.
fn at_place<'a>(select: &'a Select, key: &Expr) -> Option<(usize, Option<&'a Expr>)> {
    let place = number(key)?.parse::<usize>().ok()?;
    let column = match place.checked_sub(1).and_then(|at| select.projection.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => Some(expr),
        _ => None,
    };
    Some((place, column))
}

/// A place is what is written there, and a name of a column of the result what it is the name of.
fn meant(select: &Select, key: &Expr) -> Meant {
    let key = bare(at_place(select, key).and_then(|(_, column)| column).unwrap_or(key));
    let Expr::Identifier(name) = key else { return plain(select, key) };
    let named = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if normal(alias) == normal(name) => Some(expr),
        _ => None,
    });
    plain(select, named.map_or(key, bare))
}

fn plain(select: &Select, key: &Expr) -> Meant {
    let is_of = |table: &Ident| table_of(select).is_some_and(|only| normal(&only) == normal(table));
    match key {
        Expr::Identifier(name) => Meant::Column(normal(name)),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, name] if is_of(table) => Meant::Column(normal(name)),
            _ => Meant::Computed(folded(&key.to_string())),
        },
        _ => Meant::Computed(folded(&key.to_string())),
    }
}

fn bare(mut key: &Expr) -> &Expr {
    while let Expr::Nested(inner) = key {
        key = inner;
    }
    key
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
            (
                &format!("SELECT DISTINCT ON (s, k) k, s, v FROM {t} ORDER BY k, k DESC, s, v DESC"),
                &["1|a|4", "1|b|2", "2|a|3"],
            ),
            (&format!("SELECT DISTINCT ON (1, 1) k, v FROM {t} ORDER BY 1, k, v"), &["1|1", "2|3"]),
            (
                &format!("SELECT DISTINCT ON (s, (k)) k, s, v FROM {t} ORDER BY t.k DESC, \"s\", v"),
                &["2|a|3", "1|a|4", "1|b|1"],
            ),
            (
                &format!("SELECT DISTINCT ON (k, s) k, s, v FROM {t} ORDER BY t.s, T.K, v"),
                &["1|a|4", "2|a|3", "1|b|1"],
            ),
            (&format!("SELECT DISTINCT ON (k, k) k, v FROM {t} ORDER BY k, v"), &["1|1", "2|3"]),
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
