//! Many rows down many trees, fast.
//!
//! A tree is laid out anew as steps of twelve bytes, and eight rows go down at a time without a branch on their way: a
//! step is a load of the step, of the row's bin and of a word of categories, and each row has its own to wait for.
//! Leaves lead to themselves, so that all rows take as many steps as the tree is deep. Trees are taken one after the
//! other over a block of rows, so that a tree and the block's bins stay in the fastest cache; what a row sums up is in the
//! order of the trees.

use super::split::Rule;
use super::tree::{Node, Tree};
use crate::encode::bins::BinnedRows;
use rayon::prelude::*;

/// Rows below which laying out the trees costs more than it saves.
const FEW: usize = 256;
/// Rows of a block.
const BLOCK: usize = 1_024;
/// Rows that go down at a time.
const LANES: usize = 8;

#[derive(Clone, Copy)]
struct Step {
    /// Where a bin that goes left leads; one that goes right leads to the next. Of a leaf: the leaf itself.
    left: u32,
    feature: u16,
    /// A bin goes left if bin + `turn` (around 256) is below `limit`: a turn of 1 takes the missing bin to 0. A limit of
    /// 0 holds for none, one of 256 for all.
    limit: u16,
    /// Where the categories that go left are, in units of four words; those at 0 are none.
    mask: u16,
    turn: u8,
}

struct Path {
    depth: usize,
    steps: Vec<Step>,
    masks: Vec<u64>,
    /// The node of the tree that each step is.
    nodes: Vec<u32>,
}

impl Path {
    /// The layout of a tree, siblings side by side; `None` if it has more features or categories than fit.
    fn of(tree: &Tree) -> Option<Path> {
        let mut path = Path { depth: 0, steps: Vec::new(), masks: vec![0; 4], nodes: vec![0] };
        let mut depths = vec![0];
        while let Some(&node) = path.nodes.get(path.steps.len()) {
            let at = path.steps.len();
            let step = match tree.0.get(node as usize)? {
                Node::Leaf(_) => Step { left: at as u32, feature: 0, limit: 256, turn: 0, mask: 0 },
                Node::Split { feature, rule, right } => {
                    let (limit, turn, mask) = match rule {
                        Rule::UpTo { bin, missing_left } => {
                            let turn = u8::from(*missing_left);
                            (u16::from(*bin) + u16::from(turn) + 1, turn, 0)
                        }
                        Rule::In(bits) => {
                            path.masks.extend_from_slice(bits);
                            (0, 0, u16::try_from(path.masks.len() / 4 - 1).ok()?)
                        }
                    };
                    let left = path.nodes.len() as u32;
                    path.nodes.extend([node + 1, *right]);
                    depths.extend([depths[at] + 1; 2]);
                    // A damaged file's nodes may have more than one way to them: no tree has more than it has nodes.
                    if path.nodes.len() > tree.0.len() {
                        return None;
                    }
                    Step { left, feature: u16::try_from(*feature).ok()?, limit, turn, mask }
                }
            };
            path.steps.push(step);
        }
        path.depth = depths.last().copied().unwrap_or(0);
        Some(path)
    }

    /// The step that each of these rows ends at.
    fn walk(&self, bins: &[u8], features: usize, ends: &mut [u32]) {
        for (rows, ends) in bins.chunks(LANES * features).zip(ends.chunks_mut(LANES)) {
            let mut at = [0u32; LANES];
            if ends.len() == LANES {
                for _ in 0..self.depth {
                    for (lane, at) in at.iter_mut().enumerate() {
                        *at = self.step(*at, &rows[lane * features..]);
                    }
                }
            } else {
                for (at, row) in at.iter_mut().zip(rows.chunks_exact(features)) {
                    (0..self.depth).for_each(|_| *at = self.step(*at, row));
                }
            }
            ends.copy_from_slice(&at[..ends.len()]);
        }
    }

    #[inline(always)]
    fn step(&self, at: u32, row: &[u8]) -> u32 {
        let step = self.steps[at as usize];
        let bin = row[step.feature as usize];
        let word = self.masks[step.mask as usize * 4 + (bin >> 6) as usize];
        let below = u32::from(u16::from(bin.wrapping_add(step.turn)) < step.limit);
        let left = below | (word >> (bin & 63)) as u32 & 1;
        // Added, not chosen: which way is a coin toss that a branch would lose half of the time.
        step.left + (1 - left)
    }
}

