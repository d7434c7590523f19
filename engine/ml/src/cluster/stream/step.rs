//! One batch's step of each learner on points, and clusters begun again.

use super::params::OnlineKMeansParams;
use crate::Error;
use crate::cluster::nearest;
use crate::cluster::points::Points;
use crate::cluster::squared_distance;
use crate::seed::derive;
use linfa::DatasetBase;
use linfa::traits::FitWith;
use linfa_clustering::{IncrKMeansError, KMeansInit};
use ndarray::{Array1, Array2, ArrayView2};
use std::collections::BTreeMap;

/// Centres (row-major) and what each weighs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Centres {
    pub(super) coordinates: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

/// A mini-batch step: every point goes to its nearest centre as these are before the step, and every centre becomes the
/// mean of what it weighed and its points.
pub(super) fn minibatch(points: Points<'_>, weights: Option<&[f64]>, centres: &mut Centres) {
    let clusters = nearest::assign(points, &centres.coordinates).0;
    let mut sums = vec![0.0; centres.coordinates.len()];
    let mut added = vec![0.0; centres.weights.len()];
    let values = points.values();
    for (row, (point, &cluster)) in values.chunks_exact(points.columns).zip(&clusters).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        let sums = &mut sums[cluster as usize * points.columns..][..points.columns];
        sums.iter_mut().zip(point).for_each(|(sum, x)| *sum += weight * x);
        added[cluster as usize] += weight;
    }
    for (cluster, &by) in added.iter().enumerate() {
        let means = sums[cluster * points.columns..][..points.columns].iter().map(|sum| sum / by);
        add(points.columns, centres, cluster, by, means);
    }
}

/// The same step by linfa.
///
/// linfa counts rows, and neither weighs nor forgets them. So its step begins at weight 0, which gives the means and counts
/// of the rows it is given, and it is given those of one weight at a time; the mean of these means and of what is left from
/// before, by their weights, is the one its step would give if it knew them.
pub(super) fn linfa_minibatch(
    points: Points<'_>,
    weights: Option<&[f64]>,
    centres: &mut Centres,
) -> Result<(), Error> {
    let values = points.values();
    let mut sums = vec![0.0; centres.coordinates.len()];
    let mut added = vec![0.0; centres.weights.len()];
    let mut step = |weight: f64, values: &[f64]| -> Result<(), Error> {
        let (means, rows) = linfa_step(points.columns, values, centres)?;
        for (cluster, (means, &rows)) in means.outer_iter().zip(&rows).enumerate() {
            let sums = &mut sums[cluster * points.columns..][..points.columns];
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += weight * rows * mean);
            added[cluster] += weight * rows;
        }
        Ok(())
    };
    match weights {
        None => step(1.0, &values)?,
        Some(weights) => {
            let mut alike: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for (point, weight) in values.chunks_exact(points.columns).zip(weights) {
                alike.entry(weight.to_bits()).or_default().extend_from_slice(point);
            }
            alike.iter().try_for_each(|(weight, values)| step(f64::from_bits(*weight), values))?;
        }
    }
    for (cluster, &by) in added.iter().enumerate() {
        let means = sums[cluster * points.columns..][..points.columns].iter().map(|sum| sum / by);
        add(points.columns, centres, cluster, by, means);
    }
    Ok(())
}

/// linfa's step on rows from these centres, as if these had no rows yet: the mean of the rows of each, and their number.
fn linfa_step(
    columns: usize,
    values: &[f64],
    centres: &Centres,
) -> Result<(Array2<f64>, Array1<f64>), Error> {
    let solver = |error: ndarray::ShapeError| Error::Solver(error.to_string());
    let shape = (centres.weights.len(), columns);
    let start = Array2::from_shape_vec(shape, centres.coordinates.clone()).map_err(solver)?;
    let records = ArrayView2::from_shape((values.len() / columns, columns), values).map_err(solver)?;
    let step = linfa_clustering::KMeans::params(shape.0)
        .init_method(KMeansInit::Precomputed(start))
        .fit_with(None, &DatasetBase::from(records));
    match step {
        Ok(model) | Err(IncrKMeansError::NotConverged(model)) => {
            Ok((model.centroids().to_owned(), model.cluster_count().to_owned()))
        }
        Err(error) => Err(Error::Solver(error.to_string())),
    }
}

