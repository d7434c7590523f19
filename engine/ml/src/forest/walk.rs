//! Many rows down many trees, fast.
//!
//! A tree is laid out anew as steps with a bit for each bin, and eight rows go down at a time without a branch on their
//! way: a step is a load of where it leads, of the row's bin and of that bin's bit, and each row has its own to wait for.
//! Leaves lead to themselves, so that all rows take as many steps as the tree is deep. Steps and rows are arrays of a power
//! of two, so that no index needs a check.
//!
//! ```text
//! trees ──groups, by bytes──> laid out ──each block of rows: tree after tree──> ends
//! ```
//!
//! Few trees are laid out at a time, which bounds the memory, and each is taken over a block of rows before the next is: a
//! tree of 2,048 nodes takes 72 KiB and a block 16 KiB to 32 KiB, which together stay in a core's second cache. What a row
//! sums up is in the order of the trees.

use super::cell::Count;
use super::split::Rule;
use super::tree::{Node, Tree};
use crate::encode::bins::BinnedRows;
use crate::encode::rare::Unseen;
use rayon::prelude::*;
use std::mem::size_of;

/// Steps that rows take for each node laid out below which that costs more than it saves: measured as 11 to 16 for trees of
/// depth 3 to 10, which is from 600 rows to 3,000.
const FEW: usize = 16;
/// Rows that one task takes down the trees as they are.
const FEW_ROWS: usize = 64;
/// Rows of a block.
pub(super) const BLOCK: usize = 1_024;
/// Bytes of a block's rows.
const BLOCK_BYTES: usize = 32_768;
/// Rows that go down at a time.
const LANES: usize = 8;
/// Features beyond which rows are not widened and trees not laid out.
const WIDEST: usize = 1_024;
/// Steps of the smallest and the largest layout, which are powers of two. A tree of depth 10 fits in the smallest; one of
/// more nodes than the largest has steps is not laid out, as steps are numbered by 16 bits.
const STEPS: [usize; 2] = [1 << 11, 1 << 16];
/// Bytes of the trees that are laid out at a time: 113 of depth 10, three of the largest.
const BUDGET: usize = 8 << 20;

#[derive(Clone, Copy, Default)]
struct Step {
    /// Where a bin that goes left leads; one that goes right leads to the next. Of a leaf: the leaf itself.
    left: u16,
    feature: u16,
}

struct Path {
    depth: usize,
    /// Filled up to a power of two.
    steps: Vec<Step>,
    /// Bins that go right at each step; none at a leaf.
    right: Vec<[u64; 4]>,
    /// The node of the tree that each step is.
    nodes: Vec<u32>,
}

impl Path {
    /// The layout of a tree, siblings side by side; `None` if it has more nodes than fit.
    fn of(tree: &Tree) -> Option<Path> {
        let room = room(tree)?;
        let (mut steps, mut right_bins) = (vec![Step::default(); room], vec![[0; 4]; room]);
        let (mut nodes, mut depths) = (vec![0], vec![0]);
        let mut at = 0;
        while let Some(&node) = nodes.get(at) {
            steps[at] = match tree.0.get(node as usize)? {
                Node::Leaf(_) => Step { left: at as u16, feature: 0 },
                Node::Split { feature, rule, right } => {
                    right_bins[at] = match rule {
                        Rule::In { bits, .. } => bits.map(|word| !word),
                        rule => bits_of(|bin| !rule.goes_left(bin)),
                    };
                    let left = nodes.len() as u16;
                    nodes.extend([node + 1, *right]);
                    depths.extend([depths[at] + 1; 2]);
                    // A damaged file's nodes may have more than one way to them: no tree has more than it has nodes.
                    if nodes.len() > tree.0.len() {
                        return None;
                    }
                    Step { left, feature: u16::try_from(*feature).ok()? }
                }
            };
            at += 1;
        }
        Some(Path { depth: depths.last().copied().unwrap_or(0), steps, right: right_bins, nodes })
    }

    /// The step that each of these rows ends at.
    fn walk<const WIDTH: usize>(&self, rows: &[[[u8; WIDTH]; LANES]], ends: &mut [[u32; LANES]]) {
        match self.steps.len().ilog2() {
            11 => self.walk_sized::<WIDTH, { 1 << 11 }>(rows, ends),
            12 => self.walk_sized::<WIDTH, { 1 << 12 }>(rows, ends),
            13 => self.walk_sized::<WIDTH, { 1 << 13 }>(rows, ends),
            14 => self.walk_sized::<WIDTH, { 1 << 14 }>(rows, ends),
            15 => self.walk_sized::<WIDTH, { 1 << 15 }>(rows, ends),
            _ => self.walk_sized::<WIDTH, { 1 << 16 }>(rows, ends),
        }
    }

