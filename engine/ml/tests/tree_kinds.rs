//! Trees, forests and boosting of a number and of many classes from outside: scikit-learn's numbers, small answers that are
//! known, weights, missing values, threads and files.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use tidemill_ml::{
    Cache, Categories, ClassWeight, DecisionTreeParams, Error, Estimator, FeatureTable, Fitted,
    GradientBoostingParams, Prediction, RandomForestParams, Rows, Target,
};

#[derive(Deserialize)]
struct Golden {
    columns: Vec<Vec<f64>>,
    missing: Vec<Vec<Option<f64>>>,
    numbers: Vec<f64>,
    labels: Vec<u32>,
    weights: Vec<f64>,
    number_tree: NumberTree,
    number_tree_weighted: NumberTree,
    class_tree: ClassTree,
    class_tree_weighted: ClassTree,
    class_tree_balanced: ClassTree,
    number_boosted: Vec<f64>,
    number_boosted_l2: Vec<f64>,
    number_boosted_weighted: Vec<f64>,
    class_boosted: Vec<f64>,
    class_boosted_weighted: Vec<f64>,
}

#[derive(Deserialize)]
struct NumberTree {
    said: Vec<f64>,
    importances: Vec<f64>,
}

#[derive(Deserialize)]
struct ClassTree {
    shares: Vec<f64>,
    leaf_weights: Vec<f64>,
    importances: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/tree_kinds.json")).unwrap()
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

/// What it says of all rows: numbers, or rows × classes probabilities.
fn said(fitted: &Fitted, table: &FeatureTable) -> Vec<f64> {
    match fitted.predict(table, &all(table)).unwrap() {
        Prediction::Numbers(said) => said,
        Prediction::Classes { probabilities, .. } => probabilities,
        _ => Vec::new(),
    }
}

fn fit(estimator: &Estimator, table: &FeatureTable, target: Target<'_>, weights: Option<&[f64]>) -> Fitted {
    let rows = all(table);
    estimator.fit(&Rows { weights, ..Rows::new(table, target, &rows) }, 0).unwrap()
}

fn near(found: &[f64], expected: &[f64], by: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let far = found.iter().zip(expected).position(|(a, b)| (a - b).abs() > by);
    assert_eq!(far.map(|at| (at, found[at], expected[at])), None, "{what}");
}

fn tree(class_weight: ClassWeight) -> Estimator {
    let defaults = DecisionTreeParams::default();
    DecisionTreeParams { max_depth: 5, min_samples_leaf: 25, class_weight, ..defaults }.into()
}

fn boosting(l2: f64, learning_rate: f64) -> Estimator {
    let defaults = GradientBoostingParams::default();
    GradientBoostingParams { trees: 30, max_leaves: 12, l2, learning_rate, ..defaults }.into()
}

fn importances(fitted: &Fitted) -> Vec<f64> {
    fitted.gain_importances().iter().map(|(_, gain)| *gain).collect()
}

#[test]
fn a_tree_of_a_number_is_that_of_scikit_learn() {
    let golden = golden();
    let table = numeric_table(&golden.columns);
    for (expected, weights) in
        [(&golden.number_tree, None), (&golden.number_tree_weighted, Some(&golden.weights[..]))]
    {
        let fitted = fit(&tree(ClassWeight::Equal), &table, Target::Numbers(&golden.numbers), weights);
        near(&said(&fitted, &table), &expected.said, 1e-6, "tree");
        near(&importances(&fitted), &expected.importances, 1e-6, "importances");
    }
}

#[test]
fn a_tree_of_classes_is_that_of_scikit_learn() {
    let golden = golden();
    let table = numeric_table(&golden.columns);
    let rows = golden.labels.len() as f64;
    let count = |class: u32| golden.labels.iter().filter(|label| **label == class).count() as f64;
    for (name, expected, weights, class_weight) in [
        ("plain", &golden.class_tree, None, ClassWeight::Equal),
        ("weighted", &golden.class_tree_weighted, Some(&golden.weights[..]), ClassWeight::Equal),
        ("balanced", &golden.class_tree_balanced, None, ClassWeight::Balanced),
    ] {
        let target = Target::Classes { labels: &golden.labels, classes: 3 };
        let fitted = fit(&tree(class_weight), &table, target, weights);
        near(&importances(&fitted), &expected.importances, 1e-6, name);
        // Ours are drawn towards the whole by a row of mean weight.
        let weight = |row: usize| match (weights, class_weight) {
            (Some(weights), _) => weights[row],
            (None, ClassWeight::Balanced) => rows / 3.0 / count(golden.labels[row]),
            _ => 1.0,
        };
        let total: f64 = (0..golden.labels.len()).map(weight).sum();
        let prior = [0, 1, 2].map(|class| {
            (0..golden.labels.len()).filter(|row| golden.labels[*row] == class).map(weight).sum::<f64>()
                / total
        });
        let mean = total / rows;
        let drawn: Vec<f64> = expected
            .shares
            .chunks(3)
            .zip(&expected.leaf_weights)
            .flat_map(|(shares, leaf)| {
                [0, 1, 2].map(|class| (shares[class] * leaf / mean + prior[class]) / (leaf / mean + 1.0))
            })
            .collect();
        near(&said(&fitted, &table), &drawn, 1e-6, name);
    }
}

#[test]
fn boosting_is_that_of_scikit_learn() {
    let golden = golden();
    let columns: Vec<Vec<f64>> = golden
        .missing
        .iter()
        .map(|column| column.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        .collect();
    let table = numeric_table(&columns);
    let (numbers, classes) =
        (Target::Numbers(&golden.numbers), Target::Classes { labels: &golden.labels, classes: 3 });
    let weights = Some(&golden.weights[..]);
    // scikit-learn sums gradients as f32.
    for (name, expected, target, weights, estimator, by) in [
        ("numbers", &golden.number_boosted, numbers, None, boosting(0.0, 0.1), 1e-4),
        ("l2", &golden.number_boosted_l2, numbers, None, boosting(3.0, 0.3), 1e-4),
        ("weighted numbers", &golden.number_boosted_weighted, numbers, weights, boosting(0.0, 0.1), 1e-4),
        ("classes", &golden.class_boosted, classes, None, boosting(0.0, 0.1), 1e-4),
        ("weighted classes", &golden.class_boosted_weighted, classes, weights, boosting(0.0, 0.1), 1e-4),
    ] {
        near(&said(&fit(&estimator, &table, target, weights), &table), expected, by, name);
    }
}

#[test]
fn small_answers_are_known() {
    // One split, between 2 and 3: means 2 and 20.
    let table = numeric_table(&[vec![1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]]);
    let numbers = [1.0, 3.0, 1.0, 3.0, 19.0, 21.0, 19.0, 21.0];
    let one = |params: DecisionTreeParams| Estimator::from(params);
    let stump = DecisionTreeParams { max_depth: 1, min_samples_leaf: 1, ..DecisionTreeParams::default() };
    let fitted = fit(&one(stump.clone()), &table, Target::Numbers(&numbers), None);
    near(&said(&fitted, &table), &[2.0, 2.0, 2.0, 2.0, 20.0, 20.0, 20.0, 20.0], 1e-7, "means");
    assert_eq!(importances(&fitted), [1.0]);
    // Shares of the leaves drawn by a row of (1/2, 1/4, 1/4): (4 + .5) / 5, and (2 + .25) / 5 twice.
    let target = Target::Classes { labels: &[0, 0, 0, 0, 1, 2, 1, 2], classes: 3 };
    let found = said(&fit(&one(stump), &table, target, None), &table);
    near(&found[..3], &[0.9, 0.05, 0.05], 1e-12, "left");
    near(&found[21..], &[0.1, 0.45, 0.45], 1e-12, "right");
}

#[test]
fn what_cannot_be_learned_is_an_error() {
    let table = numeric_table(&[vec![1.0, 2.0, 3.0, 4.0]]);
    let rows = all(&table);
    let fit = |params: &Estimator, target: Target<'_>| {
        params.fit(&Rows::new(&table, target, &rows), 1).unwrap_err()
    };
    let forest = Estimator::from(RandomForestParams::default());
    for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let numbers = [1.0, 2.0, bad, 4.0];
        let error = fit(&forest, Target::Numbers(&numbers));
        assert!(matches!(error, Error::BadTarget { row: 2, .. }), "{error}");
    }
    let error = fit(&forest, Target::Classes { labels: &[0, 0, 0, 0], classes: 3 });
    assert!(matches!(error, Error::OneOfManyClasses { .. }), "{error}");
    let error = fit(&forest, Target::Classes { labels: &[0, 1, 0, 3], classes: 4 });
    assert!(matches!(error, Error::ClassWithoutRows { class: 2, .. }), "{error}");
    let given = ClassWeight::Given { negative: 1.0, positive: 2.0 };
    let classes = Target::Classes { labels: &[0, 1, 2, 2], classes: 3 };
    let numbers = Target::Numbers(&[1.0, 2.0, 3.0, 4.0]);
    for (class_weight, target) in [(given, classes), (given, numbers), (ClassWeight::Balanced, numbers)] {
        for estimator in [
            RandomForestParams { class_weight, ..RandomForestParams::default() }.into(),
            DecisionTreeParams { class_weight, ..DecisionTreeParams::default() }.into(),
            Estimator::from(GradientBoostingParams { class_weight, ..GradientBoostingParams::default() }),
        ] {
            let error = fit(&estimator, target);
            assert!(matches!(error, Error::BadParameter { name: "class_weight", .. }), "{error}");
        }
    }
}

