//! Models of every kind as files of ONNX, with what the engine itself says of 10,000 rows: for `tests/peers/ml/onnx.py`,
//! which asks onnxruntime the same.
//!
//! Usage: `cargo run --release -p tidemill-ml --example onnx -- FOLDER`. Columns are those of places in feet: coordinates
//! of 1.9 million, missing and infinite values, and text columns of few and of thousands of categories, some of which are
//! in no row that is learned from.

use serde_json::json;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use tidemill_ml::onnx::Export;
use tidemill_ml::preprocess::{
    ImputeStrategy, ImputerParams, IqrOutliersParams, MinMaxScalerParams, OneHotEncoderParams, PcaParams,
    RobustScalerParams, StandardScalerParams, TargetEncoderParams,
};
use tidemill_ml::{
    Categories, ClusterStreamParams, DecisionTreeParams, Estimator, FeatureTable, GradientBoostingParams,
    IsolationForestParams, KMeansParams, LinearCategories, LinearRegressionParams, LogisticRegressionParams,
    Pipeline, PipelineStep, Prediction, RandomForestParams, Rows, SgdClassifierParams, Target, Transform,
};

const LEARNED: usize = 20_000;
const SCORED: usize = 10_000;
const NUMERIC: [&str; 5] = ["x", "y", "hour", "domestic", "rate"];
const TEXTS: [&str; 2] = ["kind", "block"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a folder")?);
    fs::create_dir_all(&folder)?;
    let data = Data::new()?;
    data.write(&folder)?;
    let number = Target::Numbers(&data.numbers);
    let binary = Target::Binary(&data.labels);
    let many = Target::Classes { labels: &data.classes, classes: 4 };

    let logistic = LogisticRegressionParams::default();
    let one_hot = LogisticRegressionParams { categories: LinearCategories::OneHot, ..logistic.clone() };
    let encoded = Categories::TargetEncoded;
    let tree = DecisionTreeParams { max_depth: 7, ..DecisionTreeParams::default() };
    let forest = RandomForestParams { trees: 30, max_depth: 9, ..RandomForestParams::default() };
    let boosting = GradientBoostingParams::default();
    let encoded_tree = DecisionTreeParams { categories: encoded, ..tree.clone() };
    let encoded_boosting = GradientBoostingParams { categories: encoded, ..boosting.clone() };

    let all = &data.table;
    let fits: [(&str, Estimator, Target<'_>); 18] = [
        ("logistic", logistic.clone().into(), binary),
        ("logistic_one_hot", one_hot.into(), binary),
        ("tree", tree.clone().into(), binary),
        ("tree_encoded", encoded_tree.into(), binary),
        ("forest", forest.clone().into(), binary),
        ("boosting", boosting.clone().into(), binary),
        ("boosting_encoded", encoded_boosting.into(), binary),
        ("softmax", logistic.into(), many),
        ("tree_classes", tree.clone().into(), many),
        ("forest_classes", forest.clone().into(), many),
        ("boosting_classes", GradientBoostingParams { trees: 20, ..boosting.clone() }.into(), many),
        ("linear", LinearRegressionParams::default().into(), number),
        ("tree_numbers", tree.into(), number),
        ("forest_numbers", forest.into(), number),
        ("boosting_numbers", boosting.into(), number),
        ("pipeline_sgd", after(first_steps(), SgdClassifierParams::default()), binary),
        ("pipeline_linear", after(second_steps(), LinearRegressionParams::default()), number),
        ("pipeline_forest", after(third_steps(), RandomForestParams::default()), binary),
    ];
    for (name, estimator, target) in fits {
        data.fit(&folder, name, all, estimator, target)?;
    }
    let places = &data.places;
    let clusters = KMeansParams { clusters: 7, ..KMeansParams::default() };
    data.fit(&folder, "kmeans", places, clusters.clone().into(), Target::None)?;
    data.fit(&folder, "cluster_stream", places, ClusterStreamParams::default().into(), Target::None)?;
    let steps: [PipelineStep; 2] = [
        Transform::Impute(ImputerParams { strategy: ImputeStrategy::Median, ..ImputerParams::default() })
            .into(),
        Transform::Robust(RobustScalerParams::default()).into(),
    ];
    data.fit(&folder, "pipeline_kmeans", places, Pipeline::new(steps, clusters).into(), Target::None)?;

    // Probabilities near 0 and 1.
    let apart: Vec<bool> = data.numeric[0].iter().map(|x| *x > 1.15e6).collect();
    let logistic = LogisticRegressionParams { alpha: 1e-4, ..LogisticRegressionParams::default() };
    data.fit(&folder, "logistic_apart", places, logistic.into(), Target::Binary(&apart))?;

    let isolation = IsolationForestParams { contamination: Some(0.05), ..IsolationForestParams::default() };
    data.fit(&folder, "isolation_forest", places, isolation.into(), Target::None)
}

fn after(steps: Vec<PipelineStep>, estimator: impl Into<Estimator>) -> Estimator {
    Pipeline::new(steps, estimator).into()
}

/// Outliers held, values scaled, categories as columns.
fn first_steps() -> Vec<PipelineStep> {
    vec![
        Transform::Outliers(IqrOutliersParams::default()).of(&["rate", "x"]),
        Transform::Standard(StandardScalerParams::default()).of(&["x", "y"]),
        Transform::MinMax(MinMaxScalerParams { clip: true, ..MinMaxScalerParams::default() }).of(&["rate"]),
        Transform::OneHot(OneHotEncoderParams { max_categories: 60, ..OneHotEncoderParams::default() })
            .into(),
    ]
}

/// Values put where one is missing, and components in place of all.
fn second_steps() -> Vec<PipelineStep> {
    vec![
        Transform::Impute(ImputerParams::default()).into(),
        Transform::MinMax(MinMaxScalerParams { min: -2.0, max: 3.0, clip: false }).of(&["hour"]),
        Transform::Robust(RobustScalerParams::default()).of(&["x", "y", "rate"]),
        Transform::Pca(PcaParams { components: 3.into(), whiten: true, ..PcaParams::default() }).into(),
    ]
}

/// Shares of positives in place of categories, and rows of length 1.
fn third_steps() -> Vec<PipelineStep> {
    vec![
        Transform::Target(TargetEncoderParams::default()).into(),
        Transform::Standard(StandardScalerParams::default()).of(&["x", "y", "rate"]),
        Transform::L2.of(&["x", "y"]),
    ]
}

fn learned() -> Vec<u32> {
    (0..LEARNED as u32).collect()
}

fn scored() -> Vec<u32> {
    (LEARNED as u32..(LEARNED + SCORED) as u32).collect()
}

struct Data {
    /// By column, as they are given.
    numeric: Vec<Vec<f64>>,
    texts: Vec<Vec<Option<String>>>,
    table: FeatureTable,
    /// The numeric columns alone.
    places: FeatureTable,
    labels: Vec<bool>,
    classes: Vec<u32>,
    numbers: Vec<f64>,
}

/// A number from 0 to 1 that depends on both (splitmix64).
fn noise(row: usize, stream: u64) -> f64 {
    let mut z = (row as u64).wrapping_add(stream << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

impl Data {
    fn new() -> Result<Data, Box<dyn Error>> {
        let rows = 0..LEARNED + SCORED;
        let value = |row: usize, column: usize| {
            let of = |stream| noise(row, stream);
            match (of(20 + column as u64), column) {
                (missing, _) if missing < 0.06 => f64::NAN,
                (missing, _) if missing < 0.062 => f64::INFINITY,
                (_, 0) => 1_100_000.0 + (of(0) * 1e8).round() / 1e3,
                (_, 1) => 1_810_000.0 + (of(1) * 1.4e8).round() / 1e3,
                (_, 2) => (of(2) * 24.0).floor(),
                (_, 3) => f64::from(u8::from(of(3) < 0.2)),
                _ => (of(4) + 1e-9).powi(-2) * 1e-3,
            }
        };
        let text = |row: usize, column: usize| {
            let (of, scored) = (noise(row, 30 + column as u64), row >= LEARNED);
            match (noise(row, 40 + column as u64), column) {
                (share, _) if share < 0.05 => None,
                (share, _) if share < 0.1 && scored => Some(format!("new {}", (of * 50.0) as u32)),
                (_, 0) => Some(format!("kind {}", (of * of * 12.0) as u32)),
                _ => Some(format!("{:03}XX Ö ST", (of * of * 2_000.0) as u32)),
            }
        };
        let numeric: Vec<Vec<f64>> =
            (0..NUMERIC.len()).map(|c| rows.clone().map(|row| value(row, c)).collect()).collect();
        let texts: Vec<Vec<Option<String>>> =
            (0..TEXTS.len()).map(|c| rows.clone().map(|row| text(row, c)).collect()).collect();
        let mut table =
            FeatureTable::new(NUMERIC.map(String::from).to_vec(), TEXTS.map(String::from).to_vec());
        let mut places = FeatureTable::new(NUMERIC.map(String::from).to_vec(), vec![]);
        for (c, values) in numeric.iter().enumerate() {
            table.push_numeric(c, values.iter().copied());
            places.push_numeric(c, values.iter().copied());
        }
        for (c, values) in texts.iter().enumerate() {
            table.push_category(c, values.iter().map(Option::as_deref));
        }
        table.finish_append()?;
        places.finish_append()?;
        let known = |value: f64, else_: f64| if value.is_finite() { value } else { else_ };
        let signal = |row: usize| {
            let x = (known(numeric[0][row], 1.15e6) - 1.15e6) / 5e4;
            let y = (known(numeric[1][row], 1.88e6) - 1.88e6) / 7e4;
            let kind = texts[0][row].as_ref().map_or(0.5, |kind| (kind.len() * 7 % 5) as f64 / 5.0);
            let block =
                texts[1][row].as_ref().map_or(0, |block| block.bytes().map(u32::from).sum::<u32>() % 7);
            x - 0.7 * y * x + kind + f64::from(block) * 0.3 + (known(numeric[2][row], 12.0) / 24.0).sin()
        };
        let signals: Vec<f64> = rows.map(|row| signal(row) + noise(row, 50)).collect();
        Ok(Data {
            labels: signals.iter().map(|s| *s > 2.2).collect(),
            classes: signals.iter().map(|s| (s.clamp(0.0, 3.9)) as u32).collect(),
            numbers: signals.iter().map(|s| 300.0 + 40.0 * s).collect(),
            numeric,
            texts,
            table,
            places,
        })
    }

    /// The rows that are scored: numbers as doubles, column after column, and texts as JSON.
    fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let numbers = self.numeric.iter().flat_map(|column| &column[LEARNED..]);
        fs::write(folder.join("numeric.f64"), bytes(numbers.copied()))?;
        let texts: Vec<&[Option<String>]> = self.texts.iter().map(|column| &column[LEARNED..]).collect();
        let rows = json!({ "rows": SCORED, "numeric": NUMERIC, "texts": TEXTS, "values": texts });
        Ok(fs::write(folder.join("rows.json"), rows.to_string())?)
    }

    fn fit(
        &self,
        folder: &Path,
        name: &str,
        table: &FeatureTable,
        estimator: Estimator,
        target: Target<'_>,
    ) -> Result<(), Box<dyn Error>> {
        let fitted = estimator.fit(&Rows::new(table, target, &learned()), 42)?;
        let said: Vec<f64> = match fitted.predict(table, &scored())? {
            Prediction::Probabilities(of) | Prediction::Numbers(of) => of,
            Prediction::Classes { probabilities, .. } => probabilities,
            Prediction::Clusters(of) => of.into_iter().map(|of| of.map_or(-1.0, f64::from)).collect(),
            Prediction::Outliers { scores, threshold } => {
                let label = |score: f64| if score > threshold { -1.0 } else { 1.0 };
                scores.into_iter().flat_map(|score| [label(score), score]).collect()
            }
            _ => return Err("a prediction of another kind".into()),
        };
        let named = TEXTS.iter().zip(&self.texts);
        let categories = named.map(|(name, texts)| {
            ((*name).to_owned(), texts[..LEARNED].iter().flatten().cloned().collect::<Vec<_>>())
        });
        let export = Export { name: name.to_owned(), categories: categories.collect(), ..Export::default() };
        put(folder, name, &export.file(&fitted)?, &said)
    }
}

/// A model, and what the engine says of the rows.
fn put(folder: &Path, name: &str, model: &[u8], said: &[f64]) -> Result<(), Box<dyn Error>> {
    println!("{name}: {} bytes", model.len());
    fs::write(folder.join(format!("{name}.onnx")), model)?;
    Ok(fs::write(folder.join(format!("{name}.said")), bytes(said.iter().copied()))?)
}

fn bytes(values: impl Iterator<Item = f64>) -> Vec<u8> {
    values.flat_map(f64::to_le_bytes).collect()
}
