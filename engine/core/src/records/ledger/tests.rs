use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::records::snapshot::{faults, write_at};
use crate::records::{Build, Merged, Record};

/// What a batch does.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It adds so many files of rows, and is learned from at once or later.
    Rows(usize, bool),
    /// It makes one file of some of the rows' or of a system table's: of how many in a row, from which share of them on.
    Compact(bool, usize, f64),
}

fn entry(table: &str, path: String) -> FileEntry {
    FileEntry { table: table.into(), path, rows: 3, bytes: 4, xxh3: "5".into() }
}

/// A lake of one job, and the files that count by table, each with the number by which it is sorted.
struct Written {
    lake: Lake,
    checkpoint: PathBuf,
    commits: u64,
    learned: u64,
    counts: BTreeMap<&'static str, Vec<(u64, FileEntry)>>,
}

const ROWS: &str = "j.t";
const METRICS: &str = "system.metrics";

impl Written {
    fn new(folder: &Path) -> Written {
        let lake = Lake::new(folder);
        let checkpoint = lake.checkpoint("j");
        Written { lake, checkpoint, commits: 0, learned: 0, counts: BTreeMap::new() }
    }

    fn write<R: Record>(&self, list: &str, number: u64, record: &R) {
        let folder = self.checkpoint.join(list);
        std::fs::create_dir_all(&folder).unwrap();
        let mut text = serde_json::to_value(record).unwrap();
        text["format"] = json!(crate::records::FORMAT);
        std::fs::write(folder.join(format!("{number}.json")), text.to_string()).unwrap();
    }

    fn step(&mut self, step: Step) {
        let number = self.commits;
        std::fs::create_dir_all(self.checkpoint.join("offsets")).unwrap();
        std::fs::write(self.checkpoint.join(format!("offsets/{number}.json")), "").unwrap();
        let mut commit = Commit::of_nothing(number);
        let mut learns = true;
        match step {
            Step::Rows(files, at_once) => {
                learns = at_once;
                commit.added = (0..files).map(|part| entry(ROWS, format!("j/t/{number}_{part}"))).collect();
                commit.added.push(entry("state:s", format!("j/_checkpoint/state/delta-{number}")));
            }
            Step::Compact(rows, several, from) => {
                let table = if rows { ROWS } else { METRICS };
                let files = self.counts.entry(table).or_default();
                let from = ((files.len() as f64 * from) as usize).min(files.len());
                let to = (from + several).min(files.len());
                let one = entry(table, format!("{table}/compacted-{number}"));
                if from < to {
                    let place = files[from].0;
                    commit.removed = files.drain(from..to).map(|(_, file)| file).collect();
                    commit.added = vec![one.clone()];
                    files.insert(from, (place, one));
                }
            }
        }
        if matches!(step, Step::Rows(..)) {
            let rows = commit.added.iter().filter(|file| file.table == ROWS);
            self.counts.entry(ROWS).or_default().extend(rows.map(|file| (number, file.clone())));
        }
        self.write("commits", number, &commit);
        self.commits += 1;
        while learns && self.learned < self.commits {
            let number = self.learned;
            let metrics = entry(METRICS, format!("system/metrics/j/{number}"));
            let model = entry("model:m", format!("j/_models/m/{number}"));
            let added = vec![model, metrics.clone()];
            let learn = json!({ "batch_id": number, "query_id": "q", "models": [], "added": added });
            self.write("learn", number, &serde_json::from_value::<Learn>(learn).unwrap());
            self.learned += 1;
            self.counts.entry(METRICS).or_default().push((number, metrics));
        }
    }

    fn check(&self) {
        let ledger = Ledger::of(&self.lake, "j").unwrap();
        assert_eq!((ledger.commits(), ledger.learned()), (self.commits, self.learned));
        for table in [ROWS, METRICS] {
            let found: Vec<&str> = ledger.files(table).iter().map(|l| l.file.path.as_str()).collect();
            let counts = self.counts.get(table).into_iter().flatten();
            assert_eq!(found, counts.map(|(_, file)| file.path.as_str()).collect::<Vec<_>>());
        }
        assert!(ledger.files("model:m").is_empty() && ledger.files("state:s").is_empty());
        // Anew, from whichever snapshot there is, it is the same.
        KNOWN.lock().unwrap().remove(&self.checkpoint);
        assert_eq!(Ledger::of(&self.lake, "j").unwrap(), ledger);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..3, any::<bool>()).prop_map(|(files, learns)| Step::Rows(files, learns)),
        1 => (any::<bool>(), 2usize..6, 0.0..1.0).prop_map(|(rows, several, from)| Step::Compact(rows, several, from)),
    ];
    proptest::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Snapshot and tail say what all records say, and what was done; so does who goes on from what was read before.
    #[test]
    fn a_snapshot_with_its_tail_is_the_fold_of_all(steps in steps(), every in 1u64..9) {
        let folder = tempfile::tempdir().unwrap();
        let mut written = Written::new(folder.path());
        for step in steps {
            written.step(step);
            // As a driver does: once all up to there is learned from, which may be later than its commit.
            let due = written.learned - written.learned % every;
            if due > 0 {
                write_at(&written.checkpoint, due - 1).unwrap();
            }
            written.check();
        }
        prop_assert!(std::fs::read_dir(written.checkpoint.join("snapshots")).map_or(0, Iterator::count) <= 2);
        prop_assert!(faults(&written.checkpoint).unwrap().is_empty());
        let all = |list: &str, count| (0..count).map(|number| {
            let path = written.checkpoint.join(list).join(format!("{number}.json"));
            std::fs::read_to_string(path).unwrap()
        }).collect::<Vec<_>>();
        let read = |texts: Vec<String>| texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect::<Vec<Commit>>();
        let learned: Vec<Learn> = all("learn", written.learned).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        for (_, ledger) in snapshot::all(&written.checkpoint).unwrap() {
            prop_assert!(ledger.is_of(&read(all("commits", written.commits)), &learned, &[]));
        }
    }
}

