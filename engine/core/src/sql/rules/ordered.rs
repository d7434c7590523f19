//! `min` and `max` of floating point numbers by a whole number that is in the same order.
//!
//! DataFusion 55 compares in groups with an order that NaN is not in, so that the last value before a NaN or after it is
//! the greatest and the least. Of numbers with one NaN and one zero, the bits make a whole number of SQL's order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The number of a double, or the double of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    There,
    Back,
}

/// `ordered(x)` and back.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ordered {
    way: Way,
    signature: Signature,
}

impl Ordered {
    pub(super) fn new(way: Way) -> Ordered {
        Ordered { way, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn kind(&self) -> DataType {
        match self.way {
            Way::There => DataType::Int64,
            Way::Back => DataType::Float64,
        }
    }
}

/// Doubles below zero have more bits the less they are: all but the sign are turned.
fn turned(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

impl ScalarUDFImpl for Ordered {
    fn name(&self) -> &str {
        match self.way {
            Way::There => "ordered",
            Way::Back => "from_ordered",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let may_be_null = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.kind(), may_be_null)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return internal_err!("an order of {}", args.args.len()) };
        let is_scalar = matches!(value, ColumnarValue::Scalar(_));
        let values = value.to_array(if is_scalar { 1 } else { args.number_rows })?;
        if values.data_type().is_null() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(&self.kind())?));
        }
        let made: ArrayRef = match self.way {
            Way::There => {
                let doubles = values.as_primitive::<Float64Type>();
                Arc::new(doubles.unary::<_, Int64Type>(|x| turned(x.to_bits() as i64)) as Int64Array)
            }
            Way::Back => {
                let numbers = values.as_primitive::<Int64Type>();
                Arc::new(numbers.unary::<_, Float64Type>(|x| f64::from_bits(turned(x) as u64)) as Float64Array)
            }
        };
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_their_doubles() {
        let doubles = [f64::NEG_INFINITY, -1e300, -1.5, -1e-300, 0.0, 1e-300, 1.5, f64::INFINITY, f64::NAN];
        let numbers = doubles.map(|x| turned(x.to_bits() as i64));
        assert!(numbers.is_sorted());
        for (x, number) in doubles.iter().zip(numbers) {
            assert_eq!(f64::from_bits(turned(number) as u64).to_bits(), x.to_bits());
        }
    }
}
