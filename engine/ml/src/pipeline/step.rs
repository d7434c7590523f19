//! One step of a pipeline: what it does, to which columns, and what it has learned.

use super::columns::{Columns, matrix, matrix_of, texts, texts_of};
use super::list::{StepKind, Takes};
use crate::preprocess::{
    ForestLeaves, ForestLeavesParams, Imputer, ImputerParams, IqrOutliers, IqrOutliersParams, MinMaxScaler,
    MinMaxScalerParams, Norm, Normalizer, OneHotEncoder, OneHotEncoderParams, Pca, PcaParams, Preprocessor,
    RobustScaler, RobustScalerParams, StandardScaler, StandardScalerParams, TargetEncoder,
    TargetEncoderParams,
};
use crate::table::NumberColumn;
use crate::{Error, FeatureTable, IsolationForest, IsolationForestParams, Target};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows that a step is done to at a time: only these are there as a matrix.
const BLOCK: usize = 16_384;

/// What a step does. Steps of numbers take numeric columns, the encoders text columns.
///
/// ```
/// use tidemill_ml::{Transform, preprocess::PcaParams};
///
/// let step = Transform::Pca(PcaParams::default()).of(&["x", "y"]);
/// assert_eq!(step.columns, ["x", "y"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transform {
    /// A value for each missing one.
    Impute(ImputerParams),
    /// Outliers are held to Tukey's fences, or training rows that have one are left out; rows that are scored never are.
    Outliers(IqrOutliersParams),
    /// Standard scores.
    Standard(StandardScalerParams),
    /// A range onto another.
    MinMax(MinMaxScalerParams),
    /// Distances from the median, in distances of the quartiles.
    Robust(RobustScalerParams),
    /// Each row's values in these columns, divided by the root of the sum of their squares.
    L2,
    /// A column of 0 and 1 for each category, `kind = theft` for `theft` of `kind`.
    OneHot(OneHotEncoderParams),
    /// The share of positives in the category; a row that is learned from is encoded by the other folds alone. Only where
    /// the target is one of two classes.
    Target(TargetEncoderParams),
    /// Scores on the principal components, `component 0` and so on, in place of the columns.
    Pca(PcaParams),
    /// Training rows that an isolation forest of these columns calls outliers are left out; rows that are scored never are.
    IsolationForest(IsolationForestParams),
    /// The leaf of each tree of a forest that is fitted to the target, one of two classes or a number: `tree 0` and so on, or
    /// `tree 0 = 3` for leaf 3 of it, in place of the columns.
    ForestLeaves(ForestLeavesParams),
}

/// A step of a [`Pipeline`](crate::Pipeline).
///
/// ```
/// use tidemill_ml::{PipelineStep, Transform};
///
/// let step: PipelineStep = Transform::L2.into();
/// assert!(step.columns.is_empty(), "all numeric columns");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineStep {
    /// What it does.
    pub transform: Transform,
    /// To which columns; none are all of the kind that it takes.
    pub columns: Vec<String>,
}

impl Transform {
    /// A step that does it to these columns.
    pub fn of(self, columns: &[&str]) -> PipelineStep {
        PipelineStep { transform: self, columns: columns.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn takes_text(&self) -> bool {
        self.kind().info().takes == Takes::Texts
    }
}

impl From<Transform> for PipelineStep {
    fn from(transform: Transform) -> PipelineStep {
        transform.of(&[])
    }
}

/// A step that has learned.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(super) struct FittedStep {
    pub(super) columns: Vec<String>,
    /// One for all numeric columns together, or one for each text column; none where rows that are scored stay as they are.
    pub(super) learned: Vec<Preprocessor>,
}

/// Rows after a step.
pub(super) struct Stepped {
    pub(super) step: FittedStep,
    pub(super) table: FeatureTable,
    /// Which rows are left; all where it is `None`.
    pub(super) kept: Option<Vec<u32>>,
}

impl PipelineStep {
    /// Its name, as job files have it.
    pub fn name(&self) -> &'static str {
        self.transform.kind().name()
    }

