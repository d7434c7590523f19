//! Trees, forests and boosting from outside: scikit-learn's numbers, weights, importances, leaves, threads. Categories are
//! native but where it is said: a row that was learned from then falls into the leaf that it was counted in.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;
use binary::TrainingRows;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use tidemill_ml::{
    BinaryMetrics, Categories, ClassWeight, Classifier, DecisionTreeParams, Error, FeatureTable,
    GradientBoostingParams, LogisticRegressionParams, RandomForestParams, SupervisedParams,
};

fn tree(max_depth: u32, min_samples_leaf: u32, class_weight: ClassWeight) -> SupervisedParams {
    SupervisedParams::DecisionTree(DecisionTreeParams {
        max_depth,
        min_samples_leaf,
        class_weight,
        categories: Categories::Native,
        ..DecisionTreeParams::default()
    })
}

fn forest(trees: u32) -> SupervisedParams {
    let categories = Categories::Native;
    SupervisedParams::RandomForest(RandomForestParams { trees, categories, ..RandomForestParams::default() })
}

fn boosting(trees: u32) -> SupervisedParams {
    let categories = Categories::Native;
    SupervisedParams::GradientBoosting(GradientBoostingParams {
        trees,
        categories,
        ..GradientBoostingParams::default()
    })
}

fn numeric_table(columns: &[Vec<f64>]) -> FeatureTable {
    let names = (0..columns.len()).map(|i| format!("x{i}")).collect();
    let mut table = FeatureTable::new(names, vec![]);
    columns.iter().enumerate().for_each(|(i, column)| table.push_numeric(i, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

/// Rows whose label depends on `x0`, on `x1` where `c0` is one of some categories, and on nothing else; `x2` is noise,
/// `c1` noise of many categories.
fn generated(rows: usize, seed: u64) -> (FeatureTable, Vec<bool>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let names = |p: &str, n: usize| (0..n).map(|i| format!("{p}{i}")).collect::<Vec<_>>();
    let mut table = FeatureTable::new(names("x", 3), names("c", 2));
    let mut labels = Vec::new();
    for _ in 0..rows {
        let (a, b): (f64, f64) = (random.gen_range(-2.0..2.0), random.gen_range(-2.0..2.0));
        let c = random.gen_range(0..30u32);
        let score = 1.5 * a + if c % 3 == 0 { 2.0 * b } else { -1.0 };
        labels.push(random.gen_bool(1.0 / (1.0 + (-score).exp())));
        table.push_numeric(0, [a]);
        table.push_numeric(1, [if random.gen_bool(0.1) { f64::NAN } else { b }]);
        table.push_numeric(2, [random.gen_range(0.0..1.0)]);
        table.push_category(0, [Some(format!("kind {c}").as_str())]);
        table.push_category(1, [Some(random.gen_range(0..500u32).to_string().as_str())]);
    }
    table.finish_append().unwrap();
    (table, labels)
}

fn auc(labels: &[bool], probabilities: &[f64]) -> f64 {
    BinaryMetrics::compute(labels, probabilities).unwrap().auc.unwrap()
}

#[derive(Deserialize)]
struct Golden {
    columns: Vec<Vec<f64>>,
    labels: Vec<bool>,
    weights: Vec<f64>,
    missing: Vec<Vec<Option<f64>>>,
    tree: GoldenTree,
    tree_weighted: GoldenTree,
    tree_balanced: GoldenTree,
    boosted: Vec<f64>,
    boosted_l2: Vec<f64>,
    boosted_weighted: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenTree {
    shares: Vec<f64>,
    leaf_weights: Vec<f64>,
    importances: Vec<f64>,
    leaves: usize,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/trees.json")).unwrap()
}

#[test]
fn a_decision_tree_is_that_of_scikit_learn() {
    let golden = golden();
    let table = numeric_table(&golden.columns);
    let rows = all(&table);
    let cases = [
        ("plain", &golden.tree, None, ClassWeight::Equal),
        ("weighted", &golden.tree_weighted, Some(&golden.weights[..]), ClassWeight::Equal),
        ("balanced", &golden.tree_balanced, None, ClassWeight::Balanced),
    ];
    for (name, expected, weights, class_weight) in cases {
        let training = TrainingRows { weights, ..TrainingRows::new(&table, &golden.labels, &rows) };
        let model = binary::fit_rows(&tree(5, 25, class_weight), &training, 0, None).unwrap();
        assert_eq!(model.leaves().unwrap(), [expected.leaves], "{name}");
        for (found, expected) in model.gain_importances().unwrap().iter().zip(&expected.importances) {
            assert!((found - expected).abs() < 1e-6, "{name}: {found} {expected}");
        }
        // The weight of all rows: each one of them stands for its leaf's weight once in every leaf's sum.
        let of_row = |row: usize| match (weights, class_weight) {
            (Some(weights), _) => weights[row],
            (None, ClassWeight::Balanced) => {
                let same = golden.labels.iter().filter(|&&l| l == golden.labels[row]).count();
                0.5 * golden.labels.len() as f64 / same as f64
            }
            _ => 1.0,
        };
        let count = golden.labels.len();
        let total: f64 = (0..count).map(of_row).sum();
        let positive: f64 = (0..count).filter(|&row| golden.labels[row]).map(of_row).sum();
        let (mean, prior) = (total / count as f64, positive / total);
        let scores = model.predict_proba(&table, &rows).unwrap();
        for (row, score) in scores.iter().enumerate() {
            let weight = expected.leaf_weights[row] / mean;
            let drawn = (expected.shares[row] * weight + prior) / (weight + 1.0);
            assert!((score - drawn).abs() < 1e-6, "{name}, row {row}: {score} {drawn}");
        }
    }
}

#[test]
fn boosting_is_that_of_scikit_learn() {
    let golden = golden();
    let columns: Vec<Vec<f64>> =
        golden.missing.iter().map(|column| column.iter().map(|v| v.unwrap_or(f64::NAN)).collect()).collect();
    let table = numeric_table(&columns);
    let rows = all(&table);
    let plain =
        GradientBoostingParams { trees: 30, max_leaves: 12, l2: 0.0, ..GradientBoostingParams::default() };
    let regular = GradientBoostingParams { l2: 3.0, learning_rate: 0.3, ..plain.clone() };
    let cases = [
        ("plain", &golden.boosted, None, plain.clone()),
        ("l2", &golden.boosted_l2, None, regular),
        ("weighted", &golden.boosted_weighted, Some(&golden.weights[..]), plain),
    ];
    for (name, expected, weights, params) in cases {
        let training = TrainingRows { weights, ..TrainingRows::new(&table, &golden.labels, &rows) };
        let model =
            binary::fit_rows(&SupervisedParams::GradientBoosting(params), &training, 0, None).unwrap();
        let scores = model.predict_proba(&table, &rows).unwrap();
        let furthest = scores.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 1e-4, "{name}: {furthest}");
    }
}

#[test]
fn weighted_models_are_the_same_bytes_for_any_number_of_threads() {
    let (table, labels) = generated(40_000, 1);
    let rows: Vec<u32> = (0..40_000).filter(|row| row % 7 != 3).collect();
    let weights: Vec<f64> = (0..40_000).map(|row| f64::from(row % 11) / 3.0).collect();
    let balanced = SupervisedParams::RandomForest(RandomForestParams {
        class_weight: ClassWeight::Balanced,
        max_features: 0.2,
        max_depth: 9,
        ..RandomForestParams::default()
    });
    for algorithm in [balanced, forest(3), tree(10, 5, ClassWeight::Equal), boosting(10)] {
        for weights in [None, Some(&weights[..])] {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let training = TrainingRows { weights, ..TrainingRows::new(&table, &labels, &rows) };
                pool.install(|| {
                    let model = binary::fit_rows(&algorithm, &training, 3, None).unwrap();
                    let scores = model.predict_proba(&table, &rows).unwrap();
                    (model.to_bytes().unwrap(), scores, model.apply(&table, &rows).unwrap())
                })
            };
            let one = run(1);
            assert!(one == run(2) && one == run(5), "{}", algorithm.name());
        }
    }
}

#[test]
fn a_row_without_weight_is_not_there_and_equal_weights_say_nothing() {
    let (table, labels) = generated(3_000, 2);
    let rows = all(&table);
    let some: Vec<u32> = rows.iter().copied().filter(|row| row % 3 > 0).collect();
    let bytes = |rows: &[u32], weights: Option<&[f64]>, algorithm: &SupervisedParams| {
        let training = TrainingRows { weights, ..TrainingRows::new(&table, &labels, rows) };
        binary::fit_rows(algorithm, &training, 5, None).unwrap().to_bytes().unwrap()
    };
    let kept: Vec<f64> = rows.iter().map(|row| if row % 3 > 0 { 4.2 } else { 0.0 }).collect();
    for algorithm in [forest(5), tree(6, 5, ClassWeight::Equal), boosting(5)] {
        assert_eq!(
            bytes(&rows, Some(&kept), &algorithm),
            bytes(&some, None, &algorithm),
            "{}",
            algorithm.name()
        );
    }
}

/// Of each category half of the rows are positive: only the weights tell them apart, in the encoding too.
#[test]
fn encoded_categories_are_told_apart_by_the_weights_of_their_rows() {
    let of_labels = [(9, 1), (3, 2), (2, 3), (1, 9)];
    let (names, labels): (Vec<_>, Vec<_>) =
        (0..1_600).map(|i| (["a", "b", "c", "d"][i % 4], i % 8 < 4)).unzip();
    let times = |i: usize| if labels[i] { of_labels[i % 4].0 } else { of_labels[i % 4].1 };
    let table = |times: &dyn Fn(usize) -> usize| {
        let mut table = FeatureTable::new(vec![], vec!["c".into()]);
        table.push_category(0, (0..1_600).flat_map(|i| std::iter::repeat_n(Some(names[i]), times(i))));
        table.finish_append().unwrap();
        (table, (0..1_600).flat_map(|i| std::iter::repeat_n(labels[i], times(i))).collect::<Vec<bool>>())
    };
    let categories = Categories::TargetEncoded;
    let algorithm =
        SupervisedParams::DecisionTree(DecisionTreeParams { max_depth: 2, categories, ..Default::default() });
    let ((table, labels), (long, long_labels)) = (table(&|_| 1), table(&times));
    let (rows, weights) = (all(&table), (0..1_600).map(|i| times(i) as f64).collect::<Vec<_>>());
    let training = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &rows) };
    for model in [
        binary::fit_rows(&algorithm, &training, 0, None),
        binary::fit(&algorithm, &long, &long_labels, &all(&long), 0, None),
    ] {
        let found = model.unwrap().predict_proba(&table, &[0, 1, 2, 3]).unwrap();
        // A leaf for each: its share, and one row of the prior. The lightest, of 400 rows, weighs 1,000 of 6,000 in all, or
        // 266 rows of mean weight, so that the prior moves it by less than 1/267.
        assert!(
            found.iter().zip([0.9, 0.6, 0.4, 0.1]).all(|(p, share)| (p - share).abs() < 1.0 / 267.0),
            "{found:?}"
        );
    }
}

