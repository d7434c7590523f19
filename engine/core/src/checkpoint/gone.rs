//! Files that commits list and the table's folder has not: another folder was put in its place, or files were removed.
//!
//! The newest file is looked at anyway (`identity`). Of the others a start looks at names alone: most batches have a file
//! that is called by their number, so that the commits of those without one are all that has to be read, and of these no
//! more than [`MOST_COMMITS`]. Sizes and checksums of old files are for whoever reads them: the history of the models,
//! statements, `tidemill doctor`.

use std::collections::BTreeSet;

use super::unlisted::visible;
use crate::error::Result;
use crate::lake::{Lake, batch_of_file_name};
use crate::records::{Commit, RecordList};
use crate::table::read::checked_path;

/// Commits that are read at a start at most, the newest first: 50 ms.
const MOST_COMMITS: usize = 1_000;

/// Looks whether a stream's table, which is in `table` (relative to the lake), has the files of its batches.
///
/// # Errors
/// Corrupt: one is gone, or a record cannot be read; Storage.
pub(super) fn check(lake: &Lake, table: &str, commits: &RecordList<Commit>) -> Result<()> {
    let names = visible(&lake.resolve(table), "parquet")?;
    let there: BTreeSet<u64> = names.iter().filter_map(|name| batch_of_file_name(name)).collect();
    let folder = format!("{table}/");
    for number in commits.numbers()?.rev().filter(|number| !there.contains(number)).take(MOST_COMMITS) {
        let commit = commits.read(number)?;
        for file in commit.added.iter().filter(|file| file.path.starts_with(&folder)) {
            checked_path(lake, file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::FileEntry;

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
        check(&lake, "j/t", &commits).unwrap();
        std::fs::remove_file(lake.resolve(&path(1))).unwrap();
        let error = check(&lake, "j/t", &commits).unwrap_err().to_string();
        assert!(error.contains("batch-00000001.parquet is listed but is not there"), "{error}");
        assert!(error.contains("commits/1.json lists it"), "{error}");
    }
}
