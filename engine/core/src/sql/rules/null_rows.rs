//! Constants on the side of an outer join that gets rows of nulls, and below ROLLUP and its like.
//!
//! `b.x` of `a LEFT JOIN (SELECT * FROM b WHERE x = 7) b` is 7 or null. DataFusion 55 goes on to take it for a constant, and does not
//! sort by it. So it does with what is constant, or equal to another column, before ROLLUP, CUBE and GROUPING SETS make it null.
//! So there is a node above such rows that says nothing of their columns.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraints, JoinType, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    StatisticsArgs,
};

/// Puts a node above the sides of outer joins that get nulls and have constants, and below grouping sets.
#[derive(Debug)]
pub(super) struct NullRows;

impl PhysicalOptimizerRule for NullRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|part| {
            if let Some(aggregate) = part.downcast_ref::<AggregateExec>()
                && !aggregate.group_expr().is_single()
                && aggregate.input().downcast_ref::<Varying>().is_none()
            {
                let input = Arc::new(Varying::new(aggregate.input().clone(), Hidden::All));
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                return part.replace_children(vec![input], options).map(Transformed::yes);
            }
            let gets_nulls = match join_type(&part) {
                Some(JoinType::Left) => [false, true],
                Some(JoinType::Right) => [true, false],
                Some(JoinType::Full) => [true, true],
                _ => return Ok(Transformed::no(part)),
            };
            let mut sides: Vec<Arc<dyn ExecutionPlan>> = part.children().into_iter().cloned().collect();
            let mut changed = false;
            for (side, gets_nulls) in sides.iter_mut().zip(gets_nulls) {
                if gets_nulls && has_constants(side) {
                    *side = Arc::new(Varying::new(side.clone(), Hidden::All));
                    changed = true;
                }
            }
            if !changed {
                return Ok(Transformed::no(part));
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            part.replace_children(sides, options).map(Transformed::yes)
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        "null_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn join_type(plan: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(*join.join_type());
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Some(*join.join_type());
    }
    plan.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type())
}

fn has_constants(side: &Arc<dyn ExecutionPlan>) -> bool {
    let known = side.equivalence_properties();
    side.schema().fields().iter().enumerate().any(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        known.is_expr_constant(&column).is_some()
    })
}

/// What is not known of rows any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// Anything but the types.
    All,
    /// By which columns they are told apart.
    Keys,
}

/// The rows of another node, of which less is known.
#[derive(Debug)]
pub(super) struct Varying {
    input: Arc<dyn ExecutionPlan>,
    hidden: Hidden,
    properties: Arc<PlanProperties>,
}

impl Varying {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, hidden: Hidden) -> Varying {
        let known = match hidden {
            Hidden::All => EquivalenceProperties::new(input.schema()),
            Hidden::Keys => input.equivalence_properties().clone().with_constraints(Constraints::default()),
        };
        let properties = PlanProperties::new(
            known,
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Varying { input, hidden, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Varying {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Varying")
    }
}

impl ExecutionPlan for Varying {
    fn name(&self) -> &'static str {
        "Varying"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.hidden == Hidden::Keys]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        match self.hidden {
            Hidden::All => CardinalityEffect::Unknown,
            Hidden::Keys => CardinalityEffect::Equal,
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Varying::new(input, self.hidden))),
            None => internal_err!("Varying without rows"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    // A filter takes rows away before they are joined.
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            inputs => internal_err!("Varying of {} inputs", inputs.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn grouping_sets_make_constants_null() {
        let (a, b) = ("(VALUES (1, 1), (1, 2), (2, 3)) AS a (k, v)", "(VALUES (1), (2), (3)) AS b (k)");
        check(&[
            (
                &format!("SELECT k, v, count(*) FROM {a} WHERE k = 1 GROUP BY CUBE (k, v) ORDER BY k NULLS LAST, v NULLS LAST"),
                &["1|1|1", "1|2|1", "1||2", "|1|1", "|2|1", "||2"] as &[&str],
            ),
            (
                &format!("SELECT a.k, b.k AS j, sum(v) FROM {a} JOIN {b} ON a.k = b.k GROUP BY CUBE (a.k, b.k) ORDER BY 1 NULLS LAST, j NULLS LAST"),
                &["1|1|3", "1||3", "2|2|3", "2||3", "|1|3", "|2|3", "||6"],
            ),
            (
                &format!("SELECT k, row_number() OVER (ORDER BY k NULLS FIRST) FROM (SELECT k FROM {a} WHERE k = 1 GROUP BY ROLLUP (k)) AS q ORDER BY 2"),
                &["|1", "1|2"],
            ),
        ])
        .await;
    }
}
