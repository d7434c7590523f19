//! Many rows down the trees, whose thresholds are not compared with the values but with ranks.
//!
//! ```text
//! a column's thresholds in all trees   .3   .5   .9
//! its values                     .1     .4     .7     2.0
//! their ranks                    0      1      2      3     above the threshold at place p: those of rank > p
//! ```
//!
//! A rank says of every threshold on which side of it the value is, so a row ends where its values would bring it, to the
//! bit. It has two bytes, so sixteen rows are in one vector. In the upper half of a tree a row meets five splits, and to ask
//! all 31 that there are of sixteen rows at once costs less than to find the five of each. Below, each row goes its own way.
//! Ranks are there twice, for splits by which missing values go left and for those by which they go right, so that no walk
//! asks whether a value is missing.

use super::walk::Tree;
use crate::FeatureTable;
use crate::wide::{Wide, wide};
use rayon::prelude::*;
use std::array::from_fn;

/// Rows from which on the thresholds are worth their order.
pub(super) const MANY: usize = 2_048;
/// Rows of a block: with their ranks, a tree and what it makes of them they stay in the first cache.
const BLOCK: usize = 256;
/// Rows that go down the upper half of a tree side by side.
const LANES: usize = 16;
/// Values of which the ranks are looked up side by side.
const SEARCHES: usize = 8;
/// Levels of a tree of which rows ask all splits.
const UPPER: u32 = 5;
/// Places of these levels, counted from 1; so many are on the next.
const ABOVE: usize = 1 << UPPER;
/// Places of a tree, counted from 1; the lowest are counted by their lower bits.
const PLACES: usize = 1 << 8;
/// Of missing values that go left: above no threshold.
const LEAST: i16 = i16::MIN;
/// Of missing values that go right: above every threshold. As a threshold: nothing is above it.
const MOST: i16 = i16::MAX;

/// Ranks of the rows of a block: twice as many as columns, for missing values to go left and right.
type Block = [[[i16; LANES]; BLOCK / LANES]; PLACES];

/// Trees of ranks.
pub(super) struct Ranked {
    columns: Vec<Thresholds>,
    trees: Vec<RankedTree>,
}

/// A tree whose places are counted from 1: the two below place `i` are `2 i` and `2 i + 1`.
struct RankedTree {
    /// The ranks of the block that are compared.
    columns: Box<[u8; PLACES]>,
    thresholds: Box<[i16; PLACES]>,
    /// By the lower bits of their places.
    paths: Box<[f64; PLACES]>,
    /// Levels below the upper half.
    lower: u32,
}

/// Those of a column, ascending, each once. Behind them infinity up to a power of two less one, so that every search takes
/// as many steps.
struct Thresholds(Vec<f64>);

impl Ranked {
    /// Nothing of trees that are too deep, too many columns or more thresholds than there are ranks.
    pub(super) fn of(trees: &[Tree], columns: usize) -> Option<Ranked> {
        if 2 * columns > PLACES || trees.iter().any(|tree| tree.paths().len() > PLACES) {
            return None;
        }
        let mut of_columns = vec![Vec::new(); columns];
        for split in trees.iter().flat_map(|tree| tree.splits()) {
            of_columns[split.column()].push(split.threshold());
        }
        let columns = of_columns.into_par_iter().map(Thresholds::of).collect::<Option<Vec<Thresholds>>>()?;
        let trees = trees.par_iter().map(|tree| RankedTree::of(tree, &columns)).collect();
        Some(Ranked { columns, trees })
    }

    /// The sum of each row's paths over the trees.
    pub(super) fn paths(&self, table: &FeatureTable, rows: &[u32]) -> Vec<f64> {
        let mut sums = vec![0.0; rows.len()];
        let blocks = sums.par_chunks_mut(BLOCK).zip(rows.par_chunks(BLOCK));
        // Rows beyond the last are missing values, and for nobody.
        blocks.for_each_init(
            || vec![[[LEAST; LANES]; BLOCK / LANES]; PLACES],
            |ranks, (sums, rows)| {
                let Some(ranks) = ranks.first_chunk_mut() else { return };
                wide(Walk { ranked: self, table, rows, ranks, sums });
            },
        );
        sums
    }
}

/// A block of rows down all trees.
struct Walk<'a> {
    ranked: &'a Ranked,
    table: &'a FeatureTable,
    rows: &'a [u32],
    ranks: &'a mut Block,
    sums: &'a mut [f64],
}

impl Wide for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Walk { ranked, table, rows, ranks, sums } = self;
        let mut values = [f64::NAN; BLOCK];
        for (column, thresholds) in ranked.columns.iter().enumerate() {
            table.numeric(column).put(rows, &mut values[..rows.len()]);
            let [left, right, ..] = &mut ranks[2 * column..] else { continue };
            thresholds.put(&values, left.as_flattened_mut(), right.as_flattened_mut());
        }
        let mut of_block = [0.0; BLOCK];
        for tree in &ranked.trees {
            let places = tree.upper(ranks);
            match tree.lower {
                0 => tree.lower::<0>(ranks, &places, &mut of_block),
                1 => tree.lower::<1>(ranks, &places, &mut of_block),
                2 => tree.lower::<2>(ranks, &places, &mut of_block),
                _ => tree.lower::<3>(ranks, &places, &mut of_block),
            }
        }
        sums.copy_from_slice(&of_block[..sums.len()]);
    }
}

