//! Categories as their share of positives, cross-fitted.

use crate::Error;
use crate::encode::frequent::by_frequency;
use crate::encode::tally::{Tally, fold_of};
use crate::encode::target::{FOLDS, SMOOTHING};
use crate::file::MOST_ROWS;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Categories whose counts are kept from batch to batch.
const MOST_CATEGORIES: usize = 65_536;

/// Settings of a target encoder.
///
/// ```
/// use tidemill_ml::preprocess::{TargetEncoder, TargetEncoderParams};
///
/// let params = TargetEncoderParams { smoothing: 0.0, ..TargetEncoderParams::default() };
/// let values = [Some("a"), Some("a"), Some("b"), Some("b")];
/// let encoder = TargetEncoder::fit(params, &values, &[true, false, true, true])?;
/// assert_eq!(encoder.transform(&[Some("a"), Some("b"), Some("new")]), [0.5, 1.0, 0.75]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TargetEncoderParams {
    /// Rows of the share of all rows that are mixed into a category's (scikit-learn's `smooth`), 0 or more.
    pub smoothing: f64,
    /// Folds of the cross-fitting, 2 to 100.
    pub folds: u32,
}

impl Default for TargetEncoderParams {
    fn default() -> Self {
        TargetEncoderParams { smoothing: SMOOTHING, folds: FOLDS as u32 }
    }
}

impl TargetEncoderParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            let value = self.smoothing.to_string();
            return Err(Error::BadParameter { name: "smoothing", value, expected: "0 or more" });
        }
        if !(2..=100).contains(&self.folds) {
            let value = self.folds.to_string();
            return Err(Error::BadParameter { name: "folds", value, expected: "from 2 to 100" });
        }
        Ok(())
    }
}

/// (positives + smoothing · share) / (rows + smoothing) of each category, `share` being that of all rows (Micci-Barreca
/// 2001). Missing values are a category; an unseen one has `share`.
///
/// ```
/// use tidemill_ml::preprocess::{TargetEncoder, TargetEncoderParams};
///
/// let params = TargetEncoderParams { smoothing: 0.0, ..TargetEncoderParams::default() };
/// let values = [Some("a"), Some("a"), Some("b"), Some("b")];
/// let encoder = TargetEncoder::fit(params, &values, &[true, false, true, true])?;
/// assert_eq!(encoder.transform(&[Some("a"), Some("b"), Some("new")]), [0.5, 1.0, 0.75]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetEncoder {
    pub(crate) params: TargetEncoderParams,
    /// `None` is missing.
    categories: BTreeMap<Option<String>, Tally>,
    all: Tally,
}

impl TargetEncoder {
    /// Learns from values and their labels.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`], [`Error::LengthMismatch`], [`Error::BadParameter`].
    pub fn fit(
        params: TargetEncoderParams,
        values: &[Option<&str>],
        labels: &[bool],
    ) -> Result<TargetEncoder, Error> {
        params.validate()?;
        TargetEncoder { params, categories: BTreeMap::new(), all: Tally::default() }
            .partial_fit(values, labels)
    }

    /// The encoder after more rows. It keeps the counts of the 65,536 categories that have the most rows, of equals those
    /// whose names come first; the others count as unseen, and begin at nothing when they come again. The share of all rows is of
    /// all of them. The rows that it began with have all of their categories until then.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`] and [`Error::LengthMismatch`].
    pub fn partial_fit(&self, values: &[Option<&str>], labels: &[bool]) -> Result<TargetEncoder, Error> {
        check(values, labels)?;
        let mut more = self.clone();
        let mut tallies: HashMap<Option<&str>, Tally> = HashMap::new();
        values.iter().zip(labels).for_each(|(value, label)| add(tallies.entry(*value).or_default(), *label));
        for (value, tally) in tallies {
            for sum in [more.categories.entry(value.map(str::to_owned)).or_default(), &mut more.all] {
                *sum = sum.plus(tally);
            }
        }
        if self.all.rows > 0 {
            more.forget_rare(MOST_CATEGORIES);
        }
        Ok(more)
    }

    /// Keeps so many categories, beside that of missing values.
    fn forget_rare(&mut self, most: usize) {
        let named = self.categories.iter().filter_map(|(name, tally)| Some((name.as_ref()?, tally.rows)));
        let mut named: Vec<(&String, u64)> = named.collect();
        if named.len() <= most {
            return;
        }
        named.select_nth_unstable_by(most, by_frequency);
        let rare: HashSet<Option<String>> = named.drain(most..).map(|(name, _)| Some(name.clone())).collect();
        self.categories.retain(|name, _| !rare.contains(name));
    }

