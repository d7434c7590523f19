//! Joins in which null equals null, beside others.
//!
//! DataFusion 55 takes joins that follow each other apart and puts them together anew, all of them as the outermost one is:
//! `a JOIN b ON a.x IS NOT DISTINCT FROM b.x JOIN c ON …` loses the rows where x is null. A plan with such a join is left as it is.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{JoinType, LogicalPlan};
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
            found |= matches!(node, LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        match found {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}
