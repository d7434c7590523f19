//! JSON as RFC 8259 has it, and no other: an object is read in one pass, and what is none is told by its place.
//!
//! Arrow's reader takes more for JSON than that: a comma that is missing, `01`, `555-1234` for a number. It also tells of a
//! value that it refuses by writing it down, level by level on the stack, so that one message could end the process.
//! Here a value in another is no call in another, and there may be 500 of them.
//!
//! Strings are Unicode: bytes that are no UTF-8 and halves of surrogate pairs are refused, wherever they are. Of a name that
//! is there twice it is for the caller to say which counts.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

/// Levels that an object may have, itself one of them.
pub(crate) const MOST_LEVELS: usize = 500;

/// What is said of an object that has more.
pub(crate) const TOO_DEEP: &str = "lists and objects are in one another more than 500 times";

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    True,
    False,
    /// As it is written.
    Number(&'a str),
    Text(Text<'a>),
    List,
    Object,
}

/// What is between two quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    written: &'a str,
    is_escaped: bool,
}

impl<'a> Text<'a> {
    /// As it is written, escapes as such.
    pub(crate) fn written(self) -> &'a str {
        self.written
    }

    /// What it says.
    pub(crate) fn meant(self) -> Cow<'a, str> {
        if !self.is_escaped {
            return Cow::Borrowed(self.written);
        }
        let mut meant = String::with_capacity(self.written.len());
        let mut rest = self.written;
        while let Some((before, (meant_char, length))) = memchr(b'\\', rest.as_bytes())
            .and_then(|at| Some((&rest[..at], escape(&rest.as_bytes()[at..]).ok()?)))
        {
            meant.push_str(before);
            meant.push(meant_char);
            rest = &rest[before.len() + length..];
        }
        meant.push_str(rest);
        Cow::Owned(meant)
    }
}

/// Why some bytes are not one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Empty,
    NoObject,
    /// It ends within the object.
    CutOff,
    /// Something is behind the object.
    More,
    TooDeep,
    /// What is wrong with the byte at a place, from 0.
    At(usize, &'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => f.write_str("there is nothing"),
            Fault::NoObject => f.write_str("not a JSON object"),
            Fault::CutOff => f.write_str("the JSON object is cut off"),
            Fault::More => f.write_str("more than one JSON object, or something else behind it"),
            Fault::TooDeep => f.write_str(TOO_DEEP),
            Fault::At(at, what) => write!(f, "no JSON: {what}, byte {}", at + 1),
        }
    }
}

/// The bytes as the text that JSON has to be.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|e| Fault::At(e.valid_up_to(), "what is no UTF-8"))
}

/// Whether a byte between values says nothing.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Checks that some bytes are one object.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Fault> {
    object(text(bytes)?, |_, _| {})
}

/// Gives the fields of an object, in their order. What comes before a fault has been given by then.
pub(crate) fn object<'a>(text: &'a str, mut field: impl FnMut(Text<'a>, Value<'a>)) -> Result<(), Fault> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    match scan.peek() {
        Some(b'{') => scan.at += 1,
        Some(_) => return Err(Fault::NoObject),
        None => return Err(Fault::Empty),
    }
    scan.blanks();
    if scan.peek() == Some(b'}') {
        scan.at += 1;
        return scan.end();
    }
    loop {
        let name = scan.name()?;
        let value = if scan.is_at_bracket() { scan.nested()? } else { scan.plain()? };
        field(name, value);
        scan.blanks();
        match scan.peek() {
            Some(b',') => scan.at += 1,
            Some(b'}') => {
                scan.at += 1;
                return scan.end();
            }
            _ => return Err(scan.wrong("`,` or `}` is expected")),
        }
        scan.blanks();
    }
}

/// The one string that some text is.
pub(crate) fn string(text: &str) -> Result<Text<'_>, Fault> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    match scan.peek() {
        Some(b'"') => {
            let string = scan.string()?;
            scan.end()?;
            Ok(string)
        }
        Some(_) => Err(scan.wrong("`\"` is expected")),
        None => Err(Fault::Empty),
    }
}

