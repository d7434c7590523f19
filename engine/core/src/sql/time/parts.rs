//! `date_part` and EXTRACT: DataFusion's, but for a comparison that loses rows.
//!
//! Of a difference of times DataFusion 55 gives all hours for HOUR, where PostgreSQL and DuckDB give those beyond its days, and
//! NULL for the EPOCH of one of 300 years; of an interval a year of 360 days for EPOCH, where they have 365.25. These are
//! counted here. It also makes `EXTRACT(YEAR FROM x) < 9999` a comparison of x with the first moment of that year. Nanoseconds have
//! none, which it takes for NULL, and every row is lost (apache/datafusion#25135): such a comparison stays as it is written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, FieldRef, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::functions::datetime::date_part;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DatePart(Arc<ScalarUDF>);

impl DatePart {
    pub(super) fn new() -> DatePart {
        DatePart(date_part())
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [ColumnarValue::Scalar(part), spans] = args.args.as_slice()
            && let Some(part) = part.try_as_str().flatten().and_then(Part::of)
            && let Some(found) = of_spans(part, spans, args.number_rows)?
        {
            return Ok(found);
        }
        let rows = args.number_rows;
        let given = args.args.get(1).cloned();
        let found = self.0.invoke_with_args(args)?;
        let lost = match (&given, &found) {
            (Some(ColumnarValue::Scalar(given)), ColumnarValue::Scalar(found)) => {
                found.is_null() && !given.is_null()
            }
            (Some(ColumnarValue::Array(given)), ColumnarValue::Array(found)) => {
                found.logical_null_count() > given.logical_null_count()
            }
            (Some(given), found) => {
                found.to_array(rows)?.logical_null_count() > given.to_array(rows)?.logical_null_count()
            }
            (None, _) => false,
        };
        match lost {
            true => exec_err!("date_part of a time that is out of its range"),
            false => Ok(found),
        }
    }

    fn preimage(&self, args: &[Expr], literal: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        Ok(match self.0.preimage(args, literal, info)? {
            PreimageResult::Range { interval, .. }
                if interval.lower().is_null() || interval.upper().is_null() =>
            {
                PreimageResult::None
            }
            found => found,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

/// Parts of a difference of times, and EPOCH of an interval too.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Epoch,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
}

impl Part {
    fn of(name: &str) -> Option<Part> {
        Some(match name.trim_matches(['\'', '"']).to_lowercase().as_str() {
            "epoch" => Part::Epoch,
            "day" | "days" => Part::Day,
            "hour" | "hours" => Part::Hour,
            "minute" | "minutes" => Part::Minute,
            "second" | "seconds" => Part::Second,
            "millisecond" | "milliseconds" => Part::Millisecond,
            "microsecond" | "microseconds" => Part::Microsecond,
            _ => return None,
        })
    }
}

/// A part of spans; `None` where DataFusion's is right.
fn of_spans(part: Part, given: &ColumnarValue, rows: usize) -> Result<Option<ColumnarValue>> {
    let kind = given.data_type();
    let per_second: i64 = match &kind {
        DataType::Duration(TimeUnit::Second) => 1,
        DataType::Duration(TimeUnit::Millisecond) => 1_000,
        DataType::Duration(TimeUnit::Microsecond) => 1_000_000,
        DataType::Duration(TimeUnit::Nanosecond) => 1_000_000_000,
        DataType::Interval(IntervalUnit::MonthDayNano) if part == Part::Epoch => 1,
        _ => return Ok(None),
    };
    let spans = given.to_array(rows)?;
    let found: ArrayRef = if let Some(intervals) = spans.as_primitive_opt::<IntervalMonthDayNanoType>() {
        Arc::new(intervals.unary::<_, Float64Type>(|span| {
            let days = f64::from(span.months / 12) * 365.25 + f64::from(span.months % 12) * 30.0;
            (days + f64::from(span.days)) * 86_400.0 + span.nanoseconds as f64 / 1e9
        }))
    } else {
        let counts = cast(&spans, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        match part {
            Part::Epoch => Arc::new(counts.unary::<_, Float64Type>(|count| {
                // Whole seconds apart, which a double holds exactly for longer than microseconds.
                (count / per_second) as f64 + (count % per_second) as f64 / per_second as f64
            })),
            part => Arc::new(counts.try_unary::<_, Int32Type, DataFusionError>(|count| {
                let seconds = count / per_second;
                let of_minute = || i128::from(count % (60 * per_second));
                let value = match part {
                    Part::Day => i128::from(seconds / 86_400),
                    Part::Hour => i128::from(seconds / 3_600 % 24),
                    Part::Minute => i128::from(seconds / 60 % 60),
                    Part::Millisecond => of_minute() * 1_000 / i128::from(per_second),
                    Part::Microsecond => of_minute() * 1_000_000 / i128::from(per_second),
                    Part::Second | Part::Epoch => i128::from(seconds % 60),
                };
                i32::try_from(value)
                    .map_err(|_| exec_datafusion_err!("{value} days are more than an INT holds"))
            })?),
        }
    };
    Ok(Some(match given {
        ColumnarValue::Scalar(_) if found.len() == 1 => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)
        }
        _ => ColumnarValue::Array(found),
    }))
}
