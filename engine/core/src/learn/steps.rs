//! Columns that the steps of a model name: they are looked for before a batch is planned.

use std::collections::BTreeSet;

use tidemill_ml::{FeatureTable, PipelineStep, Takes, Transform};

use crate::error::{Error, Result, suggestion};
use crate::project::ModelSpec;

/// Checks that the columns which a model's steps name are among its features, of the kind that the step takes. Those that a
/// step before makes, whose names are known by its rows alone (of categories, of components), are looked for when it learns.
///
/// # Errors
/// User: one is not there, or of the other kind.
pub(super) fn check(spec: &ModelSpec, features: &FeatureTable) -> Result<()> {
    let steps = spec.config.pipeline_steps()?;
    let mut numbers: BTreeSet<&str> = features.numeric_names().iter().map(String::as_str).collect();
    let mut texts: BTreeSet<&str> = features.categorical_names().iter().map(String::as_str).collect();
    let mut makes_columns = false;
    for (number, step) in (1..).zip(&steps) {
        let (kind, known, others) = match step.transform.kind().info().takes {
            Takes::Texts => ("text", &texts, &numbers),
            Takes::Numbers => ("numeric", &numbers, &texts),
        };
        let missing = step.columns.iter().find(|name| !known.contains(name.as_str()));
        if let Some(column) = missing.filter(|name| !makes_columns || others.contains(name.as_str())) {
            let known: Vec<&str> = known.iter().copied().collect();
            let what = format!("step {number}, {}: there is no {kind} column `{column}`", step.name());
            return Err(Error::user(what).hint(suggestion(column, &format!("{kind} columns"), &known)));
        }
        makes_columns |= made(step, &mut numbers, &mut texts);
    }
    Ok(())
}

/// Takes the columns away that a step takes in, and adds what it makes of them; says whether it makes others.
fn made<'a>(step: &'a PipelineStep, numbers: &mut BTreeSet<&'a str>, texts: &mut BTreeSet<&'a str>) -> bool {
    let named: Vec<&str> = step.columns.iter().map(String::as_str).collect();
    let taken = |from: &mut BTreeSet<&'a str>| match named.is_empty() {
        true => std::mem::take(from).into_iter().collect(),
        false => named.iter().filter_map(|name| from.take(name)).collect::<Vec<&str>>(),
    };
    match step.transform {
        Transform::Target(_) => {
            numbers.extend(taken(texts));
            false
        }
        Transform::OneHot(_) => {
            taken(texts);
            true
        }
        Transform::Pca(_) => {
            taken(numbers);
            true
        }
        // Others leave each column where it is; one that is not known may make any.
        Transform::Impute(_)
        | Transform::Outliers(_)
        | Transform::Standard(_)
        | Transform::MinMax(_)
        | Transform::Robust(_)
        | Transform::L2
        | Transform::IsolationForest(_) => false,
        _ => true,
    }
}
