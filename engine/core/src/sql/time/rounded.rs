//! `date_trunc` and `date_bin`: DataFusion's, without its nanoseconds in between.
//!
//! DataFusion 55 counts in nanoseconds on the way, so that of the year 9999 the one ends with an error and the other gives
//! NULL, and truncates a literal before 1970 towards 1970. Here a literal goes the way of columns, what the nanoseconds do not
//! reach is truncated by its calendar, and a bin that cannot be told is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, Timelike};
use datafusion::common::types::{NativeType, logical_date, logical_string};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::datetime::{date_bin, date_trunc};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, TypeSignatureClass, Volatility,
};

use super::zones::truncated;

/// `date_trunc(unit, time)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateTrunc {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl DateTrunc {
    pub(super) fn new() -> DateTrunc {
        let unit = || Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
        let time = Coercion::new_implicit(
            TypeSignatureClass::Timestamp,
            vec![TypeSignatureClass::Native(logical_string()), TypeSignatureClass::Native(logical_date())],
            NativeType::Timestamp(TimeUnit::Microsecond, None),
        );
        let clock = Coercion::new_exact(TypeSignatureClass::Time);
        let signature = Signature::one_of(
            vec![TypeSignature::Coercible(vec![unit(), time]), TypeSignature::Coercible(vec![unit(), clock])],
            Volatility::Immutable,
        );
        DateTrunc { inner: date_trunc(), signature }
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = matches!(args.args.get(1), Some(ColumnarValue::Scalar(_)));
        if let Some(ColumnarValue::Scalar(value)) = args.args.get(1)
            && matches!(value.data_type(), DataType::Timestamp(..))
        {
            args.args[1] = ColumnarValue::Array(value.to_array()?);
        }
        if let Some(ColumnarValue::Array(times)) = args.args.get_mut(1) {
            *times = with_zero_for_null(times);
        }
        let (unit, times) = (args.args.first().cloned(), args.args.get(1).cloned());
        let found = match (self.inner.invoke_with_args(args), unit, times) {
            (Ok(found), ..) => found,
            (Err(error), Some(ColumnarValue::Scalar(unit)), Some(ColumnarValue::Array(times))) => {
                let unit = unit.try_as_str().flatten().unwrap_or_default().to_lowercase();
                match calendar(&unit, &times)? {
                    Some(found) => ColumnarValue::Array(found),
                    None => return Err(error),
                }
            }
            (Err(error), ..) => return Err(error),
        };
        Ok(match found {
            ColumnarValue::Array(array) if is_scalar && array.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
            }
            found => found,
        })
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// The same times. What is under a null may be the least number there is, as it is after `max` of no rows, and DataFusion
/// subtracts from it.
fn with_zero_for_null(times: &ArrayRef) -> ArrayRef {
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = times.data_type() else { return times.clone() };
    if times.null_count() == 0 {
        return times.clone();
    }
    let given = times.as_primitive::<TimestampMicrosecondType>();
    let values = given.iter().map(Option::unwrap_or_default).collect();
    let made = TimestampMicrosecondArray::new(values, given.nulls().cloned());
    Arc::new(made.with_timezone_opt(zone.clone()))
}

/// Times truncated by the calendar of their zone; `None` for what has none, or another unit.
fn calendar(unit: &str, times: &ArrayRef) -> Result<Option<ArrayRef>> {
    if !matches!(times.data_type(), DataType::Timestamp(..)) {
        return Ok(None);
    }
    let truncate: fn(NaiveDateTime) -> Option<NaiveDateTime> = match unit {
        "year" => |time| midnight(time.with_day(1)?.with_month(1)?),
        "quarter" => |time| midnight(time.with_day(1)?.with_month0(time.month0() / 3 * 3)?),
        "month" => |time| midnight(time.with_day(1)?),
        "week" => |time| {
            let past = u64::from(time.weekday().num_days_from_monday());
            midnight(time.checked_sub_days(Days::new(past))?)
        },
        "day" => midnight,
        "hour" => |time| time.with_minute(0)?.with_second(0)?.with_nanosecond(0),
        _ => return Ok(None),
    };
    truncated(times, truncate).map(Some)
}

fn midnight(time: NaiveDateTime) -> Option<NaiveDateTime> {
    NaiveDate::and_hms_opt(&time.date(), 0, 0, 0)
}

/// `date_bin(interval, time, origin)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateBin(Arc<ScalarUDF>);

impl DateBin {
    pub(super) fn new() -> DateBin {
        DateBin(date_bin())
    }
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let given: Vec<ColumnarValue> = args.args.clone();
        let found = self.0.invoke_with_args(args)?;
        let bins = found.to_array(rows)?;
        if bins.null_count() > 0 {
            let given = given.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
            let lost = |row: &usize| bins.is_null(*row) && given.iter().all(|value| value.is_valid(*row));
            if let Some(row) = (0..bins.len()).find(lost) {
                let time = given.get(1).map(|times| ScalarValue::try_from_array(times, row)).transpose()?;
                let time = time.map(|time| time.to_string()).unwrap_or_default();
                return exec_err!(
                    "date_bin of {time}: it counts in nanoseconds, which reach from 1677 to 2262; date_trunc reaches further"
                );
            }
        }
        Ok(found)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.0.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}
