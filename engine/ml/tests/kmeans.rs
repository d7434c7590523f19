//! K-means from outside: what it finds, every edge case's outcome, determinism, warm start, and the model file.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod binary;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    Classifier, DecisionTreeParams, Error, ErrorKind, FeatureTable, KMeans, KMeansBackend, KMeansParams,
    SilhouetteRows, SupervisedParams,
};

fn table(columns: &[Vec<f64>]) -> FeatureTable {
    let names = (0..columns.len()).map(|c| format!("x{c}")).collect();
    let mut table = FeatureTable::new(names, vec![]);
    columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

fn params(clusters: u32) -> KMeansParams {
    KMeansParams { clusters, ..KMeansParams::default() }
}

const PLACES: [(f64, f64); 4] = [(0.0, 1e6), (50.0, 1e6), (0.0, 1.4e6), (55.0, 1.5e6)];

/// Rows around four places, in columns whose units differ by four orders; row i belongs to place i % 4.
fn places(rows: usize, seed: u64) -> FeatureTable {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut x, mut y) = (vec![], vec![]);
    for i in 0..rows {
        x.push(PLACES[i % 4].0 + random.gen_range(-9.0..9.0));
        y.push(PLACES[i % 4].1 + random.gen_range(-9e4..9e4));
    }
    table(&[x, y])
}

#[test]
fn four_places_are_found_with_their_centres_in_the_units_of_the_columns() {
    let table = places(4_000, 1);
    let model = KMeans::fit(&params(4), &table, &all(&table), 7, None).unwrap();
    let assigned = model.assign(&table, &all(&table)).unwrap();
    assert!((0..4_000).all(|i| assigned[i] == assigned[i % 4]), "rows of a place share a cluster");
    for (place, (x, y)) in PLACES.into_iter().enumerate() {
        let centre = &model.centres()[assigned[place].unwrap() as usize];
        assert!((centre[0] - x).abs() < 0.6 && (centre[1] - y).abs() < 6e3, "{centre:?} for {x}, {y}");
    }
    assert_eq!((model.sizes(), model.training_rows(), model.left_out()), (&[1_000; 4][..], 4_000, 0));
    assert_eq!(model.numeric_names(), ["x0", "x1"]);
    let good = model.metrics(&table, &all(&table), 0).unwrap();
    assert!(good.silhouette.unwrap() > 0.7, "{good:?}");
    let few = KMeans::fit(&params(2), &table, &all(&table), 7, None).unwrap();
    let worse = few.metrics(&table, &all(&table), 0).unwrap();
    assert!(worse.inertia > 2.0 * good.inertia && worse.silhouette < good.silhouette, "{worse:?} {good:?}");
    assert!(worse.davies_bouldin > good.davies_bouldin && worse.calinski_harabasz < good.calinski_harabasz);
}

#[test]
fn a_fit_and_its_metrics_are_the_same_for_any_number_of_threads() {
    // One cloud cut in eleven: many rows between centres, and many iterations.
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    let table = table(&[0; 3].map(|_| (0..30_000).map(|_| random.gen_range(-1.0..1.0)).collect()));
    let rows: Vec<u32> = (0..30_000).filter(|row| row % 7 != 3).collect();
    let weights: Vec<f64> = rows.iter().map(|row| f64::from(row % 5) / 3.0).collect();
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = KMeans::fit(&params(11), &table, &rows, seed, None).unwrap();
            let warm = KMeans::fit(&params(11), &table, &all(&table), seed, Some(&model)).unwrap();
            let weighted = KMeans::fit_weighted(&params(4), &table, &rows, &weights, seed, None).unwrap();
            let bytes = [model.to_bytes().unwrap(), warm.to_bytes().unwrap(), weighted.to_bytes().unwrap()];
            (bytes, model.assign(&table, &all(&table)).unwrap(), model.metrics(&table, &rows, seed).unwrap())
        })
    };
    let one = run(1, 9);
    assert!(one == run(2, 9) && one == run(5, 9));
    assert!(one.0 != run(1, 10).0, "the seed decides");
}

