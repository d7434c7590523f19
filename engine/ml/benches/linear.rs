//! Linear models on rows of ten numbers and four categories: cold fits, refits, scores, preprocessing.
//!
//! `cargo bench -p tidemill-ml --bench linear`, at the sizes that `cases` says; set beside scikit-learn and linfa by
//! `tests/peers/ml/linear.py`.

// This is a program of measurement: what cannot be is said by a panic.
#![allow(clippy::unwrap_used)]

mod cases;

use cases::{CASES, Case};
use divan::{Bencher, black_box};
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::OnceLock;
use tidemill_ml::preprocess::{
    ImputeStrategy, Imputer, ImputerParams, IqrOutliers, IqrOutliersParams, MinMaxScaler, MinMaxScalerParams,
    Normalizer, OneHotEncoder, OneHotEncoderParams, Pca, PcaBackend, PcaParams, StandardScaler,
    StandardScalerParams, StringIndexer, StringIndexerParams, TargetEncoder, TargetEncoderParams,
};
use tidemill_ml::{
    Cache, Estimator, FeatureTable, LinearCategories, LogisticBackend, LogisticRegressionParams, Rows,
    SgdClassifierParams, Target,
};

fn main() {
    cases::main();
}

type Drawn = (FeatureTable, Vec<bool>, Vec<u32>);

fn rows(case: Case) -> &'static Drawn {
    static MADE: [OnceLock<Drawn>; 3] = [const { OnceLock::new() }; 3];
    case.of(&MADE, table)
}

/// Numbers, of which one is missing at times, and categories of 12 to 20,000 names.
fn table(rows: usize) -> Drawn {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let names = |prefix: &str, count: usize| (0..count).map(|c| format!("{prefix}{c}")).collect();
    let mut table = FeatureTable::new(names("x", 10), names("c", 4));
    let mut scores = vec![-1.0; rows];
    for c in 0..10 {
        let values: Vec<f64> = (0..rows).map(|_| random.gen_range(-1.7..1.7)).collect();
        scores.iter_mut().zip(&values).for_each(|(score, v)| *score += v / (c + 1) as f64);
        table.push_numeric(c, values.iter().map(|v| if c == 4 && *v > 1.5 { f64::NAN } else { *v }));
    }
    for (c, count) in [12, 60, 400, 20_000].into_iter().enumerate() {
        let codes: Vec<u32> = (0..rows).map(|_| random.gen_range(0..count)).collect();
        scores.iter_mut().zip(&codes).for_each(|(score, code)| *score += f64::from(code % 7) / 7.0 - 0.5);
        let text: Vec<String> = codes.iter().map(|code| format!("k{code}")).collect();
        table.push_category(c, text.iter().map(|t| Some(t.as_str())));
    }
    table.finish_append().unwrap();
    let labels = scores.iter().map(|score| random.gen_bool(1.0 / (1.0 + (-score).exp()))).collect();
    (table, labels, (0..rows as u32).collect())
}

fn cold(bencher: Bencher<'_, '_>, estimator: impl Into<Estimator>, case: Case) {
    let estimator = estimator.into();
    let ((table, labels, all), pool) = (rows(case), case.pool());
    bencher.bench(|| {
        pool.install(|| estimator.fit(&Rows::new(black_box(table), Target::Binary(labels), all), 42).unwrap())
    });
}

#[divan::bench(args = CASES)]
fn logistic(bencher: Bencher<'_, '_>, case: Case) {
    cold(bencher, LogisticRegressionParams::default(), case);
}

#[divan::bench(args = CASES)]
fn logistic_linfa(bencher: Bencher<'_, '_>, case: Case) {
    let params = LogisticRegressionParams { backend: LogisticBackend::Linfa, ..Default::default() };
    cold(bencher, params, case);
}

#[divan::bench(args = CASES)]
fn logistic_one_hot(bencher: Bencher<'_, '_>, case: Case) {
    let params = LogisticRegressionParams { categories: LinearCategories::OneHot, ..Default::default() };
    cold(bencher, params, case);
}

/// After 1 % more rows.
#[divan::bench(args = CASES)]
fn logistic_refit(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, labels, all), pool) = (rows(case), case.pool());
    let estimator = Estimator::from(LogisticRegressionParams::default());
    let rows = |of| Rows::new(black_box(table), Target::Binary(labels), of);
    let first = &all[..all.len() - all.len() / 101];
    let before = estimator.fit(&rows(first), 42).unwrap();
    bencher.bench(|| {
        pool.install(|| estimator.refit(&rows(all), 42, Some(&before), &mut Cache::new()).unwrap())
    });
}

