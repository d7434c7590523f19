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
mod memory;
mod online;
mod read;
mod step;

pub use list::{STEPS, StepInfo, StepKind, Takes};
pub use step::{PipelineStep, Transform};

use crate::file::{self, Kind};
use crate::preprocess::Preprocessor;
use crate::seed::derive;
use crate::table::check_names;
use crate::{Cache, Error, Estimator, FeatureTable, Fitted, Prediction, Rows, Scores, Target, TargetKind};
use serde::{Deserialize, Serialize};
use step::{FittedStep, Stepped};

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
        match self.estimator.targets() {
            [TargetKind::None] if self.steps.iter().any(|step| step.transform.takes_target()) => {
                let numbers = self.steps.iter().all(|step| step.name() != StepKind::Target.name());
                if numbers { &[TargetKind::Binary, TargetKind::Numbers] } else { &[TargetKind::Binary] }
            }
            targets => targets,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (number, step) in self.numbered() {
            step.validate().map_err(in_step(number, step.name()))?;
        }
        if self.learns_on() {
            self.check_steps_online()?;
        }
        match &*self.estimator {
            Estimator::Pipeline(_) => {
                let (name, value) = ("estimator", "a pipeline".to_owned());
                Err(Error::BadParameter { name, value, expected: "no pipeline: put its steps into this one" })
            }
            estimator => estimator.validate(),
        }
    }

    /// What is fitted after the steps.
    pub(crate) fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    /// Whether a refit goes on from the model before it: clusters of batches do not see the rows of earlier ones.
    fn learns_on(&self) -> bool {
        matches!(&*self.estimator, Estimator::ClusterStream(_)) && self.estimator.learns_online()
    }

    /// Fits one step after the other on what the ones before it leave, and then the estimator. Clusters of batches learn on,
    /// and so do the steps before them; another estimator begins where the model in `before` is of use to it.
    pub(crate) fn fit(
        &self,
        rows: &Rows<'_>,
        seed: u64,
        before: Option<&FittedPipeline>,
        cache: &mut Cache,
    ) -> Result<FittedPipeline, Error> {
        self.validate()?;
        let table = rows.table;
        if self.learns_on()
            && let Some(before) = before.filter(|of| self.made(of) && of.check_names(table).is_ok())
        {
            return before.partial_fit(rows, seed, cache);
        }
        let steps = self.steps.iter().map(|step| (step.name(), step));
        let mut passed = pass(rows, seed, steps, PipelineStep::fit)?;
        // What `cache` keeps of rows is of those before the steps. What is kept behind them is of use where rows come there
        // as they did: where steps learned the same again.
        let is_same = before.is_some_and(|before| {
            before.steps.len() == passed.steps.len()
                && before.steps.iter().zip(&passed.steps).all(|(before, now)| before.does_as(now))
        });
        let mut own = cache.take_behind().filter(|_| is_same).unwrap_or_default();
        let keeps = is_same && self.estimator.takes_bins();
        if keeps {
            passed.table.mark(own.rows());
            own.extend(&passed.table, &all(&passed.table))?;
        }
        let before = before.map(FittedPipeline::model);
        let model = passed.learn(|rows| self.estimator.refit(rows, seed, before, &mut own))?;
        cache.set_reseeded(own.reseeded().to_vec());
        if keeps {
            cache.put_behind(own);
        }
        Ok(FittedPipeline {
            numeric_names: table.numeric_names().to_vec(),
            categorical_names: table.categorical_names().to_vec(),
            steps: passed.steps,
            model: Box::new(model),
        })
    }
}

/// Rows after all steps, as they are learned from.
struct Passed {
    steps: Vec<FittedStep>,
    table: FeatureTable,
    target: Left,
    weights: Option<Vec<f64>>,
}

impl Passed {
    fn learn<T>(&self, fit: impl FnOnce(&Rows<'_>) -> T) -> T {
        let left = all(&self.table);
        let rows = Rows::new(&self.table, self.target.target(), &left);
        fit(&Rows { weights: self.weights.as_deref(), ..rows })
    }
}

/// Takes rows through steps, each of which has a name and learns by `learn` from what the ones before it leave.
fn pass<S>(
    rows: &Rows<'_>,
    seed: u64,
    steps: impl Iterator<Item = (&'static str, S)>,
    learn: impl Fn(S, &FeatureTable, Target<'_>, u64) -> Result<Stepped, Error>,
) -> Result<Passed, Error> {
    rows.check()?;
    let mut passed = Passed {
        steps: Vec::new(),
        table: rows.table.taken(rows.rows),
        target: Left::of(rows.target, rows.rows),
        weights: rows.weights_of_rows()?,
    };
    for (number, (name, step)) in (1..).zip(steps) {
        let in_step = in_step(number, name);
        let seed = derive(seed, number as u64);
        let stepped = learn(step, &passed.table, passed.target.target(), seed).map_err(&in_step)?;
        passed.table = stepped.table;
        if let Some(kept) = stepped.kept {
            if kept.is_empty() {
                return Err(in_step(Error::NoRowsLeft { rows: passed.table.rows() }));
            }
            passed.table = passed.table.taken(&kept);
            passed.target = Left::of(passed.target.target(), &kept);
            let of_kept = |weights: Vec<f64>| kept.iter().map(|&row| weights[row as usize]).collect();
            passed.weights = passed.weights.map(of_kept);
        }
        passed.steps.push(stepped.step);
    }
    Ok(passed)
}

impl FittedPipeline {
    /// The model after the steps.
    pub fn model(&self) -> &Fitted {
        &self.model
    }

    /// Each step: its name, the columns that it takes, and what it has learned of all of them or of each.
    pub(crate) fn learned(&self) -> impl Iterator<Item = (&'static str, &[String], &[Preprocessor])> {
        self.steps.iter().map(FittedStep::parts)
    }

    pub(crate) fn numeric_names(&self) -> &[String] {
        &self.numeric_names
    }

    pub(crate) fn categorical_names(&self) -> &[String] {
        &self.categorical_names
    }

    fn check_names(&self, table: &FeatureTable) -> Result<(), Error> {
        check_names("numeric", &self.numeric_names, table.numeric_names())?;
        check_names("categorical", &self.categorical_names, table.categorical_names())
    }

    /// These rows after all steps.
    fn transform(&self, table: &FeatureTable, rows: &[u32]) -> Result<FeatureTable, Error> {
        self.check_names(table)?;
        table.check_rows(rows)?;
        let mut made = table.taken(rows);
        for (number, step) in (1..).zip(&self.steps) {
            made = step.transform(&made).map_err(in_step(number, step.name()))?;
        }
        Ok(made)
    }

    /// Those of the rows that no step refuses.
    pub(crate) fn answerable(&self, table: &FeatureTable, rows: &[u32]) -> Result<Vec<u32>, Error> {
        self.check_names(table)?;
        table.check_rows(rows)?;
        let (mut left, mut made) = (rows.to_vec(), table.taken(rows));
        for (number, step) in (1..).zip(&self.steps) {
            let stepped = step.transform(&made).or_else(|_| {
                let taken = step.takes(&made)?;
                left = taken.iter().map(|&at| left[at as usize]).collect();
                step.transform(&made.taken(&taken))
            });
            if left.is_empty() {
                break;
            }
            made = stepped.map_err(in_step(number, step.name()))?;
        }
        Ok(left)
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
