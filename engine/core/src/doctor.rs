//! Whether a lake is what its records say: each record, the size and checksum of each file, and what lies beside them.
//!
//! Nothing is changed. Checked are the files that count: those of versions and batches that later ones have replaced, and
//! model files past their retention, may be gone, but those of versions that have a name or a tag.

mod named;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::catalog::SYSTEM_TABLES;
use crate::checkpoint::attempts::Attempts;
use crate::checkpoint::recovery::decide;
use crate::checkpoint::{JobKind, kind_of_records};
use crate::delta::examine as examine_delta;
use crate::error::suggestion;
use crate::error::{Error, Result};
use crate::files::entries;
use crate::lake::Lake;
use crate::records::RESTORE;
use crate::records::{Commit, Compaction, FileEntry, Learn, Plan, Record, RecordList, snapshot};
use crate::registry::AliasRecord;
use crate::table::read::verified_path;
use crate::table::versioned::carried_over;

/// What was looked at, and what is wrong.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Files whose bytes were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, by job.
    pub findings: Vec<Finding>,
    /// What is not wrong, and good to know.
    pub notes: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The job, as its schema in SQL.
    pub job: String,
    /// What it is about: `record`, `snapshot` (of the records), `file`, `beside` (a file that no record lists), or `delta` (a
    /// table's Delta log).
    pub about: &'static str,
    /// What is wrong, with the path.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

/// Looks at all of a lake, or at one job of it (by its name, or its schema's).
///
/// # Errors
/// User: there is no such lake, or no such job in it; Storage: the lake cannot be listed.
pub fn examine(lake: &Lake, job: Option<&str>) -> Result<Report> {
    let names = lake.schema_names()?;
    let chosen = match job.map(|job| job.replace('-', "_")) {
        None if names.is_empty() => {
            return Err(Error::user(format!("there is no lake at {}", lake.root().display()))
                .hint("name another one with --lake DIR"));
        }
        None => names,
        Some(name) if names.contains(&name) => vec![name],
        Some(name) => {
            let what = format!("the lake has nothing of the job `{name}`");
            return Err(Error::user(what).hint(suggestion(&name, "jobs there", &names)));
        }
    };
    let mut report = Report::default();
    for name in &chosen {
        let found = of_job(lake, name);
        report.records += found.records;
        report.files += found.files;
        report.bytes += found.bytes;
        report.findings.extend(found.findings);
        report.notes.extend(found.notes);
    }
    Ok(report)
}

/// Looks at one job. A driver beside it writes records, and moves files after them, between two of our looks: what is wrong
/// is looked at again a moment later, as often as the records move on, and only what is found each time is told.
fn of_job(lake: &Lake, job: &str) -> Report {
    let look = || {
        let mut report = Report::default();
        Examination { lake, job, report: &mut report }.all();
        report
    };
    let mut report = look();
    for _ in 0..LOOKS {
        if report.findings.is_empty() {
            break;
        }
        let before = newest_records(lake, job);
        std::thread::sleep(MOMENT);
        let again = look();
        let lasting = report.findings.iter().filter(|finding| again.findings.contains(finding));
        report = Report { findings: lasting.cloned().collect(), ..again };
        if newest_records(lake, job) == before {
            break;
        }
    }
    report
}

/// Times that a job is looked at again whose records move on.
const LOOKS: usize = 4;
/// Longer than files take to be moved to where a record has them, also where the disk is busy.
const MOMENT: Duration = Duration::from_millis(300);

/// The newest number of each list of a job.
fn newest_records(lake: &Lake, job: &str) -> [Option<u64>; 3] {
    let checkpoint = lake.checkpoint(job);
    // A list that cannot be read is a finding.
    let newest =
        |list: &str| RecordList::<Plan>::read_only(checkpoint.join(list)).latest().unwrap_or_default();
    ["offsets", "commits", "learn"].map(newest)
}

struct Examination<'a> {
    lake: &'a Lake,
    job: &'a str,
    report: &'a mut Report,
}

