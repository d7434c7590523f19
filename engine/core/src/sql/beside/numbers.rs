//! Decimals beside doubles.
//!
//! DataFusion 55 makes a double beside a decimal a DECIMAL(30,15) (apache/datafusion#14272): 1e-20 is 0 then, and NaN an error. Here a decimal beside a
//! double is a double, in comparisons and in results, as in PostgreSQL and DuckDB. A double that is written out in few digits
//! is the decimal that it says, as it is there: `price > 9.99` compares decimals, and `coalesce(price, 0.0)` is one.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast};

/// A double has about so many digits: one that is written with more is not the number that was written.
const MOST_DIGITS: usize = 17;

/// Behind the point a decimal has at most so many digits where DataFusion makes one of a double. One with more, 1e-20, was
/// hardly meant as a decimal.
const MOST_DECIMALS: usize = 15;

/// Makes decimals doubles where there are doubles among the rest, or the doubles decimals where they are literals of few
/// digits. `kinds` are the types of the parts.
pub(super) fn as_numbers(parts: &mut [&mut Expr], kinds: &[DataType]) -> bool {
    let is_mixed = kinds.iter().any(DataType::is_decimal) && kinds.iter().any(DataType::is_floating);
    if !is_mixed || !kinds.iter().all(|kind| kind.is_numeric() || kind.is_null()) {
        return false;
    }
    if let Some(literals) = as_decimals(parts, kinds) {
        for (part, literal) in parts.iter_mut().zip(literals) {
            if let Some(literal) = literal {
                **part = literal;
            }
        }
        return true;
    }
    for (part, _) in parts.iter_mut().zip(kinds).filter(|(_, kind)| kind.is_decimal()) {
        **part = cast(std::mem::take(*part), DataType::Float64);
    }
    true
}

/// The doubles among the parts as decimals; `None` where one cannot be, or if all had no room in one type.
fn as_decimals(parts: &[&mut Expr], kinds: &[DataType]) -> Option<Vec<Option<Expr>>> {
    let (mut whole, mut scale) = (0, 0);
    for kind in kinds {
        let (digits, decimals) = match kind {
            DataType::Decimal32(digits, decimals)
            | DataType::Decimal64(digits, decimals)
            | DataType::Decimal128(digits, decimals) => (i16::from(*digits), i16::from(*decimals)),
            DataType::Decimal256(..) => return None,
            kind if kind.is_integer() => (20, 0),
            _ => continue,
        };
        whole = whole.max(digits - decimals);
        scale = scale.max(decimals);
    }
    let mut literals = Vec::with_capacity(parts.len());
    for part in parts {
        let literal = match &**part {
            Expr::Literal(ScalarValue::Float64(Some(double)), _) => Some(written(*double)?),
            _ => None,
        };
        literals.push(literal);
    }
    let doubles = kinds.iter().filter(|kind| kind.is_floating()).count();
    if literals.iter().flatten().count() != doubles {
        return None;
    }
    for (_, decimals, digits) in literals.iter().flatten() {
        whole = whole.max(i16::from(*digits) - i16::from(*decimals));
        scale = scale.max(i16::from(*decimals));
    }
    if whole + scale > i16::from(DECIMAL128_MAX_PRECISION) {
        return None;
    }
    // In the type of all, none of the others is cast if it is of it already.
    let precision = u8::try_from((whole + scale).max(1)).ok()?;
    let made = literals.into_iter().map(|literal| {
        let Some((value, decimals, _)) = literal else { return Some(None) };
        let value =
            value.checked_mul(10i128.checked_pow(u32::try_from(scale - i16::from(decimals)).ok()?)?)?;
        let value = ScalarValue::Decimal128(Some(value), precision, i8::try_from(scale).ok()?);
        Some(Some(Expr::Literal(value, None)))
    });
    made.collect()
}

/// A double as it is written: in units of its last decimal, how many of those there are, and its digits.
fn written(double: f64) -> Option<(i128, i8, u8)> {
    if !double.is_finite() {
        return None;
    }
    let text = double.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('-').trim_start_matches('0').len() + part.len();
    if digits > MOST_DIGITS || part.len() > MOST_DECIMALS {
        return None;
    }
    let value = format!("{whole}{part}").parse().ok()?;
    Some((value, i8::try_from(part.len()).ok()?, u8::try_from(digits.max(1)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_of_few_digits_is_the_decimal_that_is_written() {
        assert_eq!(written(0.1), Some((1, 1, 1)));
        assert_eq!(written(-9.99), Some((-999, 2, 3)));
        assert_eq!(written(0.0), Some((0, 0, 1)));
        assert_eq!(written(-0.0), Some((0, 0, 1)));
        assert_eq!(written(0.005), Some((5, 3, 3)));
        assert_eq!(written(1e15), Some((1_000_000_000_000_000, 0, 16)));
        for odd in [1e-20, 1e30, f64::NAN, f64::INFINITY, 0.1 + 0.2] {
            assert_eq!(written(odd), None, "{odd}");
        }
    }

    #[test]
    fn all_are_of_one_type_that_holds_them() {
        use DataType::{Decimal128, Float64};
        let literal = |double: f64| Expr::Literal(ScalarValue::Float64(Some(double)), None);
        let of = |double: f64, kind: DataType| {
            let (mut price, mut value) = (datafusion::logical_expr::col("price"), literal(double));
            assert!(as_numbers(&mut [&mut price, &mut value], &[kind, Float64]));
            (price.to_string(), value.to_string())
        };
        let (price, value) = of(9.9, Decimal128(10, 2));
        assert_eq!((price.as_str(), value.as_str()), ("price", "Decimal128(9.90,10,2)"));
        let (price, value) = of(0.555, Decimal128(10, 2));
        assert_eq!((price.as_str(), value.as_str()), ("price", "Decimal128(0.555,11,3)"));
        for (double, kind) in
            [(1e-20, Decimal128(5, 0)), (f64::NAN, Decimal128(5, 0)), (0.5, Decimal128(38, 0))]
        {
            let (price, value) = of(double, kind);
            assert_eq!((price.as_str(), value), ("CAST(price AS Float64)", literal(double).to_string()));
        }
    }
}
