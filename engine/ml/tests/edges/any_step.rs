//! Any matrix, strings and settings: every preprocessing step gives finite values, missing ones only where they were, or
//! the error that is stated.

use crate::data::{cases, column, value};
use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder};
use proptest::prelude::*;
use tidemill_ml::preprocess::{
    ImputeStrategy, Imputer, ImputerParams, IqrOutliers, IqrOutliersParams, MinMaxScaler, MinMaxScalerParams,
    Norm, Normalizer, OneHotEncoder, OneHotEncoderParams, OutlierAction, Pca, PcaBackend, PcaParams,
    Preprocessor, StandardScaler, StandardScalerParams, StringIndexer, StringIndexerParams, TargetEncoder,
    TargetEncoderParams, Unseen,
};
use tidemill_ml::{Error, QuantileSketch, RunningMoments};

/// Any matrix of few rows and columns.
fn matrix() -> impl Strategy<Value = Array2<f64>> {
    (prop_oneof![1 => 0usize..3, 3 => 3usize..25], 0usize..5).prop_flat_map(|(rows, columns)| {
        prop::collection::vec(column(rows), columns)
            .prop_map(move |cells| Array2::from_shape_vec((rows, columns).f(), cells.concat()).unwrap())
    })
}

/// The error that the rows call for.
fn error_of(x: ArrayView2<'_, f64>) -> Option<Error> {
    match x.dim() {
        (0, _) => Some(Error::NoRows),
        (_, 0) => Some(Error::NoFeatures),
        _ => None,
    }
}

/// A fit's result, with the error checked.
fn fitted<T>(
    found: Result<T, Error>,
    x: ArrayView2<'_, f64>,
    may: fn(&Error) -> bool,
) -> Result<Option<T>, TestCaseError> {
    match (found, error_of(x)) {
        (Ok(step), None) => Ok(Some(step)),
        (Err(error), Some(expected)) => {
            prop_assert_eq!(error, expected);
            Ok(None)
        }
        (Err(error), None) => {
            prop_assert!(may(&error), "{}", error);
            Ok(None)
        }
        (Ok(_), Some(expected)) => {
            prop_assert!(false, "fitted in spite of: {}", expected);
            Ok(None)
        }
    }
}

fn is_unseen(error: &Error) -> bool {
    matches!(error, Error::UnseenCategory { .. })
}

/// Finite where a value was known, and NaN where none was.
fn as_known(out: &Array2<f64>, x: ArrayView2<'_, f64>) -> bool {
    out.dim() == x.dim()
        && out.iter().zip(x).all(|(out, x)| if x.is_finite() { out.is_finite() } else { out.is_nan() })
}

