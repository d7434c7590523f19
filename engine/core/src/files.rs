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

/// Flushes the content of a file.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.sync_all()).map_err(|e| io_error("write", path, &e))
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

/// Threads that flush at once: more of them do not wait less for the disk.
const FLUSHING: usize = 32;

/// Does something with each, several at once on threads of their own: flushing waits for the disk, which takes several.
/// The results are in the order of the items.
pub(crate) fn at_once<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let each = &each;
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(FLUSHING).max(1));
        let running: Vec<_> = parts
            .map(|part| (part.len(), scope.spawn(move || part.iter().map(each).collect::<Vec<_>>())))
            .collect();
        let panicked = || Err(Error::internal("a thread that writes files panicked"));
        let done = running.into_iter().flat_map(|(items, thread)| {
            thread.join().unwrap_or_else(|_| (0..items).map(|_| panicked()).collect())
        });
        done.collect()
    })
}

/// The text of what a person wrote. A mark at its beginning that says UTF-8 is none of it.
///
/// # Errors
/// What it is instead of UTF-8.
pub fn text(bytes: Vec<u8>) -> std::result::Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16: save it as UTF-8".to_owned());
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| format!("the byte at {} is no UTF-8: save it as UTF-8", e.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// What a path is that is neither a file nor a folder: reading it may wait for ever, and it is gone once it is read.
pub(crate) fn special(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    if kind.is_file() || kind.is_dir() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kinds = [
            (kind.is_fifo(), "a pipe"),
            (kind.is_socket(), "a socket"),
            (kind.is_char_device() || kind.is_block_device(), "a device"),
        ];
        if let Some((_, name)) = kinds.into_iter().find(|(is, _)| *is) {
            return Some(name);
        }
    }
    Some("no file")
}

/// XXH3 (64 bits) of a file's content, as records have it.
pub(crate) fn checksum(content: &[u8]) -> String {
    format!("{:016x}", xxh3_64(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_utf_8_with_or_without_a_mark_that_says_so() {
        for (bytes, expected) in [
            (&b"SELECT 1"[..], Ok("SELECT 1")),
            (b"\xef\xbb\xbfSELECT '\xc3\xbc'", Ok("SELECT 'ü'")),
            (b"", Ok("")),
            (b"\xff\xfeS\0", Err("it is UTF-16: save it as UTF-8")),
            (b"\xfe\xff\0S", Err("it is UTF-16: save it as UTF-8")),
            (b"ab\xfc", Err("the byte at 2 is no UTF-8: save it as UTF-8")),
        ] {
            assert_eq!(text(bytes.to_vec()), expected.map(String::from).map_err(String::from));
        }
    }

    #[test]
    fn results_are_in_the_order_of_the_items_however_many_there_are() {
        for items in [0, 1, 2, 31, 32, 33, 1_000] {
            let items: Vec<usize> = (0..items).collect();
            let done: Vec<usize> =
                at_once(&items, |item| Ok(item * 2)).into_iter().map(Result::unwrap).collect();
            assert_eq!(done, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
