//! Dates beside times, where a result is either: CASE, COALESCE, lists and UNION. And whole numbers beyond 64 bits that are
//! written out, beside doubles.
//!
//! DataFusion 55 makes both nanoseconds, which end in 2262. Here a date is its midnight in microseconds, as beside a time in
//! a comparison ([`spans`](super::spans)). It comes before types are made equal.
//!
//! A literal beyond 64 bits is a DECIMAL ([`literals`](crate::sql::literals)), and DataFusion would make the doubles beside it
//! DECIMAL(36,15): 1e-20 would be 0, and NaN an error. Beside a double it is a double, as everywhere else.

use std::cell::Cell;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, Projection, Union, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::spans::{dates_as_times, is_comparison, is_date};
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
        Expr::Case(Case { mut expr, mut when_then_expr, mut else_expr }) => {
            let results = when_then_expr.iter_mut().map(|(_, then)| &mut **then);
            let mut results: Vec<&mut Expr> = results.chain(else_expr.as_deref_mut()).collect();
            let mut changed = as_doubles(&mut results, schema)?;
            changed |= as_times(results, schema)?;
            if let Some(value) = expr.as_deref_mut() {
                let compared = when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                changed |= as_doubles(&mut compared.chain([value]).collect::<Vec<_>>(), schema)?;
            }
            Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), changed)
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if OF_ONE_TYPE.contains(&func.name()) => {
            let mut changed = as_doubles(&mut args.iter_mut().collect::<Vec<_>>(), schema)?;
            changed |= as_times(args.iter_mut().collect(), schema)?;
            Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed)
        }
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
            let changed = as_doubles(&mut [&mut left, &mut right], schema)?;
            Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::Between(mut range) => {
            let changed = as_doubles(&mut [&mut range.expr, &mut range.low, &mut range.high], schema)?;
            Transformed::new_transformed(Expr::Between(range), changed)
        }
        Expr::InList(mut list) => {
            let parts = list.list.iter_mut().chain([&mut *list.expr]);
            let changed = as_doubles(&mut parts.collect::<Vec<_>>(), schema)?;
            Transformed::new_transformed(Expr::InList(list), changed)
        }
        other => Transformed::no(other),
    })
}

/// Makes literals beyond 64 bits doubles, where there are doubles among the rest.
fn as_doubles(parts: &mut [&mut Expr], schema: &DFSchema) -> Result<bool> {
    if !parts.iter().any(|part| is_beyond_64_bits(part)) {
        return Ok(false);
    }
    let kinds = parts.iter().map(|part| part.get_type(schema)).collect::<Result<Vec<_>>>()?;
    if !kinds.iter().any(DataType::is_floating) {
        return Ok(false);
    }
    for part in parts.iter_mut().filter(|part| is_beyond_64_bits(part)) {
        **part = cast(std::mem::take(*part), DataType::Float64);
    }
    Ok(true)
}

/// Whether it is a whole number that was written out and is a DECIMAL for its length alone.
fn is_beyond_64_bits(expression: &Expr) -> bool {
    match expression {
        Expr::Cast(Cast { expr, field }) => {
            matches!(field.data_type(), DataType::Decimal128(19.., 0))
                && matches!(&**expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_), _))
        }
        _ => false,
    }
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
