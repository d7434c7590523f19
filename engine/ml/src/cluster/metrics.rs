//! Metrics of a clustering from standardised points, their clusters and the model's centres.
//!
//! Formulas and conventions are scikit-learn's (`sklearn.metrics`), and `tests/golden/clusters.json` holds its numbers.
//! n is the number of rows, k that of the clusters that have any of them, d the Euclidean distance:
//!
//! - `inertia`: Σ d(row, centre of its cluster)², the sum of squares within (SSW) about the model's centres.
//! - `silhouette` (Rousseeuw 1987): the mean over rows of (b - a) / max(a, b), a being the mean distance to the other
//!   rows of its own cluster and b the least mean distance to the rows of another; 0 for a row alone in its cluster, or
//!   at one place with all of both. Exact up to [`SILHOUETTE_ROWS`] rows, over as many drawn rows beyond.
//! - `calinski_harabasz` (1974): (SSB / (k - 1)) / (SSW / (n - k)), both about the means of these rows.
//! - `davies_bouldin` (1979): the mean over clusters of the largest (s_i + s_j) / d(mean_i, mean_j), s being the mean
//!   distance of a cluster's rows to their mean; pairs of clusters with the same mean do not count.
//!
//! The last three need 2 to n - 1 clusters with rows (of the drawn rows, for the silhouette).

use super::squared_distance;
use crate::Error;
use crate::seed::derive;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows of an exact silhouette; more are drawn from, as its time grows with the square.
const SILHOUETTE_ROWS: usize = 2_000;

/// What a clustering is worth on some rows. `None` is a metric that these rows do not define.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterMetrics {
    /// Rows scored: those without a missing value.
    pub rows: u64,
    /// Rows left out for a missing value.
    pub left_out: u64,
    /// Clusters that have at least one of the rows scored.
    pub clusters: u32,
    /// Sum of squared distances to the centres, in squared standard deviations; smaller is better.
    pub inertia: f64,
    /// Mean silhouette, -1 to 1; larger is better. `None` without 2 to n - 1 clusters.
    pub silhouette: Option<f64>,
    /// Ratio of the spread between clusters and within; larger is better. `None` without 2 to n - 1 clusters, or if all
    /// rows of each cluster are at one place (where scikit-learn gives 1).
    pub calinski_harabasz: Option<f64>,
    /// Mean likeness of each cluster to its most like, 0 or more; smaller is better. `None` without 2 to n - 1 clusters.
    pub davies_bouldin: Option<f64>,
}

/// Points with their clusters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clustered<'a> {
    /// Coordinates of a point; at least 1.
    pub(super) columns: usize,
    /// Row-major: rows × columns.
    pub(super) points: &'a [f64],
    /// A cluster a row.
    pub(super) clusters: &'a [u32],
}

/// Metrics of these points; `centres` is row-major, clusters × columns, and has every cluster that occurs.
pub(super) fn compute(
    of: Clustered<'_>,
    centres: &[f64],
    left_out: u64,
    seed: u64,
) -> Result<ClusterMetrics, Error> {
    let rows = of.clusters.len();
    if rows == 0 {
        return Err(Error::NoRows);
    }
    let centre = |cluster: u32| &centres[cluster as usize * of.columns..][..of.columns];
    let inertia = of.rows().map(|(point, cluster)| squared_distance(point, centre(cluster))).sum();
    let (clusters, count) = compact(of.clusters);
    let of = Clustered { clusters: &clusters, ..of };
    let groups = Groups::of(of, count);
    let defined = (2..rows).contains(&count);
    Ok(ClusterMetrics {
        rows: rows as u64,
        left_out,
        clusters: count as u32,
        inertia,
        silhouette: silhouette(of, seed),
        calinski_harabasz: groups.calinski_harabasz(of).filter(|_| defined),
        davies_bouldin: defined.then(|| groups.davies_bouldin(of)),
    })
}

impl<'a> Clustered<'a> {
    fn rows(self) -> impl Iterator<Item = (&'a [f64], u32)> {
        self.points.chunks_exact(self.columns).zip(self.clusters.iter().copied())
    }
}

/// The clusters numbered 0 to count - 1 without gaps, in their order, and the count.
fn compact(clusters: &[u32]) -> (Vec<u32>, usize) {
    let mut present = clusters.to_vec();
    present.sort_unstable();
    present.dedup();
    let number = |cluster: &u32| present.partition_point(|p| p < cluster) as u32;
    (clusters.iter().map(number).collect(), present.len())
}

/// Size and mean of every cluster, none of them empty.
struct Groups {
    sizes: Vec<f64>,
    /// Row-major: clusters × columns.
    means: Vec<f64>,
}

impl Groups {
    fn of(of: Clustered<'_>, count: usize) -> Groups {
        let mut groups = Groups { sizes: vec![0.0; count], means: vec![0.0; count * of.columns] };
        for (point, cluster) in of.rows() {
            groups.sizes[cluster as usize] += 1.0;
            let mean = &mut groups.means[cluster as usize * of.columns..][..of.columns];
            mean.iter_mut().zip(point).for_each(|(m, x)| *m += x);
        }
        for (mean, size) in groups.means.chunks_exact_mut(of.columns).zip(&groups.sizes) {
            mean.iter_mut().for_each(|m| *m /= size);
        }
        groups
    }

