//! Clusters of rows: k-means, and what a clustering is worth.
//!
//! ```text
//! numeric columns ──NumericScale──> standardised points ──plus_plus, lloyd──> centres ──nearest──> ClusterMetrics
//! ```
//!
//! All distances are Euclidean between standardised points, so that a column's unit does not decide its weight. A row
//! with a missing value has no place among the points: it is left out of a fit, belongs to no cluster and is not scored.
//! A coordinate is held within a million deviations, so that values at the ends of f64 give finite centres and metrics.

mod kmeans;
mod linfa;
mod lloyd;
mod metrics;
mod nearest;
mod params;
mod plus_plus;
mod points;
mod rows;
mod solve;
mod stream;
mod sweep;

pub use kmeans::KMeans;
pub use metrics::{ClusterMetrics, SilhouetteRows};
pub use params::{KMeansBackend, KMeansParams};
pub use stream::{
    ClusterSpace, ClusterStream, ClusterStreamParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers,
    StreamLearner, StreamReport,
};
pub(crate) use stream::{MiniBatchOfState, OnlineOfState, WholeOfState};
pub use sweep::{ClusterSweep, SweepPoint};

/// Squared Euclidean distance of two points with as many coordinates.
fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
