//! Dead letters of a batch job: each once, whichever of the tables that read the file are built.

use crate::batch::Shop;
use crate::batch_files::shop_of;
use crate::support::{run, texts};

/// What `dlq show` tells of the shop's job: whether it is done, and its lines or its error.
fn shown(shop: &Shop) -> (bool, String) {
    let output = run(&mut shop.command(&["dlq", "show", "shop", "--format", "csv"]));
    let (stdout, stderr) = texts(&output);
    (output.status.success(), if output.status.success() { stdout } else { stderr })
}

const LETTERS: &str = "SELECT \"offset\" FROM system.dead_letters ORDER BY 1";

/// A file whose third line is no row, and the tables `all_rows` and `two` of it.
fn shop_with_a_bad_row() -> Shop {
    let settings = "types = { n = \"INT\" }\non_error = \"dead_letter\"";
    let shop = shop_of(settings, "a.csv", "n\n1\nx\n3\n");
    shop.write("sql/shop/two.sql", "SELECT count(*) AS n FROM rows_in");
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_built_alone_keeps_the_dead_letters() {
    let shop = shop_with_a_bad_row();
    shop.run(&["--select", "two"]);
    assert_eq!(shop.rows(LETTERS).await, ["3"]);
    assert!(shown(&shop).1.contains("a.csv,3,column n: `x` is no INT,x"), "{:?}", shown(&shop));
    shop.run(&[]);
    assert_eq!(shop.rows(LETTERS).await, ["3"], "of both tables once");
    shop.edit("sql/shop/all_rows.sql", "*", "n");
    shop.run(&[]);
    assert_eq!(shop.rows(LETTERS).await, ["3"], "of both tables once, of which one was left as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_table_that_fails_or_stops_early_leaves_the_letters_to_the_next() {
    for first in ["SELECT CAST('y' AS INT) AS n, count(*) FROM rows_in", "SELECT n FROM rows_in LIMIT 0"] {
        let shop = shop_with_a_bad_row();
        shop.write("sql/shop/all_rows.sql", first);
        shop.try_run(&[]);
        assert_eq!(shop.rows("SELECT n FROM two").await, ["2"], "{first}");
        assert_eq!(shop.rows(LETTERS).await, ["3"], "{first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_reads_the_file_no_more_leaves_the_letters_to_the_next() {
    let shop = shop_with_a_bad_row();
    shop.run(&["--select", "all_rows"]);
    shop.run(&[]);
    shop.write("sql/shop/all_rows.sql", "SELECT 1 AS n");
    shop.run(&["--select", "all_rows"]);
    assert_eq!(shop.run(&[]), ["shop.all_rows unchanged", "shop.two built"]);
    assert_eq!(shop.rows(LETTERS).await, ["3"]);
}

#[test]
fn dlq_show_tells_what_is_wrong_with_a_batch_jobs_file() {
    let shop = shop_with_a_bad_row();
    shop.run(&[]);
    shop.edit("jobs/shop.toml", "on_error", "on_eror");
    let (done, error) = shown(&shop);
    assert!(!done && error.contains("on_eror") && error.contains("`on_error`"), "{error}");
    assert!(!error.contains("not a stream"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_form_cannot_read_are_set_aside_where_the_job_says_so() {
    let shop =
        shop_of("", "a.csv", "Day,N,Other\n01/02,1,o\n01/03,x,o\n3,4,o\n01/05,5\n01/06,6,o\n01/06,6,again\n");
    shop.write(
        "sql/shop/days.sql",
        "-- Days.\n-- header: Day,N\nSELECT CAST(\"N\" AS INT) AS n, \"Day\" AS day, \
         CASE WHEN \"Day\" LIKE '__/__' THEN 'MM/DD' ELSE 'D' END AS \"_format of Day\" FROM input",
    );
    let settings = "\nkey = \"n\"\nforms = [\"sql/shop/days.sql\"]\n";
    let job = std::fs::read_to_string(shop.path().join("jobs/shop.toml")).unwrap();
    shop.write("jobs/shop.toml", format!("{job}{settings}"));
    let (code, error) = shop.refused(&[]);
    assert!(code == 1 && error.contains("a.csv, line 5: 2 cells"), "{error}");

    shop.write("jobs/shop.toml", format!("{job}{settings}on_error = \"dead_letter\"\n"));
    let report = texts(&shop.try_run(&[])).0;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    let steps: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["outcome"].as_str().unwrap(), row["rows"])).collect();
    assert_eq!(steps[..3], ["in the table 2", "dead letter 3", "duplicate n 1"], "{report}");
    assert_eq!(shop.rows("SELECT n, _line FROM all_rows ORDER BY n").await, ["1|2", "6|6"]);
    let (done, shown) = shown(&shop);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(done && lines.len() == 4, "{shown}");
    for (line, parts) in lines[1..].iter().zip([
        ["a.csv,3,", "column N: ", "01/03,x"],
        ["a.csv,4,", "column Day: two formats in one column: D here, MM/DD on line 2", "3,4"],
        ["a.csv,5,", "2 cells where the header has 3", "01/05,5"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!(shop.run(&[]), ["shop.all_rows unchanged"]);
}
