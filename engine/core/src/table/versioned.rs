//! A table that is replaced as a whole: where its versions lie, and what a glob over its folder finds.
//!
//! ```text
//! JOB/TABLE/_versions/00000007/state=SP/batch-00000007.parquet   a file of version 7: it never moves, records and Delta name it
//! JOB/TABLE/_versions/00000007.sql/…                             what SQL reads of a version that is written as CSV or JSON
//! JOB/TABLE/state=SP/batch-00000007.parquet                      a second name (hard link) of it while it is the newest
//! ```
//!
//! So a reader goes on with the version that it began with, and a glob over the table's folder finds the newest. Names are
//! changed one by one, and whoever lists them meanwhile, or after a run that was killed between two, finds:
//!
//! | files of a version | found meanwhile |
//! | --- | --- |
//! | one, as without `partition_by` | one version, whole: the new file takes the old one's name in one step, and then its own |
//! | several | besides a file that no engine can read, so that a glob is an error and never a mixture of two versions |
//!
//! Lakes of before have `JOB/_versions/TABLE` instead, and the table is a link to one of them. A run carries them over; their
//! records name the files as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::error::{Result, io_error};
use crate::files::{at_once, entries, sync_folder};
use crate::lake::batch_of_file_name;

/// The folder of the versions, in that of the table.
pub(crate) const VERSIONS: &str = "_versions";
/// Beside the folder of a version: the Parquet files of a table that is written in another format.
pub(crate) const OF_SQL: &str = ".sql";
/// A file that makes a glob fail, in a folder of this value.
const NOTICE: &str = "being-replaced";
const NOTICE_VALUE: &str = "__being_replaced__";
const NOTICE_TEXT: &str =
    "`tidemill run` is replacing the files of this table, or was killed while it did: run it again\n";

/// Where a file is that was recorded below `JOB/_versions/TABLE`, once its job is carried over.
pub(crate) fn carried_over(path: &str) -> Option<String> {
    let (job, rest) = path.split_once('/')?;
    let (table, file) = rest.strip_prefix(VERSIONS)?.strip_prefix('/')?.split_once('/')?;
    Some(format!("{job}/{table}/{VERSIONS}/{file}"))
}

/// The folder of the table (relative to the lake) and the name below it at which a glob finds a file of its newest version. What
/// SQL alone reads has none, nor has a file of no version.
pub(crate) fn shown_as(path: &str) -> Option<(String, String)> {
    let path = carried_over(path).unwrap_or_else(|| path.to_owned());
    let (table, of_version) = path.split_once(&format!("/{VERSIONS}/"))?;
    let (version, name) = of_version.split_once('/')?;
    (!version.ends_with(OF_SQL)).then(|| (table.to_owned(), name.to_owned()))
}

/// What is in a table's folder, by names below it.
#[derive(Default)]
struct Found {
    /// Files of a version.
    files: BTreeSet<String>,
    /// What a run that was killed has left.
    leftovers: Vec<PathBuf>,
}

impl Found {
    fn look(&mut self, table: &Path, below: &str) -> Result<()> {
        for path in entries(&table.join(below))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_folder = path.is_dir();
            if is_folder && name.contains('=') && !path.is_symlink() {
                self.look(table, &format!("{below}{name}/"))?;
            } else if !is_folder && is_leftover(&name) {
                self.leftovers.push(path);
            } else if !is_folder && batch_of_file_name(&name).is_some() {
                self.files.insert(format!("{below}{name}"));
            }
        }
        Ok(())
    }
}

fn is_leftover(name: &str) -> bool {
    name.strip_prefix(NOTICE).is_some_and(|rest| rest.starts_with('.'))
        || name.starts_with(".batch-") && name.ends_with(".tmp")
}

/// What a glob over a table's folder finds, by names below it: of what files of a version are called.
///
/// # Errors
/// Storage.
pub(crate) fn shown(table: &Path) -> Result<BTreeSet<String>> {
    let mut found = Found::default();
    found.look(table, "")?;
    Ok(found.files)
}

/// Whether a run that was killed has left a table's names half changed.
///
/// # Errors
/// Storage.
pub(crate) fn is_half_shown(table: &Path) -> Result<bool> {
    let mut found = Found::default();
    found.look(table, "")?;
    Ok(!found.leftovers.is_empty())
}

/// Whether a file that a glob finds is one of a version: a second name of it, or a copy of its size.
pub(crate) fn is_second_name(shown: &Path, of: &Path) -> bool {
    let (Ok(shown), Ok(of)) = (fs::metadata(shown), fs::metadata(of)) else { return false };
    is_same_file(&shown, &of) || shown.len() == of.len()
}

#[cfg(unix)]
fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}

