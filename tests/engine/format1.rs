//! A lake whose records are of format 1: it is read as it is, and a driver or a run goes on with it.
//!
//! `fixtures/format1/lake.tar.gz` is such a lake, with the topics of its broker; `make.py` beside it says what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Commit, FORMAT, Learn, Plan, Record, RecordList};
use tidemill_core::registry::AliasRecord;
use tidemill_core::stream::{CrashPoint, Driver};
use tidemill_core::{ErrorKind, doctor};

use crate::support::{TestBroker, query, run, stream_all, texts, visible_files};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/engine/fixtures/format1");
const PER_BATCH: usize = 60;

/// What `make.py` left: `lake`, `broker` and `sales.csv` in a folder of their own.
fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("tar");
    let output = run(command.arg("xzf").arg(format!("{FIXTURE}/lake.tar.gz")).arg("-C").arg(folder.path()));
    assert!(output.status.success(), "{output:?}");
    folder
}

fn tidemill(lake: &Lake, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(lake.root()).args(["--project", &format!("{FIXTURE}/project")]).args(words);
    let output = run(command.env("TIDEMILL_BROKERS", "127.0.0.1:9"));
    let (out, err) = texts(&output);
    (output.status.code(), out, err)
}

fn done(lake: &Lake, words: &[&str]) -> String {
    let (code, out, err) = tidemill(lake, words);
    assert_eq!(code, Some(0), "{words:?}: {err}");
    out
}

fn job(name: &str, broker: &TestBroker) -> StreamJob {
    let environment = BTreeMap::from([("TIDEMILL_BROKERS".to_owned(), broker.address())]);
    let settings = Settings { sets: Vec::new(), environment };
    Project::open(Path::new(&format!("{FIXTURE}/project"))).stream_job(name, &settings).unwrap()
}

/// All files of a folder of the lake by their paths in it, but for locks.
fn files(lake: &Lake, folder: &str) -> BTreeMap<String, Vec<u8>> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => below(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    below(&lake.resolve(folder), &mut found);
    let name = |path: &Path| path.strip_prefix(lake.root()).unwrap().to_str().unwrap().to_owned();
    found.retain(|path| path.is_file() && path.file_name().is_some_and(|name| name != "lock"));
    found.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

fn list<R: Record>(lake: &Lake, job: &str, name: &str) -> Vec<R> {
    let list: RecordList<R> = RecordList::read_only(lake.checkpoint(job).join(name));
    list.numbers().unwrap().map(|number| list.read(number).unwrap()).collect()
}

fn formats(lake: &Lake, job: &str, name: &str) -> Vec<u64> {
    let folder = lake.checkpoint(job).join(name);
    let of = |number: usize| std::fs::read(folder.join(format!("{number}.json"))).ok();
    let texts = (0..).map_while(of);
    texts
        .map(|text| serde_json::from_slice::<serde_json::Value>(&text).unwrap()["format"].as_u64().unwrap())
        .collect()
}

fn identity(lake: &Lake, job: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(lake.checkpoint(job).join("query.json")).unwrap()).unwrap()
}

