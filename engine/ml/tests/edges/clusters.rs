//! Each edge, and what k-means of either backend and the streams do at it.

use crate::data::{all, names, numeric_table};
use tidemill_ml::{
    ClusterStream, ClusterStreamParams, Error, FeatureTable, KMeans, KMeansBackend, KMeansParams,
    MiniBatchKMeansParams, OnlineKMeansParams, SilhouetteRows, StreamLearner,
};

const BACKENDS: [KMeansBackend; 2] = [KMeansBackend::Tidemill, KMeansBackend::Linfa];

fn params(clusters: u32, backend: KMeansBackend) -> KMeansParams {
    KMeansParams { clusters, backend, ..KMeansParams::default() }
}

/// A stream of each learner and backend.
fn streams(clusters: u32, columns: usize) -> Vec<ClusterStream> {
    let kmeans = BACKENDS.map(|backend| StreamLearner::Kmeans(params(clusters, backend)));
    let minibatch =
        BACKENDS.map(|backend| StreamLearner::MinibatchKmeans(MiniBatchKMeansParams { clusters, backend }));
    let online = StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters, ..Default::default() });
    let of = |learner| {
        let params = ClusterStreamParams { learner, ..ClusterStreamParams::default() };
        ClusterStream::new(params, names("x", columns)).unwrap()
    };
    kmeans.into_iter().chain(minibatch).chain([online]).map(of).collect()
}

#[test]
fn what_rounding_leaves_within_clusters_is_nothing() {
    // Tenths are no numbers of f64, and so their means are not quite they.
    for (rows, values) in [
        (50, vec![0.1, 1.1, 2.1]),
        (3_000, vec![0.1, 0.3, 0.7]),
        (1_500_000, vec![0.1, 0.3, 0.7]),
        (90, vec![1e9 + 0.1, 1e9 + 0.7]),
    ] {
        let column: Vec<f64> = (0..rows).map(|row| values[row % values.len()]).collect();
        let t = numeric_table(&[column.clone(), column.iter().map(|v| v / 3.0).collect()]);
        let model = KMeans::fit(&params(values.len() as u32, KMeansBackend::Tidemill), &t, &all(&t), 1, None)
            .unwrap();
        let metrics = model.metrics(&t, &all(&t), 0).unwrap();
        assert!(metrics.inertia < 1e-9, "{metrics:?}");
        assert_eq!((metrics.calinski_harabasz, metrics.bic, metrics.bic_river), (None, None, None));
    }
    // And what is not rounding is told: a thousand millionth beside one.
    let column: Vec<f64> = (0..60).map(|row| f64::from(row % 3) + f64::from(row % 7) * 1e-9).collect();
    let t = numeric_table(&[column]);
    let model = KMeans::fit(&params(3, KMeansBackend::Tidemill), &t, &all(&t), 1, None).unwrap();
    let metrics = model.metrics(&t, &all(&t), 0).unwrap();
    assert!(metrics.calinski_harabasz.is_some() && metrics.bic.is_some(), "{metrics:?}");
}

