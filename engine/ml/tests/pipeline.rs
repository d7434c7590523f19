//! Steps before a model: what the single steps do, one after the other, in one file that takes the raw columns.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use ndarray::{Array2, Axis};
use tidemill_ml::preprocess::{
    Imputer, ImputerParams, IqrOutliers, IqrOutliersParams, MinMaxScalerParams, OneHotEncoderParams,
    OutlierAction, Pca, PcaParams, StandardScaler, StandardScalerParams, TargetEncoder, TargetEncoderParams,
};
use tidemill_ml::{
    Cache, Categories, DecisionTreeParams, Error, ErrorKind, Estimator, FeatureTable, Fitted,
    IsolationForestParams, KMeansParams, Pipeline, PipelineStep, Prediction, RandomForestParams, Rows,
    SgdClassifierParams, Target, Transform,
};

const ROWS: u32 = 400;

fn x(row: u32) -> f64 {
    if row % 50 == 49 { 5_000.0 } else { f64::from(row * 37 % 101) }
}

fn y(row: u32) -> f64 {
    if row % 9 == 4 { f64::NAN } else { f64::from(row * 53 % 89) }
}

fn kind(row: u32) -> Option<String> {
    (row % 11 != 7).then(|| format!("kind {}", row % 5))
}

/// Two numbers, the first with outliers and the second with gaps, and a text column if asked for.
fn table(with_text: bool) -> (FeatureTable, Vec<bool>, Vec<u32>) {
    let text = if with_text { vec!["kind".to_owned()] } else { vec![] };
    let mut table = FeatureTable::new(vec!["x".into(), "y".into()], text);
    table.push_numeric(0, (0..ROWS).map(x));
    table.push_numeric(1, (0..ROWS).map(y));
    let kinds: Vec<Option<String>> = (0..ROWS).map(kind).collect();
    if with_text {
        table.push_category(0, kinds.iter().map(Option::as_deref));
    }
    table.finish_append().unwrap();
    let labels = (0..ROWS).map(|row| row * 37 % 101 + 20 * (row % 5) > 85).collect();
    (table, labels, (0..ROWS).filter(|row| row % 3 != 0).collect())
}

/// A table of these columns.
fn of_columns(names: &[String], x: &Array2<f64>) -> FeatureTable {
    let mut table = FeatureTable::new(names.to_vec(), vec![]);
    x.columns().into_iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn numbers(rows: &[u32]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), 2), |(at, c)| if c == 0 { x(rows[at]) } else { y(rows[at]) })
}

fn all(rows: usize) -> Vec<u32> {
    (0u32..).take(rows).collect()
}

#[test]
fn steps_of_numbers_are_done_one_after_the_other() {
    let (table, _, training) = table(false);
    let kmeans = KMeansParams { clusters: 3, ..KMeansParams::default() };
    let steps: [PipelineStep; 4] = [
        Transform::Impute(ImputerParams::default()).into(),
        Transform::Outliers(IqrOutliersParams::default()).of(&["x"]),
        Transform::Standard(StandardScalerParams::default()).into(),
        Transform::Pca(PcaParams { components: 1.into(), ..PcaParams::default() }).into(),
    ];
    let estimator = Estimator::from(Pipeline::new(steps, kmeans.clone()));
    let fitted = estimator.fit(&Rows::new(&table, Target::None, &training), 7).unwrap();

    let learn = numbers(&training);
    let imputer = Imputer::fit(Default::default(), learn.view()).unwrap();
    let mut learned = imputer.transform(learn.view()).unwrap();
    let fences = IqrOutliers::fit(Default::default(), learned.select(Axis(1), &[0]).view()).unwrap();
    let capped = |x: &mut Array2<f64>| {
        let column = fences.transform(x.select(Axis(1), &[0]).view()).unwrap();
        x.column_mut(0).assign(&column.column(0));
    };
    capped(&mut learned);
    assert!(learned.column(0).iter().all(|x| *x < 400.0));
    let scaler = StandardScaler::fit(Default::default(), learned.view()).unwrap();
    let scores = scaler.transform(learned.view()).unwrap();
    let pca = Pca::fit(PcaParams { components: 1.into(), ..Default::default() }, scores.view()).unwrap();
    let names = ["component 0".to_owned()];
    let points = of_columns(&names, &pca.transform(scores.view()).unwrap());
    let rows = all(training.len());
    let expected = Estimator::from(kmeans).fit(&Rows::new(&points, Target::None, &rows), 7).unwrap();
    let Fitted::Pipeline(pipeline) = &fitted else { panic!("a pipeline") };
    assert_eq!(pipeline.model(), &expected);

    // Rows that are scored go through the same, and may be any.
    let scored = [399, 0, 49, 4, 4];
    let mut x = imputer.transform(numbers(&scored).view()).unwrap();
    capped(&mut x);
    let x = pca.transform(scaler.transform(x.view()).unwrap().view()).unwrap();
    let expected = expected.predict(&of_columns(&names, &x), &all(scored.len())).unwrap();
    assert_eq!(fitted.predict(&table, &scored).unwrap(), expected);
    assert_eq!(fitted.predict(&table, &[]).unwrap(), Prediction::Clusters(vec![]));
}

