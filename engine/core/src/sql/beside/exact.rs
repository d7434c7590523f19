//! Decimals among doubles: what DataFusion has as a double, and PostgreSQL and DuckDB as a decimal.
//!
//! A double that is written out in few digits is the decimal that it says, and so is what `+ - * %` make of such and of
//! decimals and whole numbers: `0.06 + 0.01` is 0.07, which the sum of the two doubles is not, and `price * 0.07` a DECIMAL.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::{DFSchema, JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, LogicalPlan, Operator};

/// A double has about so many digits: one that is written with more is not the number that was written.
const MOST_DIGITS: usize = 17;

/// Behind the point a decimal has at most so many digits where DataFusion makes one of a double. One with more, 1e-20, was
/// hardly meant as a decimal.
const MOST_DECIMALS: usize = 15;

/// Digits that a whole number has room for.
const OF_INTEGERS: i16 = 20;

/// What stands around an expression: the columns it sees, and the plans that give them.
pub(super) struct Around<'a> {
    pub(super) schema: &'a DFSchema,
    pub(super) inputs: &'a [Arc<LogicalPlan>],
}

/// A number without rounding. It has at most `whole` digits before the point, and `scale` behind it.
pub(super) struct Exact {
    /// The expression, as a decimal or a whole number.
    pub(super) expr: Expr,
    pub(super) whole: i16,
    pub(super) scale: i16,
    /// In units of the last decimal, if it is written out.
    pub(super) value: Option<i128>,
    /// Whether there is a decimal in it that is not written out.
    pub(super) of_decimal: bool,
}

impl Exact {
    fn literal(value: i128, scale: i16) -> Option<Exact> {
        let digits =
            i16::try_from(value.unsigned_abs().checked_ilog10().map_or(1, |power| power + 1)).ok()?;
        let whole = (digits - scale).max(0);
        let precision = precision(whole, scale)?;
        let literal = ScalarValue::Decimal128(Some(value), precision, i8::try_from(scale).ok()?);
        Some(Exact {
            expr: Expr::Literal(literal, None),
            whole,
            scale,
            value: Some(value),
            of_decimal: false,
        })
    }
}

/// The digits of a decimal, if it has room for them.
pub(super) fn precision(whole: i16, scale: i16) -> Option<u8> {
    let precision = u8::try_from((whole + scale).max(1)).ok()?;
    (precision <= DECIMAL128_MAX_PRECISION).then_some(precision)
}

/// An expression of a type as a number without rounding; `None`: it is a double.
pub(super) fn exact(expression: &Expr, kind: &DataType, around: &Around<'_>) -> Option<Exact> {
    let (whole, scale) = match (expression, kind) {
        (Expr::Literal(ScalarValue::Float64(Some(double)), _), _) => {
            let (value, scale) = written(*double)?;
            return Exact::literal(value, scale);
        }
        (Expr::Literal(ScalarValue::Int64(Some(value)), _), _) => {
            return Exact::literal(i128::from(*value), 0);
        }
        (
            _,
            DataType::Decimal32(digits, scale)
            | DataType::Decimal64(digits, scale)
            | DataType::Decimal128(digits, scale),
        ) => (i16::from(*digits) - i16::from(*scale), i16::from((*scale).max(0))),
        (_, kind) if kind.is_integer() => (OF_INTEGERS, 0),
        (_, DataType::Float64) => return computed(expression, around),
        _ => return None,
    };
    let of_decimal = kind.is_decimal();
    Some(Exact { expr: expression.clone(), whole: whole.max(0), scale, value: None, of_decimal })
}

/// What `+ - * %` make of decimals and written doubles, as a decimal; `None` where DataFusion has one already, or where a
/// double is among them.
///
/// # Errors
/// Plan: an operand has no type.
pub(super) fn as_decimal(expression: &Expr, around: &Around<'_>) -> Result<Option<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { op, .. }) = expression else { return Ok(None) };
    if !is_exact(*op) || expression.get_type(around.schema)? != DataType::Float64 {
        return Ok(None);
    }
    Ok(computed(expression, around).filter(|made| made.of_decimal).map(|made| made.expr))
}

pub(super) fn is_exact(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Modulo)
}

