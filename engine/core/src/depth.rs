//! Types of lists and objects in one another without end: a statement about a column of such a type would be planned level by
//! level on the stack, and end the process. How deep JSON may be is for [`crate::json`] to say.

use arrow::datatypes::DataType;
use memchr::memchr2_iter;

/// Levels that the type of a column may have.
pub(crate) const MOST_TYPE_LEVELS: usize = 32;

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
        assert!(!is_deeper(nested(32).as_bytes(), 32));
        assert!(is_deeper(nested(33).as_bytes(), 32));
        let text = format!("{{\"a\":\"\\\"{}\",\"b\":{}}}", "[".repeat(2_000), nested(31));
        assert!(!is_deeper(text.as_bytes(), 32));
        assert!(!is_deeper("[{}]".repeat(1_000).as_bytes(), 32));
        assert!(is_deeper(format!("{{\"a\":\"\\\\\",\"b\":{}}}", nested(32)).as_bytes(), 32));
    }
}
