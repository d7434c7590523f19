//! K-means, streams and cluster metrics, on rows of ten columns (k-means takes no categories).
//!
//! `cargo bench -p tidemill-ml --bench clusters`, k-means at the sizes that `cases` says; set beside scikit-learn, River
//! and linfa by `tests/peers/ml/clusters.py`.

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used)]

mod cases;

use cases::{CASES, Case};
use divan::{Bencher, black_box};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::OnceLock;
use tidemill_ml::{
    BinaryMetrics, ClusterStream, ClusterStreamParams, FeatureTable, KMeans, KMeansBackend, KMeansParams,
    OnlineKMeansParams, QuantileSketch, SilhouetteRows, StreamLearner,
};

const COLUMNS: usize = 10;

fn main() {
    cases::main();
}

type Rows = (FeatureTable, Vec<u32>);

fn rows(case: Case) -> &'static Rows {
    static MADE: [OnceLock<Rows>; 3] = [const { OnceLock::new() }; 3];
    case.of(&MADE, table)
}

/// Eleven overlapping groups.
fn table(rows: usize) -> Rows {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut table = FeatureTable::new((0..COLUMNS).map(|c| format!("x{c}")).collect(), vec![]);
    for c in 0..COLUMNS {
        let value = |row: usize| ((row % 11 * (c + 3)) % 7) as f64 + random.gen_range(-2.0..2.0);
        table.push_numeric(c, (0..rows).map(value).collect::<Vec<f64>>());
    }
    table.finish_append().unwrap();
    (table, (0..rows as u32).collect())
}

fn params(backend: KMeansBackend) -> KMeansParams {
    KMeansParams { clusters: 11, restarts: 1, backend, ..KMeansParams::default() }
}

#[divan::bench(args = CASES, sample_count = 10)]
fn kmeans(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, rows), pool) = (rows(case), case.pool());
    let params = params(KMeansBackend::Tidemill);
    bencher.bench(|| pool.install(|| KMeans::fit(&params, table, rows, 1, None).unwrap()));
}

#[divan::bench(args = CASES, sample_count = 5)]
fn kmeans_linfa(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, rows), pool) = (rows(case), case.pool());
    let params = params(KMeansBackend::Linfa);
    bencher.bench(|| pool.install(|| KMeans::fit(&params, table, rows, 1, None).unwrap()));
}

#[divan::bench(args = CASES, sample_count = 10)]
fn kmeans_refit(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, rows), pool) = (rows(case), case.pool());
    let params = params(KMeansBackend::Tidemill);
    let before = KMeans::fit(&params, table, &rows[..rows.len() * 100 / 101], 1, None).unwrap();
    bencher.bench(|| pool.install(|| KMeans::fit(&params, table, rows, 1, Some(&before)).unwrap()));
}

fn stream(bencher: Bencher<'_, '_>, learner: StreamLearner) {
    let (table, rows) = table(11_000);
    let params = ClusterStreamParams { learner, ..ClusterStreamParams::default() };
    let mut stream = ClusterStream::new(params, table.numeric_names().to_vec()).unwrap();
    stream.partial_fit(&table, &rows[..1_000], 0).unwrap();
    bencher
        .counter(divan::counter::ItemsCount::new(1_000u32))
        .bench_local(|| stream.partial_fit(&table, black_box(&rows[5_000..6_000]), 1).unwrap());
}

#[divan::bench]
fn stream_minibatch_1000(bencher: Bencher<'_, '_>) {
    stream(bencher, StreamLearner::default());
}

#[divan::bench]
fn stream_online_1000(bencher: Bencher<'_, '_>) {
    stream(bencher, StreamLearner::OnlineKmeans(OnlineKMeansParams::default()));
}

#[divan::bench(args = [1_000, 10_000], sample_count = 10)]
fn silhouette_exact(bencher: Bencher<'_, '_>, rows: usize) {
    let (table, rows) = table(rows);
    let model = KMeans::fit(&params(KMeansBackend::Tidemill), &table, &rows, 1, None).unwrap();
    bencher.bench(|| model.metrics_with(&table, &rows, SilhouetteRows::Exact, 1).unwrap());
}

#[divan::bench(args = [100_000, 1_000_000], sample_count = 10)]
fn binary_metrics(bencher: Bencher<'_, '_>, rows: usize) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let probabilities: Vec<f64> = (0..rows).map(|_| random.gen_range(0.0..1.0)).collect();
    let labels: Vec<bool> = probabilities.iter().map(|p| random.gen_bool(*p)).collect();
    bencher.bench(|| BinaryMetrics::compute(&labels, &probabilities).unwrap());
}

#[divan::bench]
fn quantile_sketch_1000(bencher: Bencher<'_, '_>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let values: Vec<f64> = (0..1_000).map(|_| random.gen_range(-50.0..500.0)).collect();
    let mut sketch = QuantileSketch::new(100.0);
    bencher.counter(divan::counter::ItemsCount::new(1_000u32)).bench_local(|| {
        sketch.extend(black_box(&values).iter().copied());
        sketch.quantile(0.25)
    });
}
