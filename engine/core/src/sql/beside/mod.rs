//! Values of two types side by side, where a result or a comparison is of one: dates beside times, and decimals beside
//! doubles ([`numbers`]).
//!
//! It comes before DataFusion makes types equal, as that is what goes wrong: of a date and a time DataFusion 55 makes
//! nanoseconds, which end in 2262. Here a date is its midnight in microseconds.
//!
//! The values of a VALUES come with DataFusion's casts. A cast that is the user's is there twice
//! ([`values`](super::values)), so that one may be taken off.

mod exact;
mod numbers;
mod of_written;

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_schema::cast_subquery;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    Subquery, Union, Values, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::functions::takes_elements;
use super::rules::{looked_up, reads_rows_around};
use super::time::{expressions_of, is_comparison};
use exact::{Around, as_decimal, exact};
use numbers::{Use, as_numbers, whole_as_others};
use of_written::of_written;

/// Functions that give back one of their arguments, or all.
const OF_ONE_TYPE: [&str; 7] = ["coalesce", "nvl", "ifnull", "greatest", "least", "nullif", "make_array"];

const MIDNIGHT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Gives values that are side by side one type that holds them.
#[derive(Debug)]
pub(super) struct OneType;

impl AnalyzerRule for OneType {
    fn name(&self) -> &str {
        "one_type"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = Cell::new(false);
        let node = |plan: LogicalPlan| {
            let inputs = rows_below(&plan);
            let rewrite = |expression: Expr, schema: &DFSchema| {
                rewrite(expression, &Around { schema, inputs: &inputs })
            };
            let plan = expressions_of(plan, &rewrite, &changed)?;
            let made = match plan.data {
                LogicalPlan::Union(union) => of_union(union)?,
                LogicalPlan::Values(values) => of_values(values)?,
                LogicalPlan::Join(join) => of_join(join)?,
                other => Transformed::no(other),
            };
            changed.set(changed.get() || made.transformed);
            Ok(Transformed::new_transformed(made.data, plan.transformed || made.transformed))
        };
        let plan = with_outer_decimals(plan.transform_up_with_subqueries(with_its_doubles)?.data)?;
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

/// A subquery knows the type of what it reads of the rows around it, which is a DECIMAL where those compute one.
fn with_outer_decimals(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !reads_rows_around(&plan)? {
        return Ok(plan);
    }
    let (changed, made) = (Cell::new(false), Cell::new(false));
    let plan = plan.transform_up_with_subqueries(|plan| {
        let inputs = rows_below(&plan);
        let decimals = |expression: Expr, schema: &DFSchema| {
            let decimal = as_decimal(&expression, &Around { schema, inputs: &inputs })?;
            made.set(made.get() || decimal.is_some());
            Ok(decimal.map_or_else(|| Transformed::no(expression), Transformed::yes))
        };
        expressions_of(plan, &decimals, &changed)
    })?;
    if made.get() { looked_up(plan.data) } else { Ok(plan.data) }
}

/// The terms of a recursive query have the types of the rows that they read.
fn with_its_doubles(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::RecursiveQuery(mut query) = plan else { return Ok(Transformed::no(plan)) };
    for term in [&mut query.static_term, &mut query.recursive_term] {
        let schema = term.schema().clone();
        if !schema.fields().iter().any(|field| *field.data_type() == DataType::Float64) {
            continue;
        }
        let columns = schema.iter().map(|(table, field)| {
            let column = Expr::Column(Column::from((table, field)));
            match field.data_type() {
                DataType::Float64 => {
                    cast(column, DataType::Float64).alias_qualified(table.cloned(), field.name())
                }
                _ => column,
            }
        });
        *term = Arc::new(LogicalPlan::Projection(Projection::try_new(columns.collect(), term.clone())?));
    }
    Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
}

/// The plans whose rows an expression sees, where written numbers may come from.
fn rows_below(plan: &LogicalPlan) -> Vec<Arc<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) => vec![filter.input.clone()],
        LogicalPlan::Projection(made) => vec![made.input.clone()],
        LogicalPlan::Aggregate(aggregate) => vec![aggregate.input.clone()],
        LogicalPlan::Join(join) => vec![join.left.clone(), join.right.clone()],
        _ => Vec::new(),
    }
}

