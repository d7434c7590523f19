//! What stands for something longer: functions, and `FROM t` alone.

use datafusion::sql::sqlparser::ast::{
    CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Interval,
    Select, SelectFlavor, SelectItem, Value, ValueWithSpan, WildcardAdditionalOptions,
    helpers::attached_token::AttachedToken,
};

/// Makes `FROM t` alone `SELECT * FROM t`: DataFusion 55 plans it as a query without columns.
pub(super) fn from_alone(select: &mut Select) {
    if matches!(select.flavor, SelectFlavor::FromFirstNoSelect) {
        select.flavor = SelectFlavor::FromFirst;
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    }
}

/// Whether it is `nvl2(x, a, b)`.
pub(super) fn is_nvl2(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_plain(function, "nvl2"))
}

/// Makes `nvl2(x, a, b)` a CASE: DataFusion 55 wants all three to be of one type, though x is only looked at.
pub(super) fn nvl2_as_case(expr: &mut Expr) {
    let Expr::Function(function) = &mut *expr else { return };
    if !is_plain(function, "nvl2") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let is_value = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
    if list.args.len() != 3 || !list.args.iter().all(is_value) {
        return;
    }
    let mut values = std::mem::take(&mut list.args).into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    });
    if let (Some(asked), Some(there), Some(absent)) = (values.next(), values.next(), values.next()) {
        *expr = Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: Expr::IsNotNull(Box::new(asked)), result: there }],
            else_result: Some(Box::new(absent)),
        };
    }
}

/// Makes `CAST('3 days' AS INTERVAL)` and `INTERVAL 3 DAY` what DataFusion 55 takes in the frame of a window: INTERVAL and
/// a text; and of hours and minutes as a clock shows them, `INTERVAL '1 day 01:30:00'`, the units that it reads.
pub(super) fn interval_of_text(expr: &mut Expr) {
    match expr {
        Expr::Interval(Interval { value, .. }) => {
            if let Expr::Value(ValueWithSpan { value, .. }) = &mut **value
                && let Value::Number(text, _) = value
            {
                *value = Value::SingleQuotedString(std::mem::take(text));
            }
            with_units(expr);
        }
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr: given,
            data_type: DataType::Interval { fields: None, precision: None },
            ..
        } => {
            if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }) = &**given {
                let value = Box::new(std::mem::replace(&mut **given, super::shallow::nothing()));
                *expr = Expr::Interval(Interval {
                    value,
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
                with_units(expr);
            }
        }
        _ => {}
    }
}

fn with_units(interval: &mut Expr) {
    if let Expr::Interval(Interval { value, leading_field: None, .. }) = interval
        && let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = &mut **value
        && text.contains(':')
    {
        let words: Vec<String> =
            text.split_whitespace().map(|word| clock(word).unwrap_or_else(|| word.to_owned())).collect();
        *text = words.join(" ");
    }
}

/// `1:30` and `-01:30:00.5` in hours, minutes and seconds. The sign is that of all.
fn clock(word: &str) -> Option<String> {
    let (sign, shown) = match word.strip_prefix('-') {
        Some(shown) => ("-", shown),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = shown.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let below_60 = |part: &str| part.parse::<u8>().is_ok_and(|count| count < 60);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_clock = [hours, minutes, whole, fraction].into_iter().all(is_whole)
        && below_60(minutes)
        && below_60(whole)
        && parts.next().is_none();
    is_clock.then(|| format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"))
}

fn is_plain(function: &Function, name: &str) -> bool {
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    plain && function.name.to_string().eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// Values are DuckDB's.
    #[tokio::test]
    async fn spans_of_a_frame() {
        let rows = "FROM (VALUES (3, DATE '2024-01-01'), (4, DATE '2024-01-03'), (5, DATE '2024-01-09')) AS v (j, d) ORDER BY d";
        for span in ["CAST('3 days' AS INTERVAL)", "INTERVAL 3 DAY", "INTERVAL '3' DAY", "INTERVAL '3 days'"]
        {
            let sum = format!("sum(j) OVER (ORDER BY d RANGE BETWEEN {span} PRECEDING AND CURRENT ROW)");
            check(&[(&format!("SELECT {sum} {rows}"), &["3", "7", "5"])]).await;
        }
        check(&[("SELECT DATE '2024-01-01' + 3 * INTERVAL 2 DAY, TIMESTAMP '2024-01-01' + CAST('36 hours' AS INTERVAL)", &["2024-01-07|2024-01-02T12:00:00"])]).await;
    }
    /// Values are DuckDB's.
    #[tokio::test]
    async fn spans_as_a_clock_shows_them() {
        let from = "TIMESTAMP '2024-01-01'";
        for (span, expected) in [
            ("'01:30:00'", "2024-01-01T01:30:00"),
            ("'01:30'", "2024-01-01T01:30:00"),
            ("'1 day 01:30:00.5'", "2024-01-02T01:30:00.500"),
            ("'1 day -01:30:00'", "2024-01-01T22:30:00"),
            ("'-00:00:01'", "2023-12-31T23:59:59"),
            ("'26:00:00'", "2024-01-02T02:00:00"),
        ] {
            for interval in
                [format!("CAST({span} AS INTERVAL)"), format!("INTERVAL {span}"), format!("{span}::INTERVAL")]
            {
                check(&[(&format!("SELECT {from} + {interval}"), &[expected])]).await;
            }
        }
        refused(&[
            ("SELECT INTERVAL '01:75:00'", "Invalid input syntax for type interval"),
            ("SELECT INTERVAL '1:2:3:4'", "Invalid input syntax for type interval"),
        ])
        .await;
    }

    /// DuckDB's rows.
    #[tokio::test]
    async fn a_table_alone_is_all_of_it() {
        let t = "(VALUES (2, 'b'), (1, 'a')) AS t (k, s)";
        check(&[
            (&format!("FROM {t}"), &["2|b", "1|a"] as &[&str]),
            (&format!("FROM {t} ORDER BY k LIMIT 1"), &["1|a"]),
            (&format!("SELECT count(*) FROM (FROM {t}) AS q"), &["2"]),
            (&format!("FROM {t} SELECT s ORDER BY k"), &["a", "b"]),
            (&format!("SELECT k FROM {t} WHERE k IN (FROM (VALUES (2)) AS u (k))"), &["2"]),
        ])
        .await;
    }
}
