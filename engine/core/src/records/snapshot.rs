//! `snapshots/N.json`: what the records up to number N say together, so that whoever reads them begins there.
//!
//! ```text
//! {"format":2,"xxh3":"0f1e2d3c4b5a6978"}
//! {"number":99,"query_id":"…","commit":"<xxh3>","learn":"<xxh3>","learned":100,"tables":{"j.t":[[0,0,"j/t/batch-00000000.parquet",120,4711,"<xxh3>"], …]}, …}
//! ```
//!
//! The first line has the checksum of what follows, the second those of the records that it ends with: it holds for these
//! and no others. It is an index and no record: whoever finds none that is whole and of these records reads all of them. So it
//! is not flushed to disk; readers write none; a driver, or a run of a batch job, writes one every [`EVERY`] batches, keeps the
//! [`KEPT`] newest, and writes anew at its start what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Commit, FileEntry, Ledger, Listed, RecordList};
use crate::error::{Error, Result, io_error};
use crate::files::{checksum, create_folders, entries};

/// Batches from one snapshot to the next.
pub(crate) const EVERY: u64 = 100;

/// Snapshots that stay: the newest may not be whole after a power cut.
const KEPT: usize = 2;

const FORMAT: u32 = 2;

const ADVICE: &str = "it says no more than the records, which are read instead: remove it, or start the job, which writes it anew";

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    xxh3: String,
}

/// Of a file: the first and the last batch in it, its path, rows, bytes and checksum.
type Short = (u64, u64, String, u64, u64, String);

#[derive(Serialize, Deserialize)]
struct Body {
    number: u64,
    query_id: String,
    /// Checksum of the last commit.
    commit: String,
    /// Checksum of the last learn record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learn: Option<String>,
    learned: u64,
    /// Checksum of the last compaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compaction: Option<String>,
    compactions: u64,
    tables: BTreeMap<String, Vec<Short>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    names: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    partition_columns: BTreeMap<String, Vec<(String, String)>>,
}

/// The number of the newest snapshot that there should be after so many batches.
fn due(batches: u64) -> Option<u64> {
    (batches - batches % EVERY).checked_sub(1)
}

/// Writes the snapshot that should be there after so many batches, where it is not there. Nothing depends on it: what is in the
/// way is told, and the job goes on.
pub(crate) fn write(checkpoint: &Path, batches: u64) {
    let Some(number) = due(batches) else { return };
    if let Err(error) = write_at(checkpoint, number) {
        tracing::warn!(%error, "the snapshot of the records up to batch {number} cannot be written");
    }
}

/// Writes a snapshot, and removes those that are older than the one before, or newer. One that is there is as it was written.
///
/// # Errors
/// Storage; Corrupt: a record cannot be read.
pub(super) fn write_at(checkpoint: &Path, number: u64) -> Result<()> {
    let path = path(checkpoint, number);
    if path.is_file() {
        return Ok(());
    }
    let ledger = Ledger::after(checkpoint, number + 1)?;
    create_folders(&folder(checkpoint))?;
    let temporary = folder(checkpoint).join(format!(".{number}.{}.tmp", std::process::id()));
    fs::write(&temporary, text(checkpoint, ledger)?).map_err(|e| io_error("write", &temporary, &e))?;
    fs::rename(&temporary, &path).map_err(|e| io_error("rename", &temporary, &e))?;
    let (newer, mut older): (Vec<u64>, Vec<u64>) =
        numbers(checkpoint)?.into_iter().partition(|found| *found > number);
    older.truncate(older.len().saturating_sub(KEPT));
    newer.into_iter().chain(older).try_for_each(|number| remove(&self::path(checkpoint, number)))
}

/// As [`write`], at a start: what is wrong with those that are there is told, and they are removed.
pub(crate) fn mend(checkpoint: &Path, batches: u64) {
    for (path, error) in faults(checkpoint).unwrap_or_default() {
        tracing::warn!("{error}: snapshots are written anew, from the records");
        if let Err(error) = remove(&path) {
            tracing::warn!(%error, "a snapshot that is not of the records cannot be removed");
        }
    }
    write(checkpoint, batches);
}

/// Snapshots that are not whole, or not of the records that are there, each with what is wrong with it.
///
/// # Errors
/// Storage: the folder cannot be listed.
pub(crate) fn faults(checkpoint: &Path) -> Result<Vec<(PathBuf, Error)>> {
    let wrong = |number| read(checkpoint, number).err().map(|error| (path(checkpoint, number), error));
    Ok(numbers(checkpoint)?.into_iter().filter_map(wrong).collect())
}

/// The newest snapshots that are whole and of these records, each with its ledger.
///
/// # Errors
/// Storage: the folder cannot be listed.
pub(crate) fn all(checkpoint: &Path) -> Result<Vec<(PathBuf, Ledger)>> {
    let whole = |number| Some((path(checkpoint, number), read(checkpoint, number).ok()?));
    Ok(numbers(checkpoint)?.into_iter().filter_map(whole).collect())
}