fn rewrite(expression: Expr, around: &Around<'_>) -> Result<Transformed<Expr>> {
    Ok(match expression {
        Expr::Case(Case { mut expr, mut when_then_expr, mut else_expr }) => {
            let results = when_then_expr.iter_mut().map(|(_, then)| &mut **then);
            let mut results: Vec<&mut Expr> = results.chain(else_expr.as_deref_mut()).collect();
            let mut changed = settle(&mut results, around, Use::Result)?;
            let kinds = kinds_of(&results, around)?;
            changed |= whole_as_others(&mut results, &kinds);
            if let Some(value) = expr.as_deref_mut() {
                let compared = when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                let mut compared: Vec<&mut Expr> = compared.chain([value]).collect();
                changed |= settle(&mut compared, around, Use::Compared)?;
            }
            Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), changed)
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if OF_ONE_TYPE.contains(&func.name()) => {
            let changed = settle(&mut args.iter_mut().collect::<Vec<_>>(), around, Use::Result)?;
            Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed)
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if takes_elements(func.name()) => {
            let changed = as_elements(&mut args, around)?;
            Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed)
        }
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
            let changed = settle(&mut [&mut left, &mut right], around, Use::Compared)?;
            Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::Between(mut range) => {
            let parts = &mut [&mut *range.expr, &mut *range.low, &mut *range.high];
            let changed = settle(parts, around, Use::Compared)?;
            Transformed::new_transformed(Expr::Between(range), changed)
        }
        Expr::InList(mut list) => {
            let parts = list.list.iter_mut().chain([&mut *list.expr]);
            let changed = settle(&mut parts.collect::<Vec<_>>(), around, Use::Compared)?;
            Transformed::new_transformed(Expr::InList(list), changed)
        }
        Expr::InSubquery(InSubquery { mut expr, subquery, negated }) => {
            let subquery = with_subquery(&mut expr, subquery, around)?;
            subquery.update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated }))
        }
        Expr::SetComparison(SetComparison { mut expr, subquery, op, quantifier }) => {
            let subquery = with_subquery(&mut expr, subquery, around)?;
            subquery
                .update_data(|subquery| Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }))
        }
        // A quotient or mean of decimals has four decimals more than they have. Of `price * 0.07` it is a double.
        Expr::BinaryExpr(BinaryExpr { mut left, op: op @ Operator::Divide, mut right }) => {
            let changed = as_double(&mut left, around) | as_double(&mut right, around);
            Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::AggregateFunction(mut call) if call.func.name() == "avg" => {
            let changed = call.params.args.iter_mut().any(|arg| as_double(arg, around));
            Transformed::new_transformed(Expr::AggregateFunction(call), changed)
        }
        Expr::WindowFunction(mut call) if call.fun.name() == "avg" => {
            let changed = call.params.args.iter_mut().any(|arg| as_double(arg, around));
            Transformed::new_transformed(Expr::WindowFunction(call), changed)
        }
        made @ Expr::BinaryExpr(_) => match as_decimal(&made, around)? {
            Some(decimal) => Transformed::yes(decimal),
            None => Transformed::no(made),
        },
        other => Transformed::no(other),
    })
}

/// Makes written doubles beside a list of decimals the decimals that they say.
fn as_elements(args: &mut [Expr], around: &Around<'_>) -> Result<bool> {
    let kinds = args.iter().map(|arg| arg.get_type(around.schema)).collect::<Result<Vec<_>>>()?;
    let is_of_decimals =
        |kind: &DataType| matches!(kind, DataType::List(field) if field.data_type().is_decimal());
    if !kinds.iter().any(is_of_decimals) {
        return Ok(false);
    }
    let mut changed = false;
    for (arg, kind) in args.iter_mut().zip(&kinds).filter(|(_, kind)| **kind == DataType::Float64) {
        if let Some(decimal) = exact(arg, kind, around) {
            *arg = decimal.expr;
            changed = true;
        }
    }
    Ok(changed)
}

/// Makes a decimal that is computed of a written double a double.
fn as_double(operand: &mut Expr, around: &Around<'_>) -> bool {
    let is_one = of_written(operand, around);
    if is_one {
        *operand = cast(std::mem::take(operand), DataType::Float64);
    }
    is_one
}

/// Gives the parts one type, where DataFusion would give them a wrong one.
fn settle(parts: &mut [&mut Expr], around: &Around<'_>, used: Use) -> Result<bool> {
    let kinds = kinds_of(parts, around)?;
    Ok(settle_of(parts, &kinds, around, used))
}

fn kinds_of(parts: &[&mut Expr], around: &Around<'_>) -> Result<Vec<DataType>> {
    parts.iter().map(|part| part.get_type(around.schema)).collect()
}

/// The same of parts whose types are known.
fn settle_of(parts: &mut [&mut Expr], kinds: &[DataType], around: &Around<'_>, used: Use) -> bool {
    if as_numbers(parts, kinds, around, used) {
        return true;
    }
    if !dates_as_times(kinds) {
        return false;
    }
    for (part, _) in parts.iter_mut().zip(kinds).filter(|(_, kind)| is_date(kind)) {
        **part = cast(std::mem::take(*part), MIDNIGHT);
    }
    true
}

/// A value that is compared with those of a subquery, which are given back.
fn with_subquery(expr: &mut Expr, subquery: Subquery, around: &Around<'_>) -> Result<Transformed<Subquery>> {
    let plan = &subquery.subquery;
    let mut member = Expr::Column(Column::from(plan.schema().qualified_field(0)));
    let kinds = [expr.get_type(around.schema)?, plan.schema().field(0).data_type().clone()];
    // The member is no column of the rows around.
    let around = Around { schema: around.schema, inputs: &[] };
    if !settle_of(&mut [expr, &mut member], &kinds, &around, Use::Compared) {
        return Ok(Transformed::no(subquery));
    }
    Ok(Transformed::yes(match member {
        Expr::Cast(Cast { field, .. }) => cast_subquery(subquery, field.data_type())?,
        _ => subquery,
    }))
}

