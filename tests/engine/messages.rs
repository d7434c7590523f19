//! Messages as anybody may write them: JSON and what only looks like it, nested without end, of times that no calendar
//! shows. Each is a row or a dead letter, on every broker that there is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::replay;

use crate::support::{TestBroker, query, run, stream_all, texts, tidemill};

/// A job that keeps the messages of the broker's topic as they are.
fn job(folder: &Path, broker: &TestBroker, schema: &str) -> StreamJob {
    std::fs::create_dir_all(folder.join("jobs")).unwrap();
    let toml = "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"x\" }\nformat = \"json\"\n\
        schema = \"schema.sql\"\n[table]\npath = \"lake/seen/rows\"\n";
    std::fs::write(folder.join("jobs/seen.toml"), toml).unwrap();
    std::fs::write(folder.join("schema.sql"), format!("CREATE TABLE m ({schema})")).unwrap();
    let sets = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.address()),
        ("source.kafka.subscribe".to_owned(), broker.topic.clone()),
    ];
    Project::open(folder).stream_job("seen", &Settings { sets, environment: BTreeMap::new() }).unwrap()
}

async fn rows(lake: &Lake, sql: &str) -> Vec<String> {
    query(lake, sql).await.into_iter().map(|row| row.join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_ends_the_driver_and_what_is_no_json_is_a_dead_letter() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let long = "x".repeat(900_000);
    // What Python's json.loads and DuckDB's json_valid take, then what they refuse, or what is none of its type.
    let good = [
        r#"{"id":1,"t":"a"}"#.to_owned(),
        r#" {"t" : 555.50e1 , "id":"2", "more":[1,{"a":[null]}]} "#.to_owned(),
        r#"{"id":9007199254740993.0,"t":true}"#.to_owned(),
        format!(r#"{{"more":{},"id":4}}"#, nested(400)),
        format!(r#"{{"id":5,"t":"{long}"}}"#),
    ];
    let bad = [
        // The issue's message: it ended the process while its error text was made.
        format!(r#"{{"id":9,"t":{}}}"#, nested(110_000)),
        format!(r#"{{"id":9,"t":{}}}"#, "{\"a\":".repeat(110_000)),
        format!(r#"{{"id":9,"t":{}}}"#, nested(400)),
        format!(r#"{{"id":"{long}"}}"#),
        format!(r#"{{"id":9,"t":["{long}"]}}"#),
        r#"{"id":9 "t":"x"}"#.to_owned(),
        r#"{"id":9,"t":555-1234}"#.to_owned(),
        r#"{"id":9,"t":"x",}"#.to_owned(),
        r#"{"id":09}"#.to_owned(),
        r#"{"id":9,"more":[1 2]}"#.to_owned(),
        r#"{"id":9,"t":NaN}"#.to_owned(),
        "{\"id\":9,\"t\":\"a\nb\"}".to_owned(),
        r#"{"id":9}{"id":9}"#.to_owned(),
        r#"{"id":9223372036854775808}"#.to_owned(),
        r#"{"id":9,"at":9223372036854775807}"#.to_owned(),
        r#"{"id":9,"at":"0000-01-01 00:00:00"}"#.to_owned(),
    ];
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 1).await;
        let messages: Vec<_> = good.iter().chain(&bad).map(|text| Some(text.clone().into_bytes())).collect();
        broker.send(&broker.topic, 1, &messages);
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        let job = job(folder.path(), &broker, "id BIGINT NOT NULL, t TEXT, at TIMESTAMP(us)");
        let summary = stream_all(&job, &lake).await.unwrap();
        assert_eq!((summary.rows, summary.dead_letters), (21, 16), "{}", broker.name());
        let seen = rows(&lake, "SELECT id, left(t, 7), length(t) FROM seen.rows ORDER BY _offset").await;
        assert_eq!(
            seen,
            ["1|a|1", "2|555.50e|8", "9007199254740993|true|4", "4||", "5|xxxxxxx|900000"],
            "{}",
            broker.name()
        );
        // The messages are kept whole, and little is said of each.
        let letters = "SELECT \"offset\", octet_length(CAST(payload AS VARCHAR)), octet_length(error) < 1100 FROM system.dead_letters ORDER BY 1";
        let expected: Vec<String> =
            bad.iter().zip(5..).map(|(text, offset)| format!("{offset}|{}|true", text.len())).collect();
        assert_eq!(rows(&lake, letters).await, expected);
        let printed = run(Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args([
                "--lake".as_ref(),
                lake.root().as_os_str(),
                "--project".as_ref(),
                folder.path().as_os_str(),
            ])
            .args(["dlq", "show", "seen"]));
        assert!(printed.status.success() && printed.stdout.len() < 60_000, "{printed:?}");
        // And it goes on.
        broker.send(&broker.topic, 1, &[Some(br#"{"id":10}"#.to_vec())]);
        assert_eq!(stream_all(&job, &lake).await.unwrap().rows, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_no_calendar_shows_is_null_and_its_number_is_beside() {
    // 2025-11-29 in nanoseconds, as a producer sends that takes the field for one of those.
    const NANOS: i64 = 1_764_450_000_000_000_000;
    const USUAL: i64 = 1_764_450_000_000;
    for broker in TestBroker::all().await {
        let settings = [("retention.ms", "-1"), ("message.timestamp.after.max.ms", "9223372036854775807")];
        broker.create_topic_with(&broker.topic, 1, &settings).await;
        let send = |message: &str, time: i64| {
            let messages = [Some(message.as_bytes().to_vec())];
            broker.send_as(&broker.topic, &messages, |_, record| record.partition(0).timestamp(time));
        };
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        let job = job(folder.path(), &broker, "id INT NOT NULL");
        let times = "SELECT id, arrow_cast(_timestamp, 'Int64'), _timestamp_ms FROM seen.rows ORDER BY id";
        send(r#"{"id":1}"#, USUAL);
        stream_all(&job, &lake).await.unwrap();
        let columns = "SELECT count(*) FROM information_schema.columns \
            WHERE table_schema = 'seen' AND column_name = '_timestamp_ms'";
        assert_eq!(rows(&lake, columns).await, ["0"]);
        send(r#"{"id":2}"#, NANOS);
        send(r#"{"id":"x"}"#, NANOS);
        stream_all(&job, &lake).await.unwrap();
        let seen = [format!("1|{USUAL}|"), format!("2||{NANOS}"), format!("3|{USUAL}|")];
        assert_eq!(rows(&lake, times).await, seen[..2], "{}", broker.name());
        // The column stays, also for a driver that has just been started.
        send(r#"{"id":3}"#, USUAL);
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(rows(&lake, times).await, seen, "{}", broker.name());
        // A letter has the number too, also where it came out of a replay.
        let again = replay::replay(&job, &lake, Arc::new(AtomicBool::new(false)), &mut |_| {}).await.unwrap();
        assert_eq!((again.rows, again.dead_letters), (1, 1));
        let letters =
            "SELECT batch_id, \"timestamp\" IS NULL, timestamp_ms FROM system.dead_letters ORDER BY 1";
        assert_eq!(rows(&lake, letters).await, [format!("1|true|{NANOS}"), format!("3|true|{NANOS}")]);
        for format in ["table", "csv", "json", "nd-json", "markdown"] {
            let sql = ["sql", "SELECT * FROM seen.rows", "--format", format];
            let printed = run(tidemill(lake.root()).args(sql));
            let (stdout, stderr) = texts(&printed);
            assert!(printed.status.success() && stdout.contains(&NANOS.to_string()), "{format}: {stderr}");
            assert!(!stdout.contains("ERROR") && !stdout.contains("Cast"), "{format}: {stdout}");
        }
    }
}

#[test]
fn no_form_of_output_has_an_error_for_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let number = i64::MAX.to_string();
    // SQL makes no such time; a file of others may hold one.
    let times = |time: i64| Arc::new(TimestampMillisecondArray::from(vec![time])) as ArrayRef;
    let rows = RecordBatch::try_from_iter([("at", times(i64::MAX)), ("fine", times(0))]).unwrap();
    let file = folder.path().join("times.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&file).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let sql = format!("SELECT at, [at] AS l, fine FROM '{}'", file.display());
    for format in ["table", "csv", "json", "nd-json", "markdown"] {
        let printed = run(tidemill(folder.path()).args(["sql", &sql, "--format", format]));
        let (stdout, stderr) = texts(&printed);
        assert!(printed.status.success(), "{format}: {stderr}");
        assert!(!stdout.to_lowercase().contains("error"), "{format}: {stdout}");
        assert_eq!(stdout.matches(&number).count(), 2, "{format}: {stdout}");
        assert!(stdout.contains("1970-01-01T00:00:00"), "{format}: {stdout}");
        if format == "json" {
            let rows: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(
                rows[0],
                serde_json::json!({"at": number, "l": [number], "fine": "1970-01-01T00:00:00"})
            );
        }
    }
}
