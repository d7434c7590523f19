//! The models that are in use, and those that are not yet: taken up from the newest record, and from each step that trained
//! one, as the gate and people decide.
//!
//! | the model is | a version is trained | |
//! | --- | --- | --- |
//! | pinned by a person | | it is the challenger |
//! | not, without a gate | | it is the champion |
//! | not, with a gate | accepted | it is the champion |
//! | | rejected, or waits | it is the challenger |
//! | | in a batch job the champion cannot answer, or rows are held out that it has learned | it is the champion |

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tidemill_ml::{Fitted, Metric};

use super::learner::Learned;
use super::lesson::{Known, Step};
use super::score::Judged;
use super::tables::{ModelEvent, centres_of, importances_of};
use crate::error::{Error, ErrorKind, Result};
use crate::files::at_once;
use crate::gate::{Compared, decide, remember, stays};
use crate::lake::{Lake, batch_file_name};
use crate::project::{ModelSpec, Over};
use crate::records::{
    Challenger, Evaluation, FileEntry, Gated, Learn, ModelOutcome, ModelStatus, Plan, RecordList, Scores,
    Standing, Verdict,
};
use crate::registry::{Aliases, At, Registry, load};
use crate::table::publish::stage;

/// The models of a job.
pub(super) struct Champions {
    schema_name: String,
    list: Vec<Champion>,
    /// Newer versions that are not in use, with what they are worth.
    challengers: Vec<(Champion, Worth)>,
    /// By model: what its gate remembers.
    standings: HashMap<String, Standing>,
    /// Models of which a person has said which version is in use.
    pinned: Vec<String>,
}

/// What a version is worth, on which rows.
type Worth = Option<(Evaluation, Scores)>;

/// A version of a model.
#[derive(Clone)]
pub(super) struct Champion {
    name: String,
    /// The id of the batch that trained it.
    pub(super) version: u64,
    file: FileEntry,
    pub(super) model: Arc<Fitted>,
    /// The classes that it tells apart, by their numbers; none where it has none, or its record does not say.
    pub(super) classes: Vec<Value>,
    /// How it was made: of what learns online, as the plan of its batch says; of others where it was made or pinned since.
    pub(super) spec: Option<Arc<ModelSpec>>,
}

impl Champion {
    /// As what is scored.
    pub(super) fn judged(&self) -> Judged<'_> {
        Judged { model: &self.model, classes: &self.classes }
    }
}

