//! Categories as numbers: an index by frequency, or a column each.

use super::rows::BLOCK;
use crate::Error;
use crate::encode::frequent;
use crate::encode::one_hot::OneHotEncoding;
use ndarray::{Array2, ArrayViewMut2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Rows below which another thread is not worth it.
const LEAST_ROWS: usize = 16_384;

/// What is done with a category that was not there to learn from, and with a missing one (Spark's `handleInvalid`).
///
/// ```
/// use tidemill_ml::preprocess::{IndexedStrings, StringIndexer, StringIndexerParams, Unseen};
///
/// let params = StringIndexerParams { unseen: Unseen::Skip };
/// let indexer = StringIndexer::fit(params, &[Some("b"), Some("a"), Some("b")])?;
/// let found = indexer.transform(&[Some("a"), Some("new"), Some("b")])?;
/// assert_eq!(found, IndexedStrings { indices: vec![1, 0], kept: vec![0, 2] });
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// It is an error.
    #[default]
    Error,
    /// Its row is left out.
    Skip,
    /// It has the index after the last.
    Keep,
}

/// Settings of a string indexer.
///
/// ```
/// use tidemill_ml::preprocess::{IndexedStrings, StringIndexer, StringIndexerParams, Unseen};
///
/// let params = StringIndexerParams { unseen: Unseen::Skip };
/// let indexer = StringIndexer::fit(params, &[Some("b"), Some("a"), Some("b")])?;
/// let found = indexer.transform(&[Some("a"), Some("new"), Some("b")])?;
/// assert_eq!(found, IndexedStrings { indices: vec![1, 0], kept: vec![0, 2] });
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct StringIndexerParams {
    /// What is done with other categories and missing ones.
    pub unseen: Unseen,
}

/// Categories by frequency: 0 is the most frequent, ties are by name, as Spark's StringIndexer (`frequencyDesc`).
///
/// ```
/// use tidemill_ml::preprocess::{IndexedStrings, StringIndexer, StringIndexerParams, Unseen};
///
/// let params = StringIndexerParams { unseen: Unseen::Skip };
/// let indexer = StringIndexer::fit(params, &[Some("b"), Some("a"), Some("b")])?;
/// let found = indexer.transform(&[Some("a"), Some("new"), Some("b")])?;
/// assert_eq!(found, IndexedStrings { indices: vec![1, 0], kept: vec![0, 2] });
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StringIndexer {
    params: StringIndexerParams,
    labels: Vec<String>,
    /// How often each occurs.
    counts: Vec<u64>,
}

/// Indices, and the positions they are of.
///
/// ```
/// use tidemill_ml::preprocess::{IndexedStrings, StringIndexer, StringIndexerParams, Unseen};
///
/// let params = StringIndexerParams { unseen: Unseen::Skip };
/// let indexer = StringIndexer::fit(params, &[Some("b"), Some("a"), Some("b")])?;
/// let found = indexer.transform(&[Some("a"), Some("new"), Some("b")])?;
/// assert_eq!(found, IndexedStrings { indices: vec![1, 0], kept: vec![0, 2] });
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedStrings {
    /// An index for each kept value.
    pub indices: Vec<u32>,
    /// Positions of the kept values; all, unless other categories are skipped.
    pub kept: Vec<usize>,
}

/// How often each category occurs.
fn counts<'a>(values: &[Option<&'a str>]) -> HashMap<&'a str, u64> {
    let mut counts = HashMap::new();
    values.iter().flatten().for_each(|value| *counts.entry(*value).or_default() += 1);
    counts
}

