//! Many conditions between AND or OR.
//!
//! DataFusion 55 takes a row of conditions apart and puts it together again as a tree as deep as the row is long, again and
//! again, looking at each with each: 2,000 take a quarter of a minute, and its recursion may pass the end of the stack. So
//! they are handed on in parts that it does not look into from outside.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::of_its_type::OfItsType;
use crate::sql::shallow::balanced;

/// So many conditions may stand side by side.
const FEW: usize = 100;

/// How many are in a part.
const PART: usize = 50;

/// Hands many conditions on in parts.
#[derive(Debug)]
pub(super) struct ManyConditions;

impl AnalyzerRule for ManyConditions {
    fn name(&self) -> &str {
        "many_conditions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_down(|part| Ok(in_parts(part)))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn in_parts(expression: Expr) -> Transformed<Expr> {
    let Some(operator) = operator_of(&expression) else { return Transformed::no(expression) };
    if count(&expression, operator) <= FEW {
        return Transformed::no(expression);
    }
    let (mut plain, mut made) = (Vec::new(), Vec::new());
    for condition in conditions(expression, operator) {
        // A subquery becomes a join only where it is a condition of its own.
        let has_subquery = condition.exists(|part| {
            Ok(matches!(part, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_)))
        });
        if has_subquery.unwrap_or(true) { made.push(condition) } else { plain.push(condition) }
    }
    let hide = ScalarUDF::from(OfItsType::as_it_is());
    while plain.len() > FEW {
        let mut parts = Vec::new();
        let mut rest = plain.into_iter().peekable();
        while rest.peek().is_some() {
            let part: Vec<Expr> = rest.by_ref().take(PART).collect();
            parts.extend(joined(part, operator).map(|part| hide.call(vec![part])));
        }
        plain = parts;
    }
    plain.extend(made);
    match joined(plain, operator) {
        Some(all) => Transformed::new(all, true, TreeNodeRecursion::Jump),
        None => Transformed::no(Expr::default()),
    }
}

fn operator_of(expression: &Expr) -> Option<Operator> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => Some(*op),
        _ => None,
    }
}

fn count(expression: &Expr, operator: Operator) -> usize {
    let (mut found, mut todo) = (0, vec![expression]);
    while let Some(next) = todo.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == operator => {
                todo.extend([&**left, right])
            }
            _ => found += 1,
        }
    }
    found
}

fn conditions(expression: Expr, operator: Operator) -> Vec<Expr> {
    let (mut found, mut todo) = (Vec::new(), vec![expression]);
    while let Some(next) = todo.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op == operator => {
                todo.extend([*right, *left])
            }
            other => found.push(other),
        }
    }
    found
}

/// The conditions as a tree of little depth; `None` of none.
fn joined(conditions: Vec<Expr>, operator: Operator) -> Option<Expr> {
    balanced(conditions, &|left, right| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
    })
}
