//! Models, metrics and preprocessing of the Tidemill engine: columns in, numbers out.
//!
//! ```text
//! FeatureTable ──rows, labels──> Classifier::fit ──> Classifier ──predict_proba──> BinaryMetrics
//!      ▲ push batches                                   │ to_bytes / from_bytes
//!      └─ new rows ──> Classifier::partial_fit (sgd_classifier)
//! FeatureTable ──rows──> KMeans::fit ──> KMeans ──assign, metrics──> clusters, ClusterMetrics
//! ```
//!
//! The crate is pure: no Arrow, no files, no clock. Every random choice comes from the seed it is given, sums are made in
//! a fixed order and counts are integers, so a fit is the same bytes for any number of threads (of one build on one kind
//! of processor: linear algebra kernels differ between kinds). What is done to columns before a model is in
//! [`preprocess`]: matrices in, matrices out.
//!
//! Outcomes that every model shares:
//!
//! - NaN is a missing value, and so is an infinity. Classifiers learn from missing values and score them, as they do
//!   unseen categories; k-means leaves rows with a missing value out, and takes no text columns.
//! - No rows are an error, and for a classifier so are one row or rows of one class: there is nothing to learn. So are
//!   fewer rows than clusters.
//! - Constant columns are harmless. A feature may have any number of categories.
//! - Values at the ends of f64 are learned from and scored, and every score, centre and metric is finite. Trees tell any
//!   two apart. To k-means a column is constant where its spread is below about 1e-307, to logistic regression and
//!   `sgd_classifier` below about 1e-160 (the square is 0 in f64), and to the latter also with values beyond about 1e150.
//!
//! `tests/edges` has the outcome of every edge for every model, backend, preprocessing step and metric.
//!
//! ```
//! use tidemill_ml::{Algorithm, BinaryMetrics, Classifier, FeatureTable, RandomForestParams};
//!
//! let mut table = FeatureTable::new(vec!["hour".into()], vec!["place".into()]);
//! table.push_numeric(0, (0..200).map(|i| f64::from(i % 24)));
//! table.push_category(0, (0..200).map(|i| [Some("street"), Some("home"), None][i % 3]));
//! table.finish_append()?;
//! let labels: Vec<bool> = (0..200).map(|i| i % 24 > 17).collect();
//!
//! let training: Vec<u32> = (0..150).collect();
//! let held_out: Vec<u32> = (150..200).collect();
//! let algorithm = Algorithm::RandomForest(RandomForestParams::default());
//! let model = Classifier::fit(&algorithm, &table, &labels, &training, 42, None)?;
//! let metrics = BinaryMetrics::compute(&labels[150..], &model.predict_proba(&table, &held_out)?)?;
//! assert!(metrics.accuracy > 0.95);
//! assert_eq!(Classifier::from_bytes(&model.to_bytes()?)?, model);
//! # Ok::<(), tidemill_ml::Error>(())
//! ```

mod classifier;
mod cluster;
mod encode;
mod error;
mod file;
mod forest;
mod importance;
mod logistic;
mod metrics;
pub mod preprocess;
mod seed;
mod sgd;
mod stats;
mod table;
mod training;

pub use classifier::{Algorithm, Classifier};
pub use cluster::{
    ClusterMetrics, ClusterStream, ClusterStreamParams, ClusterSweep, KMeans, KMeansBackend, KMeansParams,
    MiniBatchKMeansParams, OnlineKMeansParams, Outliers, SilhouetteRows, StreamLearner, StreamReport,
    SweepPoint,
};
pub use encode::kept::KeptBins;
pub use error::{Error, ErrorKind};
pub use forest::{
    Categories, ClassWeight, DecisionTreeParams, GradientBoostingParams, KeptCounts, RandomForestParams,
    TreeBackend,
};
pub use importance::Importance;
pub use logistic::{Coefficient, Coefficients, LinearCategories, LogisticBackend, LogisticRegressionParams};
pub use metrics::{BinaryMetrics, Calibration, CalibrationBin};
pub use sgd::{LearningRate, SgdClassifierParams, SgdPenalty};
pub use stats::fences::{TUKEY_REACH, tukey_fences};
pub use stats::{QuantileSketch, RunningMoments};
pub use table::{FeatureTable, MISSING_CODE};
pub use training::TrainingRows;
