//! Numbers in ORDER BY.
//!
//! `SELECT k, sum(i) * 2 … GROUP BY k ORDER BY 2` is refused by DataFusion 55, which puts the expression in place of the number and
//! then does not find it in the groups: it is called by a name of its own then.
//!
//! `string_agg(name, ',' ORDER BY 1)` is in the order of a constant to PostgreSQL and DuckDB, which is none, and DataFusion 55 takes
//! the first column of the table, whatever that is. Neither is likely to be meant.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArgumentClause, FunctionArguments, Ident, OrderByExpr, OrderByKind, Query, SelectItem,
    SetExpr, Statement, Value, Visit, VisitMut, Visitor, VisitorMut,
};

/// The statement with names for the columns that are ordered by their places.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _: ControlFlow<()> = VisitMut::visit(&mut statement, &mut Names);
    statement
}

struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), &query.order_by) else {
            return ControlFlow::Continue(());
        };
        let OrderByKind::Expressions(sorts) = &order_by.kind else { return ControlFlow::Continue(()) };
        for sort in sorts {
            let place = number(&sort.expr).and_then(|number| number.parse::<usize>().ok());
            let Some(item) = place.and_then(|place| select.projection.get_mut(place.checked_sub(1)?)) else {
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

/// A number that is written out.
fn number(expr: &Expr) -> Option<&str> {
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
