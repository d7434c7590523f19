//! Files that commits list and the table's folder has not: another folder was put in its place, or files were removed.
//!
//! The newest file is looked at anyway (`identity`). Of the others a start looks at names alone, by one look at the folder.
//! Sizes and checksums of old files are for whoever reads them: the history of the models, statements, `tidemill doctor`.

use std::collections::HashSet;

use super::unlisted::visible;
use crate::error::Result;
use crate::lake::Lake;
use crate::records::{FileEntry, Ledger};
use crate::table::read::checked_path;

/// Looks whether a stream's table, which is in `table` (relative to the lake), has the files of its batches.
///
/// # Errors
/// Corrupt: one is gone; Storage.
pub(super) fn check(lake: &Lake, table: &str, ledger: &Ledger) -> Result<()> {
    let there: HashSet<String> = visible(&lake.resolve(table), "parquet")?.into_iter().collect();
    let folder = format!("{table}/");
    let is_away =
        |file: &&FileEntry| file.path.strip_prefix(&folder).is_some_and(|name| !there.contains(name));
    // The newest first: what is wrong with the table as a whole is told by it.
    let mut away = ledger.rows().rev().filter(is_away);
    away.try_for_each(|file| checked_path(lake, file).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Commit, RecordList};

    #[test]
    fn an_old_file_that_is_gone_is_named_and_a_batch_without_rows_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let commits = RecordList::<Commit>::open(lake.checkpoint("j").join("commits")).unwrap();
        let path = |number: u64| format!("j/t/batch-{number:08}.parquet");
        std::fs::create_dir_all(lake.resolve("j/t")).unwrap();
        for number in 0..5 {
            let file =
                FileEntry { table: "j.t".into(), path: path(number), rows: 1, bytes: 1, xxh3: String::new() };
            // Batch 3 has dead letters alone.
            let added = match number {
                3 => vec![FileEntry { path: "system/dead_letters/j/batch-00000003.parquet".into(), ..file }],
                _ => {
                    std::fs::write(lake.resolve(&file.path), "x").unwrap();
                    vec![file]
                }
            };
            commits.create(number, &Commit { added, ..Commit::of_nothing(number) }).unwrap();
        }
        let check = || check(&lake, "j/t", &Ledger::of(&lake, "j").unwrap());
        check().unwrap();
        std::fs::remove_file(lake.resolve(&path(1))).unwrap();
        let error = check().unwrap_err().to_string();
        assert!(error.contains("batch-00000001.parquet is listed but is not there"), "{error}");
        assert!(error.contains("commits/1.json lists it"), "{error}");
    }
}
