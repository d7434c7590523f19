//! The classifiers from outside: what they learn, every edge case's outcome, determinism, and the model file.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    BinaryMetrics, Categories, Classifier, DecisionTreeParams, Error, ErrorKind, FeatureTable,
    GradientBoostingParams, LinearCategories, LogisticRegressionParams, RandomForestParams,
    SgdClassifierParams, SupervisedParams,
};

fn algorithms() -> [SupervisedParams; 4] {
    [
        SupervisedParams::LogisticRegression(LogisticRegressionParams::default()),
        SupervisedParams::RandomForest(RandomForestParams::default()),
        SupervisedParams::DecisionTree(DecisionTreeParams::default()),
        SupervisedParams::GradientBoosting(GradientBoostingParams {
            min_samples_leaf: 5,
            ..GradientBoostingParams::default()
        }),
    ]
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

/// A table with numeric columns only.
fn numeric_table(columns: &[Vec<f64>]) -> FeatureTable {
    let mut table = FeatureTable::new(names("x", columns.len()), vec![]);
    columns.iter().enumerate().for_each(|(i, column)| table.push_numeric(i, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

/// Arrest-like rows: a number that matters, one that does not and is missing at times, a category of 40 with rates of
/// their own, a category of many values that says nothing. Gives also the probability that drew each label.
fn generated(rows: usize, seed: u64) -> (FeatureTable, Vec<bool>, Vec<f64>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let rates: Vec<f64> = (0..40).map(|k| f64::from((k * 17) % 40) / 8.0 - 3.0).collect();
    let (mut matters, mut noise, mut kind, mut place) = (vec![], vec![], vec![], vec![]);
    let (mut labels, mut truth) = (vec![], vec![]);
    for _ in 0..rows {
        let k = random.gen_range(0..40usize);
        let x: f64 = random.gen_range(-2.0..2.0);
        let p = 1.0 / (1.0 + (-(rates[k] + x)).exp());
        matters.push(x);
        noise.push(if random.gen_bool(0.2) { f64::NAN } else { random.gen_range(0.0..1e6) });
        kind.push(format!("kind {k}"));
        place.push(format!("place {}", random.gen_range(0..rows / 3)));
        labels.push(random.gen_bool(p));
        truth.push(p);
    }
    let mut table = FeatureTable::new(names("x", 2), names("c", 2));
    table.push_numeric(0, matters);
    table.push_numeric(1, noise);
    table.push_category(0, kind.iter().map(|s| Some(s.as_str())));
    table.push_category(1, place.iter().map(|s| Some(s.as_str())));
    table.finish_append().unwrap();
    (table, labels, truth)
}

fn auc(labels: &[bool], probabilities: &[f64]) -> f64 {
    BinaryMetrics::compute(labels, probabilities).unwrap().auc.unwrap()
}

#[test]
fn models_come_close_to_the_truth_that_made_the_rows() {
    let (table, labels, truth) = generated(12_000, 3);
    let (train, test): (Vec<u32>, Vec<u32>) = (0..12_000).partition(|row| row % 4 != 0);
    let pick = |of: &[f64]| test.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
    let test_labels: Vec<bool> = test.iter().map(|&row| labels[row as usize]).collect();
    let best = auc(&test_labels, &pick(&truth));
    for (algorithm, margin) in algorithms().iter().zip([0.01, 0.03, 0.06, 0.03]) {
        let model = binary::fit(algorithm, &table, &labels, &train, 1, None).unwrap();
        let scores = model.predict_proba(&table, &test).unwrap();
        let found = auc(&test_labels, &scores);
        assert!(found > best - margin, "{}: AUC {found}, the truth's is {best}", algorithm.name());
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let share = test_labels.iter().filter(|l| **l).count() as f64 / scores.len() as f64;
        assert!((mean - share).abs() < 0.03, "{}: mean score {mean}, share {share}", algorithm.name());
    }
}

#[test]
fn a_fit_and_its_scores_are_the_same_bytes_for_any_number_of_threads() {
    let (table, labels, _) = generated(20_000, 4);
    let rows: Vec<u32> = (0..20_000).filter(|row| row % 5 != 2).collect();
    for algorithm in algorithms() {
        let run = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let model = binary::fit(&algorithm, &table, &labels, &rows, seed, None).unwrap();
                let scores = model.predict_proba(&table, &all(&table)).unwrap();
                (model.to_bytes().unwrap(), scores)
            })
        };
        let one = run(1, 9);
        assert!(one == run(2, 9) && one == run(3, 9), "{}", algorithm.name());
        // The seed decides: of a tree that tries every feature, in which fold a row sees its category.
        assert!(one.1 != run(1, 10).1, "{}", algorithm.name());
    }
}

#[test]
fn a_model_scores_a_table_with_its_own_codes_the_same() {
    let (table, labels, _) = generated(3_000, 5);
    let mut other = FeatureTable::new(names("x", 2), names("c", 2));
    other.push_numeric(0, [0.5, 0.5, f64::NAN]);
    other.push_numeric(1, [7.0, 7.0, f64::INFINITY]);
    other.push_category(0, [Some("kind 7"), Some("never seen"), None]);
    other.push_category(1, [Some("place 5"), None, Some("")]);
    other.finish_append().unwrap();
    let mut same = FeatureTable::new(names("x", 2), names("c", 2));
    same.push_numeric(0, [9.0, 0.5]);
    same.push_numeric(1, [9.0, 7.0]);
    same.push_category(0, [Some("never seen"), Some("kind 7")]);
    same.push_category(1, [None, Some("place 5")]);
    same.finish_append().unwrap();
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &all(&table), 1, None).unwrap();
        let scores = model.predict_proba(&other, &[0, 1, 2, 0]).unwrap();
        assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{scores:?}");
        assert_eq!(scores[0], scores[3]);
        assert_eq!(model.predict_proba(&same, &[1]).unwrap()[0], scores[0], "{}", algorithm.name());
        assert!(model.predict_proba(&other, &[]).unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_learned_from_is_an_error_that_says_so() {
    let table = numeric_table(&[vec![1.0, 2.0, 3.0, 4.0]]);
    let labels = [true, false, true, true];
    for algorithm in algorithms() {
        let fit = |table: &FeatureTable, labels: &[bool], rows: &[u32]| {
            binary::fit(&algorithm, table, labels, rows, 0, None).unwrap_err()
        };
        assert_eq!(fit(&table, &labels, &[]), Error::NoRows);
        assert_eq!(fit(&table, &labels, &[1]), Error::TooFewRows { rows: 1, needed: 2 });
        assert_eq!(fit(&table, &labels, &[0, 2, 3]), Error::OneClass { label: true, rows: 3 });
        assert_eq!(fit(&table, &labels, &[0, 2, 3]).kind(), ErrorKind::Data);
        assert_eq!(fit(&table, &labels, &[0, 4]), Error::RowOutOfRange { row: 4, rows: 4 });
        assert_eq!(fit(&table, &labels, &[0, 1, 1]), Error::RowsNotAscending { position: 2 });
        assert!(matches!(fit(&table, &labels[1..], &[0, 1]), Error::LengthMismatch { found: 3, .. }));
        assert_eq!(fit(&FeatureTable::new(vec![], vec![]), &[], &[]), Error::NoFeatures);
        let empty = FeatureTable::new(names("x", 1), vec![]);
        assert_eq!(fit(&empty, &[], &[]), Error::NoRows);
        let model = binary::fit(&algorithm, &table, &labels, &[0, 1], 0, None).unwrap();
        assert!(model.predict_proba(&table, &[3]).unwrap()[0].is_finite(), "two rows make a model");
    }
}

#[test]
fn other_feature_names_are_an_error_that_names_them() {
    let (table, labels, _) = generated(100, 6);
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &all(&table), 0, None).unwrap();
        let error = |numeric, categorical| {
            model.predict_proba(&FeatureTable::new(numeric, categorical), &[]).unwrap_err().to_string()
        };
        let swapped = error(vec!["x1".into(), "x0".into()], names("c", 2));
        assert_eq!(swapped, r#"numeric feature 0 is "x1" in the table, but the model learned "x0""#);
        let shorter = error(names("x", 2), names("c", 1));
        assert_eq!(shorter, r#"categorical feature 1 is absent in the table, but the model learned "c1""#);
        assert!(error(names("x", 3), names("c", 2)).contains("learned absent"));
        assert!(matches!(
            model.predict_proba(&table, &[100]),
            Err(Error::RowOutOfRange { row: 100, rows: 100 })
        ));
    }
}

#[test]
fn bad_parameters_are_named() {
    let logistic = LogisticRegressionParams::default;
    let forest = RandomForestParams::default;
    let tree = DecisionTreeParams::default;
    let bad = [
        (
            "alpha",
            SupervisedParams::LogisticRegression(LogisticRegressionParams { alpha: -1.0, ..logistic() }),
        ),
        (
            "alpha",
            SupervisedParams::LogisticRegression(LogisticRegressionParams { alpha: f64::NAN, ..logistic() }),
        ),
        (
            "max_iterations",
            SupervisedParams::LogisticRegression(LogisticRegressionParams {
                max_iterations: 0,
                ..logistic()
            }),
        ),
        (
            "gradient_tolerance",
            SupervisedParams::LogisticRegression(LogisticRegressionParams {
                gradient_tolerance: 0.0,
                ..logistic()
            }),
        ),
        ("trees", SupervisedParams::RandomForest(RandomForestParams { trees: 0, ..forest() })),
        ("max_depth", SupervisedParams::RandomForest(RandomForestParams { max_depth: 33, ..forest() })),
        (
            "max_features",
            SupervisedParams::RandomForest(RandomForestParams { max_features: f64::NAN, ..forest() }),
        ),
        (
            "max_features",
            SupervisedParams::RandomForest(RandomForestParams { max_features: 1.01, ..forest() }),
        ),
        (
            "min_samples_leaf",
            SupervisedParams::RandomForest(RandomForestParams { min_samples_leaf: 0, ..forest() }),
        ),
        ("max_depth", SupervisedParams::DecisionTree(DecisionTreeParams { max_depth: 0, ..tree() })),
        ("max_features", SupervisedParams::DecisionTree(DecisionTreeParams { max_features: 0.0, ..tree() })),
        (
            "min_samples_leaf",
            SupervisedParams::DecisionTree(DecisionTreeParams { min_samples_leaf: 0, ..tree() }),
        ),
    ];
    let table = numeric_table(&[vec![0.0, 1.0]]);
    for (expected, algorithm) in bad {
        match binary::fit(&algorithm, &table, &[true, false], &[0, 1], 0, None) {
            Err(Error::BadParameter { name, .. }) => assert_eq!(name, expected),
            other => panic!("{algorithm:?}: {other:?}"),
        }
    }
}

#[test]
fn constant_and_missing_columns_change_nothing() {
    let x: Vec<f64> = (0..300).map(|i| f64::from(i % 100)).collect();
    let labels: Vec<bool> = x.iter().map(|x| *x > 60.0).collect();
    let table = numeric_table(&[vec![7.25; 300], x, vec![f64::NAN; 300], vec![f64::NEG_INFINITY; 300]]);
    let constant = numeric_table(&[vec![7.25; 300], vec![f64::NAN; 300]]);
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &all(&table), 0, None).unwrap();
        let scores = model.predict_proba(&table, &all(&table)).unwrap();
        assert!(auc(&labels, &scores) > 0.999, "{}", algorithm.name());
        // Without any information every row has the share of positives.
        let model = binary::fit(&algorithm, &constant, &labels, &all(&constant), 0, None).unwrap();
        let scores = model.predict_proba(&constant, &all(&constant)).unwrap();
        assert!(scores.iter().all(|p| (p - 0.39).abs() < 0.03 && *p == scores[0]), "{:?}", scores[0]);
    }
}