impl Examination<'_> {
    fn all(&mut self) {
        let plans = self.records::<Plan>("offsets");
        let commits = self.records::<Commit>("commits");
        let learned = self.records::<Learn>("learn");
        let compactions = self.records::<Compaction>("compactions");
        let newest = |numbers: Option<u64>| numbers.and_then(|end| end.checked_sub(1));
        let is_stream = matches!(kind_of_records(self.lake, self.job), Ok(Some(JobKind::Stream)));
        if is_stream && let Err(error) = decide(newest(plans.1), newest(commits.1), newest(learned.1)) {
            self.found("record", &error);
        }
        self.attempts(plans.1);
        self.replaced_plans(plans.1);
        let mut live: BTreeMap<String, FileEntry> = BTreeMap::new();
        let mut listed: BTreeSet<String> = BTreeSet::new();
        // Of a batch job, by the model: older ones may be gone.
        let mut models: BTreeMap<&str, Option<&FileEntry>> = BTreeMap::new();
        for commit in &commits.0 {
            commit.removed.iter().for_each(|file| drop(live.remove(&file.path)));
            for file in &commit.added {
                listed.insert(file.path.clone());
                if !file.table.starts_with("model:") {
                    live.insert(file.path.clone(), file.clone());
                }
            }
            let outcome = commit.model.as_ref().map(|model| &model.outcome);
            models.extend(outcome.map(|outcome| (outcome.name.as_str(), outcome.file.as_ref())));
        }
        for file in models.into_values().flatten() {
            live.insert(file.path.clone(), file.clone());
        }
        for file in learned.0.iter().flat_map(|record| &record.added) {
            listed.insert(file.path.clone());
            // Older models may be gone; those that count are of the newest record.
            if !file.table.starts_with("model:") {
                live.insert(file.path.clone(), file.clone());
            }
        }
        for compaction in &compactions.0 {
            compaction.removed().for_each(|file| drop(live.remove(&file.path)));
            for file in compaction.added() {
                listed.insert(file.path.clone());
                live.insert(file.path.clone(), file.clone());
            }
        }
        self.compactions(newest(compactions.1), learned.1);
        for model in learned.0.last().into_iter().flat_map(|record| &record.models) {
            // A start reads both.
            let challenger = model.challenger.as_ref().map(|challenger| &challenger.file);
            for file in model.file.iter().chain(challenger) {
                live.insert(file.path.clone(), file.clone());
            }
        }
        self.snapshots((&commits.0, commits.1), (&learned.0, learned.1), (&compactions.0, compactions.1));
        let aliases = self.records::<AliasRecord>("aliases").0;
        let learned = learned.0.iter().flat_map(|record| &record.added);
        let added: Vec<&FileEntry> =
            commits.0.iter().flat_map(|commit| &commit.added).chain(learned).collect();
        self.named_versions(&aliases, &added, &mut live);
        for file in live.values() {
            self.file(file);
        }
        // What became others stays for a while.
        let former = compactions.0.iter().flat_map(Compaction::removed).map(|file| file.path.as_str());
        self.beside(&live, &listed, &former.collect(), is_stream);
        let own = format!("{}.", self.job);
        let mut tables: BTreeMap<&str, Vec<FileEntry>> = BTreeMap::new();
        for file in live.values().filter(|file| file.table.starts_with(&own)) {
            tables.entry(&file.table).or_default().push(file.clone());
        }
        for (table, rows) in tables {
            let makes = |commit: &&Commit| is_stream || commit.added.iter().any(|file| file.table == table);
            let Some(newest) = commits.0.iter().rev().find(makes) else { continue };
            let root = (!is_stream).then(|| table.replacen('.', "/", 1));
            self.delta(newest, rows, root.as_deref(), &compactions.0);
        }
    }

    /// The Delta log of a table.
    fn delta(
        &mut self,
        newest: &Commit,
        mut rows: Vec<FileEntry>,
        root: Option<&str>,
        compactions: &[Compaction],
    ) {
        // What was compacted since, the version of the next batch says.
        let since = compactions.iter().rev().take_while(|of| of.committed > newest.batch_id);
        for merged in since.flat_map(|of| of.merged.iter().rev()) {
            if let Some(place) = rows.iter().position(|file| file.path == merged.into.path) {
                rows.splice(place..=place, merged.of.iter().cloned());
            }
        }
        let version = if root.is_some() { newest.version() } else { newest.batch_id };
        let found = examine_delta(self.lake, &newest.query_id, version, &rows, root);
        let job = self.job;
        let finding = |(problem, advice)| Finding { job: job.to_owned(), about: "delta", problem, advice };
        self.report.findings.extend(found.problems.into_iter().map(finding));
        self.report.notes.extend(found.note);
    }

    /// The records of a list, as far as they can be read, and one past the newest number where there is no gap.
    fn records<R: Record>(&mut self, list: &str) -> (Vec<R>, Option<u64>) {
        let records = RecordList::<R>::read_only(self.lake.checkpoint(self.job).join(list));
        let numbers = match records.numbers() {
            Ok(numbers) => numbers,
            Err(error) => {
                self.found("record", &error);
                return (Vec::new(), None);
            }
        };
        let mut read = Vec::new();
        for number in numbers.clone() {
            self.report.records += 1;
            match records.read(number) {
                Ok(record) => read.push(record),
                Err(error) => self.found("record", &error),
            }
        }
        (read, Some(numbers.end))
    }

    /// Attempts at batches, which the next start removes where those are committed.
    fn attempts(&mut self, plans: Option<u64>) {
        let attempts = Attempts::of(&self.lake.checkpoint(self.job));
        let all = match attempts.all() {
            Ok(all) => all,
            Err(error) => return self.found("record", &error),
        };
        for (batch, attempt, path) in all {
            self.report.records += 1;
            let advice = "it says only how often the batch was tried: remove it";
            match attempts.read(batch, attempt, &path) {
                Err(error) => self.found("record", &error.hint(advice)),
                Ok(_) if plans.is_some_and(|plans| batch >= plans) => {
                    let what = format!("{} is of a batch that was never planned", path.display());
                    self.found("record", &Error::corrupt(what).hint(advice));
                }
                Ok(_) => {}
            }
        }
    }

    /// Files are compacted once their batches are learned from.
    fn compactions(&mut self, newest: Option<u64>, learned: Option<u64>) {
        let Some((newest, learned)) = newest.zip(learned) else { return };
        if Compaction::due(newest) > learned {
            let place = self.lake.checkpoint(self.job).join(format!("compactions/{newest}.json"));
            let what = format!("{} is of batches that were never learned from", place.display());
            self.found("record", &Error::corrupt(what).hint(RESTORE));
        }
    }

    /// Plans that hold instead of others: each of a number has those before it beside it.
    fn replaced_plans(&mut self, plans: Option<u64>) {
        let list = RecordList::<Plan>::read_only(self.lake.checkpoint(self.job).join("offsets"));
        let all = match list.replacements() {
            Ok(all) => all,
            Err(error) => return self.found("record", &error),
        };
        let mut before = (0, 0);
        for (number, times, path) in all {
            self.report.records += 1;
            let follows = times == 1 || before == (number, times - 1);
            before = (number, times);
            if !follows || plans.is_some_and(|plans| number >= plans) {
                let what = format!("{} replaces a plan that is not there", path.display());
                let advice =
                    "records were deleted or renamed by hand: restore the checkpoint folder as a whole";
                self.found("record", &Error::corrupt(what).hint(advice));
            }
        }
    }

    /// Snapshots say what the records say that they begin with.
    fn snapshots(
        &mut self,
        commits: (&[Commit], Option<u64>),
        learned: (&[Learn], Option<u64>),
        compactions: (&[Compaction], Option<u64>),
    ) {
        let checkpoint = self.lake.checkpoint(self.job);
        match snapshot::faults(&checkpoint) {
            Ok(faults) => faults.iter().for_each(|(_, error)| self.found("snapshot", error)),
            Err(error) => self.found("snapshot", &error),
        }
        // What a record says that cannot be read is not known.
        let is_whole = |read: usize, end: Option<u64>| end == Some(read as u64);
        if !is_whole(commits.0.len(), commits.1)
            || !is_whole(learned.0.len(), learned.1)
            || !is_whole(compactions.0.len(), compactions.1)
        {
            return;
        }
        for (path, ledger) in snapshot::all(&checkpoint).unwrap_or_default() {
            self.report.records += 1;
            if !ledger.is_of(commits.0, learned.0, compactions.0) {
                self.found("snapshot", &snapshot::differs(&path));
            }
        }
    }

    fn file(&mut self, file: &FileEntry) {
        match verified_path(self.lake, file) {
            Ok(_) => {
                self.report.files += 1;
                self.report.bytes += file.bytes;
            }
            Err(error) => self.found("file", &error),
        }
    }

    /// What a glob over a table finds, and no record lists; and what is hidden there.
    fn beside(
        &mut self,
        live: &BTreeMap<String, FileEntry>,
        listed: &BTreeSet<String>,
        former: &BTreeSet<&str>,
        is_stream: bool,
    ) {
        let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let mut folders: BTreeSet<String> = live.keys().filter_map(|path| folder(path)).collect();
        if is_stream {
            // Also of what has been taken out again, and where no record of this checkpoint has a file.
            folders.extend(listed.iter().filter_map(|path| folder(path)));
            folders.extend(SYSTEM_TABLES.iter().map(|table| format!("system/{}/{}", table.name, self.job)));
        }
        for folder in folders.iter().filter(|folder| !folder.contains("/_models")) {
            let mut place = self.lake.resolve(folder);
            if let Some(moved) = carried_over(&format!("{folder}/")).filter(|_| !place.is_dir()) {
                place = self.lake.resolve(&moved);
            }
            let Ok(found) = entries(&place) else { continue };
            for path in found.iter().filter(|path| path.is_file()) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let place = format!("{folder}/{name}");
                let is_known = live.contains_key(&place) || former.contains(place.as_str());
                if !is_known && !is_of_engine(path, &name) {
                    self.report.findings.push(Finding {
                        job: self.job.to_owned(),
                        about: "beside",
                        problem: format!("{} is in no record", path.display()),
                        advice: "SQL here does not read it, a glob of another engine does: move it out"
                            .to_owned(),
                    });
                }
            }
        }
        if !is_stream {
            self.report.findings.extend(shown::findings(self.lake, self.job, live.values()));
        }
    }

    fn found(&mut self, about: &'static str, error: &Error) {
        self.report.findings.push(Finding {
            job: self.job.to_owned(),
            about,
            problem: error.to_string(),
            advice: error.next_step().unwrap_or("restore it from a copy of the lake").to_owned(),
        });
    }
}

