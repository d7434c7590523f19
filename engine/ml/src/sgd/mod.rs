//! Logistic regression by stochastic gradient descent: learns from each row once a pass, and from new rows alone.
//!
//! ```text
//! numeric ──running mean and deviation──> score, or the column "is missing" ─┐
//! category ──hash of feature and name──> one of 2^hash_bits columns ─────────┴──Learner──> weights
//! ```
//!
//! Columns mean the same for ever, as a model that never sees its old rows again needs: categories are hashed, so that one
//! that comes up later has its column already (an unseen one usually has a weight of 0; two that share a column share its
//! weight). The mean and deviation are of all rows so far; when they move, weights move with them, so that every row's
//! score stays what it was.

mod learner;
mod params;

pub use params::{LearningRate, SgdClassifierParams, SgdPenalty};

use crate::classifier::{BinaryModel, Model};
use crate::encode::kept::KeptBins;
use crate::encode::linear::{BLOCK, each_code};
use crate::encode::scale::{ColumnMoments, MOMENT_ROWS, NumericScale};
use crate::forest::KeptCounts;
use crate::logistic::{Coefficient, Coefficients, loss::sigmoid};
use crate::seed::derive;
use crate::supervised::Settings;
use crate::table::FeatureTable;
use crate::{Algorithm, Error, TrainingRows};
use learner::{Learned, Pass};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A fitted SGD classifier, with what it needs to learn on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SgdModel {
    params: SgdClassifierParams,
    moments: Vec<ColumnMoments>,
    scales: Vec<NumericScale>,
    categorical: u32,
    /// A column a numeric feature, one for its missing values each, then those of the categories.
    learned: Learned,
}

/// Rows as the learner takes them, row after row.
struct Rows<'a> {
    table: &'a FeatureTable,
    scales: &'a [NumericScale],
    /// Column of each code of each categorical feature; the last is that of missing values.
    buckets: Vec<Vec<u32>>,
}

#[derive(Default)]
struct Block {
    dense: Vec<f64>,
    /// Beside each of `dense`, whether its value is missing.
    missing: Vec<bool>,
    /// Columns that are 1; `hot_ends` has the end of each row's.
    hot: Vec<u32>,
    hot_ends: Vec<usize>,
}

impl Settings for SgdClassifierParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::SgdClassifier
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn without_weights(&self) -> Option<&'static str> {
        Some(Algorithm::SgdClassifier.name())
    }

    fn fit_binary(
        &self,
        rows: &TrainingRows<'_>,
        seed: u64,
        _before: Option<&Model>,
        _counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        SgdModel::fit(self, rows.table, rows.labels, rows.rows, seed).map(Model::Sgd)
    }
}

impl BinaryModel for SgdModel {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        _kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.predict_proba(table, rows))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }

    fn coefficients(&self, numeric: &[String], _categorical: &[String]) -> Option<Coefficients> {
        Some(self.coefficients(numeric))
    }
}

impl SgdModel {
    /// The settings by which it learns on.
    pub(crate) fn params(&self) -> &SgdClassifierParams {
        &self.params
    }

