//! What a driver does on start, from the newest number of each list alone.
//!
//! | plan | commit | learn | decision |
//! | --- | --- | --- | --- |
//! | – | – | – | plan batch 0 |
//! | 0 | – | – | run batch 0 again, by its plan |
//! | N | N−1 | L ≤ N−1 | run batch N again, by its plan; learn L+1..N beside it, in order |
//! | N | N | L ≤ N | plan batch N+1; learn L+1..=N beside it, in order |
//! | N or – | more than N | any | corrupt: a commit without a plan |
//! | N | less than N−1 | any | corrupt: commits are missing |
//! | any | N or – | more than N | corrupt: learned from a batch that is not committed |
//!
//! A state is folded in order: a job that keeps one learns L+1.. before it goes on (see `stream`).
//!
//! "–" counts as one less than 0 and "L+1" from "–" is 0.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::records::RESTORE;

/// What an earlier run has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Committed batches that are still to be learned from, in order.
    pub learn: Range<u64>,
    /// A batch that has a plan but no commit, to be run by that plan.
    pub rerun: Option<u64>,
    /// The number of the next new batch.
    pub next: u64,
}

/// Decides, see the table above.
///
/// # Errors
/// Corrupt, where the table says so.
pub fn decide(plan: Option<u64>, commit: Option<u64>, learn: Option<u64>) -> Result<Recovery> {
    let count = |newest: Option<u64>| newest.map_or(0, |n| n.saturating_add(1));
    let (plans, commits, learned) = (count(plan), count(commit), count(learn));
    let hint = format!("a record was deleted or copied by hand: {RESTORE}");
    if commits > plans {
        return Err(Error::corrupt(format!("commit {} has no plan", commits - 1)).hint(hint));
    }
    if plans > commits + 1 {
        return Err(Error::corrupt(format!(
            "batch {commits} was never committed though batch {} was planned",
            plans - 1
        ))
        .hint(hint));
    }
    if learned > commits {
        return Err(Error::corrupt(format!(
            "there is a learn record {} for a batch that was never committed",
            learned - 1
        ))
        .hint(hint));
    }
    Ok(Recovery { learn: learned..commits, rerun: (plans > commits).then_some(commits), next: plans })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(learn: Range<u64>, rerun: Option<u64>, next: u64) -> Option<Recovery> {
        Some(Recovery { learn, rerun, next })
    }

    #[test]
    fn every_row_of_the_truth_table() {
        let cases = [
            ((None, None, None), ok(0..0, None, 0)),
            ((Some(0), None, None), ok(0..0, Some(0), 1)),
            ((Some(3), Some(2), Some(2)), ok(3..3, Some(3), 4)),
            ((Some(3), Some(2), Some(0)), ok(1..3, Some(3), 4)),
            ((Some(3), Some(2), None), ok(0..3, Some(3), 4)),
            ((Some(3), Some(3), Some(3)), ok(4..4, None, 4)),
            ((Some(3), Some(3), Some(1)), ok(2..4, None, 4)),
            ((Some(0), Some(0), None), ok(0..1, None, 1)),
            ((None, Some(0), None), None),
            ((Some(1), Some(2), None), None),
            ((Some(2), Some(0), None), None),
            ((Some(1), None, None), None),
            ((Some(2), Some(2), Some(3)), None),
            ((None, None, Some(0)), None),
        ];
        for ((plan, commit, learn), expected) in cases {
            assert_eq!(decide(plan, commit, learn).ok(), expected, "{plan:?} {commit:?} {learn:?}");
        }
    }

    proptest! {
        /// Whatever step a driver dies at, the next one takes up every batch once.
        #[test]
        fn any_point_of_a_run_is_recovered(batches in 0u64..20, step in 0u8..3) {
            let done = batches.checked_sub(1);
            let (plan, commit, learn) = match step {
                0 => (done, done, done),
                1 => (Some(batches), done, done),
                _ => (Some(batches), Some(batches), done),
            };
            let recovery = decide(plan, commit, learn).unwrap();
            let learned: Vec<u64> = (0..batches).chain(recovery.learn.clone()).chain(recovery.rerun).collect();
            prop_assert_eq!(learned, (0..recovery.next).collect::<Vec<_>>());
        }
    }
}
