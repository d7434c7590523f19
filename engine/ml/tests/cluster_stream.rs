//! Clusters that learn from batches, from outside: what they find, what a batch changes, every edge case's outcome,
//! determinism, and the model file.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_ml::{
    ClusterSpace, ClusterStream, ClusterStreamParams, Error, ErrorKind, FeatureTable, KMeans, KMeansBackend,
    KMeansParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers, SilhouetteRows, StreamLearner,
};

fn table(columns: &[Vec<f64>]) -> FeatureTable {
    let mut table = FeatureTable::new(names(columns.len()), vec![]);
    columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|c| format!("x{c}")).collect()
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

fn minibatch(clusters: u32) -> ClusterStreamParams {
    let params = MiniBatchKMeansParams { clusters, ..MiniBatchKMeansParams::default() };
    let learner = StreamLearner::MinibatchKmeans(params);
    ClusterStreamParams { learner, ..ClusterStreamParams::default() }
}

fn online(clusters: u32) -> ClusterStreamParams {
    let learner = StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters, halflife: 0.1 });
    ClusterStreamParams { learner, ..ClusterStreamParams::default() }
}

fn full(clusters: u32) -> ClusterStreamParams {
    let learner = StreamLearner::Kmeans(KMeansParams { clusters, ..KMeansParams::default() });
    ClusterStreamParams { learner, ..ClusterStreamParams::default() }
}

/// Four groups of unlike size; `at` moves all of them.
fn groups(rows: usize, at: f64, seed: u64) -> FeatureTable {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut columns = vec![Vec::new(), Vec::new()];
    for _ in 0..rows {
        let (x, y) = [(0.0, 0.0), (40.0, 0.0), (0.0, 3.0), (40.0, 3.0)][random.gen_range(0..9) % 4];
        columns[0].push(at + x + random.gen_range(-4.0..4.0));
        columns[1].push(y + random.gen_range(-0.3..0.3));
    }
    table(&columns)
}

/// How far the worst of the four groups is from the nearest centre, in half-widths of a group.
fn worst(stream: &ClusterStream, at: f64) -> f64 {
    let apart = |x: f64, y: f64| {
        let of = |c: &Vec<f64>| ((c[0] - at - x).abs() / 4.0).max((c[1] - y).abs() / 0.3);
        stream.centres().iter().map(of).fold(f64::INFINITY, f64::min)
    };
    [(0.0, 0.0), (40.0, 0.0), (0.0, 3.0), (40.0, 3.0)]
        .map(|(x, y)| apart(x, y))
        .into_iter()
        .fold(0.0, f64::max)
}

#[test]
fn every_learner_follows_groups_that_move_and_keeps_their_numbers() {
    for params in [minibatch(4), online(4), full(4)] {
        let mut stream = ClusterStream::new(params.clone(), names(2)).unwrap();
        let mut first = None;
        for batch in 0..40u64 {
            let at = 1e4 + batch as f64 / 4.0;
            let t = groups(300, at, batch);
            let report = stream.partial_fit(&t, &all(&t), batch).unwrap();
            assert_eq!((report.rows, report.left_out, &report.reseeded[..]), (300, 0, &[][..]));
            assert_eq!(report.moved > 0.0, batch > 0);
            first.get_or_insert_with(|| stream.centres().to_vec());
        }
        let at = 1e4 + 9.75;
        assert!(worst(&stream, at) < 0.9, "{params:?} {:?}", stream.centres());
        // Where a cluster was in the first batch, relative to the groups, it still is.
        for (now, then) in stream.centres().iter().zip(first.unwrap()) {
            assert!((now[0] - then[0] - 9.75).abs() < 4.0 && (now[1] - then[1]).abs() < 1.0, "{params:?}");
        }
        assert_eq!((stream.batches(), stream.training_rows()), (40, 12_000));
        let t = groups(500, at, 99);
        let metrics = stream.metrics(&t, &all(&t), SilhouetteRows::Exact, 0).unwrap();
        assert!(metrics.silhouette.unwrap() > 0.6 && metrics.clusters == 4, "{metrics:?}");
        let sweep = stream.sweep(&t, &all(&t), 2..=9, SilhouetteRows::Exact, 0).unwrap();
        assert_eq!((sweep.elbow, sweep.best_silhouette), (Some(4), Some(4)), "{sweep:?}");
        assert!(sweep.points[2].inertia <= metrics.inertia * (1.0 + 1e-9), "no batch beats all rows at once");
    }
}

