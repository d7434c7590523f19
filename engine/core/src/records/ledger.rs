//! What the records of a job say together: which files its tables consist of.
//!
//! It is folded from commits and learn records in the order of their batches, and begins at the newest [snapshot] that is of
//! these records, so that a look costs what came since, whatever the number of batches:
//!
//! ```text
//! snapshots/9899.json ─┐
//! commits/9900 … 9953 ─┼─> Ledger: j.t [batch-00000000.parquet, …], system.metrics […], …
//! learn/9900 … 9953  ──┤
//! compactions/99  ─────┘
//! ```
//!
//! A compaction puts a file in the place of others, which are of batches that were learned from: it is taken once these are
//! there, and the tables are the same however many batches came since.
//!
//! Where a list ends is found without listing its folder: the record after the last is asked for. A process keeps what it has
//! read and goes on from there, unless the last records are not those that they were: then it reads all again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Commit, Compaction, FileEntry, Learn, Plan, RecordList, snapshot};
use crate::error::{Error, Result};
use crate::lake::Lake;

/// The tables of a job after so many batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The query that the records are of; empty without any.
    pub(super) query_id: String,
    /// How many commits were folded: those from 0.
    pub(super) commits: u64,
    /// How many learn records; no more than commits.
    pub(super) learned: u64,
    /// How many compactions.
    pub(super) compactions: u64,
    /// By table as in SQL: the files that it consists of, in the order of their batches.
    pub(super) tables: BTreeMap<String, Vec<Listed>>,
    /// The tables of the job itself, as in SQL: of a batch job all that it ever had.
    pub(super) names: BTreeSet<String>,
    /// By table: the columns that are in the names of its files' folders, and their types as Arrow names them.
    pub(super) partition_columns: BTreeMap<String, Vec<(String, String)>>,
}

/// A file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The number of the record that lists it; of one that a compaction has made, the first batch with rows in it.
    pub record: u64,
    /// The last batch with rows in it.
    pub last: u64,
    /// The file.
    pub file: FileEntry,
}

/// The records that a ledger is folded from.
struct Lists {
    plans: RecordList<Plan>,
    commits: RecordList<Commit>,
    learn: RecordList<Learn>,
    compactions: RecordList<Compaction>,
}

impl Lists {
    fn of(checkpoint: &Path) -> Lists {
        Lists {
            plans: RecordList::read_only(checkpoint.join("offsets")),
            commits: RecordList::read_only(checkpoint.join("commits")),
            learn: RecordList::read_only(checkpoint.join("learn")),
            compactions: RecordList::read_only(checkpoint.join("compactions")),
        }
    }
}

/// By checkpoint: what this process has read, and how the last records looked.
static KNOWN: Mutex<BTreeMap<PathBuf, (Arc<Ledger>, Stamps)>> = Mutex::new(BTreeMap::new());

/// How the last commit, learn record and compaction look to the file system.
type Stamps = [Option<(u64, std::time::SystemTime)>; 3];

impl Ledger {
    /// The tables of a job as they are now, or as the lake is read.
    ///
    /// # Errors
    /// Storage; Corrupt: a record cannot be read, or is missing.
    pub fn of(lake: &Lake, schema_name: &str) -> Result<Arc<Ledger>> {
        let checkpoint = lake.checkpoint(schema_name);
        if let Some(batches) = lake.batches(schema_name) {
            return Ledger::until(&checkpoint, batches).map(Arc::new);
        }
        // Held to the end: what two want to know at once is read once.
        let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.remove(&checkpoint).filter(|(ledger, stamps)| ledger.stamps(&checkpoint) == *stamps);
        let mut ledger = match known {
            Some((ledger, _)) => ledger,
            None => Arc::new(snapshot::newest(&checkpoint, u64::MAX).unwrap_or_default()),
        };
        let lists = Lists::of(&checkpoint);
        if ledger.is_behind(&lists)? {
            Arc::make_mut(&mut ledger).follow(&lists)?;
        }
        let stamps = ledger.stamps(&checkpoint);
        all.insert(checkpoint, (ledger.clone(), stamps));
        Ok(ledger)
    }

    /// The tables as they were after so many batches, all of them learned from where the job learns.
    ///
    /// # Errors
    /// As [`Ledger::of`]; a record of those is not there.
    pub(super) fn after(checkpoint: &Path, batches: u64) -> Result<Ledger> {
        let lists = Lists::of(checkpoint);
        let mut ledger = snapshot::newest(checkpoint, batches).unwrap_or_default();
        // A batch job plans nothing, and learns nothing beside its commits.
        let is_stream = lists.plans.has(0);
        while ledger.commits < batches {
            ledger.take_commit(lists.commits.read(ledger.commits)?);
            if is_stream {
                ledger.take_learn(lists.learn.read(ledger.learned)?);
            }
        }
        ledger.follow_compactions(&lists)?;
        Ok(ledger)
    }

