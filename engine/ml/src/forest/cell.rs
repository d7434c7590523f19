//! What a bin of a node's histogram holds, and what each row adds to it.
//!
//! Every kind of tree here splits by the same two sums: of a quantity (positives, or gradients) and of its weight (rows,
//! or hessians); and it counts rows for the smallest leaf. A cell keeps them as integers: their sums are the same in any
//! order, so for any number of threads, and a sibling is one subtraction.

/// Sums over rows as integers.
pub(crate) trait Cell: Copy + Default + PartialEq + Send + Sync {
    /// What turns the integers into numbers.
    type Scale: Copy + Send + Sync;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    /// Rows as drawn.
    fn rows(self) -> u32;
    fn sums(self, scale: &Self::Scale) -> Sums;
    /// Whether all rows have the same label.
    fn is_pure(self) -> bool;
    /// What a leaf of these rows says, where `prior` is what all rows of its tree say.
    fn leaf(self, scale: &Self::Scale, prior: f64) -> f64 {
        leaf_value(self.sums(scale), prior)
    }
}

/// A leaf's share of positives is drawn towards the tree's by so many rows: pure small leaves are not certain.
pub(crate) const LEAF_SMOOTHING: f64 = 1.0;

/// What a leaf of such sums says, where `prior` is the share of positives in all of its tree's rows.
pub(crate) fn leaf_value(sums: Sums, prior: f64) -> f64 {
    (sums.sum + LEAF_SMOOTHING * prior) / (sums.weight + LEAF_SMOOTHING)
}

/// A cell as numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    /// Of positives' weights, or of gradients.
    pub(crate) sum: f64,
    /// Of weights, or of hessians.
    pub(crate) weight: f64,
}

impl Sums {
    pub(crate) fn share(self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// Rows (high 32 bits) and positive rows (low 32 bits): one addition a row and feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count(pub(crate) u64);

/// Weight of one row of each class; their mean over the training rows is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClassScale {
    pub(crate) negative: f64,
    pub(crate) positive: f64,
}

impl Count {
    fn positives(self) -> u32 {
        self.0 as u32
    }
}

impl Cell for Count {
    type Scale = ClassScale;

    fn plus(self, other: Count) -> Count {
        Count(self.0 + other.0)
    }

    fn minus(self, other: Count) -> Count {
        Count(self.0 - other.0)
    }

    fn rows(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn sums(self, scale: &ClassScale) -> Sums {
        let sum = f64::from(self.positives()) * scale.positive;
        Sums { sum, weight: sum + f64::from(self.rows() - self.positives()) * scale.negative }
    }

    fn is_pure(self) -> bool {
        self.positives() == 0 || self.positives() == self.rows()
    }
}

/// Sum (a signed integer) in the first word, rows (high 32 bits) and weight (low 32 bits) in the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moments(pub(crate) [u64; 2]);

/// Value of one unit of a [`Moments`]' sum and weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Units {
    pub(crate) sum: f64,
    pub(crate) weight: f64,
}

impl Moments {
    pub(crate) fn new(sum: i64, rows: u32, weight: u32) -> Moments {
        Moments([sum as u64, (u64::from(rows) << 32) | u64::from(weight)])
    }

    fn sum(self) -> i64 {
        self.0[0] as i64
    }

    fn weight(self) -> u32 {
        self.0[1] as u32
    }
}

impl Cell for Moments {
    type Scale = Units;

    fn plus(self, other: Moments) -> Moments {
        // Two's complement: a negative sum wraps, and is meant to.
        Moments([self.0[0].wrapping_add(other.0[0]), self.0[1].wrapping_add(other.0[1])])
    }

    fn minus(self, other: Moments) -> Moments {
        Moments([self.0[0].wrapping_sub(other.0[0]), self.0[1].wrapping_sub(other.0[1])])
    }

    fn rows(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    fn sums(self, units: &Units) -> Sums {
        Sums { sum: self.sum() as f64 * units.sum, weight: f64::from(self.weight()) * units.weight }
    }

    fn is_pure(self) -> bool {
        self.sum() == 0 || self.sum() == i64::from(self.weight())
    }
}

/// Training rows of a tree: which row of the bins an entry is, and what it adds.
pub(crate) trait Source: Sync {
    type Entry: Copy + Default + Send + Sync;
    type Cell: Cell;
    fn row(entry: Self::Entry) -> usize;
    fn cell(&self, entry: Self::Entry) -> Self::Cell;
    /// The variance of these rows over their weight, whose sum is `cell`, where the cell alone does not tell it.
    fn variance(&self, _entries: &[Self::Entry], _cell: Self::Cell) -> Option<f64> {
        None
    }
}

/// A row drawn for a tree in one word: its index (28 bits), how often it was drawn (3 bits) and its label.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Draw(u32);

impl Draw {
    pub(crate) fn new(row: u32, draws: u32, label: bool) -> Draw {
        Draw(row << 4 | draws << 1 | u32::from(label))
    }

    pub(crate) fn row(self) -> u32 {
        self.0 >> 4
    }

    pub(crate) fn draws(self) -> u32 {
        self.0 >> 1 & 7
    }

    fn label(self) -> u32 {
        self.0 & 1
    }
}

/// Rows that weigh by their class only.
#[derive(Clone, Copy)]
pub(crate) struct Unweighted;

impl Source for Unweighted {
    type Entry = Draw;
    type Cell = Count;

    fn row(entry: Draw) -> usize {
        entry.row() as usize
    }

    fn cell(&self, entry: Draw) -> Count {
        let draws = u64::from(entry.draws());
        Count((draws << 32) | (draws * u64::from(entry.label())))
    }
}

/// Rows with weights of their own, as integers by row of the bins.
#[derive(Clone, Copy)]
pub(crate) struct Weighted<'a>(pub(crate) &'a [u32]);

impl Source for Weighted<'_> {
    type Entry = Draw;
    type Cell = Moments;

    fn row(entry: Draw) -> usize {
        entry.row() as usize
    }

    fn cell(&self, entry: Draw) -> Moments {
        let weight = entry.draws() * self.0[entry.row() as usize];
        Moments::new(i64::from(weight) * i64::from(entry.label()), entry.draws(), weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_keep_sign_rows_and_weight() {
        let a = Moments::new(-5, 2, 7).plus(Moments::new(3, 1, 4));
        assert_eq!((a.sum(), a.rows(), a.weight()), (-2, 3, 11));
        assert_eq!(a.minus(Moments::new(-5, 2, 7)), Moments::new(3, 1, 4));
        assert_eq!(a.sums(&Units { sum: 0.5, weight: 2.0 }), Sums { sum: -1.0, weight: 22.0 });
        let count = Unweighted.cell(Draw::new(9, 3, true)).plus(Unweighted.cell(Draw::new(1, 2, false)));
        assert_eq!(count.rows(), 5);
        assert_eq!(count.sums(&ClassScale { negative: 0.5, positive: 2.0 }), Sums { sum: 6.0, weight: 7.0 });
        assert!(!count.is_pure() && Unweighted.cell(Draw::new(0, 1, true)).is_pure());
    }

    #[test]
    fn a_weighted_row_counts_as_often_as_it_was_drawn() {
        let cell = Weighted(&[10, 20]).cell(Draw::new(1, 3, true));
        assert_eq!(cell, Moments::new(60, 3, 60));
        assert!(cell.is_pure() && !cell.plus(Weighted(&[10]).cell(Draw::new(0, 1, false))).is_pure());
    }
}
