//! Fits and scores of the trees on generated rows of fourteen features, four of them categories, at the sizes that `cases`
//! says: `cargo bench -p tidemill-ml --bench trees`.
//!
//! For numbers beside scikit-learn's and LightGBM's on the same rows, see `tests/peers/ml/trees.py`.

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used)]

mod cases;

use cases::{CASES, Case};
use divan::{Bencher, black_box};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::OnceLock;
use tidemill_ml::{
    Cache, DecisionTreeParams, Estimator, FeatureTable, GradientBoostingParams, RandomForestParams, Rows,
    Target,
};

fn main() {
    cases::main();
}

type Drawn = (FeatureTable, Vec<bool>, Vec<u32>);

fn rows(case: Case) -> &'static Drawn {
    static MADE: [OnceLock<Drawn>; 3] = [const { OnceLock::new() }; 3];
    case.of(&MADE, make)
}

/// Ten numbers and four categories, of 12, 60, 400 and 20,000; a label of two of each.
fn make(count: usize) -> Drawn {
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
    table.finish_append().unwrap();
    let labels = score.iter().map(|score| random.gen_bool(1.0 / (1.0 + f64::exp(-score)))).collect();
    (table, labels, (0..count as u32).collect())
}

fn forest() -> Estimator {
    RandomForestParams::default().into()
}

fn fit(bencher: Bencher<'_, '_>, estimator: impl Into<Estimator>, case: Case) {
    let estimator = estimator.into();
    let ((table, labels, rows), pool) = (rows(case), case.pool());
    let rows = Rows::new(table, Target::Binary(labels), rows);
    bencher.bench(|| pool.install(|| estimator.fit(&rows, 1).unwrap()));
}

#[divan::bench(args = CASES, sample_count = 10)]
fn forest_20x5(bencher: Bencher<'_, '_>, case: Case) {
    fit(bencher, forest(), case);
}

#[divan::bench(args = CASES, sample_count = 10)]
fn forest_100x10(bencher: Bencher<'_, '_>, case: Case) {
    let params = RandomForestParams { trees: 100, max_depth: 10, ..RandomForestParams::default() };
    fit(bencher, params, case);
}

#[divan::bench(args = CASES, sample_count = 10)]
fn tree_10(bencher: Bencher<'_, '_>, case: Case) {
    let params = DecisionTreeParams { max_depth: 10, ..DecisionTreeParams::default() };
    fit(bencher, params, case);
}

#[divan::bench(args = CASES, sample_count = 5)]
fn boost_100x31(bencher: Bencher<'_, '_>, case: Case) {
    fit(bencher, GradientBoostingParams::default(), case);
}

/// The forest's fit with bins that were kept.
#[divan::bench(args = CASES, sample_count = 10)]
fn forest_20x5_kept_bins(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, labels, rows), pool) = (rows(case), case.pool());
    let mut kept = Cache::new();
    kept.extend(table, rows).unwrap();
    let rows = Rows::new(table, Target::Binary(labels), rows);
    bencher.bench(|| {
        // Its bins, and no counts of a fit before.
        let mut cache = Cache::new();
        cache.share_rows(&kept);
        pool.install(|| forest().refit(&rows, 1, None, &mut cache).unwrap())
    });
}

#[divan::bench(args = CASES, sample_count = 10)]
fn predict_20x5(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, labels, rows), pool) = (rows(case), case.pool());
    let model = forest().fit(&Rows::new(table, Target::Binary(labels), rows), 1).unwrap();
    bencher.bench(|| pool.install(|| black_box(model.predict(table, rows)).unwrap()));
}
