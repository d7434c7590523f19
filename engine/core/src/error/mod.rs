//! The one error type of the engine: what happened, where, and what to do next.

mod unknown;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use unknown::nearest;
pub(crate) use unknown::suggestion;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bytes of a message, a place or a hint that an error keeps: a value of megabytes may be in any of them.
const MOST_BYTES: usize = 8_000;

/// Bytes that it takes to say how much is left out.
const LEFT_OUT: usize = 60;

/// A text of at most so many bytes: of a longer one the beginning and the end, and how much is left out. What was shortened
/// once is not again.
pub(crate) fn shortened(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let room = most.saturating_sub(LEFT_OUT);
    let (start, end) =
        (text.floor_char_boundary(room / 4 * 3), text.ceil_char_boundary(text.len() - room / 4));
    format!("{} … ({} bytes left out) … {}", &text[..start], end - start, &text[end..])
}

/// Whose turn it is after an error. The command line maps each kind to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// A wrong command, job file, SQL text or setting: the caller mends it.
    User,
    /// Input that cannot be read as what it should be.
    Data,
    /// The source does not answer or lacks what was asked for (broker, topic).
    Source,
    /// Reading or writing the lake failed.
    Storage,
    /// The lake's own records contradict each other or cannot be read.
    Corrupt,
    /// Rows that the plan promised are gone from the source.
    DataLoss,
    /// Another driver holds the checkpoint.
    Held,
    /// The memory limit does not suffice.
    Memory,
    /// A defect of Tidemill.
    Internal,
}

/// An error with its kind, the places it passed through and, where there is one, the next thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
    hint: Option<String>,
    /// The error of another library that it tells; it does not leave the process.
    #[serde(skip)]
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = shortened(message.into(), MOST_BYTES);
        Error { kind, message, context: Vec::new(), hint: None, cause: None }
    }

    /// [`ErrorKind::User`].
    pub fn user(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::User, message)
    }

    /// [`ErrorKind::Data`].
    pub fn data(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Data, message)
    }

    /// [`ErrorKind::Source`].
    pub fn source(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Source, message)
    }

    /// [`ErrorKind::Storage`].
    pub fn storage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Storage, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// Adds where it happened; the outermost place is printed first.
    pub fn context(mut self, place: impl Into<String>) -> Self {
        self.context.push(shortened(place.into(), MOST_BYTES));
        self
    }

    /// Sets the next thing to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(shortened(hint.into(), MOST_BYTES));
        self
    }

    /// Keeps the error that it tells as its [`source`](std::error::Error::source).
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The next thing to do, where known.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.context.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Some(cause) => Some(&**cause),
            None => None,
        }
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(mut error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as D;
        use datafusion::sql::sqlparser::parser::ParserError;
        // The name of a rule says nothing to who wrote the statement.
        while let D::Context(_, inner) = error {
            error = *inner;
        }
        // One of ours that came through DataFusion.
        if let D::External(inner) = error.find_root()
            && let Some(ours) = inner.downcast_ref::<Error>()
        {
            return ours.clone();
        }
        let kind = match error.find_root() {
            D::SQL(..) | D::Plan(_) | D::SchemaError(..) | D::NotImplemented(_) | D::Configuration(_) => {
                ErrorKind::User
            }
            D::ResourcesExhausted(text) if text.contains("disk space") => return spilled_too_much(),
            D::ResourcesExhausted(_) => ErrorKind::Memory,
            D::Internal(_) => ErrorKind::Internal,
            D::IoError(_) | D::ObjectStore(_) | D::ParquetError(_) => ErrorKind::Storage,
            _ => ErrorKind::Data,
        };
        let message = match error.find_root() {
            D::SQL(parser, _) if matches!(**parser, ParserError::RecursionLimitExceeded) => {
                "too much stands in each other: compute the inner parts in a WITH before".to_owned()
            }
            D::SQL(parser, _) => {
                format!("not SQL: {}", parser.to_string().trim_start_matches("sql parser error: "))
            }
            _ => error.strip_backtrace(),
        };
        Error::new(kind, message).caused_by(error)
    }
}

/// DataFusion's limit of what statements spill at a time: more memory for each would help, another plan would not.
fn spilled_too_much() -> Error {
    let message =
        "joins, sorts and aggregates spill more to disk than the 100 GB that they may have there at a time";
    Error::new(ErrorKind::Storage, message)
        .hint("give more with --memory-limit, so that less is spilled, or let a WHERE leave rows out before")
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::new(ErrorKind::Data, error.to_string()).caused_by(error)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Error::new(ErrorKind::Storage, error.to_string()).caused_by(error)
    }
}

impl From<tidemill_ml::Error> for Error {
    fn from(error: tidemill_ml::Error) -> Self {
        use tidemill_ml::ErrorKind as Ml;
        let kind = match error.kind() {
            Ml::User => ErrorKind::User,
            Ml::Data => ErrorKind::Data,
            Ml::Corrupt => ErrorKind::Corrupt,
            Ml::Internal => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).caused_by(error)
    }
}

/// Adds a place to the error of a result.
pub trait Context<T> {
    /// Names the place lazily.
    fn context_with(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context_with(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.into().context(place()))
    }
}

/// An I/O error with the path that it was about.
pub(crate) fn io_error(what: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let ours = Error::storage(format!("cannot {what} {}: {error}", path.display())).caused_by(like(error));
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            ours.hint("make room there and run it again; what was there before is as it was")
        }
        _ => ours,
    }
}

/// An I/O error is no value that can be copied: another one of its kind and number.
fn like(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(number) => std::io::Error::from_raw_os_error(number),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::Path;

    use datafusion::error::DataFusionError;

    use super::*;

    /// The errors beneath it, the nearest first.
    fn causes(error: &Error) -> Vec<String> {
        std::iter::successors(error.source(), |cause: &&dyn std::error::Error| (**cause).source())
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_cause_is_kept_and_does_not_leave_the_process() {
        let missing = || std::io::Error::from_raw_os_error(2);
        let ours = io_error("read", Path::new("rows.csv"), &missing()).context("input `rows`");
        assert_eq!(causes(&ours), [missing().to_string()]);
        let of_datafusion = Error::from(DataFusionError::IoError(missing()).context("a rule"));
        assert_eq!(of_datafusion.kind(), ErrorKind::Storage);
        assert_eq!(causes(&of_datafusion).last(), Some(&missing().to_string()));
        // One of ours that came through a library is itself again, with its own cause.
        let through = Error::from(DataFusionError::External(Box::new(ours.clone())));
        assert_eq!((through.to_string(), causes(&through)), (ours.to_string(), causes(&ours)));
        let sent: Error = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
        assert_eq!((sent.to_string(), causes(&sent)), (ours.to_string(), vec![]));
    }

    #[test]
    fn what_is_too_long_is_shortened_once() {
        for length in [999, 1_000, 1_001, 1_100, 5_000, 3_000_000] {
            let text: String = "añb".chars().cycle().take(length).collect();
            let short = shortened(text.clone(), 1_000);
            assert!(short.len() <= 1_000, "{length}: {}", short.len());
            assert_eq!(shortened(short.clone(), 1_000), short);
            assert_eq!(short == text, text.len() <= 1_000);
        }
    }
}
