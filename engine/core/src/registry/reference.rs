//! How a model is named: `job.model@version`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Which of a model's versions is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum At {
    /// The one in use: `@champion`, or nothing.
    #[default]
    Champion,
    /// The one of this name: `@challenger`, `@live`.
    Alias(String),
    /// This one: `@12`. A stream's versions are the batches that trained them.
    Version(u64),
    /// The one that was in use after a batch: `@batch:40`.
    Batch(u64),
}

/// A model of a job, by its name.
///
/// ```
/// use tidemill_core::registry::{At, ModelRef};
///
/// let model: ModelRef = "chicago-arrests.forest@batch:40".parse()?;
/// assert_eq!((model.job.as_str(), model.model.as_str()), ("chicago_arrests", "forest"));
/// assert_eq!(model.at, At::Batch(40));
/// assert_eq!(model.to_string(), "chicago_arrests.forest@batch:40");
/// # Ok::<(), tidemill_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The job, as its schema is called: with underscores.
    pub job: String,
    /// The model.
    pub model: String,
    /// The version.
    pub at: At,
}

impl ModelRef {
    /// A model of a job by what follows the job's name: `forest`, `forest@7`.
    ///
    /// # Errors
    /// User: it is no name of a model.
    pub fn of_job(job: &str, model: &str) -> Result<ModelRef> {
        let (name, at) = match model.split_once('@') {
            Some((name, at)) => (name, at.parse()?),
            None => (model, At::Champion),
        };
        if name.is_empty() || job.is_empty() {
            return Err(no_reference(model));
        }
        Ok(ModelRef { job: job.replace('-', "_"), model: name.to_owned(), at })
    }
}

fn no_reference(text: &str) -> Error {
    Error::user(format!("`{text}` names no model")).hint(
        "write job.model, job.model@version or job.model@batch:N, as in 'chicago_arrests.forest@batch:40'",
    )
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<ModelRef> {
        let (job, model) = text.split_once('.').ok_or_else(|| no_reference(text))?;
        ModelRef::of_job(job, model).map_err(|error| error.context(format!("model `{text}`")))
    }
}

impl FromStr for At {
    type Err = Error;

    fn from_str(text: &str) -> Result<At> {
        let number = |digits: &str| digits.parse::<u64>().ok();
        let found = match text.split_once(':') {
            None if text == "champion" => Some(At::Champion),
            None if text.starts_with(|c: char| c.is_ascii_alphabetic()) => Some(At::Alias(text.to_owned())),
            None => number(text).map(At::Version),
            Some(("batch", digits)) => number(digits).map(At::Batch),
            Some(_) => None,
        };
        found.ok_or_else(|| {
            Error::user(format!("`@{text}` is no version of a model"))
                .hint("write @champion (the one in use) or another alias, @12 (a version) or @batch:40 (the one in use after batch 40)")
        })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.model)?;
        match &self.at {
            At::Champion => Ok(()),
            At::Alias(alias) => write!(f, "@{alias}"),
            At::Version(version) => write!(f, "@{version}"),
            At::Batch(batch) => write!(f, "@batch:{batch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_a_model_is_refused_with_what_would_be() {
        for text in ["forest", "a.", ".b", "a.b@", "a.b@-1", "a.b@batch:", "a.b@batch:x", "a.b@day:3"] {
            let error = text.parse::<ModelRef>().unwrap_err();
            assert!(error.next_step().unwrap().contains("write "), "{text}: {error}");
        }
        let of = |text: &str| text.parse::<ModelRef>().unwrap().at;
        assert_eq!(
            [of("a.b"), of("a.b@champion"), of("a.b@7")],
            [At::Champion, At::Champion, At::Version(7)]
        );
    }
}