/// A centre after points that weigh so much and have these means; without weight it stays.
fn add(columns: usize, centres: &mut Centres, cluster: usize, by: f64, means: impl Iterator<Item = f64>) {
    if by > 0.0 {
        let weight = &mut centres.weights[cluster];
        *weight += by;
        let share = by / *weight;
        let centre = &mut centres.coordinates[cluster * columns..][..columns];
        centre.iter_mut().zip(means).for_each(|(c, mean)| *c += share * (mean - *c));
    }
}

/// River's sequential k-means: row by row, the nearest centre (the first of equals) moves a share of the way to the row.
///
/// A point that weighs a share s of the heaviest moves the centre as far as s points at its place would.
pub(super) fn online(
    params: &OnlineKMeansParams,
    points: Points<'_>,
    weights: Option<&[f64]>,
    centres: &mut Centres,
) {
    let heaviest = weights.map_or(1.0, |w| w.iter().copied().fold(f64::MIN_POSITIVE, f64::max));
    for (row, point) in points.values().chunks_exact(points.columns).enumerate() {
        let mut best = (f64::INFINITY, 0);
        for (cluster, centre) in centres.coordinates.chunks_exact(points.columns).enumerate() {
            let squared = squared_distance(point, centre);
            if squared < best.0 {
                best = (squared, cluster);
            }
        }
        let centre = &mut centres.coordinates[best.1 * points.columns..][..points.columns];
        let (share, weight) = match weights {
            None => (params.halflife, 1.0),
            Some(weights) => (1.0 - (1.0 - params.halflife).powf(weights[row] / heaviest), weights[row]),
        };
        centre.iter_mut().zip(point).for_each(|(c, x)| *c += share * (x - *c));
        centres.weights[best.1] += weight;
    }
}

