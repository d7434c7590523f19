//! What models of a stream learn to predict, and when: numbers by trees, one of many classes, on new rows alone; and what a
//! gate makes of a model whose features are others than the champion's.

use std::process::Output;

use tidemill_core::lake::Lake;
use tidemill_core::stream::CrashPoint;

use crate::learning::{Visits, of_model};
use crate::support::{Essence, TestBroker, crimes, die_after, job, query, run, stream_all, texts};

/// The job of all that is new: many classes, a number by a tree, new rows alone, every second batch.
const ALL_KINDS: [(&str, &str); 7] = [
    ("models.forest.target", "fbi_code"),
    ("models.forest.classes", "all"),
    ("models.tree.target", "beat"),
    ("models.tree.task", "regress"),
    ("models.logistic.algorithm", "sgd_classifier"),
    ("models.logistic.learn", "online"),
    ("models.hotspots.learn", "every 2"),
];

fn streamed(visits: &Visits) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(visits.lake().root()).arg("--project").arg(visits.folder.path());
    run(command.args(["stream", "visits", "--brokers", &visits.broker.address()]))
}

/// Every kind comes out the same bytes and scores of a driver that died at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_learns_every_kind_the_same() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes(600, 11));
    let job = job(&broker.address(), 150, &ALL_KINDS);
    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();
    let statuses =
        "SELECT model, string_agg(status, ' ' ORDER BY batch_id) FROM models GROUP BY 1 ORDER BY 1";
    let all = "trained trained trained trained";
    let expected =
        [["forest", all], ["hotspots", "trained trained kept trained"], ["logistic", all], ["tree", all]];
    assert_eq!(query(&untouched, statuses).await, expected);
    let expected = Essence::of(&untouched);
    for batch in 0..4 {
        for point in [CrashPoint::Commit, CrashPoint::Train, CrashPoint::Learn] {
            let lake = Lake::new(folder.path().join(format!("{batch}-{point:?}")));
            die_after(&job, &lake, batch, point).await;
            stream_all(&job, &lake).await.unwrap();
            Essence::of(&lake).assert_same(&expected, &format!("{point:?} of batch {batch}"));
        }
    }
}

/// What SQL says of a batch by the version before it is what was recorded of it.
#[tokio::test(flavor = "multi_thread")]
async fn trees_learn_a_number() {
    for algorithm in ["decision_tree", "random_forest", "gradient_boosting"] {
        let visits = Visits::new().await;
        let label = "CAST(3 * minutes - pages AS DOUBLE)";
        of_model(
            &visits,
            &format!("algorithm = \"{algorithm}\"\ntarget = \"grade\"\ntask = \"regress\""),
            label,
        );
        let said = visits.stream(900, |i| (i % 3).to_string());
        assert!(said.contains("tree RMSE"), "{said}");
        let recorded = "SELECT rows, round(rmse, 9), round(mae, 9), round(r2, 9), round(median_absolute_error, 9) \
            FROM metrics WHERE batch_id = 2 AND evaluation = 'prequential'";
        let asked = format!(
            "WITH of_batch AS (SELECT {label} AS y, predict('visits.tree@1', minutes, pages) AS p FROM visits \
             WHERE _batch_id = 2) SELECT count(*), round(sqrt(avg((y - p) * (y - p))), 9), round(avg(abs(y - p)), 9), \
             round(1 - sum((y - p) * (y - p)) / (var_pop(y) * count(*)), 9), round(median(abs(y - p)), 9) FROM of_batch"
        );
        let recorded = query(&visits.lake(), recorded).await;
        assert_eq!(query(&visits.lake(), &asked).await, recorded, "{algorithm}");
        // The spread of the label is about 90.
        let rmse: f64 = recorded[0][1].parse().unwrap();
        assert!(rmse < 60.0, "{algorithm}: {rmse}");
    }
}

/// 0 is short, 1 middling and 2 long, of minutes alone.
const LENGTH: &str =
    "CASE WHEN grade = 0 THEN 'short' WHEN grade = 1 THEN 'middling' WHEN grade = 2 THEN 'long' END";

