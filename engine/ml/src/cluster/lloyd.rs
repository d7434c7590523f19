//! Lloyd's iterations (1982) with Hamerly's bounds (2010).
//!
//! ```text
//! for each point   upper ≥ distance to its centre      += what that centre moved
//!                  lower ≤ distance to any other       -= what the farthest moved of the others
//! upper ≤ max(lower, half the way to the nearest other centre)  =>  it stays where it is, unseen
//! ```
//!
//! The bounds only save distances: the clusters are Lloyd's. What centres moved is summed up a cluster, and a bound is
//! kept without what was summed up when it was found, so that a point which stays is only read. Sums are made block by block, and the blocks, whose size
//! depends on the number of clusters alone, are added in their order: the same bytes for any number of threads.
//! Unweighted sums change by the points that changed cluster, and are made anew every [`ANEW`] iterations, so that no
//! rounding gathers.
//!
//! A cluster that has lost all its points is begun again at the point that is farthest (weight × squared distance) from
//! the centre it belongs to, the first of equals, as in scikit-learn; a point that is alone in its cluster stays there,
//! and where every point is at its centre the empty cluster stays as it is.

use super::nearest::{LANES, Tile};
use super::points::Points;
use super::squared_distance;
use crate::wide::{Wide, wide};
use rayon::prelude::*;

/// Iterations after which sums are made anew.
const ANEW: u32 = 16;

/// A bound counts only if it holds by more than rounding may have added to it.
const SLACK: f64 = 1.0 + 1e-12;

/// With fewer clusters, all distances of eight points at once cost no more than first those to their own centres.
const TIGHTEN_CLUSTERS: usize = 24;

/// In half the memory, and no less than it was.
fn above(bound: f64) -> f32 {
    (bound as f32).next_up()
}

/// In half the memory, and no more than it was.
fn below(bound: f64) -> f32 {
    (bound as f32).next_down()
}

/// When a run is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_iterations: u32,
    /// Euclidean length of the movement of all centres, as one vector.
    pub(super) tolerance: f64,
}

/// Where centres came to rest.
#[derive(Debug)]
pub(super) struct Rest {
    /// Row-major: clusters × columns.
    pub(super) centres: Vec<f64>,
    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) iterations: u32,
}

/// Moves centres (row-major, at least one) to the means of their points until they rest.
///
/// `weights`, one a point, are in (0, 1]. There is at least one point.
pub(super) fn run(points: Points<'_>, weights: Option<&[f64]>, start: Vec<f64>, limits: Limits) -> Rest {
    let mut state = State::new(points, weights, start);
    let mut iterations = 0;
    while iterations < limits.max_iterations {
        let anew = weights.is_some() || iterations % ANEW == 0;
        state.assign(anew);
        state.fill_empty();
        iterations += 1;
        if state.move_centres() <= limits.tolerance {
            break;
        }
    }
    Rest { centres: state.centres, iterations }
}

/// Rows of a block of sums: enough that the sums of all blocks weigh little beside the points.
fn block_rows(clusters: usize) -> usize {
    (16 * clusters).max(4_096).next_multiple_of(LANES)
}

const NONE: u32 = u32::MAX;

/// What a cluster's mean is made of.
#[derive(Clone)]
struct Sums {
    /// Row-major: clusters × columns, each weight × coordinate.
    coordinates: Vec<f64>,
    weights: Vec<f64>,
    /// Points, so that an empty cluster is known whatever rounding did to its weight. Negative only within a change.
    points: Vec<i64>,
}

impl Sums {
    fn new(clusters: usize, columns: usize) -> Sums {
        Sums {
            coordinates: vec![0.0; clusters * columns],
            weights: vec![0.0; clusters],
            points: vec![0; clusters],
        }
    }

    fn add(&mut self, cluster: u32, point: &[f64], weight: f64) {
        let cluster = cluster as usize;
        let sums = &mut self.coordinates[cluster * point.len()..][..point.len()];
        sums.iter_mut().zip(point).for_each(|(sum, x)| *sum += weight * x);
        self.weights[cluster] += weight;
        self.points[cluster] += weight.signum() as i64;
    }

    fn merge(&mut self, other: &Sums) {
        self.coordinates.iter_mut().zip(&other.coordinates).for_each(|(a, b)| *a += b);
        self.weights.iter_mut().zip(&other.weights).for_each(|(a, b)| *a += b);
        self.points.iter_mut().zip(&other.points).for_each(|(a, b)| *a += b);
    }
}

