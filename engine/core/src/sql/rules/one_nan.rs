//! One NaN and one zero.
//!
//! DataFusion 55 compares, sorts, groups and joins doubles by their bits (IEEE 754, totalOrder; apache/datafusion#22490): -0.0 is not 0.0, and the NaN
//! that an x86 processor makes of 0 / 0 has a sign, so that it is less than every number and not equal to the NaN that is
//! read from text. SQL has one zero and one NaN, which is equal to itself and greater than every number (PostgreSQL and
//! DuckDB have it so). Hence whatever may make the others, arithmetic and reading, is taken through this.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::of_its_type::OfItsType;

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

pub(super) const ONE_NAN: &str = "one_nan";

impl OfItsType {
    /// `one_nan(x)`: x, but 0.0 for -0.0 and the positive quiet NaN for any NaN.
    pub(crate) fn one_nan() -> OfItsType {
        OfItsType::new(ONE_NAN, |value| {
            Ok(match value {
                ColumnarValue::Array(values) => ColumnarValue::Array(one_nan(values)),
                ColumnarValue::Scalar(value) => ColumnarValue::Scalar(one_nan_scalar(value)),
            })
        })
    }
}

/// A column of floating point numbers with one NaN and one zero; any other as it is.
pub(crate) fn one_nan(values: ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float64 => changed::<Float64Type>(
            values,
            |x| x.is_nan() || x.to_bits() == (-0.0f64).to_bits(),
            |x| if x.is_nan() { f64::NAN } else { x + 0.0 },
        ),
        DataType::Float32 => changed::<Float32Type>(
            values,
            |x| x.is_nan() || x.to_bits() == (-0.0f32).to_bits(),
            |x| if x.is_nan() { f32::NAN } else { x + 0.0 },
        ),
        DataType::Float16 => changed::<Float16Type>(
            values,
            |x| x.is_nan() || x.to_bits() == F16::NEG_ZERO.to_bits(),
            |x| if x.is_nan() { F16::NAN } else { x + F16::ZERO },
        ),
        _ => values,
    }
}

fn changed<T: ArrowPrimitiveType>(
    values: ArrayRef,
    is_odd: impl Fn(T::Native) -> bool,
    change: impl Fn(T::Native) -> T::Native,
) -> ArrayRef {
    // Hardly any column has one: looking is cheaper than a copy.
    let all = values.as_primitive::<T>().values();
    if !all.iter().fold(false, |found, value| found | is_odd(*value)) {
        return values;
    }
    let array: PrimitiveArray<T> = values.as_primitive::<T>().clone();
    drop(values);
    Arc::new(match array.unary_mut(&change) {
        Ok(in_place) => in_place,
        Err(shared) => shared.unary(&change),
    })
}

/// The same of one value.
pub(super) fn one_nan_scalar(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(x)) if x.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        ScalarValue::Float64(Some(x)) => ScalarValue::Float64(Some(x + 0.0)),
        ScalarValue::Float32(Some(x)) if x.is_nan() => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float32(Some(x)) => ScalarValue::Float32(Some(x + 0.0)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn zeros_and_nans_have_one_form_each() {
        let values = [-0.0, 0.0, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001), 1.5, f64::NEG_INFINITY];
        let expected = [0.0, 0.0, f64::NAN, f64::NAN, 1.5, f64::NEG_INFINITY];
        let column: ArrayRef = Arc::new(Float64Array::from_iter_values(values).slice(0, 6));
        // Shared with somebody: not in place.
        let made = one_nan(column.clone());
        let bits = |x: f64| x.to_bits();
        let found: Vec<u64> = made.as_primitive::<Float64Type>().values().iter().copied().map(bits).collect();
        assert_eq!(found, expected.map(bits));
        assert_eq!(column.as_primitive::<Float64Type>().value(0).to_bits(), bits(-0.0));
    }
}
