//! Casts between decimals and BOOLEAN, which DataFusion 55 has not: a number is true where it is not 0, and true is 1.
//!
//! A decimal may have been written as a double, `CAST(price * 0.5 AS BOOLEAN)`, of which DataFusion has the cast.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast, cast};
use datafusion::optimizer::AnalyzerRule;

use super::with_parts;

/// Makes casts of decimals to BOOLEAN comparisons, and casts to decimals casts of whole numbers.
#[derive(Debug)]
pub(super) struct DecimalTruths;

impl AnalyzerRule for DecimalTruths {
    fn name(&self) -> &str {
        "decimal_truths"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let may_change = |part: &Expr| cast_of(part).is_some();
        Ok(plan.transform_up_with_subqueries(|plan| with_parts(plan, may_change, compared))?.data)
    }
}

/// What is cast, and to which type, if it may be one that there is no cast to.
fn cast_of(part: &Expr) -> Option<(&Expr, &DataType)> {
    let (Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field })) = part else {
        return None;
    };
    let to = field.data_type();
    (*to == DataType::Boolean || to.is_decimal()).then_some((expr, to))
}

fn compared(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some((given, to)) = cast_of(&part) else { return Ok(Transformed::no(part)) };
    let from = given.get_type(schema)?;
    if *to == DataType::Boolean && from.is_decimal() {
        let zero = Expr::Literal(ScalarValue::new_zero(&from)?, None);
        return Ok(Transformed::yes(given.clone().not_eq(zero)));
    }
    if to.is_decimal() && from == DataType::Boolean {
        let number = cast(given.clone(), DataType::Int8);
        // 1 does not fit DECIMAL(2,2): an error, or null.
        return Ok(Transformed::yes(match &part {
            Expr::TryCast(_) => Expr::TryCast(TryCast::new(Box::new(number), to.clone())),
            _ => cast(number, to.clone()),
        }));
    }
    Ok(Transformed::no(part))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn a_decimal_is_true_where_it_is_not_zero() {
        let rows = "FROM (VALUES (1, CAST(0.5 AS DECIMAL(3,1)), TRUE), (2, 0, FALSE), (3, NULL, NULL)) AS v (k, d, b) ORDER BY k";
        check(&[
            (
                &format!("SELECT CAST(d AS BOOLEAN), (d * 0.5)::BOOLEAN, TRY_CAST(d AS BOOLEAN) {rows}"),
                &["true|true|true", "false|false|false", "||"] as &[&str],
            ),
            (&format!("SELECT CAST(b AS DECIMAL(3,1)), TRY_CAST(b AS DECIMAL(4,2)) {rows}"), &["1.0|1.00", "0.0|0.00", "|"]),
            ("SELECT CAST(CAST(0.5 AS DECIMAL(3,1)) AS BOOLEAN), 0.5::BOOLEAN, CAST(TRUE AS DECIMAL(3,1))", &["true|true|1.0"]),
            ("SELECT k FROM (VALUES (1, CAST(0.5 AS DECIMAL(3,1))), (2, 0)) AS v (k, d) WHERE CAST(d AS BOOLEAN)", &["1"]),
        ])
        .await;
    }

    /// As of any number that a type does not hold.
    #[tokio::test]
    async fn a_truth_that_does_not_fit_is_tried() {
        check(&[
            ("SELECT TRY_CAST(TRUE AS DECIMAL(2,2)), TRY_CAST(FALSE AS DECIMAL(2,2)), TRY_CAST(1 AS DECIMAL(2,2))", &["|0.00|"] as &[&str]),
            ("SELECT TRY_CAST(k > 1 AS DECIMAL(2,2)) FROM (VALUES (1), (2)) AS t (k) ORDER BY k", &["0.00", ""]),
        ])
        .await;
        refused(&[("SELECT CAST(k > 0 AS DECIMAL(2,2)) FROM (VALUES (1), (2)) AS t (k)", "too large")]).await;
    }
}
