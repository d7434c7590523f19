//! Splitting text into SQL statements at `;`, which counts only outside quotes and comments.

/// The statements of a text, trimmed, without their `;` and without those that are empty or only comments.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut start = 0;
    let scan = scan(text);
    for end in scan.ends.iter().copied().chain([text.len()]) {
        let statement = text.get(start..end).unwrap_or_default().trim();
        let holds_code = scan.code.iter().any(|&place| (start..end).contains(&place));
        if holds_code {
            statements.push(statement.to_string());
        }
        start = end + 1;
    }
    statements
}

/// Whether the text ends with a finished statement: nothing but space and comments after its last `;`.
pub(crate) fn is_complete(text: &str) -> bool {
    let scan = scan(text);
    match (scan.ends.last(), scan.code.last()) {
        (_, None) => !scan.open,
        (None, Some(_)) => false,
        (Some(end), Some(code)) => code < end && !scan.open,
    }
}

/// What a scan has found, as byte offsets.
struct Scan {
    /// Of each `;` that ends a statement.
    ends: Vec<usize>,
    /// Of each character that is neither space, comment nor an ending `;`.
    code: Vec<usize>,
    /// Whether a quote or a block comment is open at the end.
    open: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    Quote(char),
    Line,
    /// Block comments nest in SQL.
    Block(u32),
}

fn scan(text: &str) -> Scan {
    let mut found = Scan { ends: Vec::new(), code: Vec::new(), open: false };
    let mut inside = Inside::Code;
    let mut chars = text.char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        inside = match (inside, c) {
            (Inside::Code, '-') if next == Some('-') => Inside::Line,
            (Inside::Code, '/') if next == Some('*') => {
                chars.next();
                Inside::Block(1)
            }
            (Inside::Code, ';') => {
                found.ends.push(place);
                Inside::Code
            }
            (Inside::Code, _) => {
                if !c.is_whitespace() {
                    found.code.push(place);
                }
                if matches!(c, '\'' | '"' | '`') { Inside::Quote(c) } else { Inside::Code }
            }
            // A doubled quote closes and opens again, which comes to the same.
            (Inside::Quote(quote), _) if c == quote => {
                found.code.push(place);
                Inside::Code
            }
            (Inside::Quote(_), _) => inside,
            (Inside::Line, '\n') => Inside::Code,
            (Inside::Line, _) => Inside::Line,
            (Inside::Block(depth), '*') if next == Some('/') => {
                chars.next();
                if depth == 1 { Inside::Code } else { Inside::Block(depth - 1) }
            }
            (Inside::Block(depth), '/') if next == Some('*') => {
                chars.next();
                Inside::Block(depth + 1)
            }
            (Inside::Block(_), _) => inside,
        };
    }
    found.open = matches!(inside, Inside::Quote(_) | Inside::Block(_));
    found
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
