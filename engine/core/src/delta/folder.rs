//! The files of a log: which there are, created once, and removed when newer ones stand for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::action::Action;
use crate::error::{Result, io_error};
use crate::files::{create_folders, entries, remove_folder, write_atomically};

/// The folder of a table's log, in the table's own.
pub(super) const NAME: &str = "_delta_log";
const HINT: &str = "_last_checkpoint";
/// So many versions are a checkpoint apart.
const CHECKPOINT_EVERY: u64 = 100;
/// So many versions before a checkpoint can still be read.
const RETAINED: u64 = 200;

/// The same of a batch job's table, of which so many builds are kept.
const BUILDS: u64 = 10;

/// A log's folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// So many versions are a checkpoint apart.
    pub(super) every: u64,
    /// So many versions before a checkpoint can still be read.
    pub(super) retained: u64,
}

/// Which versions there are.
#[derive(Debug, Default)]
pub(super) struct Versions {
    pub(super) json: BTreeSet<u64>,
    pub(super) checkpoints: BTreeSet<u64>,
}

/// What a version's file is.
#[derive(Debug)]
pub(super) enum Version {
    /// Whole, and of this job.
    Own(Vec<Action>),
    /// Somebody else's.
    Foreign,
    /// Cut off, or no JSON.
    CutOff,
}

impl Folder {
    /// That of a table, which is in this folder.
    pub(super) fn of(table: &Path) -> Folder {
        Folder { path: table.join(NAME), every: CHECKPOINT_EVERY, retained: RETAINED }
    }

    /// That of a batch job's table.
    pub(super) fn of_builds(table: &Path) -> Folder {
        Folder { every: BUILDS, retained: BUILDS, ..Folder::of(table) }
    }

    /// Removes it with all that is in it.
    pub(super) fn remove(&self) -> Result<()> {
        remove_folder(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    pub(super) fn make(&self) -> Result<()> {
        create_folders(&self.path)
    }

    /// The versions there are; none where there is no folder.
    pub(super) fn versions(&self) -> Result<Versions> {
        let mut found = Versions::default();
        for path in entries(&self.path)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = |suffix: &str| {
                let digits = name.strip_suffix(suffix).filter(|digits| digits.len() == 20)?;
                digits.parse::<u64>().ok()
            };
            found.json.extend(number(".json"));
            found.checkpoints.extend(number(".checkpoint.parquet"));
        }
        Ok(found)
    }

    pub(super) fn json(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version:020}.json"))
    }

    pub(super) fn checkpoint(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version:020}.checkpoint.parquet"))
    }

    /// Reads a version that is there, of the table that calls itself `app_id`.
    pub(super) fn read(&self, version: u64, app_id: &str) -> Result<Version> {
        let path = self.json(version);
        let bytes = fs::read(&path).map_err(|e| io_error("read", &path, &e))?;
        Ok(parse(&bytes, version, app_id))
    }

    /// Creates a version: it is seen whole or not at all. Not flushed: what a power cut takes of it, the next start writes again.
    /// False where the number is taken.
    ///
    /// deltalake goes by the time of the file, so that is when the version was made: `at`, in milliseconds since the epoch.
    pub(super) fn create(&self, version: u64, text: &str, at: i64) -> Result<bool> {
        let path = self.json(version);
        let temporary = self.path.join(format!(".{version:020}.{}.tmp", std::process::id()));
        fs::write(&temporary, text).map_err(|e| io_error("write", &temporary, &e))?;
        set_time(&temporary, at)?;
        // A hard link fails where the name is taken: a rename would not.
        let linked = fs::hard_link(&temporary, &path);
        fs::remove_file(&temporary).map_err(|e| io_error("remove", &temporary, &e))?;
        match linked {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == IoKind::AlreadyExists => Ok(false),
            Err(e) => Err(io_error("create", &path, &e)),
        }
    }

    /// Writes a version anew, or for the first time.
    pub(super) fn replace(&self, version: u64, text: &str, at: i64) -> Result<()> {
        write_atomically(&self.json(version), text.as_bytes())?;
        set_time(&self.json(version), at)
    }

    /// Writes a checkpoint, flushed: versions before it may go.
    pub(super) fn write_checkpoint(&self, version: u64, content: &[u8]) -> Result<()> {
        write_atomically(&self.checkpoint(version), content)
    }

    /// Says which checkpoint is the newest, of so many lines and files.
    pub(super) fn write_hint(&self, version: u64, lines: usize, files: usize) -> Result<()> {
        let path = self.checkpoint(version);
        let bytes = fs::metadata(&path).map_err(|e| io_error("read", &path, &e))?.len();
        let hint = json!({ "version": version, "size": lines, "sizeInBytes": bytes, "numOfAddFiles": files });
        write_atomically(&self.path.join(HINT), hint.to_string().as_bytes())
    }

    /// The checkpoint that is said to be the newest.
    pub(super) fn hint(&self) -> Option<u64> {
        let hint: Value = serde_json::from_slice(&fs::read(self.path.join(HINT)).ok()?).ok()?;
        hint.get("version")?.as_u64()
    }

    /// Removes what is older than the versions that a checkpoint of this number keeps, where there is one to read those from.
    pub(super) fn clean(&self, checkpoint: u64) -> Result<()> {
        let versions = self.versions()?;
        let kept = checkpoint.saturating_sub(self.retained);
        match versions.checkpoints.range(..=kept).next_back() {
            Some(base) => self.clear_below(&versions, *base),
            None => Ok(()),
        }
    }

    /// Removes the versions before one.
    pub(super) fn clear_below(&self, versions: &Versions, version: u64) -> Result<()> {
        let json = versions.json.range(..version).map(|old| self.json(*old));
        let checkpoints = versions.checkpoints.range(..version).map(|old| self.checkpoint(*old));
        json.chain(checkpoints).try_for_each(|path| remove(&path))
    }

    /// Removes a checkpoint, if it is there.
    pub(super) fn remove_checkpoint(&self, version: u64) -> Result<()> {
        remove(&self.checkpoint(version))
    }

    /// Removes what a driver that was killed has left half.
    pub(super) fn clear_leftovers(&self) -> Result<()> {
        for path in entries(&self.path)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name.ends_with(".tmp") {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn set_time(path: &Path, at: i64) -> Result<()> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or_default());
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_modified(at)).map_err(|e| io_error("set the time of", path, &e))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != IoKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

