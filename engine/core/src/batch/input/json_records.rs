//! The objects of a JSON file: one a line, or one after the other however they are written, arrays of them too.
//!
//! Which of the two it is, the beginning says. A file of lines goes on behind a bad line, whatever is in that. In one that
//! begins with an array, or with an object of several lines, only the brackets tell where an object ends: where they are
//! wrong, nothing behind can be read.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use encoding_rs::Encoding;
use serde::de::IgnoredAny;

use super::bytes::{self, Compression, Opened};
use crate::error::{Error, Result};
use crate::json::is_blank;
use crate::memory;

/// What a file should have been.
pub(super) const FORM: &str = "one JSON object a line is expected, or arrays of objects";

/// A file, open at its next object.
pub(super) struct Records {
    path: PathBuf,
    text: Box<dyn BufRead + Send>,
    compression: Compression,
    form: Form,
    /// Line of the last byte read, from 1.
    line: u64,
    /// Most bytes of an object.
    longest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An object a line.
    Lines,
    /// Objects, and arrays of them.
    Documents {
        /// Within an array: what may come next.
        array: Option<Next>,
    },
}

/// What comes next in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A value, or the end of an array that is empty.
    First,
    /// A value.
    Value,
    /// A comma or the end.
    Comma,
}

impl Records {
    /// Opens a file; `bytes` counts what is read of it.
    ///
    /// # Errors
    /// User: it is not there; Data: it cannot be read.
    pub(super) fn open(path: &Path, encoding: &'static Encoding, bytes: Arc<AtomicU64>) -> Result<Records> {
        let form =
            if is_of_documents(path, encoding)? { Form::Documents { array: None } } else { Form::Lines };
        let Opened { text, compression } = bytes::open(path, encoding, bytes)?;
        let line = u64::from(form != Form::Lines);
        Ok(Records { path: path.to_owned(), text, compression, form, line, longest: memory::longest_row() })
    }

    /// The next object, or what is in the place of one, and the line that it begins in. `None` at the end.
    ///
    /// # Errors
    /// Data: the file cannot be read on.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<u64>> {
        record.clear();
        match self.form {
            Form::Lines => self.next_line(record),
            Form::Documents { .. } => self.next_value(record),
        }
    }

    fn next_line(&mut self, record: &mut Vec<u8>) -> Result<Option<u64>> {
        loop {
            record.clear();
            let read = (&mut self.text)
                .take(self.longest + 1)
                .read_until(b'\n', record)
                .map_err(|e| bytes::broken(&self.path, self.compression, self.line, &e))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 > self.longest {
                return Err(bytes::too_long(&self.path, self.line));
            }
            if !record.iter().copied().all(is_blank) {
                return Ok(Some(self.line));
            }
        }
    }

    /// The next byte that is no blank, not consumed.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let line = self.line;
            let text =
                self.text.fill_buf().map_err(|e| bytes::broken(&self.path, self.compression, line, &e))?;
            if text.is_empty() {
                return Ok(None);
            }
            let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
            self.line += text[..blanks].iter().filter(|byte| **byte == b'\n').count() as u64;
            let found = text.get(blanks).copied();
            self.text.consume(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn next_value(&mut self, record: &mut Vec<u8>) -> Result<Option<u64>> {
        loop {
            let Form::Documents { array } = self.form else { return Ok(None) };
            let Some(byte) = self.peek()? else {
                return match array {
                    None => Ok(None),
                    Some(_) => Err(self.cut_off("an array")),
                };
            };
            let next = match (array, byte) {
                (None, b'[') => Some(Next::First),
                (None, b'{') => {
                    let line = self.line;
                    self.value(record)?;
                    return Ok(Some(line));
                }
                (None, _) => return self.wrong(byte, "an object `{…}` or an array `[…]`"),
                (Some(Next::First | Next::Comma), b']') => None,
                (Some(Next::Comma), b',') => Some(Next::Value),
                (Some(Next::Comma), _) => return self.wrong(byte, "`,` or `]`"),
                (Some(_), b']' | b'}' | b',' | b':') => return self.wrong(byte, "an object `{…}`"),
                (Some(_), _) => {
                    let line = self.line;
                    self.value(record)?;
                    self.form = Form::Documents { array: Some(Next::Comma) };
                    return Ok(Some(line));
                }
            };
            self.text.consume(1);
            self.form = Form::Documents { array: next };
        }
    }

    fn wrong<T>(&self, found: u8, expected: &str) -> Result<T> {
        Err(Error::data(format!("`{}` where {expected} is expected", char::from(found).escape_default()))
            .context(format!("{}, line {}", self.path.display(), self.line))
            .hint(FORM))
    }

    fn cut_off(&self, what: &str) -> Error {
        Error::data(format!("the file ends within {what}"))
            .context(format!("{}, line {}", self.path.display(), self.line))
            .hint("the file is cut off: fetch it again")
    }

    /// The bytes of a value: to the bracket that closes it, the quote, or what ends a number or a word.
    fn value(&mut self, record: &mut Vec<u8>) -> Result<()> {
        let (mut depth, mut in_text, mut is_escaped) = (0_u64, false, false);
        loop {
            let line = self.line;
            let text =
                self.text.fill_buf().map_err(|e| bytes::broken(&self.path, self.compression, line, &e))?;
            if text.is_empty() {
                return Err(self.cut_off("an object"));
            }
            let (mut taken, mut is_ended) = (0, false);
            for byte in text {
                if in_text {
                    match byte {
                        _ if is_escaped => is_escaped = false,
                        b'\\' => is_escaped = true,
                        b'"' => in_text = false,
                        _ => {}
                    }
                    is_ended = !in_text && depth == 0;
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth > 0 => {
                            depth -= 1;
                            is_ended = depth == 0;
                        }
                        // Behind a number or a word.
                        b',' | b']' | b'}' if depth == 0 => break,
                        byte if is_blank(*byte) && depth == 0 => break,
                        _ => {}
                    }
                }
                taken += 1;
                self.line += u64::from(*byte == b'\n');
                if is_ended {
                    break;
                }
            }
            let is_behind = taken < text.len();
            record.extend_from_slice(&text[..taken]);
            if record.len() as u64 > self.longest {
                return Err(bytes::too_long(&self.path, self.line));
            }
            self.text.consume(taken);
            if is_ended || is_behind {
                return Ok(());
            }
        }
    }
}

