//! The models that a transform asks: each plan pins which versions they are, so that its batch gives the same rows whenever it
//! is run.
//!
//! | a batch is | `predict('job.model', …)` asks |
//! | --- | --- |
//! | planned | the version that the name means then |
//! | run again from its plan | the version of the plan |
//! | run again, and that version can be had no more, or gives other columns | the version that the name means now; the plan is replaced, as nothing of it is committed |
//!
//! A model of the job itself is asked by a version that stays (`@12`, `@batch:12`, an alias): what is in use changes with
//! what the batch before has taught it, and learning may be behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::driver::Driver;
use crate::decode::Decoder;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::Lake;
use crate::predict::{asked_names, transform};
use crate::project::StreamJob;
use crate::records::Asked;
use crate::registry::{At, CHALLENGER, ModelRef, Models};

/// The versions that the names in a job's transform mean now.
///
/// # Errors
/// User: there is no such model or version, or it is one of the job's own that does not stay; Storage or Corrupt.
pub(super) fn asked_now(job: &StreamJob, lake: &Lake) -> Result<BTreeMap<String, Asked>> {
    let Some(sql) = &job.program.transform_sql else { return Ok(BTreeMap::new()) };
    let mut asked = BTreeMap::new();
    for name in asked_names(sql).map_err(|e| e.context("transform"))? {
        let of = || {
            let model: ModelRef = name.parse()?;
            let moves = match &model.at {
                At::Champion => true,
                At::Alias(alias) => alias == CHALLENGER,
                At::Version(_) | At::Batch(_) => false,
            };
            if moves && model.job == job.schema_name {
                let what = format!(
                    "`{name}` is a model of the job itself, which learns from what the transform gives"
                );
                return Err(Error::user(what).hint(format!(
                    "say which version of it, '{}.{}@12', or ask it in a view or in a table of a batch job",
                    model.job, model.model
                )));
            }
            Models::version_of(lake, &model)
        };
        let of = of().map_err(|e| e.context(format!("model `{name}`")).context("transform"))?;
        asked.insert(name, of);
    }
    Ok(asked)
}

/// Of what a transform asks the versions that are of models of this job: those stay.
pub(super) fn own(asked: &BTreeMap<String, Asked>, schema_name: &str) -> Vec<(String, u64)> {
    let of = asked.iter().filter_map(|(name, of)| Some((name.parse::<ModelRef>().ok()?, of.version)));
    of.filter(|(name, _)| name.job == schema_name).map(|(name, version)| (name.model, version)).collect()
}

impl Driver {
    /// Has the transform ask these versions.
    ///
    /// # Errors
    /// User: one has not what the transform asks of it, or can be had no more; Storage or Corrupt: its file.
    pub(super) async fn ask(&mut self, asked: &BTreeMap<String, Asked>) -> Result<()> {
        if *asked == self.asked {
            return Ok(());
        }
        let decoder = Decoder::new(self.job.source.schema.clone());
        let sql = transform(self.job.program.transform_sql.as_deref(), &decoder, &self.lake, asked).await?;
        let sql = sql.keeping(&self.kept);
        if sql.schema() != self.transform.schema() {
            return Err(Error::user("the transform gives other columns by the models that it asks now")
                .context("transform")
                .hint("stop the stream and start it again, which says whether its table can take them, or name a version: @12"));
        }
        for (name, of) in asked.iter().filter(|(name, of)| self.asked.get(*name) != Some(of)) {
            tracing::info!(model = name, version = of.version, "asked by the transform from now on");
        }
        self.transform = Arc::new(sql);
        self.asked.clone_from(asked);
        Ok(())
    }

    /// Has the transform ask the versions that a batch was planned with which is not committed; the present one where one can
    /// be had no more, or the table has the columns that the transform gives by the present ones.
    ///
    /// # Errors
    /// Storage or Corrupt: the records of a model, or a file that is not what its record says.
    pub(super) async fn ask_again(
        &mut self,
        planned: &BTreeMap<String, Asked>,
    ) -> Result<BTreeMap<String, Asked>> {
        let (now, asked) = (self.asked.clone(), self.asked_again(planned)?);
        match self.ask(&asked).await {
            Ok(()) => Ok(asked),
            Err(error) if error.kind() == ErrorKind::User => {
                tracing::warn!(%error, "the batch is run with the present models, as nothing of it is committed");
                self.ask(&now).await?;
                Ok(now)
            }
            Err(error) => Err(error),
        }
    }

    /// The versions that a batch asks which was planned with these and is not committed.
    fn asked_again(&self, planned: &BTreeMap<String, Asked>) -> Result<BTreeMap<String, Asked>> {
        let mut asked = self.asked.clone();
        for (name, now) in &mut asked {
            let Some(then) = planned.get(name).filter(|then| *then != now) else { continue };
            match Models::pinned(&self.lake, [(name, then)]) {
                Ok(_) => now.clone_from(then),
                Err(error) if error.kind() == ErrorKind::User => tracing::warn!(
                    model = name,
                    planned = then.version,
                    version = now.version,
                    %error,
                    "the batch is run with another version than it was planned with, of which nothing is committed"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok(asked)
    }
}
