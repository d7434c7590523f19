//! Times preprocessing and metrics on columns that `tests/peers/ml/data.py` made: one JSON line a task.
//!
//! Run by `tests/peers/ml/steps.py`, which writes the start centres and runs scikit-learn beside it:
//! `cargo run --release -p tidemill-ml --example speed_steps -- DIR TASK...`

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

mod measure;

use measure::numbers;
use ndarray::{Array2, ArrayView2};
use std::path::{Path, PathBuf};
use tidemill_ml::preprocess::{
    ImputeStrategy, Imputer, ImputerParams, IqrOutliers, IqrOutliersParams, MinMaxScaler, MinMaxScalerParams,
    Norm, Normalizer, OneHotEncoder, OneHotEncoderParams, Pca, PcaParams, StandardScaler,
    StandardScalerParams, StringIndexer, StringIndexerParams, TargetEncoder, TargetEncoderParams,
};
use tidemill_ml::{BinaryMetrics, Calibration, FeatureTable, KMeans, KMeansParams, SilhouetteRows};

/// What stands for a missing value where a task refuses them.
const FILL: f64 = 2.0;
/// Rows that the silhouette is over.
const DRAWN: usize = 2_000;

/// Times that a task is run, of which the least time counts: most take some hundredths of a second.
const TIMES: usize = 3;

/// The sum of all known values: what shows that both sides gave the same.
fn sum(x: &Array2<f64>) -> f64 {
    x.iter().filter(|v| v.is_finite()).sum()
}

/// Values of a text column, each row with a text of its own, as they come from a file.
struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    fn read(path: &Path) -> Texts {
        let codes = std::fs::read(path).unwrap();
        let mut texts = Texts { bytes: String::new(), ends: Vec::new() };
        for code in codes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())) {
            texts.bytes.push_str(&format!("k{code}"));
            texts.ends.push(texts.bytes.len());
        }
        texts
    }

    fn values(&self) -> Vec<Option<&str>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| Some(&self.bytes[start..end])).collect()
    }
}

/// Clusters as both sides have them, from the same rows and after the same ten turns.
fn clusters(dir: &Path, x: ArrayView2<'_, f64>) -> (KMeans, FeatureTable) {
    let mut table = FeatureTable::new((0..x.ncols()).map(|c| format!("numeric_{c}")).collect(), vec![]);
    x.columns().into_iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    let start = numbers(&dir.join("start.f64"));
    let start: Vec<Vec<f64>> = start.chunks_exact(x.ncols()).map(<[f64]>::to_vec).collect();
    let params = KMeansParams {
        clusters: start.len() as u32,
        max_iterations: 10,
        restarts: 1,
        tolerance: 1e-9,
        ..Default::default()
    };
    let rows: Vec<u32> = (0..table.rows() as u32).collect();
    (KMeans::fit_from(&params, &table, &rows, &start).unwrap(), table)
}

