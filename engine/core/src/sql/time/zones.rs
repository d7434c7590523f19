//! Times with a zone to times without one and back.
//!
//! DataFusion 55 knows neither the hour that a clock shows twice (an error) nor the way from a zoned time to the clock of its
//! zone: a cast gives the hour in UTC, though the cast to DATE and TEXT gives the day and hour of the zone, and `AT TIME ZONE`
//! of a zoned time is that time with another zone (apache/datafusion#12218, #25165). Here the casts agree, and `AT TIME ZONE` is PostgreSQL's. It reaches
//! DataFusion's analyzer as a cast to nanoseconds with a zone, which nothing else is.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowTimestampType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Union, Volatility, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::now::UTC;
use super::refused;

/// Gives `AT TIME ZONE` its meaning, and refuses casts of numbers to times, which say no unit.
#[derive(Debug)]
pub(super) struct AtTimeZone {
    clock: Arc<ScalarUDF>,
}

impl AtTimeZone {
    pub(super) fn new() -> AtTimeZone {
        AtTimeZone { clock: Arc::new(ScalarUDF::from(Clock::new())) }
    }

    fn rewrite(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        if let Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) = &expression {
            refuse_number(expr, field.data_type(), schema)?;
            refuse_time(expr, field.data_type(), schema)?;
        }
        let Expr::Cast(call) = expression else { return Ok(Transformed::no(expression)) };
        let DataType::Timestamp(unit, zone) = call.field.data_type() else {
            return Ok(Transformed::no(Expr::Cast(call)));
        };
        let from = call.expr.get_type(schema)?;
        let (TimeUnit::Nanosecond, Some(zone)) = (unit, zone) else {
            return Ok(Transformed::no(Expr::Cast(call)));
        };
        if zone.parse::<Tz>().is_err() {
            return refused(
                format!("AT TIME ZONE '{zone}': there is no such zone"),
                "one is 'UTC', 'America/New_York' or '+02:00'",
            );
        }
        Ok(Transformed::yes(match from {
            DataType::Timestamp(unit, None) => {
                cast(*call.expr, DataType::Timestamp(unit, Some(zone.clone())))
            }
            DataType::Timestamp(unit, Some(_)) => {
                let there = cast(*call.expr, DataType::Timestamp(unit, Some(zone.clone())));
                self.clock.call(vec![there])
            }
            DataType::Null => {
                cast(*call.expr, DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone())))
            }
            other => {
                return refused(
                    format!("AT TIME ZONE takes a TIMESTAMP, not {other}"),
                    format!("write CAST({} AS TIMESTAMP) AT TIME ZONE '{zone}'", call.expr),
                );
            }
        }))
    }
}

/// Refuses a cast of a number to a date or time.
fn refuse_number(expression: &Expr, to: &DataType, schema: &DFSchema) -> Result<()> {
    let (kind, instead) = match to {
        DataType::Timestamp(..) => (
            "TIMESTAMP",
            "write to_timestamp_seconds(x), to_timestamp_millis(x), to_timestamp_micros(x) or to_timestamp_nanos(x)",
        ),
        DataType::Date32 | DataType::Date64 => {
            ("DATE", "write DATE '1970-01-01' + x for days since 1970, or make_date(year, month, day)")
        }
        _ => return Ok(()),
    };
    match expression.get_type(schema)?.is_numeric() {
        true => refused(
            format!("CAST({} AS {kind}): a number does not say its unit", expression.human_display()),
            instead,
        ),
        false => Ok(()),
    }
}

/// Refuses a cast of a date, a time or a span to a number.
fn refuse_time(expression: &Expr, to: &DataType, schema: &DFSchema) -> Result<()> {
    if !to.is_numeric() {
        return Ok(());
    }
    let (kind, instead) = match expression.get_type(schema)? {
        DataType::Date32 | DataType::Date64 => {
            ("DATE", "write x - DATE '1970-01-01' for days since 1970, or EXTRACT(EPOCH FROM x) for seconds")
        }
        DataType::Timestamp(..) => (
            "TIMESTAMP",
            "write EXTRACT(EPOCH FROM x) for seconds since 1970, or to_unixtime(x) for whole ones",
        ),
        DataType::Time32(_) | DataType::Time64(_) => ("TIME", "write EXTRACT(EPOCH FROM x) for its seconds"),
        DataType::Duration(_) | DataType::Interval(_) => {
            ("difference of times", "write EXTRACT(EPOCH FROM x) for its seconds")
        }
        _ => return Ok(()),
    };
    refused(
        format!("CAST({} AS …) to a number: a {kind} does not say its unit", expression.human_display()),
        instead,
    )
}

