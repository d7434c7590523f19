//! Stage, record, rename: how a file becomes visible at once or not at all.
//!
//! ```text
//! JOB/_checkpoint/staged/<name>   written and fsynced        no glob over a table finds it
//! record N.json                   created                    from here on it counts
//! <folder>/<name>                 renamed                    a plain glob sees it too
//! ```
//!
//! A crash before the record leaves a staged file, which the next start removes; a crash after it leaves a staged file
//! that [`roll_forward`] renames and that readers find meanwhile. Nothing but data lies under a table's folder: globs of
//! other engines (`**` in DuckDB and Polars) look into hidden folders too. Lakes of before have staged files in
//! `.staged/` beside the table's: those are found and renamed as well.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use super::read::missing;
use super::versioned::carried_over;
use crate::error::{Error, Result, io_error};
use crate::files::{at_once, checksum, create_folders, entries, remove_folder, sync_folder, write_synced};
use crate::lake::Lake;
use crate::records::FileEntry;

/// Folders of a job's checkpoint: files that are not visible yet, and no more.
const STAGED: &str = "staged";
const FORMER: &str = "former";
/// The same beside the files of a table, in lakes of before.
const OLD_STAGED: &str = ".staged";
const OLD_FORMER: &str = ".former";
/// Files taken out of a table that stay for readers that have just planned on them.
const FORMER_KEPT: usize = 3;

/// Writes a file to its staged place and flushes it to disk.
///
/// # Errors
/// Storage.
pub fn stage(lake: &Lake, table: &str, path: &str, content: &[u8], rows: u64) -> Result<FileEntry> {
    let file = FileEntry {
        table: table.to_owned(),
        path: path.to_owned(),
        rows,
        bytes: content.len() as u64,
        xxh3: checksum(content),
    };
    let staged = aside(lake, &file, STAGED);
    let folder = staged.parent().ok_or_else(|| Error::internal("a staged file without a folder"))?;
    create_folders(folder)?;
    lake.resolve(path).parent().map_or(Ok(()), create_folders)?;
    write_synced(&staged, content)?;
    // The record that lists the file is on disk after it: so must its name be before.
    sync_folder(folder)?;
    Ok(file)
}

/// Renames what a record lists to its final place. Files that are there already stay as they are.
///
/// # Errors
/// Corrupt, if a listed file is neither staged nor there; Storage.
pub fn roll_forward(lake: &Lake, files: &[FileEntry]) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in files {
        let path = lake.resolve(&file.path);
        if move_to(&aside(lake, file, STAGED), &path)? || move_to(&beside(&path, OLD_STAGED), &path)? {
            folders.extend(path.parent().map(Path::to_owned));
        } else if !path.is_file() {
            return Err(missing(lake, file));
        }
    }
    folders.sort();
    folders.dedup();
    at_once(&folders, |folder| sync_folder(folder)).into_iter().collect()
}

/// Renames a file, if it is there. Where the table lies on another file system than the checkpoint (its folder may be a
/// link, or a disk of its own), the file is copied under a name that no `*.parquet` finds, and renamed there.
fn move_to(from: &Path, to: &Path) -> Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == IoKind::NotFound && !from.is_file() => Ok(false),
        Err(e) if e.kind() == IoKind::CrossesDevices => copy_to(from, to).map(|()| true),
        Err(e) => Err(io_error("rename", from, &e)),
    }
}

fn copy_to(from: &Path, to: &Path) -> Result<()> {
    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let copy = to.with_file_name(format!(".{name}.tmp"));
    fs::copy(from, &copy)
        .and_then(|_| File::open(&copy)?.sync_all())
        .map_err(|e| io_error("write", &copy, &e))?;
    fs::rename(&copy, to).map_err(|e| io_error("rename", &copy, &e))?;
    fs::remove_file(from).map_err(|e| io_error("remove", from, &e))
}

