//! Dead letters shown, and fed through again exactly once: also where the replay dies after any of its steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::{CrashPoint, Driver, StreamSummary, replay};

use crate::support::{Essence, JOB, TestBroker, crimes, positions, query, run, stream_all, texts};

/// A project whose transform casts `iucr`: text that is no number fails, until the cast is mended.
fn project(folder: &Path, mended: bool) {
    let sql = folder.join("sql/chicago_arrests");
    std::fs::create_dir_all(&sql).unwrap();
    let cast = if mended { "TRY_CAST" } else { "CAST" };
    let text = format!(
        "SELECT arrest, domestic, beat, district, community_area, x_coordinate, y_coordinate, \
         {cast}(iucr AS INT) AS code, iucr, location_description, fbi_code, block, month, day, hour, minute FROM batch"
    );
    std::fs::write(sql.join("transform.sql"), text).unwrap();
}

fn job(folder: &Path, broker: &str, mended: bool, limit: u64) -> StreamJob {
    project(folder, mended);
    let sets = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.to_owned()),
        ("source.max_offsets_per_trigger".to_owned(), limit.to_string()),
    ];
    Project::open(folder).stream_job(JOB, &Settings { sets, environment: BTreeMap::new() }).unwrap()
}

/// 400 good messages, and among them three whose `iucr` is no number and one that is no JSON.
async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    let mut messages = crimes(400, 3);
    for at in [30, 110, 111] {
        let text = format!(r#"{{"arrest":true,"beat":{at},"iucr":"05A{at}","block":"{at}"}}"#);
        messages.insert(at, Some(text.into_bytes()));
    }
    messages.insert(250, Some(b"\xffno JSON".to_vec()));
    broker.send("crimes", 2, &messages);
    broker
}

async fn replay_all(job: &StreamJob, lake: &Lake) -> StreamSummary {
    replay::replay(job, lake, Arc::new(AtomicBool::new(false)), &mut |_| {}).await.unwrap()
}

fn summary(batches: u64, rows: u64, dead_letters: u64) -> StreamSummary {
    StreamSummary { batches, rows, dead_letters }
}

const PLACES: &str = "SELECT _partition, _offset, beat, _timestamp IS NULL, _batch_id FROM crimes \
     WHERE iucr LIKE '05A%' ORDER BY beat";

