//! The models of a stateful job: clusterings that learn from its state.

use serde::Deserialize;
use tidemill_ml::{
    ClusterStreamParams, KMeansBackend, KMeansParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers,
    StreamLearner,
};

use super::model::{AlgorithmName, ModelConfig};
use crate::error::{Error, Result};

/// What a model of a state is trained by, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct StateTraining {
    /// Learner, outliers, forgetting.
    pub params: ClusterStreamParams,
    /// Whether it learns from every batch, or from the whole state every so many batches.
    pub turn: Turn,
}

/// When a model learns, and from what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// After every batch, from its keys and a sample of the state.
    EveryBatch,
    /// After the first batch that has enough keys and after every so many, from all keys.
    WholeState {
        /// Batches from one turn to the next.
        every: u64,
    },
}

impl Turn {
    /// Whether the model learns from the whole state after this batch; one that is not trained yet tries after each.
    pub fn is_whole(self, batch_id: u64, is_trained: bool) -> bool {
        matches!(self, Turn::WholeState { every } if !is_trained || (batch_id + 1).is_multiple_of(every))
    }
}

/// Parameters of minibatch_kmeans.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MiniBatch {
    clusters: u32,
    backend: KMeansBackend,
    outliers: Outliers,
    half_life_batches: f64,
    reseed_below: f64,
}

/// Parameters of online_kmeans.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Online {
    clusters: u32,
    halflife: f64,
    outliers: Outliers,
    half_life_batches: f64,
    reseed_below: f64,
}

/// Parameters of kmeans over a state.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    clusters: u32,
    max_iterations: u32,
    restarts: u32,
    tolerance: f64,
    backend: KMeansBackend,
    outliers: Outliers,
    every: u64,
}

/// Batches after which rows weigh half, where the job does not say.
const HALF_LIFE_BATCHES: f64 = 5.0;

impl Default for MiniBatch {
    fn default() -> Self {
        let ClusterStreamParams { outliers, reseed_below, .. } = ClusterStreamParams::default();
        let MiniBatchKMeansParams { clusters, backend } = MiniBatchKMeansParams::default();
        MiniBatch { clusters, backend, outliers, half_life_batches: HALF_LIFE_BATCHES, reseed_below }
    }
}

impl Default for Online {
    fn default() -> Self {
        let ClusterStreamParams { outliers, reseed_below, .. } = ClusterStreamParams::default();
        let OnlineKMeansParams { clusters, halflife } = OnlineKMeansParams::default();
        Online { clusters, halflife, outliers, half_life_batches: HALF_LIFE_BATCHES, reseed_below }
    }
}

impl Default for Whole {
    fn default() -> Self {
        let KMeansParams { clusters, max_iterations, restarts, tolerance, backend } = KMeansParams::default();
        let outliers = Outliers::default();
        Whole { clusters, max_iterations, restarts, tolerance, backend, outliers, every: 50 }
    }
}

impl ModelConfig {
    /// What the model of a stateful job is trained by, checked.
    ///
    /// # Errors
    /// User: an algorithm that learns from rows with a label, a key that is no parameter, a value out of range.
    pub fn state_training(&self) -> Result<StateTraining> {
        let refuse = |message: String| Error::user(format!("model `{}`: {message}", self.name));
        if self.label.is_some() {
            return Err(refuse("`label` is not for clusters, which predict nothing".into()));
        }
        let defaults = ClusterStreamParams::default();
        let (params, turn) = match self.algorithm {
            AlgorithmName::MinibatchKmeans => {
                let MiniBatch { clusters, backend, outliers, half_life_batches, reseed_below } =
                    self.parameters()?;
                let learner = StreamLearner::MinibatchKmeans(MiniBatchKMeansParams { clusters, backend });
                let half_life_batches = Some(half_life_batches);
                (ClusterStreamParams { learner, outliers, half_life_batches, reseed_below }, Turn::EveryBatch)
            }
            AlgorithmName::OnlineKmeans => {
                let Online { clusters, halflife, outliers, half_life_batches, reseed_below } =
                    self.parameters()?;
                let learner = StreamLearner::OnlineKmeans(OnlineKMeansParams { clusters, halflife });
                let half_life_batches = Some(half_life_batches);
                (ClusterStreamParams { learner, outliers, half_life_batches, reseed_below }, Turn::EveryBatch)
            }
            AlgorithmName::Kmeans => {
                let Whole { clusters, max_iterations, restarts, tolerance, backend, outliers, every } =
                    self.parameters()?;
                if every == 0 {
                    return Err(refuse("`every` is at least 1 batch".into()));
                }
                let kmeans = KMeansParams { clusters, max_iterations, restarts, tolerance, backend };
                let learner = StreamLearner::Kmeans(kmeans);
                (ClusterStreamParams { learner, outliers, ..defaults }, Turn::WholeState { every })
            }
            other => {
                let what = format!("{} cannot learn from a state", other.as_str());
                return Err(refuse(what)
                    .hint("the models of a stateful job are minibatch_kmeans, online_kmeans and kmeans"));
            }
        };
        params.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(StateTraining { params, turn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(text: &str) -> Result<StateTraining> {
        let config: ModelConfig =
            toml::from_str(&format!("name = \"m\"\nfeatures = \"f.sql\"\n{text}")).unwrap();
        config.state_training()
    }

    #[test]
    fn parameters_reach_the_learner() {
        let found =
            training("algorithm = \"online_kmeans\"\nclusters = 4\nhalflife = 0.4\nhalf_life_batches = 9");
        let found = found.unwrap();
        let params = OnlineKMeansParams { clusters: 4, halflife: 0.4 };
        assert_eq!(found.params.learner, StreamLearner::OnlineKmeans(params));
        assert_eq!((found.params.half_life_batches, found.turn), (Some(9.0), Turn::EveryBatch));
        let found = training("algorithm = \"kmeans\"\nclusters = 3\nevery = 20").unwrap();
        assert_eq!((found.params.clusters(), found.turn), (3, Turn::WholeState { every: 20 }));
        for (algorithm, backend, weights) in
            [("minibatch_kmeans", "linfa", true), ("kmeans", "linfa", false), ("kmeans", "tidemill", true)]
        {
            let text = format!("algorithm = \"{algorithm}\"\nbackend = \"{backend}\"");
            assert_eq!(training(&text).unwrap().params.takes_weights(), weights, "{text}");
        }
        // Batches 0 to 2 have too few keys.
        let turns: Vec<u64> = (0..45).filter(|&batch| found.turn.is_whole(batch, batch > 3)).collect();
        assert_eq!(turns, [0, 1, 2, 3, 19, 39]);
        assert!(!Turn::EveryBatch.is_whole(0, false));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "algorithm = \"random_forest\"\nlabel = \"y\"",
            "algorithm = \"random_forest\"",
            "algorithm = \"minibatch_kmeans\"\nlabel = \"y\"",
            "algorithm = \"minibatch_kmeans\"\nclusters = 0",
            "algorithm = \"minibatch_kmeans\"\nhalf_life_batches = 0",
            "algorithm = \"online_kmeans\"\nhalflife = 2",
            "algorithm = \"kmeans\"\nevery = 0",
        ] {
            assert!(training(text).is_err(), "{text}");
        }
        let error = training("algorithm = \"minibatch_kmeans\"\nhalf_life_batch = 3").unwrap_err();
        assert!(error.next_step().unwrap().contains("`half_life_batches`"), "{error:?}");
    }
}
