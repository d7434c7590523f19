//! Tables as they were: what `VERSION AS OF`, `TIMESTAMP AS OF` and `--as-of-batch` say is what a copy of the lake said that was
//! taken then.

use std::path::Path;
use std::sync::Arc;

use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::StreamOptions;
use tidemill_core::{batch, catalog};

use crate::bank::{Bank, CHURN, customers};
use crate::batch::Shop;
use crate::rfm::{self, order_rows};
use crate::support::{query, run, texts, tidemill};

/// Batches of the stream.
const BATCHES: u64 = 5;
/// The one that is asked for again.
const THEN: u64 = 2;

const ROWS: &str = "SELECT * FROM olist_rfm.order_rows ORDER BY _batch_id, _partition, _offset";
const STATE: &str = "SELECT * FROM olist_rfm.customers ORDER BY customer_unique_id";
const BATCHES_TOLD: &str = "SELECT * FROM system.batches ORDER BY batch_id";

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Streams so many more batches, learning included.
async fn stream(job: &StreamJob, lake: &Lake, batches: u64) {
    let options =
        StreamOptions { available_now: true, max_batches: Some(batches), ..StreamOptions::default() };
    tidemill_core::stream::run(job, lake, &options, Arc::default(), &mut |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_what_it_was() {
    let messages = order_rows(400, 3);
    let broker = rfm::broker_with(&messages).await;
    let job = rfm::job(&broker.address(), (messages.len() as u64).div_ceil(BATCHES), &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let then = Lake::new(folder.path().join("then"));
    stream(&job, &lake, THEN + 1).await;
    copy(lake.root(), then.root());
    stream(&job, &lake, BATCHES).await;
    let plan =
        std::fs::read_to_string(lake.checkpoint("olist_rfm").join(format!("offsets/{THEN}.json"))).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let moment = plan["now"].as_str().unwrap();

    let past = catalog::lake_after(&lake, "olist_rfm", THEN).unwrap();
    for sql in
        [ROWS, STATE, BATCHES_TOLD, "SELECT * FROM system.metrics ORDER BY batch_id, model, evaluation"]
    {
        let expected = query(&then, sql).await;
        assert!(!expected.is_empty() && expected != query(&lake, sql).await, "{sql}");
        assert_eq!(query(&past, sql).await, expected, "{sql}");
        let by_time = sql.replace(" ORDER", &format!(" TIMESTAMP AS OF '{moment}' ORDER"));
        assert_eq!(query(&lake, &by_time).await, expected, "{by_time}");
        if !sql.contains("system.") {
            let by_version = sql.replace(" ORDER", &format!(" VERSION AS OF {THEN} ORDER"));
            assert_eq!(query(&lake, &by_version).await, expected, "{by_version}");
        }
    }
    // What came since, by one statement.
    let since = format!(
        "SELECT min(n._batch_id) FROM order_rows AS n LEFT ANTI JOIN order_rows VERSION AS OF {THEN} AS o \
         ON n._partition = o._partition AND n._offset = o._offset"
    );
    assert_eq!(query(&lake, &since).await, [[(THEN + 1).to_string()]]);

    let told = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(["sql", "--format", "csv"]).args(arguments));
        (output.status.code(), texts(&output))
    };
    let count = "SELECT count(*) AS n FROM order_rows";
    let (code, (rows, _)) = told(&["--job", "olist-rfm", "--as-of-batch", "2", count]);
    assert_eq!((code, rows), (Some(0), format!("n\n{}\n", query(&then, count).await[0][0])));
    for (statement, says) in [
        ("SELECT 1 FROM order_rows VERSION AS OF 5", "has no version 5: the newest is 4"),
        ("SELECT 1 FROM order_rows VERSION AS OF 'x'", "VERSION AS OF is followed by what is written out"),
        ("SELECT 1 FROM order_rows TIMESTAMP AS OF 'noon'", "`noon` is no time"),
        ("SELECT 1 FROM order_rows TIMESTAMP AS OF '2999-01-01'", "is to come"),
        ("SELECT 1 FROM order_rows TIMESTAMP AS OF '1999-01-01'", "there was no olist_rfm.order_rows then"),
        ("SELECT 1 FROM order_row VERSION AS OF 1", "there is no table `order_row`"),
        ("SELECT 1 FROM order_row TIMESTAMP AS OF '2026-11-30 12:00:00.5'", "did you mean `order_rows`"),
        (
            "WITH order_rows AS (SELECT 1) SELECT 1 FROM order_rows VERSION AS OF 1",
            "`order_rows` is a part of WITH",
        ),
        ("SELECT 1 FROM system.metrics VERSION AS OF 1", "no versions of its own"),
    ] {
        let (code, (_, error)) = told(&[statement]);
        assert!(code == Some(2) && error.contains(says), "{statement}: {code:?} {error}");
    }
    // What is beside such a table stays as it was written.
    let literals = format!(
        r"SELECT count(*) FROM order_rows VERSION AS OF {THEN} WHERE E'a\\b' = 'a\b' AND E'it\'s' LIKE E'%\'%' AND length(E'a\\nb') = 4"
    );
    assert_eq!(query(&lake, &literals).await, query(&then, count).await);
    let (code, (_, error)) = told(&["--job", "nosuch", "--as-of-batch", "0", count]);
    assert!(code == Some(2) && error.contains("there is no job `nosuch`"), "{error}");
    let (code, (_, error)) = told(&["--job", "olist-rfm", "--as-of-batch", "7", count]);
    assert!(code == Some(2) && error.contains("olist-rfm has no batch 7: its newest is 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_table_is_what_it_was() {
    let shop = Shop::new();
    shop.run(&[]);
    let wide = "SELECT * FROM shop.wide ORDER BY 1, 2";
    let first = shop.rows(wide).await;
    let as_of = |version: u64| format!("SELECT * FROM shop.wide VERSION AS OF {version} ORDER BY 1, 2");
    let between = jiff::Timestamp::now().to_string();
    shop.edit("orders.csv", "b,RJ", "b,SP");
    shop.run(&["--select", "wide"]);
    let second = shop.rows(wide).await;
    assert_ne!(first, second);
    assert_eq!(shop.rows(&as_of(0)).await, first);
    assert_eq!(shop.rows(&as_of(1)).await, second);
    assert_eq!(
        shop.rows(&format!("SELECT * FROM wide TIMESTAMP AS OF '{between}' ORDER BY 1, 2")).await,
        first
    );
    for _ in 0..batch::KEPT {
        shop.run(&["--select", "wide", "--force"]);
    }
    let whole = ["sql", "--job", "shop", "--as-of-batch", "2", "SELECT count(*) FROM shop.wide"];
    for arguments in [&["sql", &as_of(0)][..], &whole[..]] {
        let output = run(shop.command(arguments).env("NO_COLOR", "1"));
        let error = texts(&output).1;
        assert!(output.status.code() == Some(2) && error.contains("shop.wide as it was is gone"), "{error}");
    }
}

/// A statement over the lake as it was asks the models that there were.
#[tokio::test(flavor = "multi_thread")]
async fn models_are_what_they_were() {
    let bank = Bank::new(&format!("{CHURN}keep = 9\n"));
    bank.run(&[]);
    let mean = "SELECT round(avg(predict_proba('bank.churn', age, income, region)), 6) AS p FROM people";
    let first = bank.says(&["sql", "--format", "csv", mean]);
    let commits = std::fs::read_dir(bank.lake().checkpoint("bank").join("commits")).unwrap().count();
    let then = (commits - 1).to_string();
    bank.data(&customers(600, 600, 40));
    bank.run(&[]);
    assert_ne!(bank.says(&["sql", "--format", "csv", mean]), first);
    let as_of = ["sql", "--job", "bank", "--as-of-batch", &then, "--format", "csv", mean];
    assert_eq!(bank.says(&as_of), first);
    // What was said of versions since, too.
    bank.says(&["models", "promote", "bank", "churn@1"]);
    assert_eq!(bank.says(&as_of), first);
}

/// A state as it was outlives the models of then.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_there_without_its_old_models() {
    let messages = order_rows(300, 3);
    let broker = rfm::broker_with(&messages).await;
    let job = rfm::job(&broker.address(), (messages.len() as u64).div_ceil(BATCHES), &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream(&job, &lake, BATCHES).await;
    let customers = "SELECT count(*), count(DISTINCT customer_unique_id) FROM customers VERSION AS OF 1";
    let expected = query(&lake, customers).await;
    let models = std::fs::read_dir(lake.root().join("olist_rfm/_models")).unwrap();
    let of_then = models.map(|model| model.unwrap().path().join("batch-00000001.model"));
    let removed = of_then.filter(|file| std::fs::remove_file(file).is_ok()).count();
    assert!(removed > 0);
    assert_eq!(query(&lake, customers).await, expected);
}
