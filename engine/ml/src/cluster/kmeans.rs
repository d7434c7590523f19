//! K-means (Lloyd 1982), begun by greedy k-means++ (Arthur and Vassilvitskii 2007) or at known centres.
//!
//! The centres are found in `solve`; their sizes are counted here, from the centres that are kept.

use super::metrics::{self, ClusterMetrics, Clustered, SilhouetteRows};
use super::nearest;
use super::params::{KMeansBackend, KMeansParams};
use super::points::Points;
use super::rows::{check_numeric, complete, is_complete, scales, scores_of, values_of};
use super::solve::{self, MAX_SCORE};
use super::sweep::{self, ClusterSweep};
use crate::encode::scale::NumericScale;
use crate::file::{self, Kind};
use crate::table::check_names;
use crate::{Error, FeatureTable};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Fitted clusters: knows its columns and their scales, and so assigns the rows of any table of these columns.
///
/// ```
/// use tidemill_ml::{FeatureTable, KMeans, KMeansParams, SilhouetteRows};
///
/// let mut table = FeatureTable::new(vec!["recency".into(), "spent".into()], vec![]);
/// table.push_numeric(0, (0..90).map(|i| f64::from(i % 3 * 100 + i % 7)));
/// table.push_numeric(1, (0..90).map(|i| f64::from(i % 3 * 20 + i % 5)));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..90).collect();
///
/// let elbow = KMeans::sweep(&KMeansParams::default(), &table, &rows, 2..=6, SilhouetteRows::Exact, 42)?;
/// assert_eq!(elbow.elbow, Some(3));
/// let params = KMeansParams { clusters: 3, ..KMeansParams::default() };
/// let model = KMeans::fit(&params, &table, &rows, 42, None)?;
/// assert_eq!(model.sizes(), [30, 30, 30]);
/// assert_eq!(model.assign(&table, &[0, 1])?, model.assign(&table, &[87, 88])?);
/// assert!(model.metrics(&table, &rows, 42)?.silhouette > Some(0.9));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    names: Vec<String>,
    scales: Vec<NumericScale>,
    /// Standardised, row-major: clusters × columns.
    centres: Vec<f64>,
    sizes: Vec<u64>,
    left_out: u64,
}

impl KMeans {
    /// Fits on some rows of a table of numeric columns.
    ///
    /// `rows` are the training rows, strictly ascending; those with a missing value are left out. Columns are
    /// standardised by the mean and standard deviation of the rows that are not; a constant column is 0 everywhere, and
    /// has no say. `seed` decides every random choice; the result does not depend on the number of threads.
    ///
    /// `warm_start` is the previous model: the one run then begins at its centres, and cluster i stays what it was; a
    /// model of other columns or another number of clusters is ignored. Where fewer points differ than there are
    /// clusters, some centres are equal, to rounding, and all but one of those have no rows.
    ///
    /// # Errors
    ///
    /// [`Error::TextColumns`] if the table has text columns, [`Error::NoFeatures`] if it has no columns,
    /// [`Error::BadParameter`], [`Error::RowOutOfRange`] and [`Error::RowsNotAscending`] for arguments that do not fit;
    /// [`Error::NoRows`] without rows and [`Error::TooFewForClusters`] with fewer rows without a missing value than
    /// clusters; [`Error::Solver`] if no finite centres were found.
    pub fn fit(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        seed: u64,
        warm_start: Option<&KMeans>,
    ) -> Result<KMeans, Error> {
        KMeans::fit_inner(params, table, rows, None, seed, Start::after(warm_start))
    }

    /// [`fit`](KMeans::fit) with a weight for each of `rows`: a row of weight 2 is as good as two rows, one of weight 0
    /// as good as none. [`sizes`](KMeans::sizes) still counts rows.
    ///
    /// # Errors
    ///
    /// As `fit`; [`Error::LengthMismatch`] unless there is one weight a row, [`Error::BadWeight`] for one that is
    /// negative or not finite, and [`Error::BadParameter`] with `backend = "linfa"`, which takes no weights.
    pub fn fit_weighted(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        weights: &[f64],
        seed: u64,
        warm_start: Option<&KMeans>,
    ) -> Result<KMeans, Error> {
        KMeans::fit_inner(params, table, rows, Some(weights), seed, Start::after(warm_start))
    }

