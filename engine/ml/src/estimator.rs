//! What can be fitted: an algorithm with its settings, of whatever task.

use crate::forest::Categories;
use crate::supervised::SupervisedParams;
use crate::training::{ClassRows, NumberRows, weighs_the_same};
use crate::{
    Cache, Classifier, ClusterStream, ClusterStreamParams, DecisionTreeParams, Error, FeatureTable, Fitted,
    GradientBoostingParams, IsolationForest, IsolationForestParams, KMeans, KMeansParams,
    LinearRegressionParams, LogisticRegressionParams, MultiClassifier, Pipeline, RandomForestParams,
    Regressor, Rows, SgdClassifierParams, Target, TargetKind, TrainingRows,
};

/// An algorithm with its settings. Made of the settings of any of them, or [read](crate::Algorithm::read) from a job file.
///
/// ```
/// use tidemill_ml::{Estimator, KMeansParams, SgdClassifierParams, TargetKind};
///
/// let clusters = Estimator::from(KMeansParams { clusters: 3, ..KMeansParams::default() });
/// assert_eq!(clusters.targets(), [TargetKind::None]);
/// assert_eq!(Estimator::from(SgdClassifierParams::default()).targets(), [TargetKind::Binary]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Estimator {
    /// Learns a target: what model it becomes is the target's to say.
    Supervised(SupervisedParams),
    /// Groups rows, all of which are at hand.
    KMeans(KMeansParams),
    /// Groups rows that come batch by batch.
    ClusterStream(ClusterStreamParams),
    /// Tells how far rows are apart from others.
    IsolationForest(IsolationForestParams),
    /// Steps, and what is fitted after them.
    Pipeline(Pipeline),
}

macro_rules! estimator_from {
    ($($params:ty => $variant:expr),* $(,)?) => {$(
        impl From<$params> for Estimator {
            fn from(params: $params) -> Estimator {
                $variant(params)
            }
        }
    )*};
}

estimator_from! {
    SupervisedParams => Estimator::Supervised,
    KMeansParams => Estimator::KMeans,
    ClusterStreamParams => Estimator::ClusterStream,
    IsolationForestParams => Estimator::IsolationForest,
    Pipeline => Estimator::Pipeline,
    LogisticRegressionParams => |params| Estimator::Supervised(SupervisedParams::LogisticRegression(params)),
    LinearRegressionParams => |params| Estimator::Supervised(SupervisedParams::LinearRegression(params)),
    DecisionTreeParams => |params| Estimator::Supervised(SupervisedParams::DecisionTree(params)),
    RandomForestParams => |params| Estimator::Supervised(SupervisedParams::RandomForest(params)),
    GradientBoostingParams => |params| Estimator::Supervised(SupervisedParams::GradientBoosting(params)),
    SgdClassifierParams => |params| Estimator::Supervised(SupervisedParams::SgdClassifier(params)),
}

