//! Any values: transformed or an error, never a panic, and what is finite stays so.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use tidemill_ml::preprocess::*;

use super::BACKENDS;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-5i32..5).prop_map(f64::from),
        2 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(f64::MIN_POSITIVE),
        1 => any::<f64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_values_are_transformed_or_an_error(
        (rows, columns, cells) in (0usize..20, 0usize..4).prop_flat_map(|(r, c)| (Just(r), Just(c), prop::collection::vec(value(), r * c))),
        cut in 0usize..20, reach in 0.0f64..3.0, components in 0usize..4, whiten in any::<bool>(), backend in prop::sample::select(BACKENDS.to_vec()),
    ) {
        let x = Array2::from_shape_vec((rows, columns), cells).unwrap();
        let cut = cut.min(rows);
        let (first, later) = x.view().split_at(Axis(0), cut);
        let finite_or_missing = |out: &Array2<f64>| out.iter().zip(&x).all(|(out, x)| out.is_finite() || (out.is_nan() && !x.is_finite()));
        if let Ok(scaler) = StandardScaler::fit(Default::default(), first) {
            prop_assert!(finite_or_missing(&scaler.transform(x.view()).unwrap()), "{:?}", scaler);
            if let Ok(scaler) = scaler.partial_fit(later) {
                prop_assert!(finite_or_missing(&scaler.inverse_transform(x.view()).unwrap()), "{:?}", scaler);
            }
        }
        if let Ok(scaler) = MinMaxScaler::fit(Default::default(), first) {
            prop_assert!(finite_or_missing(&scaler.transform(x.view()).unwrap()), "{:?}", scaler);
            prop_assert!(finite_or_missing(&scaler.inverse_transform(x.view()).unwrap()), "{:?}", scaler);
        }
        for norm in [Norm::L1, Norm::L2, Norm::Max] {
            let out = Normalizer { norm }.transform(x.view());
            prop_assert!(finite_or_missing(&out), "{:?}", norm);
        }
        for strategy in [ImputeStrategy::Mean, ImputeStrategy::Median, ImputeStrategy::Constant] {
            if let Ok(imputer) = Imputer::fit(ImputerParams { strategy, value: 1.0 }, first) {
                prop_assert!(imputer.transform(x.view()).unwrap().iter().all(|v| v.is_finite()), "{:?}", imputer);
            }
        }
        for action in [OutlierAction::Cap, OutlierAction::Drop] {
            if let Ok(rule) = IqrOutliers::fit(IqrOutliersParams { reach, action }, first) {
                prop_assert!(rule.transform(x.view()).unwrap().nrows() <= rows);
            }
        }
        if let Ok(pca) = Pca::fit(PcaParams { components: components.into(), whiten, backend }, first) {
            let _ = pca.partial_fit(later);
            let _ = pca.transform(x.view());
        }
    }

    #[test]
    fn any_strings_are_encoded_or_an_error(
        values in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 0..30),
        labels in prop::collection::vec(any::<bool>(), 30), cut in 0usize..30, max_categories in 1usize..5, seed in any::<u64>(),
    ) {
        let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        let first = &values[..cut.min(values.len())];
        for unseen in [Unseen::Error, Unseen::Skip, Unseen::Keep] {
            if let Ok(index) = StringIndexer::fit(StringIndexerParams { unseen }, first) {
                if let Ok(found) = index.transform(&values) {
                    prop_assert_eq!(found.indices.len(), found.kept.len());
                    prop_assert!(found.indices.iter().all(|i| *i as usize <= index.labels().len()));
                } else {
                    prop_assert_eq!(unseen, Unseen::Error);
                }
            }
        }
        if let Ok(one_hot) = OneHotEncoder::fit(OneHotEncoderParams { max_categories, error_on_unseen: false }, first) {
            let out = one_hot.transform(&values).unwrap();
            prop_assert!(out.rows().into_iter().all(|row| row.sum() <= 1.0));
        }
        if let Ok((target, shares)) = TargetEncoder::fit_transform(Default::default(), first, &labels[..first.len()], seed) {
            prop_assert!(shares.iter().chain(&target.transform(&values)).all(|share| (0.0..=1.0).contains(share)));
        }
    }
}
