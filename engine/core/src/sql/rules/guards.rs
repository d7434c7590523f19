//! What a WHERE or an ON keeps away from an expression that may be an error.
//!
//! `SELECT x / b, y + z FROM t WHERE b <> 0` divides by no zero, and neither does `WHERE b <> 0 AND x / b > 1`, nor
//! `ON a.b <> 0 AND a.x / a.b > b.x`. DataFusion 55 computes columns below a filter where that leaves fewer of them, parts of a
//! join's condition below the join, and the right side of an AND for all rows, unless the left one is false for four in
//! five. Here columns are computed above filters, and in a condition what cannot fail decides first for which rows the rest
//! is computed at all.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal, case};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::projection::{
    ProjectionExec, remove_unnecessary_projections, try_embed_projection,
};

use super::cases::{is_zero, of_function};
use super::checked::{Divisor, Risk};
use super::held::without;

/// DataFusion's rule that moves projections down, but none that computes something below a filter.
#[derive(Debug)]
pub(super) struct FiltersFirst(pub(super) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for FiltersFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let is_held = |node: &Arc<dyn ExecutionPlan>| Ok(node.is::<FilterExec>() || is_guarded(node)?);
        let (moved, held) = without(self.0.as_ref(), plan, config, &is_held)?;
        if !held {
            return Ok(moved);
        }
        Ok(moved.transform_down(moved_down)?.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn moved_down(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>()
        && let Some(filter) = projection.input().downcast_ref::<FilterExec>()
        && projection.expr().iter().any(|column| !column.expr.is::<Column>())
    {
        // The filter gives no more columns than are read.
        let made = try_embed_projection(projection, filter)?;
        return Ok(made.map_or_else(|| Transformed::no(plan), Transformed::yes));
    }
    remove_unnecessary_projections(plan)
}

/// Whether a part of a condition keeps another from being computed, where two tables are gone through by each other's rows.
fn is_guarded(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let Some(filter) = plan.downcast_ref::<NestedLoopJoinExec>().and_then(NestedLoopJoinExec::filter) else {
        return Ok(false);
    };
    Ok(guarded(filter.expression(), filter.schema())?.is_some())
}

/// Puts what may fail in a filter, or in the condition of a join, behind what cannot.
#[derive(Debug)]
pub(super) struct GuardedFilters;

impl PhysicalOptimizerRule for GuardedFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|part| {
            let mut made: Option<Arc<dyn ExecutionPlan>> = None;
            if let Some(filter) = part.downcast_ref::<FilterExec>() {
                if let Some(predicate) = guarded(filter.predicate(), &filter.input().schema())? {
                    made = Some(Arc::new(FilterExecBuilder::from(filter).with_predicate(predicate).build()?));
                }
            } else if let Some(join) = part.downcast_ref::<HashJoinExec>() {
                if let Some(filter) = guarded_join(join.filter())? {
                    made = Some(HashJoinExecBuilder::from(join).with_filter(Some(filter)).build_exec()?);
                }
            } else if let Some(join) = part.downcast_ref::<NestedLoopJoinExec>()
                && let Some(filter) = guarded_join(join.filter())?
            {
                let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter));
                made = Some(Arc::new(join.build()?));
            }
            Ok(match made {
                Some(made) => Transformed::yes(made),
                None => Transformed::no(part),
            })
        })?;
        Ok(made.data)
    }

    fn name(&self) -> &str {
        "guarded_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The condition of a join, if it changes.
fn guarded_join(filter: Option<&JoinFilter>) -> Result<Option<JoinFilter>> {
    let Some(filter) = filter else { return Ok(None) };
    let made = guarded(filter.expression(), filter.schema())?;
    Ok(made.map(|made| JoinFilter::new(made, filter.column_indices().to_vec(), filter.schema().clone())))
}

/// The condition as a CASE, if one part of it is likelier to fail than another. Null is as good as false here: no row is kept.
fn guarded(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(op @ (Operator::And | Operator::Or)) =
        condition.downcast_ref::<BinaryExpr>().map(BinaryExpr::op)
    else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    side_by_side(condition, *op, &mut parts);
    let mut risks = Vec::with_capacity(parts.len());
    for part in &parts {
        risks.push(risk(part, schema)?);
    }
    // What is likelier to fail than others is computed after them.
    let least = risks.iter().copied().min().unwrap_or(Risk::No);
    let (mut safe, mut others, mut changed) = (Vec::new(), Vec::new(), false);
    for (part, risk) in parts.into_iter().zip(risks) {
        let made = if risk == Risk::No { None } else { guarded(part, schema)? };
        changed |= made.is_some();
        if risk == least { &mut safe } else { &mut others }.push(made.unwrap_or_else(|| part.clone()));
    }
    let Some(test) = joined(safe, *op) else { return Ok(None) };
    let Some(rest) = joined(others, *op) else { return Ok(changed.then_some(test)) };
    let rest = guarded(&rest, schema)?.unwrap_or(rest);
    let known = |value: bool| Arc::new(Literal::new(ScalarValue::Boolean(Some(value)))) as _;
    let (then, otherwise) = match op {
        Operator::And => (rest, known(false)),
        _ => (known(true), rest),
    };
    Ok(Some(case(None, vec![(test, then)], Some(otherwise))?))
}

fn side_by_side<'a>(
    condition: &'a Arc<dyn PhysicalExpr>,
    op: Operator,
    parts: &mut Vec<&'a Arc<dyn PhysicalExpr>>,
) {
    match condition.downcast_ref::<BinaryExpr>() {
        Some(pair) if *pair.op() == op => {
            side_by_side(pair.left(), op, parts);
            side_by_side(pair.right(), op, parts);
        }
        _ => parts.push(condition),
    }
}

