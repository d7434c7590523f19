//! Clusters that learn from batches: outliers capped, columns standardised and centres moved by what has come so far.
//!
//! ```text
//! batch ──QuantileSketch──> bounds ──RunningMoments──> scale ──step──> centres (in the columns' own units)
//! ```
//!
//! All of it is one value in one model file, and a pure function of the batches, their seeds and the settings.
//!
//! Centres are kept in the columns' own units. A step first learns bounds and scale from the batch, takes the centres to
//! scores by the new scale, moves them, and takes them back: so when the scale moves, a centre stays at its place among
//! the rows, and distances are always in the deviations of now. A bound that moves does not move a centre; the rows on it
//! do. Cluster i stays cluster i, as every step begins at the last centres; only a cluster that has hardly any weight left
//! begins anew elsewhere, and the batch's report says so.

mod params;
mod prepare;
mod settings;
mod space;
mod step;

pub use params::{ClusterStreamParams, MiniBatchKMeansParams, OnlineKMeansParams, Outliers, StreamLearner};
pub(crate) use settings::{MiniBatchOfState, OnlineOfState, WholeOfState};
pub use space::ClusterSpace;

use super::metrics::{self, Clustered};
use super::nearest;
use super::points::Points;
use super::rows::{check_numeric, complete, is_complete, scores_of, values_of};
use super::sweep::{self, ClusterSweep};
use super::{ClusterMetrics, KMeansBackend, KMeansParams, SilhouetteRows, solve};
use crate::encode::scale::NumericScale;
use crate::file::{self, Kind, MOST_ROWS};
use crate::seed::derive;
use crate::table::check_names;
use crate::{Error, FeatureTable};
use prepare::{Column, Prepared, capped, is_large, points};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use step::Centres;

/// Clusters that learn batch by batch.
///
/// ```
/// use tidemill_ml::{ClusterStream, ClusterStreamParams, FeatureTable, MiniBatchKMeansParams, StreamLearner};
///
/// let params = MiniBatchKMeansParams { clusters: 3, ..MiniBatchKMeansParams::default() };
/// let learner = StreamLearner::MinibatchKmeans(params);
/// let params = ClusterStreamParams { learner, ..ClusterStreamParams::default() };
/// let mut stream = ClusterStream::new(params, vec!["recency".into()])?;
/// let mut table = FeatureTable::new(vec!["recency".into()], vec![]);
/// for batch in 0..5 {
///     let rows: Vec<u32> = (60 * batch..60 * (batch + 1)).collect();
///     table.push_numeric(0, rows.iter().map(|i| f64::from(i % 3 * 100 + i % 7)));
///     table.finish_append()?;
///     let report = stream.partial_fit(&table, &rows, u64::from(batch))?;
///     assert_eq!(report.rows, 60);
/// }
/// let clusters = stream.assign(&table, &[0, 1, 2, 297])?;
/// assert!(clusters[0] == clusters[3] && clusters[0] != clusters[1] && clusters[1] != clusters[2]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStream {
    params: ClusterStreamParams,
    names: Vec<String>,
    /// None before the first batch with rows.
    columns: Vec<Column>,
    /// In the columns' own units, row-major: clusters × columns. None before the first batch.
    centres: Vec<Vec<f64>>,
    /// Rows that each cluster learned from, less what was forgotten.
    weights: Vec<f64>,
    batches: u64,
    rows: u64,
}

