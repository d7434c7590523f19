//! Tables of a batch job as Delta tables: version N is build N. Other engines read them in tests/delta.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};
use tidemill_core::doctor;

use crate::bank::{Bank, CHURN, GROUPS};
use crate::batch::Shop;
use crate::support::texts;

const SELECT: &str = "SELECT order_id AS id, state, CAST(NULL AS TEXT) AS t, CASE WHEN order_id = 'a' THEN CAST('NaN' AS DOUBLE) ELSE 1.5 END AS nan FROM orders";

fn shop(settings: &str) -> Shop {
    let shop = Shop::new();
    std::fs::remove_file(shop.path().join("sql/shop/by_state.sql")).unwrap();
    shop.write("sql/shop/wide.sql", SELECT);
    table(&shop, settings);
    shop
}

/// Settings of the table.
fn table(shop: &Shop, settings: &str) {
    let input = format!("[inputs.orders]\npath = \"{}/orders.csv\"\n", shop.path().display());
    let table = format!("[[tables]]\nname = \"wide\"\n{settings}\n");
    shop.write("jobs/shop.toml", format!("sql = \"sql/shop\"\n{input}{table}"));
}

fn log(shop: &Shop) -> PathBuf {
    shop.lake().resolve("shop/wide/_delta_log")
}

/// The files of the log.
fn files(shop: &Shop) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(log(shop)) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn json_of(version: u64) -> String {
    format!("{version:020}.json")
}

fn actions(shop: &Shop, version: u64, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(log(shop).join(json_of(version))).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|mut line| line.as_object_mut().unwrap().remove(kind)).collect()
}

fn paths(actions: &[Value]) -> Vec<&str> {
    actions.iter().map(|action| action["path"].as_str().unwrap()).collect()
}

fn findings(shop: &Shop) -> Vec<doctor::Finding> {
    doctor::examine(&shop.lake(), None).unwrap().findings
}

#[tokio::test(flavor = "multi_thread")]
async fn each_build_is_a_version_that_replaces_the_one_before() {
    let shop = shop("");
    shop.run(&[]);
    shop.run(&["--force"]);
    // Other columns: a build is all of the table.
    shop.write("sql/shop/wide.sql", "SELECT count(*) AS state FROM orders");
    shop.run(&[]);
    assert_eq!(files(&shop).into_keys().collect::<Vec<_>>(), [json_of(0), json_of(1), json_of(2)]);
    let path = |version: u64| format!("_versions/{version:08}/batch-{version:08}.parquet");
    for version in 0..3 {
        let added = actions(&shop, version, "add");
        assert_eq!(paths(&added), [path(version)]);
        assert_eq!(added[0]["dataChange"], json!(true));
        let before: Vec<String> = version.checked_sub(1).map(path).into_iter().collect();
        let removed = actions(&shop, version, "remove");
        assert_eq!(paths(&removed), before);
        assert!(removed.iter().all(|file| file["dataChange"] == json!(true)));
        let [info] = actions(&shop, version, "commitInfo").try_into().unwrap();
        assert_eq!(
            (&info["operation"], &info["operationParameters"]),
            (&json!("WRITE"), &json!({"mode": "Overwrite"}))
        );
        let [txn] = actions(&shop, version, "txn").try_into().unwrap();
        assert!(
            txn["version"] == json!(version) && txn["appId"].as_str().unwrap().ends_with(":shop.wide"),
            "{txn}"
        );
    }
    let stats: Value = serde_json::from_str(actions(&shop, 0, "add")[0]["stats"].as_str().unwrap()).unwrap();
    assert_eq!((&stats["numRecords"], &stats["minValues"]["id"]), (&json!(3), &json!("a")));
    assert!(stats["minValues"].get("nan").is_none(), "{stats}");
    let schema =
        |version| actions(&shop, version, "metaData")[0]["schemaString"].as_str().unwrap().to_owned();
    assert!(schema(0).contains("\"nan\"") && actions(&shop, 1, "metaData").is_empty());
    assert!(!schema(2).contains("\"nan\"") && schema(2).contains("\"long\""), "{}", schema(2));
    assert_eq!(findings(&shop), []);
}

#[test]
fn a_log_has_the_builds_that_are_kept_and_a_lost_one_is_made_again() {
    let shop = shop("");
    for _ in 0..26 {
        shop.run(&["--force"]);
    }
    let whole = files(&shop);
    let checkpoint = |version: u64| format!("{version:020}.checkpoint.parquet");
    let expected =
        (10..26).map(json_of).chain([checkpoint(10), checkpoint(20), "_last_checkpoint".to_owned()]);
    assert_eq!(whole.keys().cloned().collect::<BTreeSet<_>>(), expected.collect());
    assert_eq!(findings(&shop), []);
    let path = |name: &str| log(&shop).join(name);
    // A run that died before the log, and lost files.
    for (lost, says) in [
        (vec![json_of(25)], "it ends at version 24, the newest build is 25"),
        (vec![json_of(24), json_of(25)], "it ends at version 23"),
        (vec![json_of(22)], "version 22 is not there"),
        (vec![checkpoint(20), "_last_checkpoint".to_owned()], ""),
    ] {
        lost.iter().for_each(|name| std::fs::remove_file(path(name)).unwrap());
        let found = findings(&shop);
        assert!(found.len() == usize::from(!says.is_empty()), "{says}: {found:?}");
        assert!(
            found.iter().all(|found| found.problem.contains(says) && found.about == "delta"),
            "{found:?}"
        );
        shop.run(&[]);
        assert!(files(&shop) == whole, "{says}");
    }
    // Of builds that are gone there is no version: the log begins anew.
    std::fs::remove_file(path(&json_of(12))).unwrap();
    shop.run(&[]);
    assert_eq!(
        files(&shop).into_keys().collect::<Vec<_>>(),
        [checkpoint(25), json_of(25), "_last_checkpoint".to_owned()]
    );
    shop.run(&["--force"]);
    assert_eq!(findings(&shop), []);
    // A table of before has none.
    std::fs::remove_dir_all(log(&shop)).unwrap();
    assert_eq!(findings(&shop), []);
    shop.run(&[]);
    assert_eq!(
        files(&shop).into_keys().collect::<Vec<_>>(),
        [checkpoint(26), json_of(26), "_last_checkpoint".to_owned()]
    );
    assert_eq!(findings(&shop), []);
}