impl RankedTree {
    fn of(tree: &Tree, columns: &[Thresholds]) -> RankedTree {
        let (mut of_places, mut thresholds) = (Box::new([0; PLACES]), Box::new([MOST; PLACES]));
        for (place, split) in (1..PLACES).zip(tree.splits()) {
            if split.threshold() < f64::INFINITY {
                of_places[place] = (2 * split.column() + usize::from(split.missing_goes_right())) as u8;
                thresholds[place] = columns[split.column()].rank(split.threshold());
            }
        }
        let lowest = tree.paths().len();
        let lower = lowest.trailing_zeros().saturating_sub(UPPER);
        // Those of a tree that ends in the upper half are so many levels further down, to the left.
        let further = ABOVE.div_ceil(lowest);
        let mut paths = Box::new([0.0; PLACES]);
        for (place, path) in (lowest..).zip(tree.paths()) {
            paths[place * further % PLACES] = *path;
        }
        RankedTree { columns: of_places, thresholds, paths, lower }
    }

    /// The place that each row comes to from the upper half.
    #[inline(always)]
    fn upper(&self, ranks: &Block) -> [[i16; LANES]; BLOCK / LANES] {
        let ranks: [_; ABOVE] = from_fn(|place| &ranks[usize::from(self.columns[place])]);
        let upper = Upper { ranks, thresholds: from_fn(|place| self.thresholds[place]) };
        let mut places = [[0; LANES]; BLOCK / LANES];
        // A loop: what an array is made by may be a function apart, without the wide vectors.
        for (at, places) in places.iter_mut().enumerate() {
            *places = upper.first(at);
        }
        places
    }

    /// Adds the path of each row that goes on from these places.
    #[inline(always)]
    fn lower<const LEVELS: u32>(
        &self,
        ranks: &Block,
        places: &[[i16; LANES]; BLOCK / LANES],
        sums: &mut [f64; BLOCK],
    ) {
        for (row, (place, sum)) in places.as_flattened().iter().zip(sums).enumerate() {
            let mut place = *place as u32;
            for _ in 0..LEVELS {
                let at = place as usize % PLACES;
                let rank = ranks[usize::from(self.columns[at])].as_flattened()[row];
                // Added, not chosen: a branch would be lost half of the time.
                place = 2 * place + u32::from(rank > self.thresholds[at]);
            }
            *sum += self.paths[place as usize % PLACES];
        }
    }
}

/// The upper half of a tree, by place: the ranks that are compared, and the thresholds.
struct Upper<'a> {
    ranks: [&'a [[i16; LANES]; BLOCK / LANES]; ABOVE],
    thresholds: [i16; ABOVE],
}

// A function a level: calls of one that calls itself become no vectors.
impl Upper<'_> {
    /// -1 for rows above the threshold at a place, 0 for others.
    #[inline(always)]
    fn above(&self, place: usize, at: usize) -> [i16; LANES] {
        let (ranks, threshold) = (&self.ranks[place][at], self.thresholds[place]);
        from_fn(|lane| -i16::from(ranks[lane] > threshold))
    }

    /// Of where rows come to by the left and by the right, the side that they are on.
    #[inline(always)]
    fn side(&self, place: usize, at: usize, left: [i16; LANES], right: [i16; LANES]) -> [i16; LANES] {
        let above = self.above(place, at);
        from_fn(|lane| left[lane] ^ ((left[lane] ^ right[lane]) & above[lane]))
    }

    #[inline(always)]
    fn first(&self, at: usize) -> [i16; LANES] {
        self.side(1, at, self.second(2, at), self.second(3, at))
    }

    #[inline(always)]
    fn second(&self, place: usize, at: usize) -> [i16; LANES] {
        self.side(place, at, self.third(2 * place, at), self.third(2 * place + 1, at))
    }

    #[inline(always)]
    fn third(&self, place: usize, at: usize) -> [i16; LANES] {
        self.side(place, at, self.fourth(2 * place, at), self.fourth(2 * place + 1, at))
    }

    #[inline(always)]
    fn fourth(&self, place: usize, at: usize) -> [i16; LANES] {
        self.side(place, at, self.fifth(2 * place, at), self.fifth(2 * place + 1, at))
    }

    /// The place below on the side that rows are on.
    #[inline(always)]
    fn fifth(&self, place: usize, at: usize) -> [i16; LANES] {
        let above = self.above(place, at);
        from_fn(|lane| 2 * place as i16 - above[lane])
    }
}

