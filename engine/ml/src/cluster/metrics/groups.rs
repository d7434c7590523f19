//! Metrics about the means of the clusters' own rows, as scikit-learn has them.

use super::{Clustered, is_rounding};
use crate::cluster::squared_distance;
use rayon::prelude::*;

/// Size and mean of every cluster, none of them empty.
pub(super) struct Groups {
    sizes: Vec<f64>,
    /// Row-major: clusters × columns.
    means: Vec<f64>,
}

impl Groups {
    pub(super) fn of(of: Clustered<'_>, count: usize) -> Groups {
        let columns = of.points.columns;
        let mut groups = Groups { sizes: vec![0.0; count], means: vec![0.0; count * columns] };
        // Sums about a cluster's first row: of equal rows they are 0, and the mean is exact.
        let mut first = vec![0.0; count * columns];
        of.each(|point, cluster| {
            let (size, at) = (&mut groups.sizes[cluster as usize], cluster as usize * columns);
            let first = &mut first[at..][..columns];
            if *size == 0.0 {
                first.copy_from_slice(point);
            }
            *size += 1.0;
            let mean = groups.means[at..][..columns].iter_mut();
            mean.zip(point).zip(first).for_each(|((m, x), first)| *m += x - *first);
        });
        let sizes = groups.sizes.iter().flat_map(|size| std::iter::repeat_n(size, columns));
        for ((mean, first), size) in groups.means.iter_mut().zip(first).zip(sizes) {
            *mean = first + *mean / size;
        }
        groups
    }

    pub(super) fn calinski_harabasz(&self, of: Clustered<'_>) -> Option<f64> {
        let (rows, count) = (of.clusters.len() as f64, self.sizes.len() as f64);
        let means = || self.means.chunks_exact(of.points.columns);
        let mut middle = vec![0.0; of.points.columns];
        for (mean, size) in means().zip(&self.sizes) {
            middle.iter_mut().zip(mean).for_each(|(m, x)| *m += x * size / rows);
        }
        let between: f64 =
            means().zip(&self.sizes).map(|(mean, size)| size * squared_distance(mean, &middle)).sum();
        let mut within = 0.0;
        of.each(|point, c| within += squared_distance(point, self.mean(of, c)));
        (!is_rounding(within, between + within, rows))
            .then(|| (between / (count - 1.0)) / (within / (rows - count)))
            .filter(|v| v.is_finite())
    }

    pub(super) fn davies_bouldin(&self, of: Clustered<'_>) -> f64 {
        let count = self.sizes.len();
        let mut spread = vec![0.0; count];
        of.each(|point, cluster| {
            spread[cluster as usize] += squared_distance(point, self.mean(of, cluster)).sqrt();
        });
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
        &self.means[cluster as usize * of.points.columns..][..of.points.columns]
    }
}
