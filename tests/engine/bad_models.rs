//! What models cannot be made of, and what they cannot be asked: a clear error, or the rule that is stated for it. Streams and
//! batch jobs alike.

use tidemill_core::lake::Lake;
use tidemill_core::registry::{At, CHAMPION, Registry};
use tidemill_core::stream::Driver;

use crate::bank::{Bank, CHURN, FEATURES};
use crate::learning::{Visits, of_model};
use crate::support::{JOB, TestBroker, crimes, job, query, run, texts};

/// Three columns of a number of the rows: each row is beyond the quartiles of one of them.
fn apart(number: &str) -> String {
    format!(
        "{number} % 5 AS a, CASE {number} % 5 WHEN 1 THEN 0 WHEN 2 THEN 4 WHEN 0 THEN 1 WHEN 4 THEN 3 ELSE 2 END AS b, \
         CASE {number} % 5 WHEN 3 THEN 4 WHEN 4 THEN 3 ELSE {number} % 5 END AS c"
    )
}

/// A step that drops what is beyond them.
const DROPS: &str = "steps = [{ step = \"drop\", reach = 0.0 }]";

const LINEAR: &str = "algorithm = \"logistic_regression\"\ntarget = \"grade\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_null_in_all_rows() {
    let visits = Visits::new().await;
    of_model(&visits, LINEAR, "CAST(NULL AS BOOLEAN)");
    let said = visits.stream(300, |i| (i % 2).to_string());
    assert!(said.contains("no row of the batch has a label to learn"), "{said}");
    let models = "SELECT status, version IS NULL, reason IS NULL FROM models";
    assert_eq!(query(&visits.lake(), models).await, [["failed", "true", "false"]]);
    let counts = "SELECT rows_out, rows_without_label FROM batches";
    assert_eq!(query(&visits.lake(), counts).await, [["300", "300"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_one_class() {
    let visits = Visits::new().await;
    of_model(&visits, LINEAR, "true");
    visits.stream(300, |i| (i % 2).to_string());
    let models = "SELECT status, reason LIKE '%class%' FROM models";
    assert_eq!(query(&visits.lake(), models).await, [["failed", "true"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_classes_where_two_were_said() {
    let visits = Visits::new().await;
    of_model(&visits, &format!("{LINEAR}classes = [0, 1]"), "grade");
    let said = visits.stream(300, |i| (i % 3).to_string());
    assert!(said.contains("the label `grade` is 2 beside 1 and 0"), "{said}");
    let bank = Bank::new(&CHURN.replace("trees", "classes = [\"north\", \"south\"]\ntrees"));
    bank.write("sql/bank/churn.sql", "SELECT id, age, region AS churned FROM people");
    let error = bank.refused(&[]);
    assert!(error.contains("the label `churned` is \"west\"") || error.contains("is west beside"), "{error}");
}

/// Of features they are missing values; as a target they are refused.
#[tokio::test(flavor = "multi_thread")]
async fn infinite_numbers() {
    for (label, status) in [("grade = 1", "trained"), ("CAST(grade AS DOUBLE) / 0", "failed")] {
        let visits = Visits::new().await;
        let model = match status {
            "trained" => LINEAR.to_owned(),
            _ => "algorithm = \"linear_regression\"\ntarget = \"grade\"\n".to_owned(),
        };
        of_model(&visits, &model, label);
        let sql = visits.folder.path().join("sql/visits/features.sql");
        let text = std::fs::read_to_string(&sql).unwrap();
        let infinite = "CASE WHEN minutes > 50 THEN CAST('inf' AS DOUBLE) ELSE minutes END AS minutes";
        std::fs::write(&sql, text.replace("minutes", infinite)).unwrap();
        let said = visits.stream(300, |i| (1 + i % 2).to_string());
        assert_eq!(query(&visits.lake(), "SELECT status FROM models").await, [[status]], "{said}");
        if status == "failed" {
            assert!(said.contains("the label `grade` is inf, in 300 of 300 rows"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_over_a_column_that_is_not_there() {
    let step = "steps = [{ step = \"standard\", columns = [\"pagse\"] }]";
    let visits = Visits::new().await;
    of_model(&visits, &format!("{LINEAR}{step}"), "grade = 1");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(visits.lake().root()).arg("--project").arg(visits.folder.path());
    let output = run(command.args(["stream", "visits", "--brokers", &visits.broker.address()]));
    let (_, err) = texts(&output);
    assert!(err.contains("step 1, standard: there is no numeric column `pagse`"), "{err}");
    assert!(err.contains("did you mean `pages`?"), "{err}");
    assert!(!visits.lake().checkpoint("visits").join("offsets/0.json").exists(), "no batch was planned");

    let bank = Bank::new(
        &CHURN
            .replace("trees = 10", &step.replace("pagse", "incom"))
            .replace("random_forest", "logistic_regression"),
    );
    let error = bank.refused(&[]);
    assert!(error.contains("step 1, standard: there is no numeric column `incom`"), "{error}");
    assert!(error.contains("did you mean `income`?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_whose_step_leaves_no_rows() {
    let visits = Visits::new().await;
    of_model(&visits, &format!("{LINEAR}{DROPS}"), "grade = 1");
    visits.write(
        "sql/visits/features.sql",
        &format!("SELECT grade = 1 AS grade, {} FROM visits", apart("minutes")),
    );
    visits.stream(300, |i| (i % 2).to_string());
    let told = "SELECT status, reason LIKE '%step 1 (`drop`)%' FROM models";
    assert_eq!(query(&visits.lake(), told).await, [["failed", "true"]]);

    let drops = CHURN.replace("trees = 10", DROPS).replace("random_forest", "logistic_regression");
    let bank = Bank::new(&drops);
    bank.write("sql/bank/churn.sql", format!("SELECT id, {}, churned FROM people", apart("id")));
    let error = bank.refused(&[]);
    assert!(error.contains("model `churn`") && error.contains("step 1 (`drop`)"), "{error}");
}

#[test]
fn a_model_that_is_asked_for_columns_it_does_not_have() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let asked = "SELECT predict('bank.churn', age, income) FROM people";
    let (_, err) = texts(&run(&mut bank.command(&["sql", asked])));
    assert!(err.contains("its features `region` are not among the columns"), "{err}");
    bank.write("some.csv", "age,incomes\n20,1500\n");
    let some = bank.path().join("some.csv");
    let (_, err) =
        texts(&run(&mut bank.command(&["predict", "bank", "churn", "--input", some.to_str().unwrap()])));
    assert!(
        err.contains("`income`, `region`") && err.contains("give the rows that sql/bank/churn.sql reads"),
        "{err}"
    );
}

#[test]
fn an_alias_or_a_version_that_is_not_there() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    for (words, part) in [
        (vec!["models", "show", "bank", "churn@7"], "model `churn` has versions 0 to 0"),
        (vec!["models", "promote", "bank", "churn@best"], "no version of model `churn` is called `best`"),
        (vec!["models", "promote", "bank", "chrn@0"], "did you mean `churn`?"),
        (vec!["models", "reproduce", "bank", "churn@7"], "has versions 0 to 0"),
        (
            vec!["sql", "SELECT predict('bank.churn@best', age, income, region) FROM people"],
            "the aliases are: champion",
        ),
        (
            vec!["sql", "SELECT predict('bank.churn@challenger', age, income, region) FROM people"],
            "has no challenger",
        ),
    ] {
        let (_, err) = texts(&run(&mut bank.command(&words)));
        assert!(err.contains(part), "{words:?}: {err}");
    }
    // A table that asks for one is not built, and the rest is.
    bank.write(
        "sql/bank/asked.sql",
        FEATURES.replace("SELECT ", "SELECT predict('bank.churn@7', age, income, region) AS p, "),
    );
    let error = bank.refused(&[]);
    assert!(error.contains("has versions 0 to 0"), "{error}");
}

/// A driver that runs takes a promotion up with its next plan, and what is trained then is the challenger.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_promoted_while_the_driver_runs() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(600, 5));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let mut driver = Driver::open(&job(&broker.address(), 150, &[]), &lake).await.unwrap();
    driver.recover(&mut |_| {}).await.unwrap();
    for _ in 0..2 {
        driver.next_batch(None, &mut |_| {}).await.unwrap().unwrap();
    }
    let registry = Registry::open(&lake, JOB).unwrap();
    let first = registry.find("forest", &At::Version(0)).unwrap();
    registry.set(&first, CHAMPION, "promote").unwrap();
    for _ in 0..2 {
        driver.next_batch(None, &mut |_| {}).await.unwrap().unwrap();
    }
    drop(driver);
    let versions = "SELECT batch_id, version, status FROM models WHERE model = 'forest' ORDER BY 1";
    let expected =
        [["0", "0", "trained"], ["1", "1", "trained"], ["2", "0", "challenger"], ["3", "0", "challenger"]];
    assert_eq!(query(&lake, versions).await, expected);
    let events =
        "SELECT batch_id, from_version, to_version, verdict, why FROM model_events WHERE model = 'forest'";
    assert_eq!(query(&lake, events).await, [["2", "1", "0", "accepted", "promote"]]);
}