#[test]
fn whole_weights_are_repeated_rows() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(4);
    let draw =
        |random: &mut Xoshiro256PlusPlus| (0..2_000).map(|_| f64::from(random.gen_range(0..30u8))).collect();
    let columns: Vec<Vec<f64>> = (0..3).map(|_| draw(&mut random)).collect();
    let labels: Vec<bool> =
        (0..2_000).map(|i| random.gen_bool((columns[0][i] + columns[1][i] * 0.5) / 50.0)).collect();
    let weights: Vec<f64> = (0..2_000).map(|_| f64::from(random.gen_range(1..5u8))).collect();
    let table = numeric_table(&columns);
    let rows = all(&table);
    let repeated = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..2_000).flat_map(|i| std::iter::repeat_n(of(i), weights[i] as usize)).collect()
    };
    let long = numeric_table(&columns.iter().map(|column| repeated(&|i| column[i])).collect::<Vec<_>>());
    let long_labels: Vec<bool> =
        repeated(&|i| f64::from(u8::from(labels[i]))).iter().map(|&v| v == 1.0).collect();
    let algorithm = tree(6, 1, ClassWeight::Equal);
    let training = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &rows) };
    let weighted = binary::fit_rows(&algorithm, &training, 0, None).unwrap();
    let other = binary::fit(&algorithm, &long, &long_labels, &all(&long), 0, None).unwrap();
    assert_eq!(weighted.apply(&table, &rows).unwrap(), other.apply(&table, &rows).unwrap());
    let unweighted = binary::fit(&algorithm, &table, &labels, &rows, 0, None).unwrap();
    assert_ne!(weighted.apply(&table, &rows).unwrap(), unweighted.apply(&table, &rows).unwrap());
}

