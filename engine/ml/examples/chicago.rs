//! Accuracy, AUC and fit seconds of the classifiers on the real Chicago rows, on five hold-out splits; then clusters of
//! place and hour on the first.
//!
//! Usage: `TIDEMILL_DATA=DIR cargo run --release -p tidemill-ml --example chicago` (or the path of
//! `crimes_combined.csv.gz` as the argument). Features are those of the chicago-arrests job; no row is dropped; where the
//! date is known to the day only, hour and minute are missing.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;
use tidemill_ml::{
    BinaryMetrics, Cache, DecisionTreeParams, Estimator, FeatureTable, Fitted, KMeans, KMeansParams,
    LogisticRegressionParams, Prediction, RandomForestParams, Rows, SgdClassifierParams, SupervisedParams,
    Target,
};

const NUMERIC: [&str; 10] = [
    "domestic",
    "beat",
    "district",
    "community_area",
    "x_coordinate",
    "y_coordinate",
    "month",
    "day",
    "hour",
    "minute",
];
const PLAIN: [&str; 5] = ["Beat", "District", "Community Area", "X Coordinate", "Y Coordinate"];
const CATEGORICAL: [&str; 4] = ["IUCR", "Location Description", "FBI Code", "Block"];

fn main() -> Result<(), Box<dyn Error>> {
    let path = match std::env::args().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let data = std::env::var("TIDEMILL_DATA")
                .map_err(|_| "set TIDEMILL_DATA, or give the CSV as argument")?;
            PathBuf::from(data).join("chicago_crimes/crimes_combined.csv.gz")
        }
    };
    let (table, labels, places) = read(&path)?;
    println!("{} rows, {} positive", table.rows(), labels.iter().filter(|l| **l).count());
    for algorithm in [
        SupervisedParams::LogisticRegression(LogisticRegressionParams::default()),
        SupervisedParams::SgdClassifier(SgdClassifierParams::default()),
        SupervisedParams::DecisionTree(DecisionTreeParams::default()),
        SupervisedParams::RandomForest(RandomForestParams::default()),
        SupervisedParams::RandomForest(RandomForestParams {
            trees: 100,
            max_depth: 10,
            ..RandomForestParams::default()
        }),
    ] {
        let (mut accuracy, mut auc) = (Vec::new(), Vec::new());
        for split in 0..5 {
            let metrics = run(&algorithm, &table, &labels, split)?;
            accuracy.push(metrics.accuracy);
            auc.extend(metrics.auc);
        }
        println!(
            "{algorithm:?}: accuracy mean {:.4} lowest {:.4}, auc mean {:.4} lowest {:.4}\n",
            mean(&accuracy),
            lowest(&accuracy),
            mean(&auc),
            lowest(&auc)
        );
    }
    clusters(&places)
}

fn clusters(places: &FeatureTable) -> Result<(), Box<dyn Error>> {
    let (test, train): (Vec<u32>, Vec<u32>) = (0..places.rows() as u32).partition(|row| held_out(*row, 0));
    for restarts in [1, 3, 10] {
        let params = KMeansParams { clusters: 11, restarts, ..KMeansParams::default() };
        let started = Instant::now();
        let model = KMeans::fit(&params, places, &train, 42, None)?;
        let fit = started.elapsed();
        let started = Instant::now();
        let warm = KMeans::fit(&params, places, &train, 42, Some(&model))?;
        let refit = started.elapsed();
        println!(
            "k-means, 11 clusters, {restarts} restarts: fit {:.3} s, warm {:.3} s, sizes {:?}, {} left out",
            fit.as_secs_f64(),
            refit.as_secs_f64(),
            warm.sizes(),
            warm.left_out()
        );
        println!("  held out: {:?}", warm.metrics(places, &test, 42)?);
    }
    Ok(())
}

