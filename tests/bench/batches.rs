//! Time per batch, commit and retraining included: batches of 120 rows from nothing, and on 70,000 rows of history.
//!
//! ```sh
//! cargo bench --bench batches                                  # generated crimes
//! TIDEMILL_DATA=DIR cargo bench --bench batches                # the city's rows
//! ```
//!
//! Prints one JSON object; `tests/peers/spark_batches.py` runs it beside Spark and prints ratios.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidemill_broker::{Broker, BrokerConfig};

const SMALL: usize = 120;
const BATCHES: usize = 20;
const HISTORY: usize = 70_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let input = input(folder.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let config = BrokerConfig::new("127.0.0.1:0".parse()?, folder.path().join("broker"));
    let broker = runtime.block_on(Broker::start(config))?;
    let rows = (HISTORY + SMALL * BATCHES).to_string();
    let server = broker.bootstrap_servers();
    tidemill(&["produce", "chicago-arrests", "--brokers", &server, "--rows", &rows, "--input"], &input)?;

    let fresh = folder.path().join("fresh");
    let first = stream(&server, &fresh, SMALL, BATCHES)?;
    let grown = folder.path().join("grown");
    stream(&server, &grown, 5_000, HISTORY / 5_000)?;
    let later = stream(&server, &grown, SMALL, BATCHES)?;
    // The first batch after a start also rebuilds the history: it is told apart.
    let ready = later.first().map(parts);
    println!(
        "{}",
        json!({
            "rows_per_batch": SMALL,
            "batches": BATCHES,
            "from_nothing_ms": summary(&first[1..]),
            "history_rows": HISTORY,
            "on_history_ms": summary(&later[1..]),
            "first_batch_after_restart": ready,
            "parts_of_the_last_batch": later.last().map(parts),
        })
    );
    runtime.block_on(broker.shutdown())?;
    Ok(())
}

fn input(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let real = std::env::var_os("TIDEMILL_DATA")
        .map(|data| PathBuf::from(data).join("chicago_crimes/crimes_combined.csv.gz"))
        .filter(|path| path.is_file());
    if let Some(path) = real {
        return Ok(path);
    }
    eprintln!("TIDEMILL_DATA has no Chicago crimes: generated rows");
    let path = folder.join("crimes.csv");
    tidemill(&["data", "generate", "chicago-crimes", "--rows", "73000", "--seed", "1", "--out"], &path)?;
    Ok(path)
}

fn tidemill(arguments: &[&str], path: &Path) -> Result<(), Box<dyn Error>> {
    let status = Command::new(env!("CARGO_BIN_EXE_tidemill")).args(arguments).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("tidemill {arguments:?}: {status}").into()) }
}

/// Streams `batches` batches and gives their progress.
fn stream(server: &str, lake: &Path, limit: usize, batches: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .arg("--lake")
        .arg(lake)
        .args(["stream", "chicago-arrests", "--brokers", server, "--available-now", "--progress", "json"])
        .args(["--batches", &batches.to_string()])
        .args(["--set", &format!("source.max_offsets_per_trigger={limit}")])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn summary(batches: &[Value]) -> Value {
    let mut times: Vec<f64> = batches.iter().filter_map(|b| b["batchDuration"].as_f64()).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times.get(((times.len() - 1) as f64 * share) as usize).map(|t| (t * 10.0).round() / 10.0)
    };
    json!({"min": at(0.0), "median": at(0.5), "max": at(1.0)})
}

fn parts(batch: &Value) -> Value {
    let mut parts = batch["durationMs"].clone();
    parts["total"] = batch["batchDuration"].clone();
    for model in batch["models"].as_array().into_iter().flatten() {
        parts[format!("train {}", model["name"].as_str().unwrap_or_default())] = model["trainMs"].clone();
    }
    parts
}