#[tokio::test(flavor = "multi_thread")]
async fn mended_letters_reach_the_table_once() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let broken = job(folder.path(), &broker.address(), false, 101);
    let streamed = stream_all(&broken, &lake).await.unwrap();
    assert_eq!(streamed, summary(4, 404, 4));

    // Nothing is mended yet: what failed fails again, in a batch of its own.
    assert_eq!(replay_all(&broken, &lake).await, summary(1, 4, 4));
    assert_eq!(positions(&lake).await, (400, 400));

    let mended = job(folder.path(), &broker.address(), true, 101);
    assert_eq!(replay_all(&mended, &lake).await, summary(1, 4, 1));
    assert_eq!(positions(&lake).await, (403, 403));
    let places: Vec<String> = query(&lake, PLACES).await.iter().map(|row| row.join(" ")).collect();
    assert_eq!(places, ["0 15 30 false 5", "0 55 110 false 5", "1 55 111 false 5"]);

    // The message that is no JSON is the one letter left; nothing else is fed again, ever.
    assert_eq!(replay_all(&mended, &lake).await, summary(1, 1, 1));
    assert_eq!(positions(&lake).await, (403, 403));
    let totals = "SELECT sum(rows_read) - sum(replayed), sum(dead_letters) - sum(replayed), sum(rows_out) FROM batches";
    assert_eq!(query(&lake, totals).await[0], ["404", "1", "403"]);

    // The stream goes on where Kafka was.
    broker.send("crimes", 2, &crimes(50, 9));
    assert_eq!(stream_all(&mended, &lake).await.unwrap(), summary(1, 50, 0));
    assert_eq!(positions(&lake).await, (453, 453));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_letters_a_replay_does_nothing() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(60, 3));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let job = job(folder.path(), &broker.address(), true, 60);
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(replay_all(&job, &lake).await, summary(0, 0, 0));
    assert_eq!(Essence::of(&lake).batches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_step_of_a_replay_changes_nothing() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let streamed = |name: &str| Lake::new(folder.path().join(name));
    let broken = job(folder.path(), &broker.address(), false, 202);
    let mended = job(folder.path(), &broker.address(), true, 202);
    let untouched = streamed("untouched");
    stream_all(&broken, &untouched).await.unwrap();
    assert_eq!(replay_all(&mended, &untouched).await, summary(1, 4, 1));
    let expected = Essence::of(&untouched);
    assert_eq!(expected.batches(), 3);

    for point in CrashPoint::ALL {
        let what = format!("crash after {point:?} of the replay");
        let lake = streamed(&format!("{point:?}"));
        stream_all(&broken, &lake).await.unwrap();
        let mut driver = Driver::open(&mended, &lake).await.unwrap();
        driver.crash_after(2, point);
        driver.recover(&mut |_| {}).await.unwrap();
        let error = driver.replay_batch(2, &mut |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("die after"), "{what}: {error}");
        drop(driver);

        // Whichever verb comes next brings the replay to its end.
        stream_all(&mended, &lake).await.unwrap();
        Essence::of(&lake).assert_same(&expected, &what);
        assert_eq!(positions(&lake).await, (403, 403), "{what}");
        let letters = query(&lake, "SELECT count(*) FROM dead_letters").await;
        assert_eq!(letters[0][0], "5", "{what}");
    }

    // Where the job is broken again when the replay goes on, the letters fail as before, and wait for the next replay.
    let lake = streamed("broken again");
    stream_all(&broken, &lake).await.unwrap();
    let mut driver = Driver::open(&mended, &lake).await.unwrap();
    driver.crash_after(2, CrashPoint::Plan);
    driver.recover(&mut |_| {}).await.unwrap();
    driver.replay_batch(2, &mut |_| {}).await.unwrap_err();
    drop(driver);
    stream_all(&broken, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (400, 400));
    assert_eq!(replay_all(&mended, &lake).await, summary(1, 4, 1));
    assert_eq!(positions(&lake).await, (403, 403));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_shown_and_replayed_from_the_command_line() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let broken = job(folder.path(), &broker.address(), false, 1000);
    let dlq = |arguments: &[&str]| {
        run(Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(["--lake".as_ref(), lake.as_os_str(), "--project".as_ref(), folder.path().as_os_str()])
            .arg("dlq")
            .args(arguments))
    };
    let none = dlq(&["show", JOB]);
    assert_eq!(none.status.code(), Some(2));
    assert!(texts(&none).1.contains("stream chicago-arrests"), "{}", texts(&none).1);

    stream_all(&broken, &Lake::new(&lake)).await.unwrap();
    let shown = dlq(&["show", JOB, "--format", "json"]);
    let letters: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), 4);
    let at = |partition: i64, offset: i64| {
        letters.iter().find(|l| l["partition"] == partition && l["offset"] == offset).unwrap()
    };
    assert_eq!(
        (&at(0, 15)["stage"], &at(0, 15)["replayed_in"]),
        (&"transform".into(), &serde_json::Value::Null)
    );
    assert!(at(0, 15)["payload"].as_str().unwrap().contains("05A30"));
    assert!(at(0, 15)["error"].as_str().unwrap().contains("05A30"), "{}", at(0, 15));
    assert_eq!(
        (&at(0, 125)["stage"], &at(0, 125)["payload"]),
        (&"decode".into(), &"0xff6e6f204a534f4e".into())
    );
    let limited = dlq(&["show", JOB, "--limit", "1", "--batch", "0", "--format", "csv"]);
    assert_eq!(texts(&limited).0.lines().count(), 2);

    project(folder.path(), true);
    let replayed = dlq(&["replay", JOB, "--brokers", &broker.address()]);
    let (stdout, stderr) = texts(&replayed);
    assert!(replayed.status.success(), "{stderr}");
    assert!(stdout.starts_with("batch    1"), "{stdout}");
    assert!(stderr.contains("4 fed again, 3 of them in the table now, 1 again dead"), "{stderr}");
    let shown = dlq(&["show", JOB, "--format", "csv"]);
    let lines = texts(&shown).0;
    assert_eq!(lines.lines().filter(|line| line.ends_with(",1")).count(), 4, "{lines}");
    assert_eq!(lines.lines().filter(|line| line.ends_with(',')).count(), 1, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_may_get_its_unit_after_numbers_have_come() {
    let broker = TestBroker::start().await;
    broker.create_topic("times", 1).await;
    let messages = [r#"{"n":1,"at":"2026-01-01 00:00:00"}"#, r#"{"n":2,"at":1767225601}"#];
    broker.send("times", 1, &messages.map(|text| Some(text.as_bytes().to_vec())));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    std::fs::create_dir_all(folder.path().join("jobs")).unwrap();
    let toml = "[source]\nkafka = { bootstrap_servers = \"BROKER\", subscribe = \"times\" }\nformat = \"json\"\n\
        schema = \"schema.sql\"\n[table]\npath = \"lake/times/rows\"\n";
    std::fs::write(folder.path().join("jobs/times.toml"), toml.replace("BROKER", &broker.address())).unwrap();
    let job = |kind: &str| {
        let sql = format!("CREATE TABLE m (n INT, at {kind})");
        std::fs::write(folder.path().join("schema.sql"), sql).unwrap();
        Project::open(folder.path()).stream_job("times", &Settings::default()).unwrap()
    };
    assert_eq!(stream_all(&job("TIMESTAMP"), &lake).await.unwrap(), summary(1, 2, 1));
    let letters = query(&lake, "SELECT \"offset\", error FROM system.dead_letters").await;
    assert!(
        letters.len() == 1 && letters[0][0] == "1" && letters[0][1].contains("TIMESTAMP(s)"),
        "{letters:?}"
    );

    assert_eq!(replay_all(&job("TIMESTAMP(s)"), &lake).await, summary(1, 1, 0));
    broker.send("times", 1, &[Some(br#"{"n":3,"at":1767225602}"#.to_vec())]);
    assert_eq!(stream_all(&job("TIMESTAMP(s)"), &lake).await.unwrap(), summary(1, 1, 0));
    let rows = query(&lake, "SELECT n, at FROM times.rows ORDER BY n").await;
    let rows: Vec<String> = rows.into_iter().map(|row| row.join(" ")).collect();
    assert_eq!(rows, ["1 2026-01-01T00:00:00", "2 2026-01-01T00:00:01", "3 2026-01-01T00:00:02"]);
    // What it was read as stays.
    let error = stream_all(&job("TIMESTAMP(ms)"), &lake).await.unwrap_err();
    assert!(error.to_string().contains("schema differs"), "{error}");
}
