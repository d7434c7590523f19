//! The text of a CSV file, ready for a reader: its headings, and in which line what is.
//!
//! Lines end in LF, CRLF or CR, also mixed. Blank lines are no rows, nor are comments; what is before the headings (a byte
//! order mark, `skip_rows`) is passed over here, so that every reader begins at the same byte.

mod delimiter;

use std::collections::VecDeque;
use std::io::{BufRead, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use csv_core::ReadRecordResult;
use encoding_rs::Encoding;
use memchr::{memchr2, memchr2_iter};

pub(super) use delimiter::other_delimiter;

use super::input::bytes::{self, Compression, broken};
use crate::error::{Error, Result};
use crate::project::CsvOptions;

/// Headings that are longer than this are none.
const LONGEST_HEADER: usize = 1 << 24;
/// As are more than this.
const MOST_HEADINGS: usize = 1 << 20;
/// A quote that no text has: of cells without quotes.
const NO_QUOTE: u8 = 0xff;

/// A file, open at its headings.
pub(super) struct CsvText<'a> {
    /// What is still to be read.
    pub text: Box<dyn BufRead + Send>,
    /// How it is compressed.
    pub compression: Compression,
    /// Ends of lines before that.
    pub lines: Lines,
    path: &'a Path,
    options: &'a CsvOptions,
    delimiter: u8,
}

/// The headings of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// As they stand there, without blanks around them.
    pub names: Vec<String>,
    /// The line that they begin in.
    pub line: u64,
}

impl<'a> CsvText<'a> {
    /// Opens a file; `bytes` counts what is read of it.
    ///
    /// # Errors
    /// User: it is not there, or a folder; Data: it cannot be read.
    pub(super) fn open(
        path: &'a Path,
        options: &'a CsvOptions,
        delimiter: u8,
        encoding: &'static Encoding,
        bytes: Arc<AtomicU64>,
    ) -> Result<CsvText<'a>> {
        let bytes::Opened { mut text, compression } = bytes::open(path, encoding, bytes)?;
        let mut first = Vec::new();
        text.by_ref().take(3).read_to_end(&mut first).map_err(|e| broken(path, compression, 0, &e))?;
        if first != b"\xef\xbb\xbf" && !first.is_empty() {
            text = Box::new(Cursor::new(first).chain(text));
        }
        let mut lines = Lines::default();
        for _ in 0..options.skip_rows {
            skip_line(&mut text, &mut lines).map_err(|e| broken(path, compression, lines.ended, &e))?;
        }
        if options.comment.is_some() {
            text = Box::new(Uncommented::new(text, options, delimiter));
        }
        Ok(CsvText { text, compression, lines, path, options, delimiter })
    }

    /// Reads the headings, trimmed. Where the file has none, its columns are called by their places, `_1` the first, and its
    /// first row is lost: it is to be opened again.
    ///
    /// # Errors
    /// User: the file is empty or has none; Data: it cannot be read.
    pub(super) fn header(&mut self) -> Result<Header> {
        let hint =
            "a CSV file has a line of headings (header = false says that it has none); it may be compressed";
        let path = self.path.display();
        let mut reader = core_reader(self.options, self.delimiter);
        let Some((cells, line)) = self.record(&mut reader)? else {
            return Err(Error::user(format!("{path} is empty")).hint(hint));
        };
        if !self.options.header {
            return Ok(Header { names: (1..=cells.len()).map(|at| format!("_{at}")).collect(), line });
        }
        let names = cells.iter().map(|cell| heading(cell)).collect::<Option<Vec<_>>>();
        let names = names.ok_or_else(|| {
            Error::user(format!("{path} is not a CSV file: its first line is no header")).hint(hint)
        })?;
        Ok(Header { names, line })
    }

    /// The next row that is not blank, and the line that it begins in; `None` at the end. The text is left behind it, at the
    /// most before the line feed of a CRLF, which is a blank line.
    fn record(&mut self, reader: &mut csv_core::Reader) -> Result<Option<(Vec<Vec<u8>>, u64)>> {
        let (mut bytes, mut ends) = (vec![0; 1 << 12], vec![0; 1 << 8]);
        let (mut used_bytes, mut used_ends) = (0, 0);
        loop {
            let text = self.text.fill_buf();
            let text = text.map_err(|e| broken(self.path, self.compression, self.lines.ended, &e))?;
            let (result, read, written, ended) =
                reader.read_record(text, &mut bytes[used_bytes..], &mut ends[used_ends..]);
            self.lines.pass(&text[..read]);
            self.text.consume(read);
            used_bytes += written;
            used_ends += ended;
            if used_bytes > LONGEST_HEADER || used_ends > MOST_HEADINGS {
                let path = self.path.display();
                return Err(Error::user(format!("{path} is not a CSV file: its first line is no header"))
                    .hint("a quote that is not closed? quote = \"\" says that cells have none"));
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => bytes.resize(bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(ends.iter().copied());
                    let places = starts.zip(&ends[..used_ends]);
                    let cells: Vec<Vec<u8>> = places.map(|(from, to)| bytes[from..*to].to_vec()).collect();
                    let is_blank = matches!(cells.as_slice(), [only] if only.trim_ascii().is_empty());
                    if !is_blank {
                        let inside: u64 = cells.iter().map(|cell| Lines::inside(cell)).sum();
                        // At the end of the file there may be no end of the line.
                        let last = self.lines.ended + u64::from(!self.lines.at_start);
                        return Ok(Some((cells, last.saturating_sub(inside))));
                    }
                    (used_bytes, used_ends) = (0, 0);
                }
            }
        }
    }
}