struct State<'a> {
    points: Points<'a>,
    weights: Option<&'a [f64]>,
    centres: Vec<f64>,
    clusters: usize,
    /// Cluster of each point; [`NONE`] before the first assignment.
    labels: Vec<u32>,
    /// Less `moves.own` of the point's cluster.
    upper: Vec<f32>,
    /// And `moves.others` more.
    lower: Vec<f32>,
    sums: Sums,
    moves: Moves,
    /// Bounds say nothing yet, or no more.
    unbound: bool,
}

/// How far centres have moved since the run began, summed up a cluster.
struct Moves {
    own: Vec<f64>,
    /// Of each step, the farthest that any other centre moved.
    others: Vec<f64>,
}

impl Moves {
    fn add(&mut self, step: &[f64]) {
        let (mut farthest, mut most, mut second) = (0, 0.0, 0.0);
        for (cluster, &by) in step.iter().enumerate() {
            if by > most {
                (second, most, farthest) = (most, by, cluster);
            } else if by > second {
                second = by;
            }
        }
        for (cluster, &by) in step.iter().enumerate() {
            self.own[cluster] += by * SLACK;
            self.others[cluster] += if cluster == farthest { second } else { most } * SLACK;
        }
    }
}

/// The rows of one block, and where its results go.
struct Block<'a> {
    points: Points<'a>,
    weights: Option<&'a [f64]>,
    labels: &'a mut [u32],
    upper: &'a mut [f32],
    lower: &'a mut [f32],
}

impl<'a> State<'a> {
    fn new(points: Points<'a>, weights: Option<&'a [f64]>, centres: Vec<f64>) -> State<'a> {
        let (rows, clusters) = (points.rows(), centres.len() / points.columns);
        State {
            points,
            weights,
            clusters,
            labels: vec![NONE; rows],
            upper: vec![0.0f32; rows],
            lower: vec![0.0f32; rows],
            sums: Sums::new(clusters, points.columns),
            moves: Moves { own: vec![0.0; clusters], others: vec![0.0; clusters] },
            unbound: true,
            centres,
        }
    }

    /// Gives every point to its nearest centre, and brings the sums up to date: by change, or `anew`.
    fn assign(&mut self, anew: bool) {
        let rows = block_rows(self.clusters);
        let half_gaps = half_gaps(&self.centres, self.points.columns);
        let (points, weights, clusters) = (self.points, self.weights, self.clusters);
        let (centres, moves, unbound) = (&self.centres, &self.moves, self.unbound);
        let labels = self.labels.par_chunks_mut(rows);
        let bounds = self.upper.par_chunks_mut(rows).zip(self.lower.par_chunks_mut(rows));
        let parts: Vec<Sums> = labels
            .zip(bounds)
            .enumerate()
            .map(|(i, (labels, (upper, lower)))| {
                let (from, count) = (i * rows, labels.len());
                let weights = weights.map(|w| &w[from..][..count]);
                let points = points.slice(from, count);
                let mut block = Block { points, weights, labels, upper, lower };
                let mut sums = Sums::new(clusters, points.columns);
                let pending = match unbound {
                    true => (0..count as u32).collect(),
                    false => block.unsure(centres, &half_gaps, moves),
                };
                let changes = (!anew).then_some(&mut sums);
                wide(Search { block: &mut block, rows: &pending, centres, moves, changes });
                if anew {
                    let mut buffer = points.buffer();
                    for (row, &label) in block.labels.iter().enumerate() {
                        sums.add(label, points.row(row, &mut buffer), weights.map_or(1.0, |w| w[row]));
                    }
                }
                sums
            })
            .collect();
        if anew {
            self.sums = Sums::new(clusters, points.columns);
        }
        parts.iter().for_each(|part| self.sums.merge(part));
        self.unbound = false;
    }

    /// Begins empty clusters again, as the module says.
    fn fill_empty(&mut self) {
        let empty: Vec<usize> = (0..self.clusters).filter(|&c| self.sums.points[c] == 0).collect();
        if empty.is_empty() {
            return;
        }
        let columns = self.points.columns;
        let cost = |buffer: &mut Vec<f64>, row: usize| {
            let centre = &self.centres[self.labels[row] as usize * columns..][..columns];
            self.weights.map_or(1.0, |w| w[row]) * squared_distance(self.points.row(row, buffer), centre)
        };
        let rows = (0..self.points.rows()).into_par_iter();
        let costs: Vec<f64> = rows.map_init(|| self.points.buffer(), cost).collect();
        let mut far: Vec<u32> = (0..costs.len() as u32).filter(|&row| costs[row as usize] > 0.0).collect();
        let by_cost = |a: &u32, b: &u32| costs[*b as usize].total_cmp(&costs[*a as usize]).then(a.cmp(b));
        // Some of the farthest may be alone in their cluster: there is at most one of those for each cluster.
        let wanted = empty.len() + self.clusters;
        if far.len() > wanted {
            far.select_nth_unstable_by(wanted, by_cost);
            far.truncate(wanted);
        }
        far.sort_unstable_by(by_cost);
        let mut far = far.into_iter();
        let mut buffer = self.points.buffer();
        for cluster in empty {
            let Some(row) = far.by_ref().find(|&r| self.sums.points[self.labels[r as usize] as usize] > 1)
            else {
                break;
            };
            let row = row as usize;
            let (point, weight) = (self.points.row(row, &mut buffer), self.weights.map_or(1.0, |w| w[row]));
            self.sums.add(self.labels[row], point, -weight);
            self.sums.add(cluster as u32, point, weight);
            self.labels[row] = cluster as u32;
            self.unbound = true;
        }
    }

    /// Moves centres to the means of their points; the Euclidean length of all the movement.
    fn move_centres(&mut self) -> f64 {
        let columns = self.points.columns;
        let mut moved = vec![0.0; self.clusters];
        for (cluster, centre) in self.centres.chunks_exact_mut(columns).enumerate() {
            let weight = self.sums.weights[cluster];
            if self.sums.points[cluster] <= 0 || weight <= 0.0 {
                continue;
            }
            for (m, sum) in centre.iter_mut().zip(&self.sums.coordinates[cluster * columns..]) {
                let mean = sum / weight;
                moved[cluster] += (mean - *m) * (mean - *m);
                *m = mean;
            }
        }
        let all: f64 = moved.iter().sum();
        self.moves.add(&moved.into_iter().map(f64::sqrt).collect::<Vec<f64>>());
        all.sqrt()
    }
}

