//! Each edge, and what every preprocessing step does at it.

use ndarray::{Array2, Axis, array};
use tidemill_ml::preprocess::{
    Imputer, IqrOutliers, MinMaxScaler, Norm, Normalizer, OneHotEncoder, Pca, PcaParams, RobustScaler,
    StandardScaler, StringIndexer, StringIndexerParams, TargetEncoder, Unseen,
};
use tidemill_ml::{BinaryMetrics, Calibration, Error};

#[test]
fn no_rows_are_an_error_of_fit_and_partial_fit_and_fine_to_transform() {
    let x = array![[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]];
    let none = Array2::<f64>::zeros((0, 2));
    let wider = Array2::<f64>::zeros((2, 3));
    let columns = Error::LengthMismatch { what: "columns", expected: 2, found: 3 };
    macro_rules! check {
        ($step:expr, $fit:expr) => {{
            let step = $step.unwrap();
            assert_eq!($fit(none.view()).unwrap_err(), Error::NoRows);
            assert_eq!($fit(Array2::<f64>::zeros((2, 0)).view()).unwrap_err(), Error::NoFeatures);
            assert_eq!(step.partial_fit(none.view()).unwrap_err(), Error::NoRows);
            assert_eq!(step.partial_fit(wider.view()).unwrap_err(), columns);
            assert_eq!(step.transform(none.view()).unwrap().dim(), (0, 2));
            assert_eq!(step.transform(wider.view()).unwrap_err(), columns);
        }};
    }
    check!(StandardScaler::fit(Default::default(), x.view()), |x| StandardScaler::fit(Default::default(), x));
    check!(MinMaxScaler::fit(Default::default(), x.view()), |x| MinMaxScaler::fit(Default::default(), x));
    check!(RobustScaler::fit(Default::default(), x.view()), |x| RobustScaler::fit(Default::default(), x));
    check!(Imputer::fit(Default::default(), x.view()), |x| Imputer::fit(Default::default(), x));
    check!(IqrOutliers::fit(Default::default(), x.view()), |x| IqrOutliers::fit(Default::default(), x));
    check!(Pca::fit(Default::default(), x.view()), |x| Pca::fit(Default::default(), x));
    assert_eq!(Normalizer::fit(Norm::L2, none.view()).unwrap_err(), Error::NoRows);
    assert_eq!(Normalizer::fit(Norm::L2, Array2::zeros((2, 0)).view()).unwrap_err(), Error::NoFeatures);
    assert_eq!(Normalizer::default().partial_fit(none.view()).unwrap_err(), Error::NoRows);
    assert_eq!(Normalizer::default().transform(none.view()).dim(), (0, 2));

    let text = [Some("a"), None];
    let index = StringIndexer::fit(Default::default(), &text).unwrap();
    let hot = OneHotEncoder::fit(Default::default(), &text).unwrap();
    let target = TargetEncoder::fit(Default::default(), &text, &[true, false]).unwrap();
    assert_eq!(index.partial_fit(&[]).unwrap_err(), Error::NoRows);
    assert_eq!(hot.partial_fit(&[]).unwrap_err(), Error::NoRows);
    assert_eq!(target.partial_fit(&[], &[]).unwrap_err(), Error::NoRows);
    assert_eq!(index.transform(&[]).unwrap().kept, [0; 0]);
    assert_eq!(hot.transform(&[]).unwrap().dim(), (0, 1));
    assert_eq!(target.transform(&[]), [0.0; 0]);
}

