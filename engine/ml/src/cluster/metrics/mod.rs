//! Metrics of a clustering from standardised points, their clusters and the model's centres.
//!
//! n is the number of rows, k that of the clusters that have any of them, m that of the centres, D the number of columns,
//! d the Euclidean distance, `own` the centre of a row's cluster. Of scikit-learn (`sklearn.metrics`):
//!
//! - `inertia`: Σ d(row, own)², the sum of squares within (SSW) about the model's centres.
//! - `silhouette` (Rousseeuw 1987): the mean over rows of (b - a) / max(a, b), a being the mean distance to the other
//!   rows of its own cluster and b the least mean distance to the rows of another; 0 for a row alone in its cluster, or
//!   at one place with all of both.
//! - `calinski_harabasz` (1974): (SSB / (k - 1)) / (SSW / (n - k)), both about the means of these rows.
//! - `davies_bouldin` (1979): the mean over clusters of the largest (s_i + s_j) / d(mean_i, mean_j), s being the mean
//!   distance of a cluster's rows to their mean; pairs of clusters with the same mean do not count.
//!
//! The last three need 2 to n - 1 clusters with rows (of the drawn rows, for the silhouette). Of River (0.14 and
//! river-extra; `silhouette_river` is `metrics.Silhouette`), where sums of squares are means and all m centres count:
//!
//! - `ssw`: inertia / n. `ssb`: Σ nᵢ d(centreᵢ, mean of all rows)² / n. `cohesion`: mean d(row, own).
//! - `separation`: the mean over rows of the mean distance to the m - 1 other centres.
//! - `silhouette_river`: Σ d(row, own) / Σ d(row, second), smaller is better. River calls `second` the second closest
//!   centre, and takes the second farthest, which is the same for m = 3 only (for m = 2 it is the nearest, and the ratio
//!   of a nearest assignment 1); so it is here.
//! - `xie_beni` (1991): ssw / least d(centreᵢ, centreⱼ)².
//! - `bic` (Pelleg and Moore 2000), the larger the better: Σ [nᵢ ln nᵢ - nᵢ ln n - nᵢ D/2 · ln(2π σ²) - (nᵢ - 1) D/2]
//!   less m (D + 1)/2 · ln n, where σ² = inertia / ((n - m) D). `bic_river` is the same with σ² / n, as River's code has
//!   it (a mean where its text has a sum): larger by n D/2 · ln n, and so it ranks clusterings of the same rows alike.

mod centred;
mod groups;
mod silhouette;

pub use silhouette::SilhouetteRows;

use super::points::Points;
use crate::Error;
use centred::Centred;
use groups::Groups;
use serde::{Deserialize, Serialize};

/// What a clustering is worth on some rows. `None` is a metric that these rows do not define (or, in a record, one that
/// the build that wrote it did not have). Distances are in standard deviations.
///
/// ```
/// use tidemill_ml::{FeatureTable, KMeans, KMeansParams};
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, [1.0, 2.0, 90.0, 95.0]);
/// table.finish_append()?;
/// let params = KMeansParams { clusters: 2, ..KMeansParams::default() };
/// let clusters = KMeans::fit(&params, &table, &[0, 1, 2, 3], 42, None)?;
/// let metrics = clusters.metrics(&table, &[0, 1, 2, 3], 42)?;
/// assert!(metrics.silhouette.is_some_and(|silhouette| silhouette > 0.9));
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterMetrics {
    /// Rows scored: those without a missing value.
    pub rows: u64,
    /// Rows left out for a missing value.
    pub left_out: u64,
    /// Clusters that have at least one of the rows scored.
    pub clusters: u32,
    /// Sum of squared distances to the centres (SSW), in squared standard deviations; smaller is better.
    pub inertia: f64,
    /// Mean silhouette, -1 to 1; larger is better. `None` without 2 to n - 1 clusters.
    pub silhouette: Option<f64>,
    /// Ratio of the spread between clusters and within; larger is better. `None` without 2 to n - 1 clusters, or if all
    /// rows of each cluster are at one place (where scikit-learn gives 1).
    pub calinski_harabasz: Option<f64>,
    /// Mean likeness of each cluster to its most like, 0 or more; smaller is better. `None` without 2 to n - 1 clusters.
    pub davies_bouldin: Option<f64>,
    /// Mean squared distance to the centres, as River's SSW; smaller is better.
    pub ssw: Option<f64>,
    /// Mean over rows of the squared distance of their centre to the mean of all, as River's SSB; larger is better.
    pub ssb: Option<f64>,
    /// Mean distance to the centres; smaller is better.
    pub cohesion: Option<f64>,
    /// Mean distance to the other centres; larger is better. `None` with one centre.
    pub separation: Option<f64>,
    /// Bayesian information criterion; larger is better. `None` without more rows than centres, or if every row is at
    /// its centre.
    pub bic: Option<f64>,
    /// The criterion as River's code computes it; larger is better. `None` as `bic`.
    pub bic_river: Option<f64>,
    /// Ratio of distances to the own and to another centre, as River's silhouette; smaller is better. `None` with one
    /// centre, or if all rows and centres are at one place.
    pub silhouette_river: Option<f64>,
    /// Ratio of compactness and separation; smaller is better. `None` with one centre, or two at one place.
    pub xie_beni: Option<f64>,
}

