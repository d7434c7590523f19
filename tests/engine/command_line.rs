//! The command line as a user types it.

use std::path::Path;
use std::process::Output;

use crate::support::{JOB, TestBroker, crimes, run, texts, tidemill};

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", texts(output).1);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and standard error of a command that is to fail; its standard output stays empty.
fn failure(lake: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(tidemill(lake).args(arguments));
    let (stdout, stderr) = texts(&output);
    assert_eq!(stdout, "", "{arguments:?}");
    (output.status.code(), stderr)
}

#[test]
fn wrong_names_and_keys_are_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let (code, error) = failure(folder.path(), &["stream", "chicago-arests"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("did you mean `chicago-arrests`"), "{error}");
    let (code, error) = failure(folder.path(), &["stream", JOB, "--set", "models.forest.tress=3"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("unknown key `tress`") && error.contains("`trees`"), "{error}");
    let (code, error) = failure(folder.path(), &["metrics", JOB]);
    assert!(code == Some(1) || code == Some(2), "{error}");
    assert!(error.contains("help:"), "{error}");
    let (code, error) = failure(&folder.path().join("nowhere"), &["sql", "SELECT 1"]);
    assert_eq!(code, Some(2), "{error}");
}

#[test]
fn an_unreachable_broker_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, error) = failure(folder.path(), &["stream", JOB, "--brokers", &nobody]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&nobody) && error.contains("tidemill broker"), "{error}");
}

