//! Fits of two classes, as the tests of classifiers ask for them: an [`Estimator`] on [`Rows`], and the classifier in what
//! it makes.

// Each test file takes what it needs.
#![allow(dead_code, clippy::panic)]

use tidemill_ml::{
    Cache, Classifier, Error, Estimator, FeatureTable, Fitted, Rows, Scores, SupervisedParams, Target,
};

/// Rows with their labels, what they weigh, and what is kept of them.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRows<'a> {
    pub table: &'a FeatureTable,
    pub labels: &'a [bool],
    pub rows: &'a [u32],
    pub weights: Option<&'a [f64]>,
    /// Extended to the rows.
    pub bins: Option<&'a Cache>,
}

impl<'a> TrainingRows<'a> {
    /// Rows that weigh the same.
    pub fn new(table: &'a FeatureTable, labels: &'a [bool], rows: &'a [u32]) -> TrainingRows<'a> {
        TrainingRows { table, labels, rows, weights: None, bins: None }
    }
}

/// A fit on rows that weigh the same.
pub fn fit(
    params: &SupervisedParams,
    table: &FeatureTable,
    labels: &[bool],
    rows: &[u32],
    seed: u64,
    before: Option<&Classifier>,
) -> Result<Classifier, Error> {
    fit_rows(params, &TrainingRows::new(table, labels, rows), seed, before)
}

/// A fit on rows that may weigh differently.
pub fn fit_rows(
    params: &SupervisedParams,
    training: &TrainingRows<'_>,
    seed: u64,
    before: Option<&Classifier>,
) -> Result<Classifier, Error> {
    refit(params, training, seed, before, &mut Cache::new())
}

/// A fit that goes on from what the last one left.
pub fn refit(
    params: &SupervisedParams,
    training: &TrainingRows<'_>,
    seed: u64,
    before: Option<&Classifier>,
    cache: &mut Cache,
) -> Result<Classifier, Error> {
    let TrainingRows { table, labels, rows, weights, bins } = *training;
    cache.share_rows(bins.unwrap_or(&Cache::new()));
    let rows = Rows { weights, ..Rows::new(table, Target::Binary(labels), rows) };
    let before = before.cloned().map(Fitted::Classifier);
    match Estimator::from(params.clone()).refit(&rows, seed, before.as_ref(), cache)? {
        Fitted::Classifier(model) => Ok(model),
        other => panic!("{other:?}"),
    }
}

/// The model after new rows.
pub fn partial_fit(
    model: &Classifier,
    table: &FeatureTable,
    labels: &[bool],
    rows: &[u32],
    seed: u64,
) -> Result<Classifier, Error> {
    let model = Fitted::Classifier(model.clone());
    match model.partial_fit(&Rows::new(table, Target::Binary(labels), rows), seed)? {
        Fitted::Classifier(model) => Ok(model),
        other => panic!("{other:?}"),
    }
}

/// What the model is worth on rows, of which something is kept.
pub fn score_kept(
    model: &Classifier,
    training: &TrainingRows<'_>,
    rows: &[u32],
    kept: &Cache,
) -> Result<Scores, Error> {
    let rows = Rows::new(training.table, Target::Binary(training.labels), rows);
    Fitted::Classifier(model.clone()).score_kept(&rows, 0, kept)
}
