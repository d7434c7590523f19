//! What every model, backend, preprocessing step and metric does at the edges of what it can be given.
//!
//! ```text
//! classifiers, clusters, steps     one edge a test, its stated outcome for each of them
//! any_*                            any shape, value, weight, label and setting: proptest
//! files                            any bytes under a right checksum
//! ```
//!
//! | edge | classifiers | k-means, streams | preprocessing |
//! | --- | --- | --- | --- |
//! | no column | `NoFeatures` | `NoFeatures` | `NoFeatures` |
//! | no row, or none that weighs | `NoRows` | `NoRows`; a stream passes over it | `NoRows`; `transform` gives none |
//! | one row | `TooFewRows` | one cluster | fine, but for PCA: `TooFewRows` |
//! | one class | `OneClass`; `sgd_classifier` learns on from it | | fine |
//! | one of many classes, one without rows | `OneOfManyClasses`, `ClassWithoutRows` | | |
//! | k above the rows | | `TooFewForClusters` | |
//! | NaN, an infinity | learned and scored as a missing value | row left out, no cluster | left out, stays missing |
//! | a constant column | no say | no say | 0 or the lower end |
//! | values at the ends of f64 | finite scores | finite centres | finite values, or `Overflow` |
//! | 10,000 categories, unseen ones | learned; those unseen score | text is `TextColumns` | learned; unseen as asked for |
//!
//! A regression is as a classifier, but that one row, and numbers that are all the same, are learned; a target that is not
//! finite is `BadTarget`, and what is said is finite.
//!
//! `cargo test -p tidemill-ml --test edges`; as many cases as `PROPTEST_CASES` says.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used)]

mod any_classifier;
mod any_clusters;
mod any_kind;
mod any_metric;
mod any_step;
#[path = "../binary/mod.rs"]
mod binary;
mod classifiers;
mod clusters;
mod data;
mod files;
mod steps;
