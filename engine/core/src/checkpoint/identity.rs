//! Whose checkpoint it is: `query.json` says which job and which query, and what it finds in the lake has to agree.
//!
//! A job's folder in the lake is its name with `_` for `-`, so two jobs may mean one folder; the one that was first has it.
//!
//! It has the format of the newest record that may be there, and so is what carries a lake over to the format of this version:
//!
//! | query.json | records | a start of this version | of one that knows an older format alone |
//! | --- | --- | --- | --- |
//! | older | all of it, or older still | raises it to [`FORMAT`] once nothing stands against going on ([`carry_over`]), then goes on | goes on, if it knows it |
//! | [`FORMAT`] | older ones, and then of this | goes on | refuses it, before it writes anything |
//!
//! There is no step between the two, so a crash leaves one or the other; what is read alone needs neither. A start that is
//! refused, or finds no broker, leaves the lake to the older version. The registry's records stand outside: `tag` and `promote`
//! of a version that knows format 1 alone look at no `query.json`, and write an alias record of format 1 also where it has 3,
//! which this version reads as any other.

use std::path::Path;

use datafusion::sql::resolve::resolve_table_references;

use super::{gone, unlisted};
use crate::error::{Error, Result, io_error};
use crate::files::{entries, write_atomically};
use crate::lake::Lake;
use crate::records::{Commit, FORMAT, FORMATS, Ledger, Plan, RecordList, newer};
use crate::table::read::checked_path;
use crate::table::versioned::VERSIONS;

const FILE: &str = "query.json";
/// Where lakes of before have the same beside a table's files.
const OLD_FILE: &str = ".query.json";
/// Schemas that are the engine's own.
const TAKEN: [&str; 3] = ["system", "public", "information_schema"];

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Identity {
    /// The newest format of the records that there may be: a version that does not know it stops here.
    format: u32,
    query_id: String,
    /// The job; those of lakes of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<JobKind>,
    /// Folder of a stream's table, relative to the lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table_path: Option<String>,
}

/// What writes into a folder of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobKind {
    /// A job of `tidemill stream`.
    Stream,
    /// A job of `tidemill run`.
    Batch,
}

impl JobKind {
    fn word(self) -> &'static str {
        match self {
            JobKind::Stream => "stream",
            JobKind::Batch => "batch",
        }
    }
}

/// A job that wants its folder of the lake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// Its name as on the command line.
    pub(crate) job: &'a str,
    /// Its folder.
    pub(crate) schema_name: &'a str,
    pub(crate) kind: JobKind,
    /// Folders of its tables, relative to the lake: one of a stream.
    pub(crate) tables: &'a [String],
}