fn read_back(step: Preprocessor) -> Result<(), TestCaseError> {
    let bytes = step.to_bytes().unwrap();
    let read = Preprocessor::from_bytes(&bytes);
    prop_assert!(read.is_ok(), "{:?} of {:?}", read, step);
    prop_assert_eq!(read.unwrap().to_bytes().unwrap(), bytes);
    Ok(())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn scalers(
        x in matrix(), cut in 0usize..25, with_mean in any::<bool>(), with_std in any::<bool>(),
        (min, max) in prop_oneof![3 => Just((0.0, 1.0)), 1 => (value(), value())], clip in any::<bool>(),
    ) {
        let (first, later) = x.view().split_at(Axis(0), cut.min(x.nrows()));
        let overflow = |error: &Error| matches!(error, Error::Overflow { .. });
        let params = StandardScalerParams { with_mean, with_std };
        if let Some(step) = fitted(StandardScaler::fit(params, first), first, overflow)? {
            prop_assert!(step.means().iter().chain(&step.deviations()).all(|v| v.is_finite()), "{:?}", step);
            prop_assert!(as_known(&step.transform(x.view()).unwrap(), x.view()), "{:?}", step);
            prop_assert!(as_known(&step.inverse_transform(x.view()).unwrap(), x.view()), "{:?}", step);
            read_back(Preprocessor::StandardScaler(step.clone()))?;
            if let Some(step) = fitted(step.partial_fit(later), later, overflow)? {
                prop_assert!(as_known(&step.transform(x.view()).unwrap(), x.view()), "{:?}", step);
                read_back(Preprocessor::StandardScaler(step))?;
            }
        }
        let params = MinMaxScalerParams { min, max, clip };
        let bad_range = !(min.is_finite() && max.is_finite() && min < max);
        let step = MinMaxScaler::fit(params, first);
        if bad_range && error_of(first).is_none() {
            prop_assert!(matches!(step, Err(Error::BadParameter { name: "max", .. })), "{:?}", step);
        } else if let Some(step) = fitted(step, first, |_| false)? {
            let out = step.transform(first).unwrap();
            prop_assert!(as_known(&out, first), "{:?} {:?}", step, out);
            // Rounding of the range's own size.
            let beyond = 1e-12 * min.abs().max(max.abs());
            prop_assert!(out.iter().all(|v| v.is_nan() || (min - beyond..=max + beyond).contains(v)), "{:?} {:?}", step, out);
            prop_assert!(as_known(&step.transform(x.view()).unwrap(), x.view()), "{:?}", step);
            prop_assert!(as_known(&step.inverse_transform(x.view()).unwrap(), x.view()), "{:?}", step);
            read_back(Preprocessor::MinMaxScaler(step.clone()))?;
            if let Some(step) = fitted(step.partial_fit(later), later, |_| false)? {
                prop_assert!(as_known(&step.transform(x.view()).unwrap(), x.view()), "{:?}", step);
                read_back(Preprocessor::MinMaxScaler(step))?;
            }
        }
    }

    #[test]
    fn normalizers_imputers_and_outliers(
        x in matrix(), cut in 0usize..25, constant in value(), which in 0usize..3,
        reach in prop_oneof![Just(1.5), Just(0.0), Just(f64::MAX), Just(5e-324), 0.0f64..3.0, any::<f64>()], drop in any::<bool>(),
    ) {
        let (first, later) = x.view().split_at(Axis(0), cut.min(x.nrows()));
        let norm = [Norm::L1, Norm::L2, Norm::Max][which];
        if let Some(step) = fitted(Normalizer::fit(norm, first), first, |_| false)? {
            let out = step.transform(x.view());
            prop_assert!(as_known(&out, x.view()), "{:?} {:?}", norm, out);
            prop_assert!(out.iter().all(|v| v.is_nan() || v.abs() <= 1.0 + 1e-12), "{:?} {:?}", norm, out);
            read_back(Preprocessor::Normalizer(step))?;
        }

        let strategy = [ImputeStrategy::Mean, ImputeStrategy::Median, ImputeStrategy::Constant][which];
        let step = Imputer::fit(ImputerParams { strategy, value: constant }, first);
        if !constant.is_finite() && error_of(first).is_none() {
            prop_assert!(matches!(step, Err(Error::BadParameter { name: "value", .. })), "{:?}", step);
        } else if let Some(step) = fitted(step, first, |_| false)? {
            let filled = |step: &Imputer| step.transform(x.view()).unwrap().iter().zip(&x).all(|(out, x)| out.is_finite() && (out == x || !x.is_finite()));
            prop_assert!(filled(&step), "{:?}", step);
            read_back(Preprocessor::Imputer(step.clone()))?;
            if let Some(step) = fitted(step.partial_fit(later), later, |_| false)? {
                prop_assert!(filled(&step), "{:?}", step);
                read_back(Preprocessor::Imputer(step))?;
            }
        }

        let action = if drop { OutlierAction::Drop } else { OutlierAction::Cap };
        let step = IqrOutliers::fit(IqrOutliersParams { reach, action }, first);
        if !(0.0..f64::INFINITY).contains(&reach) && error_of(first).is_none() {
            prop_assert!(matches!(step, Err(Error::BadParameter { name: "reach", .. })), "{:?}", step);
        } else if let Some(step) = fitted(step, first, |_| false)? {
            for step in [Some(step.clone()), fitted(step.partial_fit(later), later, |_| false)?].into_iter().flatten() {
                prop_assert!(step.bounds().iter().flatten().all(|(low, high)| low.is_finite() && high.is_finite() && low <= high), "{:?}", step);
                let out = step.transform(x.view()).unwrap();
                let kept = step.inliers(x.view()).unwrap().iter().filter(|inlier| **inlier).count();
                prop_assert_eq!(out.nrows(), if drop { kept } else { x.nrows() });
                prop_assert!(drop || as_known(&out, x.view()), "{:?} {:?}", step, out);
                prop_assert!(out.iter().all(|v| !v.is_infinite()));
                read_back(Preprocessor::IqrOutliers(step))?;
            }
        }
    }

    #[test]
    fn components(
        x in matrix(), known in any::<bool>(), cut in 0usize..25, components in 0usize..6, whiten in any::<bool>(), later in matrix(),
        backend in prop::sample::select(vec![PcaBackend::Tidemill, PcaBackend::Linfa]),
    ) {
        let x = if known { x.mapv(|v| if v.is_finite() { v } else { 7.0 }) } else { x };
        let (first, _) = x.view().split_at(Axis(0), cut.min(x.nrows()));
        let step = Pca::fit(PcaParams { components: components.into(), whiten, backend }, first);
        let stated = |error: &Error| matches!(
            error,
            Error::TooFewRows { .. } | Error::MissingValue { .. } | Error::Overflow { .. } | Error::BadParameter { name: "components", .. }
        );
        let Some(step) = fitted(step, first, stated)? else { return Ok(()) };
        prop_assert!(first.nrows() > 1 && (1..=x.ncols()).contains(&components) && first.iter().all(|v| v.is_finite()));
        for step in [Some(step.clone()), step.partial_fit(x.view()).ok()].into_iter().flatten() {
            let ratios = step.explained_variance_ratios();
            prop_assert!(ratios.iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)), "{:?} {:?}", ratios, step);
            for row in step.components().rows() {
                prop_assert!((row.dot(&row) - 1.0).abs() < 1e-9, "{:?}", step);
            }
            for x in [x.view(), later.view()] {
                match step.transform(x) {
                    Ok(out) => {
                        prop_assert_eq!(out.dim(), (x.nrows(), components));
                        prop_assert!(out.iter().all(|v| v.is_finite()), "{:?} {:?}", step, out);
                    }
                    Err(Error::MissingValue { row, column }) => prop_assert!(!x[(row, column)].is_finite()),
                    Err(Error::LengthMismatch { .. }) => prop_assert!(x.ncols() != first.ncols()),
                    Err(Error::Overflow { column }) => prop_assert!(x.column(column).iter().any(|v| v.abs() > 1e100)),
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
            read_back(Preprocessor::Pca(step))?;
        }
    }

    #[test]
    fn encoders(
        values in prop_oneof![
            prop::collection::vec(prop::option::of("[a-cé]{0,2}"), 0..40),
            prop::collection::vec(prop::option::weighted(0.9, ".{0,3}"), 0..40),
        ],
        labels in prop_oneof![prop::collection::vec(any::<bool>(), 40), any::<bool>().prop_map(|label| vec![label; 40])],
        cut in 0usize..40, max_categories in prop_oneof![Just(1usize), Just(65_536), 0usize..9, Just(usize::MAX)], error_on_unseen in any::<bool>(),
        smoothing in prop_oneof![Just(0.0), Just(5e-324), Just(f64::MAX), 0.0f64..30.0, any::<f64>()], folds in prop_oneof![Just(2u32), Just(100), 0u32..9], seed in any::<u64>(),
    ) {
        let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        let (first, later) = values.split_at(cut.min(values.len()));
        for unseen in [Unseen::Error, Unseen::Skip, Unseen::Keep] {
            match StringIndexer::fit(StringIndexerParams { unseen }, first) {
                Err(error) => prop_assert!(error == Error::NoRows && first.is_empty()),
                Ok(step) => {
                    let whole = StringIndexer::fit(StringIndexerParams { unseen }, &values).unwrap();
                    match step.partial_fit(later) {
                        Ok(more) => prop_assert_eq!(more, whole),
                        Err(error) => prop_assert!(error == Error::NoRows && later.is_empty()),
                    }
                    match step.transform(&values) {
                        Ok(found) => {
                            prop_assert!(found.indices.iter().all(|i| (*i as usize) < step.labels().len() + usize::from(unseen == Unseen::Keep)));
                            prop_assert!(found.indices.len() == found.kept.len() && (unseen == Unseen::Skip || found.kept.len() == values.len()));
                        }
                        Err(error) => prop_assert!(unseen == Unseen::Error && is_unseen(&error), "{}", error),
                    }
                    read_back(Preprocessor::StringIndexer(step))?;
                }
            }
        }
        let params = OneHotEncoderParams { max_categories, error_on_unseen };
        match OneHotEncoder::fit(params, first) {
            Err(Error::NoRows) => prop_assert!(first.is_empty()),
            Err(error) => {
                let named = matches!(error, Error::BadParameter { name: "max_categories", .. });
                prop_assert!(named && !(1..=65_536).contains(&max_categories), "{}", error);
            }
            Ok(step) => {
                if let Ok(more) = step.partial_fit(later) {
                    prop_assert_eq!(more, OneHotEncoder::fit(params, &values).unwrap());
                }
                match step.transform(&values) {
                    Ok(out) => {
                        prop_assert_eq!(out.dim(), (values.len(), step.categories().len()));
                        prop_assert!(out.rows().into_iter().all(|row| row.sum() <= 1.0 && row.iter().all(|v| *v == 0.0 || *v == 1.0)));
                    }
                    Err(error) => prop_assert!(error_on_unseen && is_unseen(&error), "{}", error),
                }
                read_back(Preprocessor::OneHotEncoder(step))?;
            }
        }
        let params = TargetEncoderParams { smoothing, folds };
        let refused = !(0.0..f64::INFINITY).contains(&smoothing) || !(2..=100).contains(&folds);
        match TargetEncoder::fit_transform(params, first, &labels[..first.len()], seed) {
            Err(Error::BadParameter { .. }) => prop_assert!(refused),
            Err(error) => prop_assert!(error == Error::NoRows && first.is_empty()),
            Ok((step, shares)) => {
                prop_assert!(!refused && shares.len() == first.len());
                prop_assert!(shares.iter().chain(&step.transform(&values)).all(|share| (0.0..=1.0).contains(share)), "{:?}", shares);
                if let Ok(more) = step.partial_fit(later, &labels[first.len()..values.len()]) {
                    prop_assert_eq!(more, TargetEncoder::fit(params, &values, &labels[..values.len()]).unwrap());
                }
                read_back(Preprocessor::TargetEncoder(step))?;
            }
        }
    }

    #[test]
    fn running_statistics(
        batches in prop::collection::vec(prop::collection::vec((value(), prop_oneof![4 => Just(1.0), 4 => value(), 1 => any::<f64>()]), 0..12), 0..6),
        share in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0, any::<f64>()], origin in value(), q in any::<f64>(),
    ) {
        let (mut moments, mut sketch) = (RunningMoments::default(), QuantileSketch::new(origin));
        for batch in &batches {
            moments.forget(share);
            sketch.forget(share);
            moments.extend_weighted(batch.iter().copied());
            sketch.extend_weighted(batch.iter().copied());
            prop_assert!(moments.mean().is_finite() && moments.standard_deviation().is_finite(), "{:?}", moments);
            prop_assert!(moments.weight().is_finite() && moments.weight() >= 0.0, "{:?}", moments);
            prop_assert!(sketch.weight().is_finite() && sketch.weight() >= 0.0, "{:?}", sketch);
            prop_assert!(sketch.quantile(q).is_none_or(f64::is_finite), "{:?}", sketch);
        }
    }
}
