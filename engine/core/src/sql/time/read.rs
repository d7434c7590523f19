//! `to_timestamp`: text, or seconds since 1970, as a TIMESTAMP.
//!
//! DataFusion's gives nanoseconds, which end in 2262. This one gives microseconds, by way of its others.

use std::sync::Arc;

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
use chrono::NaiveTime;
use chrono::format::{Parsed, StrftimeItems, parse};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime::{to_timestamp, to_timestamp_micros, to_timestamp_seconds};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToTimestamp {
    nanoseconds: Arc<ScalarUDF>,
    of_text: Arc<ScalarUDF>,
    of_seconds: Arc<ScalarUDF>,
}

impl ToTimestamp {
    pub(super) fn new() -> ToTimestamp {
        // Without a zone.
        let config = ConfigOptions::default();
        ToTimestamp {
            nanoseconds: to_timestamp(&config),
            of_text: to_timestamp_micros(&config),
            of_seconds: to_timestamp_seconds(&config),
        }
    }
}

/// Texts by the first format that fits, of which DataFusion has found a time that nanoseconds do not hold. `None`: one fits no
/// format.
fn by_formats(values: &[ColumnarValue], rows: usize) -> Result<Option<ColumnarValue>> {
    let texts = values.iter().map(|value| cast(&value.to_array(rows)?, &DataType::Utf8).map_err(Into::into));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let Some((texts, formats)) = texts.split_first() else { return Ok(None) };
    let mut times = TimestampMicrosecondArray::builder(rows);
    for row in 0..rows {
        if texts.is_null(row) {
            times.append_null();
            continue;
        }
        let text = texts.as_string::<i32>().value(row);
        let mut formats = formats.iter().filter(|format| format.is_valid(row));
        match formats.find_map(|format| moment(text, format.as_string::<i32>().value(row))) {
            Some(micros) => times.append_value(micros),
            None => return Ok(None),
        }
    }
    let times = times.finish();
    Ok(Some(match values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_))) {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?),
        false => ColumnarValue::Array(Arc::new(times)),
    }))
}

/// Microseconds since 1970, as DataFusion reads a text.
fn moment(text: &str, format: &str) -> Option<i64> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, StrftimeItems::new(format)).ok()?;
    let time = match parsed.to_datetime() {
        Ok(time) => time.naive_utc(),
        Err(_) => match parsed.to_naive_datetime_with_offset(0) {
            Ok(time) => time,
            Err(_) => parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN),
        },
    };
    Some(time.and_utc().timestamp_micros())
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        self.nanoseconds.name()
    }

    fn signature(&self) -> &Signature {
        self.nanoseconds.signature()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
        if let [text] = args.args.as_slice()
            && text.data_type().is_string()
        {
            return text.cast_to(&kind, Some(&exact));
        }
        let (given, unit) = match args.args.first().map(ColumnarValue::data_type) {
            Some(kind) if kind.is_string() => (&self.of_text, TimeUnit::Microsecond),
            Some(kind) if kind.is_integer() => (&self.of_seconds, TimeUnit::Second),
            _ => (&self.nanoseconds, TimeUnit::Nanosecond),
        };
        args.return_field = Arc::new(Field::new(self.name(), DataType::Timestamp(unit, None), true));
        let values = args.args.clone();
        let found = match given.invoke_with_args(args) {
            Err(error) if unit == TimeUnit::Microsecond && error.to_string().contains("nanoseconds") => {
                return by_formats(&values, rows)?.ok_or(error);
            }
            found => found?,
        };
        let times = cast_with_options(&found.to_array(rows)?, &kind, &exact)?;
        Ok(match found {
            ColumnarValue::Scalar(_) if times.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?)
            }
            _ => ColumnarValue::Array(times),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.nanoseconds.documentation()
    }
}