/// The error of a snapshot that is whole and says something else than the records.
pub(crate) fn differs(path: &Path) -> Error {
    Error::corrupt(format!("{} does not say what the records say", path.display())).hint(ADVICE)
}

/// What the newest snapshot of at most so many batches says; `None` where none is whole and of these records.
pub(super) fn newest(checkpoint: &Path, batches: u64) -> Option<Ledger> {
    let numbers = numbers(checkpoint).unwrap_or_default().into_iter().rev();
    numbers.filter(|number| *number < batches).find_map(|number| read(checkpoint, number).ok())
}

fn folder(checkpoint: &Path) -> PathBuf {
    checkpoint.join("snapshots")
}

fn path(checkpoint: &Path, number: u64) -> PathBuf {
    folder(checkpoint).join(format!("{number}.json"))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

/// The numbers there are, ascending.
fn numbers(checkpoint: &Path) -> Result<Vec<u64>> {
    let number = |path: PathBuf| path.file_name()?.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
    let mut numbers: Vec<u64> = entries(&folder(checkpoint))?.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The checksum of a record.
fn sum(checkpoint: &Path, list: &str, number: u64) -> Result<String> {
    // Of whatever kind: its bytes are what counts.
    RecordList::<Commit>::read_only(checkpoint.join(list)).sum(number)
}

fn text(checkpoint: &Path, ledger: Ledger) -> Result<Vec<u8>> {
    let Some(number) = ledger.commits.checked_sub(1) else {
        return Err(Error::internal("a snapshot of no record"));
    };
    let learn = ledger.learned.checked_sub(1).map(|last| sum(checkpoint, "learn", last)).transpose()?;
    let compaction = ledger.compactions.checked_sub(1);
    let compaction = compaction.map(|last| sum(checkpoint, "compactions", last)).transpose()?;
    let short = |Listed { record, last, file }| (record, last, file.path, file.rows, file.bytes, file.xxh3);
    let tables = ledger.tables.into_iter();
    let body = Body {
        number,
        query_id: ledger.query_id,
        commit: sum(checkpoint, "commits", number)?,
        learn,
        learned: ledger.learned,
        compaction,
        compactions: ledger.compactions,
        tables: tables.map(|(table, files)| (table, files.into_iter().map(short).collect())).collect(),
        names: ledger.names,
        partition_columns: ledger.partition_columns,
    };
    let unwritable = |e| Error::internal(format!("snapshot {number}: {e}"));
    let mut body = serde_json::to_vec(&body).map_err(unwritable)?;
    body.push(b'\n');
    let mut text = serde_json::to_vec(&Head { format: FORMAT, xxh3: checksum(&body) }).map_err(unwritable)?;
    text.push(b'\n');
    text.extend(body);
    Ok(text)
}

/// What a snapshot says.
///
/// # Errors
/// Corrupt: it is not whole, of another query or number, of another format, or not of the records that are there; Storage.
fn read(checkpoint: &Path, number: u64) -> Result<Ledger> {
    let path = path(checkpoint, number);
    let wrong = |what: &str| Error::corrupt(format!("{} {what}", path.display())).hint(ADVICE);
    let text = fs::read(&path).map_err(|e| io_error("read", &path, &e))?;
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let (head, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let head: Head = serde_json::from_slice(head).map_err(|_| wrong("is not whole"))?;
    if head.format != FORMAT {
        return Err(wrong(&format!("has format {}, this version reads {FORMAT}", head.format)));
    }
    if head.xxh3 != checksum(body) {
        return Err(wrong("is not whole"));
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| wrong("is not whole"))?;
    if body.number != number {
        return Err(wrong(&format!("is the snapshot of batch {}", body.number)));
    }
    let learned = body.learned.checked_sub(1);
    let commit = sum(checkpoint, "commits", number);
    let learn = learned.map(|last| sum(checkpoint, "learn", last)).transpose();
    let last = body.compactions.checked_sub(1);
    let compaction = last.map(|last| sum(checkpoint, "compactions", last)).transpose();
    match (commit, learn, compaction) {
        (Ok(commit), Ok(learn), Ok(compaction))
            if commit == body.commit && learn == body.learn && compaction == body.compaction => {}
        (Ok(_), Ok(_), Ok(_)) => {
            return Err(wrong(
                "is of other records than those that are there, as when an older checkpoint was put back",
            ));
        }
        _ => return Err(wrong("is newer than the records, as when an older checkpoint was put back")),
    }
    let table_files = |(table, files): (String, Vec<Short>)| {
        let of_table = |(record, last, path, rows, bytes, xxh3)| Listed {
            record,
            last,
            file: FileEntry { table: table.clone(), path, rows, bytes, xxh3 },
        };
        let files = files.into_iter().map(of_table).collect();
        (table, files)
    };
    Ok(Ledger {
        query_id: body.query_id,
        commits: number + 1,
        learned: body.learned,
        compactions: body.compactions,
        tables: body.tables.into_iter().map(table_files).collect(),
        names: body.names,
        partition_columns: body.partition_columns,
    })
}