#[test]
fn balanced_classes_have_the_same_say() {
    let (table, mut labels) = generated(6_000, 6);
    // One positive in twenty.
    labels.iter_mut().enumerate().for_each(|(i, label)| *label &= i % 10 == 0);
    let rows = all(&table);
    let share = labels.iter().filter(|l| **l).count() as f64 / 6_000.0;
    let by_hand: Vec<f64> =
        labels.iter().map(|&l| if l { 0.5 / share } else { 0.5 / (1.0 - share) }).collect();
    for (equal, balanced) in [
        (tree(5, 20, ClassWeight::Equal), tree(5, 20, ClassWeight::Balanced)),
        (
            boosting(20),
            SupervisedParams::GradientBoosting(GradientBoostingParams {
                trees: 20,
                class_weight: ClassWeight::Balanced,
                categories: Categories::Native,
                ..GradientBoostingParams::default()
            }),
        ),
    ] {
        let model = binary::fit(&balanced, &table, &labels, &rows, 0, None).unwrap();
        let scores = model.predict_proba(&table, &rows).unwrap();
        let mean = scores.iter().zip(&by_hand).map(|(p, w)| p * w).sum::<f64>() / by_hand.iter().sum::<f64>();
        assert!((mean - 0.5).abs() < 0.02, "{}: {mean}", balanced.name());
        let training = TrainingRows { weights: Some(&by_hand), ..TrainingRows::new(&table, &labels, &rows) };
        let weighted = binary::fit_rows(&equal, &training, 0, None).unwrap();
        let others = weighted.predict_proba(&table, &rows).unwrap();
        let apart = scores.iter().zip(&others).map(|(a, b)| (a - b).abs()).sum::<f64>() / scores.len() as f64;
        assert!(apart < 0.01, "{}: {apart}", balanced.name());
    }
}

