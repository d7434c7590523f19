//! A table replaced as a whole: a commit that adds the new file and takes the former ones away.
//!
//! ```text
//! .staged/batch-N.parquet   written and fsynced     nobody sees it
//! commits/N.json            created                 from here on `tidemill sql` reads the new rows, and only them
//! batch-N.parquet           renamed in, and batch-(N-1).parquet into .former/: so does a plain glob
//! ```
//!
//! What a crash leaves undone behind the commit is done by the next run, before anything else.

use crate::checkpoint::records::FORMAT;
use crate::checkpoint::{BatchCounts, Commit, RecordList, query_id, take_lock};
use crate::error::{Result, io_error};
use crate::lake::{Lake, batch_file_name};
use crate::table::publish::{retire, roll_forward, stage};
use crate::table::read::committed_files;

/// Publishes `content` as all that the table holds, and gives the number of the commit.
///
/// # Errors
/// Held: another run replaces it now; Storage; Corrupt.
pub(super) fn replace_table(
    lake: &Lake,
    schema_name: &str,
    table_name: &str,
    content: &[u8],
    rows_read: u64,
    rows_out: u64,
) -> Result<u64> {
    let table = format!("{schema_name}.{table_name}");
    let table_path = format!("{schema_name}/{table_name}");
    let checkpoint = lake.checkpoint(schema_name);
    let table_folder = lake.resolve(&table_path);
    for folder in [&checkpoint, &table_folder] {
        std::fs::create_dir_all(folder).map_err(|e| io_error("create", folder, &e))?;
    }
    let _lock = take_lock(&checkpoint)?;
    let commits = RecordList::<Commit>::open(checkpoint.join("commits"))?;
    let latest = commits.latest()?;
    let query_id = query_id(&checkpoint.join("query.json"), &table_folder, latest.is_some())?;
    if let Some(number) = latest {
        make_visible(lake, &commits.read(number)?)?;
    }

    let version = latest.map_or(0, |number| number + 1);
    let path = format!("{table_path}/{}", batch_file_name(version, "parquet"));
    let commit = Commit {
        format: FORMAT,
        batch_id: version,
        query_id,
        removed: committed_files(lake, schema_name, &table)?,
        added: vec![stage(lake, &table, &path, content, rows_out)?],
        counts: BatchCounts { rows_read, rows_out, ..BatchCounts::default() },
        watermark: None,
    };
    commits.create(version, &commit)?;
    make_visible(lake, &commit)?;
    Ok(version)
}

fn make_visible(lake: &Lake, commit: &Commit) -> Result<()> {
    roll_forward(lake, &commit.added)?;
    retire(lake, &commit.removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::publish::readable_path;

    fn names(lake: &Lake) -> Vec<String> {
        let entries = std::fs::read_dir(lake.resolve("j/t")).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_replaces_the_table_and_a_glob_sees_the_new_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        for (version, content) in [b"aa", b"bb", b"cc"].into_iter().enumerate() {
            assert_eq!(replace_table(&lake, "j", "t", content, 9, 1).unwrap(), version as u64);
            let files = committed_files(&lake, "j", "j.t").unwrap();
            assert_eq!(files.len(), 1);
            assert_eq!(std::fs::read(readable_path(&lake, &files[0])).unwrap(), content);
            assert_eq!(names(&lake), [batch_file_name(version as u64, "parquet")]);
        }
    }

    #[test]
    fn what_a_crash_behind_the_commit_left_is_done_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        replace_table(&lake, "j", "t", b"aa", 1, 1).unwrap();
        replace_table(&lake, "j", "t", b"bb", 1, 1).unwrap();
        // As if it had stopped between the commit and the renames.
        let at = |name: &str| lake.resolve("j/t").join(name);
        std::fs::rename(at("batch-00000001.parquet"), at(".staged/batch-00000001.parquet")).unwrap();
        std::fs::rename(at(".former/batch-00000000.parquet"), at("batch-00000000.parquet")).unwrap();
        let files = committed_files(&lake, "j", "j.t").unwrap();
        assert_eq!(std::fs::read(readable_path(&lake, &files[0])).unwrap(), b"bb");
        replace_table(&lake, "j", "t", b"cc", 1, 1).unwrap();
        assert_eq!(names(&lake), ["batch-00000002.parquet"]);
    }
}