#[test]
fn encoders_make_columns_of_texts_and_a_row_does_not_see_its_own_label() {
    let (table, labels, training) = table(true);
    let learn = Rows::new(&table, Target::Binary(&labels), &training);
    let steps = [Transform::OneHot(OneHotEncoderParams::default()).into()];
    let one_hot = Estimator::from(Pipeline::new(steps, DecisionTreeParams::default()));
    let fitted = one_hot.fit(&learn, 7).unwrap();
    let Fitted::Pipeline(pipeline) = &fitted else { panic!("a pipeline") };
    let names: Vec<String> = (0..5).map(|kind| format!("kind = kind {kind}")).collect();
    assert_eq!(pipeline.model().numeric_names(), [&["x".to_owned(), "y".to_owned()], &names[..]].concat());
    assert_eq!(fitted.categorical_names(), ["kind"]);
    assert!(fitted.score(&learn, 7).unwrap().binary().unwrap().accuracy > 0.8);

    let steps = [Transform::Target(TargetEncoderParams::default()).into()];
    let target = Estimator::from(Pipeline::new(steps, DecisionTreeParams::default()));
    let fitted = target.fit(&learn, 7).unwrap();
    let Fitted::Pipeline(pipeline) = &fitted else { panic!("a pipeline") };
    assert_eq!(pipeline.model().numeric_names(), ["x", "y", "kind"]);
    let kinds: Vec<Option<String>> = training.iter().map(|&row| kind(row)).collect();
    let kinds: Vec<Option<&str>> = kinds.iter().map(Option::as_deref).collect();
    let truth: Vec<bool> = training.iter().map(|&row| labels[row as usize]).collect();
    let shares = TargetEncoder::fit(Default::default(), &kinds, &truth).unwrap().transform(&kinds);
    let encoded = Array2::from_shape_fn((training.len(), 3), |(at, c)| match c {
        0 => x(training[at]),
        1 => y(training[at]),
        _ => shares[at],
    });
    let encoded = of_columns(&["x".into(), "y".into(), "kind".into()], &encoded);
    let rows = all(training.len());
    let scored = pipeline.model().predict(&encoded, &rows).unwrap();
    assert_eq!(
        fitted.predict(&table, &training).unwrap(),
        scored,
        "what is scored has the shares of all rows"
    );
    let tree = Estimator::from(DecisionTreeParams::default());
    let seen = tree.fit(&Rows::new(&encoded, Target::Binary(&truth), &rows), 7).unwrap();
    assert_ne!(pipeline.model(), &seen, "what is learned from has those of the other folds");
}