/// Rows of the first batches, as `make.py` makes them: those with a negative time are filtered, two cannot be read.
fn visits(batches: usize) -> usize {
    let is_letter = |number: &usize| number % PER_BATCH == 7 && *number < 2 * PER_BATCH;
    (0..batches * PER_BATCH).filter(|number| !is_letter(number) && number * 37 % 53 > 0).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_as_it_is_and_nothing_is_written() {
    let folder = unpacked();
    let lake = Lake::new(folder.path().join("lake"));
    let before = files(&lake, "");
    for (sql, expected) in [
        ("SELECT count(*) FROM visits.seen", visits(3).to_string()),
        ("SELECT sum(visits) FROM visits.totals", visits(3).to_string()),
        ("SELECT sum(payments) FROM spending.customers", (3 * PER_BATCH - 2).to_string()),
        ("SELECT count(*) FROM shop.clean", "120".to_owned()),
        ("SELECT count(*) FROM shop.returns_rows", "120".to_owned()),
        ("SELECT count(DISTINCT batch_id) FROM metrics WHERE job = 'visits'", "2".to_owned()),
        ("SELECT count(*) FROM system.dead_letters", "4".to_owned()),
        (
            "SELECT count(predict('visits.tree@champion', minutes, place)) FROM visits.seen",
            visits(3).to_string(),
        ),
    ] {
        assert_eq!(query(&lake, sql).await, [[expected]], "{sql}");
    }
    assert!(done(&lake, &["metrics", "visits"]).contains("tree"));
    assert!(done(&lake, &["models", "list"]).contains("returns"));
    assert!(done(&lake, &["models", "show", "visits", "tree@0"]).contains("champion"));
    assert_eq!(done(&lake, &["dlq", "show", "visits", "--format", "csv"]).lines().count(), 3);
    assert_eq!(doctor::examine(&lake, None).unwrap().findings, []);
    assert_eq!(files(&lake, ""), before);
    assert!(files(&lake, "").keys().any(|path| path == "visits/_checkpoint/offsets/3.json"));
}

/// What a stream has made, but for times and ids of runs.
fn made(lake: &Lake, job: &str) -> (BTreeMap<String, Vec<u8>>, Vec<String>, Vec<String>) {
    let mut kept = files(lake, job);
    kept.retain(|path, _| !path.contains("_checkpoint/") || path.contains("_checkpoint/state/"));
    let ranges =
        list::<Plan>(lake, job, "offsets").into_iter().map(|plan| format!("{:?}", plan.topic.partitions));
    let outcomes = list::<Learn>(lake, job, "learn").into_iter().flat_map(|record| record.models);
    let outcomes = outcomes.map(|mut outcome| {
        outcome.train_ms = 0.0;
        format!("{outcome:?}")
    });
    (kept, ranges.collect(), outcomes.collect())
}

/// Writes the records of a list as this version does.
fn write_anew<R: Record>(lake: &Lake, job: &str, name: &str) {
    let folder = lake.checkpoint(job).join(name);
    let records = list::<R>(lake, job, name);
    std::fs::remove_dir_all(&folder).unwrap();
    let list = RecordList::open(folder).unwrap();
    for (number, record) in (0..).zip(&records) {
        list.create(number, record).unwrap();
    }
}

/// The lake as it would be, had this version made it: tables and models are the same, no record is of format 1.
fn as_of_format_2(lake: &Lake) {
    for name in ["visits", "spending"] {
        write_anew::<Plan>(lake, name, "offsets");
        write_anew::<Commit>(lake, name, "commits");
        write_anew::<Learn>(lake, name, "learn");
        let mut identity = identity(lake, name);
        identity["format"] = FORMAT.into();
        std::fs::write(lake.checkpoint(name).join("query.json"), identity.to_string()).unwrap();
    }
    write_anew::<AliasRecord>(lake, "visits", "aliases");
}

/// How the driver dies that carries the lake over.
#[derive(Debug, Clone, Copy)]
enum Death {
    Never,
    Opened,
    Behind(CrashPoint),
}

fn is_before_commit(point: CrashPoint) -> bool {
    matches!(point, CrashPoint::Read | CrashPoint::Stage | CrashPoint::Commit)
}

/// However the driver dies that carries the lake over, the next one goes on, and what it makes is what a lake has that was never
/// of format 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_goes_on_with_it() {
    let folder = unpacked();
    let never = Lake::new(folder.path().join("lake"));
    as_of_format_2(&never);
    let broker = TestBroker::start_over(folder).await;
    let jobs = ["visits", "spending"].map(|name| (name, job(name, &broker)));
    for (_, job) in &jobs {
        stream_all(job, &never).await.unwrap();
    }
    let points =
        [CrashPoint::Read, CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Train, CrashPoint::Learn];
    for death in [Death::Never, Death::Opened].into_iter().chain(points.map(Death::Behind)) {
        let folder = unpacked();
        let lake = Lake::new(folder.path().join("lake"));
        let before = files(&lake, "");
        match death {
            Death::Never => {}
            Death::Opened => {
                drop(Driver::open(&jobs[0].1, &lake).await.unwrap());
                assert_eq!(identity(&lake, "visits")["format"], 1, "no record was written yet");
            }
            Death::Behind(point) => {
                let mut driver = Driver::open(&jobs[0].1, &lake).await.unwrap();
                driver.crash_after(3, point);
                let died = driver.recover(&mut |_| {}).await;
                assert!(died.is_err() || !is_before_commit(point), "{death:?}");
            }
        }
        for (_, job) in &jobs {
            stream_all(job, &lake).await.unwrap();
        }
        for (name, _) in &jobs {
            let (found, expected) = (made(&lake, name), made(&never, name));
            assert_eq!(
                found.0.keys().collect::<Vec<_>>(),
                expected.0.keys().collect::<Vec<_>>(),
                "{death:?}"
            );
            // A Delta log has the times of the plans, which are each lake's own.
            for (path, bytes) in found.0.iter().filter(|(path, _)| !path.contains("/_delta_log/")) {
                assert!(*bytes == expected.0[path], "{death:?}: {path} differs");
            }
            assert_eq!((found.1, found.2), (expected.1, expected.2), "{death:?} {name}");
        }
        // What was there has not changed, but for whose the checkpoint is; what came is of this version.
        let after = files(&lake, "");
        for (path, bytes) in
            before.iter().filter(|(path, _)| path.ends_with(".json") && !path.contains("query.json"))
        {
            assert!(after.get(path) == Some(bytes), "{death:?}: {path}");
        }
        let new = u64::from(FORMAT);
        assert_eq!(formats(&lake, "visits", "offsets"), [1, 1, 1, 1], "the plan that was there was run");
        assert_eq!(formats(&lake, "visits", "commits"), [1, 1, 1, new]);
        assert_eq!(formats(&lake, "visits", "learn"), [1, 1, new, new]);
        assert_eq!(formats(&lake, "spending", "offsets"), [1, 1, 1, new]);
        assert_eq!(formats(&lake, "spending", "learn"), [1, 1, new, new]);
        for (name, _) in &jobs {
            assert_eq!(identity(&lake, name)["format"], new);
            assert_eq!(list::<Commit>(&lake, name, "commits").len(), 4);
        }
        assert_eq!(identity(&lake, "shop")["format"], 1, "its turn has not come");
        let scores = "SELECT * FROM metric_values WHERE job <> 'shop' ORDER BY job, model, batch_id, evaluation, metric";
        assert_eq!(query(&lake, scores).await, query(&never, scores).await, "{death:?}");
        assert_eq!(query(&lake, "SELECT count(*) FROM visits.seen").await, [[visits(4).to_string()]]);
        assert_eq!(doctor::examine(&lake, None).unwrap().findings, [], "{death:?}");
    }
}

