//! Which version of a batch job's model is in use: gates, what people say, files that go.

use crate::bank::{Bank, CHURN, FEATURES, customers, steps};
use crate::support::{run, texts, unsealed};

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_keeps_a_worse_version_out_and_a_person_has_the_last_word() {
    let bank = Bank::new(&format!("{CHURN}gate = {{ metric = \"auc\", max_drop = 0.02, min_rows = 50 }}\n"));
    bank.write(
        "sql/bank/asked.sql",
        "SELECT id, predict_proba('bank.churn@champion', age, income, region) AS p FROM people",
    );
    let first = ["build bank.people built", "train bank.churn trained", "build bank.asked built"];
    assert_eq!(bank.run(&[]), first, "who asks a model waits for it");
    let file = bank.model(0);

    // A tree that cannot split: on rows that neither has seen the new version is worse.
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 1");
    bank.edit("jobs/bank.toml", "label =", "max_depth = 1\nmin_samples_leaf = 400\nlabel =");
    assert_eq!(
        bank.run(&[]),
        ["build bank.people unchanged", "train bank.churn challenger", "build bank.asked unchanged"]
    );
    assert_eq!(bank.model(0), file);
    assert_ne!(bank.model(1), file);
    let events = "SELECT batch_id, from_version, to_version, verdict, why, challenger < reference FROM model_events ORDER BY 1";
    assert_eq!(bank.rows(events).await, ["0||0|accepted|first|", "1|0|0|rejected|gate|true"]);
    let same = "SELECT DISTINCT predict_proba('bank.churn', age, income, region) = predict_proba('bank.churn@0', age, income, region) FROM people";
    assert_eq!(bank.rows(same).await, ["true"]);
    let other = same.replace("'bank.churn'", "'bank.churn@challenger'");
    assert!(bank.rows(&other).await.contains(&"false".to_owned()));
    assert_eq!(bank.run(&[])[1], "train bank.churn unchanged", "a challenger is not trained twice");

    // By hand the challenger is in use: in tables from the next run on.
    bank.says(&["models", "promote", "bank", "churn@1"]);
    let promoted = ["build bank.people unchanged", "train bank.churn asked again", "build bank.asked built"];
    assert_eq!(bank.run(&[]), promoted);
    let rows = "SELECT count(*) FROM churn_rows AS r JOIN asked AS a ON a.id = r.id AND a.p = r.probability";
    assert_eq!(bank.rows(rows).await, ["600"]);
    assert_eq!(
        bank.rows(&events.replace("ORDER", "WHERE batch_id = 2 ORDER")).await,
        ["2|0|1|accepted|promote|"]
    );
    assert_eq!(bank.run(&[])[1], "train bank.churn unchanged");
    bank.says(&["models", "rollback", "bank", "churn"]);
    assert_eq!(bank.run(&[])[1..], ["train bank.churn asked again", "build bank.asked built"]);
    assert_eq!(bank.rows(same).await, ["true"]);
    bank.says(&["models", "unpin", "bank", "churn"]);
    bank.edit("jobs/bank.toml", "trees = 1", "trees = 20");
    bank.edit("jobs/bank.toml", "max_depth = 1\nmin_samples_leaf = 400\n", "");
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    let compared = bank.says(&["models", "compare", "bank", "churn@0", "churn@4", "--format", "csv"]);
    assert_eq!(compared.lines().count(), 3, "{compared}");
}

const GATE: &str = "gate = { metric = \"auc\", max_drop = 0.02, min_rows = 20 }\n";
/// Decisions, newest first.
const DECISIONS: &str = "SELECT batch_id, from_version, to_version, verdict, why, reference IS NULL FROM model_events ORDER BY 1 DESC LIMIT 1";

