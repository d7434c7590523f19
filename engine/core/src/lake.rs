//! Where things lie in a lake: the folder that holds tables, checkpoints, models and system tables.
//!
//! ```text
//! lake/
//!   chicago_arrests/                 a job (hyphens as underscores)
//!     crimes/batch-00000000.parquet  its table: committed files and nothing else; a large batch has batch-00000000_0001.parquet too
//!     crimes/batch-00000000.compact-00000000.parquet  what compaction 0 made of many such files, from that of batch 0 on
//!     crimes/_delta_log/             the same to other engines: what of these files counts, by version
//!     _checkpoint/                   offsets/N.json, commits/N.json, learn/N.json, compactions/N.json, snapshots/N.json, query.json,
//!                                    lock; `staged/` holds what is being written, `former/` the last few files that a batch job has
//!                                    replaced, and those of system tables that were compacted
//!     _models/forest/batch-….model   the last versions of each model
//!   olist/                           a batch job
//!     wide/batch-00000007.parquet    its table: the newest version, by second names of its files
//!     wide/_versions/00000007/…      the last versions, each in a folder that never moves
//!   system/                          metrics, models, batches, dead_letters, data_loss: <table>/<job>/batch-….parquet
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Result, io_error};

/// A lake: a folder on a local disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lake {
    root: PathBuf,
    /// By job, how many of its batches count, where the lake is read as it was.
    past: Option<Arc<BTreeMap<String, u64>>>,
}

impl Lake {
    /// A lake in this folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Lake {
        Lake { root: root.into(), past: None }
    }

    /// The lake as it was after so many batches of each job; of a job that is not among them, all count.
    pub(crate) fn after(&self, batches: BTreeMap<String, u64>) -> Lake {
        Lake { root: self.root.clone(), past: Some(Arc::new(batches)) }
    }

    /// How many batches of a job count; `None`: all.
    pub(crate) fn batches(&self, schema_name: &str) -> Option<u64> {
        self.past.as_ref()?.get(schema_name).copied()
    }

    /// Whether it is read as it was.
    pub(crate) fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The absolute place of a path that a record holds relative to the lake.
    pub fn resolve(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The checkpoint folder of a job.
    pub fn checkpoint(&self, schema_name: &str) -> PathBuf {
        self.root.join(schema_name).join("_checkpoint")
    }

    /// The jobs that have a checkpoint here, sorted, by their schema names.
    ///
    /// # Errors
    /// Storage, if the folder cannot be listed. An absent lake has no jobs.
    pub fn schema_names(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io_error("list the lake", &self.root, &e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| io_error("list the lake", &self.root, &e))?;
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().join("_checkpoint").is_dir()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// The file name that stands for a batch, in every folder that has one file a batch.
pub fn batch_file_name(batch_id: u64, extension: &str) -> String {
    format!("batch-{batch_id:08}.{extension}")
}

/// The file name of one of the files of a batch. The first has the name of the batch; sorted by name they are in the order
/// of their rows.
pub fn part_file_name(batch_id: u64, part: usize, extension: &str) -> String {
    match part {
        0 => batch_file_name(batch_id, extension),
        _ => format!("batch-{batch_id:08}_{part:04}.{extension}"),
    }
}

/// The file name of what a compaction has made of files, of which `first` is the batch of the first; the compaction may make
/// several that begin in one batch.
pub(crate) fn compacted_file_name(first: u64, compaction: u64, part: usize) -> String {
    let part = if part == 0 { String::new() } else { format!("-{part}") };
    format!("batch-{first:08}.compact-{compaction:08}{part}.parquet")
}

/// The compaction that has made a file of [`compacted_file_name`].
pub(crate) fn compaction_of_file_name(name: &str) -> Option<u64> {
    name.split_once(".compact-")?.1.split(['.', '-']).next()?.parse().ok()
}

/// The batch that a file of [`batch_file_name`] stands for; of one that a compaction has made, the first.
pub fn batch_of_file_name(name: &str) -> Option<u64> {
    name.strip_prefix("batch-")?.split(['.', '_']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compacted_file_stands_where_its_first_batch_stood() {
        let name = compacted_file_name(9_900, 99, 0);
        assert_eq!((batch_of_file_name(&name), compaction_of_file_name(&name)), (Some(9_900), Some(99)));
        assert_eq!(compaction_of_file_name(&compacted_file_name(9_900, 99, 2)), Some(99));
        assert_eq!(compaction_of_file_name(&batch_file_name(9_900, "parquet")), None);
        let others = [part_file_name(9_899, 1, "parquet"), part_file_name(9_901, 0, "parquet")];
        assert!(others[0] < name && name < others[1]);
    }

    #[test]
    fn the_files_of_a_batch_sort_by_their_rows() {
        let names: Vec<String> = [(7, 0), (7, 1), (7, 2), (7, 10), (8, 0)]
            .map(|(batch, part)| part_file_name(batch, part, "parquet"))
            .to_vec();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(
            names.iter().map(|name| batch_of_file_name(name)).collect::<Vec<_>>(),
            [7, 7, 7, 7, 8].map(Some)
        );
    }
}
