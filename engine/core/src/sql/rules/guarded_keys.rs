//! What the ON of an outer join keeps away from the keys that it joins by.
//!
//! `a LEFT JOIN b ON a.x <> 0 AND 10 / a.x = b.y` divides by no zero. DataFusion 55 computes what stands beside `=` for all
//! rows of a side, as it does for NOT EXISTS. A row for which the rest of the condition does not hold is joined with none,
//! and so is one whose key is null: such a key is a CASE that is null there. Of inner joins the conditions of one side are
//! filters below ([`guards`](super::guards)). The rule is one of the last: by then it is known what are keys.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Case, Expr, Join, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::cases::may_fail;

/// Keeps keys of joins from being computed for rows that the rest of the condition leaves out.
#[derive(Debug)]
pub(super) struct GuardedKeys;

impl OptimizerRule for GuardedKeys {
    fn name(&self) -> &str {
        "guarded_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(mut join) = plan else { return Ok(Transformed::no(plan)) };
        // Null is a key like others there.
        if join.null_aware || join.null_equality == NullEquality::NullEqualsNull {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let Join { on, filter: Some(filter), left, right, .. } = &mut join else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let mut changed = false;
        for (of_left, of_right) in on {
            changed |= guard(of_left, filter, left)?;
            changed |= guard(of_right, filter, right)?;
        }
        Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
    }
}

/// Makes a key that may fail null where the conditions of its side do not hold.
fn guard(key: &mut Expr, filter: &Expr, side: &Arc<LogicalPlan>) -> Result<bool> {
    let schema = side.schema();
    if !may_fail(key, schema)? {
        return Ok(false);
    }
    let mut safe = Vec::new();
    for part in split_conjunction(filter) {
        if is_of(part, schema) && !part.is_volatile() && !may_fail(part, schema)? {
            safe.push(part.clone());
        }
    }
    let Some(test) = conjunction(safe) else { return Ok(false) };
    // From the last time that the rule was here.
    if matches!(&*key, Expr::Case(case) if case.when_then_expr.iter().any(|(when, _)| **when == test)) {
        return Ok(false);
    }
    let then = Box::new(std::mem::take(key));
    *key = Expr::Case(Case { expr: None, when_then_expr: vec![(Box::new(test), then)], else_expr: None });
    Ok(true)
}

/// Whether a condition reads columns of this side alone.
fn is_of(condition: &Expr, schema: &DFSchema) -> bool {
    let columns = condition.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    const A: &str =
        "(SELECT * FROM (VALUES (0, 'a'), (2, '5'), (10, '1')) AS v (x, s) ORDER BY x LIMIT 5) AS a";
    const B: &str = "(SELECT * FROM (VALUES (5, 1), (1, 0)) AS v (y, z) ORDER BY y LIMIT 5) AS b";

    /// DuckDB's values.
    #[tokio::test]
    async fn what_an_on_keeps_away_from_keys_is_not_computed() {
        for (condition, left, full) in [
            (
                "a.x <> 0 AND 10 / a.x = b.y",
                &["0|", "2|5", "10|1"] as &[&str],
                &["0|", "2|5", "10|1"] as &[&str],
            ),
            ("10 / a.x = b.y AND a.x > 5", &["0|", "2|", "10|1"], &["0|", "2|", "10|1", "|5"]),
            ("a.s <> 'a' AND CAST(a.s AS INT) = b.y", &["0|", "2|5", "10|1"], &["0|", "2|5", "10|1"]),
            ("b.z <> 0 AND a.x / 2 = 1 / b.z", &["0|", "2|5", "10|"], &["0|", "2|5", "10|", "|1"]),
        ] {
            check(&[
                (&format!("SELECT x, y FROM {A} LEFT JOIN {B} ON {condition} ORDER BY x, y"), left),
                (&format!("SELECT x, y FROM {B} RIGHT JOIN {A} ON {condition} ORDER BY x, y"), left),
                (&format!("SELECT x, y FROM {A} FULL JOIN {B} ON {condition} ORDER BY x, y"), full),
            ])
            .await;
        }
        check(&[
            (
                &format!("SELECT x FROM {A} WHERE NOT EXISTS (SELECT 1 FROM {B} WHERE a.x <> 0 AND 10 / a.x = b.y)"),
                &["0"] as &[&str],
            ),
            (
                &format!("SELECT x FROM {A} WHERE EXISTS (SELECT 1 FROM {B} WHERE a.x <> 0 AND 10 / a.x = b.y) ORDER BY x"),
                &["2", "10"],
            ),
        ])
        .await;
    }
}
