//! Rows to the files of a table's new version: Parquet, CSV or JSON, in `column=value` folders where the job says so.
//!
//! A table that is written as CSV or JSON is kept as Parquet too, in a hidden folder beside: what reads it in SQL meets
//! its types again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::json::LineDelimitedWriter;
use parquet::file::metadata::KeyValue;
use xxhash_rust::xxh3::Xxh3;

use super::kept_types;
use super::parquet_file::ParquetFile;
use crate::calendar;
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

/// Columns that are encoded at a time. Each takes some 20 kB before it has a value, so that of many folders only some have
/// a writer at work; rows of the others wait.
const LIVE_COLUMNS: usize = 2_000;
/// Folders that are written to at a time.
const LIVE_FOLDERS: usize = 64;
/// Bytes of a column that are worth a part of their own in the file: it is told of in some hundreds.
const PART_BYTES: usize = 8 << 10;
/// Bytes of rows that wait, where nobody has said how much memory there is.
const WAITING_BYTES: usize = 64 << 20;

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
    files: BTreeMap<String, Folder>,
    /// Folders that are written to at once.
    live: usize,
    /// Bytes of the rows that wait, in all folders.
    waiting_bytes: usize,
    /// The most that wait, and the most that row groups which are not ended take.
    most_bytes: Option<usize>,
}

/// The files of one folder, and the rows that wait for them.
struct Folder {
    files: Vec<FileWriter>,
    is_live: bool,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
}

impl Folder {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.files.iter_mut().try_for_each(|file| file.write(rows))
    }

    /// Writes the rows that wait, and says how many bytes that were.
    fn catch_up(&mut self) -> Result<usize> {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(first) = waiting.first() {
            self.write(&concat_batches(&first.schema(), &waiting)?)?;
        }
        Ok(std::mem::take(&mut self.waiting_bytes))
    }
}