/// A heading; `None` where it is no text.
fn heading(cell: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(cell).ok()?;
    let is_text = !name.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    is_text.then(|| name.trim().to_owned())
}

fn core_reader(options: &CsvOptions, delimiter: u8) -> csv_core::Reader {
    csv_core::ReaderBuilder::new().delimiter(delimiter).quote(quote(options)).escape(options.escape).build()
}

/// The quote for a reader that always has one.
pub(super) fn quote(options: &CsvOptions) -> u8 {
    options.quote.unwrap_or(NO_QUOTE)
}

/// Passes over a line and its end.
fn skip_line(text: &mut Box<dyn BufRead + Send>, lines: &mut Lines) -> std::io::Result<()> {
    loop {
        let buffer = text.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = memchr2(b'\n', b'\r', buffer);
        let read = end.map_or(buffer.len(), |at| at + 1);
        let is_cr = end.is_some_and(|at| buffer[at] == b'\r');
        lines.pass(&buffer[..read]);
        text.consume(read);
        if is_cr && text.fill_buf()?.first() == Some(&b'\n') {
            lines.pass(b"\n");
            text.consume(1);
        }
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Ends of lines that a reader has passed. That of a CRLF is one, its CR.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    /// How many.
    pub ended: u64,
    /// Whether nothing is behind the last.
    at_start: bool,
    /// Whether a line feed would belong to the last.
    behind_cr: bool,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { ended: 0, at_start: true, behind_cr: false }
    }
}

impl Lines {
    fn pass(&mut self, text: &[u8]) {
        self.each(text, |_| {});
    }

    /// Tells the place of each end.
    fn each(&mut self, text: &[u8], mut tell: impl FnMut(usize)) {
        let Some(last) = text.last() else { return };
        let before = |at: usize| if at == 0 { self.behind_cr } else { text[at - 1] == b'\r' };
        let mut ended = 0;
        for at in memchr2_iter(b'\n', b'\r', text) {
            if text[at] == b'\r' || !before(at) {
                ended += 1;
                tell(at);
            }
        }
        self.ended += ended;
        self.behind_cr = *last == b'\r';
        self.at_start = matches!(last, b'\r' | b'\n');
    }

