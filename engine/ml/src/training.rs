//! What a classifier learns from.

use crate::forest::MAX_ROWS;
use crate::{Error, FeatureTable, KeptBins};

/// Rows of a table with their labels, and what they weigh.
///
/// ```
/// use tidemill_ml::{
///     Classifier, ClassifierParams, FeatureTable, KeptBins, KeptCounts, RandomForestParams, TrainingRows,
/// };
///
/// let mut table = FeatureTable::new(vec!["x".into()], vec![]);
/// table.push_numeric(0, (0..300).map(|i| f64::from(i % 37)));
/// table.finish_append()?;
/// let (labels, rows): (Vec<bool>, Vec<u32>) = ((0..300).map(|i| i % 37 > 11).collect(), (0..300).collect());
/// let (mut bins, mut counts) = (KeptBins::new(), KeptCounts::new());
/// bins.extend(&table, &rows)?;
/// let training = TrainingRows { bins: Some(&bins), ..TrainingRows::new(&table, &labels, &rows) };
/// let params = ClassifierParams::RandomForest(RandomForestParams::default());
/// let forest = Classifier::refit(&params, &training, 42, None, &mut counts)?;
/// assert_eq!(forest, Classifier::fit_rows(&params, &TrainingRows::new(&table, &labels, &rows), 42, None)?);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TrainingRows<'a> {
    /// The features.
    pub table: &'a FeatureTable,
    /// One a row of the table.
    pub labels: &'a [bool],
    /// The rows to learn from, strictly ascending.
    pub rows: &'a [u32],
    /// One a row of the table, finite and not below 0; only their ratios matter. A row of weight 0 is as if it was not
    /// among `rows`. `None`: all the same.
    ///
    /// Trees count a row as weight / mean weight rows: in the gain of a split and the score of a leaf, and in the numbers
    /// that [`TargetEncoded`](crate::Categories::TargetEncoded) makes of categories. Bins and `min_samples_leaf` are of
    /// rows as they are.
    pub weights: Option<&'a [f64]>,
    /// Bins that trees use instead of making their own, if they were last extended to exactly these rows of this table;
    /// the model is the same with or without.
    pub bins: Option<&'a KeptBins>,
}

impl<'a> TrainingRows<'a> {
    /// Rows that weigh the same.
    pub fn new(table: &'a FeatureTable, labels: &'a [bool], rows: &'a [u32]) -> TrainingRows<'a> {
        TrainingRows { table, labels, rows, weights: None, bins: None }
    }

    /// Checks the arguments; gives the rows that remain where some weigh nothing.
    ///
    /// # Errors
    ///
    /// As [`Classifier::fit_rows`](crate::Classifier::fit_rows).
    pub(crate) fn check(&self) -> Result<Option<Vec<u32>>, Error> {
        if self.table.features() == 0 {
            return Err(Error::NoFeatures);
        }
        let length = |what, found| match found == self.table.rows() {
            true => Ok(()),
            false => Err(Error::LengthMismatch { what, expected: self.table.rows(), found }),
        };
        length("labels", self.labels.len())?;
        self.table.check_training_rows(self.rows)?;
        let Some(weights) = self.weights else {
            return self.check_classes(self.rows).map(|()| None);
        };
        length("weights", weights.len())?;
        if let Some(&row) =
            self.rows.iter().find(|&&row| !(0.0..f64::INFINITY).contains(&weights[row as usize]))
        {
            return Err(Error::BadWeight { row, value: weights[row as usize] });
        }
        let weighing: Vec<u32> =
            self.rows.iter().copied().filter(|&row| weights[row as usize] > 0.0).collect();
        self.check_classes(&weighing)?;
        Ok(Some(weighing).filter(|rows| rows.len() < self.rows.len()))
    }

    fn check_classes(&self, rows: &[u32]) -> Result<(), Error> {
        match rows {
            [] => Err(Error::NoRows),
            [_] => Err(Error::TooFewRows { rows: 1, needed: 2 }),
            _ if rows.len() > MAX_ROWS => Err(Error::TooManyRows { rows: rows.len(), limit: MAX_ROWS }),
            [first, ..] => {
                let label = self.labels[*first as usize];
                match rows.iter().any(|&row| self.labels[row as usize] != label) {
                    true => Ok(()),
                    false => Err(Error::OneClass { label, rows: rows.len() }),
                }
            }
        }
    }

    /// Whether all rows weigh the same: their weights then say nothing.
    pub(crate) fn weighs_the_same(&self) -> bool {
        self.weights.is_none_or(|weights| {
            let mut of_rows = self.rows.iter().map(|&row| weights[row as usize]);
            let first = of_rows.next();
            of_rows.all(|weight| Some(weight) == first)
        })
    }
}