impl Estimator {
    /// What it can learn to predict; clusters and outlier scores learn [`TargetKind::None`].
    pub fn targets(&self) -> &'static [TargetKind] {
        match self {
            Estimator::Supervised(params) => params.algorithm().info().targets,
            Estimator::KMeans(_) | Estimator::ClusterStream(_) | Estimator::IsolationForest(_) => {
                &[TargetKind::None]
            }
            Estimator::Pipeline(pipeline) => pipeline.targets(),
        }
    }

    /// Whether bins of the rows are of use to it.
    pub(crate) fn takes_bins(&self) -> bool {
        matches!(
            self,
            Estimator::Supervised(
                SupervisedParams::RandomForest(_)
                    | SupervisedParams::DecisionTree(_)
                    | SupervisedParams::GradientBoosting(_)
            )
        )
    }

    /// Bytes of memory that a fit on so many rows of a table takes for rows of its own, about and at most: a pipeline's
    /// steps make a table of what they are given, and trees of two classes that make numbers of texts have bins of their own. 0
    /// for other estimators, which read a table in blocks; the matrix of linfa's is not counted.
    pub fn bytes_to_fit(&self, table: &FeatureTable, rows: usize) -> u64 {
        let categories = match self {
            Estimator::Pipeline(pipeline) => return pipeline.bytes_to_fit(table, rows),
            Estimator::Supervised(SupervisedParams::RandomForest(params)) => params.categories,
            Estimator::Supervised(SupervisedParams::DecisionTree(params)) => params.categories,
            Estimator::Supervised(SupervisedParams::GradientBoosting(params)) => params.categories,
            _ => return 0,
        };
        let has_texts = !table.categorical_names().is_empty();
        if has_texts && categories != Categories::Native {
            (table.rows() * table.features()) as u64
        } else {
            0
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Estimator::Supervised(params) => params.validate(),
            Estimator::KMeans(params) => params.validate(),
            Estimator::ClusterStream(params) => params.validate(),
            Estimator::IsolationForest(params) => params.validate(),
            Estimator::Pipeline(pipeline) => pipeline.validate(),
        }
    }

    /// Fits on these rows. `seed` decides every random choice; the result does not depend on the number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTarget`] for a target that it cannot learn.
    ///
    /// Where there is nothing to learn [`Error::NoFeatures`], [`Error::NoRows`], [`Error::TooFewRows`] (one row, of classes),
    /// [`Error::OneClass`] and its kin for many classes; for arguments that do not fit [`Error::BadParameter`],
    /// [`Error::LengthMismatch`], [`Error::RowOutOfRange`], [`Error::RowsNotAscending`], [`Error::BadTarget`],
    /// [`Error::BadWeight`], [`Error::TooManyRows`] beyond 2²⁸ of them, and [`Error::NotOfAlgorithm`] where weights differ and the
    /// algorithm knows none. [`Error::Solver`] if no finite model was found, which may be with `backend = "linfa"`, with an
    /// `sgd_classifier` whose steps are too long, and with an `alpha` beyond 1e100.
    ///
    /// Of clusters and outliers those of [`KMeans::fit`], [`ClusterStream::partial_fit`] and [`IsolationForest::fit`];
    /// [`Error::NoCompleteRows`] where batches of clusters have a missing value in each row; [`Error::InStep`] where a step of a
    /// pipeline cannot learn.
    pub fn fit(&self, rows: &Rows<'_>, seed: u64) -> Result<Fitted, Error> {
        self.refit(rows, seed, None, &mut Cache::new())
    }

    /// Fits on these rows after a model of the same settings, `before`, was fitted on the first ones of them. `cache` is what
    /// the last fit left, extended to these rows: the model is the same without.
    ///
    /// - Logistic regression begins at the weights of `before` if it has the same features, and counts only new rows if it
    ///   learned from the first ones of these with the same seed.
    /// - Where it has the same settings, seed and bins, and learned from the first ones of these rows, ten elevenths of them
    ///   or more, gradient boosting keeps the first three quarters of its trees; and a forest whose trees take turns grows a
    ///   quarter of them anew and counts all rows in the leaves of the others. Trees take turns from 2,048 rows on where the
    ///   counts of less than three quarters of their levels fit into 16 MiB, which the cache keeps of them at most, or splits
    ///   try a quarter of the features or fewer; boosting keeps trees from 2,048 rows on. Bins are other ones whenever the
    ///   rows have doubled, where a feature has left them ([`Cache`]), and below 256 rows; those of encoded text columns whenever
    ///   the leading four bits of the number of rows change.
    /// - Other forests and trees come out as from nothing: the cache alone makes their fit sooner.
    ///
    /// K-means begins where that is of use to it, as [`KMeans::fit`] says; clusters of batches learn these rows on top of what `before` has learned, where it has the same settings and features. A pipeline's
    /// steps learn from all rows again, and what is after them begins at the model in `before`; before clusters of batches
    /// they learn on, as these do; what is after steps that learned the same again goes on from the cache, too. Anything else is
    /// ignored.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Estimator::fit).
    pub fn refit(
        &self,
        rows: &Rows<'_>,
        seed: u64,
        before: Option<&Fitted>,
        cache: &mut Cache,
    ) -> Result<Fitted, Error> {
        match self {
            Estimator::Supervised(params) => supervised(params, rows, seed, before, cache),
            Estimator::KMeans(params) => {
                let before = match before {
                    Some(Fitted::KMeans(model)) => Some(model),
                    _ => None,
                };
                let fitted = match rows.weights_of_rows()? {
                    Some(weights) => {
                        KMeans::fit_weighted(params, rows.table, rows.rows, &weights, seed, before)
                    }
                    None => KMeans::fit(params, rows.table, rows.rows, seed, before),
                };
                fitted.map(Fitted::KMeans)
            }
            Estimator::ClusterStream(params) => {
                let stream = match before {
                    Some(fitted @ Fitted::ClusterStream(model)) if self.goes_on(fitted, rows) => {
                        model.clone()
                    }
                    _ => ClusterStream::new(params.clone(), rows.table.numeric_names().to_vec())?,
                };
                learned(stream, rows, seed, cache).map(Fitted::ClusterStream)
            }
            Estimator::IsolationForest(params) => {
                rows.check()?;
                if !weighs_the_same(rows.rows, rows.weights) {
                    let algorithm = self.algorithm().name();
                    return Err(Error::NotOfAlgorithm { algorithm, what: "weights of rows" });
                }
                IsolationForest::fit(params, rows.table, rows.rows, seed).map(Fitted::IsolationForest)
            }
            Estimator::Pipeline(pipeline) => {
                let before = match before {
                    Some(Fitted::Pipeline(fitted)) => Some(&**fitted),
                    _ => None,
                };
                let fitted = pipeline.fit(rows, seed, before, cache);
                fitted.map(|fitted| Fitted::Pipeline(Box::new(fitted)))
            }
        }
    }
}

