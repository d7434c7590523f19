//! The SGD classifier from outside: scikit-learn's steps, learning from new rows alone, and its edge cases.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use binary::TrainingRows;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use tidemill_ml::{
    BinaryMetrics, Classifier, Error, FeatureTable, LearningRate, LinearCategories, LogisticRegressionParams,
    RandomForestParams, SgdClassifierParams, SgdPenalty, SupervisedParams,
};

#[derive(Deserialize)]
struct Golden {
    scaled: Vec<Vec<f64>>,
    labels: Vec<bool>,
    sgd: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    penalty: Option<String>,
    learning_rate: String,
    average: bool,
    epochs: u32,
    weights: Vec<f64>,
    intercept: f64,
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

fn fit(params: &SgdClassifierParams, table: &FeatureTable, labels: &[bool], rows: &[u32]) -> Classifier {
    binary::fit(&SupervisedParams::SgdClassifier(params.clone()), table, labels, rows, 7, None).unwrap()
}

#[test]
fn steps_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("golden/linear.json")).unwrap();
    let mut table = FeatureTable::new(names("x", golden.scaled.len()), vec![]);
    golden.scaled.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    for case in &golden.sgd {
        let params = SgdClassifierParams {
            alpha: 0.01,
            penalty: match case.penalty.as_deref() {
                None => SgdPenalty::None,
                Some("l2") => SgdPenalty::L2,
                Some("l1") => SgdPenalty::L1,
                other => {
                    assert_eq!(other, Some("elasticnet"));
                    SgdPenalty::ElasticNet
                }
            },
            learning_rate: match case.learning_rate.as_str() {
                "optimal" => LearningRate::Optimal,
                "invscaling" => LearningRate::InvScaling,
                "adaptive" => LearningRate::Adaptive,
                other => {
                    assert_eq!(other, "constant");
                    LearningRate::Constant
                }
            },
            eta0: 0.05,
            average: case.average,
            epochs: case.epochs,
            patience: 2,
            shuffle: false,
            standardise: false,
            ..Default::default()
        };
        let found = fit(&params, &table, &golden.labels, &all(&table)).coefficients().unwrap();
        for (column, expected) in found.columns.iter().zip(&case.weights) {
            assert!((column.weight - expected).abs() < 1e-9, "{params:?}: {} and {expected}", column.weight);
        }
        assert!((found.intercept - case.intercept).abs() < 1e-9, "{params:?}: intercept {}", found.intercept);
    }
}

/// Rows with a number that matters, one far from 0 with missing values, and two categories.
fn generated(rows: usize, seed: u64) -> (FeatureTable, Vec<bool>, Vec<f64>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut table = FeatureTable::new(names("x", 2), names("c", 2));
    let (mut labels, mut truth) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let k = random.gen_range(0..30usize);
        let x: f64 = random.gen_range(-2.0..2.0);
        let p = 1.0 / (1.0 + (-(((k * 7) % 30) as f64 / 8.0 - 2.5 + x)).exp());
        table.push_numeric(0, [x]);
        table.push_numeric(1, [if random.gen_bool(0.2) { f64::NAN } else { random.gen_range(1e6..2e6) }]);
        table.push_category(0, [Some(format!("kind {k}").as_str())]);
        table.push_category(1, [Some(format!("place {}", random.gen_range(0..50))).as_deref()]);
        labels.push(random.gen_bool(p));
        truth.push(p);
    }
    table.finish_append().unwrap();
    (table, labels, truth)
}

fn auc(labels: &[bool], scores: &[f64]) -> f64 {
    BinaryMetrics::compute(labels, scores).unwrap().auc.unwrap()
}

#[test]
fn batch_after_batch_comes_close_to_the_truth() {
    let (table, labels, truth) = generated(30_000, 1);
    let rows = all(&table);
    // The last weights are as good as the last rows let them be; their mean is closer.
    for (average, margin) in [(true, 0.02), (false, 0.03)] {
        let params = SgdClassifierParams { average, ..Default::default() };
        let mut model = fit(&params, &table, &labels, &rows[..1_000]);
        let first = model.clone();
        for batch in rows[1_000..25_000].chunks(1_000) {
            model = binary::partial_fit(&model, &table, &labels, batch, 7).unwrap();
        }
        assert_eq!(model.training_rows(), 25_000);
        let held_out = &rows[25_000..];
        let score =
            |model: &Classifier| auc(&labels[25_000..], &model.predict_proba(&table, held_out).unwrap());
        let best = auc(&labels[25_000..], &truth[25_000..]);
        assert!(score(&model) > best - margin, "average {average}: {}, the truth's is {best}", score(&model));
        assert!(score(&model) > score(&first), "average {average}: more rows, a better model");
    }
}

