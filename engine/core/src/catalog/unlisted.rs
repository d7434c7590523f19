//! Files beside those of a stream's table that no record lists: SQL does not read them, `*.parquet` of another engine does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::files::entries;
use crate::lake::Lake;
use crate::records::FileEntry;
use crate::table::became::is_taken_out;
use crate::table::read::committed_files;

/// Folders that were looked at: one look a process is enough, which costs as much as it takes to list the folder.
static LOOKED_AT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Tells of such files in the folders of these, which are those of a job's table.
pub(super) fn warn(lake: &Lake, schema_name: &str, table: &str, files: &[FileEntry]) {
    // A batch job has a folder a version, which no other writes into.
    let folders: BTreeSet<&str> = files
        .iter()
        .filter(|file| !file.path.contains("/_versions/"))
        .filter_map(|file| file.path.rsplit_once('/').map(|(folder, _)| folder))
        .collect();
    for folder in folders {
        let place = lake.resolve(folder);
        if !LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone()) {
            continue;
        }
        let mut found = beside(&place, folder, files);
        if !found.is_empty() {
            // They may have been committed since the records were read.
            let now = committed_files(lake, schema_name, table).unwrap_or_default();
            found.retain(|path| !now.iter().any(|file| lake.resolve(&file.path) == *path));
            // What compaction has made others of stays for a while.
            found.retain(|path| {
                !is_taken_out(lake, schema_name, &in_folder(folder, path)).unwrap_or_default()
            });
        }
        if let Some(first) = found.first() {
            let (first, files) = (first.display().to_string(), found.len());
            tracing::warn!(
                table,
                files,
                "{first} is in no record, so that SQL does not read it, and a glob does: `tidemill doctor` names all such files"
            );
        }
    }
}

/// The path of a file of a folder, relative to the lake.
fn in_folder(folder: &str, path: &Path) -> String {
    format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// What `*.parquet` finds in a folder, and these are not.
fn beside(place: &Path, folder: &str, files: &[FileEntry]) -> Vec<PathBuf> {
    let listed: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.rsplit_once('/'))
        .filter(|(of, _)| *of == folder)
        .map(|(_, name)| name)
        .collect();
    let is_beside = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".parquet") && !name.starts_with('.') && !listed.contains(name.as_ref())
    };
    let mut found: Vec<PathBuf> = entries(place).unwrap_or_default().into_iter().filter(is_beside).collect();
    found.sort();
    found
}