/// Files of a state are removed some time after the record that says so.
fn is_of_engine(path: &Path, name: &str) -> bool {
    name.starts_with(".query.json") || path.components().any(|part| part.as_os_str() == "_checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::publish::{retire, roll_forward, stage};

    fn commit(lake: &Lake, number: u64, added: Vec<FileEntry>) {
        take_out_and_commit(lake, number, added, Vec::new());
    }

    fn take_out_and_commit(lake: &Lake, number: u64, added: Vec<FileEntry>, removed: Vec<FileEntry>) {
        let list = RecordList::<Commit>::open(lake.checkpoint("j").join("commits")).unwrap();
        let commit = Commit { added: added.clone(), removed, ..Commit::of_nothing(number) };
        list.create(number, &commit).unwrap();
        roll_forward(lake, &added).unwrap();
    }

    #[test]
    fn each_kind_of_damage_is_found_and_a_whole_lake_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        for number in 0..4 {
            let path = format!("j/t/batch-{number:08}.parquet");
            let file = stage(&lake, "j.t", &path, format!("rows {number}").as_bytes(), 1).unwrap();
            commit(&lake, number, vec![file]);
        }
        let whole = examine(&lake, Some("j")).unwrap();
        assert_eq!((whole.records, whole.files, whole.bytes), (4, 4, 24));
        assert_eq!(whole.findings, []);
        assert_eq!(examine(&lake, None).unwrap(), whole);
        assert!(examine(&lake, Some("k")).is_err());
        assert!(examine(&Lake::new(folder.path().join("none")), None).is_err());

        std::fs::write(lake.resolve("j/t/batch-00000000.parquet"), "").unwrap();
        std::fs::write(lake.resolve("j/t/batch-00000001.parquet"), "rows 9").unwrap();
        std::fs::remove_file(lake.resolve("j/t/batch-00000002.parquet")).unwrap();
        std::fs::write(lake.resolve("j/t/mine.parquet"), "x").unwrap();
        std::fs::write(lake.checkpoint("j").join("commits/3.json"), "{").unwrap();
        let report = examine(&lake, None).unwrap();
        let said: Vec<(&str, &str)> = report.findings.iter().map(|f| (f.about, f.problem.as_str())).collect();
        let wanted = [
            ("record", "3.json"),
            ("file", "batch-00000000.parquet has 0 bytes, its record says 6"),
            ("file", "batch-00000001.parquet is not what its record says"),
            ("file", "batch-00000002.parquet is listed but is not there"),
            ("beside", "mine.parquet is in no record"),
        ];
        for (about, problem) in wanted {
            assert!(said.iter().any(|s| s.0 == about && s.1.contains(problem)), "{problem}: {said:?}");
        }
        // The file of the record that cannot be read is in none.
        assert_eq!(said.len(), 6, "{said:?}");
        // Attempts are records too, of batches that are planned.
        let plans = lake.checkpoint("j").join("offsets");
        std::fs::create_dir_all(&plans).unwrap();
        (0..4).for_each(|number| std::fs::write(plans.join(format!("{number}.json")), "").unwrap());
        let attempts = Attempts::of(&lake.checkpoint("j"));
        attempts.begin(3, 2).unwrap();
        attempts.begin(4, 2).unwrap();
        let report = examine(&lake, None).unwrap();
        let of_attempts = |finding: &&Finding| finding.problem.contains("attempts/");
        let found: Vec<_> = report.findings.iter().filter(of_attempts).map(|f| &f.problem).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("4.2.json is of a batch that was never planned"), "{found:?}");
        assert!(report.findings.iter().all(|finding| !finding.advice.is_empty()));
        // And so are plans that replace others.
        for name in ["3.1", "2.2", "4.1"] {
            std::fs::write(plans.join(format!("{name}.json")), "").unwrap();
        }
        let report = examine(&lake, None).unwrap();
        let found = report.findings.iter().filter(|finding| finding.problem.contains("replaces a plan"));
        let found: Vec<_> =
            found.filter_map(|f| f.problem.split_whitespace().next()?.rsplit('/').next()).collect();
        assert_eq!(found, ["2.2.json", "4.1.json"]);
    }

    #[test]
    fn a_run_beside_it_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let mut former = Vec::new();
                for number in 0..150 {
                    let path = format!("j/t/VERSION-{number}.parquet");
                    let file = stage(&lake, "j.t", &path, b"rows", 1).unwrap();
                    take_out_and_commit(&lake, number, vec![file.clone()], former.clone());
                    retire(&lake, &former).unwrap();
                    former = vec![file];
                }
            });
            while !run.is_finished() {
                if lake.root().join("j/_checkpoint/commits").is_dir() {
                    assert_eq!(examine(&lake, None).unwrap().findings, []);
                }
            }
        });
    }
}