#[test]
fn a_scale_that_moves_leaves_the_scores_where_they_are() {
    let (table, labels, _) = generated(2_000, 2);
    let rows = all(&table);
    for penalty in [SgdPenalty::L2, SgdPenalty::L1] {
        // A step so small that only the scale moves: the second batch is far from the first.
        let params = SgdClassifierParams {
            penalty,
            learning_rate: LearningRate::Constant,
            eta0: 0.01,
            ..Default::default()
        };
        let slow = SgdClassifierParams { eta0: 1e-300, ..params.clone() };
        let model = fit(&params, &table, &labels, &rows);
        let bytes = model.to_bytes().unwrap();
        let before = model.predict_proba(&table, &rows).unwrap();
        let mut far = FeatureTable::new(names("x", 2), names("c", 2));
        far.push_numeric(0, (0..500).map(|i| f64::from(i) + 10.0));
        far.push_numeric(1, (0..500).map(|i| f64::from(i) * -1e5));
        (0..2).for_each(|c| far.push_category(c, (0..500).map(|_| None)));
        far.finish_append().unwrap();
        let still = fit(&slow, &table, &labels, &rows);
        let moved = binary::partial_fit(&still, &far, &[true; 500], &all(&far), 7).unwrap();
        assert_eq!(still.predict_proba(&table, &rows).unwrap(), moved.predict_proba(&table, &rows).unwrap());
        // And with weights that say something: one new row, in another place.
        let moved = binary::partial_fit(&model, &far, &[true; 500], &[0], 7).unwrap();
        let after = moved.predict_proba(&table, &rows).unwrap();
        let apart = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 2e-3, "{penalty:?}: {apart}");
        assert_eq!(model.to_bytes().unwrap(), bytes, "the model that learned on is not touched");
    }
}

#[test]
fn a_first_fit_wants_two_rows_of_two_classes() {
    let (table, labels, _) = generated(200, 3);
    let algorithm = SupervisedParams::SgdClassifier(SgdClassifierParams::default());
    let fits = |labels: &[bool], rows: &[u32]| binary::fit(&algorithm, &table, labels, rows, 0, None);
    assert_eq!(fits(&labels, &[]).unwrap_err(), Error::NoRows);
    assert_eq!(fits(&labels, &[3]).unwrap_err(), Error::TooFewRows { rows: 1, needed: 2 });
    let error = fits(&[true; 200], &all(&table)).unwrap_err();
    assert_eq!(error, Error::OneClass { label: true, rows: 200 });
    // Columns that say nothing: all rows score the same.
    let mut constant = FeatureTable::new(names("x", 2), names("c", 1));
    constant.push_numeric(0, [7.0; 200]);
    constant.push_numeric(1, [f64::NAN; 200]);
    constant.push_category(0, [Some("only"); 200]);
    constant.finish_append().unwrap();
    let model = binary::fit(&algorithm, &constant, &labels, &all(&constant), 0, None).unwrap();
    let scores = model.predict_proba(&constant, &all(&constant)).unwrap();
    assert!(scores.iter().all(|p| *p == scores[0] && (0.0..1.0).contains(p)), "{:?}", &scores[..3]);
}

