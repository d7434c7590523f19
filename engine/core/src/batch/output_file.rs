//! One file of a table's new version: encoded, counted, hashed, on disk.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use parquet::file::metadata::KeyValue;
use xxhash_rust::xxh3::Xxh3;

use super::parquet_file::ParquetFile;
use crate::calendar;
use crate::delta::nan_columns;
use crate::error::{Error, Result, io_error};
use crate::project::TableFormat;

/// A file of a new version, before its name has a number.
#[derive(Debug)]
pub(super) struct Written {
    /// Folder in that of the version, `state=SP` say; empty for the version's own.
    pub folder: String,
    /// `parquet`, `csv`, `json`.
    pub extension: &'static str,
    /// Written for others: SQL reads a Parquet file instead.
    pub is_export: bool,
    /// Rows.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// XXH3 (64 bits) of the content, hexadecimal.
    pub xxh3: String,
    /// Columns of floats that hold a NaN, of a Parquet file.
    pub with_nan: BTreeSet<String>,
}

impl Written {
    /// Its name until then.
    pub(super) fn staged_name(&self) -> String {
        format!("part.{}", self.extension)
    }
}

/// Bytes that a file is behind, at most.
const BUFFER_BYTES: usize = 1 << 18;

/// Counts and hashes what goes to a file. The file is open only while bytes are put to it: of a table in thousands of
/// folders the system would not have as many open.
struct Hashed {
    path: PathBuf,
    /// What is not in the file yet.
    buffer: Vec<u8>,
    hash: Xxh3,
    bytes: u64,
    failure: Failure,
}

impl Hashed {
    fn append(&self, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.failure
            .keep(OpenOptions::new().append(true).open(&self.path).and_then(|mut file| file.write_all(bytes)))
    }
}

/// What the disk refused first, if anything: not every encoder hands on more than the words of it.
#[derive(Clone, Default)]
struct Failure(Arc<OnceLock<IoError>>);

impl Failure {
    fn keep<T>(&self, result: std::io::Result<T>) -> std::io::Result<T> {
        if let Err(error) = &result {
            let same = error.raw_os_error().map_or_else(|| error.kind().into(), IoError::from_raw_os_error);
            let _ = self.0.set(same);
        }
        result
    }

    /// The error of an encoder.
    fn explain(&self, path: &Path, error: &dyn std::error::Error) -> Error {
        match self.0.get() {
            Some(refused) => io_error("write", path, refused),
            None => Error::storage(format!("cannot write {}: {error}", path.display())),
        }
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.append(bytes)?
        } else {
            self.buffer.extend_from_slice(bytes)
        }
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let behind = std::mem::take(&mut self.buffer);
        self.append(&behind)
    }
}

enum Encoder {
    Parquet(Box<ParquetFile<Hashed>>),
    Csv(Box<arrow::csv::Writer<Hashed>>),
    Json(Box<LineDelimitedWriter<Hashed>>),
}

/// A file being written, in whatever format.
pub(super) struct FileWriter {
    path: PathBuf,
    folder: String,
    extension: &'static str,
    is_export: bool,
    rows: u64,
    with_nan: BTreeSet<String>,
    encoder: Encoder,
    failure: Failure,
}

impl FileWriter {
    /// Makes the file `part.EXTENSION` in a folder of `root`.
    ///
    /// # Errors
    /// Storage; a type that the format does not have.
    pub(super) fn open(
        root: &Path,
        folder: String,
        format: TableFormat,
        is_export: bool,
        schema: &SchemaRef,
        beside: Option<KeyValue>,
    ) -> Result<FileWriter> {
        let extension = match format {
            TableFormat::Parquet => "parquet",
            TableFormat::Csv => "csv",
            TableFormat::Json => "json",
        };
        let place = root.join(&folder);
        std::fs::create_dir_all(&place).map_err(|e| io_error("create", &place, &e))?;
        let path = place.join(format!("part.{extension}"));
        File::create(&path).map_err(|e| io_error("create", &path, &e))?;
        let failure = Failure::default();
        let out = Hashed {
            path: path.clone(),
            buffer: Vec::new(),
            hash: Xxh3::new(),
            bytes: 0,
            failure: failure.clone(),
        };
        let encoder = match format {
            TableFormat::Parquet => {
                let file =
                    ParquetFile::create(out, schema, beside).map_err(|e| failure.explain(&path, &e))?;
                Encoder::Parquet(Box::new(file))
            }
            TableFormat::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
                // The header is there also where no row is.
                let header = RecordBatch::new_empty(schema.clone());
                writer.write(&header).map_err(|e| failure.explain(&path, &e))?;
                Encoder::Csv(Box::new(writer))
            }
            TableFormat::Json => Encoder::Json(Box::new(LineDelimitedWriter::new(out))),
        };
        Ok(FileWriter {
            path,
            folder,
            extension,
            is_export,
            rows: 0,
            with_nan: BTreeSet::new(),
            encoder,
            failure,
        })
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// Storage; Data: a value that the format has no form for.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Encoder::Csv(_) | Encoder::Json(_) = self.encoder {
            calendar::check(rows)?;
        }
        match &mut self.encoder {
            Encoder::Parquet(writer) => {
                self.with_nan.extend(nan_columns(rows));
                writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e))
            }
            Encoder::Csv(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Json(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
        }
    }

    /// Bytes of memory that rows take which are not in the file yet.
    pub(super) fn memory(&self) -> usize {
        match &self.encoder {
            Encoder::Parquet(writer) => writer.memory(),
            Encoder::Csv(_) | Encoder::Json(_) => 0,
        }
    }

    /// Lets no row of the file be in memory any more.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn end_group(&mut self) -> Result<()> {
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.end_group().map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Csv(_) | Encoder::Json(_) => Ok(()),
        }
    }

    /// Ends the file. Whoever calls it flushes it to disk.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn finish(self) -> Result<Written> {
        let FileWriter { path, folder, extension, is_export, rows, with_nan, encoder, failure } = self;
        let out = match encoder {
            Encoder::Parquet(writer) => writer.finish().map_err(|e| failure.explain(&path, &e))?,
            Encoder::Csv(writer) => writer.into_inner(),
            Encoder::Json(mut writer) => {
                writer.finish().map_err(|e| failure.explain(&path, &e))?;
                writer.into_inner()
            }
        };
        let mut out = out;
        out.flush().map_err(|e| io_error("write", &path, &e))?;
        let Hashed { hash, bytes, .. } = out;
        let xxh3 = format!("{:016x}", hash.digest());
        Ok(Written { folder, extension, is_export, rows, bytes, xxh3, with_nan })
    }
}
