//! A span of time some number of times: `INTERVAL '1 day' * 2`, which DataFusion 55 has not.
//!
//! Each part of an interval is multiplied by the whole number. A half of a month has no length that is the same everywhere, so
//! fractions and quotients are refused.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast as cast_to,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::refused;

/// A product or quotient of a span; `None` of other things.
pub(super) fn product(
    op: &BinaryOperator,
    left: (&Expr, &DataType),
    right: (&Expr, &DataType),
) -> Result<Option<Expr>> {
    let (span, other, times) = match (is_span(left.1), is_span(right.1)) {
        (true, _) => (left, right.1, right.0),
        (false, true) => (right, left.1, left.0),
        (false, false) => return Ok(None),
    };
    if !matches!(op, BinaryOperator::Multiply) || !(other.is_integer() || other.is_null()) {
        return refused(
            format!("`{} {op} {}`: a span of time is multiplied by whole numbers alone", left.0, right.0),
            "compute with its seconds, EXTRACT(EPOCH FROM x), or multiply a smaller one: INTERVAL '1 hour' * 36",
        );
    }
    if let (Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _), Expr::Literal(times, _)) =
        (span.0, times)
        && let ScalarValue::Int64(Some(times)) = times.cast_to(&DataType::Int64)?
    {
        // Written out, so that a date and whole days are a date.
        let made = ScalarValue::IntervalMonthDayNano(Some(interval(*span, times)?));
        return Ok(Some(Expr::Literal(made, None)));
    }
    let times = cast_to(times.clone(), DataType::Int64);
    Ok(Some(ScalarUDF::from(Multiple::new()).call(vec![span.0.clone(), times])))
}

fn is_span(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Duration(_))
}

/// `multiple(span, times)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Multiple {
    signature: Signature,
}

impl Multiple {
    fn new() -> Multiple {
        Multiple { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Multiple {
    fn name(&self) -> &str {
        "multiple"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [spans, times] = arrays.as_slice() else { return internal_err!("multiple of {}", arrays.len()) };
        let times = cast(times, &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let counted = |count: i64, times: i64| count.checked_mul(times).ok_or_else(|| too_long(times));
        let made = match spans.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                each::<IntervalMonthDayNanoType>(spans, times, interval)?
            }
            DataType::Duration(TimeUnit::Second) => each::<DurationSecondType>(spans, times, counted)?,
            DataType::Duration(TimeUnit::Millisecond) => {
                each::<DurationMillisecondType>(spans, times, counted)?
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                each::<DurationMicrosecondType>(spans, times, counted)?
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                each::<DurationNanosecondType>(spans, times, counted)?
            }
            other => return internal_err!("{other} is no span of time"),
        };
        Ok(match args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}

fn each<T: ArrowPrimitiveType>(
    spans: &ArrayRef,
    times: &PrimitiveArray<Int64Type>,
    product: impl Fn(T::Native, i64) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let pairs = spans.as_primitive::<T>().iter().zip(times);
    let made = pairs.map(|(span, times)| match (span, times) {
        (Some(span), Some(times)) => product(span, times).map(Some),
        _ => Ok(None),
    });
    let made = made.collect::<Result<PrimitiveArray<T>>>()?;
    Ok(Arc::new(made))
}

fn interval(span: IntervalMonthDayNano, times: i64) -> Result<IntervalMonthDayNano> {
    let part = |part: i32| {
        let made = i64::from(part).checked_mul(times).and_then(|made| i32::try_from(made).ok());
        made.ok_or_else(|| too_long(times))
    };
    let nanoseconds = span.nanoseconds.checked_mul(times).ok_or_else(|| too_long(times))?;
    Ok(IntervalMonthDayNano::new(part(span.months)?, part(span.days)?, nanoseconds))
}

fn too_long(times: i64) -> DataFusionError {
    exec_datafusion_err!("{times} times the span is more than an interval holds")
}
