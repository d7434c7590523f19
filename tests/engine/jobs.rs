//! The built-in batch jobs: every table of `olist` and `online-retail` equals DuckDB's by the same SQL, on generated samples
//! and, with `TIDEMILL_DATA`, on the real files, whose counts per step are the originals'.
//!
//! `golden/jobs.json` holds a digest of each of DuckDB's tables; `golden/make_jobs.py` makes it and says what a digest is.

use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use serde_json::Value;
use tidemill_core::lake::Lake;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::{query, run, texts, tidemill};

/// A job run over a folder of data.
struct Ran {
    lake: tempfile::TempDir,
    schema: &'static str,
}

impl Ran {
    /// Builds all tables, audits included.
    fn job(name: &str, schema: &'static str, data: &Path) -> Ran {
        let lake = tempfile::tempdir().unwrap();
        let output = run(tidemill(lake.path()).env("TIDEMILL_DATA", data).args(["run", name]));
        let (_, stderr) = texts(&output);
        assert!(output.status.success(), "{stderr}");
        Ran { lake, schema }
    }

    fn lake(&self) -> Lake {
        Lake::new(self.lake.path())
    }

    async fn cells(&self, sql: &str) -> Vec<Vec<String>> {
        query(&self.lake(), sql).await
    }

    /// Each table of the golden file is here, with the same rows.
    async fn equals_golden(&self, which: &str) {
        let golden: Value = serde_json::from_str(include_str!("golden/jobs.json")).unwrap();
        let tables = golden[self.schema][which].as_object().unwrap();
        let names = tidemill_core::catalog::table_names(&self.lake()).unwrap();
        let built = names.iter().filter(|name| name.starts_with(self.schema)).count();
        assert_eq!(built, tables.len(), "{names:?}");
        for (table, expected) in tables {
            let lake = self.lake();
            let session = tidemill_core::catalog::open_session(&lake).await.unwrap();
            let sql = format!("SELECT * FROM {}.{table}", self.schema);
            let batches = tidemill_core::catalog::query(&session, &lake, &sql).await.unwrap();
            check(&format!("{which} {table}"), &batches, expected);
        }
    }

    /// Each cell of a table of features is the one that the original's rules give when pandas runs them: integers are the
    /// same, doubles to 1e-9 of their size, and to 1e-9 of a pound where purchases and returns cancel each other out.
    ///
    /// The files of these cells lie in `goldens` beside the folder of the data, which is no part of the project.
    async fn equals_the_original(&self, data: &Path, table: &str) {
        let path = data.join(format!("../goldens/golden_{table}.csv.gz"));
        let Ok(file) = std::fs::File::open(&path) else {
            return println!("skipped: {table} is not compared, there is no {}", path.display());
        };
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let (head, rows) = text.split_once('\n').unwrap();
        let names = cells_of(head);
        let found = self.cells(&format!("SELECT {head} FROM {table} ORDER BY customer_id")).await;
        assert_eq!(found.len(), rows.lines().count(), "customers of {table}");
        let all = format!("SELECT * FROM {}.{table} LIMIT 1", self.schema);
        assert_eq!(self.cells(&all).await[0].len(), names.len(), "columns of {table}");
        for (row, cells) in found.iter().zip(rows.lines().map(cells_of)) {
            for ((name, found), expected) in names.iter().zip(row).zip(cells) {
                let (x, y): (f64, f64) = (found.parse().unwrap(), expected.parse().unwrap());
                let near = expected.contains(['.', 'e']) && (x - y).abs() <= 1e-9 * y.abs().max(1.0);
                assert!(found == expected || near, "{table} {} {name}: {found} for {expected}", row[0]);
            }
        }
    }
}

/// One line of a CSV file without quotes.
fn cells_of(line: &str) -> Vec<&str> {
    line.trim_end().split(',').collect()
}

/// The cells of a column as the golden file's script writes them.
fn texts_of(column: &ArrayRef) -> Vec<String> {
    let column = match column.data_type() {
        DataType::Timestamp(..) => {
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            cast(&micros, &DataType::Int64).unwrap()
        }
        _ => column.clone(),
    };
    let texts = cast(&column, &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|cell| cell.unwrap_or("\0").to_owned()).collect()
}

