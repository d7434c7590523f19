//! The first rows in an order, where DataFusion 55 takes others.
//!
//! - A SELECT of constants in a UNION has its rows in any order that is asked for, so each part of the UNION is sorted by what is
//!   left of the keys; but with a LIMIT the parts share the least row that is worth keeping, and of rows that differ in the
//!   key that was left out the wrong ones go. Each part is sorted by all keys.
//! - The first groups of `GROUP BY x ORDER BY x LIMIT n` are kept in a heap, where NaN is not the group that NaN is: a group
//!   comes twice, or DataFusion panics. Groups of floating point numbers are all kept.
//! - The same heap is had below windows, `SELECT k, count(*) OVER () … GROUP BY k ORDER BY k LIMIT 1`, which then see no more than
//!   the first groups (apache/datafusion#25066). There all groups are kept.
//! - The first rows of a DISTINCT that turns out to be over rows in its order are an internal error
//!   (apache/datafusion#25350). The limit above is enough.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::held::without;

/// Sorts all parts of a result by all keys where only the first rows are kept.
#[derive(Debug)]
pub(super) struct AllKeys;

impl PhysicalOptimizerRule for AllKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_down(|part| {
            let Some(merge) = part.downcast_ref::<SortPreservingMergeExec>() else {
                return Ok(Transformed::no(part));
            };
            let Some(sort) = merge.input().downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(part));
            };
            if sort.fetch().is_none() || sort.expr() == merge.expr() {
                return Ok(Transformed::no(part));
            }
            let sorted = SortExec::new(merge.expr().clone(), sort.input().clone())
                .with_fetch(sort.fetch())
                .with_preserve_partitioning(sort.preserve_partitioning());
            let merged = SortPreservingMergeExec::new(merge.expr().clone(), Arc::new(sorted));
            Ok(Transformed::yes(Arc::new(merged.with_fetch(merge.fetch())) as _))
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        "all_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// DataFusion's rule for the first groups, but not of floating point numbers, and not below windows.
#[derive(Debug)]
pub(super) struct WhereGroupsAreExact(pub(super) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for WhereGroupsAreExact {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let is_window = |node: &Arc<dyn ExecutionPlan>| {
            Ok(node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>())
        };
        let (limited, _) = without(self.0.as_ref(), plan, config, &is_window)?;
        let made = limited.transform_up(|part| {
            let Some(aggregate) = part.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(part));
            };
            let is_floating = part.schema().fields().iter().any(|field| field.data_type().is_floating());
            let is_heap = aggregate.limit_options().is_some_and(|limit| limit.descending.is_some());
            match is_heap && is_floating {
                true => Ok(Transformed::yes(Arc::new(aggregate.with_new_limit_options(None)) as _)),
                false => Ok(Transformed::no(part)),
            }
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

/// Takes the limit off a DISTINCT that has come to be over rows in some order.
#[derive(Debug)]
pub(super) struct UnorderedLimits;

impl PhysicalOptimizerRule for UnorderedLimits {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|part| {
            let Some(aggregate) = part.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(part));
            };
            let is_soft = aggregate.limit_options().is_some_and(|limit| limit.descending.is_none());
            match is_soft && !aggregate.is_unordered_unfiltered_group_by_distinct() {
                true => Ok(Transformed::yes(Arc::new(aggregate.with_new_limit_options(None)) as _)),
                false => Ok(Transformed::no(part)),
            }
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        "unordered_limits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn windows_see_all_groups() {
        let t = "(VALUES (1, 5), (2, 4), (3, 6)) AS t (k, x)";
        check(&[
            (&format!("SELECT k, count(*) OVER () FROM {t} GROUP BY k ORDER BY k LIMIT 1"), &["1|3"] as &[&str]),
            (&format!("SELECT DISTINCT k, count(*) OVER () FROM {t} ORDER BY k LIMIT 1"), &["1|3"]),
            (&format!("SELECT k, sum(k) OVER (ORDER BY k DESC) FROM {t} GROUP BY k ORDER BY k LIMIT 1"), &["1|6"]),
            (
                &format!("SELECT k, max(x) AS m, rank() OVER (ORDER BY max(x)), count(*) OVER () FROM {t} GROUP BY k ORDER BY m DESC LIMIT 1"),
                &["3|6|3|3"],
            ),
            (
                &format!("SELECT k, n FROM (SELECT k, count(*) OVER () AS n FROM (SELECT DISTINCT k FROM {t}) AS q) AS q ORDER BY k DESC LIMIT 1"),
                &["3|3"],
            ),
        ])
        .await;
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn the_first_rows_of_a_distinct_may_be_in_an_order() {
        let u = "(SELECT value AS id, value % 100 AS k, 'g' || CAST(value % 1000 AS TEXT) AS s, value * 0.5 AS y FROM generate_series(0, 19999)) AS u";
        check(&[
            (
                &format!("SELECT count(*), sum(k), sum(n) FROM (SELECT DISTINCT k, s, count(*) OVER (PARTITION BY k, y > 5) AS n FROM {u} WHERE id < 2 LIMIT 3) AS q"),
                &["2|1|2"] as &[&str],
            ),
            (
                &format!("SELECT count(*) FROM (SELECT DISTINCT k, s, count(*) OVER (PARTITION BY k, y > 5) AS n FROM {u} LIMIT 3) AS q"),
                &["3"],
            ),
        ])
        .await;
    }
}
