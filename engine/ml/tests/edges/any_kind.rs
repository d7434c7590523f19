//! Any rows, weights and settings with a target of many classes or of numbers: a model whose probabilities and numbers are
//! finite, or the error that is stated.

use crate::data::{Case, all, case, cases, on_threads, value};
use proptest::prelude::*;
use tidemill_ml::{
    Categories, ClassMetrics, ClassWeight, DecisionTreeParams, Error, Estimator, Fitted,
    GradientBoostingParams, LinearRegressionParams, LogisticRegressionParams, NumberMetrics, Prediction,
    RandomForestParams, Rows, Target,
};

/// The error that the rows call for, whatever the algorithm and the target.
fn error_of_rows(case: &Case, rows: &[u32]) -> Option<&'static str> {
    if case.numeric.is_empty() && case.categorical.is_empty() {
        return Some("NoFeatures");
    }
    let is_bad = |row: &u32| {
        case.weights.as_ref().is_some_and(|of| !(of[*row as usize] >= 0.0 && of[*row as usize].is_finite()))
    };
    if rows.iter().any(is_bad) {
        return Some("BadWeight");
    }
    weighing(case, rows).is_empty().then_some("NoRows")
}

fn weighing(case: &Case, rows: &[u32]) -> Vec<u32> {
    let weight = |row: u32| case.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
    rows.iter().copied().filter(|row| weight(*row) > 0.0).collect()
}

fn weights_differ(case: &Case, rows: &[u32]) -> bool {
    let Some(weights) = &case.weights else { return false };
    let weighing = weighing(case, rows);
    weighing.iter().any(|row| weights[*row as usize] != weights[weighing[0] as usize])
}

/// The error that the classes call for.
fn error_of_classes(case: &Case, rows: &[u32], labels: &[u32], classes: u32) -> Option<&'static str> {
    let weighing = weighing(case, rows);
    let has = |class: u32| weighing.iter().any(|row| labels[*row as usize] == class);
    let there = (0..classes).filter(|class| has(*class)).count();
    if weighing.len() == 1 {
        return Some("TooFewRows");
    }
    if weighing.iter().any(|row| labels[*row as usize] >= classes) {
        return Some("NoSuchClass");
    }
    match there {
        1 => Some("OneOfManyClasses"),
        there if there < classes as usize => Some("ClassWithoutRows"),
        _ => None,
    }
}

