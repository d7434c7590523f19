//! The steps of a batch, for tests that have the driver die after one.

/// Steps after which a test may have the driver die; see [`super::Driver::crash_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The plan is written.
    Plan,
    /// The messages are read.
    Read,
    /// The table file is staged.
    Stage,
    /// The commit is created, nothing is renamed.
    Commit,
    /// The staged files of the commit are renamed.
    Publish,
    /// The table's Delta log has the batch.
    Delta,
    /// The models are trained and staged.
    Train,
    /// The learn record is created, nothing is renamed.
    Learn,
    /// The files of the learn record are renamed.
    PublishLearn,
    /// The files that compaction makes of others are staged, where one is due.
    Merge,
    /// The compaction is recorded, nothing is renamed.
    Compaction,
    /// Its files are renamed, those that they were made of are out of sight.
    PublishCompaction,
    /// One of the files that were taken out long ago is removed.
    Vacuum,
    /// The snapshot of the records is written, where one is due.
    Snapshot,
}

impl CrashPoint {
    /// All points of every batch, in their order.
    pub const ALL: [CrashPoint; 10] = [
        CrashPoint::Plan,
        CrashPoint::Read,
        CrashPoint::Stage,
        CrashPoint::Commit,
        CrashPoint::Publish,
        CrashPoint::Delta,
        CrashPoint::Train,
        CrashPoint::Learn,
        CrashPoint::PublishLearn,
        CrashPoint::Snapshot,
    ];

    /// Those of batches after which files are compacted.
    pub const COMPACTION: [CrashPoint; 4] =
        [CrashPoint::Merge, CrashPoint::Compaction, CrashPoint::PublishCompaction, CrashPoint::Vacuum];
}
