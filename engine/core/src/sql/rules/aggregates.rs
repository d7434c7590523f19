//! Sums that do not wrap and means of decimals that are rounded.
//!
//! DataFusion 55 adds whole numbers up in 64 bits and wraps around, adds decimals up without looking at their digits, and
//! cuts a mean of decimals off after its last one. So `sum` of whole numbers is added up as DECIMAL(30,0), which holds any
//! number of them, and then has to fit its type; `avg` of decimals is computed with a digit more and then rounded half
//! away from zero, as PostgreSQL and Spark do, and that of whole numbers is [exact](super::whole_means). `array_agg` and `string_agg` of DISTINCT values in an order are put in order
//! afterwards: DataFusion gives them the order of another aggregate beside them. `min` and `max` of doubles are those of [`ordered`](super::ordered) numbers. What aggregates make of floating point numbers has one NaN and one zero.
//! Distinct structs and lists are counted by their [bytes](super::row_bytes), and the greatest struct is one of [`extremes`](super::extremes).

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_nested::expr_fn::{array_sort, array_to_string};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, ScalarUDF, Window,
    WindowFunctionDefinition, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::checked::{Checked, Operation};
use super::extremes::Extreme;
use super::moving::Moving;
use super::moving_xor::MovingXor;
use super::of_its_type::OfItsType;
use super::one_nan::ONE_NAN;
use super::ordered::{Ordered, Way};
use super::pairs::Pairs;
use super::row_bytes::RowBytes;
use super::whole_means::WholeMean;
use crate::error::Error;

/// The most digits of decimals that a sum of 10^10 of them holds.
const SUMMED_DIGITS: u8 = 28;

/// Computes `sum` and `avg` in types that hold them.
#[derive(Debug)]
pub(super) struct ExactAggregates;

impl AnalyzerRule for ExactAggregates {
    fn name(&self) -> &str {
        "exact_aggregates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let Some((made, after)) = widened(&aggregate.aggr_expr, aggregate.input.schema())? else {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            };
            let first = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let wide = Aggregate::try_new(aggregate.input, aggregate.group_expr, made)?;
            finish(LogicalPlan::Aggregate(wide), &aggregate.schema, first, after)
        }
        LogicalPlan::Window(window) => {
            let Some((made, after)) = widened(&window.window_expr, window.input.schema())? else {
                return Ok(Transformed::no(LogicalPlan::Window(window)));
            };
            let first = window.schema.fields().len() - window.window_expr.len();
            let wide = Window::try_new(made, window.input)?;
            finish(LogicalPlan::Window(wide), &window.schema, first, after)
        }
        other => Ok(Transformed::no(other)),
    }
}

/// What a column is made of after it is computed.
enum After {
    Nothing,
    /// Nothing but its name.
    Named,
    Narrow(DataType, String),
    OneNan,
    /// A double of its place in the order of all, and of that the type.
    FromOrdered(DataType),
    /// An array put in order, descending or not, with the nulls first or last.
    Sorted {
        descending: bool,
        nulls_first: bool,
    },
    /// An array of texts without nulls put in order, with a separator between them.
    Joined {
        descending: bool,
        separator: ScalarValue,
        kind: DataType,
    },
}

/// The functions in their wide types; `None` if none changes.
fn widened(functions: &[Expr], input: &DFSchema) -> Result<Option<(Vec<Expr>, Vec<After>)>> {
    let (mut made, mut after) = (Vec::new(), Vec::new());
    let is_distinct = |part: &Expr| Ok(matches!(part, Expr::AggregateFunction(f) if f.params.distinct));
    let has_distinct = functions.iter().any(|function| function.exists(is_distinct).unwrap_or(false));
    for function in functions {
        let (wide, then) = one(function.clone(), input, has_distinct)?;
        // Called by its place: another function may be called as the wide one is.
        made.push(if matches!(then, After::Nothing) {
            wide
        } else {
            wide.alias(format!("__wide_{}", made.len()))
        });
        after.push(then);
    }
    Ok(after.iter().any(|then| !matches!(then, After::Nothing)).then_some((made, after)))
}