/// Lets a glob over a table's folder find these files of a version, by their names below it, and those of no other version.
/// Files that are no version's stay.
///
/// # Errors
/// Storage.
pub(crate) fn show(table: &Path, files: &BTreeMap<String, PathBuf>) -> Result<()> {
    let mut found = Found::default();
    found.look(table, "")?;
    let is_shown = |(name, place): (&String, &PathBuf)| {
        found.files.contains(name) && is_second_name(&table.join(name), place)
    };
    if found.leftovers.is_empty() && found.files.len() == files.len() && files.iter().all(is_shown) {
        return Ok(());
    }
    // By folder and format.
    let mut old: BTreeMap<_, Vec<&String>> = BTreeMap::new();
    for name in found.files.iter().filter(|name| !files.contains_key(name.as_str())) {
        old.entry(kind(name)).or_default().push(name);
    }
    let mut folders = BTreeSet::from([table.to_owned()]);
    let notices: BTreeSet<String> =
        files.keys().chain(&found.files).filter_map(|name| notice(name)).collect();
    let notices: Vec<PathBuf> = notices.iter().map(|name| table.join(name)).collect();
    for path in &notices {
        make_folder(table, path, &mut folders)?;
        fs::write(path, NOTICE_TEXT).map_err(|e| io_error("write", path, &e))?;
    }
    for (name, place) in files.iter().filter(|file| !is_shown(*file)) {
        let path = table.join(name);
        make_folder(table, &path, &mut folders)?;
        let before = old.get_mut(&kind(name)).and_then(Vec::pop);
        take_over(before.map(|before| table.join(before)).as_deref(), &path, place)?;
    }
    for name in old.into_values().flatten() {
        let path = table.join(name);
        folders.extend(path.parent().map(Path::to_owned));
        remove(&path)?;
    }
    for path in notices.iter().chain(&found.leftovers) {
        remove(path)?;
        folders.extend(path.parent().map(Path::to_owned));
    }
    folders.iter().for_each(|folder| remove_empty(table, folder));
    let folders: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.is_dir()).collect();
    at_once(&folders, |folder| sync_folder(folder)).into_iter().collect()
}

/// Makes the folder of a file below a table's, and notes those above it: all are flushed in the end, at once.
fn make_folder(table: &Path, path: &Path, folders: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| io_error("create", folder, &e))?;
    folders.extend(folder.ancestors().take_while(|above| above.starts_with(table)).map(Path::to_owned));
    Ok(())
}

/// Gives a file a second name, in the place of another. Whoever lists the folder finds one of the two at every moment.
fn take_over(before: Option<&Path>, path: &Path, place: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.tmp"));
    remove(&new)?;
    fs::hard_link(place, &new).map_err(|e| io_error("create", &new, &e))?;
    let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|e| io_error("rename", from, &e));
    if let Some(before) = before {
        rename(&new, before)?;
        rename(before, path)?;
        // A rename from one name of a file to another of it does nothing.
        remove(before)?;
    } else {
        rename(&new, path)?;
    }
    remove(&new)
}

/// Of files of one folder and format one takes the place of the other.
fn kind(name: &str) -> (&str, Option<&str>) {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    (folder, file.rsplit_once('.').map(|(_, extension)| extension))
}

