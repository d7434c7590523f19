//! Files that other engines see and no record lists: a checkpoint put back from an older copy, over tables that went on.
//!
//! ```text
//! JOB/TABLE, system/{dead_letters,data_loss}/JOB, JOB/_checkpoint/state     one past the newest commit, or more: refused
//! system/{batches,metrics,models,model_events,centres,importances}/JOB, JOB/_models/*  one past the newest learn record, or more
//! all of them                                                               what a compaction made, one past the newest, or more
//! JOB/TABLE                                                                 a name that no batch has
//! ```
//!
//! A driver makes a file visible after the record that lists it, so that one which was killed leaves none of these: what it
//! leaves is staged, hidden or a `.tmp`. Names are looked at, so that a start takes as long as folders take to be listed: a
//! file that stands under the one name of another batch is for `tidemill doctor`, which reads every record.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, io_error};
use crate::files::entries;
use crate::lake::{Lake, batch_of_file_name, compaction_of_file_name};
use crate::records::{Commit, Learn, Ledger, RecordList};

/// Tables of the system that commits add to, and those that learn records do.
const BY_COMMIT: [&str; 2] = ["dead_letters", "data_loss"];
const BY_LEARN: [&str; 6] = ["batches", "metrics", "models", "model_events", "centres", "importances"];

/// What to do about files that no record lists.
const ADVICE: &str = "the checkpoint is older than they are, as when a copy of it was put back, or they were copied there by \
     hand: put back the checkpoint that they belong to, or all of the lake from one copy; or move them out of the lake, and \
     the stream reads again what the topic still has of them";

/// Looks at the folders of a stream, whose table is in `table` (relative to the lake).
///
/// # Errors
/// Corrupt: a file is of no record, or a record cannot be read; Storage.
pub(super) fn check(lake: &Lake, schema_name: &str, table: &str, ledger: &Ledger) -> Result<()> {
    let committed = ledger.commits();
    let checkpoint = lake.checkpoint(schema_name);
    let records = RecordList::<Learn>::read_only(checkpoint.join("learn"));
    // One too many is told by whoever compares the lists.
    let learned = if records.has(ledger.learned()) { records.numbers()?.end } else { ledger.learned() };
    let mut found = of_table(lake, table, ledger, &RecordList::read_only(checkpoint.join("commits")))?;
    let mut look = |folder: PathBuf, extension, batch_of: fn(&str) -> Option<u64>, batches: u64| {
        let beyond = |name: &String| match compaction_of_file_name(name) {
            Some(compaction) => compaction >= ledger.compactions(),
            None => batch_of(name).is_some_and(|batch| batch >= batches),
        };
        let mut names = visible(&folder, extension)?;
        names.sort();
        found.extend(names.into_iter().filter(beyond).map(|name| folder.join(name)));
        Ok::<_, Error>(())
    };
    look(checkpoint.join("state"), "parquet", batch_of_state_file, committed)?;
    for (tables, batches) in [(&BY_COMMIT[..], committed), (&BY_LEARN[..], learned)] {
        for name in tables {
            let folder = lake.resolve(&format!("system/{name}/{schema_name}"));
            look(folder, "parquet", batch_of_file_name, batches)?;
        }
    }
    for model in entries(&lake.resolve(&format!("{schema_name}/_models")))? {
        look(model, "model", batch_of_file_name, learned)?;
    }
    let Some(first) = found.first() else { return Ok(()) };
    let newest = match committed.checked_sub(1) {
        Some(newest) => format!("its newest batch is {newest}"),
        None => "it has no batch".to_owned(),
    };
    let (others, are) = match found.len() - 1 {
        0 => (String::new(), "is"),
        1 => (" and another file".to_owned(), "are"),
        others => (format!(" and {others} other files"), "are"),
    };
    let what = format!("{}{others} {are} in no record of this checkpoint: {newest}", first.display());
    Err(Error::corrupt(what).hint(ADVICE))
}

/// Files in a stream's table that no commit lists.
fn of_table(lake: &Lake, table: &str, ledger: &Ledger, commits: &RecordList<Commit>) -> Result<Vec<PathBuf>> {
    let folder = format!("{table}/");
    let counts: HashSet<&str> = ledger.rows().filter_map(|file| file.path.strip_prefix(&folder)).collect();
    let mut found = Vec::new();
    // Of batches whose rows were in several files, that were taken out since.
    let mut parts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for name in visible(&lake.resolve(table), "parquet")? {
        // What a compaction made, a later one may have taken out.
        let is_compacted = compaction_of_file_name(&name).is_some_and(|of| of < ledger.compactions());
        if counts.contains(name.as_str()) || is_compacted {
            continue;
        }
        let batch = batch_of_file_name(&name).filter(|_| compaction_of_file_name(&name).is_none());
        match batch.filter(|batch| *batch < ledger.commits()) {
            None => found.push(name),
            Some(batch) if name.contains('_') => parts.entry(batch).or_default().push(name),
            Some(_) => {}
        }
    }
    for (batch, names) in parts {
        let commit = commits.read(batch)?;
        let is_listed =
            |name: &String| commit.added.iter().any(|file| file.path == format!("{table}/{name}"));
        found.extend(names.into_iter().filter(|name| !is_listed(name)));
    }
    found.sort();
    Ok(found.into_iter().map(|name| lake.resolve(table).join(name)).collect())
}

