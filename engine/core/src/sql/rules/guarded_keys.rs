//! What the ON of an outer join keeps away from the keys that it joins by.
//!
//! `a LEFT JOIN b ON a.x <> 0 AND 10 / a.x = b.y` divides by no zero. DataFusion 55 computes what stands beside `=` for all
//! rows of a side, as it does for NOT EXISTS. A row for which the rest of the condition does not hold is joined with none,
//! and so is one whose key is null: such a key is a CASE that is null there. Of inner joins the conditions of one side are
//! filters below ([`guards`](super::guards)). The rule is one of the last: by then it is known what are keys.
//!
//! A condition that reads both sides, as in `ON a.x > b.z AND 10 / a.x = b.y`, can be no part of a key. There the key becomes a
//! condition of joined rows behind the others: slower, so that it is done only of what divides or casts a column that such
//! a condition reads too.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Case, Expr, Join, LogicalPlan, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::cases::{as_number, risk};
use super::checked::Risk;

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
        let (mut keys, mut conditions) = (Vec::with_capacity(on.len()), Vec::new());
        for (mut of_left, mut of_right) in std::mem::take(on) {
            let tests = tests_of_both(&of_left, left, &of_right, right, filter)?;
            if tests.is_empty() {
                changed |= guard(&mut of_left, filter, left)?;
                changed |= guard(&mut of_right, filter, right)?;
                keys.push((of_left, of_right));
            } else {
                conditions.push(only_where(tests, of_left.eq(of_right)));
            }
        }
        *on = keys;
        if !conditions.is_empty() {
            changed = true;
            let all = split_conjunction(filter).into_iter().cloned().chain(conditions);
            join.filter = conjunction(all);
        }
        Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
    }
}

/// The conditions that read both sides and keep a division or a cast in a pair of keys from being computed.
fn tests_of_both(
    of_left: &Expr,
    left: &LogicalPlan,
    of_right: &Expr,
    right: &LogicalPlan,
    filter: &Expr,
) -> Result<Vec<Expr>> {
    let mut risks = HashSet::new();
    for (key, side) in [(of_left, left), (of_right, right)] {
        if risk(key, side.schema())? == Risk::Any {
            risks.extend(key.column_refs());
        }
    }
    let mut tests = Vec::new();
    if risks.is_empty() {
        return Ok(tests);
    }
    let both = left.schema().join(right.schema())?;
    for part in split_conjunction(filter) {
        let reads = part.column_refs();
        let is_of_both = !is_of(part, left.schema()) && !is_of(part, right.schema());
        if is_of_both && !reads.is_disjoint(&risks) && !part.is_volatile() && risk(part, &both)? < Risk::Any {
            tests.push(part.clone());
        }
    }
    Ok(tests)
}

/// A condition that is computed where all tests hold. It is of no form that the optimizer takes for a key.
fn only_where(tests: Vec<Expr>, condition: Expr) -> Expr {
    let Some(test) = conjunction(tests) else { return condition };
    as_number(Case {
        expr: None,
        when_then_expr: vec![(Box::new(test), Box::new(condition))],
        else_expr: Some(Box::new(lit(false))),
    })
}

/// Makes a key that may fail null where the conditions of its side do not hold.
fn guard(key: &mut Expr, filter: &Expr, side: &Arc<LogicalPlan>) -> Result<bool> {
    let schema = side.schema();
    let of_key = risk(key, schema)?;
    if of_key == Risk::No {
        return Ok(false);
    }
    let mut safe = Vec::new();
    for part in split_conjunction(filter) {
        if is_of(part, schema) && !part.is_volatile() && risk(part, schema)? < of_key {
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

    /// DuckDB's values, of `10 // NULLIF(…, 0)`.
    #[tokio::test]
    async fn what_both_sides_keep_away_from_keys_is_not_computed() {
        for (condition, inner, left) in [
            ("a.x > b.z AND 10 / a.x = b.y", &["2|5", "10|1"] as &[&str], &["0|", "2|5", "10|1"] as &[&str]),
            ("a.x * b.y <> 0 AND b.y = 10 / a.x", &["2|5", "10|1"], &["0|", "2|5", "10|1"]),
            ("a.x > b.z AND b.y + a.x > 2 AND 10 / a.x = b.y", &["2|5", "10|1"], &["0|", "2|5", "10|1"]),
            ("a.x >= b.y AND 10 / a.x = b.y AND a.x > 5", &["10|1"], &["0|", "2|", "10|1"]),
            (
                "a.s <> CASE WHEN b.y > 0 THEN 'a' END AND CAST(a.s AS INT) = b.y",
                &["2|5", "10|1"],
                &["0|", "2|5", "10|1"],
            ),
            ("b.z > a.x AND a.x = 0 / b.z", &["0|5"], &["0|5", "2|", "10|"]),
            ("a.x - b.z > 1 AND 10 / a.x = b.y", &["10|1"], &["0|", "2|", "10|1"]),
            ("a.x - 10 <> 0 AND 10 / a.x = b.y AND a.x > 0", &["2|5"], &["0|", "2|5", "10|"]),
            ("a.x - 2 <> 0 AND 8 / (a.x - 2) = b.y", &["10|1"], &["0|", "2|", "10|1"]),
        ] {
            let a_first = format!("SELECT x, y FROM {A} LEFT JOIN {B} ON {condition} ORDER BY x, y");
            let b_first = format!("SELECT x, y FROM {B} RIGHT JOIN {A} ON {condition} ORDER BY x, y");
            let of_inner = format!("SELECT x, y FROM {A} JOIN {B} ON {condition} ORDER BY x, y");
            let of_where = format!("SELECT x, y FROM {A}, {B} WHERE {condition} ORDER BY x, y");
            let of_semi =
                format!("SELECT x FROM {A} WHERE EXISTS (SELECT 1 FROM {B} WHERE {condition}) ORDER BY x");
            let of_anti = format!(
                "SELECT x FROM {A} WHERE NOT EXISTS (SELECT 1 FROM {B} WHERE {condition}) ORDER BY x"
            );
            let met = |is_met: bool| -> Vec<&str> {
                let rows = left.iter().filter(|row| row.ends_with('|') != is_met);
                rows.map(|row| row.split('|').next().unwrap()).collect()
            };
            check(&[
                (&of_inner, inner),
                (&of_where, inner),
                (&a_first, left),
                (&b_first, left),
                (&of_semi, &met(true)),
                (&of_anti, &met(false)),
            ])
            .await;
        }
    }
}
