//! A stream's table as a Delta table: its log says what the records say, whatever dies, is cut off, or is somebody else's.
//! Other engines read it in tests/delta.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use arrow::array::AsArray;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tidemill_core::doctor;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Compaction, Plan, RecordList};
use tidemill_core::stream::CrashPoint;

use crate::support::{TestBroker, die_after, query, run, stream_all, texts};
use crate::time_travel::copy;

const SCHEMA: &str = "id BIGINT NOT NULL, x DOUBLE, t TEXT";

/// A stream `seen` of one topic, a message a batch.
struct Seen {
    broker: TestBroker,
    folder: tempfile::TempDir,
}

impl Seen {
    async fn start() -> Seen {
        let broker = TestBroker::start().await;
        broker.create_topic("seen", 1).await;
        Seen { broker, folder: tempfile::tempdir().unwrap() }
    }

    fn job(&self, transform: &str) -> StreamJob {
        let write = |name: &str, text: &str| std::fs::write(self.folder.path().join(name), text).unwrap();
        std::fs::create_dir_all(self.folder.path().join("jobs")).unwrap();
        let toml = format!(
            "[source]\nkafka = {{ bootstrap_servers = \"{}\", subscribe = \"seen\" }}\nformat = \"json\"\n\
             schema = \"schema.sql\"\nmax_offsets_per_trigger = 1\n\
             [table]\npath = \"lake/seen/rows\"\ntransform = \"transform.sql\"\n",
            self.broker.address()
        );
        write("jobs/seen.toml", &toml);
        write("schema.sql", &format!("CREATE TABLE m ({SCHEMA})"));
        write("transform.sql", transform);
        let settings = Settings { sets: Vec::new(), environment: BTreeMap::new() };
        Project::open(self.folder.path()).stream_job("seen", &settings).unwrap()
    }

    fn lake(&self, name: &str) -> Lake {
        Lake::new(self.folder.path().join(name))
    }

    fn send(&self, messages: impl Iterator<Item = String>) {
        let messages: Vec<_> = messages.map(|text| Some(text.into_bytes())).collect();
        self.broker.send("seen", 1, &messages);
    }

    fn command(&self, lake: &Lake, words: &[&str]) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).arg("--project").arg(self.folder.path()).args(words);
        texts(&run(&mut command))
    }
}

const ALL: &str = "SELECT id, x, t, _offset FROM batch";

fn rows(ids: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    ids.map(|id| format!(r#"{{"id":{id},"x":{id}.5,"t":"text {id}"}}"#))
}

fn log(lake: &Lake) -> PathBuf {
    lake.resolve("seen/rows/_delta_log")
}

/// The files of a log by their names.
fn files(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(log(lake)) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&p).unwrap())).collect()
}

fn json_of(version: u64) -> String {
    format!("{version:020}.json")
}

