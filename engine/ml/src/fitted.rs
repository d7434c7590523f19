//! What a fit makes: a model of any task, which predicts, is scored, learns on and is a file.

use crate::estimator::learned;
use crate::file::{Kind, kind_of};
use crate::training::{check_finite, counts_of};
use crate::{
    Algorithm, BinaryMetrics, Cache, ClassMetrics, Classifier, ClusterSpace, ClusterStream, Error,
    FeatureTable, FittedPipeline, IsolationForest, KMeans, MultiClassifier, NumberMetrics, OutlierMetrics,
    Regressor, Rows, Scores, SilhouetteRows, Target, Task,
};

/// A fitted model.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, KMeansParams, Prediction, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 90.0, 95.0, f64::NAN]);
/// table.finish_append()?;
/// let estimator = Estimator::from(KMeansParams { clusters: 2, ..KMeansParams::default() });
/// let fitted = estimator.fit(&Rows::new(&table, Target::None, &[0, 1, 2, 3]), 42)?;
/// let Prediction::Clusters(clusters) = fitted.predict(&table, &[0, 1, 2, 4])? else { unreachable!() };
/// assert!(clusters[0] == clusters[1] && clusters[0] != clusters[2]);
/// assert_eq!(clusters[3], None, "a row with a missing value has no cluster");
/// assert_eq!(Fitted::from_bytes(&fitted.to_bytes()?)?, fitted);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fitted {
    /// Tells two classes apart.
    Classifier(Classifier),
    /// Tells many classes apart.
    MultiClassifier(MultiClassifier),
    /// Says a number.
    Regressor(Regressor),
    /// Groups rows, all of which were at hand.
    KMeans(KMeans),
    /// Groups rows that come batch by batch.
    ClusterStream(ClusterStream),
    /// Tells how far rows are apart from others.
    IsolationForest(IsolationForest),
    /// Steps, and the model after them.
    Pipeline(Box<FittedPipeline>),
}

/// What a model says of rows, one value for each, in their order.
///
/// ```
/// use tidemill_ml::Prediction;
///
/// assert_eq!(Prediction::Probabilities(vec![0.2, 0.7]).len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// Of the class that is looked for, 0 to 1.
    Probabilities(Vec<f64>),
    /// Of each class, 0 to 1, of sum 1 in each row.
    Classes {
        /// How many classes there are.
        classes: u32,
        /// Rows × classes, row-major.
        probabilities: Vec<f64>,
    },
    /// Numbers, finite.
    Numbers(Vec<f64>),
    /// The number of the cluster, from 0; `None` for a row with a missing value.
    Clusters(Vec<Option<u32>>),
    /// How far rows are apart from others.
    Outliers {
        /// 0 to 1; the greater, the farther.
        scores: Vec<f64>,
        /// Outliers are rows of a greater score.
        threshold: f64,
    },
}

impl Prediction {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Prediction::Probabilities(values) | Prediction::Numbers(values) => values.len(),
            Prediction::Classes { classes, probabilities } => {
                probabilities.len() / (*classes as usize).max(1)
            }
            Prediction::Clusters(values) => values.len(),
            Prediction::Outliers { scores, .. } => scores.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The centre of one cluster.
///
/// ```
/// let centre = tidemill_ml::Centre { rows: 12.0, values: vec![1.5] };
/// assert_eq!(centre.values.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// Rows that the cluster learned from, less what it forgot.
    pub rows: f64,
    /// The coordinates in the features' own units, in the order of the numeric features.
    pub values: Vec<f64>,
}

impl Fitted {
    /// What it is for.
    pub fn task(&self) -> Task {
        match self {
            Fitted::Classifier(_) | Fitted::MultiClassifier(_) => Task::Classify,
            Fitted::Regressor(_) => Task::Regress,
            Fitted::KMeans(_) | Fitted::ClusterStream(_) => Task::Cluster,
            Fitted::IsolationForest(_) => Task::Outlier,
            Fitted::Pipeline(pipeline) => pipeline.model().task(),
        }
    }

    /// The classifier of two classes, if it is one.
    pub fn as_classifier(&self) -> Option<&Classifier> {
        match self {
            Fitted::Classifier(model) => Some(model),
            _ => None,
        }
    }

