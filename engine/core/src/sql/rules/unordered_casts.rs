//! Casts that do not keep the order of values, hidden from what is decided by least and greatest values.
//!
//! DataFusion 55 leaves out row groups of a Parquet file where a comparison of a cast column holds neither for the cast
//! least nor for the cast greatest value. For a time of day, and for a number as a boolean, neither says anything: of two
//! days 10:00 and 9:00 are least and greatest, and 20:00 of the first day is lost. So each such cast takes its column
//! through a function that gives back what it is given, and that no statistics are known of. The rule is the last one: by
//! then filters are where they stay, and casts that the planner adds are there. Of two days that times were cast to, and
//! that are compared with each other, DataFusion makes more than all rows, and an internal error of that.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::of_its_type::OfItsType;

/// Hides casts that do not keep order.
#[derive(Debug)]
pub(super) struct HideUnorderedCasts(Arc<ScalarUDF>);

impl HideUnorderedCasts {
    pub(super) fn new() -> HideUnorderedCasts {
        HideUnorderedCasts(Arc::new(ScalarUDF::from(OfItsType::as_it_is())))
    }

    fn hide(&self, expression: Expr) -> Result<Transformed<Expr>> {
        let hidden = |inner: &mut Box<Expr>| {
            let already = matches!(&**inner, Expr::ScalarFunction(call) if call.func == self.0);
            if already || matches!(&**inner, Expr::Literal(..)) {
                return false;
            }
            let given = std::mem::take(inner);
            **inner = self.0.call(vec![*given]);
            true
        };
        Ok(match expression {
            Expr::Cast(mut cast) if keeps_no_order(cast.field.data_type()) => {
                let changed = hidden(&mut cast.expr);
                Transformed::new_transformed(Expr::Cast(cast), changed)
            }
            Expr::TryCast(mut cast) if keeps_no_order(cast.field.data_type()) => {
                let changed = hidden(&mut cast.expr);
                Transformed::new_transformed(Expr::TryCast(cast), changed)
            }
            Expr::BinaryExpr(BinaryExpr { mut left, op, mut right })
                if op.supports_propagation() && has_column(&left) && has_column(&right) =>
            {
                let mut changed = false;
                for side in [&mut left, &mut right] {
                    let mut side = &mut **side;
                    while let Expr::Cast(cast) = side {
                        if cast.field.data_type() == &DataType::Date32 {
                            changed |= hidden(&mut cast.expr);
                            break;
                        }
                        side = &mut cast.expr;
                    }
                }
                Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
            }
            other => Transformed::no(other),
        })
    }
}

fn has_column(expression: &Expr) -> bool {
    !expression.column_refs().is_empty()
}

fn keeps_no_order(to: &DataType) -> bool {
    matches!(to, DataType::Time32(_) | DataType::Time64(_) | DataType::Boolean)
}

impl OptimizerRule for HideUnorderedCasts {
    fn name(&self) -> &str {
        "hide_unordered_casts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let hidden = expression.transform_up(|inner| self.hide(inner))?;
            Ok(hidden.update_data(|expression| name.restore(expression)))
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampSecondArray};
    use datafusion::execution::context::SessionContext;
    use datafusion::execution::options::ParquetReadOptions;
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// Rows of a file of one row group: two days, and numbers about 0.
    async fn count(condition: &str) -> usize {
        let seconds = TimestampSecondArray::from(vec![36_000, 72_000, 86_400 + 32_400]);
        let columns: [(&str, ArrayRef); 3] = [
            ("at", Arc::new(seconds)),
            ("n", Arc::new(Int64Array::from(vec![-5, 0, 5]))),
            ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let mut writer =
            ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let context = SessionContext::new();
        context.add_optimizer_rule(Arc::new(HideUnorderedCasts::new()));
        let path = path.to_str().unwrap();
        context.register_parquet("t", path, ParquetReadOptions::default()).await.unwrap();
        let frame = context.sql(&format!("SELECT * FROM ({condition})")).await.unwrap();
        frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum()
    }

    #[tokio::test]
    async fn a_cast_that_keeps_no_order_loses_no_row() {
        for (sql, rows) in [
            ("SELECT * FROM t WHERE CAST(at AS TIME) > '18:00:00'", 1),
            ("SELECT * FROM t WHERE TRY_CAST(at AS TIME) BETWEEN '19:00:00' AND '21:00:00'", 1),
            ("SELECT * FROM (SELECT at::TIME AS clock, n FROM t) WHERE clock > TIME '18:00:00'", 1),
            ("SELECT * FROM t WHERE CAST(n AS BOOLEAN) IS DISTINCT FROM true", 1),
            ("SELECT * FROM t WHERE CAST(n AS BOOLEAN) IS NOT TRUE", 1),
            ("SELECT at::TIME AS clock, count(*) AS c FROM t GROUP BY at::TIME HAVING at::TIME > '18:00'", 1),
            ("SELECT a.n FROM t a JOIN (SELECT TIME '20:00' AS clock) b ON CAST(a.at AS TIME) = b.clock", 1),
            ("SELECT n FROM t ORDER BY CAST(at AS TIME) DESC LIMIT 1", 1),
            ("SELECT * FROM t WHERE yes", 1),
            ("SELECT * FROM t WHERE n::TEXT > '1' AND at > '1970-01-01'", 1),
        ] {
            assert_eq!(count(sql).await, rows, "{sql}");
        }
    }
}