#[test]
fn the_broker_refuses_to_listen_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("b");
    let (code, error) =
        failure(folder.path(), &["broker", "--listen", "0.0.0.0:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("0.0.0.0") && error.contains("use 127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_produce_stream_metrics_and_sql() {
    for broker in TestBroker::all().await {
        generate_produce_stream(&broker).await;
    }
}

async fn generate_produce_stream(broker: &TestBroker) {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("crimes.csv.gz");
    let lake = folder.path().join("lake");
    let made = run(tidemill(&lake)
        .args(["data", "generate", "chicago-crimes", "--rows", "3000", "--seed", "7", "--out"])
        .arg(&csv));
    assert!(made.status.success(), "{}", texts(&made).1);

    let produced = run(tidemill(&lake)
        .args(["produce", JOB, "--brokers", &broker.address(), "--topic", &broker.topic])
        .args(["--partitions", "2", "--rows", "2500", "--input"])
        .arg(&csv));
    let (stdout, stderr) = texts(&produced);
    assert!(produced.status.success(), "{stderr}");
    assert!(format!("{stdout}{stderr}").replace(',', "").contains("2500"), "{stdout}{stderr}");

    let streamed = run(tidemill(&lake).args([
        "stream",
        JOB,
        "--available-now",
        "--brokers",
        &broker.address(),
        "--progress",
        "json",
        "--set",
        "source.max_offsets_per_trigger=1000",
        "--set",
        &format!("source.kafka.subscribe={}", broker.topic),
    ]));
    let (lines, errors) = texts(&streamed);
    assert!(streamed.status.success(), "{errors}");
    let batches: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let rows: Vec<u64> = batches.iter().map(|b| b["numInputRows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [1000, 1000, 500]);
    for key in [
        "id",
        "runId",
        "name",
        "timestamp",
        "batchId",
        "durationMs",
        "sources",
        "sink",
        "models",
        "deadLetters",
    ] {
        assert!(!batches[0][key].is_null(), "{key} is missing in {}", batches[0]);
    }
    assert_eq!(batches[1]["sources"][0]["startOffset"][&broker.topic]["1"], 500);

    let metrics = json(&run(tidemill(&lake).args(["metrics", JOB, "--format", "json"])));
    let rows = metrics.as_array().unwrap();
    assert_eq!(rows.len(), 4 * 3 + 4 * 2);
    let last = rows.iter().rfind(|r| r["model"] == "forest" && r["evaluation"] == "holdout").unwrap();
    assert_eq!((&last["job"], &last["batch_id"], &last["version"]), (&JOB.into(), &2.into(), &2.into()));
    let sum: u64 = ["tp", "fp", "tn", "fn"].iter().map(|k| last[*k].as_u64().unwrap()).sum();
    assert_eq!(sum, last["rows"].as_u64().unwrap());
    assert!(last["auc"].as_f64().unwrap() > 0.7, "{last}");
    let one = json(&run(tidemill(&lake).args(["metrics", JOB, "--model", "logistic", "--format", "json"])));
    assert!(one.as_array().unwrap().iter().all(|r| r["model"] == "logistic"));

    let count =
        json(&run(tidemill(&lake).args(["sql", "SELECT count(*) AS n FROM crimes", "--format", "json"])));
    assert_eq!(count, serde_json::json!([{"n": 2500}]));
    let both = "SELECT count(*) AS n FROM chicago_arrests.crimes c JOIN system.batches b ON c._batch_id = b.batch_id";
    // The same folder by another path.
    let both = json(&run(tidemill(&lake.join("..").join("lake")).args(["sql", both, "--format", "json"])));
    assert_eq!(both, serde_json::json!([{"n": 2500}]));
    let leans = "SELECT model, count(DISTINCT feature) > 10 AS many, round(sum(importance), 6) AS sum FROM importances
                 WHERE batch_id = 2 GROUP BY model ORDER BY model";
    let leans = json(&run(tidemill(&lake).args(["sql", leans, "--format", "json"])));
    let of = |model: &str| serde_json::json!({"model": model, "many": true, "sum": 1.0});
    assert_eq!(leans, serde_json::json!([of("forest"), of("tree")]));
    let (code, error) = failure(&lake, &["sql", "SELECT * FROM crimez"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("crimes"), "{error}");
    let (code, _) = failure(&lake, &["sql", "DROP TABLE crimes"]);
    assert_eq!(code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_driver_is_told_that_the_checkpoint_is_held() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(50, 1));
    let folder = tempfile::tempdir().unwrap();
    let job = crate::support::job(&broker.address(), 10, &[]);
    let held = tidemill_core::stream::Driver::open(&job, &tidemill_core::lake::Lake::new(folder.path()))
        .await
        .unwrap();
    let (code, error) =
        failure(folder.path(), &["stream", JOB, "--available-now", "--brokers", &broker.address()]);
    assert_eq!(code, Some(4), "{error}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_loss_is_refused_with_its_own_exit_code() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(50, 1));
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["stream", JOB, "--available-now", "--brokers", &broker.address()];
    let first = run(tidemill(folder.path()).args(arguments));
    assert!(first.status.success(), "{}", texts(&first).1);
    broker.delete_topic("crimes").await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(50, 2));
    let (code, error) = failure(folder.path(), &arguments);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("fail_on_data_loss"), "{error}");
}

#[test]
fn a_consumer_option_that_would_move_the_reading_is_refused_when_the_job_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = folder.path().join("jobs");
    std::fs::create_dir(&jobs).unwrap();
    let built_in = include_str!("../../jobs/chicago-arrests.toml");
    for (option, status, says) in [
        (
            r#""auto.offset.reset" = "latest""#,
            2,
            "`auto.offset.reset` is not for a job to set: where reading begins",
        ),
        (r#""enable.partition.eof" = "false""#, 2, "`enable.partition.eof` is not for a job to set"),
        (r#""isolation.level" = "read_uncommitted""#, 2, "`isolation.level` is not for a job to set"),
        (r#""fetch.max.byte" = "1000000""#, 2, "did you mean `fetch.max.bytes`?"),
        // Passes, and then there is no broker.
        (r#""fetch.max.bytes" = "2000000", "client.id" = "me""#, 1, "no Kafka broker answers"),
    ] {
        let text = built_in.replace(
            r#"subscribe = "crimes""#,
            &format!(r#"subscribe = "crimes", options = {{ {option} }}"#),
        );
        std::fs::write(jobs.join("chicago-arrests.toml"), text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(["--lake", "lake", "--project", "."]).current_dir(folder.path());
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let output = run(command.args(["stream", JOB, "--available-now", "--brokers", &nobody]));
        let (_, error) = texts(&output);
        assert_eq!(output.status.code(), Some(status), "{option}: {error}");
        assert!(error.contains(says), "{option}: {error}");
        assert!(!folder.path().join("lake").exists(), "{option}");
    }
}
