//! The many small files of a stream become few: whenever the driver dies at it, and whoever reads meanwhile, nothing else
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidemill_core::doctor::examine;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::{CrashPoint, replay};

use crate::delta;
use crate::support::{TestBroker, die_after, query, run, stream_all, texts, tidemill, visible_files};

/// Two compactions, and what is left for a third.
const BATCHES: usize = 203;

/// A job without models, of three messages a batch, of which one cannot be read.
fn job(folder: &Path, broker: &TestBroker, retained: &str) -> StreamJob {
    std::fs::create_dir_all(folder.join("jobs")).unwrap();
    let toml = "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"seen\" }\nformat = \"json\"\n\
        schema = \"schema.sql\"\nmax_offsets_per_trigger = 3\n[table]\npath = \"lake/seen/rows\"\n";
    std::fs::write(folder.join("jobs/seen.toml"), toml).unwrap();
    std::fs::write(folder.join("schema.sql"), "CREATE TABLE seen (n INT)").unwrap();
    let sets = [("source.kafka.bootstrap_servers", &*broker.address()), ("table.retain_removed", retained)];
    let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Project::open(folder).stream_job("seen", &Settings { sets, environment: BTreeMap::new() }).unwrap()
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("seen", 1).await;
    let message = |n: usize| match n % 3 {
        2 => format!("bad {n}"),
        _ => format!(r#"{{"n":{n}}}"#),
    };
    let messages: Vec<_> = (0..3 * BATCHES).map(|n| Some(message(n).into_bytes())).collect();
    broker.send("seen", 1, &messages);
    broker
}

/// Files of a folder with their bytes.
fn files(lake: &Lake, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let found = visible_files(&lake.resolve(folder));
    found.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// What does not depend on how long things take.
fn essence(lake: &Lake) -> Vec<(String, BTreeMap<String, Vec<u8>>)> {
    let folders = ["seen/rows", "system/dead_letters/seen", "seen/_checkpoint/former"];
    let mut all = folders.map(|folder| (folder.to_owned(), files(lake, folder))).to_vec();
    // Of those of `system.batches`, which say how long things took, the names.
    all[2].1.retain(|name, _| name.contains("dead_letters"));
    let batches = files(lake, "system/batches/seen").into_keys().map(|name| (name, Vec::new()));
    all.push(("system/batches/seen".to_owned(), batches.collect()));
    let log = delta::essence(lake).into_iter().map(|(name, text)| (name, text.into_bytes()));
    all.push(("seen/rows/_delta_log".to_owned(), log.collect()));
    all
}

fn assert_same(lake: &Lake, expected: &[(String, BTreeMap<String, Vec<u8>>)], what: &str) {
    for ((folder, found), (_, wanted)) in essence(lake).iter().zip(expected) {
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{what}: {folder}");
        let differs: Vec<_> = found.iter().filter(|(name, bytes)| wanted[*name] != **bytes).collect();
        assert!(differs.is_empty(), "{what}: {folder}: {:?}", differs[0].0);
    }
}

const ALL: &str = "SELECT (SELECT concat(count(*), ' ', sum(n), ' ', count(DISTINCT _offset)) FROM rows) AS rows, \
    (SELECT concat(count(*), ' ', count(DISTINCT \"offset\")) FROM system.dead_letters) AS letters, \
    (SELECT concat(count(*), ' ', count(DISTINCT batch_id)) FROM system.batches) AS batches";

/// What the statement answers when so many batches are there.
fn answer(batches: usize) -> Vec<String> {
    let sum: usize = (0..3 * batches).filter(|n| n % 3 != 2).sum();
    vec![
        format!("{} {sum} {}", 2 * batches, 2 * batches),
        format!("{batches} {batches}"),
        format!("{batches} {batches}"),
    ]
}

fn findings(lake: &Lake) -> Vec<String> {
    examine(lake, None).unwrap().findings.into_iter().map(|finding| finding.problem).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_a_compaction_changes_nothing() {
    let (broker, folder) = (broker().await, tempfile::tempdir().unwrap());
    let job = job(folder.path(), &broker, "0s");
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let untouched = lake("untouched");
    stream_all(&job, &untouched).await.unwrap();
    let expected = essence(&untouched);
    let letters: Vec<&String> = expected[1].1.keys().collect();
    assert_eq!(
        letters,
        [
            "batch-00000000.compact-00000000.parquet",
            "batch-00000100.compact-00000001.parquet",
            "batch-00000200.parquet",
            "batch-00000201.parquet",
            "batch-00000202.parquet",
        ]
    );
    assert_eq!(query(&untouched, ALL).await, [answer(BATCHES)]);
    assert_eq!(findings(&untouched), [""; 0]);
    let crashes = CrashPoint::COMPACTION.map(|point| (199, point));
    for (batch, point) in crashes.into_iter().chain([(99, CrashPoint::Compaction)]) {
        let what = format!("crash after {point:?} of batch {batch}");
        let lake = lake(&format!("{batch}-{point:?}"));
        die_after(&job, &lake, batch, point).await;
        assert_eq!(query(&lake, ALL).await, [answer(batch as usize + 1)], "{what}");
        assert_eq!(findings(&lake), [""; 0], "{what}");
        stream_all(&job, &lake).await.unwrap();
        assert_same(&lake, &expected, &what);
        assert_eq!(query(&lake, ALL).await, [answer(BATCHES)], "{what}");
        assert_eq!(findings(&lake), [""; 0], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_beside_it_and_of_former_batches_answer_as_before() {
    let (broker, folder) = (broker().await, tempfile::tempdir().unwrap());
    let job = job(folder.path(), &broker, "0s");
    let lake = Lake::new(folder.path().join("lake"));
    let streaming = Arc::new(AtomicBool::new(true));
    let reader = {
        let (lake, streaming) = (lake.clone(), streaming.clone());
        tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while streaming.load(Ordering::Relaxed) {
                if lake.checkpoint("seen").join("learn/0.json").is_file() {
                    let rows = query(&lake, ALL).await.remove(0);
                    let batches: usize = rows[2].split(' ').next().unwrap().parse().unwrap();
                    // A batch is committed before it is learned from.
                    let committed =
                        answer(batches)[..2] == rows[..2] || answer(batches + 1)[..2] == rows[..2];
                    assert!(committed && answer(batches)[2] == rows[2], "{rows:?}");
                    seen.insert(batches);
                }
            }
            seen.len()
        })
    };
    stream_all(&job, &lake).await.unwrap();
    streaming.store(false, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 10);

    for batch in [0, 40, 99, 100, 150, 201] {
        let sql = ["sql", "--format", "csv", "--job", "seen", "--as-of-batch", &batch.to_string(), ALL];
        let output = run(tidemill(lake.root()).args(sql));
        let (out, errors) = texts(&output);
        assert!(output.status.success(), "{batch}: {errors}");
        assert_eq!(out.lines().last().unwrap(), answer(batch + 1).join(","), "{batch}");
    }
    // Each letter is fed again once, wherever it is by now.
    let replayed = replay::replay(&job, &lake, Arc::default(), &mut |_| {}).await.unwrap();
    assert_eq!((replayed.rows, replayed.dead_letters), (BATCHES as u64, BATCHES as u64));
    let rows = query(&lake, "SELECT count(*), count(DISTINCT \"offset\") FROM system.dead_letters").await;
    assert_eq!(rows, [[(2 * BATCHES).to_string(), BATCHES.to_string()]]);
    assert_eq!(findings(&lake), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_others_stays_for_a_day_and_a_command_takes_it() {
    let (broker, folder) = (broker().await, tempfile::tempdir().unwrap());
    let job = job(folder.path(), &broker, "1day");
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job, &lake).await.unwrap();
    let former = || visible_files(&lake.checkpoint("seen").join("former")).len();
    assert_eq!(former(), 400);
    let compact = |retained: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).arg("--project").arg(folder.path());
        let output = run(command.args(["compact", "seen", "--set", retained]));
        assert!(output.status.success(), "{}", texts(&output).1);
        texts(&output).1
    };
    assert!(compact("table.retain_removed=1h").contains("0 files became 0; 0 that"));
    assert_eq!(former(), 400);
    let said = compact("table.retain_removed=0s");
    assert!(said.contains("600 that earlier compactions took out were removed"), "{said}");
    assert_eq!(former(), 0);
    assert_eq!(query(&lake, ALL).await, [answer(BATCHES)]);
    assert_eq!(findings(&lake), [""; 0]);
}
