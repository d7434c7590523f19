//! How many clusters: k-means for each number in a range, what each is worth, and where the gain bends.

use super::metrics::{self, Clustered, SilhouetteRows};
use super::nearest;
use super::points::Points;
use super::{KMeansParams, solve};
use crate::Error;
use crate::seed::derive;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// K-means of several numbers of clusters on the same rows.
///
/// ```
/// use tidemill_ml::{FeatureTable, KMeans, KMeansParams, SilhouetteRows};
///
/// let mut table = FeatureTable::new(vec!["x".into()], vec![]);
/// table.push_numeric(0, (0..30).map(|i| f64::from(i % 3 * 100 + i)));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..30).collect();
/// let sweep =
///     KMeans::sweep(&KMeansParams::default(), &table, &rows, 1..=6, SilhouetteRows::default(), 42)?;
/// assert_eq!(sweep.points.len(), 6);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterSweep {
    /// Ascending by the number of clusters.
    pub points: Vec<SweepPoint>,
    /// The number of clusters at the elbow: the point of the inertia curve that lies farthest below the chord from its
    /// first to its last point, both axes scaled to 0 to 1 (the first of equals). `None` with fewer than three points,
    /// or where none lies below the chord.
    pub elbow: Option<u32>,
    /// The number of clusters of the largest silhouette, the first of equals; `None` where none is defined.
    pub best_silhouette: Option<u32>,
}

/// K-means with one number of clusters.
///
/// ```
/// use tidemill_ml::{FeatureTable, KMeans, KMeansParams, SilhouetteRows};
///
/// let mut table = FeatureTable::new(vec!["x".into()], vec![]);
/// table.push_numeric(0, (0..30).map(|i| f64::from(i % 3 * 100 + i)));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..30).collect();
/// let sweep =
///     KMeans::sweep(&KMeansParams::default(), &table, &rows, 1..=6, SilhouetteRows::default(), 42)?;
/// assert!(sweep.points[2].inertia < sweep.points[1].inertia);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Number of clusters.
    pub clusters: u32,
    /// Sum of squared distances to the centres, in squared standard deviations.
    pub inertia: f64,
    /// Mean silhouette; `None` where it is not defined.
    pub silhouette: Option<f64>,
}

/// A sweep over numbers of clusters; those above the number of points are left out.
pub(super) fn sweep(
    params: &KMeansParams,
    points: Points<'_>,
    clusters: RangeInclusive<u32>,
    silhouette: SilhouetteRows,
    seed: u64,
) -> Result<ClusterSweep, Error> {
    let most = u32::try_from(points.rows()).unwrap_or(u32::MAX).min(*clusters.end());
    let clusters = *clusters.start()..=most;
    if !clusters.is_empty() {
        // Before the first fit, not after all that can be had.
        for clusters in [*clusters.start(), most] {
            KMeansParams { clusters, ..params.clone() }.validate()?;
        }
    }
    let mut found = Vec::new();
    for clusters in clusters {
        let params = KMeansParams { clusters, ..params.clone() };
        let centres = solve::solve(&params, points, None, derive(seed, u64::from(clusters)), None)?;
        let labels = nearest::assign(points, &centres).0;
        // The same rows are drawn for every number of clusters.
        let of = Clustered { points, clusters: &labels };
        let scores = metrics::compute(of, &centres, 0, silhouette, seed)?;
        found.push(SweepPoint { clusters, inertia: scores.inertia, silhouette: scores.silhouette });
    }
    let by_silhouette = found.iter().filter_map(|p| Some((p.silhouette?, p.clusters)));
    let best = by_silhouette.reduce(|best, p| if p.0 > best.0 { p } else { best });
    Ok(ClusterSweep { elbow: elbow(&found), best_silhouette: best.map(|b| b.1), points: found })
}

fn elbow(points: &[SweepPoint]) -> Option<u32> {
    let (first, last) = (points.first()?, points.last()?);
    let (width, height) = (f64::from(last.clusters - first.clusters), first.inertia - last.inertia);
    if height <= 0.0 {
        return None;
    }
    // Of a falling chord from (0, 1) to (1, 0), the distance below is (1 - x - y) / √2.
    let below = |p: &SweepPoint| {
        let x = f64::from(p.clusters - first.clusters) / width;
        (1.0 - x - (p.inertia - last.inertia) / height, p.clusters)
    };
    let farthest = points.iter().map(below).reduce(|best, p| if p.0 > best.0 { p } else { best })?;
    (points.len() > 2 && farthest.0 > 1e-12).then_some(farthest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(inertia: &[f64]) -> Vec<SweepPoint> {
        let point = |(&inertia, clusters)| SweepPoint { clusters, inertia, silhouette: None };
        inertia.iter().zip(2..).map(point).collect()
    }

    #[test]
    fn the_elbow_is_the_point_farthest_below_the_chord() {
        // Scaled heights 1, .3, .1, .05, 0 at 0, ¼, ½, ¾, 1: below the chord by 0, .45, .4, .2, 0.
        assert_eq!(elbow(&curve(&[110.0, 40.0, 20.0, 15.0, 10.0])), Some(3));
        assert_eq!(elbow(&curve(&[110.0, 70.0, 15.0, 14.0, 10.0])), Some(4));
        assert_eq!(elbow(&curve(&[3.0, 2.0, 1.0])), None, "a line has no elbow");
        assert_eq!(elbow(&curve(&[3.0, 2.9, 1.0])), None, "nor one above the chord");
        assert_eq!(elbow(&curve(&[0.0, 0.0, 0.0])), None);
        assert_eq!((elbow(&curve(&[2.0, 1.0])), elbow(&[])), (None, None));
    }
}
