//! Rows that are there on both sides of the hold-out split: a model that has learned a row knows its twin's label.
//!
//! A row counts when it comes, if a row before it, of its batch or an earlier one, has the same features and label and is
//! on the other side. So the numbers of all batches add up to one that does not depend on how the stream was cut. Rows are
//! compared by a hash of 64 bits, of which the history keeps 10 to 20 bytes a row.

use std::collections::HashSet;

/// The rows so far, by side.
#[derive(Debug, Default)]
pub(super) struct Twins {
    training: HashSet<u64>,
    holdout: HashSet<u64>,
}

impl Twins {
    /// Takes in rows, each with whether it is held out; gives how many of them have a twin on the other side.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = (u64, bool)>) -> u64 {
        let mut count = 0;
        for (row, held_out) in rows {
            let (own, other) = match held_out {
                true => (&mut self.holdout, &self.training),
                false => (&mut self.training, &self.holdout),
            };
            count += u64::from(other.contains(&row));
            own.insert(row);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_once_it_has_a_twin_on_the_other_side() {
        const ROWS: [(u64, bool); 8] = [
            (1, false),
            (2, true),
            (1, false), // on its own side only
            (1, true),  // first twin across
            (2, false), // second
            (2, true),  // third: there is now one on the other side
            (3, true),
            (4, false),
        ];
        assert_eq!(Twins::default().add(ROWS), 3);
        // However they are cut into batches.
        for cut in 0..=ROWS.len() {
            let mut twins = Twins::default();
            assert_eq!(twins.add(ROWS[..cut].to_vec()) + twins.add(ROWS[cut..].to_vec()), 3);
        }
    }
}
