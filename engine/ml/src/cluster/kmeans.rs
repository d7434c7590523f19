//! K-means (Lloyd 1982) by linfa-clustering, begun by k-means++ (Arthur and Vassilvitskii 2007) or at the last centres.
//!
//! linfa counts a centre as one more row of its cluster (m_k-means, Pakhira 2009), so that no cluster is without a mean;
//! at rest this is the same mean. Its parallel part assigns rows one by one and its sums are made in the order of rows,
//! so a fit is the same bytes for any number of threads. What linfa reports besides centres is of the iteration before,
//! or of the last run rather than the best: sizes and inertia are computed here, from the centres that are kept.

use super::metrics::{self, ClusterMetrics, Clustered};
use super::{KMeansParams, squared_distance};
use crate::encode::scale::NumericScale;
use crate::file::{self, Kind};
use crate::seed::derive;
use crate::table::check_names;
use crate::{Error, FeatureTable};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeansInit;
use ndarray::Array2;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Scores are within this, and so are their means.
const MAX_SCORE: f64 = 1e6;

/// Fitted clusters: knows its columns and their scales, and so assigns the rows of any table of these columns.
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
    /// clusters, some centres are equal, and all but the first of those have no rows.
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
        params.validate()?;
        check_numeric(table)?;
        if table.features() == 0 {
            return Err(Error::NoFeatures);
        }
        table.check_training_rows(rows)?;
        if rows.is_empty() {
            return Err(Error::NoRows);
        }
        let columns = table.features();
        let complete: Vec<u32> = rows.iter().copied().filter(|&row| is_complete(table, row)).collect();
        let clusters = params.clusters as usize;
        if complete.len() < clusters {
            let (complete, rows) = (complete.len(), rows.len());
            return Err(Error::TooFewForClusters { clusters: params.clusters, complete, rows });
        }
        let scales: Vec<NumericScale> = (0..columns)
            .into_par_iter()
            .map(|c| NumericScale::fit(complete.iter().map(|&row| table.numeric(c)[row as usize])))
            .collect();
        let points = standardise(&scales, table, &complete);
        let start = warm_start
            .filter(|model| model.names == table.numeric_names() && model.sizes.len() == clusters)
            .map(|model| model.centres_on(&scales));
        let centres = solve(params, points.clone(), columns, seed, start)?;
        let mut model = KMeans {
            names: table.numeric_names().to_vec(),
            scales,
            centres,
            sizes: vec![0; clusters],
            left_out: (rows.len() - complete.len()) as u64,
        };
        for cluster in model.nearest(&points) {
            model.sizes[cluster as usize] += 1;
        }
        Ok(model)
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
        let complete: Vec<u32> = rows.iter().copied().filter(|&row| is_complete(table, row)).collect();
        let mut clusters = self.nearest(&standardise(&self.scales, table, &complete)).into_iter();
        Ok(rows.iter().map(|&row| if is_complete(table, row) { clusters.next() } else { None }).collect())
    }

    /// What these clusters are worth on these rows; `seed` draws the rows of the silhouette where there are many.
    ///
    /// # Errors
    ///
    /// As [`assign`](KMeans::assign), and [`Error::NoRows`] if no row is without a missing value.
    pub fn metrics(&self, table: &FeatureTable, rows: &[u32], seed: u64) -> Result<ClusterMetrics, Error> {
        self.check(table, rows)?;
        let complete: Vec<u32> = rows.iter().copied().filter(|&row| is_complete(table, row)).collect();
        let points = standardise(&self.scales, table, &complete);
        let clusters = self.nearest(&points);
        let of = Clustered { columns: self.names.len(), points: &points, clusters: &clusters };
        let left_out = (rows.len() - complete.len()) as u64;
        metrics::compute(of, &self.centres, left_out, seed)
    }

    /// Centres in the units of the columns. Shape: clusters × columns. A constant column has its value everywhere.
    pub fn centres(&self) -> Vec<Vec<f64>> {
        let value = |(score, scale): (&f64, &NumericScale)| scale.value(*score);
        let row = |centre: &[f64]| centre.iter().zip(&self.scales).map(value).collect();
        self.centres.chunks_exact(self.names.len()).map(row).collect()
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

    /// This model's centres, standardised by other scales.
    fn centres_on(&self, scales: &[NumericScale]) -> Vec<f64> {
        let scores = |centre: Vec<f64>| {
            centre.into_iter().zip(scales).map(|(value, scale)| scale.score(value)).collect::<Vec<f64>>()
        };
        self.centres().into_iter().flat_map(scores).collect()
    }

    /// The nearest centre of each standardised point.
    fn nearest(&self, points: &[f64]) -> Vec<u32> {
        let columns = self.names.len();
        let nearest = |point: &[f64]| {
            let mut best = (f64::INFINITY, 0);
            for (centre, cluster) in self.centres.chunks_exact(columns).zip(0u32..) {
                let distance = squared_distance(point, centre);
                if distance < best.0 {
                    best = (distance, cluster);
                }
            }
            best.1
        };
        points.par_chunks_exact(columns).with_min_len(512).map(nearest).collect()
    }
}

