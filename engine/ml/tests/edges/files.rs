//! Any payload under a right checksum: an error, or a model that does all that a model does, and learns on.

use crate::binary::{self, TrainingRows};
use crate::data::{Case, all, cases, classifiers, numeric_table};
use ndarray::Array2;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::OnceLock;
use tidemill_ml::preprocess::{
    ImputeStrategy, Imputer, ImputerParams, IqrOutliers, MinMaxScaler, Normalizer, OneHotEncoder, Pca,
    PcaBackend, PcaParams, Preprocessor, RobustScaler, StandardScaler, StringIndexer, TargetEncoder,
};
use tidemill_ml::{
    Categories, Classifier, ClusterStream, ClusterStreamParams, DecisionTreeParams, Error, KMeans,
    KMeansParams, MiniBatchKMeansParams, OnlineKMeansParams, SilhouetteRows, StreamLearner, SupervisedParams,
};

/// Holds, or says what does not.
type Held = Result<(), TestCaseError>;

/// The largest numbers of 32 and 64 bits, and one of two bytes, as they are written.
const LARGE: [&[u8]; 3] = [
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x01],
];

/// What is done to a payload at a place.
#[derive(Debug, Clone)]
enum Damage {
    Byte(u8),
    /// A byte, maybe a small integer, becomes one of [`LARGE`].
    Large(usize),
    /// Eight bytes become a number.
    Number(f64),
    Cut,
}

fn damages() -> impl Strategy<Value = Vec<(Index, Damage)>> {
    let ends = [f64::NAN, f64::INFINITY, 1e308, -1e308, 5e-324, -1.0, 1e99];
    let damage = prop_oneof![
        4 => any::<u8>().prop_map(Damage::Byte),
        4 => (0..LARGE.len()).prop_map(Damage::Large),
        3 => prop_oneof![4 => prop::sample::select(ends.to_vec()), 1 => any::<f64>()].prop_map(Damage::Number),
        1 => Just(Damage::Cut),
    ];
    prop::collection::vec((any::<Index>(), damage), 1..5)
}

/// The file with its payload changed, under a right checksum.
fn sealed(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = bytes[16..].to_vec();
    change(&mut payload);
    [&bytes[..12], &crc32fast::hash(&payload).to_le_bytes(), &payload].concat()
}

fn damaged(bytes: &[u8], damages: &[(Index, Damage)]) -> Vec<u8> {
    sealed(bytes, |payload| {
        for (at, damage) in damages {
            let at = at.index(payload.len().max(1));
            let (one, eight) = ((at + 1).min(payload.len()), (at + 8).min(payload.len()));
            match damage {
                Damage::Byte(byte) => drop(payload.splice(at..one, [*byte])),
                Damage::Large(which) => drop(payload.splice(at..one, LARGE[*which].iter().copied())),
                Damage::Number(number) => drop(payload.splice(at..eight, number.to_le_bytes())),
                Damage::Cut => payload.truncate(at),
            }
        }
    })
}

fn case() -> Case {
    let value = |i: usize, c: usize| {
        if (i + c).is_multiple_of(11) { f64::NAN } else { ((i * (c + 3) * 7) % 23) as f64 }
    };
    Case {
        numeric: (0..2).map(|c| (0..60).map(|i| value(i, c)).collect()).collect(),
        categorical: vec![(0..60).map(|i| (i % 7 != 0).then_some((i % 5) as u16)).collect()],
        labels: (0..60).map(|i| (i * 7) % 23 > 11).collect(),
        weights: None,
        step: 1,
    }
}

