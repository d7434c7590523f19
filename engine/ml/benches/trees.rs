//! Fits and scores of the trees on generated rows: `cargo bench -p tidemill-ml --bench trees`.
//!
//! For numbers beside scikit-learn's and LightGBM's on the same rows, see `tests/peers/ml/trees.py`.

use divan::{Bencher, black_box};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    Algorithm, Classifier, DecisionTreeParams, FeatureTable, GradientBoostingParams, KeptBins,
    RandomForestParams, TrainingRows,
};

const ROWS: [usize; 2] = [10_000, 100_000];

fn main() {
    divan::main();
}

/// Ten numbers and four categories, of 12, 60, 400 and 20,000; a label of two of each.
fn rows(count: usize) -> (FeatureTable, Vec<bool>, Vec<u32>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let names = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect();
    let mut table = FeatureTable::new(names("x", 10), names("c", 4));
    let mut score = vec![-1.5; count];
    for column in 0..10 {
        let values: Vec<f64> = (0..count).map(|_| random.gen_range(-1.0..1.0)).collect();
        let effect = if column < 2 { 2.0 } else { 0.0 };
        score.iter_mut().zip(&values).for_each(|(score, value)| *score += effect * value);
        table.push_numeric(column, values);
    }
    for (column, kinds) in [12u32, 60, 400, 20_000].into_iter().enumerate() {
        let codes: Vec<u32> = (0..count).map(|_| random.gen_range(0..kinds)).collect();
        if column < 2 {
            score.iter_mut().zip(&codes).for_each(|(score, code)| *score += f64::from(code * 37 % 5) - 2.0);
        }
        let text: Vec<String> = (0..kinds).map(|kind| kind.to_string()).collect();
        table.push_category(column, codes.iter().map(|&code| Some(text[code as usize].as_str())));
    }
    assert!(table.finish_append().is_ok(), "columns of one length");
    let labels = score.iter().map(|score| random.gen_bool(1.0 / (1.0 + f64::exp(-score)))).collect();
    (table, labels, (0..count as u32).collect())
}

fn forest() -> Algorithm {
    Algorithm::RandomForest(RandomForestParams::default())
}

fn fit(bencher: Bencher<'_, '_>, algorithm: &Algorithm, count: usize) {
    let (table, labels, rows) = rows(count);
    bencher.bench(|| Classifier::fit(algorithm, &table, &labels, &rows, 1, None).is_ok());
}

#[divan::bench(args = ROWS, sample_count = 10)]
fn forest_20x5(bencher: Bencher<'_, '_>, count: usize) {
    fit(bencher, &forest(), count);
}

#[divan::bench(args = ROWS, sample_count = 10)]
fn tree_10(bencher: Bencher<'_, '_>, count: usize) {
    let params = DecisionTreeParams { max_depth: 10, ..DecisionTreeParams::default() };
    fit(bencher, &Algorithm::DecisionTree(params), count);
}

#[divan::bench(args = ROWS, sample_count = 5)]
fn boost_100x31(bencher: Bencher<'_, '_>, count: usize) {
    fit(bencher, &Algorithm::GradientBoosting(GradientBoostingParams::default()), count);
}

/// The forest's fit with bins that were kept.
#[divan::bench(args = ROWS, sample_count = 10)]
fn forest_20x5_kept_bins(bencher: Bencher<'_, '_>, count: usize) {
    let (table, labels, rows) = rows(count);
    let mut kept = KeptBins::new();
    assert!(kept.extend(&table, &rows).is_ok(), "rows of the table");
    let training = TrainingRows { bins: Some(&kept), ..TrainingRows::new(&table, &labels, &rows) };
    bencher.bench(|| Classifier::fit_rows(&forest(), &training, 1, None).is_ok());
}

#[divan::bench(args = ROWS, sample_count = 10)]
fn predict_20x5(bencher: Bencher<'_, '_>, count: usize) {
    let (table, labels, rows) = rows(count);
    if let Ok(model) = Classifier::fit(&forest(), &table, &labels, &rows, 1, None) {
        bencher.bench(|| black_box(model.predict_proba(&table, &rows)).is_ok());
    }
}
