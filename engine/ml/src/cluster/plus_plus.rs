//! Where k-means begins: greedy k-means++ (Arthur and Vassilvitskii 2007), as scikit-learn does it.
//!
//! The first centre is drawn by weight. For each next one, 2 + ⌊ln k⌋ candidates are drawn with probability proportional
//! to weight × squared distance to the nearest centre so far, and the one is kept that leaves the least sum of these.
//! Sums are made by blocks of a fixed size and added in order, so the draw is the same for any number of threads.

use super::nearest::{LANES, Tile};
use super::points::Points;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

const BLOCK_ROWS: usize = 8_192;

/// As many centres (row-major) as asked for. Where fewer points differ, the first centre is repeated.
pub(super) fn centres(points: Points<'_>, weights: Option<&[f64]>, clusters: usize, seed: u64) -> Vec<f64> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let rows = points.rows();
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    let mut costs: Vec<f64> = (0..rows).map(weight).collect();
    let first = draw(&costs, &block_sums(&costs), random.r#gen()).unwrap_or(0);
    let mut buffer = points.buffer();
    let mut centres = points.row(first, &mut buffer).to_vec();
    costs.par_iter_mut().for_each(|cost| *cost = f64::INFINITY);
    let trials = 2 + (clusters as f64).ln() as usize;
    let mut latest = first;
    while centres.len() < clusters * points.columns {
        let blocks = lower(points, weights, &mut costs, latest);
        let mut candidates: Vec<usize> =
            (0..trials).map_while(|_| draw(&costs, &blocks, random.r#gen())).collect();
        candidates.dedup();
        let Some(best) = best_of(points, weights, &costs, &candidates) else {
            // Every point is at a centre.
            let first = centres[..points.columns].to_vec();
            centres.extend(first);
            continue;
        };
        centres.extend_from_slice(points.row(best, &mut buffer));
        latest = best;
    }
    centres
}

/// The row at which the running sum of costs passes this share of all; `None` if all are 0.
fn draw(costs: &[f64], blocks: &[f64], share: f64) -> Option<usize> {
    let target = share * blocks.iter().sum::<f64>();
    let mut passed = 0.0;
    for (block, sum) in blocks.iter().enumerate() {
        if passed + sum <= target {
            passed += sum;
            continue;
        }
        let from = block * BLOCK_ROWS;
        for (row, cost) in costs.iter().enumerate().skip(from).take(BLOCK_ROWS) {
            passed += cost;
            if passed > target {
                return Some(row);
            }
        }
    }
    // Rounding may leave the target just above the sum.
    costs.iter().rposition(|&cost| cost > 0.0)
}

fn block_sums(costs: &[f64]) -> Vec<f64> {
    costs.par_chunks(BLOCK_ROWS).map(|block| block.iter().sum()).collect()
}

/// Lowers each cost to weight × squared distance to a new centre, where that is less; the sums of the blocks.
fn lower(points: Points<'_>, weights: Option<&[f64]>, costs: &mut [f64], row: usize) -> Vec<f64> {
    let mut buffer = points.buffer();
    let centre = points.row(row, &mut buffer);
    let of_block = |(block, costs): (usize, &mut [f64])| {
        let mut tile = Tile::new(points.columns);
        let mut sum = 0.0;
        for (i, costs) in costs.chunks_mut(LANES).enumerate() {
            let from = block * BLOCK_ROWS + i * LANES;
            tile.load_run(points, from, costs.len());
            let squared = tile.squared_to(centre);
            for (lane, cost) in costs.iter_mut().enumerate() {
                *cost = cost.min(squared[lane] * weights.map_or(1.0, |w| w[from + lane]));
                sum += *cost;
            }
        }
        sum
    };
    costs.par_chunks_mut(BLOCK_ROWS).enumerate().map(of_block).collect()
}

/// The candidate that leaves the least sum of costs, the first of equals.
fn best_of(
    points: Points<'_>,
    weights: Option<&[f64]>,
    costs: &[f64],
    candidates: &[usize],
) -> Option<usize> {
    let mut buffer = points.buffer();
    let coordinates: Vec<f64> =
        candidates.iter().flat_map(|&row| points.row(row, &mut buffer).to_vec()).collect();
    let of_block = |(block, costs): (usize, &[f64])| {
        let mut tile = Tile::new(points.columns);
        let mut sums = vec![0.0; candidates.len()];
        for (i, costs) in costs.chunks(LANES).enumerate() {
            let from = block * BLOCK_ROWS + i * LANES;
            tile.load_run(points, from, costs.len());
            for (sum, candidate) in sums.iter_mut().zip(coordinates.chunks_exact(points.columns)) {
                let squared = tile.squared_to(candidate);
                for (lane, cost) in costs.iter().enumerate() {
                    *sum += cost.min(squared[lane] * weights.map_or(1.0, |w| w[from + lane]));
                }
            }
        }
        sums
    };
    let blocks: Vec<Vec<f64>> = costs.par_chunks(BLOCK_ROWS).enumerate().map(of_block).collect();
    let total = |i: usize| blocks.iter().map(|sums| sums[i]).sum::<f64>();
    let best = (0..candidates.len()).map(|i| (total(i), i)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(candidates[best.1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_groups_each_get_a_centre_and_the_seed_decides_which_point() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 4) * 1e3 + f64::from(i / 4) / 100.0).collect();
        let points = Points::dense(1, &values);
        let mut distinct = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut found = centres(points, None, 4, seed);
            assert!(found.iter().all(|c| values.contains(c)), "{found:?}");
            distinct.insert(format!("{found:?}"));
            found.sort_by(f64::total_cmp);
            let groups: Vec<f64> = found.iter().map(|c| (c / 1e3).floor()).collect();
            assert_eq!(groups, [0.0, 1.0, 2.0, 3.0], "seed {seed}");
        }
        assert!(distinct.len() > 10, "the seed has a say");
    }

    #[test]
    fn points_without_weight_or_distance_are_not_drawn() {
        let values = [1.0, 2.0, 2.0, 3.0];
        let points = Points::dense(1, &values);
        for seed in 0..50 {
            let mut found = centres(points, Some(&[0.0, 1.0, 1.0, 1e-3]), 2, seed);
            found.sort_by(f64::total_cmp);
            assert_eq!(found, [2.0, 3.0]);
            let found = centres(points, None, 5, seed);
            assert_eq!((found.len(), found[3], found[4]), (5, found[0], found[0]));
        }
    }
}
