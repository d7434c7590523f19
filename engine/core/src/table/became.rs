//! Where the rows of a file are that compaction has taken out of its table, once it is gone: whoever goes through the batches of a
//! job (the history of its models, a replay of dead letters) knows the files that these committed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::Result;
use crate::lake::{Lake, batch_of_file_name};
use crate::records::{Compaction, FileEntry, RecordList};

/// What a file has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Became {
    /// The file that has its rows now.
    pub(super) file: FileEntry,
    /// Rows in it before them.
    pub(super) from: u64,
}

/// Of a record: the checkpoint, its number, and when it was written.
type Place = (PathBuf, u64, Option<SystemTime>);

/// The compactions that were read last: rows are wanted batch by batch.
static READ: Mutex<VecDeque<(Place, Arc<Compaction>)>> = Mutex::new(VecDeque::new());
const KEPT: usize = 4;

/// What the file of this path of a job has become; `None` where it was not compacted.
///
/// # Errors
/// Storage or Corrupt: a record.
pub(super) fn became(lake: &Lake, schema_name: &str, path: &str) -> Result<Option<Became>> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some(batch) = batch_of_file_name(name) else { return Ok(None) };
    let mut found: Option<Became> = None;
    for number in Compaction::taking(batch) {
        let Some(compaction) = read(lake, schema_name, number)? else { continue };
        let path = found.as_ref().map_or(path, |found| &found.file.path);
        let takes = |of: &&FileEntry| of.path == path;
        let Some(merged) = compaction.merged.iter().find(|merged| merged.of.iter().any(|of| takes(&of)))
        else {
            continue;
        };
        let before = merged.of.iter().take_while(|of| !takes(of)).map(|of| of.rows).sum::<u64>();
        let from = found.as_ref().map_or(0, |found| found.from) + before;
        found = Some(Became { file: merged.into.clone(), from });
    }
    Ok(found)
}

/// Whether compaction has taken a file out of its table.
///
/// # Errors
/// As [`became`].
pub(crate) fn is_taken_out(lake: &Lake, schema_name: &str, path: &str) -> Result<bool> {
    became(lake, schema_name, path).map(|found| found.is_some())
}

/// The compaction of a number; `None` where there is none yet.
fn read(lake: &Lake, schema_name: &str, number: u64) -> Result<Option<Arc<Compaction>>> {
    let checkpoint = lake.checkpoint(schema_name);
    let records: RecordList<Compaction> = RecordList::read_only(checkpoint.join("compactions"));
    let place = (checkpoint, number, records.written(number));
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = all.iter().find(|(of, _)| *of == place) {
        return Ok(Some(known.clone()));
    }
    let Some(compaction) = records.find(number)?.map(Arc::new) else { return Ok(None) };
    all.push_back((place, compaction.clone()));
    if all.len() > KEPT {
        all.pop_front();
    }
    Ok(Some(compaction))
}
