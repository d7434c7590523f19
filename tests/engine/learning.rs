//! What may be learned from, and what is said of the rest: rows that come twice, the split of a lake, labels that are none,
//! batches of dead letters, model files that are gone.

use std::path::Path;
use std::process::Output;

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::records::{Plan, RecordList};
use tidemill_core::table::read::{committed_files, read_rows};
use tidemill_core::table::write::parquet_bytes;

use crate::rfm;
use crate::support::{JOB, TestBroker, crimes, job, query, run, stream_all, texts, tidemill};

const BY_PLACE: &str = r#"["_topic", "_partition", "_offset"]"#;
const KEYS: [&str; 4] = ["logistic", "forest", "tree", "hotspots"];

/// The settings by which every model is split by this key.
fn split_by(key: &str) -> Vec<(String, String)> {
    KEYS.map(|model| (format!("models.{model}.evaluate.holdout_key"), key.to_owned())).to_vec()
}

fn borrowed(sets: &[(String, String)]) -> Vec<(&str, &str)> {
    sets.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Crimes of which nothing says whether they led to an arrest: that is a coin's word.
fn by_chance(count: u64) -> Vec<Option<Vec<u8>>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    (0..count)
        .map(|_| {
            let text = format!(
                r#"{{"arrest":{},"beat":{},"x_coordinate":{},"y_coordinate":{},"iucr":"0{}","block":"{:05}XX","month":{},"day":{},"hour":{},"minute":{}}}"#,
                next(2),
                next(300),
                next(100_000),
                next(100_000),
                next(400),
                next(20_000),
                1 + next(12),
                1 + next(28),
                next(24),
                next(60),
            );
            Some(text.into_bytes())
        })
        .collect()
}

/// Every row of the topic is sent again: by its content it is held out again, by its place in Kafka by chance.
#[tokio::test(flavor = "multi_thread")]
async fn labels_by_chance_that_come_twice_are_as_good_as_chance() {
    const ROWS: u64 = 4_000;
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let messages = by_chance(ROWS);
    broker.send("crimes", 1, &messages);
    broker.send("crimes", 1, &messages);
    let folder = tempfile::tempdir().unwrap();
    let auc = "SELECT auc FROM metrics WHERE model = 'forest' AND evaluation = 'holdout' AND batch_id = 1";
    let twins = "SELECT rows_equal_across_split FROM batches ORDER BY batch_id";
    let deep = [("models.forest.max_depth".to_owned(), "20".to_owned())];

    let content = Lake::new(folder.path().join("content"));
    stream_all(&job(&broker.address(), ROWS, &borrowed(&deep)), &content).await.unwrap();
    let found: f64 = query(&content, auc).await[0][0].parse().unwrap();
    // 1,200 rows, each twice: the AUC of chance is .5 with a standard deviation of .017.
    assert!((0.45..0.55).contains(&found), "by content {found}");
    assert_eq!(query(&content, twins).await, [["0"], ["0"]]);

    let place = Lake::new(folder.path().join("place"));
    let sets = [split_by(BY_PLACE), deep.to_vec()].concat();
    stream_all(&job(&broker.address(), ROWS, &borrowed(&sets)), &place).await.unwrap();
    let found: f64 = query(&place, auc).await[0][0].parse().unwrap();
    assert!(found > 0.65, "by place {found}");
    // 2 × .3 × .7 of the second 4,000, of which the standard deviation is 31.
    let counted = query(&place, twins).await;
    assert_eq!(counted[0], ["0"]);
    let counted: u64 = counted[1][0].parse().unwrap();
    assert!((1_525..1_835).contains(&counted), "{counted}");
}

fn streamed(lake: &Path, broker: &TestBroker, arguments: &[&str]) -> Output {
    let mut command = tidemill(lake);
    run(command.args(["stream", JOB, "--available-now", "--brokers", &broker.address()]).args(arguments))
}

