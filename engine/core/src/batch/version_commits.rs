//! What the commits of a batch job say of its versions: which table or model each is a version of, and which tables it has.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::BatchJob;
use crate::records::{Commit, FileEntry, RecordList};

/// The table of the system that has what could not be read.
pub(super) const DEAD_LETTERS: &str = "system.dead_letters";

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

/// What the next version of the same takes out of its tables. What models were, and what is told of them, stays.
pub(super) fn replaced(commit: &Commit) -> Vec<FileEntry> {
    let stays = |file: &&FileEntry| {
        let of_system = file.table.starts_with("system.") && file.table != DEAD_LETTERS;
        of_system || file.table.starts_with("model:")
    };
    commit.added.iter().filter(|file| !stays(file)).cloned().collect()
}

/// Checks that no table of a model was one of its own before, or the other way round: their versions are counted apart.
pub(super) fn check_steps<'a>(
    job: &BatchJob,
    newest: impl Iterator<Item = (&'a String, &'a Commit)>,
) -> Result<()> {
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
pub(super) fn step_of(commit: &Commit) -> Option<String> {
    let built = commit.build.as_ref().map(|build| build.table.clone());
    built.or_else(|| commit.added.first().map(|file| file.table.clone()))
}

/// The tables that a commit has a version of.
pub(super) fn tables_of(commit: &Commit) -> BTreeSet<String> {
    if commit.model.is_none() {
        return step_of(commit).into_iter().collect();
    }
    let tables = commit.added.iter().map(|file| &file.table);
    tables.filter(|table| !table.starts_with("system.") && !table.starts_with("model:")).cloned().collect()
}