#[test]
fn weights_that_are_none_are_named() {
    let (table, labels) = generated(50, 7);
    let rows = all(&table);
    let fit = |weights: &[f64], algorithm: &SupervisedParams| {
        let training = TrainingRows { weights: Some(weights), ..TrainingRows::new(&table, &labels, &rows) };
        binary::fit_rows(algorithm, &training, 0, None).unwrap_err()
    };
    for (bad, text) in [(-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let mut weights = vec![1.0; 50];
        weights[7] = bad;
        let error = fit(&weights, &forest(1)).to_string();
        assert_eq!(error, format!("row 7 has the weight {text}, and a weight is a finite number from 0"));
    }
    assert!(matches!(fit(&[1.0; 49], &forest(1)), Error::LengthMismatch { what: "weights", found: 49, .. }));
    assert_eq!(fit(&[0.0; 50], &forest(1)), Error::NoRows);
    let of_one_class: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l))).collect();
    assert!(matches!(fit(&of_one_class, &boosting(1)), Error::OneClass { label: true, .. }));
    let some: Vec<f64> = (0..50).map(f64::from).collect();
    let logistic = SupervisedParams::LogisticRegression(LogisticRegressionParams::default());
    assert!(matches!(fit(&some, &logistic), Error::NotOfAlgorithm { algorithm: "logistic_regression", .. }));
}

#[test]
fn a_leaf_has_one_probability_and_every_tree_its_leaves() {
    let (table, labels) = generated(2_000, 8);
    let rows = all(&table);
    for algorithm in [forest(7), tree(6, 5, ClassWeight::Equal), boosting(7)] {
        let model = binary::fit(&algorithm, &table, &labels, &rows, 0, None).unwrap();
        let (found, leaves) = (model.apply(&table, &rows).unwrap(), model.leaves().unwrap());
        assert_eq!(found.dim(), (2_000, leaves.len()));
        let scores = model.predict_proba(&table, &rows).unwrap();
        let mut seen = std::collections::HashMap::new();
        for (row, score) in found.rows().into_iter().zip(&scores) {
            assert_eq!(seen.entry(row.to_vec()).or_insert(*score), score);
        }
        for (column, &count) in found.columns().into_iter().zip(&leaves) {
            let mut used = vec![false; count];
            column.iter().for_each(|&leaf| used[leaf as usize] = true);
            assert!(used.iter().all(|&used| used), "{}", algorithm.name());
        }
        assert_eq!(model.apply(&table, &[]).unwrap().dim(), (0, leaves.len()));
    }
    let logistic = SupervisedParams::LogisticRegression(LogisticRegressionParams::default());
    let model = binary::fit(&logistic, &table, &labels, &rows, 0, None).unwrap();
    assert_eq!(model.apply(&table, &rows).unwrap_err().to_string(), "logistic_regression has no leaves");
    assert!(model.gain_importances().is_err() && model.leaves().is_err());
}