impl AnalyzerRule for AtTimeZone {
    fn name(&self) -> &str {
        "at_time_zone"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, |expression, schema| self.rewrite(expression, schema))
    }
}

/// Takes casts between zoned times and others through the clock of the zone. It follows the rule that makes the types of two
/// sides equal.
#[derive(Debug)]
pub(super) struct ZonedCasts {
    clock: Arc<ScalarUDF>,
}

impl ZonedCasts {
    pub(super) fn new() -> ZonedCasts {
        ZonedCasts { clock: Arc::new(ScalarUDF::from(Clock::new())) }
    }

    /// The expression that is to be cast, on its way to this type; `None` where the cast itself is right.
    fn way(&self, from: &DataType, to: &DataType, expression: &Expr) -> Option<Expr> {
        use DataType::{Date32, Date64, Timestamp};
        match (from, to) {
            (Timestamp(_, Some(zone)), Timestamp(_, None)) if !is_utc(zone) => {
                Some(self.clock.call(vec![expression.clone()]))
            }
            (Timestamp(..), Timestamp(unit, Some(zone))) | (Date32 | Date64, Timestamp(unit, Some(zone)))
                if !is_utc(zone) && !matches!(from, Timestamp(_, Some(_))) =>
            {
                let local = cast(expression.clone(), Timestamp(*unit, None));
                Some(ScalarUDF::from(Moment::new(zone.clone())).call(vec![local]))
            }
            _ => None,
        }
    }

    fn rewrite(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match expression {
            Expr::Cast(Cast { expr, field }) => {
                match self.way(&expr.get_type(schema)?, field.data_type(), &expr) {
                    Some(way) => Transformed::yes(Expr::Cast(Cast { expr: Box::new(way), field })),
                    None => Transformed::no(Expr::Cast(Cast { expr, field })),
                }
            }
            Expr::TryCast(TryCast { expr, field }) => {
                match self.way(&expr.get_type(schema)?, field.data_type(), &expr) {
                    Some(way) => Transformed::yes(Expr::TryCast(TryCast { expr: Box::new(way), field })),
                    None => Transformed::no(Expr::TryCast(TryCast { expr, field })),
                }
            }
            other => Transformed::no(other),
        })
    }
}

impl AnalyzerRule for ZonedCasts {
    fn name(&self) -> &str {
        "zoned_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, |expression, schema| self.rewrite(expression, schema))
    }
}

/// Rewrites every part of every expression, from within, with the columns that it may name.
pub(super) fn each_expression(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let changed = Cell::new(false);
    Ok(plan.transform_up_with_subqueries(|plan| expressions_of(plan, &rewrite, &changed))?.data)
}

/// The same of one node; `changed` says whether one before was.
pub(in crate::sql) fn expressions_of(
    plan: LogicalPlan,
    rewrite: &impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
    changed: &Cell<bool>,
) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let rewritten = expression.transform_up(|inner| rewrite(inner, &schema))?;
        Ok(rewritten.update_data(|expression| name.restore(expression)))
    })?;
    changed.set(changed.get() || rewritten.transformed);
    // A type below may have changed too.
    rewritten.map_data(|plan| match plan {
        LogicalPlan::Values(values) if changed.get() => LogicalPlanBuilder::values(values.values)?.build(),
        LogicalPlan::Union(union) if changed.get() => {
            Union::try_new_with_loose_types(union.inputs).map(LogicalPlan::Union)
        }
        plan => plan.recompute_schema(),
    })
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "+00:00", "Z", "Etc/UTC"].contains(&zone)
}

/// `local_time(x)`: what the clock of its zone shows at a moment.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    signature: Signature,
}

