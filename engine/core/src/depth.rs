//! Lists and objects in one another without end.
//!
//! Arrow's reader takes any depth of them, but tells of a value that it refuses by writing it down, level by level on the
//! stack: one message could end the process. So could a type of many levels when a statement is planned.

use arrow::datatypes::DataType;
use memchr::memchr2_iter;

/// Levels that an object may have.
pub(crate) const MOST_LEVELS: usize = 500;

/// Levels that the type of a column may have.
pub(crate) const MOST_TYPE_LEVELS: usize = 32;

/// What is said of an object that has more.
pub(crate) const TOO_DEEP: &str = "lists and objects are in one another more than 500 times";

/// Whether some JSON has too many levels.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    is_deeper(json, MOST_LEVELS)
}

/// The levels of a type: one of a number or text.
pub(crate) fn levels(kind: &DataType) -> usize {
    let inner = match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            levels(item.data_type())
        }
        DataType::Map(entries, _) => levels(entries.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| levels(field.data_type())).max().unwrap_or(0),
        _ => 0,
    };
    inner + 1
}

/// Whether some JSON has more levels than these.
pub(crate) fn is_deeper(json: &[u8], most: usize) -> bool {
    if json.len() <= 2 * most || memchr2_iter(b'[', b'{', json).nth(most).is_none() {
        return false;
    }
    let (mut level, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => level += 1,
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        if level > most {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_and_brackets_in_texts_are_none() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MOST_LEVELS).as_bytes()));
        assert!(is_too_deep(nested(MOST_LEVELS + 1).as_bytes()));
        let text = format!("{{\"a\":\"\\\"{}\",\"b\":{}}}", "[".repeat(2_000), nested(MOST_LEVELS - 1));
        assert!(!is_too_deep(text.as_bytes()));
        assert!(!is_too_deep("[{}]".repeat(1_000).as_bytes()));
        assert!(is_too_deep(format!("{{\"a\":\"\\\\\",\"b\":{}}}", nested(MOST_LEVELS)).as_bytes()));
    }
}