impl Claim<'_> {
    /// The id of the job's query, which is made where the job is new here. The caller holds the lock of the checkpoint.
    ///
    /// | query.json | records | files in a stream's table | |
    /// | --- | --- | --- | --- |
    /// | – | – | – | a new query, which is given an id |
    /// | – | – | some | the checkpoint was deleted: refused, a new one would append every row again |
    /// | – | some | any | corrupt: records without an identity |
    /// | of another job, or of another kind | any | any | refused: the folder is that job's |
    /// | this job's | – | – | a start that was cut short goes on |
    /// | this job's | – | some | the records were deleted: refused |
    /// | this job's | some | the newest that is listed is not there | refused, its rows would never come back |
    /// | this job's | some | an older one is not there (`gone`) | refused: another folder is in the table's place |
    /// | this job's | any | one that no record lists (`unlisted`) | the checkpoint is older than they are: refused |
    /// | this job's | some | as listed | goes on |
    ///
    /// The tables of a batch job are made anew where they are gone.
    ///
    /// # Errors
    /// User: another job has the folder, or the table. Corrupt: as above.
    pub(crate) fn query_id(&self, lake: &Lake) -> Result<String> {
        let checkpoint = lake.checkpoint(self.schema_name);
        let path = checkpoint.join(FILE);
        let found = read_identity(&path)?;
        let kind = match found.as_ref().and_then(|identity| identity.kind) {
            Some(kind) => Some(kind),
            None => kind_of_records(lake, self.schema_name)?,
        };
        let other_job = found.as_ref().and_then(|identity| identity.job.as_deref());
        if other_job.is_some_and(|job| job != self.job) || kind.is_some_and(|kind| kind != self.kind) {
            return Err(self.is_of(lake, kind.unwrap_or(self.kind), other_job));
        }
        if found.is_some() {
            self.check_tables(lake, false)?;
        }
        let identity = match found {
            Some(identity) => identity,
            None if kind == Some(JobKind::Stream) => {
                return Err(
                    Error::corrupt(format!("the checkpoint has records but no {FILE}")).hint(self.both(lake))
                );
            }
            None => Identity {
                // Records of a batch job that nobody has said anything of are of the oldest.
                format: if kind.is_some() { *FORMATS.start() } else { FORMAT },
                query_id: uuid::Uuid::new_v4().to_string(),
                job: None,
                kind: None,
                table_path: None,
            },
        };
        match self.kind {
            JobKind::Stream => self.check_stream(lake, &identity, path.is_file())?,
            JobKind::Batch => self.check_batch(lake, &identity, path.is_file() || kind.is_some())?,
        }
        let whole = Identity {
            job: Some(self.job.to_owned()),
            kind: Some(self.kind),
            table_path: self.stream_table().map(str::to_owned),
            ..identity.clone()
        };
        if !path.is_file() || identity != whole {
            write_identity(&path, &whole)?;
        }
        Ok(whole.query_id)
    }

    /// Refuses a job that has no folder yet and shall have none, so that nothing is left of it.
    ///
    /// # Errors
    /// User: another job has the table, or the name in other letters; a name that SQL does not know again.
    pub(crate) fn check_new(&self, lake: &Lake) -> Result<()> {
        if lake.checkpoint(self.schema_name).is_dir() {
            return Ok(());
        }
        self.check_name()?;
        self.check_twins(lake)?;
        self.check_tables(lake, true)
    }

    fn stream_table(&self) -> Option<&str> {
        self.tables.first().filter(|_| self.kind == JobKind::Stream).map(String::as_str)
    }

    /// The folder is another job's.
    fn is_of(&self, lake: &Lake, kind: JobKind, job: Option<&str>) -> Error {
        let folder = lake.root().join(self.schema_name);
        let theirs = job.map_or(String::new(), |job| format!(" `{job}`"));
        Error::user(format!(
            "{} is the folder of the {} job{theirs}: the {} job `{}` would have the same checkpoint, and the same tables \
             in SQL",
            folder.display(),
            kind.word(),
            self.kind.word(),
            self.job
        ))
        .hint("rename one of the two in jobs/ (`-` and `_` are one there), or give it a lake of its own: --lake DIR")
    }

    /// A new job's tables are to be found by `SELECT … FROM job.table`.
    fn check_name(&self) -> Result<()> {
        let cannot = |reason: &str| {
            Err(Error::user(format!("a job cannot be called `{}`: {reason}", self.job)).hint(format!(
                "rename jobs/{}.toml: a job's name is small letters, digits, `-` and `_`, begins with a letter, and is no \
                 word of SQL",
                self.job
            )))
        };
        let name = self.schema_name;
        if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            return cannot("that schema of SQL is the engine's own");
        }
        let means_it = crate::sql::parse(&format!("SELECT * FROM {name}.t")).is_ok_and(|statements| {
            let [statement] = statements.as_slice() else { return false };
            let Ok((tables, _)) = resolve_table_references(statement, true) else { return false };
            let [table] = tables.as_slice() else { return false };
            table.catalog().is_none()
                && table.schema().is_some_and(|schema| schema.eq_ignore_ascii_case(name))
                && table.table() == "t"
        });
        if means_it { Ok(()) } else { cannot(&format!("in SQL, {name}.TABLE would not be its table")) }
    }

    /// SQL reads names without regard to capitals, and so do some disks.
    fn check_twins(&self, lake: &Lake) -> Result<()> {
        let names = lake.schema_names()?;
        let twin = names.iter().find(|n| *n != self.schema_name && n.eq_ignore_ascii_case(self.schema_name));
        let Some(twin) = twin else { return Ok(()) };
        let theirs = read_identity(&lake.checkpoint(twin).join(FILE)).unwrap_or_default();
        let theirs = theirs.and_then(|identity| identity.job);
        Err(Error::user(format!(
            "the lake has a job `{}`, whose name differs from that of `{}` by capitals alone",
            theirs.as_deref().unwrap_or(twin),
            self.job
        ))
        .hint(
            "SQL reads both as one: rename one of the two in jobs/, or give it a lake of its own: --lake DIR",
        ))
    }

    /// No other job has one of the tables.
    fn check_tables(&self, lake: &Lake, is_new: bool) -> Result<()> {
        let refuse = |table: &str, kind: JobKind, job: &str| {
            let what = format!(
                "{} belongs to the {} job `{job}`, not to the {} job `{}`",
                lake.resolve(table).display(),
                kind.word(),
                self.kind.word(),
                self.job
            );
            Err(Error::user(what).hint(match self.kind {
                JobKind::Stream => format!(
                    "leave it as it is, and let this job write elsewhere: [table] path = \"lake/{}/TABLE\"",
                    self.schema_name
                ),
                JobKind::Batch => {
                    "leave it as it is, and call the table of this job otherwise: its SQL file has the name"
                        .to_owned()
                }
            }))
        };
        for other in lake.schema_names()?.iter().filter(|name| *name != self.schema_name) {
            // What is wrong with another job is told where that one starts.
            let identity = read_identity(&lake.checkpoint(other).join(FILE)).unwrap_or_default();
            let name = identity.as_ref().and_then(|identity| identity.job.clone());
            let name = name.as_deref().unwrap_or(other);
            let kind = match identity.as_ref().and_then(|identity| identity.kind) {
                Some(kind) => kind,
                None => kind_of_records(lake, other).unwrap_or_default().unwrap_or(JobKind::Stream),
            };
            // A stream may be told to write into the folder of another job, where any name may be a table one day.
            if let Some(table) = self.stream_table().filter(|_| is_new)
                && table.split('/').next().is_some_and(|folder| folder.eq_ignore_ascii_case(other))
            {
                return refuse(table, kind, name);
            }
            let theirs = match identity.and_then(|identity| identity.table_path) {
                Some(path) => Some(path),
                None => newest_table_path(lake, other).unwrap_or_default(),
            };
            let same = |table: &&String| theirs.as_ref().is_some_and(|path| path.eq_ignore_ascii_case(table));
            if let Some(table) = self.tables.iter().find(same) {
                return refuse(table, kind, name);
            }
        }
        Ok(())
    }

    /// The table and the checkpoint of a stream are of one query, see the table above.
    fn check_stream(&self, lake: &Lake, identity: &Identity, is_known: bool) -> Result<()> {
        let Some(table) = self.stream_table() else { return Ok(()) };
        let folder = lake.resolve(table);
        let gone = |what: String| Err(Error::corrupt(what).hint(self.both(lake)));
        let old = folder.join(OLD_FILE);
        if let Some(theirs) = read_identity(&old)? {
            if !is_known {
                return gone(GONE.to_owned());
            }
            if theirs.query_id != identity.query_id {
                return gone(format!(
                    "the checkpoint is of query {}, the table of query {}",
                    identity.query_id, theirs.query_id
                ));
            }
        }
        if identity.table_path.as_deref().is_some_and(|path| path != table) {
            let had = identity.table_path.as_deref().unwrap_or_default();
            return Err(Error::user(format!(
                "table.path is lake/{table}, the rows of this job so far are in lake/{had}"
            ))
            .hint("put the path back as it was, or stream into another lake from the beginning of the topic: --lake DIR"));
        }
        let ledger = Ledger::of(lake, self.schema_name)?;
        if ledger.commits() == 0 && !unlisted::visible(&folder, "parquet")?.is_empty() {
            return gone(GONE.to_owned());
        }
        unlisted::check(lake, self.schema_name, table, &ledger)?;
        if let Some(file) = ledger.newest_rows() {
            if !folder.is_dir() {
                return gone(
                    "the table of this checkpoint is gone; its committed rows would be lost".to_owned(),
                );
            }
            checked_path(lake, file)?;
            gone::check(lake, table, &ledger)?;
        }
        remove_old(&old)
    }

    /// The versions of a batch job's tables are those of its checkpoint.
    fn check_batch(&self, lake: &Lake, identity: &Identity, is_known: bool) -> Result<()> {
        let job = lake.root().join(self.schema_name);
        let of_before = entries(&job.join(VERSIONS))?;
        let of_now = entries(&job)?.into_iter().map(|table| table.join(VERSIONS));
        for table in of_before.into_iter().chain(of_now) {
            let numbered = |path: &std::path::PathBuf| {
                path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<u64>().is_ok())
            };
            let old = table.join(OLD_FILE);
            let theirs = read_identity(&old)?;
            if !is_known && (theirs.is_some() || entries(&table)?.iter().any(numbered)) {
                let what = format!("the checkpoint of {} is gone", table.display());
                return Err(Error::corrupt(what).hint(self.both(lake)));
            }
            if let Some(theirs) = theirs.filter(|theirs| theirs.query_id != identity.query_id) {
                let what = format!(
                    "the checkpoint is of query {}, {} of query {}",
                    identity.query_id,
                    table.display(),
                    theirs.query_id
                );
                return Err(Error::corrupt(what).hint(self.both(lake)));
            }
            remove_old(&old)?;
        }
        Ok(())
    }

    fn both(&self, lake: &Lake) -> String {
        let tables: Vec<String> =
            self.tables.iter().map(|table| lake.resolve(table).display().to_string()).collect();
        format!(
            "{} and the checkpoint {} belong together: put both back from one copy of the lake, or move both and {} away to \
             start anew",
            tables.join(", "),
            lake.checkpoint(self.schema_name).display(),
            lake.root().join("system/*").join(self.schema_name).display()
        )
    }
}

