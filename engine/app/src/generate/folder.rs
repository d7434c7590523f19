//! Files of a generated data set: written beside their places, and renamed only when all of them are whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tidemill_core::{Error, Result};

use super::sibling;

/// The files of one data set in one folder.
pub(super) struct Folder {
    path: PathBuf,
    /// Where each file is written, and where it will stand.
    files: Vec<(PathBuf, PathBuf)>,
}

/// A file that is being written.
pub(super) type Out = BufWriter<File>;

impl Folder {
    /// The folder, made if it is absent.
    ///
    /// # Errors
    /// User: it cannot be made.
    pub(super) fn create(path: &Path) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|e| {
            Error::user(format!("cannot make the folder {}: {e}", path.display()))
                .hint("--out names a folder that exists or can be made: the data set is several files")
        })?;
        Ok(Folder { path: path.to_owned(), files: Vec::new() })
    }

    /// Begins a file with its first line, which is given with its line end.
    ///
    /// # Errors
    /// Storage: it cannot be written.
    pub(super) fn file(&mut self, name: &str, header: &str) -> Result<Out> {
        let place = self.path.join(name);
        let hidden = sibling(&place);
        let mut out = BufWriter::with_capacity(1 << 16, File::create(&hidden).map_err(|e| self.error(&e))?);
        self.files.push((hidden, place));
        out.write_all(header.as_bytes()).map_err(|e| self.error(&e))?;
        Ok(out)
    }

    /// Gives the files their names. Those that stood there are replaced.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn publish(mut self) -> Result<()> {
        for (hidden, place) in std::mem::take(&mut self.files) {
            std::fs::rename(hidden, place).map_err(|e| self.error(&e))?;
        }
        Ok(())
    }

    /// An error in writing.
    pub(super) fn error(&self, error: &io::Error) -> Error {
        Error::storage(format!("cannot write to {}: {error}", self.path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for (hidden, _) in &self.files {
            // The error that counts is the one in hand.
            let _ = std::fs::remove_file(hidden);
        }
    }
}
