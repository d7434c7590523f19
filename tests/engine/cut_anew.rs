//! A plan without a commit, and a job that has changed since: its offsets and time stay, its texts are the job's.

use std::path::Path;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Plan, RecordList};
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{TestBroker, query, stream_all, unsealed, unsealed_text};

/// What a job is written with.
#[derive(Clone, Copy)]
struct Texts {
    schema: &'static str,
    transform: &'static str,
    features: &'static str,
    models: &'static str,
}

const AS_PLANNED: Texts = Texts {
    schema: "n INT, y BOOLEAN, s TEXT",
    transform: "SELECT n, y, s FROM batch",
    features: "SELECT y, n FROM seen",
    models: TREE,
};

const TREE: &str = "[[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/s/features.sql\"\nlabel = \"y\"";
const OTHER_SPLIT: &str = "[[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/s/features.sql\"\nlabel = \"y\"\n\
                           evaluate = { holdout = 0.9, holdout_key = [\"s\"] }";
const STATE: &str = "[state]\ntable = \"per_s\"\nkey = \"s\"\nselect = \"sql/s/features.sql\"\n[state.columns]\nmost = { max = \"n\" }";

fn job(folder: &Path, broker: &TestBroker, texts: Texts) -> StreamJob {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let toml = format!(
        "[source]\nkafka = {{ bootstrap_servers = \"x\", subscribe = \"t\" }}\nformat = \"json\"\n\
         schema = \"sql/s/schema.sql\"\nmax_offsets_per_trigger = 50\n[table]\npath = \"lake/s/seen\"\n\
         transform = \"sql/s/transform.sql\"\n{}\n",
        texts.models
    );
    let toml = if texts.models.starts_with("[state]") { format!("stateful = true\n{toml}") } else { toml };
    write("jobs/s.toml", &toml);
    write("sql/s/schema.sql", &format!("CREATE TABLE seen ({})", texts.schema));
    write("sql/s/transform.sql", texts.transform);
    write("sql/s/features.sql", texts.features);
    write("sql/s/most.sql", "SELECT CAST(most AS DOUBLE) AS most FROM per_s");
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(folder).stream_job("s", &Settings { sets, environment: Default::default() }).unwrap()
}

/// A broker with a hundred messages.
async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1).await;
    let message = |n: u32| format!(r#"{{"n":{n},"y":{},"s":"v{}"}}"#, n.is_multiple_of(3), n % 5);
    let messages: Vec<_> = (0..100).map(|n| Some(message(n).into_bytes())).collect();
    broker.send("t", 1, &messages);
    broker
}

async fn rows(lake: &Lake, sql: &str) -> Vec<String> {
    query(lake, sql).await.into_iter().map(|row| row.join("|")).collect()
}

/// A driver that dies at this point of a batch, having done those before.
async fn dies(job: &StreamJob, lake: &Lake, batch: u64, point: CrashPoint) {
    let mut driver = Driver::open(job, lake).await.unwrap();
    driver.crash_after(batch, point);
    if driver.recover(&mut |_| {}).await.is_err() {
        return;
    }
    for _ in 0..batch {
        driver.next_batch(None, &mut |_| {}).await.unwrap();
    }
    driver.next_batch(None, &mut |_| {}).await.unwrap_err();
}

fn plans(lake: &Lake) -> RecordList<Plan> {
    RecordList::read_only(lake.checkpoint("s").join("offsets"))
}

