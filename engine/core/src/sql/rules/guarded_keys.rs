//! What the ON of an outer join keeps away from the keys that it joins by.
//!
//! `a LEFT JOIN b ON a.x <> 0 AND 10 / a.x = b.y` divides by no zero. DataFusion 55 computes what stands beside `=` for all
//! rows of a side, as it does for NOT EXISTS. A row for which the rest of the condition does not hold is joined with none,
//! and so is one whose key is null: such a key is a CASE that is null there. Of inner joins the conditions of one side are
//! filters below ([`guards`](super::guards)). The rule is one of the last: by then it is known what are keys.
//!
//! A condition that reads both sides, as in `ON a.x > b.z AND 10 / a.x = b.y`, can be no part of a key. There the key becomes a
//! condition of joined rows behind the others. That may be slower by far, so that it is done only where such a condition may
//! keep the failure away: it reads the divisor, or says of a text more than that it is another's like. Elsewhere the key
//! stays, and is an error at worst.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Join, LogicalPlan, Operator, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::cases::{as_number, divisor, of_function, risk};
use super::checked::{Checked, Risk};
use super::guards::is_narrower;

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
    let mut risks = Vec::new();
    for (key, side) in [(of_left, left), (of_right, right)] {
        if risk(key, side.schema())? == Risk::Any {
            likely(key, side.schema(), &mut risks)?;
        }
    }
    let mut tests = Vec::new();
    if risks.is_empty() {
        return Ok(tests);
    }
    let both = left.schema().join(right.schema())?;
    for part in split_conjunction(filter) {
        let is_of_both = !is_of(part, left.schema()) && !is_of(part, right.schema());
        if is_of_both && !part.is_volatile() && risk(part, &both)? < Risk::Any {
            let mut keeps = false;
            for (what, columns) in &risks {
                keeps |= !part.column_refs().is_disjoint(columns) && may_keep_away(part, what, &both)?;
            }
            if keeps {
                tests.push(part.clone());
            }
        }
    }
    Ok(tests)
}

/// What an expression is likely to fail for.
#[derive(Debug, PartialEq)]
enum Failure {
    /// A divisor that is zero.
    Zero,
    /// A text that is none of what it is cast to.
    Text,
}

/// What a key is likely to fail for, each with the columns that decide it. A number that its type does not hold is not
/// kept away: a comparison with the other side does not say how large it is.
fn likely<'a>(
    key: &'a Expr,
    schema: &DFSchema,
    found: &mut Vec<(Failure, HashSet<&'a Column>)>,
) -> Result<()> {
    key.apply(|part| {
        match part {
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let is_any = of_function(func, divisor(args)) == Risk::Any;
                match func.inner().downcast_ref::<Checked>() {
                    Some(checked) if checked.divides() && is_any => {
                        let columns = args.iter().skip(1).flat_map(Expr::column_refs).collect();
                        found.push((Failure::Zero, columns));
                    }
                    _ if is_any && is_text(args.first(), schema)? => {
                        found.push((Failure::Text, part.column_refs()));
                    }
                    _ => {}
                }
            }
            Expr::Cast(Cast { expr, field }) => {
                let kind = expr.get_type(schema)?;
                if kind.is_string() && is_narrower(&kind, field.data_type()) {
                    found.push((Failure::Text, expr.column_refs()));
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn is_text(argument: Option<&Expr>, schema: &DFSchema) -> Result<bool> {
    argument.map_or(Ok(false), |argument| Ok(argument.get_type(schema)?.is_string()))
}

/// Whether a condition that reads the columns may leave out what fails. That two columns differ says of none of them that it is
/// not zero, and no comparison of two columns makes a text a number.
fn may_keep_away(test: &Expr, what: &Failure, schema: &DFSchema) -> Result<bool> {
    Ok(match what {
        Failure::Zero => !matches!(
            test,
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::NotEq | Operator::IsDistinctFrom, right })
                if is_column(left) && is_column(right)
        ),
        Failure::Text => test.exists(|part| {
            Ok(match part {
                Expr::Literal(value, _) => value.data_type().is_string(),
                Expr::Like(_) | Expr::SimilarTo(_) => true,
                Expr::BinaryExpr(BinaryExpr { op, .. }) => {
                    matches!(
                        op,
                        Operator::RegexMatch
                            | Operator::RegexIMatch
                            | Operator::RegexNotMatch
                            | Operator::RegexNotIMatch
                    )
                }
                Expr::ScalarFunction(_) => part.get_type(schema)? == DataType::Boolean,
                _ => false,
            })
        })?,
    })
}

fn is_column(expression: &Expr) -> bool {
    match expression {
        Expr::Cast(Cast { expr, .. }) => is_column(expr),
        other => matches!(other, Expr::Column(_)),
    }
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
    use crate::sql::tests::{check, physical};

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

    /// What cannot fail, or is not kept from failing, is joined by its hash.
    #[tokio::test]
    async fn keys_of_which_nothing_is_kept_away_are_hashed() {
        let a = "(SELECT value AS k, value * 60 AS ts, value % 7 AS g, CAST(value AS VARCHAR) AS s, value * 0.5e0 AS d \
                 FROM generate_series(1, 50)) AS a";
        let b = "(SELECT value AS k, value * 60 + 30 AS ts, value * 60 + 400 AS te, value AS y, CAST(value + 1 AS VARCHAR) AS s \
                 FROM generate_series(1, 50)) AS b";
        for from in [
            format!("{a} JOIN {b} ON a.ts / 3600 = b.ts / 3600 AND a.ts < b.ts"),
            format!("{a} JOIN {b} ON a.k % 20 = b.y % 20 AND a.k <> b.y"),
            format!("{a} JOIN {b} ON a.ts / 3600 = b.ts / 3600 WHERE a.ts BETWEEN b.ts AND b.te"),
            format!("{a} WHERE EXISTS (SELECT 1 FROM {b} WHERE a.ts / 600 = b.ts / 600 AND b.ts > a.ts)"),
            format!("{a} WHERE NOT EXISTS (SELECT 1 FROM {b} WHERE a.k % 1000 = b.y AND b.k > a.k)"),
            format!("{a} LEFT JOIN {b} ON a.k = b.y / 2 AND b.y > a.k"),
            format!("{a}, {b} WHERE a.k / 2 = b.y / 2 AND a.k < b.k AND a.k <> b.y"),
            format!("{a} LEFT JOIN {b} ON CAST(a.s AS INT) = b.y AND a.s <> b.s"),
            format!("{a} JOIN {b} ON a.ts / (60 * 60) = b.ts / (60 * 60) AND a.ts < b.ts"),
            format!("{a} JOIN {b} ON 100 / NULLIF(a.k, 0) = b.y AND a.k < b.k"),
            format!("{a} JOIN {b} ON a.ts / b.k = 60 AND a.ts / a.k = b.ts AND a.ts < b.ts"),
            format!("{a} LEFT JOIN {b} ON 100 / a.k = b.y AND a.k <> b.k"),
            format!("{a} JOIN {b} ON CAST(a.d AS BIGINT) = b.k AND a.d > b.y"),
            format!("{a} LEFT JOIN {b} ON CAST(a.ts AS SMALLINT) = b.y AND a.ts < b.ts"),
        ] {
            let plan = physical(&format!("SELECT count(*) FROM {from}")).await;
            assert!(plan.contains("HashJoinExec") && !plan.contains("NestedLoopJoinExec"), "{from}\n{plan}");
        }
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
