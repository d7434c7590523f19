//! Versions of a job's tables: each build is a folder of its own, and a link says which one counts.
//!
//! ```text
//! lake/olist/_versions/wide/.building/        written and fsynced           nobody sees it
//! lake/olist/_versions/wide/00000007/         renamed; of CSV or JSON what SQL reads is in 00000007.sql/
//! lake/olist/_checkpoint/commits/12.json      created                       from here on `tidemill sql` reads version 7
//! lake/olist/wide -> _versions/wide/00000007  the link replaced by a rename: so does a plain glob
//! ```
//!
//! A glob sees one version, whole, at every moment: the link is replaced by one rename. What a crash leaves undone is
//! done, or cleared away, by the next run before anything else. Version N of a table counts its builds, from 0; commits count
//! those of all tables of the job. The last [`KEPT`] versions of a table stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};

use super::input::DeadLetter;
use super::output::HIDDEN;
use super::output_file::Written;
use crate::checkpoint::{Claim, JobKind, carry_over, take_lock};
use crate::decode::{ERROR_BYTES, dead_letters_schema};
use crate::error::{Error, Result, io_error, shortened};
use crate::files::{at_once, create_folders, entries as list, sync_folder};
use crate::lake::{Lake, batch_file_name};
use crate::project::{BatchJob, BatchModel};
use crate::records::{
    BatchCounts, Before, Build, Commit, FileEntry, RecordList, TopicRead, TrainedModel, snapshot,
};
use crate::table::publish::{clear_leftovers, readable_path, retire, roll_forward, stage};
use crate::table::read::checked_path;
use crate::table::write::parquet_bytes;

/// Versions of a table that stay, with the one that counts.
pub const KEPT: usize = 10;
const VERSIONS: &str = "_versions";
const BUILDING: &str = ".building";
const DEAD_LETTERS: &str = "system.dead_letters";
/// Beside the folder of a version: the Parquet files of a table that is written in another format.
const OF_SQL: &str = ".sql";

/// The tables of one job, held by this run until dropped.
#[derive(Debug)]
pub(super) struct Versions {
    lake: Lake,
    job: String,
    schema_name: String,
    commits: RecordList<Commit>,
    query_id: String,
    /// The newest commit of each table and model, by its name in SQL; and the number of the next.
    state: Mutex<State>,
    _lock: File,
}

#[derive(Debug)]
struct State {
    newest: BTreeMap<String, Commit>,
    next: u64,
}

/// What becomes a version.
#[derive(Debug)]
pub(super) struct NewVersion {
    /// By the table, that of the step or those of its model: the files, written to the folder of [`Versions::begin`].
    pub tables: Vec<(String, Vec<Written>)>,
    /// What they were made of.
    pub build: Build,
    /// What became of the rows.
    pub counts: BatchCounts,
    /// Rows that could not be read.
    pub letters: Vec<DeadLetter>,
    /// What became of a model, where that is what the step is of.
    pub model: Option<NewModel>,
}

