//! `LIKE … ESCAPE` and `FETCH FIRST`, which DataFusion 55 has by other names only: LIKE with a backslash, and LIMIT.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{Expr, Fetch, LimitClause, Query, Value, ValueWithSpan};

/// Writes a pattern that is escaped by another character with backslashes.
///
/// # Errors
/// Plan: an escape that is not one character, or that nothing follows; a pattern that is computed.
pub(super) fn with_backslash(expr: &mut Expr) -> Result<()> {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else {
        return Ok(());
    };
    let Some(ValueWithSpan { value: Value::SingleQuotedString(escape), .. }) = escape_char else {
        return Ok(());
    };
    let mut letters = escape.chars();
    let (Some(escape), None) = (letters.next(), letters.next()) else {
        return plan_err!("ESCAPE takes one character, and '{escape}' is not one");
    };
    if escape == '\\' {
        *escape_char = None;
        return Ok(());
    }
    let mut text = pattern.as_mut();
    while let Expr::Nested(inner) = text {
        text = inner;
    }
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = text else {
        return plan_err!(
            "LIKE with ESCAPE '{escape}' takes a pattern that is written out: escape with a backslash in one that is computed, and leave ESCAPE out"
        );
    };
    let Some(written) = escaped(text, escape) else {
        return plan_err!("nothing follows the escape '{escape}' at the end of the pattern '{text}'");
    };
    *text = written;
    *escape_char = None;
    Ok(())
}

/// `None`: nothing follows the last escape.
fn escaped(text: &str, escape: char) -> Option<String> {
    let mut written = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let (letter, is_escaped) = match letter {
            _ if letter == escape => (letters.next()?, true),
            _ => (letter, false),
        };
        if letter == '\\' || is_escaped && matches!(letter, '%' | '_') {
            written.push('\\');
        }
        written.push(letter);
    }
    Some(written)
}

/// Makes `FETCH FIRST n ROWS ONLY` a LIMIT.
pub(super) fn fetch_as_limit(query: &mut Query) {
    let Some(fetch) = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent) else { return };
    let rows = fetch.quantity.unwrap_or_else(|| Expr::Value(Value::Number("1".to_owned(), false).into()));
    match &mut query.limit_clause {
        None => {
            let limit = Some(rows);
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        // Both: DataFusion says that it is too much.
        Some(_) => {
            query.fetch = Some(Fetch { with_ties: false, percent: false, quantity: Some(rows) });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// The values of PostgreSQL.
    #[tokio::test]
    async fn any_letter_escapes() {
        let t = "(VALUES ('x%y_z'), ('xay_z'), ('a\\b'), ('$'), ('a$b')) AS t (s)";
        check(&[
            (&format!("SELECT s FROM {t} WHERE s LIKE 'x$%y$_z' ESCAPE '$'"), &["x%y_z"] as &[&str]),
            (
                &format!("SELECT s FROM {t} WHERE s NOT ILIKE 'X!%Y%' ESCAPE '!' ORDER BY s"),
                &["$", "a$b", "a\\b", "xay_z"],
            ),
            (&format!("SELECT s FROM {t} WHERE s LIKE 'a\\_' ESCAPE '$'"), &["a\\b"]),
            (&format!("SELECT s FROM {t} WHERE s LIKE 'a\\%' ESCAPE '$'"), &["a\\b"]),
            (&format!("SELECT s FROM {t} WHERE s LIKE '%$$%' ESCAPE '$' ORDER BY s"), &["$", "a$b"]),
        ])
        .await;
        check(&[
            (&format!("SELECT s FROM {t} WHERE s LIKE ('x!%%') ESCAPE '!'"), &["x%y_z"] as &[&str]),
            (&format!("SELECT s FROM {t} WHERE s LIKE 'x\\%%' ESCAPE '\\'"), &["x%y_z"]),
        ])
        .await;
        refused(&[
            (&format!("SELECT s FROM {t} WHERE s LIKE 'a$' ESCAPE '$'"), "nothing follows the escape"),
            (&format!("SELECT s FROM {t} WHERE s LIKE 'a' ESCAPE '$$'"), "takes one character"),
            (&format!("SELECT s FROM {t} WHERE s LIKE '$' || s ESCAPE '$'"), "a pattern that is written out"),
        ])
        .await;
    }

    #[tokio::test]
    async fn the_first_rows_are_fetched() {
        let t = "(VALUES (3), (1), (2)) AS t (k)";
        check(&[
            (&format!("SELECT k FROM {t} ORDER BY k FETCH FIRST 2 ROWS ONLY"), &["1", "2"] as &[&str]),
            (&format!("SELECT k FROM {t} ORDER BY k OFFSET 1 ROW FETCH NEXT ROW ONLY"), &["2"]),
        ])
        .await;
        refused(&[(&format!("SELECT k FROM {t} ORDER BY k FETCH FIRST 2 ROWS WITH TIES"), "FETCH")]).await;
    }
}
