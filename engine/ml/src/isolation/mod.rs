//! Isolation forest: rows that random splits set apart after few of them are outliers (Liu, Ting, Zhou 2008, "Isolation
//! Forest").
//!
//! ```text
//! a few drawn rows ──random splits──> tree   (as many as asked for, each of rows of its own)
//! row ──walk──> splits until it is alone, mean over the trees ──> score, 0 to 1
//! ```

mod grow;
mod ranked;
mod walk;

use crate::file::{self, Kind, MOST_ROWS};
use crate::seed::derive;
use crate::table::check_names;
use crate::{Error, FeatureTable};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walk::Tree;
pub(crate) use walk::{Place as TreePlace, Tree as IsolationTree};

/// A score above this is an outlier's, where no share of outliers is said: that of rows that a split sets apart no sooner
/// and no later than one of rows without any order. What sums over trees round is none.
const EVEN: f64 = 0.5 + 1e-12;

/// Rows that a tree may be of, at most.
const MOST_SAMPLES: u32 = 65_536;

/// Settings of an isolation forest.
///
/// ```
/// use tidemill_ml::{FeatureTable, IsolationForest, IsolationForestParams};
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, (0..100).map(|i| if i == 7 { 5_000.0 } else { f64::from(i % 10) }));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..100).collect();
/// let params = IsolationForestParams { contamination: Some(0.01), ..IsolationForestParams::default() };
/// let forest = IsolationForest::fit(&params, &table, &rows, 42)?;
/// assert_eq!(forest.outliers(&table, &[6, 7, 8])?, [false, true, false]);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationForestParams {
    /// Trees, 1 to 10,000. Of 100, as scikit-learn has it, the seed decides much of the order of rows of many columns.
    pub trees: u32,
    /// Rows that a tree is of, drawn without replacement, 2 to 65,536; all where there are fewer.
    pub max_samples: u32,
    /// Share of the rows learned from that are outliers, above 0 and at most 0.5. Without it a row is one whose score is
    /// above 0.5.
    pub contamination: Option<f64>,
}

impl Default for IsolationForestParams {
    fn default() -> Self {
        IsolationForestParams { trees: 200, max_samples: 256, contamination: None }
    }
}

impl IsolationForestParams {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |name, value: String, expected| Err(Error::BadParameter { name, value, expected });
        if !(1..=10_000).contains(&self.trees) {
            return bad("trees", self.trees.to_string(), "from 1 to 10000");
        }
        if !(2..=MOST_SAMPLES).contains(&self.max_samples) {
            return bad("max_samples", self.max_samples.to_string(), "from 2 to 65536");
        }
        match self.contamination {
            Some(share) if !(share > 0.0 && share <= 0.5) => {
                bad("contamination", share.to_string(), "above 0 and at most 0.5")
            }
            _ => Ok(()),
        }
    }
}

/// How far apart rows are from others. The score of a row is 2^(-h / c), where h is the mean over the trees of the splits
/// that set it apart, and c what it is in a search tree of as many values (section 2 of the paper): near 1 for an outlier,
/// below 0.5 for a row among many alike. It is scikit-learn's `-score_samples`.
///
/// Takes numeric columns. A missing value goes to a side of a split that is drawn with it, and a column of one value is
/// never split. The same rows and seed are the same bytes for any number of threads.
///
/// ```
/// use tidemill_ml::{FeatureTable, IsolationForest, IsolationForestParams};
///
/// let mut table = FeatureTable::new(vec!["spent".into()], vec![]);
/// table.push_numeric(0, (0..100).map(|i| if i == 7 { 5_000.0 } else { f64::from(i % 10) }));
/// table.finish_append()?;
/// let rows: Vec<u32> = (0..100).collect();
/// let forest = IsolationForest::fit(&IsolationForestParams::default(), &table, &rows, 42)?;
/// let scores = forest.scores(&table, &rows)?;
/// assert!(scores[7] > 0.7 && (0..100).all(|i| i == 7 || scores[i] < 0.6));
/// assert_eq!(IsolationForest::from_bytes(&forest.to_bytes()?)?, forest);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    names: Vec<String>,
    /// Rows learned from.
    rows: u64,
    /// Rows that a tree is of.
    drawn: u32,
    /// A row of a greater score is an outlier.
    threshold: f64,
    trees: Vec<Tree>,
}

/// Splits that a search for a value that is not there takes in a search tree of so many values.
fn mean_path(values: usize) -> f64 {
    match values {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let before = n as f64 - 1.0;
            2.0 * (before.ln() + EULER_GAMMA) - 2.0 * before / n as f64
        }
    }
}

/// The limit of H(n) - ln n.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Splits that a tree of so many rows has at most one after the other.
fn depth_of(drawn: u32) -> u32 {
    drawn.max(2).next_power_of_two().trailing_zeros()
}

