//! Many classes and numbers from outside: metrics and weights of scikit-learn, and the edges of linear models.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde::Deserialize;
use tidemill_ml::{
    Cache, ClassMetrics, Coefficients, Error, Estimator, FeatureTable, Fitted, LinearRegressionParams,
    LogisticRegressionParams, MultiClassifier, NumberMetrics, Prediction, Regressor, Rows, Scores,
    SgdClassifierParams, Target,
};

#[derive(Deserialize)]
struct Golden {
    classes: Vec<OfClasses>,
    numbers: Vec<OfNumbers>,
    columns: Vec<Vec<f64>>,
    kinds: Vec<String>,
    categories: Vec<String>,
    wide: Vec<Vec<f64>>,
    labels: Vec<u32>,
    values: Vec<f64>,
    weights: Vec<f64>,
    softmax: Vec<Softmax>,
    ridge: Vec<Ridge>,
}

#[derive(Deserialize)]
struct OfClasses {
    name: String,
    classes: u32,
    labels: Vec<u32>,
    probabilities: Vec<f64>,
    accuracy: f64,
    macro_f1: f64,
    log_loss: f64,
    auc_ovr: Option<f64>,
}

#[derive(Deserialize)]
struct OfNumbers {
    name: String,
    values: Vec<f64>,
    said: Vec<f64>,
    rmse: f64,
    mae: f64,
    r2: Option<f64>,
    median_absolute_error: f64,
}

#[derive(Deserialize)]
struct Softmax {
    data: String,
    alpha: f64,
    l1_ratio: f64,
    weights: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
}

#[derive(Deserialize)]
struct Ridge {
    data: String,
    l2: f64,
    weighted: bool,
    weights: Vec<f64>,
    intercept: f64,
}

/// `tests/golden/make_kinds.py` says how the numbers were made and how to make them again.
fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/kinds.json")).unwrap()
}

#[track_caller]
fn near(what: &str, found: Option<f64>, expected: Option<f64>, bound: f64) {
    let is_near = match (found, expected) {
        (Some(a), Some(b)) => (a - b).abs() <= bound * b.abs(),
        (a, b) => a == b,
    };
    assert!(is_near, "{what}: {found:?}, scikit-learn {expected:?}");
}

#[test]
fn metrics_of_classes_are_those_of_scikit_learn() {
    for case in golden().classes {
        let OfClasses { name, classes, labels, probabilities, .. } = &case;
        let found = ClassMetrics::compute(labels, probabilities, *classes).unwrap();
        assert_eq!((found.rows, found.classes), (labels.len() as u64, *classes));
        near(name, Some(found.accuracy), Some(case.accuracy), 1e-12);
        near(name, Some(found.macro_f1), Some(case.macro_f1), 1e-12);
        near(name, Some(found.log_loss), Some(case.log_loss), 1e-12);
        near(name, found.auc_ovr, case.auc_ovr, 1e-12);
    }
}

#[test]
fn metrics_of_numbers_are_those_of_scikit_learn() {
    for case in golden().numbers {
        let OfNumbers { name, values, said, .. } = &case;
        let found = NumberMetrics::compute(values, said).unwrap();
        assert_eq!(found.rows, values.len() as u64);
        near(name, Some(found.rmse), Some(case.rmse), 1e-12);
        near(name, Some(found.mae), Some(case.mae), 1e-12);
        near(name, found.r2, case.r2, 1e-10);
        near(name, Some(found.median_absolute_error), Some(case.median_absolute_error), 1e-12);
    }
}