/// The batch that a delta or a snapshot is of.
fn batch_of_state_file(name: &str) -> Option<u64> {
    name.strip_suffix(".parquet")?.rsplit('-').next()?.parse().ok()
}

/// Names in a folder that `*.extension` finds; none where there is no folder.
pub(super) fn visible(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(io_error("list", folder, &e)),
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(|e| io_error("list", folder, &e))?.file_name();
        let name = name.to_string_lossy();
        let has_extension = name.rsplit_once('.').is_some_and(|(_, found)| found == extension);
        if has_extension && !name.starts_with('.') {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::FileEntry;

    fn touch(lake: &Lake, path: &str) {
        let path = lake.resolve(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    fn entry(path: &str) -> FileEntry {
        FileEntry { table: "j.t".into(), path: path.into(), rows: 1, bytes: 1, xxh3: String::new() }
    }

    /// Two batches are committed, the first of them is learned from; the second is of two files.
    fn lake(folder: &Path) -> Lake {
        let lake = Lake::new(folder);
        let commits = RecordList::<Commit>::open(lake.checkpoint("j").join("commits")).unwrap();
        commits.create(0, &Commit::of_nothing(0)).unwrap();
        let added = ["j/t/batch-00000001.parquet", "j/t/batch-00000001_0001.parquet"].map(entry).to_vec();
        commits.create(1, &Commit { added, ..Commit::of_nothing(1) }).unwrap();
        for path in [
            "j/t/batch-00000001.parquet",
            "j/t/batch-00000001_0001.parquet",
            "j/t/.batch-00000002.parquet.tmp",
            "j/t/.staged/batch-00000002.parquet",
            "j/t/notes.txt",
            "j/_checkpoint/staged/j+t+batch-00000002.parquet",
            "j/_checkpoint/state/delta-00000001.parquet",
            "j/_models/m/batch-00000000.model",
            "system/dead_letters/j/batch-00000001.parquet",
            "system/batches/j/batch-00000000.parquet",
            "system/batches/other/batch-00000009.parquet",
        ] {
            touch(&lake, path);
        }
        let learn = RecordList::<Learn>::open(lake.checkpoint("j").join("learn")).unwrap();
        let nothing = serde_json::json!({ "batch_id": 0, "query_id": "q", "models": [], "added": [] });
        learn.create(0, &serde_json::from_value(nothing).unwrap()).unwrap();
        lake
    }

    #[test]
    fn what_a_driver_leaves_is_no_fault_and_what_no_record_lists_is_named() {
        for (path, harm) in [
            ("", false),
            ("j/t/batch-00000002.parquet", true),
            ("j/t/batch-00000001_0002.parquet", true),
            ("j/t/mine.parquet", true),
            ("j/_checkpoint/state/delta-00000002.parquet", true),
            ("j/_checkpoint/state/snapshot-00000049.parquet", true),
            ("j/_models/m/batch-00000001.model", true),
            ("system/dead_letters/j/batch-00000002.parquet", true),
            ("system/data_loss/j/batch-00000002.parquet", true),
            ("system/metrics/j/batch-00000001.parquet", true),
            ("system/batches/j/.batch-00000005.parquet.tmp", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let lake = lake(folder.path());
            if !path.is_empty() {
                touch(&lake, path);
            }
            let found = check(&lake, "j", "j/t", &Ledger::of(&lake, "j").unwrap());
            assert_eq!(found.is_err(), harm, "{path}: {found:?}");
            if let Err(error) = found {
                assert!(error.to_string().contains(path), "{error}");
                assert!(
                    error.to_string().contains("is in no record of this checkpoint: its newest batch is 1")
                );
                assert!(error.next_step().is_some());
            }
        }
    }

    #[test]
    fn one_is_named_and_all_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(folder.path());
        for batch in 2..7 {
            touch(&lake, &format!("j/t/batch-{batch:08}.parquet"));
        }
        let error = check(&lake, "j", "j/t", &Ledger::of(&lake, "j").unwrap()).unwrap_err().to_string();
        assert!(error.contains("batch-00000002.parquet and 4 other files are in no record"), "{error}");
    }
}
