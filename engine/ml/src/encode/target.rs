//! A categorical feature as one dense column: standardised smoothed log-odds of the label, cross-fitted.
//!
//! A category with `n` training rows, `p` of them positive, is encoded as ln(q / (1 - q)) of
//! q = (p + m·prior) / (n + m) (Micci-Barreca 2001), where `prior` is the share of positives of all training rows. A row
//! that the model learns from is encoded by the rows of the other folds only: its own label, seen through its category,
//! would make rare categories look certain. What is scored later is encoded by all training rows. An unseen category has
//! the prior; missing values are one more category. How large `m` is, and how few rows are too few, is [`Trust`]'s. A category that every row has is encoded as the prior, too.
//!
//! A row that weighs w counts as w / mean weight rows, in whole units of 2^-20 of a row: `n`, `p`, the prior and the least
//! rows of a category are of those counts, and the `m` rows of the prior weigh the mean.
//!
//! What is kept are the counts themselves: rows that come later are added to them, and the encoding is then, to the
//! byte, that of all rows at once.

use crate::encode::scale::NumericScale;
use crate::encode::tally::{Tally, fold_of};
use crate::forest::MAX_ROWS;
use crate::table::CategoryColumn;
use serde::{Deserialize, Serialize};

/// Folds of the cross-fitting.
pub(crate) const FOLDS: usize = 5;
/// Lanes of a code's out-of-fold scores: the folds and padding, so that an index is a shift.
pub(crate) const FOLD_LANES: usize = 8;
/// Rows of the prior mixed into a category, for linear models.
pub(crate) const SMOOTHING: f64 = 10.0;
/// With more categories than this, those of a single row are not kept.
pub(crate) const MAX_KEPT: usize = 65_536;
/// Units that stand for a row of mean weight, where rows weigh differently. A power of two, so that whole rows are what
/// they are without weights; the units of all rows are below 2^49, and hence exact as f64.
pub(crate) const WEIGHED_ROW: u64 = 1 << 20;
/// A linear model has one weight for all categories of a column: rare ones are to be near the prior.
const TRUST: Trust = Trust { smoothing: SMOOTHING, min_rows: 2 };

/// Counts by category, as scored later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoding {
    /// Units of a tally that stand for one row: 1, or, in trees of earlier versions, [`WEIGHED_ROW`].
    units_of_row: u64,
    /// Ascending, so that a look-up is a binary search and the same model has the same bytes.
    pub(crate) names: Vec<String>,
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

/// How far what a category's own rows say is trusted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust {
    /// Rows of the prior mixed into a category, above 0.
    pub(crate) smoothing: f64,
    /// Categories of fewer training rows than this have the prior's value; at least 1.
    pub(crate) min_rows: u64,
}

/// The log-odds of a tally. Single precision is plenty for a statistic of counts.
fn log_odds(tally: Tally, units_of_row: u64, prior: f64, trust: Trust) -> f32 {
    if tally.rows < trust.min_rows * units_of_row {
        return (prior / (1.0 - prior)).ln() as f32;
    }
    let [positives, negatives] = tally.smoothed(units_of_row, prior, trust.smoothing);
    (positives / negatives).ln() as f32
}

/// Rows and positives of the categories of a column, by fold: what every encoding by the target is made of.
pub(crate) struct FoldCounts {
    /// By code; the last entry is that of missing values.
    folds: Vec<[Tally; FOLDS]>,
    totals: Vec<Tally>,
    all: Tally,
    units_of_row: u64,
}

impl FoldCounts {
    /// Of these rows, which count `units` each, by position, or `units_of_row`. `fold` is that of a position, and `positives`
    /// how many of a row's units are.
    pub(crate) fn of(
        column: &CategoryColumn,
        rows: &[u32],
        (units_of_row, units): (u64, Option<&[u64]>),
        fold: impl Fn(usize) -> usize,
        positives: impl Fn(u32, u64) -> u64,
    ) -> FoldCounts {
        let folds = vec![[Tally::default(); FOLDS]; column.dictionary.len() + 1];
        FoldCounts::after(folds, 0, column, rows, (units_of_row, units), fold, positives)
    }