    /// Fits on rows whose indices and labels (one a row of the table, both classes among `rows`) the caller has checked.
    pub(crate) fn fit(
        params: &SgdClassifierParams,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> Result<SgdModel, Error> {
        let numeric = table.numeric_names().len();
        let columns =
            2 * numeric + (1usize << params.hash_bits) * usize::from(!table.categorical_names().is_empty());
        let mut model = SgdModel {
            params: params.clone(),
            moments: vec![ColumnMoments::default(); numeric],
            scales: vec![NumericScale::default(); numeric],
            // A table's columns are counted in 32 bits, as its rows are.
            categorical: table.categorical_names().len() as u32,
            learned: Learned::new(params, columns, numeric + table.categorical_names().len()),
        };
        model.take_moments(table, rows);
        let (mut best, mut without_gain) = (f64::INFINITY, 0);
        for epoch in 0..params.epochs {
            let loss = model.pass(table, labels, rows, derive(seed, u64::from(epoch)));
            without_gain =
                if loss > best - params.tolerance * rows.len() as f64 { without_gain + 1 } else { 0 };
            best = best.min(loss);
            if without_gain >= params.patience {
                if params.learning_rate != LearningRate::Adaptive || model.learned.eta <= 1e-6 {
                    break;
                }
                model.learned.eta /= 5.0;
                without_gain = 0;
            }
        }
        model.checked()
    }

    /// One pass over new rows, from where the model is. One class is enough.
    pub(crate) fn partial_fit(
        &self,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> Result<SgdModel, Error> {
        let mut model = self.clone();
        model.take_moments(table, rows);
        // Rows seen so far make the order another for each batch.
        model.pass(table, labels, rows, derive(seed, model.learned.rows));
        model.checked()
    }

    fn checked(self) -> Result<SgdModel, Error> {
        match self.learned.is_valid(self.learned.weights.len()) {
            true => Ok(self),
            false => Err(Error::Solver("the weights grew without bound; lower eta0 or standardise".into())),
        }
    }

    /// Adds rows to the means and deviations, and moves the weights with them.
    fn take_moments(&mut self, table: &FeatureTable, rows: &[u32]) {
        let numeric = self.moments.len();
        for (c, moments) in self.moments.iter_mut().enumerate() {
            let blocks: Vec<ColumnMoments> = rows
                .par_chunks(MOMENT_ROWS)
                .map(|block| ColumnMoments::of(table.numeric(c), block))
                .collect();
            *moments = blocks.into_iter().fold(*moments, ColumnMoments::merge);
            let scale = match moments.scale() {
                Some(scale) if self.params.standardise => scale,
                Some(_) => NumericScale::own_units(),
                // Sums of squares that overflow cannot go on from batch to batch: the scale stays that of the first rows.
                None if self.params.standardise && self.learned.rows == 0 => {
                    NumericScale::fit(rows.iter().map(|&row| table.numeric(c).get(row as usize)))
                }
                None => continue,
            };
            let (before, after) = (self.scales[c].inverse(), scale.inverse());
            if before > 0.0 && after > 0.0 {
                let shift = before * (scale.mean() - self.scales[c].mean());
                self.learned.rescale(c, numeric + c, before / after, shift);
            }
            self.scales[c] = scale;
        }
    }

    /// Learns from every row once; the sum of their losses.
    fn pass(&mut self, table: &FeatureTable, labels: &[bool], rows: &[u32], seed: u64) -> f64 {
        let mut order = rows.to_vec();
        if self.params.shuffle {
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        }
        let encoded = Rows::new(self.params.hash_bits, &self.scales, table, rows);
        let width = self.moments.len();
        let mut pass = Pass::new(&self.params, &mut self.learned);
        let mut block = Block::default();
        for rows in order.chunks(BLOCK) {
            encoded.fill(rows, &mut block);
            let mut from = 0;
            for (i, &row) in rows.iter().enumerate() {
                let hot = &block.hot[from..block.hot_ends[i]];
                from = block.hot_ends[i];
                pass.learn(
                    &block.dense[i * width..][..width],
                    hot,
                    f64::from(u8::from(labels[row as usize])),
                );
            }
        }
        pass.finish()
    }

    /// Probability of the label for each of these rows.
    pub(crate) fn predict_proba(&self, table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
        let encoded = Rows::new(self.params.hash_bits, &self.scales, table, rows);
        let (weights, intercept) = self.learned.model();
        let width = self.moments.len();
        let mut scores = vec![0.0; rows.len()];
        scores.par_chunks_mut(BLOCK).zip(rows.par_chunks(BLOCK)).for_each(|(scores, rows)| {
            let mut block = Block::default();
            encoded.fill(rows, &mut block);
            let mut from = 0;
            for (i, score) in scores.iter_mut().enumerate() {
                let dense = block.dense[i * width..][..width].iter().zip(&weights).map(|(v, w)| v * w);
                let hot = block.hot[from..block.hot_ends[i]].iter().map(|&column| weights[column as usize]);
                from = block.hot_ends[i];
                *score = sigmoid(intercept + dense.sum::<f64>() + hot.sum::<f64>());
            }
        });
        scores
    }

    /// The weights of the numeric features; hashed columns have no name.
    pub(crate) fn coefficients(&self, names: &[String]) -> Coefficients {
        let (weights, mut intercept) = self.learned.model();
        let mut columns = Vec::with_capacity(2 * names.len());
        for (c, (name, scale)) in names.iter().zip(&self.scales).enumerate() {
            let weight = weights[c] * scale.inverse();
            intercept -= weight * scale.mean();
            columns.push(Coefficient { column: name.clone(), weight, standardised: weights[c] });
        }
        for (c, name) in names.iter().enumerate() {
            // A row that misses the value is scored with it at its mean.
            let weight = weights[names.len() + c];
            columns.push(Coefficient { column: format!("{name} is missing"), weight, standardised: weight });
        }
        Coefficients { intercept, columns }
    }

    /// The scales of the numeric features, and the weights, on which the intercept follows: of their scores, of their missing
    /// values, and of hashed categories.
    pub(crate) fn parts(&self) -> (&[NumericScale], (Vec<f64>, f64)) {
        (&self.scales, self.learned.model())
    }

    /// Whether the model is as `fit` makes it for so many features; a file might hold anything.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.params.validate().is_ok()
            && self.moments.len() == numeric
            && self.moments.iter().all(ColumnMoments::is_valid)
            && self.scales.len() == numeric
            && self.scales.iter().all(NumericScale::is_valid)
            && self.categorical as usize == categorical
            && self
                .learned
                .is_valid(2 * numeric + (1 << self.params.hash_bits) * usize::from(categorical > 0))
            && self.learned.weight_sums.is_empty() != self.params.average
            && self.learned.l1_taken.is_empty() != (self.params.penalties().0 > 0.0)
    }
}

impl<'a> Rows<'a> {
    fn new(hash_bits: u32, scales: &'a [NumericScale], table: &'a FeatureTable, rows: &[u32]) -> Rows<'a> {
        let (first, mask) = (2 * scales.len() as u32, (1u64 << hash_bits) - 1);
        let of_feature = |c: usize| {
            let column = table.categorical(c);
            let mut buckets = vec![0; column.dictionary.len() + 1];
            each_code(column, rows, |code, name| {
                let name = name.map_or(u64::MAX, |name| u64::from(crc32fast::hash(name.as_bytes())));
                buckets[code] = first + (derive(name, c as u64) & mask) as u32;
            });
            buckets
        };
        let buckets = (0..table.categorical_names().len()).into_par_iter().map(of_feature).collect();
        Rows { table, scales, buckets }
    }

