//! The crate's one error type: what kind of failure, what was being done, and what to do next.

use std::fmt;
use std::path::Path;

/// Whose move it is after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that cannot be (a public address, a folder in use).
    User,
    /// The disk or the network refused.
    Storage,
    /// A file of the data folder does not hold what it must.
    Corrupt,
    /// A fault of the broker itself.
    Internal,
}

/// An error of the broker: a sentence that says what happened and where, and a hint.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    #[source]
    source: Option<std::io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), hint: None, source: None }
    }

    pub(crate) fn io(context: impl Into<String>, path: &Path, source: std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Storage,
            context: format!("{} {}", context.into(), path.display()),
            hint: None,
            source: Some(source),
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}