/// Categories and how often they occur, by frequency, ties by name: those known before, and these.
fn by_frequency<'a>(
    before: impl Iterator<Item = (&'a String, &'a u64)>,
    values: &[Option<&'a str>],
) -> (Vec<String>, Vec<u64>) {
    let merge = |mut all: HashMap<&'a str, u64>, of: HashMap<&'a str, u64>| {
        for (name, count) in of {
            let sum = all.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
        all
    };
    // Whole numbers: the same for any parts, of which each thread has one.
    let part = values.len().div_ceil(rayon::current_num_threads()).max(LEAST_ROWS);
    let parts: Vec<HashMap<&str, u64>> = values.par_chunks(part).map(counts).collect();
    let known = before.map(|(name, &count)| (name.as_str(), count)).collect();
    let counts = parts.into_iter().fold(known, merge);
    let mut sorted: Vec<(&str, u64)> = counts.into_iter().collect();
    sorted.sort_unstable_by(frequent::by_frequency);
    sorted.into_iter().map(|(name, count)| (name.to_owned(), count)).unzip()
}

fn check_values(values: &[Option<&str>]) -> Result<(), Error> {
    // An index has 32 bits, and one more than the last is in use.
    match values.len() {
        0 => Err(Error::NoRows),
        rows if rows >= u32::MAX as usize => Err(Error::TableFull { limit: u32::MAX as usize - 1 }),
        _ => Ok(()),
    }
}

impl StringIndexer {
    /// Learns from values; missing ones (`None`) have no index.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`].
    pub fn fit(params: StringIndexerParams, values: &[Option<&str>]) -> Result<StringIndexer, Error> {
        check_values(values)?;
        let (labels, counts) = by_frequency(std::iter::empty(), values);
        Ok(StringIndexer { params, labels, counts })
    }

    /// The index after more values: the same as of all at once, so categories may have other indices than before.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`].
    pub fn partial_fit(&self, values: &[Option<&str>]) -> Result<StringIndexer, Error> {
        check_values(values)?;
        let (labels, counts) = by_frequency(self.labels.iter().zip(&self.counts), values);
        Ok(StringIndexer { params: self.params, labels, counts })
    }

    /// The categories, in the order of their indices.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The index of each value.
    ///
    /// # Errors
    ///
    /// [`Error::UnseenCategory`] for the first other or missing one, where that is asked for.
    pub fn transform(&self, values: &[Option<&str>]) -> Result<IndexedStrings, Error> {
        let index: HashMap<&str, u32> = self.labels.iter().map(String::as_str).zip(0u32..).collect();
        let mut found = IndexedStrings { indices: Vec::new(), kept: Vec::new() };
        for (position, value) in values.iter().enumerate() {
            let known = value.and_then(|value| index.get(value).copied());
            let index = match (known, self.params.unseen) {
                (Some(index), _) => index,
                (None, Unseen::Keep) => self.labels.len() as u32,
                (None, Unseen::Skip) => continue,
                (None, Unseen::Error) => {
                    let value = value.map_or("a missing value".to_owned(), |value| format!("{value:?}"));
                    return Err(Error::UnseenCategory { value, position });
                }
            };
            found.indices.push(index);
            found.kept.push(position);
        }
        Ok(found)
    }

    pub(super) fn is_valid(&self) -> bool {
        let mut sorted: Vec<&String> = self.labels.iter().collect();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] < pair[1]) && self.labels.len() == self.counts.len()
    }
}

/// Settings of a one-hot encoder.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{OneHotEncoder, OneHotEncoderParams};
///
/// let params = OneHotEncoderParams { max_categories: 2, ..OneHotEncoderParams::default() };
/// let encoder = OneHotEncoder::fit(params, &[Some("b"), Some("a"), Some("b"), Some("c")])?;
/// assert_eq!(encoder.categories(), ["a", "b"]);
/// assert_eq!(encoder.transform(&[Some("b"), Some("c")])?, array![[0.0, 1.0], [0.0, 0.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct OneHotEncoderParams {
    /// Categories that have a column, the most frequent ones (ties by name); 1 to 65,536.
    pub max_categories: usize,
    /// Whether an unseen category is an error; else its row is all 0.
    pub error_on_unseen: bool,
}

impl Default for OneHotEncoderParams {
    fn default() -> Self {
        OneHotEncoderParams { max_categories: 1_000, error_on_unseen: false }
    }
}

impl OneHotEncoderParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        if (1..=65_536).contains(&self.max_categories) {
            return Ok(());
        }
        let value = self.max_categories.to_string();
        Err(Error::BadParameter { name: "max_categories", value, expected: "from 1 to 65536" })
    }
}

/// A column of 0 and 1 a category, in order of the names. Categories beyond the most frequent ones, missing values, and
/// unseen categories unless they are an error, are 0 in every column.
///
/// ```
/// use ndarray::array;
/// use tidemill_ml::preprocess::{OneHotEncoder, OneHotEncoderParams};
///
/// let params = OneHotEncoderParams { max_categories: 2, ..OneHotEncoderParams::default() };
/// let encoder = OneHotEncoder::fit(params, &[Some("b"), Some("a"), Some("b"), Some("c")])?;
/// assert_eq!(encoder.categories(), ["a", "b"]);
/// assert_eq!(encoder.transform(&[Some("b"), Some("c")])?, array![[0.0, 1.0], [0.0, 0.0]]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneHotEncoder {
    params: OneHotEncoderParams,
    columns: OneHotEncoding,
    /// Those learned from that have no column; ascending.
    rarer: Vec<String>,
    /// How often each category occurs, then each of the rarer ones.
    counts: Vec<u64>,
}

