//! Metrics about the model's centres, as River has them.

use super::{Clustered, is_rounding};
use crate::cluster::nearest::{LANES, Tile};
use crate::cluster::points::Points;
use crate::cluster::squared_distance;
use rayon::prelude::*;
use std::f64::consts::PI;

/// Rows whose sums are made together.
const BLOCK_ROWS: usize = 4_096;

/// Sums over rows of distances to centres.
pub(super) struct Centred<'a> {
    of: Clustered<'a>,
    /// Row-major: clusters × columns.
    centres: &'a [f64],
    /// Σ d(row, own)².
    pub(super) inertia: f64,
    /// Σ d(row, own).
    pub(super) own: f64,
    /// Σ d(row, any centre).
    all: f64,
    /// Σ d(row, second farthest centre).
    second: f64,
}

#[derive(Default)]
struct Sums {
    inertia: f64,
    own: f64,
    all: f64,
    second: f64,
}

impl<'a> Centred<'a> {
    pub(super) fn of(of: Clustered<'a>, centres: &'a [f64]) -> Centred<'a> {
        let of_block = |(i, clusters): (usize, &[u32])| {
            block(of.points.slice(i * BLOCK_ROWS, clusters.len()), clusters, centres)
        };
        let blocks: Vec<Sums> = of.clusters.par_chunks(BLOCK_ROWS).enumerate().map(of_block).collect();
        let sum = |f: fn(&Sums) -> f64| blocks.iter().map(f).sum();
        Centred {
            of,
            centres,
            inertia: sum(|s| s.inertia),
            own: sum(|s| s.own),
            all: sum(|s| s.all),
            second: sum(|s| s.second),
        }
    }

    fn columns(&self) -> usize {
        self.of.points.columns
    }

    fn rows(&self) -> f64 {
        self.of.clusters.len() as f64
    }

    fn centre(&self, cluster: usize) -> &[f64] {
        &self.centres[cluster * self.columns()..][..self.columns()]
    }

    /// Number of centres, with rows or without.
    fn count(&self) -> usize {
        self.centres.len() / self.columns()
    }

    /// Rows of each centre.
    fn sizes(&self) -> Vec<f64> {
        let mut sizes = vec![0.0; self.count()];
        self.of.clusters.iter().for_each(|&c| sizes[c as usize] += 1.0);
        sizes
    }

    pub(super) fn ssb(&self) -> f64 {
        let mut middle = vec![0.0; self.columns()];
        self.of.each(|point, _| middle.iter_mut().zip(point).for_each(|(m, x)| *m += x));
        middle.iter_mut().for_each(|m| *m /= self.rows());
        let squares = |(c, size): (usize, f64)| size * squared_distance(self.centre(c), &middle);
        self.sizes().into_iter().enumerate().map(squares).sum::<f64>() / self.rows()
    }

    pub(super) fn separation(&self) -> Option<f64> {
        let others = self.count() - 1;
        (others > 0).then(|| ((self.all - self.own) / others as f64 / self.rows()).max(0.0))
    }

    pub(super) fn silhouette_river(&self) -> Option<f64> {
        (self.count() > 1 && self.second > 0.0).then(|| self.own / self.second)
    }

    pub(super) fn xie_beni(&self) -> Option<f64> {
        let nearest = |c: usize| {
            let others =
                (c + 1..self.count()).map(|other| squared_distance(self.centre(c), self.centre(other)));
            others.fold(f64::INFINITY, f64::min)
        };
        let least = (0..self.count()).into_par_iter().map(nearest).reduce(|| f64::INFINITY, f64::min);
        let ratio = self.inertia / self.rows() / least;
        (self.count() > 1 && ratio.is_finite()).then_some(ratio)
    }

    /// The criterion, with the variance divided by `divisor`.
    pub(super) fn bic(&self, divisor: f64) -> Option<f64> {
        let (rows, columns, count) = (self.rows(), self.columns() as f64, self.count() as f64);
        let variance = self.inertia / ((rows - count) * columns) / divisor;
        let all = self.inertia + rows * self.ssb();
        if rows <= count || is_rounding(self.inertia, all, rows) || variance.ln().is_infinite() {
            return None;
        }
        let likelihood = |size: f64| {
            size * size.ln()
                - size * rows.ln()
                - size * columns / 2.0 * (2.0 * PI * variance).ln()
                - (size - 1.0) * columns / 2.0
        };
        let all: f64 = self.sizes().into_iter().filter(|&size| size > 0.0).map(likelihood).sum();
        Some(all - count * (columns + 1.0) / 2.0 * rows.ln())
    }
}

fn block(points: Points<'_>, clusters: &[u32], centres: &[f64]) -> Sums {
    let mut sums = Sums::default();
    let mut tile = Tile::new(points.columns);
    for (eight, clusters) in clusters.chunks(LANES).enumerate() {
        tile.load_run(points, eight * LANES, clusters.len());
        let (mut own, mut all) = ([0.0; LANES], [0.0; LANES]);
        // The farthest and second farthest so far; the second of one centre alone is not used.
        let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
        for (centre, c) in centres.chunks_exact(points.columns).zip(0u32..) {
            let squared = tile.squared_to(centre);
            for lane in 0..LANES {
                let d = squared[lane].sqrt();
                all[lane] += d;
                second[lane] = f64::max(second[lane], f64::min(first[lane], d));
                first[lane] = f64::max(first[lane], d);
                if clusters.get(lane) == Some(&c) {
                    own[lane] = squared[lane];
                }
            }
        }
        for lane in 0..clusters.len() {
            sums.inertia += own[lane];
            sums.own += own[lane].sqrt();
            sums.all += all[lane];
            sums.second += second[lane];
        }
    }
    sums
}