    /// [`fit`](KMeans::fit) in one run that begins at these centres, in the units of the columns. Shape: clusters ×
    /// columns.
    ///
    /// # Errors
    ///
    /// As `fit`; [`Error::LengthMismatch`] if the centres are of another shape, and [`Error::BadParameter`] if a
    /// coordinate is not finite.
    pub fn fit_from(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        centres: &[Vec<f64>],
    ) -> Result<KMeans, Error> {
        let (columns, clusters) = (table.features(), params.clusters as usize);
        if let Some(other) = centres.iter().map(Vec::len).find(|&length| length != columns) {
            return Err(Error::LengthMismatch { what: "start centre", expected: columns, found: other });
        }
        if centres.len() != clusters {
            let (expected, found) = (clusters, centres.len());
            return Err(Error::LengthMismatch { what: "start centres", expected, found });
        }
        if let Some(value) = centres.iter().flatten().find(|v| !v.is_finite()) {
            let (value, expected) = (value.to_string(), "finite coordinates");
            return Err(Error::BadParameter { name: "centres", value, expected });
        }
        KMeans::fit_inner(params, table, rows, None, 0, Start::At(centres))
    }

    /// K-means for each number of clusters in a range, and its elbow; [`KMeansParams::clusters`] is not looked at. Numbers
    /// above the rows without a missing value are left out, and a range without a number has no points.
    ///
    /// # Errors
    ///
    /// As [`fit`](KMeans::fit), [`Error::BadParameter`] also for a number beyond 1 to 10,000; [`Error::TooFewForClusters`] if not even the least number can be had.
    pub fn sweep(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        clusters: RangeInclusive<u32>,
        silhouette: SilhouetteRows,
        seed: u64,
    ) -> Result<ClusterSweep, Error> {
        let params = KMeansParams { clusters: *clusters.start(), ..params.clone() };
        check_fit(&params, table, rows)?;
        let learned = Learned::of(&params, table, rows, None)?;
        let scales = scales(table, &learned.rows, None);
        let points = Points::of_table(&scales, table, &learned.rows);
        sweep::sweep(&params, points, clusters, silhouette, seed)
    }

    fn fit_inner(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        weights: Option<&[f64]>,
        seed: u64,
        start: Start<'_>,
    ) -> Result<KMeans, Error> {
        check_fit(params, table, rows)?;
        let learned = Learned::of(params, table, rows, weights)?;
        let scales = scales(table, &learned.rows, learned.weights.as_deref());
        let points = Points::of_table(&scales, table, &learned.rows);
        let start = match start {
            Start::PlusPlus => None,
            Start::At(centres) => Some(scores_of(&scales, centres)),
            Start::After(model) => {
                let fits =
                    model.names == table.numeric_names() && model.sizes.len() == params.clusters as usize;
                fits.then(|| scores_of(&scales, &model.centres()))
            }
        };
        let centres = solve::solve(params, points, learned.weights.as_deref(), seed, start)?;
        let sizes = nearest::sizes(points, &centres);
        let names = table.numeric_names().to_vec();
        Ok(KMeans { names, scales, centres, sizes, left_out: learned.left_out })
    }