    /// Checks what it does, and that it names no column twice.
    ///
    /// # Errors
    ///
    /// [`Error::BadParameter`].
    pub fn validate(&self) -> Result<(), Error> {
        self.transform.validate()?;
        let repeated = (1..self.columns.len()).find(|&at| self.columns[..at].contains(&self.columns[at]));
        match repeated {
            Some(at) => Err(Error::BadParameter {
                name: "columns",
                value: format!("[.., {:?}, ..]", self.columns[at]),
                expected: "each column once",
            }),
            None => Ok(()),
        }
    }

    /// Learns from all rows of a table, and does it to them.
    pub(super) fn fit(&self, table: &FeatureTable, target: Target<'_>, seed: u64) -> Result<Stepped, Error> {
        let columns = Columns::named(table, &self.columns, self.transform.takes_text())?;
        if self.transform.takes_text() {
            return self.fit_texts(table, target, seed, &columns);
        }
        if let Transform::IsolationForest(params) = &self.transform {
            let kept = Some(isolated(params, &columns, table, seed)?);
            let step = FittedStep { columns: columns.names(), learned: Vec::new() };
            return Ok(Stepped { step, table: table.clone(), kept });
        }
        let matrix = matrix(table, &columns);
        let x = matrix.view();
        let mut kept = None;
        let learned = match &self.transform {
            Transform::Impute(params) => Preprocessor::Imputer(Imputer::fit(*params, x)?),
            Transform::Outliers(params) => {
                let outliers = IqrOutliers::fit(*params, x)?;
                kept = outliers.kept(x)?;
                Preprocessor::IqrOutliers(outliers)
            }
            Transform::Standard(params) => Preprocessor::StandardScaler(StandardScaler::fit(*params, x)?),
            Transform::MinMax(params) => Preprocessor::MinMaxScaler(MinMaxScaler::fit(*params, x)?),
            Transform::Robust(params) => Preprocessor::RobustScaler(RobustScaler::fit(*params, x)?),
            Transform::L2 => Preprocessor::Normalizer(Normalizer::fit(Norm::L2, x)?),
            Transform::Pca(params) => Preprocessor::Pca(Pca::fit(*params, x)?),
            Transform::ForestLeaves(params) => {
                Preprocessor::ForestLeaves(ForestLeaves::fit(*params, x, target, seed)?)
            }
            // Those are above.
            Transform::OneHot(_) | Transform::Target(_) | Transform::IsolationForest(_) => {
                return Err(Error::NoFeatures);
            }
        };
        drop(matrix);
        let step = FittedStep { columns: columns.names(), learned: vec![learned] };
        let table = step.transform(table)?;
        Ok(Stepped { step, table, kept })
    }

    fn fit_texts(
        &self,
        table: &FeatureTable,
        target: Target<'_>,
        seed: u64,
        columns: &Columns,
    ) -> Result<Stepped, Error> {
        let (mut learned, mut out_of_fold) = (Vec::new(), Vec::new());
        for (name, column) in columns.iter() {
            let values = texts(table, column);
            learned.push(match &self.transform {
                Transform::Target(params) => {
                    let (encoder, shares) =
                        TargetEncoder::fit_transform(*params, &values, target.binary("target")?, seed)?;
                    out_of_fold.push((name.to_owned(), NumberColumn::of(shares)));
                    Preprocessor::TargetEncoder(encoder)
                }
                Transform::OneHot(params) => {
                    Preprocessor::OneHotEncoder(OneHotEncoder::fit(*params, &values)?)
                }
                _ => return Err(Error::NoFeatures),
            });
        }
        let step = FittedStep { columns: columns.names(), learned };
        let table = match out_of_fold.is_empty() {
            true => step.transform(table)?,
            false => table.replaced(&step.columns, out_of_fold)?,
        };
        Ok(Stepped { step, table, kept: None })
    }
}