/// Every algorithm of trees, with native and encoded categories.
fn estimators() -> Vec<Estimator> {
    let mut all = Vec::new();
    for categories in [Categories::Native, Categories::TargetEncoded] {
        let forest = RandomForestParams { trees: 7, categories, ..RandomForestParams::default() };
        all.push(RandomForestParams { max_features: 0.2, max_depth: 12, ..forest.clone() }.into());
        all.push(forest.into());
        all.push(DecisionTreeParams { categories, ..DecisionTreeParams::default() }.into());
        let boosting = GradientBoostingParams { trees: 8, categories, ..GradientBoostingParams::default() };
        all.push(GradientBoostingParams { max_features: 0.5, ..boosting.clone() }.into());
        all.push(boosting.into());
    }
    all
}

/// Rows whose number and class depend on `x0`, on `c0`, and on whether `x1` is missing.
fn generated(rows: u64) -> (FeatureTable, Vec<f64>, Vec<u32>) {
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut table = FeatureTable::new(vec!["x0".into(), "x1".into()], vec!["c0".into(), "c1".into()]);
    let (mut numbers, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let (x, missing, kind, many) = (next(100), next(5) == 0, next(12), next(400));
        table.push_numeric(0, [x as f64]);
        table.push_numeric(1, [if missing { f64::NAN } else { next(9) as f64 }]);
        table.push_category(0, [Some(format!("k{kind}").as_str()).filter(|_| kind > 0)]);
        table.push_category(1, [Some(format!("m{many}").as_str())]);
        let jump = if missing { 40.0 } else { 0.0 };
        numbers.push(x as f64 + 30.0 * (kind % 3) as f64 + jump + next(20) as f64);
        labels.push(if next(10) == 0 {
            next(4) as u32
        } else if missing {
            3
        } else {
            (kind % 3) as u32
        });
    }
    table.finish_append().unwrap();
    (table, numbers, labels)
}

