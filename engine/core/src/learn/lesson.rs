//! What one model does after one batch, whatever it learns from.
//!
//! ```text
//! champion ──score──> prequential        rows of the batch, before they are learned
//! champion ──refit on `train`──> model   if it has its turn, and there is something to learn; online: partial_fit
//! model, else champion ──score──> holdout or sample
//! ```
//!
//! Where both are scored to be compared, it is on the rows that both have an answer for: a step of either may refuse others.

use std::time::Instant;

use serde_json::Value;
use tidemill_ml::{Cache, ClusterSpace, Error, Estimator, Fitted, Material, Rows};

use super::champions::Champion;
use super::history::HistoryKey;
use super::score::{Judged, Worth, answered_by_both, score};
use crate::project::{ModelSpec, Over};
use crate::records::{Evaluation, Scores};

/// What one model learns from after a batch, and is scored on.
pub(super) struct Lesson<'a> {
    /// What it is trained by, and on; `None` where it has no turn. The reason where it cannot be.
    pub(super) train: Result<Option<Train<'a>>, String>,
    /// The rows of the batch, for the model before it.
    pub(super) prequential: Option<Rows<'a>>,
    /// What the model is scored on after the batch.
    pub(super) score: Option<(Evaluation, Rows<'a>)>,
    /// The space in which clusters of a state are scored.
    pub(super) space: Option<&'a ClusterSpace>,
    /// Rows that models can train on, also where this one does not.
    pub(super) train_rows: u64,
    /// The classes of the rows, by their numbers; none where they have none.
    pub(super) classes: Vec<Value>,
    /// What is kept of the rows for all models that learn from them.
    pub(super) rows_cache: Option<&'a Cache>,
}

/// Rows to train on.
pub(super) struct Train<'a> {
    pub(super) estimator: Estimator,
    pub(super) rows: Rows<'a>,
    /// The classes of these rows, by their numbers: a class without rows has none here.
    pub(super) classes: Vec<Value>,
    pub(super) begins: Begins,
    pub(super) seed: u64,
}

/// Where a fit begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// At nothing: the rows of before may be others now.
    Anew,
    /// At the model before, which has learned the first ones of the rows, or at nothing.
    Before,
    /// The rows are new ones alone: the model learns them on top of what it knows.
    OnTop,
}

/// What there is of a model before its lesson.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The one in use.
    pub(super) champion: Option<&'a Champion>,
    /// The one that it learns on from: the champion or, where that stayed, a later one.
    pub(super) before: Option<&'a Champion>,
    /// Whether the new one does not take the champion's place by itself.
    pub(super) compares: bool,
}

/// Why a gate does not ask the champion about a new version, which is taken up as a first one is.
pub(super) struct Anew {
    /// In a word.
    pub(super) why: &'static str,
    pub(super) reason: String,
}

/// What a model made of its lesson.
#[derive(Default)]
pub(super) struct Step {
    pub(super) model: Option<Fitted>,
    /// The classes that it tells apart, by their numbers.
    pub(super) classes: Vec<Value>,
    pub(super) reason: Option<String>,
    /// What the new model is worth, and on which rows.
    pub(super) scores: Option<(Evaluation, Scores)>,
    /// What the champion is worth on the same rows, where they are compared or there is no new one.
    pub(super) champion_scores: Option<(Evaluation, Scores)>,
    /// Why the champion cannot be scored on these rows, where they would be compared: it has other features, or classes.
    pub(super) incomparable: Option<String>,
    /// Why the new model cannot be scored.
    pub(super) unscored: Option<String>,
    /// Of how many rows the scores do not tell, and why.
    pub(super) without: Option<String>,
    /// What the new model is worth by itself, where it is compared on fewer rows than it has an answer for, or others.
    pub(super) alone: Option<Worth>,
    /// Why the champion need not be asked.
    pub(super) anew: Option<Anew>,
    pub(super) prequential: Option<Scores>,
    pub(super) prequential_version: Option<u64>,
    /// Of how many rows the prequential scores do not tell, and why.
    pub(super) prequential_without: Option<String>,
    pub(super) train_rows: u64,
    pub(super) train_ms: f64,
}

impl Step {
    /// One that was not taken, and why.
    pub(super) fn failed(reason: impl Into<String>) -> Step {
        Step { reason: Some(reason.into()), ..Step::default() }
    }

    pub(super) fn panicked() -> Step {
        Step::failed("a defect of Tidemill: training panicked")
    }

    /// The champion is not asked: the new model is worth what it is by itself.
    pub(super) fn compare_no_more(&mut self, evaluation: Evaluation) {
        self.champion_scores = None;
        if let Some(Worth { scores, without, .. }) = self.alone.take() {
            (self.scores, self.without) = (scores.map(|scores| (evaluation, scores)), without);
        }
    }
}

