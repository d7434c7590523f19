//! How the CSV files of an input are written: the keys of `[inputs.NAME]` that every reader of CSV has.

use serde::Deserialize;

use super::InputFormat;
use crate::error::{Error, Result};

/// How CSV or TSV files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// What is between cells; without it the format says it.
    pub delimiter: Option<u8>,
    /// What is around a cell that holds a delimiter or a line break; `None`: cells have no quotes.
    pub quote: Option<u8>,
    /// What makes the character behind it plain within quotes. A doubled quote always is one.
    pub escape: Option<u8>,
    /// Whether the first row has the headings; without, columns are called `_1`, `_2` and so on.
    pub header: bool,
    /// Lines before the headings, or the first row.
    pub skip_rows: u64,
    /// What a line begins with that is none.
    pub comment: Option<u8>,
    /// Texts that stand for a null, besides the empty one.
    pub null_values: Vec<String>,
    /// How numbers are written.
    pub numbers: NumberStyle,
}

/// How numbers are written in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberStyle {
    /// `1,5` is one and a half.
    pub decimal_comma: bool,
    /// What is between groups of three digits.
    pub thousands: Option<char>,
}

impl NumberStyle {
    /// Whether numbers are as SQL writes them.
    pub fn is_plain(self) -> bool {
        self == NumberStyle::default()
    }
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions {
            delimiter: None,
            quote: Some(b'"'),
            escape: None,
            header: true,
            skip_rows: 0,
            comment: None,
            null_values: Vec::new(),
            numbers: NumberStyle::default(),
        }
    }
}

impl CsvOptions {
    /// What is between cells of a file of this format.
    pub fn delimiter(&self, format: InputFormat) -> u8 {
        self.delimiter.unwrap_or(if format == InputFormat::Tsv { b'\t' } else { b',' })
    }

    /// A byte that is none of those that divide the text, nor of any text that people write.
    pub fn unused_byte(&self, delimiter: u8) -> u8 {
        let used = [Some(delimiter), self.quote, self.escape, self.comment];
        (1..=5).find(|byte| !used.contains(&Some(*byte))).unwrap_or(6)
    }
}

/// The keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CsvKeys {
    pub delimiter: Option<String>,
    pub quote: Option<String>,
    pub escape: Option<String>,
    pub header: Option<bool>,
    pub skip_rows: Option<u64>,
    pub comment: Option<String>,
    pub null_values: Option<Vec<String>>,
    pub decimal_comma: Option<bool>,
    pub thousands: Option<String>,
}

impl CsvKeys {
    /// What the keys mean.
    ///
    /// # Errors
    /// User: a value of several bytes where there is room for one, or two of them that are the same.
    pub(super) fn options(self) -> Result<CsvOptions> {
        let plain = CsvOptions::default();
        let quote = match self.quote.as_deref() {
            None => plain.quote,
            Some("") => None,
            Some(text) => Some(one_byte("quote", text)?),
        };
        let byte = |key, text: Option<String>| text.map(|text| one_byte(key, &text)).transpose();
        let options = CsvOptions {
            delimiter: byte("delimiter", self.delimiter)?,
            quote,
            // A doubled quote is one anyway.
            escape: byte("escape", self.escape)?.filter(|escape| Some(*escape) != quote),
            header: self.header.unwrap_or(plain.header),
            skip_rows: self.skip_rows.unwrap_or(plain.skip_rows),
            comment: byte("comment", self.comment)?,
            null_values: self.null_values.unwrap_or_default(),
            numbers: NumberStyle {
                decimal_comma: self.decimal_comma.unwrap_or_default(),
                thousands: self.thousands.as_deref().map(one_character).transpose()?,
            },
        };
        let (delimiter, quote, escape, comment) =
            (options.delimiter.or(Some(b',')), options.quote, options.escape, options.comment);
        for (a, one, b, other) in [
            ("delimiter", delimiter, "quote", quote),
            ("delimiter", delimiter, "escape", escape),
            ("delimiter", delimiter, "comment", comment),
            ("quote", quote, "comment", comment),
        ] {
            if one.is_some() && one == other {
                return Err(Error::user(format!("`{a}` and `{b}` are the same character"))
                    .hint("a reader could not tell them apart: give one of them another"));
            }
        }
        let decimal = if options.numbers.decimal_comma { ',' } else { '.' };
        if options.numbers.thousands == Some(decimal) {
            return Err(Error::user(format!("`thousands` is `{decimal}`, which is before the decimals"))
                .hint("thousands = \".\" goes with decimal_comma = true, thousands = \",\" without"));
        }
        Ok(options)
    }
}

/// The one byte of a value.
fn one_byte(key: &str, text: &str) -> Result<u8> {
    let text = if text == "\\t" { "\t" } else { text };
    match text.as_bytes() {
        [byte @ 1..=127] if !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::user(format!("`{key}` is {text:?}, where one ASCII character is expected")).hint(
            match key {
                "delimiter" => {
                    "delimiter = \";\", \"\\t\" or \"|\", say; what ends a line is seen without a key"
                }
                "quote" => "quote = \"'\", say; quote = \"\" where cells have none",
                "escape" => "escape = \"\\\\\", say",
                _ => "comment = \"#\", say",
            },
        )),
    }
}

fn one_character(text: &str) -> Result<char> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if !one.is_alphanumeric() && !matches!(one, '+' | '-' | '\n' | '\r') => Ok(one),
        _ => Err(Error::user(format!("`thousands` is {text:?}, where one character is expected"))
            .hint("thousands = \".\" with decimal_comma = true, or \",\", \"'\" or \" \"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<CsvOptions> {
        toml::from_str::<CsvKeys>(text).unwrap().options()
    }

    #[test]
    fn what_has_room_for_one_byte_takes_one() {
        assert_eq!(options("").unwrap(), CsvOptions::default());
        let found = options(
            "delimiter = \"\\t\"\nquote = \"\"\nescape = \"\\\\\"\nheader = false\nskip_rows = 2\ncomment = \"#\"",
        );
        let expected = CsvOptions {
            delimiter: Some(b'\t'),
            quote: None,
            escape: Some(b'\\'),
            header: false,
            skip_rows: 2,
            comment: Some(b'#'),
            ..CsvOptions::default()
        };
        assert_eq!(found.unwrap(), expected);
        assert_eq!(options("delimiter = '\\t'").unwrap().delimiter, Some(b'\t'));
        assert_eq!(options("escape = '\"'").unwrap().escape, None);
        for text in [
            "delimiter = \";;\"",
            "delimiter = \"\"",
            "delimiter = \"§\"",
            "delimiter = \"\\n\"",
            "quote = \"''\"",
            "escape = \"\"",
            "comment = \"//\"",
            "comment = \",\"",
            "delimiter = \"'\"\nquote = \"'\"",
            "thousands = \"..\"",
            "thousands = \"0\"",
            "thousands = \".\"",
            "thousands = \",\"\ndecimal_comma = true",
        ] {
            let error = options(text).unwrap_err();
            let key = text.split(' ').next().unwrap();
            assert!(error.to_string().contains(&format!("`{key}`")), "{text}: {error}");
            assert!(error.next_step().is_some(), "{text}");
        }
    }

    #[test]
    fn a_byte_is_left_for_the_end_whatever_divides_the_text() {
        let mut options = CsvOptions::default();
        assert_eq!(options.unused_byte(1), 2);
        (options.quote, options.escape, options.comment) = (Some(2), Some(3), Some(4));
        assert_eq!(options.unused_byte(1), 5);
    }
}