/// A champion is never asked about rows that it was trained on, as if they were new to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_begins_anew_with_another_split() {
    let two = CHURN.replace("[\"id\"]", "[\"id\", \"region\"]");
    let bank = Bank::new(&format!("{two}evaluate = {{ holdout = 0.1 }}\n{GATE}"));
    bank.run(&[]);
    for (step, from, to) in [(1, "0.1 }", "0.5 }"), (2, "0.5 }", "0.5, holdout_key = [\"age\"] }")] {
        bank.edit("jobs/bank.toml", from, to);
        assert_eq!(bank.run(&[])[1], "train bank.churn trained", "{to}");
        let decided = [format!("{step}|{}|{step}|accepted|split|true", step - 1)];
        assert_eq!(bank.rows(DECISIONS).await, decided);
        let reason = format!("SELECT reason FROM models WHERE version = {step}");
        let reason = bank.rows(&reason).await.remove(0);
        assert!(reason.contains("held out"), "{reason}");
    }
    // Of fewer rows the champion has seen none either, and a key that only tells rows apart moves no row.
    for (step, from, to) in [(3, "holdout = 0.5", "holdout = 0.4"), (4, "[\"id\", \"region\"]", "[\"id\"]")] {
        bank.edit("jobs/bank.toml", from, to);
        bank.run(&[]);
        let compared = bank.rows(DECISIONS).await.remove(0);
        assert!(compared.starts_with(&format!("{step}|")) && compared.ends_with("|gate|false"), "{compared}");
    }
}

/// Of a version that refuses single rows, and one that refuses others, the rows count that both have an answer for.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_compares_on_the_rows_that_both_versions_answer() {
    let strict = CHURN.replace("random_forest", "logistic_regression").replace("trees = 10\n", "");
    let strict = format!(
        "{strict}steps = [{{ step = \"one_hot\", columns = [\"region\"], error_on_unseen = true }}]\n\
         gate = {{ metric = \"accuracy\", max_drop = 1.0, min_rows = 20 }}\n"
    );
    let bank = Bank::new(&strict);
    let rows = customers(0, 600, 10);
    bank.data(&rows.replace(",west,", ",isle,"));
    bank.run(&[]);
    let held_out = bank.rows("SELECT id FROM churn_rows WHERE held_out").await;
    // The first version knows no west. The isle is there no more but in rows that no version is trained on.
    let moved = |row: &str| {
        let id = row.split(',').next().unwrap();
        let is_moved = held_out.iter().any(|of| of == id) && id.ends_with(['0', '5']);
        let region = row.split(',').nth(3).unwrap();
        if is_moved { row.replace(region, "isle") } else { row.to_owned() }
    };
    let rows: Vec<String> = rows.lines().map(moved).collect();
    bank.data(&(rows.join("\n") + "\n"));
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    let event = "SELECT verdict, rows, round(challenger, 9), round(reference, 9) FROM model_events ORDER BY batch_id DESC LIMIT 1";
    let right = |version: u32| {
        format!(
            "round(avg(CASE WHEN predict('bank.churn@{version}', age, income, region) = (churned = 'yes') THEN 1.0 ELSE 0.0 END), 9)"
        )
    };
    let sides = format!("FROM people WHERE id IN ({})", held_out.join(", "));
    let asked = format!(
        "SELECT 'accepted', count(*), {}, {} {sides} AND region IN ('north', 'south')",
        right(1),
        right(0)
    );
    assert_eq!(bank.rows(event).await, bank.rows(&asked).await);
    let counts = format!(
        "SELECT count(*) FILTER (WHERE region IN ('north', 'south')), count(*), count(*) FILTER (WHERE region = 'isle'), \
         count(*) FILTER (WHERE region = 'west') {sides}"
    );
    let counts = bank.rows(&counts).await.remove(0);
    let counts: Vec<&str> = counts.split('|').collect();
    assert!(counts.iter().all(|count| *count != "0"), "{counts:?}");
    let reason = async |version: u32| {
        let reasons = format!("SELECT reason FROM models WHERE batch_id = {version}");
        bank.rows(&reasons).await.remove(0)
    };
    let told = reason(1).await;
    for part in [
        format!("on the {} of {} rows", counts[0], counts[1]),
        format!("; it: {} of {} rows are not scored", counts[2], counts[1]),
        format!("; the champion: {} of {} rows are not scored", counts[3], counts[1]),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }

    // A version that is rejected tells of it too, and one for which too few rows are left.
    bank.edit("jobs/bank.toml", "max_drop = 1.0", "min_gain = 0.9");
    bank.edit("jobs/bank.toml", "gate", "alpha = 0.5\ngate");
    assert_eq!(bank.run(&[])[1], "train bank.churn challenger");
    let refused = format!("{} of {} rows are not scored", counts[2], counts[1]);
    assert!(reason(2).await.contains(&refused), "{}", reason(2).await);
    bank.edit("jobs/bank.toml", "min_rows = 20", "min_rows = 500");
    bank.edit("jobs/bank.toml", "alpha = 0.5", "alpha = 0.6");
    let output = run(&mut bank.command(&["run", "bank"]));
    let (out, err) = texts(&output);
    let said = format!("{out}{err}");
    assert!(said.contains("rows to compare are too few") && said.contains(&refused), "{said}");
    assert!(bank.rows(event).await[0].starts_with("waits|"));
}

