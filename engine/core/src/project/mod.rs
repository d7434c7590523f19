//! A project: the folder with `jobs/*.toml` and `sql/**` that a user writes, with the built-in jobs behind it.
//!
//! A file in the folder wins over the built-in one of the same path. What comes out is a [`Job`]: every text
//! read, every value checked, so that later stages cannot meet a wrong setting.

mod batch;
mod batch_model;
mod builtin;
mod config;
mod csv_options;
mod forms;
mod gate;
mod input;
mod job;
mod kafka_options;
mod key_error;
mod model;
mod option_names;
mod overlay;
mod program;
mod schema;
mod source;
mod state;
mod stream_job;
mod target;
mod turn;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use batch::{BatchJob, Relationship, RowCount, SqlFile, TableAudits, TableConfig, TableFormat};
pub use batch_model::BatchModel;
pub use config::{FailOnDataLoss, StartingOffsets};
pub use csv_options::{CsvOptions, NumberStyle};
pub use forms::{Form, Forms};
pub(crate) use gate::Bound;
pub use gate::{GateConfig, Over};
pub use input::{FileColumns, InputConfig, InputFormat, OnError};
pub use job::Job;
pub use model::{Evaluate, ModelConfig, Training};
pub use overlay::Settings;
pub use program::Program;
pub use schema::parse_schema;
pub(crate) use schema::sql_type;
pub(crate) use schema::{may_follow, number_unit};
pub use source::SourceConfig;
pub use state::{Aggregate, AggregateConfig, StateConfig, StateSpec};
pub(crate) use state::{SCORED_KEYS, greatest_name, seen_name};
pub use stream_job::{Compacting, StreamJob, Trigger};
pub(crate) use target::TargetForm;
pub use target::TaskKey;
pub use turn::Turn;

use crate::error::{Error, Result, io_error};
use crate::files::{special, text};

/// A project folder.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

/// A model and the text of its features.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ModelSpec {
    /// The `[[models]]` entry.
    pub config: ModelConfig,
    /// Text of the features SELECT.
    pub features_sql: String,
}

impl Project {
    /// A project in this folder. The folder may be absent: then there are only the built-in jobs.
    pub fn open(root: &Path) -> Project {
        Project { root: root.to_owned() }
    }

