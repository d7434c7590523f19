//! Stage, record, rename: how a file becomes visible at once or not at all.
//!
//! ```text
//! <folder>/.staged/<name>   written and fsynced        nobody sees it
//! record N.json             created                     from here on it counts
//! <folder>/<name>           renamed                     a plain glob sees it too
//! ```
//!
//! A crash before the record leaves a staged file, which the next run of the same batch overwrites with the same
//! bytes; a crash after it leaves a staged file that [`roll_forward`] renames and that readers find meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::FileEntry;
use crate::error::{Error, Result, io_error};
use crate::lake::Lake;

const STAGED: &str = ".staged";
const FORMER: &str = ".former";
/// Files taken out of a table that stay for readers that have just planned on them.
const FORMER_KEPT: usize = 3;

/// Writes a file to its staged place and flushes it to disk.
///
/// # Errors
/// Storage.
pub fn stage(lake: &Lake, table: &str, path: &str, content: &[u8], rows: u64) -> Result<FileEntry> {
    let staged = staged_path(&lake.resolve(path));
    let folder = staged.parent().ok_or_else(|| Error::internal("a staged file without a folder"))?;
    create_folders(folder)?;
    write_synced(&staged, content)?;
    // The record that lists the file is on disk after it: so must its name be before.
    sync_folder(folder)?;
    Ok(FileEntry {
        table: table.to_owned(),
        path: path.to_owned(),
        rows,
        bytes: content.len() as u64,
        xxh3: format!("{:016x}", xxh3_64(content)),
    })
}

/// Renames what a record lists to its final place. Files that are there already stay as they are.
///
/// # Errors
/// Corrupt, if a listed file is neither staged nor there; Storage.
pub fn roll_forward(lake: &Lake, files: &[FileEntry]) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in files {
        let path = lake.resolve(&file.path);
        let staged = staged_path(&path);
        match fs::rename(&staged, &path) {
            Ok(()) => folders.extend(path.parent().map(Path::to_owned)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if !path.is_file() {
                    return Err(Error::corrupt(format!("{} is listed but is not there", path.display()))
                        .hint("restore the file, or the whole lake, from a copy"));
                }
            }
            Err(e) => return Err(io_error("rename", &staged, &e)),
        }
    }
    folders.sort();
    folders.dedup();
    at_once(&folders, |folder| sync_folder(folder)).into_iter().collect()
}

/// Does something with each on a thread of its own: flushing waits for the disk, which takes several at once.
pub(crate) fn at_once<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let each = &each;
    std::thread::scope(|scope| {
        let running: Vec<_> = items.iter().map(|item| scope.spawn(move || each(item))).collect();
        let panicked = |_| Err(Error::internal("a thread that writes files panicked"));
        running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}

/// Hides what a record takes out of a table, so that a plain glob finds the files that count and no others. The last few
/// stay in `.former/`. Files that are hidden already stay as they are.
///
/// # Errors
/// Storage.
pub fn retire(lake: &Lake, files: &[FileEntry]) -> Result<()> {
    for file in files {
        let path = lake.resolve(&file.path);
        let former = hidden_path(&path, FORMER);
        let Some(folder) = former.parent() else { continue };
        create_folders(folder)?;
        match fs::rename(&path, &former) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(io_error("rename", &path, &e)),
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

/// Where a listed file can be read now: its final place, the staged one while the rename is still to come, or the
/// place of former files if it has been taken out of the table since.
pub fn readable_path(lake: &Lake, file: &FileEntry) -> PathBuf {
    let path = lake.resolve(&file.path);
    if path.is_file() {
        return path;
    }
    // The rename may have happened between two looks.
    [STAGED, FORMER]
        .map(|folder| hidden_path(&path, folder))
        .into_iter()
        .find(|p| p.is_file())
        .unwrap_or(path)
}

/// Replaces a small file as a whole.
///
/// # Errors
/// Storage.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().ok_or_else(|| Error::internal("a file without a folder"))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    write_synced(&temporary, content)?;
    fs::rename(&temporary, path).map_err(|e| io_error("rename", &temporary, &e))?;
    sync_folder(folder)
}

fn write_synced(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(|e| io_error("create", path, &e))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|e| io_error("write", path, &e))
}

/// Makes a folder with all above it; the new ones' names outlive a power cut.
pub(crate) fn create_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), create_folders)?;
    match fs::create_dir(folder) {
        Ok(()) => above.map_or(Ok(()), sync_folder),
        // Another thread was faster.
        Err(_) if folder.is_dir() => Ok(()),
        Err(e) => Err(io_error("create", folder, &e)),
    }
}

/// Flushes a folder, so that names made in it outlive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open a folder as a file; its renames are journalled.
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io_error("flush", folder, &e))?;
    }
    Ok(())
}

fn staged_path(path: &Path) -> PathBuf {
    hidden_path(path, STAGED)
}

/// The place of a file's name in a hidden folder beside it.
fn hidden_path(path: &Path, hidden: &str) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => folder.join(hidden).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_visible_before_the_rename_and_the_rename_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let file = stage(&lake, "j.t", "j/t/batch-0.parquet", b"abc", 1).unwrap();
        let visible = folder.path().join("j/t/batch-0.parquet");
        assert!(!visible.exists());
        assert_eq!(fs::read(readable_path(&lake, &file)).unwrap(), b"abc");
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        assert_eq!(fs::read(&visible).unwrap(), b"abc");
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        assert_eq!(readable_path(&lake, &file), visible);
        fs::remove_file(&visible).unwrap();
        assert!(roll_forward(&lake, &[file]).is_err());
    }

    #[test]
    fn what_is_taken_out_is_hidden_and_the_last_few_stay() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let files: Vec<FileEntry> = (0..6)
            .map(|i| stage(&lake, "j.t", &format!("j/t/batch-{i}.parquet"), b"abc", 1).unwrap())
            .collect();
        roll_forward(&lake, &files).unwrap();
        for _ in 0..2 {
            retire(&lake, &files[..5]).unwrap();
        }
        let visible: Vec<_> = fs::read_dir(folder.path().join("j/t"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(visible, ["batch-5.parquet"]);
        let readable: Vec<bool> = files.iter().map(|f| readable_path(&lake, f).is_file()).collect();
        assert_eq!(readable, [false, false, true, true, true, true]);
    }
}
