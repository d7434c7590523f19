//! A CSV, plain or gzip, read as text: every cell a string, empty ones null, each row with its line in the file.
//!
//! Line numbers are those that an editor shows, also
//! behind cells with line breaks, which is why this reads with the `csv` crate and not with Arrow's reader: that one
//! counts records.

use std::io::{BufRead, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use csv::ByteRecord;
use encoding_rs::Encoding;

use super::input::bytes::{self, Compression, Opened, broken};
use super::input::rows_at_once;
use crate::error::{Error, Result};

/// Rows read at a time.
pub(super) const BATCH_ROWS: usize = 8_192;
/// A first line longer than this is no header.
const LONGEST_HEADER: u64 = 1 << 16;
/// The last line that the reader is given. A quote that is never closed swallows it, which tells that quote apart.
pub(super) const END: &[u8] = b"\x01end of file\x01";
/// The column of a batch that has the line numbers.
pub(super) const LINE: &str = "_line";

/// A file, open at its next row.
pub struct CsvFile {
    path: PathBuf,
    header: Vec<String>,
    reader: csv::Reader<Box<dyn Read + Send>>,
    compression: Compression,
    /// Lines end in CRLF.
    crlf: bool,
    /// Line of the last row read; of the header before the first.
    line: u64,
    /// Rows read, bad ones too.
    records: i64,
    delimiter: [u8; 1],
}

/// Some rows of a file as text.
pub(super) struct TextRows {
    /// Cells, called by their place, and `_line` behind them.
    pub text: RecordBatch,
    /// The number of each row in the file, from 1.
    pub numbers: Vec<i64>,
}

/// A row that cannot be read.
pub(super) struct BadRow {
    /// Its line in the file.
    pub line: u64,
    /// The column of the cell that is bad, where it is one cell.
    pub column: Option<String>,
    /// Why.
    pub reason: String,
    /// Its cells.
    pub payload: Vec<u8>,
}

/// The columns of a batch that selects these.
pub(super) fn text_schema(columns: &[String]) -> SchemaRef {
    let fields = columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
    let line = Field::new(LINE, DataType::Int64, false);
    Arc::new(Schema::new(fields.chain([line]).collect::<Vec<_>>()))
}

impl CsvFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// User: it is not there, is empty or has no header; Data: it cannot be read.
    pub fn open(path: &Path) -> Result<CsvFile> {
        CsvFile::open_as(path, b',', encoding_rs::UTF_8)
    }

    /// The same for another delimiter or encoding.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_as(path: &Path, delimiter: u8, encoding: &'static Encoding) -> Result<CsvFile> {
        let Opened { text: mut plain, compression } = bytes::open(path, encoding, Arc::default())?;
        let (header, first) = read_header(&mut plain, path, compression, delimiter)?;
        let crlf = first.ends_with(b"\r\n");
        // Ends of lines around it, so that the last row is counted as the others are; blank lines are no rows.
        let end = if crlf { [b"\r\n", END, b"\r\n"].concat() } else { [b"\n", END, b"\n"].concat() };
        let whole: Box<dyn Read + Send> = Box::new(plain.chain(Cursor::new(end)));
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            // The number of cells is checked here, to name the line.
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(1 << 16)
            .from_reader(whole);
        Ok(CsvFile {
            path: path.to_owned(),
            header,
            reader,
            compression,
            crlf,
            line: 1,
            records: 0,
            delimiter: [delimiter],
        })
    }

    /// The file as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The headings, without blanks around them.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The next rows with these columns as text, found by their headings (one that the file lacks is null), and `_line`
    /// (BIGINT) behind them. `None` at the end.
    ///
    /// # Errors
    /// Data: a row with too few or too many cells, text that is no UTF-8, a gzip file that is cut off.
    pub fn next_batch(&mut self, columns: &[String]) -> Result<Option<RecordBatch>> {
        self.next_of(columns, None)
    }

    /// The same; rows that cannot be read go to `bad`, where there is one.
    pub(super) fn next_of(
        &mut self,
        columns: &[String],
        bad: Option<&mut Vec<BadRow>>,
    ) -> Result<Option<RecordBatch>> {
        let positions: Vec<Option<usize>> =
            columns.iter().map(|name| self.header.iter().position(|heading| heading == name)).collect();
        let Some(rows) = self.next_at(&positions, bad)? else { return Ok(None) };
        Ok(Some(RecordBatch::try_new(text_schema(columns), rows.text.columns().to_vec())?))
    }

    /// The next rows, with the columns at these places. Rows that cannot be read go to `bad`, where there is one.
    ///
    /// # Errors
    /// As [`Self::next_batch`]; with `bad`, only what keeps the file from being read on.
    pub(super) fn next_at(
        &mut self,
        positions: &[Option<usize>],
        mut bad: Option<&mut Vec<BadRow>>,
    ) -> Result<Option<TextRows>> {
        let mut cells: Vec<StringBuilder> = positions.iter().map(|_| StringBuilder::new()).collect();
        let (mut lines, mut numbers) = (Vec::new(), Vec::new());
        let mut record = ByteRecord::new();
        let mut read = 0;
        let most = BATCH_ROWS.min(rows_at_once(positions.len()));
        while read < most && self.next_record(&mut record)? {
            read += 1;
            self.records += 1;
            if let Some((column, reason, hint)) = self.fault(&record, positions) {
                let Some(bad) = bad.as_deref_mut() else {
                    let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
                    return Err(Error::data(reason).context(format!("{}{column}", self.place())).hint(hint));
                };
                let payload = record.iter().collect::<Vec<_>>().join(&self.delimiter[..]);
                bad.push(BadRow { line: self.line, column, reason, payload });
                continue;
            }
            lines.push(i64::try_from(self.line).unwrap_or(i64::MAX));
            numbers.push(self.records);
            for (builder, position) in cells.iter_mut().zip(positions) {
                let cell = position.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
                builder.append_option(cell.and_then(|cell| std::str::from_utf8(cell).ok()));
            }
        }
        if read == 0 {
            return Ok(None);
        }
        let names: Vec<String> = (0..positions.len()).map(|at| at.to_string()).collect();
        let mut arrays: Vec<ArrayRef> =
            cells.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        arrays.push(Arc::new(Int64Array::from(lines)));
        Ok(Some(TextRows { text: RecordBatch::try_new(text_schema(&names), arrays)?, numbers }))
    }

    /// What is wrong with a row: the column where it is one's, what, and what to do.
    fn fault(
        &self,
        record: &ByteRecord,
        positions: &[Option<usize>],
    ) -> Option<(Option<String>, String, &'static str)> {
        if record.len() != self.header.len() {
            let cells = if record.len() == 1 { "cell" } else { "cells" };
            let missing = self.header.get(record.len());
            let last = missing.map(|missing| format!(": column {missing} is missing")).unwrap_or_default();
            let what = format!("{} {cells} where the header has {}{last}", record.len(), self.header.len());
            let hint =
                "mend or remove the line; a cell that holds a comma or a line break needs double quotes";
            return Some((None, what, hint));
        }
        let mut bytes = positions.iter().flatten().filter_map(|at| Some((*at, record.get(*at)?)));
        let (at, _) = bytes.find(|(_, cell)| std::str::from_utf8(cell).is_err())?;
        let hint = "convert the file first (`iconv -f windows-1252 -t utf-8 FILE`, say), or give the input its encoding";
        Some((Some(self.header[at].clone()), "the cell is not UTF-8".to_owned(), hint))
    }

    fn next_record(&mut self, record: &mut ByteRecord) -> Result<bool> {
        let read = self.reader.read_byte_record(record).map_err(|e| {
            let reason = match e.into_kind() {
                csv::ErrorKind::Io(e) => e,
                other => std::io::Error::other(format!("{other:?}")),
            };
            broken(&self.path, self.compression, self.line, &reason)
        })?;
        if !read || (record.len() == 1 && record.get(0) == Some(END)) {
            return Ok(false);
        }
        // The reader counts from 1 behind the header, and counts the line feeds that it has consumed: that of a CRLF
        // comes with the next row.
        let inside = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let unclosed = record.iter().next_back().is_some_and(|cell| cell.trim_ascii_end().ends_with(END));
        let ahead = u64::from(self.crlf || unclosed);
        self.line = (self.reader.position().line() + ahead).saturating_sub(inside);
        if unclosed {
            let heading = self.header.get(record.len() - 1).map_or("", String::as_str);
            return Err(Error::data("a quote is not closed")
                .context(format!("{}, column {heading}", self.place()))
                .hint("close it, or double it if it belongs to the text"));
        }
        Ok(true)
    }

    fn place(&self) -> String {
        format!("{}, line {}", self.path.display(), self.line)
    }
}

/// The headings of a file that is open at its first byte, and the line that they are from.
///
/// # Errors
/// User: the file is empty or has no header; Data: it cannot be read.
pub(super) fn read_header(
    text: &mut (impl BufRead + ?Sized),
    path: &Path,
    compression: Compression,
    delimiter: u8,
) -> Result<(Vec<String>, Vec<u8>)> {
    let hint = "a CSV file has a header line; it may be compressed";
    let mut first = Vec::new();
    text.take(LONGEST_HEADER).read_until(b'\n', &mut first).map_err(|e| broken(path, compression, 0, &e))?;
    if first.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::user(format!("{} is empty", path.display())).hint(hint));
    }
    let header = split_header(&first, delimiter).ok_or_else(|| {
        Error::user(format!("{} is not a CSV file: its first line is no header", path.display())).hint(hint)
    })?;
    Ok((header, first))
}

/// The cells of a header line; `None` if it is no text.
pub(super) fn split_header(line: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line);
    let mut record = csv::StringRecord::new();
    let read = reader.read_record(&mut record).ok()?;
    let text = record.iter().all(|name| !name.contains(|c: char| c.is_control()));
    (read && text).then(|| record.iter().map(|name| name.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests;
