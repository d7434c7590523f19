//! A log of batches that also take files out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use chrono::DateTime;

use super::action::{Action, Add, Remove};
use super::checkpoint::Checkpoint;
use super::folder::{Folder, Version};
use super::{NanColumns, Publisher, examine};
use crate::lake::Lake;
use crate::records::{Commit, FileEntry, RecordList};
use crate::table::publish::{roll_forward, stage};
use crate::table::read::committed_files;
use crate::table::write::parquet_bytes;

fn file(lake: &Lake, name: &str, rows: i64) -> FileEntry {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)));
    let batch = RecordBatch::try_from_iter([("n", numbers), ("x", floats)]).unwrap();
    let path = format!("j/t/{name}.parquet");
    let file = stage(lake, "j.t", &path, &parquet_bytes(&batch).unwrap(), rows as u64).unwrap();
    roll_forward(lake, std::slice::from_ref(&file)).unwrap();
    file
}

#[test]
fn files_that_are_taken_out_are_removed_and_a_checkpoint_has_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let commits = RecordList::<Commit>::open(lake.checkpoint("j").join("commits")).unwrap();
    let publisher = || Publisher::new(&lake, "j/t", "j.t".into(), "q");
    let mut running = publisher();
    let commit = |running: &mut Publisher, number: u64, added: Vec<FileEntry>, removed: Vec<FileEntry>| {
        let commit = Commit { added, removed, ..Commit::of_nothing(number) };
        commits.create(number, &commit).unwrap();
        // A clock that stands.
        let now = DateTime::from_timestamp_millis(7_000).unwrap();
        running.publish(&commit, now, &NanColumns::new());
    };
    let mut files = Vec::new();
    for number in 0..99 {
        let new = file(&lake, &format!("batch-{number:08}"), 2);
        files.push(new.clone());
        commit(&mut running, number, vec![new], Vec::new());
    }
    // Ten files become one, and then one goes: the first changes no row.
    commit(&mut running, 99, vec![file(&lake, "batch-00000099", 20)], files[..10].to_vec());
    let mut other = files[10].clone();
    other.table = "state:s".into();
    commit(&mut running, 100, Vec::new(), vec![files[10].clone(), other]);
    let log = Folder::of(&lake.resolve("j/t"));
    let actions = |version: u64| match log.read(version, "q:j.t").unwrap() {
        Version::Own(actions) => actions,
        other => panic!("{other:?}"),
    };
    let removed = |version: u64| {
        let of = |action: Action| if let Action::Remove(remove) = action { Some(remove) } else { None };
        actions(version).into_iter().filter_map(of).collect::<Vec<Remove>>()
    };
    let added = |version: u64| {
        let of = |action: Action| if let Action::Add(add) = action { Some(add) } else { None };
        actions(version).into_iter().filter_map(of).collect::<Vec<Add>>()
    };
    assert_eq!((removed(98).len(), removed(99).len(), removed(100).len()), (0, 10, 1));
    assert!(removed(99).iter().all(|file| !file.data_change) && !added(99)[0].data_change);
    assert!(removed(100)[0].data_change && added(98)[0].data_change);
    let times: Vec<i64> = (0..=100)
        .map(|version| match &actions(version)[0] {
            Action::CommitInfo(info) => info.in_commit_timestamp,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times, (7_000..=7_100).collect::<Vec<_>>());
    let checkpoint = Checkpoint::read(&log.checkpoint(100)).unwrap();
    let paths: Vec<String> = checkpoint.files().unwrap().into_iter().map(|(path, _)| path).collect();
    let expected: Vec<String> = (11..100).map(|number| format!("batch-{number:08}.parquet")).collect();
    assert_eq!(paths, expected);
    let live = committed_files(&lake, "j", "j.t").unwrap();
    assert_eq!(live.len(), 89);
    assert!(examine(&lake, "q", 100, &live, None).problems.is_empty());
    assert_eq!(examine(&lake, "q", 100, &live[1..], None).problems.len(), 1);
    // A batch that is there already is passed over.
    let before = std::fs::read(log.json(100)).unwrap();
    running.publish(&commits.read(100).unwrap(), DateTime::UNIX_EPOCH, &NanColumns::new());
    assert_eq!(std::fs::read(log.json(100)).unwrap(), before);
}