#[test]
fn a_batch_may_have_one_class_and_one_row_but_not_none() {
    let (table, labels, _) = generated(200, 3);
    let rows = all(&table);
    let model = fit(&SgdClassifierParams::default(), &table, &labels, &rows);
    let fits = |rows: &[u32]| binary::partial_fit(&model, &table, &labels, rows, 0);
    let positive = labels.iter().position(|l| *l).unwrap() as u32;
    assert_eq!(fits(&[positive]).unwrap().training_rows(), 201);
    assert_eq!(fits(&[]).unwrap_err(), Error::NoRows);
    assert_eq!(fits(&[2, 1]).unwrap_err(), Error::RowsNotAscending { position: 1 });
    assert_eq!(fits(&[200]).unwrap_err(), Error::RowOutOfRange { row: 200, rows: 200 });
    assert!(matches!(
        binary::partial_fit(&model, &table, &labels[1..], &[0], 0),
        Err(Error::LengthMismatch { .. })
    ));
    let other = FeatureTable::new(names("y", 2), names("c", 2));
    assert!(matches!(binary::partial_fit(&model, &other, &[], &[], 0), Err(Error::FeatureMismatch { .. })));
    let forest = SupervisedParams::RandomForest(RandomForestParams { trees: 1, ..Default::default() });
    let forest = binary::fit(&forest, &table, &labels, &all(&table), 0, None).unwrap();
    let error = binary::partial_fit(&forest, &table, &labels, &[0], 0).unwrap_err().to_string();
    let weights = vec![2.0; 199].into_iter().chain([1.0]).collect::<Vec<f64>>();
    let weighted = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &rows) };
    let algorithm = SupervisedParams::SgdClassifier(SgdClassifierParams::default());
    let refused = binary::fit_rows(&algorithm, &weighted, 0, None).unwrap_err();
    assert!(matches!(refused, Error::NotOfAlgorithm { algorithm: "sgd_classifier", .. }), "{refused}");
    assert_eq!(error, "random_forest cannot learn from new rows alone: fit it on all rows");
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let (table, labels, _) = generated(10_000, 4);
    let rows = all(&table);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = fit(&SgdClassifierParams::default(), &table, &labels, &rows[..9_000]);
            let model = binary::partial_fit(&model, &table, &labels, &rows[9_000..], 1).unwrap();
            let scores = model.predict_proba(&table, &rows).unwrap();
            let bytes = model.to_bytes().unwrap();
            assert_eq!(Classifier::from_bytes(&bytes).unwrap().predict_proba(&table, &rows).unwrap(), scores);
            (bytes, scores)
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn ten_thousand_categories_are_hashed_and_others_score_too() {
    let text: Vec<String> = (0..20_000).map(|i| format!("{}{}", ["a", "b"][i % 2], i % 10_000)).collect();
    let labels: Vec<bool> = text.iter().map(|t| t.starts_with('a')).chain([false, false]).collect();
    let mut table = FeatureTable::new(vec![], names("c", 1));
    table.push_category(0, text.iter().map(|t| Some(t.as_str())).chain([Some("unseen"), None]));
    table.finish_append().unwrap();
    let rows = all(&table);
    let model = fit(&SgdClassifierParams::default(), &table, &labels, &rows[..20_000]);
    let scores = model.predict_proba(&table, &rows).unwrap();
    assert!(auc(&labels, &scores) > 0.9);
    assert!(scores[20_000..].iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn bad_settings_are_named() {
    let default = SgdClassifierParams::default;
    for (expected, params) in [
        ("alpha", SgdClassifierParams { alpha: -1.0, ..default() }),
        ("alpha", SgdClassifierParams { alpha: 0.0, learning_rate: LearningRate::Optimal, ..default() }),
        ("l1_ratio", SgdClassifierParams { l1_ratio: 2.0, ..default() }),
        ("eta0", SgdClassifierParams { eta0: 0.0, ..default() }),
        ("power_t", SgdClassifierParams { power_t: f64::NAN, ..default() }),
        ("epochs", SgdClassifierParams { epochs: 0, ..default() }),
        ("tolerance", SgdClassifierParams { tolerance: -1.0, ..default() }),
        ("patience", SgdClassifierParams { patience: 0, ..default() }),
        ("hash_bits", SgdClassifierParams { hash_bits: 25, ..default() }),
    ] {
        match params.validate() {
            Err(Error::BadParameter { name, .. }) => assert_eq!(name, expected),
            other => panic!("{params:?}: {other:?}"),
        }
    }
    assert!(serde_json::from_str::<SgdClassifierParams>(r#"{"alhpa": 1}"#).is_err());
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-5i32..5).prop_map(f64::from),
        2 => Just(f64::NAN),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => any::<f64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_batches_give_probabilities_or_an_error(
        numeric in (0usize..3, 0usize..30).prop_flat_map(|(n, rows)| prop::collection::vec(prop::collection::vec(value(), rows), n)),
        categories in prop::collection::vec(prop::option::of(0u8..9), 30),
        labels in prop::collection::vec(any::<bool>(), 30),
        cut in 0usize..30, hash_bits in 1u32..16, seed in any::<u64>(), alpha in 0.0f64..2.0, eta0 in prop_oneof![Just(0.1), Just(1e300), 1e-9f64..10.0],
        which in 0usize..16, average in any::<bool>(), standardise in any::<bool>(),
    ) {
        let penalty = [SgdPenalty::None, SgdPenalty::L2, SgdPenalty::L1, SgdPenalty::ElasticNet][which % 4];
        let learning_rate =
            [LearningRate::Constant, LearningRate::Optimal, LearningRate::InvScaling, LearningRate::Adaptive][which / 4];
        let params = SgdClassifierParams {
            alpha: alpha.max(1e-9), eta0, penalty, learning_rate, average, standardise, hash_bits, ..Default::default()
        };
        let rows = numeric.first().map_or(30, Vec::len);
        let mut table = FeatureTable::new(names("x", numeric.len()), names("c", 1));
        numeric.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
        let text: Vec<Option<String>> = categories[..rows].iter().map(|v| v.map(|v| v.to_string())).collect();
        table.push_category(0, text.iter().map(Option::as_deref));
        table.finish_append().unwrap();
        let (labels, all) = (&labels[..rows], all(&table));
        let cut = cut.min(rows);
        let scores_of = |model: &Classifier| model.predict_proba(&table, &all).unwrap();
        if let Ok(model) = binary::fit(&SupervisedParams::SgdClassifier(params), &table, labels, &all[..cut], seed, None) {
            prop_assert!(scores_of(&model).iter().all(|p| (0.0..=1.0).contains(p)));
            prop_assert_eq!(&Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
            match binary::partial_fit(&model, &table, labels, &all[cut..], seed) {
                Ok(model) => prop_assert!(scores_of(&model).iter().all(|p| (0.0..=1.0).contains(p))),
                Err(error) => prop_assert!(cut == rows || matches!(error, Error::Solver(_)), "{}", error),
            }
        }
    }
}

/// Log loss on the rows from `from` on of a fit on those before, and of logistic regression's.
fn log_losses(table: &FeatureTable, labels: &[bool], from: usize) -> (f64, f64) {
    let rows = all(table);
    let loss = |algorithm: SupervisedParams| {
        let model = binary::fit(&algorithm, table, labels, &rows[..from], 7, None).unwrap();
        let scores = model.predict_proba(table, &rows[from..]).unwrap();
        BinaryMetrics::compute(&labels[from..], &scores).unwrap().log_loss
    };
    let logistic = LogisticRegressionParams { categories: LinearCategories::OneHot, ..Default::default() };
    (
        loss(SupervisedParams::SgdClassifier(SgdClassifierParams::default())),
        loss(SupervisedParams::LogisticRegression(logistic)),
    )
}

/// The first steps of scikit-learn's optimal rate are hundreds of times too long, and a mean of the weights holds them for
/// tens of thousands of rows: its own `SGDClassifier(loss="log_loss", average=True)` has a log loss of 2.2 on 2,000 such
/// rows, where `LogisticRegression` has .45.
#[test]
fn the_defaults_come_close_to_logistic_regression_on_few_rows_and_on_noise() {
    for rows in [2_000, 13_000] {
        let (table, mut labels, _) = generated(rows + 10_000, 5);
        let (found, logistic) = log_losses(&table, &labels, rows);
        assert!(found < logistic + 0.02, "{rows} rows: {found}, logistic regression {logistic}");
        // Labels that nothing says anything of: their entropy is what there is to be had.
        let mut random = Xoshiro256PlusPlus::seed_from_u64(9);
        labels.iter_mut().for_each(|label| *label = random.gen_bool(0.18));
        let (found, _) = log_losses(&table, &labels, rows);
        let share = labels[rows..].iter().filter(|label| **label).count() as f64 / 10_000.0;
        let entropy = -share * share.ln() - (1.0 - share) * (1.0 - share).ln();
        assert!(found < entropy + 0.02, "{rows} rows of noise: {found}, entropy {entropy}");
    }
}

#[test]
fn values_beyond_the_squares_of_numbers_have_their_say() {
    let x: Vec<f64> = (0..2_000).map(|i| (f64::from(i * 37 % 101) - 50.0) * 1e300).collect();
    let labels: Vec<bool> = x.iter().map(|x| *x > 1e301).collect();
    let mut table = FeatureTable::new(names("x", 1), vec![]);
    table.push_numeric(0, x);
    table.finish_append().unwrap();
    let model = fit(&SgdClassifierParams::default(), &table, &labels, &all(&table));
    let scores = model.predict_proba(&table, &all(&table)).unwrap();
    assert!(auc(&labels, &scores) > 0.999 && scores.iter().all(|p| p.is_finite()));
    let later = binary::partial_fit(&model, &table, &labels, &all(&table), 7).unwrap();
    assert!(auc(&labels, &later.predict_proba(&table, &all(&table)).unwrap()) > 0.999);
}