impl Thresholds {
    /// Nothing of more than there are ranks; those that are no numbers are left out.
    fn of(mut all: Vec<f64>) -> Option<Thresholds> {
        all.retain(|threshold| threshold.is_finite());
        all.sort_unstable_by(f64::total_cmp);
        all.dedup();
        // What is above all of them has a rank too, and the missing one another.
        if all.len() + 2 > 1 << i16::BITS {
            return None;
        }
        all.resize((all.len() + 1).next_power_of_two() - 1, f64::INFINITY);
        Some(Thresholds(all))
    }

    /// Of a threshold: how many are before it.
    fn rank(&self, threshold: f64) -> i16 {
        rank(self.0.partition_point(|other| *other < threshold))
    }

    /// Of values: how many thresholds are below each, twice, for missing values to go left and right.
    #[inline(always)]
    fn put(&self, values: &[f64; BLOCK], left: &mut [i16], right: &mut [i16]) {
        let steps = (self.0.len() + 1).trailing_zeros();
        let values = values.as_chunks::<SEARCHES>().0.iter();
        let to = left.as_chunks_mut::<SEARCHES>().0.iter_mut().zip(right.as_chunks_mut::<SEARCHES>().0);
        for (values, (left, right)) in values.zip(to) {
            let mut below = [0usize; SEARCHES];
            for step in (0..steps).rev() {
                for (below, value) in below.iter_mut().zip(values) {
                    // It is there: of a power of two less one no search ends beyond the last.
                    let threshold = self.0.get(*below + (1 << step) - 1).copied().unwrap_or_default();
                    *below += usize::from(threshold < *value) << step;
                }
            }
            for (lane, value) in values.iter().enumerate() {
                let rank = rank(below[lane]);
                (left[lane], right[lane]) = if value.is_nan() { (LEAST, MOST) } else { (rank, rank) };
            }
        }
    }
}

fn rank(below: usize) -> i16 {
    (below as i32 + i32::from(i16::MIN)) as i16
}

#[cfg(test)]
mod tests {
    use super::super::walk::{Split, one_by_one};
    use super::*;
    use crate::seed::derive;

    /// A tree of random splits, some of which are missing, by values that rows have.
    fn tree(depth: u32, columns: usize, seed: u64) -> Tree {
        let draw = |at: u64, of: u64| derive(derive(seed, at), 1) % of;
        let mut tree = Tree::new(depth);
        let splits = (1 << depth) - 1;
        for at in 0..splits {
            let split = draw(at, 8) > 0;
            if split {
                let column = draw(at + 1_000, columns as u64) as usize;
                let threshold = draw(at + 2_000, 12) as f64 / 2.0 - 3.0;
                tree.set_split(at as usize, Split::new(column, threshold, draw(at + 3_000, 2) == 0));
            }
        }
        // Each lowest place its own.
        (0..=splits).for_each(|at| tree.set_leaf((splits + at) as usize, at as f64 / 10.0));
        tree
    }

    fn table(columns: usize, rows: u64) -> FeatureTable {
        let mut table = FeatureTable::new((0..columns).map(|c| format!("x{c}")).collect(), vec![]);
        for column in 0..columns {
            let value = |row| match derive(column as u64, row) % 19 {
                0 => f64::NAN,
                1 => f64::MAX,
                2 => f64::MIN,
                3 => -0.0,
                n => n as f64 / 2.0 - 6.0,
            };
            table.push_numeric(column, (0..rows).map(value));
        }
        table.finish_append().unwrap();
        table
    }

    #[test]
    fn rows_come_to_the_same_places_by_ranks_as_by_values() {
        for (depth, columns) in [(1, 1), (2, 3), (4, 2), (5, 15), (6, 16), (7, 30), (8, 15), (8, 128)] {
            let trees: Vec<Tree> =
                (0..7).map(|seed| tree(depth, columns, 100 * seed + u64::from(depth))).collect();
            let table = table(columns, 700);
            // Some twice, none in order, and no whole number of blocks.
            let rows: Vec<u32> = (0..900).map(|row| row * 389 % 700).collect();
            let ranked = Ranked::of(&trees, columns).unwrap();
            let expected = one_by_one(&trees, &table, &rows);
            assert_eq!(ranked.paths(&table, &rows), expected, "{depth} {columns}");
            assert!(expected.iter().any(|path| *path != expected[0]));
        }
    }

    #[test]
    fn what_has_no_room_is_not_ranked() {
        let of = |depth, columns| Ranked::of(&[tree(depth, columns, 5)], columns).is_some();
        assert!(of(8, 128) && !of(8, 129) && !of(9, 2));
        let thresholds = |count: u32| Thresholds::of((0..count).map(f64::from).collect()).is_some();
        assert!(thresholds(0) && thresholds(65_534) && !thresholds(65_535));
        let most = Thresholds::of((0..65_534).map(f64::from).collect()).unwrap();
        assert_eq!((most.rank(0.0), most.rank(65_533.0)), (LEAST, MOST - 2));
    }
}