#[test]
fn all_threads_caches_and_files_give_the_same() {
    let (table, numbers, labels) = generated(6_000);
    let rows: Vec<u32> = (0..6_000).filter(|row| row % 5 != 3).collect();
    let weights: Vec<f64> = (0..6_000).map(|row| 0.3 + f64::from(row % 7)).collect();
    let mut cache = Cache::new();
    cache.extend(&table, &rows).unwrap();
    for estimator in estimators() {
        for target in [Target::Numbers(&numbers), Target::Classes { labels: &labels, classes: 4 }] {
            for weights in [None, Some(&weights[..])] {
                let of = Rows { weights, ..Rows::new(&table, target, &rows) };
                let on = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| {
                        let fitted = estimator.fit(&of, 9).unwrap();
                        (fitted.to_bytes().unwrap(), said(&fitted, &table))
                    })
                };
                let (bytes, found) = on(1);
                assert!((bytes.clone(), found.clone()) == on(3), "{estimator:?}");
                let fitted = estimator.refit(&of, 9, None, &mut cache).unwrap();
                assert!(fitted.to_bytes().unwrap() == bytes, "kept bins: {estimator:?}");
                let read = Fitted::from_bytes(&bytes).unwrap();
                assert!(found.len() >= 6_000);
                assert!(read == fitted && said(&read, &table) == found);
                // It has learned: better than the mean, and than the commonest class.
                let worth = match target {
                    Target::Numbers(_) => {
                        let mean = numbers.iter().sum::<f64>() / 6_000.0;
                        let of = |said: &dyn Fn(usize) -> f64| -> f64 {
                            (0..6_000).map(|row| (said(row) - numbers[row]).powi(2)).sum()
                        };
                        of(&|row| found[row]) / of(&|_| mean)
                    }
                    _ => {
                        let loss: f64 =
                            (0..6_000).map(|row| -found[row * 4 + labels[row] as usize].ln()).sum();
                        loss / (6_000.0 * 4f64.ln())
                    }
                };
                assert!(worth < 0.85, "{worth}: {estimator:?} {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_damaged_file_is_refused_and_one_that_reads_scores() {
    let (table, numbers, labels) = generated(400);
    let rows = all(&table);
    for estimator in estimators() {
        for target in [Target::Numbers(&numbers), Target::Classes { labels: &labels, classes: 4 }] {
            let bytes = estimator.fit(&Rows::new(&table, target, &rows), 9).unwrap().to_bytes().unwrap();
            for at in (16..bytes.len()).step_by(1 + bytes.len() / 150) {
                for flip in [1, 0x80] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= flip;
                    assert!(Fitted::from_bytes(&damaged).is_err());
                    let sum = crc32fast::hash(&damaged[16..]);
                    damaged[12..16].copy_from_slice(&sum.to_le_bytes());
                    if let Ok(read) = Fitted::from_bytes(&damaged)
                        && let Ok(
                            Prediction::Numbers(found) | Prediction::Classes { probabilities: found, .. },
                        ) = read.predict(&table, &rows)
                    {
                        assert!(found.iter().all(|value| value.is_finite()), "byte {at}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_at_every_edge_have_finite_answers() {
    let values = [f64::MAX, f64::MIN, 1e300, -1e300, 1.0, 2.0, 5e-324, 0.0];
    let mut table = FeatureTable::new(vec!["x".into(), "same".into()], vec!["c".into()]);
    table.push_numeric(0, (0..64).map(|i| if i % 9 == 0 { f64::NAN } else { values[i % 8] }));
    table.push_numeric(1, [3.0; 64]);
    let names: Vec<String> = (0..64).map(|i| i.to_string()).collect();
    table.push_category(0, names.iter().map(|name| Some(name.as_str())));
    table.finish_append().unwrap();
    let mut elsewhere = FeatureTable::new(vec!["x".into(), "same".into()], vec!["c".into()]);
    elsewhere.push_numeric(0, [f64::INFINITY, f64::NAN]);
    elsewhere.push_numeric(1, [f64::MIN, f64::NAN]);
    elsewhere.push_category(0, [Some("new"), None]);
    elsewhere.finish_append().unwrap();
    let weights: Vec<f64> = (0..64).map(|i| [1.0, 1e300, 5e-324, 0.0, 3.0][i % 5]).collect();
    let ends: Vec<f64> = (0..64).map(|i| values[i * 3 % 8]).collect();
    let (constant, labels): (Vec<f64>, Vec<u32>) = (vec![0.1; 64], (0..64).map(|i| i % 3).collect());
    for estimator in estimators() {
        for (target, width) in [
            (Target::Numbers(&ends), 1),
            (Target::Numbers(&constant), 1),
            (Target::Classes { labels: &labels, classes: 3 }, 3),
        ] {
            for weights in [None, Some(&weights[..])] {
                let fitted = fit(&estimator, &table, target, weights);
                let found = [said(&fitted, &table), said(&fitted, &elsewhere)].concat();
                assert!(found.iter().all(|value| value.is_finite()), "{estimator:?}: {found:?}");
                if width == 3 {
                    let sums = found.chunks(3).map(|of_row| of_row.iter().sum::<f64>());
                    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-12));
                    assert!(found.iter().all(|share| (0.0..=1.0).contains(share)));
                } else if target == Target::Numbers(&constant) {
                    assert!(found.iter().all(|value| *value == 0.1), "{estimator:?}: {found:?}");
                }
                assert_eq!(Fitted::from_bytes(&fitted.to_bytes().unwrap()).unwrap(), fitted);
            }
        }
    }
}