    fn walk_sized<const WIDTH: usize, const STEPS: usize>(
        &self,
        rows: &[[[u8; WIDTH]; LANES]],
        ends: &mut [[u32; LANES]],
    ) {
        if let (Ok(steps), Ok(right)) = (self.steps.as_slice().try_into(), self.right.as_slice().try_into()) {
            walk::<WIDTH, STEPS>(steps, right, self.depth, rows, ends);
        }
    }
}

/// Steps of the layout of a tree; `None` if it has too many nodes.
fn room(tree: &Tree) -> Option<usize> {
    let room = tree.0.len().next_power_of_two().max(STEPS[0]);
    (room <= STEPS[1]).then_some(room)
}

/// The trees in their order, by groups whose layouts are together within the budget.
pub(super) fn groups(trees: &[Tree]) -> Vec<&[Tree]> {
    let (mut groups, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, tree) in trees.iter().enumerate() {
        let of_tree = room(tree).unwrap_or(0) * (size_of::<Step>() + size_of::<[u64; 4]>());
        if bytes + of_tree > BUDGET {
            groups.push(&trees[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += of_tree;
    }
    groups.push(&trees[start..]);
    groups
}

/// Whether so many rows are worth laying out the trees.
pub(super) fn pays(trees: &[Tree], rows: usize) -> bool {
    // Of a tree that is no deeper than it has to be.
    let depth = |tree: &Tree| tree.0.len().max(1).ilog2() as usize;
    // A step that is only cleared costs a sixteenth of one that is a node.
    let cost = |tree: &Tree| tree.0.len() + room(tree).unwrap_or(0) / 16;
    let steps = rows.saturating_mul(trees.iter().map(depth).sum());
    steps >= FEW * trees.iter().map(cost).sum::<usize>()
}

fn walk<const WIDTH: usize, const STEPS: usize>(
    steps: &[Step; STEPS],
    right: &[[u64; 4]; STEPS],
    depth: usize,
    rows: &[[[u8; WIDTH]; LANES]],
    ends: &mut [[u32; LANES]],
) {
    for (rows, ends) in rows.iter().zip(ends) {
        // As wide as a register: narrower ones would be put together to vectors, at a loss.
        let mut all = [0u64; LANES];
        for _ in 0..depth {
            for (at, row) in all.iter_mut().zip(rows) {
                let step = steps[*at as usize % STEPS];
                let bin = row[step.feature as usize % WIDTH];
                let word = right[*at as usize % STEPS][(bin >> 6) as usize];
                // Added, not chosen: which way is a coin toss that a branch would lose half of the time.
                *at = u64::from(step.left) + (word >> (bin & 63) & 1);
            }
        }
        *ends = all.map(|at| at as u32);
    }
}

fn bits_of(holds: impl Fn(u8) -> bool) -> [u64; 4] {
    let mut bits = [0; 4];
    (0..=u8::MAX).for_each(|bin| bits[(bin >> 6) as usize] |= u64::from(holds(bin)) << (bin & 63));
    bits
}

/// Rows as wide as a power of two, and as many as fill the last lanes; what they have not is 0.
fn widened<const WIDTH: usize>(bins: &[u8], features: usize) -> Vec<[[u8; WIDTH]; LANES]> {
    let mut wide = vec![[[0; WIDTH]; LANES]; (bins.len() / features).div_ceil(LANES)];
    let rows = wide.as_flattened_mut().iter_mut().zip(bins.chunks_exact(features));
    rows.for_each(|(wide, row)| wide[..features].copy_from_slice(row));
    wide
}

/// Trees ready for rows of so many features.
pub(super) struct Walks<'a> {
    trees: &'a [Tree],
    /// Those that could be laid out.
    paths: Vec<Option<Path>>,
    features: usize,
}

impl<'a> Walks<'a> {
    /// Laid out if it `pays`.
    pub(super) fn of(trees: &'a [Tree], features: usize, pays: bool) -> Walks<'a> {
        let path = |tree| if pays && features <= WIDEST { Path::of(tree) } else { None };
        Walks { trees, paths: trees.par_iter().map(path).collect(), features }
    }

    /// What each tree has at the ends of its walks, from what it has at its nodes.
    pub(super) fn at_ends<T: Copy>(&self, of_nodes: impl Fn(&Tree) -> Vec<T>) -> Vec<Vec<T>> {
        let each = self.trees.iter().map(of_nodes).zip(&self.paths);
        each.map(|(nodes, path)| match path {
            Some(path) => path.nodes.iter().map(|&node| nodes[node as usize]).collect(),
            None => nodes,
        })
        .collect()
    }

    /// Takes rows of bins down every tree, some at a time; `each` is given the tree's number, the first row's, and where
    /// the rows end.
    pub(super) fn walk(&self, bins: &[u8], each: impl FnMut(usize, usize, &[u32])) {
        match self.features {
            0..=16 => self.walk_wide::<16>(bins, each),
            17..=64 => self.walk_wide::<64>(bins, each),
            65..=256 => self.walk_wide::<256>(bins, each),
            _ => self.walk_wide::<WIDEST>(bins, each),
        }
    }

    fn walk_wide<const WIDTH: usize>(&self, bins: &[u8], mut each: impl FnMut(usize, usize, &[u32])) {
        let at_a_time = (BLOCK_BYTES / WIDTH).min(BLOCK);
        for (block, bins) in bins.chunks(at_a_time * self.features).enumerate() {
            let rows = bins.len() / self.features;
            let wide =
                if self.features <= WIDTH { widened::<WIDTH>(bins, self.features) } else { Vec::new() };
            let mut ends = vec![[0; LANES]; rows.div_ceil(LANES)];
            for (number, (tree, path)) in self.trees.iter().zip(&self.paths).enumerate() {
                match path {
                    Some(path) => path.walk(&wide, &mut ends),
                    None => {
                        let rows = bins.chunks_exact(self.features);
                        ends.as_flattened_mut()
                            .iter_mut()
                            .zip(rows)
                            .for_each(|(end, row)| *end = end_of(tree, row));
                    }
                }
                each(number, block * at_a_time, &ends.as_flattened()[..rows]);
            }
        }
    }
}

/// The sum of the leaves of each row over the trees, in their order.
pub(crate) fn sum(trees: &[Tree], binned: &BinnedRows) -> Vec<f64> {
    if pays(trees, binned.rows()) {
        return sum_laid_out(trees, binned);
    }
    let value = |row: &[u8]| trees.iter().map(|tree| tree.value(row)).sum::<f64>();
    binned.bins.par_chunks_exact(binned.features).with_min_len(FEW_ROWS).map(value).collect()
}

fn sum_laid_out(trees: &[Tree], binned: &BinnedRows) -> Vec<f64> {
    let features = binned.features;
    let mut sums = vec![0.0; binned.rows()];
    for group in groups(trees) {
        let walks = Walks::of(group, features, true);
        let leaves = walks.at_ends(values);
        let blocks = sums.par_chunks_mut(BLOCK).zip(binned.bins.par_chunks(BLOCK * features));
        blocks.for_each(|(sums, bins)| {
            walks.walk(bins, |tree, first, ends| {
                let values = &leaves[tree];
                sums[first..].iter_mut().zip(ends).for_each(|(sum, &end)| *sum += values[end as usize]);
            });
        });
    }
    sums
}

/// The leaf of each row in each tree, counted from the left; row-major, shape rows × trees.
pub(crate) fn apply(trees: &[Tree], binned: &BinnedRows) -> Vec<u32> {
    if trees.is_empty() {
        return Vec::new();
    }
    if pays(trees, binned.rows()) {
        return apply_laid_out(trees, binned);
    }
    let numbers: Vec<Vec<u32>> = trees.iter().map(leaf_numbers).collect();
    let mut found = vec![0u32; binned.rows() * trees.len()];
    let rows = found.par_chunks_exact_mut(trees.len()).zip(binned.bins.par_chunks_exact(binned.features));
    rows.with_min_len(FEW_ROWS).for_each(|(found, row)| {
        let ends = trees.iter().zip(&numbers).map(|(tree, numbers)| numbers[end_of(tree, row) as usize]);
        found.iter_mut().zip(ends).for_each(|(found, end)| *found = end);
    });
    found
}

fn apply_laid_out(trees: &[Tree], binned: &BinnedRows) -> Vec<u32> {
    let (features, width) = (binned.features, trees.len());
    let mut found = vec![0u32; binned.rows() * width];
    let mut before = 0;
    for group in groups(trees) {
        let walks = Walks::of(group, features, true);
        let numbers = walks.at_ends(leaf_numbers);
        let blocks = found.par_chunks_mut(BLOCK * width).zip(binned.bins.par_chunks(BLOCK * features));
        blocks.for_each(|(found, bins)| {
            walks.walk(bins, |tree, first, ends| {
                let rows = found.chunks_exact_mut(width).skip(first);
                rows.zip(ends).for_each(|(row, &end)| row[before + tree] = numbers[tree][end as usize]);
            });
        });
        before += group.len();
    }
    found
}

/// For each tree, what its nodes hold of the rows that end there. `count` is given the number of a tree, the first of some
/// rows and the node at which each of them ends, and adds to what the tree's nodes hold.
pub(crate) fn tally(
    trees: &[Tree],
    binned: &BinnedRows,
    count: impl Fn(usize, usize, &[u32], &mut [Count]) + Sync,
) -> Vec<Vec<Count>> {
    // By trees, not by rows: each then has one tally, however many threads there are.
    let share = trees.len().div_ceil(2 * rayon::current_num_threads()).max(1);
    let of_share = |(number, trees): (usize, &[Tree])| {
        let mut tallies: Vec<Vec<Count>> = Vec::with_capacity(trees.len());
        for group in groups(trees) {
            let walks = Walks::of(group, binned.features, true);
            let nodes = walks.at_ends(|tree| (0..tree.0.len() as u32).collect());
            let before = tallies.len();
            tallies.extend(group.iter().map(|tree| vec![Count::default(); tree.0.len()]));
            let mut nodes_at = Vec::with_capacity(BLOCK);
            walks.walk(&binned.bins, |tree, first, ends| {
                nodes_at.clear();
                nodes_at.extend(ends.iter().map(|&end| nodes[tree][end as usize]));
                let tree = before + tree;
                count(number * share + tree, first, &nodes_at, &mut tallies[tree]);
            });
        }
        tallies
    };
    let tallies: Vec<Vec<Vec<Count>>> = trees.par_chunks(share).enumerate().map(of_share).collect();
    tallies.into_iter().flatten().collect()
}

/// Sums anew of the rows that have unseen categories, each by its own way down every tree.
pub(crate) fn put_unseen_sums(trees: &[Tree], binned: &BinnedRows, unseen: &Unseen, sums: &mut [f64]) {
    for (row, cells) in unseen.rows() {
        let end = |tree: &Tree| tree.value_at(end_of_unseen(tree, binned.row(row), cells));
        sums[row] = trees.iter().map(end).sum();
    }
}

/// Leaves anew of the rows that have unseen categories.
pub(crate) fn put_unseen_leaves(trees: &[Tree], binned: &BinnedRows, unseen: &Unseen, leaves: &mut [u32]) {
    let numbers: Vec<Vec<u32>> = match unseen.rows().next() {
        Some(_) => trees.iter().map(leaf_numbers).collect(),
        None => return,
    };
    for (row, cells) in unseen.rows() {
        let found = leaves[row * trees.len()..].iter_mut();
        for (found, (tree, numbers)) in found.zip(trees.iter().zip(&numbers)) {
            *found = numbers[end_of_unseen(tree, binned.row(row), cells) as usize];
        }
    }
}

fn end_of(tree: &Tree, row: &[u8]) -> u32 {
    tree.end(|feature, rule| rule.goes_left(row[feature as usize]))
}

pub(super) fn end_of_unseen(tree: &Tree, row: &[u8], cells: &[(u32, u32)]) -> u32 {
    tree.end(|feature, rule| match cells.iter().any(|cell| cell.1 == feature) {
        true => rule.unseen_goes_left(),
        false => rule.goes_left(row[feature as usize]),
    })
}

/// What each node holds, if it is a leaf.
fn values(tree: &Tree) -> Vec<f64> {
    tree.0.iter().map(|node| if let Node::Leaf(value) = node { *value } else { 0.0 }).collect()
}

/// By node, the leaves to the left of it.
pub(super) fn leaf_numbers(tree: &Tree) -> Vec<u32> {
    let mut next = 0;
    tree.0
        .iter()
        .map(|node| {
            let number = next;
            next += u32::from(matches!(node, Node::Leaf(_)));
            number
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::derive;
    use proptest::prelude::*;

    /// A tree of random rules, not deeper than `depth`.
    fn tree(seed: u64, depth: u32, features: u32) -> Tree {
        fn put(nodes: &mut Vec<Node>, seed: u64, depth: u32, features: u32) {
            if depth == 0 || seed.is_multiple_of(7) {
                nodes.push(Node::Leaf((seed % 1000) as f64 / 1000.0));
                return;
            }
            let rule = match seed % 3 {
                0 => Rule::In { bits: [0, 1, 2, 3].map(|i| derive(seed, 10 + i)), unseen_left: false },
                kind => Rule::UpTo { bin: (seed >> 8) as u8 % 255, missing_left: kind == 1 },
            };
            let at = nodes.len();
            nodes.push(Node::Leaf(0.0));
            put(nodes, derive(seed, 0), depth - 1, features);
            let feature = (seed >> 20) as u32 % features;
            nodes[at] = Node::Split { feature, rule, right: nodes.len() as u32 };
            put(nodes, derive(seed, 1), depth - 1, features);
        }
        let mut nodes = Vec::new();
        put(&mut nodes, seed, depth, features);
        Tree(nodes)
    }

    #[test]
    fn trees_are_laid_out_within_the_budget_in_their_order() {
        let depths = [10, 12, 0, 18, 17, 16, 20, 14, 18, 3, 17, 11];
        let trees: Vec<Tree> = (0..36).map(|t| tree(derive(11, t), depths[t as usize % 12], 6)).collect();
        let groups = groups(&trees);
        assert_eq!(groups.concat(), trees);
        assert!(groups.len() > 2);
        for group in groups {
            let paths = Walks::of(group, 6, true).paths;
            let mut bytes = 0;
            for (path, tree) in paths.iter().zip(group) {
                assert_eq!(path.is_some(), tree.0.len() <= 1 << 16);
                let Some(path) = path else { continue };
                let steps = path.steps.len();
                assert!(steps >= tree.0.len() && steps <= (2 * tree.0.len()).max(2_048));
                bytes += steps * 4 + path.right.len() * 32;
            }
            assert!(bytes <= 8 << 20, "{bytes}");
        }
        let binned = BinnedRows { features: 6, bins: (0..240_000).map(|i| derive(3, i) as u8).collect() };
        // As many rows as are worth it, and as few as are not.
        for rows in [40_000, 50] {
            assert_eq!(pays(&trees[..24], rows), rows > 50);
            let binned = BinnedRows { features: 6, bins: binned.bins[..rows * 6].to_vec() };
            let (sums, leaves) = (sum(&trees[..24], &binned), apply(&trees[..24], &binned));
            let numbers: Vec<Vec<u32>> = trees[..24].iter().map(leaf_numbers).collect();
            for (i, row) in binned.bins.chunks_exact(6).enumerate().step_by(17) {
                assert_eq!(sums[i], trees[..24].iter().map(|t| t.value(row)).sum::<f64>());
                let ends = trees.iter().zip(&numbers).map(|(tree, n)| n[end_of(tree, row) as usize]);
                assert_eq!(leaves[i * 24..][..24], ends.collect::<Vec<u32>>());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn the_fast_walk_ends_where_the_plain_one_does(seed in any::<u64>(), rows in 1usize..1_500, features in prop_oneof![3 => 1u32..5, 1 => 14u32..80, 1 => 1_000u32..1_050]) {
            let trees: Vec<Tree> = (0..4).map(|t| tree(derive(seed, t), t as u32 * 4, features)).collect();
            let cells = rows as u64 * u64::from(features);
            // Of all bins, many missing.
            let bins: Vec<u8> = (0..cells).map(|i| derive(seed, i)).map(|x| if x.is_multiple_of(4) { 255 } else { (x >> 9) as u8 }).collect();
            let binned = BinnedRows { features: features as usize, bins };
            let (sums, leaves) = (sum_laid_out(&trees, &binned), apply_laid_out(&trees, &binned));
            prop_assert_eq!((sum(&trees, &binned), apply(&trees, &binned)), (sums.clone(), leaves.clone()));
            for (i, row) in binned.bins.chunks_exact(features as usize).enumerate() {
                prop_assert_eq!(sums[i], trees.iter().map(|t| t.value(row)).sum::<f64>());
                for (t, tree) in trees.iter().enumerate() {
                    let leaf = leaves[i * 4 + t] as usize;
                    let value = tree.0.iter().filter(|n| matches!(n, Node::Leaf(_))).nth(leaf);
                    prop_assert_eq!(value, Some(&Node::Leaf(tree.value(row))));
                    prop_assert!(leaf < tree.leaves());
                }
            }
        }
    }
}
