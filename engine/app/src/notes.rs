//! Lines on stderr. They are told to whoever listens: where stderr is full, or its reader has gone, what they are about goes
//! on all the same. `eprintln!` would panic there.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line on stderr, where that can be written.
pub(crate) fn note(line: impl Display) {
    // In one piece, so that lines of several threads do not mix.
    let _ = Lossy.write_all(format!("{line}\n").as_bytes());
}

/// Stderr for the logs: what it does not take is dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lossy;

impl Write for Lossy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