fn checkpoint_of(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

const HINT: &str = "_last_checkpoint";

/// The actions of a version.
fn version(lake: &Lake, version: u64) -> Vec<Value> {
    let text = std::fs::read_to_string(log(lake).join(json_of(version))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those of one kind.
fn of_kind(actions: &[Value], kind: &str) -> Vec<Value> {
    actions.iter().filter_map(|action| action.get(kind).cloned()).collect()
}

/// Paths that a log adds up to, by our own reading of it: a checkpoint and what follows on it.
fn paths(lake: &Lake) -> BTreeSet<String> {
    let all = files(lake);
    let number =
        |name: &str, suffix: &str| name.strip_suffix(suffix).and_then(|digits| digits.parse::<u64>().ok());
    let base = all.keys().filter_map(|name| number(name, ".checkpoint.parquet")).max();
    let mut paths = BTreeSet::new();
    if let Some(base) = base {
        let file = std::fs::File::open(log(lake).join(checkpoint_of(base))).unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let rows = rows.unwrap();
            let added = rows.column_by_name("add").unwrap().as_struct();
            let added = added.column_by_name("path").unwrap().as_string::<i32>();
            paths.extend(added.iter().flatten().map(str::to_owned));
        }
    }
    for number in
        all.keys().filter_map(|name| number(name, ".json")).filter(|n| base.is_none_or(|base| *n > base))
    {
        let actions = version(lake, number);
        let of = |kind| of_kind(&actions, kind).into_iter().map(|of| of["path"].as_str().unwrap().to_owned());
        of("remove").for_each(|path| assert!(paths.remove(&path), "{path}"));
        paths.extend(of("add"));
    }
    paths
}

/// Files of the table's folder, but for those that became others.
fn data(lake: &Lake) -> BTreeSet<String> {
    let entries = std::fs::read_dir(lake.resolve("seen/rows")).unwrap().map(|entry| entry.unwrap());
    let data = entries.filter(|entry| entry.path().is_file());
    let mut data: BTreeSet<String> = data.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let compactions = RecordList::<Compaction>::read_only(lake.checkpoint("seen").join("compactions"));
    for number in compactions.numbers().unwrap() {
        for file in compactions.read(number).unwrap().removed() {
            data.remove(file.path.rsplit('/').next().unwrap());
        }
    }
    data
}

fn plans(lake: &Lake) -> RecordList<Plan> {
    RecordList::read_only(lake.checkpoint("seen").join("offsets"))
}

/// A log without what two runs differ in: ids, and times.
pub fn essence(lake: &Lake) -> BTreeMap<String, String> {
    let query_id = plans(lake).read(0).unwrap().query_id;
    let mut all = BTreeMap::new();
    for (name, bytes) in files(lake).into_iter().filter(|(name, _)| name.ends_with(".json")) {
        let mut text = String::from_utf8(bytes).unwrap().replace(&query_id, "QUERY");
        for key in ["inCommitTimestamp", "timestamp", "lastUpdated", "modificationTime", "deletionTimestamp"]
        {
            let parts: Vec<&str> = text.split(&format!("\"{key}\":")).collect();
            let rest = parts[1..].iter().map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
            text = std::iter::once(parts[0]).chain(rest).collect::<Vec<_>>().join(&format!("\"{key}\":N"));
        }
        let id = text.split("\"id\":\"").nth(1).map(|rest| rest[..36].to_owned());
        all.insert(name, id.map_or(text.clone(), |id| text.replace(&id, "ID")));
    }
    all
}

fn findings(lake: &Lake) -> Vec<String> {
    let report = doctor::examine(lake, Some("seen")).unwrap();
    report.findings.iter().map(|finding| format!("{} -> {}", finding.problem, finding.advice)).collect()
}

/// What statistics say of some columns.
fn of(stats: &Value) -> Value {
    json!(["id", "x", "t", "_offset"].map(|column| &stats[column]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_a_batch_and_says_what_its_records_say() {
    let seen = Seen::start().await;
    let (lake, job) = (seen.lake("lake"), seen.job(ALL));
    seen.send(rows(0..2));
    // The third batch is a dead letter: a version without a file.
    seen.send(["{".to_owned(), r#"{"id":3,"x":-0.0,"t":null}"#.to_owned()].into_iter());
    stream_all(&job, &lake).await.unwrap();
    let names: Vec<String> = files(&lake).into_keys().collect();
    assert_eq!(names, (0..4).map(json_of).collect::<Vec<_>>());
    assert_eq!(paths(&lake), data(&lake));
    let query_id = plans(&lake).read(0).unwrap().query_id;
    let mut before = 0;
    for number in 0..4 {
        let actions = version(&lake, number);
        let now = plans(&lake).read(number).unwrap().now;
        let now = string_to_timestamp_nanos(&now).unwrap() / 1_000_000;
        let at = actions[0]["commitInfo"]["inCommitTimestamp"].as_i64().unwrap();
        assert_eq!(at, now.max(before + 1));
        before = at;
        let txn = json!({"appId": format!("{query_id}:seen.rows"), "lastUpdated": at, "version": number});
        assert_eq!(of_kind(&actions, "txn"), [txn]);
        assert_eq!(of_kind(&actions, "add").len(), usize::from(number != 2));
        assert_eq!(of_kind(&actions, "protocol").len(), usize::from(number == 0));
    }
    let first = version(&lake, 0);
    // Each row has the time of its message, which has no zone.
    let features = ["inCommitTimestamp", "tidemill", "timestampNtz"];
    let protocol = json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timestampNtz"],
        "writerFeatures": features});
    assert_eq!(of_kind(&first, "protocol"), [protocol]);
    let metadata = &of_kind(&first, "metaData")[0];
    assert_eq!(metadata["configuration"], json!({"delta.enableInCommitTimestamps": "true"}));
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let columns: Vec<_> =
        schema["fields"].as_array().unwrap().iter().map(|field| [&field["name"], &field["type"]]).collect();
    assert_eq!(json!(columns[..3]), json!([["id", "long"], ["x", "double"], ["t", "string"]]));
    assert!(columns.contains(&[&json!("_timestamp"), &json!("timestamp_ntz")]), "{columns:?}");
    let last = &of_kind(&version(&lake, 3), "add")[0];
    let size = std::fs::metadata(lake.resolve("seen/rows/batch-00000003.parquet")).unwrap().len();
    assert_eq!((&last["path"], &last["size"]), (&json!("batch-00000003.parquet"), &json!(size)));
    let stats: Value = serde_json::from_str(last["stats"].as_str().unwrap()).unwrap();
    assert_eq!(of(&stats["minValues"]), json!([3, -0.0, null, 3]));
    assert_eq!(of(&stats["maxValues"]), json!([3, 0.0, null, 3]));
    assert_eq!(of(&stats["nullCount"]), json!([0, 0, 1, 0]));
    assert_eq!(findings(&lake), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_step_leaves_the_same_log() {
    let seen = Seen::start().await;
    let job = seen.job(ALL);
    seen.send(rows(0..4));
    let untouched = seen.lake("untouched");
    stream_all(&job, &untouched).await.unwrap();
    for batch in [0, 2, 3] {
        for point in [CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Publish, CrashPoint::Delta] {
            let what = format!("{point:?} of batch {batch}");
            let lake = seen.lake(&format!("{batch}-{point:?}"));
            die_after(&job, &lake, batch, point).await;
            let left = files(&lake);
            assert_eq!(left.len() as u64, batch + u64::from(point == CrashPoint::Delta), "{what}");
            stream_all(&job, &lake).await.unwrap();
            let whole = files(&lake);
            assert!(left.iter().all(|(name, bytes)| whole[name] == *bytes), "{what}");
            assert_eq!(essence(&lake), essence(&untouched), "{what}");
            // As the records say: once more from nothing but them.
            std::fs::write(log(&lake).join(json_of(batch)), "").unwrap();
            stream_all(&job, &lake).await.unwrap();
            assert!(files(&lake) == whole, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_of_a_log_is_written_again_byte_for_byte() {
    let seen = Seen::start().await;
    let (lake, job) = (seen.lake("lake"), seen.job(ALL));
    seen.send(rows(0..306));
    stream_all(&job, &lake).await.unwrap();
    let whole = files(&lake);
    // A checkpoint every 100 versions, and nothing that is older than the one of 200 before the newest.
    let checkpoints = [100, 200, 300].map(checkpoint_of);
    let expected = (100..306).map(json_of).chain(checkpoints.clone()).chain(["_last_checkpoint".to_owned()]);
    assert_eq!(whole.keys().cloned().collect::<BTreeSet<_>>(), expected.collect());
    let hint: Value = serde_json::from_slice(&whole["_last_checkpoint"]).unwrap();
    assert_eq!((&hint["version"], &hint["numOfAddFiles"]), (&json!(300), &json!(4)));
    // Of each 100 batches one file, as the version of the next batch says; no row is another.
    for number in [100, 200, 300] {
        let actions = version(&lake, number);
        let of =
            |kind| of_kind(&actions, kind).into_iter().map(|of| of["dataChange"].clone()).collect::<Vec<_>>();
        assert_eq!((of("add"), of("remove")), (vec![json!(true), json!(false)], vec![json!(false); 100]));
    }
    assert_eq!(hint["sizeInBytes"], json!(whole[&checkpoints[2]].len()));
    assert_eq!(paths(&lake), data(&lake));
    assert_eq!(findings(&lake), [""; 0]);
    let path = |name: &str| log(&lake).join(name);
    let cut = |name: &str| std::fs::write(path(name), &whole[name][..whole[name].len() / 2]).unwrap();
    let damages: [(&dyn Fn(), &str); 6] = [
        (&|| cut(&json_of(305)), "version 305 is cut off"),
        (&|| std::fs::write(path(&json_of(304)), "").unwrap(), "version 304 is cut off"),
        (&|| std::fs::remove_file(path(&json_of(150))).unwrap(), "version 150 is not there"),
        (
            &|| [303, 304, 305].iter().for_each(|v| std::fs::remove_file(path(&json_of(*v))).unwrap()),
            "it ends at version 302",
        ),
        (&|| cut(&checkpoints[2]), "the checkpoint of version 300"),
        (&|| std::fs::remove_file(path("_last_checkpoint")).unwrap(), ""),
    ];
    for (damage, says) in damages {
        damage();
        let found = findings(&lake);
        assert_eq!(found.len(), usize::from(!says.is_empty()), "{says}: {found:?}");
        assert!(
            found.iter().all(|found| found.contains(says) && found.contains("the next start")),
            "{found:?}"
        );
        stream_all(&job, &lake).await.unwrap();
        assert!(files(&lake) == whole, "{says}");
        assert_eq!(findings(&lake), [""; 0]);
    }
    // Without an older checkpoint nothing before the next one can be read.
    let older = seen.lake("older");
    copy(lake.root(), older.root());
    std::fs::write(log(&older).join(checkpoint_of(100)), "PAR1").unwrap();
    let found = findings(&older);
    assert!(
        found.len() == 2 && found.iter().any(|f| f.contains("versions from 100 on cannot be read")),
        "{found:?}"
    );
    stream_all(&job, &older).await.unwrap();
    let left = (200..306).map(json_of).chain(checkpoints[1..].iter().cloned()).chain([HINT.to_owned()]);
    assert_eq!(files(&older).into_keys().collect::<BTreeSet<_>>(), left.collect());
    assert_eq!(findings(&older), [""; 0]);
    assert_eq!(paths(&older), data(&older));
    // What a driver that began anew was killed before it took out.
    for version in [105, 106] {
        std::fs::write(log(&older).join(json_of(version)), &whole[&json_of(version)]).unwrap();
    }
    stream_all(&job, &older).await.unwrap();
    assert_eq!(files(&older).len(), 106 + 2 + 1);
    // Far behind, as after an older version of Tidemill: the log begins anew.
    seen.send(rows(306..307));
    (101..306).for_each(|old| std::fs::remove_file(path(&json_of(old))).unwrap());
    checkpoints[1..].iter().for_each(|old| std::fs::remove_file(path(old)).unwrap());
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(paths(&lake), data(&lake));
    assert_eq!(findings(&lake), [""; 0]);
    let names: Vec<String> = files(&lake).into_keys().collect();
    assert_eq!(names, [checkpoint_of(305), json_of(305), json_of(306), HINT.to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_there_begins_at_its_newest_batch_and_one_without_rows_with_the_first() {
    let seen = Seen::start().await;
    let (lake, job) = (seen.lake("lake"), seen.job(ALL));
    seen.send(["{".to_owned(), "{".to_owned()].into_iter());
    stream_all(&job, &lake).await.unwrap();
    assert!(!log(&lake).exists());
    seen.send(rows(2..4));
    stream_all(&job, &lake).await.unwrap();
    let names: Vec<String> = files(&lake).into_keys().collect();
    assert_eq!(names, [checkpoint_of(2), json_of(2), json_of(3), HINT.to_owned()]);
    assert_eq!(paths(&lake), data(&lake));
    // As a lake of before.
    let former = of_kind(&version(&lake, 2), "metaData")[0]["id"].clone();
    std::fs::remove_dir_all(log(&lake)).unwrap();
    assert_eq!(findings(&lake), [""; 0]);
    stream_all(&job, &lake).await.unwrap();
    let names: Vec<String> = files(&lake).into_keys().collect();
    assert_eq!(names, [checkpoint_of(3), json_of(3), HINT.to_owned()]);
    assert_eq!(paths(&lake), data(&lake));
    assert_ne!(of_kind(&version(&lake, 3), "metaData")[0]["id"], former);
    seen.send(rows(4..5));
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(paths(&lake), data(&lake));
    assert_eq!(findings(&lake), [""; 0]);
    // Its checkpoint alone is half: there is nothing before it to make it of but the records.
    std::fs::write(log(&lake).join(checkpoint_of(3)), "PAR1").unwrap();
    assert_eq!(findings(&lake).len(), 2);
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(paths(&lake), data(&lake));
    assert_eq!(findings(&lake), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_its_log_cannot_be_written() {
    let seen = Seen::start().await;
    let (lake, job) = (seen.lake("lake"), seen.job(ALL));
    seen.send(rows(0..2));
    stream_all(&job, &lake).await.unwrap();
    std::fs::remove_dir_all(log(&lake)).unwrap();
    std::fs::write(log(&lake), "").unwrap();
    seen.send(rows(2..4));
    stream_all(&job, &lake).await.unwrap();
    // With the file that is in the way.
    assert_eq!(data(&lake).len(), 5);
    std::fs::remove_file(log(&lake)).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(paths(&lake), data(&lake));
    assert_eq!(findings(&lake), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_somebody_else_stays_and_the_stream_goes_on() {
    const FOREIGN: &str = "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n{\"add\":{\"path\":\"part-0.parquet\",\"size\":1,\
        \"partitionValues\":{},\"modificationTime\":1,\"dataChange\":true}}";
    let seen = Seen::start().await;
    let job = seen.job(ALL);
    for at in [0, 2, 3] {
        let lake = seen.lake(&format!("{at}"));
        if at == 0 {
            seen.send(rows(0..3));
        }
        stream_all(&job, &lake).await.unwrap();
        let last = plans(&lake).numbers().unwrap().end - 1;
        let foreign = log(&lake).join(json_of(if at == 3 { last + 1 } else { at }));
        std::fs::write(&foreign, FOREIGN).unwrap();
        let before = files(&lake);
        seen.send(rows(10..11));
        let (_, said) = seen.command(&lake, &["stream", "seen", "--available-now"]);
        assert!(
            said.contains("Delta log of the table is not gone on with: version")
                && said.contains("remove the folder"),
            "{said}"
        );
        assert!(files(&lake) == before, "{at}");
        let counted = query(&lake, "SELECT count(*) FROM seen.rows").await;
        assert_eq!(counted[0][0], (last + 2).to_string());
        let found = findings(&lake);
        assert!(found.iter().any(|found| found.contains("remove the folder")), "{found:?}");
        std::fs::remove_dir_all(log(&lake)).unwrap();
        let (_, said) = seen.command(&lake, &["stream", "seen", "--available-now"]);
        assert!(!said.contains("Delta"), "{said}");
        assert_eq!(paths(&lake), data(&lake));
        assert_eq!(findings(&lake), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_come_later_are_in_the_log_and_those_that_delta_has_not_end_it() {
    let seen = Seen::start().await;
    let lake = seen.lake("lake");
    seen.send(rows(0..1));
    stream_all(&seen.job(ALL), &lake).await.unwrap();
    seen.send(rows(1..3));
    let more = "SELECT TIMESTAMP '2026-01-01 00:00:00.0015' AS at, id, x, t, _offset FROM batch";
    stream_all(&seen.job(more), &lake).await.unwrap();
    let second = version(&lake, 1);
    assert_eq!(of_kind(&second, "protocol").len(), 0);
    let schema = of_kind(&second, "metaData")[0]["schemaString"].as_str().unwrap().to_owned();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let names: Vec<_> = schema["fields"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
    assert_eq!((names[0], names[1], names.last().copied()), (&json!("id"), &json!("x"), Some(&json!("at"))));
    assert_eq!(of_kind(&second, "metaData")[0]["id"], of_kind(&version(&lake, 0), "metaData")[0]["id"]);
    assert_eq!(of_kind(&version(&lake, 2), "metaData").len(), 0);
    let stats: Value = serde_json::from_str(of_kind(&second, "add")[0]["stats"].as_str().unwrap()).unwrap();
    assert_eq!(
        json!([stats["minValues"]["at"], stats["maxValues"]["at"]]),
        json!(["2026-01-01T00:00:00.001", "2026-01-01T00:00:00.002"])
    );
    assert_eq!(findings(&lake), [""; 0]);
    // A column that Delta has not: the log ends, each start says so, and it is no fault.
    seen.send(rows(3..4));
    let unsigned = "SELECT TIMESTAMP '2026-01-01 00:00:00.0015' AS at, id, x, t, _offset, \
        CAST(id AS BIGINT UNSIGNED) AS u FROM batch";
    seen.job(unsigned);
    for _ in 0..2 {
        let (_, said) = seen.command(&lake, &["stream", "seen", "--available-now"]);
        assert!(said.contains("`u` is UInt64, which Delta has not: CAST(… AS BIGINT) AS u is one"), "{said}");
        assert_eq!(said.matches("which Delta has not").count(), 1, "{said}");
    }
    assert_eq!(files(&lake).len(), 3);
    let (_, said) = seen.command(&lake, &["doctor", "seen"]);
    assert!(said.contains("the Delta log of seen.rows ends at version 2: the column `u`"), "{said}");
    // A table that begins with one has no log.
    let other = seen.lake("other");
    let (_, said) = seen.command(&other, &["stream", "seen", "--available-now"]);
    assert_eq!(said.matches("the table has no Delta log: the column `u`").count(), 1, "{said}");
    assert!(!log(&other).exists());
    let (_, said) = seen.command(&other, &["doctor", "seen"]);
    assert!(said.contains("seen.rows has no Delta log: the column `u` is UInt64"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_with_nan_has_no_ends_also_when_it_is_written_again() {
    let seen = Seen::start().await;
    let transform =
        "SELECT id, CASE WHEN id = 1 THEN CAST('NaN' AS DOUBLE) ELSE x END AS r, x - x AS s FROM batch";
    let (lake, job) = (seen.lake("lake"), seen.job(transform));
    seen.send(rows(0..2));
    stream_all(&job, &lake).await.unwrap();
    let stats = of_kind(&version(&lake, 1), "add")[0]["stats"].as_str().unwrap().to_owned();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    let of_both = |kind: &str| json!([&stats[kind]["r"], &stats[kind]["s"]]);
    assert_eq!(of_both("maxValues"), json!([null, 0.0]));
    assert_eq!(of_both("nullCount"), json!([0, 0]));
    let whole = files(&lake);
    std::fs::remove_file(log(&lake).join(json_of(1))).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert!(files(&lake) == whole);
}