fn computed(expression: &Expr, around: &Around<'_>) -> Option<Exact> {
    let part = |part: &Expr| exact(part, &part.get_type(around.schema).ok()?, around);
    match expression {
        Expr::Column(column) => {
            let (value, scale) = around.inputs.iter().find_map(|input| {
                let at = input.schema().maybe_index_of_column(column)?;
                written_column(input, at)
            })?;
            Exact::literal(value, scale)
        }
        Expr::Negative(inner) => {
            let inner = part(inner)?;
            match inner.value {
                Some(value) => Exact::literal(-value, inner.scale),
                None => Some(Exact { expr: Expr::Negative(Box::new(inner.expr)), ..inner }),
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "abs" => {
            let [inner] = args.as_slice() else { return None };
            let inner = part(inner)?;
            Some(Exact { expr: func.call(vec![inner.expr]), value: None, ..inner })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if !is_exact(*op) {
                return None;
            }
            operation(part(left)?, *op, part(right)?)
        }
        _ => None,
    }
}

/// An operation. Of written numbers it is done. The result of others has all decimals; where 38 digits hold fewer than they
/// might make, one that passes them is an error when it is computed.
fn operation(left: Exact, op: Operator, right: Exact) -> Option<Exact> {
    let (whole, scale) = match op {
        Operator::Multiply => (left.whole + right.whole + 1, left.scale + right.scale),
        _ => (left.whole.max(right.whole) + 1, left.scale.max(right.scale)),
    };
    if let (Some(a), Some(b)) = (left.value, right.value) {
        let (a_scaled, b_scaled) = (scaled(a, scale - left.scale), scaled(b, scale - right.scale));
        let value = match op {
            Operator::Plus => a_scaled?.checked_add(b_scaled?)?,
            Operator::Minus => a_scaled?.checked_sub(b_scaled?)?,
            Operator::Multiply => a.checked_mul(b)?,
            _ => a_scaled?.checked_rem(b_scaled?)?,
        };
        return Exact::literal(value, scale);
    }
    let whole = whole.min(i16::from(DECIMAL128_MAX_PRECISION) - scale);
    if whole < 0 {
        return None;
    }
    let expr = Expr::BinaryExpr(BinaryExpr { left: Box::new(left.expr), op, right: Box::new(right.expr) });
    Some(Exact { expr, whole, scale, value: None, of_decimal: left.of_decimal || right.of_decimal })
}

/// A value in units of more decimals.
fn scaled(value: i128, decimals: i16) -> Option<i128> {
    value.checked_mul(10i128.checked_pow(u32::try_from(decimals).ok()?)?)
}

/// The double that a column is in every row, as it is written.
fn written_column(plan: &LogicalPlan, at: usize) -> Option<(i128, i16)> {
    match plan {
        LogicalPlan::Projection(made) => match super::without_names(made.expr.get(at)?) {
            Expr::Literal(ScalarValue::Float64(Some(double)), _) => written(*double),
            Expr::Column(column) => {
                written_column(&made.input, made.input.schema().maybe_index_of_column(column)?)
            }
            _ => None,
        },
        LogicalPlan::Values(values) => match values.values.as_slice() {
            [row] => match row.get(at)? {
                Expr::Literal(ScalarValue::Float64(Some(double)), _) => written(*double),
                _ => None,
            },
            _ => None,
        },
        LogicalPlan::SubqueryAlias(named) => written_column(&named.input, at),
        LogicalPlan::Filter(filter) => written_column(&filter.input, at),
        LogicalPlan::Sort(sort) => written_column(&sort.input, at),
        LogicalPlan::Limit(limit) => written_column(&limit.input, at),
        LogicalPlan::Distinct(Distinct::All(input)) => written_column(input, at),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            match at.checked_sub(join.left.schema().fields().len()) {
                Some(at) => written_column(&join.right, at),
                None => written_column(&join.left, at),
            }
        }
        _ => None,
    }
}

/// A double as it is written: in units of its last decimal, and how many of those there are.
fn written(double: f64) -> Option<(i128, i16)> {
    if !double.is_finite() {
        return None;
    }
    let text = double.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('-').trim_start_matches('0').len() + part.len();
    if digits > MOST_DIGITS || part.len() > MOST_DECIMALS {
        return None;
    }
    Some((format!("{whole}{part}").parse().ok()?, i16::try_from(part.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::*;

    #[test]
    fn a_double_of_few_digits_is_the_decimal_that_is_written() {
        assert_eq!(written(0.1), Some((1, 1)));
        assert_eq!(written(-9.99), Some((-999, 2)));
        assert_eq!(written(0.0), Some((0, 0)));
        assert_eq!(written(-0.0), Some((0, 0)));
        assert_eq!(written(0.005), Some((5, 3)));
        assert_eq!(written(1e15), Some((1_000_000_000_000_000, 0)));
        for odd in [1e-20, 1e30, f64::NAN, f64::INFINITY, 0.1 + 0.2] {
            assert_eq!(written(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_made_of_written_numbers_is_computed() {
        let schema = DFSchema::empty();
        let around = Around { schema: &schema, inputs: &[] };
        for (expression, value, scale) in [
            (lit(0.06) + lit(0.01), 7, 2),
            (lit(0.1) * lit(0.7), 7, 2),
            (lit(0.5) - lit(2_i64), -15, 1),
            (lit(1.0) % lit(0.3), 1, 1),
            (-(lit(0.1) + lit(0.25)), -35, 2),
        ] {
            let made = exact(&expression, &DataType::Float64, &around).unwrap();
            assert_eq!((made.value, made.scale), (Some(value), scale), "{expression}");
        }
        for expression in [lit(1.0) / lit(3.0), lit(1e-20) + lit(0.5), lit(0.5) % lit(0.0)] {
            assert!(exact(&expression, &DataType::Float64, &around).is_none(), "{expression}");
        }
    }
}