#[test]
fn metrics_are_finite_or_none_and_what_is_no_number_is_an_error() {
    let huge = NumberMetrics::compute(&[f64::MAX, f64::MIN, 0.0], &[f64::MIN, f64::MAX, 1.0]).unwrap();
    assert_eq!((huge.rmse, huge.mae, huge.median_absolute_error), (f64::MAX, f64::MAX, f64::MAX));
    near("r2", huge.r2, Some(-3.0), 1e-12);
    let tiny = NumberMetrics::compute(&[1e-310, 3e-310], &[1e-310, 1e-310]).unwrap();
    assert!(tiny.rmse > 1e-310 && tiny.r2 == Some(-1.0), "{tiny:?}");
    let apart = NumberMetrics::compute(&[1e-300, 2e-300], &[1e300, 1e300]).unwrap();
    assert_eq!(apart.r2, Some(f64::MIN));
    assert_eq!(NumberMetrics::compute(&[1.0, 2.0], &[1.0, 2.0]).unwrap().r2, Some(1.0));
    assert_eq!(NumberMetrics::compute(&[], &[]), Err(Error::NoRows));
    assert!(matches!(NumberMetrics::compute(&[1.0], &[]), Err(Error::LengthMismatch { .. })));
    let bad = f64::INFINITY;
    assert_eq!(
        NumberMetrics::compute(&[1.0, bad], &[1.0, 1.0]),
        Err(Error::BadTarget { row: 1, value: bad })
    );
    assert_eq!(
        NumberMetrics::compute(&[1.0, 1.0], &[bad, 1.0]),
        Err(Error::NotANumber { position: 0, value: bad })
    );
    assert_eq!(ClassMetrics::compute(&[], &[], 3), Err(Error::NoRows));
    assert!(matches!(ClassMetrics::compute(&[0], &[0.5], 2), Err(Error::LengthMismatch { .. })));
    let other = ClassMetrics::compute(&[0, 2], &[0.5; 4], 2);
    assert_eq!(other, Err(Error::NoSuchClass { row: 1, class: 2, classes: 2 }));
    let no_probability = ClassMetrics::compute(&[0], &[0.5, 1.5], 2);
    assert!(matches!(no_probability, Err(Error::NotAProbability { position: 1, .. })));
}

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