#[test]
fn a_warm_start_begins_at_the_last_centres_and_keeps_their_order() {
    let (first, more) = (places(400, 3), places(4_000, 4));
    let last = KMeans::fit(&params(4), &first, &all(&first), 1, None).unwrap();
    let one = KMeansParams { max_iterations: 1, ..params(4) };
    let warm = KMeans::fit(&one, &more, &all(&more), 2, Some(&last)).unwrap();
    for (a, b) in warm.centres().iter().zip(last.centres()) {
        assert!((a[0] - b[0]).abs() < 2.0 && (a[1] - b[1]).abs() < 2e4, "{a:?} after {b:?}");
    }
    let other_seed = KMeans::fit(&one, &more, &all(&more), 3, Some(&last)).unwrap();
    assert_eq!(warm, other_seed, "nothing is drawn");
    // Another number of clusters, or other names: as without one.
    let cold = KMeans::fit(&params(5), &more, &all(&more), 2, None).unwrap();
    assert_eq!(KMeans::fit(&params(5), &more, &all(&more), 2, Some(&last)).unwrap(), cold);
    let mut renamed = FeatureTable::new(vec!["x0".into(), "y".into()], vec![]);
    renamed.push_numeric(0, (0..40).map(f64::from));
    renamed.push_numeric(1, (0..40).map(|i| f64::from(i % 7)));
    renamed.finish_append().unwrap();
    let cold = KMeans::fit(&params(4), &renamed, &all(&renamed), 2, None).unwrap();
    assert_eq!(KMeans::fit(&params(4), &renamed, &all(&renamed), 2, Some(&last)).unwrap(), cold);
}

#[test]
fn rows_with_a_missing_value_are_left_out_and_get_no_cluster() {
    let nan = f64::NAN;
    let with = table(&[vec![1.0, nan, 2.0, 9.0, 8.0, 5.0], vec![0.0, 1.0, 0.5, 7.0, 8.0, f64::INFINITY]]);
    let without = table(&[vec![1.0, 2.0, 9.0, 8.0], vec![0.0, 0.5, 7.0, 8.0]]);
    let model = KMeans::fit(&params(2), &with, &all(&with), 1, None).unwrap();
    let same = KMeans::fit(&params(2), &without, &all(&without), 1, None).unwrap();
    assert_eq!((model.centres(), model.sizes()), (same.centres(), same.sizes()));
    assert_eq!((model.training_rows(), model.left_out(), same.left_out()), (4, 2, 0));
    let assigned = model.assign(&with, &[5, 3, 1, 0, 3]).unwrap();
    assert_eq!((assigned[0], assigned[2]), (None, None));
    assert!(
        assigned[1].is_some() && assigned[1] == assigned[4] && assigned[1] != assigned[3],
        "{assigned:?}"
    );
    let metrics = model.metrics(&with, &all(&with), 0).unwrap();
    assert_eq!((metrics.rows, metrics.left_out, metrics.clusters), (4, 2, 2));
    assert_eq!(model.metrics(&with, &[1, 5], 0).unwrap_err(), Error::NoRows);
}

#[test]
fn a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none() {
    let x = [0.0, 1.0, 1.5, 7.0, 8.0, 8.25, 20.0, 21.0, 5e8];
    let weights = [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 0.0];
    let repeated = x.iter().zip(weights).flat_map(|(x, w)| vec![*x; w as usize]).collect();
    let (weighted, repeated) = (table(&[x.to_vec()]), table(&[repeated]));
    let start = vec![vec![2.0], vec![9.0], vec![18.0]];
    let exact = KMeansParams { tolerance: 1e-12, ..params(3) };
    let expected = KMeans::fit_from(&exact, &repeated, &all(&repeated), &start).unwrap();
    let begun = KMeans::fit_from(&exact, &weighted, &all(&weighted), &start).unwrap();
    let fit =
        |weights: &[f64]| KMeans::fit_weighted(&exact, &weighted, &all(&weighted), weights, 0, Some(&begun));
    // Only the ratios of weights count, whatever their size.
    for scale in [1.0, 1e300, 1e-300] {
        let model = fit(&weights.map(|w| w * scale)).unwrap();
        let mut centres = model.centres().concat();
        centres.sort_by(f64::total_cmp);
        for (found, expected) in centres.iter().zip(expected.centres().concat()) {
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        }
        assert_eq!((model.training_rows(), model.left_out()), (8, 0), "rows are counted, not weights");
    }
    let bad = |weights: &[f64]| fit(weights).unwrap_err();
    assert_eq!(bad(&[1.0]), Error::LengthMismatch { what: "weights", expected: 9, found: 1 });
    assert_eq!(bad(&[0.0; 9]), Error::TooFewForClusters { clusters: 3, complete: 0, rows: 9 });
    for value in [-1.0, f64::INFINITY] {
        let mut weights = weights;
        weights[4] = value;
        assert_eq!(bad(&weights), Error::BadWeight { row: 4, value });
    }
    let linfa = KMeansParams { backend: KMeansBackend::Linfa, ..exact.clone() };
    let error = KMeans::fit_weighted(&linfa, &weighted, &all(&weighted), &weights, 0, None).unwrap_err();
    assert!(matches!(error, Error::BadParameter { name: "backend", .. }), "{error}");
}