fn check(table: &str, batches: &[RecordBatch], expected: &Value) {
    let exact: Vec<&str> =
        expected["exact"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let floats = expected["floats"].as_object().unwrap();
    let (mut rows, mut hash) = (0, 0u64);
    let mut sums: Vec<(u64, f64, f64)> = vec![(0, 0.0, 0.0); floats.len()];
    for batch in batches {
        let count = batch.num_columns();
        assert_eq!(count, exact.len() + floats.len(), "{table}: {:?}", batch.schema());
        let column =
            |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("{table} has no {name}"));
        let cells: Vec<Vec<String>> = exact.iter().map(|name| texts_of(column(name))).collect();
        let hashes: Vec<u64> = (0..batch.num_rows())
            .map(|row| {
                let row: Vec<&str> = cells.iter().map(|column| column[row].as_str()).collect();
                xxh3_64(row.join("\x1f").as_bytes())
            })
            .collect();
        hash = hashes.iter().fold(hash, |sum, h| sum.wrapping_add(*h));
        rows += batch.num_rows();
        for (name, sum) in floats.keys().zip(&mut sums) {
            let column = column(name);
            assert_eq!(column.data_type(), &DataType::Float64, "{table}.{name}");
            for (value, hash) in column.as_primitive::<Float64Type>().iter().zip(&hashes) {
                match value {
                    None => sum.0 += 1,
                    Some(value) => {
                        let weighed = value * (hash % 1000) as f64;
                        sum.1 += weighed;
                        sum.2 += weighed.abs();
                    }
                }
            }
        }
    }
    assert_eq!(rows as u64, expected["rows"].as_u64().unwrap(), "rows of {table}");
    assert_eq!(format!("{hash:016x}"), expected["hash"].as_str().unwrap(), "cells of {table}: {exact:?}");
    for ((name, golden), (nulls, sum, size)) in floats.iter().zip(sums) {
        assert_eq!(nulls, golden[0].as_u64().unwrap(), "nulls of {table}.{name}");
        let golden = golden[1].as_f64().unwrap();
        assert!((sum - golden).abs() <= 1e-9 * size.max(1.0), "{table}.{name}: {sum} for {golden}");
    }
}

/// A folder of generated files.
pub fn sample(name: &str, folder: &str, rows: &str) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let out = data.path().join(folder);
    let mut command = tidemill(data.path());
    let output =
        run(command.args(["data", "generate", name, "--rows", rows, "--seed", "1", "--out"]).arg(out));
    assert!(output.status.success(), "{}", texts(&output).1);
    data
}

