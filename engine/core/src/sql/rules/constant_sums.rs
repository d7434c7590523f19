//! The sum, and the number of distinct values, of a column that is the same in every row.
//!
//! DataFusion 55 (since apache/datafusion#23858, and #19419) takes `sum(c)` and `count(DISTINCT c)` of `SELECT 1.5 AS c FROM t` from what it knows of the column, without
//! a look at how many rows there are: of none the sum is 0 where it is null, and one value is distinct where none is, as it
//! is of a column that is null. Such aggregates are computed.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::held::without;

/// DataFusion's rule for aggregates that statistics answer, but none that they answer wrongly.
#[derive(Debug)]
pub(super) struct WhereRowsCount(pub(super) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for WhereRowsCount {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let is_computed = |node: &Arc<dyn ExecutionPlan>| {
            let aggregates = node.downcast_ref::<AggregateExec>().map(AggregateExec::aggr_expr);
            let mut aggregates = aggregates.unwrap_or_default().iter();
            Ok(aggregates
                .any(|made| made.is_distinct() || !matches!(made.fun().name(), "count" | "min" | "max")))
        };
        Ok(without(self.0.as_ref(), plan, config, &is_computed)?.0)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// PostgreSQL's values. Rows that are written out are known to be so many.
    #[tokio::test]
    async fn aggregates_of_a_constant_are_of_its_rows() {
        let none = "(VALUES (1), (2)) AS t (k) LIMIT 2 OFFSET 5";
        let two = "(VALUES (1), (2)) AS t (k)";
        check(&[
            (&format!("SELECT sum(c), max(c), count(c) FROM (SELECT 1.5 AS c FROM {none})"), &["||0"] as &[&str]),
            (&format!("SELECT sum(c) FROM (SELECT 1.5 AS c FROM {none})"), &[""]),
            (&format!("SELECT sum(c) FROM (SELECT CAST(1.5 AS DECIMAL(10,2)) AS c FROM {none})"), &[""]),
            (&format!("SELECT sum(c) FROM (SELECT CAST(1.5 AS REAL) AS c FROM {none})"), &[""]),
            (&format!("SELECT sum(c) FROM (SELECT 1.5 AS c FROM {two})"), &["3.0"]),
            (&format!("SELECT sum(c) FROM (SELECT 1.5 AS c FROM {none}) CROSS JOIN {two}"), &[""]),
            (
                &format!("SELECT count(DISTINCT c), count(DISTINCT d) FROM (SELECT 3 AS c, 4 AS d FROM {none})"),
                &["0|0"],
            ),
            (
                &format!("SELECT count(DISTINCT c), count(DISTINCT d) FROM (SELECT CAST(NULL AS INT) AS c, 4 AS d FROM {two})"),
                &["0|1"],
            ),
        ])
        .await;
    }
}