#[test]
fn a_fit_begins_at_the_centres_given_and_refuses_what_are_none() {
    let t = table(&[vec![0.0, 1.0, 10.0, 11.0], vec![5.0; 4]]);
    let fit = |centres: &[Vec<f64>]| KMeans::fit_from(&params(2), &t, &all(&t), centres);
    let model = fit(&[vec![11.0, 5.0], vec![-3.0, 5.0]]).unwrap();
    assert_eq!(model.centres(), [[10.5, 5.0], [0.5, 5.0]], "the first centre stays the first cluster");
    assert_eq!(
        fit(&[vec![1.0, 5.0]]).unwrap_err(),
        Error::LengthMismatch { what: "start centres", expected: 2, found: 1 }
    );
    assert_eq!(
        fit(&[vec![1.0, 5.0], vec![2.0]]).unwrap_err(),
        Error::LengthMismatch { what: "start centre", expected: 2, found: 1 }
    );
    let error = fit(&[vec![1.0, 5.0], vec![f64::NAN, 5.0]]).unwrap_err();
    assert!(matches!(error, Error::BadParameter { name: "centres", .. }), "{error}");
}

#[test]
fn both_backends_find_groups_that_lie_apart() {
    let x: Vec<f64> = (0..300).map(|i| f64::from(i % 3) * 100.0 + f64::from(i % 7)).collect();
    let t = table(&[x]);
    for backend in [KMeansBackend::Tidemill, KMeansBackend::Linfa] {
        let params = KMeansParams { backend, ..params(3) };
        let model = KMeans::fit(&params, &t, &all(&t), 5, None).unwrap();
        let mut centres = model.centres().concat();
        centres.sort_by(f64::total_cmp);
        for (centre, group) in centres.iter().zip([0.0, 100.0, 200.0]) {
            assert!((centre - group - 3.0).abs() < 0.2, "{backend:?} {centre}");
        }
        assert_eq!(model.sizes(), [100; 3]);
        let metrics = model.metrics_with(&t, &all(&t), SilhouetteRows::Exact, 0).unwrap();
        assert!(metrics.silhouette.unwrap() > 0.9);
    }
}

#[test]
fn a_sweep_finds_the_number_of_groups_by_elbow_and_silhouette() {
    let x = |i: i32| f64::from(i % 4) * 30.0 + f64::from(i % 7);
    let y = |i: i32| f64::from(i % 4 / 2) * 40.0 + f64::from(i % 5);
    let t = table(&[(0..400).map(x).collect(), (0..400).map(y).collect()]);
    let sweep = |ks| KMeans::sweep(&params(9_999), &t, &all(&t), ks, SilhouetteRows::Exact, 3);
    let found = sweep(2..=9).unwrap();
    assert_eq!((found.elbow, found.best_silhouette), (Some(4), Some(4)), "{found:?}");
    assert_eq!(found.points.iter().map(|p| p.clusters).collect::<Vec<u32>>(), (2..=9).collect::<Vec<u32>>());
    assert!(found.points.windows(2).all(|p| p[0].inertia > p[1].inertia));
    let four = KMeans::fit(&params(4), &t, &all(&t), 0, None).unwrap().inertia(&t, &all(&t)).unwrap();
    assert!((found.points[2].inertia / four - 1.0).abs() < 1e-9, "{found:?} {four}");
    let few = KMeans::sweep(&params(1), &t, &[0, 1, 2], 1..=9, SilhouetteRows::Exact, 3).unwrap();
    assert_eq!(few.points.len(), 3, "no more clusters than rows");
    assert!(matches!(sweep(500..=501), Err(Error::TooFewForClusters { clusters: 500, .. })));
    assert!(matches!(sweep(0..=2), Err(Error::BadParameter { name: "clusters", .. })));
    #[allow(clippy::reversed_empty_ranges)]
    let none = sweep(3..=2).unwrap();
    assert_eq!((none.points.len(), none.elbow, none.best_silhouette), (0, None, None));
}

