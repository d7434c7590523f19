//! Intervals and differences of times (durations), compared by their length.
//!
//! DataFusion 55 (apache/datafusion#8468) compares the parts of intervals one by one, months before days before hours, and makes an interval of a
//! duration first: 68 days in hours are then less than 30 days, and a day is not 24 hours. Here both become their length in
//! nanoseconds: a day has 24 hours and a month 30 days, as PostgreSQL and DuckDB compare them. A duration has no months: with
//! one it is compared by no interval that has some. Where equal intervals would have to be one (GROUP BY, DISTINCT, min
//! and max), the statement is refused, for which of two writings should stand for both?

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, Operator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SortExpr, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::refused;

const DAY: i128 = 86_400 * 1_000_000_000;

/// Compares spans of time by their length.
#[derive(Debug)]
pub(super) struct ByLength {
    /// Months are 30 days.
    length: Arc<ScalarUDF>,
    /// Months are refused.
    exact: Arc<ScalarUDF>,
}

impl ByLength {
    pub(super) fn new() -> ByLength {
        let length = |months| Arc::new(ScalarUDF::from(Length::new(months)));
        ByLength { length: length(true), exact: length(false) }
    }

    /// The two or more sides of a comparison, each by its length, where one is an interval or they differ in type.
    fn lengths(&self, sides: Vec<&mut Expr>, schema: &DFSchema) -> bool {
        let Ok(kinds) = sides.iter().map(|side| side.get_type(schema)).collect::<Result<Vec<_>>>() else {
            return false;
        };
        let is_span = |kind: &DataType| is_interval(kind) || matches!(kind, DataType::Duration(_));
        let all_spans = kinds.iter().all(|kind| is_span(kind) || kind.is_null());
        let is_one_duration =
            kinds.iter().all(|kind| matches!(kind, DataType::Duration(_)) && kind == &kinds[0]);
        if !all_spans || is_one_duration || kinds.iter().all(DataType::is_null) {
            return false;
        }
        let durations = kinds.iter().any(|kind| matches!(kind, DataType::Duration(_)));
        let length = if durations { &self.exact } else { &self.length };
        for (side, kind) in sides.into_iter().zip(kinds) {
            if !kind.is_null() {
                *side = length.call(vec![std::mem::take(side)]);
            }
        }
        true
    }

    fn rewrite(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match expression {
            Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
                let changed = self.lengths(vec![&mut left, &mut right], schema);
                Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
            }
            Expr::Between(Between { mut expr, negated, mut low, mut high }) => {
                let changed = self.lengths(vec![&mut expr, &mut low, &mut high], schema);
                Transformed::new_transformed(Expr::Between(Between { expr, negated, low, high }), changed)
            }
            Expr::InList(mut list) => {
                let sides = std::iter::once(&mut *list.expr).chain(&mut list.list).collect();
                let changed = self.lengths(sides, schema);
                Transformed::new_transformed(Expr::InList(list), changed)
            }
            Expr::Case(Case { expr: Some(mut expr), mut when_then_expr, else_expr }) => {
                let whens = when_then_expr.iter_mut().map(|(when, _)| &mut **when);
                let changed = self.lengths(std::iter::once(&mut *expr).chain(whens).collect(), schema);
                let case = Case { expr: Some(expr), when_then_expr, else_expr };
                Transformed::new_transformed(Expr::Case(case), changed)
            }
            Expr::AggregateFunction(mut call) => {
                refuse_ordered(&call, schema)?;
                let changed = self.order(&mut call.params.order_by, schema);
                Transformed::new_transformed(Expr::AggregateFunction(call), changed)
            }
            Expr::WindowFunction(mut call) => {
                refuse_window(&call, schema)?;
                let changed = self.order(&mut call.params.order_by, schema);
                Transformed::new_transformed(Expr::WindowFunction(call), changed)
            }
            Expr::ScalarFunction(call)
                if ["greatest", "least", "nullif"].contains(&call.func.name())
                    && call.args.iter().any(|arg| of_interval(arg, schema)) =>
            {
                return two_writings(&format!("{} of intervals", call.func.name()));
            }
            other => Transformed::no(other),
        })
    }

    /// The keys of an order, intervals by their length.
    fn order(&self, keys: &mut [SortExpr], schema: &DFSchema) -> bool {
        let mut changed = false;
        for key in keys.iter_mut().filter(|key| of_interval(&key.expr, schema)) {
            key.expr = self.length.call(vec![std::mem::take(&mut key.expr)]);
            changed = true;
        }
        changed
    }

    fn plan(&self, mut plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema
                .merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        let mut changed = false;
        match &mut plan {
            LogicalPlan::Sort(sort) => changed = self.order(&mut sort.expr, &schema),
            LogicalPlan::Join(join) => {
                for (left, right) in &mut join.on {
                    changed |= self.lengths(vec![left, right], &schema);
                }
            }
            LogicalPlan::Aggregate(aggregate)
                if grouping_set_to_exprlist(&aggregate.group_expr)?
                    .into_iter()
                    .any(|key| of_interval(key, &schema)) =>
            {
                return two_writings("GROUP BY of an interval");
            }
            LogicalPlan::Distinct(distinct) => {
                let keys_of_intervals = match distinct {
                    Distinct::All(input) => {
                        input.schema().fields().iter().any(|field| is_interval(field.data_type()))
                    }
                    Distinct::On(on) => on.on_expr.iter().any(|key| of_interval(key, &schema)),
                };
                if keys_of_intervals {
                    return two_writings("DISTINCT or UNION of an interval");
                }
            }
            _ => {}
        }
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let rewritten = expression.transform_up(|inner| self.rewrite(inner, &schema))?;
            Ok(rewritten.update_data(|expression| name.restore(expression)))
        })?;
        Ok(Transformed::new_transformed(rewritten.data, rewritten.transformed || changed))
    }
}

