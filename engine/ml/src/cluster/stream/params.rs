//! Settings of clusters that learn from batches.

use crate::Error;
use crate::cluster::{KMeansBackend, KMeansParams};
use serde::{Deserialize, Serialize};

/// Settings of [`ClusterStream`](crate::ClusterStream).
///
/// ```
/// use tidemill_ml::ClusterStreamParams;
///
/// let params = ClusterStreamParams { half_life_batches: Some(1.0), ..ClusterStreamParams::default() };
/// assert!(params.validate().is_ok() && params.clusters() == 8);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterStreamParams {
    /// Who moves the centres.
    pub learner: StreamLearner,
    /// What is done with values far outside of the quartiles.
    pub outliers: Outliers,
    /// Batches after which rows weigh half in quartiles, means, deviations and weights of clusters, above 0; `None`
    /// forgets nothing. The full learner takes all of these from its last rows alone.
    pub half_life_batches: Option<f64>,
    /// A cluster is begun again if its weight is below this share of the mean weight of clusters, 0 (never) to 1.
    pub reseed_below: f64,
}

/// What is done with values below Q1 - 1.5 IQR or above Q3 + 1.5 IQR.
///
/// ```
/// assert_eq!(tidemill_ml::ClusterStreamParams::default().outliers, tidemill_ml::Outliers::Cap);
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Outliers {
    /// They count as that bound (Tukey 1977); a column whose interquartile range is 0 has no bounds.
    #[default]
    Cap,
    /// They stay as they are.
    Keep,
}

/// Who moves the centres of a [`ClusterStream`](crate::ClusterStream).
///
/// ```
/// use tidemill_ml::{ClusterStreamParams, OnlineKMeansParams, StreamLearner};
///
/// let learner = StreamLearner::OnlineKmeans(OnlineKMeansParams::default());
/// assert_eq!(ClusterStreamParams { learner, ..ClusterStreamParams::default() }.clusters(), 5);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum StreamLearner {
    /// One mini-batch step a batch.
    MinibatchKmeans(MiniBatchKMeansParams),
    /// River's sequential k-means, one step a row.
    OnlineKmeans(OnlineKMeansParams),
    /// Lloyd's iterations on the rows given, from the last centres on.
    Kmeans(KMeansParams),
}

impl Default for StreamLearner {
    fn default() -> Self {
        StreamLearner::MinibatchKmeans(MiniBatchKMeansParams::default())
    }
}

/// Settings of mini-batch k-means (Sculley 2010).
///
/// ```
/// assert_eq!(tidemill_ml::MiniBatchKMeansParams::default().clusters, 8);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MiniBatchKMeansParams {
    /// Clusters, 1 to 10,000.
    pub clusters: u32,
    /// Who does the step: `Linfa` is linfa-clustering's `fit_with`, called once for the rows of each weight. The step is the
    /// same one.
    pub backend: KMeansBackend,
}

impl Default for MiniBatchKMeansParams {
    fn default() -> Self {
        MiniBatchKMeansParams { clusters: 8, backend: KMeansBackend::default() }
    }
}

/// Settings of sequential k-means as River has it (`river.cluster.KMeans`).
///
/// ```
/// assert_eq!(tidemill_ml::OnlineKMeansParams::default().halflife, 0.5);
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OnlineKMeansParams {
    /// Clusters, 1 to 10,000.
    pub clusters: u32,
    /// Share of the way to a row that its nearest centre moves, above 0 and at most 1. River's name for it.
    pub halflife: f64,
}

impl Default for OnlineKMeansParams {
    fn default() -> Self {
        OnlineKMeansParams { clusters: 5, halflife: 0.5 }
    }
}

impl Default for ClusterStreamParams {
    fn default() -> Self {
        ClusterStreamParams {
            learner: StreamLearner::default(),
            outliers: Outliers::default(),
            half_life_batches: Some(5.0),
            reseed_below: 0.01,
        }
    }
}

impl ClusterStreamParams {
    /// Clusters asked for.
    pub fn clusters(&self) -> u32 {
        match &self.learner {
            StreamLearner::MinibatchKmeans(params) => params.clusters,
            StreamLearner::OnlineKmeans(params) => params.clusters,
            StreamLearner::Kmeans(params) => params.clusters,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        let clusters = self.clusters();
        if !(1..=10_000).contains(&clusters) {
            return bad("clusters", clusters.to_string(), "from 1 to 10000");
        }
        match &self.learner {
            StreamLearner::MinibatchKmeans(_) => {}
            StreamLearner::Kmeans(params) => params.validate()?,
            StreamLearner::OnlineKmeans(params) => {
                if !(params.halflife > 0.0 && params.halflife <= 1.0) {
                    return bad("halflife", params.halflife.to_string(), "above 0 and at most 1");
                }
            }
        }
        if let Some(batches) = self.half_life_batches.filter(|b| !(*b > 0.0 && b.is_finite())) {
            return bad("half_life_batches", batches.to_string(), "above 0");
        }
        if !(0.0..=1.0).contains(&self.reseed_below) {
            return bad("reseed_below", self.reseed_below.to_string(), "from 0 to 1");
        }
        Ok(())
    }

    /// Whether rows can have weights: linfa's full k-means takes none.
    pub fn takes_weights(&self) -> bool {
        match &self.learner {
            StreamLearner::Kmeans(params) => params.backend != KMeansBackend::Linfa,
            StreamLearner::MinibatchKmeans(_) | StreamLearner::OnlineKmeans(_) => true,
        }
    }

    /// What a batch leaves of the weight of the rows before it.
    pub(super) fn remembered(&self) -> f64 {
        match (&self.learner, self.half_life_batches) {
            (StreamLearner::Kmeans(_), _) => 0.0,
            (_, Some(batches)) => 0.5f64.powf(1.0 / batches),
            (_, None) => 1.0,
        }
    }
}