fn length(i: u64) -> String {
    (i * 7919 % 100 / 34).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_classes_are_learned_scored_and_asked() {
    for (classes, algorithm) in [
        ("[\"short\", \"middling\", \"long\"]", "logistic_regression"),
        ("[\"short\", \"middling\", \"long\"]", "random_forest"),
        ("\"all\"", "gradient_boosting"),
    ] {
        let visits = Visits::new().await;
        of_model(
            &visits,
            &format!("algorithm = \"{algorithm}\"\ntarget = \"grade\"\nclasses = {classes}"),
            LENGTH,
        );
        let said = visits.stream(900, length);
        assert!(said.contains("tree accuracy") && said.contains("macro F1"), "{said}");
        let lake = visits.lake();
        let recorded = query(
            &lake,
            "SELECT rows, round(accuracy, 9), round(log_loss, 9) FROM metrics WHERE batch_id = 2 AND evaluation = 'prequential'",
        )
        .await;
        let asked = format!(
            "WITH of_batch AS (SELECT {LENGTH} AS y, predict('visits.tree@1', minutes, pages) AS p, \
             predict_proba('visits.tree@1', minutes, pages) AS q FROM visits WHERE _batch_id = 2) \
             SELECT count(*), round(avg(CASE WHEN y = p THEN 1.0 ELSE 0.0 END), 9), round(avg(-ln(greatest(2.220446049250313e-16, \
             CASE y WHEN 'short' THEN q['short'] WHEN 'middling' THEN q['middling'] ELSE q['long'] END))), 9) FROM of_batch"
        );
        assert_eq!(query(&lake, &asked).await, recorded, "{algorithm}");
        assert!(recorded[0][1].parse::<f64>().unwrap() > 0.7, "{algorithm}: {recorded:?}");
        // Macro F1 of what SQL says, by its formula.
        let macro_f1 = "SELECT round(value, 9) FROM system.metric_values WHERE metric = 'macro_f1' AND batch_id = 2 \
            AND evaluation = 'prequential'";
        let asked = format!(
            "WITH of_batch AS (SELECT {LENGTH} AS y, predict('visits.tree@1', minutes, pages) AS p FROM visits \
             WHERE _batch_id = 2), of_class AS (SELECT c, 2.0 * count(*) FILTER (WHERE y = c AND p = c) / \
             (count(*) FILTER (WHERE y = c) + count(*) FILTER (WHERE p = c)) AS f1 FROM of_batch, \
             (VALUES ('short'), ('middling'), ('long')) AS v(c) GROUP BY c) SELECT round(avg(f1), 9) FROM of_class"
        );
        assert_eq!(query(&lake, &asked).await, query(&lake, macro_f1).await, "{algorithm}");
        let auc = "SELECT count(*) FROM system.metric_values WHERE metric = 'auc_ovr' AND value > 0.8";
        assert_eq!(query(&lake, auc).await, [["5"]], "{algorithm}");

        // Of a file each class has its column, and the version says what it tells apart.
        let rows = visits.folder.path().join("rows.csv");
        std::fs::write(&rows, "minutes,pages\n5,1\n95,80\n").unwrap();
        let tidemill = |words: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
            let output = run(command.arg("--lake").arg(lake.root()).args(words));
            assert!(output.status.success(), "{}", texts(&output).1);
            texts(&output).0
        };
        let file = rows.display().to_string();
        let said = tidemill(&["predict", "visits", "tree", "--input", &file, "--format", "csv"]);
        let lines: Vec<&str> = said.lines().collect();
        let heading = "minutes,pages,prediction,probability_short,probability_middling,probability_long";
        assert_eq!(lines[0], heading);
        assert!(lines[1].starts_with("5,1,short,") && lines[2].starts_with("95,80,long,"), "{said}");
        let shown = tidemill(&["models", "show", "visits", "tree", "--format", "csv"]);
        assert!(shown.contains("short") && shown.contains("middling"), "{shown}");
    }
}

