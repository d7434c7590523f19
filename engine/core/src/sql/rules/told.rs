//! A function whose errors name the expression that it is of.
//!
//! DataFusion 55 says of `abs(x)` that a number overflows, and not where.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Functions of whole numbers and decimals that may have no result of their type.
const MAY_FAIL: [&str; 8] = ["abs", "ceil", "floor", "round", "trunc", "factorial", "gcd", "lcm"];

/// A function, with the expression as the user has written it.
#[derive(Debug)]
pub(super) struct Told {
    inner: Arc<ScalarUDF>,
    text: String,
    signature: Signature,
}

impl Told {
    /// `None`: a function that says enough.
    pub(super) fn of(inner: &Arc<ScalarUDF>, text: String) -> Option<Told> {
        let signature = Signature::variadic_any(inner.signature().volatility);
        MAY_FAIL.contains(&inner.name()).then(|| Told { inner: inner.clone(), text, signature })
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Told) -> bool {
        (&self.inner, &self.text) == (&other.inner, &other.text)
    }
}

impl Eq for Told {}

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.inner.name(), &self.text).hash(state);
    }
}

impl ScalarUDFImpl for Told {
    /// Of its own type: by default it is none, and then nothing can be sorted by a comparison of the result.
    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        let types: Vec<DataType> = inputs.iter().map(|input| input.data_type()).collect();
        match self.inner.return_type(&types) {
            Ok(result) => Interval::make_unbounded(&result),
            Err(_) => self.inner.evaluate_bounds(inputs),
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
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
        // Of one value for all rows, DataFusion makes a column as long as the rows and takes its first: of no rows there is none.
        if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
            args.number_rows = args.number_rows.max(1);
        }
        self.inner.invoke_with_args(args).map_err(|error| {
            exec_datafusion_err!(
                "`{}` has no result of its type ({}): cast what it is made of to DECIMAL(38,0) or to DOUBLE",
                self.text,
                error.strip_backtrace()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::common::config::ConfigOptions;
    use datafusion::functions::math;

    use super::*;

    #[test]
    fn one_value_for_no_rows_is_one_value() {
        let kind = DataType::Decimal128(10, 2);
        for (function, whole) in [(math::floor(), 900), (math::ceil(), 1000), (math::abs(), 999)] {
            let told = Told::of(&function, "f(x)".to_owned()).unwrap();
            let arg = Arc::new(Field::new("x", kind.clone(), true));
            let asked = ReturnFieldArgs { arg_fields: std::slice::from_ref(&arg), scalar_arguments: &[None] };
            let return_field = told.return_field_from_args(asked).unwrap();
            let value = ColumnarValue::Scalar(ScalarValue::Decimal128(Some(999), 10, 2));
            let made = told.invoke_with_args(ScalarFunctionArgs {
                args: vec![value],
                arg_fields: vec![arg],
                number_rows: 0,
                return_field,
                config_options: Arc::new(ConfigOptions::default()),
            });
            let made = made.unwrap().to_array(1).unwrap();
            let made = ScalarValue::try_from_array(&made, 0).unwrap();
            let ScalarValue::Decimal128(Some(units), _, scale) = made else { panic!("{made:?}") };
            assert_eq!(f64::from(units as i32) / 10f64.powi(i32::from(scale)), f64::from(whole) / 100.0);
        }
    }
}
