//! The values of a frame that moves, as a queue of two stacks.
//!
//! Each place of the older stack has the figures of what is above it, the younger one those of all that it holds, and a frame
//! has those of both put together. When the older one is empty the younger one is turned over. So a value is counted
//! twice, whatever the length of the frame, and one that has left is gone: nothing is ever taken out of a sum.

use datafusion::common::{Result, internal_err};

/// What is known of some values: enough to know it of more.
pub(super) trait Figures: Copy {
    type Value: Copy;

    /// Of no value.
    const NONE: Self;

    fn of(value: Self::Value) -> Self;

    /// Of the values of both, the earlier ones first.
    fn with(self, later: Self) -> Self;
}

#[derive(Debug)]
pub(super) struct Queue<F: Figures> {
    /// The oldest last, each with the younger ones of this stack.
    old: Vec<F>,
    young: Vec<F::Value>,
    all_young: F,
}

impl<F: Figures> Queue<F> {
    pub(super) fn new() -> Queue<F> {
        Queue { old: Vec::new(), young: Vec::new(), all_young: F::NONE }
    }

    pub(super) fn push(&mut self, value: F::Value) {
        self.young.push(value);
        self.all_young = self.all_young.with(F::of(value));
    }

    /// Drops the oldest value.
    ///
    /// # Errors
    /// Internal: there is none.
    pub(super) fn pop(&mut self) -> Result<()> {
        if self.old.is_empty() {
            let mut above = F::NONE;
            for value in self.young.drain(..).rev() {
                above = F::of(value).with(above);
                self.old.push(above);
            }
            self.all_young = F::NONE;
        }
        match self.old.pop() {
            Some(_) => Ok(()),
            None => internal_err!("a value leaves a frame that it was not in"),
        }
    }

    /// Of all values.
    pub(super) fn all(&self) -> F {
        self.old.last().copied().unwrap_or(F::NONE).with(self.all_young)
    }

    /// What it takes of memory beyond itself.
    pub(super) fn bytes(&self) -> usize {
        self.old.capacity() * size_of::<F>() + self.young.capacity() * size_of::<F::Value>()
    }
}
