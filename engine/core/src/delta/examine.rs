//! Whether a log says what the records say; nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, path_in};
use super::checkpoint::Checkpoint;
use super::folder::{Folder, NAME, Version};
use super::publish::{ANEW, app_id};
use super::schema::Columns;
use crate::error::Result;
use crate::lake::Lake;
use crate::records::FileEntry;
use crate::table::read::read_schema;

/// What was found of a table's log.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// What is wrong, and what to do.
    pub(crate) problems: Vec<(String, String)>,
    /// Why there is no log, or no more of it, where that is no fault.
    pub(crate) note: Option<String>,
}

/// What the next start does about it.
const AT_START: &str =
    "SQL here does not read it: the next start of the stream writes it anew from the records";
/// What a build of the table does about it.
const AT_BUILD: &str = "SQL here does not read it: the next build of the table writes it anew from the records, `tidemill run JOB --force` at once";

/// What it does about versions that nobody can read.
const NOT_BEFORE: &str = "newer ones can: the next start of the stream takes them out, and the log begins at a version that can be read";

/// Looks at the log of a table, of which these files count at its newest version. A table without rows, or of a version of
/// Tidemill that wrote none, has none. `root` is its folder (relative to the lake) where it is a batch job's.
pub(crate) fn examine(
    lake: &Lake,
    query_id: &str,
    newest: u64,
    live: &[FileEntry],
    root: Option<&str>,
) -> Examined {
    let mut found = Examined::default();
    if let Err(error) = look(lake, query_id, newest, live, root, &mut found) {
        let advice = if root.is_some() { AT_BUILD } else { AT_START };
        found.problems.push((error.to_string(), advice.to_owned()));
    }
    found
}

fn look(
    lake: &Lake,
    query_id: &str,
    newest: u64,
    live: &[FileEntry],
    root: Option<&str>,
    found: &mut Examined,
) -> Result<()> {
    let Some(file) = live.last() else { return Ok(()) };
    let advice = if root.is_some() { AT_BUILD } else { AT_START };
    let what = if root.is_some() { "build" } else { "batch" };
    let Some(root) = root.or(file.path.rsplit_once('/').map(|(root, _)| root)) else { return Ok(()) };
    let folder = Folder::of(&lake.resolve(root));
    let versions = folder.versions()?;
    // What cannot be read of the rows is told of them.
    if let Ok(schema) = read_schema(lake, file)
        && let Err(reason) = Columns::of(&schema)
    {
        let (table, last) = (&file.table, versions.json.last());
        found.note = Some(match last {
            Some(last) => format!("the Delta log of {table} ends at version {last}: {reason}"),
            None => format!("{table} has no Delta log: {reason}"),
        });
        return Ok(());
    }
    let (Some(first), Some(last)) = (versions.json.first().copied(), versions.json.last().copied()) else {
        return Ok(());
    };
    let mut problem = |what: String, advice: &str| {
        found.problems.push((format!("{}: {what}", folder.path().display()), advice.to_owned()));
    };
    let (mut own, mut is_foreign) = (BTreeMap::new(), last > newest);
    if is_foreign {
        problem(format!("version {last} is of no {what}, the newest is {newest}"), ANEW);
    }
    for version in first..=last.min(newest) {
        if !versions.json.contains(&version) {
            problem(format!("version {version} is not there"), advice);
            continue;
        }
        match folder.read(version, &app_id(query_id, &file.table))? {
            Version::Own(actions) => drop(own.insert(version, actions)),
            Version::Foreign => {
                is_foreign = true;
                problem(format!("version {version} is not of this job"), ANEW);
            }
            Version::CutOff => problem(format!("version {version} is cut off"), advice),
        }
    }
    let (mut base, mut lowest) = (None, None);
    for version in versions.checkpoints.iter().rev() {
        match Checkpoint::read(&folder.checkpoint(*version)).and_then(|checkpoint| checkpoint.files()) {
            Ok(files) => {
                base = base.or(Some((*version, files)));
                lowest = Some(*version);
            }
            Err(error) => problem(format!("the checkpoint of version {version}: {error}"), advice),
        }
    }
    if last < newest {
        problem(format!("it ends at version {last}, the newest {what} is {newest}"), advice);
    }
    if first > 0 && base.is_none() {
        problem(format!("it begins at version {first}, of which there is no checkpoint"), advice);
    } else if first > 0 && lowest.is_some_and(|lowest| lowest > first) {
        problem(format!("versions from {first} on cannot be read, as their checkpoint cannot"), NOT_BEFORE);
    }
    if is_foreign || !found.problems.is_empty() {
        return Ok(());
    }
    let (after, files) = base.map_or((None, Vec::new()), |(version, files)| (Some(version), files));
    let mut said: BTreeSet<(String, u64)> = files.into_iter().collect();
    for actions in own.range(after.map_or(0, |version| version + 1)..).flat_map(|(_, actions)| actions) {
        match actions {
            Action::Add(add) => drop(said.insert((add.path.clone(), add.size))),
            Action::Remove(remove) => said.retain(|(path, _)| *path != remove.path),
            _ => {}
        }
    }
    let listed = live.iter().map(|file| Ok((path_in(root, file)?, file.bytes)));
    let listed = listed.collect::<Result<BTreeSet<_>>>()?;
    if let Some((path, _)) = said.symmetric_difference(&listed).next() {
        let what = format!(
            "{NAME} has {} files, the records list {}; not both have {path}",
            said.len(),
            listed.len()
        );
        found.problems.push((what, ANEW.to_owned()));
    }
    Ok(())
}
