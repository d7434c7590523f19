//! A CSV, plain or compressed, read as text: every cell a string, empty ones null, each row with its line in the file.
//!
//! Line numbers are those that an editor shows, also
//! behind cells with line breaks, which is why this reads with the `csv` crate and not with Arrow's reader: that one
//! counts records.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use csv::ByteRecord;
use encoding_rs::Encoding;

use super::csv_text::{CsvText, Header, Lines, Numbered};
use super::input::bytes::{Compression, broken, too_long};
use super::input::rows_at_once;
use crate::error::{Error, Result};
use crate::memory;
use crate::project::CsvOptions;

/// Rows read at a time.
pub(super) const BATCH_ROWS: usize = 8_192;
/// What is between two bytes that the text has not, in the last line that the reader is given.
const END: &[u8] = b"end of file";
/// The column of a batch that has the line numbers.
pub(super) const LINE: &str = "_line";

/// A file, open at its next row.
pub struct CsvFile {
    path: PathBuf,
    header: Header,
    reader: csv::Reader<Numbered<Box<dyn Read + Send>>>,
    compression: Compression,
    /// The last line that the reader is given. A quote that is never closed swallows it, which tells that quote apart.
    end: Vec<u8>,
    /// Line of the last row read; of the header before the first.
    line: u64,
    /// Rows read, bad ones too.
    records: i64,
    delimiter: [u8; 1],
    null_values: Vec<String>,
    longest_row: u64,
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
        CsvFile::open_as(path, &CsvOptions::default(), b',', encoding_rs::UTF_8)
    }

    /// The same for a file that is written otherwise, or has another encoding. One without headings has columns `_1`, `_2`
    /// and so on, as many as its first row has cells.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_as(
        path: &Path,
        options: &CsvOptions,
        delimiter: u8,
        encoding: &'static Encoding,
    ) -> Result<CsvFile> {
        let open = || CsvText::open(path, options, delimiter, encoding, Arc::default());
        let mut opened = open()?;
        let header = opened.header()?;
        if !options.header {
            opened = open()?;
        }
        let CsvText { text: plain, compression, lines, .. } = opened;
        let mark = options.unused_byte(delimiter);
        let end = [&[mark], END, &[mark]].concat();
        // Ends of lines around it, so that the last row is counted as the others are; blank lines are no rows.
        let last = [b"\n", end.as_slice(), b"\n"].concat();
        let whole: Box<dyn Read + Send> = Box::new(plain.chain(Cursor::new(last)));
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            // The number of cells is checked here, to name the line.
            .flexible(true)
            .delimiter(delimiter)
            .quoting(options.quote.is_some())
            .quote(options.quote.unwrap_or(b'"'))
            .escape(options.escape)
            .buffer_capacity(1 << 16)
            .from_reader(Numbered::new(whole, lines));
        Ok(CsvFile {
            path: path.to_owned(),
            line: header.line,
            header,
            reader,
            compression,
            end,
            records: 0,
            delimiter: [delimiter],
            null_values: options.null_values.clone(),
            longest_row: memory::longest_row(),
        })
    }

    /// The file as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The headings, without blanks around them.
    pub fn header(&self) -> &[String] {
        &self.header.names
    }

    /// The line that the headings are in.
    pub(super) fn header_line(&self) -> u64 {
        self.header.line
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
            columns.iter().map(|name| self.header().iter().position(|heading| heading == name)).collect();
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
        let (mut lines, mut numbers) = (Vec::new(), Vec::new());
        let mut record = ByteRecord::new();
        let mut read = 0;
        let most = BATCH_ROWS.min(rows_at_once(positions.len()));
        // Of many columns there are few rows: 5 kB, which a builder takes by itself, would be 20 MB of 4,000 columns.
        let room = most.min(1024);
        let mut cells: Vec<StringBuilder> =
            positions.iter().map(|_| StringBuilder::with_capacity(room, room)).collect();
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
                let cell = cell.and_then(|cell| std::str::from_utf8(cell).ok());
                builder.append_option(cell.filter(|cell| !self.null_values.iter().any(|null| null == cell)));
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
        if record.len() != self.header().len() {
            let cells = if record.len() == 1 { "cell" } else { "cells" };
            let missing = self.header().get(record.len());
            let last = missing.map(|missing| format!(": column {missing} is missing")).unwrap_or_default();
            let what = format!("{} {cells} where the header has {}{last}", record.len(), self.header().len());
            let hint =
                "mend or remove the line; a cell that holds a comma or a line break needs double quotes";
            return Some((None, what, hint));
        }
        let mut bytes = positions.iter().flatten().filter_map(|at| Some((*at, record.get(*at)?)));
        let (at, _) = bytes.find(|(_, cell)| std::str::from_utf8(cell).is_err())?;
        let hint = "convert the file first (`iconv -f windows-1252 -t utf-8 FILE`, say), or give the input its encoding";
        Some((Some(self.header()[at].clone()), "the cell is not UTF-8".to_owned(), hint))
    }

    fn next_record(&mut self, record: &mut ByteRecord) -> Result<bool> {
        self.reader.get_mut().begin_row(self.longest_row);
        let read = self.reader.read_byte_record(record).map_err(|e| {
            let reason = match e.into_kind() {
                csv::ErrorKind::Io(e) if e.kind() == std::io::ErrorKind::FileTooLarge => {
                    return too_long(&self.path, self.line + 1);
                }
                csv::ErrorKind::Io(e) => e,
                other => std::io::Error::other(format!("{other:?}")),
            };
            broken(&self.path, self.compression, self.line, &reason)
        })?;
        if !read || (record.len() == 1 && record.get(0) == Some(&self.end)) {
            return Ok(false);
        }
        let inside: u64 = record.iter().map(Lines::inside).sum();
        let unclosed =
            record.iter().next_back().is_some_and(|cell| cell.trim_ascii_end().ends_with(&self.end));
        // The reader is behind the end of the row's last line, or at the end of all.
        let place = self.reader.position().byte() - u64::from(!unclosed);
        self.line = self.reader.get_mut().line_of(place).saturating_sub(inside);
        if unclosed {
            let heading = self.header().get(record.len() - 1).map_or("", String::as_str);
            return Err(Error::data("a quote is not closed")
                .context(format!("{}, column {heading}", self.place()))
                .hint("close it, or double it if it belongs to the text; quote = \"\" says that cells have no quotes"));
        }
        Ok(true)
    }

    fn place(&self) -> String {
        format!("{}, line {}", self.path.display(), self.line)
    }
}

#[cfg(test)]
mod tests;