impl Clock {
    fn new() -> Clock {
        Clock { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        "local_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Timestamp(unit, _)] => Ok(DataType::Timestamp(*unit, None)),
            other => plan_err!("local_time takes a time, not {other:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each_time(&args, None, None, shown)
    }
}

/// `moment(x)`: when the clock of a zone shows a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Moment {
    zone: Arc<str>,
    signature: Signature,
}

impl Moment {
    fn new(zone: Arc<str>) -> Moment {
        Moment { zone, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Moment {
    fn name(&self) -> &str {
        "moment"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Timestamp(unit, _)] => Ok(DataType::Timestamp(*unit, Some(self.zone.clone()))),
            other => plan_err!("moment takes a time, not {other:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each_time(&args, Some(&self.zone), Some(self.zone.clone()), moment)
    }
}

/// Times rounded down on the clock of their zone, if they have one.
pub(super) fn truncated(
    times: &ArrayRef,
    truncate: fn(NaiveDateTime) -> Option<NaiveDateTime>,
) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = times.data_type().clone() else {
        return exec_err!("{} is no time", times.data_type());
    };
    let clock: Tz = zone.as_deref().unwrap_or(UTC).parse()?;
    let down = |utc: NaiveDateTime, clock: &Tz| moment(truncate(shown(utc, clock)?)?, clock);
    Ok(match unit {
        TimeUnit::Second => each::<TimestampSecondType>(times, &clock, zone, down)?,
        TimeUnit::Millisecond => each::<TimestampMillisecondType>(times, &clock, zone, down)?,
        TimeUnit::Microsecond => each::<TimestampMicrosecondType>(times, &clock, zone, down)?,
        TimeUnit::Nanosecond => each::<TimestampNanosecondType>(times, &clock, zone, down)?,
    })
}

/// What a clock shows at a moment.
fn shown(utc: NaiveDateTime, zone: &Tz) -> Option<NaiveDateTime> {
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    utc.checked_add_signed(TimeDelta::seconds(i64::from(offset)))
}

/// When a clock shows a time: of two moments the later, when summer time is over; of none, as if the clock had not been put
/// forward yet. PostgreSQL has it so.
fn moment(local: NaiveDateTime, zone: &Tz) -> Option<NaiveDateTime> {
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => utc(local, offset.fix().local_minus_utc()),
        LocalResult::Ambiguous(one, other) => {
            utc(local, one.fix().local_minus_utc()).max(utc(local, other.fix().local_minus_utc()))
        }
        LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::days(1))?;
            utc(local, zone.offset_from_utc_datetime(&before).fix().local_minus_utc())
        }
    }
}

fn utc(local: NaiveDateTime, offset: i32) -> Option<NaiveDateTime> {
    local.checked_sub_signed(TimeDelta::seconds(i64::from(offset)))
}

/// Times moved by a zone: the one given, or that of their type.
fn each_time(
    args: &ScalarFunctionArgs,
    zone: Option<&str>,
    result_zone: Option<Arc<str>>,
    moved: fn(NaiveDateTime, &Tz) -> Option<NaiveDateTime>,
) -> Result<ColumnarValue> {
    let [given] = args.args.as_slice() else { return exec_err!("a time is moved, not {}", args.args.len()) };
    let times = given.to_array(args.number_rows)?;
    let DataType::Timestamp(unit, own) = times.data_type().clone() else {
        return exec_err!("{} is no time", times.data_type());
    };
    let Some(zone) = zone.or(own.as_deref()) else { return exec_err!("a time without a zone") };
    let zone: Tz = zone.parse()?;
    let moved: ArrayRef = match unit {
        TimeUnit::Second => each::<TimestampSecondType>(&times, &zone, result_zone, moved)?,
        TimeUnit::Millisecond => each::<TimestampMillisecondType>(&times, &zone, result_zone, moved)?,
        TimeUnit::Microsecond => each::<TimestampMicrosecondType>(&times, &zone, result_zone, moved)?,
        TimeUnit::Nanosecond => each::<TimestampNanosecondType>(&times, &zone, result_zone, moved)?,
    };
    Ok(match given {
        ColumnarValue::Scalar(_) if moved.len() == 1 => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?)
        }
        _ => ColumnarValue::Array(moved),
    })
}

fn each<T: ArrowTimestampType + ArrowPrimitiveType<Native = i64>>(
    times: &ArrayRef,
    zone: &Tz,
    result_zone: Option<Arc<str>>,
    moved: impl Fn(NaiveDateTime, &Tz) -> Option<NaiveDateTime>,
) -> Result<ArrayRef> {
    let cells = times.as_primitive::<T>();
    let one = |value: i64| {
        let time = arrow::temporal_conversions::as_datetime::<T>(value);
        let there =
            time.and_then(|time| moved(time, zone)).and_then(|time| T::from_naive_datetime(time, None));
        match there {
            Some(value) => Ok(value),
            None => exec_err!("a time beyond those of {}", times.data_type()),
        }
    };
    let moved = cells.iter().map(|cell| cell.map(one).transpose()).collect::<Result<PrimitiveArray<T>>>()?;
    Ok(Arc::new(moved.with_timezone_opt(result_zone)))
}
