//! Names of columns that DataFusion would give badly, or twice.
//!
//! DataFusion 55 leaves a CAST out of a name, so that `max(x)` and `max(CAST(x AS REAL))` are one name to it, and an error
//! (apache/datafusion#6543); neither is a subquery part of one. And a whole number beyond 64 bits is a cast of a text here ([`literals`](super::literals)), which
//! nobody wants to read in a heading.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Select, SelectItem, Statement, Value, ValueWithSpan, VisitMut, VisitorMut, visit_expressions,
};

use super::shallow::nothing;
use super::{literals, shorthands};

/// Calls the columns of a SELECT by what was written, where they have a whole number beyond 64 bits or an NVL2.
pub(super) fn of_select(select: &mut Select) {
    as_written(select, |part| match part {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => literals::is_beyond(text),
        part => shorthands::is_nvl2(part),
    });
}

/// Calls the columns without a name by what was written, if that has such a part.
fn as_written(select: &mut Select, has: impl Fn(&Expr) -> bool) {
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let found = visit_expressions(expr, |part| match has(part) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        if found.is_break() {
            let alias = Ident::with_quote('"', expr.to_string());
            let expr = std::mem::replace(expr, nothing());
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// Looks whether two keys of a GROUP BY have one name, which DataFusion finds out later.
///
/// # Errors
/// Plan: they have.
pub(super) fn check_keys(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            let mut names = HashMap::new();
            for key in &aggregate.group_expr {
                let same = names.insert(key.schema_name().to_string(), key);
                if same.is_some_and(|same| same != key) {
                    return plan_err!("keys of GROUP BY require unique expression names: {key}");
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Makes each CAST a part of the names of what is computed of it, and of its own column.
pub(super) fn tell_casts(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Casts { types: Vec::new() });
}

struct Casts {
    /// The types that there are.
    types: Vec<String>,
}

impl VisitorMut for Casts {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        as_written(select, |part| {
            matches!(
                part,
                Expr::Cast { .. }
                    | Expr::Subquery(_)
                    | Expr::Exists { .. }
                    | Expr::InSubquery { .. }
                    | Expr::AnyOp { .. }
                    | Expr::AllOp { .. }
            )
        });
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Cast { data_type, .. } = &*expr else { return ControlFlow::Continue(()) };
        let text = data_type.to_string();
        let at = self.types.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.types.push(text);
            self.types.len() - 1
        });
        // COALESCE of a value, and of nulls, is that value; the number of nulls says which type.
        let mut args = vec![std::mem::replace(expr, nothing())];
        args.resize(at + 1, nothing());
        *expr = call("coalesce", args);
        ControlFlow::Continue(())
    }
}

/// A call of a function.
pub(super) fn call(function: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
