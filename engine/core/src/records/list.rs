//! One numbered list of create-only JSON records in a folder.
//!
//! A record never changes. A plan that has no commit may be replaced by a later one of its number, which stands beside it:
//!
//! ```text
//! offsets/7.json      as it was planned
//! offsets/7.1.json    cut anew, with the job's texts of a later start: this one holds
//! 0-99.pack          the first hundred of them, once they are old (see `pack`)
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::format::{Before, FIRST_SEALED, FORMAT, FORMATS, Record, Written, cut, newer};
use super::pack::{self, Pack};
use super::sealed::{is_whole, said, sealed};
use crate::error::{Error, Result, io_error};
use crate::files::{checksum, create_folders, entries, sync_folder};

/// What to do about a checkpoint whose records are not what they were.
pub(crate) const RESTORE: &str = "put back the checkpoint and its tables from one copy of the lake, as they belong together: an \
     older checkpoint alone is refused beside tables that went on";

/// The folder of one kind of record.
#[derive(Debug)]
pub struct RecordList<R> {
    folder: PathBuf,
    format: u32,
    /// One past the newest, where it is known and nobody else writes; else [`UNKNOWN`].
    end: Option<AtomicU64>,
    /// The pack that was read last, by its path.
    pack: Mutex<Option<(PathBuf, Arc<Pack>)>>,
    record: PhantomData<R>,
}

const UNKNOWN: u64 = u64::MAX;

impl<R: Record> RecordList<R> {
    /// Opens a list for writing; the folder is made where it is not there.
    ///
    /// # Errors
    /// Storage.
    pub fn open(folder: PathBuf) -> Result<Self> {
        create_folders(&folder)?;
        Ok(RecordList::read_only(folder))
    }