const GONE: &str = "the checkpoint of this table is gone; a new one would append every row a second time";

/// Of which kind the job is that has made the records there are; `None` where there is none.
pub(crate) fn kind_of_records(lake: &Lake, schema_name: &str) -> Result<Option<JobKind>> {
    let checkpoint = lake.checkpoint(schema_name);
    let plans = RecordList::<Plan>::read_only(checkpoint.join("offsets"));
    if plans.has(0) || plans.latest()?.is_some() {
        return Ok(Some(JobKind::Stream));
    }
    let commits = RecordList::<Commit>::read_only(checkpoint.join("commits"));
    // A stream plans what it commits.
    Ok((commits.has(0) || commits.latest()?.is_some()).then_some(JobKind::Batch))
}

/// Carries a job's lake over to the format of this version, before its first record of that format. The caller holds the lock
/// of the checkpoint.
///
/// # Errors
/// Storage, Corrupt: the identity cannot be read, or is not there.
pub(crate) fn carry_over(lake: &Lake, schema_name: &str) -> Result<()> {
    let path = lake.checkpoint(schema_name).join(FILE);
    let identity = read_identity(&path)?;
    let identity = identity.ok_or_else(|| Error::corrupt(format!("{} is gone", path.display())))?;
    if identity.format == FORMAT {
        return Ok(());
    }
    tracing::info!(
        job = identity.job.as_deref().unwrap_or(schema_name),
        "the lake is carried over to format {FORMAT}: older versions of Tidemill refuse this job from now on"
    );
    write_identity(&path, &Identity { format: FORMAT, ..identity })
}

