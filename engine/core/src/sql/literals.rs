//! Whole numbers that are written out and that 64 bits do not hold: DECIMALs, where DataFusion 55 has doubles.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, ValueWithSpan,
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
