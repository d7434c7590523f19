//! One way to fit, score and keep a model of any algorithm of the list, which is that of the types beneath.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use tidemill_ml::{
    ALGORITHMS, Algorithm, BinaryMetrics, Cache, ClusterStream, Error, Estimator, FeatureTable, Fitted,
    IsolationForest, KMeans, METRICS, Material, OutlierMetrics, Prediction, Rows, Scores, SilhouetteRows,
    Target, TargetKind, Task,
};

const ROWS: u32 = 900;

/// Two numbers and a category, of which clusters take the numbers alone; the label depends on all.
fn table(task: Task) -> (FeatureTable, Vec<bool>) {
    let categories = if task == Task::Classify { vec!["kind".to_owned()] } else { vec![] };
    let mut table = FeatureTable::new(vec!["x".into(), "y".into()], categories);
    let value = |row: u32, factor: u32| f64::from(row * factor % 101);
    table.push_numeric(0, (0..ROWS).map(|row| value(row, 37)));
    table.push_numeric(1, (0..ROWS).map(|row| if row % 17 == 3 { f64::NAN } else { value(row, 53) }));
    let kinds: Vec<String> = (0..ROWS).map(|row| format!("kind {}", row % 7)).collect();
    if task == Task::Classify {
        table.push_category(0, kinds.iter().map(|kind| Some(kind.as_str())));
    }
    table.finish_append().unwrap();
    let label = |row: u32| value(row, 37) + 10.0 * f64::from(row % 7) > 80.0;
    (table, (0..ROWS).map(label).collect())
}

/// What it is for, where a label is of two classes.
fn task(estimator: &Estimator) -> Task {
    estimator.algorithm().info().task(estimator.targets()[0])
}

/// Each algorithm of two classes or of clusters with its defaults, once for each thing that it learns from.
fn estimators() -> Vec<(&'static str, Estimator)> {
    let mut all = Vec::new();
    for of in ALGORITHMS.iter().filter(|of| of.learns(TargetKind::Binary) || of.learns(TargetKind::None)) {
        for &material in of.materials {
            all.push((of.name, of.algorithm.read(material, serde_json::json!({})).unwrap()));
        }
    }
    all
}

