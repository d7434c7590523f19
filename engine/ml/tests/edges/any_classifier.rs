//! Any rows, weights and settings: a classifier that scores within 0 to 1, or the error that is stated.

use crate::binary::{self, TrainingRows};
use crate::data::{Case, all, case, cases, on_threads};
use proptest::prelude::*;
use tidemill_ml::{
    BinaryMetrics, Cache, Categories, ClassWeight, Classifier, DecisionTreeParams, Error,
    GradientBoostingParams, LearningRate, LinearCategories, LogisticBackend, LogisticRegressionParams,
    RandomForestParams, Scores, SgdClassifierParams, SgdPenalty, SupervisedParams,
};

/// The error that the rows call for, whatever the algorithm.
fn error_of(case: &Case, rows: &[u32]) -> Option<String> {
    if case.numeric.is_empty() && case.categorical.is_empty() {
        return Some("NoFeatures".into());
    }
    let weight = |row: u32| case.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
    if rows.iter().any(|&row| !(weight(row) >= 0.0 && weight(row).is_finite())) {
        return Some("BadWeight".into());
    }
    let weighing: Vec<bool> =
        rows.iter().filter(|row| weight(**row) > 0.0).map(|row| case.labels[*row as usize]).collect();
    match weighing.len() {
        0 => Some("NoRows".into()),
        1 => Some("TooFewRows".into()),
        _ if weighing.iter().all(|label| *label == weighing[0]) => Some("OneClass".into()),
        _ => None,
    }
}

/// Whether the weights differ, for algorithms that know none.
fn weights_differ(case: &Case, rows: &[u32]) -> bool {
    let Some(weights) = &case.weights else { return false };
    let mut weighing = rows.iter().map(|row| weights[*row as usize]).filter(|weight| *weight > 0.0);
    let first = weighing.next();
    weighing.any(|weight| Some(weight) != first)
}

/// What holds of every classifier and any rows. `may_fail`: whether these settings may lead to no finite model.
fn check(algorithm: &SupervisedParams, case: &Case, seed: u64, may_fail: bool) -> Result<(), TestCaseError> {
    let (table, elsewhere) = (case.table(), case.elsewhere());
    let rows: Vec<u32> = all(&table).into_iter().step_by(case.step).collect();
    let training =
        TrainingRows { weights: case.weights.as_deref(), ..TrainingRows::new(&table, &case.labels, &rows) };
    let fit =
        |before: Option<&Classifier>| on_threads(|| binary::fit_rows(algorithm, &training, seed, before));
    let [one, three] = fit(None);
    let model = match (one, three) {
        (Ok(one), Ok(three)) => {
            prop_assert!(one.to_bytes().unwrap() == three.to_bytes().unwrap(), "threads: {:?}", algorithm);
            one
        }
        (one, three) => {
            prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
            let error = one.unwrap_err();
            let found = format!("{error:?}");
            match error_of(case, &rows) {
                Some(expected) => prop_assert!(found.starts_with(&expected), "{} for {}", found, expected),
                None => match error {
                    Error::NotOfAlgorithm { what: "weights of rows", .. } => {
                        prop_assert!(weights_differ(case, &rows));
                    }
                    Error::Solver(_) => prop_assert!(may_fail, "{:?}: {}", algorithm, found),
                    _ => prop_assert!(false, "{:?}: {}", algorithm, found),
                },
            }
            return Ok(());
        }
    };
    prop_assert_eq!(error_of(case, &rows), None);
    let scores = |model: &Classifier| {
        let [one, three] = on_threads(|| {
            let mut scores = model.predict_proba(&table, &all(&table)).unwrap();
            scores.extend(model.predict_proba(&elsewhere, &all(&elsewhere)).unwrap());
            scores
        });
        assert!(one.iter().zip(&three).all(|(a, b)| a.to_bits() == b.to_bits()), "{algorithm:?}");
        one
    };
    let found = scores(&model);
    prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}: {:?}", algorithm, found);
    prop_assert!(model.predict_proba(&table, &[]).unwrap().is_empty());
    prop_assert!(BinaryMetrics::compute(&case.labels, &found[..table.rows()]).is_ok());
    prop_assert_eq!(&Classifier::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
    let again = binary::fit_rows(algorithm, &training, seed, None).unwrap();
    prop_assert!(again.to_bytes().unwrap() == model.to_bytes().unwrap(), "again: {:?}", algorithm);

    // Bins and counts that were kept change nothing but the time.
    let mut bins = Cache::new();
    bins.extend(&table, &rows).unwrap();
    let with_bins = TrainingRows { bins: Some(&bins), ..training };
    let mut counts = Cache::new();
    for _ in 0..2 {
        let kept = binary::refit(algorithm, &with_bins, seed, None, &mut counts).unwrap();
        prop_assert!(kept.to_bytes().unwrap() == model.to_bytes().unwrap(), "kept: {:?}", algorithm);
    }
    let kept = binary::score_kept(&model, &with_bins, &all(&table), &bins);
    prop_assert_eq!(kept, BinaryMetrics::compute(&case.labels, &found[..table.rows()]).map(Scores::Binary));

    if let Some(coefficients) = model.coefficients() {
        let weights = coefficients.columns.iter().flat_map(|column| [column.weight, column.standardised]);
        prop_assert!(weights.chain([coefficients.intercept]).all(f64::is_finite), "{:?}", coefficients);
    }
    if let Ok(leaves) = model.leaves() {
        let found = model.apply(&table, &all(&table)).unwrap();
        prop_assert!(found.outer_iter().flatten_leaves().all(|(tree, leaf)| (leaf as usize) < leaves[tree]));
        let gains: f64 = model.gain_importances().unwrap().iter().sum();
        prop_assert!(gains == 0.0 || (gains - 1.0).abs() < 1e-9, "{:?}: {}", algorithm, gains);
    }
    let [warm, on_three] = fit(Some(&model));
    let warm = match (warm, on_three) {
        (Ok(warm), Ok(three)) => {
            prop_assert!(warm.to_bytes().unwrap() == three.to_bytes().unwrap(), "warm: {:?}", algorithm);
            warm
        }
        (warm, _) => {
            prop_assert!(false, "warm {:?}: {:?}", algorithm, warm);
            return Ok(());
        }
    };
    let found = scores(&warm);
    prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)), "warm {:?}: {:?}", algorithm, found);
    Ok(())
}

