//! Whole numbers that are written out and that 64 bits do not hold: DECIMALs, where DataFusion 55 has doubles.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Value};

/// The most digits of a DECIMAL.
const MOST_DIGITS: usize = 38;

/// Makes a whole number beyond 64 bits a DECIMAL.
///
/// # Errors
/// Plan: it has more than 38 digits.
pub(super) fn exact(expr: &mut Expr) -> Result<()> {
    let Expr::Value(value) = &*expr else { return Ok(()) };
    let Value::Number(text, _) = &value.value else { return Ok(()) };
    let digits = text.trim_start_matches('0').len();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || digits < 20 || text.parse::<u64>().is_ok() {
        return Ok(());
    }
    if digits > MOST_DIGITS {
        return plan_err!(
            "{text} has more than {MOST_DIGITS} digits: write it as a DOUBLE, {text}e0, or with fewer digits"
        );
    }
    let written = Expr::Value(Value::SingleQuotedString(text.clone()).into());
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(written),
        data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits as u64, 0)),
        array: false,
        format: None,
    };
    Ok(())
}
