//! Preprocessing of rows that come later, from outside; `preprocess.rs` has what agrees with scikit-learn to rounding.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;
use tidemill_ml::Error;
use tidemill_ml::preprocess::*;

fn optional(values: &[String]) -> Vec<Option<&str>> {
    values.iter().map(|v| Some(v.as_str())).collect()
}

#[test]
fn categories_that_come_later_count_as_if_they_had_been_there() {
    let names: Vec<String> =
        (0..90).map(|i| format!("k{}", if i < 40 { i % 7 } else { i * i % 11 })).collect();
    let mut names = optional(&names);
    names[50] = None;
    let parts = names.split_at(45);
    let params = StringIndexerParams { unseen: Unseen::Keep };
    let indexer = StringIndexer::fit(params, parts.0).unwrap().partial_fit(parts.1).unwrap();
    assert_eq!(indexer, StringIndexer::fit(params, &names).unwrap());
    assert_ne!(indexer.labels(), StringIndexer::fit(params, parts.0).unwrap().labels());
    for max_categories in [3, 100] {
        let params = OneHotEncoderParams { max_categories, ..OneHotEncoderParams::default() };
        let encoder = OneHotEncoder::fit(params, parts.0).unwrap().partial_fit(parts.1).unwrap();
        assert_eq!(encoder, OneHotEncoder::fit(params, &names).unwrap());
    }
    let x = array![[3.0, 4.0]];
    let normalizer = Normalizer::fit(Norm::L2, x.view()).unwrap().partial_fit(x.view()).unwrap();
    assert_eq!(normalizer.transform(x.view()), array![[0.6, 0.8]]);
}

fn medians(x: ArrayView2<'_, f64>) -> Imputer {
    Imputer::fit(ImputerParams { strategy: ImputeStrategy::Median, value: 0.0 }, x).unwrap()
}

fn quartiles(x: ArrayView2<'_, f64>) -> IqrOutliers {
    IqrOutliers::fit(IqrOutliersParams::default(), x).unwrap()
}

#[test]
fn a_batch_without_a_value_leaves_what_is_known_as_it_was() {
    let column = |values: &[f64]| Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap();
    let none = column(&[f64::NAN, f64::NAN]);
    let far = column(&(0..=4_000).map(|i| 1e6 + f64::from(i) / 4_000.0).collect::<Vec<_>>());
    let (imputer, rule) = (medians(none.view()), quartiles(none.view()));
    assert_eq!((imputer.fills(), rule.bounds()), (vec![0.0], &[None][..]));
    let later = imputer.partial_fit(far.view()).unwrap();
    assert!((later.fills()[0] - 1_000_000.5).abs() < 1e-9, "{:?}", later.fills());
    let (low, high) = rule.partial_fit(far.view()).unwrap().bounds()[0].unwrap();
    assert!((low - 999_999.5).abs() < 0.01 && (high - 1_000_001.5).abs() < 0.01, "{low} {high}");
    let (of_far, rule_of_far) = (medians(far.view()), quartiles(far.view()));
    assert_eq!(of_far.partial_fit(none.view()).unwrap(), of_far);
    assert_eq!(rule_of_far.partial_fit(none.view()).unwrap(), rule_of_far);
    for more in [Array2::zeros((0, 1)), Array2::zeros((2, 3))] {
        let error = rule_of_far.partial_fit(more.view());
        assert!(matches!(error, Err(Error::NoRows | Error::LengthMismatch { .. })), "{error:?}");
    }
}

/// Batches of values, some missing, that drift by batch.
fn batches() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let value = prop_oneof![
        6 => -50.0..50.0f64,
        3 => (-3i32..3).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => (0.0..12.0f64).prop_map(f64::exp),
        1 => (-28.0..28.0f64).prop_map(f64::exp),
    ];
    let size = prop_oneof![3 => 1usize..30, 2 => 30usize..900, 1 => 900usize..3_000];
    prop::collection::vec(
        (size.prop_flat_map(move |n| prop::collection::vec(value.clone(), n)), -99.0..99.0f64),
        1..6,
    )
    .prop_map(|all| {
        all.into_iter().map(|(values, drift)| values.into_iter().map(|v| v + drift).collect()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Up to 2,048 values what all rows at once give; beyond, within the stated error of each of the two values that a
    /// quantile is between.
    #[test]
    fn medians_and_quartiles_of_later_rows_are_exact_or_within_the_stated_error(batches in batches()) {
        let column = |values: &[f64]| Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap();
        let mut seen = batches[0].clone();
        let (mut imputer, mut rule) = (medians(column(&seen).view()), quartiles(column(&seen).view()));
        let known = |values: &[f64]| {
            let mut known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            known.sort_by(f64::total_cmp);
            known
        };
        let median = |known: &[f64]| (known[(known.len() - 1) / 2] + known[known.len() / 2]) / 2.0;
        let mut origin = Some(known(&seen)).filter(|known| known.len() > 2_048).map(|known| median(&known));
        for batch in &batches[1..] {
            imputer = imputer.partial_fit(column(batch).view()).unwrap();
            rule = rule.partial_fit(column(batch).view()).unwrap();
            seen.extend(batch);
            let (exact, exact_rule) = (medians(column(&seen).view()), quartiles(column(&seen).view()));
            let known = known(&seen);
            if known.len() <= 2_048 {
                prop_assert_eq!(&imputer, &exact);
                prop_assert_eq!(&rule, &exact_rule);
                continue;
            }
            let origin = *origin.get_or_insert(median(&known));
            let error_at = |share: f64| {
                let at = share * (known.len() - 1) as f64;
                let ends = [known[at.floor() as usize], known[at.ceil() as usize]];
                let farthest = known.iter().map(|v| (v - origin).abs()).fold(0.0, f64::max);
                ends.iter().map(|v| 0.005 * (v - origin).abs()).fold(2e-9 * farthest, f64::max) + 1e-9
            };
            let apart = (imputer.fills()[0] - exact.fills()[0]).abs();
            prop_assert!(apart <= error_at(0.5), "{} rows: {:?}, not {:?}", known.len(), imputer.fills(), exact.fills());
            // Of bounds: Q1 - 1.5 · (Q3 - Q1), and so its mirror.
            let (near, far) = (error_at(0.25), error_at(0.75));
            let (found, exact) = (rule.bounds()[0], exact_rule.bounds()[0]);
            let spread = exact.map_or(0.0, |(low, high)| (high - low) / 4.0);
            prop_assert!(found.is_some() == exact.is_some() || spread <= near + far, "{found:?} {exact:?}");
            if let (Some((low, high)), Some((exact_low, exact_high))) = (found, exact) {
                prop_assert!((low - exact_low).abs() <= 2.5 * near + 1.5 * far, "{low} {exact_low}");
                prop_assert!((high - exact_high).abs() <= 2.5 * far + 1.5 * near, "{high} {exact_high}");
            }
        }
    }
}