/// The one place that the kind of a target decides what is fitted.
fn supervised(
    params: &SupervisedParams,
    rows: &Rows<'_>,
    seed: u64,
    before: Option<&Fitted>,
    cache: &mut Cache,
) -> Result<Fitted, Error> {
    let Rows { table, target, rows, weights } = *rows;
    cache.with_trees(|bins, counts| match target {
        Target::None => Err(Error::other_target(params.algorithm(), TargetKind::None)),
        Target::Binary(labels) => {
            let before = before.and_then(Fitted::as_classifier);
            let rows = TrainingRows { table, labels, rows, weights, bins: Some(bins) };
            Classifier::refit(params, &rows, seed, before, counts).map(Fitted::Classifier)
        }
        Target::Classes { labels, classes } => {
            let before = match before {
                Some(Fitted::MultiClassifier(model)) => Some(model),
                _ => None,
            };
            let rows = ClassRows { table, labels, classes, rows, weights, bins: Some(bins) };
            MultiClassifier::fit(params, &rows, seed, before).map(Fitted::MultiClassifier)
        }
        Target::Numbers(values) => {
            let before = match before {
                Some(Fitted::Regressor(model)) => Some(model),
                _ => None,
            };
            let rows = NumberRows { table, values, rows, weights, bins: Some(bins) };
            Regressor::fit(params, &rows, seed, before).map(Fitted::Regressor)
        }
    })
}

/// The stream after these rows.
pub(crate) fn learned(
    mut stream: ClusterStream,
    rows: &Rows<'_>,
    seed: u64,
    cache: &mut Cache,
) -> Result<ClusterStream, Error> {
    let report = match rows.weights_of_rows()? {
        Some(weights) if stream.params().takes_weights() => {
            stream.partial_fit_weighted(rows.table, rows.rows, &weights, seed)?
        }
        _ => stream.partial_fit(rows.table, rows.rows, seed)?,
    };
    cache.set_reseeded(report.reseeded);
    if report.rows == 0 { Err(Error::NoCompleteRows) } else { Ok(stream) }
}
