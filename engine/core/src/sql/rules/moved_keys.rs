//! Rows that are told apart by the keys that they are grouped by, once those are other columns.
//!
//! No two rows of `SELECT s, count(*) AS n FROM t GROUP BY s` have the same `s`, so that nothing more is to be sorted by behind it.
//! Where columns change places, `SELECT n, s FROM …`, DataFusion 55 goes by the place and not by the column: it takes `n` for what tells
//! rows apart, and drops `s` from ORDER BY `n, s`, or from the order of a window. So there is a node below what moves such a
//! column that does not say by what rows are told apart.
//!
//! `EquivalenceProperties::projected_constraints` gives `Constraints::project` the places that columns get, which are always
//! 0, 1, 2 and so on, where it wants the places that they come from. No issue of DataFusion's is of that: the logical
//! plan's apache/datafusion#23027 is another. The rule may go when the test below passes without it.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Constraint, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::null_rows::{Hidden, Varying};

/// Puts a node below what moves columns by which rows are told apart.
#[derive(Debug)]
pub(super) struct MovedKeys;

impl PhysicalOptimizerRule for MovedKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|part| {
            let children = part.children();
            let [input] = children.as_slice() else { return Ok(Transformed::no(part)) };
            let known = input.equivalence_properties().constraints();
            let last = known.iter().flat_map(|constraint| match constraint {
                Constraint::PrimaryKey(columns) | Constraint::Unique(columns) => columns,
            });
            let Some(last) = last.max().copied() else { return Ok(Transformed::no(part)) };
            if !moves(&part, last) {
                return Ok(Transformed::no(part));
            }
            let below = Arc::new(Varying::new(Arc::clone(input), Hidden::Keys));
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            part.clone().replace_children(vec![below], options).map(Transformed::yes)
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        "moved_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a node has other columns than its input has, up to this one, or has one of these twice.
fn moves(plan: &Arc<dyn ExecutionPlan>, last: usize) -> bool {
    let place = |made: &Arc<dyn PhysicalExpr>| made.downcast_ref::<Column>().map(Column::index);
    let places: Vec<Option<usize>> = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        projection.expr().iter().map(|column| place(&column.expr)).collect()
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        aggregate.group_expr().expr().iter().map(|(key, _)| place(key)).collect()
    } else if let Some(columns) =
        plan.downcast_ref::<FilterExec>().and_then(|filter| filter.projection().as_ref())
    {
        columns.iter().copied().map(Some).collect()
    } else {
        return false;
    };
    let stays = (0..=last).all(|at| places.get(at).copied().flatten() == Some(at));
    !stays || places.iter().skip(last + 1).flatten().any(|at| *at <= last)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// 200 rows of each `k`, 20 of each `s`. DuckDB's values.
    const ROWS: &str = "(SELECT value AS id, value % 100 AS k, 'g' || CAST(value % 1000 AS TEXT) AS s FROM generate_series(0, 19999)) AS u";

    #[tokio::test]
    async fn rows_are_in_order_by_columns_that_have_moved() {
        check(&[
            (
                &format!("SELECT rank() OVER (ORDER BY count(*) DESC) AS place, s FROM {ROWS} GROUP BY s ORDER BY place, s LIMIT 3"),
                &["1|g0", "1|g1", "1|g10"] as &[&str],
            ),
            (
                &format!("SELECT count(*) AS n, s FROM {ROWS} GROUP BY s HAVING count(*) > 1 ORDER BY n, s LIMIT 3"),
                &["20|g0", "20|g1", "20|g10"],
            ),
            (
                &format!("SELECT count(*) AS n, k, s FROM {ROWS} GROUP BY k, s ORDER BY n, k, s LIMIT 3"),
                &["20|0|g0", "20|0|g100", "20|0|g200"],
            ),
            (
                &format!("SELECT k AS a, k AS b, s FROM {ROWS} GROUP BY k, s ORDER BY a, b, s LIMIT 3"),
                &["0|0|g0", "0|0|g100", "0|0|g200"],
            ),
            (
                &format!("SELECT n, k, count(*) AS c FROM (SELECT k, count(*) AS n, max(id) AS m FROM {ROWS} GROUP BY k) AS q GROUP BY n, k ORDER BY n, k LIMIT 3"),
                &["200|0|1", "200|1|1", "200|2|1"],
            ),
            // Nothing moves.
            (&format!("SELECT s, count(*) AS n FROM {ROWS} GROUP BY s ORDER BY s, n LIMIT 3"), &["g0|20", "g1|20", "g10|20"]),
        ])
        .await;
    }

    #[tokio::test]
    async fn windows_are_by_columns_that_have_moved() {
        let groups = format!("(SELECT count(*) AS n, k FROM {ROWS} GROUP BY k) AS q");
        check(&[
            (
                &format!("SELECT n, k FROM (SELECT n, k, row_number() OVER (PARTITION BY n ORDER BY k) AS r \
                          FROM (SELECT count(*) AS n, id % 97 AS k FROM {ROWS} GROUP BY id % 97) AS q) AS q WHERE r = 1 ORDER BY n"),
                &["206|18", "207|0"] as &[&str],
            ),
            (
                &format!("SELECT n, k, sum(k) OVER (ORDER BY n, k ROWS UNBOUNDED PRECEDING) FROM {groups} ORDER BY n, k LIMIT 4"),
                &["200|0|0", "200|1|1", "200|2|3", "200|3|6"],
            ),
            (
                &format!("SELECT n, k, lag(k) OVER (ORDER BY n, k) FROM {groups} ORDER BY n, k LIMIT 3"),
                &["200|0|", "200|1|0", "200|2|1"],
            ),
        ])
        .await;
    }
}
