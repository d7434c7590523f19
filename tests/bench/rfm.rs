//! The stateful job olist-rfm: messages/s of the whole stream, rows/s of the learners, and whether a late batch costs
//! more than an early one.
//!
//! ```sh
//! cargo bench --bench rfm                              # generated rows
//! TIDEMILL_OLIST_WIDE=wide.parquet cargo bench --bench rfm   # rows of olist.wide
//! ```
//!
//! Prints one JSON object a size of batch. `tests/peers/rfm_river.py` runs River on the same rows beside it. Batches that
//! write a snapshot or fit the whole state (every 50th) are told apart: their cost grows with the state.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tidemill_broker::{Broker, BrokerConfig};

const MESSAGES: usize = 115_609;
/// Batches about the early and the late one that are compared.
const ABOUT: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let input = match std::env::var_os("TIDEMILL_OLIST_WIDE") {
        Some(path) => PathBuf::from(path),
        None => {
            eprintln!("TIDEMILL_OLIST_WIDE is not set: generated rows");
            generated(&folder.path().join("wide.csv"))?
        }
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let config = BrokerConfig::new("127.0.0.1:0".parse()?, folder.path().join("broker"));
    let broker = runtime.block_on(Broker::start(config))?;
    let server = broker.bootstrap_servers();
    let sent = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(["produce", "olist-rfm", "--brokers", &server, "--input"])
        .arg(&input)
        .status()?;
    if !sent.success() {
        return Err(format!("produce: {sent}").into());
    }
    for per_batch in [1_000, 100] {
        let lake = folder.path().join(per_batch.to_string());
        let started = Instant::now();
        let batches = stream(&server, &lake, per_batch)?;
        let seconds = started.elapsed().as_secs_f64();
        let messages: f64 = batches.iter().filter_map(|b| b["numInputRows"].as_f64()).sum();
        println!(
            "{}",
            json!({
                "messages_per_batch": per_batch,
                "messages": messages,
                "batches": batches.len(),
                "messages_per_s": (messages / seconds).round(),
                "batch_ms": times(&batches, 0, batches.len(), false),
                "batch_with_snapshot_ms": times(&batches, 0, batches.len(), true),
                "batches_about_100_ms": times(&batches, 100 - ABOUT / 2, 100 + ABOUT / 2, false),
                "batches_about_1100_ms": times(&batches, 1100 - ABOUT / 2, 1100 + ABOUT / 2, false),
                "late_by_early": ratio(&batches),
                "learned_rows_per_s": speeds(&batches),
                "parts_of_the_last_batch_ms": batches.last().map(|b| b["durationMs"].clone()),
            })
        );
    }
    runtime.block_on(broker.shutdown())?;
    Ok(())
}

fn stream(server: &str, lake: &Path, per_batch: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .arg("--lake")
        .arg(lake)
        .args(["stream", "olist-rfm", "--brokers", server, "--available-now", "--progress", "json"])
        .args(["--set", &format!("source.max_offsets_per_trigger={per_batch}")])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Durations of the batches from one to another, sorted, with those of a snapshot alone or without them.
fn durations(batches: &[Value], from: usize, to: usize, snapshots: bool) -> Vec<f64> {
    let range = from.min(batches.len())..to.min(batches.len());
    let of = range.filter(|batch| ((batch + 1) % 50 == 0) == snapshots);
    let mut found: Vec<f64> = of.filter_map(|batch| batches[batch]["batchDuration"].as_f64()).collect();
    found.sort_by(f64::total_cmp);
    found
}

fn times(batches: &[Value], from: usize, to: usize, snapshots: bool) -> Value {
    let found = durations(batches, from, to, snapshots);
    match found.is_empty() {
        true => Value::Null,
        false => json!({
            "min": round(found[0]), "median": round(found[found.len() / 2]), "max": round(found[found.len() - 1])
        }),
    }
}

fn ratio(batches: &[Value]) -> Option<f64> {
    let about = |batch: usize| {
        let found = durations(batches, batch - ABOUT / 2, batch + ABOUT / 2, false);
        found.get(found.len() / 2).copied()
    };
    Some(round(about(1100)? / about(100)?))
}

/// Rows a second of training by model, over all batches.
fn speeds(batches: &[Value]) -> Value {
    let mut speeds = json!({});
    for name in ["minibatch", "online", "full"] {
        let of = |key: &str| -> f64 {
            let models = batches.iter().flat_map(|b| b["models"].as_array().into_iter().flatten());
            models
                .filter(|m| m["name"] == name && m["status"] == "trained")
                .filter_map(|m| m[key].as_f64())
                .sum()
        };
        speeds[name] = json!((of("trainRows") / of("trainMs") * 1e3).round());
    }
    speeds
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Rows with the columns that messages.sql reads: a customer in four comes again, an order in eight has more rows.
fn generated(path: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let sql = include_str!("../../sql/olist_rfm/messages.sql");
    let list = sql.split("SELECT").nth(1).and_then(|text| text.split("FROM wide").next()).unwrap_or_default();
    let columns: Vec<&str> = list.split(',').map(str::trim).collect();
    let mut csv = columns.join(",") + "\n";
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut order = 0;
    for row in 0..MESSAGES as u64 {
        order += u64::from(row == 0 || next(8) > 0);
        let day = row * 600 / MESSAGES as u64;
        let cells = columns.iter().map(|column| match *column {
            "order_id" => format!("o{order:031}"),
            "customer_unique_id" => format!("c{:031}", order * 0x9e37_79b9 % 93_000),
            "purchased_at" => {
                format!(
                    "{}-{:02}-{:02} {:02}:00:00",
                    2017 + day / 336,
                    1 + day / 28 % 12,
                    1 + day % 28,
                    row % 24
                )
            }
            "payment_brl" => format!("{}.{:02}", 10 + next(20).pow(2), next(100)),
            "order_item_id" => row.to_string(),
            "payment_sequential" => "1".to_owned(),
            _ => "some text".chars().filter(|_| column.ends_with("city")).collect(),
        });
        writeln!(csv, "{}", cells.collect::<Vec<_>>().join(","))?;
    }
    std::fs::write(path, csv)?;
    Ok(path.to_owned())
}
