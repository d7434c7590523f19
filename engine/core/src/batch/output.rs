//! Rows to the files of a table's new version: Parquet, CSV or JSON, in `column=value` folders where the job says so.
//!
//! A table that is written as CSV or JSON is kept as Parquet too, in a hidden folder beside: what reads it in SQL meets
//! its types again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Error as IoError, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::json::LineDelimitedWriter;
use parquet::file::metadata::KeyValue;
use xxhash_rust::xxh3::Xxh3;

use super::kept_types;
use super::parquet_file::ParquetFile;
use crate::error::{Error, Result, io_error};
use crate::project::TableFormat;
use crate::table::publish::sync_folder;

/// The folder of the Parquet files of a table that is written in another format.
const HIDDEN: &str = ".parquet";
/// The value of a folder whose rows have a null, as Hive writes it.
pub(crate) const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

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
}

impl Written {
    /// Its name until then.
    pub(super) fn staged_name(&self) -> String {
        format!("part.{}", self.extension)
    }
}

/// Writes one table.
pub(super) struct TableWriter {
    folder: PathBuf,
    schema: SchemaRef,
    format: TableFormat,
    /// Places of the columns that name folders.
    partition_by: Vec<usize>,
    /// Columns that are in the files.
    kept: Vec<usize>,
    /// What a Parquet file says of its columns beyond Parquet's types.
    beside: Option<KeyValue>,
    files: BTreeMap<String, Vec<FileWriter>>,
}

impl TableWriter {
    /// A writer into an empty folder.
    ///
    /// # Errors
    /// User: a column of `partition_by` is not there, or no other is.
    pub(super) fn new(
        folder: &Path,
        schema: SchemaRef,
        format: TableFormat,
        partition_by: &[String],
    ) -> Result<TableWriter> {
        let places = partition_by.iter().map(|name| {
            schema.index_of(name).map_err(|_| {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                Error::user(format!("partition_by: the table has no column `{name}`"))
                    .hint(format!("its columns are: {}", names.join(", ")))
            })
        });
        let places = places.collect::<Result<Vec<_>>>()?;
        let kept: Vec<usize> = (0..schema.fields().len()).filter(|at| !places.contains(at)).collect();
        if kept.is_empty() {
            return Err(Error::user("partition_by leaves no column for the files"));
        }
        places.iter().try_for_each(|at| kept_types::check_folder(schema.field(*at)))?;
        let beside = kept_types::beside(&Arc::new(schema.project(&kept)?))?;
        let mut writer = TableWriter {
            folder: folder.to_owned(),
            schema,
            format,
            partition_by: places,
            kept,
            beside,
            files: BTreeMap::new(),
        };
        if writer.partition_by.is_empty() {
            // Also a table without rows is a file.
            writer.open(String::new())?;
        }
        Ok(writer)
    }