    /// The tables as they were after so many batches, of which the last may not be learned from yet. Files that were compacted
    /// with those of later batches may be gone: what they have become is there instead, and [`Listed::last`] says so.
    fn until(checkpoint: &Path, batches: u64) -> Result<Ledger> {
        let lists = Lists::of(checkpoint);
        let mut ledger = snapshot::newest(checkpoint, batches).unwrap_or_default();
        while ledger.commits < batches
            && let Some(commit) = lists.commits.find(ledger.commits)?
        {
            ledger.take_commit(commit);
            if let Some(learn) = lists.learn.find(ledger.learned)? {
                ledger.take_learn(learn);
            }
        }
        ledger.follow_compactions(&lists)?;
        for number in batches.checked_sub(1).map(Compaction::taking).unwrap_or_default() {
            if number >= ledger.compactions
                && let Some(compaction) = lists.compactions.find(number)?
            {
                ledger.replace(&compaction);
            }
        }
        Ok(ledger)
    }

    /// Whether there are records that it has not, or may be: none is missing among those that come after it.
    fn is_behind(&self, lists: &Lists) -> Result<bool> {
        if lists.commits.has(self.commits) || self.learned < self.commits && lists.learn.has(self.learned) {
            return Ok(true);
        }
        if Compaction::due(self.compactions) <= self.learned && lists.compactions.has(self.compactions) {
            return Ok(true);
        }
        // A stream plans what it commits, one batch ahead, so that a commit that was deleted by hand has a plan after its own.
        let last = self.commits.checked_sub(1);
        let is_stream = last.is_some_and(|last| lists.plans.has(last));
        let is_beyond = |numbers: std::ops::Range<u64>, known| numbers.end > known;
        if (!is_stream || lists.plans.has(self.commits + 1))
            && is_beyond(lists.commits.numbers()?, self.commits)
        {
            return Ok(true);
        }
        // Learning is behind: for now, or because a record is gone.
        Ok(self.learned + 1 < self.commits && is_beyond(lists.learn.numbers()?, self.learned))
    }

    /// Takes the records that have come since. Before a commit the learn records are taken of the batches before it: what a
    /// commit takes away of theirs was there before it.
    fn follow(&mut self, lists: &Lists) -> Result<()> {
        loop {
            while self.learned < self.commits
                && let Some(learn) = lists.learn.find(self.learned)?
            {
                self.take_learn(learn);
            }
            self.follow_compactions(lists)?;
            match lists.commits.find(self.commits)? {
                Some(commit) => self.take_commit(commit),
                None if self.is_behind(lists)? => {}
                None => return Ok(()),
            }
        }
    }

    /// Takes the compactions of batches that were learned from.
    fn follow_compactions(&mut self, lists: &Lists) -> Result<()> {
        while Compaction::due(self.compactions) <= self.learned
            && let Some(compaction) = lists.compactions.find(self.compactions)?
        {
            self.take_compaction(&compaction)?;
        }
        Ok(())
    }

    pub(super) fn take_compaction(&mut self, compaction: &Compaction) -> Result<()> {
        let taken = self.replace(compaction);
        let wanted = compaction.removed().count();
        if taken != wanted {
            let number = compaction.number;
            return Err(Error::corrupt(format!(
                "compactions/{number}.json takes {wanted} files out of tables, which have {taken} of them"
            ))
            .hint(format!("a record was deleted or copied by hand: {}", super::RESTORE)));
        }
        self.compactions += 1;
        Ok(())
    }

    /// Puts files in the place of those that they were made of, as far as these are listed, and says how many were.
    fn replace(&mut self, compaction: &Compaction) -> usize {
        let mut taken = 0;
        for merged in &compaction.merged {
            let Some(files) = self.tables.get_mut(&merged.into.table) else { continue };
            let of: HashSet<&str> = merged.of.iter().map(|file| file.path.as_str()).collect();
            let is_taken = |listed: &Listed| of.contains(listed.file.path.as_str());
            let Some(place) = files.iter().position(is_taken) else { continue };
            let before = files.len();
            files.retain(|listed| !is_taken(listed));
            taken += before - files.len();
            let file = merged.into.clone();
            files.insert(place, Listed { record: merged.first, last: merged.last, file });
        }
        taken
    }

