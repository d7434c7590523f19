//! A categorical feature as one dense column: standardised smoothed log-odds of the label, cross-fitted.
//!
//! A category with `n` training rows, `p` of them positive, is encoded as ln(q / (1 - q)) of
//! q = (p + m·prior) / (n + m) (Micci-Barreca 2001), where `prior` is the share of positives of all training rows. A row
//! that the model learns from is encoded by the rows of the other folds only: its own label, seen through its category,
//! would make rare categories look certain. What is scored later is encoded by all training rows. An unseen category has
//! the prior; missing values are one more category. A category that every row has is encoded as the prior, too.
//!
//! A row that weighs w counts as w / mean weight rows, in whole units of 2^-20 of a row: `n`, `p` and the prior, the least
//! rows of a category and the standardisation are of those counts, and the `m` rows of the prior weigh the mean.
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
/// Rows of the prior mixed into a category.
pub(crate) const SMOOTHING: f64 = 10.0;
/// Categories of fewer training rows than this have the prior's value.
const MIN_ROWS: u64 = 2;
/// With more categories than this, those of fewer than [`MIN_ROWS`] rows are not kept: the next fit counts all rows again.
const MAX_KEPT: usize = 65_536;
/// Units that stand for a row of mean weight, where rows weigh differently. A power of two, so that whole rows are what
/// they are without weights; the units of all rows are below 2^49, and hence exact as f64.
const WEIGHED_ROW: u64 = 1 << 20;

/// Counts by category, as scored later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoding {
    /// Units of a tally that stand for one row: 1, or [`WEIGHED_ROW`].
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

/// The log-odds of a tally. Single precision is plenty for a statistic of counts.
fn log_odds(tally: Tally, units_of_row: u64, prior: f64) -> f32 {
    if tally.rows < MIN_ROWS * units_of_row {
        return (prior / (1.0 - prior)).ln() as f32;
    }
    let [positives, negatives] = tally.smoothed(units_of_row, prior, SMOOTHING);
    (positives / negatives).ln() as f32
}

impl TargetEncoding {
    /// Learns from these rows, and gives the out-of-fold scores of the same rows. `labels` has a value a row of the
    /// table; both classes occur among `rows`. `units` are what [`row_units`] makes of their weights, one for each of
    /// `rows`; `None`: they weigh the same. `before` is the encoding of the first so many of the rows, with the same seed;
    /// with weights it is not used, as what a row counts depends on all of them.
    pub(crate) fn fit(
        column: &CategoryColumn,
        labels: &[bool],
        rows: &[u32],
        units: Option<&[u64]>,
        seed: u64,
        before: Option<(usize, &TargetEncoding)>,
    ) -> (TargetEncoding, FoldScores) {
        let units_of_row = units.map_or(1, |_| WEIGHED_ROW);
        let positives = |row: u32, units: u64| units * u64::from(labels[row as usize]);
        TargetEncoding::fit_by(column, rows, (units_of_row, units), positives, seed, before)
    }

    /// The same of a target that is a number: `shares` has by row of the table what [`share_of`] makes of it. A category's
    /// log-odds are then of the smoothed mean share, which orders categories as the smoothed mean of the target does.
    pub(crate) fn fit_shares(
        column: &CategoryColumn,
        shares: &[u32],
        rows: &[u32],
        units: Option<&[u64]>,
        seed: u64,
    ) -> (TargetEncoding, FoldScores) {
        // Below 2^20 of units of up to 2^48: by way of 128 bits.
        let positives = |row: u32, units: u64| {
            (u128::from(units) * u128::from(shares[row as usize]) / u128::from(WEIGHED_ROW)) as u64
        };
        TargetEncoding::fit_by(column, rows, (WEIGHED_ROW, units), positives, seed, None)
    }

