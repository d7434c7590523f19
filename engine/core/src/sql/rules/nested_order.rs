//! `<`, `<=`, `>` and `>=` of lists, structs and rows like `(a, b)`, and the greatest of several ([`extremes`](super::extremes)).
//!
//! A null in them is more than any value to DuckDB (and in arrays to PostgreSQL). To DataFusion 55 it is less, though ORDER BY has it last there
//! too. So such a comparison is computed here.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, not,
};
use datafusion::optimizer::AnalyzerRule;

use super::extremes::OfSeveral;
use super::with_parts;

/// Compares what has values in it.
#[derive(Debug)]
pub(super) struct NestedOrder;

impl AnalyzerRule for NestedOrder {
    fn name(&self) -> &str {
        "nested_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| with_parts(plan, may_compare, compared))?.data)
    }
}

/// Whether it is worth while to look at types.
fn may_compare(part: &Expr) -> bool {
    match part {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_order(*op),
        Expr::ScalarFunction(function) => OfSeveral::of(function.func.name()).is_some(),
        other => matches!(other, Expr::Between(_)),
    }
}

fn is_order(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// Whether both sides are of one type that has values in it.
fn is_nested(left: &Expr, right: &Expr, schema: &DFSchema) -> bool {
    // What is in a subquery has its types elsewhere.
    let type_of = |side: &Expr| side.get_type(schema).ok();
    match type_of(left) {
        Some(DataType::Dictionary(..)) | None => false,
        Some(left) => left.is_nested() && type_of(right) == Some(left),
    }
}

fn compared(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_order(op) && is_nested(&left, &right, schema) =>
        {
            Transformed::yes(call(op, *left, *right))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_nested(&expr, &low, schema) => {
            let within =
                call(Operator::GtEq, expr.as_ref().clone(), *low).and(call(Operator::LtEq, *expr, *high));
            Transformed::yes(if negated { not(within) } else { within })
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if args.len() > 1 && args.windows(2).all(|pair| is_nested(&pair[0], &pair[1], schema)) =>
        {
            match OfSeveral::of(func.name()) {
                Some(best) => Transformed::yes(ScalarUDF::from(best).call(args)),
                None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            }
        }
        other => Transformed::no(other),
    })
}

fn call(op: Operator, left: Expr, right: Expr) -> Expr {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::from(Compare { op, signature }).call(vec![left, right])
}

/// `compare(a, b)` of two values of one type; null if one of them is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Compare {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Compare {
    fn name(&self) -> &str {
        match self.op {
            Operator::Lt => "is_less",
            Operator::LtEq => "is_at_most",
            Operator::Gt => "is_more",
            _ => "is_at_least",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return datafusion::common::internal_err!("a comparison of {} values", arrays.len());
        };
        let order = make_comparator(left, right, SortOptions { descending: false, nulls_first: false })?;
        let compare = |row| {
            let is_there = left.is_valid(row) && right.is_valid(row);
            is_there.then(|| {
                let order: Ordering = order(row, row);
                match self.op {
                    Operator::Lt => order.is_lt(),
                    Operator::LtEq => order.is_le(),
                    Operator::Gt => order.is_gt(),
                    _ => order.is_ge(),
                }
            })
        };
        let compared: BooleanArray = (0..left.len()).map(compare).collect();
        Ok(ColumnarValue::Array(Arc::new(compared)))
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn a_null_within_is_more_than_a_value() {
        let t = "(VALUES (1, 1), (1, 2), (2, 3), (NULL, 4), (0, 5)) AS t (k, i)";
        check(&[
            (&format!("SELECT i FROM {t} WHERE (k, i) < (1, 2) ORDER BY i"), &["1", "5"] as &[&str]),
            (&format!("SELECT i FROM {t} WHERE (k, i) >= (1, 2) ORDER BY i"), &["2", "3", "4"]),
            (&format!("SELECT i FROM {t} WHERE (i, k) <= (4, 2) ORDER BY i"), &["1", "2", "3"]),
            (&format!("SELECT i FROM {t} WHERE (k, i) BETWEEN (0, 5) AND (NULL, 4) ORDER BY i"), &["1", "2", "3", "4", "5"]),
            (&format!("SELECT i, [k, i] < [1, 2] FROM {t} ORDER BY i"), &["1|true", "2|false", "3|false", "4|false", "5|true"]),
            ("SELECT [1, NULL] < [1, 2], [1] < [1, NULL], [NULL] > [5], {'a': 1, 'b': NULL} < {'a': 1, 'b': 2}, {'a': NULL} > {'a': 5}", &["false|true|true|false|true"]),
            ("SELECT ([1] < NULL) IS NULL, [1] < [2], [[2], [1]] > [[1, 5]]", &["true|true|true"]),
        ])
        .await;
    }
}
