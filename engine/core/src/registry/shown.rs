//! Versions of models as rows, for people and programs.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};
use tidemill_ml::{METRICS, Material};

use super::outcomes::Origin;
use super::{At, Entry, Registry};
use crate::error::{Error, Result};
use crate::files::checksum;
use crate::project::ModelSpec;
use crate::records::{Maker, ModelOutcome, Plan, Scores, TrainedModel};

/// What a record says a model is worth: on rows held out, on a sample of a state, or else on the batch before it was learned.
fn scores(outcome: &ModelOutcome) -> Option<(&'static str, &Scores)> {
    let by = |name, of: &'static str| Some((of, name));
    let holdout = outcome.holdout.as_ref().and_then(|scores| by(scores, "holdout"));
    let sample = || outcome.sample.as_ref().and_then(|scores| by(scores, "sample"));
    let prequential = || outcome.prequential.as_ref().and_then(|scores| by(scores, "prequential"));
    let folds = || outcome.folds.as_ref().and_then(|scores| by(scores, "folds"));
    holdout.or_else(sample).or_else(folds).or_else(prequential)
}

/// One row a version: what it was trained on, what it is worth, and whether its file is still there. Metrics that none of
/// them has are left out.
///
/// # Errors
/// Internal.
pub fn rows(entries: &[(&Registry, Entry)]) -> Result<RecordBatch> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let mut add = |name: &str, column: ArrayRef| {
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    };
    let outcomes = || entries.iter().map(|(_, entry)| &entry.outcome);
    let counts = |of: &dyn Fn(&Entry) -> u64| {
        Arc::new(UInt64Array::from_iter_values(entries.iter().map(|(_, entry)| of(entry))))
    };
    add("job", Arc::new(StringArray::from_iter_values(entries.iter().map(|(_, entry)| &entry.job))));
    add("model", Arc::new(StringArray::from_iter_values(outcomes().map(|of| &of.name))));
    add("version", counts(&|entry| entry.version));
    add("algorithm", Arc::new(StringArray::from_iter_values(outcomes().map(|of| of.algorithm.name()))));
    // Of the version, whatever the newest record tells of rows.
    let trained = |(registry, entry): &(&Registry, Entry)| {
        let made = registry.find(&entry.outcome.name, &At::Version(entry.version));
        made.map_or(entry.outcome.train_rows, |made| made.outcome.train_rows)
    };
    add("train_rows", Arc::new(UInt64Array::from_iter_values(entries.iter().map(trained))));
    add("evaluation", Arc::new(outcomes().map(|of| Some(scores(of)?.0)).collect::<StringArray>()));
    for metric in METRICS.iter().filter(|metric| metric.is_headline) {
        let values: Vec<Option<f64>> = outcomes().map(|of| metric.value(scores(of)?.1)).collect();
        if values.iter().any(Option::is_some) {
            add(metric.name, Arc::new(Float64Array::from(values)));
        }
    }
    let said = |(registry, entry): &(&Registry, Entry)| {
        let of = registry.aliases().of(&entry.outcome.name, entry.version);
        (!of.is_empty()).then(|| of.join(" "))
    };
    if entries.iter().any(|of| said(of).is_some()) {
        add("names", Arc::new(entries.iter().map(said).collect::<StringArray>()));
    }
    let archived = |(registry, entry): &(&Registry, Entry)| {
        registry.is_gone(entry) && registry.aliases().is_archived(&entry.outcome.name, entry.version)
    };
    if entries.iter().any(archived) {
        add("is_archived", Arc::new(entries.iter().map(|of| Some(archived(of))).collect::<BooleanArray>()));
    }
    add("bytes", counts(&|entry| entry.file.bytes));
    add(
        "has_file",
        Arc::new(
            entries.iter().map(|(registry, entry)| Some(!registry.is_gone(entry))).collect::<BooleanArray>(),
        ),
    );
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The parameters of a model: those that its job sets and, where this version of Tidemill trained it, the defaults of the
/// others, which are a version's own.
fn parameters(spec: &ModelSpec, material: Material, made_by: Option<&Maker>) -> Result<Map<String, Value>> {
    let mut all = Map::new();
    if made_by.is_some_and(|maker| maker.version == Maker::this().version) {
        let defaults = spec.config.algorithm.write_defaults(material, serde_json::value::Serializer);
        if let Value::Object(defaults) = defaults.map_err(|e| Error::internal(e.to_string()))? {
            all = defaults;
        }
    }
    all.extend(spec.config.parameters.clone());
    Ok(all)
}