/// What holds of every model and any rows. `expected`: the error that is called for.
fn check(
    estimator: &Estimator,
    case: &Case,
    target: Target<'_>,
    expected: Option<&str>,
) -> Result<(), TestCaseError> {
    let (table, elsewhere) = (case.table(), case.elsewhere());
    let rows: Vec<u32> = all(&table).into_iter().step_by(case.step).collect();
    let learn = Rows { weights: case.weights.as_deref(), ..Rows::new(&table, target, &rows) };
    let [one, three] = on_threads(|| estimator.fit(&learn, 7));
    let expected = error_of_rows(case, &rows).or(expected);
    let model = match (one, three) {
        (Ok(one), Ok(three)) => {
            prop_assert!(one.to_bytes().unwrap() == three.to_bytes().unwrap(), "threads: {:?}", estimator);
            one
        }
        (one, three) => {
            prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
            let error = one.unwrap_err();
            let found = format!("{error:?}");
            match (expected, error) {
                (Some(expected), _) => prop_assert!(found.starts_with(expected), "{found} for {expected}"),
                (None, Error::NotOfAlgorithm { what: "weights of rows", .. }) => {
                    prop_assert!(weights_differ(case, &rows));
                }
                // Without a penalty nothing bounds the weights of values at the ends of f64: it says so.
                (None, Error::Solver(why))
                    if format!("{estimator:?}").contains("LinearRegressionParams { l2: 0.0") =>
                {
                    prop_assert_eq!(why, "a weight is not finite");
                }
                _ => prop_assert!(false, "{:?}: {}", estimator, found),
            }
            return Ok(());
        }
    };
    prop_assert_eq!(expected, None);
    prop_assert_eq!(&Fitted::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
    for of in [&table, &elsewhere] {
        let [one, three] = on_threads(|| model.predict(of, &all(of)).unwrap());
        prop_assert_eq!(&one, &three);
        prop_assert_eq!(one.len(), of.rows());
        match one {
            Prediction::Classes { classes, probabilities } => {
                prop_assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", probabilities);
                for row in probabilities.chunks_exact(classes as usize) {
                    prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", row);
                }
            }
            Prediction::Numbers(numbers) => {
                prop_assert!(numbers.iter().all(|number| number.is_finite()), "{:?}", numbers);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
    let coefficients = match &model {
        Fitted::MultiClassifier(model) => model.coefficients().unwrap_or_default(),
        Fitted::Regressor(model) => model.coefficients().into_iter().collect(),
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    for of in coefficients {
        let weights = of.columns.iter().flat_map(|column| [column.weight, column.standardised]);
        prop_assert!(weights.chain([of.intercept]).all(f64::is_finite), "{:?}", of);
    }
    prop_assert!(estimator.refit(&learn, 7, Some(&model), &mut Default::default()).is_ok());
    Ok(())
}

fn logistic() -> impl Strategy<Value = Estimator> {
    let alpha = prop_oneof![Just(0.0), Just(1.0), Just(1e6), 0.0f64..10.0];
    (alpha, prop_oneof![Just(0.0), Just(0.4), Just(1.0)], any::<bool>(), 1usize..6).prop_map(
        |(alpha, l1_ratio, standardise, max_categories)| {
            Estimator::from(LogisticRegressionParams {
                alpha,
                l1_ratio,
                standardise,
                max_categories,
                ..Default::default()
            })
        },
    )
}

fn linear() -> impl Strategy<Value = Estimator> {
    let l2 = prop_oneof![Just(0.0), Just(1.0), Just(1e9), Just(1e-9), 0.0f64..10.0];
    (l2, any::<bool>(), prop_oneof![1usize..6, Just(1_000)]).prop_map(|(l2, standardise, max_categories)| {
        Estimator::from(LinearRegressionParams { l2, standardise, max_categories })
    })
}

/// Trees, forests and boosting; of `class_weight` where it is classes that they learn.
fn trees(class_weight: impl Strategy<Value = ClassWeight>) -> impl Strategy<Value = Estimator> {
    let categories = prop_oneof![Just(Categories::Native), Just(Categories::TargetEncoded)];
    let max_features = prop_oneof![Just(1.0), Just(f64::MIN_POSITIVE), 0.01f64..1.0];
    let l2 = prop_oneof![Just(0.0), Just(1.0), Just(f64::MAX), Just(5e-324)];
    let learning_rate = prop_oneof![Just(0.1), Just(1.0), Just(5e-324)];
    let settings = (1u32..5, 1u32..33, max_features, 1u32..9, 2u32..9);
    (0..3, settings, class_weight, categories, l2, learning_rate).prop_map(
        |(kind, settings, class_weight, categories, l2, learning_rate)| {
            let (trees, max_depth, max_features, min_samples_leaf, max_leaves) = settings;
            match kind {
                0 => RandomForestParams {
                    trees,
                    max_depth,
                    max_features,
                    min_samples_leaf,
                    class_weight,
                    categories,
                    ..Default::default()
                }
                .into(),
                1 => DecisionTreeParams {
                    max_depth,
                    max_features,
                    min_samples_leaf,
                    class_weight,
                    categories,
                    ..Default::default()
                }
                .into(),
                _ => Estimator::from(GradientBoostingParams {
                    trees,
                    learning_rate,
                    max_leaves,
                    max_depth,
                    max_features,
                    min_samples_leaf,
                    l2,
                    class_weight,
                    categories,
                }),
            }
        },
    )
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn trees_of_many_classes(
        case in case(),
        estimator in trees(prop_oneof![Just(ClassWeight::Equal), Just(ClassWeight::Balanced)]),
        labels in prop::collection::vec(prop_oneof![30 => 0u32..3, 1 => 0u32..6], 50),
        classes in 3u32..5,
    ) {
        let labels = &labels[..case.labels.len()];
        let rows: Vec<u32> = (0..labels.len() as u32).step_by(case.step).collect();
        let expected = error_of_classes(&case, &rows, labels, classes);
        check(&estimator, &case, Target::Classes { labels, classes }, expected)?;
    }

    #[test]
    fn trees_of_numbers(
        case in case(),
        estimator in trees(Just(ClassWeight::Equal)),
        values in prop::collection::vec(value(), 50),
    ) {
        let values: Vec<f64> = values[..case.labels.len()].iter().map(|v| if v.is_nan() { 0.5 } else { *v }).collect();
        let rows: Vec<u32> = (0..values.len() as u32).step_by(case.step).collect();
        let is_bad = weighing(&case, &rows).iter().any(|row| !values[*row as usize].is_finite());
        check(&estimator, &case, Target::Numbers(&values), is_bad.then_some("BadTarget"))?;
        let finite: Vec<f64> = values.iter().map(|v| v.clamp(f64::MIN, f64::MAX)).collect();
        check(&estimator, &case, Target::Numbers(&finite), None)?;
    }

    #[test]
    fn logistic_regression_of_many_classes(
        case in case(),
        estimator in logistic(),
        labels in prop::collection::vec(prop_oneof![30 => 0u32..3, 1 => 0u32..6], 50),
        classes in 3u32..5,
    ) {
        let labels = &labels[..case.labels.len()];
        let rows: Vec<u32> = (0..labels.len() as u32).step_by(case.step).collect();
        let expected = error_of_classes(&case, &rows, labels, classes);
        check(&estimator, &case, Target::Classes { labels, classes }, expected)?;
    }

    #[test]
    fn linear_regression(case in case(), estimator in linear(), values in prop::collection::vec(value(), 50)) {
        // An infinity among many numbers would leave little to look at.
        let values: Vec<f64> = values[..case.labels.len()].iter().map(|v| if v.is_nan() { 0.5 } else { *v }).collect();
        let rows: Vec<u32> = (0..values.len() as u32).step_by(case.step).collect();
        let is_bad = weighing(&case, &rows).iter().any(|row| !values[*row as usize].is_finite());
        check(&estimator, &case, Target::Numbers(&values), is_bad.then_some("BadTarget"))?;
        let finite: Vec<f64> = values.iter().map(|v| v.clamp(f64::MIN, f64::MAX)).collect();
        check(&estimator, &case, Target::Numbers(&finite), None)?;
    }

    #[test]
    fn metrics_of_numbers_are_finite(values in prop::collection::vec((value(), value()), 1..40)) {
        let finite = |v: f64| if v.is_nan() { 0.0 } else { v.clamp(f64::MIN, f64::MAX) };
        let (is, said): (Vec<f64>, Vec<f64>) = values.iter().map(|(a, b)| (finite(*a), finite(*b))).unzip();
        let found = NumberMetrics::compute(&is, &said).unwrap();
        let of = [Some(found.rmse), Some(found.mae), Some(found.median_absolute_error), found.r2];
        prop_assert!(of.into_iter().flatten().all(f64::is_finite), "{:?}", found);
        prop_assert!(found.rmse >= 0.0 && found.mae >= 0.0 && found.r2.is_none_or(|r2| r2 <= 1.0), "{:?}", found);
        if is.iter().all(|v| *v == is[0]) {
            prop_assert_eq!(found.r2, None);
        }
    }

    #[test]
    fn metrics_of_classes_are_within_their_ranges(
        labels in prop::collection::vec(0u32..4, 1..40),
        probabilities in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0], 160),
    ) {
        let found = ClassMetrics::compute(&labels, &probabilities[..labels.len() * 4], 4).unwrap();
        for share in [Some(found.accuracy), Some(found.macro_f1), found.auc_ovr].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{:?}", found);
        }
        prop_assert!((0.0..=36.05).contains(&found.log_loss), "{:?}", found);
        prop_assert_eq!(found.auc_ovr.is_some(), (0..4).all(|class| labels.contains(&class)));
    }
}
