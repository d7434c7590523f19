//! Which statements of a job run at the same time, and how their joins are planned.
//!
//! A SELECT of a table or of an audit runs beside others, with joins by hashing. Where the memory limit does not suffice
//! for these, or for all that runs at the time, it is planned again with joins of sorted rows, which spill, and runs alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{ErrorKind, Result};
use crate::sql::Asker;

/// Rows of a batch where memory did not suffice for joins by hashing, and where that did not either: each of many sorts goes
/// on with less the smaller they are, and takes longer. `olist.wide`, a chain of joins of 56 columns, takes 0.9 s by hashing
/// in 67 MB, 7 s in 40 MB and 23 s in 20 MB.
const SORTED_BATCH_ROWS: [usize; 3] = [512, 64, 16];

/// How joins are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joins {
    /// A hash table of one side, in memory.
    Hashed,
    /// Both sides sorted, on disk where memory does not suffice.
    Sorted {
        /// Rows that go from step to step at once.
        batch_rows: usize,
    },
}

/// Held by each statement that runs, and by one that has the memory to itself as a writer.
#[derive(Debug, Default)]
pub(super) struct Turns(RwLock<()>);

/// A statement's turn to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// How its joins are to be planned.
    pub joins: Joins,
    turns: &'a Turns,
    /// How many of [`SORTED_BATCH_ROWS`] were tried.
    tries: usize,
    held: Held<'a>,
}

#[derive(Debug)]
enum Held<'a> {
    BesideOthers(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
}

impl Turns {
    /// The first turn of a statement.
    pub(super) async fn first(&self) -> Turn<'_> {
        let held = Held::BesideOthers(self.0.read().await);
        Turn { joins: Joins::Hashed, turns: self, tries: 0, held }
    }
}

impl<'a> Turn<'a> {
    /// The next turn of the statement of this file, if another may do better; `forget` what the last one did before it is
    /// waited for.
    pub(super) async fn after<T>(
        self,
        result: &Result<T>,
        path: &str,
        forget: impl FnOnce(),
    ) -> Option<Turn<'a>> {
        let Turn { turns, tries, held, .. } = self;
        drop(held);
        let Err(error) = result else { return None };
        // An aggregate over all rows has no use for sorted joins, but may have for the memory of others: once.
        let is_vain = tries > 0 && Asker::of(error) == Asker::Total;
        if error.kind() != ErrorKind::Memory || is_vain {
            return None;
        }
        let batch_rows = *SORTED_BATCH_ROWS.get(tries)?;
        tracing::info!("{path}: {error}; planned again with joins of sorted rows, {batch_rows} at a time");
        forget();
        // What others hold cannot be spilled by this one.
        let held = Held::Alone(turns.0.write().await);
        Some(Turn { joins: Joins::Sorted { batch_rows }, turns, tries: tries + 1, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// The joins of each turn where every attempt ends in this error, and how often the last was forgotten.
    async fn turns_after(kind: ErrorKind, asker: &str) -> (Vec<Joins>, usize) {
        let (turns, mut forgotten) = (Turns::default(), 0);
        let error = Error::new(kind, format!("Failed to allocate 2.0 MB for {asker} with 6.2 MB allocated"));
        let result: Result<()> = Err(error);
        let mut turn = turns.first().await;
        let mut joins = vec![turn.joins];
        while let Some(next) = turn.after(&result, "a.sql", || forgotten += 1).await {
            joins.push(next.joins);
            assert!(turns.0.try_read().is_err(), "it is alone");
            turn = next;
        }
        assert!(turns.0.try_write().is_ok(), "and lets others in");
        (joins, forgotten)
    }

    #[tokio::test]
    async fn what_memory_does_not_suffice_for_is_tried_with_smaller_sorted_joins_alone() {
        let sorted = |batch_rows| Joins::Sorted { batch_rows };
        let all = vec![Joins::Hashed, sorted(512), sorted(64), sorted(16)];
        assert_eq!(turns_after(ErrorKind::Memory, "HashJoinInput").await, (all, 3));
        // For an aggregate over all rows no joins are better than others.
        let once = vec![Joins::Hashed, sorted(512)];
        assert_eq!(turns_after(ErrorKind::Memory, "AggregateStream[1]").await, (once, 1));
        assert_eq!(turns_after(ErrorKind::Data, "HashJoinInput").await, (vec![Joins::Hashed], 0));
    }
}
