//! Which statements of a job run at the same time, and how their joins are planned.
//!
//! A SELECT of a table or of an audit runs beside others, with joins by hashing. Where the memory limit does not suffice
//! for these, or for all that runs at the time, it is planned again with joins of sorted rows, which spill, and runs alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::memory::Asker;
use crate::error::{ErrorKind, Result};

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
    /// The next turn of the statement of this file, if another may do better.
    pub(super) async fn after<T>(self, result: &Result<T>, path: &str) -> Option<Turn<'a>> {
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
        // What others hold cannot be spilled by this one.
        let held = Held::Alone(turns.0.write().await);
        Some(Turn { joins: Joins::Sorted { batch_rows }, turns, tries: tries + 1, held })
    }
}
