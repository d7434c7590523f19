//! Times clusters and their metrics on columns that `tests/peers/ml/data.py` made: one JSON line a task.
//!
//! Run by `tests/peers/ml/clusters.py`, which writes the start centres and runs the peers beside it:
//! `cargo run --release -p tidemill-ml --example speed_clusters -- DIR CLUSTERS TASK...`

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

mod measure;

use measure::numbers;
use std::path::PathBuf;
use tidemill_ml::{
    BinaryMetrics, ClusterStream, ClusterStreamParams, FeatureTable, KMeans, KMeansBackend, KMeansParams,
    MiniBatchKMeansParams, OnlineKMeansParams, Outliers, SilhouetteRows, StreamLearner,
};

/// What stands for a missing value on both sides.
const FILL: f64 = 2.0;
/// Rows of a mini-batch, and of an exact silhouette.
const BATCH_ROWS: usize = 10_000;

struct Input {
    dir: PathBuf,
    table: FeatureTable,
    rows: Vec<u32>,
    start: Vec<Vec<f64>>,
    clusters: u32,
}

impl Input {
    fn read(dir: PathBuf, clusters: u32) -> Input {
        let columns: Vec<PathBuf> = (0..10).map(|c| dir.join(format!("numeric_{c}.f64"))).collect();
        let names = (0..columns.len()).map(|c| format!("numeric_{c}")).collect();
        let mut table = FeatureTable::new(names, vec![]);
        for (c, path) in columns.iter().enumerate() {
            table.push_numeric(c, numbers(path).into_iter().map(|v| if v.is_nan() { FILL } else { v }));
        }
        table.finish_append().unwrap();
        let rows = (0..table.rows() as u32).collect();
        let start = numbers(&dir.join("start.f64"));
        let start = start.chunks_exact(columns.len()).map(<[f64]>::to_vec).collect();
        Input { dir, table, rows, start, clusters }
    }

    fn params(&self, backend: KMeansBackend) -> KMeansParams {
        KMeansParams { clusters: self.clusters, max_iterations: 300, restarts: 1, tolerance: 1e-2, backend }
    }

    fn same_start(&self, rows: &[u32], backend: KMeansBackend) -> KMeans {
        KMeans::fit_from(&self.params(backend), &self.table, rows, &self.start).unwrap()
    }

    fn plus_plus(&self, rows: &[u32], warm_start: Option<&KMeans>) -> KMeans {
        let params = self.params(KMeansBackend::Tidemill);
        KMeans::fit(&params, &self.table, rows, 1, warm_start).unwrap()
    }

    /// All rows in batches through a stream, without what the peers do not do.
    fn stream(&self, learner: StreamLearner) -> f64 {
        let plain = ClusterStreamParams {
            outliers: Outliers::Keep,
            half_life_batches: None,
            reseed_below: 0.0,
            learner,
        };
        let mut stream = ClusterStream::new(plain, self.table.numeric_names().to_vec()).unwrap();
        for (batch, rows) in self.rows.chunks(BATCH_ROWS).enumerate() {
            stream.partial_fit(&self.table, rows, batch as u64).unwrap();
        }
        let rows = &self.rows[..BATCH_ROWS.min(self.rows.len())];
        stream.metrics(&self.table, rows, SilhouetteRows::Drawn(10), 1).unwrap().inertia
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap());
    let input = Input::read(dir, arguments.next().unwrap().parse().unwrap());
    let (all, own) = (&input.rows[..], KMeansBackend::Tidemill);
    measure::warm();
    for task in arguments {
        // What a task needs and does not time.
        let before = (task == "refit").then(|| input.plus_plus(&all[..all.len() * 100 / 101], None));
        let fitted = (task == "silhouette_exact").then(|| input.same_start(all, own));
        let scores = (task == "auc").then(|| {
            let labels = measure::labels(&input.dir);
            let x = numbers(&input.dir.join("numeric_0.f64"));
            (labels, x.into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect::<Vec<f64>>())
        });
        let inertia = |model: KMeans| model.inertia(&input.table, all).unwrap();
        let work = || match task.as_str() {
            "same_start" => inertia(input.same_start(all, own)),
            "linfa_same_start" => inertia(input.same_start(all, KMeansBackend::Linfa)),
            "plus_plus" => inertia(input.plus_plus(all, None)),
            "refit" => inertia(input.plus_plus(all, before.as_ref())),
            "minibatch" | "linfa_minibatch" => {
                let backend = if task == "minibatch" { own } else { KMeansBackend::Linfa };
                let params = MiniBatchKMeansParams { clusters: input.clusters, backend };
                input.stream(StreamLearner::MinibatchKmeans(params))
            }
            "online" => {
                let params = OnlineKMeansParams { clusters: input.clusters, halflife: 0.4 };
                input.stream(StreamLearner::OnlineKmeans(params))
            }
            "silhouette_exact" => {
                let rows = &all[..BATCH_ROWS.min(all.len())];
                let model = fitted.as_ref().unwrap();
                let metrics = model.metrics_with(&input.table, rows, SilhouetteRows::Exact, 1).unwrap();
                metrics.silhouette.unwrap()
            }
            "auc" => {
                let (labels, probabilities) = scores.as_ref().unwrap();
                BinaryMetrics::compute(labels, probabilities).unwrap().auc.unwrap()
            }
            other => panic!("no task {other}"),
        };
        measure::timed(&task, 1, work, |result| result);
    }
}
