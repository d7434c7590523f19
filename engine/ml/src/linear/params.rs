//! Settings of a linear regression.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of a linear regression.
///
/// The fit minimises Σ weight · (said - is)² + l2 · |w|², the intercept free, where weights of rows are shares of their
/// mean: `l2` is the `alpha` of scikit-learn's `Ridge`. A column that is constant, or that with `l2 = 0` those before it
/// add up to, has the weight 0; with more columns than rows and `l2 = 0` that is all but as many columns as rows. Up to 512
/// columns the solution is that of Cholesky's decomposition, refined on the rows; beyond, that of conjugate gradients.
///
/// ```
/// use tidemill_ml::{Estimator, FeatureTable, LinearRegressionParams, Prediction, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 3.0, 4.0]);
/// table.finish_append()?;
/// let estimator = Estimator::from(LinearRegressionParams { l2: 0.0, ..LinearRegressionParams::default() });
/// let fitted = estimator.fit(&Rows::new(&table, Target::Numbers(&[5.0, 7.0, 9.0, 11.0]), &[0, 1, 2]), 42)?;
/// let Prediction::Numbers(said) = fitted.predict(&table, &[3])? else { unreachable!() };
/// assert!((said[0] - 11.0).abs() < 1e-12);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LinearRegressionParams {
    /// Strength of the penalty, 0 or more.
    pub l2: f64,
    /// Whether the penalty is on the weights of standardised columns, or on those of the columns in their own units.
    pub standardise: bool,
    /// Categories of a feature that have a column of their own, the most frequent ones; 1 to 1,000,000. The rest share
    /// one, and missing values have one.
    pub max_categories: usize,
}

impl Default for LinearRegressionParams {
    fn default() -> Self {
        LinearRegressionParams { l2: 1.0, standardise: true, max_categories: 1_000 }
    }
}

impl LinearRegressionParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        if !(self.l2 >= 0.0 && self.l2.is_finite()) {
            return bad("l2", self.l2.to_string(), "0 or more");
        }
        if !(1..=1_000_000).contains(&self.max_categories) {
            return bad("max_categories", self.max_categories.to_string(), "from 1 to 1000000");
        }
        Ok(())
    }
}
