//! Models with a target, and outlier scores, that learn from the state of a stream: what they are scored on, what they say of
//! each key, that a driver which dies learns the same, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidemill_core::Result;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Learn, RecordList};
use tidemill_core::stream::CrashPoint;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::{TestBroker, die_after, query, run, stream_all, texts, visible_files};

const MODELS: &str = r#"
[[models]]
name = "loyal"
algorithm = "random_forest"
features = "sql/shops/loyal.sql"
target = "is_loyal"
trees = 10
learn = "every 2"
[[models]]
name = "grade"
algorithm = "gradient_boosting"
features = "sql/shops/grade.sql"
target = "grade"
classes = "all"
trees = 10
learn = "refit"
[[models]]
name = "spend"
algorithm = "linear_regression"
features = "sql/shops/spend.sql"
target = "total"
steps = [{ step = "standard", columns = ["n"] }]
learn = "refit"
[[models]]
name = "odd"
algorithm = "isolation_forest"
features = "sql/shops/odd.sql"
trees = 10
learn = "every 3"
[[models]]
name = "groups"
algorithm = "minibatch_kmeans"
features = "sql/shops/odd.sql"
clusters = 3
"#;
const NAMES: [&str; 5] = ["loyal", "grade", "spend", "odd", "groups"];

/// A project with a job that keeps of each customer how often and for how much, and these models.
fn project(folder: &Path, models: &str) {
    let job = format!(
        "stateful = true\n[source]\nkafka = {{ bootstrap_servers = \"x\", subscribe = \"sales\" }}\nformat = \"json\"\n\
         schema = \"sql/shops/schema.sql\"\n[table]\npath = \"lake/shops/sales\"\n\
         [state]\ntable = \"customers\"\nkey = \"k\"\nselect = \"sql/shops/customers.sql\"\n[state.columns]\n\
         total = {{ sum = \"amount\", distinct = [\"id\"] }}\nn = {{ count_distinct = [\"id\"] }}\nage = {{ max = \"age\" }}\n{models}"
    );
    let features = "SELECT CAST(total AS DOUBLE) AS total, n, region";
    let files = [
        ("jobs/shops.toml", job),
        (
            "sql/shops/schema.sql",
            "CREATE TABLE rows (k TEXT, id BIGINT NOT NULL, amount BIGINT, age BIGINT)".to_owned(),
        ),
        (
            "sql/shops/customers.sql",
            "SELECT k, total, n, age, CASE age % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' END AS region FROM customers"
                .to_owned(),
        ),
        // Of those of 60 and more nobody knows.
        (
            "sql/shops/loyal.sql",
            format!("{features}, CASE WHEN age < 60 THEN CASE WHEN age < 30 THEN 'yes' ELSE 'no' END END AS is_loyal FROM customers"),
        ),
        ("sql/shops/grade.sql", format!("{features}, age / 20 AS grade FROM customers")),
        ("sql/shops/spend.sql", format!("{features} FROM customers")),
        ("sql/shops/odd.sql", "SELECT CAST(total AS DOUBLE) AS total, n FROM customers".to_owned()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Sales: the young buy for more. A customer's age is known by the first of them.
fn sales(count: u64) -> Vec<Option<Vec<u8>>> {
    let of = |id: u64| {
        let draw = (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let customer = draw % 400;
        let age = 18 + customer.wrapping_mul(7919) % 55;
        let amount = (80 - age) * 100 + draw / 400 % 900;
        format!(r#"{{"k":"c{customer}","id":{id},"amount":{amount},"age":{age}}}"#)
    };
    (0..count).map(|id| Some(of(id).into_bytes())).collect()
}

fn job(folder: &Path, broker: &TestBroker, limit: u64, sets: &[(&str, &str)]) -> Result<StreamJob> {
    let mut all = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.address()),
        ("source.max_offsets_per_trigger".to_owned(), limit.to_string()),
    ];
    all.extend(sets.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    Project::open(folder).stream_job("shops", &Settings { sets: all, environment: BTreeMap::new() })
}

async fn broker_with(messages: u64) -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("sales", 1).await;
    broker.send("sales", 1, &sales(messages));
    broker
}

/// Files of rows, state and models by their names, and what is recorded of each model after each batch.
fn kept(lake: &Lake) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let folders = ["sales".to_owned(), "_checkpoint/state".to_owned()].into_iter();
    let folders = folders.chain(NAMES.map(|name| format!("_models/{name}")));
    let files = folders.flat_map(|folder| {
        let paths = visible_files(&lake.resolve("shops").join(&folder)).into_iter();
        paths.map(move |path| (format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap()), path))
    });
    let learn: RecordList<Learn> = RecordList::read_only(lake.checkpoint("shops").join("learn"));
    let outcomes = learn.numbers().unwrap().flat_map(|number| learn.read(number).unwrap().models);
    let outcomes = outcomes.map(|mut outcome| {
        outcome.train_ms = 0.0;
        format!("{outcome:?}")
    });
    (files.map(|(name, path)| (name, std::fs::read(&path).unwrap())).collect(), outcomes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_learns_the_same_from_the_state() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), MODELS);
    let broker = broker_with(900).await;
    let job = job(folder.path(), &broker, 150, &[]).unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();
    let statuses =
        "SELECT model, string_agg(status, ' ' ORDER BY batch_id) FROM models GROUP BY 1 ORDER BY 1";
    let all = ["trained"; 6].join(" ");
    let expected = [
        ["grade", all.as_str()],
        ["groups", &all],
        ["loyal", "trained trained kept trained kept trained"],
        ["odd", "trained kept trained kept kept trained"],
        ["spend", &all],
    ];
    assert_eq!(query(&untouched, statuses).await, expected);
    let (files, outcomes) = kept(&untouched);
    for batch in [0, 2, 5] {
        for point in [CrashPoint::Commit, CrashPoint::Train, CrashPoint::Learn] {
            let what = format!("{point:?} of batch {batch}");
            let lake = Lake::new(folder.path().join(&what));
            die_after(&job, &lake, batch, point).await;
            stream_all(&job, &lake).await.unwrap();
            let (found, said) = kept(&lake);
            assert!(found.keys().eq(files.keys()), "{what}: files");
            for (name, bytes) in &found {
                assert!(bytes == &files[name], "{what}: {name} differs");
            }
            assert_eq!(said, outcomes, "{what}");
        }
    }
}

