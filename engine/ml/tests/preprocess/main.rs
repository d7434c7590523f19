//! Preprocessing from outside: scikit-learn's numbers, the rules that all share, files, and no panic on any values.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod any;

use ndarray::{Array2, ArrayView2, Axis, array};
use serde::Deserialize;
use tidemill_ml::preprocess::*;
use tidemill_ml::{Error, ErrorKind};

type Rows = Vec<Vec<Option<f64>>>;

const BACKENDS: [PcaBackend; 2] = [PcaBackend::Tidemill, PcaBackend::Linfa];

#[derive(Deserialize)]
struct Golden {
    x: Rows,
    known: Rows,
    kinds: Vec<String>,
    labels: Vec<bool>,
    standard: Rows,
    standard_known: Rows,
    min_max: Rows,
    clipped: Rows,
    l1: Rows,
    l2: Rows,
    max: Rows,
    mean: Rows,
    median: Rows,
    constant: Rows,
    robust: Rows,
    /// Of `x` rounded.
    most_frequent: Rows,
    /// A share of variance, and how many components have more.
    kept: Vec<(f64, usize)>,
    capped: Rows,
    inliers: Vec<bool>,
    categories: Vec<String>,
    one_hot: Rows,
    target: Vec<f64>,
    components: Rows,
    variances: Vec<f64>,
    ratios: Vec<f64>,
    scores: Rows,
    white: Rows,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/preprocess.json")).unwrap()
}

fn matrix(rows: &Rows) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows.first().map_or(0, Vec::len)), |(r, c)| {
        rows[r][c].unwrap_or(f64::NAN)
    })
}

