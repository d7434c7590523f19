//! `[[models]]` of a batch job: trained as a step of the run, published with the tables of what they say.

use crate::bank::{Bank, CHURN, FEATURES, GROUPS, customers};
use crate::support::{query, run, texts, visible_files};

#[tokio::test(flavor = "multi_thread")]
async fn a_classifier_is_trained_once_and_says_of_each_row_what_predict_says() {
    let bank = Bank::new(CHURN);
    assert_eq!(bank.run(&[]), ["build bank.people built", "train bank.churn trained"]);
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn unchanged"]);
    let order = bank.says(&["run", "bank", "--dry-run", "--format", "csv"]);
    assert_eq!(order, "order,table,reads\n1,people,customers\n2,churn,people\n");
    assert_eq!(bank.run(&["--select", "churn"]), ["train bank.churn unchanged"]);

    let columns =
        bank.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'churn_rows'").await;
    assert_eq!(columns, ["id", "label", "prediction", "probability", "held_out"]);
    let other = "SELECT count(*), count(*) FILTER (WHERE r.probability <> a.p OR r.probability IS NULL OR r.label <> a.churned) \
        FROM bank.churn_rows AS r JOIN (SELECT id, churned, predict_proba('bank.churn@champion', age, income, region) AS p \
        FROM people) AS a ON a.id = r.id";
    assert_eq!(bank.rows(other).await, ["600|0"]);
    // The metrics are those of the rows that are held out, counted here.
    let counted =
        "SELECT count(*), avg(CAST((label = 'yes') = prediction AS DOUBLE)) FROM churn_rows WHERE held_out";
    let told = "SELECT rows, accuracy FROM metrics WHERE job = 'bank' AND model = 'churn' AND evaluation = 'holdout'";
    let told = bank.rows(told).await;
    assert_eq!(bank.rows(counted).await, told);
    let rows: u64 = told[0].split('|').next().unwrap().parse().unwrap();
    assert!((130..230).contains(&rows), "{rows} of 600 are held out");
    assert_eq!(
        bank.rows("SELECT batch_id, model, version, status, train_rows FROM models").await,
        [format!("0|churn|0|trained|{}", 600 - rows)]
    );
    let auc = "SELECT value > 0.7 FROM metric_values WHERE model = 'churn' AND metric = 'auc'";
    assert_eq!(bank.rows(auc).await, ["true"]);

    // Other verbs know it.
    assert!(bank.says(&["models", "list", "--format", "csv"]).contains("bank,churn,0,random_forest"));
    assert!(
        bank.says(&["models", "show", "bank", "churn", "--format", "csv"]).contains("parameters.trees,10")
    );
    bank.write("some.csv", "age,income,region\n20,1500,north\n70,,\n");
    let some = bank.path().join("some.csv");
    let said = bank.says(&["predict", "bank", "churn", "--input", some.to_str().unwrap(), "--format", "csv"]);
    assert!(said.starts_with("age,income,region,prediction,probability\n20,1500,north,true,"), "{said}");
    assert!(bank.says(&["doctor", "--format", "csv"]).lines().count() <= 2);

    // A parameter is a reason to train again, and so are rows; how many versions are kept is none.
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 11");
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn trained"]);
    bank.edit("jobs/bank.toml", "trees = 11", "trees = 11\nkeep = 2");
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn unchanged"]);
    bank.data(&customers(0, 650, 10));
    assert_eq!(bank.run(&[]), ["build bank.people built", "train bank.churn trained"]);
    let history = bank.says(&["models", "history", "bank", "churn", "--format", "csv"]);
    assert_eq!(history.lines().count(), 4, "{history}");
    assert!(!bank.lake().resolve("bank/_models/churn/batch-00000000.model").exists(), "two are kept");
    assert_eq!(bank.rows("SELECT count(*) FROM churn_rows").await, ["650"]);
    // A file that is gone is a reason too.
    std::fs::remove_file(bank.lake().resolve("bank/_models/churn/batch-00000002.model")).unwrap();
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn trained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_have_a_row_each_and_a_profile() {
    let bank = Bank::new(&format!("{CHURN}{GROUPS}"));
    let trained = ["build bank.people built", "train bank.churn trained", "train bank.groups trained"];
    assert_eq!(bank.run(&[]), trained);
    let apart = "SELECT count(*) FROM groups_rows AS r JOIN (SELECT id, cluster_id('bank.groups', age, income) AS c \
        FROM people) AS a ON a.id = r.id AND a.c = r.cluster";
    assert_eq!(bank.rows(apart).await, ["600"]);
    // Counted from the rows, the profile is the same.
    let profile = "SELECT cluster, rows, round(share, 9), round(mean_age, 9), round(mean_income, 6) FROM groups_profile ORDER BY 1";
    let counted = "SELECT r.cluster, count(*), round(count(*) / 600.0, 9), round(avg(p.age), 9), round(avg(p.income), 6) \
        FROM groups_rows AS r JOIN people AS p ON p.id = r.id GROUP BY 1 ORDER BY 1";
    assert_eq!(bank.rows(profile).await, bank.rows(counted).await);
    assert_eq!(bank.rows("SELECT count(*) FROM groups_profile").await, ["3"]);
    let centres =
        "SELECT cluster, round(value, 6) FROM centres WHERE model = 'groups' AND feature = 'age' ORDER BY 1";
    let means = "SELECT cluster, round(mean_age, 6) FROM groups_profile ORDER BY 1";
    assert_eq!(bank.rows("SELECT evaluation FROM metrics WHERE model = 'groups'").await, ["sample"]);
    assert_eq!(bank.rows(centres).await.len(), bank.rows(means).await.len());
    // Steps before it make other columns of the features; the profile is of these as they come.
    bank.edit("jobs/bank.toml", "clusters = 3", "clusters = 3\nsteps = [\"standard\"]");
    assert_eq!(bank.run(&[])[2], "train bank.groups trained");
    assert_eq!(bank.rows(profile).await, bank.rows(counted).await);
    assert_eq!(bank.rows("SELECT count(*) FROM groups_profile").await, ["3"]);
    // Some means alone.
    bank.edit("jobs/bank.toml", "clusters = 3", "clusters = 3\nprofile = [\"income\"]");
    bank.run(&[]);
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'groups_profile'";
    assert_eq!(bank.rows(columns).await, ["cluster", "rows", "share", "mean_income"]);
}

/// Outliers have no label either: all rows are learned from, unless a hold-out is said.
#[tokio::test(flavor = "multi_thread")]
async fn outliers_are_learned_from_all_rows() {
    let bank = Bank::new(
        "[[models]]\nname = \"odd\"\nalgorithm = \"isolation_forest\"\nfeatures = \"sql/bank/groups.sql\"\nkey = [\"id\"]\n",
    );
    bank.write("sql/bank/groups.sql", "SELECT id, age, income FROM people");
    assert_eq!(bank.run(&["--select", "+odd"])[1], "train bank.odd trained");
    let metrics = "SELECT evaluation FROM metric_values WHERE model = 'odd' AND metric = 'outlier_share'";
    assert_eq!(bank.rows(metrics).await, ["sample"]);
    assert_eq!(bank.rows("SELECT train_rows FROM models WHERE model = 'odd'").await, ["600"]);
    let said = "SELECT count(*) FROM odd_rows WHERE prediction BETWEEN 0 AND 1";
    assert_eq!(bank.rows(said).await, ["600"]);
    bank.edit("jobs/bank.toml", "key = [\"id\"]", "key = [\"id\"]\nevaluate = { folds = 3 }");
    assert!(bank.refused(&[]).contains("folds is for models with a label"));
}

/// Versions of tables and of models' tables are counted apart, so no name is first the one and then the other.
#[test]
fn a_table_does_not_become_a_models() {
    let bank = Bank::new(GROUPS);
    bank.run(&[]);
    let job = std::fs::read_to_string(bank.path().join("jobs/bank.toml")).unwrap();
    bank.write("jobs/bank.toml", job.split("[[models]]").next().unwrap());
    bank.write("sql/bank/groups_rows.sql", "SELECT id FROM people");
    assert!(bank.refused(&[]).contains("bank.groups_rows was a table of the model bank.groups"));
}

#[tokio::test(flavor = "multi_thread")]
async fn folds_are_scored_by_models_of_the_others() {
    let bank = Bank::new(
        "[[models]]\nname = \"debt\"\nalgorithm = \"linear_regression\"\nfeatures = \"sql/bank/debt.sql\"\nkey = [\"id\"]\n\
         label = \"debt\"\nl2 = 0.0\nevaluate = { folds = 5 }\n",
    );
    bank.write("sql/bank/debt.sql", "SELECT id, income, debt FROM customers");
    assert_eq!(bank.run(&["--select", "debt"]), ["train bank.debt trained"]);
    let sizes = bank.rows("SELECT fold, count(*) FROM debt_rows GROUP BY 1 ORDER BY 1").await;
    assert_eq!(sizes, ["0|120", "1|120", "2|120", "3|120", "4|120"]);
    // Each fold by a line of least squares through the others.
    let by = "SELECT r.fold, r.label, c.income FROM debt_rows AS r JOIN people AS c ON c.id = r.id";
    bank.run(&["--select", "people"]);
    let rows: Vec<(u32, f64, f64)> = query(&bank.lake(), by)
        .await
        .iter()
        .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2].parse().unwrap()))
        .collect();
    let mut squares = 0.0;
    for fold in 0..5 {
        let others: Vec<_> = rows.iter().filter(|row| row.0 != fold).collect();
        let n = others.len() as f64;
        let (y, x) = others.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.1 / n, sum.1 + row.2 / n));
        let (up, down) = others.iter().fold((0.0, 0.0), |sum, row| {
            (sum.0 + (row.2 - x) * (row.1 - y), sum.1 + (row.2 - x) * (row.2 - x))
        });
        let said = |income: f64| y + up / down * (income - x);
        squares +=
            rows.iter().filter(|row| row.0 == fold).map(|row| (said(row.2) - row.1).powi(2)).sum::<f64>();
    }
    let rmse: f64 = bank.rows("SELECT rmse FROM metrics WHERE model = 'debt' AND evaluation = 'folds'").await
        [0]
    .parse()
    .unwrap();
    assert!((rmse - (squares / 600.0).sqrt()).abs() < 1e-6, "{rmse}");
    let history = bank.says(&["models", "history", "bank", "debt", "--format", "csv"]);
    assert!(history.contains("folds"), "{history}");
}

