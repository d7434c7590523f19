//! Numbers of text cells, held exactly or not at all.
//!
//! Arrow's readers cut off what a type has no room for: `1.005` as DECIMAL(10,2) is 1.00, a fraction as INT its whole
//! part, and `1e400` as DOUBLE is infinite. Here such a cell is none of its type, and what is wrong with it is told. Zeros
//! behind the last digit are no digits: `1.500` is a DECIMAL(10,2). A DOUBLE is the one next to the text, as everywhere;
//! it may be `inf` or `nan`, where the text says so.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::moment;
use super::strict::words;

/// Why a text is no number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is none at all, or not a whole one where that is asked for.
    NoNumber,
    /// It has more decimals than the type.
    TooFine,
    /// It is beyond the greatest or the least one.
    TooGreat,
}

impl Unfit {
    /// What is wrong with a cell.
    pub(super) fn tell(self, cell: &str, kind: &DataType) -> String {
        let kind = words(kind);
        match self {
            Unfit::NoNumber => format!("`{cell}` is no {kind}"),
            Unfit::TooFine => format!("`{cell}` has more decimals than {kind} holds"),
            Unfit::TooGreat => format!("`{cell}` is too great for {kind}"),
        }
    }
}

/// Whether [`parsed`] knows the type.
pub(super) fn is_number(kind: &DataType) -> bool {
    matches!(kind, DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal128(..))
}

/// The cells as numbers, and the rows of those that are none (there the number is 0).
///
/// # Errors
/// The type is none that [`is_number`] or [`moment::is_moment`] has.
pub(super) fn parsed(
    cells: &StringArray,
    kind: &DataType,
) -> Result<(ArrayRef, Vec<(usize, Unfit)>), ArrowError> {
    match kind {
        DataType::Int32 => Ok(numbers::<Int32Type>(cells, |text| {
            whole(text).and_then(|value| i32::try_from(value).map_err(|_| Unfit::TooGreat))
        })),
        DataType::Int64 => Ok(numbers::<Int64Type>(cells, whole)),
        DataType::Float64 => Ok(numbers::<Float64Type>(cells, double)),
        DataType::Decimal128(precision, scale) => {
            let (found, bad) = values(cells, |text| decimal(text, *precision, *scale));
            let found = Decimal128Array::try_new(found.into(), cells.nulls().cloned())?;
            Ok((Arc::new(found.with_precision_and_scale(*precision, *scale)?), bad))
        }
        DataType::Date32 => Ok(numbers::<Date32Type>(cells, moment::date)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Ok(numbers::<TimestampMicrosecondType>(cells, moment::timestamp))
        }
        other => Err(ArrowError::NotYetImplemented(format!("numbers of the type {other}"))),
    }
}

fn numbers<T: ArrowPrimitiveType>(
    cells: &StringArray,
    number: impl Fn(&str) -> Result<T::Native, Unfit>,
) -> (ArrayRef, Vec<(usize, Unfit)>) {
    let (found, bad) = values(cells, number);
    (Arc::new(PrimitiveArray::<T>::new(found.into(), cells.nulls().cloned())), bad)
}

fn values<N: Default>(
    cells: &StringArray,
    number: impl Fn(&str) -> Result<N, Unfit>,
) -> (Vec<N>, Vec<(usize, Unfit)>) {
    let mut bad = Vec::new();
    let cell = |row| if cells.is_null(row) { Ok(N::default()) } else { number(cells.value(row)) };
    let mut found = |row| {
        cell(row).unwrap_or_else(|unfit| {
            bad.push((row, unfit));
            N::default()
        })
    };
    let found = (0..cells.len()).map(&mut found).collect();
    (found, bad)
}