impl OneHotEncoder {
    /// Learns from values; missing ones are `None`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`] and [`Error::BadParameter`].
    pub fn fit(params: OneHotEncoderParams, values: &[Option<&str>]) -> Result<OneHotEncoder, Error> {
        check_values(values)?;
        params.validate()?;
        Ok(OneHotEncoder::of(params, by_frequency(std::iter::empty(), values)))
    }

    /// `known`: categories by frequency, and how often they occur.
    fn of(params: OneHotEncoderParams, known: (Vec<String>, Vec<u64>)) -> OneHotEncoder {
        let mut known: Vec<(String, u64)> = known.0.into_iter().zip(known.1).collect();
        let mut rarer = known.split_off(params.max_categories.min(known.len()));
        known.sort_unstable();
        rarer.sort_unstable();
        let (categories, mut counts): (Vec<String>, Vec<u64>) = known.into_iter().unzip();
        let (rarer, of_rarer): (Vec<String>, Vec<u64>) = rarer.into_iter().unzip();
        counts.extend(of_rarer);
        OneHotEncoder { params, columns: OneHotEncoding::of(categories), rarer, counts }
    }

    /// The encoder after more values: the same as of all at once, so columns may come, move and go.
    ///
    /// # Errors
    ///
    /// [`Error::NoRows`].
    pub fn partial_fit(&self, values: &[Option<&str>]) -> Result<OneHotEncoder, Error> {
        check_values(values)?;
        let known = self.categories().iter().chain(&self.rarer).zip(&self.counts);
        Ok(OneHotEncoder::of(self.params, by_frequency(known, values)))
    }

    /// The category of each column.
    pub fn categories(&self) -> &[String] {
        self.columns.names()
    }

    /// Whether an unseen category is an error.
    pub(crate) fn refuses_unseen(&self) -> bool {
        self.params.error_on_unseen
    }

    /// A row a value. Shape: values × categories.
    ///
    /// # Errors
    ///
    /// [`Error::UnseenCategory`] where that is asked for; [`Error::TableFull`] for more cells than memory can address.
    pub fn transform(&self, values: &[Option<&str>]) -> Result<Array2<f64>, Error> {
        let width = self.categories().len();
        let cells = values.len().checked_mul(width).filter(|cells| *cells < isize::MAX as usize / 16);
        if cells.is_none() {
            return Err(Error::TableFull { limit: isize::MAX as usize / 16 / width.max(1) });
        }
        let mut out = Array2::zeros((values.len(), width));
        let columns = self.categories().iter().zip((0..).map(Some));
        let places: HashMap<&str, Option<usize>> = columns
            .chain(self.rarer.iter().zip(std::iter::repeat(None)))
            .map(|(name, at)| (name.as_str(), at))
            .collect();
        let of_block = |(block, (values, mut out)): (usize, (&[Option<&str>], ArrayViewMut2<'_, f64>))| {
            for (row, value) in values.iter().enumerate() {
                let Some(name) = value else { continue };
                match places.get(name) {
                    Some(Some(column)) => out[(row, *column)] = 1.0,
                    None if self.params.error_on_unseen => {
                        let position = block * BLOCK + row;
                        return Err(Error::UnseenCategory { value: format!("{name:?}"), position });
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        let blocks: Vec<_> = values.chunks(BLOCK).zip(out.axis_chunks_iter_mut(Axis(0), BLOCK)).collect();
        // Collected before, so that the error is that of the first.
        let done: Vec<Result<(), Error>> = blocks.into_par_iter().enumerate().map(of_block).collect();
        done.into_iter().collect::<Result<(), Error>>()?;
        Ok(out)
    }

    pub(super) fn is_valid(&self) -> bool {
        self.columns.is_valid()
            && self.rarer.windows(2).all(|pair| pair[0] < pair[1])
            && self.categories().len() + self.rarer.len() == self.counts.len()
            && (1..=65_536).contains(&self.params.max_categories)
    }
}