    fn calinski_harabasz(&self, of: Clustered<'_>) -> Option<f64> {
        let (rows, count) = (of.clusters.len() as f64, self.sizes.len() as f64);
        let means = || self.means.chunks_exact(of.columns);
        let mut middle = vec![0.0; of.columns];
        for (mean, size) in means().zip(&self.sizes) {
            middle.iter_mut().zip(mean).for_each(|(m, x)| *m += x * size / rows);
        }
        let between: f64 =
            means().zip(&self.sizes).map(|(mean, size)| size * squared_distance(mean, &middle)).sum();
        let within: f64 = of.rows().map(|(point, c)| squared_distance(point, self.mean(of, c))).sum();
        (within > 0.0)
            .then(|| (between / (count - 1.0)) / (within / (rows - count)))
            .filter(|v| v.is_finite())
    }

    fn davies_bouldin(&self, of: Clustered<'_>) -> f64 {
        let count = self.sizes.len();
        let mut spread = vec![0.0; count];
        for (point, cluster) in of.rows() {
            spread[cluster as usize] += squared_distance(point, self.mean(of, cluster)).sqrt();
        }
        spread.iter_mut().zip(&self.sizes).for_each(|(s, size)| *s /= size);
        let worst = |i: usize| {
            let likeness = |j: usize| {
                let apart = squared_distance(self.mean(of, i as u32), self.mean(of, j as u32)).sqrt();
                if i == j || apart == 0.0 { 0.0 } else { (spread[i] + spread[j]) / apart }
            };
            (0..count).map(likeness).fold(0.0, f64::max)
        };
        // Collected before the sum, so that its order is that of the clusters.
        let worst: Vec<f64> = (0..count).into_par_iter().map(worst).collect();
        worst.iter().sum::<f64>() / count as f64
    }

    fn mean(&self, of: Clustered<'_>, cluster: u32) -> &[f64] {
        &self.means[cluster as usize * of.columns..][..of.columns]
    }
}

/// The mean silhouette of all rows, or of [`SILHOUETTE_ROWS`] drawn without replacement.
fn silhouette(of: Clustered<'_>, seed: u64) -> Option<f64> {
    let rows = of.clusters.len();
    let drawn: Vec<usize> = if rows <= SILHOUETTE_ROWS {
        (0..rows).collect()
    } else {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, 0));
        let mut drawn = rand::seq::index::sample(&mut random, rows, SILHOUETTE_ROWS).into_vec();
        drawn.sort_unstable();
        drawn
    };
    let (clusters, count) = compact(&drawn.iter().map(|&row| of.clusters[row]).collect::<Vec<u32>>());
    if !(2..drawn.len()).contains(&count) {
        return None;
    }
    let mut sizes = vec![0u32; count];
    clusters.iter().for_each(|&c| sizes[c as usize] += 1);
    let point = |row: usize| &of.points[row * of.columns..][..of.columns];
    let of_row = |(&row, &own): (&usize, &u32)| {
        let own = own as usize;
        if sizes[own] == 1 {
            return 0.0;
        }
        let mut sums = vec![0.0; count];
        for (&other, &cluster) in drawn.iter().zip(&clusters) {
            sums[cluster as usize] += squared_distance(point(row), point(other)).sqrt();
        }
        let a = sums[own] / f64::from(sizes[own] - 1);
        let others = (0..count).filter(|&c| c != own).map(|c| sums[c] / f64::from(sizes[c]));
        let b = others.fold(f64::INFINITY, f64::min);
        if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
    };
    // Collected before the sum, so that its order is that of the rows.
    let values: Vec<f64> = drawn.par_iter().zip(&clusters).map(of_row).collect();
    Some(values.iter().sum::<f64>() / values.len() as f64)
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
    fn metrics_are_those_of_scikit_learn() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/clusters.json")).unwrap();
        assert!(golden.cases.len() >= 8);
        for Case { name, points, clusters, centres, expected: e } in golden.cases {
            let of = Clustered { columns: points[0].len(), points: &points.concat(), clusters: &clusters };
            let m = compute(of, &centres.concat(), 0, 1).unwrap();
            assert_eq!((m.rows, m.left_out, m.clusters), (e.rows, e.left_out, e.clusters), "{name}");
            for (what, found, expected) in [
                ("inertia", Some(m.inertia), Some(e.inertia)),
                ("silhouette", m.silhouette, e.silhouette),
                ("calinski_harabasz", m.calinski_harabasz, e.calinski_harabasz),
                ("davies_bouldin", m.davies_bouldin, e.davies_bouldin),
            ] {
                let equal = match (found, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-10 * (1.0 + b.abs()),
                    (a, b) => a == b,
                };
                assert!(equal, "{name}: {what} {found:?}, scikit-learn {expected:?}");
            }
        }
    }

    #[test]
    fn a_drawn_silhouette_is_near_the_exact_one_and_moves_with_the_seed() {
        // Two lines of points that overlap in part.
        let rows = 9_000;
        let points: Vec<f64> =
            (0..rows).map(|i| f64::from(i * 7_919 % 3_001) + f64::from(i % 2) * 2e3).collect();
        let clusters: Vec<u32> = (0..rows as u32).map(|i| i % 2).collect();
        let of = |rows: usize| Clustered { columns: 1, points: &points[..rows], clusters: &clusters[..rows] };
        let (one, other) = (silhouette(of(9_000), 1).unwrap(), silhouette(of(9_000), 2).unwrap());
        let exact = silhouette(of(2_000), 1).unwrap();
        assert_eq!(silhouette(of(2_000), 2), Some(exact), "exact up to 2,000 rows");
        assert!((one - exact).abs() < 0.03 && one != other, "{one} {other} {exact}");
        assert_eq!(silhouette(of(9_000), 1), Some(one));
    }
}