#[test]
fn outliers_that_are_dropped_are_not_learned_from_and_are_scored() {
    let (table, labels, training) = table(false);
    let drop = IqrOutliersParams { action: OutlierAction::Drop, ..IqrOutliersParams::default() };
    let steps = [Transform::Outliers(drop).of(&["x"])];
    let estimator = Estimator::from(Pipeline::new(steps, RandomForestParams::default()));
    let weights: Vec<f64> = (0..ROWS).map(|row| 1.0 + f64::from(row % 4)).collect();
    let learn = Rows { weights: Some(&weights), ..Rows::new(&table, Target::Binary(&labels), &training) };
    let fitted = estimator.fit(&learn, 7).unwrap();
    let inliers: Vec<u32> = training.iter().copied().filter(|row| row % 50 != 49).collect();
    assert!(inliers.len() < training.len());
    let Fitted::Pipeline(pipeline) = &fitted else { panic!("a pipeline") };
    let expected = Estimator::from(RandomForestParams::default());
    let left = Rows { rows: &inliers, ..learn };
    // The rows of a pipeline have other numbers, by which forests draw: so many rows, and no others.
    assert_eq!(pipeline.model().training_rows(), inliers.len() as u64);
    assert_eq!(expected.fit(&left, 7).unwrap().training_rows(), inliers.len() as u64);
    let Prediction::Probabilities(found) = fitted.predict(&table, &[49, 99, 0]).unwrap() else { panic!() };
    assert_eq!(found.len(), 3);
}

#[test]
fn a_pipeline_is_one_file_and_a_damaged_one_an_error() {
    let (table, labels, training) = table(true);
    let steps: [PipelineStep; 6] = [
        Transform::Impute(ImputerParams::default()).into(),
        Transform::MinMax(MinMaxScalerParams::default()).into(),
        Transform::L2.into(),
        Transform::Pca(PcaParams::default()).of(&["x", "y"]),
        Transform::Target(TargetEncoderParams::default()).into(),
        Transform::Standard(StandardScalerParams::default()).of(&["kind"]),
    ];
    let sgd = SgdClassifierParams { hash_bits: 4, ..SgdClassifierParams::default() };
    let estimator = Estimator::from(Pipeline::new(steps, sgd));
    let learn = Rows::new(&table, Target::Binary(&labels), &training);
    let fitted = estimator.fit(&learn, 7).unwrap();
    assert_eq!(fitted, estimator.fit(&learn, 7).unwrap());
    let bytes = fitted.to_bytes().unwrap();
    let read = Fitted::from_bytes(&bytes).unwrap();
    assert_eq!(read, fitted);
    assert_eq!(read.predict(&table, &training).unwrap(), fitted.predict(&table, &training).unwrap());
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        assert!(Fitted::from_bytes(&damaged).is_err(), "byte {at}");
        // Under a right checksum what is read may be anything, and does not end in a panic.
        let crc = crc32fast::hash(&damaged[16..]).to_le_bytes();
        damaged[12..16].copy_from_slice(&crc);
        if let Ok(other) = Fitted::from_bytes(&damaged) {
            let _ = other.predict(&table, &training);
        }
    }
    let error = fitted.partial_fit(&learn, 1).unwrap_err();
    assert!(
        error.to_string().starts_with("step 4 (`pca`): pca cannot learn from new rows alone: "),
        "{error}"
    );
}

#[test]
fn a_step_that_cannot_be_says_which_and_why() {
    let (table, labels, training) = table(true);
    let fit = |steps: Vec<PipelineStep>, target| {
        let estimator = Estimator::from(Pipeline::new(steps, DecisionTreeParams::default()));
        estimator.fit(&Rows::new(&table, target, &training), 7).unwrap_err()
    };
    let binary = Target::Binary(&labels);
    let standard = || Transform::Standard(StandardScalerParams::default());
    let error = fit(vec![standard().into(), standard().of(&["z"])], binary);
    assert_eq!(
        error.to_string(),
        "step 2 (`standard`): there is no numeric column `z`; the numeric columns are: x, y"
    );
    assert_eq!(error.kind(), ErrorKind::User);
    let error = fit(vec![standard().of(&["kind"])], binary);
    assert!(error.to_string().contains("no numeric column `kind`"), "{error}");
    let encode = || Transform::OneHot(OneHotEncoderParams::default());
    let error = fit(vec![encode().into(), encode().into()], binary);
    assert_eq!(error.to_string(), "step 2 (`one_hot`): there is no text column for it to take");
    let error = fit(vec![Transform::Target(TargetEncoderParams::default()).into()], Target::None);
    assert!(error.to_string().starts_with("step 1 (`target`): the target is nothing"), "{error}");
    let error = fit(vec![Transform::Pca(PcaParams::default()).into()], binary);
    let Error::InStep { step: 1, name: "pca", error } = error else { panic!("{error}") };
    assert!(matches!(*error, Error::MissingValue { column: 1, .. }), "{error}");
    // Two steps that make columns of the same names.
    let impute = Transform::Impute(ImputerParams::default());
    let pca = |column| Transform::Pca(PcaParams { components: 1.into(), ..Default::default() }).of(&[column]);
    let error = fit(vec![impute.into(), pca("x"), pca("y")], binary);
    assert_eq!(
        error.to_string(),
        "step 3 (`pca`): it makes a column `component 0`, and there is one already"
    );

    let inner = Pipeline::new([standard().into()], DecisionTreeParams::default());
    let outer = Estimator::from(Pipeline::new([], inner));
    assert!(matches!(outer.validate(), Err(Error::BadParameter { name: "estimator", .. })));

    let steps = [standard().into()];
    let fitted = Estimator::from(Pipeline::new(steps, DecisionTreeParams::default()));
    let fitted = fitted.fit(&Rows::new(&table, binary, &training), 7).unwrap();
    let (other, ..) = crate::table(false);
    assert!(matches!(fitted.predict(&other, &[0]), Err(Error::FeatureMismatch { .. })));
    assert!(matches!(fitted.predict(&table, &[ROWS]), Err(Error::RowOutOfRange { .. })));
}