/// The keys of a join, also of INTERSECT and EXCEPT, which are joins by now.
fn of_join(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    let schema = merge_schema(&[&join.left, &join.right]);
    let around = Around { schema: &schema, inputs: &[] };
    for (left, right) in &mut join.on {
        let kinds = [left.get_type(join.left.schema())?, right.get_type(join.right.schema())?];
        changed |= settle_of(&mut [left, right], &kinds, &around, Use::Compared);
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
}

/// The columns of a UNION. A literal counts as one: `SELECT price FROM t UNION ALL SELECT 0.0`.
fn of_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != width) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let value = |input: &LogicalPlan, at: usize| match input {
        LogicalPlan::Projection(made) => match made.expr.get(at).map(without_names) {
            Some(literal @ Expr::Literal(..)) => literal.clone(),
            _ => Expr::Column(Column::from(input.schema().qualified_field(at))),
        },
        _ => Expr::Column(Column::from(input.schema().qualified_field(at))),
    };
    let mut changed = false;
    let schema = DFSchema::empty();
    let around = Around { schema: &schema, inputs: &[] };
    let mut columns: Vec<Vec<Expr>> = vec![Vec::with_capacity(width); union.inputs.len()];
    for at in 0..width {
        let mut values: Vec<Expr> = union.inputs.iter().map(|input| value(input, at)).collect();
        let mut kinds: Vec<DataType> =
            union.inputs.iter().map(|input| input.schema().field(at).data_type().clone()).collect();
        let mut parts: Vec<&mut Expr> = values.iter_mut().collect();
        changed |= settle_of(&mut parts, &kinds, &around, Use::Result);
        for (part, kind) in parts.iter().zip(&mut kinds) {
            match &**part {
                Expr::Literal(value, _) => *kind = value.data_type(),
                Expr::Cast(Cast { field, .. }) => *kind = field.data_type().clone(),
                _ => {}
            }
        }
        changed |= whole_as_others(&mut parts, &kinds);
        for (columns, value) in columns.iter_mut().zip(values) {
            columns.push(value);
        }
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for (input, columns) in union.inputs.into_iter().zip(columns) {
        let schema = input.schema().clone();
        let columns = columns.into_iter().zip(schema.iter()).map(|(value, (qualifier, field))| match value {
            Expr::Column(_) => value,
            made => made.alias_qualified(qualifier.cloned(), field.name()),
        });
        let columns = columns.collect();
        inputs.push(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)));
    }
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

fn without_names(mut expression: &Expr) -> &Expr {
    while let Expr::Alias(named) = expression {
        expression = &named.expr;
    }
    expression
}

/// The columns of VALUES, whose values DataFusion has cast to one type by now.
fn of_values(values: Values) -> Result<Transformed<LogicalPlan>> {
    let Values { schema, values: mut rows } = values;
    let mut changed = false;
    for (at, field) in schema.fields().iter().enumerate() {
        let made = field.data_type();
        if !(made.is_decimal() || matches!(made, DataType::Timestamp(..))) {
            continue;
        }
        let mut bare = Vec::with_capacity(rows.len());
        for value in rows.iter().filter_map(|row| row.get(at)) {
            bare.push(match value {
                Expr::Cast(Cast { expr, field }) if field.data_type() == made => (**expr).clone(),
                Expr::Literal(null, _) if null.is_null() => Expr::Literal(ScalarValue::Null, None),
                other => other.clone(),
            });
        }
        let empty = DFSchema::empty();
        let around = Around { schema: &empty, inputs: &[] };
        if settle(&mut bare.iter_mut().collect::<Vec<_>>(), &around, Use::Result)? {
            changed = true;
            for (row, bare) in rows.iter_mut().zip(bare) {
                if let Some(value) = row.get_mut(at) {
                    *value = bare;
                }
            }
        }
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Values(Values { schema, values: rows })));
    }
    Ok(Transformed::yes(LogicalPlanBuilder::values(rows)?.build()?))
}

fn is_date(kind: &DataType) -> bool {
    matches!(kind, DataType::Date32 | DataType::Date64)
}

/// Dates beside times are their midnights. DataFusion would take both for nanoseconds, which end in 2262.
fn dates_as_times(kinds: &[DataType]) -> bool {
    let is_time =
        |kind: &DataType| matches!(kind, DataType::Timestamp(unit, _) if *unit != TimeUnit::Nanosecond);
    kinds.iter().any(is_date)
        && kinds.iter().any(is_time)
        && kinds.iter().all(|kind| is_date(kind) || is_time(kind) || kind.is_null())
}

#[cfg(test)]
mod tests;
