//! A key that is there twice in an ORDER BY.
//!
//! It decides nothing where it is there again, in ORDER BY as in DISTINCT ON. DataFusion 55 leaves it out in one place and not in another, so that an
//! aggregate sorts by the wrong keys, or DISTINCT ON panics. So it is left out before.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// Leaves out what is there twice in ORDER BY.
#[derive(Debug)]
pub(super) struct SortKeysOnce;

impl AnalyzerRule for SortKeysOnce {
    fn name(&self) -> &str {
        "sort_keys_once"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Distinct(Distinct::On(DistinctOn { on_expr, sort_expr, .. })) = &plan
        && (sort_expr.as_ref().is_some_and(|keys| has_twice(keys)) || distinct(on_expr).len() < on_expr.len())
    {
        let LogicalPlan::Distinct(Distinct::On(mut on)) = plan else { return Ok(Transformed::no(plan)) };
        on.sort_expr = on.sort_expr.map(once);
        on.on_expr = distinct(&on.on_expr);
        return Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| match part {
            Expr::AggregateFunction(AggregateFunction { func, mut params })
                if has_twice(&params.order_by) =>
            {
                params.order_by = once(params.order_by);
                Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn distinct(expressions: &[Expr]) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::with_capacity(expressions.len());
    for expression in expressions {
        if !kept.contains(expression) {
            kept.push(expression.clone());
        }
    }
    kept
}

fn has_twice(keys: &[Sort]) -> bool {
    keys.iter().enumerate().any(|(at, key)| keys[..at].iter().any(|before| before.expr == key.expr))
}

fn once(keys: Vec<Sort>) -> Vec<Sort> {
    let mut kept: Vec<Sort> = Vec::with_capacity(keys.len());
    for key in keys {
        if !kept.iter().any(|before| before.expr == key.expr) {
            kept.push(key);
        }
    }
    kept
}