fn timed<T>(task: &str, work: impl Fn() -> T, number: impl Fn(T) -> f64) {
    measure::timed(task, TIMES, work, number);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap());
    let columns: Vec<Vec<f64>> = (0..10).map(|c| numbers(&dir.join(format!("numeric_{c}.f64")))).collect();
    let raw = Array2::from_shape_fn((columns[0].len(), columns.len()), |(row, c)| columns[c][row]);
    drop(columns);
    let filled = raw.mapv(|v| if v.is_nan() { FILL } else { v });
    let (raw, filled) = (raw.view(), filled.view());
    let (kinds, beats) = (Texts::read(&dir.join("category_1.u32")), Texts::read(&dir.join("category_2.u32")));
    let (kinds, beats) = (kinds.values(), beats.values());
    let labels = measure::labels(&dir);
    let scores: Vec<f64> = filled.column(0).iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();

    let standard = |x| StandardScaler::fit(StandardScalerParams::default(), x).unwrap();
    let min_max = |x| MinMaxScaler::fit(MinMaxScalerParams::default(), x).unwrap();
    let normalizer = |x| Normalizer::fit(Norm::L2, x).unwrap();
    let imputer = |strategy, x| Imputer::fit(ImputerParams { strategy, value: 0.0 }, x).unwrap();
    let outliers = |x| IqrOutliers::fit(IqrOutliersParams::default(), x).unwrap();
    let indexer =
        |values: &[Option<&str>]| StringIndexer::fit(StringIndexerParams::default(), values).unwrap();
    let one_hot =
        |values: &[Option<&str>]| OneHotEncoder::fit(OneHotEncoderParams::default(), values).unwrap();
    let pca = |x| Pca::fit(PcaParams::default(), x).unwrap();
    let fills = |imputer: Imputer| imputer.fills().iter().sum();
    let (mean, median) = (ImputeStrategy::Mean, ImputeStrategy::Median);

    measure::warm();
    for task in arguments {
        let task = task.as_str();
        match task {
            "standard_fit" => {
                timed(task, || standard(raw), |s| s.means().iter().chain(&s.deviations()).sum())
            }
            "standard_transform" => {
                let scaler = standard(raw);
                // Scores sum to rounding, their squares do not.
                timed(task, || scaler.transform(raw).unwrap(), |x| sum(&x.mapv(|v| v * v)));
            }
            "min_max_fit" => timed(task, || min_max(raw), |s| sum(&s.transform(raw).unwrap())),
            "min_max_transform" => {
                let scaler = min_max(raw);
                timed(task, || scaler.transform(raw).unwrap(), |x| sum(&x));
            }
            "normalizer" => timed(task, || normalizer(filled).transform(filled), |x| sum(&x)),
            "mean_fit" => timed(task, || imputer(mean, raw), fills),
            "mean_transform" => {
                let imputer = imputer(mean, raw);
                timed(task, || imputer.transform(raw).unwrap(), |x| sum(&x));
            }
            "median_fit" => timed(task, || imputer(median, raw), fills),
            "median_transform" => {
                let imputer = imputer(median, raw);
                timed(task, || imputer.transform(raw).unwrap(), |x| sum(&x));
            }
            "outliers_fit" => {
                let bounds = |o: IqrOutliers| o.bounds().iter().flatten().map(|(low, high)| low + high).sum();
                timed(task, || outliers(filled), bounds);
            }
            "outliers_transform" => {
                let outliers = outliers(filled);
                timed(task, || outliers.transform(filled).unwrap(), |x| sum(&x));
            }
            "index_fit" => timed(task, || indexer(&beats), |i| i.labels().len() as f64),
            "index_transform" => {
                let indexer = indexer(&beats);
                let alike = |indices: Vec<u32>| {
                    let mut counts = vec![0.0; indexer.labels().len()];
                    indices.iter().for_each(|&i| counts[i as usize] += 1.0);
                    counts.iter().map(|count| count * count).sum()
                };
                timed(task, || indexer.transform(&beats).unwrap().indices, alike);
            }
            "one_hot_fit" => timed(task, || one_hot(&kinds), |e| e.categories().len() as f64),
            "one_hot_transform" => {
                let encoder = one_hot(&kinds);
                timed(task, || encoder.transform(&kinds).unwrap(), |x| sum(&x));
            }
            "target_fit_transform" => {
                let params = TargetEncoderParams::default();
                let work = || TargetEncoder::fit_transform(params, &beats, &labels, 1).unwrap().1;
                timed(task, work, |encoded| encoded.iter().sum());
            }
            "pca_fit" => timed(task, || pca(filled), |p| p.explained_variances().iter().sum()),
            "pca_transform" => {
                let pca = pca(filled);
                timed(task, || pca.transform(filled).unwrap(), |x| sum(&x.mapv(f64::abs)));
            }
            "binary" => {
                let number = |m: BinaryMetrics| {
                    let areas = m.auc.unwrap() + m.pr_auc.unwrap() + m.log_loss + m.brier.unwrap();
                    let shares = m.accuracy + m.precision.unwrap() + m.recall.unwrap() + m.f1.unwrap();
                    areas + shares + m.true_positives as f64 / m.rows as f64
                };
                timed(task, || BinaryMetrics::compute(&labels, &scores).unwrap(), number);
            }
            "calibration" => {
                let number = |c: Calibration| {
                    c.bins.iter().filter_map(|bin| Some(bin.mean_probability? + bin.share_positive?)).sum()
                };
                timed(task, || Calibration::compute(&labels, &scores, 10).unwrap(), number);
            }
            "clusters" => {
                let (model, table) = clusters(&dir, filled);
                let rows: Vec<u32> = (0..table.rows() as u32).collect();
                let work = || model.metrics_with(&table, &rows, SilhouetteRows::Drawn(DRAWN), 1).unwrap();
                timed(task, work, |m| m.davies_bouldin.unwrap() + m.calinski_harabasz.unwrap());
            }
            other => panic!("no task {other}"),
        }
    }
}