#[test]
fn no_column_no_row_and_more_clusters_than_rows_are_errors_that_say_so() {
    let t = numeric_table(&[vec![1.0, 2.0, f64::NAN, f64::INFINITY]]);
    let text = FeatureTable::new(vec![], names("c", 1));
    for backend in BACKENDS {
        let fit = |clusters, table: &FeatureTable, rows: &[u32]| {
            KMeans::fit(&params(clusters, backend), table, rows, 0, None).unwrap_err()
        };
        assert_eq!(fit(1, &numeric_table(&[]), &[]), Error::NoFeatures);
        assert_eq!(fit(1, &t, &[]), Error::NoRows);
        assert_eq!(fit(3, &t, &all(&t)), Error::TooFewForClusters { clusters: 3, complete: 2, rows: 4 });
        assert_eq!(fit(1, &t, &[2, 3]), Error::TooFewForClusters { clusters: 1, complete: 0, rows: 2 });
        assert_eq!(fit(1, &text, &[]), Error::TextColumns { columns: names("c", 1) });
        let sweep = |rows: &[u32], clusters| {
            KMeans::sweep(&params(1, backend), &t, rows, clusters, SilhouetteRows::Exact, 0)
        };
        assert_eq!(sweep(&[], 1..=2).unwrap_err(), Error::NoRows);
        assert_eq!(sweep(&[0, 1], 1..=9).unwrap().points.len(), 2, "no more clusters than rows");
        let error = Error::TooFewForClusters { clusters: 3, complete: 2, rows: 4 };
        assert_eq!(sweep(&all(&t), 3..=9).unwrap_err(), error);
    }
    for mut stream in streams(3, 1) {
        let before = stream.clone();
        let error = stream.partial_fit(&t, &all(&t), 0).unwrap_err();
        assert_eq!(error, Error::TooFewForClusters { clusters: 3, complete: 2, rows: 4 });
        assert_eq!(stream.partial_fit(&t, &[], 0).unwrap().rows, 0);
        assert_eq!(stream.partial_fit(&t, &[2, 3], 0).unwrap().left_out, 2);
        assert_eq!(stream, before, "and the stream is as it was");
        assert_eq!(stream.assign(&t, &[0]).unwrap(), [None]);
        assert_eq!(stream.metrics(&t, &[0], SilhouetteRows::Exact, 0).unwrap_err(), Error::NoRows);
        let error = stream.partial_fit(&text, &[], 0).unwrap_err();
        assert_eq!(error, Error::TextColumns { columns: names("c", 1) });
    }
}

#[test]
fn one_row_and_equal_rows_make_clusters_at_their_place() {
    let t = numeric_table(&[vec![3.0; 5], vec![-4.0; 5]]);
    for backend in BACKENDS {
        let one = KMeans::fit(&params(1, backend), &t, &[2], 0, None).unwrap();
        assert_eq!((one.centres(), one.sizes()), (vec![vec![3.0, -4.0]], &[1][..]));
        let model = KMeans::fit(&params(3, backend), &t, &all(&t), 0, None).unwrap();
        assert_eq!((model.centres(), model.sizes()), (vec![vec![3.0, -4.0]; 3], &[5, 0, 0][..]));
        let metrics = model.metrics(&t, &all(&t), 0).unwrap();
        assert_eq!((metrics.inertia, metrics.clusters), (0.0, 1));
        let undefined =
            [metrics.silhouette, metrics.calinski_harabasz, metrics.davies_bouldin, metrics.xie_beni];
        assert_eq!((undefined, metrics.bic), ([None; 4], None));
        let sweep =
            KMeans::sweep(&params(1, backend), &t, &all(&t), 1..=5, SilhouetteRows::Exact, 0).unwrap();
        assert_eq!((sweep.points.len(), sweep.elbow, sweep.best_silhouette), (5, None, None));
    }
    for mut stream in streams(3, 2) {
        for batch in 0..4 {
            stream.partial_fit(&t, &all(&t), batch).unwrap();
            let near = |c: &Vec<f64>| (c[0] - 3.0).abs() < 1e-12 && (c[1] + 4.0).abs() < 1e-12;
            assert!(stream.centres().len() == 3 && stream.centres().iter().all(near), "{stream:?}");
        }
        let sweep = stream.sweep(&t, &all(&t), 1..=3, SilhouetteRows::Exact, 0).unwrap();
        assert_eq!((sweep.points.len(), sweep.elbow), (3, None));
    }
}