/// Thirty batches, of which the first twenty are in snapshots.
fn thirty(folder: &Path) -> Written {
    let mut written = Written::new(folder);
    for number in 0..30 {
        written.step(Step::Rows(1, true));
        if number == 9 || number == 19 {
            write_at(&written.checkpoint, number).unwrap();
        }
    }
    written
}

#[test]
fn what_is_no_snapshot_of_these_records_is_not_taken_for_one() {
    type Harm = (&'static str, fn(&Path));
    let harm: [Harm; 5] = [
        ("is not whole", |checkpoint| {
            let path = checkpoint.join("snapshots/19.json");
            let text = std::fs::read(&path).unwrap();
            std::fs::write(path, &text[..text.len() / 2]).unwrap();
        }),
        ("is not whole", |checkpoint| std::fs::write(checkpoint.join("snapshots/19.json"), "").unwrap()),
        ("is the snapshot of batch 9", |checkpoint| {
            std::fs::copy(checkpoint.join("snapshots/9.json"), checkpoint.join("snapshots/19.json")).unwrap();
        }),
        ("is of other records than those", |checkpoint| {
            let path = checkpoint.join("commits/19.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text.replace("\"q\"", "\"another\"")).unwrap();
        }),
        ("has format 9, this version reads 2", |checkpoint| {
            let path = checkpoint.join("snapshots/19.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text.replacen("\"format\":2", "\"format\":9", 1)).unwrap();
        }),
    ];
    for (what, harm) in harm {
        let folder = tempfile::tempdir().unwrap();
        let written = thirty(folder.path());
        harm(&written.checkpoint);
        KNOWN.lock().unwrap().remove(&written.checkpoint);
        written.check();
        let found = faults(&written.checkpoint).unwrap();
        assert!(found.len() == 1 && found[0].1.to_string().contains(what), "{what}: {found:?}");
        assert!(found[0].1.next_step().is_some());
        snapshot::mend(&written.checkpoint, 30);
        assert!(faults(&written.checkpoint).unwrap().is_empty(), "{what}");
        written.check();
    }
}

#[test]
fn an_older_checkpoint_that_was_put_back_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = thirty(folder.path());
    written.check();
    for list in ["offsets", "commits", "learn"] {
        for number in 15..30 {
            std::fs::remove_file(written.checkpoint.join(list).join(format!("{number}.json"))).unwrap();
        }
    }
    (written.commits, written.learned) = (15, 15);
    written.counts.values_mut().for_each(|files| files.truncate(15));
    // Also where the same process has read more of them.
    assert_eq!(Ledger::of(&written.lake, "j").unwrap().commits(), 15);
    written.check();
    let found = faults(&written.checkpoint).unwrap();
    assert!(found[0].1.to_string().contains("19.json is newer than the records"), "{found:?}");
    // It goes on with other batches than those that were there.
    (0..10).for_each(|_| written.step(Step::Rows(2, true)));
    written.check();
    let found = faults(&written.checkpoint).unwrap();
    assert!(found[0].1.to_string().contains("19.json is of other records"), "{found:?}");
    snapshot::mend(&written.checkpoint, 25);
    assert!(faults(&written.checkpoint).unwrap().is_empty());
    written.check();
}

#[test]
fn a_record_that_was_deleted_behind_the_snapshot_is_missed() {
    for (list, gone) in [("commits", 22..23), ("commits", 21..28), ("learn", 25..26), ("learn", 24..29)] {
        let folder = tempfile::tempdir().unwrap();
        let written = thirty(folder.path());
        for number in gone.clone() {
            std::fs::remove_file(written.checkpoint.join(list).join(format!("{number}.json"))).unwrap();
        }
        let error = Ledger::of(&written.lake, "j").unwrap_err().to_string();
        assert!(error.contains("records though the newest is 29"), "{list} {gone:?}: {error}");
    }
}