#[divan::bench(args = CASES)]
fn logistic_scores(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, labels, all), pool) = (rows(case), case.pool());
    let estimator = Estimator::from(LogisticRegressionParams::default());
    let model = estimator.fit(&Rows::new(table, Target::Binary(labels), all), 42).unwrap();
    bencher.bench(|| pool.install(|| model.predict(black_box(table), all).unwrap()));
}

/// One pass, as new rows.
#[divan::bench(args = CASES)]
fn sgd_partial_fit(bencher: Bencher<'_, '_>, case: Case) {
    let ((table, labels, all), pool) = (rows(case), case.pool());
    let rows = Rows::new(black_box(table), Target::Binary(labels), all);
    let model = Estimator::from(SgdClassifierParams::default()).fit(&rows, 42).unwrap();
    bencher.bench(|| pool.install(|| model.partial_fit(&rows, 42).unwrap()));
}

fn matrix(case: Case) -> &'static Array2<f64> {
    static MADE: [OnceLock<Array2<f64>>; 3] = [const { OnceLock::new() }; 3];
    case.of(&MADE, |rows| {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        Array2::from_shape_fn((rows, 14), |_| random.gen_range(-1.0..1.0))
    })
}

#[divan::bench(args = CASES)]
fn standard_scaler(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let params = StandardScalerParams::default();
    bencher.bench(|| pool.install(|| StandardScaler::fit(params, black_box(x.view())).unwrap()));
}

#[divan::bench(args = CASES)]
fn standard_scores(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let scaler = StandardScaler::fit(StandardScalerParams::default(), x.view()).unwrap();
    bencher.bench(|| pool.install(|| scaler.transform(black_box(x.view())).unwrap()));
}

#[divan::bench(args = CASES)]
fn min_max_scaler(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let params = MinMaxScalerParams::default();
    bencher.bench(|| pool.install(|| MinMaxScaler::fit(params, black_box(x.view())).unwrap()));
}

#[divan::bench(args = CASES)]
fn normalizer(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    bencher.bench(|| pool.install(|| Normalizer::default().transform(black_box(x.view()))));
}

#[divan::bench(args = CASES)]
fn medians(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let params = ImputerParams { strategy: ImputeStrategy::Median, value: 0.0 };
    bencher.bench(|| pool.install(|| Imputer::fit(params, black_box(x.view())).unwrap()));
}

#[divan::bench(args = CASES)]
fn outliers(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    bencher.bench(|| {
        pool.install(|| IqrOutliers::fit(IqrOutliersParams::default(), black_box(x.view())).unwrap())
    });
}

/// Texts of 400 categories.
fn texts(case: Case) -> Vec<Option<&'static str>> {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| (0..400).map(|i| format!("k{i}")).collect());
    let (_, _, all) = rows(case);
    all.iter().map(|row| Some(names[*row as usize * 7_919 % 400].as_str())).collect()
}

#[divan::bench(args = CASES)]
fn string_index(bencher: Bencher<'_, '_>, case: Case) {
    let (values, pool) = (texts(case), case.pool());
    let params = StringIndexerParams::default();
    bencher.bench(|| pool.install(|| StringIndexer::fit(params, black_box(&values)).unwrap()));
}

#[divan::bench(args = CASES)]
fn one_hot(bencher: Bencher<'_, '_>, case: Case) {
    let (values, pool) = (texts(case), case.pool());
    let params = OneHotEncoderParams { max_categories: 60, error_on_unseen: false };
    let encoder = OneHotEncoder::fit(params, &values).unwrap();
    bencher.bench(|| pool.install(|| encoder.transform(black_box(&values)).unwrap()));
}

#[divan::bench(args = CASES)]
fn target(bencher: Bencher<'_, '_>, case: Case) {
    let (values, pool) = (texts(case), case.pool());
    let ((_, labels, _), params) = (rows(case), TargetEncoderParams::default());
    bencher.bench(|| {
        pool.install(|| TargetEncoder::fit_transform(params, black_box(&values), labels, 1).unwrap())
    });
}

#[divan::bench(args = CASES)]
fn pca(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    bencher.bench(|| pool.install(|| Pca::fit(PcaParams::default(), black_box(x.view())).unwrap()));
}

/// The same by linfa-reduction.
#[divan::bench(args = CASES)]
fn pca_linfa(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let params = PcaParams { backend: PcaBackend::Linfa, ..PcaParams::default() };
    bencher.bench(|| pool.install(|| Pca::fit(params, black_box(x.view())).unwrap()));
}

#[divan::bench(args = CASES)]
fn pca_scores(bencher: Bencher<'_, '_>, case: Case) {
    let (x, pool) = (matrix(case), case.pool());
    let model = Pca::fit(PcaParams::default(), x.view()).unwrap();
    bencher.bench(|| pool.install(|| model.transform(black_box(x.view())).unwrap()));
}
