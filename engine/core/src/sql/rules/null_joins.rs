//! Joins in which null equals null, beside others.
//!
//! DataFusion 55 takes joins that follow each other apart and puts them together anew, all of them as the outermost one is:
//! `a JOIN b ON a.x IS NOT DISTINCT FROM b.x JOIN c ON …` loses the rows where x is null. Joins that follow such a one are
//! hidden from it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, NullEquality, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, Join, JoinType, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

/// DataFusion's rules for logical plans, with joins that keep what they compare.
pub(in crate::sql) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    rules
        .map(|rule| match rule.name() {
            "eliminate_cross_join" => Arc::new(KeepsNullJoins(rule)),
            _ => rule,
        })
        .collect()
}

#[derive(Debug)]
struct KeepsNullJoins(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for KeepsNullJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            found |= is_null_join(node);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !found {
            return self.0.rewrite(plan, config);
        }
        let hidden = plan.transform_down_with_subqueries(|node| match has_null_join(&node) {
            true => {
                let joins = self.leaves(node, config)?;
                let node = Arc::new(Hidden(joins));
                let hidden = LogicalPlan::Extension(Extension { node });
                Ok(Transformed::new(hidden, true, TreeNodeRecursion::Jump))
            }
            false => Ok(Transformed::no(node)),
        })?;
        let made = self.0.rewrite(hidden.data, config)?;
        made.data.transform_down_with_subqueries(shown)
    }
}

impl KeepsNullJoins {
    /// Joins as they are, of tables that the rule has seen.
    fn leaves(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                let left = Arc::new(self.leaves(Arc::unwrap_or_clone(join.left), config)?);
                let right = Arc::new(self.leaves(Arc::unwrap_or_clone(join.right), config)?);
                Ok(LogicalPlan::Join(Join { left, right, ..join }))
            }
            other => Ok(self.rewrite(other, config)?.data),
        }
    }
}

fn is_null_join(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join)
        if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull)
}

/// Whether null equals null in one of the inner joins that follow each other.
fn has_null_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            is_null_join(plan) || has_null_join(&join.left) || has_null_join(&join.right)
        }
        _ => false,
    }
}

/// Puts what was hidden back.
fn shown(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Extension(Extension { node }) = &plan
        && let Some(Hidden(joins)) = node.as_any().downcast_ref()
    {
        // What stands in it was shown when it was made.
        return Ok(Transformed::new(joins.clone(), true, TreeNodeRecursion::Jump));
    }
    Ok(Transformed::no(plan))
}

/// Joins that the rule takes for a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
struct Hidden(LogicalPlan);

impl UserDefinedLogicalNodeCore for Hidden {
    fn name(&self) -> &str {
        "Hidden"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.0.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Hidden")
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match expressions.is_empty() && inputs.is_empty() {
            true => Ok(self.clone()),
            false => internal_err!("joins that are hidden have no inputs"),
        }
    }
}
