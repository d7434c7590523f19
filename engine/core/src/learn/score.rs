//! What a model is worth on rows whose columns and classes may have changed since it was trained.
//!
//! | since the model was trained | |
//! | --- | --- |
//! | nothing has changed | it is scored |
//! | its features stand in another order, or others stand beside them | they are found by their names, and it is scored |
//! | classes came that it has not met | their rows count, with probability 0 for their class |
//! | a step refuses single rows, as `pca` does a missing value | it is scored on the others, and how many it refuses is told |
//! | a feature is gone, or of another kind | it cannot be scored |
//! | the target is of another kind, or another class is looked for | it cannot be scored |

use std::collections::HashSet;

use serde_json::Value;
use tidemill_ml::{Cache, ClassMetrics, ClusterSpace, Error, Fitted, Prediction, Rows, Scores, Target};

/// A model and what its classes are called.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) model: &'a Fitted,
    /// By their numbers; none where it has none, or its record does not say.
    pub(super) classes: &'a [Value],
}

/// What a model is worth on some rows.
#[derive(Default)]
pub(super) struct Worth {
    /// `None` where the rows do not tell.
    pub(super) scores: Option<Scores>,
    /// Of how many rows it does not tell, and why.
    pub(super) without: Option<String>,
    /// Those of the rows that it has an answer for, in their order; `None`: all.
    pub(super) answered: Option<Vec<u32>>,
}

/// Those of the rows that two models have answers for, each of which says of which it has.
pub(super) fn answered_by_both(rows: &[u32], one: Option<&[u32]>, other: Option<&[u32]>) -> Vec<u32> {
    let set = |of: Option<&[u32]>| of.map(|of| of.iter().copied().collect::<HashSet<u32>>());
    let (one, other) = (set(one), set(other));
    let is_in = |of: &Option<HashSet<u32>>, row: &u32| of.as_ref().is_none_or(|of| of.contains(row));
    rows.iter().copied().filter(|row| is_in(&one, row) && is_in(&other, row)).collect()
}

/// What the model is worth on rows whose classes are these, clusters in this space; the reason where it cannot be scored on
/// such rows.
pub(super) fn score(
    judged: Judged<'_>,
    rows: &Rows<'_>,
    classes: &[Value],
    space: Option<&ClusterSpace>,
    seed: u64,
    cache: &Cache,
) -> Result<Worth, String> {
    if rows.rows.is_empty() {
        return Ok(Worth::default());
    }
    let model = judged.model;
    let (numeric, categorical) = (model.numeric_names(), model.categorical_names());
    let stands = numeric == rows.table.numeric_names() && categorical == rows.table.categorical_names();
    let turned = match stands {
        true => None,
        false => Some(rows.table.by_names(numeric, categorical).map_err(|error| error.to_string())?),
    };
    // What is kept of rows is of their table as it stands.
    let (rows, unknown) = (Rows { table: turned.as_ref().unwrap_or(rows.table), ..*rows }, Cache::new());
    let cache = if stands { cache } else { &unknown };
    let scored = |rows: &Rows<'_>, cache: &Cache| of_all(judged, rows, classes, space, seed, cache);
    let refused = match scored(&rows, cache) {
        Err(refused) => refused,
        scores => return Ok(Worth { scores: scores?, ..Worth::default() }),
    };
    let answered = match model.answerable(rows.table, rows.rows) {
        Ok(answered) if answered.len() < rows.rows.len() => answered,
        _ => return Err(refused),
    };
    let scores = match answered.is_empty() {
        true => None,
        false => scored(&Rows { rows: &answered, ..rows }, &Cache::new())?,
    };
    let (without, all) = (rows.rows.len() - answered.len(), rows.rows.len());
    let without = Some(format!("{without} of {all} rows are not scored: {refused}"));
    Ok(Worth { scores, without, answered: Some(answered) })
}

/// `None` where the rows do not tell, and the reason where it cannot be scored on all of them. Their features are the model's.
fn of_all(
    judged: Judged<'_>,
    rows: &Rows<'_>,
    classes: &[Value],
    space: Option<&ClusterSpace>,
    seed: u64,
    cache: &Cache,
) -> Result<Option<Scores>, String> {
    let is_same = judged.classes == classes || judged.classes.is_empty() || classes.is_empty();
    match rows.target {
        _ if is_same => tolerant(match space {
            Some(space) => judged.model.score_in(space, rows, seed),
            None => judged.model.score_kept(rows, seed, cache),
        }),
        Target::Classes { labels, .. } => among(judged, rows, labels, classes),
        _ => Err(format!("its classes are {}, those of the rows {}", list(judged.classes), list(classes))),
    }
}

fn list(classes: &[Value]) -> String {
    classes.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

/// Rows that do not define a score are no defect of the model; a target that it has not learned is, and a step that refuses
/// one of the rows.
fn tolerant(scores: Result<Scores, Error>) -> Result<Option<Scores>, String> {
    match scores {
        Ok(scores) => Ok(Some(scores)),
        Err(
            error @ (Error::OtherTarget { .. }
            | Error::OtherClasses { .. }
            | Error::FeatureMismatch { .. }
            | Error::InStep { .. }),
        ) => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

/// The scores among more classes than the model knows, or others.
fn among(
    judged: Judged<'_>,
    rows: &Rows<'_>,
    labels: &[u32],
    classes: &[Value],
) -> Result<Option<Scores>, String> {
    let place = |class: &Value| {
        let place = classes.iter().position(|known| known == class);
        place.ok_or_else(|| format!("its class {class} is none of the rows' any more, {}", list(classes)))
    };
    let places = judged.classes.iter().map(place).collect::<Result<Vec<usize>, String>>()?;
    let said = judged.model.predict(rows.table, rows.rows).map_err(|error| error.to_string())?;
    let Prediction::Classes { probabilities: said, .. } = said else {
        return Err("it tells no such classes apart".to_owned());
    };
    let mut all = vec![0.0; rows.rows.len() * classes.len()];
    for (of_row, said) in all.chunks_exact_mut(classes.len()).zip(said.chunks_exact(places.len())) {
        places.iter().zip(said).for_each(|(&place, &said)| of_row[place] = said);
    }
    let labels: Vec<u32> = rows.rows.iter().map(|&row| labels[row as usize]).collect();
    tolerant(ClassMetrics::compute(&labels, &all, classes.len() as u32).map(Scores::Classes))
}