#[test]
fn a_decision_tree_learns_from_every_row_once() {
    let table = numeric_table(&[(0..100).map(f64::from).collect()]);
    let labels: Vec<bool> = (0..100).map(|i| i > 40).collect();
    let model = binary::fit(&algorithms()[2], &table, &labels, &all(&table), 0, None).unwrap();
    // Two pure leaves of 41 and 59 rows, each drawn towards the share of .59 by one row.
    let scores = model.predict_proba(&table, &[0, 40, 41, 99]).unwrap();
    for (found, expected) in scores.iter().zip([0.59 / 42.0, 0.59 / 42.0, 59.59 / 60.0, 59.59 / 60.0]) {
        assert!((found - expected).abs() < 1e-12, "{scores:?}");
    }
}

#[test]
fn constant_columns_do_not_end_a_tree() {
    let mut columns = vec![vec![1.0; 100]; 30];
    columns[17] = (0..100).map(f64::from).collect();
    let (table, labels) = (numeric_table(&columns), (0..100).map(|i| i > 40).collect::<Vec<_>>());
    // One feature is tried at a split, and 29 of 30 cannot split.
    let params = RandomForestParams { trees: 1, max_features: 0.01, ..RandomForestParams::default() };
    let model =
        binary::fit(&SupervisedParams::RandomForest(params), &table, &labels, &all(&table), 0, None).unwrap();
    assert!(auc(&labels, &model.predict_proba(&table, &all(&table)).unwrap()) > 0.97);
}

