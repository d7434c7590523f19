//! The best split of a node of many classes by one feature.
//!
//! A split is worth its gain of the sum over both sides of (Σ over classes of weight²) / weight, which orders splits as the
//! decrease of Gini impurity does (Breiman et al. 1984). For two classes it is twice what [`split`](super::super::split)
//! makes of it. Categories are ordered by one class: the one whose share they differ in most in this node, by the sum of
//! squares between them, drawn towards the node's share by thirty rows; no order is known to be best for three classes or
//! more. What they gain so by chance is charged: where classes do not depend on the category, the class `m` that orders
//! them gains p·(1 - p) a category, and the others, whose shares give what it takes, Σ p_j² / (1 - p)² of that more.

use super::super::split::Rule;
use crate::encode::bins::{BINS, MISSING_BIN};

/// A split of a node: the rule, what it gains, and the cell of what goes left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassSplit {
    pub(super) rule: Rule,
    pub(super) gain: f64,
    pub(super) left: Vec<u32>,
}

/// What a search for splits needs to know.
pub(super) struct ClassSearch {
    /// Weight of a unit of each class.
    pub(super) scale: Vec<f64>,
    /// Rows that each side keeps, at least 1.
    pub(super) min_rows: u32,
    /// Weight by which categories are drawn towards the node's share.
    pub(super) smoothing: f64,
}

impl ClassSearch {
    /// The sum of squares over the weight, and the weight.
    fn purity(&self, cell: &[u32]) -> (f64, f64) {
        let weights = cell[1..].iter().zip(&self.scale).map(|(&units, scale)| f64::from(units) * scale);
        let (squares, all) = weights.fold((0.0, 0.0), |sum, of| (sum.0 + of * of, sum.1 + of));
        (if all > 0.0 { squares / all } else { 0.0 }, all)
    }

    /// The first best of the cuts after each of these bins but with rows, `also` going left at every cut: its worth, the
    /// number of bins that go left, and the cell of what does.
    fn best_cut(
        &self,
        cells: &[u32],
        order: impl Iterator<Item = usize>,
        node: &[u32],
        also: Option<&[u32]>,
    ) -> Option<(f64, usize, Vec<u32>)> {
        let stride = node.len();
        let mut left = also.map_or_else(|| vec![0; stride], <[u32]>::to_vec);
        let mut best: Option<(f64, usize, Vec<u32>)> = None;
        for (at, bin) in order.enumerate() {
            let cell = &cells[bin * stride..][..stride];
            if cell[0] == 0 {
                continue;
            }
            left.iter_mut().zip(cell).for_each(|(left, cell)| *left += cell);
            if node[0] - left[0] < self.min_rows {
                break;
            }
            if left[0] < self.min_rows {
                continue;
            }
            let (mut of_left, mut of_right, mut left_weight, mut right_weight) = (0.0, 0.0, 0.0, 0.0);
            for ((&left, &node), scale) in left[1..].iter().zip(&node[1..]).zip(&self.scale) {
                let (a, b) = (f64::from(left) * scale, f64::from(node - left) * scale);
                of_left += a * a;
                of_right += b * b;
                left_weight += a;
                right_weight += b;
            }
            let worth = of_left / left_weight + of_right / right_weight;
            if best.as_ref().is_none_or(|(first, ..)| worth > *first) {
                best = Some((worth, at + 1, left.clone()));
            }
        }
        best
    }

    /// The gain of a cut of this worth, unless it is within rounding of nothing.
    fn gain(&self, node: &[u32], worth: f64) -> Option<f64> {
        let purity = self.purity(node).0;
        Some(worth - purity).filter(|gain| *gain > 1e-9 * (1.0 + purity))
    }

    /// The best split of a numeric feature of so many value bins; `node` is the cell of the whole node.
    pub(super) fn numeric(&self, cells: &[u32], used: usize, node: &[u32]) -> Option<ClassSplit> {
        let used = used.min(MISSING_BIN as usize);
        let missing = &cells[MISSING_BIN as usize * node.len()..];
        let mut best = self.best_cut(cells, 0..used, node, None).map(|found| (found, false));
        if missing[0] > 0
            && let Some(found) = self.best_cut(cells, 0..used, node, Some(missing))
            && best.as_ref().is_none_or(|(first, _)| found.0 > first.0)
        {
            best = Some((found, true));
        }
        let ((worth, count, left), missing_goes_left) = best?;
        let gain = self.gain(node, worth)?;
        // Without missing values here the flag is set by the larger side.
        let missing_left = if missing[0] == 0 { left[0] >= node[0] - left[0] } else { missing_goes_left };
        Some(ClassSplit { rule: Rule::UpTo { bin: (count - 1) as u8, missing_left }, gain, left })
    }

