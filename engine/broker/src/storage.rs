//! Small records on the disk, replaced as a whole: a reader finds the old one or the new one.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};

/// Writes `value` as JSON that a person can read: a temporary file, synced, renamed over `path`.
///
/// # Errors
/// Storage.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("{}: {e}", path.display())))?;
    let temporary = path.with_extension("json.tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| Error::io("cannot write", path, e))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads what [`write_json`] wrote; `None` if there is no such file.
///
/// # Errors
/// Storage; Corrupt if it is not what it must be.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("cannot read", path, e)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        Error::new(ErrorKind::Corrupt, format!("{}: {e}", path.display()))
            .hint("restore the file, or choose another data folder")
    })
}

/// Makes names in a folder durable. Only Unix has such a call; elsewhere renames are journalled.
///
/// # Errors
/// Storage.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let sync = File::open(dir).and_then(|d| d.sync_all());
        sync.map_err(|e| Error::io("cannot sync the folder", dir, e))?;
    }
    Ok(())
}