/// Columns that are made of a table, a block of its rows after the other; what is made of rows depends on no others.
fn by_blocks(
    table: &FeatureTable,
    made_of: impl Fn(Range<usize>) -> Result<Vec<(String, Vec<f64>)>, Error>,
) -> Result<Vec<(String, NumberColumn)>, Error> {
    let mut made: Vec<(String, NumberColumn)> = Vec::new();
    // Of no rows there are columns too.
    for first in (0..table.rows().max(1)).step_by(BLOCK) {
        let columns = made_of(first..(first + BLOCK).min(table.rows())).map_err(|error| match error {
            Error::MissingValue { row, column } => Error::MissingValue { row: first + row, column },
            Error::UnseenCategory { value, position } => {
                Error::UnseenCategory { value, position: first + position }
            }
            other => other,
        })?;
        if made.is_empty() {
            made = columns.iter().map(|(name, _)| (name.clone(), NumberColumn::default())).collect();
        }
        made.iter_mut().zip(columns).for_each(|((_, all), (_, of_block))| all.extend(of_block));
    }
    Ok(made)
}

fn is_of_texts(step: &Preprocessor) -> bool {
    matches!(step, Preprocessor::OneHotEncoder(_) | Preprocessor::TargetEncoder(_))
}

/// The rows that an isolation forest of them does not set apart.
fn isolated(
    params: &IsolationForestParams,
    columns: &Columns,
    table: &FeatureTable,
    seed: u64,
) -> Result<Vec<u32>, Error> {
    let table = table.by_names(&columns.names(), &[])?;
    let rows: Vec<u32> = (0u32..).take(table.rows()).collect();
    let outliers = IsolationForest::fit(params, &table, &rows, seed)?.outliers(&table, &rows)?;
    Ok(rows.into_iter().zip(outliers).filter(|(_, outlier)| !outlier).map(|(row, _)| row).collect())
}

