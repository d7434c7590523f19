//! One clustering of a state: a model of `tidemill-ml` that caps, standardises and clusters, and its steps.

use tidemill_ml::{ClusterStream, FeatureTable, SilhouetteRows};

use super::model::Centre;
use super::sample::seed_of;
use crate::project::{ModelConfig, StateTraining};
use crate::records::Scores;

/// A trained clustering.
pub(crate) struct StateClusters(ClusterStream);

fn all(table: &FeatureTable) -> Vec<u32> {
    (0u32..).take(table.rows()).collect()
}

impl StateClusters {
    /// The model after `some` of these rows, with their weights if it takes any, or all of weight 1, `before` having learned
    /// the others; one with other settings or columns begins anew. The reason where it cannot be.
    pub(super) fn train(
        config: &ModelConfig,
        training: &StateTraining,
        rows: &FeatureTable,
        some: Option<(&[u32], &[f64])>,
        batch_id: u64,
        before: Option<&StateClusters>,
    ) -> Result<StateClusters, String> {
        let goes_on = |model: &&StateClusters| {
            model.0.params() == &training.params && model.0.numeric_names() == rows.numeric_names()
        };
        let mut stream = match before.filter(goes_on) {
            Some(model) => model.0.clone(),
            None => ClusterStream::new(training.params.clone(), rows.numeric_names().to_vec())
                .map_err(|e| e.to_string())?,
        };
        let seed = seed_of(config.seed, batch_id, "fit");
        let report = match some {
            Some((numbers, weights)) if training.params.takes_weights() => {
                stream.partial_fit_weighted(rows, numbers, weights, seed)
            }
            Some((numbers, _)) => stream.partial_fit(rows, numbers, seed),
            None => stream.partial_fit(rows, &all(rows), seed),
        };
        let report = report.map_err(|e| e.to_string())?;
        if report.rows == 0 {
            return Err("there is no row without a missing value to learn from".to_owned());
        }
        if !report.reseeded.is_empty() {
            tracing::info!(model = config.name, batch_id, clusters = ?report.reseeded, "clusters begun again");
        }
        Ok(StateClusters(stream))
    }

    /// Scores on some of these rows, exactly; `None` where they define none.
    pub(crate) fn score(&self, rows: &FeatureTable, some: &[u32], seed: u64) -> Option<Scores> {
        self.0.metrics(rows, some, SilhouetteRows::Exact, seed).ok().map(Scores::Clusters)
    }

    /// The cluster of each row; `None` for one with a missing value.
    ///
    /// # Errors
    /// Of other columns than it learned.
    pub(crate) fn assign(&self, rows: &FeatureTable) -> Result<Vec<Option<u32>>, tidemill_ml::Error> {
        self.0.assign(rows, &all(rows))
    }

    /// Whether it has learned from any row: earlier versions kept models that had not.
    pub(super) fn is_trained(&self) -> bool {
        !self.0.centres().is_empty()
    }

    /// The centres, in the features' own units; `rows` of each is what the cluster learned from, less what it forgot.
    pub(super) fn centres(&self, name: &str) -> Vec<Centre> {
        let mut centres = Vec::new();
        for ((cluster, centre), weight) in (0u32..).zip(self.0.centres()).zip(self.0.weights()) {
            for (feature, &value) in self.0.numeric_names().iter().zip(centre) {
                let (model, feature) = (name.to_owned(), feature.clone());
                centres.push(Centre { model, cluster, rows: weight.round() as u64, feature, value });
            }
        }
        centres
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, tidemill_ml::Error> {
        self.0.to_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<StateClusters, tidemill_ml::Error> {
        ClusterStream::from_bytes(bytes).map(StateClusters)
    }
}
