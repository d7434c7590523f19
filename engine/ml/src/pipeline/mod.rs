//! Steps before an estimator: together they are one, and one file that takes the raw columns.
//!
//! ```text
//! rows of the raw table ──step──> table ──step──> table ──estimator──> Fitted
//!                          └─ learned ─┴── kept in the file, done to rows that are scored
//! ```
//!
//! Steps see the rows that are learned from and no others. What is scored has every step done to it but for leaving rows
//! out: each of its rows gets an answer.

mod columns;
mod list;
mod read;
mod step;

pub use list::{STEPS, StepInfo, StepKind, Takes};
pub use step::{PipelineStep, Transform};

use crate::file::{self, Kind};
use crate::seed::derive;
use crate::table::check_names;
use crate::{Error, Estimator, FeatureTable, Fitted, Prediction, Rows, Scores, Target, TargetKind};
use serde::{Deserialize, Serialize};
use step::FittedStep;

/// Steps, and what is fitted after them.
///
/// ```
/// use tidemill_ml::preprocess::{ImputerParams, PcaParams, StandardScalerParams};
/// use tidemill_ml::{Estimator, FeatureTable, KMeansParams, Pipeline, Rows, Target, Transform};
///
/// let mut table = FeatureTable::new(vec!["spent".into(), "orders".into()], vec![]);
/// table.push_numeric(0, (0..60).map(|i| f64::from(i % 3 * 100 + i)));
/// table.push_numeric(1, (0..60).map(|i| if i % 10 == 7 { f64::NAN } else { f64::from(i % 3) }));
/// table.finish_append()?;
/// let pipeline = Estimator::from(Pipeline::new(
///     [
///         Transform::Impute(ImputerParams::default()).of(&["orders"]),
///         Transform::Standard(StandardScalerParams::default()).into(),
///         Transform::Pca(PcaParams { components: 1.into(), ..PcaParams::default() }).into(),
///     ],
///     KMeansParams { clusters: 3, ..KMeansParams::default() },
/// ));
/// let rows: Vec<u32> = (0..60).collect();
/// let fitted = pipeline.fit(&Rows::new(&table, Target::None, &rows), 42)?;
/// assert_eq!(fitted.numeric_names(), ["spent", "orders"], "it takes the raw columns");
/// assert!(fitted.score(&Rows::new(&table, Target::None, &rows), 42)?.clusters().is_some());
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    steps: Vec<PipelineStep>,
    estimator: Box<Estimator>,
}

/// Steps that have learned, with the model after them: a [`Fitted`] like any other.
///
/// ```
/// use tidemill_ml::preprocess::OneHotEncoderParams;
/// use tidemill_ml::{Estimator, FeatureTable, Fitted, Pipeline, Rows, SgdClassifierParams, Target, Transform};
///
/// let mut table = FeatureTable::new(vec![], vec!["kind".into()]);
/// table.push_category(0, (0..60).map(|i| [Some("theft"), Some("assault"), None][i % 3]));
/// table.finish_append()?;
/// let (arrests, rows): (Vec<bool>, Vec<u32>) = ((0..60).map(|i| i % 3 == 1).collect(), (0..60).collect());
/// let steps = [Transform::OneHot(OneHotEncoderParams::default()).into()];
/// let pipeline = Estimator::from(Pipeline::new(steps, SgdClassifierParams::default()));
/// let fitted = pipeline.fit(&Rows::new(&table, Target::Binary(&arrests), &rows), 42)?;
/// assert_eq!(Fitted::from_bytes(&fitted.to_bytes()?)?, fitted);
/// # Ok::<(), tidemill_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FittedPipeline {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    steps: Vec<FittedStep>,
    model: Box<Fitted>,
}

/// A pipeline in its file: the model is a file in the file.
#[derive(Serialize, Deserialize)]
struct PipelineInFile {
    numeric_names: Vec<String>,
    categorical_names: Vec<String>,
    steps: Vec<FittedStep>,
    model: Vec<u8>,
}

/// What is to be predicted, of the rows that are left.
enum Left {
    None,
    Binary(Vec<bool>),
    Classes(Vec<u32>, u32),
    Numbers(Vec<f64>),
}

impl Left {
    fn of(target: Target<'_>, rows: &[u32]) -> Left {
        fn take<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|&row| values[row as usize]).collect()
        }
        match target {
            Target::None => Left::None,
            Target::Binary(values) => Left::Binary(take(values, rows)),
            Target::Classes { labels, classes } => Left::Classes(take(labels, rows), classes),
            Target::Numbers(values) => Left::Numbers(take(values, rows)),
        }
    }

    fn target(&self) -> Target<'_> {
        match self {
            Left::None => Target::None,
            Left::Binary(values) => Target::Binary(values),
            Left::Classes(labels, classes) => Target::Classes { labels, classes: *classes },
            Left::Numbers(values) => Target::Numbers(values),
        }
    }
}