#[test]
fn columns_of_one_value_have_no_say_and_rows_without_a_value_no_cluster() {
    let x: Vec<f64> = (0..90).map(|i| f64::from(i % 3) * 100.0 + f64::from(i % 7)).collect();
    let missing: Vec<f64> = (0..90).map(|i| if i == 4 { f64::INFINITY } else { 1e300 }).collect();
    let t = numeric_table(&[x, missing]);
    for backend in BACKENDS {
        let model = KMeans::fit(&params(3, backend), &t, &all(&t), 1, None).unwrap();
        assert_eq!((model.training_rows(), model.left_out()), (89, 1), "{backend:?}");
        let clusters = model.assign(&t, &all(&t)).unwrap();
        assert!((0..90).all(|i| (i == 4) == clusters[i].is_none()));
        assert!((5..90).all(|i| clusters[i] == clusters[i % 3]), "{backend:?}");
        assert!(model.centres().iter().all(|centre| centre[1] == 1e300));
    }
    for mut stream in streams(3, 2) {
        let report = stream.partial_fit(&t, &all(&t), 0).unwrap();
        assert_eq!((report.rows, report.left_out), (89, 1));
        let clusters = stream.assign(&t, &all(&t)).unwrap();
        assert!((0..90).all(|i| (i == 4) == clusters[i].is_none()));
        assert!((5..90).all(|i| clusters[i] == clusters[i % 3]), "{:?}", stream.params());
    }
}

#[test]
fn groups_at_the_ends_of_f64_are_found() {
    let places = [f64::MIN, 0.0, f64::MAX];
    let t = numeric_table(&[(0..60).map(|i| places[i % 3]).collect()]);
    for backend in BACKENDS {
        let model = KMeans::fit(&params(3, backend), &t, &all(&t), 1, None).unwrap();
        let mut centres = model.centres().concat();
        centres.sort_by(f64::total_cmp);
        assert!(centres[0] < -1.79e308 && centres[1].abs() < 1e293 && centres[2] > 1.79e308, "{centres:?}");
        let metrics = model.metrics(&t, &all(&t), 0).unwrap();
        assert!(metrics.inertia < 1e-20 && metrics.silhouette.unwrap() > 0.99, "{metrics:?}");
        let sweep =
            KMeans::sweep(&params(1, backend), &t, &all(&t), 1..=4, SilhouetteRows::Exact, 0).unwrap();
        assert_eq!((sweep.elbow, sweep.best_silhouette), (Some(2), Some(3)), "{sweep:?}");
    }
}

#[test]
fn a_spread_is_one_while_its_inverse_is_a_number() {
    for (place, found) in [(1e-300, true), (5e-324, false)] {
        let t = numeric_table(&[(0..60).map(|i| if i % 3 == 0 { place } else { 0.0 }).collect()]);
        for backend in BACKENDS {
            let model = KMeans::fit(&params(2, backend), &t, &all(&t), 1, None).unwrap();
            assert_eq!(model.sizes().contains(&20), found, "{backend:?}: {place} {:?}", model.sizes());
        }
        for mut stream in streams(2, 1) {
            stream.partial_fit(&t, &all(&t), 0).unwrap();
            assert!(stream.centres().iter().all(|centre| centre[0].is_finite()), "{place}: {stream:?}");
        }
    }
}

#[test]
fn the_ends_of_a_sweep_and_of_the_rows_drawn() {
    let t = numeric_table(&[(0..40).map(|i| f64::from(i % 4) * 30.0 + f64::from(i % 3)).collect()]);
    let sweep =
        |clusters, silhouette| KMeans::sweep(&params(9, BACKENDS[0]), &t, &all(&t), clusters, silhouette, 0);
    for (drawn, defined) in [(0, false), (1, false), (2, false), (40, true), (usize::MAX, true)] {
        let found = sweep(2..=5, SilhouetteRows::Drawn(drawn)).unwrap();
        assert_eq!(found.best_silhouette, defined.then_some(4), "{drawn}: {found:?}");
    }
    assert_eq!(
        sweep(1..=1, SilhouetteRows::Exact).unwrap().best_silhouette,
        None,
        "of one cluster there is none"
    );
    assert_eq!(sweep(40..=u32::MAX, SilhouetteRows::Exact).unwrap().points.len(), 1);
    let error = sweep(0..=0, SilhouetteRows::Exact).unwrap_err();
    assert!(matches!(error, Error::BadParameter { name: "clusters", .. }), "{error}");
    let error = sweep(u32::MAX..=u32::MAX, SilhouetteRows::Exact).unwrap_err();
    assert!(matches!(error, Error::BadParameter { name: "clusters", .. }), "{error}");
}
