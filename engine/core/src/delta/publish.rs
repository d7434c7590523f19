//! Writes what a job's records say of a table into the table's log.

use std::collections::BTreeSet;
use std::fs::File;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use xxhash_rust::xxh3::xxh3_128;

use super::action::{
    Action, Add, CommitInfo, MetaData, Protocol, Remove, Txn, partition_values, path_in, text,
};
use super::checkpoint::Checkpoint;
use super::folder::{Folder, Version};
use super::schema::Columns;
use super::statistics::{NanColumns, nan_columns_of, of_file};
use crate::error::{Error, Result, io_error};
use crate::lake::Lake;
use crate::records::{Commit, Compaction, FileEntry, Merged, RecordList};
use crate::table::read::{checked_path, committed_files};

/// What to do about a log of which a version is somebody else's.
pub(super) const ANEW: &str = "other engines read it as it is, the job goes on without it: remove the folder, and the next start \
     writes it anew";

/// What to do about a log that cannot be written.
pub(super) const AGAIN: &str = "once that is mended, the next start of the job brings it up";

/// The log of a table, as far as its job has brought it.
#[derive(Debug)]
pub(crate) struct Publisher {
    lake: Lake,
    schema_name: String,
    /// The table as records have it: `chicago_arrests.crimes`.
    pub(super) table: String,
    /// Its folder, relative to the lake.
    root: String,
    query_id: String,
    pub(super) of: Of,
    pub(super) folder: Folder,
    pub(super) standing: Standing,
    /// What compaction made of files since the newest version: the next one says so.
    pub(super) moves: Vec<Merged>,
    pub(super) compactions: RecordList<Compaction>,
}

/// What a table's versions are.
#[derive(Debug)]
pub(super) enum Of {
    /// A stream's batches, each of which adds to the table.
    Batches,
    /// A batch job's builds, each of which is all of the table. Of these files it is known which columns hold a NaN.
    Builds(NanColumns),
}

/// How far a log is.
#[derive(Debug)]
pub(super) enum Standing {
    /// The table has no rows: it begins with them.
    NotBegun,
    /// At a version.
    At(u64, Box<Table>),
    /// It is not gone on with: that is told.
    Stopped,
}

/// What a log says of the table itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) columns: Columns,
    /// None before the log's first version.
    pub(super) metadata: Option<MetaData>,
    /// When its newest version was made, in milliseconds since the epoch: each is later than the one before.
    pub(super) timestamp: i64,
}

impl Table {
    /// After lines of a version, or of a checkpoint.
    pub(super) fn follow(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::CommitInfo(info) => self.timestamp = info.in_commit_timestamp,
                Action::MetaData(metadata) => {
                    self.columns = Columns::parse(&metadata.schema_string).unwrap_or_default();
                    self.metadata = Some(metadata.clone());
                }
                _ => {}
            }
        }
    }
}

/// Why a log is not gone on with, in words.
pub(super) struct Refused(pub(super) String);

/// A file as its footer has it.
pub(super) struct Described<'a> {
    file: &'a FileEntry,
    schema: SchemaRef,
    stats: String,
}

impl Publisher {
    /// That of a stream's table, which is in `root` (relative to the lake). Nothing is read or written yet.
    pub(crate) fn new(lake: &Lake, root: &str, table: String, query_id: &str) -> Publisher {
        let schema_name = table.split('.').next().unwrap_or_default().to_owned();
        Publisher {
            lake: lake.clone(),
            compactions: RecordList::read_only(lake.checkpoint(&schema_name).join("compactions")),
            schema_name,
            table,
            root: root.to_owned(),
            query_id: query_id.to_owned(),
            of: Of::Batches,
            folder: Folder::of(&lake.resolve(root)),
            standing: Standing::NotBegun,
            moves: Vec::new(),
        }
    }

    /// Files of the table have become others, which the version of the next batch will say.
    pub(crate) fn compacted(&mut self, compaction: &Compaction) {
        let own = compaction.merged.iter().filter(|merged| merged.into.table == self.table);
        self.moves.extend(own.cloned());
    }