/// A class that comes later gets the next number, the version before is scored on its rows too, and a driver that starts
/// anew makes the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_comes_later_renumbers_nothing() {
    let model = "algorithm = \"random_forest\"\ntarget = \"grade\"\nclasses = \"all\"";
    let grades: [fn(u64) -> String; 3] =
        [|i| (5 * (i % 2)).to_string(), |i| (i % 3 * 5).to_string(), |i| (i % 4).to_string()];
    let mut found = Vec::new();
    let visits = Visits::new().await;
    of_model(&visits, model, "grade");
    for grade in grades {
        visits.stream(300, grade);
        let record = visits.lake().checkpoint("visits").join(format!("learn/{}.json", found.len()));
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        found.push(record["models"][0]["classes"].clone());
    }
    let expected =
        [serde_json::json!([0, 5]), serde_json::json!([0, 5, 10]), serde_json::json!([0, 5, 10, 1, 2, 3])];
    assert_eq!(found, expected);
    // A hundred of the 300 rows are of a class that the version before has not met: it is wrong about each, and sure.
    let scored = "SELECT rows, accuracy < 0.67, log_loss > 12 FROM metrics WHERE batch_id = 1 AND evaluation = 'prequential'";
    assert_eq!(query(&visits.lake(), scored).await, [["300", "true", "true"]]);
    let of_type = "SELECT arrow_typeof(predict('visits.tree', minutes, pages)) FROM visits LIMIT 1";
    assert_eq!(query(&visits.lake(), of_type).await, [["Int64"]]);

    let whole = Visits::new().await;
    of_model(&whole, model, "grade");
    for grade in grades {
        let message = |i: u64| {
            format!(r#"{{"grade":{},"minutes":{},"pages":{}}}"#, grade(i), i * 7919 % 100, i * 104_729 % 90)
        };
        let messages: Vec<_> = (0..300).map(|i| Some(message(i).into_bytes())).collect();
        whole.broker.send("visits", 1, &messages);
    }
    assert!(streamed(&whole).status.success());
    for batch in 0..3 {
        let file = |of: &Visits| {
            std::fs::read(of.lake().resolve(&format!("visits/_models/tree/batch-{batch:08}.model"))).unwrap()
        };
        assert!(file(&visits) == file(&whole), "batch {batch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_that_cannot_be_learned_are_told() {
    let tree = "algorithm = \"decision_tree\"\ntarget = \"grade\"\nclasses = ";
    for (classes, label, grade, expected) in [
        ("[0, 1]", "grade", length as fn(u64) -> String, "the label `grade` is 2 beside 1 and 0"),
        ("[0, 1, 7]", "grade", length, "the label `grade` is 2, which is none of `classes`, 0, 1, 7"),
        ("[0, 1, 7]", "CASE WHEN grade = 1 THEN 1 END", length, "rows to train on are of class 1"),
        ("\"all\"", "CAST(grade AS DOUBLE) / 0", length, "the label `grade` is inf"),
        ("\"all\"", "minutes * 100 + pages", length, "beside 100 other values"),
        ("[0, 1, 2]", "CASE WHEN grade = 9 THEN 1 END", length, "no row of the batch has a label"),
    ] {
        let visits = Visits::new().await;
        of_model(&visits, &format!("{tree}{classes}"), label);
        let said = visits.stream(300, grade);
        assert!(said.contains(expected), "{classes} of {label}: {said}");
    }
    for (model, label, expected) in [
        (
            format!("{tree}[\"a\", \"b\", \"c\"]"),
            "grade",
            "`classes` has \"a\", and the target `grade` is of type Int32",
        ),
        (
            "algorithm = \"sgd_classifier\"\ntarget = \"grade\"\nlearn = \"online\"".to_owned(),
            "grade",
            "classes = [0, 1]",
        ),
        (
            "algorithm = \"sgd_classifier\"\ntarget = \"grade\"\nclasses = [0, 1, 2]".to_owned(),
            "grade",
            "more than two classes",
        ),
        (format!("{tree}[0, 1]\nlabel = \"grade\""), "grade", "two names of one key"),
    ] {
        let visits = Visits::new().await;
        of_model(&visits, &model, label);
        let output = streamed(&visits);
        assert_eq!(output.status.code(), Some(2), "{model}");
        assert!(texts(&output).1.contains(expected), "{model}: {}", texts(&output).1);
    }
}

/// A model that learns online needs no row of before: a start goes on without reading them.
#[tokio::test(flavor = "multi_thread")]
async fn an_online_model_learns_new_rows_alone() {
    let model =
        "algorithm = \"sgd_classifier\"\ntarget = \"grade\"\nlearn = \"online\"\nclasses = [\"no\", \"yes\"]";
    let label = "CASE WHEN grade = 2 THEN 'yes' WHEN grade < 2 THEN 'no' END";
    let visits = Visits::new().await;
    of_model(&visits, model, label);
    for _ in 0..3 {
        visits.stream(300, length);
    }
    let learned = "SELECT train_rows < 300, rows + train_rows FROM models o JOIN metrics m ON o.batch_id = m.batch_id \
        WHERE evaluation = 'holdout' ORDER BY o.batch_id";
    let expected = ["true".to_owned(), "300".to_owned()];
    assert_eq!(query(&visits.lake(), learned).await, [expected.clone(), expected.clone(), expected]);
    let rows = "SELECT batch_id, rows FROM metrics WHERE evaluation = 'prequential' ORDER BY 1";
    assert_eq!(query(&visits.lake(), rows).await, [["1", "300"], ["2", "300"]]);

    let again = Visits::new().await;
    of_model(&again, model, label);
    again.stream(300, length);
    again.stream(300, length);
    // Whoever reads the history stops here: the file is not what its record says.
    let oldest = again.lake().resolve("visits/visits/batch-00000000.parquet");
    let mut bytes = std::fs::read(&oldest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&oldest, bytes).unwrap();
    again.stream(300, length);
    let file = |of: &Visits, batch: u64| {
        std::fs::read(of.lake().resolve(&format!("visits/_models/tree/batch-{batch:08}.model"))).unwrap()
    };
    for batch in 0..3 {
        assert!(file(&visits, batch) == file(&again, batch), "batch {batch}");
    }
    assert!(file(&visits, 1) != file(&visits, 2));
}

/// Other programs are told the classes as the target has them.
#[tokio::test(flavor = "multi_thread")]
async fn classes_have_their_names_in_onnx() {
    let visits = Visits::new().await;
    let kinds = "CASE grade WHEN 0 THEN 'short' WHEN 1 THEN 'middling' ELSE 'long' END";
    of_model(&visits, "target = \"grade\"\nalgorithm = \"decision_tree\"\nclasses = \"all\"", kinds);
    visits.stream(300, length);
    let file = visits.folder.path().join("tree.onnx");
    let lake = visits.lake();
    let mut export = crate::support::tidemill(lake.root());
    let output =
        crate::support::run(export.args(["models", "export", "visits", "tree", "--output"]).arg(&file));
    assert!(output.status.success(), "{}", crate::support::texts(&output).1);
    let bytes = std::fs::read(file).unwrap();
    for name in ["short", "middling", "long"] {
        assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
}

/// By other features, another target or other steps it is the model that a job which has none yet would train.
#[tokio::test(flavor = "multi_thread")]
async fn an_online_model_begins_anew_where_something_else_is_learned() {
    let online =
        "target = \"grade\"\nalgorithm = \"sgd_classifier\"\nlearn = \"online\"\nclasses = [false, true]";
    let of_steps = |steps: &str| format!("{online}\nsteps = [{steps}]");
    let tree = "target = \"grade\"\nalgorithm = \"decision_tree\"";
    let named = of_steps("{ step = \"standard\", columns = [\"pages\"] }");
    let changes = [
        (online.to_owned(), "grade < 2", online.to_owned(), "grade = 2", true),
        (named, "grade = 2", of_steps("\"standard\""), "grade = 2", true),
        (of_steps("\"standard\""), "grade = 2", of_steps("{ step = \"standard\" }"), "grade = 2", false),
    ];
    for (first, first_label, second, second_label, begins) in changes {
        let (changed, new) = (Visits::new().await, Visits::new().await);
        of_model(&changed, &first, first_label);
        changed.stream(300, length);
        of_model(&changed, &second, second_label);
        changed.stream(300, length);
        of_model(&new, tree, second_label);
        new.stream(300, length);
        of_model(&new, &second, second_label);
        new.stream(300, length);
        let file = |of: &Visits| {
            std::fs::read(of.lake().resolve("visits/_models/tree/batch-00000001.model")).unwrap()
        };
        assert_eq!(file(&changed) == file(&new), begins, "{first} and then {second}");
    }
}

/// A row that a step refuses keeps a model from being scored: that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_step_refuses_is_told() {
    let visits = Visits::new().await;
    let model = "target = \"grade\"\nalgorithm = \"logistic_regression\"\nsteps = [\"standard\", { step = \"pca\", components = 2 }]";
    of_model(&visits, model, "grade = 2");
    let sql = visits.folder.path().join("sql/visits/features.sql");
    let text = std::fs::read_to_string(&sql).unwrap();
    std::fs::write(&sql, text.replace("minutes", "nullif(minutes, 7) AS minutes")).unwrap();
    visits.stream(300, length);
    let told = "SELECT reason LIKE '%step 2 (`pca`)%' FROM models";
    assert_eq!(query(&visits.lake(), told).await, [["true"]]);
}

/// So are those of the next batch, which a version is scored on before they are learned: `c` is a text that came later.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_step_refuses_before_it_is_learned_is_told() {
    let visits = Visits::new().await;
    let model = "target = \"grade\"\nalgorithm = \"logistic_regression\"\n\
        steps = [{ step = \"one_hot\", columns = [\"kind\"], error_on_unseen = true }]";
    of_model(&visits, model, "grade % 10 = 2");
    let kind = "SELECT grade % 10 = 2 AS grade, minutes, CASE grade / 10 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END AS kind FROM visits";
    visits.write("sql/visits/features.sql", kind);
    visits.stream(300, |i| (i % 3 + 10 * (i % 2)).to_string());
    visits.stream(300, |i| (i % 3 + 10 * (i % 2) + if i % 30 == 7 { 20 } else { 0 }).to_string());
    let rows = "SELECT rows FROM metrics WHERE batch_id = 1 AND evaluation = 'prequential'";
    assert_eq!(query(&visits.lake(), rows).await, [["290"]]);
    let told = "SELECT status, reason LIKE '%before they were learned 10 of 300 rows are not scored%' FROM models WHERE batch_id = 1";
    assert_eq!(query(&visits.lake(), told).await, [["trained", "true"]]);
}

/// A pipeline takes the columns of the SELECT, wherever it is asked, and is the same after a start.
#[tokio::test(flavor = "multi_thread")]
async fn steps_are_part_of_the_model() {
    for model in [
        "algorithm = \"logistic_regression\"\nsteps = [{ step = \"impute\", columns = [\"pages\"], strategy = \"median\" }, \"standard\", { step = \"pca\", components = 2 }]",
        "algorithm = \"sgd_classifier\"\nlearn = \"online\"\nclasses = [false, true]\nsteps = [\"cap\", \"standard\"]",
    ] {
        let model = format!("{model}\ntarget = \"grade\"");
        let (once, whole) = (Visits::new().await, Visits::new().await);
        of_model(&once, &model, "grade = 2");
        of_model(&whole, &model, "grade = 2");
        for _ in 0..3 {
            once.stream(300, length);
        }
        let message = |i: u64| {
            format!(r#"{{"grade":{},"minutes":{},"pages":{}}}"#, length(i), i * 7919 % 100, i * 104_729 % 90)
        };
        let messages: Vec<_> = (0..900).map(|i| Some(message(i % 300).into_bytes())).collect();
        whole.broker.send("visits", 1, &messages);
        assert!(streamed(&whole).status.success());
        for batch in 0..3 {
            let file = |of: &Visits| {
                std::fs::read(of.lake().resolve(&format!("visits/_models/tree/batch-{batch:08}.model")))
                    .unwrap()
            };
            assert!(file(&once) == file(&whole), "batch {batch} of {model}");
        }
        // What SQL says of the raw columns is what was recorded.
        let recorded = "SELECT tp, fp, tn, fn FROM metrics WHERE batch_id = 2 AND evaluation = 'prequential'";
        let asked = "WITH of_batch AS (SELECT grade = 2 AS y, predict('visits.tree@1', minutes, pages) AS p FROM visits \
            WHERE _batch_id = 2) SELECT count(*) FILTER (WHERE y AND p), count(*) FILTER (WHERE NOT y AND p), \
            count(*) FILTER (WHERE NOT y AND NOT p), count(*) FILTER (WHERE y AND NOT p) FROM of_batch";
        let recorded = query(&once.lake(), recorded).await;
        assert_eq!(query(&once.lake(), asked).await, recorded, "{model}");
        assert!(recorded[0][0].parse::<u64>().unwrap() > 50, "{model}: {recorded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_cannot_be_are_refused_before_a_plan() {
    for (steps, expected) in [
        (
            "[\"standard\", { step = \"impute\", columns = [\"minuts\"] }]",
            "step 2, impute: there is no numeric column `minuts`",
        ),
        ("[{ step = \"target\", columns = [\"pages\"] }]", "step 1, target: there is no text column `pages`"),
        (
            "[{ step = \"pca\", columns = [\"pages\", \"grade\"] }]",
            "step 1, pca: there is no numeric column `grade`",
        ),
        ("[\"standrad\"]", "did you mean `standard`?"),
        ("[3]", "model `tree`"),
    ] {
        let visits = Visits::new().await;
        of_model(
            &visits,
            &format!("algorithm = \"logistic_regression\"\ntarget = \"grade\"\nsteps = {steps}"),
            "grade = 2",
        );
        let output = streamed(&visits);
        assert_eq!(output.status.code(), Some(2), "{steps}");
        let said = texts(&output).1;
        assert!(said.contains("model `tree`") && said.contains(expected), "{steps}: {said}");
        let plans = visits.lake().checkpoint("visits").join("offsets");
        assert_eq!(std::fs::read_dir(plans).map_or(0, Iterator::count), 0, "{steps}");
    }
}

const GATE: &str = "gate = { metric = \"accuracy\", max_drop = 1.0, min_rows = 1 }";

async fn verdicts(visits: &Visits) -> Vec<Vec<String>> {
    let verdicts = "SELECT verdict, to_version, reference IS NOT NULL FROM model_events ORDER BY batch_id";
    query(&visits.lake(), verdicts).await
}

/// Features in another order, or more of them, are found by their names; a champion that takes what is there no more stays
/// until a person says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_knows_features_by_their_names() {
    let visits = Visits::new().await;
    of_model(&visits, &format!("algorithm = \"decision_tree\"\ntarget = \"grade\"\n{GATE}"), "grade = 2");
    let select = |features: &str| {
        visits
            .write("sql/visits/features.sql", &format!("SELECT grade = 2 AS grade, {features} FROM visits"));
    };
    visits.stream(300, length);
    select("pages, minutes, minutes + pages AS both");
    visits.stream(300, length);
    select("pages");
    let said = visits.stream(300, length);
    let expected = [["accepted", "0", "false"], ["accepted", "1", "true"], ["waits", "1", "false"]];
    assert_eq!(verdicts(&visits).await, expected, "{said}");
    let why = query(&visits.lake(), "SELECT status, reason FROM models WHERE batch_id = 2").await;
    assert_eq!(why[0][0], "challenger");
    assert!(why[0][1].contains("stays until one is promoted") && why[0][1].contains("`minutes`"), "{why:?}");
}

/// A text that a boolean could be written as is no number.
#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_no_number_to_a_model() {
    let visits = Visits::new().await;
    of_model(&visits, "algorithm = \"decision_tree\"\ntarget = \"grade\"", "grade = 2");
    visits.stream(300, length);
    let predict = |cell: &str| {
        let rows = visits.folder.path().join("rows.csv");
        std::fs::write(&rows, format!("minutes,pages\n{cell},1\n")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(visits.lake().root()).args(["predict", "visits", "tree", "--input"]);
        run(command.arg(rows).args(["--format", "csv"]))
    };
    for cell in ["yes", "on", "t"] {
        let output = predict(cell);
        assert!(!output.status.success() && texts(&output).1.contains("`minutes`"), "{}", texts(&output).1);
    }
    assert!(predict("5").status.success());
}