/// The name of what makes a glob fail that finds files such as this one; none where a table is one file.
fn notice(name: &str) -> Option<String> {
    let (folders, file) = name.rsplit_once('/')?;
    let columns = folders.split('/').filter_map(|folder| folder.split_once('='));
    let folders: Vec<String> = columns.map(|(column, _)| format!("{column}={NOTICE_VALUE}")).collect();
    let (_, extension) = file.rsplit_once('.')?;
    Some(format!("{}/{NOTICE}.{extension}", folders.join("/")))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != IoKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Removes a folder of a table with those above it, as far as nothing is in them.
fn remove_empty(table: &Path, folder: &Path) {
    let mut folder = folder;
    while folder != table && fs::remove_dir(folder).is_ok() {
        let Some(above) = folder.parent() else { break };
        folder = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_version_has_its_place_and_its_second_name() {
        let of_before = "j/_versions/t/00000007/k=1/batch-00000007.parquet";
        let path = "j/t/_versions/00000007/k=1/batch-00000007.parquet";
        assert_eq!(carried_over(of_before).as_deref(), Some(path));
        let second = Some(("j/t".to_owned(), "k=1/batch-00000007.parquet".to_owned()));
        assert_eq!((shown_as(of_before), shown_as(path)), (second.clone(), second));
        for other in ["j/t/batch-00000007.parquet", "j/t/_versions/00000007.sql/batch-00000007.parquet"] {
            assert_eq!((carried_over(other), shown_as(other)), (None, None));
        }
    }

    /// A version of so many folders, or of one file, as a table has it.
    fn version(table: &Path, number: u64, extension: &str, parts: &[&str]) -> BTreeMap<String, PathBuf> {
        let mut files = BTreeMap::new();
        for part in parts {
            let name = format!("{part}batch-{number:08}.{extension}");
            let place = table.join(VERSIONS).join(format!("{number:08}")).join(&name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, format!("{part}{number}")).unwrap();
            files.insert(name, place);
        }
        files
    }

    fn all(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let mut todo = vec![folder.to_owned()];
        while let Some(next) = todo.pop() {
            for path in entries(&next).unwrap() {
                match path.is_dir() {
                    true if path.ends_with(VERSIONS) => {}
                    true => {
                        names.push(format!("{}/", path.strip_prefix(folder).unwrap().display()));
                        todo.push(path);
                    }
                    false => names.push(path.strip_prefix(folder).unwrap().display().to_string()),
                }
            }
        }
        names.sort();
        names
    }

    #[test]
    fn the_newest_version_is_shown_and_what_is_no_versions_stays() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        let first = version(&table, 0, "parquet", &[""]);
        show(&table, &first).unwrap();
        fs::write(table.join("mine.parquet"), "x").unwrap();
        assert_eq!(all(&table), ["batch-00000000.parquet", "mine.parquet"]);
        let second = version(&table, 1, "parquet", &[""]);
        for _ in 0..2 {
            show(&table, &second).unwrap();
            assert_eq!(all(&table), ["batch-00000001.parquet", "mine.parquet"]);
        }
        assert_eq!(fs::read_to_string(table.join("batch-00000001.parquet")).unwrap(), "1");
        // In folders, in others, in another format, in none, and not at all.
        show(&table, &version(&table, 2, "parquet", &["k=1/l=1/", "k=1/l=2/"])).unwrap();
        let shown = [
            "k=1/",
            "k=1/l=1/",
            "k=1/l=1/batch-00000002.parquet",
            "k=1/l=2/",
            "k=1/l=2/batch-00000002.parquet",
        ];
        assert_eq!(all(&table), [&shown[..], &["mine.parquet"]].concat());
        show(&table, &version(&table, 3, "parquet", &["k=1/l=2/", "k=2/l=2/"])).unwrap();
        let shown = [
            "k=1/",
            "k=1/l=2/",
            "k=1/l=2/batch-00000003.parquet",
            "k=2/",
            "k=2/l=2/",
            "k=2/l=2/batch-00000003.parquet",
        ];
        assert_eq!(all(&table), [&shown[..], &["mine.parquet"]].concat());
        show(&table, &version(&table, 4, "csv", &["k=2/"])).unwrap();
        assert_eq!(all(&table), ["k=2/", "k=2/batch-00000004.csv", "mine.parquet"]);
        show(&table, &version(&table, 5, "csv", &[""])).unwrap();
        assert_eq!(all(&table), ["batch-00000005.csv", "mine.parquet"]);
        show(&table, &BTreeMap::new()).unwrap();
        assert_eq!(all(&table), ["mine.parquet"]);
        // Each version is where it was.
        assert_eq!(entries(&table.join(VERSIONS)).unwrap().len(), 6);
    }

    #[test]
    fn what_was_half_changed_is_ended_and_a_copy_is_as_good_as_a_second_name() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        let parts = ["k=1/", "k=2/"];
        show(&table, &version(&table, 0, "parquet", &parts)).unwrap();
        let second = version(&table, 1, "parquet", &parts);
        // As a run leaves it that is killed behind the first of two renames.
        fs::create_dir(table.join("k=__being_replaced__")).unwrap();
        fs::write(table.join("k=__being_replaced__/being-replaced.parquet"), NOTICE_TEXT).unwrap();
        fs::remove_file(table.join("k=1/batch-00000000.parquet")).unwrap();
        fs::hard_link(&second["k=1/batch-00000001.parquet"], table.join("k=1/batch-00000000.parquet"))
            .unwrap();
        fs::hard_link(&second["k=2/batch-00000001.parquet"], table.join("k=2/.batch-00000001.parquet.tmp"))
            .unwrap();
        assert!(is_half_shown(&table).unwrap());
        show(&table, &second).unwrap();
        let expected = ["k=1/", "k=1/batch-00000001.parquet", "k=2/", "k=2/batch-00000001.parquet"];
        assert_eq!(all(&table), expected);
        assert!(!is_half_shown(&table).unwrap());
        for (name, place) in &second {
            assert_eq!(fs::read(table.join(name)).unwrap(), fs::read(place).unwrap());
        }
        // As after `cp -r`.
        let path = table.join("k=1/batch-00000001.parquet");
        fs::remove_file(&path).unwrap();
        fs::copy(&second["k=1/batch-00000001.parquet"], &path).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        show(&table, &second).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        fs::write(&path, "something else").unwrap();
        show(&table, &second).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "k=1/1");
    }

    /// A glob lists a folder in one step where there is one file: it is one version's at every moment.
    #[test]
    fn one_file_is_one_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        show(&table, &version(&table, 0, "parquet", &[""])).unwrap();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                for number in 1..300 {
                    show(&table, &version(&table, number, "parquet", &[""])).unwrap();
                }
            });
            let mut looks = 0;
            while !run.is_finished() {
                let found: Vec<_> = fs::read_dir(&table)
                    .unwrap()
                    .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                    .filter(|name| name.starts_with("batch-"))
                    .collect();
                assert_eq!(found.len(), 1, "{found:?}");
                looks += 1;
            }
            assert!(looks > 0);
        });
        assert_eq!(all(&table), ["batch-00000299.parquet"]);
    }
}
