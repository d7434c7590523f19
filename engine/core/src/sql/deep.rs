//! Recursion that has the stack it needs.
//!
//! DataFusion plans by recursion, and a thread of a runtime has 2 MB of stack: an expression of 150 sums passes its end in
//! a debug build, and the process is gone. A future that is made deep gets another stack whenever it goes on.

use std::future::{Future, poll_fn};
use std::sync::LazyLock;

use crate::memory;

/// Below so many bytes of stack there is another one.
const ENOUGH: usize = 8 << 20;

/// Its size. Only what is used of it takes memory; but where the address space is limited, all of it takes that.
static STACK: LazyLock<usize> = LazyLock::new(|| {
    let share =
        memory::address_space().map_or(usize::MAX, |bytes| usize::try_from(bytes / 32).unwrap_or(usize::MAX));
    share.clamp(2 * ENOUGH, 128 << 20)
});

/// The future, going on with a large stack.
pub(crate) async fn deep<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(move |context| stacker::maybe_grow(ENOUGH, *STACK, || future.as_mut().poll(context))).await
}