/// The hold-out key of each model in the newest plan.
fn keys_of(lake: &Lake) -> Vec<String> {
    let plans: RecordList<Plan> = RecordList::read_only(lake.checkpoint("chicago_arrests").join("offsets"));
    let newest = plans.read(plans.latest().unwrap().unwrap()).unwrap();
    newest.program.models.iter().map(|spec| spec.config.evaluate.holdout_key.join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_keeps_the_split_that_it_was_begun_with() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(400, 3));
    let folder = tempfile::tempdir().unwrap();
    let sets = split_by(BY_PLACE);
    // As an earlier version's built-in job had it.
    let old = Lake::new(folder.path().join("old"));
    stream_all(&job(&broker.address(), 400, &borrowed(&sets)), &old).await.unwrap();
    assert_eq!(keys_of(&old), ["_topic _partition _offset"; 4]);
    let new = Lake::new(folder.path().join("new"));
    stream_all(&job(&broker.address(), 400, &[]), &new).await.unwrap();
    assert_eq!(keys_of(&new), ["beat block iucr month day hour minute"; 4]);

    // The job as it is goes on with either, and says where the lake's key is another.
    broker.send("crimes", 1, &crimes(100, 4));
    for (lake, key, told) in
        [(&old, "_topic _partition _offset", true), (&new, "beat block iucr month day hour minute", false)]
    {
        let output = streamed(lake.root(), &broker, &[]);
        assert!(output.status.success(), "{}", texts(&output).1);
        let stderr = texts(&output).1;
        assert_eq!(stderr.contains("the lake keeps the hold-out key"), told, "{stderr}");
        assert_eq!(keys_of(lake), [key; 4]);
        assert_eq!(query(lake, "SELECT count(*) FROM batches").await, [["2"]]);
    }

    // A flag for one model changes nothing for the others of an old lake.
    let same = format!("models.tree.evaluate.holdout_key={BY_PLACE}");
    let output = streamed(old.root(), &broker, &["--set", &same]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let output = streamed(old.root(), &broker, &["--set", r#"models.tree.evaluate.holdout_key=["beat"]"#]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("model `tree`: evaluate.holdout_key is"), "{}", texts(&output).1);

    // A key that the user changes is refused, by a flag and in the job's file.
    let changed = ["--set", r#"models.forest.evaluate.holdout_key=["block"]"#];
    let output = streamed(new.root(), &broker, &changed);
    let stderr = texts(&output).1;
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in ["model `forest`", r#"["block"]"#, r#"["beat", "block","#, "--lake DIR"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    let error = stream_all(&job(&broker.address(), 400, &borrowed(&sets)), &new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    std::fs::create_dir(folder.path().join("jobs")).unwrap();
    let own =
        include_str!("../../jobs/chicago-arrests.toml").replace("\"minute\"]", "\"minute\", \"district\"]");
    std::fs::write(folder.path().join("jobs/chicago-arrests.toml"), own).unwrap();
    let project = ["--project", folder.path().to_str().unwrap()];
    for lake in [&old, &new] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(lake.root()).args(project);
        command.args(["stream", JOB, "--available-now", "--brokers", &broker.address()]);
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(2));
        assert!(texts(&output).1.contains("evaluate.holdout_key is"), "{}", texts(&output).1);
    }
    // A larger share would hold out what was learned; none is a job that holds nothing out.
    for (share, code) in [("0.4", 2), ("0.0", 0)] {
        let set = format!("models.tree.evaluate.holdout={share}");
        let output = streamed(new.root(), &broker, &["--set", &set]);
        assert_eq!(output.status.code(), Some(code), "{share}: {}", texts(&output).1);
    }
}

/// A job of one's own whose label is a number.
pub struct Visits {
    pub folder: tempfile::TempDir,
    pub broker: TestBroker,
}

impl Visits {
    pub async fn new() -> Visits {
        let folder = tempfile::tempdir().unwrap();
        let broker = TestBroker::start().await;
        broker.create_topic("visits", 1).await;
        for folder_of in ["jobs", "sql/visits"] {
            std::fs::create_dir_all(folder.path().join(folder_of)).unwrap();
        }
        let visits = Visits { folder, broker };
        let job = "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"visits\" }\nformat = \"json\"\n\
            schema = \"sql/visits/schema.sql\"\nmax_offsets_per_trigger = 300\n[trigger]\navailable_now = true\n\
            [table]\npath = \"lake/visits/visits\"\n[[models]]\nname = \"tree\"\nalgorithm = \"decision_tree\"\n\
            features = \"sql/visits/features.sql\"\nlabel = \"grade\"\n";
        visits.write("jobs/visits.toml", job);
        visits.write("sql/visits/schema.sql", "CREATE TABLE visits (grade INT, minutes INT, pages INT)");
        visits.write("sql/visits/features.sql", "SELECT grade, minutes, pages FROM visits");
        visits
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn lake(&self) -> Lake {
        Lake::new(self.folder.path().join("lake"))
    }

    /// Sends visits whose grade is the result of this, and streams them.
    pub fn stream(&self, count: u64, grade: fn(u64) -> String) -> String {
        let message = |i: u64| {
            let grade = grade(i);
            format!(r#"{{"grade":{grade},"minutes":{},"pages":{}}}"#, i * 7919 % 100, i * 104_729 % 90)
        };
        let messages: Vec<_> = (0..count).map(|i| Some(message(i).into_bytes())).collect();
        self.broker.send("visits", 1, &messages);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(self.lake().root()).arg("--project").arg(self.folder.path());
        let output = run(command.args(["stream", "visits", "--brokers", &self.broker.address()]));
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stderr}");
        stdout + &stderr
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_three_values_trains_nothing_until_the_select_says_which_is_meant() {
    let visits = Visits::new().await;
    let said = visits.stream(600, |i| (i * 7919 % 100 / 34).to_string());
    assert!(
        said.contains("tree not trained: the label `grade` is 2 beside 0 and 1, and a classifier"),
        "{said}"
    );
    let models = "SELECT status, version IS NULL, path IS NULL, split_part(reason, '), in ', 2) FROM models ORDER BY batch_id";
    let reason = |of: &str| format!("{of} rows");
    let failed = |of: &str| vec!["failed".to_owned(), "true".to_owned(), "true".to_owned(), reason(of)];
    assert_eq!(query(&visits.lake(), models).await, [failed("96 of 300"), failed("192 of 600")]);
    assert_eq!(query(&visits.lake(), "SELECT count(*) FROM metrics").await, [["0"]]);
    let counts = "SELECT rows_out, rows_without_label, rows_of_other_label FROM batches ORDER BY batch_id";
    assert_eq!(query(&visits.lake(), counts).await, [["300", "0", "96"], ["300", "0", "96"]]);

    // Rows without a label are no error; where a batch has no others, the log says so.
    let said = visits.stream(100, |_| "null".to_owned());
    assert!(said.contains("no row of the batch has a label"), "{said}");
    assert_eq!(query(&visits.lake(), counts).await[2], ["100", "100", "0"]);

    // Pages of 0 cannot be divided by: those rows are counted too.
    let mended = "SELECT grade = 2 AS grade, minutes, 100 / pages AS speed FROM visits";
    visits.write("sql/visits/features.sql", mended);
    let said = visits.stream(50, |i| (i % 3).to_string());
    let failed = "SELECT rows_without_features FROM batches ORDER BY batch_id";
    assert_eq!(query(&visits.lake(), failed).await, [["0"], ["0"], ["0"], ["1"]]);
    assert!(said.contains("tree AUC"), "{said}");
    let newest = "SELECT o.status, m.rows > 150 FROM models o JOIN metrics m ON o.batch_id = m.batch_id \
        WHERE evaluation = 'holdout'";
    assert_eq!(query(&visits.lake(), newest).await, [["trained", "true"]]);
}

/// The job with one model of this kind, over features in which `grade` is this.
pub fn of_model(visits: &Visits, model: &str, grade: &str) {
    let job = std::fs::read_to_string(visits.folder.path().join("jobs/visits.toml")).unwrap();
    let (source, _) = job.split_once("[[models]]").unwrap();
    let model =
        format!("{source}[[models]]\nname = \"tree\"\nfeatures = \"sql/visits/features.sql\"\n{model}\n");
    visits.write("jobs/visits.toml", &model);
    visits.write("sql/visits/features.sql", &format!("SELECT {grade} AS grade, minutes, pages FROM visits"));
}

/// 'yes' and 'no' are learned as true and false are: the greater is looked for, or what `positive` says.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_may_be_a_text() {
    let tree = "algorithm = \"decision_tree\"\nlabel = \"grade\"";
    let is_2 = "CASE WHEN grade = 2 THEN 'yes' WHEN grade < 2 THEN 'no' END";
    let not_2 = "CASE WHEN grade = 2 THEN 'a' WHEN grade < 2 THEN 'b' END";
    let mut models = Vec::new();
    for (model, grade) in [
        (tree.to_owned(), "grade = 2"),
        (tree.to_owned(), is_2),
        (format!("{tree}\npositive = \"a\""), not_2),
        (format!("{tree}\npositive = 7"), "CASE WHEN grade = 2 THEN 7 ELSE 9 END"),
        (tree.to_owned(), not_2),
    ] {
        let visits = Visits::new().await;
        of_model(&visits, &model, grade);
        visits.stream(600, |i| (i * 7919 % 100 / 34).to_string());
        let file = visits.lake().resolve("visits/_models/tree/batch-00000001.model");
        models.push(std::fs::read(file).unwrap());
    }
    assert!(models[1..4].iter().all(|model| *model == models[0]));
    assert!(models[4] != models[0], "the other class is looked for");

    let visits = Visits::new().await;
    of_model(&visits, &format!("{tree}\npositive = 1"), is_2);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(visits.lake().root()).arg("--project").arg(visits.folder.path());
    let output = run(command.args(["stream", "visits", "--brokers", &visits.broker.address()]));
    assert!(
        texts(&output).1.contains("`positive` is 1, and the label `grade` is of type Utf8"),
        "{}",
        texts(&output).1
    );
}

/// A regression: what SQL says of a batch by the version before it is what was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_learned_and_asked() {
    let visits = Visits::new().await;
    let label = "CAST(3 * minutes - pages AS DOUBLE) + grade";
    of_model(&visits, "algorithm = \"linear_regression\"\nlabel = \"grade\"", label);
    let said = visits.stream(900, |i| if i % 50 == 7 { "null".to_owned() } else { (i % 3).to_string() });
    assert!(said.contains("tree RMSE"), "{said}");
    let recorded = "SELECT rows, round(rmse, 9), round(mae, 9), round(r2, 9) FROM metrics WHERE batch_id = 2 AND evaluation = 'prequential'";
    let asked = format!(
        "WITH of_batch AS (SELECT {label} AS y, predict('visits.tree@1', minutes, pages) AS p FROM visits \
         WHERE _batch_id = 2 AND grade IS NOT NULL) SELECT count(*), round(sqrt(avg((y - p) * (y - p))), 9), \
         round(avg(abs(y - p)), 9), round(1 - sum((y - p) * (y - p)) / (var_pop(y) * count(*)), 9) FROM of_batch"
    );
    let recorded = query(&visits.lake(), recorded).await;
    assert_eq!(query(&visits.lake(), &asked).await, recorded);
    let rmse: f64 = recorded[0][1].parse().unwrap();
    assert!((0.7..0.95).contains(&rmse), "what is left is the grade, 0 to 2 by chance: {rmse}");
    let counts = "SELECT rows_without_label FROM batches ORDER BY batch_id";
    assert_eq!(query(&visits.lake(), counts).await, [["6"], ["6"], ["6"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_no_message_has_is_named_after_the_first_batch() {
    let renamed = |message: Option<Vec<u8>>| {
        let text = String::from_utf8(message.unwrap()).unwrap();
        Some(text.replace("\"iucr\"", "\"IUCR\"").into_bytes())
    };
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(60, 3).into_iter().map(renamed).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    let output = streamed(folder.path(), &broker, &["--set", "source.max_offsets_per_trigger=30"]);
    let (_, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let said = "none of 30 messages has the field `iucr` of the schema; they have `IUCR`";
    assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    // What the messages have is not named, and what they lack is without a guess where nothing is like it.
    assert!(
        !stderr.contains("`beat` of") && stderr.contains("the field `minute` of the schema batch"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_dead_letters_is_warned_of_and_trains_nothing() {
    let bad: Vec<_> = (0..40).map(|i| Some(format!("no JSON {i}").into_bytes())).collect();
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &bad);
    let folder = tempfile::tempdir().unwrap();
    let output = streamed(folder.path(), &broker, &[]);
    let (_, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("all messages of the batch are dead letters"), "{stderr}");
    assert!(stderr.contains("1 batch with 40 rows, all of them dead letters"), "{stderr}");
    let lake = Lake::new(folder.path());
    let statuses = "SELECT DISTINCT status, train_rows, version IS NULL FROM models";
    assert_eq!(query(&lake, statuses).await, [["failed", "0", "true"]]);
    let counts = "SELECT rows_read, dead_letters, rows_out FROM batches";
    assert_eq!(query(&lake, counts).await, [["40", "40", "0"]]);

    // Clusters of a state: nothing is learned from nothing, and `full` learns at the first batch that has enough.
    let broker = rfm::broker_with(&bad).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let few = rfm::job(&broker.address(), 40, &[]);
    stream_all(&few, &lake).await.unwrap();
    assert_eq!(query(&lake, statuses).await, [["failed", "0", "true"]]);
    let order = |i: u64, customer: u64| {
        let text = format!(
            r#"{{"order_id":"o{i}","customer_unique_id":"c{customer}","purchased_at":"2017-01-{:02}T10:00:00","payment_sequential":1,"payment_brl":{}}}"#,
            1 + i % 28,
            10 + i * 37 % 500
        );
        Some(text.into_bytes())
    };
    // Three customers are too few for five clusters.
    let orders: Vec<_> = (0..40).map(|i| order(i, i % 3)).chain((40..160).map(|i| order(i, i))).collect();
    broker.send("orders", 1, &orders);
    stream_all(&few, &lake).await.unwrap();
    let full = "SELECT batch_id, status FROM models WHERE model = 'full' ORDER BY batch_id";
    assert_eq!(
        query(&lake, full).await,
        [["0", "failed"], ["1", "failed"], ["2", "trained"], ["3", "kept"], ["4", "kept"]]
    );
    let clusters = "SELECT count(DISTINCT cluster_full), count(cluster_full) = count(*) FROM customers";
    assert_eq!(query(&lake, clusters).await, [["5", "true"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_a_model_is_one_where_the_file_is() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(700, 9));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job(&broker.address(), 50, &[]), &lake).await.unwrap();
    let paths = "SELECT batch_id, path FROM models WHERE model = 'tree' ORDER BY batch_id";
    let paths = query(&lake, paths).await;
    assert_eq!(paths.len(), 14);
    for (batch, row) in paths.iter().enumerate() {
        let expected = format!("chicago_arrests/_models/tree/batch-{batch:08}.model");
        assert_eq!(lake.resolve(&expected).is_file(), batch >= 4, "{expected}");
        assert_eq!(row[1], if batch >= 4 { expected } else { String::new() });
    }
    let gone = "SELECT count(*) FROM system.models WHERE path IS NULL AND bytes > 0 AND xxh3 IS NOT NULL";
    assert_eq!(query(&lake, gone).await, [["16"]]);
}

/// Files of a version that did not count these rows.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_an_earlier_version_are_read_with_the_new_columns_null() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(200, 10));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("now"));
    stream_all(&job(&broker.address(), 100, &[]), &lake).await.unwrap();
    let first = committed_files(&lake, "chicago_arrests", "system.batches").unwrap().remove(0);
    let rows = read_rows(&lake, &first).unwrap();
    let new = [
        "rows_without_features",
        "rows_without_label",
        "rows_of_other_label",
        "rows_equal_across_split",
        "lag",
        "lag_by_partition",
    ];
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let kept: Vec<usize> = names.enumerate().filter(|(_, n)| !new.contains(n)).map(|(i, _)| i).collect();
    let rows = rows.project(&kept).unwrap();
    assert_eq!(schema.fields().len(), kept.len() + new.len());
    let bytes = parquet_bytes(&rows).unwrap();
    std::fs::write(lake.resolve(&first.path), &bytes).unwrap();
    // A file of another size than its record says is refused.
    let record = lake.checkpoint("chicago_arrests").join("learn/0.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let size = |bytes: u64| format!("\"bytes\": {bytes}");
    let written = text.replace(&size(first.bytes), &size(bytes.len() as u64));
    assert_ne!(written, text);
    std::fs::write(&record, written).unwrap();
    // Records never change, so that what was read of them is not read again: this is a lake of its own.
    let then = Lake::new(folder.path().join("then"));
    std::fs::rename(lake.root(), then.root()).unwrap();
    let found = format!("SELECT rows_read, {} FROM batches ORDER BY batch_id", new.join(", "));
    assert_eq!(
        query(&then, &found).await,
        [["100", "", "", "", "", "", ""], ["100", "0", "0", "0", "0", "0", "[0]"]]
    );
}
