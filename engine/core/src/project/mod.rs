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
mod kafka_options;
mod key_error;
mod model;
mod option_names;
mod overlay;
mod schema;
mod source;
mod state;
mod target;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use batch::{BatchJob, Relationship, RowCount, SqlFile, TableAudits, TableConfig, TableFormat};
pub use batch_model::BatchModel;
pub use config::{FailOnDataLoss, StartingOffsets};
pub use csv_options::{CsvOptions, NumberStyle};
pub use forms::{Form, Forms};
pub(crate) use gate::Bound;
pub use gate::{GateConfig, Over};
pub use input::{FileColumns, InputConfig, InputFormat, OnError};
pub use model::{Evaluate, ModelConfig, Training};
pub use overlay::Settings;
pub use schema::parse_schema;
pub(crate) use schema::sql_type;
pub(crate) use schema::{may_follow, number_unit};
pub use source::SourceConfig;
pub use state::{Aggregate, AggregateConfig, StateConfig, StateSpec};
pub(crate) use target::TargetForm;
pub use target::TaskKey;
pub use turn::Turn;

use tidemill_ml::Material;

use crate::error::{Error, Result, io_error};
use crate::files::{special, text};
use crate::memory;
use key_error::line_of;
use source::size;

/// A project folder.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

/// Everything that a stream job says, read and checked.
#[derive(Debug, Clone)]
pub struct Job {
    /// Name as on the command line: `chicago-arrests`.
    pub name: String,
    /// Name as a SQL schema and folder: `chicago_arrests`.
    pub schema_name: String,
    /// One line that says what the job is.
    pub description: String,
    /// Where rows come from.
    pub source: SourceConfig,
    /// When a batch starts.
    pub trigger: Trigger,
    /// Bytes of memory that the stream may take.
    pub memory_limit: u64,
    /// Table name in SQL: `crimes`.
    pub table_name: String,
    /// Table folder relative to the lake: `chicago_arrests/crimes`.
    pub table_path: String,
    /// Row-wise SQL over each batch; `None` keeps the rows as they were decoded.
    pub transform_sql: Option<String>,
    /// What is learned after each batch; from the state where there is one, from the table's rows where there is none.
    pub models: Vec<ModelSpec>,
    /// What is kept for each key.
    pub state: Option<StateSpec>,
    /// Texts of the views, by their names.
    pub views: BTreeMap<String, String>,
    /// Models whose hold-out key is that of a built-in job's file, of which a later version may have another.
    pub built_in_splits: BTreeSet<String>,
}

/// When a batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Every interval; at once if the last batch took longer.
    ProcessingTime(Duration),
    /// Take what is there, in as many batches as the limits make, and end.
    AvailableNow,
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

    /// A job by its name, with the settings laid over its file.
    ///
    /// # Errors
    /// User: no such job (the nearest is named), an unknown key (the nearest is named), a value out of range,
    /// SQL that is no schema.
    pub fn job(&self, name: &str, settings: &Settings) -> Result<Job> {
        let (file, text) = self.job_file(name)?;
        let mut job = self.parse(name, &text, settings).map_err(|e| e.context(file.clone()))?;
        if builtin::FILES.contains(&(file.as_str(), text.as_str())) {
            job.built_in_splits = overlay::own_holdout_keys(&text, settings)?;
        }
        Ok(job)
    }

    /// Whether a job reads files, not a stream; so says its file, also where something else in it is wrong.
    ///
    /// # Errors
    /// User: no such job (the nearest is named), no TOML, a variable that is not set.
    pub fn is_batch_job(&self, name: &str, settings: &Settings) -> Result<bool> {
        let (file, text) = self.job_file(name)?;
        overlay::resolve(&text, settings).map(|table| is_batch(&table)).map_err(|e| e.context(file))
    }

    /// Path and text of a job's file.
    fn job_file(&self, name: &str) -> Result<(String, String)> {
        let names = self.job_names();
        if !names.iter().any(|known| known == name) {
            return Err(Error::unknown("job", name, &names));
        }
        let file = format!("jobs/{name}.toml");
        let text = self.read(&file)?;
        Ok((file, text))
    }

    fn parse(&self, name: &str, text: &str, settings: &Settings) -> Result<Job> {
        let table = overlay::resolve(text, settings)?;
        if is_batch(&table) {
            return Err(Error::user(format!("`{name}` is a batch job: it reads files, not a stream"))
                .hint(format!("tidemill run {name} --input FILE…")));
        }
        model::check_algorithms(&table)?;
        let file: config::JobFile = key_error::read(text, table)?;
        let memory_limit = size("memory_limit", file.memory_limit)?.unwrap_or_else(memory::limit);
        let source = self.source(name, file.source, memory_limit)?;
        let transform_sql = file.table.transform.as_deref().map(|path| self.read(path)).transpose()?;
        let table_path = table_path(&file.table.path)?;
        let material = if file.stateful { Material::State } else { Material::Rows };
        let mut models = Vec::new();
        for config in file.models {
            config.training(material).map_err(|error| {
                let message = error.to_string();
                let named = config.parameters.keys().find(|key| message.contains(&format!("`{key}`")));
                match named.and_then(|key| line_of(text, key)) {
                    Some(line) => error.context(format!("line {line}")),
                    None => error,
                }
            })?;
            if models.iter().any(|spec: &ModelSpec| spec.config.name == config.name) {
                return Err(Error::user(format!("two models are called `{}`", config.name)));
            }
            if !is_plain_name(&config.name) {
                return Err(Error::user(format!(
                    "a model's name is letters, digits, `_` and `-`, not `{}`",
                    config.name
                )));
            }
            models.push(ModelSpec { features_sql: self.read(&config.features)?, config });
        }
        let table_name = table_path.rsplit('/').next().unwrap_or_default().to_owned();
        let state = self.state(file.stateful, file.state, &table_name)?;
        let mut views = BTreeMap::new();
        for (view, path) in file.views {
            let taken = view == table_name || state.as_ref().is_some_and(|s| s.config.table == view);
            if taken || !is_plain_name(&view) {
                return Err(Error::user(format!("a view cannot be called `{view}`"))
                    .hint("its name is letters, digits, `_` and `-`, and no table of the job has it"));
            }
            views.insert(view, self.read(&path)?);
        }
        Ok(Job {
            name: name.to_owned(),
            schema_name: name.replace('-', "_"),
            description: file.description,
            source,
            trigger: trigger(&file.trigger)?,
            memory_limit,
            table_name,
            table_path,
            transform_sql,
            models,
            state,
            views,
            built_in_splits: BTreeSet::new(),
        })
    }

    /// The state, read and checked. `stateful` is to agree with it: what a job keeps is said where it begins.
    fn state(&self, stateful: bool, state: Option<StateConfig>, table: &str) -> Result<Option<StateSpec>> {
        let config = match (stateful, state) {
            (false, None) => return Ok(None),
            (true, Some(config)) => config,
            (true, None) => {
                return Err(Error::user("the job says `stateful = true` but not what it keeps")
                    .hint("add [state] with `table`, `key`, `select` and [state.columns]"));
            }
            (false, Some(_)) => {
                return Err(Error::user("the job has a [state] but does not say `stateful = true`")
                    .hint("write `stateful = true` above the first section, or take [state] out"));
            }
        };
        config.aggregates().map_err(Error::user)?;
        if config.table == table || !is_plain_name(&config.table) {
            return Err(Error::user(format!("state.table cannot be `{}`", config.table))
                .hint("its name is letters, digits, `_` and `-`, and is not the stream's table"));
        }
        let select_sql = self.read(&config.select)?;
        Ok(Some(StateSpec { config, select_sql }))
    }
}

