//! What is told of a model that a run has trained.

use tidemill_core::batch::ModelReport;
use tidemill_core::learn::METRICS;
use tidemill_core::records::{Gated, ModelStatus, Verdict};

use crate::style;

/// What was done, in a word.
pub(super) fn outcome(model: &ModelReport) -> &'static str {
    match model.status {
        ModelStatus::Challenger => "challenger",
        ModelStatus::Trained | ModelStatus::Failed => "trained",
        ModelStatus::Kept => "asked again",
    }
}

/// What was done, in a line; `version` is the number of the step.
pub(super) fn line(model: &ModelReport, version: Option<u64>) -> String {
    let number = |version: Option<u64>| version.map_or("none".to_owned(), |version| version.to_string());
    let trained = || format!("version {} trained on {}", number(version), style::rows(model.train_rows));
    let what = match model.status {
        ModelStatus::Challenger => {
            let why = match &model.gate {
                Some(gate) if gate.verdict == Verdict::Waits => waits(model, gate),
                Some(_) => told(model, "the gate rejected it"),
                None => told(model, "another is pinned"),
            };
            format!("{}, version {} stays in use: {why}", trained(), number(model.in_use))
        }
        ModelStatus::Kept => format!("version {} in use", number(model.in_use)),
        ModelStatus::Trained | ModelStatus::Failed => trained(),
    };
    match scores(model) {
        Some(scores) => format!("{what}; {scores}"),
        None => what,
    }
}

/// Why a gate has not decided.
fn waits(model: &ModelReport, gate: &Gated) -> String {
    let rows = style::rows(gate.rows);
    match (gate.challenger, &model.reason) {
        (None, Some(reason)) => reason.clone(),
        (None, None) => format!("{} is not defined on the rows to compare", gate.metric),
        (Some(_), _) => told(model, &format!("{rows} to compare are too few")),
    }
}

/// This, and what else there is to tell.
fn told(model: &ModelReport, why: &str) -> String {
    model.reason.as_ref().map_or_else(|| why.to_owned(), |reason| format!("{why}; {reason}"))
}

/// What the version in use is worth.
pub(super) fn scores(model: &ModelReport) -> Option<String> {
    let (evaluation, scores) = model.scores.as_ref()?;
    let headline = METRICS.iter().filter(|metric| metric.is_headline);
    let (name, value) = headline.into_iter().find_map(|metric| Some((metric.name, metric.value(scores)?)))?;
    Some(format!("{name} {value:.3} on {} ({evaluation})", style::rows(scores.rows())))
}