#[test]
fn the_log_of_somebody_else_stays_and_is_told_at_each_run() {
    let shop = shop("");
    shop.run(&[]);
    let foreign = "{\"commitInfo\":{\"operation\":\"WRITE\"}}";
    std::fs::write(log(&shop).join(json_of(1)), foreign).unwrap();
    for _ in 0..2 {
        let output = shop.try_run(&["--force"]);
        let said = texts(&output).1;
        assert!(
            output.status.success() && said.contains("the Delta log of the table is not gone on with"),
            "{said}"
        );
        assert!(said.contains("version 1 is") && said.contains("remove the folder"), "{said}");
        assert_eq!(std::fs::read_to_string(log(&shop).join(json_of(1))).unwrap(), foreign);
        assert!(findings(&shop).iter().any(|found| found.problem.contains("version 1 is")));
    }
    std::fs::remove_dir_all(log(&shop)).unwrap();
    shop.run(&[]);
    assert_eq!(findings(&shop), []);
    assert_eq!(paths(&actions(&shop, 2, "add")).len(), 1);
}

#[test]
fn a_build_that_delta_has_no_columns_for_has_no_log_and_the_next_may_have_one() {
    let shop = shop("");
    shop.run(&[]);
    assert_eq!(files(&shop).len(), 1);
    shop.write("sql/shop/wide.sql", "SELECT row_number() OVER () AS \"a b\" FROM orders");
    shop.run(&[]);
    assert_eq!(files(&shop).len(), 0);
    let report = doctor::examine(&shop.lake(), None).unwrap();
    assert!(report.findings.is_empty() && report.notes.len() == 1, "{report:?}");
    assert!(report.notes[0].contains("shop.wide has no Delta log: the name `a b`"), "{:?}", report.notes);
    shop.write("sql/shop/wide.sql", SELECT);
    shop.run(&[]);
    assert_eq!(actions(&shop, 2, "add").len(), 1);
    assert_eq!(findings(&shop), []);
    // Of folders: Delta writes times otherwise, and takes the empty text for null.
    for (select, partition_by) in [
        ("SELECT order_id, CAST('2026-01-01' AS TIMESTAMP) AS k FROM orders", "k"),
        ("SELECT order_id, CASE WHEN order_id = 'a' THEN '' ELSE 'x' END AS k FROM orders", "k"),
    ] {
        shop.write("sql/shop/wide.sql", select);
        table(&shop, &format!("partition_by = [\"{partition_by}\"]"));
        shop.run(&[]);
        assert_eq!(files(&shop).len(), 0, "{select}");
        assert_eq!(findings(&shop), []);
    }
}

#[test]
fn columns_of_folders_are_in_the_log_and_files_of_other_formats_have_one_too() {
    let shop = shop("partition_by = [\"state\"]");
    shop.run(&[]);
    let [metadata] = actions(&shop, 0, "metaData").try_into().unwrap();
    assert_eq!(metadata["partitionColumns"], json!(["state"]));
    assert!(metadata["schemaString"].as_str().unwrap().contains("\"state\""));
    let added = actions(&shop, 0, "add");
    let mut values: Vec<&Value> = added.iter().map(|file| &file["partitionValues"]["state"]).collect();
    values.sort_by_key(|value| value.to_string());
    assert_eq!(values, [&json!("RJ"), &json!("SP"), &json!("S\"P\n")]);
    assert!(paths(&added).iter().any(|path| path.contains("/state=S%2522P%250A/")), "{added:?}");
    table(&shop, "format = \"csv\"");
    shop.run(&[]);
    assert_eq!(actions(&shop, 1, "metaData")[0]["partitionColumns"], json!([]));
    assert_eq!(paths(&actions(&shop, 1, "add")), ["_versions/00000001.sql/batch-00000001.parquet"]);
    assert_eq!(actions(&shop, 1, "remove").len(), 3);
    assert_eq!(findings(&shop), []);
}

#[test]
fn tables_of_a_model_are_versions_of_its_steps_where_delta_has_their_columns() {
    let bank = Bank::new(CHURN);
    bank.run(&[]);
    bank.edit("jobs/bank.toml", "trees = 10", "trees = 11");
    bank.run(&[]);
    let log = |bank: &Bank, table: &str| bank.lake().resolve(&format!("bank/{table}/_delta_log"));
    let count = |table: &str| {
        (0..9).take_while(|version| log(&bank, table).join(json_of(*version)).is_file()).count()
    };
    assert_eq!((count("people"), count("churn_rows")), (1, 2));
    assert_eq!(doctor::examine(&bank.lake(), None).unwrap().findings, []);
    // The number of a cluster is none that Delta has.
    let bank = Bank::new(GROUPS);
    bank.run(&[]);
    let report = doctor::examine(&bank.lake(), None).unwrap();
    assert_eq!(report.findings, []);
    for table in ["groups_rows", "groups_profile"] {
        assert!(!log(&bank, table).exists());
        let says = format!("bank.{table} has no Delta log: the column `cluster` is UInt32");
        assert!(report.notes.iter().any(|note| note.contains(&says)), "{says}: {:?}", report.notes);
    }
}