    /// The same where the first `done` of the rows are counted.
    fn after(
        mut folds: Vec<[Tally; FOLDS]>,
        done: usize,
        column: &CategoryColumn,
        rows: &[u32],
        (units_of_row, units): (u64, Option<&[u64]>),
        fold: impl Fn(usize) -> usize,
        positives: impl Fn(u32, u64) -> u64,
    ) -> FoldCounts {
        let missing = column.dictionary.len();
        for (position, &row) in rows.iter().enumerate().skip(done) {
            let code = (column.codes.get(row as usize) as usize).min(missing);
            let tally = &mut folds[code][fold(position)];
            let units = units.map_or(units_of_row, |units| units[position]);
            tally.rows += units;
            tally.positives += positives(row, units);
        }
        let totals: Vec<Tally> = folds.iter().map(|f| Tally::of(f)).collect();
        let all = Tally::of(&totals);
        FoldCounts { folds, totals, all, units_of_row }
    }

    /// Whether a row has this code.
    pub(crate) fn occurs(&self, code: usize) -> bool {
        self.totals[code].rows > 0
    }

    /// Whether more than one row has this code, of mean weight.
    pub(crate) fn has_two_rows(&self, code: usize) -> bool {
        self.totals[code].rows >= 2 * self.units_of_row
    }

    /// The log-odds of a code that occurs as the rows of each fold see them: by the rows of the other folds.
    pub(crate) fn out_of_fold(&self, code: usize, trust: Trust) -> [f32; FOLDS] {
        let (total, prior) = (self.totals[code], self.all.share());
        self.folds[code].map(|fold| {
            // A category that every row has says nothing; by the other folds it would tell the fold, whose own share is
            // the lower the higher theirs are.
            let others = if total.rows == self.all.rows { self.all } else { total.minus(fold) };
            log_odds(others, self.units_of_row, prior, trust)
        })
    }

    /// The log-odds of a code by all rows.
    pub(crate) fn by_all(&self, code: usize, trust: Trust) -> f32 {
        log_odds(self.totals[code], self.units_of_row, self.all.share(), trust)
    }

    /// The log-odds of a category without rows.
    pub(crate) fn unseen(&self, trust: Trust) -> f32 {
        log_odds(Tally::default(), self.units_of_row, self.all.share(), trust)
    }
}

impl TargetEncoding {
    /// Learns from these rows, and gives the out-of-fold scores of the same rows. `labels` has a value a row of the
    /// table; both classes occur among `rows`. `before` is the encoding of the first so many of the rows, with the same seed.
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
        let done = before.filter(|(_, before)| before.units_of_row == 1).map_or(0, |(done, before)| {
            match before.put_counts(column, &mut folds, &mut kept) {
                true => done,
                false => {
                    folds.fill([Tally::default(); FOLDS]);
                    kept.clear();
                    0
                }
            }
        });
        let fold = |position: usize| fold(rows[position], seed);
        let positives = |row: u32, units: u64| units * u64::from(labels[row as usize]);
        let counts = FoldCounts::after(folds, done, column, rows, (1, None), fold, positives);

        let mut scores: FoldScores = vec![[0.0; FOLD_LANES]; missing + 1];
        for (code, score) in scores.iter_mut().enumerate().filter(|(code, _)| counts.occurs(*code)) {
            score[..FOLDS].copy_from_slice(&counts.out_of_fold(code, TRUST));
        }
        let counted = scores.iter().zip(&counts.folds).flat_map(|(scores, folds)| {
            scores.iter().zip(folds).map(|(score, fold)| (f64::from(*score), fold.rows))
        });
        let scale = NumericScale::fit_counted(counted);
        scores.iter_mut().flatten().for_each(|v| *v = scale.score(f64::from(*v)) as f32);