#[test]
fn a_step_that_leaves_no_rows_is_an_error() {
    // Each row is an outlier in one of the columns.
    let mut table = FeatureTable::new((0..4).map(|c| format!("c{c}")).collect(), vec![]);
    for c in 0..4 {
        table.push_numeric(c, (0..8).map(|row| if row / 2 == c { 1e6 + row as f64 } else { row as f64 }));
    }
    table.finish_append().unwrap();
    let drop = IqrOutliersParams { reach: 0.0, action: OutlierAction::Drop };
    let pipeline = Pipeline::new([Transform::Outliers(drop).into()], KMeansParams::default());
    let error = Estimator::from(pipeline).fit(&Rows::new(&table, Target::None, &all(8)), 7).unwrap_err();
    assert_eq!(
        error,
        Error::InStep { step: 1, name: "drop", error: Box::new(Error::NoRowsLeft { rows: 8 }) }
    );
}

#[test]
fn rows_that_an_isolation_forest_sets_apart_are_not_learned_from_and_are_scored() {
    let (table, labels, training) = table(false);
    let params = IsolationForestParams { contamination: Some(0.02), ..IsolationForestParams::default() };
    let step = Transform::IsolationForest(params);
    let tree = Estimator::from(DecisionTreeParams::default());
    let learn = Rows::new(&table, Target::Binary(&labels), &training);
    // Two hundred and more rows, of which every fiftieth is far off in `x`, and in nothing in `y`.
    let of = |columns: &[&str]| {
        let pipeline = Pipeline::new([step.clone().of(columns)], DecisionTreeParams::default());
        let fitted = Estimator::from(pipeline).fit(&learn, 7).unwrap();
        assert_eq!(Fitted::from_bytes(&fitted.to_bytes().unwrap()).unwrap(), fitted);
        fitted
    };
    let inliers: Vec<u32> = training.iter().copied().filter(|row| row % 50 != 49).collect();
    let by_x = of(&["x"]);
    let Fitted::Pipeline(pipeline) = &by_x else { panic!("a pipeline") };
    assert_eq!(pipeline.model(), &tree.fit(&Rows { rows: &inliers, ..learn }, 7).unwrap());
    assert!(inliers.len() < training.len() && by_x.training_rows() == inliers.len() as u64);
    let Prediction::Probabilities(found) = by_x.predict(&table, &[49, 99, 0]).unwrap() else { panic!() };
    assert_eq!(found.len(), 3);
    let by_y = of(&["y"]);
    let Fitted::Pipeline(pipeline) = &by_y else { panic!("a pipeline") };
    assert_ne!(pipeline.model(), &tree.fit(&Rows { rows: &inliers, ..learn }, 7).unwrap());
}

