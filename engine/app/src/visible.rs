//! Text from data as a terminal may have it: control characters are shown, not sent.
//!
//! A message or a cell can hold escape sequences that move the cursor, set the title or clear the screen, and
//! marks that turn the direction of writing. A terminal gets them as `\u001b`, as JSON writes them; a file or a
//! pipe gets the bytes as they are.

use std::borrow::Cow;

/// Whether the character is shown as its number: all control characters but line feed and tab, and the marks of
/// Unicode's bidirectional algorithm that reorder what stands after them.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with each hidden character as `\u` and four hexadecimal digits.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_shown() {
        assert_eq!(visible("\x1b[31mred\x1b[0m"), "\\u001b[31mred\\u001b[0m");
        assert_eq!(visible("a\rb\u{9b}2J\u{7f}\u{202e}c\0"), "a\\u000db\\u009b2J\\u007f\\u202ec\\u0000");
    }

    #[test]
    fn text_and_its_lines_are_as_they_are() {
        for text in ["", "naïve → 日本\n\tzwei 👩‍👩‍👧"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
    }
}