    /// The cluster of each of these rows (the nearest centre, the first of equals), in their order; any order, repeats
    /// allowed. `None` for a row with a missing value.
    ///
    /// # Errors
    ///
    /// [`Error::TextColumns`] and [`Error::FeatureMismatch`] if the table's columns are not the model's, in order, and
    /// [`Error::RowOutOfRange`].
    pub fn assign(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<Option<u32>>, Error> {
        self.check(table, rows)?;
        let complete = complete(table, rows);
        let points = Points::of_table(&self.scales, table, &complete);
        let mut clusters = nearest::assign(points, &self.centres).0.into_iter();
        Ok(rows.iter().map(|&row| if is_complete(table, row) { clusters.next() } else { None }).collect())
    }

    /// What these clusters are worth on these rows; the silhouette is exact up to 2,000 of them, and `seed` draws as
    /// many where there are more.
    ///
    /// # Errors
    ///
    /// As [`assign`](KMeans::assign), and [`Error::NoRows`] if no row is without a missing value.
    pub fn metrics(&self, table: &FeatureTable, rows: &[u32], seed: u64) -> Result<ClusterMetrics, Error> {
        self.metrics_with(table, rows, SilhouetteRows::default(), seed)
    }

    /// [`metrics`](KMeans::metrics) with the silhouette over all rows, or over as many as are said.
    ///
    /// # Errors
    ///
    /// As `metrics`.
    pub fn metrics_with(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        silhouette: SilhouetteRows,
        seed: u64,
    ) -> Result<ClusterMetrics, Error> {
        self.check(table, rows)?;
        let complete = complete(table, rows);
        let points = Points::of_table(&self.scales, table, &complete);
        let clusters = nearest::assign(points, &self.centres).0;
        let left_out = (rows.len() - complete.len()) as u64;
        metrics::compute(Clustered { points, clusters: &clusters }, &self.centres, left_out, silhouette, seed)
    }

    /// Σ squared distance of these rows to the nearest centre, in squared standard deviations; rows with a missing value
    /// add nothing.
    ///
    /// # Errors
    ///
    /// As [`assign`](KMeans::assign).
    pub fn inertia(&self, table: &FeatureTable, rows: &[u32]) -> Result<f64, Error> {
        self.check(table, rows)?;
        let complete = complete(table, rows);
        let points = Points::of_table(&self.scales, table, &complete);
        Ok(nearest::assign(points, &self.centres).1.iter().sum())
    }

    /// Centres in the units of the columns. Shape: clusters × columns. A constant column has its value everywhere.
    pub fn centres(&self) -> Vec<Vec<f64>> {
        values_of(&self.scales, &self.centres)
    }

    /// The scale of each column, and the centres as scores, clusters × columns.
    pub(crate) fn parts(&self) -> (&[NumericScale], &[f64]) {
        (&self.scales, &self.centres)
    }

    /// Names of the columns, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.names
    }

    /// Training rows of each cluster.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// Rows that the clusters were learned from.
    pub fn training_rows(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Training rows that were left out for a missing value.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The model as a file's bytes; the same for the same model.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::KMeans, self)
    }

    /// Reads what [`to_bytes`](KMeans::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<KMeans, Error> {
        file::read(Kind::KMeans, bytes, KMeans::is_valid)
    }

    fn is_valid(&self) -> bool {
        let (columns, clusters) = (self.names.len(), self.sizes.len());
        columns > 0
            && clusters > 0
            && self.scales.len() == columns
            && columns.checked_mul(clusters) == Some(self.centres.len())
            && self.scales.iter().all(NumericScale::is_valid)
            && self.centres.iter().all(|score| score.abs() <= MAX_SCORE)
            // More rows than a table has would overflow the sum of sizes.
            && self.sizes.iter().all(|&rows| rows <= u64::from(u32::MAX))
    }

    fn check(&self, table: &FeatureTable, rows: &[u32]) -> Result<(), Error> {
        check_numeric(table)?;
        check_names("numeric", &self.names, table.numeric_names())?;
        table.check_rows(rows)
    }
}

fn check_fit(params: &KMeansParams, table: &FeatureTable, rows: &[u32]) -> Result<(), Error> {
    params.validate()?;
    check_numeric(table)?;
    if table.features() == 0 {
        return Err(Error::NoFeatures);
    }
    table.check_training_rows(rows)?;
    if rows.is_empty() { Err(Error::NoRows) } else { Ok(()) }
}