/// An error of the step of this number, from 1.
fn in_step(step: usize, name: &'static str) -> impl Fn(Error) -> Error {
    move |error| Error::InStep { step, name, error: Box::new(error) }
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0u32..).take(table.rows()).collect()
}

impl Pipeline {
    /// These steps, in their order, and then the estimator.
    pub fn new(steps: impl IntoIterator<Item = PipelineStep>, estimator: impl Into<Estimator>) -> Pipeline {
        Pipeline { steps: steps.into_iter().collect(), estimator: Box::new(estimator.into()) }
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &PipelineStep)> {
        (1..).zip(&self.steps)
    }

    pub(crate) fn targets(&self) -> &'static [TargetKind] {
        self.estimator.targets()
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (number, step) in self.numbered() {
            step.validate().map_err(in_step(number, step.name()))?;
        }
        match &*self.estimator {
            Estimator::Pipeline(_) => {
                let (name, value) = ("estimator", "a pipeline".to_owned());
                Err(Error::BadParameter { name, value, expected: "no pipeline: put its steps into this one" })
            }
            estimator => estimator.validate(),
        }
    }

    /// Fits one step after the other on what the ones before it leave, and then the estimator.
    pub(crate) fn fit(&self, rows: &Rows<'_>, seed: u64) -> Result<FittedPipeline, Error> {
        self.validate()?;
        rows.check()?;
        let mut table = rows.table.taken(rows.rows);
        let mut target = Left::of(rows.target, rows.rows);
        let mut weights = rows.weights_of_rows()?;
        let mut steps = Vec::with_capacity(self.steps.len());
        for (number, step) in self.numbered() {
            let in_step = in_step(number, step.name());
            let stepped = step.fit(&table, target.target(), derive(seed, number as u64)).map_err(&in_step)?;
            table = stepped.table;
            if let Some(kept) = stepped.kept {
                if kept.is_empty() {
                    return Err(in_step(Error::NoRows));
                }
                table = table.taken(&kept);
                target = Left::of(target.target(), &kept);
                weights = weights.map(|weights| kept.iter().map(|&row| weights[row as usize]).collect());
            }
            steps.push(stepped.step);
        }
        let left = all(&table);
        let left = Rows { weights: weights.as_deref(), ..Rows::new(&table, target.target(), &left) };
        Ok(FittedPipeline {
            numeric_names: rows.table.numeric_names().to_vec(),
            categorical_names: rows.table.categorical_names().to_vec(),
            steps,
            model: Box::new(self.estimator.fit(&left, seed)?),
        })
    }
}

impl FittedPipeline {
    /// The model after the steps.
    pub fn model(&self) -> &Fitted {
        &self.model
    }

    pub(crate) fn numeric_names(&self) -> &[String] {
        &self.numeric_names
    }

    pub(crate) fn categorical_names(&self) -> &[String] {
        &self.categorical_names
    }

    /// These rows after all steps.
    fn transform(&self, table: &FeatureTable, rows: &[u32]) -> Result<FeatureTable, Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())?;
        table.check_rows(rows)?;
        let mut made = table.taken(rows);
        for (number, step) in (1..).zip(&self.steps) {
            made = step.transform(&made).map_err(in_step(number, step.name()))?;
        }
        Ok(made)
    }

    pub(crate) fn predict(&self, table: &FeatureTable, rows: &[u32]) -> Result<Prediction, Error> {
        let made = self.transform(table, rows)?;
        self.model.predict(&made, &all(&made))
    }

    pub(crate) fn score(&self, rows: &Rows<'_>, seed: u64) -> Result<Scores, Error> {
        rows.check()?;
        let made = self.transform(rows.table, rows.rows)?;
        let target = Left::of(rows.target, rows.rows);
        self.model.score(&Rows::new(&made, target.target(), &all(&made)), seed)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let FittedPipeline { numeric_names, categorical_names, steps, model } = self.clone();
        let in_file = PipelineInFile { numeric_names, categorical_names, steps, model: model.to_bytes()? };
        file::write(Kind::Pipeline, &in_file)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<FittedPipeline, Error> {
        let is_valid = |of: &PipelineInFile| of.steps.iter().all(FittedStep::is_valid);
        let in_file: PipelineInFile = file::read(Kind::Pipeline, bytes, is_valid)?;
        let PipelineInFile { numeric_names, categorical_names, steps, model } = in_file;
        if file::kind_of(&model) == Some(Kind::Pipeline) {
            return Err(Error::CorruptModel("a pipeline in a pipeline"));
        }
        let model = Box::new(Fitted::from_bytes(&model)?);
        Ok(FittedPipeline { numeric_names, categorical_names, steps, model })
    }
}