/// A pipeline's model after its steps keeps what the next fit can use, where these come out as they were.
#[test]
fn a_refit_of_the_same_steps_keeps_rows_and_makes_the_same_model() {
    let mut table = FeatureTable::new(vec!["x".into()], vec!["kind".into()]);
    let (mut labels, mut before, mut cache) = (Vec::new(), None, Cache::new());
    let steps = || [Transform::OneHot(OneHotEncoderParams::default()).into()];
    let forest = RandomForestParams { trees: 5, ..RandomForestParams::default() };
    let estimator = Estimator::from(Pipeline::new(steps(), forest));
    for batch in 0..5u32 {
        let numbers = 3_000 * batch..3_000 * (batch + 1);
        // In the last batch but one there is a category that was not there before.
        let kind = |row: u32| {
            if batch == 3 && row.is_multiple_of(7) { "late".to_owned() } else { format!("k{}", row % 5) }
        };
        let kinds: Vec<String> = numbers.clone().map(kind).collect();
        table.push_numeric(0, numbers.clone().map(|row| f64::from(row * 37 % 101)));
        table.push_category(0, kinds.iter().map(|kind| Some(kind.as_str())));
        table.finish_append().unwrap();
        labels.extend(numbers.map(|row| row * 37 % 101 + 20 * (row % 5) > 85));
        let rows: Vec<u32> = (0..table.rows() as u32).filter(|row| row % 3 != 0).collect();
        let learn = Rows::new(&table, Target::Binary(&labels), &rows);
        let fitted = estimator.refit(&learn, 7, before.as_ref(), &mut cache).unwrap();
        assert!(fitted == estimator.refit(&learn, 7, before.as_ref(), &mut Cache::new()).unwrap(), "{batch}");
        assert!(fitted == estimator.fit(&learn, 7).unwrap(), "{batch}");
        // One byte a row for x and each of five kinds.
        let kept = if [1, 2].contains(&batch) { rows.len() as u64 * 6 } else { 0 };
        let kept = if batch == 4 { rows.len() as u64 * 7 } else { kept };
        assert_eq!(cache.bytes(), kept, "{batch}");
        before = Some(fitted);
    }
    // Steps that learn other numbers keep nothing.
    let steps = [Transform::Standard(StandardScalerParams::default()).into()];
    let numbers = table.by_names(&["x".into()], &[]).unwrap();
    let estimator = Estimator::from(Pipeline::new(steps, DecisionTreeParams::default()));
    let (mut before, mut cache) = (None, Cache::new());
    for count in [5_000, 9_000, 15_000] {
        let rows: Vec<u32> = (0..count).collect();
        let learn = Rows::new(&numbers, Target::Binary(&labels), &rows);
        let fitted = estimator.refit(&learn, 7, before.as_ref(), &mut cache).unwrap();
        assert_eq!(cache.bytes(), 0, "{count}");
        before = Some(fitted);
    }
}

/// What a fit makes of its rows is known before: a driver refuses what would not fit into its memory.
#[test]
fn the_bytes_of_a_fit_grow_with_its_rows_and_what_steps_make_of_them() {
    let (table, ..) = table(true);
    let bytes = |steps: Vec<PipelineStep>, rows| {
        Estimator::from(Pipeline::new(steps, DecisionTreeParams::default())).bytes_to_fit(&table, rows)
    };
    // x, y and the code of a kind; and a byte each for the bins.
    let row = 2 * 8 + 4;
    assert_eq!(bytes(vec![], 1_000), 1_000 * (row + 3));
    // The matrix of both and the table after the step.
    let standard = || Transform::Standard(StandardScalerParams::default());
    assert_eq!(bytes(vec![standard().into()], 1_000), 1_000 * (2 * row + 2 * 8));
    assert_eq!(bytes(vec![standard().of(&["x"])], 1_000), 1_000 * (2 * row + 8));
    // Five kinds: a byte a row each, and eight while the rows are new.
    let kinds = OneHotEncoderParams::default();
    let one_hot = bytes(vec![Transform::OneHot(kinds).into()], 1_000);
    assert_eq!(one_hot, 1_000 * (row + 16 + 2 * 8 + 5) + 8 * 5 * 1_000);
    assert_eq!(Estimator::from(KMeansParams::default()).bytes_to_fit(&table, 1_000), 0);
    // Trees that make numbers of texts have bins of these beside those that all models share.
    let tree =
        |categories| Estimator::from(DecisionTreeParams { categories, ..DecisionTreeParams::default() });
    let bytes = |categories| tree(categories).bytes_to_fit(&table, 1_000);
    assert_eq!((bytes(Categories::Auto), bytes(Categories::Native)), (3 * table.rows() as u64, 0));
}
