//! The best split of a node by one feature, from its histogram.
//!
//! A split is worth its gain of the sum over both sides of sum² / (weight + l2), which for two classes (positives² / rows)
//! orders splits as the decrease of Gini impurity does (Breiman et al. 1984), and for boosting (gradients² / hessians) as
//! the decrease of the loss to second order does (Friedman 2001; Chen, Guestrin 2016). Categories are sorted by sum /
//! weight, drawn towards the node's own by some rows ([`Search::smoothing`]), and cut as if they were ordered (optimal for
//! two classes, Breiman; the smoothing keeps rare ones from the ends). Sorted by the label, they gain by chance too, the
//! more the more they are: where the label does not depend on the category, k categories gain (k - 1)·v on average, v
//! being the variance of a row over its weight ([`Noise`]). So a cut of k categories is worth its gain less (k - 2)·v, or a
//! share of it ([`Search::price`]): two are a yes or no, which has no choice of order. Categories of few rows may be kept
//! out of the order ([`Search::min_category`]): together they are then one more, that goes to either side. Missing values
//! of a numeric feature go to the side where they gain more, a missing category is one more category. Equal gains keep the
//! first split found, so the choice is the same everywhere.

use super::cell::{Cell, Sums};
use crate::encode::bins::{BINS, MISSING_BIN};
use serde::{Deserialize, Serialize};

/// Which rows go left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Rule {
    /// Bins up to and including `bin`; the missing bin by its own flag.
    UpTo { bin: u8, missing_left: bool },
    /// Bins whose bit is set; a category that no training row had by its own flag.
    In { bits: [u64; 4], unseen_left: bool },
}

impl Rule {
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        match self {
            Rule::UpTo { bin: last, missing_left } => {
                if bin == MISSING_BIN {
                    *missing_left
                } else {
                    bin <= *last
                }
            }
            Rule::In { bits, .. } => bits[(bin >> 6) as usize] >> (bin & 63) & 1 == 1,
        }
    }

    /// Where a category goes that no training row had.
    pub(crate) fn unseen_goes_left(&self) -> bool {
        match self {
            Rule::UpTo { missing_left, .. } => *missing_left,
            Rule::In { unseen_left, .. } => *unseen_left,
        }
    }
}

/// A split of a node: the rule, what it gains, and what goes left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split<C> {
    pub(crate) rule: Rule,
    pub(crate) gain: f64,
    pub(crate) left: C,
}

/// Variance of what a row adds to the sum, over its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noise {
    /// Labels: p·(1 - p), p being the node's share.
    Label,
    /// Gradients of the log loss: their variance is their hessian.
    Gradient,
    /// As it was counted.
    Variance(f64),
}

/// What a search for splits needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<C: Cell> {
    pub(crate) scale: C::Scale,
    /// Rows that each side keeps, at least 1.
    pub(crate) min_rows: u32,
    /// Weight that each side keeps.
    pub(crate) min_weight: f64,
    /// Added to each side's weight.
    pub(crate) l2: f64,
    /// Weight by which categories are drawn towards the node's share.
    pub(crate) smoothing: f64,
    pub(crate) noise: Noise,
    /// Share of what many categories gain by chance that they are charged.
    pub(crate) price: f64,
    /// Rows that a category has in the node to have a place of its own in the order.
    pub(crate) min_category: u32,
}

/// Cuts that a small node has at most: room for all of them costs it more than to look at its own.
const FEW_CUTS: usize = 32;

/// Sums of what would go left at each of up to so many cuts, in the order of the cuts.
struct Cuts<const MOST: usize> {
    count: usize,
    sum: [f64; MOST],
    weight: [f64; MOST],
    rows: [f64; MOST],
}

impl<const MOST: usize> Cuts<MOST> {
    fn of<C: Cell>(cells: impl Iterator<Item = C>, scale: &C::Scale) -> Cuts<MOST> {
        let mut cuts = Cuts { count: 0, sum: [0.0; MOST], weight: [0.0; MOST], rows: [0.0; MOST] };
        let mut left = C::default();
        let slots = cuts.sum.iter_mut().zip(&mut cuts.weight).zip(&mut cuts.rows);
        for (((sum, weight), rows), cell) in slots.zip(cells) {
            left = left.plus(cell);
            let sums = left.sums(scale);
            (*sum, *weight, *rows) = (sums.sum, sums.weight, f64::from(left.rows()));
            cuts.count += 1;
        }
        cuts
    }

