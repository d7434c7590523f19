//! Splitting text into SQL statements at `;`, as the SQL parser's own tokenizer reads it.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The statements of a text, trimmed, without their `;` and without those that are empty or only comments.
pub(crate) fn split(text: &str) -> Vec<String> {
    let scan = scan(text);
    let places = places(text, scan.tokens.iter().map(|(_, start)| *start));
    let mut statements = Vec::new();
    let (mut start, mut holds_code) = (0, false);
    let tokens = scan.tokens.iter().map(|(kind, _)| *kind).zip(places);
    for (kind, place) in tokens.chain([(Kind::End, text.len())]) {
        match kind {
            Kind::Code => holds_code = true,
            Kind::End => {
                if std::mem::take(&mut holds_code) || (place == text.len() && scan.is_open) {
                    statements.push(text.get(start..place).unwrap_or_default().trim().to_owned());
                }
                start = place + 1;
            }
        }
    }
    statements
}

/// Whether the text ends with a finished statement: nothing but space and comments after its last `;`.
pub(crate) fn is_complete(text: &str) -> bool {
    let scan = scan(text);
    !scan.is_open && scan.tokens.last().is_none_or(|(kind, _)| *kind == Kind::End)
}

/// What a scan has found.
struct Scan {
    /// Every token that is neither space nor comment, and where it begins.
    tokens: Vec<(Kind, Location)>,
    /// Whether the tokenizer stopped before the end: a quote or a comment is open there.
    is_open: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    /// A `;`, or the end of the text.
    End,
}

fn scan(text: &str) -> Scan {
    let mut tokens = Vec::new();
    let mut tokenizer = Tokenizer::new(&GenericDialect {}, text).with_unescape(false);
    let is_open = tokenizer.tokenize_with_location_into_buf(&mut tokens).is_err();
    let kind = |of: TokenWithSpan| match of.token {
        Token::Whitespace(_) | Token::EOF => None,
        Token::SemiColon => Some((Kind::End, of.span.start)),
        _ => Some((Kind::Code, of.span.start)),
    };
    Scan { tokens: tokens.into_iter().filter_map(kind).collect(), is_open }
}

/// The byte offsets of places that ascend: the tokenizer counts lines and characters.
fn places(text: &str, of: impl Iterator<Item = Location>) -> Vec<usize> {
    let mut chars = text.char_indices();
    let (mut line, mut column) = (1, 1);
    of.map(|wanted| {
        while (line, column) < (wanted.line, wanted.column) {
            match chars.next() {
                Some((_, '\n')) => (line, column) = (line + 1, 1),
                Some(_) => column += 1,
                None => break,
            }
        }
        chars.offset()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_outside_quotes_and_comments_only() {
        assert_eq!(split("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(
            split("SELECT ';', \"a;b\", 'it''s;'; SELECT 2;"),
            ["SELECT ';', \"a;b\", 'it''s;'", "SELECT 2"]
        );
        assert_eq!(
            split("SELECT 1 -- one; two\n; /* a;b /* ; */ ; */ SELECT 2"),
            ["SELECT 1 -- one; two", "/* a;b /* ; */ ; */ SELECT 2"]
        );
        assert_eq!(split(";; -- nothing\n ; /* nothing */"), Vec::<String>::new());
        assert_eq!(split("SELECT 'ü;é' ; "), ["SELECT 'ü;é'"]);
        assert_eq!(
            split("SELECT 'ü\nß;';\r\nSELECT\n'é' AS \"ö;\";SELECT 3"),
            ["SELECT 'ü\nß;'", "SELECT\n'é' AS \"ö;\"", "SELECT 3"]
        );
        // What is never closed is one statement, which the parser refuses.
        assert_eq!(split("SELECT 1; SELECT 'a; SELECT 2"), ["SELECT 1", "SELECT 'a; SELECT 2"]);
        assert_eq!(split("SELECT $$a;b$$; SELECT 2"), ["SELECT $$a;b$$", "SELECT 2"]);
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for text in ["SELECT 1;", "SELECT 1; -- done", "SELECT 1;\n", "", "  ", "-- only a note"] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1; SELECT 2", "SELECT 1; /* open", "/* open"]
        {
            assert!(!is_complete(text), "{text:?}");
        }
    }
}
