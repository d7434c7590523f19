//! Trained models, asked: in SQL, in a batch job, on the rows of a file, and what is known of them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tidemill_core::lake::Lake;

use crate::support::{TestBroker, crimes, job, query, run, stream_all, texts, tidemill};

const FEATURES: &str = "domestic, beat, district, community_area, x_coordinate, y_coordinate, month, day, hour, minute, \
     iucr, location_description, fbi_code, block";

/// A lake of three batches of 400 crimes with the built-in job's models, and the broker that more may be sent to.
async fn lake() -> (tempfile::TempDir, Lake, TestBroker) {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(1_200, 3));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job(&broker.address(), 400, &[]), &lake).await.unwrap();
    (folder, lake, broker)
}

fn json(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", texts(output).1);
    serde_json::from_str(&texts(output).0).unwrap()
}

/// What the driver recorded of batch 2 before it learned from it is what SQL says of the same rows by the same version.
#[tokio::test(flavor = "multi_thread")]
async fn sql_says_of_rows_what_the_driver_has_scored() {
    let (_folder, lake, _broker) = lake().await;
    for model in ["forest", "logistic", "tree"] {
        let recorded = format!(
            "SELECT tp, fp, tn, fn, round(log_loss, 9) FROM metrics WHERE model = '{model}' AND evaluation = 'prequential' \
             AND batch_id = 2"
        );
        for version in ["batch:1", "1"] {
            let asked = format!(
                "WITH of_batch AS (SELECT arrest AS y, predict('chicago_arrests.{model}@{version}', {FEATURES}) AS p, \
                 predict_proba('chicago-arrests.{model}@{version}', {FEATURES}) AS q FROM crimes WHERE _batch_id = 2) \
                 SELECT count(*) FILTER (WHERE y AND p), count(*) FILTER (WHERE NOT y AND p), \
                 count(*) FILTER (WHERE NOT y AND NOT p), count(*) FILTER (WHERE y AND NOT p), \
                 round(avg(-ln(CASE WHEN y THEN q ELSE 1 - q END)), 9) FROM of_batch"
            );
            assert_eq!(query(&lake, &recorded).await, query(&lake, &asked).await, "{model}@{version}");
        }
    }
    // In any order, by a struct, and of what is computed.
    let p = |features: &str| {
        format!(
            "SELECT sum(predict_proba('chicago_arrests.forest', {features})) FROM crimes WHERE _batch_id = 2"
        )
    };
    let turned: Vec<&str> = FEATURES.split(", ").collect();
    let turned: Vec<&str> = turned.into_iter().rev().collect();
    let named: Vec<String> = turned.iter().map(|name| format!("{name}: {name}")).collect();
    let plain = query(&lake, &p(FEATURES)).await;
    assert_eq!(query(&lake, &p(&turned.join(", "))).await, plain);
    assert_eq!(query(&lake, &p(&format!("{{{}}}", named.join(", ")))).await, plain);
    let explained = query(&lake, &format!("EXPLAIN {}", p(FEATURES))).await;
    assert!(explained[0][1].contains("predict_proba[chicago_arrests.forest@2]("), "{explained:?}");
    // Each cluster has rows, and a point that is not known whole has none.
    let hotspots = "{x_coordinate: x_coordinate, y_coordinate: y_coordinate, hour_sin: sin(2 * pi() * hour / 24), \
         hour_cos: cos(2 * pi() * hour / 24)}";
    let centres = query(&lake, "SELECT count(DISTINCT cluster) FROM centres WHERE batch_id = 2").await;
    let asked =
        format!("SELECT count(DISTINCT cluster_id('chicago_arrests.hotspots', {hotspots})) FROM crimes");
    assert_eq!(query(&lake, &asked).await, centres);
    // Types that are settled later, by CASE and UNION.
    let others: Vec<&str> = FEATURES.split(", ").filter(|name| *name != "beat").collect();
    let of = |beat: &str| format!("{{beat: {beat}}}, {}", others.join(", "));
    assert_eq!(query(&lake, &p(&of("CASE WHEN _batch_id < 9 THEN beat ELSE 1 END"))).await, plain);
    let union = format!(
        "SELECT sum(q) FROM (SELECT predict_proba('chicago_arrests.forest', {FEATURES}) AS q FROM (\
         SELECT {FEATURES} FROM crimes WHERE _batch_id = 2 UNION ALL SELECT {} FROM crimes WHERE _batch_id > 9) AS u) AS v",
        FEATURES.replace("beat", "CAST(beat AS DOUBLE)").replace("iucr", "CAST(iucr AS VARCHAR)")
    );
    assert_eq!(query(&lake, &union).await, plain);
    let null = "SELECT cluster_id('chicago_arrests.hotspots', {x_coordinate: NULL, y_coordinate: 1.0, hour_sin: 0, hour_cos: 1})";
    assert_eq!(query(&lake, null).await, [[""]]);
}