fn by_linfa(clusters: u32) -> ClusterStreamParams {
    let params = MiniBatchKMeansParams { clusters, backend: KMeansBackend::Linfa };
    ClusterStreamParams { learner: StreamLearner::MinibatchKmeans(params), ..ClusterStreamParams::default() }
}

#[test]
fn linfas_step_is_the_same_with_weights_and_without() {
    let [mut ours, mut linfas] =
        [minibatch(4), by_linfa(4)].map(|params| ClusterStream::new(params, names(2)).unwrap());
    for batch in 0..20u64 {
        let t = groups(300, 1e4 + batch as f64 / 4.0, batch);
        // Of three weights, in no order; and every third batch without.
        let weights: Vec<f64> = (0..300).map(|row| [1.0, 93.5, 0.25][row * 7 % 11 % 3]).collect();
        for stream in [&mut ours, &mut linfas] {
            match batch % 3 {
                2 => stream.partial_fit(&t, &all(&t), batch).unwrap(),
                _ => stream.partial_fit_weighted(&t, &all(&t), &weights, batch).unwrap(),
            };
        }
    }
    for (a, b) in ours.weights().iter().zip(linfas.weights()) {
        assert!((a - b).abs() < 1e-9 * a, "{a} {b}");
    }
    for (a, b) in ours.centres().iter().flatten().zip(linfas.centres().iter().flatten()) {
        assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "{a} {b}");
    }
    // Its full k-means takes none.
    let full = KMeansParams { clusters: 4, backend: KMeansBackend::Linfa, ..KMeansParams::default() };
    let params =
        ClusterStreamParams { learner: StreamLearner::Kmeans(full), ..ClusterStreamParams::default() };
    let mut full = ClusterStream::new(params, names(2)).unwrap();
    let t = groups(300, 1e4, 5);
    let error = full.partial_fit_weighted(&t, &all(&t), &[2.0; 300], 1).unwrap_err();
    assert!(matches!(error, Error::BadParameter { name: "backend", .. }), "{error}");
    assert_eq!(full.batches(), 0);
}

#[test]
fn a_stream_that_forgets_nothing_lags_behind_groups_that_move() {
    let params = ClusterStreamParams { half_life_batches: None, reseed_below: 0.0, ..minibatch(4) };
    let mut stream = ClusterStream::new(params, names(2)).unwrap();
    for batch in 0..40u64 {
        let t = groups(300, 1e4 + batch as f64 / 4.0, batch);
        stream.partial_fit(&t, &all(&t), batch).unwrap();
    }
    assert!(worst(&stream, 1e4 + 9.75) > 0.9, "{:?}", stream.centres());
    let weight: f64 = stream.weights().iter().sum();
    assert_eq!(weight, 12_000.0);
}

#[test]
fn the_full_learner_is_k_means_on_the_rows_given() {
    let t = groups(1_000, 5.0, 1);
    let exact = KMeansParams { clusters: 4, tolerance: 1e-9, ..KMeansParams::default() };
    let learner = StreamLearner::Kmeans(exact.clone());
    let params = ClusterStreamParams { outliers: Outliers::Keep, learner, ..full(4) };
    let mut stream = ClusterStream::new(params, names(2)).unwrap();
    stream.partial_fit(&groups(200, 300.0, 8), &(0..200).collect::<Vec<u32>>(), 0).unwrap();
    stream.partial_fit(&t, &all(&t), 3).unwrap();
    let start = stream.centres().to_vec();
    let model = KMeans::fit_from(&exact, &t, &all(&t), &start).unwrap();
    for (found, expected) in stream.centres().iter().flatten().zip(model.centres().iter().flatten()) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    assert_eq!(stream.weights().iter().sum::<f64>(), 1_000.0, "rows before the last are forgotten");
    let ours = stream.metrics(&t, &all(&t), SilhouetteRows::Exact, 0).unwrap();
    let theirs = model.metrics_with(&t, &all(&t), SilhouetteRows::Exact, 0).unwrap();
    assert!((ours.inertia / theirs.inertia - 1.0).abs() < 1e-6);
}