#[test]
fn ten_thousand_categories_and_no_numeric_column() {
    // Every category twice, always with the same label, a quarter of them positive; few rows say little about one, and
    // nothing about an unseen one, which scores near the prior.
    let text: Vec<String> =
        (0..20_000).map(|i| format!("{}{}", if i % 4 == 0 { 'a' } else { 'b' }, i % 10_000)).collect();
    let labels: Vec<bool> = text.iter().map(|t| t.starts_with('a')).collect();
    let mut table = FeatureTable::new(vec![], names("c", 1));
    table.push_category(0, text.iter().map(|t| Some(t.as_str())).chain([Some("unseen"), None]));
    table.finish_append().unwrap();
    let labels: Vec<bool> = labels.into_iter().chain([false, false]).collect();
    let rows: Vec<u32> = (0..20_000).collect();
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &rows, 0, None).unwrap();
        let scores = model.predict_proba(&table, &[20_000, 20_001]).unwrap();
        assert!(scores.iter().all(|p| (0.1..0.45).contains(p)), "{}: {scores:?}", algorithm.name());
        assert_eq!(Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    }
    // A column each, a number each, or hashed.
    let categories = LinearCategories::OneHot;
    for algorithm in [
        SupervisedParams::LogisticRegression(LogisticRegressionParams { categories, ..Default::default() }),
        SupervisedParams::DecisionTree(DecisionTreeParams {
            categories: Categories::TargetEncoded,
            ..Default::default()
        }),
        SupervisedParams::SgdClassifier(SgdClassifierParams::default()),
    ] {
        let model = binary::fit(&algorithm, &table, &labels, &rows, 0, None).unwrap();
        let scores = model.predict_proba(&table, &[20_000, 20_001]).unwrap();
        assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{algorithm:?}: {scores:?}");
        let known = auc(&labels[..20_000], &model.predict_proba(&table, &rows).unwrap());
        assert!(known >= 0.5, "{algorithm:?}: {known}");
        assert_eq!(Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    }
}

