//! How a command ends: its exit code, and its error on stderr as `error: what happened` and `help: the next step`.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | failed |
//! | 2 | usage or configuration |
//! | 3 | data loss refused |
//! | 4 | checkpoint held by another driver |
//! | 130, 143 | stopped by SIGINT, SIGTERM |
//!
//! Output that cannot be written is a failure, but for a stdout that is closed (`>&-`): Rust's runtime opens /dev/null in its
//! place before `main`, for reading and writing, and so do programs that want no output (Python's `subprocess.DEVNULL`): the
//! two cannot be told apart.

use std::io;
use std::process::ExitCode;

use tidemill_core::{Error, ErrorKind};

use crate::notes::note;
use crate::style;
use crate::visible::visible;

/// How a command that did not fail has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was asked is done.
    Done,
    /// A signal asked for the end, and what was in hand has been finished. Holds the signal's number.
    Signal(u8),
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error to print.
    Engine(Error),
    /// The reader of stdout has gone (`| head`): no error, nothing more to say.
    OutputClosed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

/// The result of a command.
pub(crate) type Done<T = Outcome> = Result<T, Failure>;

/// What an error in writing to stdout means.
pub(crate) fn output_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::OutputClosed
    } else {
        Failure::Engine(Error::storage(format!("cannot write the output: {error}")))
    }
}

/// Writes a line of data to stdout and flushes it, so that a reader at the other end of a pipe sees it now.
pub(crate) fn print_line(text: &str) -> Done<()> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| output_failure(&e))
}

/// The exit code of an error of this kind.
pub(crate) fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::User => 2,
        ErrorKind::DataLoss => 3,
        ErrorKind::Held => 4,
        ErrorKind::Data
        | ErrorKind::Source
        | ErrorKind::Storage
        | ErrorKind::Corrupt
        | ErrorKind::Memory
        | ErrorKind::Internal => 1,
    }
}

/// The error as it is printed: two lines, the second only where a next step is known.
pub(crate) fn describe(error: &Error, color: bool) -> String {
    // Errors quote data, which is not to move the cursor.
    let message = error.to_string();
    let mut text = format!("{} {}", style::red("error:", color), visible(&message));
    if let Some(step) = error.next_step() {
        // A hint of several lines stays under its first.
        let step = visible(step).replace('\n', "\n        ");
        text.push_str(&format!("\n  {} {step}", style::bold("help:", color)));
    }
    text
}

/// Prints help or version on stdout, or on stderr what is wrong with the command line.
pub(crate) fn tell(told: &clap::Error) -> ExitCode {
    use std::io::Write;
    let written = told.print().and_then(|()| io::stdout().flush());
    match written {
        Err(error) if !told.use_stderr() => finish(Err(output_failure(&error))),
        _ => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1)),
    }
}

/// Prints the error, if there is one, and gives the exit code.
pub(crate) fn finish(result: Done) -> ExitCode {
    match result {
        Ok(Outcome::Done) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Ok(Outcome::Signal(number)) => ExitCode::from(128 + number),
        Err(Failure::Engine(error)) => {
            note(describe(&error, style::stderr_color()));
            ExitCode::from(code_of(error.kind()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        use ErrorKind as K;
        let codes = [
            (K::User, 2),
            (K::DataLoss, 3),
            (K::Held, 4),
            (K::Data, 1),
            (K::Source, 1),
            (K::Storage, 1),
            (K::Corrupt, 1),
            (K::Internal, 1),
        ];
        for (kind, code) in codes {
            assert_eq!(code_of(kind), code, "{kind:?}");
        }
    }

    #[test]
    fn an_error_has_its_next_step_on_a_line_of_its_own() {
        let error = Error::user("no such job").hint("try one of these:\ndemo");
        assert_eq!(describe(&error, false), "error: no such job\n  help: try one of these:\n        demo");
        assert_eq!(describe(&Error::data("bad"), false), "error: bad");
        assert_eq!(describe(&Error::data("'\x1b[2J'"), false), "error: '\\u001b[2J'");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = output_failure(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::OutputClosed));
        let full = output_failure(&io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Failure::Engine(e) if code_of(e.kind()) == 1));
    }
}
