//! `x IN (a, b)` where a or b is no constant.
//!
//! DataFusion 55 makes a set of such a list once for all rows where it takes its values for constant, and a CASE whose
//! conditions are constant passes for one even where it gives a column. As `x = a OR x = b` it is looked at row by row.

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, lit, not};
use datafusion::optimizer::AnalyzerRule;

/// Compares with each value of a list that is computed.
#[derive(Debug)]
pub(super) struct ComputedLists;

impl AnalyzerRule for ComputedLists {
    fn name(&self) -> &str {
        "computed_lists"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| {
            Ok(match part {
                Expr::InList(list) if list.list.iter().any(is_computed) && !list.expr.is_volatile() => {
                    Transformed::yes(compared(list))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn is_computed(value: &Expr) -> bool {
    value.exists(|part| Ok(matches!(part, Expr::Case(_) | Expr::ScalarFunction(_)))).unwrap_or(true)
        && !value.column_refs().is_empty()
}

fn compared(list: InList) -> Expr {
    let InList { expr, list, negated } = list;
    let equal = list.into_iter().map(|value| expr.as_ref().clone().eq(value));
    let any = disjunction(equal).unwrap_or_else(|| lit(false));
    if negated { not(any) } else { any }
}