    /// As [`RecordList::open`], by the only process that writes to it: its folder is listed once.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn held(folder: PathBuf) -> Result<Self> {
        Ok(RecordList { end: Some(AtomicU64::new(UNKNOWN)), ..RecordList::open(folder)? })
    }

    /// Writes records as those of another format that have the same fields.
    pub(crate) fn written_as(self, format: u32) -> Self {
        RecordList { format, ..self }
    }

    /// Opens a list for reading; an absent folder is an empty list.
    pub fn read_only(folder: PathBuf) -> Self {
        RecordList { folder, format: FORMAT, end: None, pack: Mutex::default(), record: PhantomData }
    }

    /// The numbers there are, ascending, from 0.
    ///
    /// # Errors
    /// Storage; Corrupt, if one of them is missing: also where a newer version has put it into a snapshot.
    pub fn numbers(&self) -> Result<std::ops::Range<u64>> {
        let known = self.end.as_ref().map_or(UNKNOWN, |end| end.load(Ordering::Relaxed));
        if known != UNKNOWN {
            return Ok(0..known);
        }
        let numbers = self.listed()?;
        if let Some(end) = &self.end {
            end.store(numbers.end, Ordering::Relaxed);
        }
        Ok(numbers)
    }

    /// As [`Self::numbers`], by the folder. Records may go into a pack between two looks.
    fn listed(&self) -> Result<std::ops::Range<u64>> {
        self.listed_once().or_else(|_| self.listed_once())
    }

    fn listed_once(&self) -> Result<std::ops::Range<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0..0),
            Err(e) => return Err(io_error("list", &self.folder, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| io_error("list", &self.folder, &e))?.file_name();
            let Some(name) = name.to_str() else { continue };
            found.extend(name.strip_suffix(".json").and_then(|name| name.parse::<u64>().ok()));
            found.extend(pack::numbers(name).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        let Some(newest) = found.last().copied() else { return Ok(0..0) };
        let end = newest.saturating_add(1);
        if found.len() as u64 != end {
            // A newer version may have cut the list: then the newest record says so.
            self.read(newest)?;
            return Err(Error::corrupt(format!(
                "{} holds {} records though the newest is {newest}",
                self.folder.display(),
                found.len()
            ))
            .hint(format!("records were deleted by hand: {RESTORE}")));
        }
        Ok(0..end)
    }

    /// The newest number.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn latest(&self) -> Result<Option<u64>> {
        Ok(self.numbers()?.end.checked_sub(1))
    }

    /// Whether there is a record of this number.
    pub fn has(&self, number: u64) -> bool {
        self.path(number).is_file() || pack::path(&self.folder, number).is_file()
    }

    /// Reads a record; of one that was replaced, the newest.
    ///
    /// # Errors
    /// Storage, if it is not there; Corrupt, if it is not what it should be.
    pub fn read(&self, number: u64) -> Result<R> {
        let path = match self.times_replaced(number) {
            0 => self.path(number),
            times => self.replacement(number, times),
        };
        match fs::read(&path) {
            Ok(bytes) => parse(&path, number, &bytes),
            Err(e) => match self.packed(number, |path, bytes| parse(path, number, bytes))? {
                Some(record) => Ok(record),
                None => Err(io_error("read", &path, &e)),
            },
        }
    }

    /// The bytes of a record as it was created, with a checksum of them in the way of files.
    ///
    /// # Errors
    /// Storage, if it is not there.
    pub(super) fn sum(&self, number: u64) -> Result<String> {
        let path = self.path(number);
        match fs::read(&path) {
            Ok(bytes) => Ok(checksum(&bytes)),
            Err(e) => match self.packed(number, |_, bytes| Ok(checksum(bytes)))? {
                Some(sum) => Ok(sum),
                None => Err(io_error("read", &path, &e)),
            },
        }
    }

    /// Does something with the bytes of a record in its pack; `None` where there is none.
    fn packed<T>(&self, number: u64, read: impl FnOnce(&Path, &[u8]) -> Result<T>) -> Result<Option<T>> {
        let path = pack::path(&self.folder, number);
        let mut last = self.pack.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(of, _)| *of == path).map(|(_, pack)| pack.clone());
        let pack = match known {
            Some(pack) => pack,
            None => match Pack::with(&self.folder, number)? {
                Some(pack) => Arc::new(pack),
                None => return Ok(None),
            },
        };
        *last = Some((path.clone(), pack.clone()));
        drop(last);
        let in_it = PathBuf::from(format!("{}, in which {number}.json is,", path.display()));
        pack.record(number).map(|bytes| read(&in_it, bytes)).transpose()
    }

    /// When the record of this number was written; `None` where it is not there.
    pub(crate) fn written(&self, number: u64) -> Option<std::time::SystemTime> {
        fs::metadata(self.path(number)).ok()?.modified().ok()
    }

    /// Reads a record of a kind that is never replaced; `None` where it is not there.
    ///
    /// # Errors
    /// Storage; Corrupt, if it is not what it should be.
    pub(crate) fn find(&self, number: u64) -> Result<Option<R>> {
        let path = self.path(number);
        match fs::read(&path) {
            Ok(bytes) => parse(&path, number, &bytes).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                self.packed(number, |path, bytes| parse(path, number, bytes))
            }
            Err(e) => Err(io_error("read", &path, &e)),
        }
    }

    /// Creates a record: on return it is on disk, whole, and was not there before.
    ///
    /// # Errors
    /// Corrupt, if there is one of this number; Storage.
    pub fn create(&self, number: u64, record: &R) -> Result<()> {
        create_at(&self.path(number), self.format, record)?;
        if let Some(end) = self.end.as_ref().filter(|end| end.load(Ordering::Relaxed) == number) {
            end.store(number.saturating_add(1), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Creates a record that holds instead of the one of this number, which stays.
    ///
    /// # Errors
    /// Corrupt, if another process does so at the same time; Storage.
    pub(crate) fn replace(&self, number: u64, record: &R) -> Result<()> {
        create_at(&self.replacement(number, self.times_replaced(number) + 1), self.format, record)
    }

    /// How often the record of this number was replaced.
    fn times_replaced(&self, number: u64) -> u64 {
        (1..).take_while(|times| self.replacement(number, *times).exists()).last().unwrap_or(0)
    }

    /// Number, times and path of each record that holds instead of another, ascending.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn replacements(&self) -> Result<Vec<(u64, u64, PathBuf)>> {
        counted(&self.folder)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    fn replacement(&self, number: u64, times: u64) -> PathBuf {
        self.folder.join(format!("{number}.{times}.json"))
    }
}

/// Both numbers and the path of each `N.K.json` of a folder, ascending.
///
/// # Errors
/// Storage.
pub(crate) fn counted(folder: &Path) -> Result<Vec<(u64, u64, PathBuf)>> {
    let numbers = |path: &PathBuf| {
        let (number, count) = path.file_name()?.to_str()?.strip_suffix(".json")?.split_once('.')?;
        Some((number.parse().ok()?, count.parse().ok()?))
    };
    let found = entries(folder)?.into_iter();
    let mut all: Vec<(u64, u64, PathBuf)> =
        found.filter_map(|path| numbers(&path).map(|(number, count)| (number, count, path))).collect();
    all.sort();
    Ok(all)
}

/// Creates a record: on return it is on disk, whole, and was not there before.
///
/// # Errors
/// Corrupt, if there is one of this name; Storage.
pub(crate) fn create_at<R: Record>(path: &Path, format: u32, record: &R) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_stem().and_then(|name| name.to_str())) else {
        return Err(Error::internal("a record without a name"));
    };
    let text = text_of(format, record).map_err(|e| Error::internal(format!("record {name}: {e}")))?;
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let mut file = File::create(&temporary).map_err(|e| io_error("create", &temporary, &e))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| io_error("write", &temporary, &e))?;
    // A hard link fails where the name is taken: a rename would not.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|e| io_error("remove", &temporary, &e))?;
    match linked {
        Ok(()) => sync_folder(folder),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::corrupt(format!("{} exists already", path.display()))
                .hint("another driver works on this checkpoint: stop one of them"))
        }
        Err(e) => Err(io_error("create", path, &e)),
    }
}