/// All that is known of one version, a row each.
///
/// # Errors
/// Internal; Storage or Corrupt: its plan.
pub fn details(registry: &Registry, entry: &Entry) -> Result<RecordBatch> {
    let Origin { spec, made_by, plan, step, so_far } = registry.origin(entry)?;
    let outcome = &entry.outcome;
    let batches = match (&plan, entry.version) {
        (None, _) => String::new(),
        (Some(_), 0) => "0".to_owned(),
        (Some(_), version) => format!("0 to {version}"),
    };
    let of_plan = |cell: fn(&Plan) -> Option<String>| plan.as_ref().and_then(cell).unwrap_or_default();
    let transform = |plan: &Plan| plan.program.transform_sql.as_ref().map(|sql| checksum(sql.as_bytes()));
    let of_step = |cell: fn(&TrainedModel) -> String| step.as_ref().map(cell).unwrap_or_default();
    let mut cells: Vec<(String, String)> = [
        ("job", entry.job.clone()),
        ("model", outcome.name.clone()),
        ("version", entry.version.to_string()),
        ("algorithm", outcome.algorithm.name().to_owned()),
        ("batches", batches),
        ("versions_so_far", so_far.map(|count| count.to_string()).unwrap_or_default()),
        ("planned_at", of_plan(|plan| Some(plan.now.clone()))),
        ("key", of_step(|step| step.key.join(" "))),
        ("folds", of_step(|step| step.folds.map(|folds| folds.to_string()).unwrap_or_default())),
        ("features", spec.config.features.clone()),
        ("features_xxh3", checksum(spec.features_sql.as_bytes())),
        ("transform_xxh3", of_plan(transform)),
        ("target", spec.config.label.clone().unwrap_or_default()),
        ("classes", outcome.classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        ("seed", outcome.seed.to_string()),
        ("train_rows", outcome.train_rows.to_string()),
        ("train_ms", format!("{:.1}", outcome.train_ms)),
        ("names", registry.aliases().of(&outcome.name, entry.version).join(" ")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let material = if plan.as_ref().is_some_and(|plan| plan.program.state.is_some()) {
        Material::State
    } else {
        Material::Rows
    };
    let parameters = parameters(&spec, material, made_by.as_ref())?;
    let steps =
        (1..).zip(&spec.config.steps).map(|(number, step)| (format!("steps.{number}"), step.to_string()));
    cells.extend(steps);
    cells.extend(spec.config.learn.iter().map(|learn| ("learn".to_owned(), learn.clone())));
    cells.extend(
        parameters.into_iter().map(|(name, value)| (format!("parameters.{name}"), value.to_string())),
    );
    for (evaluation, scores) in [
        ("holdout", &outcome.holdout),
        ("sample", &outcome.sample),
        ("folds", &outcome.folds),
        ("prequential", &outcome.prequential),
    ] {
        let Some(scores) = scores else { continue };
        cells.push((format!("{evaluation}.rows"), scores.rows().to_string()));
        let values = METRICS.iter().filter_map(|metric| Some((metric.name, metric.value(scores)?)));
        cells.extend(values.map(|(name, value)| (format!("{evaluation}.{name}"), value.to_string())));
    }
    let file = match registry.is_gone(entry) {
        true if registry.aliases().is_archived(&outcome.name, entry.version) => "archived".to_owned(),
        true => "removed, as it is old".to_owned(),
        false => entry.file.path.clone(),
    };
    cells.extend([
        ("file".to_owned(), file),
        ("bytes".to_owned(), entry.file.bytes.to_string()),
        ("xxh3".to_owned(), entry.file.xxh3.clone()),
    ]);
    if let Some(Maker { version, processor }) = made_by {
        cells.extend([("engine".to_owned(), version), ("processor".to_owned(), processor)]);
    }
    cells.retain(|(_, value)| !value.is_empty());
    let (names, values): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ]);
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(StringArray::from(names)), Arc::new(StringArray::from(values))],
    )?)
}
