//! Batch jobs under a memory limit: what spills, what is joined otherwise, and what is said where neither helps.

use crate::batch_files::shop_of;
use crate::support::texts;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_memory_spills_or_is_joined_otherwise() {
    let mut text = String::from("k,v\n");
    (0..120_000).for_each(|n| text.push_str(&format!("{},value number {n}\n", (n * 7919) % 120_000)));
    let shop = shop_of("types = { k = \"BIGINT\" }", "a.csv", text);
    shop.write(
        "sql/shop/all_rows.sql",
        "SELECT a.k, a.v, b.v AS w FROM rows_in AS a JOIN rows_in AS b ON a.k = b.k ORDER BY a.v",
    );
    // Built at the same time: each would do with what there is, but not with what the other leaves.
    shop.write("sql/shop/sorted.sql", "SELECT * FROM rows_in ORDER BY v");
    let output = shop.try_run(&["--memory-limit", "8MB"]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let report: Vec<serde_json::Value> = serde_json::from_str(&texts(&output).0).unwrap();
    let peak = report.last().unwrap()["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak > 0 && peak <= 8_000_000, "{peak}");
    assert_eq!(
        shop.rows("SELECT count(*), count(DISTINCT k), sum(CASE WHEN v = w THEN 1 ELSE 0 END) FROM all_rows")
            .await,
        ["120000|120000|120000"]
    );
    let (code, error) = shop.refused(&["--force", "--memory-limit", "10kB"]);
    assert!(code == 1 && error.contains("--memory-limit"), "{error}");
    assert!(!error.contains("Resources exhausted") && !error.contains("datafusion"), "{error}");
}

#[test]
fn audits_spill_and_an_aggregate_that_cannot_says_what_to_do() {
    let mut text = String::from("k,v\n");
    (0..120_000).for_each(|n| text.push_str(&format!("{},value number {n}\n", (n * 7919) % 120_000)));
    let shop = shop_of("types = { k = \"BIGINT\" }", "a.csv", text);
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    shop.write("sql/shop/others.sql", "SELECT v FROM rows_in WHERE k <> 7");
    shop.write(
        "jobs/shop.toml",
        format!(
            "{job}[[tables]]\nname = \"all_rows\"\naudits = {{ unique = [[\"v\"], [\"v\", \"k\"]], \
             relationships = [{{ column = \"v\", to = \"others.v\" }}] }}\n"
        ),
    );
    let joined = "SELECT a.* FROM all_rows AS a JOIN all_rows AS b ON a.v = b.v WHERE a.k < 0 AND a.v <> b.v";
    shop.write("sql/shop/audits/joined.sql", joined);
    let limit = ["--memory-limit", "3MB", "--force"];
    let (code, error) = shop.refused(&limit);
    assert!(code == 1 && error.contains("`relationships v` of all_rows found 1 bad row"), "{error}");
    shop.edit("sql/shop/others.sql", " WHERE k <> 7", "");
    let output = shop.try_run(&limit);
    assert!(output.status.success(), "{}", texts(&output).1);

    // Each of two lists of distinct values is to be in memory.
    shop.edit("sql/shop/others.sql", "v FROM", "v, 1 AS n FROM");
    shop.write("sql/shop/counted.sql", "SELECT count(DISTINCT v) AS a, count(DISTINCT k) AS b FROM rows_in");
    let (code, error) = shop.refused(&["--memory-limit", "3MB", "--select", "counted"]);
    let says = "sql/shop/counted.sql: 3 MB of memory do not suffice for an aggregate: count(DISTINCT)";
    assert!(code == 1 && error.contains(says) && error.contains("--memory-limit"), "{error}");
    assert!(!error.contains("Resources exhausted"), "{error}");
}
