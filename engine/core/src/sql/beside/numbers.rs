//! Decimals beside doubles.
//!
//! DataFusion 55 makes a double beside a decimal a DECIMAL(30,15) (apache/datafusion#14272): 1e-20 is 0 then, and NaN an error. Here a decimal beside a
//! double is a double, in comparisons and in results, as in PostgreSQL and DuckDB. A double that is written out in few digits,
//! or computed of such and of decimals, is a decimal ([`exact`](super::exact)), as it is there: `price > 9.99` and
//! `tax = discount + 0.01` compare decimals, and `coalesce(price, 0.0)` is one.

use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, i256};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{Expr, cast};

use super::exact::{Around, exact, precision};

/// What the parts are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// They are compared with each other.
    Compared,
    /// Each may be the result.
    Result,
}

/// Makes decimals doubles where there are doubles among the rest, or the doubles decimals where they are of few digits.
/// `kinds` are the types of the parts.
pub(super) fn as_numbers(
    parts: &mut [&mut Expr],
    kinds: &[DataType],
    around: &Around<'_>,
    used: Use,
) -> bool {
    if !kinds.iter().all(|kind| kind.is_numeric() || kind.is_null()) {
        return false;
    }
    let is_double = kinds.iter().any(DataType::is_floating);
    let has_room = used != Use::Compared || !have_no_room(kinds);
    if !is_double && has_room {
        return false;
    }
    let is_mixed = kinds.iter().any(DataType::is_decimal);
    // A decimal may be in what is computed only: `price - 0.5 = 0.25`.
    let is_computed = |part: &&mut Expr| !matches!(**part, Expr::Column(_) | Expr::Literal(..));
    if !is_mixed && (used == Use::Result || !parts.iter().any(is_computed)) {
        return false;
    }
    if let Some(made) = as_decimals(parts, kinds, around, used) {
        for (part, made) in parts.iter_mut().zip(made) {
            if let Some(made) = made {
                **part = made;
            }
        }
        return true;
    }
    if !is_mixed || !kinds.iter().any(DataType::is_floating) {
        return false;
    }
    for (part, _) in parts.iter_mut().zip(kinds).filter(|(_, kind)| kind.is_decimal()) {
        **part = cast(std::mem::take(*part), DataType::Float64);
    }
    true
}

/// Whether 38 digits do not hold all decimals of these types.
fn have_no_room(kinds: &[DataType]) -> bool {
    let of = |kind: &DataType| match kind {
        DataType::Decimal128(digits, scale) => {
            Some((i16::from(*digits) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    let all = || kinds.iter().filter_map(of);
    let whole = all().map(|(whole, _)| whole).max().unwrap_or(0);
    precision(whole, all().map(|(_, scale)| scale).max().unwrap_or(0)).is_none()
}

/// Gives whole numbers among the results the type of all. DataFusion takes the type of the first one for that of a CASE and of
/// a UNION until it makes them equal, and what stands around would not see the decimal or double in it.
pub(super) fn whole_as_others(parts: &mut [&mut Expr], kinds: &[DataType]) -> bool {
    let is_mixed = kinds.iter().any(DataType::is_integer)
        && kinds.iter().any(|kind| kind.is_decimal() || kind.is_floating())
        && kinds.iter().all(|kind| kind.is_numeric() || kind.is_null());
    let mut numbers = kinds.iter().filter(|kind| !kind.is_null());
    let (true, Some(first)) = (is_mixed, numbers.next()) else { return false };
    let Some(common) = numbers.try_fold(first.clone(), |common, kind| type_union_coercion(&common, kind))
    else {
        return false;
    };
    for (part, _) in parts.iter_mut().zip(kinds).filter(|(_, kind)| kind.is_integer()) {
        **part = cast(std::mem::take(*part), common.clone());
    }
    true
}

/// The parts that have to be others for all to be decimals; `None` where that cannot be, or if all had no room in one type.
fn as_decimals(
    parts: &[&mut Expr],
    kinds: &[DataType],
    around: &Around<'_>,
    used: Use,
) -> Option<Vec<Option<Expr>>> {
    let mut numbers = Vec::with_capacity(parts.len());
    for (part, kind) in parts.iter().zip(kinds) {
        numbers.push(match kind.is_null() {
            true => None,
            false => Some(exact(part, kind, around)?),
        });
    }
    let present = || numbers.iter().flatten();
    if !present().any(|number| number.of_decimal) {
        return None;
    }
    let whole = present().map(|number| number.whole).max()?;
    let scale = present().map(|number| number.scale).max()?;
    let decimals = i8::try_from(scale).ok()?;
    let narrow = precision(whole, scale);
    let wide = u8::try_from(whole + scale).ok()?;
    if narrow.is_none() && (used == Use::Result || wide > DECIMAL256_MAX_PRECISION) {
        return None;
    }
    let made = numbers.into_iter().zip(kinds).map(|(number, kind)| {
        let Some(number) = number else { return Some(None) };
        let more = u32::try_from(scale - number.scale).ok()?;
        Some(match (number.value, narrow) {
            // In the type of all, none of the others is cast if it is of it already.
            (Some(value), Some(precision)) => {
                let value = value.checked_mul(10i128.checked_pow(more)?)?;
                Some(Expr::Literal(ScalarValue::Decimal128(Some(value), precision, decimals), None))
            }
            (None, Some(_)) => kind.is_floating().then_some(number.expr),
            (Some(value), None) => {
                let value = i256::from_i128(value).checked_mul(i256::from_i128(10).checked_pow(more)?)?;
                Some(Expr::Literal(ScalarValue::Decimal256(Some(value), wide, decimals), None))
            }
            (None, None) => Some(cast(number.expr, DataType::Decimal256(wide, decimals))),
        })
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use datafusion::common::DFSchema;

    use super::*;

    #[test]
    fn all_are_of_one_type_that_holds_them() {
        use DataType::{Decimal128, Float64};
        let literal = |double: f64| Expr::Literal(ScalarValue::Float64(Some(double)), None);
        let of = |double: f64, kind: DataType, used: Use| {
            let schema = DFSchema::empty();
            let around = Around { schema: &schema, inputs: &[] };
            let (mut price, mut value) = (datafusion::logical_expr::col("price"), literal(double));
            assert!(as_numbers(&mut [&mut price, &mut value], &[kind, Float64], &around, used));
            (price.to_string(), value.to_string())
        };
        let (price, value) = of(9.9, Decimal128(10, 2), Use::Result);
        assert_eq!((price.as_str(), value.as_str()), ("price", "Decimal128(9.90,10,2)"));
        let (price, value) = of(0.555, Decimal128(10, 2), Use::Compared);
        assert_eq!((price.as_str(), value.as_str()), ("price", "Decimal128(0.555,11,3)"));
        let (price, value) = of(0.5, Decimal128(38, 0), Use::Compared);
        assert_eq!(
            (price.as_str(), value.as_str()),
            ("CAST(price AS Decimal256(39, 1))", "Decimal256(0.5,39,1)")
        );
        for (double, kind) in
            [(1e-20, Decimal128(5, 0)), (f64::NAN, Decimal128(5, 0)), (0.5, Decimal128(38, 0))]
        {
            let (price, value) = of(double, kind, Use::Result);
            assert_eq!((price.as_str(), value), ("CAST(price AS Float64)", literal(double).to_string()));
        }
    }
}
