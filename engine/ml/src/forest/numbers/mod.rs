//! Trees, forests and boosting of a number: regression.
//!
//! A split is worth what it takes from the squared error (Breiman et al. 1984): numbers are counted from their centre in
//! spreads, so that sum² / weight over both sides, less that of the node, is the decrease of their sum of squares in units
//! of their variance. A leaf says the mean of its rows, not drawn towards anything; a forest the mean of its trees.
//! Categories are ordered by their mean, drawn towards the node's by thirty rows, and charged for what they gain by chance
//! as in a tree of two classes, by the variance of the node's rows.
//!
//! Numbers become integers of thirty bits before they are summed, for the reasons in [`boost`](super::boost): one is moved
//! by at most 2⁻³¹ of the largest distance from the median. Next to a target of 1e300 others may so be the same.

mod boost;
mod scale;

use super::cell::{Cell, Draw, Moments, Source, Sums, Units};
use super::draw::{Drawable, integer_weights};
use super::grow::Grower;
use super::params::{
    Categories, DecisionTreeParams, GradientBoostingParams, Growth, RandomForestParams, number_settings,
};
use super::prepare::{EncodedTarget, FeatureRows, Prepared};
use super::split::{Noise, Search};
use super::tree::Tree;
use super::trees::scored_by_parts;
use super::{CATEGORY_SMOOTHING, share, walk};
use crate::encode::bins::{BinnedRows, TableBins};
use crate::encode::rare::{RareCategories, Unseen};
use crate::encode::target::share_of;
use crate::seed::derive;
use crate::training::NumberRows;
use crate::{Error, FeatureTable, KeptBins};
use rayon::prelude::*;
use scale::Scale;
use serde::{Deserialize, Serialize};

/// Trees that say a number together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberTrees {
    bins: TableBins,
    rare: RareCategories,
    scale: Scale,
    link: Link,
    /// Leaves hold spreads.
    trees: Vec<Tree>,
    /// Share of each feature in the gain of all splits; of a forest the mean of the trees'.
    gains: Vec<f64>,
}

/// How leaves become spreads from the centre.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Link {
    /// Their mean.
    Mean,
    /// Their sum, added to this.
    Sum(f64),
}

/// Sums of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spread(Moments);

impl Cell for Spread {
    type Scale = Units;

    fn plus(self, other: Spread) -> Spread {
        Spread(self.0.plus(other.0))
    }

    fn minus(self, other: Spread) -> Spread {
        Spread(self.0.minus(other.0))
    }

    fn rows(self) -> u32 {
        self.0.rows()
    }

    fn sums(self, scale: &Units) -> Sums {
        self.0.sums(scale)
    }

    /// Not known of more than one row: where all are the same no split gains.
    fn is_pure(self) -> bool {
        self.rows() < 2
    }

    fn leaf(self, scale: &Units, _prior: f64) -> f64 {
        self.sums(scale).share()
    }
}

/// A row drawn for a tree, with its number.
#[derive(Debug, Clone, Copy, Default)]
struct DrawnNumber {
    draw: Draw,
    number: i32,
}

#[derive(Clone, Copy)]
struct Numbers<'a> {
    /// Weights as integers, by row of the bins; none if all are one.
    weights: Option<&'a [u32]>,
    units: Units,
}

impl Numbers<'_> {
    fn weight(&self, draw: Draw) -> u32 {
        draw.draws() * self.weights.map_or(1, |weights| weights[draw.row() as usize])
    }
}

impl Source for Numbers<'_> {
    type Entry = DrawnNumber;
    type Cell = Spread;

    fn row(entry: DrawnNumber) -> usize {
        entry.draw.row() as usize
    }

    fn cell(&self, DrawnNumber { draw, number }: DrawnNumber) -> Spread {
        let weight = self.weight(draw);
        Spread(Moments::new(i64::from(weight) * i64::from(number), draw.draws(), weight))
    }

    fn variance(&self, entries: &[DrawnNumber], cell: Spread) -> Option<f64> {
        let sums = cell.sums(&self.units);
        let mean = sums.share();
        // In the entries' order, which is the same for any number of threads.
        let squares: f64 = entries
            .iter()
            .map(|entry| {
                let distance = f64::from(entry.number) * self.units.sum / self.units.weight - mean;
                f64::from(self.weight(entry.draw)) * self.units.weight * distance * distance
            })
            .sum();
        Some(squares / sums.weight)
    }
}

