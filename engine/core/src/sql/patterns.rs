//! `LIKE … ESCAPE` and `FETCH FIRST`, which DataFusion 55 has by other names only: LIKE with a backslash, and LIMIT.

use datafusion::sql::sqlparser::ast::{Expr, Fetch, LimitClause, Query, Value, ValueWithSpan};

/// Writes a pattern that is escaped by another character with backslashes.
pub(super) fn with_backslash(expr: &mut Expr) {
    let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else {
        return;
    };
    let Some(ValueWithSpan { value: Value::SingleQuotedString(escape), .. }) = escape_char else { return };
    let mut letters = escape.chars();
    let (Some(escape), None) = (letters.next(), letters.next()) else { return };
    if escape == '\\' {
        return;
    }
    if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern.as_mut()
        && let Some(written) = escaped(text, escape)
    {
        *text = written;
        *escape_char = None;
    }
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
        refused(&[(&format!("SELECT s FROM {t} WHERE s LIKE 'a$' ESCAPE '$'"), "escape")]).await;
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
