//! Arguments that decide what a function is.
//!
//! DataFusion 55 gives `round(price, 1)` the digits of `price` while the 1 is still to be cast to INT, and one digit after: what
//! was computed of it before is of another type. And `concat` of texts that all turn out to be '' leaves out all its arguments, and
//! fails; so does `concat_ws` of texts that turn out to be null. So the 1 is an INT before types are made equal, and what they
//! are of is hidden where no column is among it.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, lit};
use datafusion::optimizer::AnalyzerRule;

use super::of_its_type::OfItsType;

/// Settles arguments that decide what a function is.
#[derive(Debug)]
pub(in crate::sql) struct SettledArguments(Arc<ScalarUDF>);

impl SettledArguments {
    pub(in crate::sql) fn new() -> SettledArguments {
        SettledArguments(Arc::new(ScalarUDF::from(OfItsType::as_it_is())))
    }

    fn settled(&self, part: Expr) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, mut args }) = part else {
            return Ok(Transformed::no(part));
        };
        let changed = match (func.name(), args.as_mut_slice()) {
            ("round" | "trunc", [_, digits]) => match written(digits).map(i32::try_from) {
                Some(Ok(count)) => {
                    *digits = lit(count);
                    true
                }
                _ => false,
            },
            ("concat", texts) | ("concat_ws", [_, texts @ ..])
                if !texts.iter().any(|text| matches!(text, Expr::Column(_))) =>
            {
                let mut changed = false;
                for text in texts.iter_mut().filter(|text| !matches!(text, Expr::Literal(..))) {
                    *text = self.0.call(vec![std::mem::take(text)]);
                    changed = true;
                }
                changed
            }
            _ => false,
        };
        Ok(Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
    }
}

/// A whole number that is written out.
fn written(digits: &Expr) -> Option<i64> {
    match digits {
        Expr::Literal(ScalarValue::Int64(count), _) => *count,
        Expr::Negative(count) => written(count)?.checked_neg(),
        _ => None,
    }
}

impl AnalyzerRule for SettledArguments {
    fn name(&self) -> &str {
        "settled_arguments"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan: LogicalPlan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let made = expression.transform_up(|part| self.settled(part))?;
                Ok(made.update_data(|expression| name.restore(expression)))
            })
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn texts_that_turn_out_to_be_null_are_put_together() {
        let rows = "FROM (VALUES ('a'), (NULL)) AS t (s)";
        for (column, expected) in [
            ("concat_ws('-', CAST(NULL AS VARCHAR) || s)", ["", ""]),
            ("concat_ws('-', s || NULL, NULL || s)", ["", ""]),
            ("concat_ws('-', s || NULL, s)", ["a", ""]),
            ("concat_ws('-', upper(NULL), 'x', CAST(NULL AS VARCHAR) || 'y', 'z')", ["x-z", "x-z"]),
            ("concat_ws('-', CAST(NULL AS VARCHAR))", ["", ""]),
            ("concat_ws(CAST(NULL AS VARCHAR) || s, s, 'b') IS NULL", ["true", "true"]),
            ("concat_ws('-', CASE WHEN FALSE THEN s END)", ["", ""]),
        ] {
            check(&[(&format!("SELECT {column} {rows}"), &expected)]).await;
        }
    }
}