    /// Names of all jobs, sorted.
    pub fn job_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = builtin::FILES
            .iter()
            .filter_map(|(path, _)| path.strip_prefix("jobs/")?.strip_suffix(".toml").map(String::from))
            .collect();
        if let Ok(entries) = std::fs::read_dir(self.root.join("jobs")) {
            names.extend(
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(String::from)),
            );
        }
        names.into_iter().collect()
    }

    /// The text of a file of the project, `sql/chicago_arrests/schema.sql` say.
    ///
    /// # Errors
    /// User, if it is neither in the folder nor built in; Storage, if it cannot be read.
    pub fn read(&self, relative: &str) -> Result<String> {
        let path = self.root.join(relative);
        if let Some(kind) = special(&path) {
            return Err(Error::user(format!("{} is {kind}, and is to be a file", path.display())));
        }
        match std::fs::read(&path) {
            Ok(bytes) => text(bytes).map_err(|e| Error::user(format!("cannot read {}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => builtin::FILES
                .iter()
                .find(|(name, _)| *name == relative)
                .map(|(_, t)| t.to_string())
                .ok_or_else(|| {
                    Error::user(format!("there is no file {}", path.display()))
                        .hint("paths in a job file are relative to the project folder (--project DIR)")
                }),
            Err(e) => Err(io_error("read", &path, &e)),
        }
    }

    /// Paths of all files under a folder of the project, sorted: the built-in ones, and those of the folder, which are read
    /// instead where they have the path of a built-in one.
    ///
    /// # Errors
    /// Storage, if it cannot be listed.
    pub fn list(&self, relative: &str) -> Result<Vec<String>> {
        let prefix = format!("{}/", relative.trim_end_matches('/'));
        let files = builtin::FILES.iter().map(|(path, _)| *path);
        let mut paths: BTreeSet<String> =
            files.filter(|path| path.starts_with(&prefix)).map(String::from).collect();
        let mut folders = vec![prefix.trim_end_matches('/').to_owned()];
        if !self.root.join(relative).is_dir() {
            folders.clear();
        }
        while let Some(folder) = folders.pop() {
            let place = self.root.join(&folder);
            let entries = std::fs::read_dir(&place).map_err(|e| io_error("list", &place, &e))?;
            for entry in entries {
                let entry = entry.map_err(|e| io_error("list", &place, &e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{folder}/{name}");
                if entry.path().is_dir() {
                    folders.push(path);
                } else {
                    paths.insert(path);
                }
            }
        }
        Ok(paths.into_iter().collect())
    }
}

fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod documented;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn project() -> Project {
        Project::open(Path::new("/nonexistent"))
    }

    fn with(sets: &[(&str, &str)]) -> Result<StreamJob> {
        let sets = sets.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        project().stream_job("chicago-arrests", &Settings { sets, environment: BTreeMap::new() })
    }

    #[test]
    fn the_built_in_job_is_whole() {
        let job = with(&[]).unwrap();
        assert_eq!((job.schema_name.as_str(), job.table_name.as_str()), ("chicago_arrests", "crimes"));
        assert_eq!(job.source.topic, "crimes");
        let names: Vec<&str> = job.program.models.iter().map(|m| m.config.name.as_str()).collect();
        assert_eq!(names, ["logistic", "forest", "tree", "hotspots"]);
    }

    #[test]
    fn a_file_of_the_project_is_taken_before_the_built_in_one_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("sql/olist");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("rfm.sql"), "SELECT 1 AS mine").unwrap();
        std::fs::write(own.join("zz.sql"), "SELECT 2 AS more").unwrap();
        let tables = |project: &Project| {
            let job = project.batch_job("olist", &Settings::default()).unwrap();
            job.tables.iter().map(|t| (t.file.name.clone(), t.file.sql.clone())).collect::<BTreeMap<_, _>>()
        };
        let mut expected = tables(&project());
        assert!(expected.len() > 5);
        expected.insert("rfm".into(), "SELECT 1 AS mine".into());
        expected.insert("zz".into(), "SELECT 2 AS more".into());
        assert_eq!(tables(&Project::open(folder.path())), expected);
    }

    #[test]
    fn a_wrong_job_name_is_answered_with_the_nearest() {
        let error = project().stream_job("chicago-arests", &Settings::default()).unwrap_err();
        assert!(error.next_step().unwrap().starts_with("did you mean `chicago-arrests`?"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = with(&[("source.max_offset_per_trigger", "5")]).unwrap_err();
        assert!(error.to_string().contains("unknown key `max_offset_per_trigger`"), "{error}");
        assert!(error.next_step().unwrap().contains("`max_offsets_per_trigger`"));
        let text = project().read("jobs/chicago-arrests.toml").unwrap().replace("trees = 20", "tres = 20");
        let error = project().parse_stream("x", &text, text.parse().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("line "), "{error}");
        assert!(error.next_step().unwrap().contains("`trees`"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (key, value) in [
            ("models.forest.trees", "0"),
            ("models.forest.alpha", "0.5"),
            ("models.hotspots.target", "arrest"),
            ("models.hotspots.clusters", "0"),
            ("models.forest.evaluate.holdout", "1.0"),
            ("source.max_offsets_per_trigger", "0"),
            ("source.max_bytes_per_trigger", "0"),
            ("source.max_bytes_per_trigger", "some"),
            ("memory_limit", "12 parsecs"),
            ("memory_limit", "-5"),
            ("source.fail_on_data_loss", "maybe"),
            ("table.path", "elsewhere/x"),
            ("table.path", "lake/../x"),
            ("trigger.processing_time", "soon"),
            ("source.kafka.broker_timeout", "a while"),
            ("source.message_timeout", "for ever"),
            ("source.message_timeout", "0s"),
        ] {
            assert!(with(&[(key, value)]).is_err(), "{key} = {value}");
        }
    }
}