/// Points with their clusters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clustered<'a> {
    pub(super) points: Points<'a>,
    /// A cluster a row.
    pub(super) clusters: &'a [u32],
}

/// Metrics of these points; `centres` is row-major, clusters × columns, and has every cluster that occurs.
pub(super) fn compute(
    of: Clustered<'_>,
    centres: &[f64],
    left_out: u64,
    silhouette_rows: SilhouetteRows,
    seed: u64,
) -> Result<ClusterMetrics, Error> {
    let rows = of.clusters.len();
    if rows == 0 {
        return Err(Error::NoRows);
    }
    let centred = Centred::of(of, centres);
    let (clusters, count) = compact(of.clusters);
    let compacted = Clustered { clusters: &clusters, ..of };
    let groups = Groups::of(compacted, count);
    let defined = (2..rows).contains(&count);
    Ok(ClusterMetrics {
        rows: rows as u64,
        left_out,
        clusters: count as u32,
        inertia: centred.inertia,
        silhouette: silhouette::mean(compacted, silhouette_rows, seed),
        calinski_harabasz: groups.calinski_harabasz(compacted).filter(|_| defined),
        davies_bouldin: defined.then(|| groups.davies_bouldin(compacted)),
        ssw: Some(centred.inertia / rows as f64),
        ssb: Some(centred.ssb()),
        cohesion: Some(centred.own / rows as f64),
        separation: centred.separation(),
        bic: centred.bic(1.0),
        bic_river: centred.bic(rows as f64),
        silhouette_river: centred.silhouette_river(),
        xie_beni: centred.xie_beni(),
    })
}

impl Clustered<'_> {
    /// Every point and its cluster, in their order.
    fn each(self, mut see: impl FnMut(&[f64], u32)) {
        let mut buffer = self.points.buffer();
        for (row, &cluster) in self.clusters.iter().enumerate() {
            see(self.points.row(row, &mut buffer), cluster);
        }
    }
}

/// Whether a sum of squared distances within clusters, of such a sum in all, is what rounding leaves of none: the square of
/// a score's last digit, and as many times that as there are rows in a centre.
fn is_rounding(within: f64, all: f64, rows: f64) -> bool {
    within <= 1e-30 * rows * all
}

/// The clusters numbered 0 to count - 1 without gaps, in their order, and the count.
fn compact(clusters: &[u32]) -> (Vec<u32>, usize) {
    let most = clusters.iter().max().map_or(0, |most| *most as usize + 1);
    let mut numbers = vec![0; most];
    clusters.iter().for_each(|&cluster| numbers[cluster as usize] = 1);
    let mut count = 0;
    for number in &mut numbers {
        let is_present = *number;
        *number = count;
        count += is_present;
    }
    (clusters.iter().map(|&cluster| numbers[cluster as usize]).collect(), count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        points: Vec<Vec<f64>>,
        clusters: Vec<u32>,
        centres: Vec<Vec<f64>>,
        expected: ClusterMetrics,
    }

    /// `tests/golden/make_clusters.py` says how the numbers were made and how to make them again.
    #[test]
    fn metrics_are_those_of_scikit_learn_and_river() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../tests/golden/clusters.json")).unwrap();
        assert!(golden.cases.len() >= 8);
        for Case { name, points, clusters, centres, expected: e } in golden.cases {
            let (columns, values) = (points[0].len(), points.concat());
            let of = Clustered { points: Points::dense(columns, &values), clusters: &clusters };
            let m = compute(of, &centres.concat(), 0, SilhouetteRows::default(), 1).unwrap();
            assert_eq!((m.rows, m.left_out, m.clusters), (e.rows, e.left_out, e.clusters), "{name}");
            for (what, found, expected) in [
                ("inertia", Some(m.inertia), Some(e.inertia)),
                ("silhouette", m.silhouette, e.silhouette),
                ("calinski_harabasz", m.calinski_harabasz, e.calinski_harabasz),
                ("davies_bouldin", m.davies_bouldin, e.davies_bouldin),
                ("ssw", m.ssw, e.ssw),
                ("ssb", m.ssb, e.ssb),
                ("cohesion", m.cohesion, e.cohesion),
                ("separation", m.separation, e.separation),
                ("bic", m.bic, e.bic),
                ("bic_river", m.bic_river, e.bic_river),
                ("silhouette_river", m.silhouette_river, e.silhouette_river),
                ("xie_beni", m.xie_beni, e.xie_beni),
            ] {
                let equal = match (found, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-10 * (1.0 + b.abs()),
                    (a, b) => a == b,
                };
                assert!(equal, "{name}: {what} {found:?}, expected {expected:?}");
            }
        }
    }
}