impl<'a> Lesson<'a> {
    /// Nothing to learn and nothing to be scored on.
    pub(super) fn refused(reason: impl Into<String>) -> Lesson<'a> {
        Lesson {
            train: Err(reason.into()),
            prequential: None,
            score: None,
            space: None,
            train_rows: 0,
            classes: Vec::new(),
            rows_cache: None,
        }
    }

    /// Takes the step.
    pub(super) fn learn(self, batch_id: u64, spec: &ModelSpec, known: Known<'_>, cache: &mut Cache) -> Step {
        let Known { champion, before, compares } = known;
        let mut step = Step { train_rows: self.train_rows, ..Step::default() };
        if let Some(shared) = self.rows_cache {
            cache.share_rows(shared);
        }
        let (seed, classes, space) = (spec.config.seed, &self.classes, self.space);
        let score = |judged: Judged<'_>, rows: &Rows<'_>, cache: &Cache| {
            score(judged, rows, classes, space, seed, cache)
        };
        if let Some((champion, rows)) = champion.zip(self.prequential.as_ref()) {
            let worth = score(champion.judged(), rows, cache).unwrap_or_default();
            (step.prequential, step.prequential_without) = (worth.scores, worth.without);
            step.prequential_version = step.prequential.as_ref().map(|_| champion.version);
        }
        let started = Instant::now();
        match self.train {
            Err(reason) => step.reason = Some(reason),
            Ok(None) => {}
            Ok(Some(Train { estimator, rows, classes, begins, seed })) => {
                // What it learns on from has the same classes by the same numbers.
                let before = before.filter(|of| of.classes.is_empty() || of.classes == classes);
                // Of other rows or by other settings, what was learned before says nothing.
                let is_alike = |of: &Champion| of.spec.as_ref().is_some_and(|by| alike(by, spec));
                let before = before.filter(|of| begins != Begins::OnTop || is_alike(of));
                let before = before.map(|before| before.model.as_ref());
                let learned = match begins {
                    Begins::Anew => estimator.fit(&rows, seed),
                    Begins::Before => estimator.refit(&rows, seed, before, cache),
                    Begins::OnTop => estimator.partial_fit(&rows, seed, before),
                };
                match learned {
                    Ok(model) => (step.model, step.classes) = (Some(model), classes),
                    Err(error) => step.reason = Some(in_words(&error, &classes)),
                }
                if step.model.is_some() && !cache.reseeded().is_empty() {
                    let (model, clusters) = (&spec.config.name, cache.reseeded());
                    tracing::info!(model, batch_id, ?clusters, "clusters begun again");
                }
                step.train_ms = started.elapsed().as_secs_f64() * 1e3;
            }
        }
        let Some((evaluation, rows)) = self.score else { return step };
        let of = |judged: Judged<'_>| score(judged, &rows, cache);
        let of_these = |judged: Judged<'_>, these: &[u32]| {
            score(judged, &Rows { rows: these, ..rows }, &Cache::new()).map(|worth| worth.scores)
        };
        let new = step.model.as_ref().map(|model| Judged { model, classes: &step.classes });
        let old = champion.filter(|_| compares || new.is_none()).map(Champion::judged);
        let (mut worth, mut worth_of_old) = (new.map(of), old.map(of));
        // A mean of former values is of the rows of their times.
        let is_of_mean = spec.config.gate.as_ref().is_some_and(|gate| gate.over == Over::AcceptedMean);
        if let (Some(new), Some(old), false) = (new, old, is_of_mean)
            && let (Some(Ok(one)), Some(Ok(other))) = (&mut worth, &mut worth_of_old)
            && one.answered != other.answered
        {
            let both = answered_by_both(rows.rows, one.answered.as_deref(), other.answered.as_deref());
            let why = |of: &str, worth: &Worth| worth.without.as_ref().map(|why| format!("; {of}: {why}"));
            let without = format!(
                "scored on the {} of {} rows that it and the champion have an answer for{}{}",
                both.len(),
                rows.rows.len(),
                why("it", one).unwrap_or_default(),
                why("the champion", other).unwrap_or_default()
            );
            let answers = |judged| if both.is_empty() { Ok(None) } else { of_these(judged, &both) };
            match (answers(new), answers(old)) {
                (Ok(scores), Ok(scores_of_old)) => {
                    other.scores = scores_of_old;
                    let compared = Worth { scores, without: Some(without), answered: Some(both) };
                    step.alone = Some(std::mem::replace(one, compared));
                }
                (_, Err(why)) => worth_of_old = Some(Err(why)),
                (Err(why), _) => worth = Some(Err(why)),
            }
        }
        let is_new = step.model.is_some();
        let scored = |scores: Option<Scores>| scores.map(|scores| (evaluation, scores));
        match worth {
            Some(Ok(Worth { scores, without, .. })) => {
                (step.scores, step.without) = (scored(scores), without)
            }
            Some(Err(why)) => step.unscored = Some(why),
            None => {}
        }
        match worth_of_old {
            Some(Ok(Worth { scores, without, .. })) => {
                step.champion_scores = scored(scores);
                step.without = if is_new { step.without } else { without };
            }
            Some(Err(why)) => step.incomparable = Some(why),
            None => {}
        }
        step
    }
}

/// Whether a model learns from the same rows, the same target, and by the same settings.
pub(super) fn alike(one: &ModelSpec, other: &ModelSpec) -> bool {
    let training = |spec: &ModelSpec| spec.config.training(Material::Rows).ok();
    HistoryKey::of(one) == HistoryKey::of(other) && training(one) == training(other)
}

/// Why nothing was learned; a class by its name.
fn in_words(error: &Error, classes: &[Value]) -> String {
    match error {
        Error::OneOfManyClasses { class, rows } => {
            let class = classes.get(*class as usize).map(Value::to_string).unwrap_or_default();
            format!("all {rows} rows to train on are of class {class}: there is nothing to tell apart")
        }
        other => other.to_string(),
    }
}
