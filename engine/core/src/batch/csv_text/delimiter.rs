//! Whether a file has another delimiter than its format's.
//!
//! A file is read by each delimiter that its headings hold, quotes and all, so that neither a line break nor a delimiter
//! inside a cell misleads.

use std::io::Read;

use memchr::memchr_iter;

use super::{CsvText, core_reader};
use crate::error::{ErrorKind, Result};

/// Rows behind the headings that are looked at.
const LOOKED_AT: usize = 100;

/// A line behind the last of a file: where it is no row, a quote before it is not closed.
const LAST: &[u8] = b"\n\0end of the file\n";

/// The delimiter that a file seems to have instead of `own`: where the headings are one cell by that, one that parts them
/// and each row; else one that makes more of them, and as many of each row. `open` opens the file, to be read by a delimiter.
///
/// # Errors
/// Data: it cannot be read.
pub fn other_delimiter<'a>(own: u8, open: impl Fn(u8) -> Result<CsvText<'a>>) -> Result<Option<u8>> {
    let mut text = open(own)?;
    let mut reader = core_reader(text.options, own);
    let Some((headings, _)) = text.record(&mut reader)? else { return Ok(None) };
    let times = |byte| headings.iter().map(|cell| memchr_iter(byte, cell).count()).sum::<usize>();
    for other in [b';', b'\t', b'|', b','] {
        if other != own && times(other) >= headings.len() && parts(other, headings.len(), &open)? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Whether `other` parts each row of the first ones, and the headings into more than `own` cells.
fn parts<'a>(other: u8, own: usize, open: &impl Fn(u8) -> Result<CsvText<'a>>) -> Result<bool> {
    let mut text = open(other)?;
    let rest = std::mem::replace(&mut text.text, Box::new(std::io::empty()));
    text.text = Box::new(rest.chain(LAST));
    let mut reader = core_reader(text.options, other);
    let mut has_rows = own == 1;
    let mut width = None;
    for _ in 0..=LOOKED_AT {
        let row = match text.record(&mut reader) {
            // A quote that opens by this delimiter alone takes in the rest of the file, more than any cell may have,
            Err(error) if error.kind() == ErrorKind::User => return Ok(false),
            row => row?.map(|(cells, _)| cells),
        };
        // or what there is of it, and the last line.
        match &row {
            Some(cells) if cells.as_slice() == [LAST.trim_ascii()] => break,
            Some(cells) if cells.last().is_some_and(|cell| cell.ends_with(LAST)) => return Ok(false),
            _ => {}
        }
        match (row, width) {
            (None, _) => break,
            (Some(headings), None) if headings.len() <= own => return Ok(false),
            (Some(headings), None) => width = Some(headings.len()),
            (Some(cells), Some(width)) => {
                has_rows = true;
                if cells.len() != width && (own > 1 || cells.len() < 2) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(has_rows && width.is_some())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use encoding_rs::UTF_8;

    use super::*;
    use crate::project::CsvOptions;

    #[test]
    fn another_delimiter_is_seen_where_headings_and_rows_have_it() {
        for (text, expected) in [
            ("id;name\n1;tea\n", Some(b';')),
            ("\"id\";\"name\"\n\"1\";\"2,5\"\n", Some(b';')),
            ("id\tname\r1\t2\r", Some(b'\t')),
            ("id|name", Some(b'|')),
            ("id;name\n1\n", None),
            ("notes; remarks\nnone\n", None),
            ("id,name;x\n1,2;3\n", None),
            ("id;name;price, EUR\n1;tea;2,50\n2;cake;3,50\n", Some(b';')),
            ("id;name;price, EUR\n", None),
            ("id,a;b;c\n1,x;y\n", None),
            ("id\n1;2\n", None),
            ("", None),
            // Lines that end inside quotes, as only the right delimiter tells.
            ("id;note\n1;\"two\nlines\"\n2;\n", Some(b';')),
            (
                "\"id\";\"note\";\"x\"\n\"a;b\";\"two\nlines\";\"\"\n\"\"\"q\"\"\";\"c\";\"two\nlines\"",
                Some(b';'),
            ),
            ("id|a|b\n1|x,y|\"two\nlines\"\n2||z\n", Some(b'|')),
            // A quote that is none: it is never closed.
            ("say;what\nx;\"unclosed\ny\n", None),
            ("say;what\nx;\"unclosed\ny", None),
            // A delimiter that stands inside cells alone is none.
            ("\"id;name\"\n\"1;2\"\n", None),
            ("\"a;b\",c\n\"1;2\",3\n", None),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let options = CsvOptions::default();
            let open = |delimiter| CsvText::open(file.path(), &options, delimiter, UTF_8, Arc::default());
            assert_eq!(other_delimiter(b',', open).unwrap(), expected, "{text:?}");
        }
    }
}