impl TableWriter {
    /// A writer into an empty folder, that is to do with about `most_bytes` of memory.
    ///
    /// # Errors
    /// User: a column of `partition_by` is not there, or no other is.
    pub(super) fn new(
        folder: &Path,
        schema: SchemaRef,
        format: TableFormat,
        partition_by: &[String],
        most_bytes: Option<usize>,
    ) -> Result<TableWriter> {
        let places = partition_by.iter().map(|name| {
            schema.index_of(name).map_err(|_| {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                Error::user(format!("partition_by: the table has no column `{name}`"))
                    .hint(format!("its columns are: {}", names.join(", ")))
            })
        });
        let places = places.collect::<Result<Vec<_>>>()?;
        let is_named = |kind: &DataType| kind.to_string().parse().is_ok_and(|again: DataType| again == *kind);
        if let Some(odd) =
            places.iter().map(|at| schema.field(*at)).find(|field| !is_named(field.data_type()))
        {
            let what =
                format!("partition_by: a {} like `{}` cannot name folders", odd.data_type(), odd.name());
            return Err(Error::user(what).hint("cast it to TEXT in the SELECT"));
        }
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
            live: 0,
            waiting_bytes: 0,
            most_bytes,
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
            self.files.values_mut().try_for_each(|folder| folder.write(rows))?;
            return self.bound_groups();
        }
        for (name, indices) in self.split(rows)? {
            let part = take_record_batch(&rows.project(&self.kept)?, &UInt32Array::from(indices))?;
            if !self.files.contains_key(&name) {
                self.open(name.clone())?;
            }
            let Some(folder) = self.files.get_mut(&name) else { continue };
            if folder.is_live {
                folder.write(&part)?;
                continue;
            }
            let bytes = part.get_array_memory_size();
            folder.waiting.push(part);
            folder.waiting_bytes += bytes;
            self.waiting_bytes += bytes;
            self.bound_waiting()?;
        }
        self.bound_groups()
    }

    /// Writes rows that wait, of the folder that has most of them first, until no more wait than there is room for.
    fn bound_waiting(&mut self) -> Result<()> {
        while self.waiting_bytes > self.most_bytes.unwrap_or(WAITING_BYTES) {
            let most = self.files.values_mut().max_by_key(|folder| folder.waiting_bytes);
            let Some(folder) = most.filter(|folder| folder.waiting_bytes > 0) else { break };
            self.waiting_bytes -= folder.catch_up()?;
            folder.files.iter_mut().try_for_each(FileWriter::end_group)?;
        }
        Ok(())
    }

    /// Ends row groups that take more memory than there is room for.
    fn bound_groups(&mut self) -> Result<()> {
        let Some(most) = self.most_bytes else { return Ok(()) };
        let most = most.max(PART_BYTES * self.kept.len());
        let live = self.files.values().filter(|folder| folder.is_live);
        if live.flat_map(|folder| &folder.files).map(FileWriter::memory).sum::<usize>() <= most {
            return Ok(());
        }
        let live = self.files.values_mut().filter(|folder| folder.is_live);
        live.flat_map(|folder| &mut folder.files).try_for_each(FileWriter::end_group)
    }

    /// Rows by their folder.
    ///
    /// # Errors
    /// Data: a value that cannot be the name of a folder.
    fn split(&self, rows: &RecordBatch) -> Result<BTreeMap<String, Vec<u32>>> {
        let columns: Vec<(String, ArrayRef)> = self
            .partition_by
            .iter()
            .map(|at| {
                Ok((
                    self.schema.field(*at).name().clone(),
                    as_text(self.schema.field(*at), rows.column(*at))?,
                ))
            })
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
        let most = (LIVE_COLUMNS / self.kept.len().max(1)).clamp(1, LIVE_FOLDERS);
        let is_live = self.live < most;
        self.live += usize::from(is_live);
        self.files.insert(folder, Folder { files, is_live, waiting: Vec::new(), waiting_bytes: 0 });
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
        for mut folder in self.files.into_values() {
            folder.catch_up()?;
            for file in folder.files {
                written.push(file.finish()?);
            }
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

/// The values of a column that names folders, as text that is read as the same values again.
fn as_text(field: &Field, cells: &ArrayRef) -> Result<ArrayRef> {
    let texts = cast(cells, &DataType::Utf8)
        .map_err(|e| Error::user(format!("partition_by: `{}` cannot name folders: {e}", field.name())))?;
    let unlike = |reason: String| {
        Err(Error::data(format!("partition_by: a value of `{}` {reason}", field.name()))
            .hint("leave such rows out, or name the folders by another column"))
    };
    if texts.null_count() != cells.logical_null_count() {
        return unlike("is no text".to_owned());
    }
    let again = match field.data_type() {
        DataType::Utf8 => texts.clone(),
        kind => cast(&cast(&texts, kind)?, &DataType::Utf8)?,
    };
    if *again != *texts {
        return unlike("is not the same when it is read from the name of a folder".to_owned());
    }
    match texts.as_string::<i32>().iter().flatten().any(|text| text == NULL_VALUE) {
        true => unlike(format!("is `{NULL_VALUE}`, the name of the folder of nulls")),
        false => Ok(texts),
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
        Ok(FileWriter { path, folder, extension, is_export, rows: 0, encoder, failure })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Encoder::Csv(_) | Encoder::Json(_) = self.encoder {
            calendar::check(rows)?;
        }
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Csv(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Json(writer) => writer.write(rows).map_err(|e| self.failure.explain(&self.path, &e)),
        }
    }

    /// Bytes of memory that rows take which are not in the file yet.
    fn memory(&self) -> usize {
        match &self.encoder {
            Encoder::Parquet(writer) => writer.memory(),
            Encoder::Csv(_) | Encoder::Json(_) => 0,
        }
    }

    /// Lets no row of the file be in memory any more.
    fn end_group(&mut self) -> Result<()> {
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.end_group().map_err(|e| self.failure.explain(&self.path, &e)),
            Encoder::Csv(_) | Encoder::Json(_) => Ok(()),
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
        let mut out = out;
        out.flush().map_err(|e| io_error("write", &path, &e))?;
        let Hashed { hash, bytes, .. } = out;
        let file = OpenOptions::new().write(true).open(&path).and_then(|file| file.sync_all());
        file.map_err(|e| io_error("write", &path, &e))?;
        Ok(Written { folder, extension, is_export, rows, bytes, xxh3: format!("{:016x}", hash.digest()) })
    }
}
