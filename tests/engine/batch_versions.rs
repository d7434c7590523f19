//! Versions of a batch job's models: trained again from what they were trained on, after damage, after a pin, on rows that a step
//! refuses.

use std::path::Path;

use serde_json::Value;

use crate::bank::{Bank, CHURN, FEATURES, GROUPS, customers, steps};
use crate::support::{run, texts, unsealed, visible_files};

fn reproduced(bank: &Bank, model: &str) -> (Option<bool>, String) {
    let output = run(&mut bank.command(&["models", "reproduce", "bank", model, "--format", "json"]));
    let (out, err) = texts(&output);
    let rows: Option<Vec<Value>> = serde_json::from_str(&out).ok();
    (rows.and_then(|rows| rows[0]["is_same"].as_bool()), err)
}

#[test]
fn a_version_is_trained_again_from_the_tables_of_then() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let first = bank.model(0);
    bank.data(&customers(0, 800, 20));
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 12");
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    assert_ne!(bank.model(1), first);
    for model in ["churn@0", "churn@1", "churn"] {
        let (is_same, err) = reproduced(&bank, model);
        assert_eq!(is_same, Some(true), "{model}: {err}");
    }
    // A file that went comes back.
    bank.says(&["models", "archive", "bank", "churn@0"]);
    bank.says(&["models", "reproduce", "bank", "churn@0", "--restore"]);
    assert_eq!(bank.model(0), first);
    // Without the rows of then it cannot be.
    let people = bank.lake().resolve("bank/people/_versions/00000000");
    std::fs::rename(&people, bank.path().join("aside")).unwrap();
    let (is_same, err) = reproduced(&bank, "churn@0");
    assert!(
        is_same.is_none() && err.contains("was trained on version 0 of the table `people`, which is gone"),
        "{err}"
    );
    assert_eq!(reproduced(&bank, "churn@1").0, Some(true));
    // Of an input the lake keeps no rows of before.
    let bank = Bank::new(CHURN);
    bank.write("sql/bank/churn.sql", FEATURES.replace("people", "customers"));
    bank.run(&["--select", "churn"]);
    assert_eq!(reproduced(&bank, "churn").0, Some(true));
    bank.data(&customers(0, 500, 20));
    let (is_same, err) = reproduced(&bank, "churn");
    assert!(is_same.is_none() && err.contains("it reads the input `customers`"), "{err}");
}

/// The time is what it was; chance is not, and is named.
#[test]
fn a_version_of_a_select_that_asks_the_time_is_trained_again() {
    let bank = Bank::new(CHURN);
    bank.write("sql/bank/churn.sql", FEATURES.replace("age", "age + date_part('microsecond', now()) AS age"));
    bank.run(&[]);
    let (is_same, err) = reproduced(&bank, "churn");
    assert_eq!(is_same, Some(true), "{err}");
    // The record of an earlier version of Tidemill has no time.
    let commits = bank.lake().checkpoint("bank").join("commits");
    let mut taken = 0;
    for file in std::fs::read_dir(&commits).unwrap().map(|entry| entry.unwrap().path()) {
        let mut record = unsealed(&file);
        let Some(model) = record.get_mut("model").and_then(Value::as_object_mut) else { continue };
        taken += u32::from(model.remove("moment").is_some());
        std::fs::write(&file, serde_json::to_vec(&record).unwrap()).unwrap();
    }
    assert_eq!(taken, 1);
    let (is_same, err) = reproduced(&bank, "churn");
    assert!(is_same.is_none() && err.contains("its SELECT asks for the time"), "{err}");

    let bank = Bank::new(CHURN);
    bank.write("sql/bank/churn.sql", FEATURES.replace("age", "age + random() AS age"));
    bank.run(&[]);
    let (is_same, err) = reproduced(&bank, "churn");
    assert!(is_same.is_none() && err.contains("its SELECT calls random()"), "{err}");
}

