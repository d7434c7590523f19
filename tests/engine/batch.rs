//! `tidemill run` over a job of one's own: order, versions, what is left as it is, and what is refused.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tidemill_core::lake::Lake;

use crate::support::{query, run, texts, visible_files};

/// A project of one job, `shop`, and its lake.
pub struct Shop(pub tempfile::TempDir);

const JOB: &str = r#"
description = "A small shop"
sql = "sql/shop"

[inputs.orders]
path = "DATA/orders.csv"
types = { ordered_at = "TIMESTAMP" }

[inputs.items]
path = "DATA/items.csv*"
types = { price = "DECIMAL(10,2)", item = "INT" }
row_number = "_row"
"#;
const ORDERS: &str = "\
order_id,state,ordered_at
a,SP,2017-10-02 10:56:33
b,RJ,2017-10-03 00:00:00
\"c\",\"S\"\"P\n\",
";
const ITEMS: &str = "order_id,item,price\na,1,10.50\na,2,0.25\nb,1,3\n";
const WIDE: &str =
    "-- Items of orders.\nSELECT o.*, i.item, i.price FROM orders AS o LEFT JOIN items AS i USING (order_id)";
const BY_STATE: &str = "SELECT state, sum(price) AS revenue FROM wide GROUP BY state";

impl Shop {
    pub fn new() -> Shop {
        let shop = Shop(tempfile::tempdir().unwrap());
        shop.write("jobs/shop.toml", JOB.replace("DATA", shop.path().to_str().unwrap()));
        shop.write("orders.csv", ORDERS);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(ITEMS.as_bytes()).unwrap();
        shop.write("items.csv.gz", packed.finish().unwrap());
        shop.write("sql/shop/wide.sql", WIDE);
        shop.write("sql/shop/by_state.sql", BY_STATE);
        shop
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Changes a text in a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, text.replace(from, to));
    }

    pub fn lake(&self) -> Lake {
        Lake::new(self.path().join("lake"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(self.lake().root()).arg("--project").arg(self.path()).args(arguments);
        command.env_remove("TIDEMILL_LAKE");
        command
    }

    pub fn try_run(&self, arguments: &[&str]) -> Output {
        run(self.command(&[&["run", "shop", "--format", "json"], arguments].concat()).env("NO_COLOR", "1"))
    }

    /// `table outcome` of each table, in the order of the report.
    pub fn outcomes(&self, output: &Output) -> Vec<String> {
        let (stdout, stderr) = texts(output);
        let rows: Vec<Value> =
            serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout} {stderr}"));
        let of =
            |row: &Value| format!("{} {}", row["table"].as_str().unwrap(), row["outcome"].as_str().unwrap());
        rows.iter().filter(|row| row["step"] == "build").map(of).collect()
    }

    pub fn run(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "{}", texts(&output).1);
        self.outcomes(&output)
    }

    /// Exit code and standard error of a run that is to fail.
    pub fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.try_run(arguments);
        (output.status.code().unwrap_or(-1), texts(&output).1)
    }

    pub async fn rows(&self, sql: &str) -> Vec<String> {
        query(&self.lake(), sql).await.into_iter().map(|row| row.join("|")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_built_in_the_order_that_their_sql_needs() {
    let shop = Shop::new();
    assert_eq!(shop.run(&[]), ["shop.wide built", "shop.by_state built"]);
    let wide =
        shop.rows("SELECT order_id, state, ordered_at, item, price FROM shop.wide ORDER BY 1, 4").await;
    assert_eq!(
        wide,
        [
            "a|SP|2017-10-02T10:56:33|1|10.50",
            "a|SP|2017-10-02T10:56:33|2|0.25",
            "b|RJ|2017-10-03T00:00:00|1|3.00",
            "c|S\"P\n|||",
        ]
    );
    assert_eq!(shop.rows("SELECT * FROM by_state ORDER BY 1").await, ["RJ|3.00", "S\"P\n|", "SP|10.75"]);
    let order = texts(&run(&mut shop.command(&["run", "shop", "--dry-run", "--format", "csv"]))).0;
    assert_eq!(order, "order,table,reads\n1,wide,\"items, orders\"\n2,by_state,wide\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_made_of_a_function_of_rows() {
    let shop = Shop::new();
    shop.write(
        "sql/shop/calendar.sql",
        "SELECT m.value AS month, count(w.item) AS items FROM generate_series(9, 11) AS m \
         LEFT JOIN wide AS w ON extract(MONTH FROM w.ordered_at) = m.value GROUP BY m.value",
    );
    assert_eq!(shop.run(&["--select", "+calendar"]), ["shop.wide built", "shop.calendar built"]);
    assert_eq!(shop.rows("SELECT * FROM shop.calendar ORDER BY 1").await, ["9|0", "10|3", "11|0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_built_again() {
    let shop = Shop::new();
    shop.run(&[]);
    let unchanged = ["shop.wide unchanged", "shop.by_state unchanged"];
    assert_eq!(shop.run(&[]), unchanged);
    // The same rows under another name, in another place.
    let moved = shop.write("elsewhere/o.csv", ORDERS);
    assert_eq!(shop.run(&["--input", &format!("orders={}", moved.display())]), unchanged);
    assert_eq!(shop.run(&["--force", "--select", "by_state"]), ["shop.by_state built"]);

    shop.edit("sql/shop/by_state.sql", "revenue", "sales");
    assert_eq!(shop.run(&[]), ["shop.wide unchanged", "shop.by_state built"]);
    shop.edit("orders.csv", "b,RJ", "b,SP");
    assert_eq!(shop.run(&["--select", "wide"]), ["shop.wide built"]);
    assert_eq!(shop.run(&["--select", "+by_state"]), ["shop.wide unchanged", "shop.by_state built"]);
    assert_eq!(shop.rows("SELECT sales FROM by_state WHERE state = 'SP'").await, ["13.75"]);
    shop.edit("jobs/shop.toml", "DECIMAL(10,2)", "DOUBLE");
    assert_eq!(shop.run(&[]), ["shop.wide built", "shop.by_state built"]);
    // What asks for the time is another each time.
    shop.edit("sql/shop/by_state.sql", "state,", "now() AS at, state,");
    shop.run(&[]);
    assert_eq!(shop.run(&[]), ["shop.wide unchanged", "shop.by_state built"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_keeps_what_reads_it_from_being_built_and_the_former_tables_stay() {
    let shop = Shop::new();
    shop.write("sql/shop/states.sql", "SELECT DISTINCT state FROM orders");
    shop.run(&[]);
    let before = shop.rows("SELECT * FROM wide ORDER BY 1, 4").await;
    shop.edit("orders.csv", "b,RJ", "b,BA");
    shop.edit("sql/shop/wide.sql", "o.*", "o.*, CAST(o.state AS INT) AS n");
    let output = shop.try_run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let mut outcomes = shop.outcomes(&output);
    outcomes.sort();
    assert_eq!(outcomes, ["shop.by_state not built", "shop.states built", "shop.wide failed"]);
    let error = texts(&output).1;
    assert!(error.contains("error: sql/shop/wide.sql: "), "{error}");
    assert!(error.contains("orders.csv, line 2, column state: ") && error.contains("'SP'"), "{error}");
    assert_eq!(shop.rows("SELECT * FROM wide ORDER BY 1, 4").await, before);
    assert_eq!(shop.rows("SELECT count(*) FROM states WHERE state = 'BA'").await, ["1"]);
    let left: Vec<_> = std::fs::read_dir(shop.lake().root().join("shop/wide/_versions")).unwrap().collect();
    assert_eq!(left.iter().filter(|e| e.as_ref().unwrap().path().is_dir()).count(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ten_versions_stay_and_a_glob_sees_one() {
    let shop = Shop::new();
    for _ in 0..12 {
        shop.run(&["--force", "--select", "wide"]);
    }
    let versions = std::fs::read_dir(shop.lake().root().join("shop/wide/_versions")).unwrap();
    let mut names: Vec<String> = versions.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    assert_eq!((names.len(), names[0].as_str(), names[9].as_str()), (10, "00000002", "00000011"));
    let seen = visible_files(&shop.lake().root().join("shop/wide"));
    assert_eq!(seen, [shop.lake().root().join("shop/wide/batch-00000011.parquet")]);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_built() {
    let shop = Shop::new();
    for (arguments, says) in [
        (["--select", "wid+"].as_slice(), "did you mean `wide`?"),
        (&["--input", "order=x.csv"], "did you mean `orders`?"),
        (&["--input", "x.csv"], "--input NAME=FILE"),
        (&["--input", "orders=ordres.csv"], "there is no file ordres.csv"),
    ] {
        let (code, error) = shop.refused(arguments);
        assert!(code == 2 && error.contains(says), "{arguments:?}: {code} {error}");
    }
    shop.edit("sql/shop/wide.sql", "FROM orders", "FROM order_s");
    let (code, error) = shop.refused(&[]);
    assert!(
        code == 2 && error.contains("sql/shop/wide.sql: there is no table or input `order_s`"),
        "{error}"
    );
    assert!(!shop.lake().root().exists(), "nothing was made");
    shop.edit("sql/shop/wide.sql", "order_s", "by_state");
    let (code, error) = shop.refused(&[]);
    assert!(code == 2 && error.contains("in a circle: by_state reads wide reads by_state"), "{error}");
}

#[test]
fn the_report_tells_how_fast_each_file_was_read() {
    let shop = Shop::new();
    let lines: String = (0..40_000).map(|n| format!("{n},SP,2017-10-02 10:56:33\n")).collect();
    let path = shop.write("orders.csv", format!("order_id,state,ordered_at\n{lines}"));
    let read = || -> Value {
        let output = shop.try_run(&["--select", "wide"]);
        let rows: Vec<Value> = serde_json::from_str(&texts(&output).0).unwrap();
        let is_orders = |row: &Value| row["step"] == "read" && row["file"] == path.to_str().unwrap();
        rows.into_iter().find(is_orders).unwrap()
    };
    let first = read();
    assert_eq!(first["rows"], 40_000);
    let (seconds, speed) = (first["seconds"].as_f64().unwrap(), first["mb_per_second"].as_f64().unwrap());
    let megabytes = first["bytes"].as_f64().unwrap() / 1e6;
    // Both are rounded to thousandths.
    assert!(seconds > 0.0 && (megabytes / speed - seconds).abs() < 1e-3, "{first}");
    // Left as it is, it is not read.
    let again = read();
    assert!(
        again["rows"] == 40_000 && again["seconds"].is_null() && again["mb_per_second"].is_null(),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_leaves_a_whole_table() {
    let shop = Shop::new();
    // Each version has rows of one kind alone, so that a mixture would show.
    let rows = |kind: usize| {
        let lines: String = (0..20_000).map(|n| format!("{n},{kind},\n")).collect();
        shop.write("orders.csv", format!("order_id,state,ordered_at\n{lines}"));
    };
    rows(0);
    shop.write("sql/shop/wide.sql", "SELECT * FROM orders");
    shop.write("sql/shop/by_state.sql", "SELECT state, count(*) AS n FROM wide GROUP BY state");
    shop.run(&[]);
    let mut moment = 0x2545_f491_4f6c_dd1d_u64;
    let (mut kills, mut attempt) = (0, 0);
    while kills < 12 && attempt < 60 {
        attempt += 1;
        rows(attempt);
        let mut child = shop
            .command(&["run", "shop"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        moment ^= moment << 13;
        moment ^= moment >> 7;
        moment ^= moment << 17;
        std::thread::sleep(std::time::Duration::from_micros(moment % 900_000));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        let whole = shop.rows("SELECT count(*), count(DISTINCT state) FROM wide").await;
        assert_eq!(whole, ["20000|1"], "after {attempt} attempts");
        for table in ["wide", "by_state"] {
            assert_eq!(visible_files(&shop.lake().root().join("shop").join(table)).len(), 1);
        }
    }
    assert!(kills > 0, "every run of {attempt} was faster than the kill");
    // What the last kill left is cleared away, and the tables are those of the files.
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT * FROM by_state").await, [format!("{attempt}|20000")]);
    let left = std::fs::read_dir(shop.lake().root().join("shop/wide/_versions")).unwrap();
    assert!(left.flatten().all(|entry| entry.file_name() != ".building"));
}