/// Each with its file, learned from the first 55 rows; a tree that knows weights of rows besides.
fn files_of_classifiers() -> Vec<(SupervisedParams, Vec<u8>)> {
    let (case, first) = (case(), (0..55).collect::<Vec<u32>>());
    let file = |(_, mut algorithm)| {
        if let SupervisedParams::SgdClassifier(params) = &mut algorithm {
            // Most of its file are weights, of which a few will do.
            params.hash_bits = 4;
        }
        let model = binary::fit(&algorithm, &case.table(), &case.labels, &first, 0, None).unwrap();
        (algorithm, model.to_bytes().unwrap())
    };
    let encoded = SupervisedParams::DecisionTree(DecisionTreeParams {
        categories: Categories::TargetEncoded,
        ..Default::default()
    });
    let (table, weights) = (case.table(), (0..60).map(|i| f64::from(i % 7) + 0.5).collect::<Vec<_>>());
    let training =
        TrainingRows { weights: Some(&weights), ..TrainingRows::new(&table, &case.labels, &first) };
    let weighed = binary::fit_rows(&encoded, &training, 0, None).unwrap().to_bytes().unwrap();
    classifiers().into_iter().map(file).chain([(encoded, weighed)]).collect()
}

fn holds_of_classifier(algorithm: &SupervisedParams, bytes: &[u8]) -> Held {
    let Ok(model) = Classifier::from_bytes(bytes) else { return Ok(()) };
    let case = case();
    let (table, elsewhere) = (case.table(), case.elsewhere());
    let within = |found: Result<Vec<f64>, Error>| {
        found.is_err() || found.is_ok_and(|scores| scores.iter().all(|p| (0.0..=1.0).contains(p)))
    };
    for table in [&table, &elsewhere] {
        prop_assert!(within(model.predict_proba(table, &all(table))), "{:?}", model);
        let _ = model.apply(table, &all(table));
    }
    let _ = (model.coefficients(), model.leaves(), model.gain_importances().map(<[f64]>::to_vec));
    // A start that leads nowhere is not used.
    let warm = binary::fit(algorithm, &table, &case.labels, &all(&table), 0, Some(&model));
    prop_assert!(warm.is_ok(), "{:?}", warm);
    prop_assert!(within(warm.unwrap().predict_proba(&table, &all(&table))), "from {:?}", model);
    if let Ok(after) = binary::partial_fit(&model, &table, &case.labels, &[55, 56, 57, 58, 59], 0) {
        prop_assert!(within(after.predict_proba(&table, &all(&table))), "after {:?}", model);
    }
    Ok(())
}

/// K-means, then a stream of each learner.
fn files_of_clusters() -> Vec<Vec<u8>> {
    let table = numeric_table(&case().numeric);
    let params = KMeansParams { clusters: 3, ..KMeansParams::default() };
    let kmeans = KMeans::fit(&params, &table, &all(&table), 0, None).unwrap().to_bytes().unwrap();
    let learners = [
        StreamLearner::MinibatchKmeans(MiniBatchKMeansParams { clusters: 3, ..Default::default() }),
        StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters: 3, ..Default::default() }),
        StreamLearner::Kmeans(params),
    ];
    let streams = learners.map(|learner| {
        let params = ClusterStreamParams { learner, ..ClusterStreamParams::default() };
        let mut stream = ClusterStream::new(params, table.numeric_names().to_vec()).unwrap();
        stream.partial_fit(&table, &all(&table), 0).unwrap();
        stream.to_bytes().unwrap()
    });
    [kmeans].into_iter().chain(streams).collect()
}

