//! What the records of a job say of its models: of a stream its learn records, of a batch job the commits of its models.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::checkpoint::{JobKind, kind_of_records};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::ModelSpec;
use crate::records::{Commit, Learn, Ledger, Maker, ModelOutcome, Plan, RecordList, TrainedModel};

/// The records of a job, by numbers from 0; of a batch job's model some may be those of a table that was called the same.
#[derive(Debug)]
pub(super) enum Outcomes {
    /// A record a batch, of all models, and how many there are.
    Stream(RecordList<Learn>, u64),
    /// By model: what each of its steps came to, by number.
    Batch(BTreeMap<String, BTreeMap<u64, TrainedModel>>),
}

/// How a version was made.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) spec: ModelSpec,
    /// Who made it, where that is recorded.
    pub(super) made_by: Option<Maker>,
    /// In a stream the plan of its batch.
    pub(super) plan: Option<Plan>,
    /// In a batch job its step.
    pub(super) step: Option<TrainedModel>,
    /// In a stream how many versions there were with it, where that is recorded.
    pub(super) so_far: Option<u64>,
}

impl Outcomes {
    /// Those of a job.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub(super) fn read(lake: &Lake, schema_name: &str) -> Result<Outcomes> {
        let checkpoint = lake.checkpoint(schema_name);
        if kind_of_records(lake, schema_name)? != Some(JobKind::Batch) {
            let learned = Ledger::of(lake, schema_name)?.learned();
            return Ok(Outcomes::Stream(RecordList::read_only(checkpoint.join("learn")), learned));
        }
        let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
        let mut models: BTreeMap<String, BTreeMap<u64, TrainedModel>> = BTreeMap::new();
        let numbers = commits.numbers()?;
        let end = lake.batches(schema_name).map_or(numbers.end, |batches| batches.min(numbers.end));
        for number in numbers.start..end {
            let commit = commits.read(number)?;
            let step = commit.version();
            if let Some(model) = commit.model {
                models.entry(model.outcome.name.clone()).or_default().insert(step, model);
            }
        }
        Ok(Outcomes::Batch(models))
    }

    /// Whether it is a batch job.
    pub(super) fn is_batch(&self) -> bool {
        matches!(self, Outcomes::Batch(_))
    }

    /// What the newest record says of each model.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub(super) fn newest(&self) -> Result<Vec<ModelOutcome>> {
        match self {
            Outcomes::Stream(records, learned) => {
                let newest = learned.checked_sub(1).map(|number| records.read(number)).transpose()?;
                Ok(newest.map_or_else(Vec::new, |record| record.models))
            }
            Outcomes::Batch(models) => {
                let newest = models.values().filter_map(|steps| steps.last_key_value());
                Ok(newest.map(|(_, step)| step.outcome.clone()).collect())
            }
        }
    }

    /// The numbers of the records of a model.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn numbers(&self, model: &str) -> Result<Range<u64>> {
        match self {
            Outcomes::Stream(_, learned) => Ok(0..*learned),
            Outcomes::Batch(models) => {
                let last = models.get(model).and_then(|steps| steps.last_key_value());
                Ok(0..last.map_or(0, |(number, _)| number + 1))
            }
        }
    }

    /// What a record says of a model.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub(super) fn outcome(&self, model: &str, number: u64) -> Result<Option<ModelOutcome>> {
        match self {
            Outcomes::Stream(records, _) => {
                Ok(records.read(number)?.models.into_iter().find(|of| of.name == model))
            }
            Outcomes::Batch(_) => Ok(self.step(model, number).map(|step| step.outcome.clone())),
        }
    }

    fn step(&self, model: &str, number: u64) -> Option<&TrainedModel> {
        let Outcomes::Batch(models) = self else { return None };
        models.get(model)?.get(&number)
    }

    /// How a version was made.
    ///
    /// # Errors
    /// Storage or Corrupt.
    pub(super) fn origin(&self, lake: &Lake, schema_name: &str, model: &str, version: u64) -> Result<Origin> {
        let origin = match self {
            Outcomes::Stream(records, _) => {
                let plans: RecordList<Plan> =
                    RecordList::read_only(lake.checkpoint(schema_name).join("offsets"));
                let plan = plans.read(version)?;
                let learned = records.read(version)?;
                let (made_by, so_far) = (learned.made_by, learned.steps.get(model).copied());
                let spec = plan.program.models.iter().find(|spec| spec.config.name == model).cloned();
                spec.map(|spec| Origin { spec, made_by, plan: Some(plan), step: None, so_far })
            }
            Outcomes::Batch(_) => self.step(model, version).cloned().map(|step| Origin {
                spec: step.spec.clone(),
                made_by: step.made_by.clone(),
                plan: None,
                step: Some(step),
                so_far: None,
            }),
        };
        origin.ok_or_else(|| Error::corrupt(format!("plan {version} does not have the model it trained")))
    }
}