/// What a step of a model publishes beside its tables.
#[derive(Debug)]
pub(super) struct NewModel {
    /// What the record says.
    pub record: TrainedModel,
    /// Staged.
    pub files: Vec<FileEntry>,
    /// Rows for tables of the system.
    pub system: Vec<(&'static str, RecordBatch)>,
}

impl Versions {
    /// Opens the versions of a job, and ends what an earlier run has begun.
    ///
    /// # Errors
    /// Held: another run of the job; Storage; Corrupt.
    pub(super) fn open(lake: &Lake, job: &BatchJob) -> Result<Versions> {
        let schema_name = job.schema_name.as_str();
        let checkpoint = lake.checkpoint(schema_name);
        let names = job.tables.iter().map(|table| table.file.name.clone());
        let names = names.chain(job.models.iter().flat_map(BatchModel::tables));
        let tables: Vec<String> = names.map(|name| format!("{schema_name}/{name}")).collect();
        let claim = Claim { job: &job.name, schema_name, kind: JobKind::Batch, tables: &tables };
        claim.check_new(lake)?;
        create_folders(&checkpoint)?;
        let lock = take_lock(&checkpoint)?;
        let query_id = claim.query_id(lake)?;
        let commits = RecordList::<Commit>::open(checkpoint.join("commits"))?;
        let numbers = commits.numbers()?;
        let mut newest = BTreeMap::new();
        let mut known = BTreeSet::new();
        for number in numbers.clone() {
            let commit = commits.read(number)?;
            known.extend(tables_of(&commit).into_iter().map(|table| (table, commit.version())));
            if let Some(step) = step_of(&commit) {
                newest.insert(step, commit);
            }
        }
        check_steps(job, newest.iter())?;
        let versions = Versions {
            lake: lake.clone(),
            job: job.name.clone(),
            schema_name: schema_name.to_owned(),
            commits,
            query_id,
            state: Mutex::new(State { newest, next: numbers.end }),
            _lock: lock,
        };
        versions.recover(&known)?;
        carry_over(lake, schema_name)?;
        snapshot::mend(&checkpoint, numbers.end);
        Ok(versions)
    }

