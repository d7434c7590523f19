//! Brings a log to where the records are, at a start.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};

use super::action::{Action, text};
use super::checkpoint::Checkpoint;
use super::folder::{Version, Versions};
use super::publish::{AGAIN, ANEW, Of, Publisher, Refused, Standing, Table};
use super::schema::Columns;
use crate::error::Result;
use crate::records::{Commit, Merged, Plan, RecordList};

/// What is recorded of a batch, and its time.
pub(super) type Record<'a> = &'a dyn Fn(u64) -> Result<(Commit, DateTime<Utc>)>;

impl Publisher {
    /// Brings a log to where the records are: what the driver before has not written, or a power cut has taken. `gives` are the
    /// columns that the transform gives from now on. Where that cannot be done the stream goes on without a log, and says so.
    pub(crate) fn repair(&mut self, commits: &RecordList<Commit>, plans: &RecordList<Plan>, gives: &Schema) {
        if let Err(error) = self.try_repair(commits, plans, gives) {
            self.stop(&Refused(format!("{error}: {AGAIN}")));
        }
    }

    fn try_repair(
        &mut self,
        commits: &RecordList<Commit>,
        plans: &RecordList<Plan>,
        gives: &Schema,
    ) -> Result<()> {
        if let Some(newest) = commits.latest()? {
            self.moves = self.moves_of(newest + 1, u64::MAX)?;
            self.folder.clear_leftovers()?;
            self.bring_up(newest, &|version| Ok((commits.read(version)?, plans.read(version)?.moment()?)))?;
        }
        match Columns::of(gives) {
            Err(reason) if !matches!(self.standing, Standing::Stopped) => self.stop(&Refused(reason)),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn bring_up(&mut self, newest: u64, record: Record<'_>) -> Result<()> {
        let mut versions = self.folder.versions()?;
        let beyond = |version: &&u64| **version > newest;
        if let Some(version) = versions.json.iter().chain(&versions.checkpoints).find(beyond) {
            let what = if matches!(self.of, Of::Builds(_)) { "build" } else { "batch" };
            self.stop(&Refused(format!("version {version} is of no {what}, the newest is {newest}: {ANEW}")));
            return Ok(());
        }
        let mut found = BTreeMap::new();
        for version in &versions.json {
            match self.folder.read(*version, &self.app_id())? {
                Version::Foreign => {
                    self.stop(&Refused(format!("version {version} is not of this job: {ANEW}")));
                    return Ok(());
                }
                Version::Own(actions) => drop(found.insert(*version, actions)),
                Version::CutOff => {}
            }
        }
        let anew = |publisher: &mut Publisher| {
            let (commit, now) = record(newest)?;
            publisher.begin_over(&commit, now)
        };
        let readable = self.readable_checkpoints(&versions.checkpoints)?;
        let lacking = |versions: &Versions, from: u64, to: u64| {
            (to + 1).saturating_sub(from) - versions.json.range(from..=to).count() as u64
        };
        // What no checkpoint begins cannot be read, and neither is worth the time what lacks of many versions before one.
        if let Some(first) = versions.json.first().copied().filter(|first| *first > 0)
            && let Some(base) = match readable.first_key_value() {
                Some((lowest, _)) if *lowest > first => Some(*lowest),
                _ => readable
                    .keys()
                    .next_back()
                    .filter(|last| lacking(&versions, first, **last) > self.folder.retained)
                    .copied(),
            }
        {
            tracing::warn!(
                table = self.table,
                "the Delta log cannot be read before version {base}, it begins there now"
            );
            self.folder.clear_below(&versions, base)?;
            versions = self.folder.versions()?;
        }
        let Some(first) = versions.json.first().copied() else { return anew(self) };
        if lacking(&versions, first, newest) > self.folder.retained {
            tracing::info!(table = self.table, "the Delta log is far behind: it begins anew at {newest}");
            return anew(self);
        }
        let mut table = Table::default();
        if first > 0 {
            let Some((_, head)) = readable.range(..=first).next_back() else { return anew(self) };
            table.follow(head);
        }
        for version in first..=newest {
            match found.get(&version) {
                Some(actions) => table.follow(actions),
                None => match self.again(&table, version, record) {
                    Ok(Ok(next)) => table = next,
                    Ok(Err(refused)) => return self.refuse(&refused),
                    Err(error) => {
                        tracing::warn!(
                            table = self.table,
                            "version {version} of the Delta log cannot be made again, the log begins anew: {error}"
                        );
                        return anew(self);
                    }
                },
            }
        }
        if table.metadata.is_none() {
            return anew(self);
        }
        self.standing = Standing::At(newest, Box::new(table));
        let due = newest - newest % self.folder.every;
        let has = readable.last_key_value().map(|(version, _)| *version);
        if due > first && has.is_none_or(|has| has < due) {
            let Standing::At(_, table) = &self.standing else { return Ok(()) };
            self.checkpoint(due, newest, table)?;
        } else if let Some(has) = has.filter(|has| self.folder.hint() != Some(*has)) {
            let (lines, files) = Checkpoint::read(&self.folder.checkpoint(has))?.counts()?;
            self.folder.write_hint(has, lines, files)?;
        }
        Ok(())
    }

    /// Writes a version that lacks, on a table of this kind, and says what the table is then.
    fn again(
        &self,
        table: &Table,
        version: u64,
        record: Record<'_>,
    ) -> Result<std::result::Result<Table, Refused>> {
        let (commit, now) = record(version)?;
        let moves = self.moves_of(version, version)?;
        // Files that were taken out since may be gone: then there is no such version any more.
        let described = self.described(self.files_of(&commit).0, None)?;
        Ok(match self.version(table, &commit, now, &described, &moves)? {
            Ok((actions, next)) => {
                self.folder.replace(version, &text(&actions)?, next.timestamp)?;
                Ok(next)
            }
            Err(refused) => Err(refused),
        })
    }

    /// What compaction made of files that the versions from one to another say.
    fn moves_of(&self, first: u64, last: u64) -> Result<Vec<Merged>> {
        let mut found: Vec<Merged> = Vec::new();
        for number in self.compactions.numbers()?.rev() {
            let compaction = self.compactions.read(number)?;
            if compaction.committed < first {
                break;
            }
            let is_own = |merged: &Merged| compaction.committed <= last && merged.into.table == self.table;
            found.splice(0..0, compaction.merged.iter().filter(|merged| is_own(merged)).cloned());
        }
        Ok(found)
    }

    /// The lines before the files of each checkpoint; those that cannot be read are removed.
    fn readable_checkpoints(&self, versions: &BTreeSet<u64>) -> Result<BTreeMap<u64, Vec<Action>>> {
        let mut readable = BTreeMap::new();
        for version in versions {
            let path = self.folder.checkpoint(*version);
            match Checkpoint::read(&path).and_then(|checkpoint| checkpoint.head()) {
                Ok(head) => drop(readable.insert(*version, head)),
                Err(error) => {
                    tracing::warn!(table = self.table, "{} is removed: {error}", path.display());
                    self.folder.remove_checkpoint(*version)?;
                }
            }
        }
        Ok(readable)
    }

    /// Begins a log anew in the place of one that is there, or is not.
    fn begin_over(&mut self, commit: &Commit, now: DateTime<Utc>) -> Result<()> {
        self.begin(commit, now, None)?;
        match self.standing {
            Standing::At(version, _) => self.folder.clear_below(&self.folder.versions()?, version),
            _ => Ok(()),
        }
    }
}