/// Equal to 1e-9 of the largest known value of the column, missing values at the same places.
fn assert_close(found: &Array2<f64>, expected: &Rows, what: &str) {
    let expected = matrix(expected);
    assert_eq!(found.dim(), expected.dim(), "{what}");
    for (found, expected) in found.columns().into_iter().zip(expected.columns()) {
        let scale = expected.iter().filter(|v| v.is_finite()).fold(1e-3f64, |m, v| m.max(v.abs()));
        for (a, b) in found.iter().zip(expected) {
            assert!((a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * scale, "{what}: {a}, not {b}");
        }
    }
}

fn optional(values: &[String]) -> Vec<Option<&str>> {
    values.iter().map(|v| Some(v.as_str())).collect()
}

#[test]
fn numbers_are_those_of_scikit_learn() {
    let golden = golden();
    let (x, known) = (matrix(&golden.x), matrix(&golden.known));
    let standard = StandardScaler::fit(StandardScalerParams::default(), x.view()).unwrap();
    assert_close(&standard.transform(x.view()).unwrap(), &golden.standard, "standard");
    assert_close(
        &standard.inverse_transform(standard.transform(x.view()).unwrap().view()).unwrap(),
        &golden.x,
        "back",
    );
    let whole = StandardScaler::fit(StandardScalerParams::default(), known.view()).unwrap();
    assert_close(&whole.transform(known.view()).unwrap(), &golden.standard_known, "standard of known values");
    let range = MinMaxScalerParams { min: -1.0, max: 2.0, clip: false };
    let min_max = MinMaxScaler::fit(range, x.view()).unwrap();
    assert_close(&min_max.transform(x.view()).unwrap(), &golden.min_max, "min-max");
    assert_close(
        &min_max.inverse_transform(min_max.transform(x.view()).unwrap().view()).unwrap(),
        &golden.x,
        "back",
    );
    let first = known.select(Axis(0), &(0..20).collect::<Vec<_>>());
    let clip =
        MinMaxScaler::fit(MinMaxScalerParams { clip: true, ..Default::default() }, first.view()).unwrap();
    assert_close(&clip.transform(known.view()).unwrap(), &golden.clipped, "clipped");
    for (norm, expected) in [(Norm::L1, &golden.l1), (Norm::L2, &golden.l2), (Norm::Max, &golden.max)] {
        assert_close(&Normalizer { norm }.transform(known.view()), expected, "normalizer");
    }
    for (strategy, expected) in [
        (ImputeStrategy::Mean, &golden.mean),
        (ImputeStrategy::Median, &golden.median),
        (ImputeStrategy::Constant, &golden.constant),
    ] {
        let imputer = Imputer::fit(ImputerParams { strategy, value: -1.0 }, x.view()).unwrap();
        assert_close(&imputer.transform(x.view()).unwrap(), expected, "imputer");
    }
    let robust = RobustScaler::fit(RobustScalerParams::default(), x.view()).unwrap();
    assert_close(&robust.transform(x.view()).unwrap(), &golden.robust, "robust");
    let rounded = x.mapv(f64::round_ties_even);
    let params = ImputerParams { strategy: ImputeStrategy::MostFrequent, value: 0.0 };
    let imputer = Imputer::fit(params, rounded.view()).unwrap();
    assert_close(&imputer.transform(rounded.view()).unwrap(), &golden.most_frequent, "most frequent");
    assert!(matches!(imputer.partial_fit(x.view()), Err(Error::NoPartialFit { what: "impute", .. })));
    let scaled = whole.transform(known.view()).unwrap().select(Axis(1), &[0, 1, 2]);
    for (share, components) in &golden.kept {
        let part = PcaParams { components: PcaComponents::Share(*share), ..PcaParams::default() };
        let pca = Pca::fit(part, scaled.view()).unwrap();
        assert_eq!(pca.components().nrows(), *components, "{share}");
        let same = PcaParams { components: (*components).into(), ..PcaParams::default() };
        assert_eq!(pca, Pca::fit(same, scaled.view()).unwrap());
    }
    let all = PcaParams { components: PcaComponents::Share(1.0), ..PcaParams::default() };
    assert!(matches!(Pca::fit(all, scaled.view()), Err(Error::BadParameter { name: "components", .. })));
    let cap = IqrOutliers::fit(IqrOutliersParams::default(), x.view()).unwrap();
    assert_close(&cap.transform(x.view()).unwrap(), &golden.capped, "capped");
    assert_eq!(cap.bounds()[3], None, "a constant column has no bounds");
    assert_eq!(cap.inliers(x.view()).unwrap(), golden.inliers);
    let drop = IqrOutliersParams { action: OutlierAction::Drop, ..Default::default() };
    let dropped = IqrOutliers::fit(drop, x.view()).unwrap().transform(x.view()).unwrap();
    assert_eq!(dropped.nrows(), golden.inliers.iter().filter(|inlier| **inlier).count());
    assert!(dropped.nrows() < x.nrows());
}

#[test]
fn components_are_those_of_scikit_learn() {
    let golden = golden();
    let known = matrix(&golden.standard_known).select(Axis(1), &[0, 1, 2]);
    let close =
        |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1e-12));
    for backend in BACKENDS {
        let params = PcaParams { components: 3.into(), backend, ..Default::default() };
        let pca = Pca::fit(params, known.view()).unwrap();
        assert_close(&pca.components().to_owned(), &golden.components, "components");
        assert_close(&pca.transform(known.view()).unwrap(), &golden.scores, "scores");
        assert!(close(pca.explained_variances(), &golden.variances), "{:?}", pca.explained_variances());
        assert!(close(&pca.explained_variance_ratios(), &golden.ratios));
        let white =
            Pca::fit(PcaParams { components: 2.into(), whiten: true, backend }, known.view()).unwrap();
        assert_close(&white.transform(known.view()).unwrap(), &golden.white, "white");
    }
}