/// Takes out of sight what a record takes out of a table, so that a plain glob finds the files that count and no others.
/// The last few stay in the checkpoint. Files that are gone already stay as they are.
///
/// # Errors
/// Storage.
pub fn retire(lake: &Lake, files: &[FileEntry]) -> Result<()> {
    for file in files {
        let former = aside(lake, file, FORMER);
        let Some(folder) = former.parent() else { continue };
        create_folders(folder)?;
        if !move_to(&lake.resolve(&file.path), &former)? {
            continue;
        }
        let mut kept: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|e| io_error("list", folder, &e))?;
        // Names carry the number of the commit.
        kept.sort();
        for old in kept.iter().rev().skip(FORMER_KEPT) {
            fs::remove_file(old).map_err(|e| io_error("remove", old, &e))?;
        }
    }
    Ok(())
}

/// Takes a file out of sight that nothing names any more, as [`retire`]: it stays until it is [discarded](discard).
///
/// # Errors
/// Storage.
pub(crate) fn set_aside(lake: &Lake, file: &FileEntry) -> Result<()> {
    let former = aside(lake, file, FORMER);
    former.parent().map_or(Ok(()), create_folders)?;
    move_to(&lake.resolve(&file.path), &former).map(drop)
}

/// Whether a file that was taken out of its table is still there.
pub(crate) fn is_there(lake: &Lake, file: &FileEntry) -> bool {
    lake.resolve(&file.path).is_file() || aside(lake, file, FORMER).is_file()
}

/// Removes a file that was taken out of its table.
///
/// # Errors
/// Storage.
pub(crate) fn discard(lake: &Lake, file: &FileEntry) -> Result<()> {
    for path in [lake.resolve(&file.path), aside(lake, file, FORMER)] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != IoKind::NotFound => return Err(io_error("remove", &path, &e)),
            _ => {}
        }
    }
    Ok(())
}

/// Where a listed file can be read now: its final place, the staged one while the rename is still to come, or the
/// place of former files if it has been taken out of the table since.
pub fn readable_path(lake: &Lake, file: &FileEntry) -> PathBuf {
    let path = lake.resolve(&file.path);
    if path.is_file() {
        return path;
    }
    // The versions of a batch job's tables are carried over as folders.
    if let Some(path) = carried_over(&file.path).map(|path| lake.resolve(&path)).filter(|path| path.is_file())
    {
        return path;
    }
    let elsewhere = [
        aside(lake, file, STAGED),
        beside(&path, OLD_STAGED),
        aside(lake, file, FORMER),
        beside(&path, OLD_FORMER),
    ];
    // The rename may have happened between two looks.
    elsewhere.into_iter().find(|p| p.is_file()).unwrap_or(path)
}

/// Names of the files of a folder (relative to the lake) that a job has staged.
pub(crate) fn staged_names(lake: &Lake, schema_name: &str, folder: &str) -> Vec<String> {
    let prefix = format!("{}+", folder.replace('/', "+"));
    let entries = fs::read_dir(lake.checkpoint(schema_name).join(STAGED)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(&prefix)?.to_owned())).collect()
}

/// Removes what a driver or a run that was killed has left: files that were staged and never recorded, halves of records,
/// and the hidden folders that earlier versions had beside the files. To be called once all that is recorded has been
/// rolled forward, by whoever holds the checkpoint's lock. `folders` are those of the job's files.
///
/// # Errors
/// Storage.
pub(crate) fn clear_leftovers(lake: &Lake, schema_name: &str, folders: &[PathBuf]) -> Result<()> {
    let checkpoint = lake.checkpoint(schema_name);
    remove_folder(&checkpoint.join(STAGED))?;
    for list in ["", "offsets", "commits", "learn", "attempts", "compactions", "snapshots"] {
        for path in entries(&checkpoint.join(list))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name.ends_with(".tmp") {
                fs::remove_file(&path).map_err(|e| io_error("remove", &path, &e))?;
            }
        }
    }
    let mut places = folders.to_vec();
    places.push(checkpoint.join("state"));
    places.extend(entries(&lake.root().join(schema_name).join("_models"))?);
    places.extend(entries(&lake.root().join("system"))?.into_iter().map(|table| table.join(schema_name)));
    for place in places {
        remove_folder(&place.join(OLD_STAGED))?;
        remove_folder(&place.join(OLD_FORMER))?;
    }
    Ok(())
}

/// The place of a listed file in a folder of its job's checkpoint. No name in a path has a `+`.
fn aside(lake: &Lake, file: &FileEntry, folder: &str) -> PathBuf {
    lake.checkpoint(file.schema_name()).join(folder).join(file.path.replace('/', "+"))
}

