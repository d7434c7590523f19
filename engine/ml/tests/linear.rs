//! Linear models from outside: the weights of scikit-learn, every solver's edge cases, and what is kept between fits.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use tidemill_ml::{
    BinaryMetrics, Classifier, Coefficients, Error, FeatureTable, LinearCategories, LogisticBackend,
    LogisticRegressionParams, RandomForestParams, SupervisedParams,
};

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

/// A table with numeric columns only.
fn numeric_table(columns: &[Vec<f64>]) -> FeatureTable {
    let mut table = FeatureTable::new(names("x", columns.len()), vec![]);
    columns.iter().enumerate().for_each(|(c, values)| table.push_numeric(c, values.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

fn fit(params: &LogisticRegressionParams, table: &FeatureTable, labels: &[bool]) -> Classifier {
    let algorithm = SupervisedParams::LogisticRegression(params.clone());
    binary::fit(&algorithm, table, labels, &all(table), 7, None).unwrap()
}

fn weights(model: &Classifier) -> Coefficients {
    model.coefficients().unwrap()
}

fn furthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[derive(Deserialize)]
struct Golden {
    columns: Vec<Vec<f64>>,
    kinds: Vec<String>,
    categories: Vec<String>,
    wide: Vec<Vec<f64>>,
    labels: Vec<bool>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    data: String,
    alpha: f64,
    l1_ratio: f64,
    weights: Vec<f64>,
    intercept: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/linear.json")).unwrap()
}

#[test]
fn weights_are_those_of_scikit_learn_at_the_same_penalty() {
    let golden = golden();
    for Case { data, alpha, l1_ratio, weights: expected, intercept } in &golden.cases {
        let columns = if data == "wide" { &golden.wide } else { &golden.columns };
        let with_kinds = if data == "one_hot" { vec!["kind".to_owned()] } else { vec![] };
        let mut table = FeatureTable::new(names("x", columns.len()), with_kinds);
        columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
        if data == "one_hot" {
            table.push_category(0, golden.kinds.iter().map(|kind| Some(kind.as_str())));
        }
        table.finish_append().unwrap();
        let params = LogisticRegressionParams {
            alpha: *alpha,
            l1_ratio: *l1_ratio,
            max_iterations: 1_000,
            gradient_tolerance: 1e-9,
            standardise: data != "raw" && data != "wide",
            categories: LinearCategories::OneHot,
            ..Default::default()
        };
        let found = weights(&fit(&params, &table, &golden.labels));
        let mut ours: Vec<f64> = Vec::new();
        for (c, column) in found.columns.iter().enumerate() {
            let numeric = c < columns.len();
            match golden.categories.iter().any(|kind| column.column == format!("kind = {kind}")) {
                true => ours.push(column.weight),
                // Scikit-learn's case stops at the scores; its raw case has the weights in the columns' units.
                false if numeric => {
                    ours.push(if params.standardise { column.standardised } else { column.weight })
                }
                false => assert_eq!(column.weight, 0.0, "{}: no training row has it", column.column),
            }
        }
        let scale = expected.iter().fold(1.0f64, |largest, w| largest.max(w.abs()));
        let apart = furthest(&ours, expected) / scale;
        assert!(apart < 2e-6, "{data}, alpha {alpha}, l1_ratio {l1_ratio}: {apart}\n{ours:?}\n{expected:?}");
        if data == "raw" || data == "wide" {
            assert!((found.intercept - intercept).abs() < 1e-4 * (1.0 + intercept.abs()), "{data}");
        }
        let zeros = |weights: &[f64]| weights.iter().filter(|w| w.abs() < 1e-9).count();
        assert_eq!(
            ours.iter().filter(|w| **w == 0.0).count(),
            zeros(expected),
            "{data}, alpha {alpha}: zeros"
        );
    }
}

/// Rows with a number that matters, one with missing values, a category of 30 and one of many.
fn generated(rows: usize, seed: u64) -> (FeatureTable, Vec<bool>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut table = FeatureTable::new(names("x", 3), names("c", 2));
    let mut labels = Vec::new();
    for _ in 0..rows {
        let k = random.gen_range(0..30usize);
        let x: f64 = random.gen_range(-2.0..2.0);
        let p = 1.0 / (1.0 + (-(((k * 7) % 30) as f64 / 8.0 - 2.5 + x)).exp());
        table.push_numeric(0, [x]);
        table.push_numeric(1, [if random.gen_bool(0.2) { f64::NAN } else { random.gen_range(0.0..1e6) }]);
        table.push_numeric(2, [random.gen_range(0..5).into()]);
        table.push_category(0, [Some(format!("kind {k}").as_str())]);
        table.push_category(1, [Some(format!("place {}", random.gen_range(0..rows / 3)).as_str())]);
        labels.push(random.gen_bool(p));
    }
    table.finish_append().unwrap();
    (table, labels)
}

fn variants() -> [LogisticRegressionParams; 5] {
    let default = LogisticRegressionParams::default;
    [
        default(),
        LogisticRegressionParams { l1_ratio: 0.5, ..default() },
        LogisticRegressionParams { standardise: false, ..default() },
        LogisticRegressionParams { categories: LinearCategories::OneHot, max_categories: 50, ..default() },
        LogisticRegressionParams { categories: LinearCategories::OneHot, l1_ratio: 1.0, ..default() },
    ]
}

#[test]
fn the_engine_and_linfa_find_the_same_minimum() {
    let (table, labels) = generated(3_000, 1);
    let params =
        LogisticRegressionParams { gradient_tolerance: 1e-8, max_iterations: 500, ..Default::default() };
    let ours = weights(&fit(&params, &table, &labels));
    let linfa = weights(&fit(
        &LogisticRegressionParams { backend: LogisticBackend::Linfa, ..params },
        &table,
        &labels,
    ));
    let values = |of: &Coefficients| of.columns.iter().map(|c| c.standardised).collect::<Vec<_>>();
    assert!(furthest(&values(&ours), &values(&linfa)) < 1e-5, "{ours:?}\n{linfa:?}");
    let names: Vec<&str> = ours.columns.iter().map(|c| c.column.as_str()).collect();
    assert_eq!(names, ["x0", "x1", "x1 is missing", "x2", "c0 (log-odds)", "c1 (log-odds)"]);
}

#[test]
fn many_rows_and_few_reach_the_gradient_that_was_asked_for() {
    // Enough rows that a fit begins on a sample, and ends by the error that is measured on it.
    let (table, labels) = generated(60_000, 2);
    let loose = LogisticRegressionParams::default();
    let exact = LogisticRegressionParams { gradient_tolerance: 1e-10, ..loose.clone() };
    let values = |params| {
        weights(&fit(params, &table, &labels)).columns.iter().map(|c| c.standardised).collect::<Vec<_>>()
    };
    let (loose, exact, again) = (values(&loose), values(&exact), {
        values(&LogisticRegressionParams { gradient_tolerance: 1e-12, ..Default::default() })
    });
    assert!(furthest(&exact, &again) < 1e-8, "{exact:?}\n{again:?}");
    // The least curvature of this problem is about .05: a gradient of 1e-4 is less than .002 away.
    assert!(furthest(&loose, &exact) < 2e-3, "{loose:?}\n{exact:?}");
}

#[test]
fn every_variant_is_the_same_bytes_for_any_number_of_threads() {
    let (table, labels) = generated(40_000, 3);
    let rows = all(&table);
    for params in variants() {
        let algorithm = SupervisedParams::LogisticRegression(params.clone());
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let first = binary::fit(&algorithm, &table, &labels, &rows[..39_000], 7, None).unwrap();
                let warm = binary::fit(&algorithm, &table, &labels, &rows, 7, Some(&first)).unwrap();
                let scores = warm.predict_proba(&table, &rows).unwrap();
                (first.to_bytes().unwrap(), warm.to_bytes().unwrap(), scores)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5), "{params:?}");
        let read = Classifier::from_bytes(&one.1).unwrap();
        assert_eq!(read.predict_proba(&table, &rows).unwrap(), one.2);
    }
}

#[test]
fn a_warm_fit_is_the_cold_fit_to_the_tolerance_and_counts_what_it_counted() {
    let (table, labels) = generated(30_000, 4);
    let rows = all(&table);
    for params in variants() {
        let params = LogisticRegressionParams { gradient_tolerance: 1e-7, max_iterations: 2_000, ..params };
        let algorithm = SupervisedParams::LogisticRegression(params.clone());
        let fit =
            |rows: &[u32], seed, warm| binary::fit(&algorithm, &table, &labels, rows, seed, warm).unwrap();
        let cold = fit(&rows, 7, None);
        let first = fit(&rows[..29_000], 7, None);
        // A warm start of the first rows; of other rows, which says nothing of these; of another seed, so of other folds.
        let others = [fit(&rows[500..], 7, None), fit(&rows[..29_000], 8, None)];
        for before in others.iter().chain([&first]) {
            let warm = fit(&rows, 7, Some(before));
            // Not the weights: with a column a category, a shift of all against the intercept can cost an L1 penalty nothing.
            let scores = |model: &Classifier| model.predict_proba(&table, &rows).unwrap();
            let apart = furthest(&scores(&warm), &scores(&cold));
            assert!(apart < 2e-4, "{params:?}: {apart}");
        }
        // Continued counts are the counts: begun at the same weights, the model is the same bytes.
        let whole = fit(&rows, 7, Some(&cold));
        assert_eq!(fit(&rows, 7, Some(&whole)).to_bytes().unwrap(), whole.to_bytes().unwrap());
    }
}

#[test]
fn labels_that_a_column_separates_give_a_finite_model() {
    let mut table = FeatureTable::new(names("x", 2), vec![]);
    table.push_numeric(0, (0..100).map(f64::from));
    table.push_numeric(1, (0..100).map(|i| f64::from(i) * 2.0 + 1.0));
    table.finish_append().unwrap();
    let labels: Vec<bool> = (0..100).map(|i| i > 40).collect();
    for params in variants() {
        // Without a penalty there is no minimum, and the second column is the first: the fit ends where it is.
        let model = fit(&LogisticRegressionParams { alpha: 0.0, ..params }, &table, &labels);
        let scores = model.predict_proba(&table, &all(&table)).unwrap();
        assert_eq!(BinaryMetrics::compute(&labels, &scores).unwrap().accuracy, 1.0);
    }
}

#[test]
fn one_hot_learns_what_the_categories_say_and_scores_others() {
    let (table, labels) = generated(20_000, 5);
    let params = LogisticRegressionParams { categories: LinearCategories::OneHot, ..Default::default() };
    let model = fit(&params, &table, &labels);
    let auc = |model: &Classifier| {
        BinaryMetrics::compute(&labels, &model.predict_proba(&table, &all(&table)).unwrap())
            .unwrap()
            .auc
            .unwrap()
    };
    let target = fit(&LogisticRegressionParams::default(), &table, &labels);
    assert!(auc(&model) > auc(&target) - 0.01, "{} and {}", auc(&model), auc(&target));
    let mut other = FeatureTable::new(names("x", 3), names("c", 2));
    (0..3).for_each(|c| other.push_numeric(c, [f64::NAN; 2]));
    (0..2).for_each(|c| other.push_category(c, [Some("never seen"), None]));
    other.finish_append().unwrap();
    assert!(model.predict_proba(&other, &[0, 1]).unwrap().iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn what_linfa_cannot_do_is_refused_by_name() {
    let linfa = || LogisticRegressionParams { backend: LogisticBackend::Linfa, ..Default::default() };
    for (expected, params) in [
        ("l1_ratio", LogisticRegressionParams { l1_ratio: 0.1, ..linfa() }),
        ("standardise", LogisticRegressionParams { standardise: false, ..linfa() }),
        ("categories", LogisticRegressionParams { categories: LinearCategories::OneHot, ..linfa() }),
        ("l1_ratio", LogisticRegressionParams { l1_ratio: 1.1, ..Default::default() }),
        ("l1_ratio", LogisticRegressionParams { l1_ratio: f64::NAN, ..Default::default() }),
        ("max_categories", LogisticRegressionParams { max_categories: 0, ..Default::default() }),
    ] {
        match params.validate() {
            Err(Error::BadParameter { name, .. }) => assert_eq!(name, expected),
            other => panic!("{params:?}: {other:?}"),
        }
    }
    assert!(linfa().validate().is_ok());
}

#[derive(Deserialize)]
struct GoldenScores {
    columns: Vec<Vec<f64>>,
    labels: Vec<bool>,
    fits: Vec<GoldenFit>,
}

#[derive(Deserialize)]
struct GoldenFit {
    alpha: f64,
    probabilities: Vec<f64>,
}

#[test]
fn logistic_regression_is_that_of_scikit_learn_at_the_same_penalty() {
    let golden: GoldenScores = serde_json::from_str(include_str!("golden/logistic.json")).unwrap();
    let table = numeric_table(&golden.columns);
    for GoldenFit { alpha, probabilities } in golden.fits {
        let params = LogisticRegressionParams {
            alpha,
            max_iterations: 500,
            gradient_tolerance: 1e-9,
            ..Default::default()
        };
        let model = binary::fit(
            &SupervisedParams::LogisticRegression(params),
            &table,
            &golden.labels,
            &all(&table),
            0,
            None,
        );
        let scores = model.unwrap().predict_proba(&table, &all(&table)).unwrap();
        let furthest = scores.iter().zip(&probabilities).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 1e-5, "alpha {alpha}: {furthest}");
    }
}

#[test]
fn a_warm_start_begins_where_the_last_model_ended() {
    let (table, labels) = generated(4_000, 8);
    // Fewer than half of the labels are positive here and more than half in the last: linfa then models the other class.
    let flipped: Vec<bool> = labels.iter().map(|l| !l).collect();
    for labels in [&labels, &flipped] {
        let fit = |iterations, warm: Option<&Classifier>| {
            let params = LogisticRegressionParams {
                max_iterations: iterations,
                ..LogisticRegressionParams::default()
            };
            binary::fit(&SupervisedParams::LogisticRegression(params), &table, labels, &all(&table), 0, warm)
                .unwrap()
        };
        let score = |model: &Classifier| {
            BinaryMetrics::compute(labels, &model.predict_proba(&table, &all(&table)).unwrap())
                .unwrap()
                .log_loss
        };
        let done = fit(100, None);
        let (cold, warm) = (fit(1, None), fit(1, Some(&done)));
        assert!(score(&warm) < score(&done) + 1e-4, "{} after {}", score(&warm), score(&done));
        assert!(score(&cold) > score(&done) + 1e-2, "one cold iteration is not enough: {}", score(&cold));
        let forest = SupervisedParams::RandomForest(RandomForestParams::default());
        let forest = binary::fit(&forest, &table, labels, &all(&table), 0, Some(&done)).unwrap();
        assert_eq!(fit(100, Some(&forest)), done, "a model of another kind is no start");
    }
}

#[test]
fn a_warm_start_of_another_layout_is_not_used() {
    // One indicator of missing values each, but of another column.
    let column = |gap: usize| (0..100).map(move |i| if i % 10 == gap { f64::NAN } else { (i % 13) as f64 });
    let labels: Vec<bool> = (0..100).map(|i| i % 3 == 0).collect();
    let whole: Vec<f64> = (0..100).map(|i| f64::from(i % 17)).collect();
    let first = numeric_table(&[column(3).collect(), whole.clone()]);
    let second = numeric_table(&[whole, column(4).collect()]);
    let fit = |table: &FeatureTable, warm: Option<&Classifier>| {
        let logistic = SupervisedParams::LogisticRegression(LogisticRegressionParams::default());
        binary::fit(&logistic, table, &labels, &all(table), 0, warm).unwrap()
    };
    assert_eq!(fit(&second, Some(&fit(&first, None))), fit(&second, None));
}