impl Block<'_> {
    /// The rows that may have another nearest centre.
    fn unsure(&mut self, centres: &[f64], half_gaps: &[f64], moves: &Moves) -> Vec<u32> {
        // Every row is written, and the count moves on where it is unsure: no branch that nobody can predict.
        let mut unsure = vec![0; self.labels.len()];
        let mut count = 0;
        let bounds = self.upper.iter().zip(self.lower.iter()).zip(self.labels.iter());
        for (row, ((upper, lower), &label)) in bounds.enumerate() {
            let label = label as usize;
            let safe = f64::max(f64::from(*lower) - moves.others[label], half_gaps[label]);
            unsure[count] = row as u32;
            count += usize::from((f64::from(*upper) + moves.own[label]) * SLACK > safe);
        }
        unsure.truncate(count);
        if half_gaps.len() >= TIGHTEN_CLUSTERS {
            let mut buffer = self.points.buffer();
            unsure.retain(|&row| self.tighten(row as usize, &mut buffer, centres, half_gaps, moves));
        }
        unsure
    }

    /// Makes the upper bound the distance itself; whether the row is still unsure.
    fn tighten(
        &mut self,
        row: usize,
        buffer: &mut [f64],
        centres: &[f64],
        half_gaps: &[f64],
        moves: &Moves,
    ) -> bool {
        let (columns, label) = (self.points.columns, self.labels[row] as usize);
        let distance =
            squared_distance(self.points.row(row, buffer), &centres[label * columns..][..columns]).sqrt();
        self.upper[row] = above(distance - moves.own[label]);
        distance * SLACK > f64::max(f64::from(self.lower[row]) - moves.others[label], half_gaps[label])
    }
}

/// Gives rows of a block to their nearest centres, and notes the changes.
struct Search<'a, 'b> {
    block: &'a mut Block<'b>,
    rows: &'a [u32],
    centres: &'a [f64],
    moves: &'a Moves,
    changes: Option<&'a mut Sums>,
}

impl Wide for Search<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Search { block, rows, centres, moves, mut changes } = self;
        let mut tile = Tile::new(block.points.columns);
        let mut buffer = block.points.buffer();
        for (i, eight) in rows.chunks(LANES).enumerate() {
            tile.load(block.points, eight.iter().map(|&row| row as usize));
            // Rows to come lie apart in memory: asked for now, they arrive while these are compared.
            let next = rows.iter().skip((i + 1) * LANES).take(LANES);
            std::hint::black_box(next.map(|&row| block.points.touch(row as usize)).sum::<f64>());
            let found = tile.nearest_two(centres);
            for (lane, &row) in eight.iter().enumerate() {
                let (row, label) = (row as usize, found.cluster[lane] as u32);
                block.upper[row] = above(found.squared[lane].sqrt() - moves.own[label as usize]);
                block.lower[row] = below(found.second[lane].sqrt() + moves.others[label as usize]);
                let before = std::mem::replace(&mut block.labels[row], label);
                if let Some(sums) = changes.as_deref_mut().filter(|_| before != label) {
                    let point = block.points.row(row, &mut buffer);
                    let weight = block.weights.map_or(1.0, |w| w[row]);
                    sums.add(label, point, weight);
                    if before != NONE {
                        sums.add(before, point, -weight);
                    }
                }
            }
        }
    }
}

