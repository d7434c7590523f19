//! Files and folders: made so that they outlive a power cut, replaced as a whole, several at once.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result, io_error};

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

/// Writes a file and flushes it to disk.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<()> {
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

/// What is in a folder; nothing where there is none.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry.map_err(|e| io_error("list", folder, &e))?.path())).collect()
        }
        Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(io_error("list", folder, &e)),
    }
}

/// Removes a folder with what is in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if !matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => {
            Err(io_error("remove", folder, &e))
        }
        _ => Ok(()),
    }
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

/// XXH3 (64 bits) of a file's content, as records have it.
pub(crate) fn checksum(content: &[u8]) -> String {
    format!("{:016x}", xxh3_64(content))
}