#[test]
fn outliers_count_as_the_bounds_and_a_column_of_one_value_mostly_has_none() {
    // The quartiles are 24 and 76, so the bounds -54 and 154. Most of the other column is 1.
    let x: Vec<f64> = (0..=100).map(f64::from).chain([1e6, -1e6]).collect();
    let y: Vec<f64> = (0..103).map(|i| if i % 5 == 0 { f64::from(i) } else { 1.0 }).collect();
    let t = table(&[x, y]);
    let mut stream = ClusterStream::new(minibatch(2), names(2)).unwrap();
    let report = stream.partial_fit(&t, &all(&t), 0).unwrap();
    assert_eq!(report.capped, 2);
    let caps = stream.caps();
    let (low, high) = caps[0].unwrap();
    assert!((low + 54.0).abs() < 0.6 && (high - 154.0).abs() < 0.6, "{low} {high}");
    assert_eq!(caps[1], None, "an interquartile range of 0 caps nothing");
    assert!(stream.centres().iter().all(|c| (low..=high).contains(&c[0])));
    let far = table(&[vec![1e12, high], vec![1.0, 1.0]]);
    let assigned = stream.assign(&far, &[0, 1]).unwrap();
    assert_eq!(assigned[0], assigned[1], "beyond the bound is at the bound");
    let params = ClusterStreamParams { outliers: Outliers::Keep, ..minibatch(2) };
    let mut kept = ClusterStream::new(params, names(2)).unwrap();
    assert_eq!(kept.partial_fit(&t, &all(&t), 0).unwrap().capped, 0);
    assert_eq!(kept.caps(), [None, None]);
}

#[test]
fn bounds_past_what_a_number_can_be_are_the_last_one() {
    let t = table(&[vec![0.0, 0.0, 1e308, 1e308], vec![f64::MIN, f64::MIN, f64::MAX, f64::MAX]]);
    let mut stream = ClusterStream::new(minibatch(2), names(2)).unwrap();
    assert_eq!(stream.partial_fit(&t, &all(&t), 0).unwrap().capped, 0);
    let caps = stream.caps();
    assert!(matches!(caps[0], Some((low, f64::MAX)) if low.is_finite() && low < 0.0), "{caps:?}");
    assert_eq!(caps[1], Some((f64::MIN, f64::MAX)));
}

#[test]
fn weights_make_a_biased_batch_stand_for_all_rows() {
    // All rows: a tenth at 0, the rest about 100 and 200. The batch has five times too many of those at 0.
    let place =
        |i: usize| if i.is_multiple_of(10) { 0.0 } else { 100.0 * (1 + i % 2) as f64 + (i % 7) as f64 };
    let everything = table(&[(0..2_000).map(place).collect()]);
    let biased: Vec<u32> = (0..2_000u32).filter(|i| i % 10 == 0 || i % 50 < 10).collect();
    let weights: Vec<f64> = biased.iter().map(|i| if i % 10 == 0 { 1.0 } else { 5.0 }).collect();
    for params in [minibatch(3), online(3), full(3)] {
        let mut stream = ClusterStream::new(params.clone(), names(1)).unwrap();
        let mut unbiased = ClusterStream::new(params, names(1)).unwrap();
        for batch in 0..20 {
            stream.partial_fit_weighted(&everything, &biased, &weights, batch).unwrap();
            unbiased.partial_fit(&everything, &all(&everything), batch).unwrap();
        }
        let shares = |s: &ClusterStream| {
            let total: f64 = s.weights().iter().sum();
            let mut of: Vec<(f64, f64)> =
                s.centres().iter().zip(s.weights()).map(|(c, w)| (c[0], w / total)).collect();
            of.sort_by(|a, b| a.0.total_cmp(&b.0));
            of
        };
        for (a, b) in shares(&stream).iter().zip(shares(&unbiased)) {
            assert!((a.0 - b.0).abs() < 4.0 && (a.1 - b.1).abs() < 0.05, "{a:?} {b:?}");
        }
        // Weights are of mean 1, in the first batch as in later ones.
        let mut unweighted = ClusterStream::new(stream.params().clone(), names(1)).unwrap();
        (0..20).for_each(|batch| drop(unweighted.partial_fit(&everything, &biased, batch).unwrap()));
        let total = |s: &ClusterStream| s.weights().iter().sum::<f64>();
        assert!(
            (total(&stream) / total(&unweighted) - 1.0).abs() < 1e-9,
            "{:?} {:?}",
            stream.weights(),
            unweighted.weights()
        );
        let scaled: Vec<f64> = weights.iter().map(|w| w * 1e300).collect();
        let (mut one, mut other) = (unbiased.clone(), unbiased.clone());
        one.partial_fit_weighted(&everything, &biased, &weights, 1).unwrap();
        other.partial_fit_weighted(&everything, &biased, &scaled, 1).unwrap();
        for (a, b) in one.centres().concat().iter().zip(other.centres().concat()) {
            assert!((a - b).abs() < 1e-9, "only ratios count");
        }
        let before = stream.clone();
        let error = stream.partial_fit_weighted(&everything, &[1, 2], &[1.0, -1.0], 0).unwrap_err();
        assert_eq!(error, Error::BadWeight { row: 2, value: -1.0 });
        let error = stream.partial_fit_weighted(&everything, &[1, 2], &[1.0], 0).unwrap_err();
        assert_eq!(error, Error::LengthMismatch { what: "weights", expected: 2, found: 1 });
        assert_eq!(stream.partial_fit_weighted(&everything, &[1, 2], &[0.0; 2], 0).unwrap().rows, 0);
        assert_eq!(stream, before);
    }
}