#[test]
fn one_row_is_enough_but_for_components() {
    let one = array![[7.0, f64::NAN, f64::INFINITY]];
    let show = |x: Array2<f64>| format!("{x}");
    let (nan, view) = (f64::NAN, one.view());
    let standard = StandardScaler::fit(Default::default(), view).unwrap();
    assert_eq!(show(standard.transform(view).unwrap()), show(array![[0.0, nan, nan]]));
    let min_max = MinMaxScaler::fit(Default::default(), view).unwrap();
    assert_eq!(show(min_max.transform(view).unwrap()), show(array![[0.0, nan, nan]]));
    let robust = RobustScaler::fit(Default::default(), view).unwrap();
    assert_eq!(show(robust.transform(view).unwrap()), show(array![[0.0, nan, nan]]));
    let imputer = Imputer::fit(Default::default(), view).unwrap();
    assert_eq!(imputer.transform(view).unwrap(), array![[7.0, 0.0, 0.0]]);
    let outliers = IqrOutliers::fit(Default::default(), view).unwrap();
    assert_eq!((outliers.bounds(), outliers.inliers(view).unwrap()), (&[None; 3][..], vec![true]));
    for norm in [Norm::L1, Norm::L2, Norm::Max] {
        assert_eq!(show(Normalizer { norm }.transform(view)), show(array![[1.0, nan, nan]]));
    }
    let known = array![[7.0, 1.0]];
    assert_eq!(
        Pca::fit(Default::default(), known.view()).unwrap_err(),
        Error::TooFewRows { rows: 1, needed: 2 }
    );
    let later = Pca::fit(Default::default(), array![[1.0, 2.0], [2.0, 1.0]].view()).unwrap();
    assert!(later.partial_fit(known.view()).is_ok(), "one more row is fine");

    let unseen = Unseen::Keep;
    let index = StringIndexer::fit(StringIndexerParams { unseen }, &[None]).unwrap();
    assert_eq!(
        index.transform(&[Some("a"), None]).unwrap().indices,
        [0, 0],
        "no category: all are the one after"
    );
    assert_eq!(
        OneHotEncoder::fit(Default::default(), &[None]).unwrap().transform(&[Some("a")]).unwrap().dim(),
        (1, 0)
    );
}

#[test]
fn labels_of_one_class_have_one_share() {
    for label in [true, false] {
        let share = f64::from(u8::from(label));
        let (target, shares) =
            TargetEncoder::fit_transform(Default::default(), &[Some("a"), None, Some("b")], &[label; 3], 0)
                .unwrap();
        assert_eq!(shares, [share; 3]);
        assert_eq!(target.transform(&[Some("a"), None, Some("unseen")]), [share; 3]);
        // A row of its own in every fold: nothing is known of it but the share of the others, or a half of none.
        let (_, shares) =
            TargetEncoder::fit_transform(Default::default(), &[Some("a")], &[label], 0).unwrap();
        assert_eq!(shares, [0.5]);
        let metrics = BinaryMetrics::compute(&[label; 3], &[0.0, 0.5, 1.0]).unwrap();
        assert_eq!((metrics.auc, metrics.recall.is_some(), metrics.pr_auc.is_some()), (None, label, label));
        let bins = Calibration::compute(&[label; 3], &[0.0, 0.5, 1.0], 2).unwrap().bins;
        assert_eq!(bins.iter().map(|bin| bin.share_positive).collect::<Vec<_>>(), [Some(share); 2]);
    }
}

#[test]
fn values_at_the_ends_of_f64_are_finite_or_an_overflow_that_names_the_column() {
    let x = array![[1.0, f64::MAX], [2.0, f64::MIN], [4.0, 1e308], [5.0, 5e-324]];
    let finite = |out: Array2<f64>| out.iter().all(|v| v.is_finite());
    assert_eq!(StandardScaler::fit(Default::default(), x.view()).unwrap_err(), Error::Overflow { column: 1 });
    let params = PcaParams { components: 1.into(), ..Default::default() };
    assert_eq!(
        Pca::fit(params, x.view()).unwrap_err(),
        Error::Overflow { column: 0 },
        "its product with the other"
    );
    assert!(finite(MinMaxScaler::fit(Default::default(), x.view()).unwrap().transform(x.view()).unwrap()));
    assert!(finite(RobustScaler::fit(Default::default(), x.view()).unwrap().transform(x.view()).unwrap()));
    assert!(finite(Imputer::fit(Default::default(), x.view()).unwrap().transform(x.view()).unwrap()));
    let outliers = IqrOutliers::fit(Default::default(), x.view()).unwrap();
    assert!(outliers.bounds()[1].is_some_and(|(low, high)| low.is_finite() && high.is_finite()));
    assert!(finite(outliers.transform(x.view()).unwrap()));
    for norm in [Norm::L1, Norm::L2, Norm::Max] {
        assert!(finite(Normalizer { norm }.transform(x.view())));
    }
    // Learned from small values, and then given large ones.
    let small = array![[1e-300], [3e-300]];
    let standard = StandardScaler::fit(Default::default(), small.view()).unwrap();
    assert_eq!(
        standard.transform(x.select(Axis(1), &[1]).view()).unwrap()[(0, 0)],
        f64::MAX,
        "held at the end"
    );
    let min_max = MinMaxScaler::fit(Default::default(), small.view()).unwrap();
    assert_eq!(min_max.transform(x.select(Axis(1), &[1]).view()).unwrap()[(1, 0)], f64::MIN);
}
