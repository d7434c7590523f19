//! Every step that there is: one list, which job files, help and errors read.

use super::Transform;
use crate::Error;
use crate::preprocess::{ImputeStrategy, OutlierAction};
use serde::{Serialize, Serializer};

/// The name of a step, as job files have it.
///
/// ```
/// use tidemill_ml::StepKind;
///
/// assert_eq!("min_max".parse(), Ok(StepKind::MinMax));
/// assert_eq!(StepKind::MinMax.name(), "min_max");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepKind {
    // In the order of `STEPS`.
    /// A value for each missing one.
    Impute,
    /// Outliers become the nearer bound.
    Cap,
    /// Rows with an outlier are not learned from.
    Drop,
    /// Standard scores.
    Standard,
    /// A range onto another.
    MinMax,
    /// Distances from the median.
    Robust,
    /// Rows of length 1.
    L2,
    /// Columns of 0 and 1.
    OneHot,
    /// Shares of positives.
    Target,
    /// Principal components.
    Pca,
    /// Rows that an isolation forest sets apart are not learned from.
    IsolationForest,
    /// Leaves of a forest.
    ForestLeaves,
}

/// What a step takes: it leaves other columns as they are.
///
/// ```
/// use tidemill_ml::{StepKind, Takes};
///
/// assert_eq!(StepKind::OneHot.info().takes, Takes::Texts);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Numeric columns.
    Numbers,
    /// Text columns.
    Texts,
}

/// One line of [`STEPS`].
///
/// ```
/// let standard = tidemill_ml::StepKind::Standard.info();
/// assert!(standard.learns_online && standard.name == "standard");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StepInfo {
    /// Which one it is.
    pub kind: StepKind,
    /// Its name in job files and errors.
    pub name: &'static str,
    /// What columns it takes.
    pub takes: Takes,
    /// Whether it can learn from new rows alone; [`Transform::learns_online`] says it of one with its settings.
    pub learns_online: bool,
    /// What it does, in a few words.
    pub summary: &'static str,
}

const fn of(
    kind: StepKind,
    name: &'static str,
    takes: Takes,
    learns_online: bool,
    summary: &'static str,
) -> StepInfo {
    StepInfo { kind, name, takes, learns_online, summary }
}

const STEP_COUNT: usize = 12;

/// Every step that a pipeline may name.
///
/// ```
/// use tidemill_ml::{STEPS, Takes};
///
/// let of_texts: Vec<&str> = STEPS.iter().filter(|of| of.takes == Takes::Texts).map(|of| of.name).collect();
/// assert_eq!(of_texts, ["one_hot", "target"]);
/// ```
pub const STEPS: [StepInfo; STEP_COUNT] = {
    use StepKind::*;
    use Takes::{Numbers, Texts};
    [
        of(Impute, "impute", Numbers, true, "a value for each missing one"),
        of(Cap, "cap", Numbers, true, "values outside of Tukey's fences become the nearer fence"),
        of(Drop, "drop", Numbers, true, "rows with a value outside of Tukey's fences are not learned from"),
        of(Standard, "standard", Numbers, true, "less the mean, by the standard deviation"),
        of(MinMax, "min_max", Numbers, true, "from 0 at the least to 1 at the greatest"),
        of(Robust, "robust", Numbers, true, "less the median, by the distance of the quartiles"),
        of(L2, "l2", Numbers, true, "each row's values by the root of the sum of their squares"),
        of(OneHot, "one_hot", Texts, false, "a column of 0 and 1 for each category"),
        of(Target, "target", Texts, true, "the share of positives in the category, out of fold"),
        of(Pca, "pca", Numbers, false, "scores on the principal components, in place of the columns"),
        of(
            IsolationForest,
            "isolation_forest",
            Numbers,
            false,
            "rows that random splits set apart early are not learned from",
        ),
        of(
            ForestLeaves,
            "forest_leaves",
            Numbers,
            false,
            "the leaf in each tree of a forest fitted to the target, in place of the columns",
        ),
    ]
};

impl StepKind {
    /// Its line of the list.
    pub fn info(self) -> &'static StepInfo {
        const LIST: &[StepInfo; STEP_COUNT] = &STEPS;
        &LIST[self as usize]
    }

    /// Its name in job files and errors.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

impl std::str::FromStr for StepKind {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::NoSuchStep`].
    fn from_str(name: &str) -> Result<StepKind, Error> {
        let found = STEPS.iter().find(|of| of.name == name);
        let near = || nearest(name, STEPS.iter().map(|of| of.name));
        found.map(|of| of.kind).ok_or_else(|| Error::NoSuchStep { name: name.to_owned(), near: near() })
    }
}

impl Serialize for StepKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The word that is most like one, if any is like it at all.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (strsim::jaro_winkler(word, known), known)).filter(|(like, _)| *like > 0.75);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

impl Transform {
    /// Which step it is.
    pub fn kind(&self) -> StepKind {
        match self {
            Transform::Impute(_) => StepKind::Impute,
            Transform::Outliers(params) => match params.action {
                OutlierAction::Cap => StepKind::Cap,
                OutlierAction::Drop => StepKind::Drop,
            },
            Transform::Standard(_) => StepKind::Standard,
            Transform::MinMax(_) => StepKind::MinMax,
            Transform::Robust(_) => StepKind::Robust,
            Transform::L2 => StepKind::L2,
            Transform::OneHot(_) => StepKind::OneHot,
            Transform::Target(_) => StepKind::Target,
            Transform::Pca(_) => StepKind::Pca,
            Transform::IsolationForest(_) => StepKind::IsolationForest,
            Transform::ForestLeaves(_) => StepKind::ForestLeaves,
        }
    }

    /// Whether it can learn from new rows alone.
    pub fn learns_online(&self) -> bool {
        match self {
            // Every value would have to be counted.
            Transform::Impute(params) if params.strategy == ImputeStrategy::MostFrequent => false,
            transform => transform.kind().info().learns_online,
        }
    }

    /// Whether it learns from the target, also where what is after it has none.
    pub(super) fn takes_target(&self) -> bool {
        matches!(self, Transform::Target(_) | Transform::ForestLeaves(_))
    }

    /// Checks the settings, as far as it can be done without rows.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`] for the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Transform::Impute(params) => params.validate(),
            Transform::Outliers(params) => params.validate(),
            Transform::MinMax(params) => params.validate(),
            Transform::OneHot(params) => params.validate(),
            Transform::Target(params) => params.validate(),
            Transform::Pca(params) => params.validate(),
            Transform::IsolationForest(params) => params.validate(),
            Transform::ForestLeaves(params) => params.validate(),
            Transform::Standard(_) | Transform::Robust(_) | Transform::L2 => Ok(()),
        }
    }
}