impl FittedStep {
    /// The name of the step that learned this.
    pub(super) fn name(&self) -> &'static str {
        let kind = match self.learned.first() {
            None => StepKind::IsolationForest,
            Some(Preprocessor::Imputer(_)) => StepKind::Impute,
            Some(Preprocessor::IqrOutliers(of)) if of.drops() => StepKind::Drop,
            Some(Preprocessor::IqrOutliers(_)) => StepKind::Cap,
            Some(Preprocessor::StandardScaler(_)) => StepKind::Standard,
            Some(Preprocessor::MinMaxScaler(_)) => StepKind::MinMax,
            Some(Preprocessor::RobustScaler(_)) => StepKind::Robust,
            Some(Preprocessor::Normalizer(_)) => StepKind::L2,
            Some(Preprocessor::OneHotEncoder(_) | Preprocessor::StringIndexer(_)) => StepKind::OneHot,
            Some(Preprocessor::TargetEncoder(_)) => StepKind::Target,
            Some(Preprocessor::Pca(_)) => StepKind::Pca,
            Some(Preprocessor::ForestLeaves(_)) => StepKind::ForestLeaves,
        };
        kind.name()
    }

    pub(super) fn is_of_texts(&self) -> bool {
        self.learned.iter().any(is_of_texts)
    }

    /// Its name, the columns, and what was learned.
    pub(super) fn parts(&self) -> (&'static str, &[String], &[Preprocessor]) {
        (self.name(), &self.columns, &self.learned)
    }

    /// Whether it makes of any row what the other makes; what they have counted may differ.
    pub(super) fn does_as(&self, other: &FittedStep) -> bool {
        let alike = |(one, other): (&Preprocessor, &Preprocessor)| match (one, other) {
            (Preprocessor::OneHotEncoder(one), Preprocessor::OneHotEncoder(other)) => {
                one.categories() == other.categories()
            }
            (one, other) => one == other,
        };
        self.columns == other.columns
            && self.learned.len() == other.learned.len()
            && self.learned.iter().zip(&other.learned).all(alike)
    }

    /// Does what was learned to all rows of a table.
    pub(super) fn transform(&self, table: &FeatureTable) -> Result<FeatureTable, Error> {
        let columns = Columns::named(table, &self.columns, self.is_of_texts())?;
        if self.learned.is_empty() {
            return Ok(table.clone());
        }
        let mut made: Vec<(String, NumberColumn)> = Vec::new();
        for (at, step) in self.learned.iter().enumerate() {
            let (name, column) = (&self.columns[at], columns.place(at));
            made.extend(match step {
                Preprocessor::OneHotEncoder(encoder) => by_blocks(table, |rows| {
                    let cells = encoder.transform(&texts_of(table, column, rows))?;
                    let names = encoder.categories().iter().map(|category| format!("{name} = {category}"));
                    Ok(names.zip(cells.columns()).map(|(name, column)| (name, column.to_vec())).collect())
                })?,
                Preprocessor::TargetEncoder(encoder) => {
                    vec![(name.clone(), NumberColumn::of(encoder.transform(&texts(table, column))))]
                }
                step => by_blocks(table, |rows| self.numbers(step, &matrix_of(table, &columns, rows)))?,
            });
        }
        table.replaced(&self.columns, made)
    }

    /// The rows that it does not refuse, by their places.
    pub(super) fn takes(&self, table: &FeatureTable) -> Result<Vec<u32>, Error> {
        let columns = Columns::named(table, &self.columns, self.is_of_texts())?;
        let mut taken = vec![true; table.rows()];
        for (at, step) in self.learned.iter().enumerate() {
            match step {
                Preprocessor::OneHotEncoder(encoder) => {
                    for (taken, text) in taken.iter_mut().zip(texts(table, columns.place(at))) {
                        *taken &= encoder.transform(&[text]).is_ok();
                    }
                }
                Preprocessor::TargetEncoder(_) => {}
                step => {
                    let x = matrix(table, &columns);
                    for (taken, row) in taken.iter_mut().zip(x.axis_chunks_iter(Axis(0), 1)) {
                        *taken &= self.numbers(step, &row.to_owned()).is_ok();
                    }
                }
            }
        }
        Ok((0u32..).zip(taken).filter(|(_, taken)| *taken).map(|(row, _)| row).collect())
    }

    /// The columns that a step of numbers makes.
    fn numbers(&self, step: &Preprocessor, x: &Array2<f64>) -> Result<Vec<(String, Vec<f64>)>, Error> {
        let x = x.view();
        let made = match step {
            Preprocessor::Imputer(step) => step.transform(x)?,
            Preprocessor::IqrOutliers(step) => step.keeping_rows(x)?,
            Preprocessor::StandardScaler(step) => step.transform(x)?,
            Preprocessor::MinMaxScaler(step) => step.transform(x)?,
            Preprocessor::RobustScaler(step) => step.transform(x)?,
            Preprocessor::Normalizer(step) => step.transform(x),
            Preprocessor::Pca(step) => step.transform(x)?,
            Preprocessor::ForestLeaves(step) => step.transform(x)?,
            Preprocessor::StringIndexer(_)
            | Preprocessor::OneHotEncoder(_)
            | Preprocessor::TargetEncoder(_) => {
                return Err(Error::NoFeatures);
            }
        };
        let leaves = match step {
            Preprocessor::ForestLeaves(step) => step.columns()?,
            _ => Vec::new(),
        };
        let name = |at: usize| match (step, leaves.get(at)) {
            (Preprocessor::Pca(_), _) => format!("component {at}"),
            (_, Some((tree, None))) => format!("tree {tree}"),
            (_, Some((tree, Some(leaf)))) => format!("tree {tree} = {leaf}"),
            _ => self.columns[at].clone(),
        };
        Ok(made.columns().into_iter().enumerate().map(|(at, column)| (name(at), column.to_vec())).collect())
    }

    /// Whether it can be one that was fitted; a file might hold anything.
    pub(super) fn is_valid(&self) -> bool {
        let fits = match self.learned.iter().filter(|step| is_of_texts(step)).count() {
            0 => self.learned.len() <= 1,
            texts => texts == self.learned.len() && texts == self.columns.len(),
        };
        fits && !self.columns.is_empty() && self.learned.iter().all(Preprocessor::is_valid)
    }
}