fn holds_of_clusters(bytes: &[u8]) -> Held {
    let table = numeric_table(&case().numeric);
    let rows = all(&table);
    let finite = |centres: &[Vec<f64>]| centres.iter().flatten().all(|c| c.is_finite());
    if let Ok(model) = KMeans::from_bytes(bytes) {
        prop_assert!(finite(&model.centres()), "{:?}", model);
        let _ = (model.training_rows(), model.left_out());
        let _ = (model.assign(&table, &rows), model.metrics(&table, &rows, 0));
        let params = KMeansParams { clusters: 3, ..KMeansParams::default() };
        let warm = KMeans::fit(&params, &table, &rows, 0, Some(&model));
        prop_assert!(warm.is_ok_and(|warm| finite(&warm.centres())), "from {:?}", model);
    }
    let Ok(mut stream) = ClusterStream::from_bytes(bytes) else { return Ok(()) };
    let _ = (stream.assign(&table, &rows), stream.caps(), stream.batches(), stream.training_rows());
    let _ = stream.metrics(&table, &rows, SilhouetteRows::Exact, 0);
    for batch in 0..3 {
        let _ = stream.partial_fit(&table, &rows, batch);
        let _ = stream.partial_fit_weighted(&table, &rows, &[0.5; 60], batch);
        prop_assert!(finite(stream.centres()), "{:?}", stream);
    }
    let again = ClusterStream::from_bytes(&stream.to_bytes().unwrap());
    prop_assert!(again.is_ok(), "{:?}", stream);
    Ok(())
}

fn files_of_preprocessing() -> Vec<Vec<u8>> {
    let case = case();
    let (x, known, text) = matrix_and_text(&case);
    let text: Vec<Option<&str>> = text.iter().map(Option::as_deref).collect();
    let (x, known) = (x.view(), known.view());
    let median = ImputerParams { strategy: ImputeStrategy::Median, value: 0.0 };
    // More values than are kept as they are.
    let long = Array2::from_shape_fn((2_100, 2), |(row, column)| (row % 5 * (column + 1)) as f64);
    let long = long.view();
    let linfa = PcaParams { backend: PcaBackend::Linfa, ..Default::default() };
    let steps = [
        Preprocessor::StandardScaler(StandardScaler::fit(Default::default(), x).unwrap()),
        Preprocessor::MinMaxScaler(MinMaxScaler::fit(Default::default(), x).unwrap()),
        Preprocessor::Normalizer(Normalizer::default()),
        Preprocessor::Imputer(Imputer::fit(Default::default(), x).unwrap()),
        Preprocessor::Imputer(Imputer::fit(median, x).unwrap()),
        Preprocessor::Imputer(Imputer::fit(median, long).unwrap()),
        Preprocessor::IqrOutliers(IqrOutliers::fit(Default::default(), long).unwrap()),
        Preprocessor::IqrOutliers(IqrOutliers::fit(Default::default(), x).unwrap()),
        Preprocessor::StringIndexer(StringIndexer::fit(Default::default(), &text).unwrap()),
        Preprocessor::OneHotEncoder(OneHotEncoder::fit(Default::default(), &text).unwrap()),
        Preprocessor::TargetEncoder(TargetEncoder::fit(Default::default(), &text, &case.labels).unwrap()),
        Preprocessor::Pca(Pca::fit(Default::default(), known).unwrap()),
        Preprocessor::Pca(Pca::fit(linfa, known).unwrap()),
        Preprocessor::RobustScaler(RobustScaler::fit(Default::default(), x).unwrap()),
        Preprocessor::RobustScaler(RobustScaler::fit(Default::default(), long).unwrap()),
    ];
    steps.map(|step| step.to_bytes().unwrap()).to_vec()
}

/// Rows with and without missing values, and strings.
fn matrix_and_text(case: &Case) -> (Array2<f64>, Array2<f64>, Vec<Option<String>>) {
    let x = Array2::from_shape_fn((60, 2), |(row, column)| case.numeric[column][row]);
    let known = x.mapv(|v| if v.is_nan() { 4.0 } else { v });
    (x, known, case.categorical[0].iter().map(|v| v.map(|v| v.to_string())).collect())
}