        // What was kept before is sorted already, which the sort makes use of.
        let mut is_kept = vec![false; missing];
        kept.iter().for_each(|&c| is_kept[c] = true);
        kept.extend((0..missing).filter(|&c| !is_kept[c] && counts.occurs(c)));
        let complete = kept.len() <= MAX_KEPT;
        if !complete {
            kept.retain(|&c| counts.has_two_rows(c));
        }
        kept.sort_by(|&a, &b| column.dictionary[a].cmp(&column.dictionary[b]));
        let encoding = TargetEncoding {
            units_of_row: 1,
            folds: kept.iter().map(|&c| counts.folds[c]).collect(),
            names: kept.into_iter().map(|c| column.dictionary[c].clone()).collect(),
            missing: counts.folds[missing],
            all: counts.all,
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

    /// The score of a category that is none of its names.
    pub(crate) fn unseen_score(&self) -> f32 {
        let prior = log_odds(Tally::default(), self.units_of_row, self.all.share(), TRUST);
        self.scale.score(f64::from(prior)) as f32
    }

    fn log_odds(&self, name: Option<&str>) -> f32 {
        let tally = match name {
            None => Tally::of(&self.missing),
            Some(name) => match self.names.binary_search_by(|kept| kept.as_str().cmp(name)) {
                Ok(at) => Tally::of(&self.folds[at]),
                Err(_) => Tally::default(),
            },
        };
        log_odds(tally, self.units_of_row, self.all.share(), TRUST)
    }

    /// Of the log-odds that the training rows have.
    pub(crate) fn scale(&self) -> &NumericScale {
        &self.scale
    }

    pub(crate) fn is_valid(&self) -> bool {
        // Rounding adds at most a unit to a row.
        let most = self.units_of_row.saturating_add(1).saturating_mul(MAX_ROWS as u64);
        let tallies = || self.folds.iter().chain([&self.missing]).flatten();
        let kept = tallies().fold(Tally::default(), |sum, tally| sum.plus(*tally));
        matches!(self.units_of_row, 1 | WEIGHED_ROW)
            && self.names.len() == self.folds.len()
            && self.names.windows(2).all(|w| w[0] < w[1])
            && tallies().all(|tally| tally.positives <= tally.rows)
            && (1..self.all.rows).contains(&self.all.positives)
            && self.all.rows <= most
            && match self.complete {
                true => kept == self.all,
                false => kept.rows <= self.all.rows && kept.positives <= self.all.positives,
            }
            && self.scale.is_valid()
    }
}

/// The units that each of these rows counts in tallies: [`WEIGHED_ROW`] × weight / mean weight, at least one, so that both
/// classes stay. `weights` has one a row of the table; those of `rows` are finite and above 0.
pub(crate) fn row_units(weights: &[f64], rows: &[u32]) -> Vec<u64> {
    let largest = rows.iter().map(|&row| weights[row as usize]).fold(0.0, f64::max);
    // Of shares of the largest the sum cannot overflow.
    let shares = || rows.iter().map(|&row| weights[row as usize] / largest);
    let mean = shares().sum::<f64>() / rows.len() as f64;
    shares().map(|share| ((share / mean * WEIGHED_ROW as f64).round() as u64).max(1)).collect()
}

/// A number as a share of the way from the least to the greatest, in units of 2^-20 and never none or all of them.
pub(crate) fn share_of(value: f64, least: f64, greatest: f64) -> u32 {
    // Halves: the way between the ends of f64 is finite.
    let (way, all) = (0.5 * value - 0.5 * least, 0.5 * greatest - 0.5 * least);
    let share = if all > 0.0 { way / all } else { 0.5 };
    1 + (share * (WEIGHED_ROW - 2) as f64).round() as u32
}

/// The fold of a row.
pub(crate) fn fold(row: u32, seed: u64) -> usize {
    fold_of(u64::from(row), seed, FOLDS as u64) as usize
}

#[cfg(test)]
mod tests;
