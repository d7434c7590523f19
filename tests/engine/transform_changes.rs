//! A transform that is changed under its table: what may be added, what is refused, and what of the engine's columns is
//! always there.

use std::path::Path;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};

use crate::support::{TestBroker, query, stream_all};

/// A job of this transform and features in `folder`.
fn job(folder: &Path, broker: &TestBroker, transform: &str, features: &str) -> StreamJob {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "jobs/s.toml",
        "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"t\" }\nformat = \"json\"\n\
         schema = \"sql/s/schema.sql\"\n[trigger]\navailable_now = true\n\
         [table]\npath = \"lake/s/seen\"\ntransform = \"sql/s/transform.sql\"\n\
         [[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\nfeatures = \"sql/s/features.sql\"\nlabel = \"y\"\n",
    );
    write("sql/s/schema.sql", "CREATE TABLE seen (n INT, y BOOLEAN, s TEXT)");
    write("sql/s/transform.sql", transform);
    write("sql/s/features.sql", features);
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), broker.address())];
    Project::open(folder).stream_job("s", &Settings { sets, environment: Default::default() }).unwrap()
}

fn send(broker: &TestBroker, numbers: std::ops::Range<u32>) {
    let message = |n: u32| format!(r#"{{"n":{n},"y":{},"s":"v{}"}}"#, n.is_multiple_of(3), n % 5);
    let messages: Vec<_> = numbers.map(|n| Some(message(n).into_bytes())).collect();
    broker.send("t", 1, &messages);
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1).await;
    send(&broker, 0..100);
    broker
}

const FEATURES: &str = "SELECT y, n FROM seen";

