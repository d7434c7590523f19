//! A transform that asks a model: which version is in the plan, so that a batch run again gives the same rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Plan, RecordList};
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{TestBroker, query, run, stream_all, texts, tidemill, visible_files};

const ASKS: &str = "SELECT n, predict('s.tree', n) AS yes, predict_proba('s.tree@champion', {n: n}) AS p FROM batch WHERE n >= 0";
const MODEL: &str = "[[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/NAME/features.sql\"\nlabel = \"y\"";

/// A job that reads the one topic in batches of so many.
fn job_of(
    project: &Path,
    name: &str,
    transform: &str,
    features: Option<&str>,
    limit: u32,
    broker: &TestBroker,
) -> StreamJob {
    let write = |name: &str, text: &str| {
        let path = project.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let models = features.map_or(String::new(), |_| MODEL.replace("NAME", name));
    let toml = format!(
        "[source]\nkafka = {{ bootstrap_servers = \"x\", subscribe = \"t\" }}\nformat = \"json\"\n
         schema = \"sql/{name}/schema.sql\"\nmax_offsets_per_trigger = {limit}\n[table]\npath = \"lake/{name}/seen\"\n
         transform = \"sql/{name}/transform.sql\"\n{models}\n"
    );
    write(&format!("jobs/{name}.toml"), &toml);
    write(&format!("sql/{name}/schema.sql"), "CREATE TABLE seen (n INT, y BOOLEAN)");
    write(&format!("sql/{name}/transform.sql"), transform);
    if let Some(features) = features {
        write(&format!("sql/{name}/features.sql"), features);
    }
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(project).stream_job(name, &Settings { sets, environment: Default::default() }).unwrap()
}

/// A broker with two hundred messages, of which the second half are the other way round.
async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1).await;
    let message = |n: u32| format!(r#"{{"n":{},"y":{}}}"#, n % 100, (n % 20 < 10) ^ (n >= 100));
    let messages: Vec<_> = (0..200).map(|n| Some(message(n).into_bytes())).collect();
    broker.send("t", 1, &messages);
    broker
}

