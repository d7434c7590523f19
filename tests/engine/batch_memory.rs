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

/// A file of gzip that is small and holds a line without an end.
#[test]
fn a_row_without_an_end_is_an_error_whatever_it_unpacks_to() {
    use std::io::Write;
    // 64 MB are a row of 4 MB at most.
    let endless = |first: &str, unit: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(first.as_bytes()).unwrap();
        (0..60).for_each(|_| packed.write_all(unit.repeat(1_000_000 / unit.len()).as_bytes()).unwrap());
        packed.finish().unwrap()
    };
    for (name, first, unit) in [
        ("line.csv", "k,v\n1,", "x"),
        ("cells.csv", "k,v\n", "x,"),
        ("quoted.csv", "k,v\n1,\"", "text\n"),
        ("heading.csv", "", "k"),
        ("headings.csv", "", ","),
        ("line.json", "{\"k\":1,\"v\":\"", "x"),
        ("blank.json", "{\"k\":1}\n{\"k\":", " "),
        ("array.json", "[{\"k\":1,\"v\":\"", "x"),
        ("number.json", "{\"k\":1}\n{\"k\":", "1"),
    ] {
        let shop = shop_of("", name, endless(first, unit));
        let (code, error) = shop.refused(&["--memory-limit", "64MB"]);
        assert!(code != 0 && code < 100, "{name}: {code} {error}");
        assert!(error.contains("a row of more than 4 MB") || error.contains("no header"), "{name}: {error}");
        assert!(
            error.contains("line 1") || error.contains("line 2") || error.contains("first line"),
            "{name}: {error}"
        );
    }
}

/// What a statement shows, joins or sorts is bounded too.
#[test]
fn a_statement_that_does_not_fit_into_memory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "k\n1\n").unwrap();
    let file = folder.path().join("a.csv");
    let numbers = "generate_series(1, 300000)";
    for (sql, says) in [
        (
            format!("SELECT a.value, b.value AS w FROM {numbers} AS a, {numbers} AS b"),
            "the rows of the result",
        ),
        (
            format!("SELECT value, repeat('x', 100) AS t FROM {numbers} ORDER BY value"),
            "the rows of the result",
        ),
        (
            format!(
                "SELECT count(DISTINCT concat(value, 'abcdefghijklmnopqrstuvwxyz')), count(DISTINCT value) FROM {numbers}"
            ),
            "an aggregate",
        ),
    ] {
        let sql = format!("{sql} -- FROM '{}'", file.display());
        let output = crate::support::run(crate::support::tidemill(folder.path()).args([
            "sql",
            &sql,
            "--memory-limit",
            "16MB",
        ]));
        let error = texts(&output).1;
        assert_eq!(output.status.code(), Some(1), "{sql}: {error}");
        assert!(error.contains(says) && error.contains("--memory-limit"), "{sql}: {error}");
    }
    for sql in ["repeat('x', 2000000000)", "lpad('x', 2000000000, 'y')", "repeat(s, value * 1000)"] {
        let sql = format!(
            "SELECT max(length({sql})) FROM (SELECT value, 'text' AS s FROM {numbers}) -- '{}'",
            file.display()
        );
        let mut command = crate::support::tidemill(folder.path());
        let output = crate::support::run(command.args(["sql", &sql, "--memory-limit", "16MB"]));
        let error = texts(&output).1;
        let says = error.contains("are the most") || error.contains("of memory do not suffice");
        assert!(output.status.code() == Some(1) && says, "{sql}: {error}");
    }
    let sql = format!(
        "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY concat(value, 'x')) AS r FROM {numbers})"
    );
    let output = crate::support::run(crate::support::tidemill(folder.path()).args([
        "sql",
        &sql,
        "--memory-limit",
        "16MB",
    ]));
    assert!(output.status.success(), "{}", texts(&output).1);
}