/// Where the iterations begin.
enum Start<'a> {
    PlusPlus,
    After(&'a KMeans),
    /// In the units of the columns.
    At(&'a [Vec<f64>]),
}

impl<'a> Start<'a> {
    fn after(model: Option<&'a KMeans>) -> Start<'a> {
        model.map_or(Start::PlusPlus, Start::After)
    }
}

/// The rows that are learned from: complete ones that weigh anything.
struct Learned<'a> {
    rows: Cow<'a, [u32]>,
    /// A weight a row, as a share of the largest, so that no sum overflows.
    weights: Option<Vec<f64>>,
    /// Rows left out for a missing value.
    left_out: u64,
}

impl<'a> Learned<'a> {
    fn of(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &'a [u32],
        weights: Option<&[f64]>,
    ) -> Result<Learned<'a>, Error> {
        let learned = match weights {
            None => {
                let kept = complete(table, rows);
                Learned { left_out: (rows.len() - kept.len()) as u64, rows: kept, weights: None }
            }
            Some(weights) => Learned::weighted(params, table, rows, weights)?,
        };
        if learned.rows.len() < params.clusters as usize {
            let (complete, rows) = (learned.rows.len(), rows.len());
            return Err(Error::TooFewForClusters { clusters: params.clusters, complete, rows });
        }
        Ok(learned)
    }

    fn weighted(
        params: &KMeansParams,
        table: &FeatureTable,
        rows: &[u32],
        weights: &[f64],
    ) -> Result<Learned<'a>, Error> {
        if weights.len() != rows.len() {
            let (expected, found) = (rows.len(), weights.len());
            return Err(Error::LengthMismatch { what: "weights", expected, found });
        }
        if let Some(position) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(Error::BadWeight { row: rows[position], value: weights[position] });
        }
        if params.backend == KMeansBackend::Linfa {
            let (value, expected) = ("linfa".to_owned(), "tidemill, as linfa takes no weights");
            return Err(Error::BadParameter { name: "backend", value, expected });
        }
        let pairs = || rows.iter().zip(weights).filter(|(row, _)| is_complete(table, **row));
        let left_out = (rows.len() - pairs().count()) as u64;
        let largest = pairs().fold(0.0f64, |most, (_, w)| most.max(*w));
        // A weight so small that its share of the largest is 0 has no say either.
        let share = |w: &f64| if largest > 0.0 { w / largest } else { 0.0 };
        let kept = pairs().map(|(row, w)| (*row, share(w))).filter(|(_, w)| *w > 0.0);
        let (rows, weights): (Vec<u32>, Vec<f64>) = kept.unzip();
        Ok(Learned { rows: rows.into(), weights: Some(weights), left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        columns: Vec<Vec<f64>>,
        start: Vec<f64>,
        centres: Vec<f64>,
        sizes: Vec<u64>,
        inertia: f64,
    }

    /// `tests/golden/make_clusters.py` says how the numbers were made and how to make them again.
    #[test]
    fn from_the_same_start_the_clusters_are_those_of_scikit_learn() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/kmeans.json")).unwrap();
        let names: Vec<String> = (0..golden.columns.len()).map(|c| format!("x{c}")).collect();
        let mut table = FeatureTable::new(names, vec![]);
        for (c, column) in golden.columns.iter().enumerate() {
            table.push_numeric(c, column.iter().copied());
        }
        table.finish_append().unwrap();
        let rows: Vec<u32> = (0..table.rows() as u32).collect();
        let clusters = golden.sizes.len() as u32;
        for backend in [KMeansBackend::Tidemill, KMeansBackend::Linfa] {
            let params =
                KMeansParams { clusters, max_iterations: 1_000, tolerance: 1e-12, restarts: 1, backend };
            let scales = KMeans::fit(&params, &table, &rows, 0, None).unwrap().scales;
            let start = values_of(&scales, &golden.start);
            let model = KMeans::fit_from(&params, &table, &rows, &start).unwrap();
            assert_eq!(model.sizes, golden.sizes);
            for (found, expected) in model.centres.iter().zip(&golden.centres) {
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
            let inertia = model.inertia(&table, &rows).unwrap();
            assert!((inertia / golden.inertia - 1.0).abs() < 1e-9, "{inertia} {}", golden.inertia);
            let again = model.metrics(&table, &rows, 0).unwrap().inertia;
            assert!((inertia / again - 1.0).abs() < 1e-12, "{inertia} {again}");
        }
    }

    #[test]
    fn a_model_that_contradicts_itself_is_refused_under_a_right_checksum() {
        let mut table = FeatureTable::new(vec!["x".into()], vec![]);
        table.push_numeric(0, [1.0, 2.0, 8.0]);
        table.finish_append().unwrap();
        let params = KMeansParams { clusters: 2, ..KMeansParams::default() };
        let model = KMeans::fit(&params, &table, &[0, 1, 2], 0, None).unwrap();
        assert!(KMeans::from_bytes(&model.to_bytes().unwrap()).is_ok());
        let spoilt: [fn(&mut KMeans); 4] = [
            |m| m.names.push("y".into()),
            |m| m.centres[0] = f64::NAN,
            |m| m.centres[1] = 2e6,
            |m| m.sizes = vec![u64::MAX, 1],
        ];
        for spoil in spoilt {
            let mut model = model.clone();
            spoil(&mut model);
            let error = KMeans::from_bytes(&model.to_bytes().unwrap()).unwrap_err();
            assert_eq!(error, Error::CorruptModel("payload contradicts itself"));
        }
    }
}
