//! The checkpoint of a version: of the one before it and the versions since, or of the records.

use std::collections::BTreeSet;

use super::action::{Action, Add, Protocol, Txn};
use super::checkpoint::Checkpoint;
use super::folder::Version;
use super::publish::{Publisher, Table};
use crate::error::Result;

impl Publisher {
    /// Writes the checkpoint of a version, and removes what is too old then. Where the log does not say enough for it, one of
    /// the newest version is made of the records.
    pub(super) fn checkpoint(&self, version: u64, newest: u64, table: &Table) -> Result<()> {
        let (version, checkpoint) = match self.replayed(version) {
            Ok(Some(checkpoint)) => (version, checkpoint),
            other => {
                let reason = other
                    .err()
                    .map_or_else(|| "a version before it is damaged".to_owned(), |e| e.to_string());
                tracing::warn!(
                    table = self.table,
                    "a checkpoint of the Delta log is made of the records: {reason}"
                );
                (newest, self.of_records(newest, table)?)
            }
        };
        let (lines, files) = checkpoint.counts()?;
        self.folder.write_checkpoint(version, &checkpoint.bytes()?)?;
        self.folder.write_hint(version, lines, files)?;
        self.folder.clean(version)
    }

    /// The table at the newest version, by the records.
    fn of_records(&self, newest: u64, table: &Table) -> Result<Checkpoint> {
        let live = self.live()?;
        let files = self.described(live.iter().collect(), None)?;
        let adds =
            files.iter().map(|file| self.add(file, table.timestamp, true)).collect::<Result<Vec<_>>>()?;
        let mut head = vec![Action::Protocol(Protocol::of(table.columns.has_ntz()))];
        head.extend(table.metadata.clone().map(Action::MetaData));
        head.push(Action::Txn(Txn { app_id: self.app_id(), last_updated: table.timestamp, version: newest }));
        Checkpoint::new(&head, adds)
    }

    /// The table at a version, by the checkpoint before it and the versions since.
    fn replayed(&self, version: u64) -> Result<Option<Checkpoint>> {
        let versions = self.folder.versions()?;
        let base = versions.checkpoints.range(..version).next_back().copied();
        let former = base.map(|base| Checkpoint::read(&self.folder.checkpoint(base))).transpose()?;
        let mut head: [Option<Action>; 3] = [None, None, None];
        let mut note = |action: &Action| match action {
            Action::Protocol(_) => head[0] = Some(action.clone()),
            Action::MetaData(_) => head[1] = Some(action.clone()),
            Action::Txn(_) => head[2] = Some(action.clone()),
            _ => {}
        };
        if let Some(former) = &former {
            former.head()?.iter().for_each(&mut note);
        }
        let (mut added, mut removed): (Vec<Add>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
        for version in base.map_or(0, |base| base + 1)..=version {
            let Version::Own(actions) = self.folder.read(version, &self.app_id())? else { return Ok(None) };
            for action in actions {
                note(&action);
                match action {
                    Action::Add(add) => added.push(add),
                    Action::Remove(remove) => drop(removed.insert(remove.path)),
                    _ => {}
                }
            }
        }
        added.retain(|add| !removed.contains(&add.path));
        let head: Vec<Action> = head.into_iter().flatten().collect();
        Ok(Some(match former {
            Some(former) => former.next(&head, added, &removed)?,
            None => Checkpoint::new(&head, added)?,
        }))
    }
}
