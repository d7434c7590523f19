//! Times k-means and cluster metrics on columns that `tests/peers/ml/data.py` made: one JSON line a task.
//!
//! Run by `tests/peers/ml/clusters.py`, which writes the start centres and runs the peers beside it:
//! `cargo run --release -p tidemill-ml --example speed_clusters -- DIR CLUSTERS TASK...`

// The lints' leave for tests ends at `#[test]`, and this is a program of measurement.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Instant;
use tidemill_ml::{BinaryMetrics, FeatureTable, KMeans, KMeansBackend, KMeansParams, SilhouetteRows};

/// What stands for a missing value on both sides.
const FILL: f64 = 2.0;

struct Input {
    table: FeatureTable,
    rows: Vec<u32>,
    start: Vec<Vec<f64>>,
    clusters: u32,
}

fn numbers(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

fn read(dir: &Path, clusters: u32) -> Input {
    let columns: Vec<PathBuf> = (0..10).map(|c| dir.join(format!("numeric_{c}.f64"))).collect();
    let names = (0..columns.len()).map(|c| format!("numeric_{c}")).collect();
    let mut table = FeatureTable::new(names, vec![]);
    for (c, path) in columns.iter().enumerate() {
        table.push_numeric(c, numbers(path).into_iter().map(|v| if v.is_nan() { FILL } else { v }));
    }
    table.finish_append().unwrap();
    let rows = (0..table.rows() as u32).collect();
    let start = numbers(&dir.join("start.f64")).chunks_exact(columns.len()).map(<[f64]>::to_vec).collect();
    Input { table, rows, start, clusters }
}

fn params(input: &Input, backend: KMeansBackend) -> KMeansParams {
    KMeansParams { clusters: input.clusters, max_iterations: 300, restarts: 1, tolerance: 1e-2, backend }
}

fn fit(input: &Input, rows: &[u32], backend: KMeansBackend) -> KMeans {
    KMeans::fit_from(&params(input, backend), &input.table, rows, &input.start).unwrap()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap());
    let input = read(&dir, arguments.next().unwrap().parse().unwrap());
    for task in arguments {
        let all = &input.rows;
        let most = &all[..all.len() * 100 / 101];
        let own = KMeansBackend::Tidemill;
        // What a task needs and does not time, then the time and a number that says how good the result is.
        let before = (task == "refit").then(|| fit(&input, most, own));
        let fitted = task.starts_with("silhouette").then(|| fit(&input, all, own));
        let scores = (task == "auc").then(|| {
            let labels: Vec<bool> =
                std::fs::read(dir.join("label.u8")).unwrap().into_iter().map(|l| l == 1).collect();
            let x = numbers(&dir.join("numeric_0.f64"));
            (labels, x.into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect::<Vec<f64>>())
        });
        let start = Instant::now();
        let result = match task.as_str() {
            "same_start" => fit(&input, all, own).inertia(&input.table, all),
            "linfa_same_start" => fit(&input, all, KMeansBackend::Linfa).inertia(&input.table, all),
            "plus_plus" => KMeans::fit(&params(&input, own), &input.table, all, 1, None)
                .unwrap()
                .inertia(&input.table, all),
            "refit" => KMeans::fit(&params(&input, own), &input.table, all, 1, before.as_ref())
                .unwrap()
                .inertia(&input.table, all),
            "silhouette_exact" => {
                let rows: Vec<u32> = all.iter().copied().take(20_000).collect();
                let model = fitted.as_ref().unwrap();
                let metrics = model.metrics_with(&input.table, &rows, SilhouetteRows::Exact, 1).unwrap();
                Ok(metrics.silhouette.unwrap())
            }
            "auc" => {
                let (labels, probabilities) = scores.as_ref().unwrap();
                Ok(BinaryMetrics::compute(labels, probabilities).unwrap().auc.unwrap())
            }
            other => panic!("no task {other}"),
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("{{\"task\":\"{task}\",\"seconds\":{seconds},\"result\":{}}}", result.unwrap());
    }
}