#[test]
fn a_cluster_that_gets_no_rows_any_more_begins_again_where_rows_are() {
    for params in [minibatch(3), online(3)] {
        let three = |rows: usize, places: [f64; 3]| {
            table(&[(0..rows).map(|i| places[i % 3] + (i % 7) as f64 / 10.0).collect()])
        };
        let mut stream = ClusterStream::new(params.clone(), names(1)).unwrap();
        let t = three(300, [0.0, 50.0, 100.0]);
        stream.partial_fit(&t, &all(&t), 0).unwrap();
        let before = stream.centres().to_vec();
        let gone = (0..3).max_by(|&a, &b| before[a][0].total_cmp(&before[b][0])).unwrap() as u32;
        // Nobody is at 100 any more; the rest is in three places, one of them new.
        let mut reseeded = Vec::new();
        for batch in 1..120 {
            let t = three(300, [0.0, 50.0, 25.0]);
            reseeded.extend(stream.partial_fit(&t, &all(&t), batch).unwrap().reseeded);
        }
        assert!(reseeded.contains(&gone), "{params:?} {reseeded:?}");
        let mut centres = stream.centres().concat();
        centres.sort_by(f64::total_cmp);
        assert!(
            centres.iter().zip([0.0, 25.0, 50.0]).all(|(c, place)| (c - place).abs() < 3.0),
            "{centres:?}"
        );
    }
}

#[test]
fn what_a_stream_cannot_learn_from_leaves_it_as_it_was() {
    let nan = f64::NAN;
    let t = table(&[vec![1.0, nan, 3.0, 4.0], vec![0.0, 1.0, f64::INFINITY, 2.0]]);
    let mut stream = ClusterStream::new(minibatch(3), names(2)).unwrap();
    let untouched = stream.clone();
    let error = stream.partial_fit(&t, &all(&t), 0).unwrap_err();
    assert_eq!(error, Error::TooFewForClusters { clusters: 3, complete: 2, rows: 4 });
    assert_eq!((error.kind(), &stream), (ErrorKind::Data, &untouched));
    let report = stream.partial_fit(&t, &[1, 2], 0).unwrap();
    assert_eq!((report.rows, report.left_out, &stream), (0, 2, &untouched));
    assert_eq!(stream.assign(&t, &[0, 1]).unwrap(), [None, None], "no centres yet");
    assert_eq!(stream.metrics(&t, &[0], SilhouetteRows::Exact, 0).unwrap_err(), Error::NoRows);
    assert_eq!(stream.sweep(&t, &[0], 1..=2, SilhouetteRows::Exact, 0).unwrap_err(), Error::NoRows);
    assert_eq!(stream.partial_fit(&t, &[7], 0).unwrap_err(), Error::RowOutOfRange { row: 7, rows: 4 });
    let other = table(&[vec![1.0]]);
    assert!(matches!(stream.partial_fit(&other, &[0], 0), Err(Error::FeatureMismatch { .. })));
    let text = FeatureTable::new(names(2), vec!["c".into()]);
    assert!(matches!(stream.partial_fit(&text, &[], 0), Err(Error::TextColumns { .. })));

    let more = groups(60, 0.0, 1);
    stream.partial_fit(&more, &all(&more), 0).unwrap();
    let report = stream.partial_fit(&t, &all(&t), 1).unwrap();
    assert_eq!(
        (report.rows, report.left_out),
        (2, 2),
        "fewer rows than clusters are fine once there are centres"
    );
    assert_eq!(
        stream.assign(&t, &[0, 1, 2]).unwrap().iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, false]
    );
    let before = stream.clone();
    assert_eq!(stream.partial_fit(&more, &[], 2).unwrap().rows, 0);
    assert_eq!(stream, before, "an empty batch changes nothing");

    assert_eq!(ClusterStream::new(minibatch(3), vec![]).unwrap_err(), Error::NoFeatures);
    let bad = |name: &str, params: ClusterStreamParams| match ClusterStream::new(params, names(1)) {
        Err(Error::BadParameter { name: found, .. }) => assert_eq!(found, name),
        other => panic!("{other:?}"),
    };
    bad("clusters", minibatch(0));
    bad("clusters", online(10_001));
    let linfa = KMeansParams { backend: KMeansBackend::Linfa, tolerance: -1.0, ..KMeansParams::default() };
    bad("tolerance", ClusterStreamParams { learner: StreamLearner::Kmeans(linfa), ..minibatch(1) });
    for halflife in [0.0, 1.5, nan] {
        let learner = StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters: 2, halflife });
        bad("halflife", ClusterStreamParams { learner, ..minibatch(1) });
    }
    bad("half_life_batches", ClusterStreamParams { half_life_batches: Some(0.0), ..minibatch(1) });
    bad("reseed_below", ClusterStreamParams { reseed_below: nan, ..minibatch(1) });
}

