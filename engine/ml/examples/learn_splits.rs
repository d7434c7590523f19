//! Hold-out scores of classifiers on the splits that `tests/peers/ml/splits.py` draws: one JSON line in, one out.
//!
//! Usage: `cargo run --release -p tidemill-ml --example learn_splits -- CSV THREADS`. The first column of the CSV is the
//! label (0 or 1), those after it whose names begin with `text_` are categories, the others numbers; an empty cell is a
//! missing value. A line on stdin names what to learn: `{"algorithm": "random_forest", "settings": {"trees": 100}, "seed":
//! 1, "training": [3, 0], "held_out": [1, 2]}`, the last two as row numbers.

use serde::Deserialize;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;
use tidemill_ml::{Algorithm, FeatureTable, Material, Rows, Target};

#[derive(Deserialize)]
struct Task {
    algorithm: Algorithm,
    settings: serde_json::Value,
    seed: u64,
    training: Vec<u32>,
    held_out: Vec<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [csv, threads] = arguments.as_slice() else {
        return Err("usage: learn_splits CSV THREADS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let (table, labels) = read(csv)?;
    let target = Target::Binary(&labels);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line?)?;
        let estimator = task.algorithm.read(Material::Rows, &task.settings)?;
        let started = Instant::now();
        let fitted = estimator.fit(&Rows::new(&table, target, &task.training), task.seed)?;
        let seconds = started.elapsed().as_secs_f64();
        let scores = fitted.score(&Rows::new(&table, target, &task.held_out), task.seed)?;
        let scores = scores.binary().ok_or("no scores of two classes")?;
        let line = serde_json::json!({
            "accuracy": scores.accuracy, "auc": scores.auc, "log_loss": scores.log_loss, "seconds": seconds,
        });
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

fn read(path: &str) -> Result<(FeatureTable, Vec<bool>), Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let headers: Vec<String> = reader.headers()?.iter().skip(1).map(String::from).collect();
    let (texts, numbers): (Vec<String>, Vec<String>) =
        headers.iter().cloned().partition(|name| name.starts_with("text_"));
    let mut table = FeatureTable::new(numbers, texts);
    let mut labels = Vec::new();
    for record in reader.records() {
        let record = record?;
        labels.push(&record[0] == "1");
        let (mut number, mut text) = (0, 0);
        for (name, cell) in headers.iter().zip(record.iter().skip(1)) {
            if name.starts_with("text_") {
                table.push_category(text, [Some(cell).filter(|cell| !cell.is_empty())]);
                text += 1;
            } else {
                table.push_numeric(number, [if cell.is_empty() { f64::NAN } else { cell.parse()? }]);
                number += 1;
            }
        }
    }
    table.finish_append()?;
    Ok((table, labels))
}
