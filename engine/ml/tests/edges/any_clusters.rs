//! Any rows, weights and settings: clusters with finite centres, or the error that is stated.

use crate::data::{all, cases, column, numeric_table, on_threads, value, weight};
use proptest::prelude::*;
use tidemill_ml::{
    ClusterMetrics, ClusterStream, ClusterStreamParams, ClusterSweep, Error, FeatureTable, KMeans,
    KMeansBackend, KMeansParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers, SilhouetteRows,
    StreamLearner,
};

fn columns() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (0usize..4, prop_oneof![1 => 0usize..3, 3 => 3usize..40])
        .prop_flat_map(|(n, rows)| prop::collection::vec(column(rows), n))
}

fn weights() -> impl Strategy<Value = Option<Vec<f64>>> {
    let weight = prop_oneof![150 => weight(), 1 => any::<f64>()];
    prop::option::of(prop::collection::vec(weight, 40))
}

fn backend() -> impl Strategy<Value = KMeansBackend> {
    prop_oneof![Just(KMeansBackend::Tidemill), Just(KMeansBackend::Linfa)]
}

fn kmeans_params() -> impl Strategy<Value = KMeansParams> {
    let tolerance = prop_oneof![Just(5e-324), Just(f64::MAX), Just(1e-2), 1e-9f64..1e3];
    let iterations = prop_oneof![Just(1u32), 2u32..60];
    (1u32..12, iterations, 1u32..4, tolerance, backend()).prop_map(
        |(clusters, max_iterations, restarts, tolerance, backend)| KMeansParams {
            clusters,
            max_iterations,
            restarts,
            tolerance,
            backend,
        },
    )
}

fn silhouette() -> impl Strategy<Value = SilhouetteRows> {
    prop_oneof![
        Just(SilhouetteRows::Exact),
        Just(SilhouetteRows::Drawn(usize::MAX)),
        (0usize..9).prop_map(SilhouetteRows::Drawn)
    ]
}

fn complete(table: &FeatureTable, columns: &[Vec<f64>], rows: &[u32]) -> Vec<u32> {
    assert_eq!(table.rows(), columns.first().map_or(0, Vec::len));
    let known = |row: &u32| columns.iter().all(|column| column[*row as usize].is_finite());
    rows.iter().copied().filter(known).collect()
}

/// Finite, each in its range, and defined where it is said to be.
fn check_metrics(m: &ClusterMetrics, centres: usize) -> Result<(), TestCaseError> {
    let at_least_0 = [
        Some(m.inertia),
        m.calinski_harabasz,
        m.davies_bouldin,
        m.ssw,
        m.ssb,
        m.cohesion,
        m.separation,
        m.silhouette_river,
        m.xie_beni,
    ];
    prop_assert!(at_least_0.into_iter().flatten().all(|v| v.is_finite() && v >= 0.0), "{:?}", m);
    prop_assert!([m.bic, m.bic_river].into_iter().flatten().all(f64::is_finite), "{:?}", m);
    prop_assert!(m.silhouette.is_none_or(|s| (-1.0..=1.0).contains(&s)), "{:?}", m);
    prop_assert!(m.rows > 0 && (1..=centres as u32).contains(&m.clusters), "{:?}", m);
    let between = (2..m.rows).contains(&u64::from(m.clusters));
    prop_assert_eq!(m.davies_bouldin.is_some(), between, "{:?}", m);
    prop_assert_eq!(m.separation.is_some(), centres > 1, "{:?}", m);
    Ok(())
}

