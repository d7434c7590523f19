//! A categorical feature as one dense column: smoothed log-odds of the label, cross-fitted.
//!
//! A category with `n` training rows, `p` of them positive, is encoded as ln(q / (1 - q)) of
//! q = (p + m·prior) / (n + m) (Micci-Barreca 2001), where `prior` is the share of positives of all training rows. A row
//! that the model learns from is encoded by the rows of the other folds only: its own label, seen through its category,
//! would make rare categories look certain. What is scored later is encoded by all training rows. An unseen category has
//! the prior; missing values are one more category.

use super::map_codes;
use crate::seed::derive;
use crate::table::{CategoryColumn, MISSING_CODE};
use serde::{Deserialize, Serialize};

/// Folds of the cross-fitting.
const FOLDS: usize = 5;
/// Rows of the prior mixed into a category.
const SMOOTHING: f64 = 10.0;
/// Categories of fewer training rows than this are not kept: they have the prior's value.
const MIN_ROWS: u32 = 2;

/// Log-odds by category, as scored later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoding {
    /// Ascending, so that a look-up is a binary search and the same model has the same bytes.
    names: Vec<String>,
    /// Log-odds of `names`, in that order.
    log_odds: Vec<f32>,
    missing: f32,
    unseen: f32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    rows: u32,
    positives: u32,
}

impl Tally {
    fn minus(self, other: Tally) -> Tally {
        Tally { rows: self.rows - other.rows, positives: self.positives - other.positives }
    }

    /// Single precision is plenty for a statistic of counts, and half of the file.
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
    /// Learns from these rows, and gives the out-of-fold values of the same rows (shape: `rows.len()`). `labels` has a
    /// value a row of the table; both classes occur among `rows`.
    pub(crate) fn fit(
        column: &CategoryColumn,
        labels: &[bool],
        rows: &[u32],
        seed: u64,
    ) -> (TargetEncoding, Vec<f64>) {
        // The last tally is that of missing values.
        let categories = column.dictionary.len() + 1;
        let index = |row: u32| match column.codes[row as usize] {
            MISSING_CODE => categories - 1,
            code => code as usize,
        };
        let mut folds = vec![[Tally::default(); FOLDS]; categories];
        for &row in rows {
            let tally = &mut folds[index(row)][fold(row, seed)];
            tally.rows += 1;
            tally.positives += u32::from(labels[row as usize]);
        }
        let sum = |of: &[Tally]| {
            of.iter().fold(Tally::default(), |a, b| Tally {
                rows: a.rows + b.rows,
                positives: a.positives + b.positives,
            })
        };
        let totals: Vec<Tally> = folds.iter().map(|f| sum(f)).collect();
        let all = sum(&totals);
        let prior = f64::from(all.positives) / f64::from(all.rows);
        let out_of_fold: Vec<[f32; FOLDS]> = folds
            .iter()
            .zip(&totals)
            .map(|(folds, &total)| {
                if total.rows == 0 {
                    [0.0; FOLDS]
                } else {
                    folds.map(|fold| total.minus(fold).log_odds(prior))
                }
            })
            .collect();
        let values = rows.iter().map(|&row| f64::from(out_of_fold[index(row)][fold(row, seed)])).collect();

        let mut kept: Vec<usize> = (0..categories - 1).filter(|&c| totals[c].rows >= MIN_ROWS).collect();
        kept.sort_unstable_by(|&a, &b| column.dictionary[a].cmp(&column.dictionary[b]));
        let encoding = TargetEncoding {
            log_odds: kept.iter().map(|&c| totals[c].log_odds(prior)).collect(),
            names: kept.into_iter().map(|c| column.dictionary[c].clone()).collect(),
            missing: totals[categories - 1].log_odds(prior),
            unseen: Tally::default().log_odds(prior),
        };
        (encoding, values)
    }

    /// Log-odds of a category, or of a missing one.
    pub(crate) fn of(&self, name: Option<&str>) -> f64 {
        let Some(name) = name else { return f64::from(self.missing) };
        let at = self.names.binary_search_by(|kept| kept.as_str().cmp(name));
        f64::from(at.map_or(self.unseen, |at| self.log_odds[at]))
    }

    /// Log-odds of these rows, put by position.
    pub(crate) fn transform(&self, column: &CategoryColumn, rows: &[u32], mut put: impl FnMut(usize, f64)) {
        let of = |name: &str| match self.names.binary_search_by(|kept| kept.as_str().cmp(name)) {
            Ok(at) => self.log_odds[at],
            Err(_) => self.unseen,
        };
        map_codes(column, rows, self.missing, of, |i, value| put(i, f64::from(value)));
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.names.len() == self.log_odds.len()
            && self.names.windows(2).all(|w| w[0] < w[1])
            && self.log_odds.iter().chain([&self.missing, &self.unseen]).all(|v| v.is_finite())
    }
}

/// The fold of a row: by its index and the seed only, so that it stays when the table grows.
fn fold(row: u32, seed: u64) -> usize {
    (derive(seed, u64::from(row)) % FOLDS as u64) as usize
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
        let (encoding, _) = TargetEncoding::fit(table.categorical(0), &labels, &[0, 1, 2, 3, 4, 5], 1);
        let mut found = vec![0.0; 4];
        encoding.transform(table.categorical(0), &[0, 2, 4, 6], |i, v| found[i] = v);
        // Prior 1/2: (2 + 5) / (0 + 5), its inverse, and even odds for what says nothing.
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
        let value = |labels: &[bool]| TargetEncoding::fit(table.categorical(0), labels, &rows, 5).1[10];
        let before = value(&labels);
        // Exchange the row's label with that of another category in its fold: the prior stays, the value must.
        let other = (0..400u32).find(|&r| labels[r as usize] != labels[10] && r / 2 != 5).unwrap();
        labels.swap(10, other as usize);
        assert_eq!(value(&labels), before);
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
