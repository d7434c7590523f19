//! Decimals as doubles: the double next to the decimal.
//!
//! Arrow 59 makes a double of the digits and divides it by the power of ten, which rounds twice where the digits pass 2^53 or
//! the power 10^22: `CAST('1.1' AS DECIMAL(38,25))` is not 1.1 then.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type};
use arrow::error::ArrowError;

/// Up to here whole numbers, and powers of ten, are doubles.
const EXACT: u128 = 1 << 53;
const EXACT_POWER: i8 = 22;

/// Decimals of so many digits are rounded once by Arrow too.
const FEW_DIGITS: u8 = 15;

/// Whether decimals of this type are doubles by division.
pub(super) fn is_rounded_twice(kind: &DataType) -> bool {
    match kind {
        DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _) => *digits > FEW_DIGITS,
        _ => false,
    }
}

/// A column of decimals as doubles.
pub(super) fn doubles(given: &dyn Array) -> Result<ArrayRef, ArrowError> {
    Ok(match given.data_type() {
        DataType::Decimal128(_, scale) => {
            let divisor = (0..=EXACT_POWER).contains(scale).then(|| 10f64.powi(i32::from(*scale)));
            Arc::new(given.as_primitive::<Decimal128Type>().unary::<_, Float64Type>(|value| match divisor {
                Some(divisor) if value.unsigned_abs() <= EXACT => value as f64 / divisor,
                _ => read(value, *scale),
            }))
        }
        DataType::Decimal256(_, scale) => {
            let read = |value: <Decimal256Type as ArrowPrimitiveType>::Native| read(value, *scale);
            Arc::new(given.as_primitive::<Decimal256Type>().unary::<_, Float64Type>(read)) as ArrayRef
        }
        _ => cast(given, &DataType::Float64)?,
    })
}

/// As it is read from text, which is rounded once.
fn read(value: impl std::fmt::Display, scale: i8) -> f64 {
    // Digits with an exponent are always a number.
    format!("{value}e{}", -i16::from(scale)).parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array};

    use super::*;

    #[test]
    fn a_decimal_is_the_double_that_is_next_to_it() {
        // Python: float(decimal.Decimal(text)).
        for (text, value, scale, double) in [
            ("1.1", 11 * 10i128.pow(24), 25, 1.1),
            ("12345678901234567.89", 1_234_567_890_123_456_789, 2, 12_345_678_901_234_567.89),
            ("0.3", 3 * 10i128.pow(19), 20, 0.3),
            ("-9.99", -999, 2, -9.99),
            ("1e-38", 1, 38, 1e-38),
            ("9007199254740993", 9_007_199_254_740_993, 0, 9_007_199_254_740_992.0),
        ] {
            let column = Decimal128Array::from(vec![Some(value), None]).with_precision_and_scale(38, scale);
            let made = doubles(&column.unwrap()).unwrap();
            assert_eq!(made.as_ref(), &Float64Array::from(vec![Some(double), None]), "{text}");
        }
    }
}