    /// Removes what has no commit; makes the newest commits visible.
    fn recover(&self, known: &BTreeSet<(String, u64)>) -> Result<()> {
        let tables = self.lake.resolve(&self.schema_name).join(VERSIONS);
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for table in list(&tables)? {
            let full = format!("{}{}", self.prefix(), name(&table));
            for version in list(&table)? {
                let name = name(&version);
                let uncommitted =
                    number_of(&version).is_some_and(|number| !known.contains(&(full.clone(), number)));
                if version.is_dir() && (name == BUILDING || uncommitted) {
                    fs::remove_dir_all(&version).map_err(|e| io_error("remove", &version, &e))?;
                }
            }
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: BTreeSet<String> = state.newest.values().flat_map(tables_of).collect();
        for (table, _) in known.iter().filter(|(table, _)| !counts.contains(table)) {
            self.hide(table)?;
        }
        for commit in state.newest.values() {
            show_files(&self.lake, commit)?;
            for table in tables_of(commit) {
                if let Some(name) = table.strip_prefix(&self.prefix()) {
                    self.show(name, commit.version())?;
                }
            }
        }
        clear_leftovers(&self.lake, &self.schema_name, &[])
    }

    /// The dead letters of a version, as a file of `system.dead_letters` that is not visible yet.
    fn stage_letters(&self, number: u64, letters: &[DeadLetter]) -> Result<Option<FileEntry>> {
        if letters.is_empty() {
            return Ok(None);
        }
        let all = || 0..letters.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(all().map(|_| &self.job))),
            Arc::new(UInt64Array::from_iter_values(all().map(|_| number))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.path))),
            Arc::new(Int32Array::from_iter_values(all().map(|_| 0))),
            Arc::new(Int64Array::from_iter_values(
                letters.iter().map(|letter| i64::try_from(letter.line).unwrap_or(i64::MAX)),
            )),
            new_null_array(&DataType::Timestamp(TimeUnit::Millisecond, None), letters.len()),
            Arc::new(BinaryArray::from_iter_values(letters.iter().map(|letter| &letter.payload))),
            Arc::new(StringArray::from_iter_values(all().map(|_| "read"))),
            Arc::new(StringArray::from_iter_values(
                letters.iter().map(|letter| shortened(letter.error.clone(), ERROR_BYTES)),
            )),
            new_null_array(&DataType::Int64, letters.len()),
        ];
        let rows = RecordBatch::try_new(dead_letters_schema(), columns)?;
        let name = batch_file_name(number, "parquet");
        let path = format!("system/dead_letters/{}/{name}", self.schema_name);
        stage(&self.lake, DEAD_LETTERS, &path, &parquet_bytes(&rows)?, letters.len() as u64).map(Some)
    }

    fn prefix(&self) -> String {
        format!("{}.", self.schema_name)
    }

    /// The newest commit of a table or model.
    pub(super) fn newest(&self, table: &str) -> Option<Commit> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest.get(&format!("{}{table}", self.prefix())).cloned()
    }

    /// The version that the next commit of a table or model will have.
    pub(super) fn next(&self, step: &str) -> u64 {
        self.newest(step).map_or(0, |commit| commit.version() + 1)
    }

    fn folder(&self, table: &str) -> PathBuf {
        self.lake.resolve(&self.schema_name).join(VERSIONS).join(table)
    }

    /// An empty folder for the files of a new version.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn begin(&self, table: &str) -> Result<PathBuf> {
        let folder = self.folder(table).join(BUILDING);
        self.abandon(table)?;
        fs::create_dir_all(&folder).map_err(|e| io_error("create", &folder, &e))?;
        Ok(folder)
    }

    /// Clears away what [`Self::begin`] made.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn abandon(&self, table: &str) -> Result<()> {
        let folder = self.folder(table).join(BUILDING);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != IoKind::NotFound => Err(io_error("remove", &folder, &e)),
            _ => Ok(()),
        }
    }

    /// Whether all files of the version that counts are there, as far as their sizes tell; what is wrong where not.
    pub(super) fn damage(&self, table: &str) -> Option<String> {
        let newest = self.newest(table)?;
        newest
            .added
            .iter()
            .find_map(|file| checked_path(&self.lake, file).err())
            .map(|error| error.to_string())
    }

    /// Makes the files of a new version the table, or the tables of the model, and gives its version.
    ///
    /// # Errors
    /// Storage; Corrupt.
    pub(super) fn commit(&self, step: &str, new: NewVersion) -> Result<u64> {
        // Held to the end: commits have their order.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        let full = format!("{}{step}", self.prefix());
        let former = state.newest.get(&full);
        let count = former.map_or(0, |commit| commit.version() + 1);

        let mut added = Vec::new();
        let mut tables = Vec::new();
        for (table, files) in new.tables {
            added.extend(self.name_files(&table, count, files)?);
            tables.push(table);
        }
        let letters = self.stage_letters(number, &new.letters)?;
        let (mut record, mut of_model) = (None, Vec::new());
        if let Some(model) = new.model {
            of_model = model.files;
            for (table, rows) in &model.system {
                let path =
                    format!("system/{table}/{}/{}", self.schema_name, batch_file_name(number, "parquet"));
                let (bytes, count) = (parquet_bytes(rows)?, rows.num_rows() as u64);
                of_model.push(stage(&self.lake, &format!("system.{table}"), &path, &bytes, count)?);
            }
            record = Some(model.record);
        }
        for table in &tables {
            self.place_folder(table, count)?;
        }
        let commit = Commit {
            batch_id: number,
            query_id: self.query_id.clone(),
            before: Before::default(),
            removed: former.map(replaced).unwrap_or_default(),
            added: added.into_iter().chain(letters).chain(of_model).collect(),
            counts: new.counts,
            read: TopicRead::default(),
            watermark: None,
            build: Some(Build { version: Some(count), ..new.build }),
            model: record,
        };
        let gone: Vec<String> = former.map(tables_of).unwrap_or_default().into_iter().collect();
        self.commits.create(number, &commit)?;
        show_files(&self.lake, &commit)?;
        let counts = tables_of(&commit);
        gone.iter().filter(|table| !counts.contains(*table)).try_for_each(|table| self.hide(table))?;
        state.next = number + 1;
        state.newest.insert(full, commit);
        for table in &tables {
            self.show(table, count)?;
            self.forget(table)?;
        }
        snapshot::write(&self.lake.checkpoint(&self.schema_name), number + 1);
        Ok(count)
    }

    /// Gives the files of a new version of a table their names, and says where they will be.
    fn name_files(&self, table: &str, count: u64, files: Vec<Written>) -> Result<Vec<FileEntry>> {
        let full = format!("{}{table}", self.prefix());
        let (version, building) = (format!("{count:08}"), self.folder(table).join(BUILDING));
        let (mut added, mut places) = (Vec::new(), Vec::new());
        for file in files {
            let place = building.join(&file.folder);
            let name = batch_file_name(count, file.extension);
            let (from, to) = (place.join(file.staged_name()), place.join(&name));
            fs::rename(&from, &to).map_err(|e| io_error("rename", &from, &e))?;
            places.push(place);
            let (of, inner) = match file.folder.strip_prefix(HIDDEN) {
                Some(inner) => (OF_SQL, inner.trim_start_matches('/')),
                None => ("", file.folder.as_str()),
            };
            let inner = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            added.push(FileEntry {
                table: if file.is_export { format!("export:{full}") } else { full.clone() },
                path: format!("{}/{VERSIONS}/{table}/{version}{of}/{inner}", self.schema_name),
                rows: file.rows,
                bytes: file.bytes,
                xxh3: file.xxh3,
            });
        }
        at_once(&places, |place| sync_folder(place)).into_iter().collect::<Result<()>>()?;
        Ok(added)
    }

    /// Moves the folder that a new version of a table was built in to where its record says.
    fn place_folder(&self, table: &str, count: u64) -> Result<()> {
        let (version, folder) = (format!("{count:08}"), self.folder(table));
        let building = folder.join(BUILDING);
        sync_folder(&building)?;
        // Under a table's folder lies what it is, and nothing else.
        let hidden = building.join(HIDDEN);
        let moves =
            [(&hidden, folder.join(format!("{version}{OF_SQL}"))), (&building, folder.join(&version))];
        for (from, to) in moves.iter().filter(|(from, _)| from.is_dir()) {
            fs::rename(from, to).map_err(|e| io_error("rename", from, &e))?;
        }
        sync_folder(&folder)
    }

    /// Lets the table's link point at a version.
    fn show(&self, table: &str, version: u64) -> Result<()> {
        let job = self.lake.resolve(&self.schema_name);
        let (link, new) = (job.join(table), job.join(format!(".{table}.link")));
        let target = Path::new(VERSIONS).join(table).join(format!("{version:08}"));
        if !job.join(&target).is_dir() || fs::read_link(&link).is_ok_and(|now| now == target) {
            return Ok(());
        }
        // Made by a version of Tidemill that had folders instead of links.
        if fs::symlink_metadata(&link).is_ok_and(|found| found.is_dir()) {
            let before = self.folder(table).join("before");
            fs::rename(&link, &before).map_err(|e| io_error("rename", &link, &e))?;
        }
        match fs::remove_file(&new) {
            Err(e) if e.kind() != IoKind::NotFound => return Err(io_error("remove", &new, &e)),
            _ => {}
        }
        std::os::unix::fs::symlink(&target, &new).map_err(|e| io_error("create", &new, &e))?;
        fs::rename(&new, &link).map_err(|e| io_error("rename", &new, &e))?;
        sync_folder(&job)
    }

    /// Takes the link of a table away that its step does not make any more: of a model that is no clustering now.
    fn hide(&self, table: &str) -> Result<()> {
        let Some(name) = table.strip_prefix(&self.prefix()) else { return Ok(()) };
        let link = self.lake.resolve(&self.schema_name).join(name);
        if !link.is_symlink() {
            return Ok(());
        }
        fs::remove_file(&link).map_err(|e| io_error("remove", &link, &e))?;
        sync_folder(&self.lake.resolve(&self.schema_name))
    }

    /// Removes all but the last versions of a table.
    fn forget(&self, table: &str) -> Result<()> {
        let numbered: Vec<(u64, PathBuf)> = list(&self.folder(table))?
            .into_iter()
            .filter_map(|path| Some((number_of(&path)?, path)))
            .collect();
        let numbers: BTreeSet<u64> = numbered.iter().map(|(number, _)| *number).collect();
        let Some(oldest) = numbers.iter().rev().nth(KEPT - 1).or(numbers.first()) else { return Ok(()) };
        for (_, old) in numbered.iter().filter(|(number, _)| number < oldest) {
            fs::remove_dir_all(old).map_err(|e| io_error("remove", old, &e))?;
        }
        Ok(())
    }
}