/// The place of a file's name in a hidden folder beside it.
fn beside(path: &Path, hidden: &str) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => folder.join(hidden).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = entries(folder)
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_under_the_table_before_the_rename_and_the_rename_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let file = stage(&lake, "j.t", "j/t/batch-0.parquet", b"abc", 1).unwrap();
        let visible = folder.path().join("j/t/batch-0.parquet");
        assert_eq!(names(&folder.path().join("j/t")), [""; 0]);
        assert_eq!(names(&folder.path().join("j/_checkpoint/staged")), ["j+t+batch-0.parquet"]);
        assert_eq!(staged_names(&lake, "j", "j/t"), ["batch-0.parquet"]);
        assert_eq!(fs::read(readable_path(&lake, &file)).unwrap(), b"abc");
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        assert_eq!(fs::read(&visible).unwrap(), b"abc");
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        assert_eq!(readable_path(&lake, &file), visible);
        fs::remove_file(&visible).unwrap();
        assert!(roll_forward(&lake, &[file]).is_err());
    }

    #[test]
    fn what_is_staged_in_the_old_place_is_read_and_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let file = stage(&lake, "j.t", "j/t/batch-0.parquet", b"abc", 1).unwrap();
        let old = folder.path().join("j/t/.staged");
        fs::create_dir(&old).unwrap();
        fs::rename(aside(&lake, &file, STAGED), old.join("batch-0.parquet")).unwrap();
        assert_eq!(fs::read(readable_path(&lake, &file)).unwrap(), b"abc");
        roll_forward(&lake, &[file]).unwrap();
        assert_eq!(names(&folder.path().join("j/t")), [".staged", "batch-0.parquet"]);
        clear_leftovers(&lake, "j", &[folder.path().join("j/t")]).unwrap();
        assert_eq!(names(&folder.path().join("j/t")), ["batch-0.parquet"]);
    }

    #[test]
    fn what_was_never_recorded_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        for path in ["j/t/batch-0.parquet", "system/metrics/j/batch-0.parquet"] {
            let table = if path.starts_with("system") { "system.metrics" } else { "j.t" };
            stage(&lake, table, path, b"abc", 1).unwrap();
        }
        let checkpoint = folder.path().join("j/_checkpoint");
        fs::create_dir(checkpoint.join("commits")).unwrap();
        for kept in ["query.json", "commits/0.json"] {
            fs::write(checkpoint.join(kept), b"{}").unwrap();
        }
        for left in [".query.json.7.tmp", "commits/.1.7.tmp"] {
            fs::write(checkpoint.join(left), b"{").unwrap();
        }
        clear_leftovers(&lake, "j", &[folder.path().join("j/t")]).unwrap();
        assert_eq!(names(&checkpoint), ["commits", "query.json"]);
        assert_eq!(names(&checkpoint.join("commits")), ["0.json"]);
    }

    #[test]
    fn a_file_is_copied_where_it_cannot_be_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("t/batch-0.parquet"));
        fs::create_dir(folder.path().join("t")).unwrap();
        fs::write(&from, b"abc").unwrap();
        copy_to(&from, &to).unwrap();
        assert_eq!(names(folder.path()), ["t"]);
        assert_eq!(names(&folder.path().join("t")), ["batch-0.parquet"]);
        assert_eq!(fs::read(&to).unwrap(), b"abc");
    }

    #[test]
    fn what_is_taken_out_is_out_of_the_table_and_the_last_few_stay() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let files: Vec<FileEntry> = (0..6)
            .map(|i| stage(&lake, "j.t", &format!("j/t/batch-{i}.parquet"), b"abc", 1).unwrap())
            .collect();
        roll_forward(&lake, &files).unwrap();
        for _ in 0..2 {
            retire(&lake, &files[..5]).unwrap();
        }
        assert_eq!(names(&folder.path().join("j/t")), ["batch-5.parquet"]);
        let readable: Vec<bool> = files.iter().map(|f| readable_path(&lake, f).is_file()).collect();
        assert_eq!(readable, [false, false, true, true, true, true]);
    }
}
