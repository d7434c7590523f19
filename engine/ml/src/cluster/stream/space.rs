//! One space for several clusterings: what rows are capped at and the scale of each column, by those rows.

use super::ClusterStream;
use super::params::Outliers;
use super::prepare::{Column, Prepared, points};
use crate::cluster::metrics::{self, Clustered};
use crate::cluster::points::Points;
use crate::cluster::rows::{check_numeric, complete, scores_of};
use crate::cluster::{ClusterMetrics, SilhouetteRows, nearest};
use crate::encode::scale::NumericScale;
use crate::table::check_names;
use crate::{Error, FeatureTable};

/// Where rows lie that clusterings are scored on: standard deviations of these rows, capped at their own fences.
///
/// Each clustering caps and standardises by what it has learned, some of it long ago. Numbers in so many spaces compare
/// nothing: one that has learned little of a column sees it wide, and its clusters well apart. In one space they do.
///
/// ```
/// use tidemill_ml::{
///     ClusterSpace, ClusterStream, ClusterStreamParams, FeatureTable, KMeansParams, Outliers, SilhouetteRows, StreamLearner,
/// };
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, (0..40).map(|i| f64::from(i % 2 * 50 + i % 5)));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..40).collect();
/// let learner = StreamLearner::Kmeans(KMeansParams { clusters: 2, ..KMeansParams::default() });
/// let mut of_few = ClusterStream::new(ClusterStreamParams { learner, ..ClusterStreamParams::default() }, vec!["spent".into()])?;
/// of_few.partial_fit(&table, &rows[..4], 42)?;
/// let space = ClusterSpace::of(&table, &rows, Outliers::Cap)?;
/// let metrics = of_few.metrics_in(&space, &table, &rows, SilhouetteRows::Exact, 42)?;
/// // The two groups are 50 apart, which is two deviations of all rows.
/// assert!(metrics.separation.is_some_and(|distance| (1.9..2.1).contains(&distance)));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClusterSpace {
    names: Vec<String>,
    columns: Vec<Prepared>,
}

impl ClusterSpace {
    /// The space of these rows of a table of numbers, those with a missing value aside.
    ///
    /// # Errors
    ///
    /// [`Error::TextColumns`] and [`Error::RowOutOfRange`].
    pub fn of(table: &FeatureTable, rows: &[u32], outliers: Outliers) -> Result<ClusterSpace, Error> {
        check_numeric(table)?;
        table.check_rows(rows)?;
        let complete = complete(table, rows);
        let of_column = |c: usize| {
            let values = complete.iter().map(|&row| table.numeric(c).get(row as usize));
            Column::new(outliers, values.clone()).learn(1.0, values.map(|value| (value, 1.0)).collect())
        };
        let names = table.numeric_names().to_vec();
        Ok(ClusterSpace { columns: (0..names.len()).map(of_column).collect(), names })
    }
}

impl ClusterStream {
    /// [`metrics`](ClusterStream::metrics) in a space that is not the stream's own: a row is of the cluster that
    /// [`assign`](ClusterStream::assign) gives it, and distances are those of the space.
    ///
    /// # Errors
    ///
    /// As `metrics`; [`Error::FeatureMismatch`] where the space has other columns.
    pub fn metrics_in(
        &self,
        space: &ClusterSpace,
        table: &FeatureTable,
        rows: &[u32],
        silhouette: SilhouetteRows,
        seed: u64,
    ) -> Result<ClusterMetrics, Error> {
        self.check(table, rows)?;
        check_names("numeric", &self.names, &space.names)?;
        if self.centres.is_empty() {
            return Err(Error::NoRows);
        }
        let complete = complete(table, rows);
        let own = self.placed(table, &complete);
        let clusters = nearest::assign(own.points(), &own.centres).0;
        let scales: Vec<NumericScale> = space.columns.iter().map(|column| column.scale).collect();
        let values = points(&space.columns, table, &complete);
        let clustered = Clustered { points: Points::dense(scales.len(), &values), clusters: &clusters };
        let left_out = (rows.len() - complete.len()) as u64;
        metrics::compute(clustered, &scores_of(&scales, &self.centres), left_out, silhouette, seed)
    }
}
