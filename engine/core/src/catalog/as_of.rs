//! The lake as it was, for `VERSION AS OF` and `TIMESTAMP AS OF`.
//!
//! | asked | meant |
//! | --- | --- |
//! | `crimes VERSION AS OF 40`, a stream's | after batch 40, its state and views too |
//! | `wide VERSION AS OF 3`, a batch job's | its version 3 |
//! | `… TIMESTAMP AS OF t` | after the last batch, or the last build, that was begun at t or before |
//!
//! Batches are in the order of their numbers also where the clock went back: one is taken to be later than the one before it,
//! by a millisecond at least. The others of a lake, which a view reads or a whole statement, are as they were at that moment.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::checkpoint::{JobKind, kind_of_records};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::{Commit, Plan, RecordList};
use crate::sql::as_of::AsOf;

/// When each batch of a job, or each build, was begun, in the order of their numbers: ascending.
fn moments(lake: &Lake, schema_name: &str) -> Result<Vec<DateTime<Utc>>> {
    let checkpoint = lake.checkpoint(schema_name);
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
    let is_stream = kind_of_records(lake, schema_name)? == Some(JobKind::Stream);
    let mut moments: Vec<DateTime<Utc>> = Vec::new();
    for number in commits.numbers()? {
        let moment = match is_stream {
            true => plans.read(number)?.moment()?,
            false => built_at(&commits.read(number)?)?,
        };
        let earliest = moments.last().map(|last| *last + TimeDelta::milliseconds(1));
        moments.push(earliest.map_or(moment, |earliest| earliest.max(moment)));
    }
    Ok(moments)
}

fn built_at(commit: &Commit) -> Result<DateTime<Utc>> {
    let text = commit.build.as_ref().map(|build| build.built_at.as_str()).unwrap_or_default();
    text.parse().map_err(|e| {
        Error::corrupt(format!("commit {}: its time `{text}` cannot be read: {e}", commit.batch_id))
    })
}

/// The lake as a table of it was, `name` of the job; the others as they were then.
///
/// # Errors
/// User: there is no such version, or none yet; Storage or Corrupt: the records.
pub(super) fn lake_as_of(lake: &Lake, schema_name: &str, name: &str, as_of: AsOf) -> Result<Lake> {
    match as_of {
        AsOf::Moment(moment) => lake_at(lake, moment),
        AsOf::Version(version) if kind_of_records(lake, schema_name)? == Some(JobKind::Stream) => {
            lake_after(lake, schema_name, version)
        }
        AsOf::Version(_) => job_as_of(lake, schema_name, name, as_of),
    }
}

/// The same, but for the other jobs, which are as they are: no record of theirs is read.
///
/// # Errors
/// As [`lake_as_of`].
pub(super) fn job_as_of(lake: &Lake, schema_name: &str, name: &str, as_of: AsOf) -> Result<Lake> {
    let of_job = |batches| Ok(lake.after(BTreeMap::from([(schema_name.to_owned(), batches)])));
    let version = match as_of {
        AsOf::Moment(moment) => {
            check_past(moment)?;
            let count = moments(lake, schema_name)?.partition_point(|of| *of <= moment);
            return of_job(count as u64);
        }
        AsOf::Version(version) => version,
    };
    let full = format!("{schema_name}.{name}");
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    let end = commits.numbers()?.end;
    if kind_of_records(lake, schema_name)? == Some(JobKind::Stream) {
        return match version < end {
            true => of_job(version + 1),
            false => Err(no_version(&full, version, "a version of it is a batch", end.checked_sub(1))),
        };
    }
    let mut newest = None;
    for number in (0..end).rev() {
        let commit = commits.read(number)?;
        if !commit.added.iter().any(|file| file.table == full) {
            continue;
        }
        if commit.version() == version {
            return of_job(number + 1);
        }
        newest = newest.or(Some(commit.version()));
    }
    Err(no_version(&full, version, "a version of it is a build", newest))
}

fn no_version(full: &str, version: u64, what: &str, newest: Option<u64>) -> Error {
    let newest = newest.map_or("there is none".to_owned(), |newest| format!("the newest is {newest}"));
    Error::user(format!("{full} has no version {version}: {newest}")).hint(format!(
        "{what}, numbered from 0; `SELECT batch_id FROM system.batches` lists those of streams"
    ))
}

/// What a table was is gone.
pub(super) fn gone(full: &str, why: &str) -> Error {
    Error::user(format!("{full} as it was is gone: {why}")).hint(
        "the last versions of a batch job's table are kept, with what its dead letters were then, and of a state what came since its last snapshots: ask for a newer one",
    )
}

/// The lake after a batch of a stream, or a commit of a batch job; other jobs as they were when it was begun.
///
/// # Errors
/// User: there is no such batch; Storage or Corrupt: the records.
pub fn lake_after(lake: &Lake, schema_name: &str, batch: u64) -> Result<Lake> {
    let jobs = lake.schema_names()?;
    if !jobs.iter().any(|job| job == schema_name) {
        return Err(Error::unknown("job", &schema_name.replace('_', "-"), &jobs));
    }
    let of_job = moments(lake, schema_name)?;
    let moment = usize::try_from(batch).ok().and_then(|at| of_job.get(at)).ok_or_else(|| {
        let newest = match of_job.len() {
            0 => "it has none".to_owned(),
            many => format!("its newest is {}", many - 1),
        };
        Error::user(format!("{} has no batch {batch}: {newest}", schema_name.replace('_', "-")))
            .hint("batches are numbered from 0: `SELECT job, batch_id FROM system.batches` lists those of streams; of a batch job they are its commits, one for each table that a run has built")
    })?;
    let mut counts = counts_at(lake, *moment)?;
    counts.insert(schema_name.to_owned(), batch + 1);
    Ok(lake.after(counts))
}

/// The lake at a moment.
///
/// # Errors
/// User: it is to come; Storage or Corrupt: the records.
pub(super) fn lake_at(lake: &Lake, moment: DateTime<Utc>) -> Result<Lake> {
    check_past(moment)?;
    Ok(lake.after(counts_at(lake, moment)?))
}

fn check_past(moment: DateTime<Utc>) -> Result<()> {
    if moment > Utc::now() {
        let text = moment.to_rfc3339_opts(SecondsFormat::Secs, true);
        return Err(Error::user(format!("{text} is to come: what a table will be then is not known"))
            .hint("times without an offset are UTC"));
    }
    Ok(())
}

fn counts_at(lake: &Lake, moment: DateTime<Utc>) -> Result<BTreeMap<String, u64>> {
    let count = |schema_name: String| {
        let count = moments(lake, &schema_name)?.partition_point(|of| *of <= moment) as u64;
        Ok((schema_name, count))
    };
    lake.schema_names()?.into_iter().map(count).collect()
}
