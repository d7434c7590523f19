//! Dates beside times, where a result is either: CASE, COALESCE, lists and UNION.
//!
//! DataFusion 55 makes both nanoseconds, which end in 2262. Here a date is its midnight in microseconds, as beside a time in
//! a comparison ([`spans`](super::spans)). It comes before types are made equal.

use std::cell::Cell;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, LogicalPlan, Projection, Union, cast};
use datafusion::optimizer::AnalyzerRule;

use super::spans::{dates_as_times, is_date};
use super::zones::each_expression;

/// Functions that give back one of their arguments, or all.
const OF_ONE_TYPE: [&str; 7] = ["coalesce", "nvl", "ifnull", "greatest", "least", "nullif", "make_array"];

const MIDNIGHT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[derive(Debug)]
pub(super) struct DatesBesideTimes;

impl AnalyzerRule for DatesBesideTimes {
    fn name(&self) -> &str {
        "dates_beside_times"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = Cell::new(false);
        let plan = each_expression(plan, rewrite)?;
        let unions = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Union(union) => {
                let made = of_union(union)?;
                changed.set(changed.get() || made.transformed);
                Ok(made)
            }
            plan if changed.get() => Ok(Transformed::yes(plan.recompute_schema()?)),
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(unions.data)
    }
}

fn rewrite(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expression {
        Expr::Case(Case { expr, mut when_then_expr, mut else_expr }) => {
            let results = when_then_expr.iter_mut().map(|(_, then)| &mut **then);
            let changed = as_times(results.chain(else_expr.as_deref_mut()).collect(), schema)?;
            Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), changed)
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if OF_ONE_TYPE.contains(&func.name()) => {
            let changed = as_times(args.iter_mut().collect(), schema)?;
            Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed)
        }
        other => Transformed::no(other),
    })
}

/// Makes the dates midnights, where there are times among the rest.
fn as_times(results: Vec<&mut Expr>, schema: &DFSchema) -> Result<bool> {
    let kinds = results.iter().map(|result| result.get_type(schema)).collect::<Result<Vec<_>>>()?;
    if !dates_as_times(&kinds) {
        return Ok(false);
    }
    for (result, _) in results.into_iter().zip(&kinds).filter(|(_, kind)| is_date(kind)) {
        *result = cast(std::mem::take(result), MIDNIGHT);
    }
    Ok(true)
}

fn of_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    let among_times: Vec<bool> = (0..width)
        .map(|at| {
            let kind = |input: &std::sync::Arc<LogicalPlan>| {
                input.schema().fields().get(at).map(|f| f.data_type().clone())
            };
            dates_as_times(&union.inputs.iter().filter_map(kind).collect::<Vec<_>>())
        })
        .collect();
    if !among_times.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for input in union.inputs {
        let schema = input.schema().clone();
        let columns = schema.iter().zip(&among_times).map(|((qualifier, field), among)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match *among && is_date(field.data_type()) {
                true => cast(column, MIDNIGHT).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        });
        let columns = columns.collect();
        inputs.push(std::sync::Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)));
    }
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}
