//! Numbers that are written out.
//!
//! Whole ones that 64 bits do not hold are DECIMALs, and so are those with a point and more digits than a double has (38 at
//! most), where DataFusion 55 has doubles: other numbers than were written. Others with a point are doubles to it, of which
//! nobody can tell any more how they were written: beside a DECIMAL each becomes the decimal of its digits
//! ([`beside`](super::beside)). One with an exponent is marked as the double that it stays by a cast, wherever a result may be
//! of its type: beside `+`, as a column, in VALUES, CASE, `coalesce` and lists.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Select, SelectItem, SetExpr, UnaryOperator, Value, ValueWithSpan,
};

/// The most digits of a DECIMAL.
const MOST_DIGITS: usize = 38;

/// Whether a number that is written out is a whole one beyond 64 bits.
pub(super) fn is_beyond(text: &str) -> bool {
    // With a minus before it, the largest one passes them too; it is called as it is written then.
    text.parse::<i64>().is_err() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Precision and scale of a number with a point whose digits a double does not have; `None` where it has them, or no DECIMAL
/// does.
fn exact_form(text: &str) -> Option<(usize, usize)> {
    let (whole, part) = text.split_once('.')?;
    let (whole, scale) = (whole.trim_start_matches('0').len(), part.len());
    let is_written_out = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let precision = (whole + scale).max(1);
    (is_written_out && precision <= MOST_DIGITS && !is_kept(text)).then_some((precision, scale))
}

/// Makes a whole number beyond 64 bits a DECIMAL, and one with more digits behind a point than a double has.
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
    if let Some((precision, scale)) = exact_form(text) {
        *expr = decimal(signed, precision, scale);
        return Ok(());
    }
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
    *expr = decimal(signed, digits, 0);
    Ok(())
}

/// A text of digits as a DECIMAL.
fn decimal(digits: String, precision: usize, scale: usize) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::SingleQuotedString(digits).into())),
        data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision as u64, scale as i64)),
        array: false,
        format: None,
    }
}

/// Functions whose result has the type of their arguments.
const OF_ONE_TYPE: [&str; 6] = ["coalesce", "nvl", "ifnull", "greatest", "least", "make_array"];

/// Marks numbers that are no decimals where a result may be of their type.
pub(super) fn mark_doubles(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp {
            left,
            op:
                BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Modulo,
            right,
        } => {
            mark(left);
            mark(right);
        }
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter_mut().for_each(|when| mark(&mut when.result));
            else_result.iter_mut().for_each(|result| mark(result));
        }
        Expr::Array(list) => list.elem.iter_mut().for_each(mark),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            if let FunctionArguments::List(list) = &mut function.args
                && OF_ONE_TYPE.contains(&name.as_str())
            {
                for arg in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg {
                        mark(value);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The same of the columns of a SELECT.
pub(super) fn mark_columns(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } = item {
            mark(value);
        }
    }
}

/// The same of VALUES.
pub(super) fn mark_values(body: &mut SetExpr) {
    if let SetExpr::Values(values) = body {
        values.rows.iter_mut().flat_map(|row| row.iter_mut()).for_each(mark);
    }
}

fn mark(operand: &mut Expr) {
    if !is_marked(operand) {
        return;
    }
    let expr = Box::new(std::mem::replace(operand, super::shallow::nothing()));
    *operand = Expr::Cast {
        kind: CastKind::Cast,
        expr,
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    };
}

fn is_marked(operand: &Expr) -> bool {
    match operand {
        Expr::Nested(inner) => is_marked(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_marked(expr),
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            !is_kept(text) && exact_form(text).is_none()
        }
        _ => false,
    }
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
    use crate::sql::tests::check;

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

    /// What DuckDB 1.5.5 says.
    #[tokio::test]
    async fn more_digits_than_a_double_has_are_kept() {
        check(&[
            (
                "SELECT count(*) FROM (VALUES (CAST('12345678901234567.89' AS DECIMAL(20,2)))) AS v (m) WHERE m = 12345678901234567.89",
                &["1"] as &[&str],
            ),
            (
                "SELECT count(*) FROM (VALUES (CAST('12345678901234567.89' AS DECIMAL(20,2)))) AS v (m) WHERE m IN (1, 12345678901234567.89)",
                &["1"],
            ),
            ("SELECT CAST(0.1234567890123456789 AS DECIMAL(38,19)) AS a", &["0.1234567890123456789"]),
            (
                "SELECT CAST(-123456789012345678901234567890.12 AS DECIMAL(38,2)) AS a",
                &["-123456789012345678901234567890.12"],
            ),
            ("SELECT CAST('5' AS DECIMAL(20,2)) = 5.00000000000000000001 AS a", &["false"]),
            ("SELECT 12345678901234567.89 AS a, arrow_typeof(12345678901234567.89) AS b", &[
                "12345678901234567.89|Decimal128(19, 2)",
            ]),
            ("SELECT arrow_typeof(3.14159265358979323846 * CAST(2 AS DOUBLE)) AS a", &["Float64"]),
            ("SELECT round(3.14159265358979323846 * CAST(2 AS DOUBLE), 6) AS a", &["6.283185"]),
            ("SELECT 3.14159265358979323846 * 2 > 6 AS a", &["true"]),
        ])
        .await;
    }

    /// DuckDB's types.
    #[tokio::test]
    async fn a_number_with_an_exponent_is_a_double_wherever_it_comes_from() {
        let d = "CAST(0.2 AS DECIMAL(3,2))";
        for statement in [
            format!("WITH v AS (SELECT 1e-1 AS x) SELECT x + {d} AS a FROM v"),
            format!("WITH v AS (SELECT -(1E-1) AS x) SELECT x + {d} AS a FROM v"),
            format!("SELECT x + d AS a FROM (VALUES (1e-1, {d})) AS v (x, d)"),
            format!("SELECT CASE WHEN d > 0 THEN d ELSE 1e-1 END AS a FROM (SELECT {d} AS d)"),
            format!("SELECT coalesce({d}, 1e-1) AS a"),
            format!("SELECT greatest({d}, 1e-1) AS a"),
            format!("SELECT [{d}, 1e-1][1] AS a"),
            format!("SELECT {d} AS a UNION ALL SELECT 1e-1"),
            format!("SELECT x AS a FROM (VALUES (1e-1), ({d})) AS v (x)"),
        ] {
            let kind = format!("SELECT DISTINCT arrow_typeof(a) FROM ({statement})");
            check(&[(&kind, &["Float64"])]).await;
        }
        check(&[
            (
                "WITH v AS (SELECT 0.1 AS x) SELECT arrow_typeof(x + CAST(0.2 AS DECIMAL(3,2))) FROM v",
                &["Decimal128(4, 2)"] as &[&str],
            ),
            (
                "SELECT 1e-1, -1e2 AS b, 1e0 FROM (VALUES (1e0), (2)) AS v (x) WHERE x = 1e0 LIMIT 1",
                &["0.1|-100.0|1.0"],
            ),
            ("SELECT quantile(x, 5e-1) FROM (VALUES (1e0), (2)) AS v (x)", &["1.5"]),
        ])
        .await;
    }
}