    /// The first best cut and its worth of both sides, `also` going left at every cut.
    fn best<C: Cell>(&self, search: &Search<C>, node: C, also: C) -> Option<(f64, usize)> {
        let total = node.sums(&search.scale);
        let more = also.sums(&search.scale);
        let (total_rows, more_rows) = (f64::from(node.rows()), f64::from(also.rows()));
        let min_rows = f64::from(search.min_rows);
        let mut worths = [0.0; MOST];
        // Without branches, so that it is done two or more at a time.
        let cuts = self.sum.iter().zip(&self.weight).zip(&self.rows).take(self.count);
        for (worth, ((sum, weight), rows)) in worths.iter_mut().zip(cuts) {
            let (left, left_weight, left_rows) = (sum + more.sum, weight + more.weight, rows + more_rows);
            let (right, right_weight) = (total.sum - left, total.weight - left_weight);
            let kept = (left_rows >= min_rows)
                & (total_rows - left_rows >= min_rows)
                & (left_weight >= search.min_weight)
                & (right_weight >= search.min_weight);
            let (a, b) = (left_weight + search.l2, right_weight + search.l2);
            let sides = (left * left * b + right * right * a) / (a * b);
            *worth = if kept { sides } else { -1.0 };
        }
        let mut best = (-1.0, 0);
        for (at, &worth) in worths.iter().enumerate().take(self.count) {
            if worth > best.0 {
                best = (worth, at);
            }
        }
        (best.0 >= 0.0).then_some(best)
    }
}

impl<C: Cell> Search<C> {
    fn purity(&self, node: Sums) -> f64 {
        let weight = node.weight + self.l2;
        if weight > 0.0 { node.sum * node.sum / weight } else { 0.0 }
    }

    /// The gain of a cut of this worth, unless it is within rounding of nothing: that would split for no reason.
    fn gain(&self, node: C, worth: f64) -> Option<f64> {
        let purity = self.purity(node.sums(&self.scale));
        Some(worth - purity).filter(|gain| *gain > 1e-9 * (1.0 + purity))
    }

    /// The best split of a numeric feature of so many value bins; `node` is the cell of the whole node.
    pub(crate) fn numeric(&self, cells: &[C; BINS], used: usize, node: C) -> Option<Split<C>> {
        let values = &cells[..used.min(MISSING_BIN as usize)];
        // A cut after a bin without rows is the one before it. After the first bin it may be between missing values and all
        // others.
        let (mut bins, mut count) = ([0; BINS], 0);
        for (bin, cell) in (0..=u8::MAX).zip(values) {
            bins[count] = bin;
            count += usize::from(cell.rows() > 0 || bin == 0);
        }
        self.numeric_of(cells, &bins[..count], node)
    }

    /// The same with cuts after these bins alone: the first, and those of values that have rows.
    pub(crate) fn numeric_of(&self, cells: &[C; BINS], bins: &[u8], node: C) -> Option<Split<C>> {
        match bins.len() <= FEW_CUTS {
            true => self.numeric_cut::<FEW_CUTS>(cells, bins, node),
            false => self.numeric_cut::<BINS>(cells, bins, node),
        }
    }

    fn numeric_cut<const MOST: usize>(&self, cells: &[C; BINS], bins: &[u8], node: C) -> Option<Split<C>> {
        let missing = cells[MISSING_BIN as usize];
        let cuts = Cuts::<MOST>::of(bins.iter().map(|&bin| cells[bin as usize]), &self.scale);
        let mut best = cuts.best(self, node, C::default()).map(|found| (found, false));
        if missing.rows() > 0
            && let Some(found) = cuts.best(self, node, missing)
            && best.is_none_or(|(first, _)| found.0 > first.0)
        {
            best = Some((found, true));
        }
        let ((worth, at), missing_goes_left) = best?;
        let (gain, bin) = (self.gain(node, worth)?, bins[at]);
        let known = bins[..=at].iter().fold(C::default(), |sum, &bin| sum.plus(cells[bin as usize]));
        let left = if missing_goes_left { known.plus(missing) } else { known };
        // Without missing values here the flag is set by the larger side.
        let missing_left =
            if missing.rows() == 0 { left.rows() >= node.minus(left).rows() } else { missing_goes_left };
        Some(Split { rule: Rule::UpTo { bin, missing_left }, gain, left })
    }