/// What a batch did.
///
/// ```
/// use tidemill_ml::{ClusterStream, ClusterStreamParams, FeatureTable, KMeansParams, StreamLearner};
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 90.0, f64::NAN]);
/// table.finish_append()?;
/// let learner = StreamLearner::Kmeans(KMeansParams { clusters: 2, ..KMeansParams::default() });
/// let params = ClusterStreamParams { learner, ..ClusterStreamParams::default() };
/// let report = ClusterStream::new(params, vec!["spent".into()])?.partial_fit(&table, &[0, 1, 2, 3], 42)?;
/// assert_eq!((report.rows, report.left_out), (3, 1));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Rows learned from.
    pub rows: u64,
    /// Rows left out for a missing value.
    pub left_out: u64,
    /// Values that were capped.
    pub capped: u64,
    /// Clusters that were begun again elsewhere, in order.
    pub reseeded: Vec<u32>,
    /// Euclidean length of the movement of all centres as one vector, in standard deviations; 0 for the first batch.
    pub moved: f64,
}

impl ClusterStream {
    /// A stream of these columns that has learned nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`], and [`Error::NoFeatures`] without columns.
    pub fn new(params: ClusterStreamParams, numeric_names: Vec<String>) -> Result<ClusterStream, Error> {
        params.validate()?;
        if numeric_names.is_empty() {
            return Err(Error::NoFeatures);
        }
        Ok(ClusterStream {
            params,
            names: numeric_names,
            columns: Vec::new(),
            centres: Vec::new(),
            weights: Vec::new(),
            batches: 0,
            rows: 0,
        })
    }

    /// Learns a batch: these rows of a table of the stream's columns, in any order, repeats allowed. Rows with a missing
    /// value are left out, and a batch without others changes nothing. The first batch places the centres: greedy
    /// k-means++ and Lloyd's iterations on its rows. `seed` decides every random choice.
    ///
    /// # Errors
    ///
    /// [`Error::TextColumns`], [`Error::FeatureMismatch`] and [`Error::RowOutOfRange`] if the table or the rows do not
    /// fit; [`Error::TooFewForClusters`] if the first batch has fewer complete rows than there are clusters;
    /// [`Error::Solver`] if no finite centres were found. The stream is then as it was.
    pub fn partial_fit(
        &mut self,
        table: &FeatureTable,
        rows: &[u32],
        seed: u64,
    ) -> Result<StreamReport, Error> {
        self.learn(table, rows, None, seed)
    }

