//! A categorical feature as one dense column: standardised smoothed log-odds of the label, cross-fitted.
//!
//! A category with `n` training rows, `p` of them positive, is encoded as ln(q / (1 - q)) of
//! q = (p + m·prior) / (n + m) (Micci-Barreca 2001), where `prior` is the share of positives of all training rows. A row
//! that the model learns from is encoded by the rows of the other folds only: its own label, seen through its category,
//! would make rare categories look certain. What is scored later is encoded by all training rows. An unseen category has
//! the prior; missing values are one more category. A category that every row has is encoded as the prior, too.
//!
//! What is kept are the counts themselves: rows that come later are added to them, and the encoding is then, to the
//! byte, that of all rows at once.

use crate::encode::scale::NumericScale;
use crate::seed::derive;
use crate::table::CategoryColumn;
use serde::{Deserialize, Serialize};

/// Folds of the cross-fitting.
const FOLDS: usize = 5;
/// Lanes of a code's out-of-fold scores: the folds and padding, so that an index is a shift.
pub(crate) const FOLD_LANES: usize = 8;
/// Rows of the prior mixed into a category.
const SMOOTHING: f64 = 10.0;
/// Categories of fewer training rows than this have the prior's value.
const MIN_ROWS: u32 = 2;
/// With more categories than this, those of fewer than [`MIN_ROWS`] rows are not kept: the next fit counts all rows again.
const MAX_KEPT: usize = 65_536;

/// Counts by category, as scored later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoding {
    /// Ascending, so that a look-up is a binary search and the same model has the same bytes.
    names: Vec<String>,
    /// Counts of `names`, in that order.
    folds: Vec<[Tally; FOLDS]>,
    missing: [Tally; FOLDS],
    /// All training rows.
    all: Tally,
    /// Whether every category of the training rows is in `names`.
    complete: bool,
    /// Of the log-odds that the training rows have.
    scale: NumericScale,
}

/// The scores that training rows have, by code and fold; the last entry is that of missing values.
pub(crate) type FoldScores = Vec<[f32; FOLD_LANES]>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    rows: u32,
    positives: u32,
}

impl Tally {
    /// Counts of a file may be anything, hence saturating.
    fn plus(self, other: Tally) -> Tally {
        Tally {
            rows: self.rows.saturating_add(other.rows),
            positives: self.positives.saturating_add(other.positives),
        }
    }

    fn minus(self, other: Tally) -> Tally {
        Tally { rows: self.rows - other.rows, positives: self.positives - other.positives }
    }

    fn of(folds: &[Tally]) -> Tally {
        folds.iter().fold(Tally::default(), |sum, fold| sum.plus(*fold))
    }

    fn share(self) -> f64 {
        f64::from(self.positives) / f64::from(self.rows)
    }

    /// Single precision is plenty for a statistic of counts.
    fn log_odds(self, prior: f64) -> f32 {
        if self.rows < MIN_ROWS {
            return (prior / (1.0 - prior)).ln() as f32;
        }
        let positives = f64::from(self.positives) + SMOOTHING * prior;
        let negatives = f64::from(self.rows - self.positives) + SMOOTHING * (1.0 - prior);
        (positives / negatives).ln() as f32
    }
}

