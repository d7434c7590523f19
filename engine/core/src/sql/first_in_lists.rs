//! `x IN ((SELECT max(y) FROM t), 3)`: a list that begins with a subquery.
//!
//! sqlparser 0.62 takes the first bracket for that of `IN (SELECT …)` and then finds no end of it. Where a statement could not
//! be read, such a subquery is made `CASE WHEN TRUE THEN (SELECT …) END`.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The statement, with each subquery that is first in a list as a CASE; `None` where there is none.
pub(super) fn as_case(sql: &str) -> Option<String> {
    // Texts keep their quotes as they are written.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize().ok()?;
    let said: Vec<usize> =
        (0..tokens.len()).filter(|at| !matches!(tokens[*at], Token::Whitespace(_))).collect();
    let keyword = |place: usize| match said.get(place).map(|at| &tokens[*at]) {
        Some(Token::Word(word)) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let is = |place: usize, token: &Token| said.get(place).is_some_and(|at| tokens[*at] == *token);
    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    for place in 0..said.len() {
        let is_list = keyword(place) == Keyword::IN
            && is(place + 1, &Token::LParen)
            && is(place + 2, &Token::LParen)
            && matches!(keyword(place + 3), Keyword::SELECT | Keyword::WITH);
        if !is_list {
            continue;
        }
        let mut depth = 0usize;
        let end = (place + 2..said.len()).find(|place| {
            depth += usize::from(is(*place, &Token::LParen));
            depth -= usize::from(is(*place, &Token::RParen));
            depth == 0
        })?;
        if is(end + 1, &Token::Comma) {
            begins.push(said[place + 2]);
            ends.push(said[end]);
        }
    }
    if begins.is_empty() {
        return None;
    }
    let mut made = String::with_capacity(sql.len() + 32 * begins.len());
    for (at, token) in tokens.iter().enumerate() {
        if begins.contains(&at) {
            made.push_str("CASE WHEN TRUE THEN ");
        }
        made.push_str(&token.to_string());
        if ends.contains(&at) {
            made.push_str(" END");
        }
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tests::check;

    #[test]
    fn what_is_no_such_list_stays_as_it_is() {
        for same in [
            "SELECT 1",
            "SELECT 1 IN ((SELECT 1))",
            "SELECT 1 IN ((SELECT 1) UNION (SELECT 2))",
            "SELECT 1 IN ((1), (SELECT 1))",
        ] {
            assert_eq!(as_case(same), None, "{same}");
        }
        assert_eq!(
            as_case("SELECT 'it''s' IN ((SELECT \"a\" FROM t), 'b') -- (").as_deref(),
            Some("SELECT 'it''s' IN (CASE WHEN TRUE THEN (SELECT \"a\" FROM t) END, 'b') -- (")
        );
    }

    /// Values are DuckDB's.
    #[tokio::test]
    async fn a_list_may_begin_with_a_subquery() {
        let rows = "FROM (VALUES (1, 'it''s'), (3, 'b'), (7, NULL)) AS v (k, s)";
        for (condition, expected) in [
            ("k IN ((SELECT max(k) FROM (VALUES (7)) AS w (k)), 3)", &["3", "7"] as &[&str]),
            ("k NOT IN ((SELECT 7), (SELECT 1))", &["3"]),
            ("s IN ((SELECT 'it''s'), 'c')", &["1"]),
            ("left(s, 1) IN ((WITH w AS (SELECT 'b' AS b) SELECT b FROM w), 'x')", &["3"]),
        ] {
            check(&[(&format!("SELECT k {rows} WHERE {condition} ORDER BY k"), expected)]).await;
        }
    }
}
