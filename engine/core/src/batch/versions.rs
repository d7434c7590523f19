//! Versions of a job's tables: each build is a folder of its own that never moves, and a glob finds the files of the newest.
//!
//! ```text
//! lake/olist/wide/_versions/.building/        written and fsynced        nobody sees it
//! lake/olist/wide/_versions/00000007/         renamed; of CSV or JSON what SQL reads is in 00000007.sql/
//! lake/olist/_checkpoint/commits/12.json      created                    from here on `tidemill sql` reads version 7
//! lake/olist/wide/batch-00000007.parquet      in the place of 00000006   so does a plain glob: a second name of the file
//! lake/olist/wide/_delta_log/…7.json          created                    so do those who read Delta
//! lake/olist/wide/_versions/00000000/         removed by version 10      the last [`KEPT`] versions of a table stay
//! ```
//!
//! How names are changed, so that a glob never finds a mixture, is told in `table::versioned`. What a crash leaves undone is
//! done, or cleared away, by the next run before anything else. Version N of a table counts its builds, from 0; commits count
//! those of all tables of the job.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};

use super::delta_logs::Builds;
use super::input::DeadLetter;
use super::output::HIDDEN;
use super::output_file::Written;
use super::version_commits::{DEAD_LETTERS, check_steps, replaced, step_of, tables_of};
use crate::checkpoint::{Claim, JobKind, carry_over, take_lock};
use crate::decode::{ERROR_BYTES, dead_letters_schema};
use crate::delta::NanColumns;
use crate::error::{Result, io_error, shortened};
use crate::files::{at_once, create_folders, entries as list, sync_folder};
use crate::lake::{Lake, batch_file_name};
use crate::project::{BatchJob, BatchModel};
use crate::records::{
    BatchCounts, Before, Build, Commit, FileEntry, RecordList, TopicRead, TrainedModel, snapshot,
};
use crate::table::publish::{clear_leftovers, readable_path, retire, roll_forward, stage};
use crate::table::read::checked_path;
use crate::table::versioned::{self, OF_SQL, VERSIONS, shown_as};
use crate::table::write::parquet_bytes;

/// Versions of a table that stay, with the one that counts.
pub const KEPT: usize = 10;
const BUILDING: &str = ".building";

