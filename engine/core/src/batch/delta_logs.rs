//! The Delta logs of a job's tables: which builds each table has had, and its log brought to the newest of them.

use std::collections::{BTreeMap, BTreeSet};

use super::version_commits::{step_of, tables_of};
use crate::delta::{NanColumns, Publisher};
use crate::error::Error;
use crate::lake::Lake;
use crate::records::{Commit, RecordList};

/// The builds of tables. One that its step does not make any more has its builds from then on, too: it is empty in them.
#[derive(Debug, Default)]
pub(super) struct Builds {
    /// By step, a table or a model: the tables that it ever made.
    tables: BTreeMap<String, BTreeSet<String>>,
    /// By table: the number of the commit that each build is of.
    commits: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Builds {
    /// Takes the next commit.
    pub(super) fn add(&mut self, commit: &Commit) {
        let Some(step) = step_of(commit) else { return };
        let tables = self.tables.entry(step).or_default();
        tables.extend(tables_of(commit));
        for table in &*tables {
            self.commits.entry(table.clone()).or_default().insert(commit.version(), commit.batch_id);
        }
    }

    /// Brings the logs of a step's tables to its newest build. Of these files it is known which columns hold a NaN.
    pub(super) fn log(
        &self,
        lake: &Lake,
        commits: &RecordList<Commit>,
        query_id: &str,
        step: &str,
        with_nan: &NanColumns,
    ) {
        for table in self.tables.get(step).into_iter().flatten() {
            let mut publisher = publisher(lake, table, query_id, with_nan.clone());
            self.bring(&mut publisher, table, commits);
        }
    }

    /// Brings all logs up, at a start: of what a run before has not written, or of a lake whose tables had none.
    pub(super) fn mend(&self, lake: &Lake, commits: &RecordList<Commit>, query_id: &str) {
        for (table, builds) in &self.commits {
            let mut publisher = publisher(lake, table, query_id, NanColumns::new());
            let newest = builds.last_key_value().map_or(0, |(newest, _)| *newest);
            // One that cannot be listed cannot be written either, which is said there.
            if !publisher.is_at(newest).unwrap_or(false) {
                self.bring(&mut publisher, table, commits);
            }
        }
    }

    fn bring(&self, publisher: &mut Publisher, table: &str, commits: &RecordList<Commit>) {
        let Some(builds) = self.commits.get(table) else { return };
        let Some((newest, _)) = builds.last_key_value() else { return };
        publisher.bring_to(*newest, &|version| match builds.get(&version) {
            Some(number) => commits.read(*number),
            None => Err(Error::corrupt(format!("no commit is build {version} of {table}"))),
        });
    }
}

fn publisher(lake: &Lake, table: &str, query_id: &str, with_nan: NanColumns) -> Publisher {
    Publisher::of_builds(lake, &table.replacen('.', "/", 1), table.to_owned(), query_id, with_nan)
}
