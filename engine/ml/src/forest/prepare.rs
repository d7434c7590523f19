//! From the rows of a fit to the bins that trees grow from.

use super::draw::MAX_ROWS;
use super::params::Categories;
use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::encoded::{EncodedColumns, KeptEncoding};
use crate::encode::kept::bins_of;
use crate::training::TrainingRows;
use crate::{FeatureTable, KeptBins};
use std::ops::Deref;
use std::sync::Arc;

pub(crate) use crate::encode::categories::EncodedTarget;

/// Rows to learn from, whatever is to be predicted of them.
#[derive(Clone, Copy)]
pub(crate) struct FeatureRows<'a> {
    pub(crate) table: &'a FeatureTable,
    pub(crate) rows: &'a [u32],
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) bins: Option<&'a KeptBins>,
}

/// How features become bins, and the bins of the training rows.
pub(crate) struct Prepared {
    pub(crate) bins: TableBins,
    pub(crate) binned: Binned,
    /// Whether `binned` is by row of the table, and not by position among the training rows.
    pub(crate) by_table_row: bool,
}

/// Bins that a fit has for itself, or shares with others.
pub(crate) enum Binned {
    Own(BinnedRows),
    Kept(Arc<BinnedRows>),
    Encoded(Arc<KeptEncoding>),
}

impl Deref for Binned {
    type Target = BinnedRows;

    fn deref(&self) -> &BinnedRows {
        match self {
            Binned::Own(binned) => binned,
            Binned::Kept(binned) => binned,
            Binned::Encoded(kept) => &kept.binned,
        }
    }
}

impl Prepared {
    pub(crate) fn of(training: &TrainingRows<'_>, categories: Categories, seed: u64) -> Prepared {
        let TrainingRows { table, labels, rows, weights, bins } = *training;
        let features = FeatureRows { table, rows, weights, bins };
        Prepared::of_target(&features, &EncodedTarget::Labels(labels), categories, seed)
    }

    pub(crate) fn of_target(
        training: &FeatureRows<'_>,
        target: &EncodedTarget<'_>,
        categories: Categories,
        seed: u64,
    ) -> Prepared {
        // An entry of a tree has no more bits for a row of the table than it has for a training row.
        let bins = training.bins.filter(|_| training.table.rows() <= MAX_ROWS);
        let encodes = match categories {
            Categories::TargetEncoded => true,
            Categories::Auto => matches!(target, EncodedTarget::Labels(_)),
            Categories::Native => false,
        } && !training.table.categorical_names().is_empty();
        if let (true, EncodedTarget::Labels(labels), None) = (encodes, target, training.weights) {
            let kept = bins.and_then(|kept| kept.encoded(training.table, training.rows, labels, seed));
            if let Some(kept) = kept {
                let bins = kept.bins.clone();
                return Prepared { bins, binned: Binned::Encoded(kept), by_table_row: true };
            }
        }
        let kept = bins.and_then(|kept| kept.of(training.table, training.rows));
        let prepared = match kept {
            Some((bins, binned)) => {
                Prepared { bins: bins.clone(), binned: Binned::Kept(binned), by_table_row: true }
            }
            None => {
                let (bins, binned) = bins_of(training.table, training.rows);
                Prepared { bins, binned: Binned::Own(binned), by_table_row: false }
            }
        };
        if encodes { prepared.encoded(training, target, seed) } else { prepared }
    }

    /// The same with the bins of the training rows by position.
    pub(crate) fn by_position(self, rows: &[u32]) -> Prepared {
        match self.by_table_row {
            false => self,
            true => {
                Prepared { binned: Binned::Own(self.binned.take(rows)), by_table_row: false, bins: self.bins }
            }
        }
    }

    /// With each category as a number, by position.
    fn encoded(self, training: &FeatureRows<'_>, target: &EncodedTarget<'_>, seed: u64) -> Prepared {
        let FeatureRows { table, rows, weights, .. } = *training;
        let columns = EncodedColumns::fit(table, rows, weights, target, seed);
        let bins = columns.bins(&self.bins.0[..table.numeric_names().len()]);
        let mut binned = match self.by_position(rows).binned {
            Binned::Own(binned) => binned,
            shared => (*shared).clone(),
        };
        columns.put_training(table, rows, &mut binned);
        Prepared { bins, binned: Binned::Own(binned), by_table_row: false }
    }
}
