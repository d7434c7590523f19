//! Which files compaction has made of others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::FileEntry;
use super::format::Record;
use super::snapshot::EVERY;

/// Batches whose files may become one, the most first: so a row is written anew three times at most.
const SPANS: [u64; 3] = [EVERY * 10_000, EVERY * 100, EVERY];

/// `compactions/N.json`: files of tables that others stand for from now on, with the same rows in the same order. Record N is
/// written when the batches before `Compaction::due` are learned from; what it does is a function of the records of these
/// batches, whenever it is done. Its creation changes the tables at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// Number of the record, from 0 without gaps.
    pub number: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// How many batches were committed by then: the version of this number of the table's Delta log has it.
    pub committed: u64,
    /// The files.
    pub merged: Vec<Merged>,
}

/// Files of one table that have become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// First batch that has rows in it.
    pub first: u64,
    /// Last batch that has.
    pub last: u64,
    /// The file that they have become.
    pub into: FileEntry,
    /// Those that it was made of, in the order of their rows.
    pub of: Vec<FileEntry>,
}

impl Record for Compaction {}

impl Compaction {
    /// How many batches have to be learned from before the record of this number is written.
    pub(crate) fn due(number: u64) -> u64 {
        number.saturating_add(1).saturating_mul(EVERY)
    }

    /// The first batch whose files the record of this number may take.
    pub(crate) fn first_batch(number: u64) -> u64 {
        let end = Compaction::due(number);
        let span = SPANS.into_iter().find(|span| end.is_multiple_of(*span));
        end - span.unwrap_or(EVERY)
    }

    /// The records that may take files of a batch, in their order.
    pub(crate) fn taking(batch: u64) -> BTreeSet<u64> {
        SPANS.into_iter().map(|span| (batch / span + 1) * span / EVERY - 1).collect()
    }

    /// The files that it adds.
    pub fn added(&self) -> impl Iterator<Item = &FileEntry> {
        self.merged.iter().map(|merged| &merged.into)
    }

    /// The files that it takes out.
    pub fn removed(&self) -> impl Iterator<Item = &FileEntry> {
        self.merged.iter().flat_map(|merged| &merged.of)
    }

    /// Those of these files that it has not taken out.
    pub(crate) fn left_of(compaction: Option<&Compaction>, files: &[FileEntry]) -> Vec<FileEntry> {
        let removed: BTreeSet<&str> =
            compaction.iter().flat_map(|of| of.removed()).map(|file| file.path.as_str()).collect();
        files.iter().filter(|file| !removed.contains(file.path.as_str())).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_100_files_of_one_level_and_a_batch_is_taken_three_times_at_most() {
        let of = |number| (Compaction::first_batch(number), Compaction::due(number));
        assert_eq!([of(0), of(1), of(98)], [(0, 100), (100, 200), (9_800, 9_900)]);
        assert_eq!([of(99), of(100), of(199)], [(0, 10_000), (10_000, 10_100), (10_000, 20_000)]);
        assert_eq!(of(9_999), (0, 1_000_000));
        for batch in [0, 99, 100, 9_950, 10_000, 123_456, 999_999, 1_000_000] {
            let taking: Vec<u64> = Compaction::taking(batch).into_iter().collect();
            let all = (0..20_100).filter(|number| (of(*number).0..of(*number).1).contains(&batch));
            assert_eq!(taking, all.collect::<Vec<_>>(), "{batch}");
        }
    }
}