/// The tables of one job, held by this run until dropped.
#[derive(Debug)]
pub(super) struct Versions {
    lake: Lake,
    job: String,
    schema_name: String,
    commits: RecordList<Commit>,
    query_id: String,
    state: Mutex<State>,
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// The newest commit of each table and model, by its name in SQL.
    newest: BTreeMap<String, Commit>,
    builds: Builds,
    /// The number of the next commit.
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
        let (mut newest, mut builds) = (BTreeMap::new(), Builds::default());
        let mut known = BTreeSet::new();
        for number in numbers.clone() {
            let commit = commits.read(number)?;
            builds.add(&commit);
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
            state: Mutex::new(State { newest, builds, next: numbers.end }),
            _lock: lock,
        };
        versions.recover(&known)?;
        carry_over(lake, schema_name)?;
        versions.bring_over()?;
        versions.show_newest(&known)?;
        snapshot::mend(&checkpoint, numbers.end);
        Ok(versions)
    }

    /// Removes what has no commit; makes what the newest commits have beside their tables visible.
    fn recover(&self, known: &BTreeSet<(String, u64)>) -> Result<()> {
        for (table, folder) in self.version_folders()? {
            let full = format!("{}{table}", self.prefix());
            for version in list(&folder)? {
                let is_building = version.file_name().is_some_and(|name| name == BUILDING);
                let uncommitted =
                    number_of(&version).is_some_and(|number| !known.contains(&(full.clone(), number)));
                if version.is_dir() && (is_building || uncommitted) {
                    fs::remove_dir_all(&version).map_err(|e| io_error("remove", &version, &e))?;
                }
            }
            self.remove_empty(&table);
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest.values().try_for_each(|commit| show_files(&self.lake, commit))?;
        clear_leftovers(&self.lake, &self.schema_name, &[])
    }

    /// Tables, each with the folder of its versions: below the table's, or where lakes of before have it.
    fn version_folders(&self) -> Result<Vec<(String, PathBuf)>> {
        let job = self.lake.resolve(&self.schema_name);
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of_now = list(&job)?.into_iter().map(|table| (name(&table), table.join(VERSIONS)));
        let of_before = list(&job.join(VERSIONS))?.into_iter().map(|folder| (name(&folder), folder));
        Ok(of_now.chain(of_before).filter(|(_, folder)| folder.is_dir()).collect())
    }

    /// Carries a lake of before over, whose tables are links into `JOB/_versions/TABLE`. What is done of it is not done again.
    fn bring_over(&self) -> Result<()> {
        let job = self.lake.resolve(&self.schema_name);
        let of_before = job.join(VERSIONS);
        if !of_before.is_dir() {
            return Ok(());
        }
        for versions in list(&of_before)?.into_iter().filter(|path| path.is_dir()) {
            let table = job.join(versions.file_name().unwrap_or_default());
            // A link that somebody else has made leads elsewhere.
            if fs::read_link(&table).is_ok_and(|target| target.starts_with(VERSIONS)) {
                fs::remove_file(&table).map_err(|e| io_error("remove", &table, &e))?;
            }
            let folder = table.join(VERSIONS);
            create_folders(&folder)?;
            for version in list(&versions)? {
                let to = folder.join(version.file_name().unwrap_or_default());
                fs::rename(&version, &to).map_err(|e| io_error("rename", &version, &e))?;
            }
            sync_folder(&folder)?;
            fs::remove_dir(&versions).map_err(|e| io_error("remove", &versions, &e))?;
        }
        fs::remove_dir(&of_before).map_err(|e| io_error("remove", &of_before, &e))?;
        sync_folder(&job)
    }

    /// Lets globs, and those who read Delta, find the newest version of each table.
    fn show_newest(&self, known: &BTreeSet<(String, u64)>) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: BTreeSet<String> = state.newest.values().flat_map(tables_of).collect();
        for (table, _) in known.iter().filter(|(table, _)| !counts.contains(table)) {
            self.hide(table)?;
        }
        for commit in state.newest.values() {
            tables_of(commit).iter().try_for_each(|table| self.show(table, commit))?;
        }
        state.builds.mend(&self.lake, &self.commits, &self.query_id);
        Ok(())
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
        self.lake.resolve(&self.schema_name).join(table).join(VERSIONS)
    }

    /// An empty folder for the files of a new version.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn begin(&self, table: &str) -> Result<PathBuf> {
        let folder = self.folder(table).join(BUILDING);
        self.abandon(table)?;
        create_folders(&folder)?;
        Ok(folder)
    }

    /// Clears away what [`Self::begin`] made.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn abandon(&self, table: &str) -> Result<()> {
        let folder = self.folder(table).join(BUILDING);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != IoKind::NotFound => return Err(io_error("remove", &folder, &e)),
            _ => self.remove_empty(table),
        }
        Ok(())
    }

    /// Removes the folder of a table that has no version.
    fn remove_empty(&self, table: &str) {
        let folder = self.folder(table);
        let folders = [Some(folder.as_path()), folder.parent()].into_iter().flatten();
        let _ = folders.map(fs::remove_dir).take_while(std::io::Result::is_ok).count();
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

        let (mut added, mut with_nan) = (Vec::new(), NanColumns::new());
        let mut tables = Vec::new();
        for (table, files) in new.tables {
            for (file, columns) in self.name_files(&table, count, files)? {
                with_nan.insert(file.path.clone(), columns);
                added.push(file);
            }
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
        at("written", step);
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
        at("committed", step);
        show_files(&self.lake, &commit)?;
        let counts = tables_of(&commit);
        gone.iter().filter(|table| !counts.contains(*table)).try_for_each(|table| self.hide(table))?;
        counts.iter().try_for_each(|table| self.show(table, &commit))?;
        at("shown", step);
        state.next = number + 1;
        state.builds.add(&commit);
        state.newest.insert(full.clone(), commit);
        state.builds.log(&self.lake, &self.commits, &self.query_id, &full, &with_nan);
        at("logged", step);
        tables.iter().try_for_each(|table| self.forget(table))?;
        at("removed", step);
        snapshot::write(&self.lake.checkpoint(&self.schema_name), number + 1);
        Ok(count)
    }

    /// Gives the files of a new version of a table their names, and says where they will be, and which columns hold a NaN.
    fn name_files(
        &self,
        table: &str,
        count: u64,
        files: Vec<Written>,
    ) -> Result<Vec<(FileEntry, BTreeSet<String>)>> {
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
            let entry = FileEntry {
                table: if file.is_export { format!("export:{full}") } else { full.clone() },
                path: format!("{}/{table}/{VERSIONS}/{version}{of}/{inner}", self.schema_name),
                rows: file.rows,
                bytes: file.bytes,
                xxh3: file.xxh3,
            };
            added.push((entry, file.with_nan));
        }
        at_once(&places, |place| sync_folder(place)).into_iter().collect::<Result<()>>()?;
        Ok(added)
    }

    /// Moves the folder that a new version of a table was built in to where its record says.
    fn place_folder(&self, table: &str, count: u64) -> Result<()> {
        let (version, folder) = (format!("{count:08}"), self.folder(table));
        let building = folder.join(BUILDING);
        sync_folder(&building)?;
        // What SQL alone reads has no place among what others are to read.
        let hidden = building.join(HIDDEN);
        let moves =
            [(&hidden, folder.join(format!("{version}{OF_SQL}"))), (&building, folder.join(&version))];
        for (from, to) in moves.iter().filter(|(from, _)| from.is_dir()) {
            fs::rename(from, to).map_err(|e| io_error("rename", from, &e))?;
        }
        sync_folder(&folder)
    }

    /// Lets a glob find the version of a table (as in SQL) that a commit has. Of one whose files are damaged nothing is changed.
    fn show(&self, table: &str, commit: &Commit) -> Result<()> {
        let Some(name) = table.strip_prefix(&self.prefix()) else { return Ok(()) };
        let is_of = |file: &&FileEntry| file.table.strip_prefix("export:").unwrap_or(&file.table) == table;
        let of_file = |file: &FileEntry| Some((shown_as(&file.path)?.1, readable_path(&self.lake, file)));
        let files: BTreeMap<String, PathBuf> =
            commit.added.iter().filter(is_of).filter_map(of_file).collect();
        match !files.is_empty() && files.values().all(|path| path.is_file()) {
            true => versioned::show(&self.lake.resolve(&self.schema_name).join(name), &files),
            false => Ok(()),
        }
    }

    /// Lets a glob find nothing of a table that its step does not make any more: of a model that is no clustering now.
    fn hide(&self, table: &str) -> Result<()> {
        let Some(name) = table.strip_prefix(&self.prefix()) else { return Ok(()) };
        let folder = self.lake.resolve(&self.schema_name).join(name);
        if folder.is_dir() { versioned::show(&folder, &BTreeMap::new()) } else { Ok(()) }
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

/// For tests: what is set to happen to this step at this point.
fn at(point: &str, step: &str) {
    #[cfg(debug_assertions)]
    crate::failpoint::step(point, step);
    #[cfg(not(debug_assertions))]
    let _ = (point, step);
}

/// The version that a folder is of.
fn number_of(folder: &Path) -> Option<u64> {
    let name = folder.file_name()?.to_str()?;
    name.strip_suffix(OF_SQL).unwrap_or(name).parse().ok()
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
