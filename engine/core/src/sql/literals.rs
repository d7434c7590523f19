//! Numbers that are written out.
//!
//! Whole ones that 64 bits do not hold are DECIMALs, where DataFusion 55 has doubles. One with a point is a double to it, of
//! which nobody can tell any more how it was written: beside a DECIMAL it becomes the decimal of its digits
//! ([`beside`](super::beside)). One with an exponent, or with more digits than a double has, is marked as the double that it
//! stays by a cast.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, ValueWithSpan,
};

/// The most digits of a DECIMAL.
const MOST_DIGITS: usize = 38;

/// Whether a number that is written out is a whole one beyond 64 bits.
pub(super) fn is_beyond(text: &str) -> bool {
    // With a minus before it, the largest one passes them too; it is called as it is written then.
    text.parse::<i64>().is_err() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Makes a whole number beyond 64 bits a DECIMAL.
///
/// # Errors
/// Plan: it has more than 38 digits.
pub(super) fn exact(expr: &mut Expr) -> Result<()> {
    let (text, minus) = match &*expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => (text, ""),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match &**expr {
            Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => (text, "-"),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let signed = format!("{minus}{text}");
    let fits = match minus {
        "" => text.parse::<u64>().is_ok(),
        // DataFusion takes the digits first and negates what it has made of them.
        _ => signed.parse::<i64>().is_ok(),
    };
    if fits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let digits = text.trim_start_matches('0').len();
    if digits > MOST_DIGITS {
        return plan_err!(
            "{text} has more than {MOST_DIGITS} digits: write it as a DOUBLE, {text}e0, or with fewer digits"
        );
    }
    let written = Expr::Value(Value::SingleQuotedString(signed).into());
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(written),
        data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits as u64, 0)),
        array: false,
        format: None,
    };
    Ok(())
}

/// Marks operands of `+ - * %` that are no decimals.
pub(super) fn mark_doubles(expr: &mut Expr) {
    let Expr::BinaryOp { left, op, right } = expr else { return };
    if matches!(
        op,
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Modulo
    ) {
        mark(left);
        mark(right);
    }
}

fn mark(operand: &mut Expr) {
    match operand {
        Expr::Nested(inner) => return mark(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => return mark(expr),
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) if !is_kept(text) => {}
        _ => return,
    }
    let expr = Box::new(std::mem::replace(operand, super::statement::nothing()));
    *operand = Expr::Cast {
        kind: CastKind::Cast,
        expr,
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    };
}

/// Whether a number is whole, or has a point and all of its digits as a double too.
fn is_kept(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    let Ok(double) = text.parse::<f64>() else { return true };
    digits(text) == digits(&double.to_string())
}

/// Without zeros that say nothing.
fn digits(text: &str) -> (&str, &str) {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    (whole.trim_start_matches('0'), part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_an_exponent_or_many_digits_is_a_double() {
        for kept in ["7", "0.07", "1.10", ".5", "5.", "007.50", "12345678901234.5"] {
            assert!(is_kept(kept), "{kept}");
        }
        for marked in
            ["1e0", "1.5E3", "12345678901234567.89", "0.10000000000000000001", "3.14159265358979323846"]
        {
            assert!(!is_kept(marked), "{marked}");
        }
    }
}