    /// Publishes a batch, whose files are in place. `with_nan` are the columns of its files that hold a NaN. Where that cannot be
    /// done the stream goes on without a log, and says so.
    pub(crate) fn publish(&mut self, commit: &Commit, now: DateTime<Utc>, with_nan: &NanColumns) {
        if let Err(error) = self.try_publish(commit, now, with_nan) {
            self.stop(&Refused(format!("{error}: {AGAIN}")));
        }
    }

    fn try_publish(&mut self, commit: &Commit, now: DateTime<Utc>, with_nan: &NanColumns) -> Result<()> {
        if let Standing::At(version, table) = &self.standing {
            if commit.batch_id <= *version {
                return Ok(());
            }
            if self.folder.is_there() {
                let (table, moves) = (table.clone(), std::mem::take(&mut self.moves));
                return self.go_on(&table, commit, &moves, now, with_nan);
            }
            tracing::warn!(
                table = self.table,
                "the Delta log was removed while the stream ran: it begins anew"
            );
            self.standing = Standing::NotBegun;
        }
        // A log that begins has the files as they are.
        self.moves.clear();
        if !matches!(self.standing, Standing::NotBegun) || self.files_of(commit).0.is_empty() {
            return Ok(());
        }
        match self.folder.versions()?.json.first() {
            Some(version) => {
                self.stop(&Refused(format!("version {version} is not of this job: {ANEW}")));
                Ok(())
            }
            None => self.begin(commit, now, Some(with_nan)),
        }
    }

    /// The first version of a log: of a table that had files before, with a checkpoint.
    pub(super) fn begin(
        &mut self,
        commit: &Commit,
        now: DateTime<Utc>,
        with_nan: Option<&NanColumns>,
    ) -> Result<()> {
        let version = commit.batch_id;
        let live = self.live()?;
        if live.is_empty() {
            return Ok(());
        }
        // All files are in the commit of a first batch; later, those before it are not known to the caller.
        let known = if version == 0 { with_nan } else { None };
        let all = self.described(live.iter().collect(), known)?;
        let (added, _) = self.files_of(commit);
        let is_new = |file: &&Described<'_>| added.iter().any(|new| new.path == file.file.path);
        let new: Vec<&Described<'_>> = all.iter().filter(is_new).collect();
        let table = match self.columns(Columns::default(), all.iter()) {
            Ok(columns) => Table { columns, ..Table::default() },
            Err(refused) => return self.refuse(&refused),
        };
        let made = self.version(&table, commit, now, new.iter().copied(), &[])?;
        let (actions, table) = match made {
            Ok(made) => made,
            Err(refused) => return self.refuse(&refused),
        };
        self.folder.make()?;
        let mut counts = None;
        if version > 0 {
            let head: Vec<Action> = actions
                .iter()
                .filter(|action| matches!(action, Action::Protocol(_) | Action::MetaData(_) | Action::Txn(_)))
                .cloned()
                .collect();
            let adds =
                all.iter().map(|file| self.add(file, table.timestamp, true)).collect::<Result<Vec<_>>>()?;
            let checkpoint = Checkpoint::new(&head, adds)?;
            self.folder.write_checkpoint(version, &checkpoint.bytes()?)?;
            counts = Some(checkpoint.counts()?);
        }
        self.folder.replace(version, &text(&actions)?, table.timestamp)?;
        if let Some((lines, files)) = counts {
            self.folder.write_hint(version, lines, files)?;
        }
        self.standing = Standing::At(version, Box::new(table));
        Ok(())
    }

    /// The next version of a log that is there.
    fn go_on(
        &mut self,
        table: &Table,
        commit: &Commit,
        moves: &[Merged],
        now: DateTime<Utc>,
        with_nan: &NanColumns,
    ) -> Result<()> {
        let version = commit.batch_id;
        let described = self.described(self.files_of(commit).0, Some(with_nan))?;
        let (actions, next) = match self.version(table, commit, now, &described, moves)? {
            Ok(made) => made,
            Err(refused) => return self.refuse(&refused),
        };
        let text = text(&actions)?;
        if !self.folder.create(version, &text, next.timestamp)? {
            let is_own =
                matches!(self.folder.read(version, &self.app_id())?, Version::Own(there) if there == actions);
            if !is_own {
                self.stop(&Refused(format!("version {version} is not of this job: {ANEW}")));
                return Ok(());
            }
        }
        if version.is_multiple_of(self.folder.every) {
            self.checkpoint(version, version, &next)?;
        }
        self.standing = Standing::At(version, Box::new(next));
        Ok(())
    }