    /// How many are in a cell.
    pub(super) fn inside(cell: &[u8]) -> u64 {
        let mut lines = Lines::default();
        lines.pass(cell);
        lines.ended
    }
}

/// A text whose ends of lines are kept until somebody asks which line a byte is in.
pub(super) struct Numbered<R> {
    text: R,
    lines: Lines,
    /// Bytes read.
    read: u64,
    /// Bytes that may be read until the next row begins.
    most: u64,
    /// Places of the ends that nobody has asked beyond.
    ends: VecDeque<u64>,
    /// Ends before these.
    before: u64,
}

impl<R> Numbered<R> {
    /// The rest of a text with so many lines before it.
    pub(super) fn new(text: R, lines: Lines) -> Self {
        Numbered { text, lines, read: 0, most: u64::MAX, ends: VecDeque::new(), before: lines.ended }
    }

    /// A row begins: so many bytes are the most that it may be. Beyond them [`std::io::ErrorKind::FileTooLarge`] is read.
    pub(super) fn begin_row(&mut self, most: u64) {
        self.most = self.read.saturating_add(most);
    }

    /// The line, from 1, of the byte at a place; places are asked for in their order.
    pub(super) fn line_of(&mut self, place: u64) -> u64 {
        while self.ends.front().is_some_and(|end| *end < place) {
            self.ends.pop_front();
            self.before += 1;
        }
        self.before + 1
    }
}

impl<R: Read> Read for Numbered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let read = self.text.read(buffer)?;
        let (from, ends) = (self.read, &mut self.ends);
        self.lines.each(&buffer[..read], |at| ends.push_back(from + at as u64));
        self.read += read as u64;
        Ok(read)
    }
}

/// A text whose comments are blank lines. A reader of CSV knows comments too, but ends them at a line feed alone.
struct Uncommented<R> {
    source: R,
    comment: u8,
    quote: u8,
    escape: Option<u8>,
    delimiter: u8,
    place: Place,
    kept: Vec<u8>,
    /// What of `kept` was taken.
    taken: usize,
}

/// Where in a row a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Row,
    Comment,
    Cell,
    InCell,
    Quoted,
    Escaped,
    BehindQuote,
}

impl<R: BufRead> Uncommented<R> {
    fn new(source: R, options: &CsvOptions, delimiter: u8) -> Self {
        Uncommented {
            source,
            comment: options.comment.unwrap_or_default(),
            quote: quote(options),
            escape: options.escape,
            delimiter,
            place: Place::Row,
            kept: Vec::new(),
            taken: 0,
        }
    }

    /// Where the byte behind this one is.
    fn behind(&self, byte: u8) -> Place {
        let is_end = matches!(byte, b'\n' | b'\r');
        match self.place {
            Place::Comment if !is_end => Place::Comment,
            Place::Row if byte == self.comment => Place::Comment,
            Place::Quoted if byte == self.quote => Place::BehindQuote,
            Place::Quoted if Some(byte) == self.escape => Place::Escaped,
            Place::Quoted | Place::Escaped => Place::Quoted,
            Place::BehindQuote if byte == self.quote => Place::Quoted,
            _ if is_end => Place::Row,
            _ if byte == self.delimiter => Place::Cell,
            Place::Row | Place::Cell if byte == self.quote => Place::Quoted,
            _ => Place::InCell,
        }
    }
}

impl<R: BufRead> BufRead for Uncommented<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        while self.taken == self.kept.len() {
            let text = self.source.fill_buf()?;
            if text.is_empty() {
                break;
            }
            let text = text.to_vec();
            (self.taken, self.kept) = (0, Vec::with_capacity(text.len()));
            for byte in &text {
                self.place = self.behind(*byte);
                if self.place != Place::Comment {
                    self.kept.push(*byte);
                }
            }
            self.source.consume(text.len());
        }
        Ok(&self.kept[self.taken..])
    }

    fn consume(&mut self, read: usize) {
        self.taken = (self.taken + read).min(self.kept.len());
    }
}

impl<R: BufRead> Read for Uncommented<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