#[test]
fn constant_columns_and_equal_rows_are_harmless() {
    for params in [minibatch(3), online(3), full(3)] {
        let t = table(&[vec![0.1; 30], vec![7.0; 30]]);
        let mut stream = ClusterStream::new(params, names(2)).unwrap();
        for batch in 0..5 {
            stream.partial_fit(&t, &all(&t), batch).unwrap();
        }
        for centre in stream.centres() {
            assert!((centre[0] - 0.1).abs() < 1e-12 && (centre[1] - 7.0).abs() < 1e-12, "{centre:?}");
        }
        // And a column that begins to vary has a say.
        let t = table(&[(0..30).map(|i| f64::from(i % 3) * 5.0).collect(), vec![7.0; 30]]);
        (5..30).for_each(|batch| drop(stream.partial_fit(&t, &all(&t), batch).unwrap()));
        let assigned = stream.assign(&t, &[0, 1, 2]).unwrap();
        assert!(assigned[0] != assigned[2], "{:?}", stream.centres());
    }
}

#[test]
fn a_stream_is_the_same_bytes_for_any_number_of_threads_and_after_a_restart() {
    let run = |threads: usize, restart: bool, params: ClusterStreamParams| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut stream = ClusterStream::new(params, names(2)).unwrap();
            for batch in 0..6u64 {
                let t = groups(6_000, batch as f64, batch);
                stream.partial_fit(&t, &all(&t), batch).unwrap();
                if restart {
                    stream = ClusterStream::from_bytes(&stream.to_bytes().unwrap()).unwrap();
                }
            }
            stream.to_bytes().unwrap()
        })
    };
    for params in [minibatch(7), online(7), full(7)] {
        let one = run(1, false, params.clone());
        for (threads, restart) in [(2, false), (5, false), (2, true)] {
            assert!(one == run(threads, restart, params.clone()), "{threads} {restart} {params:?}");
        }
    }
}