/// The version that a folder is of.
fn number_of(folder: &Path) -> Option<u64> {
    let name = folder.file_name()?.to_str()?;
    name.strip_suffix(OF_SQL).unwrap_or(name).parse().ok()
}

/// The table (or model) and its version that each commit of a batch job made, by the number of the commit.
///
/// # Errors
/// Storage or Corrupt.
pub fn committed_versions(lake: &Lake, schema_name: &str) -> Result<BTreeMap<u64, (String, u64)>> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    let mut versions = BTreeMap::new();
    for number in commits.numbers()? {
        let commit = commits.read(number)?;
        versions.extend(step_of(&commit).map(|step| (number, (step, commit.version()))));
    }
    Ok(versions)
}

/// Lets a glob see what a version has beside its tables: dead letters, and no more those of the former one; the file of a
/// model, and what tells of it. A model that somebody has removed is trained again.
fn show_files(lake: &Lake, commit: &Commit) -> Result<()> {
    let is_beside = |file: &&FileEntry| file.table.starts_with("system.");
    let is_model =
        |file: &&FileEntry| file.table.starts_with("model:") && readable_path(lake, file).is_file();
    let shown = commit.added.iter().filter(|file| is_beside(file) || is_model(file));
    roll_forward(lake, &shown.cloned().collect::<Vec<_>>())?;
    retire(lake, &commit.removed.iter().filter(is_beside).cloned().collect::<Vec<_>>())
}

