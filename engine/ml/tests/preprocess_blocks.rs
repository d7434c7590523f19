//! Steps over more rows than a thread takes at once: the same for any number of threads and any layout, and right.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use ndarray::{Array2, ArrayView2, ShapeBuilder};
use tidemill_ml::Error;
use tidemill_ml::preprocess::{
    ImputeStrategy, Imputer, ImputerParams, IqrOutliers, MinMaxScaler, Norm, Normalizer, OneHotEncoder,
    OneHotEncoderParams, Pca, PcaBackend, PcaParams, Preprocessor, StandardScaler, StringIndexer,
    TargetEncoder,
};

/// More than two blocks, the last of them short, and more columns than are read side by side.
const SHAPE: (usize, usize) = (2_500, 11);

/// A value in 13 is missing; column 3 lies far from 0, column 4 has few values.
fn number(row: usize, column: usize) -> f64 {
    let drawn = ((row * (column + 3) * 7_919 + row / 7) % 1_009) as f64 / 31.0;
    match column {
        _ if (row * 5 + column * 3).is_multiple_of(13) => f64::NAN,
        3 => 1e9 + drawn,
        4 => drawn.floor() % 3.0,
        _ => drawn - column as f64,
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("k{}", (i * 7_919 % 1_013) % 90)).collect()
}

fn imputer(strategy: ImputeStrategy, x: ArrayView2<'_, f64>) -> Imputer {
    Imputer::fit(ImputerParams { strategy, value: 0.0 }, x).unwrap()
}

/// Files of all steps of numbers, and the bits of what they make of the rows.
fn of_numbers(x: ArrayView2<'_, f64>) -> (Vec<Vec<u8>>, Vec<Vec<u64>>) {
    let standard = StandardScaler::fit(Default::default(), x).unwrap();
    let min_max = MinMaxScaler::fit(Default::default(), x).unwrap();
    let (mean, median) = (imputer(ImputeStrategy::Mean, x), imputer(ImputeStrategy::Median, x));
    let outliers = IqrOutliers::fit(Default::default(), x).unwrap();
    let filled = mean.transform(x).unwrap();
    let pca = |backend| {
        let params = PcaParams { components: 4.into(), backend, whiten: true };
        Pca::fit(params, filled.view()).unwrap()
    };
    let (ours, linfa) = (pca(PcaBackend::Tidemill), pca(PcaBackend::Linfa));
    let made = [
        standard.transform(x).unwrap(),
        min_max.transform(x).unwrap(),
        median.transform(x).unwrap(),
        outliers.transform(x).unwrap(),
        Normalizer { norm: Norm::L2 }.transform(x),
        ours.transform(filled.view()).unwrap(),
        filled,
    ];
    let later = median.partial_fit(x).unwrap();
    let steps = [
        Preprocessor::StandardScaler(standard),
        Preprocessor::MinMaxScaler(min_max),
        Preprocessor::Imputer(mean),
        Preprocessor::Imputer(median),
        Preprocessor::Imputer(later),
        Preprocessor::IqrOutliers(outliers.partial_fit(x).unwrap()),
        Preprocessor::IqrOutliers(outliers),
        Preprocessor::Pca(ours),
        Preprocessor::Pca(linfa),
    ];
    let bits = |made: &Array2<f64>| made.iter().map(|v| v.to_bits()).collect();
    (steps.iter().map(|step| step.to_bytes().unwrap()).collect(), made.iter().map(bits).collect())
}

/// As [`of_numbers`], of texts.
fn of_texts(values: &[Option<&str>]) -> (Vec<Vec<u8>>, Vec<f64>) {
    let labels: Vec<bool> = (0..values.len()).map(|i| i % 7 < 3).collect();
    let one_hot = OneHotEncoder::fit(Default::default(), values).unwrap();
    let (target, encoded) = TargetEncoder::fit_transform(Default::default(), values, &labels, 5).unwrap();
    let mut made: Vec<f64> = one_hot.transform(values).unwrap().into_iter().collect();
    made.extend(encoded);
    let steps = [
        Preprocessor::StringIndexer(StringIndexer::fit(Default::default(), values).unwrap()),
        Preprocessor::OneHotEncoder(one_hot),
        Preprocessor::TargetEncoder(target),
    ];
    (steps.iter().map(|step| step.to_bytes().unwrap()).collect(), made)
}

#[test]
fn steps_are_the_same_bytes_for_any_number_of_threads() {
    let x = Array2::from_shape_fn(SHAPE, |(row, c)| number(row, c));
    // Texts are counted in parts of at least 16,384.
    let names = names(40_000);
    let texts: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (of_numbers(x.view()), of_texts(&texts)))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn rows_are_the_same_however_they_lie_in_memory() {
    let rows = Array2::from_shape_fn(SHAPE, |(row, c)| number(row, c));
    let columns = Array2::from_shape_fn(SHAPE.f(), |(row, c)| number(row, c));
    assert!(!columns.is_standard_layout());
    assert_eq!(of_numbers(rows.view()), of_numbers(columns.view()));
}

#[test]
fn several_blocks_give_what_all_rows_at_once_say() {
    let x = Array2::from_shape_fn(SHAPE, |(row, c)| number(row, c));
    let standard = StandardScaler::fit(Default::default(), x.view()).unwrap();
    let (means, medians) =
        (imputer(ImputeStrategy::Mean, x.view()), imputer(ImputeStrategy::Median, x.view()));
    let outliers = IqrOutliers::fit(Default::default(), x.view()).unwrap();
    let min_max = MinMaxScaler::fit(Default::default(), x.view()).unwrap().transform(x.view()).unwrap();
    let later = medians.partial_fit(x.view()).unwrap();
    for (c, column) in x.columns().into_iter().enumerate() {
        let mut known: Vec<f64> = column.iter().copied().filter(|v| !v.is_nan()).collect();
        known.sort_unstable_by(f64::total_cmp);
        let rows = known.len() as f64;
        let mean = known.iter().sum::<f64>() / rows;
        let deviation = (known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows).sqrt();
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12 * mean.abs().max(1.0);
        assert!(close(standard.means()[c], mean) && close(means.fills()[c], mean), "{c}");
        assert!(close(standard.deviations()[c], deviation), "{c}");
        let quantile = |share: f64| {
            let at = share * (rows - 1.0);
            let (low, part) = (known[at as usize], at.fract());
            low * (1.0 - part) + known[(at as usize + 1).min(known.len() - 1)] * part
        };
        assert_eq!(medians.fills()[c], quantile(0.5), "{c}");
        assert!((later.fills()[c] - quantile(0.5)).abs() < 0.5, "{c}: the same rows twice");
        let (q1, q3) = (quantile(0.25), quantile(0.75));
        assert_eq!(outliers.bounds()[c], Some((q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1))), "{c}");
        let (low, high) = (known[0], known[known.len() - 1]);
        for (found, v) in min_max.column(c).iter().zip(column).filter(|(_, v)| !v.is_nan()) {
            assert!((found - (v - low) / (high - low)).abs() < 1e-12, "{c}");
        }
    }
}

#[test]
fn the_first_unseen_category_is_named_wherever_it_is() {
    let mut values = vec![Some("a"); 5_000];
    let params = OneHotEncoderParams { error_on_unseen: true, ..Default::default() };
    let one_hot = OneHotEncoder::fit(params, &values).unwrap();
    (values[1_500], values[4_000]) = (Some("b"), Some("c"));
    let expected = Error::UnseenCategory { value: "\"b\"".into(), position: 1_500 };
    assert_eq!(one_hot.transform(&values).unwrap_err(), expected);
}
