//! The stateful job, olist-rfm: the state equals the same SQL over all rows, whatever the driver dies of; bad input has
//! the outcome that its rule says; the messages of `produce` are the rows of the table in their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{TestBroker, query, run, stream_all, texts, tidemill, visible_files};

pub const JOB: &str = "olist-rfm";
const TOPIC: &str = "orders";

/// The state, worked out from all rows at once.
pub const BATCH_SQL: &str = "
    WITH once AS (
        SELECT customer_unique_id, order_id, payment_sequential, MIN(payment_brl) AS paid
        FROM olist_rfm.order_rows WHERE payment_brl IS NOT NULL
        GROUP BY customer_unique_id, order_id, payment_sequential
    ), spent AS (
        SELECT customer_unique_id, SUM(paid) AS monetary FROM once GROUP BY customer_unique_id
    ), bought AS (
        SELECT customer_unique_id, MAX(purchased_at) AS last_purchase_at, COUNT(DISTINCT order_id) AS orders,
            COUNT(DISTINCT CASE WHEN payment_sequential IS NOT NULL
                THEN CONCAT(order_id, '/', CAST(payment_sequential AS VARCHAR)) END) AS payments
        FROM olist_rfm.order_rows GROUP BY customer_unique_id
    )
    SELECT b.customer_unique_id, b.last_purchase_at, b.orders, b.payments,
        CAST(COALESCE(s.monetary, 0) AS DECIMAL(12, 2)) AS monetary
    FROM bought b LEFT JOIN spent s ON b.customer_unique_id = s.customer_unique_id
    ORDER BY b.customer_unique_id";

/// The state, as it was kept.
pub const STATE_SQL: &str = "
    SELECT customer_unique_id, last_purchase_at, orders, payments, monetary
    FROM olist_rfm.customers ORDER BY customer_unique_id";

/// Joined order rows: some customers come again, orders have several items, payments and reviews, and one message in
/// twenty comes twice.
pub fn order_rows(orders: usize, seed: u64) -> Vec<Option<Vec<u8>>> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut messages = Vec::new();
    for order in 0..orders {
        let customer = next(orders as u64 * 2 / 3);
        let (items, payments, reviews) = (1 + next(3) / 2, 1 + next(4) / 3, 1 + next(9) / 8);
        let amounts: Vec<u64> = (0..payments).map(|_| 500 + next(40_000)).collect();
        let placed = time(order as u64 * 7_000 + next(5_000));
        for (item, payment, review) in (0..items)
            .flat_map(|i| (0..payments).map(move |p| (i, p)))
            .flat_map(|(i, p)| (0..reviews).map(move |r| (i, p, r)))
        {
            let amount = amounts[payment as usize];
            let text = format!(
                r#"{{"order_id":"o{order:06}","customer_unique_id":"c{customer:05}","purchased_at":"{placed}","order_item_id":{},"payment_sequential":{},"payment_brl":{}.{:02},"review_id":"r{order}-{review}","price_brl":10.5,"extra":"ignored"}}"#,
                item + 1,
                payment + 1,
                amount / 100,
                amount % 100,
            );
            for _ in 0..1 + u64::from(next(20) == 0) {
                messages.push(Some(text.clone().into_bytes()));
            }
        }
    }
    messages
}

/// Seconds after the first of January 2017, as messages have it.
fn time(seconds: u64) -> String {
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    format!(
        "2017-{:02}-{:02}T{:02}:{:02}:{:02}",
        1 + day / 28 % 12,
        1 + day % 28,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

pub fn job(broker: &str, limit: u64, sets: &[(&str, &str)]) -> StreamJob {
    let mut all = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.to_owned()),
        ("source.max_offsets_per_trigger".to_owned(), limit.to_string()),
    ];
    all.extend(sets.iter().map(|(k, v)| (k.to_string(), v.to_string())));
    let settings = Settings { sets: all, environment: BTreeMap::new() };
    Project::open(Path::new("/nonexistent")).stream_job(JOB, &settings).unwrap()
}

pub async fn broker_with(messages: &[Option<Vec<u8>>]) -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic(TOPIC, 1).await;
    broker.send(TOPIC, 1, messages);
    broker
}

