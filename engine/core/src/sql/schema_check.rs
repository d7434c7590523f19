//! Plans that DataFusion 55 refuses for what a column may be, and not for what it is.
//!
//! It compares what an aggregate was planned over with what it is computed over. Rules of its optimizer leave a column of a
//! UNION that can be null as one that cannot, or find that a CASE is never null, which the computation does not see; of such a
//! difference it makes an internal error ("Physical input schema should be the same", apache/datafusion#24096). What is
//! computed goes by its own columns. So where names and types are the same, the plan is made without the comparison.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::deep::deep;

/// The plan as it is run.
pub(super) async fn physical(mut state: SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    match deep(state.create_physical_plan(plan)).await {
        Err(error) if differs_in_nulls_alone(&error) => {
            state.config_mut().options_mut().execution.skip_physical_aggregate_schema_check = true;
            deep(state.create_physical_plan(plan)).await
        }
        made => made,
    }
}

fn differs_in_nulls_alone(error: &DataFusionError) -> bool {
    let text = error.strip_backtrace();
    let Some((_, differences)) = text.split_once("converted from logical input schema. Differences:") else {
        return false;
    };
    let mut differences = differences.lines().filter_map(|line| line.trim().strip_prefix("- "));
    differences.all(|difference| {
        ["field nullability at index", "field metadata at index", "schema metadata differs"]
            .iter()
            .any(|known| difference.starts_with(known))
    })
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    use super::*;

    /// DuckDB's values. As long as one of these is an error without [`physical`], it is needed.
    #[tokio::test]
    async fn what_may_be_null_to_one_part_of_the_plan_is_computed() {
        let t = "(SELECT * FROM (VALUES (1, TRUE), (2, FALSE), (NULL, NULL)) AS v (k, p) ORDER BY k LIMIT 5)";
        check(&[
            (
                &format!(
                    "SELECT DISTINCT CASE WHEN (CAST(NULL AS BOOLEAN) AND (b.p AND a.p)) THEN CASE WHEN b.p THEN CAST(b.k AS INT) ELSE a.k END \
                     ELSE (DATE '1969-12-31' - DATE '2024-01-31') END AS c FROM {t} AS a RIGHT JOIN {t} AS b ON a.k = b.k"
                ),
                &["-19754"] as &[&str],
            ),
            (
                &format!(
                    "SELECT count(*) FROM (SELECT COALESCE((min(DATE '2024-01-31') FILTER (WHERE p) - max(DATE '2023-12-31')), 101) AS c FROM {t} AS a GROUP BY k \
                     UNION SELECT (SELECT count(c.k) FROM {t} AS c WHERE c.k = b.k) AS c FROM {t} AS b WHERE b.k > 5)"
                ),
                &["2"],
            ),
        ])
        .await;
    }

    #[test]
    fn other_types_are_another_plan() {
        let error = |differences: &str| {
            DataFusionError::Internal(format!(
                "Physical input schema should be the same as the one converted from logical input schema. Differences: {differences}"
            ))
        };
        let nulls = "\n\t- field nullability at index 0 [c]: (physical) true vs (logical) false";
        assert!(differs_in_nulls_alone(&error(nulls)));
        let types = "\n\t- field data type at index 1 [d]: (physical) Int64 vs (logical) Int32";
        assert!(!differs_in_nulls_alone(&error(&format!("{nulls}{types}"))));
        assert!(!differs_in_nulls_alone(&DataFusionError::Internal("another".to_owned())));
    }
}