#[test]
fn categories_are_those_of_scikit_learn_and_spark() {
    let golden = golden();
    let kinds = optional(&golden.kinds);
    let one_hot = OneHotEncoder::fit(OneHotEncoderParams::default(), &kinds).unwrap();
    assert_eq!(one_hot.categories(), golden.categories);
    assert_close(&one_hot.transform(&kinds).unwrap(), &golden.one_hot, "one-hot");
    let target = TargetEncoder::fit(TargetEncoderParams::default(), &kinds, &golden.labels).unwrap();
    let found = target.transform(&kinds);
    assert!(found.iter().zip(&golden.target).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    // Spark's StringIndexer, frequencyDesc: b and c twice, a and d once, by name.
    let values = [Some("b"), Some("c"), None, Some("d"), Some("b"), Some("a"), Some("c")];
    let index = |unseen| StringIndexer::fit(StringIndexerParams { unseen }, &values).unwrap();
    assert_eq!(index(Unseen::Error).labels(), ["b", "c", "a", "d"]);
    let asked = [Some("d"), Some("new"), Some("b"), None];
    let error = index(Unseen::Error).transform(&asked).unwrap_err();
    assert_eq!(error, Error::UnseenCategory { value: "\"new\"".into(), position: 1 });
    assert_eq!(index(Unseen::Error).transform(&asked[2..]).unwrap_err().kind(), ErrorKind::Data);
    let skip = IndexedStrings { indices: vec![3, 0], kept: vec![0, 2] };
    assert_eq!(index(Unseen::Skip).transform(&asked).unwrap(), skip);
    let keep = IndexedStrings { indices: vec![3, 4, 0, 4], kept: vec![0, 1, 2, 3] };
    assert_eq!(index(Unseen::Keep).transform(&asked).unwrap(), keep);
}

#[test]
fn rows_that_come_later_give_what_all_rows_at_once_do() {
    let golden = golden();
    let x = matrix(&golden.x);
    let parts = |of: &Array2<f64>| {
        (of.select(Axis(0), &(0..13).collect::<Vec<_>>()), of.select(Axis(0), &(13..40).collect::<Vec<_>>()))
    };
    let (first, later) = parts(&x);
    let standard =
        StandardScaler::fit(Default::default(), first.view()).unwrap().partial_fit(later.view()).unwrap();
    assert_close(&standard.transform(x.view()).unwrap(), &golden.standard, "standard");
    let range = MinMaxScalerParams { min: -1.0, max: 2.0, clip: false };
    let min_max = MinMaxScaler::fit(range, first.view()).unwrap().partial_fit(later.view()).unwrap();
    assert_close(&min_max.transform(x.view()).unwrap(), &golden.min_max, "min-max");
    let imputer = Imputer::fit(Default::default(), first.view()).unwrap().partial_fit(later.view()).unwrap();
    assert_close(&imputer.transform(x.view()).unwrap(), &golden.mean, "mean");
    let (first, later) = parts(&matrix(&golden.standard_known).select(Axis(1), &[0, 1, 2]));
    for backend in BACKENDS {
        let params = PcaParams { components: 3.into(), backend, ..Default::default() };
        let pca = Pca::fit(params, first.view()).unwrap().partial_fit(later.view()).unwrap();
        assert_close(&pca.components().to_owned(), &golden.components, "components");
    }
    let kinds = optional(&golden.kinds);
    let target = TargetEncoder::fit(Default::default(), &kinds[..13], &golden.labels[..13]).unwrap();
    let target = target.partial_fit(&kinds[13..], &golden.labels[13..]).unwrap();
    assert_eq!(target, TargetEncoder::fit(Default::default(), &kinds, &golden.labels).unwrap());
}

#[test]
fn a_row_is_not_encoded_by_its_own_label() {
    let names: Vec<String> = (0..600).map(|i| format!("k{}", i % 150)).collect();
    let names = optional(&names);
    let mut labels: Vec<bool> = (0..600).map(|i| i % 7 < 3).collect();
    let encode =
        |labels: &[bool]| TargetEncoder::fit_transform(Default::default(), &names, labels, 5).unwrap();
    let (encoder, before) = encode(&labels);
    assert_eq!(encoder, TargetEncoder::fit(Default::default(), &names, &labels).unwrap());
    labels[10] = !labels[10];
    let (_, after) = encode(&labels);
    assert_eq!(before[10], after[10]);
    assert!(
        before.iter().zip(&after).filter(|(a, b)| a != b).count() > 100,
        "the others of its category see it"
    );
    assert_eq!(encoder.transform(&[Some("unseen")]), [258.0 / 600.0]);
}

#[test]
fn every_edge_has_its_outcome() {
    let none = Array2::<f64>::zeros((0, 2));
    let no_columns = Array2::<f64>::zeros((3, 0));
    for (x, expected) in [(&none, Error::NoRows), (&no_columns, Error::NoFeatures)] {
        assert_eq!(StandardScaler::fit(Default::default(), x.view()).unwrap_err(), expected);
        assert_eq!(MinMaxScaler::fit(Default::default(), x.view()).unwrap_err(), expected);
        assert_eq!(Imputer::fit(Default::default(), x.view()).unwrap_err(), expected);
        assert_eq!(IqrOutliers::fit(Default::default(), x.view()).unwrap_err(), expected);
        assert_eq!(Pca::fit(Default::default(), x.view()).unwrap_err(), expected);
    }
    assert_eq!(StringIndexer::fit(Default::default(), &[]).unwrap_err(), Error::NoRows);
    assert_eq!(OneHotEncoder::fit(Default::default(), &[]).unwrap_err(), Error::NoRows);
    assert_eq!(TargetEncoder::fit(Default::default(), &[], &[]).unwrap_err(), Error::NoRows);
    assert!(matches!(
        TargetEncoder::fit(Default::default(), &[None], &[]),
        Err(Error::LengthMismatch { .. })
    ));

    // A constant column, one without any value, one row, an infinity.
    let x = array![[2.0, f64::NAN, f64::INFINITY, 1.0], [2.0, f64::NAN, 4.0, 3.0]];
    let standard = StandardScaler::fit(Default::default(), x.view()).unwrap();
    let show = |x: &Array2<f64>| format!("{x}");
    let scores = standard.transform(x.view()).unwrap();
    assert_eq!(show(&scores), show(&array![[0.0, f64::NAN, f64::NAN, -1.0], [0.0, f64::NAN, 0.0, 1.0]]));
    assert_eq!(standard.means(), [2.0, 0.0, 4.0, 2.0]);
    assert_eq!(standard.transform(none.select(Axis(1), &[0, 0, 0, 0]).view()).unwrap().dim(), (0, 4));
    assert!(matches!(
        standard.transform(none.view()),
        Err(Error::LengthMismatch { expected: 4, found: 2, .. })
    ));
    let min_max = MinMaxScaler::fit(Default::default(), x.view()).unwrap().transform(x.view()).unwrap();
    assert_eq!(show(&min_max), show(&array![[0.0, f64::NAN, f64::NAN, 0.0], [0.0, f64::NAN, 0.0, 1.0]]));
    let imputer = Imputer::fit(Default::default(), x.view()).unwrap();
    assert_eq!(imputer.fills(), [2.0, 0.0, 4.0, 2.0]);
    let one_row = x.select(Axis(0), &[1]);
    assert_eq!(IqrOutliers::fit(Default::default(), one_row.view()).unwrap().bounds(), [None; 4]);
    let error = Pca::fit(Default::default(), x.view()).unwrap_err();
    assert_eq!(error, Error::MissingValue { row: 0, column: 1 });
    let one = array![[1.0, 2.0]];
    assert_eq!(
        Pca::fit(Default::default(), one.view()).unwrap_err(),
        Error::TooFewRows { rows: 1, needed: 2 }
    );
    let constant = array![[1.0, 2.0], [1.0, 2.0]];
    for backend in BACKENDS {
        let pca =
            Pca::fit(PcaParams { components: 2.into(), whiten: true, backend }, constant.view()).unwrap();
        assert_eq!(pca.explained_variance_ratios(), [0.0, 0.0]);
        assert_eq!(pca.components(), array![[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(pca.transform(constant.view()).unwrap(), Array2::<f64>::zeros((2, 2)));
    }
    assert_eq!(
        Normalizer::default().transform(array![[0.0, 0.0], [3.0, -4.0]].view()),
        array![[0.0, 0.0], [0.6, -0.8]]
    );

    // One value, whose square is past f64, has no spread.
    let far = Array2::from_elem((3_000, 1), 1e200);
    let scaler =
        StandardScaler::fit(Default::default(), far.view()).unwrap().partial_fit(far.view()).unwrap();
    assert!(scaler.transform(far.view()).unwrap().iter().all(|v| *v == 0.0));

    let huge = array![[f64::MAX], [f64::MIN], [f64::MAX]];
    assert_eq!(
        StandardScaler::fit(Default::default(), huge.view()).unwrap_err(),
        Error::Overflow { column: 0 }
    );
    assert!(Pca::fit(PcaParams { components: 1.into(), ..Default::default() }, huge.view()).is_err());
    assert_eq!(
        MinMaxScaler::fit(Default::default(), huge.view()).unwrap().transform(huge.view()).unwrap(),
        array![[1.0], [0.0], [1.0]]
    );
    // The least distance that there is, of which there is no half.
    let least = array![[0.0], [5e-324], [1e-323]];
    let scaler = MinMaxScaler::fit(Default::default(), least.view()).unwrap();
    let shares = scaler.transform(least.view()).unwrap();
    assert_eq!(
        (&shares, scaler.inverse_transform(shares.view()).unwrap()),
        (&array![[0.0], [0.5], [1.0]], least)
    );
    // Scores past what f64 holds, of a row that is learned from by its finite ones.
    let line = Pca::fit(
        PcaParams { components: 1.into(), whiten: true, ..Default::default() },
        array![[0.0, 1.0], [1e-3, 1.0]].view(),
    )
    .unwrap();
    let far = array![[5.0, 2.0], [1e308, 2.0]];
    assert_eq!(line.transform(far.view()).unwrap_err(), Error::Overflow { column: 0 });
    assert!(line.transform(far.select(Axis(0), &[0]).view()).is_ok());
    for (name, error) in [
        (
            "max",
            MinMaxScaler::fit(MinMaxScalerParams { min: 1.0, max: 1.0, clip: false }, one.view())
                .unwrap_err(),
        ),
        (
            "value",
            Imputer::fit(ImputerParams { value: f64::NAN, ..Default::default() }, one.view()).unwrap_err(),
        ),
        (
            "reach",
            IqrOutliers::fit(IqrOutliersParams { reach: -1.0, ..Default::default() }, one.view())
                .unwrap_err(),
        ),
        (
            "components",
            Pca::fit(PcaParams { components: 3.into(), ..Default::default() }, constant.view()).unwrap_err(),
        ),
        (
            "components",
            Pca::fit(PcaParams { components: 0.into(), ..Default::default() }, constant.view()).unwrap_err(),
        ),
        (
            "smoothing",
            TargetEncoder::fit(TargetEncoderParams { smoothing: -1.0, folds: 5 }, &[None], &[true])
                .unwrap_err(),
        ),
        (
            "folds",
            TargetEncoder::fit(TargetEncoderParams { smoothing: 1.0, folds: 1 }, &[None], &[true])
                .unwrap_err(),
        ),
        (
            "max_categories",
            OneHotEncoder::fit(OneHotEncoderParams { max_categories: 0, error_on_unseen: false }, &[None])
                .unwrap_err(),
        ),
    ] {
        assert!(matches!(error, Error::BadParameter { name: found, .. } if found == name), "{error}");
    }
}

#[test]
fn ten_thousand_categories() {
    let names: Vec<String> =
        (0..20_000).map(|i| format!("k{}", i % 10_000)).chain((0..9).map(|_| "k77".into())).collect();
    let values = optional(&names);
    let index = StringIndexer::fit(Default::default(), &values).unwrap();
    assert_eq!(
        (index.labels().len(), index.labels()[0].as_str(), index.labels()[1].as_str()),
        (10_000, "k77", "k0")
    );
    assert_eq!(index.transform(&values[77..79]).unwrap().indices[0], 0);
    let one_hot =
        OneHotEncoder::fit(OneHotEncoderParams { max_categories: 100, error_on_unseen: true }, &values)
            .unwrap();
    assert_eq!(one_hot.transform(&values[..500]).unwrap().dim(), (500, 100));
    assert_eq!(one_hot.transform(&[Some("k9999")]).unwrap().sum(), 0.0, "learned from, but without a column");
    let error = one_hot.transform(&[None, Some("new")]).unwrap_err();
    assert_eq!(error, Error::UnseenCategory { value: "\"new\"".into(), position: 1 });
    let labels: Vec<bool> = (0..values.len()).map(|i| i % 10 == 0).collect();
    let target = TargetEncoder::fit(Default::default(), &values, &labels).unwrap();
    assert!(target.transform(&values).iter().all(|share| (0.0..=1.0).contains(share)));
}

/// One of each, fitted on the same rows.
fn every(x: ArrayView2<'_, f64>, names: &[Option<&str>], labels: &[bool]) -> Vec<Preprocessor> {
    vec![
        Preprocessor::StandardScaler(StandardScaler::fit(Default::default(), x).unwrap()),
        Preprocessor::MinMaxScaler(MinMaxScaler::fit(Default::default(), x).unwrap()),
        Preprocessor::Normalizer(Normalizer::default()),
        Preprocessor::Imputer(Imputer::fit(Default::default(), x).unwrap()),
        Preprocessor::IqrOutliers(IqrOutliers::fit(Default::default(), x).unwrap()),
        Preprocessor::StringIndexer(StringIndexer::fit(Default::default(), names).unwrap()),
        Preprocessor::OneHotEncoder(OneHotEncoder::fit(Default::default(), names).unwrap()),
        Preprocessor::TargetEncoder(TargetEncoder::fit(Default::default(), names, labels).unwrap()),
        Preprocessor::Pca(Pca::fit(Default::default(), x).unwrap()),
    ]
}

#[test]
fn files_are_read_back_and_damaged_ones_are_errors() {
    let golden = golden();
    let known = matrix(&golden.known);
    for step in every(known.view(), &optional(&golden.kinds), &golden.labels) {
        let bytes = step.to_bytes().unwrap();
        assert_eq!(Preprocessor::from_bytes(&bytes).unwrap(), step);
        let mut newer = bytes.clone();
        newer[8] += 1;
        assert!(matches!(Preprocessor::from_bytes(&newer), Err(Error::OtherVersion { .. })));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(
                Preprocessor::from_bytes(&flipped).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "byte {at}"
            );
            assert_eq!(
                Preprocessor::from_bytes(&bytes[..at]).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{at} bytes"
            );
        }
        let error = tidemill_ml::Classifier::from_bytes(&bytes).unwrap_err().to_string();
        assert_eq!(error, "a preprocessing model file, where a classifier is read");
    }
}