fn check_numeric(table: &FeatureTable) -> Result<(), Error> {
    match table.categorical_names() {
        [] => Ok(()),
        names => Err(Error::TextColumns { columns: names.to_vec() }),
    }
}

fn is_complete(table: &FeatureTable, row: u32) -> bool {
    (0..table.features()).all(|c| !table.numeric(c)[row as usize].is_nan())
}

/// Scores of these rows, row-major: rows × columns.
fn standardise(scales: &[NumericScale], table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
    let mut points = vec![0.0; rows.len() * scales.len()];
    for (c, scale) in scales.iter().enumerate() {
        let values = table.numeric(c);
        for (point, &row) in points.chunks_exact_mut(scales.len()).zip(rows) {
            point[c] = scale.score(values[row as usize]);
        }
    }
    points
}

/// Runs linfa on points (rows × columns, at least as many as clusters), from these centres or by k-means++.
fn solve(
    params: &KMeansParams,
    points: Vec<f64>,
    columns: usize,
    seed: u64,
    start: Option<Vec<f64>>,
) -> Result<Vec<f64>, Error> {
    let shaped = |values: Vec<f64>| {
        Array2::from_shape_vec((values.len() / columns, columns), values)
            .map_err(|error| Error::Solver(error.to_string()))
    };
    let random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, 0));
    let (init, runs) = match start {
        Some(centres) => (KMeansInit::Precomputed(shaped(centres)?), 1),
        None => (KMeansInit::KMeansPlusPlus, params.restarts as usize),
    };
    let fitted = linfa_clustering::KMeans::params_with_rng(params.clusters as usize, random)
        .max_n_iterations(u64::from(params.max_iterations))
        .tolerance(params.tolerance)
        .n_runs(runs)
        .init_method(init)
        .fit(&DatasetBase::from(shaped(points)?))
        .map_err(|error| Error::Solver(error.to_string()))?;
    // A mean of scores at the limit may round past it.
    let centres: Vec<f64> = fitted.centroids().iter().map(|c| c.clamp(-MAX_SCORE, MAX_SCORE)).collect();
    match centres.iter().all(|c| c.is_finite()) {
        true => Ok(centres),
        false => Err(Error::Solver("a centre is not finite".into())),
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
        let params = KMeansParams { clusters, max_iterations: 1_000, tolerance: 1e-12, restarts: 1 };
        let mut start = KMeans::fit(&params, &table, &rows, 0, None).unwrap();
        start.centres = golden.start;
        let model = KMeans::fit(&params, &table, &rows, 0, Some(&start)).unwrap();
        assert_eq!(model.sizes, golden.sizes);
        for (found, expected) in model.centres.iter().zip(&golden.centres) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        let inertia = model.metrics(&table, &rows, 0).unwrap().inertia;
        assert!((inertia / golden.inertia - 1.0).abs() < 1e-9, "{inertia} {}", golden.inertia);
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
