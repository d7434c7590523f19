//! Whether a SELECT asks for the time or for chance: its result is then another each time, of the same rows.
//!
//! What a function is, DataFusion's registry says (stable or volatile, by whatever name it is called). Those of a statement
//! are found in its text, as arguments of functions of rows are no more in a plan; those of views in the plan, in which
//! views are what they stand for.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr as Sql, visit_expressions};

use crate::error::Result;

/// Names of the functions whose result is another each time.
static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| names_of(|of| of != Volatility::Immutable));

/// Those of them whose result is another for each row.
static CHANCE: LazyLock<BTreeSet<String>> = LazyLock::new(|| names_of(|of| of == Volatility::Volatile));

fn names_of(is_volatile: fn(Volatility) -> bool) -> BTreeSet<String> {
    let state = SessionContext::new().state();
    let scalar = state.scalar_functions().iter().filter(|(_, f)| is_volatile(f.signature().volatility));
    let aggregate = state.aggregate_functions().iter().filter(|(_, f)| is_volatile(f.signature().volatility));
    let window = state.window_functions().iter().filter(|(_, f)| is_volatile(f.signature().volatility));
    let names = scalar.map(|(name, _)| name).chain(aggregate.map(|(name, _)| name));
    names.chain(window.map(|(name, _)| name)).cloned().collect()
}

/// Whether the text of a statement calls such a function.
pub(super) fn calls(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    let found = visit_expressions(&**statement, |expression| match expression {
        Sql::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            match name.is_some_and(|name| NAMES.contains(&name.value.to_lowercase())) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The name of the first function of chance that a statement calls; the time is none.
pub(super) fn chance(statement: &Statement) -> Option<String> {
    let Statement::Statement(statement) = statement else { return None };
    let found = visit_expressions(&**statement, |expression| match expression {
        Sql::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            match name.map(|name| name.value.to_lowercase()).filter(|name| CHANCE.contains(name)) {
                Some(name) => ControlFlow::Break(name),
                None => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}

/// Whether a plan does.
///
/// # Errors
/// Internal.
pub(super) fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            found |= expression.exists(|part| {
                let volatility = match part {
                    Expr::ScalarFunction(function) => function.func.signature().volatility,
                    Expr::AggregateFunction(function) => function.func.signature().volatility,
                    Expr::WindowFunction(function) => function.fun.signature().volatility,
                    _ => Volatility::Immutable,
                };
                Ok(volatility != Volatility::Immutable)
            })?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::graph::one_select;

    #[tokio::test]
    async fn time_and_chance_are_seen_wherever_they_stand() {
        let context = SessionContext::new();
        for sql in ["CREATE TABLE t AS SELECT now() AS a", "CREATE VIEW v AS SELECT random() AS n"] {
            context.sql(sql).await.unwrap().collect().await.unwrap();
        }
        for (sql, expected) in [
            ("SELECT * FROM (SELECT a - NOW() AS b FROM t) WHERE b > INTERVAL '1 day'", true),
            ("SELECT current_date", true),
            ("SELECT CURRENT_TIMESTAMP", true),
            ("SELECT today()", true),
            ("SELECT now() AT TIME ZONE 'America/New_York' AS n", true),
            ("SELECT a FROM t WHERE a > (SELECT max(current_timestamp) FROM t)", true),
            ("SELECT CASE WHEN uuid() < 'a' THEN 1 END AS x FROM t", true),
            ("SELECT a FROM t ORDER BY random()", true),
            ("SELECT count(*) FILTER (WHERE a < now()) AS n FROM t", true),
            ("SELECT value FROM generate_series(1, CAST(random() * 9 AS BIGINT))", true),
            ("SELECT n FROM v", true),
            ("SELECT 'now()' AS nowhere, a FROM t -- now()", false),
            ("SELECT to_timestamp('2026-01-01') AS now", false),
        ] {
            let in_plan =
                async { is_volatile(&context.state().create_logical_plan(sql).await.unwrap()).unwrap() };
            let found = calls(&one_select(sql).unwrap()) || in_plan.await;
            assert_eq!(found, expected, "{sql}");
        }
    }
}
