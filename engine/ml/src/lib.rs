//! Models, metrics and preprocessing of the Tidemill engine: columns in, numbers out.
//!
//! ```
//! # use tidemill_ml::FeatureTable;
//! # let mut table = FeatureTable::new(vec!["hour".into()], vec!["place".into()]);
//! # table.push_numeric(0, (0..200).map(|i| f64::from(i % 24)));
//! # table.push_category(0, (0..200).map(|i| [Some("street"), Some("home"), None][i % 3]));
//! # table.finish_append()?;
//! # let arrests: Vec<bool> = (0..200).map(|i| i % 24 > 17).collect();
//! # let (training, held_out): (Vec<u32>, Vec<u32>) = ((0..150).collect(), (150..200).collect());
//! use tidemill_ml::{Estimator, Fitted, RandomForestParams, Rows, Target};
//!
//! let rows = |of| Rows::new(&table, Target::Binary(&arrests), of);
//! let forest = Estimator::from(RandomForestParams { trees: 50, ..RandomForestParams::default() });
//! let fitted = forest.fit(&rows(&training), 42)?;
//! let scores = fitted.score(&rows(&held_out), 42)?;
//! let file = fitted.to_bytes()?;
//! assert!(scores.binary().is_some_and(|of| of.accuracy > 0.95) && Fitted::from_bytes(&file)? == fitted);
//! # Ok::<(), tidemill_ml::Error>(())
//! ```
//!
//! ```text
//! FeatureTable ──Rows, Target──> Estimator::fit ──> Fitted ──predict──> Prediction
//!      ▲ push batches              ▲ Cache            │ └─score──> Scores
//!      └─ new rows                 └─ the one before ─┴─ to_bytes / from_bytes
//! ```
//!
//! An [`Estimator`] is any of the [`ALGORITHMS`] with its settings, a [`Fitted`] what its fit makes, and [`METRICS`] are
//! what that is worth. In a [`Fitted`] are the types of each task, [`Classifier`], [`MultiClassifier`], [`Regressor`], [`KMeans`],
//! [`ClusterStream`] and [`IsolationForest`], with what only they can tell: coefficients, leaves, sweeps. What is done to columns before a model is in [`preprocess`],
//! matrices in, matrices out; a [`Pipeline`] of [`STEPS`] does it to a table. [`onnx`] makes a file of a [`Fitted`] that other
//! programs score rows by.
//!
//! The crate is pure: no Arrow, no files, no clock. Every random choice comes from the seed it is given, sums are made in
//! a fixed order and counts are integers, so a fit is the same bytes for any number of threads (of one build on one kind
//! of processor: linear algebra kernels differ between kinds).
//!
//! Outcomes that every model shares:
//!
//! - NaN is a missing value, and so is an infinity. Classifiers learn from missing values and score them, as they do
//!   unseen categories; k-means leaves rows with a missing value out, and takes no text columns.
//! - No rows are an error, and for a classifier so are one row, rows of one class, or a class without rows: there is
//!   nothing to learn. So are fewer rows than clusters. A number to learn is finite; one row, or numbers that are all the
//!   same, are said again.
//! - Constant columns are harmless. A feature may have any number of categories.
//! - Values at the ends of f64 are learned from and scored, and every score, centre and metric is finite. Trees tell any
//!   two apart. To k-means a column is constant where its spread is below about 1e-307, to logistic regression and
//!   `sgd_classifier` below about 1e-160 (the square is 0 in f64).
//! - Trees sum a number that is to be predicted in units of 2⁻³⁰ of the largest distance from the median: next to a
//!   target of 1e300 smaller ones are the same to them.
//!
//! `tests/edges` has the outcome of every edge for every model, backend, preprocessing step and metric.
//!
//! # Why there is no …
//!
//! - **trait `Estimator`** to implement: a job names its algorithm in a text, and a file says by its first bytes what it
//!   holds. Both want one closed list, so it is an enum, which the compiler keeps complete.
//! - **generic float or label type**: `f64` is what Parquet, Arrow and SQL have, and integers are exact in it up to 2⁵³.
//!   Trees keep what they read often as bytes by themselves.
//! - **matrix as input**: rows come batch by batch, and many of their columns are text. A [`FeatureTable`] grows at its
//!   end and keeps codes; [`Rows`] names some of it without a copy.
//! - **`predict` that gives labels**: a threshold is the caller's decision, and ranking metrics need probabilities.
//! - **clock or time limit**: a fit that ends by the clock is another one each time. Iterations and rows have limits.
//! - **random state** that goes on from call to call: each call takes a seed, so that what it makes does not depend on
//!   the calls before it.
//! - **thread count**: rayon's pool decides, and results are the same bytes for any.
//! - **early stopping on held-out rows**: a split of the rows is the caller's, who has to keep it from batch to batch.
//! - **update of a forest or of boosting by new rows alone**: trees need the rows that they were split by. A refit with a
//!   [`Cache`] counts most of them once only; [`SgdClassifierParams`] and [`ClusterStream`] learn on without old rows.

mod algorithms;
mod cache;
mod classifier;
mod cluster;
mod encode;
mod error;
mod estimator;
mod file;
mod fitted;
mod forest;
mod importance;
mod isolation;
mod linear;
mod logistic;
mod metrics;
mod multiclass;
mod online;
pub mod onnx;
mod pipeline;
pub mod preprocess;
mod regressor;
mod rows;
mod seed;
mod sgd;
mod stats;
mod supervised;
mod table;
mod training;
mod wide;

pub use algorithms::{ALGORITHMS, Algorithm, AlgorithmInfo, Material, Task};
pub use cache::Cache;
pub use classifier::Classifier;
pub use cluster::{
    ClusterMetrics, ClusterSpace, ClusterStream, ClusterStreamParams, ClusterSweep, KMeans, KMeansBackend,
    KMeansParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers, SilhouetteRows, StreamLearner,
    StreamReport, SweepPoint,
};
pub use error::{Error, ErrorKind};
pub use estimator::Estimator;
pub use file::file_formats;
pub use fitted::{Centre, Fitted, Prediction};
pub use forest::{
    Categories, ClassWeight, DecisionTreeParams, GradientBoostingParams, RandomForestParams, TreeBackend,
};
pub use importance::Importance;
pub use isolation::{IsolationForest, IsolationForestParams};
pub use linear::LinearRegressionParams;
pub use logistic::{Coefficient, Coefficients, LinearCategories, LogisticBackend, LogisticRegressionParams};
pub use metrics::{
    Better, BinaryMetrics, Calibration, CalibrationBin, ClassMetrics, METRICS, Metric, NumberMetrics,
    OutlierMetrics, Scores,
};
pub use multiclass::MultiClassifier;
pub use pipeline::{FittedPipeline, Pipeline, PipelineStep, STEPS, StepInfo, StepKind, Takes, Transform};
pub use regressor::Regressor;
pub use rows::{Rows, Target, TargetKind};
pub use sgd::{LearningRate, SgdClassifierParams, SgdPenalty};
pub use stats::fences::{TUKEY_REACH, tukey_fences};
pub use stats::{QuantileSketch, RunningMoments};
pub use supervised::SupervisedParams;
pub use table::{FeatureTable, MISSING_CODE};
pub(crate) use {encode::kept::KeptBins, forest::KeptCounts, training::TrainingRows};