    /// Learns from values, and encodes each of them by the rows of the other folds only: what a model trains on must not
    /// have seen its own label. The fold of a row is a hash of its position and `seed`. Where the other folds have no rows,
    /// the share is 0.5. Shape: as `values`.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](TargetEncoder::fit).
    pub fn fit_transform(
        params: TargetEncoderParams,
        values: &[Option<&str>],
        labels: &[bool],
        seed: u64,
    ) -> Result<(TargetEncoder, Vec<f64>), Error> {
        let whole = TargetEncoder::fit(params, values, labels)?;
        let fold = |position: usize| fold_of(position as u64, seed, u64::from(params.folds)) as u8;
        let folds: Vec<u8> = (0..values.len()).map(fold).collect();
        let mut of_folds = vec![Tally::default(); params.folds as usize];
        folds.iter().zip(labels).for_each(|(fold, label)| add(&mut of_folds[usize::from(*fold)], *label));
        let mut encoded = vec![0.0; values.len()];
        for positions in by_category(values) {
            let mut parts = vec![Tally::default(); params.folds as usize];
            positions.iter().for_each(|&at| add(&mut parts[usize::from(folds[at])], labels[at]));
            let category = Tally::of(&parts);
            let others = parts
                .iter()
                .zip(&of_folds)
                .map(|(part, of_fold)| whole.encode(category.minus(*part), whole.all.minus(*of_fold)));
            let shares: Vec<f64> = others.collect();
            positions.iter().for_each(|&at| encoded[at] = shares[usize::from(folds[at])]);
        }
        Ok((whole, encoded))
    }

    /// The share of each value. Shape: as `values`.
    pub fn transform(&self, values: &[Option<&str>]) -> Vec<f64> {
        let by_name: HashMap<Option<&str>, Tally> =
            self.categories.iter().map(|(name, tally)| (name.as_deref(), *tally)).collect();
        let encode = |value| self.encode(by_name.get(value).copied().unwrap_or_default(), self.all);
        values.iter().map(encode).collect()
    }

    /// The share of each category, by name, of a missing value, and of any other.
    pub(crate) fn shares(&self) -> (Vec<(&str, f64)>, f64, f64) {
        let share = |tally: Option<&Tally>| self.encode(tally.copied().unwrap_or_default(), self.all);
        let each = self.categories.iter();
        let named = each.filter_map(|(name, tally)| Some((name.as_deref()?, share(Some(tally)))));
        (named.collect(), share(self.categories.get(&None)), share(None))
    }

    fn encode(&self, category: Tally, all: Tally) -> f64 {
        let prior = if all.rows == 0 { 0.5 } else { all.share() };
        let [positives, negatives] = category.smoothed(1, prior, self.params.smoothing);
        let rows = positives + negatives;
        if rows == 0.0 { prior } else { positives / rows }
    }

    pub(super) fn is_valid(&self) -> bool {
        let tallies: Vec<Tally> = self.categories.values().copied().collect();
        let kept = Tally::of(&tallies);
        self.params.smoothing >= 0.0
            && self.params.smoothing.is_finite()
            && tallies.iter().all(|tally| tally.positives <= tally.rows)
            && (kept.rows <= self.all.rows && kept.positives <= self.all.positives)
            && self.all.positives <= self.all.rows
            && self.all.rows <= MOST_ROWS
    }
}

fn add(tally: &mut Tally, label: bool) {
    *tally = tally.plus(Tally::one(label));
}

/// The positions of each category's rows.
fn by_category(values: &[Option<&str>]) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<Option<&str>, usize> = HashMap::new();
    let mut positions: Vec<Vec<usize>> = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let number = *numbers.entry(*value).or_insert(positions.len());
        match positions.get_mut(number) {
            Some(of) => of.push(at),
            None => positions.push(vec![at]),
        }
    }
    positions
}

fn check(values: &[Option<&str>], labels: &[bool]) -> Result<(), Error> {
    match values.len() {
        0 => Err(Error::NoRows),
        expected if labels.len() != expected => {
            Err(Error::LengthMismatch { what: "labels", expected, found: labels.len() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_batches_leave_the_categories_of_the_most_rows() {
        let names: Vec<String> = (0..MOST_CATEGORIES + 300).map(|i| format!("c{i:06}")).collect();
        let values: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).chain([None]).collect();
        let first = TargetEncoder::fit(TargetEncoderParams::default(), &values, &vec![true; values.len()]);
        let first = first.unwrap();
        assert_eq!(first.categories.len(), MOST_CATEGORIES + 301, "the rows at hand are all counted");
        // The last name has a second row now, so one with a single row has to go for it.
        let last = names.last().map(String::as_str);
        let mut more = first.partial_fit(&[last], &[false]).unwrap();
        assert_eq!(more.categories.len(), MOST_CATEGORIES + 1, "missing values beside them");
        let kept =
            |encoder: &TargetEncoder, name: &str| encoder.categories.contains_key(&Some(name.to_owned()));
        assert!(
            kept(&more, last.unwrap()) && kept(&more, &names[0]) && kept(&more, &names[MOST_CATEGORIES - 2])
        );
        assert!(!kept(&more, &names[MOST_CATEGORIES - 1]) && more.categories.contains_key(&None));
        assert_eq!(more.all, Tally { rows: first.all.rows + 1, positives: first.all.positives });
        assert!(more.is_valid());
        // Names that come once each do not make it grow.
        for batch in 0..3 {
            let names: Vec<String> = (0..9_000).map(|i| format!("new {batch} {i}")).collect();
            let values: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
            more = more.partial_fit(&values, &vec![true; values.len()]).unwrap();
            assert_eq!(more.categories.len(), MOST_CATEGORIES + 1);
        }
    }
}