/// A version that is pinned is not given a worth on rows that it has learned.
#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_has_no_score_on_another_split() {
    let bank = Bank::new(&format!("{CHURN}evaluate = {{ holdout = 0.1 }}\n"));
    bank.run(&[]);
    bank.edit("jobs/bank.toml", "0.1", "0.5");
    bank.run(&[]);
    bank.says(&["models", "promote", "bank", "churn@0"]);
    let output = bank.try_run(&[]);
    assert_eq!(steps(&output)[1], "train bank.churn asked again");
    assert!(!texts(&output).0.contains("(holdout)"), "{}", texts(&output).0);
}

/// The tables want a version that can answer: one whose features are gone is in use no more, but for the word of a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_features_are_gone_gives_way() {
    let bank = Bank::new(&format!("{CHURN}{GATE}"));
    bank.run(&[]);
    let renamed = FEATURES.replace("age", "age AS years");
    bank.write("sql/bank/churn.sql", &renamed);
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    assert_eq!(bank.rows(DECISIONS).await, ["1|0|1|accepted|features|true"]);
    let reason = bank.rows("SELECT reason FROM models WHERE version = 1").await.remove(0);
    assert!(reason.contains("age"), "{reason}");

    bank.says(&["models", "promote", "bank", "churn@1"]);
    bank.write("sql/bank/churn.sql", FEATURES.replace("income", "income AS pay"));
    let error = bank.refused(&[]);
    assert!(error.contains("tidemill models unpin bank churn"), "{error}");
    assert!(error.contains("tidemill models promote bank churn@VERSION"), "{error}");
    bank.says(&["models", "unpin", "bank", "churn"]);
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    assert_eq!(bank.rows(DECISIONS).await, ["2|1|2|accepted|features|true"]);
    // The other way out: a version that has the features of now.
    bank.says(&["models", "promote", "bank", "churn@2"]);
    bank.write("sql/bank/churn.sql", FEATURES);
    bank.refused(&[]);
    bank.says(&["models", "promote", "bank", "churn@0"]);
    assert_eq!(bank.run(&[])[1], "train bank.churn challenger");
    assert_eq!(bank.rows(DECISIONS).await, ["3|2|0|accepted|promote|true"]);

    // Groups want a version that says a cluster.
    bank.edit("jobs/bank.toml", "label = \"churned\"\ntrees = 10", "clusters = 3");
    bank.edit("jobs/bank.toml", "random_forest", "kmeans");
    bank.edit("jobs/bank.toml", "\"auc\"", "\"silhouette\"");
    bank.write("sql/bank/churn.sql", "SELECT id, age, income FROM people");
    let error = bank.refused(&[]);
    assert!(error.contains("another task") && error.contains("tidemill models unpin bank churn"), "{error}");
    bank.says(&["models", "unpin", "bank", "churn"]);
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    assert_eq!(bank.rows(DECISIONS).await, ["4|0|4|accepted|task|true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_version_whose_file_is_gone_lets_no_other_past_the_gate() {
    let bank = Bank::new(&format!("{CHURN}{GATE}"));
    bank.run(&[]);
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 1");
    bank.edit("jobs/bank.toml", "label =", "max_depth = 1\nmin_samples_leaf = 400\nlabel =");
    assert_eq!(bank.run(&[])[1], "train bank.churn challenger");
    let remove = |version: u64| {
        let path = format!("bank/_models/churn/batch-{version:08}.model");
        std::fs::remove_file(bank.lake().resolve(&path)).unwrap();
    };
    remove(1);
    assert_eq!(bank.run(&[])[1], "train bank.churn challenger", "nothing else has changed");
    assert_eq!(bank.rows(DECISIONS).await, ["2|0|0|rejected|gate|false"]);
    remove(2);
    bank.data(&customers(0, 650, 10));
    assert_eq!(bank.run(&[])[1], "train bank.churn challenger", "the rows have");
    assert_eq!(bank.rows(DECISIONS).await, ["3|0|0|rejected|gate|false"]);
}

#[test]
fn a_second_rollback_goes_further_back() {
    for runs_between in [false, true] {
        let bank = Bank::new(CHURN);
        bank.run(&[]);
        bank.edit("jobs/bank.toml", "trees = 10", "trees = 11");
        bank.run(&[]);
        bank.edit("jobs/bank.toml", "trees = 11", "trees = 12");
        bank.run(&[]);
        for version in [1, 0] {
            let mut command = bank.command(&["models", "rollback", "bank", "churn"]);
            let told = texts(&run(&mut command)).1;
            assert!(told.contains(&format!("churn version {version} is in use")), "{told}");
            if runs_between {
                assert_eq!(bank.run(&[])[1], "train bank.churn asked again");
            }
        }
        let output = run(&mut bank.command(&["models", "rollback", "bank", "churn"]));
        assert_eq!(output.status.code(), Some(2));
        assert!(texts(&output).1.contains("was in use before version 0"), "{}", texts(&output).1);
        // What a person puts in use is a beginning of its own.
        bank.says(&["models", "promote", "bank", "churn@0"]);
        let told = texts(&run(&mut bank.command(&["models", "rollback", "bank", "churn"]))).1;
        let before = if runs_between { 1 } else { 2 };
        assert!(told.contains(&format!("churn version {before} is in use")), "{told}");
    }
}

/// The record of an archive is there before the file goes: whoever comes between the two has tagged nothing.
#[test]
fn a_version_that_is_being_archived_gets_no_tag() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 11");
    bank.run(&[]);
    bank.says(&["models", "tag", "bank", "churn@1", "of the report"]);
    let records = bank.lake().checkpoint("bank").join("aliases");
    let mut record = unsealed(&records.join("0.json"));
    let archive = record.as_object_mut().unwrap();
    archive.remove("tag");
    archive.extend([
        ("number".to_owned(), 1.into()),
        ("action".to_owned(), "archive".into()),
        ("version".to_owned(), 0.into()),
    ]);
    std::fs::write(records.join("1.json"), record.to_string()).unwrap();
    let output = run(&mut bank.command(&["models", "tag", "bank", "churn@0", "first"]));
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output).1);
    assert!(
        texts(&output).1.contains("version 0 of model `churn` was archived meanwhile"),
        "{}",
        texts(&output).1
    );
    let history = bank.says(&["models", "history", "bank", "churn", "--format", "csv"]);
    assert!(history.contains("of the report") && !history.contains("first"), "{history}");
    std::fs::remove_file(bank.lake().resolve("bank/_models/churn/batch-00000000.model")).unwrap();
    let doctor = run(&mut bank.command(&["doctor", "--format", "csv"]));
    assert!(doctor.status.success(), "{doctor:?}");
}