impl TargetEncoding {
    /// Learns from these rows, and gives the out-of-fold scores of the same rows. `labels` has a value a row of the
    /// table; both classes occur among `rows`. `before` is the encoding of the first so many of the rows, with the same
    /// seed.
    pub(crate) fn fit(
        column: &CategoryColumn,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
        before: Option<(usize, &TargetEncoding)>,
    ) -> (TargetEncoding, FoldScores) {
        // The last is that of missing values.
        let missing = column.dictionary.len();
        let mut folds = vec![[Tally::default(); FOLDS]; missing + 1];
        let mut kept: Vec<usize> = Vec::new();
        let done =
            before.map_or(0, |(done, before)| match before.put_counts(column, &mut folds, &mut kept) {
                true => done,
                false => {
                    folds.fill([Tally::default(); FOLDS]);
                    kept.clear();
                    0
                }
            });
        for &row in &rows[done..] {
            let code = (column.codes[row as usize] as usize).min(missing);
            let tally = &mut folds[code][fold(row, seed)];
            tally.rows += 1;
            tally.positives += u32::from(labels[row as usize]);
        }
        let totals: Vec<Tally> = folds.iter().map(|f| Tally::of(f)).collect();
        let all = Tally::of(&totals);
        let prior = all.share();

        let mut scores: FoldScores = vec![[0.0; FOLD_LANES]; folds.len()];
        for (c, score) in scores.iter_mut().enumerate().filter(|(c, _)| totals[*c].rows > 0) {
            for (score, fold) in score.iter_mut().zip(folds[c]) {
                // A category that every row has says nothing; by the other folds it would tell the fold, whose own share is
                // the lower the higher theirs are.
                let others = if totals[c].rows == all.rows { all } else { totals[c].minus(fold) };
                *score = others.log_odds(prior);
            }
        }
        let counted = scores.iter().zip(&folds).flat_map(|(scores, folds)| {
            scores.iter().zip(folds).map(|(score, fold)| (f64::from(*score), fold.rows))
        });
        let scale = NumericScale::fit_counted(counted);
        scores.iter_mut().flatten().for_each(|v| *v = scale.score(f64::from(*v)) as f32);

        // What was kept before is sorted already, which the sort makes use of.
        let mut is_kept = vec![false; missing];
        kept.iter().for_each(|&c| is_kept[c] = true);
        kept.extend((0..missing).filter(|&c| !is_kept[c] && totals[c].rows > 0));
        let complete = kept.len() <= MAX_KEPT;
        if !complete {
            kept.retain(|&c| totals[c].rows >= MIN_ROWS);
        }
        kept.sort_by(|&a, &b| column.dictionary[a].cmp(&column.dictionary[b]));
        let encoding = TargetEncoding {
            folds: kept.iter().map(|&c| folds[c]).collect(),
            names: kept.into_iter().map(|c| column.dictionary[c].clone()).collect(),
            missing: folds[missing],
            all,
            complete,
            scale,
        };
        (encoding, scores)
    }

    /// Puts its counts by code, and its codes in the order of its names; false if it does not have all of them, or the
    /// column does not.
    fn put_counts(
        &self,
        column: &CategoryColumn,
        folds: &mut [[Tally; FOLDS]],
        codes: &mut Vec<usize>,
    ) -> bool {
        if let Some(last) = folds.last_mut() {
            *last = self.missing;
        }
        self.complete
            && self.names.iter().zip(&self.folds).all(|(name, counts)| match column.code(name) {
                Some(code) => {
                    folds[code as usize] = *counts;
                    codes.push(code as usize);
                    true
                }
                None => false,
            })
    }

    /// The score of a category, or of a missing value.
    pub(crate) fn score(&self, name: Option<&str>) -> f32 {
        self.scale.score(f64::from(self.log_odds(name))) as f32
    }

    fn log_odds(&self, name: Option<&str>) -> f32 {
        let tally = match name {
            None => Tally::of(&self.missing),
            Some(name) => match self.names.binary_search_by(|kept| kept.as_str().cmp(name)) {
                Ok(at) => Tally::of(&self.folds[at]),
                Err(_) => Tally::default(),
            },
        };
        tally.log_odds(self.all.share())
    }

    /// Of the log-odds that the training rows have.
    pub(crate) fn scale(&self) -> &NumericScale {
        &self.scale
    }

    pub(crate) fn is_valid(&self) -> bool {
        let possible = |t: &Tally| t.positives <= t.rows && t.rows < 1 << 28;
        self.names.len() == self.folds.len()
            && self.names.windows(2).all(|w| w[0] < w[1])
            && self.folds.iter().chain([&self.missing]).flatten().all(possible)
            && (1..self.all.rows).contains(&self.all.positives)
            && self.scale.is_valid()
    }
}