/// A place in some text.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn is_at_bracket(&self) -> bool {
        matches!(self.peek(), Some(b'{' | b'['))
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// That the byte here is not what it should be.
    fn wrong(&self, what: &'static str) -> Fault {
        if self.at < self.text.len() { Fault::At(self.at, what) } else { Fault::CutOff }
    }

    /// That nothing comes any more.
    fn end(&mut self) -> Result<(), Fault> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::More) }
    }

    /// A name of a field, with the colon.
    fn name(&mut self) -> Result<Text<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a name in double quotes is expected"));
        }
        let name = self.string()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:` is expected"));
        }
        self.at += 1;
        self.blanks();
        Ok(name)
    }

    /// A string; here is the quote before it.
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        self.at += 1;
        let (start, mut is_escaped) = (self.at, false);
        loop {
            self.at = end_of_plain(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    let written = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { written, is_escaped });
                }
                Some(b'\\') => {
                    is_escaped = true;
                    match escape(&self.text.as_bytes()[self.at..]) {
                        Ok((_, length)) => self.at += length,
                        Err(Some(what)) => return Err(self.wrong(what)),
                        Err(None) => return Err(Fault::CutOff),
                    }
                }
                _ => return Err(self.wrong("a control character in a string is to be written as an escape")),
            }
        }
    }

    /// A value that is no list and no object.
    fn plain(&mut self) -> Result<Value<'a>, Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::True),
            Some(b'f') => self.word("false", Value::False),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.wrong("a value is expected")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        let is_cut_off = word.as_bytes().starts_with(rest);
        Err(if is_cut_off { Fault::CutOff } else { self.wrong("a value is expected") })
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit is expected")) } else { Ok(()) }
    }

    /// A list or an object, with all that is in it; here is its bracket.
    fn nested(&mut self) -> Result<Value<'a>, Fault> {
        let outermost = if self.peek() == Some(b'{') { Value::Object } else { Value::List };
        let mut levels = Levels::default();
        loop {
            // Here is a bracket that opens.
            let is_object = self.peek() == Some(b'{');
            levels.enter(is_object)?;
            self.at += 1;
            self.blanks();
            let is_empty = match self.peek() {
                Some(b'}') => is_object,
                Some(b']') => !is_object,
                _ => false,
            };
            if !is_empty {
                if is_object {
                    self.name()?;
                }
                if self.is_at_bracket() {
                    continue;
                }
                self.plain()?;
            }
            // Here is the end of a value, or of an object without any.
            loop {
                let Some(is_object) = levels.innermost() else { return Ok(outermost) };
                self.blanks();
                match self.peek() {
                    Some(b'}') if is_object => levels.leave(),
                    Some(b']') if !is_object => levels.leave(),
                    Some(b',') => {
                        self.at += 1;
                        self.blanks();
                        if is_object {
                            self.name()?;
                        }
                        if self.is_at_bracket() {
                            break;
                        }
                        self.plain()?;
                        continue;
                    }
                    _ if is_object => return Err(self.wrong("`,` or `}` is expected")),
                    _ => return Err(self.wrong("`,` or `]` is expected")),
                }
                self.at += 1;
            }
        }
    }
}

/// Which of the levels are objects, a bit each; the outermost object is not among them.
#[derive(Default)]
struct Levels {
    objects: [u64; MOST_LEVELS.div_ceil(64)],
    depth: usize,
}

impl Levels {
    fn enter(&mut self, is_object: bool) -> Result<(), Fault> {
        if self.depth + 1 >= MOST_LEVELS {
            return Err(Fault::TooDeep);
        }
        let bit = 1 << (self.depth % 64);
        let word = &mut self.objects[self.depth / 64];
        *word = if is_object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Whether the innermost one is an object.
    fn innermost(&self) -> Option<bool> {
        let at = self.depth.checked_sub(1)?;
        Some(self.objects[at / 64] & (1 << (at % 64)) != 0)
    }
}

/// Where a string is no longer what it says: at a quote, an escape, a control character or the end. Eight bytes at once.
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const EACH: u64 = u64::MAX / 255;
    const HIGH: u64 = EACH << 7;
    // The lowest of the bytes found is always one; above it there may be more than there are.
    let less = |word: u64, than: u8| word.wrapping_sub(EACH * u64::from(than)) & !word;
    let equal = |word: u64, byte: u8| less(word ^ (EACH * u64::from(byte)), 1);
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let found = (less(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// The character of an escape that some bytes begin with, and how long it is; else what is wrong, or that it is cut off.
fn escape(bytes: &[u8]) -> Result<(char, usize), Option<&'static str>> {
    const HALF: Option<&str> = Some("half of a surrogate pair is no character");
    let short = match bytes.get(1).ok_or(None)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(bytes.get(2..))?;
            if let Some(character) = char::from_u32(first) {
                return Ok((character, 6));
            }
            let is_pair = match bytes.get(6..).unwrap_or_default() {
                [] | [b'\\'] => return Err(None),
                [b'\\', b'u', ..] => first < 0xdc00,
                _ => false,
            };
            if !is_pair {
                return Err(HALF);
            }
            let second = unit(bytes.get(8..))?.checked_sub(0xdc00).filter(|second| *second < 0x400);
            let code = second.map(|second| 0x10000 + ((first - 0xd800) << 10) + second);
            return Ok((code.and_then(char::from_u32).ok_or(HALF)?, 12));
        }
        _ => return Err(Some("no escape of JSON")),
    };
    Ok((short, 2))
}

/// The number of four hexadecimal digits.
fn unit(bytes: Option<&[u8]>) -> Result<u32, Option<&'static str>> {
    let mut number = 0;
    for at in 0..4 {
        let digit = bytes.and_then(|bytes| bytes.get(at)).ok_or(None)?;
        let digit = char::from(*digit).to_digit(16).ok_or(Some("four hexadecimal digits are expected"))?;
        number = number * 16 + digit;
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