    /// The lines of the version of a commit, which follows on a table of this kind, and what the table is then.
    pub(super) fn version<'a>(
        &self,
        before: &Table,
        commit: &Commit,
        now: DateTime<Utc>,
        added: impl IntoIterator<Item = &'a Described<'a>>,
        moves: &[Merged],
    ) -> Result<std::result::Result<(Vec<Action>, Table), Refused>> {
        let (version, removed) = (commit.batch_id, self.files_of(commit).1);
        let added: Vec<&Described<'_>> = added.into_iter().collect();
        let is_anew = matches!(self.of, Of::Builds(_)) && !added.is_empty();
        let former = if is_anew { Columns::default() } else { before.columns.clone() };
        let columns = match self.columns(former, added.iter().copied()) {
            Ok(columns) => columns,
            Err(refused) => return Ok(Err(refused)),
        };
        let kept = before.metadata.as_ref().map(|metadata| metadata.partition_columns.clone());
        let (columns, partition_columns) = match is_anew {
            true => match self.of_folders(columns, commit)? {
                Ok(both) => both,
                Err(refused) => return Ok(Err(refused)),
            },
            false => (columns, kept.unwrap_or_default()),
        };
        let timestamp = match before.timestamp {
            0 => now.timestamp_millis(),
            before => now.timestamp_millis().max(before + 1),
        };
        // Files in the place of others that have as many rows: the rows of a stream stay as they are.
        let rows = added.iter().map(|described| described.file.rows).sum::<u64>();
        let is_stream = matches!(self.of, Of::Batches);
        let moves_rows =
            is_stream && !removed.is_empty() && removed.iter().map(|file| file.rows).sum::<u64>() == rows;
        let mut actions = vec![self.commit_info(version, timestamp, moves_rows)];
        let schema_string = columns.schema_string();
        let metadata = match &before.metadata {
            Some(metadata) => MetaData { schema_string, partition_columns, ..metadata.clone() },
            None => MetaData {
                partition_columns,
                ..MetaData::new(self.table_id(version), &self.table, schema_string)
            },
        };
        if before.metadata.is_none() || before.columns.has_ntz() != columns.has_ntz() {
            actions.push(Action::Protocol(Protocol::of(columns.has_ntz())));
        }
        if before.metadata.as_ref() != Some(&metadata) {
            actions.push(Action::MetaData(metadata.clone()));
        }
        actions.push(Action::Txn(Txn { app_id: self.app_id(), last_updated: timestamp, version }));
        for file in removed {
            actions.push(Action::Remove(self.remove(file, timestamp, !moves_rows)?));
        }
        for described in added {
            actions.push(Action::Add(self.add(described, timestamp, !moves_rows)?));
        }
        for file in moves.iter().flat_map(|merged| &merged.of) {
            actions.push(Action::Remove(self.remove(file, timestamp, false)?));
        }
        for described in self.described(moves.iter().map(|merged| &merged.into).collect(), None)? {
            actions.push(Action::Add(self.add(&described, timestamp, false)?));
        }
        Ok(Ok((actions, Table { columns, metadata: Some(metadata), timestamp })))
    }

    fn commit_info(&self, version: u64, timestamp: i64, moves_rows: bool) -> Action {
        let (operation, parameters) = match self.of {
            Of::Builds(_) => ("WRITE", vec![("mode", "Overwrite".to_owned())]),
            Of::Batches if moves_rows => ("OPTIMIZE", Vec::new()),
            Of::Batches => (
                "STREAMING UPDATE",
                vec![
                    ("epochId", version.to_string()),
                    ("outputMode", "Append".to_owned()),
                    ("queryId", self.query_id.clone()),
                ],
            ),
        };
        Action::CommitInfo(CommitInfo {
            engine_info: "tidemill".to_owned(),
            in_commit_timestamp: timestamp,
            operation: operation.to_owned(),
            operation_parameters: parameters
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            timestamp,
        })
    }

    fn remove(&self, file: &FileEntry, timestamp: i64, data_change: bool) -> Result<Remove> {
        Ok(Remove {
            data_change,
            deletion_timestamp: timestamp,
            extended_file_metadata: true,
            partition_values: partition_values(file),
            path: path_in(&self.root, file)?,
            size: file.bytes,
        })
    }

    pub(super) fn add(&self, described: &Described<'_>, timestamp: i64, data_change: bool) -> Result<Add> {
        let file = described.file;
        Ok(Add {
            data_change,
            modification_time: timestamp,
            partition_values: partition_values(file),
            path: path_in(&self.root, file)?,
            size: file.bytes,
            stats: described.stats.clone(),
        })
    }

    /// Columns, and those of these files.
    fn columns<'a>(
        &self,
        columns: Columns,
        files: impl IntoIterator<Item = &'a Described<'a>>,
    ) -> std::result::Result<Columns, Refused> {
        let mut files = files.into_iter();
        files.try_fold(columns, |columns, file| columns.with(Columns::of(&file.schema)?)).map_err(Refused)
    }

    /// The files of the table that a batch adds and takes out.
    pub(super) fn files_of<'a>(&self, commit: &'a Commit) -> (Vec<&'a FileEntry>, Vec<&'a FileEntry>) {
        let own = |files: &'a [FileEntry]| files.iter().filter(|file| file.table == self.table).collect();
        (own(&commit.added), own(&commit.removed))
    }

    /// The files that count at the newest version: what compaction has made since is of the next.
    pub(super) fn live(&self) -> Result<Vec<FileEntry>> {
        let mut live = committed_files(&self.lake, &self.schema_name, &self.table)?;
        for merged in self.moves.iter().rev() {
            if let Some(place) = live.iter().position(|file| file.path == merged.into.path) {
                live.splice(place..=place, merged.of.iter().cloned());
            }
        }
        Ok(live)
    }

    /// Reads the footers of files; where it is not known which columns hold a NaN, these columns too.
    pub(super) fn described<'a>(
        &self,
        files: Vec<&'a FileEntry>,
        with_nan: Option<&NanColumns>,
    ) -> Result<Vec<Described<'a>>> {
        let describe = |file: &'a FileEntry| {
            let path = checked_path(&self.lake, file)?;
            let opened = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
            let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default())
                .map_err(|e| Error::from(e).context(path.display().to_string()))?;
            let nan = match (with_nan, &self.of) {
                (Some(known), _) => known.get(&file.path).cloned().unwrap_or_default(),
                (None, Of::Builds(known)) if known.contains_key(&file.path) => known[&file.path].clone(),
                // It will have no log.
                (None, _) if Columns::of(metadata.schema()).is_err() => BTreeSet::new(),
                (None, _) => nan_columns_of(&opened, &metadata)?,
            };
            Ok(Described { file, schema: metadata.schema().clone(), stats: of_file(&metadata, &nan) })
        };
        files.into_iter().map(describe).collect()
    }

    /// What the table calls itself in its log's transactions.
    pub(super) fn app_id(&self) -> String {
        app_id(&self.query_id, &self.table)
    }

    /// An id of the table, of the version that its log begins with: one that is begun anew is another table to who follows it.
    fn table_id(&self, first: u64) -> String {
        let hash = xxh3_128(format!("{}:{first}", self.app_id()).as_bytes());
        uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid().to_string()
    }

    /// Goes on without a log, as Delta has not what the table has.
    pub(super) fn refuse(&mut self, refused: &Refused) -> Result<()> {
        match self.of {
            Of::Batches => self.stop(refused),
            // The next build may be another; until then nobody is to take an older one for it.
            Of::Builds(_) => {
                tracing::info!(table = self.table, "the table has no Delta log: {}", refused.0);
                self.folder.remove()?;
                self.standing = Standing::NotBegun;
            }
        }
        Ok(())
    }

    /// Goes on with no log, and says so.
    pub(super) fn stop(&mut self, refused: &Refused) {
        match self.folder.is_there() {
            true => tracing::warn!(
                table = self.table,
                log = %self.folder.path().display(),
                "the Delta log of the table is not gone on with: {}",
                refused.0
            ),
            false => tracing::warn!(table = self.table, "the table has no Delta log: {}", refused.0),
        }
        self.standing = Standing::Stopped;
    }
}

/// What a query calls its table in the log.
pub(super) fn app_id(query_id: &str, table: &str) -> String {
    format!("{query_id}:{table}")
}