/// A record as it is written.
pub(super) fn text_of<R: Record>(format: u32, record: &R) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(&Written { format, record })? + "\n";
    Ok(if format < FIRST_SEALED { text } else { sealed(&text) })
}

/// The record of a number, of whichever format.
///
/// # Errors
/// Corrupt: it is damaged, of another number, or was written by a newer version.
pub(crate) fn parse<R: Record>(path: &Path, number: u64, bytes: &[u8]) -> Result<R> {
    let damaged = |what: String| {
        Error::corrupt(what)
            .hint(format!("the record is damaged: put that one file back from a copy; {RESTORE}"))
    };
    let unreadable = |e: serde_json::Error| damaged(format!("cannot read {}: {e}", path.display()));
    let mut value: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    let format = value.get("format").and_then(Value::as_u64);
    let format = format.ok_or_else(|| damaged(format!("{} has no format number", path.display())))?;
    if !FORMATS.map(u64::from).any(|known| known == format) {
        return Err(newer(path, format));
    }
    if said(&value).is_some_and(|sum| !is_whole(bytes, &sum)) {
        return Err(damaged(format!("{} is not what was written: its checksum differs", path.display())));
    }
    let found = value.get("batch_id").or_else(|| value.get("number")).and_then(Value::as_u64);
    if found != Some(number) {
        let found = found.map_or("no batch".to_owned(), |id| format!("batch {id}"));
        return Err(Error::corrupt(format!("{} is the record of {found}", path.display()))
            .hint(format!("records were renamed or copied by hand: {RESTORE}")));
    }
    if let (1, Some(fields)) = (format, value.as_object_mut()) {
        R::upgrade(fields);
    }
    let record: R = serde_json::from_value(value).map_err(unreadable)?;
    match record.before() == Before::default() {
        true => Ok(record),
        false => Err(cut(path)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::Commit;

    fn commit(batch_id: u64) -> Commit {
        Commit::of_nothing(batch_id)
    }

    #[test]
    fn a_record_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().join("commits")).unwrap();
        assert_eq!(list.latest().unwrap(), None);
        list.create(0, &commit(0)).unwrap();
        list.create(1, &commit(1)).unwrap();
        assert_eq!(list.latest().unwrap(), Some(1));
        assert_eq!(list.read(1).unwrap(), commit(1));
        assert!(list.create(1, &commit(7)).is_err());
        assert_eq!(list.read(1).unwrap(), commit(1), "the first one stays");
    }

    #[test]
    fn a_hole_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().to_owned()).unwrap();
        list.create(0, &commit(0)).unwrap();
        list.create(2, &commit(2)).unwrap();
        let error = list.latest().unwrap_err().to_string();
        assert!(error.contains("holds 2 records though the newest is 2"), "{error}");
    }

    #[test]
    fn the_newest_of_a_number_holds_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().to_owned()).unwrap();
        let with = |bytes_read| {
            let mut one = commit(0);
            one.counts.bytes_read = bytes_read;
            one
        };
        for bytes in [0, 1, 2] {
            match bytes {
                0 => list.create(0, &with(0)).unwrap(),
                more => list.replace(0, &with(more)).unwrap(),
            }
            assert_eq!(list.read(0).unwrap(), with(bytes));
            assert_eq!(list.numbers().unwrap(), 0..1);
        }
        list.create(1, &commit(1)).unwrap();
        assert_eq!(list.read(1).unwrap(), commit(1));
        let replaced: Vec<_> = list.replacements().unwrap().into_iter().map(|(n, k, _)| (n, k)).collect();
        assert_eq!(replaced, [(0, 1), (0, 2)]);
        assert_eq!(parse::<Commit>(Path::new(""), 0, &fs::read(list.path(0)).unwrap()).unwrap(), with(0));
    }

    #[test]
    fn a_list_that_a_newer_version_has_cut_is_refused() {
        for (first, snapshot) in [(Some(2), Some(1)), (Some(2), None), (None, Some(1))] {
            let folder = tempfile::tempdir().unwrap();
            let list = RecordList::open(folder.path().to_owned()).unwrap();
            for number in 0..3 {
                list.create(number, &commit(number)).unwrap();
            }
            list.create(3, &Commit { before: Before { first, snapshot }, ..commit(3) }).unwrap();
            let refused = |error: Error| {
                assert!(error.to_string().contains("3.json says that records before it"), "{error}");
                assert!(error.next_step().is_some_and(|hint| hint.contains("a newer version")), "{error:?}");
            };
            refused(list.read(3).unwrap_err());
            assert_eq!(list.numbers().unwrap(), 0..4, "all are there still");
            for gone in [0, 1, 2] {
                fs::remove_file(list.path(gone)).unwrap();
                refused(list.numbers().unwrap_err());
            }
        }
    }

    #[test]
    fn a_list_may_be_written_as_one_of_format_1() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().to_owned()).unwrap().written_as(1);
        list.create(0, &commit(0)).unwrap();
        assert!(fs::read_to_string(list.path(0)).unwrap().starts_with("{\n  \"format\": 1,\n"));
        assert_eq!(list.read(0).unwrap(), commit(0));
    }

    /// A bit that a disk changed made `"to": 601` a `"to": 401`, and 200 rows were read twice.
    #[test]
    fn a_number_that_a_disk_has_changed_is_told_with_the_name_of_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().to_owned()).unwrap();
        let mut with = commit(0);
        with.counts.bytes_read = 601;
        list.create(0, &with).unwrap();
        let text = fs::read_to_string(list.path(0)).unwrap();
        assert_eq!(list.read(0).unwrap(), with);
        fs::write(list.path(0), text.replace("601", "401")).unwrap();
        let error = list.read(0).unwrap_err();
        assert!(
            error.to_string().contains("0.json is not what was written: its checksum differs"),
            "{error}"
        );
        assert!(error.next_step().is_some_and(|hint| hint.contains("from a copy")));
        // Those of before have none.
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("crc32c")).collect();
        fs::write(list.path(0), lines.join("\n").replace("\"format\": 3", "\"format\": 2")).unwrap();
        assert_eq!(list.read(0).unwrap(), with);
    }

    #[test]
    fn a_record_under_another_name_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let list = RecordList::open(folder.path().to_owned()).unwrap();
        list.create(0, &commit(0)).unwrap();
        fs::copy(folder.path().join("0.json"), folder.path().join("1.json")).unwrap();
        let error = list.read(1).unwrap_err().to_string();
        assert!(error.contains("1.json is the record of batch 0"), "{error}");
    }

    proptest! {
        /// No damage to a record is taken for a record, unless it is one.
        #[test]
        fn damage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse::<Commit>(Path::new("x"), 3, &bytes).is_err());
        }

        #[test]
        fn a_cut_record_is_an_error(keep in 0usize..150) {
            let text = text_of(FORMAT, &commit(3)).unwrap().into_bytes();
            prop_assert!(parse::<Commit>(Path::new("x"), 3, &text).is_ok());
            // The last byte ends the line.
            let cut = &text[..keep.min(text.len() - 2)];
            prop_assert!(parse::<Commit>(Path::new("x"), 3, cut).is_err());
        }
    }
}
