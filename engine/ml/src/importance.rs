//! What a feature is worth to a fitted model: how much AUC goes when its values are shuffled among the rows (permutation
//! importance; Breiman 2001, Fisher et al. 2019).

use crate::seed::derive;
use crate::{BinaryMetrics, Classifier, Error, FeatureTable};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Rows that are copied at once.
const BLOCK: usize = 1 << 17;

/// What one feature is worth.
///
/// ```
/// use tidemill_ml::{DecisionTreeParams, Estimator, FeatureTable, Fitted, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["says all".into(), "says nothing".into()], vec![]);
/// table.push_numeric(0, (0..90).map(|i| f64::from(i % 9)));
/// table.push_numeric(1, (0..90).map(|i| f64::from(i % 7)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..90).map(|i| i % 9 > 4).collect(), (0..90).collect());
/// let tree = Estimator::from(DecisionTreeParams::default());
/// let fitted = tree.fit(&Rows::new(&table, Target::Binary(&labels), &rows), 42)?;
/// let Fitted::Classifier(tree) = fitted else { unreachable!() };
/// let importances = tree.permutation_importances(&table, &labels, &rows, 3, 42)?;
/// assert!(importances[0].auc_drop > 0.2 && importances[1].auc_drop < 0.1);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Name of the feature.
    pub feature: String,
    /// Mean over the repeats of AUC as it is less AUC with this feature shuffled: near 0, or below, for a feature that
    /// says nothing that others do not.
    pub auc_drop: f64,
    /// Standard deviation of the drop over the repeats (of the population, as scikit-learn's); 0 for one repeat.
    pub deviation: f64,
}

impl Classifier {
    /// The worth of each feature on these rows, numeric features first, in order: best rows that the model did not learn
    /// from. `labels` has one value a row of the table; each feature is shuffled `repeats` times.
    ///
    /// # Errors
    ///
    /// Those of [`predict_proba`](Classifier::predict_proba); [`Error::LengthMismatch`] for `labels`;
    /// [`Error::BadParameter`] for no repeats; [`Error::NoRows`], and [`Error::OneClass`] where AUC is not defined.
    pub fn permutation_importances(
        &self,
        table: &FeatureTable,
        labels: &[bool],
        rows: &[u32],
        repeats: u32,
        seed: u64,
    ) -> Result<Vec<Importance>, Error> {
        if repeats == 0 {
            let (name, expected) = ("repeats", "at least 1");
            return Err(Error::BadParameter { name, value: "0".into(), expected });
        }
        if labels.len() != table.rows() {
            return Err(Error::LengthMismatch {
                what: "labels",
                expected: table.rows(),
                found: labels.len(),
            });
        }
        let as_is = self.predict_proba(table, rows)?;
        let labels: Vec<bool> = rows.iter().map(|&row| labels[row as usize]).collect();
        let auc = |scores: &[f64]| {
            let one_class = || Error::OneClass { label: labels[0], rows: labels.len() };
            BinaryMetrics::compute(&labels, scores)?.auc.ok_or_else(one_class)
        };
        let whole = auc(&as_is)?;
        let mut block = table.without_rows();
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let names = table.numeric_names().iter().chain(table.categorical_names());
        let mut found = Vec::new();
        for (feature, name) in names.enumerate() {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, feature as u64));
            let mut drops = Vec::new();
            for _ in 0..repeats {
                order.shuffle(&mut random);
                drops.push(whole - auc(&self.shuffled_proba(table, rows, feature, &order, &mut block)?)?);
            }
            let mean = drops.iter().sum::<f64>() / drops.len() as f64;
            let variance = drops.iter().map(|drop| (drop - mean).powi(2)).sum::<f64>() / drops.len() as f64;
            found.push(Importance { feature: name.clone(), auc_drop: mean, deviation: variance.sqrt() });
        }
        Ok(found)
    }

    /// The probabilities of these rows where each has the feature of the row whose place is in `order`, a block at a time.
    fn shuffled_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        feature: usize,
        order: &[u32],
        block: &mut FeatureTable,
    ) -> Result<Vec<f64>, Error> {
        let mut scores = Vec::with_capacity(rows.len());
        for (rows_of_block, order) in rows.chunks(BLOCK).zip(order.chunks(BLOCK)) {
            let from: Vec<u32> = order.iter().map(|&place| rows[place as usize]).collect();
            table.take_into(block, rows_of_block, feature, &from);
            let all: Vec<u32> = (0..rows_of_block.len() as u32).collect();
            scores.extend(self.predict_proba(block, &all)?);
        }
        Ok(scores)
    }
}
