//! smartcore's tree and forest as a reference (`backend = "smartcore"`).
//!
//! They learn from the same bins as ours, as numbers: missing values are the largest, categories stand in the order of
//! their frequency. They know no probabilities: a forest gives the class that most trees vote for, so a score is 0 or 1,
//! and AUC is that of one threshold. There are no leaves, no importances and no weights to be had, and one thread does it
//! all.

mod nodes;

use super::params::{DecisionTreeParams, RandomForestParams};
use crate::Error;
use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::kept::bins_of;
use crate::training::TrainingRows;
use serde::{Deserialize, Serialize};

/// A model of smartcore's with the bins it learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reference {
    forest: bool,
    bins: TableBins,
    /// smartcore's model in postcard.
    payload: Vec<u8>,
}

impl Reference {
    /// Fits a forest on rows that the caller has checked.
    pub(crate) fn fit(
        params: &RandomForestParams,
        training: &TrainingRows<'_>,
        seed: u64,
    ) -> Result<Reference, Error> {
        let (bins, binned) = bins_of(training.table, training.rows);
        let payload = backend::fit_forest(params, &binned, labels(training), seed)?;
        Ok(Reference { forest: true, bins, payload })
    }

    /// Fits one tree; arguments as for [`fit`](Reference::fit).
    pub(crate) fn fit_tree(
        params: &DecisionTreeParams,
        training: &TrainingRows<'_>,
        seed: u64,
    ) -> Result<Reference, Error> {
        let (bins, binned) = bins_of(training.table, training.rows);
        let payload = backend::fit_tree(params, &binned, labels(training), seed)?;
        Ok(Reference { forest: false, bins, payload })
    }

    pub(crate) fn is_forest(&self) -> bool {
        self.forest
    }

    /// How features become bins.
    pub(crate) fn bins(&self) -> &TableBins {
        &self.bins
    }

    /// 1 where the vote is for the label, 0 elsewhere.
    pub(crate) fn predict(&self, binned: &BinnedRows) -> Result<Vec<f64>, Error> {
        if binned.bins.is_empty() {
            return Ok(Vec::new());
        }
        backend::predict(self.forest, &self.payload, binned)
    }

    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.bins.0.len() == numeric + categorical
            && self.bins.is_valid(numeric)
            && backend::is_valid(self.forest, &self.payload, self.bins.0.len())
    }
}

fn labels(training: &TrainingRows<'_>) -> Vec<u32> {
    training.rows.iter().map(|&row| u32::from(training.labels[row as usize])).collect()
}

mod backend {
    use super::*;
    use smartcore::ensemble::random_forest_classifier::{
        RandomForestClassifier, RandomForestClassifierParameters,
    };
    use smartcore::linalg::basic::matrix::DenseMatrix;
    use smartcore::tree::decision_tree_classifier::{
        DecisionTreeClassifier, DecisionTreeClassifierParameters,
    };

    type Matrix = DenseMatrix<f32>;
    type ForestModel = RandomForestClassifier<f32, u32, Matrix, Vec<u32>>;
    type TreeModel = DecisionTreeClassifier<f32, u32, Matrix, Vec<u32>>;

    fn matrix(binned: &BinnedRows) -> Result<Matrix, Error> {
        let values = binned.bins.iter().map(|&bin| f32::from(bin)).collect();
        DenseMatrix::new(binned.rows(), binned.features, values, false).map_err(solver)
    }

    fn solver(error: impl ToString) -> Error {
        Error::Solver(error.to_string())
    }

    fn encode(model: &impl Serialize) -> Result<Vec<u8>, Error> {
        postcard::to_stdvec(model).map_err(|error| Error::Encode(error.to_string()))
    }

    pub(super) fn fit_forest(
        params: &RandomForestParams,
        binned: &BinnedRows,
        labels: Vec<u32>,
        seed: u64,
    ) -> Result<Vec<u8>, Error> {
        let tried = ((binned.features as f64 * params.max_features) as usize).clamp(1, binned.features);
        let parameters = RandomForestClassifierParameters {
            max_depth: Some(params.max_depth as u16),
            min_samples_leaf: params.min_samples_leaf as usize,
            n_trees: params.trees as u16,
            m: Some(tried),
            seed,
            ..RandomForestClassifierParameters::default()
        };
        encode(&ForestModel::fit(&matrix(binned)?, &labels, parameters).map_err(solver)?)
    }

    pub(super) fn fit_tree(
        params: &DecisionTreeParams,
        binned: &BinnedRows,
        labels: Vec<u32>,
        seed: u64,
    ) -> Result<Vec<u8>, Error> {
        let parameters = DecisionTreeClassifierParameters {
            max_depth: Some(params.max_depth as u16),
            min_samples_leaf: params.min_samples_leaf as usize,
            seed: Some(seed),
            ..DecisionTreeClassifierParameters::default()
        };
        encode(&TreeModel::fit(&matrix(binned)?, &labels, parameters).map_err(solver)?)
    }

    pub(super) fn is_valid(forest: bool, payload: &[u8], features: usize) -> bool {
        if forest { nodes::is_forest(payload, features) } else { nodes::is_tree(payload, features) }
    }

    pub(super) fn predict(forest: bool, payload: &[u8], binned: &BinnedRows) -> Result<Vec<f64>, Error> {
        let corrupt = |_| Error::CorruptModel("payload is not a model of smartcore");
        let rows = matrix(binned)?;
        let votes = if forest {
            postcard::from_bytes::<ForestModel>(payload).map_err(corrupt)?.predict(&rows)
        } else {
            postcard::from_bytes::<TreeModel>(payload).map_err(corrupt)?.predict(&rows)
        };
        Ok(votes.map_err(solver)?.into_iter().map(f64::from).collect())
    }
}
