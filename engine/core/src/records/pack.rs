//! Records of 100 batches in one file, byte for byte: a folder of a file a batch has more files by and by than anything else of
//! a lake.
//!
//! ```text
//! commits/0-99.pack     {"first":0,"lengths":[412,398,…]}, a new line, and the records as they were, one after the other
//! commits/100.json …    those of the newest 100 batches at least
//! ```
//!
//! A record that is there by itself is read there. A pack is whole before the first of its records goes, so that a crash leaves
//! both, and whoever reads finds one of the two.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RESTORE;
use super::snapshot::EVERY;
use crate::error::{Error, Result, io_error};
use crate::files::{entries, write_atomically};

/// Where the records are.
#[derive(Serialize, Deserialize)]
struct Head {
    first: u64,
    lengths: Vec<usize>,
}

/// The records of a pack that was read.
#[derive(Debug)]
pub(super) struct Pack {
    first: u64,
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Pack {
    /// The pack that has the record of a number; `None` where there is none.
    ///
    /// # Errors
    /// Storage; Corrupt: it is not what was written.
    pub(super) fn with(folder: &Path, number: u64) -> Result<Option<Pack>> {
        let path = path(folder, number);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path, &e)),
        };
        let damaged = || {
            Error::corrupt(format!("{} is not what was written", path.display()))
                .hint(format!("the records in it are damaged: put that one file back from a copy; {RESTORE}"))
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|_| damaged())?;
        let mut places = Vec::with_capacity(head.lengths.len());
        let mut from = end + 1;
        for length in head.lengths {
            let to = from.checked_add(length).filter(|to| *to <= bytes.len()).ok_or_else(damaged)?;
            places.push(from..to);
            from = to;
        }
        if head.first != first_of(number) || places.len() as u64 != EVERY || from != bytes.len() {
            return Err(damaged());
        }
        Ok(Some(Pack { first: head.first, bytes, places }))
    }

    /// The bytes of a record.
    pub(super) fn record(&self, number: u64) -> Option<&[u8]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.places.get(at).map(|place| &self.bytes[place.clone()])
    }
}

/// Where the record of a number is once it is packed.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    let first = first_of(number);
    folder.join(format!("{first}-{}.pack", first + EVERY - 1))
}

/// The numbers of the records that a file's name says are in it.
pub(super) fn numbers(name: &str) -> Option<Range<u64>> {
    let (first, last) = name.strip_suffix(".pack")?.split_once('-')?;
    Some(first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

fn first_of(number: u64) -> u64 {
    number - number % EVERY
}

/// Packs records that stand by themselves, of batches before this one and the oldest first; says how many packs were made, which
/// are at most so many.
///
/// # Errors
/// Storage; Corrupt: a record is missing.
pub(crate) fn pack(checkpoint: &Path, before: u64, most: usize) -> Result<usize> {
    let mut made = 0;
    for list in ["offsets", "commits", "learn"] {
        let folder = checkpoint.join(list);
        let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
        let found = entries(&folder)?.iter().filter_map(number).map(first_of).collect::<BTreeSet<u64>>();
        let old = found.into_iter().filter(|first| first + EVERY <= before);
        for first in old.take(most) {
            pack_from(&folder, first)?;
            made += 1;
        }
    }
    Ok(made)
}

fn pack_from(folder: &Path, first: u64) -> Result<()> {
    let singles = (first..first + EVERY).map(|number| folder.join(format!("{number}.json")));
    let path = path(folder, first);
    if !path.is_file() {
        let read = |path: PathBuf| fs::read(&path).map_err(|e| io_error("read", &path, &e));
        let records = singles.clone().map(read).collect::<Result<Vec<_>>>()?;
        let head = Head { first, lengths: records.iter().map(Vec::len).collect() };
        let mut bytes = serde_json::to_vec(&head).map_err(|e| Error::internal(format!("a pack: {e}")))?;
        bytes.push(b'\n');
        bytes.extend(records.into_iter().flatten());
        write_atomically(&path, &bytes)?;
    }
    // What is not in it, stays.
    let pack =
        Pack::with(folder, first)?.ok_or_else(|| Error::internal("a pack is gone that was written"))?;
    for (number, single) in (first..).zip(singles) {
        match fs::read(&single) {
            Ok(bytes) if pack.record(number) == Some(&bytes[..]) => {
                fs::remove_file(&single).map_err(|e| io_error("remove", &single, &e))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Commit, RecordList};

    fn names(folder: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<String> = entries(folder).unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn records_in_packs_are_those_that_they_were_whatever_died_between() {
        let checkpoint = tempfile::tempdir().unwrap();
        let folder = checkpoint.path().join("commits");
        let list = RecordList::<Commit>::open(folder.clone()).unwrap();
        for number in 0..230 {
            list.create(number, &Commit::of_nothing(number)).unwrap();
        }
        let is_whole = || {
            let anew = RecordList::<Commit>::read_only(folder.clone());
            assert_eq!(anew.numbers().unwrap(), 0..230);
            for number in (0..230).rev() {
                assert_eq!(anew.read(number).unwrap(), Commit::of_nothing(number));
                assert_eq!(anew.find(number).unwrap(), Some(Commit::of_nothing(number)));
                assert!(anew.has(number));
            }
            assert!(!anew.has(230) && anew.find(230).unwrap().is_none() && anew.read(230).is_err());
        };
        let sums: Vec<String> = (0..230).map(|number| list.sum(number).unwrap()).collect();
        let first = fs::read(folder.join("0.json")).unwrap();
        assert_eq!(pack(checkpoint.path(), 199, 9).unwrap(), 1);
        is_whole();
        // The pack is there, and not all of its records are gone.
        fs::write(folder.join("0.json"), first).unwrap();
        is_whole();
        assert_eq!(pack(checkpoint.path(), 200, 9).unwrap(), 2);
        is_whole();
        assert_eq!(pack(checkpoint.path(), 200, 9).unwrap(), 0);
        assert_eq!(names(&folder).len(), 32);
        assert_eq!(names(&folder)[..2], ["0-99.pack", "100-199.pack"]);
        assert_eq!((0..230).map(|number| list.sum(number).unwrap()).collect::<Vec<_>>(), sums);
        // A bit of a record is told by it, one of the places by the pack.
        let path = folder.join("0-99.pack");
        let whole = fs::read(&path).unwrap();
        let error = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            RecordList::<Commit>::read_only(folder.clone()).read(7).unwrap_err().to_string()
        };
        let text = String::from_utf8(whole.clone()).unwrap();
        let flipped = error(text.replace("\"batch_id\": 7,", "\"batch_id\": 8,").as_bytes());
        assert!(flipped.contains("0-99.pack, in which 7.json is, is not what was written"), "{flipped}");
        for bytes in [&whole[..whole.len() - 1], &whole[1..], b"{}\n"] {
            assert!(error(bytes).contains("0-99.pack is not what was written"));
        }
        fs::write(&path, whole).unwrap();
        is_whole();
    }
}