async fn rows(lake: &Lake, sql: &str) -> Vec<String> {
    query(lake, sql).await.into_iter().map(|row| row.join("|")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_columns_come_out_of_subqueries() {
    let broker = broker().await;
    for (at, transform) in [
        "SELECT * FROM (SELECT n, y FROM batch)",
        "WITH a AS (SELECT n, y FROM batch WHERE n >= 0), b AS (SELECT * FROM a) SELECT n, y FROM b AS c",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        stream_all(&job(folder.path(), &broker, transform, FEATURES), &lake).await.unwrap();
        let found = rows(
            &lake,
            "SELECT count(*), count(DISTINCT _offset), min(_batch_id), min(_topic), max(_partition), count(_timestamp) \
             FROM seen WHERE _offset = n",
        );
        assert_eq!(found.await, ["100|100|0|t|0|100"], "{at}");
    }
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let made = job(folder.path(), &broker, "SELECT n, y, _offset + 1 AS _offset FROM batch", FEATURES);
    let error = stream_all(&made, &lake).await.unwrap_err();
    assert!(error.kind() == ErrorKind::User && error.to_string().contains("`_offset`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_may_be_added_and_nothing_else_may_change() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let first = job(folder.path(), &broker, "SELECT n, y, s FROM batch", FEATURES);
    stream_all(&first, &lake).await.unwrap();
    send(&broker, 100..150);
    for (transform, says) in [
        ("SELECT CAST(n AS TEXT) AS n, y, s FROM batch", ["`n` as TEXT, s.seen has it as INT", ""]),
        ("SELECT CAST(n AS BIGINT) AS n, y, s FROM batch", ["`n` as BIGINT, s.seen has it as INT", ""]),
        ("SELECT n, y FROM batch", ["no longer gives the column `s`", "which s.seen has as TEXT"]),
        ("SELECT n, y, s AS t FROM batch", ["no longer gives the column `s`", "which s.seen has as TEXT"]),
    ] {
        let error = stream_all(&job(folder.path(), &broker, transform, FEATURES), &lake).await.unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::User && says.iter().all(|part| text.contains(part)), "{text}");
        assert!(error.next_step().unwrap().contains("CAST("), "{error:?}");
        assert_eq!(rows(&lake, "SELECT count(*), max(_batch_id) FROM seen").await, ["100|0"]);
    }

    // New columns, one of which can be no null in the rows that have it, before, between and behind the others; the model
    // learns from them too, and the order of the others is another.
    let added = job(
        folder.path(),
        &broker,
        "SELECT 7 AS rule, s, CASE WHEN n > 120 THEN n END AS more, y, n FROM batch",
        "SELECT y, n, rule, more FROM seen",
    );
    stream_all(&added, &lake).await.unwrap();
    let counts = "SELECT count(*), count(rule), sum(CASE WHEN rule IS NULL THEN 1 ELSE 0 END), count(more), sum(n) FROM seen";
    assert_eq!(rows(&lake, counts).await, ["150|50|100|29|11175"]);
    assert_eq!(rows(&lake, "SELECT n, rule FROM seen WHERE rule IS NULL AND n > 98").await, ["99|"]);
    assert_eq!(rows(&lake, "SELECT n FROM seen WHERE more = 130").await, ["130"]);
    let learned = "SELECT train_rows > 60, status FROM system.models WHERE batch_id = 1";
    assert_eq!(rows(&lake, learned).await, ["true|trained"]);
    // What was added stays.
    let error = stream_all(&first, &lake).await.unwrap_err();
    assert!(error.to_string().contains("no longer gives the column `rule`"), "{error}");

    // A batch without rows leaves the newest file as it is; started anew, all rows are learned from again.
    let none = job(
        folder.path(),
        &broker,
        "SELECT 7 AS rule, s, CASE WHEN n > 120 THEN n END AS more, y, n, n AS late FROM batch WHERE n > 1000",
        "SELECT y, n, rule, more, late FROM seen",
    );
    send(&broker, 150..160);
    stream_all(&none, &lake).await.unwrap();
    assert_eq!(rows(&lake, counts).await, ["150|50|100|29|11175"]);
    send(&broker, 1001..1011);
    stream_all(&none, &lake).await.unwrap();
    assert_eq!(rows(&lake, "SELECT count(*), count(late), count(rule) FROM seen").await, ["160|10|60"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_two_columns_of_one_name_says_so() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let mut job = job(folder.path(), &broker, "SELECT n, y FROM batch", FEATURES);
    job.program.views.insert("both".into(), "SELECT a.n, b.n FROM seen a JOIN seen b ON a.n = b.n".into());
    // Before anything is written, also where a view reads it that comes before.
    job.program.views.insert("a_half".into(), "SELECT n FROM both".into());
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert!(error.kind() == ErrorKind::User, "{error:?}");
    let error = error.to_string();
    assert!(visible_plans(&lake).is_empty());
    assert!(
        error.contains("`a.n`, the 1st column, and `b.n`, the 2nd") && error.contains("view s.both"),
        "{error}"
    );
}

/// The plans that a job has written.
fn visible_plans(lake: &Lake) -> Vec<std::path::PathBuf> {
    let folder = lake.checkpoint("s").join("offsets");
    if folder.exists() { crate::support::visible_files(&folder) } else { Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_no_table_keeps_is_refused_before_anything_is_planned() {
    let broker = broker().await;
    for (expression, says, instead) in [
        ("INTERVAL '1 day'", "`x` is an INTERVAL", "EXTRACT(EPOCH FROM …) AS x"),
        ("[INTERVAL '1 day']", "`x` holds an INTERVAL", "EXTRACT(EPOCH FROM …) AS x"),
        (
            "TIMESTAMP '2026-01-02' - TIMESTAMP '2026-01-01'",
            "`x` is a difference of times",
            "EXTRACT(EPOCH FROM …) AS x",
        ),
        ("NULL", "`x` is null in every row", "CAST(NULL AS TEXT) AS x"),
        ("TIME '10:00:00'", "`x` is a TIME", "CAST(… AS TEXT) AS x"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path().join("lake"));
        let made =
            job(folder.path(), &broker, &format!("SELECT n, y, {expression} AS x FROM batch"), FEATURES);
        let error = stream_all(&made, &lake).await.unwrap_err();
        assert!(error.kind() == ErrorKind::User && error.to_string().contains(says), "{error:?}");
        assert!(error.next_step().unwrap().contains(instead), "{error:?}");
        assert!(visible_plans(&lake).is_empty(), "{expression}");
        // So it goes on with a transform that is mended.
        stream_all(&job(folder.path(), &broker, "SELECT n, y, 1 AS x FROM batch", FEATURES), &lake)
            .await
            .unwrap();
        assert_eq!(rows(&lake, "SELECT count(x) FROM seen").await, ["100"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_no_row_yet_says_so() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job(folder.path(), &broker, "SELECT CAST(s AS INT) AS n, y FROM batch", FEATURES), &lake)
        .await
        .unwrap();
    let session = tidemill_core::catalog::open_session(&lake).await.unwrap();
    for table in ["seen", "s.seen"] {
        let sql = format!("SELECT * FROM {table}");
        let error = tidemill_core::catalog::query(&session, &lake, &sql).await.unwrap_err();
        assert!(error.to_string().contains(&format!("there is no table `{table}`")), "{error}");
        let hint = error.next_step().unwrap();
        assert!(
            hint.contains("the stream `s` has no row yet: of 100 messages 100 are dead letters"),
            "{hint}"
        );
        assert!(hint.contains("SELECT error FROM system.dead_letters"), "{hint}");
    }
}

/// What a transform, a view and a description say a column is, is what it is: `price * 0.07` of a DECIMAL is one.
#[tokio::test(flavor = "multi_thread")]
async fn columns_have_the_types_of_their_results() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let transform =
        "SELECT n, y, CAST(n AS DECIMAL(10,2)) * 0.07 AS tax, CAST(n AS DOUBLE) * 0.5 AS half FROM batch";
    let mut job = job(folder.path(), &broker, transform, FEATURES);
    job.program
        .views
        .insert("taxed".into(), "SELECT tax * 0.5 AS part, tax * 5e-1 AS some, n FROM seen".into());
    job.program.views.insert("again".into(), "SELECT part + 0.25 AS more, some FROM taxed".into());
    stream_all(&job, &lake).await.unwrap();
    let kinds = "SELECT DISTINCT arrow_typeof(tax), arrow_typeof(half) FROM seen";
    assert_eq!(rows(&lake, kinds).await, ["Decimal128(13, 4)|Float64"]);
    // DuckDB's values.
    assert_eq!(rows(&lake, "SELECT tax, half FROM seen WHERE n = 3").await, ["0.2100|1.5"]);
    assert_eq!(rows(&lake, "SELECT part, some FROM taxed WHERE n = 3").await, ["0.10500|0.105"]);
    assert_eq!(rows(&lake, "SELECT more FROM again ORDER BY 1 LIMIT 1").await, ["0.25000"]);
    let names = ["part|Decimal128(15, 5)|YES", "some|Float64|YES", "n|Int32|YES"];
    assert_eq!(rows(&lake, "DESCRIBE taxed").await, names);
    assert_eq!(rows(&lake, "DESCRIBE again").await, ["more|Decimal128(16, 5)|YES", "some|Float64|YES"]);
    let session = tidemill_core::catalog::open_session(&lake).await.unwrap();
    for (table, expected) in
        [("taxed", ["Decimal128(15, 5)", "Float64"]), ("again", ["Decimal128(16, 5)", "Float64"])]
    {
        let described = tidemill_core::catalog::describe(&session, &lake, table).await.unwrap();
        let kinds = arrow::array::AsArray::as_string::<i32>(&described["type"]);
        assert_eq!([kinds.value(0), kinds.value(1)], expected, "{table}");
    }
    let none =
        tidemill_core::catalog::query(&session, &lake, "SELECT tax * 0.5 AS part FROM seen WHERE n < 0")
            .await
            .unwrap();
    assert_eq!(none[0].schema().field(0).data_type().to_string(), "Decimal128(15, 5)");
}
