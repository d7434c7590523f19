//! Committed rows: which files a table consists of, by the records, and what is in them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind as IoKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use xxhash_rust::xxh3::Xxh3Default;

use super::became::{Became, became};
use super::publish::readable_path;
use crate::error::{Context, Error, Result, io_error};
use crate::files::checksum;
use crate::lake::{Lake, batch_of_file_name, compaction_of_file_name};
use crate::records::{Commit, FileEntry, Learn, Ledger, RecordList};

/// The files that the records of one job publish for `table`, in the order of the batches.
///
/// # Errors
/// Corrupt or Storage, if a record cannot be read.
pub fn committed_files(lake: &Lake, schema_name: &str, table: &str) -> Result<Vec<FileEntry>> {
    let ledger = Ledger::of(lake, schema_name)?;
    Ok(ledger.files(table).iter().map(|listed| listed.file.clone()).collect())
}

/// What to do about a file that is not what its record says.
pub(crate) const RESTORE: &str = "the lake was changed by hand, or the disk has damaged it: restore the file from a copy; \
     `tidemill run JOB --force` makes tables of files anew, `tidemill doctor` looks at all of the lake";

/// Where a committed file is, if it is what its record says, as far as its size tells.
///
/// # Errors
/// Corrupt: it is gone, or of another size; Storage.
pub(crate) fn checked_path(lake: &Lake, file: &FileEntry) -> Result<PathBuf> {
    // It may be renamed between two looks.
    for _ in 0..3 {
        let path = readable_path(lake, file);
        match std::fs::metadata(&path) {
            Ok(found) => return check_size(&path, found.len(), file).map(|()| path),
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(io_error("read", &path, &e)),
        }
    }
    Err(missing(lake, file))
}

/// A listed file that is gone, with the record that lists it.
pub(crate) fn missing(lake: &Lake, file: &FileEntry) -> Error {
    let checkpoint = lake.checkpoint(file.schema_name());
    let ledger = Ledger::of(lake, file.schema_name()).unwrap_or_default();
    // Where it counts, the record is known.
    let known = ledger.files(&file.table).iter().find(|listed| listed.file.path == file.path);
    let known: Option<u64> = known.map(|listed| listed.record);
    let lists = |added: &[FileEntry]| added.iter().any(|listed| listed.path == file.path);
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    let learn: RecordList<Learn> = RecordList::read_only(checkpoint.join("learn"));
    let newest = |numbers: Result<Range<u64>>| known.into_iter().chain(numbers.unwrap_or_default().rev());
    let commit = newest(commits.numbers()).find(|n| commits.read(*n).is_ok_and(|c| lists(&c.added)));
    let learned = || newest(learn.numbers()).find(|n| learn.read(*n).is_ok_and(|l| lists(&l.added)));
    let compaction = compaction_of_file_name(file.path.rsplit('/').next().unwrap_or_default());
    let by = match (commit, commit.map_or_else(learned, |_| None)) {
        (Some(number), _) => format!(", commits/{number}.json lists it"),
        (_, Some(number)) => format!(", learn/{number}.json lists it"),
        _ => compaction.map_or(String::new(), |number| format!(", compactions/{number}.json lists it")),
    };
    let path = lake.resolve(&file.path);
    let gone = Error::corrupt(format!("{} is listed but is not there{by}", path.display()));
    let version = path.file_name().and_then(|name| batch_of_file_name(name.to_str()?));
    match file.table.strip_prefix("model:").zip(version) {
        Some((model, version)) => gone.hint(format!(
            "put that file back from a copy, or have it trained again: tidemill models reproduce {} {model}@{version} --restore",
            file.schema_name().replace('_', "-")
        )),
        None => gone.hint(RESTORE),
    }
}

/// A file whose bytes are what its record says, and that is no Parquet all the same.
fn unreadable(path: &Path, error: impl Into<Error>) -> Error {
    error.into().context(path.display().to_string()).hint(RESTORE)
}

fn check_size(path: &Path, size: u64, file: &FileEntry) -> Result<()> {
    if size == file.bytes {
        return Ok(());
    }
    let what = format!("{} has {size} bytes, its record says {}", path.display(), file.bytes);
    Err(Error::corrupt(what).hint(RESTORE))
}

fn check_sum(path: &Path, sum: &str, file: &FileEntry) -> Result<()> {
    if sum == file.xxh3 {
        return Ok(());
    }
    let what =
        format!("{} is not what its record says: its checksum is {sum}, not {}", path.display(), file.xxh3);
    Err(Error::corrupt(what).hint(RESTORE))
}

/// The bytes of a committed file and where they were, if they are what its record says.
///
/// # Errors
/// Corrupt: it is gone, of another size, or its checksum differs; Storage.
pub(crate) fn checked_bytes(lake: &Lake, file: &FileEntry) -> Result<(PathBuf, Vec<u8>)> {
    let path = checked_path(lake, file)?;
    let bytes = std::fs::read(&path).map_err(|e| io_error("read", &path, &e))?;
    check_size(&path, bytes.len() as u64, file)?;
    check_sum(&path, &checksum(&bytes), file).map(|()| (path, bytes))
}

/// Where a committed file is, if all its bytes are what its record says.
///
/// # Errors
/// As [`checked_bytes`].
pub(crate) fn verified_path(lake: &Lake, file: &FileEntry) -> Result<PathBuf> {
    verified_file(lake, file).map(|(path, _)| path)
}