fn parse(bytes: &[u8], version: u64, app_id: &str) -> Version {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.ends_with('\n')) else {
        // Others need not end the last line.
        let is_whole =
            serde_json::from_slice::<Value>(bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default());
        return if is_whole.is_ok() { Version::Foreign } else { Version::CutOff };
    };
    let mut actions = Vec::new();
    let mut has_others = false;
    for line in text.lines() {
        match serde_json::from_str::<Action>(line) {
            Ok(action) => actions.push(action),
            Err(_) if serde_json::from_str::<Value>(line).is_ok() => has_others = true,
            Err(_) => return Version::CutOff,
        }
    }
    let is_it = |action: &Action| matches!(action, Action::Txn(txn) if txn.app_id == app_id && txn.version == version);
    match !has_others && actions.iter().any(is_it) {
        true => Version::Own(actions),
        false => Version::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "{\"txn\":{\"appId\":\"q:j.t\",\"lastUpdated\":7,\"version\":3}}\n";

    #[test]
    fn a_version_is_whole_and_own_or_is_not() {
        let says = |text: &str| match parse(text.as_bytes(), 3, "q:j.t") {
            Version::Own(_) => "own",
            Version::Foreign => "foreign",
            Version::CutOff => "cut off",
        };
        assert_eq!(says(OWN), "own");
        for cut in 0..OWN.len() - 1 {
            assert_eq!(says(&OWN[..cut]), "cut off", "{cut}");
        }
        assert_eq!(says(&format!("{OWN}\0\0\0\n")), "cut off");
        // As deltalake ends its own.
        assert_eq!(says(OWN.trim_end()), "foreign");
        assert_eq!(says(&OWN.replace("q:", "p:")), "foreign");
        assert_eq!(says(&OWN.replace(":3", ":4")), "foreign");
        assert_eq!(says(&format!("{OWN}{{\"cdc\":{{}}}}\n")), "foreign");
        assert_eq!(says("{\"commitInfo\":{\"operation\":\"WRITE\"}}\n"), "foreign");
    }

    #[test]
    fn a_version_is_created_once_and_old_ones_go_behind_a_checkpoint() {
        let table = tempfile::tempdir().unwrap();
        let folder = Folder::of(table.path());
        assert!(folder.versions().unwrap().json.is_empty());
        folder.make().unwrap();
        for version in 0..=420 {
            assert!(folder.create(version, OWN, 1_700_000_000_123).unwrap());
            if version % CHECKPOINT_EVERY == 0 && version > 0 {
                folder.write_checkpoint(version, b"x").unwrap();
                folder.clean(version).unwrap();
            }
        }
        assert!(!folder.create(420, "other", 7).unwrap());
        let made = fs::metadata(folder.json(420)).unwrap().modified().unwrap();
        assert_eq!(made.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis(), 1_700_000_000_123);
        assert_eq!(fs::read_to_string(folder.json(420)).unwrap(), OWN);
        folder.write_hint(400, 7, 4).unwrap();
        assert_eq!(folder.hint(), Some(400));
        fs::write(folder.path().join(".00000000000000000421.1.tmp"), "x").unwrap();
        fs::write(folder.path().join("_last_checkpoint_of_mine.json"), "x").unwrap();
        folder.clear_leftovers().unwrap();
        let versions = folder.versions().unwrap();
        assert_eq!(
            (versions.json.first(), versions.json.last(), versions.json.len()),
            (Some(&200), Some(&420), 221)
        );
        assert_eq!(versions.checkpoints.into_iter().collect::<Vec<_>>(), [200, 300, 400]);
        assert_eq!(entries(folder.path()).unwrap().len(), 221 + 3 + 2);
    }
}