fn check_sweep(
    sweep: &ClusterSweep,
    of: std::ops::RangeInclusive<u32>,
    complete: usize,
) -> Result<(), TestCaseError> {
    let numbers: Vec<u32> = sweep.points.iter().map(|point| point.clusters).collect();
    let expected: Vec<u32> = of.filter(|clusters| *clusters as usize <= complete).collect();
    prop_assert_eq!(&numbers, &expected);
    for point in &sweep.points {
        prop_assert!(point.inertia.is_finite() && point.inertia >= 0.0, "{:?}", sweep);
        prop_assert!(point.silhouette.is_none_or(|s| (-1.0..=1.0).contains(&s)), "{:?}", sweep);
    }
    for best in [sweep.elbow, sweep.best_silhouette].into_iter().flatten() {
        prop_assert!(numbers.contains(&best), "{:?}", sweep);
    }
    prop_assert_eq!(sweep.best_silhouette.is_some(), sweep.points.iter().any(|p| p.silhouette.is_some()));
    Ok(())
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn k_means(
        columns in columns(), weights in weights(), params in kmeans_params(), silhouette in silhouette(),
        start in prop::option::of(prop::collection::vec(prop::collection::vec(value(), 0..4), 0..12)), step in 1usize..4, seed in any::<u64>(),
    ) {
        let table = numeric_table(&columns);
        let rows: Vec<u32> = all(&table).into_iter().step_by(step).collect();
        let complete = complete(&table, &columns, &rows);
        let weights = weights.map(|weights| weights[..rows.len()].to_vec());
        let weight = |row: &u32| weights.as_ref().map_or(1.0, |weights| weights[*row as usize / step]);
        let fit = |before: Option<&KMeans>| on_threads(|| match &weights {
            Some(weights) => KMeans::fit_weighted(&params, &table, &rows, weights, seed, before),
            None => KMeans::fit(&params, &table, &rows, seed, before),
        });
        let [one, three] = fit(None);
        prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
        let bad = weights.iter().flatten().any(|w| !(*w >= 0.0 && w.is_finite()));
        let weighing = complete.iter().filter(|row| weight(row) > 0.0).count();
        match one {
            Ok(model) => {
                prop_assert!(!bad && weighing >= params.clusters as usize);
                prop_assert!(model.centres().iter().flatten().all(|c| c.is_finite()), "{:?}", model);
                prop_assert_eq!(model.centres().len(), params.clusters as usize);
                prop_assert_eq!(model.left_out(), (rows.len() - complete.len()) as u64);
                prop_assert!(model.training_rows() <= complete.len() as u64);
                let [clusters, on_three] = on_threads(|| model.assign(&table, &rows).unwrap());
                prop_assert_eq!(&clusters, &on_three);
                prop_assert_eq!(clusters.iter().flatten().count(), complete.len());
                prop_assert!(clusters.iter().flatten().all(|c| *c < params.clusters));
                let [metrics, on_three] = on_threads(|| model.metrics_with(&table, &rows, silhouette, seed).unwrap());
                prop_assert_eq!(&metrics, &on_three);
                check_metrics(&metrics, params.clusters as usize)?;
                let inertia = model.inertia(&table, &rows).unwrap();
                prop_assert!((inertia - metrics.inertia).abs() <= 1e-9 * (1.0 + inertia), "{} {}", inertia, metrics.inertia);
                prop_assert_eq!(&KMeans::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
                let [warm, on_three] = fit(Some(&model));
                prop_assert_eq!(format!("{warm:?}"), format!("{on_three:?}"));
                prop_assert!(warm.is_ok(), "{:?}", warm);
            }
            Err(error) if columns.is_empty() => prop_assert_eq!(error, Error::NoFeatures),
            Err(error) if rows.is_empty() => prop_assert_eq!(error, Error::NoRows),
            Err(Error::BadWeight { .. }) => prop_assert!(bad),
            Err(Error::BadParameter { name, .. }) => {
                prop_assert_eq!((name, params.backend, weights.is_some()), ("backend", KMeansBackend::Linfa, true));
            }
            // A weight whose share of the largest is 0 has no say either.
            Err(error) => {
                let few = matches!(error, Error::TooFewForClusters { .. });
                let tiny = complete.iter().any(|row| (0.0..1e-10).contains(&weight(row)));
                prop_assert!(few && (weighing < params.clusters as usize || tiny), "{}", error);
            }
        }
        let Some(start) = start else { return Ok(()) };
        let begun = KMeans::fit_from(&params, &table, &rows, &start);
        let fits = start.len() == params.clusters as usize && start.iter().all(|c| c.len() == columns.len());
        match begun {
            Ok(model) => prop_assert!(fits && model.centres().iter().flatten().all(|c| c.is_finite())),
            Err(Error::LengthMismatch { .. }) => prop_assert!(!fits),
            Err(error) => prop_assert!(fits, "{}", error),
        }
    }

    #[test]
    fn sweeps_of_k_means(
        columns in columns(), params in kmeans_params(), silhouette in silhouette(), least in 0u32..6, more in 0u32..6, seed in any::<u64>(),
    ) {
        let table = numeric_table(&columns);
        let rows = all(&table);
        let complete = complete(&table, &columns, &rows).len();
        let range = least..=least + more;
        let [one, three] = on_threads(|| KMeans::sweep(&params, &table, &rows, range.clone(), silhouette, seed));
        prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
        match one {
            Ok(sweep) => check_sweep(&sweep, range, complete)?,
            Err(error) if least == 0 => {
                prop_assert!(matches!(error, Error::BadParameter { name: "clusters", .. }), "{}", error);
            }
            Err(error) if columns.is_empty() => prop_assert_eq!(error, Error::NoFeatures),
            Err(error) if rows.is_empty() => prop_assert_eq!(error, Error::NoRows),
            Err(error) => {
                prop_assert_eq!(error, Error::TooFewForClusters { clusters: least, complete, rows: rows.len() });
                prop_assert!(complete < least as usize);
            }
        }
    }

    #[test]
    fn streams(
        batches in (1usize..4).prop_flat_map(|n| prop::collection::vec(
            (0usize..25).prop_flat_map(move |rows| prop::collection::vec(column(rows), n)), 1..6)),
        learner in prop_oneof![
            (1u32..6, backend()).prop_map(|(clusters, backend)| StreamLearner::MinibatchKmeans(MiniBatchKMeansParams { clusters, backend })),
            (1u32..6, prop_oneof![Just(1.0), Just(5e-324), 1e-3f64..1.0])
                .prop_map(|(clusters, halflife)| StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters, halflife })),
            kmeans_params().prop_map(StreamLearner::Kmeans),
        ],
        weights in weights(), outliers in prop_oneof![Just(Outliers::Cap), Just(Outliers::Keep)],
        half_life_batches in prop_oneof![Just(None), Just(Some(5e-324)), Just(Some(f64::MAX)), (0.01f64..10.0).prop_map(Some)],
        reseed_below in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0], silhouette in silhouette(), seed in any::<u64>(),
    ) {
        let params = ClusterStreamParams { learner, outliers, half_life_batches, reseed_below };
        let (clusters, takes_weights) = (params.clusters(), params.takes_weights());
        let mut stream = ClusterStream::new(params, (0..batches[0].len()).map(|c| format!("x{c}")).collect()).unwrap();
        for columns in &batches {
            let table = numeric_table(columns);
            let rows = all(&table);
            let complete = complete(&table, columns, &rows);
            let weights = weights.as_ref().map(|weights| &weights[..rows.len()]);
            let before = stream.clone();
            let learned = on_threads(|| {
                let mut stream = before.clone();
                let report = match weights {
                    Some(weights) => stream.partial_fit_weighted(&table, &rows, weights, seed),
                    None => stream.partial_fit(&table, &rows, seed),
                };
                (stream, report)
            });
            let [(after, report), on_three] = learned;
            prop_assert!(after.to_bytes().unwrap() == on_three.0.to_bytes().unwrap(), "{:?}", after);
            stream = after;
            match report {
                Ok(report) => {
                    prop_assert_eq!(report.left_out, (rows.len() - complete.len()) as u64);
                    prop_assert!(report.rows <= complete.len() as u64 && (weights.is_some() || report.rows == complete.len() as u64));
                    prop_assert!(report.moved.is_finite() && report.reseeded.iter().all(|c| *c < clusters), "{:?}", report);
                }
                Err(error) => {
                    prop_assert_eq!(&stream, &before, "an error changes nothing");
                    match error {
                        Error::TooFewForClusters { .. } => prop_assert!(before.centres().is_empty()),
                        Error::BadParameter { name: "backend", .. } => prop_assert!(!takes_weights && weights.is_some()),
                        Error::BadWeight { .. } => prop_assert!(weights.unwrap_or(&[]).iter().any(|w| !(*w >= 0.0 && w.is_finite()))),
                        _ => prop_assert!(false, "{}", error),
                    }
                }
            }
            prop_assert!(stream.centres().iter().flatten().chain(stream.weights()).all(|v| v.is_finite()), "{:?}", stream);
            prop_assert!(stream.caps().iter().flatten().all(|(low, high)| low.is_finite() && high.is_finite() && low < high), "{:?}", stream.caps());
            prop_assert_eq!(&ClusterStream::from_bytes(&stream.to_bytes().unwrap()).unwrap(), &stream);
            let assigned = stream.assign(&table, &rows).unwrap();
            prop_assert!(assigned.iter().flatten().all(|c| *c < clusters));
            match stream.metrics(&table, &rows, silhouette, seed) {
                Ok(metrics) => check_metrics(&metrics, clusters as usize)?,
                Err(error) => prop_assert!(error == Error::NoRows && (complete.is_empty() || stream.centres().is_empty()), "{}", error),
            }
            match stream.sweep(&table, &rows, 1..=3, silhouette, seed) {
                Ok(sweep) => check_sweep(&sweep, 1..=3, complete.len())?,
                Err(error) => prop_assert!(error == Error::NoRows && (complete.is_empty() || stream.centres().is_empty()), "{}", error),
            }
        }
    }
}