impl IsolationForest {
    /// Learns from these rows; any order, and a row that is there twice counts twice.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`]; [`Error::ColumnOfOtherKind`] for a text column; [`Error::NoFeatures`],
    /// [`Error::RowOutOfRange`], [`Error::NoRows`], and [`Error::TooFewRows`] of one row.
    pub fn fit(
        params: &IsolationForestParams,
        table: &FeatureTable,
        rows: &[u32],
        seed: u64,
    ) -> Result<IsolationForest, Error> {
        params.validate()?;
        if let Some(column) = table.categorical_names().first() {
            return Err(Error::ColumnOfOtherKind {
                column: column.clone(),
                kind: "text",
                expected: "numeric",
            });
        }
        if table.features() == 0 {
            return Err(Error::NoFeatures);
        }
        table.check_rows(rows)?;
        match rows.len() {
            0 => return Err(Error::NoRows),
            1 => return Err(Error::TooFewRows { rows: 1, needed: 2 }),
            _ => {}
        }
        // At most 65,536.
        let drawn = rows.len().min(params.max_samples as usize) as u32;
        let tree = |number: u32| grow::tree(table, rows, drawn, derive(seed, u64::from(number)));
        let mut forest = IsolationForest {
            names: table.numeric_names().to_vec(),
            rows: rows.len() as u64,
            drawn,
            threshold: EVEN,
            trees: (0..params.trees).into_par_iter().map(tree).collect(),
        };
        if let Some(share) = params.contamination {
            let mut scores = forest.scores(table, rows)?;
            let place = (1.0 - share) * (scores.len() as f64 - 1.0);
            let (_, low, above) = scores.select_nth_unstable_by(place as usize, f64::total_cmp);
            let low = *low;
            let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
            // Of two that are equal this is they: rows that are alike stay together.
            forest.threshold = low + (high - low) * place.fract();
        }
        Ok(forest)
    }

    /// Names of the columns, in order.
    pub fn numeric_names(&self) -> &[String] {
        &self.names
    }

    /// Rows learned from.
    pub fn training_rows(&self) -> u64 {
        self.rows
    }

    /// A row of a greater score is an outlier.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The trees, and what the sum of their paths is divided by before it is an exponent of one half.
    pub(crate) fn parts(&self) -> (&[Tree], f64) {
        (&self.trees, mean_path(self.drawn as usize) * self.trees.len() as f64)
    }

    /// The score of each of these rows, above 0 and at most 1.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureMismatch`] for other columns, and [`Error::RowOutOfRange`].
    pub fn scores(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<f64>, Error> {
        check_names("numeric", &self.names, table.numeric_names())?;
        check_names("categorical", &[], table.categorical_names())?;
        table.check_rows(rows)?;
        let mut scores = walk::paths(&self.trees, table, rows);
        let of_all = self.parts().1;
        scores.iter_mut().for_each(|sum| *sum = (-*sum / of_all).exp2());
        Ok(scores)
    }

    /// Whether each of these rows is an outlier.
    ///
    /// # Errors
    ///
    /// Those of [`scores`](IsolationForest::scores).
    pub fn outliers(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<bool>, Error> {
        Ok(self.scores(table, rows)?.into_iter().map(|score| score > self.threshold).collect())
    }

    /// The forest as a file's bytes; the same for the same.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a value could not be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(Kind::IsolationForest, self)
    }

    /// Reads what [`to_bytes`](IsolationForest::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::NotAModel`], [`Error::OtherKind`], [`Error::OtherVersion`] or [`Error::CorruptModel`].
    pub fn from_bytes(bytes: &[u8]) -> Result<IsolationForest, Error> {
        file::read(Kind::IsolationForest, bytes, IsolationForest::is_valid)
    }

    /// Whether it can be one that was fitted; a file might hold anything.
    pub(crate) fn is_valid(&self) -> bool {
        let depth = depth_of(self.drawn);
        !self.names.is_empty()
            && (2..=MOST_SAMPLES).contains(&self.drawn)
            && (u64::from(self.drawn)..=MOST_ROWS).contains(&self.rows)
            && (0.0..=1.0).contains(&self.threshold)
            && !self.trees.is_empty()
            && self.trees.iter().all(|tree| tree.is_valid(depth, self.names.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_path_is_that_of_the_paper() {
        // 2 H(n - 1) - 2 (n - 1) / n, with H(i) as ln(i) + 0.5772156649 beyond two values.
        assert_eq!([0, 1, 2].map(mean_path), [0.0, 0.0, 1.0]);
        assert!((mean_path(5) - 2.327_020_052_042_847).abs() < 1e-12);
        assert!((mean_path(256) - 10.244_770_920_119_917).abs() < 1e-11);
        assert_eq!([2, 3, 4, 5, 256, 257].map(depth_of), [1, 2, 2, 3, 8, 9]);
    }
}
