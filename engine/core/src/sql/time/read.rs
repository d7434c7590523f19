//! `to_timestamp`: text, or seconds since 1970, as a TIMESTAMP.
//!
//! DataFusion's gives nanoseconds, which end in 2262. This one gives microseconds, by way of its others.

use std::sync::Arc;

use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, TimeUnit};
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
        let found = given.invoke_with_args(args)?;
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