fn records(lake: &Lake) -> Vec<String> {
    let files = crate::support::visible_files(&lake.checkpoint("s").join("offsets"));
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_was_mended_of_holds_no_batch() {
    let broker = broker().await;
    let mends: [(&str, Texts, &str, &str); 5] = [
        (
            "transform",
            Texts { transform: "SELECT CAST(n AS TEXT) AS n, y FROM batch", ..AS_PLANNED },
            "max(n)",
            "99",
        ),
        (
            "schema",
            Texts { schema: "n BIGINT, y BOOLEAN, s TEXT", ..AS_PLANNED },
            "arrow_typeof(max(n))",
            "Int64",
        ),
        ("features", Texts { features: "SELECT y, n, s FROM seen", ..AS_PLANNED }, "count(*)", "100"),
        ("hold-out", Texts { models: OTHER_SPLIT, ..AS_PLANNED }, "count(*)", "100"),
        (
            "state",
            Texts {
                transform: "SELECT n, s FROM batch",
                features: "SELECT s, most FROM per_s",
                models: STATE,
                ..AS_PLANNED
            },
            "count(*)",
            "100",
        ),
    ];
    for (what, mended, shows, value) in mends {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        dies(&job(folder.path(), &broker, AS_PLANNED), &lake, 0, CrashPoint::Read).await;
        let planned = plans(&lake).read(0).unwrap();
        let mended = job(folder.path(), &broker, mended);
        stream_all(&mended, &lake).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        let found =
            rows(&lake, &format!("SELECT count(*), count(DISTINCT _offset), {shows} AS more FROM seen"))
                .await;
        assert_eq!(found, [format!("100|100|{value}")], "{what}");
        let by = plans(&lake).read(0).unwrap();
        assert_eq!((by.topic.partitions, by.now), (planned.topic.partitions, planned.now), "{what}");
        assert_eq!(by.program.schema_sql, mended.program.schema_sql, "{what}");
        assert_eq!(records(&lake), ["0.1.json", "0.json", "1.json"], "{what}");
        assert_eq!(tidemill_core::doctor::examine(&lake, None).unwrap().findings, [], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_dies_itself_cuts_no_more_than_changes() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    dies(&job(folder.path(), &broker, AS_PLANNED), &lake, 1, CrashPoint::Stage).await;
    assert_eq!(records(&lake), ["0.json", "1.json"]);
    let with = |transform| job(folder.path(), &broker, Texts { transform, ..AS_PLANNED });
    let second = with("SELECT n, y, s, 2 AS rule FROM batch");
    for point in [CrashPoint::Read, CrashPoint::Stage] {
        dies(&second, &lake, 1, point).await;
        assert_eq!(records(&lake), ["0.json", "1.1.json", "1.json"]);
    }
    // What is committed counts: a transform that does not go into the table is refused, and leaves no record.
    let error = stream_all(&with("SELECT y, s FROM batch"), &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    assert_eq!(records(&lake), ["0.json", "1.1.json", "1.json"]);
    stream_all(&with("SELECT n, y, s, 3 AS rule FROM batch"), &lake).await.unwrap();
    assert_eq!(records(&lake), ["0.json", "1.1.json", "1.2.json", "1.json"]);
    let found = "SELECT _batch_id, count(*), max(rule) FROM seen GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&lake, found).await, ["0|50|", "1|50|3"]);
    // It is the plan of the last batch by which the next is compared.
    let error = stream_all(&second, &lake).await;
    assert!(error.is_ok(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transform_that_is_refused_by_now_holds_no_batch() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let first = job(folder.path(), &broker, AS_PLANNED);
    dies(&first, &lake, 0, CrashPoint::Plan).await;
    // A plan of another version, whose transform this one refuses.
    let path = lake.checkpoint("s").join("offsets/0.json");
    let text = unsealed_text(&path);
    let refused =
        text.replace("SELECT n, y, s FROM batch", "SELECT n, y, s, nobody_knows(n) AS x FROM batch");
    assert_ne!(text, refused);
    std::fs::write(&path, refused).unwrap();
    stream_all(&first, &lake).await.unwrap();
    assert_eq!(rows(&lake, "SELECT count(*), sum(n) FROM seen").await, ["100|4950"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_stop_every_batch_is_refused_before_one_is_planned() {
    let broker = broker().await;
    let of_struct = "[[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/s/features.sql\"\n\
                     label = \"y\"\nevaluate = { holdout = 0.3, holdout_key = [\"both\"] }";
    let clustered = "[state]\ntable = \"per_s\"\nkey = \"s\"\nselect = \"sql/s/features.sql\"\n[state.columns]\n\
                     most = { max = \"n\" }\n[[models]]\nname = \"a\"\nalgorithm = \"kmeans\"\nclusters = 2\n\
                     features = \"sql/s/most.sql\"";
    let cases = [
        (
            Texts { transform: "SELECT n, y, (n, s) AS both FROM batch", models: of_struct, ..AS_PLANNED },
            "hold-out column `both`",
        ),
        (
            Texts { features: "SELECT s, most, 1 AS cluster_a FROM per_s", models: clustered, ..AS_PLANNED },
            "two columns of the state are called `cluster_a`",
        ),
    ];
    for (texts, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        let error = stream_all(&job(folder.path(), &broker, texts), &lake).await.unwrap_err();
        assert!(error.kind() == ErrorKind::User && error.to_string().contains(says), "{error:?}");
        assert_eq!(plans(&lake).latest().unwrap(), None, "{says}");
    }
}

/// Earlier versions let a batch job write into the folder of a stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_batch_job_is_told_by_its_name() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let job = job(folder.path(), &broker, AS_PLANNED);
    stream_all(&job, &lake).await.unwrap();
    let commits = lake.checkpoint("s").join("commits");
    let mut record = unsealed(&commits.join("1.json"));
    let theirs = serde_json::json!({"table": "t", "fingerprint": "", "built_at": "", "inputs": []});
    for number in [2, 3] {
        record["batch_id"] = number.into();
        record["added"] = serde_json::json!([]);
        record["build"] = theirs.clone();
        std::fs::write(commits.join(format!("{number}.json")), record.to_string()).unwrap();
    }
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert!(error.to_string().contains("a batch job has written commits 2 to 3 in"), "{error}");
    let hint = error.next_step().unwrap();
    assert!(hint.contains("from 2.json on") && !hint.contains("restore"), "{hint}");
    for number in [2, 3] {
        std::fs::remove_file(commits.join(format!("{number}.json"))).unwrap();
    }
    stream_all(&job, &lake).await.unwrap();
}