fn input(golden: &Golden, data: &str) -> FeatureTable {
    if data != "one_hot" {
        return numeric_table(if data == "wide" { &golden.wide } else { &golden.columns });
    }
    let mut table = FeatureTable::new(names("x", golden.columns.len()), vec!["kind".into()]);
    golden.columns.iter().enumerate().for_each(|(c, values)| table.push_numeric(c, values.iter().copied()));
    table.push_category(0, golden.kinds.iter().map(|kind| Some(kind.as_str())));
    table.finish_append().unwrap();
    table
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

/// The weights of the columns that scikit-learn has, on scores or on values.
fn weights(of: &Coefficients, categories: &[String], standardised: bool) -> Vec<f64> {
    let is_ours_alone = |name: &str| {
        name.starts_with("kind ") && !categories.iter().any(|kind| name == format!("kind = {kind}"))
    };
    let columns = of.columns.iter().filter(|column| !is_ours_alone(&column.column));
    columns.map(|column| if standardised { column.standardised } else { column.weight }).collect()
}

fn apart(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |largest, w| largest.max(w.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale
}

fn softmax(
    params: &LogisticRegressionParams,
    table: &FeatureTable,
    labels: &[u32],
    k: u32,
) -> MultiClassifier {
    let target = Target::Classes { labels, classes: k };
    match Estimator::from(params.clone()).fit(&Rows::new(table, target, &all(table)), 7).unwrap() {
        Fitted::MultiClassifier(model) => model,
        other => panic!("{other:?}"),
    }
}

fn regressor(fitted: Fitted) -> Regressor {
    match fitted {
        Fitted::Regressor(model) => model,
        other => panic!("{other:?}"),
    }
}

#[test]
fn weights_of_many_classes_are_those_of_scikit_learn() {
    let golden = golden();
    for Softmax { data, alpha, l1_ratio, weights: expected, intercepts } in &golden.softmax {
        let table = input(&golden, data);
        let standardise = data != "raw" && data != "wide";
        let params = LogisticRegressionParams {
            alpha: *alpha,
            l1_ratio: *l1_ratio,
            max_iterations: 5_000,
            gradient_tolerance: 1e-9,
            standardise,
            ..Default::default()
        };
        let model = softmax(&params, &table, &golden.labels[..table.rows()], 4);
        for (class, found) in model.coefficients().unwrap().iter().enumerate() {
            let apart = apart(&weights(found, &golden.categories, standardise), &expected[class]);
            assert!(apart < 1e-4, "{data}, alpha {alpha}, l1_ratio {l1_ratio}, class {class}: {apart}");
            if !standardise {
                let off = (found.intercept - intercepts[class]).abs();
                assert!(off < 1e-4 * (1.0 + intercepts[class].abs()), "{data}, class {class}: {off}");
            }
        }
    }
}

#[test]
fn weights_of_a_regression_are_those_of_scikit_learn() {
    let golden = golden();
    for Ridge { data, l2, weighted, weights: expected, intercept } in &golden.ridge {
        let table = input(&golden, data);
        let standardise = data == "standardised" || data == "one_hot";
        let params = LinearRegressionParams { l2: *l2, standardise, ..Default::default() };
        let rows = all(&table);
        let target = Target::Numbers(&golden.values[..table.rows()]);
        let rows = Rows {
            weights: weighted.then_some(&golden.weights[..table.rows()]),
            ..Rows::new(&table, target, &rows)
        };
        let model = regressor(Estimator::from(params).fit(&rows, 7).unwrap());
        let found = model.coefficients().unwrap();
        let apart = apart(&weights(&found, &golden.categories, standardise), expected);
        assert!(apart < 1e-8, "{data}, l2 {l2}: {apart}");
        if !standardise {
            near(data, Some(found.intercept), Some(*intercept), 1e-8);
        }
    }
}

/// What is said of each row, and what the numbers are.
fn said(params: &LinearRegressionParams, table: &FeatureTable, values: &[f64]) -> (Coefficients, Vec<f64>) {
    let rows = all(table);
    let fitted = Estimator::from(params.clone()).fit(&Rows::new(table, Target::Numbers(values), &rows), 7);
    let model = regressor(fitted.unwrap());
    (model.coefficients().unwrap(), model.predict(table, &rows).unwrap())
}

#[test]
fn columns_that_add_up_more_columns_than_rows_and_constants_have_stated_weights() {
    let x: Vec<f64> = (0..50).map(|i| f64::from(i * 37 % 101)).collect();
    let y: Vec<f64> = (0..50).map(|i| f64::from(i * 53 % 89)).collect();
    let sum: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x + 2.0 * y).collect();
    let values: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 3.0 * x - y + 5.0).collect();
    let plain = LinearRegressionParams { l2: 0.0, ..Default::default() };
    let table = numeric_table(&[x.clone(), y.clone(), sum, vec![7.0; 50]]);
    let (of, numbers) = said(&plain, &table, &values);
    let found: Vec<f64> = of.columns.iter().map(|column| column.weight).collect();
    assert!((found[0] - 3.0).abs() < 1e-10 && (found[1] + 1.0).abs() < 1e-10, "{found:?}");
    assert_eq!(found[2..], [0.0, 0.0], "one that others add up to, and a constant");
    assert!((of.intercept - 5.0).abs() < 1e-8 && apart(&numbers, &values) < 1e-12, "{of:?}");

    // Four rows and nine columns: the rows are met.
    let columns: Vec<Vec<f64>> =
        (0..9).map(|c| (0..4).map(|i| f64::from((i + 1) * (c + 3) * 7 % 11)).collect()).collect();
    let (of, numbers) = said(&plain, &numeric_table(&columns), &[1.0, -2.0, 7.0, 0.5]);
    assert!(apart(&numbers, &[1.0, -2.0, 7.0, 0.5]) < 1e-9, "{numbers:?}");
    assert!(of.columns.iter().filter(|column| column.weight != 0.0).count() <= 3, "and the intercept");

    // One row, and numbers that are all the same, are said as they are.
    assert_eq!(said(&plain, &numeric_table(&[vec![4.0]]), &[9.5]).1, [9.5]);
    let (of, numbers) = said(&plain, &table, &[0.1; 50]);
    assert!(numbers.iter().all(|number| (number - 0.1).abs() < 1e-16) && of.intercept == numbers[0]);
}

