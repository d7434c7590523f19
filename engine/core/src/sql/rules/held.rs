//! A rule of DataFusion's that does not see some nodes of a plan.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// What a rule makes of a plan in which it does not see these nodes, and whether there are any. What is below them it sees.
pub(super) fn without(
    rule: &dyn PhysicalOptimizerRule,
    plan: Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
    is_held: &dyn Fn(&Arc<dyn ExecutionPlan>) -> Result<bool>,
) -> Result<(Arc<dyn ExecutionPlan>, bool)> {
    let held = plan.transform_up(|node| match is_held(&node)? {
        true => Ok(Transformed::yes(Arc::new(Held(node)) as _)),
        false => Ok(Transformed::no(node)),
    })?;
    let made = rule.optimize(held.data, config)?;
    if !held.transformed {
        return Ok((made, false));
    }
    let free = made.transform_up(|node| match node.downcast_ref::<Held>() {
        Some(Held(node)) => Ok(Transformed::yes(node.clone())),
        None => Ok(Transformed::no(node)),
    })?;
    Ok((free.data, true))
}

/// A node that is not what it is.
#[derive(Debug)]
struct Held(Arc<dyn ExecutionPlan>);

impl DisplayAs for Held {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl ExecutionPlan for Held {
    fn name(&self) -> &'static str {
        "Held"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.0.children()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Held(self.0.clone().replace_children(children, options)?)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}
