//! Seconds and AUC of the trees on the rows that `tests/peers/ml/data.py` writes, one JSON line a task.
//!
//! Usage: `cargo run --release -p tidemill-ml --example speed_trees -- DIR TRAINING_ROWS THREADS SEED TASK...`. The model
//! learns from the first `TRAINING_ROWS` and is scored on the rest; reading is not timed, binning is. `tests/peers/ml/trees.py`
//! runs this and scikit-learn in turn. A task that begins with `smartcore_` is smartcore's forest or tree.

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use tidemill_ml::{
    BinaryMetrics, Cache, Categories, DecisionTreeParams, Estimator, FeatureTable, Fitted,
    GradientBoostingParams, Prediction, RandomForestParams, Rows, SupervisedParams, Target, TreeBackend,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, training, threads, seed, tasks @ ..] = arguments.as_slice() else {
        return Err("usage: speed_trees DIR TRAINING_ROWS THREADS SEED TASK...".into());
    };
    let (training, threads, seed) = (training.parse()?, threads.parse()?, seed.parse()?);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let (table, labels) = read(Path::new(dir))?;
    for task in tasks {
        let run = Run { table: &table, labels: &labels, training, seed };
        // The peak from here on (proc(5), `clear_refs`), above what the table takes.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = status_mb("VmRSS:");
        let (seconds, cpu_seconds, auc) = run.task(task)?;
        println!(
            "{{\"task\":\"{task}\",\"rows\":{training},\"threads\":{threads},\"seed\":{seed},\"seconds\":{seconds:.6},\"cpu_seconds\":{cpu_seconds:.2},\"auc\":{auc:.6},\"above_data_mb\":{}}}",
            status_mb("VmHWM:").saturating_sub(before)
        );
    }
    Ok(())
}

struct Run<'a> {
    table: &'a FeatureTable,
    labels: &'a [bool],
    training: u32,
    seed: u64,
}

impl Run<'_> {
    /// Seconds by the wall and of this process's threads, and AUC on the rows held out.
    fn task(&self, task: &str) -> Result<(f64, f64, f64), Box<dyn Error>> {
        let rows: Vec<u32> = (0..self.training).collect();
        let fitted = algorithm(task.trim_start_matches("predict_").trim_start_matches("refit_"))?;
        let fitted = Estimator::from(fitted);
        let rows_of = |rows| Rows::new(self.table, Target::Binary(self.labels), rows);
        let fit = || fitted.fit(&rows_of(&rows), self.seed);
        let (model, wall, cpu) = if task.starts_with("refit_") {
            // The model, the bins and the counts of a fit on 1 % fewer rows.
            let mut cache = Cache::new();
            let mut refit = |rows: &[u32], before: Option<&Fitted>| {
                cache.extend(self.table, rows)?;
                fitted.refit(
                    &Rows::new(self.table, Target::Binary(self.labels), rows),
                    self.seed,
                    before,
                    &mut cache,
                )
            };
            let before = refit(&rows[..rows.len() - rows.len() / 100], None)?;
            let (model, wall, cpu) = timed(|| refit(&rows, Some(&before)));
            (model?, wall, cpu)
        } else if task.starts_with("predict_") {
            let model = fit()?;
            let (scores, wall, cpu) = timed(|| probabilities(&model, self.table, &rows));
            scores?;
            (model, wall, cpu)
        } else {
            let (model, wall, cpu) = timed(fit);
            (model?, wall, cpu)
        };
        let held_out: Vec<u32> = (self.training..self.table.rows() as u32).collect();
        let scores = probabilities(&model, self.table, &held_out)?;
        let auc = BinaryMetrics::compute(&self.labels[self.training as usize..], &scores)?.auc;
        Ok((wall, cpu, auc.unwrap_or(f64::NAN)))
    }
}

fn algorithm(task: &str) -> Result<SupervisedParams, String> {
    if let Some(task) = task.strip_prefix("smartcore_") {
        let backend = TreeBackend::Smartcore;
        return match algorithm(task)? {
            SupervisedParams::RandomForest(params) => {
                Ok(SupervisedParams::RandomForest(RandomForestParams { backend, ..params }))
            }
            SupervisedParams::DecisionTree(params) => {
                Ok(SupervisedParams::DecisionTree(DecisionTreeParams { backend, ..params }))
            }
            _ => Err(format!("smartcore has no {task:?}")),
        };
    }
    // A bin for each of the most frequent: what target encoding takes is in the README beside the splits.
    let categories = Categories::Native;
    let forest = |trees, max_depth| {
        let forest = RandomForestParams { trees, max_depth, categories, ..RandomForestParams::default() };
        SupervisedParams::RandomForest(forest)
    };
    // As many features a split as scikit-learn's forests try: the root of 14.
    let root = |trees, max_depth| {
        let max_features = 3.0 / 14.0 + 1e-9;
        let of = RandomForestParams { trees, max_depth, max_features, categories, ..Default::default() };
        SupervisedParams::RandomForest(of)
    };
    Ok(match task {
        "forest_20x5" => forest(20, 5),
        "forest_100x10" => forest(100, 10),
        "forest_root_20x5" => root(20, 5),
        "forest_root_100x10" => root(100, 10),
        "tree_10" => SupervisedParams::DecisionTree(DecisionTreeParams {
            max_depth: 10,
            categories,
            ..DecisionTreeParams::default()
        }),
        "boost_100x31" => SupervisedParams::GradientBoosting(GradientBoostingParams {
            categories,
            ..GradientBoostingParams::default()
        }),
        other => return Err(format!("no task {other:?}")),
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let done = work();
    (done, started.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

/// User and system seconds of this process; ticks of a hundredth (proc(5), `utime` and `stime`). 0 where there is no /proc.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A line of /proc/self/status in megabytes; 0 where there is none.
fn status_mb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}

fn read(dir: &Path) -> Result<(FeatureTable, Vec<bool>), Box<dyn Error>> {
    let bytes = |name: String| std::fs::read(dir.join(&name)).map_err(|e| format!("{name}: {e}"));
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}_{i}")).collect::<Vec<_>>();
    let mut table = FeatureTable::new(names("numeric", 10), names("category", 4));
    for c in 0..10 {
        let column = bytes(format!("numeric_{c}.f64"))?;
        table.push_numeric(c, column.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)));
    }
    for c in 0..4 {
        let column = bytes(format!("category_{c}.u32"))?;
        let codes: Vec<u32> = column.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let most = codes.iter().max().map_or(0, |&m| m as usize + 1);
        let text: Vec<String> = (0..most).map(|code| format!("k{code}")).collect();
        table.push_category(c, codes.iter().map(|&code| Some(text[code as usize].as_str())));
    }
    table.finish_append()?;
    let labels = bytes("label.u8".into())?.iter().map(|&b| b == 1).collect();
    Ok((table, labels))
}

/// Of the label, for each of these rows.
fn probabilities(model: &Fitted, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Box<dyn Error>> {
    match model.predict(table, rows)? {
        Prediction::Probabilities(values) => Ok(values),
        other => Err(format!("{other:?}").into()),
    }
}