#[test]
fn a_run_goes_on_with_it_and_what_is_said_of_versions_has_the_format_of_the_lake() {
    let folder = unpacked();
    let lake = Lake::new(folder.path().join("lake"));
    let sales = folder.path().join("sales.csv");
    let before = files(&lake, "shop/_checkpoint/commits");
    // A driver of an older version may be running that reads this.
    done(&lake, &["models", "tag", "shop", "returns@0", "first"]);
    assert_eq!(
        (formats(&lake, "shop", "aliases"), identity(&lake, "shop")["format"].as_u64()),
        (vec![1], Some(1))
    );
    let text = std::fs::read_to_string(&sales).unwrap();
    std::fs::write(&sales, text.replace("119,", "219,")).unwrap();
    done(&lake, &["run", "shop", "--input", sales.to_str().unwrap()]);
    // Its tables were links into a folder of versions.
    let table = lake.resolve("shop/clean");
    assert!(!table.is_symlink() && !lake.resolve("shop/_versions").exists());
    assert_eq!(visible_files(&table), [table.join("batch-00000001.parquet")]);
    for version in 0..2 {
        let asked = format!("SELECT count(*) FROM shop.clean VERSION AS OF {version}");
        assert_eq!(done(&lake, &["sql", &asked, "--format", "csv"]), "count(*)\n120\n");
    }
    assert_eq!(doctor::examine(&lake, Some("shop")).unwrap().findings, []);
    let new = u64::from(FORMAT);
    assert_eq!(identity(&lake, "shop")["format"], new);
    done(&lake, &["models", "tag", "shop", "returns@1", "second"]);
    assert_eq!(formats(&lake, "shop", "aliases"), [1, new]);
    assert_eq!(formats(&lake, "shop", "commits"), [1, 1, new, new]);
    let after = files(&lake, "shop/_checkpoint/commits");
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    let shown = done(&lake, &["models", "history", "shop", "returns", "--format", "csv"]);
    assert!(shown.contains("first") && shown.contains("second"), "{shown}");
}

/// The older version goes on where this one could not.
#[test]
fn a_start_that_finds_no_broker_or_is_refused_leaves_the_lake_to_the_version_before() {
    let folder = unpacked();
    let lake = Lake::new(folder.path().join("lake"));
    let records = |lake: &Lake| -> Vec<_> {
        files(lake, "").into_iter().filter(|(path, _)| path.ends_with(".json")).collect()
    };
    let before = records(&lake);
    for (name, set) in [
        ("visits", "source.broker_timeout=1s"),
        ("spending", "source.broker_timeout=1s"),
        ("visits", "table.path=lake/visits/elsewhere"),
    ] {
        let (code, _, error) = tidemill(&lake, &["stream", name, "--available-now", "--set", set]);
        assert!(code.is_some_and(|code| code != 0), "{name} {set}: {code:?} {error}");
        assert_eq!(identity(&lake, name)["format"], 1, "{name} {set}: {error}");
        assert!(records(&lake) == before, "{name} {set}: {error}");
    }
}

/// As a lake of a format that this version does not know is refused, so does one that knows format 1 alone refuse a lake that
/// was carried over: by its `query.json`, before it writes anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_a_newer_format_is_refused_before_anything_is_written() {
    let folder = unpacked();
    let lake = Lake::new(folder.path().join("lake"));
    let broker = TestBroker::start_over(folder).await;
    for name in ["visits", "spending", "shop"] {
        let mut newer = identity(&lake, name);
        newer["format"] = (FORMAT + 1).into();
        std::fs::write(lake.checkpoint(name).join("query.json"), newer.to_string()).unwrap();
    }
    let before = files(&lake, "");
    for name in ["visits", "spending"] {
        let error = stream_all(&job(name, &broker), &lake).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let says = format!("query.json has format {}, this version reads 1 to {FORMAT}", FORMAT + 1);
        assert!(error.to_string().contains(&says), "{error}");
        assert!(error.next_step().unwrap().contains("a newer version"), "{error:?}");
    }
    let sales = lake.root().with_file_name("sales.csv");
    let (code, _, error) = tidemill(&lake, &["run", "shop", "--input", sales.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("a newer version"), "{code:?} {error}");
    let (code, _, error) = tidemill(&lake, &["models", "tag", "shop", "returns@0", "x"]);
    assert!(code == Some(1) && error.contains("a newer version"), "{code:?} {error}");
    assert_eq!(files(&lake, ""), before);
}