    /// Columns that are in the names of folders, and their types.
    pub(super) fn partition_columns(&self) -> Vec<(String, String)> {
        let column = |at: &usize| {
            let field = self.schema.field(*at);
            (field.name().clone(), field.data_type().to_string())
        };
        self.partition_by.iter().map(column).collect()
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// Storage; Data: a value that the format has no form for.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if self.partition_by.is_empty() {
            return self.files.values_mut().flatten().try_for_each(|file| file.write(rows));
        }
        for (folder, indices) in self.split(rows)? {
            let part = take_record_batch(&rows.project(&self.kept)?, &UInt32Array::from(indices))?;
            if !self.files.contains_key(&folder) {
                self.open(folder.clone())?;
            }
            self.files.get_mut(&folder).into_iter().flatten().try_for_each(|file| file.write(&part))?;
        }
        Ok(())
    }

    /// Rows by their folder.
    fn split(&self, rows: &RecordBatch) -> Result<BTreeMap<String, Vec<u32>>> {
        let columns: Vec<(String, ArrayRef)> = self
            .partition_by
            .iter()
            .map(|at| Ok((self.schema.field(*at).name().clone(), cast(rows.column(*at), &DataType::Utf8)?)))
            .collect::<Result<_>>()?;
        let mut folders: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            let parts = columns.iter().map(|(name, cells)| {
                let value = if cells.is_null(row) {
                    NULL_VALUE.into()
                } else {
                    encoded(cells.as_string::<i32>().value(row))
                };
                format!("{}={value}", encoded(name))
            });
            let folder = parts.collect::<Vec<_>>().join("/");
            folders.entry(folder).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        Ok(folders)
    }

    fn open(&mut self, folder: String) -> Result<()> {
        let schema = Arc::new(self.schema.project(&self.kept)?);
        let mut files = Vec::new();
        match self.format {
            TableFormat::Parquet => {}
            format => {
                files.push(FileWriter::open(&self.folder, folder.clone(), format, true, &schema, None)?)
            }
        }
        let inner = match (self.format, folder.is_empty()) {
            (TableFormat::Parquet, _) => folder.clone(),
            (_, true) => HIDDEN.to_owned(),
            (_, false) => format!("{HIDDEN}/{folder}"),
        };
        let beside = self.beside.clone();
        files.push(FileWriter::open(&self.folder, inner, TableFormat::Parquet, false, &schema, beside)?);
        self.files.insert(folder, files);
        Ok(())
    }

    /// Ends the files and flushes them to disk.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn finish(mut self) -> Result<Vec<Written>> {
        if self.files.is_empty() {
            // A partitioned table without rows: one file that has its columns.
            self.open(
                self.partition_by
                    .iter()
                    .map(|at| format!("{}={NULL_VALUE}", encoded(self.schema.field(*at).name())))
                    .collect::<Vec<_>>()
                    .join("/"),
            )?;
        }
        let mut written = Vec::new();
        for file in self.files.into_values().flatten() {
            written.push(file.finish()?);
        }
        for folder in written.iter().map(|file| self.folder.join(&file.folder)) {
            sync_folder(&folder)?;
        }
        Ok(written)
    }
}

/// A value as the name of a folder: what a path or a URL would take for its own is `%XX`.
fn encoded(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        if c.is_control() || "\"#%'*/:=?\\{[]^}".contains(c) {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
        } else {
            text.push(c);
        }
    }
    // A folder needs a name, and dots alone are other folders.
    if text.chars().all(|c| c == '.') { text.replace('.', "%2E") } else { text }
}

/// Counts and hashes what goes to a file.
struct Hashed {
    file: BufWriter<File>,
    hash: Xxh3,
    bytes: u64,
    failure: Failure,
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
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.failure.keep(self.file.write(buffer))?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.failure.keep(self.file.flush())
    }
}

enum Encoder {
    Parquet(Box<ParquetFile<Hashed>>),
    Csv(Box<arrow::csv::Writer<Hashed>>),
    Json(Box<LineDelimitedWriter<Hashed>>),
}

struct FileWriter {
    path: PathBuf,
    folder: String,
    extension: &'static str,
    is_export: bool,
    rows: u64,
    encoder: Encoder,
    failure: Failure,
}

impl FileWriter {
    fn open(
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
        let file = File::create(&path).map_err(|e| io_error("create", &path, &e))?;
        let failure = Failure::default();
        let out = Hashed {
            file: BufWriter::with_capacity(1 << 18, file),
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
        Ok(FileWriter { path, folder, extension, is_export, rows: 0, encoder, failure })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Csv(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Json(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
        }
    }

    fn finish(self) -> Result<Written> {
        let FileWriter { path, folder, extension, is_export, rows, encoder, failure } = self;
        let out = match encoder {
            Encoder::Parquet(writer) => writer.finish().map_err(|e| failure.explain(&path, &e))?,
            Encoder::Csv(writer) => writer.into_inner(),
            Encoder::Json(mut writer) => {
                writer.finish().map_err(|e| failure.explain(&path, &e))?;
                writer.into_inner()
            }
        };
        let Hashed { file, hash, bytes, .. } = out;
        let file = file.into_inner().map_err(|e| io_error("write", &path, e.error()))?;
        file.sync_all().map_err(|e| io_error("write", &path, &e))?;
        Ok(Written { folder, extension, is_export, rows, bytes, xxh3: format!("{:016x}", hash.digest()) })
    }
}