/// Begins clusters again that weigh less than `below` × the mean weight, each at a point drawn with probability
/// proportional to its squared distance to the nearest centre, with the least weight of those that stay; which these are,
/// in order. Where every point is at a centre, they stay as they are.
pub(super) fn reseed(points: Points<'_>, centres: &mut Centres, below: f64, seed: u64) -> Vec<u32> {
    let mean = centres.weights.iter().sum::<f64>() / centres.weights.len() as f64;
    let is_light = |weight: f64| weight < below * mean || (below > 0.0 && weight <= 0.0);
    let light: Vec<usize> = (0..centres.weights.len()).filter(|&c| is_light(centres.weights[c])).collect();
    if light.is_empty() || light.len() == centres.weights.len() {
        return Vec::new();
    }
    let staying = centres.weights.iter().copied().filter(|&weight| !is_light(weight));
    let weight = staying.fold(f64::INFINITY, f64::min);
    let mut costs = nearest::assign(points, &centres.coordinates).1;
    let mut begun = Vec::new();
    let values = points.values();
    for cluster in light {
        let share = derive(seed, cluster as u64) as f64 / u64::MAX as f64;
        let mut left = share * costs.iter().sum::<f64>();
        let drawn = costs.iter().position(|cost| {
            left -= cost;
            *cost > 0.0 && left <= 0.0
        });
        let Some(row) = drawn.or_else(|| costs.iter().rposition(|cost| *cost > 0.0)) else { break };
        let point = &values[row * points.columns..][..points.columns];
        centres.coordinates[cluster * points.columns..][..points.columns].copy_from_slice(point);
        centres.weights[cluster] = weight;
        let rows = values.chunks_exact(points.columns);
        costs.iter_mut().zip(rows).for_each(|(cost, x)| *cost = cost.min(squared_distance(x, point)));
        begun.push(cluster as u32);
    }
    begun
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        halflife: f64,
        start: Vec<Vec<f64>>,
        rows: Vec<Vec<f64>>,
        assigned: Vec<u32>,
        centres: Vec<Vec<f64>>,
    }

    /// `tests/golden/make_clusters.py` says how the numbers were made and how to make them again.
    #[test]
    fn online_centres_are_those_of_river_after_every_row() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../tests/golden/online_kmeans.json")).unwrap();
        let (clusters, columns) = (golden.start.len(), golden.start[0].len());
        let params = OnlineKMeansParams { clusters: clusters as u32, halflife: golden.halflife };
        let mut centres = Centres { coordinates: golden.start.concat(), weights: vec![0.0; clusters] };
        for (row, assigned) in golden.rows.iter().zip(&golden.assigned) {
            let before = centres.weights.clone();
            online(&params, Points::dense(columns, row), None, &mut centres);
            assert_eq!(centres.weights[*assigned as usize], before[*assigned as usize] + 1.0);
        }
        for (found, expected) in centres.coordinates.iter().zip(golden.centres.concat()) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        // Many rows at once are the same rows.
        let mut at_once = Centres { coordinates: golden.start.concat(), weights: vec![0.0; clusters] };
        online(&params, Points::dense(columns, &golden.rows.concat()), None, &mut at_once);
        assert_eq!(at_once, centres);
    }

    #[test]
    fn a_minibatch_step_is_the_mean_of_what_was_and_what_came() {
        let start = Centres { coordinates: vec![0.0, 10.0, 99.0], weights: vec![3.0, 0.5, 2.0] };
        let points = Points::dense(1, &[1.0, 3.0, 12.0, 4.9]);
        let (mut ours, mut linfas) = (start.clone(), start.clone());
        minibatch(points, None, &mut ours);
        linfa_minibatch(points, None, &mut linfas).unwrap();
        let expected = [(3.0 * 0.0 + 1.0 + 3.0 + 4.9) / 6.0, (0.5 * 10.0 + 12.0) / 1.5, 99.0];
        for centres in [ours, linfas] {
            for (found, expected) in centres.coordinates.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
            assert_eq!(centres.weights, [6.0, 1.5, 2.0]);
        }
        // A point of weight 2 is two points.
        let (mut twice, mut weighted) = (start.clone(), start);
        minibatch(Points::dense(1, &[1.0, 3.0, 3.0, 12.0, 4.9]), None, &mut twice);
        minibatch(points, Some(&[1.0, 2.0, 1.0, 1.0]), &mut weighted);
        assert_eq!(weighted.weights, twice.weights);
        for (a, b) in weighted.coordinates.iter().zip(&twice.coordinates) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn light_clusters_begin_again_at_points_that_are_far_from_all_centres() {
        let values: Vec<f64> = [vec![0.0; 50], vec![10.0; 50], vec![500.0; 3]].concat();
        let points = Points::dense(1, &values);
        let start = Centres { coordinates: vec![0.0, 77.0, 10.0], weights: vec![50.0, 0.001, 40.0] };
        for seed in 0..20 {
            let mut centres = start.clone();
            assert_eq!(reseed(points, &mut centres, 0.01, seed), [1]);
            assert_eq!(
                (&centres.coordinates[..], &centres.weights[..]),
                (&[0.0, 500.0, 10.0][..], &[50.0, 40.0, 40.0][..])
            );
            let mut never = start.clone();
            assert_eq!(reseed(points, &mut never, 0.0, seed), [0; 0]);
            assert_eq!(never, start);
        }
        // Every point is at a centre: the cluster stays as it is.
        let mut same = start.clone();
        let points = Points::dense(1, &values[..100]);
        assert_eq!((reseed(points, &mut same, 0.01, 1), same == start), (vec![], true));
    }
}