    /// The best split of a categorical feature. Bins without rows here (also that of missing values) and categories that
    /// no training row had go to the side with more rows.
    pub(crate) fn categorical(&self, cells: &[C; BINS], node: C) -> Option<Split<C>> {
        self.categorical_of(cells, 0..=MISSING_BIN, node)
    }

    /// The same where no other bins than these, ascending, have rows.
    pub(crate) fn categorical_of(
        &self,
        cells: &[C; BINS],
        bins: impl Iterator<Item = u8>,
        node: C,
    ) -> Option<Split<C>> {
        let share = node.sums(&self.scale).share();
        let mut keys = [0u64; BINS];
        let (mut count, mut ordered) = (0, C::default());
        for bin in bins {
            let cell = cells[bin as usize];
            if cell.rows() > 0 && cell.rows() >= self.min_category {
                let sums = cell.sums(&self.scale);
                let mean = (sums.sum + self.smoothing * share) / (sums.weight + self.smoothing);
                // The order of floats as integers, its last bits given to the bin: one sort of plain numbers.
                let bits = mean.to_bits();
                let key = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
                keys[count] = (key & !0xFF) | u64::from(bin);
                ordered = ordered.plus(cell);
                count += 1;
            }
        }
        let few = node.minus(ordered);
        let order = &mut keys[..count];
        order.sort_unstable();
        let bin_of = |key: u64| (key & 0xFF) as usize;
        let cuts = Cuts::<BINS>::of(order.iter().map(|&key| cells[bin_of(key)]), &self.scale);
        let mut best = cuts.best(self, node, C::default()).map(|found| (found, false));
        if few.rows() > 0
            && let Some(found) = cuts.best(self, node, few)
            && best.is_none_or(|(first, _)| found.0 > first.0)
        {
            best = Some((found, true));
        }
        let ((worth, last), few_go_left) = best?;
        let noise = match self.noise {
            Noise::Label => share * (1.0 - share),
            Noise::Gradient => 1.0,
            Noise::Variance(variance) => variance,
        };
        let categories = count + usize::from(few.rows() > 0);
        let charge = self.price * categories.saturating_sub(2) as f64 * noise;
        let gain = self.gain(node, worth)? - charge;
        if gain <= 0.0 {
            return None;
        }
        let chosen = order[..=last].iter().fold(C::default(), |sum, &key| sum.plus(cells[bin_of(key)]));
        let left = if few_go_left { chosen.plus(few) } else { chosen };
        let others_left = left.rows() >= node.minus(left).rows();
        let mut goes_left = cells.map(|cell| if cell.rows() > 0 { few_go_left } else { others_left });
        order.iter().enumerate().for_each(|(i, &key)| goes_left[bin_of(key)] = i <= last);
        let mut bits = [0u64; 4];
        for (bin, &left) in goes_left.iter().enumerate() {
            bits[bin >> 6] |= u64::from(left) << (bin & 63);
        }
        Some(Split { rule: Rule::In { bits, unseen_left: others_left }, gain, left })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::cell::{ClassScale, Count};
    use super::*;

    fn cells(of: &[(u8, u32, u32)]) -> ([Count; BINS], Count) {
        let mut cells = [Count(0); BINS];
        let mut node = Count(0);
        for &(bin, rows, positives) in of {
            cells[bin as usize] = Count(u64::from(rows) << 32 | u64::from(positives));
            node = node.plus(cells[bin as usize]);
        }
        (cells, node)
    }

    /// As for a tree of two classes that weigh alike.
    pub(in crate::forest) fn search(min_rows: u32) -> Search<Count> {
        let scale = ClassScale { negative: 1.0, positive: 1.0 };
        Search {
            scale,
            min_rows,
            min_weight: 0.0,
            l2: 0.0,
            smoothing: 30.0,
            noise: Noise::Label,
            price: 1.0,
            min_category: 0,
        }
    }

    #[test]
    fn missing_values_go_where_they_gain_more() {
        let (known, node) = cells(&[(0, 10, 0), (1, 10, 10), (MISSING_BIN, 10, 10)]);
        let split = search(1).numeric(&known, 2, node).unwrap();
        assert_eq!(split.rule, Rule::UpTo { bin: 0, missing_left: false });
        assert!(split.rule.goes_left(0) && !split.rule.goes_left(1) && !split.rule.goes_left(MISSING_BIN));
        let (other, total) = cells(&[(0, 10, 10), (1, 10, 0), (MISSING_BIN, 10, 10)]);
        let rule = search(1).numeric(&other, 2, total).unwrap().rule;
        assert_eq!(rule, Rule::UpTo { bin: 0, missing_left: true });
        assert!(rule.goes_left(MISSING_BIN));
        // 20² / 20 on the right, nothing on the left, 20² / 30 before.
        assert!((split.gain - (20.0 - 400.0 / 30.0)).abs() < 1e-12);
    }

    /// Of few bins with rows and of many, against every cut there is, one after the other.
    #[test]
    fn bins_without_rows_change_no_split() {
        let draw = |seed: u64, of: u64| (crate::seed::derive(5, seed) % of) as u32;
        for case in 0..600 {
            let share = [2, 9, 60, 255][case as usize % 4];
            let counts: Vec<(u8, u32, u32)> = (0..=255u8)
                .filter(|bin| draw(case * 999 + u64::from(*bin), 255) < share)
                .map(|bin| (bin, 1 + draw(case + u64::from(bin), 9)))
                .map(|(bin, rows)| (bin, rows, draw(case * 7 + u64::from(bin), u64::from(rows) + 1)))
                .collect();
            let ((cells, node), search) = (cells(&counts), search(1 + draw(case, 5)));
            let missing = cells[MISSING_BIN as usize];
            let mut best: Option<(f64, u8, Count)> = None;
            for also in [Count::default(), missing] {
                let mut left = also;
                for (bin, cell) in (0u8..200).zip(&cells) {
                    left = left.plus(*cell);
                    let right = node.minus(left);
                    if left.rows().min(right.rows()) < search.min_rows {
                        continue;
                    }
                    let [a, b] = [left, right].map(|side| side.sums(&search.scale));
                    let worth = (a.sum * a.sum * b.weight + b.sum * b.sum * a.weight) / (a.weight * b.weight);
                    if best.is_none_or(|best| worth > best.0) {
                        best = Some((worth, bin, left));
                    }
                }
            }
            let expected = best.and_then(|(worth, bin, left)| Some((search.gain(node, worth)?, bin, left)));
            let found = search.numeric(&cells, 200, node).map(|split| match split.rule {
                Rule::UpTo { bin, .. } => (split.gain, bin, split.left),
                Rule::In { .. } => panic!("numbers are cut"),
            });
            assert_eq!(found, expected, "case {case}");
        }
    }

    #[test]
    fn categories_are_grouped_by_share_of_positives_whatever_their_bins() {
        let (cells, node) =
            cells(&[(3, 100, 90), (70, 100, 5), (130, 100, 95), (200, 100, 10), (255, 10, 0)]);
        let rule = search(1).categorical(&cells, node).unwrap().rule;
        let left: Vec<u8> = [3, 70, 130, 200, 255].into_iter().filter(|b| rule.goes_left(*b)).collect();
        assert_eq!(left, [70, 200, 255]);
        assert!(rule.goes_left(99), "a bin without rows follows the larger side");
    }

    #[test]
    fn many_categories_that_differ_by_chance_only_are_no_split() {
        // One positive more or less among ten rows each.
        let noise: Vec<(u8, u32, u32)> = (0..100).map(|bin| (bin, 10, 4 + u32::from(bin) % 3)).collect();
        let (noisy, node) = cells(&noise);
        assert_eq!(search(1).categorical(&noisy, node), None);
        let signal: Vec<(u8, u32, u32)> = (0..100).map(|bin| (bin, 10, 1 + 8 * u32::from(bin % 2))).collect();
        let (differing, node) = cells(&signal);
        let split = search(1).categorical(&differing, node).unwrap();
        // 50²/500 + 450²/500 - 500²/1000, less 98 quarters.
        assert!((split.gain - (410.0 - 250.0 - 24.5)).abs() < 1e-9, "{}", split.gain);
    }

    #[test]
    fn categories_of_few_rows_stay_together_on_the_better_side() {
        let search = Search { min_category: 40, ..search(1) };
        let left_of = |of: &[(u8, u32, u32)]| {
            let (cells, node) = cells(of);
            let split = search.categorical(&cells, node).unwrap();
            let left: Vec<u8> = of.iter().map(|c| c.0).filter(|&bin| split.rule.goes_left(bin)).collect();
            let rows: u32 = of.iter().filter(|c| left.contains(&c.0)).map(|c| c.1).sum();
            assert_eq!(split.left.rows(), rows);
            (left, split.rule.goes_left(99))
        };
        // By themselves 7 would go right and 9 left; together they are mostly positive, or mostly not.
        assert_eq!(left_of(&[(1, 100, 10), (2, 100, 90), (7, 20, 20), (9, 5, 0)]), (vec![1], false));
        assert_eq!(left_of(&[(1, 100, 10), (2, 100, 90), (7, 5, 5), (9, 20, 0)]), (vec![1, 7, 9], true));
        // Against all others: no category is left of the cut, or all are.
        assert_eq!(left_of(&[(1, 100, 50), (2, 100, 50), (7, 20, 20)]), (vec![1, 2], true));
    }

    #[test]
    fn no_split_leaves_a_side_short_or_gains_nothing() {
        let (few, node) = cells(&[(0, 3, 0), (1, 100, 50)]);
        assert_eq!(search(4).numeric(&few, 2, node), None);
        assert_eq!(search(4).categorical(&few, node), None);
        let (even, node) = cells(&[(0, 10, 5), (1, 20, 10), (255, 30, 15)]);
        assert_eq!(search(1).numeric(&even, 2, node), None);
        assert_eq!(search(1).categorical(&even, node), None);
    }

    #[test]
    fn class_weights_and_l2_enter_the_gain() {
        let (found, node) = cells(&[(0, 10, 2), (1, 10, 8)]);
        let weighted = Search { scale: ClassScale { negative: 0.5, positive: 1.5 }, l2: 1.0, ..search(1) };
        let split = weighted.numeric(&found, 2, node).unwrap();
        // Left 2 positives of weight 1.5 and 8 negatives of .5, right 8 and 2.
        let expected = 9.0 / 8.0 + 144.0 / 14.0 - 225.0 / 21.0;
        assert!((split.gain - expected).abs() < 1e-12, "{}", split.gain);
    }

    #[test]
    fn negative_sums_sort_below_positive_ones() {
        use super::super::cell::{Moments, Units};
        let mut cells = [Moments::default(); BINS];
        let mut node = Moments::default();
        for (bin, sum) in [(4, -90), (9, 80), (17, -70), (30, 85)] {
            cells[bin] = Moments::new(sum, 100, 100);
            node = node.plus(cells[bin]);
        }
        let search: Search<Moments> = Search {
            scale: Units { sum: 1.0, weight: 1.0 },
            min_rows: 1,
            min_weight: 0.0,
            l2: 0.0,
            smoothing: 10.0,
            noise: Noise::Gradient,
            price: 1.0,
            min_category: 0,
        };
        let split = search.categorical(&cells, node).unwrap();
        let left: Vec<u8> = [4, 9, 17, 30].into_iter().filter(|&bin| split.rule.goes_left(bin)).collect();
        assert_eq!(left, [4, 17]);
        assert!((split.gain - (160.0 * 160.0 + 165.0 * 165.0 - 12.5) / 200.0 + 2.0).abs() < 1e-9);
    }
}