/// Name and bytes of what a lake keeps of the table, the state and the models.
fn kept(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let models = ["minibatch", "online", "full"].map(|model| format!("_models/{model}"));
    let folders = ["order_rows".to_owned(), "_checkpoint/state".to_owned()].into_iter().chain(models);
    let files = folders.flat_map(|folder| {
        let paths = visible_files(&lake.resolve("olist_rfm").join(&folder)).into_iter();
        paths.map(move |path| (format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap()), path))
    });
    files.map(|(name, path)| (name, std::fs::read(&path).unwrap())).collect()
}

fn assert_same_files(left: &Lake, right: &Lake, what: &str) {
    let (left, right) = (kept(left), kept(right));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{what}: files");
    for (name, bytes) in &left {
        assert!(bytes == &right[name], "{what}: {name} differs");
    }
}

pub async fn assert_state_is_the_batch_sql(lake: &Lake) -> Vec<Vec<String>> {
    let (state, batch) = (query(lake, STATE_SQL).await, query(lake, BATCH_SQL).await);
    assert_eq!(state.len(), batch.len());
    for (kept, worked_out) in state.iter().zip(&batch) {
        assert_eq!(kept, worked_out);
    }
    state
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_step_leaves_the_state_as_it_would_have_been() {
    const PER_BATCH: u64 = 12;
    let messages = order_rows(330, 1);
    let broker = broker_with(&messages).await;
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let whole = Lake::new(folder.path().join("whole"));
    let summary = stream_all(&job, &whole).await.unwrap();
    assert_eq!(summary.rows, messages.len() as u64);
    assert!(summary.batches > 52, "{} batches reach over no snapshot", summary.batches);
    let customers = assert_state_is_the_batch_sql(&whole).await;
    assert!(customers.len() > 100);

    // Up to the batch before a snapshot once, then from a copy of that for each case.
    let base = Lake::new(folder.path().join("base"));
    for (batch, from) in [(0, None), (49, Some(&base)), (50, Some(&base))] {
        if from.is_some() && !base.root().is_dir() {
            let mut driver = Driver::open(&job, &base).await.unwrap();
            driver.recover(&mut |_| {}).await.unwrap();
            for _ in 0..48 {
                driver.next_batch(None, &mut |_| {}).await.unwrap().unwrap();
            }
        }
        // Around the snapshot of batch 49 every step; elsewhere those at which a kind of file comes to count.
        let some = [CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Learn];
        for &point in if batch == 49 { &CrashPoint::ALL[..] } else { &some[..] } {
            let what = format!("crash after {point:?} of batch {batch}");
            let lake = Lake::new(folder.path().join(format!("{batch}-{point:?}")));
            if let Some(from) = from {
                copy_folder(from.root(), lake.root());
            }
            let mut driver = Driver::open(&job, &lake).await.unwrap();
            driver.crash_after(batch, point);
            driver.recover(&mut |_| {}).await.unwrap();
            let error = loop {
                if let Err(error) = driver.next_batch(None, &mut |_| {}).await {
                    break error;
                }
            };
            assert!(error.to_string().contains("die after"), "{what}: {error}");
            drop(driver);
            // What a reader sees right after the death is a whole number of batches, state and rows alike.
            let committed = batch + u64::from(point as u8 >= CrashPoint::Commit as u8);
            if committed > 0 {
                assert_state_is_the_batch_sql(&lake).await;
                let rows = query(&lake, "SELECT count(*) FROM olist_rfm.order_rows").await;
                assert_eq!(rows[0][0], (committed * PER_BATCH).to_string(), "{what}");
            }
            if from.is_some() || point == CrashPoint::Commit {
                stream_all(&job, &lake).await.unwrap();
                assert_same_files(&lake, &whole, &what);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_neither_loses_nor_doubles_anything_in_the_state() {
    const PER_BATCH: usize = 10;
    let broker = broker_with(&order_rows(900, 2)).await;
    let folder = tempfile::tempdir().unwrap();
    let stream = |lake: &Lake| {
        let mut command = tidemill(lake.root());
        command.args(["stream", JOB, "--available-now", "--brokers", &broker.address()]);
        command.args(["--set", &format!("source.max_offsets_per_trigger={PER_BATCH}")]);
        command
    };
    let killed = Lake::new(folder.path().join("killed"));
    let committed = || {
        std::fs::read_dir(killed.checkpoint("olist_rfm").join("commits")).map_or(0, |entries| entries.count())
    };
    let mut kills = 0;
    while kills < 8 {
        let before = committed();
        let mut child = stream(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..2_000 {
            if committed() > before + kills || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        if child.try_wait().unwrap().is_some() {
            assert!(kills > 2, "the stream ended after {kills} kills; make it longer");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let whole = Lake::new(folder.path().join("whole"));
    for lake in [&killed, &whole] {
        let output = run(&mut stream(lake));
        assert!(output.status.success(), "{}", texts(&output).1);
    }
    assert_state_is_the_batch_sql(&killed).await;
    assert_same_files(&killed, &whole, "killed against whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_has_the_outcome_that_its_rule_says() {
    let row = |customer: &str, order: &str, fields: &str| {
        Some(format!(r#"{{"customer_unique_id":{customer},"order_id":"{order}"{fields}}}"#).into_bytes())
    };
    let at = r#","purchased_at":"2017-05-01T10:00:00""#;
    let paid = r#","purchased_at":"2017-05-01T10:00:00","payment_sequential":1,"payment_brl":10.10"#;
    let messages = [
        row(r#""good""#, "a", paid),
        // The same again, and the same payment with another item and another amount: the first counts.
        row(r#""good""#, "a", paid),
        row(
            r#""good""#,
            "a",
            r#","purchased_at":"2017-05-01T10:00:00","order_item_id":2,"payment_sequential":1,"payment_brl":99"#,
        ),
        row(r#""no payment""#, "b", at),
        row(r#""review first""#, "c", &format!(r#"{paid},"review_created_at":"2017-04-01T00:00:00""#)),
        row(
            r#""negative""#,
            "d",
            r#","purchased_at":"2017-05-01T10:00:00","payment_sequential":1,"payment_brl":-5"#,
        ),
        row(
            r#""absurd""#,
            "e",
            r#","purchased_at":"2017-05-01T10:00:00","payment_sequential":1,"payment_brl":1e300"#,
        ),
        // It comes again with its true amount, which then counts.
        row(r#""absurd""#, "e", paid),
        row(r#""price""#, "f", &format!(r#"{paid},"price_brl":-1"#)),
        row("null", "g", paid),
        row(r#""no time""#, "h", r#","payment_sequential":1,"payment_brl":1"#),
        row(
            r#""future""#,
            "i",
            r#","purchased_at":"2999-01-01T00:00:00","payment_sequential":1,"payment_brl":1"#,
        ),
        row(
            r#""ancient""#,
            "k",
            r#","purchased_at":"0001-01-01T00:00:00","payment_sequential":1,"payment_brl":2"#,
        ),
        row(r#""""#, "l", paid),
        row(r#""no order""#, "", paid),
        row(r#""steps""#, "j", &format!(r#"{paid},"approved_at":"2017-04-30T00:00:00""#)),
        // The same order with a later purchase counts by that; as it was at first, by nothing any more.
        row(
            r#""steps""#,
            "j",
            r#","purchased_at":"2017-05-01T12:00:00","payment_sequential":1,"payment_brl":10.10"#,
        ),
        row(r#""steps""#, "j", paid),
        // An order of another customer's number is that customer's first.
        row(r#""other""#, "a", paid),
        Some(b"nonsense".to_vec()),
    ];
    let broker = broker_with(&messages).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let summary = stream_all(&job(&broker.address(), 5, &[]), &lake).await.unwrap();
    assert_eq!((summary.rows, summary.dead_letters), (20, 3));

    let customers = query(
        &lake,
        "SELECT customer_unique_id, last_purchase_at IS NOT NULL, orders, payments, monetary FROM customers ORDER BY 1",
    )
    .await;
    let expected = [
        ["absurd", "true", "1", "1", "10.10"],
        ["ancient", "false", "1", "1", "2.00"],
        ["future", "false", "1", "1", "1.00"],
        ["good", "true", "1", "1", "10.10"],
        ["negative", "true", "1", "1", "0.00"],
        ["no order", "true", "0", "0", "0.00"],
        ["no payment", "true", "1", "0", "0.00"],
        ["other", "true", "1", "1", "10.10"],
        ["price", "true", "1", "1", "10.10"],
        ["review first", "true", "1", "1", "10.10"],
        ["steps", "true", "1", "1", "10.10"],
    ];
    assert_eq!(customers, expected);
    // Recency is against the latest purchase that can be.
    assert_eq!(query(&lake, "SELECT max(recency_days) FROM customers").await[0][0], "0");

    let oddities = query(&lake, "SELECT split_part(rule, ':', 1), messages FROM oddities ORDER BY 1").await;
    let expected = [
        ["amount below 0 or above a million", "3"],
        ["id of customer or order is the empty text", "2"],
        ["message that came before", "2"],
        ["message that came before, now with a later purchase or an amount", "2"],
        ["message that cannot be read, or without customer, order or time", "3"],
        ["order without payment", "1"],
        ["purchase after its message, or a century before", "2"],
        ["review before the order", "1"],
        ["steps of an order out of order", "1"],
    ];
    assert_eq!(oddities, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_were_encoded_twice_give_the_same_state() {
    let plain = order_rows(40, 3);
    let twice: Vec<Option<Vec<u8>>> = plain
        .iter()
        .map(|m| Some(serde_json::to_vec(std::str::from_utf8(m.as_ref().unwrap()).unwrap()).unwrap()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut states = Vec::new();
    for (name, messages, double) in [("plain", &plain, "false"), ("twice", &twice, "true")] {
        let broker = broker_with(messages).await;
        let lake = Lake::new(folder.path().join(name));
        let job = job(&broker.address(), 25, &[("source.double_encoded", double)]);
        assert_eq!(stream_all(&job, &lake).await.unwrap().dead_letters, 0);
        states.push(assert_state_is_the_batch_sql(&lake).await);
    }
    assert_eq!(states[0], states[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_learn_from_every_batch_and_are_scored_and_named() {
    let broker = broker_with(&order_rows(600, 5)).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 60, &[("models.full.every", "4")]);
    let batches = stream_all(&job, &lake).await.unwrap().batches;
    assert!(batches > 12, "{batches}");

    // A row a batch and model, on at most 1,000 customers.
    let scores = query(
        &lake,
        "SELECT model, count(*), count(DISTINCT batch_id), max(rows) FROM metrics WHERE evaluation = 'sample'
         AND silhouette BETWEEN -1 AND 1 AND silhouette_river > 0 AND cohesion > 0 AND separation > 0 AND ssw > 0
         AND ssb > 0 AND bic IS NOT NULL AND xie_beni > 0 AND calinski_harabasz > 0 AND davies_bouldin > 0
         GROUP BY model ORDER BY model",
    )
    .await;
    let customers = query(&lake, "SELECT count(*) FROM customers").await[0][0].clone();
    let of = |model: &str| [model.to_owned(), batches.to_string(), batches.to_string(), customers.clone()];
    assert_eq!(scores, [of("full"), of("minibatch"), of("online")]);

    // The same learners by linfa.
    let folder = tempfile::tempdir().unwrap();
    let by_linfa = Lake::new(folder.path());
    let linfa =
        [("models.full.every", "4"), ("models.minibatch.backend", "linfa"), ("models.full.backend", "linfa")];
    stream_all(&self::job(&broker.address(), 60, &linfa), &by_linfa).await.unwrap();
    let failed = "SELECT count(*) FILTER (WHERE status = 'failed'), count(*) > 24 FROM models";
    assert_eq!(query(&by_linfa, failed).await, [["0", "true"]]);

    // The full fit has its turn after the first batch and after every fourth.
    let turns = query(
        &lake,
        "SELECT batch_id FROM models WHERE model = 'full' AND status = 'trained' ORDER BY batch_id",
    )
    .await;
    let expected: Vec<_> =
        (0..batches).filter(|b| *b == 0 || b % 4 == 3).map(|b| vec![b.to_string()]).collect();
    assert_eq!(turns, expected);
    let kept = query(&lake, "SELECT count(*) FROM models WHERE model = 'full' AND status = 'kept'").await;
    assert_eq!(kept[0][0], (batches - expected.len() as u64).to_string());

    // Centres are in the features' own units, and a cluster is itself from one batch to the next: over a batch it moves
    // by less than the clusters are apart.
    let jumps = query(
        &lake,
        "SELECT count(*) FROM centres a JOIN centres b ON a.model = b.model AND a.cluster = b.cluster
         AND a.feature = b.feature AND b.batch_id = a.batch_id + 1
         WHERE a.model = 'minibatch' AND a.batch_id > 3 AND a.feature = 'monetary' AND abs(a.value - b.value) > 150",
    )
    .await;
    assert_eq!(jumps[0][0], "0");
    let spans = query(
        &lake,
        "SELECT max(value) - min(value) > 150 FROM centres WHERE model = 'minibatch' AND feature = 'monetary'
         AND batch_id = (SELECT max(batch_id) FROM centres)",
    )
    .await;
    assert_eq!(spans[0][0], "true");

    let segments = query(
        &lake,
        "SELECT count(*), count(cluster), count(DISTINCT cluster), count(segment), sum(frequency) FROM segments",
    )
    .await;
    let orders = query(&lake, "SELECT sum(orders) FROM customers").await[0][0].clone();
    assert_eq!(segments[0], [&customers, &customers, "5", &customers, &orders]);
    let names = query(
        &lake,
        "SELECT count(*) FROM segments WHERE segment !~
         '(recent|some time ago|lapsed), (low|middling|high) spend'",
    )
    .await;
    assert_eq!(names[0][0], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_cannot_be_changed_under_its_checkpoint() {
    let broker = broker_with(&order_rows(20, 4)).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let mut job = job(&broker.address(), 10, &[]);
    stream_all(&job, &lake).await.unwrap();
    let state = job.program.state.as_mut().unwrap();
    let payments = state.config.columns.get_mut("payments").unwrap();
    payments.count_distinct = Some(vec!["order_id".into()]);
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("state differs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_sends_the_rows_of_a_file_in_the_order_of_purchase() {
    let folder = tempfile::tempdir().unwrap();
    let columns = include_str!("../../sql/olist_rfm/messages.sql");
    let columns: Vec<&str> = columns
        .split("SELECT")
        .nth(1)
        .and_then(|text| text.split("FROM wide").next())
        .unwrap()
        .split(',')
        .map(str::trim)
        .collect();
    let mut csv = format!("{}\n", columns.join(","));
    for (order, day) in [("b", 2), ("a", 1), ("c", 3)] {
        let cell = |column: &&str| match *column {
            "order_id" => order.to_owned(),
            "customer_unique_id" => format!("customer {order}"),
            "purchased_at" => format!("2017-01-0{day} 10:00:00"),
            "order_item_id" | "payment_sequential" => "1".into(),
            "payment_brl" => "12.50".into(),
            "review_comment_message" => "\"two\nlines\"".into(),
            "customer_zip_code_prefix" => "01037".into(),
            _ => String::new(),
        };
        csv.push_str(&format!("{}\n", columns.iter().map(cell).collect::<Vec<_>>().join(",")));
    }
    let file = folder.path().join("wide.csv");
    std::fs::write(&file, csv).unwrap();
    let broker = TestBroker::start().await;
    let lake = Lake::new(folder.path().join("lake"));
    let sent = run(tidemill(lake.root())
        .args(["produce", JOB, "--brokers", &broker.address(), "--partitions", "3", "--input"])
        .arg(&file));
    assert!(sent.status.success(), "{}", texts(&sent).1);
    let without = run(tidemill(folder.path()).args(["produce", JOB, "--brokers", &broker.address()]));
    assert!(texts(&without).1.contains("tidemill run olist"), "{}", texts(&without).1);
    stream_all(&job(&broker.address(), 10, &[]), &lake).await.unwrap();
    let rows =
        query(&lake, "SELECT order_id, purchased_at, payment_brl FROM order_rows ORDER BY purchased_at")
            .await;
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0], ["a", "2017-01-01T10:00:00", "12.50"]);
}