#[test]
fn constant_columns_have_no_say_and_equal_rows_share_a_cluster() {
    let x: Vec<f64> = (0..60).map(|i| f64::from(i % 3 * 10 + i % 2)).collect();
    let (plain, padded) = (table(std::slice::from_ref(&x)), table(&[x, vec![7.25; 60]]));
    let model = KMeans::fit(&params(3), &padded, &all(&padded), 1, None).unwrap();
    let first = KMeans::fit(&params(3), &plain, &all(&plain), 1, None).unwrap();
    assert!(model.centres().iter().zip(first.centres()).all(|(a, b)| a[0] == b[0] && a[1] == 7.25));
    let elsewhere = table(&[vec![0.0, 0.0], vec![7.25, -1e9]]);
    let assigned = model.assign(&elsewhere, &[0, 1]).unwrap();
    assert_eq!(assigned[0], assigned[1]);
    // All rows at one place: the first cluster has them, whatever k is.
    let same = table(&[vec![3.0; 5], vec![4.0; 5]]);
    let model = KMeans::fit(&params(3), &same, &all(&same), 1, None).unwrap();
    assert_eq!((model.sizes(), model.centres()), (&[5, 0, 0][..], vec![vec![3.0, 4.0]; 3]));
    let metrics = model.metrics(&same, &all(&same), 0).unwrap();
    assert_eq!((metrics.inertia, metrics.clusters, metrics.silhouette), (0.0, 1, None));
    assert_eq!((metrics.calinski_harabasz, metrics.davies_bouldin), (None, None));
}

#[test]
fn what_cannot_be_learned_from_is_an_error_that_says_so() {
    let t = table(&[vec![1.0, 2.0, f64::NAN, 4.0]]);
    let fit = |params: &KMeansParams, t: &FeatureTable, rows: &[u32]| {
        KMeans::fit(params, t, rows, 0, None).unwrap_err()
    };
    assert_eq!(fit(&params(2), &t, &[]), Error::NoRows);
    let error = fit(&params(4), &t, &all(&t));
    assert_eq!(error, Error::TooFewForClusters { clusters: 4, complete: 3, rows: 4 });
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("3 of 4 rows"), "{error}");
    assert_eq!(fit(&params(1), &t, &[2]), Error::TooFewForClusters { clusters: 1, complete: 0, rows: 1 });
    assert_eq!(fit(&params(1), &t, &[0, 4]), Error::RowOutOfRange { row: 4, rows: 4 });
    assert_eq!(fit(&params(1), &t, &[1, 0]), Error::RowsNotAscending { position: 1 });
    assert_eq!(fit(&params(1), &table(&[]), &[]), Error::NoFeatures);
    let text = FeatureTable::new(vec!["x0".into()], vec!["block".into(), "kind".into()]);
    let error = fit(&params(1), &text, &[]);
    assert_eq!(error.to_string(), "k-means takes numeric columns only, and these are text: block, kind");
    let bad = |name: &str, p: KMeansParams| match fit(&p, &t, &[0, 1]) {
        Error::BadParameter { name: found, .. } => assert_eq!(found, name),
        other => panic!("{other}"),
    };
    bad("clusters", params(0));
    bad("max_iterations", KMeansParams { max_iterations: 0, ..params(2) });
    bad("max_iterations", KMeansParams { max_iterations: 10_001, ..params(2) });
    bad("restarts", KMeansParams { restarts: 0, ..params(2) });
    bad("tolerance", KMeansParams { tolerance: f64::NAN, ..params(2) });

    let one = KMeans::fit(&params(1), &t, &[3], 0, None).unwrap();
    assert_eq!((one.centres(), one.sizes()), (vec![vec![4.0]], &[1][..]), "one row makes one cluster");
    assert_eq!(one.metrics(&t, &[3], 0).unwrap().silhouette, None);
    assert_eq!(one.assign(&t, &[]).unwrap(), []);
    assert!(matches!(one.assign(&t, &[9]), Err(Error::RowOutOfRange { row: 9, rows: 4 })));
    assert!(matches!(one.assign(&text, &[]), Err(Error::TextColumns { .. })));
    let renamed = FeatureTable::new(vec!["y".into()], vec![]);
    assert!(matches!(one.assign(&renamed, &[]), Err(Error::FeatureMismatch { .. })));
}

