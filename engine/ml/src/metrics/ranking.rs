//! Areas under curves over all thresholds, from one sort of the scores.

/// Rows in the order of their scores.
pub(super) struct Ranking {
    /// Ascending: the bits of the score, and the label in the lowest. Scores are within 0 to 1.
    scored: Vec<u64>,
    positives: u64,
}

impl Ranking {
    pub(super) fn of(labels: &[bool], probabilities: &[f64]) -> Ranking {
        // Non-negative floats order as their bits do; adding 0.0 makes -0.0 equal to 0.0.
        let mut scored: Vec<u64> = probabilities
            .iter()
            .zip(labels)
            .map(|(p, &label)| ((p + 0.0).to_bits() << 1) | u64::from(label))
            .collect();
        scored.sort_unstable();
        let positives = labels.iter().filter(|label| **label).count() as u64;
        Ranking { scored, positives }
    }

    /// Positives and negatives of each distinct score, ascending.
    fn groups(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.scored.chunk_by(|a, b| a >> 1 == b >> 1).map(|group| {
            let positives = group.iter().filter(|&&s| s & 1 == 1).count() as u64;
            (positives, group.len() as u64 - positives)
        })
    }

    /// Twice the Mann-Whitney U, counted group by group of equal scores, over 2·P·N; `None` of one class.
    pub(super) fn roc_auc(&self) -> Option<f64> {
        let (mut below, mut twice_u) = (0u128, 0u128);
        for (positives, negatives) in self.groups() {
            twice_u += u128::from(positives) * (2 * below + u128::from(negatives));
            below += u128::from(negatives);
        }
        let positives = u128::from(self.positives);
        (positives > 0 && below > 0).then(|| twice_u as f64 / (2 * positives * below) as f64)
    }

    /// Average precision; `None` without a positive row.
    pub(super) fn average_precision(&self) -> Option<f64> {
        let (mut above, mut rows, mut sum) = (0, 0, 0.0);
        for (positives, negatives) in self.groups().rev() {
            above += positives;
            rows += positives + negatives;
            sum += positives as f64 * (above as f64 / rows as f64);
        }
        (self.positives > 0).then(|| sum / self.positives as f64)
    }
}
