//! Whether a decimal is computed of a double that was written out: `price * 0.07`, wherever it stands.
//!
//! A quotient or mean of such is a double, as it was before the double was taken for the decimal that it says. So its digits
//! must not depend on whether the product stands beside the `/`, or behind a WITH, a `sum`, a CASE.

use datafusion::common::Column;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan};
use std::cell::Cell;

use super::OF_ONE_TYPE;
use super::exact::{Around, is_exact};

/// Expressions that are looked at, at most: columns may be made of others twice each, level by level.
const MOST: u32 = 2_000;

/// Functions whose result is one of their arguments, or of its kind.
const OF_THEIR_ARGUMENT: [&str; 8] = ["abs", "ceil", "floor", "round", "trunc", "sum", "min", "max"];

/// Whether the expression is such a decimal: no decimal is a literal but by [`exact`](super::exact::exact).
pub(super) fn of_written(expression: &Expr, around: &Around<'_>) -> bool {
    let left = Cell::new(MOST);
    is_one(expression, &|column| around.inputs.iter().any(|input| column_is_one(input, column, &left)), &left)
}

fn is_one(expression: &Expr, column_is: &dyn Fn(&Column) -> bool, left: &Cell<u32>) -> bool {
    let Some(still) = left.get().checked_sub(1) else { return false };
    left.set(still);
    let of = |part: &Expr| is_one(part, column_is, left);
    let takes_after = |name: &str| OF_THEIR_ARGUMENT.contains(&name) || OF_ONE_TYPE.contains(&name);
    match expression {
        Expr::Literal(value, _) => value.data_type().is_decimal(),
        Expr::Column(column) => column_is(column),
        Expr::Alias(named) => of(&named.expr),
        Expr::Negative(inner) => of(inner),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_exact(*op) => of(left) || of(right),
        Expr::Case(case) => {
            let results =
                case.when_then_expr.iter().map(|(_, then)| &**then).chain(case.else_expr.as_deref());
            results.into_iter().any(of)
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if takes_after(func.name()) => {
            args.iter().any(of)
        }
        Expr::AggregateFunction(call) if takes_after(call.func.name()) => call.params.args.iter().any(of),
        Expr::WindowFunction(call) if takes_after(call.fun.name()) => call.params.args.iter().any(of),
        Expr::ScalarSubquery(subquery) => {
            let plan = &subquery.subquery;
            !plan.schema().fields().is_empty() && nth_is_one(plan, 0, left)
        }
        _ => false,
    }
}

fn column_is_one(plan: &LogicalPlan, column: &Column, left: &Cell<u32>) -> bool {
    plan.schema().maybe_index_of_column(column).is_some_and(|at| nth_is_one(plan, at, left))
}

/// Whether a column of a plan is.
fn nth_is_one(plan: &LogicalPlan, at: usize, left: &Cell<u32>) -> bool {
    let Some(still) = left.get().checked_sub(1) else { return false };
    left.set(still);
    let made_of = |expression: Option<&Expr>, input: &LogicalPlan| {
        expression.is_some_and(|made| is_one(made, &|column| column_is_one(input, column, left), left))
    };
    match plan {
        LogicalPlan::Projection(made) => made_of(made.expr.get(at), &made.input),
        LogicalPlan::Aggregate(made) => {
            // GROUPING SETS are one expression of several columns; their keys are columns of the rows below mostly.
            let keys = made.group_expr_len().unwrap_or(made.group_expr.len());
            match at.checked_sub(keys) {
                Some(at) => made_of(made.aggr_expr.get(at), &made.input),
                None => made_of(made.group_expr.get(at), &made.input),
            }
        }
        LogicalPlan::Window(made) => match at.checked_sub(made.input.schema().fields().len()) {
            Some(at) => made_of(made.window_expr.get(at), &made.input),
            None => nth_is_one(&made.input, at, left),
        },
        LogicalPlan::SubqueryAlias(named) => nth_is_one(&named.input, at, left),
        LogicalPlan::Filter(filter) => nth_is_one(&filter.input, at, left),
        LogicalPlan::Sort(sort) => nth_is_one(&sort.input, at, left),
        LogicalPlan::Limit(limit) => nth_is_one(&limit.input, at, left),
        LogicalPlan::Distinct(Distinct::All(input)) => nth_is_one(input, at, left),
        LogicalPlan::Distinct(Distinct::On(on)) => made_of(on.select_expr.get(at), &on.input),
        LogicalPlan::Union(union) => union.inputs.iter().any(|input| nth_is_one(input, at, left)),
        LogicalPlan::Join(join) => match at.checked_sub(join.left.schema().fields().len()) {
            Some(at) => nth_is_one(&join.right, at, left),
            None => nth_is_one(&join.left, at, left),
        },
        _ => false,
    }
}
