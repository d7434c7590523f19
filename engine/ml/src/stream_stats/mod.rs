//! Statistics of columns whose rows come in batches: quantiles, and mean and standard deviation.
//!
//! Both take rows batch by batch, can forget (`forget(0.5)`: all rows so far weigh half), and are the same bytes for the
//! same rows in the same order.

mod moments;
mod quantiles;

pub use moments::RunningMoments;
pub use quantiles::QuantileSketch;
