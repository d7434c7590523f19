//! Preprocessing of rows that come later, from outside; `preprocess.rs` has what agrees with scikit-learn to rounding.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use ndarray::{Array2, Axis, array};
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

#[test]
fn medians_and_quartiles_of_later_rows_are_within_the_stated_error() {
    let column = |i: u32| f64::from(i * 7_919 % 1_000).powi(2) / 1e3;
    let x = Array2::from_shape_fn((900, 2), |(row, c)| match c {
        // Later rows are larger, and some are missing.
        0 if row % 9 == 4 => f64::NAN,
        0 => column(row as u32) + row as f64,
        // More than half are one value.
        _ => {
            if row % 3 == 0 {
                row as f64
            } else {
                7.0
            }
        }
    });
    let (first, later) = (
        x.select(Axis(0), &(0..100).collect::<Vec<_>>()),
        x.select(Axis(0), &(100..900).collect::<Vec<_>>()),
    );
    let median = ImputerParams { strategy: ImputeStrategy::Median, value: 0.0 };
    let imputer = Imputer::fit(median, first.view()).unwrap();
    let (before, at_once) = (imputer.fills(), Imputer::fit(median, x.view()).unwrap().fills());
    let found = imputer.partial_fit(later.view()).unwrap().fills();
    // A neighbour in rank, as the exact one is between two values.
    let near =
        |found: f64, exact: f64, origin: f64| (found - exact).abs() <= 0.005 * (exact - origin).abs() + 2.5;
    assert!(near(found[0], at_once[0], before[0]), "{found:?} {at_once:?}");
    assert!((at_once[0] - before[0]).abs() > 100.0 && found[1] == 7.0);
    let params = IqrOutliersParams::default();
    let rule = IqrOutliers::fit(params, first.view()).unwrap().partial_fit(later.view()).unwrap();
    let exact = IqrOutliers::fit(params, x.view()).unwrap();
    let ((low, high), (exact_low, exact_high)) = (rule.bounds()[0].unwrap(), exact.bounds()[0].unwrap());
    let spread = exact_high - exact_low;
    assert!((low - exact_low).abs() < 0.01 * spread && (high - exact_high).abs() < 0.01 * spread);
    for error in
        [rule.partial_fit(Array2::zeros((0, 2)).view()), rule.partial_fit(Array2::zeros((2, 3)).view())]
    {
        assert!(matches!(error, Err(Error::NoRows | Error::LengthMismatch { .. })), "{error:?}");
    }
}
