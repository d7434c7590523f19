//! Seconds of the linear models on the rows that `tests/peers/ml/data.py` wrote: one JSON line a task.
//!
//! Usage: `cargo run --release -p tidemill-ml --example speed_linear -- DIR [TASK ...]`, with RAYON_NUM_THREADS for the
//! number of threads. Without a task, every one runs. A `dense` task is fitted on DIR/dense.f64 (rows × 14, row-major),
//! the columns that the peer encoded; the others take the raw columns and encode them inside the model.

use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tidemill_ml::{
    BinaryMetrics, Cache, Estimator, FeatureTable, Fitted, LinearCategories, LogisticBackend,
    LogisticRegressionParams, Prediction, Rows, SgdClassifierParams, Target,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("give the folder of the rows")?);
    let wanted: Vec<String> = arguments.collect();
    let labels: Vec<bool> = std::fs::read(folder.join("label.u8"))?.into_iter().map(|v| v == 1).collect();
    let is_wanted = |task: &str| wanted.is_empty() || wanted.iter().any(|w| w == task);
    let logistic = LogisticRegressionParams::default;
    let exact = LogisticRegressionParams { gradient_tolerance: 1e-8, ..logistic() };
    let raw = raw_table(&folder, labels.len())?;
    let tasks = [
        ("logistic", logistic()),
        ("logistic_exact", exact.clone()),
        ("logistic_linfa", LogisticRegressionParams { backend: LogisticBackend::Linfa, ..logistic() }),
        ("logistic_l1", LogisticRegressionParams { l1_ratio: 1.0, alpha: 10.0, ..logistic() }),
        ("logistic_one_hot", LogisticRegressionParams { categories: LinearCategories::OneHot, ..logistic() }),
    ];
    for (task, params) in tasks.iter().filter(|(task, _)| is_wanted(task)) {
        fit(task, params, &raw, &labels)?;
    }
    if is_wanted("sgd") {
        sgd(&numbers(&folder, labels.len())?, &labels)?;
    }
    if folder.join("dense.f64").exists() {
        let dense = dense_table(&folder, labels.len())?;
        let plain = LogisticRegressionParams { standardise: false, ..logistic() };
        let tasks = [
            ("dense", plain.clone()),
            ("dense_exact", LogisticRegressionParams { gradient_tolerance: 1e-8, ..plain }),
            (
                "dense_l1",
                LogisticRegressionParams { standardise: false, l1_ratio: 1.0, alpha: 10.0, ..exact },
            ),
            ("dense_linfa", LogisticRegressionParams { backend: LogisticBackend::Linfa, ..logistic() }),
        ];
        for (task, params) in tasks.iter().filter(|(task, _)| is_wanted(task)) {
            fit(task, params, &dense, &labels)?;
        }
    }
    Ok(())
}

/// One pass over the ten numbers: cold, then as new rows.
fn sgd(table: &FeatureTable, labels: &[bool]) -> Result<(), Box<dyn Error>> {
    let rows: Vec<u32> = (0..table.rows() as u32).collect();
    let params = SgdClassifierParams { epochs: 1, ..SgdClassifierParams::default() };
    let training = Rows::new(table, Target::Binary(labels), &rows);
    let (model, seconds, cpu_seconds) = timed(|| Estimator::from(params).fit(&training, 42));
    let model = model?;
    let (more, partial_seconds, partial_cpu_seconds) = timed(|| model.partial_fit(&training, 42));
    let metrics = BinaryMetrics::compute(labels, &probabilities(&more?, table, &rows)?)?;
    println!(
        "{}",
        json!({
            "task": "sgd", "rows": rows.len(), "threads": rayon::current_num_threads(), "seconds": seconds,
            "cpu_seconds": cpu_seconds, "partial_seconds": partial_seconds,
            "partial_cpu_seconds": partial_cpu_seconds, "auc": metrics.auc,
            "rows_per_cpu_second": rows.len() as f64 / partial_cpu_seconds,
        })
    );
    Ok(())
}