#[test]
fn a_missing_value_that_means_something_is_learned() {
    let labels: Vec<bool> = (0..400).map(|i| i % 3 == 0).collect();
    let table = numeric_table(&[labels
        .iter()
        .enumerate()
        .map(|(i, l)| if *l { f64::NAN } else { (i % 7) as f64 })
        .collect()]);
    let mut category = FeatureTable::new(vec![], names("c", 1));
    category
        .push_category(0, labels.iter().enumerate().map(|(i, l)| (!*l).then_some(["a", "b", "c"][i % 3])));
    category.finish_append().unwrap();
    for algorithm in algorithms() {
        for table in [&table, &category] {
            let model = binary::fit(&algorithm, table, &labels, &all(table), 0, None).unwrap();
            assert_eq!(
                auc(&labels, &model.predict_proba(table, &all(table)).unwrap()),
                1.0,
                "{}",
                algorithm.name()
            );
        }
    }
}

#[test]
fn a_model_file_of_another_version_or_a_damaged_one_is_an_error() {
    let (table, labels, _) = generated(200, 9);
    for algorithm in algorithms() {
        let model = binary::fit(&algorithm, &table, &labels, &all(&table), 0, None).unwrap();
        let bytes = model.to_bytes().unwrap();
        assert_eq!(bytes, Classifier::from_bytes(&bytes).unwrap().to_bytes().unwrap());
        let mut newer = bytes.clone();
        newer[8] += 1;
        assert_eq!(
            Classifier::from_bytes(&newer).unwrap_err(),
            Error::OtherVersion { found: 7, supported: 6 }
        );
        // Format 5 had no trees over categories as these are, and was the same otherwise.
        let mut older = bytes.clone();
        older[8] = 5;
        assert_eq!(Classifier::from_bytes(&older).unwrap(), model);
        older[8] = 4;
        assert!(Classifier::from_bytes(&older).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let error = Classifier::from_bytes(&flipped).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
            assert_eq!(
                Classifier::from_bytes(&bytes[..at]).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{at} bytes"
            );
        }
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -5i32..5,
        1 => Just(i32::MAX),
    ]
    .prop_flat_map(|v| {
        prop_oneof![
            8 => Just(f64::from(v)),
            2 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::MAX),
            1 => Just(f64::MIN),
            1 => Just(f64::MIN_POSITIVE * f64::from(v)),
            1 => any::<f64>(),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_table_gives_probabilities_or_an_error(
        columns in (0usize..4, 0usize..4, 0usize..40).prop_flat_map(|(n, c, rows)| (
            prop::collection::vec(prop::collection::vec(value(), rows), n),
            prop::collection::vec(prop::collection::vec(prop::option::of(0u8..12), rows), c),
            prop::collection::vec(any::<bool>(), rows),
        )),
        trees in 1u32..5, max_depth in 1u32..33, min_samples_leaf in 1u32..4, max_features in 0.01f64..=1.0,
        alpha in prop_oneof![Just(0.0), Just(1.0), Just(1e300), 0.0f64..1e9],
        seed in any::<u64>(), keep in 1usize..4,
    ) {
        let (numeric, categorical, labels) = columns;
        let mut table = FeatureTable::new(names("x", numeric.len()), names("c", categorical.len()));
        numeric.iter().enumerate().for_each(|(i, column)| table.push_numeric(i, column.iter().copied()));
        for (i, column) in categorical.iter().enumerate() {
            let text: Vec<Option<String>> = column.iter().map(|v| v.map(|v| v.to_string())).collect();
            table.push_category(i, text.iter().map(Option::as_deref));
        }
        table.finish_append().unwrap();
        let labels = &labels[..table.rows()];
        let rows: Vec<u32> = all(&table).into_iter().step_by(keep).collect();
        for algorithm in [
            SupervisedParams::RandomForest(RandomForestParams { trees, max_depth, min_samples_leaf, max_features, ..RandomForestParams::default() }),
            SupervisedParams::LogisticRegression(LogisticRegressionParams { alpha, ..LogisticRegressionParams::default() }),
            SupervisedParams::DecisionTree(DecisionTreeParams { max_depth, min_samples_leaf, max_features, ..DecisionTreeParams::default() }),
        ] {
            match binary::fit(&algorithm, &table, labels, &rows, seed, None) {
                Ok(model) => {
                    let scores = model.predict_proba(&table, &all(&table)).unwrap();
                    prop_assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", scores);
                    prop_assert_eq!(&Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
                    let again = binary::fit(&algorithm, &table, labels, &rows, seed, Some(&model));
                    prop_assert!(again.is_ok(), "{:?}", again);
                }
                Err(error) => {
                    let no_features = numeric.is_empty() && categorical.is_empty();
                    prop_assert_eq!(error == Error::NoFeatures, no_features);
                    prop_assert!(no_features || error.kind() == ErrorKind::Data, "{}", error);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_a_model_that_scores(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        which in 0usize..4,
    ) {
        // A payload that is changed under a right checksum may be a model, and is then one that scores.
        let (table, labels, _) = generated(60, 9);
        let params = RandomForestParams { trees: 2, ..RandomForestParams::default() };
        let algorithm = [
            algorithms()[0].clone(), SupervisedParams::RandomForest(params), algorithms()[2].clone(), algorithms()[3].clone(),
        ][which].clone();
        let bytes = binary::fit(&algorithm, &table, &labels, &all(&table), 0, None).unwrap().to_bytes().unwrap();
        let sealed =
            |payload: &[u8]| [&bytes[..12], &crc32fast::hash(payload).to_le_bytes(), payload].concat();
        prop_assert!(Classifier::from_bytes(&noise).is_err());
        prop_assert!(Classifier::from_bytes(&sealed(&noise)).is_err());
        let mut payload = bytes[16..].to_vec();
        prop_assert!(Classifier::from_bytes(&sealed(&payload)).is_ok());
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        if let Ok(model) = Classifier::from_bytes(&sealed(&payload))
            && let Ok(scores) = model.predict_proba(&table, &all(&table))
        {
            prop_assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", scores);
        }
    }
}