/// The row of a fold that a model of the others refuses is not scored, and told.
#[tokio::test(flavor = "multi_thread")]
async fn folds_are_scored_without_the_rows_that_a_step_refuses() {
    let strict = CHURN.replace("random_forest", "logistic_regression").replace("trees = 10\n", "");
    let bank = Bank::new(&format!(
        "{strict}evaluate = {{ folds = 5 }}\n\
         steps = [{{ step = \"one_hot\", columns = [\"region\"], error_on_unseen = true }}]\n"
    ));
    // Three regions of one customer each.
    let isles = |(number, row): (usize, &str)| match number {
        3 | 77 | 400 => row.replace(row.split(',').nth(3).unwrap(), &format!("isle{number}")),
        _ => row.to_owned(),
    };
    let rows: Vec<String> = customers(0, 600, 10).lines().enumerate().map(isles).collect();
    bank.data(&(rows.join("\n") + "\n"));
    assert_eq!(bank.run(&[])[1], "train bank.churn trained");
    assert_eq!(bank.rows("SELECT rows FROM metrics WHERE evaluation = 'folds'").await, ["597"]);
    let reason = bank.rows("SELECT reason FROM models").await.remove(0);
    assert!(reason.contains("folds: 3 of 600 rows are not scored"), "{reason}");
    assert!(reason.contains("isle") && reason.contains("error_on_unseen = false"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_finds_rows_keeps_model_and_tables_as_they_were() {
    let bank = Bank::new(&format!(
        "{CHURN}{GROUPS}[[tables]]\nname = \"groups_profile\"\naudits = {{ row_count = {{ max = 3 }} }}\n"
    ));
    bank.write("sql/bank/audits/sure.sql", "SELECT * FROM churn_rows WHERE id >= 600");
    bank.run(&[]);
    let before = bank.files();
    bank.edit("jobs/bank.toml", "clusters = 3", "clusters = 4");
    bank.data(&customers(0, 601, 10));
    let error = bank.refused(&[]);
    assert!(error.contains("the new version of churn is not published"), "{error}");
    assert!(error.contains("sure.sql found 1 bad row"), "{error}");
    let after = bank.files();
    for (path, bytes) in &before {
        assert!(after.get(path) == Some(bytes), "{} is as it was", path.display());
    }
    assert_eq!(
        after.keys().filter(|path| !before.contains_key(*path)).count(),
        1,
        "the new version of people"
    );
    assert_eq!(bank.rows("SELECT max(version) FROM models").await, ["0"]);
    assert_eq!(bank.rows("SELECT count(*) FROM groups_profile").await, ["3"]);
    bank.data(&customers(0, 599, 10));
    bank.edit("jobs/bank.toml", "max = 3", "max = 4");
    assert_eq!(bank.run(&[])[1..], ["train bank.churn trained", "train bank.groups trained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_learned_says_so_and_the_version_before_stays() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let before = bank.files();
    for (features, says) in [
        ("SELECT id, age FROM people", "the features have no column `churned`"),
        (
            "SELECT id, age, CAST(NULL AS TEXT) AS churned FROM people",
            "the label `churned` is null in all of 600 rows",
        ),
        ("SELECT id, age, 'yes' AS churned FROM people", "one class"),
        ("SELECT id, age, region AS churned FROM people", "the label `churned` is"),
        (
            "SELECT id, age, CAST('2026-01-01' AS DATE) AS born, churned FROM people",
            "feature `born` is of type Date32",
        ),
        ("SELECT age, churned FROM people", "no column `id`"),
        ("SELECT age AS id, income, churned FROM people", "rows have the key of another, the first is id="),
        ("SELECT NULLIF(id, 7) AS id, age, churned FROM people", "`id` is null in 1 of 600 rows"),
        ("SELECT id, churned FROM people", "no feature"),
        ("SELECT id, age, churned FROM people WHERE false", "there is no row to learn from"),
    ] {
        bank.write("sql/bank/churn.sql", features);
        let error = bank.refused(&[]);
        assert!(error.contains(says), "{features}: {error}");
        assert!(error.contains("churn"), "{features}: {error}");
        assert_eq!(bank.files(), before, "{features}");
    }
    bank.write("sql/bank/churn.sql", FEATURES);
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn unchanged"]);
    // Rows without a label are not learned from, and answered all the same.
    bank.write(
        "sql/bank/churn.sql",
        FEATURES.replace("churned FROM", "CASE WHEN id >= 10 THEN churned END AS churned FROM"),
    );
    bank.run(&[]);
    let without = "SELECT count(*), count(probability), count(held_out) FROM churn_rows WHERE label IS NULL";
    assert_eq!(bank.rows(without).await, ["10|10|0"]);
    assert_eq!(
        bank.rows(
            "SELECT train_rows + rows FROM models JOIN metrics USING (model, version) WHERE version = 1"
        )
        .await,
        ["590"]
    );
    // A number that is no number, and one that is infinite, are missing values; a label that is infinite is refused.
    let numbers = CHURN.replace("random_forest", "linear_regression").replace("trees = 10\n", "");
    let bank = Bank::new(&numbers.replace("\"churned\"", "\"debt\""));
    bank.write("sql/bank/churn.sql", "SELECT id, age, income / 0.0 AS income, debt FROM customers");
    assert_eq!(bank.run(&["--select", "churn"]), ["train bank.churn trained"]);
    bank.write("sql/bank/churn.sql", "SELECT id, age, debt / 0.0 AS debt FROM customers");
    let error = bank.refused(&["--select", "churn"]);
    assert!(error.contains("the label `debt` is inf, in 600 of 600 rows"), "{error}");
}

#[test]
fn what_a_job_says_wrong_of_its_models_is_refused() {
    for (from, to, says) in [
        ("key = [\"id\"]\n", "", "`key` is missing"),
        ("[\"id\"]", "[\"label\"]", "`key` cannot have `label`"),
        ("\"churn\"", "\"people\"", "`people` is of the model `people`, and something else"),
        ("\"churn\"", "\"Churn\"", "no name of a model"),
        ("trees = 10", "tres = 10", "unknown key `tres`"),
        ("trees = 10", "evaluate = { folds = 1 }", "evaluate.folds is from 2 to 100"),
        ("trees = 10", "evaluate = { fold = 5 }", "`fold`"),
        ("trees = 10", "profile = [\"age\"]", "`profile` is for clusterings"),
        (
            "trees = 10",
            "gate = { metric = \"auc\", max_drop = 0.1 }\nevaluate = { holdout = 0.0 }",
            "evaluate.holdout is 0",
        ),
        ("random_forest", "minibatch_kmeans", "learns from a state"),
        ("sql/bank/churn.sql", "sql/bank/none.sql", "none.sql"),
    ] {
        let bank = Bank::new(&CHURN.replace(from, to));
        let error = bank.refused(&["--dry-run"]);
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn a_circle_of_models_and_tables_is_refused_by_name() {
    let bank = Bank::new(CHURN);
    bank.write(
        "sql/bank/people.sql",
        "SELECT c.*, predict_proba('bank.churn', age, income, region) AS p FROM customers AS c",
    );
    let error = bank.refused(&[]);
    assert!(
        error.contains("the tables and models read each other in a circle: people reads churn reads people"),
        "{error}"
    );
    bank.write("sql/bank/people.sql", "SELECT c.* FROM customers AS c JOIN churn_rows USING (id)");
    let error = bank.refused(&[]);
    assert!(error.contains("in a circle: people reads churn reads people"), "{error}");
    bank.write("sql/bank/people.sql", "SELECT c.*, predict('bank.chrn', age) AS p FROM customers AS c");
    let error = bank.refused(&[]);
    assert!(error.contains("there is no model `chrn`") && error.contains("did you mean `churn`?"), "{error}");
    // An audit of a version that is not in use yet cannot ask it.
    bank.write("sql/bank/people.sql", "SELECT * FROM customers");
    bank.write(
        "sql/bank/audits/asks.sql",
        "SELECT * FROM people WHERE predict_proba('bank.churn', age, income, region) > 2",
    );
    let error = bank.refused(&[]);
    assert!(error.contains("asks `churn`, whose new version it is to look at"), "{error}");
}

#[test]
fn threads_change_no_byte() {
    let models = format!("{CHURN}{GROUPS}");
    let of = |threads: &str| {
        let bank = Bank::new(&models);
        let mut command = bank.command(&["run", "bank", "--format", "json"]);
        let output = run(command.env("RAYON_NUM_THREADS", threads));
        assert!(output.status.success(), "{}", texts(&output).1);
        bank.files()
    };
    let one = of("1");
    assert!(one.len() >= 6);
    assert_eq!(one, of("2"));
    assert_eq!(one, of("4"));
}

/// Dies between the files of a version and its commit, and between the commit and what is renamed after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_leaves_the_version_before_or_the_new_one_whole() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    let first = bank.files();
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 11");
    bank.run(&[]);
    let second = bank.files();
    let lake = bank.lake();
    let (model, staged) = (
        lake.resolve("bank/_models/churn/batch-00000001.model"),
        lake.checkpoint("bank").join("staged/bank+_models+churn+batch-00000001.model"),
    );
    let newest = lake.checkpoint("bank").join("commits/2.json");
    let record = std::fs::read(&newest).unwrap();

    // The files are there, the record is not: the version before counts, and what nobody knows of is cleared away.
    std::fs::create_dir_all(staged.parent().unwrap()).unwrap();
    std::fs::rename(&model, &staged).unwrap();
    std::fs::remove_file(&newest).unwrap();
    assert!(bank.says(&["models", "show", "bank", "churn", "--format", "csv"]).contains("version,0"));
    assert_eq!(bank.rows("SELECT count(*) FROM churn_rows").await, ["600"]);
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn trained"]);
    assert_eq!(bank.files(), second);

    // The record is there, the renames are not.
    let again = std::fs::read(&newest).unwrap();
    assert_ne!(again, record, "times");
    std::fs::create_dir_all(staged.parent().unwrap()).unwrap();
    std::fs::rename(&model, &staged).unwrap();
    let rows = lake.resolve("bank/churn_rows");
    std::fs::remove_file(rows.join("batch-00000001.parquet")).unwrap();
    let old = "batch-00000000.parquet";
    std::fs::hard_link(rows.join("_versions/00000000").join(old), rows.join(old)).unwrap();
    let other = "SELECT count(*) FROM churn_rows AS r JOIN (SELECT id, predict_proba('bank.churn', age, income, region) AS p \
        FROM people) AS a ON a.id = r.id AND a.p = r.probability";
    assert_eq!(bank.rows(other).await, ["600"]);
    assert_eq!(bank.run(&[]), ["build bank.people unchanged", "train bank.churn unchanged"]);
    assert_eq!(bank.files(), second);
    assert_eq!(visible_files(&rows), [rows.join("batch-00000001.parquet")]);
    assert!(first.len() < second.len());
}