/// What is in use is read with each run: other bytes of the same length are damage, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_other_bytes_is_trained_again() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let path = bank.lake().resolve("bank/_models/churn/batch-00000000.model");
    let mut bytes = bank.model(0);
    let last = bytes.len() - 1;
    bytes[last] ^= 0x55;
    std::fs::write(&path, &bytes).unwrap();
    let output = bank.try_run(&[]);
    assert!(output.status.success(), "{}", texts(&output).1);
    assert_eq!(steps(&output)[1], "train bank.churn trained");
    assert!(texts(&output).1.contains("the model is trained again"), "{}", texts(&output).1);
    assert_eq!(bank.run(&[])[1], "train bank.churn unchanged");
    assert_eq!(
        bank.rows("SELECT DISTINCT predict('bank.churn@champion', age, income, region) IS NULL FROM people")
            .await,
        ["false"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_unpin_what_is_trained_is_in_use_with_the_next_run() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    bank.data(&customers(0, 900, 10));
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 12");
    bank.run(&[]);
    let trained = bank.model(1);
    bank.says(&["models", "promote", "bank", "churn@0"]);
    assert_eq!(bank.run(&[])[1], "train bank.churn asked again");
    // What is listed is what the version was trained on, not what there is now.
    let history = "SELECT train_rows FROM models WHERE version = 0 AND status = 'trained'";
    let rows = bank.rows(history).await.remove(0);
    let list = bank.says(&["models", "list", "bank", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert_eq!((list[0]["version"].as_u64(), list[0]["train_rows"].to_string()), (Some(0), rows));
    bank.says(&["models", "unpin", "bank", "churn"]);
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    let list: Vec<Value> =
        serde_json::from_str(&bank.says(&["models", "list", "bank", "--format", "json"])).unwrap();
    assert_eq!(bank.model(list[0]["version"].as_u64().unwrap()), trained);
    assert_eq!(bank.run(&[])[1], "train bank.churn unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_goes_with_the_clusters() {
    let bank = Bank::new(GROUPS);
    bank.run(&[]);
    let shown = |table: &str| visible_files(&bank.lake().resolve(table)).len();
    assert_eq!((shown("bank/groups_rows"), shown("bank/groups_profile")), (1, 1));
    bank.edit("jobs/bank.toml", "kmeans", "isolation_forest");
    bank.edit("jobs/bank.toml", "clusters = 3", "trees = 20");
    assert!(bank.run(&[]).contains(&"train bank.groups trained".to_owned()));
    assert_eq!((shown("bank/groups_rows"), shown("bank/groups_profile")), (1, 0));
    assert_eq!(bank.rows("SELECT count(*) FROM groups_profile VERSION AS OF 0").await, ["3"]);
    // How much of an outlier each is: in its table, by SQL and of a file.
    let differ = "SELECT count(*), count(*) FILTER (WHERE (s IS DISTINCT FROM r.score) OR (s IS DISTINCT FROM r.prediction)) FROM groups_rows AS r \
        JOIN (SELECT id, score('bank.groups', age, income) AS s FROM people) AS p USING (id)";
    assert_eq!(bank.rows(differ).await, ["600|0"]);
    bank.write("some.csv", "age,income\n20,1500\n");
    let some = bank.path().join("some.csv");
    let said =
        bank.says(&["predict", "bank", "groups", "--input", some.to_str().unwrap(), "--format", "csv"]);
    assert!(said.starts_with("age,income,prediction,score\n20,1500,0."), "{said}");
    for (function, part) in
        [("predict_proba", "score for isolation"), ("cluster_id", "cluster_id is not for model `groups`")]
    {
        let asked = format!("SELECT {function}('bank.groups', age, income) FROM people");
        let (_, err) = texts(&run(&mut bank.command(&["sql", &asked])));
        assert!(err.contains(part), "{function}: {err}");
    }
}

#[test]
fn score_is_for_outliers() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let (_, err) = texts(&run(
        &mut bank.command(&["sql", "SELECT score('bank.churn', age, income, region) FROM people"])
    ));
    assert!(
        err.contains("score is not for model `churn`") && err.contains("predict_proba for classifiers"),
        "{err}"
    );
}

#[test]
fn a_build_that_panics_ends_its_table_alone() {
    let bank = Bank::new(CHURN);
    bank.write("sql/bank/regions.sql", "SELECT region, count(*) AS n FROM customers GROUP BY region");
    let mut command = bank.command(&["run", "bank", "--format", "json"]);
    let output = run(command.env("TIDEMILL_FAIL", "build:people:panic"));
    assert!(!output.status.success());
    let mut of = steps(&output);
    of.sort();
    assert_eq!(of, ["build bank.people failed", "build bank.regions built", "train bank.churn not built"]);
    assert!(texts(&output).1.contains("a build ended without a result"), "{}", texts(&output).1);
    assert_eq!(bank.run(&[]).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_step_refuses_has_no_answer_and_the_others_have() {
    let bank = Bank::new(&CHURN.replace("random_forest", "logistic_regression").replace(
        "trees = 10",
        "steps = [\"standard\", { step = \"pca\", columns = [\"age\", \"income\"], components = 2 }]",
    ));
    // Of the age of 20 nothing is known: neither an age nor a label.
    bank.write(
        "sql/bank/churn.sql",
        "SELECT id, NULLIF(age, 20) AS age, income, CASE WHEN age <> 20 THEN churned END AS churned FROM people",
    );
    let output = bank.try_run(&[]);
    assert!(output.status.success(), "{}", texts(&output).1);
    assert!(
        texts(&output).1.contains("rows that a step of the model refuses have no answer"),
        "{}",
        texts(&output).1
    );
    let answers = "SELECT count(*) FILTER (WHERE age = 20) > 0, count(*) FILTER (WHERE (prediction IS NULL) <> (age = 20) \
        OR (probability IS NULL) <> (age = 20)) FROM churn_rows JOIN people USING (id)";
    assert_eq!(bank.rows(answers).await, ["true|0"]);
    let asked = "SELECT count(*) FILTER (WHERE (predict('bank.churn', {age: NULLIF(age, 20)}, income) IS NULL) <> (age = 20)) FROM people";
    assert_eq!(bank.rows(asked).await, ["0"]);
    bank.write("some.csv", "age,income\n,1500\n30,1500\n");
    let some = bank.path().join("some.csv");
    let (out, err) = predicted(&bank, &some);
    assert!(out.contains(",1500,,\n") && !out.contains("30,1500,,"), "{out} {err}");
    assert!(err.contains("1 row") && err.contains("step 2 (`pca`)"), "{err}");
}

/// What `predict` says of a file's rows, and beside them.
fn predicted(bank: &Bank, file: &Path) -> (String, String) {
    let input = file.to_str().unwrap();
    texts(&run(&mut bank.command(&["predict", "bank", "churn", "--input", input, "--format", "csv"])))
}

/// Cells of a file are of the types that the job's input has.
#[test]
fn rows_of_a_file_are_as_the_input_of_the_job() {
    let bank = Bank::new(CHURN);
    bank.write(
        "sql/bank/churn.sql",
        "SELECT id, age + 1 AS age, income / 10 AS income, region, churned FROM customers",
    );
    bank.run(&["--select", "churn"]);
    bank.write("some.csv", "id,age,income,region,debt\n7,20,1500,north,3.5\n");
    let some = bank.path().join("some.csv");
    let (out, err) = predicted(&bank, &some);
    assert!(
        out.starts_with("id,age,income,region,debt,prediction,probability\n7,20,1500")
            && err.contains("by its SELECT"),
        "{out} {err}"
    );
}

/// Trees keep hashes of rare categories: their names are those of the rows of then.
#[test]
fn rare_categories_have_their_names_in_onnx() {
    let bank = Bank::new(CHURN);
    bank.write(
        "sql/bank/churn.sql",
        "SELECT p.id, p.age, concat('street ', CAST(p.id % 300 AS TEXT)) AS street, p.churned FROM people AS p JOIN customers USING (id)",
    );
    bank.run(&[]);
    let file = bank.path().join("churn.onnx");
    bank.says(&["models", "export", "bank", "churn", "--output", file.to_str().unwrap()]);
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.windows(10).any(|part| part == b"street 299"), "{}", bytes.len());
}

#[test]
fn a_class_that_is_in_one_fold_alone_is_told() {
    let bank = Bank::new(&CHURN.replace("trees = 10", "trees = 10\nevaluate = { folds = 5 }"));
    let rare = |ids: &str| {
        let label = format!("CASE WHEN id IN ({ids}) THEN 'yes' ELSE 'no' END AS churned");
        bank.write("sql/bank/churn.sql", FEATURES.replace("churned", &label));
    };
    rare("7");
    let error = bank.refused(&[]);
    assert!(error.contains("class \"yes\" is in one fold alone, with 1 rows"), "{error}");
    // Of two each is in a fold of its own.
    for ids in ["1, 2", "3, 4", "5, 6", "7, 8", "9, 10"] {
        rare(ids);
        assert_eq!(bank.run(&[])[1], "train bank.churn trained", "{ids}");
    }
}
