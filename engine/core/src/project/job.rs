//! A job of either kind, by its name.
//!
//! What kind it is its own file says, whatever flags and variables lay over it: a batch job has `sql`, `inputs` or `tables`, a
//! stream job a `source`. Who takes one kind alone is told of the other before anything else in the file is looked at.

use super::{BatchJob, Project, Settings, StreamJob, builtin, overlay};
use crate::error::{Error, Result};

/// A job: its file, read and checked.
#[derive(Debug, Clone)]
pub enum Job {
    /// It reads a topic: `tidemill stream`.
    Stream(Box<StreamJob>),
    /// It reads files: `tidemill run`.
    Batch(BatchJob),
}

/// A job's file as it was found.
struct JobText {
    path: String,
    text: String,
    is_batch: bool,
}

impl Project {
    /// A job by its name, with the settings laid over its file.
    ///
    /// # Errors
    /// User: no such job (the nearest is named), an unknown key (the nearest is named), a value out of range, SQL that is no
    /// schema, a form that does not say what it reads, settings for a table that has no SQL file.
    pub fn job(&self, name: &str, settings: &Settings) -> Result<Job> {
        let file = self.job_text(name)?;
        Ok(match file.is_batch {
            true => Job::Batch(self.batch(name, &file, settings)?),
            false => Job::Stream(Box::new(self.stream(name, &file, settings)?)),
        })
    }

    /// A stream job by its name.
    ///
    /// # Errors
    /// User: a batch job; otherwise as [`Self::job`].
    pub fn stream_job(&self, name: &str, settings: &Settings) -> Result<StreamJob> {
        let file = self.job_text(name)?;
        if file.is_batch {
            return Err(Error::user(format!("`{name}` is a batch job: it reads files, not a stream"))
                .hint(format!("tidemill run {name} --input FILE…")));
        }
        self.stream(name, &file, settings)
    }

    /// A batch job by its name.
    ///
    /// # Errors
    /// User: a stream job; otherwise as [`Self::job`].
    pub fn batch_job(&self, name: &str, settings: &Settings) -> Result<BatchJob> {
        let file = self.job_text(name)?;
        if !file.is_batch {
            return Err(Error::user(format!("`{name}` is a stream job: it reads a topic, not files")).hint(
                format!("tidemill stream {name}, and tidemill produce {name} --input FILE to fill its topic"),
            ));
        }
        self.batch(name, &file, settings)
    }

    fn stream(&self, name: &str, file: &JobText, settings: &Settings) -> Result<StreamJob> {
        let job = overlay::resolve(&file.text, settings)
            .and_then(|table| self.parse_stream(name, &file.text, table))
            .map_err(|e| e.context(file.path.clone()))?;
        Ok(match builtin::FILES.contains(&(file.path.as_str(), file.text.as_str())) {
            true => StreamJob { built_in_splits: overlay::own_holdout_keys(&file.text, settings)?, ..job },
            false => job,
        })
    }

    fn batch(&self, name: &str, file: &JobText, settings: &Settings) -> Result<BatchJob> {
        overlay::resolve(&file.text, settings)
            .and_then(|table| self.parse_batch(name, &file.text, table))
            .map_err(|e| e.context(file.path.clone()))
    }

    /// The file of a job.
    fn job_text(&self, name: &str) -> Result<JobText> {
        let names = self.job_names();
        if !names.iter().any(|known| known == name) {
            return Err(Error::unknown("job", name, &names));
        }
        let path = format!("jobs/{name}.toml");
        let text = self.read(&path)?;
        let keys = overlay::parse(&text).map_err(|e| e.context(path.clone()))?;
        Ok(JobText { is_batch: is_batch(&keys), path, text })
    }
}

/// Whether a job's file has a key that a stream's has not, and not what a stream reads.
fn is_batch(file: &toml::Table) -> bool {
    !file.contains_key("source") && ["sql", "inputs", "tables"].iter().any(|key| file.contains_key(*key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn with(set: Option<(&str, &str)>) -> (Project, Settings) {
        let sets = set.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        (Project::open(Path::new("/nonexistent")), Settings { sets, environment: BTreeMap::new() })
    }

    #[test]
    fn a_job_is_of_the_kind_that_its_file_says() {
        let (project, settings) = with(None);
        assert!(matches!(project.job("olist", &settings), Ok(Job::Batch(job)) if job.name == "olist"));
        let stream = project.job("chicago-arrests", &settings);
        assert!(matches!(stream, Ok(Job::Stream(job)) if job.name == "chicago-arrests"));
    }

    #[test]
    fn the_other_kind_is_told_by_its_verb_whatever_lies_over_its_file() {
        for set in [None, Some(("source.kafka.subscribe", "x")), Some(("sql", "sql/x")), Some(("typo", "1"))]
        {
            let (project, settings) = with(set);
            let error = project.stream_job("olist", &settings).unwrap_err();
            assert_eq!(error.to_string(), "`olist` is a batch job: it reads files, not a stream");
            assert!(error.next_step().unwrap().starts_with("tidemill run olist"));
            let error = project.batch_job("chicago-arrests", &settings).unwrap_err();
            assert_eq!(error.to_string(), "`chicago-arrests` is a stream job: it reads a topic, not files");
            assert!(error.next_step().unwrap().starts_with("tidemill stream chicago-arrests"));
        }
    }

    #[test]
    fn a_stream_with_a_key_of_batch_jobs_is_told_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("jobs")).unwrap();
        let (built_in, settings) = with(None);
        let text = format!("sql = \"sql/both\"\n{}", built_in.read("jobs/chicago-arrests.toml").unwrap());
        std::fs::write(folder.path().join("jobs/both.toml"), text).unwrap();
        let error = Project::open(folder.path()).job("both", &settings).unwrap_err();
        assert!(error.to_string().contains("unknown key `sql`"), "{error}");
    }
}
