//! From the rows of a fit to the bins that trees grow from.

use super::draw::MAX_ROWS;
use super::params::Categories;
use crate::encode::bins::{BinnedRows, FeatureBins, TableBins};
use crate::encode::kept::bins_of;
use crate::encode::target::{TargetEncoding, fold, row_units};
use crate::seed::derive;
use crate::table::CategoryColumn;
use crate::training::TrainingRows;
use crate::{FeatureTable, KeptBins};
use std::borrow::Cow;

/// Rows to learn from, whatever is to be predicted of them.
#[derive(Clone, Copy)]
pub(crate) struct FeatureRows<'a> {
    pub(crate) table: &'a FeatureTable,
    pub(crate) rows: &'a [u32],
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) bins: Option<&'a KeptBins>,
}

/// What target encoding makes numbers of, by row of the table.
pub(crate) enum EncodedTarget<'a> {
    Labels(&'a [bool]),
    /// One of so many classes. A category becomes the number of one class against all others: of the class whose share the
    /// categories of the column differ in most, by the sum of squares between them.
    Classes(&'a [u32], u32),
    /// What [`share_of`](crate::encode::target::share_of) makes of numbers.
    Shares(&'a [u32]),
}

/// How features become bins, and the bins of the training rows.
pub(crate) struct Prepared<'a> {
    pub(crate) bins: TableBins,
    pub(crate) binned: Cow<'a, BinnedRows>,
    /// Whether `binned` is by row of the table, and not by position among the training rows.
    pub(crate) by_table_row: bool,
}

impl<'a> Prepared<'a> {
    pub(crate) fn of(training: &TrainingRows<'a>, categories: Categories, seed: u64) -> Prepared<'a> {
        let TrainingRows { table, labels, rows, weights, bins } = *training;
        let features = FeatureRows { table, rows, weights, bins };
        Prepared::of_target(&features, &EncodedTarget::Labels(labels), categories, seed)
    }

    pub(crate) fn of_target(
        training: &FeatureRows<'a>,
        target: &EncodedTarget<'_>,
        categories: Categories,
        seed: u64,
    ) -> Prepared<'a> {
        // An entry of a tree has no more bits for a row of the table than it has for a training row.
        let bins = training.bins.filter(|_| training.table.rows() <= MAX_ROWS);
        let kept = bins.and_then(|kept| kept.of(training.table, training.rows));
        let prepared = match kept {
            Some((bins, binned)) => {
                Prepared { bins: bins.clone(), binned: Cow::Borrowed(binned), by_table_row: true }
            }
            None => {
                let (bins, binned) = bins_of(training.table, training.rows);
                Prepared { bins, binned: Cow::Owned(binned), by_table_row: false }
            }
        };
        match categories {
            Categories::Native => prepared,
            Categories::TargetEncoded => prepared.target_encoded(training, target, seed),
        }
    }

    /// The same with the bins of the training rows by position.
    pub(crate) fn by_position(self, rows: &[u32]) -> Prepared<'a> {
        match self.by_table_row {
            false => self,
            true => {
                Prepared { binned: Cow::Owned(self.binned.take(rows)), by_table_row: false, bins: self.bins }
            }
        }
    }

    /// With each category as a number: the training rows out of fold, so that none sees its own label. Depends on the
    /// labels, so nothing of it is kept between fits.
    fn target_encoded(
        self,
        training: &FeatureRows<'_>,
        target: &EncodedTarget<'_>,
        seed: u64,
    ) -> Prepared<'a> {
        let Prepared { mut bins, binned, .. } = self.by_position(training.rows);
        let mut binned = binned.into_owned();
        let numeric = training.table.numeric_names().len();
        let units = training.weights.map(|weights| row_units(weights, training.rows));
        for feature in numeric..training.table.features() {
            let column = training.table.categorical(feature - numeric);
            let seed = derive(seed, feature as u64);
            let (rows, units) = (training.rows, units.as_deref());
            let (encoding, scores) = match *target {
                EncodedTarget::Labels(labels) => TargetEncoding::fit(column, labels, rows, units, seed, None),
                EncodedTarget::Shares(shares) => {
                    TargetEncoding::fit_shares(column, shares, rows, units, seed)
                }
                EncodedTarget::Classes(labels, classes) => {
                    let class = told_apart(column, labels, classes, rows);
                    let labels: Vec<bool> = labels.iter().map(|&label| label == class).collect();
                    TargetEncoding::fit(column, &labels, rows, units, seed, None)
                }
            };
            // The last entry is that of missing values.
            let missing = column.dictionary.len();
            let values: Vec<f64> = (training.rows.iter())
                .map(|&row| {
                    let code = (column.codes[row as usize] as usize).min(missing);
                    f64::from(scores[code][fold(row, seed)])
                })
                .collect();
            let (encoded, bins_of_rows) = FeatureBins::encoded(encoding, &values);
            let cells = binned.bins.iter_mut().skip(feature).step_by(binned.features);
            cells.zip(bins_of_rows).for_each(|(cell, bin)| *cell = bin);
            bins.0[feature] = encoded;
        }
        Prepared { bins, binned: Cow::Owned(binned), by_table_row: false }
    }
}

/// The class whose share the categories of a column differ in most: of the greatest sum of squares between them, the first
/// of equals. Rows count the same.
fn told_apart(column: &CategoryColumn, labels: &[u32], classes: u32, rows: &[u32]) -> u32 {
    let mut cells: Vec<(u32, u32)> =
        rows.iter().map(|&row| (column.codes[row as usize], labels[row as usize])).collect();
    cells.sort_unstable();
    // Sum over categories of rows of the class² / rows: more by the same for all, it is the sum of squares between.
    let (mut worths, mut totals) = (vec![0.0; classes as usize], vec![0.0; classes as usize]);
    for category in cells.chunk_by(|a, b| a.0 == b.0) {
        for of_class in category.chunk_by(|a, b| a.1 == b.1) {
            let count = of_class.len() as f64;
            worths[of_class[0].1 as usize] += count * count / category.len() as f64;
            totals[of_class[0].1 as usize] += count;
        }
    }
    let mut best = (f64::NEG_INFINITY, 0);
    for (class, (worth, total)) in (0u32..).zip(worths.iter().zip(&totals)) {
        let between = worth - total * total / rows.len() as f64;
        if between > best.0 {
            best = (between, class);
        }
    }
    best.1
}