/// All that there is to tell of a model, one after the other.
pub(super) fn told(parts: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn unscored(why: String) -> String {
    format!("it cannot be scored on these rows: {why}")
}

impl Champions {
    pub(super) fn new(schema_name: &str) -> Champions {
        Champions {
            schema_name: schema_name.to_owned(),
            list: Vec::new(),
            challengers: Vec::new(),
            standings: HashMap::new(),
            pinned: Vec::new(),
        }
    }

    /// The champion of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Champion> {
        self.list.iter().find(|champion| champion.name == name)
    }

    fn challenger(&self, name: &str) -> Option<&(Champion, Worth)> {
        self.challengers.iter().find(|(of, _)| of.name == name)
    }

    /// What there is of a model before its lesson. One that a gate keeps out learns on, until it was rejected so often that it
    /// begins again from the champion.
    pub(super) fn known(&self, spec: &ModelSpec) -> Known<'_> {
        let name = &spec.config.name;
        let champion = self.get(name);
        let standing = self.standings.get(name);
        let gate = spec.config.gate.as_ref();
        let begins_again =
            gate.zip(standing).is_some_and(|(gate, standing)| standing.begins_again(gate.patience));
        let shadow = self.challenger(name).filter(|_| !begins_again).map(|(of, _)| of);
        let compares = spec.config.gate.is_some() || self.pinned.contains(name);
        Known { champion, before: shadow.or(champion), compares }
    }

    /// Takes up those of a learn record. One that another version of Tidemill wrote is left, and one that has learned
    /// nothing, which earlier versions kept.
    ///
    /// # Errors
    /// Storage or Corrupt: a model file that is not there or not what its record says.
    pub(super) fn restore(&mut self, lake: &Lake, newest: &Learn) -> Result<()> {
        let plans: RecordList<Plan> =
            RecordList::read_only(lake.checkpoint(&self.schema_name).join("offsets"));
        // What does not learn online is asked for no spec. Models of a batch job have no plan, and learn on from nothing.
        let spec = |outcome: &ModelOutcome, version: u64| {
            let plan = outcome.algorithm.info().learns_online.then(|| plans.read(version).ok())??;
            plan.program.models.into_iter().find(|spec| spec.config.name == outcome.name).map(Arc::new)
        };
        for outcome in &newest.models {
            let read =
                |version: u64, file: &FileEntry, classes: &[Value]| match load(lake, &outcome.name, file)? {
                    Ok(model) if model.training_rows() > 0 => {
                        let (name, file, classes) = (outcome.name.clone(), file.clone(), classes.to_vec());
                        let spec = spec(outcome, version);
                        Ok(Some(Champion { name, version, file, model: Arc::new(model), classes, spec }))
                    }
                    Ok(_) => Ok(None),
                    Err(error) => {
                        tracing::warn!(model = outcome.name, file = file.path, %error, "trained anew");
                        Ok::<_, Error>(None)
                    }
                };
            if let (Some(version), Some(file)) = (outcome.version, &outcome.file)
                && let Some(champion) = read(version, file, &outcome.classes)?
            {
                self.put(champion);
                if let Some(Challenger { version, file, classes, scores, .. }) = &outcome.challenger {
                    let challenger = read(*version, file, classes)?;
                    let evaluation = outcome.challenger_evaluation();
                    let worth = scores.clone().map(|scores| (evaluation, scores));
                    self.challengers.extend(challenger.map(|challenger| (challenger, worth)));
                }
                self.standings.insert(outcome.name.clone(), outcome.standing.clone());
            }
        }
        Ok(())
    }

    /// Puts the versions in use that people have said are, and tells of those that were not. One that can be had no more (its
    /// file is gone, another version of Tidemill wrote it) is told and left: learning goes on as if it was not pinned.
    ///
    /// # Errors
    /// Storage or Corrupt: a file or record that cannot be read.
    pub(super) fn pin(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        aliases: &Aliases,
    ) -> Result<Vec<ModelEvent>> {
        let mut events = Vec::new();
        self.pinned.clear();
        for spec in specs {
            let name = &spec.config.name;
            let Some((version, why)) = aliases.pinned(name) else { continue };
            let from = self.get(name).map(|champion| champion.version);
            let event = |verdict, to| {
                let (model, why) = (name.clone(), why.to_owned());
                ModelEvent { model, from, to, verdict, why, gated: None }
            };
            if from != Some(version) {
                let registry = Registry::open(lake, &self.schema_name)?;
                let found = registry.find(name, &At::Version(version));
                let loaded = found.and_then(|entry| Ok((registry.load(&entry)?, entry)));
                match loaded {
                    Ok((model, entry)) => {
                        let made = registry.spec(&entry).ok().map(Arc::new);
                        let (name, model, classes) = (name.clone(), Arc::new(model), entry.outcome.classes);
                        self.put(Champion { name, version, file: entry.file, model, classes, spec: made });
                        tracing::info!(
                            model = spec.config.name,
                            batch_id,
                            version,
                            why,
                            "in use from now on"
                        );
                        events.push(event("accepted", Some(version)));
                    }
                    Err(error) if error.kind() == ErrorKind::User => {
                        tracing::warn!(model = name, batch_id, version, %error, "is pinned and cannot be used");
                        events.push(event("refused", from));
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            // What the gate has said before is of another champion, or was overruled.
            self.standings.remove(name);
            self.pinned.push(name.clone());
        }
        Ok(events)
    }

    /// A version is the one in use; what was the challenger is none any more.
    fn put(&mut self, champion: Champion) {
        self.challengers.retain(|(of, _)| of.name != champion.name);
        self.list.retain(|of| of.name != champion.name);
        self.list.push(champion);
    }

    /// The model of each step that has one becomes the champion or the challenger; its file is staged. `events` are those
    /// before the steps.
    ///
    /// # Errors
    /// Storage, when a model file cannot be written.
    pub(super) fn take_up(
        &mut self,
        lake: &Lake,
        batch_id: u64,
        specs: &[ModelSpec],
        steps: Vec<Step>,
        events: Vec<ModelEvent>,
    ) -> Result<Learned> {
        let each: Vec<_> = specs.iter().map(|spec| &spec.config.name).zip(&steps).collect();
        let staged = at_once(&each, |(name, step)| {
            let Some(model) = &step.model else { return Ok(None) };
            let path = format!("{}/_models/{name}/{}", self.schema_name, batch_file_name(batch_id, "model"));
            stage(lake, &format!("model:{name}"), &path, &model.to_bytes()?, 0).map(Some)
        });
        // What a plan does not have is not in its record: a driver that starts after it does not know it.
        let is_there = |of: &Champion| specs.iter().any(|spec| spec.config.name == of.name);
        self.list.retain(is_there);
        self.challengers.retain(|(of, _)| is_there(of));
        let mut learned = Learned { events, ..Learned::default() };
        for ((spec, mut step), file) in specs.iter().zip(steps).zip(staged) {
            let name = &spec.config.name;
            let mut status = if step.reason.is_some() { ModelStatus::Failed } else { ModelStatus::Kept };
            let mut gated = None;
            let mut scores = step.champion_scores.take();
            if let (Some(model), Some(file)) = (step.model.take(), file?) {
                learned.centres.extend(centres_of(name, &model));
                learned.importances.extend(importances_of(name, &model));
                learned.files.push(file.clone());
                gated = self.decide(spec, &step, scores.as_ref())?;
                let (model, classes) = (Arc::new(model), std::mem::take(&mut step.classes));
                let made = Some(Arc::new(spec.clone()));
                let trained =
                    Champion { name: name.clone(), version: batch_id, file, model, classes, spec: made };
                let is_in = gated.as_ref().is_none_or(|gated| gated.verdict == Verdict::Accepted);
                if let Some(gated) = &gated {
                    learned.events.push(self.event(name, batch_id, gated, &step));
                }
                if is_in && !(self.pinned.contains(name) && self.get(name).is_some()) {
                    self.put(trained);
                    (status, scores) = (ModelStatus::Trained, step.scores.take());
                    let anew = gated.as_ref().and(step.anew.take()).map(|anew| anew.reason);
                    if let Some(reason) = &anew {
                        tracing::warn!(model = name, batch_id, reason, "in use without a comparison");
                    }
                    step.reason = told([anew, step.unscored.map(unscored), step.without]);
                } else {
                    self.challengers.retain(|(of, _)| of.name != *name);
                    self.challengers.push((trained, step.scores.take()));
                    status = ModelStatus::Challenger;
                    let asks = spec.config.gate.as_ref().is_none_or(|gate| gate.over == Over::Champion);
                    let incomparable = step.incomparable.map(|why| match asks {
                        true => format!(
                            "the champion cannot be compared on these rows, and stays until one is promoted: {why}"
                        ),
                        false => format!("the champion cannot be scored on these rows: {why}"),
                    });
                    step.reason = told([incomparable, step.unscored.map(unscored), step.without]);
                }
            } else {
                let incomparable = step.incomparable.filter(|_| step.reason.is_none()).map(unscored);
                step.reason = told([step.reason, incomparable, step.without]);
            }
            let without = step.prequential_without;
            let without = without.map(|why| format!("of the rows before they were learned {why}"));
            step.reason = told([step.reason, without]);
            let champion = self.get(name);
            let challenger = self.challenger(name).map(|(of, worth)| Challenger {
                version: of.version,
                file: of.file.clone(),
                classes: of.classes.clone(),
                scores: worth.as_ref().map(|(_, scores)| scores.clone()),
                evaluation: worth.as_ref().map(|(evaluation, _)| *evaluation),
            });
            let (holdout, sample) = match scores {
                Some((Evaluation::Holdout, scores)) => (Some(scores), None),
                Some((Evaluation::Sample, scores)) => (None, Some(scores)),
                None => (None, None),
            };
            learned.outcomes.push(ModelOutcome {
                name: name.clone(),
                algorithm: spec.config.algorithm,
                status,
                reason: step.reason,
                version: champion.map(|c| c.version),
                file: champion.map(|c| c.file.clone()),
                classes: champion.map(|c| c.classes.clone()).unwrap_or_default(),
                seed: spec.config.seed,
                train_rows: step.train_rows,
                holdout,
                sample,
                folds: None,
                prequential: step.prequential,
                prequential_version: step.prequential_version,
                challenger,
                gate: gated,
                standing: self.standings.get(name).cloned().unwrap_or_default(),
                train_ms: step.train_ms,
            });
        }
        Ok(learned)
    }

    /// What the gate of a model says of a new version, and remembers; `None` where there is no gate, or a person has said
    /// which version is in use.
    fn decide(
        &mut self,
        spec: &ModelSpec,
        step: &Step,
        champion: Option<&(Evaluation, Scores)>,
    ) -> Result<Option<Gated>> {
        let name = &spec.config.name;
        let Some(gate) = spec.config.gate.as_ref().filter(|_| !self.pinned.contains(name)) else {
            return Ok(None);
        };
        let metric = gate.metric(spec.config.task(), spec.config.target_kind())?;
        let value =
            |of: Option<&(Evaluation, Scores)>| of.and_then(|(_, scores)| Metric::value(metric, scores));
        let new = step.scores.as_ref();
        let compared = Compared {
            rows: new.map_or(0, |(_, scores)| scores.rows()),
            challenger: value(new),
            champion: value(champion),
        };
        let standing = self.standings.remove(name).unwrap_or_default();
        let is_first = self.get(name).is_none() || step.anew.is_some();
        let gated = match gate.over {
            Over::Champion if step.incomparable.is_some() && !is_first => stays(metric, compared),
            _ => decide(gate, metric, is_first, compared, &standing)?,
        };
        self.standings.insert(name.clone(), remember(gate, &gated, standing));
        Ok(Some(gated))
    }

    /// The row that tells of a gate's decision.
    fn event(&self, name: &str, batch_id: u64, gated: &Gated, step: &Step) -> ModelEvent {
        let from = self.get(name).map(|champion| champion.version);
        let (verdict, to) = match gated.verdict {
            Verdict::Accepted => ("accepted", Some(batch_id)),
            Verdict::Rejected => ("rejected", from),
            Verdict::Waits => ("waits", from),
        };
        let why = match &step.anew {
            _ if from.is_none() => "first",
            Some(anew) => anew.why,
            None => "gate",
        };
        ModelEvent {
            model: name.to_owned(),
            from,
            to,
            verdict,
            why: why.to_owned(),
            gated: Some(gated.clone()),
        }
    }
}