/// Whether an infinite double is in a column.
pub(super) fn has_infinite(cells: &ArrayRef) -> bool {
    let doubles = cells.as_primitive_opt::<Float64Type>();
    doubles.is_some_and(|doubles| doubles.values().iter().any(|value| value.is_infinite()))
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn double(text: &str) -> Result<f64, Unfit> {
    match text.trim_ascii().parse::<f64>() {
        Ok(value) if value.is_infinite() && has_digit(text) => Err(Unfit::TooGreat),
        Ok(value) => Ok(value),
        Err(_) => Err(Unfit::NoNumber),
    }
}

/// A whole number, also where it is written `1.0` or `1e3`, as JSON may have it.
fn whole(text: &str) -> Result<i64, Unfit> {
    text.trim_ascii().parse::<i64>().or_else(|_| match decimal(text, MOST_DIGITS, 0) {
        Ok(value) => i64::try_from(value).map_err(|_| Unfit::TooGreat),
        Err(Unfit::TooFine) => Err(Unfit::NoNumber),
        Err(unfit) => Err(unfit),
    })
}

/// The digits that a DECIMAL has at most.
const MOST_DIGITS: u8 = 38;

/// The powers of ten that fit.
const POWERS: [i128; MOST_DIGITS as usize + 1] = {
    let mut powers = [1; MOST_DIGITS as usize + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A number in units of its last decimal.
fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Unfit> {
    let text = text.trim_ascii().as_bytes();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let value = match short(digits, scale) {
        Some(value) => value,
        None => long(digits, scale)?,
    };
    let limit = POWERS.get(usize::from(precision)).copied().unwrap_or(i128::MAX);
    match value < limit {
        true => Ok(if negative { -value } else { value }),
        false => Err(Unfit::TooGreat),
    }
}

/// Digits and a point that are few enough for a machine word, as nearly all are; `None` is for [`long`] to say.
fn short(text: &[u8], scale: i8) -> Option<i128> {
    if text.len() > 18 {
        return None;
    }
    let (mut value, mut decimals, mut point) = (0_u64, 0_usize, false);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + u64::from(digit);
            decimals += usize::from(point);
        } else if *byte == b'.' && !point {
            point = true;
        } else {
            return None;
        }
    }
    if text.len() == usize::from(point) {
        return None;
    }
    let zeros = usize::try_from(scale).ok()?.checked_sub(decimals)?;
    // The value has at most 18 digits.
    (zeros <= 20).then(|| i128::from(value) * POWERS[zeros])
}

/// Any number, `1.5e-3` too.
fn long(text: &[u8], scale: i8) -> Result<i128, Unfit> {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        None => (text, 0),
        Some(at) => {
            let exponent =
                std::str::from_utf8(&text[at + 1..]).ok().and_then(|text| text.parse::<i32>().ok());
            (&text[..at], i64::from(exponent.ok_or(Unfit::NoNumber)?))
        }
    };
    // Zeros count once another digit is behind them; more digits than any type has are not held, but counted.
    let (mut value, mut held, mut zeros, mut decimals, mut digits, mut point) =
        (0_i128, 0, 0_i64, 0_i64, 0, false);
    for byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                decimals += i64::from(point);
                if *byte == b'0' {
                    zeros += i64::from(held > 0);
                    continue;
                }
                held += zeros + 1;
                if held <= i64::from(MOST_DIGITS) {
                    value = value * POWERS[zeros as usize + 1] + i128::from(byte - b'0');
                }
                zeros = 0;
            }
            b'.' if !point => point = true,
            _ => return Err(Unfit::NoNumber),
        }
    }
    if digits == 0 {
        return Err(Unfit::NoNumber);
    }
    if held == 0 {
        return Ok(0);
    }
    let shift = i64::from(scale) + exponent + zeros - decimals;
    if held + shift > i64::from(MOST_DIGITS) {
        return Err(Unfit::TooGreat);
    }
    match usize::try_from(shift) {
        Ok(shift) => Ok(value * POWERS[shift]),
        Err(_) => Err(Unfit::TooFine),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decimal_is_exact_or_refused() {
        use Unfit::{NoNumber, TooFine, TooGreat};
        for (text, expected) in [
            ("1.005", Err(TooFine)),
            ("1.5000000000000000000000000000000000000000000000", Ok(150)),
            ("-0.07", Ok(-7)),
            ("+3", Ok(300)),
            (" 3. ", Ok(300)),
            (".5", Ok(50)),
            ("-.50", Ok(-50)),
            ("1.5e1", Ok(1500)),
            ("1500E-3", Ok(150)),
            ("1e-3", Err(TooFine)),
            ("0e99", Ok(0)),
            ("0.000000000000000000000000000000000000000000000000", Ok(0)),
            ("00000000000000000000000000000000000000000000000001", Ok(100)),
            ("99999999.99", Ok(9_999_999_999)),
            ("-99999999.99", Ok(-9_999_999_999)),
            ("100000000", Err(TooGreat)),
            ("100000000.001", Err(TooFine)),
            ("1e30", Err(TooGreat)),
            ("1e2000000000", Err(TooGreat)),
            ("1e3000000000", Err(NoNumber)),
            ("1234567890123456789012345678901234567890123", Err(TooGreat)),
            ("0.1234567890123456789012345678901234567890123", Err(TooFine)),
            ("", Err(NoNumber)),
            (" ", Err(NoNumber)),
            ("-", Err(NoNumber)),
            (".", Err(NoNumber)),
            ("e5", Err(NoNumber)),
            ("1e", Err(NoNumber)),
            ("1.2.3", Err(NoNumber)),
            ("--1", Err(NoNumber)),
            ("1,5", Err(NoNumber)),
            ("inf", Err(NoNumber)),
            ("nan", Err(NoNumber)),
        ] {
            assert_eq!(decimal(text, 10, 2), expected, "`{text}`");
        }
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Ok(POWERS[38] - 1));
        assert_eq!(decimal(&format!("-0.{}", "9".repeat(38)), 38, 38), Ok(1 - POWERS[38]));
        assert_eq!(decimal("1", 38, 38), Err(TooGreat));
    }

    #[test]
    fn whole_numbers_and_doubles() {
        assert_eq!([whole("12"), whole("-1e3"), whole("1.0")], [Ok(12), Ok(-1000), Ok(1)]);
        assert_eq!([whole("1.5"), whole("x")], [Err(Unfit::NoNumber); 2]);
        assert_eq!(whole("9223372036854775808"), Err(Unfit::TooGreat));
        assert_eq!((double("1e400"), double("-1e400")), (Err(Unfit::TooGreat), Err(Unfit::TooGreat)));
        assert_eq!((double("-inf"), double(" 0.5")), (Ok(f64::NEG_INFINITY), Ok(0.5)));
        assert!(double("NaN").is_ok_and(f64::is_nan));
        let cells = StringArray::from(vec![Some("7"), None, Some("3000000000")]);
        let (found, bad) = parsed(&cells, &DataType::Int32).unwrap();
        assert_eq!((found.null_count(), bad), (1, vec![(2, Unfit::TooGreat)]));
    }

    proptest! {
        /// However many zeros and whatever exponent a number is written with, it is the same.
        #[test]
        fn a_number_is_the_same_in_every_writing(
            units in -999_999_999_999_999_999i64..=999_999_999_999_999_999,
            before in 0usize..30,
            behind in 0usize..30,
        ) {
            let (sign, digits) = (if units < 0 { "-" } else { "" }, format!("{:019}", units.unsigned_abs()));
            let (whole, part) = digits.split_at(digits.len() - 4);
            let plain = format!("{sign}{}{whole}.{part}{}", "0".repeat(before), "0".repeat(behind));
            prop_assert_eq!(decimal(&plain, 20, 4), Ok(i128::from(units)));
            let moved = format!("{sign}{digits}{}e-{}", "0".repeat(behind), behind + 4);
            prop_assert_eq!(decimal(&moved, 20, 4), Ok(i128::from(units)));
        }
    }
}