/// The fold of a row: by its index and the seed only, so that it stays when the table grows.
pub(crate) fn fold(row: u32, seed: u64) -> usize {
    // The upper half of the hash as a fraction of 2^32.
    (((derive(seed, u64::from(row)) >> 32) * FOLDS as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeatureTable;

    fn column(names: &[Option<&str>]) -> FeatureTable {
        let mut table = FeatureTable::new(vec![], vec!["c".into()]);
        table.push_category(0, names.iter().copied());
        table.finish_append().unwrap();
        table
    }

    #[test]
    fn scored_rows_are_encoded_by_all_training_rows() {
        let table = column(&[Some("a"), Some("a"), Some("b"), Some("b"), None, None, Some("unseen")]);
        let labels = [true, true, false, false, true, false, false];
        let (encoding, _) = TargetEncoding::fit(table.categorical(0), &labels, &[0, 1, 2, 3, 4, 5], 1, None);
        let log_odds = |name| f64::from(encoding.log_odds(name));
        // Prior 1/2: (2 + 5) / (0 + 5), its inverse, and even odds for what says nothing.
        let found = [Some("a"), Some("b"), None, Some("unseen")].map(log_odds);
        let expected = [(7f64 / 5.0).ln(), (5f64 / 7.0).ln(), 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert!(encoding.is_valid());
    }

    #[test]
    fn a_training_row_does_not_see_its_own_label() {
        let names: Vec<String> = (0..400).map(|i| format!("k{}", i / 2)).collect();
        let table = column(&names.iter().map(|n| Some(n.as_str())).collect::<Vec<_>>());
        let rows: Vec<u32> = (0..400).collect();
        let mut labels: Vec<bool> = (0..400).map(|i| i % 3 == 0).collect();
        let value = |labels: &[bool]| {
            let (encoding, scores) = TargetEncoding::fit(table.categorical(0), labels, &rows, 5, None);
            encoding.scale.value(f64::from(scores[5][fold(10, 5)]))
        };
        let before = value(&labels);
        // Exchange the row's label with that of another category in its fold: the prior stays, the value must.
        let other = (0..400u32).find(|&r| labels[r as usize] != labels[10] && r / 2 != 5).unwrap();
        labels.swap(10, other as usize);
        assert!((value(&labels) - before).abs() < 1e-6);
    }

    #[test]
    fn a_category_that_every_row_has_says_nothing() {
        for name in [Some("only"), None] {
            let table = column(&[name; 300]);
            let labels: Vec<bool> = (0..300).map(|i| i % 7 < 3).collect();
            let rows: Vec<u32> = (0..300).collect();
            let (encoding, scores) = TargetEncoding::fit(table.categorical(0), &labels, &rows, 1, None);
            assert_eq!(encoding.scale.inverse(), 0.0);
            assert!(scores.iter().all(|scores| *scores == [0.0; FOLD_LANES]), "{scores:?}");
        }
    }

    #[test]
    fn rows_that_come_later_give_the_bytes_of_all_rows_at_once() {
        let names: Vec<String> = (0..900).map(|i| format!("k{}", i * i % 70)).collect();
        let table =
            column(&names.iter().map(|n| Some(n.as_str()).filter(|n| *n != "k4")).collect::<Vec<_>>());
        let rows: Vec<u32> = (0..900).filter(|r| r % 4 != 1).collect();
        let labels: Vec<bool> = (0..900).map(|i| i % 3 == 0).collect();
        let fit = |rows: &[u32], before: Option<(usize, &TargetEncoding)>| {
            TargetEncoding::fit(table.categorical(0), &labels, rows, 5, before)
        };
        let first = fit(&rows[..300], None).0;
        assert_eq!(fit(&rows, Some((300, &first))), fit(&rows, None));
        let other =
            TargetEncoding { names: vec!["elsewhere".into()], folds: vec![Default::default()], ..first };
        assert_eq!(fit(&rows, Some((300, &other))), fit(&rows, None), "counts of another table are not used");
    }

    #[test]
    fn folds_are_even_and_move_with_the_seed() {
        let count = |seed| (0..FOLDS).map(move |f| (0..10_000).filter(|&r| fold(r, seed) == f).count());
        assert!(
            count(1).chain(count(2)).all(|n| (1_800..2_200).contains(&n)),
            "{:?}",
            count(1).collect::<Vec<_>>()
        );
        assert!((0..100).any(|r| fold(r, 1) != fold(r, 2)));
    }
}
