//! The log compared with what was read of it, before a batch reads on after a start or a lost connection.

use std::collections::BTreeMap;

use super::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::project::FailOnDataLoss;
use crate::records::Mark;
use crate::source::marks::{to_compare, written_again};

/// Commits that are looked at for the mark of a partition: one that has had no message for longer is not compared.
const MOST_COMMITS: usize = 10;

impl Batch<'_> {
    /// Reads the last message of each partition once more where a connection was made since, and records the loss
    /// where it is another one.
    ///
    /// # Errors
    /// Source; DataLoss where the job is to stop at it.
    pub(super) fn compare_log(&mut self) -> Result<()> {
        if !self.driver.source.take_reconnected() || self.driver.marks.is_empty() {
            return Ok(());
        }
        let watermarks = self.driver.source.watermarks()?;
        let ranges = to_compare(&self.driver.marks, &self.plan.topic.partitions, &watermarks);
        if ranges.is_empty() {
            return Ok(());
        }
        // What is gone by now tells nothing; the batch itself says so if it misses it.
        let read = self.driver.source.read(&ranges, FailOnDataLoss::Ignore)?;
        for (loss, now) in written_again(&self.driver.marks, &ranges, &read.rows) {
            if self.driver.job.source.fail_on_data_loss == FailOnDataLoss::Fail {
                return Err(self.driver.data_loss(&loss.reason));
            }
            tracing::warn!(
                reason = loss.reason,
                topic = self.plan.topic.name,
                "the log is another one, the stream goes on"
            );
            // Looked at again, it is the log that there is now.
            self.driver.marks.insert(loss.partition, now.clone());
            self.marks.entry(loss.partition).or_insert(now);
            self.lost.push(loss);
        }
        Ok(())
    }
}

/// The newest mark of each partition; none where what was read after it is known to be of another log.
pub(super) fn newest_marks(checkpoint: &Checkpoint) -> Result<BTreeMap<i32, Mark>> {
    let mut marks: BTreeMap<i32, Option<Mark>> = BTreeMap::new();
    let mut partitions = usize::MAX;
    for number in checkpoint.commits.numbers()?.rev().take(MOST_COMMITS) {
        let (plan, commit) = (checkpoint.offsets.read(number)?, checkpoint.commits.read(number)?);
        for (partition, mark) in commit.read.marks {
            marks.entry(partition).or_insert(Some(mark));
        }
        for partition in
            plan.topic.data_loss.iter().map(|loss| loss.partition).chain(commit.read.ends.into_keys())
        {
            marks.entry(partition).or_insert(None);
        }
        partitions = partitions.min(plan.topic.partitions.len());
        if marks.len() >= partitions {
            break;
        }
    }
    Ok(marks.into_iter().filter_map(|(partition, mark)| Some((partition, mark?))).collect())
}
