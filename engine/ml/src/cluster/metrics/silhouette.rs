//! The mean silhouette, exact or over drawn rows.
//!
//! Rows are sorted by cluster, so that the distances of eight rows to those of one cluster add up in registers; eights
//! run in parallel, and every sum is made in the order of the sorted rows. Time grows with the square of the rows.

use super::{Clustered, compact};
use crate::cluster::nearest::{LANES, Tile};
use crate::cluster::points::Points;
use crate::seed::derive;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// Over which rows a silhouette is the mean.
///
/// ```
/// use tidemill_ml::SilhouetteRows;
///
/// assert_eq!(SilhouetteRows::default(), SilhouetteRows::Drawn(2_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilhouetteRows {
    /// All: time grows with the square of their number (100,000 rows: half a minute on two cores).
    Exact,
    /// As many, drawn without replacement by the seed, or all where there are no more.
    Drawn(usize),
}

impl Default for SilhouetteRows {
    fn default() -> Self {
        SilhouetteRows::Drawn(2_000)
    }
}

/// The mean silhouette; `None` without 2 to n - 1 clusters among the n rows that it is over.
pub(super) fn mean(of: Clustered<'_>, over: SilhouetteRows, seed: u64) -> Option<f64> {
    let rows = of.clusters.len();
    let mut drawn: Vec<usize> = match over {
        SilhouetteRows::Drawn(count) if count < rows => {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(derive(seed, 0));
            rand::seq::index::sample(&mut random, rows, count).into_vec()
        }
        _ => (0..rows).collect(),
    };
    drawn.sort_unstable_by_key(|&row| (of.clusters[row], row));
    let (clusters, count) = compact(&drawn.iter().map(|&row| of.clusters[row]).collect::<Vec<u32>>());
    if !(2..drawn.len()).contains(&count) {
        return None;
    }
    let columns = of.points.columns;
    let mut values = vec![0.0; drawn.len() * columns];
    let mut buffer = of.points.buffer();
    for (point, &row) in values.chunks_exact_mut(columns).zip(&drawn) {
        point.copy_from_slice(of.points.row(row, &mut buffer));
    }
    let points = Points::dense(columns, &values);
    let sizes: Vec<usize> = clusters.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
    let of_eight = |(eight, own): (usize, &[u32])| -> f64 {
        let mut tile = Tile::new(points.columns);
        tile.load_run(points, eight * LANES, own.len());
        let sums = distance_sums(&tile, points, &sizes);
        let of_lane = |(lane, own): (usize, &u32)| silhouette(lane, *own as usize, &sums, &sizes);
        own.iter().enumerate().map(of_lane).sum()
    };
    // Collected before the sum, so that its order is that of the rows.
    let eights: Vec<f64> = clusters.par_chunks(LANES).enumerate().map(of_eight).collect();
    Some(eights.iter().sum::<f64>() / drawn.len() as f64)
}

/// Of each cluster, the sum of distances from every lane to its rows.
fn distance_sums(tile: &Tile, points: Points<'_>, sizes: &[usize]) -> Vec<[f64; LANES]> {
    let mut from = 0;
    let mut buffer = points.buffer();
    let of_cluster = |&size: &usize| {
        let mut sums = [0.0; LANES];
        for row in from..from + size {
            let squared = tile.squared_to(points.row(row, &mut buffer));
            for lane in 0..LANES {
                sums[lane] += squared[lane].sqrt();
            }
        }
        from += size;
        sums
    };
    sizes.iter().map(of_cluster).collect()
}

fn silhouette(lane: usize, own: usize, sums: &[[f64; LANES]], sizes: &[usize]) -> f64 {
    if sizes[own] == 1 {
        return 0.0;
    }
    let a = sums[own][lane] / (sizes[own] - 1) as f64;
    let others = (0..sizes.len()).filter(|&c| c != own).map(|c| sums[c][lane] / sizes[c] as f64);
    let b = others.fold(f64::INFINITY, f64::min);
    if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_silhouette_is_near_the_exact_one_and_moves_with_the_seed() {
        // Two lines of points that overlap in part.
        let rows = 9_000;
        let values: Vec<f64> =
            (0..rows).map(|i| f64::from(i * 7_919 % 3_001) + f64::from(i % 2) * 2e3).collect();
        let clusters: Vec<u32> = (0..rows as u32).map(|i| i % 2).collect();
        let of = Clustered { points: Points::dense(1, &values), clusters: &clusters };
        let drawn = |count, seed| mean(of, SilhouetteRows::Drawn(count), seed).unwrap();
        let exact = mean(of, SilhouetteRows::Exact, 1).unwrap();
        assert_eq!(drawn(9_000, 2), exact, "exact where no row is left");
        for count in [2_000, 4_000] {
            let (one, other) = (drawn(count, 1), drawn(count, 2));
            assert!((one - exact).abs() < 0.03 && one != other, "{one} {other} {exact}");
            assert_eq!(drawn(count, 1), one);
        }
    }
}
