//! Any labels and probabilities: metrics in their ranges, or the error that is stated.

use crate::data::{cases, on_threads};
use proptest::prelude::*;
use tidemill_ml::{BinaryMetrics, Calibration, Error};

fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0f64..=1.0,
        2 => (0u32..=10).prop_map(|i| f64::from(i) / 10.0),
        2 => prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(0.5), Just(5e-324), Just(f64::MIN_POSITIVE), Just(1.0 - f64::EPSILON / 2.0)],
    ]
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn of_a_classifier(
        labels in prop_oneof![3 => prop::collection::vec(any::<bool>(), 0..60), 1 => (any::<bool>(), 0usize..9).prop_map(|(label, rows)| vec![label; rows])],
        probabilities in prop_oneof![3 => prop::collection::vec(probability(), 60), 1 => probability().prop_map(|p| vec![p; 60])],
        longer in prop_oneof![9 => Just(0usize), 1 => 1usize..3], bad in prop::option::weighted(0.1, (0usize..60, any::<f64>())),
        bins in prop_oneof![4 => 1u32..30, 1 => Just(10_000), 1 => any::<u32>()],
    ) {
        let rows = labels.len();
        let mut probabilities = probabilities[..(rows + longer).min(60)].to_vec();
        if let Some((at, value)) = bad && at < probabilities.len() {
            probabilities[at] = value;
        }
        let refused = probabilities.iter().any(|p| !(0.0..=1.0).contains(p));
        let expected = |error: &Error| match error {
            Error::LengthMismatch { .. } => probabilities.len() != rows,
            Error::NoRows => rows == 0,
            Error::NotAProbability { position, .. } => !(0.0..=1.0).contains(&probabilities[*position]),
            _ => false,
        };
        let [one, three] = on_threads(|| BinaryMetrics::compute(&labels, &probabilities));
        prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
        match one {
            Err(error) => prop_assert!(expected(&error), "{}", error),
            Ok(m) => {
                prop_assert!(rows > 0 && !refused);
                let shares = [Some(m.accuracy), m.auc, m.precision, m.recall, m.f1, m.brier, m.pr_auc, m.calibration_error];
                prop_assert!(shares.into_iter().flatten().all(|v| (0.0..=1.0 + 1e-12).contains(&v)), "{:?}", m);
                // A sure error costs -ln of the machine epsilon.
                prop_assert!((0.0..=36.05).contains(&m.log_loss), "{:?}", m);
                let positives = labels.iter().filter(|label| **label).count();
                prop_assert_eq!(m.auc.is_some(), (1..rows).contains(&positives));
                prop_assert_eq!((m.recall.is_some(), m.pr_auc.is_some()), (positives > 0, positives > 0));
                prop_assert_eq!(m.true_positives + m.false_positives + m.true_negatives + m.false_negatives, rows as u64);
                prop_assert_eq!((m.rows, m.true_positives + m.false_negatives), (rows as u64, positives as u64));
                // Backwards, a metric is the same, but for the order of its sums.
                let labels: Vec<bool> = labels.iter().rev().copied().collect();
                let probabilities: Vec<f64> = probabilities.iter().rev().copied().collect();
                let back = BinaryMetrics::compute(&labels, &probabilities).unwrap();
                prop_assert_eq!((m.auc, m.pr_auc, m.f1), (back.auc, back.pr_auc, back.f1));
            }
        }
        match Calibration::compute(&labels, &probabilities, bins) {
            Err(Error::BadParameter { name: "bins", .. }) => prop_assert!(!(1..=10_000).contains(&bins)),
            Err(error) => prop_assert!(expected(&error), "{}", error),
            Ok(found) => {
                prop_assert_eq!((found.bins.len(), found.bins.iter().map(|bin| bin.rows).sum::<u64>()), (bins as usize, rows as u64));
                prop_assert!((0.0..=1.0 + 1e-12).contains(&found.expected_error()), "{:?}", found);
                for bin in &found.bins {
                    prop_assert_eq!((bin.mean_probability.is_some(), bin.share_positive.is_some()), (bin.rows > 0, bin.rows > 0));
                    let rounding = 1e-12 * bin.high;
                    let inside = bin.mean_probability.is_none_or(|p| p >= bin.low - rounding && p <= bin.high + rounding);
                    prop_assert!(inside && bin.share_positive.is_none_or(|share| (0.0..=1.0).contains(&share)), "{:?}", bin);
                }
            }
        }
    }
}
