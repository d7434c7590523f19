//! Seconds and error of trees of a number and of many classes on the rows that `tests/peers/ml/kinds.py` writes, one JSON
//! line a task.
//!
//! Usage: `cargo run --release -p tidemill-ml --example speed_kinds -- DIR TRAINING_ROWS THREADS SEED TASK...`. The model
//! learns from the first `TRAINING_ROWS` and is scored on the rest: by RMSE where it says a number, else by log loss.
//! Reading is not timed, binning is.

// What a clock needs, and no more.
#[allow(dead_code, clippy::unwrap_used, clippy::panic)]
mod measure;

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use tidemill_ml::{
    Algorithm, Estimator, FeatureTable, GradientBoostingParams, Material, Prediction, RandomForestParams,
    Rows, Target,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, training, threads, seed, tasks @ ..] = arguments.as_slice() else {
        return Err("usage: speed_kinds DIR TRAINING_ROWS THREADS SEED TASK...".into());
    };
    let (dir, training, seed) = (Path::new(dir), training.parse::<u32>()?, seed.parse()?);
    let threads = threads.parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let table = read(dir)?;
    let values = numbers(&dir.join("number.f64"))?;
    let labels: Vec<u32> = numbers(&dir.join("class.f64"))?.iter().map(|&class| class as u32).collect();
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let (first, rest): (Vec<u32>, Vec<u32>) =
        ((0..training).collect(), (training..table.rows() as u32).collect());
    for task in tasks {
        let (kind, settings) = task.split_once('_').ok_or("a task is KIND_ALGORITHM")?;
        let target = match kind {
            "number" => Target::Numbers(&values),
            _ => Target::Classes { labels: &labels, classes },
        };
        let estimator = estimator(settings)?;
        let (cpu, started) = (measure::cpu_nanoseconds(), Instant::now());
        let model = estimator.fit(&Rows::new(&table, target, &first), seed)?;
        let seconds = started.elapsed().as_secs_f64();
        let cpu_seconds = (measure::cpu_nanoseconds() - cpu) as f64 / 1e9;
        let started = Instant::now();
        let error = match model.predict(&table, &rest)? {
            Prediction::Numbers(said) => rmse(&said, &values[training as usize..]),
            Prediction::Classes { probabilities, .. } => {
                log_loss(&probabilities, &labels[training as usize..], classes)
            }
            other => return Err(format!("{other:?}").into()),
        };
        let predict_seconds = started.elapsed().as_secs_f64();
        println!(
            "{{\"task\":\"{task}\",\"rows\":{training},\"threads\":{threads},\"seed\":{seed},\"seconds\":{seconds:.6},\"cpu_seconds\":{cpu_seconds:.6},\"predict_seconds\":{predict_seconds:.6},\"error\":{error:.8}}}"
        );
    }
    Ok(())
}

/// Settings that a peer can have, too.
fn estimator(of: &str) -> Result<Estimator, Box<dyn Error>> {
    let forest = |trees, max_depth, max_features, min_samples_leaf| {
        let defaults = RandomForestParams::default();
        RandomForestParams { trees, max_depth, max_features, min_samples_leaf, ..defaults }
    };
    Ok(match of {
        "forest_20x5" => forest(20, 5, 0.5, 5).into(),
        "forest_100x10" => forest(100, 10, 0.5, 5).into(),
        "forest_all_100x10" => forest(100, 10, 1.0, 5).into(),
        "tree_10" => Algorithm::DecisionTree
            .read(Material::Rows, serde_json::json!({ "max_depth": 10, "min_samples_leaf": 5 }))?,
        "boost_100x31" => GradientBoostingParams { l2: 0.0, ..GradientBoostingParams::default() }.into(),
        other => return Err(format!("no task {other:?}").into()),
    })
}

fn rmse(said: &[f64], values: &[f64]) -> f64 {
    let squares: f64 = said.iter().zip(values).map(|(said, value)| (said - value).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}

fn log_loss(probabilities: &[f64], labels: &[u32], classes: u32) -> f64 {
    let of_rows = probabilities.chunks_exact(classes as usize).zip(labels);
    let loss: f64 = of_rows.map(|(of_row, &label)| -of_row[label as usize].max(f64::EPSILON).ln()).sum();
    loss / labels.len() as f64
}

fn read(dir: &Path) -> Result<FeatureTable, Box<dyn Error>> {
    let count = |prefix: &str, kind: &str| {
        (0..).take_while(|i| dir.join(format!("{prefix}_{i}.{kind}")).exists()).count()
    };
    let (numeric, categorical) = (count("numeric", "f64"), count("category", "f64"));
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}_{i}")).collect::<Vec<_>>();
    let mut table = FeatureTable::new(names("numeric", numeric), names("category", categorical));
    for c in 0..numeric {
        table.push_numeric(c, numbers(&dir.join(format!("numeric_{c}.f64")))?);
    }
    for c in 0..categorical {
        let codes = numbers(&dir.join(format!("category_{c}.f64")))?;
        let text: Vec<String> = codes.iter().map(|code| format!("k{code}")).collect();
        table.push_category(c, text.iter().map(|name| Some(name.as_str())));
    }
    table.finish_append()?;
    Ok(table)
}

/// A column of little-endian numbers.
fn numbers(path: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}