/// As [`verified_path`], with the file as it was opened for that.
fn verified_file(lake: &Lake, file: &FileEntry) -> Result<(PathBuf, File)> {
    let path = checked_path(lake, file)?;
    let mut reader = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
    let (mut hash, mut buffer) = (Xxh3Default::new(), vec![0; 1 << 18]);
    loop {
        match reader.read(&mut buffer).map_err(|e| io_error("read", &path, &e))? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    check_sum(&path, &format!("{:016x}", hash.digest()), file).map(|()| (path, reader))
}

/// Files whose bytes this process has found to be what their records say: place, checksum, and when it was changed last.
static VERIFIED: Mutex<BTreeSet<(PathBuf, String, SystemTime)>> = Mutex::new(BTreeSet::new());

/// As [`verified_path`]; a file that is read again and again is read for it once, unless it was written anew since.
///
/// # Errors
/// As [`checked_bytes`].
pub(crate) fn verified_once(lake: &Lake, file: &FileEntry) -> Result<PathBuf> {
    let path = checked_path(lake, file)?;
    let Ok(changed) = std::fs::metadata(&path).and_then(|found| found.modified()) else {
        return verified_path(lake, file);
    };
    let known = (path, file.xxh3.clone(), changed);
    if VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).contains(&known) {
        return Ok(known.0);
    }
    let path = verified_path(lake, file)?;
    VERIFIED.lock().unwrap_or_else(PoisonError::into_inner).insert(known);
    Ok(path)
}

/// The first of these files that is not what its record says, as an error that names it.
pub(crate) fn damage<'a>(lake: &Lake, files: impl IntoIterator<Item = &'a FileEntry>) -> Option<Error> {
    files.into_iter().find_map(|file| verified_path(lake, file).err())
}

/// What a file has become that compaction has taken out of its table, once it is gone.
fn gone_into(lake: &Lake, file: &FileEntry) -> Result<Option<Became>> {
    match readable_path(lake, file).is_file() {
        true => Ok(None),
        false => became(lake, file.schema_name(), &file.path),
    }
}

/// All rows of one committed file, in their order, wherever they are since.
///
/// # Errors
/// Storage; Corrupt, if the file is not what its record says.
pub fn read_rows(lake: &Lake, file: &FileEntry) -> Result<RecordBatch> {
    if let Some(Became { file: now, from }) = gone_into(lake, file)? {
        return read_some(lake, &now, from, file.rows);
    }
    let (path, bytes) = checked_bytes(lake, file)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(|e| unreadable(&path, e))?;
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(1 << 16).build().map_err(|e| unreadable(&path, e))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(&path, e))?;
    concat_batches(&schema, &batches).context_with(|| path.display().to_string())
}

/// So many rows of a committed file from one on.
fn read_some(lake: &Lake, file: &FileEntry, from: u64, rows: u64) -> Result<RecordBatch> {
    let path = verified_once(lake, file)?;
    let opened = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|e| unreadable(&path, e))?;
    let schema = builder.schema().clone();
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let wanted = vec![RowSelector::skip(count(from)), RowSelector::select(count(rows))];
    let builder = builder.with_row_selection(RowSelection::from(wanted)).with_batch_size(1 << 16);
    let reader = builder.build().map_err(|e| unreadable(&path, e))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(&path, e))?;
    let found = concat_batches(&schema, &batches).context_with(|| path.display().to_string())?;
    match found.num_rows() as u64 == rows {
        true => Ok(found),
        false => {
            Err(unreadable(&path, Error::corrupt(format!("it has not {rows} rows from its row {from} on"))))
        }
    }
}

/// All rows of one committed file, in their order and in parts of at most `rows` of one row group, so that they are never there
/// at once.
///
/// # Errors
/// As [`read_rows`]; what `take` says of a part, with the file's name.
pub(crate) fn read_parts(
    lake: &Lake,
    file: &FileEntry,
    rows: usize,
    mut take: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let (path, opened) = verified_file(lake, file)?;
    let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default())
        .map_err(|e| unreadable(&path, e))?;
    for group in 0..metadata.metadata().num_row_groups() {
        let opened = opened.try_clone().map_err(|e| io_error("open", &path, &e))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata.clone());
        let builder = builder.with_row_groups(vec![group]).with_batch_size(rows);
        for part in builder.build().map_err(|e| unreadable(&path, e))? {
            take(part.map_err(|e| unreadable(&path, e))?).context_with(|| file.path.clone())?;
        }
    }
    Ok(())
}

/// The columns of one committed file.
///
/// # Errors
/// Storage; Corrupt, if the file is not what its record says.
pub(crate) fn read_schema(lake: &Lake, file: &FileEntry) -> Result<SchemaRef> {
    if let Some(Became { file: now, .. }) = gone_into(lake, file)? {
        // What becomes one has the same columns.
        return read_schema(lake, &now);
    }
    let (path, bytes) = checked_bytes(lake, file)?;
    let file = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes));
    Ok(file.map_err(|e| unreadable(&path, e))?.schema().clone())
}

/// The bytes of a published file, checked against its record.
///
/// # Errors
/// Storage; Corrupt, if the file is not what its record says.
pub fn read_bytes(lake: &Lake, file: &FileEntry) -> Result<Vec<u8>> {
    checked_bytes(lake, file).map(|(_, bytes)| bytes)
}
