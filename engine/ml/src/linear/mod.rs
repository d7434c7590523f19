//! Linear regression with L2 penalty (ridge; Hoerl, Kennard 1970).
//!
//! ```text
//! table rows ──LinearEncoders──> blocks of columns ──normal equations──> weights, intercept
//! ```
//!
//! Columns are those of logistic regression: numbers are standard scores, with an indicator where values are missing, and
//! categories a column each. The target is a standard score, too, so that no sum overflows whatever its unit. The solution
//! is that of scikit-learn's `Ridge`, exact but for rounding (see `normal`).

mod normal;
mod params;

pub use params::LinearRegressionParams;

use crate::encode::kept::KeptBins;
use crate::encode::linear::{BLOCK, CategoryColumns, Design, LinearEncoders};
use crate::encode::scale::NumericScale;
use crate::logistic::{Coefficient, Coefficients, loss, penalty_units, usable};
use crate::regressor::{Numbers, NumbersModel};
use crate::supervised::Settings;
use crate::training::NumberRows;
use crate::{Algorithm, Error, FeatureTable};
use normal::Normal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A fitted linear regression with the encoders of its features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinearModel {
    encoders: LinearEncoders,
    /// Of the target: what is added up is its score.
    target: NumericScale,
    /// One a column of the encoders, on scores; the intercept comes after those of the dense columns.
    weights: Vec<f64>,
}

impl Settings for LinearRegressionParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::LinearRegression
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn fit_numbers(
        &self,
        rows: &NumberRows<'_>,
        seed: u64,
        _before: Option<&NumbersModel>,
    ) -> Result<NumbersModel, Error> {
        LinearModel::fit(self, rows, seed).map(NumbersModel::Linear)
    }
}

impl LinearModel {
    fn fit(params: &LinearRegressionParams, of: &NumberRows<'_>, seed: u64) -> Result<LinearModel, Error> {
        let NumberRows { table, rows, .. } = *of;
        let categories = CategoryColumns::OneHot(params.max_categories);
        let (encoders, codes) = LinearEncoders::fit(table, &[], rows, seed, categories, None);
        let target = NumericScale::fit(rows.iter().map(|&row| of.values[row as usize]));
        if target.inverse() == 0.0 {
            let weights = vec![0.0; encoders.columns() + 1];
            return Ok(LinearModel { encoders, target, weights });
        }
        let units = penalty_units(&encoders, params.standardise);
        let weights = Normal {
            design: Design { encoders: &encoders, codes: &codes, table, labels: &[], rows },
            target: rows.iter().map(|&row| target.score(of.values[row as usize])).collect(),
            weights: of.weights.map(|weights| shares(rows, weights)),
            l2: units.iter().map(|unit| penalty(params.l2, *unit)).collect(),
        }
        .solve();
        match usable(&weights) {
            true => Ok(LinearModel { encoders, target, weights }),
            false => Err(Error::Solver("a weight is not finite".into())),
        }
    }

    /// The encoders, the weights (one a column of them, the intercept after those of the dense ones), and what the score
    /// that they add up to is one of.
    pub(crate) fn parts(&self) -> (&LinearEncoders, &[f64], &NumericScale) {
        (&self.encoders, &self.weights, &self.target)
    }

    /// The weights in the units of the features, whose names these are, and of the target.
    pub(crate) fn coefficients(&self, numeric: &[String], categorical: &[String]) -> Coefficients {
        let dense = self.encoders.dense();
        // The target is a constant where its scale has no unit.
        let unit =
            if self.target.inverse() == 0.0 { 0.0 } else { (1.0 / self.target.inverse()).min(f64::MAX) };
        let mut intercept = self.weights[dense];
        let weights = self.weights.iter().enumerate().filter(|(i, _)| *i != dense).map(|(_, w)| *w);
        let meanings = self.encoders.meanings(numeric, categorical);
        let columns = meanings.into_iter().zip(weights).map(|(meaning, score)| {
            intercept -= score * meaning.inverse * meaning.mean;
            let weight = (score * unit * meaning.inverse).clamp(f64::MIN, f64::MAX);
            let standardised = (score * unit).clamp(f64::MIN, f64::MAX);
            Coefficient { column: meaning.name, weight, standardised }
        });
        let columns = columns.collect();
        Coefficients { intercept: self.target.value(intercept), columns }
    }
}

/// The penalty of a weight whose column has this unit. One that is past f64 leaves no weight, and 0 is none, whatever the
/// unit is.
fn penalty(l2: f64, unit: f64) -> f64 {
    const MOST: f64 = 1e300;
    if l2 == 0.0 { 0.0 } else { (l2 * unit * unit).min(MOST) }
}

/// What rows weigh, by position, in shares of their mean.
fn shares(rows: &[u32], weights: &[f64]) -> Vec<f64> {
    let largest = rows.iter().map(|&row| weights[row as usize]).fold(0.0, f64::max);
    let mut shares: Vec<f64> = rows.iter().map(|&row| weights[row as usize] / largest).collect();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    shares.iter_mut().for_each(|share| *share /= mean);
    shares
}

impl Numbers for LinearModel {
    fn predict(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        _kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        const CHUNK: usize = 16 * BLOCK;
        let codes = self.encoders.table_codes(table, rows);
        let design = Design { encoders: &self.encoders, codes: &codes, table, labels: &[], rows };
        let mut numbers = vec![0.0; rows.len()];
        numbers.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, numbers)| {
            loss::scores(&design, &self.weights, chunk * CHUNK, numbers);
            numbers.iter_mut().for_each(|number| *number = self.target.value(*number));
        });
        Ok(numbers)
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.encoders.is_valid(numeric, categorical)
            && self.target.is_valid()
            && self.weights.len() == self.encoders.columns() + 1
            && usable(&self.weights)
    }

    fn coefficients(&self, numeric: &[String], categorical: &[String]) -> Option<Coefficients> {
        Some(self.coefficients(numeric, categorical))
    }
}