/// Whether a file is not of lines: it begins with an array, or with an object of several lines.
fn is_of_documents(path: &Path, encoding: &'static Encoding) -> Result<bool> {
    let mut text = bytes::open(path, encoding, Arc::default())?.text;
    let mut first = Vec::new();
    // What cannot be read is told by whoever reads it.
    while (&mut text).take(memory::longest_row()).read_until(b'\n', &mut first).is_ok_and(|read| read > 0) {
        if !first.iter().copied().all(is_blank) {
            break;
        }
        first.clear();
    }
    let start = first.trim_ascii();
    if first.len() as u64 >= memory::longest_row() {
        // Too long for an object: whoever reads it says so.
        return Ok(start.first() == Some(&b'['));
    }
    if start.first() != Some(&b'{') {
        return Ok(start.first() == Some(&b'['));
    }
    if serde_json::from_slice::<IgnoredAny>(start).is_ok() {
        return Ok(false);
    }
    // A bad line, or the beginning of an object: that is whole with the lines behind it.
    let whole = std::io::Read::chain(first.as_slice(), text);
    let mut values = serde_json::Deserializer::from_reader(whole).into_iter::<IgnoredAny>();
    let is_object = matches!(values.next(), Some(Ok(_)));
    Ok(is_object && values.byte_offset() > first.len())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The objects of a file with their lines, and how the error ends, if there is one.
    fn records(text: &str) -> (Vec<(u64, String)>, Option<String>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut records = Records::open(file.path(), encoding_rs::UTF_8, Arc::default()).unwrap();
        let (mut found, mut record) = (Vec::new(), Vec::new());
        loop {
            match records.next(&mut record) {
                Ok(Some(line)) => {
                    found.push((line, String::from_utf8_lossy(record.trim_ascii()).into_owned()))
                }
                Ok(None) => return (found, None),
                Err(e) => {
                    return (found, Some(e.to_string().rsplit(".tmp").next().unwrap_or_default().to_owned()));
                }
            }
        }
    }

    #[test]
    fn objects_are_found_however_they_are_written() {
        let (a, b) = (r#"{"a":"]}\"\\","b":[{}]}"#, r#"{"a":2}"#);
        for (text, lines) in [
            (format!("{a}\n\n{b}"), [1, 3]),
            (format!("\n{a}\r\n{b}\r\n"), [2, 3]),
            (format!("[{a},{b}]"), [1, 1]),
            (format!(" [\n{a}\n,\n{b}\n]\n"), [2, 4]),
            (format!("[{a}]\n[]\n[{b}]"), [1, 3]),
            (format!("[{a}]{b}"), [1, 1]),
        ] {
            let (found, error) = records(&text);
            assert_eq!(
                (error, found),
                (None, vec![(lines[0], a.to_owned()), (lines[1], b.to_owned())]),
                "{text}"
            );
        }
        let pretty = "{\n \"a\": 1\n}\n{\n \"a\": 2 }\n";
        let (found, error) = records(pretty);
        assert_eq!((error, found.len(), found[1].0), (None, 2, 4));
        assert_eq!(records("").0, []);
        assert_eq!(records("[]").0, []);
    }

    #[test]
    fn a_bad_line_ends_no_file_of_lines_but_a_wrong_bracket_ends_one_of_arrays() {
        let (found, error) = records("{\"a\":1,\n{\"a\":2}\n[1]\n");
        assert_eq!((found.len(), error), (3, None));
        // What is no object is for the reader of the objects to say.
        assert_eq!(records("[1, \"x,]\", null,[2], {\"a\":1}]").0.len(), 5);
        for (text, whole, says) in [
            ("[{\"a\":1} {\"a\":2}]", 1, "`{` where `,` or `]` is expected"),
            ("[{\"a\":1},]", 1, "`]` where an object"),
            ("[{\"a\":1}\n", 1, "the file ends within an array"),
            ("[{\"a\":1},\n{\"a\":", 1, "the file ends within an object"),
            ("[{\"a\":1}]\nx", 1, "line 2: `x` where"),
            ("[{\"a\":1}}", 1, "`}` where"),
        ] {
            let (found, error) = records(text);
            assert_eq!(found.len(), whole, "{text}");
            assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{text}: {error:?}");
        }
    }
}