/// The format that a job's lake has: that of this version once a start has carried it over.
///
/// # Errors
/// Storage, Corrupt: the identity cannot be read.
pub(crate) fn format_of(lake: &Lake, schema_name: &str) -> Result<u32> {
    let identity = read_identity(&lake.checkpoint(schema_name).join(FILE))?;
    // Lakes of long before have none until then.
    Ok(identity.map_or(*FORMATS.start(), |identity| identity.format))
}

/// The folder of a stream's table, of which its `query.json` says nothing yet.
fn newest_table_path(lake: &Lake, schema_name: &str) -> Result<Option<String>> {
    if kind_of_records(lake, schema_name)? != Some(JobKind::Stream) {
        return Ok(None);
    }
    let ledger = Ledger::of(lake, schema_name)?;
    let newest = ledger.newest_rows();
    Ok(newest.and_then(|file| file.path.rsplit_once('/').map(|(folder, _)| folder.to_owned())))
}

fn read_identity(path: &Path) -> Result<Option<Identity>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let identity: Identity = serde_json::from_slice(&bytes)
                .map_err(|e| Error::corrupt(format!("cannot read {}: {e}", path.display())))?;
            if !FORMATS.contains(&identity.format) {
                return Err(newer(path, identity.format.into()));
            }
            Ok(Some(identity))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("read", path, &e)),
    }
}

fn write_identity(path: &Path, identity: &Identity) -> Result<()> {
    let mut text =
        serde_json::to_vec_pretty(identity).map_err(|e| Error::internal(format!("{FILE}: {e}")))?;
    text.push(b'\n');
    write_atomically(path, &text)
}

/// Nothing but data lies under a table's folder.
fn remove_old(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