    fn fill(&self, rows: &[u32], block: &mut Block) {
        let width = self.scales.len();
        block.dense.clear();
        block.dense.resize(rows.len() * width, 0.0);
        block.missing.clear();
        block.missing.resize(rows.len() * width, false);
        block.hot.clear();
        block.hot_ends.clear();
        let mut column = [0.0; BLOCK];
        let mut any_missing = false;
        for (c, scale) in self.scales.iter().enumerate() {
            let values = self.table.numeric(c);
            for (value, &row) in column.iter_mut().zip(rows) {
                *value = values.get(row as usize);
            }
            let column = &mut column[..rows.len()];
            if column.iter().any(|value| value.is_nan()) {
                any_missing = true;
                let missing = block.missing[c..].iter_mut().step_by(width);
                missing.zip(column.iter()).for_each(|(missing, value)| *missing = value.is_nan());
            }
            scale.put_scores(column);
            block.dense[c..]
                .iter_mut()
                .step_by(width)
                .zip(column.iter())
                .for_each(|(score, value)| *score = *value);
        }
        for (at, &row) in rows.iter().enumerate() {
            if any_missing {
                let missing = &block.missing[at * width..][..width];
                let columns = missing.iter().zip(width..).filter(|(missing, _)| **missing);
                block.hot.extend(columns.map(|(_, column)| column as u32));
            }
            for (c, buckets) in self.buckets.iter().enumerate() {
                let code = self.table.categorical(c).codes.get(row as usize) as usize;
                block.hot.push(buckets[code.min(buckets.len() - 1)]);
            }
            block.hot_ends.push(block.hot.len());
        }
    }
}
