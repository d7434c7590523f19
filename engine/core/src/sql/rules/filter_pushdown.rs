//! Filters that are pushed to files, but not where two columns share a name.
//!
//! DataFusion 55 finds the columns of a filter again by their names in each node that it is pushed through. Above a join of
//! two tables that both have a column `s` it may take the other one, and rows are lost where that one's statistics rule them
//! out (apache/datafusion#21246, #25244, #25296; mended after 55.2). So filters are pushed within the parts of a plan where names are not shared; how far a
//! statement's WHERE goes down was decided before, by columns with the names of their tables.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

use super::constant_sums::WhereRowsCount;
use super::first_rows::{AllKeys, UnorderedLimits, WhereGroupsAreExact};
use super::guards::{FiltersFirst, GuardedFilters};
use super::moved_keys::MovedKeys;
use super::null_rows::NullRows;

/// DataFusion's rules for physical plans, with filters pushed by columns that are told apart.
pub(in crate::sql) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = Vec::new();
    for rule in PhysicalOptimizer::new().rules {
        match rule.name() {
            // Sides of joins are where they stay, and nothing is sorted yet.
            "EnsureRequirements" => {
                rules.push(Arc::new(NullRows));
                rules.push(Arc::new(MovedKeys));
                rules.push(rule);
            }
            "ProjectionPushdown" => rules.push(Arc::new(FiltersFirst(rule))),
            "aggregate_statistics" => rules.push(Arc::new(WhereRowsCount(rule))),
            "LimitAggregation" => rules.push(Arc::new(WhereGroupsAreExact(rule))),
            name if name.starts_with("FilterPushdown") => {
                // Before the filters that come of sorting.
                rules.push(Arc::new(AllKeys));
                rules.push(Arc::new(WhereNamesAreUnique(rule)));
            }
            _ => rules.push(rule),
        }
    }
    // Last, as the others read conditions off a filter.
    rules.push(Arc::new(GuardedFilters));
    rules.push(Arc::new(UnorderedLimits));
    rules
}

#[derive(Debug)]
struct WhereNamesAreUnique(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for WhereNamesAreUnique {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_down(|part| match has_unique_names(&part)? {
            true => Ok(Transformed::new(self.0.optimize(part, config)?, true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(part)),
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether in no node of a plan two columns share a name.
fn has_unique_names(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut unique = true;
    plan.apply(|node| {
        let schema = node.schema();
        let mut names = HashSet::new();
        unique &= schema.fields().iter().all(|field| names.insert(field.name().as_str()));
        Ok(if unique { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(unique)
}