impl AnalyzerRule for ByLength {
    fn name(&self) -> &str {
        "spans_by_length"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| self.plan(plan))?.data)
    }
}

pub(in crate::sql) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_interval(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_))
}

fn of_interval(expression: &Expr, schema: &DFSchema) -> bool {
    expression.get_type(schema).is_ok_and(|kind| is_interval(&kind))
}

/// min, max and DISTINCT of intervals.
fn refuse_ordered(call: &AggregateFunction, schema: &DFSchema) -> Result<()> {
    let by_value = call.params.distinct || ["min", "max", "approx_distinct"].contains(&call.func.name());
    match by_value && call.params.args.iter().any(|arg| of_interval(arg, schema)) {
        true => two_writings(&format!("{} of intervals", call.func.name())),
        false => Ok(()),
    }
}

fn refuse_window(call: &WindowFunction, schema: &DFSchema) -> Result<()> {
    let by_value = matches!(&call.fun, WindowFunctionDefinition::AggregateUDF(udaf) if ["min", "max"].contains(&udaf.name()));
    if by_value && call.params.args.iter().any(|arg| of_interval(arg, schema)) {
        return two_writings(&format!("{} of intervals", call.fun.name()));
    }
    match call.params.partition_by.iter().any(|key| of_interval(key, schema)) {
        true => two_writings("PARTITION BY of an interval"),
        false => Ok(()),
    }
}

fn two_writings<T>(what: &str) -> Result<T> {
    refused(
        format!("{what}: equal ones may be written in two ways, as a day and as 24 hours"),
        "take their seconds: EXTRACT(EPOCH FROM x)",
    )
}

/// `span_length(x)`: nanoseconds of an interval or a duration.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    months: bool,
    signature: Signature,
}

impl Length {
    fn new(months: bool) -> Length {
        Length { months, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn months(&self, months: i32) -> Result<i128> {
        match self.months || months == 0 {
            true => Ok(i128::from(months) * 30 * DAY),
            false => exec_err!(
                "a difference of times is compared with an interval of months or years, whose length depends on where they begin: write days, or compare the times: b > a + INTERVAL '1 month'"
            ),
        }
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        if self.months { "span_length" } else { "exact_span_length" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [spans] = arrays.as_slice() else { return exec_err!("span_length of {} spans", arrays.len()) };
        let lengths: Decimal128Array = match spans.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                each::<IntervalMonthDayNanoType>(spans, |span| {
                    Ok(self.months(span.months)? + i128::from(span.days) * DAY + i128::from(span.nanoseconds))
                })?
            }
            DataType::Interval(IntervalUnit::DayTime) => each::<IntervalDayTimeType>(spans, |span| {
                Ok(i128::from(span.days) * DAY + i128::from(span.milliseconds) * 1_000_000)
            })?,
            DataType::Interval(IntervalUnit::YearMonth) => {
                each::<IntervalYearMonthType>(spans, |months| self.months(months))?
            }
            DataType::Duration(TimeUnit::Second) => {
                each::<DurationSecondType>(spans, |n| Ok(i128::from(n) * 1_000_000_000))?
            }
            DataType::Duration(TimeUnit::Millisecond) => {
                each::<DurationMillisecondType>(spans, |n| Ok(i128::from(n) * 1_000_000))?
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                each::<DurationMicrosecondType>(spans, |n| Ok(i128::from(n) * 1_000))?
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                each::<DurationNanosecondType>(spans, |n| Ok(i128::from(n)))?
            }
            other => return exec_err!("{other} is no span of time"),
        };
        let lengths = lengths.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?;
        Ok(ColumnarValue::Array(Arc::new(lengths)))
    }
}

fn each<T: ArrowPrimitiveType>(
    spans: &ArrayRef,
    length: impl Fn(T::Native) -> Result<i128>,
) -> Result<Decimal128Array> {
    spans.as_primitive::<T>().iter().map(|span| span.map(&length).transpose()).collect()
}
