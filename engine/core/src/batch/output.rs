//! Rows to the files of a table's new version: Parquet, CSV or JSON, in `column=value` folders where the job says so.
//!
//! A table that is written as CSV or JSON is kept as Parquet too, in a folder that is taken out of the table's when it
//! becomes a version: what reads it in SQL meets its types again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::file::metadata::KeyValue;

use super::kept_types;
use super::output_file::{FileWriter, Written};
use crate::error::{Error, Result};
use crate::files::{at_once, sync_file, sync_folder};
use crate::project::TableFormat;
use crate::table::partitioned::NULL_VALUE;

/// The folder of the Parquet files of a table that is written in another format.
pub(super) const HIDDEN: &str = ".parquet";

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
        // Of thousands of folders one after the other would wait for the disk half a minute.
        let places: Vec<PathBuf> = written.iter().map(|file| self.folder.join(&file.folder)).collect();
        let files: Vec<PathBuf> =
            written.iter().zip(&places).map(|(file, place)| place.join(file.staged_name())).collect();
        at_once(&files, |file| sync_file(file)).into_iter().collect::<Result<()>>()?;
        at_once(&places, |place| sync_folder(place)).into_iter().collect::<Result<()>>()?;
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
