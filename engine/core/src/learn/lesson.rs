//! What one model does after one batch, whatever it learns from.
//!
//! ```text
//! champion ──score──> prequential        rows of the batch, before they are learned
//! champion ──refit on `train`──> model   if it has its turn, and there is something to learn
//! model, else champion ──score──> holdout or sample
//! ```

use std::time::Instant;

use tidemill_ml::{Cache, ClusterSpace, Estimator, Fitted, Rows};

use super::champions::Champion;
use crate::project::ModelSpec;
use crate::records::Scores;

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
    /// What is kept of the rows for all models that learn from them.
    pub(super) rows_cache: Option<&'a Cache>,
}

/// Rows to train on.
pub(super) struct Train<'a> {
    pub(super) estimator: Estimator,
    pub(super) rows: Rows<'a>,
    pub(super) seed: u64,
}

/// Which rows a model is scored on after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evaluation {
    /// Those that no model trains on.
    Holdout,
    /// A sample of a state.
    Sample,
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

/// What a model made of its lesson.
#[derive(Default)]
pub(super) struct Step {
    pub(super) model: Option<Fitted>,
    pub(super) reason: Option<String>,
    /// What the new model is worth, and on which rows.
    pub(super) scores: Option<(Evaluation, Scores)>,
    /// What the champion is worth on the same rows, where they are compared or there is no new one.
    pub(super) champion_scores: Option<(Evaluation, Scores)>,
    pub(super) prequential: Option<Scores>,
    pub(super) prequential_version: Option<u64>,
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
        let score = |model: &Fitted, rows: &Rows<'_>, cache: &Cache| {
            let scores = match self.space {
                Some(space) => model.score_in(space, rows, spec.config.seed),
                None => model.score_kept(rows, spec.config.seed, cache),
            };
            scores.ok()
        };
        if let Some((champion, rows)) = champion.zip(self.prequential.as_ref()) {
            step.prequential = score(&champion.model, rows, cache);
            step.prequential_version = step.prequential.as_ref().map(|_| champion.version);
        }
        let started = Instant::now();
        let before = before.map(|before| before.model.as_ref());
        match self.train {
            Err(reason) => step.reason = Some(reason),
            Ok(None) => {}
            Ok(Some(Train { estimator, rows, seed })) => {
                match estimator.refit(&rows, seed, before, cache) {
                    Ok(model) => step.model = Some(model),
                    Err(error) => step.reason = Some(error.to_string()),
                }
                if step.model.is_some() && !cache.reseeded().is_empty() {
                    let (model, clusters) = (&spec.config.name, cache.reseeded());
                    tracing::info!(model, batch_id, ?clusters, "clusters begun again");
                }
                step.train_ms = started.elapsed().as_secs_f64() * 1e3;
            }
        }
        if let Some((evaluation, rows)) = self.score {
            let of = |model: &Fitted| score(model, &rows, cache).map(|scores| (evaluation, scores));
            step.scores = step.model.as_ref().and_then(of);
            if compares || step.model.is_none() {
                step.champion_scores = champion.and_then(|champion| of(&champion.model));
            }
        }
        step
    }
}