/// What a job's own transform asks by its version stays, however old it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_a_transform_names_stays() {
    let (project, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lake = Lake::new(lake.path());
    let broker = broker().await;
    let features = Some("SELECT y, n FROM seen");
    let job = job_of(project.path(), "s", "SELECT n, y FROM batch", features, 100, &broker);
    stream_all(&job, &lake).await.unwrap();
    let asks = "SELECT n, y, predict('s.tree@0', n) AS p FROM batch";
    let mut job = job_of(project.path(), "s", asks, features, 100, &broker);
    job.program.models[0].config.keep = 1;
    for _ in 0..3 {
        let message = |n: u32| Some(format!(r#"{{"n":{n},"y":{}}}"#, n % 20 < 10).into_bytes());
        broker.send("t", 1, &(0..100).map(message).collect::<Vec<_>>());
        stream_all(&job, &lake).await.unwrap();
    }
    let file = |version: u64| lake.resolve(&format!("s/_models/tree/batch-{version:08}.model"));
    assert!(file(0).exists() && !file(1).exists() && file(4).exists());
    let output = run(tidemill(lake.root()).args(["models", "archive", "s", "tree@0"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("is asked by the transform of its job"), "{}", texts(&output).1);
}

/// A lake with two versions of the tree of job `s`, the first of which is in use.
async fn trained(project: &Path, lake: &Lake, broker: &TestBroker) {
    let job = job_of(project, "s", "SELECT n, y FROM batch", Some("SELECT y, n FROM seen"), 100, broker);
    stream_all(&job, lake).await.unwrap();
    promote(lake, "tree@0");
}

fn promote(lake: &Lake, version: &str) {
    let output = run(tidemill(lake.root()).args(["models", "promote", "s", version]));
    assert!(output.status.success(), "{}", texts(&output).1);
}

fn plans(lake: &Lake) -> RecordList<Plan> {
    RecordList::read_only(lake.checkpoint("asks").join("offsets"))
}

fn asked(lake: &Lake) -> Vec<Vec<u64>> {
    let versions = |n| plans(lake).read(n).unwrap().asked.values().map(|asked| asked.version).collect();
    plans(lake).numbers().unwrap().map(versions).collect()
}

fn files(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let paths = visible_files(&lake.resolve("asks/seen")).into_iter();
    paths
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect()
}

/// Two batches, of which the second ends after this point; without one, both are done.
async fn two_batches(job: &StreamJob, lake: &Lake, crash: Option<CrashPoint>) {
    let mut driver = Driver::open(job, lake).await.unwrap();
    if let Some(point) = crash {
        driver.crash_after(1, point);
    }
    driver.recover(&mut |_| {}).await.unwrap();
    driver.next_batch(None, &mut |_| {}).await.unwrap();
    assert_eq!(driver.next_batch(None, &mut |_| {}).await.is_err(), crash.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_asks_the_version_of_its_plan_whatever_is_in_use_when_it_is_run_again() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let job = job_of(folder.path(), "asks", ASKS, None, 50, &broker);
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let untouched = lake("untouched");
    trained(folder.path(), &untouched, &broker).await;
    two_batches(&job, &untouched, None).await;
    promote(&untouched, "tree@1");
    stream_all(&job, &untouched).await.unwrap();
    assert_eq!(asked(&untouched), [[0, 0], [0, 0], [1, 1], [1, 1]]);
    let expected = files(&untouched);
    assert_eq!(expected.len(), 4);
    // What SQL says of the same rows, and the versions do differ.
    let wrong = |version: u32| {
        format!(
            "SELECT count(*) FILTER (WHERE _batch_id < 2), count(*) FILTER (WHERE _batch_id >= 2) FROM asks.seen \
             WHERE p <> predict_proba('s.tree@{version}', n) OR yes <> (p > 0.5)"
        )
    };
    let (first, second) = (query(&untouched, &wrong(0)).await, query(&untouched, &wrong(1)).await);
    assert_eq!((first[0][0].as_str(), second[0][1].as_str()), ("0", "0"));
    assert!(first[0][1] != "0" && second[0][0] != "0", "{first:?} {second:?}");
    for point in [CrashPoint::Plan, CrashPoint::Read, CrashPoint::Stage] {
        let lake = lake(&format!("{point:?}"));
        trained(folder.path(), &lake, &broker).await;
        two_batches(&job, &lake, Some(point)).await;
        promote(&lake, "tree@1");
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(asked(&lake), asked(&untouched), "{point:?}");
        assert!(files(&lake) == expected, "{point:?}");
    }
    // In a process of its own, too.
    let guarded = lake("guarded");
    trained(folder.path(), &guarded, &broker).await;
    two_batches(&job, &guarded, Some(CrashPoint::Plan)).await;
    promote(&guarded, "tree@1");
    let attempts = guarded.checkpoint("asks").join("attempts");
    std::fs::create_dir_all(&attempts).unwrap();
    for k in [2, 3] {
        let text = format!(r#"{{"format":1,"batch_id":1,"attempt":{k},"began":"2026-01-01T00:00:00Z"}}"#);
        std::fs::write(attempts.join(format!("1.{k}.json")), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(guarded.root()).arg("--project").arg(folder.path());
    let output = run(command.args(["stream", "asks", "--available-now", "--brokers", &broker.address()]));
    assert!(output.status.success() && texts(&output).1.contains("process of"), "{}", texts(&output).1);
    assert!(files(&guarded) == expected);
}

/// Nothing of the batch is committed: it asks what is in use now, and the plan says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_version_that_can_be_had_no_more_does_not_end_the_stream() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let job = job_of(folder.path(), "asks", ASKS, None, 50, &broker);
    let lake = Lake::new(folder.path().join("lake"));
    trained(folder.path(), &lake, &broker).await;
    two_batches(&job, &lake, Some(CrashPoint::Read)).await;
    promote(&lake, "tree@1");
    std::fs::remove_file(lake.resolve("s/_models/tree/batch-00000000.model")).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(asked(&lake), [[0, 0], [1, 1], [1, 1], [1, 1]]);
    assert!(lake.checkpoint("asks").join("offsets/1.1.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transform_cannot_ask_is_told_before_a_plan_is_written() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    trained(folder.path(), &lake, &broker).await;
    for (transform, expected) in [
        (
            "SELECT n, predict('s.tre', n) AS p FROM batch",
            ["there is no model `tre`", "did you mean `tree`?"],
        ),
        ("SELECT n, predict('r.tree', n) AS p FROM batch", ["there is no job `r`", "the jobs are: s"]),
        (
            "SELECT n, predict('s.tree@9', n) AS p FROM batch",
            ["has learned from batches 0 to 1", "instead of 9"],
        ),
        (
            "SELECT n, predict('s.tree', y) AS p FROM batch",
            ["its features `n` are not among", "the columns are: y"],
        ),
        (
            "SELECT n, cluster_id('s.tree', n) AS p FROM batch",
            ["cluster_id is not for model `tree`", "predict is for every"],
        ),
        (
            "SELECT n, predict(concat('s.', 'tree'), n) AS p FROM batch",
            ["named by a text", "predict('job.model'"],
        ),
        ("SELECT n, predict('asks.tree', n) AS p FROM batch", ["model of the job itself", "'asks.tree@12'"]),
    ] {
        let error = stream_all(&job_of(folder.path(), "asks", transform, None, 50, &broker), &lake)
            .await
            .unwrap_err();
        let text = format!("{error} / {}", error.next_step().unwrap_or_default());
        assert!(expected.iter().all(|part| text.contains(part)), "{transform}: {text}");
        assert!(plans(&lake).numbers().unwrap().is_empty(), "{transform}");
    }
    // What is learned is made of rows, not of what a model says at the time.
    let features = "SELECT y, predict('s.tree', n) AS p FROM seen";
    let job = job_of(folder.path(), "asks", "SELECT n, y FROM batch", Some(features), 50, &broker);
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert!(error.to_string().contains("predict asks a model"), "{error}");
    assert!(error.next_step().unwrap().contains("transform of a stream"), "{error:?}");
}

/// A model of the job itself, by a version: what it gives is learned from, and the version stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_asks_its_own_model_by_a_version() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let own =
        |transform| job_of(folder.path(), "asks", transform, Some("SELECT y, n FROM seen"), 50, &broker);
    let plain = own("SELECT n, y FROM batch");
    let mut driver = Driver::open(&plain, &lake).await.unwrap();
    driver.recover(&mut |_| {}).await.unwrap();
    driver.next_batch(None, &mut |_| {}).await.unwrap();
    drop(driver);
    stream_all(&own("SELECT n, y, predict('asks.tree@0', n) AS yes FROM batch"), &lake).await.unwrap();
    let rows = "SELECT count(yes), count(*) FILTER (WHERE yes <> predict('asks.tree@0', n)) FROM asks.seen";
    assert_eq!(query(&lake, rows).await, [["150", "0"]]);
    assert_eq!(asked(&lake), [vec![], vec![0], vec![0], vec![0]]);
}
