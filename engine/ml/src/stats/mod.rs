//! Statistics of columns whose rows come in batches: quantiles, mean and standard deviation, and fences beyond which a
//! value is an outlier. Each is here once, for all encoders, scalers and clusters.
//!
//! Quantiles and moments take rows batch by batch, can forget (`forget(0.5)`: all rows so far weigh half), and are the same bytes for the
//! same rows in the same order. Values that are not finite are passed over, and so are weights that are not finite or not
//! above 0; no values, weights or shares leave a statistic that is not finite.

pub(crate) mod fences;
mod moments;
mod quantiles;

pub use moments::RunningMoments;
pub use quantiles::QuantileSketch;

/// A weight above this counts as this, so that no sum of them overflows.
const LARGEST_WEIGHT: f64 = 1e9;

/// A (value, weight) as it counts; `None` if it is passed over.
fn counting((value, weight): (f64, f64)) -> Option<(f64, f64)> {
    let known = value.is_finite() && weight.is_finite() && weight > 0.0;
    known.then(|| (value, weight.min(LARGEST_WEIGHT)))
}

/// What is left by forgetting: a share below 0 is taken for 0, and one above 1, or none at all (NaN), for 1.
fn kept_share(share: f64) -> f64 {
    if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) }
}