fn one(function: Expr, input: &DFSchema, has_distinct: bool) -> Result<(Expr, After)> {
    let text = function.human_display().to_string();
    let result = function.get_type(input)?;
    let mut bare = function.clone().unalias_nested().data;
    if let Expr::AggregateFunction(AggregateFunction { func, params }) = &mut bare
        && params.distinct
        && matches!(func.name(), "string_agg" | "array_agg")
        && let (Some(sort), Some(value)) = (params.order_by.first(), params.args.first())
    {
        for key in &params.order_by {
            if without_text_casts(&key.expr, input)? != without_text_casts(value, input)? {
                return Err(other_order(func.name()));
            }
        }
        // One that sorts its distinct values itself does so backwards beside another order; the key is the value.
        let (descending, nulls_first) = (!sort.asc, sort.nulls_first);
        if func.name() == "array_agg" {
            params.order_by.clear();
            return Ok((bare, After::Sorted { descending, nulls_first }));
        }
        if let [text, Expr::Literal(separator, _)] = params.args.as_slice() {
            let is_there = text.clone().is_not_null();
            // None is as good as an empty one, as it is without DISTINCT.
            let separator = if separator.is_null() { ScalarValue::from("") } else { separator.clone() };
            let text = text.clone();
            let filter = match params.filter.take() {
                Some(filter) => is_there.and(*filter),
                None => is_there,
            };
            params.args = vec![text];
            params.filter = Some(Box::new(filter));
            params.order_by.clear();
            *func = array_agg_udaf();
            return Ok((bare, After::Joined { descending, separator, kind: result }));
        }
    }
    if let Expr::AggregateFunction(AggregateFunction { func, params }) = &mut bare
        && params.distinct
        && func.name() == "count"
        && let [value] = params.args.as_mut_slice()
        && let Some(bytes) = RowBytes::of(&value.get_type(input)?)
    {
        *value = ScalarUDF::from(bytes).call(vec![std::mem::take(value)]);
        return Ok((bare, After::Named));
    }
    if of_whole_numbers(&mut bare, input)? {
        return Ok((bare, After::Named));
    }
    let of_aggregate = match &mut bare {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            Some((func.name().to_owned(), &mut params.args))
        }
        Expr::WindowFunction(window) => {
            let WindowFunction { fun, params } = window.as_mut();
            match fun {
                WindowFunctionDefinition::AggregateUDF(func) => {
                    Some((func.name().to_owned(), &mut params.args))
                }
                WindowFunctionDefinition::WindowUDF(_) => None,
            }
        }
        _ => None,
    };
    if let Some((name, arguments)) = of_aggregate
        && let [argument] = arguments.as_mut_slice()
    {
        if matches!(name.as_str(), "min" | "max") && result.is_floating() {
            let double = cast(std::mem::take(argument), DataType::Float64);
            *argument = ScalarUDF::from(Ordered::new(Way::There)).call(vec![double]);
            return Ok((bare, After::FromOrdered(result)));
        }
        if let Some(wide) = wide(&name, &argument.get_type(input)?, &result) {
            *argument = cast(std::mem::take(argument), wide);
            return Ok((bare, After::Narrow(result, text)));
        }
        // Beside a DISTINCT a sum becomes one of sums, which is wider than it was declared.
        if name == "sum" && result.is_decimal() && has_distinct {
            return Ok((bare, After::Narrow(result, text)));
        }
    }
    if of_structs(&mut bare, &result) {
        return Ok((bare, After::Named));
    }
    of_pairs(&mut bare);
    if let Expr::WindowFunction(window) = &mut bare
        && let WindowFunctionDefinition::AggregateUDF(func) = &window.fun
        && !window.params.distinct
        && let Some(moving) = MovingXor::of(func)
    {
        window.fun = WindowFunctionDefinition::AggregateUDF(Arc::new(AggregateUDF::from(moving)));
        return Ok((bare, After::Named));
    }
    if let Expr::WindowFunction(window) = &mut bare
        && let WindowFunctionDefinition::AggregateUDF(func) = &window.fun
        && result.is_floating()
        && !window.params.distinct
        && !window.params.window_frame.start_bound.is_unbounded()
        && let Some(moving) = Moving::of(func)
    {
        window.fun = WindowFunctionDefinition::AggregateUDF(Arc::new(AggregateUDF::from(moving)));
    }
    Ok(match result.is_floating() {
        true => (bare, After::OneNan),
        false => (function, After::Nothing),
    })
}

/// An expression without its name, and without casts of one type of text to another.
fn without_text_casts<'a>(mut expression: &'a Expr, input: &DFSchema) -> Result<&'a Expr> {
    loop {
        expression = match expression {
            Expr::Alias(alias) => &alias.expr,
            Expr::Cast(made)
                if made.expr.get_type(input)?.is_string() && expression.get_type(input)?.is_string() =>
            {
                &made.expr
            }
            _ => return Ok(expression),
        };
    }
}

/// The error for DISTINCT values in an order that is not theirs.
fn other_order(function: &str) -> DataFusionError {
    let made = Error::user(format!(
        "{function}(DISTINCT x ORDER BY y): of DISTINCT values there are the values alone to put them in order by"
    ));
    let hint = "write ORDER BY x, or GROUP BY x in a WITH before, and there ORDER BY min(y)";
    DataFusionError::External(Box::new(made.hint(hint)))
}

