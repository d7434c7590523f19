//! What a fit makes: a model of any task, which predicts, is scored, learns on and is a file.

use crate::estimator::learned;
use crate::file::{Kind, kind_of};
use crate::{
    BinaryMetrics, Cache, Classifier, ClusterStream, Error, FeatureTable, FittedPipeline, KMeans, Rows,
    Scores, SilhouetteRows, Task,
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
    /// Groups rows, all of which were at hand.
    KMeans(KMeans),
    /// Groups rows that come batch by batch.
    ClusterStream(ClusterStream),
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
    /// The number of the cluster, from 0; `None` for a row with a missing value.
    Clusters(Vec<Option<u32>>),
}

impl Prediction {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Prediction::Probabilities(values) => values.len(),
            Prediction::Clusters(values) => values.len(),
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
            Fitted::Classifier(_) => Task::Classify,
            Fitted::KMeans(_) | Fitted::ClusterStream(_) => Task::Cluster,
            Fitted::Pipeline(pipeline) => pipeline.model().task(),
        }
    }

    /// The classifier, if it is one.
    pub fn as_classifier(&self) -> Option<&Classifier> {
        match self {
            Fitted::Classifier(model) => Some(model),
            Fitted::KMeans(_) | Fitted::ClusterStream(_) | Fitted::Pipeline(_) => None,
        }
    }

    /// Names of the numeric features, in order.
    pub fn numeric_names(&self) -> &[String] {
        match self {
            Fitted::Classifier(model) => model.numeric_names(),
            Fitted::KMeans(model) => model.numeric_names(),
            Fitted::ClusterStream(model) => model.numeric_names(),
            Fitted::Pipeline(pipeline) => pipeline.numeric_names(),
        }
    }

    /// Names of the categorical features, in order.
    pub fn categorical_names(&self) -> &[String] {
        match self {
            Fitted::Classifier(model) => model.categorical_names(),
            Fitted::KMeans(_) | Fitted::ClusterStream(_) => &[],
            Fitted::Pipeline(pipeline) => pipeline.categorical_names(),
        }
    }

    /// Rows that it has learned from.
    pub fn training_rows(&self) -> u64 {
        match self {
            Fitted::Classifier(model) => model.training_rows(),
            Fitted::KMeans(model) => model.training_rows(),
            Fitted::ClusterStream(model) => model.training_rows(),
            Fitted::Pipeline(pipeline) => pipeline.model().training_rows(),
        }
    }

    /// The model after new rows, from where it is. Of the algorithms `sgd_classifier` can, and clusters of batches.
    ///
    /// # Errors
    ///
    /// [`Error::NoPartialFit`] for others, and those of [`Classifier::partial_fit`] and [`ClusterStream::partial_fit`].
    pub fn partial_fit(&self, rows: &Rows<'_>, seed: u64) -> Result<Fitted, Error> {
        match self {
            Fitted::Classifier(model) => {
                let of = rows.binary(None)?;
                model.partial_fit(of.table, of.labels, of.rows, seed).map(Fitted::Classifier)
            }
            Fitted::KMeans(_) => Err(Error::NoPartialFit {
                what: "kmeans",
                why: "fit it on all rows, or take minibatch_kmeans",
            }),
            Fitted::ClusterStream(model) => {
                learned(model.clone(), rows, seed, &mut Cache::new()).map(Fitted::ClusterStream)
            }
            Fitted::Pipeline(_) => Err(Error::NoPartialFit { what: "a pipeline", why: "fit it on all rows" }),
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
            Fitted::KMeans(model) => model.assign(table, rows).map(Prediction::Clusters),
            Fitted::ClusterStream(model) => model.assign(table, rows).map(Prediction::Clusters),
            Fitted::Pipeline(pipeline) => pipeline.predict(table, rows),
        }
    }

    /// What it is worth on these rows, which all count the same. `seed` draws the rows of a silhouette where they are many.
    ///
    /// # Errors
    ///
    /// Those of [`predict`](Fitted::predict); [`Error::NoRows`]; [`Error::OtherTarget`] for a classifier without labels.
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
                let labels = rows.labels_of_rows()?;
                let scores = cache.with_bins(|bins| model.predict_proba_kept(rows.table, rows.rows, bins))?;
                BinaryMetrics::compute(&labels, &scores).map(Scores::Classes)
            }
            Fitted::KMeans(model) => model.metrics(rows.table, rows.rows, seed).map(Scores::Clusters),
            Fitted::ClusterStream(model) => {
                let exact = SilhouetteRows::Exact;
                model.metrics(rows.table, rows.rows, exact, seed).map(Scores::Clusters)
            }
            Fitted::Pipeline(pipeline) => pipeline.score(rows, seed),
        }
    }

    /// The centres of its clusters, if it has any; those of a pipeline are in columns of its last step, and of its
    /// [`model`](FittedPipeline::model).
    pub fn centres(&self) -> Vec<Centre> {
        let (values, rows): (Vec<Vec<f64>>, Vec<f64>) = match self {
            Fitted::Classifier(_) | Fitted::Pipeline(_) => return Vec::new(),
            Fitted::KMeans(model) => {
                (model.centres(), model.sizes().iter().map(|&rows| rows as f64).collect())
            }
            Fitted::ClusterStream(model) => (model.centres().to_vec(), model.weights().to_vec()),
        };
        rows.into_iter().zip(values).map(|(rows, values)| Centre { rows, values }).collect()
    }

    /// Share of each feature in what the splits of its trees gained, numeric features first; none where it has no trees.
    pub fn gain_importances(&self) -> Vec<(&str, f64)> {
        let gains = self.as_classifier().and_then(|model| model.gain_importances().ok());
        let names = self.numeric_names().iter().chain(self.categorical_names());
        names.zip(gains.unwrap_or_default()).map(|(name, &gain)| (name.as_str(), gain)).collect()
    }

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        match self {
            Fitted::Classifier(model) => model.to_bytes(),
            Fitted::KMeans(model) => model.to_bytes(),
            Fitted::ClusterStream(model) => model.to_bytes(),
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
            Some(Kind::KMeans) => KMeans::from_bytes(bytes).map(Fitted::KMeans),
            Some(Kind::ClusterStream) => ClusterStream::from_bytes(bytes).map(Fitted::ClusterStream),
            Some(Kind::Pipeline) => {
                FittedPipeline::from_bytes(bytes).map(|pipeline| Fitted::Pipeline(Box::new(pipeline)))
            }
            _ => Classifier::from_bytes(bytes).map(Fitted::Classifier),
        }
    }
}