    /// `positives` of a row, of the units that it counts.
    fn fit_by(
        column: &CategoryColumn,
        rows: &[u32],
        (units_of_row, units): (u64, Option<&[u64]>),
        positives: impl Fn(u32, u64) -> u64,
        seed: u64,
        before: Option<(usize, &TargetEncoding)>,
    ) -> (TargetEncoding, FoldScores) {
        // The last is that of missing values.
        let missing = column.dictionary.len();
        let mut folds = vec![[Tally::default(); FOLDS]; missing + 1];
        let mut kept: Vec<usize> = Vec::new();
        let done = before
            .filter(|(_, before)| units.is_none() && before.units_of_row == units_of_row)
            .map_or(0, |(done, before)| match before.put_counts(column, &mut folds, &mut kept) {
                true => done,
                false => {
                    folds.fill([Tally::default(); FOLDS]);
                    kept.clear();
                    0
                }
            });
        for (position, &row) in rows.iter().enumerate().skip(done) {
            let code = (column.codes[row as usize] as usize).min(missing);
            let tally = &mut folds[code][fold(row, seed)];
            let units = units.map_or(units_of_row, |units| units[position]);
            tally.rows += units;
            tally.positives += positives(row, units);
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
                *score = log_odds(others, units_of_row, prior);
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
            kept.retain(|&c| totals[c].rows >= MIN_ROWS * units_of_row);
        }
        kept.sort_by(|&a, &b| column.dictionary[a].cmp(&column.dictionary[b]));
        let encoding = TargetEncoding {
            units_of_row,
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

    /// The score of a category that is none of its names.
    pub(crate) fn unseen_score(&self) -> f32 {
        let prior = log_odds(Tally::default(), self.units_of_row, self.all.share());
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
        log_odds(tally, self.units_of_row, self.all.share())
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
mod tests {
    use super::*;
    use crate::FeatureTable;
    use crate::seed::derive;

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
        let (encoding, _) =
            TargetEncoding::fit(table.categorical(0), &labels, &[0, 1, 2, 3, 4, 5], None, 1, None);
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
            let (encoding, scores) = TargetEncoding::fit(table.categorical(0), labels, &rows, None, 5, None);
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
            let (encoding, scores) = TargetEncoding::fit(table.categorical(0), &labels, &rows, None, 1, None);
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
            TargetEncoding::fit(table.categorical(0), &labels, rows, None, 5, before)
        };
        let first = fit(&rows[..300], None).0;
        assert_eq!(fit(&rows, Some((300, &first))), fit(&rows, None));
        let weighed = |before| {
            let units: Vec<u64> = rows.iter().map(|&row| WEIGHED_ROW / 2 + u64::from(row)).collect();
            TargetEncoding::fit(table.categorical(0), &labels, &rows, Some(&units), 5, before)
        };
        let of_weights = weighed(None);
        assert_eq!(weighed(Some((300, &first))), of_weights, "weights are counted anew");
        assert_eq!(fit(&rows, Some((300, &of_weights.0))), fit(&rows, None), "and not gone on from");
        let other =
            TargetEncoding { names: vec!["elsewhere".into()], folds: vec![Default::default()], ..first };
        assert_eq!(fit(&rows, Some((300, &other))), fit(&rows, None), "counts of another table are not used");
    }

    /// Rows of 60 categories, of which some have few rows; labels; weights of 1 to 3 whose mean is 2.
    fn weighed_rows() -> (FeatureTable, Vec<bool>, Vec<f64>) {
        let names: Vec<String> = (0..600u64).map(|i| format!("k{}", derive(2, i) % 60)).collect();
        let table =
            column(&names.iter().map(|n| Some(n.as_str()).filter(|n| *n != "k4")).collect::<Vec<_>>());
        let labels = (0..600u64).map(|i| derive(3, i) % 5 < 2).collect();
        (table, labels, (0..600u32).map(|i| f64::from(1 + i % 3)).collect())
    }

    #[test]
    fn whole_weights_count_as_the_rows_repeated() {
        let (table, labels, weights) = weighed_rows();
        let rows: Vec<u32> = (0..600).collect();
        let units = row_units(&weights, &rows);
        let weighed = TargetEncoding::fit(table.categorical(0), &labels, &rows, Some(&units), 5, None).0;
        let times = |i: usize| weights[i] as usize;
        let name = |i: usize| table.categorical(0).dictionary.get(table.categorical(0).codes[i] as usize);
        let names: Vec<Option<&str>> =
            (0..600).flat_map(|i| std::iter::repeat_n(name(i).map(String::as_str), times(i))).collect();
        let (long, long_labels) = (column(&names), repeat(&labels, times));
        let all: Vec<u32> = (0..names.len() as u32).collect();
        let repeated = TargetEncoding::fit(long.categorical(0), &long_labels, &all, None, 5, None).0;

        // Rows go into folds by their position, and so repeated ones into others; the sums are those of half a unit each.
        let halves = |tally: Tally| Tally {
            rows: tally.rows * WEIGHED_ROW / 2,
            positives: tally.positives * WEIGHED_ROW / 2,
        };
        assert_eq!(weighed.names, repeated.names);
        assert_eq!(weighed.all, halves(repeated.all));
        assert_eq!(Tally::of(&weighed.missing), halves(Tally::of(&repeated.missing)));
        for ((name, of_weighed), of_repeated) in weighed.names.iter().zip(&weighed.folds).zip(&repeated.folds)
        {
            let counts = Tally::of(of_repeated);
            assert_eq!(Tally::of(of_weighed), halves(counts), "{name}");
            // Ten rows of mean weight are twenty of those repeated.
            let (prior, positives) = (repeated.all.share(), counts.positives as f64);
            let odds = (positives + 20.0 * prior) / (counts.rows as f64 - positives + 20.0 * (1.0 - prior));
            assert!((f64::from(weighed.log_odds(Some(name))) - odds.ln()).abs() < 1e-6, "{name}");
        }
    }

    fn repeat(labels: &[bool], times: impl Fn(usize) -> usize) -> Vec<bool> {
        labels.iter().enumerate().flat_map(|(i, &label)| std::iter::repeat_n(label, times(i))).collect()
    }

    #[test]
    fn scores_of_training_rows_are_by_the_weights_of_the_other_folds() {
        let (table, labels, mut weights) = weighed_rows();
        weights.iter_mut().enumerate().for_each(|(i, weight)| *weight *= 1.0 + (i % 7) as f64 / 3.0);
        let rows: Vec<u32> = (0..600).filter(|row| row % 5 != 2).collect();
        let codes = &table.categorical(0).codes;
        let units = row_units(&weights, &rows);
        let (encoding, scores) =
            TargetEncoding::fit(table.categorical(0), &labels, &rows, Some(&units), 5, None);
        let weight = |row: &u32| weights[*row as usize];
        let mean = rows.iter().map(weight).sum::<f64>() / rows.len() as f64;
        // Rows and positives, in rows of mean weight.
        let counts = |of: &dyn Fn(u32) -> bool| {
            let these = || rows.iter().filter(|row| of(**row));
            let positives = these().filter(|row| labels[**row as usize]).map(weight).sum::<f64>();
            (these().map(weight).sum::<f64>() / mean, positives / mean)
        };
        let (all, positives) = counts(&|_| true);
        let prior = positives / all;
        let expected = |row: u32| {
            let category = codes[row as usize];
            let others = |r: u32| codes[r as usize] == category && fold(r, 5) != fold(row, 5);
            match counts(&others) {
                (rows, _) if rows < 2.0 => (prior / (1.0 - prior)).ln(),
                (rows, p) => ((p + 10.0 * prior) / (rows - p + 10.0 * (1.0 - prior))).ln(),
            }
        };
        // Numbers of single precision, of counts that are rounded to 2^-21 of a row.
        for &row in &rows {
            let code = (codes[row as usize] as usize).min(scores.len() - 1);
            let found = encoding.scale.value(f64::from(scores[code][fold(row, 5)]));
            assert!((found - expected(row)).abs() < 1e-5, "{row}: {found} {}", expected(row));
        }
        let moment = |of: &dyn Fn(f64) -> f64| {
            rows.iter().map(|row| weight(row) / mean * of(expected(*row))).sum::<f64>() / rows.len() as f64
        };
        let centre = moment(&|v| v);
        let deviation = moment(&|v| (v - centre).powi(2)).sqrt();
        assert!((encoding.scale.mean() - centre).abs() < 1e-5, "{centre}");
        assert!((encoding.scale.inverse() * deviation - 1.0).abs() < 1e-4, "{deviation}");
    }

    #[test]
    fn weights_may_be_equal_or_far_apart() {
        let (table, labels, _) = weighed_rows();
        let rows: Vec<u32> = (0..600).filter(|row| row % 4 != 1).collect();
        let fit =
            |units: Option<&[u64]>| TargetEncoding::fit(table.categorical(0), &labels, &rows, units, 5, None);
        let (encoding, scores) = fit(None);
        for weight in [5e-324, 0.1, 3.0, f64::MAX] {
            let units = row_units(&[weight; 600], &rows);
            assert!(units.iter().all(|&units| units == WEIGHED_ROW), "{weight}");
            let weighed = fit(Some(&units));
            assert!(weighed.1 == scores && weighed.0.scale == encoding.scale, "{weight}");
            assert_eq!(weighed.0.score(Some("k7")), encoding.score(Some("k7")));
        }
        assert_eq!(row_units(&[1e300, 0.0, 1e-300], &[0, 2]), [2 * WEIGHED_ROW, 1]);
        assert_eq!(row_units(&[5e-324, 1.5e-323], &[0, 1]), [WEIGHED_ROW / 2, WEIGHED_ROW * 3 / 2]);
        // One class, then one row, has all the weight there is.
        for is_heavy in [&|row: usize| labels[row], &|row: usize| row == 6] as [&dyn Fn(usize) -> bool; 2] {
            for (heavy, light) in [(1e300, 1e-300), (f64::MAX, 5e-324)] {
                let weights: Vec<f64> =
                    (0..600).map(|row| if is_heavy(row) { heavy } else { light }).collect();
                let (encoding, scores) = fit(Some(&row_units(&weights, &rows)));
                assert!(encoding.is_valid(), "{encoding:?}");
                assert!(scores.iter().flatten().all(|score| score.is_finite()));
                assert!(
                    [None, Some("k7"), Some("unseen")].iter().all(|name| encoding.score(*name).is_finite())
                );
            }
        }
    }

    #[test]
    fn counts_that_contradict_each_other_are_not_valid() {
        let (table, labels, weights) = weighed_rows();
        let rows: Vec<u32> = (0..600).collect();
        let units = row_units(&weights, &rows);
        for units in [None, Some(&units[..])] {
            let valid = TargetEncoding::fit(table.categorical(0), &labels, &rows, units, 5, None).0;
            let valid_but = |change: fn(&mut TargetEncoding)| {
                let mut changed = valid.clone();
                change(&mut changed);
                changed.is_valid()
            };
            assert!(valid_but(|_| {}));
            let changes: [fn(&mut TargetEncoding); 8] = [
                |e| e.units_of_row = 0,
                |e| e.units_of_row += 1,
                |e| e.units_of_row = u64::MAX,
                |e| e.all.rows += 1,
                |e| e.folds[0][1].rows = u64::MAX,
                |e| e.missing[2].positives = e.missing[2].rows + 1,
                |e| (e.complete, e.all.rows) = (false, e.all.rows / 2),
                |e| (e.complete, e.all.rows) = (false, (e.units_of_row + 1) << 29),
            ];
            let valid: Vec<bool> = changes.map(valid_but).to_vec();
            assert_eq!(valid, [false; 8]);
        }
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
