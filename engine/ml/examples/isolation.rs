//! Scores rows that `tests/peers/ml/isolation.py` wrote by an isolation forest, and times the fit.
//!
//! `cargo run --release -p tidemill-ml --example isolation -- FILE.f64 COLUMNS SEED CONTAMINATION TIMES [TREES]`: columns
//! one after the other, little-endian. Writes the scores to FILE.scores, and prints one JSON line.

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

// Its rows have no labels.
#[allow(dead_code)]
mod measure;

use std::path::PathBuf;
use tidemill_ml::{FeatureTable, IsolationForest, IsolationForestParams};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, columns, seed, contamination, times, trees @ ..] = arguments.as_slice() else {
        panic!("FILE.f64 COLUMNS SEED CONTAMINATION TIMES [TREES]")
    };
    let (file, columns): (PathBuf, usize) = (file.into(), columns.parse().unwrap());
    let values = measure::numbers(&file);
    let mut table = FeatureTable::new((0..columns).map(|c| format!("x{c}")).collect(), vec![]);
    for (c, column) in values.chunks_exact(values.len() / columns).enumerate() {
        table.push_numeric(c, column.iter().copied());
    }
    table.finish_append().unwrap();
    let rows: Vec<u32> = (0..table.rows() as u32).collect();
    let contamination = Some(contamination.parse().unwrap());
    let mut params = IsolationForestParams { contamination, ..IsolationForestParams::default() };
    if let Some(trees) = trees.first() {
        params.trees = trees.parse().unwrap();
    }
    let seed = seed.parse().unwrap();
    let fit = || IsolationForest::fit(&params, &table, &rows, seed).unwrap();
    measure::warm();
    measure::timed("fit", times.parse().unwrap(), fit, |forest| forest.threshold());
    let scores = fit().scores(&table, &rows).unwrap();
    let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    std::fs::write(file.with_extension("scores"), bytes).unwrap();
}
