//! Settings of a logistic regression.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of a logistic regression.
///
/// The fit minimises the sum of the rows' log losses plus alpha · (l1_ratio · |w|₁ + (1 - l1_ratio) / 2 · |w|²), the
/// intercept free: `alpha` is scikit-learn's 1 / C, and `l1_ratio` its own.
///
/// ```
/// use tidemill_ml::LogisticRegressionParams;
///
/// assert!(LogisticRegressionParams { alpha: -1.0, ..LogisticRegressionParams::default() }.validate().is_err());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticRegressionParams {
    /// Strength of the penalty, 0 or more; scikit-learn's 1 / C.
    pub alpha: f64,
    /// Share of the penalty that is L1, 0 to 1: above 0, weights that say little become 0.
    pub l1_ratio: f64,
    /// Steps at most, 1 to 10,000. A fit that has not converged by then ends where it is.
    pub max_iterations: u64,
    /// Largest component of the gradient of the mean loss and penalty at which the fit is done; above 0.
    pub gradient_tolerance: f64,
    /// Whether the penalty is on the weights of standardised columns, or on those of the columns in their own units.
    pub standardise: bool,
    /// How categorical features become columns.
    pub categories: LinearCategories,
    /// With a column a category: categories of a feature that have a column of their own, the most frequent ones;
    /// 1 to 1,000,000. The rest share one, and missing values have one.
    pub max_categories: usize,
    /// What fits the weights.
    pub backend: LogisticBackend,
}

/// How a linear model takes categorical features.
///
/// ```
/// use tidemill_ml::{LinearCategories, LogisticRegressionParams};
///
/// let categories = LinearCategories::OneHot;
/// assert!(LogisticRegressionParams { categories, ..LogisticRegressionParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum LinearCategories {
    /// One column a feature: the smoothed log-odds of the label by category, cross-fitted. With many classes the same as
    /// [`OneHot`](LinearCategories::OneHot): the log-odds of one class say nothing of the others.
    #[default]
    Target,
    /// A column of 0 and 1 a category; not standardised.
    OneHot,
}

/// What fits a logistic regression.
///
/// ```
/// use tidemill_ml::{LogisticBackend, LogisticRegressionParams};
///
/// let (backend, l1_ratio) = (LogisticBackend::Linfa, 0.5);
/// let params = LogisticRegressionParams { backend, l1_ratio, ..LogisticRegressionParams::default() };
/// assert!(params.validate().is_err(), "linfa has no L1 penalty");
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum LogisticBackend {
    /// Our own: Newton steps for up to 64 dense columns, else L-BFGS (OWL-QN where there is an L1 penalty).
    #[default]
    #[serde(alias = "engine")]
    Tidemill,
    /// linfa-logistic, of two classes: L-BFGS on a matrix of all rows; L2 penalty on standardised, target-encoded columns only.
    Linfa,
}

impl Default for LogisticRegressionParams {
    fn default() -> Self {
        LogisticRegressionParams {
            alpha: 1.0,
            l1_ratio: 0.0,
            max_iterations: 100,
            gradient_tolerance: 1e-4,
            standardise: true,
            categories: LinearCategories::Target,
            max_categories: 1_000,
            backend: LogisticBackend::Tidemill,
        }
    }
}

impl LogisticRegressionParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        if !(self.alpha >= 0.0 && self.alpha.is_finite()) {
            return bad("alpha", self.alpha.to_string(), "0 or more");
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return bad("l1_ratio", self.l1_ratio.to_string(), "from 0 to 1");
        }
        if !(1..=10_000).contains(&self.max_iterations) {
            return bad("max_iterations", self.max_iterations.to_string(), "from 1 to 10000");
        }
        if !(self.gradient_tolerance > 0.0 && self.gradient_tolerance.is_finite()) {
            return bad("gradient_tolerance", self.gradient_tolerance.to_string(), "above 0");
        }
        if !(1..=1_000_000).contains(&self.max_categories) {
            return bad("max_categories", self.max_categories.to_string(), "from 1 to 1000000");
        }
        if self.backend == LogisticBackend::Linfa {
            let unlike = "linfa takes an L2 penalty on standardised, target-encoded columns only; use backend = \"tidemill\"";
            if self.l1_ratio > 0.0 {
                return bad("l1_ratio", self.l1_ratio.to_string(), unlike);
            }
            if !self.standardise {
                return bad("standardise", self.standardise.to_string(), unlike);
            }
            if self.categories != LinearCategories::Target {
                return bad("categories", "one_hot".into(), unlike);
            }
        }
        Ok(())
    }
}