#[test]
fn a_file_of_another_kind_or_version_or_a_damaged_one_is_an_error() {
    let t = places(60, 5);
    let bytes = KMeans::fit(&params(3), &t, &all(&t), 0, None).unwrap().to_bytes().unwrap();
    assert_eq!(KMeans::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
    let labels: Vec<bool> = (0..60).map(|i| i % 4 == 1).collect();
    let tree = SupervisedParams::DecisionTree(DecisionTreeParams::default());
    let tree = binary::fit(&tree, &t, &labels, &all(&t), 0, None).unwrap().to_bytes().unwrap();
    let error = KMeans::from_bytes(&tree).unwrap_err();
    assert_eq!(error.to_string(), "a classifier model file, where a k-means is read");
    let expected = Error::OtherKind { expected: "classifier", found: "k-means" };
    assert_eq!(Classifier::from_bytes(&bytes).unwrap_err(), expected);
    let mut newer = bytes.clone();
    newer[8] += 1;
    assert_eq!(KMeans::from_bytes(&newer).unwrap_err(), Error::OtherVersion { found: 3, supported: 2 });
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(KMeans::from_bytes(&flipped).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        assert_eq!(KMeans::from_bytes(&bytes[..at]).unwrap_err().kind(), ErrorKind::Corrupt, "{at} bytes");
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-5i32..5).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(f64::MIN_POSITIVE),
        1 => any::<f64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_table_gives_clusters_or_an_error(
        columns in (0usize..4, 0usize..40)
            .prop_flat_map(|(n, rows)| prop::collection::vec(prop::collection::vec(value(), rows), n)),
        clusters in 1u32..9, max_iterations in 1u32..40, restarts in 1u32..4,
        tolerance in prop_oneof![Just(1e-300), 1e-9f64..1e3], seed in any::<u64>(), keep in 1usize..4,
        linfa in any::<bool>(),
    ) {
        let t = table(&columns);
        let rows: Vec<u32> = all(&t).into_iter().step_by(keep).collect();
        let backend = if linfa { KMeansBackend::Linfa } else { KMeansBackend::Tidemill };
        let params = KMeansParams { clusters, max_iterations, restarts, tolerance, backend };
        match KMeans::fit(&params, &t, &rows, seed, None) {
            Ok(model) => {
                prop_assert!(model.centres().iter().flatten().all(|c| c.is_finite()), "{:?}", model);
                prop_assert_eq!(model.training_rows() + model.left_out(), rows.len() as u64);
                let assigned = model.assign(&t, &all(&t)).unwrap();
                prop_assert!(assigned.iter().flatten().all(|c| *c < clusters));
                let metrics = model.metrics(&t, &rows, seed).unwrap();
                prop_assert!(metrics.inertia.is_finite() && metrics.inertia >= 0.0, "{:?}", metrics);
                prop_assert!(metrics.silhouette.is_none_or(|s| (-1.0..=1.0).contains(&s)), "{:?}", metrics);
                prop_assert!(metrics.calinski_harabasz.is_none_or(|v| v.is_finite() && v >= 0.0));
                let rest = [metrics.davies_bouldin, metrics.ssw, metrics.ssb, metrics.cohesion,
                    metrics.separation, metrics.silhouette_river, metrics.xie_beni];
                prop_assert!(rest.into_iter().flatten().all(|v| v.is_finite() && v >= 0.0), "{:?}", metrics);
                prop_assert!([metrics.bic, metrics.bic_river].into_iter().flatten().all(f64::is_finite));
                prop_assert_eq!(&KMeans::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
                let again = KMeans::fit(&params, &t, &rows, seed, Some(&model));
                prop_assert!(again.is_ok(), "{:?}", again);
            }
            Err(error) => {
                prop_assert_eq!(error == Error::NoFeatures, columns.is_empty());
                prop_assert!(columns.is_empty() || error.kind() == ErrorKind::Data, "{}", error);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_a_model_that_assigns(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let t = places(40, 6);
        let bytes = KMeans::fit(&params(3), &t, &all(&t), 0, None).unwrap().to_bytes().unwrap();
        let sealed =
            |payload: &[u8]| [&bytes[..12], &crc32fast::hash(payload).to_le_bytes(), payload].concat();
        prop_assert!(KMeans::from_bytes(&noise).is_err());
        prop_assert!(KMeans::from_bytes(&sealed(&noise)).is_err());
        // A payload that is changed under a right checksum may be a model, and is then one that assigns.
        let mut payload = bytes[16..].to_vec();
        prop_assert!(KMeans::from_bytes(&sealed(&payload)).is_ok());
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        if let Ok(model) = KMeans::from_bytes(&sealed(&payload)) {
            prop_assert!(model.centres().iter().flatten().all(|c| c.is_finite()));
            if model.assign(&t, &all(&t)).is_ok() {
                prop_assert!(model.metrics(&t, &all(&t), 0).is_ok());
                prop_assert!(KMeans::fit(&params(3), &t, &all(&t), 0, Some(&model)).is_ok());
            }
        }
    }
}
