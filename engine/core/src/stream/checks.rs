//! Whether a job, its topic and its checkpoint still belong together, looked at before anything is read.

use std::path::Path;

use super::driver::Driver;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::recovery::{Recovery, decide};
use crate::error::{Error, ErrorKind, Result};
use crate::project::{may_follow, parse_schema};
use crate::records::{Plan, RESTORE};
use crate::table::evolve::{self, newest_schema};

/// What the records say that is to be done.
///
/// # Errors
/// Corrupt: they contradict each other, or a batch job has written among them.
pub(super) fn recovery(checkpoint: &Checkpoint, folder: &Path) -> Result<Recovery> {
    let (plan, commit) = (checkpoint.offsets.latest()?, checkpoint.commits.latest()?);
    let decided = decide(plan, commit, checkpoint.learn.latest()?);
    if decided.is_err()
        && let Some(number) = commit
        && checkpoint.commits.read(number).is_ok_and(|commit| commit.build.is_some())
    {
        let first =
            (0..number).rev().take_while(|n| checkpoint.commits.read(*n).is_ok_and(|c| c.build.is_some()));
        let first = first.last().unwrap_or(number);
        let place = folder.join("commits");
        return Err(Error::corrupt(format!(
            "a batch job has written commits {first} to {number} in {}, which are the stream's",
            place.display()
        ))
        .hint(format!(
            "move these out of the folder, from {first}.json on: the stream has no rows of them. Give the batch job another \
             name, or run it with another --lake"
        )));
    }
    decided
}

impl Driver {
    /// Whether the topic or the cluster is another one than the last plan's.
    pub(super) fn remade(&self, topic_id: Option<&str>) -> Option<String> {
        let last = self.last_plan.as_ref()?;
        if last.topic.name != self.job.source.topic {
            return Some(format!(
                "the checkpoint is of topic {}, the job reads {}",
                last.topic.name, self.job.source.topic
            ));
        }
        if let (Some(then), Some(now)) = (&last.cluster_id, &self.cluster_id)
            && then != now
        {
            return Some(format!("the checkpoint is of cluster {then}, this is cluster {now}"));
        }
        match (last.topic.id.as_deref(), topic_id) {
            (Some(then), Some(now)) if then != now => Some(format!(
                "topic {} was deleted and made anew (its id was {then}, it is {now})",
                last.topic.name
            )),
            _ => None,
        }
    }

    pub(super) fn data_loss(&self, reason: &str) -> Error {
        Error::new(ErrorKind::DataLoss, format!("the stream cannot go on where it was: {reason}"))
            .hint("rows are lost: if that is accepted, run with --set source.fail_on_data_loss=record")
    }

    /// Offsets of another topic or cluster mean other rows: there is no going on, lossy or not.
    pub(super) fn another(&self, reason: &str) -> Error {
        Error::new(ErrorKind::DataLoss, format!("the stream cannot go on where it was: {reason}")).hint(format!(
            "start anew, which no fail_on_data_loss does by itself: move the folders {} and {} away, or name another \
             lake with --lake",
            self.lake.root().join(&self.job.schema_name).display(),
            self.lake.root().join("system/*").join(&self.job.schema_name).display()
        ))
    }

    pub(super) fn check_identity(&self, plan: &Plan) -> Result<()> {
        match self.remade(self.source.topic_id().as_deref()) {
            Some(reason) => Err(self.another(&reason).context(format!("batch {}", plan.batch_id))),
            None => Ok(()),
        }
    }

    /// `from(N) == to(N-1)`, but for ranges that the plan itself calls lost, and where the commit says that reading ended before.
    pub(super) fn check_continuity(&self) -> Result<()> {
        let Some(last) = &self.last_plan else { return Ok(()) };
        let numbers = self.checkpoint.offsets.numbers()?;
        for number in numbers.start.max(last.batch_id.saturating_sub(1))..last.batch_id {
            let before = self.checkpoint.offsets.read(number)?;
            let ends =
                self.checkpoint.commits.read(number).map(|commit| commit.read.ends).unwrap_or_default();
            for range in &last.topic.partitions {
                let to =
                    before.topic.partitions.iter().find(|p| p.partition == range.partition).map(|p| p.to);
                let to = ends.get(&range.partition).copied().or(to);
                let lost = last.topic.data_loss.iter().any(|l| l.partition == range.partition);
                if let Some(to) = to.filter(|&to| to != range.from && !lost) {
                    return Err(Error::corrupt(format!(
                        "plan {} begins partition {} at offset {}, plan {number} ended at {to}",
                        last.batch_id, range.partition, range.from
                    ))
                    .hint(format!("a plan was changed by hand: {RESTORE}")));
                }
            }
        }
        Ok(())
    }

    /// The message schema may not change under a table.
    pub(super) fn check_schema(&self) -> Result<()> {
        let Some(last) = self.committed_plan()? else { return Ok(()) };
        let before = parse_schema(&last.program.schema_sql)?;
        if !may_follow(&self.job.source.schema, &before) {
            return Err(Error::user("the message schema differs from that of the last batch").hint(
                "this version has no evolution rule: put the schema file back as it was, or start a new table",
            ));
        }
        Ok(())
    }

    /// What the job's transform gives goes into the table as it is by now.
    pub(super) fn check_table(&self) -> Result<()> {
        let table = format!("{}.{}", self.job.schema_name, self.job.table_name);
        match newest_schema(&self.lake, &table)? {
            Some(has) => evolve::check(&table, &has, self.transform.schema()),
            None => Ok(()),
        }
    }
}
