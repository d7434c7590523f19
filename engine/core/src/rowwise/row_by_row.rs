//! What SQL works row by row: one SELECT over one table, that filters, computes and unnests.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{Expr as Sql, Statement as SqlStatement, visit_expressions};

use crate::error::{Error, Result};
use crate::sql;

/// The one SELECT of a text, which reads no other table.
///
/// # Errors
/// User: it is something else, or reads another table.
pub(super) fn one_select(sql: &str, table: &str) -> Result<Statement> {
    let mut statements = sql::parse(sql)?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Statement(one)), true) if matches!(*one, SqlStatement::Query(_)) => {
            Statement::Statement(one)
        }
        _ => return Err(Error::user("this is to be one SELECT statement")),
    };
    let (read, _) = resolve_table_references(&statement, true)?;
    if let Some(other) = read.iter().map(ToString::to_string).find(|name| name != table) {
        return Err(Error::user(format!("the SELECT reads `{other}`"))
            .hint(format!("it works row by row over one batch: it can read `{table}` alone")));
    }
    Ok(statement)
}

/// The first function of a SELECT that asks a model.
pub(super) fn asked_model(statement: &Statement) -> Option<&'static str> {
    let Statement::Statement(statement) = statement else { return None };
    let found = visit_expressions(&**statement, |expression| {
        let of = match expression {
            Sql::Function(function) => function.name.0.last().and_then(|part| part.as_ident()),
            _ => None,
        };
        let asks = of
            .and_then(|of| sql::MODEL_FUNCTIONS.into_iter().find(|name| of.value.eq_ignore_ascii_case(name)));
        asks.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    });
    found.break_value()
}

/// Whether a plan is row by row.
///
/// # Errors
/// User: it is not.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut wrong: Option<String> = None;
    plan.apply_with_subqueries(|node| {
        let allowed = matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Unnest(_)
        );
        if !allowed {
            wrong = Some(node.display().to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        for expression in node.expressions() {
            let found = expression.exists(|part| {
                Ok(part.is_volatile_node()
                    || matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)))
            })?;
            if found {
                wrong = Some(expression.to_string());
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match wrong {
        None => Ok(()),
        Some(what) => Err(Error::user(format!("not row by row: {what}")).hint(
            "SQL over a batch may filter, compute and unnest; an aggregate, join, sort or random value would \
             make the table depend on how the stream was cut into batches: keep what is wanted of each key in a state \
             (`stateful = true` and [state]), or aggregate the table with `tidemill sql`",
        )),
    }
}

/// Whether a result depends on when the SELECT runs.
pub(super) fn asks_the_time(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            found |= expression.exists(|part| {
                let of_query = |f: &ScalarFunction| f.func.signature().volatility == Volatility::Stable;
                Ok(matches!(part, Expr::ScalarFunction(function) if of_query(function)))
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