/// As the rule of the hold-out says: XXH3 of the key and 0x1f, as a share of 2^64.
fn is_held_out(key: &str) -> bool {
    (xxh3_64(&[key.as_bytes(), &[0x1f]].concat()) as f64) < 0.3 * 2f64.powi(64)
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_a_state_are_scored_on_keys_that_none_was_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), MODELS);
    let broker = broker_with(900).await;
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job(folder.path(), &broker, 150, &[]).unwrap(), &lake).await.unwrap();
    // Whether each customer is loyal, and what the model says.
    let keys = query(&lake, "SELECT k FROM customers").await;
    let held_out: Vec<String> =
        keys.iter().filter(|key| is_held_out(&key[0])).map(|key| format!("'{}'", key[0])).collect();
    let held_out = held_out.join(", ");
    let sides = format!(
        "SELECT count(*) FILTER (WHERE k IN ({held_out})), count(*) FILTER (WHERE k NOT IN ({held_out})) FROM customers"
    );
    let one = async |sql: &str| query(&lake, sql).await[0].clone();
    let rows = async |model: &str| {
        let scored = format!("SELECT rows FROM metrics WHERE model = '{model}' AND batch_id = 5");
        let trained = format!("SELECT train_rows FROM models WHERE model = '{model}' AND batch_id = 5");
        [one(&scored).await[0].clone(), one(&trained).await[0].clone()]
    };
    let labelled = one(&format!("{sides} WHERE age < 60")).await;
    assert_eq!(rows("loyal").await.to_vec(), labelled);
    assert!(labelled[0].parse::<u64>().unwrap() > 30);
    let all = one(&sides).await;
    for model in ["grade", "spend"] {
        assert_eq!(rows(model).await.to_vec(), all, "{model}");
    }
    let count = keys.len().to_string();
    assert_eq!(rows("odd").await, [count.clone(), count]);
    let evaluations = "SELECT string_agg(DISTINCT evaluation, ' ' ORDER BY evaluation) FROM metrics";
    assert_eq!(one(evaluations).await, ["holdout sample"]);

    // The scores are those of what the state's table says, by the formulas.
    let of_held_out = format!("FROM customers WHERE k IN ({held_out})");
    let recorded =
        "SELECT round(accuracy, 9), round(log_loss, 9) FROM metrics WHERE model = 'loyal' AND batch_id = 5";
    let asked = format!(
        "SELECT round(avg(CASE WHEN prediction_loyal = (age < 30) THEN 1.0 ELSE 0.0 END), 9), \
         round(avg(-ln(CASE WHEN age < 30 THEN probability_loyal ELSE 1 - probability_loyal END)), 9) {of_held_out} AND age < 60"
    );
    assert_eq!(one(recorded).await, one(&asked).await);
    let recorded = "SELECT round(accuracy, 9) FROM metrics WHERE model = 'grade' AND batch_id = 5";
    let asked = format!(
        "SELECT round(avg(CASE WHEN prediction_grade = age / 20 THEN 1.0 ELSE 0.0 END), 9) {of_held_out}"
    );
    assert_eq!(one(recorded).await, one(&asked).await);
    let recorded = "SELECT round(rmse, 6), round(mae, 6) FROM metrics WHERE model = 'spend' AND batch_id = 5";
    let asked = format!(
        "SELECT round(sqrt(avg((total - prediction_spend) * (total - prediction_spend))), 6), \
         round(avg(abs(total - prediction_spend)), 6) {of_held_out}"
    );
    assert_eq!(one(recorded).await, one(&asked).await);
    assert_eq!(
        one("SELECT count(score_odd) = count(*), count(cluster_groups) = count(*) FROM customers").await,
        ["true"; 2]
    );
    // What SQL says of a row is what the table has.
    let asked = "SELECT count(*) FROM customers WHERE (predict_proba('shops.loyal', {total: CAST(total AS DOUBLE)}, n, region) \
        IS DISTINCT FROM probability_loyal) OR (predict('shops.odd', {total: CAST(total AS DOUBLE)}, n) IS DISTINCT FROM score_odd)";
    assert_eq!(one(asked).await, ["0"]);

    let tidemill = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).arg("--project").arg(folder.path()).args(arguments);
        texts(&run(&mut command))
    };
    // Each is trained from nothing, and can be again.
    for model in ["loyal@3", "loyal", "grade", "spend", "odd@2", "groups"] {
        let (out, err) = tidemill(&["models", "reproduce", "shops", model, "--format", "json"]);
        let rows: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}"));
        assert_eq!(rows[0]["is_same"], true, "{model}: {out}");
        assert_eq!(rows[0]["versions_trained"] == 1, model != "groups", "{model}: {out}");
    }
    // Rows of the state as a file: the columns are of the types that the state has.
    let (csv, _) = tidemill(&[
        "sql",
        "SELECT k, total, n, age, region FROM customers ORDER BY k LIMIT 3",
        "--format",
        "csv",
    ]);
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, csv).unwrap();
    let (said, err) =
        tidemill(&["predict", "shops", "loyal", "--input", file.to_str().unwrap(), "--format", "json"]);
    let said: Vec<Value> = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said} {err}"));
    let expected = query(&lake, "SELECT probability_loyal FROM customers ORDER BY k LIMIT 3").await;
    for (said, expected) in said.iter().zip(&expected) {
        let expected: f64 = expected[0].parse().unwrap();
        assert!((said["probability"].as_f64().unwrap() - expected).abs() < 1e-12, "{said} {expected}");
    }
    assert_eq!(said.len(), 3);
}

