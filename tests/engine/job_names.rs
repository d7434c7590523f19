//! Two jobs that mean one folder, one table or one name in SQL: the second is refused, and the first goes on.

use std::path::Path;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};

use crate::support::{TestBroker, positions, query, run, stream_all, texts};

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn batch_job(folder: &Path, name: &str) {
    write(folder, &format!("jobs/{name}.toml"), "sql = \"sql/batch\"\n");
    write(folder, "sql/batch/rows.sql", "SELECT 1 AS a");
}

fn stream_job(folder: &Path, name: &str, table: &str, broker: &TestBroker) -> StreamJob {
    write(
        folder,
        &format!("jobs/{name}.toml"),
        &format!(
            "[source]\nkafka = {{ bootstrap_servers = \"x\", subscribe = \"crimes\" }}\nformat = \"json\"\n\
             schema = \"sql/stream/schema.sql\"\n[trigger]\navailable_now = true\n[table]\npath = \"{table}\"\n"
        ),
    );
    write(folder, "sql/stream/schema.sql", "CREATE TABLE m (n INT)");
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(folder).stream_job(name, &Settings { sets, environment: Default::default() }).unwrap()
}

/// Exit code and standard error of `tidemill run`.
fn run_job(folder: &Path, name: &str) -> (i32, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(folder.join("lake")).arg("--project").arg(folder).args(["run", name]);
    let output = run(command.env_remove("TIDEMILL_LAKE").env("NO_COLOR", "1"));
    (output.status.code().unwrap(), texts(&output).1)
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    send(&broker, 0..10);
    broker
}

fn send(broker: &TestBroker, numbers: std::ops::Range<u32>) {
    let messages: Vec<_> = numbers.map(|n| Some(format!("{{\"n\":{n}}}").into_bytes())).collect();
    broker.send("crimes", 1, &messages);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_job_does_not_get_the_folder_of_a_stream() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let stream = stream_job(folder.path(), "a_b", "lake/a_b/crimes", &broker);
    batch_job(folder.path(), "a-b");
    stream_all(&stream, &lake).await.unwrap();
    let (code, error) = run_job(folder.path(), "a-b");
    assert!(code == 2 && error.contains("is the folder of the stream job `a_b`"), "{code} {error}");
    assert!(error.contains("rename one of the two"), "{error}");
    send(&broker, 10..20);
    stream_all(&stream, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (20, 20));

    // And the other way round.
    let other = Lake::new(folder.path().join("other"));
    std::fs::rename(lake.root(), folder.path().join("first")).unwrap();
    assert_eq!(run_job(folder.path(), "a-b").0, 0);
    std::fs::rename(lake.root(), other.root()).unwrap();
    let error = stream_all(&stream, &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("is the folder of the batch job `a-b`"), "{error}");
    assert_eq!(query(&other, "SELECT a FROM a_b.rows").await, [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_job_is_told_to_be_its() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let first = stream_job(folder.path(), "first", "lake/first/rows", &broker);
    stream_all(&first, &lake).await.unwrap();
    for (name, table) in [("second", "lake/first/rows"), ("third", "lake/first/others")] {
        let error = stream_all(&stream_job(folder.path(), name, table, &broker), &lake).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        assert!(error.to_string().contains("belongs to the stream job `first`"), "{error}");
        let hint = error.next_step().unwrap();
        assert!(hint.contains(&format!("lake/{name}/TABLE")) && !hint.contains("delete"), "{hint}");
        assert!(!lake.root().join(name).exists(), "nothing is left of it");
    }
    send(&broker, 10..20);
    stream_all(&first, &lake).await.unwrap();
    assert_eq!(query(&lake, "SELECT count(*) FROM rows").await, [["20"]]);
}

#[test]
fn names_that_sql_would_not_find_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    batch_job(folder.path(), "shop-day");
    assert_eq!(run_job(folder.path(), "shop-day").0, 0);
    let refused = [
        ("Shop_Day", "the lake has a job `shop-day`"),
        ("system", "cannot be called `system`"),
        ("public", "cannot be called `public`"),
        ("information-schema", "cannot be called `information-schema`"),
        ("lateral", "cannot be called `lateral`"),
        ("a.b", "cannot be called `a.b`"),
        ("a b", "cannot be called `a b`"),
    ];
    for (name, said) in refused {
        batch_job(folder.path(), name);
        let (code, error) = run_job(folder.path(), name);
        assert!(code == 2 && error.contains(said), "{name}: {code} {error}");
        assert!(error.contains("rename"), "{name}: {error}");
    }
    assert_eq!(run_job(folder.path(), "../jobs/shop-day").0, 2);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path().join("lake")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["shop_day"]);
    assert_eq!(run_job(folder.path(), "shop-day").0, 0);
}
