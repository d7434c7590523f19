//! From the rows of a fit to the bins that trees grow from.

use super::draw::MAX_ROWS;
use super::params::Categories;
use crate::encode::bins::{BinnedRows, FeatureBins, TableBins};
use crate::encode::kept::bins_of;
use crate::encode::target::{TargetEncoding, fold, row_units};
use crate::seed::derive;
use crate::training::TrainingRows;
use std::borrow::Cow;

/// How features become bins, and the bins of the training rows.
pub(crate) struct Prepared<'a> {
    pub(crate) bins: TableBins,
    pub(crate) binned: Cow<'a, BinnedRows>,
    /// Whether `binned` is by row of the table, and not by position among the training rows.
    pub(crate) by_table_row: bool,
}

impl<'a> Prepared<'a> {
    pub(crate) fn of(training: &TrainingRows<'a>, categories: Categories, seed: u64) -> Prepared<'a> {
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
            Categories::TargetEncoded => prepared.target_encoded(training, seed),
        }
    }

    /// The same with the bins of the training rows by position.
    pub(crate) fn by_position(self, training: &TrainingRows<'_>) -> Prepared<'a> {
        match self.by_table_row {
            false => self,
            true => Prepared {
                binned: Cow::Owned(self.binned.take(training.rows)),
                by_table_row: false,
                bins: self.bins,
            },
        }
    }

    /// With each category as a number: the training rows out of fold, so that none sees its own label. Depends on the
    /// labels, so nothing of it is kept between fits.
    fn target_encoded(self, training: &TrainingRows<'_>, seed: u64) -> Prepared<'a> {
        let Prepared { mut bins, binned, .. } = self.by_position(training);
        let mut binned = binned.into_owned();
        let numeric = training.table.numeric_names().len();
        let units = training.weights.map(|weights| row_units(weights, training.rows));
        for feature in numeric..training.table.features() {
            let column = training.table.categorical(feature - numeric);
            let seed = derive(seed, feature as u64);
            let TrainingRows { labels, rows, .. } = *training;
            let (encoding, scores) = TargetEncoding::fit(column, labels, rows, units.as_deref(), seed, None);
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
