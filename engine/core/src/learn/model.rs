//! A trained model of either kind, and how each is trained and scored on a history.

use tidemill_ml::{BinaryMetrics, Classifier, KMeans, KeptCounts, TrainingRows};

use super::history::History;
use crate::error::Result;
use crate::lake::{Lake, batch_file_name};
use crate::project::{AlgorithmName, Training};
use crate::records::{FileEntry, Scores};
use crate::table::publish::stage;

/// A trained model.
pub(super) enum Model {
    Classifier(Classifier),
    Clusters(KMeans),
}

/// One coordinate of one cluster's centre, in the feature's own unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// The model.
    pub model: String,
    /// Number of the cluster, from 0.
    pub cluster: u32,
    /// Training rows in the cluster.
    pub rows: u64,
    /// The feature.
    pub feature: String,
    /// The coordinate.
    pub value: f64,
}

/// How much of what a model's splits gained is due to a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The model.
    pub model: String,
    /// The feature.
    pub feature: String,
    /// Its share; those of a model sum to 1.
    pub value: f64,
}

/// Stages the file of a model that a batch trained.
///
/// # Errors
/// Storage.
pub(super) fn stage_model(
    lake: &Lake,
    schema_name: &str,
    name: &str,
    batch_id: u64,
    content: &[u8],
) -> Result<FileEntry> {
    let path = format!("{schema_name}/_models/{name}/{}", batch_file_name(batch_id, "model"));
    stage(lake, &format!("model:{name}"), &path, content, 0)
}

impl Model {
    /// Trains on the rows that are not held out; the reason if that cannot be done. `counts` are those that this model's
    /// last training on this history left: they change the time that it takes, and nothing else.
    pub(super) fn train(
        training: &Training,
        history: &History,
        seed: u64,
        warm_start: Option<&Model>,
        counts: &mut KeptCounts,
    ) -> Result<Model, String> {
        let (features, rows) = (&history.features, &history.training);
        match training {
            Training::Classifier(algorithm) => {
                let before = match warm_start {
                    Some(Model::Classifier(model)) => Some(model),
                    _ => None,
                };
                let rows = TrainingRows {
                    bins: Some(&history.bins),
                    ..TrainingRows::new(features, &history.labels, rows)
                };
                Classifier::refit(algorithm, &rows, seed, before, counts)
                    .map(Model::Classifier)
                    .map_err(|e| e.to_string())
            }
            Training::Clusters(params) => {
                let before = match warm_start {
                    Some(Model::Clusters(model)) => Some(model),
                    _ => None,
                };
                KMeans::fit(params, features, rows, seed, before)
                    .map(Model::Clusters)
                    .map_err(|e| e.to_string())
            }
        }
    }

    /// Scores on these rows; `None` where they define no score (no rows).
    pub(super) fn score(&self, history: &History, rows: &[u32], seed: u64) -> Option<Scores> {
        match self {
            Model::Classifier(model) => {
                let labels: Vec<bool> =
                    rows.iter().filter_map(|&row| history.labels.get(row as usize).copied()).collect();
                let probabilities = model.predict_proba_kept(&history.features, rows, &history.bins).ok()?;
                BinaryMetrics::compute(&labels, &probabilities).ok().map(Scores::Classes)
            }
            Model::Clusters(model) => model.metrics(&history.features, rows, seed).ok().map(Scores::Clusters),
        }
    }

    /// The centres, if it has any.
    pub(super) fn centres(&self, name: &str) -> Vec<Centre> {
        let Model::Clusters(model) = self else { return Vec::new() };
        let mut centres = Vec::new();
        for ((cluster, centre), &rows) in (0u32..).zip(model.centres()).zip(model.sizes()) {
            for (feature, value) in model.numeric_names().iter().zip(centre) {
                centres.push(Centre {
                    model: name.to_owned(),
                    cluster,
                    rows,
                    feature: feature.clone(),
                    value,
                });
            }
        }
        centres
    }

    /// What the trees lean on, if there are any.
    pub(super) fn importances(&self, name: &str) -> Vec<Importance> {
        let Model::Classifier(model) = self else { return Vec::new() };
        let features = model.numeric_names().iter().chain(model.categorical_names());
        let gains = model.gain_importances().unwrap_or_default();
        let of = |(feature, &value): (&String, &f64)| Importance {
            model: name.to_owned(),
            feature: feature.clone(),
            value,
        };
        features.zip(gains).map(of).collect()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, tidemill_ml::Error> {
        match self {
            Model::Classifier(model) => model.to_bytes(),
            Model::Clusters(model) => model.to_bytes(),
        }
    }

    pub(super) fn from_bytes(algorithm: AlgorithmName, bytes: &[u8]) -> Result<Model, tidemill_ml::Error> {
        match algorithm {
            AlgorithmName::Kmeans => KMeans::from_bytes(bytes).map(Model::Clusters),
            _ => Classifier::from_bytes(bytes).map(Model::Classifier),
        }
    }
}