/// A version that tells other classes apart than the job now says is not shown as if it told these.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_other_classes_says_nothing_of_a_state() {
    const MODEL: &str = "[[models]]\nname = \"loyal\"\nalgorithm = \"random_forest\"\nfeatures = \"sql/shops/loyal.sql\"\n\
        target = \"is_loyal\"\ntrees = 10\nlearn = \"every 50\"\n";
    let all = format!("{MODEL}classes = \"all\"\n");
    let no = format!("{MODEL}positive = \"no\"\n");
    for (first, then, two, why) in [
        (all.as_str(), MODEL, true, "tells many classes apart"),
        (MODEL, all.as_str(), false, "tells two classes apart"),
        (MODEL, no.as_str(), true, "looks for another class"),
        (no.as_str(), MODEL, true, "looks for another class"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker_with(300).await;
        let lake = Lake::new(folder.path().join("lake"));
        let said = |of_two: bool| {
            let probability = if of_two { ", count(probability_loyal) > 0" } else { "" };
            format!("SELECT count(prediction_loyal) > 0{probability} FROM customers")
        };
        project(folder.path(), first);
        stream_all(&job(folder.path(), &broker, 150, &[]).unwrap(), &lake).await.unwrap();
        let of_two = first != all;
        assert_eq!(query(&lake, &said(of_two)).await, [vec!["true"; 1 + usize::from(of_two)]], "{first}");
        project(folder.path(), then);
        broker.send("sales", 1, &sales(100));
        stream_all(&job(folder.path(), &broker, 150, &[]).unwrap(), &lake).await.unwrap();
        assert_eq!(query(&lake, &said(two)).await, [vec!["false"; 1 + usize::from(two)]], "{then}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).args(["sql", "SELECT count(prediction_loyal) FROM customers"]);
        let told = texts(&run(&mut command)).1;
        assert!(told.contains("says nothing") && told.contains(why), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_cannot_teach_is_refused_or_told() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), MODELS);
    let broker = broker_with(300).await;
    for (key, value, expected) in [
        ("models.loyal.learn", "online", "the rows of a state change"),
        ("models.loyal.evaluate.holdout_key", "[\"age\"]", "of a state it is the key"),
        ("models.groups.steps", "[\"standard\"]", "the clusters of a state take no `steps`"),
        (
            "models.loyal.gate",
            "{ metric = \"auc\", min_gain = 0.0, min_rows = 2000 }",
            "compared on 1000 keys",
        ),
        ("models.loyal.target", "is_loyl", "no column `is_loyl`"),
        ("models.spend.target", "region", "the label `region` is to be a number"),
        (
            "models.spend.steps",
            "[{ step = \"standard\", columns = [\"m\"] }]",
            "there is no numeric column `m`",
        ),
    ] {
        let lake = Lake::new(folder.path().join("refused"));
        let said = match job(folder.path(), &broker, 150, &[(key, value)]) {
            Err(error) => error.to_string(),
            Ok(job) => stream_all(&job, &lake).await.unwrap_err().to_string(),
        };
        assert!(said.contains(expected), "{key}: {said}");
    }
    let lake = Lake::new(folder.path().join("lake"));
    let sets = [
        // Three values where two are learned.
        ("models.loyal.features", "sql/shops/grade.sql"),
        ("models.loyal.target", "grade"),
        ("models.spend.gate", "{ metric = \"rmse\", min_gain = 1000.0, min_rows = 1 }"),
    ];
    stream_all(&job(folder.path(), &broker, 150, &sets).unwrap(), &lake).await.unwrap();
    let told = "SELECT status, reason FROM models WHERE model = 'loyal' AND batch_id = 1";
    let told = query(&lake, told).await[0].join(" ");
    assert!(
        told.starts_with("failed the label `grade` is ") && told.contains("a classifier has two classes"),
        "{told}"
    );
    let events = "SELECT batch_id, verdict, why FROM model_events WHERE model = 'spend' ORDER BY 1";
    assert_eq!(query(&lake, events).await, [["0", "accepted", "first"], ["1", "rejected", "gate"]]);
    // What is held out stays so.
    let larger = [("models.grade.evaluate.holdout", "0.5")];
    let error = stream_all(&job(folder.path(), &broker, 150, &larger).unwrap(), &lake).await.unwrap_err();
    assert!(
        error.to_string().contains("evaluate.holdout is 0.5, and the lake was begun with 0.3"),
        "{error}"
    );
}