fn holds_of_preprocessing(bytes: &[u8]) -> Held {
    let Ok(step) = Preprocessor::from_bytes(bytes) else { return Ok(()) };
    let case = case();
    let (x, known, text) = matrix_and_text(&case);
    let text: Vec<Option<&str>> = text.iter().map(Option::as_deref).collect();
    let finite = |found: Result<Array2<f64>, Error>| {
        found.is_err() || found.is_ok_and(|out| out.iter().all(|v| !v.is_infinite()))
    };
    /// The step, and what it is after more rows.
    macro_rules! and_after {
        ($step:expr, $more:expr) => {
            [Some($step.clone()), $more.ok()].into_iter().flatten()
        };
    }
    let x = x.view();
    match step {
        Preprocessor::StandardScaler(step) => {
            for step in and_after!(step, step.partial_fit(x)) {
                prop_assert!(finite(step.transform(x)) && finite(step.inverse_transform(x)), "{:?}", step);
            }
        }
        Preprocessor::MinMaxScaler(step) => {
            for step in and_after!(step, step.partial_fit(x)) {
                prop_assert!(finite(step.transform(x)) && finite(step.inverse_transform(x)), "{:?}", step);
            }
        }
        Preprocessor::Normalizer(step) => prop_assert!(finite(Ok(step.transform(x)))),
        Preprocessor::Imputer(step) => {
            for step in and_after!(step, step.partial_fit(x)) {
                prop_assert!(finite(step.transform(x)), "{:?}", step);
            }
        }
        Preprocessor::IqrOutliers(step) => {
            for step in and_after!(step, step.partial_fit(x)) {
                prop_assert!(finite(step.transform(x)), "{:?}", step);
            }
        }
        Preprocessor::StringIndexer(step) => {
            let _ = (step.transform(&text), step.partial_fit(&text).unwrap().transform(&text));
        }
        Preprocessor::OneHotEncoder(step) => {
            let _ = (step.transform(&text), step.partial_fit(&text).unwrap().transform(&text));
        }
        Preprocessor::TargetEncoder(step) => {
            for step in and_after!(step, step.partial_fit(&text, &case.labels)) {
                let shares = step.transform(&text);
                prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{:?}", step);
            }
        }
        Preprocessor::Pca(step) => {
            for step in and_after!(step, step.partial_fit(known.view())) {
                prop_assert!(finite(step.transform(known.view())), "{:?}", step);
                let _ = step.explained_variance_ratios();
            }
        }
        Preprocessor::RobustScaler(step) => {
            for step in and_after!(step, step.partial_fit(x)) {
                prop_assert!(finite(step.transform(x)), "{:?}", step);
            }
        }
        other => prop_assert!(false, "{:?}", other),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn of_classifiers(damages in damages(), which in any::<Index>()) {
        static FILES: OnceLock<Vec<(SupervisedParams, Vec<u8>)>> = OnceLock::new();
        let files = FILES.get_or_init(files_of_classifiers);
        let (algorithm, bytes) = &files[which.index(files.len())];
        holds_of_classifier(algorithm, &damaged(bytes, &damages))?;
    }

    #[test]
    fn of_clusters(damages in damages(), which in any::<Index>()) {
        static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        let files = FILES.get_or_init(files_of_clusters);
        holds_of_clusters(&damaged(&files[which.index(files.len())], &damages))?;
    }

    #[test]
    fn of_preprocessing(damages in damages(), which in any::<Index>()) {
        static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        let files = FILES.get_or_init(files_of_preprocessing);
        holds_of_preprocessing(&damaged(&files[which.index(files.len())], &damages))?;
    }
}

#[test]
fn any_byte_of_a_file_may_be_a_number_that_is_too_large() {
    let each = |bytes: &[u8], holds: &dyn Fn(&[u8]) -> Held| {
        for at in 0..bytes.len() - 16 {
            for large in LARGE {
                let bytes = sealed(bytes, |payload| drop(payload.splice(at..=at, large.iter().copied())));
                let held = holds(&bytes);
                assert!(held.is_ok(), "byte {at}: {held:?}");
            }
        }
    };
    for (algorithm, bytes) in files_of_classifiers() {
        each(&bytes, &|bytes| holds_of_classifier(&algorithm, bytes));
    }
    files_of_clusters().iter().for_each(|bytes| each(bytes, &holds_of_clusters));
    files_of_preprocessing().iter().for_each(|bytes| each(bytes, &holds_of_preprocessing));
}