    /// The best split of a categorical feature. Bins without rows here (also that of missing values) and categories that
    /// no training row had go to the side with more rows.
    pub(super) fn categorical(&self, cells: &[u32], node: &[u32]) -> Option<ClassSplit> {
        let stride = node.len();
        let present: Vec<usize> = (0..BINS).filter(|bin| cells[bin * stride] > 0).collect();
        let weight_of = |cell: &[u32]| self.purity(cell).1;
        let of_bin = |bin: usize| &cells[bin * stride..][..stride];
        let weights: Vec<f64> = present.iter().map(|&bin| weight_of(of_bin(bin))).collect();
        let all = weight_of(node);
        let of_class = |cell: &[u32], class: usize| f64::from(cell[1 + class]) * self.scale[class];
        let mut ordering = (f64::NEG_INFINITY, 0);
        for class in 0..stride - 1 {
            let within = present.iter().zip(&weights).map(|(&bin, weight)| {
                let of = of_class(of_bin(bin), class);
                of * of / weight
            });
            let whole = of_class(node, class);
            let between = within.sum::<f64>() - whole * whole / all;
            if between > ordering.0 {
                ordering = (between, class);
            }
        }
        let class = ordering.1;
        let share = of_class(node, class) / all;
        let mean = |at: usize| {
            let of = of_class(of_bin(present[at]), class);
            (of + self.smoothing * share) / (weights[at] + self.smoothing)
        };
        let mut order: Vec<(f64, usize)> = (0..present.len()).map(|at| (mean(at), present[at])).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (worth, count, left) = self.best_cut(cells, order.iter().map(|of| of.1), node, None)?;
        let rest = 1.0 - share;
        let others: f64 = (0..stride - 1)
            .filter(|other| *other != class)
            .map(|other| (of_class(node, other) / all / rest).powi(2))
            .sum();
        let noise = share * rest * (1.0 + others);
        let gain = self.gain(node, worth)? - present.len().saturating_sub(2) as f64 * noise;
        if gain <= 0.0 {
            return None;
        }
        let others_left = left[0] >= node[0] - left[0];
        let mut bits = [if others_left { u64::MAX } else { 0 }; 4];
        for (at, &(_, bin)) in order.iter().enumerate() {
            let bit = 1 << (bin & 63);
            if at < count { bits[bin >> 6] |= bit } else { bits[bin >> 6] &= !bit }
        }
        Some(ClassSplit { rule: Rule::In { bits, unseen_left: others_left }, gain, left })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cell::{ClassScale, Count};
    use super::super::super::split::{Noise, Search};
    use super::*;
    use crate::seed::derive;

    fn cells(of: &[(usize, &[u32])]) -> (Vec<u32>, Vec<u32>) {
        let stride = of[0].1.len() + 1;
        let (mut cells, mut node) = (vec![0; BINS * stride], vec![0; stride]);
        for &(bin, classes) in of {
            let cell = &mut cells[bin * stride..][..stride];
            cell[0] = classes.iter().sum();
            cell[1..].copy_from_slice(classes);
            node.iter_mut().zip(cell).for_each(|(sum, of)| *sum += *of);
        }
        (cells, node)
    }

    fn search(classes: usize) -> ClassSearch {
        ClassSearch { scale: vec![1.0; classes], min_rows: 1, smoothing: 30.0 }
    }

    #[test]
    fn a_cut_gains_the_decrease_of_gini() {
        let (three, node) = cells(&[(0, &[10, 0, 0]), (1, &[0, 10, 0]), (2, &[0, 0, 10])]);
        let split = search(3).numeric(&three, 3, &node).unwrap();
        assert_eq!(split.rule, Rule::UpTo { bin: 0, missing_left: false });
        // 30·(1 - 1/3) of impurity before, 20·(1 - 1/2) after.
        assert!((split.gain - 10.0).abs() < 1e-12, "{}", split.gain);
        assert_eq!(split.left, [10, 10, 0, 0]);
        let (same, node) = cells(&[(0, &[2, 4, 6]), (9, &[1, 2, 3]), (255, &[3, 6, 9])]);
        assert_eq!(search(3).numeric(&same, 10, &node), None);
        assert_eq!(search(3).categorical(&same, &node), None);
    }

    #[test]
    fn missing_values_go_where_they_gain_more() {
        let (known, node) = cells(&[(0, &[9, 0, 0]), (1, &[0, 9, 9]), (255, &[0, 9, 9])]);
        let rule = search(3).numeric(&known, 2, &node).unwrap().rule;
        assert_eq!(rule, Rule::UpTo { bin: 0, missing_left: false });
        let (other, node) = cells(&[(0, &[0, 9, 9]), (1, &[9, 0, 0]), (255, &[0, 9, 9])]);
        let rule = search(3).numeric(&other, 2, &node).unwrap().rule;
        assert_eq!(rule, Rule::UpTo { bin: 0, missing_left: true });
    }

    #[test]
    fn two_classes_split_as_in_a_tree_of_two_for_twice_the_gain() {
        let binary = Search::<Count> {
            scale: ClassScale { negative: 1.0, positive: 1.0 },
            min_rows: 5,
            min_weight: 0.0,
            l2: 0.0,
            smoothing: 30.0,
            noise: Noise::Label,
            price: 1.0,
            min_category: 0,
        };
        let many = ClassSearch { min_rows: 5, ..search(2) };
        let mut splits = 0;
        for seed in 0..200 {
            let of: Vec<(usize, [u32; 2])> = (0..40)
                .map(|i| {
                    let random = derive(seed, i);
                    let lean = 1 + (random >> 40) % (1 + seed % 9);
                    let bin = if i == 39 { 255 } else { i as usize * 5 };
                    (bin, [(random % 17 * lean) as u32, (random >> 8) as u32 % 17])
                })
                .collect();
            let of: Vec<(usize, &[u32])> = of.iter().map(|(bin, of)| (*bin, &of[..])).collect();
            let (cells_of_many, node) = cells(&of);
            let count = |rows: u32, positives: u32| Count(u64::from(rows) << 32 | u64::from(positives));
            let counts: [Count; BINS] =
                std::array::from_fn(|bin| count(cells_of_many[bin * 3], cells_of_many[bin * 3 + 2]));
            let whole = count(node[0], node[2]);
            for (found, expected) in [
                (many.numeric(&cells_of_many, 200, &node), binary.numeric(&counts, 200, whole)),
                (many.categorical(&cells_of_many, &node), binary.categorical(&counts, whole)),
            ] {
                // A category's order may be that of either class, from either end.
                let found = found.map(|of| of.gain / 2.0);
                match (found, expected.map(|of| of.gain)) {
                    (Some(found), Some(expected)) => {
                        splits += 1;
                        assert!((found / expected - 1.0).abs() < 1e-6, "{seed}: {found} {expected}");
                    }
                    (found, expected) => assert_eq!(found, expected, "{seed}"),
                }
            }
        }
        assert!(splits > 200, "{splits}");
    }

    #[test]
    fn categories_are_ordered_by_the_class_that_they_tell_apart() {
        let (of, node) = cells(&[
            (3, &[50, 45, 5]),
            (70, &[50, 5, 45]),
            (130, &[50, 44, 6]),
            (200, &[50, 6, 44]),
            (255, &[50, 5, 45]),
        ]);
        let rule = search(3).categorical(&of, &node).unwrap().rule;
        let side = |bin| rule.goes_left(bin);
        assert!(
            side(3) == side(130) && side(70) == side(200) && side(70) == side(255) && side(3) != side(70)
        );
        assert_eq!(side(99), side(70), "a bin without rows follows the larger side");
        let noise: Vec<(usize, [u32; 3])> =
            (0..100).map(|bin| (bin, [4 + bin as u32 % 3, 3, 3 + (bin as u32 + 1) % 2])).collect();
        let noise: Vec<(usize, &[u32])> = noise.iter().map(|(bin, of)| (*bin, &of[..])).collect();
        let (of, node) = cells(&noise);
        assert_eq!(search(3).categorical(&of, &node), None, "differences by chance are no split");
    }
}