fn run(
    algorithm: &SupervisedParams,
    table: &FeatureTable,
    labels: &[bool],
    split: u64,
) -> Result<BinaryMetrics, Box<dyn Error>> {
    let (test, train): (Vec<u32>, Vec<u32>) = (0..table.rows() as u32).partition(|row| held_out(*row, split));
    let started = Instant::now();
    let estimator = Estimator::from(algorithm.clone());
    let rows = |of| Rows::new(table, Target::Binary(labels), of);
    let model = estimator.fit(&rows(&train), 42)?;
    let fit = started.elapsed();
    let started = Instant::now();
    let scores = probabilities(&model, table, &test)?;
    let predict = started.elapsed();
    // A batch later: the same model, begun at the last one's weights.
    let fewer = &train[..train.len() - train.len() / 15];
    let previous = estimator.fit(&rows(fewer), 42)?;
    let started = Instant::now();
    let warm = estimator.refit(&rows(&train), 42, Some(&previous), &mut Cache::new())?;
    let refit = started.elapsed();
    let truth: Vec<bool> = test.iter().map(|row| labels[*row as usize]).collect();
    let metrics = BinaryMetrics::compute(&truth, &scores)?;
    let after = BinaryMetrics::compute(&truth, &probabilities(&warm, table, &test)?)?;
    println!(
        "{:20} split {split}: accuracy {:.4} auc {:.4} log_loss {:.4} | fit {:.3} s, predict {:.4} s, {} bytes | warm {:.3} s, auc {:.4}",
        algorithm.name(),
        metrics.accuracy,
        metrics.auc.unwrap_or(f64::NAN),
        metrics.log_loss,
        fit.as_secs_f64(),
        predict.as_secs_f64(),
        model.to_bytes()?.len(),
        refit.as_secs_f64(),
        after.auc.unwrap_or(f64::NAN),
    );
    Ok(metrics)
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

fn lowest(of: &[f64]) -> f64 {
    of.iter().copied().fold(f64::INFINITY, f64::min)
}

/// 30 % of the rows by a hash of position and split.
fn held_out(row: u32, split: u64) -> bool {
    let mut x = (u64::from(row) << 8 | split).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) % 10 < 3
}

/// All features, the labels, and place and hour by themselves.
fn read(path: &PathBuf) -> Result<(FeatureTable, Vec<bool>, FeatureTable), Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let headers = reader.headers()?.clone();
    let at = |name: &str| headers.iter().position(|h| h == name).ok_or(format!("no column {name:?}"));
    let (date, arrest, domestic, precision) =
        (at("Date")?, at("Arrest")?, at("Domestic")?, at("Date Precision")?);
    let plain = PLAIN.map(at).into_iter().collect::<Result<Vec<_>, _>>()?;
    let text = CATEGORICAL.map(at).into_iter().collect::<Result<Vec<_>, _>>()?;
    let names = ["iucr", "location_description", "fbi_code", "block"];
    let mut table = FeatureTable::new(NUMERIC.map(String::from).to_vec(), names.map(String::from).to_vec());
    let mut places = FeatureTable::new(vec!["x".into(), "y".into(), "hour".into()], Vec::new());
    let mut labels = Vec::new();
    for record in reader.records() {
        let record = record?;
        labels.push(&record[arrest] == "true");
        let number = |text: &str| text.trim().parse().unwrap_or(f64::NAN);
        table.push_numeric(0, [f64::from(u8::from(&record[domestic] == "true"))]);
        for (i, column) in plain.iter().enumerate() {
            table.push_numeric(1 + i, [number(&record[*column])]);
        }
        // 08/22/2001 05:15:00 PM
        let when = &record[date];
        let part = |range| when.get(range).map_or(f64::NAN, number);
        let hour = part(11..13) % 12.0 + if when.ends_with("PM") { 12.0 } else { 0.0 };
        let by_day = &record[precision] == "day";
        table.push_numeric(6, [part(0..2)]);
        table.push_numeric(7, [part(3..5)]);
        let hour = if by_day { f64::NAN } else { hour };
        table.push_numeric(8, [hour]);
        places.push_numeric(0, [number(&record[plain[3]])]);
        places.push_numeric(1, [number(&record[plain[4]])]);
        places.push_numeric(2, [hour]);
        table.push_numeric(9, [if by_day { f64::NAN } else { part(14..16) }]);
        for (i, column) in text.iter().enumerate() {
            table.push_category(i, [Some(&record[*column]).filter(|text| !text.is_empty())]);
        }
    }
    table.finish_append()?;
    places.finish_append()?;
    Ok((table, labels, places))
}

/// Of the label, for each of these rows.
fn probabilities(model: &Fitted, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Box<dyn Error>> {
    match model.predict(table, rows)? {
        Prediction::Probabilities(values) => Ok(values),
        other => Err(format!("{other:?}").into()),
    }
}