    /// Names of the numeric features, in order.
    pub fn numeric_names(&self) -> &[String] {
        match self {
            Fitted::Classifier(model) => model.numeric_names(),
            Fitted::MultiClassifier(model) => model.numeric_names(),
            Fitted::Regressor(model) => model.numeric_names(),
            Fitted::KMeans(model) => model.numeric_names(),
            Fitted::ClusterStream(model) => model.numeric_names(),
            Fitted::IsolationForest(model) => model.numeric_names(),
            Fitted::Pipeline(pipeline) => pipeline.numeric_names(),
        }
    }

    /// Names of the categorical features, in order.
    pub fn categorical_names(&self) -> &[String] {
        match self {
            Fitted::Classifier(model) => model.categorical_names(),
            Fitted::MultiClassifier(model) => model.categorical_names(),
            Fitted::Regressor(model) => model.categorical_names(),
            Fitted::KMeans(_) | Fitted::ClusterStream(_) | Fitted::IsolationForest(_) => &[],
            Fitted::Pipeline(pipeline) => pipeline.categorical_names(),
        }
    }

    /// Rows that it has learned from.
    pub fn training_rows(&self) -> u64 {
        match self {
            Fitted::Classifier(model) => model.training_rows(),
            Fitted::MultiClassifier(model) => model.training_rows(),
            Fitted::Regressor(model) => model.training_rows(),
            Fitted::KMeans(model) => model.training_rows(),
            Fitted::ClusterStream(model) => model.training_rows(),
            Fitted::IsolationForest(model) => model.training_rows(),
            Fitted::Pipeline(pipeline) => pipeline.model().training_rows(),
        }
    }

    /// The model after new rows, from where it is. Of the algorithms `sgd_classifier` can, and clusters of batches; of
    /// pipelines those of steps that can, as [`Estimator::partial_fit`](crate::Estimator::partial_fit) says.
    ///
    /// # Errors
    ///
    /// [`Error::NoPartialFit`] for others, [`Error::FeatureMismatch`], [`Error::InStep`], those of [`ClusterStream::partial_fit`], and
    /// for rows and labels those of a fit, but for one row and one class, which are fine.
    pub fn partial_fit(&self, rows: &Rows<'_>, seed: u64) -> Result<Fitted, Error> {
        self.learn_on(rows, seed, &mut Cache::new())
    }

    pub(crate) fn learn_on(&self, rows: &Rows<'_>, seed: u64, cache: &mut Cache) -> Result<Fitted, Error> {
        match self {
            Fitted::Classifier(model) => {
                let labels = rows.target.binary(model.algorithm().name())?;
                model.partial_fit(rows.table, labels, rows.rows, seed).map(Fitted::Classifier)
            }
            Fitted::MultiClassifier(model) => Err(no_partial_fit(model.algorithm())),
            Fitted::Regressor(model) => Err(no_partial_fit(model.algorithm())),
            Fitted::KMeans(_) => Err(Error::NoPartialFit {
                what: "kmeans",
                why: "fit it on all rows, or take minibatch_kmeans",
            }),
            Fitted::IsolationForest(_) => Err(no_partial_fit(Algorithm::IsolationForest)),
            Fitted::ClusterStream(model) => {
                learned(model.clone(), rows, seed, cache).map(Fitted::ClusterStream)
            }
            Fitted::Pipeline(pipeline) => {
                let fitted = pipeline.partial_fit(rows, seed, cache)?;
                Ok(Fitted::Pipeline(Box::new(fitted)))
            }
        }
    }

    /// What it says of these rows; any order, repeats allowed.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] if the table's features are not the model's, in order, and [`Error::RowOutOfRange`].
    pub fn predict(&self, table: &FeatureTable, rows: &[u32]) -> Result<Prediction, Error> {
        match self {
            Fitted::Classifier(model) => model.predict_proba(table, rows).map(Prediction::Probabilities),
            Fitted::MultiClassifier(model) => {
                let probabilities = model.predict_proba(table, rows)?;
                Ok(Prediction::Classes { classes: model.classes(), probabilities })
            }
            Fitted::Regressor(model) => model.predict(table, rows).map(Prediction::Numbers),
            Fitted::KMeans(model) => model.assign(table, rows).map(Prediction::Clusters),
            Fitted::ClusterStream(model) => model.assign(table, rows).map(Prediction::Clusters),
            Fitted::IsolationForest(model) => {
                let scores = model.scores(table, rows)?;
                Ok(Prediction::Outliers { scores, threshold: model.threshold() })
            }
            Fitted::Pipeline(pipeline) => pipeline.predict(table, rows),
        }
    }

