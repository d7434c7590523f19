//! The years 1 to 9999, and texts that are times of a day.
//!
//! Arrow counts days and microseconds far beyond the years that a DATE has here, so that DataFusion's `make_date`, casts and
//! arithmetic give dates of a year 0 or +10000, which no text names and many readers take for others. So whatever makes
//! a date or a time is looked at; what is beyond those years is an error, of TRY_CAST null. Arrow also reads a second 60 as
//! the next minute, and no text without seconds: the one is refused, the other read, as PostgreSQL and DuckDB do. Last,
//! numbers that DataFusion takes for days since 1970 beside a date are refused.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{cast, max, min, nullif};
use arrow::datatypes::{DataType, Date32Type, Date64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, TryCast,
};
use datafusion::optimizer::AnalyzerRule;

use super::refused;
use super::zones::each_expression;
use crate::sql::OfItsType;

/// 0001-01-01 and 9999-12-31, in days since 1970.
const DAYS: (i64, i64) = (-719_162, 2_932_896);

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Functions that make dates or times of something else.
const MAKERS: [&str; 12] = [
    "make_date",
    "to_date",
    "to_timestamp",
    "to_timestamp_seconds",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_timestamp_nanos",
    "from_unixtime",
    "to_local_time",
    "arrow_cast",
    "local_time",
    "moment",
];

/// Keeps dates within their years. It follows the rule that makes the types of two sides equal.
#[derive(Debug)]
pub(super) struct Calendar;

impl AnalyzerRule for Calendar {
    fn name(&self) -> &str {
        "calendar"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        each_expression(plan, rewrite)
    }
}

fn rewrite(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let text = match &expression {
        Expr::Cast(_) | Expr::TryCast(_) => String::new(),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Plus | Operator::Minus, .. })
            if is_date(&expression.get_type(schema)?)
                || matches!(expression.get_type(schema)?, DataType::Timestamp(..)) =>
        {
            as_written(&expression)?
        }
        Expr::ScalarFunction(call) if MAKERS.contains(&call.func.name()) => as_written(&expression)?,
        _ => return Ok(Transformed::no(expression)),
    };
    Ok(match expression {
        Expr::Cast(Cast { expr, field }) => {
            let from = expr.get_type(schema)?;
            let to = field.data_type().clone();
            if from.is_numeric() && is_date(&to) {
                return refused(
                    format!(
                        "`{}` is a number beside a DATE: it does not say what it counts",
                        expr.human_display()
                    ),
                    "write the date, DATE '2026-01-31', or DATE '1970-01-01' + x for days since 1970",
                );
            }
            if !from.is_string() || !is_of_a_calendar(&to) {
                return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
            }
            let text = format!("CAST({} AS {to})", as_written(&expr)?);
            let read = Box::new(of_time_text(*expr, false, true));
            Transformed::yes(within(Expr::Cast(Cast { expr: read, field }), &to, text, false))
        }
        Expr::TryCast(TryCast { expr, field }) => {
            let to = field.data_type().clone();
            if !expr.get_type(schema)?.is_string() || !is_of_a_calendar(&to) {
                return Ok(Transformed::no(Expr::TryCast(TryCast { expr, field })));
            }
            let read = Box::new(of_time_text(*expr, true, true));
            Transformed::yes(within(Expr::TryCast(TryCast { expr: read, field }), &to, String::new(), true))
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) => {
            if func.name() != "arrow_cast"
                && let Some((text, formats)) = args.split_first_mut()
                && text.get_type(schema)?.is_string()
                && (formats.is_empty() || formats.iter().any(may_read_seconds))
            {
                *text = of_time_text(std::mem::take(text), false, formats.is_empty());
            }
            let made = Expr::ScalarFunction(ScalarFunction { func, args });
            let kind = made.get_type(schema)?;
            Transformed::yes(within(made, &kind, text, false))
        }
        made => {
            let kind = made.get_type(schema)?;
            Transformed::yes(within(made, &kind, text, false))
        }
    })
}