fn joined(parts: Vec<Arc<dyn PhysicalExpr>>, op: Operator) -> Option<Arc<dyn PhysicalExpr>> {
    crate::sql::shallow::balanced(parts, &|left, right| Arc::new(BinaryExpr::new(left, op, right)) as _)
}

/// What an expression may be an error for.
fn risk(expression: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Risk> {
    let mut found = Risk::No;
    expression.apply(|part| {
        if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
            found = found.max(of_function(call.fun(), divisor(call.args())));
        }
        if let Some(cast) = part.downcast_ref::<CastExpr>()
            && !cast.cast_options().safe
            && is_narrower(&cast.expr().data_type(schema)?, cast.cast_type())
        {
            found = Risk::Any;
        }
        Ok(if found == Risk::Any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// What is known of the second of two operands.
fn divisor(operands: &[Arc<dyn PhysicalExpr>]) -> Divisor {
    let literal =
        |operand: &Arc<dyn PhysicalExpr>| operand.downcast_ref::<Literal>().map(|it| it.value().clone());
    let Some(second) = operands.get(1) else { return Divisor::Any };
    if let Some(value) = literal(second) {
        return Divisor::of(&value);
    }
    // NULLIF(x, 0)
    match second.downcast_ref::<ScalarFunctionExpr>() {
        Some(call)
            if call.fun().name() == "nullif"
                && call.args().get(1).and_then(literal).is_some_and(|value| is_zero(&value)) =>
        {
            Divisor::NotZero
        }
        _ => Divisor::Any,
    }
}

/// Whether a type has values that another has not.
pub(super) fn is_narrower(from: &DataType, to: &DataType) -> bool {
    let digits = |kind: &DataType| match kind {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => i16::from(*digits) - i16::from(*scale),
        kind if kind.is_integer() => {
            kind.primitive_width().map_or(0, |bytes| [3, 5, 10, 20][bytes.ilog2() as usize])
        }
        _ => i16::MAX,
    };
    match (from, to) {
        (from, to) if from.is_string() => !to.is_string() && !to.is_null(),
        (from, to) if from.is_floating() => to.is_integer() || to.is_decimal() || to.is_temporal(),
        (from, to) if from.is_integer() && to.is_integer() => {
            from != to
                && (from.primitive_width() >= to.primitive_width()
                    || from.is_signed_integer() && to.is_unsigned_integer())
        }
        (from, to) if from.is_numeric() && to.is_numeric() => digits(from) > digits(to),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tests::check;

    #[test]
    fn a_cast_may_fail_where_its_type_has_fewer_values() {
        use DataType::{Date32, Decimal128, Float64, Int16, Int32, Int64, UInt64, Utf8};
        for (from, to) in [
            (Utf8, Int32),
            (Utf8, Date32),
            (Float64, Int64),
            (Int64, Int32),
            (Int64, UInt64),
            (UInt64, Int64),
            (Int32, Decimal128(10, 2)),
            (Decimal128(10, 2), Decimal128(9, 2)),
            (Decimal128(10, 0), Int16),
        ] {
            assert!(is_narrower(&from, &to), "{from} {to}");
        }
        for (from, to) in [
            (Int32, Int64),
            (Int32, Float64),
            (Int64, Utf8),
            (Int32, Decimal128(12, 2)),
            (Decimal128(10, 2), Decimal128(12, 4)),
            (Decimal128(10, 2), Float64),
        ] {
            assert!(!is_narrower(&from, &to), "{from} {to}");
        }
    }

    /// Half of the rows would be an error. Values are DuckDB's.
    #[tokio::test]
    async fn what_a_where_keeps_away_is_not_computed() {
        let rows = "FROM (SELECT * FROM (VALUES (1, 2, 3, 0, 'a'), (4, 5, 6, 2, '7'), (9, 1, 1, NULL, '8')) AS v (x, y, z, b, s) \
                    ORDER BY x LIMIT 5) AS v";
        for (statement, expected) in [
            (format!("SELECT x / b AS q, y + z AS w, b {rows} WHERE b <> 0"), &["2|11|2"] as &[&str]),
            (format!("SELECT x {rows} WHERE b <> 0 AND x / b > 1"), &["4"]),
            (format!("SELECT x {rows} WHERE x / b > 1 AND b <> 0"), &["4"]),
            (format!("SELECT x {rows} WHERE b = 0 OR x / b > 1 ORDER BY x"), &["1", "4"]),
            (format!("SELECT x {rows} WHERE b - 2 <> 0 AND 8 / (b - 2) < 0"), &["1"]),
            (format!("SELECT x {rows} WHERE 8 / (b - 2) > 0 OR b - 2 = 0 OR y > 4 ORDER BY x"), &["4"]),
            (format!("SELECT x {rows} WHERE z > 0 AND (8 / (b - 2) < 0 AND b - 2 <> 0)"), &["1"]),
            (format!("SELECT x {rows} WHERE s <> 'a' AND CAST(s AS INT) > 7"), &["9"]),
            (format!("SELECT x {rows} WHERE y > 0 AND (b = 0 OR x / b > 1) ORDER BY x"), &["1", "4"]),
            (format!("SELECT x FROM (SELECT * {rows} WHERE b <> 0) AS w WHERE x % b = 0"), &["4"]),
            (
                format!(
                    "SELECT CAST(s AS INT) AS s, x + y AS w, z + y AS v {rows} WHERE s <> 'a' ORDER BY s"
                ),
                &["7|9|11", "8|10|2"],
            ),
        ] {
            check(&[(&statement, expected)]).await;
        }
    }
    /// DuckDB's values.
    #[tokio::test]
    async fn what_an_on_keeps_away_is_not_computed() {
        let a = "(SELECT * FROM (VALUES (0, 1), (2, 1), (10, 2)) AS v (x, k) ORDER BY x LIMIT 5) AS a";
        let b = "(SELECT * FROM (VALUES (5, 1), (30, 2)) AS v (y, k) ORDER BY y LIMIT 5) AS b";
        for (condition, inner, left) in [
            (
                "a.x <> 0 AND b.y / a.x > 1",
                &["2|5", "2|30", "10|30"] as &[&str],
                &["0|", "2|5", "2|30", "10|30"] as &[&str],
            ),
            ("b.y / a.x > 1 AND a.x <> 0 AND a.k = b.k", &["2|5", "10|30"], &["0|", "2|5", "10|30"]),
            ("a.x <> 0 AND b.y > 40 / a.x", &["2|30", "10|5", "10|30"], &["0|", "2|30", "10|5", "10|30"]),
            (
                "a.x = 0 OR b.y / a.x > 1",
                &["0|5", "0|30", "2|5", "2|30", "10|30"],
                &["0|5", "0|30", "2|5", "2|30", "10|30"],
            ),
            ("a.k = b.k AND (a.x = 0 OR b.y / a.x > 2)", &["0|5", "10|30"], &["0|5", "2|", "10|30"]),
        ] {
            check(&[
                (&format!("SELECT x, y FROM {a} JOIN {b} ON {condition} ORDER BY x, y"), inner),
                (&format!("SELECT x, y FROM {a} LEFT JOIN {b} ON {condition} ORDER BY x, y"), left),
                (&format!("SELECT x, y FROM {b} RIGHT JOIN {a} ON {condition} ORDER BY x, y"), left),
                (&format!("SELECT x, y FROM {a} FULL JOIN {b} ON {condition} ORDER BY x, y"), left),
            ])
            .await;
        }
        check(&[(
            &format!(
                "SELECT x FROM {a} WHERE NOT EXISTS (SELECT 1 FROM {b} WHERE a.x <> 0 AND b.y / a.x > 2)"
            ),
            &["0"],
        )])
        .await;
    }
}