    /// Those of the rows that [`predict`](Fitted::predict) has an answer for: a step of a pipeline refuses some alone, as
    /// `pca` does a row with a missing value. In the order of `rows`.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] for another table; [`Error::InStep`] where a step refuses more than single rows.
    pub fn answerable(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<u32>, Error> {
        match self {
            Fitted::Pipeline(pipeline) => pipeline.answerable(table, rows),
            _ => Ok(rows.to_vec()),
        }
    }

    /// What it is worth on these rows, which all count the same. Of outlier scores the target is none, or whether a row is
    /// known to be an outlier. `seed` draws the rows of a silhouette where they are many.
    ///
    /// # Errors
    ///
    /// Those of [`predict`](Fitted::predict); [`Error::NoRows`]; [`Error::OtherTarget`] for a target of
    /// another kind than was learned, [`Error::OtherClasses`] for another number of classes, [`Error::NoSuchClass`] and
    /// [`Error::BadTarget`].
    pub fn score(&self, rows: &Rows<'_>, seed: u64) -> Result<Scores, Error> {
        self.score_kept(rows, seed, &Cache::new())
    }

    /// [`score`](Fitted::score) that looks into a cache for what is known of the rows; the scores are the same.
    ///
    /// # Errors
    ///
    /// Those of [`score`](Fitted::score).
    pub fn score_kept(&self, rows: &Rows<'_>, seed: u64, cache: &Cache) -> Result<Scores, Error> {
        match self {
            Fitted::Classifier(model) => {
                let labels = rows.target.binary(model.algorithm().name())?;
                rows.check()?;
                let labels: Vec<bool> = rows.rows.iter().map(|&row| labels[row as usize]).collect();
                let scores = cache.with_bins(|bins| model.predict_proba_kept(rows.table, rows.rows, bins))?;
                BinaryMetrics::compute(&labels, &scores).map(Scores::Binary)
            }
            Fitted::MultiClassifier(model) => {
                let labels = match rows.target {
                    Target::Classes { labels, classes } if classes == model.classes() => labels,
                    Target::Classes { classes, .. } => {
                        return Err(Error::OtherClasses { expected: model.classes(), found: classes });
                    }
                    _ => return Err(Error::other_target(model.algorithm(), rows.target.kind())),
                };
                rows.check()?;
                counts_of(labels, model.classes(), rows.rows)?;
                let labels: Vec<u32> = rows.rows.iter().map(|&row| labels[row as usize]).collect();
                let scores = cache.with_bins(|bins| model.predict_kept(rows.table, rows.rows, Some(bins)))?;
                ClassMetrics::compute(&labels, &scores, model.classes()).map(Scores::Classes)
            }
            Fitted::Regressor(model) => {
                let Target::Numbers(values) = rows.target else {
                    return Err(Error::other_target(model.algorithm(), rows.target.kind()));
                };
                rows.check()?;
                check_finite(values, rows.rows)?;
                let values: Vec<f64> = rows.rows.iter().map(|&row| values[row as usize]).collect();
                let said = cache.with_bins(|bins| model.predict_kept(rows.table, rows.rows, Some(bins)))?;
                NumberMetrics::compute(&values, &said).map(Scores::Numbers)
            }
            Fitted::KMeans(model) => model.metrics(rows.table, rows.rows, seed).map(Scores::Clusters),
            Fitted::ClusterStream(model) => {
                let exact = SilhouetteRows::Exact;
                model.metrics(rows.table, rows.rows, exact, seed).map(Scores::Clusters)
            }
            Fitted::IsolationForest(model) => {
                rows.check()?;
                let known: Option<Vec<bool>> = match rows.target {
                    Target::None => None,
                    Target::Binary(labels) => {
                        Some(rows.rows.iter().map(|&row| labels[row as usize]).collect())
                    }
                    target => return Err(Error::other_target(Algorithm::IsolationForest, target.kind())),
                };
                let scores = model.scores(rows.table, rows.rows)?;
                OutlierMetrics::compute(&scores, model.threshold(), known.as_deref()).map(Scores::Outliers)
            }
            Fitted::Pipeline(pipeline) => pipeline.score(rows, seed),
        }
    }

    /// [`score`](Fitted::score) of clusters of batches in a space that several share; any other model as ever.
    ///
    /// # Errors
    ///
    /// Those of [`score`](Fitted::score); [`Error::FeatureMismatch`] where the space has other columns.
    pub fn score_in(&self, space: &ClusterSpace, rows: &Rows<'_>, seed: u64) -> Result<Scores, Error> {
        match self {
            Fitted::ClusterStream(model) => {
                let exact = SilhouetteRows::Exact;
                model.metrics_in(space, rows.table, rows.rows, exact, seed).map(Scores::Clusters)
            }
            _ => self.score(rows, seed),
        }
    }

    /// The centres of its clusters, if it has any; those of a pipeline are in columns of its last step, and of its
    /// [`model`](FittedPipeline::model).
    pub fn centres(&self) -> Vec<Centre> {
        let (values, rows): (Vec<Vec<f64>>, Vec<f64>) = match self {
            Fitted::KMeans(model) => {
                (model.centres(), model.sizes().iter().map(|&rows| rows as f64).collect())
            }
            Fitted::ClusterStream(model) => (model.centres().to_vec(), model.weights().to_vec()),
            _ => return Vec::new(),
        };
        rows.into_iter().zip(values).map(|(rows, values)| Centre { rows, values }).collect()
    }

    /// Share of each feature in what the splits of its trees gained, numeric features first; none where it has no trees.
    pub fn gain_importances(&self) -> Vec<(&str, f64)> {
        let gains = match self {
            Fitted::Classifier(model) => model.gain_importances().unwrap_or_default(),
            Fitted::MultiClassifier(model) => model.gain_importances(),
            Fitted::Regressor(model) => model.gain_importances(),
            _ => &[],
        };
        let names = self.numeric_names().iter().chain(self.categorical_names());
        names.zip(gains).map(|(name, &gain)| (name.as_str(), gain)).collect()
    }

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        match self {
            Fitted::Classifier(model) => model.to_bytes(),
            Fitted::MultiClassifier(model) => model.to_bytes(),
            Fitted::Regressor(model) => model.to_bytes(),
            Fitted::KMeans(model) => model.to_bytes(),
            Fitted::ClusterStream(model) => model.to_bytes(),
            Fitted::IsolationForest(model) => model.to_bytes(),
            Fitted::Pipeline(pipeline) => pipeline.to_bytes(),
        }
    }

    /// Reads what [`to_bytes`](Fitted::to_bytes) wrote: the file says of what kind it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`] for preprocessing, [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Fitted, Error> {
        match kind_of(bytes) {
            Some(Kind::MultiClassifier) => MultiClassifier::from_bytes(bytes).map(Fitted::MultiClassifier),
            Some(Kind::Regressor) => Regressor::from_bytes(bytes).map(Fitted::Regressor),
            Some(Kind::KMeans) => KMeans::from_bytes(bytes).map(Fitted::KMeans),
            Some(Kind::ClusterStream) => ClusterStream::from_bytes(bytes).map(Fitted::ClusterStream),
            Some(Kind::IsolationForest) => IsolationForest::from_bytes(bytes).map(Fitted::IsolationForest),
            Some(Kind::Pipeline) => {
                FittedPipeline::from_bytes(bytes).map(|pipeline| Fitted::Pipeline(Box::new(pipeline)))
            }
            _ => Classifier::from_bytes(bytes).map(Fitted::Classifier),
        }
    }
}

fn no_partial_fit(algorithm: Algorithm) -> Error {
    Error::NoPartialFit { what: algorithm.name(), why: "fit it on all rows" }
}