/// The sum of the leaves of each row over the trees, in their order.
pub(crate) fn sum(trees: &[Tree], binned: &BinnedRows) -> Vec<f64> {
    let rows = binned.bins.len() / binned.features;
    let paths: Option<Vec<Path>> = if rows < FEW { None } else { trees.iter().map(Path::of).collect() };
    let Some(paths) = paths else {
        let value = |row: &[u8]| trees.iter().map(|tree| tree.value(row)).sum::<f64>();
        return binned.bins.par_chunks_exact(binned.features).with_min_len(64).map(value).collect();
    };
    let leaves: Vec<Vec<f64>> = trees.iter().zip(&paths).map(|(tree, path)| values(tree, path)).collect();
    let mut sums = vec![0.0; rows];
    sums.par_chunks_mut(BLOCK).zip(binned.bins.par_chunks(BLOCK * binned.features)).for_each(
        |(sums, bins)| {
            let mut ends = [0u32; BLOCK];
            let ends = &mut ends[..sums.len()];
            for (path, values) in paths.iter().zip(&leaves) {
                path.walk(bins, binned.features, ends);
                for (sum, &end) in sums.iter_mut().zip(&*ends) {
                    *sum += values[end as usize];
                }
            }
        },
    );
    sums
}

/// The leaf of each row in each tree, counted from the left; row-major, shape rows × trees.
pub(crate) fn apply(trees: &[Tree], binned: &BinnedRows) -> Vec<u32> {
    if trees.is_empty() {
        return Vec::new();
    }
    let rows = binned.bins.len() / binned.features;
    let numbers: Vec<Vec<u32>> = trees.iter().map(leaf_numbers).collect();
    let paths: Vec<Option<Path>> = trees.iter().map(Path::of).collect();
    let mut found = vec![0u32; rows * trees.len()];
    let blocks =
        found.par_chunks_mut(BLOCK * trees.len()).zip(binned.bins.par_chunks(BLOCK * binned.features));
    blocks.for_each(|(found, bins)| {
        let mut ends = vec![0u32; bins.len() / binned.features];
        for (t, (path, numbers)) in paths.iter().zip(&numbers).enumerate() {
            match path {
                Some(path) => {
                    path.walk(bins, binned.features, &mut ends);
                    ends.iter_mut().for_each(|end| *end = path.nodes[*end as usize]);
                }
                None => ends
                    .iter_mut()
                    .zip(bins.chunks_exact(binned.features))
                    .for_each(|(end, row)| *end = end_of(&trees[t], row)),
            }
            for (row, &end) in found.chunks_exact_mut(trees.len()).zip(&ends) {
                row[t] = numbers[end as usize];
            }
        }
    });
    found
}

fn end_of(tree: &Tree, row: &[u8]) -> u32 {
    let mut at = 0;
    while let Some(Node::Split { feature, rule, right }) = tree.0.get(at as usize) {
        at = if rule.goes_left(row[*feature as usize]) { at + 1 } else { *right };
    }
    at
}

/// What each step of a path holds, if it is a leaf.
fn values(tree: &Tree, path: &Path) -> Vec<f64> {
    let value =
        |&node: &u32| if let Some(Node::Leaf(value)) = tree.0.get(node as usize) { *value } else { 0.0 };
    path.nodes.iter().map(value).collect()
}

fn leaf_numbers(tree: &Tree) -> Vec<u32> {
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
                0 => Rule::In([0, 1, 2, 3].map(|i| derive(seed, 10 + i))),
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn the_fast_walk_ends_where_the_plain_one_does(seed in any::<u64>(), rows in 1usize..1_500, features in 1u32..5) {
            let trees: Vec<Tree> = (0..4).map(|t| tree(derive(seed, t), t as u32 * 3, features)).collect();
            let cells = rows as u64 * u64::from(features);
            // Of all bins, many missing.
            let bins: Vec<u8> = (0..cells).map(|i| derive(seed, i)).map(|x| if x.is_multiple_of(4) { 255 } else { (x >> 9) as u8 }).collect();
            let binned = BinnedRows { features: features as usize, bins };
            let (sums, leaves) = (sum(&trees, &binned), apply(&trees, &binned));
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