/// The expression without what is added here.
fn as_written(expression: &Expr) -> Result<String> {
    let bare = expression.clone().transform_up(|part| match part {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if WITHIN_YEARS.contains(&func.name()) || func.name() == TIME_TEXT =>
        {
            Ok(Transformed::yes(args.pop().unwrap_or_default()))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bare.data.human_display().to_string())
}

fn of_time_text(text: Expr, lenient: bool, completes: bool) -> Expr {
    let function = OfItsType::new(TIME_TEXT, move |given| time_text(given, lenient, completes));
    function.with_text(format!("{lenient} {completes}")).call(text)
}

/// Whether a format may have seconds. One that is not written out may.
fn may_read_seconds(format: &Expr) -> bool {
    match format {
        Expr::Literal(value, _) => value.try_as_str().flatten().is_none_or(|format| {
            // `%-S` has its padding between.
            let mut parts = format.split('%').skip(1).map(|part| part.trim_start_matches(['-', '_', '0']));
            parts.any(|part| part.starts_with(['S', 'T', 'X', 'r', 'c', 's', '+']))
        }),
        _ => true,
    }
}

fn within(made: Expr, kind: &DataType, text: String, lenient: bool) -> Expr {
    match kind {
        DataType::Time32(_) | DataType::Time64(_) => made,
        _ => {
            let (name, of) = (if lenient { WITHIN_YEARS[1] } else { WITHIN_YEARS[0] }, text.clone());
            let function = OfItsType::new(name, move |given| within_years(given, &of, lenient));
            function.with_text(text).call(made)
        }
    }
}

const TIME_TEXT: &str = "time_text";

/// What is beyond the years is an error to the one, and null to the other.
const WITHIN_YEARS: [&str; 2] = ["within_years", "try_within_years"];

fn is_date(kind: &DataType) -> bool {
    matches!(kind, DataType::Date32 | DataType::Date64)
}

fn is_of_a_calendar(kind: &DataType) -> bool {
    is_date(kind) || matches!(kind, DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_))
}

/// `within_years(x)`: x, where it is of the years 1 to 9999. What is beyond them is an error, or null.
fn within_years(given: ColumnarValue, text: &str, lenient: bool) -> Result<ColumnarValue> {
    let made = match &given {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    let Some(first) = beyond(&made)? else { return Ok(given) };
    if !lenient {
        // Some have no text at all.
        let options = FormatOptions::default().with_display_error(false);
        let formatter = ArrayFormatter::try_new(&made, &options)?;
        let value = formatter.value(first).try_to_string();
        let is = value.map_or_else(|_| "is beyond every calendar".to_owned(), |value| format!("is {value}"));
        return exec_err!("`{text}` {is}: a DATE or TIMESTAMP is of the years 1 to 9999");
    }
    let dropped = (0..made.len()).map(|row| Ok(Some(beyond(&made.slice(row, 1))?.is_some())));
    let dropped = dropped.collect::<Result<BooleanArray>>()?;
    let made = nullif(&made, &dropped)?;
    Ok(match given {
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
        ColumnarValue::Array(_) => ColumnarValue::Array(made),
    })
}

/// The first row that is beyond the years; `None` where there is none.
fn beyond(made: &ArrayRef) -> Result<Option<usize>> {
    let (first, last) = (DAYS.0 * SECONDS_OF_A_DAY, (DAYS.1 + 1) * SECONDS_OF_A_DAY - 1);
    let (first, last) = match made.data_type() {
        DataType::Date32 => DAYS,
        DataType::Timestamp(TimeUnit::Second, _) => (first, last),
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (first * 1_000, last * 1_000 + 999)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => (first * 1_000_000, last * 1_000_000 + 999_999),
        // Nanoseconds reach from 1677 to 2262.
        _ => return Ok(None),
    };
    // Most arrays have none: the least and the greatest tell it.
    let (least, greatest) = match made.data_type() {
        DataType::Date32 => {
            let days = made.as_primitive::<Date32Type>();
            (min(days).map(i64::from), max(days).map(i64::from))
        }
        DataType::Date64 => (min(made.as_primitive::<Date64Type>()), max(made.as_primitive::<Date64Type>())),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = made.as_primitive::<TimestampMicrosecondType>();
            (min(times), max(times))
        }
        _ => {
            let counts = cast(made, &DataType::Int64)?;
            (min(counts.as_primitive::<Int64Type>()), max(counts.as_primitive::<Int64Type>()))
        }
    };
    if least.is_none_or(|least| least >= first) && greatest.is_none_or(|greatest| greatest <= last) {
        return Ok(None);
    }
    let counts = match made.data_type() {
        DataType::Date32 => cast(&cast(made, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(made, &DataType::Int64)?,
    };
    let counts = counts.as_primitive::<Int64Type>();
    Ok(counts.iter().position(|count| count.is_some_and(|count| !(first..=last).contains(&count))))
}

/// `time_text(x)`: x with its seconds, where it is a time without; a second 60 is an error, or null. Parts are not added to a
/// text that comes with a format.
fn time_text(given: ColumnarValue, lenient: bool, completes: bool) -> Result<ColumnarValue> {
    let made = match &given {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    let is_whole = |text: &str| match whole(text) {
        None => true,
        Some(Written::Short(_)) => !completes,
        Some(Written::LeapSecond) => false,
    };
    let same = match made.data_type() {
        // What DataFusion asks of the rows that an outer join adds.
        DataType::Null => true,
        DataType::Utf8View => made.as_string_view().iter().flatten().all(is_whole),
        DataType::LargeUtf8 => made.as_string::<i64>().iter().flatten().all(is_whole),
        _ => made.as_string::<i32>().iter().flatten().all(is_whole),
    };
    if same {
        return Ok(given);
    }
    let texts = cast(&made, &DataType::Utf8)?;
    let read = texts.as_string::<i32>().iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match whole(text) {
            Some(Written::Short(whole)) if completes => Ok(Some(whole)),
            Some(Written::LeapSecond) if lenient => Ok(None),
            Some(Written::LeapSecond) => {
                exec_err!("`{text}` has a second 60, which neither TIME nor TIMESTAMP counts")
            }
            Some(Written::Short(_)) | None => Ok(Some(text.to_owned())),
        }
    });
    let read: ArrayRef = Arc::new(read.collect::<Result<StringArray>>()?);
    let read = cast(&read, made.data_type())?;
    Ok(match given {
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&read, 0)?),
        ColumnarValue::Array(_) => ColumnarValue::Array(read),
    })
}