/// What the next version of the same takes out of its tables. What models were, and what is told of them, stays.
fn replaced(commit: &Commit) -> Vec<FileEntry> {
    let stays = |file: &&FileEntry| {
        let of_system = file.table.starts_with("system.") && file.table != DEAD_LETTERS;
        of_system || file.table.starts_with("model:")
    };
    commit.added.iter().filter(|file| !stays(file)).cloned().collect()
}

/// Checks that no table of a model was one of its own before, or the other way round: their versions are counted apart.
fn check_steps<'a>(job: &BatchJob, newest: impl Iterator<Item = (&'a String, &'a Commit)>) -> Result<()> {
    let full = |name: &str| format!("{}.{name}", job.schema_name);
    let mut steps: BTreeMap<String, String> = BTreeMap::new();
    steps.extend(job.tables.iter().map(|table| (full(&table.file.name), full(&table.file.name))));
    for model in &job.models {
        steps.extend(model.tables().iter().map(|table| (full(table), full(model.name()))));
    }
    for (step, commit) in newest {
        for table in tables_of(commit) {
            if steps.get(&table).is_some_and(|now| now != step) {
                let of = |step: &String| match *step == table {
                    true => "a table of its own".to_owned(),
                    false => format!("a table of the model {step}"),
                };
                let now = steps.get(&table).map(of).unwrap_or_default();
                return Err(Error::user(format!(
                    "{table} was {} in this lake, and would be {now}",
                    of(step)
                ))
                .hint("call the model, or the table, otherwise"));
            }
        }
    }
    Ok(())
}

/// The table or model that a commit is a version of.
fn step_of(commit: &Commit) -> Option<String> {
    let built = commit.build.as_ref().map(|build| build.table.clone());
    built.or_else(|| commit.added.first().map(|file| file.table.clone()))
}

/// The tables that a commit has a version of.
fn tables_of(commit: &Commit) -> BTreeSet<String> {
    if commit.model.is_none() {
        return step_of(commit).into_iter().collect();
    }
    let tables = commit.added.iter().map(|file| &file.table);
    tables.filter(|table| !table.starts_with("system.") && !table.starts_with("model:")).cloned().collect()
}
