//! Settings of stochastic gradient descent.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Settings of an SGD classifier; the words and meanings are those of scikit-learn's SGDClassifier with log loss.
///
/// ```
/// use tidemill_ml::SgdClassifierParams;
///
/// assert!(SgdClassifierParams { hash_bits: 18, ..SgdClassifierParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SgdClassifierParams {
    /// Strength of the penalty on each row's step, above 0 where the rate is `optimal`, else 0 or more.
    pub alpha: f64,
    /// What is penalised.
    pub penalty: SgdPenalty,
    /// With `penalty = "elastic_net"`: the share that is L1, 0 to 1.
    pub l1_ratio: f64,
    /// How the learning rate goes with the rows seen.
    pub learning_rate: LearningRate,
    /// First learning rate, above 0; unused where the rate is `averaged` or `optimal`.
    pub eta0: f64,
    /// With `learning_rate = "inv_scaling"`: the power of the rows seen that divides `eta0`.
    pub power_t: f64,
    /// Whether the model is the mean of the weights after each row (Polyak, Ruppert) rather than the last ones.
    pub average: bool,
    /// Passes over the rows at most in a `fit`, 1 to 10,000; a `partial_fit` is always one.
    pub epochs: u32,
    /// A pass counts as an improvement if the mean loss of its rows, each before its step and without the penalty, is
    /// below that of the best pass by at least this; 0 or more.
    pub tolerance: f64,
    /// Passes in a row without improvement after which a fit ends (or an adaptive rate falls to a fifth); at least 1.
    pub patience: u32,
    /// Whether the rows of a pass come in a random order, from the seed, or as they are.
    pub shuffle: bool,
    /// Whether numbers become standard scores by the mean and deviation of all rows so far, with missing values at the
    /// mean; else they are taken as they are, with missing values at 0. A column with values beyond about 1e150, whose sum
    /// of squares is not finite, keeps the mean and deviation of the rows of its first fit; taken as it is it has no say.
    pub standardise: bool,
    /// Categories share 2^hash_bits weights, 1 to 24.
    pub hash_bits: u32,
}

/// The penalty of an SGD classifier.
///
/// ```
/// use tidemill_ml::{SgdClassifierParams, SgdPenalty};
///
/// assert!(SgdClassifierParams { penalty: SgdPenalty::L1, ..SgdClassifierParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum SgdPenalty {
    /// None.
    None,
    /// alpha / 2 · |w|².
    #[default]
    L2,
    /// alpha · |w|₁, by cumulative truncation (Tsuruoka, Tsujii, Ananiadou 2009).
    L1,
    /// alpha · (l1_ratio · |w|₁ + (1 - l1_ratio) / 2 · |w|²).
    ElasticNet,
}

/// The learning rate of row t, counted from 1 over all passes and batches.
///
/// ```
/// use tidemill_ml::{LearningRate, SgdClassifierParams};
///
/// let learning_rate = LearningRate::Adaptive;
/// assert!(SgdClassifierParams { learning_rate, ..SgdClassifierParams::default() }.validate().is_ok());
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum LearningRate {
    /// eta0.
    Constant,
    /// 1 / (alpha · (t + t₀ - 1)), t₀ = 1 / alpha^¾ by Bottou's heuristic: a first step as long as a weight is large. Its
    /// first steps are too long to be averaged: take it with `average = false`, or many passes.
    Optimal,
    /// eta0 / t^power_t.
    InvScaling,
    /// eta0, and a fifth of it each time that `patience` passes of a fit did not improve.
    Adaptive,
    /// 1 / (4 · features): the constant rate at which the mean of the weights converges by itself (Bach, Moulines 2013),
    /// 1 / (4 R²), where R² is the mean square of a row, of which each standard score and each category has 1.
    #[default]
    Averaged,
}

impl Default for SgdClassifierParams {
    fn default() -> Self {
        SgdClassifierParams {
            alpha: 1e-4,
            penalty: SgdPenalty::L2,
            l1_ratio: 0.15,
            learning_rate: LearningRate::Averaged,
            eta0: 0.01,
            power_t: 0.5,
            average: true,
            epochs: 5,
            tolerance: 1e-3,
            patience: 5,
            shuffle: true,
            standardise: true,
            hash_bits: 14,
        }
    }
}

impl SgdClassifierParams {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        let at_least_0 = |v: f64| v >= 0.0 && v.is_finite();
        if !at_least_0(self.alpha) {
            return bad("alpha", self.alpha.to_string(), "0 or more");
        }
        if self.alpha < 1e-12 && self.learning_rate == LearningRate::Optimal {
            let expected =
                "at least 1e-12, as the optimal learning rate is 1 / alpha of it; or another learning_rate";
            return bad("alpha", self.alpha.to_string(), expected);
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return bad("l1_ratio", self.l1_ratio.to_string(), "from 0 to 1");
        }
        if !(self.eta0 > 0.0 && self.eta0.is_finite()) {
            return bad("eta0", self.eta0.to_string(), "above 0");
        }
        if !self.power_t.is_finite() {
            return bad("power_t", self.power_t.to_string(), "a number");
        }
        if !(1..=10_000).contains(&self.epochs) {
            return bad("epochs", self.epochs.to_string(), "from 1 to 10000");
        }
        if !at_least_0(self.tolerance) {
            return bad("tolerance", self.tolerance.to_string(), "0 or more");
        }
        if self.patience == 0 {
            return bad("patience", self.patience.to_string(), "1 or more");
        }
        if !(1..=24).contains(&self.hash_bits) {
            return bad("hash_bits", self.hash_bits.to_string(), "from 1 to 24");
        }
        Ok(())
    }

    /// Shares of the penalty: L1 and L2.
    pub(super) fn penalties(&self) -> (f64, f64) {
        match self.penalty {
            SgdPenalty::None => (0.0, 0.0),
            SgdPenalty::L2 => (0.0, self.alpha),
            SgdPenalty::L1 => (self.alpha, 0.0),
            SgdPenalty::ElasticNet => (self.alpha * self.l1_ratio, self.alpha * (1.0 - self.l1_ratio)),
        }
    }
}