/// A text that Arrow does not read as it is meant.
#[derive(Debug, PartialEq)]
enum Written {
    LeapSecond,
    /// With the seconds and the hour's first digit that it left out.
    Short(String),
}

fn whole(text: &str) -> Option<Written> {
    let bytes = text.as_bytes();
    // Of a date and time the day ends at the tenth byte.
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    if !(digit(colon + 1) && digit(colon + 2)) {
        return None;
    }
    if bytes.get(colon + 3) == Some(&b':') {
        if bytes.get(colon + 4..colon + 6) == Some(b"60") {
            return Some(Written::LeapSecond);
        }
    } else if bytes.get(colon + 3).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let hour = [1, 2].into_iter().find(|digits| {
        let before = colon.checked_sub(digits + 1).and_then(|at| bytes.get(at));
        colon >= 10 + digits
            && matches!(before, Some(b' ' | b'T'))
            && (1..=*digits).all(|back| digit(colon - back))
    })?;
    let has_seconds = bytes.get(colon + 3) == Some(&b':');
    if hour == 2 && has_seconds {
        return None;
    }
    let (day, time) = text.split_at(colon - hour);
    let (clock, rest) = time.split_at(hour + 3);
    let (zero, seconds) = (if hour == 1 { "0" } else { "" }, if has_seconds { "" } else { ":00" });
    Some(Written::Short(format!("{day}{zero}{clock}{seconds}{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_with_what_it_leaves_out() {
        let short = |text: &str| Some(Written::Short(text.to_owned()));
        for (text, read) in [
            ("2026-01-31 12:00", short("2026-01-31 12:00:00")),
            ("2026-01-31T12:00Z", short("2026-01-31T12:00:00Z")),
            ("2026-01-31 12:00+02:00", short("2026-01-31 12:00:00+02:00")),
            ("2026-01-31 9:05", short("2026-01-31 09:05:00")),
            ("2026-01-31 9:05:07.5", short("2026-01-31 09:05:07.5")),
            ("2026-01-31 12:00:00", None),
            ("2026-01-31 12:00:00+02:00", None),
            ("2026-01-31", None),
            ("12:00", None),
            ("2026-01-31 12:0", None),
            ("2026-01-31 12:000", None),
            ("é:00", None),
            ("23:59:60", Some(Written::LeapSecond)),
            ("2026-01-31 23:59:60.5", Some(Written::LeapSecond)),
        ] {
            assert_eq!(whole(text), read, "{text}");
        }
    }
}