fn trigger(file: &config::TriggerFile) -> Result<Trigger> {
    match (&file.processing_time, file.available_now) {
        (_, Some(true)) => Ok(Trigger::AvailableNow),
        (Some(text), _) => {
            let interval = humantime::parse_duration(text).map_err(|e| {
                Error::user(format!("trigger.processing_time: `{text}`: {e}"))
                    .hint("write \"120s\" or \"2min\"")
            })?;
            Ok(Trigger::ProcessingTime(interval))
        }
        (None, _) => Ok(Trigger::ProcessingTime(Duration::from_secs(10))),
    }
}

/// `lake/job/table`: `lake` stands for the lake folder, wherever that is.
fn table_path(text: &str) -> Result<String> {
    let relative = text.strip_prefix("lake/").unwrap_or_default();
    let parts: Vec<&str> = relative.split('/').collect();
    if parts.len() != 2 || !parts.iter().all(|part| is_plain_name(part)) || parts[0] == "system" {
        return Err(Error::user(format!("table.path: `{text}` is not of the form lake/JOB/TABLE"))
            .hint("`lake` stands for the lake folder (--lake), JOB for the job with `_` for `-`; the last part is the table's name in SQL"));
    }
    Ok(relative.to_owned())
}

fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether a job's file has a key that a stream's has not.
fn is_batch(file: &toml::Table) -> bool {
    ["sql", "inputs", "tables"].iter().any(|key| file.contains_key(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> Project {
        Project::open(Path::new("/nonexistent"))
    }

    fn with(sets: &[(&str, &str)]) -> Result<Job> {
        let sets = sets.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        project().job("chicago-arrests", &Settings { sets, environment: BTreeMap::new() })
    }

    #[test]
    fn the_built_in_job_is_whole() {
        let job = with(&[]).unwrap();
        assert_eq!((job.schema_name.as_str(), job.table_name.as_str()), ("chicago_arrests", "crimes"));
        assert_eq!(job.source.topic, "crimes");
        let names: Vec<&str> = job.models.iter().map(|m| m.config.name.as_str()).collect();
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
        let error = project().job("chicago-arests", &Settings::default()).unwrap_err();
        assert!(error.next_step().unwrap().starts_with("did you mean `chicago-arrests`?"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = with(&[("source.max_offset_per_trigger", "5")]).unwrap_err();
        assert!(error.to_string().contains("unknown key `max_offset_per_trigger`"), "{error}");
        assert!(error.next_step().unwrap().contains("`max_offsets_per_trigger`"));
        let text = project().read("jobs/chicago-arrests.toml").unwrap().replace("trees = 20", "tres = 20");
        let error = project().parse("x", &text, &Settings::default()).unwrap_err();
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
