//! The checksum of a record: a bit that a disk has changed may leave JSON that reads well and says something else.
//!
//! ```text
//! {
//!   "format": 3,
//!   "crc32c": "9a71bb4c",     of the record's bytes without this line
//!   "batch_id": 7,
//! ```
//!
//! A record without the line, as versions before format 3 wrote it, is not checked.

use memchr::memmem;

const NAME: &str = "crc32c";

/// A record's text, as it is written with its members on lines of their own, with its checksum behind the first of them.
pub(super) fn sealed(text: &str) -> String {
    let sum = crc32c::crc32c(text.as_bytes());
    let lines = text.match_indices('\n').map(|(at, _)| at + 1);
    let (head, rest) = text.split_at(lines.take(2).last().unwrap_or_default());
    format!("{head}{}{rest}", line(&format!("{sum:08x}")))
}

/// Whether a record's bytes are those that it was written with, of which it says that they have this checksum.
pub(super) fn is_whole(bytes: &[u8], said: &str) -> bool {
    let line = line(said);
    let Some(at) = memmem::find(bytes, line.as_bytes()) else { return false };
    let before = crc32c::crc32c(&bytes[..at]);
    format!("{:08x}", crc32c::crc32c_append(before, &bytes[at + line.len()..])) == said
}

/// The checksum that a record says it has.
pub(super) fn said(record: &serde_json::Value) -> Option<String> {
    let said = record.get(NAME)?;
    // Whatever else stands there is none that the bytes can have.
    Some(said.as_str().map_or_else(|| said.to_string(), str::to_owned))
}

fn line(sum: &str) -> String {
    format!("  \"{NAME}\": \"{sum}\",\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_of_all_other_bytes_and_no_bit_of_them_changes_unseen() {
        let text = "{\n  \"format\": 3,\n  \"batch_id\": 7,\n  \"to\": 601\n}\n";
        let sealed = sealed(text);
        let value: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        let sum = said(&value).unwrap();
        assert_eq!(sealed.replace(&line(&sum), ""), text);
        assert!(sealed.starts_with("{\n  \"format\": 3,\n  \"crc32c\": \""));
        assert!(is_whole(sealed.as_bytes(), &sum));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What is no JSON any more, or has no checksum, says so by itself or is as it was.
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else { continue };
            if let Some(sum) = said(&value) {
                assert!(!is_whole(&bytes, &sum), "{bit}");
            }
        }
        assert_eq!(said(&serde_json::json!({"format": 2})), None);
        assert!(!is_whole(sealed.as_bytes(), "null"));
    }
}