#[test]
fn wide_columns_are_solved_by_gradients_to_the_same() {
    // 700 categories are past what is decomposed; with a penalty there is one solution.
    let rows = 3_000;
    let mut table = FeatureTable::new(vec!["x".into()], vec!["c".into()]);
    let category = |i: u32| i * 7919 % 700;
    let names: Vec<String> = (0..rows).map(|i| format!("{}", category(i))).collect();
    table.push_numeric(0, (0..rows).map(|i| f64::from(i * 37 % 1009)));
    table.push_category(0, names.iter().map(|name| Some(name.as_str())));
    table.finish_append().unwrap();
    let values: Vec<f64> =
        (0..rows).map(|i| f64::from(category(i) % 13) + 0.01 * f64::from(i * 37 % 1009)).collect();
    let of = said(&LinearRegressionParams::default(), &table, &values).0;
    // At the solution of ridge, l2 w is the sum of the residuals of a category's rows.
    let numbers = said(&LinearRegressionParams::default(), &table, &values).1;
    for column in of.columns.iter().filter(|column| column.column.starts_with("c = ")) {
        let category = column.column.trim_start_matches("c = ");
        let left: f64 =
            (0..rows as usize).filter(|&i| names[i] == category).map(|i| values[i] - numbers[i]).sum();
        assert!((left - column.weight).abs() < 1e-8, "{}: {left}, {}", column.column, column.weight);
    }
}