async fn lake_error(lake: &Lake, sql: &str) -> String {
    let session = tidemill_core::catalog::open_session(lake).await.unwrap();
    let error = tidemill_core::catalog::query(&session, lake, sql).await.unwrap_err();
    format!("{error} / {}", error.next_step().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_told_with_what_can() {
    let (_folder, lake, _broker) = lake().await;
    for (sql, expected) in [
        (
            "predict('chicago_arrests.forst', domestic)",
            ["there is no model `forst`", "did you mean `forest`?"],
        ),
        (
            "predict('chicago.forest', domestic)",
            ["there is no job `chicago`", "did you mean `chicago_arrests`?"],
        ),
        ("predict('forest', domestic)", ["`forest` names no model", "write job.model"]),
        (
            "predict('chicago_arrests.forest@7', domestic)",
            ["has learned from batches 0 to 2", "instead of 7"],
        ),
        (
            "predict('chicago_arrests.forest@newest', domestic)",
            ["is called `newest`", "the aliases are: champion"],
        ),
        (
            "predict('chicago_arrests.forest', domestic)",
            ["its features `beat`, `district`", "the columns are: domestic"],
        ),
        (
            "predict('chicago_arrests.forest', beat + 1)",
            ["`crimes.beat + Int64(1)` has none", "name it by a struct"],
        ),
        (
            "(SELECT max(predict('chicago_arrests.forest', crimes.beat)) FROM chicago_arrests.crimes AS d)",
            ["is given `crimes.beat`, a column of the query around it", "join its table into the subquery"],
        ),
        ("predict('chicago_arrests.forest', beat, beat)", ["is given `beat` twice", "once"]),
        ("predict(block, beat)", ["is the name of a model, as a text", "predict('job.model', column, …)"]),
        (
            "cluster_id('chicago_arrests.forest', beat)",
            ["cluster_id is not for model `forest`", "predict_proba for classifiers"],
        ),
        (
            "predict_proba('chicago_arrests.hotspots', beat)",
            ["predict_proba is not for model `hotspots`", "cluster_id"],
        ),
        (
            "predict('chicago_arrests.hotspots', {x_coordinate: block, y_coordinate: 1, hour_sin: 0, hour_cos: 1})",
            ["feature `x_coordinate` is a number, the column is of type Utf8", "cast it"],
        ),
    ] {
        let error = lake_error(&lake, &format!("SELECT {sql} FROM crimes")).await;
        assert!(expected.iter().all(|part| error.contains(part)), "{sql}: {error}");
    }
}

/// A batch job over points of a file, and what the built-in job's clustering says of them.
fn batch_job(project: &Path, model: &str) {
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(project.join(name).parent().unwrap()).unwrap();
        std::fs::write(project.join(name), text).unwrap();
    };
    write("points.csv", "x,y\n1100000,1800000\n1189999,1949999\n,1\n");
    write(
        "jobs/where.toml",
        &format!(
            "sql = \"sql/where\"\n[inputs.points]\npath = \"{}\"\n",
            project.join("points.csv").display()
        ),
    );
    write(
        "sql/where/named.sql",
        &format!(
            "SELECT x, cluster_id({model}, {{x_coordinate: CAST(x AS DOUBLE), \
             y_coordinate: CAST(y AS DOUBLE), hour_sin: 0.0, hour_cos: 1.0}}) AS cluster FROM points"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_asks_a_model_is_built_anew_when_the_model_is_another() {
    let (_folder, lake, broker) = lake().await;
    let outcome = |project: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        let command = command.arg("--lake").arg(lake.root()).current_dir(project);
        let output = run(command.args(["run", "where", "--format", "json"]));
        let rows = json(&output);
        let table = rows.iter().find(|row| row["step"] == "build").unwrap();
        table["outcome"].as_str().unwrap().to_owned()
    };
    let project = tempfile::tempdir().unwrap();
    let quoted = |quote: &str| format!("{quote}chicago_arrests.hotspots{quote}");
    for (model, after_another_batch) in [
        ("'chicago_arrests.hotspots@1'".to_owned(), "unchanged"),
        (quoted("'"), "built"),
        (quoted("$$"), "built"),
    ] {
        let version = model.as_str();
        batch_job(project.path(), version);
        assert_eq!(outcome(project.path()), "built", "{version}");
        assert_eq!(outcome(project.path()), "unchanged", "{version}");
        broker.send("crimes", 1, &crimes(400, 9));
        stream_all(&job(&broker.address(), 400, &[]), &lake).await.unwrap();
        assert_eq!(outcome(project.path()), after_another_batch, "{version}");
    }
    let clusters = query(&lake, "SELECT count(*), count(cluster), count(DISTINCT cluster) FROM named").await;
    assert_eq!(
        clusters,
        [["3", "2", "2"]],
        "a point that is not known whole has no cluster, and far ones have two"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_file_come_back_with_what_the_model_says() {
    let (folder, lake, _broker) = lake().await;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, sql: &str| {
        let output = run(tidemill(lake.root()).args(["sql", sql, "--format", "csv"]));
        assert!(output.status.success());
        std::fs::write(at(name), output.stdout).unwrap();
    };
    // The columns of the table, without the label; and the features alone.
    write("rows.csv", "SELECT * EXCLUDE (arrest) FROM crimes WHERE _batch_id = 2 ORDER BY _offset");
    write("features.csv", &format!("SELECT {FEATURES} FROM crimes WHERE _batch_id = 2 ORDER BY _offset"));
    let predict = |model: &str, file: &str| {
        let output = run(tidemill(lake.root()).args([
            "predict",
            "chicago-arrests",
            model,
            "--input",
            file,
            "--format",
            "json",
        ]));
        json(&output).into_iter().map(|row| row["probability"].as_f64()).collect::<Vec<_>>()
    };
    let sql = format!(
        "SELECT predict_proba('chicago_arrests.forest@1', {FEATURES}) AS p FROM crimes WHERE _batch_id = 2 ORDER BY _offset"
    );
    let output = run(tidemill(lake.root()).args(["sql", &sql, "--format", "json"]));
    let expected: Vec<Option<f64>> = json(&output).into_iter().map(|row| row["p"].as_f64()).collect();
    assert!(expected.len() > 300 && expected.iter().all(Option::is_some));
    assert_eq!(predict("forest@1", &at("rows.csv")), expected);
    assert_eq!(predict("forest@batch:1", &at("features.csv")), expected);

    std::fs::write(at("other.csv"), "a,b\n1,2\n").unwrap();
    let output = run(tidemill(lake.root()).args([
        "predict",
        "chicago-arrests",
        "forest",
        "--input",
        &at("other.csv"),
    ]));
    let error = texts(&output).1;
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("its features `domestic`") && error.contains("sql/chicago_arrests/features.sql"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_of_a_lake_are_listed_with_their_versions() {
    let (_folder, lake, _broker) = lake().await;
    let models = |words: &[&str]| {
        json(&run(tidemill(lake.root()).arg("models").args(words).args(["--format", "json"])))
    };
    let listed = models(&["list"]);
    let names: Vec<&str> = listed.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["logistic", "forest", "tree", "hotspots"]);
    assert!(listed.iter().all(|row| row["version"] == 2 && row["has_file"] == true), "{listed:?}");
    let versions = models(&["history", "chicago-arrests", "forest"]);
    assert_eq!(versions.iter().map(|row| row["version"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    let recorded = query(
        &lake,
        "SELECT auc FROM metrics WHERE model = 'forest' AND evaluation = 'holdout' ORDER BY batch_id",
    )
    .await;
    let shown: Vec<String> = versions.iter().map(|row| row["auc"].to_string()).collect();
    assert_eq!(shown, recorded.concat());
    let both = models(&["compare", "chicago-arrests", "forest@0", "tree"]);
    assert_eq!((&both[0]["version"], &both[1]["model"]), (&0.into(), &"tree".into()));
    let details = models(&["show", "chicago-arrests", "forest@1"]);
    let cell = |name: &str| details.iter().find(|row| row["name"] == name).map(|row| row["value"].clone());
    assert_eq!(cell("version"), Some("1".into()));
    assert_eq!(cell("parameters.trees"), Some("20".into()));
    assert_eq!(cell("holdout.auc"), Some(recorded[1][0].clone().into()));
    let output = run(tidemill(lake.root()).args(["models", "show", "chicago-arrests", "forest@9"]));
    assert!(!output.status.success() && texts(&output).1.contains("has learned from batches 0 to 2"));
}
