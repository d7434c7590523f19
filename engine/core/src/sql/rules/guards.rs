//! What a WHERE keeps away from an expression that may be an error.
//!
//! `SELECT x / b, y + z FROM t WHERE b <> 0` divides by no zero, and neither does `WHERE b <> 0 AND x / b > 1`. DataFusion 55
//! computes columns below a filter where that leaves fewer of them, and the right side of an AND for all rows, unless the
//! left one is false for four in five. Here columns are computed above filters, and in a filter what cannot fail decides
//! first for which rows the rest is computed at all.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal, case};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{
    ProjectionExec, remove_unnecessary_projections, try_embed_projection,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::checked::Checked;
use super::told::Told;

/// DataFusion's rule that moves projections down, but none that computes something below a filter.
#[derive(Debug)]
pub(super) struct FiltersFirst(pub(super) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for FiltersFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let held = plan.transform_up(|part| match part.is::<FilterExec>() {
            true => Ok(Transformed::yes(Arc::new(Held { input: part }) as _)),
            false => Ok(Transformed::no(part)),
        })?;
        if !held.transformed {
            return self.0.optimize(held.data, config);
        }
        let moved = self.0.optimize(held.data, config)?;
        let free = moved.transform_up(|part| match part.downcast_ref::<Held>() {
            Some(held) => Ok(Transformed::yes(held.input.clone())),
            None => Ok(Transformed::no(part)),
        })?;
        Ok(free.data.transform_down(moved_down)?.data)
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

/// A filter that nothing is moved through.
#[derive(Debug)]
struct Held {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Held {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl ExecutionPlan for Held {
    fn name(&self) -> &'static str {
        "Held"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
            Some(input) => Ok(Arc::new(Held { input })),
            None => internal_err!("Held without rows"),
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
}

/// Puts what may fail in a filter behind what cannot.
#[derive(Debug)]
pub(super) struct GuardedFilters;

impl PhysicalOptimizerRule for GuardedFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|part| {
            let Some(filter) = part.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(part)) };
            match guarded(filter.predicate(), &filter.input().schema())? {
                None => Ok(Transformed::no(part)),
                Some(predicate) => {
                    let made = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
                    Ok(Transformed::yes(Arc::new(made) as _))
                }
            }
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

/// The condition as a CASE, if one part of it may fail and another cannot. Null is as good as false here: no row is kept.
fn guarded(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(op @ (Operator::And | Operator::Or)) =
        condition.downcast_ref::<BinaryExpr>().map(BinaryExpr::op)
    else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    side_by_side(condition, *op, &mut parts);
    let (mut safe, mut others) = (Vec::new(), Vec::new());
    for part in parts {
        if may_fail(part, schema)? { &mut others } else { &mut safe }.push(part.clone());
    }
    if others.is_empty() {
        return Ok(None);
    }
    let mut changed = !safe.is_empty();
    for part in &mut others {
        if let Some(made) = guarded(part, schema)? {
            *part = made;
            changed = true;
        }
    }
    let (Some(rest), true) = (joined(others, *op), changed) else { return Ok(None) };
    let Some(test) = joined(safe, *op) else { return Ok(Some(rest)) };
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
    crate::sql::statement::balanced(parts, &|left, right| Arc::new(BinaryExpr::new(left, op, right)) as _)
}

/// Whether an expression may be an error for some rows of a schema.
fn may_fail(expression: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    let mut found = false;
    expression.apply(|part| {
        if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
            let inner = call.fun().inner();
            found |= inner.is::<Checked>() || inner.is::<Told>() || call.fun().name() == "parse_date";
        }
        if let Some(cast) = part.downcast_ref::<CastExpr>()
            && !cast.cast_options().safe
        {
            found |= is_narrower(&cast.expr().data_type(schema)?, cast.cast_type());
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
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
}