/// Seconds that a call took: by the clock, and of processor time over all threads (0 where there is no /proc).
fn timed<T>(call: impl FnOnce() -> T) -> (T, f64, f64) {
    let (clock, before) = (Instant::now(), cpu_seconds());
    let result = call();
    (result, clock.elapsed().as_secs_f64(), cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of_thread = |entry: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
        let text = std::fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads.filter_map(of_thread).sum::<f64>() / 1e9
}

/// A cold fit on all rows; then one on all but the last hundredth, and from it the warm fit on all.
fn fit(
    task: &str,
    params: &LogisticRegressionParams,
    table: &FeatureTable,
    labels: &[bool],
) -> Result<(), Box<dyn Error>> {
    let rows: Vec<u32> = (0..table.rows() as u32).collect();
    let estimator = Estimator::from(params.clone());
    let fit = |rows: &[u32], before: Option<&Fitted>| {
        estimator.refit(&Rows::new(table, Target::Binary(labels), rows), 42, before, &mut Cache::new())
    };
    let (model, seconds, cpu_seconds) = timed(|| fit(&rows, None));
    let model = model?;
    let before = fit(&rows[..rows.len() - rows.len() / 101], None)?;
    let (warm, refit_seconds, refit_cpu_seconds) = timed(|| fit(&rows, Some(&before)));
    let warm = warm?;
    let (scores, predict_seconds, _) = timed(|| probabilities(&model, table, &rows));
    let scores = scores?;
    let metrics = BinaryMetrics::compute(labels, &scores)?;
    let after = BinaryMetrics::compute(labels, &probabilities(&warm, table, &rows)?)?;
    let coefficients =
        model.as_classifier().and_then(|model| model.coefficients()).ok_or("no coefficients")?;
    let weights: Vec<f64> = coefficients.columns.iter().take(40).map(|c| c.weight).collect();
    println!(
        "{}",
        json!({
            "task": task, "rows": rows.len(), "threads": rayon::current_num_threads(), "seconds": seconds,
            "cpu_seconds": cpu_seconds, "refit_cpu_seconds": refit_cpu_seconds,
            "refit_seconds": refit_seconds, "predict_seconds": predict_seconds, "auc": metrics.auc,
            "log_loss": metrics.log_loss, "refit_log_loss": after.log_loss, "bytes": model.to_bytes()?.len(),
            "intercept": coefficients.intercept, "weights": weights,
        })
    );
    Ok(())
}

fn floats(path: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
        .collect())
}

fn raw_table(folder: &Path, rows: usize) -> Result<FeatureTable, Box<dyn Error>> {
    let names = |prefix: &str, count: usize| (0..count).map(|c| format!("{prefix}_{c}")).collect::<Vec<_>>();
    let mut table = FeatureTable::new(names("numeric", 10), names("category", 4));
    for c in 0..10 {
        table.push_numeric(c, floats(&folder.join(format!("numeric_{c}.f64")))?);
    }
    for c in 0..4 {
        let bytes = std::fs::read(folder.join(format!("category_{c}.u32")))?;
        let codes = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let text: Vec<String> = codes.map(|code| format!("k{code}")).collect();
        table.push_category(c, text.iter().map(|t| Some(t.as_str())));
    }
    table.finish_append()?;
    assert_eq!(table.rows(), rows, "rows of the columns and of the labels");
    Ok(table)
}

fn numbers(folder: &Path, rows: usize) -> Result<FeatureTable, Box<dyn Error>> {
    let mut table = FeatureTable::new((0..10).map(|c| format!("numeric_{c}")).collect(), vec![]);
    for c in 0..10 {
        table.push_numeric(c, floats(&folder.join(format!("numeric_{c}.f64")))?);
    }
    table.finish_append()?;
    assert_eq!(table.rows(), rows, "rows of the columns and of the labels");
    Ok(table)
}

fn dense_table(folder: &Path, rows: usize) -> Result<FeatureTable, Box<dyn Error>> {
    let values = floats(&folder.join("dense.f64"))?;
    let columns = values.len() / rows;
    let mut table = FeatureTable::new((0..columns).map(|c| format!("x{c}")).collect(), vec![]);
    for c in 0..columns {
        table.push_numeric(c, values.iter().skip(c).step_by(columns).copied());
    }
    table.finish_append()?;
    Ok(table)
}

/// Of the label, for each of these rows.
fn probabilities(model: &Fitted, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Box<dyn Error>> {
    match model.predict(table, rows)? {
        Prediction::Probabilities(values) => Ok(values),
        other => Err(format!("{other:?}").into()),
    }
}
