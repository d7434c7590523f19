//! Settings of clusters over a state as a job file writes them: one flat table, with those of the learner among the others.

use super::params::{
    ClusterStreamParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers, StreamLearner,
};
use crate::Estimator;
use crate::cluster::{KMeansBackend, KMeansParams};
use serde::{Deserialize, Serialize};

/// Batches after which rows weigh half, where the job does not say.
const HALF_LIFE_BATCHES: f64 = 5.0;

/// Of `minibatch_kmeans`.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MiniBatchOfState {
    clusters: u32,
    backend: KMeansBackend,
    outliers: Outliers,
    half_life_batches: f64,
    reseed_below: f64,
}

/// Of `online_kmeans`.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OnlineOfState {
    clusters: u32,
    halflife: f64,
    outliers: Outliers,
    half_life_batches: f64,
    reseed_below: f64,
}

/// Of `kmeans` over a state, which forgets nothing as it learns from all of it.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WholeOfState {
    clusters: u32,
    max_iterations: u32,
    restarts: u32,
    tolerance: f64,
    backend: KMeansBackend,
    outliers: Outliers,
}

impl Default for MiniBatchOfState {
    fn default() -> Self {
        let ClusterStreamParams { outliers, reseed_below, .. } = ClusterStreamParams::default();
        let MiniBatchKMeansParams { clusters, backend } = MiniBatchKMeansParams::default();
        let half_life_batches = HALF_LIFE_BATCHES;
        MiniBatchOfState { clusters, backend, outliers, half_life_batches, reseed_below }
    }
}

impl Default for OnlineOfState {
    fn default() -> Self {
        let ClusterStreamParams { outliers, reseed_below, .. } = ClusterStreamParams::default();
        let OnlineKMeansParams { clusters, halflife } = OnlineKMeansParams::default();
        let half_life_batches = HALF_LIFE_BATCHES;
        OnlineOfState { clusters, halflife, outliers, half_life_batches, reseed_below }
    }
}

impl Default for WholeOfState {
    fn default() -> Self {
        let KMeansParams { clusters, max_iterations, restarts, tolerance, backend } = KMeansParams::default();
        let outliers = Outliers::default();
        WholeOfState { clusters, max_iterations, restarts, tolerance, backend, outliers }
    }
}

impl From<MiniBatchOfState> for Estimator {
    fn from(of: MiniBatchOfState) -> Estimator {
        let MiniBatchOfState { clusters, backend, outliers, half_life_batches, reseed_below } = of;
        let learner = StreamLearner::MinibatchKmeans(MiniBatchKMeansParams { clusters, backend });
        let half_life_batches = Some(half_life_batches);
        ClusterStreamParams { learner, outliers, half_life_batches, reseed_below }.into()
    }
}

impl From<OnlineOfState> for Estimator {
    fn from(of: OnlineOfState) -> Estimator {
        let OnlineOfState { clusters, halflife, outliers, half_life_batches, reseed_below } = of;
        let learner = StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters, halflife });
        let half_life_batches = Some(half_life_batches);
        ClusterStreamParams { learner, outliers, half_life_batches, reseed_below }.into()
    }
}

impl From<WholeOfState> for Estimator {
    fn from(of: WholeOfState) -> Estimator {
        let WholeOfState { clusters, max_iterations, restarts, tolerance, backend, outliers } = of;
        let kmeans = KMeansParams { clusters, max_iterations, restarts, tolerance, backend };
        let learner = StreamLearner::Kmeans(kmeans);
        ClusterStreamParams { learner, outliers, ..ClusterStreamParams::default() }.into()
    }
}