    /// [`partial_fit`](ClusterStream::partial_fit) with a weight for each of `rows`, so that rows which stand for others
    /// count for these: where a batch is learned together with a sample of all rows, a row of the sample weighs (all
    /// rows - batch rows) / sample rows. Only ratios count: the weights of a batch are scaled to a mean of 1. A row of
    /// weight 0, or of a billionth of the largest or less, is as good as none.
    ///
    /// # Errors
    ///
    /// As `partial_fit`; [`Error::LengthMismatch`] unless there is one weight a row, [`Error::BadWeight`] for one that is
    /// negative or not finite, and [`Error::BadParameter`] where the learner is linfa's full k-means.
    pub fn partial_fit_weighted(
        &mut self,
        table: &FeatureTable,
        rows: &[u32],
        weights: &[f64],
        seed: u64,
    ) -> Result<StreamReport, Error> {
        if !self.params.takes_weights() {
            let (value, expected) = ("linfa".to_owned(), "tidemill, as linfa takes no weights");
            return Err(Error::BadParameter { name: "backend", value, expected });
        }
        if weights.len() != rows.len() {
            let (expected, found) = (rows.len(), weights.len());
            return Err(Error::LengthMismatch { what: "weights", expected, found });
        }
        if let Some(position) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(Error::BadWeight { row: rows[position], value: weights[position] });
        }
        self.learn(table, rows, Some(weights), seed)
    }

    fn learn(
        &mut self,
        table: &FeatureTable,
        rows: &[u32],
        weights: Option<&[f64]>,
        seed: u64,
    ) -> Result<StreamReport, Error> {
        self.check(table, rows)?;
        let (complete, weights, left_out) = match weights {
            None => {
                let complete = complete(table, rows);
                let left_out = rows.len() - complete.len();
                (complete, None, left_out as u64)
            }
            Some(weights) => weighed(table, rows, weights),
        };
        let weights = weights.as_deref();
        if complete.is_empty() {
            return Ok(StreamReport { rows: 0, left_out, capped: 0, reseeded: Vec::new(), moved: 0.0 });
        }
        let clusters = self.params.clusters();
        if self.centres.is_empty() && complete.len() < clusters as usize {
            return Err(Error::TooFewForClusters { clusters, complete: complete.len(), rows: rows.len() });
        }
        let (columns, prepared) = self.learned_columns(table, &complete, weights);
        let scales: Vec<NumericScale> = prepared.iter().map(|p| p.scale).collect();
        let values = points(&prepared, table, &complete);
        let points = Points::dense(columns.len(), &values);
        let start = (!self.centres.is_empty()).then(|| scores_of(&scales, &self.centres));
        let (mut centres, reseeded) = self.step(points, weights, start.clone(), seed)?;
        for coordinate in &mut centres.coordinates {
            *coordinate = coordinate.clamp(-solve::MAX_SCORE, solve::MAX_SCORE);
        }
        if !centres.coordinates.iter().all(|c| c.is_finite()) {
            return Err(Error::Solver("a centre is not finite".into()));
        }
        let moved = start.map_or(0.0, |start| super::squared_distance(&start, &centres.coordinates).sqrt());
        self.columns = columns;
        self.centres = values_of(&scales, &centres.coordinates);
        self.weights = centres.weights;
        self.batches += 1;
        self.rows = self.rows.saturating_add(complete.len() as u64);
        let capped = capped(&prepared, table, &complete);
        Ok(StreamReport { rows: complete.len() as u64, left_out, capped, reseeded, moved })
    }

    /// The columns after these rows, and what these know then.
    fn learned_columns(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        weights: Option<&[f64]>,
    ) -> (Vec<Column>, Vec<Prepared>) {
        let remembered = self.params.remembered();
        let learned = |c: usize| {
            let values = rows.iter().map(|&row| table.numeric(c).get(row as usize));
            let mut column = match self.columns.get(c).filter(|_| remembered > 0.0) {
                Some(column) => column.clone(),
                None => Column::new(self.params.outliers, values.clone()),
            };
            let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
            let prepared =
                column.learn(remembered, values.enumerate().map(|(i, v)| (v, weight(i))).collect());
            (column, prepared)
        };
        match is_large(rows) {
            true => (0..self.names.len()).into_par_iter().map(learned).unzip(),
            false => (0..self.names.len()).map(learned).unzip(),
        }
    }

    /// The centres after these points, and which were begun again.
    fn step(
        &self,
        points: Points<'_>,
        weights: Option<&[f64]>,
        start: Option<Vec<f64>>,
        seed: u64,
    ) -> Result<(Centres, Vec<u32>), Error> {
        let clusters = self.params.clusters();
        // The full learner's every step, and the first one of the others, are k-means on the rows.
        let full = match &self.params.learner {
            StreamLearner::Kmeans(params) => Some(params.clone()),
            _ if start.is_none() => Some(KMeansParams { clusters, ..KMeansParams::default() }),
            _ => None,
        };
        if let Some(params) = full {
            let shares = weights.map(shares);
            let centres = solve::solve(&params, points, shares.as_deref(), seed, start)?;
            return Ok((counted(points, weights, centres, clusters as usize), Vec::new()));
        }
        let start = start.unwrap_or_default();
        let remembered = self.params.remembered();
        let left = self.weights.iter().map(|weight| weight * remembered).collect();
        let mut centres = Centres { coordinates: start, weights: left };
        match &self.params.learner {
            StreamLearner::OnlineKmeans(params) => step::online(params, points, weights, &mut centres),
            StreamLearner::MinibatchKmeans(params) if params.backend == KMeansBackend::Linfa => {
                step::linfa_minibatch(points, weights, &mut centres)?;
            }
            _ => step::minibatch(points, weights, &mut centres),
        }
        let seed = derive(seed, u64::from(u32::MAX));
        let reseeded = step::reseed(points, &mut centres, self.params.reseed_below, seed);
        Ok((centres, reseeded))
    }

    /// The cluster of each of these rows (the nearest centre, the first of equals), in their order; any order, repeats
    /// allowed. `None` for a row with a missing value, and for every row before the first batch.
    ///
    /// # Errors
    ///
    /// [`Error::TextColumns`], [`Error::FeatureMismatch`] and [`Error::RowOutOfRange`].
    pub fn assign(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<Option<u32>>, Error> {
        self.check(table, rows)?;
        if self.centres.is_empty() {
            return Ok(vec![None; rows.len()]);
        }
        let of = self.placed(table, &complete(table, rows));
        let mut clusters = nearest::assign(of.points(), &of.centres).0.into_iter();
        Ok(rows.iter().map(|&row| if is_complete(table, row) { clusters.next() } else { None }).collect())
    }

    /// What the clusters are worth on these rows, capped and standardised as the stream does it now; `seed` draws the
    /// rows of the silhouette.
    ///
    /// # Errors
    ///
    /// As [`assign`](ClusterStream::assign), and [`Error::NoRows`] if no row is without a missing value or the stream
    /// has no centres yet.
    pub fn metrics(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        silhouette: SilhouetteRows,
        seed: u64,
    ) -> Result<ClusterMetrics, Error> {
        self.check(table, rows)?;
        if self.centres.is_empty() {
            return Err(Error::NoRows);
        }
        let complete = complete(table, rows);
        let of = self.placed(table, &complete);
        let clusters = nearest::assign(of.points(), &of.centres).0;
        let left_out = (rows.len() - complete.len()) as u64;
        let clustered = Clustered { points: of.points(), clusters: &clusters };
        metrics::compute(clustered, &of.centres, left_out, silhouette, seed)
    }

    /// K-means for each number of clusters in a range on these rows, capped and standardised as the stream does it now,
    /// and its elbow. Numbers above the rows without a missing value are left out.
    ///
    /// # Errors
    ///
    /// As [`metrics`](ClusterStream::metrics), and [`Error::BadParameter`] for a number of clusters beyond 1 to 10,000.
    pub fn sweep(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        clusters: RangeInclusive<u32>,
        silhouette: SilhouetteRows,
        seed: u64,
    ) -> Result<ClusterSweep, Error> {
        self.check(table, rows)?;
        let complete = complete(table, rows);
        if self.centres.is_empty() || complete.is_empty() {
            return Err(Error::NoRows);
        }
        let of = self.placed(table, &complete);
        sweep::sweep(&KMeansParams::default(), of.points(), clusters, silhouette, seed)
    }

    fn placed(&self, table: &FeatureTable, complete: &[u32]) -> Placed {
        let prepared: Vec<Prepared> = self.columns.iter().map(Column::prepared).collect();
        let scales: Vec<NumericScale> = prepared.iter().map(|p| p.scale).collect();
        Placed {
            columns: scales.len(),
            values: points(&prepared, table, complete),
            centres: scores_of(&scales, &self.centres),
        }
    }

    /// As the stream is now: the scale of each column, what its values are held to before, and the centres as scores,
    /// clusters × columns. Nothing before the first batch.
    pub(crate) fn parts(&self) -> (Vec<NumericScale>, Vec<(f64, f64)>, Vec<f64>) {
        let scales: Vec<NumericScale> = self.columns.iter().map(|column| column.prepared().scale).collect();
        let bounds = self.columns.iter().map(Column::bounds).collect();
        let centres = scores_of(&scales, &self.centres);
        (scales, bounds, centres)
    }

    /// Centres in the units of the columns. Shape: clusters × columns; empty before the first batch.
    pub fn centres(&self) -> &[Vec<f64>] {
        &self.centres
    }

    /// Rows that each cluster learned from, less what was forgotten; of the full learner, the rows of its last batch.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Of each column, what values are capped at, low and high; `None` where none are.
    pub fn caps(&self) -> Vec<Option<(f64, f64)>> {
        let caps = |column: &Column| Some(column.bounds()).filter(|(low, _)| low.is_finite());
        self.columns.iter().map(caps).collect()
    }

    /// Names of the columns, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.names
    }

    /// The settings it was made with.
    pub fn params(&self) -> &ClusterStreamParams {
        &self.params
    }

    /// Batches with rows that it has learned from.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Rows that it has learned from.
    pub fn training_rows(&self) -> u64 {
        self.rows
    }

    /// The stream as a file's bytes; the same for the same stream.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::ClusterStream, self)
    }

    /// Reads what [`to_bytes`](ClusterStream::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<ClusterStream, Error> {
        file::read(Kind::ClusterStream, bytes, ClusterStream::is_valid)
    }

    fn is_valid(&self) -> bool {
        let (columns, clusters) = (self.names.len(), self.params.clusters() as usize);
        let begun = self.columns.len() == columns && self.centres.len() == clusters;
        let unbegun = self.columns.is_empty() && self.centres.is_empty();
        self.params.validate().is_ok()
            && columns > 0
            && self.batches <= MOST_ROWS
            && (begun || unbegun)
            && self.weights.len() == self.centres.len()
            && self.weights.iter().all(|w| (0.0..=1e18).contains(w))
            && self.columns.iter().all(Column::is_valid)
            && self.centres.iter().all(|c| c.len() == columns && c.iter().all(|x| x.is_finite()))
    }

    fn check(&self, table: &FeatureTable, rows: &[u32]) -> Result<(), Error> {
        check_numeric(table)?;
        check_names("numeric", &self.names, table.numeric_names())?;
        table.check_rows(rows)
    }
}