trait Leaves {
    fn flatten_leaves(self) -> impl Iterator<Item = (usize, u32)>;
}

impl<'a, I: Iterator<Item = ndarray::ArrayView1<'a, u32>>> Leaves for I {
    fn flatten_leaves(self) -> impl Iterator<Item = (usize, u32)> {
        self.flat_map(|row| row.iter().copied().enumerate().collect::<Vec<_>>())
    }
}

fn class_weight() -> impl Strategy<Value = ClassWeight> {
    let end = || prop_oneof![Just(f64::MIN_POSITIVE), Just(f64::MAX), Just(1.0), 1e-3f64..1e3];
    prop_oneof![
        2 => Just(ClassWeight::Equal),
        1 => Just(ClassWeight::Balanced),
        1 => (end(), end()).prop_map(|(negative, positive)| ClassWeight::Given { negative, positive }),
    ]
}

fn categories() -> impl Strategy<Value = Categories> {
    prop_oneof![Just(Categories::Native), Just(Categories::TargetEncoded)]
}

fn max_features() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), Just(f64::MIN_POSITIVE), 0.01f64..1.0]
}

fn min_samples_leaf() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1u32..6, 1 => Just(1u32 << 30)]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn logistic_regression(
        case in case(), seed in any::<u64>(), linfa in any::<bool>(), one_hot in any::<bool>(), standardise in any::<bool>(),
        alpha in prop_oneof![2 => Just(1.0), 1 => Just(0.0), 1 => Just(5e-324), 1 => Just(1e300), 1 => Just(f64::MAX), 2 => 0.0f64..1e6],
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
        max_iterations in prop_oneof![Just(1u64), 2u64..200],
        gradient_tolerance in prop_oneof![Just(1e-4), Just(5e-324), Just(f64::MAX), 1e-12f64..1.0],
        max_categories in prop_oneof![Just(1usize), Just(1_000_000), 1usize..9],
    ) {
        let ours = LogisticRegressionParams {
            alpha, l1_ratio, max_iterations, gradient_tolerance, standardise, max_categories,
            categories: if one_hot { LinearCategories::OneHot } else { LinearCategories::Target },
            ..Default::default()
        };
        let params = match linfa {
            true => LogisticRegressionParams {
                alpha, max_iterations, gradient_tolerance, backend: LogisticBackend::Linfa, ..Default::default()
            },
            false => ours,
        };
        check(&SupervisedParams::LogisticRegression(params), &case, seed, linfa || alpha > 1e100)?;
    }

    #[test]
    fn random_forest(
        case in case(), seed in any::<u64>(), trees in 1u32..6, max_depth in prop_oneof![Just(1u32), Just(32), 1u32..10],
        max_features in max_features(), min_samples_leaf in min_samples_leaf(), class_weight in class_weight(), categories in categories(),
    ) {
        let params = RandomForestParams {
            trees, max_depth, max_features, min_samples_leaf, class_weight, categories, ..Default::default()
        };
        check(&SupervisedParams::RandomForest(params), &case, seed, false)?;
    }

    #[test]
    fn decision_tree(
        case in case(), seed in any::<u64>(), max_depth in prop_oneof![Just(1u32), Just(32), 1u32..10],
        max_features in max_features(), min_samples_leaf in min_samples_leaf(), class_weight in class_weight(), categories in categories(),
    ) {
        let params = DecisionTreeParams {
            max_depth, max_features, min_samples_leaf, class_weight, categories, ..Default::default()
        };
        check(&SupervisedParams::DecisionTree(params), &case, seed, false)?;
    }

    #[test]
    fn gradient_boosting(
        case in case(), seed in any::<u64>(), trees in 1u32..30, learning_rate in prop_oneof![Just(1.0), Just(f64::MIN_POSITIVE), 0.01f64..1.0],
        max_leaves in prop_oneof![Just(2u32), Just(65_536), 2u32..40], max_depth in prop_oneof![Just(1u32), Just(32), 1u32..10],
        max_features in max_features(), min_samples_leaf in min_samples_leaf(),
        l2 in prop_oneof![Just(0.0), Just(f64::MAX), Just(5e-324), 0.0f64..10.0], class_weight in class_weight(), categories in categories(),
    ) {
        let params = GradientBoostingParams {
            trees, learning_rate, max_leaves, max_depth, max_features, min_samples_leaf, l2, class_weight, categories,
        };
        check(&SupervisedParams::GradientBoosting(params), &case, seed, false)?;
    }

    #[test]
    fn sgd_classifier(
        case in case(), later in case(), seed in any::<u64>(), which in 0usize..16, average in any::<bool>(), shuffle in any::<bool>(), standardise in any::<bool>(),
        alpha in prop_oneof![2 => Just(1e-4), 1 => Just(1e-12), 1 => Just(f64::MAX), 1 => 1e-9f64..2.0],
        l1_ratio in 0.0f64..=1.0, eta0 in prop_oneof![2 => Just(0.01), 1 => Just(f64::MIN_POSITIVE), 1 => Just(f64::MAX), 1 => 1e-9f64..10.0],
        power_t in prop_oneof![2 => Just(0.5), 1 => Just(f64::MAX), 1 => Just(f64::MIN), 1 => -2.0f64..2.0],
        epochs in 1u32..8, tolerance in prop_oneof![Just(0.0), Just(1e-3), Just(f64::MAX)], patience in prop_oneof![Just(1u32), Just(u32::MAX)],
        hash_bits in prop_oneof![4 => 1u32..12, 1 => Just(16u32)],
    ) {
        let penalty = [SgdPenalty::None, SgdPenalty::L2, SgdPenalty::L1, SgdPenalty::ElasticNet][which % 4];
        let learning_rate =
            [LearningRate::Constant, LearningRate::Optimal, LearningRate::InvScaling, LearningRate::Adaptive][which / 4];
        let algorithm = SupervisedParams::SgdClassifier(SgdClassifierParams {
            alpha, penalty, l1_ratio, learning_rate, eta0, power_t, average, epochs, tolerance, patience, shuffle, standardise, hash_bits,
        });
        check(&algorithm, &case, seed, true)?;

        // And from other rows on, of one class or of one row too.
        let table = case.table();
        let Ok(model) = binary::fit(&algorithm, &table, &case.labels, &all(&table), seed, None) else { return Ok(()) };
        let mut later = later;
        later.numeric.truncate(case.numeric.len());
        later.categorical.truncate(case.categorical.len());
        let rows = later.labels.len();
        later.numeric.resize(case.numeric.len(), vec![1e308; rows]);
        later.categorical.resize(case.categorical.len(), vec![None; rows]);
        let table = later.table();
        let [one, three] = on_threads(|| binary::partial_fit(&model, &table, &later.labels, &all(&table), seed));
        match (one, three) {
            (Ok(one), Ok(three)) => {
                prop_assert!(one.to_bytes().unwrap() == three.to_bytes().unwrap());
                let scores = one.predict_proba(&table, &all(&table)).unwrap();
                prop_assert!(scores.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", scores);
                prop_assert_eq!(&Classifier::from_bytes(&one.to_bytes().unwrap()).unwrap(), &one);
            }
            (Err(error), _) => prop_assert!(
                (rows == 0 && error == Error::NoRows) || (rows > 0 && matches!(error, Error::Solver(_))), "{}", error
            ),
            (Ok(_), Err(error)) => prop_assert!(false, "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn smartcores_trees(
        case in case(), seed in any::<u64>(), trees in 1u32..5, max_depth in prop_oneof![Just(1u32), Just(32), 1u32..10],
        max_features in max_features(), min_samples_leaf in min_samples_leaf(), forest in any::<bool>(),
    ) {
        let backend = tidemill_ml::TreeBackend::Smartcore;
        let algorithm = match forest {
            true => SupervisedParams::RandomForest(RandomForestParams { trees, max_depth, max_features, min_samples_leaf, backend, ..Default::default() }),
            false => SupervisedParams::DecisionTree(DecisionTreeParams { max_depth, min_samples_leaf, backend, ..Default::default() }),
        };
        check(&algorithm, &case, seed, false)?;
    }
}