/// Half the distance of each centre to the nearest other; infinite for the only one.
fn half_gaps(centres: &[f64], columns: usize) -> Vec<f64> {
    let count = centres.len() / columns;
    let centre = |c: usize| &centres[c * columns..][..columns];
    let gap = |c: usize| {
        let others = (0..count).filter(|&other| other != c);
        others.map(|other| squared_distance(centre(c), centre(other))).fold(f64::INFINITY, f64::min)
    };
    (0..count).into_par_iter().with_min_len(64).map(|c| gap(c).sqrt() / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::nearest::assign;
    use crate::seed::derive;

    /// Iterations without bounds, changes or threads.
    fn plain(points: Points<'_>, weights: &[f64], mut centres: Vec<f64>, iterations: u32) -> Vec<f64> {
        for _ in 0..iterations {
            let (labels, _) = assign(points, &centres);
            for (c, centre) in centres.chunks_exact_mut(points.columns).enumerate() {
                let own: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] as usize == c).collect();
                let weight: f64 = own.iter().map(|&row| weights[row]).sum();
                for (j, m) in centre.iter_mut().enumerate() {
                    *m = own
                        .iter()
                        .map(|&row| weights[row] * points.row(row, &mut points.buffer())[j])
                        .sum::<f64>()
                        / weight;
                }
            }
        }
        centres
    }

    fn cloud(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
        // The mean of three uniform numbers, about centres on a line.
        let uniform = |i: u64| derive(seed, i) as f64 / u64::MAX as f64;
        (0..(rows * columns) as u64)
            .map(|i| uniform(3 * i) + uniform(3 * i + 1) + uniform(3 * i + 2) + (i % 5) as f64 * 0.3)
            .collect()
    }

    #[test]
    fn bounds_and_changes_give_the_centres_of_plain_iterations() {
        for (rows, columns, clusters) in [(9_000, 2, 5), (5_000, 3, 40), (300, 7, 2), (50, 1, 1)] {
            let values = cloud(rows, columns, 3);
            let points = Points::dense(columns, &values);
            let start = values[..clusters * columns].to_vec();
            let weights: Vec<f64> = (0..rows).map(|i| 1.0 / (1 + i % 4) as f64).collect();
            for weighted in [false, true] {
                let limits = Limits { max_iterations: 30, tolerance: 0.0 };
                let ours = run(points, weighted.then_some(&weights[..]), start.clone(), limits);
                let ones = vec![1.0; rows];
                let weights = if weighted { &weights } else { &ones };
                let plain = plain(points, weights, start.clone(), ours.iterations);
                for (a, b) in ours.centres.iter().zip(&plain) {
                    assert!((a - b).abs() < 1e-10, "{rows} × {columns}, {clusters}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn bounds_in_half_the_memory_are_bounds() {
        let shares = (0..10_000).map(|i| derive(1, i) as f64 / u64::MAX as f64 - 0.5);
        let ends = [0.0, 1e-60, 1e-40, 1.0, 1e30, 1e39, 1e300, f64::INFINITY];
        for bound in shares.chain(ends).chain(ends.map(|end| -end)) {
            assert!(f64::from(above(bound)) >= bound && f64::from(below(bound)) <= bound, "{bound}");
        }
    }

    #[test]
    fn an_empty_cluster_begins_again_at_the_farthest_point() {
        let values = [0.0, 1.0, 2.0, 50.0, 51.0, 90.0];
        let points = Points::dense(1, &values);
        let limits = Limits { max_iterations: 1, tolerance: 0.0 };
        // The second centre gets no point; 90 is the farthest from its centre, 20.
        let rest = run(points, None, vec![20.0, 1e3], limits);
        assert_eq!(rest.centres, [(0.0 + 1.0 + 2.0 + 50.0 + 51.0) / 5.0, 90.0]);
        // A point alone in its cluster stays there, however far it is from the centre.
        let rest = run(points, None, vec![20.0, 150.0, 1e4], limits);
        assert_eq!(rest.centres, [(0.0 + 1.0 + 2.0 + 50.0) / 4.0, 90.0, 51.0]);
        // Everything at its centre: the empty cluster stays.
        let same = Points::dense(1, &[4.0; 3]);
        assert_eq!(run(same, None, vec![4.0, 7.0], limits).centres, [4.0, 7.0]);
    }
}
