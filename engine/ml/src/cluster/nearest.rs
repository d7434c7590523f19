//! The nearest and second nearest centre of every point, eight points at a time.
//!
//! Eight rows are turned into columns of eight lanes, so that the compiler makes vector
//! instructions of the loop over lanes; a lane adds its squares in the order of columns, so a distance is the same number
//! whatever rows stand beside it. Of equal distances the first centre counts.

use super::points::Points;
use rayon::prelude::*;

/// Rows that are worked on together.
pub(super) const LANES: usize = 8;

/// Rows of a parallel piece of work that only writes its own rows.
const PIECE_ROWS: usize = 4_096;

/// Eight rows, a column each entry.
pub(super) struct Tile(Vec<[f64; LANES]>);

impl Tile {
    pub(super) fn new(columns: usize) -> Tile {
        Tile(vec![[0.0; LANES]; columns])
    }

    /// Takes up to eight rows, at least one; lanes beyond the last repeat the first.
    #[inline(always)]
    pub(super) fn load(&mut self, points: Points<'_>, rows: impl Iterator<Item = usize>) {
        let mut numbers = [0; LANES];
        let mut lanes = 0;
        for (number, row) in numbers.iter_mut().zip(rows) {
            *number = row;
            lanes += 1;
        }
        let first = numbers[0];
        numbers[lanes..].fill(first);
        points.put_lanes(&numbers, &mut self.0);
    }

    /// Takes rows `from` to `from + count - 1`, at least one of them.
    pub(super) fn load_run(&mut self, points: Points<'_>, from: usize, count: usize) {
        self.load(points, from..from + count.min(LANES));
    }

    /// Squared distance of every lane to a point.
    #[inline(always)]
    pub(super) fn squared_to(&self, point: &[f64]) -> [f64; LANES] {
        let mut sums = [0.0; LANES];
        for (column, &m) in self.0.iter().zip(point) {
            for lane in 0..LANES {
                let apart = column[lane] - m;
                sums[lane] += apart * apart;
            }
        }
        sums
    }

    /// The two nearest of these centres (row-major) to every lane.
    #[inline(always)]
    pub(super) fn nearest_two(&self, centres: &[f64]) -> NearestTwo {
        let (mut nearest, mut second) = ([f64::INFINITY; LANES], [f64::INFINITY; LANES]);
        let mut cluster = [0u64; LANES];
        // A loop for each of the three, and a minimum that is one instruction: so they become vector instructions.
        let least = |a: f64, b: f64| if a < b { a } else { b };
        let most = |a: f64, b: f64| if a > b { a } else { b };
        for (centre, c) in centres.chunks_exact(self.0.len()).zip(0u64..) {
            let squared = self.squared_to(centre);
            for lane in 0..LANES {
                second[lane] = least(most(nearest[lane], squared[lane]), second[lane]);
            }
            for lane in 0..LANES {
                cluster[lane] = if squared[lane] < nearest[lane] { c } else { cluster[lane] };
            }
            for lane in 0..LANES {
                nearest[lane] = least(squared[lane], nearest[lane]);
            }
        }
        NearestTwo { squared: nearest, second, cluster }
    }
}

/// Of every lane: its nearest centre, the squared distance to it, and that to the second nearest (infinite without one).
pub(super) struct NearestTwo {
    pub(super) squared: [f64; LANES],
    pub(super) second: [f64; LANES],
    /// As wide as a distance, so that the choice is one vector instruction.
    pub(super) cluster: [u64; LANES],
}

/// How many points are nearest to each of these centres (row-major).
pub(super) fn sizes(points: Points<'_>, centres: &[f64]) -> Vec<u64> {
    let clusters = centres.len() / points.columns;
    let of_piece = |first: usize| {
        let points = points.slice(first, PIECE_ROWS.min(points.rows() - first));
        let (mut tile, mut sizes) = (Tile::new(points.columns), vec![0; clusters]);
        for first in (0..points.rows()).step_by(LANES) {
            let count = LANES.min(points.rows() - first);
            tile.load_run(points, first, count);
            tile.nearest_two(centres).cluster[..count].iter().for_each(|&c| sizes[c as usize] += 1);
        }
        sizes
    };
    let plus = |mut all: Vec<u64>, of_piece: Vec<u64>| {
        all.iter_mut().zip(of_piece).for_each(|(all, of_piece)| *all += of_piece);
        all
    };
    // To wake another thread takes longer than a piece.
    if points.rows() <= PIECE_ROWS {
        return of_piece(0);
    }
    let pieces = (0..points.rows()).into_par_iter().step_by(PIECE_ROWS);
    pieces.map(of_piece).reduce(|| vec![0; clusters], plus)
}

/// The nearest of these centres (row-major) to every point, and the squared distance to it.
pub(super) fn assign(points: Points<'_>, centres: &[f64]) -> (Vec<u32>, Vec<f64>) {
    let mut clusters = vec![0u32; points.rows()];
    let mut squared = vec![0.0; points.rows()];
    let of_piece = |points: Points<'_>, clusters: &mut [u32], squared: &mut [f64]| {
        let mut tile = Tile::new(points.columns);
        let eights = clusters.chunks_mut(LANES).zip(squared.chunks_mut(LANES));
        for (eight, (clusters, squared)) in eights.enumerate() {
            tile.load_run(points, eight * LANES, clusters.len());
            let found = tile.nearest_two(centres);
            clusters.iter_mut().zip(found.cluster).for_each(|(to, c)| *to = c as u32);
            squared.iter_mut().zip(found.squared).for_each(|(to, d)| *to = d);
        }
    };
    // To wake another thread takes longer than a piece.
    if points.rows() <= PIECE_ROWS {
        of_piece(points, &mut clusters, &mut squared);
    } else {
        let outputs = clusters.par_chunks_mut(PIECE_ROWS).zip(squared.par_chunks_mut(PIECE_ROWS));
        outputs.enumerate().for_each(|(piece, (clusters, squared))| {
            of_piece(points.slice(piece * PIECE_ROWS, clusters.len()), clusters, squared);
        });
    }
    (clusters, squared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::squared_distance;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_two_nearest_are_those_of_a_plain_search(
            columns in 1usize..5, rows in 1usize..40, clusters in 1usize..6, noise in any::<u64>(),
        ) {
            let number = |i: usize| (crate::seed::derive(noise, i as u64) % 7) as f64;
            let values: Vec<f64> = (0..rows * columns).map(number).collect();
            let centres: Vec<f64> = (0..clusters * columns).map(|i| number(i + 10_000)).collect();
            let points = Points::dense(columns, &values);
            let (assigned, squared) = assign(points, &centres);
            let count = |of: usize| assigned.iter().filter(|cluster| **cluster as usize == of).count() as u64;
            prop_assert_eq!(sizes(points, &centres), (0..clusters).map(count).collect::<Vec<u64>>());
            for row in 0..rows {
                let mut distances: Vec<(f64, u32)> = centres
                    .chunks_exact(columns)
                    .zip(0..)
                    .map(|(centre, c)| (squared_distance(&values[row * columns..][..columns], centre), c))
                    .collect();
                distances.sort_by(|a, b| a.partial_cmp(b).unwrap());
                prop_assert_eq!((squared[row], assigned[row]), distances[0]);
                let mut tile = Tile::new(columns);
                tile.load_run(points, row, 1);
                let found = tile.nearest_two(&centres);
                prop_assert_eq!(found.second[0], distances.get(1).map_or(f64::INFINITY, |d| d.0));
            }
        }
    }
}
