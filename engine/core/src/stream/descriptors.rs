//! What a program that this process begins has open: what this one was called with, and nothing of its own.
//!
//! The standard library opens what it opens so that no other program gets it. librdkafka does not: its sockets and pipes would
//! go on to the children that decode (`guard`), and to the driver that goes on in this one's place (`watch`), which would never
//! close them, a dozen more each time.

use std::sync::OnceLock;

/// What this process was called with, besides its input and outputs.
static CALLED_WITH: OnceLock<Vec<i32>> = OnceLock::new();

/// The first that is not an input or output of its own.
const FIRST: i32 = 3;

/// Remembers what this process was called with: what is open by now, before there is a source.
pub(super) fn remember() {
    CALLED_WITH.get_or_init(|| close_fds::iter_open_fds_threadsafe(FIRST).collect());
}

/// From now on a program that is begun gets nothing of what this process has opened until now. Where nothing was remembered,
/// all stays as it is.
pub(super) fn keep_to_ourselves() {
    if let Some(called_with) = CALLED_WITH.get() {
        close_fds::set_fds_cloexec_threadsafe(FIRST, called_with);
    }
}
