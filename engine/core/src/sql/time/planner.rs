//! What the SQL planner makes of types, of arithmetic on dates, and of EXTRACT.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast};
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType as Sql, TimezoneInfo};

use super::multiples;
use super::now::UTC;
use super::parts::DatePart;

/// TIMESTAMP without a precision is in microseconds; one with a zone is in UTC.
#[derive(Debug)]
pub(super) struct Microseconds;

impl TypePlanner for Microseconds {
    fn plan_type_field(&self, sql: &Sql) -> Result<Option<FieldRef>> {
        let (precision, zoned) = match sql {
            Sql::Timestamp(precision, info) => {
                (*precision, matches!(info, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone))
            }
            _ => return Ok(None),
        };
        let unit = match precision {
            None | Some(6) => TimeUnit::Microsecond,
            Some(0) => TimeUnit::Second,
            Some(3) => TimeUnit::Millisecond,
            Some(9) if !zoned => TimeUnit::Nanosecond,
            Some(_) => {
                return plan_err!(
                    "{sql}: a TIMESTAMP has 0, 3 or 6 digits of a second, without a zone also 9"
                );
            }
        };
        let zone = zoned.then(|| UTC.into());
        Ok(Some(Arc::new(Field::new("", DataType::Timestamp(unit, zone), true))))
    }
}

/// Arithmetic of dates, and EXTRACT.
#[derive(Debug)]
pub(super) struct Times {
    date_part: Arc<ScalarUDF>,
}

impl Times {
    pub(super) fn new() -> Times {
        Times { date_part: Arc::new(ScalarUDF::from(DatePart::new())) }
    }
}

impl ExprPlanner for Times {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let call = ScalarFunction::new_udf(self.date_part.clone(), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }

    fn plan_binary_op(
        &self,
        mut raw: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator as Op;
        let arithmetic = matches!(raw.op, Op::Plus | Op::Minus);
        let comparison =
            matches!(raw.op, Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Eq | Op::NotEq | Op::Spaceship);
        let product = matches!(raw.op, Op::Multiply | Op::Divide);
        if !arithmetic && !comparison && !product {
            return Ok(PlannerResult::Original(raw));
        }
        // What has no type yet, such as a placeholder, is for DataFusion to say.
        let (Ok(left), Ok(right)) = (kind(&raw.left, schema), kind(&raw.right, schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        if product {
            let made = multiples::product(&raw.op, (&raw.left, &left), (&raw.right, &right))?;
            return Ok(made.map_or(PlannerResult::Original(raw), PlannerResult::Planned));
        }
        if meets_a_time(&left, &right, &raw.right, arithmetic) {
            raw.left = as_time(raw.left);
        } else if meets_a_time(&right, &left, &raw.left, arithmetic) {
            raw.right = as_time(raw.right);
        }
        Ok(PlannerResult::Original(raw))
    }
}

/// The type of a side. A column that NATURAL or USING merges has no table yet.
fn kind(side: &Expr, schema: &DFSchema) -> Result<DataType> {
    side.get_type(schema).or_else(|_| {
        let with_tables = side.clone().transform(|part| match part {
            Expr::Column(Column { relation: None, name, .. }) => {
                match schema.columns_with_unqualified_name(&name).into_iter().next() {
                    Some(column) => Ok(Transformed::yes(Expr::Column(column))),
                    None => Ok(Transformed::no(Expr::Column(Column::new_unqualified(name)))),
                }
            }
            other => Ok(Transformed::no(other)),
        })?;
        with_tables.data.get_type(schema)
    })
}

fn as_time(date: Expr) -> Expr {
    cast(date, DataType::Timestamp(TimeUnit::Microsecond, None))
}

/// Whether a date is to be its midnight beside this other side. DataFusion would cut a span to whole days, and take
/// nanoseconds for the midnight, which end in 2262 (apache/datafusion#19527).
fn meets_a_time(date: &DataType, other: &DataType, other_side: &Expr, arithmetic: bool) -> bool {
    if !matches!(date, DataType::Date32 | DataType::Date64) {
        return false;
    }
    match other {
        DataType::Timestamp(unit, _) => *unit != TimeUnit::Nanosecond,
        DataType::Duration(_) => arithmetic,
        DataType::Interval(_) => arithmetic && !is_whole_days(other_side),
        _ => false,
    }
}

/// An interval that is written out, without a part of a day.
fn is_whole_days(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(span), _) => {
            span.is_none_or(|span| span.nanoseconds == 0)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(span), _) => {
            span.is_none_or(|span| span.milliseconds == 0)
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        _ => false,
    }
}
