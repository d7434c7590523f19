//! Reading a CSV in the portal's form: the header is checked, gzip is recognised by its first bytes, all cells are text.
//!
//! What comes out is the table `portal`: the 22 columns of the portal and `Date Precision`, whatever their order in the
//! file and whatever else is in it. Empty cells are null.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::csv::reader::{BufReader as CsvReader, Format, ReaderBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use flate2::bufread::MultiGzDecoder;
use tidemill_core::{Error, Result};

/// The columns of the portal's CSV, in its order.
pub(crate) const COLUMNS: [&str; 22] = [
    "ID",
    "Case Number",
    "Date",
    "Block",
    "IUCR",
    "Primary Type",
    "Description",
    "Location Description",
    "Arrest",
    "Domestic",
    "Beat",
    "District",
    "Ward",
    "Community Area",
    "FBI Code",
    "X Coordinate",
    "Y Coordinate",
    "Year",
    "Updated On",
    "Latitude",
    "Longitude",
    "Location",
];
/// `day` where the time of a row is unknown. No column of the portal, but of files that were put together from others.
const PRECISION: &str = "Date Precision";

/// Rows read at a time.
const BATCH_ROWS: usize = 8_192;
/// A first line longer than this is no header.
const LONGEST_HEADER: u64 = 1 << 16;

/// A file in the portal's form, open at its next row.
pub(crate) struct PortalFile {
    path: PathBuf,
    reader: CsvReader<Box<dyn BufRead + Send>>,
    gzip: bool,
    rows: u64,
}

/// Some rows of the file.
pub(crate) struct PortalBatch {
    /// Number of the first row; the first below the header is 1.
    pub(crate) first_row: u64,
    /// The table `portal`.
    pub(crate) rows: RecordBatch,
}

/// Columns of the table `portal`.
pub(crate) fn schema() -> SchemaRef {
    let columns = COLUMNS.iter().chain([&PRECISION]);
    Arc::new(Schema::new(columns.map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

impl PortalFile {
    /// Opens the file and checks its header.
    ///
    /// # Errors
    /// User: it is not there, or lacks columns of the portal; Data: it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<PortalFile> {
        let file = File::open(path).and_then(|file| {
            if file.metadata()?.is_dir() { Err(IoKind::IsADirectory.into()) } else { Ok(file) }
        });
        let mut file = BufReader::with_capacity(1 << 16, file.map_err(|e| cannot_open(path, &e))?);
        let gzip =
            file.fill_buf().map_err(|e| broken(path, false, 0, &e.to_string()))?.starts_with(&[0x1f, 0x8b]);
        let mut plain: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };

        let mut header = Vec::new();
        (&mut plain)
            .take(LONGEST_HEADER)
            .read_until(b'\n', &mut header)
            .map_err(|e| broken(path, gzip, 0, &e.to_string()))?;
        if header.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::user(format!("{} is empty", path.display())).hint(known_form()));
        }
        let names = header_names(&header).map_err(|_| {
            Error::user(format!("{} is not a CSV file: its first line is no header", path.display()))
                .hint(known_form())
        })?;
        let missing: Vec<&str> =
            COLUMNS.into_iter().filter(|column| !names.iter().any(|name| name == column)).collect();
        if !missing.is_empty() {
            let what = if missing.len() == COLUMNS.len() {
                "has none of the portal's columns".to_owned()
            } else {
                format!(
                    "lacks the column{} {}",
                    if missing.len() == 1 { "" } else { "s" },
                    missing.join(", ")
                )
            };
            return Err(Error::user(format!("{} {what}", path.display())).hint(known_form()));
        }

        let columns =
            Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
        let wanted = COLUMNS.iter().chain([&PRECISION]);
        let positions = wanted.filter_map(|column| names.iter().position(|name| name == column)).collect();
        // The header goes through the reader again so that its errors count lines as an editor does.
        let whole: Box<dyn BufRead + Send> = Box::new(Cursor::new(header).chain(plain));
        let reader = ReaderBuilder::new(Arc::new(columns))
            .with_header(true)
            .with_batch_size(BATCH_ROWS)
            .with_projection(positions)
            .build_buffered(whole)?;
        Ok(PortalFile { path: path.to_owned(), reader, gzip, rows: 0 })
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// Data: a row with too few or too many cells, text that is no UTF-8, a gzip file that is cut off.
    pub(crate) fn next_batch(&mut self) -> Result<Option<PortalBatch>> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let rows = read.map_err(|e| match e {
            ArrowError::IoError(reason, _) => broken(&self.path, self.gzip, self.rows, &reason),
            ArrowError::CsvError(reason) => broken(&self.path, self.gzip, self.rows, &reason),
            other => broken(&self.path, self.gzip, self.rows, &other.to_string()),
        })?;
        let first_row = self.rows + 1;
        self.rows += rows.num_rows() as u64;
        let schema = schema();
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        if columns.len() < schema.fields().len() {
            columns.push(new_null_array(&DataType::Utf8, rows.num_rows()));
        }
        Ok(Some(PortalBatch { first_row, rows: RecordBatch::try_new(schema, columns)? }))
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The names in a header line.
fn header_names(line: &[u8]) -> Result<Vec<String>, ArrowError> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let (schema, _) = Format::default().with_header(true).infer_schema(line, Some(0))?;
    Ok(schema.fields().iter().map(|field| field.name().trim().to_owned()).collect())
}

fn known_form() -> String {
    format!(
        "the known form is that of the Chicago Data Portal's `Crimes - 2001 to Present`, whose header is\n{}\n\
         `tidemill data generate chicago-crimes --rows 10000 --seed 1 --out crimes.csv` makes a sample",
        COLUMNS.join(",")
    )
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        IoKind::NotFound => Error::user(format!("there is no file {}", path.display())).hint(
            "--input names a CSV; `tidemill data generate chicago-crimes --rows 10000 --seed 1 --out crimes.csv` makes one",
        ),
        IoKind::IsADirectory => {
            Error::user(format!("{} is a folder", path.display())).hint("--input names a CSV file, plain or gzip")
        }
        _ => Error::user(format!("cannot open {}: {error}", path.display())),
    }
}

/// A file that stops making sense after some rows.
fn broken(path: &Path, gzip: bool, rows: u64, reason: &str) -> Error {
    // What is wrong with a line names it; other reasons are about the file.
    if reason.contains(" for line ") {
        Error::data(format!("{}: {reason}", path.display()))
            .hint("mend or remove the line; a cell that holds a comma needs double quotes")
    } else if gzip {
        Error::data(format!("cannot read {} after row {rows}: {reason}", path.display())).hint(format!(
            "the file is cut off or damaged: `gzip -t {}` checks it; fetch it again",
            path.display()
        ))
    } else {
        Error::data(format!("cannot read {} after row {rows}: {reason}", path.display()))
    }
}

#[cfg(test)]
mod tests;