    pub(super) fn take_commit(&mut self, commit: Commit) {
        self.query_id = commit.query_id;
        self.commits += 1;
        let removed: HashSet<&str> = commit.removed.iter().map(|file| file.path.as_str()).collect();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for table in commit.removed.iter().map(|file| file.table.as_str()).collect::<BTreeSet<_>>() {
            let Some(files) = self.tables.get_mut(table) else { continue };
            let is_removed = |listed: &Listed| removed.contains(listed.file.path.as_str());
            places.extend(files.iter().position(is_removed).map(|place| (table, place)));
            files.retain(|listed| !is_removed(listed));
        }
        // A stream writes rows that it has anew, which stay where they were among the others.
        let is_stream = commit.build.is_none();
        let mut own: BTreeSet<String> = BTreeSet::new();
        for file in commit.added.into_iter().filter(is_of_table) {
            if !file.table.starts_with("system.") {
                own.insert(file.table.clone());
            }
            let place = places.get_mut(file.table.as_str()).filter(|_| is_stream);
            let files = self.tables.entry(file.table.clone()).or_default();
            let listed = Listed { record: commit.batch_id, last: commit.batch_id, file };
            match place {
                Some(place) => {
                    files.insert(*place, listed);
                    *place += 1;
                }
                None => files.push(listed),
            }
        }
        if is_stream && !own.is_empty() {
            self.names.clear();
        }
        self.names.extend(own);
        if let Some(build) = commit.build {
            self.partition_columns.insert(build.table, build.partition_columns);
        }
    }

    pub(super) fn take_learn(&mut self, learn: Learn) {
        self.learned += 1;
        for file in learn.added.into_iter().filter(is_of_table) {
            let files = self.tables.entry(file.table.clone()).or_default();
            files.push(Listed { record: learn.batch_id, last: learn.batch_id, file });
        }
    }

    /// Whether it is what these records say that it was folded from; they are all from the first on.
    pub(crate) fn is_of(&self, commits: &[Commit], learned: &[Learn], compactions: &[Compaction]) -> bool {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let Some(commits) = commits.get(..count(self.commits)) else { return false };
        let Some(learned) = learned.get(..count(self.learned)) else { return false };
        let Some(compactions) = compactions.get(..count(self.compactions)) else { return false };
        let (mut ledger, mut learned) = (Ledger::default(), learned.iter());
        for commit in commits {
            ledger.take_commit(commit.clone());
            learned.next().into_iter().for_each(|learn| ledger.take_learn(learn.clone()));
        }
        compactions.iter().all(|of| ledger.take_compaction(of).is_ok()) && ledger == *self
    }

    fn stamps(&self, checkpoint: &Path) -> Stamps {
        let lists = [("commits", self.commits), ("learn", self.learned), ("compactions", self.compactions)];
        lists.map(|(list, count)| {
            let path = checkpoint.join(list).join(format!("{}.json", count.checked_sub(1)?));
            let found = std::fs::metadata(path).ok()?;
            Some((found.len(), found.modified().ok()?))
        })
    }

    /// How many batches are committed.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// How many batches are learned from.
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// How many compactions were made.
    pub(crate) fn compactions(&self) -> u64 {
        self.compactions
    }

    /// All tables with the files that they consist of.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &[Listed])> {
        self.tables.iter().map(|(table, files)| (table.as_str(), files.as_slice()))
    }

    /// Whether files of a table have rows of later batches too, where it is the ledger of so many.
    pub(crate) fn reaches_beyond(&self, table: &str, batches: u64) -> bool {
        self.files(table).iter().any(|listed| listed.last >= batches)
    }

    /// The files that a table consists of, in the order of their batches; `table` as in SQL, with its schema.
    pub fn files(&self, table: &str) -> &[Listed] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// Names of the tables of rows that the job has or, in a batch job, has had, without their schema.
    pub fn names<'a>(&'a self, schema_name: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{schema_name}.");
        self.names.iter().filter_map(move |table| table.strip_prefix(prefix.as_str()))
    }

    /// The columns of a table that are in the names of its files' folders.
    pub fn partition_columns(&self, table: &str) -> &[(String, String)] {
        self.partition_columns.get(table).map_or(&[], Vec::as_slice)
    }

    /// The files of rows of the job, of its one table in the order of their batches.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &FileEntry> {
        self.names.iter().flat_map(|table| self.files(table)).map(|listed| &listed.file)
    }

    /// The newest file of rows of a stream.
    pub fn newest_rows(&self) -> Option<&FileEntry> {
        self.rows().next_back()
    }
}

/// Models, states and exports are listed too, and are in no table.
fn is_of_table(file: &FileEntry) -> bool {
    !file.table.contains(':')
}

#[cfg(test)]
mod tests;