#[test]
fn a_batch_job_has_all_its_tables_and_the_files_of_the_newest_versions() {
    let folder = tempfile::tempdir().unwrap();
    let written = Written::new(folder.path());
    let mut former: BTreeMap<&str, Vec<FileEntry>> = BTreeMap::new();
    for (number, table) in ["a", "b", "a", "a", "b"].into_iter().enumerate() {
        let added = vec![
            entry(&format!("j.{table}"), format!("j/_versions/{table}/{number}/k=1/0.parquet")),
            entry(&format!("export:j.{table}"), format!("j/_versions/{table}/{number}/0.csv")),
        ];
        let build = Build {
            table: format!("j.{table}"),
            version: None,
            fingerprint: String::new(),
            built_at: String::new(),
            partition_columns: vec![("k".into(), "Int64".into()); usize::from(table == "a")],
            inputs: Vec::new(),
        };
        let removed = former.insert(table, added.clone()).unwrap_or_default();
        let number = number as u64;
        let commit = Commit { added, removed, build: Some(build), ..Commit::of_nothing(number) };
        written.write("commits", number, &commit);
        if number == 2 {
            write_at(&written.checkpoint, number).unwrap();
        }
    }
    for _ in 0..2 {
        let ledger = Ledger::of(&written.lake, "j").unwrap();
        assert_eq!(ledger.names("j").collect::<Vec<_>>(), ["a", "b"]);
        let paths: Vec<&str> = ledger.rows().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["j/_versions/a/3/k=1/0.parquet", "j/_versions/b/4/k=1/0.parquet"]);
        assert_eq!(ledger.partition_columns("j.a"), [("k".to_owned(), "Int64".to_owned())]);
        assert!(ledger.partition_columns("j.b").is_empty());
        std::fs::remove_dir_all(written.checkpoint.join("snapshots")).ok();
        KNOWN.lock().unwrap().remove(&written.checkpoint);
    }
    std::fs::remove_file(written.checkpoint.join("commits/3.json")).unwrap();
    KNOWN.lock().unwrap().remove(&written.checkpoint);
    assert!(Ledger::of(&written.lake, "j").unwrap_err().to_string().contains("holds 4 records"));
}

/// The record of a compaction that makes one file of those of each table of these batches.
fn compacted(number: u64, ledger: &Ledger) -> Compaction {
    let batches = Compaction::first_batch(number)..Compaction::due(number);
    let merged = [ROWS, METRICS].map(|table| Merged {
        first: batches.start,
        last: batches.end - 1,
        into: entry(table, format!("{table}/compacted-{number}")),
        of: {
            let files = ledger.files(table).iter().filter(|listed| batches.contains(&listed.record));
            files.map(|listed| listed.file.clone()).collect()
        },
    });
    Compaction { number, query_id: "q".into(), committed: ledger.commits(), merged: merged.to_vec() }
}

#[test]
fn a_compaction_puts_one_file_in_the_place_of_others_whenever_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Written::new(folder.path());
    let now = |written: &Written| Ledger::of(&written.lake, "j").unwrap();
    let anew = |written: &Written| {
        KNOWN.lock().unwrap().remove(&written.checkpoint);
        Ledger::of(&written.lake, "j").unwrap()
    };
    let paths = |ledger: &Ledger, table: &str| {
        ledger.files(table).iter().map(|listed| listed.file.path.clone()).collect::<Vec<_>>()
    };
    for _ in 0..130 {
        written.step(Step::Rows(1, true));
    }
    let before = now(&written);
    let record = compacted(0, &before);
    written.write("compactions", 0, &record);
    assert_eq!(now(&written), anew(&written));
    assert_eq!((now(&written).compactions(), paths(&now(&written), ROWS).len()), (1, 31));
    assert_eq!(paths(&now(&written), ROWS)[..2], ["j.t/compacted-0".to_owned(), "j/t/100_0".to_owned()]);
    assert_eq!(paths(&now(&written), METRICS)[0], "system.metrics/compacted-0");
    // So is a snapshot, which holds as long as the record is the same.
    write_at(&written.checkpoint, 99).unwrap();
    assert_eq!(now(&written), anew(&written));
    let at = written.checkpoint.join("compactions/0.json");
    let text = std::fs::read_to_string(&at).unwrap();
    std::fs::write(&at, text.replace("\"committed\":130", "\"committed\":131")).unwrap();
    assert_eq!(faults(&written.checkpoint).unwrap().len(), 1);
    std::fs::write(&at, text).unwrap();
    assert!(faults(&written.checkpoint).unwrap().is_empty());
    // As it was in the midst of what became one it is read by that, which has later rows too; else by the files of then.
    let until = |batches| Ledger::until(&written.checkpoint, batches).unwrap();
    assert_eq!(paths(&until(40), ROWS), ["j.t/compacted-0"]);
    assert!(until(40).reaches_beyond(ROWS, 40) && !until(100).reaches_beyond(ROWS, 100));
    assert_eq!(paths(&until(102), ROWS), ["j.t/compacted-0", "j/t/100_0", "j/t/101_0"]);

    for _ in 130..200 {
        written.step(Step::Rows(1, true));
    }
    // A record that takes what no table has is none of these tables.
    let mut other = compacted(1, &now(&written));
    other.merged[0].of[0].path = "elsewhere".into();
    written.write("compactions", 1, &other);
    let error = Ledger::of(&written.lake, "j").unwrap_err().to_string();
    assert!(error.contains("compactions/1.json takes 200 files out of tables, which have 199"), "{error}");
}