/// `TIDEMILL_DATA`, if it has this folder.
pub fn real(folder: &str) -> Option<PathBuf> {
    let data = std::env::var_os("TIDEMILL_DATA").map(PathBuf::from).filter(|data| data.join(folder).is_dir());
    if data.is_none() {
        println!("skipped: TIDEMILL_DATA has no {folder}");
    }
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_olist_gives_duckdbs_tables() {
    let data = sample("olist", "olist", "2000");
    Ran::job("olist", "olist", data.path()).equals_golden("sample").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_online_retail_gives_duckdbs_tables() {
    let data = sample("online-retail", "online_retail", "20000");
    Ran::job("online-retail", "online_retail", data.path()).equals_golden("sample").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_olist_has_the_originals_counts() {
    let Some(data) = real("olist") else { return };
    let ran = Ran::job("olist", "olist", &data);
    let counts =
        "row_count, orders, approved_at_filled, carrier_at_filled, delivered_at_filled, duplicate_rows";
    assert_eq!(
        ran.cells(&format!("SELECT {counts} FROM olist.wide_counts")).await,
        [["115609", "96516", "14", "1195", "2400", "0"]]
    );
    // The weight, length, height and width of one row.
    assert_eq!(ran.cells("SELECT product_size_filled FROM olist.wide_counts").await, [["1"]]);
    let rfm = "SELECT count(*), sum(monetary), arrow_typeof(max(monetary)), sum(CASE WHEN payments = 0 THEN 1 ELSE 0 END) FROM olist.rfm";
    assert_eq!(ran.cells(rfm).await, [["96096", "16008872.12", "Decimal128(12, 2)", "1"]]);
    ran.equals_golden("real").await;

    for (name, parts) in [
        ("eda.svg", &["<svg", "Figure 2", "Figure 6", "bed_bath_table", "sao paulo (SP)"][..]),
        ("eda.html", &["<svg", "Figure 4", "<td>41.92</td>"]),
    ] {
        let path = ran.lake.path().join(name);
        let output = run(tidemill(ran.lake.path()).args(["plot", "olist", "eda", "--out"]).arg(&path));
        assert!(output.status.success(), "{}", texts(&output).1);
        let text = std::fs::read_to_string(path).unwrap();
        for part in parts {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
    let (stdout, _) = texts(&run(tidemill(ran.lake.path()).args(["plot", "olist", "eda"])));
    assert!(stdout.contains("bed_bath_table") && stdout.contains("11,115"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_online_retail_has_the_originals_counts() {
    let Some(data) = real("online_retail") else { return };
    let ran = Ran::job("online-retail", "online_retail", &data);
    let steps = "SELECT raw_lines, described_lines, product_lines, country_lines, priced_lines, kept_lines, customers, \
        buyers, imputed_buyers FROM online_retail.insiders_counts";
    assert_eq!(
        ran.cells(steps).await,
        [["541909", "540455", "537701", "537197", "536143", "536139", "5786", "5695", "1366"]]
    );
    let steps = "SELECT raw_lines, known_lines, distinct_lines, product_lines, goods_lines, priced_lines, \
        distinct_cancelled_lines, customers FROM online_retail.segments_counts";
    assert_eq!(
        ran.cells(steps).await,
        [["541909", "406829", "401550", "399682", "399599", "399567", "8841", "4362"]]
    );
    let rows = "SELECT (SELECT count(*) FROM insiders_features) AS insiders, (SELECT count(*) FROM segments_features) AS segments";
    assert_eq!(ran.cells(rows).await, [["5695", "4282"]]);
    // Pieces, of which the notebook's customers bought 5,492,405 in 527,411 lines.
    let sums = "SELECT round(sum(gross_revenue), 2), sum(recency_days), sum(quantity_of_products), round(sum(frequency), 9), \
        sum(returns), max(quantity_of_products), sum(CASE WHEN frequency = 0 THEN 1 ELSE 0 END) FROM insiders_features";
    assert_eq!(
        ran.cells(sums).await,
        [["10104658.35", "662690", "5492405", "159.910703907", "3350", "196844", "2928"]]
    );
    let rows = "SELECT customer_id, round(gross_revenue, 2), recency_days, quantity_of_products, returns FROM insiders_features \
        WHERE customer_id IN (12346, 22709) ORDER BY 1";
    assert_eq!(
        ran.cells(rows).await,
        [["12346", "77183.6", "325", "74215", "1"], ["22709", "3950.72", "0", "731", "0"]]
    );
    // Rates that the original divides by another customer's invoices.
    let rates = "SELECT sum(CASE WHEN cancellation_rate <> cancellation_rate_original THEN 1 ELSE 0 END), \
        max(cancellation_rate_original) FROM segments_features";
    assert_eq!(ran.cells(rates).await, [["1347", "27.0"]]);
    ran.equals_golden("real").await;
    for table in ["insiders_features", "segments_features"] {
        ran.equals_the_original(&data, table).await;
    }
}

#[test]
fn figures_of_a_job_that_was_not_run_are_answered_with_what_to_do() {
    let lake = tempfile::tempdir().unwrap();
    let output = run(tidemill(lake.path()).args(["plot", "olist", "eda"]));
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("olist.demand_by_category") && stderr.contains("tidemill run olist"), "{stderr}");
}

#[test]
fn the_jobs_sql_passes_its_unit_tests() {
    let lake = tempfile::tempdir().unwrap();
    for (job, tests) in [("olist", 8), ("online-retail", 5)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
        let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        command.arg("--lake").arg(lake.path()).args(["--project", project, "test", job, "--format", "json"]);
        let (stdout, stderr) = texts(&run(&mut command));
        let rows: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"));
        let passed = rows.as_array().unwrap().iter().filter(|row| row["outcome"] == "passed").count();
        assert_eq!(passed, tests, "{job}: {stdout}{stderr}");
    }
}
