//! Steps that learn from new rows alone, and the pipelines of them.

use super::columns::{Columns, matrix, texts};
use super::step::{FittedStep, Stepped};
use super::{FittedPipeline, Pipeline, PipelineStep, Transform, in_step};
use crate::preprocess::Preprocessor;
use crate::table::NumberColumn;
use crate::{Cache, Error, FeatureTable, Rows, Target};

impl Pipeline {
    /// The first part that cannot learn from new rows alone, if one cannot.
    pub(crate) fn check_online(&self) -> Result<(), Error> {
        self.check_steps_online()?;
        self.estimator.check_online()
    }

    pub(super) fn check_steps_online(&self) -> Result<(), Error> {
        match self.numbered().find(|(_, step)| !step.transform.learns_online()) {
            Some((number, step)) => Err(in_step(number, step.name())(cannot(step.name()))),
            None => Ok(()),
        }
    }

    /// Whether a fitted one is of these steps, and its model of this estimator.
    pub(crate) fn made(&self, fitted: &FittedPipeline) -> bool {
        let (mut numbers, mut texts) = (fitted.numeric_names.clone(), fitted.categorical_names.clone());
        self.steps.len() == fitted.steps.len()
            && self.steps.iter().zip(&fitted.steps).all(|(step, fitted)| {
                let all = if fitted.is_of_texts() { &texts } else { &numbers };
                let is_of = fitted.is_of(step, all);
                if fitted.is_of_texts() {
                    // Steps that learn on leave a number where each text was.
                    texts.retain(|name| !fitted.columns.contains(name));
                    numbers.extend(fitted.columns.iter().cloned());
                }
                is_of
            })
            && self.estimator.made(&fitted.model)
    }
}

impl FittedPipeline {
    /// The pipeline after new rows.
    pub(crate) fn partial_fit(
        &self,
        rows: &Rows<'_>,
        seed: u64,
        cache: &mut Cache,
    ) -> Result<FittedPipeline, Error> {
        self.check_names(rows.table)?;
        let steps = self.steps.iter().map(|step| (step.name(), step));
        let passed =
            super::pass(rows, seed, steps, |step, table, target, _| step.partial_fit(table, target))?;
        let model = passed.learn(|rows| self.model.learn_on(rows, seed, cache))?;
        Ok(FittedPipeline { steps: passed.steps, model: Box::new(model), ..self.clone() })
    }
}

/// Why a step does not learn from new rows alone.
fn cannot(step: &'static str) -> Error {
    let why = match step {
        "one_hot" => "a new category is a new column, which the model after it has not; fit on all rows",
        "pca" => "its components turn, and the model after it has learned others; fit on all rows",
        "forest_leaves" => "its trees need all rows, and other trees have other leaves; fit on all rows",
        "isolation_forest" => "its trees are of drawn rows of all; fit on all rows, or take drop",
        _ => "every value would have to be counted; fit on all rows, or take another strategy",
    };
    Error::NoPartialFit { what: step, why }
}

impl FittedStep {
    /// Whether it is one that this step learns, of a table of these columns of its kind.
    fn is_of(&self, step: &PipelineStep, all: &[String]) -> bool {
        let settings = self.learned.iter().all(|learned| match (learned, &step.transform) {
            (Preprocessor::Imputer(of), Transform::Impute(params)) => of.params == *params,
            (Preprocessor::IqrOutliers(of), Transform::Outliers(params)) => of.params == *params,
            (Preprocessor::StandardScaler(of), Transform::Standard(params)) => of.params == *params,
            (Preprocessor::MinMaxScaler(of), Transform::MinMax(params)) => of.params == *params,
            (Preprocessor::RobustScaler(of), Transform::Robust(params)) => of.params == *params,
            (Preprocessor::Normalizer(_), Transform::L2) => true,
            (Preprocessor::TargetEncoder(of), Transform::Target(params)) => of.params == *params,
            _ => false,
        });
        let columns = if step.columns.is_empty() { all } else { &step.columns };
        settings && columns == self.columns
    }

    /// Learns from all rows of a table on top of what it knows, and does it to them.
    fn partial_fit(&self, table: &FeatureTable, target: Target<'_>) -> Result<Stepped, Error> {
        let columns = Columns::named(table, &self.columns, self.is_of_texts())?;
        if self.is_of_texts() {
            return self.partial_fit_texts(table, target, &columns);
        }
        let x = matrix(table, &columns);
        let x = x.view();
        let learned = match self.learned.as_slice() {
            [Preprocessor::Imputer(step)] => Preprocessor::Imputer(step.partial_fit(x)?),
            [Preprocessor::IqrOutliers(step)] => Preprocessor::IqrOutliers(step.partial_fit(x)?),
            [Preprocessor::StandardScaler(step)] => Preprocessor::StandardScaler(step.partial_fit(x)?),
            [Preprocessor::MinMaxScaler(step)] => Preprocessor::MinMaxScaler(step.partial_fit(x)?),
            [Preprocessor::RobustScaler(step)] => Preprocessor::RobustScaler(step.partial_fit(x)?),
            [Preprocessor::Normalizer(step)] => Preprocessor::Normalizer(step.partial_fit(x)?),
            _ => return Err(cannot(self.name())),
        };
        let kept = match &learned {
            Preprocessor::IqrOutliers(outliers) => outliers.kept(x)?,
            _ => None,
        };
        let step = FittedStep { columns: self.columns.clone(), learned: vec![learned] };
        let table = step.transform(table)?;
        Ok(Stepped { step, table, kept })
    }

    fn partial_fit_texts(
        &self,
        table: &FeatureTable,
        target: Target<'_>,
        columns: &Columns,
    ) -> Result<Stepped, Error> {
        let (mut learned, mut made) = (Vec::new(), Vec::new());
        for (encoder, (name, column)) in self.learned.iter().zip(columns.iter()) {
            let Preprocessor::TargetEncoder(encoder) = encoder else { return Err(cannot(self.name())) };
            let values = texts(table, column);
            made.push((name.to_owned(), NumberColumn::of(encoder.transform(&values))));
            learned
                .push(Preprocessor::TargetEncoder(encoder.partial_fit(&values, target.binary("target")?)?));
        }
        let table = table.replaced(&self.columns, made)?;
        Ok(Stepped { step: FittedStep { columns: self.columns.clone(), learned }, table, kept: None })
    }
}