#[test]
fn importances_find_what_the_label_depends_on() {
    let (table, labels) = generated(8_000, 9);
    let rows = all(&table);
    let (train, test) = rows.split_at(6_000);
    let logistic = SupervisedParams::LogisticRegression(LogisticRegressionParams::default());
    let mut algorithms = vec![logistic];
    for categories in [Categories::Native, Categories::TargetEncoded, Categories::Auto] {
        algorithms.extend([forest(20), tree(6, 20, ClassWeight::Equal), boosting(30)]);
        algorithms.iter_mut().rev().take(3).for_each(|algorithm| match algorithm {
            SupervisedParams::RandomForest(params) => params.categories = categories,
            SupervisedParams::DecisionTree(params) => params.categories = categories,
            SupervisedParams::GradientBoosting(params) => params.categories = categories,
            other => panic!("{}", other.name()),
        });
    }
    for algorithm in algorithms {
        let model = binary::fit(&algorithm, &table, &labels, train, 0, None).unwrap();
        let shuffled = model.permutation_importances(&table, &labels, test, 3, 1).unwrap();
        let names: Vec<&str> = shuffled.iter().map(|i| i.feature.as_str()).collect();
        assert_eq!(names, ["x0", "x1", "x2", "c0", "c1"]);
        let drop = |at: usize| shuffled[at].auc_drop;
        assert!(drop(0) > 0.1 && drop(2).abs() < 0.01 && drop(4).abs() < 0.01, "{shuffled:?}");
        assert!(drop(3) > 0.01, "{}: {shuffled:?}", algorithm.name());
        assert!(shuffled[0].deviation > 0.0 && shuffled[0].deviation < 0.02);
        assert_eq!(shuffled, model.permutation_importances(&table, &labels, test, 3, 1).unwrap());
        let Ok(gains) = model.gain_importances() else { continue };
        assert!((gains.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(gains[0] > 0.4 && gains[2] < 0.1 && gains[4] < 0.15, "{}: {gains:?}", algorithm.name());
        let one_class: Vec<u32> = test.iter().copied().filter(|&row| labels[row as usize]).collect();
        let error = model.permutation_importances(&table, &labels, &one_class, 1, 1).unwrap_err();
        assert_eq!(error, Error::OneClass { label: true, rows: one_class.len() });
        assert_eq!(model.permutation_importances(&table, &labels, &[], 1, 1), Err(Error::NoRows));
        let none = model.permutation_importances(&table, &labels, test, 0, 1).unwrap_err();
        assert!(matches!(none, Error::BadParameter { name: "repeats", .. }));
    }
    let constant = numeric_table(&[vec![1.0; 10], vec![f64::NAN; 10]]);
    let labels: Vec<bool> = (0..10).map(|i| i % 2 == 0).collect();
    for algorithm in [forest(3), boosting(3)] {
        let model = binary::fit(&algorithm, &constant, &labels, &all(&constant), 0, None).unwrap();
        assert_eq!(model.gain_importances().unwrap(), [0.0, 0.0]);
        assert!(model.leaves().unwrap().iter().all(|&leaves| leaves == 1));
    }
}

#[test]
fn boosting_learns_more_than_a_forest_and_stops_where_nothing_gains() {
    let (table, labels) = generated(12_000, 10);
    let rows = all(&table);
    let (train, test) = rows.split_at(9_000);
    let found = |algorithm: &SupervisedParams| {
        let model = binary::fit(algorithm, &table, &labels, train, 0, None).unwrap();
        assert_eq!(Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
        auc(&labels[9_000..], &model.predict_proba(&table, test).unwrap())
    };
    let (boosted, grown) = (found(&boosting(60)), found(&forest(20)));
    assert!(boosted > grown, "{boosted} {grown}");
    let seeded = |seed| {
        let params =
            GradientBoostingParams { max_features: 0.4, trees: 3, ..GradientBoostingParams::default() };
        binary::fit(&SupervisedParams::GradientBoosting(params), &table, &labels, train, seed, None).unwrap()
    };
    assert!(seeded(1) == seeded(1) && seeded(1) != seeded(2));
    let leaves = binary::fit(&boosting(4), &table, &labels, train, 0, None).unwrap().leaves().unwrap();
    assert_eq!(leaves, [31; 4]);
    let few = numeric_table(&[(0..30).map(f64::from).collect()]);
    let labels: Vec<bool> = (0..30).map(|i| i > 20).collect();
    let model = binary::fit(&boosting(100), &few, &labels, &all(&few), 0, None).unwrap();
    assert_eq!(model.leaves().unwrap(), [0; 0], "no split keeps 20 rows on both sides");
    assert!(model.predict_proba(&few, &[0, 29]).unwrap().iter().all(|p| (p - 0.3).abs() < 1e-12));
}

#[test]
fn weights_of_rows_and_classes_whose_products_vanish_still_count() {
    let mut table = FeatureTable::new(vec!["x".into()], vec![]);
    table.push_numeric(0, [0.0, 1.0, 0.0, 1.0]);
    table.finish_append().unwrap();
    let (labels, weights) = ([false, true, false, true], [1e300, 1e-300, 1e300, 1e-300]);
    let class_weight = ClassWeight::Given { negative: 1e-200, positive: 1e200 };
    let rows = all(&table);
    let training = TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &labels, &rows) };
    let model = binary::fit_rows(&tree(2, 1, class_weight), &training, 0, None).unwrap();
    let scores = model.predict_proba(&table, &rows).unwrap();
    assert!(scores[0] < 0.5 && scores[1] > 0.5, "{scores:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_rows_and_weights_give_probabilities_or_an_error(
        (values, kinds, labels, weights) in (0usize..60).prop_flat_map(|rows| (
            prop::collection::vec(prop_oneof![4 => (-3i8..3).prop_map(f64::from), 1 => Just(f64::NAN), 1 => any::<f64>()], rows),
            prop::collection::vec(prop::option::of(0u8..20), rows),
            prop::collection::vec(any::<bool>(), rows),
            prop::collection::vec(prop_oneof![4 => 0.0f64..3.0, 1 => Just(0.0), 1 => Just(1e300), 1 => Just(1e-300)], rows),
        )),
        trees in 1u32..5, max_leaves in 2u32..20, learning_rate in 0.01f64..=1.0, l2 in prop_oneof![Just(0.0), Just(1e300), 0.0f64..9.0],
        min_samples_leaf in 1u32..4, max_features in 0.01f64..=1.0, weighted in any::<bool>(), seed in any::<u64>(),
        class_weight in prop_oneof![
            Just(ClassWeight::Equal), Just(ClassWeight::Balanced), Just(ClassWeight::Given { negative: 1e-200, positive: 1e200 }),
        ],
    ) {
        let mut table = FeatureTable::new(vec!["x".into()], vec!["c".into()]);
        table.push_numeric(0, values);
        let text: Vec<Option<String>> = kinds.iter().map(|v| v.map(|v| v.to_string())).collect();
        table.push_category(0, text.iter().map(Option::as_deref));
        table.finish_append().unwrap();
        let rows = all(&table);
        let weights = weighted.then_some(&weights[..]);
        for algorithm in [
            SupervisedParams::GradientBoosting(GradientBoostingParams {
                trees, max_leaves, learning_rate, l2, min_samples_leaf, max_features, class_weight,
                ..GradientBoostingParams::default()
            }),
            SupervisedParams::RandomForest(RandomForestParams {
                trees, min_samples_leaf, max_features, class_weight, ..RandomForestParams::default()
            }),
            tree(9, min_samples_leaf, class_weight),
        ] {
            let training = TrainingRows { weights, ..TrainingRows::new(&table, &labels, &rows) };
            match binary::fit_rows(&algorithm, &training, seed, None) {
                Ok(model) => {
                    let scores = model.predict_proba(&table, &rows).unwrap();
                    prop_assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", scores);
                    prop_assert_eq!(&Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
                    prop_assert_eq!(model.apply(&table, &rows).unwrap().nrows(), rows.len());
                }
                Err(error) => prop_assert!(
                    matches!(error, Error::NoRows | Error::TooFewRows { .. } | Error::OneClass { .. }), "{}", error
                ),
            }
        }
    }
}
