//! Committed rows: which files a table consists of, by the records, and what is in them.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind as IoKind;
use std::path::PathBuf;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use xxhash_rust::xxh3::xxh3_64;

use super::publish::readable_path;
use crate::checkpoint::{Commit, FileEntry, Learn, RecordList};
use crate::error::{Context, Error, Result, io_error};
use crate::lake::Lake;

/// The files that the records of one job publish for `table`, in the order of the batches.
///
/// # Errors
/// Corrupt or Storage, if a record cannot be read.
pub fn committed_files(lake: &Lake, schema_name: &str, table: &str) -> Result<Vec<FileEntry>> {
    let checkpoint = lake.checkpoint(schema_name);
    let mut files = Vec::new();
    // Learn records come after the commits: a file is listed by one of the two kinds, never by both.
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    for number in commits.numbers()? {
        let commit = commits.read(number)?;
        let removed: HashSet<&str> = commit.removed.iter().map(|file| file.path.as_str()).collect();
        files.retain(|file: &FileEntry| !removed.contains(file.path.as_str()));
        files.extend(commit.added.into_iter().filter(|f| f.table == table));
    }
    if table.starts_with("system.") {
        let learn: RecordList<Learn> = RecordList::read_only(checkpoint.join("learn"));
        for number in learn.numbers()? {
            files.extend(learn.read(number)?.added.into_iter().filter(|f| f.table == table));
        }
    }
    Ok(files)
}

/// Where a committed file is, if it is what its record says, as far as its size tells.
///
/// # Errors
/// Corrupt: it is gone, or of another size; Storage.
pub(crate) fn checked_path(lake: &Lake, file: &FileEntry) -> Result<PathBuf> {
    let hint = "the lake was changed by hand: restore the file from a copy; `tidemill run` makes a table of files anew";
    // It may be renamed between two looks.
    for _ in 0..3 {
        let path = readable_path(lake, file);
        match std::fs::metadata(&path) {
            Ok(found) if found.len() == file.bytes => return Ok(path),
            Ok(found) => {
                let what =
                    format!("{} has {} bytes, its record says {}", path.display(), found.len(), file.bytes);
                return Err(Error::corrupt(what).hint(hint));
            }
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(io_error("read", &path, &e)),
        }
    }
    let path = lake.resolve(&file.path);
    Err(Error::corrupt(format!("{} is listed but is not there", path.display())).hint(hint))
}

/// All rows of one committed file, in their order.
///
/// # Errors
/// Storage; Corrupt, if the file does not have the size that its record says.
pub fn read_rows(lake: &Lake, file: &FileEntry) -> Result<RecordBatch> {
    let path = readable_path(lake, file);
    let place = || path.display().to_string();
    let handle = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
    let size = handle.metadata().map_err(|e| io_error("read", &path, &e))?.len();
    if size != file.bytes {
        return Err(Error::corrupt(format!("{} has {size} bytes, its record says {}", place(), file.bytes))
            .hint("the file was changed after its commit: restore it from a copy"));
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(handle).context_with(place)?;
    let schema = builder.schema().clone();
    let batches = builder
        .with_batch_size(1 << 16)
        .build()
        .context_with(place)?
        .collect::<Result<Vec<_>, _>>()
        .context_with(place)?;
    concat_batches(&schema, &batches).context_with(place)
}

/// The bytes of a published file, checked against its record.
///
/// # Errors
/// Storage; Corrupt, if the checksum differs.
pub fn read_bytes(lake: &Lake, file: &FileEntry) -> Result<Vec<u8>> {
    let path = readable_path(lake, file);
    let bytes = std::fs::read(&path).map_err(|e| io_error("read", &path, &e))?;
    if format!("{:016x}", xxh3_64(&bytes)) != file.xxh3 {
        return Err(Error::corrupt(format!("{} is not what its record says", path.display()))
            .hint("the file was changed after its commit: restore it from a copy"));
    }
    Ok(bytes)
}