/// Makes a mean of whole numbers, which are doubles by now, an exact one. Gives whether it is one.
fn of_whole_numbers(function: &mut Expr, input: &DFSchema) -> Result<bool> {
    let (func, arguments) = match function {
        Expr::AggregateFunction(call) => (&mut call.func, &mut call.params.args),
        Expr::WindowFunction(window) => match &mut window.fun {
            WindowFunctionDefinition::AggregateUDF(func) => (func, &mut window.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return Ok(false),
        },
        _ => return Ok(false),
    };
    let ("avg", [argument]) = (func.name(), arguments.as_mut_slice()) else { return Ok(false) };
    // What is a double may be a NaN to other rules.
    let double = match &mut *argument {
        Expr::ScalarFunction(call) if call.func.name() == ONE_NAN => call.args.first_mut(),
        other => Some(other),
    };
    let Some(Expr::Cast(made)) = double else { return Ok(false) };
    if *made.field.data_type() != DataType::Float64 {
        return Ok(false);
    }
    let kind = made.expr.get_type(input)?;
    let Some(whole) = WholeMean::argument(&kind) else { return Ok(false) };
    let given = std::mem::take(&mut *made.expr);
    *argument = if kind == whole { given } else { cast(given, whole) };
    *func = Arc::new(AggregateUDF::from(WholeMean::new()));
    Ok(true)
}

/// Makes `min` and `max` of structs those that compare what is in them. Gives whether it is one.
fn of_structs(function: &mut Expr, kind: &DataType) -> bool {
    let func = match function {
        Expr::AggregateFunction(call) => &mut call.func,
        Expr::WindowFunction(window) => match &mut window.fun {
            WindowFunctionDefinition::AggregateUDF(func) => func,
            WindowFunctionDefinition::WindowUDF(_) => return false,
        },
        _ => return false,
    };
    match Extreme::of(func, kind) {
        Some(extreme) => {
            *func = Arc::new(AggregateUDF::from(extreme));
            true
        }
        None => false,
    }
}

/// Gives an aggregate of pairs its own figures.
fn of_pairs(function: &mut Expr) {
    let (func, distinct) = match function {
        Expr::AggregateFunction(call) => (&mut call.func, call.params.distinct),
        Expr::WindowFunction(window) => match &mut window.fun {
            WindowFunctionDefinition::AggregateUDF(func) => (func, window.params.distinct),
            WindowFunctionDefinition::WindowUDF(_) => return,
        },
        _ => return,
    };
    if let Some(pairs) = Pairs::of(func).filter(|_| !distinct) {
        *func = Arc::new(AggregateUDF::from(pairs));
    }
}

/// The type in which a function of this argument is computed, if not in the argument's.
fn wide(function: &str, argument: &DataType, result: &DataType) -> Option<DataType> {
    match (function, argument, result) {
        ("sum", kind, _) if kind.is_integer() => Some(DataType::Decimal128(20, 0)),
        ("sum", DataType::Decimal128(digits, scale), _) if *digits > SUMMED_DIGITS => {
            Some(DataType::Decimal256(*digits, *scale))
        }
        ("avg", DataType::Decimal128(digits, scale), DataType::Decimal128(_, made)) if *made == scale + 4 => {
            let (digits, scale) = (digits + 1, scale + 1);
            // The function adds four of each.
            let fits = digits + 4 <= DECIMAL128_MAX_PRECISION && scale + 4 <= DECIMAL128_MAX_SCALE;
            Some(if fits { DataType::Decimal128(digits, scale) } else { DataType::Decimal256(digits, scale) })
        }
        _ => None,
    }
}

/// The columns of `schema` from a plan whose columns from `first` on are wide.
fn finish(
    plan: LogicalPlan,
    schema: &DFSchemaRef,
    first: usize,
    after: Vec<After>,
) -> Result<Transformed<LogicalPlan>> {
    let wide = plan.schema().clone();
    let mut after = after.into_iter();
    let mut columns = Vec::new();
    for (at, (qualifier, field)) in schema.iter().enumerate() {
        let column = Expr::Column(Column::from(wide.qualified_field(at)));
        let then = if at < first { After::Nothing } else { after.next().unwrap_or(After::Nothing) };
        let function = match then {
            After::Nothing => {
                columns.push(column);
                continue;
            }
            After::Named => {
                columns.push(column.alias_qualified(qualifier.cloned(), field.name()));
                continue;
            }
            After::Narrow(kind, text) => ScalarUDF::from(Checked::new(Operation::Narrow, kind, text)),
            After::OneNan => ScalarUDF::from(OfItsType::one_nan()),
            After::FromOrdered(kind) => {
                let double = ScalarUDF::from(Ordered::new(Way::Back)).call(vec![column]);
                columns.push(cast(double, kind).alias_qualified(qualifier.cloned(), field.name()));
                continue;
            }
            After::Joined { descending, separator, kind } => {
                let order = lit(if descending { "DESC" } else { "ASC" });
                let texts = array_sort(column, order, lit("NULLS LAST"));
                let joined = cast(array_to_string(texts, lit(separator)), kind);
                columns.push(joined.alias_qualified(qualifier.cloned(), field.name()));
                continue;
            }
            After::Sorted { descending, nulls_first } => {
                let order = lit(if descending { "DESC" } else { "ASC" });
                let nulls = lit(if nulls_first { "NULLS FIRST" } else { "NULLS LAST" });
                columns
                    .push(array_sort(column, order, nulls).alias_qualified(qualifier.cloned(), field.name()));
                continue;
            }
        };
        let made = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![column]));
        columns.push(made.alias_qualified(qualifier.cloned(), field.name()));
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?)))
}
