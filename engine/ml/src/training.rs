//! What a classifier learns from.

use crate::forest::MAX_ROWS;
use crate::{Error, FeatureTable, KeptBins};

/// Rows of a table with their labels, and what they weigh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainingRows<'a> {
    /// The features.
    pub(crate) table: &'a FeatureTable,
    /// One a row of the table.
    pub(crate) labels: &'a [bool],
    /// The rows to learn from, strictly ascending.
    pub(crate) rows: &'a [u32],
    /// One a row of the table, finite and not below 0; only their ratios matter. A row of weight 0 is as if it was not
    /// among `rows`. `None`: all the same.
    ///
    /// Trees count a row as weight / mean weight rows: in the gain of a split and the score of a leaf, and in the numbers
    /// that [`TargetEncoded`](crate::Categories::TargetEncoded) makes of categories. Bins and `min_samples_leaf` are of
    /// rows as they are.
    pub(crate) weights: Option<&'a [f64]>,
    /// Bins that trees use instead of making their own, if they were last extended to exactly these rows of this table;
    /// the model is the same with or without.
    pub(crate) bins: Option<&'a KeptBins>,
}

impl<'a> TrainingRows<'a> {
    /// Rows that weigh the same.
    #[cfg(test)]
    pub(crate) fn new(table: &'a FeatureTable, labels: &'a [bool], rows: &'a [u32]) -> TrainingRows<'a> {
        TrainingRows { table, labels, rows, weights: None, bins: None }
    }

    /// Checks the arguments; gives the rows that remain where some weigh nothing.
    pub(crate) fn check(&self) -> Result<Option<Vec<u32>>, Error> {
        let weighing = weighing(self.table, ("labels", self.labels.len()), self.rows, self.weights)?;
        self.check_classes(weighing.as_deref().unwrap_or(self.rows))?;
        Ok(weighing)
    }

    fn check_classes(&self, rows: &[u32]) -> Result<(), Error> {
        check_count(rows, 2)?;
        match rows {
            [] => Ok(()),
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
        weighs_the_same(self.rows, self.weights)
    }
}

/// Rows of a table, each with the number of its class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassRows<'a> {
    pub(crate) table: &'a FeatureTable,
    /// One a row of the table, below `classes`.
    pub(crate) labels: &'a [u32],
    /// How many classes there are; each has a row.
    pub(crate) classes: u32,
    /// The rows to learn from, strictly ascending.
    pub(crate) rows: &'a [u32],
    /// As those of [`TrainingRows`].
    pub(crate) weights: Option<&'a [f64]>,
    /// As those of [`TrainingRows`].
    pub(crate) bins: Option<&'a KeptBins>,
}

impl ClassRows<'_> {
    /// Checks the arguments; gives the rows that remain where some weigh nothing.
    pub(crate) fn check(&self) -> Result<Option<Vec<u32>>, Error> {
        let weighing = weighing(self.table, ("labels", self.labels.len()), self.rows, self.weights)?;
        let rows = weighing.as_deref().unwrap_or(self.rows);
        check_count(rows, 2)?;
        let counts = counts_of(self.labels, self.classes, rows)?;
        let mut empty = (0u32..).zip(&counts).filter(|(_, count)| **count == 0).map(|(class, _)| class);
        let class = self.labels[rows[0] as usize];
        if rows.iter().all(|row| self.labels[*row as usize] == class) {
            return Err(Error::OneOfManyClasses { class, rows: rows.len() });
        }
        match empty.next() {
            Some(class) => Err(Error::ClassWithoutRows { class, classes: self.classes, rows: rows.len() }),
            None => Ok(weighing),
        }
    }
}

/// Rows of a table, each with a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberRows<'a> {
    pub(crate) table: &'a FeatureTable,
    /// One a row of the table, finite in those to learn from.
    pub(crate) values: &'a [f64],
    /// The rows to learn from, strictly ascending.
    pub(crate) rows: &'a [u32],
    /// As those of [`TrainingRows`].
    pub(crate) weights: Option<&'a [f64]>,
    /// As those of [`TrainingRows`].
    pub(crate) bins: Option<&'a KeptBins>,
}

impl NumberRows<'_> {
    /// Checks the arguments; gives the rows that remain where some weigh nothing.
    pub(crate) fn check(&self) -> Result<Option<Vec<u32>>, Error> {
        let weighing = weighing(self.table, ("values", self.values.len()), self.rows, self.weights)?;
        let rows = weighing.as_deref().unwrap_or(self.rows);
        check_count(rows, 1)?;
        check_finite(self.values, rows)?;
        Ok(weighing)
    }
}

/// Rows of each class.
///
/// # Errors
///
/// [`Error::NoSuchClass`] for the first row of another.
pub(crate) fn counts_of(labels: &[u32], classes: u32, rows: &[u32]) -> Result<Vec<u64>, Error> {
    // More classes than rows are not all there: nothing is kept for them.
    let mut counts = vec![0; (classes as usize).min(rows.len() + 1)];
    for &row in rows {
        let class = labels[row as usize];
        if class >= classes {
            return Err(Error::NoSuchClass { row, class, classes });
        }
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    Ok(counts)
}

/// Checks that these rows have a finite number.
pub(crate) fn check_finite(values: &[f64], rows: &[u32]) -> Result<(), Error> {
    match rows.iter().find(|&&row| !values[row as usize].is_finite()) {
        Some(&row) => Err(Error::BadTarget { row, value: values[row as usize] }),
        None => Ok(()),
    }
}

/// Checks what all targets have in common; gives the rows that remain where some weigh nothing.
fn weighing(
    table: &FeatureTable,
    target: (&'static str, usize),
    rows: &[u32],
    weights: Option<&[f64]>,
) -> Result<Option<Vec<u32>>, Error> {
    if table.features() == 0 {
        return Err(Error::NoFeatures);
    }
    let length = |(what, found)| match found == table.rows() {
        true => Ok(()),
        false => Err(Error::LengthMismatch { what, expected: table.rows(), found }),
    };
    length(target)?;
    table.check_training_rows(rows)?;
    let Some(weights) = weights else { return Ok(None) };
    length(("weights", weights.len()))?;
    if let Some(&row) = rows.iter().find(|&&row| !(0.0..f64::INFINITY).contains(&weights[row as usize])) {
        return Err(Error::BadWeight { row, value: weights[row as usize] });
    }
    let left: Vec<u32> = rows.iter().copied().filter(|&row| weights[row as usize] > 0.0).collect();
    Ok(Some(left).filter(|left| left.len() < rows.len()))
}

/// Checks that there are rows enough, and not too many.
fn check_count(rows: &[u32], needed: usize) -> Result<(), Error> {
    match rows.len() {
        0 => Err(Error::NoRows),
        found if found < needed => Err(Error::TooFewRows { rows: found, needed }),
        found if found > MAX_ROWS => Err(Error::TooManyRows { rows: found, limit: MAX_ROWS }),
        _ => Ok(()),
    }
}

/// Whether all of these rows weigh the same.
pub(crate) fn weighs_the_same(rows: &[u32], weights: Option<&[f64]>) -> bool {
    weights.is_none_or(|weights| {
        let mut of_rows = rows.iter().map(|&row| weights[row as usize]);
        let first = of_rows.next();
        of_rows.all(|weight| Some(weight) == first)
    })
}
