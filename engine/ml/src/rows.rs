//! What an estimator learns from and a fitted model is scored on: rows of a table, with what is to be predicted of them.

use crate::{Error, FeatureTable, Task};

/// What is to be predicted, one value a row of the table.
///
/// ```
/// use tidemill_ml::{Target, TargetKind};
///
/// assert_eq!(Target::Binary(&[true, false]).len(), Some(2));
/// assert_eq!(Target::Classes { labels: &[0, 2, 1], classes: 3 }.kind(), TargetKind::Classes);
/// assert_eq!(Target::None.len(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Target<'a> {
    /// Nothing: rows are grouped.
    #[default]
    None,
    /// Whether a row is of the one of two classes that is looked for.
    Binary(&'a [bool]),
    /// The class of a row.
    Classes {
        /// The number of a row's class, from 0, below `classes`.
        labels: &'a [u32],
        /// How many classes there are; a fit needs rows of each.
        classes: u32,
    },
    /// A number, finite.
    Numbers(&'a [f64]),
}

/// Of what kind a target is.
///
/// ```
/// use tidemill_ml::{Target, TargetKind, Task};
///
/// assert_eq!(Target::Numbers(&[1.5]).kind(), TargetKind::Numbers);
/// assert_eq!(TargetKind::Numbers.task(), Task::Regress);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Nothing.
    None,
    /// One of two classes.
    Binary,
    /// One of many classes.
    Classes,
    /// A number.
    Numbers,
}

impl TargetKind {
    /// What a model that learns it is for; without a target most are clusterings, and
    /// [`AlgorithmInfo::task`](crate::AlgorithmInfo::task) knows them all.
    pub fn task(self) -> Task {
        match self {
            TargetKind::None => Task::Cluster,
            TargetKind::Binary | TargetKind::Classes => Task::Classify,
            TargetKind::Numbers => Task::Regress,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            TargetKind::None => "nothing",
            TargetKind::Binary => "one of two classes",
            TargetKind::Classes => "one of many classes",
            TargetKind::Numbers => "a number",
        }
    }
}

impl<'a> Target<'a> {
    /// Values; `None` where there is nothing to predict.
    pub fn len(&self) -> Option<usize> {
        match self {
            Target::None => None,
            Target::Binary(values) => Some(values.len()),
            Target::Classes { labels, .. } => Some(labels.len()),
            Target::Numbers(values) => Some(values.len()),
        }
    }

    /// Whether there are values to predict, and none of them.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Of what kind it is.
    pub fn kind(&self) -> TargetKind {
        match self {
            Target::None => TargetKind::None,
            Target::Binary(_) => TargetKind::Binary,
            Target::Classes { .. } => TargetKind::Classes,
            Target::Numbers(_) => TargetKind::Numbers,
        }
    }

    /// The labels of two classes, which is all that this one learns.
    pub(crate) fn binary(&self, learner: &'static str) -> Result<&'a [bool], Error> {
        match self {
            Target::Binary(labels) => Ok(labels),
            _ => Err(Error::OtherTarget {
                learner,
                expected: TargetKind::Binary.words().to_owned(),
                found: self.kind().words(),
                others: String::new(),
            }),
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
    /// Indices of the rows. To learn a target from they ascend strictly; else any order, repeats allowed.
    pub rows: &'a [u32],
    /// What rows weigh, one value a row of the table, finite and not below 0; only ratios matter. A row of weight 0 is as if it
    /// was not among `rows`. `None`: all the same.
    ///
    /// Trees count a row as weight / mean weight rows: in the gain of a split and the score of a leaf, and in the numbers
    /// that [`TargetEncoded`](crate::Categories::TargetEncoded) makes of categories. Bins and `min_samples_leaf` are of
    /// rows as they are.
    pub weights: Option<&'a [f64]>,
}

impl<'a> Rows<'a> {
    /// Rows that weigh the same.
    pub fn new(table: &'a FeatureTable, target: Target<'a>, rows: &'a [u32]) -> Rows<'a> {
        Rows { table, target, rows, weights: None }
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
}
