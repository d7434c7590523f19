//! Numbers in ORDER BY, and what is said there once more.
//!
//! `SELECT k, sum(i) * 2 … GROUP BY k ORDER BY 2` is refused by DataFusion 55, which puts the expression in place of the number and
//! then does not find it in the groups: it is called by a name of its own then.
//!
//! So is `SELECT DISTINCT upper(s) … ORDER BY upper(s)`, which it does not find among the columns: what is a column once more is called by
//! that one's name.
//!
//! `string_agg(name, ',' ORDER BY 1)` is in the order of a constant to PostgreSQL and DuckDB, which is none, and DataFusion 55 takes
//! the first column of the table, whatever that is. Neither is likely to be meant.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, FunctionArgumentClause, FunctionArguments, Ident, OrderByExpr, OrderByKind, Query,
    SelectItem, SetExpr, Statement, Value, Visit, VisitMut, Visitor, VisitorMut,
};

/// The statement with names for the columns that are ordered by their places, or, of a DISTINCT, by themselves.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _: ControlFlow<()> = VisitMut::visit(&mut statement, &mut Names);
    statement
}

struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return ControlFlow::Continue(()) };
        for sort in sorts {
            let place = number(&sort.expr).and_then(|number| number.parse::<usize>().ok());
            let Some(item) = place.and_then(|place| select.projection.get_mut(place.checked_sub(1)?)) else {
                if matches!(select.distinct, Some(Distinct::Distinct))
                    && let Some(alias) = alias_of(&mut select.projection, &sort.expr)
                {
                    sort.expr = Expr::Identifier(alias);
                }
                continue;
            };
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let alias = Ident::with_quote('"', expr.to_string());
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }
}

/// The name of the column that is this expression, which gets one if it has none.
fn alias_of(columns: &mut [SelectItem], key: &Expr) -> Option<Ident> {
    if matches!(key, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
        return None;
    }
    let text = folded(&key.to_string());
    for item in columns {
        match item {
            SelectItem::UnnamedExpr(expr) if folded(&expr.to_string()) == text => {
                let alias = Ident::with_quote('"', expr.to_string());
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: alias.clone() };
                return Some(alias);
            }
            SelectItem::ExprWithAlias { expr, alias } if folded(&expr.to_string()) == text => {
                return Some(alias.clone());
            }
            _ => {}
        }
    }
    None
}

/// A text in small letters, but for what is in quotes.
pub(super) fn folded(text: &str) -> String {
    let mut quote = None;
    let mut fold = |letter: char| match quote {
        Some(open) => {
            if letter == open {
                quote = None;
            }
            letter
        }
        None => {
            if matches!(letter, '\'' | '"' | '`') {
                quote = Some(letter);
            }
            letter.to_ascii_lowercase()
        }
    };
    text.chars().map(&mut fold).collect()
}

/// A number that is written out.
pub(super) fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

/// Refuses a number that an aggregate is ordered by.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Search) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(number) => plan_err!(
            "ORDER BY {number} in an aggregate: a number is no position there, write the expression that it is ordered by"
        ),
    }
}

struct Search;

impl Visitor for Search {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let mut keys: Vec<&OrderByExpr> = function.within_group.iter().collect();
        if let FunctionArguments::List(list) = &function.args {
            for clause in &list.clauses {
                if let FunctionArgumentClause::OrderBy(sorts) = clause {
                    keys.extend(sorts);
                }
            }
        }
        for key in keys {
            if let Some(number) = number(&key.expr) {
                return ControlFlow::Break(number.to_owned());
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn distinct_rows_are_in_an_order_of_what_they_are() {
        let t = "(VALUES ('b', 1), ('a', 2), ('b', 1)) AS t (s, k)";
        check(&[
            (&format!("SELECT DISTINCT upper(s) FROM {t} ORDER BY upper(s) DESC"), &["B", "A"] as &[&str]),
            (
                &format!("SELECT DISTINCT upper(s) AS v, k + 1 FROM {t} ORDER BY UPPER(s), k + 1"),
                &["A|3", "B|2"],
            ),
            (
                &format!("SELECT DISTINCT s || 'x', s || 'X' FROM {t} ORDER BY s || 'X' DESC LIMIT 1"),
                &["bx|bX"],
            ),
            (&format!("SELECT DISTINCT k, upper(s) FROM {t} ORDER BY k DESC, upper(s)"), &["2|A", "1|B"]),
            (&format!("SELECT DISTINCT upper(s) FROM {t} GROUP BY s ORDER BY upper(s)"), &["A", "B"]),
        ])
        .await;
        refused(&[(
            &format!("SELECT DISTINCT upper(s) FROM {t} ORDER BY lower(s)"),
            "must appear in select list",
        )])
        .await;
    }

    #[test]
    fn what_is_in_quotes_stays() {
        assert_eq!(super::folded("UPPER(S || 'It''S', \"S\")"), "upper(s || 'It''S', \"S\")");
    }
}