/// Rows and centres as scores.
struct Placed {
    columns: usize,
    values: Vec<f64>,
    centres: Vec<f64>,
}

impl Placed {
    fn points(&self) -> Points<'_> {
        Points::dense(self.columns, &self.values)
    }
}

/// Centres with what the points weigh that are nearest to each.
fn counted(points: Points<'_>, of: Option<&[f64]>, coordinates: Vec<f64>, clusters: usize) -> Centres {
    let mut weights = vec![0.0; clusters];
    for (row, cluster) in nearest::assign(points, &coordinates).0.into_iter().enumerate() {
        weights[cluster as usize] += of.map_or(1.0, |w| w[row]);
    }
    Centres { coordinates, weights }
}

/// Complete rows that weigh anything, their weights scaled to a mean of 1, and how many rows are not complete.
fn weighed(
    table: &FeatureTable,
    rows: &[u32],
    weights: &[f64],
) -> (Cow<'static, [u32]>, Option<Vec<f64>>, u64) {
    let complete = rows.iter().copied().zip(weights.iter().copied());
    let mut kept: Vec<(u32, f64)> = complete.filter(|(row, _)| is_complete(table, *row)).collect();
    let left_out = (rows.len() - kept.len()) as u64;
    let largest = kept.iter().fold(0.0f64, |most, (_, w)| most.max(*w));
    // A weight of a billionth of the largest has no say.
    kept.iter_mut().for_each(|(_, w)| *w = if largest > 0.0 { *w / largest } else { 0.0 });
    kept.retain(|(_, w)| *w > 1e-9);
    let mean = kept.iter().map(|(_, w)| w).sum::<f64>() / kept.len().max(1) as f64;
    let (rows, weights): (Vec<u32>, Vec<f64>) = kept.into_iter().map(|(row, w)| (row, w / mean)).unzip();
    (rows.into(), Some(weights), left_out)
}

/// Weights over the largest of them.
fn shares(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    weights.iter().map(|w| w / largest).collect()
}