#[test]
fn values_at_the_ends_of_numbers_are_learned_and_said_finite() {
    let x: Vec<f64> = (0..40).map(|i| (f64::from(i * 37 % 101) - 50.0) * 1e300).collect();
    let large: Vec<f64> = x.iter().map(|x| x * 2.0e6).collect();
    for columns in [vec![x.clone()], vec![large, x.clone()]] {
        for unit in [1e-300, 1.0, 1e300, 3e306] {
            let values: Vec<f64> = x.iter().map(|x| (x / 1e300 + 3.0) * unit).collect();
            for l2 in [0.0, 1.0] {
                for standardise in [true, false] {
                    let params = LinearRegressionParams { l2, standardise, ..Default::default() };
                    let numbers = said(&params, &numeric_table(&columns), &values).1;
                    assert!(numbers.iter().all(|number| number.is_finite()), "{unit} {l2}");
                    if l2 == 0.0 {
                        assert!(apart(&numbers, &values) < 1e-9, "{unit}: {}", apart(&numbers, &values));
                    }
                }
            }
            let labels: Vec<u32> = (0..40).map(|i| i * 37 % 101 / 34).collect();
            let table = numeric_table(&columns);
            let model = softmax(&LogisticRegressionParams::default(), &table, &labels, 3);
            for row in model.predict_proba(&table, &all(&table)).unwrap().chunks_exact(3) {
                assert!(row.iter().all(|p| (0.0..=1.0).contains(p)));
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-15 * 4.0, "{row:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_learned_names_the_row_or_the_class() {
    let table = numeric_table(&[(0..30).map(f64::from).collect()]);
    let rows: Vec<u32> = (5..30).collect();
    let logistic = Estimator::from(LogisticRegressionParams::default());
    let fit = |labels: &[u32], classes: u32, rows: &[u32]| {
        logistic.fit(&Rows::new(&table, Target::Classes { labels, classes }, rows), 1).unwrap_err()
    };
    let labels: Vec<u32> = (0..30).map(|i| i % 3).collect();
    assert_eq!(fit(&[1; 30], 3, &rows), Error::OneOfManyClasses { class: 1, rows: 25 });
    assert_eq!(fit(&labels, 5, &rows), Error::ClassWithoutRows { class: 3, classes: 5, rows: 25 });
    assert_eq!(
        fit(&labels, u32::MAX, &rows),
        Error::ClassWithoutRows { class: 3, classes: u32::MAX, rows: 25 }
    );
    assert_eq!(fit(&labels, 2, &rows), Error::NoSuchClass { row: 5, class: 2, classes: 2 });
    assert_eq!(fit(&labels, 3, &[4]), Error::TooFewRows { rows: 1, needed: 2 });
    assert_eq!(fit(&labels, 3, &[]), Error::NoRows);
    assert!(matches!(fit(&labels[1..], 3, &rows), Error::LengthMismatch { what: "labels", .. }));
    assert!(matches!(fit(&labels, 3, &[3, 2]), Error::RowsNotAscending { position: 1 }));

    let linear = Estimator::from(LinearRegressionParams::default());
    let fit = |values: &[f64], rows: &[u32]| {
        linear.fit(&Rows::new(&table, Target::Numbers(values), rows), 1).unwrap_err()
    };
    let mut values: Vec<f64> = (0..30).map(f64::from).collect();
    (values[0], values[7]) = (f64::NAN, f64::NEG_INFINITY);
    let error = fit(&values, &rows);
    assert_eq!(error, Error::BadTarget { row: 7, value: f64::NEG_INFINITY }, "row 0 is not learned from");
    assert!(error.to_string().starts_with("row 7 has the target -inf"), "{error}");
    assert_eq!(fit(&values, &[]), Error::NoRows);
    let empty = FeatureTable::new(vec![], vec![]);
    let error = linear.fit(&Rows::new(&empty, Target::Numbers(&[]), &[]), 1).unwrap_err();
    assert_eq!(error, Error::NoFeatures);

    let target = Target::Classes { labels: &labels, classes: 3 };
    let sgd = Estimator::from(SgdClassifierParams::default());
    assert_eq!(
        sgd.fit(&Rows::new(&table, target, &rows), 1).unwrap_err().to_string().split(';').next().unwrap(),
        "the target is one of many classes, and sgd_classifier learns one of two classes"
    );
    let fitted = logistic.fit(&Rows::new(&table, target, &rows), 1).unwrap();
    let other = Target::Classes { labels: &labels, classes: 4 };
    let error = fitted.score(&Rows::new(&table, other, &rows), 1).unwrap_err();
    assert_eq!(error, Error::OtherClasses { expected: 3, found: 4 });
    let error = fitted.score(&Rows::new(&table, Target::Numbers(&values), &rows), 1).unwrap_err();
    assert!(matches!(error, Error::OtherTarget { learner: "logistic_regression", .. }), "{error}");
}

/// Numbers with missing values and a category, and a target of each kind that depends on them.
fn mixed(rows: u32) -> (FeatureTable, Vec<u32>, Vec<f64>) {
    let mut table = FeatureTable::new(names("x", 2), vec!["c".into()]);
    let value = |row: u32, factor: u32| f64::from(row * factor % 101);
    table.push_numeric(0, (0..rows).map(|row| value(row, 37)));
    table.push_numeric(1, (0..rows).map(|row| if row % 17 == 3 { f64::NAN } else { value(row, 53) }));
    let kinds: Vec<String> = (0..rows).map(|row| format!("kind {}", row % 7)).collect();
    table.push_category(0, kinds.iter().map(|kind| Some(kind.as_str())));
    table.finish_append().unwrap();
    let number = |row: u32| value(row, 37) + 10.0 * f64::from(row % 7);
    (table, (0..rows).map(|row| (number(row) / 55.0) as u32).collect(), (0..rows).map(number).collect())
}

#[test]
fn models_of_other_kinds_are_scored_kept_and_the_same_for_any_number_of_threads() {
    let (table, labels, values) = mixed(20_000);
    let (training, held_out): (Vec<u32>, Vec<u32>) = (0..20_000).partition(|row| row % 4 != 0);
    let cases = [
        (
            Estimator::from(LogisticRegressionParams::default()),
            Target::Classes { labels: &labels, classes: 3 },
        ),
        (Estimator::from(LinearRegressionParams::default()), Target::Numbers(&values)),
    ];
    for (estimator, target) in cases {
        let learn = Rows::new(&table, target, &training);
        let fitted = estimator.fit(&learn, 7).unwrap();
        assert_eq!(fitted.task(), target.kind().task());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| estimator.fit(&learn, 7)).unwrap(), fitted);
        let bytes = fitted.to_bytes().unwrap();
        assert_eq!(Fitted::from_bytes(&bytes).unwrap(), fitted);
        let again = estimator.refit(&learn, 7, Some(&fitted), &mut Cache::new()).unwrap();
        let scores = fitted.score(&Rows::new(&table, target, &held_out), 7).unwrap();
        let of_again = again.score(&Rows::new(&table, target, &held_out), 7).unwrap();
        assert_eq!(fitted.predict(&table, &held_out).unwrap().len(), held_out.len());
        match (&scores, of_again) {
            (Scores::Classes(scores), Scores::Classes(again)) => {
                assert!(scores.accuracy > 0.95 && scores.auc_ovr > Some(0.99), "{scores:?}");
                assert!((scores.log_loss - again.log_loss).abs() < 1e-3);
            }
            (Scores::Numbers(scores), Scores::Numbers(again)) => {
                assert!(scores.r2 > Some(0.9999) && scores == &again, "{scores:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(fitted.partial_fit(&learn, 7), Err(Error::NoPartialFit { .. })));
    }
}

#[test]
fn weights_of_rows_are_as_rows_so_often_and_none_is_as_if_it_was_not_there() {
    let (table, _, values) = mixed(600);
    let rows: Vec<u32> = (0..600).collect();
    let weights: Vec<f64> = (0..600).map(|row| f64::from(row % 3 * 1000)).collect();
    let linear = Estimator::from(LinearRegressionParams { l2: 0.0, ..Default::default() });
    let fit = |rows: &[u32], weights: Option<&[f64]>| {
        linear.fit(&Rows { weights, ..Rows::new(&table, Target::Numbers(&values), rows) }, 1).unwrap()
    };
    let some: Vec<u32> = rows.iter().copied().filter(|row| row % 3 > 0).collect();
    assert_eq!(fit(&rows, Some(&weights)), fit(&some, Some(&weights)));
    assert_eq!(fit(&rows, Some(&[2.5; 600])), fit(&rows, None));
    let bad = Rows { weights: Some(&[-1.0; 600]), ..Rows::new(&table, Target::Numbers(&values), &rows) };
    assert!(matches!(linear.fit(&bad, 1), Err(Error::BadWeight { row: 0, .. })));
}

#[test]
fn unseen_categories_and_far_values_are_said_finite() {
    let (table, labels, values) = mixed(600);
    let rows: Vec<u32> = (0..600).collect();
    let mut other = FeatureTable::new(names("x", 2), vec!["c".into()]);
    other.push_numeric(0, [f64::MAX, f64::MIN, f64::NAN]);
    other.push_numeric(1, [f64::MIN, f64::INFINITY, 0.0]);
    other.push_category(0, [Some("never"), None, Some("kind 3")]);
    other.finish_append().unwrap();
    let classes = Target::Classes { labels: &labels, classes: 3 };
    let logistic = Estimator::from(LogisticRegressionParams::default());
    let fitted = logistic.fit(&Rows::new(&table, classes, &rows), 1).unwrap();
    let Prediction::Classes { classes: 3, probabilities } = fitted.predict(&other, &[2, 0, 1, 1]).unwrap()
    else {
        panic!()
    };
    assert_eq!(probabilities.len(), 12);
    assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{probabilities:?}");
    let linear = Estimator::from(LinearRegressionParams::default());
    let fitted = linear.fit(&Rows::new(&table, Target::Numbers(&values), &rows), 1).unwrap();
    let Prediction::Numbers(numbers) = fitted.predict(&other, &[2, 0, 1, 1]).unwrap() else { panic!() };
    assert!(numbers.len() == 4 && numbers.iter().all(|number| number.is_finite()), "{numbers:?}");
    let error = fitted.predict(&table, &[600]).unwrap_err();
    assert!(matches!(error, Error::RowOutOfRange { .. }));
}
