//! What fits leave for the next ones: they change the time that a fit takes, and nothing else.

use crate::{Error, FeatureTable, KeptBins, KeptCounts};
use std::sync::{Arc, PoisonError, RwLock};

/// What makes the next fit of a model sooner than the one before: bins of rows, counts of trees. The model is the same
/// with or without, so a cache is never written to disk.
///
/// Bins are of a table's rows, and models that learn from the same ones [share](Cache::share_rows) them; counts are one
/// model's own, of a forest or a decision tree, and at most 16 MiB.
///
/// Bins are made anew when the training rows have doubled (to 512, 1,024, 2,048 …; below 256 they are made of all rows), and
/// those of one feature when it has left them: that is, if at a quarter, half or three quarters of the way the population
/// stability index of the rows since the last such point, against those that the bins were made of, is above .25 and above
/// what so few rows have by chance. All of it is a function of the training rows so far, in their order, alone.
///
/// ```
/// use tidemill_ml::{Cache, Estimator, FeatureTable, RandomForestParams, Rows, Target};
///
/// let (mut table, mut labels) = (FeatureTable::new(vec!["x".into()], vec![]), Vec::new());
/// let (mut cache, mut forest) = (Cache::new(), None);
/// let estimator = Estimator::from(RandomForestParams::default());
/// for batch in 1..4u32 {
///     let rows: Vec<u32> = (0..500 * batch).collect();
///     table.push_numeric(0, rows[labels.len()..].iter().map(|row| f64::from(row % 37)));
///     table.finish_append()?;
///     labels.extend(rows[labels.len()..].iter().map(|row| row % 37 > 11));
///     cache.extend(&table, &rows)?;
///     let rows = Rows::new(&table, Target::Binary(&labels), &rows);
///     let refitted = estimator.refit(&rows, 42, forest.as_ref(), &mut cache)?;
///     assert_eq!(refitted, estimator.refit(&rows, 42, forest.as_ref(), &mut Cache::new())?);
///     forest = Some(refitted);
/// }
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Cache {
    bins: Arc<RwLock<KeptBins>>,
    counts: KeptCounts,
    reseeded: Vec<u32>,
    /// Of the model after a pipeline's steps, whose rows are what these make.
    behind: Option<Box<Cache>>,
}

impl Cache {
    /// Nothing yet.
    pub fn new() -> Cache {
        Cache::default()
    }

    /// Takes up rows that were added to a table, of which `training` are those to learn from, strictly ascending. Rows that
    /// were given before are to be there still, and first; if they are not, all is begun anew. One byte a feature and row.
    ///
    /// # Errors
    ///
    /// [`Error::NoFeatures`], [`Error::RowOutOfRange`] and [`Error::RowsNotAscending`]; nothing has then changed.
    pub fn extend(&mut self, table: &FeatureTable, training: &[u32]) -> Result<(), Error> {
        self.bins.write().unwrap_or_else(PoisonError::into_inner).extend(table, training)
    }

    /// Bytes of memory that what is kept of rows takes; also of those behind the steps of a pipeline.
    pub fn bytes(&self) -> u64 {
        self.with_bins(KeptBins::bytes) + self.behind.as_ref().map_or(0, |behind| behind.bytes())
    }

    /// What is kept of rows is from now on that of the other cache, and there once for both.
    pub fn share_rows(&mut self, other: &Cache) {
        self.bins = Arc::clone(&other.bins);
    }

    /// Forgets everything, also what is shared.
    pub fn clear(&mut self) {
        *self.bins.write().unwrap_or_else(PoisonError::into_inner) = KeptBins::new();
        (self.counts, self.reseeded, self.behind) = (KeptCounts::new(), Vec::new(), None);
    }

    /// Clusters that the last fit began again elsewhere, as hardly any row was theirs.
    pub fn reseeded(&self) -> &[u32] {
        &self.reseeded
    }

    /// Runs with the bins and the counts.
    pub(crate) fn with_trees<T>(&mut self, fit: impl FnOnce(&KeptBins, &mut KeptCounts) -> T) -> T {
        let bins = self.bins.read().unwrap_or_else(PoisonError::into_inner);
        fit(&bins, &mut self.counts)
    }

    /// Runs with the bins.
    pub(crate) fn with_bins<T>(&self, score: impl FnOnce(&KeptBins) -> T) -> T {
        score(&self.bins.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Training rows whose counts in trees are kept; 0 if none are.
    pub fn counted_rows(&self) -> usize {
        self.counts.rows()
    }

    /// Rows whose bins are kept.
    pub(crate) fn rows(&self) -> usize {
        self.with_bins(KeptBins::rows)
    }

    /// What was kept behind the steps of a pipeline; it is gone from here.
    pub(crate) fn take_behind(&mut self) -> Option<Cache> {
        self.behind.take().map(|cache| *cache)
    }

    /// Keeps it for the next fit.
    pub(crate) fn put_behind(&mut self, cache: Cache) {
        self.behind = Some(Box::new(cache));
    }

    pub(crate) fn set_reseeded(&mut self, clusters: Vec<u32>) {
        self.reseeded = clusters;
    }
}