#[test]
fn every_algorithm_is_fitted_scored_and_kept_alike() {
    let (training, held_out): (Vec<u32>, Vec<u32>) = (0..ROWS).partition(|row| row % 4 != 0);
    for (name, estimator) in estimators() {
        let (table, labels) = table(task(&estimator));
        let target = if task(&estimator) == Task::Classify { Target::Binary(&labels) } else { Target::None };
        let (learn, score) = (Rows::new(&table, target, &training), Rows::new(&table, target, &held_out));
        let fitted = estimator.fit(&learn, 7).unwrap();
        assert_eq!(fitted.task(), task(&estimator), "{name}");
        assert!(fitted.training_rows() > 600, "{name}");
        let bytes = fitted.to_bytes().unwrap();
        assert_eq!(Fitted::from_bytes(&bytes).unwrap(), fitted, "{name}: the file says of what kind it is");

        let scores = fitted.score(&score, 7).unwrap();
        let metrics = METRICS.iter().filter(|metric| metric.value(&scores).is_some());
        assert!(
            metrics.clone().count() >= if name == "isolation_forest" { 2 } else { 6 }
                && metrics.clone().all(|m| m.task() == task(&estimator)),
            "{name}"
        );
        let predicted = fitted.predict(&table, &held_out).unwrap();
        assert_eq!(predicted.len(), held_out.len(), "{name}");
        match (&predicted, &scores) {
            (Prediction::Probabilities(found), Scores::Binary(scores)) => {
                let truth: Vec<bool> = held_out.iter().map(|&row| labels[row as usize]).collect();
                assert_eq!(&BinaryMetrics::compute(&truth, found).unwrap(), scores, "{name}");
                assert!(scores.accuracy > 0.75, "{name}: {}", scores.accuracy);
                assert!(fitted.centres().is_empty(), "{name}");
            }
            (Prediction::Clusters(found), Scores::Clusters(scores)) => {
                assert_eq!(found.iter().flatten().count() as u64, scores.rows, "{name}");
                assert_eq!(fitted.centres().len(), if name == "online_kmeans" { 5 } else { 8 }, "{name}");
                assert!(fitted.gain_importances().is_empty(), "{name}");
            }
            (Prediction::Outliers { scores: found, threshold }, Scores::Outliers(scores)) => {
                assert_eq!(&OutlierMetrics::compute(found, *threshold, None).unwrap(), scores, "{name}");
                let known = fitted.score(&Rows::new(&table, Target::Binary(&labels), &held_out), 7).unwrap();
                assert!(scores.outlier_auc.is_none() && known.outliers().unwrap().outlier_auc.is_some());
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_model_is_that_of_the_type_beneath() {
    let (first, all): (Vec<u32>, Vec<u32>) = ((0..600).collect(), (0..ROWS).collect());
    let weights: Vec<f64> = (0..ROWS).map(|row| 1.0 + f64::from(row % 3)).collect();
    let mut cache = Cache::new();
    for (name, estimator) in estimators() {
        let (table, labels) = table(task(&estimator));
        let target = if task(&estimator) == Task::Classify { Target::Binary(&labels) } else { Target::None };
        let before = estimator.fit(&Rows::new(&table, target, &first), 7).unwrap();
        cache.extend(&table, &all).unwrap();
        let again = estimator.refit(&Rows::new(&table, target, &all), 7, Some(&before), &mut cache).unwrap();
        let weighed = Rows { weights: Some(&weights), ..Rows::new(&table, target, &all) };
        let weighed = estimator.fit(&weighed, 7);
        let expected = match &estimator {
            Estimator::Supervised(params) => {
                let start = binary::fit(params, &table, &labels, &first, 7, None).unwrap();
                assert_eq!(before, Fitted::Classifier(start.clone()), "{name}");
                assert_eq!(
                    weighed.is_ok(),
                    !["logistic_regression", "sgd_classifier"].contains(&name),
                    "{name}"
                );
                Fitted::Classifier(binary::fit(params, &table, &labels, &all, 7, Some(&start)).unwrap())
            }
            Estimator::KMeans(params) => {
                let start = KMeans::fit(params, &table, &first, 7, None).unwrap();
                let of_weights = KMeans::fit_weighted(params, &table, &all, &weights, 7, None).unwrap();
                assert_eq!(weighed.unwrap(), Fitted::KMeans(of_weights), "{name}");
                Fitted::KMeans(KMeans::fit(params, &table, &all, 7, Some(&start)).unwrap())
            }
            Estimator::ClusterStream(params) => {
                let names = table.numeric_names().to_vec();
                let mut stream = ClusterStream::new(params.clone(), names.clone()).unwrap();
                stream.partial_fit(&table, &first, 7).unwrap();
                stream.partial_fit(&table, &all, 7).unwrap();
                let mut of_weights = ClusterStream::new(params.clone(), names).unwrap();
                of_weights.partial_fit_weighted(&table, &all, &weights, 7).unwrap();
                assert_eq!(weighed.unwrap(), Fitted::ClusterStream(of_weights), "{name}");
                let metrics = stream.metrics(&table, &first, SilhouetteRows::Exact, 1).unwrap();
                let scores = again.score(&Rows::new(&table, target, &first), 1).unwrap();
                assert_eq!(scores, Scores::Clusters(metrics), "{name}");
                Fitted::ClusterStream(stream)
            }
            Estimator::IsolationForest(params) => {
                assert!(matches!(weighed, Err(Error::NotOfAlgorithm { what: "weights of rows", .. })));
                Fitted::IsolationForest(IsolationForest::fit(params, &table, &all, 7).unwrap())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(again, expected, "{name}");
    }
}

#[test]
fn some_learn_on_from_new_rows_and_the_others_say_what_to_do() {
    let (first, later): (Vec<u32>, Vec<u32>) = ((0..600).collect(), (600..ROWS).collect());
    let mut learns_on = Vec::new();
    for (name, estimator) in estimators() {
        let (table, labels) = table(task(&estimator));
        let target = if task(&estimator) == Task::Classify { Target::Binary(&labels) } else { Target::None };
        let fitted = estimator.fit(&Rows::new(&table, target, &first), 7).unwrap();
        match fitted.partial_fit(&Rows::new(&table, target, &later), 8) {
            Ok(more) => {
                assert!(more.training_rows() > fitted.training_rows(), "{name}");
                learns_on.push(name);
            }
            Err(error) => assert!(matches!(error, Error::NoPartialFit { .. }), "{name}: {error}"),
        }
    }
    // Those of rows and of a state stand side by side. K-means of a state is one of those, of rows it is not.
    learns_on.dedup();
    assert_eq!(learns_on, ["sgd_classifier", "kmeans", "minibatch_kmeans", "online_kmeans"]);
}

#[test]
fn what_cannot_be_learned_is_an_error() {
    let sgd = Algorithm::SgdClassifier.read(Material::Rows, serde_json::json!({})).unwrap();
    let (table, labels) = table(Task::Classify);
    let rows: Vec<u32> = (0..ROWS).collect();
    let (classes, numbers) = (vec![2; ROWS as usize], vec![0.5; ROWS as usize]);
    for (target, found) in [
        (Target::None, "nothing"),
        (Target::Classes { labels: &classes, classes: 3 }, "one of many classes"),
        (Target::Numbers(&numbers), "a number"),
    ] {
        let error = sgd.fit(&Rows::new(&table, target, &rows), 1).unwrap_err();
        assert!(matches!(error, Error::OtherTarget { .. }), "{target:?}: {error}");
        let begins = format!("the target is {found}, and sgd_classifier learns one of two classes");
        assert!(error.to_string().starts_with(&begins), "{error}");
    }
    let fitted = sgd.fit(&Rows::new(&table, Target::Binary(&labels), &rows), 1).unwrap();
    let error = fitted.score(&Rows::new(&table, Target::None, &rows), 1).unwrap_err();
    assert_eq!(error.to_string(), "the target is nothing, and sgd_classifier learns one of two classes");
    let error = fitted.score(&Rows::new(&table, Target::Binary(&labels[1..]), &rows), 1).unwrap_err();
    assert!(matches!(error, Error::LengthMismatch { what: "labels", .. }), "{error}");
    let error = fitted.score(&Rows::new(&table, Target::Binary(&labels), &[ROWS]), 1).unwrap_err();
    assert!(matches!(error, Error::RowOutOfRange { .. }), "{error}");

    let mut missing = FeatureTable::new(vec!["x".into()], vec![]);
    missing.push_numeric(0, [f64::NAN; 20]);
    missing.finish_append().unwrap();
    let clusters = estimators().into_iter().find(|(name, _)| *name == "minibatch_kmeans").unwrap().1;
    let error = clusters.fit(&Rows::new(&missing, Target::None, &[0, 1, 2]), 1).unwrap_err();
    assert_eq!(error, Error::NoCompleteRows);
    let short = [1.0; 3];
    let weighed = Rows { weights: Some(&short), ..Rows::new(&missing, Target::None, &[0, 1, 2]) };
    assert!(matches!(clusters.fit(&weighed, 1).unwrap_err(), Error::LengthMismatch { what: "weights", .. }));
    assert!(matches!(Fitted::from_bytes(b"no model"), Err(Error::NotAModel)));
}