impl NumberTrees {
    /// A forest, of rows that the caller has checked.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for settings that only classes have.
    pub(crate) fn forest(
        params: &RandomForestParams,
        rows: &NumberRows<'_>,
        seed: u64,
    ) -> Result<NumberTrees, Error> {
        number_settings(params.class_weight, params.backend)?;
        Ok(NumberTrees::grow(rows, params.growth(), params.categories, Some(params.trees), seed))
    }

    /// One tree of every row once.
    ///
    /// # Errors
    ///
    /// Those of [`forest`](NumberTrees::forest).
    pub(crate) fn tree(
        params: &DecisionTreeParams,
        rows: &NumberRows<'_>,
        seed: u64,
    ) -> Result<NumberTrees, Error> {
        number_settings(params.class_weight, params.backend)?;
        Ok(NumberTrees::grow(rows, params.growth(), params.categories, None, seed))
    }

    /// Gradient boosting of the squared error.
    ///
    /// # Errors
    ///
    /// Those of [`forest`](NumberTrees::forest).
    pub(crate) fn boosted(
        params: &GradientBoostingParams,
        rows: &NumberRows<'_>,
        seed: u64,
    ) -> Result<NumberTrees, Error> {
        number_settings(params.class_weight, Default::default())?;
        Ok(boost::fit(params, rows, seed))
    }

    fn grow(
        training: &NumberRows<'_>,
        growth: Growth,
        categories: Categories,
        bootstraps: Option<u32>,
        seed: u64,
    ) -> NumberTrees {
        let prepared = prepared(training, categories, seed);
        let rows = Drawable { rows: training.rows, labels: &[], by_table_row: prepared.by_table_row };
        let scale = Scale::of(training.values, training.rows);
        let (integers, unit) = scale.integers(training.values, &rows, prepared.binned.rows());
        let weights = training.weights.map(|weights| {
            let (integers, units) = integer_weights(&of_rows(weights, training.rows));
            (rows.by_row_of_bins(&integers, prepared.binned.rows()), units.weight)
        });
        let unit_weight = weights.as_ref().map_or(1.0, |(_, weight)| *weight);
        let units = Units { sum: unit * unit_weight, weight: unit_weight };
        let source = Numbers { weights: weights.as_ref().map(|(weights, _)| weights.as_slice()), units };
        let trees = bootstraps.unwrap_or(1);
        let grower = Grower {
            binned: &prepared.binned,
            numeric_bins: &prepared.bins.numeric_bins(),
            source,
            search: Search {
                scale: units,
                min_rows: growth.min_samples_leaf,
                min_weight: 0.0,
                l2: 0.0,
                smoothing: CATEGORY_SMOOTHING,
                noise: Noise::Variance(1.0),
                price: 1.0,
                min_category: 0,
            },
            params: growth,
            parallel: (trees as usize) < 2 * rayon::current_num_threads(),
            kept_levels: 0,
        };
        let grown: Vec<(Tree, Vec<f64>)> = (0..trees)
            .into_par_iter()
            .map(|number| {
                let seed = derive(seed, u64::from(number));
                let drawn = if bootstraps.is_some() { rows.bootstrap(seed) } else { rows.all() };
                let number = |draw: Draw| DrawnNumber { draw, number: integers[draw.row() as usize] };
                let mut entries: Vec<DrawnNumber> = drawn.into_iter().map(number).collect();
                let mut gains = vec![0.0; prepared.binned.features];
                let tree = Tree::of(grower.grow(&mut entries, None, derive(seed, u64::MAX)).0, &mut gains);
                share(&mut gains);
                (tree, gains)
            })
            .collect();
        let mut gains = vec![0.0; prepared.binned.features];
        for (_, shares) in &grown {
            gains.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        share(&mut gains);
        let rare = RareCategories::of(&prepared.bins, training.table, training.rows);
        let trees = grown.into_iter().map(|(tree, _)| tree).collect();
        NumberTrees { bins: prepared.bins, rare, scale, link: Link::Mean, trees, gains }
    }

    /// The bins and the trees, whose leaves are summed.
    pub(crate) fn parts(&self) -> (&TableBins, &RareCategories, &[Tree]) {
        (&self.bins, &self.rare, &self.trees)
    }

    /// How a sum of leaves becomes a number: it is divided by the first, the second is added, and that is so many times the
    /// fourth from the third. The last two are halves.
    pub(crate) fn link(&self) -> [f64; 4] {
        let (divisor, base) = match self.link {
            Link::Mean => (self.trees.len() as f64, 0.0),
            Link::Sum(base) => (1.0, base),
        };
        let (half_centre, half_spread) = self.scale.halves();
        [divisor, base, half_centre, half_spread]
    }

    /// The number of each of these rows; finite.
    pub(crate) fn predict(&self, table: &FeatureTable, rows: &[u32], kept: Option<&KeptBins>) -> Vec<f64> {
        scored_by_parts(rows, |rows| {
            let binned = KeptBins::binned(kept, &self.bins, table, rows);
            self.predict_binned(&binned, &self.rare.unseen(table, rows, &binned))
        })
    }

    fn predict_binned(&self, binned: &BinnedRows, unseen: &Unseen) -> Vec<f64> {
        let mut sums = walk::sum(&self.trees, binned);
        walk::put_unseen_sums(&self.trees, binned, unseen, &mut sums);
        let count = self.trees.len() as f64;
        sums.iter_mut().for_each(|sum| {
            *sum = self.scale.value(match self.link {
                Link::Mean => *sum / count,
                Link::Sum(base) => base + *sum,
            });
        });
        sums
    }

    /// The leaf of each of these rows in each tree, row-major.
    pub(crate) fn apply(&self, table: &FeatureTable, rows: &[u32]) -> Vec<u32> {
        let binned = self.bins.transform(table, rows);
        let mut leaves = walk::apply(&self.trees, &binned);
        let unseen = self.rare.unseen(table, rows, &binned);
        walk::put_unseen_leaves(&self.trees, &binned, &unseen, &mut leaves);
        leaves
    }

    /// Leaves of each tree.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = usize> {
        self.trees.iter().map(Tree::leaves)
    }

