//! What an estimator learns from and a fitted model is scored on: rows of a table, with what is to be predicted of them.

use crate::{Error, FeatureTable, KeptBins, TrainingRows};

/// What is to be predicted, one value a row of the table.
///
/// ```
/// use tidemill_ml::Target;
///
/// assert_eq!(Target::Binary(&[true, false]).len(), Some(2));
/// assert_eq!(Target::None.len(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Target<'a> {
    /// Nothing: rows are grouped.
    #[default]
    None,
    /// Whether a row is of the one of two classes that is looked for.
    Binary(&'a [bool]),
    /// The number of a row's class, from 0.
    Classes(&'a [u32]),
    /// A number.
    Numbers(&'a [f64]),
}

impl<'a> Target<'a> {
    /// Values; `None` where there is nothing to predict.
    pub fn len(&self) -> Option<usize> {
        match self {
            Target::None => None,
            Target::Binary(values) => Some(values.len()),
            Target::Classes(values) => Some(values.len()),
            Target::Numbers(values) => Some(values.len()),
        }
    }

    /// Whether there are values to predict, and none of them.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The labels of two classes.
    pub(crate) fn binary(&self) -> Result<&'a [bool], Error> {
        match self {
            Target::Binary(labels) => Ok(labels),
            _ => Err(Error::OtherTarget { expected: Target::Binary(&[]).kind(), found: self.kind() }),
        }
    }

    /// The kind in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Target::None => "nothing",
            Target::Binary(_) => "one of two classes",
            Target::Classes(_) => "one of many classes",
            Target::Numbers(_) => "a number",
        }
    }
}

/// Some rows of a table: to learn from, or to be scored on.
///
/// ```
/// use tidemill_ml::{FeatureTable, Rows, Target};
///
/// let mut table = FeatureTable::new(vec!["hour".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 3.0]);
/// table.finish_append()?;
/// let rows = Rows::new(&table, Target::Binary(&[true, false, true]), &[0, 2]);
/// assert!(rows.weights.is_none());
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The features.
    pub table: &'a FeatureTable,
    /// What is to be predicted.
    pub target: Target<'a>,
    /// Indices of the rows. To learn a classifier from they ascend strictly; else any order, repeats allowed.
    pub rows: &'a [u32],
    /// What rows weigh, one value a row of the table, finite and not below 0; only ratios matter. `None`: all the same.
    pub weights: Option<&'a [f64]>,
}

impl<'a> Rows<'a> {
    /// Rows that weigh the same.
    pub fn new(table: &'a FeatureTable, target: Target<'a>, rows: &'a [u32]) -> Rows<'a> {
        Rows { table, target, rows, weights: None }
    }

    /// As a classifier of two classes takes them.
    pub(crate) fn binary(&self, bins: Option<&'a KeptBins>) -> Result<TrainingRows<'a>, Error> {
        let labels = self.target.binary()?;
        Ok(TrainingRows { table: self.table, labels, rows: self.rows, weights: self.weights, bins })
    }

    /// Checks that the rows are in the table, and that it has a label and a weight for each of its own.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let expected = self.table.rows();
        let lengths = [("labels", self.target.len()), ("weights", self.weights.map(<[f64]>::len))];
        for (what, length) in lengths {
            if let Some(found) = length.filter(|found| *found != expected) {
                return Err(Error::LengthMismatch { what, expected, found });
            }
        }
        self.table.check_rows(self.rows)
    }

    /// The weight of each of the rows.
    pub(crate) fn weights_of_rows(&self) -> Result<Option<Vec<f64>>, Error> {
        self.check()?;
        let of_rows =
            |weights: &[f64]| self.rows.iter().map(|&row| weights[row as usize]).collect::<Vec<_>>();
        Ok(self.weights.map(of_rows))
    }

    /// The labels of the rows.
    pub(crate) fn labels_of_rows(&self) -> Result<Vec<bool>, Error> {
        let labels = self.target.binary()?;
        self.check()?;
        Ok(self.rows.iter().map(|&row| labels[row as usize]).collect())
    }
}