#[test]
fn a_damaged_file_or_one_of_another_kind_is_an_error() {
    let t = groups(60, 0.0, 5);
    let mut stream = ClusterStream::new(minibatch(3), names(2)).unwrap();
    stream.partial_fit(&t, &all(&t), 0).unwrap();
    let bytes = stream.to_bytes().unwrap();
    assert_eq!(ClusterStream::from_bytes(&bytes).unwrap(), stream);
    let expected = Error::OtherKind { expected: "k-means", found: "cluster stream" };
    assert_eq!(KMeans::from_bytes(&bytes).unwrap_err(), expected);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(ClusterStream::from_bytes(&flipped).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        assert_eq!(
            ClusterStream::from_bytes(&bytes[..at]).unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{at} bytes"
        );
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
    fn any_batches_give_a_stream_that_assigns_or_an_error(
        batches in (1usize..4).prop_flat_map(|n| prop::collection::vec(
            (0usize..20).prop_flat_map(move |rows| prop::collection::vec(prop::collection::vec(value(), rows), n)), 1..5)),
        clusters in 1u32..6, which in 0usize..4, weighs in any::<bool>(), outliers in prop_oneof![Just(Outliers::Cap), Just(Outliers::Keep)],
        half_life_batches in prop::option::of(0.01f64..10.0), reseed_below in 0.0f64..1.0, seed in any::<u64>(),
    ) {
        let params = [minibatch(clusters), online(clusters), full(clusters), by_linfa(clusters)][which].clone();
        let weighs = weighs && params.takes_weights();
        let params = ClusterStreamParams { outliers, half_life_batches, reseed_below, ..params };
        let mut stream = ClusterStream::new(params, names(batches[0].len())).unwrap();
        for batch in &batches {
            let t = table(batch);
            let weights: Vec<f64> = all(&t).iter().map(|row| f64::from(row * 7 % 5) * 1e-3).collect();
            let learned = match weighs {
                true => stream.partial_fit_weighted(&t, &all(&t), &weights, seed),
                false => stream.partial_fit(&t, &all(&t), seed),
            };
            match learned {
                // Rows without weight are as good as none.
                Ok(report) if weighs => prop_assert!(report.rows + report.left_out <= t.rows() as u64),
                Ok(report) => prop_assert_eq!(report.rows + report.left_out, t.rows() as u64),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Data, "{}", error),
            }
            prop_assert!(stream.centres().iter().flatten().all(|c| c.is_finite()), "{:?}", stream);
            let assigned = stream.assign(&t, &all(&t)).unwrap();
            prop_assert!(assigned.iter().flatten().all(|c| *c < clusters));
            if let Ok(metrics) = stream.metrics(&t, &all(&t), SilhouetteRows::Exact, 0) {
                prop_assert!(metrics.inertia.is_finite(), "{:?}", metrics);
            }
            prop_assert_eq!(&ClusterStream::from_bytes(&stream.to_bytes().unwrap()).unwrap(), &stream);
        }
    }

    #[test]
    fn any_payload_under_a_right_checksum_is_an_error_or_a_stream_that_learns(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let t = groups(40, 0.0, 6);
        let mut stream = ClusterStream::new(minibatch(3), names(2)).unwrap();
        stream.partial_fit(&t, &all(&t), 0).unwrap();
        let bytes = stream.to_bytes().unwrap();
        let mut payload = bytes[16..].to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        let head = [&bytes[..12], &crc32fast::hash(&payload).to_le_bytes()].concat();
        if let Ok(mut read) = ClusterStream::from_bytes(&[&head[..], &payload].concat()) {
            let _ = read.assign(&t, &all(&t));
            if read.params().clusters() < 100 {
                let _ = read.partial_fit(&t, &all(&t), 1);
            }
            prop_assert!(read.centres().iter().flatten().all(|c| c.is_finite()));
        }
    }
}

/// Expected from numpy: silhouette and sum of squares of all rows over their own deviations, with the clusters as assigned.
#[test]
fn in_a_space_of_all_rows_a_stream_is_worth_what_its_clusters_are_there() {
    let x = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 0.0, 1.0, 2.0, 100.0, 101.0, 102.0, 100.0, 101.0, 103.0];
    let y = [0.0, 1.0, 0.0, 5.0, 6.0, 5.0, 40.0, 41.0, 40.0, 5.0, 6.0, 5.0, 41.0, 40.0, 41.0];
    let (table, all) = (table(&[x.to_vec(), y.to_vec()]), (0..15).collect::<Vec<u32>>());
    let params = ClusterStreamParams { outliers: Outliers::Keep, ..full(2) };
    let mut stream = ClusterStream::new(params, table.numeric_names().to_vec()).unwrap();
    stream.partial_fit(&table, &all[..6], 42).unwrap();
    let exact = SilhouetteRows::Exact;
    for outliers in [Outliers::Keep, Outliers::Cap] {
        let space = ClusterSpace::of(&table, &all, outliers).unwrap();
        let metrics = stream.metrics_in(&space, &table, &all, exact, 1).unwrap();
        assert!((metrics.silhouette.unwrap() - 0.16706296769498957).abs() < 1e-12, "{metrics:?}");
        assert!((metrics.inertia - 44.23093928843618).abs() < 1e-9, "{metrics:?}");
    }
    // In its own space it is worth something else.
    let own = stream.metrics(&table, &all, exact, 1).unwrap();
    assert!((own.silhouette.unwrap() - 0.1551196356663948).abs() < 1e-12, "{own:?}");
}