    /// Share of each feature in the gain of all splits, numeric features first; all 0 where there is no split.
    pub(crate) fn gains(&self) -> &[f64] {
        &self.gains
    }

    /// Whether the model is as a fit makes it for so many features.
    pub(crate) fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        let features = numeric + categorical;
        // Sums of all trees that there may be are finite.
        let spreads = |value: f64| (-1e290..=1e290).contains(&value);
        let counted = match self.link {
            Link::Mean => !self.trees.is_empty(),
            Link::Sum(base) => spreads(base),
        };
        self.bins.0.len() == features
            && features > 0
            && self.bins.is_valid(numeric)
            && self.rare.is_valid(numeric, features)
            && self.scale.is_valid()
            && self.gains.len() == features
            && self.gains.iter().all(|gain| (0.0..=1.0 + 1e-9).contains(gain))
            && counted
            && self.trees.iter().all(|tree| tree.is_valid(features, spreads))
    }
}

/// The bins of the rows.
fn prepared(training: &NumberRows<'_>, categories: Categories, seed: u64) -> Prepared {
    let NumberRows { table, rows, weights, bins, values } = *training;
    let shares: Vec<u32> = match categories {
        Categories::Native | Categories::Auto => Vec::new(),
        Categories::TargetEncoded => {
            let of_rows = || rows.iter().map(|&row| values[row as usize]);
            let (least, greatest) = (of_rows().fold(f64::MAX, f64::min), of_rows().fold(f64::MIN, f64::max));
            // Rows that are not learned from may hold anything.
            values.iter().map(|value| share_of(value.clamp(least, greatest), least, greatest)).collect()
        }
    };
    let features = FeatureRows { table, rows, weights, bins };
    Prepared::of_target(&features, &EncodedTarget::Shares(&shares), categories, seed)
}

/// The rows' weights, as they are: whole ones stay exact.
fn of_rows(weights: &[f64], rows: &[u32]) -> Vec<f64> {
    rows.iter().map(|&row| weights[row as usize]).collect()
}
